"""What an RDD asks of the context that made it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from penstock.chunk import Chunk
from penstock.plan import Node, StorageLevel, Task

if TYPE_CHECKING:
    from penstock.conf import Conf

__all__ = ["Runner"]

T = TypeVar("T")


class Runner(Protocol):
    """Runs plans. ``Context`` is the one; an RDD knows no more of it than this."""

    @property
    def conf(self) -> Conf:
        """The settings."""

    @property
    def defaultParallelism(self) -> int:
        """Partitions where nothing says how many."""

    @property
    def elsewhere(self) -> str:
        """Where Python runs record by record, in words; empty: in this process."""

    def run(
        self,
        plan: Node,
        action: Callable[[Task, Iterator[Chunk]], T],
        partitions: Sequence[int] | None = None,
    ) -> list[T]:
        """``action`` over some partitions (default: all); the results in their order."""

    def iterate(
        self, plan: Node, partitions: Sequence[int] | None = None, *, most: int | None = None
    ) -> Iterator[Chunk]:
        """The chunks of some partitions one after the other, computed as they are pulled; who pulls stops
        behind ``most`` records."""

    def first_kept(self, plan: Node, most: int) -> list[Any] | None:
        """The first ``most`` records of a plan that is kept, as copies, if they lie at hand."""

    def keep(self, plan: Node, level: StorageLevel) -> None:
        """Keep what is computed of ``plan`` from now on."""

    def drop(self, plan: Node) -> None:
        """Forget what was kept."""

    def level_of(self, plan: Node) -> StorageLevel:
        """How ``plan`` is kept; ``StorageLevel.NONE`` if it is not."""

    def is_kept(self, plan: Node) -> bool:
        """Whether ``plan`` is persisted, or is or will be checkpointed: then it must not be left out of
        what is computed."""

    def request_checkpoint(self, plan: Node) -> None:
        """Write ``plan`` to the checkpoint directory with the next job that reads it."""

    def checkpoint_file(self, plan: Node) -> str | None:
        """The directory ``plan`` was written to, or ``None``."""

    def next_rdd_id(self) -> int:
        """A number no other RDD of this context has."""
