"""mapWithState: batches in, batches out; what a function may do to a state, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from penstock import (
    Context,
    DStream,
    MapWithStateDStream,
    Partitioner,
    Seconds,
    State,
    StateSpec,
    StreamingContext,
)
from penstock.clock import ManualClock
from penstock.errors import ArgumentError, KeyTypeError, NotAPairError, SignatureError, StateError, failure_of
from penstock.testing import Stepper, run_batches
from tests.state.keys import Key

pytestmark = pytest.mark.usefixtures("sc")

Function = Callable[..., Any]


def emitted(batches: list[Any], spec: StateSpec, count: int | None = None) -> Any:
    return run_batches(batches, lambda s: s.mapWithState(spec), numPartitions=1, batches=count)


def both(batches: list[Any], spec: StateSpec, count: int | None = None) -> Any:
    """What is emitted and what is remembered, batch by batch."""

    def build(stream: DStream) -> tuple[DStream, DStream]:
        mapped = stream.mapWithState(spec)
        return mapped, mapped.stateSnapshots()

    return run_batches(batches, build, numPartitions=1, batches=count)


def total(key: Any, value: Any, state: State) -> Any:
    state.update((state.getOption() or 0) + value)
    return (key, state.get())


def one(function: Function) -> StateSpec:
    return StateSpec.function(function).numPartitions(1)


def run_and_fail(sc: Context, batches: list[Any], count: int, build: Callable[[DStream], Any]) -> list[Any]:
    """Batches one by one; what failed, in its batch, and nothing is raised."""
    clock = ManualClock()
    ssc = StreamingContext(sc, 1, clock=clock)
    failures: list[Any] = []
    build(ssc.queueStream(batches))
    with Stepper(ssc, clock) as stepper:
        for _ in range(count):
            try:
                stepper.step()
            except Exception as error:
                failures.append(failure_of(error))
                ssc.driver.error = None
    return failures


class TestCalls:
    def test_one_a_record_in_their_order_each_seeing_what_the_one_before_did(self) -> None:
        calls: list[Any] = []

        def note(key: str, value: int, state: State) -> None:
            calls.append((key, value, state.getOption()))
            state.update(value)

        emitted([[("a", 1), ("b", 2), ("a", 3)], [("a", 4)], [("b", 5)]], one(note))
        assert calls == [("a", 1, None), ("b", 2, None), ("a", 3, 1), ("a", 4, 3), ("b", 5, 2)]

    def test_keys_without_records_are_left_alone(self) -> None:
        calls: list[str] = []
        spec = one(lambda key, value, state: calls.append(key) or state.update(value))
        emitted([[(key, 1) for key in "abcdef"], [], [("c", 2)], []], spec)
        assert calls == [*"abcdef", "c"]

    def test_none_is_no_record(self) -> None:
        spec = one(lambda key, value, state: value if value > 1 else None)
        assert emitted([[("a", 1), ("a", 2)], [("a", 1)], [("a", 0), ("b", 3)]], spec) == [[2], [], [3]]

    @pytest.mark.parametrize("nothing", [0, "", False, [], ()])
    def test_what_is_false_but_not_none_is_a_record_and_a_state(self, nothing: Any) -> None:
        spec = one(lambda key, value, state: state.update(nothing) or nothing)
        assert both([[("a", 1)]], spec) == ([[nothing]], [[("a", nothing)]])

    def test_with_the_batch_time(self) -> None:
        spec = one(lambda time, key, value, state: (time, key, value))
        out = emitted([[("a", 1)], [("a", 2)]], spec)
        start = datetime.fromtimestamp(1)
        assert out == [[(start, "a", 1)], [(start + timedelta(seconds=1), "a", 2)]]

    def test_a_method_a_partial_and_a_default_count_as_a_caller_would(self) -> None:
        class Shop:
            def sell(self, key: str, value: int, state: State, factor: int = 10) -> int:
                return value * factor

        assert emitted([[("a", 1)]], one(Shop().sell)) == [[10]]

    def test_records_come_partition_by_partition_as_the_keys_are_spread(self) -> None:
        spec = StateSpec.function(total).partitioner(Partitioner(3, lambda key: key))
        out = run_batches([[(2, 1), (0, 1), (1, 1), (2, 2)]], lambda s: s.mapWithState(spec).glom())
        assert out == [[[(0, 1)], [(1, 1)], [(2, 1), (2, 3)]]]


class TestState:
    def test_removed_is_gone_and_one_that_comes_back_goes_last(self) -> None:
        def leave_at_zero(key: str, value: int, state: State) -> Any:
            if value:
                state.update(value)
            else:
                state.remove()
            return state.exists()

        out, states = both([[("a", 1), ("b", 2)], [("a", 0), ("c", 3)], [("a", 4)]], one(leave_at_zero))
        assert out == [[True, True], [False, True], [True]]
        assert states == [[("a", 1), ("b", 2)], [("b", 2), ("c", 3)], [("b", 2), ("c", 3), ("a", 4)]]

    def test_removed_and_set_by_the_next_record_of_the_batch(self) -> None:
        def flip(key: str, value: int, state: State) -> None:
            if state.exists():
                state.remove()
            else:
                state.update(value)

        assert both([[("a", 1), ("b", 1), ("a", 2), ("a", 3)]], one(flip))[1] == [[("b", 1), ("a", 3)]]

    def test_a_key_that_gets_no_state_is_not_remembered(self) -> None:
        assert both([[("a", 1)]], one(lambda key, value, state: value)) == ([[1]], [[]])

    @pytest.mark.parametrize(
        ("use", "message"),
        [
            (lambda s: s.get(), "State is not set"),
            (lambda s: s.remove() or s.get(), "State is not set"),
            (lambda s: s.remove() or s.update(1), "Cannot update the state after it has been removed"),
            (lambda s: s.remove() or s.remove(), "Cannot remove the state that has already been removed"),
        ],
    )
    def test_illegal_uses_fail_the_batch(self, use: Callable[[State], Any], message: str) -> None:
        with pytest.raises(StateError, match=message) as caught:
            emitted([[("a", 1)]], one(lambda key, value, state: use(state)))
        failure = failure_of(caught.value)
        assert failure is not None
        assert failure.record == "('a', 1)"

    def test_update_then_remove_then_nothing_is_left(self) -> None:
        assert both([[("a", 1)]], one(lambda k, v, s: s.update(1) or s.remove()))[1] == [[]]

    def test_equal_keys_are_one_and_the_first_is_kept(self) -> None:
        assert both([[(1, 1), (1.0, 2)], [(True, 3)]], one(total))[1][1] == [(1, 6)]
        assert type(both([[(1, 1), (True, 2)]], one(total))[1][0][0][0]) is int

    def test_each_nan_is_a_key_of_its_own(self) -> None:
        nan = float("nan")
        out, states = both([[(nan, 1), (nan, 2)], [(nan, 3)]], one(total))
        assert [value for _, value in out[0] + out[1]] == [1, 2, 3]
        assert len(states[1]) == 3

    def test_without_a_key(self) -> None:
        with pytest.raises(NotAPairError):
            emitted([["ab"]], one(total))
        with pytest.raises(KeyTypeError):
            emitted([[([1], 2)]], one(total))


class TestChanges:
    """States that can be changed: what counts is what was given to update."""

    def test_what_is_changed_and_not_set_is_lost(self) -> None:
        def change(key: str, value: int, state: State) -> None:
            if state.exists():
                state.get().append(value)
                assert state.get()[-1] == value, "within a call it is one object"
            else:
                state.update([value])

        assert both([[("a", 1)], [("a", 2)], [("a", 3)]], one(change))[1][-1] == [("a", [1])]

    def test_what_is_set_is_what_it_is_when_the_call_is_over(self) -> None:
        kept: list[int] = []

        def keep(key: str, value: int, state: State) -> None:
            if not kept:
                state.update(kept)
            kept.append(value)

        assert both([[("a", 1), ("a", 2)], [("a", 3)]], one(keep))[1] == [[("a", [1])], [("a", [1])]]

    def test_what_readers_change_changes_nothing(self) -> None:
        def remember(key: str, value: int, state: State) -> Any:
            state.update([*(state.getOption() or []), value])
            return state.get()

        def build(stream: DStream) -> tuple[DStream, ...]:
            mapped = stream.mapWithState(one(remember))
            spoilt = mapped.map(lambda held: held.clear() or held)
            also = mapped.stateSnapshots().map(lambda pair: pair[1].clear() or pair)
            return spoilt, also, mapped, mapped.stateSnapshots()

        *_, out, states = run_batches([[("a", 1)], [("a", 2)]], build, numPartitions=1)
        assert out == [[[1]], [[1, 2]]]
        assert states == [[("a", [1])], [("a", [1, 2])]]

    def test_earlier_snapshots_stay_what_they_were(self, sc: Context) -> None:
        clock = ManualClock()
        ssc = StreamingContext(sc, 1, clock=clock)
        ssc.remember(100)
        states = ssc.queueStream([[("a", n), (f"k{n}", n)] for n in range(5)]).mapWithState(one(total))
        states.stateSnapshots().foreachRDD(lambda rdd: None)
        held = states.stateSnapshots()
        held.foreachRDD(lambda rdd: None)
        with Stepper(ssc, clock) as stepper:
            for _ in range(5):
                stepper.step()
            rdds = held.slice(1, 5)
            for n in (4, 0, 2, 3, 1, 4):
                found = rdds[n].collect()
                assert found[0] == ("a", sum(range(n + 1)))
                assert [key for key, _ in found[1:]] == [f"k{k}" for k in range(n + 1)]
        ssc.stop(stopSparkContext=False)


class TestTimeout:
    def test_in_the_first_batch_of_which_it_is_longer(self) -> None:
        def tell(key: str, value: int | None, state: State) -> Any:
            if state.isTimingOut():
                return (key, value, state.get(), state.exists())
            state.update(value)
            return None

        out, states = both([[("a", 1), ("b", 2)], [("b", 3)]], one(tell).timeout(2), 7)
        assert out == [[], [], [], [("a", None, 1, True)], [("b", None, 3, True)], [], []]
        assert [len(each) for each in states] == [2, 2, 2, 1, 0, 0, 0]

    @pytest.mark.parametrize("how", [lambda state: None, lambda state: state.getOption()])
    def test_a_record_is_news_even_if_the_state_is_left_alone(self, how: Callable[[State], Any]) -> None:
        def note(key: str, value: int, state: State) -> None:
            if not state.exists():
                state.update(value)
            how(state)

        batches = [[("a", 1)], [], [("a", 2)], [], [], []]
        assert [len(each) for each in both(batches, one(note).timeout(2))[1]] == [1, 1, 1, 1, 1, 0]

    def test_in_the_order_in_which_the_keys_appeared(self) -> None:
        def tell(key: str, value: int, state: State) -> Any:
            return key if state.isTimingOut() else state.update(value)

        batches = [[("a", 1), ("b", 1), ("c", 1)], [("b", 1)], [("a", 1)], [("b", 1), ("a", 1), ("d", 1)]]
        assert emitted(batches, one(tell).timeout(1), 7) == [[], [], ["c"], [], [], ["a", "b", "d"], []]

    def test_after_the_records_of_the_batch(self) -> None:
        def tell(key: str, value: int, state: State) -> Any:
            return ("over", key) if state.isTimingOut() else state.update(value) or key

        out = emitted([[("a", 1)], [], [("b", 1)]], one(tell).timeout(1))
        assert out == [["a"], [], ["b", ("over", "a")]]

    @pytest.mark.parametrize("use", [lambda s: s.update(1), lambda s: s.remove()])
    def test_a_state_that_is_timing_out_cannot_be_kept(self, use: Callable[[State], Any]) -> None:
        spec = one(lambda key, value, state: use(state) if state.isTimingOut() else state.update(1))
        with pytest.raises(StateError, match="the state that is timing out"):
            emitted([[("a", 1)], [], []], spec.timeout(1))

    def test_states_of_the_beginning_have_their_news_in_the_first_batch(self) -> None:
        spec = one(lambda key, value, state: (key, state.get())).initialState({"a": 5}).timeout(1)
        assert emitted([[], [], [], []], spec) == [[], [], [("a", 5)], []]

    def test_a_batch_that_fails_puts_nothing_off(self, sc: Context) -> None:
        """The key is over in the batch after the failed one, which would have said so."""
        failed: list[int] = []

        def tell(time: datetime, key: str, value: int, state: State) -> Any:
            if not state.isTimingOut():
                return state.update(value)
            if not failed:
                failed.append(1)
                raise ZeroDivisionError
            return (time.second, key)

        seen: list[Any] = []

        def build(stream: DStream) -> None:
            stream.mapWithState(one(tell).timeout(1)).foreachRDD(lambda rdd: seen.append(rdd.collect()))

        assert len(run_and_fail(sc, [[("a", 1)]], 4, build)) == 1
        assert failed == [1]
        assert seen == [[], [], [(datetime.fromtimestamp(4).second, "a")]]

    def test_of_an_older_batch_they_are_the_same_again(self, sc: Context) -> None:
        def tell(key: str, value: int, state: State) -> Any:
            if state.isTimingOut():
                return ("over", key, state.get())
            return state.update(value) or (key, value)

        clock = ManualClock()
        ssc = StreamingContext(sc, 1, clock=clock)
        held: list[Any] = []
        mapped = ssc.queueStream([[("a", 1), ("b", 1)], [("b", 2)], [("b", 3)], [], [("c", 4)]])
        mapped.mapWithState(one(tell).timeout(1)).foreachRDD(lambda rdd: held.append((rdd, rdd.collect())))
        with Stepper(ssc, clock) as stepper:
            for _ in range(8):
                stepper.step()
            for at in (2, 0, 5, 4, 7, 2, 3, 6, 1):
                rdd, before = held[at]
                assert rdd.collect() == before, at
        assert [records for _, records in held][2] == [("b", 3), ("over", "a", 1)]

    def test_the_key_is_given_out_as_a_copy(self, sc: Context) -> None:
        failed: list[int] = []

        def tell(key: Key, value: int, state: State) -> Any:
            if state.isTimingOut() and not failed:
                key.seen += 100
                failed.append(1)
                raise ZeroDivisionError
            if not state.isTimingOut():
                state.update(value)
            return (state.isTimingOut(), key.seen)

        seen: list[Any] = []

        def build(stream: DStream) -> None:
            stream.mapWithState(one(tell).timeout(1)).foreachRDD(lambda rdd: seen.append(rdd.collect()))

        assert len(run_and_fail(sc, [[(Key(), 1)]], 4, build)) == 1
        assert seen == [[(False, 0)], [], [(True, 0)]]


class TestFailures:
    def test_a_batch_that_fails_half_way_leaves_the_version_before_it(self, sc: Context) -> None:
        def collect(key: str, value: Any, state: State) -> Any:
            held = state.getOption() or []
            held.append(value)
            state.update(held)
            if value == "bad":
                raise ZeroDivisionError
            return (key, held)

        batches = [[("a", 1), ("b", 1)], [("a", 2), ("c", 2), ("b", "bad")], [("a", 3)]]
        seen: list[Any] = []

        def build(stream: DStream) -> None:
            states = stream.mapWithState(one(collect)).stateSnapshots()
            states.foreachRDD(lambda rdd: seen.append(rdd.collect()))

        [failure] = run_and_fail(sc, batches, 3, build)
        assert failure.record == "('b', 'bad')"
        assert seen == [[("a", [1]), ("b", [1])], [("a", [1, 3]), ("b", [1])]]

    def test_an_output_that_fails_takes_the_version_with_it(self, sc: Context) -> None:
        seen: list[Any] = []

        def fail_at_2(time: datetime, rdd: Any) -> None:
            if time.timestamp() == 2:
                raise ZeroDivisionError

        def build(stream: DStream) -> None:
            mapped = stream.mapWithState(one(total))
            mapped.foreachRDD(lambda rdd: seen.append(rdd.collect()))
            mapped.foreachRDD(fail_at_2)

        assert len(run_and_fail(sc, [[("a", 1)], [("a", 2)], [("a", 4)]], 3, build)) == 1
        assert seen == [[("a", 1)], [("a", 3)], [("a", 5)]]

    def test_nobody_reads_it_and_it_goes_on_all_the_same(self) -> None:
        """Snapshots of every other batch."""

        def build(stream: DStream) -> DStream:
            return stream.mapWithState(one(total)).stateSnapshots().window(2, 2)

        assert run_batches([[("a", 1)], [("a", 2)], [("a", 3)], []], build, numPartitions=1) == [
            None, [("a", 1), ("a", 3)], None, [("a", 6), ("a", 6)],
        ]  # fmt: skip


class TestSpec:
    @pytest.mark.parametrize(
        "initial", [{"a": 10, "b": 20}, [("a", 10), ("b", 20), ("a", 99)], iter([["a", 10], ("b", 20)])]
    )
    def test_initial_states(self, initial: Any) -> None:
        out, states = both([[("b", 1)]], one(total).initialState(initial))
        assert out == [[("b", 21)]]
        assert states == [[("a", 10), ("b", 21)]]

    @pytest.mark.parametrize("lies_right", [False, True])
    def test_an_initial_rdd(self, sc: Context, lies_right: bool) -> None:
        rdd = sc.parallelize([("a", 10), ("b", 20), ("c", 30)], 2)
        spec = StateSpec.function(total).initialState(rdd.partitionBy(3) if lies_right else rdd)
        spec.numPartitions(3)
        out = run_batches([[("c", 1)]], lambda s: s.mapWithState(spec).stateSnapshots())
        assert sorted(out[0]) == [("a", 10), ("b", 20), ("c", 31)]

    @pytest.mark.parametrize("initial", ["ab", 7, [1], ["ab"]])
    def test_initial_states_that_are_none(self, initial: Any) -> None:
        with pytest.raises(SignatureError, match="initialState of mapWithState"):
            emitted([[("a", 1)]], one(total).initialState(initial))

    def test_partitions(self, sc: Context) -> None:
        def partitions(spec: StateSpec) -> int:
            found: list[int] = []
            run_batches(
                [[("a", 1)]],
                lambda s: s.mapWithState(spec).foreachRDD(lambda rdd: found.append(rdd.getNumPartitions())),
            )
            return found[0]

        assert partitions(StateSpec.function(total)) == sc.defaultParallelism
        assert partitions(StateSpec.function(total).numPartitions(5)) == 5
        assert partitions(StateSpec.function(total).numPartitions(5).partitioner(Partitioner(2))) == 2

    def test_snapshots_lie_by_key(self) -> None:
        """So a fold by key of them moves nothing."""
        found: list[Any] = []

        def build(stream: DStream) -> DStream:
            states = stream.mapWithState(StateSpec.function(total).numPartitions(3)).stateSnapshots()
            states.foreachRDD(lambda rdd: found.append(rdd.partitioner))
            return states

        run_batches([[("a", 1)]], build)
        assert found == [Partitioner(3)]

    def test_what_is_no_spec(self) -> None:
        with pytest.raises(SignatureError, match=r"not function\. Hint: StateSpec\.function"):
            run_batches([[]], lambda s: s.mapWithState(total))
        with pytest.raises(SignatureError, match="should take 3 or 4 arguments"):
            StateSpec.function(lambda key, value: None)
        with pytest.raises(SignatureError, match="needs a function"):
            StateSpec.function(7)  # type: ignore[arg-type]
        with pytest.raises(SignatureError, match="needs a Partitioner"):
            StateSpec.function(total).partitioner(3)  # type: ignore[arg-type]
        for count in (0, -1):
            with pytest.raises(ArgumentError):
                StateSpec.function(total).numPartitions(count)
        for duration in (0, -1, Seconds(0)):
            with pytest.raises(ArgumentError):
                StateSpec.function(total).timeout(duration)

    def test_it_needs_a_checkpoint_directory(self, sc: Context) -> None:
        sc._checkpoint_directory = None
        ssc = StreamingContext(sc, 1, clock=ManualClock())
        ssc.queueStream([]).mapWithState(one(total)).pprint()
        with pytest.raises(ArgumentError, match=r"mapWithState .* needs a checkpoint directory"):
            ssc.start()
        ssc.stop(stopSparkContext=False)

    def test_what_it_gives_has_snapshots_and_what_is_made_of_that_has_none(self, sc: Context) -> None:
        ssc = StreamingContext(sc, 1, clock=ManualClock())
        mapped = ssc.queueStream([]).mapWithState(one(total))
        assert type(mapped) is MapWithStateDStream
        assert type(mapped.map(str)) is type(mapped.stateSnapshots()) is DStream
        assert type(mapped.cache()) is MapWithStateDStream
        ssc.stop(stopSparkContext=False)

    def explained(self, sc: Context, function: Function) -> str:
        """What is said of a function of an int for each text."""
        ssc = StreamingContext(sc, 1, clock=ManualClock())
        pairs = ssc.textFileStream("memory://nowhere").map(lambda line: (line, len(line)))
        text = pairs.mapWithState(one(function)).stateSnapshots().explain()
        ssc.stop(stopSparkContext=False)
        return "\n".join(line for line in text.splitlines() if "mapWithState" in line or "Snapshots" in line)

    def test_explain_says_that_it_is_columns(self, sc: Context) -> None:
        text = self.explained(sc, total)
        assert "test_map_with_state.py" in text
        assert ": columns: states of int by str" in text
        assert "stateSnapshots at" in text
        assert ": columns: tuple[str, int]" in text

    @pytest.mark.parametrize(
        ("function", "reason"),
        [
            (lambda time, key, value, state: None, "its function is given the batch time"),
            (lambda key, value, state: print(key), "print is a builtin_function_or_method"),
            (lambda key, value, state: state.update([value]), "a list as a result has no column"),
            (lambda key, value, state: value, "it sets no state for a key without one"),
            (lambda key, value, state: state.update(None), "a state that may be None"),
            (lambda key, value, state: state.update((value, None)), "states that are tuple[int, None]"),
        ],
    )
    def test_explain_says_why_it_is_rows(self, sc: Context, function: Function, reason: str) -> None:
        text = self.explained(sc, function)
        assert f"rows: {reason}" in text
        assert "test_map_with_state.py" in text
