"""Partitions of files that are not read by lines: whole, pickled, or of fixed-length records."""

from __future__ import annotations

import itertools
import pickle
import struct
from collections.abc import Hashable, Iterator

from penstock.chunk import CHUNK_ROWS, Chunk, Rows
from penstock.errors import CorruptInput
from penstock.plan import PartitionReader, Task
from penstock.sources.planned import open_content
from penstock.storage import FileInfo, Storage

__all__ = ["FixedRecords", "Pickled", "WholeFiles", "grouped"]

_CHUNK_BYTES = 8 << 20
_NO_PICKLE = (
    pickle.UnpicklingError, EOFError, ValueError, LookupError, OverflowError, MemoryError, struct.error
)  # fmt: skip


class WholeFiles(PartitionReader):
    """``(path, content)`` of some files; the content as text (UTF-8, decompressed) or as it is."""

    __slots__ = ("files", "storage", "text")

    def __init__(self, storage: Storage, files: list[FileInfo], *, text: bool) -> None:
        self.storage = storage
        self.files = files
        self.text = text

    def read(self, task: Task) -> Iterator[Chunk]:
        for file in self.files:
            with open_content(self.storage, file.path, file.size, decompress=self.text) as content:
                data = content.read()
            found = data.decode("utf-8", "replace") if self.text else data
            yield Rows([(self.storage.url(file.path), found)])


class Pickled(PartitionReader):
    """The records of one part that ``saveAsPickleFile`` wrote."""

    __slots__ = ("file", "storage")

    def __init__(self, storage: Storage, file: FileInfo) -> None:
        self.storage = storage
        self.file = file

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


class FixedRecords(PartitionReader):
    """``bytes`` of ``length`` each. A file that is no whole number of records is ``CorruptInput``."""

    __slots__ = ("file", "length", "origin", "storage")

    def __init__(self, storage: Storage, file: FileInfo, length: int, origin: Hashable = None) -> None:
        self.storage = storage
        self.file = file
        self.length = length
        self.origin = origin

    @property
    def bytes_hint(self) -> int:
        return self.file.size

    def read(self, task: Task) -> Iterator[Chunk]:
        path, size, length = self.file.path, self.file.size, self.length
        if size % length:
            raise CorruptInput(
                f"{self.storage.url(path)} has {size} bytes, which is no whole number of records "
                f"of {length} bytes"
            )
        step = length * max(1, min(CHUNK_ROWS, _CHUNK_BYTES // length))
        with open_content(self.storage, path, size, decompress=False) as content:
            while data := content.read(step):
                yield Rows([data[at : at + length] for at in range(0, len(data), length)])
        task.metrics.note("records", (self.origin, path, 0), size // length)


def grouped(files: list[FileInfo], count: int) -> list[list[FileInfo]]:
    """The files in at most ``count`` groups of neighbours."""
    count = max(1, min(count, len(files)))
    bounds = [index * len(files) // count for index in range(count + 1)]
    return [files[start:stop] for start, stop in itertools.pairwise(bounds) if start < stop]
