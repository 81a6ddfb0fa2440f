"""Lines of text files: where they begin and end, whatever the bytes and however they are cut."""

from __future__ import annotations

import io
import itertools
import os
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.chunk import rows_of
from penstock.errors import InputChanged, InputVanished
from penstock.plan import Metrics, PartitionReader, Task
from penstock.sources import SourceLine, text_readers
from penstock.sources.files import text
from penstock.storage import FileInfo, LocalStorage

REPLACED = "\ufffd"


def reference(data: bytes) -> list[str]:
    """The lines of a file, one byte after the other."""
    lines, current, at = [], bytearray(), 0
    data = data.removeprefix(b"\xef\xbb\xbf")
    while at < len(data):
        if data[at : at + 1] in (b"\r", b"\n"):
            at += 2 if data[at : at + 2] == b"\r\n" else 1
            lines.append(bytes(current))
            current.clear()
        else:
            current += data[at : at + 1]
            at += 1
    return [line.decode("utf-8", "replace") for line in [*lines, *([bytes(current)] if current else [])]]


class InMemory(LocalStorage):
    """One file, without a disk; all paths are that file."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        object.__setattr__(self, "data", data)

    def open_read(self, path: str) -> BinaryIO:
        return io.BytesIO(self.data)


def read(reader: PartitionReader, metrics: Metrics | None = None) -> list[Any]:
    return list(rows_of(reader.read(Task(0, 1, metrics or Metrics()))))


def readers_of(data: bytes, *, split_bytes: int = 1 << 20, **options: Any) -> list[PartitionReader]:
    info = FileInfo("/in/a.txt", len(data), 0)
    return text_readers(InMemory(data), info, split_bytes=split_bytes, **options)


def lines_of(data: bytes, **options: Any) -> list[Any]:
    return [line for reader in readers_of(data, **options) for line in read(reader)]


@pytest.fixture(params=[(1, 1), (2, 1), (3, 2), (7, 5), (8 << 20, 64 << 10)], ids=str)
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many bytes are read at a time: smaller than lines, smaller than line ends, and as in real life."""
    monkeypatch.setattr(text, "_BLOCK_BYTES", request.param[0])
    monkeypatch.setattr(text, "_PROBE_BYTES", request.param[1])


# ------------------------------------------------------------------------------------------- lines


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"a", ["a"]),
        (b"a\n", ["a"]),
        (b"a\nb", ["a", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"a\rb\r", ["a", "b"]),
        (b"a\n\rb", ["a", "", "b"]),
        (b"a\r\r\nb", ["a", "", "b"]),
        (b"\n", [""]),
        (b"\r", [""]),
        (b"\r\n", [""]),
        (b"\n\n\n", ["", "", ""]),
        (b"\r\r\n\n\r", ["", "", "", ""]),
        (b"mixed\r\nends\rin\none file", ["mixed", "ends", "in", "one file"]),
        (b"\n a \n", ["", " a "]),
        ("ä€😀\n漢".encode(), ["ä€😀", "漢"]),
        (b"a\x00b\n\x00", ["a\x00b", "\x00"]),
        (
            "a\u2028b\u2029c\x0bd\x0ce\x85f\x1cg\u0085h".encode("utf-8"),
            ["a\u2028b\u2029c\x0bd\x0ce\x85f\x1cg\x85h"],
        ),
        (b"\xef\xbb\xbfa\nb", ["a", "b"]),
        (b"\xef\xbb\xbf", []),
        (b"\xef\xbb\xbf\n", [""]),
        (b"a\n\xef\xbb\xbfb", ["a", "\ufeffb"]),
        (b"\xef\xbb\xbf\xef\xbb\xbfa", ["\ufeffa"]),
        (b"\xef\xbba", [REPLACED + "a"]),
    ],
)
def test_lines(blocks: None, data: bytes, lines: list[str]) -> None:
    assert reference(data) == lines, "the reference itself"
    for split_bytes in (1, 2, 3, 1000):
        assert lines_of(data, split_bytes=split_bytes) == lines


def test_an_empty_file_has_no_partition() -> None:
    assert readers_of(b"") == []


@pytest.mark.parametrize(
    ("data", "lines", "bad"),
    [
        (b"\xff\n", [REPLACED], 1),
        (b"a\xffb\xfec\nok", [f"a{REPLACED}b{REPLACED}c", "ok"], 2),
        (b"caf\xe9\n", [f"caf{REPLACED}"], 1),
        (b"\xe2\x82\nnext", [REPLACED, "next"], 1),
        (b"\xe2\x82", [REPLACED], 1),
        (b"\xed\xa0\x80", [REPLACED * 3], 3),
        (b"\xc0\xaf", [REPLACED * 2], 2),
        ("\ufffd is a character too".encode(), ["\ufffd is a character too"], 0),
        ("\ufffd".encode() + b"\xff", [REPLACED * 2], 1),
        (b"\xf0" + "\ufffd".encode(), [REPLACED * 2], 1),
    ],
)
def test_what_is_not_utf8_is_replaced_and_counted(
    blocks: None, data: bytes, lines: list[str], bad: int
) -> None:
    for split_bytes in (1, 1000):
        metrics = Metrics()
        readers = readers_of(data, split_bytes=split_bytes, origin=7)
        assert [line for reader in readers for line in read(reader, metrics)] == lines
        assert metrics.total("bad_utf8") == bad
        assert metrics.total("records") == len(lines)
        assert {place[0] for place in metrics.places("records")} == {7}  # type: ignore[index]


def test_what_is_read_twice_counts_once() -> None:
    metrics = Metrics()
    for reader in readers_of(b"a\n\xff\nc", split_bytes=2) * 2:
        read(reader, metrics)
    assert metrics.total("records") == 3
    assert metrics.total("bytes") == 5
    assert metrics.total("bad_utf8") == 1


# ------------------------------------------------------------------------------------------ ranges


ALPHABET = [b"\n", b"\r", b"\r\n", b"a", b"\xc3\xa4", b"\xff", b"\xef\xbb\xbf", b"long enough"]


def test_every_cut_of_every_short_file_gives_the_same_lines(blocks: None) -> None:
    for size in range(1, 4):
        for pieces in itertools.product(ALPHABET[:5], repeat=size):
            data = b"".join(pieces)
            expected = reference(data)
            for split_bytes in range(1, len(data) + 1):
                assert lines_of(data, split_bytes=split_bytes) == expected, (data, split_bytes)


@given(
    st.lists(st.sampled_from(ALPHABET), max_size=40).map(b"".join),
    st.integers(1, 50),
    st.integers(1, 12),
    st.integers(1, 12),
)
def test_the_partitions_together_are_the_file(data: bytes, split: int, block: int, probe: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "_BLOCK_BYTES", block)
        patch.setattr(text, "_PROBE_BYTES", probe)
        metrics = Metrics()
        readers = readers_of(data, split_bytes=split)
        lines = [line for reader in readers for line in read(reader, metrics)]
        assert lines == reference(data)
        assert metrics.total("records") == len(lines)
        assert metrics.total("bytes") == len(data)


@given(st.lists(st.sampled_from(ALPHABET), max_size=30).map(b"".join), st.data())
def test_any_two_cuts_do(data: bytes, draw: st.DataObject) -> None:
    cuts = sorted({0, len(data), *draw.draw(st.lists(st.integers(0, len(data)), max_size=3))})
    storage = InMemory(data)
    lines = []
    for start, stop in itertools.pairwise(cuts):
        lines += read(text.TextReader(storage, "/a", start, stop, len(data), numbered=False, origin=None))
    assert lines == reference(data)


def test_partitions_are_about_equal_and_no_larger_than_asked() -> None:
    readers = readers_of(b"x" * 100, split_bytes=30)
    sizes = [reader.stop - reader.start for reader in readers]  # type: ignore[attr-defined]
    assert sizes == [25, 25, 25, 25]


def test_a_line_that_is_longer_than_many_ranges_is_in_one_partition(blocks: None) -> None:
    data = b"short\n" + b"x" * 100 + b"\nend"
    parts = [read(reader) for reader in readers_of(data, split_bytes=10)]
    assert [part for part in parts if part] == [["short", "x" * 100], ["end"]]


class Counting(io.BytesIO):
    total = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        Counting.total += len(data)
        return data


def test_a_small_range_of_a_large_file_reads_little(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"0123456789\n" * 200_000
    monkeypatch.setattr(InMemory, "open_read", lambda self, path: Counting(self.data))
    Counting.total = 0
    assert len(read(readers_of(data, split_bytes=1000)[1000])) in (90, 91)
    assert Counting.total < 3 * 64 * 1024


def test_chunks_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "CHUNK_ROWS", 10)
    [reader] = readers_of(b"x\n" * 95)
    assert [len(chunk) for chunk in reader.read(Task(0, 1, Metrics()))] == [10] * 9 + [5]


def test_a_line_much_longer_than_a_block_costs_no_more_than_its_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(text, "_BLOCK_BYTES", 64)
    assert lines_of(b"x" * 1_000_000) == ["x" * 1_000_000]  # 15,625 pieces; joined at each it would be 8 GB


# ----------------------------------------------------------------------------------------- sources


def test_lines_know_file_and_number(blocks: None) -> None:
    data = b"\xef\xbb\xbffirst\r\n\nthird\rfourth"
    assert lines_of(data, split_bytes=1, numbered=True) == [
        SourceLine("/in/a.txt", number, line)
        for number, line in enumerate(["first", "", "third", "fourth"], 1)
    ]


def test_numbers_go_on_across_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "CHUNK_ROWS", 3)
    monkeypatch.setattr(text, "_BLOCK_BYTES", 16)
    found = lines_of(b"".join(b"%d\n" % n for n in range(1, 51)), numbered=True)
    assert [(line.number, line.text) for line in found] == [(n, str(n)) for n in range(1, 51)]


# ------------------------------------------------------------------- files that are not as they were


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "orders.csv"
    path.write_bytes(b"one\ntwo\nthree\nfour\n")
    return path


def planned(path: Path, split_bytes: int = 1000) -> list[PartitionReader]:
    storage = LocalStorage()
    return text_readers(storage, storage.stat(str(path)), split_bytes=split_bytes)


def test_a_file_that_is_gone_is_named(file: Path) -> None:
    [reader] = planned(file)
    file.unlink()
    with pytest.raises(InputVanished, match=r"orders\.csv was listed, but is gone now"):
        read(reader)


def test_what_a_file_has_grown_by_is_not_read(file: Path, blocks: None) -> None:
    for split_bytes in (1, 4, 5, 1000):
        readers = planned(file, split_bytes)
        with file.open("ab") as more:
            more.write(b"five\n")
        assert [line for reader in readers for line in read(reader)] == ["one", "two", "three", "four"]
        os.truncate(file, 19)


def test_a_line_that_grew_ends_where_it_ended(file: Path) -> None:
    file.write_bytes(b"one\ntw")
    [reader] = planned(file)
    file.write_bytes(b"one\ntwo\n")
    assert read(reader) == ["one", "tw"]


@pytest.mark.parametrize("split_bytes", [*range(1, 20), 1000])
def test_a_file_that_has_shrunk_never_is_less_in_silence(file: Path, blocks: None, split_bytes: int) -> None:
    readers = planned(file, split_bytes)
    whole = [read(reader) for reader in readers]
    for left in range(18, -1, -1):
        os.truncate(file, left)
        errors = []
        for reader, lines in zip(readers, whole, strict=True):
            try:
                assert read(reader) == lines, "a partition is what it was, or an error"
            except InputChanged as error:
                errors.append(str(error))
        assert errors, f"{left} bytes left"
        assert f"orders.csv had 19 bytes when it was listed, but only {left} are left" in errors[-1]
