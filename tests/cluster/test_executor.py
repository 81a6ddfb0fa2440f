"""Programs on a real Spark cluster mean what they mean on one machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from penstock import Context
from penstock.brokerage.generate import write_orders
from penstock.errors import ArgumentError, StateError, UnsupportedError, failure_of
from penstock.executors.spark import Session
from tests.executors.dashboard import figures


@dataclass(frozen=True)
class Trade:
    symbol: str
    volume: int


class Unlucky(Exception):
    """An exception of the program's own, with an argument that is no text."""


def trade_of(line: str) -> Trade:
    symbol, volume = line.split(",")
    return Trade(symbol, int(volume))


@pytest.fixture
def folder(tmp_path: Path) -> str:
    for number in range(3):
        lines = [f"S{index % 7},{number * 100 + index}\n" for index in range(100)]
        (tmp_path / f"{number}.csv").write_text("".join(lines))
    return str(tmp_path)


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tasks each job of the cluster had."""
    counted: list[int] = []
    run = Session.run

    def noting(self: Session, function: Any, inputs: Any, description: str, *more: Any) -> list[Any]:
        counted.append(len(inputs))
        return run(self, function, inputs, description, *more)

    monkeypatch.setattr(Session, "run", noting)
    return counted


def test_files_are_read_by_workers_and_sums_are_put_together(sc: Context, folder: str) -> None:
    host = sc.textFile(folder).map(lambda line: os.getpid())
    assert os.getpid() not in host.collect()
    sums = (
        sc.textFile(folder).map(trade_of).map(lambda t: (t.symbol, t.volume)).reduceByKey(lambda a, b: a + b)
    )
    assert sums.sortByKey().collect() == sorted(
        (f"S{key}", sum(n * 100 + i for n in range(3) for i in range(100) if i % 7 == key))
        for key in range(7)
    )


def test_classes_of_the_program_come_back_as_its_own(sc: Context, folder: str) -> None:
    first = sc.textFile(folder).map(trade_of).first()
    assert type(first) is Trade
    assert first == Trade("S0", 0)


def test_accumulators_and_broadcasts(sc: Context, folder: str) -> None:
    seen, names = sc.accumulator(0), sc.broadcast({"S1": "one"})

    def named(line: str) -> str | None:
        seen.add(1)
        return names.value.get(line.split(",")[0])

    assert (
        sc.textFile(folder).map(named).filter(bool).count() == sum(index % 7 == 1 for index in range(100)) * 3
    )
    assert seen.value == 300


def test_what_a_function_raises_arrives_as_it_is(sc: Context, folder: str) -> None:
    def picky(line: str) -> str:
        if line.endswith(",105"):
            raise Unlucky({"line": line})
        return line

    with pytest.raises(Unlucky) as raised:
        sc.textFile(folder).map(picky).collect()
    assert raised.value.args == ({"line": "S5,105"},)
    notes = " ".join(raised.value.__notes__)
    assert "on the host" in notes
    assert "at the record 'S5,105'" in notes
    failure = failure_of(raised.value)
    assert failure is not None
    assert failure.site is not None
    assert failure.site.file == __file__


def test_take_computes_one_partition(sc: Context, folder: str, jobs: list[int]) -> None:
    assert sc.textFile(folder).map(str.lower).take(2) == ["s0,0", "s1,1"]
    assert jobs == [1]


def test_what_cannot_be_sent_is_said_before_anything_runs(sc: Context, folder: str, jobs: list[int]) -> None:
    import threading

    lock = threading.Lock()
    with pytest.raises(
        UnsupportedError, match=r"map .*test_executor.py.*cannot be sent.*Hint: make connections"
    ):
        sc.textFile(folder).map(lambda line: (lock.locked(), line)).collect()
    with pytest.raises(UnsupportedError, match="holds a Context"):
        sc.textFile(folder).map(lambda line: sc.parallelize([line]).count()).collect()
    assert jobs == []


def test_a_handed_over_context_runs_on(spark: Any, folder: str) -> None:
    with Context(spark) as sc:
        assert sc.master == spark.master
        assert sc.defaultParallelism == 2
        assert sc.textFile(folder).count() == 300
    assert spark.parallelize([1, 2]).sum() == 3


def test_a_second_spark_context_is_refused(spark: Any) -> None:
    with pytest.raises(StateError, match=r"active SparkContext already.*Hint: hand it over"):
        Context(spark.master)


def test_a_batch_of_the_dashboard_is_one_job_and_writes_what_one_machine_writes(
    spark: Any, tmp_path: Path, jobs: list[int]
) -> None:
    orders = tmp_path / "orders"
    orders.mkdir()
    for number in range(4):
        write_orders(orders / f"{number}.txt", 2_000, seed=number, malformed=0.01)
    with Context("local[2]", "dashboard") as sc:
        here = figures(sc, orders, tmp_path / "here", 4)
    with Context(spark, "dashboard") as sc:
        there = figures(sc, orders, tmp_path / "there", 4)
    assert there == here
    assert len(here) == 5
    assert len(here["rejects"]) > 20
    assert jobs[-4:] == [1, 1, 1, 1]
    assert len(jobs) <= 5, "a first job may look around"


@pytest.mark.parametrize("master", ["sprak://a:1", "mesos://a:5050", "spark://nowhere", "local[0]"])
def test_masters_that_are_none(master: str) -> None:
    with pytest.raises(ArgumentError, match=r"is not understood. Hint: use local"):
        Context(master)


def test_without_pyspark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with pytest.raises(UnsupportedError, match=r"needs PySpark. Hint: pip install 'penstock\[spark\]'"):
        Context("spark://127.0.0.1:7077")


def test_a_session_of_spark_connect_is_refused() -> None:
    session = type("SparkSession", (), {"__module__": "pyspark.sql.connect.session"})()
    with pytest.raises(
        UnsupportedError, match=r"Spark Connect session has no RDDs.*Hint: SparkSession.builder"
    ):
        Context(session)


@pytest.fixture(autouse=True)
def no_context_stays() -> Iterator[None]:
    yield
    assert Context._active is None
