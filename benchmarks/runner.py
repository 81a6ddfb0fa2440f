"""Runs engines: each run in a process of its own, the engines in turn, so a slow minute hits all alike."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.engines import ROOT, peer_of
from benchmarks.measure import Figures
from benchmarks.workload import Workload

__all__ = ["Chosen", "EngineMissing", "Results", "chosen_engines", "in_own_process", "run"]

Results = dict[str, dict[str, Figures]]
"""Workload: engine: figure: median of its runs."""

Chosen = Mapping[str, list[str]]
"""Workload: the engines to run."""


class EngineMissing(Exception):
    """An engine that was asked for is not there; the message says how to get it, or which there are."""


def chosen_engines(
    workloads: Mapping[str, Workload], named: Iterable[str] | None, *, peers: bool
) -> tuple[Chosen, list[str]]:
    """The engines to run of each workload, and a line about each that is left out.

    ``named`` ones alone, if given: an :class:`EngineMissing` if one is not installed, or is of no workload.
    Otherwise all that are installed; those that take minutes only with ``peers``.
    """
    known = {engine for workload in workloads.values() for engine in workload.engines}
    if named is None:
        wanted = {engine for engine in known if peers or not peer_of(engine).slow}
    else:
        wanted = set(named)
        if unknown := wanted - known:
            names = ", ".join(sorted(unknown))
            raise EngineMissing(
                f"no engine {names} in {', '.join(workloads)}; there are {', '.join(sorted(known))}"
            )
    missing = sorted(engine for engine in wanted if peer_of(engine).python() is None)
    hints = [f"{engine} is not installed. Hint: {peer_of(engine).hint}" for engine in missing]
    if missing and named is not None:
        raise EngineMissing("\n".join(hints))
    slow = sorted(known - wanted) if named is None else []
    lines = [f"left out: {hint}" for hint in hints]
    if slow:
        lines.append(f"left out: {', '.join(slow)}, which take minutes. Hint: --peers, or --engines")
    runnable = wanted - set(missing)
    chosen = {
        name: [engine for engine in workload.engines if engine in runnable]
        for name, workload in workloads.items()
    }
    return {name: engines for name, engines in chosen.items() if engines}, lines


def run(
    workloads: Mapping[str, Workload], chosen: Chosen, runs: int, folder: Path, *, quick: bool
) -> tuple[Results, list[str]]:
    """Every engine ``runs`` times, slow ones once; their medians, and the names of those that failed.

    Input is made in ``folder``, output too. An engine that fails stops none of the others, as they may
    have run for long; what it said stands on standard error.
    """
    results: Results = {}
    failed: list[str] = []
    for name, engines in chosen.items():
        workloads[name].prepare(folder)
        found: dict[str, list[Figures]] = {engine: [] for engine in engines}
        for turn in range(runs):
            for engine in engines:
                total = 1 if peer_of(engine).slow else runs
                if turn < total:
                    print(f"{name} {engine}, run {turn + 1} of {total}", file=sys.stderr, flush=True)
                    try:
                        found[engine].append(in_own_process(name, engine, folder, quick=quick))
                    except subprocess.CalledProcessError:
                        failed.append(f"{name} {engine}, run {turn + 1}")
        if medians := {engine: _medians(figures) for engine, figures in found.items() if figures}:
            results[name] = medians
    return results, failed


def in_own_process(name: str, engine: str, folder: Path, *, quick: bool) -> Figures:
    """One run, by the Python that has the engine."""
    python = peer_of(engine).python()
    assert python is not None, f"{engine} is not installed"
    command = [python, "-m", "benchmarks", "--child", name, engine, "--folder", str(folder.resolve())]
    done = subprocess.run(
        [*command, *(["--quick"] if quick else [])], stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT
    )
    figures: Figures = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def _medians(runs: list[Figures]) -> Figures:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}
