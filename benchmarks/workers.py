"""``python -m benchmarks.workers [processes]``: when worker processes pay.

A step of pure Python on threads and on workers, 4 partitions, by how much it computes for each record, which
is a number or a row of five fields. The seconds are medians. Where other programs run as well, these say
little; the CPU seconds say more: the job takes at least those of the program and of the busiest worker, one
after the other at worst, so threads' CPU seconds by these are what processes gain at least on free cores.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from penstock import RDD, Conf, Context

RECORDS = 40_000
RUNS = 5
ROUNDS = (0, 4, 16, 64, 256)


def checksum(rounds: int) -> Callable[[Any], int]:
    """Fletcher's checksum over so many words that are made of a record: Python, without a column form."""

    def of(record: Any) -> int:
        low, high = hash(record) & 0xFFFF, 1
        for _ in range(rounds):
            low = (low * 31 + 7) % 65535
            high = (high + low) % 65535
        return high << 16 | low

    return of


def row(number: int) -> tuple[int, str, float, int, str]:
    """A record as wide as an order."""
    return number, f"client-{number % 977}", number / 7, number % 3, "AMD"


@contextmanager
def context(workers: str, count: int) -> Iterator[Context]:
    """One whose Python runs on so many threads or processes."""
    conf = Conf().setMaster(f"local[{count}]").set("penstock.python.workers", workers)
    with Context(conf=conf.set("penstock.local.inlineRows", 0)) as sc:
        yield sc


class Cost(NamedTuple):
    """Of a job: seconds, and of CPU those of this process and of the busiest worker."""

    seconds: float
    here: float
    worker: float

    @property
    def at_most(self) -> float:
        """Seconds if nobody else wants the CPUs, and program and worker wait for each other."""
        return self.here + self.worker


def cost(job: Callable[[], Any], pids: Sequence[int]) -> Cost:
    """The median of some runs, the first of which does not count."""
    job()
    taken, here, workers = [], time.process_time(), list(map(_cpu_of, pids))
    for _ in range(RUNS):
        begun = time.perf_counter()
        job()
        taken.append(time.perf_counter() - begun)
    used = [after - before for before, after in zip(workers, map(_cpu_of, pids), strict=True)]
    spent = time.process_time() - here
    return Cost(statistics.median(taken), spent / RUNS, max(used, default=0) / RUNS)


def _cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(workers: str, count: int, records: list[Any]) -> list[Cost]:
    """For each amount of work."""
    with context(workers, count) as sc:
        source: RDD = sc.parallelize(records, 4).cache()
        source.count()
        pids: set[int] = set()
        while workers == "processes" and len(pids) < count:
            pids.update(sc.parallelize(range(100), 4 * count).map(_where).collect())
        return [cost(source.map(checksum(rounds)).collect, sorted(pids)) for rounds in ROUNDS]


def _where(record: Any) -> int:
    return os.getpid()


def main() -> None:
    """Print the tables."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    for name, records in (("numbers", list(range(RECORDS))), ("rows", list(map(row, range(RECORDS))))):
        threads, processes = measured("threads", count, records), measured("processes", count, records)
        print(f"{RECORDS} {name}, {count} threads, {count} processes; the time of a job in ms")
        print("| work, us a record | threads | processes | gain | CPU: threads | program | worker | gain |")
        print("|---|---|---|---|---|---|---|---|")
        for one, two in zip(threads, processes, strict=True):
            figures = [one.seconds, two.seconds, one.here, two.here, two.worker]
            a, b, c, d, e = (f"{figure * 1e3:.0f}" for figure in figures)
            print(
                f"| {one.here / RECORDS * 1e6:.2f} | {a} | {b} | {one.seconds / two.seconds:.2f} "
                f"| {c} | {d} | {e} | {one.here / two.at_most:.2f} |"
            )
        print(flush=True)


if __name__ == "__main__":
    main()
