"""A chunk of lines of text, as the bytes they were read as."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.chunk.base import Chunk
from penstock.chunk.columns import Columns
from penstock.chunk.row_types import Scalar

__all__ = ["Lines"]

_LIST_ROWS = (
    256  # lines in one list: what Python makes of them, step after step, still fits in the CPU's caches, and
)
# is gone before the garbage collector counts enough new containers to look at them
_FEED = 10
_OFFSETS_MAX = 2**31 - 1


class Lines(Chunk):
    r"""Whole lines: ``data`` is valid UTF-8 in which every line, but possibly the last, ends with ``\n``.

    No Python string is made unless somebody asks for :meth:`rows`. It never changes. ``source`` is the URL
    of the file the lines are of, or empty; ``first`` is the number of the first line there, or a
    picklable function that finds it when somebody asks; ``skipped`` lines lie between that one and
    the first of this chunk.

    >>> lines = Lines(b"a,1\nb,2\nc,3\n", "in/a.csv", 11)
    >>> len(lines), lines.rows(), lines.number
    (3, ['a,1', 'b,2', 'c,3'], 11)
    >>> lines.slice(1, 3), lines.slice(1, 3).number
    (Lines(2 lines of in/a.csv), 12)
    """

    __slots__ = ("_first", "_length", "_skipped", "data", "source")

    def __init__(
        self,
        data: bytes,
        source: str = "",
        first: int | Callable[[], int] = 1,
        *,
        skipped: int = 0,
        length: int | None = None,
    ) -> None:
        self.data = data
        self.source = source
        self._first = first
        self._skipped = skipped
        if length is None:
            length = int(np.count_nonzero(_bytes(data) == _FEED)) + (data[-1:] not in (b"\n", b""))
        self._length = length

    @property
    def number(self) -> int:
        """The number of the first line in the source. May read a file up to there."""
        return (self._first if isinstance(self._first, int) else self._first()) + self._skipped

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return f"Lines({self._length} lines of {self.source or 'no file'})"

    def rows(self) -> list[str]:
        """New strings, without line ends. About 0.03 us each."""
        lines = self.data.decode().split("\n")
        if not lines[-1] and len(lines) > self._length:
            lines.pop()
        return lines

    def row_lists(self) -> Iterator[list[Any]]:
        lines = self.rows()
        if len(lines) <= _LIST_ROWS:
            yield lines
            return
        for at in range(0, len(lines), _LIST_ROWS):
            yield lines[at : at + _LIST_ROWS]

    def columns(self) -> Columns:
        """The same lines as a column of ``str``, without making Python strings. About 0.02 us each."""
        assert len(self.data) <= _OFFSETS_MAX, "more bytes of lines than a string column can address"
        offsets = np.zeros(self._length + 1, np.int32)
        ends = self.ends()
        np.subtract(ends, np.arange(self._length), out=offsets[1:], casting="unsafe")
        text = self.data.replace(b"\n", b"")
        array = pa.Array.from_buffers(
            pa.string(), self._length, [None, pa.py_buffer(offsets), pa.py_buffer(text)]
        )
        return Columns(Scalar(str), [array], self._length)

    def ends(self) -> npt.NDArray[np.int64]:
        """Where in ``data`` each line ends: the place of its line end, or the length of ``data``."""
        ends = np.flatnonzero(_bytes(self.data) == _FEED)
        return np.append(ends, len(self.data)) if len(ends) < self._length else ends

    def slice(self, start: int, stop: int) -> Self:
        """Copies the bytes."""
        first, last, _ = slice(start, stop).indices(self._length)
        length = max(0, last - first)
        return self if length == self._length else self._part(self.ends(), first, length)

    def pieces(self, size: int) -> Iterator[Self]:
        """The same lines in chunks of at most ``size``, without a copy if one will do."""
        if 0 < self._length <= size:
            yield self
            return
        ends = self.ends()
        for at in range(0, self._length, size):
            yield self._part(ends, at, min(size, self._length - at))

    def _part(self, ends: npt.NDArray[np.int64], first: int, length: int) -> Self:
        begin = int(ends[first - 1]) + 1 if first else 0
        end = int(ends[first + length - 1]) + 1 if length else begin
        data = self.data[begin:end]
        return type(self)(data, self.source, self._first, skipped=self._skipped + first, length=length)

    def isolated(self) -> Self:
        """Itself: nobody can change it."""
        return self

    def lent(self) -> Self:
        """Itself."""
        return self

    @property
    def nbytes(self) -> int:
        return len(self.data)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self.data, self.source, self._first, self._skipped, self._length)


def _unpickled(data: bytes, source: str, first: int | Callable[[], int], skipped: int, length: int) -> Lines:
    return Lines(data, source, first, skipped=skipped, length=length)


def _bytes(data: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(data, np.uint8)
