"""The grammar of a field by the class of its value: how one text is read, and how a column of texts is.

Both read the same texts as the same values. ``read`` takes what it can prove, and names the rest, which
are then read one by one; so a column reader may doubt too much, but never accept too much.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pyarrow as pa

from penstock.chunk.leaves import Mask, array_of, numpy_of, packed, values_of_array
from penstock.formats.text_column import TextColumn, digits_in
from penstock.vectorize.kernels import call, options_of

__all__ = ["Choice", "Decimals", "Floats", "Kind", "Texts", "WholeNumbers"]

_MINUS, _PLUS, _POINT = 45, 43, 46
_FEW = 16  # one text in so many, or less: so few may be read one by one
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
_NUMBER = r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"


class Kind(ABC):
    """How the texts of one field become values of ``python_type``.

    ``leaf_type`` is what a column of them holds, ``None`` where there is none of exactly these values.
    """

    python_type: type
    leaf_type: type | None

    @abstractmethod
    def value(self, text: str) -> Any:
        """The value of a text. Raises: ``ValueError`` with the rule that the text breaks, in ASCII."""

    @abstractmethod
    def read(self, column: TextColumn) -> pa.Array | Mask:
        """All values (null where ``column.present`` is false), or else which texts are in doubt.

        Without these texts, a second call gives the values.
        """

    def array_of(self, values: Sequence[Any]) -> pa.Array:
        """An array such as :meth:`read` gives, of values that :meth:`value` gave, or ``None``."""
        return array_of(self.python_type, values, optional=True)

    def values_of(self, array: pa.Array) -> list[Any]:
        """The values of an array that :meth:`read` gave."""
        return values_of_array(self.python_type, array)


class Texts(Kind):
    """Any text."""

    python_type = leaf_type = str

    def value(self, text: str) -> str:
        return text

    def read(self, column: TextColumn) -> pa.Array | Mask:
        return column.array


class WholeNumbers(Kind):
    """``-?[0-9]+`` of 64 bits."""

    python_type = leaf_type = int
    _matched = re.compile("-?[0-9]+").fullmatch

    def value(self, text: str) -> int:
        if not self._matched(text):
            raise ValueError("must be a whole number, such as 710 or -5")
        if len(text) < 19:
            return int(text)
        digits = text.lstrip("-").lstrip("0")
        value = int(digits[:20] or "0") * (-1 if text.startswith("-") else 1)
        if _INT_MIN <= value <= _INT_MAX:
            return value
        raise ValueError("must fit into 64 bits: from -2**63 to 2**63-1")

    def read(self, column: TextColumn) -> pa.Array | Mask:
        widths, doubtful = column.lengths, None
        digits = digits_in(column.data)
        count = len(digits) - np.count_nonzero(digits)
        if count:
            others = ~digits
            negative = column.begin_with(_MINUS)
            widths = widths - negative
            if count > np.count_nonzero(negative):
                others[column.offsets[:-1][negative]] = False
                doubtful = column.where(others)
        if len(widths) and (widths.min() < 1 or widths.max() > 19):
            unfit = column.left_in((widths < 1) | (widths > 19))
            doubtful = unfit if doubtful is None else doubtful | unfit
        if doubtful is not None and doubtful.any():
            return doubtful
        try:
            return column.array.cast(pa.int64())
        except pa.ArrowInvalid:  # more than 64 bits
            return widths > 18


class Floats(Kind):
    """Finite numbers: ``-?(digits[.digits*]|.digits)([eE][+-]?digits)?``."""

    python_type = leaf_type = float
    _matched = re.compile(_NUMBER + "(?:[eE][-+]?[0-9]+)?").fullmatch
    _plain = r"^-?(?:[0-9]{1,17}(?:\.[0-9]{0,17})?|\.[0-9]{1,17})(?:[eE][-+]?[0-9]{1,2})?$"

    def value(self, text: str) -> float:
        if not self._matched(text):
            raise ValueError("must be a decimal number, such as 51.00 or -1e-3")
        value = float(text)
        if math.isinf(value):
            raise ValueError("must be a finite number: it is too large")
        return value

    def read(self, column: TextColumn) -> pa.Array | Mask:
        if (column.data == _PLUS).any():  # Arrow takes it in front, too
            unfit = _unlike(column, self._plain)
            if unfit.any():
                return unfit
        try:
            array = column.array.cast(pa.float64())
        except pa.ArrowInvalid:
            odd = column.where(~(digits_in(column.data) | (column.data == _POINT)))
            odd |= column.left_in(column.lengths == 0)
            if 0 < np.count_nonzero(odd) * _FEW < len(column):  # cheaper than to look at all of them
                return odd
            return _unlike(column, self._plain)
        numbers = np.frombuffer(array.buffers()[1], np.float64, len(array), array.offset * 8)
        finite = np.isfinite(numbers)
        if not finite.all():
            unfit = column.left_in(~finite)
            if unfit.any():
                return unfit
        return array


class Decimals(Kind):
    """``-?(digits[.digits*]|.digits)``, with as many digits as are written. In columns they are texts."""

    python_type = Decimal
    leaf_type = None
    _matched = re.compile(_NUMBER).fullmatch

    def value(self, text: str) -> Decimal:
        if not self._matched(text):
            raise ValueError("must be a decimal number without exponent, such as 51.00")
        return Decimal(text)

    def read(self, column: TextColumn) -> pa.Array | Mask:
        unfit = _unlike(column, f"^{_NUMBER}$")
        return unfit if unfit.any() else column.array

    def array_of(self, values: Sequence[Any]) -> pa.Array:
        texts = [None if value is None else format(value, "f") for value in values]
        return array_of(str, texts, optional=True)

    def values_of(self, array: pa.Array) -> list[Any]:
        return [None if text is None else Decimal(text) for text in array.to_pylist()]


class Choice(Kind):
    """One of some words, each of which stands for a value: bools, and ``Literal``."""

    def __init__(self, meanings: dict[str, Any]) -> None:
        self.words = tuple(meanings)
        self.values = tuple(meanings.values())
        [self.python_type] = {type(value) for value in self.values}
        self.leaf_type = self.python_type
        self.meanings = meanings
        listed = [ascii(word) for word in self.words[:5]]
        more = f" (or {len(self.words) - 5} others)" if len(self.words) > 5 else ""
        self.rule: Final = f"must be {' or '.join(listed)}{more}"
        self._codes = np.full(256, -1, np.int16)
        self._short = all(len(word.encode()) == 1 for word in self.words) and len(self.words) < 2**15
        if self._short:
            for code, word in enumerate(self.words):
                self._codes[word.encode()[0]] = code

    def value(self, text: str) -> Any:
        try:
            return self.meanings[text]
        except KeyError:
            raise ValueError(self.rule) from None

    def read(self, column: TextColumn) -> pa.Array | Mask:
        if self._short and len(column.data) == len(column) and column.present is None:
            if len(column) and column.lengths.min() != 1:  # as many bytes as texts: one is longer, then
                return column.lengths != 1
            codes = self._codes[column.data]
        else:
            found = call(
                "index_in", column.array, options=options_of("SetLookupOptions", array_of(str, self.words))
            )
            known = numpy_of(bool, found.is_valid())
            codes = np.where(known, np.frombuffer(found.buffers()[1], np.int32, len(found)), -1)
        if len(codes) and codes.min() < 0:
            unfit = column.left_in(codes < 0)
            if unfit.any():
                return unfit
        if self.python_type is str:
            return column.array
        there = None if column.present is None else packed(column.present)
        if self.python_type is bool:
            meant = packed(np.array(self.values, np.bool_)[codes])
            return pa.Array.from_buffers(pa.bool_(), len(column), [there, meant])
        numbers = np.array(self.values, np.int64)[codes]
        return pa.Array.from_buffers(pa.int64(), len(column), [there, pa.py_buffer(numbers)])


def _unlike(column: TextColumn, pattern: str) -> Mask:
    """The texts that do not match. About 0.1 us each."""
    options = options_of("MatchSubstringOptions", pattern)
    return column.left_in(~numpy_of(bool, call("match_substring_regex", column.array, options=options)))
