"""The demonstration: half a million orders through the dashboard, checked against a direct computation."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

from rich.console import Console

from penstock.brokerage.direct import BatchFigures, figures, report
from penstock.brokerage.drawing import Totals
from penstock.brokerage.generate import write_orders
from penstock.brokerage.options import Options
from penstock.brokerage.run import run
from penstock.brokerage.view import View
from penstock.brokerage.ways import WAYS, DemoFailed, Way
from penstock.brokerage.words import counted, dollars, span
from penstock.checkpoint import recorded_batches
from penstock.errors import UnsupportedError
from penstock.monitor.dashboard import Dashboard
from penstock.monitor.dashboard_pages import DashboardServer
from penstock.scheduler import StreamingListener
from penstock.times import local_datetime

__all__ = ["DemoFailed", "demo"]

_MARK = ".penstock-demo"
_WINDOW_S = 3600


def demo(
    folder: Path,
    console: Console,
    stop: Event,
    *,
    orders: int,
    parts: int,
    every_s: float,
    interval_s: float,
    over: str = "files",
    ui: bool = True,
    port: int = 4040,
    keep: bool = False,
) -> bool:
    """Generate, feed, run, check, in ``folder``; false if it was stopped before the end. ``over`` says how
    the orders come into the stream: one of ``WAYS``.

    A demonstration of the same size that was interrupted in ``folder``, in whatever way, goes on, if nothing
    can have been lost in between. Otherwise a folder of an earlier one is emptied first; ``DemoFailed`` for
    one that holds anything else. With ``ui`` the dashboard is a page while it runs, and with ``keep`` after
    that, until it is stopped.
    """
    source, output = folder / "orders.txt", folder / "output" / "figures"
    window_s = max(1, round(_WINDOW_S / interval_s)) * interval_s if interval_s > 0 else _WINDOW_S
    options = Options(
        str(folder / "input"), str(output), interval_s=interval_s, window_s=window_s, ui=ui, port=port
    )
    lines = -(-orders // parts)
    size = {"orders": orders, "lines": lines, "interval_s": interval_s, "over": over}
    kept = _kept(folder, size)
    with WAYS[over](source, folder, lines, every_s) as way:
        if kept is None:
            _clear(folder)
            write_orders(source, orders, seed=1)
        way.prepare(kept)
        if way.kept is not None:
            (folder / _MARK).write_text(json.dumps({**size, "kept": way.kept}))
        options = replace(options, input=way.input, acked=way.acked)
        view = View(console, options, title="Brokerage demo")
        intake = _Intake(way)
        if kept is not None:
            intake.recall(options.checkpoint_directory)
            view.tell("Going on with the demonstration that was interrupted.")
        else:
            view.tell(
                f"{counted(orders, 'order')} in {source}; {counted(-(-orders // lines), way.part)} of them "
                f"{way.intro()}"
            )
        page = _ran(options, view, stop, way, intake, orders)
        if stop.is_set() or view.abandoned:
            view.tell(f"Stopped after {view.totals.orders:,} of {orders:,} orders.")
            return False
        with source.open("rb") as whole:
            batches = way.batches(whole, intake.shares_at(round(interval_s * 1000)))
            _check(view.totals, intake, figures(batches, interval_s, window_s), output, interval_s)
            if next(whole, None) is not None:
                raise DemoFailed(f"not all lines of {source} came into a batch")
    _report(view, options, orders, intake)
    (folder / _MARK).write_text("")
    if keep and page is not None:
        _keep(page, port, view, stop)
    return True


def _ran(
    options: Options, view: View, stop: Event, way: Way, intake: _Intake, orders: int
) -> Dashboard | None:
    """Feed and run until a batch has had the last order, or it is stopped; the page, if there is one."""
    done = min(orders, sum(way.count(share) for share in intake.shares if share is not None))
    feeder = _Feeder(way)
    try:
        page = run(
            options,
            view,
            stop,
            enough=lambda totals: (
                feeder.error is not None or done + totals.orders + totals.rejected >= orders
            ),
            started=feeder.start,
            listeners=[intake],
            notes=False,  # their hints are options of other commands
        )
    finally:
        feeder.end()
    if feeder.error is not None:
        raise feeder.error
    if view.error is not None:
        raise view.error
    return page


def _keep(page: Dashboard, port: int, view: View, stop: Event) -> None:
    """Serve what the page showed last, until somebody stops it; without the ``ui`` extra there is none."""
    server = DashboardServer([page], port=port)
    try:
        address = server.start()
    except UnsupportedError as error:
        view.note(str(error))
        return
    view.tell(f"The dashboard stays at {address} until Ctrl-C.")
    try:
        stop.wait()
    finally:
        server.stop()


def _kept(folder: Path, size: dict[str, Any]) -> Any:
    """What a demonstration of that size has kept that began in the folder and did not come to its end;
    ``None`` if there is none."""
    try:
        found = json.loads((folder / _MARK).read_text())
        kept = found.pop("kept")
    except (OSError, ValueError, AttributeError, KeyError):
        return None
    return kept if found == size else None


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

    def __init__(self, way: Way) -> None:
        super().__init__(name="penstock-demo-feed", daemon=True)
        self.error: Exception | None = None
        self._way = way

    def run(self) -> None:
        try:
            self._way.feed()
        except Exception as error:
            self.error = error

    def end(self) -> None:
        """Stop, between two parts, if it runs."""
        self._way.quit.set()
        if self.is_alive():
            self.join()


class _Intake(StreamingListener):
    """Which batch had which orders; those of an interrupted run too."""

    def __init__(self, way: Way) -> None:
        self.times: list[int] = []
        self.shares: list[Any] = []
        self.recalled = 0
        self._way = way

    def recall(self, checkpoint: str) -> None:
        """The batches that a checkpoint says are over."""
        for batch in recorded_batches(checkpoint):
            if batch.committed:
                intents = list(batch.intents.values())  # none, if there was nothing to take
                self.times.append(batch.time)
                self.shares.append(self._way.recalled(intents[0]) if intents else None)
        self.recalled = len(self.times)

    def onBatchCompleted(self, batchCompleted: Any) -> None:
        info = batchCompleted.batchInfo
        [found] = info.streamIdToInputInfo.values()
        self.times.append(info.batchTime)
        self.shares.append(self._way.share(found))

    def shares_at(self, interval_ms: int) -> Iterator[Any]:
        """What was had at each batch time; ``None`` at one at which no batch ran."""
        shares = dict(zip(self.times, self.shares, strict=True))
        return map(shares.get, range(self.times[0], self.times[-1] + 1, interval_ms))


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
