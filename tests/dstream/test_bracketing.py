"""The brackets of windows: each slide once and in order, and few combinations from one window to the next."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.dstream.bracketing import Bracketing, Piece, bracketing
from penstock.dstream.combining import steps_of

LENGTHS = [*range(1, 60), 100, 119, 240, 719, 720, 721]


def slides_in(brackets: Any) -> list[int]:
    return [brackets] if isinstance(brackets, int) else [s for each in brackets for s in slides_in(each)]


@pytest.mark.parametrize("length", LENGTHS)
def test_each_slide_of_the_window_is_in_it_once_and_in_order(length: int) -> None:
    for last in range(5000, 5000 + 2 * length, 1 + length // 40):
        assert slides_in(bracketing(last, length)) == list(range(last - length + 1, last + 1))


def test_brackets_as_they_have_always_been() -> None:
    """Floats of programs that are running depend on them."""
    assert bracketing(20, 1) == 20
    assert bracketing(20, 2) == (19, 20)
    assert bracketing(20, 3) == ((18, 19), 20)
    assert bracketing(20, 4) == ((17, (18, 19)), 20)
    assert bracketing(21, 4) == (((18, 19), 20), 21)
    assert bracketing(7, 9) == (((-1, (((0, 1), 2), ((3, 4), 5))), 6), 7)
    assert bracketing(25, 10) == (((16, (17, (18, 19))), ((((20, 21), 22), 23), 24)), 25)


def test_brackets_move_on_by_whole_blocks() -> None:
    """Numbers that lie a block further have the same brackets."""

    def moved(brackets: Any, by: int) -> Any:
        return brackets + by if isinstance(brackets, int) else tuple(moved(each, by) for each in brackets)

    for length in LENGTHS:
        block = Bracketing(length).block
        for last in range(1000, 1000 + min(block, 12)):
            assert bracketing(last + block, length) == moved(bracketing(last, length), block)


class Counted:
    """Makes pieces of pieces that are kept, and counts."""

    def __init__(self, how: Bracketing) -> None:
        self.how = how
        self.kept: set[Piece] = set()
        self.combinations = 0

    def make(self, piece: Piece) -> None:
        if piece.first < piece.last and piece not in self.kept:
            for part in self.how.parts(piece):
                self.make(part)
            self.combinations += 1


@pytest.mark.parametrize("every", [1, 2, 3, 7, 50, 720])
@pytest.mark.parametrize("length", [2, 3, 5, 9, 10, 11, 13, 24, 60, 97, 120, 119, 240, 720])
def test_no_slide_takes_more_than_seven_combinations(length: int, every: int) -> None:
    counted = Counted(Bracketing(length))
    most_kept = 0
    for done in range(1000, 1000 + 2 * length + 4 * counted.how.block):
        counted.combinations = 0
        if done % every == 0:
            counted.make(counted.how.window(done))
        wanted = counted.how.kept_after(done, (done // every + 1) * every, every)
        for piece in wanted:
            counted.make(piece)
            counted.kept.add(piece)
        counted.kept = set(wanted)
        most_kept = max(most_kept, len(wanted))
        if done > 1000 + length + counted.how.block:
            assert counted.combinations <= 7
    assert most_kept <= 3 * counted.how.block + 4


@given(
    length=st.integers(1, 60),
    last=st.integers(0, 300),
    gone=st.sets(st.integers(0, 300), max_size=40),
)
def test_slides_that_are_not_there_are_left_out(length: int, last: int, gone: set[int]) -> None:
    def without(brackets: Any) -> Any:
        if isinstance(brackets, int):
            return None if brackets in gone else brackets
        older, newer = map(without, brackets)
        return (
            (older, newer) if older is not None and newer is not None else newer if older is None else older
        )

    how = Bracketing(length)
    slides = [slide for slide in range(last - length + 1, last + 1) if slide not in gone]
    values: list[Any] = []
    for step in steps_of(how, how.window(last), slides):
        values.append(slides[step] if isinstance(step, int) else (values[step[0]], values[step[1]]))
    assert (values[-1] if values else None) == without(bracketing(last, length))
