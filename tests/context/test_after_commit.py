"""Files that are archived or deleted once their batch is committed, through crashes at every step."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from penstock import Conf, Context, StreamingContext
from penstock.clock import ManualClock
from penstock.dstream import DStream
from penstock.testing import CollectingSink, Stepper, crash_everywhere


@pytest.mark.parametrize(
    ("recursive", "every"),
    [
        (True, 11),
        pytest.param(False, 1, marks=pytest.mark.long),
        pytest.param(True, 1, marks=pytest.mark.long),
    ],
)
def test_every_file_is_archived_once_wherever_it_crashes(recursive: bool, every: int) -> None:
    """The archive lies where outputs are compared: the same files, byte by byte, after every crash."""

    def program(ticks: DStream, folder: str) -> DStream:
        feed = Path(folder).parent / "feed"
        if not feed.exists():
            for number in range(3):
                place = feed / ("x" if recursive else "") / f"{number}.txt"
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(f"{number}\n" * (number + 1))
        lines = ticks.context().textFileStream(  # type: ignore[attr-defined]
            str(feed), newFilesOnly=False, maxFilesPerBatch=1, recursive=recursive,
            afterCommit=f"archive:{folder}/archive",
        )  # fmt: skip
        totals = lines.map(lambda line: (int(line), 1)).updateStateByKey(
            lambda values, state: sum(values) + (state or 0), 1
        )
        ticks.foreachRDD(lambda rdd: None)
        return totals

    crashes = crash_everywhere(program, [[1], [2], [3]], batches=4, every=every, twice=6)
    assert len(crashes.points) > 20


@pytest.mark.parametrize("every", [11, pytest.param(1, marks=pytest.mark.long)])
def test_nothing_is_deleted_too_early_wherever_it_crashes(every: int) -> None:
    """Each file is read by its batch, however often that is run, and none is there in the end."""

    def program(ticks: DStream, folder: str) -> DStream:
        feed = Path(folder).parent / "feed"
        if not feed.exists():
            feed.mkdir()
            for number in range(3):
                (feed / f"{number}").write_bytes(b"%d" % number)
        files = ticks.context().fileStream(  # type: ignore[attr-defined]
            str(feed), "wholebytes", newFilesOnly=False, maxBytesPerBatch=1, afterCommit="delete"
        )

        def left(rdd: Any) -> None:
            (Path(folder) / "left.txt").write_text(f"{len(os.listdir(feed))}")

        ticks.foreachRDD(left)  # in the last batch nothing is left, whatever happened
        return files.map(lambda pair: pair[1])

    crashes = crash_everywhere(program, [[1], [2], [3]], batches=5, every=every, twice=5)
    assert len(crashes.points) > 15


def test_files_of_a_batch_that_is_given_up_stay(tmp_path: Path) -> None:
    conf = Conf().setMaster("local[2]").set("penstock.streaming.onFailure", "skip")
    conf.set("penstock.streaming.retries", "0")
    feed = tmp_path / "in"
    feed.mkdir()
    seen: list[str] = []

    def check(line: str) -> str:
        if line == "bad":
            raise ValueError(line)
        return line

    def setup() -> StreamingContext:
        ssc = StreamingContext(Context._active or Context(conf=conf), 1, clock=clock)
        lines = ssc.textFileStream(str(feed), False, 1, afterCommit=f"archive:{feed}/done").map(check)
        lines.foreachRDD(lambda rdd: seen.extend(rdd.collect()))
        return ssc

    clock = ManualClock()
    for name, content in {"a": "good", "b": "bad", "c": "fine"}.items():
        (feed / name).write_text(content)
    try:
        ssc = StreamingContext.getOrCreate(str(tmp_path / "checkpoint"), setup, upgrade=True, clock=clock)
        with Stepper(ssc, clock) as stepper:
            for _ in range(3):
                stepper.step()
        assert sorted(os.listdir(feed)) == ["b", "done"]
        assert sorted(os.listdir(feed / "done")) == ["a", "c"]
        ssc = StreamingContext.getOrCreate(str(tmp_path / "checkpoint"), setup, upgrade=True, clock=clock)
        with Stepper(ssc, clock) as stepper:
            stepper.step()
        assert sorted(os.listdir(feed)) == ["b", "done"], "not by the next run either"
    finally:
        if Context._active is not None:
            Context._active.stop()
    assert seen == ["good", "fine"]


def test_files_that_are_remembered_stay_until_they_are_forgotten(sc: Context, tmp_path: Path) -> None:
    feed = tmp_path / "in"
    feed.mkdir()
    clock = ManualClock()
    ssc = StreamingContext(sc, 1, clock=clock)
    ssc.remember(3)
    sink = CollectingSink()
    lines = ssc.textFileStream(str(feed), afterCommit="delete")
    lines.foreachRDD(sink)
    with Stepper(ssc, clock) as stepper:
        (feed / "a").write_text("1")
        stepper.step()
        assert os.listdir(feed) == ["a"]
        stepper.step()
        assert [rdd.collect() for rdd in lines.slice(1.0, 1.0)] == [["1"]]
        for _ in range(2):
            stepper.step()
    assert os.listdir(feed) == []


@pytest.mark.parametrize("option", [{"recursive": True}, {"stableFor": 2}, {"maxBytesPerBatch": 3}])
def test_all_of_them_go_on_after_a_restart(tmp_path: Path, option: dict[str, Any]) -> None:
    """Programs that stop and start again in every batch read what one that does not stop reads."""
    feed = tmp_path / "in"
    (feed / "x").mkdir(parents=True)
    clock = ManualClock()
    seen: list[str] = []

    def setup() -> StreamingContext:
        ssc = StreamingContext(Context._active or Context("local[2]", "restarts"), 1, clock=clock)
        ssc.fileStream(str(feed), "wholetext", **option).foreachRDD(
            lambda rdd: seen.extend(text for _, text in rdd.collect())
        )
        return ssc

    expected = []
    try:
        for number in range(6):
            ssc = StreamingContext.getOrCreate(str(tmp_path / "checkpoint"), setup, upgrade=True, clock=clock)
            with Stepper(ssc, clock) as stepper:
                for name in ("a", "b"):
                    place = feed / ("x" if "recursive" in option else "") / f"{name}{number}"
                    place.write_text(f"{name}{number}")
                    expected.append(f"{name}{number}")
                for _ in range(1 + 2 * (number % 2)):
                    stepper.step()
            clock.advance(3000)
        ssc = StreamingContext.getOrCreate(str(tmp_path / "checkpoint"), setup, upgrade=True, clock=clock)
        with Stepper(ssc, clock) as stepper:
            for _ in range(20):
                stepper.step()
    finally:
        if Context._active is not None:
            Context._active.stop()
    assert sorted(seen) == sorted(expected)
