"""Kernels on ints, floats and bools.

An int beyond 64 bits is refused wherever it may come about: Arrow's ``_checked`` functions raise. An int
meets a float in arithmetic as Python converts it, which rounds beyond 2**53; in a comparison Python does
not round, so there ints beyond 2**53 are refused. ``/`` of two ints is rounded once by Python, hence the
same bound.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from penstock.vectorize.kernels.base import Column, Refused, arrow_of, call, kernel, numbers_of, scalar_of

__all__ = ["COMPARISONS"]

_FLOAT = pa.float64()
_INT = pa.int64()
_EXACT = 2**53
"""Up to here every int is a float."""

COMPARISONS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "eq": ("equal", operator.eq),
    "ne": ("not_equal", operator.ne),
    "lt": ("less", operator.lt),
    "le": ("less_equal", operator.le),
    "gt": ("greater", operator.gt),
    "ge": ("greater_equal", operator.ge),
}
"""The comparisons: Arrow's name, and Python's function."""


def _rounded(column: Column) -> Column:
    """Ints as floats, rounded as Python does."""
    return call("cast", column, options=_unchecked_float())


def _exactly(column: Column) -> Column:
    """Ints as floats; refused where that would round."""
    return call("cast", column, options=_checked_float())


_options: dict[str, Any] = {}


def _unchecked_float() -> Any:
    return _options.setdefault("unchecked", pc.CastOptions.unsafe(_FLOAT))


def _checked_float() -> Any:
    return _options.setdefault("checked", pc.CastOptions.safe(_FLOAT))


# ------------------------------------------------------------------------------------------- ints

for _name, _arrow, _python in (
    ("add", "add_checked", operator.add),
    ("sub", "subtract_checked", operator.sub),
    ("mul", "multiply_checked", operator.mul),
):
    kernel(_name, (int, int), int, _python)(lambda a, b, name=_arrow: call(name, a, b))

kernel("neg", (int,), int, operator.neg)(lambda a: call("negate_checked", a))
kernel("abs", (int,), int, abs)(lambda a: call("abs_checked", a))
kernel("pos", (int,), int, operator.pos, total=True)(lambda a: a)
kernel("invert", (int,), int, operator.invert, total=True)(lambda a: call("bit_wise_not", a))
for _name, _arrow, _python in (
    ("and", "bit_wise_and", operator.and_),
    ("or", "bit_wise_or", operator.or_),
    ("xor", "bit_wise_xor", operator.xor),
):
    kernel(_name, (int, int), int, _python, total=True)(lambda a, b, name=_arrow: call(name, a, b))


@kernel("floordiv", (int, int), int, operator.floordiv)
def _floor_divide(a: Column, b: Column) -> Column:
    dividends, divisors = numbers_of(a, int), numbers_of(b, int, under_nulls=1)
    _no_zero(divisors)
    _no_overflow(dividends, divisors)
    return arrow_of(np.floor_divide(dividends, divisors), int, a, b)


@kernel("mod", (int, int), int, operator.mod)
def _modulo(a: Column, b: Column) -> Column:
    dividends, divisors = numbers_of(a, int), numbers_of(b, int, under_nulls=1)
    _no_zero(divisors)
    _no_overflow(dividends, divisors)
    return arrow_of(np.remainder(dividends, divisors), int, a, b)


def _no_zero(divisors: Any) -> None:
    with np.errstate(invalid="ignore"):  # a NaN may signal
        if not np.all(divisors):
            raise Refused("a division by zero")


def _no_overflow(dividends: Any, divisors: Any) -> None:
    """The one quotient that has no int of 64 bits."""
    if np.any((dividends == -(2**63)) & (divisors == -1)):
        raise Refused("an int of more than 64 bits")


@kernel("truediv", (int, int), float, operator.truediv)
def _divide_ints(a: Column, b: Column) -> Column:
    return call("divide_checked", _exactly(a), _exactly(b))


@kernel("power", (int,), int, operator.pow, parameters=[(0,), (1,), (2,), (3,), (7,)])
def _power_of_int(a: Column, exponent: int) -> Column:
    return call("power_checked", a, scalar_of(int, exponent))


@kernel("lshift", (int,), int, operator.lshift, parameters=[(0,), (1,), (5,), (62,)])
def _shift_left(a: Column, places: int) -> Column:
    values = numbers_of(a, int)
    shifted = np.left_shift(values, places)
    if np.any(np.right_shift(shifted, places) != values):
        raise Refused("an int of more than 64 bits")
    return arrow_of(shifted, int, a)


@kernel("rshift", (int,), int, operator.rshift, total=True, parameters=[(0,), (1,), (5,), (63,), (99,)])
def _shift_right(a: Column, places: int) -> Column:
    return arrow_of(np.right_shift(numbers_of(a, int), min(places, 63)), int, a)


# ------------------------------------------------------------------------------------------- floats

for _name, _arrow, _python in (
    ("add", "add", operator.add),
    ("sub", "subtract", operator.sub),
    ("mul", "multiply", operator.mul),
):
    kernel(_name, (float, float), float, _python, total=True)(lambda a, b, name=_arrow: call(name, a, b))
    kernel(_name, (int, float), float, _python, total=True)(
        lambda a, b, name=_arrow: call(name, _rounded(a), b)
    )
    kernel(_name, (float, int), float, _python, total=True)(
        lambda a, b, name=_arrow: call(name, a, _rounded(b))
    )

kernel("truediv", (float, float), float, operator.truediv)(lambda a, b: call("divide_checked", a, b))
kernel("truediv", (int, float), float, operator.truediv)(lambda a, b: call("divide_checked", _rounded(a), b))
kernel("truediv", (float, int), float, operator.truediv)(lambda a, b: call("divide_checked", a, _rounded(b)))

kernel("neg", (float,), float, operator.neg, total=True)(lambda a: call("negate", a))
kernel("abs", (float,), float, abs, total=True)(lambda a: call("abs", a))
kernel("pos", (float,), float, operator.pos, total=True)(lambda a: a)


def _floats(column: Column) -> Any:
    if isinstance(column, pa.Scalar):
        return np.float64(column.as_py()) if column.type == _FLOAT else np.float64(int(column.as_py()))
    if column.type == _FLOAT:
        return numbers_of(column, float, under_nulls=1.0)
    return numbers_of(column, int, under_nulls=1).astype(np.float64)


def _numpy_division(function: Any) -> Callable[[Column, Column], Column]:
    def run(a: Column, b: Column) -> Column:
        dividends, divisors = _floats(a), _floats(b)
        _no_zero(divisors)
        with np.errstate(all="ignore"):
            return arrow_of(function(dividends, divisors), float, a, b)

    return run


for _kinds in ((float, float), (int, float), (float, int)):
    kernel("floordiv", _kinds, float, operator.floordiv)(_numpy_division(np.floor_divide))
    kernel("mod", _kinds, float, operator.mod)(_numpy_division(np.remainder))


@kernel("power", (float,), float, operator.pow, parameters=[(2,)])
def _square(a: Column, exponent: int) -> Column:
    squares = call("power", a, scalar_of(float, 2.0))
    if not np.all(np.isfinite(numbers_of(squares, float))):
        raise Refused("a power that is not finite")
    return squares


# ------------------------------------------------------------------------------------------- rounding


def _as_ints(rounded: Any, column: Column) -> Column:
    """Floats rounded by numpy's function, as ints; refused beyond 64 bits, and of what is no number."""
    values = numbers_of(column, float)
    if not np.all(np.abs(values) < 2.0**63):  # also false of NaN
        raise Refused("an int of more than 64 bits, or of what is no number")
    return arrow_of(rounded(values).astype(np.int64), int, column)


kernel("round", (float,), int, round)(lambda a: _as_ints(np.rint, a))
kernel("int", (float,), int, int)(lambda a: _as_ints(np.trunc, a))
kernel("trunc", (float,), int, math.trunc)(lambda a: _as_ints(np.trunc, a))
kernel("floor", (float,), int, math.floor)(lambda a: _as_ints(np.floor, a))
kernel("ceil", (float,), int, math.ceil)(lambda a: _as_ints(np.ceil, a))
_WHOLE: dict[str, Callable[[Any], int]] = {
    "round": round,
    "int": int,
    "trunc": math.trunc,
    "floor": math.floor,
    "ceil": math.ceil,
}
for _name, _whole in _WHOLE.items():
    kernel(_name, (int,), int, _whole, total=True)(lambda a: a)


@kernel("round_to", (int,), int, round, total=True, parameters=[(0,), (2,)])
def _round_int(a: Column, digits: int) -> Column:
    return a


@kernel("round_to", (float,), float, round, parameters=[(0,), (1,), (2,), (6,)])
def _round_to(a: Column, digits: int) -> Column:
    """Python rounds the exact decimal value. ``rint(x * 10**n) / 10**n`` is the same unless the product comes
    near a tie, or is large; those few are given to Python."""
    values = numbers_of(a, float)
    with np.errstate(all="ignore"):
        scaled = values * 10.0**digits
        whole = np.rint(scaled)
        found = whole / 10.0**digits
        near = np.abs(np.abs(scaled - whole) - 0.5) < 1e-3
        unsure = np.flatnonzero(near | ~(np.abs(scaled) < 2.0**40))
    if len(unsure):
        if len(unsure) > len(values) // 4 + 64:
            raise Refused("many floats that lie between two roundings")
        found[unsure] = [round(value, digits) for value in values[unsure].tolist()]
    return arrow_of(found, float, a)


# ------------------------------------------------------------------------------------------- classes

kernel("int", (bool,), int, int, total=True)(lambda a: call("cast", a, options=_to_int()))
kernel("float", (int,), float, float, total=True)(lambda a: _rounded(a))
kernel("float", (float,), float, float, total=True)(lambda a: a)


def _to_int() -> Any:
    return _options.setdefault("int", pc.CastOptions.safe(_INT))


# ------------------------------------------------------------------------------------------- comparing


def _never_both_nan(a: Column, b: Column) -> tuple[Column, Column]:
    if np.any(np.isnan(numbers_of(a, float)) & np.isnan(numbers_of(b, float))):
        raise Refused("two NaNs, which may be one object or two")
    return a, b


for _name, (_arrow, _python) in COMPARISONS.items():
    for _kind in (int, float):
        if _kind is int or _name not in ("eq", "ne"):
            kernel(_name, (_kind, _kind), bool, _python, total=True)(
                lambda a, b, name=_arrow: call(name, a, b)
            )
    kernel(_name, (int, float), bool, _python)(lambda a, b, name=_arrow: call(name, _exactly(a), b))
    kernel(_name, (float, int), bool, _python)(lambda a, b, name=_arrow: call(name, a, _exactly(b)))
for _name in ("eq", "ne"):
    _arrow, _python = COMPARISONS[_name]
    # Two NaNs are not equal, but a tuple or list takes them for the same if they are one object, and here
    # nobody knows whether they are. One that is compared with itself is not equal.
    kernel(_name, (float, float), bool, _python)(lambda a, b, name=_arrow: call(name, *_never_both_nan(a, b)))
    kernel(f"{_name}_itself", (float,), bool, lambda a, same=_python: same(a, a), total=True)(
        lambda a, name=_arrow: call(name, a, a)
    )
    kernel(_name, (bool, bool), bool, _python, total=True)(lambda a, b, name=_arrow: call(name, a, b))

kernel("truth", (int,), bool, bool, total=True)(lambda a: arrow_of(numbers_of(a, int) != 0, bool, a))
kernel("truth", (float,), bool, bool, total=True)(lambda a: arrow_of(numbers_of(a, float) != 0, bool, a))
kernel("truth", (bool,), bool, bool, total=True)(lambda a: a)
kernel("not", (bool,), bool, operator.not_, total=True)(lambda a: call("invert", a))
for _name, _python in (("and", operator.and_), ("or", operator.or_)):
    kernel(_name, (bool, bool), bool, _python, total=True)(
        lambda a, b, name=f"{_name}_kleene": call(name, a, b)
    )
kernel("xor", (bool, bool), bool, operator.xor, total=True)(lambda a, b: call("xor", a, b))


# ------------------------------------------------------------------------------------------- math

_FUNCTIONS_OF_FLOATS: dict[str, tuple[str, bool]] = {  # Arrow's name, and whether it takes all floats
    "sqrt": ("sqrt_checked", False),
    "sin": ("sin_checked", False),
    "cos": ("cos_checked", False),
    "tan": ("tan_checked", False),
    "log": ("ln_checked", False),
    "log10": ("log10_checked", False),
    "log2": ("log2_checked", False),
    "atan": ("atan", True),
}
for _name, (_arrow, _total) in _FUNCTIONS_OF_FLOATS.items():
    kernel(f"math.{_name}", (float,), float, getattr(math, _name), total=_total)(
        lambda a, name=_arrow: call(name, a)
    )


@kernel("math.exp", (float,), float, math.exp)
def _exponential(a: Column) -> Column:
    powers = call("exp", a)
    if not np.all(np.isfinite(numbers_of(powers, float))):
        raise Refused("a power that is not finite")
    return powers


kernel("math.isnan", (float,), bool, math.isnan, total=True)(
    lambda a: arrow_of(np.isnan(numbers_of(a, float)), bool, a)
)
kernel("math.isfinite", (float,), bool, math.isfinite, total=True)(
    lambda a: arrow_of(np.isfinite(numbers_of(a, float)), bool, a)
)
kernel("math.isinf", (float,), bool, math.isinf, total=True)(
    lambda a: arrow_of(np.isinf(numbers_of(a, float)), bool, a)
)
kernel("math.fabs", (float,), float, math.fabs, total=True)(lambda a: call("abs", a))
