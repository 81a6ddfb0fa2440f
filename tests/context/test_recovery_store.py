"""What programs meet in the directory of their checkpoint: others, damage, other stores, other versions."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from penstock import Conf, Context, StreamingContext
from penstock.checkpoint import Journal, begin_record
from penstock.checkpoint.image import intent_record
from penstock.clock import ManualClock
from penstock.context.lifecycle import Lifecycle
from penstock.dstream import DStream
from penstock.errors import (
    ArgumentError,
    CheckpointTaken,
    CorruptCheckpoint,
    KeyTypeError,
    StateError,
)
from penstock.storage import LocalStorage, Storage
from penstock.storage.faulty import Call, Fault, FaultyStorage
from penstock.storage.remote import FsspecStorage
from penstock.storage.resolve import wrapping
from penstock.testing import Stepper
from tests.context.lives import BATCHES, Life, latest, totals, window


@pytest.fixture(autouse=True)
def sc() -> Iterator[Context]:
    with Context(conf=Conf().setMaster("local[2]").set("penstock.streaming.retries", 1)) as context:
        yield context


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "checkpoint")


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
            Lifecycle._active = None  # as another process sees it
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
            Lifecycle._active = None
            second = Life(path, totals, BATCHES, now=1.5)
            with Stepper(second.ssc, second.clock):
                with pytest.raises(CheckpointTaken):
                    stepper.step()
                found = journal.load()
        assert before is not None
        assert found is not None
        assert found.image.committed_ms == before.image.committed_ms == 1000
        assert found.image.last_ms == 1000

    @pytest.mark.parametrize(
        ("kind", "call"), [*(("growing", n) for n in range(1, 8)), *(("whole", n) for n in range(1, 5))]
    )
    def test_a_store_that_does_not_answer_for_a_moment_is_no_other_run(
        self, tmp_path: Path, kind: str, call: int
    ) -> None:
        inner: Storage = LocalStorage()
        root = str(tmp_path)
        if kind == "whole":
            inner, root = FsspecStorage(fsspec.filesystem("memory")), f"/{uuid.uuid4().hex}"
        for directory in ("journal", "snapshots"):
            inner.makedirs(f"{root}/{directory}")
        journal = Journal(FaultyStorage(inner, [Fault(call, "exists")]), root)
        journal.claim("a")
        steps: list[Callable[[], None]] = [
            lambda: journal.begin(begin_record("run", 1000, 0, {}, {}), None),
            lambda: journal.append([intent_record(1000, {}, None)]),
            lambda: journal.roll([intent_record(2000, {}, None)]),
            lambda: journal.append([intent_record(3000, {}, None)]),
        ]
        failures = 0
        for step in steps:
            try:
                step()
            except CheckpointTaken:
                raise
            except OSError:
                failures += 1
                step()
        journal.close()
        assert failures == 1
        loaded = Journal(inner, root).load()
        assert loaded is not None
        assert sorted(loaded.image.planned) == [1000, 2000, 3000]
        assert loaded.complaints == []


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
