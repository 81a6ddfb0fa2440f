"""What a program can be told of its batches, and the bus that tells it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, NamedTuple

from penstock.scheduler.backpressure import RateInfo
from penstock.values import dataclass

__all__ = [
    "BatchInfo",
    "ListenerBus",
    "OperatorInfo",
    "OutputOperationInfo",
    "ReceiverInfo",
    "StateOperatorInfo",
    "StreamInputInfo",
    "StreamingListener",
]

_log = logging.getLogger(__name__)
_CAPACITY = 10_000  # events that wait for slow listeners; as in Spark
_AT_ONCE = 64  # events that are taken out of the line together
_PAUSE_S = 0.25
"""What comes within this after all was told is told together: it costs far less than one by one."""


@dataclass(frozen=True)
class StreamInputInfo:
    """What an input gave to a batch. ``numRecords`` is 0 until they are counted: files are counted while
    they are read, so the final figure is in ``onBatchCompleted``."""

    inputStreamId: int
    numRecords: int
    metadata: Mapping[str, Any] = field(default_factory=dict)
    metadataDescription: str = ""


class OutputOperationInfo(NamedTuple):
    """One output operation of a batch. Times in ms since the epoch, ``duration`` in ms; -1 for what is not
    yet known. ``failureReason`` is the exception with its traceback, or ``None``."""

    batchTime: int
    id: int
    name: str
    description: str
    startTime: int = -1
    endTime: int = -1
    duration: float = -1.0
    failureReason: str | None = None


@dataclass(frozen=True)
class StateOperatorInfo:
    """What an operator with state did in a batch: how many keys it remembers now, how many had records, and
    how many it forgot for want of them; and how much memory its state takes, exactly where it is in columns
    of numbers, about where Python objects or texts have to be sized by a sample."""

    operator: str
    numKeys: int
    numTouched: int
    numExpired: int
    memoryUsedBytes: int = 0


class OperatorInfo(NamedTuple):
    """What an operator made in a batch: ``numRecords``, or -1 where that is not known. They are counted where
    all records of an operator went by: not within steps that ran as one pass over each chunk, unless each
    makes one record of one, and not where an output took only the first. Of a window also how many slides it
    held, and how many records in them, or -1."""

    operator: str
    numRecords: int = -1
    numSlides: int = -1
    numHeld: int = -1


@dataclass(frozen=True)
class BatchInfo:
    """One batch. Times in ms since the epoch, delays in ms; -1 for what is not yet known.

    ``schedulingDelay`` is from submission to the start of processing, ``processingDelay`` from there to
    the end, ``totalDelay`` both together. ``failureReason`` is what failed first: the input, the making of
    the RDDs, an output, or the commit of state; ``None`` if all went well. ``stateOperatorInfos`` has one
    entry for each operator with state that ran in the batch, by the line that asked for it.
    ``streamIdToRateInfo`` says how fast inputs may go on, where ``spark.streaming.backpressure.enabled`` has
    it found out, and the batch said anything of it. ``operatorInfos`` has all operators that an output
    reads, in an order in which each comes after what it reads; there is none before the batch is over.
    """

    batchTime: int
    submissionTime: int
    streamIdToInputInfo: Mapping[int, StreamInputInfo]
    processingStartTime: int = -1
    processingEndTime: int = -1
    schedulingDelay: float = -1.0
    processingDelay: float = -1.0
    totalDelay: float = -1.0
    outputOperationInfos: Mapping[int, OutputOperationInfo] = field(default_factory=dict)
    failureReason: str | None = None
    stateOperatorInfos: tuple[StateOperatorInfo, ...] = ()
    streamIdToRateInfo: Mapping[int, RateInfo] = field(default_factory=dict)
    operatorInfos: tuple[OperatorInfo, ...] = ()

    @property
    def numRecords(self) -> int:
        """The records of all inputs."""
        return sum([info.numRecords for info in self.streamIdToInputInfo.values()])


@dataclass(frozen=True)
class ReceiverInfo:
    """A receiver, as the receiver events tell of it."""

    streamId: int
    name: str
    active: bool
    location: str = "driver"
    executorId: str = "driver"
    lastErrorMessage: str = ""
    lastError: str = ""
    lastErrorTime: int = -1


@dataclass(frozen=True)
class StreamingStarted:
    """``time`` in ms since the epoch."""

    time: int


@dataclass(frozen=True)
class BatchEvent:
    """What the batch events carry."""

    batchInfo: BatchInfo


@dataclass(frozen=True)
class OutputOperationEvent:
    """What the output operation events carry."""

    outputOperationInfo: OutputOperationInfo


@dataclass(frozen=True)
class ReceiverEvent:
    """What the receiver events carry."""

    receiverInfo: ReceiverInfo


class StreamingListener:
    """Subclass, override what is of interest, and give it to ``ssc.addStreamingListener``.

    Called on a thread of its own, one event after the other, after the fact: a slow listener delays other
    listeners, never a batch. What a listener raises is logged. As in PySpark, but with plain fields
    where PySpark wraps Java getters: ``event.batchInfo.processingDelay``.

    >>> class Rate(StreamingListener):
    ...     def onBatchCompleted(self, batchCompleted):
    ...         print(batchCompleted.batchInfo.numRecords)
    """

    def onStreamingStarted(self, streamingStarted: StreamingStarted) -> None:
        """The context has started."""

    def onReceiverStarted(self, receiverStarted: ReceiverEvent) -> None:
        """A receiver has started."""

    def onReceiverError(self, receiverError: ReceiverEvent) -> None:
        """A receiver has reported an error."""

    def onReceiverStopped(self, receiverStopped: ReceiverEvent) -> None:
        """A receiver has stopped."""

    def onBatchSubmitted(self, batchSubmitted: BatchEvent) -> None:
        """The input of a batch is known; it waits for its turn."""

    def onBatchStarted(self, batchStarted: BatchEvent) -> None:
        """A batch has begun to run."""

    def onBatchCompleted(self, batchCompleted: BatchEvent) -> None:
        """A batch is over, well or not: see the failure reasons."""

    def onOutputOperationStarted(self, outputOperationStarted: OutputOperationEvent) -> None:
        """An output operation of the running batch has begun."""

    def onOutputOperationCompleted(self, outputOperationCompleted: OutputOperationEvent) -> None:
        """An output operation of the running batch is over, well or not."""


_Waiting = tuple[str, Any, Callable[[], bool] | None]
"""The method, and the event, or what makes it unless it is out of date."""


class ListenerBus:
    """Delivers events to listeners in the order they were posted, on one thread of its own.

    What no listener has a method of its own for is not even made; without ``threaded`` events are delivered
    by :meth:`drain`. Whoever posts never waits: when 10,000 events wait for a listener that is too slow,
    further ones are dropped, which is logged. An event is told at once, or where they come fast up to a
    quarter of a second later, with those that came meanwhile.

    A listener that *glances* shows a run to somebody: of batches that come fast it needs to hear neither what
    is out of date when it is told, nor what is dear to find out of each.
    """

    def __init__(self, *, threaded: bool = True) -> None:
        self._listeners: list[StreamingListener] = []
        self._glancing: list[StreamingListener] = []  # those of them that do
        self._heard: frozenset[str] = frozenset()  # the methods that any of them overrides
        self._heard_always: frozenset[str] = frozenset()  # the same of those that do not glance
        self._events: deque[_Waiting] = deque()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)  # all is told
        self._news = threading.Condition(self._lock)  # what the listeners' thread waits for
        self._idle = False  # it waits for an event, and not for the end of a pause
        self._awaited = 0  # how many wait for all to be told
        self._threaded = threaded
        self._thread: threading.Thread | None = None
        self._delivering: int | None = None  # the thread that calls a listener
        self._dropped = 0
        self._closed = False

    def add(self, listener: StreamingListener, *, glances: bool = False) -> None:
        """Tell ``listener`` what happens from now on."""
        with self._lock:
            self._listeners.append(listener)
            if glances:
                self._glancing.append(listener)
            self._listened()

    def remove(self, listener: StreamingListener) -> None:
        """Tell it no more; a listener that was never added is no error."""
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)
                if listener in self._glancing:
                    self._glancing.remove(listener)
                self._listened()

    def _listened(self) -> None:
        """Who listens has changed."""
        always = [listener for listener in self._listeners if listener not in self._glancing]
        self._heard = frozenset().union(*map(_overridden, self._listeners))
        self._heard_always = frozenset().union(*map(_overridden, always))

    def is_heard(self, method: str) -> bool:
        """Whether any listener has the method."""
        return method in self._heard

    def is_heard_always(self, method: str) -> bool:
        """Whether a listener that does not only glance has the method."""
        return method in self._heard_always

    @property
    def wanted(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    def post(
        self, method: str, event: Callable[[], object], outdated: Callable[[], bool] | None = None
    ) -> None:
        """Queue an event for ``method`` of all listeners; it is only made if one of them overrides that, and
        the bus is not closed. With ``outdated``, where all of these only glance: it is made when it is told,
        unless it is out of date by then."""
        if method not in self._heard:
            return
        with self._lock:
            if self._closed:
                return
            if len(self._events) >= _CAPACITY:
                if not self._dropped:
                    _log.warning(
                        "a StreamingListener is too slow: events are dropped, the first is %s", method
                    )
                self._dropped += 1
                return
            if outdated is None or method in self._heard_always:
                self._events.append((method, event(), None))
            else:
                self._events.append((method, event, outdated))
            if self._threaded and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="penstock-listeners", daemon=True)
                self._thread.start()
            if self._idle:
                self._idle = False
                self._news.notify()

    def on_bus_thread(self) -> bool:
        """Whether a listener is calling."""
        return self._delivering == threading.get_ident()

    def drain(self, timeout_s: float | None = None) -> bool:
        """Wait until all that was posted has been delivered, or the time is up; whether it has been. Does
        nothing in a listener."""
        if self.on_bus_thread():
            return False
        if not self._threaded:
            while self._events:
                self._deliver(self._events.popleft())
            return True
        with self._lock:
            self._awaited += 1
            self._news.notify()  # no pause now
            try:
                return self._changed.wait_for(
                    lambda: not self._events and self._delivering is None, timeout_s
                )
            finally:
                self._awaited -= 1

    def close(self, timeout_s: float | None = None) -> None:
        """Take no more events, and :meth:`drain`; the thread ends when all are delivered."""
        with self._lock:
            self._closed = True
            self._news.notify()
        self.drain(timeout_s)

    def _run(self) -> None:
        while self._wait():
            with self._lock:
                self._delivering = threading.get_ident()
                taken = [self._events.popleft() for _ in range(min(len(self._events), _AT_ONCE))]
            for waiting in taken:
                self._deliver(waiting)
            with self._lock:
                self._delivering = None
                if not self._events:
                    self._changed.notify_all()

    def _wait(self) -> bool:
        """Until there is an event; false once there will be none."""
        if self._events:
            return True
        with self._lock:
            if not (self._closed or self._awaited):
                self._news.wait(_PAUSE_S)
            while not self._events and not self._closed:
                self._idle = True
                self._news.wait()
            self._idle = False
            return bool(self._events)

    def _deliver(self, waiting: _Waiting) -> None:
        method, event, outdated = waiting
        if outdated is not None:
            try:
                if outdated():
                    return
                event = event()
            except Exception:
                _log.exception("an event of %s could not be made", method)
                return
        before, self._delivering = self._delivering, threading.get_ident()
        for listener in tuple(self._listeners):
            try:
                getattr(listener, method)(event)
            except BaseException:  # sys.exit() in a listener, too, ends nothing
                _log.exception("a StreamingListener raised in %s", method)
        self._delivering = before


def _overridden(listener: StreamingListener) -> frozenset[str]:
    """The events that a listener has a method of its own for."""
    return frozenset(
        name
        for name, method in vars(StreamingListener).items()
        if name.startswith("on") and getattr(getattr(listener, name), "__func__", None) is not method
    )
