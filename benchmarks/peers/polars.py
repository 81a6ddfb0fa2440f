"""The dashboard on Polars, on all cores: what a file of orders sums up to."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.dashboard import FIELDS, Sums, sorted_out
from penstock.brokerage.orders import AMOUNT_MAX

TYPES = [pl.Datetime("us"), pl.Int64, pl.Int64, pl.String, pl.Int64, pl.Float64, pl.String]
SCHEMA: Mapping[str, Any] = dict(zip(FIELDS, TYPES, strict=True))


def sums_of(file: Path) -> Sums:
    """Polars' reader says whether all is well; if not, the file is sorted out line by line."""
    data = file.read_bytes()
    refused: list[tuple[int, str]] = []
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


def _parsed(data: bytes) -> pl.DataFrame:
    if not data:
        return pl.DataFrame(schema=SCHEMA)
    return pl.read_csv(BytesIO(data), has_header=False, quote_char=None, schema=SCHEMA)


def _in_range(orders: pl.DataFrame) -> bool:
    checks = [
        pl.all().is_not_null().all().name.prefix("has_"),
        pl.col("amount").is_between(1, AMOUNT_MAX).all(),
        (pl.col("price") > 0).all(),
        pl.col("side").is_in(["B", "S"]).all(),
    ]
    return all(orders.select(checks).row(0))
