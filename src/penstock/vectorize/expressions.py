"""Expressions on columns: what a traced function turned out to be.

An expression is immutable and equal to another one that says the same, so what a function computes
twice is computed once. A kernel that may refuse operands (an overflow, a division by zero) also knows on
which rows it matters, ``live``: the rows for which the function got that far. ``a / b if b else 0``
divides only where ``b`` is not zero.

::

    Leaf(4)                          the column of that number
    Constant(int, 100)               the same value in each row
    Call("multiply", (a, b), ...)    a kernel on expressions, with parameters
    Select(a, mask)                  the rows of ``a`` for which the mask is true
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import field
from typing import TYPE_CHECKING, Any

from penstock.values import dataclass

if TYPE_CHECKING:
    from penstock.vectorize.kernels.base import Kernel

__all__ = [
    "Call",
    "Constant",
    "Expression",
    "Leaf",
    "Select",
    "leaves_in",
    "parts_of",
    "substituted",
    "within",
]


@dataclass(frozen=True, eq=False)
class Expression:
    """One value a row, all of exactly the class ``kind`` (or null, where the row is not live)."""

    kind: type
    identity: tuple[Any, ...] = field(init=False, repr=False)
    _hash: int = field(init=False, repr=False)

    def _identify(self, *identity: Any) -> None:
        object.__setattr__(self, "identity", (type(self), self.kind, *identity))
        object.__setattr__(self, "_hash", hash(self.identity))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Expression):
            return NotImplemented
        if self._hash != other._hash:
            return False
        if self.identity is other.identity:
            return True
        if self.identity != other.identity:
            return False
        # Parts are shared, and would be compared again on each of the many ways that lead to them.
        object.__setattr__(self, "identity", other.identity)
        return True

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True, eq=False)
class Leaf(Expression):
    """A column of the chunk. ``optional``: it may hold nulls, so a function must ask before it reads."""

    index: int
    optional: bool = False

    def __post_init__(self) -> None:
        self._identify(self.index, self.optional)


@dataclass(frozen=True, eq=False)
class Constant(Expression):
    """A value that is the same in each row; ``None`` has the kind ``NoneType``."""

    value: Any

    def __post_init__(self) -> None:
        # by its text: equal floats may differ in their sign, and no NaN equals itself
        self._identify(repr(self.value) if self.kind is float else self.value)


@dataclass(frozen=True, eq=False)
class Call(Expression):
    """A kernel on expressions. ``live`` (``None``: all rows) only matters to kernels that may refuse."""

    kernel: Kernel
    arguments: tuple[Expression, ...]
    parameters: tuple[Any, ...] = ()
    live: Expression | None = None

    def __post_init__(self) -> None:
        parameters = tuple(map(_told_apart, self.parameters))
        self._identify(self.kernel.name, self.kernel.takes, self.arguments, parameters, self.live)


@dataclass(frozen=True, eq=False)
class Select(Expression):
    """The rows of ``of`` where ``mask``, a column of bools as long as it, is true."""

    of: Expression
    mask: Expression

    def __post_init__(self) -> None:
        self._identify(self.of, self.mask)


def _told_apart(value: Any) -> Any:
    """A parameter, such that 1, 1.0 and True differ."""
    return (type(value), repr(value)) if isinstance(value, float) else (type(value), value)


def parts_of(expression: Expression) -> tuple[Expression, ...]:
    """The expressions it is made of."""
    if isinstance(expression, Call):
        return expression.arguments if expression.live is None else (*expression.arguments, expression.live)
    if isinstance(expression, Select):
        return (expression.of, expression.mask)
    return ()


def within(expressions: Iterable[Expression]) -> Iterator[Expression]:
    """Each expression that these are made of, once, these included."""
    seen: set[Expression] = set()
    pending = list(expressions)
    while pending:
        current = pending.pop()
        if current not in seen:
            seen.add(current)
            yield current
            pending.extend(parts_of(current))


def leaves_in(expressions: list[Expression]) -> Iterator[Leaf]:
    """Each leaf they read, once."""
    return (each for each in within(expressions) if isinstance(each, Leaf))


def substituted(
    expression: Expression, instead: list[Expression], known: dict[Expression, Expression]
) -> Expression:
    """The expression with ``instead[i]`` for its leaf ``i``; ``known`` remembers what was done already."""
    found = known.get(expression)
    if found is not None:
        return found
    result = expression
    if isinstance(expression, Leaf):
        result = instead[expression.index]
    elif isinstance(expression, Call):
        result = Call(
            expression.kind,
            expression.kernel,
            tuple(substituted(each, instead, known) for each in expression.arguments),
            expression.parameters,
            None if expression.live is None else substituted(expression.live, instead, known),
        )
    elif isinstance(expression, Select):
        result = Select(
            expression.kind,
            substituted(expression.of, instead, known),
            substituted(expression.mask, instead, known),
        )
    known[expression] = result
    return result
