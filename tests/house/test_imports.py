"""What ``import penstock`` loads, and what it costs, each time in a fresh process."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

# A user who does not use these does not pay for them. fsspec's local files alone may come with fsspec.
NOT_LOADED = (
    "IPython",
    "click",
    "confluent_kafka",
    "fsspec.implementations",
    "pandas",
    "plotly",
    "py4j",
    "pyspark",
    "rich",
    "s3fs",
    "sqlalchemy",
    "starlette",
    "uvicorn",
)
LOADED_WITH_FSSPEC = {"fsspec.implementations", "fsspec.implementations.local"}

COST_MS_MAX = 100
PAIRS = 9
ROUNDS = 3


def fresh_python(code: str, folder: Path | None = None) -> object:
    """The JSON that ``code`` prints in a new process that knows no folder but ``folder``."""
    prefix = f"import sys; sys.path.insert(0, {str(folder)!r})\n" if folder else ""
    done = subprocess.run(
        [sys.executable, "-I", "-c", prefix + code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def loaded_needlessly(module: str, folder: Path | None = None) -> list[str]:
    """Which of :data:`NOT_LOADED` are there after ``import module``."""
    names = fresh_python(f"import sys, json, {module}\nprint(json.dumps(sorted(sys.modules)))", folder)
    assert isinstance(names, list)
    return [
        name
        for name in names
        if name not in LOADED_WITH_FSSPEC
        and any(name == heavy or name.startswith(f"{heavy}.") for heavy in NOT_LOADED)
    ]


def import_ms(module: str, folder: Path | None = None) -> float:
    """How long ``import module`` takes in a fresh process, without the start of Python itself."""
    cost = fresh_python(
        "from time import perf_counter\n"
        "start = perf_counter()\n"
        f"import {module}\n"
        "print((perf_counter() - start) * 1000)",
        folder,
    )
    assert isinstance(cost, float)
    return cost


def extra_ms(module: str, base: str, pairs: int, folder: Path | None = None) -> float:
    """What ``module`` costs over ``base``: the median over pairs of processes, one of each in turn."""
    import_ms(module, folder)  # fills the disk cache and writes what is compiled
    differences = [import_ms(module, folder) - import_ms(base, folder) for _ in range(pairs)]
    return statistics.median(differences)


def test_import_loads_nothing_that_is_not_used() -> None:
    assert loaded_needlessly("penstock") == []


@pytest.mark.timing
def test_import_costs_little_more_than_pyarrow() -> None:
    """At most 100 ms, or on a machine that is slow for everything, less than pyarrow itself."""
    costs_ms, base_ms = [], []
    for _ in range(ROUNDS):  # a busy machine has a second and a third chance, a slow import has none
        costs_ms.append(extra_ms("penstock", "pyarrow", PAIRS))
        base_ms.append(statistics.median(import_ms("pyarrow") for _ in range(PAIRS)))
        if costs_ms[-1] <= max(COST_MS_MAX, base_ms[-1]):
            return
    pytest.fail(
        f"import penstock costs {costs_ms} ms over import pyarrow, which costs {base_ms} ms; "
        f"at most {COST_MS_MAX} ms is allowed, or as much as pyarrow"
    )


# ---------------------------------------------------------------------------------- the checker itself


def test_a_heavy_import_is_named(tmp_path: Path) -> None:
    (tmp_path / "light.py").write_text("import json")
    (tmp_path / "heavy.py").write_text("import light, click.core")
    assert loaded_needlessly("light", tmp_path) == []
    assert {"click", "click.core"} <= set(loaded_needlessly("heavy", tmp_path))


@pytest.mark.timing
def test_a_slow_import_is_measured(tmp_path: Path) -> None:
    (tmp_path / "light.py").write_text("import json")
    (tmp_path / "slow.py").write_text("import light, time\ntime.sleep(0.2)")
    assert 150 < extra_ms("slow", "light", pairs=3, folder=tmp_path) < 400
