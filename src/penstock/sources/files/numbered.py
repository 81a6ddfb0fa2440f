"""Files of rows as ``(row number, record)``: CSV, JSON lines, Parquet, Arrow.

The number of a record is its place in the file, from 0; lines that were refused have one too, headers have
none. Each file is one partition, since nobody knows how many rows come before the middle of it.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import ipc

from penstock.chunk import CHUNK_ROWS, Chunk, Columns, Lines, Rows, RowType, Scalar, Tuple, row_type_of_class
from penstock.errors import ArgumentError, CorruptInput, DataError, RowTypeError, SignatureError, StorageError
from penstock.formats import Block, CsvFormat, JsonFormat, LineFormat, Refused
from penstock.plan import PartitionReader, Task
from penstock.sources.files.planned import open_content
from penstock.sources.files.text import TextReader
from penstock.sources.rejects import Reject, Rejects
from penstock.storage import FileInfo, Storage

__all__ = ["NumberedLines", "NumberedTables", "RowOptions", "row_options"]

_ON_ERROR = ("quarantine", "drop", "fail")
_OPTIONS = {
    "csv": ("class", "sep", "header", "names", "words", "formats", "onError"),
    "jsonl": ("class", "unknown", "words", "formats", "onError"),
    "parquet": ("class", "columns"),
    "arrow": ("class", "columns"),
}


class RowOptions(NamedTuple):
    """How to read files of rows, from the user's ``conf``. ``line_format`` reads the lines of a class."""

    format: str
    line_format: LineFormat | None = None
    on_error: str = "quarantine"
    sep: str = ","
    header: bool = True
    names: tuple[str, ...] | None = None
    cls: type | None = None
    columns: tuple[str, ...] | None = None

    @property
    def row_type(self) -> RowType | None:
        """That of the pairs, if it is known and they are columns."""
        inner = None if self.line_format is None else self.line_format.row_type
        if self.cls is not None and self.line_format is None:
            inner = row_type_of_class(self.cls)
        return None if inner is None else Tuple((Scalar(int), inner))

    @property
    def can_refuse(self) -> bool:
        """Whether there may be rejects between the records."""
        return self.format in ("csv", "jsonl") and self.on_error == "quarantine"


def row_options(format: str, conf: Mapping[str, Any]) -> RowOptions:
    """The options of one of the formats, checked."""
    known = _OPTIONS[format]
    for name in conf:
        if name not in known:
            raise ArgumentError(f"the format {format} knows no {name!r} in conf, but {', '.join(known)}")
    cls, on_error = conf.get("class"), conf.get("onError", "quarantine")
    if cls is not None and not isinstance(cls, type):
        raise SignatureError(f"class in conf should be a NamedTuple or dataclass, not {cls!r}")
    if on_error not in _ON_ERROR:
        raise ArgumentError(
            f"onError in conf should be one of {', '.join(map(repr, _ON_ERROR))}, not {on_error!r}"
        )
    options = RowOptions(format, on_error=on_error, cls=cls)
    operation = f"fileStream of {format}"
    if format in ("parquet", "arrow"):
        if cls is not None:
            row_type_of_class(cls)  # said here rather than in the first batch
        return options._replace(columns=_names_in(conf, "columns"))
    shared = {name: conf.get(name) for name in ("words", "formats")}
    if format == "jsonl":
        if cls is None:
            _only_with_class(conf, "unknown", "words", "formats")
            return options
        made = JsonFormat(cls, unknown=conf.get("unknown", "refuse"), operation=operation, **shared)
        return options._replace(line_format=made)
    sep = conf.get("sep", ",")
    if cls is not None:
        if "names" in conf:
            raise ArgumentError("names in conf are those of the class if there is one: leave one of them out")
        header = bool(conf.get("header", False))
        return options._replace(
            line_format=CsvFormat(cls, sep=sep, header=header, operation=operation, **shared)
        )
    _only_with_class(conf, "words", "formats")
    names = _names_in(conf, "names")
    header = bool(conf.get("header", names is None))
    if names is None and not header:
        raise ArgumentError(
            "the columns of CSV files without a header have no names. "
            "Hint: conf={'names': ['id', 'price']}, or conf={'class': Order}."
        )
    CsvFormat(_texts(1), sep=sep, operation=operation)  # checks the separator
    return options._replace(sep=sep, header=header, names=names)


def _names_in(conf: Mapping[str, Any], key: str) -> tuple[str, ...] | None:
    names = conf.get(key)
    if names is None:
        return None
    if isinstance(names, str) or not all(isinstance(name, str) for name in names) or not names:
        raise SignatureError(f"{key} in conf should be a list of names, not {names!r}")
    _must_differ(names, f"{key} in conf")
    return tuple(names)


def _must_differ(names: Any, what: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ArgumentError(f"{what} has {twice[0]!r} twice")


def _only_with_class(conf: Mapping[str, Any], *names: str) -> None:
    for name in names:
        if name in conf:
            raise ArgumentError(f"{name} in conf means something with a class only. Hint: 'class': Order.")


def _texts(count: int) -> Any:
    """A record class of so many texts."""
    return NamedTuple("Texts", [(f"c{index}", str) for index in range(count)])


class _Numbered(PartitionReader):
    """What reading files of rows has in common."""

    __slots__ = ("file", "options", "origin", "storage")

    def __init__(self, storage: Storage, file: FileInfo, options: RowOptions, origin: Hashable) -> None:
        self.storage = storage
        self.file = file
        self.options = options
        self.origin = origin

    @property
    def travels(self) -> bool:
        return not self.storage.of_this_process

    @property
    def row_type(self) -> RowType | None:
        return self.options.row_type

    @property
    def bytes_hint(self) -> int:
        return self.file.size

    @abstractmethod
    def chunks(self, task: Task) -> Iterator[tuple[npt.NDArray[np.int64], Chunk] | Rejects]:
        """The records with their numbers, and rejects between them."""

    def read(self, task: Task) -> Iterator[Chunk]:
        count = 0
        for found in self.chunks(task):
            if isinstance(found, Rejects):
                yield found
                continue
            numbers, chunk = found
            count += len(chunk)
            if isinstance(chunk, Columns):
                row_type = Tuple((Scalar(int), chunk.row_type))
                yield Columns(row_type, [pa.array(numbers), *chunk.leaves], len(chunk))
            else:
                yield Rows(list(zip(numbers.tolist(), chunk.rows(), strict=True)))
        place = (self.origin, self.file.path, 0)
        task.metrics.note("records", place, count)
        task.metrics.note("bytes", place, self.file.size)


class NumberedLines(_Numbered):
    """CSV and JSON lines: records of a class, else dicts, of texts or of what JSON says."""

    __slots__ = ()

    def chunks(self, task: Task) -> Iterator[tuple[npt.NDArray[np.int64], Chunk] | Rejects]:
        file, options = self.file, self.options
        reader = TextReader(
            self.storage, file.path, 0, file.size, file.size, numbered=False, origin=self.origin
        )
        source, number = self.storage.url(file.path), 0  # number: of the next record
        lines_before = 0
        names = options.names
        named = options.format == "csv" and options.line_format is None and options.header
        format = options.line_format or _AsTexts.of(names, options)
        for lines in reader.read(task):
            assert isinstance(lines, Lines)
            skipped_first = 0
            if named and not lines_before:  # the first line of the file
                names = names or self._header(lines.slice(0, 1).rows()[0], source)
                format = _AsTexts.of(names, options)
                skipped_first = 1
                lines = lines.slice(1, len(lines))
            assert format is not None
            if not len(lines):
                lines_before += skipped_first
                continue
            block = format.parse_block(lines.data, len(lines))
            skipped = np.array(sorted(block.skipped), np.int64)
            line_one = lines_before + skipped_first + 1  # the number of the block's first line
            places = block.places()
            if block.refused and options.on_error == "fail":
                first = block.refused[0]
                fitting = int((places < first.place).sum())
                places, block = places[:fitting], block._replace(good=block.good.slice(0, fitting))
            numbers = number + places - np.searchsorted(skipped, places)
            if len(block.good):
                yield numbers, block.good
            if block.refused:
                yield from self._refused(block, source, line_one, format)
            number += block.lines - len(skipped)
            lines_before += block.lines + skipped_first

    def _refused(self, block: Block, source: str, line_one: int, format: LineFormat) -> Iterator[Rejects]:
        on_error = self.options.on_error
        rejects = [Reject(source, line_one + each.place, each.text, each.reason) for each in block.refused]
        if on_error == "fail":
            first = rejects[0]
            raise DataError(
                f"line {first.number} of {source} is no record: {first.reason}. "
                f"Hint: onError='quarantine' in conf puts such lines into .rejects."
            )
        if on_error == "quarantine":
            yield Rejects(rejects)

    def _header(self, text: str, source: str) -> tuple[str, ...]:
        import csv  # here, since few files need it

        names = next(csv.reader([text], delimiter=self.options.sep), [])
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice or not names:
            why = f"has {twice[0]!r} twice" if twice else "is empty"
            raise CorruptInput(
                f"the first line of {source}, which should name the columns, {why}. "
                f"Hint: conf={{'names': [...], 'header': True}}."
            )
        return tuple(names)


class _AsTexts(LineFormat):
    """CSV lines as dicts of texts under the given names."""

    row_type = None

    def __init__(self, names: tuple[str, ...], sep: str) -> None:
        self.cls = dict
        self._names = names
        self._format = CsvFormat(_texts(len(names)), sep=sep)

    @staticmethod
    def of(names: tuple[str, ...] | None, options: RowOptions) -> LineFormat | None:
        """What reads lines that no class was given for; ``None`` until a header names the columns."""
        if options.format == "jsonl":
            return _AsJson()
        return None if names is None else _AsTexts(names, options.sep)

    def parse_line(self, text: str) -> Any:
        return dict(zip(self._names, self._format.parse_line(text), strict=True))

    def parse_block(self, data: bytes, count: int | None = None) -> Block:
        block = self._format.parse_block(data, count)
        names = self._names
        return block._replace(good=Rows([dict(zip(names, row, strict=True)) for row in block.good.rows()]))


class _AsJson(LineFormat):
    """JSON lines as whatever they say."""

    row_type = None
    cls = object

    def parse_line(self, text: str) -> Any:
        return json.loads(text, parse_constant=_refused_constant)

    def parse_block(self, data: bytes, count: int | None = None) -> Block:
        lines = data.decode().split("\n")
        if not lines[-1]:
            lines.pop()
        good: list[Any] = []
        refused: list[Refused] = []
        for place, text in enumerate(lines):
            try:
                good.append(self.parse_line(text))
            except RecursionError:
                refused.append(Refused(place, text, "JSON that is nested too deeply"))
            except ValueError as problem:
                why = f"no JSON: {problem}" if text.strip() else "an empty line"
                refused.append(Refused(place, text, ascii(why)[1:-1]))
        return Block(Rows(good), refused, [], len(lines))


def _refused_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON value")


class NumberedTables(_Numbered):
    """Parquet, and Arrow's IPC files and streams: columns as they are, as instances of a class or of
    ``Row``."""

    __slots__ = ()

    def chunks(self, task: Task) -> Iterator[tuple[npt.NDArray[np.int64], Chunk] | Rejects]:
        name, number = self.storage.url(self.file.path), 0
        with open_content(self.storage, self.file.path, self.file.size, decompress=False) as content:
            batches = self._batches(cast(BinaryIO, content), name)
            while True:
                try:
                    batch = next(batches, None)
                    if batch is None:
                        return
                    found = self._columns(batch)
                except StorageError:  # of the file itself
                    raise
                except RowTypeError as error:
                    error.add_note(
                        f"while reading {name}. Hint: conf={{'columns': [...]}} reads the others only."
                    )
                    raise
                except (pa.ArrowException, EOFError, UnicodeDecodeError) as error:
                    raise CorruptInput(f"{name} is no whole {self.options.format} file: {error}") from error
                except MemoryError as error:
                    raise CorruptInput(
                        f"{name} says that it holds more than fits into memory: it is no whole "
                        f"{self.options.format} file, or has too large a batch"
                    ) from error
                except OSError as error:  # Arrow says it so, without an errno
                    if error.errno is not None:
                        raise
                    raise CorruptInput(f"{name} is no whole {self.options.format} file: {error}") from error
                for columns in found:
                    yield np.arange(number, number + len(columns)), columns
                    number += len(columns)

    def _batches(self, content: BinaryIO, name: str) -> Iterator[pa.RecordBatch]:
        wanted = self._wanted
        if self.options.format == "parquet":
            from pyarrow import parquet  # here, because it takes long to import

            file = parquet.ParquetFile(pa.PythonFile(content, mode="r"))
            self._must_have(file.schema_arrow.names, name)
            yield from file.iter_batches(CHUNK_ROWS, columns=wanted and list(wanted))
            return
        start = content.read(6)
        content.seek(0)
        raw = pa.PythonFile(content, mode="r")
        if start == b"ARROW1":
            opened = ipc.open_file(raw)
            self._must_have(opened.schema.names, name)
            for index in range(opened.num_record_batches):
                yield opened.get_batch(index)
            return
        stream = ipc.open_stream(raw)
        self._must_have(stream.schema.names, name)
        yield from stream

    @property
    def _wanted(self) -> tuple[str, ...] | None:
        row_type = self.options.row_type
        if row_type is not None:
            names: tuple[str, ...] = getattr(row_type.parts[1], "names", ())
            return names
        return self.options.columns

    def _must_have(self, there: list[str], name: str) -> None:
        for each in self._wanted or ():
            if each not in there:
                raise CorruptInput(f"{name} has no column {each}, but {', '.join(there)}")
            if there.count(each) > 1:
                raise CorruptInput(f"{name} has {there.count(each)} columns {each}, and one is asked for")

    def _columns(self, batch: pa.RecordBatch) -> list[Columns]:
        wanted, row_type = self._wanted, self.options.row_type
        if wanted is not None:
            batch = batch.select(list(wanted))
        batch.validate(full=True)  # a damaged file may say that values lie where there is no memory
        return Columns.from_arrow(batch, None if row_type is None else row_type.parts[1])
