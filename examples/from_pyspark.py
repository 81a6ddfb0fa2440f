"""A PySpark program that was carried over: only its imports have changed.

Before, they were::

    from pyspark import SparkContext
    from pyspark.streaming import StreamingContext

Counts errors per host in log lines, for each batch, for the last three batches, and since the start.
"""

from __future__ import annotations

import tempfile

from penstock import SparkContext, StreamingContext


def main():
    sc = SparkContext("local[2]", "ErrorsPerHost")
    ssc = StreamingContext(sc, 1)
    ssc.checkpoint(tempfile.mkdtemp())

    logs = ssc.queueStream(
        [
            ["web1 ERROR timeout", "web2 INFO ok", "web1 INFO ok"],
            ["web2 ERROR disk full", "web1 ERROR timeout"],
            ["web2 INFO ok"],
            ["web1 INFO ok"],
        ]
    )
    errors = logs.map(lambda line: line.split(" ", 2)).filter(lambda fields: fields[1] == "ERROR")
    pairs = errors.map(lambda fields: (fields[0], 1))

    pairs.reduceByKey(lambda a, b: a + b).pprint()
    pairs.reduceByKeyAndWindow(lambda a, b: a + b, lambda a, b: a - b, 3, 1).pprint()

    def update(new_values, running_count):
        return sum(new_values) + (running_count or 0)

    pairs.updateStateByKey(update).pprint()

    ssc.start()
    ssc.awaitTerminationOrTimeout(5)  # long enough for the four batches
    ssc.stop(stopSparkContext=True, stopGraceFully=True)


if __name__ == "__main__":
    main()
