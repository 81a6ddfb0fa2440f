"""A chunk of keys, each with the values that it has: what ``groupByKey`` makes of columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.chunk.base import Chunk
from penstock.chunk.columns import Columns

__all__ = ["Grouped"]

Places = npt.NDArray[np.int64]


class Grouped(Chunk):
    """Records ``(key, [value, ...])``, as columns of the keys and of all values one after the other.

    The values of key ``i`` are those from ``offsets[i]`` up to ``offsets[i + 1]``. It never changes; the
    lists are made when somebody asks for rows.

    >>> keys = Columns.from_rows(["a", "b"])
    >>> Grouped(keys, np.array([0, 2, 3]), Columns.from_rows([1, 2, 3])).rows()
    [('a', [1, 2]), ('b', [3])]
    """

    __slots__ = ("keys", "offsets", "values")

    def __init__(self, keys: Columns, offsets: Places, values: Columns) -> None:
        assert len(offsets) == len(keys) + 1, "each key needs a beginning, and the last an end"
        self.keys = keys
        self.offsets = offsets
        self.values = values

    def __len__(self) -> int:
        return len(self.keys)

    def __repr__(self) -> str:
        return f"Grouped({self.keys.row_type}, {self.values.row_type}, {len(self)} keys)"

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
        starts, lengths = self.offsets[groups], np.diff(self.offsets)[groups]
        offsets = np.zeros(len(groups) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        return Grouped(self.keys.take(groups), offsets, self.values.take(np.repeat(starts, lengths) + within))

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
