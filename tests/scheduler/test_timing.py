"""Batches every 10 ms in real time, with state and a window: none is left out, and memory stays.

How late they begin is measured beside an empty ticker by ``python -m benchmarks ticker``.
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


def now_rss_kib() -> int:
    """The memory this process holds right now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def stream(seconds: float) -> dict[str, Any]:
    """Run batches with state and a window; their times, and the memory along the way."""
    from penstock import Conf, Context, StreamingContext

    times: list[int] = []
    rss: list[int] = []

    def total(values: list[int], state: int | None) -> int:
        return sum(values) + (state or 0)

    def begin(time: Any, rdd: Any) -> Any:
        times.append(round(time.timestamp() * 1000))
        if len(times) % 100 == 0:
            rss.append(now_rss_kib())
        return rdd

    # What the monitor remembers grows until it holds so many batches.
    conf = Conf().set("spark.streaming.ui.retainedBatches", "100")
    with Context("local[2]", "timing", conf=conf) as sc:
        sc._checkpoint_directory = "unused"
        ssc = StreamingContext(sc, INTERVAL_MS / 1000)
        pairs = ssc.queueStream([], default=[("a", 1), ("b", 2)]).transform(begin)
        pairs.updateStateByKey(total, 1).foreachRDD(lambda rdd: rdd.collect())
        pairs.reduceByKeyAndWindow(lambda one, other: one + other, 0.1).foreachRDD(lambda rdd: rdd.collect())
        ssc.start()
        ssc.awaitTerminationOrTimeout(seconds)
        ssc.stop(stopSparkContext=False, stopGraceFully=True)
    return {"times": times, "rss": rss}


@pytest.mark.timing
@pytest.mark.parametrize("seconds", [8, pytest.param(60, marks=pytest.mark.long)])
def test_no_batch_is_left_out_and_memory_stays(seconds: int) -> None:
    command = [sys.executable, "-m", __name__, str(seconds)]
    process = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=seconds + 60)
    streamed = json.loads(process.stdout)
    times, rss = streamed["times"], streamed["rss"]

    steps = {after - before for before, after in itertools.pairwise(times)}
    assert steps == {INTERVAL_MS}, "a batch was skipped, or came twice"
    assert len(times) >= (seconds - 1) * 1000 / INTERVAL_MS

    settled = rss[len(rss) // 2 :]  # by then the page of the stream is there, too
    assert max(settled) - settled[0] < 2048, f"memory grows: {settled} KiB"


if __name__ == "__main__":
    print(json.dumps(stream(float(sys.argv[1]))))
