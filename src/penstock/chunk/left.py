"""Chunks that were left where they were computed: the program's own process knows of them and no more."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from operator import methodcaller
from typing import Any, Protocol

from penstock.chunk.base import Chunk, rows_of
from penstock.chunk.rows import Rows
from penstock.errors import StateError

__all__ = ["Key", "Left", "Place", "arriving", "handed_out", "whole"]

Key = tuple[int, int, int]
"""Which stage has left it, which of its tasks, and which list of chunks of that one's result. It is the same
when the task is done again."""


class Place(Protocol):
    """Where the bytes can be had from."""

    def pieces(self, keys: Sequence[Key]) -> Mapping[Key, Sequence[bytes]]:
        """Of each key what makes up its chunks: pickled lists of them, in order."""


class Left(Chunk):
    """Stands for all chunks of one list, such as a partition, or what of it goes to one target of a shuffle.

    It can be kept, counted and sent like any chunk. Whoever reads it fetches what it stands for, each time:
    through :func:`handed_out` and :func:`whole` that is one request for all that a reader wants. Pickled, it
    is its key; what comes out is at the place that :func:`arriving` names.
    """

    __slots__ = ("_length", "_nbytes", "key", "place")

    def __init__(self, place: Place, key: Key, length: int, nbytes: int) -> None:
        self.place = place
        self.key = key
        self._length = length
        self._nbytes = nbytes

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return f"Left({self._length} rows, {self.key})"

    def chunks(self, pieces: Sequence[bytes]) -> Iterator[Chunk]:
        """What it stands for, made of its pieces one after the other; the caller owns it."""
        count = 0
        for piece in pieces:
            for chunk in pickle.loads(piece):
                count += 0 if chunk.beside else len(chunk)
                yield chunk
        if count != self._length:
            raise StateError(
                f"what was lost and computed again has {count} records, and had {self._length} before. Hint: "
                f"a function or a source gives something else each time; persist() does not help against "
                f"that, checkpoint() or a file does."
            )

    def rows(self) -> list[Any]:
        return list(rows_of(whole([self])))

    def slice(self, start: int, stop: int) -> Rows:
        return Rows(self.rows()[start:stop])

    def isolated(self) -> Rows:
        return Rows(self.rows())

    @property
    def nbytes(self) -> int:
        """Of the pickles."""
        return self._nbytes

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self.key, self._length, self._nbytes)


_arriving: ContextVar[Place] = ContextVar("arriving")


@contextmanager
def arriving(place: Place) -> Iterator[None]:
    """What is unpickled meanwhile lies there."""
    token = _arriving.set(place)
    try:
        yield
    finally:
        _arriving.reset(token)


def _arrived(key: Key, length: int, nbytes: int) -> Left:
    return Left(_arriving.get(), key, length, nbytes)


def whole(chunks: Sequence[Chunk]) -> Iterator[Chunk]:
    """The same chunks, with those that were left elsewhere fetched: one request for each place."""
    found = _fetched(chunks)
    if found is None:
        return iter(chunks)
    return _put_in(chunks, found)


def handed_out(chunks: Sequence[Chunk], *, lend: bool = False) -> Iterator[Chunk]:
    """Chunks that somebody keeps, for a reader that may change them, or one to which they may be lent."""
    give = _lent if lend else _isolated
    for chunk in chunks:
        if isinstance(chunk, Left):
            return _given(chunks, give)
    return map(give, chunks)


_lent, _isolated = methodcaller("lent"), methodcaller("isolated")


def _given(chunks: Sequence[Chunk], give: Callable[[Chunk], Chunk]) -> Iterator[Chunk]:
    found = _fetched(chunks) or {}
    for chunk in chunks:
        if isinstance(chunk, Left):
            yield from chunk.chunks(found[chunk.key])
        else:
            yield give(chunk)


def _put_in(chunks: Sequence[Chunk], found: Mapping[Key, Sequence[bytes]]) -> Iterator[Chunk]:
    for chunk in chunks:
        if isinstance(chunk, Left):
            yield from chunk.chunks(found[chunk.key])
        else:
            yield chunk


def _fetched(chunks: Sequence[Chunk]) -> Mapping[Key, Sequence[bytes]] | None:
    places: dict[int, tuple[Place, list[Key]]] = {}
    for chunk in chunks:
        if isinstance(chunk, Left):
            places.setdefault(id(chunk.place), (chunk.place, []))[1].append(chunk.key)
    if not places:
        return None
    found: dict[Key, Sequence[bytes]] = {}
    for place, keys in places.values():
        found.update(place.pieces(keys))
    return found
