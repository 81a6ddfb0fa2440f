"""Feeding what is no directory here: a store behind a URL, whoever connects, a receiver that acknowledges."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from penstock.brokerage.feed import Fed, Part
from penstock.brokerage.feed_files import feed_files
from penstock.brokerage.feed_lines import Acknowledged, Unacknowledged, stream_id_of
from penstock.brokerage.feeding import Feeding
from penstock.brokerage.places import Directory, Kafka, Tcp, place_of
from penstock.cli import main
from penstock.errors import ArgumentError, DataError, StorageError
from penstock.storage import storage_for
from tests.brokerage.test_feed import SelfTurningClock
from tests.sources.test_line_sender import Broken, Receiver

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs the signals of POSIX")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "orders.txt"
    path.write_bytes(b"".join(b"line %d\n" % number for number in range(100)))
    return path


@pytest.fixture
def store() -> str:
    return f"memory://{uuid.uuid4().hex}/in"


def parts_in(url: str) -> dict[str, bytes]:
    storage, directory = storage_for(url)
    return {info.name: storage.read(info.path) for info in storage.list_directory(directory)}


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["brokerage", "feed", *map(str, arguments)], prog_name="penstock")


# Where to


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("in", Directory("in")),
        ("/data/in*", Directory("/data/in*")),
        ("s3://bucket/in", Directory("s3://bucket/in")),
        ("file:///data/in", Directory("file:///data/in")),
        ("simplecache::s3://bucket/in", Directory("simplecache::s3://bucket/in")),
        ("tcp://localhost:9999", Tcp("localhost", 9999)),
        ("TCP://10.0.0.1:1/", Tcp("10.0.0.1", 1)),
        ("tcp://[::1]:9999", Tcp("::1", 9999)),
        ("kafka://localhost:9092/orders", Kafka("localhost:9092", "orders")),
        ("kafka://a:1,b:2/orders.new_1-2", Kafka("a:1,b:2", "orders.new_1-2")),
    ],
)
def test_places(text: str, place: object) -> None:
    assert place_of(text) == place


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("tcp://localhost", "tcp://localhost has no port. Hint: tcp://localhost:9999."),
        (
            "tcp:/localhost:9",
            "tcp:/localhost:9 is no address: // is missing behind tcp:. Hint: tcp://localhost",
        ),
        ("kafka:a:9/orders", "// is missing behind kafka:. Hint: kafka://localhost:9092/orders."),
        ("tcp://localhost:0", "tcp://localhost:0 has no port. Hint: tcp://localhost:9999."),
        ("tcp://:9999", "tcp://:9999 has no host. Hint: tcp://localhost:9999."),
        ("tcp://localhost:99999", "no address: Port out of range 0-65535"),
        ("tcp://localhost:http", "no address: "),
        ("tcp://localhost:9999/orders", "there must be nothing but host and port"),
        ("tcp://me@localhost:9999", "there must be nothing but host and port"),
        ("kafka://localhost:9092", "names no topic. Hint: kafka://localhost:9092/orders."),
        ("kafka://localhost:9092/", "names no topic"),
        ("kafka:///orders", "names no server"),
        ("kafka://a,,b/orders", "names no server"),
        ("kafka://a/two words", "'two words' is no name of a topic"),
        ("kafka://a/a/b", "'a/b' is no name of a topic"),
        ("kafka://a/..", "'..' is no name of a topic"),
    ],
)
def test_places_that_are_none(text: str, problem: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        place_of(text)
    assert problem in str(caught.value)


def test_port_0_is_a_port_to_listen_at_only(source: Path) -> None:
    assert place_of("tcp://localhost:0", any_port=True) == Tcp("localhost", 0)
    Feeding(source, "tcp://localhost:0")
    with pytest.raises(ArgumentError, match="has no port"):
        Feeding(source, "tcp://localhost:0", connect=True)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "name where FILE goes: either DIR or --to URL"),
        (["in", "--to", "in"], "name where FILE goes: either DIR or --to URL"),
        (["in", "--acked"], "--acked is for lines through a connection. Hint: --to tcp://localhost:9999."),
        (["--to", "kafka://a/b", "--connect"], "--connect is for lines through a connection."),
        (["--to", "tcp://localhost:9", "--stream-id", "x"], "--stream-id is a name for acknowledged lines."),
        (["--to", "tcp://localhost:9", "--acked", "--stream-id", "a b"], "a stream id must be 1 to 200"),
        (["--to", "tcp://localhost"], "has no port"),
    ],
)
def test_wrong_usage(arguments: list[str], problem: str, source: Path) -> None:
    result = run(source, *arguments)
    assert result.exit_code == 2
    assert problem in result.output


# Into a store


def test_the_parts_in_a_store_are_the_file_in_order(source: Path, store: str) -> None:
    told: list[Part] = []
    assert feed_files(source, store, 40, 0, on_progress=told.append) == Fed(3, 100, finished=True)
    parts = parts_in(store)
    assert list(parts) == ["orders-00000.txt", "orders-00001.txt", "orders-00002.txt"]
    assert b"".join(parts.values()) == source.read_bytes()
    assert [(part.path.name, part.line_count, part.byte_count) for part in told] == [
        (name, data.count(b"\n"), len(data)) for name, data in parts.items()
    ]


def test_a_second_feed_goes_on_after_the_first(source: Path, store: str) -> None:
    feed_files(source, store, 50, 0)
    feed_files(source, store, 50, 0, skip_lines=50)
    assert list(parts_in(store)) == ["orders-00000.txt", "orders-00001.txt", "orders-00002.txt"]


def test_two_feeds_at_once_lose_nothing(source: Path, store: str) -> None:
    threads = [threading.Thread(target=feed_files, args=(source, store, 10, 0)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    found = b"".join(parts_in(store).values()).splitlines()
    assert sorted(found) == sorted(source.read_bytes().splitlines() * 4)
    assert len(parts_in(store)) == 40


def test_the_pace_into_a_store_and_a_stop(source: Path, store: str) -> None:
    clock = SelfTurningClock(interrupted=2)
    at: list[int] = []

    def on_progress(part: Part) -> None:
        at.append(clock.now_ms())

    fed = feed_files(
        source,
        store,
        10,
        1.5,
        clock=clock,
        stop=threading.Event(),
        on_progress=on_progress,
    )
    assert fed == Fed(3, 30, finished=False)
    assert at == [1_000, 2_500, 4_000]


def test_a_store_whose_names_are_used_up_is_refused(source: Path, store: str) -> None:
    storage, directory = storage_for(store)
    storage.write_atomic(f"{directory}/orders-99999.txt", b"")
    with pytest.raises(StorageError, match="has used up its names"):
        feed_files(source, store, 100, 0)


def test_a_directory_here_is_fed_by_renames(source: Path, tmp_path: Path) -> None:
    assert feed_files(source, (tmp_path / "in").as_uri(), 100, 0) == Fed(1, 100, finished=True)
    assert (tmp_path / "in" / "orders-00000.txt").read_bytes() == source.read_bytes()


def test_the_command_feeds_a_store(source: Path, store: str) -> None:
    result = run(source, "--to", store, "--lines", "50", "--every", "0")
    assert (result.exit_code, result.output) == (0, f"2 parts, 100 lines, moved into {store}\n")
    assert len(parts_in(store)) == 2


# Lines through a connection, not acknowledged


@contextmanager
def sending(sender: Acknowledged | Unacknowledged) -> Iterator[tuple[int, Callable[[], Fed]]]:
    """The port of a sender at work, and how to wait for what it says at its end."""
    outcome: list[Fed] = []
    thread = threading.Thread(target=lambda: outcome.append(sender.send()))

    def ended() -> Fed:
        thread.join(30)
        return outcome[0]

    with sender:
        thread.start()
        yield sender.port, ended
        thread.join(30)
        assert not thread.is_alive()


def all_from(port: int) -> bytes:
    with socket.create_connection(("localhost", port), timeout=30) as connection:
        return connection.makefile("rb").read()


def test_whoever_connects_gets_the_bytes_of_the_file(source: Path) -> None:
    told: list[tuple[int, int]] = []
    sender = Unacknowledged(source, "localhost", 0, 30, 0, on_progress=lambda *now: told.append(now))
    with sending(sender) as (port, ended):
        assert all_from(port) == source.read_bytes()
        assert ended() == Fed(4, 100, finished=True)
    assert told == [(0, 0), (230, 30), (470, 60), (710, 90), (790, 100)]


def test_a_last_line_without_an_end_gets_one(source: Path) -> None:
    source.write_bytes(b"a\r\nb\xff")
    with sending(Unacknowledged(source, "localhost", 0, 1, 0)) as (port, ended):
        assert all_from(port) == b"a\r\nb\xff\n"
        assert ended() == Fed(2, 2, finished=True)


def test_an_empty_file_is_an_empty_connection(source: Path) -> None:
    source.write_bytes(b"")
    with sending(Unacknowledged(source, "localhost", 0, 1, 0)) as (port, ended):
        assert all_from(port) == b""
        assert ended() == Fed(0, 0, finished=True)


def test_the_next_connection_goes_on_with_the_next_line(
    source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The second block is sent once the first connection is known to be over."""

    class Turn(SelfTurningClock):
        def wait_until(self, time_ms: int, woken: threading.Event) -> bool:
            if not self.waits:
                assert gone.wait(30)
            return super().wait_until(time_ms, woken)

    gone = threading.Event()
    sender = Unacknowledged(source, "localhost", 0, 40, 1, clock=Turn())
    with sending(sender) as (port, ended):
        with socket.create_connection(("localhost", port), timeout=30) as connection:
            first = connection.makefile("rb").read(310)
        gone.set()
        rest = all_from(port)
        assert ended() == Fed(3, 100, finished=True)
    assert first + rest == source.read_bytes()
    assert "the connection is over after 40 lines; the next one goes on there" in caplog.text


def test_a_line_that_was_taken_in_part_is_sent_again_whole(tmp_path: Path) -> None:
    """The receiver reads nothing and goes: what the system has taken is gone, and no line comes in pieces."""
    source = tmp_path / "large.txt"
    lines = [b"%07d %s\n" % (number, b"x" * 1000) for number in range(20_000)]
    source.write_bytes(b"".join(lines))
    with sending(Unacknowledged(source, "localhost", 0, 20_000, 0)) as (port, ended):
        with socket.create_connection(("localhost", port), timeout=30) as connection:
            connection.recv(1)
        rest = all_from(port).splitlines(keepends=True)
        fed = ended()
    assert 0 < len(rest) < len(lines), "something was in the first connection"
    assert rest == lines[-len(rest) :]
    assert fed == Fed(1, 20_000, finished=True)


def test_it_connects_if_it_is_to(source: Path) -> None:
    with socket.create_server(("localhost", 0)) as server:
        server.settimeout(30)
        sender = Unacknowledged(source, "localhost", server.getsockname()[1], 30, 0, listen=False)
        with sending(sender) as (_, ended):
            connection, _ = server.accept()
            with connection:
                assert connection.makefile("rb").read() == source.read_bytes()
            assert ended() == Fed(4, 100, finished=True)


def test_a_stop_while_nobody_takes_what_is_sent(tmp_path: Path) -> None:
    source = tmp_path / "large.txt"
    source.write_bytes((b"x" * 99 + b"\n") * 300_000)
    stop = threading.Event()
    with (
        sending(Unacknowledged(source, "localhost", 0, 300_000, 0, stop=stop)) as (port, ended),
        socket.create_connection(("localhost", port), timeout=30) as connection,
    ):
        assert connection.recv(1) == b"x"
        stop.set()
        fed = ended()
    assert not fed.finished
    assert 0 < fed.line_count < 300_000


def test_the_pace_of_lines(source: Path) -> None:
    clock = SelfTurningClock()
    with sending(Unacknowledged(source, "localhost", 0, 30, 2, clock=clock)) as (port, ended):
        assert all_from(port) == source.read_bytes()
        assert ended().finished
    assert clock.waits == [3_000, 5_000, 7_000]


def test_a_missing_file_is_found_before_anybody_connects(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Unacknowledged(tmp_path / "missing.txt", "localhost", 0)
    with pytest.raises(FileNotFoundError):
        Acknowledged(tmp_path / "missing.txt", "localhost", 0)
    result = run(tmp_path / "missing.txt", "--to", "tcp://localhost:0")
    assert (result.exit_code, result.output) == (
        1,
        f"Error: {tmp_path / 'missing.txt'}: No such file or directory\n",
    )


# Acknowledged


def test_acknowledged_lines_go_on_where_the_receiver_is(source: Path) -> None:
    receiver = Receiver(0)
    receiver.bytes_left = 600
    stop = threading.Event()
    with sending(Acknowledged(source, "localhost", 0, 10, 0, stop=stop)) as (port, ended):
        receiver.port = port
        with pytest.raises(Broken):
            receiver.connect()
        stop.set()
        assert not ended().finished
    had = len(receiver.stored)
    assert 0 < had < 100
    receiver.bytes_left = 1 << 60
    with sending(Acknowledged(source, "localhost", 0, 10, 0)) as (port, ended):
        receiver.port = port
        receiver.connect()
        assert ended() == Fed(0, 100, finished=True)
    assert b"".join(receiver.stored) == source.read_bytes()
    assert receiver.ids == [stream_id_of(source)] * 2
    assert min(first for first, _, _ in receiver.frames[had // 10 :]) == had


def test_a_last_line_without_an_end_gets_one_in_a_frame_too(source: Path) -> None:
    source.write_bytes(b"a\nb")
    receiver = Receiver(0)
    with sending(Acknowledged(source, "localhost", 0, 10, 0)) as (port, ended):
        receiver.port = port
        receiver.connect()
        assert ended().line_count == 2
    assert receiver.stored == [b"a\n", b"b\n"]


def test_a_receiver_that_has_more_than_the_file(source: Path) -> None:
    receiver = Receiver(0)
    receiver.stored = [b"\n"] * 101
    raised: list[DataError] = []
    with Acknowledged(source, "localhost", 0, 10, 0, stream_id="mine") as sender:
        receiver.port = sender.port

        def send() -> None:
            with pytest.raises(DataError) as caught:
                sender.send()
            raised.append(caught.value)

        thread = threading.Thread(target=send)
        thread.start()
        with pytest.raises(Broken):
            receiver.connect()
        thread.join(30)
    assert str(raised[0]) == (
        f"the receiver has 101 lines of this stream, but there are 100 in {source}. "
        "Hint: another --stream-id for another file."
    )
    assert receiver.ids == ["mine"]


def test_the_id_of_a_stream_is_of_the_file(source: Path, tmp_path: Path) -> None:
    before = stream_id_of(source)
    assert before == stream_id_of(source)
    with source.open("ab") as file:
        file.write(b"more\n")
    after = stream_id_of(source)
    source.write_bytes(source.read_bytes().replace(b"line 5", b"LINE 5"))
    assert len({before, after, stream_id_of(source)}) == 3
    long = tmp_path / ("주문 " * 30)
    long.touch()
    assert len(stream_id_of(long)) <= 200
    assert stream_id_of(long).isascii()


# The command


def started(source: Path, *arguments: str) -> tuple[subprocess.Popen[str], int]:
    """The command at work, and the port that it says it listens at."""
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock.cli", "brokerage", "feed", str(source), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line.startswith("Waiting for a connection to tcp://localhost:"), line
    return process, int(line.rstrip().removesuffix(".").rpartition(":")[2])


def test_the_command_serves_whoever_connects(source: Path) -> None:
    process, port = started(source, "--to", "tcp://localhost:0", "--every", "0")
    assert all_from(port) == source.read_bytes()
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "100 lines sent\n", "")


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_it_waits_for_a_connection(number: int, exit_code: int, source: Path) -> None:
    process, _ = started(source, "--to", "tcp://localhost:0", "--acked")
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == exit_code
    assert out == f"Stopped before the end: 0 lines of {stream_id_of(source)} acknowledged\n"


def test_a_feed_that_was_killed_is_gone_on_with(source: Path) -> None:
    receiver = Receiver(0)
    line = ["--to", "tcp://localhost:0", "--acked", "--lines", "10"]
    process, receiver.port = started(source, *line, "--every", "1000")

    class Killing(list[bytes]):
        def __iadd__(self, lines: object) -> Killing:  # type: ignore[override]
            self.extend(lines)  # type: ignore[arg-type]
            process.kill()
            return self

    receiver.stored = Killing()
    with pytest.raises((Broken, ConnectionError)):
        receiver.connect()
    process.communicate(timeout=30)
    receiver.stored = list(receiver.stored)
    assert len(receiver.stored) == 10
    process, receiver.port = started(source, *line, "--every", "0")
    receiver.connect()
    out, err = process.communicate(timeout=30)
    assert (out, err) == (f"100 lines of {stream_id_of(source)} acknowledged\n", "")
    assert b"".join(receiver.stored) == source.read_bytes()


# To a topic


@contextmanager
def cluster() -> Iterator[Any]:
    pytest.importorskip(
        "confluent_kafka", reason="needs confluent-kafka. Hint: pip install 'penstock[kafka]'."
    )
    from tests.kafka.broker import Broker

    broker = Broker()
    try:
        yield broker
    finally:
        broker.close()


def test_brokers_that_are_not_there_do_not_keep_a_feed_from_stopping(source: Path) -> None:
    pytest.importorskip(
        "confluent_kafka", reason="needs confluent-kafka. Hint: pip install 'penstock[kafka]'."
    )
    from penstock.brokerage.feed_kafka import feed_kafka

    stop = threading.Event()
    found: list[Fed] = []
    feeding = threading.Thread(target=lambda: found.append(feed_kafka(source, "localhost:1", "t", stop=stop)))
    feeding.start()
    threading.Timer(0.3, stop.set).start()
    feeding.join(15)
    assert found == [Fed(0, 0, finished=False)]


def test_brokers_that_fall_silent_do_not_keep_a_feed_from_stopping(source: Path) -> None:
    with cluster() as broker:
        from penstock.brokerage.feed_kafka import feed_kafka

        stop = threading.Event()
        problems: list[StorageError] = []
        parts: list[int] = []
        second = threading.Event()

        def on_progress(byte_count: int, line_count: int) -> None:
            parts.append(line_count)
            broker.stall()
            second.set()

        def feed() -> None:
            try:
                feed_kafka(source, broker.address, "t", 10, 0, on_progress=on_progress, stop=stop)
            except StorageError as problem:
                problems.append(problem)

        feeding = threading.Thread(target=feed)
        feeding.start()
        assert second.wait(30)
        threading.Timer(0.3, stop.set).start()
        feeding.join(20)
        assert not feeding.is_alive()
    assert parts == [10]
    [problem] = problems
    assert "whether the last 10 messages to t have arrived is not known" in str(problem)


def test_a_line_that_no_message_can_hold_is_named(tmp_path: Path) -> None:
    source = tmp_path / "orders.txt"
    source.write_bytes(b"short\n" + b"x" * 2_000_000 + b"\n")
    with cluster() as broker:
        from penstock.brokerage.feed_kafka import feed_kafka

        with pytest.raises(StorageError, match=r"at line 2 of .*orders\.txt: .*MSG_SIZE_TOO_LARGE"):
            feed_kafka(source, broker.address, "t", every_s=0)
