"""The input all engines of a workload share."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from penstock.brokerage.feed import feed
from penstock.brokerage.generate import write_orders

__all__ = ["ORDERS", "emptied", "order_files"]

ORDERS = 500_000
LINES_PER_FILE = 10_000
_FIRST_MOMENT_S = 1_700_000_000


def order_files(folder: Path, orders: int = ORDERS, lines: int = LINES_PER_FILE) -> Path:
    """A directory of files of made-up orders, each a second newer than the one before; made once."""
    directory = folder / f"orders-{orders}-{lines}"
    if not directory.exists():
        folder.mkdir(parents=True, exist_ok=True)
        whole, making = folder / "orders.txt", folder / "making"
        write_orders(whole, orders, seed=1)
        feed(whole, making, lines, 0)
        dated(making)
        making.rename(directory)
        whole.unlink()
    return directory


def dated(directory: Path) -> None:
    """Date the files in the order of their names: some engines take files in the order of their dates."""
    for index, file in enumerate(sorted(directory.iterdir())):
        os.utime(file, (_FIRST_MOMENT_S + index, _FIRST_MOMENT_S + index))


def emptied(folder: Path) -> Path:
    """The folder, with nothing in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
