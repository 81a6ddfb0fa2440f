"""What saveAsPickleFile writes is what pickleFile reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

from penstock import Context
from penstock.errors import OutputExists, failure_of
from penstock.testing import same


@dataclass
class Order:
    client: int
    side: str


class Pair(NamedTuple):
    key: str
    value: float


@pytest.mark.parametrize(
    "records",
    [
        [],
        [None, True, 1, 1.0, -0.0, float("nan"), 1 << 100, "ä\ud800", b"\xff", (), [1, [2]], {"a": {1}}],
        [Order(1, "B"), Pair("a", 0.5)],
        list(range(200_000)),
    ],
    ids=["nothing", "all kinds", "records", "several chunks"],
)
@pytest.mark.parametrize("partitions", [1, 3])
def test_records_come_back_as_they_were(
    sc: Context, tmp_path: Path, records: list[Any], partitions: int
) -> None:
    rdd = sc.parallelize(records, partitions)
    rdd.saveAsPickleFile(str(tmp_path / "out"))
    again = sc.pickleFile(str(tmp_path / "out"))
    assert same(again.glom().collect(), rdd.glom().collect())


def test_an_rdd_without_partitions(sc: Context, tmp_path: Path) -> None:
    sc.emptyRDD().saveAsPickleFile(str(tmp_path / "out"))
    assert sc.pickleFile(str(tmp_path / "out")).collect() == []


def test_columns_stay_columns_and_cost_what_they_show(sc: Context, tmp_path: Path) -> None:
    table = pa.table({"n": list(range(10_000)), "s": [str(n) for n in range(10_000)]})
    rdd = sc.fromArrow(table, 4)
    rdd.saveAsPickleFile(str(tmp_path / "out"))
    again = sc.pickleFile(str(tmp_path / "out"))
    assert again.toArrow().equals(rdd.toArrow())
    assert again.map(lambda row: row.n).sum() == sum(range(10_000))
    size = sum(path.stat().st_size for path in (tmp_path / "out").iterdir())
    assert size < 1.5 * table.nbytes


def test_classes_and_functions_without_a_name_come_back(sc: Context, tmp_path: Path) -> None:
    @dataclass
    class Local:
        n: int

    sc.parallelize([Local(1), lambda x: x + 1], 1).saveAsPickleFile(str(tmp_path / "out"))
    found, function = sc.pickleFile(str(tmp_path / "out")).collect()
    assert found == Local(1)
    assert function(1) == 2


PROGRAM = """
import sys
from dataclasses import dataclass
from penstock import Context

@dataclass
class Order:
    client: int

with Context("local[1]") as sc:
    path = sys.argv[1]
    if len(sys.argv) == 2:
        sc.parallelize([Order(1), Order(2)], 2).saveAsPickleFile(path)
    print(sc.pickleFile(path).collect() == [Order(1), Order(2)])
"""


def test_classes_of_the_main_program_come_back_in_its_next_run(tmp_path: Path) -> None:
    script = tmp_path / "app.py"
    script.write_text(PROGRAM)
    for more in ([], ["again"]):
        command = [sys.executable, script, tmp_path / "out", *more]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "True"


def test_another_program_is_told_what_to_do(sc: Context, tmp_path: Path) -> None:
    script = tmp_path / "app.py"
    script.write_text(PROGRAM.replace("Order", "OrderOfApp"))
    subprocess.run([sys.executable, script, tmp_path / "out"], check=True, capture_output=True)
    with pytest.raises(AttributeError, match="OrderOfApp") as caught:
        sc.pickleFile(str(tmp_path / "out")).collect()
    assert "out/part-00000: a class of its records cannot be found" in caught.value.__notes__[0]
    assert "define it in a module" in caught.value.__notes__[0]


def test_a_record_that_cannot_be_pickled_is_named(sc: Context, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="pickle") as caught:
        sc.parallelize([1, threading.Lock(), 3], 1).saveAsPickleFile(str(tmp_path / "out"))
    failure = failure_of(caught.value)
    assert failure is not None
    assert "lock" in str(failure.record)
    assert failure.site is not None
    assert (failure.site.operation, failure.site.file) == ("saveAsPickleFile", __file__)
    assert os.listdir(tmp_path) == []


def test_what_is_there_is_not_overwritten(sc: Context, tmp_path: Path) -> None:
    sc.parallelize([1], 1).saveAsPickleFile(str(tmp_path / "out"))
    with pytest.raises(OutputExists):
        sc.parallelize([2], 1).saveAsPickleFile(str(tmp_path / "out"))
    assert sc.pickleFile(str(tmp_path / "out")).collect() == [1]
    assert sorted(json.loads((tmp_path / "out/_SUCCESS").read_text())["parts"]) == ["part-00000"]
