"""Values at which Arrow, numpy and Python are known, or likely, to differ."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from penstock.vectorize.kernels.texts import WHITESPACE

INTS = [
    0, 1, -1, 2, -2, 3, -3, 7, -7, 10, 48, 97, 100, 1000, -86_400, 55_296, 2**31, -(2**31), 2**53, 2**53 + 1,
    -(2**53) - 1, 2**62, -(2**62), 2**63 - 1, -(2**63), -(2**63) + 1,
]  # fmt: skip

FLOATS = [
    0.0, -0.0, 1.0, -1.0, 3.0, -3.0, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 0.1, 0.3, -0.03, 2.675, 0.285,
    1.005, 51.1,
    1.7, 1.1, 3.3000000000000003, 1e-4, 9.9e-5, 1e-5, 1e-7, 1e9, 9999999999.5, 1e10, 123456789.125, 1e15,
    1e16,
    1e22, 1e300, -1e300, 5e-324, 2.2250738585072014e-308, 2.0**53, 2.0**63, -(2.0**63), math.pi,
    math.inf, -math.inf, math.nan, *struct.unpack("<d", b"\x01\0\0\0\0\0\xf0\x7f"),  # one that signals
    1.3407807929942596e154, 2.1618871708082317, 0.8603814611461131,
    2.2122401825484337, 7.0, -7.0,
]  # fmt: skip

TEXTS = [
    "", "a", "A", "z", "aa", "aaa", "ab", "AB", "aB", "Ab", "abc", "hello world", "they're 3rd-Rate_x",
    "1st", "a1B",
    "x", "-", "+", "a,b,c", ",", ",,", "a-b", "-ab-", "abab", "\0", "a\0b", "~", "{", "\x7f",
    "ß", "aßa", "ßß", "İ", "ı", "ﬀ", "ŉ", "ς", "Σ", "ΑΣ", "ǆ", "ǅ", "e\u0301", "é", "한국어", "日本",
    "😀", "a😀b", "👨‍👩‍👧",
    "\u200b", "\ufeff", "\u00ad", "\u180e", "ª", "²", "½", "Ⅷ", "一", "٣", "३", "１２",
    " ", "  a  ", " a", "a ", "\ta\n", "a b", "a  b ", "\x1ca\x1f", "\x85a", *WHITESPACE, WHITESPACE,
    "0", "1", "7", "007", "-0", "-7", "+7", " 7", "7 ", "7\n", "\x1c7", "1_000", "1__0", "_1", "0x10",
    "0X1F", "-0x1",
    "0b1", "0o7", "1.0", "1.", ".5", ".", "1e5", "1E5", "1e", "1e400", "-1e400", "1e-400", "5e-324",
    "2e-324", "nan",
    "NaN", "-nan", "inf", "-Infinity", "infinit", "nan(1)", "nan()", "0x1p3", "1d5", "1f", "1,5", "--1",
    "NA", "null",
    "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
    "1" * 30, "true",
    "0.1", "0.30000000000000004", "2.675", "179769313486231580793728971405301e276", "0." + "3" * 40,
    "2016-03-22 20:25:28", "2016-03-22T20:25:28", "2016-02-30 00:00:00", "2016-02-29 00:00:00",
    "0000-01-01 00:00:00",
    "0001-01-01 00:00:00", "9999-12-31 23:59:59", "2016-03-22 24:00:00", "2016-03-22 20:25:60",
    "2016-3-22 20:25:28",
    "2016-03-22 20:25+00", "2016-03-22 20:25:28Z", "2016-03-22 20:25:28+0100", "2016-03-22", "20160322",
    "2016-W12-2",
    "2016-02-30", "0000-01-01", "0001-01-01", "22.03.2016 20:25", "2016-03-22 20:25:28.5",
    "1969-12-31 23:59:59",
    "2016-03-22 20:25:28.123456", "2016-03-22  20:25:28", "+016-03-22 20:25:28", "２016-03-22 20:2",
]  # fmt: skip

FEW_TEXTS = [
    "", "a", "A", "aa", "ab", "b", "ß", "aß", "é", "e\u0301", "한", "日本", "😀", "\uffff", "\U00010000",
    "\0", "a\0", " ", "0",
    "aab", "~", "\x7f", "\x80",
]  # fmt: skip
"""For kernels of two texts, where all pairs are tried."""

BYTES = [b"", b"\0", b"a", b"a\0", b"ab", b"b", b"\x7f", b"\x80", b"\xff", "ß".encode()]

DATETIMES = [
    datetime.min, datetime.max, datetime(1, 1, 1, 0, 0, 0, 1), datetime(9999, 12, 31), datetime(1970, 1, 1),
    datetime(1969, 12, 31, 23, 59, 59, 999_999), datetime(1969, 12, 31), datetime(1900, 2, 28, 12),
    datetime(1900, 3, 1),
    datetime(2000, 2, 29, 23, 59, 59), datetime(2016, 3, 22, 20, 25, 28), datetime(2016, 3, 22, 20, 25,
    28, 500),
    datetime(2016, 3, 31, 0, 0, 0, 999_000), datetime(2024, 2, 29), datetime(2023, 12, 31, 23),
    datetime(999, 9, 9),
    datetime(1582, 10, 10), datetime(2262, 4, 12), datetime(1677, 9, 21, 1, 2, 3, 4),
]  # fmt: skip

DATES = [moment.date() for moment in DATETIMES]

TIMEDELTAS = [
    timedelta(0), timedelta(microseconds=1), timedelta(microseconds=-1), timedelta(seconds=1),
    timedelta(seconds=-1),
    timedelta(days=1), timedelta(days=-1), timedelta(hours=25), timedelta(hours=-25),
    timedelta(microseconds=86_399_999_999),
    timedelta(microseconds=-86_400_000_001), timedelta(days=365), timedelta(days=3_652_058),
    timedelta(days=-3_652_058),
    timedelta(microseconds=2**53), timedelta(microseconds=2**53 + 1), timedelta(microseconds=-(2**53) - 1),
    timedelta(microseconds=2**62 + 1), timedelta(microseconds=2**63 - 1), timedelta(microseconds=-(2**63)),
    timedelta(seconds=3, microseconds=100_001), timedelta(microseconds=-999_999),
]  # fmt: skip

EDGES: Mapping[type, Sequence[Any]] = {
    int: INTS,
    float: FLOATS,
    bool: [True, False],
    str: TEXTS,
    bytes: BYTES,
    datetime: DATETIMES,
    date: DATES,
    timedelta: TIMEDELTAS,
}


def edges_of(takes: Sequence[type]) -> list[Sequence[Any]]:
    """The values to try for each operand."""
    if tuple(takes) == (str, int):  # 2**31 times a text is no question of meaning, but of memory
        return [FEW_TEXTS, [number for number in INTS if number != 2**31]]
    return [FEW_TEXTS if kind is str and len(takes) > 1 else EDGES[kind] for kind in takes]
