"""The dashboard as a page: what a desk keeps open beside its orders."""

from __future__ import annotations

from decimal import Decimal

from penstock.brokerage.pipeline import TOP, Figures
from penstock.brokerage.words import span
from penstock.context import StreamingContext
from penstock.monitor.dashboard import Dashboard
from penstock.sources.rejects import Reject
from penstock.times import milliseconds_of

__all__ = ["add_page"]


def add_page(ssc: StreamingContext, figures: Figures, window_s: float, title: str = "Brokerage") -> Dashboard:
    """Panels of all figures: orders by side, the leaders, the work, and what was rejected."""
    sides, rejects = figures.sides, figures.rejects
    amounts = figures.top_clients.map(lambda pair: (pair[0], Decimal(pair[1]).scaleb(-2)))
    window = span(milliseconds_of(window_s, "window"))
    lines = "rejected lines"
    return (
        ssc.dashboard(title, noun="orders")
        .number("Orders per second", sides, per_second=True, width=4)
        .number("Orders so far", sides, total=True, width=4)
        .number("Rejected lines", rejects, count=True, total=True, warn_above=0, noun=lines, width=4)
        .line("Buys and sells per second", sides, labels={True: "buys", False: "sells"}, per_second=True)
        .batches("Processing time against the batch interval")
        .table(
            "Top five clients", amounts, columns=["Client", ("Amount so far", "$")], key="Client", rows=TOP
        )
        .table(
            f"Top five securities, last {window}",
            figures.top_stocks,
            columns=["Security", "Volume"],
            key="Security",
            rows=TOP,
        )
        .log("Rejected lines, the newest", rejects, text=_said, noun=lines)
    )


def _said(reject: Reject) -> str:
    """A rejected line as it is shown: where it is, why it is none, and what it says.

    >>> _said(Reject("file:/in/orders-07.txt", 12, "EPE,B", "2 fields instead of 7"))
    'orders-07.txt, line 12: 2 fields instead of 7: EPE,B'
    """
    source = reject.source.rpartition("/")[2]
    place = f"{source}, line {reject.number}" if source else f"line {reject.number}"
    return f"{place}: {reject.reason}: {reject.text}"
