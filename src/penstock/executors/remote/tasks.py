"""What travels to another process and back, and what is done there.

::

    driver                                          worker
    program: links, action (pickled once a stage,   unpickled once, and kept while it is needed:
      the same bytes in every batch)  ------------>   what was traced of its functions stays known
    inputs of a partition, decisions  ------------>   chunks are pulled through the links
    result, figures, additions        <------------   or the exception, with the user's line

Functions and classes that cannot be imported elsewhere travel whole (cloudpickle); columns are Arrow's
messages, lines of text their bytes, other records one pickle a chunk.
"""

from __future__ import annotations

import hashlib
import pickle
import traceback
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

import cloudpickle

from penstock.chunk import Chunk
from penstock.errors import CallSite, PenstockError, UnsupportedError, locate
from penstock.executors.jobs import Job, Link, put_together
from penstock.plan import ROWS, Metrics, Node, Task
from penstock.rdd import adding_up
from penstock.values import dataclass

__all__ = ["Outcome", "Pickle", "Program", "Programs", "perform", "program_of", "refused"]

_PROGRAMS_MAX = 128

Action = Callable[[Task, Iterator[Chunk]], Any]
Pickle = Callable[[object], bytes]
"""How objects become bytes for where they go."""


@dataclass(frozen=True)
class Program:
    """What a stage does with each partition."""

    links: Sequence[Link]
    action: Action


@dataclass
class Outcome:
    """What came of one partition: ``result``, or the ``error``. ``added`` is what was added to accumulators,
    by their numbers."""

    result: Any
    error: BaseException | None
    figures: Mapping[str, Mapping[Any, int]]
    added: Mapping[int, Any]

    @classmethod
    def read(cls, data: bytes) -> Outcome:
        """What :func:`perform` gave, in the program's process."""
        found: Outcome = pickle.loads(data)
        return found


def program_of(links: Sequence[Link], action: Action, site: CallSite, pickle: Pickle) -> bytes:
    """A program as bytes. ``UnsupportedError`` names the line of the step that cannot be sent."""
    try:
        return pickle(Program(links, action))
    except Exception as error:
        for link in links:
            _must_be_sendable(link, link.site, pickle)
        raise _unsendable(site, error) from error


def _must_be_sendable(what: object, site: CallSite, pickle: Pickle) -> None:
    try:
        pickle(what)
    except Exception as error:
        raise _unsendable(site, error) from error


def _unsendable(site: CallSite, error: Exception) -> BaseException:
    if isinstance(error, PenstockError):
        return locate(error, site=site)
    return locate(
        UnsupportedError(
            f"what {site} works with cannot be sent to another process: {type(error).__name__}: {error}. "
            f"Hint: make connections, locks and open files within the function (mapPartitions, "
            f"foreachPartition), or run it here: penstock.python.workers=threads."
        ),
        site=site,
    )


def _pickled(what: object) -> bytes:
    data: bytes = cloudpickle.dumps(what, protocol=5)
    return data


class Programs:
    """Those that a worker has seen lately, by their digests."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Program] = OrderedDict()

    def get(self, digest: bytes) -> Program | None:
        """The program, if it is still known."""
        found = self._known.get(digest)
        if found is not None:
            self._known.move_to_end(digest)
        return found

    def put(self, digest: bytes, data: bytes) -> Program:
        """Unpickle one."""
        program: Program = pickle.loads(data)
        self._known[digest] = program
        if len(self._known) > _PROGRAMS_MAX:
            self._known.popitem(last=False)
        return program

    @staticmethod
    def digest(data: bytes) -> bytes:
        """Equal for equal programs."""
        return hashlib.blake2b(data, digest_size=16).digest()


def perform(program: Program, partition: int, inputs: bytes, *, host: str = "") -> bytes:
    """One partition of a stage, here; an :class:`Outcome` as bytes. ``host`` is noted where it fails."""
    metrics, result, failed = Metrics(), None, None
    nodes: list[Node] = []
    with adding_up() as added:
        try:
            readers, decisions = pickle.loads(inputs)
            nodes = put_together(program.links, readers)
            job = Job.of_task({nodes[number]: each for number, each in decisions.items()}, metrics)
            end = nodes[-1]
            result = program.action(job.task(end, partition), job.chunks(end, partition))
        except Exception as error:
            if host:
                error.add_note(f"on the host {host}")
            failed = _portable(locate(error, partition=partition))
    return _outcome(Outcome(result, failed, _numbered(metrics.figures(), nodes), dict(added)), partition)


def _numbered(
    figures: dict[str, dict[Hashable, int]], nodes: Sequence[Node]
) -> dict[str, dict[Hashable, int]]:
    """The figures with numbers for nodes, which stay here."""
    numbers = {node: number for number, node in enumerate(nodes)}
    rows: dict[Hashable, int] = {}
    for place, figure in figures.pop(ROWS, {}).items():
        assert isinstance(place, tuple)
        if place[0] in numbers:  # else it is a node that an action has made for itself
            rows[numbers[place[0]], place[1]] = figure
    return {**figures, ROWS: rows}


def refused(error: Exception, partition: int) -> bytes:
    """The outcome where a program could not even be read."""
    error.add_note("while a worker read what it has to do")
    return _outcome(Outcome(None, _portable(locate(error, partition=partition)), {}, {}), partition)


def _outcome(outcome: Outcome, partition: int) -> bytes:
    try:
        return _pickled(outcome)
    except Exception as error:
        wrapped = UnsupportedError(
            f"a result cannot be sent back to the program: {type(error).__name__}: {error}. Hint: return "
            f"plain data from functions that run in workers."
        )
        failed = locate(wrapped, partition=partition)
        return _pickled(Outcome(None, failed, outcome.figures, {}))


def _portable(error: BaseException) -> BaseException:
    """An exception that arrives with the lines where it happened, even if it cannot be pickled itself."""
    lines = "".join(traceback.format_exception(error))
    cause = _Elsewhere(lines)
    try:
        found: BaseException = pickle.loads(_pickled(error))
        if type(found).__name__ != type(error).__name__:
            raise TypeError("it comes back as something else")
    except Exception:
        found = RuntimeError(f"{type(error).__qualname__}: {error}")
        found.__dict__.update({k: v for k, v in vars(error).items() if k.startswith("__penstock")})
        for note in getattr(error, "__notes__", ()):
            found.add_note(note)
    return _With(found, cause)


class _Elsewhere(Exception):
    """The traceback of another process, as text."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


class _With(Exception):
    """An exception on its way, with its cause: pickles hold no causes."""

    def __init__(self, error: BaseException, cause: BaseException) -> None:
        super().__init__(error, cause)

    def __reduce__(self) -> tuple[Any, ...]:
        return _caused, self.args


def _caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error
