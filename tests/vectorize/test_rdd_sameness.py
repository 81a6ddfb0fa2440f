"""RDDs of columns == RDDs of rows: random functions before every operator that knows columns."""

from __future__ import annotations

import operator
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from penstock import Conf, Context
from penstock.chunk import Chunk, Columns, Rows
from penstock.errors import RowTypeError, failure_of
from penstock.plan.slices import SliceReader
from penstock.rdd import RDD
from penstock.testing import same
from penstock.vectorize import programs
from tests.vectorize.generated import KINDS, Writer, filter_body, map_body, records, written

FOLDS: dict[str, Sequence[Callable[[Any, Any], Any]]] = {
    "int": (
        operator.add, operator.mul, max, min, lambda a, b: a + b, lambda a, b: b, lambda a, b: a,
        lambda a, b: a if a > b else b, lambda a, b: b if b < a else a, lambda a, b: a | b, lambda a, b: a - b,  # noqa: E501
        lambda a, b: a + b * 2, lambda a, b: a or b, lambda a, b: a + 1 // b, lambda a, b: a // b,
    ),
    "float": (
        operator.add, operator.mul, max, min, lambda a, b: a + b, lambda a, b: b, lambda a, b: a if a >= b else b,  # noqa: E501
        lambda a, b: a * 0.5 + b, lambda a, b: a and b, lambda a, b: a - b, lambda a, b: b + a,
    ),
    "str": (operator.add, max, min, lambda a, b: b, lambda a, b: a or b),
    "bool": (operator.and_, operator.or_, operator.add, lambda a, b: a and b, lambda a, b: a or b, max),
    "pair": (
        lambda a, b: (a[0] + b[0], a[1] + b[1]),
        lambda a, b: (max(a[0], b[0]), min(a[1], b[1])),
        lambda a, b: (a[0], b[1]),
        lambda a, b: a if a[0] >= b[0] else b,
        lambda a, b: a + b,
        lambda a, b: (a[0] + b[0], a[1] + b[0]),
        max,
    ),
}  # fmt: skip

Ending = Callable[[RDD], Any]


def folded(kind: str, rng: random.Random) -> Ending:
    """Some operator that folds values of this kind by key, or orders or counts them."""
    merge = rng.choice(FOLDS[kind])
    zero = {"int": 0, "float": 0.0, "str": "", "bool": False, "pair": (0, 0.0)}[kind]
    parts, ascending = rng.choice((1, 2, 3)), rng.choice((True, False))
    return rng.choice(
        (
            lambda rdd: rdd.reduceByKey(merge, parts),
            lambda rdd: rdd.reduceByKey(merge, parts),
            lambda rdd: rdd.foldByKey(zero, merge, parts),
            lambda rdd: rdd.combineByKey(lambda v: v, merge, merge, parts),
            lambda rdd: rdd.combineByKey(lambda v: (v, 1), _count, _counts, parts),
            lambda rdd: rdd.aggregateByKey((0, 0), lambda a, v: (a[0] + 1, a[1]), _counts, parts),
            lambda rdd: rdd.groupByKey(parts).mapValues(list),
            lambda rdd: rdd.mapValues(lambda v: (v, 1)).reduceByKey(lambda a, b: (a[0], a[1] + b[1]), parts),
            lambda rdd: rdd.mapValues(lambda v: v).values(),
            lambda rdd: rdd.keys().distinct(parts),
            lambda rdd: rdd.values().distinct(parts),
            lambda rdd: rdd.distinct(parts),
            lambda rdd: rdd.sortBy(lambda p: p[0], ascending, parts),
            lambda rdd: rdd.sortBy(lambda p: p[1], True, parts),
            lambda rdd: rdd.sortByKey(ascending, parts),
            lambda rdd: rdd.join(rdd.mapValues(lambda v: 1), parts),
            lambda rdd: rdd.leftOuterJoin(rdd.filter(lambda p: p[1]), parts),
            lambda rdd: rdd.cogroup(rdd, numPartitions=parts).mapValues(lambda p: tuple(map(list, p))),
            lambda rdd: rdd.keyBy(lambda p: p[1]),
            lambda rdd: rdd.partitionBy(parts),
            lambda rdd: rdd.repartition(parts),
            lambda rdd: rdd.zipWithIndex(),
            lambda rdd: rdd.union(rdd).reduceByKey(merge, parts),
            lambda rdd: rdd.subtractByKey(rdd.filter(lambda p: p[1]), parts),
            lambda rdd: rdd.countByKey(),
            lambda rdd: rdd.countByValue(),
            lambda rdd: rdd.values().countByValue(),
            lambda rdd: rdd.values().reduce(merge),
            lambda rdd: rdd.values().fold(zero, merge),
            lambda rdd: rdd.values().max(),
            lambda rdd: rdd.values().sum(),
            lambda rdd: rdd.values().stats().asDict(),
            lambda rdd: rdd.top(3),
            lambda rdd: rdd.takeOrdered(3, lambda p: p[1]),
            lambda rdd: rdd.count(),
            lambda rdd: rdd.take(2),
            lambda rdd: rdd.collectAsMap(),
        )
    )


def _count(a: Any, v: Any) -> Any:
    return (v, a[1] + 1)


def _counts(a: Any, b: Any) -> Any:
    return (a[0] + b[0], a[1] + b[1])


def pipeline(rng: random.Random) -> tuple[list[list[Any]], Callable[[RDD], Any], str]:
    """Records by partition, what is done with them, and its text."""
    kind = rng.choice(KINDS)
    steps: list[tuple[str, Callable[[Any], Any]]] = []
    texts: list[str] = []

    def step(what: str, body: Callable[[Writer, int], str]) -> None:
        text = written(rng, kind, body)
        steps.append((what, text.compiled()))
        texts.append(f"{what}: {text.definitions} {text.expression}")

    for _ in range(rng.choice((0, 0, 1, 2))):
        step("filter", filter_body)
    value = rng.choice(tuple(FOLDS))
    key = rng.choice(("int", "int", "str", "bool", "float", "datetime", "pair"))

    def pair(writer: Writer, depth: int) -> str:
        def one(kind: str) -> str:
            if kind == "pair":
                return f"({writer.expression('int', 0)}, {writer.expression('float', depth - 1)})"
            return writer.expression(kind, depth - 1)

        return f"({one(key)}, {one(value)})"

    end: Ending
    if rng.random() < 0.85:
        step("map", pair)
        end = folded(value, rng)
    else:
        step("map", map_body(kind))
        end = rng.choice(
            (lambda rdd: rdd, lambda rdd: rdd.distinct(2), lambda rdd: rdd.count(), lambda rdd: rdd.first())
        )

    def run(rdd: RDD) -> Any:
        for what, function in steps:
            rdd = getattr(rdd, what)(function)
        found = end(rdd)
        return found.glom().collect() if isinstance(found, RDD) else found

    rows = records(rng, kind, rng.choice((4, 9, 20)))
    cut = rng.randrange(len(rows))
    return [rows[:cut], rows[cut:]], run, "\n".join(texts)


def outcome(run: Callable[[], Any]) -> Any:
    """What it gives, or the class of what it raises and the record at which."""
    try:
        return run()
    except Exception as error:
        failure = failure_of(error)
        return (type(error), None if failure is None else (failure.record, str(error)))


def compare(context: Context, rng: random.Random) -> tuple[bool, str]:
    """Whether a random pipeline gave something that is not an error, the same for columns and for rows."""
    partitions, run, shown = pipeline(rng)
    size = rng.choice((2, 3, 100))
    try:
        chunks: list[list[Chunk]] = [
            [Columns.from_rows(rows[at : at + size]) for at in range(0, len(rows), size)]
            for rows in partitions
        ]
    except RowTypeError:
        return False, "no row type"

    def rdd(of: Callable[[Chunk], Chunk]) -> RDD:
        return context._source("records", [SliceReader(list(map(of, part))) for part in chunks])

    got = outcome(lambda: run(rdd(lambda chunk: chunk)))
    wanted = outcome(lambda: run(rdd(lambda chunk: Rows(chunk.rows()))))
    assert same(got, wanted), (
        f"columns give\n  {got}\nrows give\n  {wanted}\nof\n{shown}\non {partitions}, {size}"
    )
    return True, "error" if isinstance(got, tuple) and len(got) == 2 and isinstance(got[0], type) else "fine"


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch) -> Iterator[Context]:
    monkeypatch.setattr(programs, "WORTH_ROWS", 1)
    conf = Conf().setMaster("local[1]").setAppName("sameness")
    with warnings.catch_warnings(), Context(conf=conf) as made:
        warnings.simplefilter("ignore", SyntaxWarning)
        yield made


def prove(context: Context, seed: int, count: int) -> None:
    fine = 0
    for number in range(count):
        try:
            done, how = compare(context, random.Random(f"{seed} {number}"))
        except AssertionError as problem:
            raise AssertionError(f"pipeline {seed} {number}: {problem}") from None
        fine += done and how == "fine"
    assert fine > count * 0.4, f"{fine} of {count}"


def test_random_pipelines_give_in_columns_what_they_give_in_rows(context: Context, seed: int) -> None:
    prove(context, seed, 200)


@pytest.mark.long
@pytest.mark.parametrize("part", range(5))
def test_very_many_random_pipelines_give_in_columns_what_they_give_in_rows(
    context: Context, seed: int, part: int
) -> None:
    prove(context, seed + part, 2_000)
