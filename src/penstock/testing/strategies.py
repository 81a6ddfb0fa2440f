"""Hypothesis strategies: records, keys, batches, functions, and whole graphs of operators.

Needs the ``test`` extra, so it is imported by name: ``from penstock.testing import strategies``. A graph
that :func:`rdd_graphs` or :func:`stream_graphs` draws goes to the engine by ``as_rdd`` or ``as_stream``
and to the reference by ``evaluate`` or ``evaluate_batches``; both must agree. Its records are mixed on
purpose (1 beside 1.0 beside True, NaN, -0.0, text outside of ASCII, lists and dicts that functions
change), and its nodes are used more than once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

from hypothesis import strategies as st

from penstock.plan import StorageLevel
from penstock.rdd import Partitioner
from penstock.testing import functions as fn
from penstock.testing.graphs import Apply, Batches, Graph, Hole, Records, Template
from penstock.values import dataclass

__all__ = [
    "batches",
    "floats",
    "functions",
    "keys",
    "pairs",
    "partition_counts",
    "rdd_graphs",
    "records",
    "stream_graphs",
]

_MOST_ROWS = 300  # a graph that may make more is not grown by products, ten times as many not at all


# ------------------------------------------------------------------------------------------- records


def floats() -> st.SearchStrategy[float]:
    """Floats, and often the ones that tell implementations apart."""
    odd = (0.0, -0.0, 1.0, 0.1, math.inf, -math.inf, math.nan, 1e16, 2.0**53)
    return st.sampled_from(odd) | st.floats(allow_subnormal=False)


def _scalars() -> st.SearchStrategy[Any]:
    large = st.sampled_from((2**53 + 1, 2**63, -(2**63) - 1))
    numbers = st.integers(-3, 3) | st.integers() | large | st.booleans() | floats()
    return st.none() | numbers | st.sampled_from(("", "a", "é", "ß", "\U0001f600")) | st.text(max_size=4)


def keys() -> st.SearchStrategy[Any]:
    """What can be a key, few enough to meet again; tuples of such included."""
    few = st.sampled_from((0, 1, 1.0, True, -1, 2, 0.0, -0.0, math.nan, "a", "b", "é", "", None, "1"))
    branches = (few, few, few, few, st.tuples(few), st.tuples(few, few), _scalars())
    return st.sampled_from(branches).flatmap(lambda branch: branch)


def records() -> st.SearchStrategy[Any]:
    """Any record: scalars; tuples, lists, dicts of records, two or three deep."""

    def holders(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        lists = st.lists(inner, max_size=3)
        return lists | lists.map(tuple) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2)

    return st.recursive(_scalars(), holders, max_leaves=4)


def pairs(values: st.SearchStrategy[Any] | None = None) -> st.SearchStrategy[tuple[Any, Any]]:
    """``(key, value)``."""
    return st.tuples(keys(), records() if values is None else values)


def batches(of: st.SearchStrategy[Any] | None = None, *, most: int = 5) -> st.SearchStrategy[list[list[Any]]]:
    """The records of one to ``most`` batches, some of them empty."""
    return st.lists(st.lists(records() if of is None else of, max_size=6), min_size=1, max_size=most)


def partition_counts(most: int = 5) -> st.SearchStrategy[int]:
    """Numbers of partitions: fewer and more than there are records."""
    return st.integers(1, most)


def functions() -> st.SearchStrategy[Callable[[Any], Any]]:
    """Functions of any record; many change it."""
    return st.sampled_from(fn.MAPPERS)


# -------------------------------------------------------------------------------------------- graphs

Kind = Literal["any", "pairs", "lists"]
"""What is known of a node's records: nothing; they are pairs; pairs whose values are lists."""


@dataclass(frozen=True)
class _Grown:
    """A node of a graph that grows, and the most rows it can have."""

    graph: Graph
    kind: Kind
    rows: int


Draw = Callable[[st.SearchStrategy[Any]], Any]
Production = Callable[[Draw, _Grown, list[_Grown]], _Grown | None]
"""One more operator on a node, beside other nodes; ``None`` if it would make too many rows."""


def _placing(draw: Draw) -> Any:
    """A number of partitions, a partitioner, or nothing."""
    count = draw(partition_counts())
    function = draw(st.sampled_from((None, None, int, *fn.PARTITION_FUNCTIONS)))
    if function is None:
        return draw(st.sampled_from((None, count)))
    return Partitioner(count) if function is int else Partitioner(count, function)


def _one(operator: str, kind: Kind, *choices: Any, grows: int = 1) -> Production:
    """An operator on one input; an argument is one of its choices."""

    def produce(draw: Draw, at: _Grown, pool: list[_Grown]) -> _Grown:
        arguments = tuple(draw(st.sampled_from(choice)) for choice in choices)
        return _Grown(Apply(operator, (at.graph,), arguments), kind, at.rows * grows)

    return produce


def _by_key(operator: str, *choices: Any, kind: Kind = "pairs") -> Production:
    """An operator on pairs that takes a number of partitions last."""

    def produce(draw: Draw, at: _Grown, pool: list[_Grown]) -> _Grown:
        arguments = tuple(draw(st.sampled_from(choice)) for choice in choices)
        graph = Apply(operator, (at.graph,), (*arguments, _placing(draw)))
        return _Grown(graph, kind, at.rows)

    return produce


def _counted(operator: str) -> Production:
    """An operator that takes a number of partitions."""

    def produce(draw: Draw, at: _Grown, pool: list[_Grown]) -> _Grown:
        return _Grown(Apply(operator, (at.graph,), (draw(partition_counts()),)), at.kind, at.rows)

    return produce


def _grouped(operator: str, *choices: Any) -> Production:
    """The iterables that this gives become lists."""

    def produce(draw: Draw, at: _Grown, pool: list[_Grown]) -> _Grown:
        arguments = tuple(draw(st.sampled_from(choice)) for choice in choices)
        grouped = Apply(operator, (at.graph,), (*arguments, _placing(draw)))
        return _Grown(Apply("mapValues", (grouped,), (list,)), "lists", at.rows)

    return produce


def _another(draw: Draw, at: _Grown, pool: list[_Grown], *, pairs: bool = False) -> _Grown:
    """A node to put beside this one: itself too, as often as not."""
    fitting = [grown for grown in pool if not pairs or grown.kind != "any"]
    other: _Grown = draw(st.sampled_from([*fitting, at]))
    return other


def _union(draw: Draw, at: _Grown, pool: list[_Grown]) -> _Grown:
    other = _another(draw, at, pool)
    kind: Kind = at.kind if at.kind == other.kind else "any"
    return _Grown(Apply("union", (at.graph, other.graph)), kind, at.rows + other.rows)


def _joined(draw: Draw, at: _Grown, pool: list[_Grown]) -> _Grown | None:
    other = _another(draw, at, pool, pairs=True)
    operator = draw(st.sampled_from(("join", "leftOuterJoin", "rightOuterJoin", "fullOuterJoin")))
    if at.rows * other.rows > _MOST_ROWS:
        return None
    graph = Apply(operator, (at.graph, other.graph), (_placing(draw),))
    return _marked(draw, _Grown(graph, "pairs", at.rows * other.rows + at.rows + other.rows))


def _marked(draw: Draw, grown: _Grown) -> _Grown:
    """As often as not with a step that changes all it is given, so that what is shared shows."""
    if not draw(st.booleans()):
        return grown
    return _Grown(Apply("map", (grown.graph,), (fn.marked_in_place,)), grown.kind, grown.rows)


def _branched(draw: Draw, at: _Grown, pool: list[_Grown]) -> _Grown:
    """Two branches of one node beside each other, one or both of which take it apart and change it."""
    readers = (*fn.PAIR_MAPPERS, fn.second) if at.kind != "any" else (fn.marked_in_place, fn.boxed)
    node = Apply("filter", (at.graph,), (fn.whatever,))  # a source is read again, all else is computed once
    branches = []
    for _ in "ab":
        reader = draw(st.sampled_from((None, *readers)))
        graph = node if reader is None else Apply("map", (node,), (reader,))
        branches.append(_marked(draw, _Grown(graph, "any", at.rows)).graph)
    return _Grown(Apply("union", tuple(branches)), "any", at.rows * 2)


def _cogrouped(draw: Draw, at: _Grown, pool: list[_Grown]) -> _Grown:
    other = _another(draw, at, pool, pairs=True)
    cogrouped = Apply("cogroup", (at.graph, other.graph), (_placing(draw),))
    return _Grown(Apply("mapValues", (cogrouped,), (fn.lists_of,)), "pairs", at.rows + other.rows)


def _without_keys(draw: Draw, at: _Grown, pool: list[_Grown]) -> _Grown:
    other = _another(draw, at, pool, pairs=True)
    graph = Apply("subtractByKey", (at.graph, other.graph), (_placing(draw),))
    return _Grown(graph, at.kind, at.rows)


def _as_set(draw: Draw, at: _Grown, pool: list[_Grown]) -> _Grown:
    """``distinct``, ``subtract``, ``intersection``: of what has a hash, such as texts and numbers."""
    other = _another(draw, at, pool)
    sides = tuple(
        Apply("map", (grown.graph,), (draw(st.sampled_from((fn.text_of, fn.size_of))),))
        for grown in (at, other)
    )
    operator = draw(st.sampled_from(("distinct", "subtract", "intersection")))
    if operator == "distinct":
        return _Grown(Apply("distinct", sides[:1], (_placing(draw),)), "any", at.rows)
    arguments = (_placing(draw),) if operator == "subtract" else ()
    return _Grown(Apply(operator, sides, arguments), "any", at.rows)


def _cartesian(draw: Draw, at: _Grown, pool: list[_Grown]) -> _Grown | None:
    other = _another(draw, at, pool)
    if at.rows * other.rows > _MOST_ROWS:
        return None
    return _marked(draw, _Grown(Apply("cartesian", (at.graph, other.graph)), "any", at.rows * other.rows))


def _zipped(draw: Draw, at: _Grown, pool: list[_Grown]) -> _Grown:
    """With something of the same shape: itself, changed by a function or not."""
    other = draw(st.sampled_from((at.graph, Apply("map", (at.graph,), (draw(functions()),)))))
    sides = draw(st.permutations((at.graph, other)))
    return _marked(draw, _Grown(Apply("zip", tuple(sides)), "any", at.rows))


def _aggregated(draw: Draw, at: _Grown, pool: list[_Grown]) -> _Grown:
    operator = draw(st.sampled_from(("combineByKey", "aggregateByKey", "foldByKey")))
    functions: tuple[Any, ...]
    if operator == "combineByKey":
        functions = (fn.boxed, fn.gathered_in_place, fn.joined_in_place)
    elif operator == "aggregateByKey":
        functions = (["zero"], fn.gathered_in_place, draw(st.sampled_from((fn.joined_in_place, fn.nested))))
    else:
        functions = ({"zero": []}, fn.updated_in_place)
    return _Grown(Apply(operator, (at.graph,), (*functions, _placing(draw))), "pairs", at.rows)


def _sorted(draw: Draw, at: _Grown, pool: list[_Grown]) -> _Grown:
    """To one partition: which of several holds what is left open."""
    arguments = (draw(st.sampled_from((fn.text_of, fn.size_of))), draw(st.booleans()), 1)
    return _Grown(Apply("sortBy", (at.graph,), arguments), at.kind, at.rows)


def _sorted_by_key(draw: Draw, at: _Grown, pool: list[_Grown]) -> _Grown:
    arguments = (draw(st.booleans()), 1, draw(st.sampled_from((fn.text_of, fn.size_of))))
    return _Grown(Apply("sortByKey", (at.graph,), arguments), at.kind, at.rows)


def _kept(draw: Draw, at: _Grown, pool: list[_Grown]) -> _Grown | None:
    """Persisted, if it is not yet."""
    if any(isinstance(grown.graph, Apply) and grown.graph.operator == "persist" for grown in [at]):
        return None
    if any(
        isinstance(grown.graph, Apply)
        and grown.graph.operator == "persist"
        and grown.graph.inputs[0] is at.graph
        for grown in pool
    ):
        return None
    levels = (StorageLevel.MEMORY_ONLY, StorageLevel.DISK_ONLY)
    return _Grown(Apply("persist", (at.graph,), (draw(st.sampled_from(levels)),)), at.kind, at.rows)


def numbered_rows(index: int, rows: Any) -> Any:
    """Each record beside the index of its partition."""
    for row in rows:
        yield (index, row)


def sizes_of_partition(rows: Any) -> list[int]:
    """One number for a partition."""
    return [sum(map(fn.size_of, rows))]


_ON_ANY: list[Production] = [
    _one("map", "any", fn.MAPPERS),
    _one("filter", "any", fn.PREDICATES),
    _one("flatMap", "any", fn.EXPANDERS, grows=3),
    _one("keyBy", "pairs", fn.KEY_FUNCTIONS),
    _grouped("groupBy", fn.KEY_FUNCTIONS),
    _one("mapPartitions", "any", (sizes_of_partition,)),
    _one("mapPartitionsWithIndex", "pairs", (numbered_rows,)),
    _one("glom", "any"),
    _branched,
    _union,
]  # fmt: skip
_ON_ANY_RDD: list[Production] = [
    _one("zipWithIndex", "any"),
    _one("zipWithUniqueId", "any"),
    _counted("repartition"),
    _counted("coalesce"),
    _as_set,
    _cartesian,
    _zipped,
    _sorted,
    _kept,
]  # fmt: skip
_ON_PAIRS: list[Production] = [
    _one("map", "any", (fn.second,)),
    _one("map", "pairs", fn.PAIR_MAPPERS),
    _one("mapValues", "pairs", fn.MAPPERS),
    _one("flatMapValues", "pairs", fn.EXPANDERS, grows=3),
    _by_key("reduceByKey", fn.REDUCERS),
    _grouped("groupByKey"),
    _branched,
    _joined,
    _cogrouped,
]
_ON_RDD_OF_PAIRS: list[Production] = [
    _one("keys", "any"),
    _one("values", "any"),
    _aggregated,
    _without_keys,
    _sorted_by_key,
]  # fmt: skip
_ON_LISTS: list[Production] = [
    _by_key("reduceByKey", fn.LIST_REDUCERS, kind="lists"),
    _one("mapValues", "lists", (fn.marked_in_place,)),
]


def _partitioned(draw: Draw, at: _Grown, pool: list[_Grown]) -> _Grown:
    to = draw(partition_counts()) if draw(st.booleans()) else Partitioner(draw(partition_counts()))
    return _Grown(Apply("partitionBy", (at.graph,), (to,)), at.kind, at.rows)


def _grown(draw: Draw, pool: list[_Grown], table: Callable[[_Grown], list[Production]], most: int) -> Graph:
    """The pool with up to ``most`` operators on it; the node that was grown last."""
    for _ in range(draw(st.sampled_from([*range(1, most), *[most] * most]))):  # often the most
        at = draw(st.sampled_from([*[pool[-1]] * 3 * len(pool), *pool[::-1]]))
        grown = draw(st.sampled_from(table(at)))(draw, at, pool)
        if grown is not None and grown.rows <= 10 * _MOST_ROWS:
            pool.append(grown)
    return pool[-1].graph


def _of_rdds(at: _Grown) -> list[Production]:
    found = _ON_ANY + _ON_ANY_RDD
    if at.kind != "any":
        found = (_ON_PAIRS + _ON_RDD_OF_PAIRS + [_partitioned]) * 2 + found
    return _ON_LISTS * 3 + found if at.kind == "lists" else found


@st.composite
def rdd_graphs(draw: Draw, *, most_operators: int = 7, failing: bool = False) -> Graph:
    """Graphs of RDDs: up to three ``Records`` and operators on them, any of which may be shared.

    With ``failing`` the first step on one of them raises at one or several of its records.

    >>> from penstock.testing import strategies
    >>> strategies.rdd_graphs(most_operators=3)
    rdd_graphs(most_operators=3)
    """
    pool: list[_Grown] = []
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(("pairs", "any", "lists")))
        least = draw(st.sampled_from((0, 1, 4, 4, 4)))
        rows = draw(st.lists(_records_of(kind), min_size=least, max_size=8))
        slices = draw(partition_counts())
        graph: Graph = Records(rows, slices)
        if failing and not pool:
            graph = Apply("map", (Records(_poisoned(draw, rows, kind), slices),), (fn.refuse_poison,))
        pool.append(_Grown(graph, kind, len(rows)))
    return _grown(draw, pool, _of_rdds, most_operators)


def _poisoned(draw: Draw, rows: list[Any], kind: Kind) -> list[Any]:
    """The rows with poison at one or several places, of which each can be told from the others."""
    places = draw(st.sets(st.integers(0, len(rows)), min_size=1, max_size=3))
    for number, place in enumerate(sorted(places, reverse=True)):
        name = f"poison {number}"
        rows.insert(place, {"any": name, "pairs": ("a", name), "lists": ("a", [name])}[kind])
    return rows


def _records_of(kind: Kind) -> st.SearchStrategy[Any]:
    return {"any": records(), "pairs": pairs(), "lists": pairs(st.lists(records(), max_size=2))}[kind]


# -------------------------------------------------------------------------------------------- streams


def _slide_of(graph: Graph) -> int:
    """In batches; a window operator's own where it has one."""
    while isinstance(graph, Apply):
        given = [a for a in graph.arguments if isinstance(a, _Slide)]
        if given:
            return int(given[0])
        graph = graph.inputs[0]
    return 1


class _Slide(int):
    """A slide among the arguments, in batches."""

    __slots__ = ()


def _lengths(draw: Draw, at: _Grown) -> tuple[int, _Slide]:
    """A window's length and slide, multiples of the parent's slide."""
    own = _slide_of(at.graph)
    length = draw(st.integers(1, 4) | st.sampled_from((9, 11)))  # short, and long enough for pieces
    return own * length, _Slide(own * draw(st.sampled_from((1, 1, 2, 3))))


def _windowing(operator: str, kind: Kind, *, partitions: bool = False, grows: int = 4) -> Production:
    def produce(draw: Draw, at: _Grown, pool: list[_Grown]) -> _Grown:
        graph: Graph = Apply(operator, (at.graph,), _lengths(draw, at))
        if partitions:
            graph = Apply(operator, (at.graph,), (*graph.arguments, draw(partition_counts(3))))  # type: ignore[attr-defined]
        if operator == "groupByKeyAndWindow":
            graph = Apply("mapValues", (graph,), (list,))
        return _Grown(graph, kind if operator != "window" else at.kind, at.rows * grows)

    return produce


def _reduced_by_window(draw: Draw, at: _Grown, pool: list[_Grown]) -> _Grown:
    boxes = Apply("map", (at.graph,), (fn.boxed,))
    function = draw(st.sampled_from((fn.joined, fn.joined_in_place, fn.longer_of)))
    graph = Apply("reduceByWindow", (boxes,), (function, None, *_lengths(draw, at)))
    return _Grown(graph, "any", 1)


def _reduced_by_key_and_window(draw: Draw, at: _Grown, pool: list[_Grown]) -> _Grown:
    lists = at.graph if at.kind == "lists" else Apply("mapValues", (at.graph,), (fn.value_as_list,))
    function, inverse = draw(
        st.sampled_from((*((f, None) for f in fn.LIST_REDUCERS), (fn.joined_in_place, fn.dropped_in_place)))
    )
    wanted = draw(st.sampled_from((None, None, fn.long_enough)))
    arguments = (function, inverse, *_lengths(draw, at), draw(partition_counts(3)), wanted)
    return _Grown(Apply("reduceByKeyAndWindow", (lists,), arguments), "lists", at.rows)


def _stateful(draw: Draw, at: _Grown, pool: list[_Grown]) -> _Grown:
    initial = draw(st.none() | st.lists(pairs(st.integers(0, 3)), min_size=1, max_size=3))
    update = draw(st.sampled_from(fn.UPDATES))
    graph = Apply("updateStateByKey", (at.graph,), (update, draw(partition_counts(3)), initial))
    return _Grown(graph, "pairs", at.rows * 4)


def _mapped_with_state(draw: Draw, at: _Grown, pool: list[_Grown]) -> _Grown:
    initial = draw(st.none() | st.lists(pairs(st.integers(0, 3)), min_size=1, max_size=3))
    arguments = (draw(st.sampled_from(fn.MAPPINGS)), draw(partition_counts(3)), initial)
    graph: Graph = Apply("mapWithState", (at.graph,), (*arguments, draw(st.none() | st.integers(1, 3))))
    if draw(st.booleans()):
        return _Grown(Apply("stateSnapshots", (graph,), ()), "pairs", at.rows * 4)
    return _Grown(graph, "any", at.rows)


def _transformed(draw: Draw, at: _Grown, pool: list[_Grown]) -> _Grown | None:
    """``transform`` and ``transformWith`` with a small graph of RDD operators."""
    holes: tuple[Hole, ...] = (Hole(),)
    sides = [at]
    if draw(st.booleans()):
        other = _another(draw, at, pool)
        if _slide_of(other.graph) == _slide_of(at.graph):
            holes, sides = (Hole(), Hole()), [at, other]
    inside = [_Grown(hole, side.kind, side.rows) for hole, side in zip(holes, sides, strict=True)]
    graph = _grown(draw, inside, _within_transform, 3)
    operator = "transform" if len(holes) == 1 else "transformWith"
    inputs = tuple(side.graph for side in sides)
    return _Grown(Apply(operator, inputs, (Template(graph, holes),)), inside[-1].kind, inside[-1].rows)


def _within_transform(at: _Grown) -> list[Production]:
    """All but what would keep an RDD of a batch for ever."""
    return [production for production in _of_rdds(at) if production is not _kept]


def _beside(production: Production) -> Production:
    """A production whose other input has the same slide."""

    def produce(draw: Draw, at: _Grown, pool: list[_Grown]) -> _Grown | None:
        slide = _slide_of(at.graph)
        return production(draw, at, [grown for grown in pool if _slide_of(grown.graph) == slide])

    return produce


_STATELESS_STREAM = [
    p for p in _ON_ANY if p not in (_union, *_ON_ANY[3:5])
]  # a stream has no keyBy and no groupBy
_ON_STREAM: list[Production] = [
    *_STATELESS_STREAM,
    _beside(_union),
    _counted("repartition"),
    _one("count", "any"),
    _windowing("window", "any"),
    _windowing("countByWindow", "any"),
    _reduced_by_window,
    _transformed,
]
_ON_STREAM_OF_PAIRS: list[Production] = [
    _one("map", "any", (fn.second,)),
    _one("map", "pairs", fn.PAIR_MAPPERS),
    _one("mapValues", "pairs", fn.MAPPERS),
    _one("flatMapValues", "pairs", fn.EXPANDERS, grows=3),
    _by_key("reduceByKey", fn.REDUCERS),
    _grouped("groupByKey"),
    _beside(_joined),
    _beside(_cogrouped),
    _partitioned,
    _windowing("groupByKeyAndWindow", "lists", partitions=True),
    _reduced_by_key_and_window,
    _reduced_by_key_and_window,
    _stateful,
    _stateful,
    _mapped_with_state,
    _mapped_with_state,
]


def _counted_by_value(draw: Draw, at: _Grown, pool: list[_Grown]) -> _Grown:
    texts = Apply("map", (at.graph,), (draw(st.sampled_from((fn.text_of, fn.size_of))),))
    if draw(st.booleans()):
        return _Grown(Apply("countByValue", (texts,), (draw(partition_counts(3)),)), "pairs", at.rows)
    arguments = (*_lengths(draw, at), draw(partition_counts(3)))
    return _Grown(Apply("countByValueAndWindow", (texts,), arguments), "pairs", at.rows)


def _of_streams(at: _Grown) -> list[Production]:
    found = [*_ON_STREAM, _counted_by_value]
    if at.kind != "any":
        found += _ON_STREAM_OF_PAIRS * 2
    return found


@st.composite
def stream_graphs(draw: Draw, *, most_operators: int = 6, failing: bool = False) -> Graph:
    """Graphs of streams: one or two ``Batches`` and operators on them, windows and state among them.

    With ``failing`` the first step on one of them raises at one or several records of one batch.
    """
    pool: list[_Grown] = []
    slices = draw(partition_counts(3))
    for _ in range(draw(st.integers(1, 2))):
        kind = draw(st.sampled_from(("pairs", "any", "lists")))
        held = draw(batches(_records_of(kind)))
        graph: Graph = Batches(held, slices)
        if failing and not pool:
            index = draw(st.integers(0, len(held) - 1))
            held[index] = _poisoned(draw, held[index], kind)
            graph = Apply("map", (graph,), (fn.refuse_poison,))
        pool.append(_Grown(graph, kind, 6))
    return _grown(draw, pool, _of_streams, most_operators)
