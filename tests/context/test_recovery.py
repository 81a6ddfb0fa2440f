"""Programs that go on from a checkpoint, and what they meet there."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from operator import add
from pathlib import Path
from typing import Any

import pytest

from penstock import RDD, Conf, Context, StateSpec, StreamingContext, StreamingListener
from penstock.checkpoint import Checkpoint, Commit, Journal, begin_record
from penstock.clock import ManualClock
from penstock.dstream import DStream, mapped
from penstock.errors import (
    ArgumentError,
    CheckpointTaken,
    CorruptCheckpoint,
    KeyTypeError,
    StateError,
)
from penstock.state import ColumnVersion, RowVersion, TableChange, Version
from penstock.storage import LocalStorage
from penstock.storage.faulty import Call, FaultyStorage
from penstock.storage.resolve import wrapping
from penstock.testing import Stepper
from penstock.times import BatchTime
from tests.vectorize.test_laws_in_columns import records_in_columns

Pairs = list[tuple[str, int]]


@pytest.fixture(autouse=True)
def sc() -> Iterator[Context]:
    with Context(conf=Conf().setMaster("local[2]").set("penstock.streaming.retries", 1)) as context:
        yield context


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "checkpoint")


class Life:
    """One run of a program on the manual clock: ``build(stream, seen)`` registers its outputs."""

    def __init__(
        self,
        path: str,
        build: Callable[[DStream, Callable[..., Any]], Any],
        batches: list[Pairs],
        *,
        now: float = 0.5,
        upgrade: bool = True,
    ) -> None:
        self.seen: dict[float, list[Any]] = {}
        self.clock = ManualClock()
        self.clock.set(int(now * 1000))

        def setup() -> StreamingContext:
            context = Context._active
            assert context is not None
            ssc = StreamingContext(context, 1, clock=self.clock)
            build(ssc.queueStream(batches), self._see)
            return ssc

        self.ssc = StreamingContext.getOrCreate(path, setup, upgrade=upgrade, clock=self.clock)

    def _see(self, time: Any, rdd: RDD) -> None:
        self.seen[time.timestamp()] = rdd.collect()

    def run(self, count: int) -> dict[float, list[Any]]:
        with Stepper(self.ssc, self.clock) as stepper:
            for _ in range(count):
                stepper.step()
        return self.seen


def follow(
    path: str, inbox: Path, now: float, steps: list[Callable[[], object]], see: Callable[[RDD], object]
) -> None:
    """One run of a program that follows a folder: a batch after each step."""
    clock = ManualClock()
    clock.set(int(now * 1000))

    def setup() -> StreamingContext:
        context = Context._active
        assert context is not None
        ssc = StreamingContext(context, 1, clock=clock)
        ssc.textFileStream(str(inbox)).foreachRDD(see)
        return ssc

    with Stepper(StreamingContext.getOrCreate(path, setup, upgrade=True), clock) as stepper:
        for step in steps:
            step()
            stepper.step()


def totals(stream: DStream, see: Callable[..., Any]) -> None:
    stream.updateStateByKey(lambda values, state: sum(values) + (state or 0), 2).foreachRDD(see)


def window(stream: DStream, see: Callable[..., Any]) -> None:
    stream.reduceByKeyAndWindow(add, 3, 1, 2).foreachRDD(see)


def last(key: str, value: int | None, state: Any) -> Any:
    if state.isTimingOut():
        return ("gone", key, state.get())
    state.update(value)
    return None


def latest(stream: DStream, see: Callable[..., Any]) -> None:
    stream.mapWithState(StateSpec.function(last).timeout(2)).foreachRDD(see)


BATCHES = [[("a", 1)], [("b", 2), ("a", 3)], [("a", 4)], [("c", 1)], [("a", 9)]]


class TestGoingOn:
    @pytest.mark.parametrize("build", [totals, window, latest])
    @pytest.mark.parametrize("after", [1, 2, 3, 4])
    def test_after_any_batch_the_rest_is_the_same(self, path: str, build: Any, after: int) -> None:
        expected = Life(path + "-other", build, BATCHES).run(8)
        first = Life(path, build, BATCHES).run(after)
        second = Life(path, build, BATCHES, now=after + 0.5).run(8 - after)
        assert {**first, **second} == expected
        assert not first.keys() & second.keys()

    @pytest.mark.parametrize("after", [1, 2, 3, 4])
    def test_states_in_columns_come_back_as_columns(
        self, path: str, after: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected = Life(path + "-other", latest, BATCHES).run(8)
        kinds: list[type] = []
        plain = mapped.restored

        def restored(table: TableChange, *, expires: bool) -> Version:
            version = plain(table, expires=expires)
            kinds.append(type(version))
            return version

        monkeypatch.setattr(mapped, "restored", restored)
        with records_in_columns(100, lambda: None):
            first = Life(path, latest, BATCHES).run(after)
            second = Life(path, latest, BATCHES, now=after + 0.5).run(8 - after)
        assert {**first, **second} == expected
        assert ColumnVersion in kinds
        assert set(kinds) <= {ColumnVersion, RowVersion}, "a partition without keys has no types"

    def test_the_stored_program_goes_on_and_setup_is_not_called(self, path: str) -> None:
        results = path + ".results"  # what a stored function writes must be found by name

        def setup() -> StreamingContext:
            context = Context._active
            assert context is not None
            ssc = StreamingContext(context, 1, clock=clock)
            stream = ssc.queueStream(BATCHES)
            stream.updateStateByKey(lambda values, state: sum(values) + (state or 0), 1).foreachRDD(
                lambda rdd: Path(results).write_text(json.dumps(rdd.collect()))
            )
            return ssc

        def never() -> StreamingContext:
            raise AssertionError("setup was called, and there is a checkpoint")

        clock = ManualClock()
        with Stepper(StreamingContext.getOrCreate(path, setup), clock) as stepper:
            stepper.step()
            stepper.step()
        ssc = StreamingContext.getOrCreate(path, never, clock=clock)
        with Stepper(ssc, clock) as stepper:
            stepper.step()
        assert json.loads(Path(results).read_text()) == [["a", 8], ["b", 2]]

    def test_get_active_or_create(self, path: str) -> None:
        life = Life(path, totals, BATCHES)
        with Stepper(life.ssc, life.clock):
            assert StreamingContext.getActiveOrCreate(path, lambda: life.ssc) is life.ssc
        made = StreamingContext.getActiveOrCreate(None, lambda: life.ssc)
        assert made is life.ssc

    def test_batch_times_never_repeat_when_the_clock_is_set_back(self, path: str) -> None:
        first = Life(path, totals, BATCHES, now=100.5).run(2)
        life = Life(path, totals, BATCHES, now=50.5)
        with Stepper(life.ssc, life.clock):
            life.ssc.driver.tick(life.ssc.driver._next)
            life.ssc.driver.work()
        assert (list(first), list(life.seen)) == ([101.0, 102.0], [103.0])

    def test_slides_are_counted_from_the_first_start(self, path: str) -> None:
        def sliding(stream: DStream, see: Callable[..., Any]) -> None:
            stream.reduceByKeyAndWindow(add, 4, 2, 1).foreachRDD(see)

        expected = Life(path + "-other", sliding, BATCHES).run(8)
        first = Life(path, sliding, BATCHES).run(3)
        second = Life(path, sliding, BATCHES, now=3.5).run(5)
        assert {**first, **second} == expected

    def test_a_name_keeps_its_state_when_the_program_changes(
        self, path: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        def named(stream: DStream, see: Callable[..., Any]) -> None:
            stream.updateStateByKey(lambda values, state: sum(values) + (state or 0), 2).name(
                "totals"
            ).foreachRDD(see)

        def changed(stream: DStream, see: Callable[..., Any]) -> None:
            stream.updateStateByKey(lambda values, state: len(values) + (state or 0), 1).foreachRDD(
                lambda rdd: rdd.count()
            )
            stream.updateStateByKey(lambda values, state: 10 * sum(values) + (state or 0), 5).name(
                "totals"
            ).foreachRDD(see)

        Life(path, named, BATCHES).run(2)
        with caplog.at_level(logging.INFO, "penstock"):
            seen = Life(path, changed, BATCHES, now=2.5).run(2)
        assert sorted(seen[3.0]) == [("a", 44), ("b", 2)]
        assert sorted(seen[4.0]) == [("a", 44), ("b", 2), ("c", 10)]
        report = [message for message in caplog.messages if message.startswith("checkpoint: ")]
        assert any(
            "changed  totals" in line and "number of partitions was 2, is 5" in line for line in report
        )
        assert any("new      updateStateByKey-1" in line for line in report)
        caplog.clear()
        seen = Life(path, changed, BATCHES, now=4.5).run(1)
        assert sorted(seen[5.0]) == [("a", 134), ("b", 2), ("c", 10)]

    @pytest.mark.parametrize("build", [totals, window, latest])
    def test_another_number_of_partitions(self, path: str, build: Any) -> None:
        def other(stream: DStream, see: Callable[..., Any]) -> None:
            if build is totals:
                stream.updateStateByKey(lambda values, state: sum(values) + (state or 0), 7).foreachRDD(see)
            elif build is window:
                stream.reduceByKeyAndWindow(add, 3, 1, 7).foreachRDD(see)
            else:
                stream.mapWithState(StateSpec.function(last).timeout(2).numPartitions(7)).foreachRDD(see)

        expected = Life(path + "-other", build, BATCHES).run(8)
        first = Life(path, build, BATCHES).run(2)
        second = Life(path, other, BATCHES, now=2.5).run(2)
        third = Life(path, other, BATCHES, now=4.5).run(4)
        found = {time: sorted(records) for time, records in {**first, **second, **third}.items()}
        assert found == {time: sorted(records) for time, records in expected.items()}

    def test_what_the_new_program_does_not_have_is_dropped(self, path: str) -> None:
        def both(stream: DStream, see: Callable[..., Any]) -> None:
            totals(stream, see)
            window(stream, lambda rdd: rdd.count())

        Life(path, both, BATCHES).run(2)
        Life(path, totals, BATCHES, now=2.5).run(1)
        loaded = Journal(LocalStorage(), path).load()
        assert loaded is not None
        assert list(loaded.image.operators) == ["updateStateByKey-1"]


class TestTimeThatPassedMeanwhile:
    def test_a_window_that_still_holds_something_runs(self, path: str) -> None:
        expected = Life(path + "-other", window, BATCHES[:2]).run(10)
        Life(path, window, BATCHES[:2]).run(2)
        life = Life(path, window, BATCHES[:2], now=9.5)
        seen = life.run(1)
        assert seen == {time: expected[time] for time in (3.0, 4.0, 10.0)}

    def test_a_timeout_runs_at_its_batch_time(self, path: str) -> None:
        expected = Life(path + "-other", latest, BATCHES[:2]).run(10)
        Life(path, latest, BATCHES[:2]).run(2)
        seen = Life(path, latest, BATCHES[:2], now=9.5).run(1)
        assert seen == {5.0: expected[5.0], 10.0: []}
        assert sorted(seen[5.0]) == [("gone", "a", 3), ("gone", "b", 2)]

    def test_a_day_without_anything_costs_nothing(self, path: str) -> None:
        Life(path, totals, BATCHES).run(2)
        life = Life(path, totals, BATCHES, now=86_400.5)
        seen = life.run(1)
        assert {time: sorted(records) for time, records in seen.items()} == {86_401.0: [("a", 8), ("b", 2)]}

    def test_files_that_came_meanwhile_are_taken_once(self, path: str, tmp_path: Path) -> None:
        inbox = tmp_path / "in"
        inbox.mkdir()
        (inbox / "old.txt").write_text("before\n")
        seen: list[list[str]] = []

        def life(now: float, *names: str) -> None:
            steps = [partial((inbox / name).write_text, f"{name}\n") for name in names]
            follow(path, inbox, now, steps, lambda rdd: seen.append(rdd.collect()))

        life(0.5, "a", "b")
        (inbox / "c").write_text("c\n")
        (inbox / "d").write_text("d\n")
        life(7.5, "e")
        life(9.5, "f")
        assert seen == [["a"], ["b"], ["c", "d", "e"], ["f"]]


class TestFailures:
    def test_a_batch_that_fails_is_run_again(self, path: str) -> None:
        attempts: list[float] = []

        def sometimes(stream: DStream, see: Callable[..., Any]) -> None:
            def flaky(time: Any, rdd: RDD) -> None:
                attempts.append(time.timestamp())
                if attempts == [1.0]:
                    raise OSError("busy")
                see(time, rdd)

            stream.updateStateByKey(lambda values, state: sum(values) + (state or 0), 2).foreachRDD(flaky)

        infos: list[Any] = []

        class Infos(StreamingListener):
            def onBatchCompleted(self, batchCompleted: Any) -> None:
                infos.append(batchCompleted.batchInfo)

        life = Life(path, sometimes, BATCHES)
        life.ssc.addStreamingListener(Infos())
        seen = life.run(2)
        assert [info.failureReason for info in infos] == [None, None]
        assert [info.stateOperatorInfos[0].numTouched for info in infos] == [1, 2]
        assert [list(info.outputOperationInfos) for info in infos] == [[0], [0]]
        assert attempts == [1.0, 1.0, 2.0]
        assert {time: sorted(records) for time, records in seen.items()} == {
            1.0: [("a", 1)],
            2.0: [("a", 4), ("b", 2)],
        }

    def test_then_all_stops_and_the_next_run_does_it(self, path: str) -> None:
        broken = [True]

        def fails(stream: DStream, see: Callable[..., Any]) -> None:
            def flaky(time: Any, rdd: RDD) -> None:
                if broken[0] and time.timestamp() == 2.0:
                    raise OSError("gone")
                see(time, rdd)

            stream.updateStateByKey(lambda values, state: sum(values) + (state or 0), 2).foreachRDD(flaky)

        life = Life(path, fails, BATCHES)
        with pytest.raises(OSError, match="gone"):
            life.run(2)
        assert life.ssc.driver.halted
        broken[0] = False
        seen = Life(path, fails, BATCHES, now=2.5).run(1)
        assert sorted(seen[2.0]) == [("a", 4), ("b", 2)]
        assert sorted(seen[3.0]) == [("a", 8), ("b", 2)]

    def test_skip_gives_the_output_up_and_records_it(self, path: str, sc: Context) -> None:
        sc.conf.set("penstock.streaming.onFailure", "skip")

        def fails(stream: DStream, see: Callable[..., Any]) -> None:
            def flaky(time: Any, rdd: RDD) -> None:
                if time.timestamp() == 2.0:
                    raise OSError("gone")
                see(time, rdd)

            state = stream.updateStateByKey(lambda values, state: sum(values) + (state or 0), 1)
            state.foreachRDD(flaky)

        seen = Life(path, fails, BATCHES).run(3)
        assert list(seen) == [1.0, 3.0]
        assert seen[3.0] == [("a", 8), ("b", 2)]
        loaded = Journal(LocalStorage(), path).load()
        assert loaded is not None
        (lost,) = loaded.image.lost
        assert (lost["time"], lost["output"], lost["error"]) == (2000, 0, "OSError: gone")
        assert lost["site"].startswith("foreachRDD")
        assert lost["records"] == [[{"tuple": ["a", 4]}, {"tuple": ["b", 2]}]]

    def test_skip_of_a_batch_that_cannot_be_computed(self, path: str, sc: Context) -> None:
        sc.conf.set("penstock.streaming.onFailure", "skip")

        def poisoned(stream: DStream, see: Callable[..., Any]) -> None:
            checked = stream.map(lambda pair: (pair[0], 1 // (pair[1] - 2)))
            checked.updateStateByKey(lambda values, state: sum(values) + (state or 0), 1).foreachRDD(see)

        seen = Life(path, poisoned, [[("a", 3)], [("a", 2)], [("a", 3)]]).run(3)
        assert seen == {1.0: [("a", 1)], 3.0: [("a", 2)]}
        loaded = Journal(LocalStorage(), path).load()
        assert loaded is not None
        assert [(lost["time"], lost["records"]) for lost in loaded.image.lost] == [(2000, None)]
        again = Life(path, poisoned, [[("a", 3)], [("a", 2)], [("a", 3)], [("a", 3)]], now=3.5).run(1)
        assert again == {4.0: [("a", 3)]}

    def test_skip_needs_recovery(self, sc: Context) -> None:
        sc.conf.set("penstock.streaming.onFailure", "skip")
        ssc = StreamingContext(sc, 1, clock=ManualClock())
        ssc.queueStream([[1]]).pprint()
        with pytest.raises(ArgumentError, match=r"onFailure is skip, .* nothing is recorded"):
            ssc.start()


class TestWhatIsThere:
    def test_a_program_that_begins_anew_moves_it_aside(self, path: str, sc: Context) -> None:
        Life(path, totals, BATCHES).run(2)
        for _ in range(2):
            clock = ManualClock()
            ssc = StreamingContext(sc, 1, clock=clock)
            seen: list[Any] = []
            ssc.queueStream(BATCHES).updateStateByKey(
                lambda values, state: sum(values) + (state or 0), 1
            ).foreachRDD(lambda rdd, seen=seen: seen.append(rdd.collect()))
            ssc.checkpoint(path)
            with Stepper(ssc, clock) as stepper:
                stepper.step()
            assert seen == [[("a", 1)]]
        assert (Path(path) / "aside" / "journal").is_dir()

    def test_another_batch_interval_is_refused(self, path: str, sc: Context) -> None:
        Life(path, totals, BATCHES).run(2)

        def setup() -> StreamingContext:
            ssc = StreamingContext(sc, 2, clock=ManualClock())
            ssc.queueStream(BATCHES).pprint()
            return ssc

        ssc = StreamingContext.getOrCreate(path, setup, upgrade=True)
        with pytest.raises(ArgumentError, match=r"is of batches of 1 s, not 2 s"):
            ssc.start()

    def test_two_streams_of_one_name(self, path: str) -> None:
        def twice(stream: DStream, see: Callable[..., Any]) -> None:
            for _ in range(2):
                stream.updateStateByKey(lambda values, state: state, 1).name("same").foreachRDD(see)

        with pytest.raises(ArgumentError, match=r"two streams have the name 'same'"):
            Life(path, twice, BATCHES).run(1)

    def test_functions_that_cannot_be_stored(self, path: str) -> None:
        lock = threading.Lock()

        def locked(stream: DStream, see: Callable[..., Any]) -> None:
            stream.foreachRDD(lambda rdd: lock.acquire(blocking=False) and lock.release())

        with pytest.raises(ArgumentError, match=r"cannot be pickled: TypeError: .*lock.*upgrade=True"):
            Life(path, locked, BATCHES, upgrade=False).run(1)
        Life(path + "-2", locked, BATCHES).run(1)
        with pytest.raises(StateError, match=r"holds a checkpoint, but not the program's graph"):
            Life(path + "-2", locked, BATCHES, upgrade=False)

    @pytest.mark.skipif(os.name != "posix", reason="needs the owners and modes of POSIX")
    @pytest.mark.parametrize("name", ["", "program.pickle"])
    def test_what_others_may_write_is_not_unpickled(self, path: str, name: str) -> None:
        Life(path, lambda stream, see: stream.count().pprint(0), BATCHES, upgrade=False).run(1)
        os.chmod(Path(path) / name, 0o777)
        with pytest.raises(CorruptCheckpoint, match=r"others may write to it.*pickled.*chmod go-w"):
            Life(path, totals, BATCHES, upgrade=False)

    @pytest.mark.skipif(os.name != "posix", reason="needs the owners and modes of POSIX")
    def test_state_that_is_pickled_is_not_read_either(
        self, path: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        def sets(stream: DStream, see: Callable[..., Any]) -> None:
            stream.updateStateByKey(lambda values, state: {*values, *(state or ())}, 1).foreachRDD(see)

        Life(path, sets, BATCHES).run(2)
        os.chmod(Path(path) / "journal", 0o777)
        with pytest.raises(CorruptCheckpoint, match=r"journal .*others may write"):
            Life(path, sets, BATCHES, now=2.5).run(1)
        shared = Path(path + "-shared")
        shared.mkdir()
        (shared / "notes.txt").touch()
        shared.chmod(0o777)
        Life(str(shared), sets, BATCHES).run(1)
        assert "state that is no columns will not be read back" in caplog.text
        os.chmod(Path(path) / "journal", 0o700)
        assert Life(path, sets, BATCHES, now=2.5).run(1) == {3.0: [("a", {1, 3, 4}), ("b", {2})]}


class Salted:
    """A key whose hash is another one in each process."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Salted) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)


@pytest.mark.parametrize("build", [totals, window, latest])
def test_keys_that_another_process_would_not_find_are_refused(path: str, build: Any) -> None:
    batches: list[Any] = [[("a", 1)], [(Salted("b"), 1)]]
    with pytest.raises(KeyTypeError, match="Salted"):
        Life(path, build, batches).run(2)


def test_the_directory_may_be_a_setting(path: str, sc: Context) -> None:
    sc.conf.set("spark.streaming.checkpoint.directory", path)
    clock = ManualClock()
    ssc = StreamingContext(sc, 1, clock=clock)
    ssc.queueStream([[1]]).foreachRDD(lambda rdd: rdd.count())
    with Stepper(ssc, clock) as stepper:
        stepper.step()
    loaded = Journal(LocalStorage(), path).load()
    assert loaded is not None
    assert loaded.image.committed_ms == 1000


@pytest.mark.parametrize("build", [totals, window, latest])
def test_a_store_that_is_no_disk(build: Any, request: pytest.FixtureRequest) -> None:
    """Every write is a file of its own there, and files are made only if they are not there."""
    path = f"memory://recovery/{request.node.name}"
    expected = Life(path + "-other", build, BATCHES).run(8)
    first = Life(path, build, BATCHES).run(3)
    second = Life(path, build, BATCHES, now=3.5).run(5)
    assert {**first, **second} == expected


def slow_plan(plan: Callable[[Any], Any], started: threading.Event) -> Any:
    """Says that the run has begun when its first batch is planned."""

    def planned(time: Any) -> Any:
        started.set()
        return plan(time)

    return planned


def test_a_store_that_takes_its_time(path: str, sc: Context) -> None:
    """While a write of the checkpoint hangs, batches are planned and wait; then they run in their order."""
    started, hangs, go_on = threading.Event(), threading.Event(), threading.Event()

    def before(call: Call) -> None:
        if call.operation == "append" and started.is_set() and not go_on.is_set():
            hangs.set()
            assert go_on.wait(30)

    slow = FaultyStorage(LocalStorage(), before=before)
    seen: list[list[int]] = []
    with wrapping(lambda storage: slow):
        ssc = StreamingContext(sc, 0.02)
        ssc.queueStream([[n] for n in range(5)]).foreachRDD(lambda rdd: seen.append(rdd.collect()))
        ssc.checkpoint(path)
        ssc.graph.inputs[0].source.plan = slow_plan(ssc.graph.inputs[0].source.plan, started)
        ssc.start()
        assert hangs.wait(30)
        with ssc.driver._changed:
            ssc.driver._changed.wait_for(lambda: ssc.driver._machine.waiting >= 4, 30)
        assert seen == []
        go_on.set()
        ssc.stop(stopSparkContext=False, stopGraceFully=True)
    assert seen[:5] == [[n] for n in range(5)]
    loaded = Journal(LocalStorage(), path).load()
    assert loaded is not None
    assert loaded.image.planned == {}


class TestOwners:
    def test_of_two_that_go_on_the_first_stops(self, path: str) -> None:
        """The first is paused before its second batch, the other takes over, the first comes back."""
        first = Life(path, totals, BATCHES)
        with Stepper(first.ssc, first.clock) as stepper:
            stepper.step()
            StreamingContext.__mro__[1]._active = None  # as another process sees it
            second = Life(path, totals, BATCHES, now=1.5)
            with Stepper(second.ssc, second.clock) as other:
                other.step()
                with pytest.raises(CheckpointTaken, match=r"another run goes on from this checkpoint"):
                    stepper.step()
                other.step()
        assert list(first.seen) == [1.0]
        assert {time: sorted(records) for time, records in second.seen.items()} == {
            2.0: [("a", 4), ("b", 2)],
            3.0: [("a", 8), ("b", 2)],
        }

    def test_what_the_first_wrote_too_late_does_not_count(self, path: str) -> None:
        first = Life(path, totals, BATCHES)
        journal = Journal(LocalStorage(), path)
        with Stepper(first.ssc, first.clock) as stepper:
            stepper.step()
            before = journal.load()
            StreamingContext.__mro__[1]._active = None
            second = Life(path, totals, BATCHES, now=1.5)
            with Stepper(second.ssc, second.clock):
                with pytest.raises(CheckpointTaken):
                    stepper.step()
                found = journal.load()
        assert before is not None
        assert found is not None
        assert found.image.committed_ms == before.image.committed_ms == 1000
        assert found.image.last_ms == 1000


class TestDamage:
    def files(self, path: str) -> list[Path]:
        return sorted((Path(path) / "journal").iterdir())

    def test_a_record_that_was_not_written_to_its_end(
        self, path: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        Life(path, totals, BATCHES).run(2)
        (file,) = self.files(path)
        content = file.read_bytes().rstrip(b"\0")
        file.write_bytes(content[:-9])
        seen = Life(path, totals, BATCHES, now=2.5).run(1)
        assert sorted(seen[2.0]) == [("a", 4), ("b", 2)]
        assert sorted(seen[3.0]) == [("a", 8), ("b", 2)]
        assert any(
            "its last frame is cut off" in message and "done again" in message for message in caplog.messages
        )

    def test_a_record_in_the_middle(self, path: str, caplog: pytest.LogCaptureFixture) -> None:
        Life(path, totals, BATCHES).run(2)
        Life(path, totals, BATCHES, now=2.5).run(1)
        first = self.files(path)[0]
        content = bytearray(first.read_bytes())
        at = len(content.rstrip(b"\0")) - 20
        content[at] ^= 1
        first.write_bytes(bytes(content))
        life = Life(path, totals, BATCHES, now=3.5)
        seen = life.run(1)
        assert any("left out, and the batches it was about are run again" in m for m in caplog.messages)
        assert sorted(seen[2.0]) == [("a", 4), ("b", 2)]

    def test_the_newest_snapshot(self, path: str, sc: Context, caplog: pytest.LogCaptureFixture) -> None:
        sc.conf.set("penstock.checkpoint.compactBytes", "1b")
        expected = Life(path + "-other", totals, BATCHES).run(6)
        Life(path, totals, BATCHES).run(4)
        newest = sorted((Path(path) / "snapshots").iterdir())[-1]
        newest.write_bytes(newest.read_bytes()[:-30])
        caplog.clear()
        assert Life(path, totals, BATCHES, now=4.5).run(2) == {time: expected[time] for time in (5.0, 6.0)}
        assert any("a snapshot cannot be used" in message for message in caplog.messages)

    def test_nothing_that_is_good(self, path: str) -> None:
        Life(path, totals, BATCHES).run(2)
        (file,) = self.files(path)
        file.write_bytes(b"PNSTK\x01\0\0" + b"\x01" * 50)
        with pytest.raises(
            CorruptCheckpoint, match=r"nothing of the checkpoint can be gone on from: .*0001\.log"
        ):
            Life(path, totals, BATCHES, now=2.5).run(1)


def test_snapshots_and_files_stay_few(path: str, sc: Context) -> None:
    sc.conf.set("penstock.checkpoint.compactBytes", "1k")
    Life(path, totals, [[("a", 1)]] * 100).run(100)
    assert len(list((Path(path) / "snapshots").iterdir())) <= 2
    assert len(list((Path(path) / "journal").iterdir())) <= 3
    assert Life(path, totals, [[("a", 1)]] * 101, now=100.5).run(1) == {101.0: [("a", 101)]}


SCRIPT = """
import os
import subprocess
import sys
import sys
from dataclasses import dataclass

from penstock import SparkContext, StreamingContext, StateSpec

folder, mode = sys.argv[1], sys.argv[2]


@dataclass(frozen=True)
class Seen:
    count: int
    last: str


def setup():
    print("setup")
    sc = SparkContext("local[2]", "words")
    ssc = StreamingContext(sc, 1)
    words = ssc.textFileStream(folder + "/in", newFilesOnly=False, maxFilesPerBatch=1).flatMap(str.split)

    def note(word, line, state):
        seen = state.getOption() or Seen(0, "")
        state.update(Seen(seen.count + 1, word.upper()))
        return f"{word} {state.get().count} {state.get().last}"

    noted = words.map(lambda word: (word, word)).mapWithState(StateSpec.function(note).numPartitions(1))
    noted.saveAsTextFiles(folder + "/out/words")

    def end(time, rdd):
        if os.path.exists(folder + "/kill") and rdd.count() == 3:
            os.kill(os.getpid(), 9)

    words.foreachRDD(end)
    return ssc


ssc = StreamingContext.getOrCreate(folder + "/checkpoint", setup, upgrade=mode == "upgrade")
ssc.start(availableNow=True)
ssc.awaitTermination()
"""


@pytest.mark.skipif(os.name != "posix", reason="needs the signals of POSIX")
@pytest.mark.parametrize("mode", ["stored", "upgrade"])
def test_a_script_that_is_killed_goes_on_when_it_is_run_again(mode: str, tmp_path: Path) -> None:
    """Functions and classes of the script itself, in a graph that is stored, or made anew."""
    script = tmp_path / "app.py"
    script.write_text(SCRIPT)
    (tmp_path / "in").mkdir()
    for number, text in enumerate(("a b", "a", "b b a", "a c")):
        (tmp_path / "in" / f"{number}.txt").write_text(f"{text}\n")
    (tmp_path / "kill").touch()
    line = [sys.executable, str(script), str(tmp_path), mode]
    killed = subprocess.run(line, capture_output=True, text=True, check=False)
    assert killed.returncode == -9, killed.stderr
    (tmp_path / "kill").unlink()
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ("setup\n" if mode == "upgrade" else "")
    written = [
        (directory / "part-00000").read_text().splitlines()
        for directory in sorted((tmp_path / "out").glob("words-*"))
    ]
    assert written == [
        ["a 1 A", "b 1 B"],
        ["a 2 A"],
        ["b 2 B", "b 3 B", "a 3 A"],
        ["a 4 A", "c 1 C"],
    ]


class TestWhatAReaderFound:
    """Programs that once lost something, or had it twice."""

    def sliding(self, stream: DStream, see: Callable[..., Any]) -> None:
        totals = stream.window(2, 2).updateStateByKey(lambda values, state: sum(values) + (state or 0), 1)
        totals.foreachRDD(see)

    @pytest.mark.parametrize("after", range(1, 8))
    def test_a_state_whose_slide_is_longer_than_the_interval(self, path: str, after: int) -> None:
        batches = [[("k", 1)]] * 9
        expected = Life(path + "-other", self.sliding, batches).run(9)
        first = Life(path, self.sliding, batches).run(after)
        second = Life(path, self.sliding, batches, now=after + 0.5).run(9 - after)
        assert {**first, **second} == expected

    def test_such_a_state_in_other_partitions(self, path: str) -> None:
        def program(partitions: int) -> Any:
            def build(stream: DStream, see: Callable[..., Any]) -> None:
                state = stream.window(2, 2).updateStateByKey(
                    lambda values, state: sum(values) + (state or 0), partitions
                )
                state.name("st").foreachRDD(see)

            return build

        batches = [[(f"k{n}", 1) for n in range(20)]] * 4 + [[("k3", 1)]] * 10
        expected = Life(path + "-other", program(1), batches).run(14)
        seen: dict[float, list[Any]] = {}
        done = 0
        for partitions, count in ((1, 4), (4, 1), (4, 3), (2, 1), (2, 5)):
            seen |= Life(path, program(partitions), batches, now=done + 0.5).run(count)
            done += count
        assert {time: sorted(found) for time, found in seen.items()} == {
            time: sorted(found) for time, found in expected.items()
        }

    def test_a_timeout_after_a_batch_that_was_given_up(self, path: str, sc: Context) -> None:
        sc.conf.set("penstock.streaming.onFailure", "skip").set("penstock.streaming.retries", 0)

        def poisoned(key: str, value: int | None, state: Any) -> Any:
            if value == -1:
                raise ValueError("poison")
            return last(key, value, state)

        def build(stream: DStream, see: Callable[..., Any]) -> None:
            stream.mapWithState(StateSpec.function(poisoned).timeout(2)).foreachRDD(see)

        batches: list[Pairs] = [[("k", 1)], [("x", 1)], [("x", 1)], [("x", -1)], [("x", 1)], [("x", 1)]]
        expected = Life(path + "-other", build, batches).run(6)
        assert ("gone", "k", 1) in expected[5.0]
        first = Life(path, build, batches).run(4)
        second = Life(path, build, batches, now=4.5).run(2)
        assert {**first, **second} == expected

    def test_what_another_run_commits_before_this_one_has_begun_counts(self, path: str) -> None:
        """The second is made and has looked; then the first does a batch; then the second begins."""
        first = Life(path, totals, BATCHES)
        with Stepper(first.ssc, first.clock) as stepper:
            stepper.step()
            second = Life(path, totals, BATCHES, now=1.5)
            load = Checkpoint.load
            calls: list[int] = []

            def between(self: Checkpoint) -> Any:
                found = load(self)
                calls.append(1)
                if len(calls) == 1:
                    stepper.step()
                return found

            StreamingContext.__mro__[1]._active = None
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Checkpoint, "load", between)
                second.ssc.start()
            with pytest.raises(CheckpointTaken):
                stepper.step()
            second.clock.set(3000)
            second.ssc.driver.tick(BatchTime(3000))
            second.ssc.driver.work()
            second.ssc.stop(stopSparkContext=False)
        assert list(first.seen) == [1.0, 2.0]
        assert sorted(second.seen[3.0]) == [("a", 8), ("b", 2)]

    @pytest.mark.parametrize("location", ["memory://revived", "local"])
    def test_a_run_that_was_paused_until_its_number_was_free_again(
        self, location: str, tmp_path: Path
    ) -> None:
        place = str(tmp_path / "revived") if location == "local" else location

        def owner(name: str) -> Checkpoint:
            made = Checkpoint(place, compact_bytes=1, threaded=False)
            made.load()
            made.claim(name)
            made.load()
            made.begin(begin_record("run", 1000, 0, {}, {}))
            return made

        paused = owner("paused")
        other = owner("other")
        for time in range(1000, 9000, 1000):
            other._journal.roll([Commit(time).record()])
            other._compact()
        assert paused._journal.number + 1 not in other._journal.numbers()
        with pytest.raises(CheckpointTaken):
            paused._journal.roll([Commit(9000).record()])
        other.commit(Commit(10_000))
        loaded = Journal(other._storage, other.path).load()
        assert loaded is not None
        assert loaded.image.committed_ms == 10_000
        for each in (paused, other):
            each.close()

    def test_a_disk_that_fails_once_is_no_damage(self, path: str) -> None:
        Life(path, totals, BATCHES).run(2)
        Life(path, totals, BATCHES, now=2.5).run(1)
        read = LocalStorage.read

        def failing(self: LocalStorage, path: str, start: int = 0, stop: int | None = None) -> bytes:
            if path.endswith("0000000002.log"):
                raise OSError(5, "Input/output error", path)
            return read(self, path, start, stop)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(LocalStorage, "read", failing)
            with pytest.raises(OSError, match="Input/output error"):
                Life(path, totals, BATCHES, now=3.5).run(1)
        assert sorted(Life(path, totals, BATCHES, now=3.5).run(1)[4.0]) == [("a", 8), ("b", 2), ("c", 1)]

    def test_a_file_that_cannot_be_appended_to_counts_all_the_same(self, path: str, sc: Context) -> None:
        sc.conf.set("penstock.checkpoint.compactBytes", "1500").set("penstock.streaming.retries", 3)

        def dropping(stream: DStream, see: Callable[..., Any]) -> None:
            def update(values: list[int], state: int | None) -> int | None:
                return sum(values) + (state or 0) or None

            stream.updateStateByKey(update, 1).foreachRDD(see)

        batches = [[(k, 1) for k in "abcdefghijklmnop"]] + [[(k, -1)] for k in "bdfhjlnp"]
        expected = Life(path + "-other", dropping, batches).run(9)
        open_log, calls = LocalStorage.open_log, [0]

        def failing(self: LocalStorage, path: str, size: int) -> Any:
            calls[0] += 1
            if calls[0] > 1:
                raise OSError(24, "Too many open files", path)
            return open_log(self, path, size)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(LocalStorage, "open_log", failing)
            first = Life(path, dropping, batches).run(6)
        assert calls[0] > 1
        second = Life(path, dropping, batches, now=6.5).run(3)
        assert {**first, **second} == expected

    def test_two_that_begin_at_once_and_find_nothing(self, path: str) -> None:
        first, second = Life(path, totals, BATCHES), Life(path, totals, BATCHES, now=2.5)
        first.run(2)
        assert sorted(second.run(1)[3.0]) == [("a", 8), ("b", 2)]
        third = Life(path + "-2", totals, BATCHES, upgrade=False)
        Life(path + "-2", totals, BATCHES).run(2)
        with pytest.raises(StateError, match="another run has begun"):
            third.run(1)

    def test_a_name_that_was_gone_is_a_new_file_after_a_restart(self, path: str, tmp_path: Path) -> None:
        inbox, seen = tmp_path / "in", []
        inbox.mkdir()

        def run(now: float, steps: list[Callable[[], object]]) -> None:
            follow(path, inbox, now, steps, lambda rdd: seen.extend(rdd.collect()))

        file = inbox / "orders.csv"
        run(0.5, [lambda: file.write_text("monday\n"), file.unlink, lambda: None])
        file.write_text("tuesday\n")
        run(3.5, [lambda: None])
        assert seen == ["monday", "tuesday"]

    def test_the_slides_of_two_windows_go_with_the_longer_one(self, path: str) -> None:
        def both(stream: DStream, see: Callable[..., Any]) -> None:
            stream.window(3, 1).name("short").foreachRDD(lambda rdd: rdd.count())
            stream.window(10, 1).name("long").foreachRDD(see)

        def one(stream: DStream, see: Callable[..., Any]) -> None:
            stream.window(10, 1).name("long").foreachRDD(see)

        Life(path, both, BATCHES).run(3)
        assert len(Life(path, one, BATCHES, now=3.5).run(1)[4.0]) == 5

    def test_available_now_takes_what_was_planned_beside_an_input_that_failed(
        self, tmp_path: Path, sc: Context
    ) -> None:
        seen: list[str] = []
        ssc = StreamingContext(sc, 1)
        for name in "AB":
            (tmp_path / name).mkdir()
            (tmp_path / name / "file").write_text(f"{name}\n")
            stream = ssc.textFileStream(str(tmp_path / name), newFilesOnly=False)
            stream.foreachRDD(lambda rdd: seen.extend(rdd.collect()))
        source = ssc.graph.inputs[1].source
        plan = source.plan
        attempts: list[int] = []

        def failing(time: Any) -> Any:
            attempts.append(1)
            if len(attempts) == 1:
                plan(time)
                raise OSError("no listing")
            return plan(time)

        source.plan = failing  # type: ignore[method-assign]
        ssc.start(availableNow=True)
        with pytest.raises(OSError, match="no listing"):
            ssc.awaitTermination()
        ssc.driver._halted.wait(10)
        assert seen == ["A"]

    def test_records_that_cannot_be_kept_do_not_keep_a_batch_from_being_given_up(
        self, path: str, sc: Context
    ) -> None:
        sc.conf.set("penstock.streaming.onFailure", "skip")

        def locks(stream: DStream, see: Callable[..., Any]) -> None:
            def out(time: Any, rdd: RDD) -> None:
                if time.timestamp() == 2.0:
                    raise ValueError("poison")
                see(time, rdd.map(lambda pair: pair[0]))

            stream.map(lambda pair: (pair[0], threading.Lock())).foreachRDD(out)

        assert list(Life(path, locks, BATCHES).run(3)) == [1.0, 3.0]

    def test_of_a_batch_that_is_given_up_what_can_be_computed_counts(self, path: str, sc: Context) -> None:
        sc.conf.set("penstock.streaming.onFailure", "skip")

        def two(stream: DStream, see: Callable[..., Any]) -> None:
            counts = stream.map(lambda pair: ("n", 1))
            counts.updateStateByKey(lambda values, state: len(values) + (state or 0), 1).foreachRDD(see)

            def poisoned(values: list[int], state: int | None) -> int:
                if 2 in values:
                    raise ValueError("poison")
                return sum(values) + (state or 0)

            stream.updateStateByKey(poisoned, 1).foreachRDD(lambda rdd: rdd.count())

        batches = [[("k", 1)], [("k", 2)], [("k", 1)]]
        seen = Life(path, two, batches).run(3)
        assert seen[3.0] == [("n", 3)]

    def test_an_old_checkpoint_stays_if_a_program_that_begins_anew_cannot_start(
        self, path: str, sc: Context
    ) -> None:
        Life(path, totals, BATCHES).run(2)
        ssc = StreamingContext(sc, 1, clock=ManualClock())
        ssc.queueStream([[1]]).pprint()
        ssc.checkpoint(path)

        def broken() -> None:
            raise OSError("no such mount")

        ssc.graph.inputs[0].source.open = broken  # type: ignore[method-assign]
        with pytest.raises(OSError, match="no such mount"):
            ssc.start()
        assert sorted(Life(path, totals, BATCHES, now=2.5).run(1)[3.0]) == [("a", 8), ("b", 2)]
