"""Changes of tables: many of them are the table that they were taken of."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.chunk import Chunk, Columns, Rows, rows_of
from penstock.state import RowVersion, TableChange, changed, difference, whole
from penstock.testing import same

states = st.integers(-3, 3) | st.sampled_from([0.0, -0.0, float("nan"), None, "x", True]) | st.just((1, "a"))
tables = st.lists(st.tuples(st.integers(0, 8), states), max_size=8, unique_by=lambda pair: pair[0])


def rows_in(change: TableChange) -> list[Any]:
    return list(rows_of(change.entries))


def chunks_of(rows: list[Any], columns: bool) -> list[Chunk]:
    if not rows:
        return []
    return [Columns.from_rows(rows)] if columns else [Rows(rows)]


@given(st.lists(tables, min_size=1, max_size=6), st.booleans())
def test_differences_make_the_last_table(versions: list[list[Any]], close_between: bool) -> None:
    changes = [whole(chunks_of(versions[0], False))]
    for before, after in itertools.pairwise(versions):
        changes.append(difference(chunks_of(before, False), chunks_of(after, False)))
        if close_between:
            changes = [changed(changes, close=False)]
    assert same(rows_in(changed(changes, close=True)), versions[-1])


@given(st.lists(tables, min_size=1, max_size=6))
def test_differences_of_columns_too(versions: list[list[Any]]) -> None:
    numbers = [[(key, float(hash(str(state)) % 3) - 1.0) for key, state in table] for table in versions]
    changes = [whole(chunks_of(numbers[0], True))]
    for before, after in itertools.pairwise(numbers):
        changes.append(difference(chunks_of(before, True), chunks_of(after, True)))
    assert same(rows_in(changed(changes, close=True)), numbers[-1])


@pytest.mark.parametrize("columns", [True, False])
def test_a_difference_holds_what_is_different(columns: bool) -> None:
    before = [(key, float(key)) for key in range(100)]
    after = [(key, -0.0 if key == 0 else state + (key == 7)) for key, state in before] + [(100, 1.0)]
    found = difference(chunks_of(before, columns), chunks_of(after, columns))
    assert (found.slots.tolist(), rows_in(found)) == ([0, 7, 100], [(0, -0.0), (7, 8.0), (100, 1.0)])
    assert not found.whole


def test_states_that_can_be_changed_count_as_different() -> None:
    held = [1]
    found = difference([Rows([("a", held), ("b", 1), ("c", 1)])], [Rows([("a", held), ("b", 1), ("c", 1)])])
    assert found.slots.tolist() == [0]


@given(st.integers(0, 10**6))
def test_changes_of_versions_make_the_newest(seed: int) -> None:
    chance = random.Random(seed)
    version = RowVersion.of([(key, 0) for key in range(chance.randrange(5))], 0)
    changes = [version.image()]
    for time in range(1, 12):
        before = version
        try:
            with before.update(time) as update:
                for _ in range(chance.randrange(6)):
                    key = chance.randrange(200 if chance.random() < 0.5 else 6)
                    if chance.random() < 0.6:
                        update.put(key, chance.random())
                    else:
                        update.remove(key)
                if chance.random() < 0.2:
                    raise KeyError
        except KeyError:
            continue
        version = update.version
        change = version.changes(before)
        changes.append(version.image() if change is None else change)
        found = changed(changes, close=True)
        assert same(rows_in(found), version.pairs().rows())
        times = version.image().times
        assert found.times is not None
        assert times is not None
        assert found.times.tolist() == times.tolist()
    assert same(RowVersion.of_image(version.image()).pairs().rows(), version.pairs().rows())
