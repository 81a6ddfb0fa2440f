"""A page for each dashboard: what it is made of, its history, and what is pushed to it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from html import escape

from penstock.monitor.assets import asset, page, static_files
from penstock.monitor.dashboard import Dashboard
from penstock.monitor.feed import Feed
from penstock.monitor.look import COLOURS, DASHES
from penstock.monitor.web import NotFound, Reply, Request, Route, StreamRoute

__all__ = ["DashboardPages", "DashboardServer"]

_PAUSE_S = 0.5  # between two updates: a page is up to date within a second


class DashboardPages:
    """The pages of some dashboards: ``/dashboards`` lists them, ``/dashboards/<slug>`` is one,
    ``/dashboards/<slug>/state`` all that it shows as JSON, ``/dashboards/<slug>/events`` what is new, and
    ``/static/plotly.js`` the chart library from its package.

    :meth:`start` begins to push what is new, on one thread for each; :meth:`stop` ends that. With ``home``
    there is a page of the stream at ``/``, which they link to.
    """

    def __init__(
        self, dashboards: Sequence[Dashboard], *, home: bool = False, pause_s: float | None = None
    ) -> None:
        self._home = home
        self._dashboards = {dashboard.slug: dashboard for dashboard in dashboards}
        self._pushers = {slug: _Pusher(each, pause_s) for slug, each in self._dashboards.items()}

    @property
    def links(self) -> list[tuple[str, str]]:
        """Title and path of each page."""
        return [(each.title, f"/dashboards/{slug}") for slug, each in self._dashboards.items()]

    def routes(self) -> list[Route | StreamRoute]:
        """What a server of pages is to serve; the scripts and styles of the package besides."""
        from penstock.monitor import charts

        found: list[Route | StreamRoute] = [
            asset("/static/plotly.js", charts.script, "js"),
            Route("/dashboards", self._index, quick=True),
            Route("/dashboards/{slug}/state", self._state),
        ]
        for slug, pusher in self._pushers.items():
            found.append(page(f"/dashboards/{slug}", "dashboard.html"))
            found.append(pusher.feed.route(f"/dashboards/{slug}/events"))
        return found

    def start(self) -> None:
        """Push what is new from now on."""
        for pusher in self._pushers.values():
            pusher.start()

    def stop(self) -> None:
        """Push the last there is, and end."""
        for pusher in self._pushers.values():
            pusher.stop()

    def home(self, request: Request) -> Reply:
        """To the only dashboard there is, or to the list of them."""
        links = self.links
        path = links[0][1] if len(links) == 1 else "/dashboards"
        return Reply(b"", status=302, headers={"location": path})

    def _index(self, request: Request) -> Reply:
        links = "".join(f'<li><a href="{path}">{escape(title)}</a></li>' for title, path in self.links)
        body = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Dashboards</title>'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<link rel="stylesheet" href="/static/dashboard.css"><link rel="icon" href="data:,"></head>'
            f'<body><main class="index"><h1>Dashboards</h1><ul>{links}</ul></main></body></html>'
        )
        return Reply(body.encode(), "text/html; charset=utf-8")

    def _state(self, request: Request) -> Reply:
        dashboard = self._dashboards.get(request.path["slug"])
        if dashboard is None:
            raise NotFound(f"there is no dashboard {request.path['slug'][:60]!r}")
        return Reply.json(
            {
                "title": dashboard.title,
                "noun": dashboard.noun,
                "home": self._home,
                "said": [panel.described() for panel in dashboard.panels],
                "look": {"colours": COLOURS, "dashes": DASHES},
                **dashboard.board.state(),
            }
        )


class DashboardServer:
    """A server of these dashboards and nothing else, for programs that show them beside or after a stream.

    ``UnsupportedError`` from :meth:`start` without the ``ui`` extra, ``OSError`` if no port is free.
    """

    def __init__(self, dashboards: Sequence[Dashboard], host: str = "127.0.0.1", port: int = 4040) -> None:
        from penstock.monitor.server import PageServer

        self._pages = DashboardPages(dashboards)
        home = Route("/", self._pages.home, quick=True)
        self._server = PageServer([home, *self._pages.routes(), *static_files()], host, port)

    def start(self) -> str:
        """Begin to serve; the address."""
        self._server.start()
        self._pages.start()
        return self._server.entrance

    @property
    def port(self) -> int:
        """The port that it has got."""
        return self._server.port

    def stop(self) -> None:
        """Push the last there is, and end."""
        self._pages.stop()
        self._server.stop()


class _Pusher:
    """Pushes to the readers of one dashboard's page what is new on it, at most every ``pause_s`` seconds, by
    default half of one."""

    def __init__(self, dashboard: Dashboard, pause_s: float | None) -> None:
        self.feed = Feed(capacity=8)  # what came before, a page asks for
        self._board = dashboard.board
        self._pause_s = _PAUSE_S if pause_s is None else pause_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="penstock-dashboard", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._board.touch()
        if self._thread.is_alive():
            self._thread.join(1.0)
        self.feed.close()

    def _run(self) -> None:
        counts, seen = self._board.counts(), 0
        while not self._over.is_set():
            seen = self._board.wait_for_news(seen)
            if self.feed.readers:
                state, counts = self._board.taken(counts)
                self.feed.publish("update", state)
            self._over.wait(self._pause_s)
        self.feed.publish("update", self._board.taken(counts)[0])
