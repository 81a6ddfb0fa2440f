r"""Bytes as they come from somewhere, cut into whole lines.

A line ends with ``\n``, ``\r\n`` or ``\r``, as Java's ``readLine`` has it; a ``\r`` ends it at once, and a
``\n`` right after it belongs to it, also if that comes later. What is held between two pieces is the
beginning of one line, up to a limit: a longer line is dropped as it comes, but for its first characters.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from penstock.sources.files.text import utf8_lines
from penstock.sources.receivers.blocks import Notes

__all__ = ["CutLines", "LineCutter"]

_SHOWN = 1_000  # characters of a line that is too long
_SHOWN_BYTES = 4 * _SHOWN
_FEED = 10


class CutLines(NamedTuple):
    r"""``lines`` lines as UTF-8, each ended by ``\n``; ``first`` is the number of the first, from 1."""

    data: bytes
    lines: int
    first: int


class LineCutter:
    r"""Of one connection, whose ``source`` is named in what is refused; its next line has that ``number``.

    >>> cutter = LineCutter("tcp://here", 1 << 20)
    >>> cutter.feed(b"one\r"), cutter.feed(b"\ntw"), cutter.feed(b"o\nthree")
    ([CutLines(data=b'one\n', lines=1, first=1)], [], [CutLines(data=b'two\n', lines=1, first=2)])
    >>> cutter.end()
    [CutLines(data=b'three\n', lines=1, first=3)]
    """

    def __init__(self, source: str, most_bytes: int, number: int = 1) -> None:
        self.source = source
        self._most_bytes = most_bytes
        self._held: list[bytes] = []  # of a line whose end has not come yet
        self._held_bytes = 0
        self._dropping: bytes | None = None  # the beginning of a line that is too long
        self._skips_feed = False
        self._number = number  # of the next line
        self.notes = Notes()

    def taken_notes(self) -> Notes:
        """What there was to note since the last time."""
        notes, self.notes = self.notes, Notes()
        return notes

    def feed(self, data: bytes) -> list[CutLines]:
        """The lines that are whole now."""
        if self._skips_feed and data:
            self._skips_feed = False
            if data[:1] == b"\n":
                data = data[1:]
        end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        if not end:
            self._hold(data)
            return []
        self._skips_feed = data[-1:] == b"\r"
        whole, rest = (data, b"") if end == len(data) else (data[:end], data[end:])
        found: list[CutLines] = []
        if self._dropping is not None:
            whole = self._drop_until(whole)
        if whole:
            if self._held:
                whole = b"".join([*self._held, whole])
                self._held, self._held_bytes = [], 0
            found = self._cut(whole)
        if rest:
            self._hold(rest)
        return found

    def end(self) -> list[CutLines]:
        """There is no more: the last line, if it has not ended."""
        if self._dropping is not None:
            self._refuse(self._dropping)
            self._dropping = None
            return []
        data, self._held, self._held_bytes = b"".join(self._held), [], 0
        return self._cut(data + b"\n") if data else []

    def _hold(self, data: bytes) -> None:
        if self._dropping is not None:
            self._dropping += data[: _SHOWN_BYTES - len(self._dropping)]
            return
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > self._most_bytes:
            self._dropping = b"".join(self._held)[:_SHOWN_BYTES]
            self._held, self._held_bytes = [], 0
        elif len(self._held) > 1_000:  # of a peer that sends byte by byte
            self._held = [b"".join(self._held)]

    def _drop_until(self, whole: bytes) -> bytes:
        """What follows the line that is dropped."""
        assert self._dropping is not None
        ends = [at for at in (whole.find(b"\n"), whole.find(b"\r")) if at >= 0]
        end = min(ends)
        self._refuse(self._dropping + whole[: min(end, _SHOWN_BYTES - len(self._dropping))])
        self._dropping = None
        return whole[end + (2 if whole[end : end + 2] == b"\r\n" else 1) :]

    def _refuse(self, beginning: bytes) -> None:
        text = beginning.decode("utf-8", "replace")[:_SHOWN]
        reason = f"longer than {self._most_bytes} bytes"
        self.notes.add(Notes(too_long=1, refused=[(self.source, self._number, text, reason)]))
        self._number += 1

    def _cut(self, whole: bytes) -> list[CutLines]:
        """Whole lines, but for those that are too long."""
        text, damaged = utf8_lines(whole)
        self.notes.bad_utf8 += damaged
        if len(text) <= self._most_bytes:
            return self._numbered(text, text.count(b"\n"))
        ends = np.flatnonzero(np.frombuffer(text, np.uint8) == _FEED)
        lengths = np.diff(ends, prepend=-1) - 1
        found: list[CutLines] = []
        before = 0  # lines that are done
        for at in np.flatnonzero(lengths > self._most_bytes).tolist():
            begin = int(ends[before - 1]) + 1 if before else 0
            line_begin = int(ends[at - 1]) + 1 if at else 0
            found += self._numbered(text[begin:line_begin], at - before)
            self._refuse(text[line_begin : min(line_begin + _SHOWN_BYTES, int(ends[at]))])
            before = at + 1
        begin = int(ends[before - 1]) + 1 if before else 0
        return found + self._numbered(text[begin:] if begin else text, len(ends) - before)

    def _numbered(self, data: bytes, count: int) -> list[CutLines]:
        if not count:
            return []
        first, self._number = self._number, self._number + count
        return [CutLines(data, count, first)]
