"""Records that lie in the driver's memory, cut into partitions as PySpark cuts them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from penstock.chunk import CHUNK_ROWS, Chunk, Columns, Rows, RowType, handed_out
from penstock.plan.nodes import PartitionReader, Source, Task

__all__ = ["SliceReader", "slices"]

_PYSPARK_BATCH = 1024


class SliceReader(PartitionReader):
    """A partition that is in memory already. Hands out copies: the records belong to the driver."""

    __slots__ = ("_chunks",)

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self._chunks = chunks

    @classmethod
    def of(cls, rows: list[Any]) -> SliceReader:
        """A reader of these records, in bounded chunks."""
        if len(rows) <= CHUNK_ROWS:
            return cls([Rows(rows)] if rows else [])
        return cls([Rows(rows[at : at + CHUNK_ROWS]) for at in range(0, len(rows), CHUNK_ROWS)])

    @property
    def chunks(self) -> Sequence[Chunk]:
        """The chunks themselves, which nobody may change."""
        return self._chunks

    @classmethod
    def joined(cls, plans: Sequence[Source], end: Chunk | None = None) -> list[SliceReader] | None:
        """The partitions of plans that lie in memory and have as many each, those of one plan after those of
        the other, each followed by ``end`` if there is one; ``None`` if they do not."""
        columns: list[list[SliceReader]] = []
        for plan in plans:
            readers = [reader for reader in plan.readers if isinstance(reader, SliceReader)]
            if len(readers) < len(plan.readers) or len(readers) != len(plans[0].readers):
                return None
            columns.append(readers)
        partitions = zip(*columns, strict=True)
        behind = () if end is None else (end,)
        return [cls([chunk for part in parts for chunk in (*part._chunks, *behind)]) for parts in partitions]

    def read(self, task: Task) -> Iterator[Chunk]:
        return handed_out(self._chunks)

    @property
    def rows_hint(self) -> int:
        return sum(map(len, self._chunks))

    @property
    def row_type(self) -> RowType | None:
        held = [chunk for chunk in self._chunks if len(chunk)]
        kinds = {chunk.row_type if isinstance(chunk, Columns) else None for chunk in held}
        return kinds.pop() if len(kinds) == 1 else None


class RangeReader(PartitionReader):
    """A part of a ``range``, made as it is read."""

    __slots__ = ("_numbers",)

    def __init__(self, numbers: range) -> None:
        self._numbers = numbers

    def read(self, task: Task) -> Iterator[Chunk]:
        for at in range(0, len(self._numbers), CHUNK_ROWS):
            yield Rows(list(self._numbers[at : at + CHUNK_ROWS]))

    @property
    def rows_hint(self) -> int:
        return len(self._numbers)


def slices(records: Sequence[Any], count: int) -> list[PartitionReader]:
    """``count`` partitions of ``records``, with PySpark's boundaries.

    PySpark 4.3 cuts a ``range`` evenly, at ``i * n // count``. Anything else it first packs into
    batches of ``max(1, min(n // count, 1024))`` records and cuts the row of *batches* evenly. As in
    PySpark the partitions hold the records as they are now, whatever becomes of them later.

    >>> from penstock.chunk import rows_of
    >>> from penstock.plan import Metrics
    >>> task = Task(0, 3, Metrics())
    >>> [list(rows_of(part.read(task))) for part in slices(list("abcdefghij"), 3)]
    [['a', 'b', 'c'], ['d', 'e', 'f'], ['g', 'h', 'i', 'j']]
    """
    total = len(records)
    if isinstance(records, range):
        bounds = [index * total // count for index in range(count + 1)]
        return [RangeReader(records[start:stop]) for start, stop in itertools.pairwise(bounds)]
    records = Rows(list(records)).isolated().rows()
    batch = max(1, min(total // count, _PYSPARK_BATCH))
    batches = -(-total // batch)
    bounds = [min(total, index * batches // count * batch) for index in range(count + 1)]
    return [SliceReader.of(records[start:stop]) for start, stop in itertools.pairwise(bounds)]
