"""Stages of jobs as jobs of a Spark cluster: one task a partition, and what comes back is small or is moved
on by the driver."""

from __future__ import annotations

import weakref
from typing import Any

from penstock.encoding import travelling
from penstock.executors.remote import Crew, Outcome, Programs, Ready, Shipment, runs_python
from penstock.executors.spark.session import Session
from penstock.executors.spark.worker import RunTask
from penstock.plan import RangeReader, SliceReader
from penstock.rdd import Broadcast

__all__ = ["SparkCrew"]


class SparkCrew(Crew):
    """Sends what reads from outside of the driver, so that the cluster reads it; and of what the driver holds
    that which takes it long. ``always``: all of it."""

    def __init__(self, session: Session, *, always: bool = False) -> None:
        self._session = session
        self._always = always
        self._broadcasts: dict[int, Any] = {}  # ours by number, as Spark's

    def pickle(self, what: object) -> bytes:
        return travelling(what)

    def wants(self, ready: Ready) -> bool:
        readers = [
            reader for parts in ready.cut.inputs(ready.partitions[0]).values() for reader in parts.values()
        ]
        if any(not isinstance(reader, (SliceReader, RangeReader)) for reader in readers):
            return True
        return (self._always or not ready.takes_little) and runs_python(ready)

    def run(self, shipment: Shipment) -> list[Outcome]:
        broadcasts = {each.number: self._shared(each) for each in shipment.broadcasts}
        task = RunTask(Programs.digest(shipment.program), shipment.program, broadcasts)
        inputs = [(partition, shipment.inputs(partition)) for partition in shipment.partitions]
        found = self._session.run(task, inputs, str(shipment.site))
        return [Outcome.read(data) for data in found]

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
