"""Columns give back what went in, to the last bit, and tables come in and go out."""

from __future__ import annotations

import gc
import math
import pickle
import subprocess
import sys
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from penstock.chunk import (
    Columns,
    Optional,
    Record,
    RowType,
    Scalar,
    Tuple,
    arrow_schema,
    exact_row_type,
)
from penstock.errors import RowTypeError
from tests.chunk.samples import (
    EDGES,
    Changeable,
    Derived,
    Empty,
    Frozen,
    Keyword,
    Order,
    Point,
    Slotted,
    Trade,
    Untyped,
    same,
    uniform_rows,
)

INT, FLOAT, STR = Scalar(int), Scalar(float), Scalar(str)

RECORDS: list[list[Any]] = [
    [Point(1, -0.0), Point(2, math.nan)],
    [Trade("EPE", Point(1, 0.5)), Trade("한국", Point(-1, math.inf))],
    [Trade("EPE", Point(1, 0.5), "x"), None, Trade("A", Point(2, 1.5), None)],
    [Untyped("a", None), Untyped(None, 1.5)],
    [Order(1, 2.5), Order(2, -0.0, "AXY")],
    [Derived(1, 2.5, "a", False)],
    [Frozen(1, None), Frozen(2, 2.5)],
    [Slotted(1), Slotted(2, "b")],
    [Changeable(1, Frozen(1, 2.0)), Changeable(2, Frozen(3, None))],
    [Keyword(id=1), Keyword(id=2, b="c")],
    [Empty(), Empty()],
    [(), ()],
    [((), 1), (None, 2), ((), None)],
    [(1, (2, (None, "a"))), (1, None), (1, (3, None))],
    [None, None],
    [None, (1, "a")],
]


class TestRoundTrip:
    @given(uniform_rows())
    def test_rows_come_back_the_same(self, rows: list[Any]) -> None:
        try:
            row_type = exact_row_type(rows)
        except RowTypeError:
            assume(False)
        columns = Columns.from_rows(rows, row_type)
        assert same(columns.rows(), rows)
        assert same(pickle.loads(pickle.dumps(columns)).rows(), rows)
        assert Columns.from_rows(columns.rows()).row_type == row_type

    @pytest.mark.parametrize("kind", EDGES, ids=lambda kind: kind.__name__)
    def test_edge_values(self, kind: type) -> None:
        values = EDGES[kind]
        for rows in (
            values,
            [None, *values, None, values[0], *[None] * 9],
            [(value, value) for value in values],
        ):
            assert same(Columns.from_rows(rows).rows(), rows)

    @pytest.mark.parametrize("rows", RECORDS, ids=str)
    def test_records(self, rows: list[Any]) -> None:
        assert same(Columns.from_rows(rows).rows(), rows)

    def test_floats_keep_their_bits(self) -> None:
        bits = [0x7FF8000000000000, 0x7FF80000DEADBEEF, 0xFFF8000000000001, 0x8000000000000000, 1]
        rows = np.array(bits, np.uint64).view(np.float64).tolist()
        back = Columns.from_rows([*rows, None]).rows()[:-1]
        assert np.array(back, np.float64).view(np.uint64).tolist() == bits

    def test_more_rows_than_a_byte_of_bools_or_nulls_has(self) -> None:
        for count in (1, 7, 8, 9, 63, 64, 65, 1_000):
            rows = [(i % 3 == 0, None if i % 5 == 0 else i, None if i % 2 else (i,)) for i in range(count)]
            columns = Columns.from_rows(rows)
            assert columns.rows() == rows
            for start in (0, 1, 7, 8, 9):
                assert columns.slice(start, count).rows() == rows[start:]
                assert columns.slice(start, count).slice(1, 4).rows() == rows[start:][1:4]

    def test_every_call_makes_new_objects(self) -> None:
        columns = Columns.from_rows([Order(1, 2.0)])
        columns.rows()[0].price = 9.0
        columns.rows().clear()
        assert columns.rows() == [Order(1, 2.0)]

    def test_generated_init_is_not_needed(self) -> None:
        records = Columns.from_rows([Frozen(1, None), Frozen(2, 1.0)]).rows()
        assert hash(records[1]) == hash(Frozen(2, 1.0))
        with pytest.raises(AttributeError):
            records[0].id = 2


class TestFromRows:
    @pytest.mark.parametrize(
        ("rows", "row_type", "message"),
        [
            ([1, 2.0], INT, "record 1 is not exactly int: it is float"),
            ([1.0, 2], INT, "record 0 is not exactly int: it is float"),
            ([1, 2], FLOAT, "record 0 is not exactly float: it is int"),
            ([1, None], INT, "record 1 is not exactly int: it is None"),
            ([1, True], INT, "record 1 is not exactly int: it is bool"),
            ([1, 2**63], INT, "record 1 is not exactly int: .* 64 bits"),
            (["a", "\udc80"], STR, "record 1 is not exactly str: .* surrogate"),
            ([(1, "a"), (1, 2)], Tuple((INT, STR)), "record 1 is not exactly"),
            ([(1, "a"), (1,)], Tuple((INT, STR)), "record 1 is not exactly"),
            ([[1]], Tuple((INT,)), "record 0 is not exactly"),
            ([Point(1, 2.0)], Tuple((INT, FLOAT)), "record 0 is not exactly"),
            ([(1, 2.0)], Record(Point, (("x", INT), ("y", FLOAT))), "record 0 is not exactly"),
            ([Untyped(1, 2.0)], Record(Point, (("x", INT), ("y", FLOAT))), "record 0 is not exactly"),
            ([("a", (1, 2))], Tuple((STR, Optional(Tuple((INT, STR))))), "record 0 is not exactly"),
            ([None, 1], Scalar(type(None)), "record 1 is not exactly None: it is int"),
        ],
        ids=str,
    )
    def test_first_record_that_does_not_fit_is_named(
        self, rows: list[Any], row_type: RowType, message: str
    ) -> None:
        with pytest.raises(RowTypeError, match=message):
            Columns.from_rows(rows, row_type)

    @pytest.mark.parametrize(
        ("rows", "row_type"),
        [
            ([1, 2], Optional(INT)),
            ([None, None], Optional(INT)),
            ([None, None], Optional(Tuple((INT, STR)))),
            ([(1, None)], Tuple((INT, Optional(Tuple((INT, Optional(STR))))))),
            ([("a", (1, None))], Tuple((STR, Optional(Tuple((INT, Optional(FLOAT))))))),
            ([Point(1, 2.0)], Optional(Record(Point, (("x", Optional(INT)), ("y", FLOAT))))),
        ],
        ids=str,
    )
    def test_optional_also_fits_where_none_is_missing_or_everywhere(
        self, rows: list[Any], row_type: RowType
    ) -> None:
        columns = Columns.from_rows(rows, row_type)
        assert columns.row_type == row_type
        assert same(columns.rows(), rows)

    @pytest.mark.parametrize(
        "row_type",
        [
            *map(Scalar, EDGES),
            *(Optional(Scalar(kind)) for kind in EDGES if kind is not type(None)),
            Tuple(()),
            Tuple((INT, Optional(Tuple((STR, FLOAT))))),
            Record(Slotted, (("id", INT), ("name", STR))),
            Record(Point, (("x", INT), ("y", FLOAT))),
            Record(Order, (("id", INT), ("price", FLOAT), ("symbol", STR))),
        ],
        ids=str,
    )
    def test_no_rows_are_of_every_row_type(self, row_type: RowType) -> None:
        columns = Columns.from_rows([], row_type)
        assert (len(columns), columns.rows(), columns.slice(0, 5).rows()) == (0, [], [])
        assert columns.to_arrow().schema == arrow_schema(row_type)
        assert pickle.loads(pickle.dumps(columns)).rows() == []

    def test_record_that_can_be_changed_must_not_be_there_twice(self) -> None:
        order = Order(1, 2.0)
        with pytest.raises(RowTypeError, match="is there twice"):
            Columns.from_rows([(order, order)])

    def test_leaves_of_the_wrong_type_or_length_are_our_mistake(self) -> None:
        leaf = Columns.from_rows([1, 2]).leaves[0]
        for row_type, leaves, length in [
            (FLOAT, [leaf], 2),
            (INT, [leaf], 3),
            (INT, [], 0),
            (INT, [leaf, leaf], 2),
        ]:
            with pytest.raises(AssertionError):
                Columns(row_type, leaves, length)

    def test_nulls_where_there_must_be_none_are_our_mistake(self) -> None:
        leaf = Columns.from_rows([1, None]).leaves[0]
        with pytest.raises(AssertionError, match="nulls in a column of int"):
            Columns(INT, [leaf], 2).rows()


class TestChunk:
    @given(st.integers(-30, 30), st.integers(-30, 30))
    def test_slice_is_pythons(self, start: int, stop: int) -> None:
        rows = [(i, None if i % 2 else (str(i),)) for i in range(20)]
        assert Columns.from_rows(rows).slice(start, stop).rows() == rows[start:stop]

    def test_slice_shares_memory_and_its_pickle_does_not_carry_the_rest(self) -> None:
        columns = Columns.from_rows([(i, str(i)) for i in range(10_000)])
        piece = columns.slice(5_000, 5_010)
        assert piece.leaves[0].buffers()[1].address == columns.leaves[0].buffers()[1].address
        assert piece.nbytes < columns.nbytes / 100
        assert len(pickle.dumps(piece)) < 3_000
        assert pickle.loads(pickle.dumps(piece)).rows() == piece.rows()

    def test_is_its_own_isolated_copy(self) -> None:
        columns = Columns.from_rows([1])
        assert columns.isolated() is columns

    def test_nbytes_is_exact(self) -> None:
        assert Columns.from_rows([1, 2, 3]).nbytes == 24
        assert Columns.from_rows([()]).nbytes == 0

    def test_arrays_do_not_outlive_their_memory(self) -> None:
        columns = Columns.from_rows(
            [(i, f"s{i}", datetime(2020, 1, 1), None if i % 2 else i) for i in range(1_000)]
        )
        gc.collect()
        filler = [bytes(8_000) for _ in range(100)]
        assert columns.rows()[999] == (999, "s999", datetime(2020, 1, 1), None)
        assert filler

    def test_rows_can_be_counted_and_shown(self) -> None:
        columns = Columns.from_rows([("a", 1)] * 3)
        assert len(columns) == 3
        assert repr(columns) == "Columns(tuple[str, int], 3 rows)"

    def test_columns_need_no_pandas(self) -> None:
        """It is imported by pyarrow behind one's back, and costs a third of a second."""
        program = (
            "import sys, pickle\n"
            "from datetime import date, datetime\n"
            "from penstock.chunk import Columns, distinct_nans, portable_hash\n"
            "at, on = datetime(2020, 1, 1), date(2020, 1, 1)\n"
            "rows = [(1, 1.5, 'a', True, b'b', at, on, None, (1, None))] * 3\n"
            "rows.append((1, 1.5, 'a', True, b'b', None, None, None, None))\n"
            "columns = Columns.from_rows(rows)\n"
            "assert pickle.loads(pickle.dumps(columns)).rows() == rows\n"
            "again = Columns.from_arrow(columns.to_arrow())[0]\n"
            "assert again.rows() == rows, again.rows()\n"
            "portable_hash(rows[0]), distinct_nans(rows)\n"
            "sys.exit('pandas' in sys.modules)\n"
        )
        subprocess.run([sys.executable, "-c", program], check=True)
