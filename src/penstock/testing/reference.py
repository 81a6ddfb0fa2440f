"""The reference interpreter: what each operator on RDDs means, on plain lists of lists.

A dataset is a list of partitions, a partition a list of records. Every operator is a few lines that
one can check by reading; nothing is lazy, nothing is shared, nothing is fast: keys are compared one by
one, and whoever reads a node gets deep copies, so that no function can see what another one changed.
The engine must give the same: the same records of the same types, in the same partitions and order.
Only a hash is taken from it, which says in which partition a key lives.

>>> evaluate(Apply("map", (Records([1, 2, 3], 2),), (lambda x: x * 10,)))
[[10], [20, 30]]

What a user's function raises comes out as :class:`Raised`, of the first failing record in row order.
The iterables of ``groupByKey`` and ``cogroup`` are lists here. ``sortBy`` and ``sortByKey`` leave open
which partition holds what: here the first one holds everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from penstock.chunk import portable_hash
from penstock.errors import DataError, EmptyError, KeyTypeError, NotAPairError
from penstock.testing.graphs import Apply, Graph, Records, nodes_of

__all__ = [
    "OPERATORS",
    "Partitions",
    "Raised",
    "aggregate",
    "call",
    "cut",
    "evaluate",
    "fold",
    "hashable",
    "reduce",
    "same_key",
]

Partitions = list[list[Any]]
Groups = list[tuple[Any, list[Any]]]

OPERATORS: dict[str, Callable[..., Partitions]] = {}
"""Each operator by its name: from the partitions of its inputs and its arguments to its own."""


class Raised(Exception):
    """An operator failed with ``error``, while ``record`` was in its hands."""

    def __init__(self, error: Exception, record: Any) -> None:
        super().__init__(f"{error!r} at {record!r}")
        self.error = error
        self.record = record


def evaluate(graph: Graph, holes: Mapping[Graph, Partitions] | None = None) -> Partitions:
    """The partitions of a graph of RDDs; ``holes`` are those of its holes."""
    known: dict[Graph, Partitions] = {}
    for node in nodes_of(graph):
        if isinstance(node, Apply):
            inputs = [copied(known[below]) for below in node.inputs]
            known[node] = OPERATORS[node.operator](*inputs, *node.arguments, **node.named)
        elif isinstance(node, Records):
            known[node] = copied(cut(node.records, node.slices))
        else:
            assert holes is not None, f"nothing is known of {node!r}"
            known[node] = copied(holes[node])
    return known[graph]


def copied(parts: Partitions) -> Partitions:
    """The same records for one more reader."""
    return [[deepcopy(record) for record in part] for part in parts]


def cut(records: Iterable[Any], slices: int) -> Partitions:
    """A range is cut evenly; of all else the batches of a size are, of which the last may be smaller."""
    if isinstance(records, range):
        return [list(part) for part in _evenly(records, slices)]
    rows = list(records)
    size = max(1, min(len(rows) // slices, 1024))
    batches = [rows[at : at + size] for at in range(0, len(rows), size)]
    return [[row for batch in part for row in batch] for part in _evenly(batches, slices)]


def _evenly(things: Any, count: int) -> list[Any]:
    size = len(things)
    return [things[part * size // count : (part + 1) * size // count] for part in range(count)]


def _operator(function: Callable[..., Partitions]) -> Callable[..., Partitions]:
    OPERATORS[function.__name__.strip("_")] = function
    return function


# --------------------------------------------------------------------------- calling what users wrote


def call(record: Any, function: Callable[..., Any], *arguments: Any) -> Any:
    """The function's result; its exception becomes one of this record."""
    try:
        return function(*arguments)
    except StopIteration as error:
        raise Raised(RuntimeError(str(error)), record) from error
    except Exception as error:
        raise Raised(error, record) from error


def _pair(record: Any) -> tuple[Any, Any]:
    if not isinstance(record, (tuple, list)) or len(record) != 2:
        raise Raised(NotAPairError("not a pair"), record)
    return record[0], record[1]


def hashable(record: Any) -> Any:
    """The record, which must be a pair with a key that has a hash."""
    try:
        hash(_pair(record)[0])
    except TypeError as error:
        raise Raised(KeyTypeError("no hash"), record) from error
    return record


def same_key(one: Any, other: Any) -> bool:
    """``one == other``, but a NaN is alone even beside itself; tuples say otherwise of what they hold."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(same_key, one, other))
    return bool(one == other)


# ------------------------------------------------------------------------------------ one by one


@_operator
def _map(parts: Partitions, f: Any, preservesPartitioning: bool = False) -> Partitions:
    return [[call(record, f, record) for record in part] for part in parts]


@_operator
def _filter(parts: Partitions, f: Any) -> Partitions:
    return [[record for record in part if call(record, lambda r: bool(f(r)), record)] for part in parts]


@_operator
def _flatMap(parts: Partitions, f: Any, preservesPartitioning: bool = False) -> Partitions:
    return [
        [item for record in part for item in call(record, lambda r: list(f(r)), record)] for part in parts
    ]


@_operator
def _keyBy(parts: Partitions, f: Any) -> Partitions:
    return [[(call(record, f, record), record) for record in part] for part in parts]


@_operator
def _mapPartitions(parts: Partitions, f: Any, preservesPartitioning: bool = False) -> Partitions:
    return [call(None, lambda rows: list(f(rows)), iter(part)) for part in parts]


@_operator
def _mapPartitionsWithIndex(parts: Partitions, f: Any, preservesPartitioning: bool = False) -> Partitions:
    return [
        call(None, lambda rows, at=index: list(f(at, rows)), iter(part)) for index, part in enumerate(parts)
    ]


@_operator
def _glom(parts: Partitions) -> Partitions:
    return [[part] for part in parts]


@_operator
def _cache(parts: Partitions) -> Partitions:
    return parts


@_operator
def _persist(parts: Partitions, level: Any) -> Partitions:
    return parts


@_operator
def _keys(parts: Partitions) -> Partitions:
    return [[_pair(record)[0] for record in part] for part in parts]


@_operator
def _values(parts: Partitions) -> Partitions:
    return [[_pair(record)[1] for record in part] for part in parts]


@_operator
def _mapValues(parts: Partitions, f: Any) -> Partitions:
    def each(record: Any) -> Any:
        key, value = _pair(record)
        return key, call(record, f, value)

    return [[each(record) for record in part] for part in parts]


@_operator
def _flatMapValues(parts: Partitions, f: Any) -> Partitions:
    def each(record: Any) -> Any:
        key, value = _pair(record)
        return [(key, item) for item in call(record, lambda v: list(f(v)), value)]

    return [[pair for record in part for pair in each(record)] for part in parts]


# --------------------------------------------------------------------------------- where records lie


@_operator
def _union(*inputs: Partitions) -> Partitions:
    return [part for parts in inputs for part in parts]


@_operator
def _coalesce(parts: Partitions, numPartitions: int, shuffle: bool = False) -> Partitions:
    if shuffle:
        return _repartition(parts, numPartitions)
    if numPartitions >= len(parts):
        return parts
    return [[row for part in some for row in part] for some in _evenly(parts, numPartitions)]


@_operator
def _repartition(parts: Partitions, numPartitions: int) -> Partitions:
    """In turn, each partition beginning at the target that has its own number."""
    targets: Partitions = [[] for _ in range(numPartitions)]
    for index, part in enumerate(parts):
        for at, record in enumerate(part):
            targets[(index + at) % numPartitions].append(record)
    return targets


@_operator
def _zip(left: Partitions, right: Partitions) -> Partitions:
    for one, other in zip(left, right, strict=True):
        if len(one) != len(other):
            raise Raised(DataError("not as many"), None)
    return [list(zip(one, other, strict=True)) for one, other in zip(left, right, strict=True)]


@_operator
def _zipWithIndex(parts: Partitions) -> Partitions:
    count = iter(range(sum(map(len, parts))))
    return [[(record, next(count)) for record in part] for part in parts]


@_operator
def _zipWithUniqueId(parts: Partitions) -> Partitions:
    step = len(parts)
    return [
        [(record, index + at * step) for at, record in enumerate(part)] for index, part in enumerate(parts)
    ]


@_operator
def _cartesian(left: Partitions, right: Partitions) -> Partitions:
    return [
        [(deepcopy(one), deepcopy(other)) for one in lefts for other in rights]
        for lefts in left
        for rights in right
    ]


# --------------------------------------------------------------------------------------- by key


def _placed(parts: Partitions, to: Any, function: Any = portable_hash) -> Partitions:
    """Each pair where its key lives: from the first partition to the last, in order of arrival."""
    count = to if isinstance(to, int) else to.numPartitions
    function = function if isinstance(to, int) else to.partitionFunc
    targets: Partitions = [[] for _ in range(count)]
    for part in parts:
        for record in part:
            key = _pair(record)[0]
            if count > 1 and function is portable_hash:
                hashable(record)
            at = call(record, lambda key: function(key) % count, key) if count > 1 else 0
            targets[at].append(record)
    return targets


def _default(given: Any, *inputs: Partitions) -> Any:
    """As many partitions as the inputs have together, if nothing is said."""
    return max(1, sum(map(len, inputs))) if given is None else given


def _grouped(part: list[Any]) -> Groups:
    """The values of each key, keys in order of first appearance and as they first appeared."""
    groups: Groups = []
    for record in part:
        key, value = _pair(hashable(record))
        values = next((values for known, values in groups if same_key(known, key)), None)
        if values is None:
            groups.append((key, [value]))
        else:
            values.append(value)
    return groups


@_operator
def _combineByKey(
    parts: Partitions,
    createCombiner: Any,
    mergeValue: Any,
    mergeCombiners: Any,
    numPartitions: Any = None,
    partitionFunc: Any = portable_hash,
) -> Partitions:
    """Once where the records lie, once where the key lives."""
    to = _default(numPartitions, parts)

    def folded(groups: Groups, first: Any, merge: Any) -> list[Any]:
        out = []
        for key, (start, *others) in groups:
            combiner = call((key, start), first, start)
            for value in others:
                combiner = call((key, value), merge, combiner, value)
            out.append((key, combiner))
        return out

    combined = [folded(_grouped(part), createCombiner, mergeValue) for part in parts]
    placed = _placed(combined, to, partitionFunc)
    return [folded(_grouped(part), lambda partial: partial, mergeCombiners) for part in placed]


@_operator
def _reduceByKey(
    parts: Partitions, func: Any, numPartitions: Any = None, partitionFunc: Any = portable_hash
) -> Partitions:
    return _combineByKey(parts, lambda value: value, func, func, numPartitions, partitionFunc)


@_operator
def _aggregateByKey(
    parts: Partitions,
    zeroValue: Any,
    seqFunc: Any,
    combFunc: Any,
    numPartitions: Any = None,
    partitionFunc: Any = portable_hash,
) -> Partitions:
    def first(value: Any) -> Any:
        return seqFunc(deepcopy(zeroValue), value)

    return _combineByKey(parts, first, seqFunc, combFunc, numPartitions, partitionFunc)


@_operator
def _foldByKey(
    parts: Partitions,
    zeroValue: Any,
    func: Any,
    numPartitions: Any = None,
    partitionFunc: Any = portable_hash,
) -> Partitions:
    return _aggregateByKey(parts, zeroValue, func, func, numPartitions, partitionFunc)


@_operator
def _groupByKey(
    parts: Partitions, numPartitions: Any = None, partitionFunc: Any = portable_hash
) -> Partitions:
    placed = _placed(parts, _default(numPartitions, parts), partitionFunc)
    return [list(_grouped(part)) for part in placed]


@_operator
def _groupBy(parts: Partitions, f: Any, numPartitions: Any = None) -> Partitions:
    return _groupByKey(_keyBy(parts, f), numPartitions)


@_operator
def _partitionBy(parts: Partitions, numPartitions: Any, partitionFunc: Any = portable_hash) -> Partitions:
    return _placed(parts, numPartitions, partitionFunc)


@_operator
def _distinct(parts: Partitions, numPartitions: Any = None) -> Partitions:
    pairs = [[(record, None) for record in part] for part in parts]
    return _keys(_groupByKey(pairs, numPartitions))


@_operator
def _countByValue(parts: Partitions, numPartitions: Any = None) -> Partitions:
    ones = [[(record, 1) for record in part] for part in parts]
    return _mapValues(_groupByKey(ones, numPartitions), len)


@_operator
def _cogroup(left: Partitions, right: Partitions, numPartitions: Any = None) -> Partitions:
    """The keys of the left side, then those that only the right one has."""
    to = _default(numPartitions, left, right)
    out = []
    for lefts, rights in zip(_placed(left, to), _placed(right, to), strict=True):
        sided = [(_pair(record)[0], (0, _pair(record)[1])) for record in lefts]
        sided += [(_pair(record)[0], (1, _pair(record)[1])) for record in rights]
        out.append(
            [
                (key, tuple([value for side, value in values if side == wanted] for wanted in (0, 1)))
                for key, values in _grouped(sided)
            ]
        )
    return out


def _products(
    left: Partitions, right: Partitions, numPartitions: Any, keep_left: bool, keep_right: bool
) -> Partitions:
    def products(key: Any, lefts: list[Any], rights: list[Any]) -> Iterator[Any]:
        for one in lefts or ([None] if keep_right else []):
            for other in rights or ([None] if keep_left else []):
                yield key, (deepcopy(one), deepcopy(other))

    cogrouped = _cogroup(left, right, numPartitions)
    return [[pair for key, sides in part for pair in products(key, *sides)] for part in cogrouped]


@_operator
def _join(left: Partitions, right: Partitions, numPartitions: Any = None) -> Partitions:
    return _products(left, right, numPartitions, keep_left=False, keep_right=False)


@_operator
def _leftOuterJoin(left: Partitions, right: Partitions, numPartitions: Any = None) -> Partitions:
    return _products(left, right, numPartitions, keep_left=True, keep_right=False)


@_operator
def _rightOuterJoin(left: Partitions, right: Partitions, numPartitions: Any = None) -> Partitions:
    return _products(left, right, numPartitions, keep_left=False, keep_right=True)


@_operator
def _fullOuterJoin(left: Partitions, right: Partitions, numPartitions: Any = None) -> Partitions:
    return _products(left, right, numPartitions, keep_left=True, keep_right=True)


@_operator
def _subtractByKey(left: Partitions, right: Partitions, numPartitions: Any = None) -> Partitions:
    cogrouped = _cogroup(left, right, numPartitions)
    return [
        [(key, value) for key, (ours, theirs) in part if not theirs for value in ours] for part in cogrouped
    ]


@_operator
def _subtract(left: Partitions, right: Partitions, numPartitions: Any = None) -> Partitions:
    """The records as they are here, though equal ones may look different: 1 and True."""
    twice = [[(record, record) for record in part] for part in left]
    return _values(
        _subtractByKey(twice, [[(record, None) for record in part] for part in right], numPartitions)
    )


@_operator
def _intersection(left: Partitions, right: Partitions) -> Partitions:
    sides = ([[(record, None) for record in part] for part in parts] for parts in (left, right))
    return [[key for key, (ours, theirs) in part if ours and theirs] for part in _cogroup(*sides)]


# -------------------------------------------------------------------------------------- in order


@_operator
def _sortBy(parts: Partitions, keyfunc: Any, ascending: bool = True, numPartitions: Any = None) -> Partitions:
    rows = [row for pair in _keyBy(parts, keyfunc) for row in pair]
    ordered = sorted(rows, key=lambda pair: pair[0], reverse=not ascending)
    return [[row for _, row in ordered], *([] for _ in range(_default(numPartitions, parts) - 1))]


@_operator
def _sortByKey(
    parts: Partitions, ascending: bool = True, numPartitions: Any = None, keyfunc: Any = lambda key: key
) -> Partitions:
    return _sortBy(parts, lambda pair: keyfunc(pair[0]), ascending, numPartitions)


# -------------------------------------------------------------------------------------- actions


def reduce(parts: Partitions, f: Any) -> Any:
    """Within each partition from the left, then over what the partitions gave.

    >>> reduce([[1, 2], [], [3, 4]], lambda a, b: f"({a}{b})")
    '((12)(34))'
    """
    partials = [_folded(part[0], part[1:], f) for part in parts if part]
    if not partials:
        raise Raised(EmptyError("nothing to reduce"), None)
    return _folded(partials[0], partials[1:], f)


def fold(parts: Partitions, zero: Any, op: Any) -> Any:
    """As ``reduce``, but each partition begins with the zero value, and so does the end.

    >>> fold([[1], []], 0, lambda a, b: f"({a}{b})")
    '((0(01))0)'
    """
    return aggregate(parts, zero, op, op)


def aggregate(parts: Partitions, zero: Any, seq_op: Any, comb_op: Any) -> Any:
    """As ``fold``, with a function for the records and one for the partitions."""
    partials = [_folded(deepcopy(zero), part, seq_op) for part in parts]
    return _folded(deepcopy(zero), partials, comb_op)


def _folded(start: Any, rows: list[Any], function: Any) -> Any:
    result = start
    for row in rows:
        result = call(row, function, result, row)
    return result
