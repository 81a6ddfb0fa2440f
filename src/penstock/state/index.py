"""Where each key is: from the hash of a key to its slot, for many keys at once, in numpy.

The index is linear hashing: as it fills, one segment after the other is split in two, so that it grows by
what is added and never all at once::

    segments     0     1     2     3     4                     of 4,096 entries each
                 |                       ^
                 '--- was split: half of its entries went to 4; next is 1, whose half goes to 5

An entry is 64 bits: 32 of the key's hash (the *tag*, which decides segment and place) above 32 that are the
slot plus one, 0 where nothing is. Within its segment an entry lies at the first free place on a walk of
growing steps. Tags of different keys may be equal: who asks for keys says which slots really have them.

Three of ten entries are taken on average, six of ten in a segment that is about to be split: 27 bytes a key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["SLOTS_MAX", "SlotIndex", "grown"]

Hashes = npt.NDArray[np.uint32]
Slots = npt.NDArray[np.int64]
Same = Callable[[Slots, Slots], npt.NDArray[np.bool_]]
"""Which of these keys (numbers of those that are asked for) lie in these slots."""

SLOTS_MAX = 2**32 - 2

_SEGMENT = 4096
_WITHIN = np.uint32(_SEGMENT - 1)
_HOME_BITS = np.uint32(20)  # the upper bits of a tag say where in the segment, the lower which segment
_LOW = np.uint64(0xFFFFFFFF)
_GONE = np.uint64(0xFFFFFFFF)  # an entry that was taken out; the walk goes on behind it
_TAG_BITS = np.uint64(32)
_FULL = 0.3
_AT_ONCE = 1 << 18


def grown(array: npt.NDArray[Any], length: int) -> npt.NDArray[Any]:
    """The array with room for ``length``, zeros at the end: itself, in place where the system can (nothing
    may look into its memory). It grows by an eighth or more, so that what is added pays for it."""
    if length > len(array):
        array.resize(max(length, len(array) + len(array) // 8, 64), refcheck=False)
    return array


class SlotIndex:
    """Slots by the hashes of their keys.

    >>> index = SlotIndex(0)
    >>> hashes = np.array([7, 9, 7], np.uint32)
    >>> index.add(hashes, np.array([0, 1, 2]))
    >>> index.find(hashes, lambda keys, slots: keys == slots).tolist()
    [0, 1, 2]
    >>> index.discard(hashes[:1], np.array([0]))
    >>> index.find(hashes, lambda keys, slots: keys == slots).tolist()
    [-1, 1, 2]
    """

    __slots__ = ("_entries", "_gone", "_next_to_tidy", "_segments", "_used")

    def __init__(self, expected: int) -> None:
        """Empty, with room for as many keys as are expected."""
        self._segments = 1 + int(expected / (_FULL * _SEGMENT))
        self._entries = np.zeros(self._segments * _SEGMENT, np.uint64)
        self._used = 0  # entries that are not free, those included that were taken out
        self._gone = 0
        self._next_to_tidy = 0

    def __len__(self) -> int:
        return self._used - self._gone

    @property
    def nbytes(self) -> int:
        """What it takes in memory."""
        return self._entries.nbytes

    def find(self, hashes: Hashes, same: Same) -> Slots:
        """For each key its slot, or -1."""
        found = np.full(len(hashes), -1, np.int64)
        tags = hashes.astype(np.uint64) << _TAG_BITS
        base, home = self._places(hashes)
        pending: Any = None  # all, at first
        step = 0
        while True:
            held = self._entries[base + ((home + (step * (step + 1) // 2)) & _WITHIN)]
            alike = ((held ^ tags) <= _LOW) & ((held & _LOW) != 0) & (held != _GONE)
            places = np.flatnonzero(alike)
            further = held != 0
            if len(places):
                keys = places if pending is None else pending[places]
                slots = (held[places] & _LOW).astype(np.int64) - 1
                yes = same(keys, slots)
                found[keys[yes]] = slots[yes]
                further[places[yes]] = False
            left = np.flatnonzero(further)
            if not len(left):
                return found
            pending = left if pending is None else pending[left]
            tags, base, home = tags[left], base[left], home[left]
            step += 1

    def add(self, hashes: Hashes, slots: Slots) -> None:
        """Keys that are not in it, each with a slot of its own."""
        for at in range(0, len(slots), _AT_ONCE):
            part = slice(at, at + _AT_ONCE)
            entries = (hashes[part].astype(np.uint64) << _TAG_BITS) | (slots[part] + 1).astype(np.uint64)
            self._make_room(len(entries))
            self._put(entries)

    def discard(self, hashes: Hashes, slots: Slots) -> None:
        """Take keys out; those that are not in it are no error."""
        wanted = (hashes.astype(np.uint64) << _TAG_BITS) | (slots + 1).astype(np.uint64)
        base, home = self._places(hashes)
        step = 0
        while len(wanted):
            places = base + ((home + (step * (step + 1) // 2)) & _WITHIN)
            held = self._entries[places]
            hit = held == wanted
            self._entries[places[hit]] = _GONE
            self._gone += int(np.count_nonzero(hit))
            left = np.flatnonzero(~hit & (held != 0))
            wanted, base, home = wanted[left], base[left], home[left]
            step += 1

    def _places(self, hashes: Hashes) -> tuple[Slots, Hashes]:
        """Where the segment of each hash begins, and where in it the walk does."""
        level = 1 << (self._segments.bit_length() - 1)  # so many segments were there when the round began
        segments = (hashes & np.uint32(2 * level - 1)).astype(np.int64)
        segments[segments >= self._segments] -= level
        return segments * _SEGMENT, hashes >> _HOME_BITS

    def _put(self, entries: npt.NDArray[np.uint64]) -> None:
        base, home = self._places((entries >> _TAG_BITS).astype(np.uint32))
        step = 0
        while len(entries):
            places = base + ((home + (step * (step + 1) // 2)) & _WITHIN)
            held = self._entries[places]
            empty = held == 0
            free = empty | (held == _GONE)
            self._entries[places[free]] = entries[free]  # of several the last one stays
            placed = self._entries[places] == entries
            reused = int(np.count_nonzero(placed & ~empty))
            self._gone -= reused
            self._used += int(np.count_nonzero(placed)) - reused
            left = np.flatnonzero(~placed)
            entries, base, home = entries[left], base[left], home[left]
            step += 1

    def _make_room(self, count: int) -> None:
        """Split as many segments as so many more keys ask for; or tidy them up, if most of what fills them
        was taken out."""
        wanted = 1 + int((self._used + count) / (_FULL * _SEGMENT))
        while wanted > self._segments:
            if 2 * self._gone > self._used:
                self._tidy(min(wanted - self._segments + 1, self._segments))
                wanted = 1 + int((self._used + count) / (_FULL * _SEGMENT))
                continue
            level = 1 << (self._segments.bit_length() - 1)
            self._split(min(wanted, 2 * level) - self._segments)

    def _split(self, count: int) -> None:
        level = 1 << (self._segments.bit_length() - 1)
        first = self._segments - level
        self._entries = grown(self._entries, (self._segments + count) * _SEGMENT)
        self._segments += count
        self._put_again(first, count)

    def _tidy(self, count: int) -> None:
        first = self._next_to_tidy if self._next_to_tidy < self._segments else 0
        count = min(count, self._segments - first)
        self._next_to_tidy = first + count
        self._put_again(first, count)

    def _put_again(self, first: int, count: int) -> None:
        """Take the entries out of segments, and put those that are still meant where they belong now."""
        held = self._entries[first * _SEGMENT : (first + count) * _SEGMENT]
        taken = held[held != 0]
        live = taken[taken != _GONE]
        held[:] = 0
        self._used -= len(taken)
        self._gone -= len(taken) - len(live)
        self._put(live)
