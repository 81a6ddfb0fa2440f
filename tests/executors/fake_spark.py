"""PySpark's RDDs, as far as Penstock uses them, in this process: so that blocks can be lost, tasks done
again and jobs counted in no time. What the real ones do is tested on a cluster."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest.mock import patch

import cloudpickle
from pyspark import StorageLevel, TaskContext

from penstock import Conf, Context
from penstock.executors.spark import Session, SparkExecutor

__all__ = ["FakeRDD", "FakeSpark", "Killed", "on_fake_spark"]

Function = Callable[[int, Iterator[Any]], Iterator[Any]]


def sent(what: Any) -> Any:
    """As it arrives in a worker."""
    return cloudpickle.loads(cloudpickle.dumps(what))


class FakeRDD:
    """Partitions that are computed from those of another; kept once :meth:`persist` was called."""

    def __init__(
        self, spark: FakeSpark, count: int, compute: Callable[[int], list[Any]], stages: int
    ) -> None:
        self.spark = spark
        self.count = count
        self.stages = stages
        self._compute = compute
        self.kept: dict[int, list[Any]] | None = None

    def partition(self, index: int) -> list[Any]:
        if self.kept is None:
            return self._compute(index)
        if index not in self.kept:
            self.kept[index] = self._compute(index)
        return sent(self.kept[index])

    def mapPartitionsWithIndex(self, function: Function) -> FakeRDD:
        def compute(index: int) -> list[Any]:
            found: list[Any] = []
            for attempt in range(self.spark.attempts):
                parent = self.partition(index)
                copy = sent(function)
                self.spark.later.append(lambda copy=copy, parent=parent: list(copy(index, iter(parent))))
                self.spark.tasks += 1
                self.spark.attempt = attempt
                try:
                    found = self.spark.as_task(
                        lambda copy=copy, parent=parent: list(copy(index, iter(parent)))
                    )
                except Killed:
                    assert attempt < self.spark.attempts - 1, "killed each time"
                self.spark.repeated += attempt > 0
            return sent(found)

        return FakeRDD(self.spark, self.count, compute, self.stages)

    def mapPartitions(self, function: Callable[[Iterator[Any]], Iterator[Any]]) -> FakeRDD:
        return self.mapPartitionsWithIndex(lambda index, parent: function(parent))

    def partitionBy(self, count: int, function: Callable[[Any], int]) -> FakeRDD:
        files: dict[int, list[list[Any]]] = {}

        def compute(index: int) -> list[Any]:
            for parent in range(self.count):
                if parent not in files:
                    files[parent] = [[] for _ in range(count)]
                    for each in self.partition(parent):
                        files[parent][function(each[0]) % count].append(each)
                        self.spark.moved += 1
            return [each for parent in files for each in sent(files[parent][index])]

        return FakeRDD(self.spark, count, compute, self.stages + 1)

    def persist(self, level: StorageLevel) -> FakeRDD:
        assert level == StorageLevel.MEMORY_AND_DISK
        self.kept = {}
        self.spark.persisted.append(self)
        self.spark.ever_persisted += 1
        return self

    def unpersist(self) -> FakeRDD:
        self.kept = None
        self.spark.persisted.remove(self)
        self.spark.given_up.release()
        return self

    def collect(self) -> list[Any]:
        return self.spark.runJob(self, lambda each: each, range(self.count))


class Killed(BaseException):
    """What a task meets whose process is killed."""


class FakeSpark:
    """As a ``SparkContext``. Each task is tried ``attempts`` times, of which the last one counts."""

    def __init__(self, parallelism: int = 2) -> None:
        self.defaultParallelism = parallelism
        self.applicationId = "fake"
        self.master = "fake"
        self.attempts = 1
        self.jobs: list[tuple[str, int]] = []  # what was said, and how many stages
        self.attempt = 0
        self.tasks = self.repeated = self.moved = 0
        self.later: list[Callable[[], list[Any]]] = []  # all tasks, for who does them once more
        self.persisted: list[FakeRDD] = []
        self.ever_persisted = 0
        self.given_up = threading.Semaphore(0)
        self._properties = threading.local()
        self._lock = threading.RLock()

    def addPyFile(self, path: str) -> None:
        pass

    def broadcast(self, data: bytes) -> Any:
        return FakeBroadcast(data)

    def setJobGroup(self, group: str, text: str, interrupt: bool) -> None:
        self._properties.said = text

    def setLocalProperty(self, key: str, value: str | None) -> None:
        self._properties.__dict__.setdefault("found", {})[key] = value

    def statusTracker(self) -> Any:
        raise RuntimeError("there is none")

    def parallelize(self, data: Sequence[Any], count: int) -> FakeRDD:
        bounds = [index * len(data) // count for index in range(count + 1)]
        return FakeRDD(self, count, lambda index: sent(list(data[bounds[index] : bounds[index + 1]])), 1)

    def union(self, rdds: Sequence[FakeRDD]) -> FakeRDD:
        places = [(rdd, index) for rdd in rdds for index in range(rdd.count)]

        def compute(index: int) -> list[Any]:
            rdd, partition = places[index]
            return rdd.partition(partition)

        return FakeRDD(self, len(places), compute, max(rdd.stages for rdd in rdds))

    def runJob(
        self, rdd: FakeRDD, function: Callable[[Iterator[Any]], Any], partitions: Sequence[int]
    ) -> list[Any]:
        with self._lock:
            self.jobs.append((self._properties.said, rdd.stages))
            return [each for index in partitions for each in sent(function)(iter(rdd.partition(index)))]

    def as_task(self, run: Callable[[], list[Any]]) -> list[Any]:
        """With what a task can ask for."""
        before = TaskContext.get()
        found = dict(getattr(self._properties, "found", {}))
        TaskContext._setTaskContext(TaskContext(localProperties=found))
        try:
            return run()
        finally:
            TaskContext._setTaskContext(before)

    def lose(self, *partitions: int) -> int:
        """Lose blocks of all that is kept; how many there were."""
        lost = 0
        for rdd in self.persisted:
            assert rdd.kept is not None
            for index in partitions or range(rdd.count):
                lost += rdd.kept.pop(index, None) is not None
        return lost


class FakeBroadcast:
    """As Spark's."""

    def __init__(self, value: bytes) -> None:
        self.value = value

    def unpersist(self) -> None:
        pass


class NoPackage:
    """What workers import is what this process has imported."""

    path = digest = ""

    @classmethod
    def of_process(cls) -> NoPackage:
        return cls()


def on_fake_spark(spark: FakeSpark, *, most_bytes: int, inline_rows: int = 0) -> Context:
    """A context whose stages run there. Data of the driver goes there too."""
    context = Context(conf=Conf().setMaster("local[2]").set("penstock.local.inlineRows", inline_rows))
    with patch("penstock.executors.spark.executor.Package", NoPackage):
        context._executor = SparkExecutor(Session(spark, ours=False), 2, inline_rows, most_bytes)
    spark.jobs.clear()
    return context
