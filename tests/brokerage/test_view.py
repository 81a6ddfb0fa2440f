"""The dashboard while it runs: whose figures are shown, on what, and what if nobody looks any more."""

from __future__ import annotations

import errno
import io
import logging

import pytest
from rich.console import Console

from penstock.brokerage.messages import shown_on
from penstock.brokerage.options import Options
from penstock.brokerage.view import View
from penstock.clock import ManualClock
from penstock.context import Context
from penstock.scheduler import BatchInfo
from penstock.scheduler.listener import BatchEvent
from penstock.times import local_datetime

OPTIONS = Options("in", "out/figures", interval_s=5, window_s=60)
START_MS = 1_458_678_330_000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_MS)


def terminal(file: io.StringIO, width: int = 80) -> Console:
    return Console(
        file=file, width=width, height=24, force_terminal=True, color_system=None, _environ={"TERM": "xterm"}
    )


def completed(time: int, failure: str | None = None) -> BatchEvent:
    return BatchEvent(BatchInfo(time, time, {}, processingDelay=20.0, failureReason=failure))


def bring(view: View, sc: Context, time: int, buys: int, sells: int, rejected: int = 0) -> None:
    """What the outputs of a batch bring."""
    moment = local_datetime(time)
    view.rejected(moment, rejected)
    view.take_sides(moment, sc.parallelize([(True, buys), (False, sells)]))
    view.take_clients(moment, sc.parallelize([(buys, 100)]))
    view.take_stocks(moment, sc.parallelize([("EPE", sells)]))


def test_a_batch_is_shown_with_its_own_figures_however_far_the_next_one_is(clock: ManualClock) -> None:
    out = io.StringIO()
    with Context("local[1]", "test") as sc, View(Console(file=out, width=200), OPTIONS, clock=clock) as view:
        bring(view, sc, 5_000, buys=1, sells=2, rejected=3)
        bring(view, sc, 10_000, buys=10, sells=20, rejected=30)
        view.onBatchCompleted(completed(5_000))
        first = view.totals
        view.onBatchCompleted(completed(10_000))
    assert (first.orders, first.buys, first.sells, first.refused, first.stocks) == (3, 1, 2, 3, [("EPE", 2)])
    assert (view.totals.orders, view.totals.rejected, view.totals.clients) == (33, 33, [(10, 100)])
    heading, one, two = out.getvalue().splitlines()
    assert heading.split()[:6] == ["batch", "orders/s", "buys", "sells", "rejected", "ms"]
    assert one.split()[2:] == ["1", "1", "2", "3", "20", "1", "EPE"]
    assert two.split()[2:] == ["6", "10", "20", "30", "20", "10", "EPE"]


def test_the_orders_of_a_failed_batch_do_not_count(clock: ManualClock) -> None:
    with Context("local[1]", "test") as sc, View(Console(file=io.StringIO()), OPTIONS, clock=clock) as view:
        bring(view, sc, 5_000, buys=1, sells=2, rejected=3)
        view.onBatchCompleted(completed(5_000))
        view.take_sides(local_datetime(10_000), sc.parallelize([(True, 100)]))
        view.onBatchCompleted(completed(10_000, failure="ValueError: no"))
        view.onBatchCompleted(completed(15_000, failure="ValueError: not even begun"))
    totals = view.totals
    assert (totals.batches, totals.failed, totals.orders) == (3, 2, 3)
    assert (totals.clients, totals.stocks) == ([(1, 100)], [("EPE", 2)])


def test_in_a_terminal_the_table_is_drawn_in_place(clock: ManualClock) -> None:
    out = io.StringIO()
    with View(terminal(out), OPTIONS, clock=clock) as view:
        drawn = out.getvalue()
        assert "orders per second" in drawn
        assert "next batch at" in drawn
        view.refresh()
        assert out.getvalue() == drawn, "not more than once a second"
        clock.advance(1_000)
        view.refresh()
        again = out.getvalue().removeprefix(drawn)
        height = drawn.count("\n") + 1
        assert again.count("\x1b[1A") == height - 1, "back to the first line of the table"
        view.onBatchCompleted(completed(5_000))
        assert "1, one every 5 s" in out.getvalue()
    last = out.getvalue().rpartition("Brokerage")[2]
    assert "next batch" not in last


def test_the_last_line_keeps_away_from_the_edge_where_an_echoed_ctrl_c_would_begin_a_new_one(
    clock: ManualClock,
) -> None:
    out = io.StringIO()
    with View(terminal(out), OPTIONS, clock=clock):
        assert out.getvalue().splitlines()[-1].startswith("next batch at ")
        assert len(out.getvalue().splitlines()[-1]) < 40


def test_after_a_change_of_size_the_screen_is_cleared(clock: ManualClock) -> None:
    out = io.StringIO()
    console = terminal(out, width=100)
    with View(console, OPTIONS, clock=clock) as view:
        console.width = 60
        view.onBatchCompleted(completed(5_000))
        cleared = out.getvalue().rpartition("\x1b[2J")
        assert cleared[1]
        assert "Brokerage" in cleared[2]


def test_messages_go_above_the_table_or_to_standard_error(clock: ManualClock) -> None:
    out = io.StringIO()
    with View(terminal(out), OPTIONS, clock=clock) as view:
        before = out.getvalue()
        view.note("[red] is no markup")
        after = out.getvalue().removeprefix(before)
    assert after.index("[red] is no markup") < after.index("orders per second")

    out, messages = io.StringIO(), io.StringIO()
    with View(Console(file=out), OPTIONS, clock=clock, messages=Console(file=messages)) as view:
        view.note("word " * 100)
        view.tell("a line")
    assert messages.getvalue() == "word " * 100 + "\n"
    assert out.getvalue() == "a line\n"


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(clock: ManualClock) -> None:
    out = io.StringIO()
    console = Console(file=out, width=200, force_terminal=True, _environ={"TERM": "dumb"})
    with View(console, OPTIONS, clock=clock) as view:
        view.onBatchCompleted(completed(5_000))
    assert len(out.getvalue().splitlines()) == 2


class Broken(io.StringIO):
    """A file of which every write fails."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def write(self, text: str) -> int:
        raise OSError(self.number, "No space left on device")


def test_an_output_that_cannot_be_written_is_given_up(clock: ManualClock) -> None:
    with View(Console(file=Broken(errno.ENOSPC)), OPTIONS, clock=clock) as view:
        assert not view.abandoned
        view.onBatchCompleted(completed(5_000))
        assert view.abandoned
        view.onBatchCompleted(completed(10_000))
    assert view.error is not None
    assert view.error.errno == errno.ENOSPC
    assert view.totals.batches == 2


# What is logged


def test_what_is_logged_becomes_a_line_each_and_few_of_each_kind() -> None:
    notes: list[str] = []
    logger = logging.getLogger("penstock.sources.files.source")
    with shown_on(notes.append):
        for number in range(5):
            logger.warning("%s changed\n  after it was taken", number)
        logger.info("nothing of interest")
        logger.error("another kind")
    logger.warning("too late")
    assert notes == [
        "0 changed after it was taken",
        "1 changed after it was taken",
        "2 changed after it was taken",
        "another kind",
        "2 more messages of these kinds. Hint: --verbose shows all.",
    ]


def test_failures_of_batches_are_left_to_the_command_itself() -> None:
    logger = logging.getLogger("penstock.scheduler.driver")
    notes: list[str] = []
    with shown_on(notes.append):
        logger.error("the batch failed")
        logger.warning("but this is said")
    assert notes == ["but this is said"]
    with shown_on(notes.append, verbose=True):
        logger.error("the batch failed\nTraceback")
    assert notes[1:] == ["the batch failed\nTraceback"]


def test_an_exception_that_is_logged_is_named() -> None:
    notes: list[str] = []
    with shown_on(notes.append):
        try:
            raise ValueError("of two\nlines")
        except ValueError:
            logging.getLogger("penstock.x").exception("it raised")
    assert notes == ["it raised: ValueError: of two lines"]


def test_logging_is_as_before_afterwards() -> None:
    logger = logging.getLogger("penstock")
    before = (list(logger.handlers), logger.propagate)
    with shown_on(print):
        assert logger.propagate is False
    assert (list(logger.handlers), logger.propagate) == before
