"""Listener events in, plain records out, and no more of them than are to be kept."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from penstock import Context, StateSpec, StreamingContext
from penstock.clock import ManualClock
from penstock.monitor.history import History, Newest, Recorder, application_of, cause_of
from penstock.scheduler import (
    BatchInfo,
    BatchMachine,
    OperatorInfo,
    OutputOperationInfo,
    RateInfo,
    ReceiverInfo,
    StateOperatorInfo,
    StreamInputInfo,
)
from penstock.scheduler.listener import BatchEvent, ReceiverEvent
from penstock.scheduler.machine import Committed, Generated, OutputDone, Planned, Tick
from penstock.testing import Stepper
from penstock.times import BatchTime


def batch(time: int, status: str = "completed", records: int = 1, **more: Any) -> dict[str, Any]:
    nothing: dict[str, Any] = {"outputs": [], "state": [], "limits": [], "inputs": [], "error": None}
    return {"kind": "batch", "time": time, "status": status, "records": records, **nothing, **more}


@pytest.fixture
def sc(tmp_path: Path) -> Iterator[Context]:
    with Context("local[2]", "history") as sc:
        sc.setCheckpointDir(str(tmp_path))
        yield sc


Watched = tuple[StreamingContext, Stepper, History, list[dict[str, Any]]]


def watched(sc: Context, build: Callable[[StreamingContext], Any]) -> Watched:
    """A stream, and what a recorder makes of it."""
    clock = ManualClock()
    ssc = StreamingContext(sc, 1, clock=clock)
    build(ssc)
    history, records = History(100), []

    def write(record: dict[str, Any]) -> None:
        json.dumps(dict(record), allow_nan=False)  # plain data, whatever happens
        records.append(record)
        history.apply(record)

    recorder = Recorder(
        ssc.graph,
        lambda started: application_of(ssc.graph, {"name": "it", "run": "1", "started": started}),
        write,
        lambda time: ssc.driver.told(time),
        lambda more: ssc._generation.take_plans(more) if ssc._generation else None,
    )
    ssc.addStreamingListener(recorder)
    return ssc, Stepper(ssc, clock), history, records


def test_a_batch_as_a_record(sc: Context) -> None:
    def build(ssc: StreamingContext) -> None:
        words = ssc.queueStream([[("a", 1), ("b", 2)], [("a", 3)]])
        words.updateStateByKey(lambda v, s: sum(v) + (s or 0)).name("sums").foreachRDD(
            lambda rdd: rdd.count()
        )

    _, stepper, history, records = watched(sc, build)
    with stepper:
        stepper.step()
        stepper.step()
    assert [r["status"] for r in records if r["kind"] == "batch" and r["time"] == 1000] == [
        "waiting", "running", "completed",
    ]  # fmt: skip
    done = history.batch(1000)
    assert done is not None
    assert (done["records"], done["processingTime"], done["totalDelay"], done["error"]) == (2, 0, 0, None)
    assert [(each["name"], each["records"]) for each in done["inputs"]] == [("queueStream-1", 2)]
    [state] = done["state"]
    assert (state["keys"], state["touched"], state["expired"]) == (2, 2, 0)
    assert state["operator"].startswith("updateStateByKey (")
    [output] = done["outputs"]
    assert output["status"] == "completed"
    assert __file__ in output["line"]
    assert "Finish" in done["story"] or "finish" in done["story"]
    assert history.totals() == {
        "batches": 2, "failed": 0, "records": 3, "processingTime": 0.0, "inputs": {"0": 3},
    }  # fmt: skip
    application = history.application
    assert [(each["kind"], each["name"]) for each in application["operators"]] == [
        ("input", "queueStream-1"), ("state", "sums"), ("step", None),
    ]  # fmt: skip


def test_a_batch_that_is_kept_is_next_to_nothing_to_the_garbage_collector(sc: Context) -> None:
    machine = BatchMachine()

    def happen(time: int) -> None:
        at, outputs = BatchTime(time), {}
        machine.handle(Tick(at))
        machine.handle(Planned(at))
        machine.handle(Generated(at, 10))
        for number in range(10):
            machine.handle(OutputDone(at, number))
            outputs[number] = OutputOperationInfo(time, number, "count", "here.py:1", time, time + 1, 1.0)
        machine.handle(Committed(at))
        info = BatchInfo(
            time, time, {0: StreamInputInfo(0, 5, {"files": ["a", "b"], "waiting": 3})}, time, time + 9,
            0.0, 9.0, 9.0, outputs, None, (StateOperatorInfo("sums", 1, 2, 3, 4),),
            {0: RateInfo(0, 7.0, 8.0, 0.0, 1.0, 0.0)},
            (OperatorInfo("map", 5), OperatorInfo("window", 5, 2, 10)),
        )  # fmt: skip
        recorder.onBatchCompleted(BatchEvent(info))

    def tracked() -> int:
        gc.collect()  # it finds that tuples of plain values are such
        return len(gc.get_objects())

    history = History(1000)
    recorder = Recorder(
        StreamingContext(sc, 1).graph, lambda started: {}, history.apply, machine.told, lambda more: None
    )
    for time in range(1000, 150_000, 1000):
        happen(time)  # until the machine forgets as many as come
    before = tracked()
    for time in range(150_000, 250_000, 1000):
        happen(time)
    assert (tracked() - before) / 100 < 8
    record = history.batch(200_000)
    assert record is not None
    assert [each["id"] for each in record["outputs"]] == list(range(10))
    assert record["operators"] == [5, 5]
    assert record["windows"] == [{"operator": 1, "slides": 2, "records": 10}]
    assert record["inputs"][0]["units"] == 2
    assert record["limits"][0]["recordsPerSecond"] == 7.0
    assert record["state"][0]["bytes"] == 4
    assert "OutputDone(time=200000, index=9, failed=None) -> Commit(time=200000)" in record["story"]


def test_a_failed_batch_says_what_and_where(sc: Context) -> None:
    def build(ssc: StreamingContext) -> None:
        ssc.queueStream([[1, 0]]).map(lambda n: 1 // n).foreachRDD(lambda rdd: rdd.collect())

    _, stepper, history, _ = watched(sc, build)
    with stepper, pytest.raises(ZeroDivisionError):
        stepper.step()
    done = history.batch(1000)
    assert done is not None
    assert done["status"] == "failed"
    assert done["cause"]["what"].startswith("ZeroDivisionError: ")
    assert "in map (" in done["cause"]["where"]
    assert f"{__file__}:" in done["cause"]["where"]
    [output] = done["outputs"]
    assert (output["status"], output["cause"]) == ("failed", done["cause"])
    assert "Traceback" in output["error"]
    assert history.totals()["failed"] == 1


def test_outputs_are_explained_once_a_batch_has_had_records(sc: Context) -> None:
    def build(ssc: StreamingContext) -> None:
        ssc.queueStream([[], [], [1], [2], [3]]).map(lambda n: n + 1).foreachRDD(lambda rdd: rdd.count())

    _, stepper, history, records = watched(sc, build)
    with stepper:
        for _ in range(2):
            stepper.step()
        assert history.explained() == {}
        for _ in range(3):
            stepper.step()
    assert "map at" in history.explained()[0]
    assert ": rows: " in history.explained()[0]
    assert sum(record["kind"] == "explained" for record in records) == 1


def test_only_so_many_batches_are_kept_and_totals_go_on() -> None:
    history = History(3)
    for time in range(1, 11):
        history.apply(batch(time, "waiting"))
        history.apply(batch(time, "failed" if time == 1 else "completed"))
    assert [each["time"] for each in history.over()] == [8, 9, 10]
    assert [each["time"] for each in history.over(2)] == [9, 10]
    assert [each["time"] for each in history.over(after=9)] == [10]
    assert history.batch(1) is None
    assert history.active() == []
    assert (history.totals()["batches"], history.totals()["failed"], history.totals()["records"]) == (
        10,
        1,
        10,
    )


def test_active_batches_are_in_order() -> None:
    history = History(3)
    for time in (3, 1, 2):
        history.apply(batch(time, "waiting"))
    history.apply(batch(1, "running"))
    assert [(each["time"], each["status"]) for each in history.active()] == [
        (1, "running"), (2, "waiting"), (3, "waiting"),
    ]  # fmt: skip


def test_another_run_begins_anew_but_keeps_batches() -> None:
    history = History(10)
    history.apply({"kind": "application", "run": "1"})
    history.apply(batch(1))
    history.apply({"kind": "end", "time": 5})
    history.apply({"kind": "application", "run": "2"})
    assert history.end is None
    assert history.last is None
    assert history.totals()["batches"] == 0
    assert [each["time"] for each in history.over()] == [1]


def test_statistics_of_nothing_and_of_something() -> None:
    history = History(10)
    assert history.statistics()["processingTime"] is None
    for time, taken in ((1, 10.0), (2, 20.0), (3, 90.0)):
        history.apply(batch(time, records=30, processingTime=taken))
    figures = history.statistics()
    assert figures["processingTime"] == {"average": 40.0, "median": 20.0, "least": 10.0, "most": 90.0}
    assert figures["recordsPerSecondOfProcessing"] == 90 * 1000 / 120


def test_nothing_that_a_batch_has_read_or_remembered_is_held(sc: Context) -> None:
    """A version of a state holds what later ones have changed: one that is held holds all of them."""

    def build(ssc: StreamingContext) -> None:
        pairs = ssc.queueStream([[n] for n in range(12)]).map(lambda n: (n % 3, Held(n)))
        counts = pairs.mapWithState(StateSpec.function(counted))
        counts.foreachRDD(lambda rdd: rdd.collect())
        pairs.foreachRDD(lambda rdd: rdd.count())

    _, stepper, history, _ = watched(sc, build)
    with stepper:
        for _ in range(12):
            stepper.step()
        gc.collect()
        held = sorted({each.number for each in Held.alive})
        explained = history.explained()
    assert len(explained) == 2
    assert held == [9, 10, 11], "the states, each with the newest record of its key"


class Held:
    """A record that says whether it is still there."""

    alive: ClassVar[weakref.WeakSet[Held]] = weakref.WeakSet()

    def __new__(cls, *number: int) -> Held:
        made = super().__new__(cls)
        cls.alive.add(made)  # copies, too
        return made

    def __init__(self, number: int) -> None:
        self.number = number


def counted(key: int, value: Held | None, state: Any) -> int:
    state.update(value)
    return key


def recorder(records: list[Any]) -> Recorder:
    from penstock.dstream import StreamGraph

    return Recorder(
        StreamGraph(1000),
        lambda started: {},
        records.append,
        lambda time: lambda: "s" * 99_999,
        lambda more: None,
    )


def test_texts_are_bounded() -> None:
    records: list[Any] = []
    error = "x" * 1_000_000 + "\nValueError: the end"
    recorder(records).onBatchCompleted(BatchEvent(BatchInfo(1, 0, {}, failureReason=error)))
    [record] = records
    assert len(record["error"]) <= 16_000
    assert record["error"].endswith("ValueError: the end")
    assert len(record["story"]) <= 8_000
    assert record["cause"]["what"] == "ValueError: the end"


def test_receivers_are_known_by_what_was_heard_last() -> None:
    history, records = History(1), []
    live = recorder(records)
    live.onReceiverStarted(ReceiverEvent(ReceiverInfo(0, "socket", True)))
    live.onReceiverError(
        ReceiverEvent(ReceiverInfo(0, "socket", True, lastErrorMessage="gone", lastErrorTime=7))
    )
    live.onReceiverStopped(ReceiverEvent(ReceiverInfo(0, "socket", False)))
    for record in records:
        history.apply(record)
    [found] = history.receivers()
    assert (found["active"], found["status"], found["lastErrorMessage"]) == (False, "stopped", "gone")


def test_what_a_file_source_has_left_is_part_of_a_batch() -> None:
    records: list[Any] = []
    info = StreamInputInfo(0, 5, {"files": ["a", "b"], "waiting": 7})
    recorder(records).onBatchSubmitted(BatchEvent(BatchInfo(1, 0, {0: info})))
    assert (records[0]["inputs"][0]["units"], records[0]["inputs"][0]["left"]) == (2, 7)


@pytest.mark.parametrize(
    ("text", "what", "where"),
    [
        (
            "Traceback\n  File\napp.errors.Late: 3 days\nin map (a.py:1)",
            "app.errors.Late: 3 days",
            "in map (a.py:1)",
        ),
        ("Traceback\nKeyboardInterrupt", "KeyboardInterrupt", None),
        ("Traceback\nStopIteration\n", "StopIteration", None),
        ("no exception at all", "no exception at all", None),
        ("", "", None),
        ("ValueError: a\n\nDuring handling:\n\nTypeError: b", "TypeError: b", None),
    ],
)
def test_what_an_error_comes_to(text: str, what: str, where: str | None) -> None:
    assert cause_of(text) == {"what": what, "where": where}


def test_what_waits_is_bounded_and_says_what_was_lost() -> None:
    newest = Newest(2)
    for number in range(5):
        newest.put({"n": number})
    assert newest.taken() == ([{"n": 3}, {"n": 4}], 3)
    assert newest.taken() == ([], 0)


@pytest.mark.parametrize(
    "record",
    [{"kind": "batch"}, {"kind": "batch", "time": "1", "status": "completed", "records": 1}, {"kind": "?"},
     {"kind": ["batch"]}, {"kind": "end"}, {"kind": "totals", "totals": None}],
)  # fmt: skip
def test_what_is_no_record_is_left_out(record: Any) -> None:
    history = History(3)
    history.apply_from_log(record)
    assert (history.over(), history.end, history.totals()["batches"]) == ([], None, 0)
