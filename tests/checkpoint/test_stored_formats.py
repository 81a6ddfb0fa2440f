"""Checkpoints as each version has written them are read for ever.

``format-1`` was made by :func:`make` when format 1 was new, and is not made again: a format that changes
gets a folder of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from operator import add
from pathlib import Path
from typing import Any

import pytest

from penstock import RDD, Conf, Context, StateSpec, StreamingContext
from penstock.checkpoint import FORMAT, Journal, recorded_batches
from penstock.clock import ManualClock
from penstock.dstream import DStream
from penstock.storage import LocalStorage
from penstock.testing import Stepper

HERE = Path(__file__).parent
BATCHES: list[Any] = [
    [("a", 1), ("b", 2)],
    [("a", 3)],
    [("c", 4)],
    [("ä", 5), ("a", 6)],
    [],
    [("b", 7)],
    [("a", 8), ("d", 9)],
]
MADE = 5  # batches that were run when it was made
EXPECTED = {
    6000: {
        "totals": [("a", 10), ("b", 9), ("c", 4), ("ä", 5)],
        "sets": [("a", {1, 3, 6}), ("b", {2, 7}), ("c", {4}), ("ä", {5})],
        "latest": [("b", 7), ("gone", "c", 4)],
        "sums": [("a", 6), ("b", 7), ("ä", 5)],
    },
    7000: {
        "totals": [("a", 18), ("b", 9), ("c", 4), ("d", 9), ("ä", 5)],
        "sets": [("a", {1, 3, 6, 8}), ("b", {2, 7}), ("c", {4}), ("d", {9}), ("ä", {5})],
        "latest": [("a", 8), ("d", 9), ("gone", "ä", 5)],
        "sums": [("a", 8), ("b", 7), ("d", 9)],
    },
}


@pytest.fixture(autouse=True)
def sc() -> Iterator[Context]:
    with Context(conf=Conf().setMaster("local[2]").set("penstock.checkpoint.compactBytes", "3k")) as context:
        yield context


def last(key: str, value: int | None, state: Any) -> Any:
    if state.isTimingOut():
        return ("gone", key, state.get())
    state.update(value)
    return (key, value)


def build(stream: DStream, seen: dict[int, dict[str, Any]]) -> None:
    def see(name: str, stream: DStream) -> None:
        def note(time: Any, rdd: RDD) -> None:
            seen.setdefault(round(time.timestamp() * 1000), {})[name] = sorted(rdd.collect())

        stream.foreachRDD(note)

    see("totals", stream.updateStateByKey(lambda news, total: sum(news) + (total or 0), 2).name("totals"))
    see("sets", stream.updateStateByKey(lambda news, seen: {*news, *(seen or ())}, 1).name("sets"))
    see("latest", stream.mapWithState(StateSpec.function(last).timeout(2).numPartitions(2)).name("latest"))
    see("sums", stream.reduceByKeyAndWindow(add, 3, 1, 2).name("sums"))


def run(directory: Path, first: int, count: int) -> dict[int, dict[str, Any]]:
    seen: dict[int, dict[str, Any]] = {}
    clock = ManualClock()
    clock.set(first * 1000 - 500)

    def setup() -> StreamingContext:
        context = Context._active
        assert context is not None
        ssc = StreamingContext(context, 1, clock=clock)
        build(ssc.queueStream(BATCHES), seen)
        return ssc

    with Stepper(StreamingContext.getOrCreate(str(directory), setup, upgrade=True), clock) as stepper:
        for _ in range(count):
            stepper.step()
    return seen


def make(directory: Path) -> None:
    """A checkpoint of five batches with a snapshot, as it is stored: without the reserve of zeros."""
    run(directory, 1, 2)
    run(directory, 3, MADE - 2)
    for name in ("rdds", "program.pickle"):
        path = directory / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    for file in (directory / "journal").iterdir():
        file.write_bytes(file.read_bytes().rstrip(b"\0") + bytes(16))


@pytest.mark.parametrize("number", range(1, FORMAT + 1))
def test_a_program_goes_on_from_it(number: int, tmp_path: Path) -> None:
    shutil.copytree(HERE / f"format-{number}", tmp_path / "checkpoint")
    for folder in (tmp_path / "checkpoint", *(tmp_path / "checkpoint").iterdir()):
        folder.chmod(0o700)
    assert run(tmp_path / "checkpoint", MADE + 1, 2) == EXPECTED


@pytest.mark.parametrize("number", range(1, FORMAT + 1))
def test_what_it_tells(number: int) -> None:
    path = str(HERE / f"format-{number}")
    loaded = Journal(LocalStorage(), path).load()
    assert loaded is not None
    image = loaded.image
    assert (image.committed_ms, image.batches, image.runs, image.zero_ms) == (5000, 5, 2, 0)
    assert list(image.operators) == ["totals", "sets", "latest", "sums"]
    assert loaded.complaints == []
    assert Journal(LocalStorage(), path).snapshots()
    assert [batch.time for batch in recorded_batches(path)][-1] == 5000


def test_this_version_writes_what_it_reads(tmp_path: Path) -> None:
    make(tmp_path / "checkpoint")
    assert run(tmp_path / "checkpoint", MADE + 1, 2) == EXPECTED
