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

import pickle
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

from penstock.chunk import Chunk, Place, arriving
from penstock.clock import SystemClock
from penstock.encoding import cloudpickled
from penstock.errors import CallSite, PenstockError, UnsupportedError, locate
from penstock.executors.jobs import Inputs, Job, Link, put_together
from penstock.executors.remote.failures import portable
from penstock.executors.remote.leaving import NOWHERE
from penstock.plan import ROWS, Metrics, Narrow, Node, Task, forms_of
from penstock.rdd import Broadcast, adding_up, noting_variables
from penstock.values import dataclass
from penstock.vectorize import Untraced

__all__ = [
    "Outcome",
    "Pickle",
    "Program",
    "Programs",
    "must_be_sendable",
    "perform",
    "pickled_inputs",
    "pickled_value",
    "program_of",
    "refused",
]

_PROGRAMS_MAX = 128
_BYTES_MAX = 64 * 1024**2
"""Of programs that hold much, such as a function that closes over a table, few are kept."""

_clock = SystemClock()

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
    elapsed_ns: int = 0  # computing, without what travelling took

    @classmethod
    def read(cls, data: bytes) -> Outcome:
        """What :func:`perform` gave, in the program's process."""
        try:
            found: Outcome = pickle.loads(data)
        except Exception as error:
            error.add_note("while the program read what a worker had computed")
            raise
        return found

    @classmethod
    def read_at(cls, place: Place, data: bytes) -> Outcome:
        """The same, of a task that has left some of its result there."""
        with arriving(place):
            return cls.read(data)


def program_of(links: Sequence[Link], action: Action, site: CallSite, pickle: Pickle) -> bytes:
    """A program as bytes. ``UnsupportedError`` names the line of the step that cannot be sent."""
    try:
        return pickle(Program(links, action))
    except AssertionError:
        raise
    except Exception as error:
        for link in links:
            _must_be_sendable(link, link.site, pickle)
        raise _unsendable(site, error) from error


def must_be_sendable(plan: Node, pickle: Pickle) -> None:
    """Refuse a plan with a function that cannot be sent, where it may have to be: those that have columns, or
    stay here, need not be. Each function is looked at once."""
    news = [node for node in _narrow_in(plan) if _is_new(_function_of(node))]
    if not news:
        return
    forms = forms_of(plan)
    for node in news:
        if isinstance(forms.get(node), Untraced) and not node.stays_here:
            with noting_variables():
                _must_be_sendable(node.step, node.site, pickle)
        _seen[id(_function_of(node))] = _function_of(node)


def _is_new(function: Any) -> bool:
    try:
        weakref.ref(function)
    except TypeError:  # a builtin, which can be imported, or a rare thing that is looked at when it is sent
        return False
    return _seen.get(id(function)) is not function


_seen: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


def _narrow_in(plan: Node) -> list[Narrow]:
    """Those with a function of the user's."""
    found: list[Narrow] = []
    pending, seen = [plan], {plan}
    while pending:
        node = pending.pop()
        if isinstance(node, Narrow) and _function_of(node) is not None:
            found.append(node)
        news = [parent for parent in node.parents if parent not in seen]
        seen.update(news)
        pending.extend(news)
    return found


def _function_of(node: Narrow) -> Any:
    return getattr(node.step, "function", None)


def _must_be_sendable(what: object, site: CallSite, pickle: Pickle) -> None:
    try:
        pickle(what)
    except AssertionError:
        raise
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


def pickled_inputs(inputs: Inputs, decisions: Mapping[int, Any], site: CallSite, pickle: Pickle) -> bytes:
    """What one partition reads, as bytes. ``UnsupportedError`` where records cannot be sent."""
    try:
        return pickle((inputs, decisions))
    except Exception as error:
        raise _unsendable(site, error) from error


def pickled_value(broadcast: Broadcast, site: CallSite, pickle: Pickle) -> bytes:
    """The value of a broadcast, as bytes. ``UnsupportedError`` where it cannot be sent."""
    try:
        return pickle(broadcast.value)
    except Exception as error:
        raise _unsendable(site, error) from error


class Programs:
    """Those that a worker has seen lately, by their digests."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, tuple[Program, int]] = OrderedDict()
        self._bytes = 0

    def get(self, digest: bytes) -> Program | None:
        """The program, if it is still known."""
        found = self._known.get(digest)
        if found is None:
            return None
        self._known.move_to_end(digest)
        return found[0]

    def put(self, digest: bytes, data: bytes) -> Program:
        """Unpickle one."""
        program: Program = pickle.loads(data)
        if digest in self._known:
            self._bytes -= self._known.pop(digest)[1]
        self._known[digest] = program, len(data)
        self._bytes += len(data)
        while len(self._known) > 1 and (len(self._known) > _PROGRAMS_MAX or self._bytes > _BYTES_MAX):
            self._bytes -= self._known.popitem(last=False)[1][1]
        return program

    @staticmethod
    def digest(data: bytes) -> bytes:
        """Equal for equal programs."""
        import hashlib  # slow to import, and seldom needed

        return hashlib.blake2b(data, digest_size=16).digest()


def perform(
    program: Program,
    partition: int,
    inputs: bytes,
    *,
    host: str = "",
    place: Place = NOWHERE,
    leave: Callable[[Any], Any] | None = None,
) -> bytes:
    """One partition of a stage, here; an :class:`Outcome` as bytes. Whatever a function raises comes of it,
    ``SystemExit`` included. ``host`` is noted where it fails, ``place`` is where what was left elsewhere has
    been brought to, and ``leave`` makes of a result what is sent back of it."""
    metrics, result, failed, begun = Metrics(), None, None, 0
    nodes: list[Node] = []
    with adding_up() as added:
        try:
            with arriving(place):
                readers, decisions = pickle.loads(inputs)
            nodes = put_together(program.links, readers, handed_over=True)
            begun = _clock.elapsed_ns()
            job = Job.of_task({nodes[at]: each for at, each in decisions.items() if at < len(nodes)}, metrics)
            end = nodes[-1]
            task = job.task(end, partition)
            if len(nodes) in decisions:
                task = Task(task.partition, task.partitions, metrics, decisions[len(nodes)])
            result = program.action(task, job.chunks(end, partition))
        except BaseException as error:
            if host:
                error.add_note(f"on the host {host}")
            result, failed = None, portable(locate(error, partition=partition))
    elapsed_ns = _clock.elapsed_ns() - begun if begun else 0
    outcome = Outcome(result, failed, _numbered(metrics.figures(), nodes), dict(added), elapsed_ns)
    return _outcome(outcome, partition, program.links[-1].site, None if failed is not None else leave)


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
    return cloudpickled(Outcome(None, portable(locate(error, partition=partition)), {}, {}))


def _outcome(outcome: Outcome, partition: int, site: CallSite, leave: Callable[[Any], Any] | None) -> bytes:
    try:
        if leave is not None:
            outcome.result = leave(outcome.result)
        return cloudpickled(outcome)
    except Exception as error:
        wrapped = UnsupportedError(
            f"what {site} gives cannot be sent back to the program: {type(error).__name__}: {error}. Hint: "
            f"give plain data, not what belongs to a process, such as locks, open files and generators; or "
            f"run it in the program's own process: penstock.python.workers=threads."
        )
        failed = portable(locate(wrapped, site=site, partition=partition))
        return cloudpickled(Outcome(None, failed, outcome.figures, {}))
