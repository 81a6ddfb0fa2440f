"""Which values an inverse function gives back exactly: what is added and taken away leaves no trace."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from fractions import Fraction
from itertools import chain
from typing import Any

from penstock.chunk import Chunk, Columns, Record, Rows, RowType, Scalar
from penstock.vectorize import halves_of

__all__ = ["Inexact", "hold_exact", "holds_exact"]

_EXACT: frozenset[type] = frozenset(
    {int, str, bytes, type(None), Fraction, date, datetime, timedelta}
)  # fmt: skip
_HOLDERS = (list, tuple, set, frozenset)


class Inexact(Rows):
    """The values of a window that holds something that taking away would not undo, such as a bool among ints:
    it may not show in any of them, so the next window has to look."""

    __slots__ = ()

    def isolated(self) -> Inexact:
        return Inexact(super().isolated().rows())

    def __reduce__(self) -> tuple[type[Rows], tuple[list[Any]]]:
        return Inexact, (self.rows(),)


def hold_exact(chunks: Iterable[Chunk]) -> bool:
    """Whether these pairs hold only values that are exact, and are not marked."""
    for chunk in chunks:
        if isinstance(chunk, Columns):
            halves = halves_of(chunk.row_type)
            if halves is None or not _is_exact_type(halves[1]):
                return False
        elif isinstance(chunk, Inexact) or not holds_exact(chunk.rows()):
            return False
    return True


def holds_exact(pairs: list[Any]) -> bool:
    """Whether taking away what was added gives back the very same values, in depth."""
    return _is_exact([value for _, value in pairs])


def _is_exact(values: Iterable[Any]) -> bool:
    held = list(values)
    for kind in set(map(type, held)) - _EXACT:
        same: list[Any] = [value for value in held if type(value) is kind]
        inside: Iterable[Any]
        if issubclass(kind, dict):
            inside = chain.from_iterable(value.values() for value in same)
        elif issubclass(kind, _HOLDERS):
            inside = chain.from_iterable(same)
        else:
            return False
        if not _is_exact(inside):
            return False
    return True


def _is_exact_type(row_type: RowType) -> bool:
    if isinstance(row_type, Scalar):
        return row_type.python_type in _EXACT
    holds = not isinstance(row_type, Record) or issubclass(row_type.cls, tuple)
    return holds and all(map(_is_exact_type, row_type.parts))
