"""The server of pages: Starlette on uvicorn, on a thread of its own. The one file that knows either.

It runs beside a stream and can fall without it: nothing here is waited for by a batch. What it takes is
bounded: connections, headers, bodies, the time in which a question has to arrive and an answer to be read.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from penstock.clock import SystemClock
from penstock.errors import ArgumentError, StateError, UnsupportedError, UsageError
from penstock.monitor.guard import SECURITY_HEADERS, Guard, Refusal, is_loopback, new_token
from penstock.monitor.web import NotFound, Reply, Request, Route, StreamRoute

__all__ = ["PORTS_TRIED", "PageServer", "load_gently", "must_be_installed"]

_log = logging.getLogger(__name__)
_connections_log = logging.getLogger(f"{__name__}.connections")
_connections_log.setLevel(logging.CRITICAL)  # what strangers send is not worth a line each

PORTS_TRIED = 16
"""How many ports are tried, from the wanted one on, as Spark does."""

_THREADS = 4  # that answer questions
_HEADER_BYTES = 16 * 1024
_LAST_WORDS_S = 1.0  # for what is on its way to readers when the server ends
_LOOK_S = 0.01


def must_be_installed() -> None:
    """``UnsupportedError`` without the libraries that pages need."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise _missing(error.name) from error


def _missing(name: str | None) -> UnsupportedError:
    return UnsupportedError(f"pages need {name}, which is not installed. Hint: pip install 'penstock[ui]'.")


# What a server needs, in steps: each takes Python's lock for some milliseconds. First what others need of the
# standard library, then the libraries from below.
_STEPS = (
    "ssl", "http.client", "email.utils", "logging.config", "multiprocessing.connection", "subprocess",
    "click", "anyio", "starlette.datastructures", "starlette.requests", "starlette.responses",
    "starlette.routing", "starlette.applications", "uvicorn", "h11", "uvicorn.protocols.http.h11_impl",
)  # fmt: skip
_SHARE = 5


def load_gently(pause: Callable[[float], object]) -> None:
    """Load what a server needs while something else is at work: after each step ``pause`` is called with how
    many seconds to wait, so that it takes no more than a fifth of one thread. ``UnsupportedError`` without
    the libraries."""
    clock = SystemClock()
    for name in _STEPS:
        if name in sys.modules:
            continue
        begun_ns = clock.elapsed_ns()
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise _missing(error.name) from error
        pause((clock.elapsed_ns() - begun_ns) / 1e9 * (_SHARE - 1))


class PageServer:
    """Serves ``routes`` on ``host`` and ``port``, or one of the next 15 ports if that is taken; port 0 is any
    free one.

    Only this machine reaches it unless ``host`` says otherwise, and then only who knows ``token``: without
    one a token is made. ``names`` are further names by which the server may be called. ``connections`` is how
    many may be open; with one more, the one that has been idle for longest is closed. A question has to
    arrive within ``idle_s``, and a reader that takes nothing for ``stuck_s`` is dropped.

    >>> server = PageServer([Route("/", lambda request: Reply.text("hello"))], port=0)
    >>> url = server.start()
    >>> import urllib.request
    >>> urllib.request.urlopen(url).read()
    b'hello'
    >>> server.stop()
    True
    """

    def __init__(
        self,
        routes: Iterable[Route | StreamRoute],
        host: str = "127.0.0.1",
        port: int = 4040,
        token: str | None = None,
        *,
        names: Iterable[str] = (),
        connections: int = 256,
        idle_s: float = 10.0,
        stuck_s: float = 10.0,
    ) -> None:
        if not 0 <= port <= 65535:
            raise ArgumentError(f"a port is a whole number from 0 to 65535, not {port}. Hint: 4040.")
        if token is not None and len(token) < 16:
            raise ArgumentError("a token needs 16 characters or more. Hint: leave it out, and one is made.")
        self._routes = list(routes)
        self._host = host
        self._wanted = port
        self.token = token if token is not None or is_loopback(host) else new_token()
        self._guard = Guard(host, self.token, names)
        self._connections = connections
        self._idle_s = idle_s
        self._stuck_s = stuck_s
        self._thread: threading.Thread | None = None
        self._server: Any = None
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="penstock-answers")
        self._port = 0

    def start(self) -> str:
        """Begin to serve; the address to look at. ``UnsupportedError`` without the ``ui`` extra,
        ``StateError`` a second time, ``OSError`` if no port is free."""
        must_be_installed()
        if self._thread is not None:
            raise StateError("this server has been started already. Hint: make a new one.")
        listener = self._listener()
        self._port = listener.getsockname()[1]
        self._server = self._made_server()
        self._thread = threading.Thread(
            target=self._run, args=(listener,), name="penstock-pages", daemon=True
        )
        self._thread.start()
        return self.url

    @property
    def port(self) -> int:
        """The port that it has got; 0 before the start."""
        return self._port

    @property
    def url(self) -> str:
        """Where to look, without the token."""
        host = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(self._host, self._host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self._port}/"

    @property
    def entrance(self) -> str:
        """Where to look, with the token if there is one: for the eyes of who started it."""
        return self.url if self.token is None else f"{self.url}?token={self.token}"

    @property
    def running(self) -> bool:
        """Whether it still serves."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self, timeout_s: float = 3.0) -> bool:
        """End it; whether it has ended within that time. Again, or before the start: nothing happens."""
        if self._thread is None:
            return True
        self._server.leave()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _listener(self) -> socket.socket:
        ports = [0] if self._wanted == 0 else range(self._wanted, min(self._wanted + PORTS_TRIED, 65536))
        error: OSError | None = None
        for port in ports:
            try:
                return socket.create_server(
                    (self._host, port),
                    family=socket.AF_INET6 if ":" in self._host else socket.AF_INET,
                    backlog=128,
                )
            except OSError as problem:
                error = problem
                if problem.errno != _taken():
                    break
        assert error is not None
        raise OSError(
            error.errno,
            f"no page can be served on {self._host}, ports {ports[0]} to {ports[-1]}: {error.strerror}. "
            f"Hint: another spark.ui.port, or 0 for any.",
        ) from error

    def _run(self, listener: socket.socket) -> None:
        try:
            asyncio.run(self._serve(listener))
        except BaseException:
            _log.exception("the server of pages has fallen; the stream goes on")
        finally:
            listener.close()
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def _serve(self, listener: socket.socket) -> None:
        sweeper = asyncio.create_task(self._sweep())
        try:
            await self._server.serve(sockets=[listener])
        finally:
            sweeper.cancel()

    async def _sweep(self) -> None:
        """Close what has been idle, and drop what has not been read, for too long."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(1.0, self._idle_s / 2, self._stuck_s / 2))
            for connection in list(self._server.server_state.connections):
                connection.look(loop.time(), self._idle_s, self._stuck_s)

    def _made_server(self) -> Any:
        import uvicorn

        config = uvicorn.Config(
            _Front(self._guard, _application(self._routes, self._threads), self._port),
            http=_connection_class(self._connections),
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            h11_max_incomplete_event_size=_HEADER_BYTES,
            timeout_graceful_shutdown=1,
        )
        return _quiet(uvicorn.Server)(config)


def _taken() -> int:
    import errno

    return errno.EADDRINUSE


def _quiet(server_class: Any) -> Any:
    """A server that waits for what comes, where uvicorn's looks around ten times a second: each time it takes
    Python's lock from the batch that runs. It ends within :data:`_LAST_WORDS_S`, whoever still reads: what is
    being answered, and streams that are over, are sent to their ends, and the rest is cut off."""

    class Server(server_class):  # type: ignore[misc]
        _end: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

        async def main_loop(self) -> None:
            await self.on_tick(0)  # which has the headers made that all answers have
            end = asyncio.Event()
            self._end = asyncio.get_running_loop(), end
            if not self.should_exit:
                await end.wait()

        def leave(self) -> None:
            """Let it end; on any thread, at any time."""
            self.should_exit = True
            if self._end is not None:
                loop, end = self._end
                with suppress(RuntimeError):  # it has ended
                    loop.call_soon_threadsafe(end.set)

        async def shutdown(self, sockets: Any = None) -> None:
            for listening in self.servers:
                listening.close()
            state = self.server_state
            try:
                async with asyncio.timeout(_LAST_WORDS_S):
                    while state.tasks:
                        await asyncio.wait(state.tasks)
                    while state.connections:
                        for connection in list(state.connections):
                            connection.transport.close()  # once what was written is sent
                        await asyncio.sleep(_LOOK_S)
            except TimeoutError:
                pass
            for connection in list(state.connections):
                connection.transport.abort()
            for task in list(state.tasks):
                task.cancel()
            await asyncio.gather(*state.tasks, return_exceptions=True)

    return Server


def _connection_class(limit: int) -> Any:
    """uvicorn's HTTP/1.1 with bounds: how many connections there are, how long they may be silent."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Connection(H11Protocol):
        quiet_since: float | None = None
        stuck_since: float | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.logger = _connections_log
            self.quiet_since = self.loop.time()
            if len(self.connections) > limit:
                idle = [c for c in self.connections if isinstance(c, Connection) and not c.busy]
                oldest = min(idle, key=lambda c: c.quiet_since or 0.0, default=self)
                oldest.transport.abort()
                self.connections.discard(oldest)

        @property
        def busy(self) -> bool:
            """Whether a question is being answered."""
            return self.cycle is not None and not self.cycle.response_complete

        def look(self, now: float, idle_s: float, stuck_s: float) -> None:
            """End it if it is time."""
            if self.stuck_since is not None and now - self.stuck_since > stuck_s:
                self.transport.abort()
            elif self.busy:
                self.quiet_since = None
            elif self.quiet_since is None:
                self.quiet_since = now
            elif now - self.quiet_since > idle_s:
                self.transport.abort()

        def pause_writing(self) -> None:
            self.stuck_since = self.loop.time()
            super().pause_writing()

        def resume_writing(self) -> None:
            self.stuck_since = None
            super().resume_writing()

        def _should_upgrade(self) -> bool:
            return False

    return Connection


# ----------------------------------------------------------------------------------- the application

_Scope = Any
_Receive = Callable[[], Any]
_Send = Callable[[Any], Any]


class _Front:
    """The guard before the application, and the headers on every answer."""

    def __init__(self, guard: Guard, inner: Any, port: int) -> None:
        self._guard = guard
        self._inner = inner
        self._port = port
        self._headers = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        query = scope["query_string"].decode("latin-1")
        refusal = self._guard.refuses(scope["method"], scope["path"], query, headers, self._port)

        async def send_on(message: Any) -> None:
            if message["type"] == "http.response.start":
                known = {name for name, _ in message["headers"]}
                message["headers"] += [pair for pair in self._headers if pair[0] not in known]
                if b"cache-control" not in known:
                    message["headers"].append((b"cache-control", b"no-store"))
            await send(message)

        if refusal is None:
            await self._inner(scope, receive, send_on)
        else:
            await _refuse(refusal, send_on)


async def _refuse(refusal: Refusal, send: _Send) -> None:
    body = f"{refusal.text}\n".encode() if refusal.text else b""
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),  # what else comes on it is not read
        *((name.lower().encode(), value.encode("latin-1")) for name, value in refusal.headers.items()),
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _application(routes: Sequence[Route | StreamRoute], threads: ThreadPoolExecutor) -> Any:
    from starlette.applications import Starlette
    from starlette.routing import Route as Path

    paths = [
        Path(
            route.path,
            _Answered(route, threads) if isinstance(route, Route) else _Streamed(route),
            methods=["GET", "HEAD"],
        )
        for route in routes
    ]
    application = Starlette(routes=paths)
    application.router.redirect_slashes = False
    return application


class _Answered:
    def __init__(self, route: Route, threads: ThreadPoolExecutor) -> None:
        self._route = route
        self._threads = threads

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        from starlette.responses import Response

        request = _request(scope)
        if self._route.quick:
            reply = self._reply(request)
        else:
            reply = await asyncio.get_running_loop().run_in_executor(self._threads, self._reply, request)
        headers = {**reply.headers, "content-type": reply.content_type}
        await Response(reply.body, reply.status, headers)(scope, receive, send)

    def _reply(self, request: Request) -> Reply:
        try:
            return self._route.answer(request)
        except NotFound as error:
            return Reply.json({"error": str(error)}, 404)
        except UsageError as error:
            return Reply.json({"error": str(error)}, 400)
        except Exception:
            _log.exception("%s could not be answered", self._route.path)
            return Reply.json({"error": "this could not be answered; the program's log says why"}, 500)


class _Streamed:
    def __init__(self, route: StreamRoute) -> None:
        self._route = route

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        pieces = None if scope["method"] == "HEAD" else self._route.open(_request(scope))
        if pieces is None and scope["method"] != "HEAD":
            await _refuse(Refusal(503, "there are too many readers", {"Retry-After": "5"}), send)
            return
        headers = [(b"content-type", self._route.content_type.encode()), (b"x-accel-buffering", b"no")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if pieces is None:
            await send({"type": "http.response.body", "body": b""})
            return
        gone = asyncio.create_task(_gone(receive, asyncio.current_task()))
        try:
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except asyncio.CancelledError:  # the reader is gone, or the server ends
            pass
        finally:
            gone.cancel()
            await _closed(pieces)


async def _gone(receive: _Receive, reader: asyncio.Task[Any] | None) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    if reader is not None:
        reader.cancel()


async def _closed(pieces: AsyncIterator[bytes]) -> None:
    close = getattr(pieces, "aclose", None)
    if close is not None:
        await close()


def _request(scope: _Scope) -> Request:
    from starlette.requests import Request as Asked

    asked = Asked(scope)
    query: dict[str, str] = {}
    for name, value in asked.query_params.multi_items():
        query.setdefault(name, value)
    return Request(
        {name: str(value) for name, value in asked.path_params.items()}, query, dict(asked.headers)
    )
