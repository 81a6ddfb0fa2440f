"""A part of a plan, cut out so that it can be computed elsewhere: down to what lies ready.

::

    Source --(map)--> Narrow --(fold)--> Narrow      a stage: the links, in the order in which they read
      |                                              each other, and of each partition its inputs
      '- inputs: the reader of each partition
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from penstock.chunk import Chunk, RowType, whole
from penstock.errors import CallSite
from penstock.executors.jobs.job import Job
from penstock.executors.jobs.kept import Kept
from penstock.plan import Gather, Narrow, Node, PartitionReader, Shuffle, SliceReader, Source, Step, Task
from penstock.plan.nodes import Combine
from penstock.values import dataclass

__all__ = ["Cut", "GatherLink", "Given", "Inputs", "Link", "NarrowLink", "put_together"]


@dataclass(frozen=True)
class Given:
    """Where a partition's inputs go in: what was a source, or lies ready."""

    site: CallSite
    row_type: RowType | None


@dataclass(frozen=True)
class NarrowLink:
    """A step behind the link of the number ``parent``."""

    site: CallSite
    parent: int
    step: Step


@dataclass(frozen=True)
class GatherLink:
    """As a ``Gather``, of the links of the numbers ``sources``."""

    site: CallSite
    sources: tuple[int, ...]
    combine: Combine


Link = Given | NarrowLink | GatherLink
"""Nothing in it counts partitions: of files there are more in one batch than in the next, and what is done
with them is the same."""


@dataclass(frozen=True)
class Inputs:
    """What one partition of a stage reads: ``readers`` by the number of the ``Given`` and by its partition.

    ``partitions`` is how many each ``Given`` and each ``GatherLink`` has, and ``reads`` is what partitions of
    a ``GatherLink`` read of its sources, as far as it concerns this partition.
    """

    readers: Mapping[int, Mapping[int, PartitionReader]]
    partitions: Mapping[int, int]
    reads: Mapping[int, Mapping[int, Sequence[tuple[int, int]]]]


class _Some(Sequence[Any]):
    """What a source or gather node knows of each partition, of which one task needs a few."""

    def __init__(self, count: int, found: Mapping[int, Any]) -> None:
        self._count = count
        self._found = found

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        return self._found[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._found.values())


def put_together(links: Sequence[Link], inputs: Inputs, *, handed_over: bool = False) -> list[Node]:
    """The nodes of links, the last of which is the whole. ``handed_over``: the inputs are for this alone, so
    that what is read once need not be copied."""
    nodes: list[Node] = []
    once = _read_once(links, inputs) if handed_over else frozenset()
    for number, link in enumerate(links):
        match link:
            case Given():
                found = inputs.readers.get(number, {})
                if number in once:
                    found = {part: _HandedOver.of(reader) for part, reader in found.items()}
                readers = _Some(inputs.partitions[number], found)
                nodes.append(Source(link.site, readers, link.row_type))
            case NarrowLink():
                nodes.append(Narrow(link.site, nodes[link.parent], link.step))
            case GatherLink():
                sources = tuple(nodes[source] for source in link.sources)
                reads = _Some(inputs.partitions[number], inputs.reads.get(number, {}))
                nodes.append(Gather(link.site, sources, reads, link.combine))
    return nodes


class _HandedOver(PartitionReader):
    """Chunks that belong to who reads them."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self._chunks = chunks

    @classmethod
    def of(cls, reader: PartitionReader) -> PartitionReader:
        return cls(reader.chunks) if isinstance(reader, SliceReader) else reader

    def read(self, task: Task) -> Iterator[Chunk]:
        return whole(self._chunks)


def _read_once(links: Sequence[Link], inputs: Inputs) -> frozenset[int]:
    """The numbers of the links of which no partition is read twice."""
    times = [0] * len(links)
    times[-1] = 1
    for number in reversed(range(len(links))):
        link = links[number]
        if isinstance(link, NarrowLink):
            times[link.parent] += times[number]
        elif isinstance(link, GatherLink):
            read = Counter(
                (link.sources[source], part)
                for reads in inputs.reads.get(number, {}).values()
                for source, part in reads
            )
            most: dict[int, int] = {}
            for (source, _), count in read.items():
                most[source] = max(most.get(source, 0), count)
            for source, count in most.items():
                times[source] += times[number] * count
    return frozenset(number for number, count in enumerate(times) if count == 1)


class Cut:
    """What a job computes of ``node`` for ``partitions``, down to what lies ready or is kept. ``whole``: even
    if the node itself is kept.

    ``unfilled`` are nodes at the edge that are kept but not there yet, with the partitions that are wanted:
    they are computed before. ``staying`` are those at the edge that are computed in this process, whatever
    they read.
    """

    def __init__(self, job: Job, node: Node, partitions: Sequence[int], *, whole: bool = False) -> None:
        self._job = job
        self._top = job.instead(node)
        self._wanted: dict[Node, dict[int, None]] = {self._top: dict.fromkeys(partitions)}
        self._numbers: dict[Node, int] = {}
        self._given: set[Node] = set()
        self._named: set[Node] = {self._top}  # what links speak of
        self.links: list[Link] = []
        self.nodes: list[Node] = []  # that they stand for
        self._partitions_of_links: dict[int, int] = {}
        self.unfilled: list[tuple[Node, Kept, list[int]]] = []
        self.staying: list[Node] = []
        self._cut(whole)

    def _cut(self, whole: bool) -> None:
        # Readers before what they read, so that what all of them want of it is known.
        job, order = self._job, self._readers_first()
        for node in order:
            wanted = list(self._wanted.setdefault(node, {}))
            if not wanted:
                self._given.add(node)
                continue
            computed = whole and node is self._top and isinstance(node, (Narrow, Gather))
            if not computed and job.is_given(node, wanted):
                self._given.add(node)
                self._note_what_is_missing(node, wanted)
                continue
            self._named.update(map(job.instead, node.parents))
            for parent, part in self._reads(node, wanted):
                self._wanted.setdefault(parent, {})[part] = None
        for node in reversed(order):
            if node in self._named:
                number = self._numbers[node] = len(self.links)
                if node in self._given or isinstance(node, Gather):
                    self._partitions_of_links[number] = node.partitions
                self.links.append(self._link(node))
                self.nodes.append(node)

    def _note_what_is_missing(self, node: Node, wanted: Sequence[int]) -> None:
        if isinstance(node, (Source, Shuffle)) or self._job.is_held(node):
            return
        kept = self._job.kept(node)
        missing = [index for index in wanted if kept is None or not kept.has(index)]
        if node.stays_here:
            if missing:
                self.staying.append(node)
        elif kept is not None and missing:
            self.unfilled.append((node, kept, missing))

    def _readers_first(self) -> list[Node]:
        order: list[Node] = []
        seen: set[Node] = set()
        pending: list[tuple[Node, bool]] = [(self._top, False)]
        while pending:
            node, done = pending.pop()
            if done:
                order.append(node)
            elif node not in seen:
                seen.add(node)
                pending.append((node, True))
                if isinstance(node, (Narrow, Gather)):
                    pending.extend((self._job.instead(parent), False) for parent in node.parents)
        order.reverse()
        return order

    def _reads(self, node: Node, partitions: Sequence[int]) -> Iterator[tuple[Node, int]]:
        instead = self._job.instead
        if isinstance(node, Narrow):
            parent = instead(node.parent)
            for index in partitions:
                yield parent, index
        elif isinstance(node, Gather):
            sources = [instead(source) for source in node.sources]
            for index in partitions:
                for source, part in node.reads[index]:
                    yield sources[source], part

    def _link(self, node: Node) -> Link:
        if node in self._given:
            return Given(node.site, node.row_type if isinstance(node, Source) else None)
        number = self._numbers
        if isinstance(node, Narrow):
            return NarrowLink(node.site, number[self._job.instead(node.parent)], node.step)
        assert isinstance(node, Gather)
        sources = tuple(number[self._job.instead(source)] for source in node.sources)
        return GatherLink(node.site, sources, node.combine)

    @property
    def partitions(self) -> int:
        """How many partitions the node has, those that are not asked for included."""
        return self._top.partitions

    @property
    def reads_left(self) -> bool:
        """Whether some of what is read was left where it was computed."""
        left = self._job.left
        return any(left(node, part) for node in self._given for part in self._wanted[node])

    @property
    def decisions(self) -> dict[int, Any]:
        """What was decided for links, by their numbers."""
        found = ((number, self._job.decision(node)) for node, number in self._numbers.items())
        return {number: decision for number, decision in found if decision is not None}

    def inputs(self, partition: int) -> Inputs:
        """What a partition reads."""
        readers: dict[int, dict[int, PartitionReader]] = {}
        reads: dict[int, dict[int, Sequence[tuple[int, int]]]] = {}
        pending = [(self._top, partition)]
        seen = set(pending)
        while pending:
            node, part = pending.pop()
            if node in self._given:
                readers.setdefault(self._numbers[node], {})[part] = self._job.given(node, part)
                continue
            if isinstance(node, Gather):
                reads.setdefault(self._numbers[node], {})[part] = node.reads[part]
            news = [each for each in dict.fromkeys(self._reads(node, [part])) if each not in seen]
            seen.update(news)
            pending.extend(news)
        return Inputs(readers, self._partitions_of_links, reads)
