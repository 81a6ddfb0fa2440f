"""Batches every 10 ms for a minute (quick: ten seconds), beside a loop that only waits for the same moments.

The figure is the 99th percentile of lateness: how long after its batch time a batch is submitted.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure import Figures, measured
from benchmarks.workload import Workload

__all__ = ["workloads"]

INTERVAL_S = 0.01


def penstock(seconds: int, folder: Path) -> Figures:
    """A stream of one record a batch, while the empty ticker runs in a process of its own beside it."""
    from penstock import Context, StreamingContext
    from penstock.clock import SystemClock

    late: list[float] = []
    times: list[int] = []
    clock = SystemClock()

    def note(moment: Any, rdd: Any) -> None:
        time = round(moment.timestamp() * 1000)
        late.append(clock.now_ns() / 1e6 - time)
        times.append(time)
        rdd.collect()

    with Context("local[*]", "ticker") as sc:
        ssc = StreamingContext(sc, INTERVAL_S)
        stream = ssc.queueStream([], default=[("a", 1)])
        summed = stream.map(lambda pair: (pair[0], pair[1] + 1)).reduceByKey(lambda a, b: a + b)
        summed.foreachRDD(note)
        beside = _beside(seconds)
        with measured() as figures:
            ssc.start()
            ssc.awaitTerminationOrTimeout(seconds)
            ssc.stop(stopGraceFully=True)
    steps = {later - earlier for earlier, later in itertools.pairwise(times)}
    assert steps == {round(INTERVAL_S * 1000)}, f"batch times are not all 10 ms apart: {steps}"
    printed, _ = beside.communicate()
    other: float = json.loads(printed)["seconds"]
    return {**figures, **_lateness(late, figures), "beside_p99_seconds": other}
