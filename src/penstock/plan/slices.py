"""Records that lie in the driver's memory, cut into partitions as PySpark cuts them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from penstock.chunk import CHUNK_ROWS, Chunk, Columns, Rows, RowType, handed_out
from penstock.plan.nodes import PartitionReader, Source, Task

__all__ = ["SliceReader", "slices"]

_PYSPARK_BATCH = 1024
_AT_ONCE = 64  # partitions that are looked into, of those that lie one after the other: few readers read all


class SliceReader(PartitionReader):
    """A partition that is in memory already. Hands out copies: the records belong to the driver."""

    __slots__ = ("_chunks", "_rows")

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self._chunks = chunks
        self._rows: int | None = None  # once it has been asked for

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

    @staticmethod
    def joined(plans: Sequence[Source], end: Chunk | None = None) -> list[SliceReader] | None:
        """The partitions of plans that lie in memory and have as many each, those of one plan after those of
        the other, each followed by ``end`` if there is one; ``None`` if they do not. Of thousands of plans
        none is looked into before it is read."""
        readers = [plan.readers for plan in plans]
        if len(set(map(len, readers))) > 1 or set(map(type, chain.from_iterable(readers))) - {SliceReader}:
            return None
        return [_Joined(parts, end) for parts in zip(*readers, strict=True)]

    def read(self, task: Task) -> Iterator[Chunk]:
        return handed_out(self._chunks)

    @property
    def rows_hint(self) -> int:
        if self._rows is None:
            self._rows = sum(map(len, self._chunks))
        return self._rows

    def __reduce__(self) -> Any:
        return SliceReader, (self.chunks,)

    @property
    def row_type(self) -> RowType | None:
        held = [chunk for chunk in self.chunks if len(chunk)]
        kinds = {chunk.row_type if isinstance(chunk, Columns) else None for chunk in held}
        return kinds.pop() if len(kinds) == 1 else None


class _Joined(SliceReader):
    """Several partitions one after the other, each with an end behind it if there is one."""

    __slots__ = ("_end", "_parts")

    def __init__(self, parts: Sequence[SliceReader], end: Chunk | None) -> None:
        super().__init__(())
        self._parts = parts
        self._end = () if end is None else (end,)

    @property
    def chunks(self) -> Sequence[Chunk]:
        return self._chunks_of(self._parts)

    def _chunks_of(self, parts: Sequence[SliceReader]) -> list[Chunk]:
        return [chunk for part in parts for chunk in (*part.chunks, *self._end)]

    def read(self, task: Task) -> Iterator[Chunk]:
        for at in range(0, len(self._parts), _AT_ONCE):
            yield from handed_out(self._chunks_of(self._parts[at : at + _AT_ONCE]))

    @property
    def rows_hint(self) -> int:
        if self._rows is None:
            self._rows = sum([part.rows_hint for part in self._parts])
        return self._rows


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
