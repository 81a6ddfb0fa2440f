"""Kernels between texts and other values: ``int("7")``, ``str(0.5)``, ``text.split(",")[2]``, dates as texts.

What Arrow reads is not all that Python reads (``"+5"``, ``" 5"``, ``"1_000"``), and the other way round
(``"0x10"``, ``"nan(1)"``). So Arrow reads columns on which both agree, Python the others.
"""

from __future__ import annotations

import weakref
from datetime import date, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from penstock.chunk import leaves as leaf
from penstock.vectorize.kernels.base import Column, Refused, arrow_of, call, kernel, numbers_of, scalar_of
from penstock.vectorize.kernels.rowwise import entered, rowwise
from penstock.vectorize.kernels.texts import bytes_in, bytes_lengths, is_ascii, offsets_of, present_in

__all__: list[str] = []

_TO_INT = pc.CastOptions.safe(pa.int64())
_TO_FLOAT = pc.CastOptions.safe(pa.float64())
_TO_TEXT = pc.CastOptions.safe(pa.string())
_TO_TIME = pc.CastOptions.safe(pa.timestamp("us"))
_TO_DATE = pc.CastOptions.safe(pa.date32())
_JOINED = pc.JoinOptions()
_NOTHING = scalar_of(str, "")


# ------------------------------------------------------------------------------ reading numbers


@kernel("int", (str,), int, int)
def _int_of_text(a: Column) -> Column:
    data = bytes_in(a)
    if b"x" not in data and b"X" not in data:  # Arrow takes 0x1F, Python does not
        try:
            return call("cast", a, options=_TO_INT)
        except pa.ArrowInvalid:
            pass  # either it is no number, or spelled as only Python knows
    return rowwise(int, (str,), int, (a,))


@kernel("float", (str,), float, float)
def _float_of_text(a: Column) -> Column:
    if b"(" not in bytes_in(a):  # Arrow takes nan(1), Python does not
        try:
            return call("cast", a, options=_TO_FLOAT)
        except pa.ArrowInvalid:
            pass
    return rowwise(float, (str,), float, (a,))


# ------------------------------------------------------------------------------ writing


def _text_of_int(a: Column) -> Column:
    return call("cast", a, options=_TO_TEXT)


def _text_of_bool(a: Column) -> Column:
    return call("if_else", a, scalar_of(str, "True"), scalar_of(str, "False"))


def _text_of_float(a: Column) -> Column:
    """Arrow's shortest digits are Python's; it leaves out ``.0``, and has other bounds for exponents."""
    values = numbers_of(a, float)
    sizes = np.abs(values)
    if not np.all(((sizes >= 1e-4) & (sizes < 1e10)) | (sizes == 0)):
        return rowwise(repr, (float,), str, (a,))
    text = call("cast", a, options=_TO_TEXT)
    whole = np.rint(values) == values
    if not np.any(whole):
        return text
    ends = call("if_else", leaf.bools_of(whole), scalar_of(str, ".0"), _NOTHING)
    return call("binary_join_element_wise", text, ends, _NOTHING, options=_JOINED)


def _text_of_date(a: Column) -> Column:
    return call("cast", a, options=_TO_TEXT)


def _text_of_datetime(a: Column) -> Column:
    """Microseconds are written where there are any."""
    text = call("cast", a, options=_TO_TEXT)
    whole = np.remainder(numbers_of(a, datetime), 1_000_000) == 0
    if not np.any(whole):
        return text
    short = call("utf8_slice_codeunits", text, options=pc.SliceOptions(0, 19))
    return call("if_else", leaf.bools_of(whole), short, text)


def _iso_of_datetime(a: Column) -> Column:
    return call(
        "replace_substring",
        _text_of_datetime(a),
        options=pc.ReplaceSubstringOptions(" ", "T", max_replacements=1),
    )


for _kind, _run in ((int, _text_of_int), (bool, _text_of_bool), (float, _text_of_float)):
    kernel("str", (_kind,), str, str, total=True)(_run)
    kernel("repr", (_kind,), str, repr, total=True)(_run)
kernel("str", (str,), str, str, total=True)(lambda a: a)
kernel("str", (date,), str, str, total=True)(_text_of_date)
kernel("str", (datetime,), str, str, total=True)(_text_of_datetime)
kernel("isoformat", (date,), str, date.isoformat, total=True)(_text_of_date)
kernel("isoformat", (datetime,), str, datetime.isoformat, total=True)(_iso_of_datetime)
entered("repr", (str,), str, repr, total=True)

entered("format", (int,), str, format, [("",), ("05d",), (",",), ("x",), (">8",), (".2f",), ("q",)])
entered("format", (float,), str, format, [("",), (".2f",), ("8.3f",), (",.1f",), ("e",), ("d",)])
entered("format", (str,), str, format, [("",), (">8",), ("^5s",), (".1",), ("d",)])
_TIME_FORMATS = [("%Y-%m-%d",), ("%H:%M",), ("%d.%m.%Y %j",)]
entered("strftime", (datetime,), str, datetime.strftime, _TIME_FORMATS)
entered("strftime", (date,), str, date.strftime, _TIME_FORMATS)


# ------------------------------------------------------------------------------ characters and numbers


@kernel("ord", (str,), int, ord)
def _ordinal(a: Column) -> Column:
    if a.null_count or not is_ascii(a):
        return rowwise(ord, (str,), int, (a,))
    if not np.all(bytes_lengths(a) == 1):
        raise Refused("TypeError: ord() expected a character")
    return arrow_of(np.frombuffer(bytes_in(a), np.uint8).astype(np.int64), int)


entered("chr", (int,), str, chr)


# ------------------------------------------------------------------------------ reading times


def _shaped(a: Column, length: int, marks: dict[int, bytes]) -> bool:
    """Whether each text has that many bytes and one of these at these places. (Under nulls: false.)"""
    if a.null_count or not len(a) or not np.all(bytes_lengths(a) == length):
        return False
    table = np.frombuffer(bytes_in(a), np.uint8).reshape(len(a), length)
    return all(
        bool(np.all(np.isin(table[:, place], np.frombuffer(found, np.uint8)) if len(found) > 1 else
                    table[:, place] == found[0]))
        for place, found in marks.items()
    )  # fmt: skip


_DAY = {4: b"-", 7: b"-"}
_CLOCK = {**_DAY, 10: b" ", 13: b":", 16: b":"}
_ISO_CLOCK = {**_CLOCK, 10: b" T"}
_YEAR_ONE = -719_162


def _read_time(a: Column, marks: dict[int, bytes]) -> Column | None:
    """Times of exactly the shape ``2016-03-22 20:25:28``, or ``None`` if there are others."""
    if _shaped(a, 19, marks):
        try:
            found = call("cast", a, options=_TO_TIME)
        except pa.ArrowInvalid:
            return None
        if np.min(numbers_of(found, datetime)) >= _YEAR_ONE * 86_400_000_000:  # Arrow knows the year 0
            return found
    return None


def _read_date(a: Column) -> Column | None:
    if _shaped(a, 10, _DAY):
        try:
            found = call("cast", a, options=_TO_DATE)
        except pa.ArrowInvalid:
            return None
        if np.min(numbers_of(found, date)) >= _YEAR_ONE:
            return found
    return None


@kernel(
    "datetime.strptime", (str,), datetime, datetime.strptime,
    parameters=[("%Y-%m-%d %H:%M:%S",), ("%Y-%m-%d",), ("%d.%m.%Y %H:%M",), ("%Y-%m-%d %H:%M:%S%z",)],
)  # fmt: skip
def _parsed(a: Column, form: str) -> Column:
    found = _read_time(a, _CLOCK) if form == "%Y-%m-%d %H:%M:%S" else None
    return rowwise(_naive_strptime, (str,), datetime, (a,), (form,)) if found is None else found


@kernel("datetime.fromisoformat", (str,), datetime, datetime.fromisoformat)
def _datetime_of_iso(a: Column) -> Column:
    found = _read_time(a, _ISO_CLOCK)
    return rowwise(_naive_from_iso, (str,), datetime, (a,)) if found is None else found


@kernel("date.fromisoformat", (str,), date, date.fromisoformat)
def _date_of_iso(a: Column) -> Column:
    found = _read_date(a)
    return rowwise(date.fromisoformat, (str,), date, (a,)) if found is None else found


def _naive_strptime(text: str, form: str) -> datetime:
    return _naive(datetime.strptime(text, form))


def _naive_from_iso(text: str) -> datetime:
    return _naive(datetime.fromisoformat(text))


def _naive(found: datetime) -> datetime:
    if found.tzinfo is not None:
        raise Refused("a datetime with a time zone")
    return found


# ------------------------------------------------------------------------------ split


def _split_item(text: str, sep: str | None, maxsplit: int, index: int) -> str:
    return text.split(sep, maxsplit)[index]


def _split_count(text: str, sep: str | None, maxsplit: int) -> int:
    return len(text.split(sep, maxsplit))


_WAYS = [(",", -1), ("-", 1), ("ab", -1), ("ß", -1), (",", 0), (None, -1), (None, 1), ("aa", 2)]


@kernel(
    "split_item",
    (str,),
    str,
    _split_item,
    parameters=[(*way, at) for way in _WAYS for at in (0, 1, -1, -2, 5)],
)
def _part(a: Column, sep: str | None, maxsplit: int, index: int) -> Column:
    if sep is None or not -(2**31) < maxsplit < 2**31:
        return rowwise(_split_item, (str,), str, (a,), (sep, maxsplit, index))
    starts, texts = _split(a, sep, maxsplit)
    counts = np.diff(starts)
    present = present_in(a)
    if not np.all((counts > index if index >= 0 else counts >= -index) | np.logical_not(present)):
        raise Refused("IndexError: list index out of range")
    places = (starts[:-1] if index >= 0 else starts[1:]) + index
    if present is not True:
        places = np.where(present, places, 0)
    return texts.take(arrow_of(places, int, a))


@kernel("split_count", (str,), int, _split_count, total=True, parameters=_WAYS)
def _parts_in(a: Column, sep: str | None, maxsplit: int) -> Column:
    if sep is None or not -(2**31) < maxsplit < 2**31:
        return rowwise(_split_count, (str,), int, (a,), (sep, maxsplit))
    return arrow_of(np.diff(_split(a, sep, maxsplit)[0]), int, a)


_Parts = tuple[npt.NDArray[np.int64], pa.Array]
_last: list[tuple[Any, str, int, _Parts]] = []
"""The column that was split last, by weak reference: a function mostly takes several items of one split."""


def _split(a: pa.Array, sep: str, maxsplit: int) -> _Parts:
    """Where the parts of each row begin, and the parts of all rows."""
    for column, *how, parts in tuple(_last):
        if column() is a and how == [sep, maxsplit]:
            return parts
    parts = (
        _split_at_byte(a, sep)
        if len(sep.encode()) == 1 and maxsplit < 0
        else _split_by_arrow(a, sep, maxsplit)
    )
    _last[:] = [(weakref.ref(a, _forget), sep, maxsplit, parts)]
    return parts


def _forget(column: Any) -> None:
    if any(entry[0] is column for entry in tuple(_last)):
        _last.clear()


def _split_by_arrow(a: pa.Array, sep: str, maxsplit: int) -> _Parts:
    most = None if maxsplit < 0 else maxsplit
    if most == 0:
        return np.arange(len(a) + 1), a
    lists = call("split_pattern", a, options=pc.SplitPatternOptions(sep, max_splits=most))
    starts = np.zeros(len(a) + 1, np.int64)
    counts = leaf._read(call("list_value_length", lists), np.int32)
    np.cumsum(np.where(present_in(lists), counts, 0), out=starts[1:])
    return starts, lists.flatten()


def _split_at_byte(a: pa.Array, sep: str) -> _Parts:
    """Drops the separators out of the bytes, and counts the parts' ends anew; no byte of another
    character is a byte below 128."""
    data = np.frombuffer(bytes_in(a), np.uint8)
    ends = offsets_of(a).astype(np.int64)
    ends -= ends[0]
    marks = data == ord(sep)
    places = np.flatnonzero(marks)
    before = np.searchsorted(places, ends)  # separators before the end of each row
    rows = np.arange(len(a) + 1)
    starts = before + rows
    offsets = np.zeros(len(places) + len(a) + 1, np.int32)
    inner = np.arange(len(places))
    offsets[inner + np.repeat(rows[:-1], np.diff(before)) + 1] = places - inner
    offsets[starts[1:]] = ends[1:] - before[1:]
    kept = np.ascontiguousarray(data[~marks])
    return starts, pa.Array.from_buffers(
        pa.string(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(kept)]
    )
