"""Feed a file into a directory of any storage, part by part: ``s3://bucket/in``, ``memory://in``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count, islice
from pathlib import Path, PurePosixPath

from penstock.brokerage.feed import Fed, Pace, Part, feed, part_name, part_number
from penstock.clock import Clock
from penstock.errors import ArgumentError, StorageError
from penstock.storage import LocalStorage, Storage, join, storage_for

__all__ = ["feed_files"]


def feed_files(
    file: str | Path,
    location: str,
    lines: int = 10_000,
    every_s: float = 3.0,
    *,
    clock: Clock | None = None,
    skip_lines: int = 0,
    on_progress: Callable[[Part], object] | None = None,
    stop: threading.Event | None = None,
) -> Fed:
    r"""As :func:`feed`, into a path or any URL of a storage; a part is held in memory.

    A part appears whole, with one upload that the store refuses if the name is taken, so two feeds never
    write the same name. Raises ``UnsupportedError`` for a store that cannot promise that.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     _ = Path(home, "orders.txt").write_bytes(b"a\nb\nc\n")
    ...     print(feed_files(Path(home, "orders.txt"), "memory://fed", lines=2, every_s=0))
    Fed(part_count=2, line_count=3, finished=True)
    >>> sc.wholeTextFiles("memory://fed").values().collect()
    ['a\nb\n', 'c\n']
    """
    storage, directory = storage_for(location)
    if isinstance(storage, LocalStorage):
        return feed(
            file,
            directory,
            lines,
            every_s,
            clock=clock,
            skip_lines=skip_lines,
            on_progress=on_progress,
            stop=stop,
        )
    if lines < 1:
        raise ArgumentError(f"lines must be 1 or more, not {lines}")
    stop = stop or threading.Event()
    pace = Pace(every_s, clock, stop)
    part_count = line_count = 0
    with open(file, "rb") as source:
        number = _next_number(storage, directory)
        for _ in islice(source, skip_lines):
            pass
        while part := list(islice(source, lines)):
            if not pace.wait():
                return Fed(part_count, line_count, finished=False)
            data = b"".join(part)
            path, number = _placed(storage, directory, number, data)
            part_count += 1
            line_count += len(part)
            if on_progress is not None:
                on_progress(Part(PurePosixPath(path), len(part), len(data)))
    return Fed(part_count, line_count, finished=True)


def _next_number(storage: Storage, directory: str) -> int:
    try:
        storage.makedirs(directory)
        return part_number(storage.list_names(directory).files)
    except FileNotFoundError:  # of stores that know no directories: nothing is there yet
        return 0
    except (FileExistsError, NotADirectoryError):
        raise StorageError(f"{storage.url(directory)} is not a directory") from None


def _placed(storage: Storage, directory: str, first: int, data: bytes) -> tuple[str, int]:
    """Put the data under the first free number from ``first`` on; the path, and the number after."""
    for number in count(first):
        path = join(directory, part_name(number, storage.url(directory)))
        if storage.create_if_absent(path, data, durable=True):
            return path, number + 1
    raise AssertionError("count() ended")
