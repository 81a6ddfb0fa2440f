"""Count, mean, variance, extremes of numbers, in one pass and mergeable."""

from __future__ import annotations

import math
from collections.abc import Iterable

__all__ = ["StatCounter"]


class StatCounter:
    """Running statistics, as ``RDD.stats()`` gives them.

    Mean and variance by Welford's recurrence; two counters merge by the pairwise formula of Chan,
    Golub and LeVeque (1979). Figures of nothing are NaN, the extremes of nothing are infinite.

    >>> StatCounter([1.0, 2.0, 3.0])
    (count: 3, mean: 2.0, stdev: 0.816496580927726, max: 3.0, min: 1.0)
    """

    __slots__ = ("_count", "_max", "_mean", "_min", "_squares")

    def __init__(self, values: Iterable[float] = ()) -> None:
        count, mean, squares, largest, smallest = 0, 0.0, 0.0, -math.inf, math.inf
        for value in values:  # as merge() does, in a third of the time
            delta = value - mean
            count += 1
            mean += delta / count
            squares += delta * (value - mean)
            if value > largest:
                largest = value
            if value < smallest:
                smallest = value
        self._count, self._mean, self._squares = count, mean, squares
        self._max, self._min = largest, smallest

    def merge(self, value: float) -> StatCounter:
        """Take one more number in."""
        delta = value - self._mean
        self._count += 1
        self._mean += delta / self._count
        self._squares += delta * (value - self._mean)
        self._max = max(self._max, value)
        self._min = min(self._min, value)
        return self

    def mergeStats(self, other: StatCounter) -> StatCounter:
        """Take all numbers of another counter in."""
        if other._count == 0:
            return self
        total = self._count + other._count
        delta = other._mean - self._mean
        self._squares += other._squares + delta * delta * self._count * other._count / total
        self._mean += delta * other._count / total
        self._count = total
        self._max = max(self._max, other._max)
        self._min = min(self._min, other._min)
        return self

    def count(self) -> int:
        """How many numbers."""
        return self._count

    def mean(self) -> float:
        """Their mean; 0.0 of none, as in PySpark."""
        return self._mean

    def sum(self) -> float:
        """Mean times count."""
        return self._mean * self._count

    def max(self) -> float:
        """The largest."""
        return self._max

    def min(self) -> float:
        """The smallest."""
        return self._min

    def variance(self) -> float:
        """The variance of the population."""
        return self._squares / self._count if self._count else math.nan

    def sampleVariance(self) -> float:
        """The unbiased estimate from a sample."""
        return self._squares / (self._count - 1) if self._count > 1 else math.nan

    def stdev(self) -> float:
        """The standard deviation of the population."""
        return math.sqrt(self.variance())

    def sampleStdev(self) -> float:
        """The square root of :meth:`sampleVariance`."""
        return math.sqrt(self.sampleVariance())

    def __repr__(self) -> str:
        return (
            f"(count: {self.count()}, mean: {self.mean()}, stdev: {self.stdev()}, "
            f"max: {self.max()}, min: {self.min()})"
        )
