"""Kernels on times: ``datetime`` and ``timedelta`` as counts of microseconds, ``date`` as one of days.

All of it is exact on whole numbers. What Python refuses is refused: years before 1 and after 9999. A column
of differences holds less than Python's ``timedelta``, 292,000 years instead of 2.7 million: refused, too.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from penstock.vectorize.kernels.base import TYPES, Column, Refused, arrow_of, call, kernel, numbers_of
from penstock.vectorize.kernels.numbers import COMPARISONS
from penstock.vectorize.kernels.texts import present_in

__all__: list[str] = []

_SECOND = 1_000_000  # all in microseconds
_MINUTE = 60 * _SECOND
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
_EPOCH = date(1970, 1, 1).toordinal()
_FIRST_DAY, _LAST_DAY = 1 - _EPOCH, date.max.toordinal() - _EPOCH
_EXACT = 2**53
_Ints = npt.NDArray[np.int64]

for _kind in (datetime, date, timedelta):
    for _name, (_arrow, _python) in COMPARISONS.items():
        kernel(_name, (_kind, _kind), bool, _python, total=True)(lambda a, b, name=_arrow: call(name, a, b))
for _kind in (datetime, date):
    kernel("truth", (_kind,), bool, bool, total=True)(lambda a: arrow_of(np.ones(len(a), np.bool_), bool, a))
kernel("truth", (timedelta,), bool, bool, total=True)(
    lambda a: arrow_of(numbers_of(a, timedelta) != 0, bool, a)
)


# ------------------------------------------------------------------------------ fields


def _field(
    name: str, of: type, function: Callable[[Any], Any], python: Any = None, gives: type = int
) -> None:
    """Enters what is computed of the count alone."""
    kernel(name, (of,), gives, python or operator.attrgetter(name), total=True)(
        lambda a: arrow_of(function(numbers_of(a, of)), gives, a)
    )


for _kind in (datetime, date):
    for _name in ("year", "month", "day"):
        kernel(_name, (_kind,), int, operator.attrgetter(_name), total=True)(
            lambda a, name=_name: call(name, a)
        )
_field("hour", datetime, lambda count: count // _HOUR % 24)
_field("minute", datetime, lambda count: count // _MINUTE % 60)
_field("second", datetime, lambda count: count // _SECOND % 60)
_field("microsecond", datetime, lambda count: count % _SECOND)
_field(
    "weekday", datetime, lambda count: (count // _DAY + 3) % 7, datetime.weekday
)  # 1970 began on a Thursday
_field("weekday", date, lambda days: (days + 3) % 7, date.weekday)
_field("isoweekday", datetime, lambda count: (count // _DAY + 3) % 7 + 1, datetime.isoweekday)
_field("isoweekday", date, lambda days: (days + 3) % 7 + 1, date.isoweekday)
_field("toordinal", datetime, lambda count: count // _DAY + _EPOCH, datetime.toordinal)
_field("toordinal", date, lambda days: days + _EPOCH, date.toordinal)
_field("date", datetime, lambda count: count // _DAY, datetime.date, date)
_field("days", timedelta, lambda count: count // _DAY)
_field("seconds", timedelta, lambda count: count % _DAY // _SECOND)
_field("microseconds", timedelta, lambda count: count % _SECOND)


@kernel("total_seconds", (timedelta,), float, timedelta.total_seconds, total=True)
def _total_seconds(a: Column) -> Column:
    return arrow_of(_divided(numbers_of(a, timedelta), _SECOND), float, a)


def _divided(counts: _Ints, divisor: int) -> npt.NDArray[np.float64]:
    """Python rounds a quotient of ints once. So does a float division, if both are floats to begin with."""
    found = counts / divisor
    for place in np.flatnonzero((counts > _EXACT) | (counts < -_EXACT)).tolist():
        found[place] = int(counts[place]) / divisor
    return found


# ------------------------------------------------------------------------------ differences


def _within(counts: Any, first: int, last: int) -> None:
    if np.any((counts < first) | (counts > last)):
        raise Refused("OverflowError: date value out of range")


def _moved(counts: Any, by: Any, *operands: Column) -> Column:
    """``by``, in microseconds, behind these times."""
    lowest, highest = _FIRST_DAY * _DAY, (_LAST_DAY + 1) * _DAY - 1
    _within(by, lowest - highest, highest - lowest)  # so that the sum cannot overflow
    found = counts + by
    _within(found, lowest, highest)
    return arrow_of(found, datetime, *operands)


def _moved_days(days: Any, by: Any, *operands: Column) -> Column:
    found = days + by
    _within(found, _FIRST_DAY, _LAST_DAY)
    return arrow_of(found, date, *operands)


def _live(by: Any, times: Column) -> Any:
    """The counts, 0 where the other operand is null: there they must not matter."""
    if isinstance(times, pa.Scalar):
        return by if times.is_valid else by * 0
    return np.where(present_in(times), by, 0) if times.null_count else by


kernel("sub", (datetime, datetime), timedelta, operator.sub, total=True)(
    lambda a, b: arrow_of(numbers_of(a, datetime) - numbers_of(b, datetime), timedelta, a, b)
)
kernel("sub", (date, date), timedelta, operator.sub, total=True)(
    lambda a, b: arrow_of((numbers_of(a, date) - numbers_of(b, date)) * _DAY, timedelta, a, b)
)


def _later(a: Column, b: Column) -> Column:
    return _moved(numbers_of(a, datetime), _live(numbers_of(b, timedelta), a), a, b)


def _earlier(a: Column, b: Column) -> Column:
    by = _live(numbers_of(b, timedelta), a)
    _within(by, -(2**62), 2**62)  # so that it has a negative
    return _moved(numbers_of(a, datetime), -by, a, b)


def _days_later(a: Column, b: Column) -> Column:
    """Of a difference, only its whole days count, rounded down."""
    return _moved_days(numbers_of(a, date), _live(numbers_of(b, timedelta) // _DAY, a), a, b)


def _days_earlier(a: Column, b: Column) -> Column:
    return _moved_days(numbers_of(a, date), -_live(numbers_of(b, timedelta) // _DAY, a), a, b)


for _kind, _after, _before in ((datetime, _later, _earlier), (date, _days_later, _days_earlier)):
    kernel("add", (_kind, timedelta), _kind, operator.add)(_after)
    kernel("add", (timedelta, _kind), _kind, operator.add)(lambda a, b, run=_after: run(b, a))
    kernel("sub", (_kind, timedelta), _kind, operator.sub)(_before)


# ------------------------------------------------------------------------------ arithmetic of differences

_DIFFERENCE = TYPES[timedelta]


def _as_counts(a: Column) -> Column:
    return a if a.type == pa.int64() else call("cast", a, options=_TO_INT)


def _checked(name: str, *columns: Column) -> Column:
    """Arrow's function on the counts, that refuses what has more than 64 bits."""
    return call(name, *map(_as_counts, columns)).view(_DIFFERENCE)


_TO_INT = pc.CastOptions.safe(pa.int64())

kernel("add", (timedelta, timedelta), timedelta, operator.add)(lambda a, b: _checked("add_checked", a, b))
kernel("sub", (timedelta, timedelta), timedelta, operator.sub)(
    lambda a, b: _checked("subtract_checked", a, b)
)
kernel("mul", (timedelta, int), timedelta, operator.mul)(lambda a, b: _checked("multiply_checked", a, b))
kernel("mul", (int, timedelta), timedelta, operator.mul)(lambda a, b: _checked("multiply_checked", a, b))
kernel("neg", (timedelta,), timedelta, operator.neg)(lambda a: _checked("negate_checked", a))
kernel("abs", (timedelta,), timedelta, abs)(lambda a: _checked("abs_checked", a))
kernel("pos", (timedelta,), timedelta, operator.pos, total=True)(lambda a: a)


@kernel("floordiv", (timedelta, timedelta), int, operator.floordiv)
def _times_in(a: Column, b: Column) -> Column:
    return arrow_of(np.floor_divide(*_divisible(a, b, timedelta)), int, a, b)


@kernel("mod", (timedelta, timedelta), timedelta, operator.mod)
def _rest(a: Column, b: Column) -> Column:
    return arrow_of(np.remainder(*_divisible(a, b, timedelta)), timedelta, a, b)


@kernel("floordiv", (timedelta, int), timedelta, operator.floordiv)
def _fraction(a: Column, b: Column) -> Column:
    return arrow_of(np.floor_divide(*_divisible(a, b, int)), timedelta, a, b)


@kernel("truediv", (timedelta, timedelta), float, operator.truediv)
def _ratio(a: Column, b: Column) -> Column:
    dividends, divisors = _divisible(a, b, timedelta)
    for counts in (dividends, divisors):
        if np.any((counts > _EXACT) | (counts < -_EXACT)):
            raise Refused("differences that are no floats")
    return arrow_of(np.divide(dividends, divisors), float, a, b)


def _divisible(a: Column, b: Column, divisor: type) -> tuple[Any, Any]:
    """Dividends and divisors that Python and numpy divide alike, and 0 by 1 where there is a null."""
    dividends, divisors = _live(numbers_of(a, timedelta), b), numbers_of(b, divisor, under_nulls=1)
    if isinstance(a, pa.Array) and a.null_count:
        divisors = np.where(present_in(a), divisors, 1)
    if not np.all(divisors):
        raise Refused("a division by zero")
    if np.any((dividends == -(2**63)) & (divisors == -1)):
        raise Refused("a count of more than 64 bits")
    return dividends, divisors


# ------------------------------------------------------------------------------ replace

_UNITS: dict[str, tuple[int, int]] = {  # microseconds of one, and how many make one of the next
    "hour": (_HOUR, 24),
    "minute": (_MINUTE, 60),
    "second": (_SECOND, 60),
    "microsecond": (1, _SECOND),
}


def _python_replace(value: Any, pairs: tuple[tuple[str, int], ...]) -> Any:
    return value.replace(**dict(pairs))


_DAYS_TO_REPLACE: list[tuple[Any, ...]] = [
    ((("day", 1),),), ((("month", 1), ("day", 1)),), ((("day", 31),),), ((("month", 2),),),
    ((("year", 2023),),),
    ((("year", 0),),), ((("month", 13),),), ((("day", 0),),), ((("year", 9999), ("month", 12), ("day", 31)),),
    ((("year", 1),),),
    ((("year", 2024), ("month", 2), ("day", 29)),), ((("year", 2**70),),),
]  # fmt: skip
_CLOCKS_TO_REPLACE: list[tuple[Any, ...]] = [
    ((("minute", 0), ("second", 0), ("microsecond", 0)),), ((("hour", 23),),), ((("hour", 24),),), ((),),
    ((("second", 59), ("day", 1)),), ((("microsecond", 999_999),),), ((("minute", -1),),),
    ((("hour", True),),),
]  # fmt: skip


@kernel(
    "datetime.replace",
    (datetime,),
    datetime,
    _python_replace,
    parameters=_CLOCKS_TO_REPLACE + _DAYS_TO_REPLACE,
)
def _replaced(a: Column, pairs: tuple[tuple[str, int], ...]) -> Column:
    given = _known(pairs)
    counts = numbers_of(a, datetime)
    days = counts // _DAY
    for name, (unit, most) in _UNITS.items():
        if name in given:
            if not 0 <= given[name] < most:
                raise Refused(f"ValueError: no such {name}")
            counts = counts + (given[name] - counts // unit % most) * unit
    if not given.keys().isdisjoint(("year", "month", "day")):
        counts = counts + (_calendar(days, given, a) - days) * _DAY
    return arrow_of(counts, datetime, a)


@kernel("date.replace", (date,), date, _python_replace, parameters=[*_DAYS_TO_REPLACE, ((("hour", 1),),)])
def _date_replaced(a: Column, pairs: tuple[tuple[str, int], ...]) -> Column:
    given = _known(pairs)
    if given.keys() & _UNITS.keys():
        raise Refused("TypeError: a date has no time of day")
    return arrow_of(_calendar(numbers_of(a, date), given, a), date, a)


def _known(pairs: tuple[tuple[str, int], ...]) -> dict[str, int]:
    given = dict(pairs)
    for name, value in given.items():
        if name not in ("year", "month", "day", *_UNITS) or type(value) is not int:
            raise Refused(f"replace({name}={value!r})")
    return given


def _calendar(days: _Ints, given: dict[str, int], a: Column) -> _Ints:
    """The days with other years, months or days of the month."""
    months = days.astype("M8[D]").astype("M8[M]")
    counts = months.astype(np.int64)
    year, month = given.get("year"), given.get("month")
    if (year is not None and not 1 <= year <= 9999) or (month is not None and not 1 <= month <= 12):
        raise Refused("ValueError: year or month out of range")
    years = counts // 12 if year is None else year - 1970
    found = (years * 12 + (counts % 12 if month is None else month - 1) + 0 * counts).astype("M8[M]")
    first = found.astype("M8[D]").astype(np.int64)
    length = (found + 1).astype("M8[D]").astype(np.int64) - first
    if "day" in given:
        day: Any = given["day"]
        if not 1 <= day <= 31:
            raise Refused("ValueError: day is out of range for month")
    else:
        day = days - months.astype("M8[D]").astype(np.int64) + 1
    if np.any((day > length) & present_in(a)):
        raise Refused("ValueError: day is out of range for month")
    found_days: _Ints = first + day - 1
    return found_days
