"""A batch of which all results stay on the cluster: what several outputs share is computed once, and what is
written is what one machine writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock import Context
from penstock.brokerage.generate import write_orders
from penstock.executors import LocalExecutor
from tests.executors.dashboard import figures
from tests.executors.fake_spark import FakeSpark, on_fake_spark

BATCHES = 3


@pytest.mark.parametrize("attempts", [1, 2])
def test_all_is_left_and_the_dashboard_is_the_same(attempts: int, tmp_path: Path) -> None:
    orders = tmp_path / "orders"
    orders.mkdir()
    for number in range(BATCHES):
        write_orders(orders / f"{number}.txt", 500, seed=number, malformed=0.02)
    spark = FakeSpark()
    spark.attempts = attempts
    with on_fake_spark(spark, most_bytes=0, inline_rows=1000) as sc:
        there = figures(sc, orders, tmp_path / "there", BATCHES)
    assert spark.ever_persisted >= BATCHES
    reads = [said for said, _ in spark.jobs if "textFileStream" in said]
    assert len(reads) == BATCHES, "a file is parsed once"
    with Context("local[2]") as sc:
        assert isinstance(sc._executor, LocalExecutor)
        here = figures(sc, orders, tmp_path / "here", BATCHES)
    assert there == here
    assert len(here) == BATCHES + 1
    assert here["rejects"]
