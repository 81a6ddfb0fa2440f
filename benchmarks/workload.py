"""What a workload is, and all that there are."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Figures

__all__ = ["Engine", "Workload", "workloads"]

Engine = Callable[[Path], Figures]
"""Does the work once, with what it reads and writes in the given folder, and says what that cost.

It imports what it runs on before it begins to measure."""

_MODULES = ("w1", "w2", "w3", "w4", "w5", "w6", "w7", "w8", "w9", "w10", "ticker")


@dataclass(frozen=True)
class Workload:
    """One amount of one kind of work, for several engines.

    ``unit`` says in words what ``seconds`` are of; ``base`` names the engine that ratios are taken to;
    ``prepare`` makes the input that all engines share, in the given folder, before any of them runs.
    """

    unit: str
    base: str
    engines: Mapping[str, Engine]
    prepare: Callable[[Path], object] = lambda folder: None


def workloads(*, quick: bool) -> dict[str, Workload]:
    """All by name, in the order in which they run. ``quick`` ones are smaller, or fewer.

    A kind of work that comes in several amounts has a name for each, such as ``W4-10000``.
    """
    found: dict[str, Workload] = {}
    for name in _MODULES:
        found.update(importlib.import_module(f"benchmarks.{name}").workloads(quick=quick))
    return found
