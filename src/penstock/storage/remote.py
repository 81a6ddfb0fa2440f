"""Files behind a URL: whatever fsspec reaches, object stores above all.

How the promises of the contract are kept by stores that are not file systems:

- One upload is one step: readers see the old object or the new one. This holds for object stores (S3, Google
  Cloud Storage, Azure) and for ``memory://``. File servers (SFTP, SMB, HDFS) show a file while it is written,
  and there ``write_atomic`` is only as good as the server's ``put``.
- Objects are durable once uploaded, so ``durable`` adds nothing.
- *Create if absent* is the store's own conditional upload. It is tried out on a probe object before it is
  relied upon, because some stores accept the request and overwrite.
- A directory is a common beginning of names. It cannot be renamed at one moment, so outputs carry a
  marker that is uploaded last.

fsspec keeps what it listed. It is told to forget that before each look, since others write too.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, BinaryIO, cast

from penstock.errors import OutputExists, UnsupportedError
from penstock.storage.base import FileInfo, Names, Storage, name_of, parent_of
from penstock.storage.temporaries import temporary_path

__all__ = ["FsspecStorage"]

_CHANGED = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")  # by kind of store
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FsspecStorage(Storage):
    """A file system of fsspec, such as ``fsspec.filesystem("s3")``. Paths are in that file system's form.

    >>> import fsspec
    >>> storage = FsspecStorage(fsspec.filesystem("memory"))
    >>> storage.write_atomic("/doc/a.txt", b"hello")
    >>> storage.read("/doc/a.txt", 1, 3), storage.create_if_absent("/doc/a.txt", b"other")
    (b'el', False)
    """

    atomic_rename = False
    lists_details = True

    def __init__(self, filesystem: Any) -> None:
        self._files = filesystem
        self._creates_exclusively = False  # not known yet
        self._probing = threading.Lock()

    def __reduce__(self) -> tuple[type[FsspecStorage], tuple[Any]]:
        return FsspecStorage, (self._files,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FsspecStorage) and self._files == other._files

    def __hash__(self) -> int:
        return hash(self._files)

    def __repr__(self) -> str:
        return f"FsspecStorage({self._files!r})"

    def read(self, path: str, start: int = 0, stop: int | None = None) -> bytes:
        return bytes(self._files.cat_file(path, start=start, end=stop))

    def open_read(self, path: str) -> BinaryIO:
        file = self._files.open(path, "rb")
        if isinstance(file, io.BytesIO):  # memory:// gives the same object, and position, to all who ask
            return io.BytesIO(file.getvalue())
        return cast(BinaryIO, file)

    def stat(self, path: str) -> FileInfo:
        self._files.invalidate_cache(parent_of(path))
        return _info(self._files.info(path))

    def exists(self, path: str) -> bool:
        self._files.invalidate_cache(parent_of(path))
        return bool(self._files.exists(path))

    def list_directory(self, directory: str) -> list[FileInfo]:
        self._files.invalidate_cache(directory)
        infos = [_info(found) for found in self._files.ls(directory, detail=True)]
        itself = directory.strip("/")
        inside = []
        for info in infos:
            if info.path.strip("/") != itself:
                inside.append(info)
            elif not info.is_directory:
                raise NotADirectoryError(directory)  # else: S3 may list the directory too
        inside.sort(key=attrgetter("path"))
        return inside

    def list_names(self, directory: str) -> Names:
        infos = self.list_directory(directory)
        return Names(
            [info.name for info in infos if not info.is_directory],
            [info.name for info in infos if info.is_directory],
        )

    def makedirs(self, directory: str, *, durable: bool = False) -> None:
        self._files.makedirs(directory, exist_ok=True)

    def write_atomic(self, path: str, data: bytes, *, durable: bool = False) -> None:
        self._files.pipe_file(path, data)

    def create_if_absent(self, path: str, data: bytes, *, durable: bool = False) -> bool:
        with self._probing:
            if not self._creates_exclusively:
                self._probe(temporary_path(path))
                self._creates_exclusively = True
        return self._create(path, data)

    def open_write(self, path: str, *, durable: bool = False) -> BinaryIO:
        return cast(BinaryIO, self._files.open(path, "wb"))

    def rename_directory(self, source: str, target: str) -> None:
        if not self.stat(source).is_directory:
            raise NotADirectoryError(source)
        if self.exists(target) and (not self.stat(target).is_directory or self.list_directory(target)):
            raise OutputExists(f"{self.url(target)} exists already")
        self._files.invalidate_cache(source)
        files = sorted(self._files.find(source), key=lambda path: (not name_of(path).startswith("_"), path))
        for path in files:
            moved = target + path[len(source) :]
            self._files.makedirs(parent_of(moved), exist_ok=True)
            self._files.cp_file(path, moved)
            self._files.rm_file(path)
        self.remove_tree(source)
        self.makedirs(target)

    def rename_file(self, source: str, target: str) -> None:
        if self.exists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
        self._files.cp_file(source, target)
        self._files.rm_file(source)

    def remove(self, path: str) -> None:
        self._files.rm_file(path)

    def remove_tree(self, directory: str) -> None:
        self._files.invalidate_cache(directory)
        with contextlib.suppress(FileNotFoundError):
            self._files.rm(directory, recursive=True)

    def sync_directory(self, directory: str) -> None:
        pass

    def url(self, path: str) -> str:
        return str(self._files.unstrip_protocol(path))

    def _create(self, path: str, data: bytes) -> bool:
        try:
            with self._files.open(path, "xb") as file:
                file.write(data)
        except FileExistsError:
            return False
        except (ValueError, NotImplementedError) as error:
            raise self._cannot_create(str(error)) from error
        return True

    def _probe(self, path: str) -> None:
        """Create an object twice: the second time must be refused."""
        try:
            self._create(path, b"first")
            if self._create(path, b"second"):
                raise self._cannot_create("it overwrites what is there")
        finally:
            with contextlib.suppress(OSError):
                self.remove(path)

    def _cannot_create(self, why: str) -> UnsupportedError:
        return UnsupportedError(
            f"the store {self.url('')} cannot create a file only if there is none ({why}), so nothing "
            "keeps two runs apart. Hint: use a local directory or an object store with conditional uploads."
        )


def _info(found: Mapping[str, Any]) -> FileInfo:
    is_directory = found["type"] == "directory"
    size = 0 if is_directory else int(found["size"] or 0)
    path = str(found["name"])
    changed = None
    for key in _CHANGED:  # a loop, since there may be very many objects
        changed = found.get(key)
        if changed is not None:
            break
    return FileInfo(path.rstrip("/") or path, size, _mtime_ns(changed), is_directory)


def _mtime_ns(changed: object) -> int:
    """A moment as some store puts it, in nanoseconds since the epoch; 0 if it cannot be read.

    >>> _mtime_ns(1.5), _mtime_ns("1970-01-01T00:00:02Z"), _mtime_ns(None)
    (1500000000, 2000000000, 0)
    """
    if isinstance(changed, str):
        try:
            changed = datetime.fromisoformat(changed)
        except ValueError:
            return 0
    if isinstance(changed, datetime):
        aware = changed if changed.tzinfo else changed.replace(tzinfo=UTC)
        return (aware - _EPOCH) // timedelta(microseconds=1) * 1000
    # To the microsecond: more is noise in a float of this size.
    return round(changed * 1_000_000) * 1000 if isinstance(changed, (int, float)) else 0
