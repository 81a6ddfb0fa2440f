"""Finding the row type of records, by looking at all of them.

One descent through the records, column by column. A column is checked at C speed; only when something
does not fit is it searched for the first record that does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any

from penstock.chunk.kinds import kinds_of
from penstock.chunk.records import columns_of, record_fields
from penstock.chunk.row_types import SCALARS, Optional, Record, RowType, Scalar, Tuple
from penstock.errors import RowTypeError, shown
from penstock.values import dataclass

__all__ = ["check_rows", "exact_row_type", "fits"]

LEAVES_MAX = 1_000
"""Most columns of one row type: wider records are vectors, which are better off as rows."""
DEPTH_MAX = 50
TEXT_BYTES_MAX = 2**31 - 1
"""What the offsets of an Arrow string array can address."""
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
_NONE = type(None)


def exact_row_type(rows: Sequence[object]) -> RowType:
    """The row type that describes all these records exactly.

    Every record is looked at: about 0.05 us for each of its values. ``None`` among other values makes a
    column ``Optional``; different classes in one column (an int and a float, too) have no row type.

    >>> print(exact_row_type([("EPE", 1, None), ("AXY", 2, 0.5)]))
    tuple[str, int, float | None]
    >>> exact_row_type([(1, 2), (1, 2.5)])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    penstock.errors.RowTypeError: ... record 1 exactly: its [1] is a float, others are int ...

    Raises: :class:`RowTypeError` with the first record that does not fit and why; also for no rows at
    all, which have every type; for more than 1,000 columns; and where a record that can be changed is
    there twice, since columns would make two of it.
    """
    if not rows:
        raise RowTypeError("no rows have no row type: nothing says what they would look like")
    descent = _Descent()
    try:
        found = descent.find(rows, 0)
        descent.check_aliases(rows)
    except Misfit as misfit:
        raise misfit.as_error(rows) from None
    return found


def check_rows(rows: Sequence[object], row_type: RowType) -> None:
    """Raise :class:`RowTypeError`, with the first record that does not fit, unless ``row_type`` fits all.

    An ``Optional`` fits also where no value, or every value, is ``None``. No rows have every type.
    """
    if not rows:
        return
    try:
        found = exact_row_type(rows)
    except RowTypeError as problem:
        error = problem
    else:
        if fits(found, row_type):
            return
        error = RowTypeError(
            f"the records are {found}, not {row_type}"
        )  # not reached: one record is at fault
    for index, row in enumerate(rows):
        try:
            if fits(found := exact_row_type((row,)), row_type):
                continue
            reason = f"it is {found}"
        except RowTypeError as problem:
            reason = str(problem)
        raise RowTypeError(f"record {index} is not exactly {row_type}: {reason} (the record is {shown(row)})")
    raise error


def fits(found: RowType, wanted: RowType) -> bool:
    """Whether columns of ``wanted`` can hold all records of ``found``."""
    if isinstance(wanted, Optional):
        if found == Scalar(_NONE):
            return True
        return fits(found.inner if isinstance(found, Optional) else found, wanted.inner)
    if type(found) is not type(wanted) or len(found.parts) != len(wanted.parts) or isinstance(found, Scalar):
        return found == wanted
    if isinstance(found, Record) and isinstance(wanted, Record) and found.cls is not wanted.cls:
        return False
    return all(map(fits, found.parts, wanted.parts))


class Misfit(Exception):
    """A record does not fit; ``path`` leads into it."""

    def __init__(self, index: int, reason: str, path: str = "") -> None:
        super().__init__(index, reason, path)
        self.index, self.reason, self.path = index, reason, path

    def as_error(self, rows: Sequence[Any]) -> RowTypeError:
        where = f"its {self.path} " if self.path else "it "
        return RowTypeError(
            f"no row type describes record {self.index} exactly: {where}{self.reason} "
            f"(the record is {shown(rows[self.index])})"
        )


@dataclass
class _Descent:
    leaves: int = 0
    changeable: list[Sequence[Any]] = field(default_factory=list)

    def find(self, values: Sequence[Any], depth: int) -> RowType:
        kinds = kinds_of(values)
        if _NONE in kinds and len(kinds) > 1:
            present = [value for value in values if value is not None]
            try:
                return Optional(self.find(present, depth))
            except Misfit as misfit:
                misfit.index = _nth_present(values, misfit.index)
                raise
        kind = type(values[0])
        if len(kinds) > 1:
            raise _other_class(values, kind)
        if kind in SCALARS:
            self.leaves += 1
            if self.leaves > LEAVES_MAX:
                raise Misfit(0, f"makes more than {LEAVES_MAX} columns")
            _check_scalars(kind, values)
            return Scalar(kind)
        if depth == DEPTH_MAX:
            raise Misfit(0, f"is nested deeper than {DEPTH_MAX} levels")
        return self.find_compound(kind, values, depth + 1)

    def find_compound(self, kind: type, values: Sequence[Any], depth: int) -> RowType:
        names: tuple[str, ...] = ()
        if kind is not tuple:
            try:
                names = record_fields(kind)
            except RowTypeError as problem:
                raise Misfit(0, _HINTS.get(kind) or f"is a {kind.__qualname__}; {problem}") from None
            self.note_changeable(kind, values)
        columns = columns_of(kind, names, values)
        if columns is None:
            raise _other_shape(kind, names, values)
        labels = (
            [f".{name}" for name in names] if kind is not tuple else [f"[{i}]" for i in range(len(columns))]
        )
        found: list[RowType] = []
        misfits: list[Misfit] = []
        for label, column in zip(labels, columns, strict=True):
            try:
                found.append(self.find(column, depth))
            except Misfit as misfit:
                misfit.path = label + misfit.path
                misfits.append(misfit)
                if self.leaves > LEAVES_MAX:
                    break
        if misfits:
            raise min(misfits, key=attrgetter("index"))
        return Tuple(tuple(found)) if kind is tuple else Record(kind, tuple(zip(names, found, strict=True)))

    def note_changeable(self, kind: type, values: Sequence[Any]) -> None:
        if not issubclass(kind, tuple) and not kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]
            self.changeable.append(values)

    def check_aliases(self, rows: Sequence[Any]) -> None:
        seen: set[int] = set()
        for values in self.changeable:
            ids = set(map(id, values))
            if len(ids) < len(values) or not seen.isdisjoint(ids):
                raise Misfit(
                    0, f"holds a {type(values[0]).__qualname__}, which can be changed and is there twice"
                )
            seen |= ids


def _check_scalars(kind: type, values: Sequence[Any]) -> None:
    """Raise unless a column gives each of these values, all of class ``kind``, back as it is."""
    if kind is int and (min(values) < _INT_MIN or max(values) > _INT_MAX):
        index = next(i for i, value in enumerate(values) if not _INT_MIN <= value <= _INT_MAX)
        raise Misfit(index, "is an int of more than 64 bits")
    if kind is str:
        try:
            size = len("".join(values).encode())
        except UnicodeEncodeError:
            index = next(i for i, value in enumerate(values) if _has_surrogate(value))
            raise Misfit(index, "is a str with a lone surrogate, which UTF-8 cannot hold") from None
        _check_size(size)
    if kind is bytes:
        _check_size(sum(map(len, values)))
    if kind is datetime:
        if kinds_of(list(map(attrgetter("tzinfo"), values))) != {_NONE}:
            index = next(i for i, value in enumerate(values) if value.tzinfo is not None)
            raise Misfit(index, "is a datetime with a time zone, which a column does not keep")
        if any(map(attrgetter("fold"), values)):
            index = next(i for i, value in enumerate(values) if value.fold)
            raise Misfit(index, "is a datetime with fold=1, which a column does not keep")


def _check_size(size: int) -> None:
    if size > TEXT_BYTES_MAX:
        raise Misfit(0, f"is the first of a column of {size} bytes, and one column holds {TEXT_BYTES_MAX}")


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _nth_present(values: Sequence[Any], n: int) -> int:
    present = [index for index, value in enumerate(values) if value is not None]
    return present[n]


def _other_class(values: Sequence[Any], first: type) -> Misfit:
    index = next(i for i, value in enumerate(values) if type(value) is not first)
    return Misfit(index, f"is a {type(values[index]).__qualname__}, others are {first.__qualname__}")


def _other_shape(kind: type, names: tuple[str, ...], values: Sequence[Any]) -> Misfit:
    if kind is tuple:
        size = len(values[0])
        index = next(i for i, value in enumerate(values) if len(value) != size)
        return Misfit(index, f"is a tuple of {len(values[index])}, others have {size}")
    index = next(i for i, value in enumerate(values) if columns_of(kind, names, [value]) is None)
    return Misfit(index, f"is a {kind.__qualname__} with more or less than its fields")


_HINTS: dict[type, str] = {
    Decimal: "is a Decimal, which keeps its number of digits; use float(x), or an int of the smallest unit",
    list: "is a list, which has no fixed length; use a tuple",
    dict: "is a dict, which has no fixed fields; use a NamedTuple or a dataclass",
}
