"""The dashboard on Pathway: a file is one commit, so that figures come file by file.

Pathway's own readers decide by themselves what they commit together, so a connector in Python names the
files. Lines are read and parsed by functions in Python, row by row, as Pathway applies them; sums by side,
client and symbol are its engine's. It tells what changed at each commit; the window, the top five and the
files of figures are made of that by hand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pathway as pw

from benchmarks.dashboard import Window, lines_of, rejects_file, report_of, write_rejects, write_report
from benchmarks.peers.lines import MalformedOrder, parse_order

_NO_ORDER = ("", 0, "", 0, 0)


class _Named(pw.Schema):  # type: ignore[misc]
    file: int
    path: str


def run(directory: Path, output: Path) -> None:
    """All files of ``directory``, one after the other."""
    changes = _changes(directory)
    with rejects_file(output) as rejects:
        reporter = _Reporter(output, rejects)
        pw.io.subscribe(changes, on_change=reporter.change, on_time_end=reporter.commit)
        pw.run(monitoring_level=pw.MonitoringLevel.NONE, default_logging=False)


def _changes(directory: Path) -> Any:
    """One table of all that changes with a file, so that its end is the end of all of it."""

    class Files(pw.io.python.ConnectorSubject):  # type: ignore[misc]
        def run(self) -> None:
            for number, file in enumerate(sorted(directory.iterdir())):
                self.next(file=number, path=str(file))
                self.commit()

    this = pw.this
    named = pw.io.python.read(Files(), schema=_Named, autocommit_duration_ms=None)
    lines = named.select(this.path, line=pw.apply_with_type(_numbered, list[tuple[int, str]], this.path))
    lines = lines.flatten(this.line).select(this.path, number=this.line[0], text=this.line[1])
    kind = tuple[str, int, str, int, int]
    read = lines.with_columns(order=pw.apply_with_type(_read, kind, this.text))
    orders = read.filter(this.order[0] != "").select(
        this.path,
        side=this.order[0],
        client=this.order[1],
        symbol=this.order[2],
        amount=this.order[3],
        cents=this.order[4],
    )
    refused = read.filter(this.order[0] == "").select(kind="refused", key=this.text, value=this.number)
    sides = orders.groupby(this.path, this.side).reduce(kind="side", key=this.side, value=pw.reducers.count())
    clients = orders.groupby(this.client).reduce(
        kind="client", key=this.client.to_string(), value=pw.reducers.sum(this.cents)
    )
    symbols = orders.groupby(this.path, this.symbol).reduce(
        kind="symbol", key=this.symbol, value=pw.reducers.sum(this.amount)
    )
    files = named.select(kind="file", key=this.path, value=this.file)
    return pw.Table.concat_reindex(files, refused, sides, clients, symbols)


class _Reporter:
    """Gathers what a commit changes; writes the batch when the commit is over."""

    def __init__(self, output: Path, rejects: Any) -> None:
        self._output = output
        self._rejects = rejects
        self._totals: dict[int, int] = {}
        self._window = Window()
        self._begin()

    def _begin(self) -> None:
        self._file: tuple[int, str] | None = None
        self._sides: dict[str, int] = {}
        self._symbols: dict[str, int] = {}
        self._refused: list[tuple[int, str]] = []

    def change(self, key: Any, row: dict[str, Any], time: int, is_addition: bool) -> None:
        """One row of the table of changes."""
        if not is_addition:
            return  # an amount so far is taken back before the new one comes
        match row["kind"]:
            case "file":
                self._file = row["value"], Path(row["key"]).name
            case "refused":
                self._refused.append((row["value"], row["key"]))
            case "side":
                self._sides[row["key"]] = row["value"]
            case "client":
                self._totals[int(row["key"])] = row["value"]
            case "symbol":
                self._symbols[row["key"]] = row["value"]

    def commit(self, time: int) -> None:
        """The commit is over."""
        if self._file is None:
            return
        number, name = self._file
        write_rejects(self._rejects, name, sorted(self._refused))
        report = report_of(self._sides, self._totals, self._window.after(self._symbols))
        write_report(self._output, number, report)
        self._begin()


def _numbered(path: str) -> list[tuple[int, str]]:
    return list(enumerate(lines_of(Path(path).read_bytes()), 1))


def _read(text: str) -> tuple[str, int, str, int, int]:
    """What the figures need of an order: side, client, symbol, shares, cents."""
    try:
        order = parse_order(text)
    except MalformedOrder:
        return _NO_ORDER
    cents = order.amount * round(order.price * 100)
    return "B" if order.buy else "S", order.client_id, order.symbol, order.amount, cents
