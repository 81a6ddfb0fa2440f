"""The sending side of acknowledged lines: none is lost and none comes twice, whichever side dies.

The receiving side is a stream's (``reliableSocketTextStream``). What the two say is in ``line_protocol``.
Whatever happens to a connection, the next one begins with what the receiver has, and the sender goes on from
there: so the sender must be able to give its lines again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from penstock.errors import ArgumentError, SignatureError, UnsupportedError
from penstock.sources.receivers.line_protocol import LineSender, ProtocolError
from penstock.sources.receivers.outgoing import Link, Peer

__all__ = ["ReliableLineSender", "Sent"]

_ANSWER_BYTES: Final = 64
_FRAME_BYTES: Final = 1 << 20
_PATIENCE: Final = 100  # waits of Link.wait, a tenth of a second each

_log = logging.getLogger(__name__)


class Sent(NamedTuple):
    """How many lines of the stream the receiver has, and whether that is all of them.

    >>> Sent(line_count=500_000, finished=True).finished
    True
    """

    line_count: int
    finished: bool


class ReliableLineSender:
    r"""Sends the lines of one stream to a receiver that acknowledges them, through one connection after the
    other, until it has them all.

    ``stream_id`` names the stream, with 1 to 200 printable ASCII characters and no space: the receiver
    counts lines under it. ``blocks_from(first)`` gives the lines behind the first ``first`` ones, as blocks
    of bytes of any size: each holds whole lines, which end with ``\n``. It is called for every connection,
    and must give the same lines each time. It may wait between two blocks. What it raises, as when there are
    not so many lines, ends the sender.

    The sender connects to ``host`` and ``port``, again and again until somebody is there; with ``listen`` it
    waits for the receiver to connect, with port 0 at any free one (``port`` says which). ``stop`` ends it
    between two blocks: what was sent and not acknowledged is sent again by the next sender of the stream.
    ``on_acknowledged`` is called with the number of lines that the receiver has, whenever that changes;
    ``waiting`` with a sentence, when nobody is there.

    Raises ``ArgumentError`` for an id that is none, and for a host that does not exist; ``StorageError`` for
    an address that cannot be listened at; ``UnsupportedError`` if something else answers where it connects.

    >>> def blocks_from(first):
    ...     yield b"".join(b"order %d\n" % number for number in range(first, 1000))
    >>> ssc = StreamingContext(sc, 0.05)
    >>> received = []
    >>> with ReliableLineSender("orders-7", blocks_from, "localhost", 0, listen=True) as sender:
    ...     lines = ssc.reliableSocketTextStream("localhost", sender.port)
    ...     lines.foreachRDD(lambda rdd: received.extend(rdd.collect()))
    ...     ssc.start()
    ...     sender.send()
    Sent(line_count=1000, finished=True)
    >>> ssc.stop(stopSparkContext=False, stopGraceFully=True)
    >>> len(received), received[-1]
    (1000, 'order 999')
    """

    def __init__(
        self,
        stream_id: str,
        blocks_from: Callable[[int], Iterable[bytes]],
        host: str,
        port: int,
        *,
        listen: bool = False,
        stop: threading.Event | None = None,
        on_acknowledged: Callable[[int], object] = lambda have: None,
        waiting: Callable[[str], object] = _log.info,
    ) -> None:
        if not isinstance(stream_id, str):
            raise SignatureError(f"a stream id must be text, not {stream_id!r}")
        self._protocol = LineSender(stream_id)
        if not callable(blocks_from):
            raise SignatureError(
                f"blocks_from must be a function that gives what follows so many lines, not {blocks_from!r}"
            )
        self.stream_id = stream_id
        self._blocks_from = blocks_from
        self._stop = stop or threading.Event()
        self._on_acknowledged = on_acknowledged
        self._have = 0
        self._listens = listen
        self._peer = Peer(host, port, listen=listen, stop=self._stop, waiting=waiting)

    @property
    def port(self) -> int:
        """The port it listens at, or connects to."""
        return self._peer.port

    @property
    def address(self) -> str:
        """Where it listens, or connects to, as a URL."""
        return self._peer.address

    @property
    def have(self) -> int:
        """How many lines the receiver has, as far as it has said."""
        return self._have

    def send(self) -> Sent:
        """Send all lines; returns when all are acknowledged, or when it was stopped."""
        while (link := self._peer.next()) is not None:
            with link:
                if self._served(link):
                    return Sent(self._have, finished=True)
            if link.is_over and not self._stop.is_set():
                _log.warning("%s: the receiver of %s has gone; it has %d lines", *self._who, self._have)
        return Sent(self._have, finished=False)

    def close(self) -> None:
        """Listen no more."""
        self._peer.close()

    def __enter__(self) -> ReliableLineSender:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def _who(self) -> tuple[str, str]:
        return self._peer.address, self.stream_id

    def _served(self, link: Link) -> bool:
        """Whether the receiver at this connection has all lines now."""
        protocol = self._protocol
        link.send(protocol.hello())
        if not self._is_greeted(link):
            return False
        for block in self._blocks_from(protocol.sent):
            for data in _frames(block):
                link.send(protocol.frame(data))
                self._take_answers(link)
                if link.is_over or self._stop.is_set():
                    return False
        if self._stop.is_set():  # so these may not have been all blocks
            return False
        link.send(protocol.end())
        self._take_answers(link)
        while not protocol.all_stored and link.wait():
            self._take_answers(link)
        return protocol.all_stored

    def _is_greeted(self, link: Link) -> bool:
        """Whether the receiver has said how many lines it has. It may not know how to."""
        waits = 0
        while not (lines := link.lines()):
            if link.unfinished_bytes > _ANSWER_BYTES:
                return self._refuse("without an end")
            if not link.wait():
                return False
            waits += 1
            if waits == _PATIENCE:
                _log.warning(
                    "%s: connected, but there is no answer. Hint: the other side must take acknowledged "
                    "lines, as reliableSocketTextStream does.",
                    self._peer.address,
                )
        had = self._have
        try:
            for line in lines:
                self._acknowledge(line)
        except ProtocolError:
            return self._refuse(repr(lines[0].decode("utf-8", "replace")))
        if self._have < had:
            _log.warning("%s: the receiver of %s had %d lines, and has %d now", *self._who, had, self._have)
        return True

    def _refuse(self, answer: str) -> bool:
        """Whoever answers like that is no receiver: wait for another, or give up if we called."""
        if self._listens:
            _log.warning("%s: whoever has connected answers %s, and is left", self._peer.address, answer)
            return False
        raise UnsupportedError(
            f"{self._peer.address} does not take acknowledged lines: it answers {answer}. "
            "Hint: reliableSocketTextStream does."
        )

    def _take_answers(self, link: Link) -> None:
        for line in link.lines():
            self._acknowledge(line)

    def _acknowledge(self, line: bytes) -> None:
        try:
            have = self._protocol.answered(line + b"\n")
        except ProtocolError as problem:
            problem.add_note(f"of the stream {self.stream_id}, at {self._peer.address}")
            raise
        if have != self._have:
            self._have = have
            self._on_acknowledged(have)
        self._peer.has_taken()


def _frames(block: bytes) -> Iterator[bytes]:
    r"""The block in pieces of whole lines and not more than 1 MiB, unless a single line is longer.

    >>> list(_frames(b"a\nb\n")), list(_frames(b""))
    ([b'a\nb\n'], [])
    """
    if block and not block.endswith(b"\n"):
        raise ArgumentError(rf"a block must hold whole lines, which end with \n; its end is {block[-20:]!r}")
    at = 0
    while at < len(block):
        end = block.rfind(b"\n", at, at + _FRAME_BYTES) + 1 or block.index(b"\n", at) + 1
        yield block[at:end]
        at = end
