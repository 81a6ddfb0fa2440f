"""An order of the brokerage, and the line of text it travels as.

One order is one line of seven fields::

    2016-03-22 20:25:28,1,80,EPE,710,51.00,B
    time                | |  |   |   |     B: buy, S: sell
                        | |  |   |   price of one share
                        | |  |   amount: how many shares
                        | |  symbol of the security
                        | client id
                        order id

How each field is written is what ``parseCsv`` reads of its class (see ``docs/formats.md``); what else makes
an order is one rule, :func:`is_plausible`. It keeps every figure exact: a price of whole cents below a
thousand million is a float from which ``round(price * 100)`` gets back precisely the cents that were written.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, NamedTuple

from penstock.formats import CsvFormat, MalformedLine, Words

__all__ = ["AMOUNT_MAX", "MalformedOrder", "Order", "is_plausible", "parse_order", "traded_cents"]

AMOUNT_MAX: Final = 1_000_000_000
"""The most shares that one order may be for."""
PRICE_MAX: Final = 1_000_000_000.0
"""What a share costs less than, in dollars."""
SYMBOL_LENGTH_MAX: Final = 12


class Order(NamedTuple):
    """One order of a client to buy or sell shares.

    ``time`` has no time zone; ``amount`` counts shares, 1 to :data:`AMOUNT_MAX`; ``price`` is that of one
    share, in dollars and whole cents; ``buy`` is false for a sale.

    >>> Order(datetime(2016, 3, 22, 20, 25, 28), 1, 80, "EPE", 710, 51.0, True).symbol
    'EPE'
    """

    time: datetime
    order_id: int
    client_id: int
    symbol: str
    amount: int
    price: float
    buy: Annotated[bool, Words("B", "S")]


class MalformedOrder(ValueError):
    """A line that is no order. ``str()`` of it is the reason: one line of ASCII, of bounded length.

    >>> str(MalformedOrder("an empty line"))
    'an empty line'
    """


def is_symbol(text: str) -> bool:
    """Whether this is 1 to 12 visible characters of ASCII, without small letters.

    >>> [text for text in ("EPE", "BRK.B", "epe", "E PE", "É", "") if is_symbol(text)]
    ['EPE', 'BRK.B']
    """
    return (
        0 < len(text) <= SYMBOL_LENGTH_MAX
        and text.isascii()
        and text.isprintable()
        and " " not in text
        and text == text.upper()
    )


def is_plausible(order: Order) -> bool:
    """Whether an order can be meant: no negative ids, a symbol, and bounded amounts of whole cents.

    >>> is_plausible(parse_order("2016-03-22 20:25:28,1,80,EPE,710,51.00,B"))
    True
    """
    return (
        order.order_id >= 0
        and order.client_id >= 0
        and 0 < order.amount <= AMOUNT_MAX
        and 0.0 < order.price < PRICE_MAX
        and round(order.price * 100) / 100 == order.price
        and is_symbol(order.symbol)
    )


_FORMAT: Final = CsvFormat(Order)


def parse_order(line: str) -> Order:
    r"""The order that ``line`` (without its line end) holds: as ``parseCsv(Order, check=is_plausible)``.

    Raises :class:`MalformedOrder`, and nothing else, for text that is no order. The reason names the
    first field that is wrong, what it holds and what the rule is.

    >>> parse_order("2016-03-22 20:25:28,1,80,EPE,710,51.00,B").amount
    710
    >>> parse_order("2016-02-30 20:25:28,1,80,EPE,710,51.00,B")
    Traceback (most recent call last):
    penstock.brokerage.orders.MalformedOrder: field 1 (time) is '2016-02-30 20:25:28': there is no ...
    >>> parse_order("2016-03-22 20:25:28,1,80,EPE")
    Traceback (most recent call last):
    penstock.brokerage.orders.MalformedOrder: 4 fields instead of 7
    """
    try:
        order: Order = _FORMAT.parse_line(line)
    except MalformedLine as problem:
        raise MalformedOrder(str(problem)) from None
    if not is_plausible(order):
        raise MalformedOrder(f"the rule {is_plausible.__name__} does not hold")
    return order


def traded_cents(order: Order) -> int:
    """What the order is worth, in cents: exact, and possibly of more than 64 bits (up to 10**20).

    >>> traded_cents(parse_order("2016-03-22 20:25:28,1,80,EPE,710,51.10,B"))
    3628100
    """
    return order.amount * round(order.price * 100)
