"""Directories of JSON lines: an object a record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from penstock.chunk import Chunk, Columns
from penstock.plan import call_site, raise_located
from penstock.sinks.base import PartFormat
from penstock.sinks.codecs import Compressing, codec_of
from penstock.sinks.shapes import is_record
from penstock.sinks.texts import json_text

__all__ = ["JsonFormat"]


class JsonFormat(PartFormat):
    """A line a record: an object of its fields, of ``_1``, ``_2``, ... for a tuple, of ``value`` for anything
    else. A partition without records has no file: most readers refuse an empty one."""

    leaves_out = True

    def __init__(self, operation: str, *, codec: str | None) -> None:
        suffix, self._compress = codec_of(codec)
        self.extension = f".json{suffix}"
        self._site = call_site(operation)

    def write(self, out: Callable[[bytes], None], chunks: Iterator[Chunk]) -> None:
        put = Compressing(out, self._compress)
        for chunk in chunks:
            if isinstance(chunk, Columns):
                from penstock.sinks.text_columns import lines_of_columns, slices_of

                for part in slices_of(chunk):
                    put(lines_of_columns(part, None))
            else:
                put(self._lines(chunk.rows()))

    def _lines(self, rows: list[Any]) -> bytes:
        lines: list[bytes] = []
        for record in rows:
            try:
                lines.append(_line(record).encode())
            except Exception as error:
                raise_located(error, self._site, record)
        return b"".join(lines)


def _line(record: Any) -> str:
    text = json_text(record)
    if not is_record(record) and not isinstance(record, dict):
        text = f'{{"value":{text}}}'
    return f"{text}\n"
