"""Back-pressure: how many records a second an input may give, found from how long batches take.

The rate follows the PID estimator of Spark Streaming, with the same names and defaults. After a batch of
``n`` records that took ``p`` seconds, and had waited ``d`` seconds for its turn, with batches every ``i``
seconds::

    processing rate  r = n / p
    error            e = limit - r                  what is let in more than is processed
    backlog          b = d * r / i                  what has piled up, as a rate
    change           c = (e - e before) / seconds since the batch before

    limit = max(limit - P * e - I * b - D * c, lowest)

The first batch only says what ``limit`` begins with. A batch without records, or of no measurable duration,
says nothing.
"""

from __future__ import annotations

from penstock.values import dataclass

__all__ = ["PidSettings", "RateController", "RateInfo"]


@dataclass(frozen=True)
class RateInfo:
    """What the controller of an input made of a batch; all in records per second.

    ``limit`` is what the input is held to from now on, ``processingRate`` what the batch was processed at;
    ``error``, ``backlog`` and ``change`` are the three terms before they are weighed.
    """

    inputStreamId: int
    limit: float
    processingRate: float
    error: float
    backlog: float
    change: float


@dataclass(frozen=True)
class PidSettings:
    """The weights of the three terms, and the lowest limit in records per second; defaults as in Spark."""

    proportional: float = 1.0
    integral: float = 0.2
    derived: float = 0.0
    lowest: float = 100.0


class RateController:
    """The limit of one input, batch by batch. ``interval_ms`` is the time from batch to batch.

    >>> controller = RateController(0, 1000, PidSettings())
    >>> controller.after(5_000, records=10_000, processing_ms=2_000, waited_ms=0)  # only a beginning
    >>> controller.after(7_000, records=10_000, processing_ms=2_000, waited_ms=1_000).limit
    4000.0
    """

    def __init__(self, input_id: int, interval_ms: int, settings: PidSettings) -> None:
        self._id = input_id
        self._interval_ms = interval_ms
        self._settings = settings
        self._ended_ms: float | None = None
        self._limit = 0.0
        self._error = 0.0

    def after(
        self, ended_ms: float, *, records: int, processing_ms: float, waited_ms: float
    ) -> RateInfo | None:
        """The new limit after a batch that ended at ``ended_ms``; ``None`` if it says nothing of one."""
        if records <= 0 or processing_ms <= 0:
            return None
        if self._ended_ms is not None and ended_ms <= self._ended_ms:
            return None
        rate = records * 1000 / processing_ms
        if self._ended_ms is None:
            self._ended_ms, self._limit = ended_ms, rate
            return None
        weights = self._settings
        error = self._limit - rate
        backlog = waited_ms * rate / self._interval_ms
        change = (error - self._error) * 1000 / (ended_ms - self._ended_ms)
        limit = (
            self._limit - weights.proportional * error - weights.integral * backlog - weights.derived * change
        )
        self._ended_ms, self._limit, self._error = ended_ms, max(limit, weights.lowest), error
        return RateInfo(self._id, self._limit, rate, error, backlog, change)
