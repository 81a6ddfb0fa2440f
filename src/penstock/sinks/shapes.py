"""What a record is to a file of fields: names, and a value for each.

As in Arrow tables: records of a class have its fields, tuples have ``_1``, ``_2``, ..., anything else is one
field ``value``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any

from penstock.chunk import Optional, Record, RowType, Tuple
from penstock.plan import Node, forms_of

__all__ = ["is_record", "known_type", "names_of_type", "shape_of", "tuple_names"]

Values = Callable[[Any], Sequence[Any]]


@lru_cache(maxsize=64)
def tuple_names(count: int) -> tuple[str, ...]:
    """The names of a tuple's items.

    >>> tuple_names(2)
    ('_1', '_2')
    """
    return tuple(f"_{number}" for number in range(1, count + 1))


@lru_cache(maxsize=256)
def _fields_of(cls: Any) -> tuple[tuple[str, ...], Values] | None:
    if issubclass(cls, tuple) and isinstance(names := getattr(cls, "_fields", None), tuple):
        return names, tuple
    if dataclasses.is_dataclass(cls):
        names = tuple(field.name for field in dataclasses.fields(cls))
        if len(names) == 1:
            get = attrgetter(*names)
            return names, lambda record: (get(record),)
        return names, attrgetter(*names) if names else lambda record: ()
    return None


def _class_of(value: Any) -> Any:
    return type(value)


def is_record(value: Any) -> bool:
    """Whether a value has fields of its own: a tuple, or an instance of a NamedTuple or dataclass."""
    return isinstance(value, tuple) or _fields_of(_class_of(value)) is not None


def shape_of(record: Any) -> tuple[tuple[str, ...], Sequence[Any]]:
    """The names and values of a record's fields.

    >>> shape_of((1, "a")), shape_of(2.5)
    ((('_1', '_2'), (1, 'a')), (('value',), (2.5,)))
    """
    found = _fields_of(_class_of(record))
    if found is not None:
        names, values = found
        return names, values(record)
    if isinstance(record, tuple):
        return tuple_names(len(record)), record
    return ("value",), (record,)


def names_of_type(row_type: RowType) -> tuple[str, ...]:
    """The names of the fields that records of a row type have."""
    if isinstance(row_type, Record):
        return row_type.names
    return tuple_names(len(row_type.items)) if isinstance(row_type, Tuple) else ("value",)


def known_type(plan: Node) -> RowType | None:
    """The row type of a plan's records, if that is known before they are computed and no record may be
    ``None``."""
    form = forms_of(plan)[plan]
    return form if isinstance(form, RowType) and not isinstance(form, Optional) else None
