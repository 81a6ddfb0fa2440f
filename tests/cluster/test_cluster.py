"""The cluster of the test kit: it starts, runs plain PySpark, loses what is killed, and leaves nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.clock import SystemClock
from penstock.errors import ArgumentError, StateError, UnsupportedError
from penstock.testing import cluster as module
from penstock.testing.cluster import LocalCluster, spark_home
from penstock.testing.processes import processes_of

PATIENCE_S = 120

Start = Callable[..., subprocess.Popen[str]]


def program(text: str, *arguments: str) -> subprocess.Popen[str]:
    """A program in a process of its own, as a JVM belongs to a process; ``sc`` is there."""
    begin = """
        import json, os, sys
        from pyspark import SparkConf, SparkContext
        conf = SparkConf().setMaster(sys.argv[1]).setAppName("tests")
        conf.set("spark.ui.enabled", "false").set("spark.ui.showConsoleProgress", "false")
        sc = SparkContext(conf=conf)
        """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(begin) + textwrap.dedent(text), *arguments],
        env={**os.environ, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


@pytest.fixture
def start() -> Iterator[Start]:
    """As ``program``; what is still there at the end of the test is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(text: str, *arguments: str) -> subprocess.Popen[str]:
        started.append(program(text, *arguments))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_for(done: Callable[[], object], what: str) -> None:
    clock, pause = SystemClock(), threading.Event()
    end = clock.elapsed_ns() + PATIENCE_S * 10**9
    while not done():
        assert clock.elapsed_ns() < end, f"{what}: not within {PATIENCE_S} s"
        pause.wait(0.05)


def alive(pids: list[int]) -> list[int]:
    found = processes_of(*pids)
    return [process.pid for process in found if process.pid in pids]


JOB = """
    def pid_of(numbers):
        for number in numbers:
            yield number * 10, os.getpid(), os.environ.get("PYTHONPATH", "")

    tens, pids, paths = zip(*sc.parallelize(range(8), 8).mapPartitions(pid_of).collect())
    print(json.dumps([sorted(tens), sorted(set(pids)), sorted(set(paths))]), flush=True)
    sys.stdin.readline()
    print(json.dumps(sc.parallelize(range(8), 8).map(lambda n: n + 1).collect()), flush=True)
    sys.stdin.readline()
    sc.stop()
"""


def alive_workers(cluster: LocalCluster) -> list[int]:
    return [number for number, state in enumerate(cluster.worker_states()) if state == "ALIVE"]


def told(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go on\n")
    process.stdin.flush()


def test_a_plain_job_runs_in_the_workers(
    spark_cluster: LocalCluster, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/nowhere")  # for the program alone
    program = start(JOB, spark_cluster.url)
    tens, pids, paths = told(program)
    assert tens == [number * 10 for number in range(8)]
    assert set(pids) <= set(spark_cluster.python_workers())
    assert not any("/nowhere" in path for path in paths)
    executors = [spark_cluster.executors(number) for number in alive_workers(spark_cluster)]
    assert [len(of_worker) for of_worker in executors] == [1, 1]
    assert sorted(spark_cluster.executors()) == sorted(pid for of_worker in executors for pid in of_worker)
    assert len(spark_cluster.status()["activeapps"]) == 1
    go_on(program)
    assert told(program) == list(range(1, 9))
    go_on(program)
    assert program.wait(PATIENCE_S) == 0
    wait_for(lambda: not spark_cluster.executors(), "executors end with the program")


def test_a_killed_worker_is_dead_and_another_takes_its_place(spark_cluster: LocalCluster) -> None:
    first, second = alive_workers(spark_cluster)
    before = len(spark_cluster.processes())
    spark_cluster.kill_worker(second)
    assert spark_cluster.worker_states()[second] == "DEAD"
    assert alive_workers(spark_cluster) == [first]
    assert len(spark_cluster.processes()) == before - 1
    third = spark_cluster.start_worker()
    assert alive_workers(spark_cluster) == [first, third]


@pytest.mark.long
def test_a_program_goes_on_when_what_runs_it_is_killed(spark_cluster: LocalCluster, start: Start) -> None:
    program = start(JOB, spark_cluster.url)
    told(program)
    first, second = alive_workers(spark_cluster)
    executors = spark_cluster.executors()
    assert spark_cluster.kill_python_workers()
    [killed] = spark_cluster.kill_executors(first)
    assert alive(executors) == [pid for pid in executors if pid != killed]
    spark_cluster.kill_worker(second)
    assert alive(executors) == []
    go_on(program)
    assert told(program) == list(range(1, 9))

    third = spark_cluster.start_worker()
    wait_for(lambda: spark_cluster.executors(third), "the new worker gets an executor")
    go_on(program)
    assert program.wait(PATIENCE_S) == 0
    wait_for(lambda: not spark_cluster.executors(), "executors end with the program")


TELLS = """
import sys
from penstock.testing.cluster import LocalCluster
with LocalCluster(workers=1, memory_mb=512) as cluster:
    print(cluster.url, *(process.pid for process in cluster.processes()), flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(signal.SIGKILL, id="kill -9"),
        pytest.param(None, marks=pytest.mark.long, id="the end of the block"),
    ],
)
def test_nothing_outlives_the_process_that_made_a_cluster(
    end: signal.Signals | None, spark_cluster: LocalCluster, tmp_path: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", TELLS],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        url, *told = process.stdout.readline().split()
        pids = [int(pid) for pid in told]
        everything = [each.pid for each in processes_of(process.pid)]
        assert url.startswith("spark://127.0.0.1:")
        assert url != spark_cluster.url
        assert len(pids) == 2
        assert set(pids) < set(everything)  # the guard, and the process itself
        if end is not None:
            process.send_signal(end)
        process.communicate("end\n" if end is None else None)
    assert process.returncode == (0 if end is None else -end)
    wait_for(lambda: not alive(everything), "all processes end")
    assert end is not None or list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_the_command_says_how_to_use_it_and_ends_by_ctrl_c(spark_cluster: LocalCluster) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "penstock.testing.cluster", "--workers", "1", "--cores", "3"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        url = re.search(r"1 workers?: +(spark://127\.0\.0\.1:\d+)$", said)
        assert url, said
        everything = [each.pid for each in processes_of(process.pid)]
        assert len(everything) == 4  # the command, the guard, the master, the worker
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate()
    assert process.returncode == 0
    assert f"MASTER={url[1]} pyspark" in rest
    assert not alive(everything)


def test_it_is_refused_what_spark_would_refuse_later() -> None:
    with pytest.raises(ArgumentError, match="workers=0, cores=1, hosts=1: all must be 1 or more"):
        LocalCluster(workers=0)
    with pytest.raises(ArgumentError, match=r"memory_mb=100: .* Hint: 512 or more"):
        LocalCluster(memory_mb=100)


def test_a_cluster_that_does_not_start_shows_its_log_and_leaves_nothing(
    spark_cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(StateError, match=r"(?s)a master ended as soon as it began\n.*Too small maximum heap"):
        LocalCluster(environment={"SPARK_DAEMON_MEMORY": "1"})
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------ what is missing, and how to get it


@pytest.fixture
def java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Java that says it is number 17, alone on the path."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    program = tmp_path / "bin" / "java"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'openjdk version \"17.0.15\" 2025-04-15' >&2\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return program


@pytest.mark.parametrize(
    ("version", "there"),
    [("1.8.0_402", False), ("11.0.2", False), ("17", True), ("21.0.1", True), ("25-ea", True)],
)
def test_which_java_will_do(java: Path, version: str, there: bool) -> None:
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    if there:
        module._java()
    else:
        with pytest.raises(UnsupportedError, match=r"not run on .*/bin/java, which says: openjdk .* Hint:"):
            module._java()


def test_without_java_the_error_says_how_to_get_it(java: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(java.parent))
    with pytest.raises(UnsupportedError, match=r"none in JAVA_HOME=.*apt install default-jre-headless"):
        spark_home()
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setenv("PATH", str(java.parent.parent))
    with pytest.raises(UnsupportedError, match=r"there is none on the PATH\. Hint: Java 17 or newer"):
        spark_home()


def test_java_home_goes_before_the_path(java: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(java.parent.parent))
    monkeypatch.setenv("PATH", "")
    module._java()


def test_without_pyspark_the_error_says_how_to_get_it(java: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnsupportedError, match=r"needs PySpark\. Hint: pip install 'penstock\[spark\]'"):
        spark_home()


def test_a_pyspark_that_is_a_client_alone_is_told_from_a_whole_one(
    java: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "pyspark"
    package.mkdir()
    (package / "__init__.py").write_text("raise AssertionError('it shall not be imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "pyspark", raising=False)
    with pytest.raises(UnsupportedError, match="has no Spark in it"):
        spark_home()
    (package / "jars").mkdir()
    (package / "bin").mkdir()
    (package / "bin" / "spark-class").touch()
    assert spark_home() == package
