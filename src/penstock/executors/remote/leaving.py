"""Results that stay where they were computed: in a worker, what is sent of them, and what others left.

::

    result: [chunks, chunks, ...]  --->  sent back: [chunks, Left, ...]     what is small, and what stands
                                                                            for the rest
                                   '-->  pieces: (key, number, bytes) ...   of all lists, for whoever is to
                                                                            keep them there

Pieces are made of all lists, also of those that are sent back: what a task has left must not depend on how
many bytes a pickle takes, since these may be others when the task is done again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import cloudpickle

from penstock.chunk import CHUNK_ROWS, Chunk, Columns, Key, Left, Lines, Place
from penstock.errors import StateError
from penstock.executors.jobs import Inputs
from penstock.plan import SliceReader

__all__ = ["NOWHERE", "AtHand", "Leaving", "Piece", "left_in"]

Piece = tuple[Key, int, bytes]
"""A pickled list of chunks: whose, and the how manyth."""

_PIECE_BYTES = 8 * 1024**2


class Leaving:
    """What becomes of the result of one task: lists of chunks, or tuples that begin with one, or one list.
    The longest are replaced by a
    ``Left`` each until ``most_bytes`` are not exceeded. Afterwards :attr:`pieces` are there."""

    def __init__(self, stage: int, task: int, most_bytes: int) -> None:
        self._stage = stage
        self._task = task
        self._most_bytes = most_bytes
        self.pieces: list[Piece] = []

    def __call__(self, result: Any) -> Any:
        if all(isinstance(each, Chunk) for each in result):
            return self._sorted_out([result])[0]
        lists = self._sorted_out([each[0] if isinstance(each, tuple) else each for each in result])
        return [
            (found, *each[1:]) if isinstance(each, tuple) else found
            for each, found in zip(result, lists, strict=True)
        ]

    def _sorted_out(self, lists: Sequence[Any]) -> list[Any]:
        sizes = {number: self._put(number, each) for number, each in enumerate(lists) if _holds(each)}
        sent, total = list(lists), sum(sizes.values())
        for number in sorted(sizes, key=lambda each: (-sizes[each], each)):
            if total <= self._most_bytes:
                break
            rows = sum(len(chunk) for chunk in lists[number] if not chunk.beside)
            sent[number] = [Left(NOWHERE, (self._stage, self._task, number), rows, sizes[number])]
            total -= sizes[number]
        return sent

    def _put(self, number: int, chunks: Sequence[Chunk]) -> int:
        key, size = (self._stage, self._task, number), 0
        for count, group in enumerate(_groups(chunks)):
            data: bytes = cloudpickle.dumps(group, protocol=5)
            self.pieces.append((key, count, data))
            size += len(data)
        return size


def _holds(each: Any) -> bool:
    return isinstance(each, list) and any(map(len, each))


def _groups(chunks: Sequence[Chunk]) -> Iterator[list[Chunk]]:
    """Chunks that are pickled together."""
    group: list[Chunk] = []
    rows, nbytes = 0, 0
    for chunk in chunks:
        size = chunk.nbytes if isinstance(chunk, (Columns, Lines)) else 0
        if group and (rows + len(chunk) > CHUNK_ROWS or nbytes + size > _PIECE_BYTES):
            yield group
            group, rows, nbytes = [], 0, 0
        group.append(chunk)
        rows += len(chunk)
        nbytes += size
    if group:
        yield group


class AtHand:
    """What others have left, brought to the task that reads it."""

    def __init__(self, pieces: Iterable[Piece] = ()) -> None:
        self._pieces: dict[Key, list[tuple[int, bytes]]] = {}
        for key, number, data in pieces:
            self._pieces.setdefault(key, []).append((number, data))

    def pieces(self, keys: Sequence[Key]) -> Mapping[Key, Sequence[bytes]]:
        lacking = [key for key in keys if key not in self._pieces]
        if lacking:
            raise StateError(
                f"of what task {lacking[0][1]} has left, nothing is there any more. Hint: what was lost is "
                f"computed again; a function or a source gives something else each time."
            )
        return {key: [data for _, data in sorted(self._pieces[key])] for key in keys}


NOWHERE: Place = AtHand()


def left_in(inputs: Inputs) -> list[Left]:
    """What a partition reads that was left where it was computed."""
    return [
        chunk
        for readers in inputs.readers.values()
        for reader in readers.values()
        if isinstance(reader, SliceReader)
        for chunk in reader.chunks
        if isinstance(chunk, Left)
    ]
