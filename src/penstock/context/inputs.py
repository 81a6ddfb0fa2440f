"""What all inputs of a StreamingContext have in common, and the queue of RDDs."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Iterable
from typing import Any

from penstock.context.context import Context
from penstock.context.lifecycle import Lifecycle
from penstock.dstream import DStream, Input, Records, StreamGraph, StreamNode
from penstock.errors import ArgumentError, SignatureError, StateError
from penstock.plan import Node, call_site
from penstock.rdd import RDD
from penstock.sources import LiveQueue, LiveQueueSource, QueueSource, StreamSource

__all__ = ["Inputs", "must_be_positive"]


class Inputs(Lifecycle):
    """Makes the streams that others are derived from. Each kind of input has a class of its own, which adds
    its methods to this one; ``StreamingContext`` has them all."""

    # What streams ask for

    @property
    def sparkContext(self) -> Context:
        """The context that runs the batches' RDDs."""
        return self._sc

    @property
    def graph(self) -> StreamGraph:
        """Inputs and outputs, in the order they were made."""
        return self._graph

    @property
    def run_id(self) -> str:
        """Names this run of the program in what it writes."""
        return self._graph.run.id

    def slice_of(self, node: StreamNode, begin_ms: int, end_ms: int) -> list[RDD]:
        """The RDDs of a node between two moments; see ``DStream.slice``."""
        if self._generation is None:
            raise StateError(f"{node.site} has not been initialized: start the context first")
        return self._generation.slice(node, begin_ms, end_ms)

    # Streams

    def queueStream(
        self,
        rdds: Iterable[RDD | Iterable[Any]] | LiveQueue,
        oneAtATime: bool = True,
        default: RDD | Iterable[Any] | None = None,
    ) -> DStream:
        """A batch an RDD of the list (or an iterable, which is parallelized); all in the first batch if not
        ``oneAtATime``. Then ``default``, or empty batches.

        A ``collections.deque``, ``queue.Queue`` or ``queue.SimpleQueue`` is live: what any thread pushes to
        it, also after the start, is taken from it, one a batch, or all that is there if not ``oneAtATime``;
        ``Queue.join()`` returns when the batches are over. What is no RDD and no iterable fails its batch.
        Of anything else, such as a list, later changes are not seen.

        It cannot be read again after a crash, and a live queue cannot be used with ``ssc.checkpoint``: for
        tests and demonstrations.

        >>> from collections import deque
        >>> live = deque([[1, 2]])
        >>> ssc, seen = StreamingContext(sc, 1), []
        >>> ssc.queueStream(live).foreachRDD(lambda rdd: seen.append(rdd.collect()))
        >>> live.append(sc.parallelize([3]))
        >>> ssc.start(availableNow=True)
        >>> ssc.awaitTermination()
        >>> seen, live
        ([[1, 2], [3]], deque([]))
        """
        self.must_be_open()
        last = None if default is None else self._plan_of(default)
        source: StreamSource
        if isinstance(rdds, (deque, queue.Queue, queue.SimpleQueue)):
            source = LiveQueueSource(rdds, self._plan_of, one_at_a_time=oneAtATime, default=last)
        elif not isinstance(rdds, Iterable) or isinstance(rdds, (str, bytes)):
            raise SignatureError(
                f"queueStream needs a list of RDDs or of lists, or a queue, not {type(rdds).__name__}"
            )
        else:
            plans = [self._plan_of(rdd) for rdd in rdds]
            source = QueueSource(plans, one_at_a_time=oneAtATime, default=last)
        return self._input("queueStream", source)

    def _plan_of(self, rdd: RDD | Iterable[Any]) -> Node:
        if isinstance(rdd, RDD):
            return rdd.plan
        if not isinstance(rdd, Iterable):
            raise SignatureError(f"queueStream needs RDDs or lists of records, not {type(rdd).__name__}")
        return self._sc.parallelize(rdd).plan

    def _input(self, operation: str, source: StreamSource, *, may_refuse: bool = False) -> DStream:
        """A stream of what a source has; if it ``may_refuse`` something, of the records, with ``.rejects``
        beside them."""
        node = Input(call_site(operation), source, len(self._graph.inputs), self._graph.interval_ms)
        self._graph.inputs.append(node)
        return DStream(Records(node.site, node) if may_refuse else node, self)


def must_be_positive(count: object, what: str) -> None:
    """``SignatureError`` or ``ArgumentError`` unless it is a whole number, 1 or more."""
    if isinstance(count, bool) or not isinstance(count, int):
        raise SignatureError(f"{what} must be an int, not {count!r}")
    if count < 1:
        raise ArgumentError(f"{what} must be at least 1, not {count}")
