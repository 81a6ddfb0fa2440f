"""How much memory Python objects take, about."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import islice
from typing import Any

__all__ = ["objects_bytes", "size_of"]

_SAMPLE = 64
_ITEMS_MAX = 16  # of a container as many are looked at
_DEPTH_MAX = 4

size_of = sys.getsizeof
"""One object without what it holds, exactly."""


def objects_bytes(values: list[Any], nothing: Any) -> int:
    """What all values take together, from up to 64 of them that are spread over the list; ``nothing`` takes
    nothing. Objects that are shared count each time.

    >>> objects_bytes([2.5] * 1000, None) == 1000 * size_of(2.5)
    True
    """
    if not values:
        return 0
    step = max(1, len(values) // _SAMPLE)
    sample = values[::step][:_SAMPLE]
    sized = sum(_deep_size(value, 0) for value in sample if value is not nothing)
    return sized * len(values) // len(sample)


def _deep_size(value: Any, depth: int) -> int:
    """An object with what it holds, as far as that can be seen from outside and is not too deep."""
    size = size_of(value, 64)  # a class may not know
    if depth == _DEPTH_MAX:
        return size
    if isinstance(value, dict):
        return size + _of_items((each for pair in value.items() for each in pair), 2 * len(value), depth)
    if isinstance(value, (list, tuple, set, frozenset)):
        return size + _of_items(value, len(value), depth)
    held = getattr(value, "__dict__", None)
    return (
        size if not isinstance(held, dict) or isinstance(value, type) else size + _deep_size(held, depth + 1)
    )


def _of_items(items: Iterable[Any], count: int, depth: int) -> int:
    looked_at = min(count, _ITEMS_MAX)
    found = sum(_deep_size(item, depth + 1) for item in islice(items, looked_at))
    return found * count // looked_at if looked_at else 0
