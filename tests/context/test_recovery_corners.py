"""Programs that once lost something at a restart, or had it twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock import RDD, Conf, Context, StateSpec, StreamingContext
from penstock.checkpoint import Checkpoint, Commit, Journal, begin_record
from penstock.clock import ManualClock
from penstock.context.lifecycle import Lifecycle
from penstock.dstream import DStream
from penstock.errors import (
    CheckpointTaken,
    StateError,
)
from penstock.storage import LocalStorage
from penstock.testing import Stepper
from penstock.times import BatchTime
from tests.context.lives import BATCHES, Life, Pairs, follow, last, totals


@pytest.fixture(autouse=True)
def sc() -> Iterator[Context]:
    with Context(conf=Conf().setMaster("local[2]").set("penstock.streaming.retries", 1)) as context:
        yield context


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "checkpoint")


class TestCorners:
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

            Lifecycle._active = None
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
