"""What the driver writes to a checkpoint, and what it finds there at the start."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from penstock.checkpoint import Checkpoint, Commit, Image, Plain, begin_record, intent_in
from penstock.dstream import Generation, StreamGraph, input_names, inputs_of, saved_of
from penstock.errors import ArgumentError, PenstockError
from penstock.sources import Intent
from penstock.times import BatchTime

__all__ = ["PROGRAM", "Recovery"]

PROGRAM = "program.pickle"
"""The name of the stored program in the checkpoint directory."""


class Recovery:
    """The checkpoint of a running graph. ``image`` is what was found of a run before, once its checkpoint was
    claimed by the name ``owner``; without one it begins anew. ``program`` is what to store beside it.

    The intake thread calls :meth:`planned`, the batch thread all else.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        graph: StreamGraph,
        generation: Generation,
        image: Image | None,
        *,
        owner: str,
        anew: bool,
        program: bytes | None,
    ) -> None:
        self._checkpoint = checkpoint
        self._graph = graph
        self._generation = generation
        self._run = graph.run.id
        self._image = image
        self._owner = owner
        self._anew = anew
        self._program = program
        self._names = {node.id: name for node, name in input_names(graph).items()}
        self._lock = threading.Lock()
        self._waiting: dict[int, tuple[Mapping[str, Intent], Mapping[str, Any] | None]] = {}
        self.last_ms = None if image is None else image.last_ms
        self.again: dict[BatchTime, dict[int, Intent]] = {}
        for node in graph.inputs:
            node.source.log_to(checkpoint.log_place(self._names[node.id], owner))
        if image is not None:
            self._restore(image)

    def _restore(self, image: Image) -> None:
        """Have the graph and its sources go on; what was planned and is not over is to be run ``again``."""
        self._generation.restore(image, self._checkpoint.trust)
        for node in self._graph.inputs:
            known = image.inputs.get(self._names[node.id])
            if known is not None and known.position is not None:
                taken = [
                    intent_in(each, self._checkpoint) for each in image.taken.get(self._names[node.id], ())
                ]
                position = Plain.read(known.position, self._checkpoint.trust)
                try:
                    node.source.restore(position, taken)
                except (LookupError, TypeError, ValueError, AttributeError) as error:
                    if known.operation == node.site.operation or isinstance(error, PenstockError):
                        raise
                    name = self._names[node.id]
                    raise ArgumentError(
                        f"the checkpoint's input {name} was {known.source} ({known.operation}), and "
                        f"{node.source.name} ({node.site.operation}) cannot go on from there. Hint: give it "
                        f"another name by .name(...), under which it begins anew."
                    ) from error
                node.source.resume(image.committed_ms, set(image.given_up))
        for time in sorted(image.planned):
            self.again[BatchTime(time)] = {
                node.id: node.source.again(
                    BatchTime(time), intent_in(image.planned[time][self._names[node.id]], self._checkpoint)
                )
                for node in self._graph.inputs
                if self._names[node.id] in image.planned[time]
            }

    def begin(self) -> None:
        """From here on the run is recorded. The sources are open."""
        if self._image is None:
            if self._anew:
                self._checkpoint.set_aside()
            self._checkpoint.claim(self._owner, alone=True)
        if self._program is None:
            self._checkpoint.discard(PROGRAM)
        else:
            self._checkpoint.store(PROGRAM, self._program)
        self._image = None
        inputs = inputs_of(self._graph, lambda node: Plain.write(node.source.position()))
        operators = {saved.name: saved.record for saved in saved_of(self._graph)}
        zero, interval = self._generation.zero_ms, self._graph.interval_ms
        self._checkpoint.begin(begin_record(self._run, interval, zero, operators, inputs))

    @property
    def wants_positions(self) -> bool:
        """Whether the next batch to be planned should come with the positions of the inputs."""
        return self._checkpoint.wants_positions

    def planned(self, time: BatchTime, intents: Mapping[int, Intent], with_positions: bool) -> None:
        """A batch has been planned; what belongs to it is written before it begins, or with a commit
        before."""
        positions = None
        if with_positions:
            positions = {self._names[node.id]: node.source.position() for node in self._graph.inputs}
        with self._lock:
            self._waiting[time] = {self._names[id]: intent for id, intent in intents.items()}, positions

    def write_intents(self) -> None:
        """Make durable what belongs to all batches that are planned."""
        self._write(None)

    def commit(self, commit: Commit) -> None:
        """A batch is over; that, and what belongs to those planned meanwhile, is one write."""
        self._write(commit)
        self._generation.was_saved()

    def _write(self, commit: Commit | None) -> None:
        with self._lock:
            waiting = dict(self._waiting)
        batches = [(time, *what) for time, what in sorted(waiting.items())]
        if commit is None:
            self._checkpoint.plan(batches)
        else:
            self._checkpoint.commit(commit, batches)
        with self._lock:
            for time in waiting:
                del self._waiting[time]

    def close(self) -> None:
        """Give the files back."""
        self._checkpoint.close()
