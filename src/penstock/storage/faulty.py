"""A storage that fails when it is told to: for proving what is left after a crash.

A :class:`Fault` says at which call, at which moment of it, and with which error. A call fails

- ``before`` it had any effect: the disk is full, the server is gone;
- ``half`` way: half of the bytes are written, half of the files moved or removed. An operation that
  happens at one moment leaves a half-written temporary, or nothing at all;
- ``after`` it had its whole effect, and only the answer is lost.

A ``lasting`` fault is the end of the process: every later call fails too, so that no tidying up is done
by the dead. With ``lose_syncs`` the storage says that data is durable and it is not; ``lose_power`` then
shows what a loss of power leaves.
"""

from __future__ import annotations

import contextlib
import errno as numbers
import io
import os
import random
import threading
from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any, BinaryIO, Literal, TypeVar, cast, get_args

from penstock.storage.base import FileInfo, LogFile, Names, Storage, join
from penstock.storage.temporaries import temporary_path
from penstock.values import dataclass

__all__ = ["Call", "Fault", "FaultyStorage", "Moment", "seeded_faults"]

T = TypeVar("T")

Moment = Literal["before", "half", "after"]
"""How far a call gets before it fails."""


@dataclass(frozen=True)
class Fault:
    """The failure of one call: the ``call``-th (from 1) of ``operation``, or of all operations together."""

    call: int
    operation: str | None = None
    moment: Moment = "before"
    errno: int = numbers.EIO
    lasting: bool = False


@dataclass(frozen=True)
class Call:
    """One call as it was made. ``open_write`` is followed by the ``write`` and ``close`` of its file."""

    operation: str
    path: str
    durable: bool = False


def seeded_faults(seed: int, calls: int, count: int = 1) -> list[Fault]:
    """``count`` faults at different calls among the first ``calls``; the same for the same seed."""
    chance = random.Random(seed)
    moments = get_args(Moment)
    errors = (numbers.EIO, numbers.ENOSPC)
    return [
        Fault(call, moment=chance.choice(moments), errno=chance.choice(errors))
        for call in sorted(chance.sample(range(1, calls + 1), count))
    ]


class FaultyStorage(Storage):
    """Another storage, failing as planned. ``calls`` records every call, the failed ones included; ``before``
    is called before each, and may take its time.

    >>> from penstock.storage.local import LocalStorage
    >>> storage = FaultyStorage(LocalStorage(), [Fault(2, "exists", errno=28)])
    >>> storage.exists("/")
    True
    >>> storage.exists("/")
    Traceback (most recent call last):
    OSError: [Errno 28] No space left on device: '/'
    """

    of_this_process = True  # its faults are

    def __init__(
        self,
        inner: Storage,
        faults: Iterable[Fault] = (),
        *,
        lose_syncs: bool = False,
        before: Callable[[Call], object] | None = None,
    ) -> None:
        self.atomic_rename = inner.atomic_rename
        self.lists_details = inner.lists_details
        self.appends = inner.appends
        self.calls: list[Call] = []
        self._inner = inner
        self._faults = list(faults)
        self._lose_syncs = lose_syncs
        self._before = before
        self._unsynced: set[str] = set()
        self._logs: list[LogFile] = []
        self._dead: Fault | None = None
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def die(self) -> None:
        """From here on every call fails, and what was open is closed, as by the system."""
        with self._lock:
            self._dead = self._dead or Fault(0)
        while self._logs:
            self._logs.pop().close()

    def lose_power(self, below: str = "") -> None:
        """Cut every file written here, below that path, and not made durable to half. Names stay; this is no
        call."""
        for path in sorted(self._unsynced):
            if path.startswith(below) and self._inner.exists(path):
                data = self._inner.read(path)
                self._inner.write_atomic(path, data[: len(data) // 2])
        self._unsynced.clear()

    # ---- reading

    def read(self, path: str, start: int = 0, stop: int | None = None) -> bytes:
        return self.perform("read", path, lambda: self._inner.read(path, start, stop))

    def open_read(self, path: str) -> BinaryIO:
        return self.perform("open_read", path, lambda: self._inner.open_read(path))

    def stat(self, path: str) -> FileInfo:
        return self.perform("stat", path, lambda: self._inner.stat(path))

    def exists(self, path: str) -> bool:
        return self.perform("exists", path, lambda: self._inner.exists(path))

    def list_directory(self, directory: str) -> list[FileInfo]:
        return self.perform("list_directory", directory, lambda: self._inner.list_directory(directory))

    def list_names(self, directory: str) -> Names:
        return self.perform("list_names", directory, lambda: self._inner.list_names(directory))

    def directory_stamp(self, directory: str) -> int | None:
        return self.perform("directory_stamp", directory, lambda: self._inner.directory_stamp(directory))

    def url(self, path: str) -> str:
        return self._inner.url(path)

    # ---- writing

    def makedirs(self, directory: str, *, durable: bool = False) -> None:
        synced = durable and not self._lose_syncs
        make = partial(self._inner.makedirs, directory, durable=synced)
        self.perform("makedirs", directory, make, durable=durable)

    def write_atomic(self, path: str, data: bytes, *, durable: bool = False) -> None:
        def write() -> None:
            self._inner.write_atomic(path, data, durable=self.note(path, durable))

        self.perform("write_atomic", path, write, partial(self._half_written, path, data), durable=durable)

    def create_if_absent(self, path: str, data: bytes, *, durable: bool = False) -> bool:
        def create() -> bool:
            if self._inner.exists(path):
                return False
            return self._inner.create_if_absent(path, data, durable=self.note(path, durable))

        half = partial(self._half_written, path, data)
        return self.perform("create_if_absent", path, create, half, durable=durable)

    def open_write(self, path: str, *, durable: bool = False) -> BinaryIO:
        def open_it() -> BinaryIO:
            return self._inner.open_write(path, durable=self.note(path, durable))

        file = self.perform("open_write", path, open_it, durable=durable)
        return cast(BinaryIO, _FaultyFile(self, path, file, durable))

    def open_log(self, path: str, size: int) -> LogFile:
        log = self.perform("open_log", path, lambda: self._inner.open_log(path, size))
        faulty = _FaultyLog(self, path, log)
        self._logs.append(faulty)
        return faulty

    def reopened_log(self, path: str, size: int) -> LogFile:
        """The inner storage's log; this is no call."""
        return self._inner.open_log(path, size)

    def keep_private(self, directory: str) -> None:
        self._inner.keep_private(directory)

    def is_private(self, path: str) -> bool | None:
        return self._inner.is_private(path)

    def rename_directory(self, source: str, target: str) -> None:
        def rename() -> None:
            self._inner.rename_directory(source, target)
            with self._lock:
                inside = {path for path in self._unsynced if path.startswith(f"{source}/")}
                self._unsynced -= inside
                self._unsynced |= {target + path[len(source) :] for path in inside}

        self.perform("rename_directory", source, rename, partial(self._half_moved, source, target))

    def rename_file(self, source: str, target: str) -> None:
        def half() -> None:
            if not self.atomic_rename:
                self._inner.write_atomic(target, self._inner.read(source))

        self.perform("rename_file", source, lambda: self._inner.rename_file(source, target), half)

    def identity(self, directory: str) -> Hashable:
        return self.perform("identity", directory, lambda: self._inner.identity(directory))

    def remove(self, path: str) -> None:
        self.perform("remove", path, lambda: self._inner.remove(path))

    def remove_tree(self, directory: str) -> None:
        remove = partial(self._inner.remove_tree, directory)
        self.perform("remove_tree", directory, remove, partial(self._half_removed, directory))

    def sync_directory(self, directory: str) -> None:
        def sync() -> None:
            if not self._lose_syncs:
                self._inner.sync_directory(directory)

        self.perform("sync_directory", directory, sync)

    # ---- failing

    def perform(
        self,
        operation: str,
        path: str,
        action: Callable[[], T],
        half: Callable[[], object] | None = None,
        *,
        durable: bool = False,
    ) -> T:
        """Count one call, and do all of it, or as much as its fault allows. For the files made here too."""
        call = Call(operation, path, durable)
        if self._before is not None:
            self._before(call)
        fault = self._fault_of(call)
        if fault is None:
            return action()
        if fault.moment == "after":
            lost = action()
            if isinstance(lost, (io.IOBase, LogFile)):
                lost.close()
        elif fault.moment == "half" and half is not None:
            with contextlib.suppress(OSError):  # what could not even be begun
                half()
        raise OSError(fault.errno, os.strerror(fault.errno), path)

    def note(self, path: str, durable: bool) -> bool:
        """Whether a file that is written with ``durable`` really becomes so; remembers those that do not."""
        synced = durable and not self._lose_syncs
        with self._lock:
            self._unsynced -= {path}
            self._unsynced |= set() if synced else {path}
        return synced

    def _fault_of(self, call: Call) -> Fault | None:
        with self._lock:
            self.calls.append(call)
            if self._dead is not None:
                return self._dead
            of_all = len(self.calls)
            of_kind = sum(made.operation == call.operation for made in self.calls)
            for fault in self._faults:
                if fault.call == (of_all if fault.operation is None else of_kind) and (
                    fault.operation in (None, call.operation)
                ):
                    if fault.lasting:
                        self._dead = replace(fault, moment="before")
                    return fault
        return None

    def _half_written(self, path: str, data: bytes) -> None:
        with self._inner.open_write(temporary_path(path)) as file:
            file.write(data[: len(data) // 2])

    def _half_moved(self, source: str, target: str) -> None:
        for info in [] if self.atomic_rename else self._half_of(source):
            self._inner.write_atomic(join(target, info.name), self._inner.read(info.path))
            self._inner.remove(info.path)

    def _half_removed(self, directory: str) -> None:
        for info in self._half_of(directory):
            self._inner.remove(info.path)

    def _half_of(self, directory: str) -> list[FileInfo]:
        files = [info for info in self._inner.list_directory(directory) if not info.is_directory]
        return sorted(files, key=lambda info: not info.name.startswith("_"))[: (len(files) + 1) // 2]


class _FaultyLog(LogFile):
    """A growing file, whose appends are calls of the storage."""

    def __init__(self, storage: FaultyStorage, path: str, log: LogFile) -> None:
        self._storage = storage
        self._path = path
        self._log = log
        self._whole = log.size  # without what a failed call has left behind

    def append(self, data: bytes) -> None:
        def append() -> None:
            self._storage.note(self._path, True)
            self._put(data)
            self._whole = self._log.size

        half = partial(self._put, data[: len(data) // 2])
        self._storage.perform("append", self._path, append, half, durable=True)

    def _put(self, data: bytes) -> None:
        if self._log.size > self._whole:
            self._log.close()
            self._log = self._storage.reopened_log(self._path, self._whole)
        self._log.append(data)

    @property
    def size(self) -> int:
        return self._whole

    def close(self) -> None:
        self._log.close()


class _FaultyFile(io.RawIOBase):
    """A file being written, whose writes and whose close are calls of the storage."""

    def __init__(self, storage: FaultyStorage, path: str, file: BinaryIO, durable: bool) -> None:
        self._storage = storage
        self._path = path
        self._file = file
        self._durable = durable

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        content = bytes(data)
        half = content[: len(content) // 2]
        write = partial(self._file.write, content)
        return self._storage.perform("write", self._path, write, lambda: self._file.write(half))

    def close(self) -> None:
        if self.closed:
            return
        try:
            self._storage.perform("close", self._path, self._file.close, durable=self._durable)
        finally:
            super().close()
            self._file.close()  # what a dead process leaves open, the system closes
