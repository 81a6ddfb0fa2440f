"""Whatever graph of streams: in every batch the engine gives what the reference interpreter gives."""

from __future__ import annotations

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from penstock.testing import Apply, Batches, Graph, Hole, Partitions, Raised, Template, evaluate_batches
from penstock.testing import functions as fn
from penstock.testing.graphs import nodes_of
from penstock.testing.reference_streams import window_arguments
from penstock.testing.strategies import stream_graphs
from tests.laws.engine import CHUNKS, MASTERS, assert_same, engine, stream_outcome


def windows_of(graph: Graph) -> list[Apply]:
    return [node for node in nodes_of(graph) if isinstance(node, Apply) and window_arguments(node)]


def has_gaps(graph: Graph) -> bool:
    """Whether there are batches that no window reads: the engine may compute them all the same."""
    given = map(window_arguments, windows_of(graph))
    return any((window["slideDuration"] or 1) > window["windowDuration"] for window in given)


def check(graph: Graph, master: str, chunk_rows: int) -> None:
    count = max(len(node.batches) for node in nodes_of(graph) if isinstance(node, Batches)) + 3
    with engine(master, chunk_rows) as context:
        wanted = reference(graph, count, context.defaultParallelism)
        got = stream_outcome(graph, count, context)
        if isinstance(got, Raised) and not isinstance(wanted, Raised):
            # What a window will read is computed in its own batch: the reference comes to it at the slide.
            slides = [window["slideDuration"] or 1 for window in map(window_arguments, windows_of(graph))]
            wanted = reference(graph, count + max(slides, default=0), context.defaultParallelism)
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


@pytest.mark.parametrize("master", MASTERS)
@example(graph=sorted_after_the_input_has_ended(), chunk_rows=1)
@example(graph=a_window_over_a_stream_with_a_slide_of_its_own(), chunk_rows=1)
@example(graph=a_state_that_its_function_changes(), chunk_rows=1)
@given(graph=stream_graphs(), chunk_rows=st.sampled_from(CHUNKS))
def test_the_engine_is_the_reference(master: str, graph: Graph, chunk_rows: int) -> None:
    check(graph, master, chunk_rows)


@given(graph=stream_graphs(failing=True), master=st.sampled_from(MASTERS), chunk_rows=st.sampled_from(CHUNKS))
def test_the_engine_fails_as_the_reference_fails(graph: Graph, master: str, chunk_rows: int) -> None:
    assume(not has_gaps(graph))
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
    assume(not has_gaps(graph))
    check(graph, master, chunk_rows)


@pytest.mark.long
@pytest.mark.parametrize("master", MASTERS)
@given(graph=stream_graphs(most_operators=10), chunk_rows=st.sampled_from(CHUNKS))
def test_the_engine_is_the_reference_for_large_graphs(master: str, graph: Graph, chunk_rows: int) -> None:
    check(graph, master, chunk_rows)
