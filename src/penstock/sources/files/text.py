r"""Lines of text files: whole files, byte ranges of large ones, compressed ones.

A line ends with ``\n``, ``\r\n`` or ``\r``, as in Hadoop's text input; the end is not part of it. A
last line may lack its end. A byte order mark at the start of a file is no text. Bytes that are not
UTF-8 become U+FFFD and are counted.

A file that is split is split at arbitrary bytes; a line belongs to the range its first byte lies in. Both
ends of a range are moved on to where the next line begins, by the same rule, so that ranges which meet still
meet and no byte is read by two or by none::

    range 0 [......\n......\n...|..\n......\n...] range 1
                             ^^^^^^^^ this line is range 0's, and range 1 begins behind it
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.chunk import CHUNK_ROWS, Chunk, Columns, Lines, Rows, RowType, Scalar, Tuple
from penstock.plan import PartitionReader, Task
from penstock.sources.files.codecs import codec_of
from penstock.sources.files.planned import open_content, open_planned, shrunk
from penstock.storage import FileInfo, Storage

__all__ = [
    "OFFSET_AND_TEXT",
    "TEXT",
    "OffsetReader",
    "SourceLine",
    "TextReader",
    "text_readers",
    "utf8_lines",
]

TEXT = Scalar(str)
"""The row type of lines."""

OFFSET_AND_TEXT = Tuple((Scalar(int), TEXT))
"""The row type of lines with where they begin."""

_BLOCK_BYTES = 2 << 20
_PROBE_BYTES = 64 << 10  # to find where a line begins
_BOM = b"\xef\xbb\xbf"


class SourceLine(NamedTuple):
    """A line that knows where it comes from: file, line number (from 1), text.

    >>> SourceLine("in/a.csv", 1, "x,y")
    SourceLine(source='in/a.csv', number=1, text='x,y')
    """

    source: str
    number: int
    text: str


class TextReader(PartitionReader):
    """The lines that begin in bytes ``start`` to ``stop`` of a file of ``size`` bytes.

    ``size`` is what the file had when it was listed: bytes that came later are not read, and a file that
    is shorter now raises ``InputChanged``. ``origin`` is where the metrics are noted.
    """

    __slots__ = ("numbered", "origin", "path", "size", "start", "stop", "storage")

    def __init__(
        self,
        storage: Storage,
        path: str,
        start: int,
        stop: int,
        size: int,
        *,
        numbered: bool,
        origin: Hashable,
    ) -> None:
        self.storage = storage
        self.path = path
        self.start = start
        self.stop = stop
        self.size = size
        self.numbered = numbered
        self.origin = origin

    @property
    def travels(self) -> bool:
        return not self.storage.of_this_process

    @property
    def row_type(self) -> RowType | None:
        return None if self.numbered else TEXT

    @property
    def bytes_hint(self) -> int | None:
        return self.stop - self.start if codec_of(self.path) is None else None

    def read(self, task: Task) -> Iterator[Chunk]:
        source, first = self.storage.url(self.path), _FirstNumber(self)
        count, damaged = 0, 0
        for at, block in self._blocks():
            text, bad = utf8_lines(block.removeprefix(_BOM) if self.start == 0 and not count else block)
            damaged += bad
            lines = Lines(text, source, first, skipped=count)
            count += len(lines)
            yield from self._chunks(lines, at, block)
        place = (self.origin, self.path, self.start)
        task.metrics.note("records", place, count)
        task.metrics.note("bytes", place, self.stop - self.start)
        if damaged:
            task.metrics.note("bad_utf8", place, damaged)

    def _chunks(self, lines: Lines, at: int, block: bytes) -> Iterator[Chunk]:
        """What is made of the lines of a block, which begins at the byte ``at`` of the content."""
        for part in lines.pieces(CHUNK_ROWS):
            if self.numbered:
                yield from _numbered(part)
            else:
                yield part

    def _blocks(self) -> Iterator[tuple[int, bytes]]:
        """Blocks of whole lines, with the byte of the content at which each begins."""
        if codec_of(self.path) is None:
            with open_planned(self.storage, self.path) as file:
                yield from self._range(file)
        else:
            at = 0
            with open_content(self.storage, self.path, self.size) as content:
                for block in _whole_lines(content):
                    yield at, block
                    at += len(block)

    def _range(self, file: BinaryIO) -> Iterator[tuple[int, bytes]]:
        begin = self._line_from(file, self.start)
        if begin >= self.stop:
            return
        end = self._line_from(file, self.stop)
        file.seek(begin)
        for block in _whole_lines(file, end - begin):
            yield begin, block
            begin += len(block)
        if begin < end:
            raise shrunk(file, self.storage.url(self.path), self.size)

    def lines_before(self) -> int:
        """How many lines of the file begin before the first one of this part. Reads the file up to there."""
        with open_planned(self.storage, self.path) as file:
            begin = self._line_from(file, self.start)
            file.seek(0)
            left, count = begin, 0
            for block in _whole_lines(file, begin):
                left -= len(block)
                count += len(Lines(utf8_lines(block)[0]))
            if left:
                raise shrunk(file, self.storage.url(self.path), self.size)
        return count

    def _line_from(self, file: BinaryIO, at: int) -> int:
        """The first position from ``at`` on at which a line begins, or the file's size."""
        if at in (0, self.size):
            return at
        file.seek(at - 1)
        before = file.read(1)
        while at < self.size:
            block = file.read(min(_PROBE_BYTES, self.size - at))
            if not block:
                raise shrunk(file, self.storage.url(self.path), self.size)
            if before == b"\n" or (before == b"\r" and block[:1] != b"\n"):
                return at
            end = _line_end(block)
            if end is not None and end < len(block):
                return at + end
            at += len(block)
            before = block[-1:]
        return self.size


class OffsetReader(TextReader):
    """``(offset, line)``: each line with the byte of the (decompressed) file at which it begins."""

    __slots__ = ()

    @property
    def row_type(self) -> RowType:
        return OFFSET_AND_TEXT

    def _chunks(self, lines: Lines, at: int, block: bytes) -> Iterator[Chunk]:
        starts = at + _line_starts(block)
        begin = 0
        for part in lines.pieces(CHUNK_ROWS):
            offsets = pa.array(starts[begin : begin + len(part)])
            yield Columns(OFFSET_AND_TEXT, [offsets, *part.columns().leaves], len(part))
            begin += len(part)


def text_readers(
    storage: Storage,
    file: FileInfo,
    *,
    split_bytes: int,
    numbered: bool = False,
    offsets: bool = False,
    origin: Hashable = None,
) -> list[PartitionReader]:
    """The partitions of a file: one, or one per ``split_bytes`` if it is larger and can be split.

    Compressed files and numbered lines can not; an empty file has no partition.
    """
    if file.size == 0:
        return []
    whole = numbered or codec_of(file.path) is not None
    step = file.size if whole else -(-file.size // max(1, -(-file.size // split_bytes)))
    kind = OffsetReader if offsets else TextReader
    return [
        kind(storage, file.path, at, min(at + step, file.size), file.size, numbered=numbered, origin=origin)
        for at in range(0, file.size, step)
    ]


class _FirstNumber:
    """The number of the first line of a reader's part: found by reading what is before, if anybody asks."""

    __slots__ = ("found", "reader")

    def __init__(self, reader: TextReader) -> None:
        self.reader = reader
        self.found: int | None = None if reader.start else 1

    def __call__(self) -> int:
        if self.found is None:  # two threads may both look, and find the same
            self.found = 1 + self.reader.lines_before()
        return self.found


def _numbered(lines: Lines) -> Iterator[Rows]:
    """Each line with its source and number."""
    number = lines.number
    for texts in lines.row_lists():
        yield Rows([SourceLine(lines.source, n, text) for n, text in enumerate(texts, number)])
        number += len(texts)


def utf8_lines(block: bytes) -> tuple[bytes, int]:
    """A block of whole lines as valid UTF-8 with line feeds only, and how many stretches of it were not
    UTF-8."""
    bad = 0
    if not block.isascii():
        try:
            block.decode("utf-8")
        except UnicodeDecodeError:
            text = block.decode("utf-8", "replace")
            bad = text.count("\ufffd") - block.count("\ufffd".encode())
            block = text.encode()
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return block, bad


def _line_starts(block: bytes) -> npt.NDArray[np.int64]:
    """Where in a block of whole lines each line begins."""
    data = np.frombuffer(block, np.uint8)
    ends = data == 10
    if b"\r" in block:
        carriages = data == 13
        carriages[:-1] &= ~ends[1:]  # the other half of an end is the feed's
        ends |= carriages
    starts = np.flatnonzero(ends) + 1
    if len(starts) and starts[-1] == len(block):
        starts = starts[:-1]
    return np.concatenate([np.zeros(1, np.int64), starts])


def _whole_lines(file: BinaryIO, limit: int | None = None) -> Iterator[bytes]:
    """What is left of the file, at most ``limit`` bytes of it, in blocks that end where a line ends."""
    begun: list[bytes] = []  # pieces of a line whose end was not read yet
    while data := file.read(_BLOCK_BYTES if limit is None else min(_BLOCK_BYTES, limit)):
        if limit is not None:
            limit -= len(data)
        # A carriage return at the very end may be half of an end: then it waits for what comes.
        end = max(data.rfind(b"\n"), data.rfind(b"\r", 0, len(data) - 1)) + 1
        if end:
            yield b"".join([*begun, data[:end]])
            begun = [data[end:]] if end < len(data) else []
        else:
            begun.append(data)
    if begun:
        yield b"".join(begun)


def _line_end(block: bytes) -> int | None:
    """Where the line that goes on at the beginning has ended, with its end; ``None`` if not in this block."""
    feed, carriage = block.find(b"\n"), block.find(b"\r")
    if carriage != -1 and (feed == -1 or carriage < feed - 1):
        return carriage + 1
    return feed + 1 if feed != -1 else None
