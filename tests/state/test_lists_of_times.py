"""Which keys time out is known by lists that cost what there is, not what there was."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.chunk import Columns
from penstock.state import ColumnVersion, RowVersion, rows

Version = Any
KINDS = ("rows", "columns")


def first(kind: str, keys: int) -> Version:
    pairs = [(key, 0) for key in range(keys)]
    if kind == "rows":
        return RowVersion.of(pairs, 0)
    return ColumnVersion.of_pairs(Columns.from_rows(pairs or [(0, 0)]), 0)


def listed(version: Version) -> int:
    return sum(
        len(part) if hasattr(part, "__len__") else 1
        for parts in version._table.touched.values()
        for part in parts
    )


@pytest.mark.parametrize("kind", KINDS)
def test_keys_that_are_always_busy_are_listed_once_or_twice(kind: str) -> None:
    version = first(kind, 50)
    for time in range(1, 500):
        with version.update(time) as update:
            for key in range(50):
                update.put(key, time)
        version = update.version
    assert listed(version) <= 2 * 50 + 1_100
    assert version.oldest_news() == 499


@pytest.mark.parametrize("kind", KINDS)
@given(st.integers(0, 10**6))
def test_the_keys_that_time_out_are_those_of_a_plain_dict(kind: str, seed: int) -> None:
    """From any version one can go on, and updates may fail; lists are made anew at every turn, or never."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "LISTED_MIN", 0 if seed % 3 else 1_000)
        like_a_dict(kind, random.Random(seed))


def like_a_dict(kind: str, chance: random.Random) -> None:
    version = first(kind, 5)
    known = [(version, dict.fromkeys(range(5), 0))]
    for time in range(1, 25):
        version, model = chance.choice(known[-3:])
        news = dict(model)
        try:
            with version.update(time) as update:
                for _ in range(chance.randrange(8)):
                    key = chance.randrange(8)
                    if chance.random() < 0.75:
                        update.put(key, time)
                        news[key] = time
                    else:
                        update.remove(key)
                        news.pop(key, None)
                due = time - chance.randrange(1, 6)
                expired = [key for key, _ in update.expiring(due)]
                assert sorted(expired) == sorted(key for key, at in news.items() if at < due)
                for key in expired:
                    update.expire(key)
                    del news[key]
                if chance.random() < 0.2:
                    raise KeyError
        except KeyError:
            assert version.oldest_news() == min(model.values(), default=None)
            continue
        known.append((update.version, news))
        older, its = chance.choice(known)
        assert older.oldest_news() == min(its.values(), default=None)
        assert sorted(key for key, _ in older.pairs().rows()) == sorted(its)


@pytest.mark.parametrize("kind", KINDS)
def test_the_oldest_news_is_that_of_the_version(kind: str) -> None:
    version = first(kind, 3)
    with version.update(9) as update:
        update.expire_before(5)
    assert (update.version.oldest_news(), version.oldest_news()) == (None, 0)
