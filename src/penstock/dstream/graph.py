"""The graph of a streaming program: its inputs and outputs, checked as a whole before it starts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from copy import copy
from typing import Any, NamedTuple

from penstock.dstream.inputs import Input
from penstock.dstream.node import StreamNode
from penstock.dstream.outputs import Output, Run
from penstock.errors import ArgumentError
from penstock.rdd import Partitioner
from penstock.times import shown_ms

__all__ = ["StreamGraph"]


class _Folded(NamedTuple):
    parent: StreamNode
    kind: str
    function: Callable[..., Any] | None
    to: Partitioner
    node: StreamNode


class StreamGraph:
    """Inputs and outputs in the order they were made. Grows until the context starts."""

    def __init__(self, interval_ms: int) -> None:
        self.interval_ms = interval_ms
        self.inputs: list[Input] = []
        self.outputs: list[Output] = []
        self.remember_ms: int | None = None
        self.shown: list[Any] = []  # dashboards, in the order they were made
        self.run = Run()
        self._folded: list[_Folded] = []

    def folded(
        self,
        parent: StreamNode,
        kind: str,
        function: Callable[..., Any] | None,
        to: Partitioner,
        make: Callable[[], StreamNode],
    ) -> StreamNode:
        """The node that folds each slide of ``parent`` for windows; made once for all windows with the very
        same function, and results in the same partitions."""
        for known in self._folded:
            if known.parent is parent and known.function is function and (known.kind, known.to) == (kind, to):
                return known.node
        made = make()
        self._folded.append(_Folded(parent, kind, function, to, made))
        return made

    def nodes(self) -> list[StreamNode]:
        """All nodes that an output reads, dependencies first."""
        order: dict[StreamNode, None] = {}
        pending: list[tuple[StreamNode, bool]] = [(output.node, False) for output in reversed(self.outputs)]
        while pending:
            node, done = pending.pop()
            if done:
                order[node] = None
            elif node not in order:
                pending.append((node, True))
                pending.extend((dependency, False) for dependency in reversed(node.dependencies))
        return list(order)

    def without(self, resting: Collection[int], kept: Iterable[StreamNode]) -> StreamGraph:
        """The same without some outputs, by their number, and without what only they read, but with what is
        ``kept``: as if an output took each of these."""
        graph = copy(self)
        active = [output for index, output in enumerate(self.outputs) if index not in resting]
        graph.outputs = [*active, *(Output(node.site, node, lambda time, rdd: None) for node in kept)]
        return graph

    def problems(self, has_checkpoint_directory: bool) -> list[str]:
        """All that keeps the graph from starting, each with a way out."""
        found: list[str] = []
        if not self.outputs:
            found.append(
                "No output operations registered, so nothing to execute. "
                "Hint: call pprint(), foreachRDD(...) or saveAsTextFiles(...) on a stream."
            )
        for node in self.nodes():
            found.extend(node.problems(has_checkpoint_directory))
            found.extend(_interval_problems(node, has_checkpoint_directory))
        found.extend(self._collisions())
        return found

    def _collisions(self) -> Iterator[str]:
        writers: dict[str, Output] = {}
        for output in self.outputs:
            if output.place is None:
                continue
            first = writers.setdefault(output.place, output)
            if first is not output:
                other = f"so does {first.site}"
                if first.writes != output.writes:
                    other = f"{first.site} to {first.writes}, which may be the same"
                yield (
                    f"{output.site} writes to {output.writes}, and {other}. "
                    f"Hint: give each its own prefix or suffix, or name."
                )

    def remembered_ms(self) -> dict[StreamNode, int]:
        """For how long (ms) before the newest batch the RDDs of each node are read again.

        What a window reads is carried over as plain data when its batch is committed, so what that was
        made of need not be remembered with it.
        """
        found = dict.fromkeys(self.nodes(), self.remember_ms or 0)
        for node in list(found):
            for dependency in node.dependencies:
                found[dependency] = max(found[dependency], node.remembers(dependency))
        return found

    def readers(self) -> dict[StreamNode, int]:
        """How many nodes and outputs read each node."""
        counts = dict.fromkeys(self.nodes(), 0)
        for reader in self._edges():
            counts[reader] += 1
        return counts

    def fans(self, carried: Iterable[StreamNode]) -> list[StreamNode]:
        """The nodes that several others read, of which all is known: no output takes them as they are, and
        no function of the user's gets hold of them, or of what is made of them before it is ``carried``
        over to later batches. The user's functions may run jobs of their own, in any number.
        """
        readers: dict[StreamNode, list[StreamNode]] = {node: [] for node in self.nodes()}
        for node in readers:
            for dependency in node.dependencies:
                readers[dependency].append(node)
        taken = {output.node for output in self.outputs}
        ends = set(carried)
        open_: set[StreamNode] = set()
        for node in reversed(list(readers)):  # readers come before what they read
            if node.user_sites or any(reader in open_ for reader in readers[node] if reader not in ends):
                open_.add(node)
        return [
            node
            for node, found in readers.items()
            if len(found) > 1
            and node not in taken
            and node not in ends
            and node not in open_
            and node.level is None
            and node.checkpoint_interval is None
        ]

    def _edges(self) -> Iterator[StreamNode]:
        for node in self.nodes():
            yield from node.dependencies
        for output in self.outputs:
            yield output.node


def _interval_problems(node: StreamNode, has_checkpoint_directory: bool) -> list[str]:
    interval, slide = node.checkpoint_interval, node.slide_duration
    if interval is None:
        return []
    is_said = bool(node.named.problems(has_checkpoint_directory))  # once is enough
    if not has_checkpoint_directory and not is_said:
        return [
            f"checkpoint() of {node.site} needs a checkpoint directory. Hint: sc.setCheckpointDir(directory)."
        ]
    if interval < slide:
        return [
            f"the checkpoint interval of {node.site} is {shown_ms(interval)}, which is lower than its slide "
            f"time ({shown_ms(slide)}). Please set it to at least {shown_ms(slide)}."
        ]
    if interval % slide:
        return [
            f"the checkpoint interval of {node.site} is {shown_ms(interval)}, which is not a multiple of its "
            f"slide time ({shown_ms(slide)}). Please set it to a multiple, such as "
            f"{shown_ms(-(-interval // slide) * slide)}."
        ]
    return []


def window_multiple(what: str, given_ms: int, slide_ms: int, site: object) -> int:
    """A window or slide length that must be a multiple of the parent's slide; returned if it is."""
    if given_ms % slide_ms:
        below = given_ms // slide_ms * slide_ms
        options = [shown_ms(option) for option in (below, below + slide_ms) if option > 0]
        raise ArgumentError(
            f"{what} {shown_ms(given_ms)} of {site} must be a multiple of the slide duration of the stream "
            f"it is taken of, {shown_ms(slide_ms)}. Hint: use {' or '.join(options)}."
        )
    return given_ms
