"""When two results count as the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

from penstock.rdd import ResultIterable
from penstock.testing import assert_batches_equal, same


class Pair(NamedTuple):
    one: Any
    other: Any


@dataclass
class Box:
    inside: Any


NAN = float("nan")
ALIKE = [
    1,
    1.5,
    -0.0,
    NAN,
    "a",
    None,
    True,
    (1, [2.0, {"a": NAN}]),
    {1, 2},
    frozenset({NAN}),
    Pair(1, NAN),
    Box([NAN]),
    ResultIterable([1, NAN]),
    {"a": 1, "b": 2},
    [],
    {},
    b"x",
]
UNLIKE = [
    (1, 1.0),
    (1, True),
    (0.0, -0.0),
    (0, False),
    ([1], (1,)),
    ([1], [1, 1]),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ({1}, {True}),
    ({1: "a"}, {1.0: "a"}),
    (Pair(1, 2), (1, 2)),
    (Box(1), Box(1.0)),
    (ResultIterable([1]), ResultIterable([1.0])),
    (ResultIterable([1]), [1]),
    ("a", b"a"),
    (None, 0),
    ({1}, {1, 2}),
    (frozenset({1}), {1}),
]


@pytest.mark.parametrize("value", ALIKE, ids=repr)
def test_alike(value: Any) -> None:
    assert same(value, value)
    assert same([value], [value])


@pytest.mark.parametrize(("one", "other"), UNLIKE, ids=repr)
def test_unlike(one: Any, other: Any) -> None:
    assert not same(one, other)
    assert not same(other, one)
    assert not same((1, one), (1, other))


def test_batches_in_any_order() -> None:
    assert_batches_equal([[1, 1.0, "a"], None, []], [["a", 1.0, 1], None, []], ordered=False)
    for got, wanted in (
        ([[1, 1]], [[1, 2]]),
        ([[1]], [[1, 1]]),
        ([None], [[]]),
        ([[1]], [[1.0]]),
        ([[]], []),
    ):
        with pytest.raises(AssertionError):
            assert_batches_equal(got, wanted, ordered=False)


def test_batches_in_order() -> None:
    with pytest.raises(AssertionError, match="batch 1 differs at record 0: 2, expected 3"):
        assert_batches_equal([[1], [2, 3]], [[1], [3, 2]])
    with pytest.raises(AssertionError, match="batch 0 has 1 records, expected 2"):
        assert_batches_equal([[1]], [[1, 2]])
    with pytest.raises(AssertionError, match="1 batches, expected 2"):
        assert_batches_equal([[1]], [[1], []])
