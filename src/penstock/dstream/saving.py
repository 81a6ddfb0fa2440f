"""What of a running graph a checkpoint holds, under which names, and how it comes back.

Saved is what later batches read of earlier ones and nothing else gives: tables of keys, and the slides of
windows. What can be made of those again (a window's value with an inverse function) is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter

import numpy as np

from penstock.checkpoint import Image, InputRecord, OperatorRecord
from penstock.chunk import Chunk, Rows, portable_hash, rows_of
from penstock.dstream.graph import StreamGraph
from penstock.dstream.inputs import Input
from penstock.dstream.looking import StateView, Tables
from penstock.dstream.node import StreamNode
from penstock.rdd import Partitioner
from penstock.state import TableChange, whole
from penstock.values import dataclass

__all__ = [
    "Saved",
    "input_names",
    "inputs_of",
    "must_be_stable",
    "name_problems",
    "report",
    "rerouted",
    "rerouted_table",
    "saved_of",
    "state_views",
]


@dataclass(frozen=True)
class Saved:
    """One stream of which something is saved: its table, or its slides for ``remember_ms``."""

    name: str
    node: StreamNode
    kind: str
    remember_ms: int
    placing: Partitioner | None

    @property
    def record(self) -> OperatorRecord:
        """As the checkpoint has it."""
        site = self.node.site
        where = f"{site.file}:{site.line}" if site.file else ""
        partitions = 0 if self.placing is None else self.placing.numPartitions
        return OperatorRecord(self.kind, site.operation, where, partitions, self.remember_ms)


def saved_of(graph: StreamGraph) -> list[Saved]:
    """All that is saved of a graph, in the order of its nodes.

    A name is the one that the user has given, or the operation and a count of those before it. What windows
    read has the name of the longest that has one, if it has none of its own.
    """
    nodes = graph.nodes()
    readers: dict[StreamNode, list[StreamNode]] = {node: [] for node in nodes}
    for node in nodes:
        for dependency in node.dependencies:
            if node.keeps(dependency):
                readers[dependency].append(node)
    remembered = graph.remembered_ms()
    counts: Counter[str] = Counter()
    names: dict[StreamNode, str] = {}
    found: list[Saved] = []
    for node in nodes:
        windows = readers[node]
        if not node.keeps_table and not windows:
            continue
        name = node.given_name if node.named is node else names[node.named]
        if name is None:
            reach = sorted(windows, key=lambda window: -window.remembers(node))
            named = [window.given_name for window in reach if window.given_name is not None]
            operation = node.site.operation
            counts[operation] += 1
            name = named[0] if named and not node.keeps_table else f"{operation}-{counts[operation]}"
        names[node] = name
        if node.keeps_table:
            found.append(Saved(name, node, "table", 0, node.placing))
        if windows:
            placing = next((window.placing for window in windows if window.placing is not None), None)
            slides = f"{name} slides" if node.named.keeps_table else name
            found.append(Saved(slides, node, "slides", remembered[node], placing))
    return found


def state_views(graph: StreamGraph, tables: Tables) -> dict[str, StateView]:
    """Each operator with state by its name, to be looked at. Of two with one name the first counts."""
    found: dict[str, StateView] = {}
    for saved in saved_of(graph):
        if saved.kind == "table":
            found.setdefault(saved.name, StateView(saved.name, saved.node, tables))
    return found


def input_names(graph: StreamGraph) -> dict[Input, str]:
    """The inputs' names: the user's, or the operation and a count of those before it."""
    counts: Counter[str] = Counter()
    names: dict[Input, str] = {}
    for node in graph.inputs:
        counts[node.site.operation] += 1
        names[node] = node.given_name or f"{node.site.operation}-{counts[node.site.operation]}"
    return names


def inputs_of(graph: StreamGraph, position: Callable[[Input], object]) -> dict[str, InputRecord]:
    """The inputs as the checkpoint has them."""
    found = {}
    for node, name in input_names(graph).items():
        site = node.site
        where = f"{site.file}:{site.line}" if site.file else ""
        found[name] = InputRecord(node.source.name, site.operation, where, position(node))
    return found


def name_problems(graph: StreamGraph) -> list[str]:
    """Names that two streams have."""
    operators = Counter(saved.name for saved in saved_of(graph))
    inputs = Counter(input_names(graph).values())
    return [
        f"two streams have the name {name!r}, under which a checkpoint keeps one of them. "
        f"Hint: give each its own with .name(...)."
        for name, count in [*operators.items(), *inputs.items()]
        if count > 1
    ]


def rerouted(chunks: Sequence[Sequence[Chunk]], placing: Partitioner) -> list[list[Chunk]]:
    """Pairs in the partitions that a partitioner puts their keys in; in each, in the order of the old
    ones."""
    parts: list[list[object]] = [[] for _ in range(placing.numPartitions)]
    for pair in rows_of(chunk for partition in chunks for chunk in partition):
        parts[placing(pair[0])].append(pair)
    return [[Rows(part)] if part else [] for part in parts]


def rerouted_table(tables: Iterable[TableChange], placing: Partitioner) -> list[TableChange]:
    """Tables in the partitions that a partitioner puts their keys in."""
    parts: list[list[tuple[object, int]]] = [[] for _ in range(placing.numPartitions)]
    timed = True
    for table in tables:
        timed = timed and table.times is not None
        times = [0] * table.length if table.times is None else table.times.tolist()
        for pair, time in zip(rows_of(table.entries), times, strict=True):
            parts[placing(pair[0])].append((pair, time))
    return [_table_of(part, timed) for part in parts]


def _table_of(held: list[tuple[object, int]], timed: bool) -> TableChange:
    rows: list[Chunk] = [Rows([pair for pair, _ in held])] if held else []
    return whole(rows, np.array([time for _, time in held], np.int64) if timed else None)


def must_be_stable(chunks: Iterable[Chunk]) -> None:
    """``KeyTypeError`` for a key whose hash is another one in the next process: its state would be looked for
    in another partition then."""
    for chunk in chunks:
        if isinstance(chunk, Rows):
            rows = chunk.rows()
            if not set(map(type, map(itemgetter(0), rows))) <= _STABLE:
                for key, _ in rows:
                    portable_hash(key, strict=True)


_STABLE = {int, float, str, bytes, bool, type(None)}


def report(graph: StreamGraph, image: Image) -> list[str]:
    """What becomes of what a checkpoint holds if this program goes on from it, a line each.

    ``kept``, ``new`` (it begins empty), ``missing`` (what was saved is dropped), ``changed`` (kept, but not
    quite what it was).
    """
    now = {saved.name: saved.record for saved in saved_of(graph)}
    lines = []
    for name, record in now.items():
        before = image.operators.get(name)
        at = f"{record.operation} ({record.where})" if record.where else record.operation
        if before is None:
            lines.append(f"new      {name}: {at} begins with nothing")
            continue
        differences = [
            f"{what} was {old}, is {new}"
            for what, old, new in (
                ("the operation", before.operation, record.operation),
                ("the number of partitions", before.partitions, record.partitions),
                ("what is kept of it", before.kind, record.kind),
                ("how long slides are kept (ms)", before.remember_ms, record.remember_ms),
            )
            if old != new
        ]
        was = f", was at {before.where}" if before.where != record.where else ""
        lines.append(
            f"changed  {name}: {at}: {'; '.join(differences)}"
            if differences
            else f"kept     {name}: {at}{was}"
        )
    for name, before in image.operators.items():
        if name not in now:
            lines.append(f"missing  {name}: {before.operation} ({before.where}), its data is dropped")
    names = {name: node for node, name in input_names(graph).items()}
    for name, node in names.items():
        known = image.inputs.get(name)
        word = "new    " if known is None else "kept   " if known.source == node.source.name else "changed"
        was = f", was {known.source}" if known is not None and word == "changed" else ""
        lines.append(f"{word}  {name}: input {node.source.name}{was}")
    for name, known in image.inputs.items():
        if name not in names:
            lines.append(f"missing  {name}: input {known.source}, what was planned of it is dropped")
    return lines
