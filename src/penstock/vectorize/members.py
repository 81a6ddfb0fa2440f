"""Constant tuples, sets and dicts that a function has captured, and that a symbol may be looked up in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any, NoReturn

import pyarrow as pa

from penstock.chunk import leaves as leaf
from penstock.vectorize.expressions import Constant, Expression
from penstock.vectorize.kernels import Kernel, Refused, call, options_of
from penstock.vectorize.paths import Path, Untraceable
from penstock.vectorize.symbols import Symbol, applied, lifted

__all__ = ["MemberSet", "MemberTuple", "Table"]

_LOOKED_UP: frozenset[type] = frozenset({int, str, bytes, date, datetime})
"""Classes whose equal values have equal columns: floats have two zeros and many NaNs, bools are ints."""
_FEW = 8


class MemberTuple(tuple[Any, ...]):
    """A tuple that can be asked whether a symbol is in it."""

    __slots__ = ()

    def __contains__(self, item: object) -> bool:
        if type(item) is Symbol:
            return _is_in(item, self)
        return tuple.__contains__(self, item)

    __hash__ = tuple.__hash__


class MemberSet(frozenset[Any]):
    """A set that can be asked whether a symbol is in it."""

    __slots__ = ()

    def __contains__(self, item: object) -> bool:
        if type(item) is Symbol:
            return _is_in(item, self)
        return frozenset.__contains__(self, item)


def _is_in(symbol: Symbol, members: Iterable[Any]) -> bool:
    kind = symbol.expression.kind
    held = list(frozenset.__iter__(members) if isinstance(members, frozenset) else members)
    if kind not in _LOOKED_UP:
        if len(held) > _FEW or any(member != member for member in held if lifted(member) is not None):
            raise Untraceable(f"in, of a {kind.__name__} and many or uncommon values")
        return any(bool(symbol == member) for member in held)
    found = _membership(kind, tuple(_of_kind(kind, held)))
    return bool(Symbol(applied(symbol._path, found, (symbol.expression,)), symbol._path))


def _of_kind(kind: type, members: Iterable[Any]) -> Iterable[Any]:
    """Those members that a value of this class can be equal to, as values of it."""
    for member in members:
        if type(member) is Symbol or (
            isinstance(member, tuple) and any(type(part) is Symbol for part in member)
        ):
            raise Untraceable("in, of values of columns")
        if type(member) is kind:
            if not isinstance(member, int) or -(2**63) <= member < 2**63:
                yield member
        elif kind is int and isinstance(member, (bool, float)) and member == member and abs(member) < 2**63:
            if int(member) == member:
                yield int(member)
        elif kind is int and not isinstance(member, (str, bytes, type(None), date, tuple)):
            raise Untraceable(f"in, of an int and a {type(member).__name__}")
        elif kind in (date, datetime) and isinstance(member, date):
            raise Untraceable("in, of dates and datetimes")


class _Members:
    """What a kernel looks up in; equal ones make equal expressions."""

    __slots__ = ("array", "key")

    def __init__(self, kind: type, values: tuple[Any, ...]) -> None:
        self.array = leaf.array_of(kind, values)
        self.key = (kind, values)


def _membership(kind: type, values: tuple[Any, ...]) -> Kernel:
    members = _Members(kind, values)
    options = options_of("SetLookupOptions", members.array)
    return Kernel(
        f"in {values!r}",
        (kind,),
        bool,
        lambda value: value in values,
        lambda a: call("is_in", a, options=options),
        True,
    )


class Table(Mapping[Any, Any]):
    """A dict that can be asked for a symbol."""

    def __init__(self, held: dict[Any, Any], path: Path) -> None:
        self._held = dict(held)
        self._path = path

    def __contains__(self, key: object) -> bool:
        if type(key) is Symbol:
            return _is_in(key, tuple(self._held))
        return key in self._held

    def __getitem__(self, key: Any) -> Any:
        if type(key) is not Symbol:
            return self._held[key]
        kind = key.expression.kind
        if kind not in _LOOKED_UP:
            raise Untraceable(f"a dict with a {kind.__name__} as key")
        return self._looked_up(key.expression, kind)

    def _looked_up(self, key: Expression, kind: type) -> Any:
        """One column for each part of the values, which must be alike."""
        held: dict[Any, Any] = {}
        for known, value in self._held.items():
            for one in _of_kind(kind, (known,)):
                held[one] = value
        if not held:
            raise KeyError(key)
        keys, values = tuple(held), list(held.values())
        if type(values[0]) is tuple:
            if {type(value) for value in values} != {tuple} or len(set(map(len, values))) > 1:
                raise Untraceable("a dict with values of several shapes")
            return tuple(
                self._column(key, kind, keys, [value[i] for value in values], i)
                for i in range(len(values[0]))
            )
        return self._column(key, kind, keys, values, None)

    def _column(
        self, key: Expression, kind: type, keys: tuple[Any, ...], values: list[Any], part: Any
    ) -> Any:
        kinds = {type(value) for value in values}
        constants = [lifted(value) for value in values]
        if len(kinds) != 1 or not all(isinstance(each, Constant) for each in constants):
            raise Untraceable("a dict with values of several classes, or of one that has no column")
        gives = kinds.pop()
        options = options_of("SetLookupOptions", leaf.array_of(kind, keys))
        found = leaf.array_of(gives, values)

        def run(a: Any) -> Any:
            if isinstance(a, pa.Scalar):
                raise Refused("a constant key")
            places = call("index_in", a, options=options)
            if places.null_count > a.null_count:
                raise Refused("a key that is not in the dict")
            return found.take(places)

        # by identity: two lookups of one dict on one path are the same, and that is enough
        known = self.__dict__.setdefault("_kernels", {})
        kernel = known.get((kind, part))
        if kernel is None:
            kernel = known[kind, part] = Kernel(
                f"lookup in {id(self._held)} {part}", (kind,), gives, self._held.__getitem__, run, False
            )
        return Symbol(applied(self._path, kernel, (key,)), self._path)

    def get(self, key: Any, default: Any = None) -> Any:
        if key in self:  # asked first: a symbol's lookup refuses the rows that have no such key
            return self[key]
        return default

    def __iter__(self) -> Any:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def __eq__(self, other: object) -> NoReturn:
        raise Untraceable("comparing a dict")

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        raise Untraceable("the text of a dict")
