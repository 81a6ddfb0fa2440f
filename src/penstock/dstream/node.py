"""A node of the stream graph: the recipe of one RDD a batch.

A node is three things: how often it yields (``slide_duration``), what it reads (``dependencies``),
and what it makes of that (``compute``). It knows no context and keeps nothing between batches: what
has been computed is the :class:`~penstock.dstream.generation.Generation`'s business.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

from penstock.chunk import Chunk
from penstock.errors import CallSite
from penstock.plan import Node, SliceReader, Source, StorageLevel, Task
from penstock.rdd import RDD, Partitioner
from penstock.state import TableChange
from penstock.times import BatchTime

__all__ = ["Batch", "CommittedBatch", "StreamNode", "Table", "Transformed", "chunks_of"]

T = TypeVar("T")


class Batch(Protocol):
    """What ``compute`` may ask for."""

    def rdd(self, node: StreamNode, time: int) -> RDD | None:
        """The RDD of ``node`` at ``time``, computed if need be; ``None`` where it has none."""

    def rdds(self, node: StreamNode, after: int, last: int) -> dict[int, RDD]:
        """The RDDs of ``node`` with times in ``(after, last]``, the oldest first; from after the start."""

    def pieces(self, node: StreamNode) -> Mapping[Any, RDD]:
        """What ``node`` put by when the last batch was committed, see :meth:`StreamNode.pieces`. Anything may
        be missing, and has to be computed from what it was made of."""

    def committed(self, node: StreamNode, time: int) -> tuple[int, RDD] | None:
        """The newest committed version of a stateful node if it is of ``time`` or before, and of when it
        is; ``None`` if there is none yet."""

    def input(self, node: StreamNode, time: int) -> Node:
        """The plan that reads what belongs to an input node at ``time``."""

    def new_rdd(self, plan: Node, partitioner: Partitioner | None = None) -> RDD:
        """A handle on a plan."""

    @property
    def home(self) -> Any:
        """Where state may live outside of the driver, a :class:`~penstock.dstream.home.StateHome`; ``None``:
        nowhere."""


class CommittedBatch(Batch, Protocol):
    """What ``pieces`` may ask for, besides."""

    def next_time(self, node: StreamNode, after: int) -> int:
        """The first time after ``after`` at which ``node`` yields."""

    def run(self, plan: Node, action: Callable[[Task, Iterator[Chunk]], T]) -> list[T]:
        """``action`` over the partitions of a plan, now."""


class Table(Protocol):
    """What a partition remembers, for who looks at it from outside, on any thread. Objects are the table's
    own, not to be changed."""

    def __len__(self) -> int: ...

    def get(self, key: Any, absent: Any) -> Any:
        """The state of a key, or ``absent``. ``TypeError`` for what has no hash."""

    def first(self, count: int) -> Chunk:
        """The first so many keys with their states, or all."""


class StreamNode(ABC):
    """The base of all nodes: what they share is here, once."""

    stateful: bool = False
    """Whether the RDD of a batch is made of that of the batch before: if so it is materialised when
    the batch is committed, whether or not an output has read it, and the next one begins there."""

    keeps_table: bool = False
    """Whether the RDD of a batch is a table of keys, which goes on after a restart; see ``changes``."""

    user_sites: bool = False
    """Whether ``compute`` calls the user's own function, whose lines then are the call sites."""

    eager: bool = False
    """Whether the RDD of a batch may be made and computed ahead of its batch, on another thread, as soon as
    the input is planned, provided that all its dependencies are eager too. Neither ``compute`` nor any step
    of the RDD calls a function of the user's; ``compute`` asks for RDDs of its own time only; each partition
    can be computed by itself."""

    yields_records: bool = True
    """Whether the RDD of a batch holds the records of a stream; if not, it holds what others make them of."""

    length_ms: int | None = None
    """How far back a window looks, that at its own time included; ``None``: it is none."""

    def __init__(self, site: CallSite, dependencies: tuple[StreamNode, ...], slide_duration: int) -> None:
        self.site = site
        self.dependencies = dependencies
        self.slide_duration = slide_duration
        self.level: StorageLevel | None = None
        self.checkpoint_interval: int | None = None
        self.given_name: str | None = None

    @abstractmethod
    def compute(self, time: BatchTime, batch: Batch) -> RDD | None:
        """The RDD of the batch at ``time``, or ``None`` for none: what reads it then does nothing."""

    def remembers(self, dependency: StreamNode) -> int:
        """For how long (ms) before its own time this node reads ``dependency``; 0: only the same time."""
        return 0

    def keeps(self, dependency: StreamNode) -> bool:
        """Whether ``dependency`` should be persisted, since several batches read the same RDD."""
        return self.remembers(dependency) > 0

    def shows(self, dependency: StreamNode) -> int:
        """For how long (ms) what ``dependency`` held may still show in what this node yields."""
        return self.remembers(dependency)

    def changes(self, before: list[list[Chunk]] | None, after: list[list[Chunk]]) -> list[TableChange]:
        """What the batch has changed in the table of each partition, if the node ``keeps_table``."""
        raise AssertionError(f"{self} keeps no table")

    def restored(self, tables: list[TableChange]) -> list[list[Chunk]]:
        """The chunks of each partition, from the whole tables."""
        raise AssertionError(f"{self} keeps no table")

    def table_in(self, chunks: list[Chunk]) -> Table:
        """What a partition remembers, if the node ``keeps_table``; for who looks at it from outside."""
        raise AssertionError(f"{self} keeps no table")

    @property
    def named(self) -> StreamNode:
        """The node that gets the name which a stream of this one is given."""
        return self

    @property
    def placing(self) -> Partitioner | None:
        """Which keys are in which partition of what later batches read, if that must be as it was."""
        return None

    def due_after(self, chunks: list[list[Chunk]], time: int) -> int | None:
        """The next moment (ms) after ``time`` at which the table yields something without new records."""
        return None

    def pieces(self, time: BatchTime, batch: CommittedBatch) -> Mapping[Any, RDD]:
        """What is to be at hand in later batches now that the batch at ``time`` is committed: intermediate
        results that are pure functions of committed RDDs, all in memory. What is not among them is dropped.
        They are never saved; a batch that fails neither adds to them nor takes away from them.

        What a user's function raises here is no failure of this batch, and must not come out.
        """
        return {}

    def problems(self, has_checkpoint_directory: bool) -> list[str]:
        """What is wrong with this node, found at the start; one sentence each."""
        return []

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.site})"


class Transformed(StreamNode):
    """A function of the RDDs of the same time: every stateless operator is one of these.

    ``function(time, rdds)`` returns an RDD or ``None``. Where no dependency has an RDD, neither has this;
    where some have, the others count as empty (so a union never loses what is there).
    """

    def __init__(
        self,
        site: CallSite,
        dependencies: tuple[StreamNode, ...],
        function: Callable[[BatchTime, list[RDD]], RDD | None],
        *,
        user_sites: bool = False,
        eager: bool = False,
    ) -> None:
        super().__init__(site, dependencies, dependencies[0].slide_duration)
        self.function = function
        self.user_sites = user_sites
        self.eager = eager

    def compute(self, time: BatchTime, batch: Batch) -> RDD | None:
        if len(self.dependencies) == 1:
            rdd = batch.rdd(self.dependencies[0], time)
            return None if rdd is None else self.function(time, [rdd])
        rdds = [batch.rdd(node, time) for node in self.dependencies]
        if all(rdd is None for rdd in rdds):
            return None
        return self.function(
            time, [batch.new_rdd(Source(self.site, ())) if rdd is None else rdd for rdd in rdds]
        )


def chunks_of(rdd: RDD) -> list[list[Chunk]]:
    """The chunks of each partition of an RDD that lies in memory."""
    assert isinstance(rdd.plan, Source)
    return [list(reader.chunks) for reader in rdd.plan.readers if isinstance(reader, SliceReader)]
