"""One pass over a node that several folds read, instead of keeping it for them.

::

                 .- map -- fold   (buys and sells)
    parse -- X --+- map -- fold   (amount by client)
                 '- map -- fold   (volume by security)

Kept whole, X would be written to memory and read back once for each fold. Here each chunk of X goes
through all branches while it is still in the CPU's caches, and is gone: only what the folds make of it is
kept. It works where every reader of X is such a branch: steps on records one by one, then a fold.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Sequence

from penstock.chunk import Chunk
from penstock.executors.jobs.kept import Kept
from penstock.plan import (
    ROWS,
    ChunkStep,
    Fold,
    FoldStep,
    Metrics,
    Narrow,
    Node,
    Task,
    records_in,
    run_fused,
)

__all__ = ["Branch", "OnePass", "Pass", "branches_of", "pass_over", "put", "readers_in"]


Made = tuple[list[Chunk], int] | Exception
"""What a branch has made of how many records before its fold, or what it failed with."""


class Branch:
    """From a node to a fold of it: the steps between, the fold, and where its result is kept."""

    __slots__ = ("counted", "end", "fold", "kept", "steps")

    def __init__(self, links: Sequence[Narrow], fold: FoldStep, end: Node) -> None:
        self.steps = [link.step for link in links if isinstance(link.step, ChunkStep)]
        self.fold = fold
        self.end: Node | None = end  # until it is known where the result is kept
        # Of which nodes the records are counted: of that before the fold, and of the result.
        self.counted = weakref.ref(links[-1]) if links else None, weakref.ref(end)
        self.kept: weakref.ref[Kept] | None = None

    def kept_in(self) -> Kept | None:
        """Where the result is kept, as long as anybody wants it."""
        return None if self.kept is None else self.kept()

    def lacks(self, partition: int) -> bool:
        """Whether the result is still wanted there."""
        kept = self.kept_in()
        return kept is not None and not kept.has(partition)

    def keep_in(self, kept: Kept) -> None:
        """Put the result there; from now on nothing here holds the plan."""
        self.kept = weakref.ref(kept)
        self.end = None


class Pass:
    """Some branches over one partition, as an action: of each what it has made. A branch
    that fails leaves the others alone."""

    __slots__ = ("_branches",)
    may_be_left = True

    def __init__(self, branches: Sequence[tuple[Sequence[ChunkStep], FoldStep]]) -> None:
        self._branches = branches

    def __call__(self, task: Task, chunks: Iterator[Chunk]) -> list[Made]:
        runs = [_Run(steps, fold, task) for steps, fold in self._branches]
        failed: Exception | None = None
        try:
            for chunk in chunks:
                for run in runs:
                    run.push(chunk, last=run is runs[-1])
        except Exception as error:
            failed = error
        return [run.finish(failed) for run in runs]


class OnePass:
    """Fills what is kept of all branches, a partition at a time, when the first of them is read."""

    def __init__(self, node: Node, branches: Sequence[Branch]) -> None:
        self._node = weakref.ref(node)  # alive as long as a branch, which reads it
        self._branches = branches
        self._locks = [threading.Lock() for _ in range(node.partitions)]

    @property
    def node(self) -> Node:
        """What the branches read."""
        node = self._node()
        assert node is not None, "a branch is read, but not what it reads"
        return node

    def lock(self, partition: int) -> threading.Lock:
        """Held by whoever computes the partition."""
        return self._locks[partition]

    def lacking(self, partitions: Sequence[int]) -> list[Branch]:
        """The branches of which one of the partitions is still wanted."""
        return [branch for branch in self._branches if any(map(branch.lacks, partitions))]

    def fill(
        self, wanted: Kept, partition: int, task: Task, chunks_of: Callable[[Node, int], Iterator[Chunk]]
    ) -> None:
        """Compute the partition of ``wanted``, and of the others that lack it. A branch that fails leaves
        the others alone; raises what ``wanted`` failed with."""
        with self.lock(partition):
            if wanted.has(partition):
                return
            branches = self.lacking([partition])
            found = pass_over(branches)(task, chunks_of(self.node, partition))
            put(wanted, partition, branches, found, task.metrics)


def pass_over(branches: Sequence[Branch]) -> Pass:
    """The action that computes these."""
    return Pass([(branch.steps, branch.fold) for branch in branches])


def put(
    wanted: Kept, partition: int, branches: Sequence[Branch], found: Sequence[Made], metrics: Metrics
) -> None:
    """Keep what was computed of the branches, where it is still wanted, and note how many records there were;
    raises what ``wanted`` failed with."""
    failed: Exception | None = None
    for branch, result in zip(branches, found, strict=True):
        kept = branch.kept_in()
        if isinstance(result, Exception):
            failed = result if kept is wanted else failed
            continue
        chunks, before = result
        for known, rows in zip(branch.counted, (before, records_in(chunks)), strict=True):
            node = None if known is None else known()
            if node is not None:
                metrics.note(ROWS, (node, partition), rows)
        if kept is not None and not kept.has(partition):
            kept.put(partition, chunks)
    if failed is not None:
        raise failed


class _Run:
    """One branch under way."""

    __slots__ = ("_failed", "_first_lent", "_fold", "_rows", "_steps")

    def __init__(self, steps: Sequence[ChunkStep], fold: FoldStep, task: Task) -> None:
        self._failed: Exception | None = None
        first, *others = [*steps, fold]
        lent = first.on_lent()
        *before, last = [lent or first, *others]
        assert isinstance(last, FoldStep), f"{fold.name} is lent records, and is no fold any more"
        self._first_lent = lent is not None
        self._steps = [step for step in before if isinstance(step, ChunkStep)]
        self._fold: Fold = last.begin(task)
        self._rows = 0

    def push(self, chunk: Chunk, *, last: bool) -> None:
        """Take a chunk that other branches read too; the last of them may have it."""
        if self._failed is not None:
            return
        given = chunk.lent() if self._first_lent else chunk if last else chunk.isolated()
        try:
            for made in run_fused(self._steps, iter((given,))) if self._steps else (given,):
                self._rows += len(made)
                self._fold.push(made)
        except Exception as error:
            self._failed = error

    def finish(self, failed: Exception | None) -> Made:
        """The result, unless this branch failed, or else what it reads."""
        found = self._failed or failed
        if found is not None:
            return found
        try:
            return list(self._fold.finish()), self._rows
        except Exception as error:
            return error


def readers_in(roots: Sequence[Node], instead: Callable[[Node], Node]) -> dict[Node, list[Node]]:
    """Which nodes read which, in the plans of ``roots``."""
    readers: dict[Node, list[Node]] = {root: [] for root in roots}
    pending = list(readers)
    while pending:
        node = pending.pop()
        for parent in dict.fromkeys(map(instead, node.parents)):
            if parent not in readers:
                readers[parent] = []
                pending.append(parent)
            readers[parent].append(node)
    return readers


def branches_of(
    node: Node, readers: dict[Node, list[Node]], roots: set[Node], is_kept: Callable[[Node], bool]
) -> list[Branch] | None:
    """The branches by which ``node`` is read, if it is read by several, and in no other way."""
    found: list[Branch] = []
    for reader in readers.get(node, ()):
        links: list[Narrow] = []
        current = reader
        while isinstance(current, Narrow) and isinstance(current.step, ChunkStep):
            above = readers[current]
            if current in roots or is_kept(current) or len(above) != 1:
                return None
            links.append(current)
            current = above[0]
        if not isinstance(current, Narrow) or not isinstance(current.step, FoldStep):
            return None
        found.append(Branch(links, current.step, current))
    return found if len(found) > 1 and node not in roots else None
