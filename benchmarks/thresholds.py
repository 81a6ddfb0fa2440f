"""``python -m benchmarks.thresholds``: from how many records on something pays.

Prints, for each size, how long a map with a filter and a sum by key take on columns, as a ratio to rows
(made of the columns first, as the engine would have to). ``WORTH_ROWS`` of ``penstock.vectorize.programs``
should lie where both ratios are about 1.

Then, how long ``mapWithState`` takes on columns whose waves hold so many keys, as a ratio to rows: a sum, and
a mean. ``WORTH_WAVE`` of ``penstock.dstream.waves`` should lie where the first is about 1.

Then, how long a job of two partitions takes on two threads, as a ratio to one: of typed records, and of
Python objects. Both are above 1 for long, and the second never gets far below, as one thread at a time runs
Python.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from operator import add
from typing import Any, NamedTuple

import pyarrow as pa

from penstock.chunk import Chunk, Columns
from penstock.conf import INLINE_ROWS, Conf
from penstock.context import Context
from penstock.dstream import waves
from penstock.dstream.mapping import on_columns
from penstock.errors import CallSite
from penstock.plan import Filter, Map, Metrics, Task, run_fused
from penstock.rdd import RDD, CombineValues, Reducing
from penstock.state import RowVersion, State
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

    print("\nkeys a wave    sum   mean")
    for size in (50, 100, 150, 200, 300, 500, 1_000):
        print(f"{size:11,d}   {_of_waves(_sum, size):4.2f}   {_of_waves(_mean, size):4.2f}")

    print("\nrecords   typed records   Python objects")
    for size in (300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000):
        table = pa.table({"client": [i % 37 for i in range(size)], "amount": list(range(size))})
        print(f"{size:7,d}   {_of_threads(table, 0):13.2f}   {_of_threads(table, 1 << 40):14.2f}")


def _sum(key: int, value: float, state: State) -> Any:
    total = (state.getOption() or 0.0) + value
    state.update(total)
    return total


def _mean(key: int, value: float, state: State) -> Any:
    count, total = state.getOption() or (0, 0.0)
    state.update((count + 1, total + value))
    return (key, total / count) if count else None


def _of_waves(function: Callable[..., Any], size: int) -> float:
    """Time of ten waves on columns over that on rows, which begin as columns too."""
    waves.WORTH_WAVE, programs.WORTH_ROWS = 0, 300
    records = Columns.from_rows([(at % size, at / 4) for at in range(10 * size)])
    nothing = RowVersion.of([], 0)

    def on_rows() -> None:
        state, absent, made = State(), State.absent(), []
        with nothing.update(1) as update:
            for key, value in records.rows():
                state.open(update.get(key, absent))
                made.append(function(key, value, state))
                update.put(key, state.news())

    def in_waves() -> None:
        found = on_columns(function, nothing, [records], expires=False)
        assert found is not None
        with found.version.update(1) as update:
            assert found.run(update, keeps_time=False)

    in_waves()
    return _best(in_waves, 10) / _best(on_rows, 10)


def _of_threads(table: pa.Table, worth: int) -> float:
    """Time of a job on two threads over that on one."""
    programs.WORTH_ROWS = worth
    times = []
    for inline in (0, 1 << 40):
        conf = Conf().setMaster("local[2]").set(INLINE_ROWS.key, inline)
        with Context(conf=conf) as sc:
            records = sc.fromArrow(table, 2)
            records.persist().count()
            times.append(_best(lambda records=records: _job(records), 3 + 300_000 // table.num_rows))
    return times[0] / times[1]


def _job(records: RDD) -> None:
    records.map(lambda row: (row[0], row[1] * 2 + 1)).reduceByKey(add).count()


def _best(work: Callable[[], object], runs: int) -> float:
    """Of five times ``runs`` runs, the mean of the best."""
    best = float("inf")
    for _ in range(5):
        begun = time.perf_counter()
        for _ in range(runs):
            work()
        best = min(best, (time.perf_counter() - begun) / runs)
    return best


def _ratio(chunk: Columns, work: Callable[[Chunk], list[Chunk]]) -> float:
    """Time on columns over time on rows."""
    times = []
    for worth in (0, len(chunk) + 1):
        programs.WORTH_ROWS = worth
        work(chunk)
        times.append(_best(lambda: [part.rows() for part in work(chunk)], max(20, 200_000 // len(chunk))))
    return times[0] / times[1]


if __name__ == "__main__":
    main()
