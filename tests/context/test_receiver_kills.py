"""Programs that receive, killed with SIGKILL at random moments: what was stored is in the output, once."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from penstock.chunk import rows_of
from penstock.encoding import Frames
from penstock.errors import CorruptCheckpoint
from penstock.sources.receivers.blocks import chunks_in
from penstock.sources.receivers.line_protocol import LineSender, ProtocolError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs the signals of POSIX")

PROGRAM = """
import sys
from penstock import Conf, Context, StreamingContext

kind, port, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]

def setup():
    conf = Conf().setMaster("local[2]").setAppName("received")
    conf.set("spark.streaming.receiver.writeAheadLog.enable", "true")
    conf.set("spark.streaming.receiverRestartDelay", "20ms").set("spark.streaming.blockInterval", "20ms")
    ssc = StreamingContext(Context(conf=conf), 0.1)
    if kind == "acked":
        lines = ssc.reliableSocketTextStream("127.0.0.1", port, listen=True)
    else:
        lines = ssc.socketTextStream("127.0.0.1", port)
    lines.saveAsTextFiles(folder + "/out/lines", "txt")
    return ssc

ssc = StreamingContext.getOrCreate(folder + "/checkpoint", setup, upgrade=True)
ssc.start()
ssc.awaitTermination()
"""

DEADLINE_S = 60


@contextmanager
def running(folder: Path, kind: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    (folder / "program.py").write_text(PROGRAM)
    with open(folder / "log.txt", "ab") as log:
        process = subprocess.Popen(
            [sys.executable, str(folder / "program.py"), kind, str(port), str(folder)], stdout=log, stderr=log
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()


def batches(folder: Path) -> int:
    return len(list((folder / "out").glob("lines-*.txt"))) if (folder / "out").exists() else 0


def await_that(condition: object, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():  # type: ignore[operator]
        assert process.poll() is None, (folder / "log.txt").read_text("utf-8", "replace")[-3000:]
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


def output(folder: Path) -> list[str]:
    found: list[str] = []
    for part in sorted((folder / "out").glob("lines-*.txt/part-*")):
        found += part.read_text().splitlines()
    return found


def logged(folder: Path) -> list[str]:
    """The lines of all blocks that are whole in the log."""
    found: list[str] = []
    for path in (folder / "checkpoint" / "receivedData").rglob("[!.]*.blocks"):
        data = path.read_bytes()
        try:
            frames = Frames(data, str(path))
            start = frames.size
            for _ in frames:
                for chunk in chunks_in(data[start : frames.size], str(path), lambda: None):
                    found += rows_of([chunk])
                start = frames.size
        except CorruptCheckpoint:
            continue
    return found


class AckedSender(threading.Thread):
    """Sends numbered lines, and each until it is acknowledged, whatever becomes of the connection."""

    def __init__(self, port: int, seed: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._chance = random.Random(seed)
        self._end = threading.Event()
        self.acknowledged = 0

    def run(self) -> None:
        sender = LineSender("numbers")
        while not (self._end.is_set() and sender.all_stored):
            try:
                with (
                    socket.create_connection(("127.0.0.1", self._port), timeout=10) as connection,
                    connection.makefile("rb") as file,
                ):
                    connection.sendall(sender.hello())
                    sender.answered(file.readline())
                    while not (self._end.is_set() and sender.all_stored):
                        count = self._chance.randrange(1, 200)
                        first = sender.sent
                        data = b"".join(b"%d\n" % (first + at) for at in range(count))
                        connection.sendall(sender.frame(data))
                        self.acknowledged = max(self.acknowledged, sender.answered(file.readline()))
                        self._end.wait(0.002)
            except (OSError, ProtocolError):  # it was killed, and is not there yet
                self._end.wait(0.02)
                time.sleep(0.01)

    def end(self) -> None:
        self._end.set()


class PlainSender(threading.Thread):
    """Serves whoever connects: to the n-th it sends lines "n number"."""

    def __init__(self, server: socket.socket) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._end = threading.Event()
        self.connections = 0

    def run(self) -> None:
        while not self._end.is_set():
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            number, self.connections = self.connections, self.connections + 1
            with connection:
                try:
                    at = 0
                    while not self._end.is_set():
                        data = b"".join(b"%d %d\n" % (number, at + each) for each in range(50))
                        connection.sendall(data)
                        at += 50
                        self._end.wait(0.003)
                except OSError:
                    continue

    def end(self) -> None:
        self._end.set()
        self._server.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def kill_now_and_then(folder: Path, kind: str, port: int, kills: int, seed: int, stored: set[str]) -> None:
    chance = random.Random(seed)
    for number in range(kills):
        with running(folder, kind, port) as process:
            if number == 0 or chance.random() < 0.7:  # while it runs, else while it starts
                before = batches(folder)
                await_that(lambda before=before: batches(folder) > before, process, folder)
                time.sleep(chance.uniform(0, 0.4))
            else:
                time.sleep(chance.uniform(0.2, 1.0))
            process.send_signal(signal.SIGKILL)
            process.wait()
        stored.update(logged(folder))
        stored.update(output(folder))


def run_acked(folder: Path, kills: int, seed: int) -> None:
    port = free_port()
    sender = AckedSender(port, seed)
    sender.start()
    stored: set[str] = set()
    kill_now_and_then(folder, "acked", port, kills, seed, stored)
    with running(folder, "acked", port) as process:
        before = sender.acknowledged
        await_that(lambda: sender.acknowledged > before, process, folder)
        sender.end()
        await_that(lambda: not sender.is_alive(), process, folder)
        total = sender.acknowledged
        await_that(lambda: len(output(folder)) >= total, process, folder)
        time.sleep(0.3)  # what is doubled would come now
    found = output(folder)
    assert sorted(map(int, found)) == list(range(total)), "each acknowledged line once, and no other"
    assert stored <= set(found)
    assert total > 100


def run_plain(folder: Path, kills: int, seed: int) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    sender = PlainSender(server)
    sender.start()
    stored: set[str] = set()
    kill_now_and_then(folder, "plain", server.getsockname()[1], kills, seed, stored)
    with running(folder, "plain", server.getsockname()[1]) as process:
        before = batches(folder)
        await_that(lambda: batches(folder) > before + 3, process, folder)
        sender.end()
        stored.update(logged(folder))
        await_that(lambda: stored <= set(output(folder)), process, folder)
        time.sleep(0.3)
    found = output(folder)
    counts = Counter(found)
    assert not [line for line, count in counts.items() if count > 1], "each line once"
    assert stored <= counts.keys(), "all that was stored"
    by_connection: dict[int, list[int]] = {}
    for line in found:
        connection, number = map(int, line.split())
        by_connection.setdefault(connection, []).append(number)
    for numbers in by_connection.values():
        assert sorted(numbers) == list(range(len(numbers))), "of a connection all up to where it broke"
    assert len(by_connection) > kills // 2


def test_killed_through_the_reliable_receiver(tmp_path: Path) -> None:
    run_acked(tmp_path, 3, seed=1)


def test_killed_through_a_plain_socket(tmp_path: Path) -> None:
    run_plain(tmp_path, 3, seed=2)


@pytest.mark.long
def test_killed_thirty_times_through_the_reliable_receiver(tmp_path: Path) -> None:
    run_acked(tmp_path, 30, seed=3)


@pytest.mark.long
def test_killed_thirty_times_through_a_plain_socket(tmp_path: Path) -> None:
    run_plain(tmp_path, 30, seed=4)
