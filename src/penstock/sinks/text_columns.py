"""The text of whole columns, the same bytes as the text of their records one by one.

Loaded when there are columns to write: Arrow's functions cost a program something at its start.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import date, datetime
from json.encoder import encode_basestring
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from penstock.chunk import Columns, Optional, RowType, Scalar
from penstock.chunk.leaves import array_of, numpy_of, values_of_array
from penstock.errors import RowTypeError
from penstock.sinks.shapes import names_of_type
from penstock.sinks.texts import json_text, quoting

__all__ = ["lines_of_columns", "slices_of"]

_JSON_SPECIAL = r'["\\\x00-\x1f]'
_SLICE_BYTES = 64 << 20  # the text of so much fits into what Arrow's offsets can address, whatever it is
_PLAIN_LOW, _PLAIN_HIGH = 1e-4, 1e10  # between these Arrow writes a float's digits as Python does


def slices_of(chunk: Columns) -> Iterator[Columns]:
    """The chunk in pieces whose text has room in one array."""
    count = max(1, len(chunk) * _SLICE_BYTES // max(1, chunk.nbytes))
    for start in range(0, len(chunk), count):
        yield chunk.slice(start, start + count)


def lines_of_columns(chunk: Columns, sep: str | None) -> bytes:
    """The records as lines of CSV, or without ``sep`` of JSON. What :func:`csv_text` and :func:`json_text`
    give, byte by byte."""
    row_type, leaves, count = chunk.row_type, iter(chunk.leaves), len(chunk)
    if sep is None:
        return _joined([*_json_records(row_type, leaves, count), "\n"], count)
    parts = [row_type] if isinstance(row_type, (Scalar, Optional)) else row_type.parts
    columns = [_csv_column(part, leaves, sep) for part in parts]
    columns = [column.fill_null("") for column in columns]
    if len(columns) == 1:  # an empty line would be no record
        columns = [pc.if_else(pc.equal(columns[0], ""), '""', columns[0])]
    return _joined([_elements(columns, sep, count), "\n"], count)


def _joined(pieces: list[Any], count: int) -> bytes:
    """The pieces, texts or columns of texts, of all rows one after the other."""
    array = _elements(pieces, "", count)
    offsets = np.frombuffer(array.buffers()[1], np.int32, len(array) + 1, array.offset * 4)
    return array.buffers()[2][offsets[0] : offsets[-1]].to_pybytes() if len(array) else b""


def _elements(pieces: list[Any], sep: str, count: int) -> pa.Array:
    if not any(isinstance(piece, pa.Array) for piece in pieces):  # records without a field
        return array_of(str, [sep.join(pieces)] * count)
    return pc.binary_join_element_wise(*pieces, sep)


def _json_records(row_type: RowType, leaves: Iterator[pa.Array], count: int) -> list[Any]:
    inner = row_type.inner if isinstance(row_type, Optional) else row_type
    if isinstance(inner, Scalar):
        return ['{"value":', _json_column(row_type, leaves, count), "}"]
    if inner is not row_type:
        presence = next(leaves)
        texts = _elements(_json_object(inner, leaves, count), "", count)
        return [pc.if_else(presence, texts, '{"value":null}')]
    return _json_object(row_type, leaves, count)


def _json_object(row_type: RowType, leaves: Iterator[pa.Array], count: int) -> list[Any]:
    pieces: list[Any] = []
    opening = "{"
    for name, part in zip(names_of_type(row_type), row_type.parts, strict=True):
        pieces += [f"{opening}{encode_basestring(name)}:", _json_column(part, leaves, count)]
        opening = ","
    return [*pieces, "}" if row_type.parts else "{}"]


def _json_column(row_type: RowType, leaves: Iterator[pa.Array], count: int) -> pa.Array:
    """The text of each value, ``null`` for ``None``."""
    inner = row_type.inner if isinstance(row_type, Optional) else row_type
    if isinstance(inner, Scalar):
        return _json_leaf(inner.python_type, next(leaves)).fill_null("null")
    presence = next(leaves) if inner is not row_type else None
    texts = _elements(_json_object(inner, leaves, count), "", count)
    return texts if presence is None else pc.if_else(presence, texts, "null")


def _json_leaf(kind: type, array: pa.Array) -> pa.Array:
    if kind is str:
        special = pc.match_substring_regex(array, _JSON_SPECIAL)
        plain = pc.binary_join_element_wise('"', array, '"', "")
        return _mended(plain, special, array, lambda text: encode_basestring(text))
    if kind is float:
        odd = pc.invert(pc.is_finite(array))
        return _mended(_float_texts(array), odd, array, json_text)
    texts = _leaf_texts(kind, array, "T")
    return pc.binary_join_element_wise('"', texts, '"', "") if kind in (datetime, date, bytes) else texts


def _csv_column(row_type: RowType, leaves: Iterator[pa.Array], sep: str) -> pa.Array:
    inner = row_type.inner if isinstance(row_type, Optional) else row_type
    if not isinstance(inner, Scalar):
        raise RowTypeError(f"a {inner} is no field of a CSV file")
    array = next(leaves)
    if inner.python_type is str:
        special = pc.match_substring_regex(array, f'^$|["\r\n\ufeff\\x{ord(sep):02x}]')
        return _mended(array, special, array, quoting(sep))
    if inner.python_type is float:
        return _float_texts(array)
    return _leaf_texts(inner.python_type, array, " ")


def _leaf_texts(kind: type, array: pa.Array, between: str) -> pa.Array:
    """The texts of values that are neither text nor floats."""
    if kind is datetime:
        return _moment_texts(array, between)
    if kind is bytes:
        values = [None if value is None else b64encode(value).decode() for value in array.to_pylist()]
        return array_of(str, values, optional=True)
    return array.cast(pa.string())


def _moment_texts(array: pa.Array, between: str) -> pa.Array:
    texts = array.cast(pa.string())  # always with six digits behind the point
    if between != " ":
        texts = pc.replace_substring(texts, " ", between)
    whole = pc.ends_with(texts, ".000000")
    return pc.if_else(whole, pc.utf8_slice_codeunits(texts, 0, 19), texts)


def _float_texts(array: pa.Array) -> pa.Array:
    size = pc.abs(array)
    plain = pc.or_(
        pc.and_(pc.greater_equal(size, _PLAIN_LOW), pc.less(size, _PLAIN_HIGH)), pc.equal(size, 0.0)
    )
    texts = array.cast(pa.string())
    whole = pc.and_(plain, pc.equal(pc.trunc(array), array))
    texts = pc.if_else(whole, pc.binary_join_element_wise(texts, ".0", ""), texts)
    return _mended(texts, pc.invert(plain), array, float.__repr__)


def _mended(texts: pa.Array, mask: pa.Array, array: pa.Array, text_of: Callable[[Any], str]) -> pa.Array:
    """The texts, but where the mask is true those that Python makes of the array's values."""
    mask = mask.fill_null(False)
    if not numpy_of(bool, mask).any():
        return texts
    kind = str if array.type == pa.string() else float
    made = [text_of(value) for value in values_of_array(kind, array.filter(mask))]
    return pc.replace_with_mask(texts, mask, array_of(str, made))
