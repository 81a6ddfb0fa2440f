"""How what a receiver stores becomes blocks: by the clock, and no faster than allowed."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from penstock.chunk import Chunk, Lines, Rows
from penstock.clock import Clock
from penstock.errors import StateError
from penstock.sources.receivers.block_store import BlockStore
from penstock.sources.receivers.blocks import Block, Notes

__all__ = ["Intake", "Limiter"]

_LINE_BYTES = 64  # what is reckoned for a list's entry and the like, beside a record itself


class Limiter:
    """At most so many records per second, in the long run, and at most ``burst_ms`` of them at once.

    >>> from penstock.clock import ManualClock
    >>> clock = ManualClock()
    >>> limiter = Limiter(clock, 1000, burst_ms=200)
    >>> limiter.take(5000, lambda: True)
    200
    >>> clock.advance(50)
    >>> limiter.take(5000, lambda: True)
    50
    """

    def __init__(self, clock: Clock, limit: float | None, *, burst_ms: int) -> None:
        self._clock = clock
        self._limit = limit
        self._burst_ms = burst_ms
        self._pace: float | None = None
        self._lock = threading.Lock()  # of all that follows
        self._rate = limit
        self._ready = self._most()
        self._at_ns = clock.elapsed_ns()
        self._open = False
        self._woken = threading.Event()

    def pace(self, rate: float | None) -> None:
        """A further limit, beside the one that was given; whoever waits goes by it at once."""
        with self._lock:
            self._fill()
            self._pace = rate
            rates = [each for each in (self._limit, rate) if each is not None]
            self._rate = min(rates, default=None)
            self._ready = min(self._ready, self._most())
        self.wake()

    def open(self) -> None:
        """From here on there is no limit."""
        self._open = True
        self.wake()

    def wake(self) -> None:
        """Let those look again who wait."""
        with self._lock:
            woken, self._woken = self._woken, threading.Event()
        woken.set()

    def take(self, wanted: int, may_wait: Callable[[], bool]) -> int:
        """How many of the wanted records may come now, one at least: it waits until one may, or as long as
        ``may_wait()``."""
        while True:
            with self._lock:
                if self._rate is None or self._open:
                    return wanted
                self._fill()
                if self._ready >= 1:
                    granted = min(wanted, int(self._ready))
                    self._ready -= granted
                    return granted
                wait_ms = max(1, round((1 - self._ready) / self._rate * 1000 + 0.5))
                woken = self._woken
            if not may_wait():
                return wanted
            self._clock.wait_until(self._clock.now_ms() + wait_ms, woken)

    def spend(self, count: int, may_wait: Callable[[], bool]) -> None:
        """Let so many come together, and those after them wait for it."""
        granted = self.take(count, may_wait)
        with self._lock:
            self._ready -= count - granted

    def _most(self) -> float:
        """One record at the least, at however low a rate."""
        return 0.0 if self._rate is None else max(1.0, self._rate * self._burst_ms / 1000)

    def _fill(self) -> None:
        now_ns = self._clock.elapsed_ns()
        passed_s = max(0, now_ns - self._at_ns) / 1e9
        self._at_ns = now_ns
        if self._rate is not None:
            self._ready = min(self._most(), self._ready + passed_s * self._rate)


class _Piece:
    """Consecutive lines of one source."""

    __slots__ = ("count", "data", "first", "source")

    def __init__(self, source: str, first: int) -> None:
        self.source = source
        self.first = first
        self.count = 0
        self.data: list[bytes] = []


class Intake:
    """Collects records into the current block, which is stored when its time is over, ``interval_ms`` at the
    most after it was begun, or when somebody :meth:`cut`\\ s. ``most_in_line`` blocks may wait to be stored.
    ``tell`` hears what keeps them from it.

    Records keep the order in which they came, those that are stored at once included.
    """

    def __init__(
        self,
        store: BlockStore,
        limiter: Limiter,
        clock: Clock,
        *,
        interval_ms: int,
        most_in_line: int,
        tell: Callable[[BaseException], None],
    ) -> None:
        self.limiter = limiter
        self._store = store
        self._clock = clock
        self._interval_ms = interval_ms
        self._most_in_line = most_in_line
        self._tell = tell
        self._closing = threading.Event()
        self._hurried = threading.Event()
        self._stir = threading.Event()  # there is something for the timer to do
        self._lock = threading.Lock()  # of all that follows
        self._rows: list[Any] = []
        self._pieces: list[_Piece] = []
        self._chunks: list[Chunk] = []  # of the current block, before its rows or pieces
        self._records = 0
        self._bytes = 0
        self._notes = Notes()
        self._due_ms = 0
        self._sealed = False
        self._thread: threading.Thread | None = None

    def start(self, name: str) -> None:
        """Begin to cut by the clock."""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    # Taking in

    def put(self, record: Any, may_wait: Callable[[], bool]) -> None:
        """One record into the current block."""
        self.limiter.take(1, may_wait)
        nbytes = _size_of(record)
        self._store.reserve(nbytes, may_wait)
        with self._lock:
            self._begin()
            if self._pieces:
                self._close_pieces()
            self._rows.append(record)
            self._records += 1
            self._bytes += nbytes
        self._wait_for_line(may_wait)

    def put_lines(
        self, data: bytes, count: int, source: str, first: int, may_wait: Callable[[], bool]
    ) -> None:
        r"""``count`` lines into the current block: UTF-8, each ended by ``\n``. Whoever calls has asked the
        limiter."""
        self._store.reserve(len(data), may_wait)
        with self._lock:
            self._begin()
            if self._rows:
                self._close_rows()
            last = self._pieces[-1] if self._pieces else None
            if last is None or last.source != source or last.first + last.count != first:
                last = _Piece(source, first)
                self._pieces.append(last)
            last.data.append(data)
            last.count += count
            self._records += count
            self._bytes += len(data)
        self._wait_for_line(may_wait)

    def note(self, notes: Notes) -> None:
        """Something about the records of the current block."""
        with self._lock:
            self._begin()
            self._notes.add(notes)

    def put_block(
        self,
        chunks: list[Chunk],
        metadata: Mapping[str, Any],
        notes: Notes,
        may_wait: Callable[[], bool],
        *,
        limited: bool = True,
    ) -> None:
        """A block of its own; it is stored once this has returned, behind all that came before."""
        records = sum(map(len, chunks))
        nbytes = sum(chunk.nbytes for chunk in chunks)
        if limited and records:
            self.limiter.spend(records, may_wait)
        self._store.reserve(nbytes, may_wait)
        block = Block(chunks, records, nbytes, metadata, notes)
        with self._lock:
            self._must_be_open()
            self._cut()
            line = self._store.enqueue([block])
        self._store.commit(line)
        if line.error is not None:
            raise line.error

    def _begin(self) -> None:
        """Make sure that the current block is one that the time belongs to."""
        self._must_be_open()
        now = self._clock.now_ms()
        if self._begun:
            if now < self._due_ms:
                return
            self._cut()
        self._due_ms = now + self._interval_ms
        self._stir.set()

    def _wait_for_line(self, may_wait: Callable[[], bool]) -> None:
        while self._store.in_line >= self._most_in_line:
            if self.commit() is None or not may_wait() or self._hurried.is_set():
                return
            self._clock.wait_until(self._clock.now_ms() + self._interval_ms, self._hurried)

    # Cutting

    def cut(self) -> None:
        """End the current block, and store all there is."""
        with self._lock:
            self._cut()
        self.commit()

    def commit(self) -> BaseException | None:
        """Store what is in line; an error is told, and what it is about stays in line."""
        error = self._store.commit()
        if error is not None:
            self._tell(error)
        return error

    def _cut(self) -> None:
        self._close_rows()
        self._close_pieces()
        if not self._begun:
            return
        block = Block(self._chunks, self._records, self._bytes, {}, self._notes)
        self._chunks, self._records, self._bytes, self._notes = [], 0, 0, Notes()
        self._store.enqueue([block], keep=True)

    @property
    def _begun(self) -> bool:
        """Whether there is anything in the current block."""
        return bool(self._records or self._notes.too_long or self._notes.bad_utf8)

    def _must_be_open(self) -> None:
        if self._sealed:
            raise StateError("the receiver has been stopped, and nothing more can be stored")

    def hurry(self) -> None:
        """From here on nobody waits until there is room in line."""
        self._hurried.set()

    def seal(self) -> None:
        """Store what there is, and nothing more."""
        with self._lock:
            self._sealed = True
            self._cut()
        self.commit()

    def _close_rows(self) -> None:
        if self._rows:
            self._chunks.append(Rows(self._rows))
            self._rows = []

    def _close_pieces(self) -> None:
        for piece in self._pieces:
            data = piece.data[0] if len(piece.data) == 1 else b"".join(piece.data)
            self._chunks.append(Lines(data, piece.source, piece.first, length=piece.count))
        self._pieces = []

    def _run(self) -> None:
        """The timer's thread."""
        while True:
            self._stir.wait()
            if self._closing.is_set():
                return
            with self._lock:
                begun = self._begun
                due_ms = self._due_ms
                if not begun:
                    self._stir.clear()
            if begun and not self._clock.wait_until(due_ms, self._closing):
                return
            with self._lock:
                if self._begun and self._clock.now_ms() >= self._due_ms:
                    self._cut()
            if self._store.in_line and self.commit() is not None:
                self._clock.wait_until(self._clock.now_ms() + self._interval_ms, self._closing)

    def close(self) -> None:
        """End the timer."""
        self._closing.set()
        self._stir.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()


def _size_of(record: Any) -> int:
    """About how many bytes a record takes: itself, and what it holds, but not what that holds."""
    size = sys.getsizeof(record) + _LINE_BYTES
    kind = type(record)
    if kind in (list, tuple, set):
        size += sum(map(sys.getsizeof, record))
    elif kind is dict:
        size += sum(map(sys.getsizeof, record)) + sum(map(sys.getsizeof, record.values()))
    return size
