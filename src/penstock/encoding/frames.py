"""How records lie in a file: JSON and binary parts in frames, each with its length and checksum.

::

    "PNSTK" format(u8) 0 0 | frame | frame | ... | zeros, up to the end of the file

    frame: length of the body (u32) | CRC-32 of the body (u32) | body, padded to 8 bytes
    body:  length of the JSON (u32) | 0 (u32) | JSON, padded | part, padded | part, padded ...

All numbers have their little end first. The JSON is an object, whose ``parts`` are the lengths of what
follows it. A length of zero is the end: the reserve of a growing file is zeros.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Any, NamedTuple

from penstock.errors import CorruptCheckpoint

__all__ = ["FORMAT", "PREAMBLE", "Frame", "Frames", "framed"]

FORMAT = 1
"""The version of this form, and of what the records mean. Readers read all versions up to their own."""

_MAGIC = b"PNSTK"
PREAMBLE = _MAGIC + bytes([FORMAT, 0, 0])
_HEAD = Struct("<II")

Buffer = Any
"""Whatever holds bytes: ``bytes``, a ``memoryview``, an Arrow buffer."""


class Frame(NamedTuple):
    """One record: an object of JSON, and its binary parts."""

    head: dict[str, Any]
    parts: list[memoryview]


def framed(head: dict[str, Any], parts: Sequence[Buffer] = ()) -> bytes:
    r"""The bytes of a frame.

    >>> frame, = Frames(PREAMBLE + framed({"kind": "test"}, [b"abc"]), "here")
    >>> frame.head, bytes(frame.parts[0])
    ({'kind': 'test'}, b'abc')
    """
    views = [memoryview(part).cast("B") for part in parts]
    text = json.dumps({**head, "parts": [len(view) for view in views]}, separators=(",", ":")).encode()
    pieces: list[bytes | memoryview] = [_HEAD.pack(len(text), 0), text, _padding(len(text))]
    for view in views:
        pieces += [view, _padding(len(view))]
    body = b"".join(pieces)
    return _HEAD.pack(len(body), zlib.crc32(body)) + body


def _padding(length: int) -> bytes:
    return bytes(-length % 8)


class Frames:
    """The frames of a file, as far as they are whole.

    ``size`` is how many bytes they take, once they are read. ``damage`` says then what ended them, if it was
    not the end: a frame that was not written to its end, or one whose bytes have changed. ``torn``: it is the
    last one, and nothing was written after it.

    Raises ``CorruptCheckpoint`` for what is no such file, or of a format that is newer than this version.
    """

    def __init__(self, data: bytes, name: str) -> None:
        if data[: len(_MAGIC)] != _MAGIC or len(data) < len(PREAMBLE):
            raise CorruptCheckpoint(f"{name} does not begin as a file of a checkpoint does")
        if data[len(_MAGIC)] > FORMAT:
            raise CorruptCheckpoint(
                f"{name} has format {data[len(_MAGIC)]}, and this version of Penstock reads up to {FORMAT}. "
                f"Hint: use the version that wrote it, or a newer one."
            )
        self._data = memoryview(data)
        self._name = name
        self.size = len(PREAMBLE)
        self.damage: str | None = None
        self.torn = False

    def __iter__(self) -> Iterator[Frame]:
        data = self._data
        while len(data) - self.size >= _HEAD.size:
            length, checksum = _HEAD.unpack_from(data, self.size)
            if not length:
                if checksum:
                    self._damaged("its next frame has no length")
                return
            begin = self.size + _HEAD.size
            body = data[begin : begin + length]
            if len(body) < length:
                self._damaged("its last frame is cut off")
                return
            if zlib.crc32(body) != checksum:
                self._damaged("a frame does not have its checksum")
                self.torn = not bytes(data[begin + length :]).strip(b"\0")
                return
            self.size = begin + length
            yield _opened(body)

    def _damaged(self, what: str) -> None:
        self.damage = f"{self._name}: {what}, {self.size:,} bytes from its beginning"


def _opened(body: memoryview) -> Frame:
    length, _ = _HEAD.unpack_from(body, 0)
    at = _HEAD.size
    head: dict[str, Any] = json.loads(bytes(body[at : at + length]))
    at += length + -length % 8
    parts = []
    for size in head.pop("parts"):
        parts.append(body[at : at + size])
        at += size + -size % 8
    return Frame(head, parts)
