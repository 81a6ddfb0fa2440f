"""Windows put together: what is read, what is combined with what, and the combinations themselves.

A :class:`Recipe` is made on the driver: it takes the brackets of a window apart until it comes to slides, or
to pieces that are kept, and notes down which of them are combined, step by step. :class:`Combining` does that
for one partition.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from penstock.chunk import CHUNK_ROWS, Chunk, Rows, rows_of
from penstock.dstream.bracketing import Bracketing, Piece
from penstock.dstream.exactness import NOTHING, Inexact, Shape, joint_shape, shape_of_pairs
from penstock.errors import CallSite
from penstock.plan import Form, Task, raise_located
from penstock.rdd import CombineValues, Reducing
from penstock.vectorize import Untraced

__all__ = [
    "Combining",
    "End",
    "Function",
    "Recipe",
    "Steps",
    "fold_into",
    "made_pieces",
    "parts_of",
    "steps_of",
]

Function = Callable[[Any, Any], Any]
T = TypeVar("T")
Steps = Sequence[int | tuple[int, int]]
"""Each gives one value: that of an input, or two values of steps before it combined, the older one first."""


class Recipe(Generic[T]):
    """How pieces are made of what there is.

    ``read(piece)`` is what stands for a slide (a piece of one), or for a piece that is kept, ``None`` if
    there is nothing in it; of a piece that has to be made it raises ``KeyError``.
    """

    def __init__(self, how: Bracketing, read: Callable[[Piece], T | None]) -> None:
        self._how = how
        self._read = read
        self._known: dict[Piece, int | None] = {}
        self.inputs: list[T] = []
        self.steps: list[int | tuple[int, int]] = []

    def step_of(self, piece: Piece) -> int | None:
        """The step that gives this piece, after steps that are added for it; ``None`` if none of its slides
        is there."""
        larger: list[tuple[Piece, Piece, bool]] = []
        while not self._is_there(piece):  # pieces may have hundreds of slides, and as many pieces in them
            older, newer = self._how.parts(piece)
            grows = piece.shape != "right"
            larger.append((piece, newer if grows else older, grows))
            piece = older if grows else newer
        step = self._known[piece]
        for whole, part, grows in reversed(larger):
            other = self.step_of(part)
            step = self._combined(step, other) if grows else self._combined(other, step)
            self._known[whole] = step
        return step

    def _is_there(self, piece: Piece) -> bool:
        if piece in self._known:
            return True
        try:
            found = self._read(piece)
        except KeyError:
            return False
        if found is None:
            self._known[piece] = None
        else:
            self._known[piece] = len(self.steps)
            self.steps.append(len(self.inputs))
            self.inputs.append(found)
        return True

    def _combined(self, older: int | None, newer: int | None) -> int | None:
        if older is None or newer is None:
            return newer if older is None else older
        self.steps.append((older, newer))
        return len(self.steps) - 1


def steps_of(how: Bracketing, piece: Piece, slides: Sequence[int]) -> Steps:
    """The steps that make a piece of these slides alone, which are the inputs in this order.

    >>> how = Bracketing(4)
    >>> steps_of(how, how.window(9), [6, 7, 9])
    [0, 1, (0, 1), 2, (2, 3)]
    """
    there = dict(zip(slides, range(len(slides)), strict=True))

    def read(found: Piece) -> int | None:
        if found.first < found.last:
            raise KeyError(found)
        return there.get(found.first)

    recipe = Recipe(how, read)
    recipe.step_of(piece)
    return [recipe.inputs[step] if isinstance(step, int) else step for step in recipe.steps]


class End(Rows):
    """Comes behind the chunks of each part where several come one after the other; holds nothing itself.

    ``made`` is false of a part that could not be made.
    """

    __slots__ = ("made",)

    def __init__(self, *, made: bool = True) -> None:
        super().__init__([])
        self.made = made

    def isolated(self) -> End:
        return self

    def __reduce__(self) -> Any:
        return _end, (self.made,)


def _end(made: bool) -> End:
    return End(made=made)


def parts_of(chunks: Iterable[Chunk]) -> list[list[Chunk]]:
    """Chunks between ends; all of them, where there is no end."""
    return [[] if part is None else part for part in _parts(chunks)]


def _parts(chunks: Iterable[Chunk]) -> list[list[Chunk] | None]:
    parts: list[list[Chunk] | None] = []
    part: list[Chunk] = []
    for chunk in chunks:
        if isinstance(chunk, End):
            parts.append(part if chunk.made else None)
            part = []
        else:
            part.append(chunk)
    assert not parts or not part, "chunks behind the last end"
    return parts or [part]


def made_pieces(task: Task, chunks: Iterator[Chunk]) -> list[list[Chunk] | None]:
    """What a :class:`Combining` of several pieces has made, ``None`` of what it could not."""
    return _parts(chunks)


class Combining:
    """Takes the steps of a recipe. ``wanted`` are the steps whose values come out.

    Of several each is followed by an :class:`End`. They are made before their time, so what a function
    raises is not raised now: the piece is not made, and nothing that holds it. With ``marks`` values are
    marked where they and the slides among them are not exact, all of one shape.
    """

    __slots__ = ("__name__", "_combine", "_function", "_marks", "_site", "_steps", "_wanted")

    def __init__(
        self,
        function: Function,
        site: CallSite,
        steps: Steps,
        wanted: Sequence[int] | None = None,
        *,
        marks: bool = False,
    ) -> None:
        self.__name__ = "window"
        self._function = function
        self._site = site
        self._steps = steps
        self._wanted = wanted
        self._marks = marks
        self._combine = CombineValues(Reducing(function, site), partials=True)

    def __call__(self, task: Task, inputs: list[Iterator[Chunk]]) -> Iterator[Chunk]:
        yield from self.combined([part for chunks in inputs for part in parts_of(chunks)])

    def form(self, *slides: Form) -> Form:
        """The window's pairs; see :mod:`penstock.plan.forms`."""
        alike = all(form == slides[0] for form in slides)
        return self._combine.form(slides[0]) if alike else Untraced("slides differ")

    def combined(self, inputs: list[list[Chunk]]) -> Iterator[Chunk]:
        """What comes out of these inputs."""
        wanted = (len(self._steps) - 1,) if self._wanted is None else self._wanted
        readers = Counter(wanted)
        for step in self._steps:
            if not isinstance(step, int):
                readers.update(step)
        values: list[list[Chunk] | None] = []
        shapes: list[Shape] = []

        def taken(step: int) -> list[Chunk] | None:
            """Its value for one reader, who may change it."""
            value = values[step]
            readers[step] -= 1
            return [chunk.isolated() for chunk in value] if value and readers[step] else value

        for step in self._steps:
            if isinstance(step, int):
                values.append(inputs[step])
                shapes.append(shape_of_pairs(inputs[step]) if self._marks else NOTHING)
            else:
                values.append(self._tried(taken(step[0]), taken(step[1])))
                shapes.append(joint_shape(shapes[step[0]], shapes[step[1]]))
        for step in wanted:
            value = taken(step)
            if value is not None:
                shape = shapes[step]
                if self._marks and shape is not None:
                    shape = joint_shape(shape, shape_of_pairs(value))
                yield from map(_marked, value) if shape is None else value
            if self._wanted is not None:
                yield End(made=value is not None)

    def _tried(self, older: list[Chunk] | None, newer: list[Chunk] | None) -> list[Chunk] | None:
        if self._wanted is None:
            assert older is not None, "a step before this has raised"
            assert newer is not None, "a step before this has raised"
            return self._both(older, newer)
        if older is None or newer is None:
            return None
        try:
            return self._both(older, newer)
        except Exception:  # raised when, and if, a window comes to it
            return None

    def _both(self, older: list[Chunk], newer: list[Chunk]) -> list[Chunk]:
        """The older values with the newer ones folded in; new keys behind."""
        if not older or not newer:
            return older or newer
        in_columns = self._combine.on_columns_of_both(older, newer)
        if in_columns is not None:
            return in_columns
        values = dict(rows_of(older))
        fold_into(values, rows_of(newer), self._function, self._site)
        rows = list(values.items())
        return [Rows(rows[at : at + CHUNK_ROWS]) for at in range(0, len(rows), CHUNK_ROWS)]


def _marked(chunk: Chunk) -> Chunk:
    shows = not isinstance(chunk, Rows) and shape_of_pairs([chunk]) is None
    return chunk if shows else Inexact(chunk.rows())


def fold_into(values: dict[Any, Any], slide: Iterable[Any], function: Function, site: CallSite) -> None:
    """Fold these pairs into the values of their keys; what the function raises is located."""
    pair = None
    try:
        for pair in slide:
            key, value = pair
            values[key] = function(values[key], value) if key in values else value
    except Exception as error:
        raise_located(error, site, pair)
