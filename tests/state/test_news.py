"""Which keys had no news for long: what it takes to know, and that it is known of every version."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from penstock.chunk import Columns
from penstock.state import ColumnVersion, RowVersion, Version
from penstock.state import columns as column_module
from penstock.state import rows as row_module

FORMS = pytest.mark.parametrize("form", [ColumnVersion, RowVersion])


def made(form: Any, pairs: list[tuple[int, int]], time: int) -> Any:
    if form is ColumnVersion:
        return ColumnVersion.of_pairs(Columns.from_rows(pairs), time)
    return RowVersion.of(pairs, time)


def with_news(version: Any, keys: Any, time: int) -> Any:
    with version.update(time) as update:
        update.prepare(keys)
        for key in keys:
            update.put(key, time)
    return update.version


@FORMS
@pytest.mark.parametrize(("keys", "touched"), [(500, 500), (500, 7), (2, 1)])
def test_memory_does_not_grow_with_the_batches_of_a_timeout(form: Any, keys: int, touched: int) -> None:
    version = made(form, [(key, 0) for key in range(keys)], 0)
    sizes = []
    for time in range(1, 2000 if touched < 100 else 100):
        version = with_news(version, [(time * touched + at) % keys for at in range(touched)], time)
        table = version._table
        assert table.listed <= 4 * (9 * keys + 256)
        sizes.append(version.nbytes)
    lists = table.touched.values()
    if form is ColumnVersion:
        assert table.listed == sum(len(part) + 8 for parts in lists for part in parts)
    else:
        assert table.listed == sum(len(slots) + 8 for slots in lists)
    assert max(sizes[len(sizes) // 2 :]) <= 1.2 * max(sizes[: len(sizes) // 2]), "flat"
    news = dict.fromkeys(range(keys), 0)
    for time in range(1, len(sizes) + 1):
        news.update({(time * touched + at) % keys: time for at in range(touched)})
    assert version.oldest_news() == min(news.values())


@FORMS
def test_an_older_version_is_gone_on_from_after_the_lists_were_tidied(form: Any) -> None:
    """Failed batches, removals, keys that come again; against a dict of times."""
    rng = np.random.default_rng(5)
    times = dict.fromkeys(range(50), 0)
    kept = [(made(form, [(key, 0) for key in range(50)], 0), times)]
    for time in range(1, 600):
        before, times = kept[-1 if rng.random() < 0.8 else int(rng.integers(len(kept)))]
        times = dict(times)
        timeout = int(rng.integers(1, 40))
        fails = rng.random() < 0.2
        try:
            with before.update(time) as update:
                for key in rng.integers(0, 60, 10).tolist():
                    if rng.random() < 0.3:
                        update.remove(key)
                        times.pop(key, None)
                    else:
                        update.put(key, time)
                        times[key] = time
                late = {key for key in times if times[key] < time - timeout}
                assert {key for key, _ in update.expiring(time - timeout)} == late
                if rng.random() < 0.3:
                    for key in late:
                        update.expire(key)
                        del times[key]
                    update.forget_times(time - timeout)
                if fails:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            continue
        kept = [*kept[-8:], (update.version, times)]
        for version, expected in kept[-3:]:
            assert version.oldest_news() == min(expected.values(), default=None)
            with pytest.raises(ZeroDivisionError), version.update(time) as looking:
                found = {key for key, _ in looking.expiring(time)}
                assert found == {key for key in expected if expected[key] < time}
                raise ZeroDivisionError


@FORMS
def test_the_oldest_news_are_those_of_the_version_that_is_asked(form: Any) -> None:
    first = made(form, [(1, 1)], 1000)
    with first.update(9000) as update:
        update.expire_before(5000)
    assert (first.oldest_news(), update.version.oldest_news()) == (1000, None)
    assert (len(first), len(update.version)) == (1, 0)


@FORMS
def test_an_update_that_cannot_begin_holds_nobody_up(form: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    version = made(form, [(key, 0) for key in range(300)], 0)
    with version.update(1) as update:
        for key in range(250):
            update.remove(key)
    holes: Version = update.version
    module = column_module if form is ColumnVersion else row_module

    def no_memory(table: Any) -> Any:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(module, "_without_holes", no_memory)
        with pytest.raises(MemoryError):
            holes.update(2).__enter__()
    assert not holes._table.lock._is_owned()  # type: ignore[attr-defined]
    assert len(with_news(holes, [1], 3)) == 51


@FORMS
def test_a_table_is_made_anew_in_parts(form: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(column_module, "_AT_ONCE", 64)
    version = with_news(made(form, [(key, 0) for key in range(1000)], 0), range(900, 1000), 1)
    with version.update(2) as update:
        for key in range(0, 850):
            update.remove(key)
    image = update.version.image()
    again = form.of_image(image)
    assert again.image().slots.tolist() == image.slots.tolist()
    for each in (update.version, again):
        later = with_news(each, [850], 3)
        assert later.image().length == 150, "without holes"
        assert later.pairs().rows() == [(850, 3), *((key, 0) for key in range(851, 900)),
                                        *((key, 1) for key in range(900, 1000))]  # fmt: skip
        assert later.oldest_news() == 0
