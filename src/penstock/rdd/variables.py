"""What functions share beside the records: broadcast values and accumulators."""

from __future__ import annotations

import threading
from typing import Any, Protocol

from penstock.chunk import isolated
from penstock.errors import SignatureError, StateError
from penstock.vectorize import HOLDERS

__all__ = ["Accumulator", "AccumulatorParam", "Broadcast"]


class Broadcast:
    """A value that every function may read under ``.value``.

    >>> symbols = sc.broadcast({"AMD": "chips"})
    >>> sc.parallelize(["AMD"]).map(lambda s: symbols.value[s]).collect()
    ['chips']
    """

    __slots__ = ("_alive", "_value", "id")

    def __init__(self, number: int, value: Any) -> None:
        self.id = number
        self._value = value
        self._alive = True

    @property
    def value(self) -> Any:
        """The value; ``StateError`` after :meth:`destroy`."""
        if not self._alive:
            raise StateError(f"the broadcast {self.id} was destroyed")
        return self._value

    def unpersist(self, blocking: bool = False) -> None:
        """Drop copies on workers. In one process there are none."""

    def destroy(self, blocking: bool = False) -> None:
        """Give the value up: it cannot be read any more."""
        self._alive = False
        self._value = None

    def __repr__(self) -> str:
        return f"Broadcast({self.id})"


HOLDERS[Broadcast] = "value"


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

    __slots__ = ("_lock", "_param", "_value", "id")

    def __init__(self, number: int, value: Any, param: AccumulatorParam | None = None) -> None:
        if param is None and (isinstance(value, bool) or not isinstance(value, (int, float, complex))):
            raise SignatureError(
                f"an accumulator of {type(value).__name__} needs an AccumulatorParam that says how to add"
            )
        self.id = number
        self._value = isolated(value)
        self._param = param
        self._lock = threading.Lock()

    @property
    def value(self) -> Any:
        """The sum so far."""
        return self._value

    @value.setter
    def value(self, value: Any) -> None:
        with self._lock:
            self._value = value

    def add(self, term: Any) -> None:
        """Add ``term``; safe from any thread."""
        with self._lock:
            self._value = (
                self._value + term if self._param is None else self._param.addInPlace(self._value, term)
            )

    def __iadd__(self, term: Any) -> Accumulator:
        self.add(term)
        return self

    def __str__(self) -> str:
        return str(self._value)

    def __repr__(self) -> str:
        return f"Accumulator(id={self.id}, value={self._value!r})"
