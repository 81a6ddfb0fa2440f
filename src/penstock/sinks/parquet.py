"""Directories of Parquet files: columns of exactly the records' types."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import Any

import pyarrow as pa

from penstock.chunk import (
    Chunk,
    Columns,
    Optional,
    Record,
    RowType,
    Scalar,
    Tuple,
    arrow_schema,
    check_rows,
    exact_row_type,
    fits,
    row_type_of_class,
)
from penstock.errors import ArgumentError, CallSite, RowTypeError, SignatureError, locate, shown
from penstock.plan import Node, SliceReader, Source, call_site, raise_located
from penstock.sinks.base import Jobs, PartFormat
from penstock.sinks.shapes import known_type

__all__ = ["ParquetFormat", "nullable"]

ROW_GROUP_ROWS = 1_000_000
_ROW_GROUP_BYTES = 64 << 20
_COMPRESSIONS = ("snappy", "zstd", "gzip", "lz4", "brotli", "none")
_NONE = type(None)


class ParquetFormat(PartFormat):
    """One file a partition. All columns may hold nulls, so that the files of all batches have one schema.

    The schema is that of ``schema``, a record class or an Arrow schema; else what the plan is known to give.
    If neither says, the records of all partitions are held as columns until it is known what they are, and a
    partition without records has no file.
    """

    extension = ".parquet"
    leaves_out = True

    def __init__(
        self,
        operation: str,
        *,
        schema: Any = None,
        compression: str = "snappy",
        row_group_rows: int | None = None,
    ) -> None:
        if compression not in _COMPRESSIONS:
            raise ArgumentError(
                f"no compression {compression!r} for {operation}. "
                f"Hint: use one of {', '.join(_COMPRESSIONS)}."
            )
        rows = ROW_GROUP_ROWS if row_group_rows is None else row_group_rows
        if isinstance(rows, bool) or not isinstance(rows, int) or rows < 1:
            raise ArgumentError(f"{operation} needs row groups of one record or more, not {row_group_rows!r}")
        self._site = call_site(operation)
        self._compression = compression
        self._group_rows = rows
        self._type: RowType | None = None
        self._schema: pa.Schema | None = None
        if isinstance(schema, pa.Schema):
            self._schema = schema
        elif schema is not None:
            try:
                self._set(row_type_of_class(schema))
            except RowTypeError as problem:
                raise SignatureError(f"the schema of {operation} will not do: {problem}") from None

    def _set(self, row_type: RowType) -> None:
        self._type = row_type
        self._schema = nullable(arrow_schema(row_type))
        if not len(self._schema):
            raise RowTypeError("records without fields are no rows of a Parquet file")

    def prepared(self, jobs: Jobs, plan: Node) -> tuple[PartFormat, Node]:
        if self._schema is not None:
            return self, plan
        copy = ParquetFormat.__new__(ParquetFormat)
        copy.__dict__.update(self.__dict__)
        row_type = known_type(plan)
        if row_type is not None:
            copy._set(row_type)
            return copy, plan
        site = self._site
        parts = jobs.run(
            plan, lambda task, chunks: [_in_columns(chunk, site) for chunk in chunks if len(chunk)]
        )
        held = [chunk for chunks in parts for chunk in chunks]
        if held:
            kinds: list[RowType | None] = [chunk.row_type for chunk in held]
            found = reduce(_unified, kinds)
            if found is None:
                raise _misfit(held, site)
            copy._set(found)
        return copy, Source(plan.site, [SliceReader(chunks) for chunks in parts])

    def write(self, out: Callable[[bytes], None], chunks: Iterator[Chunk]) -> None:
        if self._schema is None:
            assert not any(map(len, chunks)), "records of which nobody has found out the type"
            return
        import pyarrow.parquet as parquet  # here, because a program without such files does not need it

        file = pa.PythonFile(_Out(out), mode="w")
        compression = None if self._compression == "none" else self._compression
        with parquet.ParquetWriter(file, self._schema, compression=compression) as writer:
            waiting: list[pa.RecordBatch] = []
            rows = size = 0
            for chunk in chunks:
                batch = self._batch(chunk)
                waiting.append(batch)
                rows, size = rows + batch.num_rows, size + batch.nbytes
                if rows >= self._group_rows or size >= _ROW_GROUP_BYTES:
                    writer.write_table(pa.Table.from_batches(waiting, self._schema), self._group_rows)
                    waiting, rows, size = [], 0, 0
            if rows:
                writer.write_table(pa.Table.from_batches(waiting, self._schema), self._group_rows)

    def kind_of(self, found: Any) -> str:
        import hashlib

        return hashlib.blake2b(str(self._schema).encode(), digest_size=8).hexdigest()

    def merged(self, kind: str, pieces: Sequence[bytes]) -> bytes:
        import pyarrow.parquet as parquet

        files = [parquet.ParquetFile(pa.BufferReader(piece)) for piece in pieces]
        out = pa.BufferOutputStream()
        compression = None if self._compression == "none" else self._compression
        waiting: list[pa.Table] = []
        rows = size = 0
        with parquet.ParquetWriter(out, files[0].schema_arrow, compression=compression) as writer:
            groups = [(file, group) for file in files for group in range(file.num_row_groups)]
            for source, number in groups:
                table = source.read_row_group(number)
                waiting.append(table)
                rows, size = rows + table.num_rows, size + table.nbytes
                if rows >= self._group_rows or size >= _ROW_GROUP_BYTES:
                    writer.write_table(pa.concat_tables(waiting), self._group_rows)
                    waiting, rows, size = [], 0, 0
            if rows:
                writer.write_table(pa.concat_tables(waiting), self._group_rows)
        return bytes(out.getvalue())

    def _batch(self, chunk: Chunk) -> pa.RecordBatch:
        if self._type is None:
            return self._cast(chunk)
        if not isinstance(chunk, Columns) or chunk.row_type != self._type:
            rows = chunk.rows()
            try:
                check_rows(rows, self._type)
            except RowTypeError as error:
                raise locate(error, site=self._site) from None
            chunk = Columns.from_rows(rows, self._type)
        return _with_schema(chunk.to_arrow(), self._schema)

    def _cast(self, chunk: Chunk) -> pa.RecordBatch:
        """The records under an Arrow schema that the user has given."""
        columns = _in_columns(chunk, self._site) if len(chunk) else None
        if columns is None:
            return pa.RecordBatch.from_pylist([], schema=self._schema)
        assert self._schema is not None
        batch = columns.to_arrow()
        if sorted(batch.schema.names) != sorted(self._schema.names):
            problem = RowTypeError(
                f"the schema has the columns {shown(self._schema.names)}, the records have "
                f"{shown(batch.schema.names)}"
            )
            raise_located(problem, self._site, columns.slice(0, 1).rows()[0])
        try:
            return _with_schema(batch, self._schema)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
            for at in range(len(columns)):
                try:
                    _with_schema(batch.slice(at, 1), self._schema)
                except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as problem:
                    found = RowTypeError(f"the record does not fit the schema: {problem}")
                    raise_located(found, self._site, columns.slice(at, at + 1).rows()[0])
            raise error


def nullable(schema: pa.Schema) -> pa.Schema:
    """The schema with all columns, and what is nested in them, allowed to be null.

    >>> nullable(pa.schema([pa.field("id", pa.int64(), nullable=False)]))
    id: int64
    """
    return pa.schema([_nullable_field(field) for field in schema])


def _nullable_field(field: pa.Field) -> pa.Field:
    kind = field.type
    if pa.types.is_struct(kind):
        kind = pa.struct([_nullable_field(child) for child in kind])
    return pa.field(field.name, kind, nullable=True)


def _with_schema(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = []
    for field in schema:
        column = batch.column(field.name)
        if column.type != field.type:
            column = column.cast(field.type)
        if not field.nullable and column.null_count:
            raise ValueError(f"the column {field.name} may hold no nulls")
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _in_columns(chunk: Chunk, site: CallSite) -> Columns:
    if isinstance(chunk, Columns):
        return chunk
    try:
        return Columns.from_rows(chunk.rows())
    except RowTypeError as error:
        raise locate(error, site=site) from None


def _unified(one: RowType | None, other: RowType | None) -> RowType | None:
    """The narrowest row type that both fit; ``None`` if there is none."""
    if one is None or other is None or one == other or fits(other, one):
        return None if other is None else one
    if fits(one, other):
        return other
    if Scalar(_NONE) in (one, other):
        kept = other if one == Scalar(_NONE) else one
        return kept if isinstance(kept, Optional) else Optional(kept)
    if isinstance(one, Optional) or isinstance(other, Optional):
        inner = _unified(*(each.inner if isinstance(each, Optional) else each for each in (one, other)))
        return None if inner is None else Optional(inner)
    if type(one) is not type(other) or len(one.parts) != len(other.parts) or isinstance(one, Scalar):
        return None
    parts = [_unified(a, b) for a, b in zip(one.parts, other.parts, strict=True)]
    if any(part is None for part in parts):
        return None
    known = [part for part in parts if part is not None]
    if isinstance(one, Record) and isinstance(other, Record):
        return Record(one.cls, tuple(zip(one.names, known, strict=True))) if one.cls is other.cls else None
    return Tuple(tuple(known))


def _misfit(held: list[Columns], site: CallSite) -> BaseException:
    """What is wrong with records that have no type in common."""
    try:
        exact_row_type([row for chunk in held for row in chunk.rows()])
    except RowTypeError as error:
        return locate(error, site=site)
    raise AssertionError("they do have a type in common")


class _Out(io.RawIOBase):
    """What a writer of Parquet takes for a file."""

    def __init__(self, out: Callable[[bytes], None]) -> None:
        self._out = out

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        content = bytes(data)
        self._out(content)
        return len(content)
