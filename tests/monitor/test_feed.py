"""The feed of events: what readers get, what they lose, and that nobody waits for them."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from typing import Any

import pytest

from penstock.errors import ArgumentError
from penstock.monitor.feed import Feed
from penstock.monitor.server import PageServer
from penstock.monitor.web import Request
from tests.monitor.conftest import Serve, until

Events = list[tuple[str, Any]]


class Reader:
    """A browser's ``EventSource``, as far as it matters here."""

    def __init__(self, server: PageServer, path: str = "/events", **headers: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request("GET", path, headers=named)
        self._answer = self._connection.getresponse()
        self.last = ""

    def next(self) -> tuple[str, Any]:
        """The next event and its data; comments are passed over."""
        event, data = "", ""
        while True:
            line = self._answer.readline().decode().rstrip("\n")
            name, _, value = line.partition(": ")
            match name:
                case "id":
                    self.last = value
                case "event":
                    event = value
                case "data":
                    data = value
                case "" if event:
                    return event, json.loads(data)

    def close(self) -> None:
        self._answer.close()
        self._connection.close()


def test_who_comes_late_gets_what_is_kept_and_then_what_comes(serve: Serve) -> None:
    feed = Feed(capacity=2)
    for number in range(3):
        feed.publish("n", number)
    reader = Reader(serve(feed.route("/events")))
    feed.publish("n", 3)
    assert [reader.next() for _ in range(3)] == [("n", 1), ("n", 2), ("n", 3)]
    reader.close()


def test_who_comes_back_gets_what_was_missed(serve: Serve) -> None:
    feed = Feed()
    server = serve(feed.route("/events"))
    for number in range(3):
        feed.publish("n", number)
    reader = Reader(server)
    assert reader.next() == ("n", 0)
    reader.close()
    again = Reader(server, Last_Event_ID=reader.last)
    assert again.next() == ("n", 1)
    again.close()
    by_query = Reader(server, f"/events?after={feed.name}-2")
    assert by_query.next() == ("n", 2)
    by_query.close()


@pytest.mark.parametrize("last", ["another-2", "2", "-", "", "x" * 1000, "-²"])
def test_who_comes_from_another_feed_gets_all(serve: Serve, last: str) -> None:
    feed = Feed()
    feed.publish("n", 1)
    reader = Reader(
        serve(feed.route("/events")), Last_Event_ID=last.encode("latin-1", "ignore").decode("latin-1")
    )
    assert reader.next() == ("n", 1)
    reader.close()


def test_hostile_data_stays_data(serve: Serve) -> None:
    feed = Feed()
    hostile = "<img src=x onerror=alert(1)>\n\nevent: forged\ndata: 1\n\n\u2028"
    feed.publish("n", {"symbol": hostile, "rate": float("inf"), "other": {1, 2}.__class__})
    reader = Reader(serve(feed.route("/events")))
    event, data = reader.next()
    assert (event, data["symbol"], data["rate"]) == ("n", hostile, None)
    reader.close()


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "a:b", "1", "ä"])
def test_a_name_that_would_break_the_stream_is_refused(name: str) -> None:
    with pytest.raises(ArgumentError, match="an event's name"):
        Feed().publish(name, 1)


def test_bounds_are_checked() -> None:
    with pytest.raises(ArgumentError, match="capacity of a feed"):
        Feed(0)


def test_a_reader_that_is_slow_loses_events_and_is_told_how_many() -> None:
    async def run() -> list[bytes]:
        feed = Feed(line=2)
        events = feed._open(Request())
        assert events is not None
        got = [await anext(events)]
        for number in range(5):
            feed.publish("n", number)
        got.append(await anext(events))
        feed.close()
        got += [piece async for piece in events]
        return got

    first, rest = asyncio.run(run())
    assert first == b"retry: 1000\n\n"
    assert rest.startswith(b'event: lost\ndata: {"events":3}\n\n')
    assert b"data: 2" not in rest
    assert b"data: 3" in rest
    assert b"data: 4" in rest


def test_a_reader_with_nothing_to_hear_gets_signs_of_life() -> None:
    async def run() -> bytes:
        feed = Feed(heartbeat_s=0.01)
        events = feed._open(Request())
        assert events is not None
        await anext(events)
        return await anext(events)

    assert asyncio.run(run()) == b": still here\n\n"


def test_many_threads_publish_and_nothing_is_torn_or_twice(serve: Serve) -> None:
    feed = Feed(capacity=2000, line=2000)
    reader = Reader(serve(feed.route("/events")))

    def publish(thread: int) -> None:
        for number in range(200):
            feed.publish("n", [thread, number])

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    got = [reader.next()[1] for _ in range(1000)]
    for thread in threads:
        thread.join()
    assert sorted(got) == [[thread, number] for thread in range(5) for number in range(200)]
    for thread in range(5):
        assert [number for t, number in got if t == thread] == list(range(200))
    reader.close()


def test_whoever_publishes_wakes_a_loop_once_for_many_events() -> None:
    """What fifty readers cost the thread that publishes: one call, however many events wait."""

    async def run() -> int:
        feed, loop = Feed(), asyncio.get_running_loop()
        calls = 0
        real = loop.call_soon_threadsafe

        def counted(*arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            return real(*arguments)

        loop.call_soon_threadsafe = counted  # type: ignore[method-assign]
        readers = [feed._open(Request()) for _ in range(50)]
        for reader in readers:
            assert reader is not None
            await anext(reader)
        for number in range(100):
            feed.publish("n", number)
        return calls

    assert asyncio.run(run()) == 1


def test_a_feed_outlives_a_server_and_serves_the_next(serve: Serve) -> None:
    feed = Feed()
    first = serve(feed.route("/events"))
    reader = Reader(first)
    until(lambda: feed.readers == 1)
    first.stop()
    reader.close()
    feed.publish("n", 1)
    second = Reader(serve(feed.route("/events")))
    assert second.next() == ("n", 1)
    second.close()


def test_after_the_end_nothing_is_published_and_nobody_let_in() -> None:
    async def run() -> object:
        return feed._open(Request())

    feed = Feed()
    feed.close()
    feed.publish("n", 1)
    assert feed.kept() == []
    assert asyncio.run(run()) is None


def test_many_readers_are_sent_several_events_together_and_the_last_at_once() -> None:
    async def pieces() -> None:
        feed = Feed(1)
        opened = [feed._open(Request()) for _ in range(11)]
        readers = [reader for reader in opened if reader is not None]
        for reader in readers:
            await anext(reader)
        feed.publish("n", 1)
        assert [b"data: 1\n" in await anext(reader) for reader in readers] == [True] * 11
        feed.publish("n", 2)
        await asyncio.sleep(0)
        feed.publish("n", 3)
        for reader in readers:
            piece = await anext(reader)
            assert b"data: 2\n" in piece
            assert b"data: 3\n" in piece
        feed.publish("n", 4)
        feed.close()
        begun = asyncio.get_running_loop().time()
        for reader in readers:
            assert [b"data: 4\n" in piece async for piece in reader] == [True]
        assert asyncio.get_running_loop().time() - begun < 0.3

    asyncio.run(pieces())
