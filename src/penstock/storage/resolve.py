"""From what a user writes, a path or a URL, to a storage and a path in it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from penstock.errors import ArgumentError, UnsupportedError
from penstock.storage.base import Storage
from penstock.storage.local import LocalStorage

__all__ = ["storage_for", "wrapping"]

_FILE_URL = re.compile(r"file:(?://(?:localhost)?)?(/.*)", re.DOTALL | re.IGNORECASE)
_URL = re.compile(r"[a-z][a-z0-9+.-]+(://|::)", re.IGNORECASE)  # `::` puts one scheme upon another

_S3 = {"s3", "s3a"}
_PACKAGES = {
    **dict.fromkeys(_S3, "penstock[s3]"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("abfs", "abfss", "az"), "adlfs"),
}


def storage_for(location: str | os.PathLike[str]) -> tuple[Storage, str]:
    """The storage that a location is in, and the location's path there.

    Plain paths and ``file:`` URLs are local, and made absolute; every other URL (``s3://bucket/in``)
    belongs to fsspec, which is loaded only then. As in Spark, ``%20`` is no blank. Wildcards are left
    alone, and so is the question whether anything is there.

    Raises ``ArgumentError`` for an empty location, and ``UnsupportedError`` for a URL whose scheme
    fsspec does not know or whose package is not installed. The store itself is not asked.

    >>> storage_for("file:///data/orders/")
    (LocalStorage(), '/data/orders')
    """
    text = os.fspath(location)
    if not isinstance(text, str) or not text:
        raise ArgumentError(f"a path or URL must be text and not empty, not {location!r}")
    file = _FILE_URL.match(text)
    if file is None and _URL.match(text):
        return _remote(text)
    return _wrapped(LocalStorage()), os.path.abspath(file[1] if file else text)


@contextmanager
def wrapping(wrap: Callable[[Storage], Storage]) -> Iterator[None]:
    """Within the block every storage that is found is what ``wrap`` makes of it, for tests that make storages
    fail. For the whole process, so for one test at a time."""
    _wraps.append(wrap)
    try:
        yield
    finally:
        _wraps.remove(wrap)


_wraps: list[Callable[[Storage], Storage]] = []


def _wrapped(storage: Storage) -> Storage:
    for wrap in _wraps:
        storage = wrap(storage)
    return storage


def _remote(url: str) -> tuple[Storage, str]:
    import fsspec  # here, because a program with local files does not need it

    from penstock.storage.remote import FsspecStorage
    from penstock.storage.s3 import S3Storage

    scheme = url.partition("://")[0].lower()
    # What fsspec has listed it would show again while others write; it is not to keep it.
    options = {"use_listings_cache": False} if scheme in _S3 else {}
    try:
        filesystem, path = fsspec.url_to_fs(url, **options)
    except (ImportError, ValueError) as error:
        extra = f" Hint: pip install '{_PACKAGES[scheme]}'." if scheme in _PACKAGES else ""
        raise UnsupportedError(f"{url} cannot be read or written: {error}.{extra}") from error
    except OSError as error:
        error.add_note(f"while opening {url}")
        raise
    kind = S3Storage if scheme in _S3 else FsspecStorage
    return _wrapped(kind(filesystem)), str(path)
