"""What a traced function has read from outside, and whether it still is the same."""

from __future__ import annotations

import functools
import operator
import struct
import types
from collections.abc import Callable, Hashable
from typing import Any

from penstock.vectorize.purity import global_names

__all__ = ["Guards", "fingerprint"]


class Guards:
    """Values that were looked up while tracing, such as attributes of modules, and how to look again."""

    __slots__ = ("_noted",)

    def __init__(self) -> None:
        self._noted: list[tuple[Callable[[], Any], Hashable]] = []

    def note(self, again: Callable[[], Any], value: Any) -> None:
        """Remember that this lookup gave this value."""
        self._noted.append((again, fingerprint(value)))

    def hold(self) -> bool:
        """Whether every lookup still gives the same."""
        try:
            return all(fingerprint(again()) == known for again, known in self._noted)
        except Exception:  # whatever it is that is gone
            return False


_AS_IT_IS: frozenset[type] = frozenset({int, str, bool, bytes, type(None)})


def fingerprint(value: Any) -> Hashable:
    """Equal for values that a traced function cannot tell apart: the same class, value and, for functions,
    code and what they read in turn. What is no plain data is only ever equal to itself.

    A dict or set is as it is now: 50 ns an item. What cannot be looked at, such as a tuple that holds the
    function that reads it, is not even equal to itself.
    """
    try:
        found = _fingerprint(value)
        hash(found)
    except Exception:
        return _Itself(object())
    return found


def _fingerprint(value: Any) -> Hashable:
    kind = type(value)
    if kind in _AS_IT_IS:
        return (kind, value)
    if kind is float:
        return (kind, struct.pack("=d", value))
    if kind is types.FunctionType:
        return _of_function(value, ())
    if kind is tuple:
        return (kind, tuple(map(_fingerprint, value)))
    if kind is dict:
        return _Held(value)
    if kind is frozenset or kind is set:
        return (kind, frozenset(map(_fingerprint, value)))
    if kind is functools.partial:
        return (kind, _fingerprint(value.func), _fingerprint(value.args), _fingerprint(value.keywords))
    if kind in (operator.itemgetter, operator.attrgetter, operator.methodcaller):
        return (kind, _Itself(value))
    return (kind, value) if kind.__module__ in ("datetime", "decimal", "fractions") else _Itself(value)


class _Itself:
    """An object that is equal to nothing but itself, and is kept alive as long as it is compared."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


class _Held:
    """A dict as it is now, compared at C speed: classes, values, and floats with their signs."""

    __slots__ = ("items", "kinds")

    def __init__(self, held: dict[Any, Any]) -> None:
        self.items = held.copy()
        self.kinds = [*map(type, held), *map(type, held.values())]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Held) or self.kinds != other.kinds or self.items != other.items:
            return False
        if set(self.kinds) <= _AS_IT_IS:
            return True
        return fingerprint(tuple(self.items.items())) == fingerprint(tuple(other.items.items()))

    def __hash__(self) -> int:
        return len(self.kinds)


def _of_function(function: types.FunctionType, above: tuple[types.FunctionType, ...]) -> Hashable:
    if function in above:
        return ("again", above.index(function))
    above = (*above, function)

    def of(value: Any) -> Hashable:
        return _of_function(value, above) if type(value) is types.FunctionType else fingerprint(value)

    read = global_names(function.__code__)
    values = [of(function.__globals__[name]) for name in read if name in function.__globals__]
    missing = tuple(name for name in read if name not in function.__globals__)
    cells: list[Hashable] = []
    for cell in function.__closure__ or ():
        try:
            cells.append(of(cell.cell_contents))
        except ValueError:
            cells.append("empty")
    return (
        _Itself(function.__code__),
        missing,
        tuple(values),
        tuple(cells),
        fingerprint(function.__defaults__),
        None if function.__kwdefaults__ is None else fingerprint(function.__kwdefaults__),
    )
