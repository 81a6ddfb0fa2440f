"""When the function of ``mapWithState``, and the states that it keeps, are on columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.chunk import Chunk, Columns, RowType, concatenated_columns
from penstock.dstream.waves import computed, over
from penstock.errors import RowTypeError
from penstock.plan import Form, States
from penstock.state import (
    ColumnUpdate,
    ColumnVersion,
    RowVersion,
    key_kinds_of,
    kinds_of,
)
from penstock.values import dataclass
from penstock.vectorize import REFUSALS, MappingPlan, Untraced, halves_of, mapping_plan, programs

__all__ = [
    "MANY_KEYS",
    "OnColumns",
    "first_version",
    "form_of",
    "kept_small",
    "on_columns",
    "over_on_columns",
]

MANY_KEYS = 100_000
"""With so many keys a partition keeps them in columns even if the function works on Python objects: looking
10,000 of them up takes 1 ms longer."""

_NOT_HERE = (*REFUSALS, RowTypeError)


@dataclass(frozen=True)
class OnColumns:
    """The records of a batch in a partition, the version to go on from, and the function, all as columns."""

    version: ColumnVersion
    function: Any
    plan: MappingPlan
    records: Columns

    def run(self, update: ColumnUpdate, *, keeps_time: bool) -> tuple[Columns | None, int] | None:
        """Call the function for all records; what it has returned, and how many different keys they have.
        ``None``: Python has to do it, and nothing has happened."""
        if not self.plan.worth_trying():
            return None
        try:
            made = computed(self.plan, self.function, update, self.records, keeps_time=keeps_time)
        except _NOT_HERE:
            self.plan.was_in_vain(True)
            return None
        if made is None:
            return None
        self.plan.was_in_vain(False)
        keys, emitted = made
        keys.write(update)
        return emitted, len(keys)


def on_columns(function: Any, version: Any, chunks: Sequence[Chunk], *, expires: bool) -> OnColumns | None:
    """What is needed to run a batch on columns, if that is possible and worth it. A version of Python objects
    is made one of columns, if all of it fits: that is tried once."""
    records = _as_one(chunks)
    if records is None:
        return None
    halves = halves_of(records.row_type)
    if halves is None or key_kinds_of(halves[0]) is None:
        return None
    key_type, value_type = halves
    if isinstance(version, RowVersion):
        if not version.may_be_columns:
            return None
        state_type = version.a_state_type()
    else:
        state_type = version.state_type
        if version.key_type != key_type:
            return None
    plan = mapping_plan(function, key_type, value_type, state_type)
    if isinstance(plan, Untraced) or kinds_of(plan.state_type) is None:
        return None
    if isinstance(version, RowVersion):
        version = _fitted(version, key_type, plan.state_type, expires=expires)
    return None if version is None else OnColumns(version, function, plan, records)


def _as_one(chunks: Sequence[Chunk]) -> Columns | None:
    """The records as one chunk of columns, if at least most of them are columns."""
    count = sum(map(len, chunks))
    columns = [chunk for chunk in chunks if isinstance(chunk, Columns)]
    if count < programs.WORTH_ROWS or 2 * sum(map(len, columns)) < count:
        return None
    row_type = columns[0].row_type
    parts: list[Columns] = []
    for chunk in chunks:
        if not isinstance(chunk, Columns):  # a small one, that was not worth it
            try:
                chunk = Columns.from_rows(chunk.rows(), row_type)
            except RowTypeError:
                return None
        if chunk.row_type != row_type:
            return None
        parts.append(chunk)
    return parts[0] if len(parts) == 1 else concatenated_columns(parts)


def _fitted(
    version: RowVersion, key_type: RowType, state_type: RowType, *, expires: bool
) -> ColumnVersion | None:
    """A version of Python objects as one of columns; ``None`` if something does not fit, which is noted."""
    if not len(version):
        return ColumnVersion.empty(key_type, state_type, expires=expires)
    try:
        found = ColumnVersion.of_image(version.image(), expires=expires)
        if (found.key_type, found.state_type) == (key_type, state_type):
            return found
    except _NOT_HERE:
        pass
    version.stay_rows()
    return None


def kept_small(version: Any, *, expires: bool) -> Any:
    """The version, in columns if it has very many keys and all of it fits, whatever the function is: that
    takes a quarter of the memory, and gives the garbage collector nothing to walk through."""
    if isinstance(version, ColumnVersion) or len(version) < MANY_KEYS or not version.may_be_columns:
        return version
    try:
        return ColumnVersion.of_image(version.image(), expires=expires)
    except _NOT_HERE:
        version.stay_rows()
        return version


def first_version(chunks: Sequence[Chunk], time: int, *, expires: bool) -> ColumnVersion | None:
    """The version of pairs that lie in columns before the first batch; ``None`` if they have to be Python
    objects."""
    columns = [chunk for chunk in chunks if isinstance(chunk, Columns)]
    if not columns or len(columns) < len(chunks) or len({chunk.row_type for chunk in columns}) > 1:
        return None
    if halves_of(columns[0].row_type) is None:
        return None
    whole = columns[0] if len(columns) == 1 else concatenated_columns(columns)
    try:
        return ColumnVersion.of_pairs(whole, time, expires=expires)
    except _NOT_HERE:
        return None


def over_on_columns(function: Any, update: Any, before: int) -> tuple[Columns | None] | None:
    """Call the function for the states that are timing out, and forget their keys; what it has returned.
    ``None``: Python has to do it, and nothing has happened."""
    if not isinstance(update, ColumnUpdate) or update.one_by_one:
        return None
    slots = update.expiring_slots(before)
    if len(slots) < programs.WORTH_ROWS:
        return None
    plan = mapping_plan(function, update.key_type, None, update.state_type)
    if isinstance(plan, Untraced):
        return None
    try:
        emitted = over(plan, update, slots)
    except _NOT_HERE:
        return None
    update.expire_slots(slots)
    return (emitted,)


def form_of(function: Any, with_time: bool, before: Form, records: Form) -> Form:
    """What ``explain`` says of it; see :mod:`penstock.plan.forms`."""
    if with_time:
        return Untraced("its function is given the batch time")
    if isinstance(records, Untraced):
        return Untraced("what it reads are Python objects")
    halves = halves_of(records) if isinstance(records, RowType) else None
    if halves is None:
        return Untraced(f"{records} is no pair")
    key_type, value_type = halves
    if key_kinds_of(key_type) is None:
        return Untraced(f"keys that are {key_type} are kept as Python objects")
    first = halves_of(before) if isinstance(before, RowType) else None
    if first is not None and first[0] != key_type:
        return Untraced(f"keys are {first[0]} at first, and {key_type} then")
    plan = mapping_plan(function, key_type, value_type, None if first is None else first[1])
    if isinstance(plan, Untraced):
        return plan
    if kinds_of(plan.state_type) is None:
        return Untraced(f"states that are {plan.state_type} are kept as Python objects")
    return States(key_type, plan.state_type, plan.emitted_type)
