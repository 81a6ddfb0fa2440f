"""Draws the dashboard: pure functions of what is :class:`Shown`, as a table or as a line a batch."""

from __future__ import annotations

from dataclasses import field

from rich.console import Group
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from penstock.brokerage.options import Options
from penstock.brokerage.words import cause_of, counted, dollars, span, took
from penstock.scheduler import BatchInfo
from penstock.times import local_datetime, milliseconds_of, shown_ms
from penstock.values import dataclass

__all__ = ["Shown", "Totals", "header", "line", "summary", "table"]

_WIDTH_MAX = 100
_HALVES_WIDTH_MIN = 76
_RANKS = 5


@dataclass
class Totals:
    """The figures after the newest batch.

    ``batches``, ``failed`` (of them), ``orders`` and ``rejected`` (lines) count since the start; ``buys``,
    ``sells`` and ``refused`` (lines) in the newest batch. ``clients`` come with cents, ``stocks`` with
    shares.
    """

    batches: int = 0
    failed: int = 0
    orders: int = 0
    rejected: int = 0
    buys: int = 0
    sells: int = 0
    refused: int = 0
    clients: list[tuple[int, int]] = field(default_factory=list)
    stocks: list[tuple[str, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Shown:
    """All that is drawn. ``newest`` is the last batch that is over, ``running`` the one that runs,
    ``waiting`` how many are in line behind it; ``now_ms`` is ``None`` once no batch will follow.
    """

    options: Options
    totals: Totals
    title: str = "Brokerage"
    newest: BatchInfo | None = None
    running: BatchInfo | None = None
    waiting: int = 0
    now_ms: int | None = None

    @property
    def interval_ms(self) -> int:
        """From one batch to the next."""
        return milliseconds_of(self.options.interval_s, "--interval")

    @property
    def orders_per_s(self) -> float | None:
        """Of the newest batch: as they came in or, where all were there before, as they were processed."""
        if self.newest is None:
            return None
        length_ms = self.newest.processingDelay if self.options.available_now else self.interval_ms
        return (self.totals.buys + self.totals.sells) * 1000 / length_ms if length_ms > 0 else 0.0

    @property
    def warning(self) -> str | None:
        """What is wrong with the newest batch."""
        if self.newest is None:
            return None
        if self.newest.failureReason is not None:
            return f"FAILED: {cause_of(self.newest.failureReason)}"
        if self.newest.processingDelay > self.interval_ms and not self.options.available_now:
            return f"processing takes longer than the interval, {shown_ms(self.interval_ms)}"
        return None

    @property
    def state(self) -> str:
        """What happens at the moment; nothing once no batch will follow."""
        if self.now_ms is None:
            return ""
        in_line = f"; {self.waiting:,} waiting" if self.waiting > 0 else ""
        if self.running is not None:
            return f"the batch of {_moment(self.running)} is running{in_line}"
        if self.options.available_now:
            return f"taking the {self.options.units} that are there"
        due_ms = self.now_ms - self.now_ms % self.interval_ms + self.interval_ms
        return f"next batch at {local_datetime(due_ms):%H:%M:%S}{in_line}"


def table(shown: Shown, width: int) -> Group:
    """The whole dashboard, as wide as the terminal but at most 100 columns; about 17 lines."""
    title = Text(f"{shown.title}  {_moment(shown.newest)}".rstrip(), style="bold")
    frame = Table.grid(padding=0)
    frame.add_column(width=min(width, _WIDTH_MAX))
    frame.add_row(Rule(title, style="cyan"))
    frame.add_row(_places(shown.options))
    frame.add_row()
    frame.add_row(_halves(_intake(shown), _work(shown), width))
    frame.add_row()
    frame.add_row(_halves(_clients(shown), _stocks(shown), width))
    if shown.warning is not None:
        frame.add_row(Text(shown.warning, style="bold red"))
    frame.add_row(Rule(style="cyan"))
    if not shown.state:
        return Group(frame)
    # Not as a row: rows are padded, and a ^C that the terminal echoes at its edge would begin a new line.
    return Group(frame, Text(shown.state, style="dim", no_wrap=True, overflow="ellipsis"))


def header(shown: Shown) -> Text:
    """What stands above the lines."""
    return Text(
        f"{'batch':<{_moment_width(shown)}}  {'orders/s':>9}  {'buys':>9}  {'sells':>9}  {'rejected':>8}  "
        f"{'ms':>8}  {'top clients':<19}  top securities"
    )


def line(shown: Shown) -> Text:
    """The newest batch as a line under the :func:`header`."""
    totals, newest = shown.totals, shown.newest
    assert newest is not None, "there is no batch yet"
    moment = f"{_moment(newest):<{_moment_width(shown)}}"
    if newest.failureReason is not None:
        return Text(f"{moment}  {shown.warning}")
    clients = " ".join(str(client) for client, _ in totals.clients)
    stocks = " ".join(symbol for symbol, _ in totals.stocks)
    warning = f"  ({shown.warning})" if shown.warning is not None else ""
    return Text(
        f"{moment}  {shown.orders_per_s:>9,.0f}  {totals.buys:>9,}  {totals.sells:>9,}  "
        f"{totals.refused:>8,}  {newest.processingDelay:>8,.0f}  "
        f"{clients or '-':<19}  {stocks or '-'}{warning}"
    )


def summary(totals: Totals, options: Options, how: str) -> str:
    """What was done, as a sentence that begins with ``how`` ("Done", "Stopped")."""
    if not totals.batches:
        nothing = f"there are no {options.units} in {options.input}"
        why = nothing if options.available_now else "nothing is written"
        return f"{how} after 0 batches: {why}."
    failed = f" ({totals.failed:,} failed)" if totals.failed else ""
    see = f" (see {options.rejects_file})" if totals.rejected else ""
    return (
        f"{how} after {counted(totals.batches, 'batch', 'batches')}{failed}: "
        f"{counted(totals.orders, 'order')}, {counted(totals.rejected, 'line')} rejected{see}; "
        f"figures in {options.figures}"
    )


# The parts of the table


def _places(options: Options) -> Table:
    places = Table.grid(padding=(0, 2))
    places.add_column(style="dim")
    places.add_column(overflow="fold")
    places.add_row("from", Text(options.input))
    places.add_row("to", Text(options.figures))
    return places


def _intake(shown: Shown) -> Table:
    totals, rate = shown.totals, shown.orders_per_s
    rows = _rows()
    rows.add_row("orders per second", Text("" if rate is None else f"{rate:,.0f}", style="bold green"))
    rows.add_row("buys", Text(f"{totals.buys:,}", style="bold"))
    rows.add_row("sells", Text(f"{totals.sells:,}", style="bold"))
    rows.add_row("orders so far", f"{totals.orders:,}")
    return rows


def _work(shown: Shown) -> Table:
    totals, newest, interval = shown.totals, shown.newest, shown_ms(shown.interval_ms)
    spent = ""
    if newest is not None and newest.processingDelay >= 0:
        spent = f"{took(newest.processingDelay)} of {interval}"
    rows = _rows()
    rows.add_row("batches", f"{totals.batches:,}, one every {interval}")
    rows.add_row("processing time", Text(spent, style="bold red" if shown.warning else ""))
    rows.add_row(shown.options.units, "" if newest is None else _taken(newest, shown.options))
    rows.add_row(
        "rejected lines", Text(f"{totals.rejected:,}", style="bold yellow" if totals.rejected else "")
    )
    return rows


def _clients(shown: Shown) -> Table:
    ranked = [(str(client), dollars(cents)) for client, cents in shown.totals.clients]
    return _ranking("top clients", "amount so far", ranked)


def _stocks(shown: Shown) -> Table:
    window = span(milliseconds_of(shown.options.window_s, "--window"))
    ranked = [(symbol, f"{volume:,}") for symbol, volume in shown.totals.stocks]
    return _ranking("top securities", f"volume, last {window}", ranked)


def _moment(info: BatchInfo | None) -> str:
    """A batch time; with milliseconds only if it is between two seconds."""
    if info is None:
        return ""
    fraction = f".{info.batchTime % 1000:03}" if info.batchTime % 1000 else ""
    return f"{local_datetime(info.batchTime):%Y-%m-%d %H:%M:%S}{fraction}"


def _moment_width(shown: Shown) -> int:
    return len("2016-03-22 20:25:28.500") if shown.interval_ms % 1000 else len("2016-03-22 20:25:28")


def _taken(info: BatchInfo, options: Options) -> str:
    metadata = next((found.metadata for found in info.streamIdToInputInfo.values()), {})
    taken = len(metadata.get("files", ())) if options.units == "files" else info.numRecords
    waiting = metadata.get("waiting", 0)
    return f"{taken:,} taken, {waiting:,} waiting" if waiting else f"{taken:,} taken"


def _halves(left: Table, right: Table, width: int) -> Table:
    """Two tables side by side, or one below the other where that would break their lines."""
    left.expand = right.expand = True
    if width < _HALVES_WIDTH_MIN:
        both = Table.grid(expand=True)
        both.add_row(left)
        both.add_row(right)
        return both
    both = Table.grid(padding=(0, 4), expand=True)
    both.add_column(ratio=1)
    both.add_column(ratio=1)
    both.add_row(left, right)
    return both


def _rows() -> Table:
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(justify="right", overflow="fold")
    return rows


def _ranking(what: str, figure: str, ranked: list[tuple[str, str]]) -> Table:
    """Five rows, the empty ones too, so that what is below stays where it is."""
    rows = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    rows.add_column(f"  {what}", overflow="fold")
    rows.add_column(figure, justify="right", overflow="fold")
    for rank in range(_RANKS):
        name, value = ranked[rank] if rank < len(ranked) else ("", "")
        rows.add_row(Text.assemble((f"{rank + 1} ", "dim"), (name, "bold")), value)
    return rows
