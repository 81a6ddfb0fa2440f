"""Every method of an RDD beside one line of plain Python, over data of every shape."""

# ruff: noqa: E501 (a row of a table stays on its line)
from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import reduce
from itertools import product
from operator import add, itemgetter
from typing import Any

import pytest

from penstock import RDD, Context
from penstock.errors import EmptyError
from penstock.testing import same

Rows = list[Any]

NUMBERS: dict[str, tuple[Rows, int]] = {
    "typical": ([3, 1, 2, 3, 5, 4, 1, 8], 2),
    "empty": ([], 2),
    "no partition": ([], 0),
    "one record": ([7], 1),
    "one record, many partitions": ([7], 5),
    "all equal": ([4, 4, 4, 4], 3),
    "many": (list(range(100, 0, -1)), 7),
}
PAIRS: dict[str, tuple[Rows, int]] = {
    "typical": ([("a", 1), ("b", 2), ("a", 3), ("c", 4), ("b", 5)], 2),
    "empty": ([], 3),
    "no partition": ([], 0),
    "one record": ([("a", 1)], 1),
    "one key": ([("a", number) for number in range(9)], 4),
    "many keys": ([(number, str(number)) for number in range(50)], 3),
    "every key twice": ([(number % 20, number) for number in range(40)], 6),
}


def rdd_of(sc: Context, shape: tuple[Rows, int]) -> RDD:
    records, partitions = shape
    return sc.parallelize(records, partitions) if partitions else sc.emptyRDD()


def by_key(pairs: Rows) -> dict[Any, Rows]:
    groups: dict[Any, Rows] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return groups


def lists(pairs: Rows) -> Rows:
    return [(key, list(values)) for key, values in pairs]


def first_of_each(rows: Rows) -> Rows:
    return list(dict.fromkeys(rows))


def joined(left: Rows, right: Rows, *, keep_left: bool = False, keep_right: bool = False) -> Rows:
    ours, theirs = by_key(left), by_key(right)
    return [
        (key, pair)
        for key in {**ours, **theirs}
        for pair in product(
            ours.get(key, [None] if keep_right else []), theirs.get(key, [None] if keep_left else [])
        )
    ]


OTHERS = [("b", "x"), ("z", "y"), ("b", "w"), (1, "v")]

Row = tuple[str, Callable[[RDD], Any], Callable[[Rows], Any]]

# Results in an order that is a part of the contract.
IN_ORDER: list[Row] = [
    ("map", lambda r: r.map(lambda x: x * 10).collect(), lambda x: [n * 10 for n in x]),
    ("filter", lambda r: r.filter(lambda x: x % 2).collect(), lambda x: [n for n in x if n % 2]),
    ("flatMap", lambda r: r.flatMap(lambda x: [x] * (x % 3)).collect(), lambda x: [n for n in x for _ in range(n % 3)]),
    ("flatMap of a generator", lambda r: r.flatMap(lambda x: (c for c in str(x))).collect(), lambda x: list("".join(map(str, x)))),
    ("mapPartitions", lambda r: r.mapPartitions(lambda rows: (n + 1 for n in rows)).collect(), lambda x: [n + 1 for n in x]),
    ("mapPartitionsWithIndex", lambda r: r.mapPartitionsWithIndex(lambda i, rows: rows).collect(), lambda x: x),
    ("glom", lambda r: [n for part in r.glom().collect() for n in part], lambda x: x),
    ("union", lambda r: r.union(r).collect(), lambda x: x + x),
    ("+", lambda r: (r + r.map(str)).collect(), lambda x: x + [str(n) for n in x]),
    ("cartesian", lambda r: sorted(r.cartesian(r).collect()), lambda x: sorted(product(x, x))),
    ("zip", lambda r: r.zip(r.map(str)).collect(), lambda x: [(n, str(n)) for n in x]),
    ("zipWithIndex", lambda r: r.zipWithIndex().collect(), lambda x: [(n, i) for i, n in enumerate(x)]),
    ("zipWithUniqueId", lambda r: len(set(r.zipWithUniqueId().values().collect())), len),
    ("keyBy", lambda r: r.keyBy(lambda x: x % 3).collect(), lambda x: [(n % 3, n) for n in x]),
    ("sortBy", lambda r: r.sortBy(lambda x: x).collect(), sorted),
    ("sortBy descending", lambda r: r.sortBy(lambda x: x, ascending=False).collect(), lambda x: sorted(x, reverse=True)),
    ("sortBy is stable", lambda r: r.sortBy(lambda x: x % 3, numPartitions=3).collect(), lambda x: sorted(x, key=lambda n: n % 3)),
    ("sortBy descending is stable", lambda r: r.sortBy(lambda x: x % 3, False, 3).collect(), lambda x: sorted(x, key=lambda n: n % 3, reverse=True)),
    ("repartition to one", lambda r: r.repartition(1).collect(), lambda x: x),
    ("repartition", lambda r: sorted(r.repartition(3).collect()), sorted),
    ("repartition is even", lambda r: {len(p) // 50 for p in r.repartition(2).glom().collect()} <= {0, 1}, lambda x: True),
    ("coalesce", lambda r: r.coalesce(2).collect(), lambda x: x),
    ("coalesce with a shuffle", lambda r: sorted(r.coalesce(2, shuffle=True).collect()), sorted),
    ("sample all", lambda r: r.sample(False, 1.0, 1).collect(), lambda x: x),
    ("sample none", lambda r: r.sample(False, 0.0, 1).collect(), lambda x: []),
    ("cache", lambda r: r.cache().collect(), lambda x: x),
    ("collect", lambda r: r.collect(), lambda x: x),
    ("toLocalIterator", lambda r: list(r.toLocalIterator()), lambda x: x),
    ("take", lambda r: r.take(3), lambda x: x[:3]),
    ("take none", lambda r: (r.take(0), r.take(-1)), lambda x: ([], [])),
    ("take all", lambda r: r.take(1000), lambda x: x),
    ("top", lambda r: r.top(3), lambda x: sorted(x, reverse=True)[:3]),
    ("top by key", lambda r: r.top(3, key=lambda n: n % 3), lambda x: sorted(x, key=lambda n: n % 3, reverse=True)[:3]),
    ("takeOrdered", lambda r: r.takeOrdered(3), lambda x: sorted(x)[:3]),
    ("takeOrdered by key", lambda r: r.takeOrdered(3, key=lambda n: n % 3), lambda x: sorted(x, key=lambda n: n % 3)[:3]),
    ("top of nothing", lambda r: (r.top(0), r.takeOrdered(0)), lambda x: ([], [])),
    ("count", lambda r: r.count(), len),
    ("isEmpty", lambda r: r.isEmpty(), lambda x: not x),
    ("sum", lambda r: r.sum(), sum),
    ("fold", lambda r: r.fold(0, add), sum),
    ("aggregate", lambda r: r.aggregate((0, 0), lambda t, n: (t[0] + n, t[1] + 1), lambda a, b: (a[0] + b[0], a[1] + b[1])), lambda x: (sum(x), len(x))),
    ("countByValue", lambda r: dict(r.countByValue()), lambda x: dict(Counter(x))),
    ("distinct", lambda r: sorted(r.distinct().collect()), lambda x: sorted(set(x))),
    ("distinct in one partition", lambda r: r.distinct(1).collect(), first_of_each),
    ("intersection", lambda r: sorted(r.intersection(r.map(lambda n: n + 1)).collect()), lambda x: sorted(set(x) & {n + 1 for n in x})),
    ("subtract", lambda r: sorted(r.subtract(r.filter(lambda n: n > 2)).collect()), lambda x: sorted(n for n in x if n <= 2)),
    ("groupBy", lambda r: sorted(lists(r.groupBy(lambda n: n % 3).collect())), lambda x: sorted(by_key([(n % 3, n) for n in x]).items())),
    ("mean", lambda r: round(r.mean(), 9), lambda x: round(statistics.fmean(x), 9) if x else 0.0),
    ("stats", lambda r: (r.stats().count(), round(r.stats().sum(), 6)), lambda x: (len(x), round(float(sum(x)), 6))),
]  # fmt: skip

# One result, and an error where there is nothing.
OF_SOMETHING: list[Row] = [
    ("first", lambda r: r.first(), itemgetter(0)),
    ("reduce", lambda r: r.reduce(add), lambda x: reduce(add, x)),
    ("max", lambda r: r.max(), max),
    ("max by key", lambda r: r.max(key=lambda n: -n), min),
    ("min", lambda r: r.min(), min),
    ("min by key", lambda r: r.min(key=lambda n: n % 3), lambda x: min(x, key=lambda n: n % 3)),
]

OF_PAIRS: list[Row] = [
    ("keys", lambda r: r.keys().collect(), lambda x: [k for k, _ in x]),
    ("values", lambda r: r.values().collect(), lambda x: [v for _, v in x]),
    ("mapValues", lambda r: r.mapValues(str).collect(), lambda x: [(k, str(v)) for k, v in x]),
    ("flatMapValues", lambda r: r.flatMapValues(lambda v: [v, v]).collect(), lambda x: [(k, v) for k, v in x for _ in "ab"]),
    ("reduceByKey", lambda r: dict(r.reduceByKey(lambda a, b: b).collect()), dict),
    ("groupByKey", lambda r: dict(lists(r.groupByKey().collect())), lambda x: dict(by_key(x))),
    ("groupByKey in one partition", lambda r: lists(r.groupByKey(1).collect()), lambda x: list(by_key(x).items())),
    ("combineByKey", lambda r: dict(r.combineByKey(lambda v: [v], lambda c, v: [*c, v], lambda c, d: c + d).collect()), lambda x: dict(by_key(x))),
    ("aggregateByKey", lambda r: dict(r.aggregateByKey([], lambda c, v: c.append(v) or c, lambda c, d: c.extend(d) or c).collect()), lambda x: dict(by_key(x))),
    ("foldByKey", lambda r: dict(r.mapValues(lambda v: 1).foldByKey(0, add).collect()), lambda x: dict(Counter(k for k, _ in x))),
    ("countByKey", lambda r: dict(r.countByKey()), lambda x: dict(Counter(k for k, _ in x))),
    ("partitionBy", lambda r: sorted(r.partitionBy(4).collect(), key=repr), lambda x: sorted(x, key=repr)),
    ("sortByKey", lambda r: r.sortByKey(keyfunc=str).collect(), lambda x: sorted(x, key=lambda p: str(p[0]))),
    ("sortByKey descending", lambda r: r.sortByKey(False, 3, keyfunc=str).collect(), lambda x: sorted(x, key=lambda p: str(p[0]), reverse=True)),
    ("collectAsMap", lambda r: r.collectAsMap(), dict),
    ("lookup", lambda r: r.lookup("a"), lambda x: [v for k, v in x if k == "a"]),
    ("lookup where it lies", lambda r: r.partitionBy(3).lookup("a"), lambda x: [v for k, v in x if k == "a"]),
]  # fmt: skip

BESIDE_OTHERS: list[tuple[str, Callable[[RDD, RDD], RDD], Callable[[Rows, Rows], Rows]]] = [
    ("join", lambda r, o: r.join(o), joined),
    ("leftOuterJoin", lambda r, o: r.leftOuterJoin(o), lambda x, y: joined(x, y, keep_left=True)),
    ("rightOuterJoin", lambda r, o: r.rightOuterJoin(o), lambda x, y: joined(x, y, keep_right=True)),
    ("fullOuterJoin", lambda r, o: r.fullOuterJoin(o), lambda x, y: joined(x, y, keep_left=True, keep_right=True)),
    ("subtractByKey", lambda r, o: r.subtractByKey(o), lambda x, y: [(k, v) for k, v in x if k not in by_key(y)]),
    (
        "cogroup",
        lambda r, o: r.cogroup(o).mapValues(lambda sides: tuple(map(list, sides))),
        lambda x, y: [(k, (by_key(x).get(k, []), by_key(y).get(k, []))) for k in {**by_key(x), **by_key(y)}],
    ),
]  # fmt: skip


def names(table: list[Any]) -> Any:
    return pytest.mark.parametrize("row", table, ids=[row[0] for row in table])


def shapes(table: dict[str, Any]) -> Any:
    return pytest.mark.parametrize("shape", table.values(), ids=list(table))


@names(IN_ORDER)
@shapes(NUMBERS)
def test_numbers(sc: Context, row: Row, shape: tuple[Rows, int]) -> None:
    _, engine, python = row
    got, wanted = engine(rdd_of(sc, shape)), python(list(shape[0]))
    assert same(got, wanted), (got, wanted)


@names(OF_SOMETHING)
@shapes(NUMBERS)
def test_one_of_the_numbers(sc: Context, row: Row, shape: tuple[Rows, int]) -> None:
    name, engine, python = row
    rdd = rdd_of(sc, shape)
    if shape[0]:
        assert engine(rdd) == python(list(shape[0]))
        return
    with pytest.raises(EmptyError, match=f"{name.split()[0]}.*empty RDD"):
        engine(rdd)


@names(OF_PAIRS)
@shapes(PAIRS)
def test_pairs(sc: Context, row: Row, shape: tuple[Rows, int]) -> None:
    _, engine, python = row
    assert engine(rdd_of(sc, shape)) == python(list(shape[0]))


@names(BESIDE_OTHERS)
@shapes(PAIRS)
def test_pairs_beside_others(sc: Context, row: Any, shape: tuple[Rows, int]) -> None:
    _, engine, python = row
    for others in (OTHERS, []):
        got = engine(rdd_of(sc, shape), sc.parallelize(others, 2)).collect()
        assert sorted(got, key=repr) == sorted(python(list(shape[0]), others), key=repr)


@names(BESIDE_OTHERS)
@shapes(PAIRS)
def test_pairs_beside_themselves(sc: Context, row: Any, shape: tuple[Rows, int]) -> None:
    _, engine, python = row
    rdd = rdd_of(sc, shape)
    got = engine(rdd, rdd.filter(lambda pair: pair[0] != "b")).collect()
    others = [pair for pair in shape[0] if pair[0] != "b"]
    assert sorted(got, key=repr) == sorted(python(list(shape[0]), others), key=repr)


def test_statistics(sc: Context) -> None:
    numbers = [1.5, -2.0, 3.25, 8.0, 0.0]
    stats = sc.parallelize(numbers, 3).stats()
    assert (stats.count(), stats.min(), stats.max()) == (5, -2.0, 8.0)
    assert stats.mean() == pytest.approx(statistics.fmean(numbers))
    assert stats.variance() == pytest.approx(statistics.pvariance(numbers))
    assert stats.stdev() == pytest.approx(statistics.pstdev(numbers))
    assert stats.sampleVariance() == pytest.approx(statistics.variance(numbers))
    assert stats.sampleStdev() == pytest.approx(statistics.stdev(numbers))
    assert sc.parallelize(numbers, 3).stdev() == pytest.approx(statistics.pstdev(numbers))


def test_for_each_record_and_for_each_partition(sc: Context) -> None:
    seen = sc.accumulator(0)
    sc.parallelize(range(10), 4).foreach(seen.add)
    assert seen.value == 45
    sc.parallelize(range(10), 4).foreachPartition(lambda rows: seen.add(1) if list(rows) else None)
    assert seen.value == 49


def test_group_with_any_number_of_others(sc: Context) -> None:
    one, two, three = (sc.parallelize([("a", i), (i, i)], 2) for i in range(3))
    found = {key: tuple(map(list, groups)) for key, groups in one.groupWith(two, three).collect()}
    assert found == {"a": ([0], [1], [2]), 0: ([0], [], []), 1: ([], [1], []), 2: ([], [], [2])}


def test_names_and_ids(sc: Context) -> None:
    one, two = sc.parallelize([1], 1), sc.parallelize([2], 1)
    assert one.id() != two.id()
    assert one.name() is None
    assert one.setName("numbers") is one
    assert one.name() == "numbers"
    assert "numbers" in repr(one)
    assert one.ctx is sc
