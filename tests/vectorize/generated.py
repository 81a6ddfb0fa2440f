"""Random functions as source text, and random records for them.

A function is drawn from a grammar of what users write in ``map`` and ``filter``, with the class of each
expression in mind, so that most functions run on most records; some expressions are of another class than is
asked for, on purpose. Everything depends on the given random generator alone.
"""

from __future__ import annotations

import functools
import math
import operator
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple


class Spot(NamedTuple):
    row: int
    weight: float


class Order(NamedTuple):
    """What most programs have: a NamedTuple with methods, some fields optional."""

    time: datetime
    client: int
    symbol: str
    amount: int
    price: float
    buy: bool
    note: int | None
    memo: str | None
    rate: float | None

    FACTOR = 3

    def value(self) -> float:
        return self.amount * self.price

    def signed(self, scale: int = 1) -> int:
        return self.amount * scale if self.buy else -self.amount

    @property
    def large(self) -> bool:
        return self.amount > 100

    @property
    def label(self) -> str:
        return self.symbol.strip() + ("+" if self.buy else "-")

    @staticmethod
    def fee(amount: int) -> int:
        return amount // 100


@dataclass(frozen=True)
class Place:
    """A frozen dataclass with a record inside."""

    spot: Spot
    name: str
    day: date
    depth: int | None = None

    def far(self) -> bool:
        return self.spot.row > 10

    @property
    def area(self) -> float:
        return self.spot.weight * self.spot.row


@dataclass
class Reading:
    """A dataclass that can be changed."""

    sensor: str
    count: int
    level: float
    good: bool
    since: datetime


class Kind(NamedTuple):
    """Records of one shape: the class to be made of a row's values, and what can be read of one."""

    name: str
    make: Callable[..., Any]
    columns: tuple[str, ...]
    paths: tuple[tuple[str, str], ...]
    cls: type | None


def _same(*values: Any) -> Any:
    return values


def _only(value: Any) -> Any:
    return value


def _nested(text: str, number: int, level: float | None) -> Any:
    return (text, (number, level))


def _place(row: int, weight: float, name: str, day: date, depth: int | None) -> Place:
    return Place(Spot(row, weight), name, day, depth)


KINDS = (
    Kind(
        "order",
        Order,
        ("datetime", "int", "str", "int", "float", "bool", "int?", "str?", "float?"),
        (
            ("r.time", "datetime"), ("r.client", "int"), ("r.symbol", "str"), ("r.amount", "int"),
            ("r.price", "float"), ("r.buy", "bool"), ("r.note", "int?"), ("r.memo", "str?"),
            ("r.rate", "float?"), ("r[3]", "int"), ("r[-5]", "float"), ("r.value()", "float"),
            ("r.signed()", "int"), ("r.signed(scale=2)", "int"), ("r.large", "bool"), ("r.label", "str"),
            ("r.FACTOR", "int"), ("Order.FACTOR", "int"), ("Order.fee(r.amount)", "int"), ("r.fee(r.client)", "int"),  # noqa: E501
            ("Order.signed(r, 5)", "int"),
        ),
        Order,
    ),
    Kind(
        "place",
        _place,
        ("int", "float", "str", "date", "int?"),
        (
            ("r.spot.row", "int"), ("r.spot.weight", "float"), ("r.spot[0]", "int"), ("r.name", "str"),
            ("r.day", "date"), ("r.depth", "int?"), ("r.far()", "bool"), ("r.area", "float"),
        ),
        Place,
    ),
    Kind(
        "reading",
        Reading,
        ("str", "int", "float", "bool", "datetime"),
        (
            ("r.sensor", "str"), ("r.count", "int"), ("r.level", "float"), ("r.good", "bool"),
            ("r.since", "datetime"),
        ),
        Reading,
    ),
    Kind(
        "triple",
        _same,
        ("str", "int", "float"),
        (("r[0]", "str"), ("r[1]", "int"), ("r[2]", "float"), ("r[-1]", "float"), ("r[:2][1]", "int")),
        None,
    ),
    Kind(
        "nested",
        _nested,
        ("str?", "int", "float?"),
        (("r[0]", "str?"), ("r[1][0]", "int"), ("r[1][1]", "float?")),
        None,
    ),
    Kind("ints", _only, ("int",), (("r", "int"),), None),
    Kind("floats", _only, ("float",), (("r", "float"),), None),
    Kind("texts", _only, ("str",), (("r", "str"),), None),
    Kind("maybe", _only, ("int?",), (("r", "int?"),), None),
    Kind("bools", _same, ("bool", "int"), (("r[0]", "bool"), ("r[1]", "int")), None),
)  # fmt: skip


# ------------------------------------------------------------------------------------------- records

_TAME: dict[str, tuple[Any, ...]] = {
    "int": (0, 1, 2, 3, 5, 7, 10, 42, 100, 101, 250, -1, -3, -7),
    "float": (0.0, 0.5, 1.0, 1.5, 2.5, 0.1, 0.285, 1.005, 2.675, 10.0, -2.5, 99.99, -0.1, 3.0),
    "str": ("EPE", "AXY", "a", "abc", "a,b", "x-y-z", " pad ", "10", "3.5", "ABC", "aXb", "é"),
    "bool": (True, False),
    "datetime": (
        datetime(2016, 3, 22, 20, 25, 28),
        datetime(2024, 2, 29, 23, 59, 59, 999_999),
        datetime(2016, 3, 22),
        datetime(1969, 12, 31, 1),
    ),
    "date": (date(2016, 3, 22), date(2024, 2, 29), date(1970, 1, 1), date(1969, 12, 31)),
}
_WILD: dict[str, tuple[Any, ...]] = {
    "int": (
        2**63 - 1, -(2**63), 2**53, 2**53 + 1, -(2**53) - 1, 2**31, 2**32 + 1, 10**18, 63, 64, -(2**62), 2**62,  # noqa: E501
    ),
    "float": (
        -0.0, math.nan, math.inf, -math.inf, 1e308, 5e-324, 2.0**53, 2.0**63, -(2.0**63), 1e16, 1e22, 1e-5,
        0.5000000000000001, 4503599627370497.5, 123456.789,
    ),
    "str": ("", "ß", "İ", "ǆ", "日本語", "\u2028x", "\x1c", "\0", "१२", "1_000", "+5", "0x10", "nan", "NA", "𝔘𝔫", "a\u0301"),  # noqa: E501
    "bool": (True, False),
    "datetime": (datetime.min, datetime.max, datetime(1, 1, 1, 0, 0, 0, 1), datetime(2000, 12, 31, 23, 59, 59)),  # noqa: E501
    "date": (date.min, date.max, date(1900, 2, 28)),
}  # fmt: skip


def records(rng: random.Random, kind: Kind, count: int, *, wildness: float | None = None) -> list[Any]:
    """So many records; ``wildness`` is how likely uncommon values are (default: drawn for each column)."""
    columns = []
    for named in kind.columns:
        name, optional = named.rstrip("?"), named.endswith("?")
        wild = rng.choice((0.0, 0.0, 0.0, 0.05, 0.3)) if wildness is None else wildness
        none = rng.choice((0.1, 0.5, 0.9)) if optional else 0.0
        few = rng.sample(_TAME[name], min(len(_TAME[name]), rng.choice((2, 4, 8))))
        column = [
            None if rng.random() < none else rng.choice(_WILD[name] if rng.random() < wild else few)
            for _ in range(count)
        ]
        if optional:  # or the row type would say otherwise
            column[0], column[-1] = few[0], None
        columns.append(column)
    return [kind.make(*values) for values in zip(*columns, strict=True)]


# ------------------------------------------------------------------------------------------- functions


def double(x: Any) -> Any:
    return x * 2


def clamp(x: Any, low: Any = 0, high: Any = 100) -> Any:
    if x < low:
        return low
    return high if x > high else x


def shout(text: str, mark: str = "!") -> str:
    return text.upper() + mark


def share(part: Any, whole: Any) -> Any:
    return part / whole if whole else 0.0


def named(symbol: str) -> int:
    return PRICES[symbol] if symbol in PRICES else -1  # noqa: SIM401


PRICES = {"EPE": 10, "AXY": 20, "a": 5, "abc": 7, "10": 1}
RATES = {1: 0.5, 2: 1.5, 3: -0.0, 10: 2.0, True: 9.0}  # noqa: F601
PAIRS = {"EPE": (1, "one"), "AXY": (2, "two"), "a": (3, "three")}
WATCHED = {"EPE", "abc", "", "ß"}
LUCKY = (1, 7, 42, True, 2.0)
SCALE = 7
RATIO = 0.1
PREFIX = "p:"
EPOCH = datetime(2016, 1, 1)


def namespace() -> dict[str, Any]:
    """The globals of a function: what users have around theirs."""
    return {
        "Order": Order, "Place": Place, "Reading": Reading, "Spot": Spot, "math": math, "operator": operator,
        "partial": functools.partial, "itemgetter": operator.itemgetter, "attrgetter": operator.attrgetter,
        "datetime": datetime, "timedelta": timedelta, "date": date, "double": double, "clamp": clamp,
        "shout": shout, "share": share, "named": named, "PRICES": PRICES, "RATES": RATES, "PAIRS": PAIRS,
        "WATCHED": WATCHED, "LUCKY": LUCKY, "SCALE": SCALE, "RATIO": RATIO, "PREFIX": PREFIX, "EPOCH": EPOCH,
        "mul": operator.mul, "capped": functools.partial(clamp, high=50),
    }  # fmt: skip


_CONSTANTS: dict[str, tuple[str, ...]] = {
    "int": (
        "(0)", "(1)", "(2)", "(3)", "(5)", "(7)", "(-1)", "(10)", "(100)", "SCALE", "(9007199254740993)", "(9223372036854775807)",  # noqa: E501
    ),
    "float": ("(0.0)", "(-0.0)", "(1.0)", "0.5", "2.5", "RATIO", "1e300", "math.inf", "math.nan", "100.0"),
    "str": ("''", "'a'", "'EPE'", "'x'", "PREFIX", "'ß'", "'-'", "'1'"),
    "bool": ("True", "False"),
    "datetime": ("EPOCH", "datetime(2016, 3, 22)"),
    "date": ("date(2016, 3, 22)", "date(2020, 1, 1)"),
    "timedelta": ("timedelta(1)", "timedelta(hours=5)", "timedelta(0)", "timedelta(microseconds=-1)"),
}  # fmt: skip
_FAMILIES = ("int", "float", "str", "bool")


@dataclass
class Writer:
    """Writes expressions over the values that are known: ``paths`` of a record, and local names."""

    rng: random.Random
    paths: tuple[tuple[str, str], ...]
    wrong: float = 0.02
    local: list[tuple[str, str]] = field(default_factory=list)

    def expression(self, kind: str, depth: int) -> str:
        """Source text of an expression that mostly is of this class."""
        if self.rng.random() < self.wrong:
            kind = self.rng.choice(_FAMILIES)
        if depth <= 0 or self.rng.random() < 0.2:
            return self.atom(kind)
        if self.rng.random() < 0.15:
            return self._branch(kind, depth)
        return f"({getattr(self, f'_{kind}')(depth - 1)})"

    def atom(self, kind: str) -> str:
        """A value that is there already."""
        known = [path for path, its in (*self.paths, *self.local) if its == kind]
        maybe = [path for path, its in self.paths if its == kind + "?"]
        draw = self.rng.random()
        if maybe and draw < 0.25:
            path = self.rng.choice(maybe)
            other = self.constant(kind)
            return self.rng.choice(
                (
                    f"({path} or {other})",
                    f"({path} if {path} is not None else {other})",
                    f"({other} if {path} is None else {path})",
                    f"({path} if {path} else {other})",
                )
            )
        if known and draw < 0.85:
            return self.rng.choice(known)
        return self.constant(kind)

    def constant(self, kind: str) -> str:
        known = _CONSTANTS[kind]
        return self.rng.choice(known if self.rng.random() < 0.3 else known[: max(2, len(known) // 2)])

    def _branch(self, kind: str, depth: int) -> str:
        e = self.expression
        return self.rng.choice(
            (
                lambda: f"({e(kind, depth - 1)} if {e('bool', depth - 1)} else {e(kind, depth - 1)})",
                lambda: f"({e(kind, depth - 1)} or {e(kind, depth - 1)})",
                lambda: f"({e(kind, depth - 1)} and {e(kind, depth - 1)})",
                lambda: f"({e(kind, depth - 1)}, {e(kind, depth - 1)})[{e('bool', 0)}]",
                lambda: f"(lambda q: {e(kind, depth - 1)})({e(kind, 0)})",
                lambda: f"({e(kind, depth - 1)}, {self.atom('int')})[0]",
                lambda: f"max({e(kind, depth - 1)}, {e(kind, depth - 1)})",
                lambda: f"min({e(kind, depth - 1)}, {e(kind, 0)}, {e(kind, 0)})",
            )
        )()

    def _number(self) -> str:
        return self.rng.choice(("int", "int", "float", "bool"))

    def _int(self, depth: int) -> str:
        e, rng = self.expression, self.rng
        return rng.choice(
            (
                lambda: f"({e('int', depth)} {rng.choice('+-*')} {e('int', depth)})",
                lambda: f"({e('int', depth)} {rng.choice('+-*')} {e('int', depth)})",
                lambda: f"({e('int', depth)} {rng.choice(('//', '%'))} {e('int', depth)})",
                lambda: f"({e('int', depth)} {rng.choice(('//', '%'))} {rng.choice(('2', '3', '-4', '7'))})",
                lambda: f"({e('int', depth)} {rng.choice('&|^')} {e('int', depth)})",
                lambda: (
                    f"({e('int', depth)} {rng.choice(('<<', '>>'))} {rng.choice(('0', '1', '5', '40', '70'))})"  # noqa: E501
                ),
                lambda: f"{rng.choice('-+~')}{e('int', depth)}",
                lambda: f"{e('int', depth)} ** {rng.choice('0123')}",
                lambda: f"abs({e('int', depth)})",
                lambda: f"round({e('float', depth)})",
                lambda: f"int({e(rng.choice(('float', 'int', 'bool', 'str')), depth)})",
                lambda: f"len({e('str', depth)})",
                lambda: f"{e('bool', depth)} + {e('int', depth)}",
                lambda: f"round({e('int', depth)}, {rng.choice('012')})",
                lambda: f"divmod({e('int', depth)}, {e('int', 0)})[{rng.choice('01')}]",
                lambda: f"sum(({e('int', depth)}, {e('int', 0)}, {e('bool', 0)}))",
                lambda: f"sum(x * 2 for x in ({e('int', depth)}, {e('int', 0)}))",
                lambda: f"sum([x for x in ({e('int', depth)}, {e('int', 0)}) if x > 0])",
                lambda: f"math.{rng.choice(('floor', 'ceil', 'trunc'))}({e('float', depth)})",
                lambda: f"{e('str', depth)}.{rng.choice(('find', 'count', 'rfind'))}({self.constant('str')})",
                lambda: f"PRICES.get({e('str', depth)}, {self.constant('int')})",
                lambda: f"named({e('str', depth)})",
                lambda: f"PRICES[{e('str', 0)}]",
                lambda: f"PAIRS.get({e('str', 0)}, (0, ''))[0]",
                lambda: f"double({e('int', depth)})",
                lambda: f"clamp({e('int', depth)})",
                lambda: f"capped({e('int', depth)})",
                lambda: f"clamp({e('int', depth)}, low={e('int', 0)})",
                lambda: (
                    f"operator.{rng.choice(('add', 'sub', 'mul', 'mod'))}({e('int', depth)}, {e('int', 0)})"
                ),
                lambda: (
                    f"{e('datetime', depth)}.{rng.choice(('year', 'month', 'day', 'hour', 'microsecond'))}"
                ),
                lambda: f"{e('datetime', depth)}.{rng.choice(('weekday', 'isoweekday', 'toordinal'))}()",
                lambda: f"{e('date', depth)}.{rng.choice(('year', 'month', 'day'))}",
                lambda: f"{e('timedelta', depth)}.{rng.choice(('days', 'seconds', 'microseconds'))}",
                lambda: f"({e('timedelta', depth)} // timedelta(minutes=7))",
                lambda: f"partial(mul, {self.constant('int')})({e('int', depth)})",
                lambda: f"itemgetter(1)(({e('str', 0)}, {e('int', depth)}))",
                lambda: f"ord({e('str', 0)}[0])",
                lambda: f"len({e('str', 0)}.split({self.constant('str')}))",
                lambda: f"int({e('str', 0)}.isdigit())",
                lambda: f"(lambda a, *b, k=2: a + len(b) * k)({e('int', depth)}, 1, {e('int', 0)})",
                lambda: f"max([{e('int', depth)}, {e('int', 0)}])",
                lambda: f"bool({e(rng.choice(_FAMILIES), depth)})",
            )
        )()

    def _float(self, depth: int) -> str:
        e, rng, n = self.expression, self.rng, self._number
        return rng.choice(
            (
                lambda: f"({e('float', depth)} {rng.choice('+-*/')} {e(n(), depth)})",
                lambda: f"({e(n(), depth)} {rng.choice('+-*/')} {e('float', depth)})",
                lambda: f"({e('int', depth)} / {e('int', depth)})",
                lambda: f"({e('float', depth)} {rng.choice(('//', '%'))} {e(n(), depth)})",
                lambda: f"({e(n(), depth)} {rng.choice(('//', '%'))} {e('float', 0)})",
                lambda: f"{rng.choice('-+')}{e('float', depth)}",
                lambda: f"abs({e('float', depth)})",
                lambda: f"round({e('float', depth)}, {rng.choice('01236')})",
                lambda: f"float({e(rng.choice(('int', 'float', 'bool', 'str')), depth)})",
                lambda: f"{e('float', depth)} ** {rng.choice(('2', '2', '3', '0.5'))}",
                lambda: f"math.{rng.choice(('sqrt', 'log', 'exp', 'sin', 'fabs', 'log10'))}({e(n(), depth)})",
                lambda: f"share({e(n(), depth)}, {e(n(), depth)})",
                lambda: f"clamp({e('float', depth)}, 0.0, 10.0)",
                lambda: f"double({e('float', depth)})",
                lambda: f"RATES.get({e('int', 0)}, {self.constant('float')})",
                lambda: f"RATES[{e('int', 0)}]",
                lambda: f"sum([{e('float', depth)}, {e('float', 0)}])",
                lambda: f"{e('timedelta', depth)}.total_seconds()",
                lambda: f"({e('timedelta', depth)} / timedelta(hours=1))",
                lambda: f"(lambda x, y=0.5: x * y)({e('float', depth)})",
            )
        )()

    def _str(self, depth: int) -> str:
        e, rng = self.expression, self.rng
        return rng.choice(
            (
                lambda: f"({e('str', depth)} + {e('str', depth)})",
                lambda: f"{e('str', depth)} * {rng.choice('0123')}",
                lambda: f"{e('str', 0)} * ({e('int', 0)} % 4)",
                lambda: (
                    f"{e('str', depth)}.{rng.choice(('lower', 'upper', 'strip', 'title', 'capitalize'))}()"
                ),
                lambda: f"{e('str', depth)}.{rng.choice(('swapcase', 'casefold', 'lstrip', 'rstrip'))}()",
                lambda: f"{e('str', depth)}.strip({self.constant('str')})",
                lambda: f"{e('str', depth)}.replace({self.constant('str')}, {self.constant('str')})",
                lambda: (
                    f"{e('str', depth)}.{rng.choice(('zfill', 'rjust', 'ljust', 'center'))}({rng.choice('0347')})"  # noqa: E501
                ),
                lambda: (
                    f"{e('str', depth)}[{rng.choice(('0', '-1', '1', ':2', '1:', '::-1', '-2:', ':-1', '::2'))}]"  # noqa: E501
                ),
                lambda: f"{e('str', depth)}.split({self.constant('str')})[{rng.choice(('0', '1', '-1'))}]",
                lambda: f"str({e(rng.choice(('int', 'str', 'bool', 'float', 'datetime', 'date')), depth)})",
                lambda: f"repr({e(rng.choice(('int', 'float', 'bool')), 0)})",
                lambda: f"shout({e('str', depth)})",
                lambda: f"PAIRS.get({e('str', 0)}, (0, 'none'))[1]",
                lambda: f"{e('str', depth)}.remove{rng.choice(('prefix', 'suffix'))}({self.constant('str')})",
                lambda: f"{e('datetime', depth)}.isoformat()",
                lambda: f"'{rng.choice(('', 'x', '-'))}'.join(({e('str', depth)}, {e('str', 0)}))",
            )
        )()

    def _bool(self, depth: int) -> str:
        e, rng, n = self.expression, self.rng, self._number
        sign = rng.choice(("<", "<=", ">", ">=", "==", "!="))
        maybe = [path for path, its in self.paths if its.endswith("?")]
        return rng.choice(
            (
                lambda: f"({e(n(), depth)} {sign} {e(n(), depth)})",
                lambda: f"({e('int', depth)} {sign} {e('int', depth)})",
                lambda: f"({e('float', depth)} {sign} {e('float', depth)})",
                lambda: f"({e('str', depth)} {sign} {e('str', depth)})",
                lambda: f"({e('datetime', 0)} {sign} {e('datetime', 0)})",
                lambda: f"({e('date', 0)} {sign} {e('date', 0)})",
                lambda: f"({e('int', 0)} < {e('int', depth)} <= {e('int', 0)})",
                lambda: f"({e('bool', depth)} {rng.choice(('and', 'or'))} {e('bool', depth)})",
                lambda: f"({e('bool', depth)} {rng.choice('&|^')} {e('bool', depth)})",
                lambda: f"(not {e(rng.choice(_FAMILIES), depth)})",
                lambda: f"bool({e(rng.choice(_FAMILIES), depth)})",
                lambda: f"({e('int', depth)} {rng.choice(('in', 'not in'))} (1, 2, 7))",
                lambda: f"({e('int', depth)} in {{1, 2.0, True, 42}})",
                lambda: f"({e(n(), depth)} in LUCKY)",
                lambda: f"({e('float', depth)} in (0.0, 1, 2.5))",
                lambda: f"({e('str', depth)} {rng.choice(('in', 'not in'))} ('EPE', 'a', ''))",
                lambda: f"({e('str', depth)} in WATCHED)",
                lambda: f"({e('str', depth)} in PRICES)",
                lambda: f"({self.constant('str')} in {e('str', depth)})",
                lambda: f"{e('str', depth)}.{rng.choice(('startswith', 'endswith'))}({self.constant('str')})",
                lambda: (
                    f"{e('str', depth)}.{rng.choice(('isdigit', 'isalpha', 'isupper', 'isspace', 'isalnum'))}()"  # noqa: E501
                ),
                lambda: (
                    f"isinstance({e(rng.choice(_FAMILIES), 0)}, {rng.choice(('int', 'str', '(int, float)', 'bool'))})"  # noqa: E501
                ),
                lambda: f"{rng.choice(('any', 'all'))}(({e('bool', depth)}, {e('bool', 0)}))",
                lambda: f"any(x > 3 for x in ({e('int', depth)}, {e('int', 0)}))",
                lambda: f"math.{rng.choice(('isnan', 'isfinite', 'isinf'))}({e('float', depth)})",
                lambda: f"(({e('int', depth)}, {e('str', 0)}) == ({e('int', 0)}, {e('str', 0)}))",
                lambda: f"(({e('int', 0)}, {e('float', 0)}) < ({e('int', 0)}, {e('float', 0)}))",
                lambda: f"({rng.choice(maybe)} is {rng.choice(('', 'not '))}None)" if maybe else "True",
                lambda: f"({e('int', 0)} == {e('str', 0)})",
            )
        )()

    def _datetime(self, depth: int) -> str:
        e, rng = self.expression, self.rng
        return rng.choice(
            (
                lambda: f"({e('datetime', depth)} {rng.choice('+-')} {e('timedelta', 0)})",
                lambda: (
                    f"{e('datetime', depth)}.replace({rng.choice(('minute', 'second', 'day', 'year'))}=1)"
                ),
                lambda: f"{e('datetime', depth)}.replace(minute=0, second=0, microsecond=0)",
            )
        )()

    def _date(self, depth: int) -> str:
        e, rng = self.expression, self.rng
        return rng.choice(
            (
                lambda: f"({e('date', depth)} {rng.choice('+-')} {e('timedelta', 0)})",
                lambda: f"{e('datetime', depth)}.date()",
            )
        )()

    def _timedelta(self, depth: int) -> str:
        e, rng = self.expression, self.rng
        return rng.choice(
            (
                lambda: f"({e('datetime', depth)} - {e('datetime', 0)})",
                lambda: f"({e('date', depth)} - {e('date', 0)})",
                lambda: f"({e('timedelta', depth)} {rng.choice('+-')} {e('timedelta', 0)})",
                lambda: f"({e('timedelta', depth)} * {e('int', 0)})",
                lambda: f"abs({e('timedelta', depth)})",
            )
        )()

    # -------------------------------------------------------------------------------- results

    def result(self, depth: int, cls: type | None) -> str:
        """What a function of ``map`` returns."""
        e, rng = self.expression, self.rng
        kinds = ("int", "int", "float", "str", "bool", "datetime", "date")
        draw = rng.random()
        if draw < 0.4:
            return e(rng.choice(kinds), depth)
        if draw < 0.7:
            parts = [e(rng.choice(kinds), depth - 1) for _ in range(rng.choice((1, 2, 2, 2, 3)))]
            return f"({', '.join(parts)},)"
        maybe = [path for path, its in self.paths if its.endswith("?")]
        options = [
            lambda: "r",
            lambda: f"({e('str', 1)}, ({e('int', depth - 1)}, {e('float', 1)}))",
            lambda: f"f'{{{self._inside()}}}'",
            lambda: f"f'{{{self._inside()}}}-{{{self._inside()}}}'",
            lambda: f"(f'<{{{self._inside()}}}>', {e('int', 1)})",
            lambda: f"Spot({e('int', depth - 1)}, {e('float', 1)})",
            lambda: f"Spot(weight={e('float', 1)}, row={e('int', 1)})",
            lambda: f"({e('int', 1)} if {e('bool', 1)} else None)",
            lambda: f"({e('str', 1)}, None)",
            lambda: f"[{e('int', 1)}, {e('int', 1)}]",
        ]
        if maybe:
            options.append(lambda: f"({rng.choice(maybe)}, {e('int', 1)})")
            options.append(lambda: rng.choice(maybe))
        if cls is Order:
            options += [
                lambda: f"r._replace(amount={e('int', 1)})",
                lambda: f"r._replace(note={rng.choice(('None', '3', 'r.note'))}, price={e('float', 1)})",
                lambda: "Order(*r)",
                lambda: f"r[:2] + ({e('int', 1)},)",
                lambda: "(r, 1)",
                lambda: "attrgetter('symbol', 'amount')(r)",
                lambda: "itemgetter(1, 3)(r)",
                lambda: "{'a': r.amount}['a']",
            ]
        return rng.choice(options)()

    def _inside(self) -> str:
        """An expression in an f-string, which on 3.11 must have no quotes of its kind."""
        while True:
            found = self.expression(self.rng.choice(("int", "str", "float", "bool")), 1)
            if not set("'\\{}") & set(found):
                return found


class Written(NamedTuple):
    """A function as text: what defines it, and the expression that is it."""

    definitions: str
    expression: str

    def compiled(self) -> Callable[..., Any]:
        """The function, with globals of its own."""
        scope = namespace()
        exec(compile(self.definitions, "<generated>", "exec"), scope)
        made: Callable[..., Any] = eval(compile(self.expression, "<generated>", "eval"), scope)
        return made


def written(rng: random.Random, kind: Kind, body: Callable[[Writer, int], str]) -> Written:
    """A random function whose result ``body`` writes, as a lambda, a def or a closure."""
    writer = Writer(rng, kind.paths, wrong=rng.choice((0.0, 0.0, 0.02, 0.1)))
    depth = rng.choice((1, 1, 2, 2, 3))
    shape = rng.random()
    if shape < 0.55:
        return Written("", f"lambda r: {body(writer, depth)}")
    if shape < 0.65:
        writer.local.append(("k", "int"))
        return Written("", f"(lambda k: lambda r: {body(writer, depth)})({writer.constant('int')})")
    if shape < 0.7:
        writer.local.append(("k", "float"))
        return Written("", f"partial(lambda k, r: {body(writer, depth)}, {writer.constant('float')})")
    if shape < 0.75:
        writer.local.append(("k", "int"))
        return Written("", f"lambda r, k={writer.constant('int')}: {body(writer, depth)}")
    lines = ["def function(r):"]
    for number in range(rng.choice((0, 1, 2))):
        its = rng.choice(_FAMILIES)
        lines.append(f"    v{number} = {writer.expression(its, depth - 1)}")
        writer.local.append((f"v{number}", its))
    style = rng.random()
    if style < 0.4:
        lines.append(f"    if {writer.expression('bool', 1)}:")
        lines.append(f"        return {body(writer, depth - 1)}")
    elif style < 0.6:
        lines.append(f"    if {writer.expression('bool', 1)}:")
        lines.append(f"        w = {writer.expression('int', 1)}")
        lines.append(f"    elif {writer.expression('bool', 0)}:")
        lines.append(f"        w = {writer.expression('int', 1)}")
        lines.append("    else:")
        lines.append(f"        w = {writer.expression('int', 0)}")
        writer.local.append(("w", "int"))
    elif style < 0.7:
        lines.append("    w = 0")
        lines.append(f"    for each in ({writer.expression('int', 1)}, {writer.expression('int', 0)}):")
        lines.append("        w += each")
        writer.local.append(("w", "int"))
    elif style < 0.75:
        lines.append(f"    assert {writer.expression('bool', 1)}")
    elif style < 0.8:
        lines.append(f"    if {writer.expression('bool', 1)}:")
        lines.append("        raise ValueError('no')")
    lines.append(f"    return {body(writer, depth)}")
    return Written("\n".join(lines), "function")


def map_body(kind: Kind) -> Callable[[Writer, int], str]:
    return lambda writer, depth: writer.result(depth, kind.cls)


def filter_body(writer: Writer, depth: int) -> str:
    kinds = ("bool", "bool", "bool", "int", "str", "float")
    return writer.expression(writer.rng.choice(kinds), depth)


def items_body(writer: Writer, depth: int) -> str:
    kind = writer.rng.choice(("int", "str", "float"))
    draw = writer.rng.random()
    parts = ", ".join(writer.expression(kind, depth - 1) for _ in range(writer.rng.choice((0, 1, 2, 2, 3))))
    if draw < 0.4:
        return f"[{parts}]"
    if draw < 0.7:
        return f"({parts},)" if parts else "()"
    if draw < 0.9:
        sep = writer.rng.choice(("", "','", "' '", "'-', 1", "None, 2", "'a'"))
        return f"{writer.expression('str', depth - 1)}.split({sep})"
    return f"[({writer.expression('str', 0)}, {writer.expression(kind, 1)})]"
