"""One batch of a graph that is made and not run: to see what its plans would be."""

from __future__ import annotations

from collections.abc import Mapping
from math import lcm
from typing import Any

from penstock.dstream.inputs import Input
from penstock.dstream.node import StreamNode
from penstock.plan import Node, Source, asked_at
from penstock.rdd import RDD, Partitioner, Runner
from penstock.times import BatchTime

__all__ = ["rehearsed"]


def rehearsed(node: StreamNode, context: Runner) -> RDD | None:
    """The RDD of ``node`` in a batch with no input, and none before it. Functions given to ``transform`` are
    called.

    ``None`` where the node makes none.
    """
    return _Rehearsal(node, context).rdd(node, None)


class _Rehearsal:
    """What ``compute`` may ask for; the only batch is one at which every node slides."""

    def __init__(self, node: StreamNode, context: Runner) -> None:
        self._context = context
        self._rdds: dict[StreamNode, RDD | None] = {}
        pending, slides = [node], {node.slide_duration}
        while pending:
            current = pending.pop()
            slides.add(current.slide_duration)
            pending.extend(current.dependencies)
        self._time = BatchTime(lcm(*slides))

    def rdd(self, node: StreamNode, time: int | None) -> RDD | None:
        if time not in (None, self._time):
            return None
        if node not in self._rdds:
            with asked_at(None if node.user_sites else node.site):
                self._rdds[node] = node.compute(self._time, self)
        return self._rdds[node]

    def rdds(self, node: StreamNode, after: int, last: int) -> dict[int, RDD]:
        rdd = self.rdd(node, self._time) if after < self._time <= last else None
        return {} if rdd is None else {self._time: rdd}

    def pieces(self, node: StreamNode) -> Mapping[Any, RDD]:
        return {}

    def committed(self, node: StreamNode, time: int) -> tuple[int, RDD] | None:
        return None

    def input(self, node: StreamNode, time: int) -> Node:
        assert isinstance(node, Input)
        return Source(node.site, (), node.source.row_type)

    def new_rdd(self, plan: Node, partitioner: Partitioner | None = None) -> RDD:
        return RDD(plan, self._context, partitioner)

    @property
    def home(self) -> None:
        return None
