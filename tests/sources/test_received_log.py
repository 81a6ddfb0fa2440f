"""The log of received blocks, on a disk and on a store whose files cannot grow, and when either fails."""

from __future__ import annotations

import errno
import itertools
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, get_args

import fsspec
import pytest

from penstock.chunk import Lines, Rows, rows_of
from penstock.clock import ManualClock
from penstock.errors import CheckpointTaken, CorruptCheckpoint, DataError
from penstock.sources.base import LogPlace
from penstock.sources.receivers.block_store import BlockStore, Limits
from penstock.sources.receivers.blocks import Block, Notes
from penstock.sources.receivers.received_log import ReceivedLog
from penstock.storage import LocalStorage, Storage, local
from penstock.storage.faulty import Fault, FaultyStorage, Moment
from penstock.storage.remote import FsspecStorage

Place = tuple[Storage, str]


@pytest.fixture(params=["growing", "whole"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "growing":
        yield LocalStorage(), str(tmp_path / "receivedData" / "socket-1")
        return
    storage, root = FsspecStorage(fsspec.filesystem("memory")), f"/{uuid.uuid4().hex}"
    yield storage, f"{root}/receivedData/socket-1"
    storage.remove_tree(root)


def fine() -> None:
    return


def log_in(
    place: Place,
    owner: str,
    *,
    clock: ManualClock | None = None,
    must_own: Callable[[], None] = fine,
    trust: Callable[[], None] = fine,
    **roll: int,
) -> ReceivedLog:
    where = LogPlace(place[0], place[1], owner, trust, must_own)
    return ReceivedLog(where, clock or ManualClock(), **roll)


def block(number: int, text: str, **metadata: Any) -> Block:
    lines = Lines(f"{text}\n".encode(), "tcp://test", 1)
    return Block([lines], 1, lines.nbytes, metadata, number=number)


def texts(blocks: list[Block]) -> dict[int, list[Any]]:
    for each in blocks:
        assert each.chunks is None
        assert each.place is not None
    return {each.number: list(rows_of(each.read())) for each in blocks}


def through_json(position: Any) -> Any:
    return json.loads(json.dumps(position))


def files(place: Place) -> list[str]:
    return sorted(place[0].list_names(place[1]).files)


def test_what_is_stored_is_found_by_the_next_run(place: Place) -> None:
    log = log_in(place, "a")
    log.look()
    log.clean()
    log.append([block(0, "one", at=1), block(1, "two")])
    log.append([block(2, "three", at=3)])
    position = through_json(log.position())
    log.close()
    found = log_in(place, "b").restore(position)
    assert texts(found) == {0: ["one"], 1: ["two"], 2: ["three"]}
    assert [dict(each.metadata) for each in found] == [{"at": 1}, {}, {"at": 3}]


def test_all_there_is_to_know_of_a_block_comes_back(place: Place) -> None:
    notes = Notes(2, 1, [("tcp://test", 7, "xx", "too long")])
    rows = Block([Rows([{"a"}, (1, 2)]), Rows(["text"])], 3, 100, {"k": (1, [2])}, notes, number=4)
    log = log_in(place, "a")
    log.append([rows])
    log.close()
    [found] = log_in(place, "b").restore(log.position())
    assert (found.records, found.nbytes, dict(found.metadata)) == (3, 100, {"k": (1, [2])})
    assert found.notes.told() == notes.told()
    assert list(rows_of(found.read())) == [{"a"}, (1, 2), "text"]
    assert list(rows_of(found.read())) == [{"a"}, (1, 2), "text"]


def test_pickled_objects_are_read_where_they_can_be_trusted_only(place: Place) -> None:
    def no() -> None:
        raise CorruptCheckpoint("somebody else may have written it")

    log = log_in(place, "a")
    log.append([Block([Rows([{"a"}])], 1, 10, number=0), block(1, "text")])
    log.close()
    pickled, lines = log_in(place, "b", trust=no).restore(log.position())
    assert list(rows_of(lines.read())) == ["text"]
    with pytest.raises(CorruptCheckpoint, match="somebody else"):
        list(pickled.read())


def test_three_runs_go_on_from_one_another(place: Place) -> None:
    position = None
    for number, owner in enumerate("abc"):
        log = log_in(place, owner)
        found = log.restore(position)
        assert texts(found) == {at: [f"text {at}"] for at in range(number)}
        log.clean()
        log.append([block(number, f"text {number}")])
        log.close()
        position = through_json(log.position())
    assert len(files(place)) == 3


def test_what_an_overtaken_run_writes_is_not_taken_for_ours(place: Place) -> None:
    taken = False

    def must_own() -> None:
        if taken:
            raise CheckpointTaken("another run goes on")

    old = log_in(place, "old", must_own=must_own)
    old.append([block(0, "zero")])
    new = log_in(place, "new")
    assert texts(new.restore(through_json(old.position()))) == {0: ["zero"]}
    position = through_json(new.position())
    taken = True
    with pytest.raises(CheckpointTaken):
        old.append([block(1, "late")])
    new.clean()
    new.append([block(1, "one")])
    third = log_in(place, "third")
    assert texts(third.restore(position)) == {0: ["zero"], 1: ["one"]}
    old.close()
    new.close()


def test_files_of_which_nothing_counts_are_removed_once_the_run_is_recorded(place: Place) -> None:
    stray = log_in(place, "stray")
    stray.append([block(0, "never said to be stored")])
    stray.close()
    log = log_in(place, "a")
    log.look()
    other = log_in(place, "later")  # whoever overtakes between the look and the cleaning
    other.append([block(0, "theirs")])
    other.close()
    log.clean()
    assert [name[:5] for name in files(place)] == ["later"]


def test_a_file_is_removed_when_its_blocks_are_not_needed(place: Place) -> None:
    clock = ManualClock()
    log = log_in(place, "a", clock=clock, roll_ms=1_000)
    first, second, third = block(0, "a"), block(1, "b"), block(2, "c")
    log.append([first, second])
    clock.advance(1_000)
    log.append([third])
    assert len(files(place)) == 2
    for each in (first, second):
        assert len(files(place)) == 2
        assert each.place is not None
        each.place.forget()
    assert len(files(place)) == 1
    assert texts(log_in(place, "b").restore(log.position())) == {2: ["c"]}
    log.close()


def test_a_file_that_grows_is_rolled_at_a_size(tmp_path: Path) -> None:
    place = LocalStorage(), str(tmp_path / "log")
    log = log_in(place, "a", roll_bytes=2_000)
    blocks = [block(number, "x" * 500) for number in range(10)]
    for each in blocks:
        log.append([each])
    assert 2 <= len(files(place)) <= 5
    for each in blocks:
        assert each.place is not None
        each.place.forget()
    assert len(files(place)) <= 1  # the one that is written to
    log.close()


def test_blocks_that_come_together_are_one_write(place: Place) -> None:
    storage = FaultyStorage(place[0])
    log = log_in((storage, place[1]), "a")
    log.append([block(0, "a")])
    before = len(storage.calls)
    log.append([block(number, "b") for number in range(1, 50)])
    writes = [call for call in storage.calls[before:] if call.durable or call.operation == "append"]
    assert len(writes) == 1
    log.close()


@pytest.mark.parametrize("cut", [1, 7, 20, 60])
def test_a_torn_end_was_not_stored(tmp_path: Path, cut: int, caplog: pytest.LogCaptureFixture) -> None:
    place = LocalStorage(), str(tmp_path / "log")
    log = log_in(place, "a")
    log.append([block(0, "one")])
    size = log._current.size if log._current else 0
    log.append([block(1, "two")])
    end = log._current.size if log._current else 0
    log.close()
    [name] = files(place)
    path = Path(place[1]) / name
    path.write_bytes(path.read_bytes()[: max(size, end - cut)])
    assert texts(log_in(place, "b").restore(log.position())) == {0: ["one"]}


def test_damage_within_a_file_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = LocalStorage(), str(tmp_path / "log")
    log = log_in(place, "a")
    log.append([block(0, "one"), block(1, "two"), block(2, "three")])
    log.close()
    [name] = files(place)
    path = Path(place[1]) / name
    path.write_bytes(path.read_bytes().replace(b"two", b"owt"))
    assert texts(log_in(place, "b").restore(log.position())) == {0: ["one"]}
    assert "a frame does not have its checksum" in caplog.text


def live(
    storage: FaultyStorage, directory: str, owner: str, position: Any, told: dict[int, str]
) -> Iterator[Any]:
    """One run: it finds blocks, stores further ones and forgets old ones. If an append fails it tries
    another, as after a sender has come again. ``told`` is what was said to be stored, and is needed."""
    log = ReceivedLog(LogPlace(storage, directory, owner, fine, fine), ManualClock(), roll_bytes=700)
    try:
        found = log.restore(position)
        known = texts(found)
        for number, text in told.items():
            assert known[number] == [text], f"block {number} is not what was stored"
        given = min(told, default=0)  # those before are forgotten, even if a file of theirs is there
        numbers = [number for number in sorted(known) if number >= given]
        assert numbers == list(range(given, given + len(numbers)))
        held = {each.number: each for each in found if each.number >= given}
        told.update({number: known[number][0] for number in numbers})
        yield log.position()
        log.clean()
        number = max(held, default=-1) + 1
        for step in range(5):
            attempt = 0
            count = 1 + step % 3
            while True:
                blocks = [block(number + at, f"{owner} {number + at} try {attempt}") for at in range(count)]
                try:
                    log.append(blocks)
                except OSError:
                    attempt += 1
                    count = max(1, count - 1)  # what comes instead is something else
                    if attempt > 2:
                        raise
                    continue
                break
            for each in blocks:
                held[each.number] = each
                told[each.number] = f"{owner} {each.number} try {attempt}"
            number += count
            while len(held) > 2:
                oldest = min(held)
                gone = held.pop(oldest)
                del told[oldest]
                assert gone.place is not None
                gone.place.forget()
    finally:
        log.close()


@pytest.mark.parametrize("kind", ["growing", "whole"])
def test_whatever_fails_what_was_said_to_be_stored_is_there(kind: str, tmp_path: Path, seed: int) -> None:
    """Each call of the storage fails once, before, half way and after; for a moment, or for good."""

    def lives(fault: Fault | None, directory: str, inner: Storage) -> int:
        told: dict[int, str] = {}
        position = None
        calls = 0
        for owner, faults in (("a", [fault] if fault else []), ("b", []), ("c", [])):
            storage = FaultyStorage(inner, faults)
            run = live(storage, directory, owner, position, told)
            with suppress(OSError):
                position = next(run)
                if owner != "c":
                    list(run)
            run.close()
            calls = calls or len(storage.calls)
        return calls

    def fresh(number: int) -> tuple[str, Storage]:
        if kind == "growing":
            return str(tmp_path / str(number)), LocalStorage()
        return f"/{uuid.uuid4().hex}/log", FsspecStorage(fsspec.filesystem("memory"))

    calls = lives(None, *fresh(0))
    assert calls >= 12
    moments = get_args(Moment)
    points = list(itertools.product(range(1, calls + 1), moments, (False, True)))
    every = 2 if kind == "growing" else 1  # each of them waits for the disk
    for number, (call, moment, lasting) in enumerate(points[seed % every :: every], 1):
        if lasting and moment == "before":
            continue  # the same as after the call before
        lives(Fault(call, moment=moment, lasting=lasting), *fresh(number))


def test_a_disk_that_lies_loses_blocks_and_says_so(tmp_path: Path) -> None:
    storage = FaultyStorage(LocalStorage(), lose_syncs=True)
    place = storage, str(tmp_path / "log")
    log = log_in(place, "a")
    for number in range(20):
        log.append([block(number, "x" * 40_000)])
    log.close()
    storage.lose_power()
    found = log_in((LocalStorage(), place[1]), "b").restore(log.position())
    assert [each.number for each in found] == list(range(len(found)))
    assert 0 < len(found) < 20


def test_a_write_that_nobody_could_vouch_for_does_not_count(place: Place) -> None:
    failures = iter([OSError("the answer is lost")])

    def must_own() -> None:
        for error in failures:
            raise error

    log = log_in(place, "a", must_own=must_own)
    with pytest.raises(OSError, match="the answer is lost"):
        log.append([block(0, "x"), block(1, "y")])
    instead = block(0, "z")
    log.append([instead])
    assert texts([instead_of(instead)]) == {0: ["z"]}
    assert texts(log_in(place, "b").restore(log.position())) == {0: ["z"]}
    assert instead.place is not None
    instead.place.forget()
    log.close()
    assert texts(log_in(place, "b").restore(log.position())).get(1) is None


def test_what_a_failed_write_has_left_does_not_lie_behind_what_comes_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames of one length: the second of those that failed would begin where the new one ends."""
    log = log_in((LocalStorage(), str(tmp_path / "log")), "a")
    log.append([block(0, "zero")])

    def fails(descriptor: int) -> None:
        raise OSError(errno.EIO, "the disk does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(local, "_sync_content", fails)
        with pytest.raises(OSError, match="does not answer"):
            log.append([block(1, "of S"), block(2, "of T")])
    log.append([block(1, "of T")])
    log.close()
    found = log_in((LocalStorage(), str(tmp_path / "log")), "b").restore(log.position())
    assert texts(found) == {0: ["zero"], 1: ["of T"]}


@pytest.mark.parametrize("call", range(1, 7))
def test_a_log_that_cannot_be_begun_is_begun_later(call: int, tmp_path: Path) -> None:
    directory = tmp_path / "receivedData" / "socket-1"
    storage = FaultyStorage(LocalStorage(), [Fault(call)])
    log = log_in((storage, str(directory)), "a")
    with pytest.raises(OSError, match="Input/output"):
        log.append([block(0, "x")])
    log.append([block(0, "x")])
    log.close()
    assert texts(log_in((LocalStorage(), str(directory)), "b").restore(log.position())) == {0: ["x"]}
    assert all(LocalStorage().is_private(str(path)) for path in (directory, directory.parent))


def test_a_record_that_has_no_form_as_bytes_keeps_no_other_from_being_stored(tmp_path: Path) -> None:
    log = log_in((LocalStorage(), str(tmp_path / "log")), "a")
    store = BlockStore(Limits(0, 1 << 20, True), log)
    store.enqueue([block(-1, "before")], keep=True)
    store.enqueue([Block([Rows([1, Lock(), 2])], 3, 100)], keep=True)
    refused = store.enqueue([Block([Rows([Lock()])], 1, 100)])
    store.enqueue([block(-1, "after")], keep=True)
    store.reserve(200 + block(-1, "before").nbytes + block(-1, "after").nbytes, lambda: True)
    error = store.commit()
    assert isinstance(error, DataError)
    assert "1 records have no form as bytes, and are left out: TypeError: cannot pickle" in str(error)
    assert isinstance(refused.error, TypeError)
    found = store.take()
    assert [list(rows_of(each.read())) for each in found] == [["before"], [1, 2], ["after"]]
    assert [each.records for each in found] == [1, 2, 1]
    assert store.commit() is None
    assert len(log_in((LocalStorage(), str(tmp_path / "log")), "b").restore(log.position())) == 3
    store.forget(3)
    assert (store.waiting_bytes, store.memory_bytes) == (0, 0)
    store.close()


def test_while_the_disk_is_full_the_order_is_kept_and_what_is_lost_at_the_end_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    faults = [Fault(2, "append"), Fault(4, "append", lasting=True)]
    log = log_in((FaultyStorage(LocalStorage(), faults), str(tmp_path / "log")), "a")
    store = BlockStore(Limits(1 << 20, 1 << 20, True), log)
    for text in "abc":
        store.enqueue([block(-1, text)], keep=True)
        if text == "a":
            store.enqueue([Block([Rows([Lock()])], 1, 100)], keep=True)
    store.commit()
    store.commit()
    assert [list(rows_of(each.read())) for each in store.take()] == [["a"], [], ["b"], ["c"]]
    store.enqueue([block(-1, "d")], keep=True)
    store.commit()
    store.close()
    assert "1 records that were received could not be stored, and are lost" in caplog.text


def instead_of(stored: Block) -> Block:
    """The block as it lies in the log."""
    return Block(None, stored.records, stored.nbytes, number=stored.number, place=stored.place)


def test_a_number_that_comes_again_takes_the_place_of_all_from_there_on(place: Place) -> None:
    first, second = log_in(place, "a"), log_in(place, "a")
    first.append([block(0, "zero"), block(1, "x"), block(2, "y")])
    second._count = 1
    second.append([block(1, "one")])
    first.close()
    second.close()
    assert texts(log_in(place, "b").restore(first.position())) == {0: ["zero"], 1: ["one"]}


def test_the_store_of_blocks_retries_what_nobody_waits_for(tmp_path: Path) -> None:
    storage = FaultyStorage(LocalStorage(), [Fault(1, "append"), Fault(2, "append")])
    log = log_in((storage, str(tmp_path / "log")), "a")
    store = BlockStore(Limits(1 << 20, 1 << 20, True), log)
    store.enqueue([block(-1, "kept")], keep=True)
    line = store.enqueue([block(-1, "refused")])
    assert isinstance(store.commit(line), OSError)
    assert store.take() == []
    assert isinstance(store.commit(), OSError)
    assert store.commit() is None
    assert [list(rows_of(each.read())) for each in store.take()] == [["kept"]]
    store.close()
