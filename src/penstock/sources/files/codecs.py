"""Compressed files, told by their extension."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import BinaryIO, Protocol, cast

import pyarrow

from penstock.errors import CorruptInput, StorageError

__all__ = ["codec_of", "decompressed"]

_READ_BYTES = 256 << 10


class _Decompressor(Protocol):
    """What ``bz2`` and ``lzma`` have in common."""

    eof: bool
    needs_input: bool
    unused_data: bytes

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Members(io.RawIOBase):
    """Compressed streams one after the other, with zero bytes between and behind them at most.

    The readers of the standard library take anything behind the first stream for its end, so that a
    file whose second stream is damaged would lose it in silence.
    """

    def __init__(self, file: BinaryIO, new: Callable[[], _Decompressor]) -> None:
        self._file = file
        self._new = new
        self._current = new()
        self._pending = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._current.eof or self._has_another():
            data = b""
            if self._current.needs_input:
                data, self._pending = self._pending or self._file.read(_READ_BYTES), b""
                if not data:
                    raise EOFError("it ends within a stream")
            out = self._current.decompress(data, len(buffer))
            if out:
                buffer[: len(out)] = out
                return len(out)
        return 0

    def _has_another(self) -> bool:
        rest = self._current.unused_data.lstrip(b"\0")
        while not rest:
            data = self._file.read(_READ_BYTES)
            if not data:
                return False
            rest = data.lstrip(b"\0")
        self._current, self._pending = self._new(), rest
        return True


# Each library is imported where a file asks for it, since most programs read none of that kind.


def _gzip(file: BinaryIO) -> BinaryIO:
    import gzip

    return cast(BinaryIO, gzip.GzipFile(fileobj=file))


def _members(library: str, decompressor: str) -> Callable[[BinaryIO], BinaryIO]:
    return lambda file: cast(BinaryIO, _Members(file, getattr(import_module(library), decompressor)))


def _zstd(file: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, pyarrow.CompressedInputStream(pyarrow.PythonFile(file, mode="r"), "zstd"))


_CODECS: dict[str, Callable[[BinaryIO], BinaryIO]] = {
    ".gz": _gzip,
    ".bz2": _members("bz2", "BZ2Decompressor"),
    ".xz": _members("lzma", "LZMADecompressor"),
    ".zst": _zstd,
}
_BROKEN = (EOFError, zlib.error, pyarrow.ArrowInvalid)


def codec_of(path: str) -> str | None:
    """The extension if it is one of a compressed file, else ``None``.

    >>> codec_of("orders.csv.gz"), codec_of("orders.csv")
    ('.gz', None)
    """
    return next((extension for extension in _CODECS if path.endswith(extension)), None)


@contextmanager
def decompressed(raw: BinaryIO, name: str) -> Iterator[BinaryIO]:
    """The content of an open file that is not empty, decompressed if its name says so.

    What breaks while it is read within this block is a ``CorruptInput`` that names the file.
    """
    codec = codec_of(name)
    if codec is None:
        yield raw
        return
    try:
        yield _CODECS[codec](raw)
    except StorageError:  # of the compressed file itself
        raise
    except Exception as error:
        if not _says_broken(error):
            raise
        raise CorruptInput(f"{name} is not a whole {codec} file: {error}") from error


def _says_broken(error: Exception) -> bool:
    """Whether a library says so that what it reads is damaged."""
    if isinstance(error, OSError):  # bz2, gzip and Arrow: one that has no errno
        return error.errno is None
    import lzma

    return isinstance(error, (*_BROKEN, lzma.LZMAError))
