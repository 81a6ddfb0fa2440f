"""A streaming context starts once, alone in its process, and stops as it is asked to."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from penstock import RDD, Conf, Context, StreamingContext, StreamingListener
from penstock.clock import Clock, ManualClock
from penstock.context.lifecycle import _HURRIED_STOP_S
from penstock.errors import StateError
from penstock.testing import CollectingSink, Stepper

LONG_S = 60.0


def on_threads(sc: Context, clock: Clock) -> StreamingContext:
    ssc = StreamingContext(sc, 1, clock=clock)
    ssc._threaded = ssc._bus._threaded = True
    return ssc


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def ssc(sc: Context, clock: ManualClock) -> StreamingContext:
    """On a manual clock, with the threads of a real run."""
    return on_threads(sc, clock)


class Gate:
    """An output that says when it has begun, and waits to be let through."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()
        self.batches: list[list[Any]] = []

    def __call__(self, rdd: Any) -> None:
        self.begun.set()
        assert self.go.wait(LONG_S)
        self.batches.append(rdd.collect())


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.go.set()


def in_background(function: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


def joined(thread: threading.Thread) -> None:
    thread.join(LONG_S)
    assert not thread.is_alive()


def finished(ssc: StreamingContext, count: int) -> None:
    """Wait until so many batches are over."""
    driver = ssc.driver
    with driver._changed:
        assert driver._changed.wait_for(lambda: driver.finished_batches >= count, LONG_S)


class TestStart:
    def test_one_in_a_process_at_a_time(self, sc: Context, ssc: StreamingContext) -> None:
        assert StreamingContext.getActive() is None
        ssc.queueStream([]).pprint(0)
        ssc.start()
        assert StreamingContext.getActive() is ssc
        other = StreamingContext(sc, 1, clock=ManualClock())
        other.queueStream([]).pprint(0)
        with pytest.raises(
            StateError, match=r"Only one StreamingContext may be started .* started at start \(.*:\d+\)"
        ):
            other.start()
        ssc.stop(stopSparkContext=False)
        assert StreamingContext.getActive() is None
        other.start()  # it was only refused
        assert StreamingContext.getActive() is other

    def test_a_second_start_of_the_running_one_does_nothing(self, ssc: StreamingContext) -> None:
        ssc.queueStream([]).pprint(0)
        ssc.start()
        driver = ssc.driver
        ssc.start()
        assert ssc.driver is driver

    def test_not_again_after_a_stop(self, ssc: StreamingContext) -> None:
        ssc.queueStream([]).pprint(0)
        ssc.start()
        ssc.stop(stopSparkContext=False)
        with pytest.raises(StateError, match="StreamingContext has already been stopped"):
            ssc.start()

    @pytest.mark.parametrize("stopped", [False, True])
    def test_nothing_is_added_afterwards(self, ssc: StreamingContext, stopped: bool) -> None:
        stream = ssc.queueStream([[("a", 1)]])
        stream.pprint(0)
        ssc.start()
        if stopped:
            ssc.stop(stopSparkContext=False)
        when = "stopping" if stopped else "starting"
        for add in (
            lambda: ssc.queueStream([]),
            lambda: ssc.textFileStream("anywhere"),
            lambda: ssc.union(stream, stream),
            lambda: ssc.transform([stream], lambda rdds: rdds[0]),
            lambda: stream.map(abs),
            lambda: stream.union(stream),
            lambda: stream.transform(lambda rdd: rdd),
            lambda: stream.transformWith(lambda a, b: a, stream),
            lambda: stream.window(2),
            lambda: stream.reduceByKeyAndWindow(max, 2),
            lambda: stream.updateStateByKey(lambda values, state: 1),
            lambda: stream.foreachRDD(print),
            lambda: stream.pprint(),
            lambda: stream.saveAsTextFiles("p"),
        ):
            with pytest.raises(
                StateError, match=f"Adding new inputs, .* after {when} a context is not supported"
            ):
                add()
        if not stopped:
            for change in (lambda: ssc.checkpoint("d"), lambda: ssc.remember(1), lambda: stream.cache()):
                with pytest.raises(StateError, match="after streaming context has started"):
                    change()

    def test_the_driver_is_there_from_the_start(self, ssc: StreamingContext) -> None:
        with pytest.raises(StateError, match="has not been started"):
            _ = ssc.driver

    def test_a_context_of_a_conf_makes_its_own(self) -> None:
        conf = Conf().setMaster("local[1]").setAppName("mine")
        with StreamingContext(conf, 1, clock=ManualClock()) as made:
            assert made.sparkContext.appName == "mine"
        assert Context._active is None

    def test_extra_listeners_are_made_at_the_start(self) -> None:
        name = f"{Told.__module__}.Told"
        with Context(
            conf=Conf().setMaster("local[2]").set("spark.streaming.extraListeners", f"{name},{name}")
        ) as sc:
            clock = ManualClock()
            ssc = StreamingContext(sc, 1, clock=clock)
            ssc.queueStream([]).pprint(0)
            with Stepper(ssc, clock) as stepper:
                stepper.step()
            told = [listener for listener in ssc._bus._listeners if type(listener).__name__ == "Told"]
            assert [listener.batches for listener in told] == [[1000], [1000]]


class Told(StreamingListener):
    def __init__(self) -> None:
        self.batches: list[int] = []

    def onBatchCompleted(self, batchCompleted: Any) -> None:
        self.batches.append(batchCompleted.batchInfo.batchTime)


class TestStop:
    def test_before_the_start(self, ssc: StreamingContext) -> None:
        ssc.stop(stopSparkContext=False)
        with pytest.raises(StateError, match="already been stopped"):
            ssc.start()
        assert ssc.awaitTerminationOrTimeout(0) is True

    def test_twice_and_the_spared_context_afterwards(self, sc: Context, ssc: StreamingContext) -> None:
        ssc.queueStream([]).pprint(0)
        ssc.start()
        ssc.stop(stopSparkContext=False)
        assert sc.parallelize([1]).collect() == [1]
        ssc.stop(False)
        ssc.stop()
        with pytest.raises(StateError, match="has been stopped"):
            sc.parallelize([1]).collect()
        ssc.stop()

    @pytest.mark.parametrize(("by_default", "stops"), [("true", True), ("false", False)])
    def test_none_asks_the_setting(self, by_default: str, stops: bool) -> None:
        conf = Conf().setMaster("local[2]").set("spark.streaming.stopSparkContextByDefault", by_default)
        sc = Context(conf=conf)
        try:
            StreamingContext(sc, 1, clock=ManualClock()).stop(None)
            assert (Context._active is None) == stops
        finally:
            sc.stop()

    @pytest.mark.parametrize("how", [{"stopGraceFully": True}, {"stopGracefully": True}])
    def test_gracefully_all_batches_whose_time_has_come_are_completed(
        self, ssc: StreamingContext, clock: ManualClock, gate: Gate, how: dict[str, bool]
    ) -> None:
        ssc.queueStream([[i] for i in range(10)]).foreachRDD(gate)
        ssc.start()
        clock.set(5_000)
        assert gate.begun.wait(LONG_S)
        with ssc.driver._changed:
            assert ssc.driver._changed.wait_for(lambda: ssc.driver._machine.waiting == 4, LONG_S)
        stopping = in_background(lambda: ssc.stop(False, **how))
        assert ssc.driver._stop_intake.wait(LONG_S)
        clock.set(8_000)  # too late
        gate.go.set()
        joined(stopping)
        assert gate.batches == [[0], [1], [2], [3], [4]]

    def test_in_a_hurry_the_running_output_ends_and_what_waits_is_dropped(
        self, ssc: StreamingContext, clock: ManualClock, gate: Gate
    ) -> None:
        never = CollectingSink()
        stream = ssc.queueStream([[i] for i in range(10)])
        stream.foreachRDD(gate)
        stream.foreachRDD(never)
        ssc.start()
        clock.set(5_000)
        assert gate.begun.wait(LONG_S)
        stopping = in_background(lambda: ssc.stop(False))
        assert ssc.driver._stop_intake.wait(LONG_S)
        gate.go.set()
        joined(stopping)
        assert gate.batches == [[0]]
        assert never.batches == []

    def test_in_a_hurry_it_waits_no_longer_than_spark_does(
        self,
        sc: Context,
        ssc: StreamingContext,
        clock: ManualClock,
        gate: Gate,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        assert _HURRIED_STOP_S == 2.0
        monkeypatch.setattr("penstock.context.lifecycle._HURRIED_STOP_S", 0.05)
        told = Told()
        ssc.addStreamingListener(told)
        ssc.queueStream([[1]]).foreachRDD(gate)
        ssc.start()
        clock.set(1_000)
        assert gate.begun.wait(LONG_S)
        ssc.stop(stopSparkContext=False)
        assert gate.batches == []
        assert StreamingContext.getActive() is None
        gate.go.set()
        assert ssc.driver._halted.wait(LONG_S)
        ssc.stop(stopSparkContext=False)  # once more after all is over: it does not hang on late events
        assert ssc.awaitTerminationOrTimeout(LONG_S) is True

    def test_a_graceful_stop_that_takes_too_long_goes_on_in_a_hurry(
        self, clock: ManualClock, gate: Gate, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("penstock.context.lifecycle._HURRIED_STOP_S", LONG_S)
        conf = Conf().setMaster("local[2]").set("spark.streaming.gracefulStopTimeout", "50ms")
        with Context(conf=conf) as sc:
            ssc = on_threads(sc, clock)
            ssc.queueStream([[i] for i in range(5)]).foreachRDD(gate)
            ssc.start()
            clock.set(5_000)
            assert gate.begun.wait(LONG_S)
            stopping = in_background(lambda: ssc.stop(False, True))
            driver = ssc.driver
            with driver._changed:
                hurried = lambda: "graceful=False" in driver._machine.story(5_000)  # noqa: E731
                assert driver._changed.wait_for(hurried, LONG_S)
            gate.go.set()
            joined(stopping)
            assert gate.batches == [[0]]

    @pytest.mark.parametrize(
        ("policy", "whole", "others"),
        [("continue", [[0], [2]], [[0], [1], [2]]), ("stop", [[0]], [[0], [1]])],
    )
    def test_after_a_failed_batch_later_ones_run_or_none_does(
        self, clock: ManualClock, policy: str, whole: list[list[int]], others: list[list[int]]
    ) -> None:
        with Context(conf=Conf().setMaster("local[2]").set("penstock.streaming.onFailure", policy)) as sc:
            ssc = on_threads(sc, clock)
            good, other = CollectingSink(), CollectingSink()
            stream = ssc.queueStream([[0], [1], [2]])
            stream.map(lambda x: x if 1 // (x - 1) else 0).foreachRDD(good)
            stream.foreachRDD(other)
            ssc.start(availableNow=True)
            with pytest.raises(ZeroDivisionError):
                ssc.awaitTermination()
            assert ssc.driver._halted.wait(LONG_S)
            assert good.batches == whole
            assert other.batches == others

    @pytest.mark.parametrize("graceful", [False, True])
    @pytest.mark.parametrize("stop_sc", [False, True])
    def test_from_within_an_output(
        self, sc: Context, ssc: StreamingContext, clock: ManualClock, graceful: bool, stop_sc: bool
    ) -> None:
        ran: list[str] = []

        def stop_at_2(time: Any, rdd: Any) -> None:
            ran.append(f"first {time.timestamp():.0f}: {rdd.count()}")
            if time.timestamp() == 2:
                ssc.stop(stop_sc, graceful)

        stream = ssc.queueStream([[i] for i in range(9)])
        stream.foreachRDD(stop_at_2)
        stream.foreachRDD(lambda rdd: ran.append(f"second: {rdd.count()}"))
        ssc.start()
        clock.set(1_000)
        finished(ssc, 1)
        clock.set(2_000)
        assert ssc.awaitTerminationOrTimeout(LONG_S) is True
        assert ran[:3] == ["first 1: 1", "second: 1", "first 2: 1"]
        assert ran[3:] == (["second: 1"] if graceful else [])
        assert StreamingContext.getActive() is None
        assert sc._stopped == stop_sc

    def test_from_within_an_output_without_anybody_waiting(
        self, sc: Context, ssc: StreamingContext, clock: ManualClock
    ) -> None:
        ssc.queueStream([]).foreachRDD(lambda rdd: ssc.stop(stopSparkContext=True))
        ssc.start()
        clock.set(1_000)
        assert ssc.driver._halted.wait(LONG_S)
        assert sc._stopped
        assert StreamingContext.getActive() is None

    def test_from_within_a_transform_function(self, ssc: StreamingContext, clock: ManualClock) -> None:
        def stopping(rdd: Any) -> Any:
            ssc.stop(stopSparkContext=False, stopGraceFully=True)
            return rdd

        sink = CollectingSink()
        ssc.queueStream([[1], [2]]).transform(stopping).foreachRDD(sink)
        ssc.start()
        clock.set(1_000)
        assert ssc.awaitTerminationOrTimeout(LONG_S) is True
        assert sink.batches == [[1]]

    def test_from_within_a_batch_that_is_stepped_by_hand(self, sc: Context, clock: ManualClock) -> None:
        ssc = StreamingContext(sc, 1, clock=clock)
        sink = CollectingSink()
        stream = ssc.queueStream([[1], [2]])
        stream.foreachRDD(lambda rdd: ssc.stop(stopSparkContext=True, stopGraceFully=True))
        stream.foreachRDD(sink)
        ssc.start()
        clock.set(1_000)
        ssc.driver.tick(1_000)  # type: ignore[arg-type]
        ssc.driver.work()
        assert sink.batches == [[1]]
        assert ssc.driver.halted
        assert sc._stopped

    def test_from_within_the_very_first_batch(self, sc: Context) -> None:
        """With everything available at once it may run before start() has returned."""
        ssc = StreamingContext(sc, 1)
        ssc.queueStream([[i] for i in range(5_000)]).foreachRDD(lambda rdd: ssc.stop(False))
        ssc.start(availableNow=True)
        assert ssc.awaitTerminationOrTimeout(LONG_S) is True
        assert ssc.driver.finished_batches < 5_000
        assert StreamingContext.getActive() is None

    def test_leaving_a_with_block_stops_both(self, clock: ManualClock) -> None:
        with Context("local[2]", "with") as sc, StreamingContext(sc, 1, clock=clock) as ssc:
            ssc.queueStream([]).pprint(0)
            ssc.start()
        assert sc._stopped
        assert StreamingContext.getActive() is None


class TestAwait:
    def test_the_time_is_up(self, ssc: StreamingContext) -> None:
        ssc.queueStream([]).pprint(0)
        ssc.start()
        assert ssc.awaitTerminationOrTimeout(0.01) is False
        ssc.awaitTermination(0.01)
        ssc.awaitTermination(timeout=0)

    def test_before_the_start_it_waits(self, ssc: StreamingContext) -> None:
        assert ssc.awaitTerminationOrTimeout(0.01) is False

    def test_before_the_start_it_waits_for_start_and_end(
        self, ssc: StreamingContext, clock: ManualClock
    ) -> None:
        ssc.queueStream([]).pprint(0)
        results: list[bool] = []
        waiting = in_background(lambda: results.append(ssc.awaitTerminationOrTimeout(None)))
        ssc.start()
        assert results == []
        ssc.stop(stopSparkContext=False)
        joined(waiting)
        assert results == [True]

    def test_before_the_start_a_stop_ends_it(self, ssc: StreamingContext) -> None:
        waiting = in_background(ssc.awaitTermination)
        ssc.stop(stopSparkContext=False)
        joined(waiting)

    def test_a_stop_elsewhere_ends_it(self, ssc: StreamingContext) -> None:
        ssc.queueStream([]).pprint(0)
        ssc.start()
        waiting = in_background(ssc.awaitTermination)
        ssc.stop(stopSparkContext=False)
        joined(waiting)

    def test_a_slow_listener_delays_no_batch_and_hears_the_end(
        self, ssc: StreamingContext, clock: ManualClock
    ) -> None:
        go, heard = threading.Event(), Told()

        class Slow(StreamingListener):
            def onBatchCompleted(self, batchCompleted: Any) -> None:
                assert go.wait(LONG_S)
                heard.onBatchCompleted(batchCompleted)

        ssc.addStreamingListener(Slow())
        ssc.queueStream([]).pprint(0)
        ssc.start()
        clock.set(20_000)
        finished(ssc, 20)
        assert heard.batches == []
        go.set()
        ssc.stop(stopSparkContext=False, stopGraceFully=True)
        assert heard.batches == [1000 * i for i in range(1, 21)]


def test_stopping_the_context_stops_its_stream_first() -> None:
    sc = Context("local[2]", "first the stream")
    ssc = StreamingContext(sc, 0.01)
    sums: list[int] = []
    ssc.queueStream([], default=[1, 2]).foreachRDD(lambda rdd: sums.append(rdd.sum()))
    ssc.start()
    while not sums:
        ssc.awaitTerminationOrTimeout(0.005)
    sc.stop()
    assert ssc.awaitTerminationOrTimeout(10)  # raises if a batch ran on without its context
    assert StreamingContext.getActive() is None
    assert Context._active is None


def test_stopping_the_context_from_within_a_batch_lets_the_batch_finish() -> None:
    sc = Context("local[2]", "from within")
    ssc = StreamingContext(sc, 0.01)
    sums: list[int] = []

    def stop_and_go_on(rdd: RDD) -> None:
        sc.stop()
        sums.append(rdd.sum())

    ssc.queueStream([], default=[1, 2]).foreachRDD(stop_and_go_on)
    ssc.start()
    assert ssc.awaitTerminationOrTimeout(10)
    assert sums == [3]
    assert Context._active is None


@pytest.mark.parametrize("wanted", [True, False])
def test_what_was_there_at_the_start_is_left_alone_by_the_garbage_collector(wanted: bool) -> None:
    frozen: list[int] = []
    conf = Conf().setMaster("local[2]").set("penstock.python.freezeObjects", wanted)
    with Context(conf=conf) as sc:
        ssc = StreamingContext(sc, 0.05)
        ssc.queueStream([[1]]).foreachRDD(lambda rdd: frozen.append(gc.get_freeze_count()))
        ssc.start(availableNow=True)
        ssc.awaitTermination()
    assert (frozen[0] > 0) == wanted
    assert gc.get_freeze_count() == 0


def test_who_has_frozen_objects_keeps_them_so() -> None:
    gc.freeze()
    try:
        with Context("local[2]", "frozen") as sc:
            ssc = StreamingContext(sc, 0.05)
            ssc.queueStream([[1]]).pprint(0)
            ssc.start(availableNow=True)
            ssc.awaitTermination()
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
