"""Runs a receiver, and gives out what it has stored, batch by batch.

::

    penstock-receiver-N     onStart, then waits for what is asked: a new start, the end
    penstock-received-N     what the receiver runs by itself, as many threads as it likes
    penstock-blocks-N       ends the current block when its time is over
"""

from __future__ import annotations

import logging
import queue
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from penstock.chunk import Chunk, RowType
from penstock.clock import Clock
from penstock.errors import CallSite, UnsupportedError
from penstock.plan import Node, Source
from penstock.sources.base import Intent, LogPlace, SourceEvent, StreamSource
from penstock.sources.receivers.block_store import BlockStore, Limits
from penstock.sources.receivers.blocks import BlockReader, Notes
from penstock.sources.receivers.intake import Intake, Limiter
from penstock.sources.receivers.received_log import ReceivedLog
from penstock.sources.receivers.receiver import Receiver
from penstock.times import BatchTime
from penstock.values import dataclass

__all__ = ["ReceiverHost", "ReceiverSettings", "ReceiverSource"]

_log = logging.getLogger(__name__)
_JOIN_S = 10.0  # what a receiver's threads get to come to an end


@dataclass(frozen=True)
class ReceiverSettings:
    """How a receiver is run; times in ms, sizes in bytes, rates in records per second."""

    block_interval_ms: int = 200
    most_in_line: int = 10
    restart_delay_ms: int = 2000
    max_rate: float | None = None
    memory_bytes: int = 256 << 20
    waiting_bytes: int = 1 << 30
    write_ahead: bool = False


class _Life:
    """From a start of the receiver to its end."""

    __slots__ = ("ended", "threads")

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.threads: set[threading.Thread] = set()


@dataclass(frozen=True)
class _Request:
    kind: Literal["restart", "stop", "end"]
    life: _Life | None = None
    message: str = ""
    error: BaseException | None = None
    delay_ms: int | None = None


class ReceiverHost:
    """The host of a receiver: it starts, starts again, and ends it."""

    def __init__(
        self,
        receiver: Receiver,
        store: BlockStore,
        clock: Clock,
        settings: ReceiverSettings,
        limiter: Limiter,
        tell: Callable[[SourceEvent], None],
        name: str,
        stream_id: int,
    ) -> None:
        self.stream_id = stream_id
        self._receiver = receiver
        self._store = store
        self._clock = clock
        self._settings = settings
        self._limiter = limiter
        self._tell = tell
        self._name = name
        self.intake = Intake(
            store,
            limiter,
            clock,
            interval_ms=settings.block_interval_ms,
            most_in_line=settings.most_in_line,
            tell=lambda error: self.report("what was received could not be stored", error),
        )
        self._requests: queue.SimpleQueue[_Request] = queue.SimpleQueue()
        self._closing = threading.Event()  # no further life begins
        self._here = threading.local()  # the life that the calling thread belongs to
        self._lock = threading.Lock()  # of the lives' threads
        self._life: _Life | None = None
        self._due_ms = 0  # when the next one begins, if it does
        self._thread: threading.Thread | None = None
        self._waits_for_end = False  # the supervising thread itself has asked for it

    def start(self) -> None:
        self._receiver._host = self
        self.intake.start(f"penstock-blocks-{self.stream_id}")
        self._thread = threading.Thread(
            target=self._supervise, name=f"penstock-receiver-{self.stream_id}", daemon=True
        )
        self._thread.start()

    def end_all(self) -> None:
        """End the receiver, and wait for it; then what it has stored is in the store. On a thread of the
        receiver itself nobody waits."""
        self._limiter.open()
        self._store.hurry()
        self.intake.hurry()
        self._closing.set()
        life: _Life | None = getattr(self._here, "life", None)
        own = life is not None
        if life is not None:
            with self._lock:
                life.threads.discard(threading.current_thread())  # who waits for the end is not waited for
        self._requests.put(_Request("end"))
        if self._thread is threading.current_thread():  # in onStart or onStop: it may wait for the whole end
            self._waits_for_end = True
        elif self._thread is not None and not own and not self._waits_for_end:
            self._thread.join(2 * _JOIN_S)
        self.intake.seal()
        self.intake.close()

    # The thread that supervises

    def _supervise(self) -> None:
        while not self._closing.is_set():
            request = self._live()
            if request.kind != "restart":
                if request.error is not None or request.message:
                    self._log_problem(request.message, request.error)
                self._say("stopped", request.message, request.error)
                return
            self.report(request.message, request.error)
            self._clock.wait_until(self._due_ms, self._closing)
        self._say("stopped", *self._asked_between())

    def _asked_between(self) -> tuple[str, BaseException | None]:
        """What the receiver has said if it was stopped for good between two lives."""
        while not self._requests.empty():
            request = self._requests.get()
            if request.kind == "stop":
                if request.error is not None or request.message:
                    self._log_problem(request.message, request.error)
                return request.message, request.error
        return "", None

    def _live(self) -> _Request:
        """One life of the receiver, and what is asked for at its end."""
        life = self._life = _Life()
        self._here.life = life
        self._say("started", "", None)
        try:
            self._receiver.onStart()
        except BaseException as error:  # also of sys.exit, which would end this thread without a word
            request = _Request("restart", life, "onStart failed", error)
        else:
            request = self._requests.get()
            while request.life is not None and request.life is not life:
                request = self._requests.get()  # about a life that was over already
        delay_ms = self._settings.restart_delay_ms if request.delay_ms is None else request.delay_ms
        self._due_ms = self._clock.now_ms() + delay_ms
        life.ended.set()
        self._limiter.wake()
        self._store.wake()
        try:
            self._receiver.onStop()
        except BaseException as error:
            self.report("onStop failed", error)
        self._join(life)
        self._receiver._is_over()
        return request

    def _join(self, life: _Life) -> None:
        with self._lock:
            threads = list(life.threads)
        for thread in threads:
            thread.join(_JOIN_S)
            if thread.is_alive():
                _log.warning("%s: a thread of the receiver does not come to an end", self._name)

    # What the receiver asks for

    def put(self, record: Any) -> None:
        self.intake.put(record, self._may_wait)

    def put_lines(self, data: bytes, count: int, source: str, first: int) -> None:
        """Lines into the current block; the limiter has been asked."""
        self.intake.put_lines(data, count, source, first, self._may_wait)

    def put_block(
        self, chunks: list[Chunk], metadata: Mapping[str, Any], notes: Notes, *, limited: bool = True
    ) -> None:
        self.intake.put_block(chunks, metadata, notes, self._may_wait, limited=limited)

    def note(self, notes: Notes) -> None:
        """Something about the records of the current block."""
        self.intake.note(notes)

    def granted(self, wanted: int) -> int:
        """How many of the wanted records may be stored now."""
        return self._limiter.take(wanted, self._may_wait)

    def wait_for_room(self, nbytes: int) -> None:
        """Before so much is read, so that it waits at the sender and not here."""
        self._store.wait_for_room(nbytes, self._may_wait)

    def metadata(self) -> dict[str, Any]:
        return self._store.metadata

    def _may_wait(self) -> bool:
        return not self.ended()

    def ended(self) -> bool:
        life = getattr(self._here, "life", None) or self._life
        return life is None or life.ended.is_set()

    def wait(self, seconds: float) -> bool:
        life = getattr(self._here, "life", None) or self._life
        assert life is not None
        return self._clock.wait_until(self._clock.now_ms() + round(seconds * 1000), life.ended)

    def run(self, function: Callable[..., object], *arguments: Any) -> None:
        life = getattr(self._here, "life", None) or self._life
        assert life is not None
        thread = threading.Thread(
            target=self._guarded,
            args=(life, function, arguments),
            name=f"penstock-received-{self.stream_id}",
            daemon=True,
        )
        with self._lock:
            life.threads.add(thread)
        try:
            thread.start()
        except BaseException:  # there can be no more threads
            with self._lock:
                life.threads.discard(thread)
            raise

    def _guarded(self, life: _Life, function: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        self._here.life = life
        try:
            function(*arguments)
        except BaseException as error:
            if life.ended.is_set():
                _log.debug("%s: as it ended: %r", self._name, error)
            else:
                name = getattr(function, "__qualname__", repr(function))
                self._requests.put(_Request("restart", life, f"{name} failed", error))
        finally:
            with self._lock:
                life.threads.discard(threading.current_thread())

    def report(self, message: str, error: BaseException | None) -> None:
        self._log_problem(message, error)
        self._say("error", message, error)

    def restart(self, message: str, error: BaseException | None, delay_ms: int | None) -> None:
        life = getattr(self._here, "life", None) or self._life
        self._requests.put(_Request("restart", life, message, error, delay_ms))

    def end(self, message: str, error: BaseException | None) -> None:
        self._requests.put(_Request("stop", None, message, error))
        self._closing.set()

    # Who is told

    def _log_problem(self, message: str, error: BaseException | None) -> None:
        why = "" if error is None else f": {type(error).__name__}: {error}"
        _log.warning("%s: %s%s", self._name, message or "stopped", why)

    def _say(
        self, kind: Literal["started", "error", "stopped"], message: str, error: BaseException | None
    ) -> None:
        text = "" if error is None else "".join(traceback.format_exception(error))
        self._tell(SourceEvent(kind, self._name, message, text))


class ReceiverSource(StreamSource):
    """The blocks of a receiver, each in exactly one batch, as partitions.

    An intent holds the number of the first of its blocks, and the number after the last; blocks are numbered
    from the first run on. Without a log the blocks of a run that has died are gone, and a batch that is run
    again runs without them, which is said.
    """

    recoverable = True
    reads_ahead = True
    paced = True

    def __init__(
        self,
        receiver: Receiver,
        name: str,
        settings: ReceiverSettings,
        *,
        clock: Clock,
        stream_id: int,
        row_type: RowType | None = None,
    ) -> None:
        self.name = name
        self.row_type = row_type
        self.receiver = receiver
        self.logs = settings.write_ahead
        self._settings = settings
        self._clock = clock
        self._stream_id = stream_id
        self._pace: float | None = None
        self._reset()

    def _reset(self) -> None:
        self._place: LogPlace | None = None
        self._log: ReceivedLog | None = None
        self._store: BlockStore | None = None
        self._supervisor: ReceiverHost | None = None
        self._limiter: Limiter | None = None
        self._tell: Callable[[SourceEvent], None] = _nobody
        self._restored = False
        self._lock = threading.Lock()  # of what follows
        self._batches: dict[int, tuple[int, int]] = {}  # the blocks of those that are not over, by time

    def __getstate__(self) -> dict[str, Any]:
        """What it was before it began."""
        gone = (
            "_place",
            "_log",
            "_store",
            "_supervisor",
            "_limiter",
            "_tell",
            "_restored",
            "_lock",
            "_batches",
        )
        return {name: value for name, value in self.__dict__.items() if name not in gone}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    # The start

    def log_to(self, place: LogPlace) -> None:
        self._place = place
        self._log = ReceivedLog(place, self._clock)

    def tell_to(self, tell: Callable[[SourceEvent], None]) -> None:
        self._tell = tell

    def _made(self) -> BlockStore:
        """The store of the blocks."""
        if self._store is None:
            level, settings = self.receiver.storageLevel, self._settings
            memory = settings.memory_bytes if level.useMemory else 0
            spills = level.useDisk
            waiting = settings.waiting_bytes
            if not spills and not settings.write_ahead:
                memory = settings.memory_bytes
                waiting = min(waiting, memory)
            limits = Limits(memory, waiting, spills)
            self._store = BlockStore(limits, self._log if settings.write_ahead else None)
        return self._store

    def restore(self, position: Any, taken: Sequence[Intent]) -> None:
        # What an earlier run has logged is read also if this one logs nothing.
        blocks = [] if self._log is None else self._log.restore(position["log"])
        given = max([position["next"], *(intent.items[1] for intent in taken if intent.items)])
        metadata = dict(position["metadata"])
        for intent in taken:
            metadata.update(intent.metadata.get("stored", {}))
        self._made().restore(given, metadata, blocks)
        self._restored = True

    def again(self, time: BatchTime, intent: Intent) -> Intent:
        if not intent.items:
            return intent
        first, stop = intent.items
        found = self._made().blocks(first, stop)
        self._batches[time] = (first, stop)
        lost = intent.metadata["blocks"] - len(found)
        if not lost:
            return intent
        records = sum(block.records for block in found)
        assert intent.records is not None
        _log.warning(
            "%s: the batch %d ms is run again without %d of its records: they were received by a run that "
            "has "
            "died, and are in no log. Hint: spark.streaming.receiver.writeAheadLog.enable=true keeps them.",
            self.name, time, intent.records - records,
        )  # fmt: skip
        metadata = {**intent.metadata, "lost_blocks": lost, "lost_records": intent.records - records}
        return Intent(intent.items, records, f"{intent.description}, {lost} of them lost", metadata)

    def open(self) -> None:
        store = self._made()
        if self._log is not None and not self._restored:
            self._log.look()
        settings = self._settings
        self._limiter = Limiter(self._clock, settings.max_rate, burst_ms=settings.block_interval_ms)
        self._limiter.pace(self._pace)
        self._supervisor = ReceiverHost(
            self.receiver,
            store,
            self._clock,
            settings,
            self._limiter,
            self._tell,
            self.name,
            self._stream_id,
        )

    def only_available(self) -> None:
        raise UnsupportedError(
            f"{self.name} is a receiver, and what it receives has no end, so availableNow means nothing. "
            f"Hint: start(), and stop(stopGraceFully=True), which processes all that has been received."
        )

    def start_intake(self) -> None:
        assert self._supervisor is not None
        if self._place is not None:
            assert self._log is not None
            self._made().keep_only(list(self._batches.values()))
            self._log.clean()
            if not self._settings.write_ahead:
                _log.warning(
                    "%s: what has been received and not processed is lost if the program dies. "
                    "Hint: spark.streaming.receiver.writeAheadLog.enable=true.",
                    self.name,
                )
        self._supervisor.start()

    # The batches

    def plan(self, time: BatchTime) -> Intent:
        store = self._made()
        if self._supervisor is not None:
            self._supervisor.intake.cut()
        blocks = store.take()
        if not blocks:
            return Intent((), 0, "nothing received")
        first, stop = blocks[0].number, blocks[-1].number + 1
        with self._lock:
            self._batches[time] = (first, stop)
        notes, stored, records = Notes(), dict[str, Any](), 0
        for block in blocks:
            notes.add(block.notes)
            stored.update(block.metadata)
            records += block.records
        metadata: dict[str, Any] = {"blocks": len(blocks), **notes.told()}
        if stored:
            metadata["stored"] = stored
        return Intent((first, stop), records, f"{len(blocks)} blocks", metadata)

    def node(self, intent: Intent, site: CallSite) -> Node:
        blocks = self._made().blocks(*intent.items) if intent.items else []
        readers = [BlockReader(block, self.row_type) for block in blocks if block.records]
        return Source(site, readers, self.row_type)

    def position(self) -> Any:
        given, metadata = self._made().given
        log = None if self._log is None else self._log.position()
        return {"next": given, "metadata": metadata, "log": log}

    def pace(self, records_per_s: float) -> None:
        self._pace = records_per_s
        if self._limiter is not None:
            self._limiter.pace(records_per_s)

    def processed(self, time: BatchTime, records: int) -> None:
        stop = self._planned_until(time)
        if stop is not None:
            self._made().release(stop)

    def done(self, time: BatchTime) -> None:
        stop = self._planned_until(time, forget=True)
        if stop is not None:
            self._made().forget(stop)

    def _planned_until(self, time: BatchTime, *, forget: bool = False) -> int | None:
        """The number after the last block of the batches up to a time."""
        with self._lock:
            found = [each for each in self._batches if each <= time]
            stop = max((self._batches[each][1] for each in found), default=None)
            if forget:
                for each in found:
                    del self._batches[each]
        return stop

    @property
    def waiting_bytes(self) -> int:
        return 0 if self._store is None else self._store.waiting_bytes

    # The end

    def stop_intake(self) -> bool:
        if self._supervisor is not None:
            self._supervisor.end_all()
        return self._made().waits

    def close(self) -> None:
        if self._supervisor is not None:
            self._supervisor.end_all()
        if self._store is not None:
            self._store.close()


def _nobody(event: SourceEvent) -> None:
    return
