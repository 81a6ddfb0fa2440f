"""Lines as bytes: the same lines as strings, whoever asks and however they are cut."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.chunk import Lines, rows_of

line = st.text(st.characters(exclude_characters="\n", exclude_categories=("Cs",)), max_size=5)


def chunk_of(lines: list[str], end: bool) -> Lines:
    data = "\n".join(lines).encode()
    return Lines(data + b"\n" if lines and (end or not lines[-1]) else data, "in/a", 7)


@given(
    st.lists(line, max_size=12), st.booleans(), st.integers(-3, 14), st.integers(-3, 14), st.integers(1, 5)
)
def test_it_is_a_list_of_strings(lines: list[str], end: bool, start: int, stop: int, size: int) -> None:
    chunk = chunk_of(lines, end)
    assert len(chunk) == len(lines)
    assert chunk.rows() == lines
    assert list(rows_of([chunk])) == lines
    assert chunk.columns().rows() == lines
    part = chunk.slice(start, stop)
    assert part.rows() == lines[start:stop]
    assert len(part) == len(lines[start:stop])
    assert part.columns().rows() == lines[start:stop]
    pieces = list(chunk.pieces(size))
    assert [piece.rows() for piece in pieces] == [lines[at : at + size] for at in range(0, len(lines), size)]
    assert [piece.number for piece in pieces] == [7 + at for at in range(0, len(lines), size)]
    back = pickle.loads(pickle.dumps(part))
    assert (back.rows(), back.source, back.number) == (lines[start:stop], "in/a", part.number)


def test_nobody_can_change_it() -> None:
    chunk = Lines(b"a\nb\n")
    chunk.rows().append("c")
    assert chunk.isolated() is chunk
    assert chunk.lent() is chunk
    assert chunk.rows() == ["a", "b"]
    assert chunk.nbytes == 4


def test_row_lists_are_short() -> None:
    chunk = Lines(b"x\n" * 1000)
    assert [len(rows) for rows in chunk.row_lists()] == [256, 256, 256, 232]


def test_the_first_number_is_looked_for_only_when_asked_for() -> None:
    asked: list[int] = []

    def first() -> int:
        asked.append(1)
        return 100

    chunk = Lines(b"a\nb\nc", "in/a", first)
    part = chunk.slice(1, 3).slice(1, 2)
    assert part.rows() == ["c"]
    assert not asked
    assert part.number == 102


@pytest.mark.parametrize("text", ["a", "ä", "a\u2028b\x85c\x0b"])
def test_only_a_line_feed_ends_a_line(text: str) -> None:
    assert Lines(f"{text}\n{text}".encode()).rows() == [text, text]
