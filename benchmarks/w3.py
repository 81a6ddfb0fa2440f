"""W3, the floor: one record a batch through map, reduceByKey and collect. Batches after a warm-up count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.measure import Figures, batch_figures, measured
from benchmarks.workload import Workload

__all__ = ["workloads"]

BATCHES = 2_000
WARM_UP = 200
SPARK_BATCHES = 60
SPARK_WARM_UP = 10
SPARK_INTERVAL_S = 0.5


def penstock(folder: Path) -> Figures:
    """A queue of RDDs, one a batch, as fast as it goes."""
    from benchmarks.streams import run_to_end
    from penstock import Context, StreamingContext

    with Context("local[*]", "W3") as sc:
        ssc = StreamingContext(sc, 0.01)
        _program(ssc.queueStream([sc.parallelize([("a", 1)]) for _ in range(BATCHES + WARM_UP)]))
        with measured() as whole:
            seconds = run_to_end(ssc)
    figures = batch_figures(seconds[WARM_UP:])
    return {**whole, **figures, "cpu_seconds": whole["cpu_seconds"] / len(seconds)}


def pyspark(folder: Path) -> Figures:
    """The same program on PySpark's DStreams, 60 batches of half a second."""
    from benchmarks.spark import stream, timed_batches

    with stream("W3", SPARK_INTERVAL_S) as (ssc, batches):
        more = 5  # a batch that comes before the stream is stopped shall not be an empty one
        _program(ssc.queueStream([[("a", 1)]] * (SPARK_WARM_UP + SPARK_BATCHES + more)))
        return timed_batches(ssc, batches, SPARK_WARM_UP, SPARK_BATCHES)


def _program(stream: Any) -> None:
    summed = stream.map(lambda pair: (pair[0], pair[1] + 1)).reduceByKey(lambda a, b: a + b)
    summed.foreachRDD(lambda rdd: rdd.collect() and None)


def workloads(*, quick: bool) -> dict[str, Workload]:
    engines = {"penstock": penstock, "pyspark": pyspark}
    return {"W3": Workload("median processing time of a batch", "penstock", engines)}
