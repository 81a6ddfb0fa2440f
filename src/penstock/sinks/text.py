"""Directories of text files, as ``saveAsTextFile`` and ``saveAsTextFiles`` write them.

A record is written as PySpark writes it: ``str`` and ``bytes`` as they are, anything else as ``str(record)``,
and a line feed behind it. A record that holds line feeds is read back as several lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from penstock.chunk import Chunk
from penstock.errors import CallSite
from penstock.plan import Node, call_site, raise_located
from penstock.sinks.base import Jobs, PartFormat, replace_directory, save_directory
from penstock.sinks.codecs import Compressing, codec_of

__all__ = ["TextFormat", "replace_text_directory", "save_text_directory"]


class TextFormat(PartFormat):
    """A line a record, compressed if a codec says so.

    Each piece of a compressed part is a member of its own: all four formats may be concatenated.
    """

    def __init__(self, codec: str | None, operation: str) -> None:
        suffix, self._compress = codec_of(codec)
        self.extension = suffix
        self._site = call_site(operation)

    def write(self, out: Callable[[bytes], None], chunks: Iterator[Chunk]) -> None:
        put = Compressing(out, self._compress)
        for chunk in chunks:
            put(_encoded(chunk.rows(), self._site))
        put.end()


def save_text_directory(jobs: Jobs, plan: Node, path: str, *, codec: str | None = None) -> None:
    """A line a record; ``OutputExists`` if ``path`` is there."""
    save_directory(jobs, plan, path, TextFormat(codec, "saveAsTextFile"))


def replace_text_directory(jobs: Jobs, plan: Node, path: str, *, run_id: str, durable: bool = False) -> None:
    """A line a record; what is at ``path`` and not this run's makes way."""
    format = TextFormat(None, "saveAsTextFiles")
    replace_directory(jobs, plan, path, format, run_id=run_id, durable=durable)


def _encoded(rows: list[Any], site: CallSite) -> bytes:
    """The records as lines. What a record's ``str`` raises is raised with the record."""
    kinds = set(map(type, rows))
    if any(issubclass(kind, bytes) for kind in kinds):
        return b"".join([line for row in rows for line in (_encoded_one(row, site), b"\n")])
    texts = rows
    if kinds != {str}:
        texts = []
        text_of = _text if any(issubclass(kind, str) for kind in kinds) else str
        try:
            texts.extend(map(text_of, rows))
        except Exception as error:
            raise_located(error, site, rows[len(texts)])
    try:
        return ("\n".join(texts) + "\n").encode() if texts else b""
    except UnicodeEncodeError:  # a surrogate that stands alone: find it
        return b"".join([line for row in rows for line in (_encoded_one(row, site), b"\n")])


def _encoded_one(row: Any, site: CallSite) -> bytes:
    try:
        return row if isinstance(row, bytes) else _text(row).encode()
    except Exception as error:
        raise_located(error, site, row)


def _text(row: Any) -> str:
    return str.__str__(row) if isinstance(row, str) else str(row)
