"""The files of a checkpoint, and who may write them.

::

    DIR/journal/0000000007.log       records of the run that made the file, the next file goes on from it
    DIR/journal/0000000008.log       its first record says up to where the file before it counts
    DIR/snapshots/0000000008.snapshot   what all records before the file 8 come to
    DIR/program.pickle               the program's graph, for ``getOrCreate``

The file with the next number is created if absent, so of two runs that want it one gets it, and is the
owner from there on: first it claims the number, then it reads what there is to go on from. Whoever has
appended to its file looks whether there is a next one: if so, it is not the owner any more, and what it has
appended does not count, as the next file says. So it may be paused for as long as one likes between any two
steps, and come back.

Where files can grow each append is one synchronised write at the end of the newest; elsewhere each is a file
of its own, with the next number.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from threading import Lock
from typing import Any

from penstock.checkpoint.image import Image, Record
from penstock.encoding import PREAMBLE, Frame, Frames, framed
from penstock.errors import CheckpointTaken, CorruptCheckpoint
from penstock.storage import LogFile, Storage, join

__all__ = ["Journal", "Loaded"]

_log = logging.getLogger(__name__)
_LOG = re.compile(r"(\d{10})\.log")
_SNAPSHOT = re.compile(r"(\d{10})\.snapshot")


class _Bare(Exception):
    """A file of a run that has claimed its number, and not begun."""


class Loaded:
    """What was found in a checkpoint: its image, and what was wrong with its files, in words."""

    def __init__(self, image: Image, file: int, size: int, complaints: list[str]) -> None:
        self.image = image
        self.file = file  # the newest file, and
        self.size = size  # how many bytes of it count
        self.complaints = complaints


class Journal:
    """The files of one checkpoint directory. One thread writes; another may compact.

    ``load`` reads, ``begin`` takes it over, ``append`` writes, ``roll`` begins a new file, ``compact`` makes
    a snapshot of what lies before the newest file, and removes what it makes superfluous.
    """

    def __init__(self, storage: Storage, directory: str) -> None:
        self._storage = storage
        self._files = join(directory, "journal")
        self._snapshots = join(directory, "snapshots")
        self.number = 0  # of the file that is being written
        self._claimed: int | None = None
        self._log: LogFile | None = None
        self._size = 0
        self._before: str | None = None  # this run's file before the newest, until it is known to be there
        self.bytes = 0  # appended since the newest file was begun
        self.files = 0  # begun since the last roll
        self._numbering = Lock()  # held while a file is there whose number is not this run's newest yet

    # Reading

    def numbers(self) -> list[int]:
        """The numbers of the journal's files."""
        return _numbers(self._storage, self._files, _LOG)

    def snapshots(self) -> list[int]:
        """The numbers of the snapshots."""
        return _numbers(self._storage, self._snapshots, _SNAPSHOT)

    def load(self, before: int | None = None) -> Loaded | None:
        """What all files come to, or those before one of them; ``None`` if there is no checkpoint.

        What is damaged is left out, with all that builds on it, and said in the complaints. Raises
        ``CorruptCheckpoint`` where nothing is left.
        """
        numbers = self.numbers()
        snapshots = set(self.snapshots())
        if self._claimed is not None:
            numbers = [number for number in numbers if number < self._claimed]
        if before is not None:
            after = self._after(before)
            return None if after is None else self._loaded(numbers, snapshots, *after, [])
        if not numbers:
            if snapshots:
                raise CorruptCheckpoint(f"{self._url(self._files)} has no files, but there are snapshots")
            return None
        complaints: list[str] = []
        for number in reversed(numbers):
            try:
                return self._loaded(numbers, snapshots, number, None, complaints)
            except _Bare:
                continue
            except (CorruptCheckpoint, FileNotFoundError) as error:
                # Other errors of a store come out: a disk that fails for a moment is no damage.
                complaints.append(f"{error}; so what was recorded from there on is left out")
        if not complaints:
            return None
        raise CorruptCheckpoint("nothing of the checkpoint can be gone on from: " + "; ".join(complaints))

    def _loaded(
        self, numbers: list[int], snapshots: set[int], newest: int, size: int | None, complaints: list[str]
    ) -> Loaded:
        """What a file and those that it goes on from come to."""
        chain: list[tuple[int, int | None]] = []
        link: tuple[int, int | None] = (newest, size)
        while True:
            number = link[0]
            chain.insert(0, link)
            image = Image()
            if number in snapshots:
                try:
                    self._read_snapshot(number, image)
                except (CorruptCheckpoint, FileNotFoundError) as error:
                    complaints.append(f"a snapshot cannot be used: {error}")
                else:
                    return self._replayed(image, chain, complaints)
            after = self._after(number)
            if after is None:
                return self._replayed(Image(), chain, complaints)
            if after[0] not in numbers:
                raise CorruptCheckpoint(f"{self._url(self._path(after[0]))} is not there")
            link = after

    def _after(self, number: int) -> tuple[int, int] | None:
        """From where a file goes on: another file, and how many bytes of that. ``_Bare`` if nothing says so:
        whoever claimed the number has not begun."""
        frames = self._frames(number)
        for frame in frames:
            if frame.head["kind"] != "claim":
                after: Any = frame.head.get("after")
                return None if after is None else (after["file"], after["size"])
        if frames.size > len(PREAMBLE) and (frames.damage is None or frames.torn):
            raise _Bare
        raise CorruptCheckpoint(frames.damage or f"{self._url(self._path(number))} has no record")

    def _replayed(self, image: Image, chain: list[tuple[int, int | None]], complaints: list[str]) -> Loaded:
        for number, size in chain:
            frames = self._frames(number)
            for frame in frames:
                image.apply(frame)
                if size is not None and frames.size >= size:
                    break
            if size is not None and frames.size < size:
                complaints.append(
                    f"{frames.damage or self._url(self._path(number)) + ' is too short'}: what was recorded "
                    f"after that is left out, and the batches it was about are run again"
                )
                return Loaded(image, number, frames.size, complaints)
            if size is None and frames.damage is not None:
                complaints.append(f"{frames.damage}: the step that it was about is done again")
            last = Loaded(image, number, frames.size, complaints)
        return last

    def _frames(self, number: int) -> Frames:
        path = self._path(number)
        return Frames(self._storage.read(path), self._url(path))

    def _read_snapshot(self, number: int, image: Image) -> None:
        path = self._snapshot_path(number)
        frames = Frames(self._storage.read(path), self._url(path))
        for frame in frames:
            if frame.head["kind"] == "end":
                return
            image.apply(frame)
        raise CorruptCheckpoint(frames.damage or f"{self._url(path)} is not whole")

    # Writing

    def claim(self, owner: str, *, alone: bool = False) -> None:
        """Become the owner, before anything is read that is to be gone on from: what another run has written
        until now counts, and it learns that it is none any more. ``CheckpointTaken`` if another was quicker,
        or with ``alone`` if any has begun.
        """
        self.number = max([*self.numbers(), *self.snapshots()], default=0)
        self._make([({"kind": "claim", "owner": owner}, [])])
        self._claimed = self.number
        newest = self.numbers()[-1]
        if newest != self.number or (alone and self.load() is not None):
            self._taken(self._path(newest))

    @property
    def has_begun(self) -> bool:
        """Whether there is anything to go on from: more than numbers that were claimed."""
        for number in reversed(self.numbers()):
            try:
                self._after(number)
            except _Bare:
                continue
            except CorruptCheckpoint:
                return True
            return True
        return False

    def begin(self, record: Record, after: Loaded | None) -> None:
        """Go on from what was loaded after the claim, or anew."""
        head, parts = record
        if after is not None:
            head = {**head, "after": {"file": after.file, "size": after.size}}
        if self._log is None:
            self._make([(head, parts)])
        else:
            self.append([(head, parts)])
        self.bytes = self.files = 0

    def append(self, records: Sequence[Record]) -> None:
        """Write records; durable, and known to count, once it has returned.

        ``CheckpointTaken`` if this run is not the owner any more.
        """
        if self._log is None:
            self._make(self._linked(records))
            return
        data = b"".join(framed(*record) for record in records)
        self._log.append(data)
        self._size = self._log.size
        self.bytes += len(data)
        self._must_own()

    def roll(self, records: Sequence[Record]) -> None:
        """Write records at the beginning of a new file."""
        self._make(self._linked(records))
        self.bytes = self.files = 0

    def _linked(self, records: Sequence[Record]) -> list[Record]:
        """Records for a new file that goes on from the one before."""
        (head, parts), *rest = records
        return [({**head, "after": {"file": self.number, "size": self._size}}, parts), *rest]

    def _make(self, records: Sequence[Record]) -> None:
        """Begin the file with the next number."""
        data = PREAMBLE + b"".join(framed(*record) for record in records)
        with self._numbering:
            self._must_own_before()
            path = self._path(self.number + 1)
            if not self._created(path, data):
                self._taken(path)
            # From here on the file is this run's, also if it cannot be known now whether it counts.
            self._before = self._path(self.number) if self._size else None
            self.number += 1
        self._size = len(data)
        self.bytes += len(data)
        self.files += 1
        if self._storage.appends:
            self.close()
            try:
                self._log = self._storage.open_log(path, len(data))
            except OSError as error:  # what is in the file counts: the next records get a file of their own
                _log.warning("%s cannot be appended to: %s", self._url(path), error)
        with self._numbering:
            self._must_own_before()

    def _must_own_before(self) -> None:
        """``CheckpointTaken`` if whoever is the owner now has compacted beyond this run's files, so that the
        number of its newest was free again."""
        if self._before is None:
            return
        if not self._storage.exists(self._before):
            self._remove(self._path(self.number))
            self._taken(self._before)
        self._before = None

    def _created(self, path: str, data: bytes) -> bool:
        """Make a file that is not there. An error that came when it was there already is none."""
        try:
            return self._storage.create_if_absent(path, data, durable=True)
        except OSError:
            with suppress(OSError):
                if self._storage.read(path) == data:
                    return True
            raise

    def must_own(self) -> None:
        """``CheckpointTaken`` if another run has become the owner. On any thread: of what it made durable
        before, the other run knows."""
        with self._numbering:
            self._must_own()

    def _must_own(self) -> None:
        self._must_own_before()
        path = self._path(self.number + 1)
        if self._storage.exists(path):
            self._taken(path)
        if not self._storage.exists(self._path(self.number)):
            self._taken(self._path(self.number))

    def _taken(self, path: str) -> None:
        raise CheckpointTaken(
            f"another run goes on from this checkpoint ({self._url(path)} is not this run's), so this one "
            f"stops. Hint: run the program once, or give each its own checkpoint directory."
        )

    def close(self) -> None:
        """Give the file back."""
        if self._log is not None:
            self._log.close()
            self._log = None

    # Compacting

    def compact(self, number: int, records: Iterator[Record]) -> int:
        """Write the snapshot of what lies before the file ``number``; its size in bytes.

        The snapshot before it and the files from there on stay, in case this one gets damaged.
        """
        data = PREAMBLE + b"".join(framed(*record) for record in records)
        self._storage.write_atomic(self._snapshot_path(number), data, durable=True)
        older = [each for each in self.snapshots() if each < number]
        keep = older[-1] if older else 0
        for each in older[:-1]:
            self._remove(self._snapshot_path(each))
        for each in self.numbers():
            if each < keep:
                self._remove(self._path(each))
        return len(data)

    def _remove(self, path: str) -> None:
        try:
            self._storage.remove(path)
        except FileNotFoundError:
            return

    def _path(self, number: int) -> str:
        return join(self._files, f"{number:010d}.log")

    def _snapshot_path(self, number: int) -> str:
        return join(self._snapshots, f"{number:010d}.snapshot")

    def _url(self, path: str) -> str:
        return self._storage.url(path)

    def sizes(self) -> list[int]:
        """The bytes of the journal's files."""
        return [self._storage.stat(self._path(number)).size for number in self.numbers()]

    def verify(self) -> Iterator[tuple[str, str | None, int]]:
        """Of each file its name, what is wrong with it, and how many records are whole."""
        paths = [*map(self._snapshot_path, self.snapshots()), *map(self._path, self.numbers())]
        for path in paths:
            count, problem = 0, None
            try:
                frames = Frames(self._storage.read(path), self._url(path))
                for _ in frames:
                    count += 1
                problem = frames.damage
            except (CorruptCheckpoint, OSError) as error:
                problem = str(error)
            yield self._url(path), problem, count

    def records(self) -> Iterator[Frame]:
        """All records that count and whose files are still there, the oldest first."""
        numbers = self.numbers()
        chain: list[tuple[int, int | None]] = []
        link: tuple[int, int | None] | None = (numbers.pop(), None) if numbers else None
        while link is not None:
            try:
                after = self._after(link[0])
            except _Bare:
                link = (numbers.pop(), None) if numbers else None
                continue
            chain.insert(0, link)
            link = after if after is not None and after[0] in numbers else None
        for number, size in chain:
            frames = self._frames(number)
            for frame in frames:
                yield frame
                if size is not None and frames.size >= size:
                    break


def _numbers(storage: Storage, directory: str, form: re.Pattern[str]) -> list[int]:
    try:
        names = storage.list_names(directory).files
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(int(found[1]) for name in names if (found := form.fullmatch(name)))
