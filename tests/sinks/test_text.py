"""Directories of text files: what a record becomes, and what is read back."""

from __future__ import annotations

import enum
import errno
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock import Context, StreamingContext
from penstock.errors import ArgumentError, OutputExists, failure_of
from penstock.sinks import codecs, replace_text_directory, save_text_directory
from penstock.storage import LocalStorage, temporary_path
from penstock.testing import ManualClock, Stepper


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir()) if path.name != "_SUCCESS"}


def saved(
    sc: Context, records: list[Any], path: Path, partitions: int = 1, **options: Any
) -> dict[str, bytes]:
    sc.parallelize(records, partitions).saveAsTextFile(str(path), **options)
    return content(path)


# ---------------------------------------------------------------------------------------- records


class Side(str, enum.Enum):  # noqa: UP042 - its str() is another text
    BUY = "B"


class Shouting:
    def __str__(self) -> str:
        return "str"

    def __repr__(self) -> str:
        return "repr"

    def __format__(self, spec: str) -> str:
        return "format"


class Subclass(str):
    def __str__(self) -> str:
        return "never asked"


@pytest.mark.parametrize(
    ("records", "lines"),
    [
        ([], b""),
        ([""], b"\n"),
        (["", ""], b"\n\n"),
        (["a", "b"], b"a\nb\n"),
        ([1, 2.5, None, True], b"1\n2.5\nNone\nTrue\n"),
        ([("BUYS", ["5074"])], b"('BUYS', ['5074'])\n"),
        (["ä€😀\u2028x"], "ä€😀\u2028x\n".encode()),
        (["a\nb", "c\r\nd"], b"a\nb\nc\r\nd\n"),
        ([b"\xff\x00", b""], b"\xff\x00\n\n"),
        ([b"bytes", "text", 7], b"bytes\ntext\n7\n"),
        ([bytearray(b"x")], b"bytearray(b'x')\n"),
        ([Shouting(), "x"], b"str\nx\n"),
        ([Shouting(), b"x"], b"str\nx\n"),
        ([Side.BUY, Subclass("itself")], b"B\nitself\n"),
    ],
)
def test_a_line_for_each_record(sc: Context, tmp_path: Path, records: list[Any], lines: bytes) -> None:
    assert saved(sc, records, tmp_path / "out") == {"part-00000": lines}


def test_a_file_for_each_partition_and_the_marker(sc: Context, tmp_path: Path) -> None:
    found = saved(sc, ["a", "b", "c"], tmp_path / "out", 5)
    assert found == {
        "part-00000": b"",
        "part-00001": b"a\n",
        "part-00002": b"",
        "part-00003": b"b\n",
        "part-00004": b"c\n",
    }
    marker = json.loads((tmp_path / "out/_SUCCESS").read_text())
    assert marker["parts"] == {
        name: {"bytes": len(data), "crc32": zlib.crc32(data)} for name, data in found.items()
    }
    assert sc.textFile(str(tmp_path / "out")).collect() == ["a", "b", "c"]
    assert sorted(os.listdir(tmp_path)) == ["out"]


def test_without_a_partition_there_is_only_the_marker(sc: Context, tmp_path: Path) -> None:
    sc.emptyRDD().saveAsTextFile(str(tmp_path / "out"))
    assert os.listdir(tmp_path / "out") == ["_SUCCESS"]


def test_many_pieces_are_one_part(sc: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codecs, "_FLUSH_BYTES", 10)
    lines = [f"line {number} ä" for number in range(500)]
    for number, codec in enumerate([None, "gzip", "bz2", "xz", "zstd"]):
        saved(sc, lines, tmp_path / str(number), 2, compressionCodecClass=codec)
        assert sc.textFile(str(tmp_path / str(number))).collect() == lines


@pytest.mark.parametrize(
    ("codec", "extension"),
    [
        ("gzip", ".gz"),
        ("org.apache.hadoop.io.compress.GzipCodec", ".gz"),
        ("bz2", ".bz2"),
        ("org.apache.hadoop.io.compress.BZip2Codec", ".bz2"),
        ("xz", ".xz"),
        ("zstd", ".zst"),
        ("org.apache.hadoop.io.compress.ZStandardCodec", ".zst"),
    ],
)
def test_codecs(sc: Context, tmp_path: Path, codec: str, extension: str) -> None:
    first = saved(sc, ["a"], tmp_path / "1", 2, compressionCodecClass=codec)
    assert list(first) == [f"part-00000{extension}", f"part-00001{extension}"]
    assert all(first.values()), "a part without records is a whole compressed file too"
    assert sc.textFile(str(tmp_path / "1")).collect() == ["a"]
    assert [data for _, data in sc.wholeTextFiles(str(tmp_path / "1")).collect()] == ["", "a\n"]
    assert saved(sc, ["a"], tmp_path / "2", 2, compressionCodecClass=codec) == first, "the same bytes again"


@pytest.mark.parametrize("codec", ["lz4", "org.apache.hadoop.io.compress.SnappyCodec", "", 7])
def test_an_unknown_codec_is_refused_before_anything_is_written(
    sc: Context, tmp_path: Path, codec: Any
) -> None:
    with pytest.raises(ArgumentError, match=r"no codec .*use one of gzip, bz2, xz, zstd"):
        saved(sc, ["a"], tmp_path / "out", compressionCodecClass=codec)
    assert os.listdir(tmp_path) == []


# ------------------------------------------------------------------------------ records that fail


class Refusing:
    def __str__(self) -> str:
        raise ZeroDivisionError("no text")

    def __repr__(self) -> str:
        return "Refusing()"


@pytest.mark.parametrize("others", [["a"], [b"a"], [1]])
def test_a_record_without_text_is_named_with_the_line_that_saves_it(
    sc: Context, tmp_path: Path, others: list[Any]
) -> None:
    rdd = sc.parallelize([*others, Refusing(), *others], 1)
    with pytest.raises(ZeroDivisionError, match="no text") as caught:
        rdd.saveAsTextFile(str(tmp_path / "out"))
    failure = failure_of(caught.value)
    assert failure is not None
    assert failure.record == "Refusing()"
    assert failure.partition == 0
    assert failure.site is not None
    assert failure.site.operation == "saveAsTextFile"
    assert failure.site.file == __file__
    assert os.listdir(tmp_path) == []


def test_a_surrogate_that_stands_alone_is_named(sc: Context, tmp_path: Path) -> None:
    for others in (["ok"], [b"ok"], [1]):
        with pytest.raises(UnicodeEncodeError) as caught:
            saved(sc, [*others, "bad \ud800"], tmp_path / "out")
        failure = failure_of(caught.value)
        assert failure is not None
        assert failure.record == r"'bad \ud800'"
    assert os.listdir(tmp_path) == []


def test_what_an_earlier_step_raises_is_not_laid_on_the_save(sc: Context, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        sc.parallelize([1, 0]).map(lambda x: 1 // x).saveAsTextFile(str(tmp_path / "out"))
    failure = failure_of(caught.value)
    assert failure is not None
    assert failure.site is not None
    assert failure.site.operation == "map"
    assert os.listdir(tmp_path) == []


# --------------------------------------------------------------------------- what was there before


def test_what_is_there_is_not_overwritten(sc: Context, tmp_path: Path) -> None:
    before = saved(sc, ["first"], tmp_path / "out")
    with pytest.raises(OutputExists, match=r"out exists already\. Hint"):
        saved(sc, ["second"], tmp_path / "out")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputExists, match="is a file"):
        saved(sc, ["second"], tmp_path / "file")
    assert content(tmp_path / "out") == before
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["file", "out"]


def replaced(sc: Context, records: list[Any], path: Path, run_id: str = "run 1") -> dict[str, bytes]:
    replace_text_directory(sc, sc.parallelize(records, 1).plan, str(path), run_id=run_id)
    return content(path)


def test_a_whole_output_of_the_same_run_is_kept(sc: Context, tmp_path: Path) -> None:
    replaced(sc, ["first"], tmp_path / "out")
    assert json.loads((tmp_path / "out/_SUCCESS").read_text())["run"] == "run 1"
    assert replaced(sc, ["second"], tmp_path / "out") == {"part-00000": b"first\n"}
    assert os.listdir(tmp_path) == ["out"]


def spoil_part(out: Path) -> None:
    (out / "part-00000").write_bytes(b"cut")


def lose_part(out: Path) -> None:
    (out / "part-00000").unlink()


def lose_marker(out: Path) -> None:
    (out / "_SUCCESS").unlink()


def empty_marker(out: Path) -> None:
    (out / "_SUCCESS").write_bytes(b"")


def another_run(out: Path) -> None:
    marker = json.loads((out / "_SUCCESS").read_text())
    (out / "_SUCCESS").write_text(json.dumps({**marker, "run": "run 0"}))


@pytest.mark.parametrize("harm", [spoil_part, lose_part, lose_marker, empty_marker, another_run])
def test_anything_else_is_moved_aside_whole_and_said_once(
    sc: Context, tmp_path: Path, harm: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    replaced(sc, ["first"], out)
    harm(out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert replaced(sc, ["second"], out) == {"part-00000": b"second\n"}
    aside = tmp_path / ".out.replaced-1"
    assert {path.name: path.read_bytes() for path in aside.iterdir()} == before
    assert sorted(os.listdir(tmp_path)) == [".out.replaced-1", "out"]
    assert caplog.text.count("WARNING") == 1
    assert ".out.replaced-1" in caplog.text


def test_a_run_without_a_name_keeps_nothing(sc: Context, tmp_path: Path) -> None:
    saved(sc, ["first"], tmp_path / "out")
    assert replaced(sc, ["second"], tmp_path / "out", run_id="") == {"part-00000": b"second\n"}


# ------------------------------------------------------------------------------- what dead runs left


def dead_temporary(path: Path) -> Path:
    program = "import sys; from penstock.storage import temporary_path; print(temporary_path(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", program, path], check=True, capture_output=True, text=True)
    left = Path(done.stdout.strip())
    left.mkdir()
    (left / "part-00000").write_text("half")
    return left


def test_a_run_removes_once_what_dead_runs_left_beside_its_output(sc: Context, tmp_path: Path) -> None:
    dead, mine = dead_temporary(tmp_path / "out-1000"), Path(temporary_path(str(tmp_path / "out-1000")))
    other = tmp_path / ".out-1000.replaced-1"
    for directory in (mine, other):
        directory.mkdir()
    replaced(sc, ["a"], tmp_path / "out-2000", "run that tidies")
    assert not dead.exists()
    assert mine.exists()
    assert other.exists()
    dead.mkdir()
    replaced(sc, ["a"], tmp_path / "out-3000", "run that tidies")
    assert dead.exists(), "one listing for each run and directory, not for each batch"
    replaced(sc, ["a"], tmp_path / "out-3000", "another run")
    assert not dead.exists()


def test_what_cannot_be_removed_fails_no_batch(
    sc: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(storage: LocalStorage, directory: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", directory)

    dead_temporary(tmp_path / "out-1000")
    monkeypatch.setattr(LocalStorage, "remove_tree", refused)
    assert replaced(sc, ["a"], tmp_path / "out-2000", "run that may not") == {"part-00000": b"a\n"}
    assert "could not be removed: [Errno 13] Permission denied" in caplog.text


def test_a_missing_parent_is_made(sc: Context, tmp_path: Path) -> None:
    assert replaced(sc, ["a"], tmp_path / "deep/er/out", "run without parents") == {"part-00000": b"a\n"}
    assert os.listdir(tmp_path / "deep/er") == ["out"]


# ------------------------------------------------------------------------------------------ streams


def test_a_directory_for_each_batch_also_for_empty_ones(sc: Context, tmp_path: Path) -> None:
    clock = ManualClock()
    ssc = StreamingContext(sc, 1, clock=clock)
    stream = ssc.queueStream([["a", "b"], [], ["c"]])
    stream.saveAsTextFiles(str(tmp_path / "out"), "txt")
    with Stepper(ssc, clock) as stepper:
        for _ in range(3):
            stepper.step()
    assert sorted(os.listdir(tmp_path)) == ["out-1000.txt", "out-2000.txt", "out-3000.txt"]
    assert sc.textFile(f"{tmp_path}/out*.txt").collect() == ["a", "b", "c"]
    for directory in tmp_path.iterdir():
        marker = json.loads((directory / "_SUCCESS").read_text())
        assert marker["run"] == ssc.run_id
        assert sorted(marker["parts"]) == sorted(content(directory))


def test_a_failing_record_of_a_stream_names_output_batch_and_record(sc: Context, tmp_path: Path) -> None:
    clock = ManualClock()
    ssc = StreamingContext(sc, 1, clock=clock)
    ssc.queueStream([[Refusing()]]).saveAsTextFiles(str(tmp_path / "out"))
    with pytest.raises(ZeroDivisionError) as caught, Stepper(ssc, clock) as stepper:
        stepper.step()
    failure = failure_of(caught.value)
    assert failure is not None
    assert (failure.record, failure.batch_time_ms) == ("Refusing()", 1000)
    assert "saveAsTextFiles (" in str(failure.output)
    assert __file__ in str(failure.output)
    assert os.listdir(tmp_path) == []


def test_save_is_what_the_rdd_calls(sc: Context, tmp_path: Path) -> None:
    save_text_directory(sc, sc.parallelize(["a"], 1).plan, str(tmp_path / "out"), codec=None)
    assert content(tmp_path / "out") == {"part-00000": b"a\n"}
