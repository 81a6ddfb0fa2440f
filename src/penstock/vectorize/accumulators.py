"""The partials of a fold on columns, one numpy array or one list of chosen values for each of their parts.

Each accumulator first looks whether it can promise Python's result (``prepared``, which changes nothing), and
then takes the values in. Slots beyond those that are known are new: they begin where the fold does. ``None``
for the slots means that each row has its own, in their order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.chunk import leaves as leaf
from penstock.vectorize.encoding import Codes
from penstock.vectorize.folding import Part
from penstock.vectorize.kernels import Refused, arrow_of

__all__ = ["Accumulator", "accumulator_of"]

Numbers = npt.NDArray[Any]
_LIMIT = 2**63


class Accumulator(ABC):
    """One part of the partials: ``prepared`` looks whether Python's result can be promised, ``take``
    folds."""

    def __init__(self, part: Part) -> None:
        self.kind = part.kind

    @abstractmethod
    def prepared(
        self, later: pa.Array, first: pa.Array | None, slots: Codes | None, news: Numbers, total: int
    ) -> Any:
        """What to fold, if Python's result can be promised; nothing is changed. Raises: ``Refused``."""

    @abstractmethod
    def take(self, values: Any, slots: Codes | None, news: Numbers, total: int) -> None:
        """Fold it; of ``total`` slots those of the rows ``news`` are new."""

    @abstractmethod
    def array(self) -> pa.Array:
        """The partials, one for each slot."""


class _Numbers(Accumulator):
    """Partials that are numbers, folded by a numpy function, from a neutral start."""

    ufunc: np.ufunc

    def __init__(self, part: Part) -> None:
        super().__init__(part)
        self.partials = np.zeros(0, self._dtype())

    def _dtype(self) -> Any:
        return np.float64 if self.kind is float else np.int64

    def _read(self, array: pa.Array) -> Numbers:
        if array.null_count:
            raise Refused("a None among the values")
        if not len(array):
            return np.zeros(0, self._dtype())
        values = leaf.numpy_of(self.kind, array)
        return (
            values.astype(np.int64) if self.kind is bool or self.kind is date else values.view(self._dtype())
        )

    def prepared(
        self, later: pa.Array, first: pa.Array | None, slots: Codes | None, news: Numbers, total: int
    ) -> Numbers:
        values = self._read(later)
        if first is not None and len(news):
            firsts = self._read(first)
            values = values.copy()
            values[news] = firsts[news]
        self._check(values, len(values) if slots is not None else 1)
        return values

    def _check(self, values: Numbers, most: int) -> None:
        """Raise :class:`Refused` if the fold could be wrong; ``most`` values are for the same slot."""

    def take(self, values: Numbers, slots: Codes | None, news: Numbers, total: int) -> None:
        if total > len(self.partials):
            grown = np.full(total, self._start(), self._dtype())
            grown[: len(self.partials)] = self.partials
            self.partials = grown
        self._fold(slots, values)

    @abstractmethod
    def _start(self) -> Any:
        """A value that changes nothing: ``fold(start, x)`` is ``x``."""

    def _fold(self, slots: Codes | None, values: Numbers) -> None:
        """Fold the values into the slots, in their order."""
        with np.errstate(all="ignore"):
            if slots is None:
                self.ufunc(self.partials, values, out=self.partials)
            else:
                self.ufunc.at(self.partials, slots, values)

    def array(self) -> pa.Array:
        values = self.partials.astype(np.bool_) if self.kind is bool else self.partials
        return arrow_of(values, self.kind)


class _Sum(_Numbers):
    """``-0.0 + x`` is ``x`` for each float, so that is where floats start."""

    ufunc = np.add

    def __init__(self, part: Part) -> None:
        super().__init__(part)
        self._bound = 0

    def _start(self) -> Any:
        return -0.0 if self.kind is float else 0

    def _check(self, values: Numbers, most: int) -> None:
        if self.kind is float or not len(values):
            return
        added = max(int(values.max()), -int(values.min())) * most
        bound = self._bound + added
        if bound >= _LIMIT:
            held = (
                max((abs(int(self.partials.max())), abs(int(self.partials.min()))), default=0)
                if len(self.partials)
                else 0
            )
            bound = held + added
            if bound >= _LIMIT:
                raise Refused("a sum of more than 64 bits")
        self._bound = bound


class _Product(_Numbers):
    ufunc = np.multiply

    def _start(self) -> Any:
        return 1

    def prepared(
        self, later: pa.Array, first: pa.Array | None, slots: Codes | None, news: Numbers, total: int
    ) -> Numbers:
        values = super().prepared(later, first, slots, news, total)
        if self.kind is int:
            sizes = np.ones(total)
            sizes[: len(self.partials)] = np.maximum(np.abs(self.partials.astype(np.float64)), 1)
            with np.errstate(over="ignore"):
                more = np.maximum(np.abs(values.astype(np.float64)), 1)
                if slots is None:
                    sizes *= more
                else:
                    np.multiply.at(sizes, slots, more)
            if np.any(sizes >= 2.0**62):
                raise Refused("a product of more than 64 bits")
        return values


class _Extreme(_Numbers):
    def _check(self, values: Numbers, most: int) -> None:
        if self.kind is float and np.any((values != values) | ((values == 0) & np.signbit(values))):
            raise Refused("a NaN or a negative zero, whose order Python decides case by case")


class _Min(_Extreme):
    ufunc = np.minimum

    def _start(self) -> Any:
        return np.inf if self.kind is float else _LIMIT - 1


class _Max(_Extreme):
    ufunc = np.maximum

    def _start(self) -> Any:
        return -np.inf if self.kind is float else -_LIMIT


class _And(_Numbers):
    ufunc = np.bitwise_and

    def _start(self) -> Any:
        return -1


class _Or(_Numbers):
    ufunc = np.bitwise_or

    def _start(self) -> Any:
        return 0


class _Xor(_Numbers):
    ufunc = np.bitwise_xor

    def _start(self) -> Any:
        return 0


class _Chosen(Accumulator):
    """Partials that are one of the values: of any class, ``None`` too."""

    def __init__(self, part: Part) -> None:
        super().__init__(part)
        self._held: list[pa.Array] = []
        self._count = 0
        self.places = np.zeros(0, np.int64)

    def prepared(
        self, later: pa.Array, first: pa.Array | None, slots: Codes | None, news: Numbers, total: int
    ) -> Any:
        return (later, first)

    def _grown(self, total: int) -> None:
        grown = np.zeros(total, np.int64)
        grown[: len(self.places)] = self.places
        self.places = grown

    def array(self) -> pa.Array:
        if len(self._held) > 1:
            self._held = [pa.concat_arrays(self._held)]
        return _taken_by(self._held[0], self.places)


def _taken_by(array: pa.Array, places: Numbers) -> pa.Array:
    return array.take(pa.Array.from_buffers(pa.int64(), len(places), [None, pa.py_buffer(places)]))


class _First(_Chosen):
    def take(self, values: Any, slots: Codes | None, news: Numbers, total: int) -> None:
        array = values[0] if values[1] is None else values[1]
        before = len(self.places)
        self._grown(total)
        self._held.append(_taken_by(array, np.ascontiguousarray(news)))
        self.places[before:] = np.arange(self._count, self._count + len(news))
        self._count += len(news)


class _Last(_Chosen):
    def take(self, values: Any, slots: Codes | None, news: Numbers, total: int) -> None:
        later, first = values
        self._grown(total)
        if slots is None:
            slots = np.arange(total)
        rows = np.full(total, -1, np.int64)
        rows[slots] = np.arange(len(slots))  # of several the last one stays
        touched = np.flatnonzero(rows >= 0)
        places = rows[touched]
        if first is None:
            held = _taken_by(later, places)
        else:  # a key whose only value so far this is has it from the first function
            only = np.isin(places, news)
            both = pa.concat_arrays([later, first])
            held = _taken_by(both, np.where(only, places + len(later), places))
        self._held.append(held)
        self.places[touched] = np.arange(self._count, self._count + len(touched))
        self._count += len(touched)
        if len(self._held) > 64:
            self._held, self.places, self._count = (
                [self.array()],
                np.arange(len(self.places)),
                len(self.places),
            )


_BY_FOLD: dict[str, type[Accumulator]] = {
    "add": _Sum, "mul": _Product, "min": _Min, "max": _Max, "and": _And, "or": _Or, "xor": _Xor,
    "first": _First, "last": _Last,
}  # fmt: skip


def accumulator_of(part: Part) -> Accumulator:
    """The accumulator of one part of a partial."""
    return _BY_FOLD[part.how](part)
