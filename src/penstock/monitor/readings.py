"""What a panel shows of a record: numbers and texts as a person reads them, and what is no such record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from penstock.errors import DataError

__all__ = ["cell", "fields_of", "is_number", "number_of", "pair_of", "plain_text", "shown_number"]

_TEXT_MAX = 500
_PREFIXES = ("$", "€", "£", "¥")  # units that stand in front of their number


def is_number(value: object) -> bool:
    """Whether a panel takes it as a number: ``int``, ``float``, ``Decimal``, ``Fraction`` or numpy's; truth
    values are none.

    >>> is_number(3), is_number(Decimal("0.5")), is_number(True), is_number("3")
    (True, True, False, False)
    """
    kind = type(value)
    if kind is int or kind is float:  # nearly always
        return True
    if kind is tuple or kind is str:  # nearly always, if not
        return False
    kinds = (int, float, Decimal, Fraction, np.integer, np.floating)
    return isinstance(value, kinds) and not isinstance(value, bool)


def number_of(value: Any) -> float | None:
    """As a chart has it; ``None``, a gap, for what no chart can show: not a number, or beyond a float.

    >>> number_of(Decimal("2.5")), number_of(float("nan")), number_of(10**400)
    (2.5, None, None)
    """
    try:
        found = float(value)
    except (OverflowError, ValueError):
        return None
    return found if math.isfinite(found) else None


def shown_number(value: Any, unit: str = "", decimals: int | None = None) -> str:
    """With thousands and its unit, in words where it is no number. Whole numbers and decimals are exact;
    floats have about three figures unless ``decimals`` says how many.

    >>> shown_number(1234567), shown_number(1234.5678), shown_number(0.01234), shown_number(12.5, "ms")
    ('1,234,567', '1,235', '0.0123', '12.5 ms')
    >>> shown_number(Decimal("1234.50"), "$"), shown_number(2, "/s"), shown_number(float("inf"))
    ('$1,234.50', '2/s', 'infinite')
    """
    if isinstance(value, Fraction):
        value = float(value)
    if isinstance(value, (float, np.floating)):
        value = float(value)
        if math.isnan(value):
            return "not a number"
        if math.isinf(value):
            return "infinite" if value > 0 else "minus infinite"
    elif isinstance(value, Decimal) and not value.is_finite():
        return "not a number" if value.is_nan() else "infinite" if value > 0 else "minus infinite"
    if decimals is not None:
        text = f"{value:,.{decimals}f}"
    elif isinstance(value, float):
        text = _three_figures(value)
    else:
        text = f"{int(value):,}" if not isinstance(value, Decimal) else f"{value:,f}"
    if not unit:
        return text
    if unit in _PREFIXES:
        return f"-{unit}{text[1:]}" if text.startswith("-") else unit + text
    return text + unit if unit.startswith(("/", "%")) else f"{text} {unit}"


def _three_figures(value: float) -> str:
    size = abs(value)
    if size >= 100 or value == int(value):
        return f"{value:,.0f}" if size < 1e15 else f"{value:.3g}"
    if size >= 0.001:
        decimals = 2 - math.floor(math.log10(size))
        return f"{value:,.{decimals}f}".rstrip("0").rstrip(".")
    return f"{value:.3g}"


def plain_text(value: object) -> str:
    """As one line of bounded length; what would not be seen is written as in a Python literal.

    >>> plain_text("a" * 600)[-3:], plain_text("two" + chr(10) + "lines"), plain_text(None)
    ('aa…', 'two\\\\nlines', 'nothing')
    """
    if value is None:
        return "nothing"
    text = value if isinstance(value, str) else str(value)
    if len(text) > _TEXT_MAX:
        text = text[: _TEXT_MAX - 1] + "…"
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "replace").decode("ascii") for c in text
    )


def cell(value: Any, unit: str = "") -> str:
    """A value of a table or a log.

    >>> cell(1234), cell("EPE"), cell(2.5, "%")
    ('1,234', 'EPE', '2.5%')
    """
    return shown_number(value, unit) if is_number(value) else plain_text(value)


def pair_of(record: Any, where: str, labels: Mapping[Any, str] | None = None) -> tuple[str, Any]:
    """A record that is a name and a number; ``DataError`` for any other. ``labels`` say what a name is shown
    as.

    >>> pair_of(("buys", 3), "line 'Orders'"), pair_of((True, 3), "line 'Orders'", {True: "buys"})
    (('buys', 3), ('buys', 3))
    >>> pair_of(("buys", "many"), "line 'Orders'")
    Traceback (most recent call last):
    penstock.errors.DataError: line 'Orders' got ('buys', 'many'), which is not a pair of a name and a number.
    Hint: .map(lambda record: (name, number)) before it.
    """
    number, name = number_in(record, where), record[0]
    if labels:
        try:
            name = labels.get(name, name)
        except TypeError:  # what cannot be a key has no label
            pass
    return plain_text(name), number


def number_in(record: Any, where: str) -> Any:
    """The number of such a record."""
    if isinstance(record, (tuple, list)) and len(record) == 2 and is_number(record[1]):
        return record[1]
    raise DataError(
        f"{where} got {_cut(record)}, which is not a pair of a name and a number. "
        f"Hint: .map(lambda record: (name, number)) before it."
    )


def fields_of(record: Any) -> tuple[tuple[str, ...] | None, tuple[Any, ...]]:
    """The names of a record's fields, if it has names, and its values: of a tuple, a NamedTuple, a list, a
    dict, or a single value.

    >>> fields_of({"client": 7, "amount": 3}), fields_of(("EPE", 5)), fields_of("EPE")
    ((('client', 'amount'), (7, 3)), (None, ('EPE', 5)), (None, ('EPE',)))
    """
    if isinstance(record, Mapping):
        return tuple(map(str, record)), tuple(record.values())
    if isinstance(record, tuple):
        names = getattr(record, "_fields", None)
        return (None if names is None else tuple(names)), tuple(record)
    if isinstance(record, list):
        return None, tuple(record)
    return None, (record,)


def _cut(record: Any) -> str:
    text = repr(record)
    return text if len(text) <= 100 else text[:99] + "…"
