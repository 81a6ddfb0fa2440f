"""Receivers: what a program writes to bring records in by itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import pyarrow as pa

from penstock.chunk import Chunk, Columns, Lines, Rows
from penstock.encoding import Plain
from penstock.errors import RowTypeError, SignatureError, StateError
from penstock.plan import StorageLevel
from penstock.sources.files.text import utf8_lines
from penstock.sources.receivers.blocks import Notes

__all__ = ["Host", "Receiver"]


class Host(Protocol):
    """Who runs a receiver. Any thread of it may call."""

    stream_id: int

    def put(self, record: Any) -> None:
        """One record into the current block."""

    def put_block(self, chunks: list[Chunk], metadata: Mapping[str, Any], notes: Notes) -> None:
        """A block of its own, stored once it has returned."""

    def metadata(self) -> dict[str, Any]:
        """What has been given with blocks, merged."""

    def run(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call it on a thread; what it raises restarts the receiver."""

    def wait(self, seconds: float) -> bool:
        """Whether the receiver is to go on after that time."""

    def ended(self) -> bool:
        """Whether what the calling thread belongs to is over."""

    def report(self, message: str, error: BaseException | None) -> None:
        """Tell of an error."""

    def restart(self, message: str, error: BaseException | None, delay_ms: int | None) -> None:
        """Ask for a new start."""

    def end(self, message: str, error: BaseException | None) -> None:
        """Ask for the end."""


class Receiver(ABC):
    """Brings records into a stream by itself, with the methods of Scala's ``Receiver``.

    A subclass has :meth:`onStart`, which begins to receive and returns, and :meth:`onStop`, which ends it.
    Between the two it calls :meth:`store`, or :meth:`storeMany`. :meth:`run` is the simple way to a thread::

        class Ticks(Receiver):
            def onStart(self):
                self.run(self.receive)

            def receive(self):
                while self.wait(0.1):         # until it is to stop
                    self.store("tick")

    What ``onStart`` raises, or a function that is :meth:`run`, restarts the receiver after
    ``spark.streaming.receiverRestartDelay``. It runs on threads of its own beside those of ``local[N]``, so
    ``local[1]`` leaves room to compute. ``getOrCreate`` without ``upgrade`` pickles it before it has started.

    >>> class Three(Receiver):
    ...     def onStart(self):
    ...         self.storeMany([1, 2, 3])
    ...         self.stop("that was all")
    >>> from penstock.clock import ManualClock
    >>> from penstock.testing import Stepper
    >>> clock = ManualClock()
    >>> ssc = StreamingContext(sc, 1, clock=clock)
    >>> receiver, seen = Three(), []
    >>> ssc.receiverStream(receiver).foreachRDD(lambda rdd: seen.extend(rdd.collect()))
    >>> with Stepper(ssc, clock) as stepper:
    ...     while not seen:
    ...         _ = stepper.step()
    >>> seen
    [1, 2, 3]
    """

    storageLevel: StorageLevel = StorageLevel.MEMORY_AND_DISK
    """Where its blocks are kept until they are processed: levels with a disk put those for which there is no
    room in memory into temporary files, others let the receiver wait."""

    _host: Host | None = None

    def __init__(self, storageLevel: StorageLevel = StorageLevel.MEMORY_AND_DISK) -> None:
        if not isinstance(storageLevel, StorageLevel):
            raise SignatureError(f"a Receiver needs a StorageLevel, not {type(storageLevel).__name__}")
        self.storageLevel = storageLevel

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_host"}

    # What a subclass has

    @abstractmethod
    def onStart(self) -> None:
        """Begin to receive, and return. Called for each start, on one and the same thread."""

    def onStop(self) -> None:
        """Let what ``onStart`` has begun come to an end. What is :meth:`run` is waited for afterwards. By
        itself it does nothing, which is enough for loops that ask :meth:`wait` or :meth:`isStopped`."""

    # Storing

    def store(self, record: Any) -> None:
        """One record, whatever it is; also a list is one. It goes into the current block, and belongs to the
        stream from here on. The block is stored at the end of its ``spark.streaming.blockInterval`` or when a
        batch is planned: if the process dies before, the record is lost.

        Waits as ``spark.streaming.receiver.maxRate`` and ``penstock.streaming.maxWaitingBytes`` say.
        ``StateError`` if the receiver is not running.
        """
        self._running().put(record)

    def storeMany(
        self,
        records: Iterable[Any] | pa.Array | pa.ChunkedArray | pa.Table | pa.RecordBatch,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Records as one block: from an iterable, an Arrow array or a table, whose rows are records. Once it
        has returned they are stored: in the log, if there is one, so that a crash does not lose them. This
        is what a receiver builds on that acknowledges. An exception says that they are not stored, or that
        nobody knows.

        ``metadata`` (text keys, plain values) is stored with them, or not at all; see :attr:`restored`.
        """
        if isinstance(records, (str, bytes, Mapping)) or not isinstance(
            records, (Iterable, pa.Array, pa.ChunkedArray, pa.Table, pa.RecordBatch)
        ):
            raise SignatureError(
                f"storeMany needs records, not {type(records).__name__}. Hint: store(record) takes one, and "
                f"storeLines(data) lines of text."
            )
        self._running().put_block(_chunks_of(records), _checked(metadata), Notes())

    def storeLines(self, data: bytes, metadata: Mapping[str, Any] | None = None) -> None:
        r"""Lines of text as one block, without a Python string for each; else as :meth:`storeMany`. Lines end
        with ``\n``, ``\r\n`` or ``\r``, the last one need not; bytes that are not UTF-8 become U+FFFD and are
        counted."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise SignatureError(f"storeLines needs bytes, not {type(data).__name__}")
        text, damaged = utf8_lines(bytes(data))
        self._running().put_block([Lines(text)] if text else [], _checked(metadata), Notes(bad_utf8=damaged))

    @property
    def restored(self) -> dict[str, Any]:
        """What has been given as ``metadata`` with all that is stored, later values over earlier ones: with
        the log on also by the runs before. So a receiver finds here where it was."""
        return self._running().metadata()

    # Life

    def run(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call a function on a new thread. What it raises restarts the receiver, unless it is to stop anyway.
        It should come to an end soon after :meth:`isStopped`."""
        self._running().run(function, *arguments)

    def wait(self, seconds: float) -> bool:
        """Wait; true if the time is over, false (at once) if the receiver is to stop."""
        return self._running().wait(seconds)

    def isStarted(self) -> bool:
        """Whether it is running."""
        return not self.isStopped()

    def isStopped(self) -> bool:
        """Whether it is to stop, or has not started. For what is :meth:`run` it stays so, also when the
        receiver has been started again."""
        return self._host is None or self._host.ended()

    def reportError(self, message: str, error: BaseException | None = None) -> None:
        """Tell of an error that the receiver gets over by itself: to the log, and ``onReceiverError``."""
        self._running().report(message, error)

    def restart(self, message: str, error: BaseException | None = None, delay_ms: int | None = None) -> None:
        """Stop, and start again after a delay, by default ``spark.streaming.receiverRestartDelay``. Returns
        at once."""
        self._running().restart(message, error, delay_ms)

    def stop(self, message: str, error: BaseException | None = None) -> None:
        """Stop for good. Returns at once; what is stored is processed."""
        self._running().end(message, error)

    @property
    def streamId(self) -> int:
        """The number of the input, from 0."""
        return self._running().stream_id

    def _running(self) -> Host:
        if self._host is None:
            raise StateError("the receiver is not running: its context has not started it yet")
        return self._host

    def _is_over(self) -> None:
        """All that was :meth:`run` has come to an end."""


def _checked(metadata: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping) or not all(isinstance(key, str) for key in metadata):
        raise SignatureError("metadata must be a dict whose keys are text")
    try:
        Plain.write(dict(metadata))
    except Exception as error:  # said here, and not by the checkpoint, which writes it with each batch
        raise SignatureError(f"metadata must be plain values: {type(error).__name__}: {error}") from error
    return dict(metadata)


def _chunks_of(records: Any) -> list[Chunk]:
    if isinstance(records, (pa.Table, pa.RecordBatch)):
        return list(Columns.from_arrow(records))
    if isinstance(records, (pa.Array, pa.ChunkedArray)):
        try:
            tables = Columns.from_arrow(pa.table({"value": records}))
        except RowTypeError:  # a type that has no column here
            return [Rows(records.to_pylist())] if len(records) else []
        return [Columns(table.row_type.parts[0], table.leaves, len(table)) for table in tables]
    rows = list(records)
    return [Rows(rows)] if rows else []
