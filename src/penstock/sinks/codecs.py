"""Compression of files on their way out."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow

from penstock.errors import ArgumentError

__all__ = ["Compressing", "codec_of"]

_FLUSH_BYTES = 4 << 20


# Each library is imported where a file asks for it, since most programs write none of that kind.


def _gzip(data: bytes) -> bytes:
    import gzip

    return gzip.compress(data, mtime=0)


def _bz2(data: bytes) -> bytes:
    import bz2

    return bz2.compress(data)


def _xz(data: bytes) -> bytes:
    import lzma

    return lzma.compress(data)


_CODECS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": (".gz", _gzip),
    "bz2": (".bz2", _bz2),
    "xz": (".xz", _xz),
    "zstd": (".zst", lambda data: pyarrow.compress(data, "zstd", asbytes=True)),
}
_HADOOP = {"GzipCodec": "gzip", "BZip2Codec": "bz2", "ZStandardCodec": "zstd"}


def codec_of(name: str | None) -> tuple[str, Callable[[bytes], bytes] | None]:
    """The extension and the function of a codec, by its short name or a Hadoop class name; ``""`` and
    ``None`` without one. ``ArgumentError`` for one that is not known.

    >>> codec_of("org.apache.hadoop.io.compress.GzipCodec")[0]
    '.gz'
    """
    if name is None:
        return "", None
    short = _HADOOP.get(str(name).rpartition(".")[2], str(name))
    if short not in _CODECS:
        raise ArgumentError(f"no codec {name!r}. Hint: use one of {', '.join(_CODECS)}.")
    return _CODECS[short]


class Compressing:
    """Where bytes go through a codec. Each piece becomes a member of its own: all formats may be
    concatenated."""

    __slots__ = ("_compress", "_empty", "_out")

    def __init__(self, out: Callable[[bytes], None], compress: Callable[[bytes], bytes] | None) -> None:
        self._out = out
        self._compress = compress
        self._empty = True

    def __call__(self, data: bytes) -> None:
        for at in range(0, len(data), _FLUSH_BYTES):
            piece = data[at : at + _FLUSH_BYTES]
            self._out(piece if self._compress is None else self._compress(piece))
            self._empty = False

    def end(self) -> None:
        """No bytes at all are no compressed file: write one that holds nothing."""
        if self._empty and self._compress is not None:
            self._out(self._compress(b""))
