"""Results that stay on a real cluster, and outputs that its tasks write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock import RDD, Conf, Context
from penstock.executors.spark.left import OnCluster
from penstock.testing.cluster import LocalCluster
from tests.cluster.parts import written


@pytest.fixture
def sc(spark: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Context]:
    """A context of which the driver may bring nothing but what an action gives."""
    monkeypatch.setattr(OnCluster, "pieces", None)
    conf = Conf().set("penstock.local.inlineRows", 0).set("penstock.spark.bringBytes", 0)
    with Context(spark, conf=conf) as context:
        yield context


def pairs(sc: Context, tmp_path: Path) -> RDD[Any]:
    return sc.textFile(str(tmp_path / "in")).map(lambda word: (word, 1))


def test_what_moves_goes_from_task_to_task(sc: Context, tmp_path: Path, words: list[str]) -> None:
    rdd = pairs(sc, tmp_path)
    assert [word for word, _ in rdd.sortByKey(numPartitions=3).collect()] == sorted(words)
    counts = rdd.groupByKey(3).mapValues(len)
    joined = counts.join(rdd.reduceByKey(lambda a, b: a + b, 2))
    assert dict(joined.collect()) == {word: (count, count) for word, count in Counter(words).items()}


@pytest.mark.long
def test_executors_are_killed_between_what_was_left_and_who_reads_it(
    sc: Context, spark_cluster: LocalCluster, tmp_path: Path, words: list[str]
) -> None:
    seen = sc.accumulator(0)

    def counted(word: str) -> tuple[str, int]:
        seen.add(1)
        return word, 1

    kept = sc.textFile(str(tmp_path / "in")).map(counted).cache()
    assert kept.count() == len(words)
    spark_cluster.kill_executors()
    assert dict(kept.reduceByKey(lambda a, b: a + b).collect()) == Counter(words)
    kept.map(lambda pair: pair[0]).sortBy(lambda word: word).saveAsTextFile(str(tmp_path / "out"))
    found = "".join(path.read_text() for path in sorted((tmp_path / "out").glob("part-*")))
    assert found.split() == sorted(words)
    assert seen.value == len(words)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_tasks_write_parts_and_one_attempt_counts(
    sc: Context, spark: Any, tmp_path: Path, words: list[str]
) -> None:
    """Each task of the first attempts dies behind its file."""
    died = tmp_path / "died"
    died.mkdir()

    def once(word: str) -> str:
        if not (died / word).exists() and len(list(died.iterdir())) < 2:
            (died / word).touch()
            import os

            os._exit(1)
        return word

    sc.textFile(str(tmp_path / "in")).map(once).saveAsTextFile(str(tmp_path / "out"))
    assert len(list(died.iterdir())) == 2
    assert written(tmp_path) == words
