"""How changes of tables lie in files: numbers and binary parts, which frames hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from penstock.chunk import Chunk
from penstock.encoding import Trust, decoded, encoded
from penstock.state.changes import TableChange

__all__ = ["change_in", "change_out", "chunk_out"]


def change_out(change: TableChange, parts: list[Any]) -> dict[str, Any]:
    """A change as what JSON can hold, which names its binary parts by their places in ``parts``."""
    all_slots = change.whole and len(change.slots) == change.length
    return {
        "length": change.length,
        "whole": change.whole,
        "closes": change.closes,
        "numbers": [
            None if all_slots else _part(change.slots, parts),
            None if change.times is None else _part(change.times, parts),
            _part(change.holes, parts) if len(change.holes) else None,
        ],
        "chunks": [chunk_out(chunk, parts) for chunk in change.entries],
    }


def chunk_out(chunk: Chunk, parts: list[Any]) -> dict[str, Any]:
    """A chunk as what JSON can hold, and its binary part."""
    description, data = encoded(chunk)
    return {**description, "part": _part(data, parts)}


def _part(data: Any, parts: list[Any]) -> int:
    parts.append(np.ascontiguousarray(data, np.int64) if isinstance(data, np.ndarray) else data)
    return len(parts) - 1


def change_in(head: Mapping[str, Any], parts: Sequence[Any], trust: Trust) -> TableChange:
    """What :func:`change_out` wrote; ``trust`` is called before anything is unpickled."""
    numbers = [None if at is None else np.frombuffer(parts[at], np.int64) for at in head["numbers"]]
    slots, times, holes = numbers
    length = head["length"]
    return TableChange(
        length,
        np.arange(length) if slots is None else slots,
        [decoded(each, parts[each["part"]], trust) for each in head["chunks"]],
        times,
        np.zeros(0, np.int64) if holes is None else holes,
        head["whole"],
        head["closes"],
    )
