"""Which keys belong together, where they live, and what is said about what cannot be one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from penstock import RDD, Context, Partitioner
from penstock.chunk import portable_hash
from penstock.errors import ArgumentError, KeyTypeError, NotAPairError, SignatureError, failure_of
from penstock.testing import same

NAN = math.nan
By = Callable[[RDD], RDD]

# Every operator that brings the pairs of a key together, as (key, list of what it saw).
KEYED: dict[str, By] = {
    "reduceByKey": lambda r: r.mapValues(lambda v: [v]).reduceByKey(lambda a, b: a + b),
    "groupByKey": lambda r: r.groupByKey().mapValues(list),
    "combineByKey": lambda r: r.combineByKey(lambda v: [v], lambda c, v: [*c, v], lambda c, d: c + d),
    "aggregateByKey": lambda r: r.aggregateByKey([], lambda c, v: [*c, v], lambda c, d: c + d),
    "foldByKey": lambda r: r.mapValues(lambda v: [v]).foldByKey([], lambda c, d: c + d),
    "cogroup": lambda r: r.cogroup(r.filter(lambda pair: False)).mapValues(lambda sides: list(sides[0])),
    "groupBy": lambda r: r.groupBy(lambda p: p[0]).mapValues(lambda ps: [v for _, v in ps]),
}
keyed = pytest.mark.parametrize("operator", KEYED.values(), ids=list(KEYED))
partitions = pytest.mark.parametrize("count", [1, 2, 4])


@keyed
@partitions
def test_equal_keys_are_one_and_the_first_seen_is_kept(sc: Context, operator: By, count: int) -> None:
    pairs = [
        (1, "a"),
        (1.0, "b"),
        (True, "c"),
        (0, "d"),
        (-0.0, "e"),
        (False, "f"),
        ((1, 0.0), "g"),
        ((True, -0.0), "h"),
    ]
    got = operator(sc.parallelize(pairs, count)).collect()
    assert same(sorted(got, key=repr), [((1, 0.0), ["g", "h"]), (0, ["d", "e", "f"]), (1, ["a", "b", "c"])])


@keyed
def test_the_first_seen_key_is_that_of_the_first_partition(sc: Context, operator: By) -> None:
    got = operator(sc.parallelize([(-0.0, "a"), (2, "b"), (0, "c"), (2.0, "d")], 2)).collect()
    assert same(sorted(got, key=repr), [(-0.0, ["a", "c"]), (2, ["b", "d"])])


@keyed
@partitions
def test_each_nan_is_alone(sc: Context, operator: By, count: int) -> None:
    """Also the same object twice, which a ``dict`` would take for one key."""
    pairs = [(NAN, 1), (NAN, 2), ((NAN, "x"), 3), ((NAN, "x"), 4), (float("nan"), 5)]
    got = operator(sc.parallelize(pairs, count)).collect()
    assert sorted(values for _, values in got) == [[1], [2], [3], [4], [5]]


@partitions
def test_each_nan_is_alone_without_values(sc: Context, count: int) -> None:
    rdd = sc.parallelize([NAN, NAN, 1.0, 1], count)
    assert sorted(map(repr, rdd.distinct().collect())) == ["1.0", "nan", "nan"]
    assert sorted(map(repr, rdd.countByValue().items())) == ["(1.0, 2)", "(nan, 1)", "(nan, 1)"]
    left = rdd.subtract(sc.parallelize([NAN])).collect()
    assert sorted(map(repr, left)) == ["1", "1.0", "nan", "nan"]
    assert rdd.intersection(sc.parallelize([NAN, 1])).collect() == [1]
    assert rdd.keyBy(lambda x: x).join(rdd.keyBy(lambda x: x)).count() == 4
    assert rdd.keyBy(lambda x: x).lookup(NAN) == []


def test_sets_keep_the_records_that_are_here(sc: Context) -> None:
    rdd = sc.parallelize([1, 1.0, True, 2], 2)
    assert same(sorted(rdd.subtract(sc.parallelize([2])).collect(), key=repr), [1, 1.0, True])
    assert same(rdd.intersection(sc.parallelize([True])).collect(), [1])
    assert same(sorted(rdd.distinct().collect()), [1, 2])


# What is no pair, and what is no key

PAIR_OPERATORS: dict[str, Callable[[RDD], Any]] = {
    "keys": lambda r: r.keys().collect(),
    "values": lambda r: r.values().collect(),
    "mapValues": lambda r: r.mapValues(lambda v: v).collect(),
    "flatMapValues": lambda r: r.flatMapValues(lambda v: [v]).collect(),
    "reduceByKey": lambda r: r.reduceByKey(lambda a, b: a).collect(),
    "groupByKey": lambda r: r.groupByKey().collect(),
    "combineByKey": lambda r: r.combineByKey(lambda v: v, lambda a, b: a, lambda a, b: a).collect(),
    "aggregateByKey": lambda r: r.aggregateByKey(0, lambda a, b: a, lambda a, b: a).collect(),
    "foldByKey": lambda r: r.foldByKey(0, lambda a, b: a).collect(),
    "countByKey": lambda r: r.countByKey(),
    "partitionBy": lambda r: r.partitionBy(2).collect(),
    "sortByKey": lambda r: r.sortByKey().collect(),
    "join": lambda r: r.join(r).collect(),
    "leftOuterJoin": lambda r: r.leftOuterJoin(r).collect(),
    "rightOuterJoin": lambda r: r.rightOuterJoin(r).collect(),
    "fullOuterJoin": lambda r: r.fullOuterJoin(r).collect(),
    "cogroup": lambda r: r.cogroup(r).collect(),
    "groupWith": lambda r: r.groupWith(r, r).collect(),
    "subtractByKey": lambda r: r.subtractByKey(r).collect(),
    "lookup": lambda r: r.lookup("a"),
    "collectAsMap": lambda r: r.collectAsMap(),
}
pair_operators = pytest.mark.parametrize("name", PAIR_OPERATORS)


def caught(kind: type[Exception], name: str, run: Callable[[RDD], Any], rdd: RDD) -> Exception:
    """The error, which must name the operator, its line in this file, and the record."""
    with pytest.raises(kind) as found:
        run(rdd)
    failure = failure_of(found.value)
    assert failure is not None
    assert failure.site is not None
    assert (failure.site.operation, failure.site.file) == (name, __file__)
    assert failure.site.line == run.__code__.co_firstlineno
    assert f"{name} ({__file__}:{failure.site.line})" in str(found.value)
    assert failure.partition is not None
    return found.value


@pair_operators
@pytest.mark.parametrize("record", [7, "ab", ("a",), ("a", 1, 2), None, {"a": 1, "b": 2}, {1, 2}], ids=repr)
@partitions
def test_what_is_no_pair(sc: Context, name: str, record: Any, count: int) -> None:
    rdd = sc.parallelize([("a", 1), record, ("b", 2), 99], count)
    error = caught(NotAPairError, name, PAIR_OPERATORS[name], rdd)
    assert repr(record) in str(error)
    assert failure_of(error).record == repr(record)


def test_a_list_of_two_is_a_pair(sc: Context) -> None:
    rdd = sc.parallelize([["a", 1], ("a", 2)], 2)
    assert rdd.reduceByKey(lambda a, b: a + b).collect() == [("a", 3)]
    assert rdd.mapValues(str).collect() == [("a", "1"), ("a", "2")]


HASHING: dict[str, Callable[[RDD], Any]] = {
    name: PAIR_OPERATORS[name]
    for name in (
        "reduceByKey",
        "groupByKey",
        "combineByKey",
        "aggregateByKey",
        "foldByKey",
        "countByKey",
        "partitionBy",
        "join",
        "leftOuterJoin",
        "rightOuterJoin",
        "fullOuterJoin",
        "cogroup",
        "groupWith",
        "subtractByKey",
        "collectAsMap",
    )
}


@pytest.mark.parametrize("name", HASHING)
@pytest.mark.parametrize("key", [[1], {"a": 1}, {1}, (1, [2])], ids=repr)
@partitions
def test_what_has_no_hash(sc: Context, name: str, key: Any, count: int) -> None:
    rdd = sc.parallelize([("a", 1), (key, 2), ("b", 2), ([99], 1)], count)
    error = caught(KeyTypeError, name, HASHING[name], rdd)
    assert repr(key) in str(error)
    assert failure_of(error).record == repr((key, 2))


OF_RECORDS: dict[str, Callable[[RDD], Any]] = {
    "distinct": lambda r: r.distinct().collect(),
    "countByValue": lambda r: r.countByValue(),
    "subtract": lambda r: r.subtract(r).collect(),
    "intersection": lambda r: r.intersection(r).collect(),
    "groupBy": lambda r: r.groupBy(lambda record: record).collect(),
}


@pytest.mark.parametrize("name", OF_RECORDS)
@partitions
def test_records_without_a_hash(sc: Context, name: str, count: int) -> None:
    """The record in the error is the user's, not the pair that the operator makes of it."""
    error = caught(KeyTypeError, name, OF_RECORDS[name], sc.parallelize([1, [2], [3]], count))
    assert failure_of(error).record == "[2]"


# Partitioners

PLACING: dict[str, Callable[[RDD, Any], RDD]] = {
    "partitionBy": lambda r, to: r.partitionBy(to),
    "reduceByKey": lambda r, to: r.reduceByKey(max, to),
    "groupByKey": lambda r, to: r.groupByKey(to),
    "combineByKey": lambda r, to: r.combineByKey(str, lambda a, b: a, lambda a, b: a, to),
    "aggregateByKey": lambda r, to: r.aggregateByKey(0, max, max, to),
    "foldByKey": lambda r, to: r.foldByKey(0, max, to),
    "join": lambda r, to: r.join(r.mapValues(str), to),
    "leftOuterJoin": lambda r, to: r.leftOuterJoin(r, to),
    "rightOuterJoin": lambda r, to: r.rightOuterJoin(r, to),
    "fullOuterJoin": lambda r, to: r.fullOuterJoin(r, to),
    "cogroup": lambda r, to: r.cogroup(r, to),
    "subtractByKey": lambda r, to: r.subtractByKey(r.filter(lambda pair: pair[0] > 5), to),
    "groupBy": lambda r, to: r.groupBy(lambda pair: pair[0], to),
    "distinct": lambda r, to: r.keys().distinct(to).keyBy(lambda key: key),
    "subtract": lambda r, to: (
        r.keys().subtract(r.keys().filter(lambda key: key > 5), to).keyBy(lambda key: key)
    ),
}
placing = pytest.mark.parametrize("operator", PLACING.values(), ids=list(PLACING))


def by_threes(key: int) -> int:
    return key // 3 - 1


@placing
@pytest.mark.parametrize(
    "to", [1, 3, Partitioner(3), Partitioner(2, by_threes), Partitioner(5, by_threes)], ids=repr
)
def test_a_key_lives_where_the_partitioner_says(sc: Context, operator: Any, to: Any) -> None:
    rdd = operator(sc.parallelize([(key % 10, key) for key in range(30)], 4), to)
    lies_by = to if isinstance(to, Partitioner) else Partitioner(to)
    parts = rdd.keys().glom().collect()
    assert len(parts) == rdd.getNumPartitions() == lies_by.numPartitions
    assert all(lies_by(key) == index for index, part in enumerate(parts) for key in part)
    assert {key for part in parts for key in part} >= set(range(6))


@placing
@pytest.mark.parametrize(
    ("count", "error"),
    [
        (0, ArgumentError),
        (-1, ArgumentError),
        ("2", SignatureError),
        (True, SignatureError),
        (2.0, SignatureError),
    ],
)
def test_what_is_no_number_of_partitions(
    sc: Context, operator: Any, count: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        operator(sc.parallelize([(1, 2)]), count)


def test_partition_functions_are_checked_and_located(sc: Context) -> None:
    with pytest.raises(SignatureError, match="partitionFunc must be a function"):
        Partitioner(2, 3)
    rdd = sc.parallelize([(1, "a"), (0, "b")], 1).partitionBy(2, lambda key: 1 // key)
    with pytest.raises(ZeroDivisionError) as found:
        rdd.collect()
    assert failure_of(found.value).record == "(0, 'b')"
    with pytest.raises(TypeError):
        sc.parallelize([(1, "a")], 1).partitionBy(2, lambda key: "x").collect()


def test_partitioners_are_values() -> None:
    assert Partitioner(2) == Partitioner(2)
    assert hash(Partitioner(2)) == hash(Partitioner(2))
    assert Partitioner(2) != Partitioner(3)
    assert Partitioner(2) != Partitioner(2, by_threes)
    assert Partitioner(2) != 2
    assert Partitioner(2).partitionFunc is portable_hash
    assert repr(Partitioner(2)) == "Partitioner(2)"


KEEPING: dict[str, By] = {
    "filter": lambda r: r.filter(lambda pair: True),
    "mapValues": lambda r: r.mapValues(str),
    "flatMapValues": lambda r: r.flatMapValues(list),
    "sample": lambda r: r.sample(False, 0.5, 1),
    "map that says so": lambda r: r.map(lambda pair: pair, preservesPartitioning=True),
    "mapPartitions that says so": lambda r: r.mapPartitions(lambda rows: rows, preservesPartitioning=True),
    "cache": lambda r: r.cache(),
}
LOSING: dict[str, By] = {
    "map": lambda r: r.map(lambda pair: pair),
    "flatMap": lambda r: r.flatMap(lambda pair: [pair]),
    "mapPartitions": lambda r: r.mapPartitions(lambda rows: rows),
    "keyBy": lambda r: r.keyBy(len),
    "keys": lambda r: r.keys(),
    "zipWithIndex": lambda r: r.zipWithIndex(),
    "coalesce": lambda r: r.coalesce(2),
    "repartition": lambda r: r.repartition(3),
    "sortByKey": lambda r: r.sortByKey(),
    "union": lambda r: r.union(r),
}


@pytest.mark.parametrize("operator", KEEPING.values(), ids=list(KEEPING))
def test_the_partitioner_is_kept(sc: Context, operator: By) -> None:
    placed = sc.parallelize([(key, str(key)) for key in range(9)], 2).partitionBy(3)
    assert operator(placed).partitioner == Partitioner(3)


@pytest.mark.parametrize("operator", LOSING.values(), ids=list(LOSING))
def test_the_partitioner_is_lost(sc: Context, operator: By) -> None:
    placed = sc.parallelize([(key, str(key)) for key in range(9)], 2).partitionBy(3)
    assert operator(placed).partitioner is None


def test_pairs_that_lie_right_do_not_move(sc: Context) -> None:
    placed = sc.parallelize([(key, 1) for key in range(9)], 2).partitionBy(3)
    assert placed.partitionBy(3) is placed
    for rdd in (placed.reduceByKey(max, 3), placed.groupByKey(), placed.join(placed.mapValues(str), 3)):
        shuffles = [
            line for line in rdd.toDebugString().splitlines() if "Shuffle" in line and "again" not in line
        ]
        assert len(shuffles) == 1, rdd.toDebugString()
    assert placed.reduceByKey(max, 2).toDebugString().count("Shuffle") == 2


def test_as_many_partitions_as_before_unless_a_setting_says(sc: Context) -> None:
    pairs, other = sc.parallelize([(1, 2)], 3), sc.parallelize([(1, 3)], 2)
    assert pairs.reduceByKey(max).getNumPartitions() == 3
    assert pairs.join(other).getNumPartitions() == 5
    assert sc.emptyRDD().map(lambda x: x).reduceByKey(max).getNumPartitions() == 1
    sc.conf.set("spark.default.parallelism", "7")
    assert pairs.reduceByKey(max).getNumPartitions() == 7
    assert pairs.join(other).getNumPartitions() == 7
