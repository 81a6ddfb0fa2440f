"""Several datasets of pairs, side by side by key: cogroup, the joins, subtract."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from penstock.chunk import CHUNK_ROWS, Chunk, Columns, RowType, Tuple, isolated
from penstock.errors import CallSite, RowTypeError
from penstock.plan import Form, Gather, Node, Shuffle, Task
from penstock.rdd.aggregation import emit
from penstock.rdd.pair import checked_pairs, keys_of, raise_for_key
from penstock.rdd.partitioner import KeyRouter, Partitioner
from penstock.vectorize import REFUSALS, TwoSides, Untraced, combined_type, halves_of, joined, programs

__all__ = [
    "Emission",
    "cogrouped",
    "full_outer",
    "inner",
    "intersected",
    "left_outer",
    "left_pairs",
    "right_outer",
    "subtracted",
]

Emission = Callable[[Any, tuple[list[Any], ...]], list[Any]]
"""What comes out for a key and the values it has on each side."""


def cogrouped(
    sides: Sequence[tuple[Node, Partitioner | None]], to: Partitioner, emission: Emission, site: CallSite
) -> Node:
    """A plan that brings all sides to one partitioner and emits key by key.

    Keys come in order of first appearance: those of the first side, then what is new in the second,
    and so on. Values keep their arrival order.
    """
    placed = tuple(
        plan if lies_by == to else Shuffle(site, plan, KeyRouter(to, site), to.numPartitions)
        for plan, lies_by in sides
    )
    reads = [[(side, index) for side in range(len(placed))] for index in range(to.numPartitions)]
    return Gather(site, placed, reads, _Cogroup(len(placed), emission, site))


class _Cogroup:
    __slots__ = ("__name__", "emission", "sides", "site")

    def __init__(self, sides: int, emission: Emission, site: CallSite) -> None:
        self.__name__ = "cogroup"
        self.sides = sides
        self.emission = emission
        self.site = site

    def form(self, *sides: Form) -> Form:
        """What comes of pairs of these forms; see :mod:`penstock.plan.forms`."""
        every = _EVERY.get(self.emission)
        if len(sides) > 2 or self.emission not in _IN_COLUMNS:
            return Untraced("it makes lists of values")
        left, right = sides[0], sides[-1]
        if not isinstance(left, RowType) or not isinstance(right, RowType):
            return Untraced("the lists of values are made here")
        try:
            every_left, every_right = every or (False, False)
            combined = combined_type(left, right, every_left=every_left, every_right=every_right)
        except REFUSALS as refusal:
            return Untraced(str(refusal))
        key, value = halves_of(left) or (left, left)
        if every is not None:
            return combined
        return Tuple((key, value)) if self.emission is left_pairs else value

    def __call__(self, task: Task, inputs: list[Iterator[Chunk]]) -> Iterator[Chunk]:
        form = _IN_COLUMNS.get(self.emission)
        if form is None:
            yield from self._in_python(inputs)
            return
        held = [list(chunks) for chunks in inputs]
        made = _made_of_columns(held, form)
        if made is None:
            yield from self._in_python(held)
            return
        for at in range(0, len(made), CHUNK_ROWS):
            yield made.slice(at, at + CHUNK_ROWS)

    def _in_python(self, inputs: Sequence[Iterable[Chunk]]) -> Iterator[Chunk]:
        groups: dict[Any, tuple[list[Any], ...]] = {}
        for side, chunks in enumerate(inputs):
            for chunk in chunks:
                for pairs in checked_pairs(chunk, self.site):
                    self._add(groups, side, pairs)
        out: list[Any] = []
        for key, values in groups.items():
            out.extend(self.emission(key, values))
        yield from emit(out)

    def _add(self, groups: dict[Any, tuple[list[Any], ...]], side: int, pairs: list[Any]) -> None:
        pair: Any = None
        try:
            for key, pair in zip(keys_of(pairs), pairs, strict=True):
                found = groups.get(key)
                if found is None:
                    found = groups[key] = tuple([] for _ in range(self.sides))
                found[side].append(pair[1])
        except Exception as error:
            raise_for_key(error, pair, self.site)


def _product(key: Any, left: list[Any], right: list[Any]) -> list[Any]:
    """All combinations; a value that is met again is met as a copy if it can be changed."""
    if len(left) == 1 and len(right) == 1:
        return [(key, (left[0], right[0]))]
    out = []
    for row, one in enumerate(left):
        for column, other in enumerate(right):
            out.append((key, (isolated(one) if column else one, isolated(other) if row else other)))
    return out


def inner(key: Any, values: tuple[list[Any], ...]) -> list[Any]:
    """``join``: all combinations of the two sides."""
    return _product(key, values[0], values[1])


def left_outer(key: Any, values: tuple[list[Any], ...]) -> list[Any]:
    """``leftOuterJoin``: ``None`` on the right where there is nothing."""
    return _product(key, values[0], values[1] or [None])


def right_outer(key: Any, values: tuple[list[Any], ...]) -> list[Any]:
    """``rightOuterJoin``: ``None`` on the left where there is nothing."""
    return _product(key, values[0] or [None], values[1])


def full_outer(key: Any, values: tuple[list[Any], ...]) -> list[Any]:
    """``fullOuterJoin``: ``None`` on either side where there is nothing."""
    return _product(key, values[0] or [None], values[1] or [None])


def left_pairs(key: Any, values: tuple[list[Any], ...]) -> list[Any]:
    """``subtractByKey``: the pairs of the left, if the right has no such key."""
    return [] if values[1] else [(key, value) for value in values[0]]


def subtracted(key: Any, values: tuple[list[Any], ...]) -> list[Any]:
    """``subtract``, where each record is key and value: those of the left, if the right has none."""
    return [] if values[1] else values[0]


def intersected(key: Any, values: tuple[list[Any], ...]) -> list[Any]:
    """``intersection``: the key, if it is on both sides."""
    return [key] if values[0] and values[1] else []


def _values_of_left(sides: TwoSides) -> Columns:
    pairs = sides.left_without_right()
    key, value = pairs.row_type.parts
    return Columns(value, pairs.leaves[key.leaf_count :], len(pairs))


def _combining(every_left: bool, every_right: bool) -> Callable[[TwoSides], Columns]:
    return lambda sides: sides.combined(every_left=every_left, every_right=every_right)


_EVERY: dict[Emission, tuple[bool, bool]] = {
    inner: (False, False),
    left_outer: (True, False),
    right_outer: (False, True),
    full_outer: (True, True),
}
"""Of which sides keys come out that the other one does not have."""

_IN_COLUMNS: dict[Emission, Callable[[TwoSides], Columns]] = {
    **{emission: _combining(*every) for emission, every in _EVERY.items()},
    left_pairs: TwoSides.left_without_right,
    subtracted: _values_of_left,
    intersected: TwoSides.keys_of_both,
}
"""What the emissions of two sides do, on columns."""


def _made_of_columns(sides: Sequence[Sequence[Chunk]], form: Callable[[TwoSides], Columns]) -> Columns | None:
    """What comes out, if nearly all pairs are in columns; ``None`` if Python has to put them side by side."""
    chunks = [chunk for side in sides for chunk in side]
    held = sum(len(chunk) for chunk in chunks if isinstance(chunk, Columns))
    if held < programs.WORTH_ROWS or not sides[0] or sum(map(len, chunks)) > held + held // 4:
        return None
    try:
        return form(TwoSides(*map(_one, sides)))
    except (*REFUSALS, RowTypeError):
        return None


def _one(chunks: Sequence[Chunk]) -> Columns | None:
    """A side as one chunk of columns, ``None`` if there is nothing. Raises :class:`RowTypeError`."""
    held = [chunk for chunk in chunks if len(chunk)]
    if not held:
        return None
    known = next((chunk.row_type for chunk in held if isinstance(chunk, Columns)), None)
    columns = [
        chunk if isinstance(chunk, Columns) else Columns.from_rows(chunk.rows(), known) for chunk in held
    ]
    return joined(columns)
