"""Batches into one growing set of files: small ones first, merged into large ones, each record once.

::

    batch ---> _recent/...  ---> version n + 1: the files count, the batch is done
                                 (and what is to be merged now, if anything is)
               merged file  ---> version n + 2: it counts instead of those that it was made of
                                 (which are removed when the grace is over)

A crash before version n + 1 leaves files that nobody looks at, which the batch writes again under the same
names. After it the batch is done. What was decided about a merge is in the manifest before the merged file
is there, so whoever comes next makes the very same file.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, groupby
from typing import BinaryIO, NamedTuple

from penstock.chunk import Chunk
from penstock.clock import Clock, SystemClock
from penstock.errors import ArgumentError
from penstock.plan import Node, OnDriver, Task, Undone
from penstock.sinks.attempts import Attempts, Desk
from penstock.sinks.base import Jobs, Measured, PartFormat
from penstock.sinks.manifest import RECENT, Entry, Manifest, Merge, State
from penstock.storage import Storage, clean_leftovers, join, name_of, storage_for
from penstock.values import dataclass

__all__ = ["FileSet", "Rolling"]

_FAN = 32
"""So many small files of one level are merged into one of the next."""
_ATTEMPTS = 100
_ORPHAN_NS = 24 * 3600 * 1_000_000_000  # what is unknown and older was left by a run that never came back

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rolling:
    """When small files become a sealed one (bytes, or ms since their first batch), how long what was
    replaced stays (ms of the machine's clock), and how long records count (ms of batch time)."""

    max_bytes: int
    max_age_ms: int
    grace_ms: int
    retain_ms: int | None


class FileSet:
    """Writes one set. ``name`` tells the outputs that write into it apart."""

    def __init__(
        self,
        directory: str,
        format: PartFormat,
        kind: str,
        rolling: Rolling,
        name: str,
        clock: Clock | None = None,
    ) -> None:
        self._directory = directory
        self._format = format
        self._kind = kind
        self._rolling = rolling
        self._name = name
        self._clock = clock
        self._tidied = ""
        self._newest: dict[str, int] = {}  # the newest batch by segment, which never changes

    def write(self, jobs: Jobs, plan: Node, batch_ms: int, run_id: str, *, durable: bool = False) -> bool:
        """Add a batch; false if this run has added it before."""
        storage, directory = storage_for(self._directory)
        manifest = Manifest(storage, directory, durable=durable)
        work = _Work(self, storage, directory, manifest, durable)
        state = work.load()
        writer = f"{run_id}/{self._name}"
        if self._tidied != run_id:
            work.remove_orphans(state)
            self._tidied = run_id
        if batch_ms in state.done.get(writer, ()):
            work.finish(state, batch_ms)
            return False
        entries = work.batch(jobs, plan, batch_ms, writer)
        for _ in range(_ATTEMPTS):
            if batch_ms in state.done.get(writer, ()):
                return False
            news = work.retained(state.with_batch(writer, batch_ms, entries), batch_ms)
            news = work.decided(news, batch_ms)
            if manifest.commit(news):
                work.finish(news, batch_ms)
                return True
            state = work.load()
        raise OSError(f"{storage.url(directory)}: others write so often that no batch could be added")


class _Work:
    """What is done for one batch."""

    def __init__(
        self, owner: FileSet, storage: Storage, directory: str, manifest: Manifest, durable: bool
    ) -> None:
        self._format = owner._format
        self._kind = owner._kind
        self._newest = owner._newest
        self._rolling = owner._rolling
        self._clock = owner._clock or SystemClock()
        self._storage = storage
        self._directory = directory
        self._manifest = manifest
        self._durable = durable

    def load(self) -> State:
        state = self._manifest.load() or State(self._kind)
        if state.format != self._kind:
            raise ArgumentError(
                f"{self._storage.url(self._directory)} is a set of {state.format} files, and {self._kind} "
                f"was to be added. Hint: another directory."
            )
        return state

    def batch(self, jobs: Jobs, plan: Node, batch_ms: int, writer: str) -> list[Entry]:
        """Write the records of a batch where only the manifest's readers look."""
        format, plan = self._format.prepared(jobs, plan)
        self._storage.makedirs(join(self._directory, RECENT), durable=self._durable)
        import hashlib

        mark = hashlib.blake2b(writer.encode(), digest_size=6).hexdigest()

        pieces = _PiecesOf(
            format, batch_ms, mark, self._storage.url(self._directory), self._rolling.max_bytes
        )

        def write_part(task: Task, chunks: Iterator[Chunk]) -> list[_Written]:
            def opened(name: str) -> BinaryIO:
                return self._storage.open_write(join(self._directory, name), durable=self._durable)

            return list(pieces.written(task, chunks, opened))

        with Attempts(self._storage, join(self._directory, RECENT), durable=self._durable) as attempts:

            def elsewhere() -> _Elsewhere:
                return _Elsewhere(attempts.desk(), pieces)

            parts = jobs.run(plan, OnDriver(write_part, elsewhere if attempts.possible else None))
            written = list(chain.from_iterable(parts))
            format.check([each.found for each in written])
            for each in written:
                if each.attempt:
                    path = join(self._directory, each.entry.name)
                    self._make_way(path)
                    attempts.take(each.attempt, path, each.entry.bytes)
        if self._durable and written:
            self._storage.sync_directory(join(self._directory, RECENT))
        return [each.entry for each in written]

    def _make_way(self, path: str) -> None:
        """Remove what an attempt of this batch has left that did not come to its end."""
        with contextlib.suppress(FileNotFoundError):
            self._storage.remove(path)

    def retained(self, state: State, batch_ms: int) -> State:
        """Without what is too old."""
        if self._rolling.retain_ms is None or state.merge is not None:
            return state
        limit = batch_ms - self._rolling.retain_ms
        old = {entry.name for entry in state.files if entry.last < limit}
        if old:
            state = state.without(old, self._clock.now_ms())
        for segment in state.segments:
            if self._newest.get(segment, 0) >= limit:
                continue
            try:
                entries = self._manifest.sealed(segment)
            except FileNotFoundError:  # somebody has dropped it since the version was read
                continue
            self._newest[segment] = max(entry.last for entry in entries)
            if self._newest[segment] < limit:
                state = state.without_segment(segment, entries, self._clock.now_ms())
        return state

    def decided(self, state: State, batch_ms: int) -> State:
        """With the next merge, if one is due."""
        if state.merge is not None:
            return state
        recent = [entry for entry in state.files if not entry.is_sealed]
        runs = [list(run) for _, run in groupby(recent, lambda entry: entry.kind)]
        for index, run in enumerate(runs):
            taken, size = 0, 0
            while taken < len(run) and size < self._rolling.max_bytes:
                size += run[taken].bytes
                taken += 1
            old = run[0].first <= batch_ms - self._rolling.max_age_ms
            if size >= self._rolling.max_bytes or old or index < len(runs) - 1:
                return replace(state, merge=self._merge_of(run[:taken], sealed=True))
            for level, group in groupby(run, lambda entry: entry.level):
                alike = list(group)
                if len(alike) >= _FAN:
                    return replace(state, merge=self._merge_of(alike, sealed=False, level=level + 1))
        return state

    def _merge_of(self, entries: Sequence[Entry], *, sealed: bool, level: int = 0) -> Merge:
        names = tuple(entry.name for entry in entries)
        import hashlib

        mark = hashlib.blake2b("\n".join(names).encode(), digest_size=6).hexdigest()
        first, last = min(entry.first for entry in entries), max(entry.last for entry in entries)
        stem = f"part-{first}-{last}-{mark}" if sealed else f"{RECENT}/{first}-{last}-{mark}"
        records = sum(entry.records for entry in entries)
        into = Entry(f"{stem}{self._format.extension}", 0, records, first, last, entries[0].kind, level)
        return Merge(into, names)

    def finish(self, state: State, batch_ms: int) -> None:
        """Do what was decided upon, and what is due after that; remove what nobody reads any more."""
        while (merge := state.merge) is not None:
            try:
                pieces = [self._storage.read(join(self._directory, name)) for name in merge.of]
            except FileNotFoundError:
                state = self.load()
                if state.merge == merge:
                    raise
                continue  # somebody else has done it
            data = pieces[0] if len(pieces) == 1 else self._format.merged(merge.into.kind, pieces)
            path = join(self._directory, merge.into.name)
            self._storage.write_atomic(path, data, durable=self._durable)
            known = replace(merge, into=replace(merge.into, bytes=len(data)))
            news = replace(state, merge=known).merged(self._clock.now_ms())
            news = self.decided(news, batch_ms)
            state = news if self._manifest.commit(news) else self.load()
        self._remove_retired(state)

    def _remove_retired(self, state: State) -> None:
        limit = self._clock.now_ms() - self._rolling.grace_ms
        over = [name for name, since in state.retired if since <= limit]
        if not over:
            return
        for name in over:
            try:
                self._storage.remove(join(self._directory, name))
            except FileNotFoundError:
                continue
            except OSError as error:
                _log.warning("%s could not be removed: %s", name, error)
                return
        kept = tuple(each for each in state.retired if each[0] not in set(over))
        self._manifest.commit(replace(state, retired=kept))  # if somebody is quicker, then next time

    def remove_orphans(self, state: State) -> None:
        """Remove what runs that never came back have left."""
        recent = join(self._directory, RECENT)
        try:
            found = self._storage.list_directory(recent)
        except FileNotFoundError:
            return
        if self._storage.atomic_rename:
            try:
                clean_leftovers(self._storage, self._directory)  # what tasks of dead runs have written
            except OSError as error:
                _log.warning("what dead runs left in %s could not be removed: %s", self._directory, error)
        known = {entry.name for entry in state.files} | {name for name, _ in state.retired}
        if state.merge is not None:
            known.add(state.merge.into.name)
        limit = self._clock.now_ms() * 1_000_000 - _ORPHAN_NS
        for info in found:
            if f"{RECENT}/{info.name}" not in known and 0 < info.mtime_ns < limit:
                try:
                    self._storage.remove(info.path)
                except OSError as error:
                    _log.warning("%s could not be removed: %s", info.path, error)


class _Written(NamedTuple):
    entry: Entry
    found: object
    attempt: str = ""


class _PiecesOf:
    """How the partitions of a batch become files."""

    def __init__(self, format: PartFormat, batch_ms: int, mark: str, url: str, max_bytes: int) -> None:
        self._format = format
        self._batch_ms = batch_ms
        self._mark = mark
        self._url = url
        self._max_bytes = max_bytes

    def written(
        self, task: Task, chunks: Iterator[Chunk], opened: Callable[[str], BinaryIO]
    ) -> Iterator[_Written]:
        """Write a partition into files that are opened by their names in the set."""
        format, batch_ms = self._format, self._batch_ms
        pieces = _Pieces(chunks, self._max_bytes)
        for count in itertools.count():
            if not pieces.more():
                return
            stem = f"{batch_ms}-{self._mark}-{task.partition:05d}-{count:03d}"
            name = f"{RECENT}/{stem}{format.extension}"
            with Measured(partial(opened, name), join(self._url, name)) as part:
                found = format.write(part.write, pieces.next(part))
            kind = format.kind_of(found)
            yield _Written(Entry(name, part.bytes, pieces.records, batch_ms, batch_ms, kind), found)


class _Elsewhere:
    """Writes a partition in the process that computes it."""

    def __init__(self, desk: Desk, pieces: _PiecesOf) -> None:
        self._desk = desk
        self._pieces = pieces

    def __call__(self, task: Task, chunks: Iterator[Chunk]) -> list[_Written] | Undone:
        desk = self._desk
        if not desk.there:
            return Undone(list(chunks))
        attempts: dict[str, str] = {}

        def opened(name: str) -> BinaryIO:
            attempts[name] = desk.name(name_of(name))
            return desk.open(attempts[name])

        try:
            return [
                each._replace(attempt=attempts[each.entry.name])
                for each in self._pieces.written(task, chunks, opened)
            ]
        except BaseException:
            for attempt in attempts.values():
                desk.remove(attempt)
            raise


class _Pieces:
    """The chunks of a partition, cut where a file is large enough. Empty ones are left out."""

    def __init__(self, chunks: Iterator[Chunk], max_bytes: int) -> None:
        self._chunks = (chunk for chunk in chunks if len(chunk))
        self._ahead: Chunk | None = None
        self._max_bytes = max_bytes
        self.records = 0

    def more(self) -> bool:
        """Whether there is another chunk."""
        if self._ahead is None:
            self._ahead = next(self._chunks, None)
        return self._ahead is not None

    def next(self, part: Measured) -> Iterator[Chunk]:
        """The chunks of the next file."""
        self.records = 0
        while part.bytes < self._max_bytes and self.more():
            assert self._ahead is not None
            chunk, self._ahead = self._ahead, None
            self.records += len(chunk)
            yield chunk
