"""What lies in memory but for some steps is looked at without a job, and nothing else shows of that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock import RDD, Context, StorageLevel
from penstock.chunk import rows_of
from penstock.errors import StateError, failure_of
from penstock.executors import LocalExecutor
from penstock.plan import ROWS, Metrics, counting_in

pytestmark = pytest.mark.in_process("it looks at whether the executor of this process makes a job")


@pytest.fixture
def sc() -> Iterator[Context]:
    with Context("local[2]", "lying") as made:
        yield made


def kept(sc: Context, records: list[Any], partitions: int = 3) -> RDD:
    """An RDD that is in memory already."""
    rdd = sc.parallelize(records, partitions).map(lambda record: record).cache()
    assert rdd.collect() == records
    return rdd


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Has an entry for each job that is made."""
    made: list[int] = []
    real = LocalExecutor._job
    monkeypatch.setattr(LocalExecutor, "_job", lambda self, metrics: (made.append(1), real(self, metrics))[1])
    return made


def test_steps_over_what_is_kept_need_no_job(sc: Context, jobs: list[int]) -> None:
    rdd = kept(sc, list(range(10)))
    jobs.clear()
    assert rdd.take(4) == [0, 1, 2, 3]
    assert rdd.map(lambda x: x * 2).filter(lambda x: x % 4 == 0).take(9) == [0, 4, 8, 12, 16]
    assert list(rdd.map(str).toLocalIterator()) == [str(x) for x in range(10)]
    assert rdd.map(lambda x: x).isEmpty() is False
    assert jobs == []


@pytest.mark.parametrize(
    "step",
    [
        lambda rdd: rdd.mapPartitions(iter),
        lambda rdd: rdd.flatMap(lambda x: [x]),
        lambda rdd: rdd.zipWithIndex().keys(),
        lambda rdd: rdd.sortBy(lambda x: x),
        lambda rdd: rdd.union(rdd),
        lambda rdd: rdd.map(lambda x: x).repartition(1),
    ],
)
def test_whatever_else_is_to_be_done_is_a_job(sc: Context, jobs: list[int], step: Any) -> None:
    rdd = kept(sc, list(range(10)))
    jobs.clear()
    assert sorted(step(rdd).take(10)) == list(range(10))
    assert jobs


def test_what_is_kept_only_in_part_is_a_job(sc: Context, jobs: list[int]) -> None:
    rdd = sc.parallelize(range(10), 5).map(lambda x: x + 1).cache()
    assert rdd.take(1) == [1]  # fills the first partition
    jobs.clear()
    assert rdd.map(lambda x: x).take(10) == list(range(1, 11))
    assert jobs
    jobs.clear()
    assert rdd.map(lambda x: x).take(10) == list(range(1, 11))
    assert jobs == []


def test_what_was_forgotten_or_replaced_is_a_job(sc: Context, jobs: list[int], tmp_path: Path) -> None:
    rdd = kept(sc, list(range(10)))
    rdd.unpersist()
    jobs.clear()
    assert rdd.map(lambda x: x).take(2) == [0, 1]
    assert jobs
    sc.setCheckpointDir(str(tmp_path))
    rdd = kept(sc, list(range(10)))
    rdd.checkpoint()
    assert rdd.map(lambda x: x).take(20) == list(range(10))  # and what was read is written
    assert rdd.isCheckpointed()
    jobs.clear()
    assert rdd.map(lambda x: x).take(20) == list(range(10))
    assert jobs


def test_a_function_that_changes_its_record_changes_no_kept_one(sc: Context) -> None:
    rdd = kept(sc, [[1], [2], [3]])

    def grown(record: list[int]) -> list[int]:
        record.append(0)
        return record

    for _ in range(2):
        assert rdd.map(grown).take(3) == [[1, 0], [2, 0], [3, 0]]
    taken = rdd.take(3)
    taken[0].append(9)
    assert rdd.take(3) == [[1], [2], [3]]


def test_a_failure_says_where(sc: Context) -> None:
    rdd = kept(sc, list(range(6)), 3)
    with pytest.raises(ZeroDivisionError) as caught:
        rdd.map(lambda x: 1 // (x - 3)).take(6)
    failure = failure_of(caught.value)
    assert failure is not None
    assert failure.site is not None
    assert (failure.site.operation, failure.partition, failure.record) == ("map", 1, "3")
    assert rdd.map(lambda x: 1 // (x - 3)).take(2) == [-1, -1], "who needs no more never meets it"


def test_what_is_read_to_its_end_is_counted(sc: Context) -> None:
    rdd = kept(sc, list(range(6)), 3)
    some = rdd.filter(lambda x: x != 1)
    metrics = Metrics()
    with counting_in(metrics):
        assert some.take(3) == [0, 2, 3]
    assert metrics.places(ROWS) == {(some.plan, 0): 1}, "nobody knows whether more comes behind the third"
    with counting_in(metrics):
        assert list(rows_of(sc.iterate(some.plan, [2]))) == [4, 5]
    assert metrics.places(ROWS) == {(some.plan, 0): 1, (some.plan, 2): 2}


@pytest.mark.parametrize("most", [1, 3, 4, 5, 9, 100])
def test_the_first_of_what_is_kept_are_copies(sc: Context, jobs: list[int], most: int) -> None:
    rdd = sc.parallelize([[x] for x in range(9)], 4).filter(lambda x: x != [4]).cache()
    assert sc.first_kept(rdd.plan, most) is None  # nothing is there yet
    wanted = rdd.collect()
    jobs.clear()
    taken = rdd.take(most)
    assert taken == wanted[:most] == sc.first_kept(rdd.plan, most)
    taken[0].append("changed")
    assert rdd.take(most) == wanted[:most]
    assert jobs == []


def test_the_first_of_what_is_kept_elsewhere_are_read(sc: Context, tmp_path: Path) -> None:
    on_disk = sc.parallelize(range(9), 3).persist(StorageLevel.DISK_ONLY)
    on_disk.count()
    partly = kept(sc, list(range(9)))
    partly.unpersist().cache()
    assert partly.take(1) == [0]  # which leaves the other partitions alone
    for rdd in (on_disk, partly):
        assert sc.first_kept(rdd.plan, 5) is None
        assert rdd.take(5) == [0, 1, 2, 3, 4]
    sc.setCheckpointDir(str(tmp_path))
    rdd = kept(sc, list(range(9)))
    rdd.checkpoint()
    assert rdd.take(100) == list(range(9))
    assert rdd.isCheckpointed()


def test_a_context_that_was_stopped_gives_nothing_that_is_kept() -> None:
    with Context("local[2]", "stopped") as sc:
        rdd = kept(sc, [1, 2])
    with pytest.raises(StateError, match="stopped"):
        rdd.take(1)
