"""The grammar of dates and times: ISO by default, or any order of two-digit parts and four-digit years.

A format of fixed width says at which place of the text each digit stands. So a column of such texts
is a matrix of bytes, and becomes ISO texts by moving its columns about.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.chunk.leaves import Mask, bools_of
from penstock.formats.kinds import Kind
from penstock.formats.text_column import TextColumn, digits_in

__all__ = ["Dates", "Moments", "WrittenMoments", "format_problem"]

_WIDTHS: Final = {"Y": 4, "m": 2, "d": 2, "H": 2, "M": 2, "S": 2, "f": 6}
_DATE_PLACES: Final = {"Y": 0, "m": 5, "d": 8}
_ISO_PLACES: Final = {**_DATE_PLACES, "H": 11, "M": 14, "S": 17, "f": 20}
_SEPARATORS: Final = {4: "-", 7: "-", 10: " T", 13: ":", 16: ":", 19: "."}
_DATE_WIDTH, _SECOND_WIDTH, _FULL_WIDTH = 10, 19, 26
_FIRST_DAY = date.min.toordinal() - date(1970, 1, 1).toordinal()
_FIRST_MICROSECOND = _FIRST_DAY * 86_400_000_000
_MONTH_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.uint8)

Bytes = npt.NDArray[np.uint8]


class Moments(Kind):
    """``YYYY-MM-DD hh:mm:ss``, or with ``T`` between, and perhaps ``.`` and 1 to 6 digits. No zone."""

    python_type = leaf_type = datetime
    _matched = re.compile(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?"
    ).fullmatch

    def value(self, text: str) -> datetime:
        if not self._matched(text):
            raise ValueError("must be a date and time of day such as 2016-03-22 20:25:28")
        parts = [int(text[at : at + _WIDTHS[letter]]) for letter, at in _ISO_PLACES.items() if letter != "f"]
        year, month, day, hour, minute, second = parts
        micros = int(text[20:].ljust(6, "0")) if len(text) > _SECOND_WIDTH else 0
        try:
            return datetime(year, month, day, hour, minute, second, micros)
        except ValueError:  # in our own words: those of Python differ from one version to the next
            raise ValueError("there is no such day or time of day") from None

    def read(self, column: TextColumn) -> pa.Array | Mask:
        lengths = column.lengths
        if len(lengths) and not lengths.min() == lengths.max() == _SECOND_WIDTH:
            unfit = (lengths < _SECOND_WIDTH) | (lengths == _SECOND_WIDTH + 1) | (lengths > _FULL_WIDTH)
            if column.left_in(unfit).any():
                return column.left_in(~_are_moments(column))
        try:
            array = column.array.cast(pa.timestamp("us"))
        except pa.ArrowInvalid:
            return column.left_in(~_are_moments(column))
        return _since(column, array, np.int64, _FIRST_MICROSECOND)


class Dates(Kind):
    """``YYYY-MM-DD``."""

    python_type = leaf_type = date
    _matched = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch

    def value(self, text: str) -> date:
        if not self._matched(text):
            raise ValueError("must be a date such as 2016-03-22")
        try:
            return date(*(int(text[at : at + _WIDTHS[letter]]) for letter, at in _DATE_PLACES.items()))
        except ValueError:
            raise ValueError("there is no such day") from None

    def read(self, column: TextColumn) -> pa.Array | Mask:
        unfit = column.left_in(column.lengths != _DATE_WIDTH)
        if unfit.any():
            return unfit
        try:
            array = column.array.cast(pa.date32())
        except pa.ArrowInvalid:
            right = np.zeros(len(column), np.bool_)
            held = column.lengths == _DATE_WIDTH
            right[held] = _are_dates(_digits_by_place(_matrix(column, held, _DATE_WIDTH)))
            return column.left_in(~right)
        return _since(column, array, np.int32, _FIRST_DAY)


class WrittenMoments(Kind):
    """Dates or times as a ``strptime`` format has them, with all digits: two, of years four.

    ``%f`` is 1 to 6 digits. What the format leaves out of the time of day is 0.
    """

    def __init__(self, text: str, python_type: type) -> None:
        assert format_problem(text, python_type) is None
        self.text = text
        self.python_type = self.leaf_type = python_type
        pattern, width, literals = "", 0, []
        self._places: dict[str, int] = {}
        for letter, literal in _directives(text):
            if letter:
                pattern += f"(?P<{letter}>[0-9]{{{'1,6' if letter == 'f' else _WIDTHS[letter]}}})"
                self._places[letter] = width
                width += _WIDTHS[letter]
            else:
                pattern += re.escape(literal)
                literals.append((width, literal.encode()))
                width += len(literal.encode())
        self._matched = re.compile(pattern).fullmatch
        self._width, self._literals = width, literals
        self._iso = Moments() if python_type is datetime else Dates()
        self._example = datetime(2016, 3, 22, 20, 25, 28).strftime(text)

    def value(self, text: str) -> Any:
        found = self._matched(text)
        if not found:
            raise ValueError(f"must be written as {self.text!a}, such as {self._example!a}")
        parts = found.groupdict()
        if "f" in parts:
            parts["f"] = parts["f"].ljust(6, "0")
        try:
            numbers = {letter: int(part) for letter, part in parts.items()}
            day = date(numbers["Y"], numbers["m"], numbers["d"])
            if self.python_type is date:
                return day
            hour, minute, second, micros = (numbers.get(letter, 0) for letter in "HMSf")
            return datetime(day.year, day.month, day.day, hour, minute, second, micros)
        except ValueError:
            raise ValueError("there is no such day or time of day") from None

    def read(self, column: TextColumn) -> pa.Array | Mask:
        unfit = column.left_in(column.lengths != self._width)
        if unfit.any():
            return unfit
        held = column.lengths == self._width
        given = _matrix(column, held, self._width)
        right = np.ones(len(given), np.bool_)
        for at, literal in self._literals:
            right &= (given[:, at : at + len(literal)] == np.frombuffer(literal, np.uint8)).all(axis=1)
        if not right.all():
            unfit[held] = ~right
            return unfit
        iso = self._as_iso(given)
        offsets = np.zeros(len(column) + 1, np.int32)
        np.cumsum(held * np.int32(iso.shape[1]), out=offsets[1:])
        array = pa.Array.from_buffers(
            pa.string(), len(column), [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(iso))]
        )
        return self._iso.read(TextColumn(array, column.present is not None))

    def _as_iso(self, given: Bytes) -> Bytes:
        if self.python_type is date:
            width = _DATE_WIDTH
        else:
            width = _FULL_WIDTH if "f" in self._places else _SECOND_WIDTH
        iso = np.full((len(given), width), ord("0"), np.uint8)
        for at, characters in _SEPARATORS.items():
            if at < width:
                iso[:, at] = ord(characters[0])
        for letter, at in self._places.items():
            to = _ISO_PLACES[letter]
            iso[:, to : to + _WIDTHS[letter]] = given[:, at : at + _WIDTHS[letter]]
        return iso


def format_problem(text: str, python_type: type) -> str | None:
    """What is wrong with a format, if anything is."""
    letters = [letter for letter, _ in _directives(text) if letter]
    known = "Ymd" if python_type is date else "YmdHMSf"
    unknown = sorted({letter for letter in letters if letter not in known})
    if unknown:
        return f"%{unknown[0]} is none of {', '.join('%' + each for each in known)}"
    if any(letters.count(letter) > 1 for letter in letters):
        return "a part is there twice"
    missing = [f"%{letter}" for letter in "Ymd" if letter not in letters]
    if missing:
        return f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
    if any('"' in literal or "\n" in literal or "\r" in literal for _, literal in _directives(text)):
        return "it has a quote or a line end in it"
    return None


def _directives(text: str) -> Iterator[tuple[str, str]]:
    """``(letter, "")`` for each ``%letter``, ``("", text)`` for what is between."""
    for found in re.finditer(r"%(.?)|[^%]+", text, re.DOTALL):
        if found[1] is None:
            yield "", found[0]
        elif found[1] == "%":
            yield "", "%"
        else:
            yield found[1] or " ", ""


def _since(column: TextColumn, array: pa.Array, dtype: npt.DTypeLike, first: int) -> pa.Array | Mask:
    """The array, or what in it is of the year 0, which Python does not have."""
    size = np.dtype(dtype).itemsize
    numbers = np.frombuffer(array.buffers()[1], dtype, len(array), array.offset * size)
    if len(numbers) and numbers.min() < first:
        unfit = column.left_in(numbers < first)
        if unfit.any():
            return unfit
    return array


def _matrix(column: TextColumn, held: Mask, width: int) -> Bytes:
    """The first ``width`` bytes of the marked texts, each of which has as many: a row each."""
    if len(column.data) == width * len(column) and held.all():
        return column.data.reshape(len(column), width)
    if (column.lengths[held] == width).all():
        return TextColumn(column.array.filter(bools_of(held)), False).data.reshape(-1, width)
    begins = column.offsets[:-1][held]
    found: Bytes = column.data[begins[:, None] + np.arange(width)]
    return found


def _digits_by_place(texts: Bytes) -> Bytes:
    """A row for each place in the texts, of digits as numbers; what is above 9 is none."""
    found: Bytes = np.ascontiguousarray(texts.T) - np.uint8(ord("0"))
    return found


def _is(digits: Bytes, at: int, characters: str) -> Mask:
    found: Mask = digits[at] == np.uint8((ord(characters[0]) - ord("0")) % 256)
    for other in characters[1:]:
        found |= digits[at] == np.uint8((ord(other) - ord("0")) % 256)
    return found


def _number(digits: Bytes, at: int, right: Mask) -> Bytes:
    """The two-digit numbers at a place; texts that have none there are not ``right``."""
    right &= (digits[at] <= 9) & (digits[at + 1] <= 9)
    number: Bytes = digits[at] * np.uint8(10) + digits[at + 1]
    return number


def _are_dates(digits: Bytes) -> Mask:
    right = _is(digits, 4, "-") & _is(digits, 7, "-")
    century, year, month, day = (_number(digits, at, right) for at in (0, 2, 5, 8))
    right &= (century > 0) | (year > 0)
    right &= (month >= 1) & (month <= 12) & (day >= 1)
    leap = (month == 2) & np.where(year == 0, century % 4 == 0, year % 4 == 0)
    right &= day <= _MONTH_DAYS[np.minimum(month, 12)] + leap
    return right


def _are_moments(column: TextColumn) -> Mask:
    """Which texts are times of the calendar. About 0.03 us each."""
    right = np.zeros(len(column), np.bool_)
    held = (column.lengths >= _SECOND_WIDTH) & (column.lengths != _SECOND_WIDTH + 1)
    held &= column.lengths <= _FULL_WIDTH
    digits = _digits_by_place(_matrix(column, held, _SECOND_WIDTH))
    good = _are_dates(digits)
    good &= _is(digits, 10, " T") & _is(digits, 13, ":") & _is(digits, 16, ":")
    for at, last in ((11, 23), (14, 59), (17, 59)):
        good &= _number(digits, at, good) <= last
    right[held] = good
    longer = right & (column.lengths > _SECOND_WIDTH)
    if longer.any():
        fraction = column.data[column.offsets[:-1][longer] + _SECOND_WIDTH] == ord(".")
        others = np.zeros(len(column.data) + 1, np.int64)
        np.cumsum(~digits_in(column.data), out=others[1:])
        count = others[column.offsets[1:]] - others[column.offsets[:-1]]
        right[longer] = fraction & (count[longer] == len(_SEPARATORS))
    return right
