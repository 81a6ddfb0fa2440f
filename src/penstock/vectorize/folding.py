"""Recognising folds: what ``reduceByKey``'s and ``combineByKey``'s functions do to each part of a partial.

A fold's functions are traced on two symbols, the partial so far and one more value, and the expression of
each part of the result must be one of these, where ``a`` is that part of the partial and ``v`` an expression
of the value
alone::

    a + v   a - v   a * v   min(a, v)   max(a, v)   a and v   a or v   a & v   a | v   a ^ v
    a       (the first)          v       (the last)
    a + v if c else a            (a sum over the rows for which ``c``, an expression of the value, holds)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any

from penstock.chunk.row_types import Record, RowType, Tuple
from penstock.values import dataclass
from penstock.vectorize.expressions import Call, Constant, Expression, leaves_in, substituted
from penstock.vectorize.guards import Guards, fingerprint
from penstock.vectorize.kernels import find
from penstock.vectorize.paths import Untraceable, negated
from penstock.vectorize.tracing import Traced, Untraced, _chosen, leaves_of, trace, traced_by

__all__ = ["FoldPlan", "Part", "fold_plan", "halves_of", "takes_back"]

Function = Callable[..., Any]


@dataclass(frozen=True)
class Part:
    """One leaf of a partial: ``how`` it is folded, what the first value contributes and what each later one;
    both are expressions of the value's leaves."""

    how: str
    kind: type
    first: Expression
    later: Expression


@dataclass(frozen=True, eq=False)
class FoldPlan:
    """A fold by key of pairs of ``pair_type``: a Tuple of two, or a NamedTuple of two fields.

    In a row for which one of the ``refusals`` is true (of the value's leaves) the functions do something
    else.
    """

    key_type: RowType
    value_type: RowType
    partial_type: RowType
    parts: tuple[Part, ...]
    refusals: tuple[Expression, ...]


def halves_of(row_type: RowType) -> tuple[RowType, RowType] | None:
    """The row types of key and value, if records of this row type are pairs."""
    is_pair = isinstance(row_type, Tuple) or (
        isinstance(row_type, Record) and issubclass(row_type.cls, tuple)
    )
    if not is_pair or len(row_type.parts) != 2:
        return None
    return row_type.parts[0], row_type.parts[1]


def fold_plan(create: Function | None, merge: Function, pair_type: RowType) -> FoldPlan | Untraced:
    """The fold of the values of each key: ``create(value)`` is the first partial (``None``: the value
    itself), ``merge(partial, value)`` the next.

    >>> from penstock.chunk import Scalar
    >>> from operator import add
    >>> fold_plan(None, add, Tuple((Scalar(str), Scalar(int)))).parts[0].how
    'add'
    """
    halves = halves_of(pair_type)
    if halves is None:
        return Untraced(f"{pair_type} is no pair")
    key_type, value_type = halves
    found = traced_by(
        ("fold", fingerprint(create), fingerprint(merge), value_type),
        lambda guards: _recognised(create, merge, value_type, guards),
    )
    if isinstance(found, Untraced):
        return found
    partial_type, parts, refusals = found
    return FoldPlan(key_type, value_type, partial_type, parts, refusals)


def takes_back(function: Function, inverse: Function, value_type: RowType) -> bool:
    """Whether a window may be folded anew instead of corrected by an inverse function: the values are ints,
    and the functions add and subtract them; or the values hold floats or bools, of which nothing is ever
    taken back.

    >>> from operator import add, sub
    >>> from penstock.chunk import Scalar
    >>> takes_back(add, sub, Scalar(int)), takes_back(add, lambda a, b: a - 2 * b, Scalar(int))
    (True, False)
    """
    leaves = leaves_of(value_type)
    if any(leaf.kind in (float, bool) for leaf in leaves):
        return True
    others = leaves_of(value_type, len(leaves))
    for given, name in ((function, "add"), (inverse, "sub")):
        traced = trace(given, value_type, value_type)
        if isinstance(traced, Untraced) or traced.refusals or traced.row_type != value_type:
            return False
        for mine, other, output in zip(leaves, others, traced.outputs, strict=True):
            plain = isinstance(output, Call) and output.kernel.name == name and output.live is None
            if not plain or output.kind is not int or output.arguments != (mine, other):  # type: ignore[attr-defined]
                return False
    return True


def _recognised(create: Function | None, merge: Function, value_type: RowType, guards: Guards) -> Any:
    leaves = leaves_of(value_type)
    partial_type, firsts = value_type, tuple(leaves)
    refusals: list[Expression] = []
    if create is not None:
        made = _must(trace(create, value_type))
        partial_type, firsts = made.row_type, made.outputs
        refusals.extend(made.refusals)
    merged = _must(trace(merge, partial_type, value_type))
    if merged.row_type != partial_type:
        raise Untraceable(f"its partial changes from {partial_type} to {merged.row_type}")
    own = leaves_of(partial_type)
    instead = [*own, *leaves]  # leaves of the value, counted from 0 again
    parts = []
    for index, (mine, first, result) in enumerate(zip(own, firsts, merged.outputs, strict=True)):
        recognised = _part(index, len(own), result)
        if recognised is None:
            raise Untraceable("what it does to its partial is no fold that is known")
        how, later = recognised
        later = substituted(later, instead, {})
        if how == "first":
            later = first
        if not _fits(how, mine.kind, later.kind):
            raise Untraceable(
                f"{how} of {mine.kind.__name__} and {later.kind.__name__} is no fold that is known"
            )
        parts.append(Part(how, mine.kind, first, later))
    for refusal in merged.refusals:
        if any(leaf.index < len(own) for leaf in leaves_in([refusal])):
            raise Untraceable("which way it goes depends on the partial")
        refusals.append(substituted(refusal, instead, {}))
    return partial_type, tuple(parts), tuple(refusals)


def _must(found: Traced | Untraced) -> Traced:
    if isinstance(found, Untraced):
        raise Untraceable(found.reason)
    return found


_FOLDED: dict[str, frozenset[type]] = {
    "add": frozenset({int, float}),
    "mul": frozenset({int, float}),
    "min": frozenset({int, float, bool, date, datetime}),
    "max": frozenset({int, float, bool, date, datetime}),
    "and": frozenset({bool, int}),
    "or": frozenset({bool, int}),
    "xor": frozenset({bool, int}),
}
"""The classes on which each fold is known; the first and the last are known of all."""


def _fits(how: str, partial: type, value: type) -> bool:
    return partial is value and (how in ("first", "last") or partial in _FOLDED[how])


def _part(index: int, own: int, result: Expression) -> tuple[str, Expression] | None:
    """How part ``index`` of the partial (whose leaves are 0 to ``own``) is folded, and with what."""

    def is_mine(expression: Expression) -> bool:
        found = list(leaves_in([expression]))
        return expression == result_leaf(found) if found else False

    def result_leaf(found: list[Any]) -> Any:
        return next((leaf for leaf in found if leaf.index == index), None)

    def of_value(expression: Expression) -> bool:
        return all(leaf.index >= own for leaf in leaves_in([expression]))

    if is_mine(result):
        return "first", result
    if of_value(result):
        return "last", result
    if not isinstance(result, Call):
        return None
    name, arguments = result.kernel.name, result.arguments
    if name == "if_else":
        found: tuple[str, Expression] | None = _conditional(
            arguments, is_mine, of_value, lambda inner: _part(index, own, inner)
        )
        return found
    if len(arguments) != 2 or (result.live is not None and not of_value(result.live)):
        return None
    if name in ("add", "sub", "mul", "and", "or", "xor"):
        return _binary(result, is_mine, of_value, lambda inner: _part(index, own, inner))
    return None


def _binary(
    result: Call, is_mine: Any, of_value: Any, inside: Callable[[Expression], tuple[str, Expression] | None]
) -> tuple[str, Expression] | None:
    name, (one, other) = result.kernel.name, result.arguments
    if name == "sub":
        if not of_value(other):
            return None
        kernel = find("neg", [other.kind])
        if kernel is None:
            return None
        name, other = "add", Call(other.kind, kernel, (other,), (), result.live)
    elif of_value(one):
        one, other = other, one
    if not of_value(other) or one.kind is not result.kind:
        return None
    if other.kind is int and result.kind is float:
        kernel = find("float", [int])
        assert kernel is not None
        other = Call(float, kernel, (other,))
    if is_mine(one):
        return name, other
    if result.kind is not int or name != "add":  # only ints may be added up in another order
        return None
    below = inside(one)
    if below is None or below[0] != "add":
        return None
    kernel = find("add", [int, int])
    assert kernel is not None
    return "add", Call(int, kernel, (below[1], other))


def _conditional(arguments: Sequence[Expression], is_mine: Any, of_value: Any, inside: Any) -> Any:
    condition, yes, no = arguments
    if of_value(condition):
        if is_mine(no):
            below, otherwise, holds = inside(yes), yes.kind, condition
        elif is_mine(yes):
            below, otherwise, holds = inside(no), no.kind, negated(condition)
        else:
            return None
        neutral = {int: 0, float: -0.0}.get(otherwise)
        if below is None or below[0] != "add" or neutral is None:
            return None
        return "add", _chosen(holds, below[1], Constant(otherwise, neutral))
    if isinstance(condition, Call) and condition.kernel.name in ("lt", "le", "gt", "ge"):
        left, right = condition.arguments
        below = condition.kernel.name in ("lt", "le")
        for smaller, larger in ((left, right) if below else (right, left),):
            value = larger if is_mine(smaller) else smaller
            mine = smaller if value is larger else larger
            if not is_mine(mine) or not of_value(value) or {yes, no} != {mine, value}:
                return None
            takes_smaller = yes == smaller
            return ("min" if takes_smaller else "max"), value
    if condition.kind is bool and is_mine(condition):
        if is_mine(no) and of_value(yes):
            return "and", yes
        if is_mine(yes) and of_value(no):
            return "or", no
    return None
