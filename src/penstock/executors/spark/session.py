"""The only file that talks to PySpark: a SparkContext of ours, or one that the program hands over."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from penstock.errors import ArgumentError, StateError, UnsupportedError, WorkerLost

__all__ = ["Session", "must_be_master", "stored"]

_LINES_MAX = 12
_added: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()  # what was given to each SparkContext
_equipped: WeakKeyDictionary[Any, str] = WeakKeyDictionary()  # of which all workers have what they need
_DEFAULTS = {
    "spark.ui.showConsoleProgress": "false",  # a line at the foot of the terminal is our own
    "spark.locality.wait": "0s",  # what a task reads is fetched in less time than three seconds
}


class Session:
    """A SparkContext, which is stopped at the end if it was made here."""

    def __init__(self, context: Any, *, ours: bool) -> None:
        self._context = context
        self._ours = ours
        self._groups = 0
        self._lock = threading.Lock()

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
        for key, value in _DEFAULTS.items():
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
        return f"penstock-{self._context.applicationId}"

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

    def run(self, function: Callable[[Any], Any], inputs: Sequence[Any], description: str) -> list[Any]:
        """``function(input)`` in one task each; what they return, in order. ``WorkerLost`` if tasks have
        failed for reasons that are not theirs, as often as Spark tries."""
        context = self._context
        context.setJobGroup(self.job_group, description, True)
        rdd = context.parallelize(list(inputs), len(inputs))
        try:
            found: list[Any] = rdd.mapPartitions(_Each(function)).collect()
        except Exception as error:
            raise _translated(error) from error
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
        if self._ours:
            with _own_interrupts():
                self._context.stop()


class _Each:
    """A function of single inputs as one of a partition; found by its name in workers."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def __call__(self, inputs: Iterator[Any]) -> Iterator[Any]:
        return map(self.function, inputs)


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
