"""The proof of a kernel: all combinations of edge values, against Python's function."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from penstock.chunk import leaves as leaf
from penstock.vectorize.kernels import TYPES, Kernel, Refused, numbers_of, scalar_of
from tests.vectorize.edges import edges_of

REFUSALS = (Refused, pa.ArrowException)
_LOGIC = ("and", "or")
"""Kernels that may know the answer from one operand, as long as the other is null."""
_JUNK = 3
"""How many rows stand before the rows of a sliced array."""


def column_of(kind: type, values: Sequence[Any], present: Sequence[bool] | None = None) -> Any:
    """An array of the values; where ``present`` is false it has a null, with the value still under it."""
    if kind is timedelta:
        counts = np.array([value // timedelta(microseconds=1) for value in values], np.int64)
        array = pa.Array.from_buffers(TYPES[kind], len(values), [None, pa.py_buffer(counts)])
    else:
        array = leaf.array_of(kind, values)
    if present is None:
        return array
    packed = leaf.packed(np.array(present, np.bool_))
    return pa.Array.from_buffers(array.type, len(values), [packed, *array.buffers()[1:]])


def values_of(kind: type, column: Any) -> list[Any]:
    if kind is not timedelta:
        return leaf.values_of_array(kind, column)
    found = [timedelta(microseconds=count) for count in numbers_of(column, kind).tolist()]
    given = column.is_valid().to_pylist()
    return [value if there else None for value, there in zip(found, given, strict=True)]


def exact(value: Any) -> Any:
    """What is the same for values that are the same in class and bits; all NaN are one."""
    if type(value) is float:
        return (float, "nan" if value != value else struct.pack("d", value))
    return (type(value), value)


def expected(kernel: Kernel, row: Sequence[Any], parameters: Sequence[Any]) -> Any:
    """What Python gives, or the exception that it raises."""
    try:
        return exact(kernel.python(*row, *parameters))
    except Exception as problem:
        return problem


def problems_of(kernel: Kernel) -> Iterator[str]:
    """What is wrong with a kernel, as far as edge values show; the first few are enough to know."""
    accepted = 0
    for parameters in kernel.parameters:
        rows = list(itertools.product(*edges_of(kernel.takes)))
        wanted = [expected(kernel, row, parameters) for row in rows]
        good = []
        for row, want in zip(rows, wanted, strict=True):
            taken = yield from _one_row(kernel, row, parameters, want)
            good.append(taken)
        accepted += sum(good)
        yield from _together(kernel, rows, wanted, good, parameters)
        if len(kernel.takes) > 1:
            yield from _beside_scalars(kernel, rows, wanted, good, parameters)
        yield from _empty(kernel, parameters)
    if not accepted:
        yield f"{shown(kernel)} refuses everything"


def shown(kernel: Kernel) -> str:
    return f"{kernel.name}({', '.join(kind.__name__ for kind in kernel.takes)})"


def _one_row(kernel: Kernel, row: Any, parameters: Any, want: Any) -> Any:
    """One row in all ways to give it: arrays, and scalars for all operands but one."""
    taken = True
    for mode in range(2 ** len(row) - 1):
        columns = [
            scalar_of(kind, value) if mode >> place & 1 else column_of(kind, [value])
            for place, (kind, value) in enumerate(zip(kernel.takes, row, strict=True))
        ]
        case = f"{shown(kernel)} of {row!r}{parameters!r} in mode {mode}"
        try:
            column = kernel.run(*columns, *parameters)
        except REFUSALS as refusal:
            taken = False
            if kernel.total:
                yield f"{case} is total, and refuses: {refusal}"
            continue
        if column.type != TYPES[kernel.gives]:
            yield f"{case} gives a column of {column.type}"
            continue
        [got] = values_of(kernel.gives, column)
        if isinstance(want, Exception) or exact(got) != want:
            yield f"{case} gives {got!r}, not {want!r}"
    return taken


def _together(
    kernel: Kernel, rows: list[Any], wanted: list[Any], good: list[bool], parameters: Any
) -> Iterator[str]:
    """All accepted rows at once; between them the others, with a null in one operand or in each."""
    if not any(good):
        return  # such parameters may be refused without a look at the rows
    given, wants, presence = [], [], []
    count = len(kernel.takes)
    for number, (row, want, taken) in enumerate(zip(rows, wanted, good, strict=True)):
        if taken:
            given.append(row)
            wants.append(want)
            presence.append((True,) * count)
        if not taken or number % 3 == 0:
            # what is not accepted is not live: then each operand is null
            without = number % (count + 1) if taken and kernel.name not in _LOGIC else count
            given.append(row)
            wants.append(exact(None))
            presence.append(
                tuple(place != without for place in range(count)) if without < count else (False,) * count
            )
    for nulls in (True, False):
        chosen = [at for at in range(len(given)) if nulls or all(presence[at])]
        for junk in (0, _JUNK):
            at = [*chosen[:junk], *chosen]
            if len(at) < 2:
                continue
            columns = []
            for place, kind in enumerate(kernel.takes):
                present = [presence[index][place] for index in at] if nulls else None
                columns.append(
                    column_of(kind, [given[index][place] for index in at], present).slice(
                        min(junk, len(chosen))
                    )
                )
            yield from _compared(
                kernel,
                columns,
                parameters,
                [wants[index] for index in chosen],
                f"nulls {nulls}, offset {junk}",
            )


def _beside_scalars(
    kernel: Kernel, rows: list[Any], wanted: list[Any], good: list[bool], parameters: Any
) -> Iterator[str]:
    """Many rows of one operand beside one value of the other, with nulls."""
    nulls = None if kernel.name in _LOGIC else 1
    for place in range(len(kernel.takes)):
        groups: dict[Any, list[int]] = {}
        for index, row in enumerate(rows):
            if good[index]:
                groups.setdefault(exact(row[place]), []).append(index)
        for chosen in groups.values():
            columns: list[Any] = []
            for number, kind in enumerate(kernel.takes):
                if number == place:
                    columns.append(scalar_of(kind, rows[chosen[0]][place]))
                else:
                    values = [rows[index][number] for index in chosen]
                    columns.append(column_of(kind, values, [at % 4 != nulls for at in range(len(values))]))
            wants = [exact(None) if at % 4 == nulls else wanted[index] for at, index in enumerate(chosen)]
            yield from _compared(kernel, columns, parameters, wants, f"operand {place} a scalar")


def _compared(
    kernel: Kernel, columns: list[Any], parameters: Any, wants: list[Any], how: str
) -> Iterator[str]:
    case = f"{shown(kernel)} {parameters!r}, {len(wants)} rows, {how}"
    try:
        column = kernel.run(*columns, *parameters)
    except REFUSALS as refusal:
        yield f"{case}: refuses what it takes row by row: {refusal}"
        return
    got = values_of(kernel.gives, column)
    if len(got) != len(wants):
        yield f"{case}: gives {len(got)} rows"
        return
    for index, (value, want) in enumerate(zip(got, wants, strict=True)):
        if exact(value) != want:
            yield f"{case}: row {index} is {value!r}, not {want!r}"


def _empty(kernel: Kernel, parameters: Any) -> Iterator[str]:
    """No rows may be refused, but never give rows."""
    try:
        column = kernel.run(*[column_of(kind, []) for kind in kernel.takes], *parameters)
    except REFUSALS:
        return
    if len(column) or column.type != TYPES[kernel.gives]:
        yield f"{shown(kernel)} of no rows gives {column!r}"
