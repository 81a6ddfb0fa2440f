"""Records, classes and strategies for the tests of chunks, and an equality that misses nothing."""

from __future__ import annotations

import struct
from collections import namedtuple
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import date, datetime
from typing import Any, ClassVar, NamedTuple

from hypothesis import strategies as st


class Point(NamedTuple):
    x: int
    y: float = 0.0


class Trade(NamedTuple):
    symbol: str
    at: Point
    note: str | None = None

    @property
    def is_small(self) -> bool:
        return self.at.x < 10

    def __str__(self) -> str:
        return f"{self.symbol}!"


@dataclass
class Order:
    id: int
    price: float
    symbol: str = "EPE"
    market: ClassVar[str] = "SIX"


@dataclass(frozen=True)
class Frozen:
    id: int
    price: float | None


@dataclass(frozen=True, slots=True, order=True)
class Slotted:
    id: int
    name: str = "x"


@dataclass(slots=True)
class Changeable:
    id: int
    frozen: Frozen


@dataclass(kw_only=True)
class Keyword:
    id: int
    b: str = field(default="b", repr=False)


@dataclass(unsafe_hash=True)
class Derived(Order):
    buy: bool = True


@dataclass
class Empty:
    pass


Untyped = namedtuple("Untyped", "a b")

NAN_WITH_PAYLOAD = struct.unpack("<d", struct.pack("<Q", 0x7FF8_0000_DEAD_BEEF))[0]
NEGATIVE_NAN = struct.unpack("<d", struct.pack("<Q", 0xFFF8_0000_0000_0001))[0]
EDGES: dict[type, list[Any]] = {
    int: [0, 1, -1, 255, 2**31, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)],
    float: [
        0.0, -0.0, 1.5, -1e308, 5e-324, 1e22, float("inf"), float("-inf"),
        float("nan"), NAN_WITH_PAYLOAD, NEGATIVE_NAN,
    ],
    bool: [True, False],
    str: [
        "", "a", " 5", "nul\x00nul", "İstanbul", "ß", "한국어", "😀", "\U0010ffff", "\ufeff", "e\u0301",
        "x" * 1000,
    ],
    bytes: [b"", b"\x00", b"\xff\xfe", b"ab" * 500],
    datetime: [
        datetime.min, datetime.max, datetime(1970, 1, 1), datetime(1969, 12, 31, 23, 59, 59, 999_999),
        datetime(2016, 3, 22, 20, 25, 28), datetime(2016, 2, 29, 0, 0, 0, 1),
    ],
    date: [date.min, date.max, date(1970, 1, 1), date(1969, 12, 31), date(2016, 2, 29)],
    type(None): [None],
}  # fmt: skip
SCALAR_STRATEGIES: dict[type, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(),
    bool: st.booleans(),
    str: st.text(st.characters(codec="utf-8")),
    bytes: st.binary(),
    datetime: st.datetimes(),
    date: st.dates(),
}


def same(one: Any, other: Any) -> bool:
    """Equal in class, in depth, and floats bit by bit."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return struct.pack("<d", one) == struct.pack("<d", other)
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(map(same, one, other))
    if is_dataclass(one):
        if getattr(one, "__dict__", None) is not None and list(vars(one)) != list(vars(other)):
            return False
        return all(same(getattr(one, each.name), getattr(other, each.name)) for each in fields(one))
    return bool(one == other)


def _scalars() -> st.SearchStrategy[st.SearchStrategy[Any]]:
    kinds = [
        st.one_of(strategy, st.sampled_from(EDGES[kind])) for kind, strategy in SCALAR_STRATEGIES.items()
    ]
    return st.sampled_from([*kinds, st.none()])


def _compounds(inner: st.SearchStrategy[st.SearchStrategy[Any]]) -> st.SearchStrategy[st.SearchStrategy[Any]]:
    pairs = st.tuples(inner, inner)
    return st.one_of(
        inner.map(lambda each: st.one_of(st.none(), each)),
        st.lists(inner, max_size=3).map(lambda items: st.tuples(*items)),
        pairs.map(lambda two: st.builds(Untyped, *two)),
        pairs.map(lambda two: st.builds(Frozen, *two)),
        pairs.map(lambda two: st.builds(Changeable, *two)),
        pairs.map(lambda two: st.builds(lambda a, b: Keyword(id=a, b=b), *two)),
        st.tuples(inner, inner, inner, inner).map(lambda four: st.builds(Derived, *four)),
    )


@st.composite
def uniform_rows(draw: st.DrawFn, *, rows_max: int = 20) -> list[Any]:
    """Records of one random shape: nested tuples, records, optionals, all scalars."""
    shape = draw(st.recursive(_scalars(), _compounds, max_leaves=6))
    return draw(st.lists(shape, min_size=1, max_size=rows_max))
