"""The monitor of a running stream: it listens, keeps the history, writes the log and serves the page.

::

    listeners' thread   events become records            History, BatchLog
    penstock-monitor    once a batch is over             starts the page, pushes what is new, ends both
    penstock-batch-log  writes the log                   where there is a checkpoint
    penstock-pages      answers                          where the ``ui`` extra is installed

A batch pays for posting its events, and for nothing else. Whatever fails here is logged.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from penstock.conf import (
    UI_ENABLED,
    UI_HOST,
    UI_HOSTS,
    UI_LOG_BYTES,
    UI_PORT,
    UI_PROGRESS,
    UI_RETAINED,
    UI_STALLED_AFTER,
    UI_TOKEN,
    Conf,
)
from penstock.errors import UnsupportedError
from penstock.monitor.application import Application, Running
from penstock.monitor.history import AnyRecord, History, Recorder
from penstock.monitor.log import BatchLog
from penstock.monitor.progress import ProgressLine, on_a_terminal
from penstock.values import dataclass

if TYPE_CHECKING:
    from penstock.monitor.dashboard import Dashboard
    from penstock.monitor.dashboard_pages import DashboardPages
    from penstock.monitor.feed import Feed
    from penstock.monitor.server import PageServer

__all__ = ["Monitor", "MonitorOptions", "Pusher", "must_have_pages"]

_log = logging.getLogger(__name__)

_AFTER_S = 1.0  # a program that is over by then has nobody who looks
_PUSH_S = 0.5  # between two updates of the page, or where batches come fast:
_PUSH_MANY_S = 1.0
_MANY = 20  # changes since the last update; a batch has one to three
_STILL_S = 1.0  # after which it is told that nothing is new
_DRAIN_S = 2.0
_JOIN_S = 5.0


@dataclass(frozen=True)
class MonitorOptions:
    """As the settings have it."""

    page: bool
    host: str
    port: int
    token: str | None
    names: tuple[str, ...]
    retained: int
    log_bytes: int
    progress: bool
    stalled_after: int

    @classmethod
    def of(cls, conf: Conf) -> MonitorOptions:
        """Those of a program."""
        return cls(
            conf.value(UI_ENABLED),
            conf.value(UI_HOST),
            conf.value(UI_PORT),
            conf.value(UI_TOKEN),
            conf.value(UI_HOSTS),
            conf.value(UI_RETAINED),
            conf.value(UI_LOG_BYTES),
            conf.value(UI_PROGRESS),
            conf.value(UI_STALLED_AFTER),
        )


class Monitor:
    """Of a context that is about to start, with its checkpoint's ``directory`` if it has one.

    ``begin`` before the first batch, ``end`` when all is over; ``finished`` is set some time after that.
    With ``dashboards`` their pages are served too, and all pages from the start on.
    """

    def __init__(
        self, options: MonitorOptions, directory: str | None, dashboards: Sequence[Dashboard] = ()
    ) -> None:
        self._options = options
        self.history = History(options.retained)
        self._directory = directory
        self._batch_log = None
        if directory is not None and options.log_bytes:
            self._batch_log = BatchLog(directory, self.history, options.log_bytes)
        self._dashboards = list(dashboards)
        self._pages: DashboardPages | None = None
        self._page_wanted = options.page and _pages_there(logging.WARNING if dashboards else logging.INFO)
        self._progress_wanted = options.progress and on_a_terminal()
        self._application: Running | None = None
        self._drain: Callable[[float], object] = lambda timeout_s: None
        self._loaded: Callable[[], object] = lambda: None
        self._over = threading.Event()
        self._ending = False
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._progress: ProgressLine | None = None
        self.server: PageServer | None = None
        self.finished = threading.Event()

    @property
    def wanted(self) -> bool:
        """Whether anybody would look, now or later: else nothing is listened to."""
        return self._page_wanted or self._progress_wanted or self._batch_log is not None

    @property
    def url(self) -> str | None:
        """Where the page is, without its token; ``None`` where there is none, or none yet."""
        server = self.server
        return server.url if server is not None and server.running else None

    def begin(
        self,
        application: Running,
        recorder: Callable[[Callable[[AnyRecord], None]], Recorder],
        drain: Callable[[float], object],
        loaded: Callable[[], object] = lambda: None,
    ) -> Recorder:
        """The context starts; the listener to add. ``drain`` waits until all listeners have heard what there
        is; ``loaded`` is called once the page, and all that it needs, is there."""
        self._application, self._drain, self._loaded = application, drain, loaded
        if self._dashboards and self._page_wanted:
            self._begin_thread()
        return recorder(self._write)

    def _write(self, record: AnyRecord) -> None:
        self.history.apply(record)
        if self._batch_log is not None:
            self._batch_log.put(record)
        over = record["kind"] == "batch" and record["status"] in ("completed", "failed")
        if self._thread is None and (over or self._progress_wanted) and record["kind"] == "batch":
            self._begin_thread()

    def _begin_thread(self) -> None:
        with self._lock:
            if self._thread is None and not self._ending:
                self._thread = threading.Thread(target=self._run, name="penstock-monitor", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        try:
            self._look_after()
        except Exception:
            _log.exception("the monitor has failed; the stream goes on")

    def _look_after(self) -> None:
        application = self._application
        assert application is not None
        pusher: Pusher | None = None
        if self._progress_wanted:
            self._progress = ProgressLine(application)
            self._progress.begin()
        try:
            if self._dashboards and self._page_wanted:
                pusher = self._serve(application)
            waited = False
            while not self._over.is_set():
                if waited and self._page_wanted and self.server is None and self.history.last is not None:
                    pusher = self._serve(application)
                at_work = pusher is not None or self._progress is not None
                self._over.wait(_PUSH_S if at_work else max(_AFTER_S, 0.01) if self._page_wanted else None)
                waited = True
                if pusher is not None:
                    pusher.push()
                if self._progress is not None:
                    self._progress.draw()
        finally:
            if self._progress is not None:
                self._progress.end()
            if pusher is not None:
                pusher.push(last=True)
            if self._pages is not None:
                self._pages.stop()
            for dashboard in self._dashboards:
                dashboard.url = None
            if self.server is not None:
                self.server.stop()

    def _serve(self, application: Application) -> Pusher | None:
        self._page_wanted = False
        try:
            from penstock.monitor.server import PageServer, load_gently

            if not self._dashboards:  # nobody waits for the page, and batches run
                load_gently(self._over.wait)
            from penstock.monitor.api import monitor_routes
            from penstock.monitor.dashboard_pages import DashboardPages
            from penstock.monitor.feed import Feed

            feed = Feed(1)
            options = self._options
            pages = DashboardPages(self._dashboards, home=True)
            server = PageServer(
                [*monitor_routes(application, feed, pages.links), *pages.routes()],
                options.host, options.port, options.token, names=options.names,
            )  # fmt: skip
            if self._over.is_set():
                return None
            server.start()
            pages.start()
            self._loaded()
        except Exception as error:
            _log.warning("there is no page of this stream: %s", error)
            return None
        self.server, self._pages = server, pages
        _log.info("the page of this stream is at %s", server.url)
        for dashboard in self._dashboards:
            dashboard.url = f"{server.url}dashboards/{dashboard.slug}"
            _log.info("dashboard %s: %s", dashboard.title, dashboard.url)
        if server.token is not None or not logging.getLogger("penstock").handlers:
            # Who takes Penstock's messages has it. A token goes to who started the program, into no log.
            sys.stderr.write(f"penstock: the stream's page is at {server.entrance}\n")
            for dashboard in self._dashboards:
                sys.stderr.write(f"penstock: dashboard {dashboard.title}: {dashboard.entrance}\n")
        return Pusher(application, feed)

    def end(self, time_ms: int, error: BaseException | None) -> None:
        """The stream is over: what is left is written and pushed, and the page ends. Does not wait."""
        with self._lock:
            if self._ending:
                return
            self._ending = True
        text = None if error is None else f"{type(error).__name__}: {error}"
        threading.Thread(
            target=self._finish, args=(time_ms, text), name="penstock-monitor-end", daemon=True
        ).start()

    def _finish(self, time_ms: int, text: str | None) -> None:
        try:
            self._drain(_DRAIN_S)  # the last events may still be on their way to the listeners
            self._write({"kind": "end", "time": time_ms, "error": text})
            self._over.set()
            if self._thread is not None:
                self._thread.join(_JOIN_S)
            if self._batch_log is not None:
                self._batch_log.close()
        finally:
            self.finished.set()


class Pusher:
    """Pushes what is new of an application to its page, if anybody looks at it."""

    def __init__(self, application: Application, feed: Feed) -> None:
        self._application = application
        self._feed = feed
        self._changes = -1
        self._after: int | None = None
        self._quiet = 0.0
        self._held_s = 0.0  # for how long what is new has not been pushed

    def push(self, *, last: bool = False) -> None:
        """One update, if there is anything new, or nothing was for a while."""
        from penstock.monitor.api import update_of

        history = self._application.history
        if not self._feed.readers:
            newest = history.last
            self._after = None if newest is None else newest["time"]
            self._changes = history.changes
        elif history.changes - self._changes > _MANY and self._held_s < _PUSH_MANY_S - _PUSH_S and not last:
            self._held_s += _PUSH_S
        elif history.changes != self._changes or self._quiet >= _STILL_S or last:
            self._changes, self._quiet, self._held_s = history.changes, 0.0, 0.0
            update, self._after = update_of(self._application, self._after)
            self._feed.publish("update", update)
        else:
            self._quiet += _PUSH_S
        if last:
            self._feed.close()


def _pages_there(level: int) -> bool:
    try:
        must_have_pages()
    except UnsupportedError as error:
        global _said
        if not _said:
            _said = True
            _log.log(level, "there will be no page of this stream: %s", error)
        return False
    return True


_said = False


def must_have_pages() -> None:
    """``UnsupportedError`` without the libraries that pages need; loads neither of them."""
    from importlib.util import find_spec

    for name in ("starlette", "uvicorn"):
        if find_spec(name) is None:
            raise UnsupportedError(
                f"pages need {name}, which is not installed. Hint: pip install 'penstock[ui]'."
            )
