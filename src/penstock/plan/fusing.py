"""Chains of steps on single records as one pass over each chunk: on columns as far as they go, then on rows.

::

    Columns --(steps that are traced)--> Columns --(the first that is not, and all behind it)--> Rows

A chunk of rows stays rows, a small one of columns becomes rows at once, and so does one that a kernel
refuses: then Python does from the first step on what it would have done anyway.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from penstock.chunk import Chunk, Columns, Lines, Rows, RowType, Scalar, with_fields
from penstock.vectorize import Chain, Untraced, programs

__all__ = ["Fused", "RowStep", "as_columns", "row_type_of", "through"]

_TEXT = Scalar(str)


class RowStep(Protocol):
    """A step on records one by one."""

    def apply(self, rows: list[Any], out: list[Any]) -> None:
        """Append to ``out`` what becomes of ``rows``."""

    def fields_read(self) -> frozenset[str] | None:
        """The only fields of a record that the step reads, if it does nothing else with it."""

    def in_columns(self, chain: Chain) -> Chain | Untraced:
        """The chain with this step behind it, or why it has no column form."""


def row_type_of(chunk: Chunk) -> RowType | None:
    """The row type of a chunk whose records are worth computing as columns, else ``None``."""
    if len(chunk) < programs.WORTH_ROWS:
        return None
    if isinstance(chunk, Columns):
        return chunk.row_type
    return _TEXT if isinstance(chunk, Lines) else None


def as_columns(chunk: Chunk) -> Columns:
    """A chunk that has a :func:`row_type_of`, as columns."""
    if isinstance(chunk, Lines):
        return chunk.columns()
    assert isinstance(chunk, Columns)
    return chunk


class Fused:
    """Steps that belong together. What they are in columns is found with the first chunk of each row type."""

    __slots__ = ("_chains", "_steps")

    def __init__(self, steps: Sequence[RowStep]) -> None:
        self._steps = steps
        self._chains: dict[RowType, tuple[Chain, int]] = {}

    def run(self, chunk: Chunk) -> Iterator[Chunk]:
        """What becomes of a chunk, as if each record went through all steps before the next.

        When a step fails at a record, the records before it still go through the later steps: one of
        those may fail at an earlier record, and the first failing record in row order is the one to
        report.
        """
        row_type = row_type_of(chunk)
        steps = self._steps
        if row_type is not None:
            chain, count = self._chain(row_type)
            made = chain.attempt(as_columns(chunk)) if count else None
            if made is not None:
                if count == len(steps):
                    if len(made):
                        yield made
                    return
                chunk, steps = made, steps[count:]
        yield from _on_rows(steps, chunk)

    def _chain(self, row_type: RowType) -> tuple[Chain, int]:
        """The steps that are traced, and how many they are."""
        known = self._chains.get(row_type)
        if known is None:
            chain, count = Chain.of(row_type), 0
            for step in self._steps:
                longer = step.in_columns(chain)
                if isinstance(longer, Untraced):
                    break
                chain, count = longer, count + 1
            known = self._chains[row_type] = (chain, count)
        return known


def _row_lists(steps: Sequence[RowStep], chunk: Chunk) -> Iterator[list[Any]]:
    """The chunk's records, or as much of them as the first step reads."""
    if isinstance(chunk, Columns):
        names = steps[0].fields_read()
        some = None if names is None else with_fields(chunk, names)
        if some is not None:
            yield some
            return
    yield from chunk.row_lists()


def _on_rows(steps: Sequence[RowStep], chunk: Chunk) -> Iterator[Chunk]:
    for rows in _row_lists(steps, chunk):
        rows, failed = through(steps, rows)
        if rows:
            yield Rows(rows)
        if failed is not None:
            raise failed


def through(steps: Sequence[RowStep], rows: list[Any]) -> tuple[list[Any], Exception | None]:
    """What becomes of records, and what one of them failed of: then they are those before it."""
    failed: Exception | None = None
    for step in steps:
        out: list[Any] = []
        try:
            step.apply(rows, out)
        except Exception as error:
            failed = error
        rows = out
    return rows, failed
