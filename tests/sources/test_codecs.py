"""Compressed files: whole ones, many in one, and broken ones, which are never less in silence."""

from __future__ import annotations

import bz2
import gzip
import itertools
import lzma
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest

from penstock.chunk import rows_of
from penstock.errors import CorruptInput, InputChanged, InputVanished, StorageError
from penstock.plan import Metrics, Task
from penstock.sources import text_readers
from penstock.sources.files import text
from penstock.sources.files.codecs import codec_of
from penstock.storage import LocalStorage

CODECS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: pyarrow.compress(data, "zstd", asbytes=True),
}
LINES = [f"line {number} äöü" for number in range(1000)]
DATA = "\n".join(LINES).encode()


@pytest.fixture(params=CODECS)
def extension(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def compress(extension: str) -> Callable[[bytes], bytes]:
    return CODECS[extension]


@pytest.fixture
def file(tmp_path: Path, extension: str) -> Path:
    return tmp_path / f"orders.csv{extension}"


def plan(path: Path, **options: Any) -> Callable[[], list[Any]]:
    """List the file now; read it when called."""
    storage = LocalStorage()
    readers = text_readers(storage, storage.stat(str(path)), **{"split_bytes": 100, **options})
    return lambda: [row for reader in readers for row in rows_of(reader.read(Task(0, 1, Metrics())))]


def test_the_extension_tells() -> None:
    assert [codec_of(f"/a.b/x{end}") for end in (".gz", ".bz2", ".xz", ".zst")] == list(CODECS)
    assert [codec_of(name) for name in ("gz", "a.gz.txt", "a.GZ", "a.zip", "a")] == [None] * 5


@pytest.mark.parametrize("block", [1, 17, 8 << 20])
def test_lines(
    file: Path, compress: Callable[[bytes], bytes], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "_BLOCK_BYTES", block)
    file.write_bytes(compress(b"\xef\xbb\xbf" + DATA))
    assert plan(file)() == LINES


def test_a_compressed_file_is_one_partition(file: Path, compress: Callable[[bytes], bytes]) -> None:
    file.write_bytes(compress(random.Random(1).randbytes(5000)))
    storage = LocalStorage()
    assert len(text_readers(storage, storage.stat(str(file)), split_bytes=10)) == 1


def test_line_numbers(file: Path, compress: Callable[[bytes], bytes]) -> None:
    file.write_bytes(compress(DATA))
    assert [(line.number, line.text) for line in plan(file, numbered=True)()] == list(enumerate(LINES, 1))


@pytest.mark.parametrize("cuts", [[0], [100], [1, 2, 3, 500], [len(DATA)]])
def test_many_members_are_one_file(file: Path, compress: Callable[[bytes], bytes], cuts: list[int]) -> None:
    bounds = [0, *cuts, len(DATA)]
    pieces = [DATA[start:stop] for start, stop in itertools.pairwise(bounds)]
    file.write_bytes(b"".join(map(compress, pieces)))
    assert plan(file)() == LINES


def test_an_empty_member_has_no_lines(file: Path, compress: Callable[[bytes], bytes]) -> None:
    file.write_bytes(compress(b""))
    assert plan(file)() == []


def test_no_bytes_at_all_are_no_lines(file: Path) -> None:
    file.write_bytes(b"")
    assert plan(file)() == []


@pytest.mark.parametrize("extension", [".gz", ".bz2", ".xz"], indirect=True)
def test_zero_bytes_behind_a_member_are_padding(file: Path, compress: Callable[[bytes], bytes]) -> None:
    file.write_bytes(compress(DATA[:100]) + bytes(512) + compress(DATA[100:]) + bytes(8))
    assert plan(file)() == LINES


# ------------------------------------------------------------------------------------ broken ones


def test_a_file_cut_off_anywhere_is_refused_by_name(file: Path, compress: Callable[[bytes], bytes]) -> None:
    whole = compress(DATA[:200])
    for left in range(1, len(whole)):
        file.write_bytes(whole[:left])
        with pytest.raises(
            CorruptInput, match=rf"orders\.csv{file.suffix} is not a whole {file.suffix} file"
        ):
            plan(file)()


def test_a_second_member_cut_off_anywhere_is_refused(file: Path, compress: Callable[[bytes], bytes]) -> None:
    first, second = compress(DATA[:100]), compress(DATA[100:200])
    for left in range(1, len(second)):
        file.write_bytes(first + second[:left])
        with pytest.raises(CorruptInput, match="is not a whole"):
            plan(file)()


@pytest.mark.parametrize("garbage", [b"X", b"plain text\n", b"\0\0garbage"])
def test_what_is_behind_the_last_member_is_not_lost_in_silence(
    file: Path, compress: Callable[[bytes], bytes], garbage: bytes
) -> None:
    file.write_bytes(compress(DATA) + garbage)
    with pytest.raises(CorruptInput, match="is not a whole"):
        plan(file)()


def test_plain_text_under_a_compressed_name_is_refused(file: Path) -> None:
    file.write_bytes(DATA)
    with pytest.raises(CorruptInput, match="is not a whole"):
        plan(file)()


@pytest.mark.parametrize("extension", [".gz", ".bz2", ".xz"], indirect=True)  # Arrow's zstd has no checksum
def test_a_flipped_bit_never_gives_other_lines(file: Path, compress: Callable[[bytes], bytes]) -> None:
    whole = bytearray(compress(DATA[:300]))
    expected = DATA[:300].decode().split("\n")
    refused = 0
    for at in range(len(whole)):
        whole[at] ^= 0x10
        file.write_bytes(whole)
        try:
            assert plan(file)() == expected  # a flag or a time in the header
        except CorruptInput:
            refused += 1
        whole[at] ^= 0x10
    assert refused > len(whole) * 0.8


# ------------------------------------------------------------------- files that are not as they were


def test_what_a_file_has_grown_by_is_not_read(file: Path, compress: Callable[[bytes], bytes]) -> None:
    file.write_bytes(compress(DATA))
    read = plan(file)
    with file.open("ab") as more:
        more.write(compress(b"\nmore"))
    assert read() == LINES


def test_a_member_that_was_not_whole_stays_so(file: Path, compress: Callable[[bytes], bytes]) -> None:
    whole = compress(DATA)
    file.write_bytes(whole[:-5])
    read = plan(file)
    file.write_bytes(whole)
    with pytest.raises(CorruptInput):
        read()


def test_a_file_that_has_shrunk_is_named(file: Path, compress: Callable[[bytes], bytes]) -> None:
    first = compress(DATA[:100])
    file.write_bytes(first + compress(DATA[100:]))
    read = plan(file)
    for left in (len(first) + 1, len(first), 1, 0):  # a whole member left is no excuse
        with file.open("r+b") as shorter:
            shorter.truncate(left)
        with pytest.raises(InputChanged, match=rf"orders\.csv{file.suffix} had .* only {left} are left"):
            read()


def test_a_file_that_is_gone_is_named(file: Path, compress: Callable[[bytes], bytes]) -> None:
    file.write_bytes(compress(DATA))
    read = plan(file)
    file.unlink()
    with pytest.raises(InputVanished, match=r"orders\.csv\..* was listed, but is gone now"):
        read()


def test_an_error_of_the_disk_stays_one(
    file: Path, compress: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_bytes(compress(DATA))
    read = plan(file)

    class Broken:
        def __enter__(self) -> Broken:
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def read(self, size: int = -1) -> bytes:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(LocalStorage, "open_read", lambda self, path: Broken())
    with pytest.raises(OSError, match="Input/output error") as caught:
        read()
    assert not isinstance(caught.value, StorageError)
