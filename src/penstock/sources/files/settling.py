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
_FAILURES = 3  # at a time: then the archive is not there, and each try may take as long as a store lets it


class AfterCommit(NamedTuple):
    """What to do with files: ``delete``, or ``archive`` into a directory of the same storage."""

    action: Literal["delete", "archive"]
    archive: str = ""


class Settling:
    """The files that are to be archived or deleted. ``root`` is the directory that they all lie in, below
    which their paths are kept in the archive; ``removed`` is told of each that is gone.

    The starting thread calls :meth:`restore`, :meth:`taken_before` and :meth:`resume`, before all else; the
    intake thread :meth:`taken`, :meth:`take_left` and :meth:`position`; the batch thread the others.
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
        self._due: dict[FileInfo, bool] = {}  # to be settled now; whether that has been tried before
        self._left: list[FileInfo] = []  # those that were left alone, since it was last asked for

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
        """Nobody needs the files of the batches up to a time any more. If this one failed they stay where
        they are."""
        with self._lock:
            # What was taken for a batch that another input kept from being is in the one after it.
            files = [file for at in sorted(self._owed) if at <= time for file in self._owed.pop(at)]
            if time in self._committed:
                self._due.update(dict.fromkeys(files, False))
            self._committed = {at for at in self._committed if at > time}
            due = list(self._due.items())
        failures = 0
        for file, again in due:
            settled = self._settled(file, again=again)
            with self._lock:
                del self._due[file]
                if not settled:  # behind the others, which may fare better
                    self._due[file] = True
            failures += not settled
            if failures == _FAILURES:
                break

    def take_left(self) -> list[tuple[str, int, int]]:
        """The files that changed after they were read, and so were left alone, each told once."""
        with self._lock:
            left, self._left = self._left, []
        return [_plain(file) for file in left]

    # Across a restart

    def position(self) -> Any:
        """What is owed, as plain data."""
        with self._lock:
            owed = [(time, [_plain(file) for file in files]) for time, files in sorted(self._owed.items())]
            return [*owed, (None, [_plain(file) for file in self._due])] if self._due else owed

    def restore(self, position: Any) -> None:
        """What was owed at a position."""
        for time, items in position:
            files = [FileInfo(*item) for item in items]
            if time is None:
                self._due.update(dict.fromkeys(files, True))
            else:
                self._owed[time] = files

    def taken_before(
        self, time: int, items: Sequence[Any], gone: Collection[str], left: Sequence[Any]
    ) -> None:
        """What a batch has taken since, in a run before, of which it was known by then that the files at the
        paths ``gone`` were not there any more, and that those ``left`` alone are not owed."""
        paths, files = set(gone), {FileInfo(*item) for item in left}
        if paths or files:
            for at, owed in self._owed.items():
                self._owed[at] = [file for file in owed if file.path not in paths and file not in files]
            for file in [file for file in self._due if file.path in paths or file in files]:
                del self._due[file]
        self._owed[time] = [FileInfo(*item) for item in items]

    def resume(self, committed_ms: int | None, failed: Collection[int]) -> list[str]:
        """The batches up to one are over, some of them have failed: end what the run before has begun. The
        paths at which there is not what was read, so that what is there, or will be, is new."""
        over = {time for time in self._owed if committed_ms is not None and time <= committed_ms}
        stay = {max((at for at in over if at <= time), default=time) for time in failed}  # as for `done`
        newest: dict[str, FileInfo | None] = {file.path: file for file in self._due}
        for time in sorted(self._owed):  # who took a path last says what is to become of it
            settles = time in over and time not in stay
            newest.update((file.path, file if settles else None) for file in self._owed[time])
        for time in over:
            del self._owed[time]
        self._due = {}
        fresh = []
        for file in newest.values():
            if file is None:
                continue
            try:
                now = self._storage.stat(file.path)
            except FileNotFoundError:
                fresh.append(file.path)
                continue
            except Exception as error:  # whatever a store raises: there will be another time
                _log.warning("%s cannot be looked at: %s", self._storage.url(file.path), error)
                self._due[file] = True
                continue
            if (now.size, now.mtime_ns) != (file.size, file.mtime_ns) or self._settled(file, again=True):
                fresh.append(file.path)
            else:
                self._due[file] = True
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
                with self._lock:
                    self._left.append(file)
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
