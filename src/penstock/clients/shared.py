"""An object that a process makes once: a connection, a producer, a pool."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import uuid
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from penstock.errors import SignatureError

__all__ = ["Shared"]

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Shared(Generic[T]):
    """One object per process, made by ``make(*arguments)`` when somebody first asks for it.

    For what must not be made for each record, and cannot be pickled: a database connection, a producer. The
    handle is pickled by its function and arguments, so a function of a stream may hold it; wherever it comes
    to, in however many copies, :meth:`get` gives the same object to all threads of a process. In a process
    that was forked it is made anew. ``close`` is called with it at the end of the process, or by
    :meth:`close`; after that the next ``get`` makes another.

    >>> made = []
    >>> def connect(address):
    ...     made.append(address)
    ...     return {"sent": []}
    >>> connection = Shared(connect, "db:5432")
    >>> def send(record):
    ...     connection.get()["sent"].append(record)
    >>> sc.parallelize(range(4), 2).foreach(send)
    >>> made, sorted(connection.get()["sent"])
    (['db:5432'], [0, 1, 2, 3])
    """

    def __init__(
        self, make: Callable[..., T], *arguments: Any, close: Callable[[T], Any] | None = None
    ) -> None:
        if not callable(make):
            raise SignatureError(f"Shared needs a function that makes the object, not {make!r}")
        self._make = make
        self._arguments = arguments
        self._close = close
        self._key = uuid.uuid4().hex

    def get(self) -> T:
        """The object of this process. What ``make`` raises is raised, and the next call tries again."""
        place = _place_of(self._key)
        with place.lock:
            if place.pid != os.getpid():
                place.made = self._make(*self._arguments)
                place.pid, place.close = os.getpid(), self._close
            made: T = place.made
        return made

    def close(self) -> None:
        """Close the object of this process, if it was made."""
        _place_of(self._key).shut()

    def __repr__(self) -> str:
        return f"Shared({getattr(self._make, '__qualname__', self._make)})"


class _Place:
    """Where a process keeps the object of one handle and its copies. ``pid`` is whose it is; 0: nobody's."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.pid = 0
        self.made: Any = None
        self.close: Callable[[Any], Any] | None = None

    def shut(self) -> None:
        with self.lock:
            if self.pid != os.getpid():
                return
            made, close = self.made, self.close
            self.pid, self.made = 0, None
            if close is not None:
                close(made)


_places: dict[str, _Place] = {}


def _place_of(key: str) -> _Place:
    return _places.setdefault(key, _Place())


def _leave_all() -> None:
    """In a process that was forked: the locks may be held by threads that are not there, and what was made
    belongs to the other process. To let go of it would run what ends it, which may wait for such threads, or
    crash. So it stays even when all that the module has is let go of, at the end of the process."""
    global _places
    if any(place.pid for place in _places.values()):
        import ctypes  # only where it is needed

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(_places))
    _places = {}


@atexit.register
def _shut_all() -> None:
    for place in list(_places.values()):
        try:
            place.shut()
        except Exception:
            _log.exception("closing a shared object failed")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_all)
