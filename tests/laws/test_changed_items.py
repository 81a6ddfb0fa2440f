"""Functions that change what they are given in ways that are easy to overlook."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.testing import Apply, Graph, Records, evaluate
from penstock.testing import functions as fn
from tests.laws.engine import assert_same, engine, rdd_outcome


def marked_value(pair: Any) -> Any:
    return (pair[0], fn.marked_in_place(pair[1]))


def appended(pair: Any) -> Any:
    return pair[1].append("appended")


@pytest.mark.parametrize("function", [marked_value, appended])
def test_a_function_that_changes_an_item_it_reads(function: Any) -> None:
    pairs = Apply("filter", (Records([("a", [1])], 1),), (fn.whatever,))
    graph: Graph = Apply("union", (Apply("map", (pairs,), (function,)), pairs))
    with engine("local[1]") as context:
        assert_same(rdd_outcome(graph, context), evaluate(graph), graph)
