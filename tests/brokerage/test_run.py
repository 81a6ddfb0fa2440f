"""The dashboard against an independent computation: every line of every batch, every rejected line.

The computation below shares nothing with the program but the generated file: it reads the lines with a
parser of its own (split and look, no regular expression, cents as whole numbers), adds up in plain dicts
over all batches again and again, and orders figures by two stable sorts.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from penstock.brokerage.generate import order_blocks
from penstock.brokerage.words import counted
from penstock.cli import main

INTERVAL_S = 5
DIGITS = frozenset("0123456789")
UPPER = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


class Trade(NamedTuple):
    client: str
    symbol: str
    amount: int
    cents: int
    side: str


class Refused(NamedTuple):
    """A rejected line; ``begin`` is how its reason begins."""

    file: str
    number: int
    begin: str
    text: str


def read(text: str) -> Trade | str:
    """The trade on a line, or how the reason begins why there is none."""
    if text == "":
        return "an empty line"
    if '"' in text:
        return "the quote that begins field "
    fields = text.split(",")
    if len(fields) != 7:
        return f"{len(fields)} field"
    time, order, client, symbol, amount, price, side = fields
    checks = (
        ("time", is_time(time)),
        ("order_id", is_number(order)),
        ("client_id", is_number(client)),
        ("amount", is_number(amount)),
        ("price", price.count(".") <= 1 and set(price) - {".", "-"} and set(price) <= DIGITS | {".", "-"}),
        ("buy", side in ("B", "S")),
    )
    places = {"time": 1, "order_id": 2, "client_id": 3, "amount": 5, "price": 6, "buy": 7}
    for name, is_right in checks:
        if not is_right:
            return f"field {places[name]} ({name}) is "
    cents = cents_of(price)
    is_symbol = 1 <= len(symbol) <= 12 and set(symbol) <= DIGITS | UPPER | {".", "-"}
    if cents is None or not is_symbol or not 1 <= int(amount) <= 10**9 or min(int(order), int(client)) < 0:
        return "the rule is_plausible does not hold"
    return Trade(str(int(client)), symbol, int(amount), int(amount) * cents, side)


def is_number(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits != "" and set(digits) <= DIGITS and -(2**63) <= int(text) < 2**63


def is_time(text: str) -> bool:
    if len(text) != 19 or [text[at] for at in (4, 7, 10, 13, 16)] != ["-", "-", " ", ":", ":"]:
        return False
    parts = (text[:4], text[5:7], text[8:10], text[11:13], text[14:16], text[17:])
    if not all(set(part) <= DIGITS for part in parts):
        return False
    year, month, day, hour, minute, second = map(int, parts)
    if not (year >= 1 and 1 <= month <= 12 and hour < 24 and minute < 60 and second < 60):
        return False
    return 1 <= day <= calendar.monthrange(year, month)[1]


def cents_of(price: str) -> int | None:
    dollars, _, decimals = price.partition(".")
    if not set(dollars) <= DIGITS or len(dollars) > 9 or len(decimals) > 2:
        return None
    return int(dollars) * 100 + int(decimals.ljust(2, "0")) or None


def five(figures: dict[str, int], *, numbers: bool = False) -> list[str]:
    names = sorted(figures, key=int if numbers else str)
    names.sort(key=lambda name: figures[name], reverse=True)  # stable, in reverse too
    return names[:5]


class Expected(NamedTuple):
    batches: list[str]
    rejects: list[Refused]
    orders: int


def expected(files: list[Path], files_per_batch: int, window_s: int) -> Expected:
    """What each batch writes, which lines are rejected, and how many orders there are."""
    batches: list[str] = []
    rejects: list[Refused] = []
    traded: dict[str, int] = {}
    volumes: list[dict[str, int]] = []
    orders = 0
    for at in range(0, len(files), files_per_batch):
        sides = {"B": 0, "S": 0}
        volumes.append({})
        for file in files[at : at + files_per_batch]:
            for number, line in enumerate(file.read_bytes().split(b"\n")[:-1], 1):
                text = line.decode("utf-8", errors="replace")
                trade = read(text)
                if isinstance(trade, str):
                    rejects.append(Refused(str(file), number, trade, text))
                    continue
                sides[trade.side] += 1
                traded[trade.client] = traded.get(trade.client, 0) + trade.cents
                volumes[-1][trade.symbol] = volumes[-1].get(trade.symbol, 0) + trade.amount
        orders += sides["B"] + sides["S"]
        recent: dict[str, int] = {}
        for volume in volumes[max(0, len(volumes) - window_s // INTERVAL_S) :]:
            for symbol, amount in volume.items():
                recent[symbol] = recent.get(symbol, 0) + amount
        batches.append(
            (f"('BUYS', ['{sides['B']}'])\n" if sides["B"] else "")
            + (f"('SELLS', ['{sides['S']}'])\n" if sides["S"] else "")
            + f"('TOP5CLIENTS', {five(traded, numbers=True)})\n"
            f"('TOP5STOCKS', {five(recent)})\n"
        )
    return Expected(batches, rejects, orders)


def split(folder: Path, orders: int, seed: int, lines: int) -> list[Path]:
    """Generated orders, 0.5 % of them malformed, as files of so many lines."""
    folder.mkdir()
    text = b"".join(order_blocks(orders, seed, malformed=0.005)).split(b"\n")[:-1]
    files = []
    for at in range(0, len(text), lines):
        files.append(folder / f"orders-{at // lines:05}.txt")
        files[-1].write_bytes(b"".join(line + b"\n" for line in text[at : at + lines]))
    return files


def batch_directories(prefix: Path) -> list[Path]:
    """The outputs of the batches, in the order of their times; nothing else may lie there."""
    found = {
        int(match[1]): path
        for path in prefix.parent.iterdir()
        if (match := re.fullmatch(re.escape(prefix.name) + r"-(\d+)\.txt", path.name))
    }
    rest = {path.name for path in prefix.parent.iterdir()} - {path.name for path in found.values()}
    assert rest <= {f"{prefix.name}-rejects.tsv", f"{prefix.name}-checkpoint"}
    times = sorted(found)
    assert times == list(range(times[0], times[-1] + 1, INTERVAL_S * 1000)), "one batch every interval"
    assert times[0] % (INTERVAL_S * 1000) == 0
    return [found[time] for time in times]


def rejects_in(file: Path) -> Iterator[tuple[str, int, str, str]]:
    for line in file.read_text(encoding="utf-8").split("\n")[:-1]:
        source, number, reason, text = line.split("\t")
        yield source, int(number), reason, unescaped(text)


def unescaped(text: str) -> str:
    pattern = r"\\(?:x(..)|u(....)|U(........)|(.))"
    plain = {"\\": "\\", "t": "\t", "n": "\n", "r": "\r"}
    return re.sub(
        pattern, lambda m: plain[m[4]] if m[4] else chr(int(m[1] or m[2] or m[3], 16)), text, flags=re.DOTALL
    )


def prove(folder: Path, files: list[Path], *, window_s: int, files_per_batch: int = 1) -> Expected:
    """Run over ``files``, which are in ``folder / "in"``, and compare; the expected figures."""
    prefix = folder / "out" / "figures"
    options = (
        f"--available-now --interval {INTERVAL_S} --window {window_s} --max-files-per-batch {files_per_batch}"
    )
    paths = ["--input", str(folder / "in"), "--output", str(prefix)]
    result = CliRunner().invoke(main, ["brokerage", "run", *paths, *options.split()])
    assert result.exit_code == 0, result.output
    wanted = expected(files, files_per_batch, window_s)

    outputs = batch_directories(prefix)
    assert len(outputs) == len(wanted.batches) == -(-len(files) // files_per_batch)
    for output, batch in zip(outputs, wanted.batches, strict=True):
        assert {path.name for path in output.iterdir()} == {"part-00000", "_SUCCESS"}
        assert (output / "part-00000").read_bytes().decode() == batch

    rejects = folder / "out" / "figures-rejects.tsv"
    rejected = list(rejects_in(rejects)) if rejects.exists() else []
    assert [(source, number, text) for source, number, _, text in rejected] == [
        (refused.file, refused.number, refused.text) for refused in wanted.rejects
    ]
    for (*_, reason, _), refused in zip(rejected, wanted.rejects, strict=True):
        assert reason.startswith(refused.begin), refused

    assert result.stdout.splitlines()[-1].startswith(
        f"Done after {counted(len(outputs), 'batch', 'batches')}: {counted(wanted.orders, 'order')}, "
        f"{counted(len(rejected), 'line')} rejected"
    )
    return wanted


@pytest.mark.parametrize("files_per_batch", [1, 3])
@pytest.mark.parametrize("window_s", [60, 3600])
def test_every_batch_equals_an_independent_computation(
    window_s: int, files_per_batch: int, tmp_path: Path
) -> None:
    files = split(tmp_path / "in", 20_000, seed=11, lines=1_000)
    wanted = prove(tmp_path, files, window_s=window_s, files_per_batch=files_per_batch)
    assert wanted.orders + len(wanted.rejects) == 20_000
    assert len(wanted.rejects) > 50


@pytest.mark.long
@pytest.mark.parametrize("window_s", [60, 3600])
@pytest.mark.parametrize(
    ("seed", "files_per_batch"), [(1, 1), (2, 1), (3, 1), (4, 1), (5, 1), pytest.param(5, 7, id="5-7")]
)
def test_every_batch_of_200_000_orders_equals_an_independent_computation(
    seed: int, files_per_batch: int, window_s: int, tmp_path: Path
) -> None:
    files = split(tmp_path / "in", 200_000, seed, lines=1_000)
    wanted = prove(tmp_path, files, window_s=window_s, files_per_batch=files_per_batch)
    assert wanted.orders + len(wanted.rejects) == 200_000
    assert len(wanted.rejects) > 500


def order(client: int, symbol: str, amount: int = 1, price: str = "1.00", side: str = "B") -> str:
    return f"2016-03-22 20:25:28,1,{client},{symbol},{amount},{price},{side}"


def test_equal_figures_empty_batches_and_amounts_beyond_64_bits(tmp_path: Path) -> None:
    equal = [
        order(client, symbol)
        for client, symbol in zip((100, 20, 3, 10, 9, 1000), ["F", "E", "BA", "B.B", "B-A", "B"], strict=True)
    ]
    batches = [
        equal,
        ["?", ""],  # nothing but rejected lines
        [order(7, "Z", 10**9, "999999999.99", "S")] * 3,  # 3 * 10**20 cents
        [
            order(8, "Z", 10**9, "999999999.99"),
            order(8, "A", 10**9, "999999999.99"),
            order(8, "A", 1, "0.01"),
        ],
        [order(8, "A", 10**9, "999999999.99")],
        [],  # an empty file
        equal[::-1],
    ]
    (tmp_path / "in").mkdir()
    files = []
    for number, lines in enumerate(batches):
        files.append(tmp_path / "in" / f"{number}.txt")
        files[-1].write_text("".join(f"{line}\n" for line in lines))
    wanted = prove(tmp_path, files, window_s=10)
    assert wanted.batches[0] == (
        "('BUYS', ['6'])\n"
        "('TOP5CLIENTS', ['3', '9', '10', '20', '100'])\n"
        "('TOP5STOCKS', ['B', 'B-A', 'B.B', 'BA', 'E'])\n"
    )
    assert wanted.batches[1].startswith("('TOP5CLIENTS'")
    assert "['7', '8', '3'" in wanted.batches[3]
    assert "['8', '7', '3'" in wanted.batches[4], "by one cent"


def test_amounts_are_exact_to_the_cent(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    file = tmp_path / "in" / "orders.txt"
    # 0.29 * 100 is 28.999999999999996 as a float, and 1.15 * 100 is 114.99999999999999.
    lines = [
        order(1, "A", 1, "28.50"),
        order(2, "A", 100, "0.29"),
        order(3, "A", 2, "1.15"),
        order(4, "A", 1, "2.29"),
    ]
    file.write_text("".join(f"{line}\n" for line in lines))
    (batch,) = prove(tmp_path, [file], window_s=5).batches
    assert "('TOP5CLIENTS', ['2', '1', '3', '4'])" in batch


def test_the_independent_parser_knows_good_from_bad() -> None:
    good = "2016-03-22 20:25:28,1,080,EPE,710,51.1,B"
    assert read(good) == Trade("80", "EPE", 710, 710 * 5110, "B")
    assert read(good.replace("2016", "2015").replace("03-22", "02-29")) == "field 1 (time) is "
    assert read(good.replace("51.1", "0.00")) == "the rule is_plausible does not hold"
    assert read("") == "an empty line"
    assert read(good + ",") == "8 field"
