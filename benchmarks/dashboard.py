"""The brokerage dashboard, as Penstock's application has it and as a loop by hand around any engine.

Orders by side, top clients so far, top securities of the last hour; one file a batch, a text file of figures
every batch, malformed lines to a file of rejects. What engines differ in is how a file becomes sums.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from benchmarks.data import emptied
from benchmarks.measure import Figures, measured
from benchmarks.peers.lines import MalformedOrder, parse_order

if TYPE_CHECKING:
    from penstock import RDD, Conf, StreamingListener

INTERVAL_S = 5
WINDOW_S = 3600
WINDOW_BATCHES = WINDOW_S // INTERVAL_S
FIELDS = ("time", "order_id", "client_id", "symbol", "amount", "price", "side")

Report = list[tuple[str, list[str]]]


class Sums(NamedTuple):
    """What the dashboard needs of a file: counts by side, cents by client, shares by symbol, and
    ``(line number, text)`` of each line that is no order."""

    sides: dict[str, int]
    clients: dict[int, int]
    symbols: dict[str, int]
    refused: list[tuple[int, str]]


class Window:
    """Shares by symbol in the files of the last hour."""

    def __init__(self) -> None:
        self._files: deque[dict[str, int]] = deque(maxlen=WINDOW_BATCHES)
        self._sums: Counter[str] = Counter()

    def after(self, symbols: dict[str, int]) -> Counter[str]:
        """The sums once a further file is in; the same object each time."""
        if len(self._files) == self._files.maxlen:
            self._sums.subtract(self._files[0])
        self._files.append(symbols)
        self._sums.update(symbols)
        return self._sums


class Figured:
    """The figures of all files so far: cents by client, and shares by symbol in the window."""

    def __init__(self) -> None:
        self._totals: Counter[int] = Counter()
        self._window = Window()

    def after(self, sides: dict[str, int], clients: dict[int, int], symbols: dict[str, int]) -> Report:
        """What the dashboard says once a further file is in."""
        self._totals.update(clients)
        return report_of(sides, self._totals, self._window.after(symbols))


def report_of(sides: dict[str, int], totals: dict[int, int], in_window: dict[str, int]) -> Report:
    """The lines of a batch, in the order in which they are written."""
    report = [("BUYS" if side == "B" else "SELLS", [str(count)]) for side, count in sides.items()]
    return sorted([*report, ("TOP5CLIENTS", top(totals)), ("TOP5STOCKS", top(in_window))])


def application(
    directory: Path,
    output: Path,
    *,
    recorded: bool = False,
    page: bool = False,
    conf: Conf | None = None,
    master: str = "local[*]",
    listener: StreamingListener | None = None,
    each_batch: Callable[[], None] = lambda: None,
) -> None:
    """The application's own stream, without its screen, over what is in ``directory``; ``recorded`` in a
    checkpoint, batch by batch, or not; with its ``page`` or without; told to a ``listener``. ``each_batch``
    is called in the first output of each."""
    from penstock import Context, StreamingContext
    from penstock.brokerage.page import add_page
    from penstock.brokerage.pipeline import figures_of

    with Context(master, "dashboard", conf=conf) as sc, rejects_file(output) as file:
        ssc = StreamingContext(sc, INTERVAL_S)
        if listener is not None:
            ssc.addStreamingListener(listener)
        if recorded:
            ssc.checkpoint(str(output / "checkpoint"))
        else:
            sc.setCheckpointDir(str(output / "checkpoint"))
        lines = ssc.textFileStream(str(directory), newFilesOnly=False, maxFilesPerBatch=1)
        figures = figures_of(lines, WINDOW_S)

        def write_rejected(rdd: RDD) -> None:
            each_batch()
            file.writelines(f"{Path(r.source).name}\t{r.number}\t{r.text}\n" for r in rdd.collect())

        figures.rejects.foreachRDD(write_rejected)
        figures.report.saveAsTextFiles(str(output / "output"), "txt")
        if page:
            add_page(ssc, figures, WINDOW_S)
        ssc.start(availableNow=True)
        ssc.awaitTermination()


def loop(directory: Path, output: Path, sums_of: Callable[[Path], Sums]) -> None:
    """The same by hand, with the same files at the end."""
    figured = Figured()
    with rejects_file(output) as rejects:
        for number, file in enumerate(sorted(directory.iterdir())):
            sides, clients, symbols, refused = sums_of(file)
            write_rejects(rejects, file.name, refused)
            write_report(output, number, figured.after(sides, clients, symbols))


def timed(directory: Path, output: Path, orders: int, run: Callable[[Path, Path], None]) -> Figures:
    """``run(directory, output)`` from its call to its end, into an empty folder."""
    emptied(output)
    with measured(records=orders) as figures:
        run(directory, output)
    return figures


def rejects_file(output: Path) -> TextIO:
    """Where malformed lines go."""
    return (output / "rejects.txt").open("a", encoding="utf-8")


def write_rejects(rejects: TextIO, name: str, refused: Iterable[tuple[int, str]]) -> None:
    """The malformed lines of a file: its name, the number of the line, the line."""
    rejects.writelines(f"{name}\t{number}\t{text}\n" for number, text in refused)


def write_report(output: Path, number: int, report: Report) -> None:
    """The files of a batch, which appear at once."""
    making, final = output / f".{number:05d}.tmp", output / f"output-{number:05d}.txt"
    making.mkdir()
    (making / "part-00000").write_text("".join(f"{line}\n" for line in report))
    (making / "_SUCCESS").touch()
    making.rename(final)


def lines_of(data: bytes) -> list[str]:
    """The lines of a file, as a text file's reader gives them: bytes that are not UTF-8 become U+FFFD."""
    return data.removesuffix(b"\n").decode("utf-8", "replace").split("\n") if data else []


def sorted_out(data: bytes) -> tuple[bytes, list[tuple[int, str]]]:
    """The lines that are orders, and the others: for a file that an engine will not take as it is."""
    good, bad = [], []
    for number, line in enumerate(data.removesuffix(b"\n").split(b"\n"), 1):
        text = line.decode("utf-8", "replace")
        try:
            parse_order(text)
            good.append(line)
        except MalformedOrder:
            bad.append((number, text))
    return b"".join(line + b"\n" for line in good), bad


def reports(output: Path) -> Iterator[str]:
    """What was written, batch by batch; without one that PySpark was writing when it was stopped."""
    for batch in sorted(output.glob("output-*")):
        if not (batch / "_temporary").exists():
            yield (batch / "part-00000").read_text()


def top(figures: dict[Any, int]) -> list[str]:
    """The keys of the five largest figures."""
    ranked = sorted(
        ((key, value) for key, value in figures.items() if value), key=lambda pair: (-pair[1], pair[0])
    )
    return [str(key) for key, _ in ranked[:5]]
