"""The first few of a sort: found without sorting all, and never told apart from the first few of a sort."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import RDD, Context
from penstock.errors import failure_of
from penstock.plan import Filter, Narrow, Node, Shuffle
from penstock.rdd.ordering import RangeRouter, SortPartition
from penstock.vectorize import index_limit, item_read, programs
from tests.executors.counting import Counting
from tests.laws.engine import engine

COUNT = 2_000


@pytest.fixture(autouse=True)
def _worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "WORTH_ROWS", 10)


def nodes_below(plan: Node) -> list[Node]:
    return [plan, *(node for parent in plan.parents for node in nodes_below(parent))]


def is_rewritten(rdd: RDD) -> bool:
    """Whether what is sorted has not been moved by ranges."""
    nodes = nodes_below(rdd.plan)
    assert any(isinstance(node, Narrow) and isinstance(node.step, Filter) for node in nodes)
    return not any(isinstance(node, Shuffle) and isinstance(node.router, RangeRouter) for node in nodes)


def reaching_the_sort(rdd: RDD) -> int:
    """How many records are sorted."""
    (sort,) = (
        n for n in nodes_below(rdd.plan) if isinstance(n, Narrow) and isinstance(n.step, SortPartition)
    )
    return rdd._derive(sort.parent).count()


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("slices", [1, 3])
def test_few_reach_the_sort_and_they_are_the_first(sc: Context, slices: int, ascending: bool) -> None:
    records = [(number * 7919 % 101, number) for number in range(COUNT)]
    first = (
        sc.parallelize(records, slices)
        .sortBy(lambda r: r[0], ascending)
        .zipWithIndex()
        .filter(lambda p: p[1] < 5)
    )
    wanted = sorted(records, key=lambda r: r[0], reverse=not ascending)[:5]
    assert first.collect() == [(record, index) for index, record in enumerate(wanted)]
    assert first.getNumPartitions() == slices
    assert reaching_the_sort(first) == 5 * slices


@given(
    records=st.lists(st.tuples(st.integers(-3, 3) | st.floats(-2, 2), st.integers(0, 9)), max_size=60),
    slices=st.integers(1, 4),
    count=st.integers(0, 8),
    ascending=st.booleans(),
)
def test_the_first_are_those_of_sorted(records: list[Any], slices: int, count: int, ascending: bool) -> None:
    wanted = sorted(records, key=lambda r: r[0], reverse=not ascending)[:count]
    with engine("local[2]", 7) as context:
        rdd = context.parallelize(records, slices).sortBy(lambda r: r[0], ascending)
        found = rdd.zipWithIndex().filter(lambda p: p[1] < count).map(lambda p: p[0]).collect()
        values = rdd.map(lambda r: r[1]).zipWithIndex().filter(lambda p: count > p[1]).keys().collect()
    assert list(map(repr, found)) == list(map(repr, wanted))
    assert values == [record[1] for record in wanted]


def test_each_key_is_asked_for_once(sc: Context) -> None:
    asked = Counting()

    def key(number: int) -> int:
        asked(number)
        return -number

    first = sc.parallelize(range(COUNT), 3).sortBy(key).zipWithIndex().filter(lambda p: p[1] < 2)
    assert first.keys().collect() == [COUNT - 1, COUNT - 2]
    assert asked.once(range(COUNT))


def test_the_number_is_looked_up_when_it_runs(sc: Context) -> None:
    few = 2
    first = sc.parallelize(range(COUNT), 2).sortBy(lambda n: -n).zipWithIndex().filter(lambda p: p[1] < few)
    assert is_rewritten(first)
    assert first.count() == 2
    few = 50
    assert first.count() == 50
    few = 10**9
    assert first.count() == COUNT


def test_the_first_failing_record_is_the_same(sc: Context) -> None:
    sorted_by = sc.parallelize(range(-COUNT, COUNT), 3).sortBy(lambda n: 1 // (n % 700))
    with pytest.raises(ZeroDivisionError) as caught:
        sorted_by.zipWithIndex().filter(lambda p: p[1] < 3).collect()
    failure = failure_of(caught.value)
    assert failure is not None
    assert failure.record == "-1400"


def test_a_map_that_fails_at_a_record_that_is_not_wanted_fails(sc: Context) -> None:
    rows = [(number,) if number != 1_500 else () for number in range(COUNT)]
    firsts = (
        sc.parallelize(rows, 2)
        .sortBy(len, False)
        .map(lambda r: r[0])
        .zipWithIndex()
        .filter(lambda p: p[1] < 3)
    )
    with pytest.raises(IndexError):
        firsts.collect()


def test_a_map_with_an_effect_has_it_for_all_records(sc: Context) -> None:
    seen = sc.accumulator(0)

    def note(number: int) -> int:
        seen.add(1)
        return number

    sc.parallelize(range(COUNT), 2).sortBy(lambda n: n).map(note).zipWithIndex().filter(
        lambda p: p[1] < 3
    ).collect()
    assert seen.value == COUNT


def test_keys_of_several_classes_fail_as_in_a_sort(sc: Context) -> None:
    for rows in ([1] * COUNT + ["a"], [1, None] * COUNT, [(1, 2)] * COUNT + [(1, None)]):
        with pytest.raises(TypeError):
            sc.parallelize(rows, 3).sortBy(lambda r: r).zipWithIndex().filter(lambda p: p[1] < 1).collect()


def test_what_is_kept_is_not_computed_again(sc: Context) -> None:
    calls = sc.accumulator(0)

    def key(number: int) -> int:
        calls.add(1)
        return number

    kept = sc.parallelize(range(COUNT), 2).sortBy(key).cache()
    assert kept.count() == COUNT
    assert kept.zipWithIndex().filter(lambda p: p[1] < 1).count() == 1
    assert calls.value == COUNT


def test_a_sort_that_is_to_be_checkpointed_is_written(sc: Context, tmp_path: Path) -> None:
    sc.setCheckpointDir(str(tmp_path))
    in_order = sc.parallelize(range(COUNT), 2).sortBy(lambda n: -n)
    in_order.checkpoint()
    assert in_order.zipWithIndex().filter(lambda p: p[1] < 1).keys().collect() == [COUNT - 1]
    assert in_order.isCheckpointed()


def test_other_plans_are_left_alone(sc: Context) -> None:
    numbers = sc.parallelize(range(COUNT), 2)
    for rdd in (
        numbers.sortBy(lambda n: n).zipWithIndex().filter(lambda p: p[0] < 3),
        numbers.sortBy(lambda n: n).zipWithIndex().filter(lambda p: p[1] > 3),
        numbers.sortBy(lambda n: n).filter(lambda n: n > 3).zipWithIndex().filter(lambda p: p[1] < 3),
        numbers.keyBy(abs).sortByKey(keyfunc=lambda n: -n).zipWithIndex().filter(lambda p: p[1] < 3),
    ):
        assert not is_rewritten(rdd)
        assert rdd.count() in (3, COUNT - 4)


SEVEN = 7


def unpacks(pair: Any) -> bool:
    _, index = pair
    return bool(index < 3)


@pytest.mark.parametrize(
    ("function", "limit"),
    [
        (lambda p: p[1] < 5, 5),
        (lambda p: p[-1] <= SEVEN, 8),
        (lambda p: 2 <= p[1] < SEVEN, 7),
        (lambda p: not p[1] > 3, 4),
        (lambda p: p[1] == 0, 1),
        (lambda p: p[1] < 5 or p[1] == 9, 10),
        (lambda p: True if p[1] < 3 else p[1] < 2, 3),
        (lambda p: SEVEN > p[1], 7),  # noqa: SIM300
        (lambda p: p[1] < -3, 0),
        (lambda p: p[1] < 5 and p[0] > 1, None),
        (lambda p: p[1] < 5 if p[0] is not None else True, None),
        (lambda p: 10 // p[1] > 2, None),
        (lambda p: p[1] % 2 == 0, None),
        (lambda p: print(p) or p[1] < 3, None),
        (unpacks, None),
    ],
)
def test_which_indexes_a_filter_lets_through(function: Any, limit: int | None) -> None:
    assert index_limit(function) == limit


def test_which_functions_only_read_an_item() -> None:
    assert item_read(lambda pair: pair[-1]) == -1
    assert item_read(lambda pair: pair["a"]) is None
    assert item_read(lambda pair: pair[0][1]) is None
    assert item_read(len) is None
