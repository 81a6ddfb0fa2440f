"""What an order's line is, and how precisely all else is refused."""

from __future__ import annotations

import pickle
from datetime import datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.brokerage.orders import AMOUNT_MAX, MalformedOrder, Order, parse_order, traded_cents

GOOD = "2016-03-22 20:25:28,1,80,EPE,710,51.00,B"


def line_of(order: Order, price: str) -> str:
    side = "B" if order.buy else "S"
    return f"{order.time},{order.order_id},{order.client_id},{order.symbol},{order.amount},{price},{side}"


def with_field(number: int, text: str) -> str:
    fields = GOOD.split(",")
    fields[number - 1] = text
    return ",".join(fields)


def reason_of(line: str) -> str:
    with pytest.raises(MalformedOrder) as caught:
        parse_order(line)
    return str(caught.value)


def test_the_chapters_line() -> None:
    order = parse_order(GOOD)
    assert order == Order(datetime(2016, 3, 22, 20, 25, 28), 1, 80, "EPE", 710, 51.0, True)
    assert [type(value) for value in order] == [datetime, int, int, str, int, float, bool]
    assert type(order) is Order
    assert order._replace(buy=False) == parse_order(with_field(7, "S"))
    assert pickle.loads(pickle.dumps(order)) == order


@pytest.mark.parametrize(
    ("number", "text", "value"),
    [
        (1, "0001-01-01 00:00:00", datetime(1, 1, 1)),
        (1, "9999-12-31 23:59:59", datetime(9999, 12, 31, 23, 59, 59)),
        (1, "2016-02-29 00:00:00", datetime(2016, 2, 29)),
        (2, "0", 0),
        (1, "2016-03-22T20:25:28.5", datetime(2016, 3, 22, 20, 25, 28, 500_000)),
        (2, "9" * 18, 10**18 - 1),
        (2, '"1"', 1),
        (3, "007", 7),
        (4, "BRK.B", "BRK.B"),
        (4, "A-1.B-2.C-3.", "A-1.B-2.C-3."),
        (5, "1", 1),
        (5, "1000000000", AMOUNT_MAX),
        (5, "00000000001", 1),
        (6, "51", 51.0),
        (6, "51.5", 51.5),
        (6, "51.", 51.0),
        (6, ".51", 0.51),
        (6, "5.1e1", 51.0),
        (6, "0.01", 0.01),
        (6, "999999999.99", 999_999_999.99),
    ],
)
def test_the_edges_of_what_is_accepted(number: int, text: str, value: object) -> None:
    assert parse_order(with_field(number, text))[number - 1] == value


TIME_RULE = "must be a date and time of day such as 2016-03-22 20:25:28"
NO_SUCH_TIME = "there is no such day or time of day"
INT_RULE = "must be a whole number, such as 710 or -5"
LARGE_RULE = "must fit into 64 bits: from -2**63 to 2**63-1"
PRICE_RULE = "must be a decimal number, such as 51.00 or -1e-3"
SIDE_RULE = "must be 'B' or 'S'"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "an empty line"),
        ("  ", "1 field instead of 7: '  '"),
        ("\r", "a line end within the line"),
        ("end of day", "1 field instead of 7: 'end of day'"),
        (",,", "3 fields instead of 7"),
        (GOOD.rsplit(",", 1)[0], "6 fields instead of 7"),
        (GOOD + ",", "8 fields instead of 7"),
        (with_field(6, "51,00"), "8 fields instead of 7"),
        (GOOD.replace(",", ";"), f"1 field instead of 7: '{GOOD.replace(',', ';')}'"),
        ("x" * 5000, f"1 field instead of 7: '{'x' * 40}'... (5000 characters)"),
        ("," * 5000, "5001 fields instead of 7"),
        (with_field(3, '"80'), "the quote that begins field 3 does not end"),
        (with_field(4, 'E"PE'), "a quote within field 4: only a whole field is quoted"),
    ],
)
def test_lines_that_are_not_seven_fields(line: str, reason: str) -> None:
    assert reason_of(line) == reason


@pytest.mark.parametrize(
    ("number", "name", "text", "rule"),
    [
        (1, "time", "2016-02-30 20:25:28", NO_SUCH_TIME),
        (1, "time", "2015-02-29 20:25:28", NO_SUCH_TIME),
        (1, "time", "2016-13-01 20:25:28", NO_SUCH_TIME),
        (1, "time", "0000-01-01 20:25:28", NO_SUCH_TIME),
        (1, "time", "2016-03-22 24:00:00", NO_SUCH_TIME),
        (1, "time", "2016-03-22 20:60:00", NO_SUCH_TIME),
        (1, "time", "2016-03-22 20:25:60", NO_SUCH_TIME),
        (1, "time", "2016-03-22_20:25:28", TIME_RULE),
        (1, "time", "2016-03-22 20:25:28.", TIME_RULE),
        (1, "time", "2016-03-22 20:25:28Z", TIME_RULE),
        (1, "time", "2016-3-22 20:25:28", TIME_RULE),
        (1, "time", "20160322 202528", TIME_RULE),
        (1, "time", "2016-03-22", TIME_RULE),
        (1, "time", "", TIME_RULE),
        (2, "order_id", "", INT_RULE),
        (2, "order_id", "+1", INT_RULE),
        (2, "order_id", " 1", INT_RULE),
        (2, "order_id", "1 ", INT_RULE),
        (2, "order_id", "1_0", INT_RULE),
        (2, "order_id", "1.0", INT_RULE),
        (2, "order_id", "9" * 19, LARGE_RULE),
        (3, "client_id", "8O", INT_RULE),
        (3, "client_id", "0x50", INT_RULE),
        (5, "amount", "710.0", INT_RULE),
        (5, "amount", "1e3", INT_RULE),
        (6, "price", "nan", PRICE_RULE),
        (6, "price", "inf", PRICE_RULE),
        (6, "price", "$51", PRICE_RULE),
        (6, "price", "1e400", "must be a finite number: it is too large"),
        (7, "buy", "", SIDE_RULE),
        (7, "buy", "b", SIDE_RULE),
        (7, "buy", "BUY", SIDE_RULE),
        (7, "buy", "B ", SIDE_RULE),
    ],
)
def test_one_wrong_field(number: int, name: str, text: str, rule: str) -> None:
    assert reason_of(with_field(number, text)) == f"field {number} ({name}) is '{text}': {rule}"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (2, "-1"),
        (3, "-80"),
        (4, ""),
        (4, "epe"),
        (4, "E PE"),
        (4, " EPE"),
        (4, "EPE\x0c"),
        (4, "\ufffdEPE"),
        (4, "EPE\u2028"),
        (4, "\uff11"),
        (4, "É"),
        (4, "ABCDEFGHIJKLM"),
        (5, "0"),
        (5, "1000000001"),
        (5, "-710"),
        (6, "0"),
        (6, "0.00"),
        (6, "-1.00"),
        (6, "1000000000"),
        (6, "51.005"),
        (6, "0.001"),
    ],
)
def test_what_can_be_written_and_not_be_meant(number: int, text: str) -> None:
    assert reason_of(with_field(number, text)) == "the rule is_plausible does not hold"


@pytest.mark.parametrize(
    ("number", "text", "shown"),
    [
        (2, "\uff11\uff12", r"'\uff11\uff12'"),
        (3, "\u0663", r"'\u0663'"),
        (7, "B\x00", r"'B\x00'"),
        (7, "B\u2028", r"'B\u2028'"),
        (7, "Z" * 1000, f"'{'Z' * 40}'... (1000 characters)"),
    ],
)
def test_what_a_field_holds_is_shown_in_ascii_and_cut(number: int, text: str, shown: str) -> None:
    assert f" is {shown}: must be" in reason_of(with_field(number, text))


def test_the_first_wrong_field_is_named() -> None:
    assert reason_of("x,x,x,x,x,x,x") == f"field 1 (time) is 'x': {TIME_RULE}"


@pytest.mark.parametrize(
    ("amount", "price", "cents"),
    [
        ("710", "51.00", 3_621_000),
        ("3", "1.15", 345),  # 1.15 * 100 is 114.99999999999999
        ("7", "0.29", 203),  # 0.29 * 100 is 28.999999999999996
        ("1000000000", "999999999.99", 99_999_999_999 * 10**9),
    ],
)
def test_cents_are_exact(amount: str, price: str, cents: int) -> None:
    line = GOOD.replace("710", amount).replace("51.00", price)
    assert traded_cents(parse_order(line)) == cents


symbols = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-", min_size=1, max_size=12).filter(
    lambda symbol: bool(set(symbol) - set(".-"))
)


@given(
    time=st.datetimes().map(lambda time: time.replace(microsecond=0)),
    order_id=st.integers(0, 10**18 - 1),
    client_id=st.integers(0, 10**18 - 1),
    symbol=symbols,
    amount=st.integers(1, AMOUNT_MAX),
    cents=st.integers(1, 99_999_999_999),
    buy=st.booleans(),
)
def test_every_order_is_read_as_it_was_written(
    time: datetime, order_id: int, client_id: int, symbol: str, amount: int, cents: int, buy: bool
) -> None:
    price = f"{cents // 100}.{cents % 100:02}"
    order = Order(time, order_id, client_id, symbol, amount, float(price), buy)
    assert parse_order(line_of(order, price)) == order
    assert traded_cents(order) == amount * cents


near_miss = st.builds(
    lambda at, cut, text: GOOD[:at] + text + GOOD[at + cut :],
    st.integers(0, len(GOOD)),
    st.integers(0, 4),
    st.text(st.characters() | st.sampled_from(",-: .0123456789BS"), max_size=3),
)


@given(st.text() | near_miss | st.lists(st.text(max_size=20), min_size=7, max_size=7).map(",".join))
@example(GOOD + "\n")
@example("9999-99-99 99:99:99,1,80,EPE,710,51.00,B")
@example(with_field(5, "9" * 5000))
def test_any_text_is_an_order_or_malformed(line: str) -> None:
    try:
        order = parse_order(line)
    except MalformedOrder as problem:
        reason = str(problem)
        assert reason
        assert reason.isascii()
        assert reason.isprintable()
        assert len(reason) < 700
    else:
        assert parse_order(line_of(order, repr(order.price))) == order
