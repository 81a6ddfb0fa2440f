"""What is known of the batches that are not over, in the words of the listener."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from penstock.clock import Clock
from penstock.plan import Metrics
from penstock.scheduler.backpressure import RateInfo
from penstock.scheduler.listener import (
    BatchEvent,
    BatchInfo,
    OperatorInfo,
    OutputOperationInfo,
    StateOperatorInfo,
    StreamInputInfo,
)
from penstock.sources import Intent
from penstock.times import BatchTime
from penstock.values import dataclass

__all__ = ["BatchRecord"]

_OF_STATE = ("state_keys", "state_touched", "state_expired", "state_bytes")
_OF_INPUTS = ("bad_utf8", "lost", "partial_records", "partial_bytes")

_Told = tuple[int, int, Mapping[str, Any], str]
"""Of an input: its number, how many records it gave, what else, and that in words."""


@dataclass
class BatchRecord:
    """The facts of one batch as they come in. Times in ms, ``..._ns`` on the steady clock."""

    time: BatchTime
    intents: Mapping[int, Intent]
    submitted_ms: int
    submitted_ns: int
    metrics: Metrics = field(default_factory=Metrics)
    started_ms: int = -1
    started_ns: int = -1
    ended_ms: int = -1
    ended_ns: int = -1
    outputs: dict[int, OutputOperationInfo] = field(default_factory=dict)
    failure: str | None = None
    rates: dict[int, RateInfo] = field(default_factory=dict)
    operators: tuple[OperatorInfo, ...] = ()
    _counts: dict[int, int] | None = None
    _settled: list[_Told] | None = None

    def start(self, clock: Clock) -> None:
        """Processing begins."""
        self.started_ms, self.started_ns = clock.now_ms(), clock.elapsed_ns()

    def begin_again(self) -> None:
        """What the attempt that has failed did is not counted."""
        self._counts = None
        self.outputs.clear()
        self.metrics = Metrics()

    def end(self, clock: Clock) -> None:
        """Processing is over; also for a batch that never began."""
        self.ended_ms, self.ended_ns = clock.now_ms(), clock.elapsed_ns()

    def has_started(self) -> bool:
        """Whether it runs, or is over."""
        return self.started_ns >= 0 or self.is_over()

    def is_over(self) -> bool:
        """Whether it runs no more, or never will."""
        return self.ended_ns >= 0

    def settle(self) -> None:
        """The batch is over: hold nothing of what was read and computed any longer, since an event that
        nobody has heard yet may hold this. What operators with state did is not known from now on."""
        if self._settled is not None:
            return
        self._settled = self._told()
        self.intents, self.metrics = {}, Metrics()

    def event(self) -> BatchEvent:
        """The facts so far, as the batch events carry them."""
        return BatchEvent(self.info())

    def info(self) -> BatchInfo:
        """The facts so far."""
        started, ended = self.started_ns >= 0, self.ended_ns >= 0 and self.started_ns >= 0
        return BatchInfo(
            batchTime=self.time,
            submissionTime=self.submitted_ms,
            streamIdToInputInfo={
                id: StreamInputInfo(id, records, dict(metadata), description)
                for id, records, metadata, description in self._told()
            },
            processingStartTime=self.started_ms,
            processingEndTime=self.ended_ms if ended else -1,
            schedulingDelay=(self.started_ns - self.submitted_ns) / 1e6 if started else -1.0,
            processingDelay=(self.ended_ns - self.started_ns) / 1e6 if ended else -1.0,
            totalDelay=(self.ended_ns - self.submitted_ns) / 1e6 if ended else -1.0,
            outputOperationInfos=dict(self.outputs),
            failureReason=self.failure,
            stateOperatorInfos=self._state_operators(),
            streamIdToRateInfo=dict(self.rates),
            operatorInfos=self.operators,
        )

    def _state_operators(self) -> tuple[StateOperatorInfo, ...]:
        """Each node with state, over its partitions, in the order in which they ran."""
        found: dict[tuple[object, str], list[int]] = {}
        for figure in self.metrics.noted(_OF_STATE):
            at = _OF_STATE.index(figure)
            for place, count in self.metrics.places(figure).items():
                assert isinstance(place, tuple)
                operator = place[:2]  # its node and its name; the partition comes last
                if operator not in found:
                    found[operator] = [0, 0, 0, 0]
                found[operator][at] += count
        return tuple([StateOperatorInfo(name, *counts) for (_, name), counts in found.items()])

    def counted(self) -> dict[int, int]:
        """How many records each input gave: as planned, or as counted while they were read. Once the batch is
        over that is the end of it."""
        if self._counts is not None:
            return self._counts
        counts = self._counted()
        if self.is_over():
            self._counts = counts
        return counts

    def _counted(self) -> dict[int, int]:
        read: dict[object, int] = {}
        for place, count in self.metrics.places("records").items():
            origin = place[0] if isinstance(place, tuple) else None
            read[origin] = read.get(origin, 0) + count
        return {
            id: intent.records if intent.records is not None else read.get(id, 0)
            for id, intent in self.intents.items()
        }

    def _told(self) -> list[_Told]:
        """What is told of each input."""
        if self._settled is not None:
            return self._settled
        counted, intents = self.counted(), self.intents
        noted = self.metrics.noted(_OF_INPUTS)
        if not noted:
            return [(id, counted[id], intent.metadata, intent.description) for id, intent in intents.items()]
        more: dict[object, dict[str, int]] = {id: {} for id in intents}
        for figure in noted:
            for place, count in self.metrics.places(figure).items():
                origin = place[0] if isinstance(place, tuple) else None
                found = more.setdefault(origin, {})
                found[figure] = found.get(figure, 0) + count
        for id, intent in intents.items():
            if "lost" in more[id]:  # some when it was planned, some when it was read
                more[id]["lost"] += intent.metadata.get("lost", 0)
        return [
            (id, counted[id], {**intent.metadata, **more[id]}, intent.description)
            for id, intent in intents.items()
        ]
