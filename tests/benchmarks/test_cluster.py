"""The workload on a cluster: which engines it has, and that PySpark does the same work there."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.dashboard import application, reports
from benchmarks.data import emptied, order_files
from benchmarks.engines import ROOT, peer_of
from benchmarks.runner import chosen_engines
from benchmarks.streams import Processing
from benchmarks.w9 import BATCHES, WARM_UP, dashboard, workloads
from penstock.testing.cluster import LocalCluster


def test_each_amount_has_the_same_engines_and_the_quick_ones_are_among_the_others() -> None:
    whole = workloads(quick=False)
    assert list(whole) == ["W9-orders-10000", "W9-orders-500000", "W9-keys-10000", "W9-keys-1000000"]
    for workload in whole.values():
        assert list(workload.engines) == ["penstock", "penstock-on-cluster", "pyspark"]
    assert {name: work.unit for name, work in workloads(quick=True).items()}.items() <= {
        name: work.unit for name, work in whole.items()
    }.items()


def test_penstock_on_a_cluster_is_left_out_by_name_as_long_as_it_does_not_run_there() -> None:
    assert peer_of("penstock-on-cluster").slow
    _, lines = chosen_engines(workloads(quick=True), None, peers=True)
    there = importlib.util.find_spec("penstock.executors.spark") and peer_of("pyspark").python()
    assert any("penstock-on-cluster is not installed. Hint: " in line for line in lines) == (not there)


def test_so_many_batches_count_and_the_files_are_taken_again_when_there_are_too_few(tmp_path: Path) -> None:
    few = sorted(order_files(tmp_path, 300, 100).iterdir())
    files = [few[number % 3] for number in range(WARM_UP + BATCHES)]
    figures = dashboard("local[2]", lambda folder: files, tmp_path)
    assert figures["batches"] == BATCHES
    assert figures["seconds"] > 0
    assert len(list(reports(tmp_path / "w9-penstock"))) == WARM_UP + BATCHES


def test_a_listener_is_told_of_the_applications_batches(tmp_path: Path) -> None:
    processing = Processing()
    application(order_files(tmp_path, 300, 100), emptied(tmp_path / "out"), listener=processing)
    assert len(processing.seconds) == 3


OVER_FILES = """
import json, sys
from pathlib import Path
from benchmarks.peers.spark_dstreams import batch_by_batch
directory, output, master = sys.argv[1:]
print(json.dumps(batch_by_batch(sorted(Path(directory).iterdir()), Path(output), 1, 5, master)))
"""


@pytest.mark.long
def test_pyspark_on_the_cluster_writes_what_penstock_writes(
    spark_cluster: LocalCluster, tmp_path: Path
) -> None:
    directory, output = order_files(tmp_path, 2_000, 500), emptied(tmp_path / "pyspark")
    done = subprocess.run(
        [sys.executable, "-c", OVER_FILES, str(directory), str(output), spark_cluster.url],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["batches"] == 3
    application(directory, emptied(tmp_path / "penstock"))
    for batch in output.glob("output-*"):
        if not (batch / "_SUCCESS").exists():  # one that has no file, and was cut short at the end
            shutil.rmtree(batch)
    found = [report for report in reports(output) if report.startswith(("('BUYS'", "('SELLS'"))]
    assert found == list(reports(tmp_path / "penstock"))
