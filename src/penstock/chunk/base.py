"""The contract of a chunk: a bounded piece of a partition, as rows or as columns.

A partition is an ordered iterator of chunks. Whoever pulls a chunk from such an iterator *owns* it
and the records in it: it may change them, and hand them to functions that do. Whoever keeps chunks
to hand them out more than once (a persisted RDD, a list in the driver, a window) therefore hands
out :meth:`Chunk.isolated` copies (or lends, see :meth:`Chunk.lent`). That is the whole of the rule; it
is what makes ``lambda a, b: a.extend(b) or a`` safe everywhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

__all__ = ["CHUNK_ROWS", "Chunk", "rows_of"]

CHUNK_ROWS = 65_536
"""Most records in one chunk of rows: about 8 MB of small Python records."""


class Chunk(ABC):
    """A bounded, ordered piece of a partition. Subclasses: ``Rows``, ``Columns`` and
    ``Lines``, and ``Left``, which stands for some that are elsewhere."""

    __slots__ = ()

    beside = False
    """Whether what it holds are no records of the dataset, but something that goes along with them."""

    @abstractmethod
    def __len__(self) -> int:
        """How many records."""

    @abstractmethod
    def rows(self) -> list[Any]:
        """The records as Python objects, in order. The caller owns the chunk, so it may own the list too."""

    def row_lists(self) -> Iterator[list[Any]]:
        """The same records in lists, one after the other, for who makes new objects of each of them.

        One list as a rule. A chunk of very many records, whose objects are made only now, gives short ones.
        """
        yield self.rows()

    @abstractmethod
    def slice(self, start: int, stop: int) -> Chunk:
        """The records ``start`` up to but without ``stop``; bounds as in a Python slice."""

    @abstractmethod
    def isolated(self) -> Chunk:
        """A chunk of equal records which may be changed without this one noticing."""

    def lent(self) -> Chunk:
        """A chunk of these records for a reader that takes nothing but items (``record[constant]``) of them.

        It is this very chunk if no item can be changed: such a reader can do no harm then.
        """
        return self.isolated()

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes of memory held, roughly for rows, exactly for columns."""


def rows_of(chunks: Iterable[Chunk]) -> Iterator[Any]:
    """The records of several chunks, one after the other."""
    for chunk in chunks:
        for rows in chunk.row_lists():
            yield from rows
