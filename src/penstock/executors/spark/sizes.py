"""Whether what a stage gives is to be brought to the driver, by what it gave before."""

from __future__ import annotations

from dataclasses import field

from penstock.chunk import Left
from penstock.errors import CallSite
from penstock.executors.jobs import Inputs
from penstock.plan import PartitionReader, RangeReader, SliceReader
from penstock.values import dataclass

__all__ = ["Sizes", "hint_of"]

_LINES_MAX = 10_000
_GROWTH = 2
"""So many times as much may come as came before, or as it is read from."""
_FROM_OUTSIDE = 3
"""Bytes of records that come from one byte of a file, which may be compressed. If it is more after all, what
is sent for nothing is little."""

Lines = tuple[CallSite, CallSite]


@dataclass
class _Last:
    hint: int | None
    nbytes: int
    left: bool


@dataclass
class Sizes:
    """What the stages of the same lines of the program gave the last time."""

    _last: dict[Lines, _Last] = field(default_factory=dict)

    def may_exceed(self, lines: Lines, hint: int | None, most_bytes: int) -> bool:
        """Whether more than ``most_bytes`` may come of input of about so many bytes; it may, where nothing is
        known."""
        last = self._last.get(lines)
        if last is None:
            return hint is None or hint * _GROWTH > most_bytes
        if last.left:
            return True
        growth = hint / last.hint if hint and last.hint else 1.0
        return last.nbytes * max(1.0, growth) * _GROWTH > most_bytes

    def note(self, lines: Lines, hint: int | None, nbytes: int, *, left: bool) -> None:
        """So much came; ``left``: and some of it was not brought."""
        if len(self._last) >= _LINES_MAX:  # lines of programs that are made as they run
            self._last.clear()
        self._last[lines] = _Last(hint, nbytes, left)


def hint_of(inputs: Inputs, pickled: int) -> int | None:
    """About how many bytes a task reads that is sent so many; ``None``: nobody knows."""
    total = pickled
    for readers in inputs.readers.values():
        for reader in readers.values():
            hint = _hint_of(reader)
            if hint is None:
                return None
            total += hint
    return total


def _hint_of(reader: PartitionReader) -> int | None:
    if isinstance(reader, SliceReader):
        return sum(chunk.nbytes for chunk in reader.chunks if isinstance(chunk, Left))
    if isinstance(reader, RangeReader):
        return 8 * reader.rows_hint
    hint = reader.bytes_hint
    return None if hint is None else hint * _FROM_OUTSIDE
