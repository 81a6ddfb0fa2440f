"""Files that tasks write where they are computed: each attempt under a name of its own, of which one counts.

::

    .out.<unique>.tmp/part-00000.<attempt>     a task that was given up, or is still at it
                      part-00000.<attempt>  -> put in place by the program, which has its name from the
                                               attempt that the executor says is the one

Whatever else is there is removed with the directory. An attempt that comes later finds no directory, so a
task that is tried again, or twice at a time, neither doubles nor mixes an output.
"""

from __future__ import annotations

import contextlib
import logging
import os
from types import TracebackType
from typing import BinaryIO, Self

from penstock.errors import StateError
from penstock.storage import Storage, join, temporary_path

__all__ = ["Attempts", "Desk"]

_log = logging.getLogger(__name__)


class Desk:
    """Where tasks write. It travels with them; what they may not reach, as on a disk that only the program's
    machine has, is not :attr:`there`."""

    def __init__(self, storage: Storage, directory: str, *, durable: bool) -> None:
        self._storage = storage
        self._directory = directory
        self._durable = durable

    @property
    def there(self) -> bool:
        """Whether it can be reached, and is wanted still."""
        return self._storage.exists(self._directory)

    def name(self, of: str) -> str:
        """That of an attempt at a file."""
        return f"{of}.{os.urandom(8).hex()}"

    def open(self, name: str) -> BinaryIO:
        """A new file; the caller closes it."""
        return self._storage.open_write(join(self._directory, name), durable=self._durable)

    def remove(self, name: str) -> None:
        """Remove what nobody will ask for, if it is there; the end of the program's work does so too."""
        with contextlib.suppress(OSError):
            self._storage.remove(join(self._directory, name))


class Attempts:
    """The desk of one output, beside ``path``; made when :meth:`desk` is first called, and removed at the end
    of the ``with`` statement."""

    def __init__(self, storage: Storage, path: str, *, durable: bool) -> None:
        self._storage = storage
        self._directory = temporary_path(path)
        self._durable = durable
        self._made = False

    @property
    def possible(self) -> bool:
        """Whether the store can do it: files are renamed, in other processes it is the same."""
        return self._storage.atomic_rename and not self._storage.of_this_process

    def desk(self) -> Desk:
        """For tasks; from now on they may write."""
        if not self._made:
            self._made = True
            self._storage.makedirs(self._directory)
        return Desk(self._storage, self._directory, durable=self._durable)

    def take(self, attempt: str, path: str, size: int) -> None:
        """Put the file of an attempt, of so many bytes, where it belongs."""
        source = join(self._directory, attempt)
        found = self._storage.stat(source).size
        if found != size:
            raise StateError(
                f"{self._storage.url(source)} has {found} bytes, and the task that wrote it says {size}. "
                f"Hint: the file system must show all hosts the same."
            )
        self._storage.rename_file(source, path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._made:
            return
        try:
            self._storage.remove_tree(self._directory)
        except OSError as problem:  # such as of an attempt that was just beginning
            _log.warning("%s could not be removed: %s", self._storage.url(self._directory), problem)
