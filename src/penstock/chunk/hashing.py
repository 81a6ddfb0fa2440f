"""A hash that is the same in every process: it decides the partition of a key.

The rule is ``a == b`` implies ``portable_hash(a) == portable_hash(b)``, so everything is decided by
*which equality* a key's class uses: an ``IntEnum`` compares as an int and hashes as one, a
``NamedTuple`` as a tuple, ``class Side(str, Enum)`` as a string. A class that replaces ``__eq__`` has
an equality of its own, of which nothing is known but its ``__hash__``.

========================  ===================================================================
``None``, numbers,        as in PySpark's ``portable_hash`` on a 64-bit Python (numbers: ``hash``)
tuples
every NaN                 0 (Python hashes the address, so that no two runs would agree)
str, bytes                the CRC-32 of the bytes (of a string: in UTF-8), times 2**64 / golden ratio, of
                          which bits 32 to 63: about 0.15 us. The CRC alone is so regular that names
                          which count up can fill one partition half as much again as the next
date, datetime, time,     as the 16 bytes, little end first, of the count of days or microseconds; of aware
timedelta, UUID           ones in UTC. (A UUID has its own 16 bytes)
frozenset                 sum over the members' hashes, each stirred
range                     as the tuple that Python hashes for it
Enum                      by qualified name (a Flag: with its value); the module is left out, since
                          the main module has another name in a child process
dataclass                 with generated ``__eq__`` and ``__hash__``: qualified name and fields
========================  ===================================================================
"""

from __future__ import annotations

from collections import UserString
from collections.abc import Callable
from dataclasses import fields
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from fractions import Fraction
from functools import lru_cache
from numbers import Number
from typing import Any
from uuid import UUID
from zlib import crc32

import numpy as np

from penstock.chunk.records import is_generated
from penstock.errors import KeyTypeError, shown

__all__ = ["portable_hash"]

_MAX = 2**63 - 1  # PySpark masks with sys.maxsize; a constant gives a 32-bit Python the same tuples
_GOLDEN = 0x9E3779B97F4A7C15
_MICROSECOND = timedelta(microseconds=1)
_WAYS_OUT = {
    list: "use a tuple",
    set: "use a frozenset",
    dict: "use tuple(sorted(d.items()))",
    bytearray: "use bytes",
    np.ndarray: "use tuple(a.tolist())",
}


def portable_hash(key: Any, strict: bool = False) -> int:
    """The same int for equal keys, in every process and on every 64-bit platform.

    With ``strict`` a key of a class whose ``__hash__`` may differ from process to process is refused;
    without, ``hash(key)`` is taken, which is right as long as one process sees all the keys.

    >>> portable_hash("EPE"), portable_hash((1, "B")) == portable_hash((1.0, "B"))
    (4093335649, True)
    >>> portable_hash([1])
    Traceback (most recent call last):
        ...
    penstock.errors.KeyTypeError: a list cannot be a key; use a tuple (the key is [1])

    Raises: :class:`KeyTypeError` for a key that cannot be hashed, or that ``strict`` refuses.
    """
    kind = type(key)
    if kind is str:
        try:
            return crc32(key.encode()) * _GOLDEN >> 32 & 0xFFFFFFFF
        except UnicodeEncodeError:
            return _hash_text(key, strict)
    if kind is int:
        return hash(key)
    if kind is tuple:
        return _hash_tuple(key, strict)
    if key is None:
        return 0
    hasher = _BY_EQUALITY.get(_equality_of(kind))
    return _hash_other(key, strict) if hasher is None else hasher(key, strict)


def _hash_tuple(key: tuple[Any, ...], strict: bool) -> int:
    """PySpark's: the pre-3.8 tuple hash of CPython, cut to 63 bits. (It is never negative.)"""
    value = 0x345678
    for item in tuple.__iter__(key):
        value = ((value ^ portable_hash(item, strict)) * 1000003) & _MAX
    return value ^ tuple.__len__(key)


def _hash_text(key: str, strict: bool) -> int:
    return _hash_bytes(str.encode(key, "utf-8", "surrogatepass"), strict)


def _hash_bytes(key: bytes, strict: bool) -> int:
    return crc32(key) * _GOLDEN >> 32 & 0xFFFFFFFF


def _hash_number(key: Any, strict: bool) -> int:
    return hash(key) if key == key else 0


def _hash_decimal(key: Decimal, strict: bool) -> int:
    return 0 if key.is_nan() else hash(key)  # a signalling NaN may not even be compared


def _hash_datetime(key: datetime, strict: bool) -> int:
    if key != key:  # pandas' NaT
        return 0
    days, seconds = key.toordinal(), (key.hour * 60 + key.minute) * 60 + key.second
    since = timedelta(days, seconds, key.microsecond)
    if key.tzinfo is not None:  # equality within one zone looks at neither fold nor offset
        since -= key.replace(fold=0).utcoffset() or timedelta(0)
    return _hash_count(since // _MICROSECOND)


def _hash_date(key: date, strict: bool) -> int:
    return _hash_count(key.toordinal())


def _hash_time(key: time, strict: bool) -> int:
    offset = key.replace(fold=0).utcoffset() or timedelta(0)
    seconds = (key.hour * 60 + key.minute) * 60 + key.second - offset.days * 86_400 - offset.seconds
    return _hash_count(seconds * 1_000_000 + key.microsecond)


def _hash_timedelta(key: timedelta, strict: bool) -> int:
    return _hash_count((key.days * 86_400 + key.seconds) * 1_000_000 + key.microseconds) if key == key else 0


def _hash_count(count: int) -> int:
    """Counts of days or microseconds are multiples of round numbers: taken as they are, all keys of
    full seconds would fall into one partition of eight."""
    return _hash_bytes(count.to_bytes(16, "little", signed=True), False)


def _hash_uuid(key: UUID, strict: bool) -> int:
    return _hash_bytes(key.bytes, strict)


def _hash_frozenset(key: frozenset[Any], strict: bool) -> int:
    members = frozenset.__iter__(key)
    return sum((_hash_tuple((portable_hash(member, strict),), strict) for member in members), _GOLDEN) & _MAX


def _hash_range(key: range, strict: bool) -> int:
    size = len(key)
    return _hash_tuple((size, key.start if size else None, key.step if size > 1 else None), strict)


def _hash_by_identity(key: Any, strict: bool) -> int:
    """For a class that compares by ``is``."""
    if isinstance(key, Enum):
        part = key.value if isinstance(key, Flag) else key.name
        return _hash_tuple((type(key).__qualname__, part), strict)
    return _hash_other(key, strict)


_BY_EQUALITY: dict[Any, Callable[[Any, bool], int]] = {
    int.__eq__: _hash_number,
    float.__eq__: _hash_number,
    complex.__eq__: _hash_number,
    Fraction.__eq__: _hash_number,
    Decimal.__eq__: _hash_decimal,
    str.__eq__: _hash_text,
    UserString.__eq__: lambda key, strict: _hash_text(key.data, strict),
    bytes.__eq__: _hash_bytes,
    tuple.__eq__: _hash_tuple,
    datetime.__eq__: _hash_datetime,
    date.__eq__: _hash_date,
    time.__eq__: _hash_time,
    timedelta.__eq__: _hash_timedelta,
    UUID.__eq__: _hash_uuid,
    frozenset.__eq__: _hash_frozenset,
    range.__eq__: _hash_range,
    object.__eq__: _hash_by_identity,
}
_EXTENDING = ("numpy", "pandas")
"""Packages whose subclasses of str, float or datetime have an ``__eq__`` of their own that agrees with it."""


def _equality_of(kind: type) -> Any:
    if kind.__module__.partition(".")[0] in _EXTENDING:
        for base in kind.__mro__[:-1]:
            if base.__eq__ in _BY_EQUALITY:
                return base.__eq__
        if issubclass(kind, (Number, np.bool_)):
            return int.__eq__
    return kind.__eq__


def _hash_other(key: Any, strict: bool) -> int:
    kind: Any = type(key)
    names = _fields_of_equality(kind)
    if names is not None:
        return _hash_tuple((kind.__qualname__, *(getattr(key, name) for name in names)), strict)
    try:
        value = hash(key)
    except TypeError as problem:
        raise _unhashable(key, problem) from None
    if not strict or isinstance(key, Number):  # numbers of all classes agree with Python's
        return value
    raise KeyTypeError(
        f"a {kind.__qualname__} cannot be a key here: its __hash__ may differ from one process to the next; "
        f"use a tuple, a NamedTuple or a dataclass(frozen=True) with the generated __eq__ and __hash__ "
        f"(the key is {shown(key)})"
    )


@lru_cache(maxsize=256)
def _fields_of_equality(kind: type) -> tuple[str, ...] | None:
    """The fields by which the instances of a dataclass compare and hash, ``None`` for other classes."""
    for owner in kind.__mro__:
        if "__eq__" in vars(owner) or "__hash__" in vars(owner):
            generated = is_generated(owner, "__eq__") and is_generated(owner, "__hash__")
            if not generated or owner.__hash__ is None:
                return None
            return tuple(each.name for each in fields(owner) if each.compare and each.hash is not False)
    return None


def _unhashable(key: Any, problem: TypeError) -> KeyTypeError:
    kind = type(key)
    way_out = "use a tuple"
    if hasattr(kind, "__dataclass_fields__"):
        way_out = "declare the dataclass with frozen=True"
    way_out = next((way for base, way in _WAYS_OUT.items() if isinstance(key, base)), way_out)
    reason = "" if str(problem).startswith("unhashable type") else f" ({problem})"
    return KeyTypeError(f"a {kind.__qualname__} cannot be a key{reason}; {way_out} (the key is {shown(key)})")
