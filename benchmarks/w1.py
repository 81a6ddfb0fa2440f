"""W1: the brokerage dashboard on 500,000 orders, in 50 files of 10,000, one a batch.

Every engine reads and checks all lines, writes the figures of every batch and the malformed lines, and is
timed from its first call to the end of its stream, imports excluded; it begins cold. PySpark is the
exception: its JVM needs seconds to start and many batches to get warm, so its first files are not counted,
and the rest is scaled to all files (see ``benchmarks.spark``).
"""

from __future__ import annotations

import importlib
from pathlib import Path

from benchmarks.dashboard import application, loop, timed
from benchmarks.data import ORDERS, emptied, order_files
from benchmarks.measure import Figures
from benchmarks.workload import Workload

__all__ = ["workloads"]


def penstock(folder: Path) -> Figures:
    """The stream of ``penstock brokerage run``, without its screen."""
    for module in ("penstock", "penstock.brokerage.pipeline", "pyarrow.compute", "pyarrow.csv"):
        importlib.import_module(module)

    return timed(order_files(folder), folder / "w1-penstock", ORDERS, application)


def pyarrow_loop(folder: Path) -> Figures:
    """One thread, Arrow's kernels, no framework."""
    import pyarrow as pa

    from benchmarks.peers.arrow import sums_of

    pa.set_cpu_count(1)
    return timed(order_files(folder), folder / "w1-pyarrow-loop", ORDERS, lambda d, o: loop(d, o, sums_of))


def bytewax(folder: Path) -> Figures:
    """A dataflow of one worker, lines parsed in Python."""
    from benchmarks.peers.bytewax import run

    return timed(order_files(folder), folder / "w1-bytewax", ORDERS, run)


def pathway(folder: Path) -> Figures:
    """A commit a file, lines parsed in Python, sums by the engine."""
    from benchmarks.peers.pathway import run

    return timed(order_files(folder), folder / "w1-pathway", ORDERS, run)


def pyspark(folder: Path) -> Figures:
    """DStreams, lines parsed in Python."""
    from benchmarks.peers.spark_dstreams import run

    return run(order_files(folder), emptied(folder / "w1-pyspark"))


def pyspark_structured(folder: Path) -> Figures:
    """Structured Streaming: three queries side by side, all on the JVM."""
    from benchmarks.peers.spark_structured import run

    return run(order_files(folder), emptied(folder / "w1-pyspark-structured"))


def workloads(*, quick: bool) -> dict[str, Workload]:
    engines = {
        "penstock": penstock,
        "pyarrow-loop": pyarrow_loop,
        "bytewax": bytewax,
        "pathway": pathway,
        "pyspark": pyspark,
        "pyspark-structured": pyspark_structured,
    }
    unit = "wall time for 500,000 orders in 50 files"
    return {"W1": Workload(unit, "pyarrow-loop", engines, order_files)}
