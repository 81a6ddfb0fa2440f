"""The demonstration: half a million orders through the dashboard, checked against a direct computation."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Event, Thread
from typing import Any

from rich.console import Console

from penstock.brokerage.direct import BatchFigures, figures, report
from penstock.brokerage.drawing import Totals
from penstock.brokerage.feed import feed
from penstock.brokerage.generate import write_orders
from penstock.brokerage.options import Options
from penstock.brokerage.run import run
from penstock.brokerage.view import View
from penstock.brokerage.words import counted, dollars, span
from penstock.checkpoint import recorded_batches
from penstock.errors import PenstockError
from penstock.scheduler import StreamingListener
from penstock.sources.looking import is_visible
from penstock.times import local_datetime

__all__ = ["DemoFailed", "demo"]

_MARK = ".penstock-demo"
_WINDOW_S = 3600


class DemoFailed(PenstockError):
    """The figures of the stream are not those of the direct computation, or it cannot begin."""


def demo(
    folder: Path,
    console: Console,
    stop: Event,
    *,
    orders: int,
    parts: int,
    every_s: float,
    interval_s: float,
) -> bool:
    """Generate, feed, run, check, in ``folder``; false if it was stopped before the end.

    A demonstration of the same size that was interrupted in ``folder``, in whatever way, goes on. Otherwise a
    folder of an earlier one is emptied first; ``DemoFailed`` for one that holds anything else.
    """
    source, inbox, output = folder / "orders.txt", folder / "input", folder / "output" / "figures"
    window_s = max(1, round(_WINDOW_S / interval_s)) * interval_s if interval_s > 0 else _WINDOW_S
    options = Options(str(inbox), str(output), interval_s=interval_s, window_s=window_s)
    view = View(console, options, title="Brokerage demo")
    lines = -(-orders // parts)
    size = json.dumps({"orders": orders, "lines": lines, "interval_s": interval_s})
    intake = _Intake()
    if _is_interrupted(folder, size):
        intake.recall(options.checkpoint_directory)
        view.tell("Going on with the demonstration that was interrupted.")
    else:
        _clear(folder)
        inbox.mkdir()
        write_orders(source, orders, seed=1)
        (folder / _MARK).write_text(size)
        view.tell(
            f"{counted(orders, 'order')} in {source}; "
            f"{counted(-(-orders // lines), 'file')} of them go into {inbox}, one every {every_s:g} s."
        )
    done = min(orders, sum(intake.file_counts) * lines)
    feeder = _Feeder(source, inbox, lines, every_s)
    try:
        run(
            options,
            view,
            stop,
            enough=lambda totals: (
                feeder.error is not None or done + totals.orders + totals.rejected >= orders
            ),
            started=feeder.start,
            listeners=[intake],
        )
    finally:
        feeder.end()
    if feeder.error is not None:
        raise feeder.error
    if view.error is not None:
        raise view.error
    if stop.is_set() or view.abandoned:
        view.tell(f"Stopped after {view.totals.orders:,} of {orders:,} orders.")
        return False
    with source.open("rb") as whole:
        batches = intake.lines_of(whole, lines, round(interval_s * 1000))
        _check(view.totals, intake, figures(batches, interval_s, window_s), output, interval_s)
        if next(whole, None) is not None:
            raise DemoFailed(f"not all lines of {source} came into a batch")
    _report(view, options, orders, intake)
    (folder / _MARK).write_text("")
    return True


def _is_interrupted(folder: Path, size: str) -> bool:
    """Whether a demonstration of that size began in the folder, and did not come to its end."""
    try:
        return (folder / _MARK).read_text() == size
    except (OSError, ValueError):
        return False


def _clear(folder: Path) -> None:
    """Make ``folder``, empty but for the mark. The mark goes last, so what is half empty is still ours."""
    mark = folder / _MARK
    folder.mkdir(parents=True, exist_ok=True)
    found = [entry for entry in folder.iterdir() if entry != mark]
    if found and not mark.is_file():
        raise DemoFailed(f"{folder} holds something else than a demonstration. Hint: name another --folder.")
    mark.write_text("")
    for entry in found:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


class _Feeder(Thread):
    """Feeds in the background; ``error`` is what ended it before its time."""

    def __init__(self, source: Path, inbox: Path, lines: int, every_s: float) -> None:
        super().__init__(name="penstock-demo-feed", daemon=True)
        self.error: Exception | None = None
        fed = sum(is_visible(entry.name) for entry in inbox.iterdir())
        self._feed = partial(feed, source, inbox, lines, every_s, skip_lines=fed * lines)
        self._quit = Event()

    def run(self) -> None:
        try:
            self._feed(stop=self._quit)
        except Exception as error:
            self.error = error

    def end(self) -> None:
        """Stop, between two parts, if it runs."""
        self._quit.set()
        if self.is_alive():
            self.join()


class _Intake(StreamingListener):
    """Which batch took how many files; those of an interrupted run too."""

    def __init__(self) -> None:
        self.times: list[int] = []
        self.file_counts: list[int] = []
        self.recalled = 0

    def recall(self, checkpoint: str) -> None:
        """The batches that a checkpoint says are over."""
        for batch in recorded_batches(checkpoint):
            if batch.committed:
                self.times.append(batch.time)
                self.file_counts.append(sum(len(intent.items) for intent in batch.intents.values()))
        self.recalled = len(self.times)

    def onBatchCompleted(self, batchCompleted: Any) -> None:
        info = batchCompleted.batchInfo
        self.times.append(info.batchTime)
        self.file_counts.append(
            sum(len(found.metadata["files"]) for found in info.streamIdToInputInfo.values())
        )

    def lines_of(self, whole: Iterator[bytes], lines: int, interval_ms: int) -> Iterator[Iterator[bytes]]:
        """The lines at each batch time, cut from the file that was fed in parts of ``lines``; none at one at
        which no batch ran."""
        counts = dict(zip(self.times, self.file_counts, strict=True))
        for time in range(self.times[0], self.times[-1] + 1, interval_ms):
            yield islice(whole, lines * counts.get(time, 0))


def _check(
    totals: Totals, intake: _Intake, figured: list[BatchFigures], output: Path, interval_s: float
) -> None:
    """Compare what every batch wrote, and the figures of the last one, with the direct computation."""
    interval_ms = round(interval_s * 1000)
    all_expected = [figured[(time - intake.times[0]) // interval_ms] for time in intake.times]
    expected = all_expected[intake.recalled :]
    for time, wanted in zip(intake.times, all_expected, strict=True):
        path = output.with_name(f"{output.name}-{time}.txt") / "part-00000"
        written = path.read_text().splitlines()
        if written != report(wanted):
            raise DemoFailed(
                f"the batch of {local_datetime(time)} wrote {'; '.join(written)} to {path}, "
                f"but the direct computation says {'; '.join(report(wanted))}"
            )
    for what, found, sought in (
        ("orders", totals.orders, sum(batch["buys"] + batch["sells"] for batch in expected)),
        ("top clients", totals.clients, expected[-1]["top_clients"]),
        ("top securities", totals.stocks, expected[-1]["top_stocks"]),
        ("rejected lines", totals.rejected, sum(len(batch["rejected"]) for batch in expected)),
    ):
        if found != sought:
            raise DemoFailed(f"{what}: the stream says {found}, the direct computation {sought}")


def _report(view: View, options: Options, orders: int, intake: _Intake) -> None:
    totals = view.totals
    clients = [f"{client} ({dollars(cents)})" for client, cents in totals.clients]
    stocks = [f"{symbol} ({volume:,})" for symbol, volume in totals.stocks]
    window = span(round(options.window_s * 1000))
    batches = counted(len(intake.times), "batch", "batches")
    lines = [
        "",
        f"{counted(orders - totals.rejected, 'order')} in {batches} of {options.interval_s:g} s, "
        f"{counted(totals.rejected, 'line')} rejected.",
    ]
    if not view.is_live:  # else they are in the table right above
        lines += [
            f"Top clients, amount so far:         {', '.join(clients)}",
            f"Top securities, volume, last {window + ':':<6} {', '.join(stocks)}",
        ]
    lines += [
        f"Figures of every batch: {options.figures}/part-00000",
        "Checked: every figure of every batch equals a direct computation over the whole file.",
    ]
    for line in lines:
        view.tell(line)
