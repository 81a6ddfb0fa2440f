"""What is kept of a plan node: its partitions, in memory or in temporary files."""

from __future__ import annotations

import os
import pickle
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Protocol

from penstock.chunk import Chunk, Left, handed_out
from penstock.plan import Node, StorageLevel, Task

__all__ = ["Filler", "Kept"]


class Filler(Protocol):
    """Who computes partitions of several nodes together; see ``passes``."""

    def fill(
        self, wanted: Kept, partition: int, task: Task, chunks_of: Callable[[Node, int], Iterator[Chunk]]
    ) -> None:
        """Put the partition of ``wanted``, and of those that go with it."""


class Kept:
    """The partitions of one node, each computed at most once, whoever asks first."""

    def __init__(self, partitions: int, level: StorageLevel) -> None:
        self.level = level
        self._memory: list[list[Chunk] | None] = [None] * partitions
        self._files: list[str | None] = [None] * partitions
        self._locks = [threading.Lock() for _ in range(partitions)]
        self._directory: str | None = None
        self.one_pass: Filler | None = None

    def has(self, partition: int) -> bool:
        """Whether the partition is there."""
        return self._memory[partition] is not None or self._files[partition] is not None

    def lock(self, partition: int) -> threading.Lock:
        """Held by whoever computes the partition."""
        return self._locks[partition]

    def put(self, partition: int, chunks: list[Chunk]) -> None:
        """Take the computed chunks over."""
        if self.level.useMemory or any(isinstance(chunk, Left) for chunk in chunks):
            self._memory[partition] = chunks
            return
        path = os.path.join(self._folder(), f"part-{partition:05d}")
        with open(path, "wb") as file:
            pickle.dump(len(chunks), file)
            for chunk in chunks:
                pickle.dump(chunk, file, protocol=5)
        self._files[partition] = path

    def chunks(self, partition: int, *, lend: bool) -> Iterator[Chunk]:
        """The chunks, for a reader that may change them, or one to which they may be lent."""
        held = self._memory[partition]
        if held is not None:
            yield from handed_out(held, lend=lend)
            return
        path = self._files[partition]
        assert path is not None, "asked for a partition that is not kept"
        with open(path, "rb") as file:
            for _ in range(pickle.load(file)):
                yield pickle.load(file)

    def held(self, partition: int) -> list[Chunk]:
        """The chunks themselves, which nobody may change."""
        held = self._memory[partition]
        return list(self.chunks(partition, lend=True)) if held is None else held

    def in_memory(self, partition: int) -> list[Chunk] | None:
        """The chunks themselves, which nobody may change, if they are in memory."""
        return self._memory[partition]

    def rows_hint(self, partition: int) -> int | None:
        """How many records, if they are in memory."""
        held = self._memory[partition]
        return None if held is None else sum(map(len, held))

    def _folder(self) -> str:
        if self._directory is None:
            import shutil
            import tempfile

            self._directory = tempfile.mkdtemp(prefix="penstock-kept-")
            weakref.finalize(self, shutil.rmtree, self._directory, ignore_errors=True)
        return self._directory
