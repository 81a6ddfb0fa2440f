"""The dashboard as a streaming program: lines of orders in, the three figures out."""

from __future__ import annotations

from operator import add, sub
from typing import NamedTuple

from penstock.brokerage.orders import Order, is_plausible
from penstock.dstream import DStream, StateSpec
from penstock.state import State

__all__ = ["Figures", "figures_of"]

TOP = 5


class Figures(NamedTuple):
    """The streams of the dashboard; ``report`` is what goes to files."""

    rejects: DStream
    sides: DStream
    top_clients: DStream
    top_stocks: DStream
    report: DStream


def figures_of(lines: DStream, window_s: float) -> Figures:
    """Orders by side, the clients with the largest traded amount so far, the securities with the largest
    volume in the window. Amounts are whole cents, so they are exact; equal ones are ordered by id or symbol.
    """
    orders = lines.parseCsv(Order, check=is_plausible)

    sides = orders.map(lambda o: (o.buy, 1)).reduceByKey(add)
    side_list = sides.map(lambda side: ("BUYS" if side[0] else "SELLS", [str(side[1])]))

    cents = orders.map(lambda o: (o.client_id, o.amount * round(o.price * 100)))
    clients = cents.reduceByKey(add).mapWithState(StateSpec.function(add_up)).name("clients")
    totals = clients.stateSnapshots()
    volumes = orders.map(lambda o: (o.symbol, o.amount)).reduceByKeyAndWindow(add, sub, window_s)
    volumes.name("volumes")

    top_clients, top_stocks = top(totals), top(volumes)
    report = side_list.union(listed("TOP5CLIENTS", top_clients)).union(listed("TOP5STOCKS", top_stocks))
    by_name = report.transform(lambda rdd: rdd.sortByKey(numPartitions=1))
    return Figures(orders.rejects, sides, top_clients, top_stocks, by_name)


def add_up(client: int, cents: int, total: State) -> None:
    """Add to the total of a client."""
    total.update(total.get() + cents if total.exists() else cents)


def top(figures: DStream) -> DStream:
    """The five pairs with the largest value, the largest first."""
    return figures.transform(
        lambda rdd: (
            rdd.sortBy(lambda pair: (-pair[1], pair[0]))
            .zipWithIndex()
            .filter(lambda ranked: ranked[1] < TOP)
            .map(lambda ranked: ranked[0])
        )
    )


def listed(name: str, pairs: DStream) -> DStream:
    """One record: the name, and the list of the pairs' keys as text."""
    keys = pairs.repartition(1).map(lambda pair: str(pair[0]))
    return keys.glom().map(lambda found: (name, found))
