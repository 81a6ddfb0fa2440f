"""The figures as a table in Markdown."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import date

from benchmarks.measure import Figures
from benchmarks.runner import Results
from benchmarks.workload import Workload

__all__ = ["page", "shown_seconds", "table"]

_SECONDS = {
    "mean_seconds": "mean",
    "p99_seconds": "p99",
    "median_seconds": "median",
    "drift_seconds": "drift",
    "beside_p99_seconds": "the empty ticker beside it",
}
_COUNTS = {
    "combines_per_slide": "combines a slide and key",
    "most_combines_per_slide": "at most",
    "bytes_per_key": "bytes a key",
    "state_bytes_per_key": "of state",
}


def table(results: Results, workloads: Mapping[str, Workload], runs: int, command: str) -> str:
    """What was measured, where, and the rows; ``runs`` and ``command`` are what to say of how."""
    lines = [
        f"Measured {date.today()} on {platform.machine()} with {os.cpu_count()} CPUs, Python "
        f"{platform.python_version()}, median of {runs} runs (PySpark: one); `{command}`.",
        "",
        "| workload | engine | figure | ratio | CPU time | peak memory |",
        "|---|---|---|---|---|---|",
    ]
    for name, engines in results.items():
        workload = workloads[name]
        base = engines.get(workload.base, {}).get("seconds")
        for engine, figures in engines.items():
            ratio = f"{figures['seconds'] / base:.2f}" if base else ""
            cpu = shown_seconds(figures["cpu_seconds"]) if "cpu_seconds" in figures else ""
            peak = f"{figures['peak_rss_mib']:.0f} MiB" if "peak_rss_mib" in figures else ""
            lines.append(
                f"| {name} | {engine} | {workload.unit}: {_figure(figures)} | {ratio} | {cpu} | {peak} |"
            )
    return "\n".join(lines) + "\n"


def page(table: str, picture: str | None) -> str:
    """The table as a file of its own, with the picture of that name."""
    shown = (
        f"![Wall time of each engine, as a ratio to the workload's base]({picture})\n\n" if picture else ""
    )
    return f"# Results\n\nRatios carry, times do not: see `python -m benchmarks --help`.\n\n{shown}{table}"


def shown_seconds(seconds: float) -> str:
    """A time, with a unit that suits it.

    >>> shown_seconds(2.5), shown_seconds(0.000131)
    ('2.50 s', '0.13 ms')
    """
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.2f} ms"


def _shown_count(count: float) -> str:
    return f"{count:,.0f}" if count >= 10 or count == int(count) else f"{count:.1f}"


def _figure(figures: Figures) -> str:
    further = [
        f"{words} {shown_seconds(figures[name])}" for name, words in _SECONDS.items() if name in figures
    ]
    counts = [f"{words} {_shown_count(figures[name])}" for name, words in _COUNTS.items() if name in figures]
    return ", ".join([shown_seconds(figures["seconds"]), *further, *counts])
