"""What becomes of a file once the batch that read it is committed: it is archived, deleted, or left alone.

::

    taken --> owed --committed, and nobody needs it any more--> archived or deleted
                '--the batch has failed, or was given up--> left where it is

Nothing is archived before what was made of it is safe, and nothing that is not what was read: a file that
has changed since is left alone, and said. If a crash comes between the commit and the archiving, the next
run does it; if it comes within the archiving, the next run ends that.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Literal, NamedTuple

from penstock.storage import FileInfo, Storage, join, name_of, parent_of

__all__ = ["AfterCommit", "Settling"]

_log = logging.getLogger(__name__)
_COMPARED_BYTES = 1 << 20


class AfterCommit(NamedTuple):
    """What to do with files: ``delete``, or ``archive`` into a directory of the same storage."""

    action: Literal["delete", "archive"]
    archive: str = ""


class Settling:
    """The files that are to be archived or deleted. ``root`` is the directory that they all lie in, below
    which their paths are kept in the archive; ``removed`` is told of each that is gone.

    The intake thread calls :meth:`taken`, :meth:`position` and, before it, all that begins with ``restore``;
    the batch thread the others.
    """

    def __init__(
        self, storage: Storage, after_commit: AfterCommit, root: str, removed: Callable[[str], None]
    ) -> None:
        self._storage = storage
        self._after_commit = after_commit
        self._root = root
        self._removed = removed
        self._lock = threading.Lock()
        self._owed: dict[int, list[FileInfo]] = {}  # by batch time
        self._committed: set[int] = set()
        self._due: list[FileInfo] = []  # those that could not be settled yet

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def taken(self, time: int, files: Iterable[FileInfo]) -> None:
        """A batch has been given these files."""
        with self._lock:
            self._owed[time] = list(files)

    def committed(self, time: int) -> None:
        """A batch is committed, durably if anything is."""
        with self._lock:
            self._committed.add(time)

    def done(self, time: int) -> None:
        """Nobody needs the files of a batch any more. If it failed they stay where they are."""
        with self._lock:
            files = self._owed.pop(time, [])
            if time not in self._committed:
                files = []
            self._committed.discard(time)
            self._due += files
            due = list(self._due)
        for file in due:
            if self._settled(file, again=False):
                with self._lock:
                    self._due.remove(file)

    # Across a restart

    def position(self) -> Any:
        """What is owed, as plain data."""
        with self._lock:
            owed = [(time, [_plain(file) for file in files]) for time, files in sorted(self._owed.items())]
            return [*owed, (None, [_plain(file) for file in self._due])] if self._due else owed

    def restore(self, position: Any, taken: Iterable[tuple[int, Sequence[Any]]]) -> None:
        """What was owed at a position, and what was taken since."""
        for time, items in [*position, *taken]:
            files = [FileInfo(*item) for item in items]
            if time is None:
                self._due += files
            else:
                self._owed[time] = files

    def resume(self, committed_ms: int | None, failed: Collection[int]) -> list[str]:
        """The batches up to one are over, some of them have failed: end what the run before has begun. The
        paths at which there is not what was read, so that what is there, or will be, is new."""
        over = [time for time in self._owed if committed_ms is not None and time <= committed_ms]
        due, self._due = self._due, []
        for time in sorted(over):
            files = self._owed.pop(time)
            due += [] if time in failed else files
        fresh = []
        for file in dict.fromkeys(due):
            try:
                now = self._storage.stat(file.path)
            except FileNotFoundError:
                fresh.append(file.path)
                continue
            except Exception as error:  # whatever a store raises: there will be another time
                _log.warning("%s cannot be looked at: %s", self._storage.url(file.path), error)
                self._due.append(file)
                continue
            if (now.size, now.mtime_ns) != (file.size, file.mtime_ns) or self._settled(file, again=True):
                fresh.append(file.path)
            else:
                self._due.append(file)
        return fresh

    # Doing it

    def _settled(self, file: FileInfo, *, again: bool) -> bool:
        """Archive or delete a file; false if that has to be tried again. ``again``: it may have been begun
        before."""
        url = self._storage.url(file.path)
        try:
            now = self._storage.stat(file.path)
            if (now.size, now.mtime_ns) != (file.size, file.mtime_ns):
                _log.warning(
                    "%s changed after it was read, so it is not %s. Hint: write files elsewhere and rename "
                    "them into the directory.",
                    url, "deleted" if self._after_commit.action == "delete" else "archived",
                )  # fmt: skip
                return True
            if self._after_commit.action == "delete":
                self._storage.remove(file.path)
            else:
                self._archive(file, again)
        except FileNotFoundError:
            if self._storage.exists(file.path):  # it is the archive that is not there
                _log.warning("%s could not be archived: there is no archive to put it into", url)
                return False
        except Exception as error:  # whatever a store raises: the batch is over, and nothing may fail of this
            _log.warning(
                "%s could not be %sd, which will be tried again: %s", url, self._after_commit.action, error
            )
            return False
        self._removed(file.path)
        return True

    def _archive(self, file: FileInfo, again: bool) -> None:
        inside = file.path.removeprefix(self._root).lstrip("/")
        target = join(self._after_commit.archive, inside)
        self._storage.makedirs(parent_of(target))
        for number in range(1_000_000):
            free = target if not number else join(parent_of(target), _numbered(name_of(target), number))
            try:
                self._storage.rename_file(file.path, free)
            except FileExistsError:
                if again and self._same(file.path, free):
                    self._storage.remove(file.path)  # it was copied, and the crash came before this
                    return
                continue
            return

    def _same(self, path: str, copy: str) -> bool:
        """Whether two files have the same content."""
        if self._storage.stat(path).size != self._storage.stat(copy).size:
            return False
        with self._storage.open_read(path) as one, self._storage.open_read(copy) as other:
            while data := one.read(_COMPARED_BYTES):
                if data != other.read(len(data)):
                    return False
        return True


def _plain(file: FileInfo) -> tuple[str, int, int]:
    return file.path, file.size, file.mtime_ns


def _numbered(name: str, number: int) -> str:
    """Another name of a file, with the same suffixes.

    >>> _numbered("a.csv.gz", 2)
    'a-2.csv.gz'
    """
    stem, dot, suffixes = name.partition(".")
    return f"{stem}-{number}{dot}{suffixes}"
