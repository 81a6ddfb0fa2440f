"""The workload over a connection counts every order once, and what it writes is what the files give."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.dashboard import application, reports
from benchmarks.data import emptied, order_files
from benchmarks.engines import peer_of
from benchmarks.measure import Figures
from benchmarks.w10 import penstock, penstock_acked, pyspark, workloads


def total(output: Path) -> tuple[dict[str, int], list[str]]:
    """The orders by side over all batches, and the top clients of the last."""
    sides = {"BUYS": 0, "SELLS": 0}
    clients: list[str] = []
    for written in reports(output):
        for line in written.splitlines():
            name, values = ast.literal_eval(line)
            if name in sides:
                sides[name] += int(values[0])
            elif name == "TOP5CLIENTS":
                clients = values
    return sides, clients


ENGINES = [
    pytest.param(penstock, "penstock", 30_000),
    pytest.param(penstock_acked, "penstock-acked", 30_000),
    *(
        [pytest.param(pyspark, "pyspark", 150_000, marks=pytest.mark.long)]
        if peer_of("pyspark").python()
        else []
    ),
]


@pytest.mark.parametrize(("engine", "name", "orders"), ENGINES)
def test_the_figures_are_those_of_the_files(
    engine: Callable[[int, Path], Figures], name: str, orders: int, tmp_path: Path
) -> None:
    application(order_files(tmp_path, orders), emptied(tmp_path / "files"))
    found = engine(orders, tmp_path)
    assert found["records"] == orders
    assert found["seconds"] > 0
    wanted = total(tmp_path / "files")
    assert sum(wanted[0].values()) == orders
    assert total(tmp_path / f"w10-{name}") == wanted


def test_both_sizes_have_the_same_engines() -> None:
    [(quick, small), (whole, large)] = [*workloads(quick=True).items(), *workloads(quick=False).items()]
    assert quick == whole == "W10"
    assert list(small.engines) == list(large.engines) == ["files", "penstock", "penstock-acked", "pyspark"]
