"""Batches every 10 ms for a minute (quick: ten seconds), beside a loop that only waits for the same moments.

The figure is the 99th percentile of lateness: how long after its batch time a batch is submitted.
"""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure import Figures, measured, p99
from benchmarks.workload import Workload

__all__ = ["workloads"]

INTERVAL_S = 0.01
SECONDS = 60
QUICK_SECONDS = 10


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
    other: float = json.loads(printed.strip().splitlines()[-1])["seconds"]
    return {**figures, **_lateness(late, figures), "beside_p99_seconds": other}


def empty_ticker(seconds: int, folder: Path) -> Figures:
    """A loop that waits for each moment on the same clock."""
    import threading

    from penstock.clock import SystemClock

    clock, never = SystemClock(), threading.Event()
    late: list[float] = []
    step = round(INTERVAL_S * 1000)
    with measured() as figures:
        moment = clock.now_ms() // step * step + step
        end = moment + seconds * 1000
        while moment < end:
            clock.wait_until(moment, never)
            late.append(clock.now_ns() / 1e6 - moment)
            moment += step
    return {**figures, **_lateness(late, figures)}


def _beside(seconds: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks", "--child", "ticker", "empty-ticker", "--folder", "."]
    quick = ["--quick"] if seconds == QUICK_SECONDS else []
    return subprocess.Popen([*command, *quick], stdout=subprocess.PIPE, text=True)


def _lateness(late: list[float], whole: Figures) -> Figures:
    """The figures of lateness, given in ms; CPU time becomes that of one batch."""
    ranked = sorted(late)
    half = len(late) // 2
    drift = statistics.median(late[half:]) - statistics.median(late[:half])
    return {
        "seconds": p99(ranked) / 1000,
        "median_seconds": statistics.median(ranked) / 1000,
        "drift_seconds": drift / 1000,
        "cpu_seconds": whole["cpu_seconds"] / len(ranked),
        "batches": len(ranked),
    }


def workloads(*, quick: bool) -> dict[str, Workload]:
    seconds = QUICK_SECONDS if quick else SECONDS
    engines = {"penstock": partial(penstock, seconds), "empty-ticker": partial(empty_ticker, seconds)}
    return {"ticker": Workload("p99 lateness", "empty-ticker", engines)}
