"""Versions of state as Python objects."""

from __future__ import annotations

import threading
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from penstock.chunk import rows_of
from penstock.state import RowVersion, changed
from penstock.state import rows as module
from tests.state.keys import Key
from tests.state.model import Versions


class Rows(Versions):
    """All that can be a key, at once."""

    keys = st.sampled_from([*"abcdefgh", 1, True, 1.5, ("t", 1), None])
    module = module

    def made_of(self, pairs: list[tuple[Any, Any]], time: int) -> RowVersion:
        return RowVersion.of(pairs, time)


TestRows = Rows.TestCase
TestRows.settings = settings(stateful_step_count=40)


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
    assert [key.seen for key, _ in update.version.pairs().rows()] == [0]


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
        reader = threading.Thread(target=lambda: seen.append(version.pairs().rows()))
        reader.start()
    reader.join(60)
    assert seen == [[("a", 1)]]


def test_what_a_batch_has_changed_is_told_by_slots() -> None:
    first = RowVersion.of([("a", 1), ("b", 2), ("c", 3)], 0)
    with first.update(5) as update:
        update.remove("b")
        update.put("c", 4)
        update.put("d", [5])
    changes = update.version.changes(first)
    assert changes is not None
    assert (changes.length, changes.slots.tolist(), changes.holes.tolist()) == (4, [2, 3], [1])
    assert list(rows_of(changes.entries)) == [("c", 4), ("d", [5])]
    assert changes.times is not None
    assert changes.times.tolist() == [5, 5]
    whole = changed([first.image(), changes], close=False)
    assert list(rows_of(whole.entries)) == [("a", 1), ("c", 4), ("d", [5])]
    assert whole.slots.tolist() == [0, 2, 3]


def test_an_image_says_which_slots_its_keys_are_in() -> None:
    """What is changed later is told by these."""
    with RowVersion.of([], 0).update(1) as update:
        update.put("a", 1)
        update.put("b", 1)
        update.remove("a")
    first = update.version
    with first.update(2) as later:
        later.put("b", 2)
    changes = later.version.changes(first)
    assert changes is not None
    found = changed([first.image(), changes], close=True)
    assert list(rows_of(found.entries)) == [("b", 2)]


def test_versions_that_are_no_neighbours_are_saved_whole() -> None:
    versions = [RowVersion.of([("a", 1)], 0)]
    for time in (1, 2):
        with versions[-1].update(time) as update:
            update.put("a", time)
        versions.append(update.version)
    assert versions[2].changes(versions[0]) is None
    assert versions[2].changes(RowVersion.of([("a", 1)], 0)) is None
    assert versions[2].changes(versions[1]) is not None
    assert versions[1].changes(versions[0]) is not None, "an older one"


def test_bytes_are_about_what_is_held() -> None:
    texts = RowVersion.of(((f"key number {key}", "x" * 1000) for key in range(1000)), 0)
    assert 1_050_000 < texts.nbytes < 1_400_000
