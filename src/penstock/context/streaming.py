"""StreamingContext: makes streams, and runs their batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from penstock.clock import Clock, SystemClock
from penstock.conf import CHECKPOINT_DIRECTORY, TRUST_STORE, Conf
from penstock.context.context import Context
from penstock.context.dashboards import Dashboards
from penstock.context.file_inputs import FileInputs
from penstock.context.lifecycle import has_checkpoint
from penstock.context.program import load_program
from penstock.context.receiver_inputs import ReceiverInputs
from penstock.dstream import DStream, StreamGraph, StreamNode, Transformed, rdd_callback
from penstock.errors import ArgumentError, CallSite, SignatureError, StateError
from penstock.plan import call_site
from penstock.rdd import RDD
from penstock.times import Duration, DurationLike, milliseconds_of

__all__ = ["StreamingContext"]


class StreamingContext(FileInputs, ReceiverInputs, Dashboards):
    """The entry point to streams, with PySpark's methods: one mini-batch every ``batchDuration``.

    Made from a :class:`Context`, or from a :class:`Conf` of which it makes one. ``batchDuration`` is seconds,
    a ``timedelta`` or a :class:`Duration`. Several may be made, one may be started in a process at a time,
    and none again after it has stopped. Usable in a ``with`` statement, which stops it.

    ``clock`` is the machine's; tests give a ``ManualClock``.

    >>> ssc = StreamingContext(sc, 1)
    >>> seen = []
    >>> tens = ssc.queueStream([[1, 2], [3]]).map(lambda x: x * 10)
    >>> tens.foreachRDD(lambda rdd: seen.append(rdd.collect()))
    >>> ssc.start(availableNow=True)
    >>> ssc.awaitTermination()
    >>> seen
    [[10, 20], [30]]
    """

    def __init__(
        self,
        sparkContext: Context | Conf,
        batchDuration: DurationLike | None = None,
        jssc: Any = None,
        *,
        clock: Clock | None = None,
    ) -> None:
        if batchDuration is None:
            raise SignatureError("StreamingContext needs a batchDuration, such as 5 (seconds) or Seconds(5)")
        if jssc is not None:
            raise SignatureError("jssc, a context of the JVM, means nothing here: leave it out")
        interval_ms = milliseconds_of(batchDuration, "batchDuration")
        if isinstance(sparkContext, Conf):
            sparkContext = Context(conf=sparkContext)
        if not isinstance(sparkContext, Context):
            raise SignatureError(
                f"StreamingContext needs a Context or a Conf, not {type(sparkContext).__name__}"
            )
        graph = StreamGraph(interval_ms)
        super().__init__(sparkContext, graph, clock or SystemClock(), threaded=clock is None)
        directory = sparkContext.conf.value(CHECKPOINT_DIRECTORY)
        if directory is not None:
            self.checkpoint(directory)

    @classmethod
    def getOrCreate(
        cls,
        checkpointPath: str,
        setupFunc: Callable[[], StreamingContext],
        *,
        upgrade: bool = False,
        clock: Clock | None = None,
    ) -> StreamingContext:
        """The program that the checkpoint in ``checkpointPath`` is of, to go on where it was; without one,
        what ``setupFunc`` makes, which will be recorded there.

        As in PySpark ``setupFunc`` is not called if there is a checkpoint: the graph is the one stored in it,
        functions and settings included, on the active ``Context`` if there is one. It is pickled, so it is
        loaded only from files that nobody but the user may write; ``CorruptCheckpoint`` otherwise.

        With ``upgrade`` the graph is always what ``setupFunc`` makes, so the program may have changed. State
        and windows carry over by name (``DStream.name``), whatever the number of partitions; what is kept,
        new, missing or changed is reported to the log at the start.

        >>> def setup():
        ...     ssc = StreamingContext(sc, 1)
        ...     ssc.queueStream([[1], [2]]).foreachRDD(lambda rdd: None)
        ...     return ssc
        >>> import tempfile
        >>> directory = tempfile.mkdtemp()
        >>> ssc = StreamingContext.getOrCreate(directory, setup)
        >>> ssc.start(availableNow=True)
        >>> ssc.awaitTermination()
        """
        if not callable(setupFunc):
            raise SignatureError(f"getOrCreate needs a function that makes a context, not {setupFunc!r}")
        found = has_checkpoint(checkpointPath)
        if found and not upgrade:
            return cls._loaded(checkpointPath, clock)
        ssc = setupFunc()
        if not isinstance(ssc, StreamingContext):
            raise SignatureError(
                f"the function given to getOrCreate must return a StreamingContext, not {type(ssc).__name__}"
            )
        ssc.checkpoint(checkpointPath)
        ssc._anew, ssc._must_store_program = False, not upgrade
        return ssc

    @classmethod
    def getActiveOrCreate(
        cls, checkpointPath: str | None, setupFunc: Callable[[], StreamingContext], *, upgrade: bool = False
    ) -> StreamingContext:
        """The context that runs, or else as ``getOrCreate``; without a path, what ``setupFunc`` makes."""
        active = cls.getActive()
        if active is not None:
            return active
        if checkpointPath is None:
            return setupFunc()
        return cls.getOrCreate(checkpointPath, setupFunc, upgrade=upgrade)

    @classmethod
    def _loaded(cls, path: str, clock: Clock | None) -> StreamingContext:
        active = Context._active
        program = load_program(path, trust_store=active is not None and active.conf.value(TRUST_STORE))
        sc = active or Context(conf=program.conf)
        ssc = cls(sc, Duration(program.interval_ms), clock=clock)
        ssc._graph = program.graph_for(ssc._named)
        ssc.checkpoint(path)
        ssc._anew = False
        return ssc

    # Several streams

    def union(self, *dstreams: DStream) -> DStream:
        """The records of all streams; of one, that stream itself. All need the same slide duration."""
        if not dstreams:
            raise ArgumentError("union needs at least one DStream")
        self.must_be_open()
        site = call_site("union")
        nodes = self._nodes_of(dstreams, site)
        if len(nodes) == 1:
            return dstreams[0]
        return DStream(Transformed(site, nodes, lambda time, rdds: self._sc.union(rdds)), self)

    def transform(self, dstreams: Sequence[DStream], transformFunc: Callable[..., RDD | None]) -> DStream:
        """``transformFunc(rdds)`` or ``(time, rdds)`` once a batch, with the tuple of the streams' RDDs. A
        stream that has none in this batch gives an empty one; if none has any, nothing is called.
        """
        if isinstance(dstreams, DStream) or not isinstance(dstreams, Iterable):
            raise SignatureError(f"transform needs a list of DStreams, not {type(dstreams).__name__}")
        dstreams = list(dstreams)
        if not dstreams:
            raise ArgumentError("transform needs at least one DStream")
        self.must_be_open()
        site = call_site("transform")
        run = rdd_callback(transformFunc, (1, 2), "transform")
        nodes = self._nodes_of(dstreams, site)
        return DStream(
            Transformed(site, nodes, lambda time, rdds: run(time, tuple(rdds)), user_sites=True), self
        )

    def _nodes_of(self, dstreams: Sequence[DStream], site: CallSite) -> tuple[StreamNode, ...]:
        """The nodes of streams that are to be read together, checked."""
        for stream in dstreams:
            if not isinstance(stream, DStream):
                raise SignatureError(f"{site} needs DStreams, not {type(stream).__name__}")
            if stream.context() is not self:
                raise ArgumentError(f"{site} needs DStreams of this StreamingContext")
            dstreams[0]._other(stream, site)
        return tuple(stream._node for stream in dstreams)

    # Settings

    def remember(self, duration: DurationLike) -> None:
        """Keep every RDD at least this long, for ``DStream.slice``. ``StateError`` the second time."""
        duration_ms = milliseconds_of(duration, "duration")
        self.must_not_have_started("Cannot set the remember duration")
        if self._graph.remember_ms is not None:
            raise StateError(
                f"Remember duration already set as {self._graph.remember_ms} ms. Cannot set it again."
            )
        self._graph.remember_ms = duration_ms

    def checkpoint(self, directory: str) -> None:
        """Record every batch in ``directory``, a path or URL, so that the program can go on after its end,
        whatever that was: see :meth:`getOrCreate`. Operators with state may write there too.

        What belongs to a batch is durable before it begins, and it is over once that is durable. A batch that
        fails is run again ``penstock.streaming.retries`` times. ``sc.setCheckpointDir`` is enough for
        operators with state, and costs nothing of that.

        A program that is not made by ``getOrCreate`` begins anew, as in PySpark; a checkpoint that is there
        is moved into ``aside`` of the directory, in place of what was moved there before.
        ``UnsupportedError`` at the start on a store that cannot promise that one run alone creates a file.
        """
        self.must_not_have_started("Cannot set the checkpoint directory")
        if not isinstance(directory, str) or not directory:
            raise SignatureError(f"checkpoint needs a directory, not {directory!r}")
        self._sc.setCheckpointDir(f"{directory.rstrip('/')}/rdds")
        self._checkpoint_directory = directory
