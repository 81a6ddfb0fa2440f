"""Folds by key on columns: what is recognised, and that it goes on in Python where it has to."""

from __future__ import annotations

from collections.abc import Callable
from operator import add, mul, or_
from typing import Any

import pytest

from penstock.chunk import Columns, exact_row_type
from penstock.errors import CallSite
from penstock.plan import Metrics, Task
from penstock.rdd import Aggregator, CombineValues, Reducing
from penstock.testing import same
from penstock.vectorize import FoldPlan, KeyedFold, Untraced, fold_plan, programs

SITE = CallSite("test")
TASK = Task(0, 1, Metrics())
INTS = [[("a", 1), ("b", 5), ("a", -3)], [("c", 7), ("a", 2), ("b", 5)]]
FLOATS = [[("a", 0.1), ("b", 1e16), ("a", 0.2)], [("a", 0.3), ("b", 1.0), ("b", -1e16)]]
BOOLS = [[("a", True), ("b", False)], [("a", False), ("b", True)]]
PAIRS = [[("a", (1, 0.5)), ("b", (2, 1.5))], [("a", (3, 2.5)), ("c", (4, 0.25))]]
TEXTS = [[("a", "x"), ("b", "y")], [("a", "z"), ("b", "w")]]
OPTIONAL = [[("a", None), ("b", 2)], [("a", 3), ("b", None)]]


def columns(rows: list[Any], like: list[list[Any]]) -> Columns:
    return Columns.from_rows(rows, exact_row_type([row for part in like for row in part]))


def on(chunks: list[list[Any]], aggregator: Aggregator, worth: int) -> list[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "WORTH_ROWS", worth)
        step = CombineValues(aggregator, partials=False)
        made = step.run(TASK, iter([columns(part, chunks) for part in chunks]))
        return [row for chunk in made for row in chunk.rows()]


RECOGNISED: list[tuple[Callable[[Any, Any], Any], list[list[Any]], str]] = [
    (add, INTS, "add"),
    (add, FLOATS, "add"),
    (lambda a, b: b + a, FLOATS, "add"),
    (lambda a, b: a - b, INTS, "add"),
    (lambda a, b: a + b * 2 + 1, INTS, "add"),
    (lambda a, b: a + b if b > 1 else a, INTS, "add"),
    (lambda a, b: a + b if b > 0.15 else a, FLOATS, "add"),
    (mul, INTS, "mul"),
    (mul, FLOATS, "mul"),
    (max, INTS, "max"),
    (min, FLOATS, "min"),
    (lambda a, b: a if a < b else b, INTS, "min"),
    (lambda a, b: b if a <= b else a, FLOATS, "max"),
    (lambda a, b: a and b, BOOLS, "and"),
    (lambda a, b: a or b, BOOLS, "or"),
    (or_, INTS, "or"),
    (lambda a, b: a ^ b, INTS, "xor"),
    (lambda a, b: a, TEXTS, "first"),
    (lambda a, b: b, TEXTS, "last"),
    (lambda a, b: b, OPTIONAL, "last"),
    (lambda a, b: (a[0] + b[0], max(a[1], b[1])), PAIRS, "add"),
]


@pytest.mark.parametrize(("function", "chunks", "how"), RECOGNISED)
def test_reducers_that_are_recognised(
    function: Callable[[Any, Any], Any], chunks: list[list[Any]], how: str
) -> None:
    plan = fold_plan(None, function, exact_row_type([row for part in chunks for row in part]))
    assert isinstance(plan, FoldPlan)
    assert plan.parts[0].how == how
    fold = KeyedFold(plan)
    assert all(fold.push(columns(part, chunks)) for part in chunks)
    wanted = on(chunks, Reducing(function, SITE), 10**9)
    assert same(list(fold.groups().items()), wanted)
    assert same(fold.pairs().rows(), wanted)


@pytest.mark.parametrize(
    ("function", "chunks"),
    [
        (lambda a, b: a * 2 + b, INTS),
        (lambda a, b: a + b + 0.5, FLOATS),  # floats are not added in another order
        (lambda a, b: a / b, INTS),
        (lambda a, b: a + b if a > 1 else a, INTS),
        (lambda a, b: a + b, TEXTS),
        (lambda a, b: (b[1], a[0]), PAIRS),
    ],
)
def test_reducers_that_are_not(function: Callable[[Any, Any], Any], chunks: list[list[Any]]) -> None:
    plan = fold_plan(None, function, exact_row_type([row for part in chunks for row in part]))
    assert isinstance(plan, Untraced)
    reducing = Reducing(function, SITE)
    assert same(on(chunks, reducing, 0), on(chunks, reducing, 10**9))


GOING_ON = {
    "a sum that leaves 64 bits": (add, [[("a", 2**62), ("b", 1)], [("a", 2**62), ("b", 2)], [("a", 5)]]),
    "a product that leaves 64 bits": (mul, [[("a", 2**40)], [("a", 2**30)], [("a", 3)]]),
    "a NaN as a key": (add, [[(1.5, 1)], [(float("nan"), 2), (float("nan"), 3), (1.5, 4)]]),
    "both zeros as keys": (add, [[(0.0, 1)], [(-0.0, 2), (0.0, 4)]]),
    "a NaN among values": (max, [[("a", 1.0)], [("a", float("nan")), ("a", 2.0)], [("a", 3.0)]]),
    "both zeros among values": (min, [[("a", 0.0)], [("a", -0.0)]]),
}


@pytest.mark.parametrize("case", GOING_ON)
def test_a_fold_that_is_refused_goes_on_in_python(case: str) -> None:
    function, chunks = GOING_ON[case]
    reducing = Reducing(function, SITE)
    assert same(on(chunks, reducing, 0), on(chunks, reducing, 10**9))


def test_a_partial_that_is_made_of_the_first_value() -> None:
    mean = Aggregator(
        lambda v: (v * 10, 1),
        lambda c, v: (c[0] + v, c[1] + 1),
        lambda a, b: (a[0] + b[0], a[1] + b[1]),
        SITE,
    )
    assert isinstance(mean.columns(exact_row_type(INTS[0]), partials=False), KeyedFold)
    assert same(on(INTS, mean, 0), on(INTS, mean, 10**9))
    last = Aggregator(lambda v: -v, lambda c, v: v, lambda a, b: b, SITE)
    assert isinstance(last.columns(exact_row_type(INTS[0]), partials=False), KeyedFold)
    assert same(on(INTS, last, 0), on(INTS, last, 10**9))


def test_a_partial_that_changes_its_class_stays_rows() -> None:
    found = fold_plan(lambda v: 0, lambda c, v: c + v, exact_row_type(FLOATS[0]))
    assert isinstance(found, Untraced)
    assert "changes from int to float" in found.reason


def test_floats_are_added_in_the_order_of_the_rows_whatever_the_chunks() -> None:
    values = [0.1 * i * (-1) ** i + 1e10 for i in range(1000)]
    wanted = 0.0
    for value in values:
        wanted = value if wanted == 0.0 else wanted + value
    for size in (1, 7, 1000):
        chunks = [[("k", v) for v in values[at : at + size]] for at in range(0, 1000, size)]
        assert on(chunks, Reducing(add, SITE), 0) == [("k", wanted)]
