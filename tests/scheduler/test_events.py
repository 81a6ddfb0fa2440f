"""What listeners are told of batches, to the millisecond of a manual clock."""

from __future__ import annotations

from typing import Any

import pytest

from penstock import Context, StateSpec, StreamingContext
from penstock.clock import ManualClock
from penstock.errors import StateError
from penstock.scheduler import BatchInfo, StreamingListener, StreamInputInfo
from penstock.testing import CollectingSink, Stepper
from tests.scheduler.doubles import Events, ScriptedSource

BATCH = [
    "BatchSubmitted",
    "BatchStarted",
    "OutputOperationStarted",
    "OutputOperationCompleted",
    "OutputOperationStarted",
    "OutputOperationCompleted",
    "BatchCompleted",
]


@pytest.fixture
def events(ssc: StreamingContext) -> Events:
    made = Events()
    ssc.addStreamingListener(made)
    return made


def two_outputs(ssc: StreamingContext, clock: ManualClock, source: ScriptedSource) -> None:
    """The first takes 30 ms, the second 70."""
    stream = ssc._input("scripted", source)
    for milliseconds in (30, 70):
        stream.foreachRDD(lambda rdd, milliseconds=milliseconds: (rdd.count(), clock.advance(milliseconds)))


def test_the_events_of_a_batch(ssc: StreamingContext, clock: ManualClock, events: Events) -> None:
    two_outputs(ssc, clock, ScriptedSource([1, 2, 3]))
    with Stepper(ssc, clock) as stepper:
        stepper.step()
        assert events.names() == ["StreamingStarted", *BATCH]
    assert events.of("StreamingStarted")[0].time == 0
    submitted, started, completed = (
        events.of(f"Batch{name}")[0].batchInfo for name in ("Submitted", "Started", "Completed")
    )
    inputs = {0: StreamInputInfo(0, 3, {}, "3 records")}
    assert submitted == BatchInfo(1000, 1000, inputs)
    assert started == BatchInfo(1000, 1000, inputs, processingStartTime=1000, schedulingDelay=0.0)
    assert (completed.processingStartTime, completed.processingEndTime) == (1000, 1100)
    assert (completed.schedulingDelay, completed.processingDelay, completed.totalDelay) == (0.0, 100.0, 100.0)
    assert completed.numRecords == 3
    assert completed.failureReason is None
    outputs = [event.outputOperationInfo for event in events.of("OutputOperationCompleted")]
    assert completed.outputOperationInfos == dict(enumerate(outputs))
    assert [(o.batchTime, o.id, o.startTime, o.endTime, o.duration) for o in outputs] == [
        (1000, 0, 1000, 1030, 30.0),
        (1000, 1, 1030, 1100, 70.0),
    ]
    assert all(o.name.startswith("foreachRDD (") and __file__ in o.description for o in outputs)
    [begun, _] = [event.outputOperationInfo for event in events.of("OutputOperationStarted")]
    assert (begun.startTime, begun.endTime, begun.duration, begun.failureReason) == (1000, -1, -1.0, None)


def test_a_batch_that_waited(ssc: StreamingContext, clock: ManualClock, events: Events) -> None:
    two_outputs(ssc, clock, ScriptedSource())
    ssc.start()
    for time in (1000, 2000):
        clock.set(time)
        ssc.driver.tick(time)
    ssc.driver.work()
    waited = events.of("BatchCompleted")[1].batchInfo
    assert waited.submissionTime == 2000
    assert (waited.schedulingDelay, waited.processingDelay, waited.totalDelay) == (100.0, 100.0, 200.0)
    assert events.names()[1:3] == ["BatchSubmitted", "BatchSubmitted"]


def test_an_output_that_fails(ssc: StreamingContext, clock: ManualClock, events: Events) -> None:
    stream = ssc._input("scripted", ScriptedSource([0]))
    stream.map(lambda x: 1 // x).foreachRDD(lambda rdd: rdd.collect())
    stream.foreachRDD(lambda rdd: clock.advance(5))
    with Stepper(ssc, clock) as stepper, pytest.raises(ZeroDivisionError):
        stepper.step()
    assert events.names()[1:] == BATCH
    completed = events.of("BatchCompleted")[0].batchInfo
    first, second = completed.outputOperationInfos.values()
    assert "ZeroDivisionError" in first.failureReason
    assert __file__ in first.failureReason
    assert second.failureReason is None
    assert completed.failureReason == first.failureReason
    assert completed.processingDelay == 5.0


def test_an_input_that_fails(ssc: StreamingContext, clock: ManualClock, events: Events) -> None:
    ok, broken = ScriptedSource([1]), ScriptedSource(OSError("no listing"))
    ssc._input("ok", ok).union(ssc._input("broken", broken)).pprint(0)
    with Stepper(ssc, clock) as stepper, pytest.raises(OSError, match="no listing"):
        stepper.step()
    assert events.names()[1:] == ["BatchSubmitted", "BatchCompleted"]
    completed = events.of("BatchCompleted")[0].batchInfo
    assert "no listing" in completed.failureReason
    assert (completed.processingStartTime, completed.processingEndTime) == (-1, -1)
    assert (completed.schedulingDelay, completed.processingDelay, completed.totalDelay) == (-1.0, -1.0, -1.0)
    assert completed.outputOperationInfos == {}
    assert list(completed.streamIdToInputInfo) == []


def test_what_an_input_has_planned_beside_one_that_fails_belongs_to_the_next_batch(
    ssc: StreamingContext, clock: ManualClock
) -> None:
    ok, broken = ScriptedSource([1], [2]), ScriptedSource(OSError("no listing"), [3])
    sink = CollectingSink()
    ssc._input("ok", ok).union(ssc._input("broken", broken)).foreachRDD(sink)
    with Stepper(ssc, clock) as stepper:
        with pytest.raises(OSError, match="no listing"):
            stepper.step()
        ssc.driver.error = None
        stepper.step()
        stepper.step()
    assert sink.batches == [[1, 3], [2]]


def test_all_inputs_that_fail_are_named(ssc: StreamingContext, clock: ManualClock, events: Events) -> None:
    one, two = ScriptedSource(OSError("first")), ScriptedSource(OSError("second"))
    ssc._input("one", one).union(ssc._input("two", two)).pprint(0)
    with Stepper(ssc, clock) as stepper, pytest.raises(OSError, match="first"):
        stepper.step()
    reason = events.of("BatchCompleted")[0].batchInfo.failureReason
    assert "first" in reason
    assert "second" in reason


def test_a_batch_that_cannot_be_made(ssc: StreamingContext, clock: ManualClock, events: Events) -> None:
    ssc.queueStream([[1]]).transform(lambda rdd: rdd.no_such_method()).pprint()
    with Stepper(ssc, clock) as stepper, pytest.raises(AttributeError):
        stepper.step()
    assert events.names()[1:] == ["BatchSubmitted", "BatchStarted", "BatchCompleted"]
    assert "no_such_method" in events.of("BatchCompleted")[0].batchInfo.failureReason


def test_records_of_every_input(ssc: StreamingContext, clock: ManualClock, events: Events) -> None:
    one, two = ScriptedSource([1, 2]), ScriptedSource([3])
    ssc._input("one", one).union(ssc._input("two", two)).pprint(0)
    with Stepper(ssc, clock) as stepper:
        stepper.step()
    info = events.of("BatchCompleted")[0].batchInfo
    assert {id: input.numRecords for id, input in info.streamIdToInputInfo.items()} == {0: 2, 1: 1}
    assert info.numRecords == 3


def test_a_listener_cannot_stop_the_context(ssc: StreamingContext, clock: ManualClock) -> None:
    refused: list[str] = []

    class Stopping(StreamingListener):
        def onBatchCompleted(self, batchCompleted: Any) -> None:
            with pytest.raises(StateError) as caught:
                ssc.stop()
            refused.append(str(caught.value))

    ssc.addStreamingListener(Stopping())
    ssc.queueStream([]).pprint(0)
    with Stepper(ssc, clock) as stepper:
        stepper.step()
        stepper.step()
    assert refused == ["Cannot stop StreamingContext within listener bus thread."] * 2


def test_a_listener_that_raises_harms_no_batch(
    ssc: StreamingContext, clock: ManualClock, events: Events, caplog: pytest.LogCaptureFixture
) -> None:
    class Raising(StreamingListener):
        def onBatchStarted(self, batchStarted: Any) -> None:
            raise ValueError("mine")

    ssc.addStreamingListener(Raising())
    ssc.queueStream([]).pprint(0)
    with Stepper(ssc, clock) as stepper:
        stepper.step()
    assert ssc.driver.failed_batches == 0
    assert "raised in onBatchStarted" in caplog.text


def test_listeners_may_come_and_go_while_it_runs(ssc: StreamingContext, clock: ManualClock) -> None:
    ssc.queueStream([]).pprint(0)
    late = Events()
    with Stepper(ssc, clock) as stepper:
        stepper.step()
        ssc.addStreamingListener(late)
        stepper.step()
        ssc.removeStreamingListener(late)
        stepper.step()
    assert [event.batchInfo.batchTime for event in late.of("BatchCompleted")] == [2000]
    with pytest.raises(TypeError, match="needs a StreamingListener, not object"):
        ssc.addStreamingListener(object())  # type: ignore[arg-type]


def test_what_operators_with_state_did(sc: Context, clock: ManualClock) -> None:
    sc.setCheckpointDir("memory://statistics")
    ssc = StreamingContext(sc, 1, clock=clock)
    events = Events()
    ssc.addStreamingListener(events)
    pairs = ssc.queueStream([[("a", 1), ("b", 2), ("c", 3), ("a", 4)], [("a", 1)], [("d", 1)]])
    spec = StateSpec.function(lambda key, value, state: None if state.isTimingOut() else state.update(value))
    pairs.mapWithState(spec.timeout(1)).foreachRDD(lambda rdd: rdd.count())
    pairs.updateStateByKey(lambda news, total: sum(news) + (total or 0)).foreachRDD(lambda rdd: rdd.count())
    pairs.foreachRDD(lambda rdd: None)
    with Stepper(ssc, clock) as stepper:
        for _ in range(3):
            stepper.step()
    ssc.stop(stopSparkContext=False)
    told = [
        [
            (each.operator.partition(" (")[0], each.numKeys, each.numTouched, each.numExpired)
            for each in event.batchInfo.stateOperatorInfos
        ]
        for event in events.of("BatchCompleted")
    ]
    assert told == [
        [("mapWithState", 3, 3, 0), ("updateStateByKey", 3, 3, 0)],
        [("mapWithState", 3, 1, 0), ("updateStateByKey", 3, 1, 0)],
        [("mapWithState", 2, 1, 2), ("updateStateByKey", 4, 1, 0)],
    ]
    assert all(event.batchInfo.stateOperatorInfos == () for event in events.of("BatchSubmitted"))
