"""The dashboard, killed with SIGKILL at random moments while it is fed, loses no order and counts none
twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from penstock import Context, StreamingContext
from penstock.brokerage.generate import write_orders
from penstock.brokerage.pipeline import figures_of
from penstock.checkpoint import RecordedBatch, recorded_batches
from penstock.clock import ManualClock
from penstock.context import has_checkpoint
from penstock.sources import Intent
from penstock.testing import Stepper
from penstock.times import BatchTime

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs the signals of POSIX")

INTERVAL_MS, WINDOW_S, LINES = 100, 3.0, 40


class Feeder(threading.Thread):
    """Moves small files into a directory until it is told to end."""

    def __init__(self, orders: Path, inbox: Path, pause_s: float) -> None:
        super().__init__(daemon=True)
        self.names: list[str] = []
        self._lines = orders.read_bytes().splitlines(keepends=True)
        self._inbox = inbox
        self._pause_s = pause_s
        self._end = threading.Event()

    def run(self) -> None:
        while not self._end.wait(self._pause_s):
            name = f"orders-{len(self.names):05d}.txt"
            at = len(self.names) * LINES % len(self._lines)
            hidden = self._inbox / f".{name}"
            hidden.write_bytes(b"".join(self._lines[at : at + LINES]))
            hidden.rename(self._inbox / name)
            self.names.append(name)

    def end(self) -> None:
        self._end.set()
        self.join()


@contextmanager
def fed(folder: Path, pause_s: float = 0.03) -> Iterator[Feeder]:
    """Feed the directory: every file comes after the start, of which the checkpoint tells."""
    feeder = Feeder(folder / "orders.txt", folder / "in", pause_s)
    feeder.start()
    try:
        yield feeder
    finally:
        feeder.end()


def started(folder: Path, log: Any, *options: str, interval_ms: int = INTERVAL_MS) -> subprocess.Popen[bytes]:
    line = [
        *(sys.executable, "-m", "penstock.cli", "brokerage", "run", "--no-ui", *options),
        *("--interval", str(interval_ms / 1000)),
        *(
            "--window",
            str(WINDOW_S),
            "--input",
            str(folder / "in"),
            "--output",
            str(folder / "out" / "figures"),
        ),
    ]
    return subprocess.Popen(line, stdout=log, stderr=log)


def committed(folder: Path) -> int:
    try:
        return sum(batch.committed for batch in recorded_batches(str(folder / "out" / "figures-checkpoint")))
    except FileNotFoundError:
        return 0


def run_killed(folder: Path, kills: int, seed: int) -> None:
    """Kill it so often, and once more, then let it take what is there and stop."""
    chance = random.Random(seed)
    write_orders(folder / "orders.txt", 20_000, seed=3, malformed=0.01)
    (folder / "in").mkdir()
    with open(folder / "log.txt", "wb") as log:
        first = started(folder, log)
        while not has_checkpoint(str(folder / "out" / "figures-checkpoint")):
            assert first.poll() is None, (folder / "log.txt").read_text("utf-8", "replace")[-2000:]
            time.sleep(0.01)
        with fed(folder) as feeder:
            first.kill()
            first.wait()
            run_killed_while_fed(folder, kills, chance, feeder, log)


def run_killed_while_fed(folder: Path, kills: int, chance: random.Random, feeder: Feeder, log: Any) -> None:
    for _ in range(kills):
        process = started(folder, log)
        # Some are killed while they start, most while they run.
        time.sleep(chance.choice([chance.uniform(0.2, 0.7), chance.uniform(0.7, 1.6)]))
        process.send_signal(signal.SIGKILL)
        process.wait()
    process = started(folder, log)
    try:
        before, deadline = committed(folder), time.monotonic() + 60
        while committed(folder) < before + 5:
            assert process.poll() is None, (folder / "log.txt").read_text("utf-8", "replace")[-2000:]
            assert time.monotonic() < deadline, "no batch was completed"
            time.sleep(0.1)
        feeder.end()
        names = set(feeder.names)
        while taken(folder).keys() < names:
            assert time.monotonic() < deadline, f"not taken: {sorted(names - taken(folder).keys())}"
            time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def taken(folder: Path) -> Counter[str]:
    """In how many committed batches each file is."""
    batches = recorded_batches(str(folder / "out" / "figures-checkpoint"))
    return Counter(
        Path(path).name
        for batch in batches
        if batch.committed
        for intent in batch.intents.values()
        for path, *_ in intent.items
    )


def undisturbed(folder: Path, batches: list[RecordedBatch], interval_ms: int) -> dict[str, str]:
    """What a run that nothing disturbs writes, given which batch took which files."""
    intents = {batch.time: intent for batch in batches for intent in batch.intents.values()}
    clock, rejects = ManualClock(), []
    with Context("local[2]", "undisturbed") as sc:
        sc.setCheckpointDir(str(folder / "rdds"))
        ssc = StreamingContext(sc, interval_ms / 1000, clock=clock)
        figures = figures_of(ssc.textFileStream(str(folder / "in")), WINDOW_S)
        source: Any = ssc.graph.inputs[0].source
        source.plan = lambda time: intents.get(time, Intent())
        figures.rejects.foreachRDD(lambda rdd: rejects.extend(rdd.collect()))
        figures.report.saveAsTextFiles(str(folder / "expected" / "figures"), "txt")
        clock.set(batches[0].time - 1)
        with Stepper(ssc, clock) as stepper:
            for batch in batches:
                clock.set(BatchTime(batch.time - 1))
                assert stepper.step() == batch.time
    found = contents(folder / "expected")
    found["rejects"] = "".join(sorted(f"{Path(r.source).name} {r.number}\n" for r in rejects))
    return found


def contents(folder: Path) -> dict[str, str]:
    """The parts of all outputs; each is whole, and nothing else is there."""
    found = {}
    for directory in sorted(folder.glob("figures-*.txt")):
        names = {path.name for path in directory.iterdir()}
        assert names == {"part-00000", "_SUCCESS"}, f"{directory}: {names}"
        parts = json.loads((directory / "_SUCCESS").read_text())["parts"]
        assert parts["part-00000"]["bytes"] == (directory / "part-00000").stat().st_size
        found[directory.name] = (directory / "part-00000").read_text()
    return found


def check(folder: Path, interval_ms: int = INTERVAL_MS) -> None:
    batches = recorded_batches(str(folder / "out" / "figures-checkpoint"))
    assert all(batch.committed for batch in batches)
    names = {path.name for path in (folder / "in").iterdir()}
    assert dict(taken(folder)) == dict.fromkeys(names, 1), "each file is in exactly one committed batch"
    found = contents(folder / "out")
    rejects = (folder / "out" / "figures-rejects.tsv").read_text().splitlines()
    found["rejects"] = "".join(
        sorted("{} {}\n".format(Path(line.split("\t")[0]).name, line.split("\t")[1]) for line in rejects)
    )
    expected = undisturbed(folder, batches, interval_ms)
    assert found == expected
    left = [str(path) for path in (folder / "out").rglob("*") if path.name.endswith(".tmp")]
    assert not left, "temporaries of dead runs"


def test_killed_ten_times(tmp_path: Path) -> None:
    run_killed(tmp_path, 10, seed=1)
    check(tmp_path)


@pytest.mark.long(minutes=2)
def test_killed_a_hundred_times(tmp_path: Path) -> None:
    run_killed(tmp_path, 100, seed=2)
    check(tmp_path)
