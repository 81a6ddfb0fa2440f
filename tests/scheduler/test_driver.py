"""The driver: batches by the clock, by hand and by what is available; lag, failures and the end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from penstock import Context, StreamingContext
from penstock.clock import ManualClock
from penstock.dstream import DStream
from penstock.errors import failure_of
from penstock.scheduler import BatchDriver
from penstock.testing import CollectingSink, Stepper
from tests.scheduler.doubles import ScriptedSource

LONG_S = 60.0  # what a test waits for another thread at most


def stream_of(ssc: StreamingContext, source: ScriptedSource) -> DStream:
    return ssc._input("scripted", source)


def until(happened: Callable[[], bool], driver: BatchDriver) -> None:
    """Wait until the driver's threads have brought something about."""
    with driver._changed:
        assert driver._changed.wait_for(happened, LONG_S)


class TestStepping:
    def test_batches_at_multiples_of_the_interval(self, sc: Context) -> None:
        clock = ManualClock(7_777)
        ssc = StreamingContext(sc, 2.5, clock=clock)
        ssc.queueStream([]).foreachRDD(CollectingSink())
        with Stepper(ssc, clock) as stepper:
            assert [stepper.step() for _ in range(3)] == [10_000, 12_500, 15_000]

    def test_the_source_is_asked_in_order(self, ssc: StreamingContext, clock: ManualClock) -> None:
        source = ScriptedSource([1], [2])
        sink = CollectingSink()
        stream_of(ssc, source).foreachRDD(sink)
        with Stepper(ssc, clock) as stepper:
            stepper.step()
            stepper.step()
        assert sink.batches == [[1], [2]]
        assert source.calls == [
            "open", ("plan", 1000), ("done", 1000), ("plan", 2000), ("done", 2000), "close",
        ]  # fmt: skip

    def test_inputs_are_done_with_only_when_nothing_is_remembered_of_them(
        self, ssc: StreamingContext, clock: ManualClock
    ) -> None:
        source = ScriptedSource()
        stream_of(ssc, source).foreachRDD(CollectingSink())
        ssc.remember(3)
        with Stepper(ssc, clock) as stepper:
            for _ in range(5):
                stepper.step()
        assert [call for call in source.calls if call[0] == "done"] == [("done", 1000), ("done", 2000)]

    def test_instructions_are_counted(self, ssc: StreamingContext, clock: ManualClock) -> None:
        ssc.queueStream([[1]]).foreachRDD(CollectingSink())
        ssc.start()
        clock.set(1000)
        ssc.driver.tick(1000)
        assert ssc.driver.work() == 4  # generate, one output, commit, finish
        assert ssc.driver.work() == 0
        assert ssc.driver.finished_batches == 1
        assert "Finish(time=1000" in ssc.driver.story(1000)


class TestByTheClock:
    def test_nothing_before_the_first_batch_time(
        self, threaded: StreamingContext, clock: ManualClock
    ) -> None:
        clock.set(500)
        sink = CollectingSink()
        threaded.queueStream([[1], [2]]).foreachRDD(sink)
        threaded.start()
        clock.advance(499)
        assert sink.batches == []
        clock.advance(1)
        until(lambda: threaded.driver.finished_batches == 1, threaded.driver)
        assert sink.batches == [[1]]

    def test_a_clock_that_jumps_skips_nothing(self, threaded: StreamingContext, clock: ManualClock) -> None:
        sink = CollectingSink()
        threaded.queueStream([[i] for i in range(50)]).foreachRDD(sink)
        threaded.start()
        clock.advance(50_000)
        until(lambda: threaded.driver.finished_batches == 50, threaded.driver)
        assert sink.batches == [[i] for i in range(50)]
        assert [time.timestamp() for time in sink.times] == [*range(1, 51)]

    def test_a_clock_set_back_repeats_nothing(self, threaded: StreamingContext, clock: ManualClock) -> None:
        sink = CollectingSink()
        threaded.queueStream([]).foreachRDD(sink)
        threaded.start()
        clock.set(3_000)
        until(lambda: threaded.driver.finished_batches == 3, threaded.driver)
        clock.set(1_000)
        clock.set(4_000)
        until(lambda: threaded.driver.finished_batches == 4, threaded.driver)
        assert [time.timestamp() for time in sink.times] == [1, 2, 3, 4]

    def test_late_batches_queue_and_their_input_is_planned_in_time(
        self, threaded: StreamingContext, clock: ManualClock
    ) -> None:
        go = threading.Event()
        source = ScriptedSource(*([i] for i in range(10)))
        sink = CollectingSink()

        def slow(time: Any, rdd: Any) -> None:
            assert go.wait(LONG_S)
            sink(time, rdd)

        stream_of(threaded, source).foreachRDD(slow)
        threaded.start()
        clock.set(10_000)
        until(lambda: threaded.driver._machine.waiting == 9, threaded.driver)
        assert [call for call in source.calls if call[0] == "plan"] == [
            ("plan", 1000 * i) for i in range(1, 11)
        ]
        assert sink.batches == []
        go.set()
        until(lambda: threaded.driver.finished_batches == 10, threaded.driver)
        assert sink.batches == [[i] for i in range(10)]


class TestAvailableNow:
    def run(self, ssc: StreamingContext) -> None:
        ssc.start(availableNow=True)
        assert ssc.awaitTerminationOrTimeout(LONG_S)

    def test_all_that_is_there_without_waiting(self, threaded: StreamingContext, clock: ManualClock) -> None:
        clock.set(1_234)
        source = ScriptedSource([1], [2], [3])
        sink = CollectingSink()
        stream_of(threaded, source).foreachRDD(sink)
        self.run(threaded)
        assert sink.batches == [[1], [2], [3]]
        assert [time.timestamp() for time in sink.times] == [2, 3, 4]  # the grid goes on ahead of the clock
        assert source.calls[:2] == ["open", "only_available"]
        assert source.calls[-1] == "close"
        assert StreamingContext.getActive() is None

    def test_nothing_there(self, threaded: StreamingContext) -> None:
        sink = CollectingSink()
        stream_of(threaded, ScriptedSource()).foreachRDD(sink)
        self.run(threaded)
        assert sink.batches == []

    def test_until_the_last_of_several_inputs_is_used_up(self, threaded: StreamingContext) -> None:
        sink = CollectingSink()
        one, two = ScriptedSource([1]), ScriptedSource([10], [20], [30])
        stream_of(threaded, one).union(stream_of(threaded, two)).foreachRDD(sink)
        self.run(threaded)
        assert sink.batches == [[1, 10], [20], [30]]

    def test_windows_and_state_go_batch_by_batch(self, threaded: StreamingContext) -> None:
        sink = CollectingSink()
        pairs = stream_of(threaded, ScriptedSource([("a", 1)], [("a", 2)], [("a", 4)]))
        pairs.reduceByKeyAndWindow(lambda a, b: a + b, 2).union(
            pairs.updateStateByKey(lambda values, state: sum(values) + (state or 0), 1)
        ).foreachRDD(sink)
        self.run(threaded)
        assert sink.batches == [[("a", 1), ("a", 1)], [("a", 3), ("a", 3)], [("a", 6), ("a", 7)]]

    def test_only_a_few_batches_are_planned_ahead(self, threaded: StreamingContext) -> None:
        source = ScriptedSource(*([i] for i in range(100)))
        ahead: list[int] = []
        stream_of(threaded, source).foreachRDD(lambda rdd: ahead.append(100 - len(source.script)))
        self.run(threaded)
        assert all(planned - done <= 4 for done, planned in enumerate(ahead))

    def test_an_error_is_raised_and_the_rest_still_runs(self, threaded: StreamingContext) -> None:
        sink = CollectingSink()
        stream = stream_of(threaded, ScriptedSource([1], [0], [2])).map(lambda x: 1 // x)
        stream.foreachRDD(sink)
        threaded.start(availableNow=True)
        with pytest.raises(ZeroDivisionError):
            threaded.awaitTermination(LONG_S)
        until(lambda: threaded.driver.halted, threaded.driver)
        assert sink.batches == [[1], [0]]
        with pytest.raises(ZeroDivisionError):  # it is told as often as asked
            threaded.awaitTermination(LONG_S)

    def test_by_hand(self, ssc: StreamingContext) -> None:
        sink = CollectingSink()
        stream_of(ssc, ScriptedSource([1], [2])).foreachRDD(sink)
        ssc.start(availableNow=True)
        while ssc.driver.take_next_available():
            ssc.driver.work()
        assert sink.batches == [[1], [2]]


class TestFailures:
    def test_an_input_that_cannot_be_planned_fails_its_batch_and_no_other(
        self, ssc: StreamingContext, clock: ManualClock
    ) -> None:
        source = ScriptedSource([1], OSError("no listing"), [3])
        other = ScriptedSource()
        sink = CollectingSink()
        stream_of(ssc, source).union(stream_of(ssc, other)).foreachRDD(sink)
        with Stepper(ssc, clock) as stepper:
            stepper.step()
            with pytest.raises(OSError, match="no listing") as caught:
                stepper.step()
            ssc.driver.error = None
            stepper.step()
        assert sink.batches == [[1], [3]]
        failure = failure_of(caught.value)
        assert failure is not None
        assert (failure.batch_time_ms, failure.output) == (2000, "input scripted")
        # What it planned for the batch that failed belongs to the next one, so that is not done before.
        assert [call for call in other.calls if call[0] == "done"] == [("done", 1000), ("done", 3000)]
        assert (ssc.driver.finished_batches, ssc.driver.failed_batches) == (3, 1)
        assert "no listing" in ssc.driver.story(2000)

    def test_of_an_input_that_failed_windows_hold_nothing_and_state_stays(
        self, ssc: StreamingContext, clock: ManualClock
    ) -> None:
        pairs = stream_of(ssc, ScriptedSource([("a", 1)], OSError("no"), [("a", 3)]))
        windows, states, calls = CollectingSink(), CollectingSink(), []

        def update(values: list[int], state: int | None) -> int:
            calls.append(values)
            return sum(values) + (state or 0)

        states_of = pairs.updateStateByKey(update, 1)
        pairs.window(3).foreachRDD(windows)
        states_of.window(3).foreachRDD(states)
        with Stepper(ssc, clock) as stepper:
            stepper.step()
            with pytest.raises(OSError, match="no"):
                stepper.step()
            ssc.driver.error = None
            stepper.step()
        assert windows.batches == [[("a", 1)], [("a", 1), ("a", 3)]]
        assert states.batches == [[("a", 1)], [("a", 1), ("a", 4)]]
        assert calls == [[1], [3]]

    def test_a_transform_that_raises_fails_its_batch_and_no_other(
        self, ssc: StreamingContext, clock: ManualClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        sink = CollectingSink()

        def fail_at_2(time: Any, rdd: Any) -> Any:
            if time.timestamp() == 2:
                raise KeyError("no table")
            return rdd

        stream = ssc.queueStream([[1], [2], [3]])
        stream.foreachRDD(sink)
        stream.transform(fail_at_2).foreachRDD(sink)
        with Stepper(ssc, clock) as stepper:
            stepper.step()
            with pytest.raises(KeyError, match="no table"):
                stepper.step()
            ssc.driver.error = None
            stepper.step()
        assert sink.batches == [[1], [1], [3], [3]]  # none of the outputs of batch 2 began
        assert f"in transform ({__file__}:" in caplog.text
        assert "the batch 2000 ms failed" in caplog.text

    def test_an_input_that_cannot_be_read_fails_its_batch_and_no_other(
        self, ssc: StreamingContext, clock: ManualClock
    ) -> None:
        class Unreadable(ScriptedSource):
            def node(self, intent: Any, site: Any) -> Any:
                if intent.items == (2,):
                    raise OSError("no reader")
                return super().node(intent, site)

        sink = CollectingSink()
        stream_of(ssc, Unreadable([1], [2], [3])).foreachRDD(sink)
        with Stepper(ssc, clock) as stepper:
            stepper.step()
            with pytest.raises(OSError, match="no reader") as caught:
                stepper.step()
            ssc.driver.error = None
            stepper.step()
        assert sink.batches == [[1], [3]]
        failure = failure_of(caught.value)
        assert failure is not None
        assert failure.site is not None
        assert (failure.site.operation, failure.batch_time_ms) == ("scripted", 2000)

    def test_a_commit_that_fails_is_a_failure_of_the_batch(
        self, ssc: StreamingContext, clock: ManualClock
    ) -> None:
        """No output reads the state, so nothing but the commit computes it."""

        def update(values: list[int], state: int | None) -> int:
            return sum(1 // value for value in values) + (state or 0)

        stream = stream_of(ssc, ScriptedSource([("a", 1)], [("a", 0)], [("a", 1)]))
        states = stream.updateStateByKey(update, 1)
        states.foreachRDD(lambda rdd: None)
        sums: list[int] = []
        states.foreachRDD(
            lambda time, rdd: sums.extend(rdd.values().collect()) if time.timestamp() == 3 else None
        )
        with Stepper(ssc, clock) as stepper:
            stepper.step()
            with pytest.raises(ZeroDivisionError) as caught:
                stepper.step()
            ssc.driver.error = None
            stepper.step()
        assert sums == [2]
        failure = failure_of(caught.value)
        assert failure is not None
        assert failure.output is None
        assert "Committed(time=2000, failed=" in ssc.driver.story(2000)

    def test_what_awaits_the_end_is_told_at_once(
        self, threaded: StreamingContext, clock: ManualClock
    ) -> None:
        stream_of(threaded, ScriptedSource([0])).map(lambda x: 1 // x).foreachRDD(CollectingSink())
        threaded.start()
        clock.set(1000)
        with pytest.raises(ZeroDivisionError):
            threaded.awaitTermination(LONG_S)
        assert StreamingContext.getActive() is threaded

    def test_a_source_that_does_not_open_keeps_the_context_from_starting(self, ssc: StreamingContext) -> None:
        class Broken(ScriptedSource):
            def open(self) -> None:
                raise ConnectionError("no broker")

        first = ScriptedSource()
        stream_of(ssc, first).foreachRDD(CollectingSink())
        stream_of(ssc, Broken()).foreachRDD(CollectingSink())
        with pytest.raises(ConnectionError, match="no broker"):
            ssc.start()
        assert first.calls == ["open", "close"]
        assert StreamingContext.getActive() is None
        with pytest.raises(RuntimeError, match="already been stopped"):
            ssc.start()

    @pytest.mark.parametrize("where", ["done", "done, all at once", "exhausted", "clock"])
    def test_no_thread_dies_in_silence(
        self, threaded: StreamingContext, clock: ManualClock, where: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Broken(ScriptedSource):
            def done(self, time: Any) -> None:
                if where.startswith("done"):
                    raise LookupError(where)

            @property
            def exhausted(self) -> bool:
                if where == "exhausted":
                    raise LookupError(where)
                return super().exhausted

        def broken_clock(time_ms: int, woken: threading.Event) -> bool:
            raise LookupError(where)

        if where == "clock":
            clock.wait_until = broken_clock  # type: ignore[method-assign]
        source = Broken(*([i] for i in range(20)))
        stream_of(threaded, source).foreachRDD(CollectingSink())
        threaded.start(availableNow=where in ("exhausted", "done, all at once"))
        clock.set(1000)
        with pytest.raises(LookupError, match=where):
            threaded.awaitTermination(LONG_S)
        until(lambda: threaded.driver.halted, threaded.driver)
        assert source.calls[-1] == "close"
        assert StreamingContext.getActive() is None
        assert "streaming ends" in caplog.text
        threaded.stop(stopSparkContext=False)

    def test_a_source_that_does_not_close_is_logged(
        self, ssc: StreamingContext, clock: ManualClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Broken(ScriptedSource):
            def close(self) -> None:
                raise OSError("stuck")

        last = ScriptedSource()
        stream_of(ssc, Broken()).union(stream_of(ssc, last)).foreachRDD(CollectingSink())
        with Stepper(ssc, clock):
            pass
        assert "closing the input scripted failed" in caplog.text
        assert last.calls[-1] == "close"
