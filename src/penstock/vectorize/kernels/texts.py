"""Kernels on texts and bytes.

Arrow and Python agree on the meaning of a character (a code point) and on their order. They do not agree on
letters, digits and blanks outside ASCII, for which there are other tables in each version of either: such
columns go through Python's own function (:mod:`rowwise`), as does what Arrow has no function for.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from penstock.chunk import leaves as leaf
from penstock.vectorize.kernels.base import Column, Refused, arrow_of, call, kernel, numbers_of, scalar_of
from penstock.vectorize.kernels.numbers import COMPARISONS
from penstock.vectorize.kernels.rowwise import entered, rowwise

__all__ = ["WHITESPACE", "bytes_in", "bytes_lengths", "is_ascii", "offsets_of", "present_in"]

WHITESPACE = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008"
    "\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
"""What ``str.strip`` removes and ``str.isspace`` means."""

_LARGEST = 2**28
"""Bytes. A column of texts that would become larger than this is refused."""

_TO_INT = pc.CastOptions.safe(pa.int64())
_JOINED = pc.JoinOptions()
_NOTHING = scalar_of(str, "")


# ------------------------------------------------------------------------------ what texts are made of


def offsets_of(array: pa.Array) -> npt.NDArray[np.int32]:
    """Where each text begins, in bytes, and where the last one ends."""
    if not len(array):
        return np.zeros(1, np.int32)
    return np.frombuffer(array.buffers()[1], np.int32, len(array) + 1, array.offset * 4)


def bytes_in(array: pa.Array) -> bytes:
    """All texts one after the other in UTF-8, and whatever stands under nulls."""
    offsets = offsets_of(array)
    start, stop = int(offsets[0]), int(offsets[-1])
    if start == stop:
        return b""
    return array.buffers()[2].slice(start, stop - start).to_pybytes()  # type: ignore[no-any-return]


def is_ascii(array: pa.Array) -> bool:
    """Whether all texts are ASCII. May be false because of what stands under nulls."""
    return bytes_in(array).isascii()


def bytes_lengths(array: pa.Array) -> npt.NDArray[np.int64]:
    """How many bytes each text has; under nulls anything."""
    return np.diff(offsets_of(array)).astype(np.int64)


def present_in(array: pa.Array) -> Any:
    """Which rows are not null, as a mask, or ``True`` for all."""
    return leaf.numpy_of(bool, array.is_valid()) if array.null_count else True


def _no_larger(size: Any) -> None:
    if size > _LARGEST:
        raise Refused("texts too large for one column")


def _as_int(column: Column) -> Column:
    return call("cast", column, options=_TO_INT)


# ------------------------------------------------------------------------------ as values

for _kind in (str, bytes):
    for _name, (_arrow, _python) in COMPARISONS.items():
        kernel(_name, (_kind, _kind), bool, _python, total=True)(lambda a, b, name=_arrow: call(name, a, b))
    kernel("truth", (_kind,), bool, bool, total=True)(lambda a: arrow_of(bytes_lengths(a) > 0, bool, a))


@kernel("len", (str,), int, len, total=True)
def _length(a: Column) -> Column:
    if isinstance(a, pa.Array) and is_ascii(a):
        return arrow_of(bytes_lengths(a), int, a)
    return _as_int(call("utf8_length", a))


kernel("len", (bytes,), int, len, total=True)(lambda a: arrow_of(bytes_lengths(a), int, a))


@kernel("add", (str, str), str, operator.add, total=True)
def _joined(a: Column, b: Column) -> Column:
    return call("binary_join_element_wise", a, b, _NOTHING, options=_JOINED)


@kernel("repeat", (str,), str, operator.mul, parameters=[(0,), (1,), (3,), (-2,), (True,)])
def _repeated(a: Column, times: int) -> Column:
    times = max(int(times), 0)
    _no_larger(len(bytes_in(a)) * times)
    return call("binary_repeat", a, scalar_of(int, min(times, _LARGEST)))


@kernel("repeat", (str, int), str, operator.mul)
def _repeated_each(a: Column, times: Column) -> Column:
    counts = np.maximum(numbers_of(times, int), 0) * _present_of(a, times)
    sizes = bytes_lengths(a) if isinstance(a, pa.Array) else len((a.as_py() or "").encode())
    _no_larger(np.sum(sizes * counts.astype(np.float64)))
    counts = np.where(sizes, counts, 0)  # of the empty text there may be any number
    if isinstance(a, pa.Scalar):
        a = call("if_else", leaf.bools_of(np.ones(len(counts), np.bool_)), a, a)
    return call("binary_repeat", a, arrow_of(np.broadcast_to(counts, len(a)), int, times))


def _present_of(*columns: Column) -> Any:
    """Which rows have no null in any of the columns, as a mask, or ``True`` for all."""
    present: Any = True
    for column in columns:
        if isinstance(column, pa.Array):
            present = present & present_in(column)
    return present


# ------------------------------------------------------------------------------ letters and digits


def _where_ascii(name: str, gives: type, python: Callable[..., Any], arrow: str) -> None:
    def run(a: Column) -> Column:
        return call(arrow, a) if is_ascii(a) else rowwise(python, (str,), gives, (a,))

    kernel(name, (str,), gives, python, total=True)(run)


_where_ascii("str.upper", str, str.upper, "ascii_upper")
_where_ascii("str.lower", str, str.lower, "ascii_lower")
_where_ascii("str.casefold", str, str.casefold, "ascii_lower")
_where_ascii("str.title", str, str.title, "ascii_title")
_where_ascii("str.capitalize", str, str.capitalize, "ascii_capitalize")
_where_ascii("str.swapcase", str, str.swapcase, "ascii_swapcase")
_where_ascii("str.isdigit", bool, str.isdigit, "ascii_is_decimal")
_where_ascii("str.isdecimal", bool, str.isdecimal, "ascii_is_decimal")
_where_ascii("str.isnumeric", bool, str.isnumeric, "ascii_is_decimal")
_where_ascii("str.isalpha", bool, str.isalpha, "ascii_is_alpha")
_where_ascii("str.isalnum", bool, str.isalnum, "ascii_is_alnum")
_where_ascii("str.islower", bool, str.islower, "ascii_is_lower")
_where_ascii("str.isupper", bool, str.isupper, "ascii_is_upper")
_where_ascii("str.istitle", bool, str.istitle, "ascii_is_title")
_where_ascii("str.isprintable", bool, str.isprintable, "ascii_is_printable")


@kernel("str.isascii", (str,), bool, str.isascii, total=True)
def _is_ascii(a: Column) -> Column:
    if isinstance(a, pa.Array) and is_ascii(a):
        return arrow_of(np.ones(len(a), np.bool_), bool, a)
    return call("string_is_ascii", a)


entered("str.isidentifier", (str,), bool, str.isidentifier, total=True)


# ------------------------------------------------------------------------------ ends

_BLANKS = pc.TrimOptions(WHITESPACE)
_CHARACTERS = [(" ",), ("",), ("xa",), ("ß0-",)]

for _name, _arrow, _strip in (
    ("str.strip", "utf8_trim", str.strip),
    ("str.lstrip", "utf8_ltrim", str.lstrip),
    ("str.rstrip", "utf8_rtrim", str.rstrip),
):
    kernel(_name, (str,), str, _strip, total=True)(lambda a, name=_arrow: call(name, a, options=_BLANKS))
    kernel(f"{_name}_of", (str,), str, _strip, total=True, parameters=_CHARACTERS)(
        lambda a, characters, name=_arrow: call(name, a, options=pc.TrimOptions(characters))
    )


@kernel("str.isspace", (str,), bool, str.isspace, total=True)
def _is_space(a: Column) -> Column:
    left = bytes_lengths(call("utf8_ltrim", a, options=_BLANKS))
    return arrow_of((left == 0) & (bytes_lengths(a) > 0), bool, a)


def _any_of(arrow: str) -> Callable[..., Column]:
    def run(a: Column, given: str | tuple[str, ...]) -> Column:
        if isinstance(given, str):
            return call(arrow, a, options=pc.MatchSubstringOptions(given))
        found = arrow_of(np.zeros(len(a), np.bool_), bool, a)
        for each in given:
            found = call("or", found, call(arrow, a, options=pc.MatchSubstringOptions(each)))
        return found

    return run


_ENDS = [("",), ("a",), ("ab",), ("ß",), ("0",), (" ",), (("a", "ß", "x"),), ((),)]
kernel("str.startswith", (str,), bool, str.startswith, total=True, parameters=_ENDS)(_any_of("starts_with"))
kernel("str.endswith", (str,), bool, str.endswith, total=True, parameters=_ENDS)(_any_of("ends_with"))
entered("str.startswith", (str, str), bool, str.startswith, total=True)
entered("str.endswith", (str, str), bool, str.endswith, total=True)

_PIECES = [("",), ("a",), ("ab",), ("ß",), ("0",), (" ",), ("aa",)]


@kernel("str.removeprefix", (str,), str, str.removeprefix, total=True, parameters=_PIECES)
def _without_prefix(a: Column, prefix: str) -> Column:
    there = call("starts_with", a, options=pc.MatchSubstringOptions(prefix))
    return call("if_else", there, call("utf8_slice_codeunits", a, options=pc.SliceOptions(len(prefix))), a)


@kernel("str.removesuffix", (str,), str, str.removesuffix, total=True, parameters=_PIECES)
def _without_suffix(a: Column, suffix: str) -> Column:
    if not suffix:
        return a
    there = call("ends_with", a, options=pc.MatchSubstringOptions(suffix))
    rest = call("utf8_slice_codeunits", a, options=pc.SliceOptions(0, -len(suffix)))
    return call("if_else", there, rest, a)


def _filled(name: str, python: Callable[..., str], run: Callable[..., Column]) -> None:
    def guarded(a: Column, width: int, filler: str = " ") -> Column:
        if len(filler) != 1:
            raise Refused("the fill character must be one character")
        if isinstance(width, bool) or width < 0:
            return a if width < 0 else rowwise(python, (str,), str, (a,), (width, filler))
        _no_larger(width * len(a) * 4)
        return run(a, width, filler)

    kernel(name, (str,), str, python, parameters=_WIDTHS)(guarded)


_WIDTHS = [(0,), (-1,), (1,), (3,), (6,), (7,), (6, "0"), (7, "ß"), (7, "xx"), (True,)]
_filled(
    "str.rjust",
    str.rjust,
    lambda a, width, filler: call("utf8_lpad", a, options=pc.PadOptions(width, filler)),
)
_filled(
    "str.ljust",
    str.ljust,
    lambda a, width, filler: call("utf8_rpad", a, options=pc.PadOptions(width, filler)),
)
_filled(  # where the padding is odd, Python gives the odd one to the left if the width is odd too
    "str.center",
    str.center,
    lambda a, width, filler: call("utf8_center", a, options=pc.PadOptions(width, filler, width % 2 == 0)),
)


@kernel("str.zfill", (str,), str, str.zfill, parameters=[(0,), (-1,), (1,), (3,), (7,)])
def _zero_filled(a: Column, width: int) -> Column:
    width = max(width, 0)
    _no_larger(width * len(a) * 4)
    data = bytes_in(a)
    if b"-" in data or b"+" in data:  # zeros go behind a sign
        return rowwise(str.zfill, (str,), str, (a,), (width,))
    return call("utf8_lpad", a, options=pc.PadOptions(width, "0"))


# ------------------------------------------------------------------------------ searching


kernel(
    "contains",
    (str,),
    bool,
    operator.contains,
    total=True,
    parameters=[("",), ("a",), ("aa",), ("ß",), ("\0",)],
)(lambda a, needle: _with_needle(a, needle))


def _with_needle(a: Column, needle: str) -> Column:
    """What is not in all texts one after the other is in none of them."""
    if isinstance(a, pa.Array) and needle and needle.encode() not in bytes_in(a):
        return arrow_of(np.zeros(len(a), np.bool_), bool, a)
    return call("match_substring", a, options=pc.MatchSubstringOptions(needle))


@kernel("contains", (str, str), bool, operator.contains, total=True)
def _contains(a: Column, needles: Column) -> Column:
    if isinstance(needles, pa.Scalar) and needles.is_valid:
        return _with_needle(a, needles.as_py())
    return rowwise(operator.contains, (str, str), bool, (a, needles))


_NEEDLES = [("",), ("a",), ("aa",), ("b",), ("ß",), (" ",)]


def _found_at(a: Column, needle: str) -> Column:
    """Arrow counts in bytes."""
    if not needle or not is_ascii(a):
        return rowwise(str.find, (str,), int, (a,), (needle,))
    return _as_int(call("find_substring", a, options=pc.MatchSubstringOptions(needle)))


kernel("str.find", (str,), int, str.find, total=True, parameters=_NEEDLES)(_found_at)
entered("str.rfind", (str,), int, str.rfind, _NEEDLES, total=True)
entered("str.rindex", (str,), int, str.rindex, _NEEDLES)


@kernel("str.index", (str,), int, str.index, parameters=_NEEDLES)
def _index(a: Column, needle: str) -> Column:
    places = _found_at(a, needle)
    if np.any(numbers_of(places, int) < 0):
        raise Refused("ValueError: substring not found")
    return places


@kernel("str.count", (str,), int, str.count, total=True, parameters=_NEEDLES)
def _count(a: Column, needle: str) -> Column:
    if not needle:
        return rowwise(str.count, (str,), int, (a,), (needle,))
    return _as_int(call("count_substring", a, options=pc.MatchSubstringOptions(needle)))


@kernel(
    "str.replace", (str,), str, str.replace, total=True,
    parameters=[("a", "xy"), ("ß", ""), ("aa", "a"), ("", "-"), ("a", "b", 1), ("a", "", 0), ("a", "b", -1)],
)  # fmt: skip
def _replaced(a: Column, old: str, new: str, count: int = -1) -> Column:
    if not old or count >= 2**31:  # Arrow's function of the empty text does not end
        return rowwise(str.replace, (str,), str, (a,), (old, new, count))
    if count == 0:
        return a
    most = None if count < 0 else int(count)
    return call("replace_substring", a, options=pc.ReplaceSubstringOptions(old, new, max_replacements=most))


# ------------------------------------------------------------------------------ parts


@kernel("item", (str,), str, operator.getitem, parameters=[(0,), (1,), (-1,), (-2,), (4,), (2**40,)])
def _item(a: Column, index: int) -> Column:
    index = int(index)
    if abs(index) >= 2**31:
        raise Refused("IndexError: string index out of range")
    stop = None if index == -1 else index + 1
    found = call("utf8_slice_codeunits", a, options=pc.SliceOptions(index, stop))
    if np.any((bytes_lengths(found) == 0) & present_in(found)):
        raise Refused("IndexError: string index out of range")
    if index < -1:  # of a text that is too short Arrow gives the first character
        lengths = numbers_of(_as_int(call("utf8_length", a)), int, under_nulls=-index)
        if np.any(lengths < -index):
            raise Refused("IndexError: string index out of range")
    return found


entered("item", (str, int), str, operator.getitem)


def _python_slice(text: str, start: int | None, stop: int | None, step: int | None) -> str:
    return text[start:stop:step]


_BOUNDS = (None, 0, 1, 3, -1, -2, 9, -9)
_SLICES = [(a, b, c) for a in _BOUNDS for b in _BOUNDS for c in (None, 1, 2, -1, -2)]


@kernel("slice", (str,), str, _python_slice, total=True, parameters=_SLICES)
def _sliced(a: Column, start: int | None, stop: int | None, step: int | None) -> Column:
    if start is None and stop is None and step == -1:
        return call("utf8_reverse", a)
    if (step is not None and step < 1) or max(abs(start or 0), abs(stop or 0), step or 1) >= 2**31:
        return rowwise(_python_slice, (str,), str, (a,), (start, stop, step))
    return call("utf8_slice_codeunits", a, options=pc.SliceOptions(start or 0, stop, step or 1))
