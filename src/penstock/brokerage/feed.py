"""Feed a file into a directory, part by part, as if its lines arrived while time passes.

This is the chapter's ``splitAndSend.sh``, for a directory that a file stream watches. A part appears
whole or not at all: it is written under a hidden name inside the directory (on the same file system,
wherever the source lies), which the file stream does not look at, and then renamed::

    .orders-00007.txt.tmp   --written, fsync-->   --renamed-->   orders-00007.txt

The names sort in the order of the lines. A directory that holds such names already is fed on under
the next number, so an earlier feed is never overwritten. The hidden name is also a lock: it is
created only if absent, and whoever holds it may use the number, so that two feeds into one directory
never write the same name. A hidden file left by a feed that was killed costs one unused number.
"""

from __future__ import annotations

import math
import os
import re
import threading
from collections.abc import Callable, Iterable
from itertools import chain, count, islice
from pathlib import Path, PurePath
from typing import BinaryIO, Final, NamedTuple

from penstock.clock import Clock, SystemClock
from penstock.errors import ArgumentError, StorageError

__all__ = ["Fed", "Pace", "Part", "feed", "part_name", "part_number"]


class Part(NamedTuple):
    """One part that is in place: its path, and how many lines and bytes it holds.

    >>> Part(Path("in/orders-00000.txt"), 10_000, 431_000).path.name
    'orders-00000.txt'
    """

    path: PurePath
    line_count: int
    byte_count: int


class Fed(NamedTuple):
    """What a feed did: parts and lines put in place; ``finished`` is false if it was stopped before the end.

    >>> Fed(part_count=50, line_count=500_000, finished=True).finished
    True
    """

    part_count: int
    line_count: int
    finished: bool


class Pace:
    """When the next part may come: the first at once, the others one every ``every_s``; all at once with 0.

    A part that comes late (the machine slept) delays those after it: they never catch up in a burst.
    Raises ``ArgumentError`` for a number that is none of seconds.

    >>> Pace(0).wait()
    True
    """

    def __init__(
        self, every_s: float, clock: Clock | None = None, stop: threading.Event | None = None
    ) -> None:
        if not (math.isfinite(every_s) and every_s >= 0):
            raise ArgumentError(f"every_s must be a number of seconds, 0 or more, not {every_s}")
        self._every_ms = round(every_s * 1000)
        self._clock = clock or SystemClock()
        self._stop = stop or threading.Event()
        self._due_ms: int | None = None

    def wait(self) -> bool:
        """Wait until the next part may come; false if it is time to stop."""
        if self._due_ms is None:
            self._due_ms = self._clock.now_ms()
        elif self._every_ms:
            self._due_ms = max(self._due_ms + self._every_ms, self._clock.now_ms())
            self._clock.wait_until(self._due_ms, self._stop)
        return not self._stop.is_set()


def feed(
    file: str | Path,
    directory: str | Path,
    lines: int = 10_000,
    every_s: float = 3.0,
    *,
    clock: Clock | None = None,
    skip_lines: int = 0,
    on_progress: Callable[[Part], object] | None = None,
    stop: threading.Event | None = None,
) -> Fed:
    r"""Split ``file`` into parts of ``lines`` lines and put them into ``directory``, one every ``every_s``.

    The first part comes at once, as do all with ``every_s=0``. A part that comes late (the machine
    slept) delays those after it: they never catch up in a burst. Lines end at ``\n`` only, their bytes
    are unchanged, and a last line without a line end keeps none; the last part may be shorter. The file
    is read as it is fed, so it may be larger than memory. The directory is created if it is missing.

    The first ``skip_lines`` lines are left out, as somebody has fed them already.

    ``clock`` is the system's by default. ``on_progress`` is called after each part. Setting ``stop``
    ends the feed between two parts, at once if it waits. Any exception, ``KeyboardInterrupt``
    included, removes the part that was being written and leaves those in place.

    Raises ``ArgumentError`` for numbers out of range, ``StorageError`` if ``directory`` is not one or
    has used up its 100,000 names, and other ``OSError`` as the file system does.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     file, directory = Path(home, "orders.txt"), Path(home, "in")
    ...     _ = file.write_bytes(b"a\nb\nc\n")
    ...     print(feed(file, directory, lines=2, every_s=0))
    ...     print(sorted((part.name, part.read_bytes()) for part in directory.iterdir()))
    Fed(part_count=2, line_count=3, finished=True)
    [('orders-00000.txt', b'a\nb\n'), ('orders-00001.txt', b'c\n')]
    """
    if lines < 1:
        raise ArgumentError(f"lines must be 1 or more, not {lines}")
    stop = stop or threading.Event()
    pace = Pace(every_s, clock, stop)
    directory = Path(directory)
    part_count = line_count = 0
    with open(file, "rb") as source:  # before the directory is made: a wrong name leaves nothing behind
        _made(directory)
        number = part_number(os.listdir(directory))
        for _ in islice(source, skip_lines):
            pass
        line = source.readline()
        while line:
            if not pace.wait():
                return Fed(part_count, line_count, finished=False)
            part, number = _placed(chain([line], islice(source, lines - 1)), directory, number)
            part_count += 1
            line_count += part.line_count
            if on_progress is not None:
                on_progress(part)
            line = source.readline()
    return Fed(part_count, line_count, finished=True)


_NUMBER_END: Final = 100_000  # one more digit, and names no longer sort by number
_NAME: Final = re.compile(r"orders-([0-9]{5})\.txt", re.ASCII)


def part_name(number: int, directory: object) -> str:
    """The name of a part. ``StorageError``, about the directory, if there are no more.

    >>> part_name(7, "in")
    'orders-00007.txt'
    """
    if number >= _NUMBER_END:
        raise StorageError(
            f"{directory} has used up its names, orders-00000.txt to orders-{_NUMBER_END - 1}.txt. "
            "Hint: feed an empty directory, or larger parts."
        )
    return f"orders-{number:05}.txt"


def part_number(names: Iterable[str]) -> int:
    """The number after that of the last part among these names, or 0.

    >>> part_number(["orders-00007.txt", "orders-8.txt", "other.txt"]), part_number([])
    (8, 0)
    """
    found = map(_NAME.fullmatch, names)
    return max((int(match[1]) + 1 for match in found if match), default=0)


def _made(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise StorageError(f"{directory} is not a directory") from None


def _placed(lines: Iterable[bytes], directory: Path, first: int) -> tuple[Part, int]:
    """Write ``lines`` under the first free number from ``first`` on; return the part and the number after."""
    for number in count(first):
        final = directory / part_name(number, directory)
        temporary = directory / f".{final.name}.tmp"
        file = _created(temporary)
        if file is None:  # another feed has this number
            continue
        try:
            with file:
                if final.exists():  # only now, with the lock in hand, is the answer good
                    temporary.unlink()
                    continue
                line_count = byte_count = 0
                for line in lines:
                    file.write(line)
                    line_count += 1
                    byte_count += len(line)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, final)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return Part(final, line_count, byte_count), number + 1
    raise AssertionError("count() ended")


def _created(path: Path) -> BinaryIO | None:
    """The file, new and open to write; ``None`` if it is there already."""
    try:
        return open(path, "xb")
    except FileExistsError:
        return None
