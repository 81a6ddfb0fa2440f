"""``python -m benchmarks.thresholds``: from how many records on a chunk in columns is computed as columns.

Prints, for each size, how long a map with a filter and a sum by key take on columns, as a ratio to rows
(made of the columns first, as the engine would have to). ``WORTH_ROWS`` of ``penstock.vectorize.programs``
should lie where both ratios are about 1.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from operator import add
from typing import NamedTuple

from penstock.chunk import Chunk, Columns
from penstock.errors import CallSite
from penstock.plan import Filter, Map, Metrics, Task, run_fused
from penstock.rdd import CombineValues, Reducing
from penstock.vectorize import programs

SIZES = (50, 100, 150, 200, 300, 500, 1_000, 10_000)
_SITE = CallSite("benchmark")


class Sale(NamedTuple):
    """A record like those of most programs."""

    client: int
    symbol: str
    amount: int
    price: float


def main() -> None:
    """Print the table."""
    steps = (
        Map(lambda sale: (sale.client, sale.amount * sale.price), _SITE),
        Filter(lambda pair: pair[1] > 10.0, _SITE),
    )
    combine = CombineValues(Reducing(add, _SITE), partials=False)
    task = Task(0, 1, Metrics())
    print("records   map, filter   sum by key")
    for size in SIZES:
        sales = [Sale(i % 37, f"S{i % 11}", i, i * 0.25) for i in range(size)]
        chunk = Columns.from_rows(sales)
        pairs = Columns.from_rows([(sale.client, sale.amount) for sale in sales])
        chain = _ratio(chunk, lambda part: list(run_fused(steps, iter((part,)))))
        fold = _ratio(pairs, lambda part: list(combine.run(task, iter((part,)))))
        print(f"{size:7,d}   {chain:11.2f}   {fold:10.2f}")


def _ratio(chunk: Columns, work: Callable[[Chunk], list[Chunk]]) -> float:
    """Time on columns over time on rows."""
    times = []
    for worth in (0, len(chunk) + 1):
        programs.WORTH_ROWS = worth
        work(chunk)
        runs = max(20, 200_000 // len(chunk))
        best = float("inf")
        for _ in range(5):
            begun = time.perf_counter()
            for _ in range(runs):
                for part in work(chunk):
                    part.rows()
            best = min(best, (time.perf_counter() - begun) / runs)
        times.append(best)
    return times[0] / times[1]


if __name__ == "__main__":
    main()
