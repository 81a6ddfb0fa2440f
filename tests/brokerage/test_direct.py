"""The direct computation, against figures worked out by hand and against a still plainer one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.brokerage.direct import figures
from penstock.brokerage.generate import order_blocks
from penstock.errors import ArgumentError


def line(client: int, symbol: str, amount: int, price: str, side: str = "B") -> str:
    return f"2016-03-22 20:25:28,1,{client},{symbol},{amount},{price},{side}"


def test_no_batches() -> None:
    assert figures([], 5, 3600) == []


def test_an_empty_batch_has_all_its_figures() -> None:
    assert figures([[]], 5, 5) == [
        {"buys": 0, "sells": 0, "top_clients": [], "top_stocks": [], "rejected": []}
    ]


def test_three_batches_by_hand() -> None:
    batches = [
        [line(1, "A", 10, "1.00"), line(2, "B", 5, "3.00", "S"), line(1, "B", 1, "0.50", "S")],
        [],
        [line(2, "C", 1, "0.29"), "nonsense", line(3, "A", 0, "1.00")],
    ]
    first, second, third = figures(batches, interval_s=5, window_s=10)
    assert first == {
        "buys": 1,
        "sells": 2,
        "top_clients": [(2, 1500), (1, 1050)],
        "top_stocks": [("A", 10), ("B", 6)],
        "rejected": [],
    }
    assert second == {
        "buys": 0,
        "sells": 0,
        "top_clients": [(2, 1500), (1, 1050)],
        "top_stocks": [("A", 10), ("B", 6)],
        "rejected": [],
    }
    assert third["top_clients"] == [(2, 1529), (1, 1050)]
    assert third["top_stocks"] == [("C", 1)]
    assert [number for number, _ in third["rejected"]] == [2, 3]
    assert third["rejected"][0][1] == "1 field instead of 7: 'nonsense'"
    assert third["rejected"][1][1] == "the rule is_plausible does not hold"


def test_only_the_first_five_and_equals_in_ascending_order() -> None:
    batch = [
        line(client, symbol, 1, "1.00")
        for client, symbol in zip((30, 4, 200, 1, 9, 5), "FEDCBA", strict=True)
    ]
    batch.append(line(200, "F", 1, "1.00"))
    (only,) = figures([batch], 5, 5)
    assert only["top_clients"] == [(200, 200), (1, 100), (4, 100), (5, 100), (9, 100)]
    assert only["top_stocks"] == [("F", 2), ("A", 1), ("B", 1), ("C", 1), ("D", 1)]


def test_lines_as_bytes_with_or_without_their_ends() -> None:
    text = line(1, "A", 10, "1.00")
    (plain,) = figures([[text, "x"]], 5, 5)
    assert figures([[text + "\n", "x\n"]], 5, 5) == [plain]
    assert figures([[text.encode() + b"\n", b"x"]], 5, 5) == [plain]
    (garbage,) = figures([[b"\xff\xfe"]], 5, 5)
    assert garbage["rejected"] == [(1, r"1 field instead of 7: '\ufffd\ufffd'")]


def test_batches_may_be_iterators() -> None:
    assert figures(iter([iter([line(1, "A", 10, "1.00")])]), 5, 5)[0]["buys"] == 1


@pytest.mark.parametrize(("interval_s", "window_s"), [(5, 7), (5, 0), (0, 5), (5, 2.5), (-5, 5)])
def test_a_window_is_a_whole_number_of_batches(interval_s: float, window_s: float) -> None:
    with pytest.raises(ArgumentError, match="must be a whole multiple of the batch interval"):
        figures([], interval_s, window_s)


def test_intervals_of_fractions_of_a_second() -> None:
    assert len(figures([[], []], 0.1, 0.3)) == 2


@given(seed=st.integers(0, 1000), lines=st.integers(1, 40), window=st.integers(1, 8))
@settings(deadline=None, max_examples=25)
def test_each_batch_is_what_looking_at_all_the_lines_again_gives(seed: int, lines: int, window: int) -> None:
    text = b"".join(order_blocks(80, seed, malformed=0.05)).split(b"\n")[:-1]
    batches = [text[at : at + lines] for at in range(0, len(text), lines)]
    good: list[list[list[str]]] = []  # the fields of the good lines of each batch
    for batch, found in zip(batches, figures(batches, 1, window), strict=True):
        bad = {number for number, _ in found["rejected"]}
        good.append([row.decode().split(",") for number, row in enumerate(batch, 1) if number not in bad])
        assert found["buys"] == sum(row[6] == "B" for row in good[-1])
        assert found["sells"] == sum(row[6] == "S" for row in good[-1])
        assert found["buys"] + found["sells"] + len(bad) == len(batch)
        so_far = [row for rows in good for row in rows]
        recent = [row for rows in good[-window:] for row in rows]
        cents = {
            client: sum(int(row[4]) * int(row[5].replace(".", "")) for row in so_far if int(row[2]) == client)
            for client in {int(row[2]) for row in so_far}
        }
        shares = {
            symbol: sum(int(row[4]) for row in recent if row[3] == symbol)
            for symbol in {row[3] for row in recent}
        }
        assert found["top_clients"] == sorted(cents.items(), key=lambda pair: (-pair[1], pair[0]))[:5]
        assert found["top_stocks"] == sorted(shares.items(), key=lambda pair: (-pair[1], pair[0]))[:5]
