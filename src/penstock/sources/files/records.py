"""Partitions of files that are read whole, or were pickled."""

from __future__ import annotations

import itertools
import pickle
import struct
from collections.abc import Hashable, Iterator

from penstock.chunk import Chunk, Rows
from penstock.errors import CorruptInput
from penstock.plan import PartitionReader, Task
from penstock.sources.files.planned import open_content
from penstock.storage import FileInfo, Storage

__all__ = ["Pickled", "WholeFiles", "grouped"]

_NO_PICKLE = (
    pickle.UnpicklingError, EOFError, ValueError, LookupError, OverflowError, MemoryError, struct.error
)  # fmt: skip


class WholeFiles(PartitionReader):
    """``(path, content)`` of some files; the content as text (UTF-8, decompressed) or as it is."""

    __slots__ = ("files", "origin", "storage", "text")

    def __init__(
        self, storage: Storage, files: list[FileInfo], *, text: bool, origin: Hashable = None
    ) -> None:
        self.storage = storage
        self.files = files
        self.text = text
        self.origin = origin

    @property
    def travels(self) -> bool:
        return not self.storage.of_this_process

    def read(self, task: Task) -> Iterator[Chunk]:
        for file in self.files:
            with open_content(self.storage, file.path, file.size, decompress=self.text) as content:
                data = content.read()
            found = data.decode("utf-8", "replace") if self.text else data
            yield Rows([(self.storage.url(file.path), found)])
            task.metrics.note("records", (self.origin, file.path, 0), 1)


class Pickled(PartitionReader):
    """The records of one part that ``saveAsPickleFile`` wrote."""

    __slots__ = ("file", "storage")

    def __init__(self, storage: Storage, file: FileInfo) -> None:
        self.storage = storage
        self.file = file

    @property
    def travels(self) -> bool:
        return not self.storage.of_this_process

    def read(self, task: Task) -> Iterator[Chunk]:
        name = self.storage.url(self.file.path)
        with open_content(self.storage, self.file.path, self.file.size, decompress=False) as raw:
            while raw.peek(1):
                try:
                    chunk = pickle.load(raw)
                except _NO_PICKLE as error:
                    raise CorruptInput(f"{name} is not a whole part of a pickle file: {error}") from error
                except (AttributeError, ImportError) as error:
                    error.add_note(
                        f"while reading {name}: a class of its records cannot be found. Hint: define it in a "
                        f"module that both the writing and the reading program import."
                    )
                    raise
                if not isinstance(chunk, Chunk):
                    raise CorruptInput(f"{name} is not a part that saveAsPickleFile wrote")
                yield chunk


def grouped(files: list[FileInfo], count: int) -> list[list[FileInfo]]:
    """The files in at most ``count`` groups of neighbours."""
    count = max(1, min(count, len(files)))
    bounds = [index * len(files) // count for index in range(count + 1)]
    return [files[start:stop] for start, stop in itertools.pairwise(bounds) if start < stop]
