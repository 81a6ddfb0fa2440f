"""Whatever graph of streams: in every batch the engine gives what the reference interpreter gives."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.testing import Apply, Batches, Graph, Hole, Partitions, Raised, Template, evaluate_batches
from penstock.testing import functions as fn
from penstock.testing.graphs import nodes_of
from penstock.testing.strategies import stream_graphs
from tests.laws.engine import CHUNKS, MASTERS, assert_same, engine, stream_outcome


def check(graph: Graph, master: str, chunk_rows: int) -> None:
    count = max(len(node.batches) for node in nodes_of(graph) if isinstance(node, Batches)) + 3
    with engine(master, chunk_rows) as context:
        wanted = reference(graph, count, context.defaultParallelism)
        got = stream_outcome(graph, count, context)
    assert_same(got, wanted, graph)


def reference(graph: Graph, count: int, parallelism: int) -> list[Partitions | None] | Raised:
    try:
        return evaluate_batches(graph, count, parallelism=parallelism)
    except Raised as failed:
        return failed


def sorted_after_the_input_has_ended() -> Graph:
    """An RDD without partitions is sorted into one."""
    hole = Hole()
    template = Template(Apply("sortBy", (hole,), (repr, False, 1)), (hole,))
    return Apply("transform", (Batches([["b", "a"]], 1),), (template,))


def a_window_over_a_stream_with_a_slide_of_its_own() -> Graph:
    return Apply("window", (Apply("window", (Batches([[1], [2], [3], [4]], 1),), (2, 2)),), (4, 2))


def a_state_that_its_function_changes() -> Graph:
    batches = Batches([[("a", [1]), ("b", [2])], [("a", [3])], []], 2)
    state = Apply("updateStateByKey", (batches,), (fn.collected_in_place, 2))
    return Apply("union", (Apply("map", (state,), (fn.emptied_in_place,)), state))


def a_window_that_nobody_reads() -> Graph:
    """A slide of a window is made in its own batch, and fails it."""
    window = Apply("window", (Apply("map", (Batches([["poison 0"]], 1),), (fn.refuse_poison,)),), (1, 1))
    unread, read = Hole(), Hole()
    template = Template(Apply("map", (read,), (repr,)), (unread, read))
    return Apply("transformWith", (window, Batches([[]], 1)), (template,))


@pytest.mark.parametrize("master", MASTERS)
@example(graph=sorted_after_the_input_has_ended(), chunk_rows=1)
@example(graph=a_window_over_a_stream_with_a_slide_of_its_own(), chunk_rows=1)
@example(graph=a_state_that_its_function_changes(), chunk_rows=1)
@given(graph=stream_graphs(), chunk_rows=st.sampled_from(CHUNKS))
def test_the_engine_is_the_reference(master: str, graph: Graph, chunk_rows: int) -> None:
    check(graph, master, chunk_rows)


@example(graph=a_window_that_nobody_reads(), master="local[1]", chunk_rows=1)
@given(graph=stream_graphs(failing=True), master=st.sampled_from(MASTERS), chunk_rows=st.sampled_from(CHUNKS))
def test_the_engine_fails_as_the_reference_fails(graph: Graph, master: str, chunk_rows: int) -> None:
    check(graph, master, chunk_rows)


@pytest.mark.long
@given(
    graph=stream_graphs(most_operators=12, failing=True),
    master=st.sampled_from(MASTERS),
    chunk_rows=st.sampled_from(CHUNKS),
)
def test_the_engine_fails_as_the_reference_fails_in_large_graphs(
    graph: Graph, master: str, chunk_rows: int
) -> None:
    check(graph, master, chunk_rows)


@pytest.mark.long
@pytest.mark.parametrize("master", MASTERS)
@given(graph=stream_graphs(most_operators=10), chunk_rows=st.sampled_from(CHUNKS))
def test_the_engine_is_the_reference_for_large_graphs(master: str, graph: Graph, chunk_rows: int) -> None:
    check(graph, master, chunk_rows)
