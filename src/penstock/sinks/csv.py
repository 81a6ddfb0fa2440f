"""Directories of CSV files: a line a record, a field for each of its fields."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from penstock.chunk import Chunk, Columns, Optional, RowType, Scalar
from penstock.errors import ArgumentError, RowTypeError, shown
from penstock.plan import Node, call_site, raise_located
from penstock.sinks.base import Jobs, PartFormat
from penstock.sinks.codecs import Compressing, codec_of
from penstock.sinks.shapes import known_type, names_of_type, shape_of
from penstock.sinks.texts import csv_text, quoting

__all__ = ["CsvFormat"]

_IN_VALUES = '"\r\n\0+-.:/= '


class CsvFormat(PartFormat):
    """Fields between separators, in quotes where they must be; with ``header``, their names first.

    All records must have the same fields. A partition without records has a file only if there is a header
    and the fields are known.
    """

    leaves_out = True

    def __init__(self, operation: str, *, header: bool, sep: str, codec: str | None) -> None:
        if (
            not isinstance(sep, str)
            or len(sep) != 1
            or not sep.isascii()
            or sep.isalnum()
            or sep in _IN_VALUES
        ):
            raise ArgumentError(
                f"the separator of {operation} should be one ASCII character that is in no number or time, "
                f"and no quote, blank or line end, not {sep!r}. Hint: ',', ';', '|' or '\\t'."
            )
        suffix, self._compress = codec_of(codec)
        self.extension = f".csv{suffix}"
        self.header = header
        self._sep = sep
        self._quoted = quoting(sep)
        self._site = call_site(operation)
        self._known: tuple[str, ...] | None = None

    def prepared(self, jobs: Jobs, plan: Node) -> tuple[PartFormat, Node]:
        row_type = known_type(plan) if self.header else None
        if row_type is not None:
            copy = CsvFormat.__new__(CsvFormat)
            copy.__dict__.update(self.__dict__, _known=names_of_type(row_type))
            return copy, plan
        return self, plan

    def write(self, out: Callable[[bytes], None], chunks: Iterator[Chunk]) -> _Found | None:
        put = Compressing(out, self._compress)
        found: _Found | None = None
        for chunk in chunks:
            for names, record, data in self._pieces(chunk):
                if found is None:
                    found = _Found(names, record)
                    if self.header:
                        put(self._header_of(names))
                elif names != found.names:
                    raise_located(_other_fields(names, found.names), self._site, record)
                put(data)
        if found is None and self._known is not None:
            put(self._header_of(self._known))
        return found

    def kind_of(self, found: Any) -> str:
        header = "" if found is None else self._header_of(found.names).decode()
        return header if self.header else header.removesuffix("\n")

    def merged(self, kind: str, pieces: Sequence[bytes]) -> bytes:
        if not kind.endswith("\n"):  # whatever this program writes: these have no header
            return b"".join(pieces)
        begin = len(kind.encode())
        return b"".join([pieces[0], *(piece[begin:] for piece in pieces[1:])])

    def check(self, found: Sequence[_Found | None]) -> None:
        first: _Found | None = None
        for each in found:
            if each is not None and first is None:
                first = each
            elif each is not None and first is not None and each.names != first.names:
                raise_located(_other_fields(each.names, first.names), self._site, each.record)

    def _header_of(self, names: Sequence[str]) -> bytes:
        return (self._sep.join(map(self._quoted, names)) + "\n").encode()

    def _pieces(self, chunk: Chunk) -> Iterator[tuple[tuple[str, ...], Any, bytes]]:
        """The lines of records with the same fields, with the names of those and the first record."""
        if isinstance(chunk, Columns) and len(chunk) and not _may_lack_records(chunk.row_type):
            from penstock.sinks.text_columns import lines_of_columns, slices_of

            for part in slices_of(chunk):
                names = names_of_type(part.row_type)
                first = part.slice(0, 1).rows()[0]
                if not names:
                    raise_located(_no_fields(), self._site, first)
                try:
                    data = lines_of_columns(part, self._sep)
                except RowTypeError as error:
                    raise_located(error, self._site, first)
                yield names, first, data
            return
        lines: list[str] = []
        known: tuple[str, ...] | None = None
        first = None
        for record in chunk.rows():
            try:
                names, line = self._line(record)
            except Exception as error:
                raise_located(error, self._site, record)
            if names is not known and names != known:
                if known is not None:
                    raise_located(_other_fields(names, known), self._site, record)
                known, first = names, record
            lines.append(line)
        if known is not None:
            yield known, first, self._encoded(lines, chunk.rows())

    def _line(self, record: Any) -> tuple[tuple[str, ...], str]:
        names, values = shape_of(record)
        quoted = self._quoted
        line = self._sep.join([csv_text(value, quoted) for value in values])
        if not line:
            if not names:
                raise _no_fields()
            if len(names) == 1:
                line = '""'  # an empty line would be no record
        return names, f"{line}\n"

    def _encoded(self, lines: list[str], rows: list[Any]) -> bytes:
        try:
            return "".join(lines).encode()
        except UnicodeEncodeError as error:  # a surrogate that stands alone: find it
            for line, record in zip(lines, rows, strict=True):
                try:
                    line.encode()
                except UnicodeEncodeError as again:
                    raise_located(again, self._site, record)
            raise error


class _Found(NamedTuple):
    """What the first record of a partition has: its fields' names."""

    names: tuple[str, ...]
    record: Any


def _may_lack_records(row_type: RowType) -> bool:
    """Whether some of the records may be ``None``, which have other fields than the rest."""
    return isinstance(row_type, Optional) and not isinstance(row_type.inner, Scalar)


def _other_fields(names: Sequence[str], first: Sequence[str]) -> RowTypeError:
    return RowTypeError(
        f"a record with the fields {shown(list(names))} is in no file of records with the fields "
        f"{shown(list(first))}"
    )


def _no_fields() -> RowTypeError:
    return RowTypeError("a record without fields is no line of a CSV file")
