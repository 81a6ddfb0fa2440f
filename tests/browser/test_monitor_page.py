"""The monitor's page in a real browser: what it shows is what the API says, and everybody can use it."""

from __future__ import annotations

import json
import os
import random
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock import Conf, Context, StreamingContext
from penstock.clock import ManualClock
from penstock.monitor import monitor as monitor_module
from penstock.monitor.api import monitor_routes
from penstock.monitor.feed import Feed
from penstock.monitor.monitor import Pusher
from penstock.monitor.server import PageServer
from tests.browser.chromium import Browser
from tests.monitor.test_health import Alive, alive
from tests.monitor.test_history import batch

HOSTILE = "<img src=x onerror=\"document.title='stolen'\">"


def ended(time: int, status: str = "completed", **more: Any) -> dict[str, Any]:
    """A batch with all that a page may show of one."""
    output = {
        "id": 0, "name": f"foreachRDD {HOSTILE}", "line": "a.py:1", "status": status, "started": time,
        "duration": 12.5, "error": None, "cause": None,
    }  # fmt: skip
    if status == "failed":
        cause = {"what": f"ValueError: {HOSTILE}", "where": "in map (app.py:7) of partition 0"}
        output |= {"error": f"Traceback\nValueError: {HOSTILE}", "cause": cause}
        more |= {"error": output["error"], "cause": cause}
    given = {
        "id": 0,
        "name": HOSTILE,
        "records": 1500,
        "description": f"2 files: {HOSTILE}",
        "units": 2,
        "left": 0,
    }
    state = {"operator": HOSTILE, "keys": 12_345, "touched": 3, "expired": 1, "bytes": 5_000_000}
    limit = {
        "input": 0,
        "name": HOSTILE,
        "recordsPerSecond": 5000.0,
        "processingRate": 9000.0,
        "backlog": 10.0,
    }
    return batch(
        time, status,
        **{
            "submitted": time, "started": time + 1, "ended": time + 400, "schedulingDelay": 1.0,
            "processingTime": 399.0, "totalDelay": 400.0, "records": 1500, "inputs": [given],
            "outputs": [output], "state": [state], "limits": [limit], "cause": None,
            "operators": [1500, None, None],
            "windows": [{"operator": 2, "slides": 60, "records": 9001}], **more,
        },
    )  # fmt: skip


def full(now: int = 61_000, batches: int = 60) -> Alive:
    """An application with something in every corner of its page."""
    records = [ended(time * 1000, "failed" if time == 30 else "completed") for time in range(1, batches + 1)]
    operators = [
        {"id": 0, "operation": HOSTILE, "line": "a.py:1", "kind": "input", "name": HOSTILE, "every": 1000,
         "window": None, "reads": []},
        {"id": 1, "operation": "updateStateByKey", "line": "a.py:2", "kind": "state", "name": "sums",
         "every": 1000, "window": None, "reads": [0]},
        {"id": 2, "operation": "window", "line": "a.py:3", "kind": "window", "name": None, "every": 1000,
         "window": 60_000, "reads": [1]},
    ]  # fmt: skip
    outputs = [{"id": 0, "name": "foreachRDD", "line": "a.py:9", "writes": HOSTILE, "reads": 2}]
    application = alive(
        *records,
        {"kind": "explained", "output": 0,
         "text": f"  1 {HOSTILE} at a.py:1: columns: str\n  2 map of 1: rows: x"},
        {"kind": "receiver", "stream": 0, "name": HOSTILE, "input": HOSTILE, "active": True,
         "lastErrorMessage": HOSTILE, "lastErrorTime": 5},
        batch(batches * 1000 + 1000, "running", submitted=now - 100, started=now - 50, schedulingDelay=50.0),
        now=now, operators=operators, outputs=outputs, master="local[2]", availableNow=False, stalledAfter=10,
    )  # fmt: skip
    application.history.application["name"] = HOSTILE
    return application


def desk() -> Alive:
    """An application as a desk would have it: orders every second, a few slow batches, one failure."""
    begun = 1_790_000_000_000  # a Monday in September
    chance = random.Random(7)
    source = {"id": 0, "name": "orders", "source": "files /data/orders", "line": "desk.py:12", "paced": True}
    output = {"id": 0, "name": "saveAsTextFiles", "line": "desk.py:31", "writes": "out/figures", "reads": 3}
    steps = [
        ("textFileStream", 12, "input", "orders", None),
        ("parseCsv", 12, "step", None, None),
        ("updateStateByKey", 19, "state", "amounts", None),
        ("reduceByKeyAndWindow", 24, "window", "volumes", 3_600_000),
    ]
    operators = [
        {"id": id, "operation": what, "line": f"desk.py:{line}", "kind": kind, "name": name, "every": 1000,
         "window": window, "reads": [min(id - 1, 1)] if id else []}
        for id, (what, line, kind, name, window) in enumerate(steps)
    ]  # fmt: skip
    application = alive(
        now=begun + 181_400, started=begun, master="local[4]", version="0.1.0", name="brokerage",
        availableNow=False, stalledAfter=10, inputs=[source], outputs=[output], operators=operators,
    )  # fmt: skip
    for number in range(1, 181):
        time = begun + number * 1000
        took = chance.uniform(240, 460) * (3.1 if number in (61, 62, 118) else 1)
        waited = max(0.0, took - 1000) + chance.uniform(0.5, 4)
        failed = number == 119
        records = int(chance.gauss(2400, 420))
        cause = {
            "what": "OSError: [Errno 28] No space left on device",
            "where": "in saveAsTextFiles (desk.py:31)",
        }
        application.history.apply(
            ended(
                time, "failed" if failed else "completed", processingTime=took, schedulingDelay=waited,
                totalDelay=took + waited, records=records, ended=time + int(took),
                operators=[records, records - number % 7, None, None],
                windows=[{"operator": 3, "slides": number, "records": 93 * number}],
                inputs=[{"id": 0, "name": "orders", "records": records, "description": "", "units": 1,
                         "left": 0}],
                state=[{"operator": "updateStateByKey (desk.py:19)", "keys": 400 + number, "touched": 311,
                        "expired": 0, "bytes": 31_000 + 54 * number}],
                limits=[{"input": 0, "name": "orders", "recordsPerSecond": 7600.0, "processingRate": 8000.0,
                         "backlog": 0.0}],
                **({"cause": cause} if failed else {}),
            )
        )  # fmt: skip
    explained = (
        "  1 textFileStream at desk.py:12: columns: str\n  2 parseCsv at desk.py:12 of 1: columns: Order\n"
        "  3 map at desk.py:27 of 2: rows: a list as a result has no column"
    )
    application.history.apply({"kind": "explained", "output": 0, "text": explained})
    now = application.now_ms()
    running = batch(now - 400, "running", submitted=now - 399, started=now - 398, schedulingDelay=1.0)
    application.history.apply(running)
    return application


class Served:
    """A page of an application that is made of records, and pushed to by hand."""

    def __init__(self, application: Alive, port: int = 0) -> None:
        self.application = application
        self.feed = Feed(1)
        self.pusher = Pusher(application, self.feed)
        self.server = PageServer(monitor_routes(application, self.feed), port=port)
        self.url = self.server.start()

    def api(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}api/v1/{path}", timeout=10) as answer:
            return json.load(answer)


Serve = Callable[..., Served]


@pytest.fixture
def serve() -> Iterator[Serve]:
    served: list[Served] = []

    def serve(application: Alive, port: int = 0) -> Served:
        served.append(Served(application, port))
        return served[-1]

    yield serve
    for each in served:
        assert each.server.stop()


def opened(browser: Browser, served: Served) -> None:
    browser.open(served.url)
    browser.until(
        lambda: browser.text("#link") in ("live", "follows the log") and browser.text("#over tbody tr")
    )
    browser.until(lambda: served.feed.readers == 1)


def rows(browser: Browser, table: str) -> list[list[str]]:
    script = """return [...document.querySelectorAll(arguments[0] + ' tbody tr')]
        .map((row) => [...row.cells].map((cell) => cell.innerText))"""
    return list(browser.run(script, table))


def test_the_page_shows_what_the_api_says(browser: Browser, serve: Serve) -> None:
    served = serve(full())
    opened(browser, served)
    listed = served.api("batches?status=completed")["batches"]
    shown = rows(browser, "#over")
    assert len(shown) == 12
    for row, told in zip(shown, listed, strict=False):
        assert row[1] == "✓ completed"
        assert int(row[2].replace(",", "")) == told["records"]
        assert row[3] == f"{told['schedulingDelay']:.0f} ms"
        assert row[4] == f"{told['processingTime']:.0f} ms"
        assert row[5] == f"{told['totalDelay']:.0f} ms"
    application = served.api("application")
    assert browser.text("#t-batches") == str(application["totals"]["batches"])
    assert browser.text("#t-batches-note") == "1 of them failed"
    assert browser.text("#verdict") == "Batches are completed as they come."
    [state] = rows(browser, "#state")
    assert state[0] == "sums"
    assert rows(browser, "#active")[0][1] == "● running"
    operators = rows(browser, "#operators")
    assert [row[4] for row in operators] == ["input", "keeps state", "window"]
    assert [row[2] for row in operators] == ["1,500", "see State", "not known"]
    assert [row[5:7] for row in operators] == [
        ["", ""],
        ["", ""],
        ["60 s, every 1 s", "60 slides, 9,001 records"],
    ]
    assert browser.text(".chart[data-chart=processingTime] .limit-name") == ""  # SVG has no innerText
    limits = "return [...document.querySelectorAll('.limit-name')].map((each) => each.textContent)"
    assert browser.run(limits) == ["interval 1 s", "interval 1 s"]
    assert browser.run("return document.querySelectorAll('.bar.failed').length") == 4
    assert "1 of 2 steps on rows" in browser.text("#outputs")
    assert browser.complaints() == []


def test_hostile_names_are_text_everywhere(browser: Browser, serve: Serve) -> None:
    served = serve(full())
    opened(browser, served)
    browser.run("document.querySelectorAll('details').forEach((each) => { each.open = true })")
    browser.open("about:blank")
    browser.open(f"{served.url}#batch=30000")
    browser.until(lambda: HOSTILE in browser.text("#detail"))
    for place in ("#name", "#detail", "#operators", "#receivers", "#outputs"):
        assert HOSTILE in browser.text(place), place
    assert browser.run("return document.querySelectorAll('main img').length") == 0
    assert browser.run("return document.title").startswith("<img")
    assert browser.complaints() == []


def test_a_batch_opens_to_its_story_and_errors_by_keyboard(browser: Browser, serve: Serve) -> None:
    application = full()
    application.history.apply(ended(61_000, "failed", story="Tick(61000) -> Plan"))
    served = serve(application)
    opened(browser, served)
    browser.run("document.querySelector('#over [data-batch]').focus()")
    browser.keys("ENTER")
    browser.until(lambda: "Tick(61000) -> Plan" in browser.text("#detail"))
    assert "60 slides, 9,001 records" in browser.text("#detail")
    assert "in map (app.py:7)" in browser.text("#detail")
    assert browser.run("return document.activeElement.id") == "detail-title"
    browser.keys("ESCAPE")
    browser.until(lambda: browser.run("return document.getElementById('detail').hidden"))
    assert browser.run("return document.activeElement.dataset.batch") == "61000"
    browser.run("document.querySelector('.chart').focus()")
    browser.keys("ARROW_LEFT", "ARROW_LEFT")
    assert browser.run("return document.querySelectorAll('.bar.at').length") == 4  # the same in each chart
    browser.keys("ENTER")
    browser.until(lambda: not browser.run("return document.getElementById('detail').hidden"))
    assert browser.complaints() == []


def test_everything_that_can_be_done_can_be_reached_by_keyboard(browser: Browser, serve: Serve) -> None:
    opened(browser, serve(full()))
    browser.run("document.activeElement.blur()")
    reached = set()
    for _ in range(80):
        browser.keys("TAB")
        reached.add(
            browser.run("const a = document.activeElement; return a.id || a.dataset.chart || a.tagName")
        )
    assert {"theme", "rate", "processingTime", "only-failed", "older", "SUMMARY", "A"} <= reached


def test_an_update_is_there_within_a_second(browser: Browser, serve: Serve) -> None:
    served = serve(full())
    opened(browser, served)
    served.pusher.push()
    script = """
        const done = arguments[arguments.length - 1], begun = performance.now();
        const look = () => document.querySelector('[data-batch="61000"]')
            && document.getElementById('t-batches').innerText === '61'
            ? done(performance.now() - begun) : requestAnimationFrame(look);
        document.documentElement.dataset.ready = '1'; look();
    """
    browser.driver.set_script_timeout(10)

    def pushes() -> None:
        browser_is_ready.wait(10)
        served.application.history.apply(ended(61_000))
        served.pusher.push()

    browser_is_ready = threading.Event()
    thread = threading.Thread(target=pushes)
    thread.start()
    browser_is_ready.set()
    took_ms = browser.driver.execute_async_script(script)
    thread.join()
    assert took_ms < 1000
    assert browser.complaints() == []


def test_nothing_jumps_when_something_new_comes(browser: Browser, serve: Serve) -> None:
    served = serve(full(now=41_000, batches=40))
    opened(browser, served)
    served.pusher.push()
    places = """return ['#verdict', '.tiles', '.charts', '#active-title', '#over-title', '#state-title',
        '#outputs-title'].map((css) => document.querySelector(css).getBoundingClientRect().top)"""
    browser.until(lambda: browser.text("#t-batches") == "40")
    before = browser.run(places)
    for time in range(41, 46):
        served.application.history.apply(ended(time * 1000, "failed" if time == 43 else "completed"))
        served.pusher.push()
    browser.until(lambda: browser.text("#t-batches") == "45")
    assert browser.run(places) == before


def test_it_survives_a_restart_of_the_server(browser: Browser, serve: Serve) -> None:
    served = serve(full())
    opened(browser, served)
    port = served.server.port
    served.server.stop()
    browser.until(lambda: "does not answer" in browser.text("#verdict"))
    assert len(rows(browser, "#over")) == 12  # what is known stays
    application = full(now=71_000, batches=70)
    application.history.application["run"] = "2"
    again = serve(application, port)
    assert again.server.port == port
    browser.until(lambda: browser.text("#link") == "live" and browser.text("#t-batches") == "70")
    assert browser.text("#verdict") == "Batches are completed as they come."
    assert browser.complaints(but="ERR_") == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a._clock.set(200_000), "no batch was over for 2.3 min"),
        (lambda a: a.history.apply(ended(62_000, "failed")), "has failed: ValueError"),
        (lambda a: (setattr(a, "alive", False), a.history.apply({"kind": "end", "time": 5, "error": None})),
         "The application has ended at"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_words(
    browser: Browser, serve: Serve, change: Callable[[Alive], object], words: str
) -> None:
    served = serve(full())
    opened(browser, served)
    change(served.application)
    served.pusher.push(last=False)
    served.application.history.changes += 1
    served.pusher.push()
    browser.until(lambda: words.lower() in browser.text("#verdict").lower())
    assert browser.complaints() == []


def test_an_empty_page_says_so(browser: Browser, serve: Serve) -> None:
    served = serve(alive(now=500, master="local[2]"))
    browser.open(served.url)
    browser.until(lambda: browser.text("#link") == "live")
    browser.until(lambda: "No batch was over yet" in browser.text("#verdict"))
    assert "No batch is over yet." in browser.text("#over")
    assert "No operator of this program keeps state." in browser.text("#state")
    assert browser.text(".plot") == "No batch is over yet."
    assert browser.complaints() == []


@pytest.mark.parametrize("width", [420, 1440])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_both_themes_on_narrow_and_wide_screens(
    browser: Browser, serve: Serve, tmp_path: Path, width: int, theme: str
) -> None:
    browser.size(width, 900)
    browser.theme(theme)
    served = serve(desk())
    opened(browser, served)
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth"), (
        "the page scrolls sideways"
    )
    ends = browser.run(
        "const table = document.getElementById('operators');"
        "return [table.querySelectorAll('th')[2], table.parentNode]"
        ".map((each) => each.getBoundingClientRect().right)"
    )
    assert ends[0] <= ends[1], "how many records an operator made is seen without scrolling"
    contrasts = browser.run(CONTRASTS)
    assert min(contrasts.values()) >= 4.5, contrasts
    background = browser.run("return getComputedStyle(document.documentElement).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 200) is (theme == "dark")
    browser.picture(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 20_000
    if "PENSTOCK_PICTURES" in os.environ:  # where the documentation's pictures go
        browser.size(width, 860)
        browser.until(lambda: browser.run("return innerHeight") == 860)
        browser.picture(Path(os.environ["PENSTOCK_PICTURES"]) / f"monitor-{theme}-{width}.png", whole=False)
    browser.run("document.getElementById('theme').click()")
    switched = browser.run("return getComputedStyle(document.documentElement).backgroundColor")
    assert switched != background
    browser.driver.refresh()
    browser.until(lambda: browser.text("#link") == "live")
    assert browser.run("return getComputedStyle(document.documentElement).backgroundColor") == switched
    assert browser.complaints() == []


# The contrast of text to what is behind it, as WCAG has it: 4.5 is enough for all.
CONTRASTS = """
    const light = (text) => {
        const parts = text.match(/[\\d.]+/g).slice(0, 3).map((part) => {
            const value = part / 255;
            return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
    };
    const behind = (node) => {
        for (let each = node; each; each = each.parentElement) {
            const color = getComputedStyle(each).backgroundColor;
            if (!/, 0\\)$/.test(color) && color !== 'transparent') return color;
        }
        return getComputedStyle(document.documentElement).backgroundColor;
    };
    const found = {};
    for (const css of ['h1', '.facts', '.link', '#verdict', '.tile span', '.tile i', '.tile b',
                       'figcaption em', 'th', 'td', '.status.completed', '.status.running', 'td .link-button',
                       '.note', 'footer a',
                       '.how.rows-form', 'button']) {
        const node = document.querySelector(css);
        const [a, b] = [light(getComputedStyle(node).color), light(behind(node))].sort((x, y) => y - x);
        found[css] = (a + 0.05) / (b + 0.05);
    }
    return found;
"""


def test_the_page_of_a_stream_that_runs(
    browser: Browser, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(monitor_module, "_AFTER_S", 0.0)
    with Context("local[2]", "desk", conf=Conf().set("spark.ui.port", "0")) as sc:
        sc.setCheckpointDir(str(tmp_path / "rdds"))
        ssc = StreamingContext(sc, 0.2)
        pairs = ssc.queueStream([[(HOSTILE, n), ("AAPL", 1)] for n in range(3)])
        sums = pairs.updateStateByKey(lambda values, state: sum(values) + (state or 0)).name("sums")
        sums.foreachRDD(lambda rdd: rdd.count())
        ssc.start()
        browser.until(lambda: ssc.uiWebUrl)
        assert ssc.uiWebUrl is not None
        browser.open(ssc.uiWebUrl)
        browser.until(lambda: browser.text("#t-records") == "6")
        browser.until(lambda: rows(browser, "#state") and rows(browser, "#state")[0][2] == "2")
        browser.until(lambda: [row[2] for row in rows(browser, "#operators")] == ["0", "see State", "2"])
        browser.run("document.getElementById('ask-key').value = arguments[0]", json.dumps(HOSTILE))
        browser.run("document.querySelector('#ask button').click()")
        browser.until(lambda: browser.text("#ask-answer") == "3")
        browser.run("document.getElementById('ask-key').value = ''")
        browser.run("document.querySelector('#ask button').click()")
        browser.until(lambda: HOSTILE.replace('"', '\\"') in browser.text("#ask-answer"))
        assert browser.complaints() == []
        ssc.stop(stopSparkContext=False)
        browser.until(lambda: "ended" in browser.text("#verdict"))


def test_the_page_of_an_application_that_has_ended(browser: Browser, serve: Serve) -> None:
    from penstock.monitor.application import Logged

    running = full()
    running.history.apply({"kind": "end", "time": 61_500, "error": None})
    served = serve(Logged(running.history, ManualClock(100_000_000), "/nowhere"))  # type: ignore[arg-type]
    opened(browser, served)
    assert "The application has ended at" in browser.text("#verdict")
    assert browser.run("return document.getElementById('ask').hidden")
    assert browser.complaints() == []


def test_the_page_of_a_log_follows_it(browser: Browser, tmp_path: Path) -> None:
    from penstock.monitor.ended import LogPage
    from tests.monitor.test_log import Writer

    writer, clock = Writer(tmp_path), ManualClock(2_000)
    writer.write(ended(1000))
    page = LogPage(str(tmp_path), clock, 0, every_s=0.02)
    browser.open(page.start())
    try:
        browser.until(lambda: browser.text("#link") == "follows the log")
        browser.until(lambda: "It still runs, as far as its log tells" in browser.text("#verdict"))
        writer.write(ended(2000), ended(3000))
        browser.until(lambda: len(rows(browser, "#over")) == 3)
        clock.set(60_000)
        browser.until(lambda: "The application is dead, or hangs" in browser.text("#verdict"))
        writer.write({"kind": "end", "time": 60_500, "error": None})
        browser.until(lambda: "The application has ended at" in browser.text("#verdict"))
        assert browser.complaints() == []
    finally:
        page.stop()
