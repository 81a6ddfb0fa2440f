"""Comparing batches the way a reader of a failed test wants it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from penstock.rdd import ResultIterable

__all__ = ["assert_batches_equal", "same"]


def same(one: Any, other: Any) -> bool:
    """Equal in type and value, in depth: 1, 1.0 and True differ, 0.0 and -0.0 differ, NaN is NaN.

    Looks into lists, tuples, dicts (whose order counts), sets, dataclasses, and the iterables of
    ``groupByKey``; all else is compared with ``==``.

    >>> same((1, [2.0]), (1, [2.0])), same(1, True), same(float("nan"), float("nan"))
    (True, False, True)
    """
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return bool(one.hex() == other.hex())
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one.items()), list(other.items()))
    if isinstance(one, (set, frozenset)):
        return _difference(list(one), list(other), ordered=False) is None
    if isinstance(one, ResultIterable):
        return same(one.data, other.data)
    if is_dataclass(one):
        return all(same(getattr(one, part.name), getattr(other, part.name)) for part in fields(one))
    return bool(one == other)


def assert_batches_equal(actual: Sequence[Any], expected: Sequence[Any], *, ordered: bool = True) -> None:
    """Fail at the first batch that differs, and say how; values are compared by :func:`same`.

    With ``ordered=False`` the records of a batch may come in any order (a ``None`` batch stays ``None``).

    >>> assert_batches_equal([[1], [2, 3]], [[1], [3, 2]], ordered=False)
    >>> assert_batches_equal([[1]], [[2]])
    Traceback (most recent call last):
    AssertionError: batch 0 differs at record 0: 1, expected 2
      actual:   [1]
      expected: [2]
    """
    for index, (got, want) in enumerate(zip(actual, expected, strict=False)):
        difference = _difference(got, want, ordered)
        if difference:
            raise AssertionError(f"batch {index} {difference}\n  actual:   {got!r}\n  expected: {want!r}")
    if len(actual) != len(expected):
        raise AssertionError(f"{len(actual)} batches, expected {len(expected)}")


def _difference(got: Any, want: Any, ordered: bool) -> str | None:
    if got is None or want is None:
        return None if got is want else "is there on one side only"
    if not ordered:
        left = list(want)
        for record in got:
            match = next((index for index, candidate in enumerate(left) if same(record, candidate)), None)
            if match is None:
                return f"has {record!r}, which is not expected"
            del left[match]
        return f"lacks {left[0]!r}" if left else None
    for index, (one, other) in enumerate(zip(got, want, strict=False)):
        if not same(one, other):
            return f"differs at record {index}: {one!r}, expected {other!r}"
    return None if len(got) == len(want) else f"has {len(got)} records, expected {len(want)}"
