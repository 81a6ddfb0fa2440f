"""Waiting: new files stand in line until a batch takes them.

::

    found --> in line --filter--> accepted --no change for stableFor--> ready --room in the batch--> taken
                         '-> passed over            '-> looked at again      '-> waits for the next

Files are taken in the order in which they appeared. One that still grows is passed by those behind it; one
for which there is no room is not.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from penstock.clock import Clock
from penstock.storage import FileInfo, Storage
from penstock.values import dataclass

if TYPE_CHECKING:
    from pathlib import PurePosixPath

__all__ = ["FilePath", "Limits", "Line", "Pace", "Taking"]

_log = logging.getLogger(__name__)
_LEARNT_FROM = 16  # batches: more would be slow to notice that records have become longer


class FilePath(str):
    """The path or URL of a file, as text with the parts that a ``pathlib`` path has.

    >>> path = FilePath("s3://bucket/in/orders-1.csv.gz")
    >>> path.name, path.stem, path.suffix, path.suffixes, path.parent
    ('orders-1.csv.gz', 'orders-1.csv', '.gz', ['.csv', '.gz'], 's3://bucket/in')
    >>> path.match("orders-*.csv*"), path.endswith(".gz")
    (True, True)
    """

    __slots__ = ()

    @property
    def name(self) -> str:
        """The last part."""
        return self.rpartition("/")[2]

    @property
    def parent(self) -> FilePath:
        """The directory."""
        above, slash, _ = self.rpartition("/")
        return FilePath(above or slash)

    @property
    def stem(self) -> str:
        """The name without its last suffix."""
        return _pathlib_of(self.name).stem

    @property
    def suffix(self) -> str:
        """The last suffix with its dot, or nothing."""
        return _pathlib_of(self.name).suffix

    @property
    def suffixes(self) -> list[str]:
        """All suffixes."""
        return _pathlib_of(self.name).suffixes

    def match(self, pattern: str) -> bool:
        """Whether the path matches from its end, as ``PurePath.match`` has it."""
        return _pathlib_of(self).match(pattern)


def _pathlib_of(path: str) -> PurePosixPath:
    from pathlib import PurePosixPath  # here, since few filters ask for it

    return PurePosixPath(path)


@dataclass(frozen=True)
class Limits:
    """What decides when a file is taken. ``accepts`` is asked once for each file; ``stable_ms`` is for how
    long neither size nor time of change may change; the others limit a batch."""

    accepts: Callable[[FilePath], object] | None = None
    max_files: int | None = None
    max_bytes: int | None = None
    stable_ms: int = 0


class Pace:
    """How many bytes a batch may have, so that no more is taken than batches manage.

    Records are counted when a batch is over, so what a record costs is learnt from the last batches; until
    one is known there is no limit. A file that is larger than the share of a batch is taken all the same, and
    then none until the shares of later batches have made up for it, or nothing is left to do. With
    ``most_waiting`` bytes in batches that are not over, no file is taken.

    >>> pace = Pace(interval_ms=500)
    >>> pace.planned(1000, 200)
    >>> pace.allow(40)
    >>> pace.room() is None
    True
    >>> pace.counted(1000, 10)
    >>> pace.room()  # 40 records a second, half a second, 20 bytes a record
    400
    >>> pace.planned(1500, 1000)
    >>> pace.room(), pace.room(), pace.room()
    (0, 200, 400)
    """

    def __init__(self, interval_ms: int, most_waiting: int | None = None) -> None:
        self._interval_ms = interval_ms
        self._most_waiting = most_waiting
        self._records_per_s: float | None = None
        self._planned: dict[int, int] = {}  # the bytes of batches that are not over
        self._learnt: deque[tuple[int, int]] = deque(maxlen=_LEARNT_FROM)
        self._left = 0  # of the shares so far; negative if more was taken

    def allow(self, records_per_s: float) -> None:
        """So many records a second, from now on."""
        self._records_per_s = records_per_s

    def planned(self, time: int, size: int) -> None:
        """A batch has been given so many bytes."""
        if size:
            self._planned[time] = size
            self._left -= size

    def counted(self, time: int, records: int) -> None:
        """A batch is over, and had so many records. What was planned for batches that never came to be is
        in the one after them."""
        size = sum(self._planned.pop(at, 0) for at in list(self._planned) if at <= time)
        if size and records > 0:
            self._learnt.append((size, records))

    def over(self, time: int) -> None:
        """The batches before this one are counted, or never will be."""
        for old in [at for at in list(self._planned) if at < time]:
            self._planned.pop(old, None)

    @property
    def waiting(self) -> int:
        """How many bytes batches have that are not over."""
        return sum(list(self._planned.values()))

    def room(self, *, share_only: bool = False) -> int | None:
        """How many bytes the next batch may have; ``None``: any number, 0: no file at all. Asked once a
        batch. ``share_only``: as if nothing had been taken before."""
        if not share_only and self._most_waiting is not None and self.waiting >= self._most_waiting:
            return 0
        share = self._share()
        if share is None:
            return None
        if share_only:
            return max(share, 1)
        idle = not self._planned
        self._left = share if idle else min(self._left + share, share)
        return max(self._left, 1 if idle else 0)

    def _share(self) -> int | None:
        learnt = list(self._learnt)
        if self._records_per_s is None or not learnt:
            return None
        size, records = (sum(column) for column in zip(*learnt, strict=True))
        return int(self._records_per_s * self._interval_ms / 1000 * size / records)


@dataclass
class _Place:
    """A file in line. ``seen`` is what it was when it was first seen as it is now, at ``since_ms``."""

    accepted: bool = False
    seen: FileInfo | None = None
    since_ms: int = 0


@dataclass
class Taking:
    """What a batch gets, and what became of others on the way to it."""

    files: list[FileInfo]
    gone: list[str]
    passed_over: list[str]
    growing: int = 0


class Line:
    """The files that wait, in the order in which they appeared."""

    def __init__(self, storage: Storage, limits: Limits, clock: Clock) -> None:
        self._storage = storage
        self._limits = limits
        self._clock = clock
        self._places: dict[str, _Place] = {}
        self._ends = False  # nothing comes any more, and what is here is all to be taken
        self.left: set[str] = set()  # not for this run, since it cannot wait until they stop growing

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        return iter([*self._places, *self.left])

    def add(self, paths: Iterable[str]) -> None:
        """Put paths in line; one that waits already, gone and back meanwhile, is one file all the same."""
        for path in paths:
            self._places.setdefault(path, _Place())

    def end(self) -> None:
        """Nothing will be added. There is no time to watch files, so those that changed less than
        ``stable_ms`` ago by the store's own times are left for another run."""
        self._ends = True
        if not self._limits.stable_ms:
            return
        now_ms = self._clock.now_ms()
        for path in list(self._places):
            try:
                changed_ms = self._storage.stat(path).mtime_ns // 1_000_000
            except FileNotFoundError:
                continue  # taking will find that out, as ever
            if changed_ms and now_ms - changed_ms < self._limits.stable_ms:
                del self._places[path]
                self.left.add(path)
        if self.left:
            _log.warning(
                "%d files changed less than %g s ago and are left for the next run",
                len(self.left),
                self._limits.stable_ms / 1000,
            )

    def take(self, details: Mapping[str, FileInfo], max_bytes: int | None) -> Taking:
        """Take what the next batch gets, of ``max_bytes`` or, if the first file is larger, that alone; with
        0 bytes none. ``details`` is what is known of files. If this raises, all is in line as before, but for
        what the filter has passed over."""
        limits = [limit for limit in (max_bytes, self._limits.max_bytes) if limit is not None]
        room = min(limits, default=None)
        taking = Taking([], [], [])
        try:
            self._choose(taking, details, room)
        finally:
            for path in taking.passed_over:
                del self._places[path]
            for path in self.left & self._places.keys():
                del self._places[path]
        for path in taking.gone:
            del self._places[path]
        for file in taking.files:
            del self._places[file.path]
        return taking

    def _choose(self, taking: Taking, details: Mapping[str, FileInfo], room: int | None) -> None:
        size, full = 0, room == 0
        for path, place in self._places.items():
            full = full or len(taking.files) == self._limits.max_files
            if full and (place.seen is not None or not self._watches):
                continue
            try:
                if not place.accepted and not self._accepts(path):
                    taking.passed_over.append(path)
                    continue
                place.accepted = True
                file = self._info(path, details)
            except Exception:
                if self._ends:  # else there would be no end: this file fails its batch, once
                    self.left.add(path)
                raise
            if file is None:  # before any batch was promised it
                taking.gone.append(path)
            elif self._watches and not self._is_stable(place, file):
                taking.growing += 1
            elif full or (room is not None and taking.files and size + file.size > room):
                full = True
            else:
                size += file.size
                taking.files.append(file)

    def _info(self, path: str, details: Mapping[str, FileInfo]) -> FileInfo | None:
        try:
            return details.get(path) or self._storage.stat(path)
        except FileNotFoundError:
            return None

    @property
    def _watches(self) -> bool:
        return bool(self._limits.stable_ms) and not self._ends

    def _accepts(self, path: str) -> bool:
        accepts = self._limits.accepts
        return accepts is None or bool(accepts(FilePath(self._storage.url(path))))

    def _is_stable(self, place: _Place, file: FileInfo) -> bool:
        now_ms, before = self._clock.now_ms(), place.seen
        if before is None or (before.size, before.mtime_ns) != (file.size, file.mtime_ns):
            place.seen, place.since_ms = file, now_ms
            return False
        return now_ms - place.since_ms >= self._limits.stable_ms
