"""The clocks: one follows a wall clock that people set, the other is turned by hand."""

from __future__ import annotations

import threading

import pytest

from penstock.clock import ManualClock, SystemClock

S = 1_000_000_000
START = 1_700_000_000 * S


class Machine:
    """A wall clock that can be set, beside a steady one that cannot."""

    def __init__(self) -> None:
        self.wall = START
        self.steady = 5 * S
        self.clock = SystemClock(lambda: self.wall, lambda: self.steady)

    def passes(self, seconds: float) -> None:
        self.wall += round(seconds * S)
        self.steady += round(seconds * S)

    def set_by(self, seconds: float) -> None:
        self.wall += round(seconds * S)

    def shown(self) -> float:
        """Seconds since the start, as our clock shows them."""
        return (self.clock.now_ns() - START) / S


@pytest.fixture
def machine() -> Machine:
    return Machine()


class TestSystemClock:
    def test_it_shows_the_wall_clock(self, machine: Machine) -> None:
        assert machine.clock.now_ms() == START // 1_000_000
        machine.passes(1.5)
        assert machine.shown() == 1.5

    def test_set_forward_it_follows_at_once(self, machine: Machine) -> None:
        machine.passes(1)
        machine.set_by(3600)
        assert machine.shown() == 3601
        machine.passes(1)
        assert machine.shown() == 3602

    def test_set_back_it_goes_on_at_its_pace(self, machine: Machine) -> None:
        machine.passes(10)
        assert machine.shown() == 10
        machine.set_by(-3600)
        assert machine.shown() == 10
        machine.passes(5)
        assert machine.shown() == 15

    def test_after_being_set_back_the_wall_clock_is_followed_once_it_is_ahead(self, machine: Machine) -> None:
        machine.set_by(-100)
        machine.passes(5)
        assert machine.shown() == 5
        machine.set_by(300)
        assert machine.shown() == 205

    def test_a_small_correction_is_waited_out(self, machine: Machine) -> None:
        machine.passes(10)
        assert machine.shown() == 10
        machine.set_by(-0.5)
        assert machine.shown() == 10
        machine.passes(0.3)
        assert machine.shown() == 10
        machine.passes(0.7)
        assert machine.shown() == 10.5

    def test_it_never_goes_back(self, machine: Machine) -> None:
        shown = []
        for change in (0, -0.9, 0.2, -5, 3, -0.4, -0.4, -0.4, 100, -100, 0):
            machine.set_by(change)
            machine.passes(0.25)
            shown.append(machine.shown())
        assert shown == sorted(shown)
        assert shown[-1] > 98

    def test_it_never_goes_back_while_several_look(self, machine: Machine) -> None:
        start = threading.Barrier(4)
        bad: list[tuple[int, int]] = []

        def look() -> None:
            start.wait()
            last = 0
            for _ in range(2000):
                machine.wall += 7
                machine.steady += 3
                now = machine.clock.now_ns()
                if now < last:
                    bad.append((last, now))
                last = now

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert bad == []

    def test_durations_come_from_the_steady_clock(self, machine: Machine) -> None:
        before = machine.clock.elapsed_ns()
        machine.set_by(-1000)
        machine.steady += 42
        assert machine.clock.elapsed_ns() - before == 42

    def test_what_has_come_is_not_waited_for(self, machine: Machine) -> None:
        now = machine.clock.now_ms()
        assert machine.clock.wait_until(now, threading.Event()) is True
        assert machine.clock.wait_until(now - 1, threading.Event()) is True

    def test_waiting_ends_when_it_is_woken(self, machine: Machine) -> None:
        woken = threading.Event()
        woken.set()
        assert machine.clock.wait_until(machine.clock.now_ms() - 1, woken) is False
        assert machine.clock.wait_until(machine.clock.now_ms() + 10_000_000, woken) is False

    def test_it_waits_in_pieces_so_that_a_clock_set_forward_is_noticed(self, machine: Machine) -> None:
        waits: list[float | None] = []

        class Woken(threading.Event):
            def wait(self, timeout: float | None = None) -> bool:
                waits.append(timeout)
                machine.passes(timeout or 0)
                if len(waits) == 2:
                    machine.set_by(3600)
                return False

        assert machine.clock.wait_until(machine.clock.now_ms() + 3_000_000, Woken()) is True
        assert waits == [SystemClock._LONGEST_WAIT_S] * 2

    def test_the_last_wait_is_exact(self, machine: Machine) -> None:
        waits: list[float | None] = []

        class Woken(threading.Event):
            def wait(self, timeout: float | None = None) -> bool:
                waits.append(timeout)
                machine.passes(timeout or 0)
                return False

        machine.clock.wait_until(machine.clock.now_ms() + 12_500, Woken())
        assert waits == [10.0, 2.5]
        assert machine.shown() == 12.5


class TestManualClock:
    def test_it_stands_still(self) -> None:
        clock = ManualClock(1_000)
        assert (clock.now_ms(), clock.now_ms(), clock.elapsed_ns()) == (1_000, 1_000, 1_000_000_000)

    def test_it_is_turned(self) -> None:
        clock = ManualClock()
        clock.advance(250)
        clock.advance(250)
        assert clock.now_ms() == 500
        clock.set(100)
        assert clock.now_ms() == 100

    def test_who_waits_is_woken_by_the_time(self) -> None:
        clock, results = ManualClock(), []
        thread = threading.Thread(target=lambda: results.append(clock.wait_until(1_000, threading.Event())))
        thread.start()
        clock.advance(999)
        assert results == []
        clock.advance(1)
        thread.join(60)
        assert results == [True]

    def test_who_waits_is_woken_by_the_event(self) -> None:
        clock, results, woken = ManualClock(), [], threading.Event()
        thread = threading.Thread(target=lambda: results.append(clock.wait_until(1_000, woken)))
        thread.start()
        woken.set()
        thread.join(60)
        assert results == [False]
