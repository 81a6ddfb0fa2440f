"""The contract of a directory sink: partitions written side by side, then put in place as one."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, Literal, Protocol, TypeVar

from penstock.chunk import Chunk
from penstock.plan import Node, Task
from penstock.storage import MARKER, Existing, StagedDirectory, Storage, join, storage_for

__all__ = ["Jobs", "Placing", "write_directory"]

T = TypeVar("T")

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


class _Measured:
    """A file on its way out: counts and checksums what is written, and says where writing failed."""

    __slots__ = ("bytes", "crc", "file", "name")

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.file = file
        self.name = name
        self.bytes = 0
        self.crc = 0

    def write(self, data: bytes) -> None:
        with _naming(self.name):
            self.file.write(data)
        self.bytes += len(data)
        self.crc = zlib.crc32(data, self.crc)

    def close(self) -> None:
        with _naming(self.name):
            self.file.close()


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


def write_directory(
    jobs: Jobs,
    plan: Node,
    path: str,
    write: Callable[[Callable[[bytes], None], Iterator[Chunk]], None],
    *,
    extension: str = "",
    run_id: str = "",
    replace: bool = False,
    durable: bool = False,
) -> None:
    """Write each partition to ``path/part-00000<extension>``, ..., then ``path/_SUCCESS``, and put the
    directory in place.

    ``write(out, chunks)`` writes one partition. The marker is JSON: the ``run`` that wrote it, and of
    each part its bytes and CRC-32. If ``path`` is there: ``OutputExists``, or with ``replace`` it is left
    alone if this run has completed it already, and else moved aside (to a hidden name, never deleted).
    An error of the store names the file; whatever fails, what was at ``path`` is still there, whole.
    """
    storage, final = storage_for(path)
    placing: Placing = "error"
    if replace:
        placing = lambda found: "keep" if _complete_by(storage, found, run_id) else "aside"  # noqa: E731
    names = [f"part-{partition:05d}{extension}" for partition in range(plan.partitions)]
    ahead = [*names, MARKER] if len(names) <= _FEW_PARTS else []
    with StagedDirectory(storage, final, existing=placing, durable=durable, ahead=ahead) as staged:

        def write_part(task: Task, chunks: Iterator[Chunk]) -> tuple[str, dict[str, int]]:
            name = names[task.partition]
            measured = _Measured(staged.open(name), storage.url(join(final, name)))
            try:
                write(measured.write, chunks)
            except BaseException as error:
                try:
                    measured.close()
                except OSError as problem:
                    error.add_note(f"and {measured.name} could not be closed: {problem}")
                raise
            measured.close()
            return name, {"bytes": measured.bytes, "crc32": measured.crc}

        parts = dict(jobs.run(plan, write_part))
        marker = {"run": run_id, "parts": parts}
        staged.commit(MARKER, json.dumps(marker, sort_keys=True).encode())


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
