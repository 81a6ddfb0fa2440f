"""Durations and moments: what users may give, and the arithmetic of batch times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import ArgumentError, SignatureError
from penstock.times import (
    BatchTime,
    Duration,
    Durations,
    Milliseconds,
    Minutes,
    Seconds,
    ceil_to,
    floor_to,
    local_datetime,
    milliseconds_of,
    moment_ms,
    shown_ms,
    times_between,
)

times = st.integers(-(10**13), 10**13)
steps = st.integers(1, 10**8)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (5, 5000),
        (0.5, 500),
        (0.001, 1),
        (1.1, 1100),
        (0.07, 70),
        (2.675, 2675),
        (86_400 * 365.25, 31_557_600_000),
        (Seconds(3), 3000),
        (Seconds(0.25), 250),
        (Milliseconds(7), 7),
        (Minutes(2), 120_000),
        (Minutes(0.5), 30_000),
        (Durations.seconds(1), 1000),
        (Durations.minutes(1), 60_000),
        (Durations.milliseconds(9), 9),
        (timedelta(seconds=1, milliseconds=5), 1005),
        (timedelta(hours=1), 3_600_000),
        (Seconds(30) + Seconds(15) - Milliseconds(500), 44_500),
        (2 * Seconds(3) * 2, 12_000),
    ],
)
def test_durations(given: Any, expected: int) -> None:
    found = milliseconds_of(given, "windowDuration")
    assert found == expected
    assert type(found) is int


@pytest.mark.parametrize(
    "given",
    [0, -1, 0.0004, float("nan"), float("inf"), -float("inf"), Duration(0), Duration(-5), timedelta(0),
     timedelta(microseconds=10), Seconds(0)],
)  # fmt: skip
def test_durations_must_be_positive(given: Any) -> None:
    with pytest.raises(ArgumentError, match=r"^windowDuration must be at least 1 ms, not "):
        milliseconds_of(given, "windowDuration")


@pytest.mark.parametrize("given", [1.0005, 0.0015, timedelta(microseconds=1500), Duration(1.5)])  # type: ignore[arg-type]
def test_durations_must_be_whole_milliseconds(given: Any) -> None:
    with pytest.raises(
        ArgumentError, match=r"must be a whole number of milliseconds, not .* Hint: use [\d.]+ s"
    ):
        milliseconds_of(given, "windowDuration")


@pytest.mark.parametrize("given", ["5", None, True, [5], object()])
def test_durations_of_the_wrong_kind(given: Any) -> None:
    with pytest.raises(
        SignatureError, match="windowDuration must be a number of seconds, a timedelta or a Duration"
    ):
        milliseconds_of(given, "windowDuration")


@pytest.mark.parametrize(
    "make", [lambda: Seconds(0.0015), lambda: Minutes(0.00001), lambda: Milliseconds(1.5)]
)  # type: ignore[arg-type]
def test_helpers_do_not_round_in_silence(make: Any) -> None:
    with pytest.raises(ArgumentError, match="whole number of milliseconds"):
        make()


@pytest.mark.parametrize("make", [lambda: Seconds("5"), lambda: Minutes(None), lambda: Milliseconds(True)])  # type: ignore[arg-type]
def test_helpers_want_numbers(make: Any) -> None:
    with pytest.raises(SignatureError, match="must be a number"):
        make()


def test_a_duration_of_something_else() -> None:
    with pytest.raises(SignatureError, match="what Duration takes must be a number, not '5'"):
        milliseconds_of(Duration("5"), "windowDuration")  # type: ignore[arg-type]


def test_durations_compare_and_show() -> None:
    assert Seconds(60) == Minutes(1) > Seconds(59)
    assert len({Seconds(1), Milliseconds(1000), Durations.seconds(1)}) == 1
    assert [str(each) for each in (Milliseconds(5), Seconds(5), Minutes(1.5))] == ["5 ms", "5 s", "90 s"]


def test_moments() -> None:
    naive = datetime(2016, 3, 22, 20, 25, 28, 123_000)
    assert moment_ms(naive, "begin") == round(naive.timestamp() * 1000)
    assert moment_ms(datetime(1970, 1, 1, tzinfo=UTC), "begin") == 0
    assert moment_ms(datetime(1970, 1, 1, 9, tzinfo=timezone(timedelta(hours=9))), "begin") == 0
    assert moment_ms(1458678328.123, "begin") == 1458678328123
    assert moment_ms(-1, "begin") == -1000


@pytest.mark.parametrize("given", ["now", None, True, float("nan"), float("inf"), timedelta(1)])
def test_moments_of_the_wrong_kind(given: Any) -> None:
    with pytest.raises(SignatureError, match="begin must be a datetime or seconds since the epoch"):
        moment_ms(given, "begin")


@given(st.integers(0, 4 * 10**12))
def test_a_batch_time_as_a_datetime_and_back(time: int) -> None:
    assert local_datetime(time).tzinfo is None
    assert local_datetime(time).microsecond % 1000 == 0
    assert local_datetime(time).microsecond // 1000 == time % 1000


@given(times, steps, times)
def test_floor_and_ceil(time: int, step: int, phase: int) -> None:
    low, high = floor_to(time, step, phase), ceil_to(time, step, phase)
    assert low <= time <= high
    assert (low - phase) % step == (high - phase) % step == 0
    assert high - low == (0 if (time - phase) % step == 0 else step)


@given(st.integers(0, 10**6), st.integers(-100, 1000), st.integers(1, 50))
def test_times_between(first: int, length: int, step: int) -> None:
    found = list(times_between(first, first + length, step))
    assert found == [BatchTime(t) for t in range(first, first + length + 1) if (t - first) % step == 0]


@pytest.mark.parametrize(
    ("ms", "text"), [(1, "1 ms"), (999, "999 ms"), (1000, "1 s"), (1001, "1.001 s"), (3_600_000, "3600 s")]
)
def test_shown(ms: int, text: str) -> None:
    assert shown_ms(ms) == text
