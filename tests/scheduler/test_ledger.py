"""What is known of a batch that is over holds nothing of what the batch has read."""

from __future__ import annotations

import gc
import weakref

from penstock.clock import ManualClock
from penstock.plan import Metrics
from penstock.scheduler.ledger import BatchRecord
from penstock.sources import Intent
from penstock.times import BatchTime


class Data:
    """Stands for what a batch was made of."""


def record(metrics: Metrics) -> BatchRecord:
    intents = {
        0: Intent((Data(),), None, "two files", {"files": ["a", "b"], "lost": 1}),
        1: Intent((), 7, "7 records"),
    }
    made = BatchRecord(BatchTime(1000), intents, 1000, 10**9, metrics)
    clock = ManualClock(1100)
    made.start(clock)
    clock.advance(50)
    made.end(clock)
    return made


def test_all_is_told_as_before_it_was_settled() -> None:
    metrics = Metrics()
    for name, place, figure in (("records", (0, 0), 3), ("records", (0, 1), 4), ("lost", (0, 1), 2)):
        metrics.note(name, place, figure)
    made = record(metrics)
    before = made.info()
    assert {id: each.numRecords for id, each in before.streamIdToInputInfo.items()} == {0: 7, 1: 7}
    assert before.streamIdToInputInfo[0].metadata == {"files": ["a", "b"], "lost": 3}
    made.settle()
    made.settle()
    assert made.info() == before


def test_nothing_is_held_of_what_was_read_and_computed() -> None:
    metrics = Metrics()
    metrics.note("rows", (plan := Data(), 0), 5)
    made = record(metrics)
    [data] = made.intents[0].items
    gone = [weakref.ref(data), weakref.ref(plan)]
    made.settle()
    del data, plan, metrics
    gc.collect()
    assert [each() for each in gone] == [None, None]
    assert made.info().numRecords == 7


def test_what_listeners_do_to_an_event_shows_in_no_other() -> None:
    made = record(Metrics())
    made.settle()
    metadata = made.info().streamIdToInputInfo[0].metadata
    assert isinstance(metadata, dict)
    metadata.clear()
    assert made.info().streamIdToInputInfo[0].metadata == {"files": ["a", "b"], "lost": 1}
