"""Running traced functions: chains of map and filter over the columns of a chunk, on demand.

A chain is one graph of expressions from the chunk's columns to the last step's. Only what the result needs is
computed, once, and only on the rows that are left: a filter makes :class:`Select` of what comes behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.chunk import Columns
from penstock.chunk import leaves as leaf
from penstock.chunk.row_types import RowType
from penstock.values import dataclass
from penstock.vectorize.expressions import Call, Constant, Expression, Leaf, Select, substituted, within
from penstock.vectorize.kernels import TYPES, Refused, call, scalar_of
from penstock.vectorize.tracing import Traced, leaves_of
from penstock.vectorize.unused import dropped

__all__ = ["REFUSALS", "WORTH_ROWS", "Chain", "Evaluation", "Refused", "holding"]

WORTH_ROWS = 300
"""Chunks of fewer rows are computed by Python: there a call of a function costs less than a call of a kernel.
Measured with ``python -m benchmarks.thresholds``: a map with a filter crosses at about 200 rows, a sum by key
between 300 and 500."""

REFUSALS = (Refused, pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowIndexError, OverflowError)
"""What kernels raise where they cannot promise Python's result."""

_LONGER_MAX = 64


class Evaluation:
    """The expressions of one chunk, each computed at most once."""

    __slots__ = ("_columns", "_counts", "_length", "_values")

    def __init__(self, columns: Sequence[pa.Array], length: int) -> None:
        self._columns = columns
        self._length = length
        self._values: dict[Any, Any] = {}
        self._counts: dict[Expression, int] = {}

    def array(self, expression: Expression, length: int) -> pa.Array:
        """The expression as an array of that length. Raises: one of :data:`REFUSALS`."""
        value = self.value(expression)
        if isinstance(value, pa.Scalar):
            return _repeated(value, length)
        return value

    def value(self, expression: Expression) -> Any:
        """The expression as an array, or as a scalar if it is constant."""
        known = self._values.get(expression)
        if known is None:
            known = self._values[expression] = self._computed(expression)
        return known

    def _computed(self, expression: Expression) -> Any:
        if isinstance(expression, Leaf):
            return self._columns[expression.index]
        if isinstance(expression, Constant):
            return _constant(expression)
        if isinstance(expression, Select):
            return self._selected(expression)
        assert isinstance(expression, Call)
        if expression.kernel.name == "if_else":
            way = self._only_way(expression)
            if way is not None:
                return self.value(way)
        operands = [self.value(each) for each in expression.arguments]
        if all(isinstance(each, pa.Scalar) for each in operands):
            operands[0] = _repeated(operands[0], 1)
            return self._run(expression, operands)[0]
        return self._run(expression, operands)

    def _only_way(self, choice: Call) -> Expression | None:
        """The branch that all rows take, if they take the same, and the other need not be computed: what may
        refuse operands may have been computed before the function came to the branch."""
        condition = self.value(choice.arguments[0])
        if not isinstance(condition, pa.BooleanArray) or condition.null_count:
            return None
        taken = condition.true_count
        if 0 < taken < len(condition):
            return None
        way, other = choice.arguments[1:] if taken else choice.arguments[:0:-1]
        return way if _never_refuses(other) else None

    def _run(self, expression: Call, operands: list[Any]) -> Any:
        """The kernel; if it refuses, once more without operands in the rows that do not come here."""
        kernel = expression.kernel
        if expression.live is None:
            return kernel.run(*operands, *expression.parameters)
        attempt = (kernel.name, kernel.takes, expression.arguments, expression.parameters)
        known = self._values.get(attempt)
        if known is None:
            try:
                known = kernel.run(*operands, *expression.parameters)
            except REFUSALS:
                known = _REFUSED
            self._values[attempt] = known
        if known is not _REFUSED:
            return known
        live = self.value(expression.live)
        if isinstance(live, pa.Scalar):  # the same in all rows; masked by it, a scalar would be no column
            live = _repeated(live, next(len(each) for each in operands if isinstance(each, pa.Array)))
        masked = [
            call("if_else", live, each, _nothing(argument.kind))
            for each, argument in zip(operands, expression.arguments, strict=True)
        ]
        return kernel.run(*masked, *expression.parameters)

    def _selected(self, expression: Select) -> Any:
        value = self.value(expression.of)
        if isinstance(value, pa.Scalar):
            return value
        mask = self.value(expression.mask)
        if isinstance(mask, pa.Scalar):
            return value if mask.as_py() else value.slice(0, 0)
        if self.count(expression.mask) == len(value):
            return value
        return value.filter(mask)

    def count(self, mask: Expression) -> int:
        """How many rows a mask leaves."""
        known = self._counts.get(mask)
        if known is None:
            value = self.value(mask)
            if value.null_count:
                raise Refused("a condition that is not known in some rows")
            known = self._counts[mask] = (
                int(np.count_nonzero(leaf.numpy_of(bool, value))) if len(value) else 0
            )
        return known

    def any_true(self, expression: Expression) -> bool:
        """Whether it is true in a row."""
        value = self.value(expression)
        if isinstance(value, pa.Scalar):
            return value.as_py() is True
        return call("any", value).as_py() is True


_REFUSED = object()


@lru_cache(maxsize=4096)
def _never_refuses(expression: Expression) -> bool:
    return all(each.kernel.total for each in within((expression,)) if isinstance(each, Call))


def _repeated(value: Any, length: int) -> pa.Array:
    return pa.repeat(value, length)


def _constant(expression: Constant) -> Any:
    if expression.value is None:
        return _nothing(expression.kind)
    return scalar_of(expression.kind, expression.value)


@lru_cache(maxsize=64)
def _nothing(kind: type) -> Any:
    """The null of a class: kernels compute nothing where there is nothing."""
    return pa.nulls(1, TYPES[kind])[0]


@dataclass(eq=False)
class Chain:
    """Steps of map and filter as one: from a chunk of ``source`` to one of ``row_type``.

    A chain remembers what was put behind it, and how often it was refused lately: after each chunk in a row
    that was computed in vain, twice as many are left to Python at once.
    """

    source: RowType
    row_type: RowType
    outputs: tuple[Expression, ...]
    refusals: tuple[Expression, ...]
    mask: tuple[Expression, ...] = ()
    _longer: dict[tuple[str, Traced], Chain] = field(default_factory=dict)
    _in_vain: int = 0
    _left_out: int = 0
    last_refusal: str = ""

    @staticmethod
    @lru_cache(maxsize=256)
    def of(row_type: RowType) -> Chain:
        """No step yet."""
        return Chain(row_type, row_type, tuple(leaves_of(row_type)), ())

    def mapped(self, traced: Traced) -> Chain:
        """One more map."""
        return self._known("map", traced) or self._keep("map", traced, self._mapped(traced))

    def filtered(self, traced: Traced) -> Chain:
        """One more filter."""
        return self._known("filter", traced) or self._keep("filter", traced, self._filtered(traced))

    def _known(self, step: str, traced: Traced) -> Chain | None:
        return self._longer.get((step, traced))

    def _keep(self, step: str, traced: Traced, chain: Chain) -> Chain:
        if len(self._longer) >= _LONGER_MAX:  # functions that capture another value in each batch
            self._longer.clear()
        self._longer[step, traced] = chain
        return chain

    def _mapped(self, traced: Traced) -> Chain:
        outputs, refusals = self._behind(traced)
        refusals += dropped(self.outputs, [*outputs, *refusals, *self.refusals, *self.mask])
        return Chain(self.source, traced.row_type, outputs, (*self.refusals, *refusals), self.mask)

    def _filtered(self, traced: Traced) -> Chain:
        (mask,), refusals = self._behind(traced)
        if mask == Constant(bool, True):
            return Chain(self.source, self.row_type, self.outputs, (*self.refusals, *refusals), self.mask)
        selected = tuple(
            each if isinstance(each, Constant) else Select(each.kind, each, mask) for each in self.outputs
        )
        return Chain(self.source, self.row_type, selected, (*self.refusals, *refusals), (*self.mask, mask))

    def _behind(self, traced: Traced) -> tuple[tuple[Expression, ...], tuple[Expression, ...]]:
        known: dict[Expression, Expression] = {}
        instead = list(self.outputs)
        return (
            tuple(substituted(each, instead, known) for each in traced.outputs),
            tuple(substituted(each, instead, known) for each in traced.refusals),
        )

    def attempt(self, chunk: Columns) -> Columns | None:
        """The chunk that the steps make, or ``None`` if Python has to make it."""
        if self._left_out:
            self._left_out -= 1
            return None
        try:
            made = self.run(chunk)
        except REFUSALS as refusal:
            self._in_vain = min(64, 2 * self._in_vain or 1)
            self._left_out = self._in_vain - 1
            self.last_refusal = str(refusal)
            return None
        self._in_vain = 0
        return made

    def run(self, chunk: Columns) -> Columns:
        """The chunk that the steps make. Raises: one of :data:`REFUSALS`."""
        evaluation = Evaluation(chunk.leaves, len(chunk))
        if any(evaluation.any_true(each) for each in self.refusals):
            raise Refused("a row goes a way that has no column form")
        length = len(chunk)
        for mask in self.mask:
            value = evaluation.value(mask)
            if isinstance(value, pa.Scalar):
                length = length if value.as_py() else 0
            else:
                length = evaluation.count(mask)
        arrays = [evaluation.array(each, length) for each in self.outputs]
        _must_be_there(self.row_type, arrays)
        return Columns(self.row_type, arrays, length)


def holding(traced: Traced, chunk: Columns) -> npt.NDArray[np.bool_] | None:
    """For which records a condition holds (see :func:`~penstock.vectorize.tracing.trace_filter`); ``None`` if
    Python has to ask it."""
    length = len(chunk)
    evaluation = Evaluation(chunk.leaves, length)
    try:
        if any(evaluation.any_true(each) for each in traced.refusals):
            return None
        mask = evaluation.array(traced.outputs[0], length)
    except REFUSALS:
        return None
    return None if mask.null_count else leaf.numpy_of(bool, mask)


def _must_be_there(row_type: RowType, arrays: Sequence[pa.Array]) -> None:
    """Where no ``None`` can be there is no null: else a kernel has not kept its promise, and Python
    decides."""
    for expected, array in zip(leaves_of(row_type), arrays, strict=True):
        assert isinstance(expected, Leaf)
        if array.null_count and not expected.optional and expected.kind is not type(None):
            raise Refused("a value that is not there")
