"""One growing set of files: what each kind of reader sees, always."""

from __future__ import annotations

import io
import itertools
import json
import os
import random
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import polars as pl
import pyarrow.parquet as pq
import pytest

from penstock import Context, files_of_set
from penstock.clock import ManualClock
from penstock.dstream import DStream
from penstock.errors import ArgumentError, CorruptInput, RowTypeError, SignatureError
from penstock.rdd import RDD
from penstock.sinks import CsvFormat, FileSet, JsonFormat, ParquetFormat, PartFormat, Rolling, TextFormat
from penstock.sinks import file_set as module
from penstock.sinks import manifest as manifests
from penstock.sinks.manifest import Entry, Manifest, State
from penstock.storage import Storage, join, storage_for
from penstock.storage.faulty import Fault, FaultyStorage, Moment
from penstock.storage.resolve import wrapping
from penstock.testing import crash_everywhere, run_batches

MINUTE = 60_000
BIG = 1 << 30


@pytest.fixture(params=["local", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "local":
        yield str(tmp_path / "set")
        return
    root = f"memory:///{uuid.uuid4().hex}"
    yield root
    storage, path = storage_for(root)
    storage.remove_tree(path)


def format_of(kind: str) -> PartFormat:
    if kind == "parquet":
        return ParquetFormat("saveAsFileSet", schema=int)
    if kind == "csv":
        return CsvFormat("saveAsFileSet", header=True, sep=",", codec=None)
    made = JsonFormat("saveAsFileSet", codec=None) if kind == "json" else TextFormat(None, "saveAsFileSet")
    made.extension = f".{kind}"
    return made


class Writer:
    """Adds batches of numbers to a set."""

    def __init__(
        self,
        sc: Context,
        place: str,
        kind: str = "parquet",
        *,
        max_bytes: int = BIG,
        max_age_ms: int = 3,
        grace_ms: int = 10 * MINUTE,
        retain_ms: int | None = None,
        clock: ManualClock | None = None,
        name: str = "",
    ) -> None:
        rolling = Rolling(max_bytes, max_age_ms, grace_ms, retain_ms)
        self.set = FileSet(place, format_of(kind), kind, rolling, name, clock or ManualClock())
        self._sc = sc

    def add(
        self, batch: int, numbers: list[int] | None = None, run: str = "run", partitions: int = 2
    ) -> bool:
        records = numbers_of(batch) if numbers is None else numbers
        return self.set.write(self._sc, self._sc.parallelize(records, partitions).plan, batch, run)


def numbers_of(batch: int) -> list[int]:
    return [batch * 10 + number for number in range(3)]


def read(paths: list[str]) -> list[int]:
    """What a reader makes of files."""
    found: list[int] = []
    for path in paths:
        storage, name = storage_for(path)
        data = storage.read(name)
        if name.endswith(".parquet"):
            found += pq.read_table(io.BytesIO(data)).column("value").to_pylist()
        elif name.endswith(".json"):
            found += [json.loads(line)["value"] for line in data.splitlines()]
        else:
            found += [int(line) for line in data.splitlines() if line != b"value"]
    return found


def read_text(url: str) -> str:
    storage, path = storage_for(url)
    return storage.read(path).decode()


def exact(place: str) -> list[int]:
    return read(files_of_set(place))


def plain(place: str) -> list[int]:
    """What somebody sees who knows of no manifest."""
    storage, path = storage_for(place)
    return read([storage.url(info.path) for info in storage.glob(join(path, "*.*"))])


# ------------------------------------------------------------------------------------- what is there


@pytest.mark.parametrize("kind", ["parquet", "csv", "json", "text"])
def test_every_record_is_there_once_and_sealed_in_time(sc: Context, place: str, kind: str) -> None:
    writer = Writer(sc, place, kind)
    for batch in range(1, 11):
        writer.add(batch, [] if batch == 5 else None)
        expected = [number for done in range(1, batch + 1) if done != 5 for number in numbers_of(done)]
        assert sorted(exact(place)) == expected
        assert sorted(plain(place)) == expected[: len(plain(place))]
    sealed = (1, 2, 3, 4, 6, 7, 8, 9)
    assert sorted(plain(place)) == [number for batch in sealed for number in numbers_of(batch)]
    names = [path.rpartition("/")[2] for path in files_of_set(place)]
    assert [name.rpartition("-")[0] for name in names[:2]] == ["part-1-4", "part-6-9"]
    csv = [path for path in files_of_set(place) if path.endswith(".csv")]
    for path in csv:
        storage, name = storage_for(path)
        assert storage.read(name).count(b"value") == 1


def test_small_files_are_merged_in_steps(sc: Context, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FAN", 4)
    writer = Writer(sc, place, "text", max_age_ms=BIG)
    for batch in range(1, 101):
        writer.add(batch, partitions=1)
        assert len(files_of_set(place)) <= 12
        assert plain(place) == []
    assert exact(place) == [number for batch in range(1, 101) for number in numbers_of(batch)]


def test_a_size_is_kept_to(sc: Context, place: str) -> None:
    writer = Writer(sc, place, "text", max_bytes=2000, max_age_ms=BIG)
    for batch in range(1, 41):
        writer.add(batch, list(range(batch * 100, batch * 100 + 60)))
    storage, path = storage_for(place)
    sizes = [info.size for info in storage.glob(join(path, "*.text"))]
    assert len(sizes) > 3
    assert all(2000 <= size < 2600 for size in sizes)
    assert sorted(exact(place)) == sorted(
        number for batch in range(1, 41) for number in range(batch * 100, batch * 100 + 60)
    )


def test_a_large_batch_is_cut(sc: Context, place: str) -> None:
    Writer(sc, place, "text", max_bytes=300_000).add(1, list(range(200_000)))
    assert sorted(exact(place)) == list(range(200_000))
    assert len(files_of_set(place)) == 3, "two sealed ones, and what is left"


def test_a_batch_is_added_once(sc: Context, place: str) -> None:
    writer = Writer(sc, place)
    assert writer.add(1)
    assert not writer.add(1)
    assert not Writer(sc, place).add(1), "in the next life neither"
    assert Writer(sc, place, name="another output").add(1)
    assert writer.add(1, run="another run")
    assert sorted(exact(place)) == sorted(3 * numbers_of(1))


def test_what_was_merged_stays_for_the_grace(sc: Context, place: str) -> None:
    clock = ManualClock()
    writer = Writer(sc, place, clock=clock, grace_ms=MINUTE)
    for batch in (1, 2):
        writer.add(batch)
    old = files_of_set(place)
    writer.add(5)  # seals
    assert files_of_set(place) != old
    assert sorted(read(old)) == numbers_of(1) + numbers_of(2)
    clock.set(MINUTE - 1)
    writer.add(6)
    assert sorted(read(old)) == numbers_of(1) + numbers_of(2)
    clock.set(MINUTE + 1)
    writer.add(7)
    with pytest.raises(FileNotFoundError):
        read(old)
    assert sorted(exact(place)) == [number for batch in (1, 2, 5, 6, 7) for number in numbers_of(batch)]


def test_retention(sc: Context, place: str) -> None:
    clock = ManualClock()
    writer = Writer(sc, place, retain_ms=10, max_age_ms=2, grace_ms=0, clock=clock)
    for batch in range(1, 51):
        clock.set(batch)
        writer.add(batch)
        assert set(exact(place)) >= {
            n for done in range(max(1, batch - 10), batch + 1) for n in numbers_of(done)
        }
    assert min(exact(place)) >= 380
    storage, path = storage_for(place)
    assert len(storage.glob(join(path, "*.parquet"))) < 10


def test_the_manifest_stays_small(sc: Context, place: str) -> None:
    storage, path = storage_for(place)
    manifest = Manifest(storage, path)
    state = manifest.load() or State("text")
    for batch in range(125):
        entries = [Entry(f"part-{20 * batch + file}", 1, 1, batch, batch, "") for file in range(20)]
        assert manifest.commit(state.with_batch("run/", batch, entries))
        found = manifest.load()
        assert found is not None
        state = found
    assert len(state.files) < 2000
    assert len(state.done["run/"]) == 100
    names = storage.list_names(join(path, "_manifest")).files
    assert len([name for name in names if name[0].isdigit()]) <= 40
    assert [url.rpartition("-")[2] for url in files_of_set(place)] == [str(file) for file in range(2500)]


def test_retention_of_more_files_than_a_version_holds(
    sc: Context, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifests, "_SEGMENT", 3)
    clock = ManualClock()
    writer = Writer(sc, place, "text", retain_ms=30, max_age_ms=2, grace_ms=5, clock=clock)
    for batch in range(1, 101):
        clock.set(batch)
        writer.add(batch)
        found = set(exact(place))
        assert found >= {n for done in range(max(1, batch - 30), batch + 1) for n in numbers_of(done)}
    assert min(found) >= 10 * (100 - 30 - 3 * 4)
    storage, path = storage_for(place)
    assert len(storage.glob(join(path, "*.text"))) < 25
    assert len(storage.glob(join(path, "_manifest/sealed-*"))) < 12


# --------------------------------------------------------------------------------- several at a time


def test_writers_at_the_same_time_lose_nothing(sc: Context, place: str, seed: int) -> None:
    errors: list[BaseException] = []

    def write(name: str, first: int) -> None:
        writer = Writer(sc, place, "text", name=name, max_age_ms=5)
        try:
            for batch in range(first, first + 10):
                writer.add(batch, partitions=1)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(name, 100 * index)) for index, name in enumerate("abc")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    expected = sorted(n for index in range(3) for batch in range(10) for n in numbers_of(100 * index + batch))
    assert sorted(exact(place)) == expected


def test_a_writer_that_was_asleep_for_long_adds_to_the_newest_version(place: str) -> None:
    storage, path = storage_for(place)
    sleeper, other = Manifest(storage, path), Manifest(storage, path)
    assert other.commit(State("text"))
    old = sleeper.load()
    assert old is not None
    for batch in range(60):
        state = other.load()
        assert state is not None
        assert other.commit(state.with_batch("other", batch, []))
    assert not sleeper.commit(old.with_batch("sleeper", 1, []))
    again = sleeper.load()
    assert again is not None
    assert sleeper.commit(again.with_batch("sleeper", 1, []))
    last = other.load()
    assert last is not None
    assert last.done["sleeper"] == (1,)
    assert last.done["other"][-1] == 59


def test_a_first_version_that_comes_late_is_none(place: str) -> None:
    storage, path = storage_for(place)
    sleeper, other = Manifest(storage, path), Manifest(storage, path)
    assert sleeper.load() is None
    for batch in range(60):
        assert other.commit((other.load() or State("text")).with_batch("other", batch, []))
    assert not sleeper.commit(State("text").with_batch("sleeper", 1, []))
    again = sleeper.load()
    assert again is not None
    assert sleeper.commit(again.with_batch("sleeper", 1, []))
    last = other.load()
    assert last is not None
    assert last.done["sleeper"] == (1,)
    assert last.done["other"][-1] == 59


@pytest.mark.parametrize("header", [True, False])
def test_who_merges_may_write_other_headers(sc: Context, place: str, header: bool) -> None:
    for number, own in enumerate([header, header, header, not header, not header], 1):
        format = CsvFormat("saveAsFileSet", header=own, sep=",", codec=None)
        output = FileSet(place, format, "csv", Rolling(BIG, 3, 0, None), "", ManualClock())
        output.write(sc, sc.parallelize(numbers_of(number), 2).plan, 10 if number == 4 else number, "run")
    texts = [read_text(path) for path in files_of_set(place)]
    assert sum(text.count("value") for text in texts) == sum(text.startswith("value") for text in texts)
    assert sorted(exact(place)) == [n for number in range(1, 6) for n in numbers_of(number)]


# ------------------------------------------------------------------------------------------- crashes


def life(sc: Context, place: str, batches: int) -> None:
    writer = Writer(sc, place, "text", max_age_ms=2, grace_ms=0, clock=ManualClock())
    for batch in range(1, batches + 1):
        writer.add(batch)


def every_fault() -> Iterator[tuple[int, Moment]]:
    return ((call, moment) for call in itertools.count(1) for moment in get_args(Moment))


@pytest.mark.parametrize("lasting", [False, True], ids=["error", "crash"])
def test_whatever_fails_each_record_is_there_once(sc: Context, place: str, lasting: bool) -> None:
    everything = [number for batch in range(1, 5) for number in numbers_of(batch)]
    for call, moment in itertools.islice(every_fault(), 0, None, 2):
        here, where = f"{place}/{call}-{moment}", f"{moment} call {call}"
        made: dict[Storage, FaultyStorage] = {}

        def wrap(storage: Storage, call: int = call, moment: Moment = moment, made: Any = made) -> Storage:
            if storage not in made:
                made[storage] = FaultyStorage(storage, [Fault(call, moment=moment, lasting=lasting)])
            return made[storage]

        try:
            with wrapping(wrap):
                life(sc, here, 4)
            failed = False
        except OSError:
            failed = True
        storage, path = storage_for(here)
        if storage.exists(join(path, "_manifest")):
            seen = exact(here) if Manifest(storage, path).load() is not None else []
            assert len(set(seen)) == len(seen), where
            assert set(seen) == set(everything[: len(seen)]), where
            assert len(seen) % 3 == 0, f"{where}: half a batch"
            visible = plain(here)
            assert len(set(visible)) == len(visible), where
            assert set(visible) <= set(seen), where
        life(sc, here, 4)
        assert sorted(exact(here)) == everything, where
        visible = plain(here)
        assert len(set(visible)) == len(visible), where
        assert set(visible) >= set(everything[:3]), where
        if not failed and max(len(each.calls) for each in made.values()) < call:
            assert call > 30
            return


@pytest.mark.usefixtures("sc")
def test_a_program_crashed_at_every_step() -> None:
    def build(stream: DStream, folder: str) -> None:
        stream.saveAsFileSet(f"{folder}/.set", "json", maxFileAge=1, grace=0.001)

        def look(time: Any, rdd: RDD) -> None:
            name = Path(folder, f"seen-{time.timestamp():.0f}")
            name.write_text(repr(sorted(exact(f"{folder}/.set"))) + repr(sorted(plain(f"{folder}/.set"))))

        stream.foreachRDD(look)

    crashes = crash_everywhere(build, [[1], [2, 3], [], [4]], every=37, twice=2)
    assert len(crashes.points) > 8


def test_what_runs_left_that_never_came_back_is_removed(sc: Context, tmp_path: Path) -> None:
    place = str(tmp_path / "set")
    clock = ManualClock()
    Writer(sc, place, clock=clock).add(1)
    orphan, fresh = tmp_path / "set/_recent/9-dead.parquet", tmp_path / "set/_recent/9-fresh.parquet"
    for path in (orphan, fresh):
        path.write_bytes(b"half")
    os.utime(orphan, (1, 1))
    clock.set(round(fresh.stat().st_mtime * 1000))
    Writer(sc, place, clock=clock).add(2)
    assert not orphan.exists()
    assert fresh.exists()


# ------------------------------------------------------------------------------------- other readers


def test_polars_reads_both_ways(sc: Context, tmp_path: Path) -> None:
    folder = str(tmp_path / "orders")
    batches = [[(n, f"name {n}") for n in range(b * 10, b * 10 + 5)] for b in range(8)]
    run_batches(batches, lambda s: s.saveAsFileSet(folder, maxFileAge=3, schema=tuple[int, str]))
    everything = [record for batch in batches for record in batch]
    assert sorted(pl.read_parquet(files_of_set(folder)).rows()) == everything
    sealed = sorted(pl.read_parquet(f"{folder}/*.parquet").rows())
    assert sealed == everything[: len(sealed)]
    assert len(sealed) >= 15


@pytest.mark.usefixtures("sc")
def test_records_of_other_types_are_files_of_their_own(tmp_path: Path) -> None:
    folder = str(tmp_path / "set")
    run_batches([[1], [2], ["a"], ["b"], []], lambda s: s.saveAsFileSet(folder, maxFileAge=100))
    kinds = [pq.read_schema(path).field("value").type for path in files_of_set(folder)]
    assert [str(kind) for kind in kinds] == ["int64", "string", "string"]


def test_another_format_is_refused(sc: Context, place: str) -> None:
    Writer(sc, place, "text").add(1)
    with pytest.raises(ArgumentError, match="is a set of text files, and csv was to be added"):
        Writer(sc, place, "csv").add(2)


def test_a_record_that_does_not_fit_adds_nothing(sc: Context, place: str) -> None:
    writer = Writer(sc, place)
    writer.add(1)
    with pytest.raises(RowTypeError):
        writer.add(2, [1, "a"])  # type: ignore[list-item]
    assert sorted(exact(place)) == numbers_of(1)


def test_no_set_and_a_damaged_one(place: str) -> None:
    with pytest.raises(ArgumentError, match="is no set of files"):
        files_of_set(place)
    storage, path = storage_for(place)
    storage.makedirs(join(path, "_manifest"))
    storage.write_atomic(join(path, f"_manifest/{1:020d}.json"), b"{}")
    with pytest.raises(CorruptInput, match="is no manifest"):
        files_of_set(place)


@pytest.mark.usefixtures("sc")
@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"format": "orc"}, ArgumentError),
        ({"maxFileBytes": 0}, ArgumentError),
        ({"maxFileBytes": "much"}, ArgumentError),
        ({"maxFileAge": -1}, ArgumentError),
        ({"directory": ""}, SignatureError),
        ({"name": 7}, SignatureError),
        ({"compression": "zip"}, ArgumentError),
    ],
)
def test_arguments_that_will_not_do(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        run_batches([[1]], lambda s: s.saveAsFileSet(**{"directory": "nowhere", **options}))


@pytest.mark.usefixtures("sc")
def test_two_outputs_into_one_set_need_names(tmp_path: Path) -> None:
    folder = str(tmp_path / "set")

    def build(stream: DStream, name: str = "", place: str = folder) -> None:
        stream.saveAsFileSet(folder, "text")
        stream.map(lambda n: -n).saveAsFileSet(place, "text", name=name)

    with pytest.raises(ArgumentError, match="writes to the set in"):
        run_batches([[1]], build)
    with pytest.raises(ArgumentError, match="which may be the same"):
        run_batches([[1]], lambda s: build(s, place=f"{folder}/./"))
    run_batches([[1]], lambda s: build(s, "negative"))
    assert sorted(exact(folder)) == [-1, 1]


@pytest.mark.long
def test_readers_all_the_time(sc: Context, tmp_path: Path, seed: int) -> None:
    """While a writer adds, merges and tidies, readers see whole batches, each once."""
    place = str(tmp_path / "set")
    writer = Writer(sc, place, "text", max_age_ms=5)
    writer.add(1)
    over = threading.Event()
    problems: list[str] = []

    def look() -> None:
        chance = random.Random(seed)
        while not over.is_set():
            found = exact(place) if chance.random() < 0.5 else plain(place)
            if len(set(found)) != len(found) or len(found) % 3:
                problems.append(repr(sorted(found)))

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for batch in range(2, 600):
        writer.add(batch)
    over.set()
    for thread in threads:
        thread.join()
    assert problems == []
