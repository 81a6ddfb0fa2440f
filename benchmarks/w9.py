"""W9: the same programs on a Spark cluster of two workers with one core each, all of it on this machine.

The brokerage dashboard over W1's files of 10,000 orders and W2's of 500,000; and W4's state by key with
10,000 and with 1,000,000 resident keys: ``mapWithState`` for Penstock, and for PySpark, which has none,
``updateStateByKey``. ``penstock`` is the same program on this machine's own cores, without a cluster: it says
when one process is enough.

``seconds`` is the median of the processing times of 30 batches, after a warm-up; a batch of the dashboard is
a file. Engines with a cluster start one each, which does not count. CPU time and memory are those of cluster
and program together. Quick: the smaller of each.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import cycle, islice
from pathlib import Path

from benchmarks import w2, w4
from benchmarks.dashboard import application
from benchmarks.data import LINES_PER_FILE, emptied, order_files
from benchmarks.measure import Figures, batch_figures, measured
from benchmarks.workload import Engine, Workload

__all__ = ["dashboard", "files_in_turn", "workloads"]

WARM_UP = 10
BATCHES = 30
LOCAL = "local[*]"
# Longer than PySpark needs for a batch, so that batches do not queue up; a divisor of the window.
SPARK_INTERVAL_S = {LINES_PER_FILE: 5, w2.LINES_PER_FILE: 20}
_SMALL, _LARGE = 10_000, 1_000_000
_WHERE = "; but for penstock, on a cluster of two workers"


def dashboard(master: str, files: Callable[[Path], list[Path]], folder: Path) -> Figures:
    """The application's stream on this master, one file a batch."""
    from benchmarks.streams import Processing

    for module in ("penstock", "penstock.brokerage.pipeline", "pyarrow.compute", "pyarrow.csv"):
        importlib.import_module(module)
    directory = emptied(folder / "w9-penstock-files")
    for number, file in enumerate(files(folder)):
        os.link(file, directory / f"{number:05d}-{file.name}")
    processing = Processing()
    with measured() as whole:
        application(directory, emptied(folder / "w9-penstock"), master=master, listener=processing)
    seconds = processing.seconds
    assert len(seconds) == WARM_UP + BATCHES, seconds
    cpu = whole["cpu_seconds"] / len(seconds)
    return {**whole, **batch_figures(seconds[WARM_UP:]), "cpu_seconds": cpu}


def dashboard_by_pyspark(interval_s: float, files: Callable[[Path], list[Path]], folder: Path) -> Figures:
    """DStreams, lines parsed in Python."""
    from benchmarks.peers.spark_dstreams import batch_by_batch

    with _cluster() as url:
        return batch_by_batch(files(folder), emptied(folder / "w9-pyspark"), WARM_UP, interval_s, url)


def state_by_pyspark(keys: int, folder: Path) -> Figures:
    """``updateStateByKey``."""
    with _cluster() as url:
        return w4.by_pyspark(keys, folder, url, BATCHES)


def state(keys: int, master: str, folder: Path) -> Figures:
    """``mapWithState``."""
    return w4.mapped(keys, folder, master, BATCHES)


def on_cluster(engine: Callable[[str, Path], Figures], folder: Path) -> Figures:
    """The engine, with the URL of a cluster as its master."""
    with _cluster() as url:
        return engine(url, folder)


@contextmanager
def _cluster() -> Iterator[str]:
    from penstock.testing.cluster import LocalCluster

    with LocalCluster(workers=2, cores=1) as cluster:
        yield cluster.url


def files_in_turn(directory: Callable[[Path], Path], folder: Path) -> list[Path]:
    """As many as there are batches, from the first again if need be."""
    return list(islice(cycle(sorted(directory(folder).iterdir())), WARM_UP + BATCHES))


def _of_files(lines: int, directory: Callable[[Path], Path]) -> Workload:
    files = partial(files_in_turn, directory)

    def by_penstock(master: str, folder: Path) -> Figures:
        return dashboard(master, files, folder)

    engines: dict[str, Engine] = {
        "penstock": partial(by_penstock, LOCAL),
        "penstock-on-cluster": partial(on_cluster, by_penstock),
        "pyspark": partial(dashboard_by_pyspark, SPARK_INTERVAL_S[lines], files),
    }
    return Workload(
        f"median processing time of a batch of {lines:,} orders{_WHERE}", "pyspark", engines, directory
    )


def _of_keys(keys: int) -> Workload:
    by_penstock = partial(state, keys)
    engines: dict[str, Engine] = {
        "penstock": partial(by_penstock, LOCAL),
        "penstock-on-cluster": partial(on_cluster, by_penstock),
        "pyspark": partial(state_by_pyspark, keys),
    }
    unit = f"median processing time of a batch of {w4.TOUCHED:,} keys, {keys:,} resident{_WHERE}"
    return Workload(unit, "pyspark", engines)


def workloads(*, quick: bool) -> dict[str, Workload]:
    small = _of_files(LINES_PER_FILE, order_files)
    if quick:
        return {"W9-orders-10000": small, "W9-keys-10000": _of_keys(_SMALL)}
    large = _of_files(w2.LINES_PER_FILE, partial(w2.input_files, w2.ORDERS))
    return {
        "W9-orders-10000": small,
        "W9-orders-500000": large,
        "W9-keys-10000": _of_keys(_SMALL),
        "W9-keys-1000000": _of_keys(_LARGE),
    }
