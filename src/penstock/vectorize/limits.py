"""Which indexes a filter behind ``zipWithIndex`` lets through at most.

::

    lambda pair: pair[1] < 5                   5: none from 5 on
    lambda pair: 2 <= pair[1] <= n             n + 1, for what n is now
    lambda pair: pair[1] % 2 == 0              nobody knows
    lambda pair: pair[0] > 1 and pair[1] < 5   nobody knows: it reads the record, whatever that is
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from penstock.vectorize.expressions import Call, Constant, Expression, Leaf
from penstock.vectorize.guards import Guards, fingerprint
from penstock.vectorize.instances import LazyTuple, _Maybe
from penstock.vectorize.paths import Path, Untraceable, negated
from penstock.vectorize.symbols import Symbol, truth_of
from penstock.vectorize.tracing import Untraced, _name_of, outcome_of, traced_by
from penstock.vectorize.twins import Twins

__all__ = ["index_limit"]

_INDEX = Leaf(int, 0)


class _Record(_Maybe):
    """A record of which nothing is known; a path on which it is read has no column form."""

    __slots__ = ()

    def __init__(self) -> None:
        pass

    def forked(self) -> Any:
        raise Untraceable("it reads the record")


def index_limit(function: Callable[[Any], Any]) -> int | None:
    """The smallest known number such that the function is false for each ``(record, index)`` with an index of
    at least that; ``None`` if there is none. Then it also is sure to have no effect, and to raise nothing.

    >>> index_limit(lambda pair: pair[1] < 5), index_limit(lambda pair: pair[0] < 5)
    (5, None)
    """
    traced = traced_by(
        ("limit", fingerprint(function)), lambda guards: outcome_of(lambda path: _run(function, path, guards))
    )
    if isinstance(traced, Untraced) or traced.refusals:
        return None
    limit = _limit(traced.outputs[0])
    return None if limit == math.inf else max(0, int(limit))


def _run(function: Any, path: Path, guards: Guards) -> Any:
    twin = Twins(path, guards).of(function, _name_of(function), outermost=True)
    result = twin(LazyTuple([_Record(), Symbol(_INDEX, path)]))
    return truth_of(result) if type(result) is Symbol else bool(result)


def _limit(condition: Expression) -> float:
    """From where on the condition is false; infinite if that is not known."""
    if isinstance(condition, Constant):
        return math.inf if condition.value else 0
    if not isinstance(condition, Call):
        return math.inf
    name, arguments = condition.kernel.name, condition.arguments
    if name in ("and", "or"):
        either = [_limit(each) for each in arguments]
        return min(either) if name == "and" else max(either)
    if name == "if_else":
        asked, yes, no = arguments
        return max(min(_limit(asked), _limit(yes)), min(_limit(negated(asked)), _limit(no)))
    if name == "not":
        return _limit_of_not(arguments[0])
    return _limit_of_comparison(name, *arguments) if name in _MIRRORED else math.inf


_MIRRORED = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le", "eq": "eq"}
_OPPOSITE = {"lt": "ge", "le": "gt", "gt": "le", "ge": "lt", "ne": "eq"}


def _limit_of_not(condition: Expression) -> float:
    if not isinstance(condition, Call):
        return math.inf
    name, arguments = condition.kernel.name, condition.arguments
    if name in ("and", "or"):
        either = [_limit(negated(each)) for each in arguments]
        return max(either) if name == "and" else min(either)
    return _limit_of_comparison(_OPPOSITE[name], *arguments) if name in _OPPOSITE else math.inf


def _limit_of_comparison(name: str, one: Expression, other: Expression) -> float:
    if isinstance(one, Constant):
        name, one, other = _MIRRORED[name], other, one
    if one != _INDEX or not isinstance(other, Constant) or other.kind is not int:
        return math.inf
    bound: int = other.value
    if name == "lt":
        return bound
    return bound + 1 if name in ("le", "eq") else math.inf
