"""A ledger of batches that are over, for outputs that must not happen twice."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any, overload

from penstock.dstream.arity import arity
from penstock.errors import ArgumentError, SignatureError
from penstock.storage import Storage, join, storage_for
from penstock.times import TimeLike, moment_ms

__all__ = ["Ledger"]

_NAME = re.compile(r"[\w.-]+")
_TIDY_EVERY = 100


class Ledger:
    """Remembers in a directory, a path or URL, which batch was completed by which output.

    An output that runs under :meth:`once` is left out if its batch was completed before. The record is made
    durable *after* the output, so a crash between the two runs it again: *at least once*, and twice only if
    the program dies in that moment. It is *exactly once* where the output keeps :meth:`key` in its own
    transaction, and looks there. An output that raises is not recorded.

    The newest ``keep`` records of each name are kept: a batch that was completed can be run again only as
    long as the one after it has not begun. Needs a store that can create a file if there is none, as local
    disks and object stores with conditional uploads.

    >>> import tempfile
    >>> ledger = Ledger(tempfile.mkdtemp())
    >>> sent = []
    >>> def send(time, rdd):
    ...     sent.extend(rdd.collect())
    >>> for _ in range(2):  # the second run has the same batch times
    ...     _ = run_batches([["a"], ["b"]], lambda s: s.foreachRDD(ledger.once(send, name="mail")))
    >>> sent
    ['a', 'b']
    """

    def __init__(self, directory: str, *, keep: int = 1000) -> None:
        if isinstance(keep, bool) or not isinstance(keep, int) or keep < 1:
            raise ArgumentError(f"a ledger keeps at least one record of a name, not {keep!r}")
        self._url = directory
        self._keep = keep
        self._storage, self._path = storage_for(directory)
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(Ledger, keep=self._keep), (self._url,)

    def __repr__(self) -> str:
        return f"Ledger({self._storage.url(self._path)})"

    @overload
    def once(self, what: Callable[..., Any], *, name: str | None = None) -> Callable[..., Any]: ...
    @overload
    def once(self, what: TimeLike, *, name: str | None = None) -> Any: ...
    def once(self, what: Any, *, name: str | None = None) -> Any:
        """Of a function for ``foreachRDD``, ``f(rdd)`` or ``f(time, rdd)``: one that is left out for a batch
        that was completed before. Of a batch time: a context manager, whose value is whether to do it.

        ``name`` tells outputs apart; without it the function's is taken. Two outputs of a program with one
        name are refused.

        >>> import tempfile
        >>> ledger = Ledger(tempfile.mkdtemp())
        >>> for _ in range(2):
        ...     with ledger.once(1.0, name="mail") as fresh:
        ...         print(fresh)
        True
        False
        """
        if callable(what):
            return Once(self, what, self._name_of(name or str(getattr(what, "__name__", ""))))
        return self._once(moment_ms(what, "time"), self._name_of(name or ""))

    def key(self, time: TimeLike, *, name: str = "") -> str:
        """A text that stands for a batch of an output: to be kept, and looked for, in the output's own
        transaction.

        >>> import tempfile
        >>> Ledger(tempfile.mkdtemp()).key(1.0, name="mail")
        'mail/1000'
        """
        ms = moment_ms(time, "time")
        return f"{self._name_of(name)}/{ms}" if name else str(ms)

    def is_done(self, time: TimeLike, *, name: str) -> bool:
        """Whether the batch was completed."""
        return self._is_done(moment_ms(time, "time"), self._name_of(name))

    def _name_of(self, name: str) -> str:
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name.startswith("."):
            raise SignatureError(
                f"an output needs a name of letters, digits, '_', '-' and '.' in a ledger, not {name!r}. "
                f"Hint: ledger.once(..., name='mail')."
            )
        return name

    @contextmanager
    def _once(self, ms: int, name: str) -> Iterator[bool]:
        fresh = not self._is_done(ms, name)
        yield fresh
        if fresh:
            self._note(ms, name)

    def _is_done(self, ms: int, name: str) -> bool:
        return self._storage.exists(join(join(self._path, name), str(ms)))

    def _note(self, ms: int, name: str) -> None:
        directory = join(self._path, name)
        self._storage.makedirs(directory, durable=True)
        record = json.dumps({"batch_ms": ms}).encode()
        self._storage.create_if_absent(join(directory, str(ms)), record, durable=True)
        with self._lock:
            count = self._counts[name] = self._counts.get(name, 0) + 1
        if count % _TIDY_EVERY == 1:
            _tidied(self._storage, directory, self._keep)


class Once:
    """A function that is called for a batch that was not completed before."""

    def __init__(self, ledger: Ledger, func: Callable[..., Any], name: str) -> None:
        self._ledger = ledger
        self._func = func
        self._name = name
        self._with_time = arity(func, (1, 2), "Ledger.once") == 2
        self.place = f"{name} in {ledger!r}"

    def __call__(self, time: datetime, rdd: Any) -> None:
        with self._ledger.once(time, name=self._name) as fresh:
            if fresh and self._with_time:
                self._func(time, rdd)
            elif fresh:
                self._func(rdd)


def _tidied(storage: Storage, directory: str, keep: int) -> None:
    """Remove all but the newest records."""
    times = sorted(int(name) for name in storage.list_names(directory).files if name.isdecimal())
    for ms in times[:-keep]:
        try:
            storage.remove(join(directory, str(ms)))
        except FileNotFoundError:  # somebody else tidies too
            continue
