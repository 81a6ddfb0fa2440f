"""What a kernel is: one of Python's operations on whole columns, and what it must be checked against.

A kernel gives exactly what its Python counterpart gives on each row, in class and value, floats bit by
bit; or it *refuses* the chunk (:class:`Refused`, or an error of Arrow's), and the rows are computed by
Python. It never gives anything else. ``tests/vectorize/test_kernels.py`` runs each one against ``python``
on all combinations of its operands' edge values before it may be used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.chunk import leaves as leaf
from penstock.chunk.row_types import SCALARS
from penstock.values import dataclass

__all__ = [
    "KERNELS",
    "TYPES",
    "Column",
    "Kernel",
    "Refused",
    "arrow_of",
    "call",
    "kernel",
    "numbers_of",
    "options_of",
    "scalar_of",
]

Column = Any
"""An Arrow array, or an Arrow scalar for what is the same in each row."""


class Refused(Exception):
    """A kernel cannot promise Python's result for these operands."""


@dataclass(frozen=True, eq=False)
class Kernel:
    """One operation on operands of exact classes.

    ``run(*columns, *parameters)`` gives a column: an array, of the operands' length. ``python`` does the same
    to one row. ``total``: it never refuses. ``parameters`` are samples for the proof, tuples of what is
    passed behind the operands. ``python_refuses``: Python raises on some operands, as the kernel must.
    """

    name: str
    takes: tuple[type, ...]
    gives: type
    python: Callable[..., Any]
    run: Callable[..., Column]
    total: bool
    parameters: Sequence[tuple[Any, ...]] = ((),)


KERNELS: dict[tuple[str, tuple[type, ...]], Kernel] = {}
"""The kernels entered so far, by name and operands' classes; see :mod:`penstock.vectorize.kernels.table`."""

TYPES: dict[type, pa.DataType] = {**SCALARS, timedelta: pa.duration("us")}
"""The Arrow types of what expressions may be: those of row types, and differences of times."""


def kernel(
    name: str,
    takes: tuple[type, ...],
    gives: type,
    python: Callable[..., Any],
    *,
    total: bool = False,
    parameters: Sequence[tuple[Any, ...]] = ((),),
) -> Callable[[Callable[..., Column]], Callable[..., Column]]:
    """Enters a function into :data:`KERNELS`; see :class:`Kernel`."""

    def enter(run: Callable[..., Column]) -> Callable[..., Column]:
        key = (name, takes)
        assert key not in KERNELS, f"{name} on {takes} is there already"
        KERNELS[key] = Kernel(name, takes, gives, python, run, total, parameters)
        return run

    return enter


# ------------------------------------------------------------------------------ what kernels are made of

_functions: dict[str, Any] = {}


def call(name: str, *operands: Column, options: Any = None) -> Column:
    """An Arrow compute function, without the wrapper that looks at its arguments first."""
    function = _functions.get(name)
    if function is None:
        import pyarrow.compute  # costs 20 ms, and programs on rows have no use for it

        function = _functions[name] = pyarrow.compute.get_function(name)
    return function.call(list(operands), options)


def options_of(kind: str, *arguments: Any, **named: Any) -> Any:
    """The options of an Arrow compute function, such as ``options_of("SetLookupOptions", array)``."""
    import pyarrow.compute

    return getattr(pyarrow.compute, kind)(*arguments, **named)


def scalar_of(kind: type, value: Any) -> Any:
    """One value as an Arrow scalar. (``pa.scalar`` imports pandas, where that is installed.)"""
    if kind is timedelta:
        count = np.array([value // timedelta(microseconds=1)], np.int64)
        return pa.Array.from_buffers(TYPES[timedelta], 1, [None, pa.py_buffer(count)])[0]
    return leaf.array_of(kind, [value])[0]


_DTYPES: dict[type, Any] = {int: np.int64, float: np.float64, datetime: np.int64, timedelta: np.int64}


def numbers_of(column: Column, kind: type, *, under_nulls: Any = 0) -> Any:
    """The values as a numpy array (times as counts of microseconds, dates of days, as int64), or of a scalar
    as one number. ``under_nulls`` stands where there is none: such rows are not live, but are computed, too.
    """
    if isinstance(column, pa.Scalar):
        return _number_of(column, kind, under_nulls)
    if kind is bool:
        values: npt.NDArray[Any] = leaf.numpy_of(bool, column)
    elif kind is date:
        values = leaf._read(column, np.int32).astype(np.int64)
    else:
        values = leaf._read(column, _DTYPES[kind])
    if column.null_count:
        values = np.where(leaf.numpy_of(bool, column.is_valid()), values, under_nulls)
    return values


def _number_of(scalar: Any, kind: type, under_nulls: Any) -> Any:
    if not scalar.is_valid:
        return _DTYPES.get(kind, np.int64)(under_nulls)
    if kind is bool:
        return np.bool_(scalar.as_py())
    if kind is int:
        return np.int64(scalar.as_py())
    if kind is float:
        return np.float64(scalar.as_py())
    return np.int64(scalar.value)


def arrow_of(values: npt.NDArray[Any], kind: type, *nulls_of: Column) -> Column:
    """A numpy array as a column of ``kind``, null where one of the operands is."""
    validity = None
    for operand in nulls_of:
        if isinstance(operand, pa.Array) and operand.null_count:
            present = leaf.numpy_of(bool, operand.is_valid())
            validity = present if validity is None else validity & present
    packed = None if validity is None else leaf.packed(validity)
    if kind is bool:
        return pa.Array.from_buffers(pa.bool_(), len(values), [packed, leaf.packed(values)])
    if kind is date:
        values = values.astype(np.int32)
    data = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(TYPES[kind], len(values), [packed, data])
