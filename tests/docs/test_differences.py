"""What ``docs/differences.md`` says of Penstock, line by line."""

from __future__ import annotations

import bz2
import collections
import functools
import gzip
import logging
import lzma
import os
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise
from operator import add, sub
from pathlib import Path
from typing import Any

import pyarrow
import pytest

from penstock import (
    Conf,
    Context,
    FilePath,
    Receiver,
    State,
    StateSpec,
    StorageLevel,
    StreamingContext,
    StreamingListener,
)
from penstock.chunk import portable_hash
from penstock.clock import SystemClock
from penstock.conf import UI_HOST
from penstock.errors import (
    ArgumentError,
    CorruptInput,
    NotAPairError,
    SettingError,
    SignatureError,
    failure_of,
)
from penstock.monitor.server import PageServer
from penstock.scheduler import ListenerBus
from penstock.testing import CollectingSink, ManualClock, Stepper, assert_batches_equal, run_batches
from tests.context.senders import Program as Received

Run = Callable[..., Any]


class Stores(Receiver):
    """Stores what it is given, at once."""

    def __init__(self, records: list[Any], level: StorageLevel = StorageLevel.MEMORY_AND_DISK) -> None:
        super().__init__(level)
        self.records = records
        self.count = 0
        self.done = threading.Event()

    def onStart(self) -> None:
        self.run(self.receive)

    def receive(self) -> None:
        for record in self.records:
            self.store(record)
            self.count += 1
        self.done.set()


@pytest.fixture
def sc() -> Iterator[Context]:
    with Context("local[2]", "differences") as context:
        yield context


class Program:
    """A program on a manual clock, step by step."""

    def __init__(self, sc: Context) -> None:
        self.clock = ManualClock()
        self.ssc = StreamingContext(sc, 1, clock=self.clock)
        self.sink = CollectingSink()
        self.infos: list[Any] = []
        program = self

        class Notes(StreamingListener):
            def onBatchCompleted(self, batchCompleted: Any) -> None:
                program.infos.append(batchCompleted.batchInfo)

        self.ssc.addStreamingListener(Notes())

    def stepper(self) -> Stepper:
        return Stepper(self.ssc, self.clock)


@pytest.fixture
def program(sc: Context) -> Program:
    return Program(sc)


# --------------------------------------------------------------------- files that a stream takes


def test_files_are_told_by_name_and_not_by_date(program: Program, tmp_path: Path) -> None:
    (tmp_path / "before.txt").write_text("before\n")
    program.ssc.textFileStream(str(tmp_path)).foreachRDD(program.sink)
    with program.stepper() as stepper:
        old = tmp_path / "old.txt"
        old.write_text("old\n")
        os.utime(old, (0, 0))
        for name in ("_private", ".hidden", "half._COPYING_"):
            (tmp_path / name).write_text("no\n")
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "deep.txt").write_text("no\n")
        stepper.step()
        with old.open("a") as file:
            file.write("more\n")
        stepper.step()
        old.unlink()
        stepper.step()
        old.write_text("again\n")
        stepper.step()
    assert program.sink.batches == [["old"], [], [], ["again"]]
    assert [info.streamIdToInputInfo[0].metadata["changed"] for info in program.infos] == [0, 1, 0, 0]


def test_a_file_that_is_made_again_before_a_batch_looks_is_the_old_one(
    program: Program, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    program.ssc.textFileStream(str(tmp_path)).foreachRDD(program.sink)
    with program.stepper() as stepper:
        (tmp_path / "a.txt").write_text("first\n")
        stepper.step()
        (tmp_path / "a.txt").unlink()
        (tmp_path / "a.txt").write_text("second one\n")
        stepper.step()
    assert program.sink.batches == [["first"], []]
    assert [info.streamIdToInputInfo[0].metadata["changed"] for info in program.infos] == [0, 1]
    assert "a.txt changed after it was taken" in caplog.text


def test_files_that_are_there_and_how_many_at_once(program: Program, tmp_path: Path) -> None:
    for name in "bac":
        (tmp_path / name).write_text(f"{name}\n")
    stream = program.ssc.textFileStream(str(tmp_path), newFilesOnly=False, maxFilesPerBatch=2)
    stream.foreachRDD(program.sink)
    with program.stepper() as stepper:
        stepper.step()
        stepper.step()
    assert program.sink.batches == [["a", "b"], ["c"]]


def test_a_pattern_watches_several_folders(program: Program, tmp_path: Path) -> None:
    program.ssc.textFileStream(f"{tmp_path}/in/*").foreachRDD(program.sink)
    with program.stepper() as stepper:
        for name in ("x", "y"):
            (tmp_path / "in" / name).mkdir(parents=True)
            (tmp_path / "in" / name / "one.txt").write_text(f"{name}\n")
        stepper.step()
    assert program.sink.batches == [["x", "y"]]


def test_a_pattern_may_match_files_too(program: Program, tmp_path: Path) -> None:
    program.ssc.textFileStream(f"{tmp_path}/*.csv").foreachRDD(program.sink)
    with program.stepper() as stepper:
        for name in ("one.csv", "two.txt"):
            (tmp_path / name).write_text(f"{name}\n")
        stepper.step()
    assert program.sink.batches == [["one.csv"]]


def test_bytes_that_are_not_utf8_are_counted(program: Program, tmp_path: Path) -> None:
    program.ssc.textFileStream(str(tmp_path)).foreachRDD(program.sink)
    with program.stepper() as stepper:
        (tmp_path / "a.txt").write_bytes(b"\xffx\nok\n")
        stepper.step()
    assert program.sink.batches == [["\ufffdx", "ok"]]
    assert program.infos[0].streamIdToInputInfo[0].metadata["bad_utf8"] == 1


def test_subfolders_and_filters_and_keys_of_file_streams(program: Program, tmp_path: Path) -> None:
    asked = []

    def accepts(path: FilePath) -> bool:
        asked.append(path.name)
        if len(asked) == 1:
            raise ZeroDivisionError
        return path.suffix == ".txt"

    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "old.txt").write_text("one\ntwo\n")
    stream = program.ssc.fileStream(tmp_path, "text", accepts, newFilesOnly=False, recursive=True)
    stream.foreachRDD(program.sink)
    with program.stepper() as stepper:
        with pytest.raises(ZeroDivisionError):
            stepper.step()
        program.ssc.driver.error = None
        (tmp_path / "new").write_text("no\n")
        for _ in range(3):
            stepper.step()
    assert program.sink.batches == [[(0, "one"), (4, "two")], [], []]
    assert sorted(asked) == ["new", "old.txt", "old.txt"]


def test_files_stay_unless_they_are_to_go(program: Program, tmp_path: Path) -> None:
    for option, left in ((None, ["a"]), ("delete", []), ("archive:" + str(tmp_path / "done"), [])):
        folder = tmp_path / "in"
        folder.mkdir(exist_ok=True)
        (folder / "a").write_text("a\n")
        again = Program(program.ssc.sparkContext)
        again.ssc.textFileStream(str(folder), False, afterCommit=option).foreachRDD(again.sink)
        with again.stepper() as stepper:
            stepper.step()
        assert [again.sink.batches, os.listdir(folder)] == [[["a"]], left]
    assert os.listdir(tmp_path / "done") == ["a"]


def test_what_is_left_of_a_binary_file_is_a_reject(program: Program, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    stream = program.ssc.binaryRecordsStream(str(tmp_path), 2, newFilesOnly=False)
    stream.rejects.map(lambda reject: reject.text).foreachRDD(program.sink)
    with program.stepper() as stepper:
        stepper.step()
    assert program.sink.batches == [["63"]]
    sc = program.ssc.sparkContext
    with pytest.raises(CorruptInput):
        sc.binaryRecords(str(tmp_path), 2).collect()
    assert sc.binaryRecords(str(tmp_path), 2, partial="reject").collect() == [b"ab"]


def test_queues_are_live_and_lists_are_copied(program: Program) -> None:
    live: collections.deque[Any] = collections.deque()
    plain: list[Any] = []
    program.ssc.queueStream(live).union(program.ssc.queueStream(plain)).foreachRDD(program.sink)
    with program.stepper() as stepper:
        live.append([1])
        plain.append([2])
        stepper.step()
    assert program.sink.batches == [[1]]
    again = Program(program.ssc.sparkContext)
    again.ssc.queueStream(live).foreachRDD(again.sink)
    again.ssc._checkpoint_directory = "anywhere"
    with pytest.raises(ArgumentError, match="cannot go on after a restart"):
        again.ssc.start()


def test_streams_of_any_kind_unite(program: Program, tmp_path: Path) -> None:
    files, queue = program.ssc.textFileStream(str(tmp_path)), program.ssc.queueStream([[1]])
    program.ssc.union(files, queue).foreachRDD(program.sink)
    with program.stepper() as stepper:
        (tmp_path / "a.txt").write_text("line\n")
        stepper.step()
    assert program.sink.batches == [["line", 1]]


# ------------------------------------------------------------------------- sockets and receivers


def test_a_receiver_leaves_room_to_compute_and_its_block_belongs_to_the_batch() -> None:
    receiver = Stores([1, [2, 3]])
    with (
        Context("local[1]", "differences") as one,
        Received(one, lambda ssc: ssc.receiverStream(receiver)) as program,
    ):
        assert receiver.done.wait(20)
        program.step()  # no time has passed, so no blockInterval either
        assert program.seen == [1, [2, 3]]


def test_connections_are_tried_again_less_and_less_often(sc: Context) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with Received(sc, lambda ssc: ssc.socketTextStream("127.0.0.1", port)) as program:
        program.step_until(lambda: len(program.heard.infos) >= 3)
        told = [message for kind, message in program.heard.events if kind == "error"]
    assert [message.rpartition(" in ")[2] for message in told[:3]] == ["2 s", "4 s", "8 s"]


def test_a_stream_may_be_the_server_and_lines_without_an_end_are_left_out(sc: Context) -> None:
    sc.conf.set("penstock.receiver.maxLineBytes", 10)
    with Received(sc, lambda ssc: ssc.socketTextStream("127.0.0.1", 0, listen=True)) as program:
        for text in (b"a\n", b"x" * 11 + b"\nb\n"):
            with socket.create_connection(program.address) as connection:
                connection.sendall(text)
        program.step_until(lambda: any("too_long" in each for each in program.heard.metadata))
        assert sorted(program.take(2)) == ["a", "b"]
    [rejects] = [each["rejects"] for each in program.heard.metadata if "rejects" in each]
    assert [text for _, _, text, _ in rejects] == ["x" * 11]


def test_a_receiver_waits_where_its_level_has_no_room(sc: Context) -> None:
    sc.conf.set("penstock.receiver.memoryBytes", 500)
    receiver = Stores(["x" * 100] * 20, StorageLevel.MEMORY_ONLY)
    with Received(sc, lambda ssc: ssc.receiverStream(receiver)) as program:
        program.until(lambda: receiver.count)
        assert not receiver.done.wait(0.05)
        assert program.take(20) == ["x" * 100] * 20


def test_a_graceful_stop_runs_one_batch_more_at_once(sc: Context) -> None:
    receiver, seen = Stores([1, 2]), []
    ssc = StreamingContext(sc, 3600)
    ssc.receiverStream(receiver).foreachRDD(lambda rdd: seen.extend(rdd.collect()))
    ssc.start()
    assert receiver.done.wait(20)
    ssc.stop(stopSparkContext=False, stopGraceFully=True)
    assert seen == [1, 2]


def test_a_batch_without_its_blocks_says_so(
    sc: Context, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sc.conf.set("penstock.streaming.retries", 0)
    receiver = Stores([1, 2, 0])
    path = str(tmp_path / "checkpoint")
    with (
        Received(sc, lambda ssc: ssc.receiverStream(receiver).map(lambda n: 1 // n), path=path) as program,
        pytest.raises(ZeroDivisionError),
    ):
        assert receiver.done.wait(20)
        program.step()
    with Received(sc, lambda ssc: ssc.receiverStream(Stores([])), path=path, now_ms=5_500) as program:
        program.step()
        assert program.heard.metadata[0]["lost_records"] == 3
    assert "is run again without 3 of its records" in caplog.text


# ---------------------------------------------------- files that are written, and files of RDDs


def test_a_folder_that_is_in_the_way_is_moved_aside(program: Program, tmp_path: Path) -> None:
    (tmp_path / "out-1000").mkdir()
    (tmp_path / "out-1000" / "part-00000").write_text("somebody's\n")
    program.ssc.queueStream([[1]]).repartition(1).saveAsTextFiles(str(tmp_path / "out"))
    with program.stepper() as stepper:
        stepper.step()
    assert (tmp_path / "out-1000" / "part-00000").read_text() == "1\n"
    [aside] = tmp_path.glob(".out-1000*")
    assert (aside / "part-00000").read_text() == "somebody's\n"
    assert sorted(path.name for path in (tmp_path / "out-1000").iterdir()) == ["_SUCCESS", "part-00000"]
    assert '"bytes": 2' in (tmp_path / "out-1000" / "_SUCCESS").read_text()


def test_two_outputs_to_one_place_are_refused(program: Program) -> None:
    numbers = program.ssc.queueStream([[1]])
    numbers.saveAsTextFiles("out", "txt")
    numbers.count().saveAsTextFiles("out", "txt")
    with pytest.raises(ValueError, match="give each its own prefix or suffix"):
        program.ssc.start()


def test_text_files_are_listed_at_once(sc: Context, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sc.textFile(str(tmp_path / "missing"))
    (tmp_path / "a").write_text("a\n")
    lines = sc.textFile(str(tmp_path))
    (tmp_path / "b").write_text("b\n")
    assert lines.collect() == ["a"]


def test_text_files_leave_folders_alone_and_are_cut_by_size(sc: Context, tmp_path: Path) -> None:
    (tmp_path / "small.txt").write_text("a\nb\nc\n")
    (tmp_path / "empty.txt").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "deep.txt").write_text("no\n")
    assert sc.textFile(str(tmp_path)).glom().collect() == [["a", "b", "c"]]
    assert sc.textFile(str(tmp_path / "empty.txt")).getNumPartitions() == 0


_COMPRESSED: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: bytes(pyarrow.compress(data, "zstd", asbytes=True)),
}


@pytest.mark.parametrize("extension", _COMPRESSED)
def test_compressed_files_are_read_whole_or_not_at_all(sc: Context, tmp_path: Path, extension: str) -> None:
    content = "".join(f"{number}\n" for number in range(1000))
    data = _COMPRESSED[extension](content.encode())
    path = tmp_path / f"a.txt{extension}"
    path.write_bytes(data)
    assert sc.textFile(str(path)).collect() == content.split()
    for broken in (data[:-10], data + b"garbage"):
        path.write_bytes(broken)
        with pytest.raises(CorruptInput, match="is not a whole"):
            sc.textFile(str(path)).collect()


def test_paths_of_local_files_are_plain(sc: Context, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("text")
    assert sc.wholeTextFiles(str(tmp_path)).collect() == [(f"{tmp_path}/a", "text")]
    assert sc.binaryFiles(str(tmp_path)).collect() == [(f"{tmp_path}/a", b"text")]


# ------------------------------------------------------------------------------ windows and state


def test_the_inverse_function_is_called_for_short_windows_but_not_for_floats(sc: Context) -> None:
    called = []

    def minus(one: Any, other: Any) -> Any:
        called.append((one, other))
        return one - other

    batches = [[("a", 1)], [("a", 2)], [("a", 3)]]
    window = lambda pairs: pairs.reduceByKeyAndWindow(add, minus, 2, 1)  # noqa: E731
    assert run_batches(batches, window) == [[("a", 1)], [("a", 3)], [("a", 5)]]
    assert called == [(3, 1)]
    called.clear()
    floats = [[("a", 0.1)], [("a", 1e16)], [("a", 0.2)], [("a", 0.3)]]
    assert run_batches(floats, window)[-1] == [("a", 0.2 + 0.3)]
    assert called == []
    flags = [[("a", True)], [("a", True)], [("a", False)]]
    assert_batches_equal(run_batches(flags, window)[-1:], [[("a", 1)]])
    assert called == []


def test_a_key_that_has_left_the_window_is_gone(sc: Context) -> None:
    batches = [[("a", 1)], [], []]
    assert run_batches(batches, lambda s: s.reduceByKeyAndWindow(add, sub, 2, 1))[-1] == []
    assert run_batches(batches, lambda s: s.groupByKeyAndWindow(2, 1))[-1] == []
    assert run_batches(batches, lambda s: s.countByValueAndWindow(2, 1))[-1] == []


def test_an_empty_window_counts_zero(sc: Context) -> None:
    assert run_batches([[], ["x"], [], []], lambda s: s.countByWindow(2, 1)) == [[0], [1], [1], [0]]


@pytest.mark.parametrize("length", [0, -1, 1.5])
def test_window_lengths_are_checked_at_the_call(sc: Context, length: float) -> None:
    stream = StreamingContext(sc, 1).queueStream([[1]])
    with pytest.raises(ArgumentError):
        stream.window(length)


def test_the_inverse_function_may_be_left_out_and_a_directory_too(program: Program) -> None:
    pairs = program.ssc.queueStream([[("a", 1)]])
    pairs.reduceByKeyAndWindow(add, 2).foreachRDD(program.sink)
    pairs.groupByKeyAndWindow(2).mapValues(list).foreachRDD(program.sink)
    pairs.map(lambda pair: pair[1]).reduceByWindow(add, 2, 1).foreachRDD(program.sink)
    with program.stepper() as stepper:
        stepper.step()
    assert program.sink.batches == [[("a", 1)], [("a", [1])], [1]]


@pytest.mark.parametrize(
    "operation", ["join", "leftOuterJoin", "rightOuterJoin", "fullOuterJoin", "cogroup", "union"]
)
def test_streams_of_different_slides_are_refused(sc: Context, operation: str) -> None:
    stream = StreamingContext(sc, 1).queueStream([[("a", 1)]])
    with pytest.raises(ValueError, match="the same slide duration, not 1000 ms and 2000 ms"):
        getattr(stream, operation)(stream.window(2, 2))


def test_update_functions_are_told_apart_by_their_arguments(sc: Context) -> None:
    batches = [[("a", 1)], [("a", 2)]]
    by_all = lambda keys: [(key.upper(), sum(values) + (state or 0)) for key, values, state in keys]  # noqa: E731
    assert run_batches(batches, lambda s: s.updateStateByKey(by_all, 1))[0] == [("A", 1)]
    by_time = lambda time, key, values, state: (time.second, key)  # noqa: E731
    assert run_batches(batches, lambda s: s.updateStateByKey(by_time, 1))[1] == [("a", (2, "a"))]


def test_a_key_times_out_when_it_is_due_and_only_update_changes_a_state() -> None:
    def note(key: str, value: int | None, state: State) -> Any:
        if state.isTimingOut():
            return (key, state.get())
        if state.exists():
            state.get().append(value)
        else:
            state.update([value])
        return None

    spec = StateSpec.function(note).timeout(2)
    batches = [[("a", 1)], [("a", 2)]]
    assert run_batches(batches, lambda s: s.mapWithState(spec), batches=6) == [
        [], [], [], [], [("a", [1])], [],
    ]  # fmt: skip


def test_a_failed_batch_changes_no_state(sc: Context) -> None:
    clock = ManualClock()
    ssc = StreamingContext(sc, 1, clock=clock)
    sc.setCheckpointDir("checkpoint")
    seen = []

    def fail_once(rdd: Any) -> None:
        seen.append(rdd.collect())
        if len(seen) == 2:
            raise ValueError("no")

    totals = ssc.queueStream([[("a", 1)], [("a", 10)], [("a", 100)]])
    totals.updateStateByKey(lambda news, total: sum(news) + (total or 0)).foreachRDD(fail_once)
    with Stepper(ssc, clock) as stepper:
        stepper.step()
        for _ in range(2):  # the error stays with the context, so each later step raises it too
            with pytest.raises(ValueError, match="no"):
                stepper.step()
    assert seen == [[("a", 1)], [("a", 11)], [("a", 101)]]


def test_a_failed_batch_is_in_no_later_window(program: Program) -> None:
    numbers = program.ssc.queueStream([[1], [20], [300]])
    numbers.reduceByWindow(add, 3, 1).foreachRDD(program.sink)

    def fail_once(time: Any, rdd: Any) -> None:
        if rdd.first() == 20:
            raise ValueError("no")

    numbers.foreachRDD(fail_once)
    with program.stepper() as stepper:
        stepper.step()
        for _ in range(2):
            with pytest.raises(ValueError, match="no"):
                stepper.step()
    assert program.sink.batches[::2] == [[1], [301]]


def _even_seconds(stream: Any) -> Any:
    return stream.transform(lambda time, rdd: None if time.second % 2 else rdd)


def test_a_stream_that_has_no_rdd_counts_as_empty_beside_another(sc: Context) -> None:
    batches = ([[("a", 1)]], [[("a", 2)]])
    called = []

    def both(one: Any, other: Any) -> tuple[Any, ...]:
        none = _even_seconds(other)
        united = lambda rdd, other: called.append(1) or rdd.union(other)  # noqa: E731
        return (
            one.union(none),
            one.context().union(none, one),
            one.transformWith(united, none),
            one.leftOuterJoin(none),
            none.union(none),
            none.transformWith(united, none),
        )

    pair, joined = [[("a", 1)]], [[("a", (1, None))]]
    assert run_batches(batches, both) == (pair, pair, pair, joined, [None], [None])
    assert called == [1]


def test_state_is_updated_in_a_batch_without_an_rdd(sc: Context) -> None:
    called = []

    def total(values: list[int], state: int | None) -> int:
        called.append(values)
        return sum(values) + (state or 0)

    batches = [[("a", 0)], [("a", 5)], [("a", 0)]]
    states = run_batches(batches, lambda s: _even_seconds(s).updateStateByKey(total, 1))
    assert states == [[], [("a", 5)], [("a", 5)]]
    assert called == [[5], []]


def test_initial_states_are_checked_at_the_call(sc: Context) -> None:
    total = lambda values, state: sum(values) + (state or 0)  # noqa: E731
    for initial in ({"a": 1}, (pair for pair in [["a", 1]])):
        states = run_batches([[("a", 2)]], lambda s, i=initial: s.updateStateByKey(total, 1, i))  # type: ignore[misc]
        assert states == [[("a", 3)]]
    pairs = StreamingContext(sc, 1).queueStream([[("a", 1)]])
    with pytest.raises(SignatureError, match="must hold pairs"):
        pairs.updateStateByKey(total, 1, ["ab"])
    with pytest.raises(SignatureError, match="an RDD or an iterable of pairs"):
        pairs.updateStateByKey(total, 1, 7)


def test_a_queue_gives_to_every_batch_whoever_reads_it(program: Program) -> None:
    queue = program.ssc.queueStream([[1], [2], [3], [4], [5], [6]])
    queue.window(1, 3).foreachRDD(program.sink)
    with program.stepper() as stepper:
        for _ in range(6):
            stepper.step()
    assert program.sink.batches == [[3], [6]]


@pytest.mark.parametrize("seconds", [None, 2])
def test_slices_hold_what_is_remembered_and_make_nothing(program: Program, seconds: int | None) -> None:
    if seconds is not None:
        program.ssc.remember(seconds)
    queue = program.ssc.queueStream([[1], [2], [3], [4]])
    slices = []

    def look(rdd: Any) -> None:
        slices.append([rdd.collect() for rdd in queue.slice(0, 9)])

    queue.foreachRDD(look)
    with program.stepper() as stepper:
        for _ in range(4):
            stepper.step()
    alone, more = [[[1]], [[2]], [[3]], [[4]]], [[[1]], [[1], [2]], [[1], [2], [3]], [[2], [3], [4]]]
    assert slices == (alone if seconds is None else more)


def test_an_empty_batch_counts_zero_also_without_partitions(sc: Context) -> None:
    assert run_batches([[1]], lambda s: (s.count(), s.reduce(add)), batches=2) == ([[1], [0]], [[1], []])


# ------------------------------------------------------------------------- keys, order, copies


def test_text_keys_lie_in_the_same_partition_in_every_process() -> None:
    command = "from penstock.chunk import portable_hash as h; print(h('EPE'), h(b'EPE'), h(7), h((1, None)))"
    prints = {
        subprocess.run(
            [sys.executable, "-c", command],
            env={**os.environ, "PYTHONHASHSEED": salt},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for salt in ("1", "2")
    }
    assert len(prints) == 1
    assert portable_hash(7) == hash(7)


def test_keys_come_in_order_of_first_appearance(sc: Context) -> None:
    pairs = sc.parallelize([("b", 1), ("a", 2), ("b", 3)], 2)
    assert pairs.groupByKey(1).mapValues(list).collect() == [("b", [1, 3]), ("a", [2])]


def test_a_string_is_no_pair(sc: Context) -> None:
    with pytest.raises(NotAPairError, match=r"met 'ab', a str.*Hint"):
        sc.parallelize(["ab", "cd"]).reduceByKey(add).collect()


def test_functions_may_change_what_they_are_given(sc: Context) -> None:
    extend = lambda one, other: one.extend(other) or one  # noqa: E731
    zero: list[int] = []
    pairs = sc.parallelize([("a", [1]), ("a", [2])], 1).cache()
    for _ in range(2):
        assert pairs.foldByKey(zero, extend).collect() == [("a", [1, 2])]
    assert zero == []
    batches = [[("a", [1])], [("a", [2])], [("a", [3])]]
    slides = run_batches(batches, lambda s: s.reduceByKeyAndWindow(extend, 2))
    assert slides == [[("a", [1])], [("a", [1, 2])], [("a", [2, 3])]]


def test_a_function_that_only_computes_may_be_called_on_symbols_alone(
    sc: Context, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def doubled(record: str) -> str:
        return record * 2

    def shown(record: str) -> str:
        print(record)
        return record * 2

    (tmp_path / "lines.txt").write_text("ab\n" * 1000)
    lines = sc.textFile(str(tmp_path / "lines.txt"))
    given: set[str] = set()

    def look(frame: Any, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_name == "doubled":
            assert frame.f_code.co_filename == __file__
            given.add(type(frame.f_locals["record"]).__name__)

    before = sys.getprofile()
    threading.setprofile(look)
    sys.setprofile(look)
    try:
        assert lines.map(doubled).collect() == ["abab"] * 1000
    finally:
        sys.setprofile(before)
        threading.setprofile(None)
    assert given == {"Symbol"}
    assert lines.map(shown).collect() == ["abab"] * 1000
    assert capsys.readouterr().out == "ab\n" * 1000
    assert "rows: print is" in lines.map(shown).explain()


# ------------------------------------------------------------------------------------------ errors


def test_an_exception_comes_out_as_it_was_raised(program: Program) -> None:
    error = ZeroDivisionError("mine")

    def fail(record: int) -> int:
        if record == 2:
            raise error
        return record

    program.ssc.queueStream([[1, 2]]).map(fail).foreachRDD(lambda rdd: rdd.collect())
    with pytest.raises(ZeroDivisionError) as caught, program.stepper() as stepper:
        stepper.step()
    assert caught.value is error
    failure = failure_of(error)
    assert failure is not None
    assert failure.site is not None
    assert (failure.site.file, failure.record, failure.batch_time_ms) == (__file__, "2", 1000)
    assert any(Path(__file__).name in note for note in error.__notes__)


def test_mistakes_are_told_together_at_the_start(sc: Context) -> None:
    ssc = StreamingContext(sc, 1)
    pairs = ssc.queueStream([[("a", 1)]])
    pairs.updateStateByKey(lambda values, state: None)
    pairs.reduceByKeyAndWindow(add, sub, 2).checkpoint(1.5).pprint()
    with pytest.raises(ValueError, match=r"2 problems:\n.*checkpoint directory.*\n.*multiple"):
        ssc.start()


@pytest.mark.parametrize("duration", [0, -1, 0.0001])
def test_batch_durations_are_checked(sc: Context, duration: float) -> None:
    with pytest.raises(ValueError, match="at least 1 ms"):
        StreamingContext(sc, duration)


def test_the_page_is_for_this_machine_alone(sc: Context) -> None:
    assert sc.conf.value(UI_HOST) == "127.0.0.1"
    assert PageServer([]).token is None
    assert PageServer([], "0.0.0.0").token is not None
    assert sc.uiWebUrl is None  # before the first batch of a stream


def test_settings_are_checked() -> None:
    with pytest.raises(SettingError, match=r"did you mean penstock\.files\.splitBytes"):
        Conf().set("penstock.files.splitByte", "1m")
    with pytest.raises(SettingError, match="can only be 1"):
        Conf().set("spark.streaming.concurrentJobs", "2")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Conf().set("spark.executor.memory", "1g")


def test_take_may_work_ahead_but_does_not_fail_ahead(sc: Context) -> None:
    called = []

    def one_by(number: int) -> int:
        called.append(number)
        return 12 // number

    numbers = sc.parallelize([3, 2, 1, 0, 4], 1)
    assert numbers.map(one_by).take(2) == [4, 6]
    assert called == [3, 2, 1, 0]
    with pytest.raises(ZeroDivisionError):
        numbers.map(one_by).take(4)


# ------------------------------------------------------------ functions that are called with RDDs


class _Doubling:
    def __call__(self, rdd: Any) -> Any:
        return rdd.map(lambda number: number * 2)

    def method(self, rdd: Any) -> Any:
        return self(rdd)


@pytest.mark.parametrize(
    "function",
    [
        _Doubling(),
        _Doubling().method,
        functools.partial(lambda factor, rdd: rdd.map(lambda number: number * factor), 2),
        lambda rdd, factor=2: rdd.map(lambda number: number * factor),
        lambda time, rdd: rdd.map(lambda number: number * 2),
    ],
)
def test_arguments_are_counted_as_a_caller_would(sc: Context, function: Run) -> None:
    assert run_batches([[1, 2]], lambda s: s.transform(function)) == [[2, 4]]


def test_what_for_each_returns_is_ignored(sc: Context) -> None:
    assert run_batches([[1]], lambda s: s.foreachRDD(lambda rdd: rdd.count())) == []


def test_transform_returns_an_rdd_or_nothing(sc: Context) -> None:
    odd = lambda time, rdd: rdd if time.second % 2 else None  # noqa: E731
    assert run_batches([[1], [2]], lambda s: s.transform(odd)) == [[1], None]
    with pytest.raises(SignatureError, match="should return an RDD, not int"):
        run_batches([[1]], lambda s: s.transform(lambda rdd: rdd.count()))


def test_transform_runs_when_the_batch_runs(program: Program) -> None:
    called = []
    program.ssc.queueStream([[1]]).transform(lambda rdd: called.append(1) or rdd).pprint()
    with program.stepper():
        program.clock.set(1000)
        program.ssc.driver.tick(program.clock.now_ms())
        assert called == []
        program.ssc.driver.work()
        assert called == [1]


def test_transform_of_several_streams_may_have_the_time(sc: Context) -> None:
    def both(one: Any, other: Any) -> Any:
        return one.context().transform([one, other], lambda time, rdds: rdds[0].union(rdds[1]))

    assert run_batches(([[1]], [[2]]), both) == [[1, 2]]


def test_queues_of_any_iterable(program: Program) -> None:
    program.ssc.queueStream([]).foreachRDD(program.sink)
    program.ssc.queueStream([number] for number in range(3)).foreachRDD(program.sink)
    with program.stepper() as stepper:
        stepper.step()
    assert program.sink.batches == [[], [0]]


# ---------------------------------------------------------------------- time, starting and stopping


def test_available_now_does_not_wait(sc: Context) -> None:
    ssc, sink = StreamingContext(sc, 3600), CollectingSink()
    ssc.queueStream([[1], [2], [3]]).foreachRDD(sink)
    ssc.start(availableNow=True)
    assert ssc.awaitTerminationOrTimeout(60)
    assert sink.batches == [[1], [2], [3]]
    assert [(later - earlier).seconds for earlier, later in pairwise(sink.times)] == [3600, 3600]


@pytest.mark.parametrize("gracefully", [False, True])
def test_a_stop_from_within_a_batch_returns_at_once(sc: Context, gracefully: bool) -> None:
    ssc = StreamingContext(sc, 3600)
    returned = threading.Event()

    def stop(rdd: Any) -> None:
        ssc.stop(stopSparkContext=False, stopGracefully=gracefully)
        returned.set()

    seen = []
    queue = ssc.queueStream([[1], [2]])
    queue.foreachRDD(stop)
    queue.foreachRDD(lambda rdd: seen.append(rdd.collect()))
    ssc.start(availableNow=True)
    assert ssc.awaitTerminationOrTimeout(60)
    assert returned.is_set()
    assert seen[:1] == ([[1]] if gracefully else [])


def test_a_graceful_stop_goes_on_in_a_hurry_when_its_time_is_over() -> None:
    conf = Conf().setMaster("local[2]").setAppName("hurry")
    ssc = StreamingContext(conf.set("spark.streaming.gracefulStopTimeout", "50ms"), 0.01)
    seen, submitted, waiting = [], [], threading.Event()

    class Notes(StreamingListener):
        def onBatchSubmitted(self, batchSubmitted: Any) -> None:
            submitted.append(batchSubmitted.batchInfo.batchTime)
            if len(submitted) == 2:
                waiting.set()

    def until_others_are_dropped(rdd: Any) -> None:
        seen.append(rdd.collect())
        assert waiting.wait(60)
        changed = ssc.driver._changed
        with changed:
            assert changed.wait_for(lambda: "dropped" in ssc.driver.story(submitted[1]), 60)

    ssc.addStreamingListener(Notes())
    ssc.queueStream([], default=[1]).foreachRDD(until_others_are_dropped)
    ssc.start()
    assert waiting.wait(60)
    ssc.stop(stopGracefully=True)
    assert ssc.awaitTerminationOrTimeout(60)
    assert seen == [[1]]


def test_stopping_the_context_stops_its_stream_first() -> None:
    sc = Context("local[2]", "stop")
    ssc = StreamingContext(sc, 0.02)
    infos: list[Any] = []

    class Notes(StreamingListener):
        def onBatchCompleted(self, batchCompleted: Any) -> None:
            infos.append(batchCompleted.batchInfo)

    ssc.addStreamingListener(Notes())
    running = threading.Event()
    ssc.queueStream([], default=[1]).map(lambda x: x + 1).foreachRDD(
        lambda rdd: (rdd.collect(), running.set())
    )
    ssc.start()
    assert running.wait(60)
    sc.stop()
    assert StreamingContext.getActive() is None
    ssc.awaitTermination()
    assert [info.failureReason for info in infos if info.failureReason] == []


def test_a_script_that_ends_stops_its_stream(tmp_path: Path) -> None:
    script = tmp_path / "app.py"
    script.write_text(
        "from penstock import Context, StreamingContext\n"
        "ssc = StreamingContext(Context('local[1]'), 3600)\n"
        "ssc.queueStream([[1]]).pprint()\n"
        "ssc.start()\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, timeout=60
    )
    assert "ended without awaitTermination()" in done.stderr


def test_a_clock_that_is_set_back_repeats_no_time() -> None:
    wall, steady = [1_000_000_000_000], [0]
    clock = SystemClock(lambda: wall[0], lambda: steady[0])
    times = [clock.now_ns()]
    wall[0] -= 3_600_000_000_000
    for _ in range(3):
        wall[0] += 1_000_000
        steady[0] += 1_000_000
        times.append(clock.now_ns())
    assert [later - earlier for earlier, later in pairwise(times)] == [1_000_000] * 3


def test_delays_are_floats(program: Program) -> None:
    program.ssc.queueStream([[1]]).foreachRDD(program.sink)
    with program.stepper() as stepper:
        stepper.step()
    [info] = program.infos
    assert [type(delay) for delay in (info.schedulingDelay, info.processingDelay, info.totalDelay)] == [
        float
    ] * 3


# ------------------------------------------------------------------------- what objects look like


def test_groups_show_and_compare(sc: Context) -> None:
    groups = sc.parallelize([("a", 1)]).groupByKey()
    assert repr(groups.collect()) == "[('a', ResultIterable([1]))]"
    assert groups.collect() == groups.collect()
    assert_batches_equal([[1]], [[1]])


def test_plans_are_text_with_the_users_lines(sc: Context) -> None:
    text = sc.parallelize([("a", 1)], 2).reduceByKey(add).toDebugString()
    assert isinstance(text, str)
    assert all(Path(__file__).name in line for line in text.splitlines())


def test_events_have_plain_fields_and_say_what_was_called(program: Program) -> None:
    program.ssc.queueStream([[1]]).foreachRDD(program.sink)
    with program.stepper() as stepper:
        stepper.step()
    [info] = program.infos
    assert (info.batchTime, info.numRecords) == (1000, 1)
    assert info.outputOperationInfos[0].name.startswith(f"foreachRDD ({__file__}:")


def test_a_listener_that_is_far_behind_loses_events(caplog: pytest.LogCaptureFixture) -> None:
    heard = []

    class Slow(StreamingListener):
        def onBatchCompleted(self, batchCompleted: Any) -> None:
            heard.append(batchCompleted)

    bus = ListenerBus(threaded=False)
    bus.add(Slow())
    for number in range(10_002):
        bus.post("onBatchCompleted", lambda number=number: number)  # type: ignore[misc]
    bus.drain()
    assert heard == list(range(10_000))
    assert caplog.text.count("too slow") == 1


def test_listeners_can_be_removed(program: Program) -> None:
    program.ssc.removeStreamingListener(program.ssc._bus._listeners[0])
    program.ssc.queueStream([[1]]).foreachRDD(program.sink)
    with program.stepper() as stepper:
        stepper.step()
    assert program.infos == []


# ------------------------------------------------------------------------------------- one process


def test_broadcasts_are_the_object_itself(sc: Context) -> None:
    table = {"a": 1}
    shared = sc.broadcast(table)
    assert sc.parallelize([1]).map(lambda _: shared.value is table).collect() == [True]


def test_accumulators_of_other_things_need_a_param(sc: Context) -> None:
    with pytest.raises(TypeError, match="AccumulatorParam"):
        sc.accumulator([])


def test_what_outputs_share_is_computed_once(sc: Context) -> None:
    called = []

    def three_outputs(numbers: Any) -> tuple[Any, ...]:
        shared = numbers.map(lambda number: called.append(number) or number)
        return shared.count(), shared.reduce(add), shared

    assert run_batches([[1, 2]], three_outputs) == ([[2]], [[3]], [[1, 2]])
    assert called == [1, 2]


def test_a_batch_that_fails_is_logged(program: Program, caplog: pytest.LogCaptureFixture) -> None:
    program.ssc.queueStream([[0]]).map(lambda number: 1 // number).pprint()
    with caplog.at_level(logging.ERROR), pytest.raises(ZeroDivisionError), program.stepper() as stepper:
        stepper.step()
    assert "the batch 1000 ms failed in pprint" in caplog.text


def test_a_tuple_of_three_is_no_pair(sc: Context) -> None:
    with pytest.raises(NotAPairError, match=r"\('a', 1, 2\)"):
        sc.parallelize([("a", 1, 2)]).keys().collect()


def test_each_nan_is_alone_even_the_same_object(sc: Context) -> None:
    nan = float("nan")
    assert len(sc.parallelize([(nan, 1), (nan, 2)], 1).reduceByKey(lambda a, b: a + b).collect()) == 2


def test_subtract_gives_each_record_as_it_is(sc: Context) -> None:
    left = sc.parallelize([1, 1.0, 2], 1).subtract(sc.parallelize([2], 1)).collect()
    assert [type(record) for record in left] == [int, float]


def test_unions_list_partitions_and_may_be_of_nothing(sc: Context) -> None:
    placed = sc.parallelize([(1, "a")]).partitionBy(2)
    both = placed.union(sc.parallelize([(1, "b")]).partitionBy(2))
    assert (both.getNumPartitions(), both.partitioner) == (4, None)
    assert sc.union([]).collect() == []
