"""Versions of state against plain dicts: whatever is done, and whichever version is gone on from."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule

from penstock.state import RowVersion
from penstock.state import rows as module
from tests.state.keys import Key

keys = st.sampled_from([*"abcdefgh", 1, True, 1.5, ("t", 1), None])
ABSENT = object()


class Model:
    """What a version is: states in order of first appearance, and when each had its news."""

    def __init__(self, states: dict[Any, Any], times: dict[Any, int]) -> None:
        self.states = states
        self.times = times

    def copy(self) -> Model:
        return Model(dict(self.states), dict(self.times))


class Versions(RuleBasedStateMachine):
    """Every version, of every branch, stays what it was."""

    versions = Bundle("versions")

    @initialize(target=versions, first=st.lists(st.tuples(keys, st.integers())), holes=st.integers(0, 3))
    def begin(self, first: list[tuple[Any, int]], holes: int) -> Any:
        self.now = 10
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(module, "_HOLES_MIN", holes)
        self.all: list[tuple[RowVersion, Model]] = []
        states: dict[Any, int] = {}
        for key, state in first:
            states.setdefault(key, state)
        return self.made(RowVersion.of(first, self.now), Model(states, dict.fromkeys(states, self.now)))

    def made(self, version: RowVersion, model: Model) -> Any:
        self.all.append((version, model))
        return version, model

    @rule(
        target=versions,
        version=versions,
        changes=st.lists(st.tuples(st.sampled_from(["put", "remove", "touch"]), keys, st.integers())),
        timeout=st.integers(1, 4),
        forgets=st.booleans(),
    )
    def batch(self, version: Any, changes: list[tuple[str, Any, int]], timeout: int, forgets: bool) -> Any:
        before, model = version[0], version[1].copy()
        self.now += 1
        with before.update(self.now) as update:
            self.change(update, model, changes)
            if forgets:  # keys that old are gone in this version
                update.forget_times(min(model.times.values(), default=self.now))
            late = [key for key in model.states if model.times[key] < self.now - timeout]
            assert update.expiring(self.now - timeout) == [(key, model.states[key]) for key in late]
            for key in late:
                update.expire(key)
                del model.states[key], model.times[key]
            assert update.expired == len(late)
        return self.made(update.version, model)

    def change(self, update: Any, model: Model, changes: list[tuple[str, Any, int]]) -> None:
        for what, key, state in changes:
            assert update.get(key, ABSENT) == model.states.get(key, ABSENT)
            if what == "put" or (what == "touch" and key in model.states):
                if what == "touch":
                    update.touch(key)
                else:
                    update.put(key, state)
                    model.states[key] = state
                model.times[key] = self.now
            elif what == "remove":
                update.remove(key)
                model.states.pop(key, None)
                model.times.pop(key, None)

    @rule(
        version=versions,
        changes=st.lists(st.tuples(st.sampled_from(["put", "remove"]), keys, st.integers())),
    )
    def batch_that_fails(self, version: Any, changes: list[tuple[str, Any, int]]) -> None:
        self.now += 1
        with pytest.raises(ZeroDivisionError), version[0].update(self.now) as update:
            self.change(update, version[1].copy(), changes)
            assert version[0].pairs() == list(version[1].states.items()), "read while the next one is made"
            raise ZeroDivisionError

    def teardown(self) -> None:
        if hasattr(self, "all"):
            for version, model in self.all:
                found = version.pairs()
                assert found == list(model.states.items())
                assert [type(key) for key, _ in found] == list(map(type, model.states)), "the first-seen key"
                assert len(version) == len(found)
            self.patch.undo()


TestVersions = Versions.TestCase
TestVersions.settings = settings(stateful_step_count=40)


def test_a_batch_costs_what_it_touches() -> None:
    version = RowVersion.of(((key, 0) for key in range(100_000)), 0)
    with version.update(1) as update:
        for key in range(5):
            update.put(key, 1)
        assert update.expiring(0) == []
    assert len(version._note.slots) == 5  # type: ignore[union-attr]
    assert len(update.version) == 100_000


def test_where_nobody_asks_for_times_none_are_kept() -> None:
    version = RowVersion.of([("a", 1)], 0, expires=False)
    for time in range(1, 100):
        with version.update(time) as update:
            update.put("a", time)
            update.put(time, time)
            update.remove(time)
        version = update.version
    assert version._table.touched == {}


def test_keys_are_nobody_else_s() -> None:
    given = Key()
    with RowVersion.of([], 0).update(1) as update:
        update.put(given, 1)
    given.seen = 100
    assert [key.seen for key, _ in update.version.pairs()] == [0]


def test_times_that_are_over_are_forgotten() -> None:
    version = RowVersion.of([("a", 1)], 0)
    for time in range(1, 1000):
        with version.update(time) as update:
            update.forget_times(time - 5)
            update.put("a", time)
        version = update.version
    assert len(version._table.touched) <= 7


def test_a_table_of_holes_is_made_anew() -> None:
    version = RowVersion.of(((key, 0) for key in range(1000)), 0)
    for time in range(1, 100):
        with version.update(time) as update:
            for key in range(1000 * time, 1000 * time + 1000):
                update.put(key, time)
            for key, _ in update.expiring(time):
                update.expire(key)
        version = update.version
        assert len(version) == 1000
    assert len(version._table.keys) <= 3000


def test_another_thread_reads_while_one_waits_its_turn() -> None:
    version = RowVersion.of([("a", 1)], 0)
    seen: list[Any] = []
    with version.update(1) as update:
        update.put("a", 2)
        reader = threading.Thread(target=lambda: seen.append(version.pairs()))
        reader.start()
    reader.join(60)
    assert seen == [[("a", 1)]]
