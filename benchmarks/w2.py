"""W2: the brokerage dashboard on 5,000,000 orders, in 10 files of 500,000."""

from __future__ import annotations

import time
from io import BytesIO
from pathlib import Path
from typing import Any

from benchmarks.dashboard import FIELDS, Sums, application, loop, sorted_out
from benchmarks.data import order_files
from penstock.brokerage.orders import AMOUNT_MAX

ORDERS = 5_000_000
LINES_PER_FILE = 500_000


def penstock(folder: Path) -> dict[str, float]:
    """The stream of ``penstock brokerage run``, without its screen."""
    directory, output = order_files(folder, ORDERS, LINES_PER_FILE), folder / "w2-penstock"
    begun = time.perf_counter()
    application(directory, output)
    return {"seconds": time.perf_counter() - begun, "records": ORDERS}


def polars(folder: Path) -> dict[str, float]:
    """Polars on all cores, a file at a time."""
    directory, output = order_files(folder, ORDERS, LINES_PER_FILE), folder / "w2-polars"
    begun = time.perf_counter()
    loop(directory, output, polars_sums)
    return {"seconds": time.perf_counter() - begun, "records": ORDERS}


def polars_sums(file: Path) -> Sums:
    """Polars' reader says whether all is well; if not, the file is sorted out line by line."""
    import polars as pl

    data, refused = file.read_bytes(), []
    try:
        orders = _parsed(data)
        well = _in_range(orders)
    except pl.exceptions.PolarsError:
        well = False
    if not well:
        data, refused = sorted_out(data)
        orders = _parsed(data)
    cents = pl.col("amount") * (pl.col("price") * 100).round().cast(pl.Int64)
    sides, clients, symbols = pl.collect_all(
        [
            orders.lazy().group_by("side").agg(pl.len()),
            orders.lazy().group_by("client_id").agg(cents.sum()),
            orders.lazy().group_by("symbol").agg(pl.col("amount").sum()),
        ]
    )
    return Sums(dict(sides.iter_rows()), dict(clients.iter_rows()), dict(symbols.iter_rows()), refused)


def _parsed(data: bytes) -> Any:
    import polars as pl

    types = [pl.Datetime("us"), pl.Int64, pl.Int64, pl.String, pl.Int64, pl.Float64, pl.String]
    schema = dict(zip(FIELDS, types, strict=True))
    if not data:
        return pl.DataFrame(schema=schema)
    return pl.read_csv(BytesIO(data), has_header=False, quote_char=None, schema=schema)


def _in_range(orders: Any) -> bool:
    import polars as pl

    checks = [
        pl.all().is_not_null().all().name.prefix("has_"),
        pl.col("amount").is_between(1, AMOUNT_MAX).all(),
        (pl.col("price") > 0).all(),
        pl.col("side").is_in(["B", "S"]).all(),
    ]
    return all(orders.select(checks).row(0))


ENGINES = {"penstock": penstock, "polars": polars}
BASE = "polars"
UNIT = "wall time for 5,000,000 orders in 10 files"
