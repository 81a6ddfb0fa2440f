"""In which order the slides of a window are combined, and which pieces of that are worth keeping.

::

    blocks of 3 slides   ... 3  4  5 | 6  7  8 | 9 10 11 |12 13 14 |15 16 17 ...
    window of 13, at 16        [4  5 | 6  7  8 | 9 10 11 |12 13 14 |15|16]
                               head  |            body             |tail

    window = ((head + body) + tail) + the newest slide

- The *head* ends where a block ends and is folded from the right: it loses its first slide every time.
- The *body* is whole blocks, each folded from the left, and one after the other from the left. It stays what
  it is for as many slides as a block has.
- The *tail* is what there is of the newest block, but for the newest slide: it gains one every time.

Slides have absolute numbers (batch time // slide, counted from the epoch), blocks begin at multiples of their
length, and that follows from the number of slides in the window. So the brackets depend on where the window
ends and how long it is, and on nothing else: not on when the program started or recovered, nor on what has
failed. A slide that is not there is left out, the brackets around the others stay.

With blocks of about the square root of the window's length, all of this can be had for seven combinations a
slide: the newest slide is added to what has been put together before it came, heads and body of the next
block are made step by step while this one is filled. Which pieces are needed for that says
:meth:`Bracketing.kept_after`. They are pure functions of slides: what is not kept is made of them again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from functools import cache
from math import isqrt
from typing import Any, NamedTuple

from penstock.values import dataclass

__all__ = ["Bracketing", "Piece", "bracketing", "bracketing_of"]


class Piece(NamedTuple):
    """The slides from ``first`` to ``last``, combined as ``shape`` says: see :meth:`Bracketing.parts`."""

    shape: str
    first: int
    last: int


@dataclass(frozen=True)
class Bracketing:
    """How windows of so many ``slides`` are combined, in blocks of ``block`` slides."""

    slides: int
    block: int = field(init=False)

    def __post_init__(self) -> None:
        assert self.slides > 0, "a window holds a slide"
        object.__setattr__(self, "block", _block_length(self.slides))

    def window(self, last: int) -> Piece:
        """All of the window whose newest slide is ``last``."""
        return Piece("window", last - self.slides + 1, last) if self.slides > 1 else _left(last, last)

    def parts(self, piece: Piece) -> tuple[Piece, Piece]:
        """The two pieces of which a piece of more than one slide is the combination, the older one first."""
        shape, first, last = piece
        match shape:
            case "left":
                return _left(first, last - 1), _left(last, last)
            case "right":
                return _left(first, first), _right(first + 1, last)
            case "blocks":
                at = last + 1 - self.block
                return self._blocks(first, at - 1), _left(at, last)
            case "window":
                return self._before(last), _left(last, last)
            case "past":
                end = self._head_end(last + 1)
                return _right(first, end), self._blocks(end + 1, last)
            case _:
                assert shape == "before", f"a {shape} has no parts"
                start = self._start(last + 1)
                return self._past(first, start - 1), _left(start, last)

    def kept_after(self, done: int, due: int, every: int) -> list[Piece]:
        """The pieces worth having once slide ``done`` is there, in an order in which each is made of those
        before it, of pieces that were worth having one slide ago, and of slides.

        Windows end at ``due``, the next such slide after ``done``, and then at each ``every``-th.
        """
        start = self._start(done + 1)
        filled = done + 1 - start
        here, next_ = start, start + self.block
        body = self._body(here)
        pieces = [_left(at, at + self.block - 1) for at in range(body.first + self.block, here, self.block)]
        if filled:
            pieces.append(_left(here, done))
        if due < next_:
            pieces.append(body)
            pieces.extend(reversed(list(self._heads(due, next_, every))))
        after = due + max(0, -(-(next_ - due) // every)) * every
        if after < next_ + self.block:
            pieces.extend(self._on_the_way(filled, after, every))
        if due == done + 1:
            pieces.append(self._before(due))
        return [piece for piece in dict.fromkeys(pieces) if piece.first < piece.last]

    def _heads(self, due: int, until: int, every: int) -> Iterator[Piece]:
        """Those of the windows that end before the block that begins at ``until``."""
        end = self._head_end(until - self.block)
        for last in range(due, until, every):
            if last - self.slides < end:
                yield _right(last - self.slides + 1, end)

    def _on_the_way(self, filled: int, due: int, every: int) -> Iterator[Piece]:
        """What is to be there by now of body and heads of the block after this one, in which ``due`` is the
        first slide at which a window ends."""
        start = self._start(due)
        end, body = self._head_end(start), self._body(start)
        longest = end + self.slides - due
        made = 1 - (-filled * (longest - 1) // self.block)
        for length in range(2, min(made, longest) + 1):
            if length == made or (longest - length) % every == 0:
                yield _right(end - length + 1, end)
        blocks = (body.last + 1 - body.first) // self.block - 1  # the last one is not complete yet
        ready = min(blocks, 1 - (-filled * (blocks - 1) // self.block))
        if ready > 1:
            yield self._blocks(body.first, body.first + ready * self.block - 1)

    # Where things lie. ``start`` is the first slide of the block in which a window ends.

    def _start(self, last: int) -> int:
        return last // self.block * self.block

    def _head_end(self, start: int) -> int:
        return start - (self.slides // self.block - 1) * self.block - 1

    def _body(self, start: int) -> Piece:
        return self._blocks(self._head_end(start) + 1, start - 1)

    def _blocks(self, first: int, last: int) -> Piece:
        return Piece("blocks", first, last) if last - first >= self.block else _left(first, last)

    def _before(self, last: int) -> Piece:
        """The window but for its newest slide."""
        first, start = last - self.slides + 1, self._start(last)
        return self._past(first, start - 1) if start == last else Piece("before", first, last - 1)

    def _past(self, first: int, last: int) -> Piece:
        """Head and body."""
        body = self._body(last + 1)
        return Piece("past", first, last) if first < body.first else body


@cache
def bracketing_of(slides: int) -> Bracketing:
    """How windows of so many slides are combined."""
    return Bracketing(slides)


def bracketing(last: int, slides: int) -> Any:
    """The whole window as numbers of slides in nested pairs: the specification, as plain data.

    >>> bracketing(7, 3), bracketing(16, 6)
    (((5, 6), 7), ((11, ((12, 13), (14, 15))), 16))
    """
    how = bracketing_of(slides)

    def nested(piece: Piece) -> Any:
        return piece.last if piece.first == piece.last else tuple(nested(part) for part in how.parts(piece))

    return nested(how.window(last))


def _block_length(slides: int) -> int:
    """From the square root to twice that: what leaves the smallest remainder, as a remainder makes heads
    longer; of several the shortest.

    >>> [_block_length(slides) for slides in (1, 2, 3, 4, 10, 60, 720)]
    [1, 1, 1, 2, 5, 10, 30]
    """
    root = isqrt(slides)
    return min(range(root, 2 * root + 1), key=lambda length: (slides % length, length))


def _left(first: int, last: int) -> Piece:
    return Piece("left", first, last)


def _right(first: int, last: int) -> Piece:
    return Piece("right" if first < last else "left", first, last)
