"""Directories of text files, as ``saveAsTextFile`` and ``saveAsTextFiles`` write them.

A record is written as PySpark writes it: ``str`` and ``bytes`` as they are, anything else as ``str(record)``,
and a line feed behind it. A record that holds line feeds is read back as several lines.
"""

from __future__ import annotations

import bz2
import gzip
import logging
import lzma
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import pyarrow

from penstock.chunk import Chunk
from penstock.errors import ArgumentError, CallSite
from penstock.plan import Node, call_site, raise_located
from penstock.sinks.base import Jobs, write_directory
from penstock.storage import clean_leftovers, parent_of, storage_for

__all__ = ["replace_text_directory", "save_text_directory"]

_log = logging.getLogger(__name__)
_FLUSH_BYTES = 4 << 20

_CODECS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": (".gz", lambda data: gzip.compress(data, mtime=0)),
    "bz2": (".bz2", bz2.compress),
    "xz": (".xz", lzma.compress),
    "zstd": (".zst", lambda data: pyarrow.compress(data, "zstd", asbytes=True)),
}
_HADOOP = {"GzipCodec": "gzip", "BZip2Codec": "bz2", "ZStandardCodec": "zstd"}


def save_text_directory(jobs: Jobs, plan: Node, path: str, *, codec: str | None = None) -> None:
    """A line a record; ``OutputExists`` if ``path`` is there."""
    extension, compress = _codec(codec)
    write = _writer(compress, call_site("saveAsTextFile"))
    write_directory(jobs, plan, path, write, extension=extension)


def replace_text_directory(jobs: Jobs, plan: Node, path: str, *, run_id: str, durable: bool = False) -> None:
    """A line a record; what is at ``path`` and not this run's makes way.

    The first time that a run writes beside ``path``, what runs that died there have left is removed.
    """
    _tidy_beside(path, run_id)
    write = _writer(None, call_site("saveAsTextFiles"))
    write_directory(jobs, plan, path, write, run_id=run_id, replace=True, durable=durable)


def _tidy_beside(path: str, run_id: str) -> None:
    storage, final = storage_for(path)
    if storage.atomic_rename:  # elsewhere parts are written where they belong
        _tidy_once(storage.url(parent_of(final)), run_id)


@lru_cache(maxsize=256)
def _tidy_once(directory: str, run_id: str) -> None:
    """One listing for each run and directory; a dead run leaves one temporary for each of its outputs."""
    try:
        removed = clean_leftovers(*storage_for(directory))
    except OSError as error:
        _log.warning("what dead runs left in %s could not be removed: %s", directory, error)
        return
    if removed:
        _log.info("removed what dead runs left in %s: %s", directory, ", ".join(removed))


def _codec(name: str | None) -> tuple[str, Callable[[bytes], bytes] | None]:
    if name is None:
        return "", None
    short = _HADOOP.get(str(name).rpartition(".")[2], str(name))
    if short not in _CODECS:
        raise ArgumentError(f"no codec {name!r}. Hint: use one of {', '.join(_CODECS)}.")
    return _CODECS[short]


def _writer(
    compress: Callable[[bytes], bytes] | None, site: CallSite
) -> Callable[[Callable[[bytes], None], Iterator[Chunk]], None]:
    """Each piece of a compressed part is a member of its own: all four formats may be concatenated."""

    def write(out: Callable[[bytes], None], chunks: Iterator[Chunk]) -> None:
        empty = True
        for chunk in chunks:
            data = _encoded(chunk.rows(), site)
            for at in range(0, len(data), _FLUSH_BYTES):
                piece = data[at : at + _FLUSH_BYTES]
                out(piece if compress is None else compress(piece))
                empty = False
        if empty and compress is not None:  # no bytes at all are no compressed file
            out(compress(b""))

    return write


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
