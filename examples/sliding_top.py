"""The securities with the largest volume of the last minute, every ten seconds: an hour in a moment.

Runs on a clock that is turned by hand, so an hour of batches passes as fast as it is computed. With the
clock left out, and a folder instead of made-up orders, it is a program for every day.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import add, sub

from penstock import Context, DStream, Minutes, Seconds
from penstock.brokerage.generate import order_blocks
from penstock.brokerage.orders import Order
from penstock.testing import run_batches

BATCH = Seconds(10)
WINDOW = Minutes(1)


def top(lines: DStream, count: int) -> DStream:
    """The ``count`` symbols with the largest volume in the window, the largest first."""
    volumes = lines.parseCsv(Order).map(lambda order: (order.symbol, order.amount))
    in_window = volumes.reduceByKeyAndWindow(add, sub, WINDOW)
    ranked = in_window.transform(lambda rdd: rdd.sortBy(lambda pair: (-pair[1], pair[0])).zipWithIndex())
    return ranked.filter(lambda pair: pair[1] < count).map(lambda pair: pair[0])


def orders_by_batch(hours: float) -> Iterator[list[str]]:
    """Made-up lines of orders, as many in each batch as a quiet market would send."""
    count = round(hours * 3600_000 / BATCH.milliseconds)
    lines = b"".join(order_blocks(orders=count * 20, seed=1)).decode().splitlines()
    for at in range(0, len(lines), 20):
        yield lines[at : at + 20]


def main() -> None:
    with Context("local[2]", "sliding top"):
        batches = list(orders_by_batch(hours=1))
        results = run_batches(batches, lambda lines: top(lines, 3), batchDuration=BATCH)
    for number, ranking in enumerate(results, 1):
        if number % 60 == 0:
            shown = ", ".join(f"{symbol} {volume:,}" for symbol, volume in ranking)
            print(f"after {number * BATCH.milliseconds // 60_000} min: {shown}")


if __name__ == "__main__":
    main()
