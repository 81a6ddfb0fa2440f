"""Panels: what a record may be, what is shown of many batches, and how much of it is kept."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import DataError
from penstock.monitor.panels import BarPanel, LinePanel, LogPanel, NumberPanel, Panel, TablePanel
from penstock.monitor.readings import number_of, plain_text, shown_number


class Trade(NamedTuple):
    symbol: str
    volume: int


BASE: dict[str, Any] = {
    "id": "panel-1",
    "title": "Orders",
    "noun": "orders",
    "width": 6,
    "spans_ms": (2000,),
}
LINE = LinePanel(**BASE, names=("orders",))
BAR = BarPanel(**BASE, rows=3)
TABLE = TablePanel(**BASE, rows=3)
NUMBER = NumberPanel(**BASE)
LOG = LogPanel(**BASE, rows=3)


def after(panel: Panel, *batches: list[Any]) -> dict[str, Any]:
    """What a panel shows after these batches, a second each; it must be JSON."""
    memory = panel.memory()
    for number, records in enumerate(batches, 1):
        memory.take(number * 1000, {0: panel.read(records, 0)})
    view = memory.view()
    assert json.loads(json.dumps(view, allow_nan=False)) == view
    return view


def series(view: dict[str, Any]) -> dict[str, list[float | None]]:
    return {each["name"]: each["values"] for each in view["series"]}


# ------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "shown"),
    [
        (0, "", None, "0"),
        (-1234567, "", None, "-1,234,567"),
        (10**30, "", None, "1,000,000,000,000,000,000,000,000,000,000"),
        (True + 1, "", None, "2"),
        (1.0, "", None, "1"),
        (999.9, "", None, "1,000"),
        (12.345, "ms", None, "12.3 ms"),
        (0.5, "%", None, "0.5%"),
        (0.000_012_3, "", None, "1.23e-05"),
        (1e300, "", None, "1e+300"),
        (math.nan, "", None, "not a number"),
        (-math.inf, "", None, "minus infinite"),
        (Decimal("NaN"), "", None, "not a number"),
        (Decimal("-0.10"), "$", None, "-$0.10"),
        (Decimal("12345678901234567890.12"), "$", None, "$12,345,678,901,234,567,890.12"),
        (Decimal("1E+3"), "", None, "1,000"),
        (Fraction(1, 3), "", None, "0.333"),
        (np.int64(1234), "/s", None, "1,234/s"),
        (np.float32(2.5), "", None, "2.5"),
        (1234.5678, "", 2, "1,234.57"),
        (3, "€", 1, "€3.0"),
    ],
)
def test_a_number_in_words(value: Any, unit: str, decimals: int | None, shown: str) -> None:
    assert shown_number(value, unit, decimals) == shown


@given(st.floats(-1e300, 1e300) | st.sampled_from([math.nan, math.inf, -math.inf]))
def test_any_float_is_shown_in_few_letters_and_near_enough(value: float) -> None:
    shown = shown_number(value)
    if math.isfinite(value):
        assert math.isclose(float(shown.replace(",", "")), value, rel_tol=0.006)
    assert len(shown) < 24
    assert (number_of(value) is None) == (not math.isfinite(value))


@given(st.text())
def test_any_text_becomes_one_line_of_visible_letters(text: str) -> None:
    shown = plain_text(text)
    assert shown.isprintable()
    if text.isprintable() and len(text) <= 500:
        assert shown == text


# --------------------------------------------------------------------------------------------- lines


def test_a_line_has_a_point_a_batch_and_a_gap_where_nothing_came() -> None:
    view = after(LINE, [3], [], [math.nan], [Decimal("1.5")])
    assert view["times"] == [1000, 2000, 3000, 4000]
    assert series(view) == {"orders": [3.0, None, None, 1.5]}
    assert view["series"][0]["text"] == "1.5"


def test_pairs_are_series_and_one_that_comes_later_begins_with_gaps() -> None:
    view = after(LINE, [("buys", 1)], [("sells", 2), ("buys", 3)], [["sells", 4]])
    assert series(view) == {"buys": [1.0, 3.0, None], "sells": [None, 2.0, 4.0]}


def test_names_are_shown_as_their_labels_say() -> None:
    labels = {True: "buys", False: "sells"}
    line = LinePanel(**BASE, names=("orders",), labels=labels)
    assert series(after(line, [(True, 2), (False, 3)], [(0, 4), ("x", 5), ([], 6)])) == {
        "buys": [2.0, None], "sells": [3.0, 4.0], "x": [None, 5.0], "[]": [None, 6.0],
    }  # fmt: skip
    bars = after(BarPanel(**BASE, labels=labels), [(False, 3), (None, 1)])["bars"]
    assert bars == [["sells", 3.0, "3"], ["nothing", 1.0, "1"]]
    with pytest.raises(DataError, match="two numbers for 'buys'"):
        line.read([(True, 1), ("buys", 1)], 0)


def test_per_second_is_of_the_slide_and_what_is_missing_is_nothing() -> None:
    line = LinePanel(**BASE, names=("orders",), per_second=True)
    view = after(line, [("buys", 10)], [])
    assert series(view) == {"buys": [5.0, 0.0]}
    assert view["series"][0]["text"] == "0/s"


def test_nothing_is_drawn_before_anything_has_come() -> None:
    assert after(LINE, [], [])["times"] == []


def test_a_line_keeps_its_newest_points_and_says_where_they_begin() -> None:
    line = LinePanel(**BASE, names=("orders",), points=3)
    memory = line.memory()
    for number in range(5):
        memory.take(number * 1000, {0: line.read([number], 0)})
    assert memory.view()["from"] == 2
    assert memory.view()["times"] == [2000, 3000, 4000]
    news = memory.view(4)
    assert (news["from"], news["times"], series(news)) == (4, [4000], {"orders": [4.0]})
    assert memory.view(5)["times"] == memory.view(99)["times"] == []


def test_no_more_series_than_colours() -> None:
    view = after(LINE, [(f"client {number}", number) for number in range(9)], [("client 8", 1)])
    assert len(view["series"]) == 8


@pytest.mark.parametrize("record", ["many", ("a", "b"), ("a", 1, 2), {"a": 1}, None, True, ("a", None)])
def test_a_line_refuses_what_has_no_number(record: Any) -> None:
    with pytest.raises(DataError, match=r"line 'Orders' got .*not a pair of a name and a number. Hint: "):
        LINE.read([record], 0)


def test_a_line_refuses_two_numbers_of_one_name() -> None:
    with pytest.raises(DataError, match=r"two numbers for 'orders' in a batch. Hint: "):
        LINE.read([1, 2], 0)


# ---------------------------------------------------------------------------------------------- bars


def test_bars_are_of_the_newest_batch_in_the_order_of_the_stream() -> None:
    view = after(BAR, [("a", 1)], [("z", 1), ("b", 5000), ("c", 2), ("d", 9)])
    assert view["bars"] == [["z", 1.0, "1"], ["b", 5000.0, "5,000"], ["c", 2.0, "2"]]
    assert view["more"] is True
    assert after(BAR, [("a", 1)], [])["bars"] == []


def test_bars_refuse_what_is_no_pair() -> None:
    with pytest.raises(DataError, match="bar 'Orders' got 7"):
        BAR.read([7], 0)


# -------------------------------------------------------------------------------------------- tables


@pytest.mark.parametrize(
    ("record", "columns", "cells"),
    [
        (("EPE", 1200), ["column 1", "column 2"], ["EPE", "1,200"]),
        (Trade("EPE", 1200), ["symbol", "volume"], ["EPE", "1,200"]),
        ({"symbol": "EPE", "volume": 1200}, ["symbol", "volume"], ["EPE", "1,200"]),
        (["EPE", None], ["column 1", "column 2"], ["EPE", "nothing"]),
        ("EPE", ["column 1"], ["EPE"]),
        (7.25, ["column 1"], ["7.25"]),
        (("<img src=x>", b"raw"), ["column 1", "column 2"], ["<img src=x>", "b'raw'"]),
    ],
)
def test_a_row_of_each_kind_of_record(record: Any, columns: list[str], cells: list[str]) -> None:
    view = after(TABLE, [record])
    assert (view["columns"], view["rows"][0]["cells"]) == (columns, cells)


def test_columns_choose_the_keys_of_a_dict_and_carry_units() -> None:
    table = TablePanel(**BASE, rows=3, columns=("volume", "symbol"), units=("$", ""))
    view = after(table, [{"symbol": "EPE", "volume": 3, "more": 1}])
    assert view["rows"][0]["cells"] == ["$3", "EPE"]
    assert view["right"] == [True, False]


def test_a_table_of_an_empty_batch_is_empty_and_keeps_its_columns() -> None:
    table = TablePanel(**BASE, rows=3, columns=("a", "b"))
    view = after(table, [(1, 2)], [])
    assert (view["rows"], view["columns"]) == ([], ["a", "b"])


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ((1, 2, 3), r"a record of 3 values for its 2 columns \(a, b\)"),
        (1, "a record of 1 values for its 2 columns"),
        ({"a": 1}, "a record without b"),
    ],
)
def test_a_table_refuses_a_record_that_does_not_fit_its_columns(record: Any, says: str) -> None:
    with pytest.raises(DataError, match=f"table 'Orders' got {says}"):
        TablePanel(**BASE, columns=("a", "b")).read([record], 0)


def test_a_table_without_the_column_of_its_key_says_so() -> None:
    with pytest.raises(DataError, match="has no column 'client' to tell its rows by: symbol, volume"):
        TablePanel(**BASE, key="client").read([Trade("EPE", 1)], 0)


def test_ranks_are_compared_with_those_of_a_while_ago() -> None:
    table = TablePanel(**BASE, rows=3, key=0, compared_ms=2000)

    def moves(*batches: list[Any]) -> list[Any]:
        return [row["move"] for row in after(table, *batches)["rows"]]

    first, second = [("a", 1), ("b", 1), ("c", 1)], [("c", 1), ("a", 1), ("d", 1)]
    assert moves(first) == [None, None, None]  # there is nothing yet to compare with
    assert moves(first, second) == [2, -1, "new"]
    assert moves(first, second, second) == [2, -1, "new"]  # still within two seconds
    assert moves(first, second, second, second) == [0, 0, 0]
    assert moves([], first) == [None, None, None]


def test_ranks_are_compared_over_an_hour_of_short_batches_in_bounded_memory() -> None:
    table = TablePanel(**BASE, rows=2, key=0, compared_ms=3_600_000)
    memory = table.memory()
    for number in range(36_100):
        records = ["a", "b"] if number * 100 < 5_000 else ["b", "a"]
        memory.take(number * 100, {0: table.read(records, 0)})
        if number * 100 in (400_000, 3_600_000):
            assert [row["move"] for row in memory.view()["rows"]] == [1, -1]
            assert len(memory._ranks) <= 502  # type: ignore[attr-defined]
    memory.take(3_620_000, {0: table.read(["b", "a"], 0)})
    assert [row["move"] for row in memory.view()["rows"]] == [0, 0]


def test_names_beyond_those_that_are_shown_are_told_of() -> None:
    batches = [[(f"name {number}", number)] for number in range(9)]
    assert after(LINE, *batches[:8])["more"] is False
    assert after(LINE, *batches)["more"] is True
    assert len(after(LINE, *batches)["series"]) == 8
    assert after(LINE, [pair for [pair] in batches])["more"] is True


# ------------------------------------------------------------------------------------------- numbers


def test_one_number_of_the_newest_batch() -> None:
    assert after(NUMBER, [1234], [5678])["text"] == "5,678"
    assert after(NUMBER, [1234], [])["text"] is None
    assert after(NUMBER)["text"] is None


def test_pairs_of_a_batch_are_added_up() -> None:
    assert after(NUMBER, [("buys", 3), ("sells", 4)])["value"] == 7.0
    assert after(NUMBER, [Decimal("0.10"), 0.25])["value"] == 0.35


def test_a_total_since_the_start_is_exact() -> None:
    total = NumberPanel(**BASE, total=True, unit="$")
    view = after(total, *[[Decimal("0.10")]] * 3, [])
    assert (view["text"], view["note"]) == ("$0.30", "$0 in the newest batch")
    assert after(total, [10**20], [1])["text"] == "$100,000,000,000,000,000,001"


def test_a_number_per_second() -> None:
    assert after(NumberPanel(**BASE, per_second=True), [5])["text"] == "2.5/s"
    assert after(NumberPanel(**BASE, per_second=True, unit="orders"), [4], [])["text"] == "0 orders/s"


@pytest.mark.parametrize(("value", "warns"), [(0, False), (1, True), (Decimal("0.5"), True), (-1, False)])
def test_a_number_above_the_limit_is_a_warning(value: Any, warns: bool) -> None:
    assert after(NumberPanel(**BASE, warn_above=0), [value])["warn"] is warns


@pytest.mark.parametrize("records", [["many"], [None], [True], list(range(9))])
def test_a_number_refuses_what_is_none(records: list[Any]) -> None:
    with pytest.raises(DataError, match=r"number 'Orders' got .* Hint: "):
        NUMBER.read(records, 0)


# ---------------------------------------------------------------------------------------------- logs


def test_a_log_keeps_the_newest_lines_of_all_batches() -> None:
    view = after(LOG, ["one", "two"], [Trade("EPE", 1200)], [], [{"a": 1}])
    assert view == {"from": 1, "lines": [[1000, "two"], [2000, "EPE · 1,200"], [4000, "1"]]}


def test_a_log_whose_lines_are_worded() -> None:
    log = LogPanel(**BASE, rows=2, text=lambda trade: f"{trade.symbol}\n{trade.volume}")
    assert [line for _, line in after(log, [Trade("EPE", 3)], [Trade("T", 4)] * 3)["lines"]] == [
        "T\\n4", "… and more orders in this batch",
    ]  # fmt: skip
    with pytest.raises(DataError, match="needs text of its text function, not 3"):
        LogPanel(**BASE, text=len).read(["abc"], 0)


def test_a_log_says_where_a_batch_had_more() -> None:
    assert LOG.read(list("abcd"), 0) == ["a", "b", "c", "… and more orders in this batch"]


def test_a_log_shows_control_characters_and_cuts_what_is_long() -> None:
    assert LOG.read(["a\nb\x1b[31m"], 0) == ["a\\nb\\x1b[31m"]
    assert len(LOG.read(["x" * 10_000], 0)[0]) == 500
