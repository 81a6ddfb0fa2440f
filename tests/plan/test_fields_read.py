"""A function that stays Python and reads two of ten fields: of the others no objects are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

from penstock import Context
from penstock.chunk import Columns, Record, record_at, with_fields
from penstock.errors import failure_of
from penstock.vectorize import fields_read

TABLE = pa.table({"name": ["a", "b"] * 200, "n": list(range(400)), "x": [0.5] * 400})
noted: list[Any] = []


class Order(NamedTuple):
    name: str
    n: int
    x: float

    def twice(self) -> int:
        return self.n * 2


@dataclass
class Nested:
    order: Order
    rest: int | None


def test_what_counts_as_reading_fields() -> None:
    assert fields_read(lambda o: noted.append((o.name, o.n))) == {"name", "n"}
    assert fields_read(lambda o: noted.append(o)) is None
    assert fields_read(lambda o: o.twice()) is None
    assert fields_read(lambda o: noted.append(lambda: o.name)) is None
    assert fields_read(lambda o: [o.name, vars()]) is None
    assert fields_read(print) is None


def test_only_the_columns_that_are_read_become_objects(sc: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    plain = Columns.rows

    def rows(self: Columns) -> list[Any]:
        made.append(str(self.row_type))
        return plain(self)

    monkeypatch.setattr(Columns, "rows", rows)
    noted.clear()
    found = sc.fromArrow(TABLE, 1).map(lambda row: noted.append(row.n) or [row.n]).collect()
    assert found == [[n] for n in range(400)] == [[n] for n in noted]
    assert made == ["Row(n: int)"]


def test_the_record_that_failed_is_shown_whole(sc: Context) -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        sc.fromArrow(TABLE, 1).map(lambda row: [1 / (row.n - 3)]).collect()
    failure = failure_of(raised.value)
    assert failure is not None
    assert failure.record == "Row(name='b', n=3, x=0.5)"


def test_fields_with_several_columns() -> None:
    rows = [Nested(Order("a", 1, 0.5), None), Nested(Order("b", 2, 1.5), 7)]
    chunk = Columns.from_rows(rows)
    assert isinstance(chunk.row_type, Record)
    for names, values in (({"order"}, [r.order for r in rows]), ({"rest"}, [r.rest for r in rows])):
        some = with_fields(chunk, frozenset(names))
        assert some is not None
        assert [getattr(each, *names) for each in some] == values
        assert [record_at(some, index) for index in range(2)] == rows
    assert with_fields(chunk, frozenset({"order", "rest"})) is None
    assert with_fields(chunk, frozenset({"missing"})) is None
    assert with_fields(chunk, frozenset()) is None
