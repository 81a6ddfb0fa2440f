"""What a dashboard shows at the moment: filled by batches, read by pages and notebooks.

Three threads meet here, and none of them waits for another for longer than it takes to copy what is shown:
the batches' thread leaves what it has read in a bounded queue, the listeners' thread takes it from there
when the batch is over, and whoever shows it asks for a state, whole or what is new in it.
"""

from __future__ import annotations

import threading
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from penstock.clock import Clock
from penstock.monitor.panels import BatchesPanel, Json, Panel, TableReading
from penstock.scheduler import BatchInfo, StreamingListener
from penstock.values import dataclass

__all__ = ["Board", "Facts"]

_WAITING_MAX = 10_000  # readings of batches that are not over: older ones are dropped
_FRAME_NS = 500_000_000  # a figure is not read anew more often, where it is sure that it will be later
_FAILURE_MAX = 300  # characters of a failure that are shown


@dataclass(frozen=True)
class Facts:
    """What is known of a run at its start. ``clock`` is the stream's; ``is_followed`` says whether a further
    batch waits for the one that runs."""

    interval_ms: int
    clock: Clock
    app: str = ""
    sources: tuple[str, ...] = ()
    checkpoint: str | None = None
    available_now: bool = False
    is_followed: Callable[[], bool] = lambda: False


class Board(StreamingListener):
    """The panels' memories and the state of the run.

    Whoever shows it waits with :meth:`wait_for_news`, and may be one of many.
    """

    def __init__(self, panels: Sequence[Panel]) -> None:
        self.run = uuid.uuid4().hex  # so that a page sees that what it holds is of an earlier process
        self._news = threading.Condition()
        self._news_count = 0
        self.panels = panels
        self._memories = [panel.memory() for panel in panels]
        both = zip(panels, self._memories, strict=True)
        self._of_batches = [memory for panel, memory in both if isinstance(panel, BatchesPanel)]
        self._facts: Facts | None = None
        self._left: deque[tuple[int, Sequence[tuple[int, int, Any]]]] = deque(maxlen=_WAITING_MAX)
        self._all = frozenset(range(len(panels)))
        self._newest_only = [index for index, panel in enumerate(panels) if panel.newest_only]
        self._always = self._all.difference(self._newest_only)
        self._framed: dict[int, int] = {}  # when a panel was read last, on the steady clock
        self._due_of, self._due = -1, self._all  # what was answered last, of which batch
        self._frame_ns = 0  # and when that was
        self._pending: dict[int, dict[int, dict[int, Any]]] = {}
        self._lock = threading.Lock()  # memories and what stands below
        self._newest: BatchInfo | None = None
        self._running: BatchInfo | None = None
        self._waiting: set[int] = set()  # the batches that do
        self._batches = self._failed = self._records = 0
        self._last_ms: dict[str, int] = {}  # when a panel last got something
        self._last_records_ms: int | None = None
        self._last_good_ms: int | None = None
        self._over = False
        self._taken = 0

    # What batches bring

    def due(self, time_ms: int) -> frozenset[int]:
        """The panels that are to be read in a batch that is about to begin, the same whenever it is asked.
        One that shows only what the newest batch has is left out if it was read just now and a further batch
        waits: nobody would see it. On the batches' thread."""
        if time_ms != self._due_of:
            self._due_of, self._due = time_ms, self._found_due()
        return self._due

    def _found_due(self) -> frozenset[int]:
        facts = self._facts
        if facts is None:
            return self._all
        self._frame_ns = facts.clock.elapsed_ns()
        if not facts.is_followed():
            return self._all
        framed, limit = self._framed, self._frame_ns - _FRAME_NS
        late = [index for index in self._newest_only if framed.get(index, limit) <= limit]
        return self._always.union(late) if late else self._always

    def leave(self, time_ms: int, readings: Sequence[tuple[int, int, Any]]) -> None:
        """Streams of panels have been read in a batch that is not over: the number of the panel, that of the
        stream in it, and what was read. Never waits; again for the same batch: in place of the first."""
        self._left.append((time_ms, readings))
        for index, _, _ in readings:
            self._framed[index] = self._frame_ns

    def begin(self, facts: Facts) -> None:
        """The run begins."""
        self._due_of = -1
        with self._lock:
            self._facts = facts
            self._last_records_ms = facts.clock.now_ms()
        self.touch()

    def end(self) -> None:
        """No batch will follow."""
        with self._lock:
            self._over, self._running = True, None
        self.touch()

    def onBatchSubmitted(self, batchSubmitted: Any) -> None:
        with self._lock:
            self._waiting.add(batchSubmitted.batchInfo.batchTime)

    def onBatchStarted(self, batchStarted: Any) -> None:
        info: BatchInfo = batchStarted.batchInfo
        with self._lock:
            self._waiting.discard(info.batchTime)
            self._running = info
        self.touch()

    def onBatchCompleted(self, batchCompleted: Any) -> None:
        info: BatchInfo = batchCompleted.batchInfo
        time, took, ended = info.batchTime, info.processingDelay, info.processingEndTime
        failed, records = info.failureReason is not None, info.numRecords
        readings = self._readings_of(time)
        with self._lock:
            if took >= 0 and self._of_batches:
                reading = {0: {"processing": took, "waiting": max(0.0, info.schedulingDelay)}}
                for memory in self._of_batches:
                    memory.take(time, reading)
            for index, parts in () if failed else readings.items():  # what failed may run again
                self._memories[index].take(time, parts)
                for part in parts.values():
                    if _has_records(part):
                        self._last_ms[self.panels[index].id] = ended
                        break
            self._newest, self._running = info, None
            self._waiting.discard(time)
            self._batches += 1
            if failed:
                self._failed += 1
            else:
                self._last_good_ms = time
                self._records += records
            if records:
                self._last_records_ms = ended
        self.touch()

    def _readings_of(self, time_ms: int) -> dict[int, dict[int, Any]]:
        """By panel and stream, of a batch that is over."""
        left, pending = self._left, self._pending
        while left:
            time, readings = left.popleft()
            of_batch = pending.setdefault(time, {})
            for panel, part, reading in readings:
                of_batch.setdefault(panel, {})[part] = reading
        found = pending.pop(time_ms, {})
        if pending:  # batches end in their order
            for time in [time for time in pending if time < time_ms]:
                del pending[time]
        return found

    # What is shown

    def touch(self) -> None:
        """There is something new to show, or those who wait are to look up."""
        with self._news:
            self._news_count += 1
            self._news.notify_all()

    def wait_for_news(self, seen: int) -> int:
        """Wait until something is new since this returned ``seen``; before the first time, that is 0."""
        with self._news:
            self._news.wait_for(lambda: self._news_count != seen)
            return self._news_count

    @property
    def over(self) -> bool:
        """Whether no batch will follow."""
        return self._over

    def counts(self) -> list[int]:
        """How much each panel has shown so far: what a later :meth:`taken` leaves out."""
        with self._lock:
            return [memory.count for memory in self._memories]

    def state(self) -> Json:
        """All that is shown, as JSON."""
        return self.taken([-1] * len(self._memories))[0]

    def taken(self, since: Sequence[int]) -> tuple[Json, list[int]]:
        """What has come since :meth:`counts` were these, as JSON, without the points and lines that were
        there already and without panels in which nothing is new; and the counts now."""
        with self._lock:
            panels = {
                panel.id: memory.view(max(0, seen))
                for panel, memory, seen in zip(self.panels, self._memories, since, strict=True)
                if memory.count != seen
            }
            self._taken += 1  # a page tells by it what is older than what it has
            state = {"run": self.run, "number": self._taken, "status": self._status(), "panels": panels}
            return state, [memory.count for memory in self._memories]

    def view(self, index: int) -> Json:
        """What one panel shows."""
        with self._lock:
            return self._memories[index].view()

    def _status(self) -> Json:
        facts, newest, running = self._facts, self._newest, self._running
        if facts is None:
            return {"phase": "new", "now": None}
        phase = "over" if self._over else "running" if self._batches else "waiting"
        found: Json = {
            "phase": phase,
            "now": facts.clock.now_ms(),
            "interval": facts.interval_ms,
            "availableNow": facts.available_now,
            "app": facts.app,
            "batches": self._batches,
            "failed": self._failed,
            "records": self._records,
            "waiting": len(self._waiting),
            "lastRecords": self._last_records_ms,
            "last": dict(self._last_ms),
            "running": None if running is None else running.batchTime,
            "runningSince": None if running is None else running.processingStartTime,
            "sources": list(facts.sources),
            "checkpoint": facts.checkpoint,
            "recorded": self._last_good_ms if facts.checkpoint is not None else None,
        }
        if newest is not None:
            sources = newest.streamIdToInputInfo.values()
            found |= {
                "time": newest.batchTime,
                "processing": newest.processingDelay,
                "delay": newest.schedulingDelay,
                "ended": newest.processingEndTime,
                "newRecords": newest.numRecords,
                "failure": None if newest.failureReason is None else _cause_of(newest.failureReason),
                "files": sum(len(each.metadata.get("files", ())) for each in sources),
                "filesWaiting": sum(each.metadata.get("waiting", 0) for each in sources),
            }
        return found


def _has_records(reading: Any) -> bool:
    """Whether a reading says that something came."""
    match reading:
        case dict():
            return any(reading.values())
        case tuple():  # bars, and whether there are more
            return bool(reading[0])
        case TableReading():
            return bool(reading.rows)
        case _:
            return bool(reading)


def _cause_of(failure: str) -> str:
    """The exception of a failure with its traceback."""
    lines = [line for line in failure.strip().splitlines() if line.strip()]
    heads = [now for before, now in pairwise(lines) if before[:1] == " " and now[:1].strip()]
    cause = heads[-1] if heads else lines[0] if lines else ""
    return cause if len(cause) <= _FAILURE_MAX else cause[: _FAILURE_MAX - 1] + "…"
