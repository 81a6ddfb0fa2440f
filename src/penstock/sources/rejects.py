"""What is no record, kept apart from the records: chunks of rejects between chunks of records."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

from penstock.chunk import Rows

__all__ = ["Reject", "Rejects"]


class Reject(NamedTuple):
    """A line that is no record: where it comes from (a URL, or empty), its number (from 1) in that
    source or else in its partition, its text, and why it was refused.

    Of a binary file it is what is left behind the last whole record: the number that record would have, and
    the bytes as ``bytes.hex`` writes them.

    >>> Reject("in/a.csv", 7, "x,y", "field 1 (id) is 'x': must be a whole number")
    Reject(source='in/a.csv', number=7, text='x,y', reason="field 1 (id) is 'x': must be a whole number")
    """

    source: str
    number: int
    text: str
    reason: str


class Rejects(Rows):
    """A chunk of :class:`Reject`, told apart from the records by its class. Nothing in it can be changed."""

    __slots__ = ()

    beside = True

    def rows(self) -> list[Any]:
        return list(self._rows)

    def slice(self, start: int, stop: int) -> Rejects:
        return Rejects(self._rows[start:stop])

    def isolated(self) -> Self:
        return self

    def lent(self) -> Self:
        return self

    def __reduce__(self) -> tuple[type[Rejects], tuple[list[Any]]]:
        return Rejects, (self._rows,)
