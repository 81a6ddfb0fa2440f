"""Reading a file as it was planned: the bytes it had when it was listed, no more, and never silently less."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from penstock.errors import InputChanged, InputVanished
from penstock.sources.files.codecs import codec_of, decompressed
from penstock.storage import Storage

__all__ = ["open_content", "open_planned", "shrunk"]


def open_planned(storage: Storage, path: str) -> BinaryIO:
    """A file that was listed, from its beginning; ``InputVanished`` if it is gone. The caller closes it."""
    try:
        return storage.open_read(path)
    except FileNotFoundError as error:
        raise InputVanished(f"{storage.url(path)} was listed, but is gone now") from error


def shrunk(file: BinaryIO, name: str, size: int) -> InputChanged:
    """What to raise when an open file turns out to have fewer than the ``size`` bytes that were listed."""
    left = file.seek(0, io.SEEK_END)
    return InputChanged(
        f"{name} had {size} bytes when it was listed, but only {left} are left. "
        f"Hint: write files elsewhere and rename them into the directory."
    )


@contextmanager
def open_content(
    storage: Storage, path: str, size: int, *, decompress: bool = True
) -> Iterator[io.BufferedReader]:
    """The first ``size`` bytes of a file, also while it grows, decompressed if its name says so.

    Within the block: ``InputVanished``, ``InputChanged`` if the file is shorter now, ``CorruptInput``.
    An empty file has no content, whatever its name says, and is not opened: a pipe looks like one, and who
    opens that waits for somebody to write.
    """
    if not size:
        yield io.BufferedReader(cast(io.RawIOBase, io.BytesIO()))
        return
    with open_planned(storage, path) as file:
        name = storage.url(path)
        planned = cast(BinaryIO, _FirstBytes(file, size, name))
        if not (decompress and codec_of(name)):
            yield io.BufferedReader(cast(io.RawIOBase, planned))
            return
        with decompressed(planned, name) as content:
            yield cast(io.BufferedReader, content)


class _FirstBytes(io.RawIOBase):
    """The first ``size`` bytes of an open file; ``InputChanged`` where they end too early."""

    def __init__(self, file: BinaryIO, size: int, name: str) -> None:
        self._file = file
        self._size = size
        self._left = size
        self._name = name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._next(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._size - self._left

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: self._size}[whence]
        place = min(max(0, base + offset), self._size)
        self._file.seek(place)
        self._left = self._size - place
        return place

    def readall(self) -> bytes:
        pieces = []
        while piece := self._next(self._left):
            pieces.append(piece)
        return b"".join(pieces)

    def _next(self, wanted: int) -> bytes:
        wanted = min(wanted, self._left)
        if not wanted:
            return b""
        data = self._file.read(wanted)
        while len(data) < wanted:
            more = self._file.read(wanted - len(data))
            if not more:
                raise shrunk(self._file, self._name, self._size)
            data += more
        self._left -= len(data)
        return data
