"""What Penstock logs during a run, as lines for the person who looks at the dashboard."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["shown_on"]

_OF_EACH_KIND = 3  # messages shown; of the others one line at the end says how many there were


@contextmanager
def shown_on(note: Callable[[str], object], *, verbose: bool = False) -> Iterator[None]:
    """While the block runs, give what ``penstock`` logs (warnings and worse) to ``note``, and to nobody else.

    A line each, and few of each kind; failures of batches are left out, as the command itself ends with
    them. ``verbose`` gives all of it, tracebacks included.

    >>> with shown_on(print):
    ...     logging.getLogger("penstock.sources").warning("%s changed", "orders.txt")
    orders.txt changed
    """
    logger = logging.getLogger("penstock")
    handler = _Handler(note, verbose)
    propagate = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
        handler.tell_the_rest()


class _Handler(logging.Handler):
    def __init__(self, note: Callable[[str], object], verbose: bool) -> None:
        super().__init__(logging.WARNING)
        self._note = note
        self._verbose = verbose
        self._counts = Counter[str]()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self._verbose:
                self._note(self.format(record))
                return
            if record.name == "penstock.scheduler.driver" and record.levelno >= logging.ERROR:
                return
            kind = str(record.msg)
            self._counts[kind] += 1
            if self._counts[kind] <= _OF_EACH_KIND:
                self._note(_line(record))
        except Exception:
            self.handleError(record)

    def tell_the_rest(self) -> None:
        """Say how many messages were not shown."""
        rest = sum(count - _OF_EACH_KIND for count in self._counts.values() if count > _OF_EACH_KIND)
        if rest:
            self._note(f"{rest:,} more messages of these kinds. Hint: --verbose shows all.")


def _line(record: logging.LogRecord) -> str:
    line = " ".join(record.getMessage().split())
    error = record.exc_info[1] if record.exc_info else None
    return line if error is None else f"{line}: {type(error).__name__}: {' '.join(str(error).split())}"
