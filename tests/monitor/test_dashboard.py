"""Dashboards of streams: outputs like any other, and what they show of batches that are over."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator
from decimal import Decimal
from operator import add, sub
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from penstock import Conf, Context, StreamingContext
from penstock.clock import ManualClock
from penstock.errors import ArgumentError, DataError, SignatureError, StateError
from penstock.monitor.board import Board, Facts
from penstock.monitor.dashboard import Dashboard, dashboards_of
from penstock.monitor.panels import LinePanel
from penstock.testing import Stepper
from penstock.times import BatchTime

Batches = list[list[Any]]


@pytest.fixture
def sc() -> Iterator[Context]:
    with Context(conf=Conf().setMaster("local[2]").setAppName("desk").set("spark.ui.enabled", False)) as sc:
        yield sc


class Run:
    """A stream of these batches with a dashboard, run by hand."""

    def __init__(self, sc: Context, batches: Batches, interval: float = 1) -> None:
        self.clock = ManualClock()
        self.ssc = StreamingContext(sc, interval, clock=self.clock)
        self.stream = self.ssc.queueStream([sc.parallelize(batch, 2) for batch in batches])
        self.board: Dashboard = self.ssc.dashboard("Desk", noun="orders")
        self.batches = len(batches)

    def go(self) -> Dashboard:
        with Stepper(self.ssc, self.clock) as stepper:
            for _ in range(self.batches):
                stepper.step()
        return self.board


@pytest.mark.parametrize(
    ("frame_ms", "read"),
    [(0, [1, 2, 3, 4, 5, 6]), (200, [1, 3, 5, 6]), (10_000, [1, 6])],  # a batch takes 100 ms
)
def test_of_batches_that_come_fast_only_some_are_read_for_what_shows_the_newest(
    sc: Context, monkeypatch: pytest.MonkeyPatch, frame_ms: int, read: list[int]
) -> None:
    monkeypatch.setattr("penstock.monitor.board._FRAME_NS", frame_ms * 1_000_000)
    run = Run(sc, [[n] for n in range(1, 7)])
    shown: list[Any] = []
    seen = run.stream.map(lambda n: (n, shown.append(n))[0])
    run.board.table("Newest", seen).number("So far", run.stream, total=True).log("All", run.stream)
    run.stream.foreachRDD(lambda rdd: run.clock.advance(100))
    with Stepper(run.ssc, run.clock):
        for _ in range(6):  # all of them wait before the first one runs
            run.clock.advance(1000)
            run.ssc.driver.tick(BatchTime(run.clock.now_ms()))
        run.ssc.driver.work()
        assert shown == read
        assert run.board.text().splitlines()[:4] == [
            "Desk", "Newest: column 1", "  6", "So far: 21 (6 in the newest batch)",
        ]  # fmt: skip
        assert [line[-1] for line in run.board.text().splitlines()[5:]] == list("123456")


def test_a_stream_that_slides_slowly_is_read_when_its_turn_comes(
    sc: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for before each batch, it has something in every third; between two of these 300 ms pass."""
    monkeypatch.setattr("penstock.monitor.board._FRAME_NS", 250_000_000)
    run = Run(sc, [[n] for n in range(1, 11)])
    shown: list[int] = []
    sums = run.stream.reduceByWindow(add, None, 3, 3).map(lambda n: (n, shown.append(n))[0])
    run.board.table("Sums", sums)
    run.stream.foreachRDD(lambda rdd: run.clock.advance(100))
    with Stepper(run.ssc, run.clock):
        for _ in range(10):
            run.clock.advance(1000)
            run.ssc.driver.tick(BatchTime(run.clock.now_ms()))
        run.ssc.driver.work()
    assert shown == [1 + 2 + 3, 4 + 5 + 6, 7 + 8 + 9]


def test_all_panels_of_one_stream(sc: Context) -> None:
    run = Run(sc, [[("EPE", 3), ("T", 4)], [("T", 5), ("EPE", 9)]], interval=2)
    run.board.line("Shares", run.stream, per_second=True).bar("Bars", run.stream).table(
        "Table", run.stream, columns=["Security", ("Paid", "$")], key="Security"
    ).number("So far", run.stream, total=True).number("Orders", run.stream, count=True).log("Log", run.stream)
    run.board.batches()
    lines = run.go().text().splitlines()
    assert lines[:13] == [
        "Desk",
        "Shares: EPE 4.5/s, T 2.5/s",
        "Bars:",
        "  T  5",
        "  EPE  9",
        "Table: Security, Paid",
        "  T  $5  ▲ 1",
        "  EPE  $9  ▼ 1",
        "So far: 21 (14 in the newest batch)",
        "Orders: 2",
        "Log:",
        lines[11],
        lines[12],
    ]
    assert [line[12:] for line in lines[11:15]] == ["EPE · 3", "T · 4", "T · 5", "EPE · 9"]
    assert lines[15].startswith("Processing time: processing ")


def test_streams_side_by_side_are_series(sc: Context) -> None:
    run = Run(sc, [[1, 2, 3], [4]])
    odd = run.stream.filter(lambda x: x % 2 == 1)
    run.board.line("Counts", ("all", run.stream.count()), ("odd", odd.count()))
    assert run.go().text() == "Desk\nCounts: all 1, odd 0"


def test_names_of_several_streams_stand_behind_those_of_the_streams(sc: Context) -> None:
    run = Run(sc, [[("a", 1), ("b", 2)], [("b", 3)]])
    tenfold = run.stream.map(lambda pair: (pair[0], pair[1] * 10))
    run.board.line("Counts", ("one", run.stream), ("ten", tenfold), per_second=True)
    assert run.go().text() == "Desk\nCounts: one a 0/s, one b 3/s, ten a 0/s, ten b 30/s"


def test_per_second_of_a_window_is_of_all_its_time(sc: Context, tmp_path: Path) -> None:
    sc.setCheckpointDir(str(tmp_path))
    run = Run(sc, [[1] * 10] * 6)
    window = run.stream.window(4, 2)
    counts = run.stream.map(lambda x: (x, 1))
    run.board.number("Window", window.count(), per_second=True)
    run.board.line("Of windows", window.window(4, 2).count(), per_second=True)
    run.board.line("Corrected", counts.reduceByKeyAndWindow(add, sub, 4, 2), per_second=True)
    run.board.line("Slide", run.stream.count(), per_second=True)
    panels = {panel.title: panel.spans_ms for panel in run.go().panels}
    assert panels == {"Window": (4000,), "Of windows": (6000,), "Corrected": (4000,), "Slide": (1000,)}
    lines = run.board.text().splitlines()
    assert (lines[1], lines[3], lines[4]) == ("Window: 10/s", "Corrected: 1 10/s", "Slide: 10/s")


def test_a_long_program_is_looked_through(sc: Context) -> None:
    run = Run(sc, [[1]])
    stream = run.stream
    for _ in range(40):
        stream = stream.union(stream)  # of 2^40 ways through it, none is gone twice
    for _ in range(2000):
        stream = stream.map(lambda x: x)
    run.board.number("Last", stream, per_second=True)
    assert run.board.panels[0].spans_ms == (1000,)


def test_a_dashboard_that_reads_no_stream_follows_the_batches(sc: Context) -> None:
    run = Run(sc, [[1], [2]])
    run.stream.foreachRDD(lambda rdd: rdd.count())
    run.board.batches()
    run.ssc.dashboard("Nothing on it")
    board = run.go()
    assert dashboards_of(run.ssc.graph) == [board]
    assert board.text() == "Desk\nProcessing time: processing 0 ms, waiting 0 ms"
    assert len(board.board.view(0)["times"]) == 2


def test_all_who_wait_hear_what_is_new(sc: Context) -> None:
    run = Run(sc, [[1], [2]])
    run.board.log("Log", run.stream)
    board, heard = run.board.board, [threading.Event() for _ in range(3)]

    def follow(event: threading.Event) -> None:
        seen = 0
        while not board.over:
            seen = board.wait_for_news(seen)
        event.set()

    threads = [threading.Thread(target=follow, args=(event,), daemon=True) for event in heard]
    for thread in threads:
        thread.start()
    run.go()
    assert all(event.wait(10) for event in heard)


def test_panels_of_one_stream_are_one_output_that_takes_few_records(sc: Context) -> None:
    run = Run(sc, [list(range(1000))])
    seen: list[int] = []

    def note(x: int) -> int:
        seen.append(x)
        return x

    watched = run.stream.mapPartitions(lambda part: (note(x) for x in part))
    run.board.log("Some", watched, rows=5).table("Fewer", watched, rows=2)
    assert len(run.ssc.graph.outputs) == 1
    board = run.go()
    assert len(board.board.view(0)["lines"]) == 5
    assert board.board.view(1)["more"] is True


def test_a_count_is_exact_however_many_there_are(sc: Context) -> None:
    run = Run(sc, [list(range(1000)), [1]])
    run.board.number("Orders", run.stream, count=True, total=True).log("Some", run.stream, rows=5)
    assert run.go().text().splitlines()[1] == "Orders: 1,001 (1 in the newest batch)"


def test_a_stream_that_slides_more_slowly_has_fewer_points(sc: Context) -> None:
    run = Run(sc, [[1], [2], [3], [4]])
    run.board.line("Window", run.stream.window(2, 2).reduce(add)).line("Each", run.stream)
    board = run.go()
    assert board.board.view(0)["times"] == [2000, 4000]
    assert board.board.view(0)["series"][0]["values"] == [3.0, 7.0]
    assert board.board.view(1)["times"] == [1000, 2000, 3000, 4000]


def test_a_record_that_does_not_fit_fails_its_batch_and_shows_nothing_of_it(sc: Context) -> None:
    run = Run(sc, [[1], ["many"], [3]])
    run.board.line("Numbers", run.stream)
    others: list[list[Any]] = []
    run.stream.foreachRDD(lambda rdd: others.append(rdd.collect()))
    with Stepper(run.ssc, run.clock) as stepper:
        stepper.step()
        with pytest.raises(DataError, match="line 'Numbers' got 'many'"):
            stepper.step()
    assert others == [[1], ["many"]]  # other outputs run all the same
    state = run.board.board.state()
    assert state["panels"]["panel-1"]["series"][0]["values"] == [1.0]
    assert "line 'Numbers' got 'many'" in state["status"]["failure"]
    assert (state["status"]["batches"], state["status"]["failed"]) == (2, 1)


def test_the_state_of_the_run(sc: Context) -> None:
    run = Run(sc, [[1, 2], []])
    run.board.number("Orders", run.stream.count())
    assert run.board.board.state()["status"]["phase"] == "new"
    run.go()
    status = run.board.board.state()["status"]
    assert (status["phase"], status["app"], status["interval"]) == ("over", "desk", 1000)
    assert (status["batches"], status["failed"], status["waiting"], status["time"]) == (2, 0, 0, 2000)
    assert status["checkpoint"] is None
    assert status["last"] == {"panel-1": 1000}  # nothing came in the second batch


def test_what_is_new_is_what_came_since(sc: Context) -> None:
    run = Run(sc, [[1], [2], [3]])
    run.board.line("Numbers", run.stream).log("Log", run.stream).bar(
        "Bars", run.stream.filter(lambda x: False)
    )
    with Stepper(run.ssc, run.clock) as stepper:
        stepper.step()
        first, counts = run.board.board.taken([-1, -1, -1])
        whole = run.board.board.state()
        assert first["panels"] == whole["panels"]
        assert (first["run"], first["number"] + 1) == (whole["run"], whole["number"])
        still, counts = run.board.board.taken(counts)
        assert still["panels"] == {}
        stepper.step()
        stepper.step()
        news, counts = run.board.board.taken(counts)
    assert news["panels"]["panel-1"]["from"] == 1
    assert news["panels"]["panel-1"]["times"] == [2000, 3000]
    assert news["panels"]["panel-2"]["lines"] == [[2000, "2"], [3000, "3"]]


def test_readings_that_nobody_takes_are_dropped_and_nobody_waits() -> None:
    line = LinePanel(id="p", title="t", noun="n", width=6, spans_ms=(1000,), names=("x",))
    board = Board([line])
    for number in range(20_000):
        board.leave(number, [(0, 0, {"x": 1.0})])
    assert len(board._left) == 10_000


def test_a_board_can_be_read_while_batches_go_on(sc: Context) -> None:
    run = Run(sc, [[number] for number in range(40)])
    run.board.line("Numbers", run.stream, points=10).log("Log", run.stream, rows=7)
    over = threading.Event()
    states: list[Any] = []

    def read() -> None:
        while not over.is_set():
            states.append(run.board.board.state()["panels"])

    reader = threading.Thread(target=read)
    reader.start()
    try:
        run.go()
    finally:
        over.set()
        reader.join()
    for panels in states:
        values = [value for each in panels["panel-1"]["series"] for value in each["values"]]
        assert values == sorted(values)
        assert len(values) == len(panels["panel-1"]["times"]) <= 10
        assert len(panels["panel-2"]["lines"]) <= 7


# ------------------------------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda d, s: d.line("", s), SignatureError, "line needs a title of text, not ''"),
        (lambda d, s: d.line("A"), ArgumentError, "line needs at least one DStream"),
        (lambda d, s: d.line("A", *[s] * 9), ArgumentError, "at most 8 series, not 9"),
        (lambda d, s: d.line("A", [1]), SignatureError, "line needs a DStream, not list"),
        (lambda d, s: d.line("A", ("x", "y", s)), SignatureError, "pairs of a name and a DStream"),
        (lambda d, s: d.line("A", ("x", s), ("x", s)), ArgumentError, "two series of one name: x, x"),
        (lambda d, s: d.line("A", s, points=0), ArgumentError, "points from 1 to 10,000, not 0"),
        (lambda d, s: d.line("A", s, unit=3), SignatureError, "line needs unit of text, not 3"),
        (lambda d, s: d.line("A", s, labels=["x"]), SignatureError, "labels as a dict of names and texts"),
        (lambda d, s: d.bar("A", s, labels={1: 2}), SignatureError, "bar needs labels as a dict"),
        (lambda d, s: d.log("A", s, text="{0}"), SignatureError, "a function as text, not '{0}'"),
        (lambda d, s: d.bar("A", s, rows=True), SignatureError, "rows as a whole number, not True"),
        (lambda d, s: d.bar("A", s, width=13), ArgumentError, "width from 1 to 12, not 13"),
        (lambda d, s: d.table("A", s, columns="ab"), SignatureError, "a list of columns, not 'ab'"),
        (lambda d, s: d.table("A", s, columns=[1]), SignatureError, "columns of text"),
        (
            lambda d, s: d.table("A", s, columns=["a", "b"], key="c"),
            ArgumentError,
            "no column 'c'. Hint: 'a' or 'b'.",
        ),
        (lambda d, s: d.table("A", s, columns=["a"], key=1), ArgumentError, "no column number 1"),
        (lambda d, s: d.table("A", s, compared=0), ArgumentError, "compared"),
        (lambda d, s: d.number("A", s, total=True, per_second=True), ArgumentError, "not both"),
        (lambda d, s: d.number("A", s, decimals=-1), ArgumentError, "decimals from 0 to 20"),
        (lambda d, s: d.log("A", s, rows=10**6), ArgumentError, "rows from 1 to 1,000"),
        (lambda d, s: d.log("A", s).log("A", s), ArgumentError, "has a panel 'A' already"),
    ],
)
def test_what_cannot_be_meant_is_said_at_once(
    sc: Context, make: Any, error: type[Exception], says: str
) -> None:
    run = Run(sc, [[1]])
    with pytest.raises(error, match=says.replace("(", r"\(").replace(".", r"\.")):
        make(run.board, run.stream)


def test_a_stream_of_another_context_is_refused(sc: Context) -> None:
    other = StreamingContext(sc, 1).queueStream([[1]])
    with pytest.raises(ArgumentError, match="a DStream of the dashboard's StreamingContext"):
        Run(sc, [[1]]).board.log("Log", other)


def test_titles_and_addresses(sc: Context) -> None:
    ssc = StreamingContext(sc, 1)
    assert [ssc.dashboard(title).slug for title in ("A desk", "A-Desk!", "주문", "?")] == [
        "a-desk",
        "a-desk-2",
        "dashboard",
        "dashboard-2",
    ]
    with pytest.raises(ArgumentError, match="a dashboard 'A desk' already"):
        ssc.dashboard("A desk")
    with pytest.raises(SignatureError, match="a title of text, not 7"):
        ssc.dashboard(7)  # type: ignore[arg-type]


def test_nothing_is_added_after_the_start(sc: Context) -> None:
    run = Run(sc, [[1]])
    run.board.log("Log", run.stream)
    run.go()
    for add_one in (lambda: run.board.log("More", run.stream), lambda: run.board.batches()):
        with pytest.raises(StateError, match="after stopping a context"):
            add_one()


# ------------------------------------------------------------------------------- stored with a program


def test_a_dashboard_is_stored_with_its_program_without_what_it_showed(sc: Context, tmp_path: Path) -> None:
    def setup() -> StreamingContext:
        ssc = StreamingContext(sc, 1)
        stream = ssc.textFileStream(str(tmp_path / "in"), newFilesOnly=False)
        ssc.dashboard("Desk", noun="lines").number("Lines", stream, count=True, total=True).log("Log", stream)
        return ssc

    (tmp_path / "in").mkdir()
    texts = []
    for number in range(2):
        (tmp_path / "in" / f"{number}.txt").write_text("a\nb\n")
        ssc = StreamingContext.getOrCreate(str(tmp_path / "checkpoint"), setup)
        (board,) = dashboards_of(ssc.graph)
        ssc.start(availableNow=True)
        ssc.awaitTermination()
        ssc.stop(stopSparkContext=False)
        texts.append(board.text().splitlines()[:2])
        status = board.board.state()["status"]
        assert status["checkpoint"] == str(tmp_path / "checkpoint")
        assert status["recorded"] == status["time"]
    assert texts == [["Desk", "Lines: 2 (2 in the newest batch)"]] * 2


def test_what_a_dashboard_shows_is_not_pickled(sc: Context) -> None:
    run = Run(sc, [[1]])
    run.board.log("Log", run.stream)
    board = run.go()
    board._ssc = None
    board._readers.clear()
    again = pickle.loads(cloudpickle.dumps(board))
    assert again.text() == "Desk\nLog: no orders so far"
    assert "1" in board.text()


# ------------------------------------------------------------------------------------------ notebooks


def test_figures_hold_what_is_shown(sc: Context) -> None:
    pytest.importorskip("plotly", reason="Hint: pip install 'penstock[ui]'")
    hostile = "<b>x</b>"
    run = Run(sc, [[("a", 1), (hostile, 2)], [("a", 3), (hostile, 4)]])
    run.board.line("Line", run.stream).bar("Bar", run.stream).table("Table", run.stream, key=0)
    run.board.number("Number", run.stream, total=True).log("Log", run.stream).batches("Batches")
    figures = run.go().figures()
    assert list(figures) == ["Line", "Bar", "Table", "Number", "Log", "Batches"]
    line = {trace.name: list(trace.y) for trace in figures["Line"].data}
    assert line == {"&lt;b&gt;x&lt;/b&gt;": [2.0, 4.0], "a": [1.0, 3.0]}
    assert list(figures["Bar"].data[0].x) == [3.0, 4.0]
    assert list(figures["Table"].data[0].cells.values[1]) == ["3", "4"]
    assert figures["Number"].layout.annotations[0].text == "10"
    assert list(figures["Log"].data[0].cells.values[1])[-1] == "&lt;b&gt;x&lt;/b&gt; · 4"
    assert [trace.name for trace in figures["Batches"].data] == ["processing", "waiting"]
    assert figures["Batches"].layout.shapes[0].y0 == 1000


def test_a_notebook_gets_figures_that_fetch_nothing(sc: Context) -> None:
    pytest.importorskip("plotly", reason="Hint: pip install 'penstock[ui]'")
    run = Run(sc, [[1]])
    run.board.line("Line <one>", run.stream).bar("Two", run.stream.map(lambda x: ("x", x)))
    html = run.go()._repr_html_()
    assert html.count("Plotly.newPlot(") >= 2
    assert 'src="http' not in html


def test_decimals_stay_exact_on_the_way(sc: Context) -> None:
    run = Run(sc, [[("72", Decimal("54411644.22"))]])
    run.board.table("Clients", run.stream, columns=["Client", ("Amount", "$")])
    assert run.go().text().splitlines()[2] == "  72  $54,411,644.22"


def test_facts_need_no_stream() -> None:
    board = Board([])
    board.begin(Facts(1000, ManualClock(5000)))
    board.end()
    assert board.state()["status"]["now"] == 5000
