"""Tables of keys in files that several processes share, version after version.

Whoever makes a version writes what is different from the one before, and from time to time the whole::

    of version      1        2         3         4         5
    files           image    change    change    change    change, image

A version is read from the nearest one that the process still has in memory, or from an image, whichever is
less to read. Each attempt to make a version writes files of its own names, and hands back their names and
digests: two attempts never mix, and a file that somebody else has changed is not read. So nobody needs to be
trusted, though states may be pickled.
"""

from __future__ import annotations

import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from penstock.chunk import Chunk, Columns
from penstock.encoding import PREAMBLE, Frames, framed
from penstock.errors import RowTypeError, StateError
from penstock.state.changes import TableChange, changed, whole
from penstock.state.columns import ColumnVersion
from penstock.state.encoded import change_in, change_out
from penstock.state.rows import RowVersion
from penstock.state.versions import Version
from penstock.storage import Storage, join
from penstock.vectorize import REFUSALS

__all__ = [
    "Form",
    "Listed",
    "Step",
    "Steps",
    "StoredFile",
    "TableFiles",
    "Versioned",
    "cached_tables",
    "time_of",
    "version_of",
]

T = TypeVar("T")

_BEFORE = 16
"""So many changes before an image are still to be had, for who has a version of then in memory."""
_CHANGES_MAX = 100
"""After so many changes there is an image, however small they are: a process that begins reads all of
them."""
_SMALL = 1 << 16
"""So many bytes of changes are no reason for an image."""
_KEPT = 2
"""Versions of a partition that a process keeps: the newest, and the one that a batch which failed begins with
again."""


class StoredFile(NamedTuple):
    """A file as it was written."""

    name: str
    size: int
    digest: bytes


class Step(NamedTuple):
    """The files of a version: what made it of the one before, or all of it, or both."""

    name: str
    change: StoredFile | None
    image: StoredFile | None

    @property
    def files(self) -> list[StoredFile]:
        return [file for file in (self.change, self.image) if file is not None]


Steps = tuple[Step, ...]
"""The way to a version, the last of them."""


class Form(Protocol[T]):
    """How a table lies in memory. No method changes one."""

    shares: bool
    """Whether a version and the one that follows take no more memory than one of them."""

    def of(self, image: TableChange) -> T:
        """A table that was saved."""

    def followed(self, held: T, change: TableChange) -> T:
        """What a change makes of it."""

    def nbytes(self, held: T) -> int:
        """How much memory it takes."""


class Versioned:
    """As :class:`~penstock.state.Version`. ``expires``: somebody will ask which keys have had no news for
    long."""

    shares = True

    def __init__(self, *, expires: bool) -> None:
        self._expires = expires

    def of(self, image: TableChange) -> Version:
        return version_of(image, expires=self._expires)

    def followed(self, held: Version, change: TableChange) -> Version:
        try:
            return held.followed_by(change)
        except RowTypeError:  # it has become one of Python objects
            return self.of(changed([held.image(), change], close=False))

    def nbytes(self, held: Version) -> int:
        return held.nbytes


def version_of(image: TableChange, *, expires: bool) -> Version:
    """The version that was saved: in columns, if it was."""
    if all(isinstance(chunk, Columns) for chunk in image.entries):
        try:
            return ColumnVersion.of_image(image, expires=expires)
        except (*REFUSALS, RowTypeError):
            pass
    return RowVersion.of_image(image, expires=expires)


class Listed:
    """Pairs in chunks, without holes."""

    shares = False

    def of(self, image: TableChange) -> Sequence[Chunk]:
        return list(changed([image], close=True).entries)

    def followed(self, held: Sequence[Chunk], change: TableChange) -> Sequence[Chunk]:
        return list(changed([whole(held), change], close=True).entries)

    def nbytes(self, held: Sequence[Chunk]) -> int:
        return sum(chunk.nbytes for chunk in held)


class _Kept:
    """The newest versions of a partition, by their names."""

    def __init__(self) -> None:
        self.versions: OrderedDict[str, tuple[Any, int]] = OrderedDict()
        self.nbytes = 0


class CachedTables:
    """What a process has in memory of the tables that lie in files. On any thread."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, int], _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, place: tuple[str, int], steps: Steps) -> tuple[int, Any] | None:
        """The newest version on the way that is there, and its place on it."""
        with self._lock:
            kept = self._kept.get(place)
            if kept is None:
                return None
            self._kept.move_to_end(place)
            for at in range(len(steps) - 1, -1, -1):
                found = kept.versions.get(steps[at].name)
                if found is not None:
                    kept.versions.move_to_end(steps[at].name)
                    return at, found[0]
        return None

    def keep(self, place: tuple[str, int], name: str, held: Any, form: Form[Any], most_bytes: int) -> None:
        """Keep a version, instead of those of all partitions that nobody has asked for longest."""
        nbytes = form.nbytes(held)
        with self._lock:
            kept = self._kept.setdefault(place, _Kept())
            self._kept.move_to_end(place)
            kept.versions[name] = held, nbytes
            kept.versions.move_to_end(name)
            while len(kept.versions) > _KEPT:
                kept.versions.popitem(last=False)
            sizes = [size for _, size in kept.versions.values()]
            kept.nbytes = max(sizes) if form.shares else sum(sizes)
            while sum(each.nbytes for each in self._kept.values()) > most_bytes and self._kept:
                self._kept.popitem(last=False)

    def clear(self) -> None:
        """Forget all, as a process does that ends."""
        with self._lock:
            self._kept.clear()

    def __len__(self) -> int:
        return len(self._kept)


cached_tables = CachedTables()
"""Those of this process."""


class TableFiles(Generic[T]):
    """The files of one operator's tables, in a directory that all processes reach. Can be pickled.

    ``most_bytes``: how much memory a process may keep of the tables of all operators.
    """

    def __init__(self, storage: Storage, directory: str, form: Form[T], most_bytes: int) -> None:
        self.storage = storage
        self.directory = directory
        self.form = form
        self._most_bytes = most_bytes

    def load(self, partition: int, steps: Steps, *, keep: bool = True) -> T:
        """The version that is the last of these; not to be changed. Raises: ``StateError`` if its files are
        not there, or not what was written."""
        place = (self.directory, partition)
        found = cached_tables.find(place, steps)
        at = self._image_instead(steps, None if found is None else found[0])
        if at is not None:
            image = steps[at].image
            assert image is not None
            held = self.form.of(self._read(image))
        else:
            assert found is not None
            at, held = found
        for step in steps[at + 1 :]:
            assert step.change is not None
            held = self.form.followed(held, self._read(step.change))
        if keep and (found is None or found[0] < len(steps) - 1):
            cached_tables.keep(place, steps[-1].name, held, self.form, self._most_bytes)
        return held

    @staticmethod
    def _image_instead(steps: Steps, known: int | None) -> int | None:
        """From which image to read; ``None`` if from the version which is known."""
        size, least, best = 0, None, None
        for at in range(len(steps) - 1, -1, -1):
            step = steps[at]
            if at == known and (least is None or size <= least):
                return None
            if step.image is not None and (least is None or size + step.image.size < least):
                least, best = size + step.image.size, at
            if step.change is None:
                break
            size += step.change.size
        assert best is not None, "a way without a beginning"
        return best

    def save(
        self,
        partition: int,
        before: Steps,
        time: int,
        held: T,
        change: TableChange | None,
        image: Callable[[], TableChange],
        *,
        keep: bool = True,
    ) -> Steps:
        """Write the version of a batch, which ``change`` makes of the one before; ``None``: nobody knows, and
        it is written whole. The way to it."""
        name = f"{partition:05d}-{time:013d}-{uuid.uuid4().hex}"
        changes = (
            None if change is None or change.whole or not before else self._write(f"{name}.change", change)
        )
        all_of_it = None
        if changes is None or _wants_image(before, changes.size):
            all_of_it = self._write(f"{name}.image", image())
        way = _trimmed(before) if changes is not None else ()
        steps = (*way, Step(name, changes, all_of_it))
        if keep:
            cached_tables.keep((self.directory, partition), name, held, self.form, self._most_bytes)
        return steps

    def change(self, steps: Steps, before: Steps) -> TableChange | None:
        """What made a version of the one before; ``None`` if nobody knows that."""
        last = steps[-1].change
        if last is None or not before or len(steps) < 2 or steps[-2].name != before[-1].name:
            return None
        return self._read(last)

    def image(self, steps: Steps) -> TableChange:
        """All of a version, from the files alone."""
        begin = max(at for at, step in enumerate(steps) if step.image is not None)
        first = steps[begin].image
        assert first is not None
        changes = [self._read(step.change) for step in steps[begin + 1 :] if step.change is not None]
        return changed([self._read(first), *changes], close=False)

    def _write(self, name: str, change: TableChange) -> StoredFile:
        parts: list[Any] = []
        head = change_out(change, parts)
        data = PREAMBLE + framed({"kind": "table", **head}, parts)
        try:
            self.storage.write_atomic(join(self.directory, name), data, durable=True)
        except FileNotFoundError as error:
            raise StateError(
                f"{self.storage.url(self.directory)}, where state is kept, is not there for the process that "
                f"has to write into it. {_SHARED}"
            ) from error
        return StoredFile(name, len(data), _digest(data))

    def _read(self, file: StoredFile) -> TableChange:
        path = join(self.directory, file.name)
        try:
            data = self.storage.read(path)
        except FileNotFoundError as error:
            raise StateError(f"{self.storage.url(path)}, which holds state, is gone. {_SHARED}") from error
        if len(data) != file.size or _digest(data) != file.digest:
            raise StateError(f"{self.storage.url(path)} does not hold the state that was written there")
        (frame,) = Frames(data, self.storage.url(path))
        return change_in(frame.head, frame.parts, _trusted)


def time_of(name: str) -> int:
    """The batch time of a file, also of one that was not written to its end.

    >>> time_of("00003-0000000061000-c38be12d7a24.image"), time_of(".00003-0000000061000-c38be1.image.tmp")
    (61000, 61000)
    """
    return int(name.split("-")[1])


def _wants_image(before: Steps, nbytes: int) -> bool:
    """Whether reading the changes since the last image is more than reading another one."""
    count = 1
    for step in reversed(before):
        if step.image is not None:
            return nbytes > max(_SMALL, step.image.size) or count >= _CHANGES_MAX
        assert step.change is not None
        nbytes += step.change.size
        count += 1
    return True


def _trimmed(steps: Steps) -> Steps:
    """Without what nobody needs: the steps long before the last image."""
    last = max(at for at, step in enumerate(steps) if step.image is not None)
    return steps[max(0, last - _BEFORE) :]


def _trusted() -> None:
    """What the file holds has the digest of what a task of this program wrote."""


def _digest(data: bytes) -> bytes:
    import hashlib  # slow to import, and not every program keeps state

    return hashlib.blake2b(data, digest_size=16).digest()


_SHARED = (
    "Hint: sc.setCheckpointDir and ssc.checkpoint need a directory that the driver and all workers share, "
    "such as one of NFS, or s3://...; with penstock.state.home=driver the driver alone needs it."
)
