"""Acknowledged lines, sent: what goes over the wire, and that all of it arrives once, whatever breaks."""

from __future__ import annotations

import logging
import random
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import pytest

from penstock.errors import ArgumentError, SignatureError, StorageError, UnsupportedError, UsageError
from penstock.sources.receivers import outgoing
from penstock.sources.receivers.line_protocol import ProtocolError
from penstock.sources.receivers.line_sender import ReliableLineSender, Sent
from penstock.sources.receivers.outgoing import Link, Peer, shown_address

LINES = [b"line %d\n" % number for number in range(100)]


def blocks_from(first: int) -> Iterator[bytes]:
    """The lines behind ``first``, in blocks of seven."""
    for at in range(first, len(LINES), 7):
        yield b"".join(LINES[at : at + 7])


class Broken(Exception):
    """The test's receiver has died, as it was told to, or has lost its sender."""


class Receiver:
    """Takes acknowledged lines as the protocol says; ``stored`` survives the connections.

    ``bytes_left`` is how much it reads before it dies: then the frame it is reading is lost.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.stored: list[bytes] = []
        self.ids: list[str] = []
        self.frames: list[tuple[int, int, int]] = []
        self.bytes_left = 1 << 60
        self.acknowledges = True

    def connect(self) -> None:
        """Take one connection to its end."""
        with socket.create_connection(("localhost", self.port), timeout=30) as connection:
            self.serve(connection)

    def serve(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as read:

            def line() -> bytes:
                try:
                    found = read.readline()
                except ConnectionResetError:  # the sender went with an answer of ours unread
                    raise Broken from None
                self.bytes_left -= len(found)
                if self.bytes_left < 0 or not found.endswith(b"\n"):
                    raise Broken
                return found

            greeting = line().decode("ascii")
            name, version, stream_id = greeting.removesuffix("\n").split(" ")
            assert (name, version) == ("PENSTOCK-LINES", "1")
            self.ids.append(stream_id)
            connection.sendall(b"%d\n" % len(self.stored))
            while True:
                first, count, length = map(int, line().split())
                self.bytes_left -= length
                if self.bytes_left < 0:
                    raise Broken
                data = read.read(length)
                assert len(data) == length
                assert first == len(self.stored), "in order, and nothing left out"
                assert data.count(b"\n") == count
                self.frames.append((first, count, length))
                self.stored += data.splitlines(keepends=True)
                if self.acknowledges or count == 0:
                    connection.sendall(b"%d\n" % len(self.stored))
                if count == 0:
                    return


@contextmanager
def sending(
    blocks: Callable[[int], Iterable[bytes]] = blocks_from, **options: object
) -> Iterator[tuple[ReliableLineSender, Callable[[], Sent]]]:
    """A sender that listens and sends in the background, and how to wait for what it says at the end."""
    stop = threading.Event()
    outcome: list[Sent | Exception] = []
    with ReliableLineSender("orders-1", blocks, "localhost", 0, listen=True, stop=stop, **options) as sender:  # type: ignore[arg-type]

        def run() -> None:
            try:
                outcome.append(sender.send())
            except Exception as error:
                outcome.append(error)

        thread = threading.Thread(target=run)
        thread.start()

        def ended() -> Sent:
            thread.join(30)
            (found,) = outcome
            if isinstance(found, Exception):
                raise found
            return found

        try:
            yield sender, ended
        finally:
            stop.set()
            thread.join(30)
            assert not thread.is_alive()


def test_all_lines_arrive_in_frames_of_the_blocks() -> None:
    acknowledged: list[int] = []
    with sending(on_acknowledged=acknowledged.append) as (sender, ended):
        receiver = Receiver(sender.port)
        receiver.connect()
        assert ended() == Sent(100, finished=True)
        assert sender.have == 100
    assert receiver.stored == LINES
    assert receiver.ids == ["orders-1"]
    assert receiver.frames[0] == (0, 7, sum(map(len, LINES[:7])))
    assert receiver.frames[-2:] == [(98, 2, 16), (100, 0, 0)]
    assert acknowledged == sorted(set(acknowledged))
    assert acknowledged[-1] == 100


def test_it_sends_behind_what_the_receiver_has() -> None:
    with sending() as (sender, ended):
        receiver = Receiver(sender.port)
        receiver.stored = LINES[:95]
        receiver.connect()
        assert ended() == Sent(100, finished=True)
    assert receiver.stored == LINES
    assert receiver.frames == [(95, 5, 40), (100, 0, 0)]


def test_a_receiver_that_has_all_is_told_the_end() -> None:
    with sending() as (sender, ended):
        receiver = Receiver(sender.port)
        receiver.stored = list(LINES)
        receiver.connect()
        assert ended() == Sent(100, finished=True)
    assert receiver.frames == [(100, 0, 0)]


def test_a_stream_without_a_line() -> None:
    with sending(lambda first: []) as (sender, ended):
        receiver = Receiver(sender.port)
        receiver.connect()
        assert ended() == Sent(0, finished=True)
    assert receiver.frames == [(0, 0, 0)]


def test_the_end_counts_only_once_it_is_acknowledged() -> None:
    """One acknowledgement may stand for all frames."""
    with sending() as (sender, ended):
        receiver = Receiver(sender.port)
        receiver.acknowledges = False
        receiver.connect()
        assert ended() == Sent(100, finished=True)
    assert receiver.stored == LINES


@pytest.mark.parametrize("every", [30, 200])
def test_a_receiver_that_dies_again_and_again_gets_every_line_once(every: int) -> None:
    chance = random.Random(every)
    with sending() as (sender, ended):
        receiver = Receiver(sender.port)
        while True:
            receiver.bytes_left = chance.randrange(every * 4)
            try:
                receiver.connect()
                break
            except Broken:
                continue
        assert ended() == Sent(100, finished=True)
    assert receiver.stored == LINES
    assert len(receiver.ids) > 1


def test_a_sender_that_was_stopped_is_gone_on_with_by_the_next(caplog: pytest.LogCaptureFixture) -> None:
    stop = threading.Event()

    def some(first: int) -> Iterator[bytes]:
        for block in blocks_from(first):
            yield block
            if first == 0:
                stop.set()
                return

    receiver = Receiver(0)
    with ReliableLineSender("orders-1", some, "localhost", 0, listen=True, stop=stop) as sender:
        receiver.port = sender.port

        def receive() -> None:
            with pytest.raises(Broken):
                receiver.connect()

        thread = threading.Thread(target=receive)
        thread.start()
        assert sender.send().finished is False
        thread.join(30)
    assert len(receiver.stored) in (0, 7), "a whole block or nothing"
    with sending() as (sender, ended):
        receiver.port = sender.port
        receiver.connect()
        assert ended() == Sent(100, finished=True)
    assert receiver.stored == LINES


def test_it_connects_to_a_receiver_that_listens() -> None:
    receiver = Receiver(0)
    with socket.create_server(("localhost", 0)) as server:
        server.settimeout(30)

        def take() -> None:
            for bytes_left in (300, 1 << 60):
                connection, _ = server.accept()
                receiver.bytes_left = bytes_left
                with connection:
                    try:
                        receiver.serve(connection)
                    except Broken:
                        pass

        thread = threading.Thread(target=take)
        thread.start()
        with ReliableLineSender("orders-1", blocks_from, "localhost", server.getsockname()[1]) as sender:
            assert sender.send() == Sent(100, finished=True)
        thread.join(30)
    assert receiver.stored == LINES


def test_a_block_is_cut_into_frames_of_about_a_mebibyte() -> None:
    long = b"x" * (3 << 20) + b"\n"
    block = b"a\n" * (1 << 20) + long + b"b\n"
    with sending(lambda first: [block][first:]) as (sender, ended):
        receiver = Receiver(sender.port)
        receiver.connect()
        assert ended().finished
    assert b"".join(receiver.stored) == block
    assert [length for _, _, length in receiver.frames] == [1 << 20, 1 << 20, len(long), 2, 0]


def test_a_receiver_that_has_lost_lines_gets_them_again(caplog: pytest.LogCaptureFixture) -> None:
    with sending() as (sender, ended):
        receiver = Receiver(sender.port)
        receiver.bytes_left = 300
        with pytest.raises(Broken):
            receiver.connect()
        had = len(receiver.stored)
        assert had > 0
        receiver.stored.clear()
        receiver.bytes_left = 1 << 60
        receiver.connect()
        assert ended() == Sent(100, finished=True)
    assert receiver.stored == LINES
    assert "the receiver of orders-1 had" in caplog.text


# Whoever is not a receiver


def test_who_connects_and_does_not_speak_the_protocol_is_left(caplog: pytest.LogCaptureFixture) -> None:
    with sending() as (sender, ended):
        with socket.create_connection(("localhost", sender.port), timeout=30) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n")
            while stranger.recv(1000):
                pass
        with socket.create_connection(("localhost", sender.port), timeout=30) as stranger:
            stranger.sendall(b"7" * 1000)
            while stranger.recv(1000):
                pass
        receiver = Receiver(sender.port)
        receiver.connect()
        assert ended().finished
    assert receiver.stored == LINES
    assert r"answers 'GET / HTTP/1.1\r', and is left" in caplog.text
    assert "answers without an end, and is left" in caplog.text


def test_to_connect_to_something_else_is_an_error() -> None:
    with socket.create_server(("localhost", 0)) as server:
        server.settimeout(30)

        def greet() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"220 mail.example ready\n")
                connection.recv(1000)

        thread = threading.Thread(target=greet)
        thread.start()
        port = server.getsockname()[1]
        with (
            ReliableLineSender("orders-1", blocks_from, "localhost", port) as sender,
            pytest.raises(UnsupportedError) as caught,
        ):
            sender.send()
        thread.join(30)
    assert str(caught.value) == (
        f"tcp://localhost:{port} does not take acknowledged lines: it answers '220 mail.example ready'. "
        "Hint: reliableSocketTextStream does."
    )


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"101\n", "the receiver says that it has 101 lines, and 100 were sent"),
        (b"many\n", "must answer with a number"),
    ],
)
def test_an_acknowledgement_of_what_was_not_sent_is_an_error(answer: bytes, problem: str) -> None:
    with (
        sending() as (sender, ended),
        socket.create_connection(("localhost", sender.port), timeout=30) as stranger,
        stranger.makefile("rb") as read,
    ):
        stranger.sendall(b"0\n")
        while not read.readline().startswith(b"100 0 0"):
            pass
        stranger.sendall(answer)
        with pytest.raises(ProtocolError, match=problem):
            ended()


def test_a_connection_that_ends_before_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), sending() as (sender, ended):
        socket.create_connection(("localhost", sender.port), timeout=30).close()
        receiver = Receiver(sender.port)
        receiver.connect()
        assert ended().finished
    assert receiver.stored == LINES


# What its user does wrong


def test_what_the_blocks_raise_ends_it() -> None:
    def failing(first: int) -> Iterator[bytes]:
        yield b"a\n"
        raise LookupError("no more")

    with sending(failing) as (sender, ended):
        with pytest.raises(Broken):
            Receiver(sender.port).connect()
        with pytest.raises(LookupError, match="no more"):
            ended()


def test_a_block_without_an_end() -> None:
    with sending(lambda first: [b"a\nb"]) as (sender, ended):
        with pytest.raises(Broken):
            Receiver(sender.port).connect()
        with pytest.raises(ArgumentError, match="must hold whole lines"):
            ended()


@pytest.mark.parametrize("stream_id", ["", "two words", "x" * 201, "주문", "a\n", 7])
def test_an_id_that_is_none(stream_id: object) -> None:
    with pytest.raises(UsageError, match="a stream id must be "):
        ReliableLineSender(stream_id, blocks_from, "localhost", 0)  # type: ignore[arg-type]


def test_blocks_that_are_no_function() -> None:
    with pytest.raises(SignatureError, match="must be a function"):
        ReliableLineSender("orders-1", [b"a\n"], "localhost", 0)  # type: ignore[arg-type]


@contextmanager
def flooded(stop: threading.Event, *, answers: bool) -> Iterator[Link]:
    """A connection whose other side sends and sends, and reads nothing."""
    ours, theirs = socket.socketpair()

    def flood() -> None:
        with theirs:
            try:
                while True:
                    theirs.sendall(bytes(1 << 16))
            except OSError:  # the connection has been closed
                return

    flooding = threading.Thread(target=flood)
    with Link(ours, stop, answers=answers) as link:
        flooding.start()
        yield link
    flooding.join(30)
    assert not flooding.is_alive()


def test_a_peer_that_sends_without_end_takes_no_memory() -> None:
    with flooded(threading.Event(), answers=True) as link:
        while link.wait():
            link._read()
        assert link.unfinished_bytes <= outgoing._MOST_BACK_BYTES + 65536
        assert "more has come back" in str(link.problem)


def test_what_nobody_looks_at_is_thrown_away_and_keeps_nobody_from_stopping() -> None:
    stop = threading.Event()
    sent: list[int] = []
    with flooded(stop, answers=False) as link:
        sending = threading.Thread(target=lambda: sent.append(link.send(bytes(1 << 24))))
        sending.start()
        threading.Timer(0.2, stop.set).start()
        sending.join(30)
        assert not sending.is_alive()
        assert sent[0] < 1 << 24
        assert link.unfinished_bytes == 0
        assert not link.is_over


def test_an_address_that_is_taken() -> None:
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(StorageError) as caught:
            ReliableLineSender("orders-1", blocks_from, "localhost", port, listen=True)
    assert str(caught.value) == (
        f"cannot listen at tcp://localhost:{port}: Address already in use. "
        "Hint: another program listens there."
    )


def test_a_host_that_does_not_exist() -> None:
    with pytest.raises(ArgumentError, match=r"tcp://no-such-host\.invalid:9: "):
        ReliableLineSender("orders-1", blocks_from, "no-such-host.invalid", 9, listen=True)
    with (
        ReliableLineSender("orders-1", blocks_from, "no-such-host.invalid", 9) as sender,
        pytest.raises(ArgumentError, match=r"tcp://no-such-host\.invalid:9: "),
    ):
        sender.send()


# Whom it sends to


def test_nobody_there_is_told_once_and_a_stop_ends_the_wait() -> None:
    stop = threading.Event()
    told: list[str] = []

    def waiting(message: str) -> None:
        told.append(message)
        stop.set()

    with ReliableLineSender(
        "orders-1", blocks_from, "localhost", 0, listen=True, stop=stop, waiting=waiting
    ) as sender:
        assert sender.send() == Sent(0, finished=False)
        assert told == [f"Waiting for a connection to tcp://localhost:{sender.port}."]
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
    told.clear()
    stop.clear()
    with ReliableLineSender("orders-1", blocks_from, "localhost", port, stop=stop, waiting=waiting) as sender:
        assert sender.send() == Sent(0, finished=False)
    assert told == [f"Nobody answers at tcp://localhost:{port} (Connection refused); trying again."]


def test_a_peer_that_comes_late_is_connected_to() -> None:
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
    told = threading.Event()
    receiver = Receiver(0)

    def come_late() -> None:
        assert told.wait(30)
        with socket.create_server(("localhost", port)) as late:
            late.settimeout(30)
            connection, _ = late.accept()
            with connection:
                receiver.serve(connection)

    thread = threading.Thread(target=come_late)
    thread.start()
    with ReliableLineSender(
        "orders-1", blocks_from, "localhost", port, waiting=lambda message: told.set()
    ) as sender:
        assert sender.send() == Sent(100, finished=True)
    thread.join(30)
    assert receiver.stored == LINES


def test_a_name_that_cannot_be_looked_up_any_more_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    connect, attempts, told = socket.create_connection, iter([1, 2, 3]), list[str]()

    def come(*address: object, **options: object) -> socket.socket:
        if next(attempts) == 2:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return connect(*address, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "create_connection", come)
    with (
        socket.create_server(("localhost", 0)) as server,
        Peer(
            "localhost",
            server.getsockname()[1],
            listen=False,
            stop=threading.Event(),
            waiting=told.append,
        ) as peer,
    ):
        for _ in range(2):
            link = peer.next()
            assert link is not None
            link.close()
    assert "Temporary failure in name resolution" in told[0]


def test_an_ipv6_address() -> None:
    assert shown_address("::1", 7) == "tcp://[::1]:7"
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        return  # this machine has none, and there is nothing to listen at
    stop = threading.Event()
    with Peer("::1", 0, listen=True, stop=stop) as peer, socket.create_connection(("::1", peer.port)):
        link = peer.next()
        assert link is not None
        link.close()
