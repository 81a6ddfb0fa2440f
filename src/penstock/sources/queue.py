"""Streams of RDDs that lie ready in a list, or are pushed to a queue."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from penstock.errors import CallSite, InputVanished
from penstock.plan import Gather, Node, Source
from penstock.sources.base import Intent, StreamSource
from penstock.times import BatchTime

__all__ = ["LiveQueue", "LiveQueueSource", "QueueSource"]

LiveQueue = deque[Any] | queue.Queue[Any] | queue.SimpleQueue[Any]
"""What a program can push to while a stream takes from it."""

_DEFAULT = -1


class QueueSource(StreamSource):
    """One plan a batch, or all that are left in the first; then ``default``, or nothing.

    An intent holds the places of plans in the queue, and -1 for the default. A later run goes on behind those
    places, in a queue that must hold the same again.
    """

    recoverable = True

    def __init__(self, plans: Iterable[Node], *, one_at_a_time: bool, default: Node | None) -> None:
        self.name = "queue"
        self._plans = list(plans)
        self._left = deque(range(len(self._plans)))
        self._one_at_a_time = one_at_a_time
        self._default = default

    def restore(self, position: Any, taken: Sequence[Intent]) -> None:
        next_place = max([position, *(place + 1 for intent in taken for place in intent.items)])
        self._left = deque(range(next_place, len(self._plans)))

    def position(self) -> Any:
        return self._left[0] if self._left else len(self._plans)

    def plan(self, time: BatchTime) -> Intent:
        count = min(len(self._left), 1) if self._one_at_a_time else len(self._left)
        places = tuple(self._left.popleft() for _ in range(count))
        if not places and self._default is not None:
            places = (_DEFAULT,)
        records = _records([self._plan_at(place) for place in places])
        return Intent(places, records, f"{len(places)} RDDs of a queue, {len(self._left)} left")

    def _plan_at(self, place: int) -> Node:
        if place == _DEFAULT:
            assert self._default is not None
            return self._default
        if place >= len(self._plans):
            raise InputVanished(
                f"a batch that is to be run again has taken number {place} of a queue that does not "
                f"hold it now. Hint: queueStream goes on after a restart only if it is given the same "
                f"list again."
            )
        return self._plans[place]

    def node(self, intent: Intent, site: CallSite) -> Node:
        return _gathered([self._plan_at(place) for place in intent.items], site)

    @property
    def exhausted(self) -> bool:
        return not self._left


class LiveQueueSource(StreamSource):
    """What is pushed to a queue while the program runs: one item a batch, or all that are there; then
    ``default``, or nothing.

    ``plan_of`` makes a plan of an item. An intent holds the numbers under which plans are kept here until
    their batch is over, and -1 for the default.
    """

    def __init__(
        self,
        live: LiveQueue,
        plan_of: Callable[[Any], Node],
        *,
        one_at_a_time: bool,
        default: Node | None,
    ) -> None:
        self.name = "queue"
        self._live = live
        self._plan_of = plan_of
        self._one_at_a_time = one_at_a_time
        self._default = default
        self._available: deque[Any] | None = None  # what was there, if nothing else is to be taken
        self._plans: dict[int, Node] = {}
        self._taken: dict[int, list[int]] = {}  # by batch time
        self._next = 0
        self._held: list[int] = []  # taken for a batch that could not be planned

    def plan(self, time: BatchTime) -> Intent:
        numbers, self._held = self._held, []
        taken = self._taken[time] = list(numbers)
        while not (numbers and self._one_at_a_time):
            try:
                item = self._pop()
            except IndexError:
                break
            number, self._next = self._next, self._next + 1
            taken.append(number)
            try:
                self._plans[number] = self._plan_of(item)
            except BaseException:  # it is gone, and those before it are the next batch's
                self._held = numbers
                del self._taken[time]
                self._is_over()
                raise
            numbers.append(number)
        if not numbers and self._default is not None:
            numbers = [_DEFAULT]
        records = _records([self._plan_at(number) for number in numbers])
        return Intent(tuple(numbers), records, f"{len(numbers)} RDDs of a queue")

    def _pop(self) -> Any:
        """The next item; ``IndexError`` if there is none."""
        if self._available is not None:
            return self._available.popleft()
        return _popped(self._live)

    def _plan_at(self, number: int) -> Node:
        if number == _DEFAULT:
            assert self._default is not None
            return self._default
        return self._plans[number]

    def node(self, intent: Intent, site: CallSite) -> Node:
        return _gathered([self._plan_at(number) for number in intent.items], site)

    def only_available(self) -> None:
        held: deque[Any] = deque()
        for _ in range(_length(self._live)):
            try:
                held.append(_popped(self._live))
            except IndexError:
                break
        self._available = held

    @property
    def exhausted(self) -> bool:
        return not self._available and not self._held

    def done(self, time: BatchTime) -> None:
        # What was taken for a batch that another input kept from being is in the one after it.
        for taken in [self._taken.pop(at) for at in sorted(self._taken) if at <= time]:
            for number in taken:
                self._plans.pop(number, None)
                self._is_over()

    def _is_over(self) -> None:
        if isinstance(self._live, queue.Queue):
            self._live.task_done()  # whoever joins the queue waits for the batch


def _popped(live: LiveQueue) -> Any:
    if isinstance(live, deque):
        return live.popleft()
    try:
        return live.get_nowait()
    except queue.Empty:
        raise IndexError("nothing is in the queue") from None


def _length(live: LiveQueue) -> int:
    return len(live) if isinstance(live, deque) else live.qsize()


def _gathered(plans: Sequence[Node], site: CallSite) -> Node:
    """The partitions of all plans, one after the other."""
    if not plans:
        return Source(site, ())
    if len(plans) == 1:
        return plans[0]
    reads = [[(index, part)] for index, plan in enumerate(plans) for part in range(plan.partitions)]
    return Gather(site, tuple(plans), reads)


def _records(plans: list[Node]) -> int | None:
    """How many records the plans hold, if they are plain data."""
    total = 0
    for plan in plans:
        for reader in plan.readers if isinstance(plan, Source) else (None,):
            hint = None if reader is None else reader.rows_hint
            if hint is None:
                return None
            total += hint
    return total
