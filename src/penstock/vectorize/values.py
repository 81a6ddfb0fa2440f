"""The list of a key's new values, as a state function is given it while it is traced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from penstock.vectorize.expressions import Expression
from penstock.vectorize.paths import Path, Untraceable
from penstock.vectorize.symbols import Symbol, refusing

__all__ = ["Values"]


class Values:
    """The list of a key's new values, as a state function gets it: only folds of it are known.

    ``of`` are the expressions of the values; ``fold(name, expression)`` makes the expression of a fold of
    them, ``count`` is that of their number, which may be 0.
    """

    __slots__ = ("_path", "count", "element", "fold")
    _penstock_symbolic = True

    def __init__(
        self,
        element: Any,
        count: Expression,
        fold: Callable[[str, Expression], Expression],
        path: Path,
    ) -> None:
        self.element = element
        self.count = count
        self.fold = fold
        self._path = path

    def __bool__(self) -> bool:
        return bool(Symbol(self.count, self._path) != 0)

    def length(self) -> Symbol:
        """``len(values)``."""
        return Symbol(self.count, self._path)

    def sum(self, start: Any = 0) -> Any:
        """``sum(values)``: of no values it is the int 0 (or ``start``), which has a way of its own."""
        if type(self.element) is not Symbol or self.element.expression.kind not in (int, float, bool):
            raise Untraceable("sum() of values that are no numbers")
        if not self:
            return start
        kind = self.element.expression.kind
        if type(start) is not int or (kind is float and start != 0):
            raise Untraceable("sum() with a start of its own")
        total = Symbol(self.fold("sum", self.element.expression), self._path)
        return total + start if start else total

    def extreme(self, name: str) -> Any:
        """``min(values)`` or ``max(values)``; of no values Python raises, and the rows are computed by it."""
        if type(self.element) is not Symbol or self.element.expression.kind not in (int, float, str, bool):
            raise Untraceable(f"{name}() of these values")
        if not self:
            raise ValueError(f"{name}() arg is an empty sequence")
        return Symbol(self.fold(name, self.element.expression), self._path)

    def __getitem__(self, index: Any) -> Any:
        if index not in (0, -1) or type(index) is not int:
            raise Untraceable("an item of the values that is neither the first nor the last")
        if not self:
            raise IndexError("list index out of range")
        return self._each("first" if index == 0 else "last", self.element)

    def _each(self, name: str, element: Any) -> Any:
        if type(element) is Symbol:
            return Symbol(self.fold(name, element.expression), self._path)
        if type(element) is tuple:
            return tuple(self._each(name, part) for part in element)
        raise Untraceable("values that are neither scalars nor tuples of them")

    __iter__: Callable[..., Iterator[Any]] = refusing("going through the values of a key")
    __len__ = refusing("a length that must be known at once")
    __eq__ = __contains__ = __add__ = __radd__ = refusing("the list of values itself")
    __hash__ = __repr__ = __str__ = __format__ = __len__

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise Untraceable(f"{name} of the values of a key has no column form")
