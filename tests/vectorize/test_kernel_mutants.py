"""The proof of the kernels is itself put to the proof: it must notice each known way to get them wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from penstock.vectorize.kernels import Refused, all_kernels, arrow_of, call, numbers_of, scalar_of
from tests.vectorize.proof import problems_of

_FLOAT = pc.CastOptions.unsafe(pa.float64())
_INT = pc.CastOptions.safe(pa.int64())
_TEXT = pc.CastOptions.safe(pa.string())


def _floats(column: Any) -> Any:
    return call("cast", column, options=_FLOAT)


def _plain(name: str, *, options: Any = None) -> Callable[..., Any]:
    """Arrow's function as it is."""
    return lambda *columns: call(name, *columns, options=options)


def _floor(column: Any) -> Any:
    return call("floor", column)


def _byte_length(a: Any) -> Any:
    return call("cast", call("binary_length", a), options=_INT)


def _numpy(function: Any, kind: type) -> Callable[..., Any]:
    def run(*columns: Any) -> Any:
        with np.errstate(all="ignore"):
            return arrow_of(function(*[numbers_of(column, kind) for column in columns]), kind, *columns)

    return run


def _naive_round(a: Any, digits: int) -> Any:
    values = numbers_of(a, float)
    with np.errstate(all="ignore"):
        return arrow_of(np.rint(values * 10.0**digits) / 10.0**digits, float, a)


def _product_with_itself(a: Any, exponent: int) -> Any:
    squares = call("multiply", a, a)
    if not np.all(np.isfinite(numbers_of(squares, float))):
        raise Refused("a power that is not finite")
    return squares


def _but_zero(run: Callable[..., Any], kind: type) -> Callable[..., Any]:
    """Otherwise the proof would notice nothing but that zero is not refused."""

    def guarded(a: Any, b: Any) -> Any:
        if not np.all(numbers_of(b, kind, under_nulls=1)):
            raise Refused("a division by zero")
        return run(a, b)

    return guarded


MUTANTS: dict[str, tuple[str, tuple[type, ...], Callable[..., Any]]] = {
    "int + that wraps": ("add", (int, int), _plain("add")),
    "int - that wraps": ("sub", (int, int), _plain("subtract")),
    "int * that wraps": ("mul", (int, int), _plain("multiply")),
    "-int that wraps": ("neg", (int,), _plain("negate")),
    "abs(int) that wraps": ("abs", (int,), _plain("abs")),
    "int ** that wraps": (
        "power",
        (int,),
        lambda a, n: call("power", a, scalar_of(int, n)),
    ),
    "int << that drops bits": (
        "lshift",
        (int,),
        lambda a, n: arrow_of(np.left_shift(numbers_of(a, int), n), int, a),
    ),
    "/ of ints that are no floats": (
        "truediv",
        (int, int),
        lambda a, b: call("divide_checked", _floats(a), _floats(b)),
    ),
    "/ of ints as Arrow's divide, which cuts": (
        "truediv",
        (int, int),
        lambda a, b: _floats(call("divide_checked", a, b)),
    ),
    "/ by zero that gives inf": ("truediv", (float, float), _plain("divide")),
    "// of ints that cuts": ("floordiv", (int, int), _plain("divide_checked")),
    "// of floats as floor(a / b)": (
        "floordiv",
        (float, float),
        lambda a, b: _floor(call("divide_checked", a, b)),
    ),
    "// of floats by zero": ("floordiv", (float, float), _numpy(np.floor_divide, float)),
    "% of ints with the sign of the dividend": ("mod", (int, int), _but_zero(_numpy(np.fmod, int), int)),
    "% of floats with the sign of the dividend": (
        "mod",
        (float, float),
        _but_zero(_numpy(np.fmod, float), float),
    ),
    "% of floats by zero": ("mod", (float, float), _numpy(np.remainder, float)),
    "x**2 as x*x": ("power", (float,), _product_with_itself),
    "x**2 that becomes inf": ("power", (float,), lambda a, n: call("power", a, scalar_of(float, 2.0))),
    "exp that becomes inf": ("math.exp", (float,), _plain("exp")),
    "sqrt of a negative": ("math.sqrt", (float,), _plain("sqrt")),
    "log of zero": ("math.log", (float,), _plain("ln")),
    "round() away from zero": (
        "round",
        (float,),
        lambda a: call(
            "cast", call("round", a, options=pc.RoundOptions(0, "half_towards_infinity")), options=_INT
        ),
    ),
    "round(x, n) by Arrow": (
        "round_to",
        (float,),
        lambda a, n: call("round", a, options=pc.RoundOptions(n, "half_to_even")),
    ),
    "round(x, n) without a look at ties": ("round_to", (float,), _naive_round),
    "int(float) that rounds down": ("int", (float,), lambda a: call("cast", _floor(a), options=_INT)),
    "int(float) of what is too large": (
        "int",
        (float,),
        lambda a: call("cast", call("trunc", a), options=pc.CastOptions.unsafe(pa.int64())),
    ),
    "int == float that rounds": ("eq", (int, float), lambda a, b: call("equal", _floats(a), b)),
    "float < int that rounds": ("lt", (float, int), lambda a, b: call("less", a, _floats(b))),
    "float + int refused": (
        "add",
        (int, float),
        lambda a, b: call("add", call("cast", a, options=pc.CastOptions.safe(pa.float64())), b),
    ),
    "-0.0 taken for 0.0": ("neg", (float,), lambda a: call("subtract", scalar_of(float, 0.0), a)),
    "NaN that is false": (
        "truth",
        (float,),
        lambda a: call("greater", call("abs", a), scalar_of(float, 0.0)),
    ),
    "NaN equal to itself": (
        "eq",
        (float, float),
        lambda a, b: call("or", call("equal", a, b), call("and", call("is_nan", a), call("is_nan", b))),
    ),
    "bool as text in lower case": ("str", (bool,), _plain("cast", options=_TEXT)),
    "float as text by Arrow": ("str", (float,), _plain("cast", options=_TEXT)),
    "datetime as text with all its zeros": ("str", (datetime,), _plain("cast", options=_TEXT)),
    "int() of 0x10": ("int", (str,), _plain("cast", options=_INT)),
    "float() of nan(1)": ("float", (str,), _plain("cast", options=pc.CastOptions.safe(pa.float64()))),
    "strptime by Arrow's": (
        "datetime.strptime",
        (str,),
        lambda a, form: call("strptime", a, options=pc.StrptimeOptions(form, "us")),
    ),
    "fromisoformat by a cast": (
        "datetime.fromisoformat",
        (str,),
        _plain("cast", options=pc.CastOptions.safe(pa.timestamp("us"))),
    ),
    **{
        f"{name} by Arrow's tables": (f"str.{name}", (str,), _plain(arrow))
        for name, arrow in {
            "upper": "utf8_upper",
            "lower": "utf8_lower",
            "title": "utf8_title",
            "capitalize": "utf8_capitalize",
            "swapcase": "utf8_swapcase",
            "casefold": "utf8_lower",
            "isdigit": "utf8_is_digit",
            "isnumeric": "ascii_is_decimal",
            "isalpha": "ascii_is_alpha",
            "isalnum": "ascii_is_alnum",
            "islower": "ascii_is_lower",
            "isupper": "ascii_is_upper",
            "isdecimal": "ascii_is_decimal",
            "isspace": "ascii_is_space",
        }.items()
    },
    "strip of ASCII only": ("str.strip", (str,), _plain("ascii_trim_whitespace")),
    "len in bytes": ("len", (str,), _byte_length),
    "find in bytes": (
        "str.find",
        (str,),
        lambda a, needle: call(
            "cast", call("find_substring", a, options=pc.MatchSubstringOptions(needle)), options=_INT
        ),
    ),
    "count of the empty text": (
        "str.count",
        (str,),
        lambda a, needle: call(
            "cast",
            call("count_substring", a, options=pc.MatchSubstringOptions(needle or "\0\0\0")),
            options=_INT,
        ),
    ),
    "text[i] that may be empty": (
        "item",
        (str,),
        lambda a, at: call(
            "utf8_slice_codeunits", a, options=pc.SliceOptions(at, None if at == -1 else at + 1)
        ),
    ),
    "slices in bytes": (
        "slice",
        (str,),
        lambda a, start, stop, step: call(
            "binary_slice", a.view(pa.binary()), options=pc.SliceOptions(start or 0, stop, step or 1)
        ).view(pa.string()),
    ),
    "zfill before the sign": (
        "str.zfill",
        (str,),
        lambda a, width: call("utf8_lpad", a, options=pc.PadOptions(max(width, 0), "0")),
    ),
    "center that leans the same way always": (
        "str.center",
        (str,),
        lambda a, width, filler=" ": call(
            "utf8_center", a, options=pc.PadOptions(max(int(width), 0), filler)
        ),
    ),
    "concatenation without nulls": (
        "add",
        (str, str),
        lambda a, b: call(
            "binary_join_element_wise", a, b, scalar_of(str, ""), options=pc.JoinOptions("skip")
        ),
    ),
    "weeks that begin on Sunday": (
        "weekday",
        (datetime,),
        _plain("day_of_week", options=pc.DayOfWeekOptions(week_start=7)),
    ),
    "hours before 1970 cut towards it": (
        "hour",
        (datetime,),
        lambda a: arrow_of(np.fmod(np.trunc(numbers_of(a, datetime) / 3.6e9), 24).astype(np.int64), int, a),
    ),
    "the day before 1970 cut towards it": (
        "date",
        (datetime,),
        lambda a: arrow_of(np.trunc(numbers_of(a, datetime) / 8.64e10).astype(np.int64), date, a),
    ),
    "a datetime after 9999": ("add", (datetime, timedelta), _plain("add_checked")),
    "a date after 9999": (
        "add",
        (date, timedelta),
        lambda a, b: arrow_of(numbers_of(a, date) + numbers_of(b, timedelta) // 86_400_000_000, date, a, b),
    ),
    "total_seconds of parts": (
        "total_seconds",
        (timedelta,),
        lambda a: arrow_of(numbers_of(a, timedelta) * 1e-6, float, a),
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_proof_notices(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, takes, run = MUTANTS[mutant]
    monkeypatch.setitem(all_kernels(), (name, takes), replace(all_kernels()[name, takes], run=run))
    assert next(problems_of(all_kernels()[name, takes]), None) is not None
