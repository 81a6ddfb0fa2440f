"""A directory in the making: its files are written out of sight, and it is put in place as a whole.

At every moment, and whenever the writer dies, a reader finds at the final path no directory that counts
or a whole one with its marker (``_SUCCESS``). How depends on the store:

**Renaming** (local files)::

    .out.<unique>.tmp/part-00000 ...      written
    .out.<unique>.tmp/_SUCCESS            the marker, last
    out  ->  .out.replaced-1              what was there, if it has to make way
    .out.<unique>.tmp  ->  out            one step

**Marking** (object stores, which cannot rename a directory)::

    out/...  ->  .out.replaced-1/...      what was there, if it has to make way, its marker first
    out/part-00000 ...                    written where they belong; without a marker they do not count
    out/_SUCCESS                          the marker, last

What dies on the way leaves a temporary, which ``clean_leftovers`` removes, or, where marking, parts without
a marker, which the next attempt moves aside. Nothing that somebody else put there is ever deleted. Two
writers of the same directory are kept apart by renaming; marking needs that there is only one.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from functools import cache
from types import TracebackType
from typing import BinaryIO, Literal

from penstock.errors import OutputExists
from penstock.storage.base import Storage, join, name_of, parent_of
from penstock.storage.temporaries import temporary_path

__all__ = ["MARKER", "Existing", "Outcome", "StagedDirectory", "is_complete"]

MARKER = "_SUCCESS"
"""The file that says that a directory is whole; the name is Hadoop's."""

Existing = Literal["error", "keep", "aside"]
"""What to do with what is there: raise, leave it and drop the new one, or move it out of the way."""

Outcome = Literal["placed", "kept", "replaced"]
"""What :meth:`StagedDirectory.commit` did: put in place, nothing, or put in place of something."""

_logger = logging.getLogger(__name__)


def is_complete(storage: Storage, directory: str, marker_name: str = MARKER) -> bool:
    """Whether the directory carries its marker."""
    return storage.exists(join(directory, marker_name))


class StagedDirectory:
    """One attempt at writing the directory ``final``, which is made with what is missing above it.

    ``existing`` is asked if ``final`` is there and not empty: ``"error"`` raises ``OutputExists``, a
    function is given the path and answers :data:`Existing`. It is asked when the directory is put in place
    or, on a store that marks, before anything is written. With ``durable`` all of it outlives a loss of
    power once :meth:`commit` has returned. As a context manager it aborts unless it was committed.

    ``ahead`` names files that will be opened, the marker too if it likes: on a store that renames, where
    nobody sees them, they are made on a thread beside the caller, who goes on computing what to write. Making
    a file may cost a good part of a millisecond. What fails there, :meth:`open` raises.

    >>> import tempfile
    >>> from penstock.storage.local import LocalStorage
    >>> final = tempfile.mkdtemp() + "/out"
    >>> with StagedDirectory(LocalStorage(), final) as staged:
    ...     with staged.open("part-00000") as file:
    ...         _ = file.write(b"one line")
    ...     staged.commit()
    'placed'
    >>> [info.name for info in LocalStorage().list_directory(final)]
    ['_SUCCESS', 'part-00000']
    """

    def __init__(
        self,
        storage: Storage,
        final: str,
        *,
        existing: Literal["error"] | Callable[[str], Existing] = "error",
        durable: bool = False,
        ahead: Sequence[str] = (),
    ) -> None:
        self._storage = storage
        self._final = final
        self._existing = existing
        self._durable = durable
        self._ended = False
        self._marker: str | None = None  # its path, once it may be there
        if storage.atomic_rename:
            if existing == "error":
                self._make_way()  # asked early, so that the work is not done in vain
            self._way: Outcome | None = None
            self._directory = temporary_path(final)
        else:
            self._way = self._make_way()
            self._directory = temporary_path(final) if self._way == "kept" else final
        if durable:
            storage.makedirs(parent_of(final), durable=True)
        storage.makedirs(self._directory)
        self._making = _beside(lambda: self._made(ahead)) if ahead and storage.atomic_rename else None

    @property
    def directory(self) -> str:
        """Where the parts are written; for writers in other processes, which know the storage only."""
        return self._directory

    def open(self, name: str) -> BinaryIO:
        """A new file of the directory. The caller closes it, before the commit. Any thread may call."""
        assert "/" not in name, "a staged directory is flat"
        assert not self._ended, "committed or aborted already"
        made = None
        if self._making is not None:
            error = self._making.exception()
            if error is not None:  # a copy for each thread that asks, to note down where it was
                raise copy(error) from error
            made = self._making.result().pop(name, None)
        return self._opened(name) if made is None else made

    def put(self, name: str, rename: Callable[[str], None]) -> None:
        """Have a file that is elsewhere in the same store become one of the directory, as :meth:`open` makes
        one: ``rename`` is given the path where it is to be."""
        assert self._storage.atomic_rename, "a store that cannot rename"
        path = join(self._directory, name)
        if self._making is not None and self._making.exception() is None:
            made = self._making.result().pop(name, None)
            if made is not None:
                made.close()
                self._storage.remove(path)
        rename(path)

    def _made(self, names: Sequence[str]) -> dict[str, BinaryIO]:
        """Open files of the directory."""
        made: dict[str, BinaryIO] = {}
        try:
            for name in names:
                made[name] = self._opened(name)
        except BaseException:
            _closed(made)
            raise
        return made

    def _opened(self, name: str) -> BinaryIO:
        return self._storage.open_write(join(self._directory, name), durable=self._durable)

    def commit(self, marker_name: str = MARKER, marker_content: bytes = b"") -> Outcome:
        """Write the marker and put the directory in place; all files must be closed.

        After an error the directory may be in place, whole, or not; :meth:`abort` then tidies up, and
        another attempt whose ``existing`` keeps what is complete settles it.
        """
        assert not self._ended, "committed or aborted already"
        if self._storage.atomic_rename:
            outcome = self._commit_by_renaming(marker_name, marker_content)
        else:
            outcome = self._commit_by_marking(marker_name, marker_content)
        self._ended = True
        return outcome

    def leave_out(self) -> None:
        """Put nothing in place, but let what is there make way as for a commit; then :meth:`abort`."""
        if self._storage.atomic_rename:
            self._make_way()
        self.abort()

    def abort(self) -> None:
        """Remove what was written, unless it is in place already. Again, or after the commit: nothing."""
        if self._ended:
            return
        if self._making is not None and self._making.exception() is None:
            _closed(self._making.result())
        in_place = self._directory == self._final and self._marker and self._storage.exists(self._marker)
        if not in_place:
            self._storage.remove_tree(self._directory)
        self._ended = True

    def __enter__(self) -> StagedDirectory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.abort()
        except OSError as problem:
            if error is None:
                raise
            error.add_note(f"and {self._directory} could not be removed: {problem}")

    def _commit_by_renaming(self, marker_name: str, content: bytes) -> Outcome:
        with self.open(marker_name) as marker:
            marker.write(content)
        assert self._making is None or not self._making.result(), "a file was to be written and was not"
        if self._durable:
            self._storage.sync_directory(self._directory)
        outcome = self._make_way()
        if outcome == "kept":
            self._storage.remove_tree(self._directory)
            return outcome
        self._storage.rename_directory(self._directory, self._final)
        if self._durable:
            self._storage.sync_directory(parent_of(self._final))
        return outcome

    def _commit_by_marking(self, marker_name: str, content: bytes) -> Outcome:
        assert self._way is not None
        if self._way == "kept":
            self._storage.remove_tree(self._directory)
        else:
            self._marker = join(self._final, marker_name)
            self._storage.write_atomic(self._marker, content, durable=self._durable)
        return self._way

    def _make_way(self) -> Outcome:
        """See to what is at the final path, so that a directory can be put there, or is not to be."""
        if not self._is_occupied():
            return "placed"
        decision = self._existing(self._final) if callable(self._existing) else self._existing
        if decision == "keep":
            return "kept"
        if decision == "error":
            raise OutputExists(
                f"{self._storage.url(self._final)} exists already. Hint: choose another name, or remove it."
            )
        aside = self._free_name()
        self._storage.rename_directory(self._final, aside)
        _logger.warning(
            "%s was there already and is no complete output of this run: moved to %s",
            self._storage.url(self._final),
            self._storage.url(aside),
        )
        return "replaced"

    def _is_occupied(self) -> bool:
        try:
            return bool(self._storage.list_directory(self._final))
        except FileNotFoundError:
            return False
        except NotADirectoryError:
            raise OutputExists(f"{self._storage.url(self._final)} is a file, not a directory") from None

    def _free_name(self) -> str:
        count = 1
        name = name_of(self._final)
        while self._storage.exists(path := join(parent_of(self._final), f".{name}.replaced-{count}")):
            count += 1
        return path


def _closed(files: dict[str, BinaryIO]) -> None:
    """Close files that nobody wants any more, whatever they say to it."""
    while files:
        with contextlib.suppress(OSError):
            files.popitem()[1].close()


def _beside(make: Callable[[], dict[str, BinaryIO]]) -> Future[dict[str, BinaryIO]]:
    try:
        return _thread(os.getpid()).submit(make)
    except RuntimeError:  # the interpreter is about to end, and begins nothing any more
        made: Future[dict[str, BinaryIO]] = Future()
        try:
            made.set_result(make())
        except BaseException as error:
            made.set_exception(error)
        return made


@cache
def _thread(process: int) -> ThreadPoolExecutor:
    """One for all, by process: a fork has no threads."""
    return ThreadPoolExecutor(1, thread_name_prefix="penstock-staging")
