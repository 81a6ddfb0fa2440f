"""Folding the values of each key: once where the records lie, once where the key lives.

::

    partition 0: (a,1) (b,2) (a,3)  --combine-->  (a,4) (b,2)  \
                                                                shuffle --merge--> (a,9) (b,2)
    partition 1: (a,5)              --combine-->  (a,5)        /

Within a partition values are folded in arrival order; partials are merged in the order of the
partitions; keys come out in order of first appearance. So the result depends on where partitions
begin, as in Spark, and on nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from penstock.chunk import CHUNK_ROWS, Chunk, Rows
from penstock.errors import CallSite
from penstock.plan import Fold, FoldStep, Narrow, Node, Shuffle, Task, raise_located
from penstock.rdd.pair import checked_pairs, keys_of, raise_for_key, with_distinct_nans
from penstock.rdd.partitioner import KeyRouter, Partitioner

__all__ = ["Aggregator", "Distinct", "Grouping", "Reducing", "ReducingAll", "aggregated", "emit"]

Groups = dict[Any, Any]


class Aggregator:
    """How the values of a key become one: Spark's three functions."""

    __slots__ = ("create", "merge_combiners", "merge_value", "site")

    def __init__(
        self,
        create: Callable[[Any], Any],
        merge_value: Callable[[Any, Any], Any],
        merge_combiners: Callable[[Any, Any], Any],
        site: CallSite,
    ) -> None:
        self.create = create
        self.merge_value = merge_value
        self.merge_combiners = merge_combiners
        self.site = site

    def combine(self, groups: Groups, pairs: list[Any]) -> None:
        """Fold the values of these pairs into the groups."""
        create, merge, pair = self.create, self.merge_value, None
        try:
            for key, pair in zip(keys_of(pairs), pairs, strict=True):
                if key in groups:
                    groups[key] = merge(groups[key], pair[1])
                else:
                    groups[key] = create(pair[1])
        except Exception as error:
            self._failed(error, pair)

    def merge(self, groups: Groups, pairs: list[Any]) -> None:
        """Fold the partials of these pairs into the groups."""
        _fold(groups, pairs, self.merge_combiners, self)

    def _failed(self, error: Exception, pair: Any) -> None:
        if pair is None:
            raise error
        raise_for_key(error, pair, self.site)


class Reducing(Aggregator):
    """An aggregator of one function; the first value is the first partial."""

    __slots__ = ()

    def __init__(self, function: Callable[[Any, Any], Any], site: CallSite) -> None:
        super().__init__(_same, function, function, site)

    def combine(self, groups: Groups, pairs: list[Any]) -> None:
        _fold(groups, pairs, self.merge_value, self)


class ReducingAll(Reducing):
    """Reduces records that were all given the same key, which nobody should hear of."""

    __slots__ = ()

    def _failed(self, error: Exception, pair: Any) -> None:
        super()._failed(error, None) if pair is None else raise_located(error, self.site, pair[1])


class Grouping(Aggregator):
    """An aggregator that lists the values, in arrival order."""

    __slots__ = ()

    def __init__(self, site: CallSite) -> None:
        super().__init__(_alone, _appended, _extended, site)

    def combine(self, groups: Groups, pairs: list[Any]) -> None:
        pair = None
        try:
            for key, pair in zip(keys_of(pairs), pairs, strict=True):
                if key in groups:
                    groups[key].append(pair[1])
                else:
                    groups[key] = [pair[1]]
        except Exception as error:
            self._failed(error, pair)


class Distinct(Aggregator):
    """An aggregator that keeps only the keys."""

    __slots__ = ()

    def __init__(self, site: CallSite) -> None:
        super().__init__(_nothing, _nothing_more, _nothing_more, site)


def _fold(groups: Groups, pairs: list[Any], function: Callable[[Any, Any], Any], by: Aggregator) -> None:
    key = value = _NO_KEY
    try:
        for key, value in with_distinct_nans(pairs):
            groups[key] = function(groups[key], value) if key in groups else value
    except Exception as error:
        by._failed(error, None if key is _NO_KEY else (key, value))


_NO_KEY = object()


def _same(value: Any) -> Any:
    return value


def _alone(value: Any) -> list[Any]:
    return [value]


def _appended(values: list[Any], value: Any) -> list[Any]:
    values.append(value)
    return values


def _extended(values: list[Any], more: list[Any]) -> list[Any]:
    values.extend(more)
    return values


def _nothing(value: Any) -> None:
    return None


def _nothing_more(one: None, other: None) -> None:
    return None


class CombineValues(FoldStep):
    """A partition's pairs as one pair a key."""

    __slots__ = ("aggregator", "fold", "name", "site")

    def __init__(self, aggregator: Aggregator, *, partials: bool) -> None:
        self.aggregator = aggregator
        self.fold = aggregator.merge if partials else aggregator.combine
        self.site = aggregator.site
        self.name = f"{'merge' if partials else 'combine'} of {aggregator.site.operation}"

    def begin(self, task: Task) -> Fold:
        return _Groups(self)


class _Groups(Fold):
    __slots__ = ("_groups", "_step")

    def __init__(self, step: CombineValues) -> None:
        self._step = step
        self._groups: Groups = {}

    def push(self, chunk: Chunk) -> None:
        for pairs in checked_pairs(chunk, self._step.site):
            self._step.fold(self._groups, pairs)

    def finish(self) -> Iterator[Chunk]:
        return emit(list(self._groups.items()))


def emit(rows: list[Any]) -> Iterator[Chunk]:
    """A list as bounded chunks."""
    if len(rows) <= CHUNK_ROWS:
        if rows:
            yield Rows(rows)
        return
    for start in range(0, len(rows), CHUNK_ROWS):
        yield Rows(rows[start : start + CHUNK_ROWS])


def aggregated(plan: Node, aggregator: Aggregator, placed_by: Partitioner | None, to: Partitioner) -> Node:
    """The plan that folds the values of each key of ``plan``.

    ``placed_by`` is the partitioner the records lie by already, if any: nothing moves when it is the
    wanted one. Of a single partition every key is complete after the first fold.
    """
    site = aggregator.site
    combined = Narrow(site, plan, CombineValues(aggregator, partials=False))
    if placed_by == to or (plan.partitions == 1 and to.numPartitions == 1):
        return combined
    moved = Shuffle(site, combined, KeyRouter(to, site), to.numPartitions)
    if plan.partitions == 1:
        return moved
    return Narrow(site, moved, CombineValues(aggregator, partials=True))


def reduced(partials: list[Any], function: Callable[[Any, Any], Any], site: CallSite) -> Any:
    """The fold of a non-empty list, from the left; a failing call is located."""
    result = partials[0]
    value: Any = None
    try:
        for value in partials[1:]:
            result = function(result, value)
    except Exception as error:
        raise_located(error, site, value)
    return result
