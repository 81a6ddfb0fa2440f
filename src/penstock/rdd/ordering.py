"""Sorting: bounds from a sample, each record to its range, each range sorted."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Any

from penstock.chunk import Chunk, Rows
from penstock.errors import CallSite
from penstock.plan import Narrow, Node, Router, Shuffle, Step, Task, raise_located
from penstock.rdd.aggregation import emit
from penstock.rdd.pair import checked_pairs, record_of

__all__ = ["sorted_by_key"]

_SAMPLE_PER_TARGET = 100  # keys looked at for each range, from each partition: a few kB, even ranges


class _RangeRouter(Router):
    """Pairs go to the range their key falls in; equal keys to the same one."""

    __slots__ = ("ascending", "keyfunc", "name", "site")

    def __init__(self, keyfunc: Callable[[Any], Any], ascending: bool, site: CallSite) -> None:
        self.keyfunc = keyfunc
        self.ascending = ascending
        self.site = site
        self.name = f"by range for {site.operation}"

    def needs_summary(self, targets: int) -> bool:
        return targets > 1

    def summarise(self, task: Task, chunks: Iterator[Chunk]) -> list[Any]:
        """Evenly spaced keys of the partition in sorted order."""
        keys: list[Any] = []
        for chunk in chunks:
            for pairs in checked_pairs(chunk, self.site):
                keys.extend(self._sort_keys(pairs))
        self._sort(keys)
        step = max(1, len(keys) // (_SAMPLE_PER_TARGET * task.partitions))
        return keys[::step]

    def decide(self, summaries: list[list[Any]], targets: int) -> list[Any]:
        """At most ``targets - 1`` keys, each the last of its range."""
        order = [key for keys in summaries for key in keys]
        self._sort(order)
        if not order:
            return []
        bounds: list[Any] = []
        for target in range(1, targets):
            bound = order[min(len(order) - 1, target * len(order) // targets)]
            if not bounds or bounds[-1] < bound:
                bounds.append(bound)
        return bounds

    def split(self, task: Task, chunks: Iterator[Chunk], targets: int) -> list[list[Chunk]]:
        if targets == 1:
            return [list(chunks)]
        out: list[list[Chunk]] = [[] for _ in range(targets)]
        bounds: list[Any] = task.decision
        for chunk in chunks:
            for pairs in checked_pairs(chunk, self.site):
                buckets: list[list[Any]] = [[] for _ in range(targets)]
                for key, pair in zip(self._sort_keys(pairs), pairs, strict=True):
                    buckets[bisect_left(bounds, key)].append(pair)
                for target, bucket in enumerate(buckets):
                    if bucket:
                        out[target if self.ascending else len(bounds) - target].append(Rows(bucket))
        return out

    def _sort_keys(self, pairs: list[Any]) -> list[Any]:
        return sort_keys(pairs, self.keyfunc, self.site)

    def _sort(self, keys: list[Any]) -> None:
        try:
            keys.sort()
        except Exception as error:
            raise_located(error, self.site, keys[0])


def sort_keys(pairs: list[Any], keyfunc: Callable[[Any], Any], site: CallSite) -> list[Any]:
    """``keyfunc`` of each key."""
    out: list[Any] = []
    try:
        out.extend(map(keyfunc, [pair[0] for pair in pairs]))
    except Exception as error:
        raise_located(error, site, record_of(pairs[len(out)], site))
    if len(out) != len(pairs):  # map() takes a StopIteration for the end of the pairs
        raise_located(StopIteration(), site, pairs[len(out)])
    return out


class _SortPartition(Step):
    """A partition's pairs in the order of their keys; equal keys keep their order."""

    __slots__ = ("ascending", "keyfunc", "name", "site")

    def __init__(self, keyfunc: Callable[[Any], Any], ascending: bool, site: CallSite) -> None:
        self.keyfunc = keyfunc
        self.ascending = ascending
        self.site = site
        self.name = f"sort of {site.operation}"

    def run(self, task: Task, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        pairs = [pair for chunk in chunks for part in checked_pairs(chunk, self.site) for pair in part]
        keys = sort_keys(pairs, self.keyfunc, self.site)
        try:
            order = sorted(range(len(keys)), key=keys.__getitem__, reverse=not self.ascending)
        except Exception as error:
            raise_located(error, self.site, record_of(pairs[0], self.site))
        yield from emit([pairs[index] for index in order])


def sorted_by_key(
    plan: Node, targets: int, keyfunc: Callable[[Any], Any], ascending: bool, site: CallSite
) -> Node:
    """The plan that sorts pairs by ``keyfunc(key)`` over ``targets`` partitions, stably."""
    if plan.partitions != 1 or targets > 1:
        plan = Shuffle(site, plan, _RangeRouter(keyfunc, ascending, site), targets)
    return Narrow(site, plan, _SortPartition(keyfunc, ascending, site))
