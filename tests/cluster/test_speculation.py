"""Attempts that run at a time, on a cluster of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from penstock import Conf, Context
from penstock.testing.cluster import LocalCluster
from tests.cluster.parts import written

SLOW = "slow"


@pytest.mark.long
@pytest.mark.usefixtures("spark_cluster")  # none where there can be none
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has more than one loopback address")
def test_a_task_that_runs_twice_at_a_time_writes_its_part_once(tmp_path: Path, words: list[str]) -> None:
    """Spark starts another attempt of what is slow, on another machine; both come to the end."""
    begun, first = tmp_path / "begun", tmp_path / "in" / "0.txt"
    begun.mkdir()
    first.write_text(f"{SLOW}\n{first.read_text()}")  # a line that one task alone has

    def slow_alone(word: str) -> str:
        if word == SLOW:
            import os
            import time

            (begun / str(os.getpid())).touch()
            deadline = time.monotonic() + 60
            while len(list(begun.iterdir())) < 2 and time.monotonic() < deadline:
                time.sleep(0.05)
        return word

    conf = Conf().set("penstock.local.inlineRows", 0).set("penstock.spark.bringBytes", 0)
    conf.set("spark.speculation", True).set("spark.speculation.interval", "50ms")
    conf.set("spark.speculation.quantile", 0.5).set("spark.speculation.multiplier", 1.1)
    conf.set("spark.speculation.minTaskRuntime", "50ms")
    conf.set("spark.driver.host", "127.0.0.1").set("spark.driver.bindAddress", "127.0.0.1")
    with LocalCluster(workers=2, hosts=2) as cluster, Context(cluster.url, "twice", conf=conf) as sc:
        sc.textFile(str(tmp_path / "in")).map(slow_alone).saveAsTextFile(str(tmp_path / "out"))
    assert len(list(begun.iterdir())) == 2
    assert written(tmp_path) == [SLOW, *words]
