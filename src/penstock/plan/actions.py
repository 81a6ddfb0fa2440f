"""What executors that use other processes must know of an action: where it may run, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from penstock.chunk import Chunk
from penstock.plan.nodes import Task

__all__ = ["Calling", "Deciding", "OnDriver", "Undone"]

T = TypeVar("T")


class _Marked(Generic[T]):
    __slots__ = ("action",)

    def __init__(self, action: Callable[[Task, Iterator[Chunk]], T]) -> None:
        self.action = action

    def __call__(self, task: Task, chunks: Iterator[Chunk]) -> T:
        return self.action(task, chunks)


class Undone:
    """What an action gives that cannot do its work where it is; another does it, on these chunks."""

    __slots__ = ("chunks",)

    def __init__(self, chunks: list[Chunk]) -> None:
        self.chunks = chunks


class OnDriver(_Marked[T]):
    """An action that uses what is only in the program's own process, such as an open file or a connection.

    ``elsewhere``, if it is given, makes an action that does as much in other processes; it is called in this
    one, if the partitions are computed there. It may be tried several times for a partition, even at once,
    and what one of them gives counts. If that is :class:`Undone`, the partition is brought here after all.
    """

    __slots__ = ("elsewhere",)

    def __init__(
        self,
        action: Callable[[Task, Iterator[Chunk]], T],
        elsewhere: Callable[[], Callable[[Task, Iterator[Chunk]], T | Undone]] | None = None,
    ) -> None:
        super().__init__(action)
        self.elsewhere = elsewhere


class Calling(_Marked[T]):
    """An action that calls a function of the user's on the records."""

    __slots__ = ()


class Deciding(_Marked[T]):
    """An action whose task knows a decision of this job's, which is no part of the action: that is the same
    in every batch."""

    __slots__ = ("decision",)

    def __init__(self, action: Callable[[Task, Iterator[Chunk]], T], decision: Any) -> None:
        super().__init__(action)
        self.decision = decision

    def __call__(self, task: Task, chunks: Iterator[Chunk]) -> T:
        return self.action(Task(task.partition, task.partitions, task.metrics, self.decision), chunks)
