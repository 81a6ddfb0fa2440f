"""The blocks of one receiver: numbered, durable if there is a log, and kept until their batches are over.

::

    store --> in line --commit--> stored --take--> in a batch --release--> over --forget--> gone
                        |                                        |
                        one write for all that are in line       no longer counts as waiting
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from penstock.errors import DataError
from penstock.sources.receivers.blocks import Block, Spill, drop_unwritable
from penstock.sources.receivers.received_log import ReceivedLog
from penstock.values import dataclass

__all__ = ["BlockStore", "Limits", "Line"]

_log = logging.getLogger(__name__)


class Line:
    """Blocks that wait to be stored, all or none. ``keep``: nobody waits for them, so they stay in line
    until it succeeds; else ``error`` says why it did not."""

    __slots__ = ("blocks", "done", "error", "keep")

    def __init__(self, blocks: Sequence[Block], *, keep: bool) -> None:
        self.blocks = blocks
        self.keep = keep
        self.done = False
        self.error: BaseException | None = None


@dataclass(frozen=True)
class Limits:
    """``memory`` bytes are kept in memory, further blocks in files if ``spills``; at ``waiting`` bytes of
    batches that are not over nothing more is taken in."""

    memory: int
    waiting: int
    spills: bool


class BlockStore:
    """Any thread may call. ``log`` is where blocks become durable, if they do."""

    def __init__(self, limits: Limits, log: ReceivedLog | None) -> None:
        self._limits = limits
        self._log = log
        self._spill = Spill()
        self._storing = threading.Lock()  # held while blocks are written: one write at a time
        self._changed = threading.Condition()  # of all that follows
        self._line: list[Line] = []
        self._stored: dict[int, Block] = {}  # by number
        self._next = 0  # number of the next block to be stored
        self._given = 0  # number of the first block that is in no batch
        self._merged: dict[str, Any] = {}  # the metadata of all blocks, the newest on top
        self._given_metadata: dict[str, Any] = {}  # of those that are in batches
        self._waiting_bytes = 0
        self._memory_bytes = 0
        self._hurried = False
        self._no_room_told = False

    # Going on

    def restore(self, given: int, metadata: Mapping[str, Any], blocks: Sequence[Block]) -> None:
        """Go on where an earlier run was: the blocks below ``given`` are in batches, with that metadata."""
        self._stored = {block.number: block for block in blocks}
        self._given = given
        self._next = max([given, *(number + 1 for number in self._stored)])
        self._given_metadata = dict(metadata)
        self._merged = dict(metadata)
        for block in blocks:
            if block.number >= given:
                self._merged.update(block.metadata)
        self._waiting_bytes = sum(block.nbytes for block in blocks)

    def keep_only(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Of the blocks in batches, those of these batches are needed."""
        needed = {number for first, stop in ranges for number in range(first, stop)}
        with self._changed:
            gone = [number for number in self._stored if number < self._given and number not in needed]
        self._forget(gone)

    # Taking in

    def reserve(self, nbytes: int, may_wait: Callable[[], bool]) -> None:
        """Wait until there is room for so much more, or as long as ``may_wait()``; a single piece always has
        room."""
        with self._changed:
            self._wait_for_room(nbytes, may_wait)
            self._waiting_bytes += nbytes

    def wait_for_room(self, nbytes: int, may_wait: Callable[[], bool]) -> None:
        """The same, for what is about to come, and may not: nothing is reserved."""
        with self._changed:
            self._wait_for_room(nbytes, may_wait)

    def _wait_for_room(self, nbytes: int, may_wait: Callable[[], bool]) -> None:
        while (
            self._waiting_bytes
            and self._waiting_bytes + nbytes > self._limits.waiting
            and not self._hurried
            and may_wait()
        ):
            self._changed.wait()

    def wake(self) -> None:
        """Let those look again who wait for room."""
        with self._changed:
            self._changed.notify_all()

    def hurry(self) -> None:
        """From here on nobody waits for room."""
        with self._changed:
            self._hurried = True
            self._changed.notify_all()

    def enqueue(self, blocks: Sequence[Block], *, keep: bool = False) -> Line:
        """Put blocks in line. Their bytes are reserved."""
        line = Line(blocks, keep=keep)
        with self._changed:
            self._line.append(line)
        return line

    @property
    def in_line(self) -> int:
        """How many lines there are, which is to say blocks but for those that are stored at once."""
        return len(self._line)

    def commit(self, line: Line | None = None) -> BaseException | None:
        """Store all that is in line; what kept it from being stored, if anything did. With a line: of that
        one alone, which another thread may have stored meanwhile."""
        with self._storing:
            if line is not None and line.done:
                return line.error
            with self._changed:
                lines, self._line = self._line, []
            error = self._store(lines)
        return error if line is None else line.error

    def _store(self, lines: Sequence[Line]) -> BaseException | None:
        error = self._write(lines)
        if error is None:
            return None
        if _may_pass(error):
            self._put_back(lines, error)
            return error
        # Something has no form as bytes, and never will: it must not keep the others from being stored.
        problem: BaseException | None = None
        for at, line in enumerate(lines):
            error = self._write([line])
            if error is not None and line.keep and not _may_pass(error):
                problem = _without_unwritable(line, error)
                error = self._write([line])
            if error is not None and _may_pass(error):
                self._put_back(lines[at:], error)
                return error
            if error is not None:
                self._refuse(line, error)
                problem = problem or error
        return problem

    def _put_back(self, lines: Sequence[Line], error: BaseException) -> None:
        """They could not be stored now."""
        with self._changed:
            self._line[:0] = [line for line in lines if line.keep]
        for line in lines:
            if not line.keep:
                self._refuse(line, error)

    def _refuse(self, line: Line, error: BaseException) -> None:
        """It will not be stored."""
        with self._changed:
            line.done, line.error = True, error
            self._waiting_bytes -= sum(block.nbytes for block in line.blocks)
            self._changed.notify_all()

    def _write(self, lines: Sequence[Line]) -> BaseException | None:
        """Store lines, all or none; what kept them from it."""
        blocks = [block for line in lines for block in line.blocks]
        if not blocks:
            return None
        try:
            for number, block in enumerate(blocks, self._next):
                block.number = number
            if self._log is not None:
                self._log.append(blocks)
        except Exception as error:
            return error
        self._make_room(blocks)
        with self._changed:
            for block in blocks:
                self._stored[block.number] = block
                self._merged.update(block.metadata)
            self._next += len(blocks)
            for line in lines:
                line.done = True
        return None

    def _make_room(self, blocks: Sequence[Block]) -> None:
        """Of new blocks those stay in memory for which there is room."""
        for block in blocks:
            if self._memory_bytes + block.nbytes > self._limits.memory:
                if block.place is None and self._limits.spills:
                    try:
                        block.place = self._spill.write(block)
                    except Exception as error:  # no room, or a record that has no form as bytes
                        if not self._no_room_told:
                            _log.warning("received blocks stay in memory, they cannot be put by: %s", error)
                        self._no_room_told = True
                if block.place is not None:
                    block.chunks = None
                    continue
            with self._changed:
                self._memory_bytes += block.nbytes

    # Giving out

    def take(self) -> list[Block]:
        """The blocks that are stored, and in no batch; from here on they are in one."""
        with self._changed:
            found = [self._stored[number] for number in range(self._given, self._next)
                     if number in self._stored]  # fmt: skip
            self._given = self._next
            for block in found:
                self._given_metadata.update(block.metadata)
        return found

    def blocks(self, first: int, stop: int) -> list[Block]:
        """Those of these numbers that are there."""
        with self._changed:
            return [self._stored[number] for number in range(first, stop) if number in self._stored]

    def release(self, stop: int) -> None:
        """The batches of the blocks below a number are over."""
        with self._changed:
            for number, block in self._stored.items():
                if number < stop and not block.over:
                    block.over = True
                    self._waiting_bytes -= block.nbytes
            self._changed.notify_all()

    def forget(self, stop: int) -> None:
        """Nobody will read the blocks below a number again."""
        self.release(stop)
        with self._changed:
            gone = [number for number in self._stored if number < stop]
        self._forget(gone)

    def _forget(self, numbers: Sequence[int]) -> None:
        places = []
        with self._changed:
            for number in numbers:
                block = self._stored.pop(number)
                if not block.over:
                    self._waiting_bytes -= block.nbytes
                if block.chunks is not None:
                    self._memory_bytes -= block.nbytes
                if block.place is not None:
                    places.append(block.place)
            self._changed.notify_all()
        for place in places:
            place.forget()

    # What there is

    @property
    def waits(self) -> bool:
        """Whether anything is stored that is in no batch."""
        with self._changed:
            return any(number >= self._given for number in self._stored)

    @property
    def waiting_bytes(self) -> int:
        """Of what is taken in, and whose batches are not over."""
        with self._changed:
            return self._waiting_bytes

    @property
    def memory_bytes(self) -> int:
        """Of the blocks that are held in memory."""
        with self._changed:
            return self._memory_bytes

    @property
    def given(self) -> tuple[int, dict[str, Any]]:
        """The number of the first block that is in no batch, and the metadata of all before."""
        with self._changed:
            return self._given, dict(self._given_metadata)

    @property
    def metadata(self) -> dict[str, Any]:
        """That of all blocks, the newest on top."""
        with self._changed:
            return dict(self._merged)

    def close(self) -> None:
        """Give all files back. What has not been stored is lost."""
        self.hurry()
        with self._storing:
            lost = sum(block.records for line in self._line for block in line.blocks)
            if lost:
                _log.error("%d records that were received could not be stored, and are lost", lost)
            self._spill.close()
            if self._log is not None:
                self._log.close()


def _may_pass(error: BaseException) -> bool:
    """Whether what could not be written may be another time."""
    return isinstance(error, (OSError, MemoryError))


def _without_unwritable(line: Line, error: BaseException) -> BaseException:
    """Leave out what cannot be written; what there is to say of it."""
    dropped = sum(map(drop_unwritable, line.blocks))
    problem = DataError(
        f"{dropped} records have no form as bytes, and are left out: {type(error).__name__}: {error}. "
        f"Hint: a log needs records that can be pickled."
    )
    problem.__cause__ = error
    return problem
