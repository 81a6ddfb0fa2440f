"""StreamingContext: makes streams, and runs their batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from os import PathLike
from typing import Any

from penstock.chunk import RowType
from penstock.clock import Clock, SystemClock
from penstock.conf import CHECKPOINT_DIRECTORY, MIN_REMEMBER_DURATION, SPLIT_BYTES, TRUST_STORE, Conf
from penstock.context.context import Context
from penstock.context.lifecycle import Lifecycle, has_checkpoint
from penstock.context.program import load_program
from penstock.dstream import DStream, Input, StreamGraph, StreamNode, Transformed, rdd_callback
from penstock.errors import ArgumentError, CallSite, SignatureError, StateError
from penstock.plan import Node, PartitionReader, call_site
from penstock.rdd import RDD
from penstock.sources import TEXT, FileSource, FixedRecords, QueueSource, StreamSource, text_readers
from penstock.storage import FileInfo, Storage, storage_for
from penstock.times import Duration, DurationLike, milliseconds_of

__all__ = ["StreamingContext"]


class StreamingContext(Lifecycle):
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

    # What streams ask for

    @property
    def sparkContext(self) -> Context:
        """The context that runs the batches' RDDs."""
        return self._sc

    @property
    def graph(self) -> StreamGraph:
        """Inputs and outputs, in the order they were made."""
        return self._graph

    @property
    def run_id(self) -> str:
        """Names this run of the program in what it writes."""
        return self._graph.run.id

    def slice_of(self, node: StreamNode, begin_ms: int, end_ms: int) -> list[RDD]:
        """The RDDs of a node between two moments; see ``DStream.slice``."""
        if self._generation is None:
            raise StateError(f"{node.site} has not been initialized: start the context first")
        return self._generation.slice(node, begin_ms, end_ms)

    # Inputs

    def textFileStream(
        self,
        directory: str | PathLike[str],
        newFilesOnly: bool = True,
        maxFilesPerBatch: int | None = None,
        *,
        withSource: bool = False,
    ) -> DStream:
        """The lines of the files that appear in ``directory``, each file exactly once, whatever its date.

        ``directory`` may be a glob of directories, and may be made later. Names beginning with ``.`` or ``_``
        and names ending with ``._COPYING_`` are left alone, so write under such a name and rename.
        ``newFilesOnly=False`` takes the files that are there at the start too; ``maxFilesPerBatch`` lets the
        others wait, in the order of their paths. ``withSource=True`` gives
        ``SourceLine(source, number, text)`` instead of ``str``. Lines are read as ``sc.textFile`` reads them.
        """
        split = self._sc.conf.value(SPLIT_BYTES)

        def readers(storage: Storage, file: FileInfo, origin: int) -> list[PartitionReader]:
            return text_readers(storage, file, split_bytes=split, numbered=withSource, origin=origin)

        row_type = None if withSource else TEXT
        return self._files("textFileStream", directory, readers, newFilesOnly, maxFilesPerBatch, row_type)

    def binaryRecordsStream(
        self,
        directory: str | PathLike[str],
        recordLength: int,
        newFilesOnly: bool = True,
        maxFilesPerBatch: int | None = None,
    ) -> DStream:
        """The bytes of the files that appear in ``directory``, in records of ``recordLength``; which files
        these are is as in :meth:`textFileStream`. A file that is no whole number of records fails its batch.
        """
        _positive(recordLength, "recordLength")

        def readers(storage: Storage, file: FileInfo, origin: int) -> list[PartitionReader]:
            return [FixedRecords(storage, file, recordLength, origin)]

        return self._files("binaryRecordsStream", directory, readers, newFilesOnly, maxFilesPerBatch)

    def _files(
        self,
        operation: str,
        directory: str | PathLike[str],
        readers: Callable[[Storage, FileInfo, int], list[PartitionReader]],
        new_files_only: bool,
        max_files: int | None,
        row_type: RowType | None = None,
    ) -> DStream:
        self.must_be_open()
        if not isinstance(directory, (str, PathLike)):
            raise SignatureError(f"{operation} needs a directory, not {type(directory).__name__}")
        if max_files is not None:
            _positive(max_files, "maxFilesPerBatch")
        storage, pattern = storage_for(directory)
        origin = len(self._graph.inputs)
        source = FileSource(
            storage,
            pattern,
            lambda file: readers(storage, file, origin),
            clock=self._clock,
            new_files_only=new_files_only,
            max_files=max_files,
            watch_ms=self._sc.conf.value(MIN_REMEMBER_DURATION),
            row_type=row_type,
        )
        return self._input(operation, source)

    def queueStream(
        self,
        rdds: Sequence[RDD | Iterable[Any]],
        oneAtATime: bool = True,
        default: RDD | Iterable[Any] | None = None,
    ) -> DStream:
        """A batch an RDD of the list (or an iterable, which is parallelized); all in the first batch if not
        ``oneAtATime``. Then ``default``, or empty batches. Later changes of the list are not seen.

        It cannot be read again after a crash: for tests and demonstrations.
        """
        self.must_be_open()
        if not isinstance(rdds, Iterable) or isinstance(rdds, (str, bytes)):
            raise SignatureError(f"queueStream needs a list of RDDs or of lists, not {type(rdds).__name__}")
        plans = [self._plan_of(rdd) for rdd in rdds]
        last = None if default is None else self._plan_of(default)
        return self._input("queueStream", QueueSource(plans, one_at_a_time=oneAtATime, default=last))

    def _plan_of(self, rdd: RDD | Iterable[Any]) -> Node:
        if isinstance(rdd, RDD):
            return rdd.plan
        if not isinstance(rdd, Iterable):
            raise SignatureError(f"queueStream needs RDDs or lists of records, not {type(rdd).__name__}")
        return self._sc.parallelize(rdd).plan

    def _input(self, operation: str, source: StreamSource) -> DStream:
        node = Input(call_site(operation), source, len(self._graph.inputs), self._graph.interval_ms)
        self._graph.inputs.append(node)
        return DStream(node, self)

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


def _positive(count: object, what: str) -> None:
    if isinstance(count, bool) or not isinstance(count, int):
        raise SignatureError(f"{what} must be an int, not {count!r}")
    if count < 1:
        raise ArgumentError(f"{what} must be at least 1, not {count}")
