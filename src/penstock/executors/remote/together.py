"""What the jobs of a batch need of the cluster, computed by one job of it.

::

                        .- rejects                    end: an output reads it
    file -- parse -- X -+- map -- fold -- (shuffle)   end: what comes behind it is put together by the driver
                        '- map -- fold -- (shuffle)   end
      source   '------- the forest of X ------'

Without this, each end would be a job by itself, and X would travel to the driver or be computed for each of
them. Ends of which much comes may be left where they were computed; they are computed together all the same.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterator, Mapping, Sequence

from penstock.chunk import Chunk
from penstock.executors.base import Together
from penstock.executors.jobs import Given, Inputs, Job, Kept, Link, NarrowLink, put_together
from penstock.plan import Gather, Narrow, Node, SliceReader, Source, Task

__all__ = ["Batch", "Forest", "Grove", "groves_of"]


class Forest:
    """Several ends above one node, as an action: of each its chunks, or what it failed with. ``links`` begin
    with that node; ``ends`` are numbers of links."""

    may_be_left = True

    def __init__(self, links: Sequence[Link], ends: Sequence[int]) -> None:
        self._links = links
        self._ends = ends

    def __call__(self, task: Task, chunks: Iterator[Chunk]) -> list[list[Chunk] | Exception]:
        index = task.partition
        held = list(chunks)
        nodes = put_together(self._links, Inputs({0: {index: SliceReader(held)}}, {0: task.partitions}, {}))
        job = Job.of_task({}, task.metrics)
        read = [link.parent for link in self._links if isinstance(link, NarrowLink)]
        several = {number for number in read if number and read.count(number) > 1}
        found: dict[int, list[Chunk] | Exception] = {}
        for number, node in enumerate(nodes):
            if number in several or number in self._ends:
                try:
                    part = list(job.chunks(node, index))
                except Exception as error:
                    found[number] = error
                    continue
                found[number] = part
                job.put(node, index, part)
        return [found[number] for number in self._ends]


class Grove:
    """The ends above one node of a batch. ``ends`` are kept in the places of :attr:`kept`."""

    def __init__(
        self, base: Node, ends: Sequence[Node], links: Sequence[Link], numbers: Sequence[int]
    ) -> None:
        self.base = base
        self.ends = ends
        self._links = links
        self._numbers = numbers

    def action(self) -> Forest:
        """What is done with each partition of the base."""
        return Forest(self._links, self._numbers)


def groves_of(
    roots: Sequence[Node],
    instead: Callable[[Node], Node],
    is_ready: Callable[[Node], bool],
    is_outside: Callable[[Source], bool],
) -> list[Grove]:
    """What ``roots`` need that is computed from outside of the driver, by the nodes that it begins with.
    ``is_ready``: what is kept already."""
    order, readers = _parents_first(roots, instead, is_ready)
    outside: set[Node] = set()
    for node in order:
        if _is_outside(node, outside, instead, is_outside):
            outside.add(node)
    tops = set(map(instead, roots))
    ends = [
        node
        for node in order
        if node in outside
        and not isinstance(node, Source)
        and (node in tops or any(reader not in outside for reader in readers[node]))
    ]
    # What is brought here, and read by a node that would be computed there as well, is not computed twice.
    for node in order:
        if isinstance(node, Gather) and node in outside:
            sources = [instead(source) for source in node.sources]
            if any(source in ends or len(readers[source]) > 1 for source in sources):
                outside.discard(node)
    groups: dict[Node, list[Node]] = {}
    for node in ends:
        base = _base_of(node, outside, instead)
        if base is not None:
            groups.setdefault(base, []).append(node)
    return [_grove(base, found, instead) for base, found in groups.items()]


def _parents_first(
    roots: Sequence[Node], instead: Callable[[Node], Node], is_ready: Callable[[Node], bool]
) -> tuple[list[Node], dict[Node, list[Node]]]:
    order: list[Node] = []
    readers: dict[Node, list[Node]] = {}
    pending: list[tuple[Node, bool]] = [(instead(root), False) for root in roots]
    while pending:
        node, done = pending.pop()
        if done:
            order.append(node)
            continue
        if node in readers:
            continue
        readers[node] = []
        pending.append((node, True))
        if not is_ready(node):
            pending.extend((instead(parent), False) for parent in node.parents)
    for node in order:
        if not is_ready(node):
            for parent in dict.fromkeys(map(instead, node.parents)):
                readers[parent].append(node)
    return order, readers


def _is_outside(
    node: Node,
    outside: Container[Node],
    instead: Callable[[Node], Node],
    is_outside: Callable[[Source], bool],
) -> bool:
    if isinstance(node, Source):
        return is_outside(node)
    if node.stays_here:
        return False
    if isinstance(node, Narrow):
        return instead(node.parent) in outside and not node.step.needs_summary(node.partitions)
    return isinstance(node, Gather) and all(instead(source) in outside for source in node.sources)


def _base_of(node: Node, outside: Container[Node], instead: Callable[[Node], Node]) -> Node | None:
    """The first node below that is no step; ``None`` if that is not computed there after all."""
    while isinstance(node, Narrow):
        node = instead(node.parent)
    return node if node in outside else None


def _grove(base: Node, ends: Sequence[Node], instead: Callable[[Node], Node]) -> Grove:
    numbers: dict[Node, int] = {base: 0}
    links: list[Link] = [Given(base.site, base.row_type if isinstance(base, Source) else None)]
    for end in ends:
        chain: list[Narrow] = []
        node = end
        while node not in numbers:
            assert isinstance(node, Narrow)
            chain.append(node)
            node = instead(node.parent)
        for link in reversed(chain):
            links.append(NarrowLink(link.site, numbers[instead(link.parent)], link.step))
            numbers[link] = len(links) - 1
    return Grove(base, ends, links, [numbers[end] for end in ends])


class Batch(Together):
    """What is computed together for the jobs of a batch, the first time that one of them asks for any of it.
    ``kept`` is where each end is kept, ``release`` gives up what was kept for this."""

    def __init__(
        self,
        groves: Sequence[Grove],
        kept: Mapping[Node, Kept],
        release: Callable[[], None],
    ) -> None:
        self.groves = groves
        self.kept = kept
        self.lock = threading.Lock()
        self.done = False
        self._release = release

    def release(self) -> None:
        self.done = True
        self._release()
