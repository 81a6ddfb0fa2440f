"""Operators that care where a record lies: indexes, zip, cartesian, coalesce, glom, samples."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, chain
from math import exp
from typing import Any

import numpy as np
import pyarrow as pa

from penstock.chunk import Chunk, Columns, Rows, RowType, Scalar, Tuple, isolated, rows_of
from penstock.errors import CallSite, DataError
from penstock.plan import Form, Gather, Node, Step, Task, chunked, row_type_of
from penstock.vectorize import Untraced

__all__ = ["Glom", "Sample", "UniqueIds", "ZipWithIndex", "cartesian", "coalesced", "zipped"]

_END = object()


class ZipWithIndex(Step):
    """``(record, index)``; the index counts through all partitions in their order."""

    name = "zipWithIndex"

    def form(self, form: Form) -> Form:
        """``(record, number)`` in columns, if the record is; see :mod:`penstock.plan.forms`."""
        return _numbered(form)

    def needs_summary(self, partitions: int) -> bool:
        return partitions > 1

    def summarise(self, task: Task, chunks: Iterator[Chunk]) -> int:
        return sum(map(len, chunks))

    def decide(self, summaries: list[int]) -> list[int]:
        return list(accumulate(summaries, initial=0))

    def run(self, task: Task, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        at = task.decision[task.partition] if task.decision is not None else 0
        for chunk in chunks:
            yield _with_numbers(chunk, range(at, at + len(chunk)))
            at += len(chunk)


class UniqueIds(Step):
    """``(record, id)``; partition ``p`` of ``n`` counts ``p, p + n, p + 2n, ...``."""

    name = "zipWithUniqueId"

    def form(self, form: Form) -> Form:
        """``(record, number)`` in columns, if the record is; see :mod:`penstock.plan.forms`."""
        return _numbered(form)

    def run(self, task: Task, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        at, step = task.partition, task.partitions
        for chunk in chunks:
            stop = at + step * len(chunk)
            yield _with_numbers(chunk, range(at, stop, step))
            at = stop


def _numbered(form: Form) -> Form:
    if not isinstance(form, RowType):
        return Untraced("the lists of values are made here")
    return Tuple((form, Scalar(int)))


def _with_numbers(chunk: Chunk, numbers: range) -> Chunk:
    """``(record, number)`` for each record."""
    if isinstance(chunk, Columns) and row_type_of(chunk) is not None:
        beside = np.arange(numbers.start, numbers.stop, numbers.step)
        row_type = Tuple((chunk.row_type, Scalar(int)))
        column = pa.Array.from_buffers(pa.int64(), len(beside), [None, pa.py_buffer(beside)])
        return Columns(row_type, (*chunk.leaves, column), len(chunk))
    return Rows(list(zip(chunk.rows(), numbers, strict=True)))


class Glom(Step):
    """The partition as one list."""

    name = "glom"

    def run(self, task: Task, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        yield Rows([list(rows_of(chunks))])


class Sample(Step):
    """A random part of the records: each with probability ``fraction``, or so often on average."""

    __slots__ = ("fraction", "name", "replace", "seed")

    def __init__(self, replace: bool, fraction: float, seed: int) -> None:
        self.replace = replace
        self.fraction = fraction
        self.seed = seed
        self.name = "sample"

    def form(self, form: Form) -> Form:
        """Records stay what they are; see :mod:`penstock.plan.forms`."""
        if self.replace or not isinstance(form, RowType):
            return Untraced("it copies Python objects")
        return form

    def run(self, task: Task, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        import random  # here, since few programs draw

        draw = random.Random(f"{self.seed}:{task.partition}").random
        for chunk in chunks:
            if self.replace:
                picked = [
                    isolated(row) if again else row
                    for row in chunk.rows()
                    for again in range(_poisson(self.fraction, draw))
                ]
            else:
                if isinstance(chunk, Columns) and row_type_of(chunk) is not None:
                    drawn = np.fromiter(
                        (draw() < self.fraction for _ in range(len(chunk))), np.bool_, len(chunk)
                    )
                    if drawn.any():
                        yield chunk.take(np.flatnonzero(drawn))
                    continue
                picked = [row for row in chunk.rows() if draw() < self.fraction]
            if picked:
                yield Rows(picked)


def _poisson(mean: float, draw: Any) -> int:
    """A Poisson variate by multiplication (Knuth, TAOCP 2, 3.4.1), in steps that exp() can hold."""
    count = 0
    while mean > 0:
        part = min(mean, 500.0)
        mean -= part
        limit, product = exp(-part), draw()
        while product > limit:
            count += 1
            product *= draw()
    return count


def coalesced(plan: Node, count: int, site: CallSite) -> Node:
    """At most ``count`` partitions, each of neighbouring partitions of ``plan``; nothing is moved.

    Always a node of its own: keeping it does not keep ``plan``.
    """
    count = min(count, plan.partitions)
    bounds = [index * plan.partitions // max(1, count) for index in range(count + 1)]
    reads = [[(0, part) for part in range(bounds[i], bounds[i + 1])] for i in range(count)]
    return Gather(site, (plan,), reads)


def zipped(left: Node, right: Node, site: CallSite) -> Node:
    """Partition by partition, record by record; the numbers must agree."""

    def side_by_side(partition: int, one: Iterator[Any], other: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
        count = 0
        for record in one:
            beside = next(other, _END)
            if beside is _END:
                raise uneven(partition, f"{count} on the right and more on the left")
            yield record, beside
            count += 1
        if next(other, _END) is not _END:
            raise uneven(partition, f"{count} on the left and more on the right")

    def uneven(partition: int, numbers: str) -> DataError:
        return DataError(
            f"{site} needs as many records on both sides of each partition, but partition {partition} "
            f"has {numbers}. Hint: join by zipWithIndex()."
        )

    def zip_(task: Task, inputs: list[Iterator[Chunk]]) -> Iterator[Chunk]:
        one, other = map(rows_of, inputs)
        return chunked(side_by_side(task.partition, one, other))

    reads = [[(0, index), (1, index)] for index in range(left.partitions)]
    return Gather(site, (left, right), reads, zip_)


def cartesian(left: Node, right: Node, site: CallSite) -> Node:
    """All pairs; partition ``i * right.partitions + j`` holds those of partitions ``i`` and ``j``."""

    def cartesian_(task: Task, inputs: list[Iterator[Chunk]]) -> Iterator[Chunk]:
        others = [Rows(chunk.rows()) for chunk in inputs[1]]
        for chunk in inputs[0]:
            for one in chunk.rows():
                for other in others:
                    rows = other.isolated().rows()
                    yield Rows([(isolated(one), row) for row in rows])

    reads = [[(0, i), (1, j)] for i in range(left.partitions) for j in range(right.partitions)]
    return Gather(site, (left, right), reads, cartesian_)


def flat(parts: list[list[Any]]) -> list[Any]:
    """The lists of all partitions as one."""
    return list(chain.from_iterable(parts))
