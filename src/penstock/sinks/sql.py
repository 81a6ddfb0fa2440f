"""Batches into a table of a database, each in one transaction and once."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from penstock.chunk import Chunk
from penstock.clients.sql import AwareDatetime, BatchKey, RowRefused, SqlDatabase, SqlTable
from penstock.errors import CallSite, RowTypeError, SignatureError
from penstock.plan import Node, OnDriver, Task, raise_located
from penstock.sinks.base import Jobs
from penstock.sinks.shapes import is_record, shape_of

__all__ = ["TableOutput", "column_types"]


class TableOutput:
    """Inserts the records of a batch. ``columns`` makes a row, a dict, of a record; without it a row has the
    fields of the record. ``types`` are those of a table that has to be made; without them the first records
    decide."""

    def __init__(
        self,
        database: SqlDatabase,
        table: SqlTable,
        site: CallSite,
        *,
        columns: Callable[[Any], Mapping[str, Any]] | None,
        types: Mapping[str, type] | None,
        create: bool,
    ) -> None:
        self._database = database
        self._table = table
        self._site = site
        self._columns = columns
        self._types = types
        self._create = create

    def write(self, jobs: Jobs, plan: Node, key: BatchKey) -> bool:
        """Write the batch; false if it was written before. What fails names the table, and the record that
        the database refuses."""
        if self._database.is_done(key):
            return False
        parts = jobs.run(plan, OnDriver(self._rows_of))
        records = [record for part, _ in parts for record in part]
        rows = [row for _, part in parts for row in part]
        types = self._types or (_types_of(rows) if rows else None)
        try:
            self._table.ensure(self._database, types, create=self._create)
            return self._database.once(key, lambda connection: self._table.write(connection, rows))
        except RowRefused as refused:
            error, index = refused.error, refused.index
            error.add_note(f"while writing to the table {self._table.name} of {self._database.label}")
            if not refused.exact:
                found = self._table.first_refused(self._database, rows, index)
                if found is None:
                    raise error from None
                index = found
            raise_located(error, self._site, records[index])
        except Exception as error:
            error.add_note(f"while writing to the table {self._table.name} of {self._database.label}")
            raise

    def _rows_of(self, task: Task, chunks: Iterator[Chunk]) -> tuple[list[Any], list[dict[str, Any]]]:
        records: list[Any] = []
        rows: list[dict[str, Any]] = []
        for chunk in chunks:
            for record in chunk.rows():
                try:
                    rows.append(self._row_of(record))
                except Exception as error:
                    raise_located(error, self._site, record)
                records.append(record)
        return records, rows

    def _row_of(self, record: Any) -> dict[str, Any]:
        if self._columns is not None:
            row = self._columns(record)
            if not isinstance(row, Mapping):
                raise SignatureError(f"columns should return a dict of a record, not {type(row).__name__}")
            return dict(row)
        if isinstance(record, dict):
            return dict(record)
        names, values = shape_of(record)
        if not is_record(record) or not names:
            raise RowTypeError(
                f"a {type(record).__qualname__} has no fields to be columns. Hint: columns=a function that "
                f"makes a dict of it."
            )
        return dict(zip(names, values, strict=True))


def _types_of(rows: Sequence[dict[str, Any]]) -> dict[str, type]:
    """The columns of rows, each with the class of its first value, or one that holds the others too; text for
    a column without any."""
    found: dict[str, type] = {}
    for row in rows:
        for name, value in row.items():
            if value is not None:
                found[name] = _wider(found.get(name), _class_of(value))
    return {name: found.get(name, str) for name in dict.fromkeys(name for row in rows for name in row)}


_WIDER: tuple[tuple[type, ...], ...] = ((bool, int, float, Decimal), (date, datetime, AwareDatetime))


def _wider(one: type | None, other: type) -> type:
    if one is None or one is other:
        return other
    for kinds in _WIDER:
        if issubclass(one, kinds) and issubclass(other, kinds):
            return max(one, other, key=lambda kind: [issubclass(kind, each) for each in kinds][::-1])
    return one


def _class_of(value: Any) -> type:
    return AwareDatetime if isinstance(value, datetime) and value.tzinfo is not None else type(value)


def column_types(cls: Any, operation: str) -> dict[str, type]:
    """The columns that a record class's annotations promise; ``SignatureError`` for a class that has none.

    >>> from typing import NamedTuple
    >>> column_types(NamedTuple("Order", [("id", int), ("price", float | None)]), "saveToSql")
    {'id': <class 'int'>, 'price': <class 'float'>}
    """
    try:
        hints = typing.get_type_hints(cls)
    except Exception as problem:
        raise SignatureError(f"the schema of {operation} cannot be read: {problem}") from problem
    if not isinstance(cls, type) or not hints:
        raise SignatureError(f"the schema of {operation} must be a class with annotated fields, not {cls!r}")
    fields = {name: hint for name, hint in hints.items() if typing.get_origin(hint) is not typing.ClassVar}
    return {name: _class_in(hint) for name, hint in fields.items()}


def _class_in(hint: Any) -> Any:
    if isinstance(hint, typing.NewType):
        return _class_in(hint.__supertype__)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return type(arguments[0])
    if origin is typing.Union or origin is types.UnionType:
        kept = [each for each in arguments if each is not type(None)]
        if len(kept) == 1:
            return _class_in(kept[0])
    return hint
