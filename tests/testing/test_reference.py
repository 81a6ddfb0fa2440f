"""The reference interpreter against results that were worked out by hand."""

from __future__ import annotations

import math
import subprocess
import sys
from operator import add
from typing import Any

import pytest

from penstock import Partitioner
from penstock.errors import EmptyError, KeyTypeError, NotAPairError
from penstock.testing import (
    Apply,
    Batches,
    Graph,
    Hole,
    Raised,
    Records,
    Template,
    evaluate,
    evaluate_batches,
    same,
)
from penstock.testing import functions as fn
from penstock.testing.reference import OPERATORS, aggregate, cut, fold, reduce

NAN = math.nan
NUMBERS = Records([1, 2, 3, 4, 5], 2)
PAIRS = Records([(1, "a"), (2, "b"), (1.0, "c"), (3, "d")], 2)
OTHERS = Records([(True, "x"), (1, "y"), (4, "z")], 1)


def of(operator: str, *inputs: Graph, given: tuple[Any, ...] = ()) -> Any:
    return evaluate(Apply(operator, inputs, given))


BY_HAND: list[tuple[Any, Any]] = [
    (evaluate(NUMBERS), [[1, 2], [3, 4, 5]]),
    (evaluate(Records(range(7), 3)), [[0, 1], [2, 3], [4, 5, 6]]),
    (of("map", NUMBERS, given=(str,)), [["1", "2"], ["3", "4", "5"]]),
    (of("filter", NUMBERS, given=(lambda x: x % 2,)), [[1], [3, 5]]),
    (of("flatMap", NUMBERS, given=(lambda x: [x] * (x - 3),)), [[], [4, 5, 5]]),
    (of("keyBy", NUMBERS, given=(lambda x: x % 2,)), [[(1, 1), (0, 2)], [(1, 3), (0, 4), (1, 5)]]),
    (of("mapPartitions", NUMBERS, given=(lambda rows: [sum(rows)],)), [[3], [12]]),
    (of("mapPartitionsWithIndex", NUMBERS, given=(lambda i, rows: [i],)), [[0], [1]]),
    (of("glom", NUMBERS), [[[1, 2]], [[3, 4, 5]]]),
    (of("union", NUMBERS, OTHERS), [[1, 2], [3, 4, 5], [(True, "x"), (1, "y"), (4, "z")]]),
    (of("coalesce", Records(range(6), 3), given=(2,)), [[0, 1], [2, 3, 4, 5]]),
    (of("coalesce", NUMBERS, given=(9,)), [[1, 2], [3, 4, 5]]),
    (of("repartition", NUMBERS, given=(3,)), [[1, 5], [2, 3], [4]]),
    (of("zip", NUMBERS, NUMBERS), [[(1, 1), (2, 2)], [(3, 3), (4, 4), (5, 5)]]),
    (of("zipWithIndex", NUMBERS), [[(1, 0), (2, 1)], [(3, 2), (4, 3), (5, 4)]]),
    (of("zipWithUniqueId", NUMBERS), [[(1, 0), (2, 2)], [(3, 1), (4, 3), (5, 5)]]),
    (of("cartesian", Records("ab", 2), Records([1, 2], 2)), [[("a", 1)], [("a", 2)], [("b", 1)], [("b", 2)]]),
    (of("keys", PAIRS), [[1, 2], [1.0, 3]]),
    (of("mapValues", PAIRS, given=(str.upper,)), [[(1, "A"), (2, "B")], [(1.0, "C"), (3, "D")]]),
    (
        of("flatMapValues", OTHERS, given=(lambda v: v * 2,)),
        [[(k, v) for k, v in OTHERS.records for _ in "ab"]],
    ),
    (of("reduceByKey", PAIRS, given=(add, 2)), [[(2, "b")], [(1, "ac"), (3, "d")]]),
    (of("groupByKey", PAIRS, given=(1,)), [[(1, ["a", "c"]), (2, ["b"]), (3, ["d"])]]),
    (
        of("combineByKey", PAIRS, given=(lambda v: [v], None, add, 1)),
        [[(1, ["a", "c"]), (2, ["b"]), (3, ["d"])]],
    ),
    (
        of("partitionBy", PAIRS, given=(Partitioner(2, lambda k: -int(k)),)),
        [[(2, "b")], [(1, "a"), (1.0, "c"), (3, "d")]],
    ),
    (of("distinct", Records([1, 1.0, NAN, NAN, True], 1)), [[1, NAN, NAN]]),
    (of("countByValue", Records("aba", 2), given=(1,)), [[("a", 2), ("b", 1)]]),
    (of("join", PAIRS, OTHERS, given=(1,)), [[(1, (v, w)) for v in "ac" for w in "xy"]]),
    (
        of("leftOuterJoin", OTHERS, PAIRS, given=(1,)),
        [[*((True, (v, w)) for v in "xy" for w in "ac"), (4, ("z", None))]],
    ),
    (of("subtractByKey", PAIRS, OTHERS, given=(1,)), [[(2, "b"), (3, "d")]]),
    (
        of("cogroup", PAIRS, OTHERS, given=(1,)),
        [[(1, (["a", "c"], ["x", "y"])), (2, (["b"], [])), (3, (["d"], [])), (4, ([], ["z"]))]],
    ),
    (of("subtract", Records([1, True, 2], 1), Records([2], 1), given=(1,)), [[1, True]]),
    (of("intersection", Records([1, True, 2], 1), Records([1.0], 1)), [[], [1]]),
    (of("sortBy", NUMBERS, given=(lambda x: x % 2, False, 2)), [[1, 3, 5, 2, 4], []]),
]


@pytest.mark.parametrize(("got", "wanted"), BY_HAND)
def test_worked_out_by_hand(got: Any, wanted: Any) -> None:
    assert same(got, wanted), got


def test_actions_show_what_is_folded_with_what() -> None:
    def shown(one: Any, other: Any) -> str:
        return f"({one}{other})"

    parts = [[1, 2], [], [3, 4]]
    assert reduce(parts, shown) == "((12)(34))"
    assert fold(parts, 0, shown) == "(((0((01)2))0)((03)4))"
    assert aggregate([[1], [2]], "z", shown, add) == "z(z1)(z2)"
    with pytest.raises(Raised) as found:
        reduce([[], []], shown)
    assert isinstance(found.value.error, EmptyError)


def test_readers_of_a_node_do_not_see_each_other() -> None:
    lists = Records([[1], [2]], 1)
    marked = Apply("map", (lists,), (fn.marked_in_place,))
    both = evaluate(Apply("union", (marked, Apply("union", (lists, marked)))))
    assert both == [[[1, "marked"], [2, "marked"]], [[1], [2]], [[1, "marked"], [2, "marked"]]]
    assert lists.records == [[1], [2]]


@pytest.mark.parametrize(
    ("graph", "kind", "record"),
    [
        (Apply("map", (Records([1, 0], 1),), (lambda x: 1 // x,)), ZeroDivisionError, 0),
        (Apply("filter", (Records([1, 0], 1),), (lambda x: next(iter(())),)), RuntimeError, 1),
        (Apply("mapValues", (Records([(1, 0)], 1),), (lambda x: 1 // x,)), ZeroDivisionError, (1, 0)),
        (Apply("keys", (Records([(1, 0), 7], 1),)), NotAPairError, 7),
        (Apply("groupByKey", (Records([([1], 0)], 1),)), KeyTypeError, ([1], 0)),
    ],
)
def test_failures(graph: Graph, kind: type[Exception], record: Any) -> None:
    with pytest.raises(Raised) as found:
        evaluate(graph)
    assert isinstance(found.value.error, kind)
    assert found.value.record == record


# Streams

INPUT = Batches([[("a", 1), ("b", 2)], [("a", 3)], [], [("b", 4)]], 1)


def batches_of(operator: str, *given: Any, count: int = 5) -> list[Any]:
    found = evaluate_batches(Apply(operator, (INPUT,), given), count)
    return [None if parts is None else [row for part in parts for row in part] for parts in found]


def test_streams_worked_out_by_hand() -> None:
    assert batches_of("count") == [[2], [1], [0], [1], [0]]
    assert batches_of("window", 2) == [
        [("a", 1), ("b", 2)],
        [("a", 1), ("b", 2), ("a", 3)],
        [("a", 3)],
        [("b", 4)],
        [("b", 4)],
    ]
    assert batches_of("window", 2, 2) == [None, [("a", 1), ("b", 2), ("a", 3)], None, [("b", 4)], None]
    assert batches_of("reduceByKeyAndWindow", add, None, 2, 1, 1) == [
        [("a", 1), ("b", 2)],
        [("a", 4), ("b", 2)],
        [("a", 3)],
        [("b", 4)],
        [("b", 4)],
    ]
    assert batches_of("countByWindow", 3, 1) == [[2], [3], [3], [2], [1]]
    assert batches_of("groupByKeyAndWindow", 4, 4, 1) == [
        None,
        None,
        None,
        [("a", [1, 3]), ("b", [2, 4])],
        None,
    ]
    assert batches_of("reduceByWindow", add, None, 1, 1) == [
        [("a", 1, "b", 2)],
        [("a", 3)],
        [],
        [("b", 4)],
        [],
    ]
    assert batches_of("countByValueAndWindow", 4, 4, 1)[3] == [
        (pair, 1) for batch in INPUT.batches for pair in batch
    ]


def test_state_worked_out_by_hand() -> None:
    assert batches_of("updateStateByKey", fn.only_with_news, 1, count=3) == [
        [("a", [1]), ("b", [2])],
        [("a", [3])],
        [],
    ]
    counted = batches_of("updateStateByKey", fn.counted, 1, [("z", 3)], count=3)
    assert counted == [
        [("z", 3), ("a", 1), ("b", 1)],
        [("z", 3), ("a", 2), ("b", 1)],
        [("z", 3), ("a", 2), ("b", 1)],
    ]


def test_functions_of_rdds_worked_out_by_hand() -> None:
    hole, other = Hole(), Hole()
    keys = Apply("transform", (INPUT,), (Template(Apply("keys", (hole,)), (hole,)),))
    assert evaluate_batches(keys, 2) == [[["a", "b"]], [["a"]]]
    minus = Template(Apply("subtractByKey", (hole, other), (1,)), (hole, other))
    assert evaluate_batches(Apply("transformWith", (INPUT, Batches([[("a", 0)]], 1)), (minus,)), 2) == [
        [[("b", 2)]],
        [[("a", 3)]],
    ]


# What it is made of


def test_graphs_read_as_the_python_that_builds_them() -> None:
    pairs = Records([(1, 2)], 1)
    graph = Apply("join", (pairs, Apply("mapValues", (pairs,), (fn.boxed,))), (Partitioner(2),))
    assert repr(graph) == "(a := Records([(1, 2)], 1)).join(a.mapValues(boxed), Partitioner(2))"
    hole = Hole()
    template = Template(Apply("map", (hole,), (str,)), (hole,))
    assert repr(Apply("transform", (Batches([[1]], 1),), (template,))) == (
        "Batches([[1]], 1).transform(lambda _: _.map(str))"
    )


@pytest.mark.parametrize("slices", [1, 2, 3, 7])
def test_cutting_loses_nothing(slices: int) -> None:
    for size in (0, 1, 5, 6, 2050):
        for records in (range(size), list(range(size))):
            parts = cut(records, slices)
            assert len(parts) == slices
            assert [row for part in parts for row in part] == list(records)


def test_no_operator_is_missing() -> None:
    wanted = """
    map flatMap filter mapPartitions mapPartitionsWithIndex glom distinct union intersection subtract
    cartesian zip zipWithIndex zipWithUniqueId groupBy keyBy sortBy repartition coalesce
    keys values mapValues flatMapValues reduceByKey groupByKey combineByKey aggregateByKey foldByKey
    join leftOuterJoin rightOuterJoin fullOuterJoin cogroup subtractByKey partitionBy sortByKey
    """
    assert set(wanted.split()) <= set(OPERATORS)


def test_hypothesis_is_not_needed_for_the_rest_of_the_kit() -> None:
    program = "import sys, penstock.testing; print('hypothesis' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "False"
