"""Keys for a ``dict`` that keeps each NaN alone.

NaN equals nothing, itself included, so each is a group of its own. A ``dict`` nearly says so, but it
asks ``is`` before ``==``: the same NaN object twice (``math.nan`` in a user's function) is one key,
two NaN objects are two. Which objects are the same depends on where a record has been (through a
pickle, a column, a copy), so that must not show: every NaN becomes an object of its own.
"""

from __future__ import annotations

import copy
import struct
from collections.abc import Sequence
from dataclasses import fields
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import chain
from operator import ne
from typing import Any
from uuid import UUID

import numpy as np

from penstock.chunk.kinds import kinds_of, of_kind

__all__ = ["distinct_nans"]

_NEVER_NAN: frozenset[type] = frozenset(
    {
        int, str, bytes, bool, type(None), range, date, datetime, time, timedelta, Fraction, UUID,
    }
)  # fmt: skip
_NUMBERS = (float, complex, Decimal, np.inexact)
_HOLDERS = (tuple, frozenset)


def distinct_nans(keys: list[Any]) -> list[Any]:
    """The keys, such that no two share a NaN object; the same list if there is no NaN in it.

    Looks into tuples, NamedTuples, frozensets and dataclasses, in depth; what holds a NaN is made
    again with new NaNs of the same bits. Other classes that hold numbers are left alone.

    >>> nan = float("nan")
    >>> len({nan: 1, nan: 2}), len(set(distinct_nans([nan, nan, (nan, 1), (nan, 1)])))
    (1, 4)
    >>> keys = ["a", (1.5, None)]
    >>> distinct_nans(keys) is keys
    True
    """
    return [_fresh(key) for key in keys] if _any_nan(keys) else keys


def _any_nan(values: Sequence[Any]) -> bool:
    """Whether a value is, or holds, a NaN. One pass in C for each type and level."""
    kind: Any
    kinds = kinds_of(values)
    for kind in kinds - _NEVER_NAN:
        held = of_kind(values, kind, kinds)
        if issubclass(kind, Decimal):  # where != of a signalling NaN raises
            found = any(map(Decimal.is_nan, held))
        elif issubclass(kind, _NUMBERS):
            found = any(map(ne, held, held))
        elif issubclass(kind, tuple) and len(set(map(len, held))) == 1:
            found = any(map(_any_nan, zip(*held, strict=True)))  # item by item: one class each, as a rule
        elif issubclass(kind, _HOLDERS):
            found = _any_nan(list(chain.from_iterable(held)))
        elif hasattr(kind, "__dataclass_fields__"):
            names = [each.name for each in fields(kind)]
            found = any(_any_nan([getattr(value, name, None) for value in held]) for name in names)
        else:
            found = False
        if found:
            return True
    return False


def _fresh(key: Any) -> Any:
    """The key itself if no NaN is in it, else one like it with new NaNs."""
    kind = type(key)
    if kind in _NEVER_NAN or not _any_nan((key,)):
        return key
    if isinstance(key, _NUMBERS):
        return _fresh_number(key)
    if kind is tuple or kind is frozenset:
        return kind(map(_fresh, key))
    if isinstance(key, tuple):
        again = tuple.__new__(kind, map(_fresh, key))
        getattr(again, "__dict__", {}).update(getattr(key, "__dict__", {}))
        return again
    if isinstance(key, frozenset):
        return frozenset.__new__(kind, map(_fresh, key))
    again = copy.copy(key)
    for each in fields(key):
        object.__setattr__(again, each.name, _fresh(getattr(key, each.name)))
    return again


def _fresh_number(nan: Any) -> Any:
    """A NaN of the same class and bits that is another object."""
    kind = type(nan)
    if kind is float:
        return struct.unpack("=d", struct.pack("=d", nan))[0]
    if kind is complex:
        return complex(*struct.unpack("=dd", struct.pack("=dd", nan.real, nan.imag)))
    if kind is Decimal:
        return Decimal(nan.as_tuple())
    return nan.copy() if isinstance(nan, np.generic) else copy.copy(nan)
