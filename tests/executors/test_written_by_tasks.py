"""Outputs that tasks write: the same bytes as local, once, whatever happens to tasks and to the program."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from penstock import RDD, Conf, Context
from penstock.clock import ManualClock
from penstock.errors import StateError
from penstock.executors import LocalExecutor
from penstock.sinks.attempts import Attempts, Desk
from penstock.sinks.base import replace_directory
from penstock.sinks.csv import CsvFormat
from penstock.sinks.file_set import FileSet, Rolling
from penstock.sinks.json import JsonFormat
from penstock.sinks.parquet import ParquetFormat
from penstock.sinks.text import TextFormat
from penstock.storage import LocalStorage
from penstock.storage.faulty import Fault, FaultyStorage
from penstock.storage.resolve import wrapping
from tests.executors.fake_spark import FakeSpark, Killed, on_fake_spark

Files = dict[str, bytes]
Write = Callable[["RDD[Any]", str], None]


@pytest.fixture
def spark() -> FakeSpark:
    return FakeSpark()


@pytest.fixture
def sc(spark: FakeSpark) -> Iterator[Context]:
    with on_fake_spark(spark, most_bytes=1 << 25, inline_rows=1000) as context:
        yield context


@pytest.fixture
def source(tmp_path: Path) -> str:
    """Files of one partition each, and an empty one, which has none."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number, count in enumerate([300, 0, 40]):
        (folder / f"{number}.txt").write_text("".join(f"{number}{index:03d}\n" for index in range(count)))
    return str(folder)


def files_of(directory: Path) -> Files:
    """All there is, hidden or not; of the marker its parts."""
    found: Files = {}
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            if path.name == "_SUCCESS":
                data = json.dumps(json.loads(data)["parts"], sort_keys=True).encode()
            found[str(path.relative_to(directory))] = data
    return found


def here(sc: Context, write: Callable[[], None]) -> None:
    before, sc._executor = sc._executor, LocalExecutor(2, 1000)
    try:
        write()
    finally:
        sc._executor.close()
        sc._executor = before


def replacing(make: Callable[[], Any], **more: bool) -> Write:
    def write(rdd: RDD[Any], path: str) -> None:
        replace_directory(rdd.context, rdd.plan, path, make(), run_id="run", **more)

    return write


def in_a_set(make: Callable[[], Any]) -> Write:
    def write(rdd: RDD[Any], path: str) -> None:
        rolling = Rolling(max_bytes=1_000, max_age_ms=1 << 40, grace_ms=1 << 40, retain_ms=None)
        FileSet(path, make(), "text", rolling, "out", ManualClock()).write(rdd.context, rdd.plan, 1000, "run")

    return write


OUTPUTS: dict[str, Write] = {
    "text": lambda rdd, path: rdd.saveAsTextFile(path),
    "gzip": lambda rdd, path: rdd.saveAsTextFile(path, "gzip"),
    "pickle": lambda rdd, path: rdd.saveAsPickleFile(path),
    "text again": replacing(lambda: TextFormat(None, "saveAsTextFiles")),
    "durable": replacing(lambda: TextFormat(None, "saveAsTextFiles"), durable=True),
    "csv": replacing(lambda: CsvFormat("saveAsCsvFiles", header=True, sep=";", codec=None)),
    "json, unless empty": replacing(lambda: JsonFormat("saveAsJsonFiles", codec="gzip"), skip_empty=True),
    "parquet": replacing(lambda: ParquetFormat("saveAsParquetFiles", schema=int)),
    "set": in_a_set(lambda: TextFormat(None, "saveAsFileSet")),
    "set of parquet": in_a_set(lambda: ParquetFormat("saveAsFileSet", schema=int)),
}


def numbers(sc: Context, source: str) -> RDD[Any]:
    return sc.textFile(source).map(int).map(lambda number: number * 3)


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("attempts", [1, 2])
def test_the_bytes_are_those_of_local(
    name: str, attempts: int, sc: Context, spark: FakeSpark, source: str, tmp_path: Path
) -> None:
    """Also where two attempts of each task come to their end."""
    spark.attempts = attempts
    opened = watched(sc, lambda: OUTPUTS[name](numbers(sc, source), str(tmp_path / "outs" / "out")))
    here(sc, lambda: OUTPUTS[name](numbers(sc, source), str(tmp_path / "local" / "out")))
    assert files_of(tmp_path / "outs") == files_of(tmp_path / "local")
    assert len(opened) >= 2 * attempts
    assert not list((tmp_path / "outs").rglob(".*.tmp"))


def watched(sc: Context, write: Callable[[], None]) -> list[str]:
    """The files that tasks open meanwhile."""
    opened: list[str] = []
    real = Desk.open

    def noting(self: Desk, name: str) -> BinaryIO:
        opened.append(name)
        return real(self, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Desk, "open", noting)
        write()
    assert len(set(opened)) == len(opened)
    return opened


class Dying:
    """A file of a process that is killed after so many bytes."""

    def __init__(self, file: BinaryIO, left: int) -> None:
        self._file = file
        self._left = left

    def write(self, data: bytes) -> int:
        self._file.write(data[: self._left])
        self._file.flush()
        raise Killed

    def close(self) -> None:
        self._file.close()


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("left", [0, 7])
def test_attempts_that_die_in_the_middle_leave_nothing(
    name: str,
    left: int,
    sc: Context,
    spark: FakeSpark,
    source: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spark.attempts = 3
    real = Desk.open
    died: list[str] = []

    def opened(self: Desk, attempt: str) -> Any:
        file = real(self, attempt)
        if spark.attempt == 2:
            return file
        died.append(attempt)
        return Dying(file, left)

    monkeypatch.setattr(Desk, "open", opened)
    monkeypatch.setattr(Desk, "remove", lambda self, attempt: None)  # the dead tidy nothing up
    OUTPUTS[name](numbers(sc, source), str(tmp_path / "outs" / "out"))
    monkeypatch.undo()
    here(sc, lambda: OUTPUTS[name](numbers(sc, source), str(tmp_path / "local" / "out")))
    assert len(died) >= 4
    assert files_of(tmp_path / "outs") == files_of(tmp_path / "local")


@pytest.mark.parametrize("name", OUTPUTS)
def test_an_attempt_that_begins_when_all_is_over_changes_nothing(
    name: str, sc: Context, spark: FakeSpark, source: str, tmp_path: Path
) -> None:
    OUTPUTS[name](numbers(sc, source), str(tmp_path / "outs" / "out"))
    before = files_of(tmp_path / "outs")
    for task in spark.later:
        spark.as_task(task)
    assert files_of(tmp_path / "outs") == before


@pytest.mark.parametrize("name", ["text", "parquet", "set"])
def test_what_tasks_cannot_reach_is_written_by_the_program(
    name: str, sc: Context, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Desk, "there", False)
    opened = watched(sc, lambda: OUTPUTS[name](numbers(sc, source), str(tmp_path / "outs" / "out")))
    here(sc, lambda: OUTPUTS[name](numbers(sc, source), str(tmp_path / "local" / "out")))
    assert not opened
    assert files_of(tmp_path / "outs") == files_of(tmp_path / "local")
    assert not list((tmp_path / "outs").rglob(".*.tmp"))


def test_results_that_were_left_are_written_without_coming_here(
    spark: FakeSpark, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from penstock.executors.spark.left import OnCluster

    monkeypatch.setattr(OnCluster, "pieces", None)
    with on_fake_spark(spark, most_bytes=0) as sc:
        numbers(sc, source).sortBy(lambda number: -number).saveAsTextFile(str(tmp_path / "outs"))
        found = [int(line) for line in sc.textFile(str(tmp_path / "outs")).collect()]
        expected = sorted((int(line) * 3 for line in sc.textFile(source).collect()), reverse=True)
    assert found == expected


class OfTheProgram(FaultyStorage):
    """Fails where the program calls it; tasks have the disk."""

    of_this_process = False

    def __reduce__(self) -> Any:
        return LocalStorage, ()


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("text again", "before"),
        ("text again", "after"),
        ("durable", "half"),
        ("json, unless empty", "after"),
        ("set", "before"),
        ("set", "half"),
        ("set", "after"),
    ],
)
def test_a_program_that_dies_at_any_call_leaves_nothing_or_all(
    name: str, moment: Any, sc: Context, source: str, tmp_path: Path
) -> None:
    here(sc, lambda: OUTPUTS[name](numbers(sc, source), str(tmp_path / "local" / "out")))
    expected = files_of(tmp_path / "local" / "out")
    folder, call, died = tmp_path / "outs", 1, 0
    while True:
        out = folder / str(call) / "out"
        out.parent.mkdir(parents=True)
        rdd, faults = numbers(sc, source), [Fault(call, moment=moment, lasting=True)]
        try:
            with wrapping(lambda storage, faults=faults: OfTheProgram(storage, faults)):
                OUTPUTS[name](rdd, str(out))
        except OSError:
            died += 1
            if name != "set" and (out / "_SUCCESS").exists():
                assert files_of(out) == expected
        else:
            break
        OUTPUTS[name](numbers(sc, source), str(out))  # as the next life of the program
        assert visible(files_of(out)) == visible(expected)
        call += 1
    assert died > 8


def visible(files: Files) -> Files:
    """Without what is hidden, such as temporaries of a run that counts as alive."""
    return {name: data for name, data in files.items() if not f"/{name}".count("/.")}


def test_a_file_that_is_not_what_the_task_has_written_is_refused(
    sc: Context, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Attempts.take

    def cut(self: Attempts, attempt: str, path: str, size: int) -> None:
        source = os.path.join(self._directory, attempt)
        os.truncate(source, max(0, os.stat(source).st_size - 1))
        real(self, attempt, path, size)

    monkeypatch.setattr(Attempts, "take", cut)
    with pytest.raises(StateError, match="bytes, and the task that wrote it says"):
        numbers(sc, source).saveAsTextFile(str(tmp_path / "outs"))
    assert not list(tmp_path.glob("outs*"))
    assert not list(tmp_path.glob(".outs*"))


def test_an_error_of_a_record_is_the_users_and_nothing_is_left(
    sc: Context, source: str, tmp_path: Path
) -> None:
    def fail(number: int) -> int:
        if number == 2039:
            raise ValueError("the last")
        return number

    with pytest.raises(ValueError, match="the last"):
        sc.textFile(source).map(int).map(fail).saveAsTextFile(str(tmp_path / "outs"))
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_worker_processes_write_too_and_may_die(source: str, tmp_path: Path) -> None:
    """One is killed by the last record of a partition, when its file has been begun."""
    conf = Conf().setMaster("local[2]").set("penstock.python.workers", "processes")
    mark = tmp_path / "killed"

    def fatal(number: int) -> str:
        if number == 2039 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return f"{os.getpid()}" if number == 0 else str(number)

    with Context(conf=conf.set("penstock.local.inlineRows", 0)) as sc:
        sc.textFile(source).map(int).map(fatal).saveAsTextFile(str(tmp_path / "outs"))
        lines = sc.textFile(str(tmp_path / "outs")).collect()
    assert mark.exists()
    assert int(lines[0]) != os.getpid()
    assert lines[1:] == [*map(str, range(1, 300)), *map(str, range(2000, 2040))]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "killed", "outs"]
    assert sorted(files_of(tmp_path / "outs")) == ["_SUCCESS", "part-00000", "part-00001"]


def test_small_results_on_the_driver_are_written_there(sc: Context, tmp_path: Path, spark: FakeSpark) -> None:
    opened = watched(sc, lambda: sc.parallelize(range(10), 3).saveAsTextFile(str(tmp_path / "outs")))
    assert not opened
    assert not spark.jobs
