"""Two partials with the same keys in the same order, folded row by row: as Python does it, or not at all."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, datetime
from operator import add, and_, mul, or_, xor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.chunk import Columns
from penstock.errors import CallSite
from penstock.rdd import CombineValues, Reducing
from penstock.testing import same
from penstock.vectorize import programs

Function = Callable[[Any, Any], Any]

ints = st.integers(-9, 9) | st.sampled_from((2**62, -(2**62), 2**63 - 1, -(2**63)))
floats = st.sampled_from((0.1, -0.0, 0.0, 1e308, -1e308, math.inf, -math.inf, math.nan, 0.3, 7.0))
times = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)).map(lambda time: time.replace(fold=0))
several = st.tuples(ints, floats, st.text(max_size=1))

FOLDS: dict[str, tuple[Function, st.SearchStrategy[Any]]] = {
    "sum": (add, ints),
    "sum of floats": (add, floats),
    "product": (mul, ints),
    "product of floats": (mul, floats),
    "max": (max, ints),
    "min": (min, ints),
    "max of floats": (max, floats),
    "min of floats": (min, floats),
    "max of dates": (max, st.dates(date(1970, 1, 1), date(2100, 1, 1))),
    "min of times": (min, times),
    "and": (and_, ints),
    "or": (or_, ints),
    "xor": (xor, ints),
    "both": (lambda a, b: a and b, st.booleans()),
    "either": (lambda a, b: a or b, st.booleans()),
    "first": (lambda a, b: a, st.text(max_size=2)),
    "last": (lambda a, b: b, st.text(max_size=2)),
    "last, if any": (lambda a, b: b, st.none() | ints),
    "twice the later": (lambda a, b: a + 2 * b, ints),
    "only what is positive": (lambda a, b: a + b if b > 0 else a, ints),
    "several": (lambda a, b: (a[0] + b[0], max(a[1], b[1]), b[2]), several),
    "no fold": (lambda a, b: a - b * a, ints),
}  # fmt: skip
KEYS: list[st.SearchStrategy[Any]] = [
    st.integers(0, 9),
    st.text(max_size=2),
    st.tuples(st.integers(0, 3), st.text(max_size=1)),
    st.none() | st.integers(0, 4),
    st.sampled_from((0.0, 1.5, -2.0)),
]


def in_python(function: Function, pairs: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    values: dict[Any, Any] = {}
    for key, value in pairs:
        values[key] = function(values[key], value) if key in values else value
    return list(values.items())


@pytest.mark.parametrize("name", FOLDS)
@given(data=st.data(), other_order=st.booleans())
def test_the_same_as_in_python(name: str, data: Any, other_order: bool) -> None:
    function, values = FOLDS[name]
    keys = data.draw(
        st.sampled_from(KEYS).flatmap(lambda each: st.lists(each, min_size=1, max_size=6, unique=True))
    )
    one, other = [[(key, data.draw(values)) for key in keys] for _ in range(2)]
    if other_order:
        other.reverse()
    combine = CombineValues(Reducing(function, CallSite("window")), partials=True)
    before, programs.WORTH_ROWS = programs.WORTH_ROWS, 0
    try:
        made = combine.on_columns_of_both([Columns.from_rows(one)], [Columns.from_rows(other)])
    finally:
        programs.WORTH_ROWS = before
    if made is not None:
        assert same([pair for chunk in made for pair in chunk.rows()], in_python(function, one + other))


EXAMPLES: dict[str, list[Any]] = {
    "several": [(1, 0.5, "a"), (2, 1.5, "b")],
    "max of dates": [date(2026, 1, 1), date(2026, 1, 2)],
    "min of times": [datetime(2026, 1, 1), datetime(2026, 1, 2)],
    "both": [True, False],
    "either": [True, False],
    "first": ["a", "b"],
    "last": ["a", "b"],
    "last, if any": [1, None],
}


@pytest.mark.parametrize("name", [name for name in FOLDS if name != "no fold"])
def test_what_is_folded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a look at the keys, and with some."""
    monkeypatch.setattr(programs, "WORTH_ROWS", 0)
    function, _ = FOLDS[name]
    values = EXAMPLES.get(name) or ([0.5, 1.5] if "floats" in name else [1, 2])
    one = list(zip("xy", values, strict=True))
    combine = CombineValues(Reducing(function, CallSite("window")), partials=True)
    for other in (list(zip("xy", reversed(values), strict=True)), list(zip("yx", values, strict=True))):
        made = combine.on_columns_of_both([Columns.from_rows(one)], [Columns.from_rows(other)])
        assert made is not None
        assert [pair for chunk in made for pair in chunk.rows()] == in_python(function, one + other)
