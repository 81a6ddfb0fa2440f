"""What ``import penstock`` loads, and what it costs, each time in a fresh process."""

from __future__ import annotations

import json
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
BASES_MAX = 1.5  # where 100 ms is what penstock may cost, importing pyarrow takes some 70 ms
PAIRS = 9
ROUNDS = 4


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


def both_ms(module: str, base: str, pairs: int, folder: Path | None = None) -> tuple[float, float]:
    """What each costs at its best, since all else that takes time here only adds to it."""
    import_ms(module, folder)  # fills the disk cache and writes what is compiled
    taken = [(import_ms(module, folder), import_ms(base, folder)) for _ in range(pairs)]
    return min(taken)[0], min(of_base for _, of_base in taken)


def test_import_loads_nothing_that_is_not_used() -> None:
    assert loaded_needlessly("penstock") == []


@pytest.mark.timing
def test_import_costs_little_more_than_pyarrow() -> None:
    """At most 100 ms, or where all is slow, half as much again as pyarrow takes there."""
    whole_ms = base_ms = float("inf")
    for _ in range(ROUNDS):  # a busy machine has more chances, a slow import has none
        found = both_ms("penstock", "pyarrow", PAIRS)
        whole_ms, base_ms = min(whole_ms, found[0]), min(base_ms, found[1])
        if whole_ms - base_ms <= max(COST_MS_MAX, BASES_MAX * base_ms):
            return
    pytest.fail(
        f"import penstock takes {whole_ms:.0f} ms, import pyarrow {base_ms:.0f} ms; "
        f"at most {COST_MS_MAX} ms more are allowed, or {BASES_MAX} times what pyarrow takes"
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
    slow_ms, light_ms = both_ms("slow", "light", pairs=3, folder=tmp_path)
    assert 150 < slow_ms - light_ms < 400
