"""Any batches may fail, in any of the ways there are: what is left is as if they had never held anything."""

from __future__ import annotations

from operator import add, sub
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import RDD, StreamingContext
from penstock.clock import ManualClock
from penstock.context import Context
from penstock.testing import CollectingSink, Stepper

pytestmark = pytest.mark.usefixtures("sc")

WAYS = ["well", "well", "input", "transform", "output", "record"]

batches = st.lists(
    st.tuples(
        st.sampled_from(WAYS),
        st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 9)), max_size=4),
    ),
    max_size=12,
)


class Failure(Exception):
    """What the failing batches raise."""


class Script:
    """Fails the batches that are to fail, in their way."""

    def __init__(self, ways: list[str]) -> None:
        self.ways = ways

    def is_due(self, time_ms: float, way: str) -> bool:
        return self.ways[round(time_ms / 1000) - 1] == way

    def transform(self, time: Any, rdd: RDD) -> RDD:
        if self.is_due(time.timestamp() * 1000, "transform"):
            raise Failure
        return rdd

    def output(self, time: Any, rdd: RDD) -> None:
        if self.is_due(time.timestamp() * 1000, "output"):
            raise Failure

    def records(self, time: Any, rdd: RDD) -> None:
        if self.is_due(time.timestamp() * 1000, "record"):
            rdd.foreach(fail)
            raise Failure  # a batch without records, too


def fail(record: Any) -> None:
    raise Failure


def total(values: list[int], state: int | None) -> int:
    return sum(values) + (state or 0)


@given(batches)
def test_a_failed_batch_leaves_nothing_behind(script: list[tuple[str, list[tuple[str, int]]]]) -> None:
    ways, data = [way for way, _ in script], [records for _, records in script]
    told = Script(ways)
    clock = ManualClock()
    sc = Context._active
    assert sc is not None
    ssc = StreamingContext(sc, 1, clock=clock)
    pairs = ssc.queueStream(data)
    source = ssc.graph.inputs[0].source
    plan = source.plan

    def planned(time: Any) -> Any:
        intent = plan(time)
        if told.is_due(time, "input"):
            raise Failure
        return intent

    source.plan = planned  # type: ignore[method-assign]
    sinks = [CollectingSink() for _ in range(5)]
    states = pairs.updateStateByKey(total, 1)
    for stream, sink in zip(
        (
            states,
            pairs.reduceByKeyAndWindow(add, sub, 3, 1, 1),
            pairs.reduceByKeyAndWindow(add, None, 4, 2, 1),
            pairs.window(2),
            states.window(2),
        ),
        sinks,
        strict=True,
    ):
        stream.foreachRDD(sink)
    pairs.foreachRDD(told.output)
    pairs.foreachRDD(told.records)
    pairs.transform(told.transform).foreachRDD(lambda rdd: None)
    failures = 0
    with Stepper(ssc, clock) as stepper:
        for _ in script:
            try:
                stepper.step()
            except Failure:
                failures += 1
                ssc.driver.error = None
    assert failures == sum(way != "well" for way in ways)
    found = [
        {round(time.timestamp()): batch for time, batch in zip(sink.times, sink.batches, strict=True)}
        for sink in sinks
    ]

    def held(now: int, length: int) -> list[list[tuple[str, int]]]:
        """What windows see: nothing of the batches that failed before."""
        return [
            data[i - 1] for i in range(max(1, now - length + 1), now + 1) if i == now or ways[i - 1] == "well"
        ]

    def summed(slides: list[list[tuple[str, int]]]) -> list[tuple[str, int]]:
        sums: dict[str, int] = {}
        for key, value in (pair for slide in slides for pair in slide):
            sums[key] = sums.get(key, 0) + value
        return list(sums.items())

    for now, way in enumerate(ways, 1):
        if way in ("input", "transform"):
            assert all(now not in batches for batches in found)
            continue
        state = dict(summed(held(now, now)))
        assert dict(found[0][now]) == state
        assert found[1][now] == summed(held(now, 3))
        if now % 2 == 0:
            assert found[2][now] == summed(held(now, 4))
        assert found[3][now] == [pair for slide in held(now, 2) for pair in slide]
        before = [dict(summed(held(now - 1, now)))] if now > 1 and ways[now - 2] == "well" else []
        assert found[4][now] == [pair for one in (*before, state) for pair in one.items()]
