"""Graphs of operators as data, to be built twice: for the engine, and for the reference interpreter.

>>> numbers = Records([1, 2, 3], 2)
>>> graph = Apply("union", (numbers, Apply("map", (numbers,), (str,))))
>>> graph
(a := Records([1, 2, 3], 2)).union(a.map(str))
>>> as_rdd(graph, sc).collect()
[1, 2, 3, '1', '2', '3']

A node that is used twice is *shared*: the engine gets one RDD (or stream) for it, and each of its
readers must see it as if there were no other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from penstock.chunk import isolated
from penstock.context import Context
from penstock.dstream import DStream, StateSpec
from penstock.rdd import RDD

__all__ = ["Apply", "Batches", "Graph", "Hole", "Records", "Template", "as_rdd", "as_stream", "nodes_of"]


@dataclass(frozen=True, eq=False, repr=False)
class Graph:
    """A node and all below it. Nodes are compared by identity."""

    def __repr__(self) -> str:
        """As Python that builds it; a shared node has a name."""
        return _text(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """So for Hypothesis and IPython, which would write a shared node out as often as it is read."""
        printer.text(_text(self))


@dataclass(frozen=True, eq=False, repr=False)
class Records(Graph):
    """``sc.parallelize(records, slices)``."""

    records: Sequence[Any]
    slices: int


@dataclass(frozen=True, eq=False, repr=False)
class Batches(Graph):
    """An input stream: the records of each batch, in ``slices`` partitions; then nothing."""

    batches: Sequence[Sequence[Any]]
    slices: int


@dataclass(frozen=True, eq=False, repr=False)
class Hole(Graph):
    """A parameter of a :class:`Template`."""


@dataclass(frozen=True, eq=False, repr=False)
class Apply(Graph):
    """The method ``operator`` of the first input, called with the other inputs and the arguments.

    The iterables that ``groupByKey`` and ``cogroup`` give as values are lists to the reference: a graph
    that is built for both goes on with ``mapValues(list)``.
    """

    operator: str
    inputs: tuple[Graph, ...]
    arguments: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Template:
    """A function of RDDs, as data: what ``transform`` and ``transformWith`` of a stream are given."""

    graph: Graph
    holes: tuple[Hole, ...]

    def __repr__(self) -> str:
        return f"lambda {', '.join('_' for _ in self.holes)}: {self.graph!r}"


def _text(graph: Graph) -> str:
    reads = Counter(below for node in nodes_of(graph) if isinstance(node, Apply) for below in node.inputs)
    names: dict[Graph, str] = {}

    def text(node: Graph) -> str:
        if node in names:
            return names[node]
        if reads[node] > 1:
            names[node] = f"{chr(ord('a') + len(names) % 26)}{len(names) // 26 or ''}"
            return f"({names[node]} := {described(node)})"
        return described(node)

    def described(node: Graph) -> str:
        if isinstance(node, Records):
            return f"Records({node.records!r}, {node.slices})"
        if isinstance(node, Batches):
            return f"Batches({node.batches!r}, {node.slices})"
        if not isinstance(node, Apply):
            return "_"
        first, *others = map(text, node.inputs)
        named = (f"{name}={_shown(value)}" for name, value in node.named.items())
        return f"{first}.{node.operator}({', '.join([*others, *map(_shown, node.arguments), *named])})"

    return text(graph)


def _shown(value: Any) -> str:
    return getattr(value, "__name__", None) or repr(value)


def nodes_of(graph: Graph) -> Iterator[Graph]:
    """Each node once, what is read before what reads it."""
    seen: set[Graph] = set()
    pending = [(graph, False)]
    while pending:
        node, read = pending.pop()
        if read:
            yield node
        elif node not in seen:
            seen.add(node)
            pending.append((node, True))
            if isinstance(node, Apply):
                pending.extend((below, False) for below in reversed(node.inputs))


def as_rdd(graph: Graph, context: Context, holes: Mapping[Graph, RDD] | None = None) -> RDD:
    """The graph for the engine. ``holes`` says what its holes are."""

    def leaf(node: Graph) -> RDD:
        if isinstance(node, Records):
            return context.parallelize(isolated(node.records), node.slices)
        assert holes is not None, f"a graph of RDDs cannot begin with {node!r}"
        return holes[node]

    built: RDD = _built(graph, leaf)
    return built


def as_stream(graph: Graph, inputs: Mapping[Graph, DStream]) -> DStream:
    """The graph for the engine; ``inputs`` are the streams that its ``Batches`` go into."""
    built: DStream = _built(graph, inputs.__getitem__)
    return built


def _built(graph: Graph, leaf: Callable[[Graph], Any]) -> Any:
    built: dict[Graph, Any] = {}
    for node in nodes_of(graph):
        if isinstance(node, Apply):
            first, *others = (built[below] for below in node.inputs)
            given = [*others, *map(_argument, node.arguments)]
            if node.operator == "transformWith":  # the function first
                given.reverse()
            if node.operator == "mapWithState":
                given = [_state_spec(*given)]
            built[node] = getattr(first, node.operator)(*given, **node.named)
        else:
            built[node] = leaf(node)
    return built[graph]


def _state_spec(
    function: Callable[..., Any], partitions: int, initial: Any, timeout: int | None
) -> StateSpec:
    """``timeout`` counts batches, which are a second apart."""
    spec = StateSpec.function(function).numPartitions(partitions)
    if initial is not None:
        spec.initialState(initial)
    return spec if timeout is None else spec.timeout(timeout)


def _argument(given: Any) -> Any:
    if not isinstance(given, Template):
        return given
    template = given

    def one(rdd: RDD) -> RDD:
        return as_rdd(template.graph, rdd.ctx, {template.holes[0]: rdd})

    def two(rdd: RDD, other: RDD) -> RDD:
        return as_rdd(template.graph, rdd.ctx, dict(zip(template.holes, (rdd, other), strict=True)))

    return one if len(template.holes) == 1 else two
