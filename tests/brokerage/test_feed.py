"""Feeding a directory: parts whole or not there, names in order, the pace exact."""

from __future__ import annotations

import errno
import io
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.brokerage import feed as module
from penstock.brokerage.feed import Fed, Part, feed
from penstock.clock import ManualClock
from penstock.errors import ArgumentError, StorageError


class SelfTurningClock(ManualClock):
    """A clock that is at once where it is waited for, and remembers the waits.

    ``late_ms`` says by how much a wait (counted from 0) ends too late; ``interrupted`` is the wait
    during which someone asks to stop.
    """

    def __init__(self, late_ms: dict[int, int] | None = None, interrupted: int | None = None) -> None:
        super().__init__(1_000)
        self.waits: list[int] = []
        self.late_ms = late_ms or {}
        self.interrupted = interrupted

    def wait_until(self, time_ms: int, woken: threading.Event) -> bool:
        number = len(self.waits)
        self.waits.append(time_ms)
        if number == self.interrupted:
            woken.set()
            return False
        self.set(max(self.now_ms(), time_ms) + self.late_ms.get(number, 0))
        return not woken.is_set()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "orders.txt"
    path.write_bytes(b"".join(b"line %d\n" % number for number in range(10)))
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "in"


def names(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


def joined(directory: Path) -> bytes:
    return b"".join((directory / name).read_bytes() for name in names(directory))


def test_the_parts_are_the_file_in_order(source: Path, target: Path) -> None:
    assert feed(source, target, 4, 0) == Fed(part_count=3, line_count=10, finished=True)
    assert names(target) == ["orders-00000.txt", "orders-00001.txt", "orders-00002.txt"]
    assert (target / "orders-00001.txt").read_bytes() == b"line 4\nline 5\nline 6\nline 7\n"
    assert (target / "orders-00002.txt").read_bytes() == b"line 8\nline 9\n"
    assert joined(target) == source.read_bytes()


@given(
    content=st.binary(max_size=60) | st.lists(st.sampled_from([b"\n", b"\r", b"a", b"\xff"])).map(b"".join),
    lines=st.integers(1, 5),
)
def test_bytes_are_unchanged_and_lines_end_at_newlines_only(
    content: bytes, lines: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("feed")
    (home / "file").write_bytes(content)
    fed = feed(home / "file", home / "in", lines, 0)
    parts = [(home / "in" / name).read_bytes() for name in names(home / "in")]
    expected = content.split(b"\n")
    ended, rest = expected[:-1], expected[-1]
    whole = [line + b"\n" for line in ended] + ([rest] if rest else [])
    assert parts == [b"".join(whole[at : at + lines]) for at in range(0, len(whole), lines)]
    assert fed == Fed(len(parts), len(whole), finished=True)


def test_a_last_line_without_an_end_is_kept_as_it_is(tmp_path: Path, target: Path) -> None:
    (tmp_path / "file").write_bytes(b"a\nb\nc")
    assert feed(tmp_path / "file", target, 2, 0).line_count == 3
    assert (target / "orders-00001.txt").read_bytes() == b"c"


def test_an_empty_file_makes_no_part(tmp_path: Path, target: Path) -> None:
    (tmp_path / "file").touch()
    assert feed(tmp_path / "file", target) == Fed(0, 0, finished=True)
    assert names(target) == []


def test_progress_is_told_after_each_part(source: Path, target: Path) -> None:
    told: list[Part] = []

    def on_progress(part: Part) -> None:
        assert part.path.stat().st_size == part.byte_count
        told.append(part)

    feed(source, target, 4, 0, on_progress=on_progress)
    assert [(part.path.name, part.line_count, part.byte_count) for part in told] == [
        ("orders-00000.txt", 4, 28),
        ("orders-00001.txt", 4, 28),
        ("orders-00002.txt", 2, 14),
    ]


# The pace


def test_the_first_part_comes_at_once_and_then_one_every_period(source: Path, target: Path) -> None:
    clock = SelfTurningClock()
    at: list[int] = []
    feed(source, target, 2, 1.5, clock=clock, on_progress=lambda part: at.append(clock.now_ms()))
    assert at == [1_000, 2_500, 4_000, 5_500, 7_000]
    assert clock.waits == at[1:]  # and no wait after the last part


def test_a_late_part_delays_the_next_but_no_burst_follows(source: Path, target: Path) -> None:
    clock = SelfTurningClock(late_ms={0: 10_000, 2: 400})
    at: list[int] = []
    feed(source, target, 2, 3, clock=clock, on_progress=lambda part: at.append(clock.now_ms()))
    # due:       now    4_000   (7_000 has passed) 14_000   17_000   20_000
    assert at == [1_000, 14_000, 14_000, 17_400, 20_000]


def test_every_0_never_waits(source: Path, target: Path) -> None:
    clock = SelfTurningClock()
    assert feed(source, target, 1, 0, clock=clock).part_count == 10
    assert clock.waits == []


def test_a_feed_waits_for_a_clock_that_others_turn(source: Path, target: Path) -> None:
    clock, placed = ManualClock(), threading.Semaphore(0)
    thread = threading.Thread(
        target=feed,
        args=(source, target, 5, 3.0),
        kwargs={"clock": clock, "on_progress": lambda part: placed.release()},
    )
    thread.start()
    assert placed.acquire(timeout=30)
    clock.advance(2_999)
    assert not placed.acquire(blocking=False)
    assert names(target) == ["orders-00000.txt"]
    clock.advance(1)
    assert placed.acquire(timeout=30)
    thread.join(timeout=30)
    assert names(target) == ["orders-00000.txt", "orders-00001.txt"]


# Stopping


def test_a_stop_during_a_wait_ends_the_feed_between_two_parts(source: Path, target: Path) -> None:
    clock = SelfTurningClock(interrupted=2)
    assert feed(source, target, 2, 3, clock=clock, stop=threading.Event()) == Fed(3, 6, finished=False)
    assert joined(target) == b"".join(source.read_bytes().splitlines(keepends=True)[:6])


def test_a_stop_without_waits_too(source: Path, target: Path) -> None:
    stop = threading.Event()
    assert feed(source, target, 2, 0, stop=stop, on_progress=lambda part: stop.set()) == Fed(1, 2, False)
    assert feed(source, target, 2, 0, stop=stop) == Fed(0, 0, finished=False)
    assert names(target) == ["orders-00000.txt"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, OSError(errno.ENOSPC, "disk full")])
def test_an_interrupted_part_leaves_nothing_and_the_others_whole(
    step: str, error: Any, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, real = [0], getattr(os, step)

    def fail_the_third(*args: Any) -> None:
        calls[0] += 1
        if calls[0] == 3:
            raise error
        real(*args)

    monkeypatch.setattr(os, step, fail_the_third)
    with pytest.raises(error if isinstance(error, type) else OSError):
        feed(source, target, 2, 0)
    assert names(target) == ["orders-00000.txt", "orders-00001.txt"]
    assert joined(target) == b"".join(source.read_bytes().splitlines(keepends=True)[:4])
    monkeypatch.undo()
    assert feed(source, target, 10, 0).finished
    assert names(target)[2:] == ["orders-00002.txt"]


def test_a_source_that_fails_in_the_middle_of_a_part_leaves_no_half(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(io.BytesIO):
        def __next__(self) -> bytes:
            line = super().__next__()
            if line == b"line 7\n":
                raise KeyboardInterrupt
            return line

    def opened(path: Path, mode: str) -> Any:
        return Failing(source.read_bytes()) if mode == "rb" else open(path, mode)

    monkeypatch.setattr(module, "open", opened, raising=False)
    with pytest.raises(KeyboardInterrupt):
        feed(source, target, 5, 0)
    assert names(target) == ["orders-00000.txt"]


# Atomicity


def watched_replace(check: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
    real = os.replace

    def replace(old: Path, new: Path) -> None:
        check(Path(old), Path(new))
        real(old, new)

    return replace


def test_at_every_rename_the_visible_files_are_whole(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = source.read_bytes().splitlines(keepends=True)
    synced: list[int] = []
    renames: list[str] = []
    real_fsync = os.fsync

    def fsync(descriptor: int) -> None:
        real_fsync(descriptor)
        synced.append(os.fstat(descriptor).st_ino)

    def check(old: Path, new: Path) -> None:
        visible = [name for name in names(target) if not name.startswith((".", "_"))]
        assert visible == [f"orders-{number:05}.txt" for number in range(len(renames))]
        assert b"".join((target / name).read_bytes() for name in visible) == b"".join(
            lines[: 3 * len(visible)]
        )
        assert old.name == f".{new.name}.tmp"
        assert old.read_bytes() == b"".join(lines[3 * len(renames) : 3 * len(renames) + 3])
        assert synced[-1] == old.stat().st_ino
        assert not new.exists()
        renames.append(new.name)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", watched_replace(check))
    feed(source, target, 3, 0)
    assert len(renames) == 4


def test_the_source_may_lie_on_another_file_system(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse_across_directories(old: Path, new: Path) -> None:
        if old.parent != new.parent:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(old), None, str(new))

    monkeypatch.setattr(os, "replace", watched_replace(refuse_across_directories))
    monkeypatch.setattr(os, "rename", lambda *args: pytest.fail("os.rename"))
    monkeypatch.setattr(os, "link", lambda *args: pytest.fail("os.link"))
    assert feed(source, target, 4, 0).finished
    assert joined(target) == source.read_bytes()


# Names


def test_a_second_feed_goes_on_after_the_first(source: Path, target: Path) -> None:
    feed(source, target, 5, 0)
    (target / "orders-00000.txt").unlink()  # taken away by whoever read it
    feed(source, target, 5, 0)
    assert names(target) == ["orders-00001.txt", "orders-00002.txt", "orders-00003.txt"]


def test_other_names_in_the_directory_do_not_matter(source: Path, target: Path) -> None:
    target.mkdir()
    others = ["orders-7.txt", "orders-00012.txt.gz", "other.txt", ".orders-00044.txt.tmp"]
    for other in others:
        (target / other).touch()
    feed(source, target, 10, 0)
    assert set(names(target)) == {*others, "orders-00000.txt"}


def test_a_number_whose_hidden_file_exists_is_left_to_its_owner(source: Path, target: Path) -> None:
    target.mkdir()
    (target / ".orders-00001.txt.tmp").write_bytes(b"theirs")
    feed(source, target, 5, 0)
    assert names(target) == [".orders-00001.txt.tmp", "orders-00000.txt", "orders-00002.txt"]
    assert (target / ".orders-00001.txt.tmp").read_bytes() == b"theirs"


def test_a_name_that_another_feed_has_used_meanwhile_is_not_overwritten(source: Path, target: Path) -> None:
    def other_feed(part: Part) -> None:
        if part.path.name == "orders-00000.txt":
            (target / "orders-00001.txt").write_bytes(b"theirs\n")

    assert feed(source, target, 5, 0, on_progress=other_feed).part_count == 2
    assert names(target) == ["orders-00000.txt", "orders-00001.txt", "orders-00002.txt"]
    assert (target / "orders-00001.txt").read_bytes() == b"theirs\n"
    assert (target / "orders-00002.txt").read_bytes() == source.read_bytes()[35:]


def test_two_feeds_at_once_lose_nothing(source: Path, target: Path) -> None:
    threads = [threading.Thread(target=feed, args=(source, target, 1, 0)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    lines = sorted((target / name).read_bytes() for name in names(target))
    assert lines == sorted(source.read_bytes().splitlines(keepends=True) * 4)


def test_a_directory_whose_names_are_used_up_is_refused(source: Path, target: Path) -> None:
    target.mkdir()
    (target / "orders-99998.txt").touch()
    with pytest.raises(StorageError, match="has used up its names"):
        feed(source, target, 5, 0)
    assert names(target) == ["orders-99998.txt", "orders-99999.txt"]


# Wrong arguments


@pytest.mark.parametrize(
    ("lines", "every_s", "problem"),
    [
        (0, 3.0, "lines must be 1 or more, not 0"),
        (1, -0.1, "every_s must be a number of seconds, 0 or more, not -0.1"),
        (1, float("nan"), "every_s must be a number of seconds, 0 or more, not nan"),
        (1, float("inf"), "every_s must be a number of seconds, 0 or more, not inf"),
    ],
)
def test_numbers_out_of_range(lines: int, every_s: float, problem: str, source: Path, target: Path) -> None:
    with pytest.raises(ArgumentError) as caught:
        feed(source, target, lines, every_s)
    assert str(caught.value) == problem
    assert not target.exists()


def test_a_missing_file_makes_no_directory(tmp_path: Path, target: Path) -> None:
    with pytest.raises(FileNotFoundError):
        feed(tmp_path / "missing.txt", target)
    assert not target.exists()


def test_the_directory_is_made_with_its_parents(source: Path, target: Path) -> None:
    feed(source, target / "a" / "b", 10, 0)
    assert joined(target / "a" / "b") == source.read_bytes()


@pytest.mark.parametrize("below", ["", "below"])
def test_a_directory_that_is_a_file(below: str, source: Path) -> None:
    with pytest.raises(StorageError, match="is not a directory"):
        feed(source, source / below)
