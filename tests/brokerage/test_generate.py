"""Made-up orders: in the format, the same for the same seed, and whole or not there."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from penstock.brokerage import generate
from penstock.brokerage.generate import SYMBOLS, order_blocks, write_orders
from penstock.brokerage.orders import MalformedOrder, parse_order
from penstock.errors import ArgumentError, StorageError


def lines_of(orders: int, seed: int, malformed: float = 0.0) -> list[bytes]:
    text = b"".join(order_blocks(orders, seed, malformed))
    assert text == b"" or text.endswith(b"\n")
    return text.split(b"\n")[:-1]


def is_malformed(line: bytes) -> bool:
    try:
        parse_order(line.decode("utf-8", "replace"))
    except MalformedOrder:
        return True
    return False


def test_every_line_is_an_order_in_the_chapters_ranges() -> None:
    orders = [parse_order(line.decode("ascii")) for line in lines_of(20_000, seed=3)]
    assert [order.order_id for order in orders] == list(range(1, 20_001))
    assert orders[0].time == datetime(2016, 3, 22, 20, 25, 28)
    steps = {late.time - early.time for early, late in pairwise(orders)}
    assert steps == {timedelta(0), timedelta(seconds=1)}
    per_s = len(orders) / (orders[-1].time - orders[0].time).total_seconds()
    assert 7 < per_s < 9
    assert {order.client_id for order in orders} == set(range(1, 101))
    assert {order.symbol for order in orders} == set(SYMBOLS)
    assert {order.amount for order in orders} == set(range(1, 1001))
    assert min(order.price for order in orders) < 1.10
    assert max(order.price for order in orders) > 99.90
    assert 0.48 < sum(order.buy for order in orders) / len(orders) < 0.52


def test_prices_have_two_decimals_and_end_at_1_and_100() -> None:
    assert generate._PRICES[0] == "1.00"
    assert generate._PRICES[-1] == "100.00"
    assert all(line.split(b",")[5][-3:-2] == b"." for line in lines_of(1000, seed=1))


def test_eighty_different_symbols() -> None:
    assert len(set(SYMBOLS)) == len(SYMBOLS) == 80


@pytest.mark.parametrize(
    ("orders", "seed", "malformed", "digest"),
    [
        (1_000, 1, 0.0, "2a3a5e071406626e50a612c973afbf457d3461c6ce1420f214d5d3007db65c41"),
        (1_000, 1, 0.05, "e18976bf93459bef54e123af53842d16c8e948ec356c6c7a4fef20cea34dab8b"),
        (70_000, 7, 0.0, "565d29ef22d69889739734f6f3d6642dbbcfdcfe35bb62aa0cc2f3b3e6b3da95"),
    ],
)
def test_a_seed_means_the_same_bytes_for_ever(
    orders: int, seed: int, malformed: float, digest: str, tmp_path: Path
) -> None:
    path = tmp_path / "orders.txt"
    assert write_orders(path, orders, seed, malformed) == path.stat().st_size
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest


def test_seeds_differ() -> None:
    assert len({b"".join(order_blocks(100, seed)) for seed in range(20)}) == 20


def test_a_short_file_begins_a_long_one_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = lines_of(1_000, seed=5, malformed=0.1)
    assert lines_of(300, seed=5, malformed=0.1) == whole[:300]
    monkeypatch.setattr(generate, "_BLOCK_ORDERS", 7)
    assert lines_of(1_000, seed=5, malformed=0.1) == whole


def test_the_asked_fraction_is_malformed_and_the_rest_unchanged() -> None:
    clean, rough = lines_of(40_000, seed=2), lines_of(40_000, seed=2, malformed=0.05)
    assert len(rough) == len(clean)
    changed = [(good, bad) for good, bad in zip(clean, rough, strict=True) if good != bad]
    assert 1_800 < len(changed) < 2_200
    assert all(is_malformed(bad) for _, bad in changed)


def test_damage_is_varied() -> None:
    rough = lines_of(20_000, seed=4, malformed=1.0)
    assert all(is_malformed(line) for line in rough)
    kinds: Counter[str] = Counter()
    for line in rough:
        with pytest.raises(MalformedOrder) as caught:
            parse_order(line.decode("utf-8", "replace"))
        kinds[str(caught.value).partition(" is ")[0].partition(": ")[0]] += 1
    fields = ("time", "order_id", "client_id", "symbol", "amount", "price", "buy")
    expected = {f"field {number} ({name})" for number, name in enumerate(fields, 1) if name != "symbol"}
    expected |= {"an empty line", "the rule is_plausible does not hold"}
    expected |= {f"the quote that begins field {number} does not end" for number in range(1, 8)}
    expected |= {"1 field instead of 7", "6 fields instead of 7", "8 fields instead of 7"}
    assert expected <= set(kinds)
    assert any(b"\xff" in line for line in rough)
    assert not any(b"\r" in line for line in rough)


@pytest.mark.parametrize("number", range(len(generate._DAMAGES)))
def test_each_way_of_damage_always_makes_a_line_malformed(number: int) -> None:
    for order_number, line in enumerate(lines_of(300, seed=6)):
        damaged = generate._DAMAGES[number](line.decode().split(","), order_number)
        assert "\n" not in damaged
        assert is_malformed(damaged.encode("utf-8", "surrogateescape")), damaged


def test_no_orders_make_an_empty_file(tmp_path: Path) -> None:
    assert write_orders(tmp_path / "none.txt", 0, 1) == 0
    assert (tmp_path / "none.txt").read_bytes() == b""


@pytest.mark.parametrize(
    ("orders", "seed", "malformed", "problem"),
    [
        (-1, 1, 0.0, "orders must be 0 or more, not -1"),
        (1, -1, 0.0, "seed must be 0 or more, not -1"),
        (1, 1, 1.5, "malformed must be a fraction from 0 to 1, not 1.5"),
        (1, 1, float("nan"), "malformed must be a fraction from 0 to 1, not nan"),
    ],
)
def test_numbers_out_of_range(orders: int, seed: int, malformed: float, problem: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError) as caught:
        write_orders(tmp_path / "orders.txt", orders, seed, malformed)
    assert str(caught.value) == problem
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, SystemExit])
def test_an_interruption_leaves_the_old_file_and_no_other(
    failing: str, error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "orders.txt"
    path.write_bytes(b"old\n")

    def fail(*args: object) -> None:
        assert [entry.name for entry in tmp_path.iterdir() if not entry.name.startswith(".")] == [
            "orders.txt"
        ]
        raise error

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(error):
        write_orders(path, 100, 1)
    assert [entry.name for entry in tmp_path.iterdir()] == ["orders.txt"]
    assert path.read_bytes() == b"old\n"


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_orders(tmp_path / "link", 1, 1)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").is_file()


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="is not a regular file"):
        write_orders(tmp_path, 1, 1)
    with pytest.raises(StorageError, match="is not a regular file"):
        write_orders(os.devnull, 1, 1)
    with pytest.raises(StorageError, match="there is no directory"):
        write_orders(tmp_path / "missing" / "orders.txt", 1, 1)
