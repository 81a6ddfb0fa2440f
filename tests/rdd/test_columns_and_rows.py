"""Sorting, joining and actions on columns give what they give on rows: values, order and failures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from penstock import RDD, Context
from penstock.errors import failure_of
from penstock.testing import Raised, same
from penstock.vectorize import programs
from tests.laws.engine import CHUNKS, engine

SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        ("price", pa.float64()),
        ("name", pa.string()),
        ("flag", pa.bool_()),
        ("perhaps", pa.int64()),
    ]
)
RECORDS = st.tuples(
    st.sampled_from((0, 1, 2, -1, 2**63 - 1, -(2**63))) | st.integers(-5, 5),
    st.sampled_from((0.0, 1.5, 2.5, -3.0)) | st.sampled_from((-0.0, math.nan, math.inf, 1e300, -1e300, 0.1)),
    st.sampled_from(("", "a", "b", "ab", "é", "\U0001f600", "\uffff")),
    st.booleans(),
    st.none() | st.integers(0, 2),
)
TABLES = st.lists(RECORDS, max_size=12)

KEYS: dict[str, Callable[[Any], Any]] = {
    "number": lambda r: r.number,
    "price": lambda r: r.price,
    "name": lambda r: r.name,
    "flag": lambda r: r.flag,
    "perhaps": lambda r: r.perhaps,
    "name and number": lambda r: (r.name, r.number),
    "flag and price": lambda r: (r.flag, (r.price, r.name)),
    "one for all": lambda r: (),
    "fails": lambda r: 10 // r.number,
    "sometimes another class": lambda r: r.number if r.flag else r.price,
}


def pairs(rdd: RDD, key: Callable[[Any], Any]) -> RDD:
    return rdd.map(lambda r: (key(r), (r.name, r.perhaps)))


@contextmanager
def worth(rows: int) -> Iterator[None]:
    """Chunks of at least so many rows are computed on columns."""
    before = programs.WORTH_ROWS
    programs.WORTH_ROWS = rows
    try:
        yield
    finally:
        programs.WORTH_ROWS = before


class Row(NamedTuple):
    number: int
    price: float
    name: str
    flag: bool
    perhaps: int | None


def table(context: Context, records: list[Any], slices: int, *, in_rows: bool = False) -> RDD:
    if in_rows:
        return context.parallelize([Row(*record) for record in records], slices)
    columns = list(zip(*records, strict=True)) or [()] * len(SCHEMA)
    held = {name: list(values) for name, values in zip(SCHEMA.names, columns, strict=True)}
    return context.fromArrow(pa.table(held, schema=SCHEMA), slices)


def assert_as_rows(
    tables: list[list[Any]],
    slices: int,
    chunk_rows: int,
    runs: dict[str, Callable[..., Any]],
    *,
    in_rows: bool = False,
) -> None:
    """Each of these gives the same of columns as of rows, or fails in the same way."""
    found: list[dict[str, Any]] = []
    for least in (0, 10**9):
        with engine("local[2]", chunk_rows) as context, worth(least):
            rdds = [table(context, each, slices, in_rows=in_rows) for each in tables]
            found.append({what: outcome(run, rdds) for what, run in runs.items()})
    for what in runs:
        on_columns, on_rows = found[0][what], found[1][what]
        if isinstance(on_columns, Raised) and isinstance(on_rows, Raised):
            assert repr(on_columns) == repr(on_rows), what
        else:
            assert same(on_columns, on_rows), f"{what}\n  columns: {on_columns!r}\n  rows:    {on_rows!r}"


def outcome(run: Callable[..., Any], rdds: list[RDD]) -> Any:
    try:
        return run(*rdds)
    except Exception as error:
        failure = failure_of(error)
        return Raised(error, None if failure is None else failure.record)


SORTED: dict[str, Callable[[RDD, Any, bool], Any]] = {
    "sortBy": lambda rdd, key, up: rdd.sortBy(key, up).glom().collect(),
    "sortByKey": lambda rdd, key, up: pairs(rdd, key).sortByKey(up).glom().collect(),
    "sortByKey with a function": lambda rdd, key, up: (
        rdd.map(lambda r: (r, 1)).sortByKey(up, keyfunc=key).collect()
    ),
    "into one": lambda rdd, key, up: rdd.sortBy(key, up, 1).glom().collect(),
    "numbered": lambda rdd, key, up: rdd.sortBy(key, up).zipWithIndex().glom().collect(),
    "first": lambda rdd, key, up: rdd.sortBy(key, up).zipWithIndex().filter(lambda p: p[1] < 2).collect(),
    "none": lambda rdd, key, up: rdd.sortBy(key, up).zipWithIndex().filter(lambda p: p[1] < 0).collect(),
    "first names": lambda rdd, key, up: (
        rdd.sortBy(key, up).map(lambda r: r.name).zipWithIndex().filter(lambda p: p[1] <= 2).collect()
    ),
    "first, with a map that fails": lambda rdd, key, up: (
        rdd.sortBy(key, up).map(lambda r: 1 // r.number).zipWithIndex().filter(lambda p: p[1] <= 2).collect()
    ),
    "first pairs": lambda rdd, key, up: (
        pairs(rdd, key).sortByKey(up).zipWithIndex().filter(lambda p: 0 <= p[1] < 3).keys().collect()
    ),
    "first items": lambda rdd, key, up: (
        pairs(rdd, key)
        .sortBy(lambda p: p[0], up)
        .map(lambda p: p[1])
        .map(lambda v: v[0])
        .zipWithIndex()
        .filter(lambda p: p[1] <= 2)
        .collect()
    ),
    "first of a key that is not there": lambda rdd, key, up: (
        rdd.map(lambda r: (r.name, r.number) if r.flag else (r.name,))
        .sortBy(lambda p: p[0], up)
        .map(lambda p: p[1])
        .zipWithIndex()
        .filter(lambda p: p[1] < 1)
        .collect()
    ),
    "top": lambda rdd, key, up: rdd.top(3, key) if up else rdd.takeOrdered(3, key),
    "extreme": lambda rdd, key, up: rdd.max(key) if up else rdd.min(key),
    "extreme key": lambda rdd, key, up: rdd.map(key).max() if up else rdd.map(key).min(),
    "top key": lambda rdd, key, up: rdd.map(key).top(3) if up else rdd.map(key).takeOrdered(3),
}


@given(
    records=TABLES,
    slices=st.integers(1, 3),
    chunk_rows=st.sampled_from(CHUNKS),
    key=st.sampled_from(sorted(KEYS)),
    ascending=st.booleans(),
    in_rows=st.booleans(),
)
def test_orders(
    records: list[Any], slices: int, chunk_rows: int, key: str, ascending: bool, in_rows: bool
) -> None:
    def by_key(how: str) -> Callable[[RDD], Any]:
        return lambda rdd: SORTED[how](rdd, KEYS[key], ascending)

    assert_as_rows([records], slices, chunk_rows, {how: by_key(how) for how in SORTED}, in_rows=in_rows)


JOINED: dict[str, Callable[[RDD, RDD], RDD]] = {
    "join": RDD.join,
    "leftOuterJoin": RDD.leftOuterJoin,
    "rightOuterJoin": RDD.rightOuterJoin,
    "fullOuterJoin": RDD.fullOuterJoin,
    "subtractByKey": RDD.subtractByKey,
    "subtract": RDD.subtract,
    "intersection": RDD.intersection,
    "cogroup": lambda one, other: one.cogroup(other).mapValues(lambda sides: tuple(map(list, sides))),
    "union": RDD.union,
    "join twice": lambda one, other: one.fullOuterJoin(other).leftOuterJoin(other),
    "join of what was joined": lambda one, other: (
        one.leftOuterJoin(other)
        .map(lambda p: (p[0], p[1][1] is None))
        .rightOuterJoin(one)
        .mapValues(lambda v: v[1])
    ),
}


@given(
    left=TABLES,
    right=TABLES,
    slices=st.integers(1, 3),
    chunk_rows=st.sampled_from(CHUNKS),
    keys=st.sampled_from(sorted(KEYS)) | st.tuples(*[st.sampled_from(sorted(KEYS))] * 2),
    same_values=st.booleans(),
)
def test_joins(
    left: list[Any], right: list[Any], slices: int, chunk_rows: int, keys: Any, same_values: bool
) -> None:
    of_left, of_right = (keys, keys) if isinstance(keys, str) else keys

    def joined(how: str) -> Callable[[RDD, RDD], Any]:
        def run(one: RDD, other: RDD) -> Any:
            theirs = pairs(other, KEYS[of_right])
            if not same_values:
                theirs = theirs.mapValues(lambda value: value[1])
            return JOINED[how](pairs(one, KEYS[of_left]), theirs).glom().collect()

        return run

    assert_as_rows([left, right], slices, chunk_rows, {how: joined(how) for how in JOINED})


ENDED: dict[str, Callable[[RDD], Any]] = {
    "sum": lambda rdd: rdd.map(lambda r: r.number).sum(),
    "sum of floats": lambda rdd: rdd.map(lambda r: r.price).sum(),
    "sum of both": lambda rdd: rdd.map(lambda r: r.number if r.flag else r.price).sum(),
    "sum of flags": lambda rdd: rdd.map(lambda r: r.flag).sum(),
    "sum of names": lambda rdd: rdd.map(lambda r: r.name).sum(),
    "sum of some": lambda rdd: rdd.map(lambda r: r.perhaps).sum(),
    "reduce": lambda rdd: rdd.map(lambda r: r.price).reduce(lambda a, b: a + b),
    "reduce to the largest": lambda rdd: rdd.map(lambda r: r.number).reduce(max),
    "reduce names": lambda rdd: rdd.map(lambda r: r.name).reduce(lambda a, b: a + b),
    "reduce to the last": lambda rdd: rdd.reduce(lambda a, b: b),
    "fold": lambda rdd: rdd.map(lambda r: r.price).fold(0, lambda a, b: a + b),
    "fold ints": lambda rdd: rdd.map(lambda r: r.number).fold(3, lambda a, b: a + b),
    "aggregate": lambda rdd: rdd.aggregate(
        (0, 0.0), lambda a, r: (a[0] + 1, a[1] + r.price), lambda a, b: (a[0] + b[0], a[1] + b[1])
    ),
    "aggregate to a list": lambda rdd: rdd.aggregate([], lambda a, r: [*a, r.number], lambda a, b: a + b),
    "count": lambda rdd: rdd.count(),
    "countByValue": lambda rdd: list(rdd.map(lambda r: (r.flag, r.perhaps)).countByValue().items()),
    "countByKey": lambda rdd: list(rdd.map(lambda r: (r.name, r)).countByKey().items()),
    "stats": lambda rdd: repr(rdd.map(lambda r: r.price).stats()),
    "collectAsMap": lambda rdd: list(rdd.map(lambda r: (r.price, r.number)).collectAsMap().items()),
    "lookup": lambda rdd: rdd.map(lambda r: (r.price, r.name)).lookup(0.0),
    "lookup of a tuple": lambda rdd: rdd.map(lambda r: ((r.name, r.flag), r.number)).lookup(("a", True)),
    "lookup of another class": lambda rdd: rdd.map(lambda r: (r.number, r.name)).lookup(1.0),
    "sample": lambda rdd: rdd.sample(False, 0.5, seed=3).glom().collect(),
    "sample with replacement": lambda rdd: rdd.sample(True, 1.5, seed=3).glom().collect(),
    "zipWithUniqueId": lambda rdd: rdd.zipWithUniqueId().glom().collect(),
    "zip": lambda rdd: rdd.zip(rdd.map(lambda r: r.name)).glom().collect(),
    "coalesce": lambda rdd: rdd.coalesce(1).glom().collect(),
    "repartition": lambda rdd: rdd.repartition(2).glom().collect(),
    "distinct": lambda rdd: rdd.map(lambda r: (r.name, r.flag)).distinct().glom().collect(),
}


@given(records=TABLES, slices=st.integers(1, 3), chunk_rows=st.sampled_from(CHUNKS))
def test_actions(records: list[Any], slices: int, chunk_rows: int) -> None:
    assert_as_rows([records], slices, chunk_rows, ENDED)
