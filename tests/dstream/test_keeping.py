"""slice, remember, persist, checkpoint: what is kept, for how long, and that nothing grows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from operator import add, sub
from pathlib import Path
from typing import Any

import pytest

from penstock import RDD, Context, Seconds, StorageLevel, StreamingContext
from penstock.clock import ManualClock
from penstock.dstream import DStream
from penstock.errors import ArgumentError, StateError
from penstock.plan import Node
from penstock.testing import CollectingSink, Stepper


class Kit:
    """A context on a manual clock that can be asked for what is kept."""

    def __init__(self, sc: Context, interval: float = 1, start_ms: int = 0) -> None:
        self.sc = sc
        self.clock = ManualClock(start_ms)
        self.ssc = StreamingContext(sc, interval, clock=self.clock)
        self.stepper = Stepper(self.ssc, self.clock)

    def numbers(self, count: int) -> DStream:
        return self.ssc.queueStream([[i] for i in range(1, count + 1)])

    def steps(self, count: int) -> None:
        if self.ssc._driver is None:
            self.stepper.__enter__()
        for _ in range(count):
            self.stepper.step()

    def held(self) -> dict[str, int]:
        """How many things a running graph holds on to."""
        generation = self.ssc._generation
        assert generation is not None
        return {
            "rdds": sum(map(len, generation._rdds.values())),
            "inputs": len(generation._inputs),
            "held": sum(map(len, generation._held.values())),
            "plans": len(generation._holders) + len(generation._persisted) + len(generation._written),
            "kept by the executor": len(self.sc._executor._kept),  # type: ignore[attr-defined]
            "records": len(self.ssc.driver._records),
        }


@pytest.fixture
def kit(sc: Context) -> Iterator[Kit]:
    made = Kit(sc)
    yield made
    made.ssc.stop(stopSparkContext=False)


def collected(rdds: list[RDD]) -> list[list[Any]]:
    return [rdd.collect() for rdd in rdds]


class TestSlice:
    def test_what_is_remembered(self, kit: Kit) -> None:
        stream = kit.numbers(10).map(lambda x: x * 10)
        stream.pprint(0)
        kit.ssc.remember(4)
        kit.steps(6)
        assert collected(stream.slice(3, 5)) == [[30], [40], [50]]
        assert collected(stream.slice(datetime.fromtimestamp(3), datetime.fromtimestamp(4))) == [[30], [40]]

    def test_both_ends_are_floored_to_the_slides(self, kit: Kit) -> None:
        stream = kit.numbers(10)
        stream.pprint(0)
        kit.ssc.remember(10)
        kit.steps(5)
        assert collected(stream.slice(2.9, 4.9)) == [[2], [3], [4]]
        assert collected(stream.slice(datetime.fromtimestamp(2.5), datetime.fromtimestamp(2.7))) == [[2]]
        assert collected(stream.slice(5, 2)) == []

    def test_before_the_first_batch_there_is_nothing(self, sc: Context) -> None:
        kit = Kit(sc, start_ms=100_000)
        stream = kit.numbers(3)
        stream.pprint(0)
        kit.ssc.remember(100)
        kit.steps(2)
        assert collected(stream.slice(0, 101)) == [[1]]
        kit.ssc.stop(False)

    def test_what_is_forgotten_is_left_out_and_never_empty(self, kit: Kit) -> None:
        stream = kit.numbers(10).map(abs)
        stream.pprint(0)
        kit.ssc.remember(2)
        kit.steps(6)
        assert collected(stream.slice(1, 6)) == [[5], [6]]

    def test_asking_for_the_future_does_not_take_its_input_away(self, kit: Kit) -> None:
        stream = kit.numbers(5).map(abs)
        out = CollectingSink()
        stream.foreachRDD(out)
        kit.ssc.remember(10)
        kit.steps(1)
        assert collected(stream.slice(1, 4)) == [[1]]
        kit.steps(3)
        assert out.batches == [[1], [2], [3], [4]]

    def test_of_windows_with_longer_slides(self, kit: Kit) -> None:
        window = kit.numbers(10).window(2, 2)
        window.pprint(0)
        kit.ssc.remember(10)
        kit.steps(6)
        assert collected(window.slice(1, 5)) == [[1, 2], [3, 4]]
        assert collected(window.slice(2, 6)) == [[1, 2], [3, 4], [5, 6]]

    def test_of_state(self, kit: Kit) -> None:
        states = kit.numbers(10).map(lambda x: ("a", x)).updateStateByKey(lambda v, s: sum(v) + (s or 0), 1)
        states.pprint(0)
        kit.ssc.remember(3)
        kit.steps(5)
        assert collected(states.slice(3, 5)) == [[("a", 6)], [("a", 10)], [("a", 15)]]

    def test_within_a_batch(self, kit: Kit) -> None:
        stream = kit.numbers(10)
        found: list[list[list[int]]] = []
        stream.foreachRDD(lambda time, rdd: found.append(collected(stream.slice(time.timestamp() - 1, time))))
        kit.ssc.remember(3)
        kit.steps(3)
        assert found == [[[1]], [[1], [2]], [[2], [3]]]

    def test_a_failed_batch_left_nothing_in_a_window_or_state(self, kit: Kit) -> None:
        window = kit.numbers(5).window(2)
        window.transform(lambda time, rdd: rdd if time.timestamp() != 2 else rdd / 0).pprint(0)  # type: ignore[operator]
        kit.ssc.remember(10)
        with pytest.raises(TypeError):
            kit.steps(2)
        kit.ssc.driver.error = None
        kit.steps(1)
        assert collected(window.slice(1, 3)) == [[1], [1, 2], [3]]

    def test_before_the_start(self, kit: Kit) -> None:
        stream = kit.numbers(1)
        with pytest.raises(StateError, match=r"queueStream \(.*\) has not been initialized"):
            stream.slice(0, 1)

    def test_of_a_stream_that_no_output_reads(self, kit: Kit) -> None:
        stream = kit.numbers(1)
        stream.pprint(0)
        unread = stream.map(abs)
        kit.steps(1)
        with pytest.raises(StateError, match="read by no output operation"):
            unread.slice(0, 1)

    def test_wrong_moments(self, kit: Kit) -> None:
        stream = kit.numbers(1)
        stream.pprint(0)
        kit.steps(1)
        for begin, end in (("a", 1), (0, None), (float("nan"), 1), (True, 1)):
            with pytest.raises(TypeError, match="must be a datetime or seconds"):
                stream.slice(begin, end)  # type: ignore[arg-type]


class TestRemember:
    def test_only_once(self, kit: Kit) -> None:
        kit.ssc.remember(Seconds(4))
        with pytest.raises(StateError, match=r"already set as 4000 ms\. Cannot set it again"):
            kit.ssc.remember(5)

    def test_not_after_the_start(self, kit: Kit) -> None:
        kit.numbers(1).pprint(0)
        kit.steps(1)
        with pytest.raises(StateError, match="after streaming context has started"):
            kit.ssc.remember(5)

    @pytest.mark.parametrize("wrong", [0, -1, float("inf")])
    def test_must_be_positive(self, kit: Kit, wrong: float) -> None:
        with pytest.raises(ArgumentError, match="at least 1 ms"):
            kit.ssc.remember(wrong)


class TestPersist:
    def test_returns_the_stream(self, kit: Kit) -> None:
        stream = kit.numbers(1)
        assert stream.cache() is stream
        assert stream.persist(StorageLevel.DISK_ONLY) is stream
        assert stream.checkpoint(1) is stream

    def test_is_refused_after_the_start(self, kit: Kit) -> None:
        stream = kit.numbers(1)
        stream.pprint(0)
        kit.steps(1)
        with pytest.raises(
            StateError, match="Cannot change storage level of a DStream after streaming context"
        ):
            stream.cache()
        with pytest.raises(StateError, match="Cannot change checkpoint interval of a DStream after"):
            stream.checkpoint(1)


def checkpoint_folders(sc: Context) -> list[str]:
    directory = sc.getCheckpointDir()
    assert directory is not None
    return sorted(path.name for path in Path(directory).glob("rdd-*"))


class TestCheckpoint:
    def test_every_interval_is_written_and_removed_when_forgotten(self, kit: Kit) -> None:
        stream = kit.numbers(10).map(lambda x: x * 2).checkpoint(2)
        files: list[str | None] = []
        stream.foreachRDD(lambda rdd: (rdd.collect(), files.append(rdd.getCheckpointFile())))
        kit.steps(6)
        assert [file is not None for file in files] == [False, True, False, True, False, True]
        assert checkpoint_folders(kit.sc) == []

    def test_is_read_from_there(self, kit: Kit) -> None:
        stream = kit.numbers(4).map(lambda x: [x]).checkpoint(1)
        out = CollectingSink()
        stream.foreachRDD(lambda rdd: rdd.count())
        stream.foreachRDD(out)
        kit.steps(3)
        assert out.batches == [[[1]], [[2]], [[3]]]

    def test_files_stay_as_long_as_they_are_remembered(self, kit: Kit) -> None:
        stream = kit.numbers(10).map(abs).checkpoint(1)
        stream.foreachRDD(lambda rdd: rdd.count())
        kit.ssc.remember(3)
        kit.steps(8)
        assert len(checkpoint_folders(kit.sc)) == 3
        assert collected(stream.slice(6, 8)) == [[6], [7], [8]]

    @pytest.mark.parametrize("build", ["state", "window"])
    def test_of_what_is_carried_over(self, kit: Kit, build: str) -> None:
        pairs = kit.numbers(10).map(lambda x: ("a", x))
        if build == "state":
            stream = pairs.updateStateByKey(lambda values, state: sum(values) + (state or 0), 1).checkpoint(1)
        else:
            stream = pairs.reduceByKeyAndWindow(add, sub, 3, 1, 1).checkpoint(1)
        out = CollectingSink()
        stream.foreachRDD(out)
        kit.steps(6)
        assert out.batches[-1] == [("a", 21 if build == "state" else 15)]
        assert checkpoint_folders(kit.sc) == []

    def test_needs_a_directory(self, kit: Kit) -> None:
        kit.sc._checkpoint_directory = None
        kit.numbers(1).checkpoint(1).pprint()
        with pytest.raises(
            ArgumentError, match=r"checkpoint\(\) of queueStream .* needs a checkpoint directory"
        ):
            kit.ssc.start()

    @pytest.mark.parametrize(
        ("slide", "interval", "message"),
        [
            (
                1,
                0.5,
                r"is 500 ms, which is lower than its slide time \(1 s\)\. Please set it to at least 1 s\.",
            ),
            (1, 2.5, r"is 2\.5 s, which is not a multiple of its slide time \(1 s\)\. .* such as 3 s\."),
            (4, 6, r"is 6 s, which is not a multiple of its slide time \(4 s\)\. .* such as 8 s\."),
        ],
    )
    def test_the_interval_fits_the_slide(self, kit: Kit, slide: int, interval: float, message: str) -> None:
        kit.numbers(1).window(4, slide).checkpoint(interval).pprint()
        with pytest.raises(ArgumentError, match=message):
            kit.ssc.start()


def depth(plan: Node) -> int:
    """How many nodes stand one above the other."""
    deepest: dict[Node, int] = {}

    def of(node: Node) -> int:
        if node not in deepest:
            deepest[node] = 1 + max(map(of, node.parents), default=0)
        return deepest[node]

    return of(plan)


@pytest.mark.many_jobs
class TestNothingGrows:
    def graph(self, kit: Kit, depths: list[int]) -> None:
        """State, windows with an inverse and without, a window of state, a join, a shared parent."""
        pairs = kit.numbers(2000).map(lambda x: (x % 10, x))
        states = pairs.updateStateByKey(lambda values, state: sum(values) + (state or 0), 2)
        sums = pairs.reduceByKeyAndWindow(add, sub, 10, 2, 2)
        most = pairs.reduceByKeyAndWindow(max, 7, 1, 2)
        joined = states.window(3).join(most.window(2), 2).map(lambda pair: pair)
        for stream in (states, sums, most, joined, pairs.groupByKeyAndWindow(5), pairs.window(4, 2)):
            stream.foreachRDD(lambda rdd: (rdd.count(), depths.append(depth(rdd.plan))))

    def test_neither_what_is_held_nor_the_depth_of_plans(self, kit: Kit) -> None:
        depths: list[int] = []
        self.graph(kit, depths)
        kit.steps(100)
        before, deepest = kit.held(), max(depths)
        depths.clear()
        kit.steps(900)
        assert kit.held() == before
        assert max(depths) == deepest
        assert before["inputs"] == 0
        assert before["records"] == 0

    def test_what_is_remembered_is_held_and_no_more(self, kit: Kit) -> None:
        kit.ssc.remember(20)
        self.graph(kit, [])
        kit.steps(60)
        before = kit.held()
        kit.steps(100)
        assert kit.held() == before
        assert before["inputs"] == 20

    def test_failing_batches_leave_nothing_behind(self, kit: Kit) -> None:
        self.graph(kit, [])
        kit.numbers(2000).foreachRDD(lambda time, rdd: 1 // (int(time.timestamp()) % 3))

        def steps(count: int) -> None:
            for _ in range(count):
                try:
                    kit.steps(1)
                except ZeroDivisionError:
                    kit.ssc.driver.error = None

        steps(99)
        before = kit.held()
        steps(99)
        assert kit.held() == before

    def test_what_was_kept_is_let_go_of_only_if_the_setting_says_so(self, tmp_path: Path) -> None:
        from penstock import Conf

        with Context(conf=Conf().setMaster("local[2]").set("spark.streaming.unpersist", "false")) as sc:
            kit = Kit(sc)
            rdds: list[RDD] = []
            kit.numbers(3).map(abs).cache().foreachRDD(lambda rdd: (rdd.count(), rdds.append(rdd)))
            kit.steps(3)
            assert [rdd.is_cached for rdd in rdds] == [True] * 3
            kit.ssc.stop(False)


def test_slice_of_a_batch_that_is_over_and_not_remembered_is_nothing(sc: Context) -> None:
    clock = ManualClock()
    ssc = StreamingContext(sc, 1, clock=clock)
    stream = ssc.queueStream([[1], [2]]).map(lambda x: x)
    stream.foreachRDD(lambda rdd: None)
    with Stepper(ssc, clock) as stepper:
        stepper.step()
        assert stream.slice(0, 5) == []
