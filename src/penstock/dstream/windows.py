"""Nodes that look at the last so many milliseconds.

::

    slides of the parent      1   2   3   4   5   6   7
    window at 6, length 4s            [---------------]       reads 3..6, at a slide of 1 s
    window at 7                           [---------------]   3 leaves, 7 enters

A keyed window reads one *partial* a slide (each key folded once, kept while the window reaches it)
and combines the partials from the oldest to the newest. So every result is a function of what the
window holds and of nothing else: not of when the program started, nor of results before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, timedelta
from fractions import Fraction
from itertools import chain
from operator import itemgetter
from typing import Any

from penstock.chunk import Chunk, Columns, Rows, rows_of
from penstock.dstream.node import Batch, StreamNode
from penstock.errors import CallSite
from penstock.plan import Form, Gather, Node, SliceReader, Source, Task, raise_located
from penstock.rdd import RDD, CombineValues, Partitioner, Reducing
from penstock.times import BatchTime
from penstock.vectorize import Untraced, halves_of, takes_back

__all__ = ["KeyedWindow", "Window"]

Function = Callable[[Any, Any], Any]


class Window(StreamNode):
    """All records of the last ``length_ms``, slide after slide."""

    def __init__(self, site: CallSite, parent: StreamNode, length_ms: int, slide_ms: int) -> None:
        super().__init__(site, (parent,), slide_ms)
        self.parent = parent
        self.length_ms = length_ms

    def remembers(self, dependency: StreamNode) -> int:
        return self.length_ms

    def compute(self, time: BatchTime, batch: Batch) -> RDD | None:
        parts = batch.rdds(self.parent, time - self.length_ms, time)
        if not parts:
            return batch.new_rdd(Source(self.site, ()))
        if len(parts) == 1:
            return parts[0]
        plans = tuple(part.plan for part in parts)
        reads = [[(index, part)] for index, plan in enumerate(plans) for part in range(plan.partitions)]
        return batch.new_rdd(Gather(self.site, plans, reads))


def _joined(batch: Batch, slides: list[RDD], site: CallSite) -> list[RDD]:
    """Slides of former batches, which lie in memory, as one RDD: a plan of hundreds of nodes would take
    longer to look at than to run."""
    plans = [slide.plan for slide in slides if isinstance(slide.plan, Source)]
    readers = SliceReader.joined(plans) if len(plans) == len(slides) > 1 else None
    return slides if readers is None else [batch.new_rdd(Source(site, readers))]


class KeyedWindow(StreamNode):
    """``(key, value)`` over the last ``length_ms``, of a parent that yields one partial a slide.

    Keys come in the order in which the window holds them, the oldest slide first; a key that is in no
    slide of the window any more is gone. With an ``inverse`` the value of the window before is
    corrected by the slides that left and entered, where that is exact: on ints, text, dates, and what
    holds only such. All else is folded anew (floats, whose last bits would depend on the past; bools,
    which subtraction turns into ints; objects of classes that we cannot look into).
    """

    def __init__(
        self,
        site: CallSite,
        partials: StreamNode,
        function: Function,
        inverse: Function | None,
        length_ms: int,
        slide_ms: int,
        partitioner: Partitioner,
    ) -> None:
        super().__init__(site, (partials,), slide_ms)
        self.partials = partials
        self.function = function
        self.inverse = inverse
        self.length_ms = length_ms
        self.partitioner = partitioner
        self.stateful = inverse is not None

    def remembers(self, dependency: StreamNode) -> int:
        return self.length_ms + (self.slide_duration if self.inverse is not None else 0)

    def shows(self, dependency: StreamNode) -> int:
        return self.length_ms

    @property
    def placing(self) -> Partitioner | None:
        return self.partitioner

    def problems(self, has_checkpoint_directory: bool) -> list[str]:
        if self.inverse is None or has_checkpoint_directory:
            return []
        return [
            f"{self.site} with an inverse function needs a checkpoint directory. "
            f"Hint: sc.setCheckpointDir(directory), or leave the inverse function out."
        ]

    def compute(self, time: BatchTime, batch: Batch) -> RDD | None:
        held = batch.rdds(self.partials, time - self.length_ms, time)
        if not held:
            return batch.new_rdd(Source(self.site, ()))
        previous = self._previous(time, batch)
        if previous is None:
            parts = [*_joined(batch, held[:-1], self.site), held[-1]]
            folded = _Folded(self.function, self.site, marks=self.inverse is not None)
            return self._gathered(batch, parts, folded)
        start = time - self.length_ms
        leaving = batch.rdds(
            self.partials, start - self.slide_duration, min(start, time - self.slide_duration)
        )
        entering = batch.rdds(self.partials, max(start, time - self.slide_duration), time)
        left = _joined(batch, leaving, self.site)
        stayed = _joined(batch, held[: len(held) - len(entering)], self.site)
        assert self.inverse is not None
        corrected = _Corrected(self.function, self.inverse, len(left), len(stayed), self.site)
        return self._gathered(batch, [previous, *left, *stayed, *entering], corrected)

    def _previous(self, time: BatchTime, batch: Batch) -> RDD | None:
        """The window one slide ago, if nothing between was lost."""
        if self.inverse is None or self.slide_duration >= self.length_ms:
            return None
        found = batch.committed(self, time - self.slide_duration)
        if found is None or found[0] != time - self.slide_duration:
            return None
        return found[1] if found[1].partitioner == self.partitioner else None

    def _gathered(self, batch: Batch, parts: list[RDD], combine: Any) -> RDD:
        plans: tuple[Node, ...] = tuple(part.plan for part in parts)
        reads = [
            [(part, index) for part in range(len(plans))] for index in range(self.partitioner.numPartitions)
        ]
        return batch.new_rdd(Gather(self.site, plans, reads, combine), self.partitioner)


class _Inexact(Rows):
    """The values of a window that holds something that taking away would not undo, such as a bool among ints:
    it may not show in any of them, so the next window has to look."""

    __slots__ = ()

    def isolated(self) -> _Inexact:
        return _Inexact(super().isolated().rows())

    def __reduce__(self) -> tuple[type[Rows], tuple[list[Any]]]:
        return _Inexact, (self.rows(),)


class _Folded:
    """The partials of a key folded from the oldest to the newest; with ``marks`` the result is marked where
    a slide is not exact."""

    __slots__ = ("__name__", "function", "marks", "site")

    def __init__(self, function: Function, site: CallSite, *, marks: bool = False) -> None:
        self.__name__ = "window"
        self.function = function
        self.marks = marks
        self.site = site

    def __call__(self, task: Task, inputs: list[Iterator[Chunk]]) -> Iterator[Chunk]:
        slides = [list(chunks) for chunks in inputs]
        in_columns = self.on_columns(slides)
        if in_columns is not None:
            yield from in_columns
            return
        rows = [list(rows_of(slide)) for slide in slides]
        values = self.fold(rows)
        if values:
            exact = not self.marks or all(map(_holds_exact, rows))
            yield (Rows if exact else _Inexact)(list(values.items()))

    def form(self, *slides: Form) -> Form:
        """The window's pairs; see :mod:`penstock.plan.forms`."""
        folded = CombineValues(Reducing(self.function, self.site), partials=True)
        return (
            folded.form(slides[0]) if all(form == slides[0] for form in slides) else Untraced("slides differ")
        )

    def on_columns(self, slides: list[list[Chunk]]) -> Iterator[Chunk] | None:
        """The window of slides that are columns, of a function that is a fold on columns."""
        chunks = [chunk for slide in slides for chunk in slide]
        if not chunks or not all(isinstance(chunk, Columns) for chunk in chunks):
            return None
        reducing = CombineValues(Reducing(self.function, self.site), partials=True)
        return reducing.on_columns_alone(chunks)

    def fold(self, slides: list[list[Any]]) -> dict[Any, Any]:
        values: dict[Any, Any] = {}
        for slide in slides:
            _fold_into(values, slide, self.function, self.site)
        return values


def _fold_into(values: dict[Any, Any], slide: list[Any], function: Function, site: CallSite) -> None:
    pair = None
    try:
        for pair in slide:
            key, value = pair
            values[key] = function(values[key], value) if key in values else value
    except Exception as error:
        raise_located(error, site, pair)


class _Corrected(_Folded):
    """The window before, minus what left, plus what entered."""

    __slots__ = ("inverse", "leaving", "staying")

    def __init__(
        self, function: Function, inverse: Function, leaving: int, staying: int, site: CallSite
    ) -> None:
        super().__init__(function, site)
        self.inverse = inverse
        self.leaving = leaving
        self.staying = staying

    def __call__(self, task: Task, inputs: list[Iterator[Chunk]]) -> Iterator[Chunk]:
        leaving, held = inputs[1 : 1 + self.leaving], inputs[1 + self.leaving :]
        stayed = _Pulled(chain.from_iterable(held[: self.staying]))
        entered = [list(chunks) for chunks in held[self.staying :]]
        if self._may_be_columns(next(chain(stayed, *entered), None)):
            in_columns = self.on_columns([list(stayed), *entered])
            if in_columns is not None:
                yield from in_columns
                return
        before = list(inputs[0])
        previous, *left = [list(rows_of(chunks)) for chunks in (before, *leaving)]
        news = [list(rows_of(chunks)) for chunks in entered]
        exact = all(map(_holds_exact, (previous, *left, *news)))
        if exact and any(isinstance(chunk, _Inexact) for chunk in before):
            exact = _holds_exact(list(rows_of(stayed)))
        if exact:
            values = self._corrected(dict(previous), left, stayed, news)
        else:
            values = self.fold([list(rows_of(stayed)), *news])
        if values:
            yield (Rows if exact else _Inexact)(list(values.items()))

    def _may_be_columns(self, first: Chunk | None) -> bool:
        """Whether slides of which this is the first chunk may be folded at once. That gives what the inverse
        function would give only if it is one, or is not asked."""
        if not isinstance(first, Columns) or halves_of(first.row_type) is None:
            return False
        return takes_back(self.function, self.inverse, first.row_type.parts[1])

    def _corrected(
        self, values: dict[Any, Any], left: list[list[Any]], stayed: _Pulled, entered: list[list[Any]]
    ) -> dict[Any, Any]:
        """The values in the order of the window. Of what stayed no more is looked at than it takes to see
        which keys are still there, and which come first: where nothing left, none of it."""
        if left:
            gone = set(chain.from_iterable(map(_keys, left)))
            for chunk in stayed if gone else ():
                gone.difference_update(_keys(chunk.rows()))
                if not gone:
                    break
            values = _in_order_of(stayed, {key: value for key, value in values.items() if key not in gone})
        for slide in left:
            pair = None
            try:
                for pair in slide:
                    key, value = pair
                    if key in values:
                        values[key] = self.inverse(values[key], value)
            except Exception as error:
                raise_located(error, self.site, pair)
        for slide in entered:
            _fold_into(values, slide, self.function, self.site)
        return values


class _Pulled:
    """Chunks that are pulled when somebody comes to them, and kept for who comes again."""

    __slots__ = ("_chunks", "_held")

    def __init__(self, chunks: Iterator[Chunk]) -> None:
        self._chunks = chunks
        self._held: list[Chunk] = []

    def __iter__(self) -> Iterator[Chunk]:
        yield from self._held
        for chunk in self._chunks:
            self._held.append(chunk)
            yield chunk


def _in_order_of(slides: _Pulled, values: dict[Any, Any]) -> dict[Any, Any]:
    """The values with their keys as they appear in the slides, each of which is in one."""
    found: dict[Any, Any] = {}
    for chunk in slides if values else ():
        for key in _keys(chunk.rows()):
            if key not in found:
                found[key] = values[key]
        if len(found) == len(values):
            break
    return found


def _keys(pairs: list[Any]) -> Iterator[Any]:
    return map(_key_of, pairs)


_key_of = itemgetter(0)
_EXACT: frozenset[type] = frozenset(
    {int, str, bytes, type(None), Fraction, date, datetime, timedelta}
)  # fmt: skip
_HOLDERS = (list, tuple, set, frozenset)


def _holds_exact(pairs: list[Any]) -> bool:
    return _is_exact([value for _, value in pairs])


def _is_exact(values: Iterable[Any]) -> bool:
    """Whether taking away what was added gives back the very same values, in depth."""
    held = list(values)
    for kind in set(map(type, held)) - _EXACT:
        same: list[Any] = [value for value in held if type(value) is kind]
        inside: Iterable[Any]
        if issubclass(kind, dict):
            inside = chain.from_iterable(value.values() for value in same)
        elif issubclass(kind, _HOLDERS):
            inside = chain.from_iterable(same)
        else:
            return False
        if not _is_exact(inside):
            return False
    return True
