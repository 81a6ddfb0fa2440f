"""Bytes that come in pieces, as lines: whatever the pieces, the lines are those of the whole."""

from __future__ import annotations

import random
import re
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.sources.receivers.blocks import Notes
from penstock.sources.receivers.line_cutter import CutLines, LineCutter


def lines_of(data: bytes) -> list[str]:
    """What ``readLine`` of Java gives, from the whole."""
    lines = re.split(rb"\r\n|\r|\n", data)
    if not lines[-1]:
        lines.pop()
    return [line.decode("utf-8", "replace") for line in lines]


def cut(pieces: list[bytes], most_bytes: int = 1 << 20) -> tuple[list[str], Notes]:
    """The lines, checked to be numbered one after the other but for those that were refused."""
    cutter = LineCutter("tcp://test", most_bytes)
    found: list[CutLines] = []
    for piece in pieces:
        found += cutter.feed(piece)
    found += cutter.end()
    texts: dict[int, str] = {}
    for each in found:
        lines = each.data.decode().split("\n")
        assert lines.pop() == ""
        assert len(lines) == each.lines > 0
        texts.update(enumerate(lines, each.first))
    refused = {number for _, number, _, _ in cutter.notes.refused}
    if len(refused) == cutter.notes.too_long:
        assert sorted([*texts, *refused]) == list(range(1, len(texts) + len(refused) + 1))
    return [texts[number] for number in sorted(texts)], cutter.notes


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ([], []),
        ([b""], []),
        ([b"a"], ["a"]),
        ([b"a\n"], ["a"]),
        ([b"a\nb"], ["a", "b"]),
        ([b"\n\n"], ["", ""]),
        ([b"a\r\nb\r\n"], ["a", "b"]),
        ([b"a\r", b"\nb"], ["a", "b"]),
        ([b"a\r", b"b\n"], ["a", "b"]),
        ([b"a\r", b"", b"\n", b"\n"], ["a", ""]),
        ([b"a\r\r\n\n"], ["a", "", ""]),
        ([b"\r", b"\r", b"\n"], ["", ""]),
        (["gr\u00fc\u00dfe\n".encode()[:3], "gr\u00fc\u00dfe\n".encode()[3:]], ["gr\u00fc\u00dfe"]),
        ([b"\xf0\x9f", b"\x98", b"\x80\n"], ["\U0001f600"]),
        ([b"a\0b\n"], ["a\0b"]),
        ([b"a\x0bb\x0cc\x85\xe2\x80\xa8d\n"], ["a\x0bb\x0cc\ufffd\u2028d"]),
    ],
)
def test_lines(pieces: list[bytes], lines: list[str]) -> None:
    assert cut(pieces)[0] == lines


@pytest.mark.parametrize(
    ("data", "count"),
    [(b"\xff\n", 1), (b"a\xc3\nb\xc3", 2), ("\ufffd\n".encode(), 0), (b"\xe2\x82\n\xff\xff", 3)],
)
def test_what_is_not_utf8_is_counted(data: bytes, count: int) -> None:
    assert cut([data])[1].bad_utf8 == count
    assert cut([data[at : at + 1] for at in range(len(data))])[1].bad_utf8 == count


@given(
    st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n", b"\xc3\xbc", b"\xc3", b"\0", b"bc"]), max_size=30),
    st.randoms(use_true_random=False),
)
@example([b"\r", b"\n"], random.Random(0))
def test_the_pieces_do_not_matter(parts: list[bytes], chance: random.Random) -> None:
    data = b"".join(parts)
    pieces, at = [], 0
    while at < len(data):
        step = chance.randrange(4)
        pieces.append(data[at : at + step])
        at += step
    assert cut(pieces)[0] == cut([data])[0] == lines_of(data)


@given(
    st.lists(st.sampled_from([b"a", b"aaaa", b"\r", b"\n", b"\xc3\xbc", b"\xc3"]), max_size=40),
    st.integers(1, 8),
    st.randoms(use_true_random=False),
)
def test_lines_that_are_too_long_are_refused_whatever_the_pieces(
    parts: list[bytes], most: int, chance: random.Random
) -> None:
    data = b"".join(parts)
    pieces, at = [], 0
    while at < len(data):
        step = chance.randrange(6)
        pieces.append(data[at : at + step])
        at += step
    expected = lines_of(data)
    for found, notes in (cut(pieces, most), cut([data], most)):
        assert found == [line for line in expected if len(line.encode()) <= most]
        long = [(at, line) for at, line in enumerate(expected, 1) if len(line.encode()) > most]
        assert notes.too_long == len(long)
        assert [(number, text) for _, number, text, _ in notes.refused] == long
        assert {reason for *_, reason in notes.refused} <= {f"longer than {most} bytes"}


def test_of_a_long_line_the_first_thousand_characters_are_kept() -> None:
    text = "\U0001f600" * 5_000 + "\n"
    for pieces in ([text.encode()], [text.encode()[at : at + 7] for at in range(0, len(text.encode()), 7)]):
        _, notes = cut(pieces, 10_000)
        assert [each[2] for each in notes.refused] == ["\U0001f600" * 1_000]


def test_a_line_without_an_end_takes_no_memory() -> None:
    cutter = LineCutter("tcp://test", 1 << 20)
    piece = b"x" * (256 << 10)
    tracemalloc.start()
    try:
        for _ in range(4_096):  # 1 GB
            assert cutter.feed(piece) == []
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 4 << 20
    assert cutter.feed(b"y\nnext\n") == [CutLines(b"next\n", 1, 2)]
    assert cutter.notes.too_long == 1


def test_a_peer_that_sends_only_long_lines_takes_no_memory() -> None:
    cutter = LineCutter("tcp://test", 10)
    for _ in range(10_000):
        assert cutter.feed(b"x" * 20 + b"\n") == []
    assert cutter.notes.too_long == 10_000
    assert len(cutter.notes.refused) == 100
    assert cutter.taken_notes().too_long == 10_000
    assert cutter.notes.too_long == 0


def test_a_peer_that_sends_byte_by_byte_is_held_in_few_pieces() -> None:
    cutter = LineCutter("tcp://test", 1 << 20)
    for _ in range(5_000):
        cutter.feed(b"x")
    assert len(cutter._held) <= 1_001
    assert cutter.feed(b"\n") == [CutLines(b"x" * 5_000 + b"\n", 1, 1)]
