"""Versions in files: whoever reads them, and whatever they have in memory, reads what was written."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from penstock.chunk import Columns, Rows, rows_of
from penstock.errors import StateError
from penstock.state import (
    ColumnVersion,
    Listed,
    RowVersion,
    Steps,
    TableFiles,
    Versioned,
    difference,
    stored,
    whole,
)
from penstock.state.stored import CachedTables
from penstock.storage import storage_for

MANY = 1 << 30


def files_in(directory: Path, form: Any, most_bytes: int = MANY) -> TableFiles[Any]:
    storage, path = storage_for(str(directory))
    return TableFiles(storage, path, form, most_bytes)


def made_of(version: Any, time: int, drawn: random.Random, keys: list[Any]) -> Any:
    with version.update(time) as update:
        for key in drawn.sample(keys, drawn.randrange(1, len(keys))):
            if drawn.random() < 0.3:
                update.remove(key)
            else:
                update.put(key, drawn.randrange(1000))
        if drawn.random() < 0.4:
            update.expire_before(time - 3)
    return update.version


@pytest.mark.parametrize("changes_max", [1, 3, 100])
@pytest.mark.parametrize("columns", [True, False])
@pytest.mark.parametrize("seed", range(2))
def test_processes_with_any_versions_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, columns: bool, changes_max: int
) -> None:
    """Each batch is made by one of three processes, sometimes twice, and sometimes from an older version; any
    may die."""
    drawn = random.Random(seed)
    monkeypatch.setattr(stored, "_CHANGES_MAX", changes_max)
    monkeypatch.setattr(stored, "_BEFORE", drawn.randrange(4))
    processes = [CachedTables() for _ in range(3)]
    files = files_in(tmp_path, Versioned(expires=True))
    keys = list(range(12)) if columns else [*range(6), "a", None, (1, 2), 2.5, "b", "c"]
    first: Any = (
        ColumnVersion.of_pairs(Columns.from_rows([(0, 1)]), 0) if columns else RowVersion.of([("a", 1)], 0)
    )
    monkeypatch.setattr(stored, "cached_tables", processes[0])
    history: list[tuple[Steps, list[Any], list[int]]] = []

    def known(version: Any) -> tuple[list[Any], list[int]]:
        image = version.image()
        return list(rows_of(image.entries)), image.times.tolist()

    history.append((files.save(0, (), 0, first, None, first.image), *known(first)))
    for time in range(1, 50):
        for _ in range(drawn.choice([1, 1, 2])):
            process = drawn.choice(processes)
            if drawn.random() < 0.1:
                process.clear()
            monkeypatch.setattr(stored, "cached_tables", process)
            steps, pairs, times = history[-1 if drawn.random() < 0.8 else drawn.randrange(len(history))]
            before = files.load(0, steps)
            assert known(before) == (pairs, times)
            made = made_of(before, time, drawn, keys)
            steps = files.save(0, steps, time, made, made.changes(before), made.image)
            after = known(made)
        history.append((steps, *after))
    for steps, pairs, times in drawn.sample(history, 20):
        monkeypatch.setattr(stored, "cached_tables", drawn.choice(processes))
        version = files.load(0, steps)
        assert known(version) == (pairs, times)
        assert version.oldest_news() == min(times, default=None)
        image = files.image(steps)
        assert (list(rows_of(image.entries)), image.times is not None and image.times.tolist()) == (
            pairs,
            times,
        )
    assert max(len(steps) for steps, _, _ in history) <= changes_max + 5


@pytest.mark.parametrize("seed", range(3))
def test_lists_of_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    drawn = random.Random(seed)
    files = files_in(tmp_path, Listed())
    processes = [CachedTables() for _ in range(2)]
    pairs: list[Any] = [(key, 0) for key in range(20)]
    monkeypatch.setattr(stored, "cached_tables", processes[0])
    chunks: Any = [Rows(pairs)]
    steps = files.save(3, (), 0, chunks, None, partial(whole, chunks))
    for time in range(1, 30):
        monkeypatch.setattr(stored, "cached_tables", drawn.choice(processes))
        held = files.load(3, steps)
        assert list(rows_of(held)) == pairs
        pairs = [(k, v + 1 if drawn.random() < 0.2 else v) for k, v in pairs if drawn.random() < 0.95]
        pairs += [(time * 100 + at, 0) for at in range(drawn.randrange(3))]
        chunks = [Rows(list(pairs))] if pairs else []
        old = steps
        steps = files.save(3, old, time, chunks, difference(held, chunks), partial(whole, chunks))
        change = files.change(steps, old)
        assert change is None or not change.whole
        assert files.change(steps, ()) is None


def test_what_is_read_again_is_only_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = files_in(tmp_path, Versioned(expires=False))
    here, there = CachedTables(), CachedTables()
    reads: list[str] = []
    real = TableFiles._read
    monkeypatch.setattr(
        TableFiles, "_read", lambda self, file: (reads.append(file.name.split(".")[1]), real(self, file))[1]
    )
    pairs = Columns.from_rows([(key, key) for key in range(50_000)])
    version: Any = ColumnVersion.of_pairs(pairs, 0, expires=False)
    monkeypatch.setattr(stored, "cached_tables", here)
    way = [files.save(0, (), 0, version, None, version.image)]
    for time in range(1, 6):
        before = files.load(0, way[-1])
        with before.update(time) as update:
            update.put(time, -1)
        made = update.version
        way.append(files.save(0, way[-1], time, made, made.changes(before), made.image))
    assert reads == [], "it was in memory"
    monkeypatch.setattr(stored, "cached_tables", there)
    assert files.load(0, way[2]).get(2, None) == -1
    assert reads == ["image", "change", "change"]
    reads.clear()
    assert files.load(0, way[5]).get(5, None) == -1
    assert reads == ["change"] * 3
    reads.clear()
    assert files.load(0, way[2]).get(5, None) == 5, "the one before is still there, as it was"
    assert files.load(0, way[5]).get(5, None) == -1
    assert reads == []


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = CachedTables()
    monkeypatch.setattr(stored, "cached_tables", cache)
    pairs = Columns.from_rows([(key, key) for key in range(10_000)])
    version: Any = ColumnVersion.of_pairs(pairs, 0, expires=False)
    files = files_in(tmp_path, Versioned(expires=False), most_bytes=3 * version.nbytes)
    for partition in range(6):
        made: Any = ColumnVersion.of_pairs(pairs, 0, expires=False)
        steps = files.save(partition, (), 0, made, None, made.image)
        assert len(files.load(partition, steps)) == 10_000
    assert len(cache) == 3


def test_files_that_are_gone_or_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "cached_tables", CachedTables())
    files = files_in(tmp_path, Listed())
    steps = files.save(0, (), 0, [Rows([(1, 2)])], None, lambda: whole([Rows([(1, 2)])]))
    stored.cached_tables.clear()
    [path] = tmp_path.iterdir()
    data = path.read_bytes()
    path.write_bytes(data[:-1] + b"?")
    with pytest.raises(StateError, match="does not hold the state that was written there"):
        files.load(0, steps)
    path.unlink()
    with pytest.raises(StateError, match=r"is gone.*share"):
        files.load(0, steps)
    with pytest.raises(StateError, match="is not there for the process"):
        files_in(tmp_path / "missing", Listed()).save(0, (), 0, [], None, lambda: whole([]))
