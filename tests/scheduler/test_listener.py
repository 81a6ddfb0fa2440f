"""The listener bus: order, slow and raising listeners, and what it does at the end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from penstock.scheduler.listener import _CAPACITY, ListenerBus, StreamingListener


class Notes(StreamingListener):
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def onBatchStarted(self, batchStarted: Any) -> None:
        self.seen.append(batchStarted)


class Slow(Notes):
    """Takes an event when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.begun = threading.Event()

    def onBatchStarted(self, batchStarted: Any) -> None:
        self.begun.set()
        assert self.go.wait(30)
        super().onBatchStarted(batchStarted)


@pytest.fixture
def bus() -> Iterator[ListenerBus]:
    made = ListenerBus()
    yield made
    made.close(30)


def test_all_listeners_get_all_events_in_order(bus: ListenerBus) -> None:
    one, two = Notes(), Notes()
    bus.add(one)
    bus.add(two)
    for number in range(1000):
        bus.post("onBatchStarted", lambda number=number: number)
    assert bus.drain(30)
    assert one.seen == two.seen == [*range(1000)]


def test_what_comes_fast_is_told_together_and_at_once_to_who_waits(
    bus: ListenerBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Telling(Notes):
        def __init__(self) -> None:
            super().__init__()
            self.told = threading.Event()

        def onBatchStarted(self, batchStarted: Any) -> None:
            super().onBatchStarted(batchStarted)
            self.told.set()

    monkeypatch.setattr("penstock.scheduler.listener._PAUSE_S", 3600)
    notes = Telling()
    bus.add(notes)
    bus.post("onBatchStarted", lambda: 0)
    assert notes.told.wait(30)  # the first is told at once
    assert bus.drain(30)
    for number in range(1, 4):
        bus.post("onBatchStarted", lambda number=number: number)
    assert bus.drain(30)
    bus.post("onBatchStarted", lambda: 4)
    bus.close(30)  # as who closes it does not wait for the pause
    assert notes.seen == [0, 1, 2, 3, 4]


def test_who_glances_is_told_nothing_that_is_out_of_date() -> None:
    bus, glancing, always = ListenerBus(threaded=False), Notes(), Notes()
    bus.add(glancing, glances=True)
    made: list[int] = []

    def event(number: int) -> Callable[[], int]:
        def make() -> int:
            made.append(number)
            return number

        return make

    old: set[int] = set()
    for number in range(3):
        bus.post("onBatchStarted", event(number), lambda number=number: number in old)
    assert made == []
    old |= {0, 2}
    bus.drain()
    assert made == glancing.seen == [1]
    assert not bus.is_heard_always("onBatchStarted")
    bus.add(always)
    assert bus.is_heard_always("onBatchStarted")
    assert not bus.is_heard_always("onOutputOperationStarted")
    bus.post("onBatchStarted", event(3), lambda: True)  # somebody hears all
    assert made == [1, 3]
    bus.drain()
    assert (glancing.seen, always.seen) == ([1, 3], [3])
    bus.remove(always)
    bus.post("onBatchStarted", event(4), lambda: True)
    bus.remove(glancing)
    bus.drain()
    assert made == [1, 3]


def test_an_event_that_cannot_be_made_keeps_no_other_from_being_told(
    bus: ListenerBus, caplog: pytest.LogCaptureFixture
) -> None:
    notes = Notes()
    bus.add(notes, glances=True)
    bus.post("onBatchStarted", lambda: 1 // 0, lambda: False)
    bus.post("onBatchStarted", lambda: 2, lambda: False)
    assert bus.drain(30)
    assert notes.seen == [2]
    assert "an event of onBatchStarted could not be made" in caplog.text


def test_an_event_is_not_even_made_if_nobody_listens(bus: ListenerBus) -> None:
    bus.post("onBatchStarted", lambda: pytest.fail("made"))
    assert not bus.wanted
    assert bus.drain(30)


def test_who_posts_does_not_wait_for_a_slow_listener(bus: ListenerBus) -> None:
    slow = Slow()
    bus.add(slow)
    for number in range(10):
        bus.post("onBatchStarted", lambda number=number: number)
    assert slow.begun.wait(30)
    assert slow.seen == []  # all were posted meanwhile
    assert not bus.drain(0.01)
    slow.go.set()
    assert bus.drain(30)
    assert slow.seen == [*range(10)]


def test_a_listener_that_is_far_behind_loses_events_and_the_log_says_so(
    bus: ListenerBus, caplog: pytest.LogCaptureFixture
) -> None:
    slow = Slow()
    bus.add(slow)
    bus.post("onBatchStarted", lambda: 0)
    assert slow.begun.wait(30)
    for number in range(1, _CAPACITY + 11):
        bus.post("onBatchStarted", lambda number=number: number)
    slow.go.set()
    assert bus.drain(30)
    assert slow.seen == [*range(_CAPACITY + 1)]
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "too slow" in caplog.text


@pytest.mark.parametrize("error", [ValueError("mine"), SystemExit(3), KeyboardInterrupt()])
@pytest.mark.parametrize("threaded", [True, False])
def test_a_listener_that_raises_is_logged_and_the_others_are_told(
    threaded: bool, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    class Raising(StreamingListener):
        def onBatchStarted(self, batchStarted: Any) -> None:
            raise error

    bus, notes = ListenerBus(threaded=threaded), Notes()
    bus.add(Raising())
    bus.add(notes)
    with caplog.at_level(logging.ERROR):
        bus.post("onBatchStarted", lambda: 1)
        bus.post("onBatchStarted", lambda: 2)
        bus.close(30)
    assert notes.seen == [1, 2]
    assert caplog.text.count("a StreamingListener raised in onBatchStarted") == 2


def test_a_listener_may_be_removed_and_one_that_is_not_there_too(bus: ListenerBus) -> None:
    notes = Notes()
    bus.add(notes)
    bus.remove(notes)
    bus.remove(notes)
    bus.post("onBatchStarted", lambda: pytest.fail("made"))


def test_closing_delivers_what_was_posted_and_takes_no_more(bus: ListenerBus) -> None:
    notes = Notes()
    bus.add(notes)
    bus.post("onBatchStarted", lambda: 1)
    bus.close(30)
    assert notes.seen == [1]
    bus.post("onBatchStarted", lambda: pytest.fail("made"))
    bus.close(30)  # again: it does not wait for ever
    bus.drain(30)
    assert notes.seen == [1]
    assert bus._thread is not None
    bus._thread.join(30)
    assert not bus._thread.is_alive()


@pytest.mark.parametrize("threaded", [True, False])
def test_within_a_listener_nothing_waits_for_listeners(threaded: bool) -> None:
    bus = ListenerBus(threaded=threaded)
    seen: list[Any] = []

    class Impatient(StreamingListener):
        def onBatchStarted(self, batchStarted: Any) -> None:
            seen.append((bus.on_bus_thread(), bus.drain(30)))

    bus.add(Impatient())
    bus.post("onBatchStarted", lambda: 1)
    bus.close(30)
    assert seen == [(True, False)]
    assert not bus.on_bus_thread()


def test_without_a_thread_events_wait_for_drain() -> None:
    bus, notes = ListenerBus(threaded=False), Notes()
    bus.add(notes)
    bus.post("onBatchStarted", lambda: 1)
    assert notes.seen == []
    assert bus.drain()
    assert notes.seen == [1]
    assert bus._thread is None


def test_listeners_do_nothing_unless_they_say_so() -> None:
    methods = [name for name in dir(StreamingListener) if name.startswith("on")]
    assert len(methods) == 9
    for name in methods:
        assert getattr(StreamingListener(), name)(None) is None


def test_what_no_listener_has_a_method_for_is_not_made() -> None:
    class Completed(StreamingListener):
        def onBatchCompleted(self, batchCompleted: Any) -> None:
            heard.append(batchCompleted)

    heard: list[Any] = []
    made: list[str] = []

    def event(name: str) -> Any:
        made.append(name)
        return name

    bus = ListenerBus(threaded=False)
    listener = Completed()
    bus.add(listener)
    bus.post("onBatchStarted", lambda: event("started"))
    bus.post("onBatchCompleted", lambda: event("completed"))
    bus.drain()
    assert made == heard == ["completed"]
    bus.add(Notes())
    bus.post("onBatchStarted", lambda: event("started"))
    assert made == ["completed", "started"]
    bus.remove(listener)
    bus.remove(listener)
    bus.drain()
