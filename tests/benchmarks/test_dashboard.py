"""The engines of a workload do the same work: else their ratio says nothing."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.dashboard import application, loop, rejects_file, reports, write_report
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
    elsewhere("pathway", "pathway", "run(directory, output)", directory, output)


def by_spark_dstreams(directory: Path, output: Path) -> None:
    """Batches without a file write a report as well, without a side."""
    call = "over_files(sorted(directory.iterdir()), output, 0, 1)"
    elsewhere("pyspark", "spark_dstreams", call, directory, output)
    for batch in output.glob("output-*"):
        cut_short = not (batch / "_SUCCESS").exists()  # at the end
        if cut_short or not (batch / "part-00000").read_text().startswith(("('BUYS'", "('SELLS'")):
            shutil.rmtree(batch)


def by_spark_structured(directory: Path, output: Path) -> None:
    """It writes each figure by itself."""
    call = "over_files(sorted(directory.iterdir()), output, 0, 1)"
    elsewhere("pyspark", "spark_structured", call, directory, output)

    def lines(name: str, number: int) -> list[str]:
        parts = sorted((output / "counted" / f"{name}-{number:05d}").glob("part-*"))
        return "".join(part.read_text() for part in parts).splitlines()

    for number in range(len(list(directory.iterdir()))):
        sides = [(name, [count]) for name, count in (line.split() for line in lines("SIDES", number))]
        tops = [(name, lines(name, number)) for name in ("TOP5CLIENTS", "TOP5STOCKS")]
        write_report(output, number, [*sides, *tops])
        with rejects_file(output) as file:
            file.writelines(f"{line}\n" for line in lines("rejects", number))


def elsewhere(engine: str, peer: str, call: str, directory: Path, output: Path) -> None:
    """In a process of its own."""
    python = peer_of(engine).python()
    assert python is not None
    program = (
        f"import sys; from pathlib import Path; from benchmarks.peers.{peer} import *; "
        f"directory, output = map(Path, sys.argv[1:]); {call}"
    )
    subprocess.run([python, "-c", program, str(directory), str(output)], check=True, cwd=ROOT)


def there(engine: str, run: Engine) -> list[Engine]:
    """The engine, if it is installed: CI has those that need no other pyarrow."""
    return [run] if peer_of(engine).python() else []


IN_PYTHON: list[Engine] = [
    by_arrow,
    *there("polars", by_polars),
    *there("duckdb", by_duckdb),
    *there("bytewax", by_bytewax),
    *there("pathway", by_pathway),
]
ON_SPARK: list[Engine] = [*there("pyspark", by_spark_dstreams), *there("pyspark", by_spark_structured)]
ENGINES: list[Any] = [*IN_PYTHON, *(pytest.param(run, marks=pytest.mark.long) for run in ON_SPARK)]


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
    known = 1 if engine in ON_SPARK else 3  # Spark does not know where a line stood
    rejected = [reject[-known:] for reject in rejects(tmp_path / "penstock")]
    assert len(rejected) == len(malformed)
    assert [reject[-known:] for reject in rejects(tmp_path / "other")] == rejected


@pytest.mark.parametrize("engine", IN_PYTHON)
def test_a_file_without_a_single_order_is_a_batch_too(tmp_path: Path, engine: Engine) -> None:
    directory = orders(tmp_path, [])
    (directory / "orders-00002.txt").write_text("no order\n" * 3)
    dated(directory)
    application(directory, emptied(tmp_path / "penstock"))
    engine(directory, emptied(tmp_path / "other"))

    written = list(reports(tmp_path / "other"))
    assert "BUYS" not in written[2]
    assert list(reports(tmp_path / "penstock")) == written
    assert rejects(tmp_path / "penstock") == rejects(tmp_path / "other")
    assert len(rejects(tmp_path / "other")) == 3


def rejects(output: Path) -> list[tuple[str, ...]]:
    """File, number, text of each malformed line; less where an engine does not know it."""
    return [tuple(line.split("\t")) for line in (output / "rejects.txt").read_text().splitlines()]


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
