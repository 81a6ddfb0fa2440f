"""Stages of jobs as jobs of a Spark cluster: one task a partition, and what comes back is small or is moved
on by the driver."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

from penstock.chunk import Chunk, Left
from penstock.encoding import travelling
from penstock.executors.remote import Crew, Outcome, Programs, Ready, Shipment, left_in, runs_python
from penstock.executors.spark.left import OnCluster
from penstock.executors.spark.session import Read, Session
from penstock.executors.spark.sizes import Sizes, hint_of
from penstock.executors.spark.worker import Given, LeavingTask, RunTask, TooLarge
from penstock.plan import PartitionReader, RangeReader, SliceReader
from penstock.rdd import Broadcast

__all__ = ["SparkCrew", "is_outside"]

_GENEROUS = 4
"""So many times its share of what is brought may a task send back that was not expected to."""
_SHARE_MIN = 64 * 1024

_WORTH_MS = 200
"""Work on what the driver holds that takes it less stays there: a job of the cluster takes as long."""


def is_outside(reader: PartitionReader) -> bool:
    """Whether records come from elsewhere than the driver's memory."""
    return reader.travels and not isinstance(reader, (SliceReader, RangeReader))


class SparkCrew(Crew):
    """Sends what reads from outside of the driver, so that the cluster reads it; and of what the driver holds
    that which takes it long. ``always``: all of it.

    Of a stage that gives more than ``most_bytes``, as far as it is known, the results stay on the cluster
    (see ``remote.leaving``), kept by the job that makes them. A stage that reads them is one job too, in
    which they are moved to the tasks that read them, unless each task reads what lies where it runs.
    """

    place = "the cluster"

    def __init__(self, session: Session, *, most_bytes: int, always: bool = False) -> None:
        self._session = session
        self._always = always
        self._most_bytes = most_bytes
        self._sizes = Sizes()
        self._numbers = itertools.count(1)
        self._broadcasts: dict[int, Any] = {}  # ours by number, as Spark's

    def pickle(self, what: object) -> bytes:
        return travelling(what)

    def wants(self, ready: Ready) -> bool:
        if ready.cut.reads_left:
            return True
        readers = [
            reader
            for parts in ready.cut.inputs(ready.partitions[0]).readers.values()
            for reader in parts.values()
        ]
        if ready.belongs_elsewhere or any(map(is_outside, readers)):
            return True
        return (self._always or not ready.takes_less_than(_WORTH_MS)) and runs_python(ready)

    def run(self, shipment: Shipment) -> list[Outcome]:
        return self.run_all([shipment])[0]

    def run_all(self, shipments: Sequence[Shipment]) -> list[list[Outcome]]:
        order = _Order(shipments)
        broadcasts = {each.number: self._shared(each) for each in order.broadcasts}
        stages = list(zip(shipments, order.hints, strict=True))
        leaves = any(
            shipment.may_be_left and self._sizes.may_exceed(shipment.lines, hint, self._most_bytes)
            for shipment, hint in stages
        )
        if not leaves:
            share = max(_SHARE_MIN, _GENEROUS * self._most_bytes // len(order.inputs))
            at_most = share if any(shipment.may_be_left for shipment in shipments) else None
            run = RunTask(order.programs, broadcasts, at_most)
            data = self._session.run(run, order.inputs, order.said, order.reads)
            outcomes = [Outcome.read(each) for each in data]
            leaves = any(isinstance(outcome.result, TooLarge) for outcome in outcomes)
        if leaves:
            number = next(self._numbers)
            share = self._most_bytes // len(order.inputs)
            task = LeavingTask(RunTask(order.programs, broadcasts), number, share)
            data, left = self._session.leave(task, order.inputs, order.said, order.reads, number)
            place = OnCluster(self._session, left, len(data))
            outcomes = [Outcome.read_at(place, each) for each in data]
        found = []
        for (shipment, hint), part in zip(stages, order.parts, strict=True):
            if shipment.may_be_left:
                nbytes = [_bytes_left(outcome.result) for outcome in outcomes[part]]
                total = sum(nbytes) + sum(map(len, data[part]))
                self._sizes.note(shipment.lines, hint, total, left=any(nbytes))
            found.append(outcomes[part])
        return found

    def _shared(self, broadcast: Broadcast) -> Any:
        known = self._broadcasts.get(broadcast.number)
        if known is None:
            known = self._session.broadcast(travelling(broadcast.value))
            self._broadcasts[broadcast.number] = known
            weakref.finalize(broadcast, self._give_up, broadcast.number)
        return known

    def _give_up(self, number: int) -> None:
        held = self._broadcasts.pop(number, None)
        if held is not None:
            held.unpersist()  # without waiting; Spark's own cleaner does the rest

    def close(self) -> None:
        self._broadcasts.clear()
        self._session.cancel()


class _Order:
    """What a job of the cluster is made of: the tasks of several stages, one stage after the other."""

    def __init__(self, shipments: Sequence[Shipment]) -> None:
        self.programs: dict[bytes, bytes] = {}
        self.broadcasts: list[Broadcast] = []
        self.inputs: list[Given] = []
        self.parts: list[slice] = []
        self.hints: list[int | None] = []
        self._reads: dict[int, Read] = {}
        self._places: list[OnCluster] = []  # held, so that what they have left is there until the job is over
        self.said = ", ".join(str(shipment.site) for shipment in shipments)
        for shipment in shipments:
            self._add(shipment)

    def _add(self, shipment: Shipment) -> None:
        digest = Programs.digest(shipment.program)
        self.programs[digest] = shipment.program
        self.broadcasts.extend(shipment.broadcasts)
        begin, hints = len(self.inputs), []
        for partition in shipment.partitions:
            readers = shipment.readers(partition)
            for left in left_in(readers):
                self._read(left, len(self.inputs))
            pickled = shipment.pickled(readers)
            hints.append(hint_of(readers, len(pickled)))
            self.inputs.append((digest, partition, pickled))
        self.parts.append(slice(begin, len(self.inputs)))
        known = [hint for hint in hints if hint is not None]
        self.hints.append(sum(known) if len(known) == len(hints) else None)

    def _read(self, left: Left, task: int) -> None:
        place = left.place
        assert isinstance(place, OnCluster), "left by another executor"
        read = self._reads.get(id(place))
        if read is None:
            read = self._reads[id(place)] = Read(place.left, place.partitions)
            self._places.append(place)
        read.add(left.key, task)

    @property
    def reads(self) -> list[Read]:
        """What was left by earlier jobs and is read by this one."""
        return list(self._reads.values())


def _bytes_left(result: Any) -> int:
    return sum(chunk.nbytes for chunk in _chunks_in(result) if isinstance(chunk, Left))


def _chunks_in(result: Any) -> Iterator[Chunk]:
    for each in result or ():
        if isinstance(each, Chunk):
            yield each
        elif isinstance(each, (list, tuple)):
            yield from _chunks_in(each)
