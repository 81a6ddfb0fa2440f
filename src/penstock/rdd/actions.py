"""Operations that run a plan and bring something back."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from operator import add
from typing import Any

from penstock.chunk import Chunk, isolated, rows_of
from penstock.errors import ArgumentError, CallSite, EmptyError
from penstock.plan import Calling, Task, asked_at, must_be_callable
from penstock.rdd.aggregation import reduced
from penstock.rdd.indexing import flat
from penstock.rdd.pair_operations import PairOperations
from penstock.rdd.partition_results import (
    NOTHING,
    candidates,
    folded,
    guarded,
    put_into,
    summed,
    values_of,
)
from penstock.rdd.statistics import StatCounter

__all__ = ["Actions"]


class Actions(PairOperations):
    """PySpark's actions."""

    __slots__ = ()

    def collect(self) -> list[Any]:
        """All records, partition after partition.

        >>> sc.parallelize([3, 1, 2]).collect()
        [3, 1, 2]
        """
        return flat(self._run(_rows))

    def toLocalIterator(self, prefetchPartitions: bool = False) -> Iterator[Any]:
        """The records one by one; a partition is computed when it is reached.

        >>> next(sc.parallelize(range(10)).toLocalIterator())
        0
        """
        return rows_of(self.context.iterate(self.plan))

    def take(self, num: int) -> list[Any]:
        """The first ``num`` records; no partition or chunk behind them is computed.

        >>> sc.parallelize(range(1000), 10).take(3)
        [0, 1, 2]
        """
        if num <= 0:
            return []
        if type(num) is int and (found := self.context.first_kept(self.plan, num)) is not None:
            return found
        chunks = self.context.iterate(self.plan, most=num)
        try:
            return list(islice(rows_of(chunks), num))
        finally:
            chunks.close()  # type: ignore[attr-defined]

    def first(self) -> Any:
        """The first record; ``EmptyError`` (a ``ValueError``) if there is none.

        >>> sc.parallelize([7, 8]).first()
        7
        """
        found = self.take(1)
        if not found:
            raise EmptyError("first() of an empty RDD. Hint: take(1) gives [] instead.")
        return found[0]

    def isEmpty(self) -> bool:
        """Whether there is no record.

        >>> sc.parallelize([]).isEmpty()
        True
        """
        return not self.take(1)

    def top(self, num: int, key: Callable[[Any], Any] | None = None) -> list[Any]:
        """The ``num`` largest by ``key``, the largest first; of equal ones the earlier first.

        >>> sc.parallelize([3, 9, 5]).top(2)
        [9, 5]
        """
        return self._extremes("top", heapq.nlargest, num, key)

    def takeOrdered(self, num: int, key: Callable[[Any], Any] | None = None) -> list[Any]:
        """The ``num`` smallest by ``key``, the smallest first; of equal ones the earlier first.

        >>> sc.parallelize([3, 9, 5]).takeOrdered(2, key=lambda x: -x)
        [9, 5]
        """
        return self._extremes("takeOrdered", heapq.nsmallest, num, key)

    def _extremes(self, operation: str, pick: Any, num: int, key: Callable[[Any], Any] | None) -> list[Any]:
        if num < 0:
            raise ArgumentError(f"{operation} needs a number of at least 0, not {num}")
        site = self._site(operation)

        def of_partition(task: Task, chunks: Iterator[Chunk]) -> list[Any]:
            records = candidates(chunks, num, key, ascending=pick is heapq.nsmallest)
            found: list[Any] = guarded(site, records, lambda rows: pick(num, rows, key=key))
            return found

        found = flat(self._run(of_partition if key is None else Calling(of_partition)))
        return list(guarded(site, iter(found), lambda rows: pick(num, rows, key=key)))

    def count(self) -> int:
        """How many records.

        >>> sc.parallelize("abc").count()
        3
        """
        return sum(self._run(lambda task, chunks: sum(map(len, chunks))))

    def reduce(self, f: Callable[[Any, Any], Any]) -> Any:
        """The fold of all records by an associative ``f``: within each partition, then over those.
        ``EmptyError`` (a ``ValueError``) if there is none.

        >>> sc.parallelize([1, 2, 3]).reduce(lambda a, b: a + b)
        6
        """
        must_be_callable(f, "reduce")
        site = self._site("reduce")
        parts = self._run(Calling(lambda task, chunks: folded(None, f, site, NOTHING, chunks)))
        found = [part for part in parts if part is not NOTHING]
        if not found:
            raise EmptyError(
                f"{site} of an empty RDD. Hint: fold(zeroValue, op) gives the zero value instead."
            )
        return reduced(found, f, site)

    def fold(self, zeroValue: Any, op: Callable[[Any, Any], Any]) -> Any:
        """As ``reduce``, beginning each partition and the end with a copy of ``zeroValue``.

        >>> sc.parallelize([1, 2, 3]).fold(0, lambda a, b: a + b)
        6
        """
        must_be_callable(op, "fold")
        site = self._site("fold")
        parts = self._folded(zeroValue, op, site)
        return reduced([isolated(zeroValue), *parts], op, site)

    def aggregate(
        self, zeroValue: Any, seqOp: Callable[[Any, Any], Any], combOp: Callable[[Any, Any], Any]
    ) -> Any:
        """Each partition folded by ``seqOp`` from a copy of ``zeroValue``, those folded by ``combOp``.

        >>> add_one = lambda total, x: (total[0] + x, total[1] + 1)
        >>> add_two = lambda one, other: (one[0] + other[0], one[1] + other[1])
        >>> sc.parallelize([1, 2, 3]).aggregate((0, 0), add_one, add_two)
        (6, 3)
        """
        must_be_callable(seqOp, "aggregate")
        must_be_callable(combOp, "aggregate")
        site = self._site("aggregate")
        parts = self._folded(zeroValue, seqOp, site)
        return reduced([isolated(zeroValue), *parts], combOp, site)

    def _folded(self, zero: Any, function: Callable[[Any, Any], Any], site: CallSite) -> list[Any]:
        """Each partition folded from a copy of ``zero``."""

        def create(record: Any) -> Any:
            return function(isolated(zero), record)

        return self._run(Calling(lambda task, chunks: folded(create, function, site, isolated(zero), chunks)))

    def max(self, key: Callable[[Any], Any] | None = None) -> Any:
        """The largest record by ``key``; of equal ones the first. ``EmptyError`` if there is none.

        >>> sc.parallelize(["a", "ccc", "bb"]).max(key=len)
        'ccc'
        """
        return self._extreme("max", max, key)

    def min(self, key: Callable[[Any], Any] | None = None) -> Any:
        """The smallest record by ``key``; of equal ones the first. ``EmptyError`` if there is none.

        >>> sc.parallelize([3, 1, 2]).min()
        1
        """
        return self._extreme("min", min, key)

    def _extreme(self, operation: str, pick: Any, key: Callable[[Any], Any] | None) -> Any:
        site = self._site(operation)

        def of_partition(task: Task, chunks: Iterator[Chunk]) -> Any:
            records = candidates(chunks, 1, key, ascending=pick is min)
            return guarded(site, records, lambda rows: pick(rows, key=key, default=NOTHING))

        action = of_partition if key is None else Calling(of_partition)
        found = [part for part in self._run(action) if part is not NOTHING]
        if not found:
            raise EmptyError(f"{site} of an empty RDD. Hint: ask isEmpty() first.")
        return guarded(site, iter(found), lambda rows: pick(rows, key=key))

    def sum(self) -> Any:
        """The sum of the records: of each partition, then of those; 0 if there is none.

        >>> sc.parallelize([1, 2, 3]).sum()
        6
        """
        site = self._site("sum")
        return sum(self._run(lambda task, chunks: summed(site, chunks)))

    def stats(self) -> StatCounter:
        """Count, mean, variance, extremes in one pass.

        >>> sc.parallelize([1.0, 2.0, 3.0]).stats().mean()
        2.0
        """
        site = self._site("stats")
        total = StatCounter()
        for part in self._run(lambda task, chunks: guarded(site, rows_of(chunks), StatCounter)):
            total.mergeStats(part)
        return total

    def mean(self) -> float:
        """The mean of the records; 0.0 if there is none, as in PySpark.

        >>> sc.parallelize([1, 2, 6]).mean()
        3.0
        """
        return self.stats().mean()

    def variance(self) -> float:
        """The population's variance.

        >>> sc.parallelize([1, 2, 3]).variance()
        0.6666666666666666
        """
        return self.stats().variance()

    def stdev(self) -> float:
        """The population's standard deviation.

        >>> sc.parallelize([1, 1]).stdev()
        0.0
        """
        return self.stats().stdev()

    def foreach(self, f: Callable[[Any], Any]) -> None:
        """``f(record)`` for each record, for its effect.

        >>> total = sc.accumulator(0)
        >>> sc.parallelize([1, 2, 3]).foreach(total.add)
        >>> total.value
        6
        """
        must_be_callable(f, "foreach")
        site = self._site("foreach")

        def each(records: Iterable[Any]) -> None:
            for record in records:
                f(record)

        self._run(Calling(lambda task, chunks: guarded(site, rows_of(chunks), each)))

    def foreachPartition(self, f: Callable[[Iterator[Any]], Any]) -> None:
        """``f(iterator)`` once for each partition, for its effect.

        >>> sc.parallelize([1, 2], 2).foreachPartition(lambda records: None)
        """
        must_be_callable(f, "foreachPartition")
        site = self._site("foreachPartition")
        self._run(Calling(lambda task, chunks: guarded(site, rows_of(chunks), f) and None))

    def countByValue(self) -> dict[Any, int]:
        """How often each record occurs, in order of first appearance.

        >>> sc.parallelize("abca").countByValue()["a"]
        2
        """
        with asked_at(self._site("countByValue")):
            return self.map(lambda record: (record, None)).countByKey()

    def countByKey(self) -> dict[Any, int]:
        """How many pairs each key has, in order of first appearance.

        >>> dict(sc.parallelize([("a", 5), ("a", 6)]).countByKey())
        {'a': 2}
        """
        with asked_at(self._site("countByKey")):
            counts = self.combineByKey(lambda value: 1, lambda count, value: count + 1, add, 1)
            return defaultdict(int, counts.collect())

    def collectAsMap(self) -> dict[Any, Any]:
        """The pairs as a ``dict``; the last value of a key stays.

        >>> sc.parallelize([("a", 1), ("b", 2)]).collectAsMap()
        {'a': 1, 'b': 2}
        """
        site = self._site("collectAsMap")

        def pairs(task: Task, chunks: Iterator[Chunk]) -> dict[Any, Any]:
            found: dict[Any, Any] = {}
            for chunk in chunks:
                put_into(found, chunk, site)
            return found

        return dict(chain.from_iterable(part.items() for part in self._run(pairs)))

    def lookup(self, key: Any) -> list[Any]:
        """The values of one key; reads only its partition if the partitioning is known.

        >>> sc.parallelize([("a", 1), ("b", 2), ("a", 3)]).lookup("a")
        [1, 3]
        """
        site = self._site("lookup")

        def values(task: Task, chunks: Iterator[Chunk]) -> list[Any]:
            return [value for chunk in chunks for value in values_of(chunk, key, site)]

        where = None if self.partitioner is None else [self.partitioner(key)]
        return flat(self._run(values, where))


def _rows(task: Task, chunks: Iterator[Chunk]) -> list[Any]:
    rows: list[Any] = []
    for chunk in chunks:
        rows.extend(chunk.rows())
    return rows
