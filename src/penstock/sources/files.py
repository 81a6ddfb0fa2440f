"""A stream of the files that appear in a directory, each taken exactly once.

A file is told by its *name*: it is new if its directory did not list it before, whatever its times say,
so a file moved in with an old date is taken, and a file that was there at the start is not. Names that
are not listed any more are forgotten: a file that comes back is a new file. One that was removed and made
again between two looks was never missed, so it counts as the old file, changed.

Looking costs what is new. A directory whose stamp has not changed is not listed again, however many
files lie there. When is an unchanged stamp believed?::

    stamp S seen first          S again           S again              S again
    |---------------------------|-----------------|--------------------|------>
    listed                      listed            listed: began        not listed, until
                                                  _SETTLED_NS later    _DOUBT_NS have passed

Two changes within one tick of a file system's clock can leave the same stamp, hence the wait. Some
mounted object stores have directories whose stamps never change, hence the doubt: if a listing then finds
what the stamp did not show, that directory is listed at every look from there on.

A look either succeeds as a whole or changes nothing, so what one fails to take, the next one takes.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from penstock.chunk import RowType
from penstock.clock import Clock
from penstock.errors import CallSite
from penstock.plan import Node, PartitionReader, Source
from penstock.sources.base import Intent, StreamSource
from penstock.storage import FileInfo, Storage, globs, has_wildcard, join, name_of, parent_of
from penstock.times import BatchTime

__all__ = ["COPYING", "FileSource", "is_visible"]

COPYING = "._COPYING_"
"""How the names of files end that ``hadoop fs -put`` is still copying."""

_log = logging.getLogger(__name__)
_SETTLED_NS = 2_500_000_000  # coarser than the clock of any file system in use (FAT: 2 s)
_DOUBT_NS = 60_000_000_000
_ANY = re.compile(".*", re.DOTALL)
_WATCHED_FILES = 256  # a look at each costs a few microseconds, at every tick


def is_visible(name: str) -> bool:
    """Whether a file counts: not hidden (``.x``), not private (``_x``), not still being copied.

    >>> [name for name in ("a.txt", ".a", "_SUCCESS", "a.txt._COPYING_") if is_visible(name)]
    ['a.txt']
    """
    return not name.startswith((".", "_")) and not name.endswith(COPYING)


class _Directory(NamedTuple):
    """What one look at a directory left behind; the next look makes another.

    ``names`` are those of its files, ``directories`` those of the directories in it. ``lost`` are names that
    were new and gone again before a batch took them: listed again, they are new again. ``stamp_ns`` is when
    the stamp was first seen, ``listed_ns`` when the last listing began.
    """

    names: set[str]
    directories: set[str]
    lost: set[str]
    stamp: int | None
    stamp_ns: int
    listed_ns: int
    stamps_tell: bool

    def is_proved_still(self, stamp: int | None, now_ns: int) -> bool:
        """Whether this stamp, read now, proves that no name has come or gone since the last listing."""
        return (
            self.stamps_tell
            and stamp is not None
            and stamp == self.stamp
            and self.listed_ns - self.stamp_ns >= _SETTLED_NS
            and now_ns - self.listed_ns < _DOUBT_NS
        )


class _Look(NamedTuple):
    """What a look found: the directory as it is now (``None``: not there), and its new visible names."""

    after: _Directory | None
    news: list[str]


class FileSource(StreamSource):
    """The files that appear in ``pattern``: a directory, a glob of directories, or a glob of files.

    ``readers`` makes the partitions of a file. ``new_files_only=False`` takes what is there at the start
    too. At most ``max_files`` go into a batch: those that appeared first, of these in the order of their
    paths; the others wait. For ``watch_ms`` after a file was taken, at most the last 256 of them, it is
    watched: if it grows or is written again that is logged and counted (``changed`` in the metadata), but
    not taken again.
    """

    reads_ahead = True
    recoverable = True

    def __init__(
        self,
        storage: Storage,
        pattern: str,
        readers: Callable[[FileInfo], list[PartitionReader]],
        *,
        clock: Clock,
        new_files_only: bool = True,
        max_files: int | None = None,
        watch_ms: int = 60_000,
        row_type: RowType | None = None,
    ) -> None:
        self.name = f"files {storage.url(pattern)}"
        self.waits = storage.lists_details  # a store that is asked over a network
        self.row_type = row_type
        self._storage = storage
        self._pattern = pattern
        self._readers = readers
        self._clock = clock
        self._new_files_only = new_files_only
        self._max_files = max_files
        self._watch_ms = watch_ms
        self._directories: dict[str, _Directory] = {}
        self._details: dict[str, FileInfo] = {}  # of the last look, where a listing tells them anyway
        self._waiting: dict[str, None] = {}  # a set that keeps its order
        self._taken: deque[tuple[int, FileInfo]] = deque(maxlen=_WATCHED_FILES)
        self._passed_over = 0
        self._only_available = False
        self._restored = False
        self._gone: list[str] = []  # what was known and is not listed any more, since the last plan
        self._known_before: dict[str, set[str]] = {}  # of directories that were not there since the restart

    def restore(self, position: Any, taken: Sequence[Intent]) -> None:
        known = {path: set(names) for path, names in position.items()}
        for intent in taken:
            for path in intent.metadata.get("gone", ()):
                known.get(parent_of(path), set()).discard(name_of(path))
            for path, *_ in intent.items:
                known.setdefault(parent_of(path), set()).add(name_of(path))
        self._known_before = known
        self._restored = True

    def position(self) -> Any:
        """The names that are known in each directory, but for those that still wait."""
        waiting: dict[str, set[str]] = {}
        for path in self._waiting:
            waiting.setdefault(parent_of(path), set()).add(name_of(path))
        known = {path: found.names - found.lost for path, found in self._directories.items()}
        return {
            path: sorted(names - waiting.get(path, set()))
            for path, names in {**self._known_before, **known}.items()
        }

    def open(self) -> None:
        found = self._news()
        if self._new_files_only and not self._restored:
            self._passed_over = len(found)
        else:
            self._wait(found)

    def only_available(self) -> None:
        self._wait(self._news())
        self._details = {}
        self._only_available = True
        if self._passed_over:
            _log.warning(
                "%d files in %s were there before the start and are not taken. "
                "Hint: newFilesOnly=False takes them.",
                self._passed_over, self._storage.url(self._pattern),
            )  # fmt: skip

    @property
    def exhausted(self) -> bool:
        return not self._waiting

    def plan(self, time: BatchTime) -> Intent:
        if not self._only_available:
            self._wait(self._news())
        changed = self._changed(time)
        files = self._next_files()
        self._details = {}
        self._taken.extend((time, file) for file in files)
        items = tuple((file.path, file.size, file.mtime_ns) for file in files)
        metadata = {"files": [file.path for file in files], "waiting": len(self._waiting), "changed": changed}
        if self._gone:
            metadata["gone"], self._gone = self._gone, []
        return Intent(items, 0 if not files else None, _described(files), metadata)

    def node(self, intent: Intent, site: CallSite) -> Node:
        readers: list[PartitionReader] = []
        for path, size, mtime_ns in intent.items:
            readers.extend(self._readers(FileInfo(path, size, mtime_ns)))
        return Source(site, readers, self.row_type)

    # Looking

    def _news(self) -> list[str]:
        """The paths that appeared since the last look that did not fail, sorted."""
        self._details = {}
        looks: dict[str, _Look] = {}
        news: set[str] = set()
        for path, wanted in self._places(looks):
            names = self._look_once(path, looks).news
            news.update(join(path, name) for name in names if wanted.fullmatch(name))
        for path, before in self._directories.items():
            after = looks[path].after if path in looks else None
            self._gone += [join(path, name) for name in before.names - (after.names if after else set())]
        self._directories = {path: look.after for path, look in looks.items() if look.after is not None}
        for path in self._directories.keys() & self._known_before.keys():
            del self._known_before[path]
        return sorted(news)

    def _places(self, looks: dict[str, _Look]) -> Iterator[tuple[str, re.Pattern[str]]]:
        """The directories to look into, and which names count there."""
        if not has_wildcard(self._pattern):
            yield globs.literal(self._pattern), _ANY
            return
        for alternative in globs.alternatives(self._pattern):
            above, slash, last = alternative.rpartition("/")
            if not has_wildcard(last):
                for info in self._storage.glob(alternative):
                    if info.is_directory and is_visible(info.name):
                        yield info.path, _ANY
                    elif not info.is_directory:
                        yield parent_of(info.path), re.compile(re.escape(info.name))
                continue
            wanted = globs.matcher(last)
            for base in self._storage.glob(above or slash):
                if base.is_directory:
                    yield base.path, wanted
                    after = self._look_once(base.path, looks).after
                    for name in _visible(after.directories) if after is not None else ():
                        if wanted.fullmatch(name):
                            yield join(base.path, name), _ANY

    def _look_once(self, path: str, looks: dict[str, _Look]) -> _Look:
        if path not in looks:
            try:
                looks[path] = self._look(path, self._directories.get(path))
            except FileNotFoundError:  # not there yet, or gone: if it comes back, all that is in it is new
                looks[path] = _Look(None, [])
        return looks[path]

    def _look(self, path: str, before: _Directory | None) -> _Look:
        stamp = self._storage.directory_stamp(path)
        now_ns = self._clock.elapsed_ns()  # after the stamp was read and before the listing begins
        if before is None:
            files, directories = self._listed(path)
            after = _Directory(files, directories, set(), stamp, now_ns, now_ns, True)
            return _Look(after, _visible(files - self._known_before.get(path, set())))
        if before.is_proved_still(stamp, now_ns):
            return _Look(before, [])
        files, directories = self._listed(path)
        news, again = files - before.names, before.lost & files
        changed_since = stamp is None or stamp != before.stamp
        settled = before.listed_ns - before.stamp_ns >= _SETTLED_NS
        stamps_tell = before.stamps_tell
        if news and stamps_tell and settled and not changed_since:
            stamps_tell = self._storage.directory_stamp(path) != stamp  # it may have come just now
            if not stamps_tell:
                url = self._storage.url(path)
                _log.warning("%s does not show when files appear in it: it is listed at every look", url)
        first_seen_ns = now_ns if changed_since else before.stamp_ns
        after = _Directory(files, directories, again, stamp, first_seen_ns, now_ns, stamps_tell)
        return _Look(after, _visible(news | again))

    def _listed(self, path: str) -> tuple[set[str], set[str]]:
        """The names of the files and of the directories in a directory."""
        if not self._storage.lists_details:
            names = self._storage.list_names(path)
            return set(names.files), set(names.directories)
        infos = self._storage.list_directory(path)
        self._details.update((join(path, info.name), info) for info in infos if not info.is_directory)
        directories = {info.name for info in infos if info.is_directory}
        return {info.name for info in infos} - directories, directories

    # Taking

    def _wait(self, paths: list[str]) -> None:
        """Put paths in line; one that waits already, gone and back meanwhile, is one file all the same."""
        self._waiting.update(dict.fromkeys(paths))

    def _next_files(self) -> list[FileInfo]:
        """Take from the line what the next batch gets. If this raises, all is in line as before."""
        files: list[FileInfo] = []
        gone: list[str] = []
        for path in self._waiting:
            if self._max_files is not None and len(files) == self._max_files:
                break
            try:
                files.append(self._details.get(path) or self._storage.stat(path))
            except FileNotFoundError:  # before any batch was promised it
                gone.append(path)
            except OSError:
                if self._only_available:  # else there would be no end: this file fails its batch, once
                    del self._waiting[path]
                raise
        for file in files:
            del self._waiting[file.path]
            self._lost(file.path).discard(name_of(file.path))
        for path in gone:
            del self._waiting[path]
            lost = self._lost(path)
            if name_of(path) not in lost:
                lost.add(name_of(path))
                _log.warning("%s went away before it was taken", self._storage.url(path))
        return files

    def _lost(self, path: str) -> set[str]:
        directory = self._directories.get(parent_of(path))
        return set() if directory is None else directory.lost

    def _changed(self, time: BatchTime) -> int:
        """How many watched files are not what they were; each is reported once."""
        while self._taken and self._taken[0][0] < time - self._watch_ms:
            self._taken.popleft()
        if self._storage.lists_details and not self._details:
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
            return self._details.get(file.path)
        try:
            return self._storage.stat(file.path)
        except FileNotFoundError:
            return None
        except OSError:
            return file


def _visible(names: set[str]) -> list[str]:
    return [name for name in names if is_visible(name)]


def _described(files: list[FileInfo]) -> str:
    names = ", ".join(name_of(file.path) for file in files[:5])
    more = f" and {len(files) - 5} more" if len(files) > 5 else ""
    return f"{len(files)} files{': ' if files else ''}{names}{more}"
