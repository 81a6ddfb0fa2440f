"""A program that takes acknowledged lines, and the end of everything at each call of the storage."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from penstock import Conf, Context
from penstock.errors import StateError
from penstock.sources.receivers.line_protocol import ProtocolError
from penstock.storage import Storage
from penstock.storage.faulty import FaultyStorage
from penstock.storage.resolve import wrapping
from tests.context.senders import Acked, Program

LINES, EACH = 24, 3


class Death:
    """From the n-th call of all storages on nothing reaches them any more."""

    def __init__(self, at: int | None) -> None:
        self.at = at
        self.calls = 0
        self.storages: list[FaultyStorage] = []
        self._lock = threading.Lock()

    def wrap(self, storage: Storage) -> Storage:
        found = FaultyStorage(storage, before=self.before)
        self.storages.append(found)
        return found

    def before(self, call: object) -> None:
        with self._lock:
            self.calls += 1
            dead = self.at is not None and self.calls >= self.at
        if dead:
            raise OSError("the machine is gone")

    @contextmanager
    def arranged(self) -> Iterator[None]:
        try:
            with wrapping(self.wrap):
                yield
        finally:
            for storage in self.storages:
                storage.die()  # the system closes what was open


def make(folder: Path) -> Any:
    def made(ssc: Any) -> Any:
        lines = ssc.reliableSocketTextStream("127.0.0.1", 0, listen=True)
        lines.saveAsTextFiles(str(folder / "out" / "lines"), "txt")
        return lines

    return made


def live(sc: Context, folder: Path, death: Death, now_ms: int) -> None:
    """Send what is not stored yet, a batch after each frame, and stop."""
    with death.arranged():
        program = Program(sc, make(folder), path=str(folder / "checkpoint"), now_ms=now_ms)
        with program:
            sender = Acked(program.address)
            try:
                have = sender.hello()
                while have < LINES:
                    frame = b"".join(b"%d\n" % (have + at) for at in range(min(EACH, LINES - have)))
                    have = sender.send(frame)
                    program.step()
            finally:
                sender.close()
            program.step()


@pytest.fixture
def sc() -> Iterator[Context]:
    conf = Conf().setMaster("local[1]").set("spark.streaming.receiver.writeAheadLog.enable", "true")
    conf.set("penstock.streaming.retries", 0).set("penstock.receiver.memoryBytes", 1)
    with Context(conf=conf) as context:
        yield context


def written(folder: Path) -> list[int]:
    return sorted(
        int(line) for part in (folder / "out").glob("lines-*.txt/part-*") for line in part.read_text().split()
    )


def die_at(sc: Context, folder: Path, points: list[int]) -> None:
    now_ms = 500
    for at in points:
        with suppress(OSError, ProtocolError, StateError):
            live(sc, folder, Death(at), now_ms)
        now_ms += 100_000
    live(sc, folder, Death(None), now_ms)
    assert written(folder) == list(range(LINES)), f"died at the calls {points}"


def test_whenever_the_machine_goes_each_line_is_in_the_output_once(
    sc: Context, tmp_path: Path, seed: int
) -> None:
    whole = Death(None)
    live(sc, tmp_path / "whole", whole, 500)
    assert written(tmp_path / "whole") == list(range(LINES))
    every = 25
    for at in range(1 + seed % every, whole.calls, every):
        die_at(sc, tmp_path / str(at), [at])
    for at in range(10 + seed % 100, whole.calls, 150):
        die_at(sc, tmp_path / f"{at}-twice", [at, at // 2])


@pytest.mark.long
def test_at_each_call_of_the_storage(sc: Context, tmp_path: Path) -> None:
    whole = Death(None)
    live(sc, tmp_path / "whole", whole, 500)
    for at in range(1, whole.calls):
        die_at(sc, tmp_path / str(at), [at])
