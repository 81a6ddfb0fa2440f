"""A chunk of keys, each with the values that it has: what ``groupByKey`` makes of columns."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.chunk.base import Chunk
from penstock.chunk.columns import Columns

__all__ = ["Grouped"]

Places = npt.NDArray[np.int64]
Slots = npt.NDArray[Any]

_RADIX = 2**16
"""Up to so many keys, slots fit 16 bits, which numpy sorts by radix: five times as fast."""


class Grouped(Chunk):
    """Records ``(key, [value, ...])``, as columns of the keys and of all values one after the other.

    The values of key ``i`` are those from ``offsets[i]`` up to ``offsets[i + 1]``. It never changes; the
    lists are made when somebody asks for rows, and the values are put in the order of their keys when
    somebody asks for that: who wants no more than a sum of them (:meth:`folded`) needs neither.

    >>> keys = Columns.from_rows(["a", "b"])
    >>> Grouped(keys, np.array([0, 2, 3]), Columns.from_rows([1, 2, 3])).rows()
    [('a', [1, 2]), ('b', [3])]
    >>> Grouped.scattered(keys, np.array([0, 1, 0]), Columns.from_rows([1, 3, 2])).rows()
    [('a', [1, 2]), ('b', [3])]
    """

    __slots__ = ("_folds", "_lies", "_part", "_scattered", "keys")

    def __init__(self, keys: Columns, offsets: Places, values: Columns) -> None:
        assert len(offsets) == len(keys) + 1, "each key needs a beginning, and the last an end"
        self.keys = keys
        self._lies: tuple[Places, Columns] | None = (offsets, values)
        self._scattered: tuple[Slots, Columns] | None = None
        self._part: tuple[Grouped, Places] | None = None
        self._folds: dict[Hashable, pa.Array] = {}

    @classmethod
    def scattered(cls, keys: Columns, slots: Slots, values: Columns) -> Grouped:
        """Of values in any order: value ``j`` is one of key ``slots[j]``. Those of a key keep their order."""
        made = cls._without_values(keys)
        made._scattered = (slots, values)
        return made

    @classmethod
    def _without_values(cls, keys: Columns) -> Grouped:
        made = cls.__new__(cls)
        made.keys, made._lies, made._scattered, made._part, made._folds = keys, None, None, None, {}
        return made

    def _in_order(self) -> tuple[Places, Columns]:
        if self._lies is None:  # two threads may both do it, and find the same
            self._lies = self._sorted() if self._part is None else self._taken(*self._part)
        return self._lies

    def _sorted(self) -> tuple[Places, Columns]:
        assert self._scattered is not None
        slots, values = self._scattered
        count = len(self.keys)
        offsets = np.zeros(count + 1, np.int64)
        np.cumsum(np.bincount(slots, minlength=count), out=offsets[1:])
        if len(slots) == count and np.array_equal(slots, np.arange(count)):
            return offsets, values
        small = slots.astype(np.uint16) if count <= _RADIX else slots
        return offsets, values.take(np.argsort(small, kind="stable"))

    @staticmethod
    def _taken(of: Grouped, groups: Places) -> tuple[Places, Columns]:
        starts, lengths = of.offsets[groups], np.diff(of.offsets)[groups]
        offsets = np.zeros(len(groups) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        return offsets, of.values.take(np.repeat(starts, lengths) + within)

    @property
    def offsets(self) -> Places:
        """Where the values of each key begin, and where those of the last one end."""
        return self._in_order()[0]

    @property
    def values(self) -> Columns:
        """All values, key by key."""
        return self._in_order()[1]

    def by_slots(self) -> tuple[Slots, Columns]:
        """The number of its key for each value, and the values, those of a key in their order; as they lie,
        if they have not been put in the order of the keys yet."""
        if self._scattered is not None:
            return self._scattered
        offsets, values = self._in_order()
        return np.repeat(np.arange(len(self)), np.diff(offsets)), values

    def folded(self, name: Hashable, fold: Callable[[Grouped], pa.Array]) -> pa.Array:
        """What ``fold`` makes of the values of each key. It is asked once for each name: of a chunk that was
        taken apart, for all parts together."""
        if self._part is not None:
            of, groups = self._part
            return of.folded(name, fold).take(_as_array(groups))
        found = self._folds.get(name)
        if found is None:
            found = self._folds[name] = fold(self)
        return found

    def __len__(self) -> int:
        return len(self.keys)

    def __repr__(self) -> str:
        return f"Grouped({self.keys.row_type}, {self.value_type}, {len(self)} keys)"

    @property
    def value_type(self) -> Any:
        """The row type of the values."""
        if self._part is not None:
            return self._part[0].value_type
        return (self._lies or self._scattered or (None, self.keys))[1].row_type

    def rows(self) -> list[Any]:
        values, ends = self.values.rows(), self.offsets.tolist()
        return [
            (key, values[start:stop])
            for key, start, stop in zip(self.keys.rows(), ends[:-1], ends[1:], strict=True)
        ]

    def slice(self, start: int, stop: int) -> Grouped:
        first, last, _ = slice(start, stop).indices(len(self))
        last = max(first, last)
        begin, end = int(self.offsets[first]), int(self.offsets[last])
        return Grouped(
            self.keys.slice(first, last),
            self.offsets[first : last + 1] - begin,
            self.values.slice(begin, end),
        )

    def take(self, groups: Places) -> Grouped:
        """These groups, in this order."""
        made = self._without_values(self.keys.take(groups))
        made._part = (self, groups)
        return made

    def flat(self) -> tuple[pa.Array, ...]:
        """The leaves of one pair for each value: the keys', repeated, then the values'."""
        keys = self.keys.take(np.repeat(np.arange(len(self)), np.diff(self.offsets)))
        return (*keys.leaves, *self.values.leaves)

    def isolated(self) -> Grouped:
        """Itself: nobody can change it."""
        return self

    def lent(self) -> Grouped:
        return self

    @property
    def nbytes(self) -> int:
        return self.keys.nbytes + self.values.nbytes + self.offsets.nbytes

    def __reduce__(self) -> tuple[Any, ...]:
        return Grouped, (self.keys, self.offsets, self.values)


def _as_array(places: Places) -> pa.Array:
    return pa.Array.from_buffers(pa.int64(), len(places), [None, pa.py_buffer(np.ascontiguousarray(places))])
