"""Arrow tables from outside as columns, and columns as the tables that others expect.

Going out, a scalar is one column named ``value``; a tuple has the columns ``_1``, ``_2``, ... as in
Spark; a record has one column for each field; what is nested in them is a struct. Coming in, the rows
of a table are records, of one column as well as of many, so that a new column does not change what
a row is: instances of a NamedTuple ``Row`` with the columns' names, or plain tuples where the names
cannot be attributes (``_1``, ``a price``, ``class``, or the same name twice). Hence tuples come back as
tuples; scalars come back as ``Row(value=...)`` and records of a user's class as ``Row``: say
``.map(lambda row: row.value)`` or ``.map(lambda row: Order(*row))``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any

import pyarrow as pa
from pyarrow import types as arrow

from penstock.chunk import leaves as leaf
from penstock.chunk.records import row_class
from penstock.chunk.row_types import SCALARS, Optional, Record, RowType, Scalar, Tuple
from penstock.errors import RowTypeError

__all__ = ["arrow_schema", "batch_of", "leaves_of", "row_type_of_schema", "row_type_of_table"]

_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = datetime.resolution
_RANGES: dict[type, tuple[int, int]] = {
    datetime: ((datetime.min - _EPOCH) // _MICROSECOND, (datetime.max - _EPOCH) // _MICROSECOND),
    date: (date.min.toordinal() - _EPOCH.toordinal(), date.max.toordinal() - _EPOCH.toordinal()),
}


def arrow_schema(row_type: RowType) -> pa.Schema:
    """How records of this row type look outside.

    >>> arrow_schema(Tuple((Scalar(str), Optional(Scalar(int)))))
    _1: string not null
    _2: int64
    """
    return pa.schema(_fields(row_type) if _has_names(row_type) else [_field("value", row_type)])


def _has_names(row_type: RowType) -> bool:
    return isinstance(row_type, (Tuple, Record))


def _names(row_type: RowType) -> Sequence[str]:
    if isinstance(row_type, Record):
        return row_type.names
    return [f"_{number}" for number in range(1, len(row_type.parts) + 1)]


def _fields(row_type: RowType, below_optional: bool = False) -> list[pa.Field]:
    named = zip(_names(row_type), row_type.parts, strict=True)
    return [_field(name, part, below_optional) for name, part in named]


def _field(name: str, row_type: RowType, below_optional: bool = False) -> pa.Field:
    """Below a struct that may be null all may: Parquet's writer refuses nulls of the struct otherwise."""
    inner = row_type.inner if isinstance(row_type, Optional) else row_type
    optional = inner is not row_type or below_optional
    if isinstance(inner, Scalar):
        return pa.field(
            name, SCALARS[inner.python_type], nullable=optional or inner.python_type is type(None)
        )
    return pa.field(name, pa.struct(_fields(inner, optional)), nullable=optional)


def batch_of(row_type: RowType, leaves: Sequence[pa.Array], length: int) -> pa.RecordBatch:
    """The leaves as a record batch of the schema :func:`arrow_schema`."""
    schema, rest = arrow_schema(row_type), iter(leaves)
    if not _has_names(row_type):
        return pa.RecordBatch.from_arrays([_array(row_type, schema.field(0), rest, length)], schema=schema)
    arrays = [_array(part, each, rest, length) for part, each in zip(row_type.parts, schema, strict=True)]
    if not arrays:  # the only way to a batch of rows without columns
        return pa.RecordBatch.from_struct_array(_struct(pa.struct([]), None, [], length))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _array(row_type: RowType, field: pa.Field, leaves: Iterator[pa.Array], length: int) -> pa.Array:
    inner = row_type.inner if isinstance(row_type, Optional) else row_type
    if isinstance(inner, Scalar):
        return next(leaves)
    validity = None
    if inner is not row_type:
        presence = next(leaves)
        validity = leaf.packed(leaf.numpy_of(bool, presence)) if length else None
    children = [
        _array(part, each, leaves, length) for part, each in zip(inner.parts, field.type, strict=True)
    ]
    return _struct(field.type, validity, children, length)


def _struct(kind: pa.DataType, validity: pa.Buffer | None, children: list[pa.Array], length: int) -> pa.Array:
    return pa.Array.from_buffers(kind, length, [validity], children=children)


def row_type_of_table(table: pa.Table | pa.RecordBatch) -> RowType:
    """As :func:`row_type_of_schema`, but ``Optional`` are exactly the columns that do hold nulls."""
    named = zip(table.schema, table.columns, strict=True)
    return row_type_of_schema(pa.schema([_narrowed(field, column, 0) for field, column in named]))


def _narrowed(field: pa.Field, column: pa.ChunkedArray | pa.Array, absent: int) -> pa.Field:
    """The field, nullable if nulls are in the column beyond the ``absent`` ones of the struct around it."""
    kind = field.type
    if arrow.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type  # nulls may be in the dictionary, too
    nulls = column.null_count
    if arrow.is_struct(kind):
        children = zip(kind, column.flatten(), strict=True)
        kind = pa.struct([_narrowed(child, values, nulls) for child, values in children])
    return pa.field(field.name, kind, nullable=nulls > absent)


def row_type_of_schema(schema: pa.Schema) -> RowType:
    """How the rows of a table with this schema look as Python objects; nullable columns are ``Optional``.

    ======================================  ==================================================
    integers of all widths                  int (of uint64, values from 2**63 on are refused)
    floats of all widths                    float
    string, large_string, string_view       str
    binary, large_, _view, fixed size       bytes
    bool, date32, date64                    bool, date
    timestamp without zone, of any unit     datetime (parts of a microsecond are refused)
    dictionary of one of these              as its values
    struct                                  ``Row``, or a plain tuple
    null                                    None
    ======================================  ==================================================

    Raises: :class:`RowTypeError` naming the column of another type, and the way out.
    """
    return _of_fields(list(schema), "")


def _of_fields(fields: Sequence[pa.Field], path: str) -> RowType:
    found = [_of_field(field, f"{path}{field.name}") for field in fields]
    names = tuple(field.name for field in fields)
    cls = row_class(names)
    return Tuple(tuple(found)) if cls is None else Record(cls, tuple(zip(names, found, strict=True)))


def _of_field(field: pa.Field, path: str) -> RowType:
    kind = field.type.value_type if arrow.is_dictionary(field.type) else field.type
    if arrow.is_null(kind):
        return Scalar(type(None))
    if arrow.is_struct(kind):
        found = _of_fields(list(kind), f"{path}.")
    else:
        found = Scalar(_python_type(kind, path))
    return Optional(found) if field.nullable else found


def _python_type(kind: pa.DataType, path: str) -> type:
    for python_type, is_kind in _KINDS.items():
        if any(each(kind) for each in is_kind) and not (python_type is datetime and kind.tz):
            return python_type
    way_out = next(
        (text for each, text in _WAYS_OUT if each(kind)), "cast it to a type of numbers, text or times"
    )
    raise RowTypeError(
        f"the column {path} is of the type {kind}, which is no exact Python class; {way_out}, or drop it"
    )


_KINDS: dict[type, tuple[Any, ...]] = {
    bool: (arrow.is_boolean,),
    int: (arrow.is_integer,),
    float: (arrow.is_floating,),
    str: (arrow.is_string, arrow.is_large_string, arrow.is_string_view),
    bytes: (arrow.is_binary, arrow.is_large_binary, arrow.is_binary_view, arrow.is_fixed_size_binary),
    datetime: (arrow.is_timestamp,),
    date: (arrow.is_date,),
}
_WAYS_OUT: list[tuple[Any, str]] = [
    (arrow.is_timestamp, "cast it to timestamp('us') in UTC"),
    (arrow.is_decimal, "cast it to float64, to string, or to an int64 of the smallest unit"),
    (arrow.is_duration, "cast it to int64"),
    (arrow.is_time, "cast it to int32 or int64"),
    (arrow.is_run_end_encoded, "decode it with pyarrow.compute.run_end_decode"),
    (arrow.is_nested, "explode it into rows, or flatten it into columns of its own"),
    (lambda kind: isinstance(kind, pa.BaseExtensionType), "take its storage"),
]


def leaves_of(table: pa.Table | pa.RecordBatch, row_type: RowType) -> list[pa.Array]:
    """The leaves of a table's rows. Raises: :class:`RowTypeError` if they are not of ``row_type``."""
    if len(row_type.parts) != table.num_columns or not _has_names(row_type):
        raise RowTypeError(f"a table of {table.num_columns} columns does not hold rows of {row_type}")
    found: list[pa.Array] = []
    for name, part, column in zip(table.schema.names, row_type.parts, table.columns, strict=True):
        _gather(part, _one_array(column, name), name, 0, found)
    return found


def _one_array(column: pa.ChunkedArray | pa.Array, path: str) -> pa.Array:
    if not isinstance(column, pa.ChunkedArray):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    array = column.combine_chunks()  # copies
    if isinstance(array, pa.ChunkedArray):
        raise RowTypeError(f"the column {path} holds more than 2 GB in the rows of one chunk")
    return array


def _gather(row_type: RowType, array: pa.Array, path: str, absent: int, found: list[pa.Array]) -> None:
    inner = row_type.inner if isinstance(row_type, Optional) else row_type
    if arrow.is_dictionary(array.type):
        array = array.dictionary_decode()
    if isinstance(inner, Scalar):
        if inner is row_type and inner.python_type is not type(None) and array.null_count > absent:
            raise RowTypeError(f"the column {path} holds nulls, its row type {row_type} does not")
        found.append(_cast(array, inner.python_type, path))
        return
    if not arrow.is_struct(array.type) or array.type.num_fields != len(inner.parts):
        raise RowTypeError(f"the column {path} is of the type {array.type}, its row type is {row_type}")
    if inner is not row_type:
        found.append(array.is_valid())
    elif array.null_count > absent:
        raise RowTypeError(f"the column {path} holds nulls, its row type {row_type} does not")
    for field, part, child in zip(array.type, inner.parts, array.flatten(), strict=True):
        _gather(part, child, f"{path}.{field.name}", array.null_count, found)


def _cast(array: pa.Array, kind: type, path: str) -> pa.Array:
    """The array with the type that ``kind`` has, its values checked."""
    target = SCALARS[kind]
    empty = array.null_count == len(array)  # nulls of whatever type are None
    if not (
        empty if kind is type(None) or arrow.is_null(array.type) else _python_type(array.type, path) is kind
    ):
        raise RowTypeError(f"the column {path} is of the type {array.type}, not {kind.__name__}")
    if kind is type(None):
        return pa.nulls(len(array))
    try:
        if array.type != target:
            array = array.cast(target)
        if kind is str:
            array.validate(full=True)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as problem:
        raise RowTypeError(
            f"the column {path} has a value that is no exact {kind.__name__}: {problem}"
        ) from problem
    if kind in _RANGES and array.null_count < len(array):
        lowest, highest = _RANGES[kind]
        counts = leaf.numpy_of(kind, array.drop_null()).view("i8")
        if counts.min() < lowest or counts.max() > highest:
            raise RowTypeError(f"the column {path} has a {kind.__name__} outside of the years 1 to 9999")
    return array
