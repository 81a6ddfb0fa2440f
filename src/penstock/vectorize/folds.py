"""Folds by key on columns, chunk after chunk, in the order of the rows.

Keys become numbers in order of their first appearance, partials are numpy arrays with one place for each.
Ints are added up exactly or not at all: before a sum could leave 64 bits the fold is refused and goes on in
Python from where it stands. Floats are added one after the other, as Python adds them.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.chunk import Columns, concatenated_columns
from penstock.chunk.row_types import RowType, Tuple
from penstock.vectorize.accumulators import accumulator_of
from penstock.vectorize.encoding import Codes, encoded, firsts_of, must_be_equal_by_leaves
from penstock.vectorize.expressions import substituted
from penstock.vectorize.folding import FoldPlan
from penstock.vectorize.programs import REFUSALS, Evaluation
from penstock.vectorize.tracing import leaves_of

__all__ = ["KeyIndex", "KeyedFold", "folded_row_by_row"]


class KeyIndex:
    """The keys seen so far, each with its slot, in order of first appearance."""

    __slots__ = ("_keys", "key_type")

    def __init__(self, key_type: RowType) -> None:
        self.key_type = key_type
        self._keys: Columns | None = None

    def __len__(self) -> int:
        return 0 if self._keys is None else len(self._keys)

    def slots_of(self, leaves: list[pa.Array], length: int) -> tuple[Codes, npt.NDArray[np.int64], int]:
        """The slot of each row; the rows in which new keys appear first, which get the next slots in their
        order; and how many keys the rows have. Nothing is changed yet: see :meth:`add`. Raises:
        :class:`Refused`."""
        must_be_equal_by_leaves(self.key_type)
        codes, count = encoded(leaves, length)
        firsts = firsts_of(codes, count)
        if self._keys is None:
            return codes, firsts, count
        # Behind the keys that are known, known ones get the numbers that they have, and new ones the next.
        known = len(self._keys)
        both = [
            pa.concat_arrays([old, _taken(new, firsts)])
            for old, new in zip(self._keys.leaves, leaves, strict=True)
        ]
        slots = encoded(both, known + count)[0][known:]
        return slots[codes], firsts[slots >= known], count

    def add(self, leaves: list[pa.Array], firsts: npt.NDArray[np.int64]) -> None:
        """The keys of these rows are new."""
        if len(firsts):
            news = Columns(self.key_type, [_taken(each, firsts) for each in leaves], len(firsts))
            self._keys = news if self._keys is None else concatenated_columns([self._keys, news])

    def objects(self) -> list[Any]:
        """The keys as Python objects."""
        return [] if self._keys is None else self._keys.rows()

    def leaves(self) -> list[pa.Array]:
        """The keys as columns."""
        assert self._keys is not None, "no keys yet"
        return list(self._keys.leaves)


def _taken(array: pa.Array, rows: npt.NDArray[np.int64]) -> pa.Array:
    if len(rows) == len(array):  # each row a first one
        return array
    return array.take(
        pa.Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(np.ascontiguousarray(rows))])
    )


def folded_row_by_row(plan: FoldPlan, one: Columns, other: Columns) -> Columns | None:
    """The partials of ``one``, each with that of the same row of ``other`` folded in, where both have the
    same keys in the same order, each once; ``None`` where they do not, or Python has to fold them."""
    width = plan.key_type.leaf_count
    keys, count = one.leaves[:width], len(one)
    if len(other) != count or one.row_type != other.row_type or plan.partial_type != plan.value_type:
        return None
    pairs = zip(keys, other.leaves, strict=False)
    if not all(mine is theirs or mine.equals(theirs) for mine, theirs in pairs):
        return None
    evaluation, news = Evaluation(other.leaves, count), np.zeros(0, np.int64)
    instead, known = leaves_of(plan.value_type, width), cast("Any", {})
    folded = []
    try:
        must_be_equal_by_leaves(plan.key_type)
        if any(evaluation.any_true(substituted(each, instead, known)) for each in plan.refusals):
            return None
        for part, mine in zip(plan.parts, one.leaves[width:], strict=True):
            accumulator = accumulator_of(part)
            rows = np.arange(count)
            accumulator.take(accumulator.prepared(mine, None, None, rows, count), None, rows, count)
            later = evaluation.array(substituted(part.later, instead, known), count)
            accumulator.take(accumulator.prepared(later, None, None, news, count), None, news, count)
            folded.append(accumulator.array())
    except REFUSALS:
        return None
    return Columns(Tuple((plan.key_type, plan.partial_type)), [*keys, *folded], count)


class KeyedFold:
    """Pairs in columns are pushed in, one partial a key comes out."""

    __slots__ = ("_accumulators", "_expressions", "_index", "_key_leaves", "plan", "refused")

    def __init__(self, plan: FoldPlan) -> None:
        self.plan = plan
        self._index = KeyIndex(plan.key_type)
        self._accumulators = [accumulator_of(part) for part in plan.parts]
        self._key_leaves = plan.key_type.leaf_count
        instead = leaves_of(plan.value_type, self._key_leaves)
        known: Any = {}
        self._expressions = [
            (substituted(part.first, instead, known), substituted(part.later, instead, known))
            for part in plan.parts
        ]
        self.refused = [substituted(each, instead, known) for each in plan.refusals]

    def __len__(self) -> int:
        return len(self._index)

    def push(self, chunk: Columns) -> bool:
        """Take pairs in; false, and nothing is taken, if Python has to fold them."""
        length = len(chunk)
        evaluation = Evaluation(chunk.leaves, length)
        keys = list(chunk.leaves[: self._key_leaves])
        try:
            if any(evaluation.any_true(each) for each in self.refused):
                return False
            slots, news, _ = self._index.slots_of(keys, length)
            total = len(self._index) + len(news)
            ready = [
                accumulator.prepared(
                    evaluation.array(later, length),
                    None if first == later else evaluation.array(first, length),
                    slots, news, total,
                )
                for accumulator, (first, later) in zip(self._accumulators, self._expressions, strict=True)
            ]  # fmt: skip
        except REFUSALS:
            return False
        for accumulator, values in zip(self._accumulators, ready, strict=True):
            accumulator.take(values, slots, news, total)
        self._index.add(keys, news)
        return True

    def groups(self) -> dict[Any, Any]:
        """Key and partial as Python objects, in order of the keys' first appearance."""
        if not len(self._index):
            return {}
        return dict(zip(self._index.objects(), self._partials().rows(), strict=True))

    def pairs(self) -> Columns:
        """The same as columns."""
        leaves = [*self._index.leaves(), *self._partials().leaves]
        return Columns(Tuple((self.plan.key_type, self.plan.partial_type)), leaves, len(self._index))

    def _partials(self) -> Columns:
        arrays = [accumulator.array() for accumulator in self._accumulators]
        return Columns(self.plan.partial_type, arrays, len(self._index))
