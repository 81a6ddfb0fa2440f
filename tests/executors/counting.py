"""A function that counts how often it sees each record, in whichever process it runs."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterable
from typing import Any

__all__ = ["Counting"]


class Counting:
    """Gives each record back. What it has seen is in a file, to which processes append a line at a time."""

    def __init__(self) -> None:
        descriptor, self._file = tempfile.mkstemp(prefix="penstock-counting-")
        os.close(descriptor)
        weakref.finalize(self, os.remove, self._file)  # of this one, not of those that are read back

    def __call__(self, record: Any) -> Any:
        with open(self._file, "a") as file:
            file.write(f"{record!r}\n")
        return record

    @property
    def seen(self) -> list[str]:
        """How the records show themselves, in the order in which they came."""
        with open(self._file) as file:
            return file.read().splitlines()

    def once(self, records: Iterable[Any]) -> bool:
        """Whether it has seen these, each of them once."""
        return sorted(self.seen) == sorted(map(repr, records))
