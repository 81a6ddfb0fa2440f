"""The order of keys in columns: what ``sorted`` makes of them, stably, and the first few of them.

Each leaf of a key becomes numbers that compare as its values do: ints, floats and times are numbers already,
texts become their ranks. Keys that do not all compare, or not as numbers do, are refused: ``None``, NaNs,
records.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.chunk import Chunk, Columns
from penstock.chunk import leaves as leaf
from penstock.chunk.row_types import Optional, Record, RowType, Scalar, Tuple
from penstock.errors import RowTypeError
from penstock.values import dataclass
from penstock.vectorize import programs
from penstock.vectorize.kernels import Refused, call

__all__ = ["SortKeys", "alike", "joined", "must_compare", "stable_order"]

Numbers = npt.NDArray[Any]
Places = npt.NDArray[np.int64]

_FEW = 2**16
_NUMBERS = (int, float, bool, datetime, date)
_TEXTS = (str, bytes)


def joined(chunks: Sequence[Columns]) -> Columns:
    """Chunks as one. Raises: :class:`Refused` if they are not of one row type, up to what may be ``None``."""
    row_type = chunks[0].row_type
    for chunk in chunks[1:]:
        if chunk.row_type != row_type:
            row_type = _wider(row_type, chunk.row_type)
    if len(chunks) == 1:
        return chunks[0]
    leaves = [pa.concat_arrays(parts) for parts in zip(*(chunk.leaves for chunk in chunks), strict=True)]
    return Columns(row_type, leaves, sum(map(len, chunks)))


def _wider(one: RowType, other: RowType) -> RowType:
    """The row type of what is of one or of the other, where both have the same leaves."""
    if one == other:
        return one
    inner = [each.inner if isinstance(each, Optional) else each for each in (one, other)]
    if isinstance(inner[0], Scalar) and inner[0] == inner[1]:
        return Optional(inner[0])
    if type(one) is type(other) and len(one.parts) == len(other.parts) > 0:
        parts = list(map(_wider, one.parts, other.parts))
        if isinstance(one, Tuple):
            return Tuple(tuple(parts))
        if isinstance(one, Record) and isinstance(other, Record) and one.cls is other.cls:
            return Record(one.cls, tuple(zip(one.names, parts, strict=True)))
        if isinstance(one, Optional):
            return Optional(parts[0])
    raise Refused(f"records of several row types, {one} and {other}")


def alike(chunks: Sequence[Chunk]) -> list[Columns] | None:
    """The chunks, all in columns: rows among many more columns are made columns, too.

    ``None`` if they are better left to Python, or do not fit together.
    """
    columns = [chunk for chunk in chunks if isinstance(chunk, Columns)]
    held = sum(map(len, columns))
    if held < programs.WORTH_ROWS or not columns:
        return None
    row_type = columns[0].row_type
    if len(columns) < len(chunks):
        if sum(map(len, chunks)) > held + held // 4:
            return None
        try:
            columns = [
                each if isinstance(each, Columns) else Columns.from_rows(each.rows(), row_type)
                for each in chunks
            ]
        except RowTypeError:
            return None
    return columns


@dataclass(frozen=True)
class SortKeys:
    """The keys of some rows: each part of them either as numbers or, of texts, as an Arrow array."""

    parts: tuple[Any, ...]
    length: int

    @classmethod
    def of(cls, keys: Columns) -> SortKeys:
        """Raises: :class:`Refused` for keys that do not simply compare leaf by leaf.

        >>> SortKeys.of(Columns.from_rows([3, 1, 2])).order(ascending=True).tolist()
        [1, 2, 0]
        """
        kinds = _kinds_of(keys.row_type)
        parts = [_comparable(kind, array) for kind, array in zip(kinds, keys.leaves, strict=True)]
        return cls(tuple(parts), len(keys))

    def order(self, *, ascending: bool) -> Places:
        """The rows in the order of their keys; those of equal keys in their own order, either way."""
        if not ascending:
            return self.length - 1 - self._reversed().order(ascending=True)[::-1]
        parts = [_numbers(part) for part in self.parts]
        if len(parts) == 1:
            return stable_order(parts[0])
        if not parts:
            return np.arange(self.length)
        return np.lexsort(parts[::-1])

    def _reversed(self) -> SortKeys:
        return SortKeys(tuple(_numbers(part)[::-1] for part in self.parts), self.length)

    def firsts(self, count: int, *, ascending: bool) -> Places:
        """The rows that are the first ``count`` in the order of their keys, as they lie."""
        rows = np.arange(self.length)
        if count >= self.length:
            return rows
        kept = [rows[:0]]
        for part in self.parts:
            values = part.take(_indices(rows)) if isinstance(part, pa.Array) else part[rows]
            before, equal = _cut(_numbers(values), count, ascending)
            kept.append(rows[before])
            count -= len(kept[-1])
            rows = rows[equal]
            if len(rows) == count:
                break
        kept.append(rows[:count])
        return np.sort(np.concatenate(kept))

    def equal_to(self, one: SortKeys) -> npt.NDArray[np.bool_]:
        """Which rows have the key that is the only one of these."""
        same = np.ones(self.length, np.bool_)
        for mine, key in zip(self.parts, one.parts, strict=True):
            same &= _against(mine, key[0])[1]
        return same

    def behind(self, bounds: SortKeys) -> Places:
        """For each row how many of the bounds its key is greater than."""
        found = np.zeros(self.length, np.int64)
        for index in range(bounds.length):
            greater: Any = np.zeros(self.length, np.bool_)
            for mine, bound in zip(self.parts[::-1], bounds.parts[::-1], strict=True):
                more, equal = _against(mine, bound[index])
                greater = more | (equal & greater)
            found += greater
        return found


def must_compare(row_type: RowType) -> None:
    """Raises: :class:`Refused` for keys of a row type that has no order, or none that is known here."""
    _kinds_of(row_type)


def _kinds_of(row_type: RowType) -> list[type]:
    if isinstance(row_type, Optional):  # whose values may all be there
        row_type = row_type.inner
        if not isinstance(row_type, Scalar):
            raise Refused(f"keys that may be None, and are {row_type}")
    if isinstance(row_type, Scalar):
        if row_type.python_type in _NUMBERS or row_type.python_type in _TEXTS:
            return [row_type.python_type]
        raise Refused(f"keys that are {row_type}")
    if not isinstance(row_type, Tuple):
        raise Refused(f"keys that are {row_type}")
    return [kind for part in row_type.parts for kind in _kinds_of(part)]


def _comparable(kind: type, array: pa.Array) -> Any:
    if array.null_count:
        raise Refused("a None among the keys")
    if kind in _TEXTS:
        return array
    if not len(array):
        return np.zeros(0, np.int64)
    values = leaf.numpy_of(kind, array)
    if kind is float:
        values = values + 0.0  # -0.0 is equal to 0.0
        if np.isnan(values).any():
            raise Refused("a NaN among the keys")
        return values
    if kind is bool:
        return values.view(np.uint8)
    return values.view(np.int64)


def _numbers(part: Any) -> Numbers:
    """Numbers that compare as the values do. UTF-8 compares as the code points do."""
    if not isinstance(part, pa.Array):
        return part  # type: ignore[no-any-return]
    if not len(part):
        return np.zeros(0, np.int64)
    found = call("dictionary_encode", part)
    places = call("array_sort_indices", found.dictionary)
    order = np.frombuffer(places.buffers()[1], np.uint64, len(places), places.offset * 8)
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    codes = np.frombuffer(found.indices.buffers()[1], np.int32, len(part), found.indices.offset * 4)
    return ranks[codes]


def _indices(places: Places) -> pa.Array:
    return pa.Array.from_buffers(pa.int64(), len(places), [None, pa.py_buffer(np.ascontiguousarray(places))])


def stable_order(values: Numbers) -> Places:
    """``np.argsort(values, kind="stable")``, in a third of the time where nearly all values differ."""
    count = len(values)
    if count < 2:
        return np.arange(count)
    if values.dtype != np.float64:
        least, most = int(values.min()), int(values.max())
        if most - least < _FEW:
            return np.argsort((values - least).astype(np.uint16), kind="stable")
    order = np.argsort(values)
    ordered = values[order]
    new = ordered[1:] != ordered[:-1]
    if new.all():
        return order
    if count >= 2**31:
        return np.argsort(values, kind="stable")
    group = np.zeros(count, np.int64)
    np.cumsum(new, out=group[1:])
    group *= count
    group += order  # within equal values by the row
    group.sort()
    return group % count


def _cut(values: Numbers, count: int, ascending: bool) -> tuple[Places, Places]:
    """Of the rows that come first: those before the last value that comes, and those that have it."""
    if count == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    at = count - 1 if ascending else len(values) - count
    last = np.partition(values, at)[at]
    before = np.flatnonzero(values < last if ascending else values > last)
    return before, np.flatnonzero(values == last)


def _against(mine: Any, bound: Any) -> tuple[Any, Any]:
    if isinstance(mine, pa.Array):
        if not len(mine):
            return np.zeros(0, np.bool_), np.zeros(0, np.bool_)
        return tuple(leaf.numpy_of(bool, call(name, mine, bound)) for name in ("greater", "equal"))  # type: ignore[return-value]
    return mine > bound, mine == bound
