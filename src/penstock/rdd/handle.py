"""The part of an RDD that all its operations share: a plan, and who runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self, TypeVar

from penstock.chunk import Chunk
from penstock.errors import CallSite, SignatureError, UnsupportedError
from penstock.plan import Narrow, Node, Step, Task, call_site
from penstock.rdd.partitioner import Partitioner, Partitioning, partitioner_of
from penstock.rdd.runner import Runner

__all__ = ["Handle"]

T = TypeVar("T")


class Handle:
    """A lazily computed dataset: ``plan`` says what it is, ``context`` runs it.

    ``partitioner`` is how its pairs lie, if that is known.
    """

    __slots__ = ("__weakref__", "_id", "_name", "context", "partitioner", "plan")

    def __init__(self, plan: Node, context: Runner, partitioner: Partitioner | None = None) -> None:
        self.plan = plan
        self.context = context
        self.partitioner = partitioner
        self._id = context.next_rdd_id()
        self._name: str | None = None

    def _must_not_travel(self) -> None:
        """See ``encoding``: jobs are the program's."""
        raise UnsupportedError(
            f"a function uses {self!r}, which is known to the program's own process alone, not where "
            f"functions on records run. Hint: join the two, or collect() the other one and broadcast it."
        )

    def _derive(self, plan: Node, partitioner: Partitioner | None = None) -> Self:
        return type(self)(plan, self.context, partitioner)

    def _narrow(self, step: Step, site: CallSite, *, placed: bool = False) -> Self:
        """Each partition through ``step``; ``placed`` if no key changes."""
        return self._derive(Narrow(site, self.plan, step), self.partitioner if placed else None)

    def _run(
        self, action: Callable[[Task, Iterator[Chunk]], T], partitions: Sequence[int] | None = None
    ) -> list[T]:
        return self.context.run(self.plan, action, partitions)

    def _partitioner(self, given: Partitioning, *, partitions: int | None = None) -> Partitioner:
        """The partitioner a user means; by default as many partitions as now, unless a setting says."""

        def default() -> int:
            if self.context.conf.contains("spark.default.parallelism"):
                return self.context.defaultParallelism
            return max(1, partitions if partitions is not None else self.plan.partitions)

        return partitioner_of(given, default)

    def _other(self, other: Any, operation: str) -> Self:
        """Another RDD that a user gave, checked."""
        if not isinstance(other, Handle):
            raise SignatureError(f"{operation} needs another RDD, not {type(other).__name__}")
        if other.context is not self.context:
            raise SignatureError(f"{operation} needs an RDD of the same Context")
        return other  # type: ignore[return-value]

    @staticmethod
    def _site(operation: str) -> CallSite:
        return call_site(operation)
