"""The input all engines of a workload share."""

from __future__ import annotations

from pathlib import Path

from penstock.brokerage.feed import feed
from penstock.brokerage.generate import write_orders

ORDERS = 500_000
LINES_PER_FILE = 10_000


def order_files(folder: Path, orders: int = ORDERS, lines: int = LINES_PER_FILE) -> Path:
    """A directory of files of made-up orders; made once."""
    directory = folder / f"orders-{orders}-{lines}"
    if not directory.exists():
        whole, making = folder / "orders.txt", folder / "making"
        write_orders(whole, orders, seed=1)
        feed(whole, making, lines, 0)
        making.rename(directory)
        whole.unlink()
    return directory
