"""From a Python function to expressions on columns.

::

    lambda o: (o.client_id, o.amount * round(o.price * 100))

    traced on Order(client_id: int, amount: int, price: float, ...) gives

    tuple[int, int]  =  client_id,  mul(amount, round(mul(price, 100)))

A traced function holds for every row, or names the rows for which it does not (``refusals``: a chunk that has
such a row is computed by Python). What it has read from outside is part of the key under which it is kept, so
that it is traced again when that has changed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from functools import cache
from typing import Any

from penstock.chunk.row_types import SCALARS, Optional, Record, RowType, Scalar, Tuple
from penstock.values import dataclass
from penstock.vectorize.expressions import Call, Constant, Expression, Leaf
from penstock.vectorize.guards import Guards, fingerprint
from penstock.vectorize.instances import Instance, LazyTuple, instance_of, present
from penstock.vectorize.kernels import Kernel, call
from penstock.vectorize.members import MemberTuple
from penstock.vectorize.paths import Fork, Path, Refusal, Tree, Untraceable, both, explored, negated
from penstock.vectorize.symbols import SplitText, Symbol, built, lifted, truth_of
from penstock.vectorize.twins import Twins
from penstock.vectorize.unused import dropped
from penstock.vectorize.values import Values

__all__ = ["Shape", "Traced", "Untraced", "leaves_of", "trace", "trace_filter", "traced_by"]

_KEPT_MAX = 1024
_TEXT = Scalar(str)


@dataclass(frozen=True)
class Untraced:
    """A function that has no column form, and why."""

    reason: str


@dataclass(frozen=True, eq=False)
class Traced:
    """A function as expressions.

    ``outputs`` are the leaves of a result of ``row_type``. In a row for which one of the ``refusals`` is true
    the function does something else.
    """

    row_type: RowType
    outputs: tuple[Expression, ...]
    refusals: tuple[Expression, ...]


@dataclass(frozen=True)
class Shape:
    """What one run has returned: a row type, and the expressions of its leaves."""

    row_type: RowType
    leaves: tuple[Expression, ...]


def leaves_of(row_type: RowType, first: int = 0) -> list[Expression]:
    """The expressions of a chunk's own columns."""
    found: list[Expression] = []

    def visit(part: RowType, optional: bool) -> None:
        if isinstance(part, Scalar):
            found.append(Leaf(part.python_type, first + len(found), optional))
        elif isinstance(part, Optional):
            if not isinstance(part.inner, Scalar):
                found.append(Leaf(bool, first + len(found), False))
            visit(part.inner, True)
        else:
            for each in part.parts:
                visit(each, optional)

    visit(row_type, False)
    return found


# ------------------------------------------------------------------------------------- what was traced


_known: dict[Hashable, list[tuple[Guards, Any]]] = {}
_lock = threading.Lock()


def traced_by(key: Hashable, make: Callable[[Guards], Any]) -> Any:
    """What ``make`` gives, kept under a key in which everything stands that it depends on; but for what it
    notes down in the guards it is given, which is looked at again. :class:`Untraced` where it finds no column
    form."""
    for guards, found in _known.get(key, ()):
        if guards.hold():
            return found
    guards = Guards()
    result: Any
    try:
        result = make(guards)
    except Untraceable as reason:
        result = Untraced(str(reason))
    with _lock:
        if len(_known) >= _KEPT_MAX:
            _known.clear()
        _known[key] = [(guards, result)]
    return result


def trace(function: Callable[..., Any], *row_types: RowType) -> Traced | Untraced:
    """The function on arguments of these row types; their leaves are counted through all of them.

    About 0.2 ms the first time, some microseconds afterwards.

    >>> trace(lambda pair: (pair[0], pair[1] * 2), Tuple((Scalar(str), Scalar(int)))).row_type
    Tuple(items=(Scalar(python_type=<class 'str'>), Scalar(python_type=<class 'int'>)))
    >>> trace(lambda pair: print(pair), Tuple((Scalar(str), Scalar(int)))).reason
    'print is a builtin_function_or_method, which is neither plain data nor known to be pure'
    """
    found: Traced | Untraced = traced_by(
        ("map", fingerprint(function), row_types),
        lambda guards: outcome_of(lambda path: _run(function, row_types, path, guards)),
    )
    return found


def trace_filter(function: Callable[[Any], Any], row_type: RowType) -> Traced | Untraced:
    """As :func:`trace`; the result is the bool that says whether what the function returns counts as true."""

    def run(path: Path, guards: Guards) -> Any:
        result = _run(function, (row_type,), path, guards)
        if type(result) is str and path.has_placeholders(result):
            result = Symbol(_joined(path, result), path)
        return truth_of(result) if type(result) is Symbol else bool(result)

    found: Traced | Untraced = traced_by(
        ("filter", fingerprint(function), row_type),
        lambda guards: outcome_of(lambda path: run(path, guards)),
    )
    return found


def trace_items(function: Callable[[Any], Any], row_type: RowType) -> Traced | Untraced | Split:
    """A function of ``flatMap``: the result is a tuple of the items that it returns, always as many and of
    one row type; or it is :class:`Split`."""
    split: list[Split] = []

    def run(path: Path, guards: Guards) -> Any:
        result = _run(function, (row_type,), path, guards)
        if type(result) is SplitText:
            if path.decisions:
                raise Untraceable("split() in one of several branches")
            split.append(Split(result.text.expression, result.sep, result.maxsplit))
            return True
        if type(result) in (list, tuple, MemberTuple) and result:
            return tuple(result)
        if type(result) in (list, tuple, MemberTuple):
            raise Untraceable("a flatMap that sometimes, or always, gives nothing")
        raise Untraceable(f"a flatMap that gives a {type(result).__name__}")

    def make(guards: Guards) -> Any:
        traced = outcome_of(lambda path: run(path, guards))
        if split:
            if traced.refusals:
                raise Untraceable("split() behind what may raise")
            return split[0]
        if len(set(traced.row_type.parts)) != 1:
            raise Untraceable("a flatMap whose items are of several types")
        return traced

    found: Traced | Untraced | Split = traced_by(("flatMap", fingerprint(function), row_type), make)
    return found


@dataclass(frozen=True)
class Split:
    """A function that splits a text, and gives the pieces."""

    text: Expression
    sep: str | None
    maxsplit: int


def _run(function: Any, row_types: Sequence[RowType], path: Path, guards: Guards) -> Any:
    twins = Twins(path, guards)
    twin = twins.of(function, _name_of(function), outermost=True)
    arguments, at = [], 0
    for row_type in row_types:
        leaves = leaves_of(row_type, at)
        at += len(leaves)
        arguments.append(instance_of(row_type, leaves, path, twins.attribute))
    return twin(*arguments)


def _name_of(function: Any) -> str:
    return getattr(function, "__qualname__", type(function).__name__)


# ------------------------------------------------------------------------------------- putting together


def outcome_of(run: Callable[[Path], Any]) -> Traced:
    """All ways of a run, put together to one.

    Raises: :class:`Untraceable` with the reason.
    """
    made: dict[Expression, None] = {}

    def shape(path: Path) -> Shape:
        found = shape_of(run(path), path)
        made.update(dict.fromkeys(path.made))
        return found

    tree = explored(shape)
    shapes: list[Shape] = []
    _collect(tree, shapes)
    row_type = _common([shape.row_type for shape in shapes])
    refusals: list[Expression] = []
    leaves = _merged(tree, row_type, None, refusals)
    assert leaves is not None, "no way is left"
    refusals.extend(dropped(made, [*leaves, *refusals]))
    return Traced(row_type, tuple(leaves), tuple(refusals))


def shape_of(value: Any, path: Path) -> Shape:
    """The row type and leaves of what a run has returned. Raises: :class:`Untraceable`."""
    if type(value) is Symbol:
        if value.expression.kind not in SCALARS:
            raise Untraceable(f"a {value.expression.kind.__name__} as a result has no column")
        return Shape(Scalar(value.expression.kind), (value.expression,))
    if value is None:
        return Shape(Scalar(type(None)), (Constant(type(None), None),))
    if isinstance(value, Instance):
        parts = [shape_of(each, path) for each in value._items()]
        named = tuple((name, part.row_type) for name, part in zip(value._names, parts, strict=True))
        return Shape(Record(value._cls, named), _all_leaves(parts))
    if isinstance(value, LazyTuple) or type(value) in (tuple, MemberTuple):
        parts = [shape_of(each, path) for each in value]
        return Shape(Tuple(tuple(part.row_type for part in parts)), _all_leaves(parts))
    if type(value) is str and path.has_placeholders(value):
        return Shape(_TEXT, (_joined(path, value),))
    if type(value) in SCALARS:
        constant = lifted(value)
        assert constant is not None
        return Shape(Scalar(type(value)), (constant,))
    if isinstance(value, (SplitText, Values)):
        raise Untraceable("a list as a result has no column")
    raise Untraceable(f"a {type(value).__name__} as a result has no column")


def _all_leaves(parts: Sequence[Shape]) -> tuple[Expression, ...]:
    return tuple(leaf for part in parts for leaf in part.leaves)


def _joined(path: Path, text: str) -> Expression:
    pieces = [piece if isinstance(piece, Expression) else Constant(str, piece) for piece in path.pieces(text)]
    found = pieces[0]
    for piece in pieces[1:]:
        found = built(path, "add", found, piece).expression
    return found


def _collect(tree: Tree, shapes: list[Shape]) -> None:
    if isinstance(tree, Fork):
        _collect(tree.yes, shapes)
        _collect(tree.no, shapes)
    elif isinstance(tree, Shape):
        shapes.append(tree)


def _common(found: list[RowType]) -> RowType:
    """The row type that most ways agree on; the others are refused."""
    best, votes = found[0], 0
    for candidate in found:
        merged, count = candidate, 0
        for other in found:
            together = _together(merged, other)
            if together is not None:
                merged, count = together, count + 1
        if count > votes:
            best, votes = merged, count
    return best


_NONE = Scalar(type(None))


def _together(one: RowType, other: RowType) -> RowType | None:
    """The row type of values some of which are of one and some of the other; ``None``: there is none."""
    if one == other:
        return one
    if isinstance(one, Optional) or isinstance(other, Optional) or _NONE in (one, other):
        inner = [each.inner if isinstance(each, Optional) else each for each in (one, other) if each != _NONE]
        if isinstance(inner[0], Scalar) and all(each == inner[0] for each in inner):
            return Optional(inner[0])
        return None
    if type(one) is not type(other) or len(one.parts) != len(other.parts) or isinstance(one, Scalar):
        return None
    parts = [_together(first, second) for first, second in zip(one.parts, other.parts, strict=True)]
    if any(part is None for part in parts):
        return None
    if isinstance(one, Record):
        assert isinstance(other, Record)
        if one.cls is not other.cls:
            return None
        return Record(one.cls, tuple(zip(one.names, parts, strict=True)))  # type: ignore[arg-type]
    return Tuple(tuple(parts))  # type: ignore[arg-type]


def _merged(
    tree: Tree, row_type: RowType, live: Expression | None, refusals: list[Expression]
) -> list[Expression] | None:
    """The leaves of a tree; ``None`` where every way is refused, which then is noted for the rows of
    ``live``."""
    if isinstance(tree, Fork):
        holds, fails = tree.condition, negated(tree.condition)
        yes = _merged(tree.yes, row_type, holds if live is None else both(live, holds), refusals)
        no = _merged(tree.no, row_type, fails if live is None else both(live, fails), refusals)
        if yes is None or no is None:
            return no if yes is None else yes
        return [_chosen(tree.condition, one, other) for one, other in zip(yes, no, strict=True)]
    if isinstance(tree, Shape) and _together(row_type, tree.row_type) == row_type:
        kinds = [each.kind for each in leaves_of(row_type)]
        return [
            Constant(kind, None) if leaf.kind is type(None) else leaf
            for kind, leaf in zip(kinds, tree.leaves, strict=True)
        ]
    assert isinstance(tree, (Shape, Refusal))
    assert live is not None, "the only way is refused"
    refusals.append(live)
    return None


def _chosen(condition: Expression, yes: Expression, no: Expression) -> Expression:
    """``yes if condition else no``."""
    if yes == no:
        return yes
    if isinstance(yes, Constant) and isinstance(no, Constant) and yes.kind is bool:
        if (yes.value, no.value) == (True, False):
            return condition
        if (yes.value, no.value) == (False, True):
            return negated(condition)
    if isinstance(no, Constant) and no.value is None and condition == present(yes):
        return yes
    return Call(yes.kind, _if_else(yes.kind), (condition, yes, no))


@cache
def _if_else(kind: type) -> Kernel:
    return Kernel(
        "if_else",
        (bool, kind, kind),
        kind,
        lambda condition, yes, no: yes if condition else no,
        lambda condition, yes, no: call("if_else", condition, yes, no),
        True,
    )
