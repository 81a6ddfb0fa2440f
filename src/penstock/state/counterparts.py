"""Which key of a table in columns a key of another class is equal to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from penstock.chunk import RowType, Scalar, Tuple

__all__ = ["NONE_EQUAL", "UNKNOWN", "counterpart"]

UNKNOWN: Any = object()
NONE_EQUAL: Any = object()

_PLAIN = frozenset({int, float, bool, str, bytes, type(None), tuple})
# What makes objects of a class derived from these plain ones, whatever that class says of itself.
_PLAIN_OF: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (int, int.__int__),
    (float, float.__float__),
    (str, str.__str__),
    (tuple, lambda key: tuple.__getitem__(key, slice(None))),
)
_OF_NUMPY = frozenset(
    {
        np.bool_,
        np.float64,
        np.str_,
        *(getattr(np, f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)),
    }
)
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1


def counterpart(key: Any, key_type: RowType) -> Any:
    """The key of this row type that is equal to ``key``; ``NONE_EQUAL`` if there is none, ``UNKNOWN`` if only
    the class of the key can say.

    >>> counterpart(2.0, Scalar(int)), counterpart((True, "a"), Tuple((Scalar(int), Scalar(str))))
    (2, (1, 'a'))
    >>> counterpart(2.5, Scalar(int)) is counterpart(None, Scalar(str)) is NONE_EQUAL
    True
    """
    kind = type(key)
    if kind not in _PLAIN:
        key = _plain(key, kind)
        kind = type(key)
        if key is UNKNOWN:
            return UNKNOWN
    if isinstance(key_type, Scalar):
        return _scalar(key, kind, key_type.python_type)
    if kind is not tuple:
        return NONE_EQUAL
    if not isinstance(key_type, Tuple):
        return UNKNOWN
    if len(key) != len(key_type.items):
        return NONE_EQUAL
    parts = tuple(counterpart(part, of) for part, of in zip(key, key_type.items, strict=True))
    for verdict in (UNKNOWN, NONE_EQUAL):
        if any(part is verdict for part in parts):
            return verdict
    return parts


def _plain(key: Any, kind: type) -> Any:
    """The key as what it is a kind of, if it is equal to what that is equal to; else ``UNKNOWN``."""
    if kind in _OF_NUMPY:
        return key.item()
    for base, plain in _PLAIN_OF:
        if issubclass(kind, base):
            same = kind.__eq__ is base.__eq__ and kind.__hash__ is base.__hash__
            return plain(key) if same else UNKNOWN
    return UNKNOWN


def _scalar(key: Any, kind: type, wanted: type) -> Any:
    if wanted is str:
        return _text(key) if kind is str else NONE_EQUAL
    if kind not in (int, float, bool):
        return NONE_EQUAL
    try:
        found = wanted(key)
    except (ValueError, OverflowError):  # a NaN, an infinity, more than a float can be
        return NONE_EQUAL
    if found != key or (wanted is int and not _INT_MIN <= found <= _INT_MAX):
        return NONE_EQUAL
    return found + 0.0 if wanted is float else found  # no sign for zeros


def _text(key: str) -> Any:
    try:
        key.encode()
    except UnicodeEncodeError:
        return NONE_EQUAL
    return key
