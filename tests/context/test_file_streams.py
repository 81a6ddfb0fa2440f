"""Streams of files, from the context's methods to the records and what listeners are told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock import Conf, Context, StreamingContext, StreamingListener
from penstock.clock import ManualClock
from penstock.errors import CorruptInput, failure_of
from penstock.testing import CollectingSink, Stepper


class Counts(StreamingListener):
    def __init__(self) -> None:
        self.records: list[int] = []

    def onBatchCompleted(self, batchCompleted: Any) -> None:
        self.records.append(batchCompleted.batchInfo.numRecords)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def ssc(sc: Context, clock: ManualClock) -> Iterator[StreamingContext]:
    made = StreamingContext(sc, 1, clock=clock)
    yield made
    made.stop(stopSparkContext=False)


def appear(folder: Path, name: str, content: bytes) -> None:
    """As writers should do it: under a hidden name first."""
    (folder / f".{name}").write_bytes(content)
    (folder / f".{name}").rename(folder / name)


def test_lines_of_the_files_that_appear(ssc: StreamingContext, clock: ManualClock, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    appear(folder, "old", b"old\n")
    sink, counts = CollectingSink(), Counts()
    ssc.addStreamingListener(counts)
    ssc.textFileStream(str(folder)).foreachRDD(sink)
    with Stepper(ssc, clock) as stepper:
        appear(folder, "b", b"3\n4")
        appear(folder, "a", b"1\r\n2\n")
        stepper.step()
        stepper.step()
        appear(folder, "c", b"")
        stepper.step()
    assert sink.batches == [["1", "2", "3", "4"], [], []]
    assert counts.records == [4, 0, 0]


def test_binary_records(ssc: StreamingContext, clock: ManualClock, tmp_path: Path) -> None:
    sink, counts = CollectingSink(), Counts()
    ssc.addStreamingListener(counts)
    ssc.binaryRecordsStream(tmp_path, 3, partial="fail").foreachRDD(sink)
    with Stepper(ssc, clock) as stepper:
        appear(tmp_path, "one", b"abcdef")
        stepper.step()
        appear(tmp_path, "torn", b"abcd")
        with pytest.raises(CorruptInput, match="no whole number of records of 3 bytes") as caught:
            stepper.step()
        ssc.driver.error = None
        appear(tmp_path, "two", b"xyz")
        stepper.step()
    assert sink.batches == [[b"abc", b"def"], [b"xyz"]]
    assert counts.records == [2, 0, 1]
    failure = failure_of(caught.value)
    assert failure is not None
    assert failure.batch_time_ms == 2000


def test_a_few_files_a_batch_the_old_ones_too(
    ssc: StreamingContext, clock: ManualClock, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in "dacb":
        appear(folder, name, name.encode() * 2)
    sink = CollectingSink()
    ssc.binaryRecordsStream(folder, 2, newFilesOnly=False, maxFilesPerBatch=3).foreachRDD(sink)
    with Stepper(ssc, clock) as stepper:
        stepper.step()
        stepper.step()
    assert sink.batches == [[b"aa", b"bb", b"cc"], [b"dd"]]


def test_a_window_over_files_reads_each_once(
    ssc: StreamingContext, clock: ManualClock, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    sink = CollectingSink()
    ssc.textFileStream(str(folder)).map(int).window(3).foreachRDD(sink)
    with Stepper(ssc, clock) as stepper:
        for number in range(5):
            appear(folder, f"f{number}", b"%d\n" % number)
            stepper.step()
            (folder / f"f{number}").unlink()  # what was read is not read again
    assert sink.batches == [[0], [0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4]]


def test_files_are_held_to_what_batches_manage(tmp_path: Path) -> None:
    """Records suddenly cost ten times as much: the next batches have that many fewer files, and none is
    lost."""
    clock = ManualClock()
    conf = Conf().setMaster("local[2]").set("spark.streaming.backpressure.enabled", "true")
    conf.set("spark.streaming.backpressure.pid.minRate", "1")
    for number in range(60):
        (tmp_path / f"{number:02d}").write_text("0123456789\n" * 10)
    sizes: list[int] = []

    def work(rdd: Any) -> None:
        sizes.append(rdd.count())
        clock.advance(sizes[-1] * (5 if len(sizes) < 3 else 50))

    with Context(conf=conf) as sc:
        ssc = StreamingContext(sc, 1, clock=clock)
        ssc.textFileStream(tmp_path, newFilesOnly=False, maxFilesPerBatch=10).foreachRDD(work)
        with Stepper(ssc, clock) as stepper:
            while sum(sizes) < 600 and len(sizes) < 200:
                stepper.step()
    assert sizes[:3] == [100, 100, 100]
    assert all(10 <= size <= 30 for size in sizes[4:]), sizes  # 20 records a second is what it manages
    assert sum(sizes) == 600
