"""DStream: the user's handle on a stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, Self

from penstock.dstream.arity import arity
from penstock.dstream.graph import StreamGraph
from penstock.dstream.node import StreamNode, Transformed
from penstock.dstream.outputs import Output
from penstock.errors import ArgumentError, CallSite, SignatureError
from penstock.plan import Step, call_site, must_be_callable
from penstock.rdd import RDD, Partitioner, Partitioning, Runner, partitioner_of
from penstock.times import BatchTime, local_datetime, shown_ms

__all__ = ["Handle", "Streaming", "callback", "rdd_callback"]


class Streaming(Protocol):
    """What a stream asks of the streaming context that made it."""

    @property
    def sparkContext(self) -> Runner:
        """The context that runs its RDDs."""

    @property
    def graph(self) -> StreamGraph:
        """The graph it belongs to."""

    def must_be_open(self) -> None:
        """``StateError`` once the context has started or stopped."""

    def must_not_have_started(self, what: str) -> None:
        """``StateError`` once the context has started."""

    def slice_of(self, node: StreamNode, begin_ms: int, end_ms: int) -> list[RDD]:
        """The RDDs of a node between two moments."""


def callback(func: Callable[..., Any], allowed: tuple[int, int], operation: str) -> Callable[..., Any]:
    """A user's function of RDDs, with or without the batch time in front, as one of ``(time, *rdds)``."""
    count = arity(func, allowed, operation)
    if count == allowed[0]:
        return lambda time, *rdds: func(*rdds)
    return lambda time, *rdds: func(local_datetime(time), *rdds)


def rdd_callback(
    func: Callable[..., Any], allowed: tuple[int, int], operation: str
) -> Callable[..., RDD | None]:
    """As :func:`callback`, for a function that must return an RDD or ``None``."""
    run = callback(func, allowed, operation)

    def checked(time: BatchTime, *rdds: Any) -> RDD | None:
        result = run(time, *rdds)
        if result is None or isinstance(result, RDD):
            return result
        raise SignatureError(
            f"the function given to {operation} should return an RDD, not {type(result).__name__}. "
            f"Hint: for effects without a result use foreachRDD."
        )

    return checked


class Handle:
    """The part of a DStream that all its operations share: a node, and the context it belongs to."""

    __slots__ = ("_node", "_ssc")

    def __init__(self, node: StreamNode, ssc: Streaming) -> None:
        self._node = node
        self._ssc = ssc

    def __repr__(self) -> str:
        return f"<DStream {self._node.site}, every {shown_ms(self._node.slide_duration)}>"

    def context(self) -> Any:
        """The StreamingContext it belongs to."""
        return self._ssc

    def _derive(self, node: StreamNode) -> Self:
        self._ssc.must_be_open()
        return type(self)(node, self._ssc)

    def _each(self, operation: str, function: Callable[[RDD], RDD]) -> Self:
        """Each RDD through ``function``."""
        site = call_site(operation)
        return self._derive(Transformed(site, (self._node,), lambda time, rdds: function(rdds[0])))

    def _each_by(
        self,
        function: Callable[[Any], Any],
        step_of: Callable[[Any, CallSite], Step],
        operation: str,
        *,
        placed: bool = False,
    ) -> Self:
        """Each RDD through the step that ``step_of(function, site)`` makes, once for all batches; ``placed``
        if no key changes."""
        must_be_callable(function, operation)
        site = call_site(operation)
        step = step_of(function, site)
        return self._derive(
            Transformed(site, (self._node,), lambda time, rdds: rdds[0]._narrow(step, site, placed=placed))
        )

    def _both(self, operation: str, other: Any, function: Callable[[RDD, RDD], RDD | None]) -> Self:
        """This one's RDD and the other's through ``function``."""
        site = call_site(operation)
        nodes = (self._node, self._other(other, site)._node)
        return self._derive(Transformed(site, nodes, lambda time, rdds: function(rdds[0], rdds[1])))

    def _other(self, other: Any, site: CallSite) -> Self:
        if not isinstance(other, Handle):
            raise SignatureError(f"{site} needs another DStream, not {type(other).__name__}")
        if other._ssc is not self._ssc:
            raise ArgumentError(f"{site} needs a DStream of the same StreamingContext")
        if other._node.slide_duration != self._node.slide_duration:
            raise ArgumentError(
                f"{site}: the two DStreams should have the same slide duration, not "
                f"{self._node.slide_duration} ms and {other._node.slide_duration} ms"
            )
        return other  # type: ignore[return-value]

    def _partitioner(self, given: Partitioning) -> Partitioner:
        return partitioner_of(given, lambda: self._ssc.sparkContext.defaultParallelism)

    def _output(
        self,
        operation: str,
        action: Callable[[BatchTime, RDD], Any],
        writes: str | None = None,
        place: str | None = None,
        rests: Callable[[BatchTime], bool] | None = None,
    ) -> None:
        self._ssc.must_be_open()
        self._ssc.graph.outputs.append(Output(call_site(operation), self._node, action, writes, place, rests))

    def name(self, name: str) -> Self:
        """Give this stream a name, under which a checkpoint keeps its state, its windows, or where an input
        is; returns this stream. Without one it is the operation and a count, such as ``updateStateByKey-1``:
        after the program has changed, that may be another stream's. ``StateError`` after the start.
        """
        if not isinstance(name, str) or not name:
            raise SignatureError(f"name() needs a text, not {name!r}")
        self._ssc.must_not_have_started("Cannot change the name of a DStream")
        self._named_node.given_name = name
        return self

    @property
    def _named_node(self) -> StreamNode:
        """The node that has the name."""
        return self._node.named

    @property
    def _slideDuration(self) -> float:
        """The slide duration in seconds, under PySpark's name."""
        return self._node.slide_duration / 1000
