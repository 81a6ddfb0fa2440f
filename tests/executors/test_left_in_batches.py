"""A batch of which all results stay on the cluster: what several outputs share is computed once, and what is
written is what one machine writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from penstock import Context, StreamingContext
from penstock.brokerage.generate import write_orders
from penstock.brokerage.pipeline import figures_of
from penstock.clock import ManualClock
from penstock.executors import LocalExecutor
from penstock.testing import Stepper
from tests.executors.fake_spark import FakeSpark, on_fake_spark

BATCHES = 3


def figures(sc: Context, orders: Path, out: Path) -> dict[str, Any]:
    """The dashboard's report over so many files, one a batch, and the rejected lines."""
    clock = ManualClock()
    sc.setCheckpointDir(str(out / "rdds"))
    ssc = StreamingContext(sc, 1, clock=clock)
    lines = ssc.textFileStream(str(orders), newFilesOnly=False, maxFilesPerBatch=1)
    found = figures_of(lines, 3.0)
    rejects: list[Any] = []
    found.rejects.foreachRDD(lambda rdd: rejects.extend(rdd.collect()))
    found.report.saveAsTextFiles(str(out / "figures"), "txt")
    with Stepper(ssc, clock) as stepper:
        for _ in range(BATCHES):
            stepper.step()
    report: dict[str, Any] = {
        path.name: b"".join(part.read_bytes() for part in sorted(path.glob("part-*")))
        for path in sorted(out.glob("figures-*.txt"))
    }
    report["rejects"] = [(Path(reject.source).name, reject.number, reject.text) for reject in rejects]
    return report


@pytest.mark.parametrize("attempts", [1, 2])
def test_all_is_left_and_the_dashboard_is_the_same(attempts: int, tmp_path: Path) -> None:
    orders = tmp_path / "orders"
    orders.mkdir()
    for number in range(BATCHES):
        write_orders(orders / f"{number}.txt", 500, seed=number, malformed=0.02)
    spark = FakeSpark()
    spark.attempts = attempts
    with on_fake_spark(spark, most_bytes=0, inline_rows=1000) as sc:
        there = figures(sc, orders, tmp_path / "there")
    assert spark.ever_persisted >= BATCHES
    reads = [said for said, _ in spark.jobs if "textFileStream" in said]
    assert len(reads) == BATCHES, "a file is parsed once"
    with Context("local[2]") as sc:
        assert isinstance(sc._executor, LocalExecutor)
        here = figures(sc, orders, tmp_path / "here")
    assert there == here
    assert len(here) == BATCHES + 1
    assert here["rejects"]
