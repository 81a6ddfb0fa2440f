"""Versions of state against plain dicts: whatever is done, and whichever version is gone on from."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, precondition, rule

from penstock.chunk import rows_of
from penstock.errors import RowTypeError
from penstock.state import ColumnVersion, RowVersion, TableChange, Version, changed

ABSENT = object()


class Model:
    """What a version is: states in order of first appearance, and when each had its news."""

    def __init__(self, states: dict[Any, Any], times: dict[Any, int]) -> None:
        self.states = states
        self.times = times

    def copy(self) -> Model:
        return Model(dict(self.states), dict(self.times))


def contents(image: TableChange) -> Any:
    """What an image says, such that equal ones say the same."""
    pairs = list(rows_of(image.entries))
    kinds = [tuple(map(type, pair)) for pair in pairs]
    assert image.whole
    assert image.times is not None
    return image.length, image.slots.tolist(), pairs, kinds, image.times.tolist()


class Versions(RuleBasedStateMachine):
    """Every version, of every branch, stays what it was; and so it is when it is saved, whole or as what
    differs."""

    versions = Bundle("versions")
    keys: Any
    states: Any = st.integers()
    module: Any
    saved: Any = ()

    def made_of(self, pairs: list[tuple[Any, Any]], time: int) -> Version:
        raise NotImplementedError

    @initialize(target=versions, data=st.data(), holes=st.integers(0, 3))
    def begin(self, data: st.DataObject, holes: int) -> Any:
        self.now = 10
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(self.module, "_HOLES_MIN", holes)
        self.patch.setattr(self.module, "_LISTED_MIN", 3 * holes)
        self.patch.setattr(self.module, "_LOOKS", 1 + holes)
        self.all: list[tuple[Any, Model]] = []
        self.saved: list[tuple[Any, TableChange, Any]] = []
        first = data.draw(st.lists(st.tuples(self.keys, self.states)))
        states: dict[Any, Any] = {}
        for key, state in first:
            states.setdefault(key, state)
        return self.made(self.made_of(first, self.now), Model(states, dict.fromkeys(states, self.now)))

    def made(self, version: Any, model: Model) -> Any:
        self.all.append((version, model))
        return version, model

    def drawn(self, data: st.DataObject) -> list[tuple[str, Any, Any]]:
        return data.draw(
            st.lists(st.tuples(st.sampled_from(["put", "put", "remove", "touch"]), self.keys, self.states))
        )

    @rule(
        target=versions, version=versions, data=st.data(), timeout=st.integers(1, 4),
        forgets=st.booleans(), prepares=st.booleans(),
    )  # fmt: skip
    def batch(self, version: Any, data: st.DataObject, timeout: int, forgets: bool, prepares: bool) -> Any:
        before, model = version[0], version[1].copy()
        steps = self.drawn(data)
        self.now += 1
        with before.update(self.now) as update:
            if prepares:
                update.prepare([key for _, key, _ in steps])
            self.change(update, model, steps)
            if forgets:  # keys that old are gone in this version
                update.forget_times(min(model.times.values(), default=self.now))
            late = [key for key in model.states if model.times[key] < self.now - timeout]
            assert update.expiring(self.now - timeout) == [(key, model.states[key]) for key in late]
            for key in late:
                update.expire(key)
                del model.states[key], model.times[key]
            assert update.expired == len(late)
        made = update.version
        assert made.oldest_news() == min(model.times.values(), default=None)
        changes = made.changes(before)
        if changes is not None:
            assert contents(changed([before.image(), changes], close=False)) == contents(made.image())
            self.saved.append((version, changes, (made, model)))
        return self.made(made, model)

    @precondition(lambda self: self.saved)
    @rule(target=versions, data=st.data(), elsewhere=st.booleans())
    def follow(self, data: st.DataObject, elsewhere: bool) -> Any:
        """A change that was saved makes the same version again, of the version or of one like it in another
        process, which may go on from there."""
        (before, _), changes, (made, model) = data.draw(st.sampled_from(self.saved))
        if elsewhere:
            image = before.image()
            before = (type(before) if image.entries else RowVersion).of_image(image)
        try:
            again = before.followed_by(changes)
        except RowTypeError:
            assert isinstance(before, ColumnVersion)
            again = RowVersion.of_image(changed([before.image(), changes], close=False))
        assert contents(again.image()) == contents(made.image())
        assert again.oldest_news() == made.oldest_news()
        return self.made(again, model)

    @rule(target=versions, version=versions)
    def restart(self, version: Any) -> Any:
        """A version that was saved is one like it, and goes on on slots of the same numbers."""
        image = version[0].image()
        kind = type(version[0]) if image.entries else RowVersion  # of nothing nobody knows the types
        again = kind.of_image(image)
        assert contents(again.image()) == contents(image)
        return self.made(again, version[1])

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

    @rule(version=versions)
    def news(self, version: Any) -> None:
        """Of any version, whichever is the newest."""
        assert version[0].oldest_news() == min(version[1].times.values(), default=None)

    @rule(version=versions, data=st.data())
    def batch_that_fails(self, version: Any, data: st.DataObject) -> None:
        self.now += 1
        changes = self.drawn(data)
        with pytest.raises(ZeroDivisionError), version[0].update(self.now) as update:
            self.change(update, version[1].copy(), changes)
            wanted = list(version[1].states.items())
            assert version[0].pairs().rows() == wanted, "read while the next one is made"
            assert version[0].oldest_news() == min(version[1].times.values(), default=None)
            raise ZeroDivisionError

    def teardown(self) -> None:
        if hasattr(self, "all"):
            for version, model in self.all:
                found = version.pairs().rows()
                assert found == list(model.states.items())
                assert [type(key) for key, _ in found] == list(map(type, model.states)), "the first-seen key"
                assert [type(state) for _, state in found] == list(map(type, model.states.values()))
                assert len(version) == len(found)
                assert version.nbytes >= 16 * len(found)
                assert version.image().times.tolist() == [model.times[key] for key in model.states]
            self.patch.undo()
