"""Lines of text to records of a class: the step that parses, and the two that tell good from refused.

One parse makes both::

    lines --> Parse --> [columns of records, rejects, columns of records, ...]
                 |---> Accepted  the records
                 '---> Rejected  the lines that are none
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.chunk import Chunk, Columns, Lines, Optional, Rows, Scalar
from penstock.errors import ArgumentError, CallSite, DataError, SignatureError, StateError, shown
from penstock.formats import Block, LineFormat, MalformedLine, Refused
from penstock.plan import Form, Narrow, Node, Step, Task, must_be_callable, raise_located, row_type_of
from penstock.sources import Reject, Rejects, SourceLine
from penstock.vectorize import Untraced, holding, trace_filter

__all__ = ["Accepted", "Parse", "Reject", "Rejected", "accepted", "no_rejects", "parsed", "rejects_of"]

_TEXTS = (Scalar(str), Optional(Scalar(str)))
_JOINED_MAX = 2**30  # bytes of text in a column that are joined to one
_ERRORS = ("quarantine", "drop", "fail")


class Parse(Step):
    """Each line (``str``, ``bytes``, :class:`SourceLine`) as a record of ``format``.

    ``on_error`` is what becomes of a line that is none: ``quarantine`` gives :class:`Rejects` between the
    records, ``drop`` nothing, ``fail`` raises :class:`DataError`, after the records before it. ``check`` is a
    further rule: a record for which it is false is refused.
    """

    __slots__ = ("check", "format", "name", "on_error", "rule", "site")

    def __init__(
        self, format: LineFormat, on_error: str, check: Callable[[Any], Any] | None, site: CallSite
    ) -> None:
        if on_error not in _ERRORS:
            known = ", ".join(map(repr, _ERRORS))
            raise ArgumentError(f"onError of {site} should be one of {known}, not {on_error!r}")
        if check is not None:
            must_be_callable(check, f"check of {site.operation}")
        self.format = format
        self.on_error = on_error
        self.check = check
        self.site = site
        self.name = site.operation
        self.rule = "" if check is None else f"the rule {_name_of(check)} does not hold"

    def run(self, task: Task, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        before = 0
        for chunk in chunks:
            if isinstance(chunk, Lines):
                yield from self._parsed(chunk.data, len(chunk), partial(_begin, chunk))
            elif isinstance(chunk, Columns) and chunk.row_type in _TEXTS and not chunk.leaves[0].null_count:
                yield from self._of_column(chunk, before)
            else:
                yield from self._of_rows(chunk.rows(), before)
            before += len(chunk)

    def _of_column(self, chunk: Columns, before: int) -> Iterator[Chunk]:
        """Texts in a column, none of them missing: without making Python strings if all are single lines."""
        data = b"\r"
        if 0 < chunk.nbytes < _JOINED_MAX:
            import pyarrow.compute as pc  # slow to import, and files of lines do without

            column = chunk.leaves[0]
            whole = pa.ListArray.from_arrays(pa.array([0, len(column)], pa.int32()), column)
            data = pc.binary_join(whole, "\n")[0].as_buffer().to_pybytes()
        if b"\r" in data or data.count(b"\n") != len(chunk) - 1:
            yield from self._of_texts(chunk.rows(), before)
            return
        yield from self._parsed(data + b"\n", len(chunk), lambda: ("", before + 1))

    def _of_rows(self, rows: list[Any], before: int) -> Iterator[Chunk]:
        kinds = set(map(type, rows))
        if kinds == {SourceLine}:
            yield from self._of_texts([row.text for row in rows], before, rows)
            return
        if kinds <= {str, bytes}:
            texts = [row.decode("utf-8", "replace") if type(row) is bytes else row for row in rows]
            yield from self._of_texts(texts, before)
            return
        for index, row in enumerate(rows):  # the lines before the culprit are lines all the same
            if type(row) not in (str, bytes, SourceLine):
                yield from self._of_mixed(rows[:index], before)
                error = SignatureError(
                    f"{self.site} needs lines of text (str, bytes or SourceLine), not {type(row).__name__}: "
                    f"{shown(row, 60)}"
                )
                raise_located(error, self.site, row)
        yield from self._of_mixed(rows, before)

    def _of_mixed(self, rows: list[Any], before: int) -> Iterator[Chunk]:
        for index, row in enumerate(rows):
            yield from self._of_rows([row], before + index)

    def _of_texts(
        self, texts: list[str], before: int, lines: list[SourceLine] | None = None
    ) -> Iterator[Chunk]:
        """Texts, which unlike lines may hold anything."""
        try:
            data = "\n".join(texts).encode()
        except UnicodeEncodeError:
            data = b"\r"
        if texts and b"\r" not in data and data.count(b"\n") == len(texts) - 1:
            if not texts[-1]:
                data += b"\n"
            places = None if lines is None else [(line.source, line.number) for line in lines]
            yield from self._parsed(data, len(texts), lambda: ("", before + 1), places)
            return
        for index, text in enumerate(texts):
            at = ("", before + index + 1) if lines is None else (lines[index].source, lines[index].number)
            try:
                record = self.format.parse_line(text)
            except MalformedLine as problem:
                block = Block(Rows([]), [Refused(0, text, str(problem))], [], 1)
            else:
                block = Block(Rows([] if record is None else [record]), [], [0] if record is None else [], 1)
            yield from self._sorted(block, texts[index : index + 1].__getitem__, partial(_as_it_is, at), None)

    def _parsed(
        self,
        data: bytes,
        count: int,
        begin: Callable[[], tuple[str, int]],
        places: list[tuple[str, int]] | None = None,
    ) -> Iterator[Chunk]:
        block = self.format.parse_block(data, count)
        held: list[str] = []

        def text_at(index: int) -> str:
            if not held:
                held.extend(data.decode().split("\n"))
            return held[index]

        return self._sorted(block, text_at, begin, places)

    def _sorted(
        self,
        block: Block,
        text_at: Callable[[int], str],
        begin: Callable[[], tuple[str, int]],
        places: list[tuple[str, int]] | None,
    ) -> Iterator[Chunk]:
        good, refused = block.good, list(block.refused)
        failed: tuple[Exception, Any] | None = None
        if self.check is not None and len(good):
            good, refused, failed = self._checked(block, text_at)
        if self.on_error == "fail" and refused:  # of the lines before the first refused one, all that hold
            good = good.slice(0, int((block.places() < refused[0].place).sum()))  # records passed the rule
        if len(good):
            yield good
        if refused and self.on_error != "drop":
            if places is None:
                source, number = begin()
                at = [(source, number + each.place) for each in refused]
            else:
                at = [places[each.place] for each in refused]
            rejects = [
                Reject(source, number, each.text, each.reason)
                for (source, number), each in zip(at, refused, strict=True)
            ]
            if self.on_error == "fail":
                raise self._failure(rejects[0])
            yield Rejects(rejects)
        if failed is not None:
            raise_located(failed[0], self.site, failed[1])

    def _checked(
        self, block: Block, text_at: Callable[[int], str]
    ) -> tuple[Chunk, list[Refused], tuple[Exception, Any] | None]:
        """The records for which the rule holds, the refused lines, and where the rule itself failed."""
        assert self.check is not None
        refused = list(block.refused)
        in_columns = self._holding(block.good)
        if in_columns is not None:
            if in_columns.all():
                return block.good, refused, None
            assert isinstance(block.good, Columns)
            kept_rows = np.flatnonzero(in_columns)
            for place in block.places()[~in_columns].tolist():
                refused.append(Refused(place, text_at(place), self.rule))
            refused.sort(key=lambda each: each.place)
            return block.good.take(kept_rows), refused, None
        rows, places = block.good.rows(), block.places().tolist()
        kept: list[int] = []
        failed: tuple[Exception, Any] | None = None
        for index, record in enumerate(rows):
            try:
                holds = self.check(record)
            except Exception as error:
                failed = error, record
                refused = [each for each in refused if each.place < places[index]]
                break
            if holds:
                kept.append(index)
            else:
                refused.append(Refused(places[index], text_at(places[index]), self.rule))
        refused.sort(key=lambda each: each.place)
        if len(kept) == len(rows):
            return block.good, refused, failed
        if isinstance(block.good, Columns):
            return block.good.take(np.array(kept, np.int64)), refused, failed
        return Rows([rows[index] for index in kept]), refused, failed

    def _holding(self, good: Chunk) -> npt.NDArray[np.bool_] | None:
        """For which records the rule holds, if it can be asked on columns."""
        if not isinstance(good, Columns) or row_type_of(good) is None:
            return None
        assert self.check is not None
        traced = trace_filter(self.check, good.row_type)
        return None if isinstance(traced, Untraced) else holding(traced, good)

    @property
    def is_pure(self) -> bool:
        """Whether parsing has no effect but its records: there is no rule, or one that is known to have
        none."""
        if self.check is None:
            return True
        row_type = self.format.row_type
        return row_type is not None and not isinstance(trace_filter(self.check, row_type), Untraced)

    begins_columns = True
    """Whatever the lines are, the records are columns. (See :mod:`penstock.plan.forms`.)"""

    def form(self, form: Form) -> Form:
        """Lines become records; see :mod:`penstock.plan.forms`."""
        row_type = self.format.row_type
        if row_type is None:
            return Untraced(f"a field of {self.format.cls.__name__} has no column")
        return row_type

    def _failure(self, reject: Reject) -> DataError:
        where = f"line {reject.number} of {reject.source}" if reject.source else f"line {reject.number}"
        return DataError(
            f"{where} is no {self.format.cls.__name__} for {self.site}: {reject.reason} (the line is "
            f"{shown(reject.text)}). Hint: onError='quarantine' puts such lines into .rejects."
        )


class Accepted(Step):
    """The records of a :class:`Parse`, without the rejects between them."""

    name = "accepted"

    def form(self, form: Form) -> Form:
        """The records stay what they are."""
        return form

    def run(self, task: Task, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        return (chunk for chunk in chunks if not isinstance(chunk, Rejects))


class Rejected(Step):
    """The rejects of a :class:`Parse`, without the records."""

    name = "rejects"

    def run(self, task: Task, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        return (Rows(chunk.rows()) for chunk in chunks if isinstance(chunk, Rejects))


def parsed(plan: Node, step: Parse) -> Node:
    """The records that ``step`` makes of the lines of ``plan``."""
    made = Narrow(step.site, plan, step)
    return Narrow(step.site, made, Accepted()) if step.on_error == "quarantine" else made


def accepted(plan: Node, site: CallSite) -> Node:
    """The records of a plan that may hold rejects between them."""
    return Narrow(site, plan, Accepted())


def rejects_of(plan: Node, site: CallSite) -> Node:
    """The rejects of the parse whose records ``plan`` is. Raises: :class:`StateError` if it is none."""
    if isinstance(plan, Narrow) and isinstance(plan.step, Accepted):
        return Narrow(site, plan.parent, Rejected())
    raise StateError(no_rejects(site))


def no_rejects(site: CallSite) -> str:
    """What to say where there are no rejects."""
    return (
        f"{site} is there right behind parseCsv and parseJson with onError='quarantine', and right behind "
        f"inputs of binary records, CSV and JSON lines, and nowhere else. "
        f"Hint: parsed = lines.parseCsv(Order); parsed.rejects, parsed.map(...)."
    )


def _begin(lines: Lines) -> tuple[str, int]:
    return lines.source, lines.number


def _as_it_is(place: tuple[str, int]) -> tuple[str, int]:
    return place


def _name_of(function: Callable[..., Any]) -> str:
    name = getattr(function, "__qualname__", type(function).__qualname__)
    code = getattr(function, "__code__", None)
    if code is not None and "<lambda>" in name:
        return ascii(f"{code.co_filename.rpartition('/')[2]}:{code.co_firstlineno}")[1:-1]
    return ascii(name)[1:-1]
