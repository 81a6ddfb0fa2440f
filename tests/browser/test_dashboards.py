"""Dashboards in a real browser: what they say, how soon, in which theme and width, and what they never do.

With ``PENSTOCK_PICTURES=docs/pictures`` the test of the brokerage's page makes the pictures of the README
anew.
"""

from __future__ import annotations

import base64
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from penstock import Conf, Context, StreamingContext
from penstock.brokerage.generate import order_blocks
from penstock.clock import ManualClock
from penstock.monitor.dashboard import Dashboard
from penstock.monitor.dashboard_pages import DashboardServer
from penstock.testing import Stepper
from tests.browser.chromium import Browser, started

HOSTILE = "<img src=x onerror=\"document.title='caught'\">"
SHOWN = """
const text = (css) => [...document.querySelectorAll(css)].map((each) => each.textContent);
const rows = (id) => [...document.querySelectorAll(`#${id} tbody tr`)].map((row) =>
  [...row.cells].map((cell) => cell.textContent)).filter((cells) => cells.join("") !== "");
const titled = (title) => [...document.querySelectorAll(".panel")].find((panel) =>
  panel.querySelector("h2").textContent.startsWith(title));
const legend = (title) => Object.fromEntries([...titled(title).querySelectorAll(".legend li")].map((item) =>
  [item.querySelector("span").textContent, item.querySelector("b").textContent]));
const value = (title) => titled(title).querySelector(".value").textContent;
"""


class Desk:
    """A dashboard of a stream that is run by hand, and served."""

    def __init__(self, sc: Context) -> None:
        self.clock = ManualClock()
        self.clock.set(1_458_678_300_000)
        self.ssc = StreamingContext(sc, 1, clock=self.clock)
        self.server: DashboardServer | None = None
        self.port = 0

    def serve(self, board: Dashboard) -> str:
        self.server = DashboardServer([board], port=self.port)
        self.server.start()
        self.port = self.server.port
        return f"http://127.0.0.1:{self.port}/"

    def end(self) -> None:
        if self.server is not None:
            self.server.stop()


@pytest.fixture(scope="module")
def one_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = started(tmp_path_factory.mktemp("profile"))
    try:
        yield browser
    finally:
        browser.driver.quit()


@pytest.fixture
def browser(one_browser: Browser) -> Iterator[Browser]:
    """The same for all tests here, which takes less time; what one has asked for and complained of is not
    the next one's. Each has a port of its own, and so a storage of its own."""
    yield one_browser
    one_browser.open("about:blank")
    one_browser.complaints()
    one_browser._asked.clear()
    one_browser._said.clear()


@pytest.fixture
def desk() -> Iterator[Desk]:
    with Context(conf=Conf().setMaster("local[2]").set("spark.ui.enabled", False)) as sc:
        desk = Desk(sc)
        try:
            yield desk
        finally:
            desk.end()


def traded(batch: int, symbols: tuple[str, ...] = ("EPE", "T", "EMC", "PBR", "LUV")) -> list[Any]:
    """Some orders: side, symbol, shares."""
    return [
        (
            "buys" if number % 3 else "sells",
            symbols[(number * number + batch) % len(symbols)],
            number % 97 + batch,
        )
        for number in range(300 + 40 * (batch % 5))
    ]


def all_panels(desk: Desk, batches: list[Any]) -> Dashboard:
    orders = desk.ssc.queueStream(batches)
    sides = orders.map(lambda order: (order[0], 1)).reduceByKey(lambda a, b: a + b)
    volumes = orders.map(lambda order: (order[1], order[2])).reduceByKey(lambda a, b: a + b)
    ranked = volumes.transform(lambda rdd: rdd.sortBy(lambda pair: (-pair[1], pair[0]), numPartitions=1))
    return (
        desk.ssc.dashboard("Desk", noun="orders")
        .number("Orders per second", sides, per_second=True)
        .number("Orders so far", sides, total=True)
        .number("Largest", orders.map(lambda order: order[2]).reduce(max), unit="shares")
        .number("Odd ones", orders.filter(lambda order: order[2] > 95).count(), warn_above=3)
        .line("Sides", sides, per_second=True)
        .batches()
        .table("Volumes", ranked, columns=["Security", "Shares"], key="Security", rows=5)
        .bar("Bars", ranked, rows=5)
        .log("Large", orders.filter(lambda order: order[2] > 98), rows=20, noun="large orders")
    )


def ready(browser: Browser) -> None:
    browser.until(lambda: browser.run("return document.body.dataset.ready") == "yes")


def chart(browser: Browser, panel: str) -> dict[str, list[Any]]:
    """The lines that a chart draws."""
    script = "return document.querySelector(arguments[0]).data.map((line) => [line.name, [...line.y]])"
    return dict(browser.run(script, f"#{panel} .chart"))


def test_a_page_that_is_opened_late_shows_what_a_notebook_shows(desk: Desk, browser: Browser) -> None:
    board = all_panels(desk, [traded(batch) for batch in range(8)])
    with Stepper(desk.ssc, desk.clock) as stepper:
        for _ in range(4):
            stepper.step()
        browser.open(desk.serve(board))
        ready(browser)
        for batch in range(4, 9):
            figures = board.figures()
            drawn = {trace.name: list(trace.y) for trace in figures["Sides"].data}
            browser.until(lambda drawn=drawn: chart(browser, "panel-5") == drawn)  # type: ignore[misc]
            rows = list(zip(*figures["Volumes"].data[0].cells.values, strict=True))
            shown = browser.run(SHOWN + "return rows('panel-7').map((row) => [row[1], row[2]])")
            assert shown == [list(row[:2]) for row in rows]
            assert browser.run(SHOWN + "return value('Orders so far')") == board.board.view(1)["text"]
            lines = browser.run(
                "return [...document.querySelectorAll('.log li span')].map((s) => s.textContent)"
            )
            assert lines == [line for _, line in reversed(board.board.view(8)["lines"])]
            if batch < 8:
                before = browser.run(PLACES)
                stepper.step()
                moment = str(stepper.ssc.driver.finished_batches * 1000 + 1_458_678_300_000)
                browser.until(
                    lambda moment=moment: (
                        browser.run("return document.getElementById('moment').dataset.time")  # type: ignore[misc]
                        == moment
                    )
                )
                assert browser.run(PLACES) == before, "something has moved"
    browser.until(lambda: browser.text("#phase") == "ended")
    assert "The stream has ended after 8 batches" in browser.text("#message")
    assert browser.complaints() == []


PLACES = """
return [...document.querySelectorAll(".panel, .chart, .note, #message, #run, tr, .value")].map((each) => {
  const box = each.getBoundingClientRect();
  return [each.id || each.className, box.x, box.y, box.width, box.height].join(" ");
})
"""


def test_what_is_hostile_is_shown_as_text_in_every_panel(desk: Desk, browser: Browser) -> None:
    orders = desk.ssc.queueStream([[(HOSTILE, 5), ("&amp;", 3)]] * 2)
    board = (
        desk.ssc.dashboard(f"Desk {HOSTILE}", noun=HOSTILE)
        .line(f"Line {HOSTILE}", orders)
        .bar("Bar", orders)
        .table("Table", orders, columns=[HOSTILE, "b"], key=0)
        .log("Log", orders)
        .number("Number", orders, unit=HOSTILE)
    )
    with Stepper(desk.ssc, desk.clock) as stepper:
        stepper.step()
        stepper.step()
        browser.open(desk.serve(board))
        ready(browser)
        browser.until(
            lambda: HOSTILE in browser.run("return document.querySelector('#panel-2 .chart').textContent")
        )
        for css in (
            "#title",
            "#panel-1 h2",
            "#panel-1 .legend",
            "#panel-3 td.key",
            "#panel-4 ol",
            "#panel-3 th.right",
        ):
            shown = browser.run("return document.querySelector(arguments[0])?.textContent", css)
            assert shown is None or HOSTILE in shown or css.endswith("right"), css
        assert HOSTILE in browser.run("return document.querySelector('#panel-3 thead').textContent")
        assert HOSTILE in browser.run("return document.querySelector('#panel-5 .value').textContent")
        assert browser.run("return document.querySelectorAll('img, main script').length") == 0
        assert browser.run("return document.title") == f"Desk {HOSTILE}"
        assert browser.complaints() == []


def test_a_server_that_comes_back_finds_its_readers_again(desk: Desk, browser: Browser) -> None:
    board = all_panels(desk, [traded(batch) for batch in range(6)])
    with Stepper(desk.ssc, desk.clock) as stepper:
        stepper.step()
        browser.open(desk.serve(board))
        ready(browser)
        desk.end()
        browser.until(lambda: browser.text("#phase") == "connection lost")
        assert "What is shown is what came last" in browser.text("#message")
        for _ in range(3):
            stepper.step()  # nobody sees it
        desk.serve(board)
        drawn = {name: list(y) for name, y in ((t.name, t.y) for t in board.figures()["Sides"].data)}
        browser.until(lambda: chart(browser, "panel-5") == drawn)
        assert browser.text("#phase") == "running"
        stepper.step()
        browser.until(lambda: len(chart(browser, "panel-5")["buys"]) == 5)
        assert [line for line in browser.complaints() if "ERR_CONNECTION_REFUSED" not in line
                and "ERR_INCOMPLETE_CHUNKED" not in line and "ERR_CONNECTION_RESET" not in line
                and "ERR_EMPTY_RESPONSE" not in line] == []  # fmt: skip


def test_a_page_that_is_opened_again_shows_what_is_there_now(desk: Desk, browser: Browser) -> None:
    board = all_panels(desk, [traded(batch) for batch in range(8)])
    with Stepper(desk.ssc, desk.clock) as stepper:
        stepper.step()
        address = desk.serve(board)
        with urlopen(f"{address}dashboards/desk/events") as another:
            for _ in range(3):
                stepper.step()
                while not another.readline().startswith(b"data:"):
                    pass
        assert desk.server is not None
        (pusher,) = desk.server._pages._pushers.values()
        browser.until(lambda: not pusher.feed.readers)
        for _ in range(3):
            stepper.step()  # nobody looks
        browser.open(address)
        ready(browser)
        browser.run("return new Promise((done) => setTimeout(done, 300))")
        shown = browser.run(SHOWN + "return [value('Orders so far'), legend('Sides').buys]")
        views = board.board.view(1), board.board.view(4)
        assert shown == [views[0]["text"], views[1]["series"][0]["text"]]
        assert browser.run("return document.getElementById('moment').dataset.time") == "1458678307000"
        assert browser.complaints() == []


def test_what_is_late_or_missing_is_said_in_words(desk: Desk, browser: Browser) -> None:
    board = all_panels(desk, [traded(1), [], [], []])
    with Stepper(desk.ssc, desk.clock) as stepper:
        browser.open(desk.serve(board))
        ready(browser)
        assert browser.text("#panel-1 .value") == "no orders yet"
        assert browser.text("#panel-7 .nothing") == "no orders yet"
        assert browser.text("#panel-9 .nothing") == "no large orders so far"
        assert "first batch" in browser.text("#message")
        labels = "return document.querySelectorAll('#panel-5 .xtick text, #panel-5 .ytick text').length"
        browser.until(lambda: browser.run("return document.querySelectorAll('#panel-6 .ytick').length") > 2)
        assert browser.run(labels) == 0  # nothing that could be said there is true yet
        assert browser.run("return getComputedStyle(document.querySelector('thead')).visibility") == "hidden"
        stepper.step()
        browser.until(lambda: re.search("⚠ Odd ones: [0-9]+ · 340 records in", browser.text("#message")))
        assert browser.run("return document.getElementById('panel-4').classList.contains('warning')")
        assert "⚠" in browser.text("#panel-4 .sign")
        desk.clock.set(desk.clock.now_ms() + 38_500)
        stepper.step()
        browser.until(lambda: "No orders for 39 s" in browser.text("#message"))
        assert browser.run("return document.getElementById('message').dataset.level") == "warning"
        assert browser.text("#panel-5 .note") == "no orders for 39 s"
        assert browser.text("#panel-4 .note") == ""  # where few are well, none are not late
        # Time goes on in the page, and no batch comes.
        browser.run("const real = Date.now; Date.now = () => real() + 100000;")
        browser.until(lambda: "No batch for 1" in browser.text("#message"))
        assert browser.text("#phase") == "stalled"
        assert browser.complaints() == []


def test_a_failed_batch_and_a_slow_one_are_warnings(desk: Desk, browser: Browser) -> None:
    def wait(record: Any) -> Any:
        if record == "slow":
            desk.clock.set(desk.clock.now_ms() + 2500)
        return 1 if record == "slow" else record

    stream = desk.ssc.queueStream([[1], ["slow"], ["many"]])
    board = desk.ssc.dashboard("Desk", noun="orders").line("Orders", stream.map(wait))
    with Stepper(desk.ssc, desk.clock) as stepper:
        browser.open(desk.serve(board))
        stepper.step()
        stepper.step()
        browser.until(lambda: "took 2,500 ms, longer than the interval of 1 s" in browser.text("#message"))
        with pytest.raises(Exception, match="got 'many'"):
            stepper.step()
        browser.until(lambda: "FAILED" in browser.text("#message"))
        assert "line 'Orders' got 'many'" in browser.text("#message")
        assert browser.text("#phase") == "failed"


def test_both_themes_at_two_widths(desk: Desk, browser: Browser) -> None:
    board = all_panels(desk, [traded(batch) for batch in range(30)])
    with Stepper(desk.ssc, desk.clock) as stepper:
        for _ in range(30):
            stepper.step()
        browser.theme("light")
        browser.open(desk.serve(board))
        ready(browser)
        browser.until(lambda: browser.run("return document.querySelectorAll('.chart .main-svg').length") >= 6)
        for width in (420, 800, 1440):
            browser.size(width, 1000)
            browser.until(lambda: browser.run("return document.documentElement.scrollWidth <= innerWidth"))
            wide = "return Math.max(...[...document.querySelectorAll('.chart .main-svg')]"
            wide += ".map((svg) => svg.clientWidth)) <= innerWidth"
            browser.until(lambda wide=wide: browser.run(wide))  # type: ignore[misc]
        # At the narrowest, figures that grow longer move nothing.
        browser.size(420, 1000)
        before = browser.run(PLACES)
        browser.run(
            "document.querySelectorAll('.legend b').forEach((b) => { b.textContent = '123,456,789/s' })"
        )
        assert browser.run(PLACES) == before
        grounds = []
        for name in ("light", "dark"):
            browser.theme(name)
            lines = "#panel-5 .chart .scatterlayer .trace .js-line"
            grounds.append(browser.run("return getComputedStyle(document.body).backgroundColor"))
            colour = {"light": "rgb(0, 114, 178)", "dark": "rgb(86, 180, 233)"}[name]
            browser.until(
                lambda colour=colour, lines=lines: (
                    browser.run(  # type: ignore[misc]
                        "return getComputedStyle(document.querySelector(arguments[0])).stroke", lines
                    )
                    == colour
                )
            )
        assert grounds == ["rgb(243, 244, 246)", "rgb(14, 17, 22)"]
        # The button goes round by the keyboard: system, light, dark.
        browser.keys("TAB", "TAB", "ENTER")
        assert browser.text("#theme") == "Theme: light"
        assert browser.run("return getComputedStyle(document.body).backgroundColor") == grounds[0]
        browser.keys("ENTER")
        assert browser.text("#theme") == "Theme: dark"
        assert browser.complaints() == []


# -------------------------------------------------------------------------------- the brokerage's page


@pytest.fixture
def brokerage(tmp_path: Path) -> Iterator[str]:
    """``penstock brokerage run`` on an empty folder, and the address of its page."""
    (tmp_path / "in").mkdir()
    line = [sys.executable, "-m", "penstock.cli", "brokerage", "run", "--input", str(tmp_path / "in")]
    line += ["--output", str(tmp_path / "out" / "f"), "--interval", "0.5", "--port", "0", "--window", "60"]
    with subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as program:
        try:
            assert program.stderr is not None
            for said in program.stderr:
                if "The dashboard: " in said:
                    yield said.rpartition(" ")[2].strip()
                    break
            else:
                pytest.fail("no address was printed")
        finally:
            if program.poll() is None:
                program.send_signal(signal.SIGINT)
                program.communicate(timeout=30)


def put(folder: Path, name: str, lines: list[str]) -> None:
    (folder / f".{name}").write_text("".join(f"{line}\n" for line in lines))
    (folder / f".{name}").rename(folder / name)


# On a picture the folder of this test is no concern of anybody.
ELSEWHERE = """
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) walk.currentNode.data = walk.currentNode.data.replaceAll(arguments[0], "/data");
"""


@pytest.mark.timing
def test_the_page_of_the_brokerage_says_what_its_files_say_and_within_a_second(
    brokerage: str, browser: Browser, tmp_path: Path
) -> None:
    address = brokerage
    lines = [line for block in order_blocks(6000, seed=7) for line in block.decode().splitlines()]
    bad = f"2016-03-22 20:25:28,1,80,{HOSTILE},710,51.00,B"
    browser.size(1440, 1000)
    browser.theme("light")
    browser.open(address)
    ready(browser)
    browser.run(
        """
        window.late = [];
        new MutationObserver(() => {
          const ended = document.getElementById("moment").dataset.time;
          if (window.late.length && window.late.at(-1)[0] === ended) return;
          window.late.push([ended, Date.now()]);
        }).observe(document.getElementById("moment"), { attributes: true, attributeFilter: ["data-time"] });
        """
    )
    sent: Counter[str] = Counter()
    for number in range(6):
        part = lines[number * 1000 : (number + 1) * 1000 - number * 50]
        put(tmp_path / "in", f"{number}.txt", [*part, *([bad] * number)])
        sent.update(line.rsplit(",", 1)[1] for line in part)
        total = f"{sum(sent.values()):,}"
        browser.until(lambda total=total: browser.run(SHOWN + "return value('Orders so far')") == total)  # type: ignore[misc]
        shown = browser.run(
            SHOWN
            + """return {
              time: document.getElementById("moment").dataset.time, sides: legend("Buys and sells"),
              clients: rows("panel-6"), stocks: rows("panel-7"), rejected: value("Rejected lines"),
              warned: titled("Rejected lines").classList.contains("warning"),
            }"""
        )
        written = (tmp_path / "out" / f"f-{shown['time']}.txt" / "part-00000").read_text()
        sides = {name: [f"{int(text[:-2].replace(',', '')) // 2}"] for name, text in shown["sides"].items()}
        found = [
            *((name.upper(), count) for name, count in sorted(sides.items()) if count != ["0"]),
            ("TOP5CLIENTS", [row[1] for row in shown["clients"]]),
            ("TOP5STOCKS", [row[1] for row in shown["stocks"]]),
        ]
        assert "".join(f"{pair}\n" for pair in found) == written
        assert shown["rejected"] == str(sum(range(number + 1)))
        assert shown["warned"] is (number > 0)
    assert HOSTILE in browser.text(".log")
    assert browser.run("return document.querySelectorAll('img').length") == 0
    assert "recorded up to the batch of" in browser.text("#run")
    assert str(tmp_path / "in") in browser.text("#run")
    late = [shown - int(time) for time, shown in browser.run("return window.late")]
    assert len(late) >= 6
    # From the batch time, so with the batch itself: half a second of interval is left over for that.
    assert sorted(late)[len(late) // 2] < 1000, late
    assert browser.complaints() == []
    folder = Path(os.environ.get("PENSTOCK_PICTURES", tmp_path))
    for width, name in ((1440, "light"), (1440, "dark"), (420, "dark")):
        browser.size(width, 1000)
        browser.theme(name)
        browser.until(lambda: browser.run("return document.querySelectorAll('.chart .main-svg').length") >= 4)
        browser.run(ELSEWHERE, str(tmp_path))
        taken = browser.driver.execute_cdp_cmd(
            "Page.captureScreenshot", {"format": "webp", "quality": 80, "captureBeyondViewport": True}
        )
        picture = base64.b64decode(taken["data"])
        assert 10_000 < len(picture) < 150_000
        (folder / f"brokerage-{width}-{name}.webp").write_bytes(picture)
