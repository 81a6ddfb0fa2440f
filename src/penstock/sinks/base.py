"""The contract of a directory sink: partitions written side by side, then put in place as one."""

from __future__ import annotations

import json
import logging
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any, BinaryIO, Literal, NamedTuple, Protocol, Self, TypeVar

from penstock.chunk import Chunk
from penstock.plan import Node, OnDriver, Task, Undone
from penstock.sinks.attempts import Attempts, Desk
from penstock.storage import (
    MARKER,
    Existing,
    StagedDirectory,
    Storage,
    clean_leftovers,
    join,
    parent_of,
    storage_for,
)

__all__ = [
    "Jobs",
    "Measured",
    "PartFormat",
    "Placing",
    "replace_directory",
    "save_directory",
    "write_directory",
]

T = TypeVar("T")

_log = logging.getLogger(__name__)

_FEW_PARTS = 8
"""Of so few parts the files are made while the first is being computed."""


class Jobs(Protocol):
    """Who runs the plan that is written; a ``Context``."""

    def run(
        self,
        plan: Node,
        action: Callable[[Task, Iterator[Chunk]], T],
        partitions: Sequence[int] | None = None,
    ) -> list[T]:
        """``action`` over the partitions."""


Placing = Callable[[str], Existing] | Literal["error"]
"""What to do where a directory is in the way."""


class Measured:
    """A file on its way out, made when the first bytes come: counts and checksums what is written, and says
    where writing failed."""

    __slots__ = ("_file", "_make", "bytes", "crc", "is_open", "name")

    def __init__(self, make: Callable[[], BinaryIO], name: str) -> None:
        self._make = make
        self._file: BinaryIO | None = None
        self.name = name
        self.is_open = False
        self.bytes = 0
        self.crc = 0

    def open(self) -> BinaryIO:
        if self._file is None:
            self._file = self._make()
            self.is_open = True
        return self._file

    def write(self, data: bytes) -> None:
        file = self.open()
        with _naming(self.name):
            file.write(data)
        self.bytes += len(data)
        self.crc = zlib.crc32(data, self.crc)

    def close(self) -> None:
        if self._file is not None:
            with _naming(self.name):
                self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            self.close()
        except OSError as problem:
            if error is None:
                raise
            error.add_note(f"and {self.name} could not be closed: {problem}")


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Put the name of the file into an error of the system, which does not say where writing failed."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = name
        else:
            error.add_note(f"while writing {name}")
        raise


class PartFormat(ABC):
    """How the records of one partition become one file."""

    extension: str
    """What the names of the files end with, the dot included."""

    leaves_out: bool = False
    """Whether a partition of which nothing is written has no file, rather than an empty one."""

    @abstractmethod
    def write(self, out: Callable[[bytes], None], chunks: Iterator[Chunk]) -> object:
        """Write one partition. What it returns, small, goes to :meth:`check`."""

    def prepared(self, jobs: Jobs, plan: Node) -> tuple[PartFormat, Node]:
        """What must be known of all partitions before the first is written; the format that knows it, and
        what it writes."""
        return self, plan

    def kind_of(self, found: Any) -> str:
        """What files must have in common so that they can be merged, by what :meth:`write` returned."""
        return ""

    def merged(self, kind: str, pieces: Sequence[bytes]) -> bytes:
        """Several files of a kind as one."""
        return b"".join(pieces)

    def check(self, found: Sequence[Any]) -> None:
        """Raise if the partitions do not go together; called before the directory is put in place."""


def save_directory(jobs: Jobs, plan: Node, path: str, format: PartFormat) -> None:
    """As :func:`write_directory`; ``OutputExists`` if ``path`` is there."""
    write_directory(jobs, plan, path, format)


def replace_directory(
    jobs: Jobs,
    plan: Node,
    path: str,
    format: PartFormat,
    *,
    run_id: str,
    durable: bool = False,
    skip_empty: bool = False,
) -> None:
    """As :func:`write_directory`; what is at ``path`` and not this run's makes way.

    The first time that a run writes beside ``path``, what runs that died there have left is removed.
    """
    _tidy_beside(path, run_id)
    write_directory(
        jobs, plan, path, format, run_id=run_id, replace=True, durable=durable, skip_empty=skip_empty
    )


def write_directory(
    jobs: Jobs,
    plan: Node,
    path: str,
    format: PartFormat,
    *,
    run_id: str = "",
    replace: bool = False,
    durable: bool = False,
    skip_empty: bool = False,
) -> None:
    """Write each partition to ``path/part-00000<extension>``, ..., then ``path/_SUCCESS``, and put the
    directory in place.

    The marker is JSON: the ``run`` that wrote it, and of each part its bytes and CRC-32. If ``path`` is
    there: ``OutputExists``, or with ``replace`` it is left alone if this run has completed it already, and
    else moved aside (to a hidden name, never deleted). With ``skip_empty`` nothing is put in place if there
    was no record; what is there makes way all the same. An error of the store names the file; whatever
    fails, what was at ``path`` is still there, whole.
    """
    storage, final = storage_for(path)
    placing: Placing = "error"
    if replace:
        placing = lambda found: "keep" if _complete_by(storage, found, run_id) else "aside"  # noqa: E731
    format, plan = format.prepared(jobs, plan)
    names = [f"part-{partition:05d}{format.extension}" for partition in range(plan.partitions)]
    ahead: list[str] = []
    if not format.leaves_out and not skip_empty and len(names) <= _FEW_PARTS:
        ahead = [*names, MARKER]
    attempts = Attempts(storage, final, durable=durable)
    with (
        StagedDirectory(storage, final, existing=placing, durable=durable, ahead=ahead) as staged,
        attempts,
    ):

        def write_part(task: Task, chunks: Iterator[Chunk]) -> _Written:
            name = names[task.partition]
            part = Measured(lambda: staged.open(name), storage.url(join(final, name)))
            return _written(format, name, part, chunks)

        def elsewhere() -> _PartElsewhere:
            return _PartElsewhere(attempts.desk(), names, storage.url(final), format)

        written = jobs.run(plan, OnDriver(write_part, elsewhere if attempts.possible else None))
        for each in written:
            if each.attempt:
                staged.put(each.name, partial(attempts.take, each.attempt, size=each.bytes))
        format.check([each.found for each in written])
        if skip_empty and not any(each.rows for each in written):
            staged.leave_out()
            return
        parts = {each.name: {"bytes": each.bytes, "crc32": each.crc} for each in written if each.there}
        marker = {"run": run_id, "parts": parts}
        staged.commit(MARKER, json.dumps(marker, sort_keys=True).encode())


class _Written(NamedTuple):
    name: str
    bytes: int
    crc: int
    there: bool
    rows: int
    found: object
    attempt: str = ""


def _written(format: PartFormat, name: str, part: Measured, chunks: Iterator[Chunk]) -> _Written:
    counted = _Counted(chunks)
    if not format.leaves_out:
        part.open()
    with part:
        found = format.write(part.write, counted)
    return _Written(name, part.bytes, part.crc, part.is_open, counted.rows, found)


class _PartElsewhere:
    """Writes a part in the process that computes it."""

    def __init__(self, desk: Desk, names: Sequence[str], url: str, format: PartFormat) -> None:
        self._desk = desk
        self._names = names
        self._url = url
        self._format = format

    def __call__(self, task: Task, chunks: Iterator[Chunk]) -> _Written | Undone:
        desk = self._desk
        if not desk.there:
            return Undone(list(chunks))
        name = self._names[task.partition]
        attempt = desk.name(name)
        part = Measured(lambda: desk.open(attempt), join(self._url, name))
        try:
            written = _written(self._format, name, part, chunks)
        except BaseException:
            desk.remove(attempt)
            raise
        return written._replace(attempt=attempt if written.there else "")


class _Counted:
    """Chunks on their way to a file, counted."""

    __slots__ = ("_chunks", "rows")

    def __init__(self, chunks: Iterator[Chunk]) -> None:
        self._chunks = chunks
        self.rows = 0

    def __iter__(self) -> Iterator[Chunk]:
        return self

    def __next__(self) -> Chunk:
        chunk = next(self._chunks)
        self.rows += len(chunk)
        return chunk


def _tidy_beside(path: str, run_id: str) -> None:
    storage, final = storage_for(path)
    if storage.atomic_rename:  # elsewhere parts are written where they belong
        _tidy_once(storage.url(parent_of(final)), run_id)


@lru_cache(maxsize=256)
def _tidy_once(directory: str, run_id: str) -> None:
    """One listing for each run and directory; a dead run leaves one temporary for each of its outputs."""
    try:
        removed = clean_leftovers(*storage_for(directory))
    except OSError as error:
        _log.warning("what dead runs left in %s could not be removed: %s", directory, error)
        return
    if removed:
        _log.info("removed what dead runs left in %s: %s", directory, ", ".join(removed))


def _complete_by(storage: Storage, directory: str, run_id: str) -> bool:
    """Whether this run has written the directory and it is whole."""
    try:
        marker: Any = json.loads(storage.read(join(directory, MARKER)))
        return (
            bool(run_id)
            and marker["run"] == run_id
            and all(
                storage.stat(join(directory, name)).size == part["bytes"]
                for name, part in marker["parts"].items()
            )
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
