"""S3 servers of other people, in processes of their own, and a proxy that makes them fail.

Nothing here leaves the machine: the servers listen on the loopback address, and the clients are given keys,
so that they ask nobody for any.
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import os
import socket
import struct
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import fsspec
import pytest

__all__ = [
    "SERVERS",
    "Proxy",
    "Reaction",
    "Request",
    "bucket_at",
    "configured",
    "environment",
    "free_port",
    "running",
]

SERVERS = ("moto", "ministack")
_TRIES = 600
_TRY_S = 0.05
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": "us-east-1"}


@contextmanager
def running(name: str, folder: Path) -> Iterator[str]:
    """One of ``SERVERS``, until the end of the block; its URL."""
    with (folder / f"{name}.log").open("w") as log:
        process, port = _started(name, folder, log)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


def _started(name: str, folder: Path, log: object) -> tuple[subprocess.Popen[bytes], int]:
    for _ in range(3):  # somebody else may have taken the port
        port = free_port()
        if name == "moto":
            command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        else:
            command = [sys.executable, "-m", "ministack"]
        environ = {
            **os.environ, **KEYS,
            "AWS_EC2_METADATA_DISABLED": "true",
            "GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "SERVICES": "s3", "LOG_LEVEL": "WARNING",
            "TMPDIR": str(folder), "S3_DATA_DIR": str(folder / "data"),
        }  # fmt: skip
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environ, cwd=folder)  # type: ignore[call-overload]
        if _answers(process, port):
            return process, port
        process.kill()
        process.wait(10)
    raise AssertionError(f"{name} does not start:\n{(folder / f'{name}.log').read_text()}")


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    for _ in range(_TRIES):
        try:
            socket.create_connection(("127.0.0.1", port), 5).close()
        except OSError:
            try:
                process.wait(_TRY_S)
            except subprocess.TimeoutExpired:
                continue
            return False
        return True
    return False


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def environment(endpoint: str) -> dict[str, str]:
    """What a user would set to have a program use that server."""
    return {"AWS_ENDPOINT_URL": endpoint, **KEYS, "AWS_EC2_METADATA_DISABLED": "true"}


@contextmanager
def configured(endpoint: str, **more: object) -> Iterator[None]:
    """Have ``s3://`` mean that server within the block, as by fsspec's configuration."""
    options = {
        "endpoint_url": endpoint, "key": "testing", "secret": "testing",
        "client_kwargs": {"region_name": "us-east-1"}, **more,
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(fsspec.config.conf, "s3", options)
        yield


def bucket_at(endpoint: str) -> str:
    """A new bucket there; its name."""
    name = f"penstock-{uuid.uuid4().hex}"
    with configured(endpoint):
        fsspec.filesystem("s3").call_s3("create_bucket", Bucket=name)
    return name


@dataclass
class Request:
    """What a client asked for; ``answer`` is what it was told, ``None`` as long as it waits."""

    method: str
    path: str
    query: str
    number: int
    body: int
    headers: dict[str, str] = field(repr=False)
    answer: int | None = None

    @property
    def key(self) -> str:
        """The object's name, without the bucket."""
        return self.path.lstrip("/").partition("/")[2]


@dataclass(frozen=True)
class Reaction:
    """What the proxy does to a request. ``status`` is answered in place of the server, with ``code`` or
    ``body``; ``before`` and ``after`` break the connection before the request was done, or after; ``cut``
    leaves the answer's body short by half; ``until`` is waited for before the answer is sent."""

    status: int = 0
    code: str = ""
    body: bytes = b""
    before: bool = False
    after: bool = False
    cut: bool = False
    until: threading.Event | None = None


class Proxy:
    """In front of a server: notes each request, and does to it what ``react`` says (``None``: nothing). With
    ``page``, a listing's pages hold at most so many names."""

    def __init__(self, endpoint: str) -> None:
        self.page: int | None = None
        self.requests: list[Request] = []
        self.react: Callable[[Request], Reaction | None] = lambda request: None
        self._target = urlsplit(endpoint)
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @contextmanager
    def reacting(self, react: Callable[[Request], Reaction | None]) -> Iterator[list[Request]]:
        """Within the block, react so; the list of the requests of the block, which grows."""
        requests: list[Request] = []
        before, self.requests, self.react = self.react, requests, react
        try:
            yield requests
        finally:
            self.react = before

    def counting(self) -> contextlib.AbstractContextManager[list[Request]]:
        """The requests of a block."""
        return self.reacting(lambda request: None)

    def noted(self, method: str, target: str, body: int, headers: dict[str, str]) -> Request:
        split = urlsplit(target)
        with self._lock:
            request = Request(method, unquote(split.path), split.query, len(self.requests), body, headers)
            self.requests.append(request)
        return request

    def forwarded(self, method: str, target: str, headers: dict[str, str], body: bytes) -> _Answer:
        if self.page is not None and "list-type=2" in target:
            target += f"&max-keys={self.page}"
        connection = http.client.HTTPConnection(self._target.hostname or "", self._target.port, timeout=60)
        try:
            connection.request(method, target, body or None, headers)
            answer = connection.getresponse()
            return _Answer(answer.status, answer.getheaders(), answer.read())
        finally:
            connection.close()


@dataclass
class _Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a client may keep its connection
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], proxy: Proxy) -> None:
        self.proxy = proxy
        super().__init__(address, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client that has gone away
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a body waits for the acknowledgement of its head
    server: _Server

    def _handle(self) -> None:
        body = self._body()
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _OURS}
        request = self.server.proxy.noted(self.command, self.path, len(body), headers)
        reaction = self.server.proxy.react(request) or Reaction()
        if reaction.before:
            return self._break()
        if reaction.status:
            error = f"<Error><Code>{reaction.code}</Code><Message>by the proxy</Message></Error>".encode()
            answer = _Answer(reaction.status, [("Content-Type", "application/xml")], reaction.body or error)
        else:
            answer = self.server.proxy.forwarded(self.command, self.path, headers, body)
        if reaction.until is not None:
            reaction.until.wait(60)
        if reaction.after:
            return self._break()
        request.answer = answer.status
        self._send(answer, reaction.cut)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline() not in (b"\r\n", b""):
            pass
        return b"".join(pieces)

    def _send(self, answer: _Answer, cut: bool) -> None:
        self.send_response_only(answer.status)
        length = str(len(answer.body))
        for name, value in answer.headers:
            if name.lower() == "content-length":
                length = value  # that of an answer to HEAD is not the body's
            elif name.lower() not in _OURS:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[: len(answer.body) // 2] if cut else answer.body)
        if cut:
            self.wfile.flush()
            self.close_connection = True

    def _break(self) -> None:
        """End the connection with a reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle


_OURS = {"connection", "keep-alive", "transfer-encoding", "expect", "content-length"}
