"""Receivers of sockets: lines of text, what a converter makes of the bytes, and acknowledged lines.

Threads wait for the socket and for the end at once, so the end is never waited for. A socket is only read
when there is room for what it brings: what is not read stays at the sender, which TCP makes wait.
"""

from __future__ import annotations

import io
import logging
import os
import selectors
import socket
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, BinaryIO, cast

import numpy as np

from penstock.chunk import Chunk, Columns, Lines
from penstock.errors import ArgumentError, SignatureError
from penstock.plan import StorageLevel
from penstock.sources.receivers.blocks import Notes
from penstock.sources.receivers.line_cutter import CutLines, LineCutter
from penstock.sources.receivers.line_protocol import (
    MOST_HEADER_BYTES,
    MOST_HELLO_BYTES,
    FrameHeader,
    ProtocolError,
    count_line,
    read_header,
    read_hello,
)
from penstock.sources.receivers.receiver import Receiver
from penstock.sources.receivers.receiving import ReceiverHost

__all__ = ["LineSocket", "ObjectSocket", "ReliableLineSocket", "SocketReceiver"]

_log = logging.getLogger(__name__)
_READ_BYTES = 256 << 10
_CONNECT_S = 30.0
_HELLO_S = 30.0  # what a sender gets for its first line
_LONGEST_DELAY_S = 30.0
_MOST_CONNECTIONS = 1_000  # at a time; further ones wait to be accepted
_KEEPALIVE_S = 60  # a peer that has gone without a word is noticed after a few minutes
_FEED = 10
_FEW = 1_000  # lines that are found one by one sooner than all at once

Converter = Callable[[BinaryIO], Iterable[Any]]


class _Ended(Exception):
    """The receiver is to stop."""


class _Waker:
    """Wakes all threads that wait for a socket, once and for all."""

    def __init__(self) -> None:
        self._here, self._there = socket.socketpair()

    def wake(self) -> None:
        with suppress(OSError):
            self._there.send(b"x")

    def wait(self, sock: socket.socket, events: int, seconds: float | None = None) -> bool:
        """Wait for a socket; false if the time is up. Raises :class:`_Ended`."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._here, selectors.EVENT_READ)
            selector.register(sock, events)
            ready = {key.fileobj for key, _ in selector.select(seconds)}
        if self._here in ready:
            raise _Ended
        return bool(ready)

    def close(self) -> None:
        self._here.close()
        self._there.close()


class Channel:
    """A connection whose waiting ends with the receiver. One thread reads and writes; another may
    ``abort``."""

    def __init__(self, sock: socket.socket, waker: _Waker, url: str) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (("TCP_KEEPIDLE", _KEEPALIVE_S), ("TCP_KEEPINTVL", 20), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, option):
                with suppress(OSError):
                    sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        self.url = url
        self._socket = sock
        self._waker = waker
        self._selector = selectors.DefaultSelector()
        self._selector.register(waker._here, selectors.EVENT_READ)
        self._selector.register(sock, selectors.EVENT_READ)

    def read(self, most: int = _READ_BYTES, seconds: float | None = None) -> bytes:
        """What there is, at least a byte; nothing at the end. ``TimeoutError`` if the time is up before."""
        while True:
            ready = {key.fileobj for key, _ in self._selector.select(seconds)}
            if self._waker._here in ready:
                raise _Ended
            if not ready:
                raise TimeoutError(f"{self.url} sent nothing for {seconds:g} s")
            try:
                return self._socket.recv(most)
            except (BlockingIOError, InterruptedError):
                continue

    def write(self, data: bytes) -> None:
        """All of it."""
        left = memoryview(data)
        while left:
            try:
                left = left[self._socket.send(left) :]
            except (BlockingIOError, InterruptedError):
                self._waker.wait(self._socket, selectors.EVENT_WRITE)

    def abort(self) -> None:
        """Have whoever reads meet the end."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._selector.close()
        self._socket.close()


class SocketReceiver(Receiver):
    """Connects to ``(hostname, port)`` for ever, or with ``listen`` binds it and takes whoever connects. What
    becomes of a connection is a subclass's :meth:`serve`.

    After a connection that could not be made, was closed or failed, it waits, twice as long each time it
    fails again. ``address`` is where it listens, or is connected to, once that is so.
    """

    def __init__(
        self, hostname: str, port: int, storageLevel: StorageLevel, *, listen: bool, delay_ms: int
    ) -> None:
        super().__init__(storageLevel)
        if not isinstance(hostname, str):
            raise SignatureError(f"hostname must be text, not {hostname!r}")
        if isinstance(port, bool) or not isinstance(port, int):
            raise SignatureError(f"port must be a whole number, not {port!r}")
        if not (0 if listen else 1) <= port <= 65_535:
            raise ArgumentError(f"port must be 1 to 65535, not {port}")
        self._hostname = hostname
        self._port = port
        self._listen = listen
        self._delay_s = delay_ms / 1000
        self.url = _url(hostname, port)
        self.address: tuple[str, int] | None = None
        self._waker: _Waker | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_waker": None, "address": None}

    @property
    def host(self) -> ReceiverHost:
        """Who runs it."""
        return cast(ReceiverHost, self._running())

    def onStart(self) -> None:
        self._waker = _Waker()
        if not self._listen:
            self.run(self._connect_for_ever)
            return
        family: int = socket.AF_INET
        address: tuple[Any, ...] = ("", self._port)
        if self._hostname:
            found = socket.getaddrinfo(self._hostname, self._port, type=socket.SOCK_STREAM)
            family, *_, address = found[0]
        server = socket.create_server(address, family=family, backlog=128)
        self.address = server.getsockname()[:2]
        self.run(self._accept_for_ever, server)

    def onStop(self) -> None:
        if self._waker is not None:
            self._waker.wake()

    def _is_over(self) -> None:
        if self._waker is not None:
            self._waker.close()
            self._waker = None

    @abstractmethod
    def serve(self, channel: Channel) -> None:
        """Take in what comes, until there is no more. An exception is reported, and ends the connection."""

    # Connecting

    def _connect_for_ever(self) -> None:
        delay_s = self._delay_s
        while not self.isStopped():
            try:
                channel = self._connected()
            except _Ended:
                return
            except OSError as error:
                self.reportError(f"cannot connect, trying again in {delay_s:g} s", error)
            else:
                delay_s = self._delay_s
                if not self._served(channel, f", connecting again in {delay_s:g} s"):
                    return
            if not self.wait(delay_s):
                return
            delay_s = min(delay_s * 2, max(_LONGEST_DELAY_S, self._delay_s))

    def _connected(self) -> Channel:
        assert self._waker is not None
        errors: list[OSError] = []
        for family, kind, protocol, _, address in socket.getaddrinfo(
            self._hostname, self._port, type=socket.SOCK_STREAM
        ):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.setblocking(False)
                with suppress(BlockingIOError):
                    sock.connect(address)
                if not self._waker.wait(sock, selectors.EVENT_WRITE, _CONNECT_S):
                    raise TimeoutError(f"no answer for {_CONNECT_S:g} s")
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code:
                    raise OSError(code, _words(code))
                self.address = sock.getpeername()[:2]
                return Channel(sock, self._waker, self.url)
            except BaseException as error:
                sock.close()
                if not isinstance(error, OSError):
                    raise
                errors.append(error)
        raise errors[0] if errors else OSError(f"{self._hostname} has no address")

    def _served(self, channel: Channel, then: str) -> bool:
        """Serve a connection to its end; false if the receiver is to stop."""
        try:
            self.serve(channel)
        except _Ended:
            return False
        except Exception as error:
            if self.isStopped():
                _log.debug("%s: as it ended: %r", channel.url, error)
                return False
            self.reportError(f"the connection with {channel.url} has failed{then}", error)
        else:
            if then:
                self.reportError(f"the connection was closed by the peer{then}")
        finally:
            channel.close()
        return True

    # Listening

    def _accept_for_ever(self, server: socket.socket) -> None:
        assert self._waker is not None
        room = threading.Semaphore(_MOST_CONNECTIONS)
        with server:
            server.setblocking(False)
            while True:
                try:
                    self._waker.wait(server, selectors.EVENT_READ)
                    if room.acquire(blocking=False):
                        self._accept(server, room)
                    elif not self.wait(0.05):
                        return
                except _Ended:
                    return
                except (BlockingIOError, InterruptedError, ConnectionError):
                    continue  # gone before it was accepted
                except (OSError, RuntimeError) as error:  # say, no more files can be open, or threads begun
                    self.reportError(f"a connection to {self.url} cannot be accepted", error)
                    if not self.wait(self._delay_s):
                        return

    def _accept(self, server: socket.socket, room: threading.Semaphore) -> None:
        """Serve one who waits, on a thread."""
        assert self._waker is not None
        sock: socket.socket | None = None
        try:
            sock, address = server.accept()
            channel = Channel(sock, self._waker, _url(address[0], address[1]))
            self.run(self._serve_one, channel, room)
        except BaseException:
            room.release()
            if sock is not None:
                sock.close()
            raise

    def _serve_one(self, channel: Channel, room: threading.Semaphore) -> None:
        try:
            self._served(channel, "")
        finally:
            room.release()

    # Storing

    def _put(self, lines: CutLines, source: str) -> None:
        """Lines into the current block, as fast as is allowed."""
        data, left, first = lines
        host, at = self.host, 0
        while left:
            granted = host.granted(left)
            end = len(data) if granted == left else _end_of(data, granted, at)
            host.put_lines(data if end - at == len(data) else data[at:end], granted, source, first)
            left, first, at = left - granted, first + granted, end


class LineSocket(SocketReceiver):
    """Lines of text; see ``StreamingContext.socketTextStream``."""

    def __init__(
        self,
        hostname: str,
        port: int,
        storageLevel: StorageLevel,
        *,
        listen: bool,
        delay_ms: int,
        most_line_bytes: int,
    ) -> None:
        super().__init__(hostname, port, storageLevel, listen=listen, delay_ms=delay_ms)
        self._most_line_bytes = most_line_bytes
        self._told = False

    def serve(self, channel: Channel) -> None:
        cutter = LineCutter(channel.url, self._most_line_bytes)
        self.host.wait_for_room(_READ_BYTES)
        while data := channel.read():
            self._store(cutter.feed(data), cutter)
            self.host.wait_for_room(_READ_BYTES)
        self._store(cutter.end(), cutter)

    def _store(self, found: list[CutLines], cutter: LineCutter) -> None:
        for lines in found:
            self._put(lines, cutter.source)
        if cutter.notes.too_long or cutter.notes.bad_utf8:
            notes = cutter.taken_notes()
            self.host.note(notes)
            self._warn(notes, cutter.source)

    def _warn(self, notes: Notes, source: str) -> None:
        if notes.too_long and not self._told:
            self._told = True
            _log.warning(
                "%s has sent a line longer than %d bytes. Such lines are left out: they are counted, and "
                "their "
                "beginnings are among the rejects in the batch's metadata; this is said once. "
                "Hint: penstock.receiver.maxLineBytes.",
                source, self._most_line_bytes,
            )  # fmt: skip


class ObjectSocket(SocketReceiver):
    """What ``converter`` makes of the bytes; see ``StreamingContext.socketStream``."""

    def __init__(
        self, hostname: str, port: int, converter: Converter, storageLevel: StorageLevel, *, delay_ms: int
    ) -> None:
        super().__init__(hostname, port, storageLevel, listen=False, delay_ms=delay_ms)
        self._converter = converter

    def serve(self, channel: Channel) -> None:
        with io.BufferedReader(_RawChannel(channel), _READ_BYTES) as file:
            for record in self._converter(file):
                self.store(record)
                if self.isStopped():
                    return


class _RawChannel(io.RawIOBase):
    """A connection as a file that is read from."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._channel.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class ReliableLineSocket(LineSocket):
    """Lines that are acknowledged once they are stored; see ``StreamingContext.reliableSocketTextStream`` and
    ``line_protocol``. How many lines of each stream there are is stored with the lines."""

    _turns: threading.Lock | None = None  # of what follows
    _serving: dict[str, _Turn]

    def __getstate__(self) -> dict[str, Any]:
        gone = ("_turns", "_serving")
        return {name: value for name, value in super().__getstate__().items() if name not in gone}

    def onStart(self) -> None:
        if self._turns is None:  # a connection from before a new start may still be storing
            self._turns, self._serving = threading.Lock(), {}
        super().onStart()

    def serve(self, channel: Channel) -> None:
        reader = _FrameReader(channel)
        stream = read_hello(reader.line(MOST_HELLO_BYTES, _HELLO_S))
        turn = _Turn(channel)
        assert self._turns is not None
        with self._turns:
            before, self._serving[stream] = self._serving.get(stream), turn
        try:
            if before is not None:  # a sender that has connected again, before we know that it was gone
                before.channel.abort()
                while not before.over.wait(0.05):
                    if self.isStopped():
                        return
            self._take_frames(channel, reader, stream)
        finally:
            with self._turns:
                if self._serving.get(stream) is turn:
                    del self._serving[stream]
            turn.over.set()

    def _take_frames(self, channel: Channel, reader: _FrameReader, stream: str) -> None:
        have = int(self.restored.get(stream, 0))
        channel.write(count_line(have))
        while True:
            line = reader.line(MOST_HEADER_BYTES)
            if not line:
                return
            header = read_header(line)
            if header.first > have:
                raise ProtocolError(
                    f"the sender of {stream} goes on at line {header.first}, and {have} lines are stored"
                )
            if not header.is_end:
                self.host.wait_for_room(header.nbytes)
                have = self._take(header, reader.body(header.nbytes), stream, have, channel.url)
            channel.write(count_line(have))
            if header.is_end:
                return

    def _take(self, header: FrameHeader, data: bytes, stream: str, have: int, url: str) -> int:
        """Store of a frame what is new; how many lines there are then."""
        if data[-1:] != b"\n" or data.count(b"\n") != header.lines:
            raise ProtocolError(f"a frame of {stream} does not hold {header.lines} whole lines")
        known = have - header.first
        if known >= header.lines:
            return have
        at = _end_of(data, known, 0) if known else 0
        left = header.lines - known
        while left:  # in parts, as far as a rate is to be kept
            granted = self.host.granted(left)
            end = len(data) if granted == left else _end_of(data, granted, at)
            part = data if end - at == len(data) else data[at:end]
            chunks, notes = self._checked(part, granted, url, have + 1)
            self.host.put_block(chunks, {stream: have + granted}, notes, limited=False)
            self._warn(notes, url)
            have, left, at = have + granted, left - granted, end
        return have

    def _checked(self, data: bytes, count: int, url: str, number: int) -> tuple[list[Chunk], Notes]:
        r"""Lines as chunks. Only ``\n`` ends a line here, as the sender has counted; one ``\r`` before it is
        dropped, others are part of the text."""
        data = data.replace(b"\r\n", b"\n") if b"\r" in data else data
        if b"\r" not in data:
            cutter = LineCutter(url, self._most_line_bytes, number)
            return [Lines(*_as_lines(cut, url)) for cut in cutter.feed(data)], cutter.notes
        notes, texts = Notes(), []
        for at, line in enumerate(data.split(b"\n")[:count]):
            text, damaged = _decoded(line)
            notes.bad_utf8 += damaged
            if len(text.encode()) > self._most_line_bytes:
                reason = f"longer than {self._most_line_bytes} bytes"
                notes.add(Notes(too_long=1, refused=[(url, number + at, text[:1000], reason)]))
            else:
                texts.append(text)
        return [Columns.from_rows(texts)] if texts else [], notes


class _Turn:
    """A connection that speaks for a stream. One at a time does."""

    __slots__ = ("channel", "over")

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.over = threading.Event()


class _FrameReader:
    """Reads lines and bodies from a connection."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._held = b""

    def line(self, most: int, seconds: float | None = None) -> bytes:
        r"""Up to and with the next ``\n``; nothing at the end."""
        while True:
            end = self._held.find(b"\n", 0, most) + 1
            if end:
                line, self._held = self._held[:end], self._held[end:]
                return line
            if len(self._held) >= most:
                raise ProtocolError(f"the sender's line is longer than {most} bytes")
            data = self._channel.read(seconds=seconds)
            if not data:
                if self._held:
                    raise ProtocolError("the sender has gone in the middle of a line")
                return b""
            self._held += data

    def body(self, nbytes: int) -> bytes:
        """So many bytes. They take no more memory than has come."""
        pieces, left = [self._held[:nbytes]], nbytes - min(nbytes, len(self._held))
        self._held = self._held[nbytes:]
        while left:
            data = self._channel.read(min(left, _READ_BYTES))
            if not data:
                raise ProtocolError("the sender has gone in the middle of a frame")
            pieces.append(data)
            left -= len(data)
        return b"".join(pieces)


def _as_lines(cut: CutLines, url: str) -> tuple[bytes, str, int]:
    return cut.data, url, cut.first


def _decoded(line: bytes) -> tuple[str, int]:
    text = line.decode("utf-8", "replace")
    return text, text.count("\ufffd") - line.count("\ufffd".encode())


def _end_of(data: bytes, count: int, at: int) -> int:
    """Where the first ``count`` lines from a place on end."""
    if count < _FEW:
        for _ in range(count):
            at = data.index(b"\n", at) + 1
        return at
    ends = np.flatnonzero(np.frombuffer(data, np.uint8, offset=at) == _FEED)
    return at + int(ends[count - 1]) + 1


def _url(hostname: str, port: int) -> str:
    host = f"[{hostname}]" if ":" in hostname else hostname
    return f"tcp://{host}:{port}"


def _words(code: int) -> str:
    return os.strerror(code)
