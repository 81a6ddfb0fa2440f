"""A window with an inverse function is as one without, to the class and the order of what is in it."""

from __future__ import annotations

from collections import Counter, namedtuple
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from operator import add, sub
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import RDD, StreamingContext
from penstock.chunk import Rows
from penstock.clock import ManualClock
from penstock.context import Context
from penstock.dstream.exactness import NOTHING, Inexact, joint_shape, shape_of_pairs
from penstock.testing import Stepper, run_batches

pytestmark = pytest.mark.usefixtures("sc")

Function = Callable[[Any, Any], Any]


class Pair(NamedTuple):
    one: Any
    other: Any


class Noted(namedtuple("Noted", "one other")):
    """Has a ``__dict__``, of which equality says nothing."""


def shown(value: Any) -> Any:
    """All there is to see of a value, the order of a dict as well."""
    if isinstance(value, dict):
        return type(value), [(shown(key), shown(each)) for key, each in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value), [shown(each) for each in value]
    return type(value), repr(value)


def made(cls: type, items: Any) -> Any:
    return Pair(*items) if cls is Pair else cls(items)


def add_pairs(one: Any, other: Any) -> Any:
    """Of the class of the older one."""
    return made(type(one), map(add, one, other))


def sub_pairs(one: Any, other: Any) -> Any:
    return made(type(one), map(sub, one, other))


def add_first(one: Any, other: Any) -> Any:
    """Forgets the class, and keeps what the older one has beside the number."""
    return one[0] + other[0], one[1]


def sub_first(one: Any, other: Any) -> Any:
    return one[0] - other[0], one[1]


def add_some(one: Any, other: Any) -> Any:
    return other if one is None else one if other is None else one + other


def sub_some(one: Any, other: Any) -> Any:
    return one if other is None else one - other


def extended(one: Any, other: Any) -> Any:
    one.extend(other)
    return one


def shortened(one: Any, other: Any) -> Any:
    del one[: len(other)]
    return one


def joined(one: Any, other: Any) -> Any:
    return one + other


def rest(one: Any, other: Any) -> Any:
    return one[len(other) :]


def add_deep(one: Any, other: Any) -> Any:
    return (one[0] + other[0], [one[1][0] + other[1][0], one[1][1]])


def sub_deep(one: Any, other: Any) -> Any:
    return (one[0] - other[0], [one[1][0] - other[1][0], one[1][1]])


ints = st.integers(-3, 3)
fractions = st.builds(Fraction, ints, st.integers(1, 3))
numbers = st.one_of(ints, ints, fractions, st.booleans(), st.sampled_from([0.0, 0.5, 1.0, -2.0]))
texts = st.text("xy", max_size=3)
anything = st.one_of(numbers, texts, st.none(), st.tuples(ints), st.builds(Pair, ints, texts))

FAMILIES: dict[str, tuple[Function, Function, st.SearchStrategy[Any]]] = {
    "numbers": (add, sub, numbers),
    "ints and fractions": (add, sub, st.one_of(ints, fractions)),
    "ints and bools": (add, sub, st.one_of(ints, st.booleans())),
    "ints and None": (add_some, sub_some, st.one_of(ints, st.none())),
    "texts": (joined, rest, texts),
    "tuples and lists": (
        add_pairs,
        sub_pairs,
        st.one_of(st.tuples(ints, ints), st.builds(Pair, ints, ints), st.lists(ints, min_size=2, max_size=2)),
    ),
    "tuples of numbers": (add_pairs, sub_pairs, st.one_of(st.tuples(numbers, ints), st.tuples(ints, ints))),
    "named tuples": (add_first, sub_first, st.builds(Pair, ints, st.just("x"))),
    "what equals": (add_first, sub_first, st.tuples(ints, st.sampled_from([1, True, Fraction(1), 1.0]))),
    "counters": (joined, sub, st.builds(Counter, texts)),
    "counters of equals": (joined, sub, st.builds(Counter, st.lists(st.sampled_from([1, True, 1.0, "x"])))),
    "tuples of anything": (joined, rest, st.lists(anything, max_size=3).map(tuple)),
    "lists that are changed": (extended, shortened, st.lists(anything, max_size=3)),
    "deep": (add_deep, sub_deep, st.tuples(ints, st.tuples(numbers, st.just("x")).map(list))),
}


def windows(
    slides: list[list[Any]], fails: set[int], functions: tuple[Function, Function], length: int, slide: int
) -> tuple[dict[int, Any], dict[int, Any]]:
    """What shows of a window without an inverse and with one, by the number of the batch."""
    sc = Context._active
    assert sc is not None
    clock = ManualClock()
    ssc = StreamingContext(sc, 1, clock=clock)
    function, inverse = functions
    pairs = ssc.queueStream([sc.parallelize(one, 2) for one in slides])
    found: tuple[dict[int, Any], dict[int, Any]] = ({}, {})
    for into, given_inverse in zip(found, (None, inverse), strict=True):

        def note(time: Any, rdd: RDD, into: dict[int, Any] = into) -> None:
            into[round(time.timestamp())] = [(key, shown(value)) for key, value in rdd.collect()]

        pairs.reduceByKeyAndWindow(function, given_inverse, length, slide, 2).foreachRDD(note)

    def fail(time: Any, rdd: RDD) -> None:
        if round(time.timestamp()) in fails:
            raise ZeroDivisionError

    pairs.foreachRDD(fail)
    with Stepper(ssc, clock) as stepper:
        for _ in slides:
            try:
                stepper.step()
            except ZeroDivisionError:
                ssc.driver.error = None
    return found


@pytest.mark.many_jobs
@pytest.mark.parametrize("family", FAMILIES)
@given(data=st.data())
def test_whenever_it_started_a_window_is_as_without_an_inverse(family: str, data: st.DataObject) -> None:
    function, inverse, values = FAMILIES[family]
    slides = data.draw(
        st.lists(st.lists(st.tuples(st.sampled_from("ab"), values), max_size=2), min_size=2, max_size=9)
    )
    length, slide = data.draw(st.sampled_from([(2, 1), (3, 1), (4, 1), (4, 2), (9, 1)]))
    fails = data.draw(st.sets(st.integers(1, len(slides)), max_size=2))
    start = data.draw(st.integers(0, len(slides) - 1))
    plain, corrected = windows(slides, fails, (function, inverse), length, slide)
    assert corrected == plain
    late = [slides[now] if now >= start else [] for now in range(len(slides))]
    for each in windows(late, fails, (function, inverse), length, slide):
        for now, pairs in each.items():
            assert now - length < start or pairs == plain[now]


def first(one: Any, other: Any) -> Any:
    return one[0] + other[0], one[1] + other[1]


def first_back(one: Any, other: Any) -> Any:
    return one[0] - other[0], one[1] - other[1]


@pytest.mark.many_jobs
@pytest.mark.parametrize(
    ("function", "inverse", "values"),
    [
        (add, sub, [Fraction(1, 3), 1]),
        (add, sub, [1, 2, Fraction(1, 3), 4, 5, None, 6, 7, Fraction(1, 2), None, None, 8]),
        (first, first_back, [Pair(1, 2), Pair(1, 3), None, (1, 2), (3, 4), Pair(5, 6)]),
        (add, sub, [Counter([1]), Counter([True])]),
        (add, sub, [Counter("y"), Counter("xy")]),
        (joined, rest, [[1], [], [True, 2], None, [3]]),
        (lambda a, b: int(a + b), lambda a, b: int(a - b), [Fraction(1, 2), Fraction(1, 2), 1, 2, None, 3]),
    ],
)
@pytest.mark.parametrize("length", [2, 3, 9])
def test_what_was_found(function: Function, inverse: Function, values: list[Any], length: int) -> None:
    slides = [[] if value is None else [("a", value)] for value in [*values, None, None]]
    plain, corrected = windows(slides, set(), (function, inverse), length, 1)
    assert corrected == plain


MOMENT = datetime(2020, 1, 1)


@pytest.mark.parametrize(
    "values",
    [
        [1, 2],
        ["x", ""],
        [b"x"],
        [None, None],
        [Fraction(1), Fraction(2)],
        [date(2020, 1, 1)],
        [MOMENT],
        [timedelta(1)],
        [(1, "x"), (2, "y")],
        [(1, 2), (3,), ()],
        [[1, 2], [], [3]],
        [[1, "x"], [2, "y"]],
        [Pair(1, "x"), Pair(2, "y")],
        [((1, "x"), ("y", 2)), ((3, "z"), ("w", 4))],
        [[], []],
        [tuple(range(100))],
    ],
)
def test_values_of_one_shape_are_exact_together_and_one_by_one(values: list[Any]) -> None:
    pairs = [("k", value) for value in values]
    assert shape_of_pairs([Rows(pairs)]) not in (None, NOTHING)
    assert shape_of_pairs([Rows([pair]) for pair in pairs]) not in (None, NOTHING)
    assert shape_of_pairs([Rows(pairs), Inexact(pairs)]) is None


@pytest.mark.parametrize(
    "values",
    [
        [1, Fraction(1)],
        [1, True],
        [1, None],
        [1, 1.0],
        [Pair(1, 2), (1, 2)],
        [(1, 2), [1, 2]],
        [date(2020, 1, 1), MOMENT],
        [MOMENT.replace(tzinfo=UTC)],
        [MOMENT, MOMENT.replace(fold=1)],
        [{"a": 1}],
        [Counter("x")],
        [{1}, {2}],
        [frozenset({1})],
        [(1, "x"), ("x", 1)],
        [(1, "x"), (1,)],
        [(1, 1), (1, Fraction(1))],
        [[1], [True]],
        [(1, [{}])],
        [Noted(1, 2)],
        [range(2)],
    ],
)
def test_a_mixture_is_not_exact_together_nor_one_by_one(values: list[Any]) -> None:
    pairs = [("k", value) for value in values]
    assert shape_of_pairs([Rows(pairs)]) is None
    assert shape_of_pairs([Rows([pair]) for pair in pairs]) is None


def test_a_list_that_holds_itself_is_not_exact() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert shape_of_pairs([Rows([("k", endless)])]) is None


alike = st.recursive(
    st.sampled_from([1, "x"]), lambda each: st.lists(each, max_size=2).map(tuple), max_leaves=4
)


@given(parts=st.tuples(*[st.lists(alike, max_size=3)] * 3))
def test_shapes_are_joined_in_any_order(parts: tuple[list[Any], ...]) -> None:
    one, two, three = (shape_of_pairs([Rows([("k", tuple(part))])]) for part in parts)
    assert joint_shape(one, two) == joint_shape(two, one)
    assert joint_shape(joint_shape(one, two), three) == joint_shape(one, joint_shape(two, three))
    assert joint_shape(one, NOTHING) == one


def test_after_a_mixture_has_left_the_inverse_is_used_again() -> None:
    calls: list[Any] = []

    def inverse(value: Any, gone: Any) -> Any:
        calls.append(gone)
        return value - gone

    values = [1, Fraction(1, 2), 3, 4, 5, 6, 7]
    run_batches([[("a", value)] for value in values], lambda s: s.reduceByKeyAndWindow(add, inverse, 2, 1, 1))
    assert calls == [3, 4, 5]
