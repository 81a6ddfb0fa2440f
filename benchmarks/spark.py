"""What all workloads need of PySpark: a quiet context, the times of its batches, files that come one by one.

A batch counts with its processing time, from the start of its jobs to their end. So neither waiting for the
next interval counts, nor the start of the JVM, nor the first batches, in which Spark is several times as
slow as later on. CPU time and memory are those of the JVM and the Python workers together; CPU time is that
of the span of the counted batches, so what Spark does between batches is in it.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from pyspark import SparkConf, SparkContext
from pyspark.streaming import StreamingContext, StreamingListener

from benchmarks.engines import ROOT
from benchmarks.measure import Figures, batch_figures, cpu_seconds, peak_rss_mib

__all__ = ["Batches", "context", "file_by_file", "files_in_turn", "received", "stream", "timed_batches"]

_PATIENCE_S = 120


@contextmanager
def context(name: str, master: str = "local[*]") -> Iterator[SparkContext]:
    """A context, by default on all cores of this machine, without a web page and without words."""
    warnings.simplefilter("ignore")  # DStreams are deprecated, which is why we are here
    # Its workers are started by name, and shall be this Python, with the same modules to import.
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    conf = SparkConf().setMaster(master).setAppName(name)
    if master.startswith("spark://"):  # whose workers are not started by us, and know no variable of ours
        conf.setExecutorEnv("PYTHONPATH", os.environ["PYTHONPATH"])
        conf.set("spark.driver.host", "127.0.0.1").set("spark.driver.bindAddress", "127.0.0.1")
    conf.set("spark.ui.enabled", "false").set("spark.ui.showConsoleProgress", "false")
    sc = SparkContext(conf=conf)
    sc.setLogLevel("OFF")
    try:
        yield sc
    finally:
        sc.stop()


class Batch(NamedTuple):
    """What the listener tells of a batch: how long it took, whether files were read in it, how many records
    a receiver had for it."""

    seconds: float
    with_files: bool
    records: int


class Batches(StreamingListener):
    """The batches that are over."""

    def __init__(self) -> None:
        self.over: list[Batch] = []

    def onBatchCompleted(self, batchCompleted: Any) -> None:
        info = batchCompleted.batchInfo()
        inputs = [each.metadataDescription() for each in info.streamIdToInputInfo().values()]
        self.over.append(Batch(info.processingDelay() / 1000, any(inputs), info.numRecords()))


@contextmanager
def stream(name: str, interval_s: float, master: str = "local[*]") -> Iterator[tuple[Any, Batches]]:
    """A streaming context, stopped at the end."""
    with context(name, master) as sc:
        batches = Batches()
        ssc: Any = StreamingContext(sc, interval_s)  # type: ignore[arg-type]  # a float will do
        ssc.addStreamingListener(batches)
        try:
            yield ssc, batches
        finally:
            ssc.stop(stopSparkContext=False)


def timed_batches(ssc: Any, batches: Batches, warm_up: int, count: int) -> Figures:
    """Start; the figures of ``count`` batches after ``warm_up``, of a stream that always has input."""
    ssc.start()
    _wait(ssc, batches, lambda: len(batches.over) >= warm_up)
    before = cpu_seconds()
    _wait(ssc, batches, lambda: len(batches.over) >= warm_up + count)
    counted = batches.over[warm_up : warm_up + count]
    return {
        **batch_figures([batch.seconds for batch in counted]),
        "cpu_seconds": (cpu_seconds() - before) / len(counted),
        "peak_rss_mib": peak_rss_mib(),
    }


def file_by_file(
    ssc: Any,
    batches: Batches,
    interval_s: float,
    files: list[Path],
    inbox: Path,
    warm_up: int,
    all_files: int,
) -> Figures:
    """As :func:`files_in_turn`; the mean of the files after the first ``warm_up`` stands for each of
    ``all_files``."""
    counted, cpu = files_in_turn(ssc, batches, interval_s, files, inbox, warm_up)
    return {
        "seconds": statistics.fmean(counted) * all_files,
        "cpu_seconds": cpu * all_files,
        "peak_rss_mib": peak_rss_mib(),
        "counted_batches": len(counted),
    }


def files_in_turn(
    ssc: Any, batches: Batches, interval_s: float, files: list[Path], inbox: Path, warm_up: int
) -> tuple[list[float], float]:
    """Start, and move a copy of a file into ``inbox`` in the middle of each interval, so that every batch
    has one file: a batch without would cost nearly as much, and nobody asked for it. A file may come twice.

    The processing times of the files after the first ``warm_up``, and the CPU time of one of them.
    """
    cpu = 0.0
    ssc.start()
    for index, file in enumerate(files):
        making = inbox / ".making"
        shutil.copyfile(file, making)
        time.sleep(interval_s - (time.time() + interval_s / 2) % interval_s)
        os.utime(making)
        os.replace(making, inbox / f"{index:05d}-{file.name}")
        if index == warm_up:
            cpu = cpu_seconds()
    _wait(ssc, batches, lambda: sum(batch.with_files for batch in batches.over) == len(files))
    counted = [batch.seconds for batch in batches.over if batch.with_files][warm_up:]
    return counted, (cpu_seconds() - cpu) / len(counted)


def received(ssc: Any, batches: Batches, warm_up: int, go: Callable[[], None], records: int) -> Figures:
    """Start; ``go`` once so many records of a receiver were processed; the figures of the batches with the
    others, up to ``records`` in all."""
    ssc.start()
    _wait(ssc, batches, lambda: sum(batch.records for batch in batches.over) >= warm_up)
    before, first = cpu_seconds(), len(batches.over)
    go()
    _wait(ssc, batches, lambda: sum(batch.records for batch in batches.over) >= records)
    counted = [batch for batch in batches.over[first:] if batch.records]
    return {
        "seconds": sum(batch.seconds for batch in counted),
        "records": sum(batch.records for batch in counted),
        "cpu_seconds": cpu_seconds() - before,
        "peak_rss_mib": peak_rss_mib(),
        "counted_batches": len(counted),
    }


def _wait(ssc: Any, batches: Batches, done: Callable[[], bool]) -> None:
    over, since = len(batches.over), time.monotonic()
    while not done():
        if len(batches.over) > over:
            over, since = len(batches.over), time.monotonic()
        assert time.monotonic() - since < _PATIENCE_S, f"PySpark ended no batch for {_PATIENCE_S} s"
        ssc.awaitTerminationOrTimeout(0.05)  # raises what failed
