"""State functions on columns: ``f(values, state)`` for all keys at once.

The function is traced on a list of values of which only folds are known (``sum(values)``, ``len(values)``,
``min``, ``max``, ``values[0]``, ``values[-1]``, whether there are any) and on a state that may be ``None``::

    lambda news, total: sum(news) + (total or 0)

    state:  key | total         news:  key | values          of all keys: those with a state in
            ----+------                ----+-----------      their order, then the new ones
             a  |   5                   b  | 1, 2
             b  |   7                   c  | 4
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.chunk import Columns, Grouped, RowType
from penstock.chunk import leaves as leaf
from penstock.chunk.row_types import Optional, Scalar, Tuple
from penstock.values import dataclass
from penstock.vectorize.encoding import encoded
from penstock.vectorize.expressions import Call, Constant, Expression, Leaf, parts_of, within
from penstock.vectorize.guards import Guards, fingerprint
from penstock.vectorize.instances import instance_of
from penstock.vectorize.kernels import TYPES, Refused, arrow_of
from penstock.vectorize.paths import Path, Untraceable
from penstock.vectorize.programs import REFUSALS, Evaluation
from penstock.vectorize.tracing import Untraced, leaves_of, outcome_of, traced_by
from penstock.vectorize.twins import Twins
from penstock.vectorize.values import Values

__all__ = ["StatePlan", "state_plan"]

Numbers = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class StatePlan:
    """A state function as expressions. Their leaves are those of the state, then the number of values, then
    the ``folds`` of them: each a name, and the expression of what is folded, of a value's leaves."""

    value_type: RowType
    state_type: RowType
    outputs: tuple[Expression, ...]
    refusals: tuple[Expression, ...]
    folds: tuple[tuple[str, Expression], ...]
    removes: bool
    knows_sums_alone: bool

    def sums_of(self, news: Grouped) -> list[Any] | None:
        """The sum of the values of each key, if the function makes the same of a list of that sum alone; if
        it might not, or a sum has to be Python's, ``None``."""
        if not self.knows_sums_alone:
            return None
        try:
            sums: list[Any] = _folded("sum", self.folds[0][1], news).to_pylist()
        except REFUSALS:
            return None
        return sums

    def attempt(self, state: Columns | None, news: Grouped | None, key_type: RowType) -> Columns | None:
        """Pairs of key and new state; ``None`` if Python has to make them."""
        try:
            return self._updated(state, news, key_type)
        except REFUSALS:
            return None

    def _updated(self, state: Columns | None, news: Grouped | None, key_type: RowType) -> Columns:
        width = key_type.leaf_count
        held = [] if state is None else list(state.leaves)
        old_keys, old_states, olds = held[:width], held[width:], 0 if state is None else len(state)
        new_keys = [] if news is None else list(news.keys.leaves)
        found, fresh = _aligned(old_keys, olds, new_keys, 0 if news is None else len(news))
        total = olds + len(fresh)
        where = np.concatenate([found, fresh])  # for each key of the result its place among the news, or -1
        counts = np.zeros(total, np.int64)
        columns: list[pa.Array] = []
        state_kinds = leaves_of(Optional(self.state_type))
        for at, expected in enumerate(state_kinds):
            columns.append(_state_leaf(at, expected, old_states, olds, len(fresh), len(state_kinds)))
        if news is not None:
            there = where >= 0
            counts[there] = leaf.numpy_of(int, news.folded("count", _counted))[where[there]]
        columns.append(arrow_of(counts, int))
        places = _nullable(where)
        for name, element in self.folds:
            if news is None:
                columns.append(pa.nulls(total, TYPES[element.kind]))
            else:
                columns.append(_folded(name, element, news).take(places))
        evaluation = Evaluation(columns, total)
        if any(evaluation.any_true(each) for each in self.refusals):
            raise Refused("a key goes a way that has no column form")
        states = [evaluation.array(each, total) for each in self.outputs]
        keys = [_appended(at, old_keys, new_keys, fresh) for at in range(width)]
        return self._kept(key_type, keys, states, total)

    def _kept(self, key_type: RowType, keys: list[pa.Array], states: list[pa.Array], total: int) -> Columns:
        """Without the keys whose state is ``None`` now."""
        row_type = Tuple((key_type, self.state_type))
        if self.removes and states[0].null_count:
            mask = states[0].is_valid()
            keys, states = [each.filter(mask) for each in keys], [each.filter(mask) for each in states]
            total = len(states[0])
        for expected, array in zip(leaves_of(self.state_type), states, strict=True):
            assert isinstance(expected, Leaf)
            if array.null_count and not expected.optional:
                raise Refused("a state that is not there")
        return Columns(row_type, [*keys, *states], total)


def _aligned(
    old_keys: list[pa.Array], olds: int, new_keys: list[pa.Array], news: int
) -> tuple[Numbers, Numbers]:
    """For each old key its place among the new ones, or -1; and the places of new keys that are not old."""
    if not olds or not news:
        return np.full(olds, -1, np.int64), np.arange(news)
    both = [pa.concat_arrays([new, old]) for new, old in zip(new_keys, old_keys, strict=True)]
    codes, _ = encoded(both, news + olds)  # new keys are all different, so theirs count up from 0
    found = np.where(codes[news:] < news, codes[news:], -1).astype(np.int64)
    fresh = np.ones(news, np.bool_)
    fresh[found[found >= 0]] = False
    return found, np.flatnonzero(fresh)


def _state_leaf(
    at: int, expected: Expression, held: list[pa.Array], olds: int, fresh: int, width: int
) -> pa.Array:
    """One leaf of the optional state: there for old keys, null for fresh ones. A state of several leaves has
    one before them that says whether it is there."""
    if width > 1:
        if at == 0:
            return leaf.bools_of(np.arange(olds + fresh) < olds)
        at -= 1
    empty = pa.nulls(fresh, TYPES[expected.kind])
    return pa.concat_arrays([held[at], empty]) if held else empty


def _nullable(places: Numbers) -> pa.Array:
    present = leaf.packed(places >= 0)
    return pa.Array.from_buffers(pa.int64(), len(places), [present, pa.py_buffer(places.astype(np.int64))])


def _appended(at: int, old: list[pa.Array], new: list[pa.Array], fresh: Numbers) -> pa.Array:
    parts = [old[at]] if old else []
    if new:
        parts.append(new[at].take(pa.Array.from_buffers(pa.int64(), len(fresh), [None, pa.py_buffer(fresh)])))
    return parts[0] if len(parts) == 1 else pa.concat_arrays(parts)


def _folded(name: str, element: Expression, news: Grouped) -> pa.Array:
    """A fold of the values of each key. Raises: :class:`Refused`."""
    return news.folded((name, element), lambda of: _fold(name, element, of))


def _counted(news: Grouped) -> pa.Array:
    return arrow_of(np.bincount(news.by_slots()[0], minlength=len(news)).astype(np.int64), int)


def _fold(name: str, element: Expression, news: Grouped) -> pa.Array:
    slots, held = news.by_slots()
    count = len(held)
    values = Evaluation(held.leaves, count).array(element, count)
    if name in ("first", "last"):
        places = np.zeros(len(news), np.int64)
        order = np.arange(count)  # of several places assigned to one slot the last one stays
        places[slots if name == "last" else slots[::-1]] = order if name == "last" else order[::-1]
        return values.take(pa.Array.from_buffers(pa.int64(), len(places), [None, pa.py_buffer(places)]))
    if values.null_count:
        raise Refused("a None among the values")
    numbers = leaf.numpy_of(element.kind, values) if count else np.zeros(0)
    if name == "sum":
        return _summed(numbers, slots, len(news), element.kind)
    if element.kind is float and np.any((numbers != numbers) | ((numbers == 0) & np.signbit(numbers))):
        raise Refused("a NaN or a negative zero, whose order Python decides case by case")
    if element.kind not in (int, float, bool):
        raise Refused(f"{name}() of {element.kind.__name__}")
    function, start = (np.minimum, np.inf) if name == "min" else (np.maximum, -np.inf)
    if element.kind is not float:
        start = 2**63 - 1 if name == "min" else -(2**63)
    found = np.full(len(news), start, np.float64 if element.kind is float else np.int64)
    function.at(found, slots, numbers)
    return arrow_of(found.astype(np.bool_) if element.kind is bool else found, element.kind)


def _summed(numbers: Numbers, groups: Numbers, count: int, kind: type) -> pa.Array:
    """``sum(values)``, which begins with the int 0: of floats with 0.0."""
    if kind is float:
        floats = np.zeros(count)
        np.add.at(floats, groups, numbers)
        return arrow_of(floats, float)
    ints = numbers.astype(np.int64)
    if len(ints) and max(int(ints.max()), -int(ints.min())) * len(ints) >= 2**63:
        raise Refused("a sum of more than 64 bits")
    sums = np.zeros(count, np.int64)
    np.add.at(sums, groups, ints)
    return arrow_of(sums, int)


def state_plan(
    function: Callable[[Any, Any], Any], value_type: RowType, state_type: RowType | None
) -> StatePlan | Untraced:
    """The column form of ``function(values, state)``; ``state_type`` is that of the states so far, ``None``
    if there are none: then that which the function makes of keys without a state.

    >>> from penstock.chunk import Scalar
    >>> state_plan(lambda news, total: sum(news) + (total or 0), Scalar(int), None).state_type
    Scalar(python_type=<class 'int'>)
    """

    def make(guards: Guards) -> Any:
        wanted = state_type
        if wanted is None:
            wanted = _without_none(_made(function, value_type, None, guards)[0].row_type)
            if wanted == Scalar(type(None)):
                raise Untraceable("it makes no state of the first values")
        traced, folds = _made(function, value_type, wanted, guards)
        if _without_none(traced.row_type) != wanted:
            raise Untraceable(f"it makes {traced.row_type} of a state that is {wanted}")
        removes = isinstance(traced.row_type, Optional)
        if removes and wanted.leaf_count != 1:
            raise Untraceable("a state of several values that may be None")
        count = Leaf(int, Optional(wanted).leaf_count)
        alone = not traced.refusals and _knows_sums_alone(value_type, folds, count, traced.outputs)
        return StatePlan(value_type, wanted, traced.outputs, traced.refusals, tuple(folds), removes, alone)

    found: StatePlan | Untraced = traced_by(("state", fingerprint(function), value_type, state_type), make)
    return found


def _knows_sums_alone(
    value_type: RowType,
    folds: Sequence[tuple[str, Expression]],
    count: Expression,
    made: Sequence[Expression],
) -> bool:
    """Whether of the values, which are numbers, nothing matters but their sum, and that there are any."""
    if len(folds) != 1 or folds[0][0] != "sum" or value_type not in (Scalar(int), Scalar(float)):
        return False
    if not isinstance(folds[0][1], Leaf) or count in made:
        return False
    for each in within(made):
        if count in parts_of(each):
            assert isinstance(each, Call)
            if each.kernel.name != "ne" or each.arguments[1] != Constant(int, 0):
                return False
    return True


def _without_none(row_type: RowType) -> RowType:
    return row_type.inner if isinstance(row_type, Optional) else row_type


def _made(
    function: Any, value_type: RowType, state_type: RowType | None, guards: Guards
) -> tuple[Any, list[tuple[str, Expression]]]:
    state_leaves = [] if state_type is None else leaves_of(Optional(state_type))
    folds: list[tuple[str, Expression]] = []

    def fold(name: str, element: Expression) -> Expression:
        if (name, element) not in folds:
            folds.append((name, element))
        kind = int if name == "sum" and element.kind is bool else element.kind
        return Leaf(kind, len(state_leaves) + 1 + folds.index((name, element)))

    def run(path: Path) -> Any:
        twins = Twins(path, guards)
        element = instance_of(value_type, leaves_of(value_type), path, twins.attribute)
        values = Values(element, Leaf(int, len(state_leaves)), fold, path)
        state = None
        if state_type is not None:
            state = instance_of(Optional(state_type), list(state_leaves), path, twins.attribute)
        return twins.of(function, "the state function", outermost=True)(values, state)

    return outcome_of(run), folds
