"""Keys as numbers, in order of first appearance."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.chunk import Columns
from penstock.chunk import leaves as leaf
from penstock.chunk.row_types import Optional, Record, RowType, Scalar, Tuple
from penstock.vectorize.kernels import Refused, call, options_of

__all__ = ["Codes", "codes_of_keys", "encoded", "firsts_of", "must_be_equal_by_leaves"]

Codes = npt.NDArray[Any]
"""For each row the number of its key: 0 for the first that appears, then 1, and so on."""


@cache
def _encoding() -> Any:
    return options_of("DictionaryEncodeOptions", null_encoding="encode")


def encoded(leaves: Sequence[pa.Array], length: int) -> tuple[Codes, int]:
    """The codes of keys that these leaves make, and how many different ones there are.

    Raises: :class:`Refused` for floats that Arrow tells apart and Python does not, or the other way round: a
    NaN, which is a key of its own each time, and a zero with a sign.
    """
    if not leaves:
        return np.zeros(length, np.int64), min(1, length)
    codes, count = _of_leaf(leaves[0])
    for each in leaves[1:]:
        more, size = _of_leaf(each)
        codes, count = _of_ints(codes.astype(np.int64) * size + more)
    return codes, count


def codes_of_keys(pairs: Columns) -> tuple[list[Any], Codes] | None:
    """The different keys of pairs as Python objects, and which of them each pair has; ``None`` if Python and
    Arrow do not agree which are different."""
    key_type = pairs.row_type.parts[0]
    keys = pairs.leaves[: key_type.leaf_count]
    try:
        must_be_equal_by_leaves(key_type)
        codes, count = encoded(keys, len(pairs))
    except Refused:
        return None
    return Columns(key_type, keys, len(pairs)).take(firsts_of(codes, count)).rows(), codes


def _of_leaf(array: pa.Array) -> tuple[Codes, int]:
    kind = array.type
    if pa.types.is_null(kind):
        return np.zeros(len(array), np.int64), min(1, len(array))
    if pa.types.is_floating(kind):
        values = leaf.numpy_of(float, array)
        present = leaf.numpy_of(bool, array.is_valid()) if array.null_count else None
        odd = (values != values) | ((values == 0) & np.signbit(values))
        if np.any(odd if present is None else odd & present):
            raise Refused("a NaN or a negative zero as a key")
    if pa.types.is_boolean(kind) and not array.null_count:
        return _of_bools(leaf.numpy_of(bool, array)) if len(array) else (np.zeros(0, np.int64), 0)
    found = call("dictionary_encode", array, options=_encoding())
    indices = found.indices
    return np.frombuffer(indices.buffers()[1], np.int32, len(indices), indices.offset * 4), len(
        found.dictionary
    )


def _of_bools(values: npt.NDArray[np.bool_]) -> tuple[Codes, int]:
    codes = (values != values[0]).view(np.int8)
    return codes, 1 + bool(codes.any())


def _of_ints(values: npt.NDArray[np.int64]) -> tuple[Codes, int]:
    array = pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])
    return _of_leaf(array)


def firsts_of(codes: Codes, count: int) -> npt.NDArray[np.int64]:
    """The row in which each code appears first. (They appear in their order.)"""
    if count == 0:
        return np.zeros(0, np.int64)
    found = np.full(count, len(codes), np.int64)
    if count * 8 < len(codes):  # few codes: most of them appear early
        head = codes[: count * 8]
        reversed_ = np.arange(len(head) - 1, -1, -1)
        found[head[::-1]] = reversed_
        if not np.any(found == len(codes)):
            return found
    found[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    return found


def must_be_equal_by_leaves(row_type: RowType) -> None:
    """Refuse keys whose class says itself what is equal, or that have leaves that mean nothing."""
    if isinstance(row_type, Scalar) or (
        isinstance(row_type, Optional) and isinstance(row_type.inner, Scalar)
    ):
        return
    cls: Any = (
        tuple if isinstance(row_type, Tuple) else row_type.cls if isinstance(row_type, Record) else None
    )
    if cls is None or cls.__eq__ is not tuple.__eq__ or cls.__hash__ is not tuple.__hash__:
        raise Refused(f"keys that are {row_type}")
    for part in row_type.parts:
        must_be_equal_by_leaves(part)
