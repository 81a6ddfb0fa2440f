"""JSON lines: one object a line, fields by name; ``docs/formats.md`` has the rules.

Lines are read one by one with the standard library's reader, which is exact; the values of a block are
then made columns. Arrow's JSON reader is faster and takes other liberties (it takes the last of two keys
of the same name, turns 1.0 into 1, and lets values be absent), so it is not used.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, cast

from penstock.chunk import Columns, Rows
from penstock.chunk.records import values_of
from penstock.errors import ArgumentError
from penstock.formats.base import Block, LineFormat, MalformedLine, Refused, shown_text
from penstock.formats.csv import COLUMNS_FROM
from penstock.formats.fields import Field, fields_of, row_type_of_fields
from penstock.formats.kinds import Choice

__all__ = ["JsonFormat"]

_EXACT_MAX = 2**53
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1


class JsonFormat(LineFormat):
    """Lines of JSON objects with the fields of the record class as names, in any order.

    ``unknown`` is ``"refuse"`` or ``"ignore"``: what to do with names that are no fields.

    >>> from typing import NamedTuple
    >>> class Order(NamedTuple):
    ...     id: int
    ...     price: float | None
    >>> JsonFormat(Order).parse_line('{"id": 1}')
    Order(id=1, price=None)
    """

    def __init__(
        self,
        cls: type,
        *,
        unknown: str = "refuse",
        words: Mapping[str, tuple[str, str]] | None = None,
        formats: Mapping[str, str] | None = None,
        operation: str = "parseJson",
    ) -> None:
        if unknown not in ("refuse", "ignore"):
            raise ArgumentError(f"unknown of {operation} should be 'refuse' or 'ignore', not {unknown!r}")
        self.cls = cls
        self.fields = fields_of(cls, words, formats, operation)
        self.row_type = row_type_of_fields(cls, self.fields)
        self._ignores = unknown == "ignore"
        self._names = tuple(field.name for field in self.fields)
        self._written = {*(words or {}), *_annotated(cls, self.fields)}

    def parse_line(self, text: str) -> Any:
        return values_of(self.cls, self._names, [[value] for value in self._values(text)], 1)[0]

    def parse_block(self, data: bytes, count: int | None = None) -> Block:
        lines = data.decode().split("\n")
        if not lines[-1]:
            lines.pop()
        columns: list[list[Any]] = [[] for _ in self.fields]
        refused: list[Refused] = []
        for index, text in enumerate(lines):
            try:
                values = self._values(text)
            except MalformedLine as problem:
                refused.append(Refused(index, text, str(problem)))
                continue
            for column, value in zip(columns, values, strict=True):
                column.append(value)
        good = len(columns[0])
        if good < COLUMNS_FROM or self.row_type is None:
            return Block(Rows(values_of(self.cls, self._names, columns, good)), refused, [], len(lines))
        arrays = [field.kind.array_of(column) for field, column in zip(self.fields, columns, strict=True)]
        return Block(Columns(self.row_type, arrays, good), refused, [], len(lines))

    def _values(self, text: str) -> list[Any]:
        if not text:
            raise MalformedLine("an empty line")
        try:
            found = json.loads(
                text,
                object_pairs_hook=_Pairs,
                parse_float=_Written,
                parse_int=_Written,
                parse_constant=_refuse,
            )
        except MalformedLine:
            raise
        except RecursionError:
            raise MalformedLine("JSON that is nested too deeply") from None
        except ValueError:
            raise MalformedLine(f"no JSON: {shown_text(text)}") from None
        if type(found) is not _Pairs:
            raise MalformedLine(f"JSON that is no object: {shown_text(text)}")
        held = dict(found)
        if len(held) < len(found):
            names = [name for name, _ in found]
            twice = next(name for name in names if names.count(name) > 1)
            raise MalformedLine(f"the name {shown_text(twice)} is there twice")
        if not self._ignores:
            for name in held:
                if name not in self._names:
                    raise MalformedLine(f"the name {shown_text(name)} is no field")
        return [self._value(field, held) for field in self.fields]

    def _value(self, field: Field, held: dict[str, Any]) -> Any:
        name = ascii(field.name)[1:-1]
        if field.name not in held:
            if field.optional:
                return None
            raise MalformedLine(f"the field {name} is missing")
        given = held[field.name]
        if given is None and field.optional:
            return None
        try:
            return self._exact(field, given)
        except ValueError as problem:
            shown = json.dumps(given) if given is None or type(given) is bool else _shown(given)
            raise MalformedLine(f"the field {name} is {shown}: {problem}") from None

    def _exact(self, field: Field, given: Any) -> Any:
        kind, wanted = field.kind, field.kind.python_type
        if type(given) is str:
            try:
                given.encode()
            except UnicodeEncodeError:
                raise ValueError("holds half of a surrogate pair, which is no text") from None
        if wanted is bool and type(given) is bool and field.name not in self._written:
            return given
        if wanted is str or wanted in (date, datetime) or (wanted is bool and field.name in self._written):
            if type(given) is not str:
                raise ValueError("must be a string")
            return kind.value(given)
        if wanted is bool:
            raise ValueError("must be true or false")
        if type(given) is not _Written:
            raise ValueError("must be a number")
        if wanted is int:
            if not given.is_whole:
                raise ValueError("must be a whole number, without decimals and exponent")
            return kind.value(given.text) if isinstance(kind, Choice) else _int64(given.text)
        if wanted is Decimal:
            return kind.value(given.text)
        return _float(given)


class _Pairs(list[tuple[str, Any]]):
    """An object, with names that are there twice."""


class _Written:
    """A number as it is written."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    @property
    def is_whole(self) -> bool:
        return not any(each in self.text for each in ".eE")


def _int64(text: str) -> int:
    if len(text) > 20 or not _INT_MIN <= int(text) <= _INT_MAX:
        raise ValueError("must fit into 64 bits: from -2**63 to 2**63-1")
    return int(text)


def _float(given: _Written) -> float:
    if given.is_whole and (len(given.text) > 20 or abs(int(given.text)) > _EXACT_MAX):
        raise ValueError("a whole number beyond 2**53 is no exact float: write it with a decimal point")
    value = float(given.text)
    if math.isinf(value):
        raise ValueError("must be a finite number: it is too large")
    return value


def _shown(given: Any) -> str:
    if type(given) is str:
        return shown_text(given)
    if type(given) is _Written:
        return given.text if len(given.text) <= 40 else f"{given.text[:40]}... ({len(given.text)} characters)"
    return "an object" if type(given) is _Pairs else "a list"


def _refuse(word: str) -> Any:
    raise MalformedLine(f"{word} is no JSON")


def _annotated(cls: type, fields: tuple[Field, ...]) -> list[str]:
    """The bools that are written as words, and not as JSON's own."""
    return [
        field.name
        for field in fields
        if field.kind.python_type is bool and cast(Choice, field.kind).words != ("true", "false")
    ]
