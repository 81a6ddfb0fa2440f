"""Keys with their values, in whatever order the values came."""

from __future__ import annotations

import pickle

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.chunk import Columns, Grouped

pairs = st.lists(st.tuples(st.integers(0, 6), st.integers(-5, 5)), min_size=1, max_size=40)


def both(records: list[tuple[int, int]]) -> tuple[Grouped, list[tuple[int, list[int]]]]:
    """A chunk of values as they came, and its rows made by hand."""
    expected: dict[int, list[int]] = {}
    for key, value in records:
        expected.setdefault(key, []).append(value)
    slots = np.array([list(expected).index(key) for key, _ in records])
    values = Columns.from_rows([value for _, value in records])
    return Grouped.scattered(Columns.from_rows(list(expected)), slots, values), list(expected.items())


def summed(grouped: Grouped) -> pa.Array:
    slots, values = grouped.by_slots()
    sums = np.zeros(len(grouped), np.int64)
    np.add.at(sums, slots, np.array(values.rows()))
    return pa.array(sums)


@given(pairs)
def test_rows(records: list[tuple[int, int]]) -> None:
    grouped, expected = both(records)
    assert grouped.rows() == expected
    assert len(grouped) == len(expected)
    assert pickle.loads(pickle.dumps(grouped)).rows() == expected


@given(pairs, st.data())
def test_parts_in_any_order_and_parts_of_parts(records: list[tuple[int, int]], data: st.DataObject) -> None:
    grouped, expected = both(records)
    for _ in range(2):
        places = data.draw(st.lists(st.integers(0, len(expected) - 1), unique=True, min_size=1))
        grouped, expected = grouped.take(np.array(places)), [expected[place] for place in places]
        assert grouped.folded("sum", summed).to_pylist() == [sum(values) for _, values in expected]
        assert grouped.keys.rows() == [key for key, _ in expected]
        if data.draw(st.booleans()):
            assert grouped.rows() == expected
        assert sum(map(len, grouped.by_slots())) == 2 * sum(len(values) for _, values in expected)
        assert summed(grouped).to_pylist() == [sum(values) for _, values in expected]


@given(pairs, st.integers(-9, 9), st.integers(-9, 9))
def test_slices(records: list[tuple[int, int]], start: int, stop: int) -> None:
    grouped, expected = both(records)
    assert grouped.slice(start, stop).rows() == expected[start:stop]


def test_a_fold_is_asked_once_for_all_parts() -> None:
    grouped, _ = both([(1, 2), (2, 3), (1, 4)])
    asked: list[int] = []

    def fold(of: Grouped) -> pa.Array:
        asked.append(len(of))
        return summed(of)

    parts = [grouped.take(np.array([place])) for place in (0, 1)]
    assert [part.folded("sum", fold).to_pylist() for part in parts] == [[6], [3]]
    assert asked == [2]
    assert parts[0].folded("another", fold).to_pylist() == [6]
    assert asked == [2, 2]


def test_a_fold_that_is_refused_is_asked_again() -> None:
    grouped, _ = both([(1, 2)])

    def refused(of: Grouped) -> pa.Array:
        raise OverflowError

    for _ in range(2):
        with pytest.raises(OverflowError):
            grouped.folded("sum", refused)


def test_what_is_said_of_it_needs_no_order() -> None:
    grouped, _ = both([(1, 2), (2, 3), (1, 4)])
    part = grouped.take(np.array([1]))
    assert grouped.value_type == part.value_type == Columns.from_rows([1]).row_type
    assert repr(part).endswith("1 keys)")
    assert grouped.isolated() is grouped.lent() is grouped
    assert part.nbytes > 0
