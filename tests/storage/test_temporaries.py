from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.storage import LocalStorage, clean_leftovers, temporary_path

PROGRAM = "import sys; from penstock.storage import temporary_path; print(temporary_path(sys.argv[1]))"


def named_by_a_dead_process(path: Path) -> Path:
    command = [sys.executable, "-c", PROGRAM, str(path)]
    return Path(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())


def test_a_temporary_is_hidden_beside_its_path_and_new_each_time() -> None:
    one, other = temporary_path("/data/out"), temporary_path("/data/out")
    assert one != other
    assert one.startswith("/data/.out.")
    assert one.endswith(".tmp")


def test_leftovers_of_dead_processes_are_removed(tmp_path: Path) -> None:
    file = named_by_a_dead_process(tmp_path / "a")
    file.write_bytes(b"half")
    directory = named_by_a_dead_process(tmp_path / "b")
    directory.mkdir()
    (directory / "part-00000").write_bytes(b"half")
    assert clean_leftovers(LocalStorage(), str(tmp_path)) == sorted([str(file), str(directory)])
    assert list(tmp_path.iterdir()) == []
    assert clean_leftovers(LocalStorage(), str(tmp_path)) == []


def test_whatever_else_is_there_stays(tmp_path: Path) -> None:
    mine = Path(temporary_path(str(tmp_path / "a")))
    dead = named_by_a_dead_process(tmp_path / "a").name
    names = [
        "a",
        ".a",
        ".a.tmp",
        ".a.replaced-1",
        ".a.123-4-5.tmp",
        dead.removeprefix("."),
        dead + "x",
        mine.name,
    ]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    for sole_owner in (False, True):
        assert clean_leftovers(LocalStorage(), str(tmp_path), sole_owner=sole_owner) == []
    assert sorted(os.listdir(tmp_path)) == sorted(names)


def of_another_machine(name: str) -> str:
    machine = name.rsplit(".", 2)[1].split("-")[0]
    return name.replace(machine, "000000" if machine != "000000" else "111111")


def of_a_process_that_lives(name: str) -> str:
    return name.replace(f"-{os.getpid()}-", f"-{os.getppid()}-")


@pytest.mark.parametrize("change", [of_another_machine, of_a_process_that_lives])
def test_what_may_be_alive_is_removed_for_the_sole_owner_only(
    tmp_path: Path, change: Callable[[str], str]
) -> None:
    name = change(Path(temporary_path(str(tmp_path / "a"))).name)
    (tmp_path / name).write_bytes(b"")
    assert clean_leftovers(LocalStorage(), str(tmp_path)) == []
    assert clean_leftovers(LocalStorage(), str(tmp_path), sole_owner=True) == [str(tmp_path / name)]


def test_a_process_number_used_again_does_not_keep_a_leftover(tmp_path: Path) -> None:
    name = Path(temporary_path(str(tmp_path / "a"))).name
    instance = name.rsplit("-", 2)[1]
    (tmp_path / name.replace(instance, "0" * 8)).write_bytes(b"")
    assert len(clean_leftovers(LocalStorage(), str(tmp_path))) == 1


def test_a_fork_is_another_instance(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, temporary_path(str(tmp_path / "a")).encode())
        os._exit(0)
    os.waitpid(child, 0)
    name = os.read(reading, 4096).decode()
    os.close(reading)
    os.close(writing)
    Path(name).write_bytes(b"")
    assert f"-{child}-" in name
    assert clean_leftovers(LocalStorage(), str(tmp_path)) == [name]


def test_a_missing_directory_is_clean(tmp_path: Path) -> None:
    assert clean_leftovers(LocalStorage(), str(tmp_path / "missing")) == []
