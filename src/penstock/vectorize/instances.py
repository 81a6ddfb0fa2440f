"""Records and tuples of symbols, as a traced function gets them.

A record is an object of our own that has the fields of its class, and the class's methods as traced twins: a
real instance would run methods that nobody has looked into. A tuple is a real tuple, unless one of its items
may be ``None``: then it forks when that item is read, and not before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from penstock.chunk.row_types import Optional, Record, RowType, Scalar, Tuple
from penstock.vectorize.expressions import Call, Expression
from penstock.vectorize.kernels import Kernel, call
from penstock.vectorize.paths import Path, Untraceable
from penstock.vectorize.symbols import Symbol, refusing

__all__ = ["Instance", "LazyTuple", "instance_of", "present"]

_PRESENT = Kernel(
    "is there", (object,), bool, lambda value: value is not None, lambda a: call("is_valid", a), True
)


def present(expression: Expression) -> Expression:
    """Whether a value is not ``None``."""
    return Call(bool, _PRESENT, (expression,))


def instance_of(
    row_type: RowType, leaves: list[Expression], path: Path, methods: Callable[[Any, Instance], Any]
) -> Any:
    """What a function gets for a value of this row type, whose leaves are these expressions.

    ``methods(attribute of the class, instance)`` makes what an attribute that is no field gives.
    """
    made = _made(row_type, leaves, path, methods)
    return made.forked() if isinstance(made, _Maybe) else made


class _Maybe:
    """A value that is ``None`` in some rows; asking which forks."""

    __slots__ = ("_path", "_there", "_value")

    def __init__(self, there: Expression, value: Any, path: Path) -> None:
        self._there = there
        self._value = value
        self._path = path

    def forked(self) -> Any:
        """The value on one path, ``None`` on the other."""
        return self._value if self._path.decide(self._there) else None


def _made(row_type: RowType, leaves: list[Expression], path: Path, methods: Any) -> Any:
    if isinstance(row_type, Scalar):
        return None if row_type.python_type is type(None) else Symbol(leaves[0], path)
    if isinstance(row_type, Optional):
        if isinstance(row_type.inner, Scalar):
            return _Maybe(present(leaves[0]), Symbol(leaves[0], path), path)
        return _Maybe(leaves[0], _made(row_type.inner, leaves[1:], path, methods), path)
    parts, at = [], 0
    for part in row_type.parts:
        parts.append(_made(part, leaves[at : at + part.leaf_count], path, methods))
        at += part.leaf_count
    if isinstance(row_type, Record):
        return Instance(row_type.cls, row_type.names, parts, methods)
    assert isinstance(row_type, Tuple)
    return LazyTuple(parts) if any(isinstance(part, _Maybe) for part in parts) else tuple(parts)


def _read(part: Any) -> Any:
    return part.forked() if isinstance(part, _Maybe) else part


class _Sequence:
    """What tuples and NamedTuples of symbols have in common."""

    __slots__ = ("_parts",)
    _penstock_symbolic = True
    _parts: list[Any]

    def _items(self) -> tuple[Any, ...]:
        return tuple(map(_read, self._parts))

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items())

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, index: Any) -> Any:
        if type(index) is int:
            return _read(self._parts[index])
        if type(index) is slice:
            return tuple(map(_read, self._parts[index]))
        raise Untraceable("an item that is not constant")

    def __eq__(self, other: object) -> Any:
        return self._items() == (other._items() if isinstance(other, _Sequence) else other)

    def __ne__(self, other: object) -> Any:
        return self._items() != (other._items() if isinstance(other, _Sequence) else other)

    def __add__(self, other: Any) -> Any:
        return self._items() + (other._items() if isinstance(other, _Sequence) else other)

    def __radd__(self, other: Any) -> Any:
        return other + self._items()

    def __lt__(self, other: Any) -> Any:
        return self._items() < (other._items() if isinstance(other, _Sequence) else other)

    def __le__(self, other: Any) -> Any:
        return self._items() <= (other._items() if isinstance(other, _Sequence) else other)

    def __gt__(self, other: Any) -> Any:
        return self._items() > (other._items() if isinstance(other, _Sequence) else other)

    def __ge__(self, other: Any) -> Any:
        return self._items() >= (other._items() if isinstance(other, _Sequence) else other)

    def __contains__(self, item: Any) -> bool:
        return item in self._items()

    __hash__ = refusing("a record as a key of a dict or set")
    __repr__ = __str__ = __format__ = refusing("the text of a record")


class LazyTuple(_Sequence):
    """A tuple some of whose items may be ``None``."""

    __slots__ = ()

    def __init__(self, parts: list[Any]) -> None:
        self._parts = parts

    def __getattr__(self, name: str) -> Any:
        if hasattr(tuple, name) and not name.startswith("__"):
            return getattr(self._items(), name)
        raise AttributeError(name)


class Instance(_Sequence):
    """A record: a NamedTuple, or a dataclass (which is no sequence)."""

    __slots__ = ("_cls", "_methods", "_names")

    def __init__(self, cls: type, names: tuple[str, ...], parts: list[Any], methods: Any) -> None:
        self._cls = cls
        self._names = names
        self._parts = parts
        self._methods = methods

    @property
    def _is_tuple(self) -> bool:
        return issubclass(self._cls, tuple)

    def _must_be_tuple(self) -> None:
        if not self._is_tuple:
            raise TypeError(f"'{self._cls.__name__}' object is no sequence")

    def __iter__(self) -> Iterator[Any]:
        self._must_be_tuple()
        return super().__iter__()

    def __len__(self) -> int:
        self._must_be_tuple()
        return super().__len__()

    def __bool__(self) -> bool:
        return bool(self._parts) or not self._is_tuple

    def __getitem__(self, index: Any) -> Any:
        self._must_be_tuple()
        return super().__getitem__(index)

    def __eq__(self, other: object) -> Any:
        if self._is_tuple:
            return super().__eq__(other)
        if not isinstance(other, Instance) or other._cls is not self._cls:
            raise Untraceable("comparing a record with something else")
        return self._items() == other._items()

    def __ne__(self, other: object) -> Any:
        return not self == other

    def __add__(self, other: Any) -> Any:
        self._must_be_plain("__add__")
        return super().__add__(other)

    def __radd__(self, other: Any) -> Any:
        self._must_be_plain("__radd__")
        return super().__radd__(other)

    def __contains__(self, item: Any) -> bool:
        self._must_be_plain("__contains__")
        return super().__contains__(item)

    def _must_be_plain(self, name: str) -> None:
        """An operator that is the tuple's own, and not one that the class has written."""
        self._must_be_tuple()
        if getattr(self._cls, name, None) is not getattr(tuple, name, None):
            raise Untraceable(f"{self._cls.__name__}.{name}")

    def _ordered(self, other: Any) -> Any:
        raise Untraceable("the order of records")

    __lt__ = __le__ = __gt__ = __ge__ = _ordered
    __hash__ = refusing("a record as a key of a dict or set")

    def __getattr__(self, name: str) -> Any:
        if name in self._names:
            return _read(self._parts[self._names.index(name)])
        if self._is_tuple and name in ("count", "index"):
            return getattr(self._items(), name)
        if self._is_tuple and name == "_fields":
            return self._names
        if self._is_tuple and name == "_replace":
            return self._replaced
        if name.startswith("__") or not hasattr(self._cls, name):
            raise AttributeError(f"{self._cls.__name__!r} object has no attribute {name!r}")
        return self._methods(name, self)

    def _replaced(self, **news: Any) -> Instance:
        """``record._replace(field=value)``."""
        unknown = news.keys() - set(self._names)
        if unknown:
            raise ValueError(f"Got unexpected field names: {sorted(unknown)!r}")
        parts = [news.get(name, part) for name, part in zip(self._names, self._parts, strict=True)]
        return Instance(self._cls, self._names, parts, self._methods)
