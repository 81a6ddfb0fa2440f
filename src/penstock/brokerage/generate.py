"""Orders out of nothing: as many as wanted, the same for the same seed.

The orders are in the format of :mod:`penstock.brokerage.orders`. What is drawn are the raw 64-bit
numbers of PCG64, of which NumPy promises that they stay the same in every version and on every
platform (it does not promise that of its distributions); the rest is whole-number arithmetic here.
So a seed means the same bytes everywhere, and the first orders of a long file are those of a short one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np

from penstock.errors import ArgumentError, StorageError

__all__ = ["CLIENT_COUNT", "START", "SYMBOLS", "order_blocks", "write_orders"]

START: Final = datetime(2016, 3, 22, 20, 25, 28)
"""The time of the first order."""

CLIENT_COUNT: Final = 100
"""Client ids are 1 to this."""

_SYMBOL_TEXT: Final = """
    AA AAPL ABX ACN AIG AMAT AMD AMZN AUY BA BABA BAC BP BRK.B C CAT CHK COP CSCO CVX
    DAL DIS EBAY EGO EMC EPE F FB FCX FIT GE GG GILD GM GOOG GPRO GRPN HAL HPQ IBM
    INTC IP JCP JNJ JPM KGC KMI KO LOW LUV MCD MRK MRO MSFT MU NEM NFLX NKE NOK ORCL
    P PBR PFE PG RAD S SBUX SDRL SIRI SUNE SWN T TSLA TWTR VALE VZ WFC WMT X XOM
"""
SYMBOLS: Final = tuple(_SYMBOL_TEXT.split())
"""The 80 securities that are traded."""

_AMOUNT_MAX: Final = 1_000  # shares, from 1
_PRICE_STEPS: Final = 9_901  # 1.00, 1.01 ... 100.00
_ORDERS_PER_S: Final = 8  # on average; each order is in the next second with a chance of one in this
_BLOCK_ORDERS: Final = 65_536


def write_orders(path: str | Path, orders: int, seed: int, malformed: float = 0.0) -> int:
    """Write ``orders`` lines to the file ``path`` and return their size in bytes.

    ``seed`` (0 or more) chooses which orders. ``malformed`` is the fraction (0 to 1) of lines that are
    damaged, each in one of many ways; the other lines are the same as without. A file that is there is
    replaced. The file appears whole or not at all: it is written under a hidden name beside ``path``,
    which is removed on any failure, Ctrl-C included.

    Raises ``ArgumentError`` for numbers out of these ranges, ``StorageError`` if ``path`` is not a
    place for a file, and other ``OSError`` as the file system does.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     write_orders(Path(directory) / "orders.txt", orders=1000, seed=1)
    42586
    """
    blocks = order_blocks(orders, seed, malformed)
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise StorageError(f"{path} is not a regular file, and will not be replaced by one")
    if not target.parent.is_dir():
        raise StorageError(f"{path} cannot be written: there is no directory {target.parent}")
    # The process id makes the name ours alone, so it may be removed whatever happened before.
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    byte_count = 0
    try:
        with open(temporary, "wb") as file:
            for block in blocks:
                file.write(block)
                byte_count += len(block)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return byte_count


def order_blocks(orders: int, seed: int, malformed: float = 0.0) -> Iterator[bytes]:
    r"""The same lines in memory: blocks of whole lines, each line ended by ``\n``.

    Arguments and ``ArgumentError`` as for :func:`write_orders`; memory stays that of one block.

    >>> print(b"".join(order_blocks(orders=3, seed=1)).decode(), end="")
    2016-03-22 20:25:28,1,8,MCD,968,79.24,S
    2016-03-22 20:25:28,2,31,F,286,85.68,B
    2016-03-22 20:25:28,3,93,JPM,33,46.68,S
    """
    if orders < 0:
        raise ArgumentError(f"orders must be 0 or more, not {orders}")
    if seed < 0:
        raise ArgumentError(f"seed must be 0 or more, not {seed}")
    if not 0.0 <= malformed <= 1.0:
        raise ArgumentError(f"malformed must be a fraction from 0 to 1, not {malformed}")
    return _blocks(orders, seed, malformed)


def _blocks(orders: int, seed: int, malformed: float) -> Iterator[bytes]:
    numbers = np.random.PCG64(np.random.SeedSequence(seed))
    damage_numbers = np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(1,)))
    second = 0  # since START, of the last order so far
    for first in range(0, orders, _BLOCK_ORDERS):
        count = min(_BLOCK_ORDERS, orders - first)
        raw = numbers.random_raw(count)
        if first == 0:
            raw[0] -= raw[0] % np.uint64(_ORDERS_PER_S)  # the first order is at START ...
            raw[0] += np.uint64(1)  # ... that is, takes no step
        lines, second = _lines(raw, first, second)
        if malformed > 0.0:
            _damage(lines, first, damage_numbers.random_raw(count), malformed)
        lines.append("")
        yield "\n".join(lines).encode("utf-8", "surrogateescape")


_CLIENTS: Final = [str(client) for client in range(1, CLIENT_COUNT + 1)]
_AMOUNTS: Final = [str(amount) for amount in range(1, _AMOUNT_MAX + 1)]
_PRICES: Final = [f"{cents // 100}.{cents % 100:02}" for cents in range(100, 100 + _PRICE_STEPS)]
_SIDES: Final = ["B", "S"]


def _lines(raw: np.typing.NDArray[np.uint64], first: int, second: int) -> tuple[list[str], int]:
    """The lines of a block that begins after ``first`` orders, and the second of its last order.

    Each order is one raw number, read as a number of mixed radix. The product of the radices is below
    2**41, so that the 64 bits favour no value by more than one in 2**23.
    """
    rest, step = np.divmod(raw, np.uint64(_ORDERS_PER_S))
    rest, side = np.divmod(rest, np.uint64(len(_SIDES)))
    rest, client = np.divmod(rest, np.uint64(len(_CLIENTS)))
    rest, symbol = np.divmod(rest, np.uint64(len(SYMBOLS)))
    rest, amount = np.divmod(rest, np.uint64(len(_AMOUNTS)))
    price = rest % np.uint64(len(_PRICES))
    passed = np.cumsum(step == 0, dtype=np.int64)  # seconds since the last order of the block before
    last = int(passed[-1])
    times = [str(START + timedelta(seconds=second + further)) for further in range(last + 1)]
    columns = (passed, client, symbol, amount, price, side)
    lines = [
        f"{times[t]},{number},{_CLIENTS[c]},{SYMBOLS[y]},{_AMOUNTS[a]},{_PRICES[p]},{_SIDES[s]}"
        for number, (t, c, y, a, p, s) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True), first + 1
        )
    ]
    return lines, second + last


def _damage(lines: list[str], first: int, raw: np.typing.NDArray[np.uint64], fraction: float) -> None:
    """Spoil that fraction of ``lines`` in place: 53 bits of a line's number say if, 11 bits how."""
    chosen = np.flatnonzero((raw >> np.uint64(11)).astype(np.float64) < fraction * 2.0**53)
    for index in chosen.tolist():
        how = _DAMAGES[int(raw[index] & np.uint64(0x7FF)) % len(_DAMAGES)]
        lines[index] = how(lines[index].split(","), first + index)


def _with(fields: list[str], position: int, text: str) -> str:
    return ",".join([*fields[:position], text, *fields[position + 1 :]])


# Each makes of the fields of a good line a line that is no order; `n` varies the way. Lone surrogates
# stand for bytes that are not UTF-8. No carriage returns: some readers end a line at them.
_DAMAGES: Final[tuple[Callable[[list[str], int], str], ...]] = (
    lambda f, n: "",
    lambda f, n: " " * (1 + n % 3),
    lambda f, n: ",".join(f[: n % 7] + f[n % 7 + 1 :]),  # a field is missing
    lambda f, n: ",".join([*f[: n % 8], "0", *f[n % 8 :]]),  # a field too many
    lambda f, n: ",".join(f)[: 1 + n % 30],  # the line is cut short
    lambda f, n: ";".join(f),
    lambda f, n: "\t".join(f),
    lambda f, n: _with(f, n % 7, ""),
    lambda f, n: _with(f, n % 7, f" {f[n % 7]}"),
    lambda f, n: _with(f, n % 7, f'"{f[n % 7]}'),  # a quote that does not end
    lambda f, n: _with(f, 0, "2016-02-30" + f[0][10:]),
    lambda f, n: _with(f, 0, f[0][:11] + ("24:00:00", "20:60:00", "20:25:61")[n % 3]),
    lambda f, n: _with(f, 0, f[0].replace("-", "/")),
    lambda f, n: _with(f, 0, f[0].replace(" ", "_")),
    lambda f, n: _with(f, 1 + n % 2, f"{f[1 + n % 2]}x"),
    lambda f, n: _with(f, 1 + n % 2, f"-{f[1 + n % 2]}"),
    lambda f, n: _with(f, 1 + n % 2, f"{f[1 + n % 2]:9<20}"),  # beyond 64 bits
    lambda f, n: _with(f, 2, "".join(chr(0xFF10 + int(digit)) for digit in f[2])),  # full-width digits
    lambda f, n: _with(f, 3, f[3].lower()),
    lambda f, n: _with(f, 3, "\udcff\udcfe" + f[3]),
    lambda f, n: _with(f, 3, f[3] + "\udc80"),
    lambda f, n: _with(f, 3, f[3] + "\x0c"),  # a form feed ends no line
    lambda f, n: _with(f, 3, f[3] + "\u2028"),  # nor does a Unicode line separator
    lambda f, n: _with(f, 4, ("0", "-710", "+710", "1_000", "7.5", "1e3", "0x1F", "1000000001")[n % 8]),
    lambda f, n: _with(
        f, 5, ("0.00", "-1.00", "nan", "inf", "1e400", "51.005", "5.1.0", ".", "51,00")[n % 9]
    ),
    lambda f, n: _with(f, 6, ("X", "b", "BUY", "SB", "1")[n % 5]),
    lambda f, n: "\udcfe\udcff\x00\x07" * (1 + n % 5),
    lambda f, n: "# end of day",
)
