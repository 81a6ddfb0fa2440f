"""This package as a zip that workers import it from, so that they run what the program runs."""

from __future__ import annotations

import hashlib
import marshal
import os
import struct
import tempfile
import zipfile
from functools import cache
from importlib.util import MAGIC_NUMBER, cache_from_source, source_hash
from pathlib import Path

__all__ = ["Package"]

_LEFT_OUT = {"__pycache__", "static", "cli"}


class Package:
    """The zip, in a temporary folder that is there until this process ends: a SparkContext that is handed
    over may outlive a Context, and be given to another. ``digest`` is of what is in it, and in its name: so
    one sees whether a worker has imported another one."""

    def __init__(self) -> None:
        root = Path(__file__).parents[2]
        files = sorted(
            path for path in root.rglob("*.py") if not _LEFT_OUT & set(path.relative_to(root).parts)
        )
        sources = [(path, path.read_bytes()) for path in files]
        found = hashlib.blake2b(digest_size=8)
        for path, data in sources:
            found.update(str(path.relative_to(root)).encode() + b"\0" + data + b"\0")
        self.digest = found.hexdigest()
        self._folder = tempfile.TemporaryDirectory(prefix="penstock-package-")
        self.path = os.path.join(self._folder.name, f"penstock-{self.digest}.zip")
        with zipfile.ZipFile(self.path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for path, data in sources:
                name = str(Path(root.name) / path.relative_to(root))
                archive.writestr(name, data)
                archive.writestr(name + "c", _compiled(path, data))

    @classmethod
    @cache
    def of_process(cls) -> Package:
        """One for all contexts of this process."""
        return cls()


def _compiled(path: Path, source: bytes) -> bytes:
    """The module as bytecode that is not checked again: files of a zip have other dates than those it was
    made of, and a worker would compile all of them. What is compiled already is taken as it is."""
    head = MAGIC_NUMBER + _UNCHECKED + source_hash(source)
    try:
        known = Path(cache_from_source(str(path))).read_bytes()
    except (OSError, NotImplementedError):
        known = b""
    status = path.stat()
    dates = struct.pack("<III", 0, int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF)
    if known.startswith(MAGIC_NUMBER + dates):
        return head + known[16:]
    return head + marshal.dumps(compile(source, str(path), "exec", dont_inherit=True))


_UNCHECKED = (1).to_bytes(4, "little")
