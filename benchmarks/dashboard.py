"""The brokerage dashboard, as Penstock's application has it and as a loop by hand around any engine.

Orders by side, top clients so far, top securities of the last hour; one file a batch, a text file of figures
every batch, malformed lines to a file of rejects. What engines differ in is how a file becomes sums.
"""

from __future__ import annotations

import shutil
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from penstock.brokerage.orders import MalformedOrder, parse_order

INTERVAL_S = 5
WINDOW_S = 3600
FIELDS = ("time", "order_id", "client_id", "symbol", "amount", "price", "side")


class Sums(NamedTuple):
    """What the dashboard needs of a file: counts by side, cents by client, shares by symbol, and
    ``(line number, text)`` of each line that is no order."""

    sides: dict[str, int]
    clients: dict[int, int]
    symbols: dict[str, int]
    refused: list[tuple[int, str]]


def application(directory: Path, output: Path) -> None:
    """The application's own stream, without its screen, over what is in ``directory``."""
    from penstock import Context, StreamingContext
    from penstock.brokerage.pipeline import figures_of

    _emptied(output)
    with Context("local[*]", "dashboard") as sc, (output / "rejects.txt").open("a", encoding="utf-8") as file:
        sc.setCheckpointDir(str(output / "checkpoint"))
        ssc = StreamingContext(sc, INTERVAL_S)
        lines = ssc.textFileStream(str(directory), newFilesOnly=False, maxFilesPerBatch=1, withSource=True)
        figures = figures_of(lines, WINDOW_S)
        figures.rejects.foreachRDD(
            lambda rdd: file.writelines(
                f"{Path(r.source).name}\t{r.number}\t{r.text}\n" for r in rdd.collect()
            )
        )
        figures.report.saveAsTextFiles(str(output / "output"), "txt")
        ssc.start(availableNow=True)
        ssc.awaitTermination()


def loop(directory: Path, output: Path, sums_of: Callable[[Path], Sums]) -> None:
    """The same by hand, with the same files at the end."""
    _emptied(output)
    totals: Counter[int] = Counter()
    window: deque[dict[str, int]] = deque(maxlen=WINDOW_S // INTERVAL_S)
    in_window: Counter[str] = Counter()
    with (output / "rejects.txt").open("a", encoding="utf-8") as rejects:
        for number, file in enumerate(sorted(directory.iterdir())):
            sums = sums_of(file)
            rejects.writelines(f"{file.name}\t{at}\t{text}\n" for at, text in sums.refused)
            totals.update(sums.clients)
            if len(window) == window.maxlen:
                in_window.subtract(window[0])
            window.append(sums.symbols)
            in_window.update(sums.symbols)
            report: list[tuple[str, list[str]]] = [
                ("BUYS" if side == "B" else "SELLS", [str(count)]) for side, count in sums.sides.items()
            ]
            report.append(("TOP5CLIENTS", _top(totals)))
            report.append(("TOP5STOCKS", _top(in_window)))
            making, final = output / f".{number:05d}.tmp", output / f"output-{number:05d}.txt"
            making.mkdir()
            (making / "part-00000").write_text("".join(f"{line}\n" for line in sorted(report)))
            (making / "_SUCCESS").touch()
            making.rename(final)


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
    """What was written, batch by batch."""
    for batch in sorted(output.glob("output-*")):
        yield (batch / "part-00000").read_text()


def _top(figures: Counter[Any]) -> list[str]:
    ranked = sorted(
        ((key, value) for key, value in figures.items() if value), key=lambda pair: (-pair[1], pair[0])
    )
    return [str(key) for key, _ in ranked[:5]]


def _emptied(output: Path) -> None:
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
