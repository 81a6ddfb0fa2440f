"""updateStateByKey: its three forms, what it begins with, what becomes of keys, and of failing batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import RDD, Context, Partitioner, StreamingContext
from penstock.clock import ManualClock
from penstock.dstream import DStream
from penstock.errors import ArgumentError, NotAPairError, SignatureError, failure_of
from penstock.testing import CollectingSink, Stepper, assert_batches_equal, run_batches

pytestmark = pytest.mark.usefixtures("sc")


def total(values: list[int], state: int | None) -> int:
    return sum(values) + (state or 0)


BATCHES = [[("a", 1), ("b", 2), ("a", 3)], [], [("c", 1)], [("b", -2)]]


def test_every_key_every_batch() -> None:
    assert_batches_equal(
        run_batches(BATCHES, lambda s: s.updateStateByKey(total, 1), numPartitions=1),
        [
            [("a", 4), ("b", 2)],
            [("a", 4), ("b", 2)],
            [("a", 4), ("b", 2), ("c", 1)],
            [("a", 4), ("b", 0), ("c", 1)],  # 0 is a state as any other
        ],
    )


def test_the_function_gets_the_values_in_order_and_an_empty_list_without_news() -> None:
    calls: list[tuple[list[int], Any]] = []

    def note(values: list[int], state: Any) -> str:
        calls.append((list(values), state))
        return "known"

    run_batches(
        [[("a", 1), ("a", 2)], [], [("b", 3)]], lambda s: s.updateStateByKey(note, 1), numPartitions=1
    )
    assert calls == [([1, 2], None), ([], "known"), ([], "known"), ([3], None)]


def test_the_form_with_time_and_key() -> None:
    seen: list[tuple[datetime, str, list[int], Any]] = []

    def update(time: datetime, key: str, values: list[int], state: int | None) -> int:
        seen.append((time, key, values, state))
        return len(values) + (state or 0)

    out = run_batches([[("a", 1), ("a", 2)], []], lambda s: s.updateStateByKey(update, 1))
    assert out == [[("a", 2)], [("a", 2)]]
    assert seen == [
        (datetime.fromtimestamp(1), "a", [1, 2], None),
        (datetime.fromtimestamp(2), "a", [], 2),
    ]


@pytest.mark.parametrize("partitions", [1, 3])
def test_the_form_over_all_keys_may_change_them(partitions: int) -> None:
    def upper(keys: Iterable[tuple[str, list[int], int | None]]) -> Iterator[tuple[str, int]]:
        for key, values, state in keys:
            yield key.upper(), sum(values) + (state or 0)

    batches = [[("a", 1)], [("A", 2)], [("b", 5)]]
    out = run_batches(batches, lambda s: s.updateStateByKey(upper, partitions))
    assert [sorted(batch) for batch in out] == [[("A", 1)], [("A", 3)], [("A", 3), ("B", 5)]]


def test_the_form_over_all_keys_may_leave_keys_out_and_add_some() -> None:
    def keep_big(keys: Iterable[tuple[str, list[int], int | None]]) -> Iterator[tuple[str, int]]:
        everything = [(key, sum(values) + (state or 0)) for key, values, state in keys]
        yield from ((key, value) for key, value in everything if value > 1)
        if everything:
            yield "seen", len(everything)

    out = run_batches([[("a", 1), ("b", 2)], [("a", 9)]], lambda s: s.updateStateByKey(keep_big, 1))
    assert out == [[("b", 2), ("seen", 2)], [("b", 2), ("seen", 2), ("a", 9), ("seen", 3)]]


@pytest.mark.parametrize("wrong", [["a"], [("a", 1, 2)], [7], ["ab"]])
def test_the_form_over_all_keys_must_yield_pairs(wrong: list[Any]) -> None:
    with pytest.raises(
        SignatureError, match=r"given to updateStateByKey \(.*test_state.py:\d+\) must yield pairs"
    ):
        run_batches([[("a", 1)]], lambda s: s.updateStateByKey(lambda keys: wrong, 1))


def remove_at_zero(values: list[int], state: int | None) -> int | None:
    return total(values, state) or None


def test_none_removes_a_key_and_one_that_comes_back_goes_last() -> None:
    out = run_batches(
        [[("a", 1), ("b", 1)], [("a", -1)], [("c", 1)], [("a", 5)], [("new", 0)]],
        lambda s: s.updateStateByKey(remove_at_zero, 1),
        numPartitions=1,
    )
    assert out == [
        [("a", 1), ("b", 1)],
        [("b", 1)],
        [("b", 1), ("c", 1)],
        [("b", 1), ("c", 1), ("a", 5)],
        [("b", 1), ("c", 1), ("a", 5)],  # a new key that gets None is not stored
    ]


@pytest.mark.parametrize("state", [0, "", [], {}, False, 0.0])
def test_what_is_false_but_not_none_is_a_state(state: Any) -> None:
    assert_batches_equal(
        run_batches([[("a", 1)], []], lambda s: s.updateStateByKey(lambda values, old: state, 1)),
        [[("a", state)], [("a", state)]],
    )


class TestInitialState:
    def test_an_rdd_a_list_a_dict_an_iterator(self, sc: Context) -> None:
        pairs = [("z", 10), ("a", 5)]
        for initial in (
            sc.parallelize(pairs),
            pairs,
            dict(pairs),
            iter(pairs),
            tuple(pairs),
            map(list, pairs),
        ):
            out = run_batches(
                [[("a", 1)], []],
                lambda s, initial=initial: s.updateStateByKey(total, 1, initial),
                numPartitions=1,
            )
            assert out == [[("z", 10), ("a", 6)]] * 2

    def test_an_rdd_that_lies_right_already(self, sc: Context) -> None:
        to = Partitioner(2)
        initial = sc.parallelize([(i, i) for i in range(10)]).partitionBy(to)
        [out] = run_batches([[(3, 100)]], lambda s: s.updateStateByKey(total, to, initial))
        assert sorted(out) == [(i, i + 100 * (i == 3)) for i in range(10)]

    def test_empty_ones(self, sc: Context) -> None:
        for initial in ([], sc.emptyRDD(), {}, None, ()):
            out = run_batches(
                [[], [("a", 1)]], lambda s, i=initial: s.updateStateByKey(total, 2, initialRDD=i)
            )
            assert out == [[], [("a", 1)]]

    def test_the_function_is_called_on_its_keys_in_the_first_batch(self) -> None:
        out = run_batches(
            [[]],
            lambda s: s.updateStateByKey(lambda values, state: (values, state), 1, [("a", 1), ("b", None)]),
        )
        assert out == [[("a", ([], 1)), ("b", ([], None))]]

    def test_of_a_key_that_is_there_twice_the_first_counts(self) -> None:
        out = run_batches([[("a", 1)]], lambda s: s.updateStateByKey(total, 1, [("a", 10), ("a", 20)]))
        assert out == [[("a", 11)]]

    @pytest.mark.parametrize("wrong", [7, "ab", b"ab", object()])
    def test_what_is_no_iterable_of_pairs(self, wrong: Any) -> None:
        with pytest.raises(SignatureError, match="must be an RDD or an iterable of pairs"):
            run_batches([[("a", 1)]], lambda s: s.updateStateByKey(total, 1, wrong))

    @pytest.mark.parametrize("wrong", [["a"], [("a", 1, 2)], [1]])
    def test_what_holds_something_else(self, wrong: Any) -> None:
        with pytest.raises(SignatureError, match=r"must hold pairs \(key, state\), not"):
            run_batches([[("a", 1)]], lambda s: s.updateStateByKey(total, 1, wrong))

    def test_an_rdd_of_something_else_fails_the_batch(self, sc: Context) -> None:
        with pytest.raises(NotAPairError, match="updateStateByKey"):
            run_batches([[("a", 1)]], lambda s: s.updateStateByKey(total, 1, sc.parallelize([1])))

    def test_the_users_objects_stay_as_they_are(self, sc: Context) -> None:
        mine: list[int] = [0]
        out = run_batches(
            [[("a", 1)], [("a", 2)]], lambda s: s.updateStateByKey(append_all, 1, [("a", mine)])
        )
        assert out == [[("a", [0, 1])], [("a", [0, 1, 2])]]
        assert mine == [0]


def append_all(values: list[int], state: list[int] | None) -> list[int]:
    state = state if state is not None else []
    state.extend(values)
    return state


class TestFunctionsThatChangeTheState:
    def test_the_commonest_idiom(self) -> None:
        out = run_batches(
            [[("a", 1)], [("a", 2), ("b", 3)], []],
            lambda s: s.updateStateByKey(
                lambda v, state: (state.extend(v) or state) if state else list(v), 1
            ),
        )
        assert out == [[("a", [1])], [("a", [1, 2]), ("b", [3])], [("a", [1, 2]), ("b", [3])]]

    def test_earlier_batches_do_not_change(self) -> None:
        states, windows = run_batches(
            [[("a", 1)], [("a", 2)], [("a", 3)]],
            lambda s: (lambda states: (states, states.window(2)))(s.updateStateByKey(append_all, 1)),
        )
        assert states == [[("a", [1])], [("a", [1, 2])], [("a", [1, 2, 3])]]
        assert windows[1:] == [[("a", [1]), ("a", [1, 2])], [("a", [1, 2]), ("a", [1, 2, 3])]]

    def test_an_output_that_changes_what_it_reads_does_not_change_the_state(self) -> None:
        def spoil(rdd: RDD) -> None:
            for _, state in rdd.collect():
                state.clear()
            rdd.foreach(lambda pair: pair[1].clear())

        def build(stream: DStream) -> DStream:
            states = stream.updateStateByKey(append_all, 1)
            states.foreachRDD(spoil)
            return states

        assert run_batches([[("a", 1)], [("a", 2)]], build) == [[("a", [1])], [("a", [1, 2])]]

    def test_one_object_given_to_all_keys(self) -> None:
        shared: list[int] = []
        out = run_batches(
            [[("a", 1), ("b", 2)], []],
            lambda s: s.updateStateByKey(lambda values, state: append_all(values, state or shared), 1),
            numPartitions=1,
        )
        assert out[1] == [("a", [1, 2]), ("b", [1, 2])]  # aliases within a batch, as within one task
        shared.append(99)
        assert out[1] == [("a", [1, 2]), ("b", [1, 2])]

    def test_an_object_kept_by_the_user_is_not_the_state(self) -> None:
        leaked: list[list[int]] = []

        def keep(values: list[int], state: list[int] | None) -> list[int]:
            for old in leaked:
                old.append(-1)
            leaked.append(append_all(values, state))
            return leaked[-1]

        out = run_batches([[("a", 1)], [("a", 2)], []], lambda s: s.updateStateByKey(keep, 1))
        assert out == [[("a", [1])], [("a", [1, 2])], [("a", [1, 2])]]


@pytest.mark.parametrize("to", [None, 1, 4, Partitioner(3), Partitioner(2, len)])
def test_many_keys_wherever_they_are_put(to: Any) -> None:
    batches = [[(f"k{i % 300:03}", 1) for i in range(start, start + 1500)] for start in range(0, 4000, 1000)]
    expected: dict[str, int] = {}
    out = run_batches(batches, lambda s: s.updateStateByKey(total, to), numPartitions=3)
    for batch, got in zip(batches, out, strict=True):
        for key, value in batch:
            expected[key] = expected.get(key, 0) + value
        assert dict(got) == expected
        assert len(got) == len(expected)


def test_equal_keys_are_one_key_and_the_first_is_kept() -> None:
    assert_batches_equal(
        run_batches([[(1, 1)], [(1.0, 1)], [(True, 1)]], lambda s: s.updateStateByKey(total, 1)),
        [[(1, 1)], [(1, 2)], [(1, 3)]],
    )


def test_each_nan_is_a_key_of_its_own() -> None:
    nan = float("nan")
    out = run_batches([[(nan, 1)], [(nan, 2)]], lambda s: s.updateStateByKey(total, 1))
    assert [value for _, value in out[1]] == [1, 2]


def test_batches_without_an_rdd_leave_the_keys_to_the_function() -> None:
    out = run_batches(
        [[("a", 1)], [("a", 2)]],
        lambda s: s.transform(lambda time, rdd: rdd if time.timestamp() == 1 else None).updateStateByKey(
            total, 1
        ),
    )
    assert out == [[("a", 1)], [("a", 1)]]


def test_state_of_state() -> None:
    build = lambda s: s.updateStateByKey(total, 1).updateStateByKey(total, 1)  # noqa: E731
    assert run_batches([[("a", 1)], [("a", 1)], []], build) == [[("a", 1)], [("a", 3)], [("a", 5)]]


def test_state_needs_a_checkpoint_directory(sc: Context) -> None:
    sc._checkpoint_directory = None
    ssc = StreamingContext(sc, 1, clock=ManualClock())
    ssc.queueStream([[("a", 1)]]).updateStateByKey(total).pprint()
    with pytest.raises(
        ArgumentError, match=r"updateStateByKey \(.*\) needs a checkpoint directory\. Hint: sc\."
    ):
        ssc.start()


class TestFailingBatches:
    def run(self, sc: Context, batches: list[Any], build: Any, count: int) -> tuple[list[Any], list[str]]:
        """What the state stream held, and the errors, batch by batch; nothing is raised."""
        clock = ManualClock()
        ssc = StreamingContext(sc, 1, clock=clock)
        errors: list[str] = []
        out = CollectingSink()
        build(ssc.queueStream(batches)).foreachRDD(out)
        with Stepper(ssc, clock) as stepper:
            for _ in range(count):
                try:
                    stepper.step()
                except Exception as error:
                    errors.append(str(error))
                    ssc.driver.error = None
        return out.batches, errors

    def test_an_update_that_fails_leaves_the_state_as_it_was(self, sc: Context) -> None:
        def update(values: list[int], state: list[int] | None) -> list[int]:
            state = append_all(values, state)
            if 13 in values:
                raise ValueError("unlucky")
            return state

        batches = [[("a", 1), ("b", 1)], [("a", 2), ("b", 13)], [("a", 3)], []]
        out, errors = self.run(sc, batches, lambda s: s.updateStateByKey(update, 1), 4)
        assert errors == ["unlucky"]
        after = [("a", [1, 3]), ("b", [1])]
        assert out == [[("a", [1]), ("b", [1])], after, after]

    def test_an_output_that_fails_takes_the_batch_with_it(self, sc: Context) -> None:
        def fail_at_2(time: datetime, rdd: RDD) -> None:
            if time.timestamp() == 2:
                raise OSError("disk full")

        def build(stream: DStream) -> DStream:
            states = stream.updateStateByKey(total, 1)
            states.foreachRDD(fail_at_2)
            return states

        out, errors = self.run(sc, [[("a", 1)], [("a", 10)], [("a", 100)]], build, 3)
        assert errors == ["disk full"]
        assert out == [[("a", 1)], [("a", 11)], [("a", 101)]]  # the other output ran, on what was not kept

    def test_of_two_states_none_moves_if_one_cannot(self, sc: Context) -> None:
        def picky(values: list[int], state: int | None) -> int:
            if 13 in values:
                raise ValueError("unlucky")
            return total(values, state)

        def build(stream: DStream) -> DStream:
            easy = stream.updateStateByKey(total, 1)
            return easy.join(stream.updateStateByKey(picky, 1), 1)

        out, errors = self.run(sc, [[("a", 1)], [("a", 13)], [("a", 2)]], build, 3)
        assert errors == ["unlucky"]
        assert out == [[("a", (1, 1))], [("a", (3, 3))]]

    def test_no_window_holds_anything_of_a_failed_batch(self, sc: Context) -> None:
        def fail_at_2(time: datetime, rdd: RDD) -> RDD:
            if time.timestamp() == 2:
                raise ValueError("no")
            return rdd

        def build(stream: DStream) -> DStream:
            window = stream.updateStateByKey(total, 1).window(2)
            return window.union(stream.window(2)).transform(fail_at_2)

        out, errors = self.run(sc, [[("a", 1)], [("a", 10)], [("a", 100)]], build, 3)
        assert errors == ["no"]
        assert out == [[("a", 1), ("a", 1)], [("a", 101), ("a", 100)]]

    def test_windows_with_an_inverse_go_on_after_a_failed_batch(self, sc: Context) -> None:
        def fail_at_3(time: datetime, rdd: RDD) -> RDD:
            if time.timestamp() == 3:
                raise ValueError("no")
            return rdd

        def build(stream: DStream) -> DStream:
            from operator import add, sub

            return stream.reduceByKeyAndWindow(add, sub, 3, 1, 1).transform(fail_at_3)

        out, _ = self.run(sc, [[("a", 10**i)] for i in range(6)], build, 6)
        assert out == [[("a", n)] for n in (1, 11, 1010, 11000, 111000)]

    def test_the_error_names_the_key_and_the_line(self) -> None:
        def fail(values: list[int], state: Any) -> Any:
            raise KeyError("x")

        with pytest.raises(KeyError) as caught:
            run_batches([[("a", 1)]], lambda s: s.updateStateByKey(fail, 1))
        failure = failure_of(caught.value)
        assert failure is not None
        assert failure.site is not None
        assert (failure.site.operation, failure.site.file) == ("updateStateByKey", __file__)
        assert failure.record == "('a', [1])"
        assert (failure.partition, failure.batch_time_ms) == (0, 1000)


@given(
    batches=st.lists(
        st.lists(st.tuples(st.sampled_from("abcd"), st.integers(-2, 2)), max_size=5), max_size=8
    ),
    partitions=st.integers(1, 3),
)
def test_state_against_a_dict(batches: list[list[tuple[str, int]]], partitions: int) -> None:
    state: dict[str, int] = {}
    expected = []
    for batch in batches:
        values: dict[str, list[int]] = {}
        for key, value in batch:
            values.setdefault(key, []).append(value)
        for key in [*state, *(key for key in values if key not in state)]:
            new = remove_at_zero(values.get(key, []), state.get(key))
            if new is None:
                state.pop(key, None)
            else:
                state[key] = new
        expected.append(list(state.items()))
    out = run_batches(batches, lambda s: s.updateStateByKey(remove_at_zero, 1), numPartitions=partitions)
    assert_batches_equal(out, expected)
