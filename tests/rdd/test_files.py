"""Directories of results: out, and in again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from penstock import Context
from penstock.errors import OutputExists, failure_of
from penstock.testing import same

RECORDS: list[Any] = [1, "é", None, (1, [2, {"a": -0.0}]), float("nan"), {"k": (1,)}, b"\x00", True]


@pytest.mark.parametrize("partitions", [1, 3, 12])
def test_pickled_records_come_back(sc: Context, tmp_path: Path, partitions: int) -> None:
    path = str(tmp_path / "out")
    sc.parallelize(RECORDS, partitions).saveAsPickleFile(path)
    assert same(sc.pickleFile(path).collect(), RECORDS)
    assert len([name for name in os.listdir(path) if name.startswith("part-")]) == partitions


@pytest.mark.parametrize("codec", [None, "gzip", "org.apache.hadoop.io.compress.BZip2Codec"])
def test_lines_come_back(sc: Context, tmp_path: Path, codec: str | None) -> None:
    path = str(tmp_path / "out")
    lines = ["one", "", "zwölf", "3"]
    sc.parallelize(lines, 2).saveAsTextFile(path, codec)
    assert sc.textFile(path).collect() == lines
    assert "_SUCCESS" in os.listdir(path)


def test_records_are_written_as_their_text(sc: Context, tmp_path: Path) -> None:
    sc.parallelize([("a", 1), None, 2.5, b"raw"], 1).saveAsTextFile(str(tmp_path / "out"))
    assert (tmp_path / "out" / "part-00000").read_bytes() == b"('a', 1)\nNone\n2.5\nraw\n"


def test_nothing_is_written_over(sc: Context, tmp_path: Path) -> None:
    sc.parallelize([1], 1).saveAsTextFile(str(tmp_path / "out"))
    for save in (sc.parallelize([2], 1).saveAsTextFile, sc.parallelize([2], 1).saveAsPickleFile):
        with pytest.raises(OutputExists):
            save(str(tmp_path / "out"))
    assert sc.textFile(str(tmp_path / "out")).collect() == ["1"]


def test_nothing_is_there_after_a_failure(sc: Context, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError) as found:
        sc.parallelize([1, 0], 2).map(lambda x: 1 // x).saveAsTextFile(str(tmp_path / "out"))
    assert failure_of(found.value).record == "0"
    assert os.listdir(tmp_path) == []
