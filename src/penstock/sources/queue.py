"""A stream of RDDs that lie ready in a list."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from penstock.errors import CallSite, InputVanished
from penstock.plan import Gather, Node, Source
from penstock.sources.base import Intent, StreamSource
from penstock.times import BatchTime

__all__ = ["QueueSource"]

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
        plans = tuple(self._plan_at(place) for place in intent.items)
        if not plans:
            return Source(site, ())
        if len(plans) == 1:
            return plans[0]
        reads = [[(index, part)] for index, plan in enumerate(plans) for part in range(plan.partitions)]
        return Gather(site, plans, reads)

    @property
    def exhausted(self) -> bool:
        return not self._left


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
