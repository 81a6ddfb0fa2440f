"""Runs of small programs, one after the other, on one checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from operator import add
from pathlib import Path
from typing import Any

from penstock import RDD, Context, StateSpec, StreamingContext
from penstock.clock import ManualClock
from penstock.dstream import DStream
from penstock.testing import Stepper

__all__ = ["BATCHES", "Life", "Pairs", "follow", "last", "latest", "totals", "window"]

Pairs = list[tuple[str, int]]


class Life:
    """One run of a program on the manual clock: ``build(stream, seen)`` registers its outputs."""

    def __init__(
        self,
        path: str,
        build: Callable[[DStream, Callable[..., Any]], Any],
        batches: list[Pairs],
        *,
        now: float = 0.5,
        upgrade: bool = True,
    ) -> None:
        self.seen: dict[float, list[Any]] = {}
        self.clock = ManualClock()
        self.clock.set(int(now * 1000))

        def setup() -> StreamingContext:
            context = Context._active
            assert context is not None
            ssc = StreamingContext(context, 1, clock=self.clock)
            build(ssc.queueStream(batches), self._see)
            return ssc

        self.ssc = StreamingContext.getOrCreate(path, setup, upgrade=upgrade, clock=self.clock)

    def _see(self, time: Any, rdd: RDD) -> None:
        self.seen[time.timestamp()] = rdd.collect()

    def run(self, count: int) -> dict[float, list[Any]]:
        with Stepper(self.ssc, self.clock) as stepper:
            for _ in range(count):
                stepper.step()
        return self.seen


def follow(
    path: str, inbox: Path, now: float, steps: list[Callable[[], object]], see: Callable[[RDD], object]
) -> None:
    """One run of a program that follows a folder: a batch after each step."""
    clock = ManualClock()
    clock.set(int(now * 1000))

    def setup() -> StreamingContext:
        context = Context._active
        assert context is not None
        ssc = StreamingContext(context, 1, clock=clock)
        ssc.textFileStream(str(inbox)).foreachRDD(see)
        return ssc

    with Stepper(StreamingContext.getOrCreate(path, setup, upgrade=True), clock) as stepper:
        for step in steps:
            step()
            stepper.step()


def totals(stream: DStream, see: Callable[..., Any]) -> None:
    stream.updateStateByKey(lambda values, state: sum(values) + (state or 0), 2).foreachRDD(see)


def window(stream: DStream, see: Callable[..., Any]) -> None:
    stream.reduceByKeyAndWindow(add, 3, 1, 2).foreachRDD(see)


def last(key: str, value: int | None, state: Any) -> Any:
    if state.isTimingOut():
        return ("gone", key, state.get())
    state.update(value)
    return None


def latest(stream: DStream, see: Callable[..., Any]) -> None:
    stream.mapWithState(StateSpec.function(last).timeout(2)).foreachRDD(see)


BATCHES = [[("a", 1)], [("b", 2), ("a", 3)], [("a", 4)], [("c", 1)], [("a", 9)]]
