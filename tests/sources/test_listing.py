"""Which files a path means: files, directories, globs, lists with commas, URLs."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from penstock import Context
from penstock.errors import ArgumentError, InputVanished, SignatureError
from penstock.sources import SourceLine, files_of
from penstock.storage import FileInfo, LocalStorage, Storage


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in (
        "out/figures-1000.txt/part-00000",
        "out/figures-1000.txt/part-00001",
        "out/figures-2000.txt/part-00000",
        "out/figures-1000.txt/_SUCCESS",
        "out/figures-2000.txt/.part-00000.crc",
        "out/figures-2000.txt/part-00001._COPYING_",
        "out/figures-2000.txt/below/part-00000",
        "out/.figures-3000.txt.tmp/part-00000",
        "in/b.csv",
        "in/a.csv",
        "in/.c.csv",
        "in/_d.csv",
        "in/e.csv._COPYING_",
        "in/f,g.csv",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name}\n")
    return tmp_path


def names(root: Path, paths: str) -> list[str]:
    return [os.path.relpath(info.path, root) for info in files_of(paths)[1]]


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        ("{}/in/a.csv", ["in/a.csv"]),
        ("{}/in", ["in/a.csv", "in/b.csv", "in/f,g.csv"]),
        ("{}/in/", ["in/a.csv", "in/b.csv", "in/f,g.csv"]),
        ("{}/in/*", ["in/a.csv", "in/b.csv", "in/f,g.csv"]),
        ("{}/in/[ab].csv", ["in/a.csv", "in/b.csv"]),
        ("{}/in/{{b,a}}.csv", ["in/a.csv", "in/b.csv"]),
        ("{}/in/b.csv,{}/in/a.csv", ["in/b.csv", "in/a.csv"]),
        ("{}/in/b.csv , {}/in/a.csv,", ["in/b.csv", "in/a.csv"]),
        ("{}/in/a.csv,{}/in/a.csv", ["in/a.csv", "in/a.csv"]),
        ("{}/in/f,g.csv", ["in/f,g.csv"]),
        ("{}/in/_d.csv", ["in/_d.csv"]),
        ("{}/in/.c.csv,{}/in/e.csv._COPYING_", ["in/.c.csv", "in/e.csv._COPYING_"]),
        ("{}/in/_*", ["in/_d.csv"]),
        (
            "{}/out/figures*.txt",
            [
                "out/figures-1000.txt/part-00000",
                "out/figures-1000.txt/part-00001",
                "out/figures-2000.txt/part-00000",
            ],
        ),
        ("{}/out/*/part-00000", ["out/figures-1000.txt/part-00000", "out/figures-2000.txt/part-00000"]),
        ("file://{}/in/a.csv", ["in/a.csv"]),
    ],
)
def test_files(root: Path, paths: str, found: list[str]) -> None:
    assert names(root, paths.format(root, root)) == found


def test_a_relative_path_and_a_path_object(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    assert names(root, "in/a.csv") == ["in/a.csv"]
    assert [info.name for info in files_of(Path("in/a.csv"))[1]] == ["a.csv"]


def test_an_empty_directory_means_no_files(tmp_path: Path) -> None:
    assert files_of(str(tmp_path))[1] == []


@pytest.mark.parametrize("path", ["missing", "missing/*", "in/*.txt", "in/a.csv/x", "in/a.csv,{}/missing"])
def test_what_means_nothing_is_named(root: Path, path: str) -> None:
    path = f"{root}/{path}".replace("{}", str(root))
    with pytest.raises(InputVanished, match="there is no file or directory") as caught:
        files_of(path)
    assert str(caught.value).endswith(path.rpartition(",")[2])
    assert isinstance(caught.value, FileNotFoundError)


@pytest.mark.parametrize("path", ["", ",", " , "])
def test_no_path_at_all(path: str) -> None:
    with pytest.raises(ArgumentError):
        files_of(path)


@pytest.mark.parametrize("path", [None, 7, ["a", "b"]])
def test_what_is_no_path(path: object) -> None:
    with pytest.raises(SignatureError, match="a path must be text"):
        files_of(path)  # type: ignore[arg-type]


def test_a_broken_link_is_left_out_of_its_directory(root: Path) -> None:
    (root / "in/broken.csv").symlink_to(root / "nowhere")
    assert "in/broken.csv" not in names(root, f"{root}/in")
    with pytest.raises(InputVanished):
        files_of(f"{root}/in/broken.csv")


def test_a_file_that_goes_while_its_directory_is_listed_is_left_out(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = LocalStorage.list_directory

    def slow(storage: LocalStorage, directory: str) -> list[FileInfo]:
        found = listing(storage, directory)
        (root / "in/a.csv").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(LocalStorage, "list_directory", slow)
    assert names(root, f"{root}/in") == ["in/a.csv", "in/b.csv", "in/f,g.csv"]  # reading it will say so


# ------------------------------------------------------------------------------------------ stores


@pytest.fixture
def memory() -> Iterator[str]:
    root = f"/{uuid.uuid4().hex}"
    files = fsspec.filesystem("memory")
    for name in ("a.csv", "b.csv", "_SUCCESS", "more/c.csv"):
        files.pipe_file(f"{root}/{name}", f"{name}\n".encode())
    yield f"memory://{root}"
    files.rm(root, recursive=True)


def test_files_behind_a_url(sc: Context, memory: str) -> None:
    assert sc.textFile(memory).collect() == ["a.csv", "b.csv"]
    assert sc.textFile(f"{memory}/*.csv").collect() == ["a.csv", "b.csv"]
    assert sc.textFile(f"{memory}/b.csv,{memory}/more").collect() == ["b.csv", "more/c.csv"]
    with pytest.raises(InputVanished, match=r"memory://.*/missing"):
        sc.textFile(f"{memory}/missing")


def test_records_carry_the_url_with_which_a_program_can_read_them(sc: Context, memory: str) -> None:
    url = f"{memory}/a.csv"
    assert sc.wholeTextFiles(url).collect() == [(url, "a.csv\n")]
    assert sc.binaryFiles(url).collect() == [(url, b"a.csv\n")]
    assert sc.textFile(url, withSource=True).collect() == [SourceLine(url, 1, "a.csv")]


def test_one_list_is_in_one_store(sc: Context, memory: str, root: Path) -> None:
    for paths in (f"{memory}/a.csv,{root}/in/a.csv", f"{root}/in/a.csv,{memory}/a.csv"):
        with pytest.raises(ArgumentError, match=r"are in different stores\. Hint: use sc\.union"):
            sc.textFile(paths)


# ---------------------------------------------------------------------------------------- textFile


def test_the_lines_of_several_batch_directories(sc: Context, root: Path) -> None:
    assert sc.textFile(f"{root}/out/figures*.txt").collect() == [
        "out/figures-1000.txt/part-00000",
        "out/figures-1000.txt/part-00001",
        "out/figures-2000.txt/part-00000",
    ]


def test_min_partitions(sc: Context, tmp_path: Path) -> None:
    lines = [f"line {number}" for number in range(1000)]
    (tmp_path / "a").write_text("\n".join(lines))
    for wanted, partitions in ((None, 1), (1, 1), (2, 2), (7, 7), (10, 10)):
        rdd = sc.textFile(str(tmp_path / "a"), wanted)
        assert rdd.getNumPartitions() == partitions
        assert rdd.collect() == lines
    assert sc.textFile(str(tmp_path / "a"), 100_000).collect() == lines
    assert sc.textFile(str(tmp_path / "a"), 10, withSource=True).getNumPartitions() == 1
    with pytest.raises(ArgumentError):
        sc.textFile(str(tmp_path / "a"), 0)


def test_min_partitions_counts_all_files(sc: Context, tmp_path: Path) -> None:
    (tmp_path / "large").write_text("x" * 900)
    (tmp_path / "small").write_text("x" * 100)
    (tmp_path / "none").write_text("")
    assert sc.textFile(str(tmp_path), 10).getNumPartitions() == 10
    assert sc.textFile(str(tmp_path / "none"), 10).getNumPartitions() == 0


def test_lines_as_bytes(sc: Context, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes("ä\r\nb\xff".encode("latin-1"))
    assert sc.textFile(str(tmp_path / "a"), use_unicode=False).collect() == [
        "\ufffd".encode(),
        "b\ufffd".encode(),
    ]
    with pytest.raises(SignatureError, match="not both"):
        sc.textFile(str(tmp_path / "a"), use_unicode=False, withSource=True)


def test_the_storage_is_the_files_own(root: Path) -> None:
    storage, found = files_of(f"{root}/in/a.csv")
    assert isinstance(storage, Storage)
    assert storage.read(found[0].path) == b"in/a.csv\n"
