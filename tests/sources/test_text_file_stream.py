"""textFileStream as a program sees it: real files, real batches, a clock turned by hand."""

from __future__ import annotations

import gzip
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from penstock import Context, StreamingContext
from penstock.errors import ArgumentError, CorruptInput, InputChanged, InputVanished, failure_of
from penstock.scheduler import StreamingListener
from penstock.sources import SourceLine
from penstock.testing import CollectingSink, ManualClock

Started = Callable[..., "Stream"]


class Inputs(StreamingListener):
    """The input of each batch, as the listener is told."""

    def __init__(self) -> None:
        self.infos: list[Any] = []
        self.failures: list[str | None] = []

    def onBatchCompleted(self, event: Any) -> None:
        self.infos.append(event.batchInfo.streamIdToInputInfo[0])
        self.failures.append(event.batchInfo.failureReason)


class Stream:
    """A started stream of one input. Unlike ``Stepper`` it goes on after a batch has failed."""

    def __init__(self, sc: Context, directory: str, *args: Any, **options: Any) -> None:
        self.clock = ManualClock()
        self.ssc = StreamingContext(sc, 1, clock=self.clock)
        self.sink = CollectingSink()
        self.inputs = Inputs()
        self.ssc.textFileStream(directory, *args, **options).foreachRDD(self.sink)
        self.ssc.addStreamingListener(self.inputs)
        self.ssc.start()

    def batch(self, between: Callable[[], object] = lambda: None) -> list[Any]:
        """The next batch: ``between`` runs after it was planned and before it is read."""
        self.clock.advance(1000)
        before, driver = len(self.sink.batches), self.ssc.driver
        driver.tick(self.clock.now_ms())  # type: ignore[arg-type]
        between()
        driver.work()
        error, driver.error = driver.error, None
        if error is not None:
            raise error
        [batch] = self.sink.batches[before:]
        return batch


@pytest.fixture
def started(sc: Context) -> Iterator[Started]:
    streams: list[Stream] = []

    def start(directory: object, *args: Any, **options: Any) -> Stream:
        streams.append(Stream(sc, str(directory), *args, **options))
        return streams[-1]

    yield start
    for stream in streams:
        stream.ssc.stop(stopSparkContext=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "in"
    path.mkdir()
    return path


def move_in(folder: Path, name: str, text: str) -> Path:
    """Write elsewhere and rename, as one should."""
    temporary = folder.parent / f"{name}.making"
    temporary.write_text(text)
    return temporary.rename(folder / name)


# ----------------------------------------------------------------------------------- what is taken


def test_each_file_once(started: Started, folder: Path) -> None:
    (folder / "old").write_text("old\n")
    stream = started(folder)
    assert stream.batch() == []
    move_in(folder, "b", "3\n")
    move_in(folder, "a", "1\r\n2")
    assert stream.batch() == ["1", "2", "3"]
    assert stream.batch() == []
    move_in(folder, "c", "")
    assert stream.batch() == []
    info = stream.inputs.infos[1]
    assert info.numRecords == 3
    assert info.metadataDescription == "2 files: a, b"
    assert info.metadata["files"] == [str(folder / "a"), str(folder / "b")]


def test_files_that_come_between_any_two_batches_are_not_missed(started: Started, folder: Path) -> None:
    """Many batches within one tick of the file system's clock, while the batches' clock runs fast."""
    stream = started(folder)
    for number in range(200):
        for _ in range(number % 7):
            assert stream.batch() == []
        move_in(folder, f"{number:03d}", f"{number}\n")
        assert stream.batch() == [str(number)]


@pytest.mark.parametrize("mtime_s", [0, 1_000_000_000, 4_000_000_000])
def test_whatever_its_date(started: Started, folder: Path, mtime_s: int) -> None:
    stream = started(folder)
    path = folder.parent / "a"
    path.write_text("a\n")
    os.utime(path, (mtime_s, mtime_s))
    path.rename(folder / "a")
    assert stream.batch() == ["a"]
    assert stream.batch() == []


def test_what_is_there_too_if_asked_for(started: Started, folder: Path) -> None:
    (folder / "old").write_text("old\n")
    assert started(folder, False).batch() == ["old"]


def test_at_most_so_many_files_a_batch(started: Started, folder: Path) -> None:
    for name in "abcde":
        (folder / name).write_text(f"{name}\n")
    stream = started(folder, newFilesOnly=False, maxFilesPerBatch=2)
    assert [stream.batch() for _ in range(4)] == [["a", "b"], ["c", "d"], ["e"], []]
    for wrong in (0, -1):
        with pytest.raises(ArgumentError, match="maxFilesPerBatch"):
            stream.ssc.__class__(stream.ssc.sparkContext, 1).textFileStream(str(folder), True, wrong)


def test_hidden_files_wait_for_their_name(started: Started, folder: Path) -> None:
    stream = started(folder)
    for hidden, name in ((".a", "a"), ("_b", "b"), ("c._COPYING_", "c")):
        (folder / hidden).write_text(name)
        assert stream.batch() == []
        (folder / hidden).rename(folder / name)
        assert stream.batch() == [name]


def test_subdirectories_are_left_alone(started: Started, folder: Path) -> None:
    stream = started(folder)
    (folder / "below").mkdir()
    (folder / "below/a").write_text("a")
    assert stream.batch() == []
    (folder / "below/a").rename(folder / "a")
    assert stream.batch() == ["a"]


def test_a_missing_directory_may_come_later(started: Started, tmp_path: Path) -> None:
    stream = started(tmp_path / "later/in")
    assert stream.batch() == []
    (tmp_path / "later/in").mkdir(parents=True)
    (tmp_path / "later/in/a").write_text("a")
    assert stream.batch() == ["a"]


def test_a_directory_removed_and_made_again(started: Started, folder: Path) -> None:
    stream = started(folder)
    move_in(folder, "a", "1")
    assert stream.batch() == ["1"]
    (folder / "a").unlink()
    folder.rmdir()
    assert stream.batch() == []
    folder.mkdir()
    move_in(folder, "a", "2")
    assert stream.batch() == ["2"]


def test_a_file_removed_and_made_again(started: Started, folder: Path) -> None:
    stream = started(folder)
    for text in ("1", "2", "3"):
        move_in(folder, "a", text)
        assert stream.batch() == [text]
        (folder / "a").unlink()
        assert stream.batch() == []


def test_a_glob_of_directories(started: Started, tmp_path: Path) -> None:
    (tmp_path / "2016-01").mkdir()
    (tmp_path / "2016-01/old").write_text("old")
    stream = started(tmp_path / "2016-*")
    for day in ("2016-02", "2017-01", "2016-03"):
        (tmp_path / day).mkdir()
        (tmp_path / day / "a").write_text(day)
    move_in(tmp_path / "2016-01", "new", "2016-01")
    assert stream.batch() == ["2016-01", "2016-02", "2016-03"]
    assert stream.batch() == []


def test_a_glob_of_files(started: Started, folder: Path) -> None:
    (folder / "old.csv").write_text("old")
    stream = started(folder / "*.csv")
    for name in ("b.csv", "a.csv", "c.txt", "_d.csv", "e.csv._COPYING_"):
        move_in(folder, name, name)
    assert stream.batch() == ["a.csv", "b.csv"]
    assert stream.batch() == []
    (folder / "a.csv").unlink()
    assert stream.batch() == []
    move_in(folder, "a.csv", "again")
    assert stream.batch() == ["again"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("{in,more}", ["in/a.csv", "in/b.txt", "more/a.csv"]),
        ("{in/*.csv,more}", ["in/a.csv", "more/a.csv"]),
        ("*/a.csv", ["in/a.csv", "more/a.csv"]),
        ("{in,in/*}", ["in/a.csv", "in/b.txt", "in/below/c.csv"]),
        ("in/*", ["in/a.csv", "in/b.txt", "in/below/c.csv"]),
        ("*/b*", ["in/b.txt", "in/below/c.csv"]),
        ("[1\\]/*.csv", []),
        ("\\[1\\]", ["[1]/d.csv"]),
        ("\\[1\\]/d.*", ["[1]/d.csv"]),
    ],
)
def test_patterns(started: Started, tmp_path: Path, pattern: str, found: list[str]) -> None:
    names = ["in/a.csv", "in/b.txt", "in/_c.csv", "in/below/c.csv", "more/a.csv", "_no/a.csv", "[1]/d.csv"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "in/a.csv").write_text("old")
    stream = started(tmp_path / pattern)
    assert stream.batch() == []
    (tmp_path / "in/a.csv").unlink()
    assert stream.batch() == []
    for name in names:
        (tmp_path / name).write_text(name)
    assert stream.batch() == found
    assert stream.batch() == []


def test_lines_with_their_source(started: Started, folder: Path) -> None:
    stream = started(folder, withSource=True)
    path = str(move_in(folder, "a", "x\n\ny"))
    assert stream.batch() == [SourceLine(path, 1, "x"), SourceLine(path, 2, ""), SourceLine(path, 3, "y")]


def test_bytes_that_are_not_utf8_are_counted(started: Started, folder: Path) -> None:
    stream = started(folder)
    (folder / "a").write_bytes(b"ok\n\xff\xfe\n")
    assert stream.batch() == ["ok", "\ufffd\ufffd"]
    assert stream.inputs.infos[0].metadata["bad_utf8"] == 2
    assert stream.batch() == []
    assert "bad_utf8" not in stream.inputs.infos[1].metadata


def test_a_url(started: Started) -> None:
    root = f"/{uuid.uuid4().hex}"
    files = fsspec.filesystem("memory")
    files.pipe_file(f"{root}/in/old", b"old")
    stream = started(f"memory://{root}/in")
    files.pipe_file(f"{root}/in/b", b"2\n3")
    files.pipe_file(f"{root}/in/a.gz", gzip.compress(b"1"))
    files.pipe_file(f"{root}/in/_c", b"hidden")
    assert stream.batch() == ["1", "2", "3"]
    files.pipe_file(f"{root}/in/b", b"2\n3\n4")
    assert stream.batch() == []
    assert stream.inputs.infos[1].metadata["changed"] == 1
    files.rm(root, recursive=True)
    assert stream.batch() == []
    files.pipe_file(f"{root}/in/b", b"new")
    assert stream.batch() == ["new"]
    files.rm(root, recursive=True)


# ------------------------------------------------------------------------------------ what changes


def test_a_file_that_grows_after_it_was_taken_is_reported_once(
    started: Started, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stream = started(folder)
    move_in(folder, "a", "1\n")
    assert stream.batch() == ["1"]
    with (folder / "a").open("a") as file:
        file.write("2\n")
    assert stream.batch() == []
    assert stream.inputs.infos[1].metadata["changed"] == 1
    assert f"{folder}/a changed after it was taken (2 bytes then, 4 now)" in caplog.text
    assert "rename them into the directory" in caplog.text
    assert stream.batch() == []
    assert stream.inputs.infos[2].metadata["changed"] == 0


def test_a_file_that_grows_before_it_is_read_is_read_as_it_was_planned(
    started: Started, folder: Path
) -> None:
    stream = started(folder)
    path = move_in(folder, "a", "1\n")
    assert stream.batch(lambda: path.write_text("1\n2\n")) == ["1"]


# ------------------------------------------------------------------------------- batches that fail


def test_a_file_that_vanishes_before_it_is_read_fails_its_batch_by_name_and_only_that(
    started: Started, folder: Path
) -> None:
    stream = started(folder)
    move_in(folder, "a", "1")
    lost = move_in(folder, "b", "2")
    with pytest.raises(InputVanished, match=rf"{folder}/b was listed, but is gone now") as caught:
        stream.batch(lost.unlink)
    failure = failure_of(caught.value)
    assert failure is not None
    assert failure.batch_time_ms == 1000
    move_in(folder, "c", "3")
    assert stream.batch() == ["3"]
    assert "b was listed" in str(stream.inputs.failures[0])
    assert stream.inputs.failures[1] is None


def test_a_file_that_vanishes_before_it_is_planned_is_no_part_of_the_batch(
    started: Started, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from penstock.storage import LocalStorage, Names

    stream = started(folder)
    listing = LocalStorage.list_names

    def slow(storage: LocalStorage, directory: str) -> Names:
        found = listing(storage, directory)
        (folder / "b").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(LocalStorage, "list_names", slow)
    move_in(folder, "a", "1")
    move_in(folder, "b", "2")
    assert stream.batch() == ["1"]
    monkeypatch.undo()
    move_in(folder, "b", "3")
    assert stream.batch() == ["3"]


def test_a_file_that_shrinks_before_it_is_read_fails_its_batch(started: Started, folder: Path) -> None:
    stream = started(folder)
    path = move_in(folder, "a", "1\n2\n")
    with pytest.raises(InputChanged, match="a had 4 bytes when it was listed, but only 2 are left"):
        stream.batch(lambda: path.write_text("1\n"))
    assert stream.batch() == []


def test_a_broken_compressed_file_fails_its_batch_by_name(started: Started, folder: Path) -> None:
    stream = started(folder)
    (folder / "a.gz").write_bytes(gzip.compress(b"1\n2\n")[:-4])
    with pytest.raises(CorruptInput, match=r"a\.gz is not a whole \.gz file"):
        stream.batch()
    (folder / "b.gz").write_bytes(gzip.compress(b"3\n"))
    assert stream.batch() == ["3"]


def test_a_directory_that_cannot_be_read_fails_the_batch_and_the_next_one_takes_all(
    started: Started, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from penstock.storage import LocalStorage

    def refused(storage: LocalStorage, directory: str) -> int:
        raise PermissionError(13, "Permission denied", directory)

    stream = started(folder)
    move_in(folder, "a", "1")
    monkeypatch.setattr(LocalStorage, "directory_stamp", refused)
    for _ in range(3):
        with pytest.raises(PermissionError, match=str(folder)):
            stream.batch()
    monkeypatch.undo()
    move_in(folder, "b", "2")
    assert stream.batch() == ["1", "2"]


# ------------------------------------------------------------------------------- all there is, once


def test_available_files_batch_by_batch(sc: Context, folder: Path) -> None:
    for name in "cab":
        (folder / name).write_text(name)
    ssc = StreamingContext(sc, 1)
    sink = CollectingSink()
    ssc.textFileStream(str(folder), newFilesOnly=False, maxFilesPerBatch=2).foreachRDD(sink)
    ssc.start(availableNow=True)
    ssc.awaitTermination(60)
    ssc.stop(stopSparkContext=False)
    assert sink.batches == [["a", "b"], ["c"]]
