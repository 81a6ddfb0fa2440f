"""What a run costs: wall time, CPU time and memory of this process and of all that it started.

An engine may be one process (Penstock, a loop by hand) or several (PySpark: a JVM and Python workers). So
time and memory are summed over the tree of processes as it stands, which Linux shows in ``/proc``; elsewhere
they are those of this process and of its children that have ended.
"""

from __future__ import annotations

import os
import resource
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Figures", "batch_figures", "cpu_seconds", "measured", "p99", "peak_rss_mib", "resident_bytes"]

Figures = dict[str, float]
"""What one run gives: ``seconds`` and, where it makes sense, ``records``, ``cpu_seconds``, ``peak_rss_mib``
and figures of the workload's own."""

_PROC = Path("/proc")
_LINUX = sys.platform == "linux"


@contextmanager
def measured(**more: float) -> Iterator[Figures]:
    """Measure the block: ``seconds``, ``cpu_seconds`` and ``peak_rss_mib`` are there when it is over.

    ``more`` are figures to begin with, such as ``records=500_000``. What should not count, such as imports
    and making the input, is done before.

    >>> with measured(records=3) as figures:
    ...     _ = sorted([3, 1, 2])
    >>> sorted(figures)
    ['cpu_seconds', 'peak_rss_mib', 'records', 'seconds']
    """
    figures: Figures = dict(more)
    cpu_before, begun = cpu_seconds(), time.perf_counter()
    yield figures
    figures["seconds"] = time.perf_counter() - begun
    figures["cpu_seconds"] = cpu_seconds() - cpu_before
    figures["peak_rss_mib"] = peak_rss_mib()


def batch_figures(seconds: Sequence[float]) -> Figures:
    """The figures of a stream whose batches took so long: ``seconds`` is their median.

    >>> batch_figures([0.25, 0.5, 0.75])
    {'seconds': 0.5, 'mean_seconds': 0.5, 'p99_seconds': 0.75, 'batches': 3}
    """
    return {
        "seconds": statistics.median(seconds),
        "mean_seconds": statistics.fmean(seconds),
        "p99_seconds": p99(seconds),
        "batches": len(seconds),
    }


def p99(figures: Iterable[float]) -> float:
    """The 99th percentile: the greatest figure, if there are 100 or fewer.

    >>> p99(range(200)), p99([3, 1, 2])
    (198, 3)
    """
    ranked = sorted(figures)
    return ranked[min(int(0.99 * len(ranked)), len(ranked) - 1)]


def cpu_seconds() -> float:
    """User and system time so far, of this process and of its descendants, those that have ended included."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    alive = sum(_cpu_of(process) for process in _descendants())
    return time.process_time() + ended.ru_utime + ended.ru_stime + alive


def peak_rss_mib() -> float:
    """The sum of the greatest resident sizes that this process and its living descendants have had.

    Pages that processes share count once for each of them.
    """
    if not _LINUX:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
    # Not ru_maxrss: that begins with what the process that started us held.
    return sum(_status_kib(process, "VmHWM") for process in (os.getpid(), *_descendants())) / 1024


def resident_bytes() -> int:
    """What this process holds in memory now; its greatest size so far where the system tells no more."""
    if not _LINUX:
        return round(peak_rss_mib() * 2**20)
    return _status_kib(os.getpid(), "VmRSS") * 1024


def _descendants() -> list[int]:
    """The processes below this one that have not ended."""
    if not _LINUX:
        return []
    children = defaultdict(list)
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children[int(fields[1])].append(int(entry.name))
    found: list[int] = []
    waiting = [os.getpid()]
    while waiting:
        below = children[waiting.pop()]
        found += below
        waiting += below
    return found


def _cpu_of(process: int) -> float:
    """Of one process and its children that have ended."""
    fields = _stat(process)
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def _stat(process: int) -> list[str]:
    """The fields of ``/proc/<process>/stat`` behind the name, which may hold blanks; none if it has ended."""
    try:
        return (_PROC / str(process) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _status_kib(process: int, name: str) -> int:
    try:
        lines = (_PROC / str(process) / "status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)
