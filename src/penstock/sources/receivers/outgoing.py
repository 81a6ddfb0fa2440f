"""Connections that lines are sent through: one after the other, listened for or made."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final

from penstock.errors import ArgumentError, StorageError

__all__ = ["Link", "Peer", "shown_address"]

_LOOK_S: Final = 0.1  # so often a wait looks whether it should stop
_CONNECT_S: Final = 3.0
_PAUSE_MIN_S: Final = 0.1
_PAUSE_MAX_S: Final = 5.0
_AT_ONCE: Final = 1 << 20
_MOST_BACK_BYTES: Final = 1 << 20  # that have come and nobody has asked for


def shown_address(host: str, port: int) -> str:
    """An address as a user writes it.

    >>> shown_address("localhost", 9999), shown_address("::1", 9999)
    ('tcp://localhost:9999', 'tcp://[::1]:9999')
    """
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"


class Link:
    """A connection that bytes are sent through, while what comes back is read. For one thread.

    Nothing here raises because the other side has gone: ``is_over`` tells it, and ``problem`` says how it
    ended if that was no orderly end. Every wait ends when ``stop`` is set.

    What comes back is for ``lines``; with ``answers=False`` it is thrown away. Of what nobody has asked for
    1 MiB is kept: a connection that brings more is over.
    """

    def __init__(self, connection: socket.socket, stop: threading.Event, *, answers: bool = True) -> None:
        connection.setblocking(False)
        with contextlib.suppress(OSError):  # not every kind of connection has these
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._connection = connection
        self._stop = stop
        self._selector = selectors.DefaultSelector()
        self._selector.register(connection, selectors.EVENT_READ)
        self._answers = answers
        self._received = bytearray()
        self.is_over = False
        self.problem: OSError | None = None

    def send(self, data: bytes) -> int:
        """Hand the bytes to the system, as fast as the other side takes them; how many were taken: all of
        them, unless the connection is over or it is time to stop."""
        view, at = memoryview(data), 0
        while at < len(view) and not self._stop.is_set():
            self._read()
            if self.is_over:
                break
            try:
                at += self._connection.send(view[at : at + _AT_ONCE])
            except BlockingIOError:
                self._wait(selectors.EVENT_READ | selectors.EVENT_WRITE)
            except OSError as problem:
                self._end(problem)
        return at

    def lines(self) -> list[bytes]:
        """The whole lines that have come since the last call, without their ends; does not wait."""
        self._read()
        *whole, rest = self._received.split(b"\n")
        self._received = rest
        return [bytes(line) for line in whole]

    @property
    def unfinished_bytes(self) -> int:
        """How many bytes there are of a line that has not come to its end."""
        return len(self._received)

    def wait(self) -> bool:
        """Wait a moment for something to come; false once the connection is over or it is time to stop."""
        if not self.is_over and not self._stop.is_set():
            self._wait(selectors.EVENT_READ)
        return not self.is_over and not self._stop.is_set()

    def finish(self) -> bool:
        """Say that nothing follows, and wait until the other side has closed too; whether it did in order."""
        try:
            self._connection.shutdown(socket.SHUT_WR)
        except OSError as problem:
            self._end(problem)
        while self.wait():
            self.lines()
        return self.is_over and self.problem is None

    def close(self) -> None:
        """Give the connection back."""
        self._selector.close()
        self._connection.close()

    def __enter__(self) -> Link:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> None:
        """Some of what has come, so that whoever sends without end keeps us from nothing."""
        if self.is_over:
            return
        try:
            received = self._connection.recv(65536)
        except BlockingIOError:
            return
        except OSError as problem:
            self._end(problem)
            return
        if not received:
            self._end(None)
        elif self._answers:
            self._received += received
            if len(self._received) > _MOST_BACK_BYTES:
                self._end(OSError(errno.EMSGSIZE, "more has come back than there can be answers"))

    def _wait(self, events: int) -> None:
        self._selector.modify(self._connection, events)
        self._selector.select(_LOOK_S)

    def _end(self, problem: OSError | None) -> None:
        if not self.is_over:
            self.is_over, self.problem = True, problem


class Peer:
    """Whoever takes what is sent to an address, one connection at a time.

    With ``listen`` it is whoever connects to the address, which is bound at once; port 0 takes a free one,
    and ``port`` says which. Others who connect meanwhile wait in line. Without, the address is connected to,
    again and again, with pauses that grow to 5 s, until somebody answers. ``waiting`` is told when nobody is
    there. ``answers`` is that of each :class:`Link`.

    Raises ``StorageError`` for an address that cannot be listened at, ``ArgumentError`` for a host that
    does not exist.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        listen: bool,
        stop: threading.Event,
        waiting: Callable[[str], object] = lambda message: None,
        answers: bool = True,
    ) -> None:
        self._host, self._stop, self._waiting = host, stop, waiting
        self._answers = answers
        self._pause_s = 0.0
        self._has_answered = False
        self._told = False
        self._server = _listening(host, port) if listen else None
        self.port: int = self._server.getsockname()[1] if self._server is not None else port

    @property
    def address(self) -> str:
        """Where it is, as a URL."""
        return shown_address(self._host, self.port)

    def next(self) -> Link | None:
        """The next connection; waits for it as long as it takes. ``None`` if it is time to stop."""
        connection = self._accepted() if self._server is not None else self._connected()
        if connection is None:
            return None
        self._told, self._has_answered = False, True
        return Link(connection, self._stop, answers=self._answers)

    def has_taken(self) -> None:
        """The last connection was of use, so there is no reason to hesitate long with the next."""
        self._pause_s = min(self._pause_s, _PAUSE_MIN_S)

    def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accepted(self) -> socket.socket | None:
        assert self._server is not None
        self._tell(f"Waiting for a connection to {self.address}.")
        while not self._stop.is_set():
            try:
                return self._server.accept()[0]
            except TimeoutError:
                continue
            except ConnectionError:  # it was gone before it was taken
                continue
        return None

    def _connected(self) -> socket.socket | None:
        while not self._stop.wait(self._pause_s):
            self._pause_s = min(max(2 * self._pause_s, _PAUSE_MIN_S), _PAUSE_MAX_S)
            try:
                return socket.create_connection((self._host, self.port), timeout=_CONNECT_S)
            except OSError as problem:
                if isinstance(problem, socket.gaierror) and not self._has_answered:
                    raise ArgumentError(f"{self.address}: {problem.strerror or problem}") from problem
                self._tell(f"Nobody answers at {self.address} ({problem.strerror or problem}); trying again.")
        return None

    def _tell(self, message: str) -> None:
        if not self._told:
            self._told = True
            self._waiting(message)


def _listening(host: str, port: int) -> socket.socket:
    address = shown_address(host, port)
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        server = socket.create_server((host, port), family=family)
    except socket.gaierror as problem:
        raise ArgumentError(f"{address}: {problem.strerror or problem}") from problem
    except OSError as problem:
        reason = os.strerror(problem.errno) if problem.errno else str(problem)
        hint = " Hint: another program listens there." if problem.errno == errno.EADDRINUSE else ""
        raise StorageError(f"cannot listen at {address}: {reason}.{hint}") from problem
    server.settimeout(_LOOK_S)
    return server
