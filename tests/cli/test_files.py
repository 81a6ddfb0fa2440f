"""``penstock files explain``: why each file is taken, or is not."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from click.testing import CliRunner

from penstock import Context, StreamingContext
from penstock.cli import main
from penstock.cli.explained import Question, explained
from penstock.clock import ManualClock
from penstock.storage.faulty import Fault, FaultyStorage
from penstock.storage.resolve import wrapping
from penstock.testing import Stepper


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "in"
    for name in ("a.csv", "b.txt", ".c", "_SUCCESS", "d._COPYING_", "x/e.csv", "_y/f", "done/g"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(name)
    (made / "h.csv").write_text("")
    os.utime(made / "b.txt", (10, 10))
    return made


@pytest.fixture(autouse=True)
def no_context() -> Iterator[None]:
    yield
    if Context._active is not None:
        Context._active.stop()


def verdicts(folder: Path, *options: str) -> dict[str, str]:
    result = CliRunner().invoke(main, ["files", "explain", str(folder), "--json", *options])
    assert result.exit_code in (0, 1), result.output
    found: Any = json.loads(result.stdout)
    assert sum(found["counts"].values()) == len(found["files"])
    return {each["path"].removeprefix(f"{folder}/"): each["verdict"] for each in found["files"]}


HIDDEN = {".c": "hidden", "_SUCCESS": "hidden", "_y/f": "hidden", "d._COPYING_": "copying"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], {"a.csv": "old", "b.txt": "old", "h.csv": "old", "x/e.csv": "subdirectory"}),
        (["--all"], {"a.csv": "next", "b.txt": "next", "h.csv": "next", "x/e.csv": "subdirectory"}),
        (["--all", "--recursive"], {"x/e.csv": "next", "done/g": "next"}),
        (["--all", "--glob", "*.csv"], {"a.csv": "next", "b.txt": "filtered", "h.csv": "next"}),
        (["--all", "--glob", "{*.csv,*.txt}"], {"a.csv": "next", "b.txt": "next"}),
        (["--all", "--max-files", "1"], {"a.csv": "next", "b.txt": "waiting", "h.csv": "waiting"}),
        (["--all", "--max-bytes", "5"], {"a.csv": "next", "b.txt": "waiting"}),
        (["--all", "--stable-for", "3600"], {"a.csv": "growing", "b.txt": "next"}),
    ],
)
def test_of_a_stream_that_starts_now(folder: Path, options: list[str], expected: dict[str, str]) -> None:
    found = verdicts(folder, *options)
    assert {name: found[name] for name in expected} == expected
    assert {name: found[name] for name in HIDDEN} == HIDDEN


def test_the_archive_is_not_read(folder: Path) -> None:
    found = verdicts(folder, "--all", "--recursive", "--archive", str(folder / "done"))
    assert found["done/g"] == "archived"


def test_it_says_what_a_stream_does(folder: Path) -> None:
    """The report against the stream itself, with the same options."""
    for options, arguments in (
        (["--all"], {}),
        (["--all", "--recursive"], {"recursive": True}),
        (["--all", "--glob", "*.csv"], {"filter": lambda path: path.match("*.csv")}),
        (["--all", "--max-files", "2"], {"maxFilesPerBatch": 2}),
        (["--all", "--max-bytes", "9"], {"maxBytesPerBatch": 9}),
    ):
        clock = ManualClock()
        ssc = StreamingContext(Context._active or Context("local[1]", "explain"), 1, clock=clock)
        seen: list[str] = []
        stream = ssc.fileStream(folder, "wholebytes", newFilesOnly=False, **arguments)  # type: ignore[arg-type]
        stream.foreachRDD(lambda rdd, seen=seen: seen.extend(rdd.keys().collect()))
        with Stepper(ssc, clock) as stepper:
            stepper.step()
        said = [name for name, verdict in verdicts(folder, *options).items() if verdict == "next"]
        assert [path.removeprefix(f"{folder}/") for path in seen] == said


def test_what_a_run_has_taken(folder: Path, tmp_path: Path) -> None:
    checkpoint = str(tmp_path / "checkpoint")
    clock = ManualClock()
    ssc = StreamingContext(Context("local[1]", "explain"), 1, clock=clock)
    ssc.checkpoint(checkpoint)
    ssc.textFileStream(str(folder)).foreachRDD(lambda rdd: None)
    with Stepper(ssc, clock) as stepper:
        for name in ("n1", "n2", "n3"):
            (folder / name).write_text(name)
            stepper.step()
        (folder / "n4").write_text("n4")
    (folder / "n2").write_text("longer")
    (folder / "n3").unlink()
    found = verdicts(folder, "--checkpoint", checkpoint)
    assert {name: found.get(name) for name in ("a.csv", "n1", "n2", "n3", "n4")} == {
        "a.csv": "old", "n1": "taken", "n2": "changed", "n3": None, "n4": "next"
    }  # fmt: skip
    result = CliRunner().invoke(main, ["files", "explain", str(folder), "--checkpoint", checkpoint])
    assert result.exit_code == 1, "a file has changed"
    assert "which is committed" in " ".join(result.output.split())
    result = CliRunner().invoke(main, ["files", "explain", str(folder / "x"), "--checkpoint", checkpoint])
    assert result.exit_code == 2
    assert "textFileStream-1" in result.output


def test_what_is_planned_and_not_over(folder: Path, tmp_path: Path) -> None:
    checkpoint = str(tmp_path / "checkpoint")
    clock = ManualClock()
    ssc = StreamingContext(Context("local[1]", "explain"), 1, clock=clock)
    ssc.checkpoint(checkpoint)

    def fail(rdd: Any) -> None:
        raise ZeroDivisionError

    ssc.textFileStream(str(folder)).foreachRDD(fail)
    with Stepper(ssc, clock) as stepper:
        (folder / "n").write_text("n")
        with pytest.raises(ZeroDivisionError):
            stepper.step()
    assert verdicts(folder, "--checkpoint", checkpoint)["n"] == "planned"


def test_what_cannot_be_read(folder: Path) -> None:
    """Whoever runs the tests may read everything, perhaps, so it is the storage that says no."""
    faults = [Fault(1, "open_read", errno=errno.EACCES)]
    with wrapping(lambda storage: FaultyStorage(storage, faults)):
        report = explained(Question(str(folder), all_files=True))
    assert [each.path for each in report.files if each.verdict == "unreadable"] == [str(folder / "a.csv")]
    assert report.needs_attention
    faults = [Fault(3, "list_directory", errno=errno.EACCES)]
    with wrapping(lambda storage: FaultyStorage(storage, faults)):
        report = explained(Question(str(folder), all_files=True, recursive=True))
    assert [each.why for each in report.files if each.verdict == "unreadable"] == [
        "is a directory that cannot be listed: what is in it is not taken; look at its permissions"
    ]


def test_a_time_to_come_is_no_growth_unless_somebody_waits_for_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    os.utime(tmp_path / "a", (4_000_000_000, 4_000_000_000))
    found = [explained(Question(str(tmp_path), all_files=True, stable_for_s=for_s)) for for_s in (0, 1)]
    assert [report.files[0].verdict for report in found] == ["next", "growing"]


def test_urls_tables_and_directories_that_are_not_there() -> None:
    store = fsspec.filesystem("memory")
    store.pipe_file("/explained/in/a [1].csv", b"x")
    store.pipe_file("/explained/in/.b", b"x")
    report = explained(Question("memory://explained/in", all_files=True))
    assert [(each.path, each.verdict) for each in report.files] == [
        ("memory:///explained/in/.b", "hidden"), ("memory:///explained/in/a [1].csv", "next")
    ]  # fmt: skip
    result = CliRunner().invoke(main, ["files", "explain", "memory://explained/in", "--all"])
    assert result.exit_code == 0
    assert "[1]" in result.output, "a name is no markup"
    assert "1 hidden, 1 next" in " ".join(result.output.split())
    result = CliRunner().invoke(main, ["files", "explain", "/there/is/nothing"])
    assert result.exit_code == 1
    assert "/there/is/nothing" in result.output
