"""This package as a zip that workers import it from, so that they run what the program runs."""

from __future__ import annotations

import hashlib
import os
import tempfile
import weakref
import zipfile
from importlib.util import cache_from_source
from pathlib import Path

__all__ = ["Package"]

_LEFT_OUT = {"__pycache__", "static", "cli"}


class Package:
    """The zip, in a temporary folder. ``digest`` is of what is in it, and in its name: a worker that has
    imported another one can tell."""

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
        weakref.finalize(self, self._folder.cleanup)
        self.path = os.path.join(self._folder.name, f"penstock-{self.digest}.zip")
        with zipfile.ZipFile(self.path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for path, data in sources:
                name = str(Path(root.name) / path.relative_to(root))
                archive.writestr(name, data)
                compiled = Path(cache_from_source(str(path)))
                if compiled.exists() and compiled.stat().st_mtime >= path.stat().st_mtime:
                    archive.write(compiled, name + "c")

    def close(self) -> None:
        """Remove the zip."""
        self._folder.cleanup()
