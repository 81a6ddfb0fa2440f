"""``python -m benchmarks.watched``: what it costs a stream to be watched.

The brokerage dashboard of W1 over its files many times, as fast as it goes: in one process watched by nobody,
in another one watched in some way. Both are there at the same time and take short turns (the other one
is stopped meanwhile), so that what the machine does besides hits both alike. Those who look are in a third
process. The median ratio of some such pairs is printed.

A process that stands still half of the time would do twice as much by the second as it does otherwise, such
as pushing an update to a page twice a second: its pauses are doubled for as long (:data:`PAUSES`).

What is timed is the steady part. After some batches a stream waits until all pages are connected, also where
there are none, and from there to the last batch it counts: records a second of its own turns, and the seconds
of CPU that its process takes for a million records. Beside that stands what share of the CPU the threads of
the monitor and of the dashboard took: that varies little, however busy the machine is. What the start of the
server costs stands in a line of its own.

``python -m benchmarks.watched 9 "monitor, 50 pages open"`` makes nine pairs of one way.
"""

from __future__ import annotations

import json
import os
import resource
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.dashboard import application
from benchmarks.data import LINES_PER_FILE, emptied, order_files

TIMES = 14  # that the files of W1 are read
GATE = 60  # the batch before which the stream waits for its watchers
SETTLED_S = 1.5
TURN_S = 0.15
PAIRS = 5
WATCHING = (
    "penstock-listeners",
    "penstock-monitor",
    "penstock-pages",
    "penstock-answers",
    "penstock-dashboard",
)
PAUSES = (  # of what is done by the second
    ("penstock.monitor.monitor", "_PUSH_S"),
    ("penstock.monitor.monitor", "_PUSH_MANY_S"),
    ("penstock.monitor.feed", "_PACE_S"),
    ("penstock.monitor.dashboard_pages", "_PAUSE_S"),
    ("penstock.monitor.board", "_FRAME_NS"),
    ("penstock.scheduler.listener", "_PAUSE_S"),
    ("penstock.scheduler.driver", "_GLANCE_NS"),
)
COMMAND = [sys.executable, "-m", "benchmarks.watched"]
NOBODY = "nobody"
DASHBOARD = "/dashboards/brokerage/events"
MONITOR = "/api/v1/events"


class Mode(NamedTuple):
    """A way to be watched: what is on, and which feeds are read, each by how many."""

    monitor: bool
    dashboard: bool = False
    feeds: tuple[tuple[str, int], ...] = ()


MODES = {
    NOBODY: Mode(False),
    "monitor, no page open": Mode(True),
    "the dashboard's panels, no server": Mode(False, True),
    "monitor, 1 page open": Mode(True, False, ((MONITOR, 1),)),
    "monitor, 50 pages open": Mode(True, False, ((MONITOR, 50),)),
    "dashboard and monitor open": Mode(True, True, ((MONITOR, 1), (DASHBOARD, 1))),
    "both, 25 pages of each": Mode(True, True, ((MONITOR, 25), (DASHBOARD, 25))),
}


class Found(NamedTuple):
    """Of the steady part of a run: records a second, CPU seconds for a million records, and which part of
    these went to the threads of those who watch."""

    rate: float
    cpu_s: float
    share: float


def main(pairs: int, wanted: list[str]) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        orders = folder / "orders"
        orders.mkdir()
        files = sorted(order_files(folder / "made").iterdir())
        for copy in range(TIMES):
            for file in files:
                (orders / f"{copy:02d}-{file.name}").hardlink_to(file)
        ratios: dict[str, list[tuple[float, float, float]]] = {mode: [] for mode in wanted}
        for _ in range(pairs):
            for mode in wanted:
                alone, watched, updates = pair(orders, folder, mode)
                ratios[mode].append((watched.rate / alone.rate, watched.cpu_s / alone.cpu_s, watched.share))
                print(
                    f"  {mode:33} {watched.rate:9,.0f} records/s of {alone.rate:9,.0f}, "
                    f"{watched.cpu_s:.3f} s CPU of {alone.cpu_s:.3f}, {watched.share:.1%} on threads of "
                    f"the watched, {updates:,} updates read",
                    flush=True,
                )
        print(f"start of the server: {start_cost()}")
        for mode, found in ratios.items():
            rate, cpu, share = (median(each) for each in zip(*found, strict=True))
            print(
                f"{mode:33} records/s x {rate:.3f}   CPU x {cpu:.3f}   {share:.1%} of it for watching   "
                f"(medians of {len(found)} pairs)"
            )


def pair(orders: Path, folder: Path, name: str) -> tuple[Found, Found, int]:
    """A run that nobody watches, and one that is watched, in turns; and how many updates were read."""
    mode = MODES[name]
    runs = [Running(orders, folder / "alone", MODES[NOBODY]), Running(orders, folder / "watched", mode)]
    watcher = None
    try:
        for each in runs:
            each.must_say("at the gate")
        if mode.feeds:
            feeds = [text for feed, pages in mode.feeds for text in (feed, str(pages))]
            command = [*COMMAND, "watch", str(runs[1].port), *feeds]
            watcher = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            assert watcher.stdout is not None
            assert watcher.stdout.readline() == "connected\n"
        time.sleep(SETTLED_S)
        while any(each.process.poll() is None for each in runs):
            for each in runs:
                each.take_a_turn()
        updates = 0
        if watcher is not None:
            watcher.terminate()
            updates = int(watcher.communicate()[0] or 0)
        alone, watched = (each.found() for each in runs)
        return alone, watched, updates
    finally:
        for process in [*(each.process for each in runs), *([] if watcher is None else [watcher])]:
            if process.poll() is None:
                process.kill()


class Running:
    """A process that runs the stream, in turns."""

    def __init__(self, orders: Path, output: Path, mode: Mode) -> None:
        emptied(output)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        options = ["on" if mode.monitor else "off", "page" if mode.dashboard else ""]
        self.process = subprocess.Popen(
            [*COMMAND, "stream", str(orders), str(output), str(self.port), *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, "PYTHONHASHSEED": "0"},  # else one's dicts may lie better than the other's
        )  # fmt: skip
        self._turns: list[tuple[float, float]] = []

    def must_say(self, line: str) -> None:
        """Wait for a line."""
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        assert said == f"{line}\n", said

    def take_a_turn(self) -> None:
        """Run for a short while, or to the end."""
        if self.process.poll() is not None:
            return
        if not self._turns:
            assert self.process.stdin is not None
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
        self.process.send_signal(signal.SIGCONT)
        begun = time.perf_counter()
        try:
            self.process.wait(TURN_S)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGSTOP)
        self._turns.append((begun, time.perf_counter()))

    def found(self) -> Found:
        """What its steady part was like."""
        assert self.process.stdout is not None
        assert self.process.returncode == 0
        records, over, cpu_s, watching_s = json.loads(self.process.stdout.read().splitlines()[-1])
        ran_s = sum(min(end, over) - begun for begun, end in self._turns if begun < over)
        return Found(records / ran_s, cpu_s * 1e6 / records, watching_s / cpu_s)


def stream(orders: str, output: str, port: str, monitor: str, page: str) -> None:
    """One run; what its steady part was like."""
    import pyarrow.compute
    import pyarrow.csv  # noqa: F401

    from penstock import Conf

    for module, pause in PAUSES:
        found = import_module(module)
        setattr(found, pause, 2 * getattr(found, pause))
    marks: list[tuple[float, float, float]] = []

    def each_batch() -> None:
        if len(marks) == GATE:
            print("at the gate", flush=True)
            sys.stdin.readline()
        marks.append((time.perf_counter(), cpu_used_s(), watching_s()))

    conf = Conf().set("spark.ui.enabled", str(monitor == "on").lower()).set("spark.ui.port", port)
    application(Path(orders), Path(output), conf=conf, page=bool(page), each_batch=each_batch)
    (_, used, watched), (over, used_then, watched_then) = (
        marks[GATE],
        marks[-1],
    )  # one clock for all processes
    records = (len(marks) - 1 - GATE) * LINES_PER_FILE
    print(json.dumps([records, over, used_then - used, watched_then - watched]))


def start_cost() -> str:
    """What it takes to have the server there, in words."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.watched", "start"], stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout.strip()


def start() -> None:
    """Load and begin a server of pages in a process that has Penstock; prints what that took."""
    import penstock  # noqa: F401

    used = cpu_used_s()
    from penstock.monitor.dashboard_pages import DashboardPages
    from penstock.monitor.server import PageServer

    server = PageServer(DashboardPages([]).routes(), port=0)
    server.start()
    print(f"{(cpu_used_s() - used) * 1000:.0f} ms of CPU, once")
    server.stop()


def watching_s() -> float:
    """CPU that the threads took which are there for those who watch."""
    return sum(
        time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
        for thread in threading.enumerate()
        if thread.ident is not None and thread.name.startswith(WATCHING)
    )


def cpu_used_s() -> float:
    """By this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def watch(port: str, *feeds: str) -> None:
    """Read each feed on so many connections until told to end; how many updates came."""
    over: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: over.append(number))
    wanted = [feed for feed, pages in zip(feeds[::2], feeds[1::2], strict=True) for _ in range(int(pages))]
    found, updates, heard = selectors.DefaultSelector(), 0, set()
    for feed in wanted:
        connection = connected(int(port))
        connection.sendall(f"GET {feed} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        connection.setblocking(False)
        found.register(connection, selectors.EVENT_READ)
    while not over and found.get_map():
        for key, _ in found.select(0.2):
            data = key.fileobj.recv(1 << 20)  # type: ignore[union-attr]
            if not data:
                found.unregister(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]
            elif len(heard) < len(wanted):
                assert key.fileobj in heard or data.startswith(b"HTTP/1.1 200"), data
                heard.add(key.fileobj)
                if len(heard) == len(wanted):
                    print("connected", flush=True)
            updates += data.count(b"event: update") + data.count(b"event: frame")
    print(updates)


def connected(port: int) -> socket.socket:
    """To the server, once it is there."""
    for _ in range(1000):
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1)
        except OSError:
            time.sleep(0.02)
    raise TimeoutError("there is no page")


if __name__ == "__main__":
    what = {"stream": stream, "watch": watch, "start": start}
    if len(sys.argv) > 1 and sys.argv[1] in what:
        what[sys.argv[1]](*sys.argv[2:])
    else:
        main(
            int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS,
            sys.argv[2:] or [m for m in MODES if m != NOBODY],
        )
