"""Directories of pickled records, as ``saveAsPickleFile`` writes and ``sc.pickleFile`` reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from penstock.chunk import Chunk
from penstock.encoding import pickled
from penstock.errors import CallSite
from penstock.plan import Node, call_site, raise_located
from penstock.sinks.base import Jobs, PartFormat, save_directory

__all__ = ["PickleFormat", "save_pickle_directory"]


class PickleFormat(PartFormat):
    """Each part is a sequence of pickled chunks.

    Classes are stored by name, those of ``__main__`` too, so that the same program reads its own records;
    what has no name that could be imported (lambdas, classes in functions) is stored whole.
    """

    extension = ""

    def __init__(self, operation: str) -> None:
        self._site = call_site(operation)

    def write(self, out: Callable[[bytes], None], chunks: Iterator[Chunk]) -> None:
        for chunk in chunks:
            out(_pickled(chunk, self._site))


def save_pickle_directory(jobs: Jobs, plan: Node, path: str) -> None:
    """Pickled records; ``OutputExists`` if ``path`` is there."""
    save_directory(jobs, plan, path, PickleFormat("saveAsPickleFile"))


def _pickled(chunk: Chunk, site: CallSite) -> bytes:
    try:
        return pickled(chunk)
    except Exception as error:
        for row in chunk.rows():
            try:
                pickled(row)
            except Exception as again:
                raise_located(again, site, row)
        raise error
