r"""CSV: a record a line, fields between separators; ``docs/formats.md`` has the grammar.

A block is read as columns of texts first, by Arrow's reader. What it calls a line with the wrong number
of fields, and what a field's column is in doubt of, is read again line by line, which says yes or why
not. So one damaged line costs one line::

    block --> columns of texts --> all values proved? --> columns of values ---------.
     (Arrow)    |                        |                                           +--> in their order
                '- wrong number of       '- in doubt --> line by line --> accepted --'
                   fields ------------------------------^        '------> refused, with the reason

A quote is not given to Arrow before one regular expression has seen that it is in its place: else one
that is never closed would swallow the lines behind it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.chunk import Chunk, Columns, Lines, Rows
from penstock.chunk.leaves import Mask, bools_of
from penstock.chunk.records import values_of
from penstock.errors import ArgumentError
from penstock.formats.base import Block, LineFormat, MalformedLine, Refused, shown_text
from penstock.formats.fields import fields_of, row_type_of_fields
from penstock.formats.text_column import TextColumn

if TYPE_CHECKING:
    from pyarrow import csv

__all__ = ["COLUMNS_FROM", "CsvFormat"]

COLUMNS_FROM = 200
"""Lines from which a block is read as columns: below, the fixed cost of Arrow's reader is higher."""
_BLOCK_BYTES_MAX = 1 << 30  # Arrow's reader counts with 32 bits
_BOM = b"\xef\xbb\xbf"
_FEED, _QUOTE = 10, 34
_SLICES_MAX = 100  # pieces cost half a microsecond each, moving all values twenty times as much
_QUOTED_SHARE = 16  # if one line in so many or more has quotes, they are there on purpose

Places = npt.NDArray[np.int64]


class CsvFormat(LineFormat):
    """Lines of fields, one for each field of the record class, in their order.

    ``sep`` is one ASCII character; with ``header``, lines that are the fields' names between separators
    are skipped. ``words`` and ``formats`` say by field how bools and times are written.

    >>> from typing import NamedTuple
    >>> class Order(NamedTuple):
    ...     id: int
    ...     price: float
    ...     buy: bool
    >>> CsvFormat(Order, words={"buy": ("B", "S")}).parse_line("1,51.00,B")
    Order(id=1, price=51.0, buy=True)
    """

    def __init__(
        self,
        cls: type,
        *,
        sep: str = ",",
        header: bool = False,
        words: Mapping[str, tuple[str, str]] | None = None,
        formats: Mapping[str, str] | None = None,
        operation: str = "parseCsv",
    ) -> None:
        if (
            not isinstance(sep, str)
            or len(sep) != 1
            or not sep.isascii()
            or sep.isalnum()
            or sep in '"\r\n\0'
        ):
            raise ArgumentError(
                f"the separator of {operation} should be one ASCII character that is no letter, digit, "
                f"quote or line end, not {sep!r}"
            )
        self.cls = cls
        self.fields = fields_of(cls, words, formats, operation)
        self.row_type = row_type_of_fields(cls, self.fields)
        self.sep = sep
        self._names = tuple(field.name for field in self.fields)
        self._header = sep.join(self._names) if header else None
        self._columns = [f"{index}" for index in range(len(self.fields))]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_convert", "_structured")}

    # Line by line

    def parse_line(self, text: str) -> Any:
        values = self._values(text)
        return None if values is None else self._records([[value] for value in values], 1)[0]

    def _values(self, text: str) -> list[Any] | None:
        """The fields' values; ``None`` for a header."""
        if text == self._header:
            return None
        texts = self._split(text)
        if len(texts) != len(self.fields):
            fields = "1 field" if len(texts) == 1 else f"{len(texts)} fields"
            held = f": {shown_text(text)}" if len(texts) == 1 else ""
            raise MalformedLine(f"{fields} instead of {len(self.fields)}{held}")
        values: list[Any] = []
        for field, held in zip(self.fields, texts, strict=True):
            if field.optional and not held:
                values.append(None)
                continue
            try:
                values.append(field.kind.value(held))
            except ValueError as problem:
                raise MalformedLine(
                    f"field {len(values) + 1} ({_ascii(field.name)}) is {shown_text(held)}: {problem}"
                ) from None
        return values

    def _split(self, text: str) -> list[str]:
        if not text:
            raise MalformedLine("an empty line")
        if "\n" in text or "\r" in text:
            raise MalformedLine("a line end within the line")
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                raise MalformedLine("half of a surrogate pair, which is no text") from None
        if '"' not in text:
            return text.split(self.sep)
        texts: list[str] = []
        at = 0
        while True:
            if text[at : at + 1] == '"':
                end = at + 1
                while text[end : end + 2] == '""' or text[end : end + 1] not in ('"', ""):
                    end += 2 if text[end : end + 2] == '""' else 1
                if end >= len(text):
                    raise MalformedLine(f"the quote that begins field {len(texts) + 1} does not end")
                texts.append(text[at + 1 : end].replace('""', '"'))
                end += 1
            else:
                end = text.find(self.sep, at)
                end = len(text) if end < 0 else end
                if '"' in text[at:end]:
                    raise MalformedLine(
                        f"a quote within field {len(texts) + 1}: only a whole field is quoted"
                    )
                texts.append(text[at:end])
            if end == len(text):
                return texts
            if text[end] != self.sep:
                raise MalformedLine(f"text behind the quotes of field {len(texts)}")
            at = end + 1

    def _records(self, columns: Sequence[Sequence[Any]], count: int) -> list[Any]:
        return values_of(self.cls, self._names, columns, count)

    # Block by block

    def parse_block(self, data: bytes, count: int | None = None) -> Block:
        if count is None:
            count = len(Lines(data))
        if count < COLUMNS_FROM or len(data) > _BLOCK_BYTES_MAX:
            return self._line_by_line(data, count)
        whole, skipped = data, np.zeros(0, np.int64)
        if self._header is not None:
            data, skipped = self._without_headers(data)
        read = self._as_texts(data, count - len(skipped))
        if read is None:
            return self._line_by_line(whole, count)
        texts, places = read
        if len(skipped):
            places = np.delete(np.arange(count), skipped)[slice(None) if places is None else places]
        return self._converted(whole, count, texts, places, skipped)

    def _line_by_line(self, data: bytes, count: int) -> Block:
        lines = data.decode().split("\n")[:count]
        good, refused, skipped = self._sorted_out(range(count), lines)
        columns: list[list[Any]] = [
            list(column) for column in zip(*(values for _, values in good), strict=True)
        ]
        if not columns:
            columns = [[] for _ in self.fields]
        if len(good) < COLUMNS_FROM or self.row_type is None:
            return Block(Rows(self._records(columns, len(good))), refused, skipped, count)
        arrays = [field.kind.array_of(column) for field, column in zip(self.fields, columns, strict=True)]
        return Block(Columns(self.row_type, arrays, len(good)), refused, skipped, count)

    def _sorted_out(
        self, places: Sequence[int], lines: Sequence[str]
    ) -> tuple[list[tuple[int, list[Any]]], list[Refused], list[int]]:
        """Which of these lines hold values, which are refused and which are headers."""
        good: list[tuple[int, list[Any]]] = []
        refused: list[Refused] = []
        skipped: list[int] = []
        for place, text in zip(places, lines, strict=True):
            try:
                values = self._values(text)
            except MalformedLine as problem:
                refused.append(Refused(place, text, str(problem)))
                continue
            if values is None:
                skipped.append(place)
            else:
                good.append((place, values))
        return good, refused, skipped

    def _without_headers(self, data: bytes) -> tuple[bytes, Places]:
        """The block without its headers, and which lines they are."""
        assert self._header is not None
        header = self._header.encode()
        pieces, places, begin, at, line = [], [], 0, -1, 0
        counted = 0  # bytes in which line ends have been counted
        while (at := data.find(header, at + 1)) >= 0:
            end = at + len(header)
            if data[at - 1 : at] not in (b"\n", b"") or data[end : end + 1] not in (b"\n", b""):
                continue
            line += data.count(b"\n", counted, at)
            counted = at
            places.append(line)
            pieces.append(data[begin:at])
            begin = end + 1
        return (b"".join([*pieces, data[begin:]]) if places else data), np.array(places, np.int64)

    # Texts

    def _as_texts(self, data: bytes, count: int) -> tuple[list[pa.Array], Places | None] | None:
        """Each field's texts, and in which of the ``count`` lines they stand (``None``: in all of them).

        What is not among them is to be read line by line. ``None``: all of it.
        """
        if not count or data.startswith(_BOM):  # which Arrow takes for no text
            return None
        quotes = b'"' in data
        if quotes and np.count_nonzero(np.frombuffer(data, np.uint8) == _QUOTE) * _QUOTED_SHARE >= count:
            return self._quoted_texts(data, count)
        odd: list[int] = []

        def noted(row: Any) -> str:
            odd.append(row.number)
            return "skip"

        texts = self._arrow_texts(data, False, noted)
        if texts is None or len(texts[0]) + len(odd) != count:
            return None
        places = np.delete(np.arange(count), np.array(odd) - 1) if odd else None
        if quotes:
            unquoted = ~np.any([_with_quotes(array) for array in texts], axis=0)
            texts = [array.filter(bools_of(unquoted)) for array in texts]
            places = (np.arange(count) if places is None else places)[unquoted]
        return texts, places

    def _quoted_texts(self, data: bytes, count: int) -> tuple[list[pa.Array], Places | None] | None:
        """As :meth:`_as_texts`, of the lines whose quotes are where they belong."""
        if not data.endswith(b"\n"):
            data += b"\n"
        spans = [found.span() for found in self._structured.finditer(data)]
        right = b"".join(data[begin:end] for begin, end in spans)
        if not right or right.startswith(_BOM):
            return None
        texts = self._arrow_texts(right, '"', None)
        ends = np.flatnonzero(np.frombuffer(data, np.uint8) == _FEED)
        firsts = np.searchsorted(ends, [begin for begin, _ in spans])
        lasts = np.searchsorted(ends, [end - 1 for _, end in spans])
        held = np.zeros(count + 1, np.int64)
        np.add.at(held, firsts, 1)
        np.add.at(held, lasts + 1, -1)
        places = np.flatnonzero(np.cumsum(held)[:count])
        if texts is None or len(texts[0]) != len(places):
            return None
        return texts, places

    @cached_property
    def _structured(self) -> re.Pattern[bytes]:
        """Runs of lines with the right number of fields, each either quoted or without a quote."""
        sep = re.escape(self.sep)
        field = f'(?:"(?:[^"\\n]|"")*"(?=[{sep}\\n])|[^{sep}"\\n]*)'
        line = field + f"{sep}{field}" * (len(self.fields) - 1) + "\\n"
        return re.compile(f"(?m:^)(?:{line})+".encode())

    @cached_property
    def _convert(self) -> csv.ConvertOptions:
        from pyarrow import csv

        return csv.ConvertOptions(
            column_types=dict.fromkeys(self._columns, pa.string()), null_values=[], check_utf8=False
        )

    def _arrow_texts(
        self, data: bytes, quote: str | bool, odd: Callable[[Any], str] | None
    ) -> list[pa.Array] | None:
        from pyarrow import csv  # here, because programs without such lines do not need it

        try:
            table = csv.read_csv(
                pa.BufferReader(data),
                read_options=csv.ReadOptions(
                    column_names=self._columns, use_threads=False, block_size=len(data) + 1
                ),
                parse_options=csv.ParseOptions(
                    delimiter=self.sep, quote_char=quote, ignore_empty_lines=False, invalid_row_handler=odd
                ),
                convert_options=self._convert,
            )
        except pa.ArrowInvalid:
            return None
        return [_one(column) for column in table.columns]

    # Values

    def _converted(
        self, data: bytes, count: int, texts: list[pa.Array], places: Places | None, skipped: Places
    ) -> Block:
        """The block, of whose lines those at ``places`` are in ``texts``."""
        arrays, sure = self._read(texts)
        if sure is not None:
            places = (np.arange(count) if places is None else places)[sure]
        held = count if places is None else len(places)
        if held + len(skipped) == count:
            return Block(self._chunk(arrays, held), [], skipped.tolist(), count)
        assert places is not None
        left = np.delete(np.arange(count), np.concatenate([places, skipped])).tolist()
        good, refused, others = self._sorted_out(left, _lines_at(data, left))
        assert not others, "a header that was not seen"
        if good:
            at = np.searchsorted(places, [place for place, _ in good])
            columns = zip(*(values for _, values in good), strict=True)
            arrays = [
                _inserted(array, field.kind.array_of(column), at)
                for field, array, column in zip(self.fields, arrays, columns, strict=True)
            ]
            held += len(good)
        return Block(self._chunk(arrays, held), refused, skipped.tolist(), count)

    def _read(self, texts: list[pa.Array]) -> tuple[list[pa.Array], Mask | None]:
        """The fields' values where all are sure, and where that is (``None``: everywhere)."""
        found: list[pa.Array | None] = [None] * len(texts)
        everywhere: Mask | None = None
        while True:
            doubtful: Mask | None = None
            for index, (field, text) in enumerate(zip(self.fields, texts, strict=True)):
                if found[index] is not None:
                    continue
                column = TextColumn(text, field.optional)
                read = field.kind.read(column)
                if not isinstance(read, np.ndarray):
                    found[index] = read
                    if len(texts) > 1 or not len(column) or column.lengths.min():
                        continue
                    read = column.lengths == 0  # the only field is empty: an empty line, or a pair of quotes
                doubtful = read if doubtful is None else doubtful | read
            if doubtful is None:
                return found, everywhere
            assert doubtful.any(), "a doubt about nothing"
            sure = ~doubtful
            kept = bools_of(sure)
            texts = [
                text.filter(kept) if each is None else text for text, each in zip(texts, found, strict=True)
            ]
            found = [None if each is None else each.filter(kept) for each in found]
            if everywhere is None:
                everywhere = sure
            else:
                everywhere[everywhere] = sure

    def _chunk(self, arrays: list[pa.Array], count: int) -> Chunk:
        if self.row_type is not None:
            return Columns(self.row_type, arrays, count)
        columns = [field.kind.values_of(array) for field, array in zip(self.fields, arrays, strict=True)]
        return Rows(self._records(columns, count))


def _inserted(array: pa.Array, others: pa.Array, at: Places) -> pa.Array:
    """The array with each of ``others`` before the place in it that ``at`` says, which are in order."""
    if len(at) > _SLICES_MAX:
        order = np.argsort(np.concatenate([np.arange(len(array)) * 2 + 1, at * 2]), kind="stable")
        indices = pa.Array.from_buffers(pa.int64(), len(order), [None, pa.py_buffer(order)])
        return pa.concat_arrays([array, others]).take(indices)
    pieces, begin = [], 0
    for index, end in enumerate(at.tolist()):
        pieces += [array.slice(begin, end - begin), others.slice(index, 1)]
        begin = end
    return pa.concat_arrays([*pieces, array.slice(begin)])


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _with_quotes(array: pa.Array) -> Mask:
    column = TextColumn(array, False)
    return column.where(column.data == _QUOTE)


def _lines_at(data: bytes, places: Sequence[int]) -> list[str]:
    """The texts of some lines of a block."""
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == _FEED)
    begins = np.append(0, ends + 1)[places].tolist()
    stops = np.append(ends, len(data))[places].tolist()
    return [data[begin:stop].decode() for begin, stop in zip(begins, stops, strict=True)]


def _ascii(name: str) -> str:
    return name if name.isascii() else ascii(name)[1:-1]
