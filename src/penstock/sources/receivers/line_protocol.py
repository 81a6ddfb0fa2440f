r"""*penstock lines 1*: lines over TCP, acknowledged once they are stored. What both sides say, as bytes.

Whichever side connects, the sender speaks first::

    sender      PENSTOCK-LINES 1 <stream id>\n
    receiver    <have>\n                              lines of that stream that it has stored
    sender      <first> <count> <bytes>\n             count whole lines, with first lines of the stream before
                ...                                   them, in exactly so many bytes; each ends with \n
    receiver    <have>\n                              now it has stored so many; maybe for several frames at
    once sender      <total> 0 0\n                         that is all, for now
    receiver    <have>\n                              and both may close

A receiver drops what it has already. It closes the connection without storing anything if lines are missing
before a frame, or a frame is not as its header says; then the sender connects again and goes on from what the
receiver has. Frames hold at most 64 MiB, headers 100 bytes (the first line of a sender: 300).

Nothing here touches a socket.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from penstock.errors import ArgumentError, DataError, shown

__all__ = [
    "MOST_FRAME_BYTES",
    "MOST_HEADER_BYTES",
    "MOST_HELLO_BYTES",
    "FrameHeader",
    "LineSender",
    "ProtocolError",
    "count_line",
    "hello",
    "read_count",
    "read_header",
    "read_hello",
]

MOST_FRAME_BYTES = 64 << 20
MOST_HEADER_BYTES = 100
MOST_HELLO_BYTES = 300

_GREETING = "PENSTOCK-LINES 1 "
_STREAM = re.compile(r"[!-~]{1,200}")
_COUNT = re.compile(rb"(0|[1-9][0-9]{0,18})\n")
_HEADER = re.compile(rb"(0|[1-9][0-9]{0,18}) (0|[1-9][0-9]{0,18}) (0|[1-9][0-9]{0,18})\n")


class ProtocolError(DataError):
    """The other side does not speak *penstock lines 1*."""


class FrameHeader(NamedTuple):
    """What comes before the lines of a frame. Without lines it is the end of the stream, for now."""

    first: int
    lines: int
    nbytes: int

    @property
    def is_end(self) -> bool:
        """Whether no lines follow."""
        return self.lines == 0


def hello(stream: str) -> bytes:
    r"""The first line of a sender. ``ArgumentError`` for a stream id that cannot be sent.

    >>> hello("orders")
    b'PENSTOCK-LINES 1 orders\n'
    """
    if not _STREAM.fullmatch(stream):
        raise ArgumentError(
            f"a stream id must be 1 to 200 printable ASCII characters without spaces, not {shown(stream)}"
        )
    return f"{_GREETING}{stream}\n".encode()


def read_hello(line: bytes) -> str:
    """The stream id of a sender's first line. Raises ``ProtocolError``."""
    text = line.decode("ascii", "replace")
    if not text.startswith(_GREETING):
        raise ProtocolError(f"a sender must begin with {_GREETING + 'ID'!r}, not {shown(line, 60)}")
    stream = text.removeprefix(_GREETING)
    if not stream.endswith("\n") or not _STREAM.fullmatch(stream[:-1]):
        raise ProtocolError(
            f"a stream id must be 1 to 200 printable ASCII characters without spaces, not {shown(stream, 60)}"
        )
    return stream[:-1]


def count_line(have: int) -> bytes:
    r"""What the receiver answers.

    >>> count_line(1200), read_count(b"1200\n")
    (b'1200\n', 1200)
    """
    return b"%d\n" % have


def read_count(line: bytes) -> int:
    """How many lines the receiver says it has. Raises ``ProtocolError``."""
    found = _COUNT.fullmatch(line)
    if found is None:
        raise ProtocolError(f"a receiver must answer with a number, not {shown(line, 60)}")
    return int(found[1])


def read_header(line: bytes) -> FrameHeader:
    r"""What follows. Raises ``ProtocolError``.

    >>> read_header(b"10 2 9\n")
    FrameHeader(first=10, lines=2, nbytes=9)
    """
    found = _HEADER.fullmatch(line)
    if found is None:
        raise ProtocolError(f"a frame must begin with three numbers, not {shown(line, 60)}")
    header = FrameHeader(*map(int, found.groups()))
    if header.nbytes > MOST_FRAME_BYTES:
        raise ProtocolError(f"a frame may have {MOST_FRAME_BYTES} bytes, not {header.nbytes}")
    if header.nbytes < header.lines or (header.lines == 0 and header.nbytes):
        raise ProtocolError(f"{header.lines} lines cannot have {header.nbytes} bytes")
    return header


class LineSender:
    r"""What a sender has to say, and what it has learnt: ``sent`` lines of the stream are sent, or stored as
    far as the receiver said, ``acknowledged`` are stored. It sends :meth:`hello`, hands the answer to
    :meth:`answered`, and sends :meth:`frame` after frame from line ``sent`` on.

    >>> sender = LineSender("orders")
    >>> sender.hello()
    b'PENSTOCK-LINES 1 orders\n'
    >>> sender.answered(b"2\n")
    2
    >>> sender.frame(b"third\n")
    b'2 1 6\nthird\n'
    >>> sender.answered(b"3\n"), sender.all_stored
    (3, True)
    >>> sender.end()
    b'3 0 0\n'
    """

    def __init__(self, stream: str) -> None:
        self._hello = hello(stream)
        self._greeted = False
        self.sent = 0
        self.acknowledged = 0

    def hello(self) -> bytes:
        """The first line of a connection, also of a new one after another has failed."""
        self._greeted = False
        return self._hello

    def answered(self, line: bytes) -> int:
        """A line of the receiver: how many lines it has. ``ProtocolError`` if that cannot be."""
        have = read_count(line)
        if not self._greeted:
            self._greeted = True
            self.sent = have
        if have > self.sent:
            raise ProtocolError(f"the receiver says that it has {have} lines, and {self.sent} were sent")
        self.acknowledged = have
        return have

    def frame(self, data: bytes) -> bytes:
        r"""Whole lines, each ended by ``\n``, that follow on those sent. ``ArgumentError`` for others."""
        if not data or data[-1:] != b"\n" or len(data) > MOST_FRAME_BYTES:
            raise ArgumentError(f"a frame is 1 to {MOST_FRAME_BYTES} bytes of whole lines")
        count = data.count(b"\n")
        header = b"%d %d %d\n" % (self.sent, count, len(data))
        self.sent += count
        return header + data

    def end(self) -> bytes:
        """That was all, for now."""
        return b"%d 0 0\n" % self.sent

    @property
    def all_stored(self) -> bool:
        """Whether the receiver has all that was sent."""
        return self.acknowledged == self.sent
