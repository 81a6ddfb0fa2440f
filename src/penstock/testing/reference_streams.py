"""The reference interpreter for streams: what each operator means, batch by batch.

Batches are counted from 1 and one unit of time apart, so a window of 3 holds what the batches
``time - 2 .. time`` hold. A stream with a slide of 2 has something at 2, 4, ... Windows are put together from
what the parent had, in the brackets of :func:`penstock.dstream.bracketing.bracketing`, state from the state
before: nothing is kept, nothing is corrected, and an inverse function is never called.

>>> numbers = Batches([[1], [2, 3], []], 1)
>>> [sum(batch, []) for batch in evaluate_batches(Apply("window", (numbers,), (2,)), 3)]
[[1], [1, 2, 3], [2, 3]]
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from inspect import signature
from operator import add
from typing import Any

from penstock.chunk import portable_hash
from penstock.dstream.bracketing import bracketing
from penstock.errors import StateError
from penstock.testing.graphs import Apply, Batches, Graph, Template, nodes_of
from penstock.testing.reference import OPERATORS, Partitions, call, copied, cut, evaluate, hashable, same_key

__all__ = ["evaluate_batches", "window_arguments"]

_SHUFFLING = (
    "combineByKey", "countByValue", "reduceByKey", "groupByKey",
    "join", "leftOuterJoin", "rightOuterJoin", "fullOuterJoin", "cogroup",
)  # fmt: skip
_FUNCTIONS = {"combineByKey": 3, "reduceByKey": 1}


def evaluate_batches(graph: Graph, batches: int, *, parallelism: int = 2) -> list[Partitions | None]:
    """The partitions of a stream in each batch, ``None`` where it has none.

    What windows will read and states are made in their own batch, after its output, whether anything reads
    them or not: a function that fails there fails that batch.

    ``parallelism`` is the number of partitions by key where the graph gives none:
    ``sc.defaultParallelism``.
    """
    return _Streams(parallelism).batches(graph, batches)


class _Streams:
    """Evaluates each node at each time once, and hands out copies."""

    def __init__(self, parallelism: int) -> None:
        self._parallelism = parallelism
        self._known: dict[tuple[Graph, int], Partitions | None] = {}
        self._partials: dict[tuple[Graph, int], Partitions | None] = {}
        self._remembered: dict[tuple[Graph, int], list[_Remembered]] = {}

    def batches(self, graph: Graph, count: int) -> list[Partitions | None]:
        nodes = list(nodes_of(graph))
        out = []
        for time in range(1, count + 1):
            out.append(self._at(graph, time))
            for node in nodes:
                self._carry(node, time)
        return out

    def _carry(self, node: Graph, time: int) -> None:
        """What later batches may ask of this one."""
        if not isinstance(node, Apply):
            return
        if node.operator in ("updateStateByKey", "mapWithState"):
            self._at(node, time)
        elif node.operator == "window":
            self._at(node.inputs[0], time)
        elif window_arguments(node):
            self._folded(node, time)
            if window_arguments(node).get("invFunc") or window_arguments(node).get("invReduceFunc"):
                self._at(node, time)

    def _at(self, node: Graph, time: int) -> Partitions | None:
        if time % self._slide(node):
            return None
        if (node, time) not in self._known:
            self._known[node, time] = self._computed(node, time)
        known = self._known[node, time]
        return None if known is None else copied(known)

    def _slide(self, node: Graph) -> int:
        if not isinstance(node, Apply):
            return 1
        given = window_arguments(node).get("slideDuration")
        return self._slide(node.inputs[0]) if given is None else int(given)

    def _computed(self, node: Graph, time: int) -> Partitions | None:
        if isinstance(node, Batches):
            return cut(node.batches[time - 1], node.slices) if time <= len(node.batches) else []
        assert isinstance(node, Apply), f"a graph of streams cannot hold {node!r}"
        special: Callable[..., Partitions | None] | None = getattr(self, f"_{node.operator}", None)
        if special is not None:
            return special(node, time)
        inputs = [self._at(below, time) for below in node.inputs]
        if any(parts is None for parts in inputs):
            return None
        arguments = self._with_default(node.operator, node.arguments)
        return OPERATORS[node.operator](*inputs, *arguments, **node.named)

    def _with_default(self, operator: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """The number of partitions, where it is left out or ``None``."""
        if operator not in _SHUFFLING:
            return arguments
        functions = _FUNCTIONS.get(operator, 0)
        given = arguments[functions] if len(arguments) > functions else None
        return (*arguments[:functions], self._parallelism if given is None else given)

    # One batch

    def _count(self, node: Apply, time: int) -> Partitions | None:
        parts = self._at(node.inputs[0], time)
        return None if parts is None else [[sum(map(len, parts))]]

    def _reduce(self, node: Apply, time: int) -> Partitions | None:
        parts = self._at(node.inputs[0], time)
        return None if parts is None else _folded_to_one(parts, node.arguments[0])

    def _transform(self, node: Apply, time: int) -> Partitions | None:
        if any(time % self._slide(below) for below in node.inputs):
            return None
        template: Template = node.arguments[0]
        read = set(nodes_of(template.graph))  # an RDD that the function leaves alone is not computed
        inputs = zip(template.holes, node.inputs, strict=True)
        given: dict[Graph, Partitions] = {
            hole: self._at(below, time) or [] for hole, below in inputs if hole in read
        }
        return evaluate(template.graph, given)

    def _transformWith(self, node: Apply, time: int) -> Partitions | None:
        return self._transform(node, time)

    # Windows

    def _held(
        self, node: Apply, time: int, read: Callable[[Apply, int], Partitions | None]
    ) -> list[Partitions]:
        """What is read of each batch in the window that ends at ``time``, the oldest first."""
        length = int(window_arguments(node)["windowDuration"])
        found = (read(node, at) for at in range(max(1, time - length + 1), time + 1))
        return [parts for parts in found if parts is not None]

    def _below(self, node: Apply, time: int) -> Partitions | None:
        return self._at(node.inputs[0], time)

    def _window(self, node: Apply, time: int) -> Partitions:
        return [part for parts in self._held(node, time, self._below) for part in parts]

    def _folded(self, node: Apply, time: int) -> Partitions | None:
        """One value a key of what the input has at ``time``."""
        if (node, time) not in self._partials:
            parts = self._below(node, time)
            made = None if parts is None else getattr(self, f"_partial_of_{node.operator}")(node, parts)
            self._partials[node, time] = made
        known = self._partials[node, time]
        return None if known is None else copied(known)

    def _by_key(self, node: Apply, time: int, function: Any) -> Partitions:
        """The values of each key: first those of each slide, then these in the brackets of the window."""
        step = self._slide(node.inputs[0])
        last = time // step
        length = int(window_arguments(node)["windowDuration"]) // step
        first = max(1, last - length + 1)
        partials = {number: self._folded(node, number * step) for number in range(first, last + 1)}
        there = {number: parts for number, parts in partials.items() if parts is not None}
        counts = {len(parts) for parts in there.values()}
        return [
            _combined(
                bracketing(last, length), {number: parts[index] for number, parts in there.items()}, function
            )
            for index in range(max(counts, default=0))
        ]

    def _partitions_by_key(self, node: Apply) -> int:
        return int(window_arguments(node).get("numPartitions") or self._parallelism)

    def _partial_of_reduceByKeyAndWindow(self, node: Apply, parts: Partitions) -> Partitions:
        return OPERATORS["reduceByKey"](parts, window_arguments(node)["func"], self._partitions_by_key(node))

    def _reduceByKeyAndWindow(self, node: Apply, time: int) -> Partitions:
        given = window_arguments(node)
        found = self._by_key(node, time, given["func"])
        wanted = given.get("filterFunc")
        return found if wanted is None else OPERATORS["filter"](found, wanted)

    def _partial_of_groupByKeyAndWindow(self, node: Apply, parts: Partitions) -> Partitions:
        listed = OPERATORS["mapValues"](parts, lambda value: [value])
        return OPERATORS["reduceByKey"](listed, add, self._partitions_by_key(node))

    def _groupByKeyAndWindow(self, node: Apply, time: int) -> Partitions:
        return self._by_key(node, time, add)

    def _partial_of_reduceByWindow(self, node: Apply, parts: Partitions) -> Partitions:
        keyless = OPERATORS["map"](parts, lambda record: (None, record))
        return OPERATORS["reduceByKey"](keyless, window_arguments(node)["reduceFunc"], 1)

    def _reduceByWindow(self, node: Apply, time: int) -> Partitions:
        return OPERATORS["values"](self._by_key(node, time, window_arguments(node)["reduceFunc"]))

    def _partial_of_countByWindow(self, node: Apply, parts: Partitions) -> Partitions:
        return [[sum(map(len, parts))]]

    def _countByWindow(self, node: Apply, time: int) -> Partitions:
        return [[sum(parts[0][0] for parts in self._held(node, time, self._folded))]]

    def _partial_of_countByValueAndWindow(self, node: Apply, parts: Partitions) -> Partitions:
        ones = OPERATORS["map"](parts, lambda record: (record, 1))
        return OPERATORS["reduceByKey"](ones, add, self._partitions_by_key(node))

    def _countByValueAndWindow(self, node: Apply, time: int) -> Partitions:
        return self._by_key(node, time, add)

    # State

    def _updateStateByKey(self, node: Apply, time: int) -> Partitions:
        """Those with a state in their order, then new keys as they appear; ``None`` is no state."""
        update, count, initial = (*node.arguments, None, None)[:3]
        count = count or self._parallelism
        slide = self._slide(node)
        if time > slide:
            before = self._at(node, time - slide)
            assert before is not None
        else:
            before = OPERATORS["partitionBy"]([deepcopy(list(initial or []))], count)
        data = self._at(node.inputs[0], time) or []
        news = OPERATORS["groupByKey"](data, count)
        out = [_updated(state, new, update) for state, new in zip(before, news, strict=True)]
        if len(signature(update).parameters) != 1:
            return out
        return OPERATORS["partitionBy"](out, count, portable_hash)

    def _mapWithState(self, node: Apply, time: int) -> Partitions:
        """One call a record, in their order; then one for each key without news for longer than ``timeout``
        batches, in the order in which the keys appeared."""
        function, count, initial, timeout = node.arguments
        slide = self._slide(node)
        if time > slide:
            self._at(node, time - slide)
            before = deepcopy(self._remembered[node, time - slide])
        else:
            parts = OPERATORS["partitionBy"]([deepcopy(list(initial or []))], count)
            before = [_remembered(part, time) for part in parts]
        data = OPERATORS["partitionBy"](self._at(node.inputs[0], time) or [], count)
        out = [_mapped(*each, function, time, timeout) for each in zip(before, data, strict=True)]
        self._remembered[node, time] = deepcopy(before)
        return out

    def _stateSnapshots(self, node: Apply, time: int) -> Partitions:
        mapping = node.inputs[0]
        self._at(mapping, time)
        return [[(key, deepcopy(held)) for key, held, _ in part] for part in self._remembered[mapping, time]]


_Remembered = list[tuple[Any, Any, int]]
"""Key, state, and the time of its last news."""


class _State:
    """What a function of ``mapWithState`` is given, in the plainest way."""

    def __init__(self, held: list[Any], *, over: bool) -> None:
        self.held = deepcopy(held)
        self.set = self.gone = False
        self.over = over

    def exists(self) -> bool:
        return bool(self.held)

    def get(self) -> Any:
        if not self.held:
            raise StateError("not set")
        return self.held[0]

    def getOption(self) -> Any:
        return self.held[0] if self.held else None

    def update(self, new: Any) -> None:
        self._must_be_open()
        self.held, self.set = [new], True

    def remove(self) -> None:
        self._must_be_open()
        self.held, self.set, self.gone = [], False, True

    def _must_be_open(self) -> None:
        if self.gone or self.over:
            raise StateError("removed, or timing out")

    def isTimingOut(self) -> bool:
        return self.over


def _remembered(pairs: list[Any], time: int) -> _Remembered:
    found: _Remembered = []
    for key, held in pairs:
        if not any(same_key(known, key) for known, _, _ in found):
            found.append((key, held, time))
    return found


def _mapped(
    states: _Remembered, pairs: list[Any], function: Any, time: int, timeout: int | None
) -> list[Any]:
    out = []
    for key, value in map(hashable, pairs):
        at = next((at for at, (known, _, _) in enumerate(states) if same_key(known, key)), None)
        state = _State([] if at is None else [states[at][1]], over=False)
        made = call((key, value), function, key, value, state)
        if not state.held and at is not None:
            del states[at]
        elif state.set and at is None:
            states.append((key, deepcopy(state.held[0]), time))
        elif state.set and at is not None:
            states[at] = (states[at][0], deepcopy(state.held[0]), time)
        elif at is not None and timeout is not None:
            states[at] = (*states[at][:2], time)
        out += [] if made is None else [deepcopy(made)]
    late = [each for each in states if timeout is not None and each[2] < time - timeout]
    for key, held, _ in late:
        made = call((key, None), function, key, None, _State([held], over=True))
        out += [] if made is None else [deepcopy(made)]
    states[:] = [each for each in states if timeout is None or each[2] >= time - timeout]
    return out


def _updated(state: list[Any], news: list[Any], update: Any) -> list[Any]:
    old = [(key, (0, value)) for key, value in state] + [(key, (1, value)) for key, value in news]
    rows = []
    for key, sides in OPERATORS["groupByKey"]([old], 1)[0]:
        states = [value for side, value in sides if side == 0]
        values = [value for side, value in sides if side == 1]
        rows.append((key, values[0] if values else [], states[0] if states else None))
    if len(signature(update).parameters) == 1:
        return list(update(iter(rows)))
    made = [(key, update(values, state)) for key, values, state in rows]
    return [(key, new) for key, new in made if new is not None]


def _combined(brackets: Any, slides: dict[int, list[Any]], function: Any) -> list[Any]:
    """The pairs of slides in nested pairs of their numbers; a slide that is not there has none."""
    if isinstance(brackets, int):
        return slides.get(brackets, [])
    older, newer = (_combined(each, slides, function) for each in brackets)
    return OPERATORS["reduceByKey"]([older + newer], function, 1)[0]


def _folded_to_one(parts: Partitions, function: Any) -> Partitions:
    keyless = OPERATORS["map"](parts, lambda record: (None, record))
    return OPERATORS["values"](OPERATORS["reduceByKey"](keyless, function, 1))


_WINDOWED = {
    "window": ("windowDuration", "slideDuration"),
    "countByWindow": ("windowDuration", "slideDuration"),
    "countByValueAndWindow": ("windowDuration", "slideDuration", "numPartitions"),
    "groupByKeyAndWindow": ("windowDuration", "slideDuration", "numPartitions"),
    "reduceByWindow": ("reduceFunc", "invReduceFunc", "windowDuration", "slideDuration"),
    "reduceByKeyAndWindow": (
        "func", "invFunc", "windowDuration", "slideDuration", "numPartitions", "filterFunc",
    ),
}  # fmt: skip


def window_arguments(node: Apply) -> dict[str, Any]:
    """The arguments of a window operator by PySpark's names; nothing for another operator."""
    return dict(zip(_WINDOWED.get(node.operator, ()), node.arguments, strict=False)) | (
        dict(node.named) if node.operator in _WINDOWED else {}
    )
