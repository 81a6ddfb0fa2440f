"""An order of the brokerage, and the line of text it travels as.

One order is one line of seven fields::

    2016-03-22 20:25:28,1,80,EPE,710,51.00,B
    time                | |  |   |   |     B: buy, S: sell
                        | |  |   |   price of one share
                        | |  |   amount: how many shares
                        | |  symbol of the security
                        | client id
                        order id

The reading is strict: a line is an order in every detail, or it is refused with a reason. There are
no quotes, no blanks around fields, no digits but 0 to 9. Bounded fields keep every figure exact:
a price below a thousand million with two decimals is a float from which ``round(price * 100)``
gets back precisely the cents that were written.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Final, NamedTuple

__all__ = ["AMOUNT_MAX", "MalformedOrder", "Order", "parse_order", "traded_cents"]

AMOUNT_MAX: Final = 1_000_000_000
"""The most shares that one order may be for."""


class Order(NamedTuple):
    """One order of a client to buy or sell shares.

    ``time`` has whole seconds and no time zone; ``amount`` counts shares, 1 to :data:`AMOUNT_MAX`;
    ``price`` is that of one share, in dollars, with at most two decimals; ``buy`` is false for a sale.

    >>> Order(datetime(2016, 3, 22, 20, 25, 28), 1, 80, "EPE", 710, 51.0, True).symbol
    'EPE'
    """

    time: datetime
    order_id: int
    client_id: int
    symbol: str
    amount: int
    price: float
    buy: bool


class MalformedOrder(ValueError):
    """A line that is no order. ``str()`` of it is the reason: one line of ASCII, of bounded length.

    >>> str(MalformedOrder("an empty line"))
    'an empty line'
    """


# (name, pattern, rule in words); the pattern of a line is these seven, joined by commas.
_FIELDS: Final = (
    (
        "time",
        r"[0-9]{4}-[0-9]{2}-[0-9]{2} (?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]",
        "must be a date and time of day such as 2016-03-22 20:25:28",
    ),
    ("order id", r"[0-9]{1,18}", "must be 1 to 18 digits"),
    ("client id", r"[0-9]{1,18}", "must be 1 to 18 digits"),
    ("symbol", r"[A-Z0-9.\-]{1,12}", "must be 1 to 12 of the characters A-Z, 0-9, '.' and '-'"),
    ("amount", r"[0-9]{1,10}", f"must be a whole number from 1 to {AMOUNT_MAX}, of at most 10 digits"),
    (
        "price",
        r"[0-9]{1,9}(?:\.[0-9]{1,2})?",
        "must be more than 0, of at most 9 digits and at most two decimals, such as 51.00",
    ),
    ("side", r"[BS]", "must be B (buy) or S (sell)"),
)
_matched: Final = re.compile(",".join(f"({pattern})" for _, pattern, _ in _FIELDS), re.ASCII).fullmatch
_moment: Final = datetime.fromisoformat
_new: Final = tuple.__new__
_SHOWN_MAX: Final = 40  # characters of a field that a reason shows


def parse_order(line: str) -> Order:
    r"""The order that ``line`` (without its line end) holds.

    Raises :class:`MalformedOrder`, and nothing else, for text that is no order. The reason names the
    first field that is wrong, what it holds and what the rule is.

    >>> parse_order("2016-03-22 20:25:28,1,80,EPE,710,51.00,B").amount
    710
    >>> parse_order("2016-02-30 20:25:28,1,80,EPE,710,51.00,B")
    Traceback (most recent call last):
    penstock.brokerage.orders.MalformedOrder: field 1 (time) is '2016-02-30 20:25:28': there is no such day
    >>> parse_order("2016-03-22 20:25:28,1,80,EPE")
    Traceback (most recent call last):
    penstock.brokerage.orders.MalformedOrder: 4 fields instead of 7
    """
    match = _matched(line)
    if match is None:
        raise MalformedOrder(_reason(line))
    time, order_id, client_id, symbol, amount_text, price_text, side = match.groups()
    amount = int(amount_text)
    price = float(price_text)
    if 0 < amount <= AMOUNT_MAX and price > 0.0:
        try:
            # Order(...) without its Python-level __new__: a tenth of the time of a line
            return _new(
                Order, (_moment(time), int(order_id), int(client_id), symbol, amount, price, side == "B")
            )
        except ValueError:
            pass  # a day that the calendar does not have
    raise MalformedOrder(_reason(line))


def traded_cents(order: Order) -> int:
    """What the order is worth, in cents: exact, and possibly of more than 64 bits (up to 10**20).

    >>> traded_cents(parse_order("2016-03-22 20:25:28,1,80,EPE,710,51.10,B"))
    3628100
    """
    return order.amount * round(order.price * 100)


def _reason(line: str) -> str:
    """Why ``line`` is no order."""
    if not line:
        return "an empty line"
    if line.isspace():
        return f"nothing but white space: {_shown(line)}"
    field_count = line.count(",") + 1
    if field_count != len(_FIELDS):
        fields = "1 field" if field_count == 1 else f"{field_count} fields"
        held = f": {_shown(line)}" if field_count == 1 else ""
        return f"{fields} instead of {len(_FIELDS)}{held}"
    for number, ((name, pattern, rule), text) in enumerate(zip(_FIELDS, line.split(","), strict=True), 1):
        problem = None if re.fullmatch(pattern, text, re.ASCII) else rule
        if problem is None and name == "time":
            problem = _day_problem(text)
        elif problem is None and name == "amount":
            problem = None if 1 <= int(text) <= AMOUNT_MAX else rule
        elif problem is None and name == "price":
            problem = None if float(text) > 0.0 else rule
        if problem is not None:
            return f"field {number} ({name}) is {_shown(text)}: {problem}"
    raise AssertionError(f"refused, but every field is right: {line!r}")


def _day_problem(time: str) -> str | None:
    # In our own words: those of `fromisoformat` differ from one Python version to the next.
    try:
        date(int(time[:4]), int(time[5:7]), int(time[8:10]))
    except ValueError:
        return "there is no such day"
    return None


def _shown(text: str) -> str:
    """``text`` as an ASCII literal (so that digits of other scripts show), cut if it is long."""
    if len(text) <= _SHOWN_MAX:
        return ascii(text)
    return f"{text[:_SHOWN_MAX]!a}... ({len(text)} characters)"
