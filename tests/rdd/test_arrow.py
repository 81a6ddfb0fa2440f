"""Tables in and out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
import pytest

from penstock import Context
from penstock.errors import RowTypeError
from penstock.testing import same


class Order(NamedTuple):
    client: int
    price: float


@dataclass(frozen=True)
class Trade:
    stock: str
    volume: int | None


def test_rows_of_a_table_have_the_names_of_its_columns(sc: Context) -> None:
    rdd = sc.fromArrow(pa.table({"n": [1, 2, 3], "s": ["a", None, "ß"]}), 2)
    assert rdd.getNumPartitions() == 2
    assert [tuple(row) for row in rdd.collect()] == [(1, "a"), (2, None), (3, "ß")]
    assert rdd.map(lambda row: (row.n, row.s)).glom().collect() == [[(1, "a")], [(2, None), (3, "ß")]]


@pytest.mark.parametrize("slices", [1, 2, 5])
def test_a_table_comes_back(sc: Context, slices: int) -> None:
    table = pa.table(
        {"n": [1, 2, 3], "x": [0.5, -0.0, float("inf")], "s": ["a", "b", None], "b": [True, False, True]}
    )
    back = sc.fromArrow(table, slices).toArrow()
    assert back.to_pydict() == table.to_pydict()
    assert back.schema.names == table.schema.names
    assert [field.type for field in back.schema][:2] == [pa.int64(), pa.float64()]
    again = sc.fromArrow(table, slices).map(lambda row: row).toArrow()
    assert again.to_pydict() == table.to_pydict()


def test_a_table_without_rows(sc: Context) -> None:
    rdd = sc.fromArrow(pa.table({"n": pa.array([], pa.int64())}), 3)
    assert rdd.glom().collect() == [[], [], []]


def test_a_table_read_twice_is_not_changed(sc: Context) -> None:
    rdd = sc.fromArrow(pa.table({"n": [1, 2]}), 1)
    assert rdd.map(lambda row: [row.n]).map(lambda row: row.append(9) or row).collect() == [[1, 9], [2, 9]]
    assert rdd.zip(rdd).map(lambda pair: pair[0].n + pair[1].n).collect() == [2, 4]


def test_a_column_without_a_python_type_is_named(sc: Context) -> None:
    table = pa.table({"when": pa.array([1], pa.duration("s"))})
    with pytest.raises(RowTypeError, match="when"):
        sc.fromArrow(table)


def test_records_become_columns_of_exactly_their_types(sc: Context) -> None:
    assert sc.parallelize([1, 2, 3], 2).toArrow().to_pydict() == {"value": [1, 2, 3]}
    assert sc.parallelize([("a", 1), ("b", None)], 2).toArrow().to_pydict() == {
        "_1": ["a", "b"],
        "_2": [1, None],
    }
    assert sc.parallelize([Order(1, 2.0)], 1).toArrow().to_pydict() == {"client": [1], "price": [2.0]}
    trades = sc.parallelize([Trade("EPE", 1), Trade("AMD", None)], 2).toArrow()
    assert trades.to_pydict() == {"stock": ["EPE", "AMD"], "volume": [1, None]}


def test_mixed_records_are_no_table(sc: Context) -> None:
    with pytest.raises(RowTypeError, match=r"2\.5"):
        sc.parallelize([1, 2.5], 2).toArrow()


def test_through_pandas(sc: Context) -> None:
    frame = sc.parallelize([("a", 1), ("b", 2)], 2).toPandas()
    assert frame.to_dict("list") == {"_1": ["a", "b"], "_2": [1, 2]}


def test_floats_keep_their_bits(sc: Context) -> None:
    numbers = [0.1, -0.0, 5e-324, float("nan"), float("-inf")]
    table = sc.parallelize(numbers, 2).toArrow()
    assert same(sc.fromArrow(table, 2).map(lambda row: row.value).collect(), numbers)
