"""What runs in the Python workers of a cluster. Whatever is kept here outlives a task: a worker does many."""

from __future__ import annotations

import pickle
import socket
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from penstock.executors.remote import AtHand, Leaving, Outcome, Piece, Programs, perform, refused
from penstock.executors.spark.session import is_first_time, stored
from penstock.rdd import forget_broadcasts, receive_broadcast
from penstock.values import dataclass

__all__ = ["Found", "Given", "LeavingTask", "RunTask", "TooLarge", "looked_around"]

_BROADCASTS_MAX = 64

_programs = Programs()
_broadcasts: OrderedDict[int, None] = OrderedDict()


Given = tuple[bytes, int, bytes]
"""Which program, a partition, and what that reads."""


@dataclass(frozen=True)
class TooLarge:
    """The result of a task that is not sent back."""

    nbytes: int


class RunTask:
    """The function of a job's tasks. A result of more than ``most_bytes``, if that is not ``None``, is not
    sent: there is a :class:`TooLarge` instead."""

    __slots__ = ("_broadcasts", "_most_bytes", "_programs")

    def __init__(
        self,
        programs: Mapping[bytes, bytes],
        broadcasts: Mapping[int, Any],
        most_bytes: int | None = None,
    ) -> None:
        self._programs = programs
        self._broadcasts = broadcasts
        self._most_bytes = most_bytes

    def __call__(self, task: int, given: Given, pieces: Sequence[Piece]) -> Iterator[bytes]:
        data = self.outcome(given, pieces, None)
        if self._most_bytes is not None and len(data) > self._most_bytes:
            data = pickle.dumps(Outcome(TooLarge(len(data)), None, {}, {}))
        yield data

    def outcome(self, given: Given, pieces: Sequence[Piece], leave: Leaving | None) -> bytes:
        """What comes of one partition."""
        digest, partition, inputs = given
        try:
            self._fetch()
            program = _programs.get(digest) or _programs.put(digest, self._programs[digest])
        except Exception as error:
            error.add_note(f"on the host {socket.gethostname()}")
            return refused(error, partition)
        place, host = AtHand(pieces), socket.gethostname()
        return perform(program, partition, inputs, host=host, place=place, leave=leave)

    def _fetch(self) -> None:
        for number, held in self._broadcasts.items():
            if number not in _broadcasts:
                receive_broadcast(number, pickle.loads(stored(held)))
            _broadcasts[number] = None
            _broadcasts.move_to_end(number)
        while len(_broadcasts) > max(_BROADCASTS_MAX, len(self._broadcasts)):
            forget_broadcasts([_broadcasts.popitem(last=False)[0]])


class LeavingTask:
    """The same where a result may be large: first what is sent back, then the pieces of it all, which stay
    where the task has run, or wherever it is done again."""

    __slots__ = ("_most_bytes", "_run", "_stage")

    def __init__(self, run: RunTask, stage: int, most_bytes: int) -> None:
        self._run = run
        self._stage = stage
        self._most_bytes = most_bytes

    def __call__(self, task: int, given: Given, pieces: Sequence[Piece]) -> Iterator[bytes | Piece]:
        leaving = Leaving(self._stage, task, self._most_bytes)
        data = self._run.outcome(given, pieces, leaving)
        if not is_first_time(self._stage):
            error = Outcome.read_at(AtHand(), data).error
            if error is not None:  # nobody looks at it any more; Spark tries again
                raise error
        yield data
        yield from leaving.pieces


Found = tuple[str, str, dict[str, str]]
"""Host, version of Python, and of each package its version, or where it is, or why it cannot be imported."""


def looked_around(task: int, names: list[str], pieces: Sequence[Piece]) -> Iterator[Found]:
    """What is there on the host where this runs."""
    yield socket.gethostname(), sys.version.split()[0], {name: _version_of(name) for name in names}


@lru_cache
def _version_of(name: str) -> str:
    from importlib import import_module

    try:
        module = import_module(name)
    except ImportError as error:
        return f"ImportError: {error}"
    return str(module.__file__ if name == "penstock" else getattr(module, "__version__", "there"))
