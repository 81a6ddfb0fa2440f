"""The log of a receiver: the blocks that it has stored, durable before anybody is told so.

::

    DIR/receivedData/INPUT/<owner>-0000000001.blocks    frames, one a block, in the order of their numbers
    DIR/receivedData/INPUT/<owner>-0000000002.blocks

Each run writes files of its own, named after it, and reads those of the runs before as far as it has found
them at its start: their names and how many bytes of each count are part of the input's position, in the
checkpoint. So what a run that has been overtaken writes later is in no position, and not taken for ours; and
whoever has appended asks whether it still is the owner before it says that anything is stored. As the next
owner reads the files after it has claimed the checkpoint, a block either is found by it or was never said to
be stored.

A number that comes again takes the place of the block that had it, and of all after that: these were written
by an attempt that failed. What is not whole at the end of a file was never said to be stored.

Where files can grow, all blocks that are to be stored at one moment are one synchronised write; elsewhere
they are one file. A file is removed when the batches of all its blocks are over.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from threading import Lock
from typing import Any

from penstock.chunk import Chunk
from penstock.clock import Clock
from penstock.encoding import PREAMBLE, Frames
from penstock.errors import CorruptCheckpoint
from penstock.sources.base import LogPlace
from penstock.sources.receivers.blocks import Block, block_in, block_out, chunks_in
from penstock.storage import LogFile, clean_leftovers, join, parent_of
from penstock.values import dataclass

__all__ = ["ReceivedLog"]

_log = logging.getLogger(__name__)
_SUFFIX = ".blocks"
_ROLL_BYTES = 64 << 20
_ROLL_MS = 60_000


class _Segment:
    """A file: how many bytes of it count, and how many of its blocks are still needed."""

    __slots__ = ("left", "name", "size")

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size
        self.left = 0


class ReceivedLog:
    """``look`` or ``restore`` comes first, then ``clean``; then one thread at a time appends, and another may
    read and forget blocks."""

    def __init__(
        self, place: LogPlace, clock: Clock, *, roll_bytes: int = _ROLL_BYTES, roll_ms: int = _ROLL_MS
    ) -> None:
        self._place = place
        self._storage = place.storage
        self._clock = clock
        self._roll_bytes = roll_bytes
        self._roll_ms = roll_ms
        self._lock = Lock()  # of all that follows
        self._segments: dict[str, _Segment] = {}  # those that hold blocks, the oldest first
        self._strays: list[str] = []  # files that were there, of which nothing counts
        self._file: LogFile | None = None
        self._current: _Segment | None = None
        self._begun_ms = 0
        self._count = 0
        self._has_directory = False
        self._failed: list[str] = []  # files that may be there, and do not count

    @property
    def url(self) -> str:
        """Where it is, for people."""
        return self._storage.url(self._place.directory)

    # The start

    def look(self) -> None:
        """Nothing counts of what is there."""
        self._strays = self._names()

    def restore(self, position: dict[str, Any] | None) -> list[Block]:
        """The blocks that the runs before have stored, in the order of their numbers."""
        names = self._names()
        self._strays = names
        if position is None:
            return []
        own = sorted(name for name in names if name.startswith(position["owner"] + "-"))
        counted: list[tuple[str, int | None]] = [
            (name, size) for name, size in position["before"].items() if name in names
        ]
        found: dict[int, Block] = {}
        for name, size in [*counted, *((name, None) for name in own)]:
            segment = self._segments[name] = _Segment(name, 0)
            for block in self._scanned(segment, size):
                for number in [each for each in found if each >= block.number]:
                    del found[number]
                found[block.number] = block
        for block in found.values():
            assert isinstance(block.place, _Logged)
            block.place.segment.left += 1
        self._strays = [name for name in names if name not in self._segments]
        return [found[number] for number in sorted(found)]

    def _names(self) -> list[str]:
        try:
            names = self._storage.list_names(self._place.directory).files
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(name for name in names if name.endswith(_SUFFIX) and not name.startswith("."))

    def _scanned(self, segment: _Segment, limit: int | None) -> Iterable[Block]:
        path = self._path(segment.name)
        data = self._storage.read(path)
        try:
            frames = Frames(data if limit is None else data[:limit], self._storage.url(path))
        except CorruptCheckpoint as error:
            _log.error("received blocks are lost: %s", error)
            return
        start = frames.size
        for frame in frames:
            place = _Logged(self, segment, start, frames.size)
            yield block_in(frame, place, self._place.trust)
            start = segment.size = frames.size
        segment.size = start
        behind = data[start:].strip(b"\0")
        if limit is not None and start < limit:
            _log.error("received blocks are lost: %s", frames.damage or f"{frames} is too short")
        elif frames.damage is not None and behind and not frames.torn and len(data) > frames.size:
            _log.warning("%s: what follows is not taken, as if it had not been stored", frames.damage)

    def clean(self) -> None:
        """This run is the owner: remove what nobody needs."""
        with self._lock:
            unused = [name for name, segment in self._segments.items() if not segment.left]
            for name in unused:
                del self._segments[name]
            strays, self._strays = self._strays, []
        for name in (*unused, *strays):
            self._remove(name)
        with suppress(OSError):
            clean_leftovers(self._storage, self._place.directory)

    def position(self) -> dict[str, Any]:
        """What a later run must know to find the blocks."""
        own = self._place.owner + "-"
        with self._lock:
            before = {name: each.size for name, each in self._segments.items() if not name.startswith(own)}
        return {"owner": self._place.owner, "before": before}

    # While it runs

    def append(self, blocks: Sequence[Block]) -> None:
        """Store blocks, whose numbers follow on each other; they are durable, and known to count, once it has
        returned. If it raises, the same numbers are to be used for the next ones.
        """
        frames = [block_out(block) for block in blocks]
        data = b"".join(frames)
        segment, start = self._written(data)
        try:
            self._place.must_own()
        except OSError:
            self._take_back(segment, start)
            raise
        for block, frame in zip(blocks, frames, strict=True):
            block.place = _Logged(self, segment, start, start + len(frame))
            start += len(frame)
        with self._lock:
            segment.left += len(blocks)

    def _written(self, data: bytes) -> tuple[_Segment, int]:
        if not self._storage.appends:
            while self._failed:  # whatever became of it: its numbers are used again
                with suppress(FileNotFoundError):
                    self._storage.remove(self._path(self._failed[-1]))
                self._failed.pop()
            name = self._next_name()
            self._failed.append(name)
            self._create(name, PREAMBLE + data)
            self._failed.pop()
            return self._begun(name, len(PREAMBLE) + len(data)), len(PREAMBLE)
        self._roll_if_due()
        if self._file is None:
            name = self._next_name()
            self._create(name, PREAMBLE)
            self._file = self._storage.open_log(self._path(name), len(PREAMBLE))
            self._current = self._begun(name, len(PREAMBLE))
            self._begun_ms = self._clock.now_ms()
        assert self._current is not None
        start = self._file.size
        self._file.append(data)
        self._current.size = self._file.size
        return self._current, start

    def _take_back(self, segment: _Segment, start: int) -> None:
        """What was written does not count: the next blocks take its place."""
        if self._file is None:
            self._failed.append(segment.name)
            with self._lock:
                del self._segments[segment.name]
            return
        self._file.close()
        self._file, self._current = None, None
        self._file = self._storage.open_log(self._path(segment.name), start)
        self._current = segment

    def _roll_if_due(self) -> None:
        if self._file is None or self._current is None:
            return
        old = self._clock.now_ms() - self._begun_ms >= self._roll_ms
        if self._file.size < self._roll_bytes and not (old and self._file.size > len(PREAMBLE)):
            return
        self._file.close()
        with self._lock:
            before, self._file, self._current = self._current, None, None
        self._remove_if_unused(before)

    def _next_name(self) -> str:
        self._count += 1
        return f"{self._place.owner}-{self._count:010d}{_SUFFIX}"

    def _begun(self, name: str, size: int) -> _Segment:
        with self._lock:
            segment = self._segments[name] = _Segment(name, size)
        return segment

    def _create(self, name: str, data: bytes) -> None:
        """Make a file. An error that came when it was there already is none."""
        directory, path = self._place.directory, self._path(name)
        if not self._has_directory:
            for each in (parent_of(directory), directory):
                self._storage.makedirs(each, durable=True)
                names = self._storage.list_names(each)
                if not names.files and not names.directories:
                    self._storage.keep_private(each)
            self._has_directory = True
        try:
            self._storage.create_if_absent(path, data, durable=True)
        except OSError:
            with suppress(OSError):
                if self._storage.read(path) == data:
                    return
            raise

    # Reading and forgetting

    def read(self, segment: _Segment, start: int, stop: int) -> list[Chunk]:
        """The chunks of the block that lies there."""
        path = self._path(segment.name)
        data = self._storage.read(path, start, stop)
        return chunks_in(data, self._storage.url(path), self._place.trust)

    def forget(self, segment: _Segment) -> None:
        """One block less of a file is needed."""
        with self._lock:
            segment.left -= 1
        self._remove_if_unused(segment)

    def _remove_if_unused(self, segment: _Segment) -> None:
        with self._lock:
            if segment.left or segment is self._current or self._segments.get(segment.name) is not segment:
                return
            del self._segments[segment.name]
        self._remove(segment.name)

    def _remove(self, name: str) -> None:
        try:
            self._storage.remove(self._path(name))
        except FileNotFoundError:
            return
        except OSError as error:  # nobody reads it again
            _log.warning("%s could not be removed: %s", self._storage.url(self._path(name)), error)

    def _path(self, name: str) -> str:
        return join(self._place.directory, name)

    def close(self) -> None:
        """Give the file back."""
        if self._file is not None:
            self._file.close()
            self._file = None


@dataclass(frozen=True)
class _Logged:
    log: ReceivedLog
    segment: _Segment
    start: int
    stop: int

    def read(self) -> list[Chunk]:
        return self.log.read(self.segment, self.start, self.stop)

    def forget(self) -> None:
        self.log.forget(self.segment)
