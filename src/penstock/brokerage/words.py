"""Figures and failures in words, for the lines that a person reads."""

from __future__ import annotations

from itertools import pairwise

from penstock.times import shown_ms

__all__ = ["cause_of", "counted", "dollars", "span", "took"]


def counted(count: int, one: str, many: str | None = None) -> str:
    """So many of something.

    >>> counted(1, "batch", "batches"), counted(2_000, "order")
    ('1 batch', '2,000 orders')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def dollars(cents: int) -> str:
    """An amount, exact whatever its size.

    >>> dollars(3_628_105), dollars(10**20)
    ('36,281.05', '1,000,000,000,000,000,000.00')
    """
    return f"{cents // 100:,}.{cents % 100:02}"


def span(length_ms: int) -> str:
    """A window as a person would say it.

    >>> span(3_600_000), span(120_000), span(90_000), span(1_500)
    ('hour', '2 minutes', '90 s', '1.5 s')
    """
    for unit_ms, one, many in ((3_600_000, "hour", "hours"), (60_000, "minute", "minutes")):
        if length_ms % unit_ms == 0:
            return one if length_ms == unit_ms else f"{length_ms // unit_ms:,} {many}"
    return shown_ms(length_ms)


def took(length_ms: float) -> str:
    """A time that was measured.

    >>> took(17.6), took(12_345.6)
    ('18 ms', '12.3 s')
    """
    return f"{length_ms:,.0f} ms" if length_ms < 9_999.5 else f"{length_ms / 1000:,.1f} s"


def cause_of(failure: str) -> str:
    r"""The exception itself, of a failure with its traceback and notes; Penstock's own without their class.

    >>> cause_of('Traceback (most recent call last):\n  File "app.py", line 1\nValueError: no\nin map')
    'ValueError: no'
    >>> cause_of("Traceback (most recent call last):\n  File\npenstock.errors.InputVanished: in/a is gone")
    'in/a is gone'
    """
    lines = failure.strip().splitlines() or [""]
    heads = [now for before, now in pairwise(lines) if before[:1] == " " and now[:1].strip()]
    head = heads[-1] if heads else lines[0]
    kind, _, message = head.partition(": ")
    return message if message and kind.startswith("penstock.") else head
