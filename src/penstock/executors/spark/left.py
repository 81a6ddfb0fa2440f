"""What a job has left on the cluster, for as long as anybody knows of it."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from penstock.chunk import Key
from penstock.executors.remote import AtHand
from penstock.executors.spark.session import Session

__all__ = ["OnCluster"]


class OnCluster:
    """The place of what the tasks of one job have left: an RDD of theirs that Spark keeps, and computes again
    where it is lost. It is given up once nobody holds this any more."""

    def __init__(self, session: Session, left: Any, partitions: int) -> None:
        self._session = session
        self.left = left
        self.partitions = partitions
        weakref.finalize(self, session.forget, left).atexit = False

    def pieces(self, keys: Sequence[Key]) -> Mapping[Key, Sequence[bytes]]:
        """Bring them here, by a job of the cluster."""
        return AtHand(self._session.pick(self.left, keys)).pieces(keys)
