"""What lies ready but for some steps over each chunk: looked at without a job."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from penstock.chunk import Chunk, handed_out
from penstock.errors import locate
from penstock.executors.jobs.kept import Kept
from penstock.plan import ROWS, ChunkStep, Metrics, Narrow, Node, run_fused

__all__ = ["Lying"]


class Lying:
    """Partitions of a plan whose steps read what is kept in memory."""

    __slots__ = ("_kept", "_lent", "_plan", "_steps")

    def __init__(self, plan: Node, kept: Kept, steps: Sequence[ChunkStep], *, lent: bool) -> None:
        self._plan = plan
        self._kept = kept
        self._steps = steps
        self._lent = lent

    @classmethod
    def of(cls, plan: Node, partitions: Sequence[int], find: Callable[[Node], Kept | None]) -> Lying | None:
        """Those of a plan, ``None`` if anything else has to be computed for them; ``find`` says where a node
        is kept."""
        steps: list[ChunkStep] = []
        node = plan
        while (kept := find(node)) is None:
            if not isinstance(node, Narrow) or not isinstance(node.step, ChunkStep):
                return None
            steps.append(node.step)
            node = node.parent
        for partition in partitions:
            if kept.in_memory(partition) is None:
                return None
        steps.reverse()
        lent = steps[0].on_lent() if steps else None
        if lent is None:
            return cls(plan, kept, steps, lent=False)
        if not isinstance(lent, ChunkStep):
            return None
        return cls(plan, kept, [lent, *steps[1:]], lent=True)

    def read(self, partitions: Sequence[int], metrics: Metrics) -> Iterator[Chunk]:
        """The chunks of these partitions; what the steps make of one is counted once its last chunk was
        taken."""
        plan, kept, steps = self._plan, self._kept, self._steps
        for partition in partitions:
            try:
                lying = kept.in_memory(partition)
                assert lying is not None, "it does not lie here"
                chunks = handed_out(lying, lend=self._lent)
                if not steps:
                    yield from chunks
                    continue
                rows = 0
                for chunk in run_fused(steps, chunks):
                    if not chunk.beside:
                        rows += len(chunk)
                    yield chunk
            except Exception as error:
                locate(error, partition=partition)
                raise
            metrics.note(ROWS, (plan, partition), rows)
