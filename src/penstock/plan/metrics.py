"""What a job counts while it runs, for the listener and the monitor."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextvars import ContextVar, Token
from itertools import chain

from penstock.chunk import Chunk

__all__ = ["ROWS", "Metrics", "counted", "counting_in", "current_metrics", "records_in"]

ROWS = "rows"
"""The figures of how many records a partition of a plan node has; places are ``(node, partition)``."""


class Metrics:
    """Figures noted under names while partitions are read, on any thread.

    A figure belongs to one place (say, a partition of an input) and is *set*, not added to: a
    partition that is read twice counts once.

    >>> metrics = Metrics()
    >>> for partition, count in ((0, 10), (1, 5), (1, 5)):
    ...     metrics.note("records", (0, partition), count)
    >>> metrics.total("records")
    15
    """

    __slots__ = ("_figures", "_lock")

    def __init__(self) -> None:
        self._figures: dict[str, dict[Hashable, int]] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, figures: Mapping[str, Mapping[Hashable, int]]) -> Metrics:
        """What :meth:`figures` gave, maybe in another process."""
        metrics = cls()
        metrics._figures = {name: dict(places) for name, places in figures.items()}
        return metrics

    def figures(self) -> dict[str, dict[Hashable, int]]:
        """All that was noted, as plain data."""
        with self._lock:
            return {name: dict(places) for name, places in self._figures.items()}

    def note(self, name: str, place: Hashable, figure: int) -> None:
        """Set the figure of one place."""
        with self._lock:
            self._figures.setdefault(name, {})[place] = figure

    def note_all(self, others: Metrics) -> None:
        """Set all figures that others hold."""
        with others._lock:
            found = {name: dict(figures) for name, figures in others._figures.items()}
        with self._lock:
            for name, figures in found.items():
                self._figures.setdefault(name, {}).update(figures)

    def places(self, name: str) -> dict[Hashable, int]:
        """All places of a name, with their figures."""
        with self._lock:
            found = self._figures.get(name)
            return dict(found) if found else {}

    def noted(self, names: Iterable[str]) -> list[str]:
        """Those of some names that anything was noted under."""
        figures = self._figures
        return [name for name in names if name in figures]

    def total(self, name: str) -> int:
        """The sum over all places; 0 for a name that nobody noted."""
        return sum(self.places(name).values())


def records_in(chunks: Iterable[Chunk]) -> int:
    """How many records there are."""
    return sum([len(chunk) for chunk in chunks if not chunk.beside])


def counted(chunks: Iterator[Chunk], metrics: Metrics, place: Hashable) -> Iterator[Chunk]:
    """The same chunks, whose records are noted under :data:`ROWS` once the last one was taken. Who stops
    before, or meets an error, leaves nothing: what is known of a partition is the whole of it, or nothing.

    No chunk is held meanwhile, and one costs a call of a method.
    """
    count = _Count(metrics, place)
    return chain(map(count.add, chunks), count.noted())


class _Count:
    __slots__ = ("_metrics", "_place", "_rows")

    def __init__(self, metrics: Metrics, place: Hashable) -> None:
        self._metrics = metrics
        self._place = place
        self._rows = 0

    def add(self, chunk: Chunk) -> Chunk:
        if not chunk.beside:
            self._rows += len(chunk)
        return chunk

    def noted(self) -> Iterator[Chunk]:
        """Nothing; runs when all others were taken."""
        self._metrics.note(ROWS, self._place, self._rows)
        yield from ()


_current: ContextVar[Metrics | None] = ContextVar("penstock_metrics", default=None)


def current_metrics() -> Metrics:
    """Where the jobs of this thread count: the batch's figures within a batch, else nowhere that lasts."""
    return _current.get() or Metrics()


class counting_in:  # noqa: N801  it is used as a function; made for each output of a batch, so no generator
    """Within this block the jobs of this thread count in ``metrics``."""

    __slots__ = ("_metrics", "_token")

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._token: Token[Metrics | None] | None = None

    def __enter__(self) -> None:
        self._token = _current.set(self._metrics)

    def __exit__(self, *error: object) -> None:
        assert self._token is not None
        _current.reset(self._token)
