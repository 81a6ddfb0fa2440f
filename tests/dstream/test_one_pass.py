"""A stream that several folds read goes through all of them in one pass, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable
from operator import add
from typing import Any

import pytest

from penstock import Conf, Context, DStream
from penstock.executors.jobs import passes
from penstock.testing import assert_batches_equal, run_batches

Build = Callable[[DStream], tuple[DStream, ...]]


@pytest.fixture(params=["local[1]", "local[2]"])
def sc(request: pytest.FixtureRequest) -> Any:
    conf = Conf().set("penstock.local.inlineRows", "0")
    with Context(request.param, "one pass", conf=conf) as context:
        yield context


@pytest.fixture
def filled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The partitions that were filled in one pass."""
    seen: list[int] = []
    fill = passes.OnePass.fill

    def noted(self: passes.OnePass, wanted: Any, partition: int, *rest: Any) -> None:
        seen.append(partition)
        fill(self, wanted, partition, *rest)

    monkeypatch.setattr(passes.OnePass, "fill", noted)
    return seen


def three_folds(parsed: DStream) -> tuple[DStream, ...]:
    return (
        parsed.map(lambda r: (r["side"], 1)).reduceByKey(add, 1),
        parsed.map(lambda r: (r["client"], r["items"]))
        .filter(lambda p: p[0] != 9)
        .groupByKey(1)
        .mapValues(list),
        parsed.map(lambda r: (r["client"], r["items"])).reduceByKey(lambda a, b: a.extend(b) or a, 1),
    )


RECORDS = [
    {"side": "B", "client": 1, "items": [1]},
    {"side": "S", "client": 2, "items": [2]},
    {"side": "B", "client": 1, "items": [3]},
    {"side": "B", "client": 9, "items": []},
]


@pytest.mark.in_process("looks at what a function leaves in the memory of the program")
@pytest.mark.usefixtures("sc")
@pytest.mark.parametrize("partitions", [1, 2, 3])
def test_each_record_is_parsed_once_and_no_fold_sees_what_another_changes(
    partitions: int, filled: list[int]
) -> None:
    parsed: list[int] = []

    def parse(index: int) -> dict[str, Any]:
        parsed.append(index)
        record = RECORDS[index]
        return {**record, "items": list(record["items"])}

    sides, lists, joined = run_batches(
        [[0, 1, 2, 3], []], lambda s: three_folds(s.map(parse)), numPartitions=partitions
    )
    assert sorted(parsed) == [0, 1, 2, 3]
    assert filled, "the folds were not taken in one pass"
    assert_batches_equal(sides, [[("B", 3), ("S", 1)], []], ordered=False)
    assert_batches_equal(lists, [[(1, [[1], [3]]), (2, [[2]])], []], ordered=False)
    assert_batches_equal(joined, [[(1, [1, 3]), (2, [2]), (9, [])], []], ordered=False)


@pytest.mark.usefixtures("sc")
def test_a_fold_that_fails_leaves_the_others_alone() -> None:
    seen: list[Any] = []

    def build(numbers: DStream) -> None:
        doubled = numbers.map(lambda x: 2 * x)
        doubled.map(lambda x: ("all", 1 // (x - 4))).reduceByKey(add, 1).foreachRDD(lambda rdd: rdd.collect())
        doubled.map(lambda x: ("all", x)).reduceByKey(add, 1).foreachRDD(
            lambda rdd: seen.append(rdd.collect())
        )

    with pytest.raises(ZeroDivisionError) as failed:
        run_batches([[1, 2, 3]], build, numPartitions=1)
    assert any("at the record 4" in note for note in failed.value.__notes__)
    assert seen == [[("all", 12)]]


@pytest.mark.usefixtures("sc")
def test_what_the_folds_read_fails_them_all_behind_their_own_failures() -> None:
    def parse(x: int) -> int:
        if x == 3:
            raise ValueError(f"no {x}")
        return x

    def build(numbers: DStream) -> tuple[DStream, DStream]:
        parsed = numbers.map(parse)
        first = parsed.map(lambda x: ("a", 1 // (x - 2))).reduceByKey(add, 1)
        return first, parsed.map(lambda x: ("a", x)).reduceByKey(add, 1)

    with pytest.raises(ZeroDivisionError):  # at the record 2, before parse() fails at 3
        run_batches([[1, 2, 3]], build, numPartitions=1)
    with pytest.raises(ValueError, match="no 3"):
        run_batches([[3, 2]], build, numPartitions=1)


@pytest.mark.in_process("looks at what a function leaves in the memory of the program")
@pytest.mark.usefixtures("sc")
def test_a_stream_that_an_output_takes_as_it_is_is_kept_instead(filled: list[int]) -> None:
    parsed: list[int] = []

    def build(numbers: DStream) -> tuple[DStream, ...]:
        one = numbers.map(lambda x: parsed.append(x) or x)
        return (
            one,
            one.map(lambda x: (x % 2, x)).reduceByKey(add, 1),
            one.map(lambda x: (0, x)).reduceByKey(add, 1),
        )

    assert run_batches([[1, 2, 3]], build, numPartitions=1) == ([[1, 2, 3]], [[(1, 4), (0, 2)]], [[(0, 6)]])
    assert parsed == [1, 2, 3]
    assert not filled


@pytest.mark.in_process("looks at what a function leaves in the memory of the program")
@pytest.mark.usefixtures("sc")
def test_a_pprint_that_reads_little_does_not_make_the_rest_run_twice() -> None:
    parsed: list[int] = []

    def build(numbers: DStream) -> DStream:
        one = numbers.map(lambda x: parsed.append(x) or x)
        one.map(lambda x: (x, 1)).reduceByKey(add, 3).pprint(1)
        return one.map(lambda x: (0, x)).reduceByKey(add, 1)

    assert run_batches([[1, 2, 3, 4]], build, numPartitions=2) == [[(0, 10)]]
    assert sorted(parsed) == [1, 2, 3, 4]


@pytest.mark.usefixtures("sc")
def test_nothing_of_a_pass_outlives_its_batches(sc: Context) -> None:
    def build(numbers: DStream) -> tuple[DStream, ...]:
        one = numbers.map(lambda x: (x, 1))
        return one.reduceByKey(add, 2), one.mapValues(str).reduceByKey(add, 2)

    run_batches([[number] for number in range(20)], build, numPartitions=2)
    executor: Any = sc._executor
    assert len(executor._kept) == 0
    assert len(executor._passed) == 0
