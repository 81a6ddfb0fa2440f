"""One job: which nodes have to be computed first, and how the chunks of a partition come about.

A job is prepared from its sources to its end. Three kinds of nodes are computed before whoever
reads them, all others run as generators inside the task that pulls them::

    Shuffle                     all records must be split before the first target is read
    nodes with a decision       all partitions are summarised, the driver decides
    nodes read more than once   computed once (unless they are sources, which just read again, or go
                                through all readers in one pass, see ``passes``)

Only what the asked-for partitions need, and what is not kept or computed ahead already, is prepared.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Any

from penstock.chunk import Chunk, Left, handed_out, whole
from penstock.errors import locate
from penstock.executors.jobs.ahead import ReadAhead
from penstock.executors.jobs.kept import Kept
from penstock.plan import (
    ChunkStep,
    Deciding,
    Gather,
    Metrics,
    Narrow,
    Node,
    PartitionReader,
    Router,
    Shuffle,
    SliceReader,
    Source,
    Task,
    counted,
    run_fused,
)

__all__ = ["LISTED", "Job", "Stage"]

Stage = Callable[[Node, Callable[[Task, Iterator[Chunk]], Any], Sequence[int]], list[Any]]
"""Runs a function over partitions of a node of this job, possibly on several threads."""


class Job:
    """The working memory of one job. Thread-safe once prepared. ``instead`` gives what is read where a node
    is asked for."""

    def __init__(
        self,
        kept: Callable[[Node], Kept | None],
        aheads: Mapping[Node, ReadAhead],
        passed: Container[Node],
        instead: Callable[[Node], Node],
        metrics: Metrics,
    ) -> None:
        self._find_kept = kept
        self._found_kept: dict[Node, Kept | None] = {}
        self._aheads = aheads
        self._passed = passed
        self.instead = instead
        self._metrics = metrics
        self._moved: dict[Node, list[list[list[Chunk]]]] = {}
        self._held: dict[Node, list[list[Chunk] | None]] = {}
        self._decisions: dict[Node, Any] = {}
        self._reads: dict[Node, int] = {}
        self._hints: dict[Node, int] = {}

    def kept(self, node: Node) -> Kept | None:
        """Where a node is kept, or will be. For the whole job it is, or is not, as it was at the first
        question."""
        try:
            return self._found_kept[node]
        except KeyError:
            kept = self._found_kept[node] = self._find_kept(node)
            return kept

    @classmethod
    def of_task(cls, decisions: Mapping[Node, Any], metrics: Metrics) -> Job:
        """A job for one partition whose inputs lie ready in its sources, as they do for a task that has been
        sent elsewhere: nothing has to be prepared."""
        job = cls(lambda node: None, {}, (), lambda node: node, metrics)
        job._decisions.update(decisions)
        return job

    def put(self, node: Node, partition: int, chunks: list[Chunk]) -> None:
        """Hold a partition that has been computed; other partitions of the node are not asked for."""
        parts: list[list[Chunk] | None] = [None] * node.partitions
        parts[partition] = chunks
        self._held[node] = parts

    # Preparation

    def prepare(self, plan: Node, partitions: Sequence[int], stage: Stage) -> None:
        """Compute what must be there before ``partitions`` of ``plan`` are pulled."""
        if self._is_at_hand(plan, partitions):
            return
        order = self._in_order(self.instead(plan), partitions)
        for node in order:
            if isinstance(node, Shuffle):
                self._shuffle(node, stage)
            elif isinstance(node, Narrow) and node.step.needs_summary(node.partitions):
                self.hold(self.instead(node.parent), stage)
                summaries = stage(node.parent, node.step.summarise, range(node.partitions))
                self._decisions[node] = node.step.decide(summaries)
            if self._reads[node] > 1 and node not in self._passed:
                self.hold(node, stage)

    def _is_at_hand(self, plan: Node, partitions: Sequence[int]) -> bool:
        """Whether nothing but steps lies between what is asked for and what has been computed, as where small
        results are looked at one after the other."""
        node = self.instead(plan)
        while not self._complete(node, partitions):
            if not isinstance(node, Narrow) or node.step.needs_summary(node.partitions):
                return False
            node = self.instead(node.parent)
        return True

    def _in_order(self, plan: Node, partitions: Sequence[int]) -> list[Node]:
        """All nodes that will be computed, parents first; counts how often each is read."""
        self._reads[plan] = 1
        order: list[Node] = []
        pending: list[tuple[Node, bool]] = [(plan, False)]
        seen: set[Node] = set()
        while pending:
            node, done = pending.pop()
            if done:
                order.append(node)
                continue
            needed = partitions if node is plan else range(node.partitions)
            if node in seen or self._complete(node, needed):
                continue
            seen.add(node)
            pending.append((node, True))
            if not isinstance(node, Gather):
                for parent in map(self.instead, node.parents):
                    self._reads[parent] = self._reads.get(parent, 0) + 1
                    pending.append((parent, False))
                continue
            parents = list(map(self.instead, node.parents))
            for parent in parents:
                self._reads[parent] = self._reads.get(parent, 0) + _times_read(node, parent, self.instead)
            pending.extend((parent, False) for parent in reversed(parents))
        return order

    def _complete(self, node: Node, partitions: Sequence[int]) -> bool:
        kept, ahead = self.kept(node), self._aheads.get(node)
        if kept is not None and all(map(kept.has, partitions)):
            return True
        return ahead is not None and all(map(ahead.has, partitions))

    def _is_read_again(self, node: Node) -> bool:
        """Whether it may be read again without being computed again."""
        ahead = self._aheads.get(node)
        return self.kept(node) is not None or (
            ahead is not None and all(map(ahead.has, range(node.partitions)))
        )

    def _shuffle(self, node: Shuffle, stage: Stage) -> None:
        router = node.router
        decision: Any = None
        if router.needs_summary(node.targets):
            decision = self._decided_of_all(node, stage)

        split = Deciding(_Split(router, node.targets), decision)
        self._moved[node] = stage(node.parent, split, range(node.parent.partitions))

    def _decided_of_all(self, node: Shuffle, stage: Stage) -> Any:
        """What the router decides once it has looked at all records, if there are many."""
        parent, router = node.parent, node.router
        everywhere = range(parent.partitions)
        if self._is_clear(router, parent, everywhere):
            return None
        self.hold(self.instead(parent), stage)
        if self._is_clear(router, parent, everywhere):  # it was not known that there are so few
            return None
        return router.decide(stage(parent, router.summarise, everywhere), node.targets)

    def _is_clear(self, router: Router, parent: Node, partitions: Sequence[int]) -> bool:
        rows = self.rows_hint(parent, partitions)
        return rows is not None and router.is_clear_of(rows)

    def hold(self, node: Node, stage: Stage) -> None:
        """Compute a node once for several reads within this job."""
        if node not in self._held and not isinstance(node, Source) and not self._is_read_again(node):
            parts = stage(node, LISTED, range(node.partitions))
            self._held[node] = parts
            self._hints.pop(node, None)  # now it is exact

    # What lies ready, for those who compute a part of a plan elsewhere

    def decision(self, node: Node) -> Any:
        """What was decided for a node, ``None`` if there was nothing to decide."""
        return self._decisions.get(node)

    def is_held(self, node: Node) -> bool:
        """Whether it was computed once for all readers within this job."""
        return node in self._held

    def lies_ready(self, node: Node) -> bool:
        """Whether all of it has been computed."""
        return node in self._held or self._complete(node, range(node.partitions))

    def is_given(self, node: Node, partitions: Sequence[int]) -> bool:
        """Whether these partitions are there for :meth:`given`, or will be once what is kept of the node has
        been filled. A part that was to be computed ahead and is not there yet is this job's from now on."""
        if isinstance(node, (Source, Shuffle)) or node in self._held or self.kept(node) is not None:
            return True
        if node.stays_here:
            return True
        there = [self._is_there(node, index) for index in partitions] if node in self._aheads else [False]
        return all(there)

    def given(self, node: Node, partition: int) -> PartitionReader:
        """A partition that lies ready, as something that can be sent elsewhere and read there. Nobody may
        change its records."""
        if isinstance(node, Source) and node not in self._held:
            kept = self.kept(node)
            if kept is None or not kept.has(partition):
                reader = node.readers[partition]
                if reader.travels:
                    return reader
        try:
            return SliceReader(self._as_it_is(self.instead(node), partition))
        except Exception as error:
            locate(error, partition=partition)
            raise

    def _as_it_is(self, node: Node, partition: int) -> Sequence[Chunk]:
        """The chunks that others read too: a copy is made where they arrive."""
        held = self._held.get(node)
        if held is not None:
            return held[partition] or ()
        kept = self.kept(node)
        if kept is not None:
            self._fill(kept, node, partition)
            return kept.held(partition)
        if self._is_there(node, partition):
            return self._aheads[node].shared(partition, self._metrics)
        left = self.left(node, partition)
        return list(self.computed(node, partition)) if left is None else left

    def left(self, node: Node, partition: int) -> Sequence[Chunk] | None:
        """The chunks of a partition of which some were left where they were computed; ``None``: there are no
        such, or it is not there."""
        found = self._lying(node, partition)
        return found if found and any(isinstance(chunk, Left) for chunk in found) else None

    def _lying(self, node: Node, partition: int) -> Sequence[Chunk] | None:
        if node in self._held:
            return self._held[node][partition]
        kept = self.kept(node)
        if kept is not None:
            return kept.in_memory(partition)
        if node in self._moved:
            return [chunk for parent in self._moved[node] for chunk in parent[partition]]
        if isinstance(node, Source):
            reader = node.readers[partition]
            return reader.chunks if isinstance(reader, SliceReader) else None
        return None

    # Reading

    def task(self, node: Node, partition: int) -> Task:
        """What a step may know."""
        return Task(partition, node.partitions, self._metrics, self._decisions.get(node))

    def rows_hint(self, node: Node, partitions: Sequence[int]) -> int | None:
        """How many records these partitions read, if that is known. Once known of a whole node it stays."""
        node = self.instead(node)
        if len(partitions) != node.partitions or len(set(partitions)) != node.partitions:
            return self._rows_read(node, partitions)
        known = self._hints.get(node)
        if known is None:
            known = self._rows_read(node, partitions)
            if known is not None:
                self._hints[node] = known
        return known

    def _rows_read(self, node: Node, partitions: Sequence[int]) -> int | None:
        while True:
            held = self._held.get(node)
            if held is not None:
                return sum([len(chunk) for index in partitions for chunk in held[index] or ()])
            kept = self.kept(node)
            if kept is not None and all(map(kept.has, partitions)):
                return _sum_of(kept.rows_hint(index) for index in partitions)
            ahead = self._aheads.get(node)
            if ahead is not None and all(map(ahead.has, partitions)):
                return sum(map(ahead.rows_hint, partitions))
            if isinstance(node, Narrow):
                node = self.instead(node.parent)
            elif isinstance(node, Source):
                return _sum_of(node.readers[index].rows_hint for index in partitions)
            elif isinstance(node, Shuffle):
                moved = self._moved.get(node)
                if moved is None:
                    return None
                return sum([len(each) for parent in moved for index in partitions for each in parent[index]])
            else:
                assert isinstance(node, Gather)
                wanted: dict[int, list[int]] = {}
                for index in partitions:
                    for source, part in node.reads[index]:
                        wanted.setdefault(source, []).append(part)
                sources = node.sources
                return _sum_of(self.rows_hint(sources[source], parts) for source, parts in wanted.items())

    def chunks(self, node: Node, partition: int, *, lend: bool = False) -> Iterator[Chunk]:
        """A partition's chunks, kept ones from where they are kept; ``lend`` to a reader of items."""
        node = self.instead(node)
        held = self._held.get(node)
        if held is not None:
            part = held[partition]
            assert part is not None
            return handed_out(part, lend=lend)
        kept = self.kept(node)
        if kept is not None:
            return self._through(kept, node, partition, lend)
        if self._is_there(node, partition):
            return self._aheads[node].chunks(partition, self._metrics, lend=lend)
        return self.computed(node, partition)

    def _through(self, kept: Kept, node: Node, partition: int, lend: bool) -> Iterator[Chunk]:
        self._fill(kept, node, partition)
        yield from kept.chunks(partition, lend=lend)

    def _fill(self, kept: Kept, node: Node, partition: int) -> None:
        if not kept.has(partition) and kept.one_pass is not None:
            kept.one_pass.fill(kept, partition, self.task(node, partition), self.chunks)
        elif not kept.has(partition):
            with kept.lock(partition):
                if not kept.has(partition):
                    kept.put(partition, self._to_keep(node, partition))

    def _to_keep(self, node: Node, partition: int) -> list[Chunk]:
        if self._is_there(node, partition):
            return self._aheads[node].shared(partition, self._metrics)
        return list(self.computed(node, partition))

    def _is_there(self, node: Node, partition: int) -> bool:
        """Whether a partition has been computed ahead; if not, this job computes it."""
        ahead = self._aheads.get(node)
        return ahead is not None and ahead.claim(partition)

    def computed(self, node: Node, partition: int) -> Iterator[Chunk]:
        """A partition's chunks, computed now; what it reads may lie ready."""
        match node:
            case Source():
                chunks = node.readers[partition].read(self.task(node, partition))
            case Narrow():
                return self._narrow(node, partition)
            case Shuffle():
                chunks = whole([chunk for parent in self._moved[node] for chunk in parent[partition]])
            case Gather():
                inputs = [self.chunks(node.sources[source], part) for source, part in node.reads[partition]]
                chunks = node.combine(self.task(node, partition), inputs)
            case _:
                raise AssertionError(f"no such node kind: {type(node).__name__}")
        return counted(chunks, self._metrics, (node, partition))

    def _narrow(self, node: Narrow, partition: int) -> Iterator[Chunk]:
        """A chain of narrow nodes; runs of record steps become one loop, of which only the end is counted."""
        chain: list[Narrow] = []
        current: Node = node
        while isinstance(current, Narrow) and (current is node or not self._is_kept(current, partition)):
            chain.append(current)
            current = self.instead(current.parent)
        on_lent = chain[-1].step.on_lent() if self._is_kept(current, partition) else None
        chunks = self.chunks(current, partition, lend=on_lent is not None)
        fused: list[ChunkStep] = []
        below: Narrow = chain[-1]  # the last of the steps in ``fused``
        for link in reversed(chain):
            step = on_lent if on_lent is not None and link is chain[-1] else link.step
            if isinstance(step, ChunkStep):
                fused.append(step)
                below = link
                continue
            if fused:
                chunks = counted(run_fused(fused, chunks), self._metrics, (below, partition))
                fused = []
            chunks = counted(step.run(self.task(link, partition), chunks), self._metrics, (link, partition))
        if fused:
            return counted(run_fused(fused, chunks), self._metrics, (below, partition))
        return chunks

    def _is_kept(self, node: Node, partition: int) -> bool:
        return node in self._held or self.kept(node) is not None or self._is_there(node, partition)


class _Listed:
    """The chunks of a partition, as an action."""

    __slots__ = ()
    may_be_left = True

    def __call__(self, task: Task, chunks: Iterator[Chunk]) -> list[Chunk]:
        return list(chunks)


LISTED = _Listed()


class _Split:
    """The chunks of a partition, for each target of a shuffle. It knows the router, not the plan: it may
    travel."""

    __slots__ = ("_router", "_targets")
    may_be_left = True

    def __init__(self, router: Router, targets: int) -> None:
        self._router = router
        self._targets = targets

    def __call__(self, task: Task, chunks: Iterator[Chunk]) -> list[list[Chunk]]:
        return self._router.split(task, chunks, self._targets)


def _times_read(node: Gather, parent: Node, instead: Callable[[Node], Node]) -> int:
    """How often ``node`` reads a partition of ``parent``, at most."""
    counts: dict[tuple[int, int], int] = {}
    same = [index for index, source in enumerate(node.sources) if instead(source) is parent]
    for reads in node.reads:
        for source, part in reads:
            if source in same:
                counts[same[0], part] = counts.get((same[0], part), 0) + 1
    return max(counts.values(), default=0)


def _sum_of(hints: Iterator[int | None]) -> int | None:
    total = 0
    for hint in hints:
        if hint is None:
            return None
        total += hint
    return total
