"""Versions of the state of a partition, as Python objects.

The newest version lies in a table, one slot a key in order of first appearance. An older one is a note of
what was different in the slots that were touched since::

    version 1 <--- slot 4 was ("d", 7), 9 slots ---- version 2 <--- slot 0 was ... --- version 3: the table

So a batch costs what it touches, and any version may be read, or gone on from: what is noted is put back
then, and noted the other way round. A key that is removed leaves a hole; where more than half of a table is
holes, the next version begins a new one.

Which keys have had no news for too long is found in lists of the slots that each batch has touched, which
are kept where somebody will ask.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from itertools import takewhile
from types import TracebackType
from typing import Any

import numpy as np

from penstock.chunk import Rows, isolated
from penstock.state.changes import TableChange

__all__ = ["RowUpdate", "RowVersion"]

_HOLE: Any = object()
_HOLES_MIN = 64  # fewer are not worth a new table


class _Note:
    """How an older version differs from the one after it: how many slots and keys it has, what is in the
    slots that have changed (key or hole, state, time), and the lists of touched slots that were dropped."""

    __slots__ = ("count", "length", "slots", "touched")

    def __init__(self, length: int, count: int) -> None:
        self.length = length
        self.count = count
        self.slots: dict[int, tuple[Any, Any, int]] = {}
        self.touched: dict[int, list[int]] = {}


class _Table:
    """The slots of the newest version (key or hole, state, batch time of the last news), and where each key
    is; ``touched`` lists by batch time the slots that had news then, and some that had not: nothing if nobody
    will ask (``expires``)."""

    __slots__ = ("expires", "index", "keys", "lock", "newest", "states", "times", "touched")

    def __init__(self, expires: bool) -> None:
        self.expires = expires
        self.lock = threading.RLock()
        self.index: dict[Any, int] = {}
        self.keys: list[Any] = []
        self.states: list[Any] = []
        self.times: list[int] = []
        self.touched: dict[int, list[int]] = {}
        self.newest = RowVersion(self)

    def add(self, key: Any, state: Any, time: int) -> int:
        """One more slot; its number."""
        self.keys.append(key)
        self.states.append(state)
        self.times.append(time)
        self.index[key] = len(self.keys) - 1
        return len(self.keys) - 1

    def touch(self, slot: int, time: int) -> None:
        """A slot has had its news at a time."""
        if not self.expires:
            return
        slots = self.touched.get(time)
        if slots is None:
            late = bool(self.touched) and time < next(reversed(self.touched))
            slots = self.touched[time] = []
            if late:  # an older version is gone on from
                self.touched = dict(sorted(self.touched.items()))
        slots.append(slot)

    def clear(self, slot: int) -> None:
        """Leave a hole."""
        if self.keys[slot] is not _HOLE:
            del self.index[self.keys[slot]]
        self.keys[slot], self.states[slot] = _HOLE, None

    def put_back(self, note: _Note) -> _Note:
        """Be what was noted; the note of what was there until now."""
        length = len(self.keys)
        other = _Note(length, len(self.index))
        changed = [*(slot for slot in note.slots if slot < length), *range(note.length, length)]
        for slot in changed:
            other.slots[slot] = self.keys[slot], self.states[slot], self.times[slot]
        for slot in changed:
            self.clear(slot)
        _fit(self.keys, note.length, _HOLE)
        _fit(self.states, note.length, None)
        _fit(self.times, note.length, 0)
        for slot, (key, state, time) in note.slots.items():
            self.keys[slot], self.states[slot], self.times[slot] = key, state, time
            if key is not _HOLE:
                self.index[key] = slot
        if note.touched:  # what is put back may be asked for by its time again
            self.touched = dict(sorted({**self.touched, **note.touched}.items()))
        return other


def _fit(column: list[Any], length: int, nothing: Any) -> None:
    """Make a column so long, with ``nothing`` at the end or without what is there."""
    column.extend([nothing] * (length - len(column)))
    del column[length:]


class RowVersion:
    """The states of a partition's keys at one moment. It never changes.

    >>> nothing = RowVersion.of([], 0)
    >>> with nothing.update(1000) as update:
    ...     update.put("a", 1)
    ...     update.put("b", 2)
    >>> with update.version.update(2000) as later:
    ...     later.remove("a")
    >>> len(nothing), update.version.pairs(), later.version.pairs()
    (0, [('a', 1), ('b', 2)], [('b', 2)])
    """

    __slots__ = ("_newer", "_note", "_table")

    def __init__(self, table: _Table) -> None:
        self._table = table
        self._note: _Note | None = None  # what makes this version of the newer one
        self._newer: RowVersion | None = None

    @staticmethod
    def of(pairs: Iterable[tuple[Any, Any]], time: int, *, expires: bool = True) -> RowVersion:
        """A first version; of a key that is there twice the first counts. All had their news at ``time``.
        Without ``expires`` nobody will ask which keys have had none for long."""
        table = _Table(expires)
        for key, state in pairs:
            if key not in table.index:
                table.touch(table.add(key, state, time), time)
        return table.newest

    @staticmethod
    def of_image(
        pairs: Iterable[tuple[Any, Any]], times: Iterable[int], *, expires: bool = True
    ) -> RowVersion:
        """The version that :meth:`image` has shown: distinct keys, states, and when each had its last
        news."""
        table = _Table(expires)
        touched: dict[int, list[int]] = {}
        for (key, state), time in zip(pairs, times, strict=True):
            touched.setdefault(time, []).append(table.add(key, state, time))
        if expires:
            table.touched = dict(sorted(touched.items()))
        return table.newest

    def image(self) -> tuple[list[tuple[Any, Any]], list[int]]:
        """The newest version whole: its pairs as :meth:`pairs` gives them, and the time of the last news of
        each."""
        with self._table.lock:
            assert self._note is None, "only the newest version knows all its times"
            table = self._table
            held = [slot for slot, key in enumerate(table.keys) if key is not _HOLE]
            return [(table.keys[s], table.states[s]) for s in held], [table.times[s] for s in held]

    def changes(self, since: RowVersion) -> TableChange | None:
        """What makes the newest version of the one before it; ``None`` if that cannot be told from what was
        touched, so that the whole version is to be told."""
        with self._table.lock:
            table, note = self._table, since._note
            if self._note is not None or since._newer is not self or note is None:
                return None
            touched = [*(s for s in note.slots if s < len(table.keys)), *range(note.length, len(table.keys))]
            set_ = [slot for slot in touched if table.keys[slot] is not _HOLE]
            holes = [slot for slot in touched if table.keys[slot] is _HOLE]
            entries = [(table.keys[slot], table.states[slot]) for slot in set_]
            return TableChange(
                len(table.keys),
                np.array(set_, np.int64),
                [Rows(entries)] if entries else [],
                np.array([table.times[slot] for slot in set_], np.int64),
                np.array(holes, np.int64),
            )

    def oldest_news(self) -> int | None:
        """The time of the longest-ago last news of a key, of the newest version; or of one earlier than that.
        ``None`` without keys, or where nobody asks for times."""
        with self._table.lock:
            table = self._table
            for time, slots in table.touched.items():
                if any(
                    s < len(table.keys) and table.times[s] == time and table.keys[s] is not _HOLE
                    for s in slots
                ):
                    return time
            return None

    def __len__(self) -> int:
        with self._table.lock:
            return len(self._table.index) if self._note is None else self._note.count

    def pairs(self) -> list[tuple[Any, Any]]:
        """Keys and states in order of first appearance; the objects themselves, not to be changed."""
        with self._table.lock:
            table = self._table
            if self._note is None:
                keys, states = table.keys, table.states
            else:
                keys, states = table.keys.copy(), table.states.copy()
                for version in reversed(self._to_newest()):
                    assert version._note is not None
                    _fit(keys, version._note.length, _HOLE)
                    _fit(states, version._note.length, None)
                    for slot, (key, state, _) in version._note.slots.items():
                        keys[slot], states[slot] = key, state
            return [pair for pair in zip(keys, states, strict=True) if pair[0] is not _HOLE]

    def update(self, time: int) -> RowUpdate:
        """Begin the version of the batch at ``time``."""
        return RowUpdate(self, time)

    def _to_newest(self) -> list[RowVersion]:
        """This version and those between it and the newest, which is left out."""
        found: list[RowVersion] = []
        version = self
        while version._newer is not None:
            found.append(version)
            version = version._newer
        return found

    def _become_newest(self) -> None:
        """Put back what was noted on the way here. (The lock is held.)"""
        for version in reversed(self._to_newest()):
            newer, note = version._newer, version._note
            assert newer is not None
            assert note is not None
            newer._note, newer._newer = self._table.put_back(note), version
            version._note = version._newer = None
            self._table.newest = version


class RowUpdate:
    """The version of a batch in the making; left with an exception, it never was.

    One thread makes it. Meanwhile the version that it comes from can be read by others, and waits for it.
    """

    __slots__ = ("_before", "_note", "_table", "expired", "time", "version")

    def __init__(self, before: RowVersion, time: int) -> None:
        self.time = time
        self.expired = 0  # keys that were forgotten for want of news
        self.version = before  # the new one, once it is begun
        self._before = before
        self._table = before._table
        self._note = _Note(0, 0)

    def __enter__(self) -> RowUpdate:
        table, before = self._table, self._before
        table.lock.acquire()
        before._become_newest()
        if len(table.keys) - len(table.index) > max(_HOLES_MIN, len(table.index)):
            table = self._table = _without_holes(table)
            table.lock.acquire()
            before._table.lock.release()
            before = self._before = table.newest
        self._note = before._note = _Note(len(table.keys), len(table.index))
        self.version = before._newer = table.newest = RowVersion(table)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._before._become_newest()
        self._table.lock.release()

    def get(self, key: Any, absent: Any) -> Any:
        """The state of a key: the object itself."""
        slot = self._table.index.get(key)
        return absent if slot is None else self._table.states[slot]

    def put(self, key: Any, state: Any) -> None:
        """Set the state of a key, which has its news now."""
        table = self._table
        slot = table.index.get(key)
        if slot is None:
            slot = table.add(isolated(key), state, self.time)
        else:
            self._note_down(slot)
            table.states[slot] = state
            if table.times[slot] == self.time:
                return
            table.times[slot] = self.time
        table.touch(slot, self.time)

    def touch(self, key: Any) -> None:
        """A key that has a state has its news now."""
        self.put(key, self._table.states[self._table.index[key]])

    def remove(self, key: Any) -> None:
        """Forget a key; one that is not there is no error."""
        slot = self._table.index.get(key)
        if slot is not None:
            self._note_down(slot)
            self._table.clear(slot)

    def expiring(self, before: int) -> list[tuple[Any, Any]]:
        """The keys, with their states, whose last news is of a time before that one, in their order."""
        table = self._table
        found: set[int] = set()
        for time in self._times_before(before):
            found.update(
                slot
                for slot in table.touched[time]
                if slot < len(table.keys) and table.times[slot] == time and table.keys[slot] is not _HOLE
            )
        return [(table.keys[slot], table.states[slot]) for slot in sorted(found)]

    def expire(self, key: Any) -> None:
        """Forget a key for want of news."""
        self.remove(key)
        self.expired += 1

    def forget_times(self, before: int) -> None:
        """Of this version and those after it nobody will ask for keys whose last news is of a time before
        that one, as they are gone."""
        for time in self._times_before(before):
            self._note.touched[time] = self._table.touched.pop(time)

    def _times_before(self, before: int) -> list[int]:
        return list(takewhile(lambda time: time < before, self._table.touched))  # they lie in their order

    def _note_down(self, slot: int) -> None:
        if slot < self._note.length and slot not in self._note.slots:
            table = self._table
            self._note.slots[slot] = table.keys[slot], table.states[slot], table.times[slot]


def _without_holes(table: _Table) -> _Table:
    """The newest version in a table of its own."""
    made = _Table(table.expires)
    touched: dict[int, list[int]] = {}
    for key, state, time in zip(table.keys, table.states, table.times, strict=True):
        if key is not _HOLE:
            touched.setdefault(time, []).append(made.add(key, state, time))
    if table.expires:
        made.touched = dict(sorted(touched.items()))
    return made
