"""``python -m benchmarks.watched``: what it costs a stream to be watched.

The brokerage dashboard of W1 over its files eight times, as fast as it goes: without a monitor, with one
that nobody looks at, with one page open, and with fifty; and with the brokerage's dashboard. Each run is a
process of its own, those who look are in another one. Prints the least wall time and the least CPU time of
the stream's own process, and their ratios to those without a monitor. The modes take turns.
"""

from __future__ import annotations

import json
import resource
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.dashboard import application
from benchmarks.data import order_files

TIMES = 8
ROUNDS = 5
MODES = {
    "no monitor": None,
    "monitor, no page open": 0,
    "1 page open": 1,
    "50 pages open": 50,
    "dashboard, 1 page open": 1,
    "dashboard, 50 pages open": 50,
}
DASHBOARD = "/dashboards/brokerage/events"
MONITOR = "/api/v1/events"


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        orders = folder / "orders"
        orders.mkdir()
        files = sorted(order_files(folder / "made").iterdir())
        for copy in range(TIMES):
            for file in files:
                (orders / f"{copy}-{file.name}").hardlink_to(file)
        runs: dict[str, list[tuple[float, float]]] = {mode: [] for mode in MODES}
        _run(orders, folder / "out", "no monitor")  # fills the disk cache
        for _ in range(ROUNDS):
            for mode in MODES:
                wall_s, cpu_s, frames = _run(orders, folder / "out", mode)
                runs[mode].append((wall_s, cpu_s))
                print(f"  {mode:24} {wall_s:6.2f} s wall, {cpu_s:6.2f} s CPU, {frames} updates read")
        base: tuple[float, ...] = ()
        for mode, found in runs.items():
            least = tuple(min(each) for each in zip(*found, strict=True))
            base = base or least
            wall, cpu = (each / of for each, of in zip(least, base, strict=True))
            print(f"{mode:26} {least[0]:6.2f} s wall x {wall:.3f}   {least[1]:6.2f} s CPU x {cpu:.3f}")


def _run(orders: Path, output: Path, mode: str) -> tuple[float, float, int]:
    pages = MODES[mode]
    subprocess.run(["rm", "-rf", str(output)], check=True)
    output.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.watched"]
    watcher = None
    if pages:
        feed = DASHBOARD if mode.startswith("dashboard") else MONITOR
        watch = [*command, "watch", str(port), str(pages), feed]
        watcher = subprocess.Popen(watch, stdout=subprocess.PIPE, text=True)
    stream = [*command, "stream", str(orders), str(output), str(port), "off" if pages is None else "on"]
    stream += ["page"] if mode.startswith("dashboard") else []
    done = subprocess.run(stream, capture_output=True, text=True, check=True)
    wall_s, cpu_s = json.loads(done.stdout.splitlines()[-1])
    frames = 0
    if watcher is not None:
        watcher.terminate()
        frames = int(watcher.communicate()[0] or 0)
    return wall_s, cpu_s, frames


def stream(orders: str, output: str, port: str, monitor: str, page: str = "") -> None:
    """One run; its seconds."""
    import pyarrow.compute
    import pyarrow.csv  # noqa: F401

    from penstock import Conf
    from penstock.monitor import monitor as monitor_module

    monitor_module._AFTER_S = 0.0  # else a run is half over before anybody can look
    conf = Conf().set("spark.ui.enabled", str(monitor == "on").lower()).set("spark.ui.port", port)
    begun, used = time.perf_counter(), _cpu_s()
    application(Path(orders), Path(output), conf=conf, page=bool(page))
    print(json.dumps([time.perf_counter() - begun, _cpu_s() - used]))


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def watch(port: str, pages: str, feed: str) -> None:
    """Read the feed on so many connections until told to end; how many updates came."""
    import signal

    over: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: over.append(number))
    found, updates = selectors.DefaultSelector(), 0
    while not over:
        missing = int(pages) - len(found.get_map())
        for _ in range(missing):
            try:
                connection = socket.create_connection(("127.0.0.1", int(port)), timeout=1)
            except OSError:
                break
            connection.sendall(f"GET {feed} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            connection.setblocking(False)
            found.register(connection, selectors.EVENT_READ)
        for key, _ in found.select(0.02 if missing else 0.2):
            try:
                data = key.fileobj.recv(1 << 20)  # type: ignore[union-attr]
            except OSError:
                data = b""
            updates += data.count(b"event: update")
            if not data:
                found.unregister(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]
        if not found.get_map():
            time.sleep(0.02)
    print(updates)


if __name__ == "__main__":
    what = {"stream": stream, "watch": watch}
    if len(sys.argv) > 1:
        what[sys.argv[1]](*sys.argv[2:])
    else:
        main()
