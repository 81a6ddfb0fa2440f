"""``python -m benchmarks [W3 W7 ...]``: run workloads, print ratios, keep the table.

Each engine runs in a process of its own, in turn, several times; the median is shown, and its ratio to the
workload's base. Machines are noisy: the ratios carry, the times do not.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

WORKLOADS = {
    "W1": "benchmarks.w1",
    "W2": "benchmarks.w2",
    "W3": "benchmarks.w3",
    "W7": "benchmarks.w7",
    "W8": "benchmarks.w8",
    "ticker": "benchmarks.ticker",
}
PEERS = {"polars": "polars", "pyspark": "pyspark"}  # engine: the module it needs
SLOW = {"pyspark"}  # takes minutes, so runs once, and only if asked for
EXTRAS = {
    "p99_seconds": "p99",
    "median_seconds": "median",
    "drift_seconds": "drift",
    "beside_p99_seconds": "the empty ticker beside it",
}
QUICK_RUNS = 3

Results = dict[str, dict[str, dict[str, float]]]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("workloads", nargs="*", metavar="W", help=f"of {', '.join(WORKLOADS)}; default: all")
    parser.add_argument("--engines", help="comma-separated; default: those that are installed and fast")
    parser.add_argument("--runs", type=int, default=QUICK_RUNS, help="of each engine; default %(default)s")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--table", type=Path, help="write the table here too, as Markdown")
    parser.add_argument("--child", nargs=2, metavar=("W", "ENGINE"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help="where the input is made; default: a temporary folder")
    options = parser.parse_args()
    if options.child:
        _child(*options.child, options.folder)
        return
    unknown = set(options.workloads) - set(WORKLOADS)
    if unknown:
        parser.error(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(WORKLOADS)}")
    chosen = options.workloads or list(WORKLOADS)
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as temporary:
        results = _run(chosen, options.engines, options.runs, options.folder or Path(temporary))
    table = _table(results, options.runs)
    print(table)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    if options.table:
        options.table.write_text(
            f"# Results\n\nRatios carry, times do not: see `python -m benchmarks --help`.\n\n{table}"
        )


def _run(chosen: list[str], engines: str | None, runs: int, folder: Path) -> Results:
    results: Results = {}
    for name in chosen:
        module = importlib.import_module(WORKLOADS[name])
        wanted = engines.split(",") if engines else [e for e in module.ENGINES if _by_default(e)]
        found: dict[str, list[dict[str, float]]] = {}
        for turn in range(runs):
            for engine in wanted:
                if engine not in module.ENGINES or (engine in SLOW and turn):
                    continue
                if engine in PEERS and importlib.util.find_spec(PEERS[engine]) is None:
                    raise SystemExit(f"{engine} is not installed: pip install 'penstock[bench]'")
                print(f"{name} {engine}, run {turn + 1} of {runs}", file=sys.stderr, flush=True)
                found.setdefault(engine, []).append(_in_own_process(name, engine, folder))
        results[name] = {engine: _medians(figures) for engine, figures in found.items()}
    return results


def _by_default(engine: str) -> bool:
    return engine not in SLOW and (engine not in PEERS or importlib.util.find_spec(PEERS[engine]) is not None)


def _in_own_process(name: str, engine: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks", "--child", name, engine, "--folder", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def _child(name: str, engine: str, folder: Path) -> None:
    figures: dict[str, Any] = importlib.import_module(WORKLOADS[name]).ENGINES[engine](folder)
    if "records" in figures:
        figures["records_per_second"] = figures["records"] / figures["seconds"]
    figures["peak_rss_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(figures))


def _medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def _table(results: Results, runs: int) -> str:
    command = " ".join(["python -m benchmarks", *sys.argv[1:]])
    lines = [
        f"Measured {date.today()} on {platform.machine()} with {os.cpu_count()} CPUs, Python "
        f"{platform.python_version()}, median of {runs} runs; `{command}`.",
        "",
        "| workload | engine | figure | ratio | peak memory |",
        "|---|---|---|---|---|",
    ]
    for name, engines in results.items():
        module = importlib.import_module(WORKLOADS[name])
        base = engines.get(module.BASE, {}).get("seconds")
        for engine, figures in engines.items():
            ratio = f"{figures['seconds'] / base:.2f}" if base else ""
            extra = "".join(
                f", {words} {_time(figures[figure])}" for figure, words in EXTRAS.items() if figure in figures
            )
            lines.append(
                f"| {name} | {engine} | {module.UNIT}: {_time(figures['seconds'])}{extra} | {ratio} "
                f"| {figures['peak_rss_mib']:.0f} MiB |"
            )
    return "\n".join(lines) + "\n"


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.2f} ms"


if __name__ == "__main__":
    main()
