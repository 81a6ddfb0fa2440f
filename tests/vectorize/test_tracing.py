"""Which functions run on columns, which do not, and what is said about those."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

import pytest

from penstock.chunk import Columns, Scalar, Tuple
from penstock.testing import same
from penstock.vectorize import Chain, Untraced, programs, trace, trace_filter, trace_items

RATES = {"EUR": 1.1, "USD": 1.0}
NAMES = frozenset({"EPE", "AXY"})
FEE = 3


class Order(NamedTuple):
    id: int
    symbol: str
    amount: int
    price: float
    buy: bool
    note: str | None
    time: datetime
    day: date

    @property
    def value(self) -> float:
        return self.amount * self.price

    def with_fee(self, fee: int) -> int:
        return self.amount + fee


@dataclass(frozen=True)
class Point:
    x: int
    y: float

    def norm(self) -> float:
        return math.sqrt(self.x * self.x + self.y * self.y)


ORDERS = [
    Order(
        i, ("EPE", "AXY", "T", "x" * i)[i % 4], i * 7 - 20, i / 4 - 2, i % 3 == 0, None if i % 2 else f"n{i}",
        datetime(2016, 3, 22, 20, 25, 28) + timedelta(hours=i), date(2016, 2, 27) + timedelta(days=i),
    )
    for i in range(40)
]  # fmt: skip


def helper(amount: int) -> int:
    return amount * 2 if amount > 0 else -amount


def in_bands(order: Order) -> str:
    if order.amount < 0:
        return "none"
    elif order.amount < 100:
        return "small"
    return "large"


def unrolled(order: Order) -> int:
    total = 0
    for part in (order.id, order.amount, 3):
        total += part
    return total


TRACED: list[Callable[[Any], Any]] = [
    lambda o: o,
    lambda o: (o.symbol, 1),
    lambda o: (o.id, o.amount * round(o.price * 100)),
    lambda o: o[0] + o[-1].day,
    lambda o: o[1:3],
    lambda o: o.amount if o.buy else -o.amount,
    lambda o: o.amount / o.id if o.id else 0.0,
    lambda o: o.amount // 7 % 3 - (o.id << 2 ^ 5 & o.id | 1),
    lambda o: abs(o.amount) ** 2 + ~o.id,
    lambda o: o.price**2,
    lambda o: not o.buy and 0 < o.amount <= 100,
    lambda o: o.note or "none",
    lambda o: o.note is None,
    lambda o: None if o.note is None else len(o.note),
    lambda o: o.note,
    lambda o: o.symbol in ("EPE", "T") or o.id in {1, 2, 3},
    lambda o: o.symbol in NAMES,
    lambda o: RATES["EUR"] * o.price,
    lambda o: RATES.get(o.symbol, 0.5),
    lambda o: f"{o.symbol}-{o.id}!",
    lambda o: (f"{o.id:03d}", o.symbol),
    lambda o: str(o.id) + o.symbol.lower()[:2].strip().replace("e", "E"),
    lambda o: o.symbol.startswith(("E", "A")) and "P" in o.symbol,
    lambda o: o.symbol.split("P")[0],
    lambda o: (
        (o.time.hour, o.time.weekday(), o.day.year, (o.time - ORDERS[0].time).total_seconds())
        if False
        else (o.time.hour, o.time.weekday(), o.day.year)
    ),
    lambda o: (o.time - datetime(2016, 1, 1)).days,
    lambda o: o.time.replace(minute=0, second=0),
    lambda o: o.value + o.with_fee(FEE),
    lambda o: o._replace(amount=0),
    lambda o: Order(*o),
    lambda o: Point(o.id, o.price),
    lambda o: Point(x=o.id, y=0.5).norm(),
    lambda o: helper(o.amount) + FEE,
    lambda o: max(o.amount, 10, o.id) + min(o.id, 3),
    lambda o: sum((o.id, o.amount)) + sum([x * 2 for x in (o.id, o.amount)]),
    lambda o: divmod(o.amount, 7),
    lambda o: math.floor(o.price) + math.ceil(o.price) + int(o.price),
    lambda o: math.sqrt(abs(o.price)),
    lambda o: bool(o.amount) and isinstance(o.symbol, str),
    lambda o: (lambda pair: pair[0] + pair[1])((o.id, o.amount)),
    lambda o, factor=3: o.id * factor,
    lambda o: any((o.buy, o.id > 3)) and all([o.id > 1, o.buy]),
    lambda o: (total := o.id + 1) * total,
    lambda o: {"id": o.id}["id"],
    lambda o: [o.id, o.amount][1],
    lambda o: (o.id, *(o.symbol, o.price)),
    in_bands,
    unrolled,
    functools.partial(lambda factor, o: o.id * factor, 5),
    operator.itemgetter(1),
    operator.attrgetter("price"),
]


@pytest.mark.parametrize("function", TRACED)
def test_functions_that_run_on_columns(function: Callable[[Any], Any]) -> None:
    chunk = Columns.from_rows(ORDERS)
    traced = trace(function, chunk.row_type)
    assert not isinstance(traced, Untraced), traced.reason
    got = Chain.of(chunk.row_type).mapped(traced).run(chunk).rows()
    assert same(got, [function(order) for order in ORDERS])


seen: list[Any] = []
counter = 0


def counting(order: Order) -> int:
    global counter
    counter += 1
    return counter


def catching(order: Order) -> int:
    try:
        return order.id
    except ValueError:
        return 0


def generating(order: Order) -> Any:
    yield order.id


def importing(order: Order) -> Any:
    import os

    return os.sep


class Changing:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, order: Order) -> int:
        self.calls += 1
        return self.calls


NOT_TRACED: list[tuple[Callable[[Any], Any], str]] = [
    (lambda o: print(o), "print is a builtin_function_or_method"),
    (lambda o: seen.append(o), "seen is a list"),
    (counting, "it writes to a global variable"),
    (catching, "it catches exceptions"),
    (generating, "it is a generator"),
    (importing, "it imports"),
    (Changing(), "is a Changing"),
    (lambda o: [o.id], "a list as a result has no column"),
    (lambda o: {"id": o.id}, "a dict as a result has no column"),
    (lambda o: {o.id: 1}, "a value that must be known at once, as a key of a dict or set"),
    (lambda o: o.id is o.amount, "it asks with is for something else than None"),
    (lambda o: o.time - o.time, "a timedelta as a result has no column"),
    (lambda o: "%s" % o.id, "mod of str and int has no column form"),  # noqa: UP031
    (lambda o: "{}".format(o.id), "it uses format"),  # noqa: UP032
    (lambda o: len(f"{o.id}"), "it formats a text that is not simply returned"),
    (lambda o: hash(o.id), "hash is a builtin_function_or_method"),
    (lambda o: undefined(o), "the name undefined is not defined"),  # type: ignore[name-defined]  # noqa: F821
    (lambda o: o.missing, "it raises AttributeError"),
    (lambda o: o.symbol + o.id, "add of str and int has no column form"),
    (lambda o: 2**70 * o.id, "an int of more than 64 bits"),
    (lambda o: "\ud800" + o.symbol, "a str with a lone surrogate"),
    (lambda o: [c for c in o.symbol], "iterating over a value of a column"),  # noqa: C416
]


@pytest.mark.parametrize(("function", "reason"), NOT_TRACED)
def test_functions_that_stay_rows_and_why(function: Callable[[Any], Any], reason: str) -> None:
    before = list(seen), counter
    traced = trace(function, Columns.from_rows(ORDERS).row_type)
    assert isinstance(traced, Untraced)
    assert reason in traced.reason
    assert (seen, counter) == before, "tracing had an effect"


def test_a_branch_without_a_column_form_is_refused_only_where_a_row_takes_it() -> None:
    function = lambda n: [n] if n > 100 else n  # noqa: E731
    traced = trace(function, Scalar(int))
    assert not isinstance(traced, Untraced)
    chain = Chain.of(Scalar(int)).mapped(traced)
    assert chain.run(Columns.from_rows([1, 2])).rows() == [1, 2]
    with pytest.raises(programs.REFUSALS):
        chain.run(Columns.from_rows([1, 200]))


def test_an_int_and_a_float_do_not_become_one_column() -> None:
    traced = trace(lambda n: n if n > 0 else 0.5, Scalar(int))
    assert not isinstance(traced, Untraced)
    with pytest.raises(programs.REFUSALS):
        Chain.of(Scalar(int)).mapped(traced).run(Columns.from_rows([1, -1]))


def test_a_filter_keeps_what_counts_as_true() -> None:
    rows = [(0, "a"), (1, ""), (2, "b")]
    row_type = Tuple((Scalar(int), Scalar(str)))
    traced = trace_filter(lambda pair: pair[0] and pair[1], row_type)
    assert not isinstance(traced, Untraced)
    assert Chain.of(row_type).filtered(traced).run(Columns.from_rows(rows)).rows() == [(2, "b")]


def test_a_step_behind_a_filter_is_only_asked_for_what_it_left() -> None:
    keep, divide = trace_filter(lambda n: n, Scalar(int)), trace(lambda n: 10 // n, Scalar(int))
    assert not isinstance(keep, Untraced)
    assert not isinstance(divide, Untraced)
    chain = Chain.of(Scalar(int)).filtered(keep).mapped(divide)
    assert chain.run(Columns.from_rows([0, 5, 0, 3])).rows() == [2, 3]


def test_a_flat_map_of_items_of_several_types_stays_rows() -> None:
    assert isinstance(trace_items(lambda n: (n, "a"), Scalar(int)), Untraced)
    assert isinstance(trace_items(lambda n: [], Scalar(int)), Untraced)


def test_more_ways_than_are_followed() -> None:
    function = lambda n: [x for x in range(40) if n > x]  # noqa: E731
    traced = trace(lambda n: len(function(n)), Scalar(int))
    assert isinstance(traced, Untraced)


def test_a_chain_that_is_refused_again_and_again_is_tried_less_and_less() -> None:
    traced = trace(lambda n: n + 1, Scalar(int))
    assert not isinstance(traced, Untraced)
    chain = Chain.of(Scalar(int)).mapped(traced)
    chain = Chain(chain.source, chain.row_type, chain.outputs, chain.refusals)  # one that nobody shares
    huge, small = Columns.from_rows([2**63 - 1]), Columns.from_rows([1])
    tried = []
    original = Chain.run

    def run(self: Chain, chunk: Columns) -> Columns:
        tried.append(chunk)
        return original(self, chunk)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Chain, "run", run)
        for _ in range(200):
            assert chain.attempt(huge) is None
        assert 5 <= len(tried) <= 12
        while chain.attempt(small) is None:
            pass
        assert chain.attempt(small) is not None
