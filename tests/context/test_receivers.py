"""Receivers of a program's own: their lives, what they store, and what becomes of it after a crash."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from penstock import Conf, Context, Receiver, StorageLevel, StreamingContext
from penstock.clock import ManualClock
from penstock.errors import ArgumentError, SignatureError, StateError, UnsupportedError
from penstock.sources.receivers import receiving as receiving_module
from penstock.testing import Stepper
from tests.context.senders import WAIT_S, Program

WAL = "spark.streaming.receiver.writeAheadLog.enable"


@pytest.fixture(autouse=True)
def sc() -> Iterator[Context]:
    with Context(conf=Conf().setMaster("local[1]")) as context:
        yield context


class Scripted(Receiver):
    """Runs the functions that it is given, one in each start; the last one again and again."""

    def __init__(
        self, *scripts: Callable[[Any], object], level: StorageLevel = StorageLevel.MEMORY_AND_DISK
    ) -> None:
        super().__init__(level)
        self.scripts = scripts
        self.starts = 0
        self.stops = 0

    def onStart(self) -> None:
        script = self.scripts[min(self.starts, len(self.scripts) - 1)]
        self.starts += 1
        self.run(script, self)

    def onStop(self) -> None:
        self.stops += 1


def receiving(receiver: Receiver) -> Callable[[StreamingContext], Any]:
    return lambda ssc: ssc.receiverStream(receiver)


def idle(receiver: Receiver) -> None:
    while receiver.wait(3600):
        pass


# Storing


def test_a_stored_record_is_one_record_whatever_it_is(sc: Context) -> None:
    records = [1, "text", [1, 2], (3, 4), None, {"a": 1}, b"bytes"]

    def script(self: Any) -> None:
        for record in records:
            self.store(record)
        idle(self)

    with Program(sc, receiving(Scripted(script))) as program:
        assert program.take(7) == records


@pytest.mark.parametrize(
    ("many", "records"),
    [
        ([1, 2], [1, 2]),
        (iter("ab"), ["a", "b"]),
        ({5}, [5]),
        (pa.array([1, 2]), [1, 2]),
        (pa.array(["a", None]), ["a", None]),
        (pa.array([[1], [2, 3]]), [[1], [2, 3]]),
        (pa.chunked_array([[1.5], [2.5]]), [1.5, 2.5]),
        (pa.table({"a": [1], "b": ["x"]}), [(1, "x")]),
        ((number for number in range(100_000)), list(range(100_000))),
    ],
    ids=lambda value: type(value).__name__,
)
def test_many_records_are_a_block(sc: Context, many: Any, records: list[Any]) -> None:
    stored = threading.Event()

    def script(self: Any) -> None:
        self.storeMany(many)
        stored.set()
        idle(self)

    with Program(sc, receiving(Scripted(script))) as program:
        assert stored.wait(WAIT_S)
        program.step()
        assert program.seen == records
        assert program.heard.records[0] == len(records)
        assert program.heard.metadata[0] == {"blocks": 1}


def test_lines_are_stored_as_bytes(sc: Context) -> None:
    def script(self: Any) -> None:
        self.storeLines(b"a\r\nb\xff\n\nc")
        self.storeLines(b"")
        idle(self)

    with Program(sc, receiving(Scripted(script))) as program:
        assert program.take(4) == ["a", "b\ufffd", "", "c"]
        program.until(lambda: any(each.get("bad_utf8") == 1 for each in program.heard.metadata))


@pytest.mark.parametrize("many", ["text", b"bytes", 5, {"a": 1}])
def test_what_is_not_many_is_refused(sc: Context, many: Any) -> None:
    failed: list[BaseException] = []

    def script(self: Any) -> None:
        with pytest.raises(SignatureError, match=r"storeMany needs records.*Hint: store\(record\) takes one"):
            self.storeMany(many)
        with pytest.raises(SignatureError, match="metadata must be a dict"):
            self.storeMany([1], metadata={1: 2})
        failed.append(StateError())
        idle(self)

    with Program(sc, receiving(Scripted(script))) as program:
        program.until(lambda: failed)
        program.step()
        assert program.heard.events == [("started", "")]


def test_blocks_are_partitions_and_belong_to_the_batch_in_which_they_were_stored(sc: Context) -> None:
    go = threading.Semaphore(0)
    done = threading.Semaphore(0)

    def script(self: Any) -> None:
        while not self.isStopped():
            if go.acquire(timeout=0.01):
                self.store("x")
                done.release()

    receiver = Scripted(script)
    counts: list[int] = []

    def make(ssc: StreamingContext) -> Any:
        stream = ssc.receiverStream(receiver)
        stream.foreachRDD(lambda rdd: counts.append(rdd.getNumPartitions()))
        return stream

    with Program(sc, make) as program:
        for steps in (3, 0, 2):
            for _ in range(steps):
                go.release()
                assert done.acquire(timeout=WAIT_S)
                program.clock.advance(200)
            program.step()
    assert counts[:3] == [3, 0, 2]
    assert [len(batch) for batch in program.batches.values()][:3] == [3, 0, 2]


def test_with_one_thread_there_is_room_to_compute() -> None:
    """In real time, on ``local[1]``."""
    seen: list[Any] = []
    enough = threading.Event()

    def see(rdd: Any) -> None:
        seen.extend(rdd.collect())
        if len(seen) >= 20:
            enough.set()

    def script(self: Any) -> None:
        number = 0
        while self.wait(0.005):
            self.store(number)
            number += 1

    active = Context._active
    assert active is not None
    ssc = StreamingContext(active, 0.05)
    receiver = Scripted(script)
    ssc.receiverStream(receiver).map(lambda x: x + 1).foreachRDD(see)
    ssc.start()
    assert enough.wait(WAIT_S)
    ssc.stop(stopSparkContext=False, stopGraceFully=True)
    assert seen == list(range(1, len(seen) + 1))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("penstock-rec")]


# Lives


def test_what_a_thread_raises_restarts_the_receiver_after_the_delay(sc: Context) -> None:
    def fail(self: Any) -> None:
        self.store("before")
        raise ValueError("the line went dead")

    def go_on(self: Any) -> None:
        self.store("after")
        idle(self)

    receiver = Scripted(fail, go_on)
    with Program(sc, receiving(receiver)) as program:
        assert program.take(1) == ["before"]
        program.until(lambda: receiver.stops == 1)
        assert receiver.starts == 1
        program.clock.advance(2_000)
        assert program.take(2) == ["before", "after"]
        kinds = [kind for kind, _ in program.heard.events]
        assert kinds == ["started", "error", "started"]
        assert program.heard.events[1][1].endswith("fail failed")
        assert "ValueError: the line went dead" in program.heard.infos[0].lastError
        assert program.heard.infos[0].streamId == 0
    assert receiver.stops == 2


def test_what_onstart_raises_restarts_the_receiver(sc: Context) -> None:
    class Refusing(Receiver):
        starts = 0

        def onStart(self) -> None:
            self.starts += 1
            if self.starts < 3:
                raise ConnectionError("not yet")
            self.storeMany(["at last"])

    receiver = Refusing()
    with Program(sc, receiving(receiver)) as program:
        program.step_until(lambda: program.seen)
        assert program.seen == ["at last"]
        assert receiver.starts == 3


def test_a_restart_that_is_asked_for_has_its_own_delay(sc: Context) -> None:
    receiver = Scripted(lambda self: self.restart("for a change", delay_ms=60_000), idle)
    with Program(sc, receiving(receiver)) as program:
        program.until(lambda: receiver.stops == 1)
        program.clock.advance(59_000)
        program.step()
        assert receiver.starts == 1
        program.clock.advance(1_000)
        program.until(lambda: receiver.starts == 2)


def test_a_stopped_receiver_stays_stopped_and_what_it_stored_is_processed(sc: Context) -> None:
    def script(self: Any) -> None:
        self.store(1)
        self.stop("that was all")

    receiver = Scripted(script)
    with Program(sc, receiving(receiver)) as program:
        assert program.take(1) == [1]
        program.until(lambda: receiver.stops == 1)
        program.step_until(lambda: ("stopped", "that was all") in program.heard.events)
        assert receiver.isStopped()
        program.clock.advance(100_000)
        program.step()
        assert receiver.starts == 1


def test_a_thread_of_an_earlier_start_knows_that_it_is_over(sc: Context) -> None:
    told: list[tuple[int, bool]] = []
    release = threading.Event()

    def first(self: Any) -> None:
        self.restart("again", delay_ms=0)
        release.wait(WAIT_S)
        told.append((self.starts, self.isStopped()))

    receiver = Scripted(first, idle)
    with Program(sc, receiving(receiver)) as program:
        program.until(lambda: receiver.stops == 1)
        release.set()
        program.until(lambda: receiver.starts == 2)
        assert told == [(1, True)]
        assert receiver.isStarted()


@pytest.mark.parametrize("where", ["onStart", "a thread"])
def test_sys_exit_restarts_the_receiver(sc: Context, where: str) -> None:
    class Exiting(Receiver):
        starts = 0

        def onStart(self) -> None:
            self.starts += 1
            if where == "onStart":
                sys.exit("enough")
            self.run(sys.exit, "enough")

    receiver = Exiting()
    with Program(sc, receiving(receiver)) as program:
        program.step_until(lambda: receiver.starts == 3)
        assert "SystemExit: enough" in program.heard.infos[0].lastError


def test_a_thread_that_cannot_begin_restarts_the_receiver(
    sc: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = threading.Thread.start
    refusals = iter([True, False])

    def start(self: threading.Thread) -> None:
        if self.name.startswith("penstock-received") and next(refusals):
            raise RuntimeError("can't start new thread")
        begin(self)

    def script(self: Any) -> None:
        self.storeMany(["here"])

    monkeypatch.setattr(threading.Thread, "start", start)
    with Program(sc, receiving(Scripted(script))) as program:
        assert program.take(1) == ["here"]
        assert "can't start new thread" in program.heard.infos[0].lastError


def test_a_receiver_that_is_stopped_while_it_waits_for_a_new_start_does_not_start(sc: Context) -> None:
    receiver = Scripted(lambda self: self.restart("once more", delay_ms=60_000))
    with Program(sc, receiving(receiver)) as program:
        program.step_until(lambda: program.heard.infos)  # so it waits
        receiver.stop("no, not once more")
        program.step_until(lambda: ("stopped", "no, not once more") in program.heard.events)
        program.clock.advance(60_000)
        program.step()
        assert receiver.starts == 1


def test_a_receiver_that_is_not_running_says_so() -> None:
    receiver = Scripted(idle)
    for call in (lambda: receiver.store(1), lambda: receiver.restored, lambda: receiver.stop("x")):
        with pytest.raises(StateError, match="its context has not started it yet"):
            call()
    assert receiver.isStopped()
    assert not receiver.isStarted()


def test_errors_that_are_reported_reach_the_listener(sc: Context, caplog: pytest.LogCaptureFixture) -> None:
    def script(self: Any) -> None:
        self.reportError("a hiccup", ValueError("bad"))
        idle(self)

    with Program(sc, receiving(Scripted(script))) as program:
        program.step_until(lambda: program.heard.infos)
        assert program.heard.events[1] == ("error", "a hiccup")
        assert program.heard.infos[0].active
    assert "receiver Scripted: a hiccup: ValueError: bad" in caplog.text


@pytest.mark.parametrize("blocked", ["in its wait", "at the rate", "at the cap"])
def test_the_end_does_not_wait_for_a_receiver_that_waits(blocked: str) -> None:
    conf = Conf().setMaster("local[1]")
    if blocked == "at the rate":
        conf.set("spark.streaming.receiver.maxRate", 1)
    if blocked == "at the cap":
        conf.set("penstock.streaming.maxWaitingBytes", 10)
    Context._active and Context._active.stop()
    calls = 0

    def script(self: Any) -> None:
        nonlocal calls
        while not self.isStopped():
            if blocked == "in its wait":
                self.wait(3600)
            calls += 1
            self.store("x" * 100)

    with Context(conf=conf) as context:
        program = Program(context, receiving(Scripted(script)))
        with program:
            if blocked != "in its wait":
                program.until(lambda: calls == 2)
        left = [thread.name for thread in threading.enumerate() if thread.name.startswith("penstock")]
        assert not [name for name in left if "rec" in name or "blocks" in name]


def test_a_graceful_stop_processes_all_that_was_stored() -> None:
    """In real time: the batch of a minute is not waited for."""
    seen: list[int] = []
    stored = threading.Event()

    def script(self: Any) -> None:
        for number in range(1_000):
            self.store(number)
        stored.set()
        while not self.isStopped():
            self.wait(3600)
        self.store("its last words")

    active = Context._active
    assert active is not None
    ssc = StreamingContext(active, 60)
    ssc.receiverStream(Scripted(script)).foreachRDD(lambda rdd: seen.extend(rdd.collect()))
    ssc.start()
    assert stored.wait(WAIT_S)
    ssc.stop(stopSparkContext=False, stopGraceFully=True)
    assert seen == [*range(1_000), "its last words"]


def test_a_graceful_stop_asked_for_within_a_batch() -> None:
    seen: list[int] = []

    def script(self: Any) -> None:
        number = 0
        while self.wait(0.001):
            self.store(number)
            number += 1

    active = Context._active
    assert active is not None
    ssc = StreamingContext(active, 0.05)

    def see(rdd: Any) -> None:
        seen.extend(rdd.collect())
        if len(seen) > 20:
            ssc.stop(stopSparkContext=False, stopGraceFully=True)

    ssc.receiverStream(Scripted(script)).foreachRDD(see)
    ssc.start()
    assert ssc.awaitTerminationOrTimeout(WAIT_S)
    assert seen == list(range(len(seen)))


def test_a_receiver_may_ask_for_the_graceful_stop_itself(caplog: pytest.LogCaptureFixture) -> None:
    active = Context._active
    assert active is not None
    ssc = StreamingContext(active, 0.05)
    seen: list[int] = []

    def script(self: Any) -> None:
        for number in range(100):
            self.store(number)
        ssc.stop(stopSparkContext=False, stopGraceFully=True)

    ssc.receiverStream(Scripted(script)).foreachRDD(lambda rdd: seen.extend(rdd.collect()))
    ssc.start()
    assert ssc.awaitTerminationOrTimeout(WAIT_S)
    assert seen == list(range(100))
    assert "does not come to an end" not in caplog.text


def test_onstart_may_ask_for_the_end(sc: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving_module, "_JOIN_S", WAIT_S)
    ssc = StreamingContext(sc, 0.05)
    started = threading.Event()

    class Unwilling(Receiver):
        def onStart(self) -> None:
            started.wait(WAIT_S)
            self.storeMany([1, 2])
            ssc.stop(stopSparkContext=False, stopGraceFully=True)

    seen: list[int] = []
    ssc.receiverStream(Unwilling()).foreachRDD(lambda rdd: seen.extend(rdd.collect()))
    ssc.start()
    started.set()
    assert ssc.awaitTerminationOrTimeout(WAIT_S)
    assert seen == [1, 2]


def test_available_now_is_refused(sc: Context) -> None:
    ssc = StreamingContext(sc, 1)
    ssc.receiverStream(Scripted(idle)).pprint()
    with pytest.raises(
        UnsupportedError, match=r"has no end.*Hint: start\(\), and stop\(stopGraceFully=True\)"
    ):
        ssc.start(availableNow=True)


def test_arguments(sc: Context) -> None:
    ssc = StreamingContext(sc, 1)
    with pytest.raises(SignatureError, match="receiverStream needs a Receiver, not str"):
        ssc.receiverStream("receiver")  # type: ignore[arg-type]
    with pytest.raises(SignatureError, match="a Receiver needs a StorageLevel"):
        Scripted(idle, level="disk")  # type: ignore[arg-type]
    receiver = Scripted(idle)
    ssc.receiverStream(receiver)
    with pytest.raises(ArgumentError, match="has a stream already"):
        ssc.receiverStream(receiver)


# Crashes


def counting(first: int, stop: int, done: threading.Event) -> Callable[[Any], None]:
    """Stores numbers, one block each, from where it was."""

    def script(self: Any) -> None:
        for number in range(max(first, self.restored.get("next", 0)), stop):
            self.storeMany([number], metadata={"next": number + 1})
        done.set()
        idle(self)

    return script


def logged() -> Context:
    Context._active and Context._active.stop()
    return Context(conf=Conf().setMaster("local[1]").set(WAL, "true"))


def test_a_log_needs_a_checkpoint() -> None:
    with logged() as context:
        ssc = StreamingContext(context, 1)
        ssc.receiverStream(Scripted(idle)).pprint()
        with pytest.raises(
            ArgumentError, match=r"there is none\. Hint: ssc\.checkpoint\(directory\), or .*=false"
        ):
            ssc.start()


def test_with_a_log_nothing_that_was_stored_is_lost_and_nothing_is_there_twice(tmp_path: Path) -> None:
    with logged() as context:
        seen: list[int] = []
        for life in range(5):
            done = threading.Event()
            receiver = Scripted(counting(0, 10 * (life + 1), done))
            program = Program(
                context, receiving(receiver), path=str(tmp_path / "cp"), now_ms=life * 10_000 + 500
            )
            with program:
                assert done.wait(WAIT_S)
                if life % 2:
                    program.step()
            seen += program.seen
        program = Program(context, receiving(Scripted(idle)), path=str(tmp_path / "cp"), now_ms=60_500)
        with program:
            program.step()
            assert program.receiver.restored == {"next": 50}
        seen += program.seen
        assert seen == list(range(50))


def test_the_metadata_outlives_the_files_of_the_log(tmp_path: Path) -> None:
    with logged() as context:
        done = threading.Event()
        path = str(tmp_path / "cp")
        with Program(context, receiving(Scripted(counting(0, 7, done))), path=path) as program:
            assert done.wait(WAIT_S)
            program.step()
            program.step()
        with Program(context, receiving(Scripted(idle)), path=path, now_ms=10_500) as program:
            program.step()
            assert not list((tmp_path / "cp" / "receivedData").rglob("*.blocks"))
        with Program(context, receiving(Scripted(idle)), path=path, now_ms=20_500) as program:
            assert program.receiver.restored == {"next": 7}


def test_the_log_of_an_earlier_run_is_read_also_if_this_run_keeps_none(tmp_path: Path) -> None:
    path = str(tmp_path / "cp")
    with logged() as context:
        done = threading.Event()
        with Program(context, receiving(Scripted(counting(0, 3, done))), path=path):
            assert done.wait(WAIT_S)
    with (
        Context("local[1]", "without") as context,
        Program(context, receiving(Scripted(idle)), path=path, now_ms=5_500) as program,
    ):
        assert program.take(3) == [0, 1, 2]


def test_a_program_that_begins_anew_sets_the_log_aside(tmp_path: Path) -> None:
    path = str(tmp_path / "cp")
    with logged() as context:
        done = threading.Event()
        with Program(context, receiving(Scripted(counting(0, 3, done))), path=path):
            assert done.wait(WAIT_S)

        def anew(ssc: StreamingContext) -> Any:
            ssc.checkpoint(path)
            return ssc.receiverStream(Scripted(counting(0, 2, again)))

        again = threading.Event()
        with Program(context, anew, now_ms=5_500) as program:
            assert again.wait(WAIT_S)
            program.step()
            assert program.seen == [0, 1]
        assert list((tmp_path / "cp" / "aside" / "receivedData").rglob("*.blocks"))


def test_a_batch_that_fails_for_good_keeps_its_input_for_the_next_run(tmp_path: Path) -> None:
    path, broken = str(tmp_path / "cp"), True

    def make(ssc: StreamingContext) -> Any:
        def check(number: int) -> int:
            if broken and number == 4:
                raise ValueError("not today")
            return number

        done.clear()
        return ssc.receiverStream(Scripted(counting(0, 6, done))).map(check)

    done = threading.Event()
    with logged() as context:
        context.conf.set("penstock.streaming.retries", 0)
        program = Program(context, make, path=path)
        with program, pytest.raises(ValueError, match="not today"):
            assert done.wait(WAIT_S)
            try:
                program.step()
            finally:
                assert len(program.source._made().blocks(0, 6)) == 6
        assert list((tmp_path / "cp" / "receivedData").rglob("*.blocks"))
        broken = False
        with Program(context, make, path=path, now_ms=5_500) as program:
            assert program.take(6) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("recorded", [False, True])
def test_an_input_that_failed_to_plan_does_not_cost_the_other_one_its_blocks(
    tmp_path: Path, recorded: bool
) -> None:
    with logged() as context:
        context.conf.set(WAL, str(recorded).lower())
        done = threading.Event()
        fails = True

        def make(ssc: StreamingContext) -> Any:
            if recorded:
                ssc.checkpoint(str(tmp_path / "cp"))
            stream = ssc.receiverStream(Scripted(counting(0, 3, done)))
            other = ssc.queueStream([[10], [11]])
            source: Any = ssc.graph.inputs[1].source
            plan = source.plan

            def failing(time: Any) -> Any:
                if fails:
                    raise OSError("for a moment")
                return plan(time)

            source.plan = failing
            return stream.union(other)

        with Program(context, make) as program:
            assert done.wait(WAIT_S)
            with pytest.raises(OSError, match="for a moment"):
                program.step()
            program.ssc.driver.error = None
            fails = False
            program.step()
            assert sorted(program.seen) == [0, 1, 2, 10]


def test_a_graceful_stop_processes_what_was_planned_beside_an_input_that_failed(sc: Context) -> None:
    done = threading.Event()
    failures = iter([OSError("for a moment")])

    def make(ssc: StreamingContext) -> Any:
        stream = ssc.receiverStream(Scripted(counting(0, 3, done)))
        other = ssc.queueStream([[10], [11]])
        source: Any = ssc.graph.inputs[1].source
        plan = source.plan

        def failing(time: Any) -> Any:
            for error in failures:
                raise error
            return plan(time)

        source.plan = failing
        return stream.union(other)

    with Program(sc, make) as program:
        assert done.wait(WAIT_S)
        with pytest.raises(OSError, match="for a moment"):
            program.step()
        program.ssc.stop(stopSparkContext=False, stopGraceFully=True)
        assert sorted(program.seen) == [0, 1, 2, 10]


def test_metadata_that_cannot_be_written_is_refused(sc: Context, tmp_path: Path) -> None:
    def script(self: Any) -> None:
        with pytest.raises(SignatureError, match="metadata must be plain values: TypeError: cannot pickle"):
            self.storeMany([1], {"at": threading.Lock()})
        self.storeMany([2], {"at": 2})

    with Program(sc, receiving(Scripted(script)), path=str(tmp_path / "cp")) as program:
        assert program.take(1) == [2]


@pytest.mark.parametrize("name", ["..", ".", "a/../../b", "x" * 300])
def test_the_log_of_an_input_lies_in_its_own_directory(tmp_path: Path, name: str) -> None:
    done = threading.Event()
    with logged() as context:
        path = tmp_path / "cp"
        stream = counting(0, 3, done)
        with Program(
            context, lambda ssc: ssc.receiverStream(Scripted(stream)).name(name), path=str(path)
        ) as program:
            assert done.wait(WAIT_S)
            [file] = path.rglob("*.blocks")
            assert file.parent.parent == path / "receivedData"
            assert program.take(3) == [0, 1, 2]


def test_a_name_that_another_kind_of_input_had_is_refused(sc: Context, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()

    def files(ssc: StreamingContext) -> Any:
        return ssc.textFileStream(str(tmp_path / "in")).name("orders")

    def received(ssc: StreamingContext) -> Any:
        return ssc.receiverStream(Scripted(idle)).name("orders")

    for number, (before, after) in enumerate([(files, received), (received, files)]):
        path = str(tmp_path / f"cp{number}")
        with Program(sc, before, path=path) as program:
            program.step()
        with (
            pytest.raises(
                ArgumentError, match=r"input orders was .* cannot go on from there\. Hint: give it"
            ),
            Program(sc, after, path=path, now_ms=5_500),
        ):
            pass


def test_without_a_log_a_batch_that_is_run_again_says_what_it_lacks(
    sc: Context, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, broken = str(tmp_path / "cp"), True

    def make(ssc: StreamingContext) -> Any:
        def check(number: int) -> int:
            if broken:
                raise ValueError("the machine goes down")
            return number

        done.clear()
        return ssc.receiverStream(Scripted(counting(0, 4, done))).map(check)

    done = threading.Event()
    sc.conf.set("penstock.streaming.retries", 0)
    with Program(sc, make, path=path) as program, pytest.raises(ValueError, match="goes down"):
        assert done.wait(WAIT_S)
        program.step()
    assert "what has been received and not processed is lost if the program dies" in caplog.text
    broken = False
    caplog.clear()
    with Program(sc, make, path=path, now_ms=5_500) as program:
        program.step()
        assert program.seen == []
        assert program.heard.metadata[0]["lost_blocks"] == 4
        assert program.heard.metadata[0]["lost_records"] == 4
        assert program.heard.records[0] == 0
    assert "is run again without 4 of its records" in caplog.text


def test_a_stored_program_has_its_receiver(tmp_path: Path) -> None:
    """``getOrCreate`` without ``upgrade`` pickles the graph, receiver included."""
    path = str(tmp_path / "cp")
    with logged() as context:
        with Program(context, lambda ssc: ssc.receiverStream(Ticks()), path=path, upgrade=False) as program:
            program.take(1)
        clock = ManualClock(20_500)
        loaded = StreamingContext.getOrCreate(path, lambda: pytest.fail("it is there"), clock=clock)
        with Stepper(loaded, clock) as stepper:
            stepper.step()
            receiver: Any = loaded.graph.inputs[0].source
            assert isinstance(receiver.receiver, Ticks)
            assert receiver.receiver.isStarted()


class Ticks(Receiver):
    def onStart(self) -> None:
        self.run(self.tick)

    def tick(self) -> None:
        self.store("tick")
        idle(self)


def test_levels_without_a_disk_wait_when_the_memory_is_full() -> None:
    Context._active and Context._active.stop()
    conf = Conf().setMaster("local[1]").set("penstock.receiver.memoryBytes", "1k")

    def script(self: Any) -> None:
        for _ in range(50):
            self.storeMany(["x" * 200])
            self.stored = getattr(self, "stored", 0) + 1
        idle(self)

    with Context(conf=conf) as context:
        receiver = Scripted(script, level=StorageLevel.MEMORY_ONLY)
        with Program(context, receiving(receiver)) as program:
            program.until(lambda: getattr(receiver, "stored", 0) >= 2)
            assert program.source.waiting_bytes <= 1_024
            assert program.take(50) == ["x" * 200] * 50
        with Program(context, receiving(Scripted(script)), now_ms=90_500) as program:
            program.until(
                lambda: getattr(program.receiver, "stored", 0) == 50
            )  # a level with a disk does not wait
            store: Any = program.source._store
            assert store.memory_bytes <= 1_024
            assert program.take(50) == ["x" * 200] * 50


def test_the_rate_is_kept(sc: Context) -> None:
    sc.conf.set("spark.streaming.receiver.maxRate", 100)

    def script(self: Any) -> None:
        number = 0
        while not self.isStopped():
            self.store(number)
            number += 1

    with Program(sc, receiving(Scripted(script))) as program:
        for _ in range(20):
            program.clock.advance(250)
            program.until(lambda: program.source._limiter._ready < 1)  # type: ignore[union-attr]
            program.step()
        counts = [len(batch) for batch in program.batches.values()]
        assert sum(counts) <= 100 * 20 + 21
        assert max(counts) <= 121
        assert program.seen == list(range(len(program.seen)))
