"""Row types are exact: whatever a column would change is refused, with the record and the reason."""

from __future__ import annotations

import enum
import pickle
import typing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, NamedTuple, NewType

import pyarrow as pa
import pytest
from hypothesis import given

import penstock.chunk.exact as exact
from penstock.chunk import (
    Optional,
    Record,
    RowType,
    Scalar,
    Tuple,
    exact_row_type,
    row_type_of_class,
)
from penstock.chunk.records import record_fields
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
    uniform_rows,
)

NONE = Scalar(type(None))
INT, FLOAT, STR = Scalar(int), Scalar(float), Scalar(str)


class Color(enum.IntEnum):
    RED = 1


class Text(str):
    pass


class TestExactRowType:
    @pytest.mark.parametrize("kind", EDGES, ids=lambda kind: kind.__name__)
    def test_edge_values_of_a_class_are_that_scalar(self, kind: type) -> None:
        assert exact_row_type(EDGES[kind]) == Scalar(kind)

    @pytest.mark.parametrize(
        ("rows", "expected"),
        [
            ([1, None], Optional(INT)),
            ([None, None], NONE),
            ([()], Tuple(())),
            ([("a", 1), ("b", 2)], Tuple((STR, INT))),
            ([("a", None), ("b", 2)], Tuple((STR, Optional(INT)))),
            ([("a", (1, None)), ("b", None)], Tuple((STR, Optional(Tuple((INT, NONE)))))),
            ([Point(1, 2.0)], Record(Point, (("x", INT), ("y", FLOAT)))),
            ([Point(1, 2)], Record(Point, (("x", INT), ("y", INT)))),  # type: ignore[arg-type]
            (
                [Order(1, 2.0), None],
                Optional(Record(Order, (("id", INT), ("price", FLOAT), ("symbol", STR)))),
            ),
            ([Slotted(1, "a")], Record(Slotted, (("id", INT), ("name", STR)))),
            ([Keyword(id=1)], Record(Keyword, (("id", INT), ("b", STR)))),
            ([Empty()], Record(Empty, ())),
            ([Untyped(1, "a")], Record(Untyped, (("a", INT), ("b", STR)))),
        ],
        ids=str,
    )
    def test_shapes(self, rows: list[Any], expected: RowType) -> None:
        assert exact_row_type(rows) == expected

    @pytest.mark.parametrize(
        ("rows", "index", "reason"),
        [
            ([1, 2.0], 1, "it is a float, others are int"),
            ([1, 1, True], 2, "it is a bool, others are int"),
            ([None, "a", None, b"a"], 3, "it is a bytes, others are str"),
            ([date(2020, 1, 1), datetime(2020, 1, 1)], 1, "it is a datetime, others are date"),
            ([1, 2**63], 1, "more than 64 bits"),
            ([1, -(2**63) - 1, 2**63], 1, "more than 64 bits"),
            (["a", "\ud800"], 1, "lone surrogate"),
            (["\ud83d", "\ude00"], 0, "lone surrogate"),  # which must not be joined to one character
            ([datetime(2020, 1, 1), datetime(2020, 1, 1, tzinfo=UTC)], 1, "time zone"),
            ([datetime(2020, 1, 1), datetime(2020, 10, 25, 2, fold=1)], 1, "fold=1"),
            ([Color.RED], 0, "it is a Color"),
            ([1, Color.RED], 1, "it is a Color, others are int"),
            ([Text("a")], 0, "it is a Text"),
            ([Decimal("1.0")], 0, "Decimal"),
            ([[1]], 0, "it is a list, which has no fixed length; use a tuple"),
            ([{"a": 1}], 0, "it is a dict"),
            ([timedelta(1)], 0, "it is a timedelta"),
            ([1j], 0, "it is a complex"),
            ([(1, 2), (1, 2, 3)], 1, "it is a tuple of 3, others have 2"),
            ([(), (1,)], 1, "it is a tuple of 1, others have 0"),
            ([(1, 2), Untyped(1, 2)], 1, "it is a Untyped, others are tuple"),
            ([(1, "a"), (1, "b"), (2.0, "c")], 2, "its [0] is a float, others are int"),
            ([("a", Point(1, 2.0)), ("a", Point(1, 2))], 1, "its [1].y is a int, others are float"),
            # type: ignore[arg-type]
            (
                [(None, 1), ((1, None), 1), ((1, "a"), 1), ((1, 2), 1)],
                3,
                "its [0][1] is a int, others are str",
            ),
            (
                [(1, 1), (1, 2.0), (1.0, 1)],
                1,
                "its [1] is a float, others are int",
            ),  # not the later one at [0]
        ],
        ids=str,
    )
    def test_first_record_that_does_not_fit_is_named(self, rows: list[Any], index: int, reason: str) -> None:
        with pytest.raises(RowTypeError) as caught:
            exact_row_type(rows)
        assert f"record {index} " in str(caught.value)
        assert reason in str(caught.value)
        assert repr(rows[index])[:150] in str(caught.value)

    def test_no_rows_have_no_row_type(self) -> None:
        with pytest.raises(RowTypeError, match="no rows"):
            exact_row_type([])

    def test_nothing_is_inferred_from_a_sample(self) -> None:
        with pytest.raises(RowTypeError, match="record 99999 "):
            exact_row_type([*range(99_999), 1.0])

    def test_attributes_beside_the_fields_are_refused(self) -> None:
        added, deleted, reordered = Order(1, 2.0), Order(1, 2.0), Order(1, 2.0)
        added.extra = 1  # type: ignore[attr-defined]
        del deleted.symbol
        del reordered.id
        reordered.id = 1
        for odd in (added, deleted, reordered):
            with pytest.raises(RowTypeError, match=r"record 1 .* more or less than its fields"):
                exact_row_type([Order(1, 2.0), odd])

    def test_unset_slot_is_refused(self) -> None:
        with pytest.raises(RowTypeError, match=r"record 1 .* more or less than its fields"):
            exact_row_type([Slotted(1), object.__new__(Slotted)])

    def test_named_tuple_of_another_length_is_refused(self) -> None:
        with pytest.raises(RowTypeError, match=r"record 1 .* more or less than its fields"):
            exact_row_type([Point(1, 2.0), tuple.__new__(Point, (1,))])

    def test_value_cached_in_the_instance_is_refused(self) -> None:
        @dataclass
        class Cached:
            a: int

            @cached_property
            def double(self) -> int:
                return 2 * self.a

        record = Cached(1)
        assert exact_row_type([record]) == Record(Cached, (("a", INT),))
        assert record.double == 2
        with pytest.raises(RowTypeError, match="more or less than its fields"):
            exact_row_type([record])

    def test_record_that_can_be_changed_must_not_be_there_twice(self) -> None:
        shared, frozen, unchangeable = Order(1, 2.0), Frozen(1, 2.0), Point(1, 2.0)
        exact_row_type([(frozen, frozen), (frozen, frozen)])
        exact_row_type([(unchangeable, unchangeable)])
        exact_row_type([(Order(1, 2.0), Order(1, 2.0))])
        for rows in ([(shared, shared)], [shared, shared], [(1, shared), (2, shared)]):
            with pytest.raises(RowTypeError, match="can be changed and is there twice"):
                exact_row_type(rows)

    def test_too_wide_and_too_deep_is_refused(self) -> None:
        assert exact_row_type([tuple(range(1_000))]).leaf_count == 1_000
        with pytest.raises(RowTypeError, match="more than 1000 columns"):
            exact_row_type([tuple(range(1_001))])
        deep: Any = 1
        for _ in range(50):
            deep = (deep,)
        assert exact_row_type([deep]).leaf_count == 1
        with pytest.raises(RowTypeError, match="deeper than 50"):
            exact_row_type([(deep,)])

    def test_too_wide_is_found_on_the_way_down(self) -> None:
        shared: Any = 1
        for _ in range(12):
            shared = (shared, shared)
        with pytest.raises(RowTypeError, match="more than 1000 columns"):
            exact_row_type([shared])

    def test_text_beyond_what_an_array_holds_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(exact, "TEXT_BYTES_MAX", 8)
        exact_row_type(["abcd", "한"])
        for rows in (["abcd", "한국"], [b"abcd", b"abcde"]):
            with pytest.raises(RowTypeError, match="one column holds 8"):
                exact_row_type(rows)

    @given(uniform_rows())
    def test_is_comparable_hashable_and_picklable(self, rows: list[Any]) -> None:
        try:
            found = exact_row_type(rows)
        except RowTypeError:  # one strategy can make values of several classes: None, or a tuple of none
            return
        again = exact_row_type(list(reversed(rows)))
        assert (found, hash(found)) == (again, hash(again))
        assert pickle.loads(pickle.dumps(found)) == found
        assert len(found.leaf_types) == found.leaf_count
        assert str(found)


class TestRowTypes:
    def test_optional_of_none_is_refused(self) -> None:
        for inner in (Optional(INT), NONE):
            with pytest.raises(RowTypeError, match="optional once more"):
                Optional(inner)

    def test_scalar_without_column_is_refused(self) -> None:
        with pytest.raises(RowTypeError, match="has no column"):
            Scalar(Decimal)

    def test_layout(self) -> None:
        row_type = Tuple((Optional(INT), Optional(Tuple((STR, Optional(FLOAT)))), NONE))
        expected = (pa.int64(), pa.bool_(), pa.string(), pa.float64(), pa.null())
        assert row_type.leaf_types == expected
        assert row_type.leaf_count == 5

    def test_text(self) -> None:
        row_type = exact_row_type([("a", Point(1, 2.0), None, ()), ("b", None, None, ())])
        assert str(row_type) == "tuple[str, Point(x: int, y: float) | None, None, tuple[()]]"


UserId = NewType("UserId", int)


class Annotations(NamedTuple):
    a: int
    b: float | None
    c: typing.Optional[str]  # noqa: UP045 - the older spelling is meant
    d: tuple[bool, tuple[bytes]]
    e: Annotated[datetime, "UTC"]
    f: Point
    g: UserId
    h: None
    i: tuple[()]


class Node(NamedTuple):
    value: int
    next: Node | None


class TestRowTypeOfClass:
    def test_annotations(self) -> None:
        assert str(row_type_of_class(Annotations)) == (
            "Annotations(a: int, b: float | None, c: str | None, d: tuple[bool, tuple[bytes]], "
            "e: datetime, f: Point(x: int, y: float), g: int, h: None, i: tuple[()])"
        )

    @pytest.mark.parametrize("cls", [Order, Derived, Frozen, Slotted, Keyword, Changeable, Trade, Empty])
    def test_dataclasses(self, cls: type) -> None:
        row_type = row_type_of_class(cls)
        assert isinstance(row_type, Record)
        assert row_type.names == record_fields(cls)

    def test_what_rows_show_fits_what_annotations_promise(self) -> None:
        assert row_type_of_class(Order) == exact_row_type([Order(1, 2.0)])

    @pytest.mark.parametrize(
        "annotation",
        [
            list[int],
            int | str,
            int | str | None,
            Decimal,
            tuple[int, ...],
            typing.Any,
            dict,
            tuple,
            "int",
            Untyped,
            Node,
        ],
        ids=str,
    )
    def test_what_has_no_column_is_refused(self, annotation: Any) -> None:
        with pytest.raises(RowTypeError):
            row_type_of_class(annotation)

    def test_refusal_names_the_field(self) -> None:
        class Bad(NamedTuple):
            a: int
            b: list  # type: ignore[type-arg]

        with pytest.raises(RowTypeError, match=r"field b of .*Bad"):
            row_type_of_class(Bad)

    def test_annotation_that_cannot_be_read_is_refused(self) -> None:
        class Unknown(NamedTuple):
            a: Nowhere  # type: ignore[name-defined]  # noqa: F821

        with pytest.raises(RowTypeError, match="Nowhere"):
            row_type_of_class(Unknown)
