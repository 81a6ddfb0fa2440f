"""A chunk of Python objects."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from penstock.chunk.base import Chunk
from penstock.chunk.isolation import Copier, copier_of, is_flat

__all__ = ["Rows"]


class Rows(Chunk):
    """A list of records. The list is the chunk's: give it away, or copy it first.

    >>> kept = Rows([[1], [2]])
    >>> kept.isolated().rows()[0].append(9)
    >>> kept.rows()
    [[1], [2]]
    """

    __slots__ = ("_copier", "_rows")

    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows
        self._copier: Copier | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"Rows({self._rows!r})"

    def rows(self) -> list[Any]:
        return self._rows

    def row_lists(self) -> Iterator[list[Any]]:
        return iter((self._rows,))

    def slice(self, start: int, stop: int) -> Rows:
        return Rows(self._rows[start:stop])

    def isolated(self) -> Rows:
        return Rows(self._found_copier()(self._rows))

    def lent(self) -> Rows:
        return self if is_flat(self._found_copier()) else self.isolated()

    def _found_copier(self) -> Copier:
        if self._copier is None:  # found once: nobody changes the records from here on
            self._copier = copier_of(self._rows)
        return self._copier

    @property
    def nbytes(self) -> int:
        size = sys.getsizeof(self._rows)
        return size + sum(map(sys.getsizeof, self._rows))

    def __reduce__(self) -> tuple[type[Rows], tuple[list[Any]]]:
        return Rows, (self._rows,)
