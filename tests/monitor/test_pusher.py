"""What is pushed to the page of the monitor, and when."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.clock import ManualClock
from penstock.monitor.api import update_of
from penstock.monitor.feed import Feed
from penstock.monitor.history import History
from penstock.monitor.monitor import Pusher
from tests.monitor.test_health import Alive, over


class Page:
    """A monitor's feed with a reader, and what was pushed to it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.history = History(1000)
        self.feed = Feed(100)
        monkeypatch.setattr(Feed, "readers", property(lambda feed: 1))
        self.application = Alive(self.history, ManualClock(0), None)
        self._pusher = Pusher(self.application, self.feed)
        self._number = 0

    def batches(self, count: int) -> None:
        """So many more are over."""
        for _ in range(count):
            self._number += 1
            self.history.apply(over(self._number * 1000))

    def tick(self, **last: bool) -> list[int] | None:
        """Half a second is over: the batches that were pushed, ``None`` for no update."""
        before = len(self.feed.kept())
        self._pusher.push(**last)
        pushed = self.feed.kept()[before:]
        assert len(pushed) < 2
        return [batch["time"] // 1000 for batch in data(pushed[0])["batches"]] if pushed else None


def data(frame: bytes) -> Any:
    return json.loads(frame.partition(b"data: ")[2])


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Page:
    return Page(monkeypatch)


def test_what_is_new_is_pushed_once(page: Page) -> None:
    page.batches(2)
    assert page.tick() == [1, 2]
    assert page.tick() is None
    page.batches(1)
    assert page.tick() == [3]
    assert [page.tick() for _ in range(6)] == [None, None, [], None, None, []], "it says that it is there"


def test_many_batches_are_pushed_once_a_second(page: Page) -> None:
    page.batches(30)
    assert page.tick() is None
    page.batches(30)
    assert page.tick() == list(range(1, 61))
    page.batches(30)
    assert page.tick() is None
    assert page.tick() == list(range(61, 91)), "also if no more come"
    page.batches(3)
    assert page.tick() == [91, 92, 93]


def test_the_last_update_has_all(page: Page) -> None:
    page.batches(30)
    assert page.tick(last=True) == list(range(1, 31))


def test_a_batch_is_pushed_as_a_row_shows_it(page: Page) -> None:
    page.history.apply(
        over(
            1000, "failed", cause={"what": "ValueError", "where": None},
            outputs=[{"id": 0, "name": "pprint", "status": "failed", "error": "long " * 1000}],
        )
    )  # fmt: skip
    update, newest = update_of(page.application, None)
    assert newest == 1000
    [batch] = update["batches"]
    assert (batch["status"], batch["cause"]["what"], batch["outputs"]) == (
        "failed", "ValueError", [{"status": "failed"}],
    )  # fmt: skip
    assert not {"story", "state", "inputs", "limits", "operators"} & set(batch)
