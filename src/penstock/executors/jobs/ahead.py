"""Partitions that are computed before a job asks for them, on one thread, beside the jobs that run."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

from penstock.chunk import Chunk
from penstock.executors.base import Prefetch
from penstock.plan import Gather, Metrics, Narrow, Node, Source

__all__ = ["ReadAhead", "partitions_stand_alone"]

_log = logging.getLogger(__name__)

Compute = Callable[[int, Metrics], Iterator[Chunk]]
"""The chunks of a partition, counted in metrics, without a thread of the pool."""


def _nothing() -> None:
    """Nothing is left to forget."""


def _no_chunks(partition: int, metrics: Metrics) -> Iterator[Chunk]:
    """Nobody computes what was released."""
    return iter(())


class _Part:
    """One partition::

    untouched --run----> being computed (locked) --well--> there
        |                       \\--------------- failed --> left to the jobs
        '--a job is faster---------------------------------> left to the jobs
    """

    __slots__ = ("chunks", "left", "lock", "metrics")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.chunks: list[Chunk] | None = None
        self.metrics = Metrics()
        self.left = False


class ReadAhead(Prefetch):
    """The partitions of one node that are there already. ``forget`` is called at the release."""

    def __init__(self, partitions: int, compute: Compute, forget: Callable[[], None]) -> None:
        self._parts = [_Part() for _ in range(partitions)]
        self._compute = compute
        self._forget = forget
        self._ended = False
        self._released = False

    # Whoever computes ahead

    def run(self) -> None:
        for index, part in enumerate(self._parts):
            if self._ended:
                return
            with part.lock:
                if part.left or part.chunks is not None:
                    continue
                try:
                    part.chunks = self._computed(index, part.metrics)
                except Exception as error:  # the job that reads it meets it again, and says so
                    _log.debug("partition %d could not be computed ahead: %r", index, error)
                    self._ended = True
                part.left = part.chunks is None

    def _computed(self, index: int, metrics: Metrics) -> list[Chunk] | None:
        """The partition, or ``None`` if nobody wants it any more."""
        chunks: list[Chunk] = []
        for chunk in self._compute(index, metrics):
            if self._released:
                return None
            chunks.append(chunk)
        return chunks

    def end(self) -> None:
        self._ended = True

    def release(self) -> None:
        self._ended = self._released = True
        self._forget()  # jobs that read it still hold it, to their end
        # Both know this object: kept, they would keep its chunks until the garbage collector runs, and that
        # seldom does where records are columns.
        self._forget, self._compute = _nothing, _no_chunks

    # Jobs

    def has(self, partition: int) -> bool:
        """Whether the partition is there; once it is, it stays."""
        return self._parts[partition].chunks is not None

    def claim(self, partition: int) -> bool:
        """Whether the partition is there, once nobody computes it; if not, it is the caller's to compute."""
        part = self._parts[partition]
        if part.chunks is None:
            with part.lock:
                part.left = part.chunks is None
        return part.chunks is not None

    def chunks(self, partition: int, metrics: Metrics, *, lend: bool) -> Iterator[Chunk]:
        """Chunks for a reader that may change them, or one to which they may be lent. Whoever reads to the
        end counts what reading it counted, as if it had been read now."""
        for chunk in self._held(partition):
            yield chunk.lent() if lend else chunk.isolated()
        metrics.note_all(self._parts[partition].metrics)

    def shared(self, partition: int, metrics: Metrics) -> list[Chunk]:
        """The chunks themselves, for another who keeps them and hands out copies too."""
        metrics.note_all(self._parts[partition].metrics)
        return list(self._held(partition))

    def rows_hint(self, partition: int) -> int:
        """How many records."""
        return sum(map(len, self._held(partition)))

    def _held(self, partition: int) -> list[Chunk]:
        chunks = self._parts[partition].chunks
        assert chunks is not None, "asked for a partition that is not there"
        return chunks


def partitions_stand_alone(plan: Node) -> bool:
    """Whether each partition can be computed without the others, and without the driver's decision."""
    pending, seen = [plan], {plan}
    while pending:
        node = pending.pop()
        if not isinstance(node, (Source, Narrow, Gather)):
            return False
        if isinstance(node, Narrow) and node.step.needs_summary(node.partitions):
            return False
        news = [parent for parent in node.parents if parent not in seen]
        seen.update(news)
        pending.extend(news)
    return True
