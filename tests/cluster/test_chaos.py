"""The dashboard on a cluster, of which everything is killed now and then, loses no order and counts none
twice."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from penstock.brokerage.generate import write_orders
from penstock.testing.cluster import LocalCluster
from tests.brokerage.test_kill import check, committed, fed, started, taken

PATIENCE_S = 300
# A batch of the cluster takes some tenths of a second, on a busy machine more.
INTERVAL_MS, PAUSE_S = 1000, 0.1


@pytest.fixture
def cluster(spark_cluster: LocalCluster) -> Iterator[LocalCluster]:
    """One of its own, whose master never gives an application up; none where there can be none."""
    options = "-Dspark.deploy.maxExecutorRetries=-1 -Dspark.master.rest.enabled=false"
    with LocalCluster(environment={"SPARK_MASTER_OPTS": options}) as cluster:
        yield cluster


def run(folder: Path, cluster: LocalCluster, kills: int, seed: int) -> None:
    """Feed the program, kill so often, let it take what is there and stop."""
    chance = random.Random(seed)
    write_orders(folder / "orders.txt", 20_000, seed=3, malformed=0.01)
    (folder / "in").mkdir()
    with open(folder / "log.txt", "wb") as log:
        process = start(folder, log, cluster)
        try:
            wait_for_batches(folder, 1, process)
            with fed(folder, PAUSE_S) as feeder:
                for _ in range(kills):
                    before = committed(folder)
                    time.sleep(chance.uniform(0.2, 1.5))
                    if kill_something(cluster, process, chance):
                        process = start(folder, log, cluster)
                    wait_for_batches(folder, before + 1, process)
                feeder.end()
                names = set(feeder.names)
            deadline = time.monotonic() + PATIENCE_S
            while taken(folder).keys() < names:
                assert process.poll() is None, end_of_log(folder)
                assert time.monotonic() < deadline, f"not taken: {sorted(names - taken(folder).keys())}"
                time.sleep(1)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_S)


def start(folder: Path, log: BinaryIO, cluster: LocalCluster) -> subprocess.Popen[bytes]:
    return started(folder, log, "--master", cluster.url, interval_ms=INTERVAL_MS)


def kill_something(cluster: LocalCluster, process: subprocess.Popen[bytes], chance: random.Random) -> bool:
    """An executor, a Python worker, a worker with all of its executors, which another one replaces, or the
    program itself: whether it was that."""
    what = chance.choice(["executor", "python", "worker", "program"])
    if what == "program":
        process.kill()
        process.wait()
    elif what == "executor":
        cluster.kill_executors(chance.choice([0, 1, None]))
    elif what == "python":
        cluster.kill_python_workers()
    else:
        states = cluster.worker_states()
        alive = [index for index, state in enumerate(states) if state == "ALIVE"]
        cluster.start_worker()
        cluster.kill_worker(chance.choice(alive))
    return what == "program"


def wait_for_batches(folder: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while committed(folder) < count:
        assert process.poll() is None, end_of_log(folder)
        assert time.monotonic() < deadline, f"no batch was completed\n{end_of_log(folder)}"
        time.sleep(0.1)


def end_of_log(folder: Path) -> str:
    return (folder / "log.txt").read_text("utf-8", "replace")[-3000:]


@pytest.mark.long(minutes=6)
def test_killed_twenty_times_on_a_cluster(tmp_path: Path, cluster: LocalCluster) -> None:
    run(tmp_path, cluster, 20, seed=5)
    check(tmp_path, INTERVAL_MS)
