"""What ``mapWithState`` is to do, in Scala's words."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Self

from penstock.dstream.arity import arity
from penstock.errors import SignatureError
from penstock.rdd import RDD, Partitioner, partition_count
from penstock.times import DurationLike, milliseconds_of

__all__ = ["StateSpec"]


class StateSpec:
    """A function of keys, values and states, and how its states are kept. Made by :meth:`function`; the
    other methods set one thing each and return the spec itself.

    >>> spec = StateSpec.function(lambda key, value, state: None).numPartitions(2).timeout(30)
    >>> spec
    StateSpec(of 3 arguments, 2 partitions, timeout 30000 ms)
    """

    def __init__(self, function: Callable[..., Any], with_time: bool) -> None:
        self._function = function
        self._with_time = with_time
        self._initial: RDD | Iterable[tuple[Any, Any]] | None = None
        self._partitioner: Partitioner | None = None
        self._timeout_ms: int | None = None

    @classmethod
    def function(cls, mappingFunction: Callable[..., Any]) -> Self:
        """``f(key, value, state)``, or ``f(batchTime, key, value, state)`` with a naive local ``datetime``.

        It is called once for each record, in their order, with a :class:`~penstock.State`; what it returns
        is a record of the stream, ``None`` is none. ``value`` is ``None`` where the state is timing out.
        """
        count = arity(mappingFunction, (3, 4), "StateSpec.function")
        return cls(mappingFunction, with_time=count == 4)

    def initialState(self, rdd: RDD | Iterable[tuple[Any, Any]]) -> Self:
        """The states before the first batch: an RDD, an iterable of pairs, or a dict. The function is not
        called for them; they have their last news in the first batch. Of a key that is there twice the
        first counts."""
        self._initial = rdd
        return self

    def numPartitions(self, numPartitions: int) -> Self:
        """Over how many partitions the keys are spread; ``sc.defaultParallelism`` if nobody says."""
        self._partitioner = Partitioner(partition_count(numPartitions, "numPartitions"))
        return self

    def partitioner(self, partitioner: Partitioner) -> Self:
        """How the keys are spread."""
        if not isinstance(partitioner, Partitioner):
            raise SignatureError(f"partitioner needs a Partitioner, not {type(partitioner).__name__}")
        self._partitioner = partitioner
        return self

    def timeout(self, idleDuration: DurationLike) -> Self:
        """A key without a record for longer than this (seconds, ``timedelta`` or ``Duration``) is given to
        the function once more, with ``None`` as its value and ``state.isTimingOut()``, and forgotten: in the
        first batch of which that is so."""
        self._timeout_ms = milliseconds_of(idleDuration, "idleDuration")
        return self

    def __repr__(self) -> str:
        parts = [f"of {3 + self._with_time} arguments"]
        if self._partitioner is not None:
            parts.append(f"{self._partitioner.numPartitions} partitions")
        if self._timeout_ms is not None:
            parts.append(f"timeout {self._timeout_ms} ms")
        return f"StateSpec({', '.join(parts)})"
