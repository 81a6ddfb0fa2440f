"""The panels of a dashboard: what each makes of the records of a batch, and what it shows of many batches.

A panel is what the program has said, and is pickled with it. ``read`` turns the records of a batch into
what is kept of them, on the batch's thread: it is where a record that does not fit fails the batch.
A *memory* is what a panel shows: it takes the readings of batches that are over, and gives views, which
are JSON. Its ``view(since)`` has what came after the first ``since`` entries, and says where it begins.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from penstock.errors import DataError
from penstock.monitor.readings import (
    cell,
    fields_of,
    is_number,
    number_in,
    number_of,
    pair_of,
    plain_text,
    shown_number,
)

__all__ = [
    "SERIES_MAX",
    "BarPanel",
    "BatchesPanel",
    "Json",
    "LinePanel",
    "LogPanel",
    "Memory",
    "NumberPanel",
    "Panel",
    "TablePanel",
    "TableReading",
]

_RANKS_MAX = 500  # in the time over which ranks are compared

SERIES_MAX = 8  # as many colours as people with any sight tell apart

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Panel(ABC):
    """What all panels have: ``noun`` is what its records are, ``width`` in twelfths of a wide page;
    ``spans_ms`` how much time the records of a batch of each stream are of."""

    kind = ""

    id: str
    title: str
    noun: str
    width: int
    spans_ms: tuple[int, ...] = ()

    @cached_property
    def where(self) -> str:
        """The panel, in messages."""
        return f"{self.kind} {self.title!r}"

    @property
    def bound(self) -> int:
        """At most so many records of a batch are taken."""
        return 0

    @property
    def newest_only(self) -> bool:
        """Whether it shows nothing of the batches before the newest one: then not all of them are read."""
        return False

    def read(self, records: list[Any], part: int) -> Any:
        """What is kept of the records of a batch, of the panel's stream number ``part``; there may be one
        more than the bound, and then there are more in the batch. ``DataError`` for a record that does not
        fit."""

    @abstractmethod
    def memory(self) -> Memory:
        """What it shows, with nothing in it."""

    def described(self) -> Json:
        """What the page has to know of it before any data."""
        return {"id": self.id, "kind": self.kind, "title": self.title, "noun": self.noun, "width": self.width}


class Memory:
    """What a panel shows. Calls do not overlap: whoever holds it sees to that."""

    count = 0  # entries so far, of which ``view(since)`` leaves out the first

    def take(self, time_ms: int, readings: dict[int, Any]) -> None:
        """The readings of a batch that is over, by the number of the stream."""

    def view(self, since: int = 0) -> Json:
        """What is shown, as JSON."""
        return {}


@dataclass(frozen=True, kw_only=True)
class LinePanel(Panel):
    """Numbers over the time of their batches."""

    kind = "line"

    names: tuple[str, ...]
    labels: Mapping[Any, str] | None = None
    per_second: bool = False
    unit: str = ""
    points: int = 300

    @property
    def bound(self) -> int:
        return SERIES_MAX

    def read(self, records: list[Any], part: int) -> dict[str, float | None]:
        divisor = self.spans_ms[part] / 1000 if self.per_second else 1.0
        found: dict[str, float | None] = {}
        own = self.names[part]
        for record in records:
            if is_number(record):
                name, value = own, record
            else:
                name, value = pair_of(record, self.where, self.labels)
                if len(self.names) > 1:  # another stream may have the same
                    name = f"{own} {name}"
            if name in found:
                raise DataError(
                    f"{self.where} got two numbers for {name!r} in a batch. "
                    f"Hint: .reduceByKey(add) or .count() before it."
                )
            number = number_of(value)
            found[name] = None if number is None else number / divisor
        return found

    def memory(self) -> Memory:
        return LineMemory(self)

    def described(self) -> Json:
        return {**super().described(), "unit": self.unit, "perSecond": self.per_second, "points": self.points}


class LineMemory(Memory):
    """The newest points of each series. Where nothing came of a series there is a gap, or 0 of what is
    counted per second."""

    def __init__(self, panel: LinePanel) -> None:
        self.count = 0
        self._panel = panel
        self._missing = 0.0 if panel.per_second else None
        self._times: deque[int] = deque(maxlen=panel.points)
        self._series: dict[str, deque[float | None]] = {}
        self._more = False  # names that are not shown

    def take(self, time_ms: int, readings: dict[int, Any]) -> None:
        news: dict[str, float | None] = {}
        for reading in readings.values():
            news.update(reading)
        if not readings or not (news or self._series):
            return  # no batch of a stream that slides more slowly, or nothing yet that has a name
        for name in news:
            if name not in self._series:
                if len(self._series) < SERIES_MAX:
                    self._series[name] = deque([None] * len(self._times), self._panel.points)
                else:
                    self._more = True
        self._times.append(time_ms)
        for name, values in self._series.items():
            values.append(news.get(name, self._missing))
        self.count += 1

    def view(self, since: int = 0) -> Json:
        begin = self.count - len(self._times)
        skipped = min(max(0, since - begin), len(self._times))
        return {
            "from": begin + skipped,
            "times": list(islice(self._times, skipped, None)),
            "series": [
                {
                    "name": name,
                    "values": list(islice(values, skipped, None)),
                    "text": "none" if values[-1] is None else self._shown(values[-1]),
                }
                for name, values in sorted(self._series.items())
            ],
            "more": self._more,
        }

    def _shown(self, value: float) -> str:
        return shown_number(value, f"{self._panel.unit}/s" if self._panel.per_second else self._panel.unit)


@dataclass(frozen=True, kw_only=True)
class BarPanel(Panel):
    """Names with numbers, of the newest batch."""

    kind = "bar"

    labels: Mapping[Any, str] | None = None
    unit: str = ""
    rows: int = 10

    @property
    def newest_only(self) -> bool:
        return True

    @property
    def bound(self) -> int:
        return self.rows

    def read(self, records: list[Any], part: int) -> tuple[list[tuple[str, Any]], bool]:
        shown = [pair_of(record, self.where, self.labels) for record in records[: self.rows]]
        return shown, len(records) > self.rows

    def memory(self) -> Memory:
        return BarMemory(self)

    def described(self) -> Json:
        return {**super().described(), "unit": self.unit, "rows": self.rows}


class BarMemory(Memory):
    """The newest batch's bars."""

    def __init__(self, panel: BarPanel) -> None:
        self.count = 0
        self._panel = panel
        self._newest: tuple[list[tuple[str, Any]], bool] = ([], False)

    def take(self, time_ms: int, readings: dict[int, Any]) -> None:
        if readings:
            self._newest, self.count = readings[0], self.count + 1

    def view(self, since: int = 0) -> Json:
        pairs, more = self._newest
        return {
            "bars": [
                [name, number_of(value), shown_number(value, self._panel.unit)] for name, value in pairs
            ],
            "more": more,
        }


@dataclass(frozen=True, kw_only=True)
class TablePanel(Panel):
    """Records of the newest batch, a row each; with ``key``, a column, also how its rank has changed."""

    kind = "table"

    columns: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    key: int | str | None = None
    rows: int = 10
    compared_ms: int = 60_000

    @property
    def newest_only(self) -> bool:
        return True

    @property
    def bound(self) -> int:
        return self.rows

    def read(self, records: list[Any], part: int) -> TableReading:
        columns = self.columns
        rows = []
        for record in records[: self.rows]:
            names, values = fields_of(record)
            if not columns:
                columns = names or tuple(f"column {number}" for number in range(1, len(values) + 1))
            if isinstance(record, dict):
                values = self._picked(record, columns)
            elif len(values) != len(columns):
                raise DataError(
                    f"{self.where} got a record of {len(values)} values for its {len(columns)} columns "
                    f"({', '.join(columns)}): {record!r:.100}"
                )
            rows.append(values)
        key = self.key
        if isinstance(key, str) and columns:
            if key not in columns:
                raise DataError(
                    f"{self.where} has no column {key!r} to tell its rows by: {', '.join(columns)}"
                )
            key = columns.index(key)
        return TableReading(columns, rows, None if isinstance(key, str) else key, len(records) > self.rows)

    def _picked(self, record: dict[Any, Any], columns: Sequence[str]) -> tuple[Any, ...]:
        by_name = {str(name): value for name, value in record.items()}
        missing = [column for column in columns if column not in by_name]
        if missing:
            raise DataError(f"{self.where} got a record without {', '.join(missing)}: {record!r:.100}")
        return tuple(by_name[column] for column in columns)

    def memory(self) -> Memory:
        return TableMemory(self)

    def described(self) -> Json:
        return {
            **super().described(),
            "columns": list(self.columns),
            "keyed": self.key is not None,
            "units": list(self.units),
            "rows": self.rows,
            "compared": self.compared_ms,
        }


@dataclass(frozen=True, slots=True)
class TableReading:
    """The rows of a batch; ``key`` is the place of the column that tells them apart."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    key: int | None
    more: bool


class TableMemory(Memory):
    """The newest batch's rows, and the ranks in those before it that it is compared with."""

    def __init__(self, panel: TablePanel) -> None:
        self.count = 0
        self._panel = panel
        self._newest = TableReading(panel.columns, [], None, False)
        self._ranks: deque[tuple[int, dict[Any, int]]] = deque()

    def take(self, time_ms: int, readings: dict[int, Any]) -> None:
        if not readings:
            return
        self._newest, self.count = readings[0], self.count + 1
        reading = self._newest
        if reading.key is None:
            return
        # The oldest that is kept is the newest of those that are at least as old as is compared with.
        compared_ms = self._panel.compared_ms
        while len(self._ranks) > 1 and self._ranks[1][0] <= time_ms - compared_ms:
            self._ranks.popleft()
        # By text: a value need not be hashable, and equal texts are one row to who looks.
        ranks = {plain_text(row[reading.key]): rank for rank, row in enumerate(reading.rows)}
        kept = self._ranks
        if len(kept) > 1 and kept[-1][0] - kept[-2][0] < compared_ms / _RANKS_MAX:
            kept.pop()  # of what is compared over long, not every batch is kept
        if ranks or kept:
            kept.append((time_ms, ranks))

    def view(self, since: int = 0) -> Json:
        reading, units = self._newest, self._panel.units
        before = self._ranks[0][1] if len(self._ranks) > 1 else None
        rows = []
        for rank, values in enumerate(reading.rows):
            row: Json = {
                "cells": [
                    cell(value, units[place] if place < len(units) else "")
                    for place, value in enumerate(values)
                ]
            }
            if reading.key is not None:
                key = plain_text(values[reading.key])
                known = None if before is None else before.get(key)
                row["move"] = None if not before else "new" if known is None else known - rank
            rows.append(row)
        right = [all(is_number(row[place]) for row in reading.rows) for place in range(len(reading.columns))]
        if reading.key is not None and right:
            right[reading.key] = False
        return {"columns": list(reading.columns), "right": right, "rows": rows, "more": reading.more}


@dataclass(frozen=True, kw_only=True)
class NumberPanel(Panel):
    """One number: of the newest batch, or all together since the start."""

    kind = "number"

    unit: str = ""
    count: bool = False
    per_second: bool = False
    total: bool = False
    decimals: int | None = None
    warn_above: float | None = None

    @property
    def newest_only(self) -> bool:
        return not self.total

    @property
    def bound(self) -> int:
        return SERIES_MAX

    def read(self, records: list[Any], part: int) -> Any:
        """The sum of the batch's numbers; ``None`` where it has none."""
        if len(records) > SERIES_MAX:
            raise DataError(
                f"{self.where} got more than {SERIES_MAX} records in a batch, and shows one number. "
                f"Hint: .count() or .reduce(add) before it."
            )
        found = None
        for record in records:
            number = record if is_number(record) else number_in(record, self.where)
            found = number if found is None else _added(found, number)
        return found

    def memory(self) -> Memory:
        return NumberMemory(self)

    def described(self) -> Json:
        return {**super().described(), "watched": self.warn_above is not None}


class NumberMemory(Memory):
    """The newest number, and the sum."""

    def __init__(self, panel: NumberPanel) -> None:
        self.count = 0
        self._panel = panel
        self._newest: Any = None
        self._sum: Any = None

    def take(self, time_ms: int, readings: dict[int, Any]) -> None:
        if not readings:
            return
        self.count += 1
        value = readings[0]
        panel = self._panel
        if value is None:
            self._newest = 0 if panel.per_second or panel.total else None
            return
        if panel.per_second:
            value = float(value) * 1000 / panel.spans_ms[0]
        self._newest = value
        if panel.total:
            self._sum = value if self._sum is None else _added(self._sum, value)

    def view(self, since: int = 0) -> Json:
        panel = self._panel
        value = (self._sum if self._sum is not None else self._newest) if panel.total else self._newest
        suffix = f"{panel.unit}/s" if panel.per_second else panel.unit
        above = panel.warn_above
        return {
            "value": None if value is None else number_of(value),
            "text": None if value is None else shown_number(value, suffix, panel.decimals),
            "note": ""
            if not panel.total or self._newest is None
            else f"{shown_number(self._newest, suffix, panel.decimals)} in the newest batch",
            "warn": value is not None and above is not None and value > above,
        }


def _added(one: Any, other: Any) -> Any:
    """The sum; a float where Python does not add the two, such as a decimal and a float."""
    try:
        return one + other
    except TypeError:
        return float(one) + float(other)


@dataclass(frozen=True, kw_only=True)
class LogPanel(Panel):
    """Records of all batches as lines, the newest last."""

    kind = "log"

    rows: int = 50
    text: Callable[[Any], str] | None = None

    @property
    def bound(self) -> int:
        return self.rows

    def read(self, records: list[Any], part: int) -> list[str]:
        lines = [self._line(record) for record in records[: self.rows]]
        if len(records) > self.rows:
            lines.append(f"… and more {self.noun} in this batch")
        return lines

    def _line(self, record: Any) -> str:
        if self.text is not None:
            text = self.text(record)
            if not isinstance(text, str):
                raise DataError(f"{self.where} needs text of its text function, not {text!r:.100}")
            return plain_text(text)
        _, values = fields_of(record)
        return " · ".join(map(cell, values))

    def memory(self) -> Memory:
        return LogMemory(self)

    def described(self) -> Json:
        return {**super().described(), "rows": self.rows}


class LogMemory(Memory):
    """The newest lines, each with the time of its batch."""

    def __init__(self, panel: LogPanel) -> None:
        self.count = 0
        self._lines: deque[tuple[int, str]] = deque(maxlen=panel.rows)

    def take(self, time_ms: int, readings: dict[int, Any]) -> None:
        for lines in readings.values():
            self._lines.extend((time_ms, line) for line in lines)
            self.count += len(lines)

    def view(self, since: int = 0) -> Json:
        begin = self.count - len(self._lines)
        skipped = min(max(0, since - begin), len(self._lines))
        return {"from": begin + skipped, "lines": [list(each) for each in islice(self._lines, skipped, None)]}


@dataclass(frozen=True, kw_only=True)
class BatchesPanel(Panel):
    """How long each batch took, against the batch interval. What it reads is told by the scheduler."""

    kind = "batches"

    interval_ms: int
    points: int = 300

    def memory(self) -> Memory:
        return BatchesMemory(self)

    def described(self) -> Json:
        return {**super().described(), "unit": "ms", "interval": self.interval_ms, "points": self.points}


class BatchesMemory(LineMemory):
    """Processing times and how long batches waited for their turn, in whole milliseconds."""

    def __init__(self, panel: BatchesPanel) -> None:
        line = LinePanel(
            id=panel.id,
            title=panel.title,
            noun=panel.noun,
            width=panel.width,
            names=(),
            unit="ms",
            points=panel.points,
        )
        super().__init__(line)

    def _shown(self, value: float) -> str:
        return shown_number(round(value), "ms")
