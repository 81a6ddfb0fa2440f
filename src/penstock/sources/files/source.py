"""A stream of the files that appear in a directory, each taken exactly once.

Three rooms, one behind the other: :mod:`looking <penstock.sources.files.looking>` finds what is new,
:mod:`waiting <penstock.sources.files.waiting>` says when it is taken, and once the batch is committed
:mod:`settling <penstock.sources.files.settling>` archives or deletes it, if that is wanted.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any

from penstock.chunk import RowType
from penstock.clock import Clock
from penstock.errors import CallSite
from penstock.plan import Node, PartitionReader, Source
from penstock.sources.base import Intent, StreamSource
from penstock.sources.files.looking import Lookout, root_of
from penstock.sources.files.settling import AfterCommit, Settling
from penstock.sources.files.waiting import Limits, Line, Pace
from penstock.storage import FileInfo, Storage, name_of, parent_of
from penstock.times import BatchTime

__all__ = ["FileSource"]

_log = logging.getLogger(__name__)
_WATCHED_FILES = 256  # a look at each costs a few microseconds, at every tick


class FileSource(StreamSource):
    """The files that appear in ``pattern``: a directory, a glob of directories, or a glob of files.

    ``readers`` makes the partitions of a file. ``new_files_only=False`` takes what is there at the start
    too. With ``recursive`` the directories in those count as well. ``limits`` say when a file is taken; the
    others wait. ``after_commit`` is what becomes of a file when its batch is committed. For ``watch_ms``
    after a file was taken, at most the last 256 of them, it is watched: if it grows or is written again that
    is logged and counted (``changed`` in the metadata), but not taken again.

    ``interval_ms`` is that of the batches, for :meth:`pace`. While batches that are not over have
    ``most_waiting`` bytes or more, no file is taken.
    """

    reads_ahead = True
    recoverable = True
    paced = True

    def __init__(
        self,
        storage: Storage,
        pattern: str,
        readers: Callable[[FileInfo], list[PartitionReader]],
        *,
        clock: Clock,
        new_files_only: bool = True,
        recursive: bool = False,
        limits: Limits | None = None,
        after_commit: AfterCommit | None = None,
        interval_ms: int = 1000,
        most_waiting: int | None = None,
        watch_ms: int = 60_000,
        row_type: RowType | None = None,
    ) -> None:
        self.name = f"files {storage.url(pattern)}"
        self.waits = storage.lists_details  # a store that is asked over a network
        self.row_type = row_type
        self._storage = storage
        self._pattern = pattern
        self._readers = readers
        self._new_files_only = new_files_only
        self._watch_ms = watch_ms
        archive = after_commit.archive if after_commit is not None and after_commit.archive else None
        self._lookout = Lookout(storage, pattern, clock, recursive=recursive, except_below=archive)
        self._line = Line(storage, limits or Limits(), clock)
        self._settling = None
        if after_commit is not None:
            root = root_of(pattern)
            self._settling = Settling(storage, after_commit, root, self._lookout.removed)
        self._pace = Pace(interval_ms, most_waiting)
        self._taken: deque[tuple[int, FileInfo]] = deque(maxlen=_WATCHED_FILES)
        self._passed_over = 0
        self._only_available = False
        self._restored = False

    # Across a restart

    def restore(self, position: Any, taken: Sequence[Intent]) -> None:
        names, owed = position if isinstance(position, tuple) else (position, [])
        known = {path: set(held) for path, held in names.items()}
        for intent in taken:
            for path in intent.metadata.get("gone", ()):
                known.get(parent_of(path), set()).discard(name_of(path))
            for path, *_ in intent.items:
                known.setdefault(parent_of(path), set()).add(name_of(path))
        self._lookout.restore(known)
        if self._settling is not None:
            self._settling.restore(owed)
            for intent in taken:
                of = intent.metadata
                if "time" in of:
                    self._settling.taken_before(
                        of["time"], intent.items, of.get("gone", ()), of.get("left", ())
                    )
        self._restored = True

    def resume(self, committed_ms: int | None, failed: Collection[int]) -> None:
        if self._settling is not None:
            for path in self._settling.resume(committed_ms, failed):
                self._lookout.removed(path)

    def position(self) -> Any:
        """The names that are known in each directory, but for those that still wait; and with
        ``after_commit`` the files that are still to be archived or deleted."""
        known = self._lookout.known()
        for path in self._line:
            known.get(parent_of(path), set()).discard(name_of(path))
        names = {path: sorted(held) for path, held in known.items()}
        return names if self._settling is None else (names, self._settling.position())

    # Batches

    def open(self) -> None:
        found = self._lookout.news()
        if self._new_files_only and not self._restored:
            self._passed_over = len(found)
        else:
            self._line.add(found)

    def only_available(self) -> None:
        self._line.add(self._lookout.news())
        self._line.end()
        self._lookout.details = {}
        self._only_available = True
        if self._passed_over:
            _log.warning(
                "%d files in %s were there before the start and are not taken. "
                "Hint: newFilesOnly=False takes them.",
                self._passed_over, self._storage.url(self._pattern),
            )  # fmt: skip

    @property
    def exhausted(self) -> bool:
        return not len(self._line)

    def plan(self, time: BatchTime) -> Intent:
        if not self._only_available:
            self._line.add(self._lookout.news())
        changed = self._changed(time)
        files, more = self._take()
        self._lookout.details = {}
        self._taken.extend((time, file) for file in files)
        if self._settling is not None:
            self._settling.taken(time, files)
            more["time"] = int(time)
            left = self._settling.take_left()
            if left:
                more["left"] = left
        self._pace.planned(time, sum(file.size for file in files))
        items = tuple((file.path, file.size, file.mtime_ns) for file in files)
        metadata = {"files": [file.path for file in files], "waiting": len(self._line), "changed": changed}
        gone = self._lookout.take_gone()
        if gone:
            more["gone"] = gone
        return Intent(items, 0 if not files else None, _described(files), {**metadata, **more})

    def node(self, intent: Intent, site: CallSite) -> Node:
        readers: list[PartitionReader] = []
        for path, size, mtime_ns in intent.items:
            readers.extend(self._readers(FileInfo(path, size, mtime_ns)))
        return Source(site, readers, self.row_type)

    def _take(self) -> tuple[list[FileInfo], dict[str, Any]]:
        """Take from the line what the next batch gets, and what is to be said of the others."""
        taking = self._line.take(self._lookout.details, self._pace.room(share_only=self._only_available))
        for file in taking.files:
            self._lookout.found_again(file.path)
        for path in taking.gone:
            if self._lookout.lost(path):
                _log.warning("%s went away before it was taken", self._storage.url(path))
        more: dict[str, Any] = {}
        if taking.growing:
            more["growing"] = taking.growing
        if taking.passed_over:
            more["passed_over"] = len(taking.passed_over)
        return taking.files, more

    # Overload

    def pace(self, records_per_s: float) -> None:
        self._pace.allow(records_per_s)

    def processed(self, time: BatchTime, records: int) -> None:
        self._pace.counted(time, records)

    # When a batch is over

    def committed(self, time: BatchTime) -> None:
        if self._settling is not None:
            self._settling.committed(time)

    def done(self, time: BatchTime) -> None:
        self._pace.over(time)
        if self._settling is not None:
            self._settling.done(time)

    # Watching

    def _changed(self, time: BatchTime) -> int:
        """How many watched files are not what they were; each is reported once."""
        while self._taken and self._taken[0][0] < time - self._watch_ms:
            self._taken.popleft()
        if self._storage.lists_details and not self._lookout.details:
            return 0
        unchanged: list[tuple[int, FileInfo]] = []
        changed = 0
        for taken_at, file in self._taken:
            now = self._watched(file)
            if now is None:
                continue
            if (now.size, now.mtime_ns) == (file.size, file.mtime_ns):
                unchanged.append((taken_at, file))
                continue
            changed += 1
            _log.warning(
                "%s changed after it was taken (%d bytes then, %d now); what was added is not read. "
                "Hint: write files elsewhere and rename them into the directory.",
                self._storage.url(file.path), file.size, now.size,
            )  # fmt: skip
        self._taken = deque(unchanged, maxlen=_WATCHED_FILES)
        return changed

    def _watched(self, file: FileInfo) -> FileInfo | None:
        """What a file is now, ``None`` if it is gone; as it was if that cannot be told at the moment."""
        if self._storage.lists_details:
            return self._lookout.details.get(file.path)
        try:
            return self._storage.stat(file.path)
        except FileNotFoundError:
            return None
        except OSError:
            return file


def _described(files: list[FileInfo]) -> str:
    names = ", ".join(name_of(file.path) for file in files[:5])
    more = f" and {len(files) - 5} more" if len(files) > 5 else ""
    return f"{len(files)} files{': ' if files else ''}{names}{more}"
