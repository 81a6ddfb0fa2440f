"""Which files of a growing set count: one small file a version, the newest says it all.

::

    set/part-1000-9000-5f0c....parquet        sealed: visible to all, never changed, never merged again
    set/_recent/9000-1b2c....parquet          newer and smaller: for readers of the manifest alone
    set/_manifest/00000000000000000042.json   version 42: what counts, what was written, what is being merged
    set/_manifest/sealed-0000...031.json      a thousand of the oldest sealed files, once there are so many

A version is created if there is none of its number, so of two writers that want to go on from version 41 one
does, and the other looks again. It is the only moment at which anything becomes part of the set.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, field, replace
from typing import Any

from penstock.errors import ArgumentError, CorruptInput
from penstock.storage import Storage, join, storage_for
from penstock.values import dataclass

__all__ = ["Entry", "Manifest", "Merge", "State", "files_of_set"]

MANIFEST = "_manifest"
RECENT = "_recent"
_VERSIONS_KEPT = 20
_DONE_KEPT = 100
_SEGMENT = 1000
_ATTEMPTS = 5


@dataclass(frozen=True)
class Entry:
    """A file of the set: its name below the directory, what it holds, and of which batches (ms).

    ``kind`` is the same for files that can be merged, ``level`` how often that was done.
    """

    name: str
    bytes: int
    records: int
    first: int
    last: int
    kind: str
    level: int = 0

    @property
    def is_sealed(self) -> bool:
        """Whether it stays as it is."""
        return not self.name.startswith(RECENT)


@dataclass(frozen=True)
class Merge:
    """A merge that was decided upon: until it is over nothing else is decided."""

    into: Entry
    of: tuple[str, ...]


@dataclass(frozen=True)
class State:
    """What a version says. ``done`` has by writer the newest batch times that were written, ``retired`` the
    files that do not count any more, since when (ms), and are still there."""

    format: str
    files: tuple[Entry, ...] = ()
    segments: tuple[str, ...] = ()
    done: dict[str, tuple[int, ...]] = field(default_factory=dict)
    merge: Merge | None = None
    retired: tuple[tuple[str, int], ...] = ()

    def with_batch(self, writer: str, batch_ms: int, entries: Sequence[Entry]) -> State:
        """A batch has come."""
        times = tuple(sorted((*self.done.get(writer, ()), batch_ms))[-_DONE_KEPT:])
        return replace(self, files=(*self.files, *entries), done={**self.done, writer: times})

    def merged(self, now_ms: int) -> State:
        """The merge is over."""
        assert self.merge is not None, "no merge was decided upon"
        gone = set(self.merge.of)
        at = next(index for index, entry in enumerate(self.files) if entry.name in gone)
        kept = [entry for entry in self.files if entry.name not in gone]
        files = (*kept[:at], self.merge.into, *kept[at:])
        retired = (*self.retired, *((name, now_ms) for name in self.merge.of))
        return replace(self, files=files, merge=None, retired=retired)

    def without(self, names: set[str], now_ms: int) -> State:
        """Files that do not count any more."""
        files = tuple(entry for entry in self.files if entry.name not in names)
        return replace(
            self, files=files, retired=(*self.retired, *((name, now_ms) for name in sorted(names)))
        )

    def without_segment(self, segment: str, entries: Sequence[Entry], now_ms: int) -> State:
        """The files of a segment, and itself, do not count any more."""
        names = [*sorted(entry.name for entry in entries), f"{MANIFEST}/{segment}"]
        segments = tuple(name for name in self.segments if name != segment)
        retired = (*self.retired, *((name, now_ms) for name in names))
        return replace(self, segments=segments, retired=retired)

    def to_json(self) -> bytes:
        """As it is written."""
        return json.dumps(asdict(self), separators=(",", ":"), sort_keys=True).encode()

    @classmethod
    def of_json(cls, data: bytes) -> State:
        """The inverse of :meth:`to_json`."""
        found = json.loads(data)
        merge = found["merge"]
        return cls(
            format=found["format"],
            files=tuple(Entry(**entry) for entry in found["files"]),
            segments=tuple(found["segments"]),
            done={writer: tuple(times) for writer, times in found["done"].items()},
            merge=None if merge is None else Merge(Entry(**merge["into"]), tuple(merge["of"])),
            retired=tuple((name, since) for name, since in found["retired"]),
        )


class Manifest:
    """The versions of one set. :meth:`commit` goes on from the version that was loaded last."""

    def __init__(self, storage: Storage, directory: str, *, durable: bool = False) -> None:
        self._storage = storage
        self._directory = join(directory, MANIFEST)
        self._durable = durable
        self._version = 0

    def load(self) -> State | None:
        """The newest version; ``None`` if there is none."""
        for _ in range(_ATTEMPTS):
            versions = self._versions()
            self._version = versions[-1] if versions else 0
            if not versions:
                return None
            path = self._path(self._version)
            try:
                return State.of_json(self._storage.read(path))
            except FileNotFoundError:  # so long ago that it is gone: there are newer ones
                continue
            except (ValueError, KeyError, TypeError) as error:
                raise CorruptInput(f"{self._storage.url(path)} is no manifest: {error}") from error
        raise CorruptInput(f"{self._storage.url(self._directory)} changes faster than it can be read")

    def commit(self, state: State) -> bool:
        """Make this the next version; false if somebody else has made one since :meth:`load`."""
        state = self._without_oldest(state)
        self._storage.makedirs(self._directory, durable=self._durable)
        path = self._path(self._version + 1)
        data = state.to_json()
        if not self._storage.create_if_absent(path, data, durable=self._durable):
            return False
        if not self._follows():
            # Others were so far ahead that the version was tidied away: ours is one that nobody looks at.
            with suppress(FileNotFoundError):
                self._storage.remove(path)
            return False
        self._version += 1
        self._tidy()
        return True

    def _follows(self) -> bool:
        """Whether the version that was just made goes on from one that is there, or is the very first."""
        if self._version:
            return self._storage.exists(self._path(self._version))
        return self._versions()[:2] in ([1], [1, 2])

    def sealed(self, segment: str) -> list[Entry]:
        """The files of a segment."""
        found = json.loads(self._storage.read(join(self._directory, segment)))
        return [Entry(**entry) for entry in found]

    def _without_oldest(self, state: State) -> State:
        sealed = [entry for entry in state.files if entry.is_sealed]
        if len(sealed) < 2 * _SEGMENT:
            return state
        moved = sealed[:_SEGMENT]
        name = f"sealed-{self._version + 1:020d}.json"
        data = json.dumps([asdict(entry) for entry in moved]).encode()
        self._storage.write_atomic(join(self._directory, name), data, durable=self._durable)
        gone = {entry.name for entry in moved}
        files = tuple(entry for entry in state.files if entry.name not in gone)
        return replace(state, files=files, segments=(*state.segments, name))

    def _versions(self) -> list[int]:
        try:
            names = self._storage.list_names(self._directory).files
        except FileNotFoundError:
            return []
        stems = [name.removesuffix(".json") for name in names]
        return sorted(int(stem) for stem in stems if stem.isdecimal())

    def _tidy(self) -> None:
        """Drop old versions, the oldest first: who goes on from one sees that it is gone."""
        if self._version % _VERSIONS_KEPT:
            return
        for version in self._versions():
            if version <= self._version - _VERSIONS_KEPT:
                try:
                    self._storage.remove(self._path(version))
                except FileNotFoundError:  # somebody else tidies too
                    continue

    def _path(self, version: int) -> str:
        return join(self._directory, f"{version:020d}.json")


def files_of_set(directory: str) -> list[str]:
    """The files that make up a set which ``DStream.saveAsFileSet`` writes, as paths or URLs, the oldest
    first: every record of all batches that are complete is in them exactly once. They stay there for the
    set's ``grace`` (10 minutes if not said) after newer ones have taken their place.

    ``ArgumentError`` if there is no such set.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> _ = run_batches([[(1, "a")], [(2, "b")]], lambda s: s.saveAsFileSet(folder), numPartitions=1)
    >>> import polars
    >>> polars.read_parquet(files_of_set(folder)).rows()
    [(1, 'a'), (2, 'b')]
    """
    storage, path = storage_for(directory)
    manifest = Manifest(storage, path)
    state = manifest.load()
    if state is None:
        raise ArgumentError(
            f"{directory} is no set of files: it has no {MANIFEST}. Hint: DStream.saveAsFileSet writes one."
        )
    entries: list[Any] = [entry for segment in state.segments for entry in manifest.sealed(segment)]
    return [storage.url(join(path, entry.name)) for entry in (*entries, *state.files)]
