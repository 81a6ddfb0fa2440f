"""Streams of streams, batch by batch: what PySpark's DStream offers without looking back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

from penstock.chunk import Chunk, Rows, portable_hash
from penstock.dstream.handle import rdd_callback
from penstock.dstream.node import Transformed
from penstock.dstream.parsing import Parsing
from penstock.plan import FlatMap, Fold, FoldStep, Gather, Map, Narrow, Task, call_site, must_be_callable
from penstock.rdd import RDD, Partitioner, Partitioning, ReducingAll, aggregated, partition_count
from penstock.vectorize import Untraced

__all__ = ["Stateless"]


class Stateless(Parsing):
    """Each operation does to every batch what the RDD operation of the same name does to an RDD.

    Wherever a number of partitions goes, a ``Partitioner`` goes too; without either there are as many as
    ``sc.defaultParallelism``.
    """

    __slots__ = ()

    def map(self, f: Callable[[Any], Any], preservesPartitioning: bool = False) -> Self:
        """``f(record)`` for each record.

        >>> run_batches([[1, 2], [3]], lambda numbers: numbers.map(lambda x: x * 10))
        [[10, 20], [30]]
        """
        return self._each_by(f, Map, "map", placed=preservesPartitioning)

    def flatMap(self, f: Callable[[Any], Iterable[Any]], preservesPartitioning: bool = False) -> Self:
        """All that ``f(record)`` holds, for each record.

        >>> run_batches([["a b", "c"]], lambda lines: lines.flatMap(str.split))
        [['a', 'b', 'c']]
        """
        return self._each_by(f, FlatMap, "flatMap", placed=preservesPartitioning)

    def filter(self, f: Callable[[Any], Any]) -> Self:
        """The records for which ``f(record)`` is true.

        >>> run_batches([[1, 2, 3], [4]], lambda numbers: numbers.filter(lambda x: x % 2))
        [[1, 3], []]
        """
        must_be_callable(f, "filter")
        return self._each("filter", lambda rdd: rdd.filter(f))

    def mapPartitions(
        self, f: Callable[[Iterator[Any]], Iterable[Any]], preservesPartitioning: bool = False
    ) -> Self:
        """``f(iterator)`` once for each partition of each batch.

        >>> run_batches([[1, 2]], lambda s: s.mapPartitions(lambda rows: [sum(rows)]), numPartitions=1)
        [[3]]
        """
        must_be_callable(f, "mapPartitions")
        return self._each("mapPartitions", lambda rdd: rdd.mapPartitions(f, preservesPartitioning))

    def mapPartitionsWithIndex(
        self, f: Callable[[int, Iterator[Any]], Iterable[Any]], preservesPartitioning: bool = False
    ) -> Self:
        """``f(index, iterator)`` once for each partition of each batch.

        >>> numbered = lambda index, rows: [(index, row) for row in rows]
        >>> run_batches([["a"]], lambda s: s.mapPartitionsWithIndex(numbered), numPartitions=1)
        [[(0, 'a')]]
        """
        must_be_callable(f, "mapPartitionsWithIndex")
        return self._each(
            "mapPartitionsWithIndex", lambda rdd: rdd.mapPartitionsWithIndex(f, preservesPartitioning)
        )

    def glom(self) -> Self:
        """Each partition as one list.

        >>> run_batches([[1, 2]], lambda numbers: numbers.glom(), numPartitions=1)
        [[[1, 2]]]
        """
        return self._each("glom", lambda rdd: rdd.glom())

    def mapValues(self, f: Callable[[Any], Any]) -> Self:
        """``(key, f(value))`` for each pair.

        >>> run_batches([[("a", 1)]], lambda pairs: pairs.mapValues(lambda v: -v))
        [[('a', -1)]]
        """
        must_be_callable(f, "mapValues")
        return self._each("mapValues", lambda rdd: rdd.mapValues(f))

    def flatMapValues(self, f: Callable[[Any], Iterable[Any]]) -> Self:
        """``(key, item)`` for each item of ``f(value)``.

        >>> run_batches([[("a", "xy")]], lambda pairs: pairs.flatMapValues(list))
        [[('a', 'x'), ('a', 'y')]]
        """
        must_be_callable(f, "flatMapValues")
        return self._each("flatMapValues", lambda rdd: rdd.flatMapValues(f))

    def count(self) -> Self:
        """One number a batch: how many records; ``[0]`` for an empty one.

        >>> run_batches([["a", "b"], []], lambda stream: stream.count())
        [[2], [0]]
        """
        return self._each("count", counted)

    def countByValue(self, numPartitions: Partitioning = None) -> Self:
        """``(record, how often)`` for each distinct record of a batch.

        >>> run_batches([["a", "b", "a"]], lambda words: words.countByValue(1), numPartitions=1)
        [[('a', 2), ('b', 1)]]
        """
        to = self._partitioner(numPartitions)
        return self._each("countByValue", lambda rdd: rdd.map(_once).reduceByKey(_plus, to))

    def reduce(self, func: Callable[[Any, Any], Any]) -> Self:
        """The records of a batch folded by an associative ``func``: one record, or none of an empty batch.

        >>> run_batches([[1, 2, 3], []], lambda numbers: numbers.reduce(lambda a, b: a + b))
        [[6], []]
        """
        must_be_callable(func, "reduce")
        return self._each("reduce", lambda rdd: reduced_to_one(rdd, func))

    def reduceByKey(self, func: Callable[[Any, Any], Any], numPartitions: Partitioning = None) -> Self:
        """The values of each key of a batch folded by an associative ``func``, in arrival order.

        >>> run_batches([[("a", 1), ("a", 2)]], lambda pairs: pairs.reduceByKey(lambda a, b: a + b))
        [[('a', 3)]]
        """
        must_be_callable(func, "reduceByKey")
        to = self._partitioner(numPartitions)
        return self._each("reduceByKey", lambda rdd: rdd.reduceByKey(func, to))

    def groupByKey(self, numPartitions: Partitioning = None) -> Self:
        """``(key, iterable of its values)`` of a batch.

        >>> run_batches([[("a", 1), ("a", 2)]], lambda pairs: pairs.groupByKey().mapValues(list))
        [[('a', [1, 2])]]
        """
        to = self._partitioner(numPartitions)
        return self._each("groupByKey", lambda rdd: rdd.groupByKey(to))

    def combineByKey(
        self,
        createCombiner: Callable[[Any], Any],
        mergeValue: Callable[[Any, Any], Any],
        mergeCombiners: Callable[[Any, Any], Any],
        numPartitions: Partitioning = None,
    ) -> Self:
        """As ``RDD.combineByKey``.

        >>> functions = (lambda v: [v], lambda c, v: [*c, v], lambda c, d: c + d)
        >>> run_batches([[("a", 1), ("a", 2)]], lambda pairs: pairs.combineByKey(*functions))
        [[('a', [1, 2])]]
        """
        for function in (createCombiner, mergeValue, mergeCombiners):
            must_be_callable(function, "combineByKey")
        to = self._partitioner(numPartitions)
        return self._each(
            "combineByKey", lambda rdd: rdd.combineByKey(createCombiner, mergeValue, mergeCombiners, to)
        )

    def partitionBy(
        self, numPartitions: Partitioning, partitionFunc: Callable[[Any], int] = portable_hash
    ) -> Self:
        """The same pairs, each in partition ``partitionFunc(key) % numPartitions``.

        >>> run_batches([[(0, "a"), (1, "b")]], lambda pairs: pairs.partitionBy(2, lambda key: key).glom())
        [[[(0, 'a')], [(1, 'b')]]]
        """
        if isinstance(numPartitions, int):
            partition_count(numPartitions, "numPartitions")
        return self._each("partitionBy", lambda rdd: rdd.partitionBy(numPartitions, partitionFunc))

    def repartition(self, numPartitions: int) -> Self:
        """The records of each batch spread evenly; one partition keeps their order.

        >>> run_batches([[1, 2, 3]], lambda numbers: numbers.repartition(1).glom())
        [[[1, 2, 3]]]
        """
        count = partition_count(numPartitions, "numPartitions")
        return self._each("repartition", lambda rdd: rdd.repartition(count))

    def union(self, other: Self) -> Self:
        """The records of this one, then those of the other. Both need the same slide duration.

        >>> run_batches(([[1]], [[2]]), lambda one, two: one.union(two))
        [[1, 2]]
        """
        return self._both("union", other, lambda one, two: one.union(two))

    def join(self, other: Self, numPartitions: Partitioning = None) -> Self:
        """``(key, (value, other value))`` within a batch. Both need the same slide duration.

        >>> run_batches(([[("a", 1)]], [[("a", 2)]]), lambda one, two: one.join(two))
        [[('a', (1, 2))]]
        """
        return self._joined("join", other, numPartitions)

    def leftOuterJoin(self, other: Self, numPartitions: Partitioning = None) -> Self:
        """As ``join``, with ``None`` where the other has no such key.

        >>> run_batches(([[("a", 1)]], [[]]), lambda one, two: one.leftOuterJoin(two))
        [[('a', (1, None))]]
        """
        return self._joined("leftOuterJoin", other, numPartitions)

    def rightOuterJoin(self, other: Self, numPartitions: Partitioning = None) -> Self:
        """As ``join``, with ``None`` where this one has no such key.

        >>> run_batches(([[]], [[("a", 2)]]), lambda one, two: one.rightOuterJoin(two))
        [[('a', (None, 2))]]
        """
        return self._joined("rightOuterJoin", other, numPartitions)

    def fullOuterJoin(self, other: Self, numPartitions: Partitioning = None) -> Self:
        """As ``join``, with ``None`` where either has no such key.

        >>> run_batches(([[("a", 1)]], [[]]), lambda one, two: one.fullOuterJoin(two))
        [[('a', (1, None))]]
        """
        return self._joined("fullOuterJoin", other, numPartitions)

    def cogroup(self, other: Self, numPartitions: Partitioning = None) -> Self:
        """``(key, (iterable of values, iterable of the other's values))`` within a batch.

        >>> as_lists = lambda groups: tuple(map(list, groups))
        >>> run_batches(([[("a", 1)]], [[("a", 2)]]), lambda one, two: one.cogroup(two).mapValues(as_lists))
        [[('a', ([1], [2]))]]
        """
        return self._joined("cogroup", other, numPartitions)

    def _joined(self, operation: str, other: Self, given: Partitioning) -> Self:
        to = self._partitioner(given)
        return self._both(operation, other, lambda one, two: getattr(one, operation)(two, to))

    def transform(self, func: Callable[..., RDD | None]) -> Self:
        """``func(rdd)`` or ``func(time, rdd)`` once a batch, in the driver; it returns an RDD.

        ``time`` is a naive local ``datetime``. Where it returns ``None`` there is no RDD in this batch, and
        outputs that read it do nothing.

        >>> run_batches([[3, 1, 2]], lambda numbers: numbers.transform(lambda rdd: rdd.sortBy(lambda x: x)))
        [[1, 2, 3]]
        """
        site = call_site("transform")
        run = rdd_callback(func, (1, 2), "transform")
        return self._derive(
            Transformed(site, (self._node,), lambda time, rdds: run(time, *rdds), user_sites=True)
        )

    def transformWith(
        self, func: Callable[..., RDD | None], other: Self, keepSerializer: bool = False
    ) -> Self:
        """``func(rdd, other rdd)`` or ``func(time, rdd, other rdd)`` once a batch. Where only one of the two
        has an RDD in this batch, the other is empty.

        >>> minus = lambda rdd, other: rdd.subtract(other)
        >>> run_batches(([[1, 2]], [[2]]), lambda one, two: one.transformWith(minus, two))
        [[1]]
        """
        site = call_site("transformWith")
        run = rdd_callback(func, (2, 3), "transformWith")
        nodes = (self._node, self._other(other, site)._node)
        return self._derive(Transformed(site, nodes, lambda time, rdds: run(time, *rdds), user_sites=True))


class _Count(FoldStep):
    name = "count"

    def on_lent(self) -> _Count:
        return self

    def form(self, form: object) -> Untraced:
        """It counts columns as well as rows."""
        return Untraced("one number is made here")

    def begin(self, task: Task) -> Fold:
        return _Counted()


class _Counted(Fold):
    def __init__(self) -> None:
        self._count = 0

    def push(self, chunk: Chunk) -> None:
        self._count += len(chunk)

    def finish(self) -> Iterator[Chunk]:
        yield Rows([self._count])


def _total(task: Task, inputs: list[Iterator[Chunk]]) -> Iterator[Chunk]:
    yield Rows([sum(row for chunks in inputs for chunk in chunks for row in chunk.rows())])


def counted(rdd: RDD) -> RDD:
    """An RDD of one number: how many records ``rdd`` has."""
    site = call_site("count")
    counts = Narrow(site, rdd.plan, _Count())
    reads = [[(0, index) for index in range(counts.partitions)]]
    return RDD(Gather(site, (counts,), reads, _total), rdd.context)


def reduced_to_one(rdd: RDD, func: Callable[[Any, Any], Any]) -> RDD:
    """An RDD of one record, to which all of ``rdd`` are folded; empty if that is."""
    keyed = rdd.map(_keyless)
    plan = aggregated(keyed.plan, ReducingAll(func, call_site("reduce")), None, Partitioner(1))
    return RDD(plan, rdd.context).map(_value)


def _once(record: Any) -> tuple[Any, int]:
    return (record, 1)


def _keyless(record: Any) -> tuple[None, Any]:
    return (None, record)


def _value(pair: tuple[Any, Any]) -> Any:
    return pair[1]


def _plus(one: Any, other: Any) -> Any:
    return one + other
