"""Files that are not read by lines."""

from __future__ import annotations

import gzip
import os
import pickle
from pathlib import Path

import pytest

from penstock import Context
from penstock.chunk import Rows
from penstock.errors import CorruptInput, InputChanged, InputVanished
from penstock.sources.files import fixed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "b.txt").write_bytes("zwei\r\nÄ".encode())
    (tmp_path / "a.txt").write_bytes(b"eins\n")
    (tmp_path / "c.txt.gz").write_bytes(gzip.compress(b"drei"))
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "empty.gz").write_bytes(b"")
    (tmp_path / "_SUCCESS").write_bytes(b"{}")
    return tmp_path


# ------------------------------------------------------------------------------------------ whole


def test_whole_text_files(sc: Context, folder: Path) -> None:
    found = sc.wholeTextFiles(str(folder)).collect()
    assert [(path.rpartition("/")[2], text) for path, text in found] == [
        ("a.txt", "eins\n"),
        ("b.txt", "zwei\r\nÄ"),
        ("c.txt.gz", "drei"),
        ("empty", ""),
        ("empty.gz", ""),
    ]


def test_whole_text_files_as_bytes(sc: Context, folder: Path) -> None:
    path = folder / "b.txt"
    assert sc.wholeTextFiles(str(path), use_unicode=False).collect() == [
        (str(path).encode(), "zwei\r\nÄ".encode())
    ]


def test_what_is_not_utf8_is_replaced(sc: Context, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"caf\xe9")
    assert sc.wholeTextFiles(str(tmp_path / "a")).values().collect() == ["caf\ufffd"]


def test_binary_files_are_not_decompressed(sc: Context, folder: Path) -> None:
    found = dict(sc.binaryFiles(str(folder)).collect())
    assert found[str(folder / "c.txt.gz")] == (folder / "c.txt.gz").read_bytes()
    assert len(found) == 5


@pytest.mark.parametrize(("wanted", "partitions"), [(1, 1), (2, 2), (5, 5), (50, 5)])
def test_files_are_spread_over_at_most_as_many_partitions(
    sc: Context, folder: Path, wanted: int, partitions: int
) -> None:
    rdd = sc.binaryFiles(str(folder), wanted)
    assert rdd.getNumPartitions() == partitions
    assert [os.path.basename(path) for path in rdd.keys().collect()] == [
        "a.txt", "b.txt", "c.txt.gz", "empty", "empty.gz",
    ]  # fmt: skip


@pytest.mark.parametrize("method", ["wholeTextFiles", "binaryFiles"])
def test_whole_files_are_as_they_were_listed(sc: Context, tmp_path: Path, method: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    rdd = getattr(sc, method)(str(path)).values()
    path.write_bytes(b"1234567")
    assert len(rdd.first()) == 5
    path.write_bytes(b"123")
    with pytest.raises(InputChanged, match="a had 5 bytes when it was listed, but only 3 are left"):
        rdd.collect()
    path.unlink()
    with pytest.raises(InputVanished, match="a was listed, but is gone now"):
        rdd.collect()


def test_a_broken_compressed_file_is_named(sc: Context, tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"whole")[:-3])
    with pytest.raises(CorruptInput, match=r"a\.gz is not a whole \.gz file"):
        sc.wholeTextFiles(str(tmp_path)).collect()


# ------------------------------------------------------------------------------- of a fixed length


def test_fixed_records(sc: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"aaabbbccc")
    (tmp_path / "b").write_bytes(b"")
    (tmp_path / "c").write_bytes(b"\n\r\0")
    expected = [b"aaa", b"bbb", b"ccc", b"\n\r\0"]
    assert sc.binaryRecords(str(tmp_path), 3).collect() == expected
    monkeypatch.setattr(fixed, "_CHUNK_BYTES", 4)
    assert sc.binaryRecords(str(tmp_path), 3).collect() == expected
    monkeypatch.setattr(fixed, "CHUNK_ROWS", 2)
    monkeypatch.setattr(fixed, "_CHUNK_BYTES", 1 << 20)
    assert sc.binaryRecords(str(tmp_path), 3).collect() == expected


def test_a_file_that_is_no_whole_number_of_records_is_refused_whole(sc: Context, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"aaabb")
    with pytest.raises(CorruptInput, match=r"a has 5 bytes, which is no whole number of records of 3 bytes"):
        sc.binaryRecords(str(tmp_path), 3).take(1)


def test_a_file_that_lost_whole_records_is_not_less_in_silence(sc: Context, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"aaabbb")
    rdd = sc.binaryRecords(str(tmp_path), 3)
    (tmp_path / "a").write_bytes(b"aaabbbccc")
    assert rdd.count() == 2
    (tmp_path / "a").write_bytes(b"aaa")
    with pytest.raises(InputChanged):
        rdd.collect()


# ---------------------------------------------------------------------------------------- pickled


def test_a_pickled_part_cut_off_anywhere_is_refused(sc: Context, tmp_path: Path) -> None:
    chunks = [pickle.dumps(Rows([1, "zwei"]), 5), pickle.dumps(Rows([(3.0, None)] * 3), 5)]
    whole = b"".join(chunks)
    path = tmp_path / "part-00000"
    for left in range(len(whole) + 1):
        path.write_bytes(whole[:left])
        rdd = sc.pickleFile(str(tmp_path))
        if left in (0, len(chunks[0]), len(whole)):  # ends between chunks, where a listing alone can tell
            assert rdd.count() == {0: 0, len(chunks[0]): 2, len(whole): 5}[left]
        else:
            with pytest.raises(CorruptInput, match="part-00000 is not a whole part of a pickle file"):
                rdd.collect()


def test_a_pickled_part_that_lost_a_chunk_is_not_less_in_silence(sc: Context, tmp_path: Path) -> None:
    chunk = pickle.dumps(Rows([1]), 5)
    path = tmp_path / "part-00000"
    path.write_bytes(chunk * 2)
    rdd = sc.pickleFile(str(tmp_path))
    path.write_bytes(chunk)
    with pytest.raises(InputChanged):
        rdd.collect()
    path.write_bytes(chunk * 3)
    assert rdd.collect() == [1, 1]


@pytest.mark.parametrize(
    "content", [b"plain text\n", b"(a\n", b"\x80\x05", b"SEQ\x06!org.apache.hadoop", b"I1x\n.", b"\x80\xff."]
)
def test_what_is_no_pickle_is_named(sc: Context, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "part-00000").write_bytes(content)
    with pytest.raises(CorruptInput, match=r"part-00000 is not a"):
        sc.pickleFile(str(tmp_path)).collect()


def test_another_pickle_is_not_a_part(sc: Context, tmp_path: Path) -> None:
    (tmp_path / "part-00000").write_bytes(pickle.dumps([1, 2, 3]))
    with pytest.raises(CorruptInput, match="part-00000 is not a part that saveAsPickleFile wrote"):
        sc.pickleFile(str(tmp_path)).collect()


def test_a_class_that_is_not_there_says_where_and_what_to_do(sc: Context, tmp_path: Path) -> None:
    (tmp_path / "part-00000").write_bytes(b"cno_such_module\nOrder\n.")
    with pytest.raises(ModuleNotFoundError, match="no_such_module") as caught:
        sc.pickleFile(str(tmp_path)).collect()
    assert "part-00000: a class of its records cannot be found" in caught.value.__notes__[0]
