"""How records become blocks: by the clock, within limits of rate and room."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from penstock.chunk import Lines, Rows, rows_of
from penstock.clock import ManualClock
from penstock.errors import StateError
from penstock.sources.receivers.block_store import BlockStore, Limits
from penstock.sources.receivers.blocks import Block, Notes
from penstock.sources.receivers.intake import Intake, Limiter

WAIT_S = 20


def yes() -> bool:
    return True


class Setup:
    def __init__(self, limits: Limits, rate: float | None = None) -> None:
        self.clock = ManualClock()
        self.store = BlockStore(limits, None)
        self.errors: list[BaseException] = []
        self.limiter = Limiter(self.clock, rate, burst_ms=200)
        self.intake = Intake(
            self.store, self.limiter, self.clock, interval_ms=200, most_in_line=10, tell=self.errors.append
        )

    def taken(self) -> list[list[Any]]:
        self.intake.cut()
        return [list(rows_of(block.read())) for block in self.store.take()]


@pytest.fixture
def setup() -> Iterator[Setup]:
    made = Setup(Limits(1 << 20, 1 << 30, True))
    yield made
    made.intake.close()
    made.store.close()


def test_blocks_are_cut_by_the_clock_and_when_a_batch_is_planned(setup: Setup) -> None:
    for record in range(3):
        setup.intake.put(record, yes)
        setup.clock.advance(100)
    setup.intake.put(3, yes)
    assert setup.taken() == [[0, 1], [2, 3]]
    assert setup.taken() == []


def test_the_timer_cuts_by_itself(setup: Setup) -> None:
    setup.intake.start("timer")
    setup.intake.put("one", yes)
    assert not setup.store.waits
    setup.clock.advance(200)
    for _ in range(2_000):
        if setup.store.waits:
            break
        threading.Event().wait(0.005)
    assert [list(rows_of(block.read())) for block in setup.store.take()] == [["one"]]


def test_records_keep_their_order_whatever_way_they_come(setup: Setup) -> None:
    setup.intake.put("a", yes)
    setup.intake.put_lines(b"b\nc\n", 2, "tcp://x", 1, yes)
    setup.intake.put_lines(b"d\n", 1, "tcp://x", 3, yes)
    setup.intake.put_lines(b"e\n", 1, "tcp://y", 1, yes)
    setup.intake.put("f", yes)
    setup.intake.put_block([Rows(["g"])], {}, Notes(), yes)
    setup.intake.put("h", yes)
    assert setup.taken() == [["a", "b", "c", "d", "e", "f"], ["g"], ["h"]]


def test_lines_of_one_source_are_one_chunk_and_know_their_numbers(setup: Setup) -> None:
    setup.intake.put_lines(b"a\nb\n", 2, "tcp://x", 5, yes)
    setup.intake.put_lines(b"c\n", 1, "tcp://x", 7, yes)
    setup.intake.put_lines(b"e\n", 1, "tcp://x", 9, yes)
    setup.intake.cut()
    [block] = setup.store.take()
    assert block.chunks is not None
    assert [(c.data, c.number, c.source) for c in block.chunks if isinstance(c, Lines)] == [
        (b"a\nb\nc\n", 5, "tcp://x"),
        (b"e\n", 9, "tcp://x"),
    ]


def test_notes_without_records_reach_the_batch(setup: Setup) -> None:
    setup.intake.note(Notes(too_long=2))
    setup.intake.cut()
    assert [block.notes.told() for block in setup.store.take()] == [{"too_long": 2}]


def test_nothing_is_stored_after_the_end(setup: Setup) -> None:
    setup.intake.put("a", yes)
    setup.intake.seal()
    for put in (
        lambda: setup.intake.put("b", yes),
        lambda: setup.intake.put_lines(b"b\n", 1, "", 1, yes),
        lambda: setup.intake.put_block([Rows(["b"])], {}, Notes(), yes),
        lambda: setup.intake.note(Notes(too_long=1)),
    ):
        with pytest.raises(StateError, match="has been stopped"):
            put()
    assert setup.taken() == [["a"]]


# Rates


@pytest.mark.parametrize("rate", [0.5, 1.0, 7.0, 1_000.0])
def test_no_more_come_than_the_rate_allows(rate: float) -> None:
    clock = ManualClock()
    limiter = Limiter(clock, rate, burst_ms=200)
    granted = 0
    for _ in range(1_000):
        if limiter._ready >= 1 or (limiter._fill() or limiter._ready >= 1):
            granted += limiter.take(3, yes)
        clock.advance(50)
    allowed = rate * 50 + max(1, rate * 0.2)
    assert 0.9 * min(allowed, 3 * 1_000) <= granted <= allowed + 1


def waits(call: Any) -> tuple[threading.Thread, list[Any]]:
    """A call on a thread of its own, and what it returned."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(call()), daemon=True)
    thread.start()
    return thread, found


def test_who_comes_too_early_waits_for_the_clock() -> None:
    clock = ManualClock()
    limiter = Limiter(clock, 10, burst_ms=200)
    assert limiter.take(5, yes) == 2
    thread, found = waits(lambda: limiter.take(5, yes))
    thread.join(0.05)
    assert not found
    clock.advance(150)
    thread.join(WAIT_S)
    assert found == [1]


@pytest.mark.parametrize("change", ["pace", "open", "end"])
def test_who_waits_goes_by_what_changes_at_once(change: str) -> None:
    clock, ended = ManualClock(), threading.Event()
    limiter = Limiter(clock, 1, burst_ms=200)
    limiter.take(1, yes)
    thread, found = waits(lambda: limiter.take(1, lambda: not ended.is_set()))
    if change == "pace":
        limiter._limit = None
        limiter.pace(None)
    elif change == "open":
        limiter.open()
    else:
        ended.set()
        limiter.wake()
    thread.join(WAIT_S)
    assert found == [1]


def test_of_two_limits_the_lower_one_holds() -> None:
    limiter = Limiter(ManualClock(), 100, burst_ms=1_000)
    limiter.pace(20)
    assert limiter.take(500, yes) == 20
    limiter = Limiter(ManualClock(), 100, burst_ms=1_000)
    limiter.pace(1_000)
    assert limiter.take(500, yes) == 100


def test_records_that_come_together_are_paid_for_afterwards() -> None:
    clock = ManualClock()
    limiter = Limiter(clock, 100, burst_ms=1_000)
    limiter.spend(1_000, yes)
    clock.advance(8_990)
    thread, found = waits(lambda: limiter.take(1, yes))
    thread.join(0.05)
    assert not found
    clock.advance(100)
    thread.join(WAIT_S)
    assert found == [1]


# Room


def lines(text: str) -> Block:
    chunk = Lines(f"{text}\n".encode())
    return Block([chunk], 1, chunk.nbytes)


def test_blocks_beyond_the_memory_go_to_files_and_come_back() -> None:
    setup = Setup(Limits(1_000, 1 << 20, True))
    texts = [f"{number} " + "x" * 300 for number in range(20)]
    for text in texts:
        data = text.encode() + b"\n"
        setup.intake.put_block([Lines(data)], {}, Notes(), yes)
    assert setup.store.memory_bytes <= 1_000
    blocks = setup.store.take()
    assert sum(block.chunks is None for block in blocks) >= 15
    assert [list(rows_of(block.read())) for block in blocks] == [[text] for text in texts]
    assert [list(rows_of(block.read())) for block in blocks] == [[text] for text in texts]
    setup.store.forget(20)
    assert (setup.store.memory_bytes, setup.store.waiting_bytes) == (0, 0)
    setup.store.close()


def test_what_has_no_form_as_bytes_stays_in_memory() -> None:
    setup = Setup(Limits(0, 1 << 20, True))
    record = threading.Lock()
    setup.intake.put(record, yes)
    assert setup.taken() == [[record]]
    assert setup.errors == []
    setup.store.close()


def test_objects_that_are_put_by_are_the_same() -> None:
    setup = Setup(Limits(0, 1 << 20, True))
    records = [{"a": {1, 2}}, ("x", None), 1.5]
    setup.intake.put_block([Rows(list(records))], {}, Notes(), yes)
    [block] = setup.store.take()
    assert block.chunks is None
    assert list(rows_of(block.read())) == records
    setup.store.close()


def test_at_the_cap_storing_waits_until_a_batch_is_over() -> None:
    setup = Setup(Limits(1 << 20, 250, True))
    for _number in range(2):
        setup.intake.put_block([Lines(b"x" * 99 + b"\n")], {}, Notes(), yes)
    thread, _found = waits(lambda: setup.intake.put_block([Lines(b"y" * 99 + b"\n")], {}, Notes(), yes))
    thread.join(0.05)
    assert thread.is_alive()
    assert setup.store.waiting_bytes == 200
    assert len(setup.store.take()) == 2
    thread.join(0.05)
    assert thread.is_alive(), "they are in a batch, which is not over"
    setup.store.release(1)
    thread.join(WAIT_S)
    assert not thread.is_alive()
    assert setup.store.waiting_bytes == 200
    setup.store.close()


def test_one_piece_that_is_larger_than_the_cap_gets_through() -> None:
    setup = Setup(Limits(1 << 20, 10, True))
    setup.intake.put_block([Lines(b"x" * 99 + b"\n")], {}, Notes(), yes)
    assert len(setup.store.take()) == 1
    setup.store.close()


def test_blocks_that_windows_still_need_do_not_count_as_waiting() -> None:
    setup = Setup(Limits(1 << 20, 250, True))
    for _ in range(10):
        setup.intake.put_block([Lines(b"x" * 99 + b"\n")], {}, Notes(), yes)
        setup.store.release(setup.store.take()[-1].number + 1)
    assert setup.store.waiting_bytes == 0
    assert len(setup.store.blocks(0, 10)) == 10
    setup.store.forget(10)
    assert setup.store.blocks(0, 10) == []
    assert setup.store.memory_bytes == 0
    setup.store.close()


def test_metadata_is_merged_in_the_order_of_storing() -> None:
    setup = Setup(Limits(1 << 20, 1 << 20, True))
    setup.intake.put_block([], {"a": 1, "b": 1}, Notes(), yes)
    setup.intake.put_block([], {"b": 2}, Notes(), yes)
    assert setup.store.metadata == {"a": 1, "b": 2}
    assert setup.store.given == (0, {})
    setup.store.take()
    assert setup.store.given == (2, {"a": 1, "b": 2})
    setup.store.close()
