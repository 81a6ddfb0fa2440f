"""W3, the floor: one record a batch through map, reduceByKey and collect."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

BATCHES = 2_000
WARM_UP = 200


def penstock(folder: Path) -> dict[str, float]:
    """Processing time of a batch in ms, as the listener tells it."""
    from penstock import Context, StreamingContext, StreamingListener

    delays: list[float] = []

    class Delays(StreamingListener):
        def onBatchCompleted(self, batchCompleted: Any) -> None:
            delays.append(batchCompleted.batchInfo.processingDelay)

    with Context("local[*]", "W3") as sc:
        ssc = StreamingContext(sc, 0.01)
        ssc.addStreamingListener(Delays())
        stream = ssc.queueStream([sc.parallelize([("a", 1)]) for _ in range(BATCHES + WARM_UP)])
        summed = stream.map(lambda pair: (pair[0], pair[1] + 1)).reduceByKey(lambda a, b: a + b)
        summed.foreachRDD(lambda rdd: rdd.collect())
        ssc.start(availableNow=True)
        ssc.awaitTermination()
    return _figures(delays[WARM_UP:])


def pyspark(folder: Path) -> dict[str, float]:
    """The same program on PySpark's DStreams, 60 batches of half a second."""
    import warnings

    warnings.simplefilter("ignore")
    from pyspark import SparkConf, SparkContext
    from pyspark.streaming import StreamingContext, StreamingListener

    delays: list[float] = []

    class Delays(StreamingListener):
        def onBatchCompleted(self, batchCompleted: Any) -> None:
            delays.append(float(batchCompleted.batchInfo().processingDelay()))

    conf = SparkConf().setMaster("local[*]").setAppName("W3").set("spark.ui.enabled", "false")
    sc = SparkContext(conf=conf)
    sc.setLogLevel("OFF")
    ssc = StreamingContext(sc, 0.5)
    ssc.addStreamingListener(Delays())
    stream = ssc.queueStream([[("a", 1)]] * 70)
    summed = stream.map(lambda pair: (pair[0], pair[1] + 1)).reduceByKey(lambda a, b: a + b)
    summed.foreachRDD(lambda rdd: rdd.collect() and None)
    ssc.start()
    ssc.awaitTerminationOrTimeout(40)
    ssc.stop()
    return _figures(delays[10:70])


def _figures(delays: list[float]) -> dict[str, float]:
    ranked = sorted(delays)
    return {
        "seconds": statistics.median(ranked) / 1000,
        "p99_seconds": ranked[int(0.99 * len(ranked))] / 1000,
        "batches": len(ranked),
    }


ENGINES = {"penstock": penstock, "pyspark": pyspark}
BASE = "penstock"
UNIT = "median processing time of a batch"
