"""What is drawn is varied enough to be worth drawing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from penstock.testing import Apply, Graph
from penstock.testing import strategies as drawn
from penstock.testing.graphs import nodes_of
from penstock.testing.strategies import rdd_graphs, records, stream_graphs


def many(strategy: st.SearchStrategy[Any], count: int = 400, seed: int = 0) -> list[Any]:
    """Examples, nearly always the same ones: Hypothesis mixes in constants of the modules that are loaded."""
    found: list[Any] = []

    @hypothesis.seed(seed)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def draw(example: Any) -> None:
        found.append(example)

    draw()
    return found


def inside(record: Any) -> list[Any]:
    if isinstance(record, (list, tuple)):
        return [record, *(part for item in record for part in inside(item))]
    if isinstance(record, dict):
        return [record, *(part for item in record.values() for part in inside(item))]
    return [record]


@pytest.mark.parametrize(
    "odd",
    [
        lambda x: x is None,
        lambda x: isinstance(x, bool),
        lambda x: type(x) is int and abs(x) > 2**63,
        lambda x: isinstance(x, float) and math.isnan(x),
        lambda x: isinstance(x, float) and math.isinf(x),
        lambda x: isinstance(x, float) and x == 0 and math.copysign(1, x) < 0,
        lambda x: isinstance(x, str) and not x.isascii(),
        lambda x: isinstance(x, tuple),
        lambda x: isinstance(x, list) and bool(x),
        lambda x: isinstance(x, dict) and bool(x),
    ],
)
def test_odd_records_occur(odd: Callable[[Any], bool]) -> None:
    assert any(odd(part) for record in many(records()) for part in inside(record))


def test_keys_can_be_keys_and_meet_again() -> None:
    lists = many(st.lists(drawn.keys(), min_size=6, max_size=6), 100)
    assert sum(len(set(keys)) < len(keys) for keys in lists) > len(lists) / 2
    keys = [key for some in lists for key in some]
    assert {int, float, bool, str, tuple, type(None)} <= set(map(type, keys))


FAMILIES = {
    **dict.fromkeys(("leftOuterJoin", "rightOuterJoin", "fullOuterJoin"), "join"),
    **dict.fromkeys(("aggregateByKey", "foldByKey"), "combineByKey"),
}


def operators(graphs: list[Graph]) -> set[str]:
    names = {node.operator for graph in graphs for node in nodes_of(graph) if isinstance(node, Apply)}
    return {FAMILIES.get(name, name) for name in names}


def is_shared(graph: Graph) -> bool:
    reads = Counter(below for node in nodes_of(graph) if isinstance(node, Apply) for below in node.inputs)
    return any(count > 1 for count in reads.values())


def with_all(strategy: st.SearchStrategy[Graph], wanted: set[str]) -> list[Graph]:
    """Examples in which all these operators occur: a few hundred as a rule, a thousand if one is unlucky."""
    graphs: list[Graph] = []
    for seed in range(15):
        graphs += many(strategy, 100, seed)
        if wanted <= operators(graphs):
            return graphs
    pytest.fail(f"none of {len(graphs)} graphs has {', '.join(sorted(wanted - operators(graphs)))}")


def test_graphs_of_rdds_have_all_operators_and_share_nodes() -> None:
    wanted = {
        "map",
        "filter",
        "flatMap",
        "keyBy",
        "groupBy",
        "mapPartitions",
        "mapPartitionsWithIndex",
        "glom",
        "union",
        "zipWithIndex",
        "zipWithUniqueId",
        "repartition",
        "coalesce",
        "distinct",
        "subtract",
        "intersection",
        "cartesian",
        "zip",
        "sortBy",
        "persist",
        "keys",
        "values",
        "mapValues",
        "flatMapValues",
        "reduceByKey",
        "groupByKey",
        "combineByKey",
        "join",
        "cogroup",
        "subtractByKey",
        "partitionBy",
        "sortByKey",
    }
    graphs = with_all(rdd_graphs(), wanted)
    assert sum(map(is_shared, graphs)) > len(graphs) / 10
    assert sum(len(list(nodes_of(graph))) > 5 for graph in graphs) > len(graphs) / 5


def test_graphs_of_streams_have_all_operators_and_share_nodes() -> None:
    wanted = {
        "map",
        "filter",
        "flatMap",
        "union",
        "repartition",
        "count",
        "countByValue",
        "reduceByKey",
        "groupByKey",
        "join",
        "cogroup",
        "transform",
        "transformWith",
        "window",
        "countByWindow",
        "countByValueAndWindow",
        "reduceByWindow",
        "reduceByKeyAndWindow",
        "groupByKeyAndWindow",
        "updateStateByKey",
        "partitionBy",
    }
    graphs = with_all(stream_graphs(), wanted)
    assert sum(map(is_shared, graphs)) > len(graphs) / 10
