"""Which values an inverse function gives back exactly: what is added and taken away leaves no trace.

A trace may be more than a last bit: ``Fraction(4, 3) - Fraction(1, 3)`` is a Fraction where the window holds
an int alone, and a dict that a key was added to and removed from has another order. So all values that a
window is made of must have one and the same form: one class at each place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from fractions import Fraction
from itertools import chain
from typing import Any

from penstock.chunk import Chunk, Columns, Rows, RowType, Scalar, Tuple
from penstock.vectorize import halves_of

__all__ = ["NOTHING", "Inexact", "exact_form", "joined_form"]

_EXACT: frozenset[type] = frozenset(
    {int, str, bytes, type(None), Fraction, date, datetime, timedelta}
)  # fmt: skip

ExactForm = Any
"""A class, a tuple of forms for tuples, a list of one form for lists; ``None`` where something is not
exact."""

NOTHING: ExactForm = ()
"""The form of no values at all. (That of empty tuples is one with a mark in it.)"""

_EMPTY_TUPLES: ExactForm = (tuple,)


class Inexact(Rows):
    """The values of a window that holds something that taking away would not undo, such as a bool among ints:
    it may not show in any of them, so the next window has to look."""

    __slots__ = ()

    def isolated(self) -> Inexact:
        return Inexact(super().isolated().rows())

    def __reduce__(self) -> tuple[type[Rows], tuple[list[Any]]]:
        return Inexact, (self.rows(),)


def exact_form(chunks: Iterable[Chunk]) -> ExactForm:
    """The one form that the values of these pairs have; ``None`` if they have several, if some are not exact,
    or are marked."""
    form: ExactForm = NOTHING
    for chunk in chunks:
        if isinstance(chunk, Columns):
            halves = halves_of(chunk.row_type)
            found = None if halves is None else _form_of_type(halves[1])
        elif isinstance(chunk, Inexact):
            return None
        else:
            found = _form_of([value for _, value in chunk.rows()])
        form = joined_form(form, found)
        if form is None:
            return None
    return form


def joined_form(one: ExactForm, other: ExactForm) -> ExactForm:
    """The form of values of which some have the one and some the other; ``None`` if there is none.

    >>> joined_form((int, str), NOTHING), joined_form([NOTHING], [int]), joined_form(int, Fraction)
    ((<class 'int'>, <class 'str'>), [<class 'int'>], None)
    """
    if one is None or other is None:
        return None
    if one in (NOTHING, other):
        return other
    if other == NOTHING:
        return one
    if isinstance(one, (list, tuple)) and type(one) is type(other) and len(one) == len(other):
        parts = [joined_form(a, b) for a, b in zip(one, other, strict=True)]
        return None if None in parts else type(one)(parts)
    return None


def _form_of(values: Sequence[Any]) -> ExactForm:
    kinds = set(map(type, values))
    if len(kinds) != 1:
        return None if kinds else NOTHING
    (kind,) = kinds
    if kind in _EXACT:
        return kind
    if kind is list:
        inside = _form_of(list(chain.from_iterable(values)))
        return None if inside is None else [inside]
    if kind is not tuple or len(set(map(len, values))) != 1:
        return None
    parts = [_form_of(column) for column in zip(*values, strict=True)]
    return None if None in parts else tuple(parts) or _EMPTY_TUPLES


def _form_of_type(row_type: RowType) -> ExactForm:
    if isinstance(row_type, Scalar):
        return row_type.python_type if row_type.python_type in _EXACT else None
    if not isinstance(row_type, Tuple):
        return None
    parts = [_form_of_type(part) for part in row_type.parts]
    return None if None in parts else tuple(parts) or _EMPTY_TUPLES
