"""The dashboard over acknowledged lines, killed with SIGKILL at random moments: every order counts once."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from penstock.brokerage.direct import BatchFigures, figures
from penstock.brokerage.feed import Fed
from penstock.brokerage.feed_lines import Acknowledged
from penstock.brokerage.generate import write_orders

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs the signals of POSIX")

LINES, EVERY_S = 100, 0.05
PATIENCE_S = 120
_SIDE = re.compile(r"\('(BUYS|SELLS)', \['([0-9]+)'\]\)")


class Sender(threading.Thread):
    """Sends the file at a pace, for as long as it takes."""

    def __init__(self, source: Path) -> None:
        super().__init__(daemon=True)
        self.fed: Fed | None = None
        self.feed = Acknowledged(source, "localhost", 0, LINES, EVERY_S)

    def run(self) -> None:
        with self.feed as feed:
            self.fed = feed.send()


def started(folder: Path, port: int, log: Any) -> subprocess.Popen[bytes]:
    line = [sys.executable, "-m", "penstock.cli", "brokerage", "run", "--interval", "0.1", "--window", "3600"]
    line += ["--input", f"tcp://localhost:{port}", "--acked", "--output", str(folder / "out" / "figures")]
    return subprocess.Popen(line, stdout=log, stderr=log)


def said(folder: Path) -> str:
    """The end of what the runs have said."""
    return (folder / "log.txt").read_text("utf-8", "replace")[-3000:]


def counted(folder: Path) -> dict[str, int]:
    """The orders by side, over the figures of all batches."""
    found = {"BUYS": 0, "SELLS": 0}
    for part in (folder / "out").glob("figures-*.txt/part-00000"):
        with suppress(FileNotFoundError):  # it is just being replaced by what a second attempt writes
            for side, count in _SIDE.findall(part.read_text()):
                found[side] += int(count)
    return found


def run_killed(folder: Path, kills: int, seed: int) -> tuple[BatchFigures, int]:
    """Kill it so often while it is sent to, then let it take all: what there should be, and how often it was
    killed after it had counted something, and before it had all."""
    chance = random.Random(seed)
    orders = 2_000 * kills
    source = folder / "orders.txt"
    write_orders(source, orders, seed=5, malformed=0.01)
    with source.open("rb") as whole:
        [wanted] = figures([whole], 1, 1)
    total = {"BUYS": wanted["buys"], "SELLS": wanted["sells"]}
    sender = Sender(source)
    sender.start()
    amid = 0
    with open(folder / "log.txt", "wb") as log:
        for kill in range(kills + 1):
            before = counted(folder)
            process = started(folder, sender.feed.port, log)
            try:
                deadline = time.monotonic() + PATIENCE_S
                while (now := counted(folder)) != total and (now == before or kill == kills):
                    assert process.poll() is None, said(folder)
                    assert time.monotonic() < deadline, f"{now} were counted, not {total}\n{said(folder)}"
                    time.sleep(0.02)
                if kill < kills:
                    time.sleep(chance.uniform(0, 0.7))
                    amid += sender.fed is None
                else:
                    process.send_signal(signal.SIGTERM)
                    process.wait(30)
            finally:
                process.kill()
                process.wait()
    sender.join(30)
    assert sender.fed == Fed(0, orders, finished=True)
    return wanted, amid


def check(folder: Path, wanted: BatchFigures) -> None:
    assert counted(folder) == {"BUYS": wanted["buys"], "SELLS": wanted["sells"]}
    last = max((folder / "out").glob("figures-*.txt/part-00000"), key=lambda part: part.parent.name)
    top = [str(client) for client, _ in wanted["top_clients"]]
    assert f"('TOP5CLIENTS', {top})" in last.read_text().splitlines()
    stocks = [symbol for symbol, _ in wanted["top_stocks"]]
    assert f"('TOP5STOCKS', {stocks})" in last.read_text().splitlines()
    lines = (folder / "out" / "figures-rejects.tsv").read_text().splitlines()
    assert [int(line.split("\t")[1]) for line in lines] == [number for number, _ in wanted["rejected"]]


def test_killed_twice_over_acknowledged_lines(tmp_path: Path) -> None:
    wanted, amid = run_killed(tmp_path, 2, seed=1)
    check(tmp_path, wanted)
    assert amid > 0


@pytest.mark.long
def test_killed_eight_times_over_acknowledged_lines(tmp_path: Path) -> None:
    wanted, amid = run_killed(tmp_path, 8, seed=2)
    check(tmp_path, wanted)
    assert amid > 0
