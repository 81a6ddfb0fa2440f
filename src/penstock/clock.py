"""The clock: the one place that reads the wall clock, and a stand-in that tests turn by hand.

Whoever needs the time is given a :class:`Clock`. Nothing else in Penstock calls ``time.time`` or
``time.sleep``, so a program on the :class:`ManualClock` runs hours in milliseconds and always the
same way.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

__all__ = ["Clock", "ManualClock", "SystemClock"]


class Clock(Protocol):
    """What the scheduler asks of a clock."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch. May be set back by whoever keeps the machine's time."""

    def elapsed_ns(self) -> int:
        """Nanoseconds since some fixed moment; never goes back. For measuring durations."""

    def wait_until(self, time_ms: int, woken: threading.Event) -> bool:
        """Wait until ``now_ms() >= time_ms`` (true) or until ``woken`` is set (false)."""


class SystemClock:
    """The machine's clock, made steady: it follows the wall clock forward and never goes back.

    When the wall clock is set back by a second or more, this one runs on at the pace of the
    monotonic clock, so that batches go on; smaller corrections are waited out.

    >>> SystemClock().now_ms() > 1_600_000_000_000
    True
    """

    _LONGEST_WAIT_S = 10.0  # a clock set forward during a wait is noticed after this long
    _SET_BACK_NS = 1_000_000_000

    def __init__(
        self, wall_ns: Callable[[], int] = time.time_ns, steady_ns: Callable[[], int] = time.perf_counter_ns
    ) -> None:
        self._wall_ns = wall_ns
        self._steady_ns = steady_ns
        self._lock = threading.Lock()
        self._offset_ns = wall_ns() - steady_ns()
        self._last_ns = 0

    def now_ns(self) -> int:
        """As :meth:`now_ms`, in nanoseconds."""
        with self._lock:
            wall, steady = self._wall_ns(), self._steady_ns()
            expected = steady + self._offset_ns
            if wall >= expected:
                self._offset_ns = wall - steady
                expected = wall
            elif expected - wall < self._SET_BACK_NS:
                expected = wall
            self._last_ns = max(self._last_ns, expected)
            return self._last_ns

    def now_ms(self) -> int:
        return self.now_ns() // 1_000_000

    def elapsed_ns(self) -> int:
        return self._steady_ns()

    def wait_until(self, time_ms: int, woken: threading.Event) -> bool:
        while not woken.is_set():
            left_s = (time_ms * 1_000_000 - self.now_ns()) / 1e9
            if left_s <= 0:
                return True
            woken.wait(min(left_s, self._LONGEST_WAIT_S))
        return False


class ManualClock:
    """A clock that stands still until it is told to move.

    ``start_ms`` is what it shows first: by default 0, the Unix epoch. Durations measured on it are
    exactly what :meth:`advance` was told.

    >>> clock = ManualClock(1_000)
    >>> clock.advance(500)
    >>> clock.now_ms()
    1500
    """

    def __init__(self, start_ms: int = 0) -> None:
        self._now_ms = start_ms
        self._moved = threading.Condition()

    def now_ms(self) -> int:
        return self._now_ms

    def elapsed_ns(self) -> int:
        return self._now_ms * 1_000_000

    def advance(self, duration_ms: int) -> None:
        """Move on by ``duration_ms``, and wake whoever waited for it."""
        with self._moved:
            self._now_ms += duration_ms
            self._moved.notify_all()

    def set(self, time_ms: int) -> None:
        """Show ``time_ms`` from now on; it may be in the past, as when a machine's clock is set back."""
        with self._moved:
            self._now_ms = time_ms
            self._moved.notify_all()

    def wait_until(self, time_ms: int, woken: threading.Event) -> bool:
        with self._moved:
            while self._now_ms < time_ms and not woken.is_set():
                self._moved.wait(0.01)  # `woken` is set without notifying this condition
        return not woken.is_set()
