"""What the two sides of *penstock lines 1* say."""

from __future__ import annotations

import pytest

from penstock.errors import ArgumentError
from penstock.sources.receivers.line_protocol import (
    MOST_FRAME_BYTES,
    FrameHeader,
    LineSender,
    ProtocolError,
    hello,
    read_count,
    read_header,
    read_hello,
)


@pytest.mark.parametrize("stream", ["a", "orders/1", "x" * 200, "~!{}"])
def test_a_stream_id_comes_over(stream: str) -> None:
    assert read_hello(hello(stream)) == stream


@pytest.mark.parametrize("stream", ["", "a b", "x" * 201, "\u00fc", "a\n", "\x7f"])
def test_a_bad_stream_id_is_refused_on_both_sides(stream: str) -> None:
    with pytest.raises(ArgumentError, match="a stream id must be"):
        hello(stream)
    with pytest.raises(ProtocolError, match="a stream id must be"):
        read_hello(f"PENSTOCK-LINES 1 {stream}\n".encode())


@pytest.mark.parametrize(
    "line", [b"", b"\n", b"GET / HTTP/1.1\n", b"PENSTOCK-LINES 2 a\n", b"PENSTOCK-LINES 1"]
)
def test_another_greeting_is_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError, match="must begin with"):
        read_hello(line)


def test_a_greeting_that_is_cut_off_is_refused() -> None:
    with pytest.raises(ProtocolError):
        read_hello(b"PENSTOCK-LINES 1 orders")


@pytest.mark.parametrize(
    "line", [b"", b"1", b"-1\n", b"+1\n", b" 1\n", b"01\n", b"1.0\n", b"1\r\n", b"9" * 20 + b"\n"]
)
def test_a_bad_count_is_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_count(line)


@pytest.mark.parametrize(
    "line",
    [
        b"1 1\n",
        b"1 1 1 1\n",
        b"0 1 0\n",  # a line has a byte at least
        b"0 0 5\n",
        b"0 3 2\n",
        b"0 1 %d\n" % (MOST_FRAME_BYTES + 1),
        b"0 -1 5\n",
        b"0  1 5\n",
        b"0 1 5",
    ],
)
def test_a_bad_header_is_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_header(line)


def test_headers() -> None:
    assert read_header(b"0 1 %d\n" % MOST_FRAME_BYTES) == FrameHeader(0, 1, MOST_FRAME_BYTES)
    assert read_header(b"7 0 0\n").is_end
    assert not read_header(b"7 1 1\n").is_end


def test_a_sender_goes_on_where_the_receiver_is() -> None:
    sender = LineSender("s")
    sender.hello()
    sender.answered(b"0\n")
    sender.frame(b"a\nb\nc\n")
    assert not sender.all_stored
    assert sender.answered(b"2\n") == 2
    sender.hello()  # the connection has failed
    assert sender.answered(b"2\n") == 2
    assert sender.sent == 2
    assert sender.frame(b"c\n") == b"2 1 2\nc\n"


@pytest.mark.parametrize("data", [b"", b"a", b"a\nb"])
def test_a_frame_must_be_whole_lines(data: bytes) -> None:
    with pytest.raises(ArgumentError):
        LineSender("s").frame(data)


def test_a_receiver_cannot_have_what_was_not_sent() -> None:
    sender = LineSender("s")
    sender.hello()
    sender.answered(b"5\n")
    sender.frame(b"a\n")
    with pytest.raises(ProtocolError, match="says that it has 7 lines, and 6 were sent"):
        sender.answered(b"7\n")
