"""Which values an inverse function gives back exactly: what is added and taken away leaves no trace.

An inverse function promises a value that is *equal*: with ``Fraction(1, 3)`` gone, a 1 may come back as
``Fraction(1)``. So values are exact only where equal ones are the same in all they show: of classes without
``1 == True`` in them, and of one and the same class at each place, over all that a window holds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date, datetime, timedelta
from fractions import Fraction
from functools import reduce
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any

from penstock.chunk import Chunk, Columns, Record, Rows, RowType, Scalar, Tuple
from penstock.values import dataclass
from penstock.vectorize import halves_of

__all__ = ["NOTHING", "Inexact", "Shape", "joint_shape", "shape_of_pairs"]

_EXACT: frozenset[type] = frozenset(
    {int, str, bytes, type(None), Fraction, date, datetime, timedelta}
)  # fmt: skip
_EQUAL: tuple[Any, ...] = (tuple.__eq__,)
_PLACES = 16
_DEPTH = 8


@dataclass(frozen=True)
class _Alike:
    """Lists or tuples of any lengths, of items of one shape."""

    cls: type
    item: Shape


@dataclass(frozen=True)
class _Placed:
    """Lists or tuples of one length, with a shape for each place."""

    cls: type
    items: tuple[Shape, ...]


class _Nothing:
    """The class of no values at all."""


Shape = type | _Alike | _Placed | None
"""The classes at each place of values that are exact; ``None`` of values that are not."""

NOTHING: Shape = _Nothing
"""The shape of no values."""


class Inexact(Rows):
    """The values of a window that holds something that taking away would not undo, such as a bool among ints:
    it may not show in any of them, so the next window has to look."""

    __slots__ = ()

    def isolated(self) -> Inexact:
        return Inexact(super().isolated().rows())

    def __reduce__(self) -> tuple[type[Rows], tuple[list[Any]]]:
        return Inexact, (self.rows(),)


def joint_shape(one: Shape, other: Shape) -> Shape:
    """The shape of values of both."""
    if one == other or other is NOTHING:
        return one
    if one is NOTHING:
        return other
    if not isinstance(one, _Alike | _Placed) or not isinstance(other, _Alike | _Placed):
        return None
    if one.cls is not other.cls:
        return None
    if isinstance(one, _Placed) and isinstance(other, _Placed) and len(one.items) == len(other.items):
        return _placed(one.cls, map(joint_shape, one.items, other.items))
    item = reduce(joint_shape, (*_items(one), *_items(other)), NOTHING)
    return None if item is None else _Alike(one.cls, item)


def shape_of_pairs(chunks: Iterable[Chunk]) -> Shape:
    """The shape of the values of these pairs; ``None`` if any is marked."""
    shape = NOTHING
    for chunk in chunks:
        if shape is None:
            break
        shape = joint_shape(shape, _shape_of_chunk(chunk))
    return shape


def _shape_of_chunk(chunk: Chunk) -> Shape:
    if isinstance(chunk, Columns):
        halves = halves_of(chunk.row_type)
        return None if halves is None else _shape_of_type(halves[1])
    return None if isinstance(chunk, Inexact) else _shape_of([value for _, value in chunk.rows()], _DEPTH)


def _shape_of(values: Collection[Any], depth: int) -> Shape:
    kinds = set(map(type, values))
    if len(kinds) != 1:
        return None if kinds else NOTHING
    (kind,) = kinds
    if kind in _EXACT:
        return kind if kind is not datetime or _are_plain(values) else None
    if not depth or not _holds_only_items(kind):
        return None
    inside = list(chain.from_iterable(values))
    item = _shape_of(inside, depth - 1)
    if item is not None:
        return _Alike(kind, item)
    lengths = set(map(len, values))
    if len(lengths) > 1 or max(lengths) > _PLACES:
        return None
    places = (list(map(itemgetter(place), values)) for place in range(max(lengths)))
    return _placed(kind, (_shape_of(place, depth - 1) for place in places))


def _are_plain(times: Iterable[datetime]) -> bool:
    """Whether equal ones are the same: of one moment there is a time in each zone, and two with ``fold``."""
    marks = set(map(attrgetter("tzinfo.__class__", "fold"), times))
    return marks == {(type(None), 0)}


def _holds_only_items(kind: type) -> bool:
    """Whether equal lists or tuples of this class are the same if their items are. Not so are dicts and sets:
    equal ones may come in another order."""
    if kind is list or kind is tuple:
        return True
    named = issubclass(kind, tuple) and hasattr(kind, "_fields")
    return named and kind.__eq__ in _EQUAL and not kind.__dictoffset__


def _shape_of_type(row_type: RowType) -> Shape:
    if isinstance(row_type, Scalar):
        return row_type.python_type if row_type.python_type in _EXACT else None
    cls = row_type.cls if isinstance(row_type, Record) else tuple
    if not isinstance(row_type, Record | Tuple) or not _holds_only_items(cls):
        return None
    return _placed(cls, map(_shape_of_type, row_type.parts))


def _placed(cls: type, items: Iterable[Shape]) -> Shape:
    found = []
    for item in items:
        if item is None:
            return None
        found.append(item)
    return _Placed(cls, tuple(found))


def _items(shape: _Alike | _Placed) -> tuple[Shape, ...]:
    return shape.items if isinstance(shape, _Placed) else (shape.item,)
