"""What a dataset is: a graph of four kinds of immutable nodes.

::

    Source    partitions that read themselves              (files, lists, blocks)
    Narrow    chunks in, chunks out, partition by partition (map, filter, sort within, ...)
    Shuffle   each chunk is split by target partition       (by key, by range, round robin)
    Gather    a partition reads listed parent partitions    (union, zip, coalesce, cogroup)

Every RDD method is built on these four and every executor runs these four, so neither knows of the
other. ``Narrow`` and ``Shuffle`` may look at all partitions first: each one is *summarised* where it
lies, the driver *decides* once, and the decision is there when the partitions run (offsets of
``zipWithIndex``, bounds of a range). What lies upstream is computed once for both.

Nodes are compared by identity: the same node twice in a job is the same data, computed once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field
from typing import Any

from penstock.chunk import Chunk, Rows, RowType
from penstock.errors import CallSite
from penstock.plan.fusing import Fused, through
from penstock.plan.metrics import Metrics
from penstock.values import dataclass
from penstock.vectorize import Chain, Untraced

__all__ = [
    "ChunkStep",
    "Combine",
    "Fold",
    "FoldStep",
    "Gather",
    "Narrow",
    "Node",
    "PartitionReader",
    "Router",
    "Shuffle",
    "Source",
    "Step",
    "Task",
    "concatenated",
]


@dataclass
class Task:
    """What a step may know of the partition it works on.

    ``decision`` is what the driver decided for this node, ``None`` if there was nothing to decide.
    """

    partition: int
    partitions: int
    metrics: Metrics
    decision: Any = None


class PartitionReader(ABC):
    """One partition of a source. It reads itself, from the start, as often as it is asked.

    Called by the executor, on any thread, once per job that needs it. An exception fails the job.
    """

    @abstractmethod
    def read(self, task: Task) -> Iterator[Chunk]:
        """The chunks, in order. The caller owns them."""

    @property
    def rows_hint(self) -> int | None:
        """How many records there are if that is known without reading, or ``None``."""
        return None

    @property
    def row_type(self) -> RowType | None:
        """That of the records, if they are read as columns (``Columns``, or ``Lines`` of text), or
        ``None``."""
        return None

    @property
    def bytes_hint(self) -> int | None:
        """About how many bytes the records come from if that is known without reading, or ``None``."""
        return None

    @property
    def travels(self) -> bool:
        """Whether it reads the same in another process, maybe on another machine: it can be pickled, and what
        it reads can be reached from there. If not, this process reads it."""
        return True


class Step(ABC):
    """What a ``Narrow`` node does to a partition."""

    name: str

    one_to_one: bool = False
    """Whether it makes exactly one record of each."""

    def on_lent(self) -> Step | None:
        """A step that does the same to records that others keep (see ``Chunk.lent``); ``None``: none."""
        return None

    @abstractmethod
    def run(self, task: Task, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """The partition's output, lazily: whoever stops pulling stops the work.

        What was made before a failing record is yielded before the exception is raised, so that a
        consumer that needs no more never meets it.
        """

    def needs_summary(self, partitions: int) -> bool:
        """Whether :meth:`summarise` and :meth:`decide` come first."""
        return False

    def summarise(self, task: Task, chunks: Iterator[Chunk]) -> Any:
        """What the driver must know of this partition. Must be small."""
        raise AssertionError(f"{self.name} has nothing to summarise")

    def decide(self, summaries: list[Any]) -> Any:
        """The decision, from the summaries in the order of the partitions."""
        raise AssertionError(f"{self.name} has nothing to decide")


class ChunkStep(Step):
    """A step on records one by one, without memory. Chains of them run as one loop over chunks."""

    @abstractmethod
    def apply(self, rows: list[Any], out: list[Any]) -> None:
        """Append to ``out`` what becomes of ``rows``; on an exception, what came before it is there."""

    def fields_read(self) -> frozenset[str] | None:
        """The only fields of a record that the step reads, if it does nothing else with it."""
        return None

    def in_columns(self, chain: Chain) -> Chain | Untraced:
        """The chain with this step behind it, or why it has no column form."""
        return Untraced(f"{self.name} works on Python objects")

    def form(self, form: Any) -> Any:
        """What becomes of records of this form; see :mod:`penstock.plan.forms`."""
        if not isinstance(form, RowType):
            return Untraced("the lists of values are made here")
        found = self.in_columns(Chain.of(form))
        return found if isinstance(found, Untraced) else found.row_type

    def run(self, task: Task, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        return run_fused((self,), chunks)


class Fold(ABC):
    """A partition on its way to a small result: chunks are pushed in, the result comes out."""

    @abstractmethod
    def push(self, chunk: Chunk) -> None:
        """Take a chunk in; it belongs to the fold."""

    @abstractmethod
    def finish(self) -> Iterator[Chunk]:
        """The result, once all chunks are in."""


class FoldStep(Step):
    """A step that needs the whole partition and keeps little of it, such as a sum by key."""

    @abstractmethod
    def begin(self, task: Task) -> Fold:
        """A fold of nothing yet."""

    def run(self, task: Task, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        fold = self.begin(task)
        for chunk in chunks:
            fold.push(chunk)
        yield from fold.finish()


class Router(ABC):
    """Which target partition each record of a ``Shuffle`` goes to."""

    name: str

    @abstractmethod
    def split(self, task: Task, chunks: Iterator[Chunk], targets: int) -> list[list[Chunk]]:
        """The chunks for each of the ``targets`` partitions, each in arrival order."""

    def needs_summary(self, targets: int) -> bool:
        """Whether :meth:`summarise` and :meth:`decide` come first."""
        return False

    def is_clear_of(self, rows: int) -> bool:
        """Whether of so few records, in all partitions together, no summary is needed after all: the
        decision is ``None`` then."""
        return False

    def summarise(self, task: Task, chunks: Iterator[Chunk]) -> Any:
        """As in :meth:`Step.summarise`."""
        raise AssertionError(f"{self.name} has nothing to summarise")

    def decide(self, summaries: list[Any], targets: int) -> Any:
        """As in :meth:`Step.decide`."""
        raise AssertionError(f"{self.name} has nothing to decide")


@dataclass(frozen=True, eq=False)
class Node:
    """A dataset that may be computed. Never changed after it is made. There are four kinds, all below.

    No abstract class by its metaclass: a job asks thousands of times of which kind a node is, and that
    would make each answer several times as slow.
    """

    site: CallSite

    def _must_not_travel(self) -> None:
        """See ``encoding``: it would take along all that it reads."""
        raise AssertionError(f"a function that travels has caught {self.site} of a plan")

    @property
    def partitions(self) -> int:
        """How many partitions."""
        raise AssertionError(f"{type(self).__name__} is no kind of node")

    @property
    def parents(self) -> tuple[Node, ...]:
        """The nodes it reads, none twice."""
        raise AssertionError(f"{type(self).__name__} is no kind of node")

    @property
    def stays_here(self) -> bool:
        """Whether it reads what never leaves this process, such as versions of state."""
        what = self.step if isinstance(self, Narrow) else self.combine if isinstance(self, Gather) else None
        return bool(getattr(what, "stays_here", False))


@dataclass(frozen=True, eq=False)
class Source(Node):
    """Data that comes from outside the plan."""

    readers: Sequence[PartitionReader]
    row_type: RowType | None = None  # where there may be no reader to tell

    @property
    def partitions(self) -> int:
        return len(self.readers)

    @property
    def parents(self) -> tuple[Node, ...]:
        return ()


@dataclass(frozen=True, eq=False)
class Narrow(Node):
    """Each partition of ``parent`` through ``step``."""

    parent: Node
    step: Step
    _partitions: int = field(init=False, repr=False)

    def __post_init__(self) -> None:  # noted down, since thousands of these may stand in a row
        object.__setattr__(self, "_partitions", self.parent.partitions)

    @property
    def partitions(self) -> int:
        return self._partitions

    @property
    def parents(self) -> tuple[Node, ...]:
        return (self.parent,)


@dataclass(frozen=True, eq=False)
class Shuffle(Node):
    """The records of ``parent``, moved to ``targets`` partitions by ``router``.

    A target holds its records in the order of the parent's partitions, and within each of those in
    arrival order.
    """

    parent: Node
    router: Router
    targets: int

    @property
    def partitions(self) -> int:
        return self.targets

    @property
    def parents(self) -> tuple[Node, ...]:
        return (self.parent,)


Combine = Callable[[Task, list[Iterator[Chunk]]], Iterator[Chunk]]
"""How a partition of a ``Gather`` comes from the parent partitions it reads."""


def concatenated(task: Task, inputs: list[Iterator[Chunk]]) -> Iterator[Chunk]:
    """One input after the other."""
    for chunks in inputs:
        yield from chunks


@dataclass(frozen=True, eq=False)
class Gather(Node):
    """Partitions that each read some partitions of ``sources``.

    ``reads[i]`` lists what partition ``i`` reads as pairs (index into ``sources``, partition of it);
    ``combine`` makes the output of these, in that order.
    """

    sources: tuple[Node, ...]
    reads: Sequence[Sequence[tuple[int, int]]]
    combine: Combine = field(default=concatenated)

    @property
    def partitions(self) -> int:
        return len(self.reads)

    @property
    def parents(self) -> tuple[Node, ...]:
        return tuple(dict.fromkeys(self.sources))


def run_fused(steps: Sequence[ChunkStep], chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """Several steps over each chunk, as if each record went through all of them before the next."""
    fused = Fused(steps)
    for chunk in chunks:
        if type(chunk) is not Rows:
            yield from fused.run(chunk)
            continue
        rows, failed = through(steps, chunk.rows())  # the same at once: small chunks are many
        if rows:
            yield Rows(rows)
        if failed is not None:
            raise failed
