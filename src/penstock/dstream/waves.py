"""The function of ``mapWithState`` on columns, in waves.

Wave k holds the k-th record of each key of the batch, so that each record sees what the one before it of its
key has done, and no two records of a wave have to do with each other::

    records    a b a c a b        wave 1   a b   c        wave 2      a     b        wave 3          a

A few keys with very many records would make many waves of a few records. The first waves, as long as they are
large, are columns; what is left is done by calling the function, which is pure, as it could be traced.

All is computed before anything is written: where a wave is refused, nothing has happened.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.chunk import Columns, Scalar, concatenated_columns
from penstock.chunk import leaves as leaf
from penstock.state import ColumnUpdate, State, arrow_of, columns_of, kinds_of
from penstock.vectorize import MappingPlan
from penstock.vectorize.encoding import encoded, firsts_of
from penstock.vectorize.programs import Refused

__all__ = ["WORTH_WAVE", "Keys", "computed", "over"]

WORTH_WAVE = 200
"""Waves that are smaller than this are left to Python. Measured with ``python -m
benchmarks.thresholds``."""

Slots = npt.NDArray[np.int64]


class Keys:
    """The different keys of a batch while it is computed: their states so far, what has become of them."""

    def __init__(self, update: ColumnUpdate, keys: Columns) -> None:
        count = len(keys)
        self.keys = keys
        self.state_type = update.state_type
        self.kinds = kinds_of(update.state_type) or ()
        self.slots = update.find(keys)
        self.there = self.slots >= 0
        if self.there.all():
            self.states = update.states_at(self.slots)
        else:
            self.states = [np.zeros(count, array.dtype) for array in update.states_at(self.slots[:0])]
            known = np.flatnonzero(self.there)
            for array, held in zip(self.states, update.states_at(self.slots[known]), strict=True):
                array[known] = held
        self.gone = np.zeros(count, np.bool_)  # those whose slot is a hole from here on
        self.news = np.zeros(count, np.bool_)
        self.born: Slots = np.zeros(count, np.int64)  # the record that has given a state to a key without

    def __len__(self) -> int:
        return len(self.keys)

    def leaves(self, which: Any) -> list[pa.Array]:
        """The states of these keys as a plan reads them; ``which`` is an array, or a slice of all. Copies:
        what the function returns may lie in them."""
        there = self.there[which].copy()
        holes = None if there.all() else there
        states = [array[which].copy() for array in self.states]
        arrays = [arrow_of(kind, array, holes) for kind, array in zip(self.kinds, states, strict=True)]
        return arrays if isinstance(self.state_type, Scalar) else [leaf.bools_of(there), *arrays]

    def take(self, which: Any, rows: Slots, made: Any, *, keeps_time: bool) -> None:
        """What a wave has made of these keys, in these records."""
        was = self.there[which].copy()
        sets, removes = made.sets, made.removes
        if keeps_time:
            self.news[which] |= was  # its record is news of a key that is remembered
        if removes.any():
            self.gone[which] |= removes & (self.slots[which] >= 0)
        self.there[which] = (was & ~removes) | sets
        if not sets.any():
            return
        keys = np.arange(len(self.there))[which]
        new = sets & ~was
        self.born[keys[new]] = rows[new]
        if not sets.all():
            keys = keys[sets]
        self.news[keys] = True
        for kind, array, given in zip(self.kinds, self.states, made.states, strict=True):
            values = _numpy_of(kind, given)
            array[keys] = values if len(keys) == len(sets) else values[sets]

    def call(
        self, function: Any, which: Slots, rows: Slots, pairs: list[Any], *, keeps_time: bool
    ) -> tuple[list[int], list[Any]]:
        """Call the function for these records one by one; which of them it has returned something for, and
        what. Raises: :class:`Refused` where it raises, :class:`RowTypeError` where a state does not fit."""
        state, absent = State(), State.absent()
        touched = np.unique(which)
        held: dict[int, Any] = dict.fromkeys(touched.tolist(), absent)
        there = touched[self.there[touched]]
        before = columns_of(self.state_type, self.kinds, [array[there] for array in self.states], len(there))
        held.update(zip(there.tolist(), before.rows(), strict=True))
        places: list[int] = []
        made: list[Any] = []
        for key_at, row, (key, value) in zip(which.tolist(), rows.tolist(), pairs, strict=True):
            known = held[key_at]
            state.open(known)
            try:
                result = function(key, value, state)
            except Exception as error:
                raise Refused(f"it raises {type(error).__name__}") from None
            if state.removed:
                held[key_at] = absent
                self.gone[key_at] |= self.slots[key_at] >= 0
            elif (new := state.news()) is not absent:
                if known is absent:
                    self.born[key_at] = row
                held[key_at] = new
                self.news[key_at] = True
            elif keeps_time and known is not absent:
                self.news[key_at] = True
            if result is not None:
                places.append(row)
                made.append(result)
        self.there[touched] = False
        now = np.array([at for at, each in held.items() if each is not absent], np.int64)
        self.there[now] = True
        states = Columns.from_rows([each for each in held.values() if each is not absent], self.state_type)
        for kind, array, given in zip(self.kinds, self.states, states.leaves, strict=True):
            array[now] = _numpy_of(kind, given) if len(now) else array[now]
        return places, made

    def write(self, update: ColumnUpdate) -> None:
        """Make it the new version."""
        stays = (self.slots >= 0) & ~self.gone
        news = np.flatnonzero(stays & self.news)
        added = np.flatnonzero(self.there & ~stays)
        added = added[np.argsort(self.born[added], kind="stable")]
        keys = self.keys if len(added) == len(self.keys) and _counts_up(added) else self.keys.take(added)
        update.write(
            self.slots[self.gone],
            self.slots[news],
            [array[news] for array in self.states],
            keys,
            [array[added] for array in self.states],
        )


def computed(
    plan: MappingPlan, function: Any, update: ColumnUpdate, records: Columns, *, keeps_time: bool
) -> tuple[Keys, Columns | None] | None:
    """Call the function for all records; what becomes of their keys, which is yet to be written, and what it
    has returned, in the order of the records. ``None`` if most of it would be too small waves.

    Raises: one of :data:`~penstock.vectorize.REFUSALS`, or :class:`~penstock.errors.RowTypeError`.
    """
    length, width = len(records), update.key_type.leaf_count
    codes, count = encoded(records.leaves[:width], length)
    all_keys = Columns(update.key_type, records.leaves[:width], length)
    if count == length:
        keys = Keys(update, all_keys)
        made = plan.run([*records.leaves, *keys.leaves(slice(None))], length)
        keys.take(slice(None), np.arange(length), made, keeps_time=keeps_time)
        return keys, made.emitted
    sizes = np.bincount(codes, minlength=count)
    each = count - np.cumsum(np.bincount(sizes))[:-1]  # so many keys have more records than this
    large = each[each >= WORTH_WAVE]
    left = length - int(large.sum())
    if 2 * left > length:
        return None
    keys = Keys(update, all_keys.take(firsts_of(codes, count)))
    emitted: list[Columns] = []
    places: list[Slots] = []
    *waves, rest = _waves(codes, sizes, large)
    for rows in waves:
        which = codes[rows].astype(np.int64)
        part = records.take(rows)
        made = plan.run([*part.leaves, *keys.leaves(which)], len(rows))
        keys.take(which, rows, made, keeps_time=keeps_time)
        if made.emitted is not None:
            emitted.append(made.emitted)
            places.append(rows[made.emits])
    if left:
        rows = np.sort(rest)
        which, pairs = codes[rows].astype(np.int64), records.take(rows).rows()
        at, results = keys.call(function, which, rows, pairs, keeps_time=keeps_time)
        if results:
            if plan.emitted_type is None:
                raise Refused("it returns something after all")
            emitted.append(Columns.from_rows(results, plan.emitted_type))
            places.append(np.array(at, np.int64))
    if not emitted:
        return keys, None
    order = np.argsort(np.concatenate(places), kind="stable")
    return keys, concatenated_columns(emitted).take(order)


def _waves(codes: Any, sizes: Slots, large: Slots) -> list[Slots]:
    """The records of each wave that has as many as ``large`` says, in their order; then those that are
    left."""
    by_key = np.argsort(codes, kind="stable")
    starts = np.cumsum(sizes) - sizes
    rank = np.empty(len(codes), np.int64)
    rank[by_key] = np.arange(len(codes)) - np.repeat(starts, sizes)
    by_rank = np.argsort(rank, kind="stable")
    return np.split(by_rank, np.cumsum(large))


def over(plan: MappingPlan, update: ColumnUpdate, slots: Slots) -> Columns | None:
    """Call the function for states that are timing out; what it has returned. Raises as :func:`computed`."""
    kinds = kinds_of(update.state_type) or ()
    states = [arrow_of(kind, each) for kind, each in zip(kinds, update.states_at(slots), strict=True)]
    return plan.run([*update.keys_at(slots).leaves, *states], len(slots)).emitted


def _numpy_of(kind: type, array: pa.Array) -> Any:
    if kind is not str:
        return leaf.numpy_of(kind, array)
    found = np.empty(len(array), object)
    found[:] = array.to_pylist()
    return found


def _counts_up(places: Slots) -> bool:
    return bool((np.diff(places) > 0).all())
