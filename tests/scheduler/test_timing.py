"""Batches every 10 ms in real time, beside a process that does nothing but wait for the same moments.

Both run at the same time, so whatever else the machine does happens to both.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
INTERVAL_MS = 10
SLACK_MS = 2.0
WARM_UP = 100  # batches: the first ones still load code


def now_rss_kib() -> int:
    """The memory this process holds right now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def stream(seconds: float) -> dict[str, Any]:
    """Run batches with state and a window; by how much each began late, and the memory along the way."""
    from penstock import Context, StreamingContext
    from penstock.clock import SystemClock

    clock = SystemClock()
    times: list[int] = []
    late: list[float] = []
    rss: list[int] = []

    def total(values: list[int], state: int | None) -> int:
        return sum(values) + (state or 0)

    def begin(time: Any, rdd: Any) -> Any:
        now = clock.now_ns() / 1e6
        times.append(round(time.timestamp() * 1000))
        late.append(now - times[-1])
        if len(times) % 100 == 0:
            rss.append(now_rss_kib())
        return rdd

    with Context("local[2]", "timing") as sc:
        sc._checkpoint_directory = "unused"
        ssc = StreamingContext(sc, INTERVAL_MS / 1000)
        pairs = ssc.queueStream([], default=[("a", 1), ("b", 2)]).transform(begin)
        pairs.updateStateByKey(total, 1).foreachRDD(lambda rdd: rdd.collect())
        pairs.reduceByKeyAndWindow(lambda one, other: one + other, 0.1).foreachRDD(lambda rdd: rdd.collect())
        ssc.start()
        ssc.awaitTerminationOrTimeout(seconds)
        ssc.stop(stopSparkContext=False, stopGraceFully=True)
    return {"times": times, "late": late, "rss": rss}


def ticker(seconds: float) -> dict[str, Any]:
    """Wait for each moment, and note by how much it was missed."""
    import threading

    from penstock.clock import SystemClock

    clock, never = SystemClock(), threading.Event()
    late: list[float] = []
    moment = clock.now_ms() // INTERVAL_MS * INTERVAL_MS
    for _ in range(round(seconds * 1000 / INTERVAL_MS)):
        moment += INTERVAL_MS
        clock.wait_until(moment, never)
        late.append(clock.now_ns() / 1e6 - moment)
    return {"late": late}


def p99(late: list[float]) -> float:
    settled = sorted(late[WARM_UP:])
    return settled[int(0.99 * len(settled))]


def median(late: list[float]) -> float:
    return sorted(late)[len(late) // 2]


def drift_of(late: list[float]) -> float:
    """By how much the second half is later than the first."""
    half = len(late) // 2
    return median(late[half:]) - median(late[:half])


def side_by_side(seconds: float) -> tuple[dict[str, Any], dict[str, Any]]:
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", __name__, what, str(seconds)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for what in ("stream", "ticker")
    ]
    streamed, ticked = (json.loads(process.communicate(timeout=seconds + 60)[0]) for process in processes)
    return streamed, ticked


@pytest.mark.timing
@pytest.mark.parametrize("seconds", [5, pytest.param(60, marks=pytest.mark.long)])
def test_batches_keep_their_time(seconds: int) -> None:
    streamed, ticked = side_by_side(seconds)
    for _ in range(2):  # a hiccup of the machine may hit one of the two: what is slow is slow three times
        if p99(streamed["late"]) > p99(ticked["late"]) + SLACK_MS or abs(drift_of(streamed["late"])) >= 1:
            streamed, ticked = side_by_side(seconds)
    times, late, rss = streamed["times"], streamed["late"], streamed["rss"]

    steps = {after - before for before, after in itertools.pairwise(times)}
    assert steps == {INTERVAL_MS}, "a batch was skipped, or came twice"
    assert len(times) >= (seconds - 1) * 1000 / INTERVAL_MS

    drift = drift_of(late)
    assert abs(drift) < 1, f"lateness grows: by {drift} ms from the first half to the second"

    assert p99(late) <= p99(ticked["late"]) + SLACK_MS, (
        f"p99 lateness {p99(late):.2f} ms, of the empty ticker {p99(ticked['late']):.2f} ms"
    )

    settled = rss[len(rss) // 4 :]
    assert max(settled) - settled[0] < 2048, f"memory grows: {settled} KiB"


if __name__ == "__main__":
    print(json.dumps({"stream": stream, "ticker": ticker}[sys.argv[1]](float(sys.argv[2]))))
