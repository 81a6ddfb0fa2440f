"""What comes out when a function raises: the exception itself, with where it happened."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from penstock import RDD, Context
from penstock.errors import ArgumentError, DataError, SignatureError, StateError, failure_of

Run = Callable[[RDD, Callable[..., Any]], Any]

# Each operator with a function that gets the number, or the pair's value, last.
CALLING: dict[str, Run] = {
    "map": lambda r, f: r.map(f).collect(),
    "filter": lambda r, f: r.filter(f).collect(),
    "flatMap": lambda r, f: r.flatMap(lambda x: [f(x)]).collect(),
    "keyBy": lambda r, f: r.keyBy(f).collect(),
    "groupBy": lambda r, f: r.groupBy(f).collect(),
    "sortBy": lambda r, f: r.sortBy(f).collect(),
    "mapPartitions": lambda r, f: r.mapPartitions(lambda rows: map_one_by_one(f, rows)).collect(),
    "mapPartitionsWithIndex": lambda r, f: r.mapPartitionsWithIndex(
        lambda i, rows: map_one_by_one(f, rows)
    ).collect(),
    "foreach": lambda r, f: r.foreach(f),
    "foreachPartition": lambda r, f: r.foreachPartition(lambda rows: [f(x) for x in rows]),
    "reduce": lambda r, f: r.reduce(lambda a, b: f(b)),
    "fold": lambda r, f: r.fold(1, lambda a, b: f(b)),
    "aggregate": lambda r, f: r.aggregate(1, lambda a, b: f(b), max),
    "top": lambda r, f: r.top(2, key=f),
    "takeOrdered": lambda r, f: r.takeOrdered(2, key=f),
    "max": lambda r, f: r.max(key=f),
    "min": lambda r, f: r.min(key=f),
}
CALLING_ON_PAIRS: dict[str, Run] = {
    "mapValues": lambda r, f: r.mapValues(f).collect(),
    "flatMapValues": lambda r, f: r.flatMapValues(lambda x: [f(x)]).collect(),
    "reduceByKey": lambda r, f: r.reduceByKey(lambda a, b: f(b)).collect(),
    "foldByKey": lambda r, f: r.foldByKey(1, lambda a, b: f(b)).collect(),
    "aggregateByKey": lambda r, f: r.aggregateByKey(1, lambda a, b: f(b), max).collect(),
    "combineByKey": lambda r, f: r.combineByKey(f, lambda a, b: f(b), max).collect(),
    "sortByKey": lambda r, f: r.map(lambda pair: (pair[1], pair[1])).sortByKey(keyfunc=f).collect(),
    "partitionBy": lambda r, f: r.map(lambda pair: (pair[1], pair[1])).partitionBy(2, f).collect(),
}


def map_one_by_one(function: Callable[[Any], Any], rows: Iterator[Any]) -> Iterator[Any]:
    for row in rows:
        yield function(row)


def divide(number: int) -> int:
    return 12 // number


def exhausted(number: int) -> int:
    if number == 0:
        raise StopIteration
    return number


def check(found: BaseException, name: str, run: Run, record: str) -> None:
    failure = failure_of(found)
    assert failure is not None
    assert failure.site is not None
    assert (failure.site.operation, failure.site.file) == (name, __file__)
    assert failure.site.line == run.__code__.co_firstlineno
    assert (failure.partition, failure.record) == (1, record)
    text = "".join(traceback.format_exception(found))
    assert f"in {name} ({__file__}:{failure.site.line}) of partition 1, at the record {record}" in text


@pytest.mark.parametrize("name", CALLING)
def test_the_exception_of_a_function_on_records(sc: Context, name: str) -> None:
    numbers = sc.parallelize([1, 2, 3, 0, 0, 4], 2)  # the first 0 begins the second partition
    numbers = (
        numbers.filter(lambda n: True) if name not in ("reduce",) else sc.parallelize([1, 2, 3, 4, 0, 0], 2)
    )
    with pytest.raises(ZeroDivisionError) as found:
        CALLING[name](numbers, divide)
    check(found.value, name, CALLING[name], "0")


@pytest.mark.parametrize("name", CALLING)
def test_the_end_of_an_iterator_in_a_function_on_records(sc: Context, name: str) -> None:
    """It would end the partition in silence."""
    with pytest.raises(RuntimeError) as found:
        CALLING[name](sc.parallelize([1, 2, 3, 4, 0, 5], 2), exhausted)
    check(found.value, name, CALLING[name], "0")


@pytest.mark.parametrize("name", CALLING_ON_PAIRS)
@pytest.mark.parametrize(("function", "kind"), [(divide, ZeroDivisionError), (exhausted, RuntimeError)])
def test_functions_on_pairs(
    sc: Context, name: str, function: Callable[..., Any], kind: type[Exception]
) -> None:
    pairs = sc.parallelize([("a", 1), ("a", 2), ("a", 3), ("a", 4), ("a", 0), ("a", 0)], 2)
    with pytest.raises(kind) as found:
        CALLING_ON_PAIRS[name](pairs, function)
    record = "(0, 0)" if name in ("sortByKey", "partitionBy") else "('a', 0)"
    check(found.value, name, CALLING_ON_PAIRS[name], record)


@pytest.mark.in_process("asks for the very object that a function raised")
def test_the_exception_is_the_very_one(sc: Context) -> None:
    class Unforeseen(Exception):
        pass

    raised = Unforeseen("once")

    def fail(record: int) -> None:
        raise raised

    with pytest.raises(Unforeseen) as found:
        sc.parallelize([1]).map(fail).collect()
    assert found.value is raised


def test_values_that_cannot_be_compared(sc: Context) -> None:
    mixed = sc.parallelize([1, "a", None], 1)
    for run in (
        lambda: mixed.max(),
        lambda: mixed.top(2),
        lambda: mixed.sortBy(lambda x: x).collect(),
        lambda: mixed.sum(),
    ):
        with pytest.raises(TypeError) as found:
            run()
        assert failure_of(found.value) is not None
    apart = sc.parallelize([1, "a"], 2)  # each partition is fine by itself
    for run in (lambda: apart.max(), lambda: apart.takeOrdered(2), lambda: apart.reduce(lambda a, b: a + b)):
        with pytest.raises(TypeError) as found:
            run()
        assert failure_of(found.value).site.file == __file__


def test_a_record_whose_repr_raises(sc: Context) -> None:
    class Shy:
        def __repr__(self) -> str:
            raise ValueError

    with pytest.raises(ZeroDivisionError) as found:
        sc.parallelize([Shy()]).map(lambda record: 1 // 0).collect()
    assert "Shy whose repr raises ValueError" in failure_of(found.value).record


def test_what_is_not_iterable(sc: Context) -> None:
    numbers = sc.parallelize([1, 2], 1)
    for rdd in (
        numbers.flatMap(lambda x: x),
        numbers.mapPartitions(lambda rows: None),
        numbers.mapPartitions(lambda rows: 3),
        numbers.keyBy(str).flatMapValues(lambda x: x),
    ):
        with pytest.raises(TypeError, match="not iterable") as found:
            rdd.collect()
        assert failure_of(found.value).site.file == __file__


def test_an_error_from_upstream_is_not_blamed_on_who_reads_it(sc: Context) -> None:
    failing = sc.parallelize([1, 0], 1).map(lambda x: 1 // x)
    for run in (
        lambda: failing.mapPartitions(list).collect(),
        lambda: failing.mapPartitions(lambda rows: (row for row in rows)).collect(),
        lambda: failing.sum(),
        lambda: failing.foreach(print),
        lambda: failing.zip(failing).collect(),
        lambda: failing.map(lambda x: (x, x)).reduceByKey(max).collect(),
        lambda: failing.sortBy(lambda x: x, numPartitions=3).collect(),
        lambda: failing.cache().count(),
    ):
        with pytest.raises(ZeroDivisionError) as found:
            run()
        assert failure_of(found.value).site.operation == "map"
        assert failure_of(found.value).record == "0"


def test_of_several_failing_partitions_the_first_one_is_heard(sc: Context) -> None:
    def fail(index: int, rows: Iterator[int]) -> list[int]:
        if index >= 2:
            raise KeyError(index)
        return list(rows)

    for _ in range(20):
        with pytest.raises(KeyError) as found:
            sc.parallelize(range(16), 8).mapPartitionsWithIndex(fail).collect()
        assert found.value.args == (2,)
        assert failure_of(found.value).partition == 2


def test_a_job_works_after_one_that_failed(sc: Context) -> None:
    numbers = sc.parallelize([1, 0], 2)
    with pytest.raises(ZeroDivisionError):
        numbers.map(lambda x: 1 // x).collect()
    assert numbers.map(lambda x: x + 1).collect() == [2, 1]


# What is wrong before anything runs


@pytest.mark.parametrize(
    "ask",
    [
        lambda r: r.map(3),
        lambda r: r.filter(None),
        lambda r: r.flatMap("x"),
        lambda r: r.mapPartitions(1),
        lambda r: r.mapPartitionsWithIndex(1),
        lambda r: r.keyBy(1),
        lambda r: r.groupBy(1),
        lambda r: r.sortBy(1),
        lambda r: r.mapValues(1),
        lambda r: r.flatMapValues(1),
        lambda r: r.reduceByKey(1),
        lambda r: r.foldByKey(0, 1),
        lambda r: r.combineByKey(str, 1, str),
        lambda r: r.aggregateByKey(0, str, 1),
        lambda r: r.sortByKey(keyfunc=1),
        lambda r: r.reduce(1),
        lambda r: r.fold(0, 1),
        lambda r: r.aggregate(0, str, 1),
        lambda r: r.foreach(1),
        lambda r: r.foreachPartition(1),
        lambda r: r.union([1]),
        lambda r: r.join([1]),
        lambda r: r.zip(1),
        lambda r: r.cartesian(None),
        lambda r: r.subtract({1}),
        lambda r: r.intersection(1),
        lambda r: r.cogroup(1),
        lambda r: r.persist("memory"),
        lambda r: r.setName(1),
        lambda r: r.repartition("2"),
        lambda r: r.coalesce(1.5),
    ],
)
def test_arguments_of_the_wrong_kind(sc: Context, ask: Callable[[RDD], Any]) -> None:
    with pytest.raises(SignatureError):
        ask(sc.parallelize([(1, 2)]))


@pytest.mark.parametrize(
    "ask",
    [
        lambda r: r.repartition(0),
        lambda r: r.coalesce(0),
        lambda r: r.coalesce(0, shuffle=True),
        lambda r: r.sample(False, -0.1),
        lambda r: r.sample(True, float("inf")),
        lambda r: r.sample(True, float("nan")),
        lambda r: r.top(-1),
        lambda r: r.takeOrdered(-1),
        lambda r: r.zip(r.repartition(9)),
    ],
)
def test_arguments_that_cannot_be_meant(sc: Context, ask: Callable[[RDD], Any]) -> None:
    with pytest.raises(ArgumentError):
        ask(sc.parallelize([(1, 2)], 2))


def test_rdds_of_two_contexts_do_not_mix(sc: Context) -> None:
    mine = sc.parallelize([1])
    sc.stop()
    with Context("local[1]") as other, pytest.raises(SignatureError, match="same Context"):
        mine.union(other.parallelize([2]))


@pytest.mark.parametrize(("left", "right"), [([1, 2, 3], [1, 2]), ([1], [1, 2]), ([], [1]), ([1], [])])
def test_zip_of_different_lengths(sc: Context, left: list[int], right: list[int]) -> None:
    zipped = sc.parallelize(left, 1).zip(sc.parallelize(right, 1))
    with pytest.raises(DataError, match=r"as many records on both sides .* partition 0 has \d on the"):
        zipped.collect()
    shorter = min(len(left), len(right))
    assert zipped.take(shorter) == list(zip(left, right, strict=False))


def test_nothing_runs_after_the_end(sc: Context) -> None:
    rdd = sc.parallelize([1])
    sc.stop()
    for run in (rdd.collect, rdd.count, lambda: rdd.take(1), lambda: list(rdd.toLocalIterator())):
        with pytest.raises(StateError, match="stopped"):
            run()
