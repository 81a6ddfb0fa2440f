"""The stages of one job, each computed here or sent to a crew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from penstock.chunk import Chunk
from penstock.executors.jobs import Cut, Job, Kept, OnePass, Stage, pass_over, put
from penstock.executors.remote.crew import Crew, Ready, Shipment
from penstock.executors.remote.tasks import program_of
from penstock.plan import Metrics, Node, OnDriver, SliceReader, Source, Task
from penstock.rdd import noting_variables

__all__ = ["RemoteStages"]

Action = Callable[[Task, Iterator[Chunk]], Any]


class RemoteStages:
    """Runs a function over partitions of nodes of one job, as :data:`Stage`; ``here`` is who computes what is
    not sent."""

    __slots__ = ("_crew", "_here", "_job", "_metrics", "_takes_little")

    def __init__(
        self,
        job: Job,
        crew: Crew,
        here: Stage,
        metrics: Metrics,
        takes_little: Callable[[Node, Sequence[int]], bool],
    ) -> None:
        self._job = job
        self._crew = crew
        self._here = here
        self._metrics = metrics
        self._takes_little = takes_little

    def __call__(self, node: Node, action: Action, partitions: Sequence[int]) -> list[Any]:
        ready = self._ready(node, action, partitions)
        return self._here(node, action, partitions) if ready is None else self._sent(ready)

    def _ready(
        self, node: Node, action: Action, partitions: Sequence[int], *, whole: bool = False
    ) -> Ready | None:
        """The stage, if it is to be sent; what it reads is there then."""
        if not partitions:
            return None
        cut = Cut(self._job, node, partitions, whole=whole)
        for staying in cut.staying:
            self._hold_inputs(staying)
        for below, kept, missing in cut.unfilled:
            self._fill(below, kept, missing)
        ready = Ready(cut, action, partitions, self._takes_little(node, partitions))
        return ready if self._crew.wants(ready) else None

    def _hold_inputs(self, staying: Node) -> None:
        """Have what is read by a node that is computed here computed elsewhere, if that is worth it."""
        for parent in map(self._job.instead, staying.parents):
            if not self._job.is_given(parent, range(parent.partitions)):
                everywhere = range(parent.partitions)
                if self._ready(parent, _all, everywhere) is not None:
                    self._job.hold(parent, self)

    def _fill(self, node: Node, kept: Kept, missing: Sequence[int]) -> None:
        """Compute what is kept and not there yet, if it is to be sent."""
        one_pass = kept.one_pass
        if isinstance(one_pass, OnePass):
            with _all_of([one_pass.lock(index) for index in sorted(missing)]):
                missing = [index for index in missing if not kept.has(index)]
                branches = one_pass.lacking(missing)
                ready = self._ready(one_pass.node, pass_over(branches), missing) if missing else None
                if ready is not None:
                    for index, found in zip(missing, self._sent(ready), strict=True):
                        put(kept, index, branches, found)
            return
        ready = self._ready(node, _all, missing, whole=True)
        if ready is None:
            return
        with _all_of([kept.lock(index) for index in sorted(missing)]):
            missing = [index for index in missing if not kept.has(index)]
            if missing:
                ready.partitions = missing
                for index, chunks in zip(missing, self._sent(ready), strict=True):
                    kept.put(index, chunks)

    def _sent(self, ready: Ready) -> list[Any]:
        action = ready.action
        sent: Action = _all if isinstance(action, OnDriver) else action
        cut, partitions = ready.cut, ready.partitions
        with noting_variables() as variables:
            program = program_of(cut.links, sent, cut.links[-1].site, self._crew.pickle)
        broadcasts = list(variables.broadcasts.values())
        outcomes = self._crew.run(Shipment(cut, program, partitions, broadcasts, self._crew.pickle))
        results: list[Any] = []
        for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error
            self._metrics.note_all(Metrics.of(outcome.figures))
            results.append(outcome.result)
        for outcome in outcomes:
            variables.add(outcome.added)
        if sent is action:
            return results
        # The action is for this process: it reads what has come back.
        readers = [SliceReader(chunks) for chunks in results]
        where = {partition: place for place, partition in enumerate(partitions)}
        back = Source(cut.links[-1].site, readers)
        count = cut.partitions

        def on_driver(task: Task, chunks: Iterator[Chunk]) -> Any:
            partition = partitions[task.partition]
            assert where[partition] == task.partition
            return action(Task(partition, count, task.metrics), chunks)

        return self._here(back, on_driver, range(len(readers)))


def _all(task: Task, chunks: Iterator[Chunk]) -> list[Chunk]:
    return list(chunks)


def _all_of(locks: Sequence[Any]) -> ExitStack:
    stack = ExitStack()
    for lock in locks:
        stack.enter_context(lock)
    return stack
