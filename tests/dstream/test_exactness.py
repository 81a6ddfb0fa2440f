"""With an inverse function a window is what it is without one: in type, value, order, whatever it holds."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import Context
from penstock.chunk import Rows
from penstock.dstream.exactness import NOTHING, exact_form, joined_form
from penstock.testing import run_batches, same

pytestmark = pytest.mark.usefixtures("sc")


class Pair(NamedTuple):
    n: int
    total: int


def plus(a: Any, b: Any) -> Any:
    if isinstance(a, tuple):
        return (a[0] + b[0], a[1] + b[1])
    if isinstance(a, str):
        return a + str(b)
    return a + b


def minus(a: Any, b: Any) -> Any:
    if isinstance(a, tuple):
        return (a[0] - b[0], a[1] - b[1])
    if isinstance(a, (str, list)):
        return a[len(b) :]
    return a - b


def both(batches: list[Any], length: int) -> tuple[Any, Any]:
    return (
        run_batches(batches, lambda s: s.reduceByKeyAndWindow(plus, minus, length, 1, 1)),
        run_batches(batches, lambda s: s.reduceByKeyAndWindow(plus, None, length, 1, 1)),
    )


@pytest.mark.parametrize(
    "values",
    [
        (Fraction(1, 3), 1),
        (1, Fraction(1, 3), Fraction(2, 3)),
        (Pair(1, 2), Pair(1, 3)),
        (Pair(1, 2), (1, 3), (2, 2)),
        (Counter([1]), Counter([True])),
        (Counter("y"), Counter("xy")),
        (True, 2, 3),
        (0.1, 0.2, 1, 2),
        ((1, 0.1), (2, 1), (3, 4)),
        ("a", "b", "c"),
        ([1], [2, 3], []),
        ([1], [True], [2]),
    ],
    ids=repr,
)
def test_the_window_with_an_inverse_is_the_one_without(values: Any, sc: Context) -> None:
    batches = [[("k", value)] for value in values] + [[], [("k", values[-1])], []]
    with_inverse, without = both(batches, 2)
    assert same(with_inverse, without)
    assert repr(with_inverse) == repr(without)


kinds = {
    "numbers": st.integers(-3, 3) | st.booleans() | st.fractions(-2, 2, max_denominator=3) | st.just(0.5),
    "pairs": st.tuples(st.integers(0, 3), st.integers(0, 3) | st.just(0.5))
    | st.builds(Pair, st.integers(0, 2), st.integers(0, 2)),
    "counters": st.lists(st.sampled_from([1, True, "x", 2]), min_size=1, max_size=3).map(Counter),
    "lists": st.lists(st.integers(0, 2) | st.booleans(), max_size=2),
}


@given(st.sampled_from(sorted(kinds)), st.integers(2, 12), st.data())
def test_whatever_slides_hold(kind: str, length: int, data: st.DataObject) -> None:
    pairs = st.lists(st.tuples(st.sampled_from("ab"), kinds[kind]), max_size=2)
    batches = data.draw(st.lists(pairs, min_size=1, max_size=14))
    with_inverse, without = both(batches, length)
    assert same(with_inverse, without)
    assert repr(with_inverse) == repr(without)


@pytest.mark.parametrize(
    ("values", "form"),
    [
        ([], NOTHING),
        ([1, 2], int),
        ([(1, "a"), (2, "b")], (int, str)),
        ([[1], []], [int]),
        ([[], []], [NOTHING]),
        ([(), ()], (tuple,)),
        ([1, True], None),
        ([1, None], None),
        ([(1,), (1, 2)], None),
        ([Pair(1, 2)], None),
        ([{1: 2}], None),
        ([{1}], None),
        ([1.5], None),
    ],
)
def test_forms(values: list[Any], form: Any) -> None:
    assert exact_form([Rows([("k", value) for value in values])]) == form


def test_forms_that_meet() -> None:
    assert joined_form((int, [NOTHING]), (int, [str])) == (int, [str])
    assert joined_form((int, str), (int, int)) is None
    assert joined_form(int, None) is None
