"""``python -m benchmarks.nodes [1 2]``: what a batch takes on clusters of so many workers with one core each.

All workers and the program share this machine: with more of them than it has cores left, a figure says what
the machine lacks and not what the cluster does. Two sizes of a batch of the dashboard, one file each, and one
of a function that computes for each record, over files of one batch. From two sizes follow what a batch costs
whatever is in it, and how many records a second come on top of that.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import w2, w9
from benchmarks.data import LINES_PER_FILE, emptied, order_files
from benchmarks.streams import Processing
from benchmarks.workers import checksum
from penstock import Context, StreamingContext
from penstock.testing.cluster import LocalCluster

SIZES = {LINES_PER_FILE: order_files, w2.LINES_PER_FILE: partial(w2.input_files, w2.ORDERS)}
ROUNDS = 64  # 5 to 10 us of Python a record
COMPUTED = (2_000, 40_000)
PARTS = 4
WARM_UP, BATCHES = 5, 15


def dashboard(master: str, records: int, folder: Path) -> float:
    """Median seconds of a batch."""
    return w9.dashboard(master, partial(w9.files_in_turn, SIZES[records]), folder)["seconds"]


def computing(master: str, records: int, folder: Path) -> float:
    """The same of a batch of four files, of which a function in Python makes a number a line."""
    directory = emptied(folder / "computed")
    for batch in range(WARM_UP + BATCHES):
        for part in range(PARTS):
            lines = "".join(f"{part}-{number}\n" for number in range(records // PARTS))
            (directory / f"{batch:03d}-{part}.txt").write_text(lines)
    processing = Processing()
    with Context(master, "nodes") as sc:
        ssc = StreamingContext(sc, 1)
        ssc.addStreamingListener(processing)
        stream = ssc.textFileStream(str(directory), newFilesOnly=False, maxFilesPerBatch=PARTS)
        stream.map(checksum(ROUNDS)).reduce(max).foreachRDD(lambda rdd: rdd.collect())
        ssc.start(availableNow=True)
        ssc.awaitTermination()
    return statistics.median(processing.seconds[WARM_UP:])


@contextmanager
def master(workers: int) -> Iterator[str]:
    """The URL of a cluster, or with 0 workers one process."""
    if not workers:
        yield "local[*]"
        return
    with LocalCluster(workers=workers, cores=1) as cluster:
        yield cluster.url


def fitted(small: tuple[int, float], large: tuple[int, float]) -> str:
    """What a batch costs whatever is in it, and the records a second on top."""
    (few, less), (many, more) = small, large
    rate = (many - few) / max(more - less, 1e-9)
    return f"{(less - few / rate) * 1e3:.0f} ms and 1 s for {rate:,.0f} records"


def main() -> None:
    """Print a table."""
    counts = [0, *(int(each) for each in sys.argv[1:] or ("1", "2"))]
    kinds: dict[str, tuple[Any, tuple[int, ...]]] = {
        "dashboard": (dashboard, tuple(SIZES)),
        "computing": (computing, COMPUTED),
    }
    heads = " | ".join(f"{count} workers" if count else "one process" for count in counts)
    print(f"| a batch | records | {heads} |")
    print("|---|---|" + "---|" * len(counts), flush=True)
    with tempfile.TemporaryDirectory() as name:
        for kind, (measure, sizes) in kinds.items():
            found: dict[int, list[tuple[int, float]]] = {count: [] for count in counts}
            for records in sizes:
                for count in counts:
                    with master(count) as url:
                        found[count].append((records, measure(url, records, Path(name))))
                times = " | ".join(f"{found[count][-1][1] * 1e3:,.0f} ms" for count in counts)
                print(f"| {kind} | {records:,} | {times} |", flush=True)
            fits = " | ".join(fitted(*found[count]) for count in counts)
            print(f"| {kind} | so | {fits} |", flush=True)


if __name__ == "__main__":
    main()
