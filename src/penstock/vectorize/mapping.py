"""Functions of ``mapWithState`` on columns: ``f(key, value, state)`` for many keys at once.

The function is traced on a key, a value, and a state of which nobody knows yet whether there is one. Each way
that it goes has returned something or nothing, and has set the state, removed it, or left it alone::

    def f(key, value, state):                  exists?  total > 9?   returns        state
        total = value + (state.getOption() or 0)   yes      yes      (key, total)   removed
        if total > 9:                              yes      no       nothing        total
            state.remove()                         ...
            return (key, total)
        state.update(total)

What a way does not give matters to no row that goes it: there the columns hold anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa

from penstock.chunk import Columns, RowType
from penstock.chunk import leaves as leaf
from penstock.chunk.row_types import Optional, Scalar
from penstock.errors import StateError
from penstock.values import dataclass
from penstock.vectorize.expressions import Constant, Expression, Leaf
from penstock.vectorize.guards import Guards, fingerprint
from penstock.vectorize.instances import instance_of
from penstock.vectorize.kernels import Refused
from penstock.vectorize.paths import Fork, Path, Tree, Untraceable, both, explored, negated
from penstock.vectorize.programs import Evaluation
from penstock.vectorize.symbols import refusing
from penstock.vectorize.tracing import (
    Shape,
    Untraced,
    _chosen,
    _common,
    _together,
    leaves_of,
    shape_of,
    traced_by,
)
from penstock.vectorize.twins import Twins
from penstock.vectorize.unused import dropped

__all__ = ["Mapped", "MappingPlan", "mapping_plan"]

_LEFT_OUT_MAX = 64


@dataclass(frozen=True, eq=False)
class Mapped:
    """What a function has made of some records: ``emitted`` for those that ``emits`` says, and for each
    whether it has set the state or removed it; ``states`` are leaves of the new states, which mean something
    where it has set them."""

    emits: Any
    emitted: Columns | None
    sets: Any
    removes: Any
    states: list[pa.Array]


@dataclass(eq=False)
class MappingPlan:
    """A function of ``mapWithState`` as expressions. Their leaves are those of the key, of the value (of none
    if the state is timing out), and of the state, which is ``Optional`` (unless it is timing out).

    A plan remembers how often it was refused lately: after each batch in a row that was computed in vain,
    twice as many are left to Python at once.
    """

    state_type: RowType
    emitted_type: RowType | None
    emits: Expression
    emitted: tuple[Expression, ...]
    sets: Expression
    removes: Expression
    states: tuple[Expression, ...]
    refusals: tuple[Expression, ...]
    _in_vain: int = field(default=0)
    _left_out: int = field(default=0)

    def worth_trying(self) -> bool:
        """Whether it is the turn of columns again."""
        if self._left_out:
            self._left_out -= 1
            return False
        return True

    def was_in_vain(self, refused: bool) -> None:
        """How it went."""
        self._in_vain = min(_LEFT_OUT_MAX, 2 * self._in_vain or 1) if refused else 0
        self._left_out = max(0, self._in_vain - 1)

    def run(self, leaves: list[pa.Array], length: int) -> Mapped:
        """What the function makes of records with different keys. Raises: one of
        :data:`~penstock.vectorize.programs.REFUSALS`."""
        evaluation = Evaluation(leaves, length)
        if any(evaluation.any_true(each) for each in self.refusals):
            raise Refused("a record goes a way that has no column form")
        emits, sets, removes = (
            _mask(evaluation, each, length) for each in (self.emits, self.sets, self.removes)
        )
        # Whatever it has computed is, wanted or not: it may have raised.
        states = [evaluation.array(each, length) for each in self.states]
        for array in states:
            if array.null_count and leaf.numpy_of(bool, array.is_null())[sets].any():
                raise Refused("a state that is not there")
        return Mapped(emits, self._emitted(evaluation, emits, length), sets, removes, states)

    def _emitted(self, evaluation: Evaluation, emits: Any, length: int) -> Columns | None:
        arrays = [evaluation.array(each, length) for each in self.emitted]
        count = int(np.count_nonzero(emits))
        if self.emitted_type is None or not count:
            return None
        if count < length:
            mask = leaf.bools_of(emits)
            arrays = [array.filter(mask) for array in arrays]
        for expected, array in zip(leaves_of(self.emitted_type), arrays, strict=True):
            assert isinstance(expected, Leaf)
            if array.null_count and not expected.optional and expected.kind is not type(None):
                raise Refused("a value that is not there")
        return Columns(self.emitted_type, arrays, count)


def _mask(evaluation: Evaluation, expression: Expression, length: int) -> Any:
    array = evaluation.array(expression, length)
    if array.null_count:
        raise Refused("a condition that is not known in some rows")
    return leaf.numpy_of(bool, array)


def mapping_plan(
    function: Callable[..., Any], key_type: RowType, value_type: RowType | None, state_type: RowType | None
) -> MappingPlan | Untraced:
    """The column form of ``function(key, value, state)``; without ``value_type``, of the call with ``None``
    for a state that is timing out. ``state_type`` is that of the states so far, ``None`` if there are none:
    then that which the function gives to keys without a state.

    >>> from penstock.chunk import Scalar
    >>> def count(key, value, state):
    ...     state.update((state.getOption() or 0) + 1)
    ...     return (key, state.get())
    >>> print(mapping_plan(count, Scalar(str), Scalar(float), None).emitted_type)
    tuple[str, int]
    """

    def make(guards: Guards) -> Any:
        wanted = state_type
        if wanted is None:
            _, _, first = _ways_of(function, key_type, value_type, None, guards)
            shapes = [way.state.row_type for way in first if way.state is not None]
            if not shapes:
                raise Untraceable("it sets no state for a key without one")
            wanted = _common(shapes)
        if isinstance(wanted, Optional) or wanted == Scalar(type(None)):
            raise Untraceable("a state that may be None")
        tree, made, ways = _ways_of(function, key_type, value_type, wanted, guards)
        keeping = [way for way in ways if way.state is None or way.state.row_type == wanted]
        set_to = [way.state.row_type for way in ways if way.state is not None]
        if not keeping or (set_to and wanted not in set_to):
            raise Untraceable(f"it makes {set_to[0]} of a state that is {wanted}")
        emitted = [way.emitted.row_type for way in keeping if way.emitted is not None]
        emitted_type = _common(emitted) if emitted else None
        return _put_together(tree, made, wanted, emitted_type)

    key = ("mapping", fingerprint(function), key_type, value_type, state_type)
    found: MappingPlan | Untraced = traced_by(key, make)
    return found


# ------------------------------------------------------------------------------------- the ways


@dataclass(frozen=True)
class _Way:
    """What one run has come to: what it returned, unless that is ``None``; and what it set the state to, or
    that it removed it."""

    emitted: Shape | None
    state: Shape | None
    removes: bool


_UNREAD = object()


class _StateSymbol:
    """The state of a key while a function is traced: what :class:`penstock.State` is for one key."""

    __slots__ = (
        "_penstock_read",
        "_penstock_removed",
        "_penstock_timing_out",
        "_penstock_updated",
        "_penstock_value",
    )
    _penstock_symbolic = True

    def __init__(self, read: Callable[[], Any], *, timing_out: bool) -> None:
        self._penstock_read = read  # forks
        self._penstock_value: Any = _UNREAD
        self._penstock_timing_out = timing_out
        self._penstock_updated = self._penstock_removed = False

    def getOption(self) -> Any:
        """The state, or ``None`` if there is none. (No state in a column is ``None``.)"""
        if self._penstock_value is _UNREAD:
            self._penstock_value = self._penstock_read()
        return self._penstock_value

    def exists(self) -> bool:
        """Whether the key has a state."""
        return self._penstock_updated or self.getOption() is not None

    def get(self) -> Any:
        """The state."""
        if not self.exists():
            raise StateError("State is not set")
        return self.getOption()

    def update(self, newState: Any) -> None:
        """Set the state."""
        if self._penstock_removed or self._penstock_timing_out:
            raise StateError("Cannot update the state")
        self._penstock_value, self._penstock_updated = newState, True

    def remove(self) -> None:
        """Forget the key."""
        if self._penstock_removed or self._penstock_timing_out:
            raise StateError("Cannot remove the state")
        self._penstock_value, self._penstock_updated, self._penstock_removed = None, False, True

    def isTimingOut(self) -> bool:
        """Whether the key is forgotten after this call."""
        return self._penstock_timing_out

    __repr__ = __str__ = __format__ = refusing("the text of a state")
    __hash__ = refusing("a state as a key of a dict or set")

    def __eq__(self, other: object) -> bool:
        raise Untraceable("comparing a state itself")

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise Untraceable(f"{name} of a state has no column form")


def _ways_of(
    function: Any, key_type: RowType, value_type: RowType | None, state_type: RowType | None, guards: Guards
) -> tuple[Tree, dict[Expression, None], list[_Way]]:
    """All ways that the function goes, what is computed on them, and those that end well."""
    made: dict[Expression, None] = {}
    over = value_type is None
    key_leaves = leaves_of(key_type)
    value_leaves = [] if value_type is None else leaves_of(value_type, len(key_leaves))
    held = None if state_type is None else state_type if over else Optional(state_type)
    state_leaves = [] if held is None else leaves_of(held, len(key_leaves) + len(value_leaves))

    def run(path: Path) -> _Way:
        twins = Twins(path, guards)

        def read() -> Any:
            return None if held is None else instance_of(held, list(state_leaves), path, twins.attribute)

        key = instance_of(key_type, key_leaves, path, twins.attribute)
        value = None if value_type is None else instance_of(value_type, value_leaves, path, twins.attribute)
        state = _StateSymbol(read, timing_out=over)
        result = twins.of(function, "the function", outermost=True)(key, value, state)
        emitted = None if result is None else shape_of(result, path)
        news = shape_of(state.get(), path) if state._penstock_updated else None
        made.update(dict.fromkeys(path.made))
        return _Way(emitted, news, state._penstock_removed)

    tree = explored(run)
    ways: list[_Way] = []
    _collect(tree, ways)
    return tree, made, ways


def _collect(tree: Tree, ways: list[_Way]) -> None:
    if isinstance(tree, Fork):
        _collect(tree.yes, ways)
        _collect(tree.no, ways)
    elif isinstance(tree, _Way):
        ways.append(tree)


# ------------------------------------------------------------------------------------- put together


def _put_together(
    tree: Tree, made: dict[Expression, None], state_type: RowType, emitted_type: RowType | None
) -> MappingPlan:
    def fits(way: _Way) -> bool:
        if way.state is not None and way.state.row_type != state_type:
            return False
        emitted = None if way.emitted is None else way.emitted.row_type
        return emitted is None or (
            emitted_type is not None and _together(emitted_type, emitted) == emitted_type
        )

    def picked(what: Callable[[_Way], list[Expression] | None]) -> tuple[Expression, ...]:
        return tuple(_picked(tree, lambda way: what(way) if fits(way) else None) or ())

    def emitted_leaves(way: _Way) -> list[Expression] | None:
        if way.emitted is None:
            return None
        assert emitted_type is not None
        return [
            Constant(expected.kind, None) if given.kind is type(None) else given
            for expected, given in zip(leaves_of(emitted_type), way.emitted.leaves, strict=True)
        ]

    (emits,) = picked(lambda way: [Constant(bool, way.emitted is not None)])
    (sets,) = picked(lambda way: [Constant(bool, way.state is not None)])
    (removes,) = picked(lambda way: [Constant(bool, way.removes)])
    emitted = picked(emitted_leaves)
    states = picked(lambda way: None if way.state is None else list(way.state.leaves))
    refusals: list[Expression] = []
    _refuse(tree, fits, None, refusals)
    refusals.extend(dropped(made, [emits, sets, removes, *emitted, *states, *refusals]))
    return MappingPlan(state_type, emitted_type, emits, emitted, sets, removes, states, tuple(refusals))


def _picked(tree: Tree, what: Callable[[_Way], list[Expression] | None]) -> list[Expression] | None:
    """The leaves that ``what`` gives on each way, as one column each; ``None`` where no row needs any."""
    if isinstance(tree, Fork):
        yes, no = _picked(tree.yes, what), _picked(tree.no, what)
        if yes is None or no is None:
            return no if yes is None else yes
        return [_chosen(tree.condition, one, other) for one, other in zip(yes, no, strict=True)]
    return what(tree) if isinstance(tree, _Way) else None


def _refuse(
    tree: Tree, fits: Callable[[_Way], bool], live: Expression | None, refusals: list[Expression]
) -> None:
    """Note down for which rows a way has no column form, or is of another type."""
    if isinstance(tree, Fork):
        holds, fails = tree.condition, negated(tree.condition)
        _refuse(tree.yes, fits, holds if live is None else both(live, holds), refusals)
        _refuse(tree.no, fits, fails if live is None else both(live, fails), refusals)
    elif not isinstance(tree, _Way) or not fits(tree):
        if live is None:
            raise Untraceable("what it does has no column form")
        refusals.append(live)
