"""What an action makes of a partition, on columns as far as they go: then nobody makes objects of all its
rows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from penstock.chunk import Chunk, Columns, RowType, Scalar, Tuple, rows_of
from penstock.chunk import leaves as leaf
from penstock.errors import CallSite, RowTypeError
from penstock.plan import raise_located, row_type_of
from penstock.rdd.pair import checked_pairs, raise_for_key
from penstock.vectorize import (
    REFUSALS,
    Chain,
    KeyedFold,
    SortKeys,
    Untraced,
    fold_plan,
    halves_of,
    trace,
)

__all__ = ["NOTHING", "candidates", "folded", "guarded", "put_into", "summed", "values_of"]


class _Nothing:
    """One object, also in other processes."""

    def __reduce__(self) -> str:
        return "NOTHING"


NOTHING: Any = _Nothing()
"""Stands for the result of no records."""

_COMPENSATES = sys.version_info >= (3, 12)
"""Whether ``sum`` of floats is more exact than adding them one after the other."""


class _Watched:
    """Records on their way into one call; knows which was the last."""

    __slots__ = ("failed", "last", "records")

    def __init__(self, records: Iterator[Any]) -> None:
        self.records = records
        self.last: Any = None
        self.failed: Exception | None = None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            self.last = next(self.records)
        except StopIteration:
            raise
        except Exception as error:
            self.failed = error
            raise
        return self.last


def guarded(site: CallSite, records: Iterator[Any], consume: Callable[[Any], Any]) -> Any:
    """``consume(records)``; what it raises by itself is located, what comes from upstream is already."""
    watched = _Watched(records)
    try:
        return consume(watched)
    except Exception as error:
        if error is watched.failed:
            raise
        raise_located(error, site, watched.last)


# Folds


def folded(
    create: Callable[[Any], Any] | None,
    function: Callable[[Any, Any], Any],
    site: CallSite,
    start: Any,
    chunks: Iterable[Chunk],
) -> Any:
    """The records folded by ``function``, from the left, from ``start``; or from the first, if that is
    ``NOTHING``. ``create(first record)`` is ``function(start, first record)``; ``None``: it is the first
    record."""
    fold = _ColumnFold(create, function)
    result = start
    record: Any = None
    for chunk in chunks:
        if not len(chunk) or fold.push(chunk):
            continue
        if fold.begun:
            result = fold.finish()
        fold.ended = True
        rows = iter(chunk.rows())
        if result is NOTHING:
            result = next(rows, NOTHING)
        try:
            for record in rows:
                result = function(result, record)
        except Exception as error:
            raise_located(error, site, record)
    return fold.finish() if fold.begun else result


class _ColumnFold:
    """A fold by a key that is the same for all records; it ends with the first chunk that it cannot take."""

    __slots__ = ("_create", "_fold", "_function", "_row_type", "ended")

    def __init__(self, create: Callable[[Any], Any] | None, function: Callable[[Any, Any], Any]) -> None:
        self._create = create
        self._function = function
        self._fold: KeyedFold | None = None
        self._row_type: RowType | None = None
        self.ended = False

    @property
    def begun(self) -> bool:
        return not self.ended and self._fold is not None and len(self._fold) > 0

    def push(self, chunk: Chunk) -> bool:
        """Whether the chunk was taken in."""
        if self.ended or not isinstance(chunk, Columns) or not len(chunk):
            return False
        if self._fold is None:
            if row_type_of(chunk) is None:
                return False
            plan = fold_plan(self._create, self._function, Tuple((_NO_KEY, chunk.row_type)))
            if isinstance(plan, Untraced):
                return False
            self._fold, self._row_type = KeyedFold(plan), chunk.row_type
        if chunk.row_type != self._row_type:
            return False
        leaves = (pa.nulls(len(chunk)), *chunk.leaves)
        return self._fold.push(Columns(Tuple((_NO_KEY, chunk.row_type)), leaves, len(chunk)))

    def finish(self) -> Any:
        """What has been folded."""
        assert self._fold is not None, "nothing was folded"
        return self._fold.groups()[None]


_NO_KEY = Scalar(type(None))


def summed(site: CallSite, chunks: Iterable[Chunk]) -> Any:
    """``sum`` of the records."""
    if _COMPENSATES:
        return guarded(site, rows_of(chunks), sum)
    total: Any = 0
    for chunk in chunks:
        more = _added(total, chunk)
        if more is None:
            more = guarded(site, rows_of((chunk,)), partial(_sum, total))
        total = more
    return total


def _sum(total: Any, records: Iterable[Any]) -> Any:
    return sum(records, total)


def _added(total: Any, chunk: Chunk) -> Any:
    """``total`` and a column of numbers, added as Python adds them; ``None`` if it has to be Python."""
    if not isinstance(chunk, Columns) or not len(chunk) or not isinstance(chunk.row_type, Scalar):
        return None
    kind = chunk.row_type.python_type
    if kind is int and type(total) is int:
        values = leaf.numpy_of(int, chunk.leaves[0])
        most = max(int(values.max()), -int(values.min()))
        return total + int(values.sum()) if most * len(values) < 2**63 else None
    if kind is float and type(total) in (int, float) and abs(total) < 2**63:
        values = leaf.numpy_of(float, chunk.leaves[0])
        with np.errstate(all="ignore"):
            return float(np.cumsum(np.concatenate(([float(total)], values)))[-1])
    return None


# The first ones


def candidates(
    chunks: Iterable[Chunk], count: int, key: Callable[[Any], Any] | None, *, ascending: bool
) -> Iterator[Any]:
    """The records, without some that cannot be among the first ``count`` in the order of ``key``."""
    for chunk in chunks:
        if isinstance(chunk, Columns) and row_type_of(chunk) is not None and 0 < count < len(chunk):
            keys = chunk if key is None else _mapped(key, chunk)
            if keys is not None and _simple(keys.row_type):
                try:
                    places = SortKeys.of(keys).firsts(count, ascending=ascending)
                except REFUSALS:
                    pass
                else:
                    yield from chunk.take(places).rows()
                    continue
        yield from rows_of((chunk,))


def _mapped(function: Callable[[Any], Any], chunk: Columns) -> Columns | None:
    traced = trace(function, chunk.row_type)
    return None if isinstance(traced, Untraced) else Chain.of(chunk.row_type).mapped(traced).attempt(chunk)


def _simple(row_type: RowType) -> bool:
    """Keys of which a later chunk cannot have any that compare with some of these only (a NaN inside a
    tuple)."""
    return isinstance(row_type, Scalar) or pa.float64() not in row_type.leaf_types


# Pairs


def put_into(found: dict[Any, Any], chunk: Chunk, site: CallSite) -> None:
    """Each key of a chunk of pairs, with its value, into a ``dict``."""
    halves = _halves(chunk)
    if halves is not None:
        try:
            found.update(zip(halves[0].rows(), halves[1].rows(), strict=True))
        except TypeError:  # a key without a hash: which one is found below
            pass
        else:
            return
    for part in checked_pairs(chunk, site):
        for pair in part:
            try:
                found[pair[0]] = pair[1]
            except TypeError as error:
                raise_for_key(error, pair, site)


def values_of(chunk: Chunk, key: Any, site: CallSite) -> Iterator[Any]:
    """The values of the pairs that have this key."""
    halves = _halves(chunk)
    if halves is not None:
        keys, values = halves
        try:
            same = SortKeys.of(keys).equal_to(SortKeys.of(Columns.from_rows([key], keys.row_type)))
        except (*REFUSALS, RowTypeError):
            pass
        else:
            yield from values.take(np.flatnonzero(same)).rows()
            return
    for part in checked_pairs(chunk, site):
        for found, value in part:
            if found == key:
                yield value


def _halves(chunk: Chunk) -> tuple[Columns, Columns] | None:
    if not isinstance(chunk, Columns) or row_type_of(chunk) is None:
        return None
    halves = halves_of(chunk.row_type)
    if halves is None:
        return None
    at = halves[0].leaf_count
    return (
        Columns(halves[0], chunk.leaves[:at], len(chunk)),
        Columns(halves[1], chunk.leaves[at:], len(chunk)),
    )
