"""Nodes that begin a stream."""

from __future__ import annotations

from penstock.dstream.node import Batch, StreamNode
from penstock.errors import CallSite
from penstock.rdd import RDD
from penstock.sources import StreamSource
from penstock.times import BatchTime

__all__ = ["Input"]


class Input(StreamNode):
    """What a source says belongs to the batch. ``id`` counts the inputs of a graph from 0."""

    def __init__(self, site: CallSite, source: StreamSource, id: int, slide_duration: int) -> None:
        super().__init__(site, (), slide_duration)
        self.source = source
        self.id = id
        self.eager = source.reads_ahead

    def compute(self, time: BatchTime, batch: Batch) -> RDD | None:
        return batch.new_rdd(batch.input(self, time))
