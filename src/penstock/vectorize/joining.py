"""Pairs of two sides by key, without making Python objects of them.

::

    left   b1 a1 b2          codes   b 0, a 1, c 2: in order of first appearance, the left side first
    right  c9 b7 b8
                             join    b 1 7   b 1 8   b 2 7   b 2 8
                             full    the same, then  a 1 None,  c None 9

Both sides are put in the order of their codes; the rows of a key then lie side by side, and what comes out
is counted: as many rows as the product of how often a key is on either side.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.chunk import Columns
from penstock.chunk import leaves as leaf
from penstock.chunk.row_types import Optional, RowType, Scalar, Tuple
from penstock.vectorize.encoding import encoded, firsts_of, must_be_equal_by_leaves
from penstock.vectorize.folding import halves_of
from penstock.vectorize.kernels import Refused
from penstock.vectorize.sorting import joined, stable_order

__all__ = ["TwoSides", "combined_type"]

Places = npt.NDArray[np.int64]
_NOTHING = Scalar(type(None))


class TwoSides:
    """Pairs in columns on either side; ``None`` is a side without any.

    Raises: ``Refused`` if Python and Arrow do not agree which keys are equal.

    >>> sides = TwoSides(Columns.from_rows([("a", 1), ("b", 2)]), Columns.from_rows([("b", 3)]))
    >>> sides.combined(every_left=True, every_right=False).rows()
    [('a', (1, None)), ('b', (2, 3))]
    """

    __slots__ = ("_codes", "_counts", "_firsts", "_keys", "_values")

    def __init__(self, left: Columns | None, right: Columns | None) -> None:
        halves = [_halves(side) for side in (left, right)]
        keys = [half[0] for half in halves if half is not None]
        self._values = [None if half is None else half[1] for half in halves]
        self._keys = joined(keys)
        must_be_equal_by_leaves(self._keys.row_type)
        codes, count = encoded(self._keys.leaves, len(self._keys))
        self._firsts = firsts_of(codes, count)
        split = len(keys[0]) if halves[0] is not None else 0
        self._codes = (codes[:split], codes[split:])
        self._counts = [np.bincount(each, minlength=count) for each in self._codes]

    def combined(self, *, every_left: bool, every_right: bool) -> Columns:
        """``(key, (left, right))`` for all combinations of a key's values; with ``every_left`` also for keys
        that only are on the left, with ``None`` beside them."""
        left, right = self._counts
        lefts = np.maximum(left, 1) if every_right else left
        rights = np.maximum(right, 1) if every_left else right
        rows = lefts * rights
        of_key = np.repeat(np.arange(len(rows)), rows)
        within = np.arange(len(of_key)) - np.repeat(np.cumsum(rows) - rows, rows)
        wide = rights[of_key]
        key = self._keys.take(self._firsts[of_key])
        one = self._placed(0, of_key, within // wide)
        other = self._placed(1, of_key, within % wide)
        row_type = Tuple((key.row_type, Tuple((one.row_type, other.row_type))))
        return Columns(row_type, (*key.leaves, *one.leaves, *other.leaves), len(of_key))

    def left_without_right(self) -> Columns:
        """``(key, value)`` of the left for keys that are not on the right, key by key."""
        order = stable_order(self._codes[0])
        codes = self._codes[0][order]
        alone = self._counts[1][codes] == 0
        values = self._values[0]
        assert values is not None, "nothing on the left"
        keys, values = self._keys.take(self._firsts[codes[alone]]), values.take(order[alone])
        return Columns(Tuple((keys.row_type, values.row_type)), (*keys.leaves, *values.leaves), len(keys))

    def keys_of_both(self) -> Columns:
        """The keys that are on both sides, each once."""
        return self._keys.take(self._firsts[(self._counts[0] > 0) & (self._counts[1] > 0)])

    def _placed(self, side: int, of_key: Places, within: Places) -> Columns:
        """The values of one side: for each row the one at place ``within`` of those of a key, or ``None``."""
        values, counts = self._values[side], self._counts[side]
        if values is None:
            return Columns(_NOTHING, [pa.nulls(len(of_key))], len(of_key))
        order = stable_order(self._codes[side])
        starts = np.cumsum(counts) - counts
        there = counts[of_key] > 0
        if there.all():
            return values.take(order[starts[of_key] + within])
        rows = np.zeros(len(of_key), np.int64)
        rows[there] = order[(starts[of_key] + within)[there]]
        return _or_none(values, rows, there)


def combined_type(left: RowType, right: RowType, *, every_left: bool, every_right: bool) -> RowType:
    """The row type of what pairs of these are combined to, as far as it is known before.

    Raises: ``Refused`` for keys that Python has to compare.
    """
    sides = [halves_of(side) for side in (left, right)]
    if sides[0] is None or sides[1] is None:
        raise Refused("records that are no pairs")
    (key, one), (other_key, other) = sides[0], sides[1]
    if key != other_key:
        raise Refused(f"keys that are {key} on one side and {other_key} on the other")
    must_be_equal_by_leaves(key)
    return Tuple(
        (key, Tuple((_perhaps(one) if every_right else one, _perhaps(other) if every_left else other)))
    )


def _perhaps(row_type: RowType) -> RowType:
    return row_type if row_type == _NOTHING or isinstance(row_type, Optional) else Optional(row_type)


def _or_none(values: Columns, rows: Places, there: leaf.Mask) -> Columns:
    """These rows, and ``None`` where nothing is there."""
    indices = pa.Array.from_buffers(
        pa.int64(), len(rows), [leaf.packed(there), pa.py_buffer(np.ascontiguousarray(rows))]
    )
    leaves = [each.take(indices) for each in values.leaves]
    row_type = values.row_type
    if row_type == _NOTHING or (isinstance(row_type, Optional) and isinstance(row_type.inner, Scalar)):
        return Columns(row_type, leaves, len(rows))
    if isinstance(row_type, Optional):
        leaves[0] = leaf.bools_of(there & leaf.numpy_of(bool, leaves[0]))
        return Columns(row_type, leaves, len(rows))
    if not isinstance(row_type, Scalar):
        leaves = [leaf.bools_of(there), *leaves]
    return Columns(Optional(row_type), leaves, len(rows))


def _halves(pairs: Columns | None) -> tuple[Columns, Columns] | None:
    if pairs is None:
        return None
    halves = halves_of(pairs.row_type)
    if halves is None:
        raise Refused(f"{pairs.row_type} is no pair")
    key, value = halves
    count = key.leaf_count
    return Columns(key, pairs.leaves[:count], len(pairs)), Columns(value, pairs.leaves[count:], len(pairs))
