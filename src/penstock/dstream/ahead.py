"""Batches that wait for their turn, computed ahead as far as no function of the user's is called.

::

    offer(t) ---> in line ---when it fits---> computed ---begin(t)---> the batch has it ---release(t)---> gone
                     '------------------begin(t): too late, the batch computes it----------------^

What can be computed ahead are eager nodes that read eager nodes only, down to inputs that may be read
early: say, files and the parsing of their lines. Their RDDs are made on the thread that computes them, beside
the generation, which takes them over when the batch begins. So whatever happens here, or does not, shows in
nothing but time: an exception is dropped, and the batch meets it again by itself.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any, Protocol

from penstock.dstream.graph import StreamGraph
from penstock.dstream.inputs import Input
from penstock.dstream.node import StreamNode
from penstock.plan import Node, Source, asked_at
from penstock.rdd import RDD, Partitioner, Runner
from penstock.sources import Intent
from penstock.times import BatchTime

__all__ = ["Ahead", "Prefetched", "Prefetcher"]

_log = logging.getLogger(__name__)


class Prefetched(Protocol):
    """A plan on its way to being computed before a job asks for it; see ``executors.Prefetch``."""

    def run(self) -> None:
        """Compute it on this thread."""

    def end(self) -> None:
        """Begin no further partition."""

    def release(self) -> None:
        """Hold nothing any more."""


class Prefetcher(Runner, Protocol):
    """Who computes ahead; a ``Context``."""

    def prefetch(self, plan: Node) -> Prefetched:
        """Make ready to compute a plan ahead of the jobs that read it."""


class _Waiting:
    """A batch that has not begun, or has and is not over."""

    __slots__ = ("bytes", "intents", "prefetches", "rdds", "time")

    def __init__(self, time: int, intents: Mapping[int, Intent]) -> None:
        self.time = time
        self.intents = intents
        self.rdds: dict[StreamNode, RDD | None] | None = None
        self.bytes: int | None = None
        self.prefetches: list[Prefetched] = []


class Ahead:
    """At most ``limit_bytes`` of input are read ahead of the batch that runs; 0: nothing is.

    One thread computes: it calls :meth:`run`, or :meth:`work` in a test. All others may be called on any
    thread, and wait for no computation.
    """

    def __init__(self, graph: StreamGraph, context: Prefetcher, limit_bytes: int) -> None:
        self._context = context
        self._limit_bytes = limit_bytes
        chain: dict[StreamNode, None] = {}
        for node in graph.nodes():
            if node.eager and all(dependency in chain for dependency in node.dependencies):
                chain[node] = None
        readers = [node for node in graph.nodes() if node not in chain]
        read = {dependency for node in readers for dependency in node.dependencies}
        read.update(output.node for output in graph.outputs)
        self._chain = list(chain)  # dependencies first
        self._outermost = [node for node in chain if node in read and _pays(node)]
        self._changed = threading.Condition()  # of all that follows
        self._line: dict[int, _Waiting] = {}
        self._ready: dict[int, _Waiting] = {}
        self._begun: dict[int, _Waiting] = {}
        self._newest = -1  # the newest batch time that has begun, or was over before it began
        self._bytes = 0  # of what is ready
        self._closed = False

    @property
    def active(self) -> bool:
        """Whether there is anything that can be computed ahead."""
        return self._limit_bytes > 0 and bool(self._outermost)

    # The batches

    def offer(self, time: BatchTime, intents: Mapping[int, Intent]) -> None:
        """A batch is planned and has to wait. Times increase; again, or too late: nothing happens."""
        with self._changed:
            if self.active and not self._closed and time > self._newest:
                if time not in self._ready:
                    self._line.setdefault(time, _Waiting(time, intents))
                self._changed.notify_all()

    def begin(self, time: BatchTime) -> Mapping[StreamNode, RDD | None]:
        """The batch's turn has come: the RDDs that were made for it, or none."""
        with self._changed:
            self._newest = time
            self._line.pop(time, None)
            waiting = self._ready.pop(time, None)
            if waiting is None or waiting.rdds is None:
                return {}
            self._begun[time] = waiting
            self._freed(waiting)
        for prefetch in waiting.prefetches:
            prefetch.end()
        return waiting.rdds

    def release(self, time: BatchTime) -> None:
        """The batches up to this one are over."""
        with self._changed:
            self._newest = max(self._newest, time)
            over = self._taken_out(time)
        for waiting in over:
            for prefetch in waiting.prefetches:
                prefetch.release()

    def close(self) -> None:
        """Compute nothing any more, and hold nothing; :meth:`run` returns."""
        with self._changed:
            self._closed = True
            over = self._taken_out(None)
        for waiting in over:
            for prefetch in waiting.prefetches:
                prefetch.release()

    def _taken_out(self, upto: int | None) -> list[_Waiting]:
        found = []
        for held in (self._line, self._ready, self._begun):
            for time in [time for time in held if upto is None or time <= upto]:
                found.append(held[time])
                if held is self._ready:
                    self._freed(held[time])
                del held[time]
        self._changed.notify_all()
        return found

    def _freed(self, waiting: _Waiting) -> None:
        self._bytes -= waiting.bytes or 0
        self._changed.notify_all()

    # Computing

    def run(self) -> None:
        """Compute what comes in line, until closed."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._head() is not None)
                if self._closed:
                    return
            self.work()

    def work(self) -> bool:
        """Compute the first batch in line, on this thread; false if there is none, or it has to wait for
        memory."""
        with self._changed:
            head = self._head()
        if head is None:
            return False
        if head.rdds is None:
            self._make(head)
        with self._changed:
            if not self._admitted(head):
                return True
        for prefetch in head.prefetches:
            prefetch.run()
        return True

    def _head(self) -> _Waiting | None:
        head = next(iter(self._line.values()), None)
        fits = head is not None and self._bytes + (head.bytes or 0) <= self._limit_bytes
        return head if fits else None

    def _make(self, head: _Waiting) -> None:
        """Make the RDDs; sizes that are not known, or an exception, leave ``bytes`` unknown."""
        batch = _EagerBatch(head, self._context, dict.fromkeys(self._chain))
        try:
            for node in self._chain:
                with asked_at(None if node.user_sites else node.site):
                    batch.made[node] = node.compute(BatchTime(head.time), batch)
            head.bytes = _bytes_of(batch.made)
        except Exception as error:  # the batch meets it again, and fails of it
            _log.debug("the batch %d ms could not be begun ahead: %r", head.time, error)
        head.rdds = batch.made

    def _admitted(self, head: _Waiting) -> bool:
        """Whether it may be computed: its turn has not come yet, and there is room for it."""
        if self._line.get(head.time) is not head:
            return False
        if head.bytes is None or head.bytes > self._limit_bytes:
            del self._line[head.time]
            return False
        if self._bytes + head.bytes > self._limit_bytes:
            return False
        assert head.rdds is not None
        del self._line[head.time]
        self._ready[head.time] = head
        self._bytes += head.bytes
        plans = [rdd.plan for node in self._outermost if (rdd := head.rdds[node]) is not None]
        head.prefetches = [self._context.prefetch(plan) for plan in dict.fromkeys(plans)]
        return True


class _EagerBatch:
    """What ``compute`` of an eager node may ask for."""

    def __init__(self, waiting: _Waiting, context: Prefetcher, rdds: dict[StreamNode, RDD | None]) -> None:
        self._waiting = waiting
        self._context = context
        self.made = rdds

    def rdd(self, node: StreamNode, time: int) -> RDD | None:
        assert time == self._waiting.time, f"{node} was asked ahead for another time"
        return self.made[node]

    def rdds(self, node: StreamNode, after: int, last: int) -> dict[int, RDD]:
        raise AssertionError(f"{node} is asked for several batches, so nothing can be computed ahead of it")

    def pieces(self, node: StreamNode) -> Mapping[Any, RDD]:
        raise AssertionError(f"{node} puts something by, so nothing can be computed ahead of it")

    def committed(self, node: StreamNode, time: int) -> tuple[int, RDD] | None:
        raise AssertionError(f"{node} has state, so nothing of it can be computed ahead")

    def input(self, node: StreamNode, time: int) -> Node:
        assert isinstance(node, Input)
        if node.id not in self._waiting.intents:
            return Source(node.site, ())
        return node.source.node(self._waiting.intents[node.id], node.site)

    def new_rdd(self, plan: Node, partitioner: Partitioner | None = None) -> RDD:
        return RDD(plan, self._context, partitioner)

    @property
    def home(self) -> None:
        raise AssertionError("what has state is not computed ahead")


def _pays(node: StreamNode) -> bool:
    """Whether computing it beside the batch that runs takes less from that batch than it saves later.

    Parsing runs in kernels, outside of Python's interpreter lock. What merely makes Python objects of a local
    file does not: measured on the dashboard, row by row, that made the whole run up to a quarter slower.
    """
    return not isinstance(node, Input) or node.source.waits


def _bytes_of(rdds: Mapping[StreamNode, RDD | None]) -> int | None:
    """How many bytes of input they are made of, ``None`` if a reader does not say."""
    total = 0
    for node, rdd in rdds.items():
        if isinstance(node, Input) and rdd is not None:
            for reader in rdd.plan.readers if isinstance(rdd.plan, Source) else (None,):
                hint = None if reader is None else reader.bytes_hint
                if hint is None:
                    return None
                total += hint
    return total
