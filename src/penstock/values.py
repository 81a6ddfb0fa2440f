"""Data classes that are made when they are first used.

``dataclasses.dataclass`` writes and compiles the methods of each class, half a millisecond or a whole one
each: for a hundred classes half of what ``import penstock`` would take. The ``dataclass`` here has that done
when the first instance is made, read back or looked at, or somebody asks for the fields. So it cannot give a
class ``__slots__``.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from dataclasses import field
from typing import Any, TypeVar, dataclass_transform, overload

__all__ = ["dataclass"]

T = TypeVar("T")

_OPTIONS = "_penstock_pending"
_FIELDS = "__dataclass_fields__"
_lock = threading.RLock()


@overload
@dataclass_transform(field_specifiers=(field,))
def dataclass(cls: type[T], /) -> type[T]: ...


@overload
def dataclass(*, frozen: bool = False, eq: bool = True) -> Callable[[type[T]], type[T]]: ...


def dataclass(cls: Any = None, /, *, frozen: bool = False, eq: bool = True) -> Any:
    """As ``dataclasses.dataclass``, later.

    >>> @dataclass(frozen=True)
    ... class Point:
    ...     x: int
    ...     y: int = 0
    >>> Point(1), Point(1) == Point(1, 0), len({Point(1), Point(1)})
    (Point(x=1, y=0), True, 1)
    """
    if cls is None:
        return lambda cls: _pending(cls, frozen, eq)
    return _pending(cls, frozen, eq)


def _pending(cls: type, frozen: bool, eq: bool) -> type:
    """Give a class methods that have it made, and then are those that were made."""
    stand_ins: dict[str, Any] = {
        "__init__": _init(cls),
        "__repr__": _repr(cls),
        _FIELDS: _Fields(),
    }
    if eq:
        stand_ins |= {"__eq__": _eq(cls), "__hash__": _hash(cls)}
    own = [name for name in stand_ins if name not in vars(cls)]
    for name in own:
        setattr(cls, name, stand_ins[name])
    if "__setstate__" not in vars(cls):
        cls.__setstate__ = _set_state  # type: ignore[attr-defined]
    setattr(cls, _OPTIONS, ({"frozen": frozen, "eq": eq}, own))
    return cls


def _make(cls: type) -> None:
    """Have the methods of a class written now, after those of the classes it derives from."""
    with _lock:
        for each in reversed(cls.__mro__):
            pending = vars(each).get(_OPTIONS)
            if pending is not None:
                options, own = pending
                _write(each, options, own)
                delattr(each, _OPTIONS)  # the last: now nobody has to wait


def _write(cls: type, options: dict[str, bool], own: list[str]) -> None:
    """Have the methods written.

    Another thread may make its first instance meanwhile. It must find the ``__init__`` that waits for this
    one, or the one that was made, and at no time none: it would take that of a class this derives from. So
    ``__init__`` is written for a class below this, and then put in place. Whoever needs another method has an
    instance, and so has waited.
    """
    for name in own:
        if name not in ("__init__", _FIELDS):
            delattr(cls, name)
    said = cls.__doc__
    dataclasses.dataclass(init=False, **options)(cls)
    if "__init__" in own:
        names = {"__doc__": said, "__module__": cls.__module__, "__qualname__": cls.__qualname__}
        below: Any = type(cls)(cls.__name__, (cls,), names)
        dataclasses.dataclass(repr=False, eq=False, frozen=options["frozen"])(below)
        cls.__init__ = below.__init__  # type: ignore[misc]
        cls.__doc__ = below.__doc__


class _Fields:
    """Stands where the fields of a class will be."""

    def __get__(self, instance: object, owner: type) -> Any:
        _make(owner)
        return owner.__dataclass_fields__  # type: ignore[attr-defined]


def _init(cls: Any) -> Callable[..., None]:
    def init_first(self: Any, *values: Any, **named: Any) -> None:
        _make(cls)
        cls.__init__(self, *values, **named)

    return init_first


def _repr(cls: Any) -> Callable[..., str]:
    def repr_first(self: Any) -> str:
        _make(cls)
        return str(cls.__repr__(self))

    return repr_first


def _eq(cls: Any) -> Callable[..., Any]:
    def eq_first(self: Any, other: object) -> Any:
        _make(cls)
        return cls.__eq__(self, other)

    return eq_first


def _hash(cls: Any) -> Callable[..., int]:
    def hash_first(self: Any) -> int:
        _make(cls)
        if cls.__hash__ is None:
            raise TypeError(f"unhashable type: {cls.__name__!r}")
        return int(cls.__hash__(self))

    return hash_first


def _set_state(self: Any, state: Any) -> None:
    """What ``pickle`` calls: with a dict, or with the list that a class with slots gives."""
    _make(type(self))
    if isinstance(state, list):
        state = {each.name: value for each, value in zip(dataclasses.fields(self), state, strict=True)}
    self.__dict__.update(state)
