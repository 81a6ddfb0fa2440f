"""Looking: which names have appeared in the directories that a stream of files watches.

A file is told by its *name*: it is new if its directory did not list it before, whatever its times say,
so a file moved in with an old date is found, and a file that was there at the start is not. Names that
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

A look either succeeds as a whole or changes nothing, so what one fails to find, the next one finds. Only a
directory that was found by looking, and may not be read, does not fail it: that is told to the log, and what
is in the directory is found once it may be read.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import NamedTuple

from penstock.clock import Clock
from penstock.storage import FileInfo, Storage, globs, has_wildcard, join, name_of, parent_of

__all__ = ["COPYING", "Lookout", "is_visible", "root_of"]

COPYING = "._COPYING_"
"""How the names of files end that ``hadoop fs -put`` is still copying."""

_log = logging.getLogger(__name__)
_SETTLED_NS = 2_500_000_000  # coarser than the clock of any file system in use (FAT: 2 s)
_DOUBT_NS = 60_000_000_000
_ANY = re.compile(".*", re.DOTALL)


def is_visible(name: str) -> bool:
    """Whether a file counts: not hidden (``.x``), not private (``_x``), not still being copied.

    >>> [name for name in ("a.txt", ".a", "_SUCCESS", "a.txt._COPYING_") if is_visible(name)]
    ['a.txt']
    """
    return not name.startswith((".", "_")) and not name.endswith(COPYING)


def root_of(pattern: str) -> str:
    """The directory that everything a pattern can match lies in.

    >>> root_of("/in"), root_of("/in/2016-*/x"), root_of("/in/*.csv")
    ('/in', '/in', '/in')
    """
    if not has_wildcard(pattern):
        return globs.literal(pattern)
    above, slash, _ = pattern.rpartition("/")
    return root_of(above or slash) if above or slash else ""


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


class Lookout:
    """Looks at ``pattern``: a directory, a glob of directories, or a glob of files.

    With ``recursive`` what is in the directories found counts too, at any depth, but for hidden ones; a link
    that leads back to where it lies in is not followed. What is in ``except_below``, by whatever path, never
    counts.
    """

    def __init__(
        self,
        storage: Storage,
        pattern: str,
        clock: Clock,
        *,
        recursive: bool = False,
        except_below: str | None = None,
    ) -> None:
        self.storage = storage
        self.pattern = pattern
        self.details: dict[str, FileInfo] = {}  # of the last look, where a listing tells them anyway
        self._clock = clock
        self._recursive = recursive
        self._except_below = except_below
        self._excepted: Hashable = None  # its identity, at the last look
        self._directories: dict[str, _Directory] = {}
        self._identities: dict[str, Hashable] = {}
        self._leading_back: set[str] = set()
        self._closed: set[str] = set()  # directories that may not be read, and were told to the log
        self._gone: list[str] = []  # what was known and is not listed any more, since it was last asked for
        self._known_before: dict[str, set[str]] = {}  # of directories that were not there since the restart
        self._removed: deque[str] = deque()  # by ourselves, on another thread

    def restore(self, known: Mapping[str, Iterable[str]]) -> None:
        """Before the first look: these names are old, in each of these directories."""
        self._known_before = {path: set(names) for path, names in known.items()}

    def known(self) -> dict[str, set[str]]:
        """The names that are old, in each directory."""
        self._forget_removed()
        known = {path: found.names - found.lost for path, found in self._directories.items()}
        return {**{path: set(names) for path, names in self._known_before.items()}, **known}

    def take_gone(self) -> list[str]:
        """The paths that were known and are not there any more, each told once."""
        gone, self._gone = self._gone, []
        return gone

    def removed(self, path: str) -> None:
        """We have taken a file away: one that comes under its name is new. Any thread may call."""
        self._removed.append(path)

    def lost(self, path: str) -> bool:
        """A new file is gone before it was taken: it will be new when it is back; whether that is news."""
        directory = self._directories.get(parent_of(path))
        if directory is None or name_of(path) in directory.lost:
            return directory is None
        directory.lost.add(name_of(path))
        return True

    def found_again(self, path: str) -> None:
        """A file that was lost, perhaps, has been taken."""
        directory = self._directories.get(parent_of(path))
        if directory is not None:
            directory.lost.discard(name_of(path))

    def news(self) -> list[str]:
        """The paths that appeared since the last look that did not fail, sorted."""
        self.details = {}
        self._forget_removed()
        self._excepted = self._identity_now(self._except_below)
        looks: dict[str, _Look] = {}
        news: set[str] = set()
        for path, wanted in self._places(looks):
            names = self._look_once(path, looks).news
            news.update(join(path, name) for name in names if wanted.fullmatch(name))
        for path, before in self._directories.items():
            after = looks[path].after if path in looks else None
            if after is before:  # still: there may be very many names
                continue
            self._gone += [join(path, name) for name in before.names - (after.names if after else set())]
        self._directories = {path: look.after for path, look in looks.items() if look.after is not None}
        for path in self._directories.keys() & self._known_before.keys():
            del self._known_before[path]
        for path in self._identities.keys() - self._directories.keys():
            del self._identities[path]
        return sorted(news)

    def _forget_removed(self) -> None:
        while self._removed:
            path = self._removed.popleft()
            directory = self._directories.get(parent_of(path))
            known = self._known_before.get(parent_of(path)) if directory is None else directory.names
            if known is not None and name_of(path) in known:
                known.discard(name_of(path))
                self._gone.append(path)

    def _places(self, looks: dict[str, _Look]) -> Iterator[tuple[str, re.Pattern[str]]]:
        """The directories to look into, and which names count there."""
        if not has_wildcard(self.pattern):
            yield from self._whole(globs.literal(self.pattern), looks)
            return
        for alternative in globs.alternatives(self.pattern):
            above, slash, last = alternative.rpartition("/")
            if not has_wildcard(last):
                for info in self.storage.glob(alternative):
                    if info.is_directory and is_visible(info.name):
                        yield from self._whole(info.path, looks)
                    elif not info.is_directory and not self._is_excepted(parent_of(info.path)):
                        yield parent_of(info.path), re.compile(re.escape(info.name))
                continue
            wanted = globs.matcher(last)
            for base in self.storage.glob(above or slash):
                if base.is_directory and not self._is_excepted(base.path):
                    yield base.path, wanted
                    after = self._look_once(base.path, looks).after
                    for name in sorted(_visible(after.directories)) if after is not None else ():
                        if wanted.fullmatch(name):
                            yield from self._whole(join(base.path, name), looks)

    def _whole(self, path: str, looks: dict[str, _Look]) -> Iterator[tuple[str, re.Pattern[str]]]:
        """A directory in which every name counts and, if so asked, those in it."""
        left = [(path, frozenset[Hashable]())]
        while left:
            path, above = left.pop()
            if self._is_excepted(path):
                continue
            yield path, _ANY
            after = self._look_once(path, looks).after
            if not self._recursive or after is None:
                continue
            inner = sorted(_visible(after.directories), reverse=True)
            if not inner:
                continue
            above |= {self._identity(path)}
            for name in inner:
                below = join(path, name)
                if self._leads_back(below, above):
                    continue
                left.append((below, above))

    def _leads_back(self, path: str, above: frozenset[Hashable]) -> bool:
        try:
            back = self._identity(path) in above
        except (FileNotFoundError, NotADirectoryError, PermissionError):  # the look at it will find that out
            return False
        if back and path not in self._leading_back:
            self._leading_back.add(path)
            url = self.storage.url(path)
            _log.warning("%s leads back to a directory that it lies in, and is not followed", url)
        return back

    def _identity(self, path: str) -> Hashable:
        """Asked once for as long as the directory is there."""
        found = self._identities.get(path)
        if found is None:
            found = self._identities[path] = self.storage.identity(path)
        return found

    def _is_excepted(self, path: str) -> bool:
        excepted = self._except_below
        if excepted is None:
            return False
        if path == excepted or path.startswith(f"{excepted}/"):
            return True
        return self._excepted is not None and self._identity_now(path) == self._excepted

    def _identity_now(self, path: str | None) -> Hashable:
        """``None`` where there is nothing, or nothing that can be told."""
        try:
            return None if path is None else self._identity(path)
        except OSError:
            return None

    def _look_once(self, path: str, looks: dict[str, _Look]) -> _Look:
        if path not in looks:
            before = self._directories.get(path)
            try:
                looks[path] = self._look(path, before)
                self._closed.discard(path)
            except FileNotFoundError:  # not there yet, or gone: if it comes back, all that is in it is new
                looks[path] = _Look(None, [])
            except PermissionError as error:
                if path in {root_of(each) for each in globs.alternatives(self.pattern)}:  # that was named
                    raise
                if path not in self._closed:
                    self._closed.add(path)
                    _log.warning(
                        "%s may not be read, so nothing in it is taken: %s. Hint: look at its permissions.",
                        self.storage.url(path), error,
                    )  # fmt: skip
                looks[path] = _Look(before, [])
        return looks[path]

    def _look(self, path: str, before: _Directory | None) -> _Look:
        stamp = self.storage.directory_stamp(path)
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
        if (news or directories - before.directories) and stamps_tell and settled and not changed_since:
            stamps_tell = self.storage.directory_stamp(path) != stamp  # it may have come just now
            if not stamps_tell:
                url = self.storage.url(path)
                _log.warning("%s does not show when files appear in it: it is listed at every look", url)
        first_seen_ns = now_ns if changed_since else before.stamp_ns
        after = _Directory(files, directories, again, stamp, first_seen_ns, now_ns, stamps_tell)
        return _Look(after, _visible(news | again))

    def _listed(self, path: str) -> tuple[set[str], set[str]]:
        """The names of the files and of the directories in a directory."""
        if not self.storage.lists_details:
            names = self.storage.list_names(path)
            return set(names.files), set(names.directories)
        files: set[str] = set()
        directories: set[str] = set()
        for info in self.storage.list_directory(path):
            name = info.path.rpartition("/")[2]
            if info.is_directory:
                directories.add(name)
            else:
                files.add(name)
                self.details[join(path, name)] = info
        return files, directories


def _visible(names: set[str]) -> list[str]:
    return [name for name in names if is_visible(name)]
