"""Whatever graph of RDD operators: where its records fit into columns, the engine gives the same there.

The graphs, and the reference interpreter, are those of ``tests/laws``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.chunk import CHUNK_ROWS, Chunk, Columns, Rows
from penstock.errors import RowTypeError
from penstock.plan.slices import SliceReader
from penstock.testing import Graph
from penstock.testing.strategies import rdd_graphs
from penstock.vectorize import programs
from tests.laws.test_rdd_graphs import check

CHUNKS = (1, 2, 3, 100)


@contextmanager
def records_in_columns(chunk_rows: int, made: Callable[[], None]) -> Iterator[None]:
    """What is in memory lies in columns of so many rows, where that is possible."""

    def chunk_of(rows: list[Any]) -> Chunk:
        try:
            chunk = Columns.from_rows(rows)
        except RowTypeError:
            return Rows(rows)
        made()
        return chunk

    def of(cls: type[SliceReader], rows: list[Any]) -> SliceReader:
        return cls([chunk_of(rows[at : at + chunk_rows]) for at in range(0, len(rows), chunk_rows)])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SliceReader, "of", classmethod(of))
        patch.setattr(programs, "WORTH_ROWS", 1)
        yield


def law(graph: Graph, chunk_rows: int, master: str = "local[1]") -> int:
    """Checks the graph, and gives the number of chunks that were columns."""
    count = 0

    def made() -> None:
        nonlocal count
        count += 1

    with records_in_columns(chunk_rows, made):
        check(graph, master, CHUNK_ROWS)
    return count


@given(graph=rdd_graphs(), chunk_rows=st.sampled_from(CHUNKS))
def test_the_engine_on_columns_is_the_reference(graph: Graph, chunk_rows: int) -> None:
    law(graph, chunk_rows)


@given(graph=rdd_graphs(failing=True), chunk_rows=st.sampled_from(CHUNKS))
def test_the_engine_on_columns_fails_as_the_reference_fails(graph: Graph, chunk_rows: int) -> None:
    law(graph, chunk_rows)


@pytest.mark.long
@given(graph=rdd_graphs(most_operators=12, failing=True), chunk_rows=st.sampled_from(CHUNKS))
def test_the_engine_on_columns_fails_as_the_reference_fails_in_large_graphs(
    graph: Graph, chunk_rows: int
) -> None:
    law(graph, chunk_rows)


@pytest.mark.long
@given(graph=rdd_graphs(most_operators=12), chunk_rows=st.sampled_from(CHUNKS))
def test_the_engine_on_columns_is_the_reference_for_large_graphs(graph: Graph, chunk_rows: int) -> None:
    law(graph, chunk_rows, "local[2]")
