"""The arrays in which a table of states in columns keeps its keys and states: they grow in place.

Keys come and go as Arrow arrays, states as numpy arrays (text as an array of Python's own). A slot's key is
written once; its state as often as there is news.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.chunk import Columns, Optional, RowType, Scalar
from penstock.chunk import leaves as leaf
from penstock.errors import RowTypeError
from penstock.state.index import Hashes, Slots, grown
from penstock.state.sizes import objects_bytes
from penstock.vectorize.encoding import must_be_equal_by_leaves
from penstock.vectorize.kernels import Refused, call

__all__ = [
    "KeyArrays",
    "StateArrays",
    "arrow_of",
    "columns_of",
    "key_kinds_of",
    "kinds_of",
    "must_be_plain_keys",
]

Array = npt.NDArray[Any]

_DTYPES: dict[type, Any] = {int: np.int64, float: np.float64, bool: np.bool_, str: object}
_TYPES: dict[type, Any] = {int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
_SEED = np.uint64(int.from_bytes(os.urandom(8), "little"))  # nobody can choose keys that all lie in one place


def kinds_of(row_type: RowType) -> tuple[type, ...] | None:
    """The classes of the leaves of values that can be kept in columns: ints, floats, bools, texts, and tuples
    and records of these. ``None`` for others.

    >>> kinds_of(Scalar(int)), kinds_of(Optional(Scalar(int)))
    ((<class 'int'>,), None)
    """
    found = tuple(_kinds(row_type))
    return found if found and all(kind in _DTYPES for kind in found) else None


def key_kinds_of(row_type: RowType) -> tuple[type, ...] | None:
    """The same of keys: their class must not say itself which of them are equal.

    >>> key_kinds_of(Scalar(str))
    (<class 'str'>,)
    """
    try:
        must_be_equal_by_leaves(row_type)
    except Refused:
        return None
    return kinds_of(row_type)


def _kinds(row_type: RowType) -> Iterator[Any]:
    if isinstance(row_type, Scalar):
        yield row_type.python_type
    elif isinstance(row_type, Optional):
        yield None
    for part in row_type.parts:
        yield from _kinds(part)


def must_be_plain_keys(leaves: Sequence[pa.Array]) -> None:
    """Raises: :class:`RowTypeError` for NaNs, which are a key of their own each, and for zeros with a sign,
    which are one key with those that have none."""
    for array in leaves:
        if pa.types.is_floating(array.type):
            values = leaf.numpy_of(float, array)
            if np.any((values != values) | ((values == 0) & np.signbit(values))):
                raise RowTypeError("a NaN or a negative zero as a key")


def columns_of(row_type: RowType, kinds: Sequence[type], arrays: Sequence[Array], count: int) -> Columns:
    """States as a chunk."""
    leaves = [arrow_of(kind, array) for kind, array in zip(kinds, arrays, strict=True)]
    return Columns(row_type, leaves, count)


def arrow_of(kind: type, array: Array, there: Array | None = None) -> pa.Array:
    """A leaf of states as Arrow has it; null where it is not ``there`` (``None``: it is everywhere)."""
    count = len(array)
    if kind is str:
        if there is None:
            return leaf.array_of(str, array.tolist())
        texts = zip(array.tolist(), there.tolist(), strict=True)
        return leaf.array_of(str, [text if known else None for text, known in texts], optional=True)
    validity = None if there is None else leaf.packed(there)
    kept = leaf.packed(array) if kind is bool else pa.py_buffer(np.ascontiguousarray(array))
    return pa.Array.from_buffers(_TYPES[kind], count, [validity, kept])


class StateArrays:
    """The states of all slots, an array for each leaf."""

    __slots__ = ("_arrays", "kinds")

    def __init__(self, kinds: Sequence[type]) -> None:
        self.kinds = tuple(kinds)
        self._arrays: list[Array] = [np.zeros(0, _DTYPES[kind]) for kind in kinds]

    @property
    def nbytes(self) -> int:
        """Exactly what they take; of text about, from a sample."""
        held = 0
        for array in self._arrays:
            held += array.nbytes
            if array.dtype == object:
                step = 1 + len(array) // 64
                held += step * objects_bytes(array[::step].tolist(), 0)
        return held

    def reserve(self, length: int) -> None:
        """Room for so many slots."""
        self._arrays = [grown(array, length) for array in self._arrays]

    def take(self, slots: Any) -> list[Array]:
        """The states in these slots: an array or a slice of numbers. Copies."""
        return [array[slots].copy() if isinstance(slots, slice) else array[slots] for array in self._arrays]

    def put(self, slots: Any, arrays: Sequence[Array]) -> None:
        """Set the states in these slots, for which there is room."""
        for array, values in zip(self._arrays, arrays, strict=True):
            array[slots] = values

    def of_leaves(self, leaves: Sequence[pa.Array]) -> list[Array]:
        """The leaves of a chunk as it takes them."""
        return [_numpy_of(kind, array) for kind, array in zip(self.kinds, leaves, strict=True)]


def _numpy_of(kind: type, array: pa.Array) -> Array:
    if kind is not str:
        return leaf.numpy_of(kind, array) if len(array) else np.zeros(0, _DTYPES[kind])
    found = np.empty(len(array), object)
    found[:] = array.to_pylist()
    return found


class KeyArrays:
    """The keys of all slots, an array for each leaf."""

    __slots__ = ("_arrays", "kinds")

    def __init__(self, kinds: Sequence[type]) -> None:
        self.kinds = tuple(kinds)
        self._arrays = [_Texts() if kind is str else _Numbers(kind) for kind in kinds]

    @property
    def nbytes(self) -> int:
        """Exactly what they take."""
        return sum(array.nbytes for array in self._arrays)

    def append(self, at: int, leaves: Sequence[pa.Array]) -> None:
        """Keys for the slots from ``at`` on; what was there is gone."""
        for array, values in zip(self._arrays, leaves, strict=True):
            array.append(at, values)

    def take(self, slots: Any) -> list[pa.Array]:
        """The keys in these slots: an array or a slice of numbers. Copies."""
        return [array.take(slots) for array in self._arrays]

    def same(self, leaves: Sequence[pa.Array], keys: Slots, slots: Slots) -> npt.NDArray[np.bool_]:
        """Which of these keys lie in these slots."""
        found = np.ones(len(keys), np.bool_)
        for array, values in zip(self._arrays, leaves, strict=True):
            found &= array.same(values, keys, slots)
        return found

    def hashes(self, leaves: Sequence[pa.Array]) -> Hashes:
        """Equal for equal keys; others in each process."""
        found: Any = _SEED
        for kind, array in zip(self.kinds, leaves, strict=True):
            found = _stirred(_bits_of(kind, array) ^ found)
        return (found >> np.uint64(32)).astype(np.uint32)  # type: ignore[no-any-return]


class _Numbers:
    __slots__ = ("_data", "_kind")

    def __init__(self, kind: type) -> None:
        self._kind = kind
        self._data: Array = np.zeros(0, _DTYPES[kind])

    @property
    def nbytes(self) -> int:
        return self._data.nbytes

    def append(self, at: int, values: pa.Array) -> None:
        self._data = grown(self._data, at + len(values))
        if len(values):
            self._data[at : at + len(values)] = leaf.numpy_of(self._kind, values)

    def take(self, slots: Any) -> pa.Array:
        taken = self._data[slots]
        return arrow_of(self._kind, taken.copy() if isinstance(slots, slice) else taken)

    def same(self, values: pa.Array, keys: Slots, slots: Slots) -> Any:
        if not len(values):
            return np.ones(0, np.bool_)
        given = leaf.numpy_of(self._kind, values)
        return self._data[slots] == (given if len(keys) == len(given) else given[keys])


class _Texts:
    """Text after text in one array of bytes."""

    __slots__ = ("_bytes", "_ends", "_length")

    def __init__(self) -> None:
        self._ends: Array = np.zeros(1, np.int64)
        self._bytes: Array = np.zeros(0, np.uint8)
        self._length = 0

    @property
    def nbytes(self) -> int:
        return self._ends.nbytes + self._bytes.nbytes

    def append(self, at: int, values: pa.Array) -> None:
        starts, data = _text_of(values)
        self._length = at + len(values)
        self._ends = grown(self._ends, self._length + 1)
        begin = int(self._ends[at])
        size = int(starts[-1] - starts[0])
        self._bytes = grown(self._bytes, begin + size)
        self._bytes[begin : begin + size] = data[starts[0] : starts[-1]]
        self._ends[at : self._length + 1] = starts - starts[0] + begin

    def take(self, slots: Any) -> pa.Array:
        places = np.arange(*slots.indices(self._length)) if isinstance(slots, slice) else slots
        # A look at our own memory, which is gone before that may move.
        ends, data = pa.py_buffer(self._ends), pa.py_buffer(self._bytes)
        all_of_them = pa.Array.from_buffers(pa.large_string(), self._length, [None, ends, data])
        return all_of_them.take(_indices(places)).cast(pa.string())

    def same(self, values: pa.Array, keys: Slots, slots: Slots) -> Any:
        given = values if len(keys) == len(values) else values.take(_indices(keys))
        if not len(given):
            return np.ones(0, np.bool_)
        return leaf.numpy_of(bool, call("equal", self.take(slots), given))


def _indices(places: Slots) -> pa.Array:
    kept = pa.py_buffer(np.ascontiguousarray(places, np.int64))
    return pa.Array.from_buffers(pa.int64(), len(places), [None, kept])


def _text_of(values: pa.Array) -> tuple[Array, Array]:
    """Where each text begins, and where the last one ends; and the bytes."""
    if not len(values):
        return np.zeros(1, np.int64), np.zeros(0, np.uint8)
    _, starts, data = values.buffers()
    found = np.frombuffer(starts, np.int32, len(values) + 1, values.offset * 4).astype(np.int64)
    return found, np.frombuffer(data, np.uint8) if data else np.zeros(0, np.uint8)


# ------------------------------------------------------------------------------------- hashing


def _bits_of(kind: type, array: pa.Array) -> npt.NDArray[np.uint64]:
    if not len(array):
        return np.zeros(0, np.uint64)
    if kind is str:
        return _bits_of_texts(array)
    values = leaf.numpy_of(kind, array)
    if kind is float:
        return (values + 0.0).view(np.uint64)  # -0.0 + 0.0 is 0.0
    return values.view(np.uint64) if kind is int else values.astype(np.uint64)


def _stirred(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """MurmurHash3's last step: each bit of the result depends on each of the operand."""
    bits = bits ^ (bits >> np.uint64(33))
    bits *= np.uint64(0xFF51AFD7ED558CCD)
    bits ^= bits >> np.uint64(33)
    bits *= np.uint64(0xC4CEB9FE1A85EC53)
    bits ^= bits >> np.uint64(33)
    return bits


def _bits_of_texts(array: pa.Array) -> npt.NDArray[np.uint64]:
    """The sum of a text's bytes, each times a weight of its place (modulo 2**64), and its length."""
    starts, data = _text_of(array)
    lengths = np.diff(starts)
    within = np.arange(starts[-1] - starts[0]) - np.repeat(starts[:-1] - starts[0], lengths)
    weights = _stirred(np.arange(1, int(lengths.max()) + 1).astype(np.uint64) ^ _SEED) | np.uint64(1)
    sums: npt.NDArray[np.uint64] = np.zeros(len(within) + 1, np.uint64)
    np.cumsum(data[starts[0] : starts[-1]] * weights[within], out=sums[1:])
    sums = sums[starts - starts[0]]
    return sums[1:] - sums[:-1] + lengths.astype(np.uint64)
