"""How much state may be, and how long it lasts: what happens, and what is said of it."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from penstock import Conf, Context, DStream, StateSpec, StreamingContext
from penstock.clock import ManualClock
from penstock.errors import StateError, failure_of
from penstock.testing import Stepper
from tests.scheduler.doubles import Events

Batches = list[list[tuple[Any, Any]]]


def run(
    settings: dict[str, Any], batches: Batches, count: int, state_of: Any
) -> tuple[list[Any], list[Any], list[BaseException]]:
    """What is remembered, batch by batch; what the listener is told; and what has failed."""
    conf = Conf().setMaster("local[1]").setAll(settings.items())
    clock, seen, events, failures = ManualClock(), [], Events(), []
    with Context(conf=conf) as sc:
        sc.setCheckpointDir("memory://limits")
        ssc = StreamingContext(sc, 1, clock=clock)
        ssc.addStreamingListener(events)
        state_of(ssc.queueStream(batches)).foreachRDD(lambda rdd: seen.append(rdd.collect()))
        with Stepper(ssc, clock) as stepper:
            for _ in range(count):
                try:
                    stepper.step()
                except Exception as error:
                    failures.append(error)
                    ssc.driver.error = None
        ssc.stop(stopSparkContext=False)
    told = [event.batchInfo.stateOperatorInfos for event in events.of("BatchCompleted")]
    return seen, told, failures


def mapped(pairs: DStream) -> DStream:
    spec = StateSpec.function(lambda key, value, state: state.update((state.getOption() or 0) + value))
    return pairs.mapWithState(spec.numPartitions(2)).stateSnapshots()


def updated(pairs: DStream) -> DStream:
    return pairs.updateStateByKey(lambda values, state: sum(values) + (state or 0), 2)


@pytest.mark.parametrize("state_of", [mapped, updated])
def test_a_batch_of_too_many_keys_fails_and_changes_nothing(state_of: Any) -> None:
    batches = [[(1, 1), (2, 1)], [(1, 1), (3, 1), (4, 1)], [(1, 5), (3, 1)]]
    seen, _, failures = run({"penstock.state.maxKeys": 3}, batches, 3, state_of)
    assert [sorted(each) for each in seen] == [[(1, 1), (2, 1)], [(1, 6), (2, 1), (3, 1)]]
    [failure] = failures
    assert isinstance(failure, StateError)
    assert failure_of(failure) is not None
    name = "mapWithState" if state_of is mapped else "updateStateByKey"
    text = str(failure)
    assert f"the state of {name} (" in text
    assert "has at least 4 keys, and penstock.state.maxKeys allows 3: the batch fails" in text
    assert "Hint: let keys go" in text


@pytest.mark.parametrize("state_of", [mapped, updated])
def test_a_batch_of_too_much_memory_fails(state_of: Any) -> None:
    batches = [[(1, 1)], [(key, 1) for key in range(20_000)], [(1, 1)]]
    seen, told, failures = run({"penstock.state.maxBytes": "400k"}, batches, 3, state_of)
    assert [len(each) for each in seen] == [1, 1]
    assert "penstock.state.maxBytes allows 409,600" in str(failures[0])
    assert 0 < told[0][0].memoryUsedBytes < 400_000


def test_keys_without_news_are_forgotten_after_the_ttl(caplog: pytest.LogCaptureFixture) -> None:
    batches = [[("a", 1), ("b", 1)], [("a", 1)], [("c", 1)], [("c", 1)]]
    with caplog.at_level(logging.WARNING, "penstock"):
        seen, told, failures = run({"penstock.state.ttl": "2s"}, batches, 7, mapped)
    assert not failures, "the function is not called for them"
    assert [sorted(key for key, _ in each) for each in seen] == [
        ["a", "b"], ["a", "b"], ["a", "b", "c"], ["a", "c"], ["c"], ["c"], [],
    ]  # fmt: skip
    assert [infos[0].numExpired for infos in told] == [0, 0, 0, 1, 1, 0, 1]
    [record] = caplog.records
    assert (
        "forgotten keys that had no news for longer than penstock.state.ttl = 2 s, 1 of them"
        in record.message
    )
    assert "mapWithState (" in record.message


def test_a_timeout_of_its_own_counts_for_more_than_the_ttl() -> None:
    def tell(key: Any, value: Any, state: Any) -> Any:
        return ("over", key) if state.isTimingOut() else state.update(value)

    def state_of(pairs: DStream) -> DStream:
        return pairs.mapWithState(StateSpec.function(tell).timeout(3))

    seen, _, _ = run({"penstock.state.ttl": "1s"}, [[("a", 1)]], 6, state_of)
    assert seen == [[], [], [], [], [("over", "a")], []]


def test_update_state_by_key_lets_go_itself(caplog: pytest.LogCaptureFixture) -> None:
    seen, _, _ = run({"penstock.state.ttl": "1s"}, [[("a", 1)]], 4, updated)
    assert seen == [[("a", 1)]] * 4
    assert not caplog.records


def test_the_ttl_holds_for_many_keys_in_columns() -> None:
    batches = [[(key, 1) for key in range(5000)], [], [(7, 1)]]
    seen, told, _ = run({"penstock.state.ttl": "1s"}, batches, 4, mapped)
    assert [len(each) for each in seen] == [5000, 5000, 1, 1]
    assert [infos[0].numExpired for infos in told] == [0, 0, 4999, 0]


@pytest.mark.parametrize(
    ("key", "value"),
    [("penstock.state.maxKeys", 0), ("penstock.state.maxBytes", "many"), ("penstock.state.ttl", "-1s")],
)
def test_limits_that_are_none(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=key):
        Conf().set(key, value)
