"""The index of slots against a dict, with as few different hashes as it takes to make trouble."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.state import index as module
from penstock.state.index import SlotIndex


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SEGMENT", 16)
    monkeypatch.setattr(module, "_WITHIN", np.uint32(15))
    monkeypatch.setattr(module, "_HOME_BITS", np.uint32(28))
    monkeypatch.setattr(module, "_AT_ONCE", 8)


def hashes_of(keys: Any, distinct: int) -> Any:
    mixed = (np.asarray(keys, np.uint64) % np.uint64(distinct)) * np.uint64(0x9E3779B97F4A7C15)
    return (mixed >> np.uint64(32)).astype(np.uint32)


@given(
    steps=st.lists(st.tuples(st.booleans(), st.sets(st.integers(0, 200), max_size=60)), max_size=12),
    distinct=st.sampled_from([30, 1000]),
)
def test_it_is_a_dict(steps: list[tuple[bool, set[int]]], distinct: int) -> None:
    index, model, key_of, slot = SlotIndex(0), {}, {}, 0
    for adds, keys in steps:
        if adds:
            fresh = [key for key in sorted(keys) if key not in model]
            slots = np.arange(slot, slot + len(fresh))
            slot += len(fresh)
            index.add(hashes_of(fresh, distinct), slots)
            model.update(zip(fresh, slots.tolist(), strict=True))
            key_of.update(zip(slots.tolist(), fresh, strict=True))
        else:
            known = [key for key in sorted(keys) if key in model]
            index.discard(hashes_of(known, distinct), np.array([model.pop(key) for key in known], np.int64))
        asked = np.arange(201)
        found = index.find(
            hashes_of(asked, distinct),
            lambda at, slots: np.array([key_of[s] == k for k, s in zip(at, slots, strict=True)], np.bool_),
        )
        assert found.tolist() == [model.get(key, -1) for key in range(201)]
        assert len(index) == len(model)


def test_what_is_taken_out_does_not_make_it_grow() -> None:
    index = SlotIndex(0)
    for start in range(0, 100_000, 50):
        slots = np.arange(start, start + 50)
        hashes = hashes_of(slots, 2**62)
        index.add(hashes, slots)
        index.discard(hashes, slots)
    assert len(index) == 0
    assert index.nbytes < 50 * 8 * 40


def test_it_grows_by_what_is_added() -> None:
    index, largest = SlotIndex(0), 0
    for start in range(0, 3000, 3):
        before = index.nbytes
        slots = np.arange(start, start + 3)
        index.add(hashes_of(slots, 2**62), slots)
        largest = max(largest, index.nbytes / max(before, 1024))
    assert largest <= 1.5
    assert index.nbytes <= 3000 * 8 * 4
