"""Context: makes RDDs, and is where all parts come together."""

from __future__ import annotations

import itertools
import os
import re
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from penstock.chunk import Chunk, Columns
from penstock.clients import kafka
from penstock.conf import (
    APP_NAME,
    BRING_BYTES,
    DEFAULT_PARALLELISM,
    INLINE_ROWS,
    MASTER,
    PYTHON_WORKERS,
    SPLIT_BYTES,
    STATE_CACHE_BYTES,
    STATE_DRIVER_BYTES,
    STATE_HOME,
    TASK_MAX_FAILURES,
    Conf,
)
from penstock.dstream.home import StateHome
from penstock.errors import ArgumentError, SignatureError, StateError, UnsupportedError, joined
from penstock.executors import Executor, LocalExecutor, Prefetch, Together
from penstock.plan import Node, SliceReader, Source, StorageLevel, Task, call_site, current_metrics, slices
from penstock.rdd import RDD, Accumulator, AccumulatorParam, Broadcast, accepted, partition_count
from penstock.sinks import save_pickle_directory
from penstock.sources import (
    FixedRecords,
    Pickled,
    WholeFiles,
    files_of,
    grouped,
    must_be_partial,
    record_length,
    text_readers,
)
from penstock.storage import storage_for

if TYPE_CHECKING:
    import pyarrow

    from penstock.executors.spark import Session

__all__ = ["Context"]

T = TypeVar("T")


class Context:
    """The entry point to RDDs: PySpark's ``SparkContext``, which is its other name here.

    ``master`` is ``local`` (one thread), ``local[N]`` or ``local[*]`` (as many as there are CPUs, the
    default); or that of an Apache Spark cluster: ``spark://host:7077``, ``local-cluster[2,1,1024]``,
    ``yarn``, ``k8s://...``; or a ``SparkContext`` or classic ``SparkSession`` that runs already, which
    ``stop()`` leaves running. ``conf`` holds all other settings; those of Spark's own are passed on to a
    cluster. One context is active in a process at a time: ``StateError`` for a second one, until ``stop()``.
    Usable in a ``with`` statement.

    >>> sc.parallelize(range(5)).map(lambda x: x * x).sum()
    30
    """

    _active: ClassVar[Context | None] = None

    def __init__(
        self,
        master: Any = None,
        appName: str | None = None,
        sparkHome: str | None = None,
        pyFiles: Sequence[str] | None = None,
        environment: dict[str, Any] | None = None,
        batchSize: int = 0,
        serializer: Any = None,
        conf: Conf | None = None,
    ) -> None:
        """``pyFiles`` are given to :meth:`addPyFile`. ``sparkHome``, ``environment``, ``batchSize`` and
        ``serializer`` are accepted, for programs that give them, and have no effect."""
        if isinstance(master, Conf):
            master, conf = None, master
        self._site = call_site("Context")
        active = Context._active
        if active is not None:
            raise StateError(
                f"there is an active Context already (app {active.appName}, master {active.master}), made at "
                f"{active._site}. Hint: stop() it first, or use Context.getOrCreate()."
            )
        self._conf = (conf or Conf()).copy()
        session: Session | None = None
        if _is_of_spark(master):
            session = _handed_over(master)
            self._conf.setMaster(session.master)
        elif master is not None:
            self._conf.setMaster(master)
        if appName is not None:
            self._conf.setAppName(appName)
        self._executor: Executor = _executor_for(self.master, self._conf, session)
        self._stopped = False
        self._stop_stream: Callable[[], None] | None = None  # set by the stream that runs here
        self._page_of_stream: Callable[[], str | None] | None = None  # set by it, too
        self._rdd_ids = itertools.count(1)
        self._variables = 0
        self._checkpoint_directory: str | None = None
        self._state_home: StateHome | None = None
        self._to_checkpoint: WeakSet[Node] = WeakSet()
        self._checkpointed: WeakKeyDictionary[Node, str] = WeakKeyDictionary()
        Context._active = self
        for path in pyFiles or ():
            self.addPyFile(path)

    @classmethod
    def getOrCreate(cls, conf: Conf | None = None) -> Context:
        """The active context, or a new one.

        >>> Context.getOrCreate() is sc
        True
        """
        return cls._active or cls(conf=conf)

    def __repr__(self) -> str:
        return f"<Context master={self.master} appName={self.appName}>"

    def _must_not_travel(self) -> None:
        raise UnsupportedError(
            "a function that runs in a worker holds a Context, or an RDD or stream of one. Hint: let it hold "
            "the data itself, a broadcast value, or what collect() gives."
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # Facts

    @property
    def conf(self) -> Conf:
        """The settings; changing them has no effect any more."""
        return self._conf

    def getConf(self) -> Conf:
        """A copy of the settings."""
        return self._conf.copy()

    @property
    def master(self) -> str:
        """Where the work runs, such as ``local[4]``."""
        return self._conf.value(MASTER)

    @property
    def appName(self) -> str:
        """The program's name."""
        return self._conf.value(APP_NAME)

    @property
    def version(self) -> str:
        """Penstock's version."""
        return str(sys.modules["penstock"].__version__)  # the package's metadata take 50 ms to read

    @property
    def defaultParallelism(self) -> int:
        """Partitions where nothing says how many: ``spark.default.parallelism``, or one a thread."""
        return self._conf.value(DEFAULT_PARALLELISM) or self._executor.parallelism

    @property
    def defaultMinPartitions(self) -> int:
        """Accepted by file readers where PySpark programs pass it on: at most 2."""
        return min(self.defaultParallelism, 2)

    @property
    def uiWebUrl(self) -> str | None:
        """Where the page of the stream that runs on this context is; ``None`` where there is none, or none
        yet: see ``StreamingContext.uiWebUrl``."""
        return None if self._page_of_stream is None else self._page_of_stream()

    # Making RDDs

    def parallelize(self, c: Iterable[Any], numSlices: int | None = None) -> RDD:
        """The records of an iterable, in ``numSlices`` partitions, cut as PySpark cuts them.

        >>> sc.parallelize([1, 2, 3, 4, 5], 2).glom().collect()
        [[1, 2], [3, 4, 5]]
        """
        count = self._slices(numSlices)
        records = c if isinstance(c, (range, list, tuple)) else list(c)
        return self._source("parallelize", slices(records, count))

    def range(self, start: int, end: int | None = None, step: int = 1, numSlices: int | None = None) -> RDD:
        """The numbers of ``range(start, end, step)``, made as they are read; or of ``range(start)``.

        >>> sc.range(0, 10, 3).collect()
        [0, 3, 6, 9]
        """
        numbers = range(start) if end is None else range(start, end, step)
        return self.parallelize(numbers, numSlices)

    def emptyRDD(self) -> RDD:
        """An RDD without partitions.

        >>> sc.emptyRDD().collect()
        []
        """
        return self._source("emptyRDD", ())

    def fromArrow(self, table: pyarrow.Table, numSlices: int | None = None) -> RDD:
        """The rows of an Arrow table, which stay columns until a function wants Python objects.

        Each record is a ``NamedTuple`` of the column names. ``RowTypeError`` names the column whose type
        has no exact Python type.

        >>> import pyarrow as pa
        >>> sc.fromArrow(pa.table({"n": [1, 2]})).map(lambda row: row.n).collect()
        [1, 2]
        """
        count = self._slices(numSlices)
        bounds = [index * table.num_rows // count for index in range(count + 1)]
        pieces = [table.slice(at, stop - at) for at, stop in itertools.pairwise(bounds)]
        return self._source("fromArrow", [SliceReader(list(Columns.from_arrow(piece))) for piece in pieces])

    def textFile(
        self,
        name: str,
        minPartitions: int | None = None,
        use_unicode: bool = True,
        *,
        withSource: bool = False,
    ) -> RDD:
        """The lines of text files: a path, a directory, a glob, or several with commas between.

        ``.gz``, ``.bz2``, ``.xz`` and ``.zst`` files are decompressed. A file larger than
        ``penstock.files.splitBytes``, or than an even share of ``minPartitions``, is read as several
        partitions. ``use_unicode=False`` gives ``bytes``; ``withSource=True`` gives
        ``SourceLine(source, number, text)``, and reads each file as one partition.
        """
        if withSource and not use_unicode:
            raise SignatureError("textFile gives either bytes or lines with their source, not both")
        storage, files = files_of(name)
        split = self._conf.value(SPLIT_BYTES)
        if minPartitions is not None:
            wanted = partition_count(minPartitions, "minPartitions")
            split = min(split, max(1, -(-sum(file.size for file in files) // wanted)))
        readers = [
            reader
            for file in files
            for reader in text_readers(storage, file, split_bytes=split, numbered=withSource)
        ]
        rdd = self._source("textFile", readers)
        return rdd if use_unicode else rdd.map(str.encode)

    def wholeTextFiles(self, path: str, minPartitions: int | None = None, use_unicode: bool = True) -> RDD:
        """``(path, text)`` of each file, decompressed if its name says so; ``use_unicode=False`` gives both
        as ``bytes``."""
        storage, files = files_of(path)
        groups = grouped(files, self._slices(minPartitions))
        rdd = self._source("wholeTextFiles", [WholeFiles(storage, part, text=True) for part in groups])
        return rdd if use_unicode else rdd.map(lambda pair: (pair[0].encode(), pair[1].encode()))

    def binaryFiles(self, path: str, minPartitions: int | None = None) -> RDD:
        """``(path, bytes)`` of each file, as it is."""
        storage, files = files_of(path)
        groups = grouped(files, self._slices(minPartitions))
        return self._source("binaryFiles", [WholeFiles(storage, part, text=False) for part in groups])

    def binaryRecords(
        self,
        path: str,
        recordLength: int | None = None,
        *,
        dtype: Any = None,
        cls: type | None = None,
        partial: str = "fail",
    ) -> RDD:
        """The files' bytes in records of ``recordLength``, or read by a NumPy ``dtype`` as columns.

        ``CorruptInput`` for a file that is no whole number of them, as in PySpark; with ``partial="reject"``
        what is left is in ``.rejects`` of this RDD. All is as in ``ssc.binaryRecordsStream``.

        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "a"
        >>> _ = file.write_bytes(b"abcde")
        >>> records = sc.binaryRecords(str(file), 2, partial="reject")
        >>> records.collect(), records.rejects.map(lambda reject: reject.text).collect()
        ([b'ab', b'cd'], ['65'])
        """
        length, layout = record_length(recordLength, dtype, cls)
        wanted = must_be_partial(partial)
        storage, files = files_of(path)
        readers = [FixedRecords(storage, file, length, partial=wanted, layout=layout) for file in files]
        self._must_run()
        site = call_site("binaryRecords")
        source = Source(site, readers, None if layout is None else layout.row_type)
        return RDD(source if wanted == "fail" else accepted(source, site), self)

    def pickleFile(self, name: str, minPartitions: int | None = None) -> RDD:
        """What ``saveAsPickleFile`` wrote. Unpickling runs code: read only what you trust."""
        storage, files = files_of(name)
        return self._source("pickleFile", [Pickled(storage, file) for file in files])

    def union(self, rdds: Sequence[RDD]) -> RDD:
        """The partitions of all RDDs, one after the other.

        >>> sc.union([sc.parallelize([1]), sc.parallelize([2])]).collect()
        [1, 2]
        """
        if not rdds:
            return self.emptyRDD()
        return rdds[0]._union([rdds[0], *(rdds[0]._other(rdd, "union") for rdd in rdds[1:])])

    def _source(self, operation: str, readers: Sequence[Any]) -> RDD:
        self._must_run()
        return RDD(Source(call_site(operation), readers), self)

    def _slices(self, given: int | None) -> int:
        return self.defaultParallelism if given is None else partition_count(given, "numSlices")

    # Shared variables

    def broadcast(self, value: Any) -> Broadcast:
        """A value that functions read under ``.value``."""
        self._variables += 1
        return Broadcast(self._variables, value)

    def accumulator(self, value: Any, accum_param: AccumulatorParam | None = None) -> Accumulator:
        """A figure that functions add to: a number, or anything with an ``AccumulatorParam``."""
        self._variables += 1
        return Accumulator(self._variables, value, accum_param)

    # Running, as RDDs ask for it

    @property
    def elsewhere(self) -> str:
        """Where functions run that are called record by record, in words; empty: in this process."""
        return self._executor.elsewhere

    def run(
        self,
        plan: Node,
        action: Callable[[Task, Iterator[Chunk]], T],
        partitions: Sequence[int] | None = None,
    ) -> list[T]:
        """``action`` over partitions of a plan; see ``Runner``."""
        self._must_run(plan)
        results = self._executor.run(plan, action, partitions, current_metrics())
        if self._to_checkpoint:
            self._checkpoint_what_was_read(plan)
        return results

    def iterate(
        self, plan: Node, partitions: Sequence[int] | None = None, *, most: int | None = None
    ) -> Iterator[Chunk]:
        """The chunks of a plan as they are pulled; see ``Runner``."""
        self._must_run(plan)
        chunks = self._executor.iterate(plan, partitions, current_metrics(), most)
        return self._then_checkpoint(plan, chunks) if self._to_checkpoint else chunks

    def first_kept(self, plan: Node, most: int) -> list[Any] | None:
        """The first records of a plan, if they lie at hand; see ``Runner``."""
        if self._stopped or self._to_checkpoint:
            return None
        return self._executor.first_kept(plan, most)

    def _then_checkpoint(self, plan: Node, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        yield from chunks
        self._checkpoint_what_was_read(plan)

    def keep(self, plan: Node, level: StorageLevel) -> None:
        """Keep what is computed of a plan."""
        self._executor.keep(plan, level)

    def share(self, plans: Sequence[Node], roots: Sequence[Node]) -> None:
        """Compute each of some plans once for all that ``roots`` make of it."""
        self._executor.share(plans, roots)

    def together(self, plans: Sequence[Node]) -> Together:
        """Jobs on these plans are about to come; see ``Executor``."""
        return self._executor.together(plans)

    def prefetch(self, plan: Node) -> Prefetch:
        """Make ready to compute a plan ahead of the jobs that read it, on whichever thread runs it."""
        return self._executor.prefetch(plan)

    def drop(self, plan: Node) -> None:
        """Forget what was kept of a plan."""
        self._executor.drop(plan)

    def level_of(self, plan: Node) -> StorageLevel:
        """How a plan is kept."""
        return self._executor.level_of(plan)

    def next_rdd_id(self) -> int:
        """A number no other RDD has."""
        return next(self._rdd_ids)  # one step: two threads make RDDs

    def _must_run(self, plan: Node | None = None) -> None:
        if self._stopped:
            raise StateError("this Context has been stopped. Hint: make a new one.")
        if plan is not None and (gaps := self._executor.unsupported(plan)):
            raise UnsupportedError(joined(gaps))

    @property
    def state_home(self) -> StateHome | None:
        """Where operators may have their state outside of this process; ``None``: nowhere."""
        kind = self._conf.value(STATE_HOME)
        if self._state_home is None and kind != "driver" and self._executor.has_far_workers:
            directory = self._checkpoint_directory
            if directory is not None:
                driver_bytes = None if kind == "cluster" else self._conf.value(STATE_DRIVER_BYTES)
                cache_bytes = self._conf.value(STATE_CACHE_BYTES)
                self._state_home = StateHome(directory, driver_bytes, cache_bytes, self.run)
        return self._state_home

    # Checkpoints of RDDs

    def setCheckpointDir(self, dirName: str) -> None:
        """Where ``RDD.checkpoint()`` writes; made if it is missing. Operators with state ask for it.

        In one process it costs nothing until something is written there.
        """
        storage, path = storage_for(dirName)
        storage.makedirs(path)
        self._checkpoint_directory = os.path.join(dirName, str(uuid.uuid4()))

    def getCheckpointDir(self) -> str | None:
        """The directory of this context within what ``setCheckpointDir`` was given, or ``None``."""
        return self._checkpoint_directory

    def request_checkpoint(self, plan: Node) -> None:
        """Write a plan with the next job that reads it; see ``RDD.checkpoint``."""
        if self._checkpoint_directory is None:
            raise StateError("checkpoint() needs a directory. Hint: sc.setCheckpointDir(directory) first.")
        if plan not in self._checkpointed:
            self._to_checkpoint.add(plan)

    def is_kept(self, plan: Node) -> bool:
        """Whether a plan is persisted, or is or will be checkpointed."""
        in_checkpoint = plan in self._checkpointed or plan in self._to_checkpoint
        return in_checkpoint or self.level_of(plan) != StorageLevel.NONE

    def checkpoint_file(self, plan: Node) -> str | None:
        """Where a plan was written to."""
        return self._checkpointed.get(plan)

    def forget_checkpoint(self, plan: Node) -> None:
        """Delete what was written of a plan, which nobody reads any more."""
        self._to_checkpoint.discard(plan)
        directory = self._checkpointed.pop(plan, None)
        if directory is not None:
            storage, path = storage_for(directory)
            storage.remove_tree(path)

    def _checkpoint_what_was_read(self, plan: Node) -> None:
        pending, seen = [plan], {plan}
        while pending:
            node = pending.pop()
            if node in self._to_checkpoint:
                self._to_checkpoint.discard(node)
                self._write_checkpoint(node)
                continue
            news = [parent for parent in node.parents if parent not in seen]
            seen.update(news)
            pending.extend(news)

    def _write_checkpoint(self, plan: Node) -> None:
        assert self._checkpoint_directory is not None
        directory = os.path.join(self._checkpoint_directory, f"rdd-{self.next_rdd_id()}")
        save_pickle_directory(self, plan, directory)
        storage, files = files_of(directory)
        readers = [Pickled(storage, file) for file in files]
        self._executor.replace(plan, Source(plan.site, readers))
        self._checkpointed[plan] = directory

    # The end

    def stop(self) -> None:
        """Give all threads and files back; a stream that runs on this context is stopped before. Again:
        nothing happens."""
        if self._stopped:
            return
        if self._stop_stream is not None:
            stop_stream, self._stop_stream = self._stop_stream, None
            stop_stream()  # comes back here when its last batch is over
            return
        self._stopped = True
        self._executor.close()
        if self._state_home is not None:
            self._state_home.close()
        kafka.close_readers()
        if Context._active is self:
            Context._active = None

    def addPyFile(self, path: str) -> None:
        """Have modules found here and by all workers: a ``.py`` file, or a ``.zip`` or ``.egg`` of some.

        Functions of the program's own modules need none of this: they travel whole. It is for packages that
        the Python of the workers lacks. ``ArgumentError`` for what is no such file.
        """
        full = os.path.abspath(path)
        if not path.endswith((".py", ".zip", ".egg")) or not os.path.isfile(full):
            raise ArgumentError(
                f"addPyFile({path!r}): there is no such .py, .zip or .egg file here. Hint: zip a package: "
                f"shutil.make_archive."
            )
        where = os.path.dirname(full) if path.endswith(".py") else full
        if where not in sys.path:
            sys.path.insert(1, where)
        self._executor.add_modules(full)

    def setLogLevel(self, logLevel: str) -> None:
        """How much Penstock logs: ``ERROR``, ``WARN``, ``INFO``, ``DEBUG``, ... as in PySpark."""
        import logging

        names = {"ALL": "DEBUG", "TRACE": "DEBUG", "WARN": "WARNING", "FATAL": "CRITICAL", "OFF": "CRITICAL"}
        level = names.get(logLevel.upper(), logLevel.upper())
        if level not in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
            raise ArgumentError(f"no log level {logLevel!r}. Hint: use ERROR, WARN, INFO or DEBUG.")
        logging.getLogger("penstock").setLevel(level)


def _is_of_spark(given: object) -> bool:
    """Whether it is a SparkContext or a SparkSession; without importing PySpark."""
    return any(
        cls.__module__.split(".")[0] == "pyspark" and cls.__name__ in ("SparkContext", "SparkSession")
        for cls in type(given).__mro__
    )


def _handed_over(given: Any) -> Session:
    from penstock.executors.spark import Session

    return Session.handed_over(given)


def _for_spark(conf: Conf) -> dict[str, str]:
    """The settings that are Spark's own: those that mean something here are not passed on."""
    return {
        key: value
        for key, value in conf.getAll()
        if key.startswith("spark.") and not key.startswith(("spark.streaming.", "spark.ui."))
    }


_MASTER = re.compile(r"local(?:\[(\*|\d+)(?:\s*,\s*\d+)?\])?")


def _executor_for(master: str, conf: Conf, session: Session | None = None) -> Executor:
    if not isinstance(master, str):
        raise SignatureError(f"master must be a string such as 'local[2]', not {master!r}")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    match = _MASTER.fullmatch(master)
    if session is not None or match is None or match[1] == "0":
        from penstock.executors.spark import Session, SparkExecutor, must_be_master

        if session is None:
            must_be_master(master)
            session = Session.connected(master, conf.value(APP_NAME), _for_spark(conf))
        return SparkExecutor(session, cores, conf.value(INLINE_ROWS), conf.value(BRING_BYTES))
    threads = 1 if match[1] is None else cores if match[1] == "*" else int(match[1])
    inline_rows = conf.value(INLINE_ROWS)
    if conf.value(PYTHON_WORKERS) == "threads":
        return LocalExecutor(threads, inline_rows)
    from penstock.executors.processes import ProcessCrew  # few want it, and it loads much

    max_failures = conf.value(TASK_MAX_FAILURES)
    crew = ProcessCrew(threads, max_failures=max_failures, always=not inline_rows)
    return LocalExecutor(threads, inline_rows, crew)
