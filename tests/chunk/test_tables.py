"""Tables come in as records of exact types, and columns go out as tables."""

from __future__ import annotations

import io
import math
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import assume, given

from penstock.chunk import (
    CHUNK_ROWS,
    Columns,
    Optional,
    Record,
    Scalar,
    Tuple,
    arrow_schema,
    exact_row_type,
    row_type_of_schema,
    row_type_of_table,
)
from penstock.errors import RowTypeError
from tests.chunk.samples import (
    Point,
    Trade,
    same,
    uniform_rows,
)

INT, FLOAT, STR = Scalar(int), Scalar(float), Scalar(str)
SECONDS = [datetime(2020, 1, 1), datetime.min, datetime.max.replace(microsecond=0)]


class TestSchemas:
    def test_scalar_is_one_column_named_value(self) -> None:
        assert arrow_schema(Optional(INT)) == pa.schema([pa.field("value", pa.int64())])
        assert arrow_schema(INT) == pa.schema([pa.field("value", pa.int64(), nullable=False)])

    def test_tuple_columns_are_numbered_and_records_named(self) -> None:
        row_type = exact_row_type([("a", Trade("EPE", Point(1, 2.0))), ("b", None)])
        point = pa.struct([pa.field("x", pa.int64()), pa.field("y", pa.float64())])
        trade = pa.struct([("symbol", pa.string()), ("at", point), ("note", pa.null())])
        assert arrow_schema(row_type) == pa.schema(
            [pa.field("_1", pa.string(), nullable=False), ("_2", trade)]
        )

    @pytest.mark.parametrize(
        ("kind", "expected"),
        [
            *((kind, int) for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64())),
            *((kind, int) for kind in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())),
            *((kind, float) for kind in (pa.float16(), pa.float32(), pa.float64())),
            *((kind, str) for kind in (pa.string(), pa.large_string(), pa.string_view())),
            *((kind, bytes) for kind in (pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(3))),
            *((pa.timestamp(unit), datetime) for unit in ("s", "ms", "us", "ns")),
            (pa.date32(), date),
            (pa.date64(), date),
            (pa.bool_(), bool),
            (pa.dictionary(pa.int8(), pa.string()), str),
            (pa.dictionary(pa.int32(), pa.int16()), int),
        ],
        ids=str,
    )
    def test_types_that_come_in(self, kind: pa.DataType, expected: type) -> None:
        required = row_type_of_schema(pa.schema([pa.field("a", kind, nullable=False)]))
        nullable = row_type_of_schema(pa.schema([pa.field("a", kind)]))
        assert required.parts == (Scalar(expected),)
        assert nullable.parts == (Optional(Scalar(expected)),)

    @pytest.mark.parametrize(
        ("kind", "way_out"),
        [
            (pa.timestamp("us", "UTC"), "cast it to timestamp"),
            (pa.decimal128(10, 2), "cast it to float64"),
            (pa.duration("us"), "cast it to int64"),
            (pa.time64("us"), "cast it to int32 or int64"),
            (pa.list_(pa.int64()), "explode"),
            (pa.map_(pa.string(), pa.int64()), "explode"),
            (pa.run_end_encoded(pa.int32(), pa.int64()), "run_end_decode"),
            (pa.uuid(), "storage"),
        ],
        ids=str,
    )
    def test_types_that_do_not_come_in_have_a_way_out(self, kind: pa.DataType, way_out: str) -> None:
        schema = pa.schema([("a", pa.int64()), ("s", pa.struct([("bad", kind)]))])
        with pytest.raises(RowTypeError, match=r"column s\.bad is of the type") as caught:
            row_type_of_schema(schema)
        assert way_out in str(caught.value)


class TestToArrow:
    @given(uniform_rows())
    def test_nested_values_are_pyarrows(self, rows: list[Any]) -> None:
        try:
            columns = Columns.from_rows(rows)
        except RowTypeError:
            assume(False)
        batch = columns.to_arrow()
        batch.validate(full=True)
        assert batch.num_rows == len(rows)
        assert batch.schema == arrow_schema(columns.row_type)
        if isinstance(columns.row_type, (Tuple, Record)):
            again = [row for chunk in Columns.from_arrow(batch) for row in chunk.rows()]
            assert [plain(row) for row in again] == [plain(row) for row in rows]

    def test_scalars_tuples_and_records(self) -> None:
        assert Columns.from_rows([1, None]).to_arrow().to_pydict() == {"value": [1, None]}
        assert Columns.from_rows([("a", 1)]).to_arrow().to_pydict() == {"_1": ["a"], "_2": [1]}
        assert Columns.from_rows([Point(1, 0.5)]).to_arrow().to_pydict() == {"x": [1], "y": [0.5]}
        assert Columns.from_rows([None, (1, Point(1, 0.5))]).to_arrow().to_pydict() == {
            "value": [None, {"_1": 1, "_2": {"x": 1, "y": 0.5}}]
        }
        assert Columns.from_rows([(), ()]).to_arrow().num_rows == 2

    def test_slices(self) -> None:
        columns = Columns.from_rows([(i, None if i % 3 else (i % 2 == 0,)) for i in range(40)])
        assert columns.slice(9, 13).to_arrow().to_pydict() == {
            "_1": [9, 10, 11, 12],
            "_2": [{"_1": False}, None, None, {"_1": True}],
        }

    def test_parquet_takes_it(self) -> None:
        rows = [("a", Trade("EPE", Point(1, 2.0))), ("b", None), ("c", Trade("A", Point(2, 3.0), "note"))]
        batch = Columns.from_rows(rows).to_arrow()
        file = io.BytesIO()
        parquet.write_table(pa.Table.from_batches([batch]), file)
        file.seek(0)
        assert parquet.read_table(file).to_pylist() == batch.to_pylist()


class TestFromArrow:
    def test_rows_are_records_whatever_the_number_of_columns(self) -> None:
        one, two = pa.table({"id": [1]}), pa.table({"id": [1], "price": [51.0]})
        assert repr(Columns.from_arrow(one)[0].rows()) == "[Row(id=1)]"
        row = Columns.from_arrow(two)[0].rows()[0]
        assert (repr(row), row.price, row == (1, 51.0)) == ("Row(id=1, price=51.0)", 51.0, True)

    def test_rows_are_tuples_where_names_cannot_be_attributes(self) -> None:
        table = pa.table({"id": [1], "a price": [51.0]})
        assert same(Columns.from_arrow(table)[0].rows(), [(1, 51.0)])

    def test_tuples_come_back_as_tuples(self) -> None:
        rows = [("a", (1, None)), ("b", (2, 2.5))]
        assert same(Columns.from_arrow(Columns.from_rows(rows).to_arrow())[0].rows(), rows)

    @pytest.mark.parametrize(
        ("array", "values"),
        [
            *((pa.array([0, 99], kind), [0, 99]) for kind in (pa.int8(), pa.uint8(), pa.uint32())),
            (pa.array([2**63 - 1], pa.uint64()), [2**63 - 1]),
            (pa.array([0.1], pa.float32()), [float(np.float32(0.1))]),
            (pa.array([np.float16(0.1)], pa.float16()), [float(np.float16(0.1))]),
            (pa.array([math.nan, -0.0, math.inf]), [math.nan, -0.0, math.inf]),
            (pa.array(["a", "한국", None], pa.large_string()), ["a", "한국", None]),
            (pa.array(["a", "한국", None], pa.string_view()), ["a", "한국", None]),
            *((pa.array([b"ab", None], kind), [b"ab", None]) for kind in (pa.large_binary(), pa.binary(2))),
            (pa.array([b"ab", None], pa.binary_view()), [b"ab", None]),
            *((pa.array(SECONDS, pa.timestamp(unit)), SECONDS) for unit in ("s", "ms", "us")),
            (pa.array([1_000, None], pa.timestamp("ns")), [datetime(1970, 1, 1, 0, 0, 0, 1), None]),
            (pa.array([date.min, date.max]), [date.min, date.max]),
            (pa.array([date(2020, 1, 1), None], pa.date64()), [date(2020, 1, 1), None]),
            (pa.array(["a", "b", "a", None]).dictionary_encode(), ["a", "b", "a", None]),
            (pa.DictionaryArray.from_arrays([0, 1, 0], ["a", None]), ["a", None, "a"]),
            (pa.array([7, 7]).cast(pa.int8()).dictionary_encode(), [7, 7]),
            (pa.nulls(2), [None, None]),
            (pa.nulls(2, pa.int64()), [None, None]),
            (pa.array([True, None, False]), [True, None, False]),
        ],
        ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
    )  # fmt: skip
    def test_values_that_come_in(self, array: pa.Array, values: list[Any]) -> None:
        for table in (pa.table({"a": array}), pa.RecordBatch.from_arrays([array], names=["a"])):
            rows = [row for chunk in Columns.from_arrow(table) for row in chunk.rows()]
            assert same([row.a for row in rows], values)

    @pytest.mark.parametrize(
        ("array", "problem"),
        [
            (pa.array([1, 2**63], pa.uint64()), "9223372036854775808"),
            (pa.array([1_001], pa.timestamp("ns")), "lose data"),
            (pa.array([2**62], pa.timestamp("s")), "out of bounds"),
            (pa.array([2**62], pa.timestamp("us")), "years 1 to 9999"),
            (pa.array([-(2**63)], pa.timestamp("us")), "years 1 to 9999"),
            (pa.array([2**30], pa.date32()), "years 1 to 9999"),
            (pa.array([b"\xff"]).view(pa.string()), "UTF8"),
            (pa.array(["\ud800".encode("utf-8", "surrogatepass")]).view(pa.string()), "UTF8"),
        ],
        ids=str,
    )
    def test_values_that_do_not_come_in(self, array: pa.Array, problem: str) -> None:
        with pytest.raises(RowTypeError, match="the column bad has") as caught:
            Columns.from_arrow(pa.table({"bad": array}))
        assert problem in str(caught.value)

    def test_time_zones_are_refused_with_a_way_out(self) -> None:
        table = pa.table({"at": pa.array([datetime(2020, 1, 1, tzinfo=UTC)])})
        with pytest.raises(RowTypeError, match=r"column at .* cast it to timestamp\('us'\) in UTC"):
            Columns.from_arrow(table)

    def test_only_columns_that_hold_nulls_are_optional(self) -> None:
        inner = pa.array([{"a": 1, "b": None}, None, {"a": 2, "b": 5}])
        table = pa.table({"full": [1, 2, 3], "holed": [1, None, 3], "nested": inner})
        row_type = row_type_of_table(table)
        assert str(row_type) == "Row(full: int, holed: int | None, nested: Row(a: int, b: int | None) | None)"
        rows = Columns.from_arrow(table)[0].rows()
        assert repr(rows[0]) == "Row(full=1, holed=1, nested=Row(a=1, b=None))"
        assert rows[1].nested is None
        assert Columns.from_arrow(table.slice(0, 1), row_type)[0].row_type == row_type

    def test_row_type_of_the_schema_may_be_wider(self) -> None:
        table = pa.table({"a": [1, 2], "s": [{"x": 1.5}, {"x": 2.5}]})
        row_type = row_type_of_schema(table.schema)
        assert str(row_type) == "Row(a: int | None, s: Row(x: float | None) | None)"
        assert Columns.from_arrow(table, row_type)[0].rows() == Columns.from_arrow(table)[0].rows()

    @pytest.mark.parametrize(
        ("array", "message"),
        [
            (pa.array([1, None]), "holds nulls"),
            (pa.array(["1"]), "is of the type string, not int"),
            (pa.array([1.0]), "is of the type double, not int"),
            (pa.array([{"x": 1}]), "not int|no exact Python class"),
        ],
        ids=str,
    )
    def test_table_that_is_not_of_the_row_type_is_refused(self, array: pa.Array, message: str) -> None:
        row_type = row_type_of_schema(pa.schema([pa.field("a", pa.int64(), nullable=False)]))
        with pytest.raises(RowTypeError, match=message):
            Columns.from_arrow(pa.table({"a": array}), row_type)
        with pytest.raises(RowTypeError, match="2 columns"):
            Columns.from_arrow(pa.table({"a": array, "b": array}), row_type)

    def test_chunks_are_bounded_and_share_memory(self) -> None:
        narrow = pa.table({"a": pa.array(range(CHUNK_ROWS * 2 + 1))})
        assert [len(chunk) for chunk in Columns.from_arrow(narrow)] == [CHUNK_ROWS, CHUNK_ROWS, 1]
        wide = pa.table({"a": ["x" * 1_000_000] * 20})
        chunks = Columns.from_arrow(wide)
        assert [len(chunk) for chunk in chunks] == [8, 8, 4]
        assert chunks[1].leaves[0].buffers()[2].address == wide["a"].chunk(0).buffers()[2].address
        assert sum(chunk.nbytes for chunk in chunks) == pytest.approx(wide.nbytes, rel=0.01)

    def test_table_of_many_pieces_makes_few_chunks(self) -> None:
        table = pa.concat_tables([pa.table({"a": [i], "b": [str(i)]}) for i in range(100)])
        chunks = Columns.from_arrow(table)
        assert len(chunks) == 1
        assert chunks[0].rows() == [(i, str(i)) for i in range(100)]

    def test_empty_tables_make_no_chunk(self) -> None:
        assert Columns.from_arrow(pa.table({"a": pa.array([], pa.int64())})) == []
        assert Columns.from_arrow(pa.table({})) == []

    def test_sliced_structs(self) -> None:
        inner = pa.array([None if i % 3 == 0 else {"x": i, "ok": i % 2 == 0} for i in range(30)])
        rows = Columns.from_arrow(pa.table({"s": inner}).slice(7, 10))[0].rows()
        assert [row.s for row in rows] == [None if i % 3 == 0 else (i, i % 2 == 0) for i in range(7, 17)]

    def test_struct_in_optional_struct(self) -> None:
        inner = pa.array([{"p": {"q": 1}}, {"p": None}, None, {"p": {"q": None}}])
        rows = Columns.from_arrow(pa.table({"s": inner}))[0].rows()
        assert [plain(row) for row in rows] == [[[["1"]]], [[None]], [None], [[[None]]]]


def plain(value: Any) -> Any:
    """A record or tuple as a list, and scalars as text: what stays of a value in a table."""
    if hasattr(value, "__dataclass_fields__"):
        value = tuple(getattr(value, name) for name in value.__dataclass_fields__ if name != "market")
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return None if value is None else repr(value)
