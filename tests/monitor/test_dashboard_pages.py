"""The pages of dashboards as a server gives them: state, what is pushed, lists, and what is missing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPCookieProcessor, build_opener, urlopen

import pytest

from penstock import Conf, Context, StreamingContext
from penstock.clock import ManualClock
from penstock.monitor import charts
from penstock.monitor.assets import static_files
from penstock.monitor.dashboard import Dashboard
from penstock.monitor.dashboard_pages import DashboardPages, DashboardServer
from penstock.monitor.server import PageServer
from penstock.testing import Stepper
from tests.monitor.conftest import Serve, ask, reading


@pytest.fixture
def stepper() -> Iterator[Stepper]:
    clock = ManualClock()
    with Context(conf=Conf().setMaster("local[1]").set("spark.ui.enabled", False)) as sc:
        ssc = StreamingContext(sc, 1, clock=clock)
        stream = ssc.queueStream([[number] for number in range(1, 9)])
        ssc.dashboard("One <b>", noun="orders").line("Numbers", stream).log("Log", stream)
        ssc.dashboard("Two").number("Sum", stream, total=True)
        with Stepper(ssc, clock) as stepper:
            yield stepper


def dashboards(stepper: Stepper) -> list[Dashboard]:
    return stepper.ssc.graph.shown


def state_of(server: PageServer, slug: str = "one-b") -> Any:
    answer = ask(server, f"/dashboards/{slug}/state")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    return json.loads(answer.body)


def frames(connection: Any, count: int) -> list[tuple[str, Any]]:
    """So many events of a feed, as they come."""
    text, found = b"", []
    while len(found) < count:
        text += connection.recv(65536)
        *whole, _ = text.split(b"\n\n")
        found = [_parsed(each) for each in whole if b"event: " in each]
    return found


def _parsed(frame: bytes) -> tuple[str, Any]:
    fields = dict(line.split(": ", 1) for line in frame.decode().splitlines() if ": " in line)
    return fields["event"], json.loads(fields["data"])


def test_the_state_has_the_whole_history_of_its_dashboard(stepper: Stepper, serve: Serve) -> None:
    server = serve(*DashboardPages(dashboards(stepper)).routes())
    stepper.step()
    stepper.step()
    state = state_of(server)
    assert (state["title"], state["noun"]) == ("One <b>", "orders")
    assert [said["kind"] for said in state["said"]] == ["line", "log"]
    assert state["panels"]["panel-1"]["series"][0]["values"] == [1.0, 2.0]
    assert state_of(server, "two")["panels"]["panel-1"]["text"] == "3"


def test_what_is_new_is_pushed_to_who_reads(stepper: Stepper, serve: Serve) -> None:
    pages = DashboardPages(dashboards(stepper), pause_s=0.0)
    server = serve(*pages.routes())
    stepper.step()
    reader = reading(server, "/dashboards/one-b/events")
    begun = b""
    while b"retry" not in begun:
        begun += reader.recv(65536)
    pages.start()
    try:
        begin = state_of(server)
        stepper.step()
        stepper.step()
        values: list[float] = []
        while not values or values[-1] != 3.0:
            for event, news in frames(reader, 1):
                assert event == "update"
                assert news["run"] == begin["run"]
                view = news["panels"].get("panel-1")
                if view is not None:
                    values += view["series"][0]["values"]
    finally:
        pages.stop()
        reader.close()
    assert values[-2:] == [2.0, 3.0]


def test_nobody_reads_and_nothing_is_made(stepper: Stepper) -> None:
    pages = DashboardPages(dashboards(stepper), pause_s=0.0)
    pages.start()
    stepper.step()
    pages.stop()
    (feed,) = [pusher.feed for slug, pusher in pages._pushers.items() if slug == "one-b"]
    assert len(feed.kept()) == 1  # the last word, for who is just coming


def test_the_list_of_dashboards_is_escaped(stepper: Stepper, serve: Serve) -> None:
    server = serve(*DashboardPages(dashboards(stepper)).routes())
    body = ask(server, "/dashboards").body.decode()
    assert '<a href="/dashboards/one-b">One &lt;b&gt;</a>' in body
    assert '<a href="/dashboards/two">Two</a>' in body
    assert ask(server, "/dashboards/three/state").status == 404
    assert ask(server, "/dashboards/three").status == 404


def test_the_page_and_all_that_it_names_are_served(stepper: Stepper, serve: Serve) -> None:
    server = serve(*DashboardPages(dashboards(stepper)).routes(), *static_files())
    page = ask(server, "/dashboards/one-b").body.decode()
    named = [part.split('"')[0] for part in page.replace('src="', 'href="').split('href="')[1:]]
    paths = [name for name in named if name.startswith("/")]
    assert "/static/plotly.js" in paths
    for path in set(paths) - {"/"}:  # which is the page of the stream, where there is one
        assert ask(server, path).status == 200, path


def test_the_chart_library_is_the_one_of_the_package_with_its_styles_kept_out() -> None:
    plotly = pytest.importorskip("plotly.offline", reason="Hint: pip install 'penstock[ui]'")
    script = charts.script().decode()
    assert script.endswith(plotly.get_plotlyjs())
    assert "plotly.js-style-global" in script[:300]


def test_a_server_of_dashboards_alone_leads_to_the_only_one(stepper: Stepper) -> None:
    server = DashboardServer(dashboards(stepper)[1:], port=0)
    server.start()
    try:
        answer = ask(server._server, "/")
        assert (answer.status, answer.headers["location"]) == (302, "/dashboards/two")
    finally:
        server.stop()


def test_the_way_in_has_the_token_and_the_address_has_not() -> None:
    conf = Conf().setMaster("local[1]").set("spark.ui.port", 0).set("penstock.ui.token", "a" * 20)
    with Context(conf=conf) as sc:
        ssc = StreamingContext(sc, 0.1)
        board = ssc.dashboard("Desk").log("Log", ssc.queueStream([[1]]))
        assert board.entrance is None
        seen = 0
        ssc.start()
        while board.url is None:
            seen = board.board.wait_for_news(seen)
        assert "token" not in board.url
        assert board.entrance == f"{board.url}?token={'a' * 20}"
        with pytest.raises(HTTPError, match="401"):
            urlopen(board.url)
        cookies = build_opener(HTTPCookieProcessor())
        with cookies.open(board.entrance) as page:
            assert b'id="panels"' in page.read()
        ssc.stop(stopSparkContext=False)
        assert board.entrance is None
