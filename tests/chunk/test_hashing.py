"""Equal keys hash alike, in every process, and numbers and tuples as in PySpark."""

from __future__ import annotations

import enum
import math
import subprocess
import sys
from collections import Counter, UserString, namedtuple
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from itertools import product
from typing import Any, NamedTuple
from uuid import UUID
from zlib import crc32
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.chunk import portable_hash
from penstock.errors import KeyTypeError


def pyspark_portable_hash(x: Any) -> int:
    """The rule of ``pyspark.rdd.portable_hash``, said again."""
    if x is None:
        return 0
    if isinstance(x, tuple):
        h = 0x345678
        for i in x:
            h ^= pyspark_portable_hash(i)
            h *= 1000003
            h &= sys.maxsize
        h ^= len(x)
        if h == -1:
            h = -2
        return h
    return hash(x)


class Pair(NamedTuple):
    a: Any
    b: Any


class Side(str, enum.Enum):  # noqa: UP042 - the older spelling is meant
    BUY = "B"


class Level(enum.IntEnum):
    ONE = 1


class Color(enum.Enum):
    RED = 1
    CRIMSON = 1
    BLUE = "blue"


class Mode(enum.Flag):
    READ = 1
    WRITE = 2


class Text(str):
    pass


class Whole(int):
    pass


class Reversed(tuple):  # type: ignore[type-arg]
    def __iter__(self) -> Any:
        return iter(tuple(self)[::-1])


class CaseBlind(str):
    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self.lower() == other.lower()

    def __hash__(self) -> int:
        return hash(self.lower())


@dataclass(frozen=True)
class Key:
    symbol: str
    day: date
    note: str = field(default="", compare=False)


@dataclass(frozen=True)
class SubKey(Key):
    more: int = 0


@dataclass(frozen=True, slots=True)
class Slotted:
    a: Any


@dataclass(frozen=True)
class OwnEq:
    a: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OwnEq)


@dataclass
class Changeable:
    a: int


class ByAddress:
    pass


class OfText:
    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OfText) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


class NoOffset(tzinfo):
    def utcoffset(self, when: datetime | None) -> timedelta | None:
        return None


ZURICH, SEOUL = ZoneInfo("Europe/Zurich"), timezone(timedelta(hours=9))
EQUAL: list[list[Any]] = [
    [1, 1.0, True, Decimal(1), Decimal("1.00"), Fraction(1), 1 + 0j, Level.ONE, Whole(1), np.int8(1),
     np.float32(1), np.True_],
    [0, 0.0, -0.0, False, Decimal("-0"), Fraction(0), 0j, np.float64(-0.0), np.bool_(False)],
    [-1, -1.0, Fraction(-1)],
    [0.5, Fraction(1, 2), Decimal("0.5"), np.float16(0.5), np.complex128(0.5)],
    [2**100, 2.0**100, Decimal(2**100), Fraction(2**100)],
    [math.inf, Decimal("inf"), np.float32("inf")],
    ["B", Side.BUY, Text("B"), np.str_("B"), UserString("B")],
    [b"B", np.bytes_(b"B")],
    [(1, "B"), (1.0, Side.BUY), Pair(True, "B"), namedtuple("Other", "x y")(1, "B"), Reversed((1, "B"))],
    [((1,), ()), ((1.0,), ())],
    [date(2020, 2, 29), date.fromordinal(date(2020, 2, 29).toordinal())],
    [datetime(2020, 2, 29), datetime(2020, 2, 29, fold=1), pd.Timestamp(2020, 2, 29),
     datetime(2020, 2, 29, tzinfo=NoOffset())],
    [datetime(2020, 1, 1, 12, tzinfo=UTC), datetime(2020, 1, 1, 13, tzinfo=ZURICH),
     datetime(2020, 1, 1, 21, tzinfo=SEOUL), pd.Timestamp("2020-01-01T12:00Z")],
    [datetime(2020, 10, 25, 2, 30, tzinfo=ZURICH), datetime(2020, 10, 25, 2, 30, fold=1, tzinfo=ZURICH)],
    [datetime.min.replace(tzinfo=SEOUL)],
    [datetime.max.replace(tzinfo=timezone(timedelta(hours=-9)))],
    [time(12, tzinfo=UTC), time(21, tzinfo=SEOUL)],
    [time(12, 0, 1), time(12, 0, 1, fold=1)],
    [time(0, tzinfo=SEOUL)],
    [timedelta(days=1), timedelta(hours=24), pd.Timedelta(days=1)],
    [frozenset({1, "a", (2,)}), frozenset(["a", (2.0,), True])],
    [frozenset()],
    [range(0), range(5, 5), range(3, 1)],
    [range(0, 1), range(0, 1, 7)],
    [range(0, 10, 3), range(0, 12, 3)],
    [UUID(int=5), UUID("00000000-0000-0000-0000-000000000005")],
    [Color.RED, Color.CRIMSON, Color["RED"]],
    [Mode.READ | Mode.WRITE, Mode(3)],
    [Key("EPE", date(2020, 1, 1)), Key("EPE", date(2020, 1, 1), "another note")],
    [Slotted(1), Slotted(1.0), Slotted(True)],
    [SubKey("EPE", date(2020, 1, 1), "", 1), SubKey("EPE", date(2020, 1, 1), "x", 1)],
    ["\ud800", "\ud800"],
    ["", ""],
]  # fmt: skip
NANS = [
    math.nan, -math.nan, float("nan"), np.float64("nan"), np.float32("nan"), Decimal("nan"), Decimal("sNaN"),
    Decimal("-nan123"), complex(math.nan, 1), complex(0, math.nan), pd.NaT,
]  # fmt: skip


def equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except TypeError:  # a Decimal and a bool of numpy do not go together
        return True


class TestAsInPySpark:
    @pytest.mark.parametrize(
        "key",
        [
            None, 0, 1, -1, -2, True, 2**61 - 1, 2**61, -(2**61), 2**63, 10**30, 0.1, -0.0, 1e300, math.inf,
            -math.inf,
            Decimal("1.1"), Fraction(1, 3), 1j, (), (None,), (1,), (-1,), (1, 2), (2, 1),
            ((1, 2), (3.5, None)),
            (None, None), tuple(range(100)), Pair(1, 2),
        ],
        ids=repr,
    )  # fmt: skip
    def test_known_keys(self, key: Any) -> None:
        assert portable_hash(key) == pyspark_portable_hash(key)

    @given(
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.fractions()),
            lambda inner: st.lists(inner, max_size=4).map(tuple),
        )
    )
    def test_numbers_and_tuples(self, key: Any) -> None:
        assert portable_hash(key) == pyspark_portable_hash(key)
        assert portable_hash(key, strict=True) == portable_hash(key)

    def test_value_that_pyspark_documents(self) -> None:
        assert portable_hash((None, 1)) & 0xFFFFFFFF == 219750521


class TestEqualKeys:
    @pytest.mark.parametrize("group", EQUAL, ids=lambda group: type(group[0]).__name__)
    def test_hash_alike(self, group: list[Any]) -> None:
        for one, other in product(group, group):
            assert one is other or equal(one, other)
        hashes = {portable_hash(key) for key in group} | {portable_hash(key, strict=True) for key in group}
        assert len(hashes) == 1
        assert type(hashes.pop()) is int

    @pytest.mark.parametrize("group", EQUAL, ids=lambda group: type(group[0]).__name__)
    def test_hash_alike_inside_of_others(self, group: list[Any]) -> None:
        for hold in (
            lambda key: (key, 1),
            lambda key: frozenset([key]),
            Slotted,
            lambda key: Pair(1, (key,)),
        ):
            assert len({portable_hash(hold(key)) for key in group}) == 1

    @pytest.mark.parametrize("nan", NANS, ids=lambda nan: type(nan).__name__)
    def test_every_nan_hashes_alike(self, nan: Any) -> None:
        assert portable_hash(nan) == portable_hash(nan, strict=True) == 0
        assert portable_hash((nan, 1)) == portable_hash((math.nan, 1))

    @given(st.lists(st.one_of(st.integers(), st.text(), st.tuples(st.integers())), max_size=6), st.randoms())
    def test_frozensets_have_no_order(self, members: list[Any], random: Any) -> None:
        shuffled = list(members)
        random.shuffle(shuffled)
        assert portable_hash(frozenset(members)) == portable_hash(frozenset(shuffled))

    @given(st.datetimes(timezones=st.timezones()), st.timezones())
    def test_aware_datetimes(self, when: datetime, zone: ZoneInfo) -> None:
        try:
            other = when.astimezone(zone)
        except OverflowError:
            return
        if when == other:  # not so in the hour that a zone repeats
            assert portable_hash(when) == portable_hash(other)

    @given(
        st.times(timezones=st.none() | st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m))))
    )
    def test_times(self, when: time) -> None:
        offset = when.utcoffset()
        if offset is not None:
            minutes = when.hour * 60 + when.minute - offset // timedelta(minutes=1)
            if 0 <= minutes < 1440:
                utc = when.replace(hour=minutes // 60, minute=minutes % 60, tzinfo=UTC)
                assert utc == when
                assert portable_hash(utc) == portable_hash(when)

    def test_unlike_keys_are_told_apart(self) -> None:
        keys = [
            "a", "b", "", "1", 1, b"1", (1,), ((1,),), ("1",), None, date(2020, 1, 1), datetime(2020, 1, 1),
            time(1), timedelta(1),
            Color.RED, Color.BLUE, Mode.READ, Mode.WRITE, frozenset({1}), frozenset({2}), frozenset({1, 2}),
            range(3), range(4),
            UUID(int=1), UUID(int=2), Key("a", date.min), Key("b", date.min), SubKey("a", date.min),
            Slotted(1),
        ]  # fmt: skip
        hashes = Counter(map(portable_hash, keys))
        alike = [key for key in keys if hashes[portable_hash(key)] > 1]
        assert alike == ["", "1", b"1", None]  # a string is as its bytes, the empty one as None

    def test_strings_and_bytes_as_documented(self) -> None:
        for text in ("", "EPE", "한국어", "😀", "a" * 10_000):
            expected = (crc32(text.encode()) * 0x9E3779B97F4A7C15 >> 32) % 2**32
            assert portable_hash(text) == portable_hash(text.encode()) == expected


PROGRAM = """
from datetime import *
from decimal import Decimal
from enum import Enum, Flag
from uuid import UUID
from dataclasses import dataclass
from penstock.chunk import portable_hash
class Color(Enum): RED = 1
class Side(str, Enum): BUY = "B"
class Mode(Flag): A = 1; B = 2
@dataclass(frozen=True)
class Key: a: str; b: tuple
keys = ["", "EPE", "\\ud800", b"x", 1, 1.5, None, (), ("a", (b"b", None)), float("nan"), Decimal("nan"),
    date(2020, 1, 1), datetime(2020, 1, 1), datetime(2020, 1, 1, tzinfo=timezone.utc), time(1),
    time(1, tzinfo=timezone.utc), timedelta(1), frozenset("abcdefgh"), frozenset([("a", 1), frozenset("xy")]),
    range(3), UUID(int=7), Color.RED, Side.BUY, Mode.A | Mode.B, Key("b", ()),
    Key("a", ("b", Color.RED))]
print([portable_hash(key, strict=True) for key in keys])
"""


class TestProcesses:
    def test_every_process_agrees_whatever_its_seed(self) -> None:
        seen = set()
        for seed in ("0", "1", "4294967295", "random"):
            done = subprocess.run(
                [sys.executable, "-c", PROGRAM],
                env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
                capture_output=True,
                text=True,
                check=True,
            )
            seen.add(done.stdout)
        assert len(seen) == 1

    def test_hashes_do_not_change_from_release_to_release(self) -> None:
        """A checkpoint of one release is read by the next: state is where its key's hash says."""
        keys: dict[Any, int] = {
            "EPE": 4093335649,
            "한국어": 1613966542,
            b"\x00": 219173215,
            (1, "B"): 3428276755577412332,
            date(2016, 3, 22): 3396573009,
            datetime(2016, 3, 22, 20, 25, 28): 3048482093,
            timedelta(seconds=1): 1260703782,
            time(20, 25, 28): 955253266,
            UUID(int=5): 2299616603,
            frozenset({"a", "b"}): 2184240863441603514,
            range(10): 8383556908701027786,
            Color.RED: 944753188758967489,
            Slotted("a"): 3243639945756044520,
        }
        assert {key: portable_hash(key) for key in keys} == keys


class TestOtherClasses:
    @pytest.mark.parametrize(
        ("key", "message"),
        [
            ([1], r"a list cannot be a key; use a tuple"),
            ({1}, r"a set cannot be a key; use a frozenset"),
            ({"a": 1}, r"a dict cannot be a key; use tuple\(sorted\(d.items\(\)\)\)"),
            (bytearray(b"a"), r"a bytearray cannot be a key; use bytes"),
            (np.array([1]), r"a ndarray cannot be a key; use tuple\(a.tolist\(\)\)"),
            (Changeable(1), r"a Changeable cannot be a key; declare the dataclass with frozen=True"),
            ((1, [2]), r"a list cannot be a key; use a tuple \(the key is \[2\]\)"),
            (Slotted([1]), r"a list cannot be a key"),
        ],
        ids=str,
    )
    def test_keys_without_a_hash_are_refused_with_a_way_out(self, key: Any, message: str) -> None:
        for strict in (False, True):
            with pytest.raises(KeyTypeError, match=message):
                portable_hash(key, strict)

    @pytest.mark.parametrize(
        "key",
        [
            OfText("a"),
            ByAddress(),
            CaseBlind("a"),
            OwnEq(1),
            int,
            len,
            np.datetime64("2020-01-01"),
            (1, OfText("a")),
        ],
        ids=lambda key: type(key).__name__,
    )
    def test_hash_that_may_be_salted_is_refused_where_processes_must_agree(self, key: Any) -> None:
        with pytest.raises(KeyTypeError, match="may differ from one process to the next; use a tuple"):
            portable_hash(key, strict=True)
        assert portable_hash(key) == portable_hash(key)

    def test_equality_of_its_own_is_respected_within_a_process(self) -> None:
        assert portable_hash(OfText("a")) == portable_hash(OfText("a"))
        assert portable_hash(CaseBlind("EPE")) == portable_hash(CaseBlind("epe"))

    def test_what_a_hash_raises_is_raised(self) -> None:
        class Failing:
            def __hash__(self) -> int:
                raise ZeroDivisionError

            def __eq__(self, other: object) -> bool:
                return True

        with pytest.raises(ZeroDivisionError):
            portable_hash(Failing())


class TestSpread:
    @pytest.mark.parametrize("partitions", [2, 3, 4, 7, 8, 10, 16, 64])
    @pytest.mark.parametrize(
        "keys",
        [
            [str(i) for i in range(1_000)],
            [f"key-{i}" for i in range(1_000)],
            [f"{i:08d}" for i in range(1_000)],
            [f"2016-{month:02d}-{day:02d}" for month in range(1, 13) for day in range(1, 29)],
            [datetime(2020, 1, 1) + timedelta(minutes=i) for i in range(1_000)],
            [date(2020, 1, 1) + timedelta(weeks=i) for i in range(1_000)],
            [timedelta(seconds=i) for i in range(1_000)],
            [(f"client-{i % 100}", i // 100) for i in range(1_000)],
            [UUID(int=i << 64) for i in range(1_000)],
            [Slotted(i) for i in range(1_000)],
        ],
        ids=lambda keys: repr(keys[0]),
    )
    def test_keys_that_count_up_fill_partitions_evenly(self, keys: list[Any], partitions: int) -> None:
        counts = Counter(portable_hash(key) % partitions for key in keys)
        expected = len(keys) / partitions
        chi_square = sum((counts[p] - expected) ** 2 / expected for p in range(partitions))
        freedom = partitions - 1
        assert chi_square < freedom + 5 * math.sqrt(2 * freedom)
