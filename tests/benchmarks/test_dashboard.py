"""The engines of a workload do the same work: else their ratio says nothing."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.dashboard import application, loop, reports
from benchmarks.data import dated, emptied
from benchmarks.engines import ROOT, peer_of
from penstock.brokerage.feed import feed
from penstock.brokerage.generate import write_orders

MALFORMED = ["", "2016-03-22 20:25:28,1,80,EPE", "2016-02-30 20:25:28,1,80,EPE,710,51.00,B", "a,b,c,d,e,f,g"]

Engine = Callable[[Path, Path], None]


def by_arrow(directory: Path, output: Path) -> None:
    from benchmarks.peers.arrow import sums_of

    loop(directory, output, sums_of)


def by_polars(directory: Path, output: Path) -> None:
    from benchmarks.peers.polars import sums_of

    loop(directory, output, sums_of)


def by_duckdb(directory: Path, output: Path) -> None:
    from benchmarks.peers.duckdb import sums_of

    loop(directory, output, sums_of())


def by_bytewax(directory: Path, output: Path) -> None:
    from benchmarks.peers.bytewax import run

    run(directory, output)


def by_pathway(directory: Path, output: Path) -> None:
    """In the environment that has it, which may be another."""
    python = peer_of("pathway").python()
    assert python is not None
    program = (
        "import sys; from pathlib import Path; from benchmarks.peers.pathway import run; "
        "run(*map(Path, sys.argv[1:]))"
    )
    subprocess.run([python, "-c", program, str(directory), str(output)], check=True, cwd=ROOT)


def there(engine: str, run: Engine) -> list[Engine]:
    """The engine, if it is installed: CI has those that need neither Java nor another pyarrow."""
    return [run] if peer_of(engine).python() else []


ENGINES: list[Engine] = [
    by_arrow,
    *there("polars", by_polars),
    *there("duckdb", by_duckdb),
    *there("bytewax", by_bytewax),
    *there("pathway", by_pathway),
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("malformed", [[], MALFORMED], ids=["clean", "malformed"])
def test_every_engine_writes_what_penstock_writes(
    tmp_path: Path, malformed: list[str], engine: Engine
) -> None:
    directory = orders(tmp_path, malformed)
    application(directory, emptied(tmp_path / "penstock"))
    engine(directory, emptied(tmp_path / "other"))

    written = list(reports(tmp_path / "other"))
    assert len(written) >= 6
    assert list(reports(tmp_path / "penstock")) == written
    rejected = (tmp_path / "other" / "rejects.txt").read_text()
    assert len(rejected.splitlines()) == len(malformed)
    assert (tmp_path / "penstock" / "rejects.txt").read_text() == rejected


def orders(folder: Path, malformed: list[str]) -> Path:
    """Some files of 500 lines, malformed ones among them."""
    whole, directory = folder / "orders.txt", folder / "in"
    write_orders(whole, 3_000, seed=5)
    lines = whole.read_text().splitlines()
    for index, line in enumerate(malformed):
        lines.insert(700 * index, line)
    whole.write_text("".join(f"{line}\n" for line in lines))
    feed(whole, directory, 500, 0)
    dated(directory)
    return directory
