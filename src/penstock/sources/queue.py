"""A stream of RDDs that lie ready in a list."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from penstock.errors import CallSite
from penstock.plan import Gather, Node, Source
from penstock.sources.base import Intent, StreamSource
from penstock.times import BatchTime

__all__ = ["QueueSource"]


class QueueSource(StreamSource):
    """One plan a batch, or all that are left in the first; then ``default``, or nothing.

    An intent holds the plans themselves, so this source cannot be read again after a crash.
    """

    def __init__(self, plans: Iterable[Node], *, one_at_a_time: bool, default: Node | None) -> None:
        self.name = "queue"
        self._left = deque(plans)
        self._one_at_a_time = one_at_a_time
        self._default = default

    def plan(self, time: BatchTime) -> Intent:
        taken = [
            self._left.popleft() for _ in range(1 if self._one_at_a_time else len(self._left)) if self._left
        ]
        if not taken and self._default is not None:
            taken = [self._default]
        return Intent(tuple(taken), _records(taken), f"{len(taken)} RDDs of a queue, {len(self._left)} left")

    def node(self, intent: Intent, site: CallSite) -> Node:
        if not intent.items:
            return Source(site, ())
        if len(intent.items) == 1:
            only: Node = intent.items[0]
            return only
        reads = [
            [(index, part)] for index, plan in enumerate(intent.items) for part in range(plan.partitions)
        ]
        return Gather(site, intent.items, reads)

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
