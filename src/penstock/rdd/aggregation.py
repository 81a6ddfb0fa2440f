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

from penstock.chunk import CHUNK_ROWS, Chunk, Columns, Grouped, Rows, RowType, Tuple, concatenated_columns
from penstock.errors import CallSite
from penstock.plan import (
    Fold,
    FoldStep,
    Form,
    Lists,
    Narrow,
    Node,
    Shuffle,
    Task,
    raise_located,
    row_type_of,
)
from penstock.rdd.pair import checked_pairs, keys_of, raise_for_key, with_distinct_nans
from penstock.rdd.partitioner import KeyRouter, Partitioner
from penstock.vectorize import (
    KeyedFold,
    KeyedGrouping,
    Untraced,
    fold_plan,
    folded_row_by_row,
    halves_of,
    programs,
)

__all__ = [
    "Aggregator",
    "CombineValues",
    "Distinct",
    "Grouping",
    "Reducing",
    "ReducingAll",
    "aggregated",
    "emit",
]

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

    def columns(self, row_type: RowType, *, partials: bool) -> KeyedFold | KeyedGrouping | Untraced:
        """A fold on columns of pairs of this row type, or why there is none."""
        create, merge = (None, self.merge_combiners) if partials else (self.create, self.merge_value)
        plan = fold_plan(None if create is _same else create, merge, row_type)
        return plan if isinstance(plan, Untraced) else KeyedFold(plan)

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

    def columns(self, row_type: RowType, *, partials: bool) -> KeyedFold | KeyedGrouping | Untraced:
        halves = halves_of(row_type)
        if halves is None or partials:
            return Untraced(f"{row_type} is no pair")
        return KeyedGrouping(*halves)

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

    __slots__ = ("aggregator", "fold", "name", "partials", "site")

    def __init__(self, aggregator: Aggregator, *, partials: bool) -> None:
        self.aggregator = aggregator
        self.partials = partials
        self.fold = aggregator.merge if partials else aggregator.combine
        self.site = aggregator.site
        self.name = f"{'merge' if partials else 'combine'} of {aggregator.site.operation}"

    def begin(self, task: Task) -> Fold:
        return _Groups(self)

    def form(self, form: Form) -> Form:
        """What becomes of pairs of this form; see :mod:`penstock.plan.forms`."""
        if isinstance(form, Lists):
            return (
                form
                if self.partials and isinstance(self.aggregator, Grouping)
                else Untraced("lists are folded")
            )
        assert isinstance(form, RowType)
        found = self.columns(form)
        if isinstance(found, KeyedFold):
            return Tuple((found.plan.key_type, found.plan.partial_type))
        return Lists(found.key_type, found.value_type) if isinstance(found, KeyedGrouping) else found

    def on_columns_alone(self, chunks: list[Chunk]) -> Iterator[Chunk] | None:
        """The fold of these chunks, if it can be done on columns from the first to the last.

        They are put together first, as far as they are small: each would have its keys looked up by itself.
        """
        fold = _Groups(self)
        if all(fold.pushed(chunk) for chunk in _together(chunks)):
            return fold.finish()
        return None

    def on_columns_of_both(self, one: list[Chunk], other: list[Chunk]) -> list[Chunk] | None:
        """The fold of two lists of chunks that each hold a key once, if it can be done on columns. Where both
        have the same keys in the same order, none is looked up."""
        both = [*one, *other]
        if not all(isinstance(chunk, Columns) for chunk in both):
            return None
        if len(one) == len(other):
            beside = [self._beside(*two) for two in zip(one, other, strict=True)]
            made: list[Chunk] = [chunk for chunk in beside if chunk is not None]
            if len(made) == len(one):
                return made
        folded = self.on_columns_alone(both)
        return None if folded is None else list(folded)

    def _beside(self, one: Chunk, other: Chunk) -> Columns | None:
        if not isinstance(one, Columns) or not isinstance(other, Columns) or row_type_of(one) is None:
            return None
        columns = self.columns(one.row_type)
        return folded_row_by_row(columns.plan, one, other) if isinstance(columns, KeyedFold) else None

    def columns(self, row_type: RowType) -> KeyedFold | KeyedGrouping | Untraced:
        """A fold on columns of pairs of this row type, or why there is none."""
        return self.aggregator.columns(row_type, partials=self.partials)


_TOGETHER_ROWS = 2**20


def _together(chunks: list[Chunk]) -> Iterator[Chunk]:
    """The same records in as few chunks as their row types and a bound on their size allow."""
    held: list[Columns] = []
    for chunk in chunks:
        fits = isinstance(chunk, Columns) and (not held or chunk.row_type == held[0].row_type)
        if held and (not fits or sum(map(len, held)) + len(chunk) > _TOGETHER_ROWS):
            yield concatenated_columns(held)
            held = []
        if isinstance(chunk, Columns):
            held.append(chunk)
        else:
            yield chunk
    if held:
        yield concatenated_columns(held)


class _Groups(Fold):
    """Folds on columns as long as they come, are of one row type and are not refused; from then on in
    Python."""

    __slots__ = ("_columns", "_groups", "_row_type", "_step")

    def __init__(self, step: CombineValues) -> None:
        self._step = step
        self._groups: Groups = {}
        self._columns: KeyedFold | KeyedGrouping | None = None
        self._row_type: RowType | None = None

    def push(self, chunk: Chunk) -> None:
        if self.pushed(chunk):
            return
        self._go_on_in_python()
        for pairs in checked_pairs(chunk, self._step.site):
            self._step.fold(self._groups, pairs)

    def pushed(self, chunk: Chunk) -> bool:
        """Whether a chunk was taken in as columns."""
        if self._groups or not isinstance(chunk, (Columns, Grouped)):
            return False
        if isinstance(chunk, Grouped):
            return self._grouped_pushed(chunk)
        if self._columns is None:
            if row_type_of(chunk) is None:
                return False
            columns = self._step.columns(chunk.row_type)
            if isinstance(columns, Untraced):
                return False
            self._columns, self._row_type = columns, chunk.row_type
        elif chunk.row_type != self._row_type:
            return False
        if isinstance(self._columns, KeyedGrouping):
            return self._columns.push(chunk.leaves, len(chunk))
        return self._columns.push(chunk)

    def _grouped_pushed(self, chunk: Grouped) -> bool:
        """Lists that were made of columns elsewhere: their values are grouped once more."""
        assert self._step.partials, "only lists of one partition are merged with those of another"
        if not isinstance(self._step.aggregator, Grouping):
            return False
        halves = (chunk.keys.row_type, chunk.value_type)
        if self._columns is None:
            self._columns = KeyedGrouping(*halves)
        columns = self._columns
        if not isinstance(columns, KeyedGrouping) or (columns.key_type, columns.value_type) != halves:
            return False
        return columns.push(chunk.flat(), len(chunk.values))

    def _go_on_in_python(self) -> None:
        columns, self._columns = self._columns, None
        if columns is not None and len(columns):
            grouping = isinstance(columns, KeyedGrouping)
            self._groups = dict(columns.grouped().rows()) if grouping else columns.groups()  # type: ignore[union-attr]

    def finish(self) -> Iterator[Chunk]:
        columns = self._columns
        if columns is None or not len(columns):
            return emit(list(self._groups.items()))
        if isinstance(columns, KeyedGrouping):
            return iter((columns.grouped(),))
        if len(columns) < programs.WORTH_ROWS:
            return emit(list(columns.groups().items()))
        pairs = columns.pairs()
        return (pairs.slice(at, at + CHUNK_ROWS) for at in range(0, len(pairs), CHUNK_ROWS))


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
