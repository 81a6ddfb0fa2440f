"""One Arrow array from a list of values of one class, and back.

Arrays are built from buffers and read through them. ``pyarrow.array`` and ``Array.to_numpy`` do the
same, but the first call of either imports pandas where that is installed: 0.3 s at the start of a
program that has no use for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from itertools import repeat
from operator import attrgetter, is_not, sub
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.chunk.row_types import SCALARS

__all__ = ["Mask", "array_of", "bools_of", "nulls_spread", "values_of_array"]

Mask = npt.NDArray[np.bool_]

_EPOCH = datetime(1970, 1, 1)
_EPOCH_ORDINAL = _EPOCH.toordinal()
_FILLERS: dict[type, Any] = {
    int: 0, float: 0.0, str: "", bool: False, bytes: b"", datetime: _EPOCH, date: date(1970, 1, 1),
}  # fmt: skip


def array_of(kind: type, values: Sequence[Any], optional: bool = False) -> pa.Array:
    """The array of values that are exactly of class ``kind`` (or ``None``, if ``optional``), unchecked."""
    count = len(values)
    if kind is type(None):
        return pa.nulls(count)
    validity = None
    if optional:
        present = presence_of(values)
        if not present.all():
            validity = packed(present)
            filler = _FILLERS[kind]
            values = [filler if value is None else value for value in values]
    return pa.Array.from_buffers(SCALARS[kind], count, [validity, *_BUFFERS[kind](values, count)])


def presence_of(values: Sequence[Any]) -> Mask:
    """Which values are not ``None``."""
    return np.fromiter(map(is_not, values, repeat(None)), np.bool_, len(values))


def packed(mask: Mask) -> pa.Buffer:
    """The mask as Arrow keeps bools, eight to a byte."""
    return pa.py_buffer(np.packbits(mask, bitorder="little"))


def bools_of(mask: Mask) -> pa.Array:
    """The mask as an array of bools."""
    return pa.Array.from_buffers(pa.bool_(), len(mask), [None, packed(mask)])


def nulls_spread(array: pa.Array, present: Mask) -> pa.Array:
    """The array's values at the places where the mask is true, in order, and nulls elsewhere."""
    places = np.cumsum(present, dtype=np.int64) - 1
    indices = pa.Array.from_buffers(pa.int64(), len(present), [packed(present), pa.py_buffer(places)])
    return array.take(indices)


def _text_buffers(values: Sequence[str], count: int) -> list[pa.Buffer]:
    text = "".join(values)
    if text.isascii():
        return _offsets(values, count, text.encode())
    encoded = list(map(str.encode, values))
    return _offsets(encoded, count, b"".join(encoded))


def _offsets(values: Sequence[Any], count: int, data: bytes) -> list[pa.Buffer]:
    offsets = np.zeros(count + 1, np.int32)
    np.cumsum(np.fromiter(map(len, values), np.int32, count), out=offsets[1:])
    return [pa.py_buffer(offsets), pa.py_buffer(data)]


def _datetime_buffers(values: Sequence[datetime], count: int) -> list[pa.Buffer]:
    since = list(map(sub, values, repeat(_EPOCH)))
    days, seconds, micros = (
        np.fromiter(map(attrgetter(name), since), np.int64, count)
        for name in ("days", "seconds", "microseconds")
    )
    return [pa.py_buffer((days * 86_400 + seconds) * 1_000_000 + micros)]


def _date_buffers(values: Sequence[date], count: int) -> list[pa.Buffer]:
    ordinals = np.fromiter(map(date.toordinal, values), np.int32, count)
    return [pa.py_buffer(ordinals - np.int32(_EPOCH_ORDINAL))]


_BUFFERS: dict[type, Callable[[Any, int], list[pa.Buffer]]] = {
    int: lambda values, count: [pa.py_buffer(np.fromiter(values, np.int64, count))],
    float: lambda values, count: [pa.py_buffer(np.fromiter(values, np.float64, count))],
    bool: lambda values, count: [packed(np.fromiter(values, np.bool_, count))],
    str: _text_buffers,
    bytes: lambda values, count: _offsets(values, count, b"".join(values)),
    datetime: _datetime_buffers,
    date: _date_buffers,
}
_IN_MEMORY: dict[type, str] = {int: "i8", float: "f8", datetime: "M8[us]"}


def values_of_array(kind: type, array: pa.Array) -> list[Any]:
    """The values of an array of the type that ``kind`` has; ``None`` for nulls."""
    if kind is type(None) or array.null_count == len(array):
        return [None] * len(array)
    if kind is str or kind is bytes:
        return array.to_pylist()  # type: ignore[no-any-return]
    values: list[Any] = numpy_of(kind, array).tolist()
    if array.null_count:
        for index in np.flatnonzero(~_unpacked(array, 0)).tolist():
            values[index] = None
    return values


def numpy_of(kind: type, array: pa.Array) -> npt.NDArray[Any]:
    """The array's memory, without a copy except of bools and dates. Under nulls there may be anything."""
    if kind is bool:
        return _unpacked(array, 1)
    if kind is date:
        return _read(array, np.int32).astype("M8[D]")
    return _read(array, _IN_MEMORY[kind])


def _read(array: pa.Array, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    size = np.dtype(dtype).itemsize
    return np.frombuffer(array.buffers()[1], dtype, len(array), array.offset * size)


def _unpacked(array: pa.Array, buffer: int) -> Mask:
    start, stop = array.offset, array.offset + len(array)
    packed_bits = np.frombuffer(array.buffers()[buffer], np.uint8)[start // 8 : (stop + 7) // 8]
    bits = np.unpackbits(packed_bits, bitorder="little")[start % 8 :][: stop - start]
    return bits.view(np.bool_)
