"""The source of new files, on a storage made for the test: what it takes, misses never, and costs."""

from __future__ import annotations

import errno
import os
import tracemalloc
from collections.abc import Callable
from itertools import count
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from penstock.clock import ManualClock, SystemClock
from penstock.sources import FileSource
from penstock.sources.files import looking
from penstock.sources.files.waiting import Limits
from penstock.storage import FileInfo, LocalStorage, Names, Storage, local
from penstock.times import BatchTime


class Directories(LocalStorage):
    """Directories in memory, with a clock that ticks when it is told to, and calls that fail when told to."""

    __slots__ = ("calls", "dirs", "fail", "now", "stamps", "tells", "versions")

    def __init__(self, *names: str) -> None:
        for name, value in {
            "dirs": {name: {} for name in names},
            "stamps": {},
            "now": 1,
            "calls": [],
            "fail": {},
            "tells": True,
            "versions": count(1),
        }.items():
            object.__setattr__(self, name, value)

    def tick(self) -> None:
        object.__setattr__(self, "now", self.now + 1)

    def put(self, path: str, size: int = 1) -> None:
        above, _, name = path.rpartition("/")
        if name not in self.dirs[above]:
            self.stamps[above] = self.now
        self.dirs[above][name] = FileInfo(path, size, next(self.versions))

    def take_away(self, path: str) -> None:
        above, _, name = path.rpartition("/")
        del self.dirs[above][name]
        self.stamps[above] = self.now

    def _called(self, call: str, path: str) -> None:
        self.calls.append(call)
        if path in self.fail:
            raise OSError(self.fail[path], os.strerror(self.fail[path]), path)

    def directory_stamp(self, directory: str) -> int | None:
        self._called("stamp", directory)
        if directory == "/":
            return None
        if directory not in self.dirs:
            raise FileNotFoundError(directory)
        return self.stamps.setdefault(directory, self.now) if self.tells else 1

    def list_names(self, directory: str) -> Names:
        self._called("list", directory)
        if directory == "/":
            return Names([], [path[1:] for path in self.dirs])
        if directory not in self.dirs:
            raise FileNotFoundError(directory)
        return Names(list(self.dirs[directory]), [])

    def stat(self, path: str) -> FileInfo:
        self._called("stat", path)
        if path in self.dirs:
            return FileInfo(path, 0, 0, True)
        try:
            return self.dirs[path.rpartition("/")[0]][path.rpartition("/")[2]]
        except KeyError:
            raise FileNotFoundError(path) from None

    def glob(self, pattern: str) -> list[FileInfo]:
        assert pattern == "/", "the only directory with directories"
        return [FileInfo("/", 0, 0, True)]


class Details(Directories):
    """The same, as a store where a listing tells all and a stamp is not to be had."""

    __slots__ = ()
    lists_details = True

    def directory_stamp(self, directory: str) -> None:
        return None

    def list_directory(self, directory: str) -> list[FileInfo]:
        names = self.list_names(directory)
        below = [FileInfo(f"/{name}", 0, 0, True) for name in names.directories]
        return [*below, *(self.dirs[directory][name] for name in sorted(names.files))]


class Run:
    """A source whose batches are a second apart."""

    def __init__(self, storage: Storage, pattern: str = "/in", **options: object) -> None:
        self.clock = ManualClock()
        limits = {name: options.pop(name) for name in list(options) if name in Limits.__dataclass_fields__}
        options["limits"] = Limits(**limits)  # type: ignore[arg-type]
        self.source = FileSource(storage, pattern, lambda info: [], clock=self.clock, **options)  # type: ignore[arg-type]
        self.source.open()
        self.metadata: dict[str, object] = {}

    def tick(self) -> list[str]:
        """The paths of the next batch."""
        self.clock.advance(1000)
        intent = self.source.plan(BatchTime(self.clock.now_ms()))
        self.metadata = dict(intent.metadata)
        self.source.done(BatchTime(self.clock.now_ms()))
        return [path for path, _, _ in intent.items]

    def settle(self) -> None:
        """Batches until an unchanged directory is believed."""
        assert [self.tick() for _ in range(4)] == [[]] * 4


@pytest.fixture(params=[Directories, Details])
def storage(request: pytest.FixtureRequest) -> Directories:
    made: Directories = request.param("/in")
    return made


# ----------------------------------------------------------------------------------- what is taken


def test_each_new_file_is_taken_once_in_the_order_of_paths(storage: Directories) -> None:
    storage.put("/in/old")
    run = Run(storage)
    for name in ("c", "a", "B"):
        storage.put(f"/in/{name}")
    assert run.tick() == ["/in/B", "/in/a", "/in/c"]
    assert run.metadata == {"files": ["/in/B", "/in/a", "/in/c"], "waiting": 0, "changed": 0}
    run.settle()
    storage.tick()
    storage.put("/in/0")
    assert run.tick() == ["/in/0"]


def test_what_was_there_is_taken_if_asked_for(storage: Directories) -> None:
    storage.put("/in/old")
    run = Run(storage, new_files_only=False)
    storage.put("/in/new")
    assert run.tick() == ["/in/old", "/in/new"], "what was there first goes first"
    run.settle()


def test_hidden_files_are_left_alone_until_they_are_renamed(storage: Directories) -> None:
    run = Run(storage)
    for name in (".a", "_b", "c._COPYING_"):
        storage.put(f"/in/{name}")
    assert run.tick() == []
    for old, new in ((".a", "a"), ("_b", "b"), ("c._COPYING_", "c")):
        storage.take_away(f"/in/{old}")
        storage.put(f"/in/{new}")
    assert run.tick() == ["/in/a", "/in/b", "/in/c"]
    run.settle()


def test_the_others_wait_in_line(storage: Directories) -> None:
    run = Run(storage, max_files=2)
    for name in "edc":
        storage.put(f"/in/{name}")
    assert run.tick() == ["/in/c", "/in/d"]
    assert run.metadata["waiting"] == 1
    storage.tick()
    storage.put("/in/a")
    storage.put("/in/b")
    assert [run.tick(), run.tick(), run.tick()] == [["/in/e", "/in/a"], ["/in/b"], []]


def test_a_file_that_went_and_came_back_is_new(storage: Directories) -> None:
    storage.put("/in/old")
    run = Run(storage)
    for _ in range(3):
        storage.tick()
        storage.take_away("/in/old")
        assert run.tick() == []
        storage.tick()
        storage.put("/in/old")
        assert run.tick() == ["/in/old"]


def test_a_file_that_went_and_came_back_while_it_waited_is_taken_once(storage: Directories) -> None:
    run = Run(storage, max_files=1)
    storage.put("/in/a")
    storage.put("/in/b")
    storage.put("/in/c")
    assert run.tick() == ["/in/a"]
    storage.take_away("/in/c")
    assert run.tick() == ["/in/b"]
    storage.put("/in/c")
    assert [run.tick(), run.tick(), run.tick()] == [["/in/c"], [], []]


def test_a_directory_may_come_later_go_and_come_back(storage: Directories) -> None:
    del storage.dirs["/in"]
    run = Run(storage)
    assert run.tick() == []
    for _ in range(2):
        storage.tick()
        storage.dirs["/in"] = {}
        storage.put("/in/a")
        assert run.tick() == ["/in/a"], "all that is in a directory that comes is new"
        assert run.tick() == []
        del storage.dirs["/in"]
        assert run.tick() == []


def test_a_glob_takes_directories_that_come_later(storage: Directories) -> None:
    storage.put("/in/old")
    run = Run(storage, "/*")
    storage.dirs["/more"] = {}
    storage.dirs["/_hidden"] = {}
    for path in ("/more/x", "/in/y", "/_hidden/z"):
        storage.put(path)
    assert run.tick() == ["/in/y", "/more/x"]
    del storage.dirs["/more"]
    assert run.tick() == []
    storage.dirs["/more"] = {}
    storage.put("/more/x")
    assert run.tick() == ["/more/x"]


# ----------------------------------------------------------------------------------- what vanishes


def test_a_file_that_goes_before_it_is_taken_is_no_part_of_a_batch(
    storage: Directories, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(storage, max_files=1)
    storage.put("/in/a")
    storage.put("/in/b")
    assert run.tick() == ["/in/a"]
    storage.take_away("/in/b")
    assert run.tick() == []
    assert "/in/b went away before it was taken" in caplog.text
    storage.put("/in/b")
    assert run.tick() == ["/in/b"], "and it is new when it comes back"


def test_a_file_that_goes_between_the_listing_and_the_look_at_it_is_new_when_it_is_back() -> None:
    storage = Directories("/in")
    run = Run(storage)
    storage.put("/in/a")
    storage.fail["/in/a"] = errno.ENOENT  # listed, but gone
    assert [run.tick(), run.tick()] == [[], []]
    storage.fail.clear()
    assert run.tick() == ["/in/a"]
    run.settle()


def test_a_link_that_leads_nowhere_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    storage = Directories("/in")
    run = Run(storage)
    storage.put("/in/link")
    storage.fail["/in/link"] = errno.ENOENT
    for number in range(20):
        storage.tick()
        storage.put(f"/in/{number:02d}")
        assert run.tick() == [f"/in/{number:02d}"]
    assert caplog.text.count("went away") == 1


# ------------------------------------------------------------------------------------- what fails


@pytest.mark.parametrize(("path", "number"), [("/more", errno.EIO), ("/more/x", errno.EACCES)])
def test_what_cannot_be_looked_at_fails_its_batch_and_nothing_is_lost(path: str, number: int) -> None:
    """But for a directory that a pattern has found and that may not be read."""
    storage = Directories("/in", "/more")
    run = Run(storage, "/*")
    storage.put("/in/a")
    storage.put("/more/x")
    storage.fail[path] = number
    for _ in range(6):
        with pytest.raises(OSError, match=path):
            run.tick()
    storage.tick()
    storage.put("/in/b")
    storage.fail.clear()
    assert sorted(run.tick()) == ["/in/a", "/in/b", "/more/x"]
    run.settle()


def test_available_files_have_an_end_even_if_one_cannot_be_looked_at() -> None:
    storage = Directories("/in")
    for name in "abc":
        storage.put(f"/in/{name}")
    run = Run(storage, new_files_only=False, max_files=2)
    run.source.only_available()
    storage.fail["/in/b"] = errno.EACCES
    with pytest.raises(PermissionError, match="/in/b"):
        run.tick()
    assert run.tick() == ["/in/a", "/in/c"]
    assert run.source.exhausted


def test_available_is_what_is_there_at_the_start(storage: Directories) -> None:
    for name in "cab":
        storage.put(f"/in/{name}")
    run = Run(storage, new_files_only=False, max_files=2)
    run.source.only_available()
    storage.put("/in/new")
    assert [run.tick(), run.source.exhausted] == [["/in/a", "/in/b"], False]
    assert [run.tick(), run.source.exhausted] == [["/in/c"], True]


def test_taking_only_new_files_of_those_available_is_said_to_be_nothing(
    storage: Directories, caplog: pytest.LogCaptureFixture
) -> None:
    storage.put("/in/a")
    run = Run(storage)
    run.source.only_available()
    assert run.source.exhausted
    assert "1 files in /in were there before the start and are not taken" in caplog.text
    assert "newFilesOnly=False" in caplog.text


# ------------------------------------------------------------------------------------ what changes


def test_a_file_that_changes_after_it_was_taken_is_reported_once_and_not_taken_again(
    storage: Directories, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(storage)
    for name in "abc":
        storage.put(f"/in/{name}", 10)
    assert len(run.tick()) == 3
    storage.put("/in/a", 15)
    storage.put("/in/b", 10)  # written again, as long as before
    assert run.tick() == []
    assert run.metadata["changed"] == 2
    assert "/in/a changed after it was taken (10 bytes then, 15 now)" in caplog.text
    caplog.clear()
    storage.put("/in/a", 20)
    assert run.tick() == []
    assert run.metadata["changed"] == 0
    assert caplog.text == ""


def test_a_file_that_is_removed_once_it_was_taken_has_not_changed(storage: Directories) -> None:
    run = Run(storage)
    storage.put("/in/a")
    assert run.tick() == ["/in/a"]
    storage.take_away("/in/a")
    assert run.tick() == []
    assert run.metadata["changed"] == 0


def test_removed_and_made_again_between_two_looks_is_changed(storage: Directories) -> None:
    run = Run(storage)
    storage.put("/in/a")
    assert run.tick() == ["/in/a"]
    storage.tick()
    storage.take_away("/in/a")
    storage.put("/in/a")
    assert run.tick() == []
    assert run.metadata["changed"] == 1


def test_a_file_is_watched_for_a_while(storage: Directories) -> None:
    run = Run(storage, watch_ms=3000)
    storage.put("/in/a")
    run.tick()
    for _ in range(4):
        assert run.tick() == []
    storage.put("/in/a", 99)
    assert run.tick() == []
    assert run.metadata["changed"] == 0


def test_what_cannot_be_watched_for_a_moment_fails_nothing_and_is_watched_on() -> None:
    storage = Directories("/in")
    run = Run(storage)
    storage.put("/in/a")
    run.tick()
    storage.put("/in/a", 99)
    storage.fail["/in/a"] = errno.EIO
    assert [run.tick(), run.metadata["changed"]] == [[], 0]
    storage.fail.clear()
    assert [run.tick(), run.metadata["changed"]] == [[], 1]


# --------------------------------------------------------------------------------- what looks cost


def test_a_directory_that_is_still_is_not_listed() -> None:
    storage = Directories("/in")
    run = Run(storage)
    run.settle()
    storage.calls.clear()
    for _ in range(50):
        assert run.tick() == []
    assert storage.calls == ["stamp"] * 50


def test_a_file_that_comes_within_the_same_tick_of_the_stamps_is_not_missed() -> None:
    for later_ms in range(100, 2100, 100):
        storage = Directories("/in")
        clock = ManualClock()
        source = FileSource(storage, "/in", lambda info: [], clock=clock)
        source.open()
        storage.tick()
        storage.put("/in/first")
        taken = []
        for _ in range(40):
            clock.advance(100)
            if clock.now_ms() == later_ms:
                storage.put("/in/second")  # the stamps are 2 s coarse: still the same
            taken += [path for path, _, _ in source.plan(BatchTime(clock.now_ms())).items]
        assert taken == ["/in/first", "/in/second"], later_ms


def test_a_slow_look_does_not_shorten_the_wait() -> None:
    clock = ManualClock()

    class Slow(Directories):
        __slots__ = ()

        def directory_stamp(self, directory: str) -> int | None:
            clock.advance(3000)  # the stamp is as new as the moment at which it came back
            return super().directory_stamp(directory)

    storage = Slow("/in")
    source = FileSource(storage, "/in", lambda info: [], clock=clock)
    source.open()
    storage.tick()
    for name in "ab":  # both within one tick of the stamps
        storage.put(f"/in/{name}")
        assert [path for path, _, _ in source.plan(BatchTime(clock.now_ms())).items] == [f"/in/{name}"]


def test_where_stamps_do_not_tell_files_come_late_once_and_then_in_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    storage = Directories("/in")
    object.__setattr__(storage, "tells", False)
    run = Run(storage)
    run.settle()
    storage.put("/in/a")
    late = next(number for number in range(1, 100) if run.tick())
    assert late <= 60
    assert "/in does not show when files appear in it: it is listed at every look" in caplog.text
    for name in "bcd":
        storage.put(f"/in/{name}")
        assert run.tick() == [f"/in/{name}"]


def test_a_file_that_comes_while_in_doubt_proves_nothing() -> None:
    storage = Directories("/in")
    run = Run(storage)
    run.settle()
    listing = Directories.list_names

    class JustNow(Directories):
        __slots__ = ()

        def list_names(self, directory: str) -> Names:
            if "first" not in self.dirs[directory]:
                self.tick()
                self.put("/in/first")  # after the stamp was read, before the listing
            return listing(self, directory)

    racing = JustNow("/in")
    racing.stamps["/in"] = storage.stamps["/in"]
    run.source._lookout.storage = run.source._line._storage = racing
    assert [path for _ in range(60) for path in run.tick()] == ["/in/first"]
    run.settle()
    racing.calls.clear()
    run.tick()
    assert racing.calls.count("list") == 0, "its stamps are still believed"


def test_a_listing_that_tells_all_is_asked_for_nothing_else() -> None:
    storage = Details("/in")
    run = Run(storage)
    for number in range(100):
        storage.put(f"/in/{number:03d}")
    storage.calls.clear()
    assert len(run.tick()) == 100
    storage.put("/in/000", 99)
    assert run.tick() == []
    assert run.metadata["changed"] == 1
    assert storage.calls == ["list", "list"]


def test_what_is_remembered_is_bounded_by_what_is_listed() -> None:
    storage = Directories("/in")
    run = Run(storage)

    def cycle(number: int) -> None:
        storage.tick()
        storage.put(f"/in/{number:09d}")
        assert len(run.tick()) == 1
        storage.take_away(f"/in/{number:09d}")

    tracemalloc.start()
    try:
        for number in range(300):
            cycle(number)
            storage.calls.clear()
        before = tracemalloc.get_traced_memory()[0]
        for number in range(300, 2300):
            cycle(number)
            storage.calls.clear()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 100_000


@pytest.mark.timing
@pytest.mark.parametrize("old_files", [10_000, pytest.param(100_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("pattern", ["{}", "{}/*.csv"])
def test_old_files_cost_next_to_nothing(
    tmp_path_factory: pytest.TempPathFactory, pattern: str, old_files: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look at a still directory against a listing of it: at least 10 times cheaper (really: hundreds)."""
    with TemporaryDirectory(dir=tmp_path_factory.getbasetemp()) as folder:  # not kept, as tmp_path is
        for number in range(old_files):
            os.close(os.open(f"{folder}/{number:06d}.csv", os.O_CREAT | os.O_WRONLY))
        looking_ns, listing_ns = measured(folder, pattern, monkeypatch)
    assert looking_ns * 10 < listing_ns
    assert looking_ns < 5_000_000


def measured(folder: str, pattern: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """The median duration of a look, and of a listing."""
    hour_ns = 3600 * 10**9
    monkeypatch.setattr(local, "_clock", SystemClock(wall_ns=lambda: SystemClock().now_ns() + hour_ns))
    storage = LocalStorage()
    run = Run(storage, pattern.format(folder))
    run.settle()
    steady = SystemClock()

    def median_ns(what: Callable[[], object], times: int) -> int:
        durations = []
        for _ in range(times):
            begun = steady.elapsed_ns()
            what()
            durations.append(steady.elapsed_ns() - begun)
        return sorted(durations)[times // 2]

    return median_ns(run.tick, 21), median_ns(lambda: os.listdir(folder), 5)


# ---------------------------------------------------------------------------- against a plain model


class AgainstAModel(RuleBasedStateMachine):
    """Any order of changes, looks and failures; the stamps tick rarely. Each appearance is taken once."""

    def __init__(self) -> None:
        super().__init__()
        self.storage = Directories("/a", "/b")
        self.run = Run(self.storage, "/*", max_files=2)
        self.listed: dict[str, set[str]] = {"/a": set(), "/b": set()}
        self.line: list[str] = []

    @rule(directory=st.sampled_from("ab"), name=st.sampled_from(["x", "y", "z", ".x", "_y"]))
    def put(self, directory: str, name: str) -> None:
        if f"/{directory}" in self.storage.dirs:
            self.storage.put(f"/{directory}/{name}")

    @rule(directory=st.sampled_from("ab"), name=st.sampled_from("xyz"))
    def take_away(self, directory: str, name: str) -> None:
        if name in self.storage.dirs.get(f"/{directory}", ()):
            self.storage.take_away(f"/{directory}/{name}")

    @rule(directory=st.sampled_from("ab"))
    def remove_or_make(self, directory: str) -> None:
        path = f"/{directory}"
        if self.storage.dirs.pop(path, None) is None:
            self.storage.tick()
            self.storage.dirs[path] = {}
            self.storage.stamps[path] = self.storage.now

    @rule(ticks=st.integers(0, 3))
    def fail(self, ticks: int) -> None:
        for path in self.storage.dirs:
            self.storage.fail[path] = errno.EIO
        for _ in range(ticks if self.storage.fail else 0):
            with pytest.raises(OSError, match="Input/output"):
                self.run.tick()
        self.storage.fail.clear()

    @rule(looks=st.integers(1, 5))
    def look(self, looks: int) -> None:
        for _ in range(looks):
            self.storage.tick()  # a second passes, and the stamps are finer than that here
            news = []
            for directory in self.storage.dirs:
                now = set(self.storage.dirs[directory])
                fresh = now - self.listed.get(directory, set())
                news += [f"{directory}/{name}" for name in fresh if looking.is_visible(name)]
                self.listed[directory] = now
            self.listed = {path: names for path, names in self.listed.items() if path in self.storage.dirs}
            self.line += [path for path in sorted(news) if path not in self.line]
            there = [path for path in self.line if self.is_there(path)]
            expected, reached = there[:2], 0
            if len(there) > 2:
                reached = self.line.index(there[1]) + 1
            else:
                reached = len(self.line)
            for path in self.line[:reached]:
                if path not in expected:  # went away before it was taken: new when it is back
                    self.listed.get(path.rpartition("/")[0], set()).discard(path.rpartition("/")[2])
            self.line = self.line[reached:]
            assert self.run.tick() == expected

    def is_there(self, path: str) -> bool:
        directory, _, name = path.rpartition("/")
        return name in self.storage.dirs.get(directory, ())

    @invariant()
    def waiting_is_known(self) -> None:
        assert list(self.run.source._line) == self.line


TestAgainstAModel = AgainstAModel.TestCase
TestAgainstAModel.settings = settings(max_examples=100, stateful_step_count=30)
