"""What ``explain()`` says: columns or rows, which, and why not."""

from __future__ import annotations

from operator import add
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pytest

from penstock import RDD, Context, StreamingContext
from penstock.vectorize import programs

TABLE = pa.table({"name": ["a", "b"] * 300, "n": list(range(600)), "x": [0.5] * 600})


class Sale(NamedTuple):
    name: str
    n: int


def forms(explained: str) -> list[str]:
    """What stands behind the operation and its place, line by line."""
    return [line.partition(": ")[2] for line in explained.splitlines()]


def test_a_line_a_node_with_the_line_of_the_program(sc: Context) -> None:
    rdd = sc.fromArrow(TABLE, 1).map(lambda row: (row.name, row.n)).reduceByKey(add).map(print)
    lines = rdd.explain().splitlines()
    operations = [line.split(" at ")[0].strip() for line in lines]
    assert operations == ["1 fromArrow", "2 map", "3 combine of reduceByKey", "4 map"]
    assert all(f"{Path(__file__).name}:" in line for line in lines)
    assert forms(rdd.explain()) == [
        "columns: Row(name: str, n: int, x: float)",
        "columns: tuple[str, int]",
        "columns: tuple[str, int]",
        "rows: print is a builtin_function_or_method, which is neither plain data nor known to be pure",
    ]


def test_what_is_behind_rows_are_rows(sc: Context) -> None:
    rdd = sc.fromArrow(TABLE, 1).map(lambda row: [row.n]).map(lambda n: n[0]).filter(lambda n: n)
    assert forms(rdd.explain())[1:] == [
        "rows: a list as a result has no column",
        "rows: what it reads are Python objects",
        "rows: what it reads are Python objects",
    ]


def test_python_objects_are_rows_from_the_start(sc: Context) -> None:
    assert forms(sc.parallelize([1, 2]).explain()) == ["rows: its records are Python objects"]


@pytest.mark.parametrize(
    ("build", "form"),
    [
        (lambda r: r.map(lambda row: row.n).filter(lambda n: n > 5), "int"),
        (lambda r: r.flatMap(lambda row: (row.n, row.n + 1)), "int"),
        (lambda r: r.map(lambda row: (row.n, row.x)).mapValues(lambda x: x * 2).values(), "float"),
        (lambda r: r.keyBy(lambda row: row.n % 3).keys(), "int"),
        (lambda r: r.keyBy(lambda row: row.n).flatMapValues(lambda row: (row.x, 1.0)), "tuple[int, float]"),
        (lambda r: r.map(lambda row: (row.name, row.n)).groupByKey(2), None),
        (lambda r: r.map(lambda row: (row.name, row.n)).partitionBy(3), "tuple[str, int]"),
        (lambda r: r.map(lambda row: row.name).distinct(2), "str"),
        (lambda r: r.union(r).repartition(4), "Row(name: str, n: int, x: float)"),
        (
            lambda r: r.map(lambda row: (row.name, row.x)).aggregateByKey(
                (0.0, 0), lambda c, v: (c[0] + v, c[1] + 1), lambda a, b: (a[0] + b[0], a[1] + b[1]), 2
            ),
            "tuple[str, tuple[float, int]]",
        ),
    ],
)
def test_operators_on_columns(sc: Context, build: object, form: str | None) -> None:
    rdd: RDD = build(sc.fromArrow(TABLE, 2))  # type: ignore[operator]
    last = forms(rdd.explain())[-1]
    assert last == (f"columns: {form}" if form else "rows: the lists of values are made here")


def test_what_is_said_is_what_runs(sc: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "WORTH_ROWS", 0)
    rdd = sc.fromArrow(TABLE, 2).map(lambda row: (row.name, row.n * 2)).filter(lambda pair: pair[1] > 10)
    for chunk in sc.iterate(rdd.plan):
        assert f"columns: {chunk.row_type}" == forms(rdd.explain())[-1]  # type: ignore[attr-defined]


def test_a_stream_from_parsing_to_state(sc: Context, tmp_path: Path) -> None:
    sc.setCheckpointDir(str(tmp_path / "checkpoint"))
    ssc = StreamingContext(sc, 1)
    sales = ssc.textFileStream(str(tmp_path)).parseCsv(Sale, check=lambda sale: sale.n > 0)
    pairs = sales.map(lambda s: (s.name, s.n))
    totals = pairs.updateStateByKey(lambda news, total: sum(news) + (total or 0), 1)
    window = sales.map(lambda s: (s.name, s.n)).reduceByKeyAndWindow(add, None, 4, 2, 1)
    assert forms(sales.explain())[-1] == "columns: Sale(name: str, n: int)"
    assert forms(totals.explain())[-1] == "columns: tuple[str, int]"
    assert forms(window.explain())[-1] == "columns: tuple[str, int]"
    printed = sales.map(lambda s: print(s)).explain()
    assert "rows: print is a builtin" in printed.splitlines()[-1]
    asked = ssc.textFileStream(str(tmp_path)).parseCsv(Sale, check=lambda sale: print(sale))
    assert forms(asked.explain())[-1] == "columns: Sale(name: str, n: int)"


def test_explaining_runs_nothing(sc: Context, tmp_path: Path) -> None:
    ssc = StreamingContext(sc, 1)
    stream = ssc.queueStream([[1]]).map(lambda n: 1 // 0).transform(lambda rdd: rdd.sortBy(lambda n: n))
    assert "rows" in stream.explain()
