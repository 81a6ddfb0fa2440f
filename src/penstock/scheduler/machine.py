"""The life of batches as a pure state machine: an event in, instructions out.

::

    Tick(t)         -> Plan(t)                     each source says what its input for t is
    Planned(t)      -> Generate(t)   as soon as no batch before t is left; with recovery
                       WriteIntent(t), and Generate(t) after IntentWritten(t)
    Generated(t)    -> RunOutput(t, 0)             one after the other, in order of registration
    OutputDone(t,i) -> RunOutput(t, i+1), or Commit(t) after the last
    Committed(t)    -> Finish(t), and Generate of the next batch
    StopAsked       -> Halt   at once, or gracefully when every planned batch is over

Rules:

- Batches run one at a time, in the order of their times; while one runs, later ones are planned and wait
  in line. Nothing is skipped or merged, however late it is.
- An output that fails does not keep the batch's other outputs from running. A batch of which anything
  failed is not committed: its state changes are dropped whole, and the batches after it go on from the
  last committed version.
- A stop that is in a hurry drops the batches in line; the running one ends after its current output, and
  if that was not its last one, the batch has failed.
- With ``stop_on_failure`` no batch begins after one that has failed: its end drops the batches in line, and
  is the end of all.
- With recovery a batch that has failed is run again, ``retries`` times. Then it is the end of all, or with
  ``skip`` it is given up: what of it could be done is committed, and what could not is recorded. A batch
  whose input could not be planned has taken nothing, so it is over.
- Nothing here reads a clock, runs a function or holds a lock. The driver performs the instructions and
  reports back; between two reports of the driver the machine stands still. Each event costs the same,
  however long the line is.

With recovery the intent is durable before ``Generate``, and the commit within ``Commit``: at both points
nothing else is under way for the batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import field, fields
from enum import Enum
from functools import partial
from itertools import islice
from typing import Any

from penstock.times import BatchTime
from penstock.values import dataclass

__all__ = [
    "Again",
    "BatchMachine",
    "Commit",
    "Committed",
    "Event",
    "Finish",
    "Generate",
    "Generated",
    "GiveUp",
    "Halt",
    "Instruction",
    "IntentWritten",
    "OutputDone",
    "Plan",
    "Planned",
    "RunOutput",
    "StopAsked",
    "Tick",
    "WriteIntent",
]


@dataclass(frozen=True)
class Tick:
    """The clock has reached the batch time."""

    time: BatchTime


@dataclass(frozen=True)
class Planned:
    """Every source has said its input, or ``failed`` to."""

    time: BatchTime
    failed: str | None = None


@dataclass(frozen=True)
class IntentWritten:
    """What belongs to the batch is durable, or ``failed`` to be."""

    time: BatchTime
    failed: str | None = None


@dataclass(frozen=True)
class Generated:
    """The graph has made ``outputs`` jobs, or ``failed`` to."""

    time: BatchTime
    outputs: int
    failed: str | None = None


@dataclass(frozen=True)
class OutputDone:
    """An output is over, well or ``failed``."""

    time: BatchTime
    index: int
    failed: str | None = None


@dataclass(frozen=True)
class Committed:
    """State has moved to the batch's version, or ``failed`` to and stayed."""

    time: BatchTime
    failed: str | None = None


@dataclass(frozen=True)
class StopAsked:
    """No more batches; with ``graceful`` those that are planned still run."""

    graceful: bool


Event = Tick | Planned | IntentWritten | Generated | OutputDone | Committed | StopAsked


@dataclass(frozen=True)
class Plan:
    """Ask each source for its input."""

    time: BatchTime


@dataclass(frozen=True)
class WriteIntent:
    """Make durable what belongs to the batch."""

    time: BatchTime


@dataclass(frozen=True)
class Generate:
    """Make the batch's jobs."""

    time: BatchTime


@dataclass(frozen=True)
class RunOutput:
    """Run one job."""

    time: BatchTime
    index: int


@dataclass(frozen=True)
class Commit:
    """Move state to the batch's version."""

    time: BatchTime


@dataclass(frozen=True)
class GiveUp:
    """The batch has failed for good: commit what of it can be had, and record what is lost."""

    time: BatchTime


@dataclass(frozen=True)
class Again:
    """The batch has failed and will be run again: forget what it has made so far."""

    time: BatchTime
    attempt: int


@dataclass(frozen=True)
class Finish:
    """The batch is over: say so, and forget what nobody needs any more."""

    time: BatchTime
    failures: tuple[str, ...]


@dataclass(frozen=True)
class Halt:
    """All is over."""


Instruction = Plan | WriteIntent | Generate | RunOutput | Commit | Again | GiveUp | Finish | Halt


class Phase(Enum):
    """Where a batch is."""

    PLANNING = "planning"
    WAITING = "waiting"
    INTENDING = "intending"
    GENERATING = "generating"
    RUNNING = "running"
    COMMITTING = "committing"


_BUSY = (Phase.INTENDING, Phase.GENERATING, Phase.RUNNING, Phase.COMMITTING)


@dataclass
class _Batch:
    time: BatchTime
    phase: Phase = Phase.PLANNING
    outputs: int = 0
    attempt: int = 1
    given_up: bool = False
    failures: list[str] = field(default_factory=list)


class BatchMachine:
    """The state of all batches that are not over. See the top of this module.

    ``stop_on_failure``: whether the end of a batch that has failed is the end of all. ``recovery``: intents
    are written, a batch that has failed is run again ``retries`` times, and then given up with ``skip``.

    >>> machine = BatchMachine()
    >>> machine.handle(Tick(1000))
    [Plan(time=1000)]
    >>> machine.handle(Planned(1000))
    [Generate(time=1000)]
    >>> print(machine.story(1000))
    Tick(time=1000) -> Plan(time=1000)
    Planned(time=1000, failed=None) -> Generate(time=1000)
    """

    _STORIES = 100  # batches of which the story is kept after they are over
    _COURSES = 100  # that are known, for batches that take one of them again

    def __init__(
        self,
        *,
        stop_on_failure: bool = False,
        recovery: bool = False,
        retries: int = 0,
        skip: bool = False,
    ) -> None:
        self._stop_on_failure = stop_on_failure
        self._recovery = recovery
        self._retries = retries
        self._skip = skip
        self._line: deque[_Batch] = deque()
        self._planning: dict[BatchTime, _Batch] = {}
        self._last: BatchTime | None = None
        self._stopping: StopAsked | None = None
        self._halted = False
        self._stories: dict[int, list[tuple[Event, list[Instruction] | str]]] = {}
        self._courses: dict[_Course, _Course] = {}

    def handle(self, event: Event) -> list[Instruction]:
        """Take an event in; what is to be done now, in this order."""
        match event:
            case Tick():
                instructions = self._tick(event)
            case Planned():
                instructions = self._planned(event)
            case IntentWritten():
                instructions = self._intent_written(event)
            case Generated():
                instructions = self._generated(event)
            case OutputDone():
                instructions = self._output_done(event)
            case Committed():
                instructions = self._committed(event)
            case StopAsked():
                instructions = self._stop_asked(event)
        self._tell(event, instructions)
        return instructions

    @property
    def waiting(self) -> int:
        """Batches that are planned, or being planned, and do not run yet."""
        return len(self._line) - bool(self._line and self._line[0].phase in _BUSY)

    @property
    def is_followed(self) -> bool:
        """Whether a batch is planned that will run after the one that runs, unless a stop in a hurry comes
        between."""
        return len(self._line) > 1 and self._line[1].phase is Phase.WAITING and not self._line[1].failures

    @property
    def idle(self) -> bool:
        """Whether no batch is left."""
        return not self._line

    @property
    def last_time(self) -> BatchTime | None:
        """The newest batch time that has come."""
        return self._last

    @property
    def halted(self) -> bool:
        """Whether ``Halt`` has been given out."""
        return self._halted

    def story(self, time: int) -> str:
        """What happened to a batch so far, an event a line; empty for one that is long over."""
        return self.told(time)()

    def told(self, time: int) -> Callable[[], str]:
        """The story so far, put into words when it is called. A thousand of them take hardly more memory than
        one: nearly all batches take the same course."""
        found: list[object] = []
        for event, outcome in self._stories.get(time, ()):
            told = isinstance(outcome, str)
            found.append(outcome if told else len(outcome))
            for step in (event,) if told else (event, *outcome):
                kind, values = type(step), list(vars(step).values())
                if kind not in _TIMELESS:
                    values[0] -= time
                found.append(kind)
                found += values
        course = tuple(found)
        if len(self._courses) >= self._COURSES:  # batches that fail each take a course of their own
            self._courses.clear()
        return partial(_in_words, self._courses.setdefault(course, course), time)

    def validate(self) -> None:
        """The invariants, for tests to check after each event."""
        times = [batch.time for batch in self._line]
        assert times == sorted(set(times)), f"batch times must increase: {times}"
        busy = [batch for batch in self._line if batch.phase in _BUSY]
        assert len(busy) <= 1, f"one batch at a time: {busy}"
        assert not busy or busy[0] is self._line[0], f"the oldest batch runs first: {busy}"
        assert not (self._halted and self._line), "halted with batches left"
        planning = [batch for batch in self._line if batch.phase is Phase.PLANNING]
        assert planning == list(self._planning.values()), "what is being planned is known twice"
        assert busy or not self._line or self._line[0].phase is Phase.PLANNING, "a batch waits for nothing"
        assert self.waiting == len(self._line) - len(busy)

    def _tick(self, event: Tick) -> list[Instruction]:
        assert self._last is None or event.time > self._last, f"{event} after {self._last}"
        if self._stopping is not None:
            return []
        self._last = event.time
        batch = self._planning[event.time] = _Batch(event.time)
        self._line.append(batch)
        return [Plan(event.time)]

    def _planned(self, event: Planned) -> list[Instruction]:
        batch = self._planning.pop(event.time, None)
        if batch is None:  # dropped by a stop that was in a hurry
            assert self._stopping is not None, f"{event} was not asked for"
            return []
        batch.phase = Phase.WAITING
        if event.failed is not None:
            batch.failures.append(event.failed)
        return self._next()

    def _next(self) -> list[Instruction]:
        """Begin the oldest batch if it is waiting; one whose plan failed is over at once."""
        instructions: list[Instruction] = []
        while self._line and self._line[0].phase is Phase.WAITING:
            batch = self._line[0]
            if not batch.failures:
                return [*instructions, self._begun(batch)]
            instructions.append(self._taken_out(batch))
        return instructions + self._halt_if_over()

    def _begun(self, batch: _Batch) -> Instruction:
        batch.phase = Phase.INTENDING if self._recovery else Phase.GENERATING
        return WriteIntent(batch.time) if self._recovery else Generate(batch.time)

    def _intent_written(self, event: IntentWritten) -> list[Instruction]:
        batch = self._running(event.time, Phase.INTENDING)
        if event.failed is not None:
            batch.failures.append(event.failed)
            return self._ended(batch, can_give_up=False)
        batch.phase = Phase.GENERATING
        return [Generate(batch.time)]

    def _generated(self, event: Generated) -> list[Instruction]:
        batch = self._running(event.time, Phase.GENERATING)
        if event.failed is not None:
            batch.failures.append(event.failed)
            return self._ended(batch)
        batch.outputs = event.outputs
        batch.phase = Phase.RUNNING
        return self._run_or_commit(batch, 0)

    def _output_done(self, event: OutputDone) -> list[Instruction]:
        batch = self._running(event.time, Phase.RUNNING)
        if event.failed is not None:
            batch.failures.append(event.failed)
        return self._run_or_commit(batch, event.index + 1)

    def _run_or_commit(self, batch: _Batch, index: int) -> list[Instruction]:
        hurried = self._stopping is not None and not self._stopping.graceful
        if index < batch.outputs:
            if not hurried:
                return [RunOutput(batch.time, index)]
            batch.failures.append(f"stopped before {batch.outputs - index} of {batch.outputs} outputs ran")
        if batch.failures:
            return self._ended(batch)
        batch.phase = Phase.COMMITTING
        return [Commit(batch.time)]

    def _committed(self, event: Committed) -> list[Instruction]:
        batch = self._running(event.time, Phase.COMMITTING)
        if event.failed is not None:
            batch.failures.append(event.failed)
            batch.given_up = False
            return self._ended(batch, can_give_up=False)
        return self._over(batch)

    def _ended(self, batch: _Batch, *, can_give_up: bool = True) -> list[Instruction]:
        """A batch has failed: with recovery that need not be its end."""
        hurried = self._stopping is not None and not self._stopping.graceful
        if not self._recovery or hurried:
            return self._over(batch)
        if batch.attempt <= self._retries:
            batch.attempt += 1
            batch.failures.clear()
            return [Again(batch.time, batch.attempt), self._begun(batch)]
        if self._skip and can_give_up:
            batch.given_up = True
            batch.phase = Phase.COMMITTING
            return [GiveUp(batch.time)]
        return self._over(batch)

    def _over(self, batch: _Batch) -> list[Instruction]:
        return [self._taken_out(batch), *self._next()]

    def _taken_out(self, batch: _Batch) -> Finish:
        """The oldest batch is over; if it has failed, that may be the end of those behind it."""
        assert self._line[0] is batch, batch
        self._line.popleft()
        lost = self._recovery and batch.phase is not Phase.WAITING and not batch.given_up
        if batch.failures and (self._stop_on_failure or lost):
            self._stop(StopAsked(graceful=False))
        return Finish(batch.time, tuple(batch.failures))

    def _stop_asked(self, event: StopAsked) -> list[Instruction]:
        self._stop(event)
        return self._halt_if_over()

    def _stop(self, event: StopAsked) -> None:
        if self._stopping is None or not event.graceful:
            self._stopping = event
        if not self._stopping.graceful:
            while self._line and self._line[-1].phase not in _BUSY:
                self._note(self._line.pop().time, event, "dropped")
            self._planning.clear()

    def _halt_if_over(self) -> list[Instruction]:
        if self._stopping is None or self._line or self._halted:
            return []
        self._halted = True
        return [Halt()]

    def _running(self, time: BatchTime, phase: Phase) -> _Batch:
        assert self._line, f"no batch is left, but {time} reports"
        batch = self._line[0]
        assert (batch.time, batch.phase) == (time, phase), f"{time} reports from {phase}, but {batch} runs"
        return batch

    def _tell(self, event: Event, instructions: list[Instruction]) -> None:
        """Write the event into the story of each batch that it is about, or that it set going."""
        time = getattr(event, "time", None)
        if len(instructions) == 1 and getattr(instructions[0], "time", None) == time is not None:
            self._note(time, event, instructions)  # the same at once: of most events
            return
        for time in {getattr(each, "time", None) for each in (event, *instructions)}:
            if time is not None:
                self._note(time, event, instructions)

    def _note(self, time: BatchTime, event: Event, outcome: list[Instruction] | str) -> None:
        """Told as it was, and put into words when somebody asks."""
        told = self._stories.get(time)
        if told is None:
            while len(self._stories) >= self._STORIES + len(self._line):
                del self._stories[next(iter(self._stories))]
            told = self._stories[time] = []
        told.append((event, outcome))


_Course = tuple[Any, ...]
"""Of each event of a batch: its outcome, in words or as the number of instructions, and the event with these
instructions, each as its class and its values. Times are told from that of the batch."""

_TIMELESS = frozenset([StopAsked, Halt])  # steps that are of no batch; of all others the time comes first


def _in_words(course: _Course, time: int) -> str:
    """The story of a batch that took a course."""
    pieces = iter(course)

    def step() -> str:
        kind = next(pieces)
        values = list(islice(pieces, len(fields(kind))))
        if kind not in _TIMELESS:
            values[0] += time
        return str(kind(*values))

    lines = []
    for outcome in pieces:
        event = step()
        told = outcome if isinstance(outcome, str) else ", ".join(step() for _ in range(outcome)) or "nothing"
        lines.append(f"{event} -> {told}")
    return "\n".join(lines)
