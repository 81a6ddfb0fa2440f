"""The contract of a storage: files and directories as Penstock needs them, wherever they are.

A path is text with ``/`` between names, in the form that ``storage_for`` returned; it means something
to its own storage only. Any thread may call, several at a time; every call may block as long as the
store does. A storage can be pickled.

What is promised, and to whom:

- *Readers* of a file written by :meth:`Storage.write_atomic` or :meth:`Storage.create_if_absent` see all
  of it or nothing, whenever they look and whenever the writer dies.
- *Durable*: with ``durable=True`` the effect outlives a loss of power once the call has returned. Without
  it, it outlives the end of the process only.
- *Errors* are those of the operating system: ``FileNotFoundError``, ``NotADirectoryError``,
  ``PermissionError``, ``OSError`` with an ``errno``, each with the path. A call that raised may have had its
  effect or not; it never leaves half of a file under the name asked for, except :meth:`Storage.open_write`.
  What a store cannot do at all raises ``UnsupportedError``.
"""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from functools import partial
from typing import BinaryIO, NamedTuple

from penstock.errors import UnsupportedError
from penstock.storage import globs

__all__ = ["FileInfo", "LogFile", "Names", "Storage", "join", "name_of", "parent_of"]


_COPY_BYTES = 4 << 20


class FileInfo(NamedTuple):
    """What a store knows of a file or directory without opening it.

    ``size`` counts bytes (0 for a directory); ``mtime_ns`` is the last change, in nanoseconds since the
    epoch by the store's own clock, or 0 where the store does not say.
    """

    path: str
    size: int
    mtime_ns: int
    is_directory: bool = False

    @property
    def name(self) -> str:
        """The last part of the path."""
        return name_of(self.path)


class Names(NamedTuple):
    """What is in a directory: names without their directory, in no order."""

    files: list[str]
    directories: list[str]


class LogFile(ABC):
    """A file that grows at its end, open for one writer. Not for several threads at once.

    Behind what was appended there may be zeros, up to a reserve that spares the file system some work: who
    reads it must tell its end from its content.
    """

    @abstractmethod
    def append(self, data: bytes) -> None:
        """Add to the end; durable once it has returned. After an error the end may hold any beginning of
        the data, until the next call, which removes it."""

    @property
    @abstractmethod
    def size(self) -> int:
        """How many bytes there are, without the reserve."""

    @abstractmethod
    def close(self) -> None:
        """Give the file back."""


class Storage(ABC):
    """Files and directories; the promises are at the top of this module."""

    atomic_rename: bool
    """Whether ``rename_directory`` happens at one moment, for every reader and even in a crash."""

    of_this_process: bool = False
    """Whether what it holds is in the memory of this process, where no other can read it."""

    lists_details: bool = False
    """Whether ``list_directory`` costs no more than ``list_names``, while each ``stat`` costs a request."""

    appends: bool = False
    """Whether there is :meth:`open_log`: files that grow, at the price of one synchronisation each time."""

    # ---- reading

    @abstractmethod
    def read(self, path: str, start: int = 0, stop: int | None = None) -> bytes:
        """The bytes from ``start`` up to but without ``stop``, or to the end.

        ``start`` lies in the file or at its end; a ``stop`` beyond the end means the end.
        """

    @abstractmethod
    def open_read(self, path: str) -> BinaryIO:
        """The file's bytes from the beginning, seekable; the caller closes it."""

    @abstractmethod
    def stat(self, path: str) -> FileInfo:
        """What is known of one file or directory. Links are followed."""

    @abstractmethod
    def exists(self, path: str) -> bool:
        """Whether there is a file or directory. False for a link that leads nowhere."""

    @abstractmethod
    def list_directory(self, directory: str) -> list[FileInfo]:
        """All that is in the directory, hidden names too, sorted by name; not what is in its directories.

        What vanishes meanwhile is left out. A missing directory raises ``FileNotFoundError``.
        """

    @abstractmethod
    def list_names(self, directory: str) -> Names:
        """The same entries as :meth:`list_directory`, in one look for all of them, however many there are."""

    def identity(self, directory: str) -> Hashable:
        """What two paths of one directory have in common and no other directory has; for finding links that
        lead back."""
        return directory

    def directory_stamp(self, directory: str) -> int | None:
        """A number that changes when a name is added to or removed from the directory; costs one look.

        ``None`` means that no number tells that, never or not now, so one has to list. Two changes closer
        together than the store's clock ticks (up to 2 s on old file systems) may leave the same number:
        trust an unchanged stamp only if a listing began later than that after the stamp was first seen.
        """
        return None

    def glob(self, pattern: str) -> list[FileInfo]:
        """The files and directories that match (see ``globs``), each once, sorted by path; maybe none."""
        found: dict[str, FileInfo] = {}
        for alternative in globs.alternatives(pattern):
            found.update((info.path, info) for info in self._matches(alternative))
        return [found[path] for path in sorted(found)]

    # ---- writing

    @abstractmethod
    def makedirs(self, directory: str, *, durable: bool = False) -> None:
        """Make the directory and what is missing above it; one that is there is no error.

        Stores that know no directories may do nothing.
        """

    @abstractmethod
    def write_atomic(self, path: str, data: bytes, *, durable: bool = False) -> None:
        """Put a whole file in place, new or instead of the old one. Its directory must exist.

        If the process dies, the old file is still there or the new one; beside it there may be a
        temporary, which ``clean_leftovers`` finds.
        """

    @abstractmethod
    def create_if_absent(self, path: str, data: bytes, *, durable: bool = False) -> bool:
        """Put a whole file in place unless there is one: true if this call did it, false if one was there.

        Of several callers, in any process, exactly one gets true. After an error ask by reading the file.
        Raises ``UnsupportedError`` on a store that cannot promise that.
        """

    @abstractmethod
    def open_write(self, path: str, *, durable: bool = False) -> BinaryIO:
        """A new file, or the old one emptied, to be written in order and closed. Not atomic.

        The content is there once it is closed, and durable if so asked; before that, readers may see any
        beginning of it. Where it must be all or nothing, write into a ``StagedDirectory``.
        """

    def open_log(self, path: str, size: int) -> LogFile:
        """A file that is there, to be appended to behind its first ``size`` bytes; what follows is lost.

        Raises ``UnsupportedError`` where ``appends`` is false.
        """
        raise UnsupportedError(f"{self.url(path)} is on a store whose files cannot grow")

    def keep_private(self, directory: str) -> None:
        """Let nobody but its owner read or change what is in the directory. Nothing, where a store does not
        know owners."""
        return

    def is_private(self, path: str) -> bool | None:
        """Whether this user owns a file or directory, and nobody else may write to it; ``None`` where a store
        does not say."""
        return None

    @abstractmethod
    def rename_directory(self, source: str, target: str) -> None:
        """Give a directory another path on the same store; the new path's parent must exist.

        Raises ``OutputExists`` if the target is a file or a directory with something in it. Where
        ``atomic_rename`` is false, files move one by one: names that begin with ``_`` first, so that
        no reader finds a marker in a directory which is not whole any more.
        """

    def rename_file(self, source: str, target: str) -> None:
        """Give a file another path on the same store, whose directory must exist. Nothing is overwritten:
        ``FileExistsError`` if anything is at the target.

        Where ``atomic_rename`` is false it is a copy and a removal, and a call that dies between the two
        leaves both.
        """
        if self.exists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
        with self.open_read(source) as file, self.open_write(target) as copy:
            while data := file.read(_COPY_BYTES):
                copy.write(data)
        self.remove(source)

    @abstractmethod
    def remove(self, path: str) -> None:
        """Remove one file."""

    @abstractmethod
    def remove_tree(self, directory: str) -> None:
        """Remove a directory and all that is in it; one that is not there is no error."""

    @abstractmethod
    def sync_directory(self, directory: str) -> None:
        """Make durable which names the directory holds. Nothing to do where names are always durable."""

    # ---- names

    @abstractmethod
    def url(self, path: str) -> str:
        """The path as a user would write it, for messages and as argument of ``storage_for``."""

    # ---- for glob

    def _matches(self, pattern: str) -> list[FileInfo]:
        """What a pattern without braces matches."""
        if not globs.has_wildcard(pattern):
            return self._found(globs.literal(pattern))
        above, slash, last = pattern.rpartition("/")
        bases = [info.path for info in self._matches(above or slash) if info.is_directory]
        if not globs.has_wildcard(last):
            name = globs.literal(last)
            return [info for base in bases for info in self._found(join(base, name))]
        matches = globs.matcher(last).fullmatch
        return [
            info
            for base in bases
            for info in _or_none(partial(self.list_directory, base))
            if matches(info.name)
        ]

    def _found(self, path: str) -> list[FileInfo]:
        return _or_none(lambda: [self.stat(path)])


def _or_none(look: Callable[[], list[FileInfo]]) -> list[FileInfo]:
    try:
        return look()
    except (FileNotFoundError, NotADirectoryError):
        return []


def join(directory: str, name: str) -> str:
    """The path of a name in a directory.

    >>> join("/data", "x"), join("/", "x"), join("", "bucket")
    ('/data/x', '/x', 'bucket')
    """
    return f"{directory.rstrip('/')}/{name}" if directory else name


def name_of(path: str) -> str:
    """The last part of a path.

    >>> name_of("/data/x")
    'x'
    """
    return path.rpartition("/")[2]


def parent_of(path: str) -> str:
    """The directory a path is in.

    >>> parent_of("/data/x"), parent_of("/data"), parent_of("bucket")
    ('/data', '/', '')
    """
    above, slash, _ = path.rpartition("/")
    return above or slash
