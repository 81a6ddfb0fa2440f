"""Files of this machine, or of what is mounted on it."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat as modes
from collections.abc import Hashable
from typing import BinaryIO, cast

from penstock.clock import SystemClock
from penstock.errors import OutputExists, UnsupportedError
from penstock.storage.base import FileInfo, LogFile, Names, Storage, parent_of
from penstock.storage.temporaries import temporary_path
from penstock.values import dataclass

__all__ = ["LocalStorage"]

_sync_content = getattr(os, "fdatasync", os.fsync)  # content and size; macOS has no such call
_clock = SystemClock()  # what stamps are compared with: file systems follow no other clock
_TELLING_NS = 2_500_000_000  # a younger stamp may stand for a change that is still to come (FAT ticks in 2 s)
_RESERVE_BYTES = 256 * 1024
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


@dataclass(frozen=True)
class LocalStorage(Storage):
    """The operating system's files. Paths are absolute, so that they survive a change of directory."""

    atomic_rename = True
    appends = True

    def read(self, path: str, start: int = 0, stop: int | None = None) -> bytes:
        with open(path, "rb", buffering=0) as file:
            file.seek(start)
            if stop is None:
                return file.read()
            pieces, left = [], stop - start
            while left > 0 and (piece := file.read(left)):  # one read gives at most 2 GB
                pieces.append(piece)
                left -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def open_read(self, path: str) -> BinaryIO:
        return open(path, "rb")

    def stat(self, path: str) -> FileInfo:
        return _info(path, os.stat(path))

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def list_directory(self, directory: str) -> list[FileInfo]:
        infos = []
        with os.scandir(directory) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    infos.append(_info(entry.path, entry.stat()))
        return sorted(infos, key=lambda info: info.path)

    def list_names(self, directory: str) -> Names:
        names = Names([], [])
        add_file, add_directory = names.files.append, names.directories.append
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir():
                    add_directory(entry.name)
                else:
                    add_file(entry.name)
        return names

    def directory_stamp(self, directory: str) -> int | None:
        # The time of the last change of any kind: unlike the mtime nobody can set it, as rsync and tar do.
        stamp = os.stat(directory).st_ctime_ns
        return stamp if _clock.now_ns() - stamp >= _TELLING_NS else None

    def makedirs(self, directory: str, *, durable: bool = False) -> None:
        missing = []
        if not durable:
            with contextlib.suppress(OSError):  # above it all is there, as a rule: one call then
                os.mkdir(directory)
                return
        else:
            above = directory
            while not os.path.isdir(above):
                missing.append(above)
                above = parent_of(above)
        os.makedirs(directory, exist_ok=True)
        for made in reversed(missing):
            self.sync_directory(parent_of(made))

    def write_atomic(self, path: str, data: bytes, *, durable: bool = False) -> None:
        temporary = temporary_path(path)
        try:
            _write_new(temporary, data, durable)
            os.replace(temporary, path)
        except BaseException:
            _discard(temporary)
            raise
        if durable:
            self.sync_directory(parent_of(path))

    def create_if_absent(self, path: str, data: bytes, *, durable: bool = False) -> bool:
        if os.path.lexists(path):
            return False
        temporary = temporary_path(path)
        try:
            _write_new(temporary, data, durable)
            created = _link(temporary, path)
        finally:
            _discard(temporary)
        if created and durable:
            self.sync_directory(parent_of(path))
        return created

    def open_write(self, path: str, *, durable: bool = False) -> BinaryIO:
        # The class is a BufferedWriter, which is what open() returns for a binary file too.
        if durable:
            return cast(BinaryIO, _DurableWriter(io.FileIO(path, "w")))
        return open(path, "wb", buffering=io.DEFAULT_BUFFER_SIZE)  # by itself it would ask the file for that

    def open_log(self, path: str, size: int) -> LogFile:
        return _Appending(path, size)

    def keep_private(self, directory: str) -> None:
        os.chmod(directory, 0o700)

    def is_private(self, path: str) -> bool | None:
        if not hasattr(os, "getuid"):  # other systems have other rules, which their mode bits do not show
            return None
        found = os.stat(path)
        return found.st_uid == os.getuid() and not found.st_mode & (modes.S_IWGRP | modes.S_IWOTH)

    def rename_directory(self, source: str, target: str) -> None:
        if not os.path.isdir(source):
            raise NotADirectoryError(source) if os.path.exists(source) else FileNotFoundError(source)
        try:
            os.rename(source, target)  # over an empty directory, but over nothing else
        except OSError as error:
            if os.path.lexists(target) and (not os.path.isdir(target) or os.listdir(target)):
                raise OutputExists(f"{target} exists already") from error
            raise

    def rename_file(self, source: str, target: str) -> None:
        linked = False
        if not os.path.islink(source):
            try:
                os.link(source, target)  # unlike a rename it overwrites nothing
                linked = True
            except FileExistsError:
                if os.path.samefile(source, target) and source != target:
                    linked = True  # a call before has died before it removed the old name
                else:
                    raise
            except OSError as error:
                if error.errno == errno.EXDEV:
                    _copy_new(source, target)
                    linked = True
                elif error.errno not in _NO_LINKS:
                    raise
        if linked:
            os.unlink(source)
            return
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
        os.rename(source, target)

    def identity(self, directory: str) -> Hashable:
        found = os.stat(directory)
        return found.st_dev, found.st_ino

    def remove(self, path: str) -> None:
        os.unlink(path)

    def remove_tree(self, directory: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            import shutil

            shutil.rmtree(directory)

    def sync_directory(self, directory: str) -> None:
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def url(self, path: str) -> str:
        return path


class _DurableWriter(io.BufferedWriter):
    """A file whose content is on the disk once it is closed; an error of the disk is raised there."""

    def close(self) -> None:
        if not self.closed:
            try:
                self.flush()
                _sync_content(self.fileno())
            finally:
                super().close()


class _Appending(LogFile):
    """A file with zeros written ahead: to make content durable that takes the place of zeros costs no change
    of the file's own record."""

    __slots__ = ("_end", "_file", "_has_failed", "_path", "_size")

    def __init__(self, path: str, size: int) -> None:
        self._path = path
        self._size = size
        self._file = io.FileIO(path, "r+")
        self._end = size
        self._has_failed = False
        os.ftruncate(self._file.fileno(), size)

    def append(self, data: bytes) -> None:
        if self._has_failed:  # what is left of that must not lie behind what is shorter
            os.ftruncate(self._file.fileno(), self._size)
            self._end, self._has_failed = self._size, False
        grown = self._size + len(data)
        reserve = bytes(_RESERVE_BYTES) if grown > self._end else b""
        try:
            try:
                _write_at(self._file.fileno(), data + reserve, self._size)
            except OSError as error:
                if error.errno != errno.ENOSPC or not reserve:
                    raise
                reserve = b""
                _write_at(self._file.fileno(), data, self._size)
            _sync_content(self._file.fileno())
        except OSError as error:
            error.filename = error.filename or self._path
            self._has_failed = True
            raise
        self._end = max(self._end, grown + len(reserve))
        self._size = grown

    @property
    def size(self) -> int:
        return self._size

    def close(self) -> None:
        self._file.close()


def _write_at(descriptor: int, data: bytes, place: int) -> None:
    left = memoryview(data)
    while left:
        written = os.pwrite(descriptor, left, place)
        left, place = left[written:], place + written


def _info(path: str, found: os.stat_result) -> FileInfo:
    is_directory = modes.S_ISDIR(found.st_mode)
    return FileInfo(path, 0 if is_directory else found.st_size, found.st_mtime_ns, is_directory)


def _write_new(path: str, data: bytes, durable: bool) -> None:
    try:
        with open(path, "xb", buffering=0) as file:
            left = memoryview(data)
            while left:
                left = left[file.write(left) :]  # the system may take less than it is given
            if durable:
                _sync_content(file.fileno())
    except OSError as error:
        error.filename = error.filename or path  # writing does not say where
        raise


def _link(temporary: str, path: str) -> bool:
    try:
        os.link(temporary, path)
    except FileExistsError:
        # Over a network the answer to a link that was made may get lost, and the repeated call fails.
        return os.stat(temporary).st_nlink == 2
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        raise UnsupportedError(
            f"{path} is on a file system without hard links, so nothing can promise that only one run "
            "creates it. Hint: use a directory on another file system."
        ) from error
    return True


def _copy_new(source: str, target: str) -> None:
    """A copy on another file system, with the times of the original; whole or not at all."""
    temporary = temporary_path(target)
    try:
        import shutil

        shutil.copy2(source, temporary)
        with open(temporary, "r+b") as file:  # the original is about to go
            _sync_content(file.fileno())
        try:
            linked = _link(temporary, target)
        except UnsupportedError:
            linked = not os.path.lexists(target)
            if linked:
                os.rename(temporary, target)
        if not linked:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
    finally:
        _discard(temporary)


def _discard(temporary: str) -> None:
    with contextlib.suppress(OSError):  # it is hidden, and clean_leftovers will find it
        os.unlink(temporary)
