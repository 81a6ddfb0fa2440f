"""Sorting: bounds from a sample, each record to its range, each range sorted."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.chunk import CHUNK_ROWS, Chunk, Columns, Rows, RowType
from penstock.errors import CallSite, RowTypeError
from penstock.plan import Form, Narrow, Node, Router, Shuffle, Step, Task, raise_located
from penstock.rdd.aggregation import emit
from penstock.rdd.pair import checked_pairs, record_of
from penstock.vectorize import (
    REFUSALS,
    Chain,
    SortKeys,
    Untraced,
    alike,
    halves_of,
    joined,
    must_compare,
    programs,
    trace,
)

__all__ = ["RangeRouter", "SortPartition", "identity", "key_columns", "sorted_by_key", "sorted_form"]

Places = npt.NDArray[np.int64]

_SAMPLE_PER_TARGET = 100  # keys looked at for each range, from each partition: a few kB, even ranges


class RangeRouter(Router):
    """Pairs go to the range their key falls in; equal keys to the same one."""

    __slots__ = ("ascending", "keyfunc", "name", "site")

    def __init__(self, keyfunc: Callable[[Any], Any], ascending: bool, site: CallSite) -> None:
        self.keyfunc = keyfunc
        self.ascending = ascending
        self.site = site
        self.name = f"by range for {site.operation}"

    def form(self, form: Form) -> Form:
        """Pairs stay what they are, if their keys compare in columns; see :mod:`penstock.plan.forms`."""
        return sorted_form(form, self.keyfunc)

    def needs_summary(self, targets: int) -> bool:
        return targets > 1

    def summarise(self, task: Task, chunks: Iterator[Chunk]) -> list[Any]:
        """Evenly spaced keys of the partition in sorted order."""
        held = list(chunks)
        in_columns = sorted_columns(held, self.keyfunc, ascending=True)
        if in_columns is not None:
            _, found, order = in_columns
            return found.take(order[:: _step(len(found), task)]).rows()
        keys: list[Any] = []
        for chunk in held:
            for pairs in checked_pairs(chunk, self.site):
                keys.extend(self._sort_keys(pairs))
        self._sort(keys)
        return keys[:: _step(len(keys), task)]

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
        worth = False
        for chunk in chunks:
            worth = worth or len(chunk) >= programs.WORTH_ROWS
            parts = self._split_columns(chunk, bounds) if worth else None
            if parts is not None:
                for target, part in parts:
                    out[target if self.ascending else len(bounds) - target].append(part)
                continue
            for pairs in checked_pairs(chunk, self.site):
                buckets: list[list[Any]] = [[] for _ in range(targets)]
                for key, pair in zip(self._sort_keys(pairs), pairs, strict=True):
                    buckets[bisect_left(bounds, key)].append(pair)
                for target, bucket in enumerate(buckets):
                    if bucket:
                        out[target if self.ascending else len(bounds) - target].append(Rows(bucket))
        return out

    def _split_columns(self, chunk: Chunk, bounds: list[Any]) -> list[tuple[int, Chunk]] | None:
        """The parts of a chunk in columns, each with its range; ``None`` if Python has to compare."""
        keys = key_columns(chunk, self.keyfunc)
        if keys is None:
            return None
        try:
            places = SortKeys.of(keys).behind(SortKeys.of(Columns.from_rows(bounds, keys.row_type)))
        except (*REFUSALS, RowTypeError):
            return None
        assert isinstance(chunk, Columns)
        rows = [np.flatnonzero(places == target) for target in range(len(bounds) + 1)]
        return [(target, chunk.take(part)) for target, part in enumerate(rows) if len(part)]

    def _sort_keys(self, pairs: list[Any]) -> list[Any]:
        return sort_keys(pairs, self.keyfunc, self.site)

    def _sort(self, keys: list[Any]) -> None:
        try:
            keys.sort()
        except Exception as error:
            raise_located(error, self.site, keys[0])


def _step(count: int, task: Task) -> int:
    return max(1, count // (_SAMPLE_PER_TARGET * task.partitions))


def identity(key: Any) -> Any:
    """The key itself: what is sorted by if nobody says otherwise."""
    return key


def key_columns(chunk: Chunk, keyfunc: Callable[[Any], Any]) -> Columns | None:
    """``keyfunc`` of the key of each pair of a chunk in columns; ``None`` if Python has to call it."""
    if not isinstance(chunk, Columns):
        return None
    halves = halves_of(chunk.row_type)
    if halves is None:
        return None
    keys = Columns(halves[0], chunk.leaves[: halves[0].leaf_count], len(chunk))
    if keyfunc is identity:
        return keys
    traced = trace(keyfunc, keys.row_type)
    return None if isinstance(traced, Untraced) else Chain.of(keys.row_type).mapped(traced).attempt(keys)


def sorted_form(form: Form, keyfunc: Callable[[Any], Any]) -> Form:
    """What becomes of pairs of this form that are sorted by ``keyfunc(key)``."""
    halves = halves_of(form) if isinstance(form, RowType) else None
    if halves is None:
        return Untraced("it sorts Python objects")
    key_type = halves[0]
    if keyfunc is not identity:
        traced = trace(keyfunc, key_type)
        if isinstance(traced, Untraced):
            return traced
        key_type = traced.row_type
    try:
        must_compare(key_type)
    except REFUSALS as refusal:
        return Untraced(str(refusal))
    return form


def sorted_columns(
    chunks: Sequence[Chunk], keyfunc: Callable[[Any], Any], *, ascending: bool
) -> tuple[Columns, Columns, Places] | None:
    """The chunks as one, the keys of their pairs, and the order of these; ``None`` if Python has to sort."""
    columns = alike(chunks)
    if columns is None:
        return None
    found = [key_columns(chunk, keyfunc) for chunk in columns]
    keys = [each for each in found if each is not None]
    if len(keys) < len(columns):
        return None
    try:
        together = joined(keys)
        return joined(columns), together, SortKeys.of(together).order(ascending=ascending)
    except REFUSALS:
        return None


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


class SortPartition(Step):
    """A partition's pairs in the order of their keys; equal keys keep their order."""

    __slots__ = ("ascending", "keyfunc", "name", "site")

    def __init__(self, keyfunc: Callable[[Any], Any], ascending: bool, site: CallSite) -> None:
        self.keyfunc = keyfunc
        self.ascending = ascending
        self.site = site
        self.name = f"sort of {site.operation}"

    def form(self, form: Form) -> Form:
        """Pairs stay what they are, if their keys compare in columns; see :mod:`penstock.plan.forms`."""
        return sorted_form(form, self.keyfunc)

    def run(self, task: Task, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        held = list(chunks)
        in_columns = sorted_columns(held, self.keyfunc, ascending=self.ascending)
        if in_columns is not None:
            together, _, order = in_columns
            for at in range(0, len(order), CHUNK_ROWS):
                yield together.take(order[at : at + CHUNK_ROWS])
            return
        pairs = [pair for chunk in held for part in checked_pairs(chunk, self.site) for pair in part]
        keys = sort_keys(pairs, self.keyfunc, self.site)
        try:
            places = sorted(range(len(keys)), key=keys.__getitem__, reverse=not self.ascending)
        except Exception as error:
            raise_located(error, self.site, record_of(pairs[0], self.site))
        yield from emit([pairs[index] for index in places])


def sorted_by_key(
    plan: Node, targets: int, keyfunc: Callable[[Any], Any], ascending: bool, site: CallSite
) -> Node:
    """The plan that sorts pairs by ``keyfunc(key)`` over ``targets`` partitions, stably."""
    if plan.partitions != 1 or targets > 1:
        plan = Shuffle(site, plan, RangeRouter(keyfunc, ascending, site), targets)
    return Narrow(site, plan, SortPartition(keyfunc, ascending, site))
