"""Programs that go on from a checkpoint."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from operator import add
from pathlib import Path
from typing import Any

import pytest

from penstock import RDD, Conf, Context, StateSpec, StreamingContext, StreamingListener
from penstock.checkpoint import Journal
from penstock.clock import ManualClock
from penstock.dstream import DStream, mapped
from penstock.errors import (
    ArgumentError,
)
from penstock.state import ColumnVersion, RowVersion, TableChange, Version
from penstock.storage import LocalStorage
from penstock.testing import Stepper
from tests.context.lives import BATCHES, Life, follow, last, latest, totals, window
from tests.vectorize.test_laws_in_columns import records_in_columns


@pytest.fixture(autouse=True)
def sc() -> Iterator[Context]:
    with Context(conf=Conf().setMaster("local[2]").set("penstock.streaming.retries", 1)) as context:
        yield context


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "checkpoint")


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
        plain = mapped.version_of

        def restored(table: TableChange, *, expires: bool) -> Version:
            version = plain(table, expires=expires)
            kinds.append(type(version))
            return version

        monkeypatch.setattr(mapped, "version_of", restored)
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
