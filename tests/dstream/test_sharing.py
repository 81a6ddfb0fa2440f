"""What several outputs share is computed once a batch, and none sees what another does to it."""

from __future__ import annotations

from ast import literal_eval
from collections import Counter
from operator import add, sub
from pathlib import Path
from typing import Any

import pytest

from penstock import RDD, Context, StorageLevel, StreamingContext
from penstock.clock import ManualClock
from penstock.dstream import DStream
from penstock.testing import CollectingSink, Stepper, assert_batches_equal, run_batches
from tests.executors.counting import Counting

pytestmark = pytest.mark.usefixtures("sc")


class Calls(Counting):
    """Counts how often each record passes."""

    @property
    def met(self) -> Counter[Any]:
        return Counter(map(literal_eval, self.seen))


def test_a_stream_of_three_outputs_is_computed_once_a_batch() -> None:
    calls = Calls()

    def build(numbers: DStream) -> tuple[DStream, ...]:
        parsed = numbers.map(calls)
        return parsed.map(lambda x: -x), parsed.filter(lambda x: x > 1), parsed.count()

    out = run_batches([[1, 2], [3]], build)
    assert out == ([[-1, -2], [-3]], [[2], [3]], [[2], [1]])
    assert calls.met == {1: 1, 2: 1, 3: 1}


def test_a_stream_that_one_operation_reads_twice_is_computed_once() -> None:
    calls = Calls()
    run_batches(
        [[("a", 1)]], lambda s: (lambda pairs: pairs.join(pairs).union(pairs.join(pairs)))(s.map(calls))
    )
    assert calls.met == {("a", 1): 1}


def test_a_window_computes_each_batch_once() -> None:
    calls = Calls()

    def build(numbers: DStream) -> tuple[DStream, ...]:
        parsed = numbers.map(calls)
        return parsed.window(5), parsed.window(3, 3).map(lambda x: x), parsed

    run_batches([[i] for i in range(8)], build)
    assert calls.met == dict.fromkeys(range(8), 1)


def test_a_state_function_is_called_once_a_batch_whoever_reads() -> None:
    calls: list[int] = []

    def update(values: list[int], state: int | None) -> int:
        calls.append(1)
        return sum(values) + (state or 0)

    def build(pairs: DStream) -> tuple[DStream, ...]:
        states = pairs.updateStateByKey(update, 1)
        return states, states.map(lambda pair: pair[1]), states.window(3), states.count()

    run_batches([[("a", 1)], [], []], build)
    assert len(calls) == 3


def test_a_state_function_is_called_even_if_the_output_reads_nothing() -> None:
    calls: list[int] = []
    run_batches(
        [[("a", 1)]] * 4,
        lambda s: s.updateStateByKey(lambda values, state: calls.append(1) or 1, 1).foreachRDD(
            lambda rdd: None
        ),
    )
    assert len(calls) == 4


def test_a_function_of_transform_is_called_once_a_batch_and_in_its_own() -> None:
    times: list[float] = []

    def note(time: Any, rdd: RDD) -> RDD:
        times.append(time.timestamp())
        return rdd

    run_batches([[1]] * 6, lambda s: (lambda t: (t, t.map(abs), t.window(3, 3)))(s.transform(note)))
    assert times == [1, 2, 3, 4, 5, 6]
    times.clear()
    run_batches([[1]] * 6, lambda s: s.transform(note).window(3, 3))
    assert times == [1, 2, 3, 4, 5, 6]


def test_a_record_that_an_output_changes_is_unchanged_for_the_others() -> None:
    def spoil(record: dict[str, Any]) -> dict[str, Any]:
        record["list"].append("spoilt")
        record["new"] = 1
        return record

    def build(records: DStream) -> tuple[DStream, ...]:
        made = records.map(lambda i: {"list": [i]})
        made.foreachRDD(lambda rdd: rdd.foreach(spoil))
        made.foreachRDD(lambda rdd: [spoil(record) for record in rdd.collect()])
        return made.map(spoil).map(lambda r: len(r)), made, made.window(2).map(spoil), made

    first, second, window, third = run_batches([[1], [2]], build)
    assert first == [[2], [2]]
    assert second == third == [[{"list": [1]}], [{"list": [2]}]]
    assert window[1] == [{"list": [i, "spoilt"], "new": 1} for i in (1, 2)]


def test_functions_that_change_records_on_two_branches() -> None:
    def build(lists: DStream) -> tuple[DStream, ...]:
        return (
            lists.map(lambda x: x.append(1) or x),
            lists.map(lambda x: x.append(2) or x),
            lists.map(lambda x: ("k", x)).reduceByKey(lambda a, b: a.extend(b) or a, 1),
            lists,
        )

    assert run_batches([[[0], [9]]], build, numPartitions=1) == (
        [[[0, 1], [9, 1]]],
        [[[0, 2], [9, 2]]],
        [[("k", [0, 9])]],
        [[[0], [9]]],
    )


def test_the_same_rdd_in_every_batch_is_computed_in_each_at_most_once(sc: Context) -> None:
    calls = Calls()
    static = sc.parallelize([1]).map(calls)

    def build(numbers: DStream) -> tuple[DStream, ...]:
        same = numbers.transform(lambda rdd: static)
        return same, same.map(abs), same.window(2)

    out = run_batches([[0]] * 5, build)
    assert out[0] == [[1]] * 5
    assert out[2] == [[1], [1, 1], [1, 1], [1, 1], [1, 1]]
    assert calls.met[1] <= 5
    assert not static.is_cached  # what we kept of it is given up with the last batch


def test_an_rdd_that_the_user_keeps_stays_kept(sc: Context) -> None:
    static = sc.parallelize([1]).map(abs).cache()
    run_batches([[0]] * 3, lambda s: (lambda same: (same, same.map(abs)))(s.transform(lambda rdd: static)))
    assert static.is_cached


def test_an_output_that_fails_does_not_keep_the_others_from_sharing(sc: Context) -> None:
    calls = Calls()
    clock = ManualClock()
    ssc = StreamingContext(sc, 1, clock=clock)
    parsed = ssc.queueStream([[1, 2]]).map(calls)
    first, last = CollectingSink(), CollectingSink()
    parsed.foreachRDD(first)
    parsed.map(lambda x: x // 0).foreachRDD(CollectingSink())
    parsed.foreachRDD(last)
    with Stepper(ssc, clock) as stepper, pytest.raises(ZeroDivisionError):
        stepper.step()
    assert first.batches == last.batches == [[1, 2]]
    assert calls.met == {1: 1, 2: 1}


def test_persist_decides_where_what_is_shared_is_kept(sc: Context) -> None:
    levels: list[StorageLevel] = []

    def build(numbers: DStream) -> None:
        on_disk = numbers.map(abs).persist(StorageLevel.DISK_ONLY)
        on_disk.foreachRDD(lambda rdd: levels.append(rdd.getStorageLevel()))

    run_batches([[1], [2]], build)
    assert levels == [StorageLevel.DISK_ONLY] * 2


def test_jobs_of_an_output_on_a_stream_of_its_own_run_as_often_as_it_asks() -> None:
    """As in Spark: only what is read by several is kept; ``cache()`` keeps it for one."""
    for stream_of, expected in ((lambda s: s, 2), (lambda s: s.cache(), 1)):
        calls = Calls()
        run_batches(
            [[1]],
            lambda s, calls=calls, stream_of=stream_of: stream_of(s.map(calls)).foreachRDD(
                lambda rdd: (rdd.count(), rdd.collect())
            ),
        )
        assert calls.met == {1: expected}


def test_what_only_outputs_at_rest_read_is_not_computed_and_what_later_batches_need_is(
    sc: Context, tmp_path: Path
) -> None:
    sc.setCheckpointDir(str(tmp_path))
    clock, plain, planned = ManualClock(0), Calls(), Calls()
    ssc = StreamingContext(sc, 1, clock=clock)
    numbers = ssc.queueStream([[n] for n in range(1, 9)])
    always, sometimes = CollectingSink(), {name: CollectingSink() for name in ("plain", "state", "window")}
    numbers.foreachRDD(always)
    pairs = numbers.map(lambda n: ("sum", n))
    resting = [False]
    streams = {
        "plain": numbers.transform(lambda rdd: planned("transform") and rdd).map(plain),
        "state": pairs.updateStateByKey(lambda new, old: sum(new) + (old or 0)),
        "window": pairs.reduceByKeyAndWindow(add, sub, 3, 1),
    }
    for name, stream in streams.items():
        stream._output(name, sometimes[name], rests=lambda time: resting[0])
    with Stepper(ssc, clock) as stepper:
        for number in range(1, 9):
            resting[0] = number not in (2, 3, 7)
            stepper.step()
    assert always.batches == [[n] for n in range(1, 9)]
    assert sometimes["plain"].batches == [[2], [3], [7]]
    assert plain.met == {2: 1, 3: 1, 7: 1}
    assert planned.met == {"transform": 3}
    assert sometimes["state"].batches == [[("sum", 3)], [("sum", 6)], [("sum", 28)]]
    assert sometimes["window"].batches == [[("sum", 3)], [("sum", 6)], [("sum", 5 + 6 + 7)]]


def test_threads_never_show() -> None:
    """Floats in many partitions, on one thread and on four: the same to the last bit."""
    batches = [[(i % 7, (i * 0.1) ** 3) for i in range(start, start + 5000)] for start in (0, 5000, 10_000)]
    Context._active.stop()  # type: ignore[union-attr]
    sums = []
    for master in ("local[1]", "local[4]"):
        with Context(master, "threads") as sc:
            sums.append(
                run_batches(
                    batches,
                    lambda s: s.reduceByKeyAndWindow(add, sub, 2, 1, 3),
                    numPartitions=4,
                    context=sc,
                )
            )
    assert_batches_equal(sums[0], sums[1])
