"""The stages of one job, each computed here or sent to a crew."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from penstock.chunk import Chunk
from penstock.executors.jobs import LISTED, Cut, Job, Kept, OnePass, Stage, pass_over, put
from penstock.executors.remote.crew import Crew, Ready, Shipment
from penstock.executors.remote.tasks import program_of
from penstock.executors.remote.together import Batch, Grove
from penstock.plan import (
    ROWS,
    Deciding,
    Metrics,
    Node,
    OnDriver,
    SliceReader,
    Source,
    Task,
    Undone,
    records_in,
)
from penstock.rdd import Variables, noting_variables

__all__ = ["RemoteStages"]

Figures = Mapping[str, Mapping[Hashable, int]]
Action = Callable[[Task, Iterator[Chunk]], Any]


class RemoteStages:
    """Runs a function over partitions of nodes of one job, as :data:`Stage`; ``here`` is who computes what is
    not sent. ``note`` is told how many nanoseconds of computing these partitions of a node took elsewhere."""

    __slots__ = ("_batch_of", "_crew", "_here", "_job", "_metrics", "_note", "_takes_less")

    def __init__(
        self,
        job: Job,
        crew: Crew,
        here: Stage,
        metrics: Metrics,
        takes_less: Callable[[Node, Action, Sequence[int], int], bool],
        batch_of: Callable[[Node], Batch | None],
        note: Callable[[Node, Action, Sequence[int], int], None],
    ) -> None:
        self._job = job
        self._crew = crew
        self._here = here
        self._metrics = metrics
        self._takes_less = takes_less
        self._batch_of = batch_of
        self._note = note

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
        ready = Ready(cut, action, partitions, partial(self._takes_less, node, action, partitions), node)
        return ready if self._crew.wants(ready) else None

    def _hold_inputs(self, staying: Node) -> None:
        """Have what is read by a node that is computed here computed elsewhere, if that is worth it."""
        for parent in map(self._job.instead, staying.parents):
            everywhere = range(parent.partitions)
            if parent.stays_here:
                if not self._job.lies_ready(parent):
                    self._hold_inputs(parent)
            elif not self._job.is_given(parent, everywhere) and self._ready(parent, LISTED, everywhere):
                self._job.hold(parent, self)

    def _fill(self, node: Node, kept: Kept, missing: Sequence[int]) -> None:
        """Compute what is kept and not there yet, if it is to be sent."""
        batch = self._batch_of(node)
        if batch is not None:
            self._fill_batch(batch)
            missing = [index for index in missing if not kept.has(index)]
            if not missing:
                return
        one_pass = kept.one_pass
        if isinstance(one_pass, OnePass):
            with _all_of([one_pass.lock(index) for index in sorted(missing)]):
                missing = [index for index in missing if not kept.has(index)]
                branches = one_pass.lacking(missing)
                ready = self._ready(one_pass.node, pass_over(branches), missing) if missing else None
                if ready is not None:
                    for index, found in zip(missing, self._sent(ready), strict=True):
                        put(kept, index, branches, found, self._metrics)
            return
        ready = self._ready(node, LISTED, missing, whole=True)
        if ready is None:
            return
        with _all_of([kept.lock(index) for index in sorted(missing)]):
            missing = [index for index in missing if not kept.has(index)]
            if missing:
                ready.partitions = missing
                for index, chunks in zip(missing, self._sent(ready), strict=True):
                    kept.put(index, chunks)

    def _fill_batch(self, batch: Batch) -> None:
        """Compute together what several jobs read. What fails is left to the job that reads it, which says
        so."""
        with batch.lock:
            if batch.done:
                return
            batch.done = True
            with noting_variables() as variables:
                shipments = [self._shipment_of(grove, batch, variables) for grove in batch.groves]
            found_by_grove = self._crew.run_all(shipments)
            for grove, shipment, outcomes in zip(batch.groves, shipments, found_by_grove, strict=True):
                for index, outcome in enumerate(outcomes):
                    if outcome.error is not None:
                        continue
                    self._metrics.note_all(Metrics.of(_at_nodes(outcome.figures, shipment.nodes)))
                    variables.add(outcome.added)
                    for end, found in zip(grove.ends, outcome.result, strict=True):
                        if not isinstance(found, Exception) and not batch.kept[end].has(index):
                            self._metrics.note(ROWS, (end, index), records_in(found))
                            batch.kept[end].put(index, found)

    def _shipment_of(self, grove: Grove, batch: Batch, variables: Variables) -> Shipment:
        everywhere = range(grove.base.partitions)
        cut = Cut(self._job, grove.base, everywhere)
        program = program_of(cut.links, grove.action(), grove.base.site, self._crew.pickle)
        broadcasts = list(variables.broadcasts.values())
        return Shipment(cut, program, everywhere, broadcasts, self._crew.pickle, may_be_left=True)

    def chunks(self, node: Node, partition: int, most: int | None) -> Iterator[Chunk]:
        """The chunks of one partition, at least as many as hold the first ``most`` records."""
        ready = self._ready(node, _brought if most is None else First(most), [partition])
        if ready is None:
            yield from self._job.chunks(node, partition)
        else:
            yield from self._sent(ready)[0]

    def _sent(self, ready: Ready) -> list[Any]:
        action, sent, decision = ready.action, ready.action, None
        if isinstance(action, OnDriver):
            sent = LISTED if action.elsewhere is None else action.elsewhere()
        elif isinstance(action, Deciding):
            sent, decision = action.action, action.decision
        cut, partitions = ready.cut, ready.partitions
        with noting_variables() as variables:
            program = program_of(cut.links, sent, cut.links[-1].site, self._crew.pickle)
        broadcasts = list(variables.broadcasts.values())
        shipment = Shipment(
            cut,
            program,
            partitions,
            broadcasts,
            self._crew.pickle,
            decision,
            may_be_left=getattr(sent, "may_be_left", False),
        )
        outcomes = self._crew.run(shipment)
        results: list[Any] = []
        for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error
            self._metrics.note_all(Metrics.of(_at_nodes(outcome.figures, cut.nodes)))
            variables.add(outcome.added)
            results.append(outcome.result)
        self._note(ready.node, ready.action, partitions, sum(outcome.elapsed_ns for outcome in outcomes))
        if not isinstance(action, OnDriver):
            return results
        back = {
            place: SliceReader(result.chunks if isinstance(result, Undone) else result)
            for place, result in enumerate(results)
            if sent is LISTED or isinstance(result, Undone)
        }
        if not back:
            return results
        # The action is for this process: it reads what has come back.
        places = list(back)
        count = cut.partitions

        def on_driver(task: Task, chunks: Iterator[Chunk]) -> Any:
            partition = partitions[places[task.partition]]
            return action(Task(partition, count, task.metrics), chunks)

        source = Source(cut.links[-1].site, list(back.values()))
        for place, result in zip(places, self._here(source, on_driver, range(len(places))), strict=True):
            results[place] = result
        return results


class First:
    """As many chunks as hold the first records, as an action."""

    def __init__(self, most: int) -> None:
        self._most = most

    def __call__(self, task: Task, chunks: Iterator[Chunk]) -> list[Chunk]:
        found: list[Chunk] = []
        left = self._most
        for chunk in chunks:
            found.append(chunk if len(chunk) <= left else chunk.slice(0, left))
            left -= len(found[-1])
            if left <= 0:
                break
        return found


def _at_nodes(figures: Figures, nodes: Sequence[Node]) -> Figures:
    """The figures of a task, whose nodes are numbers on the way."""
    rows: dict[Hashable, int] = {}
    for place, figure in figures.get(ROWS, {}).items():
        assert isinstance(place, tuple)
        rows[nodes[place[0]], place[1]] = figure
    return {**figures, ROWS: rows}


def _brought(task: Task, chunks: Iterator[Chunk]) -> list[Chunk]:
    return list(chunks)


def _all_of(locks: Sequence[Any]) -> ExitStack:
    stack = ExitStack()
    for lock in locks:
        stack.enter_context(lock)
    return stack
