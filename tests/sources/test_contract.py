"""Every source keeps the contract."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from penstock import Context
from penstock.clock import SystemClock
from penstock.sources import FileSource, StreamSource, text_readers
from penstock.storage import Storage, storage_for
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


WORLDS: dict[str, Callable[[Path], World]] = {
    "files": lambda home: Folder(str(home / "in")),
    "files, also below": lambda home: Folder(str(home / "in"), recursive=True),
    "files in memory": lambda home: Folder(f"memory://contract{home}"),
}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("example", range(5))
def test_each_record_is_in_one_batch_whatever_happens(
    sc: Context, tmp_path: Path, world: str, example: int, seed: int
) -> None:
    live_through(sc, WORLDS[world](tmp_path), seed + example)
