"""Several datasets of pairs, side by side by key: cogroup, the joins, subtract."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from penstock.chunk import Chunk, isolated
from penstock.errors import CallSite
from penstock.plan import Gather, Node, Shuffle, Task
from penstock.rdd.aggregation import emit
from penstock.rdd.pair import checked_pairs, keys_of, raise_for_key
from penstock.rdd.partitioner import KeyRouter, Partitioner

__all__ = ["Emission", "cogrouped", "full_outer", "inner", "left_outer", "right_outer"]

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

    def __call__(self, task: Task, inputs: list[Iterator[Chunk]]) -> Iterator[Chunk]:
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
