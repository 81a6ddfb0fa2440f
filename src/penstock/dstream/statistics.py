"""What operators with state say of themselves, partition by partition, for the listener and the monitor."""

from __future__ import annotations

from penstock.dstream.node import StreamNode
from penstock.plan import Task

__all__ = ["note_state"]


def note_state(task: Task, node: StreamNode, *, keys: int, touched: int, expired: int = 0) -> None:
    """So many keys the partition remembers now, so many had news, so many were forgotten for want of any."""
    place = (id(node), str(node.site), task.partition)
    for name, count in (("state_keys", keys), ("state_touched", touched), ("state_expired", expired)):
        task.metrics.note(name, place, count)
