"""A dashboard in a notebook: figures that go on while the stream runs, without IPython and with a kernel."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from penstock import Conf, Context, StreamingContext
from penstock.clock import ManualClock
from penstock.monitor.dashboard import Dashboard
from penstock.monitor.notebook import LiveFigures, in_a_notebook
from penstock.testing import Stepper

SOURCE = Path(__file__).resolve().parents[2] / "src"


class Cell:
    """What a front end shows: its outputs, in place of which new ones come."""

    def __init__(self) -> None:
        self.outputs: list[dict[str, Any]] = []
        self.changed = threading.Condition()
        self.updates = 0
        self.broken = False

    def display(self, bundle: dict[str, Any], *, raw: bool, display_id: bool = False) -> Any:
        assert raw
        self.outputs.append(bundle)
        place = len(self.outputs) - 1
        return SimpleNamespace(update=lambda new, raw: self._update(place, new)) if display_id else None

    def _update(self, place: int, bundle: dict[str, Any]) -> None:
        if self.broken:
            raise ConnectionError("the kernel is gone")
        with self.changed:
            self.outputs[place] = bundle
            self.updates += 1
            self.changed.notify_all()

    def text(self) -> list[str]:
        return [output["text/plain"] for output in self.outputs]

    def until(self, *words: str) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.text()[-len(words) :] == list(words), 10), self.text()


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Cell:
    """A kernel that shows what it is given."""
    pytest.importorskip("plotly", reason="Hint: pip install 'penstock[ui]'")
    cell = Cell()
    package, display = ModuleType("IPython"), ModuleType("IPython.display")
    package.get_ipython = lambda: SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    display.display = cell.display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return cell


@pytest.fixture
def stepper() -> Iterator[Stepper]:
    clock = ManualClock()
    with Context(conf=Conf().setMaster("local[1]").set("spark.ui.enabled", False)) as sc:
        ssc = StreamingContext(sc, 1, clock=clock)
        stream = ssc.queueStream([[number] for number in range(1, 9)])
        ssc.dashboard("Desk <b>", noun="orders").line("Line", stream).number("Sum", stream, total=True)
        with Stepper(ssc, clock) as stepper:
            yield stepper


def board_of(stepper: Stepper) -> Dashboard:
    (board,) = stepper.ssc.graph.shown
    assert isinstance(board, Dashboard)
    return board


def live_of(board: Dashboard, cell: Cell) -> LiveFigures:
    live = LiveFigures(board.title, board.board, pause_s=0.0)
    live.show()
    return live


def test_figures_go_on_with_the_batches_and_end_with_them(stepper: Stepper, cell: Cell) -> None:
    board = board_of(stepper)
    stepper.step()
    live = live_of(board, cell)
    assert cell.text() == ["Desk <b>", "Line: 1", "Sum: 1 (1 in the newest batch)"]
    stepper.step()
    cell.until("Line: 2", "Sum: 3 (2 in the newest batch)")
    stepper.step()
    cell.until("Line: 3", "Sum: 6 (3 in the newest batch)")
    spec = cell.outputs[1]["application/vnd.plotly.v1+json"]
    assert spec["data"][0]["y"] == list(board.figures()["Line"].data[0].y) == [1.0, 2.0, 3.0]
    stepper.ssc.stop(stopSparkContext=False)
    live._thread.join(10)
    assert not live._thread.is_alive()


def test_html_of_a_notebook_is_escaped_and_fetches_nothing(stepper: Stepper, cell: Cell) -> None:
    live = live_of(board_of(stepper), cell)
    html = [output["text/html"] for output in cell.outputs]
    assert html[0].startswith("<h2>Desk &lt;b&gt;</h2><script>")
    assert not any('src="' in part for part in html[1:])
    live.stop()


def test_what_is_shown_again_goes_on_in_the_newest_place(stepper: Stepper, cell: Cell) -> None:
    board = board_of(stepper)
    board._ipython_display_()
    first = board._live
    board.show()
    assert first is not None
    first._thread.join(10)
    assert not first._thread.is_alive()
    assert board._live is not None
    assert board._live._thread.is_alive()
    assert cell.text() == ["Desk <b>", "Line: no orders yet", "Sum: no orders yet"] * 2


def test_a_kernel_that_is_gone_ends_the_figures_and_not_the_stream(
    stepper: Stepper, cell: Cell, caplog: pytest.LogCaptureFixture
) -> None:
    live = live_of(board_of(stepper), cell)
    cell.broken = True
    stepper.step()
    live._thread.join(10)
    assert not live._thread.is_alive()
    assert "the kernel is gone" in caplog.text
    stepper.step()
    assert board_of(stepper).text().endswith("Sum: 3 (2 in the newest batch)")


def test_without_a_kernel_a_dashboard_is_words(
    stepper: Stepper, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not in_a_notebook()
    assert "IPython" not in sys.modules  # it is not loaded to find that out
    terminal = ModuleType("IPython")
    terminal.get_ipython = lambda: SimpleNamespace()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", terminal)
    stepper.step()
    board_of(stepper)._ipython_display_()
    assert capsys.readouterr().out == "Desk <b>\nLine: 1\nSum: 1 (1 in the newest batch)\n"


def test_without_plotly_a_notebook_has_the_words(
    stepper: Stepper, cell: Cell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    board_of(stepper)._ipython_display_()
    said = capsys.readouterr().out
    assert "Hint: pip install 'penstock[ui]'." in said
    assert said.endswith("Sum: no orders yet\n")
    assert cell.outputs == []


SETUP = """
import sys
sys.path.insert(0, {source!r})
from penstock import Conf, SparkContext, StreamingContext
from penstock.clock import ManualClock
from penstock.testing import Stepper

clock = ManualClock()
sc = SparkContext(conf=Conf().setMaster("local[1]").set("spark.ui.enabled", False))
ssc = StreamingContext(sc, 1, clock=clock)
orders = ssc.queueStream([[("buys", 3)], [("buys", 4), ("sells", 1)], [("sells", 2)]])
desk = ssc.dashboard("Desk", noun="orders").line("Orders", orders).number("Sum", orders, total=True)
desk
"""
STEPS = """
stepper = Stepper(ssc, clock).__enter__()
stepper.step()
stepper.step()
live, seen = desk._live, 0
while live._counts != desk.board.counts():
    live._over.wait(0.05)
"""
END = """
stepper.step()
ssc.stop(stopSparkContext=False)
live._thread.join(20)
print(live._thread.is_alive(), sorted(name for name in sys.modules if name in ("starlette", "uvicorn")))
sc.stop()
"""


@pytest.mark.timing
def test_a_real_kernel_shows_figures_that_go_on() -> None:
    nbformat = pytest.importorskip("nbformat", reason="Hint: pip install nbclient")
    nbclient = pytest.importorskip("nbclient", reason="Hint: pip install nbclient")
    pytest.importorskip("ipykernel", reason="Hint: pip install ipykernel")
    pytest.importorskip("plotly", reason="Hint: pip install 'penstock[ui]'")
    cells = [SETUP.format(source=str(SOURCE)), STEPS, END]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
    client = nbclient.NotebookClient(book, timeout=60, kernel_name="python3")
    shown = []
    with client.setup_kernel():
        for number, each in enumerate(book.cells):
            client.execute_cell(each, number)
            outputs = [output["data"] for output in book.cells[0].outputs]
            shown.append([data["text/plain"] for data in outputs])
    assert shown == [
        ["Desk", "Orders: no orders yet", "Sum: no orders yet"],
        ["Desk", "Orders: buys 4, sells 1", "Sum: 8 (5 in the newest batch)"],
        ["Desk", "Orders: buys none, sells 2", "Sum: 10 (2 in the newest batch)"],
    ]
    lines = {trace["name"]: trace["y"] for trace in outputs[1]["application/vnd.plotly.v1+json"]["data"]}
    assert lines == {"buys": [3.0, 4.0, None], "sells": [None, 1.0, 2.0]}
    assert book.cells[2].outputs[0]["text"] == "False []\n"
