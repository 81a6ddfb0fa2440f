"""Results that stay on the cluster: the same records as local, whatever is lost, and none on the driver."""

from __future__ import annotations

import gc
import gzip
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock import RDD, Context, StorageLevel
from penstock.errors import StateError
from penstock.executors import LocalExecutor
from penstock.executors.spark.left import OnCluster
from tests.executors.fake_spark import FakeSpark, on_fake_spark

PATIENCE_S = 10.0


@pytest.fixture
def spark() -> FakeSpark:
    return FakeSpark()


@pytest.fixture
def cluster(spark: FakeSpark) -> Iterator[Context]:
    with on_fake_spark(spark, most_bytes=0) as context:
        yield context


Here = Callable[[Callable[[], Any]], Any]


@pytest.fixture
def here(cluster: Context) -> Here:
    """What comes of something on the threads of this process."""

    def run(compute: Callable[[], Any]) -> Any:
        before, cluster._executor = cluster._executor, LocalExecutor(2, 0)
        try:
            return compute()
        finally:
            cluster._executor.close()
            cluster._executor = before

    return run


@pytest.fixture
def nothing_is_brought(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: OnCluster, keys: Any) -> Any:
        raise AssertionError(f"{len(keys)} results were brought to the driver")

    monkeypatch.setattr(OnCluster, "pieces", refuse)


@pytest.fixture
def files(tmp_path: Path, seed: int) -> str:
    """Lines ``word,number`` in several files, one of them empty and one compressed."""
    draw = random.Random(seed)
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(3):
        lines = [f"{draw.choice('abcdefg')}{draw.randrange(30)},{draw.randrange(1000)}" for _ in range(200)]
        text = "".join(f"{line}\n" for line in lines).encode()
        (folder / f"{number}.txt").write_bytes(b"" if number == 1 else text)
        if number == 2:
            (folder / "2.txt.gz").write_bytes(gzip.compress(text))
    return str(folder)


def pairs(sc: Context, path: str) -> RDD[Any]:
    def parsed(line: str) -> tuple[str, int]:
        word, number = line.split(",")
        return word, int(number)

    return sc.textFile(path).map(parsed)


def listed(pair: Any) -> Any:
    key, values = pair
    return key, [list(each) for each in values] if isinstance(values, tuple) else list(values)


PROGRAMS: dict[str, Callable[[RDD[Any]], RDD[Any]]] = {
    "sortByKey": lambda rdd: rdd.sortByKey(numPartitions=3),
    "sortBy down": lambda rdd: rdd.sortBy(lambda pair: (pair[1], pair[0]), ascending=False),
    "groupByKey": lambda rdd: rdd.groupByKey(4).map(listed),
    "reduceByKey": lambda rdd: rdd.reduceByKey(lambda a, b: a + b, 3),
    "join": lambda rdd: rdd.join(rdd.mapValues(lambda value: -value), 3),
    "leftOuterJoin": lambda rdd: rdd.leftOuterJoin(rdd.filter(lambda pair: pair[1] > 500)),
    "cogroup": lambda rdd: rdd.cogroup(rdd.filter(lambda pair: pair[1] % 2), numPartitions=2).map(listed),
    "repartition": lambda rdd: rdd.repartition(5),
    "coalesce": lambda rdd: rdd.repartition(5).coalesce(2),
    "zipWithIndex": lambda rdd: rdd.zipWithIndex(),
    "distinct": lambda rdd: rdd.distinct(3),
    "of two shuffles": lambda rdd: (
        rdd.reduceByKey(lambda a, b: a + b, 3).map(lambda p: (p[1] % 7, p[0])).groupByKey().map(listed)
    ),
    "sorted and numbered": lambda rdd: (
        rdd.sortBy(lambda pair: pair[1]).zipWithIndex().map(lambda p: (p[1], p[0]))
    ),
    "union with itself": lambda rdd: rdd.repartition(3).union(rdd.repartition(2)).mapValues(str),
    "cartesian": lambda rdd: (
        rdd.filter(lambda p: p[1] < 60).repartition(2).cartesian(rdd.filter(lambda p: p[1] > 950))
    ),
    "aggregateByKey": lambda rdd: rdd.aggregateByKey([], lambda a, v: [*a, v], lambda a, b: a + b, 3),
    "columns": lambda rdd: rdd.mapValues(lambda value: value * 2).filter(lambda pair: pair[1] > 4),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_records_are_those_of_local_and_none_is_on_the_driver(
    name: str, cluster: Context, here: Here, files: str, nothing_is_brought: None
) -> None:
    program = PROGRAMS[name]
    expected = here(lambda: program(pairs(cluster, files)).glom().collect())
    assert program(pairs(cluster, files)).glom().collect() == expected


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_task_done_twice_and_all_blocks_lost_in_between(
    name: str, cluster: Context, here: Here, files: str, spark: FakeSpark, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = PROGRAMS[name]
    spark.attempts = 2
    lost = 0
    real = FakeSpark.runJob

    def losing(self: FakeSpark, *given: Any) -> Any:
        nonlocal lost
        lost += self.lose()
        return real(self, *given)

    monkeypatch.setattr(FakeSpark, "runJob", losing)
    expected = here(lambda: program(pairs(cluster, files)).glom().collect())
    assert program(pairs(cluster, files)).glom().collect() == expected
    assert spark.repeated
    assert lost or name == "columns"


def test_a_job_is_one_stage_or_two(cluster: Context, files: str, spark: FakeSpark) -> None:
    spark.jobs.clear()
    assert pairs(cluster, files).sortBy(lambda pair: pair[1]).count() == 600
    # computed and left; looked at; split and left, each where it lies; brought together
    assert [stages for _, stages in spark.jobs] == [1, 1, 1, 2]
    spark.jobs.clear()
    assert pairs(cluster, files).groupByKey().count()
    assert [stages for _, stages in spark.jobs] == [1, 2]


def test_few_large_pieces_are_moved(cluster: Context, files: str, spark: FakeSpark) -> None:
    parts = pairs(cluster, files).getNumPartitions()
    assert pairs(cluster, files).repartition(2).count() == 600
    assert spark.moved <= parts * 2 + 2


def test_what_is_small_is_one_stage_and_comes_to_the_driver(spark: FakeSpark, files: str) -> None:
    with on_fake_spark(spark, most_bytes=32 * 1024**2, inline_rows=1000) as sc:
        (Path(files) / "2.txt.gz").unlink()
        assert pairs(sc, files).reduceByKey(lambda a, b: a + b).count()
        assert [stages for _, stages in spark.jobs] == [1]
        assert not spark.persisted


def test_what_is_not_known_is_left_once(spark: FakeSpark, files: str) -> None:
    """Nobody knows how large what is compressed is; after the first time it is known."""
    with on_fake_spark(spark, most_bytes=32 * 1024**2, inline_rows=1000) as sc:
        for kept in (1, 0):
            spark.jobs.clear()
            left = spark.ever_persisted
            assert pairs(sc, files).reduceByKey(lambda a, b: a + b).count()
            assert len(spark.jobs) == 1  # it is so little that it comes to the driver, the first time too
            assert spark.ever_persisted == left + kept


def test_more_than_was_expected_is_left_after_all(
    spark: FakeSpark, files: str, nothing_is_brought: None
) -> None:
    with on_fake_spark(spark, most_bytes=100_000) as sc:
        (Path(files) / "2.txt.gz").unlink()
        added = sc.accumulator(0)

        def many(pair: Any) -> list[Any]:
            added.add(1)
            return [(pair, random.Random(str(pair)).randbytes(2000)) for _ in range(3)]

        for expected in (3, 2):  # in vain, and left; the second time it is left at once
            spark.jobs.clear()
            added.value = 0
            assert pairs(sc, files).flatMap(many).repartition(3).count() == 1200
            assert len(spark.jobs) == expected
            assert added.value == 400, "what was computed in vain counts for nothing"


def test_what_nobody_holds_any_more_is_given_up(cluster: Context, files: str, spark: FakeSpark) -> None:
    rdd = pairs(cluster, files).map(lambda pair: pair).cache()
    assert rdd.repartition(3).count() == 600
    gc.collect()
    for _ in range(1):  # the shuffle's
        assert spark.given_up.acquire(timeout=PATIENCE_S)
    assert len(spark.persisted) == 1
    assert rdd.count() == 600
    rdd.unpersist()
    gc.collect()
    assert spark.given_up.acquire(timeout=PATIENCE_S)
    assert not spark.persisted


@pytest.mark.parametrize("level", [StorageLevel.MEMORY_ONLY, StorageLevel.DISK_ONLY])
def test_what_is_kept_stays_and_is_computed_once(
    level: StorageLevel,
    cluster: Context,
    here: Here,
    files: str,
    spark: FakeSpark,
    nothing_is_brought: None,
) -> None:
    calls = cluster.accumulator(0)

    def counted(pair: Any) -> Any:
        calls.add(1)
        return pair

    rdd = pairs(cluster, files).map(counted).persist(level)
    expected = here(lambda: pairs(cluster, files).collect())
    assert rdd.collect() == expected
    assert calls.value == 600
    assert rdd.sortByKey().collect() == here(lambda: pairs(cluster, files).sortByKey().collect())
    spark.lose(0)
    assert rdd.map(lambda pair: pair[1]).sum() == sum(value for _, value in expected)
    assert rdd.first() == expected[0]
    assert list(rdd.toLocalIterator()) == expected
    assert calls.value == 600, "what is lost is computed again, but counts once"


def test_the_driver_reads_what_was_left(cluster: Context, files: str, spark: FakeSpark) -> None:
    """What can only be done there."""
    from penstock.plan import OnDriver

    here: list[Any] = []
    rdd = pairs(cluster, files).repartition(3)

    def take(task: Any, chunks: Any) -> int:
        rows = [row for chunk in chunks for row in chunk.rows()]
        here.extend(rows)
        return len(rows)

    assert sum(cluster.run(rdd.plan, OnDriver(take))) == 600
    assert sorted(here) == sorted(pairs(cluster, files).collect())


def test_an_error_is_the_users_and_nothing_is_kept(cluster: Context, files: str, spark: FakeSpark) -> None:
    def fail(pair: Any) -> Any:
        if pair[1] % 2:
            raise ValueError(f"odd: {pair}")
        return pair

    rdd = pairs(cluster, files).map(fail).repartition(3)
    with pytest.raises(ValueError, match="odd"):
        rdd.count()
    del rdd
    gc.collect()
    assert spark.given_up.acquire(timeout=PATIENCE_S)
    assert not spark.persisted


def test_an_error_of_what_is_computed_again_is_tried_again(
    cluster: Context, files: str, spark: FakeSpark, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file that is gone, and not for ever."""
    rdd = pairs(cluster, files).cache()
    assert rdd.count() == 600
    spark.lose()
    (tmp_path / "in").rename(tmp_path / "gone")
    with pytest.raises(Exception, match="is gone now"):
        rdd.map(lambda pair: pair[1]).sum()
    (tmp_path / "gone").rename(tmp_path / "in")
    assert rdd.count() == 600


def test_what_comes_out_differently_the_second_time_is_refused(
    cluster: Context, files: str, spark: FakeSpark
) -> None:
    rdd = pairs(cluster, files).filter(Coin().falls).cache()
    count = rdd.count()
    assert count == rdd.count()
    spark.lose()
    with pytest.raises(StateError, match="computed again"):
        rdd.count()


class Coin:
    """Falls otherwise each time."""

    turns = 0

    def falls(self, pair: Any) -> bool:
        Turn.count += 1
        return Turn.count % 3 != 0 or Turn.count > 600


class Turn:
    count = 0


def test_empty_and_single(cluster: Context, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("")
    rdd = cluster.textFile(str(tmp_path / "a.txt"))
    assert rdd.repartition(3).collect() == []
    assert rdd.map(lambda line: (line, 1)).sortByKey().collect() == []
    (tmp_path / "a.txt").write_text("one\n")
    assert cluster.textFile(str(tmp_path / "a.txt")).repartition(3).glom().map(len).sum() == 1
