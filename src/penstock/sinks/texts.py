"""The text of a value in files; ``text_columns`` makes the same bytes of whole columns.

=====================  =======================================  ==================================
value                  in CSV                                   in JSON
=====================  =======================================  ==================================
``None``               nothing                                  ``null``
``bool``               ``true``, ``false``                      the same
``int``, ``float``     Python's ``repr``                        the same
NaN, infinities        ``nan``, ``inf``, ``-inf``               ``"NaN"``, ``"Infinity"``, ``"-Infinity"``
``Decimal``            its digits                               the same; one that is not finite as above
``datetime``           ``2016-03-22 20:25:28[.000001]``         ``"2016-03-22T20:25:28[.000001]"``
``date``, ``time``     ISO                                      ISO, a string
``bytes``              base64                                   base64, a string
``str``                itself, in quotes where it must          a string
records, tuples        none                                     an object of their fields
``list``, ``dict``     none                                     an array, an object with keys of text
=====================  =======================================  ==================================
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any

from penstock.errors import RowTypeError
from penstock.sinks.shapes import is_record, shape_of

__all__ = ["csv_text", "json_text", "quoting"]


def csv_text(value: Any, quoted: Callable[[str], str]) -> str:
    """A value as a field of CSV; ``quoted`` puts a text into quotes where it must be."""
    if value is None:
        return ""
    if isinstance(value, str):
        return quoted(str.__str__(value))
    if isinstance(value, float):
        return float.__repr__(value)
    text = _number_text(value)
    if text is not None:
        return text
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, bytes):
        return b64encode(value).decode("ascii")
    way_out = " Hint: take it apart with map, or write JSON." if is_record(value) else ""
    raise RowTypeError(f"a {type(value).__qualname__} is no field of a CSV file.{way_out}")


def _number_text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, Decimal):
        if value.is_finite():
            return str(value)
        return "nan" if value.is_nan() else float.__repr__(float(value))
    return None


_NOT_FINITE = {"nan": '"NaN"', "inf": '"Infinity"', "-inf": '"-Infinity"'}


def json_text(value: Any) -> str:
    """A value as JSON."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return encode_basestring(str.__str__(value))
    if isinstance(value, float):
        text = float.__repr__(value)
        return text if math.isfinite(value) else _NOT_FINITE[text]
    number = _number_text(value)
    if number is not None:
        return _NOT_FINITE.get(number, number)
    if isinstance(value, (date, time)):  # a datetime is a date
        return f'"{value.isoformat()}"'
    if isinstance(value, bytes):
        return f'"{b64encode(value).decode("ascii")}"'
    if isinstance(value, dict):
        return _object_text(value.keys(), value.values())
    if is_record(value):
        return _object_text(*shape_of(value))
    if isinstance(value, list):
        return f"[{','.join(map(json_text, value))}]"
    raise RowTypeError(f"a {type(value).__qualname__} has no form in JSON. Hint: make text or numbers of it.")


def _object_text(names: Any, values: Any) -> str:
    pieces = []
    for name, value in zip(names, values, strict=True):
        if not isinstance(name, str):
            raise RowTypeError(f"a key of an object must be text in JSON, not {name!r}")
        pieces.append(f"{encode_basestring(name)}:{json_text(value)}")
    return f"{{{','.join(pieces)}}}"


def quoting(sep: str) -> Callable[[str], str]:
    """What puts a text into quotes if it would not be read back without.

    >>> list(map(quoting(","), ["a", "", "a,b"]))
    ['a', '""', '"a,b"']
    """
    special = [sep, '"', "\n", "\r", "\ufeff"]  # the last at the start of a file would be left out

    def quoted(text: str) -> str:
        if text and not any(each in text for each in special):
            return text
        doubled = text.replace('"', '""')
        return f'"{doubled}"'

    return quoted
