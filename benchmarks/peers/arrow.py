"""The dashboard on Arrow's kernels, on one thread, without a framework: what a file of orders sums up to."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from benchmarks.dashboard import FIELDS, Sums, sorted_out
from penstock.brokerage.orders import AMOUNT_MAX

SCHEMA = pa.schema(
    zip(
        FIELDS,
        [pa.timestamp("s"), pa.int64(), pa.int64(), pa.string(), pa.int64(), pa.float64(), pa.string()],
        strict=True,
    )
)


def sums_of(file: Path) -> Sums:
    """Arrow's reader says whether all is well; if not, the file is sorted out line by line."""
    data = file.read_bytes()
    refused: list[tuple[int, str]] = []
    try:
        orders = _parsed(data)
    except pa.ArrowInvalid:
        orders = None
    if orders is None or not _in_range(orders):
        data, refused = sorted_out(data)
        orders = _parsed(data)
    prices = pc.cast(pc.round(pc.multiply(orders["price"], 100)), pa.int64())
    sides = pc.value_counts(orders["side"]).to_pylist()
    return Sums(
        {each["values"]: each["counts"] for each in sides},
        _summed(orders["client_id"], pc.multiply_checked(orders["amount"], prices)),
        _summed(orders["symbol"], orders["amount"]),
        refused,
    )


def _parsed(data: bytes) -> pa.Table:
    if not data:
        return SCHEMA.empty_table()
    return csv.read_csv(
        BytesIO(data),
        read_options=csv.ReadOptions(column_names=list(FIELDS), use_threads=False),
        parse_options=csv.ParseOptions(quote_char=False, ignore_empty_lines=False),
        convert_options=csv.ConvertOptions(
            column_types=SCHEMA, null_values=[], timestamp_parsers=[csv.ISO8601]
        ),
    )


def _in_range(orders: pa.Table) -> bool:
    if not orders.num_rows:
        return True
    amounts, price = pc.min_max(orders["amount"]).as_py(), pc.min(orders["price"]).as_py()
    known = pc.all(pc.is_in(orders["side"], pa.array(["B", "S"]))).as_py()
    return bool(amounts["min"] > 0 and amounts["max"] <= AMOUNT_MAX and price > 0 and known)


def _summed(keys: Any, values: Any) -> dict[Any, int]:
    sums = pa.table([keys, values], ["key", "value"]).group_by("key", use_threads=False)
    found = sums.aggregate([("value", "sum")])
    return dict(zip(found["key"].to_pylist(), found["value_sum"].to_pylist(), strict=True))
