"""Orders parsed line by line, as one would by hand for one program: a regular expression and seven calls.

It is stricter than the application in how numbers and times may be written, and refuses what that refuses of
the lines that ``penstock brokerage generate`` makes; a test compares them. About 1 us a line.
"""

from __future__ import annotations

import re
from datetime import datetime

from penstock.brokerage.orders import AMOUNT_MAX, MalformedOrder, Order

__all__ = ["MalformedOrder", "Order", "parse_order"]

_matched = re.compile(
    "([0-9]{4}-[0-9]{2}-[0-9]{2} (?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]),"
    r"([0-9]{1,18}),([0-9]{1,18}),([A-Z0-9.\-]{1,12}),([0-9]{1,10}),([0-9]{1,9}(?:\.[0-9]{1,2})?),([BS])",
    re.ASCII,
).fullmatch
_moment = datetime.fromisoformat
_new = tuple.__new__


def parse_order(line: str) -> Order:
    """The order on a line. Raises: ``MalformedOrder`` if there is none."""
    match = _matched(line)
    if match is not None:
        time, order_id, client_id, symbol, amount_text, price_text, side = match.groups()
        amount, price = int(amount_text), float(price_text)
        if 0 < amount <= AMOUNT_MAX and price > 0.0:
            try:
                values = (_moment(time), int(order_id), int(client_id), symbol, amount, price, side == "B")
                return _new(Order, values)
            except ValueError:
                pass  # a day that the calendar does not have
    raise MalformedOrder(f"no order: {line}")
