"""Nodes that look at the last so many milliseconds.

::

    slides of the parent      1   2   3   4   5   6   7
    window at 6, length 4s            [---------------]       reads 3..6, at a slide of 1 s
    window at 7                           [---------------]   3 leaves, 7 enters

A keyed window reads one *partial* a slide (each key folded once, kept while the window reaches it)
and combines the partials from the oldest to the newest, in brackets that follow from where the window
ends and how long it is. So every result is a function of what the window holds and of nothing else: not of
when the program started, nor of results before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from penstock.chunk import Chunk, Columns, Rows, rows_of
from penstock.dstream.bracketing import Bracketing, Piece, bracketing_of
from penstock.dstream.combining import (
    Combining,
    End,
    Function,
    Recipe,
    Steps,
    fold_into,
    made_pieces,
    steps_of,
)
from penstock.dstream.correcting import Corrected
from penstock.dstream.exactness import Inexact
from penstock.dstream.node import Batch, CommittedBatch, StreamNode
from penstock.errors import CallSite
from penstock.plan import Gather, Node, SliceReader, Source, Task
from penstock.rdd import RDD, Partitioner
from penstock.times import BatchTime
from penstock.vectorize import halves_of, takes_back

__all__ = ["KeyedWindow", "Window"]


class Window(StreamNode):
    """All records of the last ``length_ms``, slide after slide."""

    def __init__(self, site: CallSite, parent: StreamNode, length_ms: int, slide_ms: int) -> None:
        super().__init__(site, (parent,), slide_ms)
        self.parent = parent
        self.length_ms: int = length_ms

    def remembers(self, dependency: StreamNode) -> int:
        return self.length_ms

    def compute(self, time: BatchTime, batch: Batch) -> RDD | None:
        parts = list(batch.rdds(self.parent, time - self.length_ms, time).values())
        if not parts:
            return batch.new_rdd(Source(self.site, ()))
        if len(parts) == 1:
            return parts[0]
        plans = tuple(part.plan for part in parts)
        reads = [[(index, part)] for index, plan in enumerate(plans) for part in range(plan.partitions)]
        return batch.new_rdd(Gather(self.site, plans, reads))


def _joined(batch: Batch, rdds: Sequence[RDD], site: CallSite) -> list[RDD]:
    """Slides of former batches, which lie in memory, as one RDD with an end behind each: a plan of hundreds
    of nodes would take longer to look at than to run."""
    plans = [rdd.plan for rdd in rdds if isinstance(rdd.plan, Source)]
    readers = SliceReader.joined(plans, End()) if len(plans) == len(rdds) > 1 else None
    return list(rdds) if readers is None else [batch.new_rdd(Source(site, readers))]


def _steps_of_held(how: Bracketing, time: int, step: int, held: Sequence[int]) -> Steps:
    """The steps that make the window that ends at ``time`` of the slides of these times."""
    return steps_of(how, how.window(time // step), [at // step for at in held])


class KeyedWindow(StreamNode):
    """``(key, value)`` over the last ``length_ms``, of a parent that yields one partial a slide.

    Keys come in the order in which the window holds them, the oldest slide first; a key that is in no
    slide of the window any more is gone. Partials are combined in the brackets of
    :mod:`~penstock.dstream.bracketing`; pieces that later windows have too are made once and kept.

    With an ``inverse`` the value of the window before is corrected by the slides that left and entered, where
    that is exact: on ints, text, dates, and what holds only such, all of one class at each place. All else is
    put together as without one (floats, whose last bits would depend on the past; bools, which subtraction
    turns into ints; objects of classes that we cannot look into).

    A function that ``chains`` gives the same in whatever brackets, and more the more it is given: nothing is
    gained by pieces then, and they would take the room of many windows.
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
        *,
        chains: bool = False,
    ) -> None:
        super().__init__(site, (partials,), slide_ms)
        self.partials = partials
        self.function = function
        self.inverse = inverse
        self.length_ms: int = length_ms
        self.partitioner = partitioner
        self.chains = chains
        self.stateful = inverse is not None
        self._step = partials.slide_duration
        self._how = bracketing_of(length_ms // self._step)

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
        if self.chains:
            return self._chained(time, batch)
        previous = self._previous(time, batch)
        return self._put_together(time, batch) if previous is None else self._corrected(time, batch, previous)

    def pieces(self, time: BatchTime, batch: CommittedBatch) -> Mapping[Any, RDD]:
        """What is to be kept of the slides so far. Where a window has few slides, that is nothing."""
        kept = batch.pieces(self)
        if self.chains or self._how.slides <= _FEW or batch.next_time(self.partials, time - 1) != time:
            return kept
        newest = batch.committed(self, time)
        if newest is not None and self._is_corrected(newest[1]):
            return {}  # so will be the next window
        due = batch.next_time(self, time)
        every = self.slide_duration // self._step
        wanted = self._how.kept_after(time // self._step, due // self._step, every)
        recipe = self._recipe(time, batch)
        steps = {piece: recipe.step_of(piece) for piece in wanted if piece not in kept}
        found = {piece: kept[piece] for piece in wanted if piece in kept}
        found.update((piece, self._nothing(batch)) for piece, step in steps.items() if step is None)
        made = sorted({step for step in steps.values() if step is not None})
        if made:
            rdds = self._made(batch, recipe, made)
            found.update((piece, rdds[step]) for piece, step in steps.items() if step in rdds)
        return found

    def _made(self, batch: CommittedBatch, recipe: Recipe[RDD], steps: list[int]) -> dict[int, RDD]:
        """The values of these steps, in memory; but for those that a function of the user's has refused."""
        combining = Combining(self.function, self.site, recipe.steps, steps, marks=self.inverse is not None)
        plan = self._gathered(batch, _joined(batch, recipe.inputs, self.site), combining).plan
        partitions = batch.run(plan, made_pieces)
        found = {}
        for step, parts in zip(steps, zip(*partitions, strict=True), strict=True):
            readers = [SliceReader(chunks) for chunks in parts if chunks is not None]
            if len(readers) == len(parts):
                found[step] = batch.new_rdd(Source(self.site, readers), self.partitioner)
        return found

    def _recipe(self, time: BatchTime, batch: Batch) -> Recipe[RDD]:
        """Made of the slides up to that of ``time``, and of what is kept."""
        kept, phase = batch.pieces(self), time % self._step

        def read(piece: Piece) -> RDD | None:
            slide = piece.first == piece.last
            rdd = batch.rdd(self.partials, piece.last * self._step + phase) if slide else kept[piece]
            return rdd if rdd is not None and rdd.plan.partitions else None

        return Recipe(self._how, read)

    def _put_together(self, time: BatchTime, batch: Batch) -> RDD:
        recipe = self._recipe(time, batch)
        if recipe.step_of(self._how.window(time // self._step)) is None:
            return self._nothing(batch)
        parts = [*_joined(batch, recipe.inputs[:-1], self.site), recipe.inputs[-1]]
        combining = Combining(self.function, self.site, recipe.steps, marks=self.inverse is not None)
        return self._gathered(batch, parts, combining)

    def _chained(self, time: BatchTime, batch: Batch) -> RDD:
        held = list(batch.rdds(self.partials, time - self.length_ms, time).values())
        if not held:
            return self._nothing(batch)
        parts = [*_joined(batch, held[:-1], self.site), held[-1]]
        return self._gathered(batch, parts, _Chained(self.function, self.site))

    def _corrected(self, time: BatchTime, batch: Batch, previous: RDD) -> RDD:
        start, slide = time - self.length_ms, self.slide_duration
        staying = batch.rdds(self.partials, start, time - slide)
        entering = batch.rdds(self.partials, max(start, time - slide), time)
        if not staying and not entering:
            return self._nothing(batch)
        leaving = batch.rdds(self.partials, start - slide, min(start, time - slide))
        left = _joined(batch, list(leaving.values()), self.site)
        stayed = _joined(batch, list(staying.values()), self.site)
        held = (*staying, *entering)  # when: it may travel, and what is held must not come along
        steps = partial(_steps_of_held, self._how, time, self._step, held)
        assert self.inverse is not None
        corrected = Corrected(self.function, self.inverse, len(left), len(stayed), steps, self.site)
        return self._gathered(batch, [previous, *left, *stayed, *entering.values()], corrected)

    def _previous(self, time: BatchTime, batch: Batch) -> RDD | None:
        """The window one slide ago if nothing between was lost, and if it is to be corrected."""
        if self.inverse is None:
            return None
        found = batch.committed(self, time - self.slide_duration)
        if found is None or found[0] != time - self.slide_duration or not self._is_corrected(found[1]):
            return None
        return found[1]

    def _is_corrected(self, rdd: RDD) -> bool:
        """Whether the window after this one is made of it. Where values are not exact the inverse function is
        never asked, and of columns of ints that are added up the pieces give what it would give."""
        if self.slide_duration >= self.length_ms or rdd.partitioner != self.partitioner:
            return False
        assert isinstance(rdd.plan, Source), "what is committed lies in memory"
        chunks = [c for reader in rdd.plan.readers if isinstance(reader, SliceReader) for c in reader.chunks]
        if any(isinstance(chunk, Inexact) for chunk in chunks):
            return False
        columns = next((chunk for chunk in chunks if isinstance(chunk, Columns)), None)
        halves = None if columns is None else halves_of(columns.row_type)
        assert self.inverse is not None
        return halves is None or not takes_back(self.function, self.inverse, halves[1])

    def _gathered(self, batch: Batch, parts: list[RDD], combine: Any) -> RDD:
        plans: tuple[Node, ...] = tuple(part.plan for part in parts)
        reads = [
            [(part, index) for part in range(len(plans))] for index in range(self.partitioner.numPartitions)
        ]
        return batch.new_rdd(Gather(self.site, plans, reads, combine), self.partitioner)

    def _nothing(self, batch: Batch) -> RDD:
        return batch.new_rdd(Source(self.site, ()))


_FEW = 8
"""Slides that are combined anew in each window: that is no more work than keeping pieces."""


class _Chained:
    """The partials of a key folded from the oldest to the newest."""

    __slots__ = ("__name__", "_function", "_site")

    def __init__(self, function: Function, site: CallSite) -> None:
        self.__name__ = "window"
        self._function = function
        self._site = site

    def __call__(self, task: Task, inputs: list[Iterator[Chunk]]) -> Iterator[Chunk]:
        values: dict[Any, Any] = {}
        for chunks in inputs:
            fold_into(values, rows_of(chunks), self._function, self._site)
        if values:
            yield Rows(list(values.items()))
