"""Copies for functions that may change what they are given.

In Spark every record that crosses from the driver to a task, or that is read twice from a cache,
went through a serialiser, so no function can change what another one sees. Inside one process that
has to be done on purpose, and without paying for it where nothing can be changed: each kept chunk
is classified once, then

- records that cannot change (numbers, strings, tuples of such, ...) are shared,
- lists, dicts and sets of such are copied by their own ``copy``, one call each,
- everything else is copied in depth; aliases *inside* a record stay aliases. A part that cannot be
  copied at all (a lock, a socket) is shared.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from itertools import chain
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

__all__ = ["Copier", "copier_of", "is_flat", "isolated", "share"]

Copier = Callable[[list[Any]], list[Any]]
"""Makes a list of copies of a list of records."""

_IMMUTABLE: frozenset[type] = frozenset(
    {
        int, float, bool, complex, str, bytes, type(None), date, datetime, time, timedelta, timezone,
        Decimal, Fraction, range, type(Ellipsis), FunctionType, ModuleType, type,
    }
)  # fmt: skip
_FLAT: dict[type, Copier] = {
    dict: lambda rows: list(map(dict.copy, rows)),
    list: lambda rows: list(map(list.copy, rows)),
    set: lambda rows: list(map(set.copy, rows)),
}


def isolated(value: Any) -> Any:
    """One value, or a copy of it if it can be changed.

    >>> zero = [0]
    >>> isolated(zero) == zero, isolated(zero) is zero
    (True, False)
    """
    return value if type(value) in _IMMUTABLE else _copied(value, {})


def share(rows: list[Any]) -> list[Any]:
    """The copier of records that cannot change: a new list of the same records."""
    return rows.copy()


def is_flat(copier: Copier) -> bool:
    """Whether what the copier is for holds nothing that can be changed, below the records themselves."""
    return copier is share or copier in _FLAT.values()


def copier_of(rows: list[Any]) -> Copier:
    """How to copy these records, found by looking at all of them.

    The answer stays right as long as nobody changes the records, which is so when only copies are
    handed out.
    """
    kinds = set(map(type, rows))
    if len(kinds) == 1:
        kind = kinds.pop()
        if kind in _FLAT:
            return _FLAT[kind] if _holds_only_immutables(kind, rows) else _copy_each
    return share if _immutable(rows) else _copy_each


def _copy_each(rows: list[Any]) -> list[Any]:
    return [_copied(value, {}) for value in rows]


def _holds_only_immutables(kind: type, rows: list[Any]) -> bool:
    """Whether nothing that flat containers hold can be changed; looks at classes first, at C speed."""
    if kind is not dict:
        return _all_immutable(chain.from_iterable(rows)) or _immutable(chain.from_iterable(rows))
    if not _immutable(list(set().union(*rows))):  # the keys: most dicts of a chunk have the same
        return False
    values = map(dict.values, rows)
    return _all_immutable(chain.from_iterable(values)) or _immutable(
        chain.from_iterable(map(dict.values, rows))
    )


def _all_immutable(values: Iterable[Any]) -> bool:
    return _IMMUTABLE.issuperset(set(map(type, values)))


def _immutable(values: Iterable[Any]) -> bool:
    """Whether no value can be changed, neither itself nor in depth."""
    held = values if isinstance(values, (list, tuple)) else list(values)
    for kind in set(map(type, held)):
        if kind in _IMMUTABLE or issubclass(kind, Enum):
            continue
        of_kind: list[Any] = [value for value in held if type(value) is kind]
        if kind is tuple or kind is frozenset or _is_namedtuple(kind):
            if not _immutable(list(chain.from_iterable(of_kind))):
                return False
        elif kind is BuiltinFunctionType:
            if not all(isinstance(value.__self__, (ModuleType, type(None))) for value in of_kind):
                return False
        elif _is_frozen_dataclass(kind):
            names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
            if not _immutable([getattr(value, name, None) for value in of_kind for name in names]):
                return False
        else:
            return False
    return True


def _is_namedtuple(kind: type) -> bool:
    """Whether this is a NamedTuple whose instances hold nothing beside their fields."""
    return issubclass(kind, tuple) and hasattr(kind, "_fields") and kind.__dictoffset__ == 0


def _is_frozen_dataclass(kind: type) -> bool:
    parameters = vars(kind).get("__dataclass_params__") if is_dataclass(kind) else None
    return parameters is not None and bool(parameters.frozen)


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    """A copy in depth, in one frame a level; ``memo`` (by ``id``, as in ``copy``) keeps aliases.

    What cannot change comes back as it is. A record nested deeper than Python can follow raises
    ``RecursionError``: it is never shared in silence.
    """
    kind = type(value)
    if kind in _IMMUTABLE:
        return value
    known = memo.get(id(value))
    if known is not None:
        return known
    result: Any
    if kind is list:
        result = memo[id(value)] = []
        for item in value:
            result.append(_copied(item, memo))
    elif kind is dict:
        result = memo[id(value)] = {}
        for key, item in value.items():
            result[_copied(key, memo)] = _copied(item, memo)
    elif kind is tuple or kind is frozenset or _is_namedtuple(kind):
        items: list[Any] = []
        for item in value:
            items.append(_copied(item, memo))
        known = memo.get(id(value))  # a list inside may hold this very tuple
        if known is not None:
            return known
        same = all(map(_is, items, value))
        made = frozenset(items) if kind is frozenset else tuple.__new__(kind, items)
        result = memo[id(value)] = value if same else made
    elif issubclass(kind, Enum) or (_is_frozen_dataclass(kind) and _immutable((value,))):
        return value
    elif kind is BuiltinFunctionType:
        owner = value.__self__  # a module, or the object of a bound method such as [].append
        return value if isinstance(owner, ModuleType) else getattr(_copied(owner, memo), value.__name__)
    else:
        result = memo[id(value)] = _deep(value, memo)
    return result


def _is(one: Any, other: Any) -> bool:
    return one is other


def _deep(value: Any, memo: dict[int, Any]) -> Any:
    try:
        return copy.deepcopy(value, memo)
    except RecursionError:
        raise
    except Exception:  # a lock, a generator, a class that forbids it: there is only the one
        return value
