"""How many records each operator made, and what windows hold: only what is true, and else nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from penstock import Conf, Context, DStream, StateSpec, StreamingContext, StreamingListener
from penstock.clock import ManualClock
from penstock.scheduler import BatchInfo
from penstock.testing import Stepper
from penstock.times import BatchTime


class Batches(StreamingListener):
    """The batches that are over."""

    def __init__(self) -> None:
        self.infos: list[BatchInfo] = []

    def onBatchCompleted(self, batchCompleted: Any) -> None:
        self.infos.append(batchCompleted.batchInfo)


Build = Callable[[DStream], object]
Figures = list[list[tuple[str, int]]]


def batches_of(sc: Context, rows: list[list[Any]], build: Build, **options: Any) -> list[BatchInfo]:
    clock, heard = ManualClock(0), Batches()
    ssc = StreamingContext(sc, 1, clock=clock)
    ssc.addStreamingListener(heard)
    build(ssc.queueStream(rows, **options))
    with Stepper(ssc, clock) as stepper:
        for _ in rows:
            with suppress(ValueError):
                stepper.step()
    return heard.infos


def records_of(infos: list[BatchInfo]) -> Figures:
    """Operations with their records, batch by batch."""
    return [[(each.operator.split(" ")[0], each.numRecords) for each in info.operatorInfos] for info in infos]


def whole(stream: DStream) -> None:
    stream.foreachRDD(lambda rdd: rdd.collect())


def refused(record: int) -> int:
    if record == 5:
        raise ValueError("five")
    return record


CASES: dict[str, tuple[Build, list[list[Any]], Figures]] = {
    "steps of one pass, the last of which does not keep all": (
        lambda s: whole(s.map(lambda x: x + 1).filter(lambda x: x % 2)),
        [[1, 2, 3, 4], []],
        [[("queueStream", 4), ("map", 4), ("filter", 2)], [("queueStream", 0), ("map", 0), ("filter", 0)]],
    ),
    "one to one steps behind one that does not keep all": (
        lambda s: whole(s.filter(lambda x: x > 1).map(lambda x: (x, x)).mapValues(str)),
        [[1, 2, 3]],
        [[("queueStream", 3), ("filter", 2), ("map", 2), ("mapValues", 2)]],
    ),
    "what is between two that do not keep all is not known": (
        lambda s: whole(s.filter(lambda x: x > 1).filter(lambda x: x > 2)),
        [[1, 2, 3]],
        [[("queueStream", 3), ("filter", -1), ("filter", 1)]],
    ),
    "a shuffle": (
        lambda s: whole(s.flatMap(lambda x: [(x % 2, x)] * x).reduceByKey(lambda a, b: a + b)),
        [[1, 2, 3]],
        [[("queueStream", 3), ("flatMap", 6), ("reduceByKey", 2)]],
    ),
    "what an output takes the first of is not known": (
        lambda s: s.flatMap(lambda x: [x] * 5).foreachRDD(lambda rdd: rdd.take(1)),
        [[1, 2, 3]],
        [[("queueStream", 3), ("flatMap", -1)]],
    ),
    "what no output computes is not known": (
        lambda s: s.filter(lambda x: x > 1).foreachRDD(lambda rdd: None),
        [[1, 2, 3]],
        [[("queueStream", 3), ("filter", -1)]],
    ),
    "what has failed is not known, and the next batch is": (
        lambda s: whole(s.filter(lambda x: x > 1).map(refused)),
        [[1, 5, 7], [1, 2, 3]],
        [[("queueStream", 3), ("filter", -1), ("map", -1)], [("queueStream", 3), ("filter", 2), ("map", 2)]],
    ),
    "what two outputs read is counted once": (
        lambda s: [whole(each) for each in [s.filter(lambda x: x > 1)] * 2],
        [[1, 2, 3]],
        [[("queueStream", 3), ("filter", 2)]],
    ),
    "several folds in one pass": (
        lambda s: [
            whole(s.filter(lambda x: x > 1).map(lambda x, n=n: (x % n, x)).reduceByKey(lambda a, b: a + b))
            for n in (2, 3)
        ],
        [[1, 2, 3, 4]],
        [
            [
                ("queueStream", 4),
                *[("filter", 3), ("map", 3), ("reduceByKey", 2)],
                *[("filter", 3), ("map", 3), ("reduceByKey", 3)],
            ]
        ],
    ),
    "state": (
        lambda s: whole(s.map(lambda x: (x, 1)).updateStateByKey(lambda new, old: sum(new) + (old or 0))),
        [[1, 1, 2], [3]],
        [
            [("queueStream", 3), ("map", 3), ("updateStateByKey", -1), ("updateStateByKey", 2)],
            [("queueStream", 1), ("map", 1), ("updateStateByKey", -1), ("updateStateByKey", 3)],
        ],
    ),
    "states that are no records, and what is made of them": (
        lambda s: whole(s.map(lambda x: (x, 1)).mapWithState(StateSpec.function(lambda k, v, state: v))),
        [[1, 1, 2]],
        [[("queueStream", 3), ("map", 3), ("mapWithState", -1), ("mapWithState", 3)]],
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("partitions", [1, 3])
def test_records_by_operator(sc: Context, tmp_path: Any, case: str, partitions: int) -> None:
    build, rows, wanted = CASES[case]
    sc.setCheckpointDir(str(tmp_path))
    found = records_of(batches_of(sc, [sc.parallelize(each, partitions) for each in rows], build))
    assert found == wanted


@pytest.mark.parametrize("inverse", [None, lambda a, b: a - b])
def test_what_a_window_holds(sc: Context, tmp_path: Any, inverse: Any) -> None:
    sc.setCheckpointDir(str(tmp_path))
    rows = [[1, 2, 1], [3], [], [1, 2, 3, 4], []]

    def build(stream: DStream) -> None:
        pairs = stream.map(lambda x: (x, 1))
        whole(pairs.reduceByKeyAndWindow(lambda a, b: a + b, inverse, 2, 1))
        whole(pairs.window(3, 1))

    infos = batches_of(sc, rows, build)
    windows = [[each for each in info.operatorInfos if each.numSlides >= 0] for info in infos]
    assert [(w[0].numSlides, w[0].numHeld) for w in windows] == [(1, 2), (2, 3), (2, 1), (2, 4), (2, 4)]
    assert [(w[1].numSlides, w[1].numHeld) for w in windows] == [(1, 3), (2, 4), (3, 4), (3, 5), (3, 4)]


def test_a_window_holds_nothing_of_a_batch_that_failed(sc: Context) -> None:
    infos = batches_of(sc, [[1, 2], [5, 6], [3]], lambda s: whole(s.map(refused).window(3, 1)))
    held = [each for info in infos for each in info.operatorInfos if each.numSlides >= 0]
    assert [(each.numSlides, each.numHeld) for each in held] == [(1, 2), (1, 2), (2, 3)]


@pytest.mark.parametrize(
    ("listening", "counted"),
    [("glances", [True, False, False, True, False, True]), ("always", [True] * 6)],
)
def test_of_batches_that_come_fast_some_are_counted_for_who_glances(
    sc: Context, listening: str, counted: list[bool]
) -> None:
    """A batch takes 100 ms, and six wait: every 250 ms one is counted, and the last, whose window is
    whole."""
    clock, heard = ManualClock(0), Batches()
    ssc = StreamingContext(sc, 1, clock=clock)
    ssc._bus.add(heard, glances=listening == "glances")
    stream = ssc.queueStream([[1] * n for n in range(1, 7)])
    whole(stream.window(3, 1))
    stream.foreachRDD(lambda rdd: clock.advance(100))
    with Stepper(ssc, clock):
        for _ in range(6):
            clock.advance(1000)
            ssc.driver.tick(BatchTime(clock.now_ms()))
        ssc.driver.work()
    assert [bool(info.operatorInfos) for info in heard.infos] == counted
    assert [info.numRecords for info in heard.infos] == [1, 2, 3, 4, 5, 6]
    assert [info.processingDelay for info in heard.infos] == [100.0] * 6
    inputs = [info.streamIdToInputInfo[0] for info in heard.infos]
    assert [each.metadataDescription for each in inputs] == [
        f"1 RDDs of a queue, {left} left" for left in reversed(range(6))
    ]
    assert [sorted(info.outputOperationInfos) for info in heard.infos] == [[0, 1]] * 6
    windows = [each for each in heard.infos[-1].operatorInfos if each.numSlides >= 0]
    assert [(each.numSlides, each.numHeld) for each in windows] == [(3, 4 + 5 + 6)]


def test_what_nobody_asked_for_has_no_records(sc: Context) -> None:
    clock, heard = ManualClock(0), Batches()
    ssc = StreamingContext(sc, 1, clock=clock)
    ssc.addStreamingListener(heard)
    stream = ssc.queueStream([[1], [2, 3]])
    whole(stream.map(lambda x: x))
    rests = iter([False, True])
    aside = stream.flatMap(lambda x: [x, x])
    aside._output("aside", lambda time, rdd: rdd.collect(), rests=lambda time: next(rests))
    with Stepper(ssc, clock) as stepper:
        stepper.step()
        stepper.step()
    assert records_of(heard.infos) == [
        [("queueStream", 1), ("map", 1), ("flatMap", 2)],
        [("queueStream", 2), ("map", 2), ("flatMap", -1)],
    ]


def test_before_a_batch_is_over_nothing_is_told(sc: Context) -> None:
    begun: list[BatchInfo] = []

    class Begun(StreamingListener):
        def onBatchStarted(self, batchStarted: Any) -> None:
            begun.append(batchStarted.batchInfo)

    clock = ManualClock(0)
    ssc = StreamingContext(sc, 1, clock=clock)
    ssc.addStreamingListener(Begun())
    whole(ssc.queueStream([[1]]))
    with Stepper(ssc, clock) as stepper:
        stepper.step()
    assert [info.operatorInfos for info in begun] == [()]


def test_a_batch_without_input_has_no_records_anywhere(sc: Context) -> None:
    def build(stream: DStream) -> None:
        whole(stream.filter(bool).filter(bool).map(lambda x: (x, 1)).reduceByKey(lambda a, b: a + b))

    nothing = sc.emptyRDD()
    assert nothing.getNumPartitions() == 0
    [found] = records_of(batches_of(sc, [nothing], build))
    assert found == [("queueStream", 0), ("filter", 0), ("filter", 0), ("map", 0), ("reduceByKey", 0)]


@pytest.mark.parametrize("case", ["steps of one pass, the last of which does not keep all", "a shuffle"])
def test_records_that_worker_processes_make_are_counted_too(case: str) -> None:
    build, rows, wanted = CASES[case]
    conf = Conf().set("penstock.python.workers", "processes").set("penstock.local.inlineRows", "0")
    with Context("local[2]", "figures", conf=conf) as sc:
        found = records_of(batches_of(sc, [sc.parallelize(each, 2) for each in rows], build))
    assert found == wanted


def test_what_yields_nothing_has_no_records_and_what_is_not_due_is_not_known(sc: Context) -> None:
    def build(stream: DStream) -> None:
        whole(stream.map(str))
        whole(stream.window(2, 2))

    clock, heard = ManualClock(0), Batches()
    ssc = StreamingContext(sc, 1, clock=clock)
    ssc.addStreamingListener(heard)
    build(ssc.queueStream([[1, 2]]))
    with Stepper(ssc, clock) as stepper:
        for _ in range(3):
            stepper.step()
    found = records_of(heard.infos)
    assert [[records for _, records in each] for each in found] == [[2, 2, -1], [0, 0, 2], [0, 0, -1]]
