"""Batches every 10 ms for a minute, beside a loop that does nothing but wait for the same moments.

The figure is the 99th percentile of lateness: how long after its batch time a batch is submitted.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SECONDS = 60
INTERVAL_S = 0.01


def penstock(folder: Path) -> dict[str, float]:
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

    command = [sys.executable, "-m", "benchmarks", "--child", "ticker", "empty-ticker"]
    beside = subprocess.Popen([*command, "--folder", str(folder)], stdout=subprocess.PIPE, text=True)
    with Context("local[*]", "ticker") as sc:
        ssc = StreamingContext(sc, INTERVAL_S)
        stream = ssc.queueStream([], default=[("a", 1)])
        summed = stream.map(lambda pair: (pair[0], pair[1] + 1)).reduceByKey(lambda a, b: a + b)
        summed.foreachRDD(note)
        ssc.start()
        ssc.awaitTerminationOrTimeout(SECONDS)
        ssc.stop(stopGraceFully=True)
    steps = {later - earlier for earlier, later in itertools.pairwise(times)}
    assert steps == {round(INTERVAL_S * 1000)}, f"batch times are not all 10 ms apart: {steps}"
    figures = _figures(late)
    printed, _ = beside.communicate()
    figures["beside_p99_seconds"] = json.loads(printed.strip().splitlines()[-1])["seconds"]
    return figures


def empty_ticker(folder: Path) -> dict[str, float]:
    """A loop that waits for each moment on the same clock."""
    import threading

    from penstock.clock import SystemClock

    clock, never = SystemClock(), threading.Event()
    late: list[float] = []
    step = round(INTERVAL_S * 1000)
    moment = clock.now_ms() // step * step + step
    end = moment + SECONDS * 1000
    while moment < end:
        clock.wait_until(moment, never)
        late.append(clock.now_ns() / 1e6 - moment)
        moment += step
    return _figures(late)


def _figures(late: list[float]) -> dict[str, float]:
    ranked = sorted(late)
    half = len(late) // 2
    drift = sorted(late[half:])[half // 2] - sorted(late[:half])[half // 2]
    return {
        "seconds": ranked[int(0.99 * len(ranked))] / 1000,
        "median_seconds": ranked[len(ranked) // 2] / 1000,
        "drift_seconds": drift / 1000,
        "batches": len(ranked),
    }


ENGINES = {"penstock": penstock, "empty-ticker": empty_ticker}
BASE = "empty-ticker"
UNIT = "p99 lateness"
