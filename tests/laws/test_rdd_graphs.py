"""Whatever graph of RDD operators: the engine gives what the reference interpreter gives."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.testing import Apply, Graph, Partitions, Raised, Records, evaluate
from penstock.testing import functions as fn
from penstock.testing.strategies import rdd_graphs
from tests.laws.engine import CHUNKS, MASTERS, assert_same, engine, rdd_outcome


def check(graph: Graph, master: str, chunk_rows: int) -> None:
    try:
        wanted: Partitions | Raised = evaluate(graph)
    except Raised as failed:
        wanted = failed
    with engine(master, chunk_rows) as context:
        got = rdd_outcome(graph, context)
    assert_same(got, wanted, graph)


def shuffled_and_read_at_two_depths() -> Graph:
    """The join reads the shuffled pairs at once, and behind another shuffle."""
    pairs = Records([("a", 1), ("b", 2), ("a", 3)], 1)
    combined = Apply("combineByKey", (pairs,), (fn.boxed, fn.gathered_in_place, fn.joined_in_place, 3))
    return Apply("join", (combined, Apply("map", (combined,), (fn.value_twice,))), (3,))


@pytest.mark.parametrize("master", MASTERS)
@example(graph=shuffled_and_read_at_two_depths(), chunk_rows=1)
@given(graph=rdd_graphs(), chunk_rows=st.sampled_from(CHUNKS))
def test_the_engine_is_the_reference(master: str, graph: Graph, chunk_rows: int) -> None:
    check(graph, master, chunk_rows)


@given(graph=rdd_graphs(failing=True), master=st.sampled_from(MASTERS), chunk_rows=st.sampled_from(CHUNKS))
def test_the_engine_fails_as_the_reference_fails(graph: Graph, master: str, chunk_rows: int) -> None:
    check(graph, master, chunk_rows)


@pytest.mark.long
@given(
    graph=rdd_graphs(most_operators=12, failing=True),
    master=st.sampled_from(MASTERS),
    chunk_rows=st.sampled_from(CHUNKS),
)
def test_the_engine_fails_as_the_reference_fails_in_large_graphs(
    graph: Graph, master: str, chunk_rows: int
) -> None:
    check(graph, master, chunk_rows)


@pytest.mark.long
@pytest.mark.parametrize("master", MASTERS)
@given(graph=rdd_graphs(most_operators=12), chunk_rows=st.sampled_from(CHUNKS))
def test_the_engine_is_the_reference_for_large_graphs(master: str, graph: Graph, chunk_rows: int) -> None:
    check(graph, master, chunk_rows)
