"""The only file that talks to PySpark: a SparkContext of ours, or one that the program hands over."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any
from weakref import WeakKeyDictionary

from penstock.errors import ArgumentError, StateError, UnsupportedError, WorkerLost

__all__ = ["Read", "Session", "TaskFunction", "is_first_time", "must_be_master", "stored"]

_log = logging.getLogger(__name__)

_FIRST_TIME = "penstock.first"
_BESIDE_BYTES = 1024**2
"""Inputs of all tasks of a job that are sent to each of them, which saves a stage."""
_EVERYWHERE_BYTES = 1024**2
"""The same of jobs that read nothing else, all tasks together: it saves handing data to Java first."""
_EMPTY_MAX = 64  # RDDs without records that are held, by their number of partitions
Key = tuple[int, int, int]
Piece = tuple[Key, int, bytes]
TaskFunction = Callable[[int, Any, Sequence[Piece]], Iterator[Any]]

_LINES_MAX = 12
_added: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()  # what was given to each SparkContext
_equipped: WeakKeyDictionary[Any, str] = WeakKeyDictionary()  # of which all workers have what they need
_DEFAULTS = {
    "spark.ui.showConsoleProgress": "false",  # a line at the foot of the terminal is our own
    "spark.locality.wait": "0s",  # what a task reads is fetched in less time than three seconds
}
_STANDALONE_DEFAULTS = {
    # Over TCP a job of one small task takes about twice as long. Not where temporary files lie as deep as in
    # YARN: the names of these sockets have at most some hundred characters.
    "spark.python.unix.domain.socket.enabled": "true",
}


class Read:
    """What a job reads of what an earlier one has left: by key, the tasks that read it."""

    __slots__ = ("left", "partitions", "tasks")

    def __init__(self, left: Any, partitions: int) -> None:
        self.left = left
        self.partitions = partitions
        self.tasks: dict[Key, list[int]] = {}

    def add(self, key: Key, task: int) -> None:
        """A task reads it."""
        tasks = self.tasks.setdefault(key, [])
        if task not in tasks:
            tasks.append(task)

    def fits(self, count: int) -> bool:
        """Whether there are so many partitions and each task reads the one of its number, and no other."""
        return count == self.partitions and all(
            tasks == [partition] for (_, partition, _), tasks in self.tasks.items()
        )


def _size_of(given: Any) -> int:
    return len(given[2])


class Session:
    """A SparkContext, which is stopped at the end if it was made here."""

    def __init__(self, context: Any, *, ours: bool) -> None:
        self._context = context
        self._ours = ours
        self._job_group: str | None = None
        self._empty: dict[int, Any] = {}
        self._forgotten: SimpleQueue[Any] = SimpleQueue()
        self._forgetting: threading.Thread | None = None

    @classmethod
    def handed_over(cls, given: Any) -> Session:
        """A running SparkContext, or that of a SparkSession. Stopping ours leaves it as it is."""
        if any(each.__module__.startswith("pyspark.sql.connect") for each in type(given).__mro__):
            raise UnsupportedError(
                "a Spark Connect session has no RDDs, on which Penstock runs. Hint: "
                "SparkSession.builder.master('spark://...').getOrCreate() without remote(...), and with "
                "SPARK_REMOTE unset."
            )
        context = given if type(given).__name__ == "SparkContext" else given.sparkContext
        if context._jsc is None:
            raise StateError("the SparkContext that was handed over has been stopped already")
        return cls(context, ours=False)

    @classmethod
    def connected(cls, master: str, name: str, settings: Mapping[str, str]) -> Session:
        """A new SparkContext of that master."""
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        try:
            with warnings.catch_warnings():  # it warns of versions of pandas, which is not used here
                warnings.simplefilter("ignore", FutureWarning)
                import pyspark
        except ImportError:
            raise UnsupportedError(
                f"master {master!r} needs PySpark. Hint: pip install 'penstock[spark]', and Java 17 or newer."
            ) from None
        active = pyspark.SparkContext._active_spark_context
        if active is not None:
            raise StateError(
                f"there is an active SparkContext already ({active.appName}, {active.master}). Hint: hand it "
                f"over: Context(spark_context)."
            )
        conf = pyspark.SparkConf().setMaster(master).setAppName(name)
        standalone = master.startswith("spark://") and hasattr(socket, "AF_UNIX")
        for key, value in {**_DEFAULTS, **(_STANDALONE_DEFAULTS if standalone else {})}.items():
            conf.set(key, value)
        for key, value in settings.items():
            conf.set(key, value)
        with _own_interrupts():
            try:
                return cls(pyspark.SparkContext(conf=conf), ours=True)
            except Exception as error:
                java = type(error).__name__ == "PySparkRuntimeError" and "JAVA_GATEWAY" in str(error)
                if java:
                    hint = "is there Java 17 or newer? On Debian: apt install default-jre-headless"
                else:
                    hint = "is the cluster there, and is its Spark of PySpark's version?"
                raise UnsupportedError(
                    f"no Spark at {master!r}: {_short(str(error))} Hint: {hint}."
                ) from error

    @property
    def master(self) -> str:
        return str(self._context.master)

    @property
    def default_parallelism(self) -> int:
        """As many partitions as the cluster has cores, or as its settings say."""
        return int(self._context.defaultParallelism)

    @property
    def job_group(self) -> str:
        """What the jobs of this program are grouped under."""
        if self._job_group is None:
            self._job_group = f"penstock-{self._context.applicationId}"
        return self._job_group

    def add_file(self, path: str) -> None:
        """Have a zip of Python modules found by all workers. Again: nothing happens."""
        known = _added.setdefault(self._context, set())
        if path not in known:
            self._context.addPyFile(path)
            known.add(path)

    def is_equipped(self, what: str) -> bool:
        """Whether somebody has seen that all workers have what they need for this; see :meth:`equipped`."""
        return _equipped.get(self._context) == what

    def equipped(self, what: str) -> None:
        """Note it, as long as the SparkContext lives."""
        _equipped[self._context] = what

    def broadcast(self, data: bytes) -> Any:
        """Bytes that each worker fetches once, under ``.value``; ``destroy()`` gives them up."""
        return self._context.broadcast(data)

    def run(
        self, function: TaskFunction, inputs: Sequence[Any], description: str, reads: Sequence[Read] = ()
    ) -> list[Any]:
        """What comes of ``function(task, input, pieces)`` in one task for each input, in order. ``pieces``
        are those of ``reads`` that go to the task. ``WorkerLost`` if tasks have failed for reasons that are
        not theirs, as often as Spark tries."""
        self._begin(description)
        try:
            found: list[Any] = self._tasks(function, inputs, reads).collect()
        except Exception as error:
            raise _translated(error) from error
        return found

    def leave(
        self,
        function: TaskFunction,
        inputs: Sequence[Any],
        description: str,
        reads: Sequence[Read],
        stage: int,
    ) -> tuple[list[bytes], Any]:
        """As :meth:`run`, for a function of which the first of what comes is bytes and all else pieces, which
        stay on the cluster until :meth:`forget`: the former, and a name for the latter."""
        from pyspark import StorageLevel

        self._begin(description)
        tasks = self._tasks(function, inputs, reads)
        tasks.persist(StorageLevel.MEMORY_AND_DISK)
        try:
            self._context.setLocalProperty(_FIRST_TIME, str(stage))
            found: list[bytes] = tasks.mapPartitions(_without_pieces).collect()
        except BaseException as error:
            self.forget(tasks)
            if isinstance(error, Exception):
                raise _translated(error) from error
            raise
        finally:
            self._context.setLocalProperty(_FIRST_TIME, None)
        return found, tasks

    def pick(self, left: Any, keys: Sequence[Key]) -> list[Piece]:
        """Pieces that were left, brought here."""
        self._begin(f"brings {len(keys)} results of stage {keys[0][0]}")
        partitions = sorted({task for _, task, _ in keys})
        try:
            found: list[Piece] = self._context.runJob(left, _Picking(frozenset(keys)), partitions)
        except Exception as error:
            raise _translated(error) from error
        return found

    def forget(self, left: Any) -> None:
        """Give up what was left, without waiting for it. May be called by the garbage collector: it is done
        on another thread."""
        self._forgotten.put(left)
        if self._forgetting is None:
            self._forgetting = threading.Thread(
                target=_forget_all, args=(self._forgotten,), name="penstock-forgets", daemon=True
            )
            self._forgetting.start()

    def _begin(self, description: str) -> None:
        self._context.setJobGroup(self.job_group, description, True)

    def _tasks(self, function: TaskFunction, inputs: Sequence[Any], reads: Sequence[Read]) -> Any:
        """An RDD with a partition for each input."""
        context, count = self._context, len(inputs)
        if not reads:
            if count * sum(map(_size_of, inputs)) <= _EVERYWHERE_BYTES:
                return self._nothing(count).mapPartitionsWithIndex(_Beside(function, list(inputs)))
            return context.parallelize(list(inputs), count).mapPartitionsWithIndex(_Alone(function))
        if len(reads) == 1 and reads[0].fits(count) and sum(map(_size_of, inputs)) <= _BESIDE_BYTES:
            wanted = frozenset(reads[0].tasks)
            return reads[0].left.mapPartitionsWithIndex(_Beside(function, list(inputs), wanted))
        slices = min(count, max(1, self.default_parallelism))
        given = context.parallelize(list(enumerate(inputs)), slices).mapPartitions(_as_given)
        moved = [read.left.mapPartitions(_Moving(read.tasks)) for read in reads]
        everything = context.union([given, *moved]).partitionBy(count, _same)
        return everything.mapPartitionsWithIndex(_Gathered(function))

    def _nothing(self, count: int) -> Any:
        """An RDD without records of so many partitions, made once."""
        found = self._empty.get(count)
        if found is None:
            if len(self._empty) >= _EMPTY_MAX:
                self._empty.clear()
            found = self._empty[count] = self._context.parallelize([], count)
        return found

    def cancel(self) -> None:
        """End the jobs that run."""
        try:
            if self._context.statusTracker().getActiveJobsIds():
                self._context.cancelJobGroup(self.job_group)
        except Exception:  # the gateway is gone, and with it what would be ended
            return

    def stop(self) -> None:
        """End what was made here."""
        if self._forgetting is not None:
            self._forgotten.put(None)
            self._forgetting.join()
        if self._ours:
            with _own_interrupts():
                self._context.stop()


# What runs in workers, found there by its name


class _Alone:
    """A function of single inputs as one of a partition."""

    __slots__ = ("function",)

    def __init__(self, function: TaskFunction) -> None:
        self.function = function

    def __call__(self, task: int, inputs: Iterator[Any]) -> Iterator[Any]:
        for given in inputs:
            yield from self.function(task, given, ())


class _Beside:
    """The same where each task knows its input by its number, and reads what the task of that number has
    left, there."""

    __slots__ = ("function", "inputs", "wanted")

    def __init__(
        self, function: TaskFunction, inputs: Sequence[Any], wanted: frozenset[Key] = frozenset()
    ) -> None:
        self.function = function
        self.inputs = inputs
        self.wanted = wanted

    def __call__(self, task: int, left: Iterator[Any]) -> Iterator[Any]:
        pieces = [each for each in left if not isinstance(each, bytes) and each[0] in self.wanted]
        yield from self.function(task, self.inputs[task], pieces)


class _Gathered:
    """The same where pieces have been moved to the task that reads them, and its input with them."""

    __slots__ = ("function",)

    def __init__(self, function: TaskFunction) -> None:
        self.function = function

    def __call__(self, task: int, moved: Iterator[tuple[int, Any]]) -> Iterator[Any]:
        given: list[Any] = []
        pieces: list[Piece] = []
        for _, (piece, what) in moved:
            (given if piece is None else pieces).append(what if piece is None else (*piece, what))
        yield from self.function(task, given[0], pieces)


class _Moving:
    """Pieces on their way to the tasks that read them."""

    __slots__ = ("tasks",)

    def __init__(self, tasks: Mapping[Key, Sequence[int]]) -> None:
        self.tasks = tasks

    def __call__(self, left: Iterator[Any]) -> Iterator[tuple[int, Any]]:
        for each in left:
            if not isinstance(each, bytes):
                key, number, data = each
                for task in self.tasks.get(key, ()):
                    yield task, ((key, number), data)


class _Picking:
    """Pieces that the program's process asks for."""

    __slots__ = ("keys",)

    def __init__(self, keys: frozenset[Key]) -> None:
        self.keys = keys

    def __call__(self, left: Iterator[Any]) -> Iterator[Piece]:
        return (each for each in left if not isinstance(each, bytes) and each[0] in self.keys)


def _as_given(inputs: Iterator[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
    return ((task, (None, given)) for task, given in inputs)


def _without_pieces(left: Iterator[Any]) -> Iterator[bytes]:
    return (each for each in left if isinstance(each, bytes))


def _same(task: int) -> int:
    return task


def is_first_time(stage: int) -> bool:
    """In a worker: whether the program is waiting for what this task sends back, rather than for what it
    leaves, which was lost or has had no place."""
    from pyspark import TaskContext

    context = TaskContext.get()
    return context is not None and context.getLocalProperty(_FIRST_TIME) == str(stage)


def stored(broadcast: Any) -> bytes:
    """In a worker: the bytes of a broadcast."""
    data: bytes = broadcast.value
    return data


@contextmanager
def _own_interrupts() -> Iterator[None]:
    """PySpark puts a handler of Ctrl-C of its own in place; this program keeps its."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _translated(error: Exception) -> Exception:
    """What Spark says of a job that failed: not of a record, which comes back as a result."""
    text = str(error)
    mismatch = re.search(r"\[PYTHON_VERSION_MISMATCH\].*", text)
    if mismatch is not None:
        return UnsupportedError(
            f"{mismatch[0].strip()} Hint: set PYSPARK_PYTHON to a Python {sys.version_info[0]}."
            f"{sys.version_info[1]} that is on every host."
        )
    if "SPARK_JOB_CANCELLED" in text:
        return StateError("the job was cancelled")
    missing = re.search(r"Cannot run program \"([^\"]*)\".*", text)
    if missing is not None:
        return UnsupportedError(
            f"the workers of the cluster have no Python at {missing[1]}. Hint: set PYSPARK_PYTHON to one "
            f"that is on every host."
        )
    return WorkerLost(
        f"a job failed on the cluster: {_short(text)}\nHint: the logs of the executors say more; "
        f"spark.task.maxFailures says how often a task is tried."
    )


def _forget_all(forgotten: SimpleQueue[Any]) -> None:
    while (left := forgotten.get()) is not None:
        try:
            left.unpersist()
        except Exception as error:  # the gateway is gone, and all else with it
            _log.debug("what was left on the cluster could not be given up: %r", error)


def _short(text: str) -> str:
    """The first lines without those of Java's stack."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("at ")]
    return "\n".join(lines[:_LINES_MAX])


def must_be_master(master: str) -> None:
    """Refuse what is no address of a cluster."""
    if not re.fullmatch(r"(spark://.+:\d+(,.+:\d+)*|local-cluster\[.*\]|yarn|k8s://.+)", master):
        raise ArgumentError(
            f"master {master!r} is not understood. Hint: use local, local[N] or local[*]; or a cluster: "
            f"spark://host:7077, yarn, k8s://https://host:port."
        )
