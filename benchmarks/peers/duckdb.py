"""The dashboard on DuckDB, on all cores: what a file of orders sums up to."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.dashboard import Sums, sorted_out
from penstock.brokerage.orders import AMOUNT_MAX

READ = """
    CREATE OR REPLACE TEMP TABLE orders AS FROM read_csv(?,
        header = false, auto_detect = false, delim = ',', quote = '', escape = '',
        columns = {'time': 'TIMESTAMP_S', 'order_id': 'BIGINT', 'client_id': 'BIGINT', 'symbol': 'VARCHAR',
                   'amount': 'BIGINT', 'price': 'DECIMAL(12, 2)', 'side': 'VARCHAR'})
"""
CHECK = f"""
    SELECT count(*), coalesce(bool_and(amount BETWEEN 1 AND {AMOUNT_MAX} AND price > 0 AND side IN ('B', 'S')
        AND order_id IS NOT NULL AND client_id IS NOT NULL AND symbol IS NOT NULL AND time IS NOT NULL), true)
    FROM orders
"""
SIDES = "SELECT side, count(*) FROM orders GROUP BY side"
CLIENTS = "SELECT client_id, sum(amount * CAST(price * 100 AS BIGINT)) FROM orders GROUP BY client_id"
SYMBOLS = "SELECT symbol, sum(amount) FROM orders GROUP BY symbol"


def sums_of() -> Callable[[Path], Sums]:
    """DuckDB's reader says whether all is well; if not, the file is sorted out line by line."""
    connection = duckdb.connect()

    def read(file: Path, lines: int) -> bool:
        """Whether the table of orders now holds every line."""
        try:
            connection.execute(READ, [str(file)])
        except duckdb.Error:
            return False
        # A blank line is no error to it, so that lines have to be counted.
        return connection.execute(CHECK).fetchone() == (lines, True)

    def sums(file: Path) -> Sums:
        data = file.read_bytes()
        refused: list[tuple[int, str]] = []
        if not read(file, data.count(b"\n")):
            good, refused = sorted_out(data)
            with tempfile.TemporaryDirectory() as folder:
                clean = Path(folder) / file.name
                clean.write_bytes(good)
                assert read(clean, good.count(b"\n")), f"{file}: not an order in DuckDB's eyes"
        return Sums(_pairs(SIDES), _pairs(CLIENTS), _pairs(SYMBOLS), refused)

    def _pairs(query: str) -> dict[Any, int]:
        return {key: int(value) for key, value in connection.execute(query).fetchall()}

    return sums
