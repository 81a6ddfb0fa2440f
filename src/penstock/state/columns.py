"""Versions of the state of a partition, as columns.

As in :mod:`penstock.state.rows` the newest version lies in a table, one slot a key in order of first
appearance, and an older one is a note of what was different in the slots that were touched since. Here slots
are places in arrays, and all that a batch does it does to many slots at once::

    index: hash of the key -> slot         slot   key   state   time of the last news
                                             0     7     2.5     3000
                                             1     9     1.0     a hole: the key was removed
                                             2     4     8.25    5000

A key and a state of an exact row type each take what their values take: about 54 bytes for an int and a
float, 27 of them in the index. What does not fit (a key or state of another type, a NaN as a key) makes
Python objects of the whole version in the batch in which it comes; nobody can tell but by the memory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.chunk import (
    Chunk,
    Columns,
    Rows,
    RowType,
    Tuple,
    concatenated_columns,
    isolated,
    rows_of,
)
from penstock.errors import RowTypeError, StateError
from penstock.state.arrays import (
    KeyArrays,
    StateArrays,
    columns_of,
    key_kinds_of,
    kinds_of,
    must_be_plain_keys,
)
from penstock.state.changes import TableChange
from penstock.state.counterparts import NONE_EQUAL, UNKNOWN, counterpart
from penstock.state.index import SLOTS_MAX, SlotIndex, Slots, grown
from penstock.state.rows import RowVersion
from penstock.vectorize.encoding import encoded, firsts_of

__all__ = ["ColumnUpdate", "ColumnVersion"]

_HOLE = np.iinfo(np.int64).min  # the time of a slot without a key
_HOLES_MIN = 64  # fewer are not worth a new table
_NO_SLOTS = np.zeros(0, np.int64)
_AT_ONCE = 1 << 18  # pairs of a new table
_A_LIST = 8  # entries that a list of touched slots counts for, besides its own
_LISTED_MIN = 256  # entries; fewer are not worth looking at
_LOOKS = 8  # entries that are looked at again for each new one, where there are too many
_PIECE = 4096  # entries that are looked at together

Arrays = Sequence[npt.NDArray[Any]]


class _Note:
    """How an older version differs from the one after it, or the other way round: how many slots and keys it
    has, what was in slots that both have (slots, states, times; of several the first counts), and the slots
    that only it has (keys, states, times)."""

    __slots__ = ("count", "length", "pieces", "tail")

    def __init__(self, length: int, count: int) -> None:
        self.length = length
        self.count = count
        self.pieces: list[tuple[Slots, Arrays, Slots]] = []
        self.tail: tuple[list[pa.Array], Arrays, Slots] | None = None

    def slots(self) -> Slots:
        """Those that both have and that differ, ascending."""
        return _ascending([slots for slots, _, _ in self.pieces])


def _ascending(parts: Sequence[Slots]) -> Slots:
    """Each slot once. (Faster than ``numpy.unique``, which hashes.)"""
    slots = np.sort(np.concatenate([_NO_SLOTS, *parts]))
    return slots if len(slots) < 2 else slots[np.concatenate([[True], slots[1:] != slots[:-1]])]


class _Table:
    """The slots of the newest version, and where each key is; ``touched`` lists by batch time the slots whose
    last news was then, and some others: nothing if nobody will ask (``expires``)."""

    __slots__ = (
        "count", "enough", "expires", "index", "key_type", "keys", "length", "listed", "lock", "looks",
        "newest", "state_type", "states", "strange", "times", "to_tidy", "touched",
    )  # fmt: skip

    def __init__(self, key_type: RowType, state_type: RowType, expires: bool, expected: int = 0) -> None:
        key_kinds, state_kinds = key_kinds_of(key_type), kinds_of(state_type)
        if key_kinds is None or state_kinds is None:
            raise RowTypeError(f"keys that are {key_type} with states that are {state_type} stay rows")
        self.key_type = key_type
        self.state_type = state_type
        self.expires = expires
        self.lock = threading.RLock()
        self.index = SlotIndex(expected)
        self.keys = KeyArrays(key_kinds)
        self.states = StateArrays(state_kinds)
        self.times: Slots = np.zeros(0, np.int64)
        self.length = self.count = 0
        self.touched: dict[int, list[npt.NDArray[np.uint32]]] = {}
        self.listed = 0  # the entries of these lists
        self.enough = 0  # as many are no reason to look through them
        self.looks = 0  # entries that may be looked at
        self.to_tidy: list[int] = []  # the times of the lists still to look at, the first one last
        self.strange = False  # a batch had keys of which only their classes say what they are equal to
        self.newest = ColumnVersion(self)

    def find(self, leaves: Sequence[pa.Array]) -> Slots:
        """The slots of keys, -1 for those that are not there."""
        keys = self.keys
        return self.index.find(keys.hashes(leaves), lambda at, slots: keys.same(leaves, at, slots))

    def append(self, leaves: Sequence[pa.Array], states: Arrays, times: Slots | int, count: int) -> None:
        """More slots, all with a key or, at the time of holes, without."""
        begin, end = self.length, self.length + count
        if end > SLOTS_MAX:
            raise StateError(f"a partition cannot remember more than {SLOTS_MAX:,} keys")
        self.keys.append(begin, leaves)
        self.states.reserve(end)
        self.states.put(slice(begin, end), states)
        self.times = grown(self.times, end)
        self.times[begin:end] = times
        live = self.times[begin:end] != _HOLE
        self.length = end
        self.count += int(np.count_nonzero(live))
        self.index.add(self.keys.hashes(leaves)[live], np.arange(begin, end)[live])

    def touch(self, slots: Slots, time: int) -> None:
        """These slots have had their news at a time."""
        if self.expires and len(slots):
            self._list([time], [slots])

    def touch_each(self, slots: Slots) -> None:
        """These slots, which have keys, have had their news at their times."""
        if not self.expires or not len(slots):
            return
        times = self.times[slots]
        order = np.argsort(times, kind="stable")
        times = times[order]
        starts = np.flatnonzero(np.diff(times, prepend=_HOLE))
        self._list(times[starts].tolist(), np.split(slots[order], starts[1:]))

    def _list(self, times: list[int], parts: list[Slots]) -> None:
        late = bool(self.touched) and times[0] < next(reversed(self.touched))
        before = self.listed
        for time, part in zip(times, parts, strict=True):
            self.touched.setdefault(time, []).append(part.astype(np.uint32))
            self.listed += len(part) + _A_LIST
        self.looks += _LOOKS * (self.listed - before)
        if late:  # an older version is gone on from
            self.touched = dict(sorted(self.touched.items()))

    def tidy(self) -> None:
        """Where the lists have many entries of slots that had later news, drop such: from as many as the new
        entries pay for. So lists take what their keys take, and no batch looks at all of them."""
        if not self.to_tidy and self.listed > max(self.enough, 2 * self.count + _LISTED_MIN):
            self.to_tidy = list(reversed(self.touched))
            self.enough = 0
        while self.to_tidy and self.looks > 0:
            self.looks -= self._tidy_list(self.to_tidy.pop())
        if not self.to_tidy:
            self.looks = 0
            self.enough = self.enough or 2 * self.listed

    def _tidy_list(self, time: int) -> int:
        """How many entries had to be looked at."""
        if time not in self.touched:
            return 1
        kept = self.newest_at(time)
        looked_at = _entries(self.touched[time])
        if not len(kept):
            self.drop_list(time)
        else:
            self.touched[time] = [kept.astype(np.uint32)]
            self.listed += _entries(self.touched[time]) - looked_at
        return looked_at

    def drop_list(self, time: int) -> None:
        """Nobody will ask for the slots with their last news at a time."""
        self.listed -= _entries(self.touched.pop(time))

    def oldest_news(self) -> int | None:
        """The time of the longest-ago last news of a key. What is found to be no news drops out of its list,
        and is not looked at again."""
        while self.touched:
            time, parts = next(iter(self.touched.items()))
            while parts:
                part = parts[-1]
                slots = part[-_PIECE:].astype(np.int64)
                if np.any(self.times[slots[slots < self.length]] == time):
                    return time
                self.listed -= len(slots)
                parts[-1] = part = part[:-_PIECE]
                if not len(part):
                    parts.pop()
                    self.listed -= _A_LIST
                elif part.base is not None and 2 * part.nbytes < part.base.nbytes:
                    parts[-1] = part.copy()  # without the memory of what has dropped out
            del self.touched[time]
        return None

    def clear(self, slots: Slots) -> None:
        """Leave holes where keys are."""
        self.times[slots] = _HOLE
        self.count -= len(slots)
        self.index.discard(self.keys.hashes(self.keys.take(slots)), slots)

    def put_back(self, note: _Note) -> _Note:
        """Be what was noted; the note of what was there until now."""
        other = _Note(self.length, self.count)
        changed = note.slots()
        other.pieces.append((changed, self.states.take(changed), self.times[changed]))
        if self.length > note.length:
            self._cut(note.length, other)
        before = other.pieces[0][2] != _HOLE
        for slots, states, times in reversed(note.pieces):
            self.states.put(slots, states)
            self.times[slots] = times
        after = self.times[changed] != _HOLE
        if len(gone := changed[before & ~after]):
            self.clear(gone)
        if len(back := changed[after & ~before]):
            self.index.add(self.keys.hashes(self.keys.take(back)), back)
        if note.tail is not None:
            leaves, states, times = note.tail
            begin = self.length
            self.append(leaves, states, times, len(times))
        assert self.length == note.length, "a note of another version"
        self.count = note.count
        # What is put back may be asked for by its time again, and its entry may have been dropped.
        self.touch_each(changed[after])
        if note.tail is not None:
            tail = np.arange(begin, self.length)
            self.touch_each(tail[self.times[tail] != _HOLE])
        self.tidy()
        return other

    def _cut(self, length: int, other: _Note) -> None:
        """Without the slots from ``length`` on, which are noted."""
        tail = slice(length, self.length)
        leaves, times = self.keys.take(tail), self.times[tail].copy()
        other.tail = leaves, self.states.take(tail), times
        live = times != _HOLE
        self.index.discard(self.keys.hashes(leaves)[live], np.arange(length, self.length)[live])
        self.length = length

    def live(self) -> Slots:
        """The slots with a key."""
        return np.flatnonzero(self.times[: self.length] != _HOLE)

    def keys_at(self, slots: Slots) -> Columns:
        """The keys in these slots."""
        return Columns(self.key_type, self.keys.take(slots), len(slots))

    def states_at(self, slots: Slots) -> Columns:
        """The states in these slots."""
        return columns_of(self.state_type, self.states.kinds, self.states.take(slots), len(slots))

    @property
    def pair_type(self) -> RowType:
        """What keys with their states are."""
        return Tuple((self.key_type, self.state_type))

    def pair_leaves(self, slots: Slots) -> list[pa.Array]:
        """The leaves of the pairs in these slots."""
        return [*self.keys.take(slots), *self.states_at(slots).leaves]

    def pairs_at(self, slots: Slots) -> list[Columns]:
        """The pairs in these slots as a table has them: no chunk of none."""
        return [Columns(self.pair_type, self.pair_leaves(slots), len(slots))] if len(slots) else []

    def newest_at(self, time: int) -> Slots:
        """The slots whose last news is of this time."""
        found: list[Slots] = []
        for part in self.touched[time]:
            slots = part.astype(np.int64)
            slots = slots[slots < self.length]
            found.append(slots[self.times[slots] == time])
        return _ascending(found)

    def append_some(self, leaves: Callable[[slice], tuple[Sequence[pa.Array], Arrays]], times: Slots) -> None:
        """Many slots, a part after the other, so that what is needed meanwhile is small; all are listed."""
        for at in range(0, len(times), _AT_ONCE):
            part = slice(at, at + _AT_ONCE)
            keys, states = leaves(part)
            self.append(keys, states, times[part], len(times[part]))
        self.touch_each(self.live())


def _entries(parts: Sequence[npt.NDArray[np.uint32]]) -> int:
    """What the lists of a time count for."""
    return sum(map(len, parts)) + _A_LIST * len(parts)


class ColumnVersion:
    """The states of a partition's keys at one moment. It never changes.

    >>> nothing = ColumnVersion.of_pairs(Columns.from_rows([("a", 1)]), 0)
    >>> with nothing.update(1000) as update:
    ...     update.put("b", 2)
    >>> with update.version.update(2000) as later:
    ...     later.remove("a")
    >>> len(nothing), update.version.pairs().rows(), later.version.pairs().rows()
    (1, [('a', 1), ('b', 2)], [('b', 2)])
    """

    __slots__ = ("_newer", "_note", "_table")

    def __init__(self, table: _Table) -> None:
        self._table = table
        self._note: _Note | None = None  # what makes this version of the newer one
        self._newer: ColumnVersion | None = None

    @staticmethod
    def empty(key_type: RowType, state_type: RowType, *, expires: bool = True) -> ColumnVersion:
        """No key yet. Raises: :class:`RowTypeError` if such keys or states have to be Python objects."""
        return _Table(key_type, state_type, expires).newest

    @staticmethod
    def of_pairs(pairs: Columns, time: int, *, expires: bool = True) -> ColumnVersion:
        """A first version, of pairs in columns; of a key that is there twice the first counts. All had their
        news at ``time``. Without ``expires`` nobody will ask which keys have had none for long.

        Raises: :class:`RowTypeError` if such keys or states have to be Python objects.
        """
        key_type, state_type = pairs.row_type.parts
        table = _Table(key_type, state_type, expires, len(pairs))
        width = key_type.leaf_count
        must_be_plain_keys(pairs.leaves[:width])
        for at in range(0, len(pairs), _AT_ONCE):
            part = pairs.slice(at, at + _AT_ONCE)
            codes, count = encoded(part.leaves[:width], len(part))
            if count < len(part):
                part = part.take(firsts_of(codes, count))
            known = table.find(part.leaves[:width]) >= 0
            if known.any():
                part = part.take(np.flatnonzero(~known))
            states = table.states.of_leaves(part.leaves[width:])
            table.append(part.leaves[:width], states, time, len(part))
        table.touch(np.arange(table.length), time)
        return table.newest

    @staticmethod
    def of_image(image: TableChange, *, expires: bool = True) -> ColumnVersion:
        """The version of an image, on slots of the same numbers; see :class:`~penstock.state.Version`.
        Raises: :class:`RowTypeError` if its keys or states have to be Python objects."""
        pairs = _as_columns(image.entries)
        key_type, state_type = pairs.row_type.parts
        width = key_type.leaf_count
        must_be_plain_keys(pairs.leaves[:width])
        table = _Table(key_type, state_type, expires, len(pairs))
        times = np.full(image.length, _HOLE, np.int64)
        times[image.slots] = 0 if image.times is None else image.times

        def some(part: slice) -> tuple[Sequence[pa.Array], Arrays]:
            if len(pairs) == image.length:
                held = pairs.slice(part.start, min(part.stop, len(pairs)))
            else:  # holes: each has a key and a state, whichever
                owner = np.searchsorted(image.slots, np.arange(part.start, min(part.stop, image.length)))
                held = pairs.take(np.minimum(owner, len(pairs) - 1))
            return held.leaves[:width], table.states.of_leaves(held.leaves[width:])

        table.append_some(some, times)
        return table.newest

    @property
    def key_type(self) -> RowType:
        """What every key is, exactly."""
        return self._table.key_type

    @property
    def state_type(self) -> RowType:
        """What every state is, exactly."""
        return self._table.state_type

    def __len__(self) -> int:
        with self._table.lock:
            return self._table.count if self._note is None else self._note.count

    @property
    def nbytes(self) -> int:
        """What the table takes, exactly, but for text among the states, of which 64 are looked at."""
        table = self._table
        with table.lock:
            held = table.index.nbytes + table.keys.nbytes + table.states.nbytes + table.times.nbytes
            return held + sum(part.nbytes for parts in table.touched.values() for part in parts)

    def pairs(self) -> Columns:
        """Keys and states in order of first appearance."""
        with self._read() as table:
            live = table.live()
            return Columns(table.pair_type, table.pair_leaves(live), len(live))

    def get(self, key: Any, absent: Any) -> Any:
        """The state of a key; see :class:`~penstock.state.Version`."""
        hash(key)
        try:
            wanted = Columns.from_rows([key], self.key_type)
            must_be_plain_keys(wanted.leaves)
        except RowTypeError:
            equal = counterpart(key, self.key_type)
            if equal is NONE_EQUAL:
                return absent
            if equal is UNKNOWN:
                return dict(self.pairs().rows()).get(key, absent)
            wanted = Columns.from_rows([equal], self.key_type)
        with self._read() as table:
            slots = table.find(wanted.leaves)
            return table.states_at(slots).rows()[0] if slots[0] >= 0 else absent

    def first(self, count: int) -> Columns:
        """The first keys with their states; see :class:`~penstock.state.Version`."""
        with self._read() as table:
            live = table.live()[:count]
            return Columns(table.pair_type, table.pair_leaves(live), len(live))

    def image(self) -> TableChange:
        """All of it; see :class:`~penstock.state.Version`."""
        with self._read() as table:
            live = table.live()
            return TableChange(table.length, live, table.pairs_at(live), table.times[live], whole=True)

    def changes(self, since: Any) -> TableChange | None:
        """What makes it of ``since``; see :class:`~penstock.state.Version`."""
        if not isinstance(since, ColumnVersion) or since._table is not self._table:
            return None
        with self._read() as table:
            note = since._note
            if since._newer is not self or note is None:
                return None
            tail = np.arange(note.length, max(note.length, table.length))
            slots = np.concatenate([note.slots(), tail])
            there = table.times[slots] != _HOLE
            live = slots[there]
            return TableChange(table.length, live, table.pairs_at(live), table.times[live], slots[~there])

    def followed_by(self, change: TableChange) -> ColumnVersion:
        """The version that a saved change makes of this one; see :class:`~penstock.state.Version`. Raises:
        :class:`RowTypeError` if its keys or states do not fit in."""
        table = self._table
        pairs = _of_type(change.entries, table.pair_type)
        width = table.key_type.leaf_count
        must_be_plain_keys(pairs.leaves[:width])
        states = table.states.of_leaves(pairs.leaves[width:])
        times = np.zeros(len(pairs), np.int64) if change.times is None else change.times
        with table.lock:
            self._become_newest()
            length = table.length
            known = int(np.searchsorted(change.slots, length))
            tail = np.arange(length, change.length)
            if len(tail) and known == len(pairs):
                raise RowTypeError("slots that have never had a key of this type")
            slots, holes = change.slots[:known], change.holes[change.holes < length]
            touched = np.concatenate([holes, slots])
            note = self._note = _Note(length, table.count)
            note.pieces.append((touched, table.states.take(touched), table.times[touched]))
            made = self._newer = table.newest = ColumnVersion(table)
            table.clear(holes)
            table.states.put(slots, [array[:known] for array in states])
            table.times[slots] = times[:known]
            table.touch_each(slots)
            if len(tail):
                # Of a hole the key and the state may be any.
                owner = np.minimum(np.searchsorted(change.slots, tail), len(pairs) - 1)
                news = np.full(len(tail), _HOLE, np.int64)
                news[change.slots[known:] - length] = times[known:]
                leaves = pairs.take(owner).leaves[:width]
                table.append(leaves, [array[owner] for array in states], news, len(tail))
                table.touch_each(change.slots[known:])
            table.tidy()
        return made

    def oldest_news(self) -> int | None:
        """The time of the longest-ago last news of a key; see :class:`~penstock.state.Version`."""
        with self._read() as table:
            return table.oldest_news()

    def update(self, time: int) -> ColumnUpdate:
        """Begin the version of the batch at ``time``."""
        return ColumnUpdate(self, time)

    @contextmanager
    def _read(self) -> Iterator[_Table]:
        """The table, as this version, for a while."""
        table = self._table
        with table.lock:
            newest = table.newest
            self._become_newest()
            try:
                yield table
            finally:
                newest._become_newest()

    def _become_newest(self) -> None:
        """Put back what was noted on the way here. (The lock is held.)"""
        way: list[ColumnVersion] = []
        version = self
        while version._newer is not None:
            way.append(version)
            version = version._newer
        for version in reversed(way):
            newer, note = version._newer, version._note
            assert newer is not None
            assert note is not None
            newer._note, newer._newer = self._table.put_back(note), version
            version._note = version._newer = None
            self._table.newest = version


def _as_columns(entries: Sequence[Chunk]) -> Columns:
    """Pairs as one chunk. Raises: :class:`RowTypeError` if there is none, or not all are of one type."""
    columns = [each for each in entries if isinstance(each, Columns)]
    if not columns or len(columns) < len(entries) or len({each.row_type for each in columns}) > 1:
        columns = [Columns.from_rows(list(rows_of(entries)))]
    pairs = columns[0] if len(columns) == 1 else concatenated_columns(columns)
    if not isinstance(pairs.row_type, Tuple) or len(pairs.row_type.parts) != 2 or not len(pairs):
        raise RowTypeError(f"{pairs.row_type} is no pair of key and state")
    return pairs


def _of_type(entries: Sequence[Chunk], row_type: RowType) -> Columns:
    """Pairs as one chunk of that type. Raises: :class:`RowTypeError` if they are of another."""
    columns = [each for each in entries if isinstance(each, Columns) and each.row_type == row_type]
    if not columns or len(columns) < len(entries):
        return Columns.from_rows(list(rows_of(entries)), row_type)
    return columns[0] if len(columns) == 1 else concatenated_columns(columns)


class ColumnUpdate:
    """The version of a batch in the making; left with an exception, it never was. See
    :class:`~penstock.state.Update`.

    Keys one by one, as Python objects, are looked up many at a time (:meth:`prepare`), and what becomes of
    them is written when the update is over. Whole columns of keys (:meth:`find`, :meth:`write`) are written
    at once.
    """

    __slots__ = (
        "_added", "_all", "_before", "_forgotten", "_gone", "_known", "_news", "_slots", "_states",
        "_strange", "_table", "expired", "time", "version",
    )  # fmt: skip

    def __init__(self, before: ColumnVersion, time: int) -> None:
        self.time = time
        self.expired = 0  # keys that were forgotten for want of news
        self.version: Any = before  # the new one, once it is begun; rows, where columns do not do any more
        self._before = before
        self._table = before._table
        # What was looked up one by one:
        self._known: set[Any] = set()
        self._all = False  # whether that is all keys
        self._strange = False  # because only the class of one can say what it is equal to
        self._slots: dict[Any, int] = {}  # of those that were there
        self._states: dict[Any, Any] = {}  # of those that are
        self._news: dict[Any, None] = {}  # those that are where they were, with news
        self._added: dict[Any, None] = {}  # those that need a slot, in their order
        self._gone: list[int] = []  # slots of those that were removed
        self._forgotten: int | None = None  # what is older is gone, once that is written

    def __enter__(self) -> ColumnUpdate:
        self._table.lock.acquire()
        try:
            self._begin()
        except BaseException:
            self._table.lock.release()
            raise
        return self

    def _begin(self) -> None:
        table, before = self._table, self._before
        before._become_newest()
        if table.length - table.count > max(_HOLES_MIN, table.count):
            made = _without_holes(table)
            made.lock.acquire()
            self._table = made
            table.lock.release()
            table, before = made, made.newest
            self._before = before
        before._note = _Note(table.length, table.count)
        self.version = before._newer = table.newest = ColumnVersion(table)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        done = False
        try:
            if kind is None:
                done = self._written()
        finally:
            try:
                if done:
                    if self._forgotten is not None:
                        for time in self._times_before(self._forgotten):
                            self._table.drop_list(time)
                    self._table.tidy()
                else:
                    self._before._become_newest()
            finally:
                self._table.lock.release()

    # Whole columns

    @property
    def key_type(self) -> RowType:
        """What every key is, exactly."""
        return self._table.key_type

    @property
    def state_type(self) -> RowType:
        """What every state is, exactly."""
        return self._table.state_type

    @property
    def one_by_one(self) -> bool:
        """Whether keys were looked up one by one, of which nothing has been written yet."""
        return bool(self._known) or self._all

    def find(self, keys: Columns) -> Slots:
        """The slots of these keys, all different; -1 for those that are not there. Raises:
        :class:`RowTypeError` if one cannot be in columns."""
        must_be_plain_keys(keys.leaves)
        return self._table.find(keys.leaves)

    def states_at(self, slots: Slots) -> list[npt.NDArray[Any]]:
        """The states in these slots, leaf by leaf."""
        return self._table.states.take(slots)

    def write(self, gone: Slots, news: Slots, states: Arrays, added: Columns, added_states: Arrays) -> None:
        """Leave holes in the slots ``gone``; set the states of the slots in ``news``, which have their news
        now; give slots to keys that have none, in their order."""
        table = self._table
        self._note_down(np.concatenate([gone, news]))
        if len(gone):
            table.clear(gone)
        table.states.put(news, states)
        table.times[news] = self.time
        begin = table.length
        if len(added):
            table.append(added.leaves, added_states, self.time, len(added))
        table.touch(np.concatenate([news, np.arange(begin, table.length)]), self.time)

    def expiring_slots(self, before: int) -> Slots:
        """The slots of keys whose last news is of a time before that one, ascending."""
        return _ascending([self._table.newest_at(time) for time in self._times_before(before)])

    def keys_at(self, slots: Slots) -> Columns:
        """The keys in these slots."""
        return self._table.keys_at(slots)

    def expire_slots(self, slots: Slots) -> None:
        """Forget the keys in these slots for want of news."""
        assert not self.one_by_one, "keys that were looked up one by one expire one by one"
        self._note_down(slots)
        self._table.clear(slots)
        self.expired += len(slots)

    # Keys one by one

    def prepare(self, keys: Iterable[Any]) -> None:
        """Look these keys up, all at once."""
        if self._all:
            return
        try:
            missing = [key for key in dict.fromkeys(keys) if key not in self._known]
        except Exception:  # one has no hash; who asks for it will be told
            return
        if missing:
            self._load(missing)

    def get(self, key: Any, absent: Any) -> Any:
        """The state of a key: the object itself."""
        found = self._states.get(key, UNKNOWN)
        if found is not UNKNOWN:
            return found
        self._know(key)
        return self._states.get(key, absent)

    def put(self, key: Any, state: Any) -> None:
        """Set the state of a key, which has its news now."""
        self._know(key)
        if key not in self._states:
            key = isolated(key)
            self._added[key] = None
        elif key not in self._added:
            self._news[key] = None
        self._states[key] = state

    def touch(self, key: Any) -> None:
        """A key that has a state has its news now."""
        self.put(key, self.get(key, None))

    def remove(self, key: Any) -> None:
        """Forget a key; one that is not there is no error."""
        self._know(key)
        if key not in self._states:
            return
        del self._states[key]
        if key in self._added:
            del self._added[key]
        else:
            self._news.pop(key, None)
            self._gone.append(self._slots.pop(key))

    def expiring(self, before: int) -> list[tuple[Any, Any]]:
        """The keys, with their states, whose last news is of a time before that one, in their order."""
        assert before <= self.time, "what has its news now does not expire"
        slots = self.expiring_slots(before)
        keys, states = self.keys_at(slots).rows(), self._table.states_at(slots).rows()
        found = []
        for key, state, slot in zip(keys, states, slots.tolist(), strict=True):
            if not self._all and key not in self._known:
                self._remember(key, state, slot)
            if self._slots.get(key) == slot and key not in self._news:
                found.append((key, self._states[key]))
        return found

    def expire(self, key: Any) -> None:
        """Forget a key for want of news."""
        self.remove(key)
        self.expired += 1

    def expire_before(self, before: int) -> None:
        """Forget all keys whose last news is of a time before that one."""
        if self.one_by_one:
            for key, _ in self.expiring(before):
                self.expire(key)
        else:
            self.expire_slots(self.expiring_slots(before))

    def forget_times(self, before: int) -> None:
        """Of this version and those after it nobody will ask for keys whose last news is of a time before
        that one, as they are gone."""
        self._forgotten = before

    def _times_before(self, before: int) -> list[int]:
        return list(takewhile(lambda time: time < before, self._table.touched))  # they lie in their order

    def _note_down(self, slots: Slots) -> None:
        table, note = self._table, self._before._note
        assert note is not None
        old = slots[slots < note.length]
        if len(old):
            note.pieces.append((old, table.states.take(old), table.times[old]))

    def _know(self, key: Any) -> None:
        if not self._all and key not in self._known:
            self._load([key])

    def _load(self, keys: list[Any]) -> None:
        try:
            columns = Columns.from_rows(keys, self._table.key_type)
            slots = self.find(columns)
        except RowTypeError:  # they may still be equal to such as are there
            equal = [counterpart(key, self._table.key_type) for key in keys]
            if any(key is UNKNOWN for key in equal):
                self._strange = True
                self._load_all()
                return
            self._known.update(keys)
            keys = [key for key in equal if key is not NONE_EQUAL]
            slots = self.find(Columns.from_rows(keys, self._table.key_type))
        self._known.update(keys)
        there = slots >= 0
        states = iter(self._table.states_at(slots[there]).rows())
        for key, slot in zip(keys, slots.tolist(), strict=True):
            if slot >= 0:
                self._slots[key], self._states[key] = slot, next(states)

    def _load_all(self) -> None:
        live = self._table.live()
        keys, states = self.keys_at(live).rows(), self._table.states_at(live).rows()
        for key, state, slot in zip(keys, states, live.tolist(), strict=True):
            if key not in self._known:
                self._remember(key, state, slot)
        self._all = True

    def _remember(self, key: Any, state: Any, slot: int) -> None:
        self._known.add(key)
        self._slots[key], self._states[key] = slot, state

    def _written(self) -> bool:
        """Write down what has become of the keys that were looked up; false if columns cannot hold it, and
        the version is one of rows now."""
        table = self._table
        if self._strange and table.strange:  # and again: not all keys in every batch
            self.version = self._as_rows()
            return False
        table.strange = table.strange or self._strange
        if not (self._news or self._added or self._gone):
            return True
        try:
            added = Columns.from_rows(list(self._added), table.key_type)
            must_be_plain_keys(added.leaves)
            states = [
                Columns.from_rows([self._states[key] for key in keys], table.state_type)
                for keys in (self._news, self._added)
            ]
        except RowTypeError:
            self.version = self._as_rows()
            return False
        news = np.array([self._slots[key] for key in self._news], np.int64)
        arrays = [table.states.of_leaves(each.leaves) for each in states]
        self.write(np.array(self._gone, np.int64), news, arrays[0], added, arrays[1])
        return True

    def _as_rows(self) -> RowVersion:
        """What would be written, as Python objects."""
        if not self._all:
            self._load_all()
        table = self._table
        stay = sorted((slot, key) for key, slot in self._slots.items())
        keys = [key for _, key in stay]
        times = [self.time if key in self._news else int(table.times[slot]) for slot, key in stay]
        keys.extend(self._added)
        times.extend([self.time] * len(self._added))
        entries = Rows([(key, self._states[key]) for key in keys])
        image = TableChange(len(keys), np.arange(len(keys)), [entries], np.array(times, np.int64), whole=True)
        version = RowVersion.of_image(image, expires=table.expires)
        version.stay_rows()
        return version


def _without_holes(table: _Table) -> _Table:
    """The newest version in a table of its own."""
    live = table.live()
    made = _Table(table.key_type, table.state_type, table.expires, len(live))
    made.strange = table.strange
    made.append_some(
        lambda part: (table.keys.take(live[part]), table.states.take(live[part])), table.times[live]
    )
    return made
