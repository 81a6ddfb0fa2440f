"""A window corrected by an inverse function: the window before, minus what left, plus what entered.

::

    the window before    [ 1   2   3   4 ]
    this window              [ 2   3   4   5 ]
                          left   stayed   entered
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from operator import itemgetter
from typing import Any

from penstock.chunk import Chunk, Rows, rows_of
from penstock.dstream.combining import Combining, End, Function, Steps, fold_into, parts_of
from penstock.dstream.exactness import NOTHING, joint_shape, shape_of_pairs
from penstock.errors import CallSite
from penstock.plan import Task, raise_located

__all__ = ["Corrected"]


class Corrected:
    """The window before, minus what left, plus what entered; or, if that would not be exact, what stayed and
    entered put together by these ``steps``."""

    __slots__ = ("__name__", "_steps", "function", "inverse", "leaving", "site", "staying")

    def __init__(
        self,
        function: Function,
        inverse: Function,
        leaving: int,
        staying: int,
        steps: Callable[[], Steps],
        site: CallSite,
    ) -> None:
        self.__name__ = "window"
        self.function = function
        self.inverse = inverse
        self.leaving = leaving
        self.staying = staying
        self._steps = steps
        self.site = site

    def __call__(self, task: Task, inputs: list[Iterator[Chunk]]) -> Iterator[Chunk]:
        leaving, held = inputs[1 : 1 + self.leaving], inputs[1 + self.leaving :]
        stayed = _Pulled(chain.from_iterable(map(_ended, held[: self.staying])))
        before, entered = list(inputs[0]), [list(chunks) for chunks in held[self.staying :]]
        left = [list(chunks) for chunks in leaving]
        shape = shape_of_pairs(chain.from_iterable(left))
        if shape is NOTHING:  # what stayed is all of one shape, or the window before would be marked
            shapes = (shape_of_pairs([chunk]) for chunk in stayed)
            shape = next((found for found in shapes if found is not NOTHING), NOTHING)
        if joint_shape(shape, shape_of_pairs(chain(before, *entered))) is None:
            slides = [*(parts_of(stayed) if self.staying else ()), *entered]
            yield from Combining(self.function, self.site, self._steps(), marks=True).combined(slides)
            return
        previous, *gone = [list(rows_of(chunks)) for chunks in (before, *left)]
        news = [list(rows_of(chunks)) for chunks in entered]
        values = self._corrected(dict(previous), gone, stayed, news)
        if values:
            yield Rows(list(values.items()))

    def _corrected(
        self, values: dict[Any, Any], left: list[list[Any]], stayed: _Pulled, entered: list[list[Any]]
    ) -> dict[Any, Any]:
        """The values in the order of the window. Of what stayed no more is looked at than it takes to see
        which keys are still there, and which come first."""
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
            fold_into(values, slide, self.function, self.site)
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


def _ended(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """The same, with an end behind them if there is none in them."""
    ends = False
    for chunk in chunks:
        ends = ends or isinstance(chunk, End)
        yield chunk
    if not ends:
        yield End()


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
