"""Batch times and durations: integer milliseconds, alignment, ranges.

A *batch time* is a number of milliseconds since the Unix epoch, in UTC; a *duration* a number of
milliseconds. Users give durations in seconds, as in PySpark, or with the helpers of Spark's other
languages::

    StreamingContext(sc, 5)            # five seconds
    StreamingContext(sc, Seconds(5))
    stream.window(Minutes(60), Durations.seconds(5))

Inside Penstock both are plain ``int``, under the names :data:`BatchTime` and ``..._ms``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NewType, TypeAlias

from penstock.errors import ArgumentError, SignatureError

__all__ = [
    "BatchTime",
    "Duration",
    "DurationLike",
    "Durations",
    "Milliseconds",
    "Minutes",
    "Seconds",
    "TimeLike",
    "ceil_to",
    "floor_to",
    "local_datetime",
    "milliseconds_of",
    "moment_ms",
    "times_between",
]

BatchTime = NewType("BatchTime", int)
"""Milliseconds since the Unix epoch (UTC) at which a batch ends."""


@dataclass(frozen=True, order=True, slots=True)
class Duration:
    """A length of time, in whole milliseconds. Plain numbers work too, and are seconds.

    >>> Minutes(1) == Seconds(60) == Duration(60_000)
    True
    >>> Seconds(30) + Seconds(15), Seconds(5) * 3
    (Duration(milliseconds=45000), Duration(milliseconds=15000))
    """

    milliseconds: int

    def __add__(self, other: Duration) -> Duration:
        return Duration(self.milliseconds + other.milliseconds)

    def __sub__(self, other: Duration) -> Duration:
        return Duration(self.milliseconds - other.milliseconds)

    def __mul__(self, times: int) -> Duration:
        return Duration(self.milliseconds * times)

    __rmul__ = __mul__

    def __str__(self) -> str:
        return shown_ms(self.milliseconds)


DurationLike: TypeAlias = "Duration | timedelta | float"
"""What users may give as a duration: a :class:`Duration`, a ``timedelta``, or seconds."""

TimeLike: TypeAlias = "datetime | float"
"""What users may give as a moment: a ``datetime`` (naive means local), or seconds since the epoch."""


def _number(count: object, what: str) -> float:
    if isinstance(count, bool) or not isinstance(count, (int, float)):
        raise SignatureError(f"what {what} takes must be a number, not {count!r}")
    return count


def _whole(count: float, what: str) -> int:
    """A number of milliseconds, rounded only where it is the float that is not exact."""
    if not math.isfinite(count):
        raise ArgumentError(f"{what} must be finite, not {count}")
    whole = round(count)
    if abs(count - whole) > 1e-6 * max(1.0, abs(count)):
        hint = f" Hint: use {whole / 1000} s." if whole else ""
        raise ArgumentError(f"{what} must be a whole number of milliseconds, not {count} ms.{hint}")
    return whole


def Milliseconds(count: int) -> Duration:
    """``count`` milliseconds.

    >>> Milliseconds(500).milliseconds
    500
    """
    return Duration(_whole(_number(count, "Milliseconds"), "Milliseconds(...)"))


def Seconds(count: float) -> Duration:
    """``count`` seconds.

    >>> Seconds(0.5).milliseconds
    500
    """
    return Duration(_whole(_number(count, "Seconds") * 1000, "Seconds(...)"))


def Minutes(count: float) -> Duration:
    """``count`` minutes.

    >>> Minutes(60).milliseconds
    3600000
    """
    return Duration(_whole(_number(count, "Minutes") * 60_000, "Minutes(...)"))


class Durations:
    """The same helpers under the names that Spark's Java programs use.

    >>> Durations.minutes(2) == Minutes(2)
    True
    """

    milliseconds = staticmethod(Milliseconds)
    seconds = staticmethod(Seconds)
    minutes = staticmethod(Minutes)


def milliseconds_of(duration: DurationLike, what: str) -> int:
    """A duration that a user gave, in whole milliseconds; at least 1.

    ``what`` names it in messages. Raises ``ArgumentError`` for what is not positive, not finite, or
    not a whole number of milliseconds, ``SignatureError`` for what is not a duration.

    >>> milliseconds_of(0.5, "batchDuration")
    500
    """
    if isinstance(duration, Duration):
        count = _number(duration.milliseconds, "Duration")
    elif isinstance(duration, timedelta):
        count = duration / timedelta(milliseconds=1)
    elif isinstance(duration, (int, float)) and not isinstance(duration, bool):
        count = duration * 1000
    else:
        raise SignatureError(
            f"{what} must be a number of seconds, a timedelta or a Duration such as Seconds(5), "
            f"not {duration!r}"
        )
    if not math.isfinite(count) or count < 1:
        raise ArgumentError(f"{what} must be at least 1 ms, not {duration!r}")
    return _whole(count, what)


def moment_ms(moment: TimeLike, what: str) -> int:
    """A moment that a user gave, in milliseconds since the epoch; a naive datetime is local time.

    >>> moment_ms(1.5, "begin")
    1500
    """
    if isinstance(moment, datetime):
        return round(moment.timestamp() * 1000)
    if isinstance(moment, (int, float)) and not isinstance(moment, bool) and math.isfinite(moment):
        return round(moment * 1000)
    raise SignatureError(f"{what} must be a datetime or seconds since the epoch, not {moment!r}")


def local_datetime(time: int) -> datetime:
    """The naive local ``datetime`` that callbacks get for a batch time, as in PySpark."""
    return datetime.fromtimestamp(time / 1000)


def floor_to(time: int, step_ms: int, phase: int = 0) -> int:
    """The last moment ``phase + n * step_ms`` that is not after ``time``.

    >>> floor_to(12_345, 5_000)
    10000
    """
    return time - (time - phase) % step_ms


def ceil_to(time: int, step_ms: int, phase: int = 0) -> int:
    """The first moment ``phase + n * step_ms`` that is not before ``time``.

    >>> ceil_to(12_345, 5_000), ceil_to(10_000, 5_000)
    (15000, 10000)
    """
    return time + (phase - time) % step_ms


def times_between(first: int, last: int, step_ms: int) -> Iterator[BatchTime]:
    """The batch times ``first, first + step_ms, ...`` up to and including ``last``.

    >>> list(times_between(5_000, 15_000, 5_000))
    [5000, 10000, 15000]
    """
    return (BatchTime(time) for time in range(first, last + 1, step_ms))


def shown_ms(milliseconds: int) -> str:
    """Milliseconds as a person would say them.

    >>> shown_ms(500), shown_ms(5_000), shown_ms(1_500)
    ('500 ms', '5 s', '1.5 s')
    """
    return f"{milliseconds} ms" if milliseconds < 1000 else f"{milliseconds / 1000:g} s"
