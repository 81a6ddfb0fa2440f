"""Chunks as bytes: the same records in value, class and order."""

from __future__ import annotations

import enum
from copy import deepcopy
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.chunk import Chunk, Columns, Lines, Rows
from penstock.encoding import decoded, encoded
from penstock.errors import CorruptCheckpoint
from penstock.testing import same


class Order(NamedTuple):
    client: int
    symbol: str | None


class Side(enum.Enum):
    BUY = 1


def fine() -> None:
    """All may be unpickled."""


def refused() -> None:
    raise CorruptCheckpoint("not trusted")


def back(chunk: Chunk) -> Chunk:
    description, data = encoded(chunk)
    return decoded(description, memoryview(bytes(data)), fine)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.binary(max_size=3)
    | st.datetimes()
    | st.dates()
    | st.decimals(allow_nan=False)
    | st.builds(Order, st.integers(-5, 5), st.none() | st.text(max_size=2)),
    lambda inner: st.tuples(inner, inner) | st.lists(inner, max_size=2),
    max_leaves=4,
)


@given(st.lists(values, min_size=1, max_size=6))
def test_rows_come_back_as_they_were(rows: list[Any]) -> None:
    assert same(back(Rows(rows)).rows(), rows)


@given(st.lists(st.tuples(st.text(max_size=3), st.floats()), min_size=1, max_size=9), st.data())
def test_a_slice_of_columns_stores_what_it_shows(rows: list[Any], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(rows)))
    part = Columns.from_rows(rows).slice(start, len(rows))
    assert same(back(part).rows(), rows[start:])


def test_records_of_a_class_that_can_be_found_are_columns() -> None:
    rows = [Order(1, "EPE"), Order(2, None)]
    description, _ = encoded(Rows(rows))
    assert description["kind"] == "columns"
    assert back(Rows(rows)).rows() == rows
    assert {type(row) for row in back(Columns.from_rows(rows)).rows()} == {Order}


def test_records_of_a_class_that_cannot_be_found_are_pickled_whole() -> None:
    class Local(NamedTuple):
        n: int

    description, _ = encoded(Columns.from_rows([Local(1)]))
    assert description["kind"] == "pickle"
    assert back(Rows([Local(1)])).rows() == [(1,)]


@pytest.mark.parametrize(
    "row", [Side.BUY, Decimal("1.00"), datetime(2016, 3, 22, tzinfo=UTC), date(2016, 3, 22)]
)
def test_odd_values(row: Any) -> None:
    assert same(back(Rows([row])).rows(), [row])


def test_nothing_is_unpickled_that_is_not_trusted() -> None:
    description, data = encoded(Rows([{"a": 1}]))
    with pytest.raises(CorruptCheckpoint, match="not trusted"):
        decoded(description, data, refused)
    plain, data = encoded(Rows([("a", 1)]))
    assert decoded(plain, data, refused).rows() == [("a", 1)]


def test_lines_stay_lines() -> None:
    found = back(Lines(b"a\nb\n", "in/x.txt", 7))
    assert isinstance(found, Lines)
    assert (found.data, found.source, found.number) == (b"a\nb\n", "in/x.txt", 7)


def test_a_class_that_has_changed_since_is_said() -> None:
    description, data = deepcopy(encoded(Rows([Order(1, "EPE")])))
    fields = description["type"]["fields"]
    description["type"]["fields"] = [("customer", fields[0][1]), fields[1]]
    with pytest.raises(
        CorruptCheckpoint, match=r"records of the class Order .* with the fields customer, symbol"
    ):
        decoded(description, data, fine)
