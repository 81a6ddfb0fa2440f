"""W6: what it costs to be able to go on after a crash.

``W6`` is W1, the brokerage dashboard on 500,000 orders in 50 files, with every batch recorded in a
checkpoint, beside the same program without. ``fdatasync`` is what the disk asks for so many durable writes:
as many appends to a file of zeros, each of the size that a batch's records have there, each forced to the
disk.

``W6-restart`` is the time from the first call of a new process, imports excluded, to the commit of its first
new batch, where the run before has left a million keys in ``mapWithState`` (quick: 100,000).
"""

from __future__ import annotations

import importlib
import os
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.dashboard import application, timed
from benchmarks.data import ORDERS, emptied, order_files
from benchmarks.measure import Figures, measured
from benchmarks.workload import Workload

__all__ = ["workloads"]

FILES = 50
RECORD_BYTES = 6_000
TOUCHED = 10_000


def unrecorded(folder: Path) -> Figures:
    """W1 as it is."""
    return _dashboard(folder, "w6-unrecorded", recorded=False)


def penstock(folder: Path) -> Figures:
    """W1 with ``ssc.checkpoint``."""
    return _dashboard(folder, "w6-penstock", recorded=True)


def _dashboard(folder: Path, name: str, *, recorded: bool) -> Figures:
    for module in (
        "penstock",
        "penstock.brokerage.pipeline",
        "pyarrow.compute",
        "pyarrow.csv",
        "cloudpickle",
    ):
        importlib.import_module(module)
    return timed(order_files(folder), folder / name, ORDERS, partial(application, recorded=recorded))


def fdatasync(folder: Path) -> Figures:
    """The disk alone."""
    path = emptied(folder / "w6-fdatasync") / "log"
    path.write_bytes(bytes(FILES * RECORD_BYTES))
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.fsync(descriptor)
        with measured() as figures:
            for batch in range(FILES):
                os.pwrite(descriptor, b"\1" * RECORD_BYTES, batch * RECORD_BYTES)
                os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
    return figures


def restart(keys: int, folder: Path) -> Figures:
    """A second life of a program, from its first call to its first commit."""
    from penstock import Context, StateSpec, StreamingContext

    directory = str(emptied(folder / "w6-restart") / "checkpoint")

    def life(batches: int) -> None:
        def setup() -> StreamingContext:
            ssc = StreamingContext(sc, 1)
            table = [((index * 7) % keys, float(index)) for index in range(TOUCHED)]
            news = [sc.parallelize([(key, float(key)) for key in range(keys)]), *[sc.parallelize(table)] * 5]
            totals = ssc.queueStream(news[:batches]).mapWithState(StateSpec.function(_add).numPartitions(2))
            totals.foreachRDD(lambda rdd: counted.append(rdd.count()))
            return ssc

        with Context("local[*]", "W6") as sc:
            ssc = StreamingContext.getOrCreate(directory, setup, upgrade=True)
            ssc.start(availableNow=True)
            ssc.awaitTermination()

    counted: list[int] = []
    life(1)
    with measured(records=keys) as figures:
        life(2)
    assert counted == [keys, TOUCHED], counted
    return figures


def _add(key: int, value: float, state: Any) -> float:
    total: float = (state.get() if state.exists() else 0.0) + value
    state.update(total)
    return total


def workloads(*, quick: bool) -> dict[str, Workload]:
    keys = 100_000 if quick else 1_000_000
    return {
        "W6": Workload(
            "wall time for 500,000 orders in 50 files",
            "unrecorded",
            {"unrecorded": unrecorded, "penstock": penstock, "fdatasync": fdatasync},
            prepare=order_files,
        ),
        "W6-restart": Workload(
            f"restart with {keys:,} keys, to the first new commit",
            "penstock",
            {"penstock": partial(restart, keys)},
        ),
    }
