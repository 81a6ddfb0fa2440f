"""Steps that call a user's function on each record, or on each partition."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, NoReturn

from penstock.chunk import CHUNK_ROWS, Chunk, Rows, RowType, record_at
from penstock.errors import CallSite, SignatureError, locate, shown
from penstock.plan.fusing import as_columns, row_type_of
from penstock.plan.nodes import ChunkStep, Step, Task
from penstock.vectorize import (
    Chain,
    Flattening,
    Untraced,
    fields_read,
    flattening,
    only_reads_items,
    trace,
    trace_filter,
)

__all__ = ["Filter", "FlatMap", "Map", "MapPartitions", "chunked", "must_be_callable", "raise_located"]


def must_be_callable(function: object, operation: str) -> None:
    """Refuse what cannot be called, where the user gave it."""
    if not callable(function):
        raise SignatureError(f"{operation} needs a function, not {shown(function, 60)}")


def raise_located(error: Exception, site: CallSite, record: Any) -> NoReturn:
    """Raise an exception of a user's function again, with the line and the record noted.

    ``StopIteration`` becomes ``RuntimeError``, as inside any generator (:pep:`479`): else it would
    silently end the partition.
    """
    if isinstance(error, StopIteration):
        replacement = RuntimeError(f"the function given to {site} raised StopIteration")
        replacement.__cause__ = error
        raise locate(replacement, site=site, record=shown(record))
    raise locate(error, site=site, record=shown(record))


def chunked(records: Iterator[Any]) -> Iterator[Chunk]:
    """An iterator of records as bounded chunks; what came before an exception is yielded first."""
    while True:
        out: list[Any] = []
        failed: Exception | None = None
        try:
            out.extend(islice(records, CHUNK_ROWS))
        except Exception as error:
            failed = error
        if out:
            yield Rows(out)
        if failed is not None:
            raise failed
        if len(out) < CHUNK_ROWS:
            return


class Map(ChunkStep):
    """``f(record)`` for each record."""

    __slots__ = ("function", "name", "site")

    one_to_one = True

    def __init__(self, function: Callable[[Any], Any], site: CallSite) -> None:
        self.function = function
        self.site = site
        self.name = site.operation

    def on_lent(self) -> Step | None:
        return self if only_reads_items(self.function) else None

    def fields_read(self) -> frozenset[str] | None:
        """The only fields that the function reads of a record, if it does nothing else with it."""
        return fields_read(self.function)

    def in_columns(self, chain: Chain) -> Chain | Untraced:
        traced = trace(self.function, chain.row_type)
        return traced if isinstance(traced, Untraced) else chain.mapped(traced)

    def apply(self, rows: list[Any], out: list[Any]) -> None:
        try:
            out.extend(map(self.function, rows))
        except Exception as error:
            raise_located(error, self.site, record_at(rows, len(out)))
        if len(out) != len(rows):  # map() takes a StopIteration for the end of the rows
            raise_located(StopIteration(), self.site, record_at(rows, len(out)))


class Filter(ChunkStep):
    """The records for which ``f(record)`` is true."""

    __slots__ = ("function", "name", "site")

    def __init__(self, function: Callable[[Any], Any], site: CallSite) -> None:
        self.function = function
        self.site = site
        self.name = site.operation

    def in_columns(self, chain: Chain) -> Chain | Untraced:
        traced = trace_filter(self.function, chain.row_type)
        return traced if isinstance(traced, Untraced) else chain.filtered(traced)

    def apply(self, rows: list[Any], out: list[Any]) -> None:
        function, append, record = self.function, out.append, None
        try:
            for record in rows:
                if function(record):
                    append(record)
        except Exception as error:
            raise_located(error, self.site, record)


class FlatMap(Step):
    """All that ``f(record)`` holds, for each record; what it returns may be endless."""

    __slots__ = ("function", "name", "site")

    def __init__(self, function: Callable[[Any], Iterable[Any]], site: CallSite) -> None:
        self.function = function
        self.site = site
        self.name = site.operation

    def run(self, task: Task, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            row_type = row_type_of(chunk)
            form = None if row_type is None else flattening(self.on_columns, row_type)
            made = form.attempt(as_columns(chunk)) if isinstance(form, Flattening) else None
            if made is None:
                yield from self.on_rows(chunk)
            elif len(made):
                yield made

    @property
    def on_columns(self) -> Callable[[Any], Any]:
        """The function to be traced: that which gives the items of a record."""
        return self.function

    def form(self, form: Any) -> Any:
        """What becomes of records of this form; see :mod:`penstock.plan.forms`."""
        if not isinstance(form, RowType):
            return Untraced("the lists of values are made here")
        found = flattening(self.on_columns, form)
        return found if isinstance(found, Untraced) else found.row_type

    def on_rows(self, chunk: Chunk) -> Iterator[Chunk]:
        """What Python makes of a chunk."""
        out: list[Any] = []
        for rows in chunk.row_lists():
            failed: Exception | None = None
            failed_at: Any = None
            for record in rows:
                try:
                    found = self.function(record)
                    if type(found) is list or type(found) is tuple:
                        out.extend(found)
                        if len(out) < CHUNK_ROWS:
                            continue
                        found = ()
                    items = iter(found)
                    while True:
                        before = len(out)
                        wanted = max(0, CHUNK_ROWS - before)
                        out.extend(islice(items, wanted))
                        if len(out) < CHUNK_ROWS:
                            break
                        yield Rows(out)
                        out = []
                except Exception as error:
                    failed, failed_at = error, record
                    break
            if out:
                yield Rows(out)
                out = []
            if failed is not None:
                raise_located(failed, self.site, failed_at)


class MapPartitions(Step):
    """``f(index, iterator)`` once for each partition; it returns an iterable."""

    __slots__ = ("function", "name", "site")

    def __init__(self, function: Callable[[int, Iterator[Any]], Iterable[Any]], site: CallSite) -> None:
        self.function = function
        self.site = site
        self.name = site.operation

    def run(self, task: Task, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        reader = _Reader(chunks)
        try:
            yield from chunked(iter(self.function(task.partition, reader)))
        except Exception as error:
            if reader.failed is error:  # from upstream, through the function: not the function's
                raise
            raise_located(error, self.site, reader.last)


class _Reader:
    """The iterator over records that a ``mapPartitions`` function gets; remembers the last one."""

    __slots__ = ("_lists", "_rows", "failed", "last")

    def __init__(self, chunks: Iterator[Chunk]) -> None:
        self._lists = (rows for chunk in chunks for rows in chunk.row_lists())
        self._rows: Iterator[Any] = iter(())
        self.last: Any = None
        self.failed: Exception | None = None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        while True:
            for record in self._rows:
                self.last = record
                return record
            try:
                self._rows = iter(next(self._lists))
            except StopIteration:
                raise
            except Exception as error:
                self.failed = error
                raise
