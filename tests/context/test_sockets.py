"""Streams of sockets, from senders of all kinds: slow ones, broken ones, and ones that mean harm."""

from __future__ import annotations

import random
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import pytest

from penstock import Conf, Context, Reject, StreamingContext
from penstock.errors import ArgumentError, SignatureError
from penstock.sources.receivers import receiving
from tests.context.senders import WAIT_S, Acked, Program, Server


@pytest.fixture(autouse=True)
def sc() -> Iterator[Context]:
    with Context(conf=Conf().setMaster("local[1]")) as context:
        yield context


def lines_from(port: int, **options: Any) -> Any:
    return lambda ssc: ssc.socketTextStream("127.0.0.1", port, **options)


def listening(ssc: StreamingContext) -> Any:
    return ssc.socketTextStream("127.0.0.1", 0, listen=True)


def acked(ssc: StreamingContext) -> Any:
    return ssc.reliableSocketTextStream("127.0.0.1", 0, listen=True)


def sends(*pieces: bytes) -> Any:
    def serve(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)

    return serve


def resets(*pieces: bytes) -> Any:
    def serve(connection: socket.socket) -> None:
        sends(*pieces)(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return serve


# Lines


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ([b"a\nb\n"], ["a", "b"]),
        ([b"a\r\nb\r", b"\nc"], ["a", "b", "c"]),
        ([b"\n\na\n"], ["", "", "a"]),
        ([b"without an end"], ["without an end"]),
        ([bytes([byte]) for byte in "zw\u00f6lf\r\n\U0001f600\n".encode()], ["zw\u00f6lf", "\U0001f600"]),
        ([b"a\0\xffb\n"], ["a\0\ufffdb"]),
    ],
)
def test_lines(sc: Context, pieces: list[bytes], lines: list[str]) -> None:
    with Server(sends(*pieces)) as server, Program(sc, lines_from(server.port)) as program:
        assert program.take(len(lines)) == lines


def test_bad_bytes_are_counted_and_lines_know_their_source(sc: Context) -> None:
    with Server(sends(b"ok\n\xff\xfe\n")) as server, Program(sc, lines_from(server.port)) as program:
        assert program.take(2) == ["ok", "\ufffd\ufffd"]
        program.until(lambda: sum(each.get("bad_utf8", 0) for each in program.heard.metadata) == 2)


class Trade(NamedTuple):
    id: int
    price: float


def test_lines_go_into_columns_and_rejects_say_where_they_are_from(sc: Context) -> None:
    rejects: list[Reject] = []
    plans: list[str] = []

    def make(ssc: StreamingContext) -> Any:
        trades = ssc.socketTextStream("127.0.0.1", server.port).parseCsv(Trade)
        trades.rejects.foreachRDD(lambda rdd: rejects.extend(rdd.collect()))
        prices = trades.map(lambda trade: trade.price * 2)
        plans.append(str(prices.explain()))
        return prices

    with Server(sends(b"1,1.5\nx,2\n3,2.5\n")) as server, Program(sc, make) as program:
        assert program.take(2) == [3.0, 5.0]
        [reject] = rejects
        assert (reject.source, reject.number, reject.text) == (f"tcp://127.0.0.1:{server.port}", 2, "x,2")


def test_a_line_that_is_too_long_is_left_out_and_told(sc: Context, caplog: pytest.LogCaptureFixture) -> None:
    sc.conf.set("penstock.receiver.maxLineBytes", 100)
    data = b"short\n" + b"x" * 5_000 + b"\nafter\n" + b"y" * 101 + b"\n" + b"z" * 100
    with Server(sends(data)) as server, Program(sc, lines_from(server.port)) as program:
        assert program.take(3) == ["short", "after", "z" * 100]
        told = [each for each in program.heard.metadata if "too_long" in each]
        assert sum(each["too_long"] for each in told) == 2
        rejects = [Reject(*fields) for each in told for fields in each["rejects"]]
        assert [(reject.number, reject.text) for reject in rejects] == [(2, "x" * 1_000), (4, "y" * 101)]
        assert rejects[0].source == f"tcp://127.0.0.1:{server.port}"
        assert rejects[0].reason == "longer than 100 bytes"
    assert caplog.text.count("has sent a line longer than") == 1


def test_a_line_without_an_end_takes_no_memory(sc: Context) -> None:
    sizes: list[int] = []

    def endless(connection: socket.socket) -> None:
        piece = b"x" * (1 << 20)
        for _ in range(1_024):
            connection.sendall(piece)
        connection.sendall(b"\nthe next\n")

    with Server(endless) as server, Program(sc, lines_from(server.port)) as program:
        program.step_until(lambda: sizes.append(_memory_kb()) or program.seen)
        assert program.seen == ["the next"]
    assert max(sizes) - sizes[0] < 50_000


def _memory_kb() -> int:
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1])


# Connections


def test_a_closed_connection_is_made_again_after_the_delay(sc: Context) -> None:
    with (
        Server(sends(b"one\nlast"), sends(b"two\n")) as server,
        Program(sc, lines_from(server.port)) as program,
    ):
        assert program.take(2) == ["one", "last"]
        program.step_until(lambda: len(program.seen) == 3)
        assert program.seen == ["one", "last", "two"]
        closed = "the connection was closed by the peer, connecting again in 2 s"
        assert ("error", closed) in program.heard.events


def test_of_a_connection_that_breaks_the_begun_line_is_dropped(sc: Context) -> None:
    go = threading.Event()

    def broken(connection: socket.socket) -> None:
        sends(b"whole\nbeg")(connection)
        go.wait(WAIT_S)
        resets()(connection)

    with Server(broken, sends(b"new\n")) as server, Program(sc, lines_from(server.port)) as program:
        assert program.take(1) == ["whole"]
        go.set()
        assert program.take(2) == ["whole", "new"]
        program.until(lambda: program.heard.infos)
        assert "Reset" in program.heard.infos[0].lastError


def test_the_delay_grows_to_a_bound_and_is_short_again_after_a_success(sc: Context) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with Program(sc, lines_from(port)) as program:
        program.step_until(lambda: len(program.heard.infos) >= 8)
        told = [message.rpartition(" in ")[2] for _, message in program.heard.events[1:9]]
        assert told == ["2 s", "4 s", "8 s", "16 s", "30 s", "30 s", "30 s", "30 s"]
        with socket.create_server(("127.0.0.1", port)) as server:
            server.settimeout(0.01)
            connections = []

            def accepted() -> object:
                try:
                    connections.append(server.accept()[0])
                except TimeoutError:
                    return False
                return True

            program.step_until(accepted)
            connections[0].close()
            program.step_until(lambda: "was closed by the peer" in program.heard.events[-1][1])
            assert program.heard.events[-1][1].endswith("again in 2 s")


def test_a_name_that_does_not_exist_is_told_and_tried_again(
    sc: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*arguments: Any, **options: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with Program(sc, lambda ssc: ssc.socketTextStream("no.such.host", 80)) as program:
        program.step_until(lambda: len(program.heard.infos) >= 2)
        assert "Name or service not known" in program.heard.infos[0].lastError


def test_the_end_does_not_wait_for_a_peer_that_says_nothing(sc: Context) -> None:
    over = threading.Event()

    def silent(connection: socket.socket) -> None:
        assert connection.recv(1) == b""
        over.set()

    with Server(silent) as server:
        with Program(sc, lines_from(server.port)) as program:
            program.until(lambda: program.receiver.address)
        assert over.wait(WAIT_S)
    left = [thread.name for thread in threading.enumerate()]
    assert not [name for name in left if name.startswith(("penstock-rec", "penstock-blocks"))]


def test_many_reconnects_leave_nothing_behind(sc: Context) -> None:
    sc.conf.set("spark.streaming.receiverRestartDelay", "1ms")
    before = len(list(Path("/proc/self/fd").iterdir()))
    serves = [sends(b"%d\n" % number) if number % 3 else resets() for number in range(600)]
    with Server(*serves) as server, Program(sc, lines_from(server.port)) as program:
        program.step_until(lambda: not server._thread.is_alive())
        program.step()
        seen = list(map(int, program.seen))
        assert seen == sorted(seen)
        assert set(seen) <= {number for number in range(600) if number % 3}
        assert len(seen) > 300
        assert len(list(Path("/proc/self/fd").iterdir())) < before + 30
        assert threading.active_count() < 20


def test_arguments(sc: Context) -> None:
    ssc = StreamingContext(sc, 1)
    for make in (ssc.socketTextStream, ssc.reliableSocketTextStream):
        with pytest.raises(SignatureError, match="hostname must be text"):
            make(5, 80)  # type: ignore[arg-type]
        with pytest.raises(SignatureError, match="port must be a whole number, not '80'"):
            make("localhost", "80")  # type: ignore[arg-type]
        for port in (0, -1, 65_536):
            with pytest.raises(ArgumentError, match=f"port must be 1 to 65535, not {port}"):
                make("localhost", port)
        with pytest.raises(SignatureError, match="needs a StorageLevel, not str"):
            make("localhost", 80, "MEMORY_ONLY")  # type: ignore[arg-type]
    with pytest.raises(SignatureError):
        ssc.socketStream("localhost", 80, 5)  # type: ignore[arg-type]


# Listening


def test_any_number_may_connect_and_their_lines_do_not_mix(sc: Context, seed: int) -> None:
    chance = random.Random(seed)
    with Program(sc, listening) as program:
        address = program.address
        connections = [socket.create_connection(address) for _ in range(20)]
        expected = []
        rest = []
        for number, connection in enumerate(connections):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            expected += [f"{number}-{at}-" + "x" * 50 for at in range(30)]
            rest.append("".join(f"{line}\n" for line in expected[-30:]).encode())
        while any(rest):
            number = chance.choice([at for at, data in enumerate(rest) if data])
            step = chance.randrange(1, 200)
            connections[number].sendall(rest[number][:step])
            rest[number] = rest[number][step:]
            if chance.random() < 0.05:
                program.step()
        for connection in connections:
            connection.close()
        assert sorted(program.take(600)) == sorted(expected)
        for number in range(20):
            mine = [line for line in program.seen if line.startswith(f"{number}-")]
            assert mine == expected[number * 30 : number * 30 + 30]


def test_a_port_that_is_taken_is_tried_again(sc: Context) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        program = Program(sc, lines_from(port, listen=True))
        with program:
            program.step_until(lambda: program.heard.infos)
            assert "Address already in use" in program.heard.infos[0].lastError
            taken.close()
            program.step_until(lambda: program.receiver.address)
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(b"here\n")
            assert program.take(1) == ["here"]


def test_a_connection_for_which_there_can_be_no_thread_leaves_the_others_alone(
    sc: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Program(sc, listening) as program:
        good = socket.create_connection(program.address)
        good.sendall(b"one\n")
        program.take(1)
        begin, refusals = threading.Thread.start, iter([True])

        def start(self: threading.Thread) -> None:
            for _ in refusals:
                raise RuntimeError("can't start new thread")
            begin(self)

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", start)
            with socket.create_connection(program.address, timeout=WAIT_S) as bad:
                assert bad.recv(1) == b""
            program.step_until(lambda: program.heard.infos)
        assert program.heard.events[-1][1].endswith("cannot be accepted")
        with socket.create_connection(program.address) as late:
            late.sendall(b"two\n")
        good.sendall(b"three\n")
        good.close()
        assert sorted(program.take(3)) == ["one", "three", "two"]
        assert [kind for kind, _ in program.heard.events] == ["started", "error"]


@pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6: build it with IPv6")
def test_a_name_whose_address_is_of_ipv6_is_listened_at(sc: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    look_up = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda name, *rest, **named: look_up("::1" if name == "six" else name, *rest, **named),
    )
    with Program(sc, lambda ssc: ssc.socketTextStream("six", 0, listen=True)) as program:
        program.step_until(lambda: program.receiver.address or program.heard.infos)
        assert program.heard.infos == []


def test_a_connection_that_breaks_leaves_the_others_alone(sc: Context) -> None:
    with Program(sc, listening) as program:
        good = socket.create_connection(program.address)
        good.sendall(b"one\n")
        bad = socket.create_connection(program.address)
        resets(b"bad")(bad)
        bad.close()
        program.step_until(lambda: program.heard.infos)
        good.sendall(b"two\n")
        good.close()
        assert program.take(2) == ["one", "two"]
        assert program.receiver.isStarted()


# Overload


def test_at_the_cap_a_socket_is_not_read_and_the_sender_waits(sc: Context) -> None:
    sc.conf.set("penstock.streaming.maxWaitingBytes", "1m")
    line = b"x" * 999 + b"\n"
    sent = 0

    def much(connection: socket.socket) -> None:
        nonlocal sent
        for _ in range(20_000):
            connection.sendall(line)
            sent += 1

    with Server(much) as server, Program(sc, lines_from(server.port)) as program:
        last = -1

        def still() -> bool:
            nonlocal last
            before, last = last, sent
            return before == last > 0

        program.until(still)
        assert sent < 20_000
        assert program.source.waiting_bytes <= (1 << 20) + (256 << 10)
        assert len(program.take(20_000)) == 20_000
        assert program.source.waiting_bytes == 0


def test_at_the_cap_a_frame_is_not_read_and_the_sender_waits(sc: Context) -> None:
    sc.conf.set("penstock.streaming.maxWaitingBytes", "1m")
    with Program(sc, acked) as program:
        first, second = Acked(program.address, "first"), Acked(program.address, "second")
        first.hello()
        second.hello()
        assert first.send(b"x\n" * 400_000) == 400_000
        frame = second.sender.frame((b"y" * 99 + b"\n") * 400_000)
        sent = second.begin(frame)
        assert sent < len(frame) // 2  # what the kernel holds
        program.take(400_000)
        second.raw(frame[sent:])
        assert second.answer() == 400_000
        first.close()
        second.close()


def test_the_rate_is_kept_for_lines(sc: Context) -> None:
    sc.conf.set("spark.streaming.receiver.maxRate", 50)
    data = b"".join(b"%d\n" % number for number in range(400))
    with Server(sends(data)) as server, Program(sc, lines_from(server.port)) as program:
        program.step_until(lambda: len(program.seen) == 400)
        assert program.seen == [str(number) for number in range(400)]
        counts = [len(batch) for batch in program.batches.values()]
        assert max(counts) <= 60


# Objects


def pairs_in(file: BinaryIO) -> Iterator[tuple[int, int]]:
    while data := file.read(8):
        if len(data) < 8:
            raise EOFError("half a pair")
        yield struct.unpack("!ii", data)


def test_a_converter_makes_objects(sc: Context) -> None:
    data = b"".join(struct.pack("!ii", at, -at) for at in range(1_000))
    with (
        Server(sends(*[data[at : at + 7] for at in range(0, len(data), 7)]), sends(data[:12])) as server,
        Program(sc, lambda ssc: ssc.socketStream("127.0.0.1", server.port, pairs_in)) as program,
    ):
        assert program.take(1_000) == [(at, -at) for at in range(1_000)]
        program.step_until(lambda: len(program.seen) == 1_001)
        program.step_until(lambda: any("half a pair" in info.lastError for info in program.heard.infos))


# Acknowledged lines


def test_acknowledged_lines(sc: Context) -> None:
    with Program(sc, acked) as program:
        sender = Acked(program.address)
        assert sender.hello() == 0
        assert sender.send(b"one\ntwo\r\n") == 2
        assert sender.send(b"\n") == 3
        program.step()
        assert program.seen == ["one", "two", ""]  # stored when it is acknowledged
        sender.raw(sender.sender.end())
        assert sender.answer() == 3
        assert sender.at_end
        sender.close()
        again = Acked(program.address)
        assert again.hello() == 3
        assert again.send(b"four\n") == 4
        again.close()
        other = Acked(program.address, "another")
        assert other.hello() == 0
        other.close()
        assert program.take(4) == ["one", "two", "", "four"]
        assert program.receiver.restored == {"s": 4}


def test_what_is_sent_again_is_dropped(sc: Context) -> None:
    with Program(sc, acked) as program:
        sender = Acked(program.address)
        sender.hello()
        sender.send(b"0\n1\n2\n")
        sender.raw(b"1 4 8\n1\n2\n3\n4\n")
        sender.sender.sent = 5
        assert sender.answer() == 5
        sender.raw(b"0 2 4\n0\n1\n")
        assert sender.answer() == 5
        assert program.take(5) == ["0", "1", "2", "3", "4"]
        sender.close()


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        (b"2 1 2\nx\n", "goes on at line 2, and 1 lines are stored"),
        (b"2 0 0\n", "goes on at line 2, and 1 lines are stored"),
        (b"1 1 2\nxy", "does not hold 1 whole lines"),
        (b"1 2 3\nxy\n", "does not hold 2 whole lines"),
        (b"1 1 4\nx\ny\n", "does not hold 1 whole lines"),
        (b"1 1 99999999999\n", "a frame may have"),
        (b"hello\n", "must begin with three numbers"),
        (b"1" * 200, "longer than 100 bytes"),
    ],
)
def test_a_bad_frame_stores_nothing_and_ends_the_connection(sc: Context, frame: bytes, problem: str) -> None:
    with Program(sc, acked) as program:
        sender = Acked(program.address)
        sender.hello()
        sender.send(b"good\n")
        sender.raw(frame)
        assert sender.at_end
        program.step_until(lambda: program.heard.infos)
        assert problem in program.heard.infos[0].lastError
        sender.close()
        again = Acked(program.address)
        assert again.hello() == 1
        again.send(b"next\n")
        again.close()
        assert program.take(2) == ["good", "next"]


@pytest.mark.parametrize("greeting", [b"GET / HTTP/1.1\r\n\r\n", b"x" * 400, b"PENSTOCK-LINES 1 a b\n"])
def test_who_speaks_something_else_is_sent_away(sc: Context, greeting: bytes) -> None:
    with Program(sc, acked) as program:
        sender = Acked(program.address)
        sender.raw(greeting)
        assert sender.at_end
        sender.close()


def test_a_sender_that_comes_again_while_its_old_connection_seems_to_live(sc: Context) -> None:
    with Program(sc, acked) as program:
        old = Acked(program.address)
        old.hello()
        old.send(b"0\n")
        old.raw(b"1 2 4\n1\n")  # half a frame, and then not a word
        new = Acked(program.address)
        assert new.hello() == 1
        assert new.send(b"1\n2\n") == 3
        assert old.at_end
        assert program.take(3) == ["0", "1", "2"]
        old.close()
        new.close()


def test_a_sender_that_comes_again_after_a_new_start_waits_for_what_is_still_being_stored(
    sc: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that does not answer for longer than a receiver's threads are waited for."""
    monkeypatch.setattr(receiving, "_JOIN_S", 0.01)
    with Program(sc, acked) as program:
        old = Acked(program.address)
        old.hello()
        store = program.source._made()
        with store._storing:
            old.raw(b"0 1 2\na\n")
            program.until(lambda: store.in_line)
            before = program.receiver.address
            program.receiver.restart("for a change", delay_ms=0)
            program.until(lambda: program.receiver.address not in (None, before))
            new = Acked(program.address)
            new.raw(new.sender.hello())
        assert new.answer() == 1
        assert program.take(1) == ["a"]
        old.close()
        new.close()


def test_lines_with_carriage_returns_are_as_the_sender_counts_them(sc: Context) -> None:
    with Program(sc, acked) as program:
        sender = Acked(program.address)
        sender.hello()
        assert sender.send(b"a\rb\nc\r\n\r\n\xff\r\r\n") == 4
        assert program.take(4) == ["a\rb", "c", "", "\ufffd\r"]
        sender.close()


def test_long_lines_count_as_stored(sc: Context) -> None:
    sc.conf.set("penstock.receiver.maxLineBytes", 100)
    with Program(sc, acked) as program:
        sender = Acked(program.address)
        sender.hello()
        assert sender.send(b"a\n" + b"x" * 200 + b"\nb\n" + b"y\r" * 100 + b"\n") == 4
        assert program.take(2) == ["a", "b"]
        program.until(lambda: sum(each.get("too_long", 0) for each in program.heard.metadata) == 2)
        told = [fields for each in program.heard.metadata for fields in each.get("rejects", ())]
        assert [number for _, number, *_ in told] == [2, 4]
        sender.close()


def test_the_rate_is_kept_for_acknowledged_lines(sc: Context) -> None:
    sc.conf.set("spark.streaming.receiver.maxRate", 50)
    with Program(sc, acked) as program:
        sender = Acked(program.address)
        sender.hello()
        sender.raw(sender.sender.frame(b"".join(b"%d\n" % number for number in range(400))))
        program.step_until(lambda: len(program.seen) == 400)
        assert program.seen == [str(number) for number in range(400)]
        assert max(len(batch) for batch in program.batches.values()) <= 60
        assert sender.answer() == 400
        sender.close()


def test_the_receiver_may_be_the_one_that_connects(sc: Context) -> None:
    heard: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        with connection.makefile("rwb") as file:
            file.write(b"PENSTOCK-LINES 1 s\n")
            file.flush()
            have = int(file.readline())
            file.write(b"%d 2 4\na\nb\n%d 0 0\n" % (have, have + 2))
            file.flush()
            heard.append(file.read())

    def make(ssc: StreamingContext) -> Any:
        return ssc.reliableSocketTextStream("127.0.0.1", server.port)

    with Server(serve, serve) as server, Program(sc, make) as program:
        assert program.take(4) == ["a", "b", "a", "b"]
    assert heard == [b"2\n2\n", b"4\n4\n"]


def test_many_streams_at_once_are_each_exact(sc: Context, seed: int) -> None:
    chance = random.Random(seed)
    with Program(sc, acked) as program:
        address = program.address

        def send(name: str, choices: random.Random) -> None:
            have = 0
            while have < 60:
                sender = Acked(address, name)
                have = sender.hello()
                for _ in range(choices.randrange(4)):
                    count = choices.randrange(1, 6)
                    lines = b"".join(b"%s %d\n" % (name.encode(), have + at) for at in range(count))
                    sender.raw(sender.sender.frame(lines))
                    if choices.random() < 0.3:
                        break  # without waiting for the answer
                    have = sender.answer()
                sender.close()

        threads = [
            threading.Thread(target=send, args=(f"s{number}", random.Random(chance.random())), daemon=True)
            for number in range(6)
        ]
        for thread in threads:
            thread.start()
        program.step_until(lambda: not any(thread.is_alive() for thread in threads))
        for _ in range(3):
            program.step()
        for number in range(6):
            mine = [int(line.split()[1]) for line in program.seen if line.startswith(f"s{number} ")]
            assert mine == list(range(len(mine)))
            assert len(mine) >= 60
