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
from penstock.executors.local.kept import Kept
from penstock.plan import ChunkStep, Fold, FoldStep, Narrow, Node, Task, run_fused

__all__ = ["Branch", "OnePass", "branches_of", "readers_in"]


class Branch:
    """From a node to a fold of it: the steps between, the fold, and where its result is kept."""

    __slots__ = ("end", "fold", "kept", "steps")

    def __init__(self, steps: Sequence[ChunkStep], fold: FoldStep, end: Node) -> None:
        self.steps = steps
        self.fold = fold
        self.end: Node | None = end  # until it is known where the result is kept
        self.kept: weakref.ref[Kept] | None = None

    def lacks(self, partition: int) -> bool:
        """Whether the result is still wanted there."""
        kept = None if self.kept is None else self.kept()
        return kept is not None and not kept.has(partition)

    def keep_in(self, kept: Kept) -> None:
        """Put the result there; from now on nothing here holds the plan."""
        self.kept = weakref.ref(kept)
        self.end = None


class OnePass:
    """Fills what is kept of all branches, a partition at a time, when the first of them is read."""

    def __init__(self, node: Node, branches: Sequence[Branch]) -> None:
        self._node = weakref.ref(node)  # alive as long as a branch, which reads it
        self._branches = branches
        self._locks = [threading.Lock() for _ in range(node.partitions)]

    def fill(
        self, wanted: Kept, partition: int, task: Task, chunks_of: Callable[[Node, int], Iterator[Chunk]]
    ) -> None:
        """Compute the partition of ``wanted``, and of the others that lack it. A branch that fails leaves
        the others alone; raises what ``wanted`` failed with."""
        with self._locks[partition]:
            if wanted.has(partition):
                return
            node = self._node()
            assert node is not None, "a branch is read, but not what it reads"
            runs = [_Run(branch, task) for branch in self._branches if branch.lacks(partition)]
            failed: Exception | None = None
            try:
                for chunk in chunks_of(node, partition):
                    for run in runs:
                        run.push(chunk, last=run is runs[-1])
            except Exception as error:
                failed = error
            for run in runs:
                run.finish(partition, failed)
            for run in runs:
                if run.kept is wanted and run.failed is not None:
                    raise run.failed


class _Run:
    """One branch under way."""

    __slots__ = ("_first_lent", "_fold", "_steps", "failed", "kept")

    def __init__(self, branch: Branch, task: Task) -> None:
        assert branch.kept is not None
        self.kept = branch.kept()
        self.failed: Exception | None = None
        first, *others = [*branch.steps, branch.fold]
        lent = first.on_lent()
        *steps, fold = [lent or first, *others]
        assert isinstance(fold, FoldStep), f"{fold.name} is lent records, and is no fold any more"
        self._first_lent = lent is not None
        self._steps = [step for step in steps if isinstance(step, ChunkStep)]
        self._fold: Fold = fold.begin(task)

    def push(self, chunk: Chunk, *, last: bool) -> None:
        """Take a chunk that other branches read too; the last of them may have it."""
        if self.failed is not None:
            return
        given = chunk.lent() if self._first_lent else chunk if last else chunk.isolated()
        try:
            for made in run_fused(self._steps, iter((given,))) if self._steps else (given,):
                self._fold.push(made)
        except Exception as error:
            self.failed = error

    def finish(self, partition: int, failed: Exception | None) -> None:
        """Keep the result, unless this branch failed, or else what it reads."""
        self.failed = self.failed or failed
        if self.failed is None and self.kept is not None:
            self.kept.put(partition, list(self._fold.finish()))


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
        steps: list[ChunkStep] = []
        current = reader
        while isinstance(current, Narrow) and isinstance(current.step, ChunkStep):
            above = readers[current]
            if current in roots or is_kept(current) or len(above) != 1:
                return None
            steps.append(current.step)
            current = above[0]
        if not isinstance(current, Narrow) or not isinstance(current.step, FoldStep):
            return None
        found.append(Branch(steps, current.step, current))
    return found if len(found) > 1 and node not in roots else None
