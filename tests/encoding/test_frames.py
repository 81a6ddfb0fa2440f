"""Frames: what is written is read, and what is not whole is not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.encoding import PREAMBLE, Frames, framed
from penstock.errors import CorruptCheckpoint

heads = st.dictionaries(
    st.sampled_from(["kind", "a", "b"]), st.none() | st.integers() | st.text(max_size=5), max_size=3
)
records = st.lists(st.tuples(heads, st.lists(st.binary(max_size=40), max_size=3)), max_size=5)


def read(data: bytes) -> list[tuple[dict[str, Any], list[bytes]]]:
    return [(frame.head, list(map(bytes, frame.parts))) for frame in Frames(data, "file")]


def file_of(given_records: list[tuple[dict[str, Any], list[bytes]]]) -> bytes:
    return PREAMBLE + b"".join(framed(head, parts) for head, parts in given_records)


@given(records, st.integers(0, 300))
def test_what_is_written_is_read_whatever_the_reserve(
    given_records: list[tuple[dict[str, Any], list[bytes]]], reserve: int
) -> None:
    data = file_of(given_records)
    frames = Frames(data + bytes(reserve), "file")
    found = [(frame.head, list(map(bytes, frame.parts))) for frame in frames]
    assert found == given_records
    assert (frames.size, frames.damage) == (len(data), None)


@given(records.filter(bool), st.data())
def test_a_file_that_is_cut_off_gives_its_first_frames(
    given_records: list[tuple[dict[str, Any], list[bytes]]], data: st.DataObject
) -> None:
    whole = file_of(given_records)
    cut = data.draw(st.integers(len(PREAMBLE), len(whole) - 1))
    frames = Frames(whole[:cut], "file")
    found = [(frame.head, list(map(bytes, frame.parts))) for frame in frames]
    assert found == given_records[: len(found)]
    assert frames.size == len(file_of(given_records[: len(found)]))
    assert len(found) < len(given_records)


@given(records.filter(bool), st.data())
def test_one_bit_that_has_changed_is_noticed(
    given_records: list[tuple[dict[str, Any], list[bytes]]], data: st.DataObject
) -> None:
    whole = bytearray(file_of(given_records))
    place = data.draw(st.integers(len(PREAMBLE), len(whole) - 1))
    whole[place] ^= 1 << data.draw(st.integers(0, 7))
    frames = Frames(bytes(whole), "file")
    found = [(frame.head, list(map(bytes, frame.parts))) for frame in frames]
    assert found == given_records[: len(found)]
    assert len(found) < len(given_records)
    assert frames.damage is not None


@pytest.mark.parametrize("data", [b"", b"PNST", b"something else", PREAMBLE[:-1]])
def test_no_file_of_a_checkpoint(data: bytes) -> None:
    with pytest.raises(CorruptCheckpoint, match=r"file does not begin as a file of a checkpoint"):
        Frames(data, "file")


def test_a_newer_format() -> None:
    with pytest.raises(CorruptCheckpoint, match=r"format 9, and this version of Penstock reads up to 1"):
        Frames(PREAMBLE[:5] + b"\x09\0\0", "file")
