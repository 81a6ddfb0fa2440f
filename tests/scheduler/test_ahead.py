"""Reading ahead: the next batch's input is parsed while a batch runs, and nothing else changes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from penstock import Context, StreamingContext
from penstock.chunk import Chunk, Rows
from penstock.clock import ManualClock
from penstock.dstream import DStream, Transformed
from penstock.errors import CallSite
from penstock.plan import Narrow, Node, PartitionReader, Source, Step, Task, call_site
from penstock.rdd import RDD
from penstock.scheduler import BatchDriver
from penstock.testing import CollectingSink, Stepper
from tests.scheduler.doubles import Events, ScriptedSource

LONG_S = 60.0


class Read(PartitionReader):
    """A file of a few bytes: counts its records, and tells the test who reads it."""

    def __init__(self, source: Files, records: tuple[Any, ...]) -> None:
        self.source = source
        self.records = records

    @property
    def bytes_hint(self) -> int | None:
        return self.source.bytes

    def read(self, task: Task) -> Iterator[Chunk]:
        self.source.read.append((self.records, threading.current_thread().name))
        self.source.before(self.records)
        for record in self.records:
            yield Rows([record])
        task.metrics.note("records", (0, self.records), len(self.records))


class Files(ScriptedSource):
    """A source that can be read ahead; a batch is one partition of ``bytes``."""

    reads_ahead = True

    def __init__(
        self, *script: Any, bytes: int | None = 10, before: Callable[[Any], None] = lambda r: None
    ) -> None:
        super().__init__(*script)
        self.bytes = bytes
        self.before = before
        self.read: list[tuple[Any, str]] = []

    def node(self, intent: Any, site: CallSite) -> Node:
        return Source(site, [Read(self, intent.items)])


class Parse(Step):
    name = "parse"

    def run(self, task: Task, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            yield Rows([int(text) for text in chunk.rows()])


def parsed(ssc: StreamingContext, source: Files) -> DStream:
    lines = ssc._input("files", source)
    site = call_site("parse")
    node = Transformed(
        site, (lines._node,), lambda time, rdds: RDD(Narrow(site, rdds[0].plan, Parse()), ssc._sc), eager=True
    )
    return DStream(node, ssc)


def until(happened: Callable[[], bool], driver: BatchDriver) -> None:
    with driver._changed:
        assert driver._changed.wait_for(happened, LONG_S)


def ahead_of(ssc: StreamingContext) -> Any:
    assert ssc._generation is not None
    return ssc._generation.ahead


def nothing_is_held(ssc: StreamingContext) -> bool:
    ahead, executor = ahead_of(ssc), ssc._sc._executor
    assert [ahead._line, ahead._ready, ahead._begun] == [{}, {}, {}]
    assert ahead._bytes == 0
    assert not executor._aheads  # type: ignore[attr-defined]
    return True


class TestByHand:
    def ticked(self, ssc: StreamingContext, clock: ManualClock, batches: int) -> None:
        ssc.start()
        for number in range(1, batches + 1):
            clock.set(1000 * number)
            ssc.driver.tick(1000 * number)  # type: ignore[arg-type]

    def test_each_is_read_once_and_counts_in_its_own_batch(
        self, ssc: StreamingContext, clock: ManualClock
    ) -> None:
        source, sink, events = Files(["1", "2"], ["3"], []), CollectingSink(), Events()
        ssc.addStreamingListener(events)
        parsed(ssc, source).foreachRDD(sink)
        self.ticked(ssc, clock, 3)
        assert ssc.driver.read_ahead() == 3
        assert [records for records, _ in source.read] == [("1", "2"), ("3",), ()]
        assert sink.batches == []
        assert [event.batchInfo.numRecords for event in events.of("BatchCompleted")] == []
        ssc.driver.work()
        assert sink.batches == [[1, 2], [3], []]
        assert len(source.read) == 3
        assert nothing_is_held(ssc)
        figures = [event.batchInfo.streamIdToInputInfo for event in events.of("BatchCompleted")]
        assert [info[0].numRecords for info in figures] == [2, 1, 0]

    def test_without_threads_nothing_is_read_ahead_unless_asked(
        self, ssc: StreamingContext, clock: ManualClock
    ) -> None:
        source = Files(["1"], ["2"])
        parsed(ssc, source).foreachRDD(CollectingSink())
        self.ticked(ssc, clock, 2)
        assert source.read == []

    def test_no_more_than_the_bound(self, sc: Context, clock: ManualClock) -> None:
        sc.conf.set("penstock.local.prefetchBytes", "25")
        ssc = StreamingContext(sc, 1, clock=clock)
        source, sink = Files(["1"], ["2"], ["3"], ["4"]), CollectingSink()
        seen: list[int] = []
        parsed(ssc, source).foreachRDD(sink)
        ssc.queueStream([]).foreachRDD(lambda rdd: seen.append(ssc.driver.read_ahead()))
        self.ticked(ssc, clock, 4)
        assert ssc.driver.read_ahead() == 3  # the third was looked at, and has to wait
        assert [records for records, _ in source.read] == [("1",), ("2",)]
        ssc.driver.work()
        assert seen == [2, 1, 0, 0]  # where the first has begun there is room for the third
        assert sink.batches == [[1], [2], [3], [4]]
        assert len(source.read) == 4
        assert nothing_is_held(ssc)
        ssc.stop(stopSparkContext=False)

    @pytest.mark.parametrize(("limit", "bytes"), [("9", 10), ("64m", None), ("0", 10)])
    def test_what_is_too_large_or_of_unknown_size_is_not(
        self, sc: Context, clock: ManualClock, limit: str, bytes: int | None
    ) -> None:
        sc.conf.set("penstock.local.prefetchBytes", limit)
        ssc = StreamingContext(sc, 1, clock=clock)
        source, sink = Files(["1"], ["2"], bytes=bytes), CollectingSink()
        parsed(ssc, source).foreachRDD(sink)
        self.ticked(ssc, clock, 2)
        ssc.driver.read_ahead()
        assert source.read == []
        ssc.driver.work()
        assert sink.batches == [[1], [2]]
        assert nothing_is_held(ssc)
        ssc.stop(stopSparkContext=False)

    def test_a_batch_that_fails_ahead_fails_in_its_turn_and_no_other(
        self, ssc: StreamingContext, clock: ManualClock
    ) -> None:
        source, sink = Files(["1"], ["x"], ["3"]), CollectingSink()
        parsed(ssc, source).foreachRDD(sink)
        self.ticked(ssc, clock, 3)
        ssc.driver.read_ahead()
        assert ssc.driver.error is None
        ssc.driver.work()
        assert isinstance(ssc.driver.error, ValueError)
        assert sink.batches == [[1], [3]]
        assert (ssc.driver.finished_batches, ssc.driver.failed_batches) == (3, 1)
        assert nothing_is_held(ssc)

    def test_an_input_that_cannot_be_made_ahead_fails_in_its_turn(
        self, ssc: StreamingContext, clock: ManualClock
    ) -> None:
        class Unreadable(Files):
            def node(self, intent: Any, site: CallSite) -> Node:
                if intent.items == ("2",):
                    raise OSError("no reader")
                return super().node(intent, site)

        source, sink = Unreadable(["1"], ["2"], OSError("no plan"), ["4"]), CollectingSink()
        parsed(ssc, source).foreachRDD(sink)
        self.ticked(ssc, clock, 4)
        ssc.driver.read_ahead()
        ssc.driver.work()
        assert sink.batches == [[1], [4]]
        assert ssc.driver.failed_batches == 2
        assert nothing_is_held(ssc)

    def test_windows_state_folds_and_slices_see_the_same(
        self, ssc: StreamingContext, clock: ManualClock
    ) -> None:
        source = Files(["1", "2"], ["3"], ["4"])
        numbers = parsed(ssc, source)
        sinks = [CollectingSink() for _ in range(4)]
        pairs = numbers.map(lambda x: (x % 2, x))
        numbers.window(2).foreachRDD(sinks[0])
        pairs.reduceByKey(lambda a, b: a + b, 1).foreachRDD(sinks[1])
        pairs.updateStateByKey(lambda news, old: sum(news) + (old or 0), 1).foreachRDD(sinks[2])
        numbers.foreachRDD(sinks[3])
        ssc.remember(5)
        self.ticked(ssc, clock, 3)
        ssc.driver.read_ahead()
        ssc.driver.work()
        assert sinks[0].batches == [[1, 2], [1, 2, 3], [3, 4]]
        assert sinks[1].batches == [[(1, 1), (0, 2)], [(1, 3)], [(0, 4)]]
        assert sinks[2].batches == [[(1, 1), (0, 2)], [(1, 4), (0, 2)], [(1, 4), (0, 6)]]
        assert sinks[3].batches == [[1, 2], [3], [4]]
        assert len(source.read) == 3
        assert [rdd.collect() for rdd in numbers.slice(1, 3)] == [[1, 2], [3], [4]]
        assert nothing_is_held(ssc)

    def test_an_input_that_a_function_reads_line_by_line_is_left_to_its_batch(
        self, ssc: StreamingContext, clock: ManualClock
    ) -> None:
        """Unless reading it mostly waits for others."""
        for waits in (False, True):
            source = Files(["1"])
            source.waits = waits
            ssc._input("files", source).map(int).foreachRDD(CollectingSink())
        local, remote = (node.source for node in ssc.graph.inputs)
        self.ticked(ssc, clock, 1)
        ssc.driver.read_ahead()
        assert [len(local.read), len(remote.read)] == [0, 1]  # type: ignore[attr-defined]

    def test_sources_that_cannot_be_read_ahead_are_not(
        self, ssc: StreamingContext, clock: ManualClock
    ) -> None:
        source = Files(["1"])
        source.reads_ahead = False
        parsed(ssc, source).foreachRDD(CollectingSink())
        ssc.start()
        assert not ahead_of(ssc).active

    def test_a_stop_drops_what_was_read_ahead(self, ssc: StreamingContext, clock: ManualClock) -> None:
        parsed(ssc, Files(["1"], ["2"])).foreachRDD(CollectingSink())
        self.ticked(ssc, clock, 2)
        ssc.driver.read_ahead()
        ssc.stop(stopSparkContext=False)
        assert nothing_is_held(ssc)

    def test_batches_at_their_time_have_nothing_to_read_ahead(
        self, ssc: StreamingContext, clock: ManualClock
    ) -> None:
        source, sink = Files(["1"], ["2"]), CollectingSink()
        parsed(ssc, source).foreachRDD(sink)
        with Stepper(ssc, clock) as stepper:
            stepper.step()
            stepper.step()
            assert ssc.driver.read_ahead() == 0
        assert sink.batches == [[1], [2]]


class TestOnThreads:
    def test_the_next_batch_is_parsed_while_one_runs(
        self, threaded: StreamingContext, clock: ManualClock
    ) -> None:
        read = threading.Event()
        source = Files(["1"], ["2"], before=lambda records: records == ("2",) and read.set())
        sink = CollectingSink()

        def slow(time: Any, rdd: Any) -> None:
            assert read.wait(LONG_S), "the second batch was not read while the first was running"
            sink(time, rdd)

        parsed(threaded, source).foreachRDD(slow)
        threaded.start()
        clock.set(2_000)
        until(lambda: threaded.driver.finished_batches == 2, threaded.driver)
        assert sink.batches == [[1], [2]]
        assert dict(source.read)["2",] == "penstock-ahead"

    def test_all_that_is_there_in_order_and_each_once(self, threaded: StreamingContext) -> None:
        source, sink, events = Files(*([str(i)] * (i % 3) for i in range(300))), CollectingSink(), Events()
        threaded.addStreamingListener(events)
        numbers = parsed(threaded, source)
        numbers.foreachRDD(sink)
        numbers.map(lambda x: (x, 1)).reduceByKey(lambda a, b: a + b, 1).foreachRDD(lambda rdd: rdd.collect())
        threaded.start(availableNow=True)
        assert threaded.awaitTerminationOrTimeout(LONG_S)
        assert sink.batches == [[i] * (i % 3) for i in range(300)]
        assert len(source.read) == 300
        infos = [event.batchInfo for event in events.of("BatchCompleted")]
        assert [info.streamIdToInputInfo[0].numRecords for info in infos] == [i % 3 for i in range(300)]
        assert nothing_is_held(threaded)

    @pytest.mark.parametrize("graceful", [False, True])
    def test_a_stop_while_it_reads_ahead(
        self, threaded: StreamingContext, clock: ManualClock, graceful: bool
    ) -> None:
        reading, go = threading.Event(), threading.Event()

        def before(records: Any) -> None:
            if records == ("2",):
                reading.set()
                assert go.wait(LONG_S)

        source, sink = Files(["1"], ["2"], before=before), CollectingSink()

        def slow(time: Any, rdd: Any) -> None:
            assert reading.wait(LONG_S)
            sink(time, rdd)
            threaded.stop(stopSparkContext=False, stopGraceFully=graceful)
            go.set()

        parsed(threaded, source).foreachRDD(slow)
        threaded.start()
        clock.set(2_000)
        assert threaded.awaitTerminationOrTimeout(LONG_S)
        assert sink.batches == ([[1], [2]] if graceful else [[1]])
        assert len(source.read) == 2
        assert nothing_is_held(threaded)
        assert not [thread for thread in threading.enumerate() if thread.name == "penstock-ahead"]

    def test_no_thread_where_nothing_can_be_read_ahead(self, threaded: StreamingContext) -> None:
        threaded.queueStream([[1]]).foreachRDD(CollectingSink())
        threaded.start()
        assert not [thread for thread in threading.enumerate() if thread.name == "penstock-ahead"]
