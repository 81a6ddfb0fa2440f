"""What a batch has changed in a table of keys, and the table that many such changes make.

A table is a list of slots, each with a key and its state, or empty. A change says what is in the slots that
are different from before; where nothing is known of before, it is the whole table::

    before    0 ("a", 1)   1 ("b", 2)
    change    slots [1, 2], entries ("b", 5) ("c", 3), holes []
    after     0 ("a", 1)   1 ("b", 5)   2 ("c", 3)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.chunk import CHUNK_ROWS, Chunk, Columns, Rows, concatenated_columns, rows_of
from penstock.values import dataclass

__all__ = ["TableChange", "changed", "difference", "whole"]

Slots = npt.NDArray[np.int64]

_NONE: Slots = np.zeros(0, np.int64)


@dataclass(frozen=True)
class TableChange:
    """A change of a table; see the top of this module.

    ``length``: slots afterwards. ``slots``: those that are set, to the pairs (key, state) of ``entries``,
    with the batch times of their last news in ``times`` where somebody asks for them. ``holes``: those that
    are empty now. ``whole``: nothing of before counts. ``closes``: the table closes up its holes afterwards.
    """

    length: int
    slots: Slots
    entries: Sequence[Chunk]
    times: Slots | None = None
    holes: Slots = field(default_factory=lambda: _NONE)
    whole: bool = False
    closes: bool = False


def whole(entries: Sequence[Chunk], times: Slots | None = None) -> TableChange:
    """All of a table without holes."""
    length = sum(map(len, entries))
    return TableChange(length, np.arange(length), entries, times, whole=True)


def changed(changes: Sequence[TableChange], *, close: bool) -> TableChange:
    """Several changes, one after the other, as one; the first is whole. With ``close`` without holes.

    >>> first = whole([Rows([("a", 1), ("b", 2)])])
    >>> later = TableChange(3, np.array([1, 2]), [Rows([("b", 5), ("c", 3)])])
    >>> list(rows_of(changed([first, later], close=True).entries))
    [('a', 1), ('b', 5), ('c', 3)]
    """
    assert changes[0].whole, "the first change must be the whole table"
    begin = max(at for at, change in enumerate(changes) if change.whole)
    changes = changes[begin:]
    owner = np.full(max(change.length for change in changes), -1)  # the place of a slot's entry; -1: a hole
    count = length = 0
    with_holes = False
    for change in changes:
        owner[change.length : length] = -1
        length = change.length
        owner[change.slots] = np.arange(count, count + len(change.slots))
        owner[change.holes] = -1
        count += len(change.slots)
        with_holes = with_holes or len(change.holes) > 0 or (change.whole and len(change.slots) < length)
        if change.closes and with_holes:
            held = owner[owner >= 0]
            length, with_holes = len(held), False
            owner[:length], owner[length:] = held, -1
    owner = owner[:length]
    slots = np.flatnonzero(owner >= 0)
    times = None
    if all(change.times is not None for change in changes):
        times = np.concatenate([change.times for change in changes if change.times is not None])[owner[slots]]
    entries = _taken([chunk for change in changes for chunk in change.entries], owner[slots])
    if close:
        return whole(entries, times)
    return TableChange(len(owner), slots, entries, times, whole=True)


def _taken(chunks: list[Chunk], places: Slots) -> list[Chunk]:
    """The records at these places of all chunks."""
    if not len(places):
        return []
    columns = [chunk for chunk in chunks if isinstance(chunk, Columns)]
    if len(columns) == len(chunks) and len({part.row_type for part in columns}) == 1:
        all_columns = concatenated_columns(columns)
        in_place = len(places) == len(all_columns) and bool((np.diff(places) == 1).all())
        found = all_columns if in_place else all_columns.take(places)
        return [found.slice(at, at + CHUNK_ROWS) for at in range(0, len(found), CHUNK_ROWS)]
    rows = list(rows_of(chunks))
    picked = [rows[place] for place in places.tolist()]
    return [Rows(picked[at : at + CHUNK_ROWS]) for at in range(0, len(picked), CHUNK_ROWS)]


def difference(before: Sequence[Chunk], after: Sequence[Chunk]) -> TableChange:
    """How a table of pairs, each key once, came to be from another without holes.

    Both in their order: what stays keeps its order, what is new comes last. Where that is not so, or most is
    different, it is the whole table. Costs about what comparing costs, not more than reading both.
    """
    if not before or not after:
        return whole(after)
    found = _of_columns(before, after)
    if found is None:
        found = _of_rows(list(rows_of(before)), list(rows_of(after)))
    return whole(after) if 2 * len(found.slots) > found.length else found


def _of_columns(before: Sequence[Chunk], after: Sequence[Chunk]) -> TableChange | None:
    olds = [chunk for chunk in before if isinstance(chunk, Columns)]
    news = [chunk for chunk in after if isinstance(chunk, Columns)]
    if len(olds) < len(before) or len(news) < len(after):
        return None
    if len({part.row_type for part in (*olds, *news)}) > 1 or len(news[0].row_type.parts) != 2:
        return None
    old, new = concatenated_columns(olds), concatenated_columns(news)
    keys = new.row_type.parts[0].leaf_count
    if len(new) < len(old):
        return None
    kept = new.slice(0, len(old))
    if any(_differ(a, b).any() for a, b in zip(old.leaves[:keys], kept.leaves[:keys], strict=True)):
        return None
    different = np.zeros(len(old), np.bool_)
    for a, b in zip(old.leaves[keys:], kept.leaves[keys:], strict=True):
        different |= _differ(a, b)
    slots = np.concatenate([np.flatnonzero(different), np.arange(len(old), len(new))])
    return TableChange(len(new), slots, [new.take(slots)] if len(slots) else [])


def _differ(a: pa.Array, b: pa.Array) -> npt.NDArray[np.bool_]:
    """Where two arrays are not the same to the last bit."""
    if pa.types.is_null(a.type) or not len(a):
        return np.zeros(len(a), np.bool_)
    import pyarrow.compute as pc  # here, because it is slow to import, and not every program saves its states

    if pa.types.is_floating(a.type):  # not by value: 0.0 is not -0.0, and a NaN is itself
        a, b = a.view(pa.int64()), b.view(pa.int64())
    same = pc.equal(a, b)
    if same.null_count:
        same = pc.if_else(pc.is_valid(same), same, pc.and_(pc.is_null(a), pc.is_null(b)))
    data = np.frombuffer(same.buffers()[1], np.uint8)
    bits = np.unpackbits(data, bitorder="little")[same.offset : same.offset + len(same)]
    different: npt.NDArray[np.bool_] = bits == 0
    return different


def _of_rows(before: list[Any], after: list[Any]) -> TableChange:
    """By identity of keys, and of states that cannot be changed; other states count as different."""
    slots: list[int] = []
    holes: list[int] = []
    place = 0
    for at, (key, state) in enumerate(before):
        if place < len(after) and (after[place][0] is key or _same(after[place][0], key)):
            if not _same(state, after[place][1]):
                slots.append(at)
            place += 1
        else:
            holes.append(at)
    entries = [after[at] for at in _without(slots, holes)]
    length = len(before) + len(after) - place
    entries += after[place:]
    slots += range(len(before), length)
    return TableChange(
        length,
        np.array(slots, np.int64),
        [Rows(entries)] if entries else [],
        holes=np.array(holes, np.int64),
        closes=True,
    )


def _without(slots: list[int], holes: list[int]) -> list[int]:
    """Where the slots are once the holes have closed up."""
    found = np.array(slots, np.int64)
    return list((found - np.searchsorted(np.array(holes, np.int64), found)).tolist())


def _same(a: Any, b: Any) -> bool:
    """Whether two values are the same for certain."""
    kind = type(a)
    if kind is not type(b):
        return False
    if kind in (int, str, bool, bytes, type(None)):
        return bool(a == b)
    if kind is float:
        return bool(a == b) and a != 0.0
    return kind is tuple and len(a) == len(b) and all(map(_same, a, b))
