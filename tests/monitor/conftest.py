"""Servers of pages for tests: on any free port, stopped at the end."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from penstock.monitor.server import PageServer
from penstock.monitor.web import Route, StreamRoute


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def until(happened: Callable[[], bool], *, seconds: float = 10.0) -> None:
    """Wait until something has happened on another thread; fail if it does not."""
    never = threading.Event()
    for _ in range(int(seconds / 0.005)):
        if happened():
            return
        never.wait(0.005)
    pytest.fail("it has not happened")


def ask(
    server: PageServer, path: str, method: str = "GET", body: bytes | None = None, **headers: str
) -> Answer:
    """One question on a connection of its own; names of headers with ``_`` for ``-``."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def reading(server: PageServer, path: str, *, buffer: int | None = None) -> socket.socket:
    """A connection that has asked for a stream and reads nothing by itself."""
    connection = socket.socket()
    if buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    connection.settimeout(10)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return connection


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side has closed it: what still comes is read."""
    connection.settimeout(10)
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


Serve = Callable[..., PageServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[PageServer] = []

    def serve(*routes: Route | StreamRoute, **options: object) -> PageServer:
        server = PageServer(routes, **{"port": 0, **options})  # type: ignore[arg-type]
        servers.append(server)
        server.start()
        return server

    yield serve
    for server in servers:
        assert server.stop(), "a server of pages has not ended"
