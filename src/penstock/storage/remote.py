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

What a store's client raises that is no error of the system, such as a connection that broke, becomes an
``OSError`` with the path. What fails while a file is uploaded is not uploaded at all, as far as the client
allows: a file that could not be written to is discarded when it is closed.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, BinaryIO, cast

from penstock.errors import OutputExists, PenstockError, UnsupportedError
from penstock.storage.base import FileInfo, Names, Storage, join, name_of, parent_of
from penstock.storage.temporaries import temporary_path

__all__ = ["FsspecStorage"]

_CHANGED = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")  # by kind of store
_READ_BYTES = 1 << 16
_NUMBERS: dict[type, int] = {
    FileNotFoundError: errno.ENOENT,
    FileExistsError: errno.EEXIST,
    PermissionError: errno.EACCES,
    NotADirectoryError: errno.ENOTDIR,
    IsADirectoryError: errno.EISDIR,
    TimeoutError: errno.ETIMEDOUT,
}
_MAGIC = frozenset("*?[")
_creating = threading.Lock()
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
        self.of_this_process = "memory" in filesystem.protocol

    def __reduce__(self) -> tuple[type[FsspecStorage], tuple[Any]]:
        return type(self), (self._files,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FsspecStorage) and self._files == other._files

    def __hash__(self) -> int:
        return hash(self._files)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._files!r})"

    def read(self, path: str, start: int = 0, stop: int | None = None) -> bytes:
        with self._asking(path):
            return bytes(self._files.cat_file(path, start=start, end=stop))

    def open_read(self, path: str) -> BinaryIO:
        with self._asking(path):
            file = self._opened(path)
        if isinstance(file, io.BytesIO):  # memory:// gives the same object, and position, to all who ask
            return io.BytesIO(file.getvalue())
        return cast(BinaryIO, io.BufferedReader(_Reading(self, path, file), _READ_BYTES))

    def stat(self, path: str) -> FileInfo:
        with self._asking(path):
            self._files.invalidate_cache(parent_of(path))
            return self._info(self._files.info(path))

    def exists(self, path: str) -> bool:
        try:
            self.stat(path)  # the clients' own `exists` may take any error for a no
        except FileNotFoundError:
            return False
        return True

    def list_directory(self, directory: str) -> list[FileInfo]:
        with self._asking(directory):
            self._files.invalidate_cache(directory)
            listed = self._files.ls(directory, detail=True)
        itself = directory.strip("/")
        infos = []
        for found in listed:
            info = self._info(found)
            if info.path.strip("/") != itself:
                infos.append(info)
            elif not info.is_directory and not found["name"].endswith("/"):
                raise NotADirectoryError(errno.ENOTDIR, "it is a file", directory)
        infos.sort(key=attrgetter("path"))
        return infos

    def list_names(self, directory: str) -> Names:
        infos = self.list_directory(directory)
        return Names(
            [info.name for info in infos if not info.is_directory],
            [info.name for info in infos if info.is_directory],
        )

    def makedirs(self, directory: str, *, durable: bool = False) -> None:
        with self._asking(directory):
            self._files.makedirs(directory, exist_ok=True)

    def write_atomic(self, path: str, data: bytes, *, durable: bool = False) -> None:
        with self._asking(path):
            self._files.pipe_file(path, data)

    def create_if_absent(self, path: str, data: bytes, *, durable: bool = False) -> bool:
        with self._probing:
            if not self._creates_exclusively:
                probe = temporary_path(path)
                with self._asking(probe):
                    self._probe(probe)
                self._creates_exclusively = True
        with self._asking(path):
            return self._create(path, data)

    def open_write(self, path: str, *, durable: bool = False) -> BinaryIO:
        with self._asking(path):
            return cast(BinaryIO, _Writing(self, path, self._files.open(path, "wb")))

    def rename_directory(self, source: str, target: str) -> None:
        if not self.stat(source).is_directory:
            raise NotADirectoryError(errno.ENOTDIR, "it is a file", source)
        if self.exists(target) and (not self.stat(target).is_directory or self.list_directory(target)):
            raise OutputExists(f"{self.url(target)} exists already")
        made = ""
        for path in self._files_below(source):
            if path.endswith("/"):  # it marks a directory, and is no file
                continue
            moved = target + path[len(source) :]
            if parent_of(moved) != made:
                made = parent_of(moved)
                self.makedirs(made)
            with self._asking(path):
                self._files.cp_file(path, moved)
                self._files.rm_file(path)
        self.remove_tree(source)
        self.makedirs(target)

    def rename_file(self, source: str, target: str) -> None:
        if self.exists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
        with self._asking(source):
            self._files.cp_file(source, target)
            self._files.rm_file(source)

    def remove(self, path: str) -> None:
        with self._asking(path):
            self._files.rm_file(path)

    def remove_tree(self, directory: str) -> None:
        plain = not _MAGIC.intersection(
            directory
        )  # else the client takes it for a pattern, and removes what matches
        for path in self._files_below(directory):
            if not plain or name_of(path).startswith("_"):
                with self._asking(path), contextlib.suppress(FileNotFoundError):
                    self._files.rm_file(path)
        with self._asking(directory), contextlib.suppress(FileNotFoundError):
            if plain:
                self._files.rm(directory, recursive=True)
            else:
                self._remove_empty(directory)

    def sync_directory(self, directory: str) -> None:
        pass

    def url(self, path: str) -> str:
        return str(self._files.unstrip_protocol(path))

    # ---- for the stores that know better

    def _info(self, found: Mapping[str, Any]) -> FileInfo:
        is_directory = found["type"] == "directory"
        size = 0 if is_directory else int(found["size"] or 0)
        path = str(found["name"])
        changed = next((found[key] for key in _CHANGED if found.get(key) is not None), None)
        return FileInfo(path.rstrip("/") or path, size, _mtime_ns(changed), is_directory)

    def _opened(self, path: str) -> Any:
        return self._files.open(path, "rb")

    def _create(self, path: str, data: bytes) -> bool:
        try:
            if self.of_this_process:
                with _creating:  # it looks, and then makes
                    self._files.pipe_file(path, data, mode="create")
            else:
                with self._files.open(path, "xb") as file:
                    file.write(data)
        except FileExistsError:
            return False
        except (ValueError, NotImplementedError) as error:
            raise self._cannot_create(str(error)) from error
        return True

    def _remove_empty(self, directory: str) -> None:
        for below, directories, _ in reversed(list(self._files.walk(directory))):
            for name in directories:
                self._files.rmdir(join(below, name))
        self._files.rmdir(directory)

    def _files_below(self, directory: str) -> list[str]:
        """The files in a directory and in those in it: those that mark what is whole first."""
        with self._asking(directory):
            self._files.invalidate_cache(directory)
            found = [str(path) for path in self._files.find(directory)]
        return sorted(
            (path for path in found if path != directory),
            key=lambda path: (not name_of(path).startswith("_"), path),
        )

    @contextmanager
    def _asking(self, path: str) -> Iterator[None]:
        """Within the block, what the store raises is an error of the system that names the path."""
        try:
            yield
        except PenstockError:
            raise
        except OSError as error:
            named = _named(error, self.url(path))
            if named is error:
                raise
            raise named from error
        except NotImplementedError as error:
            raise UnsupportedError(f"{self.url(path)}: its store cannot do that ({error})") from error
        except Exception as error:
            raise self._translated(error, path) from error

    def _translated(self, error: Exception, path: str) -> OSError:
        """An error of the store's client as one of the system."""
        return OSError(errno.EIO, f"{type(error).__name__}: {error}", self.url(path))

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


class _Reading(io.RawIOBase):
    """A file being read, whose errors are those of the system."""

    def __init__(self, storage: FsspecStorage, path: str, file: Any) -> None:
        self._storage = storage
        self._path = path
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        with self._storage._asking(self._path):
            return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        with self._storage._asking(self._path):
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        with self._storage._asking(self._path):
            return bytes(self._file.read())

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._file.close()


class _Writing(io.RawIOBase):
    """A file being written. One that could not be written to is discarded, where the store can do that."""

    def __init__(self, storage: FsspecStorage, path: str, file: Any) -> None:
        self._storage = storage
        self._path = path
        self._file = file
        self._failed = False

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        try:
            with self._storage._asking(self._path):
                return int(self._file.write(data))
        except BaseException:
            self._failed = True
            raise

    def close(self) -> None:
        if self.closed:
            return
        super().close()
        with self._storage._asking(self._path):
            if self._failed and hasattr(self._file, "discard"):
                self._file.discard()
                with contextlib.suppress(AttributeError):
                    self._file.closed = True  # else it is closed, and so uploaded, with the end of its life
            else:
                self._file.close()


def _named(error: OSError, url: str) -> OSError:
    """An error with the path in it; the clients leave it out, or have nothing but the path."""
    if error.filename is not None:
        return error
    if error.errno is not None:
        error.filename = url
        return error
    kind = type(error)
    number = _NUMBERS.get(kind)
    if number is None:
        return error
    said = str(error)
    return kind(number, said if said and said not in url else os.strerror(number), url)


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
