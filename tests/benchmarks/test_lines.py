"""The parser that row-by-row engines are given: the same orders and the same malformed lines."""

from __future__ import annotations

from benchmarks.peers import lines
from penstock.brokerage.generate import order_blocks
from penstock.brokerage.orders import MalformedOrder, Order, parse_order


def outcome(line: str, parse: object) -> Order | None:
    try:
        return parse(line)  # type: ignore[operator]
    except MalformedOrder:
        return None


def test_it_agrees_with_the_application() -> None:
    text = b"".join(order_blocks(20_000, seed=3, malformed=0.3)).decode("utf-8", "replace")
    found = [(outcome(line, parse_order), outcome(line, lines.parse_order)) for line in text.split("\n")]
    assert all(one == other for one, other in found)
    assert 5_000 < sum(one is None for one, _ in found) < 7_000
