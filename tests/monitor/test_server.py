"""The server of pages, attacked from outside over real sockets."""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator

import pytest

from penstock.errors import ArgumentError, StateError, UnsupportedError
from penstock.monitor.assets import asset, static_files
from penstock.monitor.feed import Feed
from penstock.monitor.server import PageServer
from penstock.monitor.web import NotFound, Reply, Request, Route, StreamRoute
from tests.monitor.conftest import Serve, ask, is_closed, reading, until

HELLO = Route("/", lambda request: Reply.text("hello"))


def test_a_page_is_served_with_all_that_protects_it(serve: Serve) -> None:
    answer = ask(serve(HELLO), "/")
    assert (answer.status, answer.body) == (200, b"hello")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert "server" not in answer.headers
    assert "access-control-allow-origin" not in answer.headers


def test_refusals_are_protected_too(serve: Serve) -> None:
    answer = ask(serve(HELLO), "/", Host="evil.example")
    assert answer.status == 421
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert b"hello" not in answer.body


def test_head_is_get_without_the_body(serve: Serve) -> None:
    answer = ask(serve(HELLO), "/", "HEAD")
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "5")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_a_call_that_would_change_something_is_refused_before_any_route(serve: Serve, method: str) -> None:
    called: list[Request] = []
    server = serve(Route("/", lambda request: called.append(request) or Reply.text("")))
    answer = ask(server, "/", method)
    assert (answer.status, answer.headers["allow"], called) == (405, "GET, HEAD", [])


def test_a_big_body_is_not_read(serve: Serve) -> None:
    """It is answered before the body has come, and the connection is closed on the rest."""
    server = serve(HELLO)
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000000\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")
        assert is_closed(connection)
    assert ask(server, "/").status == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 10,  # a TLS greeting
        b"GET / HTTP/1.1\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
)
def test_headers_are_bounded_and_nonsense_is_refused(
    serve: Serve, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(HELLO)
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(sent)
        assert connection.recv(4096).startswith(b"HTTP/1.1 4")
    assert ask(server, "/").status == 200
    assert caplog.records == []  # what strangers send fills no log


def test_a_websocket_gets_a_page_like_anybody(serve: Serve) -> None:
    answer = ask(serve(HELLO), "/", Upgrade="websocket", Connection="Upgrade")
    assert answer.status == 200


def test_connections_that_say_nothing_make_room_for_those_that_ask(serve: Serve) -> None:
    server = serve(HELLO, connections=50, idle_s=60)
    silent = []
    try:
        for _ in range(1_000):
            silent.append(socket.create_connection(("127.0.0.1", server.port), timeout=10))
        assert ask(server, "/").status == 200
        until(lambda: len(server._server.server_state.connections) <= 50)
        assert all(is_closed(connection) for connection in silent[:900])
    finally:
        for connection in silent:
            connection.close()
    assert ask(server, "/").status == 200


def test_a_question_that_never_ends_is_not_waited_for(serve: Serve) -> None:
    server = serve(HELLO, idle_s=0.2)
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        assert is_closed(connection)
    assert server.running


def test_a_reader_that_takes_nothing_is_dropped(serve: Serve) -> None:
    feed = Feed(line=4)
    server = serve(feed.route("/events"), HELLO, stuck_s=0.2)
    with reading(server, "/events", buffer=4096):
        until(lambda: feed.readers == 1)
        while feed.readers:  # bounded: it is dropped within a second or so
            feed.publish("flood", "x" * 100_000)
            threading.Event().wait(0.005)
        assert feed.readers == 0
    assert ask(server, "/").status == 200


def test_a_reader_that_goes_is_forgotten(serve: Serve) -> None:
    feed = Feed()
    server = serve(feed.route("/events"))
    connection = reading(server, "/events")
    until(lambda: feed.readers == 1)
    connection.close()
    until(lambda: feed.readers == 0)
    until(lambda: not server._server.server_state.connections)


def test_one_reader_too_many_is_told_so(serve: Serve) -> None:
    feed = Feed(readers=2)
    server = serve(feed.route("/events"))
    with reading(server, "/events"), reading(server, "/events"):
        until(lambda: feed.readers == 2)
        answer = ask(server, "/events")
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")


def test_the_head_of_a_stream_ends(serve: Serve) -> None:
    feed = Feed()
    answer = ask(serve(feed.route("/events")), "/events", "HEAD")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")
    assert feed.readers == 0


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/..%2fserver.py",
        "/static/%2e%2e/server.py",
        "/static/....//server.py",
        "/static//etc/passwd",
        "/static/%00",
        "/static/",
        "/static",
        "/static/x.js/../../__init__.py",
    ],
)
def test_a_static_path_never_leads_out_of_its_folder(serve: Serve, path: str) -> None:
    server = serve(*static_files(), asset("/static/x.js", b"1", "js"))
    answer = ask(server, path)
    assert answer.status in (400, 404)
    assert b"import" not in answer.body
    assert ask(server, "/static/x.js").body == b"1"


def test_a_file_that_the_browser_has_is_not_sent_again(serve: Serve) -> None:
    server = serve(asset("/x.js", lambda: b"let x", "js"))
    first = ask(server, "/x.js")
    again = ask(server, "/x.js", If_None_Match=first.headers["etag"])
    assert (first.status, first.body, again.status, again.body) == (200, b"let x", 304, b"")


def test_errors_of_an_answer_say_nothing_of_the_inside(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(error: Exception) -> Route:
        def answer(request: Request) -> Reply:
            raise error

        return Route(f"/{type(error).__name__}", answer)

    server = serve(
        fails(NotFound("no such batch")), fails(ArgumentError("a key is JSON")), fails(OSError("a"))
    )
    assert ask(server, "/NotFound")[::2] == (404, b'{"error":"no such batch"}')
    assert ask(server, "/ArgumentError")[::2] == (400, b'{"error":"a key is JSON"}')
    assert not caplog.records
    answer = ask(server, "/OSError")
    assert answer.status == 500
    assert b"OSError" not in answer.body
    assert "/OSError could not be answered" in caplog.text


def test_an_answer_that_takes_long_keeps_nobody_else_waiting(serve: Serve) -> None:
    go_on = threading.Event()
    server = serve(Route("/slow", lambda request: Reply.text(str(go_on.wait(20)))), HELLO)
    slow: list[bytes] = []
    thread = threading.Thread(target=lambda: slow.append(ask(server, "/slow").body))
    thread.start()
    assert ask(server, "/").body == b"hello"
    go_on.set()
    thread.join(10)
    assert slow == [b"True"]


def test_the_token_of_an_open_server(serve: Serve) -> None:
    server = serve(HELLO, host="0.0.0.0")
    assert server.token is not None
    assert len(server.token) >= 43
    assert server.token in server.entrance
    assert server.token not in server.url
    assert ask(server, "/").status == 401
    assert ask(server, "/", Authorization="Bearer wrong").status == 401
    assert ask(server, "/", Authorization=f"Bearer {server.token}").status == 200
    moved = ask(server, f"/?token={server.token}")
    assert (moved.status, moved.headers["location"]) == (303, "/")
    cookie = moved.headers["set-cookie"].partition(";")[0]
    assert ask(server, "/", Cookie=cookie).status == 200


def test_a_local_server_needs_no_token_and_can_have_one(serve: Serve) -> None:
    assert serve(HELLO).token is None
    server = serve(HELLO, token="sixteen letters!")
    assert ask(server, "/").status == 401
    assert ask(server, "/", Authorization="Bearer sixteen letters!").status == 200


def test_a_short_token_and_an_impossible_port_are_refused() -> None:
    with pytest.raises(ArgumentError, match="16 characters"):
        PageServer([], token="short")
    with pytest.raises(ArgumentError, match="from 0 to 65535"):
        PageServer([], port=70_000)


def test_the_next_port_is_taken_if_one_is_not_free(serve: Serve) -> None:
    first = serve(HELLO)
    second = serve(HELLO, port=first.port)
    assert first.port < second.port < first.port + 16
    assert ask(second, "/").status == 200


def test_without_a_free_port_the_error_says_which_were_tried(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.monitor.server.PORTS_TRIED", 1)
    first = serve(HELLO)
    with pytest.raises(OSError, match=f"ports {first.port} to {first.port}.*Hint: another spark.ui.port"):
        PageServer([HELLO], port=first.port).start()


def test_only_the_loopback_is_bound(serve: Serve) -> None:
    server = serve(HELLO)
    ask(server, "/")
    [listening] = server._server.servers[0].sockets
    assert listening.getsockname()[0] == "127.0.0.1"
    assert server.url == f"http://127.0.0.1:{server.port}/"


def test_a_server_starts_once_and_stops_twice(serve: Serve) -> None:
    server = serve(HELLO)
    with pytest.raises(StateError, match="started already"):
        server.start()
    assert server.stop()
    assert server.stop()
    with pytest.raises(ConnectionRefusedError):
        ask(server, "/")
    assert PageServer([]).stop()


def test_it_stops_at_any_time() -> None:
    for is_up in (False, True):
        server = PageServer([HELLO], port=0)
        server.start()
        if is_up:
            until(lambda server=server: server._server.started)
        assert server.stop(5.0)
        server._server.leave()  # again, and too late


def test_it_looks_around_for_what_is_idle_and_for_nothing_else(serve: Serve) -> None:
    server = serve(HELLO)
    ask(server, "/")
    loop, _ = server._server._end
    until(lambda: sum(not timer.cancelled() for timer in list(loop._scheduled)) == 1)


def test_it_stops_whoever_still_reads(serve: Serve) -> None:
    feed = Feed()
    server = serve(feed.route("/events"))
    with reading(server, "/events") as connection:
        until(lambda: feed.readers == 1)
        assert server.stop(5.0)
        assert is_closed(connection)
    assert feed.readers == 0


def test_it_stops_though_a_reader_takes_nothing_of_the_last_words(serve: Serve) -> None:
    feed = Feed()
    server = serve(feed.route("/events"))
    with reading(server, "/events", buffer=4096):
        until(lambda: feed.readers == 1)
        feed.publish("flood", "x" * 20_000_000)
        feed.close()
        assert server.stop(5.0)
    assert feed.readers == 0


def test_readers_hear_the_last_words(serve: Serve) -> None:
    async def words(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for event in events:
            yield event
            await asyncio.sleep(0.15)  # longer than the server takes to see that it is to end
        yield b"x" * 3_000_000 + b" and good bye"

    feed = Feed()
    route = feed.route("/events")

    def opened(request: Request) -> AsyncIterator[bytes]:
        events = route.open(request)
        assert events is not None
        return words(events)

    server = serve(StreamRoute("/events", opened))
    with reading(server, "/events") as connection:
        until(lambda: feed.readers == 1)
        feed.close()
        ended = threading.Thread(target=server.stop, args=(5.0,))
        ended.start()
        heard = bytearray()
        while piece := connection.recv(1 << 20):
            heard += piece
        ended.join()
    assert b" and good bye" in heard
    assert not server.running


def test_the_servers_fall_is_logged_and_nothing_else(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    server = serve(HELLO)

    async def falls(sockets: object = None) -> None:
        raise RuntimeError("the roof")

    other = PageServer([HELLO], port=0)
    other._made_server = lambda: type("Falls", (), {"serve": staticmethod(falls)})()  # type: ignore[method-assign]
    with caplog.at_level(logging.ERROR):
        other.start()
        until(lambda: not other.running)
    assert "the server of pages has fallen; the stream goes on" in caplog.text
    assert ask(server, "/").status == 200


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_without_the_extra_it_says_what_to_install(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UnsupportedError, match=r"Hint: pip install 'penstock\[ui\]'"):
        PageServer([HELLO], port=0).start()


def test_what_a_server_needs_is_loaded_in_steps() -> None:
    """In a process of its own: here all of it is loaded already."""
    code = """
import sys
from penstock.monitor.server import load_gently
pauses = []
load_gently(pauses.append)
assert {"starlette.applications", "uvicorn"} <= set(sys.modules)
assert len(pauses) > 5 and min(pauses) > 0
load_gently(lambda pause: sys.exit("loaded twice"))
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
