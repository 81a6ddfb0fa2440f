"""Partitions that lie in memory, one after the other."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from typing import Any, overload

from penstock.chunk import Chunk, Rows, rows_of
from penstock.errors import CallSite
from penstock.plan import Metrics, RangeReader, SliceReader, Source, Task

SITE = CallSite("test")
TASK = Task(0, 1, Metrics())


class Looked(Sequence[Chunk]):
    """Chunks that know whether they have been looked at."""

    def __init__(self, rows: list[Any]) -> None:
        self.chunks = [Rows(rows)]
        self.looked = False

    @overload
    def __getitem__(self, index: int) -> Chunk: ...
    @overload
    def __getitem__(self, index: slice) -> list[Chunk]: ...
    def __getitem__(self, index: int | slice) -> Chunk | list[Chunk]:
        self.looked = True
        return self.chunks[index]

    def __iter__(self) -> Iterator[Chunk]:
        self.looked = True
        return iter(self.chunks)

    def __len__(self) -> int:
        return len(self.chunks)


def plans(*partitions: list[list[Any]]) -> list[Source]:
    return [Source(SITE, [SliceReader([Rows(rows)] if rows else []) for rows in each]) for each in partitions]


def read(reader: SliceReader) -> list[list[Any]]:
    return [list(chunk.rows()) for chunk in reader.read(TASK)]


def test_partitions_of_several_plans_come_one_after_the_other_each_with_an_end() -> None:
    found = SliceReader.joined(plans([[1, 2], [3]], [[], [4]], [[5], []]), Rows(["end"]))
    assert found is not None
    first, second = found
    assert read(first) == [[1, 2], ["end"], ["end"], [5], ["end"]]
    assert read(second) == [[3], ["end"], [4], ["end"], ["end"]]
    assert [list(chunk.rows()) for chunk in first.chunks] == read(first)
    assert (first.rows_hint, second.rows_hint) == (3, 2)


def test_without_an_end() -> None:
    found = SliceReader.joined(plans([[1]], [[2]]))
    assert found is not None
    assert [read(each) for each in found] == [[[1], [2]]]


def test_what_does_not_lie_in_memory_or_has_other_partitions_is_not_joined() -> None:
    assert SliceReader.joined(plans([[1], [2]], [[3]])) is None
    assert SliceReader.joined([*plans([[1]]), Source(SITE, [RangeReader(range(3))])]) is None


def test_of_thousands_only_those_that_are_read_are_looked_into() -> None:
    held = [Looked([number]) for number in range(5_000)]
    found = SliceReader.joined([Source(SITE, [SliceReader(each)]) for each in held])
    assert found is not None
    [reader] = found
    assert not any(each.looked for each in held)
    assert next(rows_of(reader.read(TASK))) == 0
    assert sum(each.looked for each in held) <= 64


def test_records_that_are_read_are_copies() -> None:
    record = {"n": 1}
    found = SliceReader.joined(plans([[record]], [[record]]))
    assert found is not None
    for each in rows_of(found[0].read(TASK)):
        each["n"] = 2
    assert record == {"n": 1}


def test_a_pickled_reader_reads_the_same() -> None:
    found = SliceReader.joined(plans([[1]], [[2, 3]]), Rows([]))
    assert found is not None
    assert found[0].rows_hint == 3
    again = pickle.loads(pickle.dumps(found[0]))
    assert read(again) == read(found[0])
    assert again.rows_hint == 3
