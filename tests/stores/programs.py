"""A program whose input, output and checkpoint are in a store, and what readers find of it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from penstock import Context, StreamingContext
from penstock.clock import ManualClock
from penstock.context.lifecycle import Lifecycle
from penstock.storage import MARKER, Storage, join, storage_for
from penstock.testing import Stepper

INTERVAL_MS = 1_000


def build(ssc: StreamingContext, url: str) -> None:
    lines = ssc.textFileStream(f"{url}/in", newFilesOnly=False)
    lines.saveAsTextFiles(f"{url}/out/lines")
    words = lines.flatMap(str.split).map(lambda word: (word, 1))
    counts = words.updateStateByKey(lambda news, count: sum(news) + (count or 0), 2).name("counts")
    counts.map(lambda pair: f"{pair[0]} {pair[1]}").saveAsTextFiles(f"{url}/out/counts")


class Life:
    """A run of the program on the manual clock, that ends without a farewell."""

    def __init__(self, sc: Context, url: str, inputs: list[list[str]]) -> None:
        self.sc = sc
        self.url = url
        self.inputs = inputs
        self.done = 0

    def run(self, done: int = 0) -> int:
        """All batches after the ``done`` first; how many there are then. Raises what the store raises."""
        self.done = done
        clock = ManualClock()
        clock.set(done * INTERVAL_MS + INTERVAL_MS // 2)

        def setup() -> StreamingContext:
            ssc = StreamingContext(self.sc, 1, clock=clock)
            build(ssc, self.url)
            return ssc

        ssc = None
        try:
            ssc = StreamingContext.getOrCreate(f"{self.url}/checkpoint", setup, upgrade=True, clock=clock)
            stepper = Stepper(ssc, clock)
            ssc.start()
            for number in range(done, len(self.inputs)):
                self._feed(number)
                due = (number + 1) * INTERVAL_MS
                if (ssc.driver.last_time or 0) < due:
                    stepper.step()
                if ssc.driver.error is not None:
                    raise ssc.driver.error
                clock.set(due)
                self.done = number + 1
        finally:
            try:
                if ssc is not None:
                    ssc.stop(stopSparkContext=False)
            except OSError:
                pass
            Lifecycle._active = self.sc._stop_stream = None  # the dead release nothing
        return self.done

    def _feed(self, number: int) -> None:
        """Others write it, whatever becomes of the program."""
        put(f"{self.url}/in/{number:05}.txt", "".join(f"{line}\n" for line in self.inputs[number]))


def put(url: str, text: str) -> None:
    storage, path = storage_for(url)
    if not storage.exists(path):
        storage.write_atomic(path, text.encode())


def outputs(storage: Storage, root: str) -> dict[str, list[str]]:
    """The lines of each output that carries its mark."""
    found: dict[str, list[str]] = {}
    for name in storage.list_names(join(root, "out")).directories:
        lines = output(storage, join(root, f"out/{name}"))
        if lines is not None and not name.startswith("."):
            found[name] = lines
    return found


def output(storage: Storage, directory: str) -> list[str] | None:
    """The lines of an output, ``None`` without its mark; with it, all of it must be there."""
    try:
        marker: Any = json.loads(storage.read(join(directory, MARKER)))
    except FileNotFoundError:
        return None
    lines: list[str] = []
    for name, part in sorted(marker["parts"].items()):
        data = storage.read(join(directory, name))
        assert len(data) == part["bytes"], f"{directory} is marked, but {name} is not whole"
        lines += data.decode().splitlines()
    return lines


def environ() -> dict[str, str]:
    """The environment in which this module runs as a program."""
    here = Path(__file__).resolve().parents[2]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(here / "src"), str(here)])}


def follow(url: str, interval: float, available: bool) -> None:
    """The program as a user runs it; a line for each batch."""
    sc = Context("local[2]", "store")

    def setup() -> StreamingContext:
        ssc = StreamingContext(sc, interval)
        build(ssc, url)
        ssc.textFileStream(f"{url}/in", newFilesOnly=False).count().foreachRDD(
            lambda time, rdd: print("batch", time, flush=True)
        )
        return ssc

    ssc = StreamingContext.getOrCreate(f"{url}/checkpoint", setup, upgrade=True)
    ssc.start(availableNow=available)
    ssc.awaitTermination()


if __name__ == "__main__":
    follow(sys.argv[1], float(sys.argv[2]), sys.argv[3] == "available")
