"""Operations that make an RDD of an RDD. Nothing runs until an action asks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

from penstock.errors import ArgumentError, CallSite, SignatureError
from penstock.plan import (
    Filter,
    FlatMap,
    Gather,
    Map,
    MapPartitions,
    Narrow,
    Shuffle,
    must_be_callable,
    raise_located,
)
from penstock.rdd.aggregation import Distinct, Grouping, aggregated
from penstock.rdd.grouping import Emission, cogrouped, intersected, subtracted
from penstock.rdd.indexing import Glom, Sample, UniqueIds, ZipWithIndex, cartesian, coalesced, zipped
from penstock.rdd.leading import leading
from penstock.rdd.ordering import identity, sorted_by_key
from penstock.rdd.parse_operations import ParseOperations
from penstock.rdd.partitioner import Partitioning, RoundRobin, partition_count
from penstock.rdd.result_iterable import ResultIterable

__all__ = ["Transformations"]


class Transformations(ParseOperations):
    """What PySpark's RDD offers on records of any kind."""

    __slots__ = ()

    def map(self, f: Callable[[Any], Any], preservesPartitioning: bool = False) -> Self:
        """``f(record)`` for each record.

        >>> sc.parallelize([1, 2, 3]).map(lambda x: x * 10).collect()
        [10, 20, 30]
        """
        must_be_callable(f, "map")
        site = self._site("map")
        return self._narrow(Map(f, site), site, placed=preservesPartitioning)

    def flatMap(self, f: Callable[[Any], Iterable[Any]], preservesPartitioning: bool = False) -> Self:
        """All that ``f(record)`` holds, for each record; ``f`` returns an iterable, endless if it likes.

        >>> sc.parallelize(["a b", "c"]).flatMap(str.split).collect()
        ['a', 'b', 'c']
        """
        must_be_callable(f, "flatMap")
        site = self._site("flatMap")
        return self._narrow(FlatMap(f, site), site, placed=preservesPartitioning)

    def filter(self, f: Callable[[Any], Any]) -> Self:
        """The records for which ``f(record)`` is true.

        >>> sc.parallelize(range(5)).filter(lambda x: x % 2).collect()
        [1, 3]
        """
        must_be_callable(f, "filter")
        site = self._site("filter")
        plan = leading(self.plan, f, self.context.is_kept)
        return self._derive(Narrow(site, plan, Filter(f, site)), self.partitioner)

    def mapPartitions(
        self, f: Callable[[Iterator[Any]], Iterable[Any]], preservesPartitioning: bool = False
    ) -> Self:
        """``f(iterator)`` once for each partition; it returns an iterable.

        >>> sc.parallelize([1, 2, 3, 4], 2).mapPartitions(lambda records: [sum(records)]).collect()
        [3, 7]
        """
        must_be_callable(f, "mapPartitions")
        site = self._site("mapPartitions")
        step = MapPartitions(lambda index, records: f(records), site)
        return self._narrow(step, site, placed=preservesPartitioning)

    def mapPartitionsWithIndex(
        self, f: Callable[[int, Iterator[Any]], Iterable[Any]], preservesPartitioning: bool = False
    ) -> Self:
        """``f(index, iterator)`` once for each partition, counted from 0; it returns an iterable.

        >>> sc.parallelize("abc", 3).mapPartitionsWithIndex(lambda i, rows: [(i, list(rows))]).collect()
        [(0, ['a']), (1, ['b']), (2, ['c'])]
        """
        must_be_callable(f, "mapPartitionsWithIndex")
        site = self._site("mapPartitionsWithIndex")
        return self._narrow(MapPartitions(f, site), site, placed=preservesPartitioning)

    def glom(self) -> Self:
        """Each partition as one list.

        >>> sc.parallelize([1, 2, 3, 4], 2).glom().collect()
        [[1, 2], [3, 4]]
        """
        return self._narrow(Glom(), self._site("glom"))

    def distinct(self, numPartitions: Partitioning = None) -> Self:
        """Each record once; of equal ones the first. Records must have a hash.

        >>> sc.parallelize([2, 1, 2], 1).distinct().collect()
        [2, 1]
        """
        site = self._site("distinct")
        pairs = self._narrow(Map(_with_nothing, site), site)
        plan = aggregated(pairs.plan, Distinct(site), None, self._partitioner(numPartitions))
        return self._derive(plan)._narrow(Map(_key, site), site)

    def sample(self, withReplacement: bool, fraction: float, seed: int | None = None) -> Self:
        """A random part: ``fraction`` is the probability of a record, or with replacement how often
        it is taken on average. The same seed gives the same records.

        >>> sc.parallelize(range(1000), 2).sample(False, 0.1, seed=7).count() in range(60, 140)
        True
        """
        if not fraction >= 0 or math.isinf(fraction):
            raise ArgumentError(f"sample needs a fraction of at least 0, not {fraction}")
        if not withReplacement and fraction > 1:
            raise ArgumentError(f"sample without replacement needs a fraction of at most 1, not {fraction}")
        import random  # here, since few programs draw

        seed = random.randrange(2**32) if seed is None else seed
        return self._narrow(Sample(withReplacement, fraction, seed), self._site("sample"), placed=True)

    def union(self, other: Self) -> Self:
        """The partitions of this one, then those of the other.

        >>> sc.parallelize([1, 2]).union(sc.parallelize([2, 3])).collect()
        [1, 2, 2, 3]
        """
        return self._union([self, self._other(other, "union")])

    def _union(self, parts: list[Self]) -> Self:
        sources = tuple(part.plan for part in parts)
        reads = [[(index, part)] for index, plan in enumerate(sources) for part in range(plan.partitions)]
        return self._derive(Gather(self._site("union"), sources, reads))

    __add__ = union

    def intersection(self, other: Self) -> Self:
        """The records that are in both, each once.

        >>> sorted(sc.parallelize([1, 2, 2, 3]).intersection(sc.parallelize([2, 3, 4])).collect())
        [2, 3]
        """
        return self._side_by_side(other, "intersection", None, intersected)

    def subtract(self, other: Self, numPartitions: Partitioning = None) -> Self:
        """The records of this one that are not in the other, as often as they are here.

        >>> sorted(sc.parallelize([1, 1, 2, 3]).subtract(sc.parallelize([2])).collect())
        [1, 1, 3]
        """
        return self._side_by_side(other, "subtract", numPartitions, subtracted)

    def _side_by_side(self, other: Self, operation: str, given: Partitioning, emission: Emission) -> Self:
        other, site = self._other(other, operation), self._site(operation)
        both = self.plan.partitions + other.plan.partitions
        to = self._partitioner(given, partitions=both)
        sides = [(side._narrow(Map(_twice, site), site).plan, None) for side in (self, other)]
        return self._derive(cogrouped(sides, to, emission, site))

    def cartesian(self, other: Self) -> Self:
        """All pairs of a record of this one and a record of the other.

        >>> sc.parallelize([1, 2], 1).cartesian(sc.parallelize("ab", 1)).collect()
        [(1, 'a'), (1, 'b'), (2, 'a'), (2, 'b')]
        """
        other = self._other(other, "cartesian")
        return self._derive(cartesian(self.plan, other.plan, self._site("cartesian")))

    def zip(self, other: Self) -> Self:
        """Pairs of records at the same place. Both need the same number of partitions, and of records
        in each: else ``ArgumentError`` here, or ``DataError`` when it runs.

        >>> sc.parallelize([1, 2]).zip(sc.parallelize("ab")).collect()
        [(1, 'a'), (2, 'b')]
        """
        other = self._other(other, "zip")
        if self.plan.partitions != other.plan.partitions:
            raise ArgumentError(
                f"zip needs an RDD with the same number of partitions, "
                f"not {self.plan.partitions} and {other.plan.partitions}. Hint: repartition one of them."
            )
        return self._derive(zipped(self.plan, other.plan, self._site("zip")))

    def zipWithIndex(self) -> Self:
        """``(record, index)``, counted from 0 through all partitions.

        >>> sc.parallelize("abc", 2).zipWithIndex().collect()
        [('a', 0), ('b', 1), ('c', 2)]
        """
        return self._narrow(ZipWithIndex(), self._site("zipWithIndex"))

    def zipWithUniqueId(self) -> Self:
        """``(record, id)``: partition ``p`` of ``n`` counts ``p, p + n, ...``, without looking at the others.

        >>> sc.parallelize("abcd", 2).zipWithUniqueId().collect()
        [('a', 0), ('b', 2), ('c', 1), ('d', 3)]
        """
        return self._narrow(UniqueIds(), self._site("zipWithUniqueId"))

    def groupBy(self, f: Callable[[Any], Any], numPartitions: Partitioning = None) -> Self:
        """``(f(record), iterable of records)`` for each value of ``f``.

        >>> sc.parallelize([1, 2, 3]).groupBy(lambda x: x % 2, 1).mapValues(list).collect()
        [(1, [1, 3]), (0, [2])]
        """
        must_be_callable(f, "groupBy")
        site = self._site("groupBy")
        to = self._partitioner(numPartitions)
        keyed = self._narrow(_KeyBy(f, site), site)
        grouped = self._derive(aggregated(keyed.plan, Grouping(site), None, to))
        return grouped._narrow(Map(lambda pair: (pair[0], ResultIterable(pair[1])), site), site)._placed(to)

    def _placed(self, by: Any) -> Self:
        self.partitioner = by
        return self

    def keyBy(self, f: Callable[[Any], Any]) -> Self:
        """``(f(record), record)``.

        >>> sc.parallelize(["ab", "c"]).keyBy(len).collect()
        [(2, 'ab'), (1, 'c')]
        """
        must_be_callable(f, "keyBy")
        site = self._site("keyBy")
        return self._narrow(_KeyBy(f, site), site)

    def sortBy(
        self, keyfunc: Callable[[Any], Any], ascending: bool = True, numPartitions: int | None = None
    ) -> Self:
        """All records in the order of ``keyfunc(record)``; equal ones keep their order.

        >>> sc.parallelize(["ccc", "a", "bb"]).sortBy(len, ascending=False).collect()
        ['ccc', 'bb', 'a']
        """
        must_be_callable(keyfunc, "sortBy")
        site = self._site("sortBy")
        to = self._partitioner(numPartitions).numPartitions
        keyed = self._narrow(_KeyBy(keyfunc, site), site)
        plan = sorted_by_key(keyed.plan, to, identity, ascending, site)
        return self._derive(plan)._narrow(Map(_value, site), site)

    def repartition(self, numPartitions: int) -> Self:
        """The records spread evenly over ``numPartitions`` partitions. One partition keeps the order.

        >>> sc.parallelize(range(6), 3).repartition(1).glom().collect()
        [[0, 1, 2, 3, 4, 5]]
        """
        count = partition_count(numPartitions, "numPartitions")
        site = self._site("repartition")
        if count == 1:  # one after the other is a gathering: nothing has to be split
            return self._derive(
                Gather(site, (self.plan,), [[(0, part) for part in range(self.plan.partitions)]])
            )
        return self._derive(Shuffle(site, self.plan, RoundRobin(), count))

    def coalesce(self, numPartitions: int, shuffle: bool = False) -> Self:
        """At most ``numPartitions`` partitions, by joining neighbours; ``shuffle=True`` is ``repartition``.

        >>> sc.parallelize(range(6), 3).coalesce(2).glom().collect()
        [[0, 1], [2, 3, 4, 5]]
        """
        if shuffle:
            return self.repartition(numPartitions)
        count = partition_count(numPartitions, "numPartitions")
        return self._derive(coalesced(self.plan, count, self._site("coalesce")), None)

    def setName(self, name: str) -> Self:
        """Name this RDD, for messages; returns it.

        >>> sc.parallelize([1]).setName("one").name()
        'one'
        """
        if not isinstance(name, str):
            raise SignatureError(f"setName needs a string, not {type(name).__name__}")
        self._name = name
        return self


class _KeyBy(Map):
    """``(f(record), record)`` for each record, made at C speed."""

    __slots__ = ("keyfunc",)

    def __init__(self, keyfunc: Callable[[Any], Any], site: CallSite) -> None:
        super().__init__(lambda record: (keyfunc(record), record), site)
        self.keyfunc = keyfunc

    def apply(self, rows: list[Any], out: list[Any]) -> None:
        try:
            out.extend(zip(map(self.keyfunc, rows), rows, strict=False))
        except Exception as error:
            raise_located(error, self.site, rows[len(out)])
        if len(out) != len(rows):  # zip() takes a StopIteration for the end of the rows
            raise_located(StopIteration(), self.site, rows[len(out)])


def _key(pair: Any) -> Any:
    return pair[0]


def _value(pair: Any) -> Any:
    return pair[1]


def _twice(record: Any) -> tuple[Any, Any]:
    return (record, record)


def _with_nothing(record: Any) -> tuple[Any, None]:
    return (record, None)
