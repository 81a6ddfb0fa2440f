"""The directory in the making: what readers see, whatever happens to the writer."""

from __future__ import annotations

import itertools
import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import fsspec
import pytest

from penstock.errors import OutputExists
from penstock.storage import LocalStorage, StagedDirectory, Storage, clean_leftovers, is_complete, join
from penstock.storage.faulty import Fault, FaultyStorage
from penstock.storage.remote import FsspecStorage
from penstock.storage.staging import Existing

PARTS = {"part-00000": b"first part", "part-00001": b"second part", "part-00002": b""}
RUN = b"run 1"


@pytest.fixture(params=["renaming", "marking"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Storage, str]:
    """A storage of each strategy, and an empty directory in it."""
    if request.param == "renaming":
        return LocalStorage(), str(tmp_path)
    return FsspecStorage(fsspec.filesystem("memory")), f"/{uuid.uuid4().hex}"


def content_of(storage: Storage, directory: str) -> dict[str, bytes]:
    return {info.name: storage.read(info.path) for info in storage.list_directory(directory)}


def write(
    storage: Storage,
    final: str,
    existing: object = "error",
    durable: bool = False,
    ahead: tuple[str, ...] = (),
) -> str:
    with StagedDirectory(storage, final, existing=existing, durable=durable, ahead=ahead) as staged:  # type: ignore[arg-type]
        for name, content in PARTS.items():
            with staged.open(name) as file:
                file.write(content)
        return staged.commit(marker_content=RUN)


def settle(storage: Storage) -> Callable[[str], Existing]:
    """Keep what is a complete output of the same run; anything else makes way."""

    def decide(path: str) -> Existing:
        marker = join(path, "_SUCCESS")
        return "keep" if storage.exists(marker) and storage.read(marker) == RUN else "aside"

    return decide


def hidden(storage: Storage, directory: str) -> list[str]:
    return [info.name for info in storage.list_directory(directory) if info.name.startswith(".")]


# ------------------------------------------------------------------------------- without failures


@pytest.mark.parametrize("durable", [False, True])
def test_a_directory_is_put_in_place_with_its_marker(place: tuple[Storage, str], durable: bool) -> None:
    storage, root = place
    final = join(root, "deep/er/out")
    assert write(storage, final, durable=durable) == "placed"
    assert content_of(storage, final) == {**PARTS, "_SUCCESS": RUN}
    assert hidden(storage, join(root, "deep/er")) == []


def test_nothing_counts_before_the_commit(place: tuple[Storage, str]) -> None:
    storage, root = place
    final = join(root, "out")
    with StagedDirectory(storage, final) as staged:
        with staged.open("part-00000") as file:
            file.write(b"x")
        assert not is_complete(storage, final)
        assert storage.exists(final) is not storage.atomic_rename
        staged.commit()
    assert is_complete(storage, final)


def test_without_a_commit_nothing_is_left(place: tuple[Storage, str]) -> None:
    storage, root = place
    storage.makedirs(root)
    with pytest.raises(ZeroDivisionError), StagedDirectory(storage, join(root, "out")) as staged:
        with staged.open("part-00000") as file:
            file.write(b"x")
        raise ZeroDivisionError
    assert storage.list_directory(root) == []


def test_an_abort_after_the_commit_does_nothing(place: tuple[Storage, str]) -> None:
    storage, root = place
    with StagedDirectory(storage, join(root, "out")) as staged:
        staged.commit()
        staged.abort()
        with pytest.raises(AssertionError):
            staged.open("part-00000")
        with pytest.raises(AssertionError):
            staged.commit()
    assert is_complete(storage, join(root, "out"))


def test_an_empty_directory_has_only_its_marker(place: tuple[Storage, str]) -> None:
    storage, root = place
    with StagedDirectory(storage, join(root, "out")) as staged:
        staged.commit(marker_name="_DONE")
    assert content_of(storage, join(root, "out")) == {"_DONE": b""}


# -------------------------------------------------------------------------- what was there already


def test_what_exists_is_an_error_before_any_work(place: tuple[Storage, str]) -> None:
    storage, root = place
    write(storage, join(root, "out"))
    with pytest.raises(OutputExists, match=r"out exists already\. Hint: choose another name"):
        StagedDirectory(storage, join(root, "out"))
    assert content_of(storage, join(root, "out")) == {**PARTS, "_SUCCESS": RUN}
    assert hidden(storage, root) == []


def test_a_decision_may_be_an_error_too(place: tuple[Storage, str]) -> None:
    storage, root = place
    write(storage, join(root, "out"))
    with pytest.raises(OutputExists):
        write(storage, join(root, "out"), lambda path: "error")
    assert hidden(storage, root) == []


def test_a_file_in_the_way_is_an_error(place: tuple[Storage, str]) -> None:
    storage, root = place
    storage.makedirs(root)
    storage.write_atomic(join(root, "out"), b"mine")
    for existing in ("error", lambda path: "aside"):
        with pytest.raises(OutputExists, match="is a file"):
            write(storage, join(root, "out"), existing)
    assert storage.read(join(root, "out")) == b"mine"
    assert hidden(storage, root) == []


def test_an_empty_directory_makes_way(place: tuple[Storage, str]) -> None:
    storage, root = place
    storage.makedirs(join(root, "out"))
    assert write(storage, join(root, "out")) == "placed"


def test_complete_output_of_the_same_run_is_kept(place: tuple[Storage, str]) -> None:
    storage, root = place
    final = join(root, "out")
    write(storage, final)
    with StagedDirectory(storage, final, existing=settle(storage)) as staged:
        with staged.open("part-00009") as file:
            file.write(b"never seen")
        assert staged.commit(marker_content=b"run 1") == "kept"
    assert content_of(storage, final) == {**PARTS, "_SUCCESS": RUN}
    assert hidden(storage, root) == []


def test_anything_else_is_moved_aside_and_said(
    place: tuple[Storage, str], caplog: pytest.LogCaptureFixture
) -> None:
    storage, root = place
    final = join(root, "out")
    for number in (1, 2):
        if number == 2:
            storage.remove_tree(final)
        storage.makedirs(final)
        storage.write_atomic(join(final, "precious"), b"%d" % number)
        with caplog.at_level(logging.WARNING):
            assert write(storage, final, settle(storage)) == "replaced"
        assert f".out.replaced-{number}" in caplog.text
        assert content_of(storage, final) == {**PARTS, "_SUCCESS": RUN}
        assert content_of(storage, join(root, f".out.replaced-{number}")) == {"precious": b"%d" % number}


def test_of_two_writers_that_rename_the_second_stops(tmp_path: Path) -> None:
    final = str(tmp_path / "out")
    storage = LocalStorage()
    with StagedDirectory(storage, final) as slow:
        assert write(storage, final) == "placed"
        with pytest.raises(OutputExists):
            slow.commit(marker_content=b"run 2")
    assert content_of(storage, final) == {**PARTS, "_SUCCESS": RUN}
    assert hidden(storage, str(tmp_path)) == []


def test_a_link_to_a_directory_makes_way_as_a_directory_does(tmp_path: Path) -> None:
    storage = LocalStorage()
    storage.makedirs(str(tmp_path / "real"))
    storage.write_atomic(str(tmp_path / "real/junk"), b"junk")
    (tmp_path / "out").symlink_to(tmp_path / "real")
    assert write(storage, str(tmp_path / "out"), settle(storage)) == "replaced"
    assert content_of(storage, str(tmp_path / "out")) == {**PARTS, "_SUCCESS": RUN}
    assert content_of(storage, str(tmp_path / ".out.replaced-1")) == {"junk": b"junk"}


# ------------------------------------------------------------------------------------ made ahead


AHEAD = (*PARTS, "_SUCCESS")


@pytest.mark.parametrize("ahead", [AHEAD, ("part-00001",), ("_SUCCESS",)])
@pytest.mark.parametrize("durable", [False, True])
def test_files_may_be_made_ahead(place: tuple[Storage, str], ahead: tuple[str, ...], durable: bool) -> None:
    storage, root = place
    assert write(storage, join(root, "deep/er/out"), durable=durable, ahead=ahead) == "placed"
    assert content_of(storage, join(root, "deep/er/out")) == {**PARTS, "_SUCCESS": RUN}
    assert hidden(storage, join(root, "deep/er")) == []


def test_they_are_made_while_the_caller_does_something_else(tmp_path: Path) -> None:
    made_by: dict[str, str] = {}

    class Watched(FaultyStorage):
        def open_write(self, path: str, *, durable: bool = False) -> BinaryIO:
            made_by[path.rpartition("/")[2]] = threading.current_thread().name
            return super().open_write(path, durable=durable)

    write(Watched(LocalStorage()), str(tmp_path / "out"), ahead=("part-00000", "_SUCCESS"))
    here = threading.current_thread().name
    assert made_by.pop("part-00001") == made_by.pop("part-00002") == here
    assert all(name.startswith("penstock-staging") for name in made_by.values())
    assert set(made_by) == {"part-00000", "_SUCCESS"}


def test_what_was_made_ahead_is_closed_and_gone_if_nothing_is_put_in_place(tmp_path: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        StagedDirectory(LocalStorage(), str(tmp_path / "out"), ahead=AHEAD) as staged,
    ):
        files = dict(staged._making.result())  # type: ignore[union-attr]
        raise ZeroDivisionError
    assert set(files) == set(AHEAD)
    assert all(file.closed for file in files.values())
    assert LocalStorage().list_directory(str(tmp_path)) == []


def test_what_failed_ahead_is_raised_by_who_opens_it(tmp_path: Path) -> None:
    faulty = FaultyStorage(LocalStorage(), [Fault(2, "open_write")])
    opened: list[str] = []
    with (
        pytest.raises(OSError, match="Input/output"),
        StagedDirectory(faulty, str(tmp_path / "out"), ahead=AHEAD) as staged,
    ):
        opened.append("nothing yet")
        staged.open("part-00000")
    assert opened == ["nothing yet"]
    assert LocalStorage().list_directory(str(tmp_path)) == []


def test_each_who_opens_what_failed_ahead_gets_an_error_of_its_own(tmp_path: Path) -> None:
    faulty = FaultyStorage(LocalStorage(), [Fault(1, "open_write", errno=28)])
    errors: list[OSError] = []
    with StagedDirectory(faulty, str(tmp_path / "out"), ahead=AHEAD) as staged:
        for name in PARTS:
            with pytest.raises(OSError, match="No space left") as caught:
                staged.open(name)
            errors.append(caught.value)
    assert len(set(map(id, errors))) == len(PARTS)
    assert {error.errno for error in errors} == {28}
    assert len({error.filename for error in errors}) == 1


def test_what_failed_ahead_and_nobody_opened_is_tidied_up(tmp_path: Path) -> None:
    faulty = FaultyStorage(LocalStorage(), [Fault(3, "open_write")])
    with pytest.raises(ZeroDivisionError), StagedDirectory(faulty, str(tmp_path / "out"), ahead=AHEAD):
        raise ZeroDivisionError
    assert LocalStorage().list_directory(str(tmp_path)) == []


def test_a_file_made_ahead_and_not_written_is_our_mistake(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match="was to be written"),
        StagedDirectory(LocalStorage(), str(tmp_path / "out"), ahead=AHEAD) as staged,
    ):
        staged.commit()
    assert LocalStorage().list_directory(str(tmp_path)) == []


@pytest.mark.parametrize("fault", [None, Fault(1, "open_write")])
def test_when_no_thread_can_be_had_they_are_made_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault | None
) -> None:
    ended = ThreadPoolExecutor(1)
    ended.shutdown()
    monkeypatch.setattr("penstock.storage.staging._thread", lambda process: ended)
    storage = FaultyStorage(LocalStorage(), [] if fault is None else [fault])
    if fault is None:
        assert write(storage, str(tmp_path / "out"), ahead=AHEAD) == "placed"
        assert content_of(storage, str(tmp_path / "out")) == {**PARTS, "_SUCCESS": RUN}
    else:
        with pytest.raises(OSError, match="Input/output"):
            write(storage, str(tmp_path / "out"), ahead=AHEAD)


# ---------------------------------------------------------------------------------- with failures


def failures(inner: Storage, attempt: Callable[[Storage], object], lasting: bool) -> Iterator[str]:
    """Run ``attempt`` once for each call it makes and each moment of the call, failing there."""
    for call in itertools.count(1):
        for moment in ("before", "half", "after"):
            storage = FaultyStorage(inner, [Fault(call, moment=moment, lasting=lasting)])  # type: ignore[arg-type]
            try:
                attempt(storage)
            except OSError:
                pass
            if len(storage.calls) < call:
                assert call > 5, "hardly anything was tried"
                return
            yield f"{moment} call {call}, {storage.calls[call - 1]}"


@pytest.mark.parametrize("lasting", [False, True], ids=["error", "crash"])
@pytest.mark.parametrize("durable", [False, True], ids=["", "durable"])
@pytest.mark.parametrize("ahead", [(), (*PARTS, "_SUCCESS")], ids=["", "ahead"])
@pytest.mark.parametrize("before", [None, "other run", "leftover"])
def test_whatever_fails_and_whenever_readers_see_all_or_nothing_and_a_retry_succeeds(
    place: tuple[Storage, str], lasting: bool, durable: bool, ahead: tuple[str, ...], before: str | None
) -> None:
    storage, root = place
    numbers = itertools.count()
    others = {"precious": b"data"} | ({"_SUCCESS": b"another run"} if before == "other run" else {})
    home = root

    def prepare() -> str:
        nonlocal home
        home = join(root, f"{next(numbers)}")
        final = join(home, "out")
        storage.makedirs(home)
        if before is not None:
            storage.makedirs(final)
            for name, content in others.items():
                storage.write_atomic(join(final, name), content)
        return final

    def attempt(faulty: Storage) -> None:
        final = prepare()
        write(faulty, final, settle(faulty), durable, ahead)

    for where in failures(storage, attempt, lasting):
        final = join(home, "out")
        new = {**PARTS, "_SUCCESS": RUN}
        if is_complete(storage, final):
            marker = storage.read(join(final, "_SUCCESS"))
            assert content_of(storage, final) == (new if marker == RUN else others), where
        elif storage.atomic_rename and storage.exists(final):
            assert content_of(storage, final) == others, where

        assert write(storage, final, settle(storage), durable) in ("placed", "kept", "replaced"), where
        assert content_of(storage, final) == new, where
        clean_leftovers(storage, home, sole_owner=True)
        if before is not None:  # nothing of somebody else's is ever lost
            aside = [info for info in storage.list_directory(home) if ".replaced-" in info.name]
            found = [content_of(storage, info.path) for info in aside]
            assert {name: files[name] for files in found for name in files if name in others} == others, where


def test_an_error_that_is_tidied_up_leaves_no_temporary(place: tuple[Storage, str]) -> None:
    storage, root = place
    storage.makedirs(root)
    faulty = FaultyStorage(storage, [Fault(2, "close")])
    with pytest.raises(OSError, match="Input/output"):
        write(faulty, join(root, "out"))
    assert storage.list_directory(root) == []
    assert write(storage, join(root, "out")) == "placed"


def test_what_a_reader_may_have_seen_stays_although_the_commit_raised(place: tuple[Storage, str]) -> None:
    storage, root = place
    last = "rename_directory" if storage.atomic_rename else "write_atomic"
    with pytest.raises(OSError, match="Input/output"):
        write(FaultyStorage(storage, [Fault(1, last, "after")]), join(root, "out"))
    assert content_of(storage, join(root, "out")) == {**PARTS, "_SUCCESS": RUN}
    assert hidden(storage, root) == []


def test_when_tidying_up_fails_too_the_first_error_is_raised(place: tuple[Storage, str]) -> None:
    storage, root = place
    faulty = FaultyStorage(storage, [Fault(1, "remove_tree", lasting=True)])
    with pytest.raises(ZeroDivisionError) as caught, StagedDirectory(faulty, join(root, "out")):
        raise ZeroDivisionError
    assert "could not be removed" in caught.value.__notes__[0]


def test_a_durable_directory_outlives_a_loss_of_power(tmp_path: Path) -> None:
    storage = FaultyStorage(LocalStorage())
    write(storage, str(tmp_path / "out"), durable=True)
    storage.lose_power()
    assert content_of(storage, str(tmp_path / "out")) == {**PARTS, "_SUCCESS": RUN}
    synced = [call.path for call in storage.calls if call.operation == "sync_directory"]
    assert synced[-1] == str(tmp_path)
