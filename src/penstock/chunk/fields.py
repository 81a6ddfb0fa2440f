"""Records in columns for a function that reads only some of their fields, and no objects of the others."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from penstock.chunk.columns import Columns
from penstock.chunk.records import row_class
from penstock.chunk.row_types import Record, RowType

__all__ = ["PartialRows", "record_at", "with_fields"]


class PartialRows(list[Any]):
    """Stand-ins for the records of a chunk, which have the fields that are read and no others."""

    __slots__ = ("_chunk",)

    def __init__(self, rows: list[Any], chunk: Columns) -> None:
        super().__init__(rows)
        self._chunk = chunk

    def whole(self, index: int) -> Any:
        """The record itself, with all its fields."""
        return self._chunk.slice(index, index + 1).rows()[0]


def with_fields(chunk: Columns, names: frozenset[str]) -> PartialRows | None:
    """The chunk's records with just these fields; ``None`` if they have no such fields, or no others.

    >>> from typing import NamedTuple
    >>> Order = NamedTuple("Order", [("id", int), ("symbol", str)])
    >>> rows = with_fields(Columns.from_rows([Order(1, "EPE")]), frozenset({"id"}))
    >>> rows[0].id, rows.whole(0)
    (1, Order(id=1, symbol='EPE'))
    """
    row_type = chunk.row_type
    if not isinstance(row_type, Record) or not names or not names < set(row_type.names):
        return None
    cls = row_class(tuple(name for name in row_type.names if name in names))
    if cls is None:
        return None
    fields: list[tuple[str, RowType]] = []
    leaves: list[pa.Array] = []
    at = 0
    for name, part in row_type.fields:
        if name in names:
            fields.append((name, part))
            leaves.extend(chunk.leaves[at : at + part.leaf_count])
        at += part.leaf_count
    return PartialRows(Columns(Record(cls, tuple(fields)), leaves, len(chunk)).rows(), chunk)


def record_at(rows: list[Any], index: int) -> Any:
    """The record at a place of a list of rows, whole."""
    return rows.whole(index) if isinstance(rows, PartialRows) else rows[index]
