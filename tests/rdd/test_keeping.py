"""What is computed how often: take, shared nodes, persisted and checkpointed RDDs, effects."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock import RDD, Conf, Context, StorageLevel
from penstock.errors import StateError
from tests.executors.counting import Counting

# take


@pytest.mark.parametrize("wanted", [1, 3])
@pytest.mark.parametrize("slices", [1, 2])
def test_take_does_not_meet_a_later_error(sc: Context, wanted: int, slices: int) -> None:
    numbers = sc.parallelize([1, 2, 4, 0, 8], slices)
    for rdd in (
        numbers.map(lambda x: 8 // x),
        numbers.flatMap(lambda x: [8 // x]),
        numbers.mapPartitions(lambda rows: (8 // x for x in rows)),
        numbers.map(lambda x: (x, x)).mapValues(lambda x: 8 // x).values(),
        numbers.map(lambda x: (x, x)).flatMapValues(lambda x: [8 // x]).values(),
        numbers.filter(lambda x: 8 // x).map(lambda x: 8 // x),
        numbers.map(lambda x: 8 // x).map(lambda x: x),
    ):
        assert rdd.take(wanted) == [8, 4, 2][:wanted]
        assert rdd.first() == 8
        assert not rdd.isEmpty()


def test_take_computes_no_later_partition(sc: Context) -> None:
    counting = Counting()
    numbers = sc.parallelize(range(12), 4).map(counting)
    assert numbers.take(3) == [0, 1, 2]
    assert counting.once([0, 1, 2])


def endless(start: Any) -> Iterator[Any]:
    return itertools.count(0)


def test_take_of_what_never_ends(sc: Context) -> None:
    one = sc.parallelize([1], 1)
    assert one.flatMap(endless).take(3) == [0, 1, 2]
    assert one.mapPartitions(endless).take(3) == [0, 1, 2]
    assert one.mapPartitions(lambda rows: itertools.repeat("x")).map(str.upper).take(2) == ["X", "X"]
    assert one.keyBy(str).flatMapValues(endless).take(2) == [("1", 0), ("1", 1)]
    assert one.flatMap(endless).filter(lambda x: x % 2).zipWithIndex().take(2) == [(1, 0), (3, 1)]
    assert one.mapPartitions(endless).zip(one.mapPartitions(endless)).take(2) == [(0, 0), (1, 1)]
    assert one.mapPartitions(endless).union(one).take(2) == [0, 1]


def test_partitions_are_iterated_as_they_are_reached(sc: Context) -> None:
    counting = Counting()
    records = sc.parallelize(range(6), 3).map(counting).toLocalIterator()
    assert counting.seen == []
    assert next(records) == 0
    assert counting.once([0, 1])
    assert list(records) == [1, 2, 3, 4, 5]


# Once


SHARING: dict[str, Callable[[RDD], Any]] = {
    "union with itself": lambda r: r.union(r).collect(),
    "two branches": lambda r: r.map(str).union(r.filter(lambda x: x > 2).map(str)).collect(),
    "join with itself": lambda r: r.keyBy(lambda x: x).join(r.keyBy(lambda x: x)).collect(),
    "zip with itself": lambda r: r.zip(r).collect(),
    "cartesian with itself": lambda r: r.cartesian(r).collect(),
    "zipWithIndex": lambda r: r.zipWithIndex().collect(),
    "sortBy": lambda r: r.sortBy(lambda x: -x).collect(),
    "sortBy, counted": lambda r: r.sortBy(lambda x: -x, numPartitions=2).count(),
    "two shuffles": lambda r: (
        r.repartition(3).union(r.keyBy(lambda x: x % 2).reduceByKey(max, 2).values()).collect()
    ),
    "deep": lambda r: (lambda s: s.union(s).union(s.map(lambda x: x + 1)).zipWithIndex().collect())(
        r.union(r)
    ),
    "read at two depths": lambda r: (lambda s: s.join(s.map(lambda p: p), 3).collect())(
        r.keyBy(str).reduceByKey(max, 3)
    ),
    "taken": lambda r: r.union(r).zipWithIndex().take(1),
}


@pytest.mark.parametrize("run", SHARING.values(), ids=list(SHARING))
def test_what_is_read_several_times_in_a_job_is_computed_once(sc: Context, run: Callable[[RDD], Any]) -> None:
    counting = Counting()
    run(sc.parallelize([3, 1, 4, 1, 5, 9, 2, 6], 4).map(counting))
    assert counting.once([3, 1, 4, 1, 5, 9, 2, 6])


def test_the_key_function_of_a_sort_is_called_once_for_each_record(sc: Context) -> None:
    counting = Counting()
    sc.parallelize([3, 1, 2], 2).sortBy(counting).collect()
    assert counting.once([3, 1, 2])


def test_two_jobs_compute_twice(sc: Context) -> None:
    counting = Counting()
    rdd = sc.parallelize([1, 2], 2).map(counting)
    rdd.count()
    rdd.count()
    assert counting.once([1, 2, 1, 2])


# Persisted


LEVELS = [
    StorageLevel.MEMORY_ONLY,
    StorageLevel.MEMORY_ONLY_2,
    StorageLevel.MEMORY_AND_DISK,
    StorageLevel.MEMORY_AND_DISK_DESER,
    StorageLevel.DISK_ONLY,
    StorageLevel.DISK_ONLY_2,
    StorageLevel.OFF_HEAP,
]
levels = pytest.mark.parametrize("level", LEVELS, ids=str)


@levels
def test_what_is_persisted_is_computed_once(sc: Context, level: StorageLevel) -> None:
    counting = Counting()
    rdd = sc.parallelize([1, 2, 3], 2).map(counting).persist(level)
    assert (rdd.is_cached, rdd.getStorageLevel()) == (True, level)
    assert counting.seen == []
    assert rdd.map(lambda x: x).collect() == rdd.collect() == [1, 2, 3]
    assert rdd.reduce(max) == 3
    assert counting.once([1, 2, 3])
    assert rdd.unpersist() is rdd
    assert (rdd.is_cached, rdd.getStorageLevel()) == (False, StorageLevel.NONE)
    assert rdd.count() == 3
    assert counting.once([1, 2, 3, 1, 2, 3])


@levels
def test_what_is_persisted_is_not_changed_by_who_reads_it(sc: Context, level: StorageLevel) -> None:
    rdd = sc.parallelize([("a", [1]), ("b", {"x": [2]})], 2).persist(level)

    def change(pair: Any) -> Any:
        inside = pair[1]
        inside.append(9) if isinstance(inside, list) else inside["x"].append(9)
        return pair

    changed = [("a", [1, 9]), ("b", {"x": [2, 9]})]
    for _ in range(3):  # the first time it is computed
        assert rdd.map(change).collect() == changed
        assert rdd.map(lambda pair: pair[1]).map(lambda v: v.clear()).count() == 2
        rdd.collect()[0][1].append("collected")
    assert rdd.collect() == [("a", [1]), ("b", {"x": [2]})]


def test_partitions_are_kept_one_by_one(sc: Context) -> None:
    counting = Counting()
    rdd = sc.parallelize(range(6), 3).map(counting).cache()
    assert rdd.take(1) == [0]
    assert counting.once([0, 1])
    assert rdd.collect() == list(range(6))
    assert counting.once(range(6))


def test_a_shuffle_of_which_some_partitions_are_kept(sc: Context) -> None:
    pairs = sc.parallelize([(key, key) for key in range(9)], 2).reduceByKey(max, 2).partitionBy(3).cache()
    for _ in range(3):
        assert pairs.lookup(4) == [4]
    assert pairs.take(1) == [(0, 0)]
    assert sorted(pairs.collect()) == [(key, key) for key in range(9)]


def test_the_level_cannot_be_changed(sc: Context) -> None:
    rdd = sc.parallelize([1]).cache()
    assert rdd.cache() is rdd
    with pytest.raises(StateError, match="unpersist"):
        rdd.persist(StorageLevel.DISK_ONLY)
    assert rdd.unpersist().persist(StorageLevel.DISK_ONLY).collect() == [1]


@pytest.mark.parametrize("derive", [lambda r: r.coalesce(9), lambda r: r.map(str), lambda r: r.union(r)])
def test_what_is_made_of_it_is_kept_for_itself(sc: Context, derive: Callable[[RDD], RDD]) -> None:
    rdd = sc.parallelize([1, 2], 2).cache()
    derive(rdd).unpersist()
    assert rdd.is_cached
    derive(rdd).persist(StorageLevel.DISK_ONLY)
    assert rdd.getStorageLevel() == StorageLevel.MEMORY_ONLY


def test_a_failure_is_not_kept(sc: Context) -> None:
    wrong = [0]
    rdd = sc.parallelize([1, 2], 2).map(lambda x: x // wrong[0]).cache()
    with pytest.raises(ZeroDivisionError):
        rdd.collect()
    wrong[0] = 1
    assert rdd.collect() == [1, 2]


def test_the_files_of_a_persisted_rdd_go_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Context("local[2]") as sc:
        rdd = sc.parallelize([1, 2], 2).persist(StorageLevel.DISK_ONLY)
        assert rdd.collect() == [1, 2]
        assert len(os.listdir(tmp_path)) == 1
        rdd.unpersist()
        assert os.listdir(tmp_path) == []
        assert sc.parallelize([3], 1).persist(StorageLevel.DISK_ONLY).collect() == [3]
    assert os.listdir(tmp_path) == []


def test_storage_levels_read_as_in_pyspark() -> None:
    assert str(StorageLevel.MEMORY_ONLY) == "Memory Serialized 1x Replicated"
    assert str(StorageLevel.DISK_ONLY) == "Disk Serialized 1x Replicated"
    assert str(StorageLevel.MEMORY_AND_DISK_DESER) == "Disk Memory Deserialized 1x Replicated"
    assert str(StorageLevel.MEMORY_ONLY_2) == "Memory Serialized 2x Replicated"
    assert StorageLevel(True, False) == StorageLevel.DISK_ONLY


# Checkpoints


def test_a_checkpointed_rdd_is_read_from_its_files(sc: Context, tmp_path: Path) -> None:
    counting = Counting()
    sc.setCheckpointDir(str(tmp_path))
    rdd = sc.parallelize([(1, [2]), (3, [4])], 2).map(counting).cache()
    rdd.checkpoint()
    assert (rdd.isCheckpointed(), rdd.getCheckpointFile()) == (False, None)
    assert rdd.map(lambda pair: pair[0]).collect() == [1, 3]
    assert rdd.isCheckpointed()
    assert str(rdd.getCheckpointFile()).startswith(str(tmp_path))
    assert counting.once([(1, [2]), (3, [4])])
    rdd.unpersist()
    for _ in range(2):
        assert rdd.map(lambda pair: pair[1].append(9) or pair).collect() == [(1, [2, 9]), (3, [4, 9])]
    assert counting.once([(1, [2]), (3, [4])])


def test_a_checkpointed_shuffle_and_what_is_made_of_it(sc: Context, tmp_path: Path) -> None:
    sc.setCheckpointDir(str(tmp_path))
    counting = Counting()
    pairs = sc.parallelize([("a", 1), ("b", 2), ("a", 3)], 2).map(counting).reduceByKey(lambda a, b: a + b)
    before = pairs.sortByKey()
    pairs.checkpoint()
    wanted = [("a", 4), ("b", 2)]
    assert before.collect() == wanted
    seen = len(counting.seen)
    assert before.collect() == wanted
    assert pairs.union(pairs).sortByKey().collect() == sorted(wanted * 2)
    assert pairs.partitioner is not None
    assert pairs.reduceByKey(max).sortByKey().collect() == wanted
    assert len(counting.seen) == seen


def test_a_checkpoint_needs_a_directory(sc: Context) -> None:
    with pytest.raises(StateError, match="setCheckpointDir"):
        sc.parallelize([1]).checkpoint()


# What several readers see


def test_branches_do_not_see_each_other(sc: Context) -> None:
    records = sc.parallelize([[1], [2]], 2).map(lambda row: row)
    grown = records.map(lambda row: row.append("grown") or row)
    emptied = records.map(lambda row: row.clear() or row)
    assert grown.union(emptied).union(records).collect() == [[1, "grown"], [2, "grown"], [], [], [1], [2]]
    zipped = records.zip(records).map(lambda pair: pair[0].append(9) or pair)
    assert zipped.collect() == [([1, 9], [1]), ([2, 9], [2])]
    squares = records.cartesian(records).map(lambda pair: pair[0].append(9) or pair[1].append(8) or pair)
    assert squares.collect() == [(([a, 9]), ([b, 8])) for a in (1, 2) for b in (1, 2)]


def test_joined_values_do_not_see_each_other(sc: Context) -> None:
    left = sc.parallelize([("a", [1]), ("a", [2])], 1)
    right = sc.parallelize([("a", [3]), ("a", [4])], 1)
    joined = left.join(right, 1).mapValues(lambda pair: pair[0].append("l") or pair[1].append("r") or pair)
    assert joined.values().collect() == [([a, "l"], [b, "r"]) for a in (1, 2) for b in (3, 4)]


def test_sampled_records_do_not_see_each_other(sc: Context) -> None:
    drawn = sc.parallelize([[0]], 1).sample(True, 5.0, seed=3).map(lambda row: row.append(1) or row).collect()
    assert len(drawn) > 1
    assert drawn == [[0, 1]] * len(drawn)


def test_zero_values_begin_afresh(sc: Context) -> None:
    zero: list[Any] = []
    numbers = sc.parallelize([1, 2, 3], 3)

    def append(total: list[Any], number: Any) -> list[Any]:
        total.append(number)
        return total

    def extend(total: list[Any], other: list[Any]) -> list[Any]:
        total.extend(other)
        return total

    for _ in range(2):
        assert numbers.aggregate(zero, append, extend) == [1, 2, 3]
        assert numbers.map(lambda n: [n]).fold(zero, extend) == [1, 2, 3]
        pairs = numbers.map(lambda n: (n % 2, n))
        assert dict(pairs.aggregateByKey(zero, append, extend).collect()) == {1: [1, 3], 0: [2]}
        assert dict(pairs.mapValues(lambda n: [n]).foldByKey(zero, extend).collect()) == {1: [1, 3], 0: [2]}
    assert zero == []


def test_reducing_in_place_leaves_the_source_alone(sc: Context) -> None:
    lists = sc.parallelize([("a", [1]), ("a", [2]), ("b", [3])], 2).cache()
    for _ in range(2):
        reduced = lists.reduceByKey(lambda a, b: a.extend(b) or a)
        assert sorted(reduced.collect()) == [("a", [1, 2]), ("b", [3])]
        assert lists.values().reduce(lambda a, b: a.extend(b) or a) == [1, 2, 3]
    assert lists.collect() == [("a", [1]), ("a", [2]), ("b", [3])]


# Samples


@pytest.mark.parametrize("replace", [False, True])
def test_the_same_seed_gives_the_same_sample(replace: bool) -> None:
    drawn = set()
    for master, inline in (("local[1]", 1000), ("local[4]", 0)):
        with Context(conf=Conf().setMaster(master).set("penstock.local.inlineRows", inline)) as sc:
            numbers = sc.parallelize(range(500), 3)
            sample = numbers.sample(replace, 0.3, seed=11)
            assert sample.collect() == sample.collect()
            assert sample.collect() != numbers.sample(replace, 0.3, seed=12).collect()
            drawn.add(tuple(sample.collect()))
    assert len(drawn) == 1
    size = len(drawn.pop())
    assert 100 < size < 200


def test_a_sample_without_a_seed_keeps_to_itself(sc: Context) -> None:
    sample = sc.parallelize(range(100), 2).sample(False, 0.5)
    assert sample.collect() == sample.collect()
