"""The three figures computed directly, to check the streaming program against.

Plain dicts over plain lists, written to be seen to be right: no stream, no state store, no columns.
It shares nothing with the streaming program but what a line means (:func:`parse_order`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TypedDict

from penstock.brokerage.orders import MalformedOrder, parse_order
from penstock.errors import ArgumentError

__all__ = ["BatchFigures", "figures", "report"]


class BatchFigures(TypedDict):
    """The figures at the end of one batch.

    ``buys`` and ``sells`` count the orders of this batch. ``top_clients`` are the five clients who
    traded most so far, in all batches, as ``(client id, cents)``; ``top_stocks`` the five securities
    most traded in the window that ends with this batch, as ``(symbol, shares)``. Both begin with the
    greatest, and equals are ordered by id or symbol, ascending. ``rejected`` are the lines of this
    batch that are no orders, as ``(line number in the batch, from 1, reason)``.
    """

    buys: int
    sells: int
    top_clients: list[tuple[int, int]]
    top_stocks: list[tuple[str, int]]
    rejected: list[tuple[int, str]]


def figures(
    batches: Iterable[Iterable[str | bytes]], interval_s: float, window_s: float
) -> list[BatchFigures]:
    r"""The figures after each of ``batches``, which are given as their lines, in order.

    A batch may be empty. Lines may end with ``\n``; bytes that are not UTF-8 count as U+FFFD.
    ``interval_s`` is the time between two batches and ``window_s`` the length of the window, in
    seconds; the window holds the last ``window_s / interval_s`` batches, or as many as there were.
    Raises ``ArgumentError`` if that is not a whole number of batches, at least one.

    >>> line = "2016-03-22 20:25:28,1,80,EPE,710,51.00,B"
    >>> after_first, after_second = figures([[line, "?"], []], interval_s=5, window_s=5)
    >>> after_first["top_clients"], after_first["top_stocks"], after_first["buys"]
    ([(80, 3621000)], [('EPE', 710)], 1)
    >>> after_second["top_clients"], after_second["top_stocks"], after_second["buys"]
    ([(80, 3621000)], [], 0)
    """
    window_batches = _window_batches(interval_s, window_s)
    cents_per_client: Counter[int] = Counter()
    shares_per_symbol: list[Counter[str]] = []  # one for each batch
    result: list[BatchFigures] = []
    for lines in batches:
        buys = sells = 0
        shares: Counter[str] = Counter()
        rejected: list[tuple[int, str]] = []
        for line_number, line in enumerate(lines, 1):
            text = line.decode("utf-8", "replace") if isinstance(line, bytes) else line
            try:
                order = parse_order(text.removesuffix("\n"))
            except MalformedOrder as problem:
                rejected.append((line_number, str(problem)))
                continue
            if order.buy:
                buys += 1
            else:
                sells += 1
            cents_per_client[order.client_id] += order.amount * round(order.price * 100)
            shares[order.symbol] += order.amount
        shares_per_symbol.append(shares)

        in_window: Counter[str] = Counter()
        for batch_shares in shares_per_symbol[-window_batches:]:
            in_window.update(batch_shares)
        by_cents = sorted(cents_per_client.items(), key=lambda pair: (-pair[1], pair[0]))
        by_shares = sorted(in_window.items(), key=lambda pair: (-pair[1], pair[0]))
        result.append(
            BatchFigures(
                buys=buys,
                sells=sells,
                top_clients=by_cents[:5],
                top_stocks=by_shares[:5],
                rejected=rejected,
            )
        )
    return result


def report(batch: BatchFigures) -> list[str]:
    """The lines that the dashboard writes for a batch. A side without an order has none.

    >>> after = figures([["2016-03-22 20:25:28,1,80,EPE,710,51.00,B"]], interval_s=5, window_s=5)[0]
    >>> print(*report(after), sep="\\n")
    ('BUYS', ['1'])
    ('TOP5CLIENTS', ['80'])
    ('TOP5STOCKS', ['EPE'])
    """
    sides = [
        (name, [str(count)]) for name, count in (("BUYS", batch["buys"]), ("SELLS", batch["sells"])) if count
    ]
    clients = ("TOP5CLIENTS", [str(client) for client, _ in batch["top_clients"]])
    stocks = ("TOP5STOCKS", [symbol for symbol, _ in batch["top_stocks"]])
    return [repr(record) for record in (*sides, clients, stocks)]


def _window_batches(interval_s: float, window_s: float) -> int:
    """How many batches the window holds."""
    interval_ms, window_ms = round(interval_s * 1000), round(window_s * 1000)
    if interval_ms < 1 or window_ms < 1 or window_ms % interval_ms:
        raise ArgumentError(
            f"the window, {window_s} s, must be a whole multiple of the batch interval, {interval_s} s"
        )
    return window_ms // interval_ms
