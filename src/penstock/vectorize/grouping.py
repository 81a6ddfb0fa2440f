"""The values of each key side by side, without making Python objects of them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from penstock.chunk import Columns, Grouped, RowType
from penstock.vectorize.folds import KeyIndex
from penstock.vectorize.programs import REFUSALS

__all__ = ["KeyedGrouping"]


class KeyedGrouping:
    """Pairs in columns are pushed in, each key with all its values comes out, both in order of appearance."""

    __slots__ = ("_index", "_key_leaves", "_slots", "_values", "key_type", "value_type")

    def __init__(self, key_type: RowType, value_type: RowType) -> None:
        self.key_type = key_type
        self.value_type = value_type
        self._index = KeyIndex(key_type)
        self._key_leaves = key_type.leaf_count
        self._slots: list[np.ndarray] = []
        self._values: list[tuple[pa.Array, ...]] = []

    def __len__(self) -> int:
        return len(self._index)

    def push(self, leaves: tuple[pa.Array, ...], length: int) -> bool:
        """Take pairs in, whose leaves these are; false, and nothing is taken, if Python has to group them."""
        keys = list(leaves[: self._key_leaves])
        try:
            slots, news, _ = self._index.slots_of(keys, length)
        except REFUSALS:
            return False
        self._index.add(keys, news)
        self._slots.append(slots)
        self._values.append(leaves[self._key_leaves :])
        return True

    def grouped(self) -> Grouped:
        """What has been pushed in."""
        count = len(self._index)
        keys = Columns(self.key_type, self._index.leaves(), count)
        slots = self._slots[0] if len(self._slots) == 1 else np.concatenate(self._slots)
        leaves = [
            parts[0] if len(parts) == 1 else pa.concat_arrays(parts)
            for parts in zip(*self._values, strict=True)
        ]
        return Grouped.scattered(keys, slots, Columns(self.value_type, leaves, len(slots)))
