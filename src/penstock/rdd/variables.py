"""What functions share beside the records: broadcast values and accumulators.

Where a stage runs in another process, both have stand-ins there: a broadcast arrives once, whatever reads it,
and what is added to an accumulator comes back with the result of the task, and counts once that is there.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol
from weakref import WeakValueDictionary

from penstock.chunk import isolated
from penstock.errors import SignatureError, StateError
from penstock.vectorize import HOLDERS

__all__ = [
    "Accumulator",
    "AccumulatorParam",
    "Broadcast",
    "Variables",
    "adding_up",
    "forget_broadcasts",
    "noting_variables",
    "receive_broadcast",
]

_numbers = itertools.count(1)  # of a process; contexts count by themselves


class Variables:
    """Those that functions on their way to another process use, by their numbers."""

    def __init__(self) -> None:
        self.broadcasts: dict[int, Broadcast] = {}
        self.accumulators: dict[int, Accumulator] = {}

    def add(self, added: Mapping[int, Any]) -> None:
        """Add what a task has added."""
        for number, term in added.items():
            self.accumulators[number].add(term)


_noting: ContextVar[Variables | None] = ContextVar("penstock_variables", default=None)
_added: ContextVar[dict[int, Any] | None] = ContextVar("penstock_added", default=None)
_received: dict[int, Any] = {}
_sent: WeakValueDictionary[int, Broadcast] = WeakValueDictionary()


@contextmanager
def noting_variables() -> Iterator[Variables]:
    """Within this block pickles are for another process, which is to be told of their variables."""
    variables = Variables()
    token = _noting.set(variables)
    try:
        yield variables
    finally:
        _noting.reset(token)


@contextmanager
def adding_up() -> Iterator[dict[int, Any]]:
    """In a worker: what is added to accumulators within this block, by their numbers."""
    added: dict[int, Any] = {}
    token = _added.set(added)
    try:
        yield added
    finally:
        _added.reset(token)


def receive_broadcast(number: int, value: Any) -> None:
    """In a worker: the value under its number of the driver's process."""
    _received[number] = value


def forget_broadcasts(numbers: Iterator[int] | list[int]) -> None:
    """In a worker: nobody reads them any more."""
    for number in numbers:
        _received.pop(number, None)


def _broadcast(number: int) -> Broadcast:
    return _sent.get(number) or _Received(number)


class Broadcast:
    """A value that every function may read under ``.value``.

    >>> symbols = sc.broadcast({"AMD": "chips"})
    >>> sc.parallelize(["AMD"]).map(lambda s: symbols.value[s]).collect()
    ['chips']
    """

    __slots__ = ("__weakref__", "_alive", "_number", "_value", "id")

    def __init__(self, number: int, value: Any) -> None:
        self.id = number
        self._number = next(_numbers)
        self._value = value
        self._alive = True

    @property
    def number(self) -> int:
        """That of no other broadcast of this process."""
        return self._number

    def __reduce__(self) -> tuple[Any, ...]:
        noting = _noting.get()
        if noting is None:
            return Broadcast, (self.id, self.value)
        self.value  # noqa: B018  raises once it is destroyed
        noting.broadcasts[self._number] = _sent[self._number] = self
        return _broadcast, (self._number,)

    @property
    def is_alive(self) -> bool:
        """Whether it was not destroyed."""
        return self._alive

    @property
    def value(self) -> Any:
        """The value; ``StateError`` after :meth:`destroy`."""
        if not self._alive:
            raise StateError(f"the broadcast {self.id} was destroyed")
        return self._value

    def unpersist(self, blocking: bool = False) -> None:
        """Accepted, for programs that call it: workers keep a copy as long as the program holds this."""

    def destroy(self, blocking: bool = False) -> None:
        """Give the value up: it cannot be read any more."""
        self._alive = False
        self._value = None

    def __repr__(self) -> str:
        return f"Broadcast({self.id})"


class _Received(Broadcast):
    """A broadcast in a worker, where functions that are kept do not keep its value."""

    __slots__ = ()

    def __init__(self, number: int) -> None:
        super().__init__(number, None)

    def __reduce__(self) -> tuple[Any, ...]:
        return _broadcast, (self.id,)

    @property
    def value(self) -> Any:
        return _received[self.id]


HOLDERS[Broadcast] = HOLDERS[_Received] = "value"


class AccumulatorParam(Protocol):
    """How an accumulator adds values that ``+`` does not add; as in PySpark."""

    def zero(self, value: Any) -> Any:
        """The neutral element, of the shape of ``value``."""

    def addInPlace(self, value1: Any, value2: Any) -> Any:
        """``value1`` plus ``value2``; may change and return ``value1``."""


class Accumulator:
    """A figure that functions may only add to, and the driver reads.

    Each step with an effect runs once per record and attempt: a batch that is run again adds again.

    >>> bad = sc.accumulator(0)
    >>> sc.parallelize([1, -1]).foreach(lambda x: bad.add(1) if x < 0 else None)
    >>> bad.value
    1
    """

    __slots__ = ("__weakref__", "_lock", "_number", "_of", "_param", "_value", "id")

    def __init__(self, number: int, value: Any, param: AccumulatorParam | None = None) -> None:
        if param is None and (isinstance(value, bool) or not isinstance(value, (int, float, complex))):
            raise SignatureError(
                f"an accumulator of {type(value).__name__} needs an AccumulatorParam that says how to add"
            )
        self.id = number
        self._number = next(_numbers)
        self._value = isolated(value)
        self._param = param
        self._of: int | None = None  # in a worker: which accumulator of the program this stands for
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        if self._of is not None:
            return _in_worker, (self._of, self.id, self._value, self._param)
        noting = _noting.get()
        if noting is None:
            raise SignatureError("an accumulator belongs to the process that made it, and cannot be stored")
        noting.accumulators[self._number] = self
        param = self._param
        zero = type(self._value)(0) if param is None else param.zero(self._value)
        return _in_worker, (self._number, self.id, zero, param)

    @property
    def value(self) -> Any:
        """The sum so far; ``StateError`` in a function that runs in a worker, which can only add."""
        if self._of is not None:
            raise StateError("only the program knows the value of an accumulator, not a function in a worker")
        return self._value

    @value.setter
    def value(self, value: Any) -> None:
        if self._of is not None:
            raise StateError("a function in a worker can only add to an accumulator")
        with self._lock:
            self._value = value

    def add(self, term: Any) -> None:
        """Add ``term``; safe from any thread."""
        with self._lock:
            added = _added.get()
            if self._of is None:
                if added is not None:
                    raise StateError(
                        "this accumulator was made in the worker, where a module that makes it was imported: "
                        "what is added there nobody sees. Hint: make it where the program begins, and hand "
                        "it to the function."
                    )
                self._value = self._plus(self._value, term)
                return
            if added is None:
                raise StateError("an accumulator is added to outside of a task")
            before = added[self._of] if self._of in added else isolated(self._value)
            added[self._of] = self._plus(before, term)

    def _plus(self, value: Any, term: Any) -> Any:
        return value + term if self._param is None else self._param.addInPlace(value, term)

    def __iadd__(self, term: Any) -> Accumulator:
        self.add(term)
        return self

    def __str__(self) -> str:
        return str(self._value) if self._of is None else repr(self)

    def __repr__(self) -> str:
        if self._of is not None:
            return f"Accumulator(id={self.id}, in a worker)"
        return f"Accumulator(id={self.id}, value={self._value!r})"


def _in_worker(of: int, number: int, zero: Any, param: AccumulatorParam | None) -> Accumulator:
    made = Accumulator(number, 0, param)
    made._value, made._of = zero, of
    return made
