"""Streams of what receivers bring in: sockets, and receivers of the program's own."""

from __future__ import annotations

from typing import TypeVar

from penstock.chunk import RowType
from penstock.conf import (
    BLOCK_INTERVAL,
    BLOCK_QUEUE,
    MAX_LINE_BYTES,
    MAX_RATE,
    MOST_WAITING,
    RECEIVER_MEMORY,
    RESTART_DELAY,
    WRITE_AHEAD,
)
from penstock.context.inputs import Inputs
from penstock.dstream import DStream
from penstock.errors import ArgumentError, SignatureError
from penstock.plan import StorageLevel, must_be_callable
from penstock.sources import (
    TEXT,
    LineSocket,
    ObjectSocket,
    Receiver,
    ReceiverSettings,
    ReceiverSource,
    ReliableLineSocket,
)
from penstock.sources.receivers.sockets import Converter

__all__ = ["ReceiverInputs"]

LineReceiver = TypeVar("LineReceiver", LineSocket, ReliableLineSocket)


class ReceiverInputs(Inputs):
    """The inputs of a context that come by themselves."""

    def socketTextStream(
        self,
        hostname: str,
        port: int,
        storageLevel: StorageLevel = StorageLevel.MEMORY_AND_DISK_2,
        *,
        listen: bool = False,
    ) -> DStream:
        r"""The lines of text that a server sends. With ``listen`` this is the server: it binds
        ``(hostname, port)``, and takes any number of connections; ``""`` is all addresses of IPv4, ``"::"``
        those of IPv6.

        Lines are UTF-8 and end with ``\n``, ``\r\n`` or ``\r``; empty ones are lines; the last one of a
        connection that is closed need not end, one of a connection that fails is dropped. Bytes that are not
        UTF-8 become U+FFFD, and are counted (``bad_utf8`` in the batch's metadata). A line longer than
        ``penstock.receiver.maxLineBytes`` is left out: counted (``too_long``), and its beginning is in
        ``rejects`` of the metadata, as the fields of a ``Reject``.

        A connection that is closed, fails or cannot be made is made again, for ever, first after
        ``spark.streaming.receiverRestartDelay``. What may be lost in a crash is what had not been stored:
        what the kernel held, and with the log on at most one ``spark.streaming.blockInterval``. Where nothing
        may be lost, there is :meth:`reliableSocketTextStream`.
        """
        level = _level(storageLevel, "socketTextStream")
        receiver = self._lines(LineSocket, hostname, port, level, listen)
        return self._received("socketTextStream", receiver, f"socket {receiver.url}", TEXT)

    def reliableSocketTextStream(
        self,
        hostname: str,
        port: int,
        storageLevel: StorageLevel = StorageLevel.MEMORY_AND_DISK_2,
        *,
        listen: bool = False,
    ) -> DStream:
        r"""As :meth:`socketTextStream`, from senders that number their lines and are told how many are
        stored, by the protocol *penstock lines 1* (see ``docs/receivers.md``). Only ``\n`` ends a line
        there, and one ``\r`` before it is dropped.

        Whatever breaks, each line is in the stream once: a sender that connects again goes on where the
        stored lines end. With ``spark.streaming.receiver.writeAheadLog.enable`` that holds for crashes of
        this program, too.
        """
        level = _level(storageLevel, "reliableSocketTextStream")
        receiver = self._lines(ReliableLineSocket, hostname, port, level, listen)
        return self._received("reliableSocketTextStream", receiver, f"acknowledged {receiver.url}", TEXT)

    def _lines(
        self, kind: type[LineReceiver], hostname: str, port: int, level: StorageLevel, listen: bool
    ) -> LineReceiver:
        conf = self._sc.conf
        return kind(
            hostname,
            port,
            level,
            listen=listen,
            delay_ms=conf.value(RESTART_DELAY),
            most_line_bytes=conf.value(MAX_LINE_BYTES),
        )

    def socketStream(
        self,
        hostname: str,
        port: int,
        converter: Converter,
        storageLevel: StorageLevel = StorageLevel.MEMORY_AND_DISK_2,
    ) -> DStream:
        """The objects that ``converter`` makes of what a server sends: it is given the connection as a binary
        file to read from, and returns an iterator. At the end of the iterator, or if it raises, the
        connection is closed and made again as in :meth:`socketTextStream`.
        """
        must_be_callable(converter, "converter of socketStream")
        delay_ms = self._sc.conf.value(RESTART_DELAY)
        level = _level(storageLevel, "socketStream")
        receiver = ObjectSocket(hostname, port, converter, level, delay_ms=delay_ms)
        return self._received("socketStream", receiver, f"socket {receiver.url}")

    def receiverStream(self, receiver: Receiver) -> DStream:
        """The records that a receiver of the program's own stores; see :class:`Receiver`."""
        if not isinstance(receiver, Receiver):
            raise SignatureError(f"receiverStream needs a Receiver, not {type(receiver).__name__}")
        if any(getattr(node.source, "receiver", None) is receiver for node in self._graph.inputs):
            raise ArgumentError("this receiver has a stream already. Hint: make one for each stream.")
        return self._received("receiverStream", receiver, f"receiver {type(receiver).__name__}")

    def _received(
        self, operation: str, receiver: Receiver, name: str, row_type: RowType | None = None
    ) -> DStream:
        self.must_be_open()
        conf = self._sc.conf
        settings = ReceiverSettings(
            block_interval_ms=max(1, conf.value(BLOCK_INTERVAL)),
            most_in_line=conf.value(BLOCK_QUEUE),
            restart_delay_ms=conf.value(RESTART_DELAY),
            max_rate=conf.value(MAX_RATE),
            memory_bytes=conf.value(RECEIVER_MEMORY),
            waiting_bytes=conf.value(MOST_WAITING),
            write_ahead=conf.value(WRITE_AHEAD),
        )
        source = ReceiverSource(
            receiver,
            name,
            settings,
            clock=self._clock,
            stream_id=len(self._graph.inputs),
            row_type=row_type,
        )
        return self._input(operation, source)


def _level(level: StorageLevel, operation: str) -> StorageLevel:
    if not isinstance(level, StorageLevel):
        raise SignatureError(f"{operation} needs a StorageLevel, not {type(level).__name__}")
    return level
