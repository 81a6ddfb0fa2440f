"""Python's own function, row by row, inside of a kernel.

For what Arrow does not do as Python does it: letters outside ASCII, numbers spelled ``1_000``. The rows of
one column through one function of Python's cost about as much as in the row engine, and the steps around
it stay on columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

import pyarrow as pa

from penstock.chunk import leaves as leaf
from penstock.vectorize.kernels.base import Column, Refused, kernel

__all__ = ["entered", "rowwise"]


def rowwise(
    function: Callable[..., Any],
    takes: Sequence[type],
    gives: type,
    columns: Sequence[Column],
    parameters: Sequence[Any] = (),
) -> Column:
    """``function(*values, *parameters)`` of each row that has no null, as a column of ``gives``.

    Raises: :class:`Refused` where the function raises, or gives what the column cannot hold. The function
    must be one of Python's that gives exactly the class ``gives``.
    """
    rows = _rows(takes, columns)
    nullable = any(column.null_count for column in columns if isinstance(column, pa.Array))
    try:
        if nullable:
            found = [None if None in row else function(*row, *parameters) for row in rows]
        elif len(columns) == 1 and not parameters:
            found = [function(value) for (value,) in rows]
        else:
            found = [function(*row, *parameters) for row in rows]
        return leaf.array_of(gives, found, optional=nullable)
    except Exception as problem:
        # what Python raises on a row, and what has no place in a column: an int of 65 bits, half a surrogate
        raise Refused(f"{type(problem).__name__}: {problem}") from problem


def _rows(takes: Sequence[type], columns: Sequence[Column]) -> Any:
    """The operands of each row as tuples."""
    lists: list[Any] = []
    for kind, column in zip(takes, columns, strict=True):
        if isinstance(column, pa.Scalar):
            lists.append(repeat(column.as_py()))
        else:
            lists.append(leaf.values_of_array(kind, column))
    return zip(*lists, strict=False)


def entered(
    name: str,
    takes: tuple[type, ...],
    gives: type,
    python: Callable[..., Any],
    parameters: Sequence[tuple[Any, ...]] = ((),),
    *,
    total: bool = False,
) -> None:
    """Enters a kernel for what only Python can do."""

    def run(*operands: Any) -> Column:
        return rowwise(python, takes, gives, operands[: len(takes)], operands[len(takes) :])

    kernel(name, takes, gives, python, parameters=parameters, total=total)(run)
