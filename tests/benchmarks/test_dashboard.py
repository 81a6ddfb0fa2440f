"""The engines of a workload do the same work: else their ratio says nothing."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import w2
from benchmarks.dashboard import Sums, application, loop, reports
from benchmarks.w1 import pyarrow_sums
from penstock.brokerage.feed import feed
from penstock.brokerage.generate import write_orders

MALFORMED = ["", "2016-03-22 20:25:28,1,80,EPE", "2016-02-30 20:25:28,1,80,EPE,710,51.00,B", "a,b,c,d,e,f,g"]


needs_polars = pytest.mark.skipif(
    find_spec("polars") is None, reason="needs Polars: pip install 'penstock[test]'"
)


@pytest.mark.parametrize("sums_of", [pyarrow_sums, pytest.param(w2.polars_sums, marks=needs_polars)])
@pytest.mark.parametrize("malformed", [[], MALFORMED], ids=["clean", "malformed"])
def test_the_loop_by_hand_writes_what_penstock_writes(
    tmp_path: Path, malformed: list[str], sums_of: Callable[[Path], Sums]
) -> None:
    whole, directory = tmp_path / "orders.txt", tmp_path / "in"
    write_orders(whole, 3_000, seed=5)
    lines = whole.read_text().splitlines()
    for index, line in enumerate(malformed):
        lines.insert(700 * index, line)
    whole.write_text("".join(f"{line}\n" for line in lines))
    feed(whole, directory, 500, 0)
    application(directory, tmp_path / "penstock")
    loop(directory, tmp_path / "loop", sums_of)

    by_hand = list(reports(tmp_path / "loop"))
    assert len(by_hand) >= 6
    assert list(reports(tmp_path / "penstock")) == by_hand
    rejected = (tmp_path / "loop" / "rejects.txt").read_text()
    assert len(rejected.splitlines()) == len(malformed)
    assert (tmp_path / "penstock" / "rejects.txt").read_text() == rejected
