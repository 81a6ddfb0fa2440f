"""W2: the brokerage dashboard on 5,000,000 orders, in 10 files of 500,000, one a batch; quick: in 2 files.

The same work as W1, in batches that are large enough for engines that use all cores.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.dashboard import Sums, application, loop, timed
from benchmarks.data import order_files
from benchmarks.measure import Figures
from benchmarks.workload import Workload

__all__ = ["LINES_PER_FILE", "ORDERS", "input_files", "workloads"]

ORDERS = 5_000_000
LINES_PER_FILE = 500_000


def input_files(orders: int, folder: Path) -> Path:
    """Those of so many orders."""
    return order_files(folder, orders, LINES_PER_FILE)


def penstock(orders: int, folder: Path) -> Figures:
    """The stream of ``penstock brokerage run``, without its screen."""
    for module in ("penstock", "penstock.brokerage.pipeline", "pyarrow.compute", "pyarrow.csv"):
        importlib.import_module(module)

    return timed(input_files(orders, folder), folder / "w2-penstock", orders, application)


def polars(orders: int, folder: Path) -> Figures:
    """A loop by hand, Polars on all cores."""
    from benchmarks.peers.polars import sums_of

    return _looped(orders, folder, "polars", sums_of)


def duckdb(orders: int, folder: Path) -> Figures:
    """A loop by hand, DuckDB on all cores, in memory."""
    from benchmarks.peers.duckdb import sums_of

    return _looped(orders, folder, "duckdb", sums_of())


def _looped(orders: int, folder: Path, name: str, sums_of: Callable[[Path], Sums]) -> Figures:
    files = input_files(orders, folder)
    return timed(files, folder / f"w2-{name}", orders, lambda d, o: loop(d, o, sums_of))


def workloads(*, quick: bool) -> dict[str, Workload]:
    orders = 1_000_000 if quick else ORDERS
    engines = {"penstock": penstock, "polars": polars, "duckdb": duckdb}
    return {
        "W2": Workload(
            f"wall time for {orders:,} orders in {orders // LINES_PER_FILE} files",
            "polars",
            {name: partial(engine, orders) for name, engine in engines.items()},
            partial(input_files, orders),
        )
    }
