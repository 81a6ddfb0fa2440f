"""Feed the lines of a file to whoever is at the other end of a connection, acknowledged or not."""

from __future__ import annotations

import logging
import re
import threading
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from penstock.brokerage.feed import Fed, Pace
from penstock.clock import Clock
from penstock.errors import ArgumentError, DataError
from penstock.sources.receivers.line_sender import ReliableLineSender
from penstock.sources.receivers.outgoing import Peer

__all__ = ["Acknowledged", "Unacknowledged", "stream_id_of"]

_FIRST_BYTES: Final = 1 << 16
_NAME_LENGTH: Final = 150
_NOT_FOR_IDS: Final = re.compile(r"[^!-~]", re.ASCII)

_log = logging.getLogger(__name__)


def stream_id_of(file: Path) -> str:
    r"""A name for the lines of this file: the same file, the same name; another content, another name.

    It is made of the file's name, its size, and a checksum of its first 64 KiB.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     _ = Path(home, "my orders.txt").write_bytes(b"a\nb\n")
    ...     stream_id_of(Path(home, "my orders.txt"))
    'my_orders.txt-4-18572a97'
    """
    with open(file, "rb") as source:
        checksum = zlib.crc32(source.read(_FIRST_BYTES))
        size = source.seek(0, 2)
    name = _NOT_FOR_IDS.sub("_", file.name)[:_NAME_LENGTH]
    return f"{name}-{size}-{checksum:08x}"


class _Blocks:
    """The lines of a file in blocks of ``lines``, at a pace; where in the file we are.

    Every line of a block ends with a line feed, the last one of the file too.
    """

    def __init__(self, file: Path, lines: int, pace: Pace, on_progress: Callable[[int, int], object]) -> None:
        if lines < 1:
            raise ArgumentError(f"lines must be 1 or more, not {lines}")
        self._file = file
        self._lines = lines
        self._pace = pace
        self._on_progress = on_progress
        with open(file, "rb"):  # a wrong name is found before anybody is asked to connect
            pass

    def after(self, first: int) -> Iterator[bytes]:
        """The blocks behind the first lines. ``on_progress`` is told bytes and lines before each block."""
        line_count = byte_count = 0
        with open(self._file, "rb") as source:
            for line in islice(source, first):
                line_count += 1
                byte_count += len(line)
            if line_count < first:
                raise DataError(
                    f"the receiver has {first:,} lines of this stream, but there are {line_count:,} in "
                    f"{self._file}. Hint: another --stream-id for another file."
                )
            self._on_progress(byte_count, line_count)
            while part := list(islice(source, self._lines)):
                if not self._pace.wait():
                    return
                block = b"".join(part)
                yield block if block.endswith(b"\n") else block + b"\n"
                line_count += len(part)
                byte_count += len(block)
                self._on_progress(byte_count, line_count)


class Unacknowledged:
    r"""Sends the lines of a file through whatever connection there is, as ``socketTextStream`` takes them.

    What the system has taken of a connection that breaks is gone; the next connection goes on with the first
    line that was not taken whole. ``lines`` are sent every ``every_s``, or all as fast as they are taken with
    0. With ``listen`` it waits to be connected to, else it connects. ``on_progress`` is told how many bytes
    and lines of the file are behind us; ``waiting`` a sentence, when nobody is there. What the other side
    sends is not looked at.
    """

    def __init__(
        self,
        file: str | Path,
        host: str,
        port: int,
        lines: int = 10_000,
        every_s: float = 3.0,
        *,
        listen: bool = True,
        clock: Clock | None = None,
        on_progress: Callable[[int, int], object] = lambda bytes_sent, lines_sent: None,
        waiting: Callable[[str], object] = _log.info,
        stop: threading.Event | None = None,
    ) -> None:
        self._stop = stop or threading.Event()
        self._blocks = _Blocks(Path(file), lines, Pace(every_s, clock, self._stop), on_progress)
        self._peer = Peer(host, port, listen=listen, stop=self._stop, waiting=waiting, answers=False)

    @property
    def address(self) -> str:
        """Where it listens or connects to, as a URL."""
        return self._peer.address

    @property
    def port(self) -> int:
        """The port of the address."""
        return self._peer.port

    def send(self) -> Fed:
        """Send all lines; returns when the other side has taken them and closed, or when it was stopped."""
        sent = parts = 0
        left = b""
        blocks = self._blocks.after(0)
        while (link := self._peer.next()) is not None:
            with link:
                while not link.is_over:
                    if not left:
                        left = next(blocks, b"")
                        parts += bool(left)
                    if self._stop.is_set():
                        break
                    if not left:
                        if not link.finish() and not self._stop.is_set():
                            _log.warning(
                                "%s: the connection broke at its end, so its last lines may be gone",
                                self.address,
                            )
                        return Fed(parts, sent, finished=not self._stop.is_set())
                    taken = left[: link.send(left)]
                    whole = left if len(taken) == len(left) else taken[: taken.rfind(b"\n") + 1]
                    sent += whole.count(b"\n")
                    left = left[len(whole) :]
                    if whole:
                        self._peer.has_taken()
            if not self._stop.is_set():
                _log.warning(
                    "%s: the connection is over after %d lines; the next one goes on there",
                    self.address,
                    sent,
                )
        return Fed(parts, sent, finished=False)

    def close(self) -> None:
        """Listen no more."""
        self._peer.close()

    def __enter__(self) -> Unacknowledged:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Acknowledged:
    """Sends the lines of a file to a receiver that acknowledges them, as ``reliableSocketTextStream`` does:
    each comes exactly once, whichever side dies and is started again.

    ``stream_id`` is :func:`stream_id_of` the file by default. The rest is as with :class:`Unacknowledged`.
    """

    def __init__(
        self,
        file: str | Path,
        host: str,
        port: int,
        lines: int = 10_000,
        every_s: float = 3.0,
        *,
        listen: bool = True,
        stream_id: str | None = None,
        clock: Clock | None = None,
        on_progress: Callable[[int, int], object] = lambda bytes_sent, lines_sent: None,
        waiting: Callable[[str], object] = _log.info,
        stop: threading.Event | None = None,
    ) -> None:
        stop = stop or threading.Event()
        path = Path(file)
        blocks = _Blocks(path, lines, Pace(every_s, clock, stop), on_progress)
        self._sender = ReliableLineSender(
            stream_id if stream_id is not None else stream_id_of(path),
            blocks.after,
            host,
            port,
            listen=listen,
            stop=stop,
            waiting=waiting,
        )

    @property
    def port(self) -> int:
        """The port that it listens at or connects to."""
        return self._sender.port

    @property
    def address(self) -> str:
        """Where it listens or connects to, as a URL."""
        return self._sender.address

    @property
    def stream_id(self) -> str:
        """The stream's name."""
        return self._sender.stream_id

    def send(self) -> Fed:
        """Send all lines; returns when all are acknowledged, those that an earlier feed sent included, or
        when it was stopped."""
        sent = self._sender.send()
        return Fed(0, sent.line_count, sent.finished)

    def close(self) -> None:
        """Listen no more."""
        self._sender.close()

    def __enter__(self) -> Acknowledged:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
