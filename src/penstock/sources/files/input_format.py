"""Formats of your own: what turns an open file into pairs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, BinaryIO, cast

from penstock.chunk import CHUNK_ROWS, Chunk, Rows
from penstock.errors import SignatureError, shown
from penstock.plan import PartitionReader, Task
from penstock.sources.files.codecs import codec_of
from penstock.sources.files.planned import open_content
from penstock.storage import FileInfo, Storage
from penstock.values import dataclass

__all__ = ["FormatReader", "InputFormat", "Split", "format_readers"]


@dataclass(frozen=True)
class Split:
    """A part of a file, which becomes a partition: the bytes from ``start`` up to but without ``stop``.

    ``file`` has the file's URL as ``path``, its ``size`` in bytes and ``mtime_ns``. ``extra`` is whatever the
    format wants to remember of the part; it must be picklable.
    """

    file: FileInfo
    start: int
    stop: int
    extra: Any = None


class InputFormat(ABC):
    """Reads files of a format of your own, for ``ssc.fileStream``: subclass it and write :meth:`read`.

    An instance is pickled into a checkpoint, and its methods are called on any thread, several at a time:
    keep nothing in it that changes. A file may be read again, after a failure or for a second output, so
    reading it must do nothing else.

    >>> class Lengths(InputFormat):
    ...     def read(self, file, split, conf):
    ...         size = conf.get("size", 4)
    ...         while block := file.read(size):
    ...             yield file.tell() - len(block), block
    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.bin").write_bytes(b"abcdef")
    >>> ssc, seen = StreamingContext(sc, 1), []
    >>> pairs = ssc.fileStream(folder, Lengths(), newFilesOnly=False)
    >>> pairs.foreachRDD(lambda rdd: seen.extend(rdd.collect()))
    >>> ssc.start(availableNow=True)
    >>> ssc.awaitTermination()
    >>> seen
    [(0, b'abcd'), (4, b'ef')]
    """

    decompresses: bool = True
    """Whether ``.gz``, ``.bz2``, ``.xz`` and ``.zst`` files are to be read decompressed. Such a file is one
    split, whatever :meth:`splits` says, and cannot be read backwards."""

    def splits(self, file: FileInfo) -> list[Split]:
        """The parts in which a file can be read side by side; by default the whole file. Must not open it,
        and must say the same whenever it is asked. Not asked for an empty file."""
        return [Split(file, 0, file.size)]

    @abstractmethod
    def read(self, file: BinaryIO, split: Split, conf: Mapping[str, Any]) -> Iterable[tuple[Any, Any]]:
        """The (key, value) pairs of a part, in order; best as a generator.

        ``file`` stands at the beginning of the file, not of the split, can be sought in unless it is
        compressed, and ends where the file ended when it was listed. It is closed for you. ``conf`` is what
        ``fileStream`` was given.
        """


class FormatReader(PartitionReader):
    """One split of a file in a user's format."""

    __slots__ = ("conf", "file", "format", "origin", "split", "storage")

    def __init__(
        self,
        storage: Storage,
        file: FileInfo,
        format: InputFormat,
        split: Split,
        conf: Mapping[str, Any],
        origin: Hashable,
    ) -> None:
        self.storage = storage
        self.file = file
        self.format = format
        self.split = split
        self.conf = conf
        self.origin = origin

    @property
    def travels(self) -> bool:
        return not self.storage.of_this_process

    @property
    def bytes_hint(self) -> int:
        return self.split.stop - self.split.start

    def read(self, task: Task) -> Iterator[Chunk]:
        path, size, count = self.file.path, self.file.size, 0
        try:
            with open_content(self.storage, path, size, decompress=self.format.decompresses) as content:
                pairs = iter(self.format.read(cast(BinaryIO, content), self.split, self.conf))
                for chunk in _chunks(pairs):
                    self._must_be_pairs(chunk)
                    count += len(chunk)
                    yield Rows(chunk)
        except Exception as error:
            error.add_note(f"while {type(self.format).__name__} read {self.storage.url(path)}")
            raise
        place = (self.origin, path, self.split.start)
        task.metrics.note("records", place, count)
        task.metrics.note("bytes", place, self.split.stop - self.split.start)

    def _must_be_pairs(self, chunk: list[Any]) -> None:
        for pair in chunk:
            if type(pair) is not tuple or len(pair) != 2:
                raise SignatureError(
                    f"read of {type(self.format).__name__} must yield (key, value) pairs, "
                    f"not {shown(pair, 60)}"
                )


def _chunks(pairs: Iterator[Any]) -> Iterator[list[Any]]:
    """In lists; what was made before an error comes before it."""
    failed: Exception | None = None
    while failed is None:
        chunk: list[Any] = []
        try:
            chunk.extend(islice(pairs, CHUNK_ROWS))
        except Exception as error:
            failed = error
        if chunk:
            yield chunk
        elif failed is None:
            return
    raise failed


def format_readers(
    storage: Storage, file: FileInfo, format: InputFormat, conf: Mapping[str, Any], origin: Hashable
) -> list[PartitionReader]:
    """The partitions of a file in a user's format; an empty file has none."""
    if file.size == 0:
        return []
    public = file._replace(path=storage.url(file.path))
    splits = [Split(public, 0, file.size)]
    if not (format.decompresses and codec_of(file.path)):
        splits = list(format.splits(public))
    for split in splits:
        if not isinstance(split, Split):
            raise SignatureError(f"splits of {type(format).__name__} must give Splits, not {split!r}")
    return [FormatReader(storage, file, format, split, conf, origin) for split in splits]
