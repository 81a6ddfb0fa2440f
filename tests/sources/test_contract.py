"""Every source keeps the contract."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from penstock import Context, StorageLevel
from penstock.clock import SystemClock
from penstock.sources import (
    TEXT,
    FileSource,
    Limits,
    LogPlace,
    ReceiverSettings,
    ReceiverSource,
    ReliableLineSocket,
    StreamSource,
    text_readers,
)
from penstock.storage import Storage, storage_for
from tests.context.senders import Acked
from tests.sources.contract import World, live_through


class Folder(World):
    """A file for each time that records come."""

    def __init__(self, home: str, **options: Any) -> None:
        self.storage, self.path = storage_for(home)
        self.storage.makedirs(self.path)
        self.options = options
        self.numbers = count()

    def source(self) -> StreamSource:
        readers = partial(self._readers, self.storage)
        return FileSource(
            self.storage, self.path, readers, clock=SystemClock(), new_files_only=True, **self.options
        )

    def _readers(self, storage: Storage, file: Any) -> Any:
        return text_readers(storage, file, split_bytes=64)

    def bring(self, records: list[str]) -> None:
        text = "".join(f"{record}\n" for record in records)
        self.storage.write_atomic(f"{self.path}/{next(self.numbers):05d}.txt", text.encode())


class Acknowledged(World):
    """A sender of acknowledged lines, which connects for each time that records come; with a log."""

    def __init__(self, home: str) -> None:
        self.storage, self.path = storage_for(home)
        self.lines: list[str] = []
        self.listening: ReceiverSource | None = None

    def log_place(self, owner: str) -> LogPlace:
        return LogPlace(self.storage, f"{self.path}/receivedData/x", owner, lambda: None, lambda: None)

    def source(self) -> StreamSource:
        receiver = ReliableLineSocket(
            "127.0.0.1",
            0,
            StorageLevel.MEMORY_AND_DISK,
            listen=True,
            delay_ms=2000,
            most_line_bytes=1 << 20,
        )
        settings = ReceiverSettings(write_ahead=True, memory_bytes=100)
        return ReceiverSource(receiver, "acked", settings, clock=SystemClock(), stream_id=0, row_type=TEXT)

    def is_open(self, source: StreamSource) -> None:
        assert isinstance(source, ReceiverSource)
        self.listening = source
        self.bring([])

    def died(self, source: StreamSource) -> None:
        self.listening = None
        source.close()

    def bring(self, records: list[str]) -> None:
        self.lines += records
        if self.listening is None:
            return  # the sender keeps them
        receiver: Any = self.listening.receiver
        while receiver.address is None:
            threading.Event().wait(0.001)
        sender = Acked(receiver.address)
        have = sender.hello()
        if have < len(self.lines):
            sender.send("".join(f"{line}\n" for line in self.lines[have:]).encode())
        sender.close()


WORLDS: dict[str, Callable[[Path], World]] = {
    "files": lambda home: Folder(str(home / "in")),
    "acknowledged lines": lambda home: Acknowledged(str(home)),
    "acknowledged lines, logged in memory": lambda home: Acknowledged(f"memory://contract{home}"),
    "files, also below": lambda home: Folder(str(home / "in"), recursive=True),
    "files, one a batch": lambda home: Folder(str(home / "in"), limits=Limits(max_files=1)),
    "files, some bytes a batch": lambda home: Folder(str(home / "in"), limits=Limits(max_bytes=40)),
    "files in memory": lambda home: Folder(f"memory://contract{home}"),
}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("example", range(5))
def test_each_record_is_in_one_batch_whatever_happens(
    sc: Context, tmp_path: Path, world: str, example: int, seed: int
) -> None:
    live_through(sc, WORLDS[world](tmp_path), seed + example)
