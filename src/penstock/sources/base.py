"""The contract of a stream source: where the records of an input stream come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import field
from typing import Any, Literal

from penstock.chunk import RowType
from penstock.errors import CallSite
from penstock.plan import Node
from penstock.storage import Storage
from penstock.times import BatchTime
from penstock.values import dataclass

__all__ = ["Intent", "LogPlace", "SourceEvent", "StreamSource"]


@dataclass(frozen=True)
class Intent:
    """What a source says belongs to one batch. Decided once, before the batch's work begins.

    ``items`` is all the source needs to make the batch's input again, as often as asked: plain data
    (strings, numbers, tuples of such) wherever the source can be read again after a crash. ``records``
    is how many records there are if that is known before reading; ``description`` is for people.
    """

    items: tuple[Any, ...] = ()
    records: int | None = None
    description: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SourceEvent:
    """What a source that runs by itself, such as a receiver, says between batches."""

    kind: Literal["started", "error", "stopped"]
    name: str
    message: str = ""
    error: str = ""
    """The exception with its traceback, if there was one."""


@dataclass(frozen=True)
class LogPlace:
    """Where a source may keep what it has received, beside the checkpoint: ``directory`` of ``storage``, its
    own alone.

    ``owner`` names this run, and no other. ``trust`` raises where pickled objects must not be read.
    ``must_own`` raises ``CheckpointTaken`` once another run goes on from the checkpoint: what was made
    durable before a call of it that returns is found by that other run. It may be called on any thread.
    """

    storage: Storage
    directory: str
    owner: str
    trust: Callable[[], None]
    must_own: Callable[[], None]


class StreamSource(ABC):
    """Says, batch by batch, what the input is, and how to read it.

    ====================  ==========================================================================
    method                who calls it, and when
    ====================  ==========================================================================
    ``log_to``            the starting thread, at most once, before any other method
    ``restore``           the starting thread, at most once, before those that follow
    ``again``             the starting thread, after ``restore``, once for each batch to be run again
    ``resume``            the starting thread, at most once, after ``restore``
    ``tell_to``           the starting thread, once, before ``open``
    ``open``              the starting thread, once, before those that follow
    ``only_available``    the starting thread, at most once, after ``open``
    ``start_intake``      the starting thread, once, after ``position``, when the run is recorded
    ``plan``              the intake thread, once a batch, with strictly increasing times; holds the
                          next batch up, so it must not take longer than the interval
    ``exhausted``         the intake thread, after each ``plan``
    ``node``              the batch thread, and with ``reads_ahead`` the one that reads ahead too; must
                          give an equal node for an equal intent
    ``position``          the starting thread, after ``open``; the intake thread, after a ``plan``
    ``pace``              the batch thread, between two batches
    ``processed``         the batch thread, when a batch is over, well or not
    ``committed``         the batch thread, when a batch is committed; not if it fails or is given up
    ``done``              the batch thread, when a batch that had records of this source is over, for good,
                          and no window needs it any more
    ``stop_intake``       the stopping thread, at most once, before the last ``plan``
    ``close``             the stopping thread, once; nothing is called afterwards
    ====================  ==========================================================================

    An exception from ``plan`` or ``node`` fails that batch, visibly; the next batch is tried again.
    """

    name: str

    row_type: RowType | None = None
    """That of the records, if they are read as columns or lines; ``None`` if they are Python objects."""

    reads_ahead: bool = False
    """Whether the input of a batch may be read as soon as it is planned, while an earlier one still runs,
    and on another thread: reading it changes nothing, and ``node`` reads nothing but the intent."""

    waits: bool = False
    """Whether reading mostly waits for others, as for a network. Then it pays to read ahead even where
    nothing but Python objects is made of the input; where it does not wait, such reading holds the
    interpreter, and the batch that runs would pay for it."""

    def open(self) -> None:
        """Begin. For sources of what is *new*, this moment divides old from new."""

    recoverable: bool = False
    """Whether a later run can go on where this one was: it has ``position`` and ``restore``, and its intents
    are plain data that can be read again."""

    def position(self) -> Any:
        """Where the source is after all that was planned: plain data, from which ``restore`` of a later run
        goes on. It may cost what the source knows."""
        raise NotImplementedError(f"{self.name} has no position that a later run could go on from")

    def restore(self, position: Any, taken: Sequence[Intent]) -> None:
        """Go on where an earlier run was: at a position, and after the intents planned since. All that came
        while nobody ran is new."""
        raise NotImplementedError(f"{self.name} has no position that a later run could go on from")

    def again(self, time: BatchTime, intent: Intent) -> Intent:
        """A batch of an earlier run was not completed, and is run again: what of its intent can be read."""
        return intent

    # What comes by itself

    logs: bool = False
    """Whether the source keeps what it receives beside the checkpoint, so that there must be one."""

    def log_to(self, place: LogPlace) -> None:
        """The run is recorded: where the source may keep what it has received."""

    def start_intake(self) -> None:
        """Begin to take in what comes by itself. Whatever was there before is known by now."""

    def stop_intake(self) -> bool:
        """Take in nothing more; what has been taken in is still given out. Whether there is any that no batch
        has yet."""
        return False

    def resume(self, committed_ms: int | None, failed: Collection[int]) -> None:
        """The batches up to a time are over, in an earlier run; those at the times ``failed`` were given
        up. What they have left to do can be done now."""

    @abstractmethod
    def plan(self, time: BatchTime) -> Intent:
        """What belongs to the batch at ``time``, and to no other batch."""

    @abstractmethod
    def node(self, intent: Intent, site: CallSite) -> Node:
        """How to read it."""

    def only_available(self) -> None:
        """From now on give out only what is there at this moment, then be ``exhausted``."""

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left to give out. Only asked after ``only_available``."""
        return True

    # Overload

    paced: bool = False
    """Whether the source can give out less than there is: it follows :meth:`pace`, and what it does not give
    out waits where it comes from."""

    def pace(self, records_per_s: float) -> None:
        """From the next ``plan`` on give out no more than so many records per second of batch interval, as
        far as the source can tell; at least one unit (a file, a block) whenever there is one. Only called
        if ``paced``."""

    def processed(self, time: BatchTime, records: int) -> None:
        """A batch is over, well or not, and had so many records of this source; 0 if it was not read."""

    @property
    def waiting_bytes(self) -> int:
        """How many bytes the source holds in memory or on disk for batches that are not over, 0 if it holds
        none: what waits elsewhere does not count."""
        return 0

    # What happens by itself

    def tell_to(self, tell: Callable[[SourceEvent], None]) -> None:
        """Whom to tell what happens between batches; ``tell`` may be called on any thread and never waits."""

    def committed(self, time: BatchTime) -> None:
        """What was made of the batch at ``time`` is safe: durable, if the program has a checkpoint. Must not
        raise."""

    def done(self, time: BatchTime) -> None:
        """What was remembered of the batches up to ``time`` may be forgotten."""

    def close(self) -> None:
        """Give everything back."""
