"""A feed of events for pages: published from any thread, pushed to whoever reads it.

::

    publish(event, data) --+--> newest events, for who comes late
                           +--> a bounded line for each reader ---> the server's loop ---> a browser

An event becomes text once, not once a reader. Whoever publishes never waits for a reader: one that is too
slow loses events, and is told how many.
"""

from __future__ import annotations

import asyncio
import re
import threading
import uuid
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from penstock.errors import ArgumentError
from penstock.monitor.web import Request, StreamRoute, json_text

__all__ = ["Feed"]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_MANY = 10  # readers; more than that are woken so often only:
_PACE_S = 0.4
_HEARTBEAT = b": still here\n\n"


class Feed:
    """``capacity`` events are kept for those who come late; ``line`` events may wait for one reader, of whom
    there may be ``readers``. A reader that has nothing to hear is sent a comment every ``heartbeat_s``.

    Numbers of events are ``<feed>-<number>``: a browser that comes back says which it has seen last
    (``Last-Event-ID``), and gets those after it, or all that are kept where that was another feed's.

    >>> feed = Feed()
    >>> feed.publish("orders", {"buys": 3})
    >>> [event.partition(b"event: ")[2] for event in feed.kept()]
    [b'orders\\ndata: {"buys":3}\\n\\n']
    """

    def __init__(
        self, capacity: int = 256, *, line: int = 256, readers: int = 200, heartbeat_s: float = 10.0
    ) -> None:
        for name, value in (("capacity", capacity), ("line", line), ("readers", readers)):
            if value < 1:
                raise ArgumentError(f"{name} of a feed must be 1 or more, not {value}")
        self._name = uuid.uuid4().hex[:12]
        self._line = line
        self._readers_max = readers
        self._heartbeat_s = heartbeat_s
        self._lock = threading.Lock()  # of all that follows
        self._kept: deque[tuple[int, bytes]] = deque(maxlen=capacity)
        self._count = 0
        self._readers: set[_Reader] = set()
        self._loops: dict[asyncio.AbstractEventLoop, bool] = {}  # and whether it has been called already
        self._handed_out: dict[asyncio.AbstractEventLoop, float] = {}  # when last, by the loop's clock
        self._closed = False

    @property
    def name(self) -> str:
        """What tells this feed's numbers from those of another."""
        return self._name

    @property
    def readers(self) -> int:
        """How many read it now."""
        return len(self._readers)

    def kept(self) -> list[bytes]:
        """The newest events, the oldest first, as they are sent."""
        with self._lock:
            return [frame for _, frame in self._kept]

    def publish(self, event: str, data: Any) -> None:
        """Send ``data``, anything that JSON can say, under the name ``event`` to all readers, and keep it for
        later ones. Never waits. After :meth:`close` nothing happens."""
        if not _NAME.fullmatch(event):
            raise ArgumentError(
                f"an event's name is letters, digits, '_', '.' and '-', not {event!r}. Hint: 'orders'."
            )
        text = json_text(data)
        with self._lock:
            if self._closed:
                return
            self._count += 1
            frame = f"id: {self._name}-{self._count}\nevent: {event}\ndata: {text}\n\n".encode()
            self._kept.append((self._count, frame))
            for reader in self._readers:
                reader.put(frame)
            self._wake()

    def close(self) -> None:
        """No more events: readers hear what waits for them, and that it is the end."""
        with self._lock:
            self._closed = True
            self._loops = dict.fromkeys(self._loops, False)  # whoever is to be woken later is woken now
            self._wake()

    def route(self, path: str) -> StreamRoute:
        """The feed as a page reads it, with ``EventSource``."""
        return StreamRoute(path, self._open)

    def _wake(self) -> None:
        """Have each loop look after its readers: one call, however many events and readers there are."""
        for loop, called in list(self._loops.items()):
            if not called:
                try:
                    loop.call_soon_threadsafe(self._when_due, loop)
                    self._loops[loop] = True
                except RuntimeError:  # the loop is closed, and its readers are gone
                    del self._loops[loop]

    def _when_due(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hand out now, or where there are many readers when the last time is long enough ago: what costs is
        that each is sent something, not how much."""
        wait_s = self._handed_out.get(loop, 0.0) + _PACE_S - loop.time()
        if len(self._readers) <= _MANY or self._closed or wait_s <= 0:
            self._hand_out(loop)
        else:
            loop.call_later(wait_s, self._hand_out, loop)

    def _hand_out(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            if loop not in self._loops:  # its readers are gone
                return
            self._loops[loop] = False
            self._handed_out[loop] = loop.time()
            for reader in self._readers:
                if reader.loop is loop and (reader.line or self._closed):
                    reader.woken.set()

    def _open(self, request: Request) -> AsyncIterator[bytes] | None:
        """Called on a loop: the events for one more reader."""
        reader = _Reader(self._line, asyncio.get_running_loop())
        seen = self._seen(request.headers.get("last-event-id") or request.query.get("after", ""))
        with self._lock:
            if self._closed or len(self._readers) >= self._readers_max:
                return None
            first = b"".join([b"retry: 1000\n\n", *(frame for number, frame in self._kept if number > seen)])
            self._readers.add(reader)
            self._loops.setdefault(reader.loop, False)
        return self._events(reader, first)

    def _seen(self, last: str) -> int:
        """The number of the event that a reader has seen last; 0 where it has seen none of this feed's."""
        name, _, number = last.partition("-")
        return int(number) if name == self._name and number.isascii() and number.isdigit() else 0

    async def _events(self, reader: _Reader, first: bytes) -> AsyncIterator[bytes]:
        try:
            yield first
            while True:
                try:
                    async with asyncio.timeout(self._heartbeat_s):
                        await reader.woken.wait()
                except TimeoutError:
                    yield _HEARTBEAT
                    continue
                with self._lock:
                    frames, over = reader.taken(), self._closed
                if frames:
                    yield frames
                if over:
                    return
        finally:
            with self._lock:
                self._readers.discard(reader)
                if not any(other.loop is reader.loop for other in self._readers):
                    self._loops.pop(reader.loop, None)
                    self._handed_out.pop(reader.loop, None)


class _Reader:
    """What waits for one reader. Changed under the feed's lock; ``woken`` on its loop only."""

    __slots__ = ("line", "loop", "lost", "woken")

    def __init__(self, length: int, loop: asyncio.AbstractEventLoop) -> None:
        self.line: deque[bytes] = deque(maxlen=length)
        self.loop = loop
        self.woken = asyncio.Event()
        self.lost = 0

    def put(self, frame: bytes) -> None:
        self.lost += len(self.line) == self.line.maxlen
        self.line.append(frame)

    def taken(self) -> bytes:
        """All that waits, after how many were lost before it."""
        self.woken.clear()
        lost, self.lost = self.lost, 0
        frames = b"".join(self.line)
        self.line.clear()
        return f'event: lost\ndata: {{"events":{lost}}}\n\n'.encode() + frames if lost else frames
