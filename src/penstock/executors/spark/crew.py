"""Stages of jobs as jobs of a Spark cluster: one task a partition, and what comes back is small or is moved
on by the driver."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

from penstock.encoding import travelling
from penstock.executors.remote import Crew, Outcome, Programs, Ready, Shipment, runs_python
from penstock.executors.spark.session import Session
from penstock.executors.spark.worker import RunTask
from penstock.plan import PartitionReader, RangeReader, SliceReader
from penstock.rdd import Broadcast

__all__ = ["SparkCrew", "is_outside"]

_WORTH_MS = 200
"""Work on what the driver holds that takes it less stays there: a job of the cluster takes as long."""


def is_outside(reader: PartitionReader) -> bool:
    """Whether records come from elsewhere than the driver's memory."""
    return reader.travels and not isinstance(reader, (SliceReader, RangeReader))


class SparkCrew(Crew):
    """Sends what reads from outside of the driver, so that the cluster reads it; and of what the driver holds
    that which takes it long. ``always``: all of it."""

    place = "the cluster"

    def __init__(self, session: Session, *, always: bool = False) -> None:
        self._session = session
        self._always = always
        self._broadcasts: dict[int, Any] = {}  # ours by number, as Spark's

    def pickle(self, what: object) -> bytes:
        return travelling(what)

    def wants(self, ready: Ready) -> bool:
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
        programs: dict[bytes, bytes] = {}
        broadcasts: dict[int, Any] = {}
        inputs: list[tuple[bytes, int, bytes]] = []
        for shipment in shipments:
            digest = Programs.digest(shipment.program)
            programs[digest] = shipment.program
            broadcasts.update((each.number, self._shared(each)) for each in shipment.broadcasts)
            inputs.extend((digest, index, shipment.inputs(index)) for index in shipment.partitions)
        said = ", ".join(str(shipment.site) for shipment in shipments)
        found = iter(self._session.run(RunTask(programs, broadcasts), inputs, said))
        return [[Outcome.read(next(found)) for _ in shipment.partitions] for shipment in shipments]

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
