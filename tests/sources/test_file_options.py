"""What decides when a new file is taken: depth, filters, limits, growth and pace; and what comes after."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.clock import ManualClock
from penstock.sources import AfterCommit, FilePath, FileSource, Limits
from penstock.sources.files.waiting import Pace
from penstock.storage import LocalStorage, Storage, storage_for
from penstock.storage.faulty import Fault, FaultyStorage
from penstock.times import BatchTime


class Run:
    """A source whose batches are a second apart; each is committed, unless told otherwise."""

    def __init__(
        self,
        folder: Path | str,
        storage: Storage | None = None,
        clock: ManualClock | None = None,
        before: Run | None = None,
        **options: Any,
    ) -> None:
        found, pattern = storage_for(folder)
        self.storage = storage or found
        self.clock = clock or ManualClock()
        limits = {name: options.pop(name) for name in list(options) if name in Limits.__dataclass_fields__}
        self.source = FileSource(
            self.storage, pattern, lambda info: [], clock=self.clock, limits=Limits(**limits), **options
        )
        self.intents: list[Any] = []
        self.failed: set[int] = set()
        self.position: Any = None
        if before is not None:
            self.source.restore(before.position, before.intents)
            self.source.resume(before.committed_ms, before.failed)
        self.source.open()
        self.position = self.source.position()
        self.committed_ms: int | None = None
        self.root = pattern

    def plan(self) -> list[str]:
        self.clock.advance(1000)
        intent = self.source.plan(BatchTime(self.clock.now_ms()))
        self.intents.append(intent)
        self.metadata = dict(intent.metadata)
        return [path.removeprefix(f"{self.root}/") for path, _, _ in intent.items]

    def end(self, *, committed: bool = True) -> None:
        time = BatchTime(self.clock.now_ms())
        self.source.processed(time, 0)
        if committed:
            self.source.committed(time)
        else:
            self.failed.add(time)
        self.committed_ms = time
        self.source.done(time)

    def tick(self) -> list[str]:
        found = self.plan()
        self.end()
        return found


def put(folder: Path, name: str, size: int = 1) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return path


def below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# ------------------------------------------------------------------------------------------- recursion


def test_all_depths_also_in_directories_that_come_later(tmp_path: Path) -> None:
    put(tmp_path, "old/a")
    run = Run(tmp_path, recursive=True)
    put(tmp_path, "b")
    put(tmp_path, "old/c")
    put(tmp_path, "new/deep/d")
    for hidden in (".x/e", "_y/f", "new/.z/g", "new/_SUCCESS"):
        put(tmp_path, hidden)
    assert run.tick() == ["b", "new/deep/d", "old/c"]
    put(tmp_path, "new/deep/er/h")
    assert [run.tick(), run.tick()] == [["new/deep/er/h"], []]
    assert Run(tmp_path, new_files_only=False).tick() == ["b"], "without it, only the directory itself"


def test_a_directory_that_is_moved_in_is_new_as_a_whole(tmp_path: Path) -> None:
    watched = tmp_path / "in"
    watched.mkdir()
    run = Run(watched, recursive=True)
    put(tmp_path, "out/x/a")
    (tmp_path / "out").rename(watched / "day")
    assert run.tick() == ["day/x/a"]
    (watched / "day").rename(watched / "night")
    assert run.tick() == ["night/x/a"]


def test_a_link_that_leads_back_is_not_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(tmp_path, "a/b/one")
    (tmp_path / "a/b/back").symlink_to(tmp_path / "a")
    run = Run(tmp_path, recursive=True, new_files_only=False)
    assert [run.tick(), run.tick()] == [["a/b/one"], []]
    assert caplog.text.count("leads back") == 1


class Closed(LocalStorage):
    """The file system, with directories that may not be read."""

    __slots__ = ("closed",)

    def __init__(self, *closed: Path) -> None:
        object.__setattr__(self, "closed", {str(path) for path in closed})

    def list_names(self, directory: str) -> Any:
        if directory in self.closed:
            raise PermissionError(13, "Permission denied", directory)
        return super().list_names(directory)


@pytest.mark.parametrize("pattern", ["", "d*"])
def test_a_directory_that_may_not_be_read_stops_nobody_else(
    tmp_path: Path, pattern: str, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, "d1/a")
    put(tmp_path, "d2/b")
    storage = Closed(tmp_path / "d2")
    run = Run(tmp_path / pattern, storage, recursive=True, new_files_only=False)
    run.root = str(tmp_path)
    assert [run.tick(), run.tick()] == [["d1/a"], []]
    assert caplog.text.count("d2 may not be read") == 1
    storage.closed.clear()
    assert [run.tick(), run.tick()] == [["d2/b"], []]
    storage.closed.add(str(tmp_path / "d2"))
    put(tmp_path, "d1/c")
    put(tmp_path, "d2/d")
    assert run.tick() == ["d1/c"]
    storage.closed.clear()
    assert [run.tick(), run.tick()] == [["d2/d"], []], "and what was taken before is not new"


@pytest.mark.parametrize("pattern", ["in", "{in,more}", "{in,more}/*.csv"])
def test_the_directory_that_was_named_must_be_one_that_may_be_read(tmp_path: Path, pattern: str) -> None:
    put(tmp_path, "in/a")
    put(tmp_path, "more/a")
    with pytest.raises(PermissionError):
        Run(tmp_path / pattern, Closed(tmp_path / "in"), recursive=True)


def test_a_still_tree_costs_a_stamp_for_each_directory(tmp_path: Path) -> None:
    for number in range(20):
        put(tmp_path, f"d{number}/old")
        os.utime(tmp_path / f"d{number}")
    storage = Stamped()
    run = Run(tmp_path, storage, recursive=True)
    for _ in range(4):
        assert run.tick() == []
    storage.calls.clear()
    assert run.tick() == []
    assert sorted(set(storage.calls)) == ["directory_stamp"]
    assert len(storage.calls) == 21


class Stamped(LocalStorage):
    """The file system, whose stamps are believed at once, and the calls of it that looking makes."""

    __slots__ = ("calls",)

    def __init__(self) -> None:
        object.__setattr__(self, "calls", [])

    def directory_stamp(self, directory: str) -> int | None:
        self.calls.append("directory_stamp")
        return os.stat(directory).st_ctime_ns

    def list_names(self, directory: str) -> Any:
        self.calls.append("list_names")
        return super().list_names(directory)

    def identity(self, directory: str) -> Any:
        self.calls.append("identity")
        return super().identity(directory)


# ------------------------------------------------------------------------------------------- filters


def test_a_filter_is_asked_once_for_each_file(tmp_path: Path) -> None:
    asked: list[str] = []

    def accepts(path: FilePath) -> bool:
        asked.append(path)
        return path.suffix == ".csv" and path.parent == str(tmp_path) and path.name.startswith("o")

    run = Run(tmp_path, accepts=accepts, max_files=1)
    for name in ("o1.csv", "x.csv", "o2.txt", "o3.csv"):
        put(tmp_path, name)
    assert [run.tick(), run.tick(), run.tick()] == [["o1.csv"], ["o3.csv"], []]
    assert sorted(asked) == sorted(str(tmp_path / name) for name in ("o1.csv", "x.csv", "o2.txt", "o3.csv"))
    assert len(run.position[str(tmp_path)]) == 0
    assert run.source.position() == {str(tmp_path): ["o1.csv", "o2.txt", "o3.csv", "x.csv"]}


@pytest.mark.parametrize("error", [ZeroDivisionError, FileNotFoundError])
def test_a_filter_that_raises_fails_the_batch_and_loses_nothing(
    tmp_path: Path, error: type[Exception]
) -> None:
    bad = True

    def accepts(path: FilePath) -> bool:
        if bad and path.name == "b":
            raise error
        return path.name != "c"

    run = Run(tmp_path, accepts=accepts)
    for name in "abcd":
        put(tmp_path, name)
    for _ in range(2):
        with pytest.raises(error):
            run.plan()
    bad = False
    assert [run.tick(), run.tick()] == [["a", "b", "d"], []]


def test_available_files_have_an_end_with_a_filter_that_raises_and_the_next_run_asks_again(
    tmp_path: Path,
) -> None:
    def accepts(path: FilePath) -> bool:
        if path.name == "b":
            raise ZeroDivisionError
        return True

    for name in "abc":
        put(tmp_path, name)
    run = Run(tmp_path, accepts=accepts, new_files_only=False)
    run.source.only_available()
    with pytest.raises(ZeroDivisionError):
        run.plan()
    assert [run.tick(), run.source.exhausted] == [["a", "c"], True]
    run.position = run.source.position()
    run.intents.clear()
    assert Run(tmp_path, before=run, new_files_only=False).tick() == ["b"]


# ------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"max_bytes": 10}, [["a", "b"], ["c"], ["d"], []]),
        ({"max_bytes": 1}, [["a"], ["b"], ["c"], ["d"]]),
        ({"max_bytes": 100}, [["a", "b", "c", "d"], [], [], []]),
        ({"max_bytes": 100, "max_files": 3}, [["a", "b", "c"], ["d"], [], []]),
        ({"max_bytes": 9, "max_files": 3}, [["a", "b"], ["c"], ["d"], []]),
    ],
)
def test_bytes_of_a_batch(tmp_path: Path, limits: dict[str, int], expected: list[list[str]]) -> None:
    run = Run(tmp_path, **limits)
    for name, size in {"a": 4, "b": 5, "c": 20, "d": 0}.items():
        put(tmp_path, name, size)
    assert [run.tick() for _ in range(4)] == expected


def test_a_pace_limits_bytes_once_it_is_known_what_a_record_costs(tmp_path: Path) -> None:
    run = Run(tmp_path, interval_ms=2000)
    run.source.pace(50)
    for number in range(8):
        put(tmp_path, f"{number}", 100)
    assert len(run.plan()) == 8, "nothing is known yet"
    run.source.processed(BatchTime(run.clock.now_ms()), 80)  # ten bytes a record
    run.end()
    run.source.pace(15)  # 300 bytes in 2 s
    for number in range(10, 18):
        put(tmp_path, f"{number}", 100)
    assert [len(run.tick()), len(run.tick())] == [3, 3]
    run.source.pace(0.001)
    assert [len(run.tick()), len(run.tick()), len(run.tick())] == [1, 1, 0]


def test_a_file_that_is_too_much_is_made_up_for_or_waited_for(tmp_path: Path) -> None:
    run = Run(tmp_path, interval_ms=1000)
    put(tmp_path, "first", 100)
    run.plan()
    learnt = BatchTime(run.clock.now_ms())
    run.source.processed(learnt, 10)  # ten bytes a record
    run.source.pace(10)  # 100 bytes a batch
    for number in range(6):
        put(tmp_path, f"{number}", 250)
    assert len(run.plan()) == 1
    busy = BatchTime(run.clock.now_ms())
    assert [len(run.plan()) for _ in range(4)] == [0, 1, 0, 0]  # -150, -50, 50 left: then another is taken
    for time in range(busy, run.clock.now_ms() + 1, 1000):
        run.source.processed(BatchTime(time), 25)
    assert len(run.plan()) == 1, "nothing is left to do, so it need not be made up for"


def test_at_most_so_many_bytes_wait_in_batches(tmp_path: Path) -> None:
    run = Run(tmp_path, most_waiting=100)
    for number in range(3):
        put(tmp_path, f"{number}", 60)
    assert len(run.plan()) == 3, "what was there while nothing waited"
    first = BatchTime(run.clock.now_ms())
    put(tmp_path, "late", 60)
    assert [len(run.plan()), len(run.plan())] == [0, 0]
    run.source.processed(first, 3)
    assert run.plan() == ["late"]


# ------------------------------------------------------------------------------------------- growth


def test_a_file_that_grows_waits_and_those_behind_it_do_not(tmp_path: Path) -> None:
    run = Run(tmp_path, stable_ms=2000)
    put(tmp_path, "a", 1)
    put(tmp_path, "b", 1)
    assert run.tick() == []
    assert run.metadata["growing"] == 2
    put(tmp_path, "a", 2)
    assert run.tick() == []
    assert run.tick() == ["b"]
    assert [run.tick(), run.tick()] == [["a"], []]


def test_what_waits_for_a_place_is_watched_meanwhile(tmp_path: Path) -> None:
    run = Run(tmp_path, stable_ms=3000, max_files=1)
    for name in "abc":
        put(tmp_path, name)
    assert [run.tick() for _ in range(6)] == [[], [], [], ["a"], ["b"], ["c"]]


def test_available_files_that_are_too_young_are_the_next_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    clock.set(100_000)
    for name, at_s in {"old": 90, "young": 99}.items():
        os.utime(put(tmp_path, name), (at_s, at_s))
    run = Run(tmp_path, clock=clock, stable_ms=5000, new_files_only=False)
    run.source.only_available()
    assert [run.tick(), run.source.exhausted] == [["old"], True]
    assert "1 files changed less than 5 s ago and are left for the next run" in caplog.text
    run.position = run.source.position()
    run.intents.clear()
    clock.advance(10_000)
    after = Run(tmp_path, clock=clock, before=run, stable_ms=5000, new_files_only=False)
    after.source.only_available()
    assert after.tick() == ["young"]


# ------------------------------------------------------------------------------------------- afterwards


def archiving(root: Path) -> AfterCommit:
    return AfterCommit("archive", str(root / "done"))


def test_files_are_deleted_once_their_batch_is_committed(tmp_path: Path) -> None:
    run = Run(tmp_path, after_commit=AfterCommit("delete"))
    put(tmp_path, "a")
    assert run.plan() == ["a"]
    assert below(tmp_path) == ["a"]
    run.end()
    assert below(tmp_path) == []
    put(tmp_path, "a")
    assert [run.tick(), run.tick()] == [["a"], []], "what comes under the name of a deleted file is new"


@pytest.mark.parametrize("pattern", ["", "*"])
def test_the_archive_is_never_read_by_whatever_path(tmp_path: Path, pattern: str) -> None:
    put(tmp_path, "real/x/a")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    archive = AfterCommit("archive", str(tmp_path / "real/done"))
    run = Run(tmp_path / "link" / pattern, recursive=True, new_files_only=False, after_commit=archive)
    run.root = str(tmp_path / "link")
    assert [run.tick() for _ in range(3)] == [["x/a"], [], []]
    assert below(tmp_path / "real") == ["done/x/a"]


def test_files_of_a_failed_batch_stay(tmp_path: Path) -> None:
    run = Run(tmp_path, after_commit=AfterCommit("delete"))
    put(tmp_path, "a")
    assert run.plan() == ["a"]
    run.end(committed=False)
    put(tmp_path, "b")
    assert run.tick() == ["b"]
    assert below(tmp_path) == ["a"]


def test_nothing_is_overwritten_in_the_archive_and_paths_are_kept(tmp_path: Path) -> None:
    run = Run(tmp_path, recursive=True, after_commit=archiving(tmp_path))
    for number in range(3):
        put(tmp_path, "a.csv.gz", number)
        put(tmp_path, "x/y/a", number)
        assert run.tick() == ["a.csv.gz", "x/y/a"]
    assert below(tmp_path) == [
        *(f"done/{name}" for name in ("a-1.csv.gz", "a-2.csv.gz", "a.csv.gz")),
        *(f"done/x/y/{name}" for name in ("a", "a-1", "a-2")),
    ]
    assert run.tick() == [], "the archive lies in the directory that is watched, and is not read"


def test_a_file_that_changed_after_it_was_read_is_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(tmp_path, after_commit=AfterCommit("delete"))
    put(tmp_path, "a", 1)
    run.plan()
    put(tmp_path, "a", 2)
    run.end()
    assert below(tmp_path) == ["a"]
    assert "changed after it was read, so it is not deleted" in caplog.text


def test_what_cannot_be_archived_now_is_archived_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage = FaultyStorage(LocalStorage(), [Fault(1, "rename_file"), Fault(2, "rename_file")])
    run = Run(tmp_path, storage, after_commit=archiving(tmp_path))
    put(tmp_path, "a")
    assert run.tick() == ["a"]
    assert [below(tmp_path), "will be tried again" in caplog.text] == [["a"], True]
    assert [run.tick(), below(tmp_path)] == [[], ["a"]]
    assert [run.tick(), below(tmp_path)] == [[], ["done/a"]]


def test_the_next_run_ends_what_the_last_one_could_not(tmp_path: Path) -> None:
    run = Run(tmp_path, after_commit=archiving(tmp_path))
    for name in ("a", "b", "c"):
        put(tmp_path, name)
        assert run.plan() == [name]
        if name != "c":  # committed, and then the process is gone
            run.committed_ms = run.clock.now_ms()
    put(tmp_path, "b", 7)  # archived by the dead perhaps, and come again: nothing tells
    after = Run(tmp_path, clock=run.clock, before=run, after_commit=archiving(tmp_path))
    assert below(tmp_path) == ["b", "c", "done/a"]
    after.source.committed(BatchTime(3000))  # the batch of c is run again
    after.source.done(BatchTime(3000))
    assert below(tmp_path) == ["b", "done/a", "done/c"]
    assert after.tick() == ["b"]
    assert below(tmp_path) == ["done/a", "done/b", "done/c"]


@pytest.mark.parametrize("moment", ["before", "half", "after"])
@pytest.mark.parametrize("url", [False, True])
def test_a_crash_within_the_archiving(tmp_path: Path, moment: Any, url: bool) -> None:
    root = f"memory://{tmp_path}/in" if url else str(tmp_path)
    inner, base = storage_for(root)
    inner.makedirs(base)
    storage = FaultyStorage(inner, [Fault(1, "rename_file", moment, lasting=True)])
    archive = AfterCommit("archive", f"{base}/done")
    run = Run(root, storage, after_commit=archive)
    inner.write_atomic(f"{base}/a", b"one")
    assert run.plan() == ["a"]
    run.end()
    after = Run(root, inner, clock=run.clock, before=run, after_commit=archive)
    assert inner.list_names(base).files == []
    assert inner.list_names(f"{base}/done").files == ["a"]
    assert inner.read(f"{base}/done/a") == b"one"
    inner.write_atomic(f"{base}/a", b"two")
    assert after.tick() == ["a"]
    assert sorted(inner.list_names(f"{base}/done").files) == ["a", "a-1"]


def test_a_name_that_came_again_is_settled_by_the_batch_that_took_it_last(tmp_path: Path) -> None:
    """After a restart what was archived long ago says nothing of the file that is there now."""
    watched = tmp_path / "in"
    watched.mkdir()
    run = Run(watched, after_commit=archiving(tmp_path))
    put(watched, "a", 1)
    assert run.tick() == ["a"]
    put(watched, "a", 2)
    assert run.plan() == ["a"], "of a batch that the next run runs again"
    after = Run(watched, clock=run.clock, before=run, after_commit=archiving(tmp_path))
    again = BatchTime(run.clock.now_ms())
    assert [after.plan(), below(watched)] == [[], ["a"]]
    after.source.committed(again)
    after.source.done(again)
    assert below(tmp_path) == ["done/a", "done/a-1"]


def test_a_file_of_a_batch_that_was_given_up_stays_whatever_was_there_before(tmp_path: Path) -> None:
    watched = tmp_path / "in"
    watched.mkdir()
    run = Run(watched, after_commit=archiving(tmp_path))
    put(watched, "a", 1)
    assert run.tick() == ["a"]
    put(watched, "a", 2)
    assert run.plan() == ["a"]
    run.end(committed=False)
    after = Run(watched, clock=run.clock, before=run, after_commit=archiving(tmp_path))
    assert [after.tick(), below(watched)] == [[], ["a"]]


def test_a_file_that_was_moved_back_from_the_archive_is_read_after_a_restart_too(tmp_path: Path) -> None:
    """It is what was read before, byte by byte and by its times, and yet it was put there to be read."""
    watched = tmp_path / "in"
    watched.mkdir()
    run = Run(watched, max_files=1, after_commit=archiving(tmp_path))
    put(watched, "b")
    assert [run.tick(), run.tick()] == [["b"], []]
    (tmp_path / "done/b").rename(watched / "b")
    put(watched, "a")
    assert run.tick() == ["a"], "and b waits"
    after = Run(watched, clock=run.clock, before=run, max_files=1, after_commit=archiving(tmp_path))
    assert after.tick() == ["b"]


def test_a_file_that_was_left_alone_is_not_read_again_after_a_restart(tmp_path: Path) -> None:
    run = Run(tmp_path, after_commit=AfterCommit("delete"))
    put(tmp_path, "a", 1)
    run.plan()
    put(tmp_path, "a", 2)
    run.end()
    assert run.tick() == []
    after = Run(tmp_path, clock=run.clock, before=run, after_commit=AfterCommit("delete"))
    assert [after.tick(), below(tmp_path)] == [[], ["a"]]


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("restart", [True, False])
def test_what_was_planned_for_a_batch_that_never_was_is_in_the_next(
    tmp_path: Path, committed: bool, restart: bool
) -> None:
    """As when another input could not be planned: no batch of that time is ever over."""
    run = Run(tmp_path, after_commit=AfterCommit("delete"))
    put(tmp_path, "a")
    assert run.plan() == ["a"]
    run.clock.advance(1000)
    if restart:
        run.committed_ms = run.clock.now_ms()
        run.failed = set() if committed else {run.clock.now_ms()}
        Run(tmp_path, clock=run.clock, before=run, after_commit=AfterCommit("delete"))
    else:
        run.end(committed=committed)
    assert below(tmp_path) == ([] if committed else ["a"])


def test_the_pace_counts_what_was_planned_for_a_batch_that_never_was() -> None:
    pace = Pace(interval_ms=1000, most_waiting=100)
    pace.allow(1)
    pace.planned(1000, 300)
    assert pace.room() == 0
    pace.counted(2000, 30)
    assert [pace.waiting, pace.room()] == [0, 10], "ten bytes a record, as in the file"


@pytest.mark.parametrize("moment", ["half", "after"])
def test_what_was_copied_and_not_removed_is_not_copied_again(tmp_path: Path, moment: Any) -> None:
    inner, base = storage_for(f"memory://{tmp_path}/in")
    storage = FaultyStorage(inner, [Fault(1, "rename_file", moment)])
    inner.write_atomic(f"{base}/a", b"one")
    run = Run(
        f"memory://{tmp_path}/in", storage, new_files_only=False,
        after_commit=AfterCommit("archive", f"{base}/done"),
    )  # fmt: skip
    assert [run.tick(), run.tick()] == [["a"], []]
    assert inner.list_names(base).files == []
    assert inner.list_names(f"{base}/done").files == ["a"]


def test_an_archive_that_is_not_there_is_not_asked_for_every_file(tmp_path: Path) -> None:
    storage = FaultyStorage(LocalStorage(), [Fault(at, "rename_file") for at in (1, 2, 3)])
    run = Run(tmp_path, storage, after_commit=archiving(tmp_path))
    for number in range(10):
        put(tmp_path, f"{number}")
    run.tick()
    assert sum(call.operation == "rename_file" for call in storage.calls) == 3
    assert len(below(tmp_path)) == 10
    assert run.tick() == []
    assert below(tmp_path) == [f"done/{number}" for number in range(10)]


# ------------------------------------------------------------------------------------------- a model

EVENTS = ["appear", "grow", "vanish", "move", "look", "fail", "restart", "look", "appear", "again"]


@given(seed=st.integers(0, 2**32))
def test_each_file_once_whatever_happens(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Files appear, grow, go and are moved, and come again under names of old; batches fail, programs
    restart. Every file that stays is in exactly one batch, as it was then; a filter and the limits hold, and
    so does what is to become of it."""
    chance = random.Random(seed)
    root = tmp_path_factory.mktemp("model")
    folder = root / "in"
    folder.mkdir()
    stable = chance.choice([0, 0, 2000])
    after = chance.choice([None, AfterCommit("delete"), AfterCommit("archive", str(folder / "done"))])
    limits = {
        "max_files": chance.choice([None, 1, 2]),
        "max_bytes": chance.choice([None, 5]),
        "accepts": chance.choice([None, lambda path: not path.name.endswith("9")]),
    }
    options: dict[str, Any] = {
        "recursive": chance.random() < 0.5, "stable_ms": stable, "after_commit": after, **limits
    }  # fmt: skip
    clock = ManualClock()
    run = Run(folder, clock=clock, new_files_only=False, **options)
    number = 0
    alive: dict[str, int] = {}  # by path: its size, of those that were not read yet
    read: list[str] = []
    kept: list[str] = []  # of the batches that were committed
    failed: set[str] = set()
    made: Counter[str] = Counter()

    def look(committed: bool = True) -> None:
        found = run.plan()
        size = sum(size for _, size, _ in run.intents[-1].items)
        assert limits["max_files"] is None or len(found) <= limits["max_files"]
        assert limits["max_bytes"] is None or len(found) <= 1 or size <= limits["max_bytes"]
        for path, planned, _ in run.intents[-1].items:
            name = path.removeprefix(f"{folder}/")
            assert planned == alive.pop(name), "as it is now"
            assert options["recursive"] or "/" not in name
            assert limits["accepts"] is None or not name.endswith("9")
            read.append(name)
        if committed:
            kept.extend(found)
        else:
            failed.update(found)
        run.end(committed=committed)
        for name in found:
            assert (folder / name).exists() == (after is None or not committed)

    for _ in range(chance.randrange(5, 40)):
        event = chance.choice(EVENTS)
        if event == "appear":
            number += 1
            name = f"{chance.choice(['', 'x/', 'x/y/', 'z/'])}{number}"
            alive[name] = chance.randrange(5)
            put(folder, name, alive[name])
        elif event == "again" and kept and after is not None:
            name = chance.choice(kept)
            if not (folder / name).exists():
                alive[name] = chance.randrange(5)
                put(folder, name, alive[name])
                made[name] += 1
        elif event == "grow" and alive:
            name = chance.choice(sorted(alive))
            alive[name] += 1
            put(folder, name, alive[name])
        elif event == "vanish" and alive:
            name = chance.choice(sorted(alive))
            del alive[name]
            (folder / name).unlink()
        elif event == "move" and alive:
            name = chance.choice(sorted(alive))
            number += 1
            (folder / name).rename(folder / f"{number}")
            alive[f"{number}"] = alive.pop(name)
        elif event in ("look", "fail"):
            look(committed=event == "look")
        elif event == "restart":
            if chance.random() < 0.5:
                run.position, run.intents = run.source.position(), []
            run = Run(folder, clock=clock, before=run, new_files_only=False, **options)
    for _ in range(60):
        look()
    left = [name for name in alive if options["recursive"] or "/" not in name]
    assert all(limits["accepts"] is not None and name.endswith("9") for name in left), left
    assert all(count <= 1 + made[name] for name, count in Counter(read).items()), "no file twice"
    assert all((folder / name).exists() for name in failed), "files of failed batches stay"
    if after is not None and after.archive:
        done = Path(after.archive)
        archived = [name.partition("-")[0] for name in (below(done) if done.exists() else [])]
        assert sorted(archived) == sorted(kept)
