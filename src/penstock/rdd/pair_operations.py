"""Operations on RDDs of pairs ``(key, value)``.

A pair is a tuple (or list) of two; anything else raises ``NotAPairError`` with the record and the
line that asked. Wherever a number of partitions goes, a :class:`Partitioner` goes too; without
either there are as many partitions as before, or ``spark.default.parallelism`` if that is set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from operator import itemgetter
from typing import Any, Self

from penstock.chunk import Chunk, Columns, Rows, RowType, isolated, portable_hash
from penstock.errors import CallSite
from penstock.plan import FlatMap, Shuffle, Task, must_be_callable, raise_located
from penstock.rdd.aggregation import Aggregator, Grouping, Reducing, aggregated
from penstock.rdd.grouping import (
    Emission,
    cogrouped,
    full_outer,
    inner,
    left_outer,
    left_pairs,
    right_outer,
)
from penstock.rdd.ordering import identity, sorted_by_key
from penstock.rdd.pair import PairStep, checked_pairs
from penstock.rdd.partitioner import KeyRouter, Partitioner, Partitioning, partitioner_of
from penstock.rdd.result_iterable import ResultIterable
from penstock.rdd.transformations import Transformations
from penstock.vectorize import Untraced, halves_of

__all__ = ["PairOperations"]


class PairOperations(Transformations):
    """What PySpark's RDD offers on pairs."""

    __slots__ = ()

    def keys(self) -> Self:
        """The key of each pair.

        >>> sc.parallelize([("a", 1), ("b", 2)]).keys().collect()
        ['a', 'b']
        """
        site = self._site("keys")
        return self._narrow(_Part(0, site), site)

    def values(self) -> Self:
        """The value of each pair.

        >>> sc.parallelize([("a", 1), ("b", 2)]).values().collect()
        [1, 2]
        """
        site = self._site("values")
        return self._narrow(_Part(1, site), site)

    def mapValues(self, f: Callable[[Any], Any]) -> Self:
        """``(key, f(value))``; the partitioning stays.

        >>> sc.parallelize([("a", 1), ("b", 2)]).mapValues(lambda v: v * 10).collect()
        [('a', 10), ('b', 20)]
        """
        must_be_callable(f, "mapValues")
        site = self._site("mapValues")
        return self._narrow(_MapValues(f, site), site, placed=True)

    def flatMapValues(self, f: Callable[[Any], Iterable[Any]]) -> Self:
        """``(key, item)`` for each item of ``f(value)``; the partitioning stays.

        >>> sc.parallelize([("a", "xy"), ("b", "z")]).flatMapValues(list).collect()
        [('a', 'x'), ('a', 'y'), ('b', 'z')]
        """
        must_be_callable(f, "flatMapValues")
        site = self._site("flatMapValues")
        return self._narrow(_FlatMapValues(f, site), site, placed=True)

    def reduceByKey(
        self,
        func: Callable[[Any, Any], Any],
        numPartitions: Partitioning = None,
        partitionFunc: Callable[[Any], int] = portable_hash,
    ) -> Self:
        """The values of each key folded by an associative ``func(a, b)``, in arrival order.

        >>> sorted(sc.parallelize([("a", 1), ("b", 1), ("a", 2)]).reduceByKey(lambda a, b: a + b).collect())
        [('a', 3), ('b', 1)]
        """
        must_be_callable(func, "reduceByKey")
        return self._aggregate(Reducing(func, self._site("reduceByKey")), numPartitions, partitionFunc)

    def groupByKey(
        self, numPartitions: Partitioning = None, partitionFunc: Callable[[Any], int] = portable_hash
    ) -> Self:
        """``(key, iterable of its values)``, values in arrival order.

        >>> sc.parallelize([("a", 1), ("b", 1), ("a", 2)], 1).groupByKey().mapValues(list).collect()
        [('a', [1, 2]), ('b', [1])]
        """
        site = self._site("groupByKey")
        grouped = self._aggregate(Grouping(site), numPartitions, partitionFunc)
        return grouped._narrow(_MapValues(ResultIterable, site), site, placed=True)

    def combineByKey(
        self,
        createCombiner: Callable[[Any], Any],
        mergeValue: Callable[[Any, Any], Any],
        mergeCombiners: Callable[[Any, Any], Any],
        numPartitions: Partitioning = None,
        partitionFunc: Callable[[Any], int] = portable_hash,
    ) -> Self:
        """The values of each key as one combiner: made of the first, merged with each next; combiners of
        several partitions are merged with each other.

        >>> pairs = sc.parallelize([("a", 1), ("a", 3)])
        >>> pairs.combineByKey(lambda v: [v], lambda c, v: [*c, v], lambda c, d: c + d).collect()
        [('a', [1, 3])]
        """
        for function in (createCombiner, mergeValue, mergeCombiners):
            must_be_callable(function, "combineByKey")
        by = Aggregator(createCombiner, mergeValue, mergeCombiners, self._site("combineByKey"))
        return self._aggregate(by, numPartitions, partitionFunc)

    def aggregateByKey(
        self,
        zeroValue: Any,
        seqFunc: Callable[[Any, Any], Any],
        combFunc: Callable[[Any, Any], Any],
        numPartitions: Partitioning = None,
        partitionFunc: Callable[[Any], int] = portable_hash,
    ) -> Self:
        """The values of each key folded from a copy of ``zeroValue``; partials merged by ``combFunc``.

        >>> pairs = sc.parallelize([("a", 1), ("a", 3)], 1)
        >>> add_one = lambda total, x: (total[0] + x, total[1] + 1)
        >>> add_two = lambda one, other: (one[0] + other[0], one[1] + other[1])
        >>> pairs.aggregateByKey((0, 0), add_one, add_two).collect()
        [('a', (4, 2))]
        """
        must_be_callable(seqFunc, "aggregateByKey")
        must_be_callable(combFunc, "aggregateByKey")
        by = Aggregator(
            lambda value: seqFunc(isolated(zeroValue), value), seqFunc, combFunc, self._site("aggregateByKey")
        )
        return self._aggregate(by, numPartitions, partitionFunc)

    def foldByKey(
        self,
        zeroValue: Any,
        func: Callable[[Any, Any], Any],
        numPartitions: Partitioning = None,
        partitionFunc: Callable[[Any], int] = portable_hash,
    ) -> Self:
        """As ``aggregateByKey`` with one function for both.

        >>> sc.parallelize([("a", 1), ("a", 2)]).foldByKey(0, lambda a, b: a + b).collect()
        [('a', 3)]
        """
        must_be_callable(func, "foldByKey")
        by = Aggregator(lambda value: func(isolated(zeroValue), value), func, func, self._site("foldByKey"))
        return self._aggregate(by, numPartitions, partitionFunc)

    def _aggregate(
        self, by: Aggregator, given: Partitioning, function: Callable[[Any], int] = portable_hash
    ) -> Self:
        to = self._to(given, function)
        return self._derive(aggregated(self.plan, by, self.partitioner, to), to)

    def _to(self, given: Partitioning, function: Callable[[Any], int]) -> Partitioner:
        if function is portable_hash:
            return self._partitioner(given)
        return partitioner_of(given, lambda: self._partitioner(None).numPartitions, function)

    def partitionBy(
        self, numPartitions: Partitioning, partitionFunc: Callable[[Any], int] = portable_hash
    ) -> Self:
        """The same pairs, each in partition ``partitionFunc(key) % numPartitions``.

        >>> pairs = sc.parallelize([(1, "a"), (2, "b"), (3, "c")])
        >>> pairs.partitionBy(2, lambda key: key).glom().collect()
        [[(2, 'b')], [(1, 'a'), (3, 'c')]]
        """
        to = self._to(numPartitions, partitionFunc)
        if to == self.partitioner:
            return self
        site = self._site("partitionBy")
        return self._derive(Shuffle(site, self.plan, KeyRouter(to, site), to.numPartitions), to)

    def sortByKey(
        self,
        ascending: bool = True,
        numPartitions: int | None = None,
        keyfunc: Callable[[Any], Any] = identity,
    ) -> Self:
        """The pairs in the order of ``keyfunc(key)``; equal ones keep their order.

        >>> sc.parallelize([("b", 1), ("a", 2)]).sortByKey().collect()
        [('a', 2), ('b', 1)]
        """
        must_be_callable(keyfunc, "sortByKey")
        site = self._site("sortByKey")
        targets = self._partitioner(numPartitions).numPartitions
        return self._derive(sorted_by_key(self.plan, targets, keyfunc, ascending, site))

    def join(self, other: Self, numPartitions: Partitioning = None) -> Self:
        """``(key, (value, other value))`` for all combinations of a key's values.

        >>> sc.parallelize([("a", 1)]).join(sc.parallelize([("a", 2), ("b", 3)])).collect()
        [('a', (1, 2))]
        """
        return self._cogroup("join", [other], numPartitions, inner)

    def leftOuterJoin(self, other: Self, numPartitions: Partitioning = None) -> Self:
        """As ``join``, with ``None`` where the other has no such key.

        >>> sc.parallelize([("a", 1)]).leftOuterJoin(sc.parallelize([("b", 3)])).collect()
        [('a', (1, None))]
        """
        return self._cogroup("leftOuterJoin", [other], numPartitions, left_outer)

    def rightOuterJoin(self, other: Self, numPartitions: Partitioning = None) -> Self:
        """As ``join``, with ``None`` where this one has no such key.

        >>> sc.parallelize([("a", 1)]).rightOuterJoin(sc.parallelize([("b", 3)])).collect()
        [('b', (None, 3))]
        """
        return self._cogroup("rightOuterJoin", [other], numPartitions, right_outer)

    def fullOuterJoin(self, other: Self, numPartitions: Partitioning = None) -> Self:
        """As ``join``, with ``None`` where either has no such key.

        >>> sorted(sc.parallelize([("a", 1)]).fullOuterJoin(sc.parallelize([("b", 3)])).collect())
        [('a', (1, None)), ('b', (None, 3))]
        """
        return self._cogroup("fullOuterJoin", [other], numPartitions, full_outer)

    def cogroup(self, other: Self, numPartitions: Partitioning = None) -> Self:
        """``(key, (iterable of values, iterable of the other's values))``.

        >>> grouped = sc.parallelize([("a", 1)]).cogroup(sc.parallelize([("a", 2), ("a", 3)]))
        >>> [(key, list(left), list(right)) for key, (left, right) in grouped.collect()]
        [('a', [1], [2, 3])]
        """
        return self._cogroup("cogroup", [other], numPartitions, _iterables)

    def groupWith(self, other: Self, *others: Self) -> Self:
        """``cogroup`` of any number of RDDs.

        >>> one, two, three = (sc.parallelize([("a", i)]) for i in range(3))
        >>> [tuple(map(list, groups)) for _, groups in one.groupWith(two, three).collect()]
        [([0], [1], [2])]
        """
        return self._cogroup("groupWith", [other, *others], None, _iterables)

    def subtractByKey(self, other: Self, numPartitions: Partitioning = None) -> Self:
        """The pairs whose key the other does not have.

        >>> sc.parallelize([("a", 1), ("b", 2)]).subtractByKey(sc.parallelize([("a", 9)])).collect()
        [('b', 2)]
        """
        return self._cogroup("subtractByKey", [other], numPartitions, left_pairs)

    def _cogroup(self, operation: str, others: list[Self], given: Partitioning, emission: Emission) -> Self:
        sides = [self, *(self._other(other, operation) for other in others)]
        to = self._partitioner(given, partitions=sum(side.plan.partitions for side in sides))
        placed = [(side.plan, side.partitioner) for side in sides]
        return self._derive(cogrouped(placed, to, emission, self._site(operation)), to)


def _iterables(key: Any, values: tuple[list[Any], ...]) -> list[Any]:
    return [(key, tuple(map(ResultIterable, values)))]


class _Part(PairStep):
    """One half of each pair."""

    __slots__ = ("index",)

    one_to_one = True

    def __init__(self, index: int, site: CallSite) -> None:
        super().__init__(site)
        self.index = index

    def on_pairs(self) -> Callable[[Any], Any]:
        return itemgetter(self.index)

    def apply_to_pairs(self, pairs: list[Any], out: list[Any]) -> None:
        index = self.index
        out.extend([pair[index] for pair in pairs])


class _MapValues(PairStep):
    __slots__ = ("function",)

    one_to_one = True

    def __init__(self, function: Callable[[Any], Any], site: CallSite) -> None:
        super().__init__(site)
        self.function = function

    def on_pairs(self) -> Callable[[Any], Any]:
        function = self.function
        return lambda pair: (pair[0], function(pair[1]))

    def apply_to_pairs(self, pairs: list[Any], out: list[Any]) -> None:
        function, append = self.function, out.append
        key = value = None
        try:
            for key, value in pairs:
                append((key, function(value)))
        except Exception as error:
            raise_located(error, self.site, (key, value))


class _FlatMapValues(FlatMap):
    """``FlatMap`` on the value of each pair, with the key beside each item."""

    __slots__ = ("items_of",)

    def __init__(self, function: Callable[[Any], Iterable[Any]], site: CallSite) -> None:
        super().__init__(lambda pair: zip(repeat(pair[0]), function(pair[1])), site)
        self.items_of = function

    @property
    def on_columns(self) -> Callable[[Any], Any]:
        items_of = self.items_of
        return lambda pair: [(pair[0], item) for item in items_of(pair[1])]

    def form(self, form: Any) -> Any:
        if isinstance(form, RowType) and halves_of(form) is None:
            return Untraced(f"{form} is no pair")
        return super().form(form)

    def run(self, task: Task, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            if isinstance(chunk, Columns) and halves_of(chunk.row_type) is not None:
                yield from super().run(task, iter((chunk,)))
            else:
                yield from self.on_rows(chunk)

    def on_rows(self, chunk: Chunk) -> Iterator[Chunk]:
        for pairs in checked_pairs(chunk, self.site):
            yield from super().on_rows(Rows(pairs))
