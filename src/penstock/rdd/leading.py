"""``sortBy(...).zipWithIndex().filter(index < n)`` as what it is: the first ``n``, without a sort of all.

::

    keyed -> by range -> sort          -> maps -> zipWithIndex -> filter
    keyed -> the first n of each, to   -> maps -> zipWithIndex -> filter
             the first partition, sort

Nothing behind the sort changes, the filter included. What it lets through is looked up when it runs, since
``n`` may have become another number by then; where that or the keys leave a doubt all records stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from penstock.chunk import Chunk, Columns, Rows, RowType
from penstock.errors import CallSite, RowTypeError
from penstock.plan import Form, Map, Narrow, Node, Router, Shuffle, Step, Task
from penstock.rdd.indexing import ZipWithIndex
from penstock.rdd.ordering import RangeRouter, SortPartition, identity, key_columns, sorted_form
from penstock.rdd.pair import checked_pairs
from penstock.vectorize import (
    REFUSALS,
    Chain,
    SortKeys,
    Untraced,
    halves_of,
    index_limit,
    item_read,
    programs,
)

__all__ = ["leading"]

_LIMIT_MAX = 100_000
"""Of more records than these one place might be too small."""


def leading(plan: Node, function: Callable[[Any], Any], is_kept: Callable[[Node], bool]) -> Node:
    """``plan``, or one that gives the same behind a filter by ``function``: if it is a ``zipWithIndex``
    of what was sorted, of which nothing is kept, and only the first few indexes are let through."""
    if not isinstance(plan, Narrow) or not isinstance(plan.step, ZipWithIndex) or is_kept(plan):
        return plan
    maps: list[Narrow] = []
    below: Node = plan.parent
    while isinstance(below, Narrow) and isinstance(below.step, Map) and not is_kept(below):
        maps.append(below)
        below = below.parent
    if not isinstance(below, Narrow) or not isinstance(below.step, SortPartition) or is_kept(below):
        return plan
    sort = below.step
    if sort.keyfunc is not identity:
        return plan
    limit = index_limit(function)
    if limit is None or limit > _LIMIT_MAX:
        return plan
    steps = [node.step for node in reversed(maps) if isinstance(node.step, Map)]
    found = _First(function, sort.ascending, steps, sort.site)
    made: Node
    if isinstance(below.parent, Shuffle):
        if not isinstance(below.parent.router, RangeRouter) or is_kept(below.parent):
            return plan
        router = _ToFirst(found, several=below.parent.parent.partitions > 1)
        made = Shuffle(below.parent.site, below.parent.parent, router, below.parent.targets)
    else:
        made = Narrow(below.site, below.parent, _FirstOfPartition(found))
    made = Narrow(below.site, made, sort)
    for node in reversed(maps):
        made = Narrow(node.site, made, node.step)
    return Narrow(plan.site, made, _IndexInFirst())


class _Doubt(Exception):
    """It might show that records are missing: all of them stay."""


class _First:
    """Of pairs those with the first keys, as many as a filter lets through."""

    __slots__ = ("ascending", "function", "maps", "site")

    def __init__(
        self, function: Callable[[Any], Any], ascending: bool, maps: Sequence[Map], site: CallSite
    ) -> None:
        self.function = function
        self.ascending = ascending
        self.maps = maps
        self.site = site

    def of(self, chunks: list[Chunk]) -> list[Chunk]:
        """The first pairs of a partition, as they lie; all of them in case of doubt."""
        wanted = index_limit(self.function)
        if wanted is None or sum(map(len, chunks)) <= max(wanted, programs.WORTH_ROWS):
            return chunks
        wanted = max(1, wanted)  # by one it shows whether its keys compare with those of other partitions
        held, types, kept = [self._owned(chunk) for chunk in chunks], set(), []
        try:
            for chunk in held:
                keys = self._keys(chunk)
                types.add(keys.row_type)
                places = SortKeys.of(keys).firsts(wanted, ascending=self.ascending)
                kept.append(_taken(chunk, places))
        except (*REFUSALS, RowTypeError, _Doubt):
            return held
        return kept if len(types) == 1 else held

    def looked_at(self, chunks: list[Chunk]) -> tuple[int, Any]:
        """How many pairs a partition has, and the row type of their keys; of few the keys, of doubtful ones
        ``None``."""
        count = sum(map(len, chunks))
        try:
            held = [self._owned(chunk) for chunk in chunks]
            if count <= programs.WORTH_ROWS:
                return count, [pair[0] for chunk in held for pair in chunk.rows()]
            return count, _common(map(self._keys, held))
        except (*REFUSALS, RowTypeError, _Doubt):
            return count, None

    def _owned(self, chunk: Chunk) -> Chunk:
        """The chunk itself, or its pairs once they are checked."""
        if isinstance(chunk, Columns) and halves_of(chunk.row_type) is not None:
            return chunk
        return Rows([pair for pairs in checked_pairs(chunk, self.site) for pair in pairs])

    def _keys(self, chunk: Chunk) -> Columns:
        """The keys, if nothing can come of it that the maps never see some of the pairs."""
        if isinstance(chunk, Columns):
            keys = key_columns(chunk, identity)
            assert keys is not None
            self._must_not_fail(chunk)
            return keys
        pairs = values = chunk.rows()
        for step in self.maps:
            item = item_read(step.function)
            if item is None or set(map(type, values)) != {tuple}:
                raise _Doubt
            sizes = set(map(len, values))
            if not all(-size <= item < size for size in sizes):
                raise _Doubt
            if step is not self.maps[-1]:
                values = [value[item] for value in values]
        return Columns.from_rows([pair[0] for pair in pairs])

    def _must_not_fail(self, chunk: Columns) -> None:
        chain = Chain.of(chunk.row_type)
        for step in self.maps:
            longer = step.in_columns(chain)
            if isinstance(longer, Untraced):
                raise _Doubt
            chain = longer
        if any(item_read(step.function) is None for step in self.maps):
            chain.run(chunk)


def _taken(chunk: Chunk, places: Any) -> Chunk:
    if isinstance(chunk, Columns):
        return chunk.take(places)
    rows = chunk.rows()
    return Rows([rows[place] for place in places.tolist()])


def _common(keys: Iterable[Columns]) -> RowType:
    """The row type of all these keys, which simply compare. Raises otherwise."""
    types = set()
    for each in keys:
        SortKeys.of(each)
        types.add(each.row_type)
    if len(types) != 1:
        raise _Doubt
    return types.pop()


class _FirstOfPartition(Step):
    """Of the only partition."""

    __slots__ = ("first", "name")

    def __init__(self, first: _First) -> None:
        self.first = first
        self.name = f"first of {first.site.operation}"

    def form(self, form: Form) -> Form:
        """Pairs stay what they are; see :mod:`penstock.plan.forms`."""
        return sorted_form(form, identity)

    def run(self, task: Task, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        yield from self.first.of(_filled(chunks))


class _ToFirst(Router):
    """The first pairs of each partition go to the first target."""

    __slots__ = ("first", "name", "several")

    def __init__(self, first: _First, *, several: bool) -> None:
        self.first = first
        self.several = several
        self.name = f"first for {first.site.operation}"

    def form(self, form: Form) -> Form:
        """Pairs stay what they are; see :mod:`penstock.plan.forms`."""
        return sorted_form(form, identity)

    def needs_summary(self, targets: int) -> bool:
        return self.several

    def summarise(self, task: Task, chunks: Iterator[Chunk]) -> tuple[int, Any]:
        return self.first.looked_at(_filled(chunks))

    def is_clear_of(self, rows: int) -> bool:
        """So few are sorted whole."""
        return rows <= programs.WORTH_ROWS

    def decide(self, summaries: list[tuple[int, Any]], targets: int) -> bool:
        """Whether all keys of all partitions are of one class, and so many that it is worth it."""
        if self.is_clear_of(sum(count for count, _ in summaries)):
            return False
        found = set()
        for count, keys in summaries:
            if not count:
                continue
            try:
                found.add(_common([Columns.from_rows(keys)]) if isinstance(keys, list) else keys)
            except (*REFUSALS, RowTypeError):
                return False
        return len(found) == 1 and None not in found

    def split(self, task: Task, chunks: Iterator[Chunk], targets: int) -> list[list[Chunk]]:
        held = _filled(chunks)
        sure = task.decision if self.several else True
        return [self.first.of(held) if sure else held, *([] for _ in range(targets - 1))]


class _IndexInFirst(ZipWithIndex):
    """With its index, where all pairs are in the first partition: nobody has to count them."""

    def needs_summary(self, partitions: int) -> bool:
        return False


def _filled(chunks: Iterator[Chunk]) -> list[Chunk]:
    return [chunk for chunk in chunks if len(chunk)]
