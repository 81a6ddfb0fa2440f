"""A program that runs for a very long time holds no more, in memory and on disk, than after a little
while."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Iterator
from operator import add, sub
from pathlib import Path
from typing import Any

import pytest

from penstock import Conf, Context, StateSpec, StreamingContext
from penstock.clock import ManualClock
from penstock.errors import CallSite
from penstock.plan import Node, SliceReader, Source
from penstock.sources import Intent, StreamSource
from penstock.testing import Stepper
from penstock.times import BatchTime

_SHARED_MEMORY = Path("/dev/shm")


class Numbers(StreamSource):
    """A few pairs a batch, which follow from its time."""

    name = "numbers"
    recoverable = True

    def plan(self, time: BatchTime) -> Intent:
        return Intent((time,), 3)

    def node(self, intent: Intent, site: CallSite) -> Node:
        (time,) = intent.items
        second = time // 1000
        return Source(
            site, [SliceReader.of([(second % 7, 1), (second % 1_000, second), (-(second // 10), 1)])]
        )

    def position(self) -> Any:
        return None

    def restore(self, position: Any, taken: Any) -> None:
        return None


def last(key: int, value: int | None, state: Any) -> Any:
    if not state.isTimingOut():
        state.update(value)
    return key


@pytest.fixture
def directory() -> Iterator[Path]:
    """In memory where there is such a place: a hundred thousand synchronised writes are not the point
    here."""
    with tempfile.TemporaryDirectory(dir=_SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None) as folder:
        yield Path(folder)


def resident_kib() -> int:
    gc.collect()
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def soak(directory: Path, batches: int, samples: int) -> tuple[list[int], list[int], int]:
    """Memory (KiB) and bytes of the checkpoint at as many moments, and how many keys timed out."""
    conf = Conf().setMaster("local[1]").set("penstock.checkpoint.compactBytes", "256k")
    clock, memory, sizes = ManualClock(), [], []
    gone = 0

    def count(rdd: Any) -> None:
        nonlocal gone
        gone += rdd.count() - 3

    with Context(conf=conf) as sc:
        ssc = StreamingContext(sc, 1, clock=clock)
        pairs = ssc._input("numbers", Numbers())
        pairs.mapWithState(StateSpec.function(last).timeout(30)).foreachRDD(count)
        pairs.reduceByKeyAndWindow(add, 20, 1).foreachRDD(lambda rdd: rdd.count())
        pairs.reduceByKeyAndWindow(add, sub, 12, 3).foreachRDD(lambda rdd: rdd.count())
        totals = pairs.filter(lambda pair: 0 < pair[0] < 7)
        totals.updateStateByKey(lambda news, total: sum(news) + (total or 0)).foreachRDD(
            lambda rdd: rdd.count()
        )
        ssc.checkpoint(str(directory / "checkpoint"))
        with Stepper(ssc, clock) as stepper:
            for _ in range(samples):
                for _ in range(batches // samples):
                    stepper.step()
                memory.append(resident_kib())
                sizes.append(bytes_in(directory))
    return memory, sizes, gone


@pytest.mark.long(minutes=6)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc, as on Linux")
def test_a_hundred_thousand_batches(directory: Path) -> None:
    count = int(os.environ.get("PENSTOCK_SOAK", "100000"))
    memory, sizes, gone = soak(directory, count, 20)
    print("KiB", memory, "bytes", sizes)
    assert gone > count / 20
    assert max(memory[4:]) - memory[3] < 16_000, memory
    assert max(sizes[4:]) < 1.5 * max(sizes[:4]), sizes
