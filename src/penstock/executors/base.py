"""The contract of an executor: it runs plans of four node kinds, and knows nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from penstock.chunk import Chunk
from penstock.plan import Metrics, Node, StorageLevel, Task

__all__ = ["Executor", "Prefetch", "Together"]

T = TypeVar("T")


class Prefetch(ABC):
    """A plan that is computed before a job asks for it. Three threads may call, each its method.

    It shows in nothing but time: a job gets the same records, counts the same figures and fails as it
    would have, with the exception of its own attempt. Memory is bounded by the caller.
    """

    @abstractmethod
    def run(self) -> None:
        """Compute the partitions on the calling thread and no other, in order, and hold each of them for the
        jobs that read it. Returns early after :meth:`end` or :meth:`release`, and when a partition fails: of
        that one nothing is held, and what it raised is dropped."""

    @abstractmethod
    def end(self) -> None:
        """Begin no further partition: jobs that read the plan run now, and compute what is not there."""

    @abstractmethod
    def release(self) -> None:
        """Stop as soon as possible, without waiting for it, and hold nothing any more. Again: nothing
        happens."""


class Together:
    """What several jobs that are about to come share; nothing, where an executor has no use for knowing."""

    def release(self) -> None:
        """The jobs are over, or will not come. Again: nothing happens."""


class Executor(ABC):
    """Runs a plan's action over its partitions.

    One job at a time or several, from any thread. Of several failing partitions the first one's
    exception is raised. Side effects of steps happen once per record of a job, also where several
    nodes of the job read the same one.
    """

    @property
    @abstractmethod
    def parallelism(self) -> int:
        """How many partitions run at the same time."""

    @property
    def elsewhere(self) -> str:
        """Where Python runs record by record, in words; empty: in this process."""
        return ""

    @property
    def has_far_workers(self) -> bool:
        """Whether steps that say they belong elsewhere run in processes with memory of their own, maybe of
        other machines."""
        return False

    @abstractmethod
    def run(
        self,
        plan: Node,
        action: Callable[[Task, Iterator[Chunk]], T],
        partitions: Sequence[int] | None,
        metrics: Metrics,
    ) -> list[T]:
        """``action(task, chunks)`` over the partitions (``None``: all); the results in their order."""

    @abstractmethod
    def iterate(
        self, plan: Node, partitions: Sequence[int] | None, metrics: Metrics, most: int | None = None
    ) -> Iterator[Chunk]:
        """The chunks of the partitions one after the other, each computed as it is pulled. The caller stops
        pulling behind ``most`` records, if that is given."""

    def first_kept(self, plan: Node, most: int) -> list[Any] | None:
        """The first ``most`` records of a plan that is kept, as copies, if they lie in this process's memory;
        ``None``: ask for them with :meth:`iterate`."""
        return None

    @abstractmethod
    def keep(self, plan: Node, level: StorageLevel) -> None:
        """Keep each partition of ``plan`` from when it is first computed, as long as the node lives."""

    @abstractmethod
    def share(self, plans: Sequence[Node], roots: Sequence[Node]) -> None:
        """Each of ``plans`` is read by several nodes of what is computed for ``roots``: see to it that it is
        computed once for all of them, whichever job comes first. Given up by :meth:`drop`."""

    @abstractmethod
    def prefetch(self, plan: Node) -> Prefetch:
        """Make ready to compute ``plan``, which calls no function of the user's, ahead of the jobs that read
        it. Nothing is computed before :meth:`Prefetch.run`. A job that wants a partition which is being
        computed waits for it; one that is faster than the prefetch computes a partition by itself, and then
        the prefetch leaves that one out. An executor may choose to compute nothing ahead.

        It goes with what :meth:`keep` does: a plan that is kept as well takes over what is there. The
        caller releases it."""

    def together(self, plans: Sequence[Node]) -> Together:
        """Jobs on these plans, or on plans made of them, are about to come, of which each may or may not:
        what all of them need may be computed by the first."""
        return Together()

    def add_modules(self, path: str) -> None:
        """Have Python modules found wherever functions run: a ``.py`` file, or a zip, which this process
        finds already."""

    @abstractmethod
    def drop(self, plan: Node) -> None:
        """Forget what was kept of ``plan``; nothing happens if it was not kept."""

    @abstractmethod
    def level_of(self, plan: Node) -> StorageLevel:
        """How ``plan`` is kept."""

    @abstractmethod
    def replace(self, plan: Node, source: Node) -> None:
        """Read ``source``, which holds the same, wherever ``plan`` would be computed from now on."""

    @abstractmethod
    def unsupported(self, plan: Node) -> list[str]:
        """What of ``plan`` this executor cannot do, one sentence each; asked before running."""

    @abstractmethod
    def close(self) -> None:
        """Give all threads, processes and files back. Nothing may be called afterwards."""
