"""The dashboard on PySpark's DStreams, as one would write it there: lines parsed in Python.

A text file stream of PySpark does not say which file a line is from, nor where it stood: rejects are written
without. A batch of five seconds is more than PySpark needs for a file, so that batches do not queue up, and
nearly every batch has a file: CPU time is of these.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TextIO

from benchmarks.dashboard import INTERVAL_S, WINDOW_S, rejects_file
from benchmarks.data import LINES_PER_FILE, ORDERS, emptied
from benchmarks.measure import Figures, batch_figures, peak_rss_mib
from benchmarks.peers.lines import MalformedOrder, Order, parse_order
from benchmarks.sending import sender
from benchmarks.spark import file_by_file, files_in_turn, received, stream

__all__ = ["batch_by_batch", "over_files", "over_socket", "run"]

FILES = 20
WARM_UP = 5
WARM_UP_LINES = 100_000


def run(directory: Path, output: Path) -> Figures:
    """The first files of the directory, for all of them."""
    files = sorted(directory.iterdir())
    return {**over_files(files[:FILES], output, WARM_UP, ORDERS // LINES_PER_FILE), "records": ORDERS}


def over_files(files: list[Path], output: Path, warm_up: int, all_files: int) -> Figures:
    """The dashboard over these files, with its output in ``output``; batches without a file write too."""
    inbox = emptied(output / "inbox")
    with stream("dashboard", INTERVAL_S) as (ssc, batches), rejects_file(output) as file:
        _dashboard(ssc, ssc.textFileStream(str(inbox)), output, file)
        return file_by_file(ssc, batches, INTERVAL_S, files, inbox, warm_up, all_files)


def batch_by_batch(files: list[Path], output: Path, warm_up: int, interval_s: float, master: str) -> Figures:
    """The figures of a batch of the dashboard over these files, once so many are over, on this master."""
    inbox = emptied(output / "inbox")
    with stream("dashboard", interval_s, master) as (ssc, batches), rejects_file(output) as file:
        _dashboard(ssc, ssc.textFileStream(str(inbox)), output, file)
        seconds, cpu = files_in_turn(ssc, batches, interval_s, files, inbox, warm_up)
        return {**batch_figures(seconds), "cpu_seconds": cpu, "peak_rss_mib": peak_rss_mib()}


def over_socket(file: Path, orders: int, output: Path) -> Figures:
    """The dashboard over the lines of a file that come through a connection; the first ones warm it up."""
    with (
        sender(file, "--first", str(WARM_UP_LINES)) as (port, process),
        stream("dashboard", INTERVAL_S) as (ssc, batches),
        rejects_file(output) as rejects,
    ):
        _dashboard(ssc, ssc.socketTextStream("127.0.0.1", port), output, rejects)

        def go() -> None:
            process.stdin.write("go\n")
            process.stdin.flush()

        figures = received(ssc, batches, WARM_UP_LINES, go, orders)
    counted = figures["records"]
    return {
        **figures,
        "seconds": figures["seconds"] * orders / counted,
        "cpu_seconds": figures["cpu_seconds"] * orders / counted,
        "records": orders,
    }


def _dashboard(ssc: Any, lines: Any, output: Path, file: TextIO) -> None:
    ssc.sparkContext.setCheckpointDir(str(output / "checkpoint"))
    parsed: Any = lines.map(_read)
    orders = parsed.filter(lambda record: isinstance(record, Order))
    rejects = parsed.filter(lambda record: not isinstance(record, Order))
    sides = orders.map(lambda o: (o.buy, 1)).reduceByKey(lambda a, b: a + b)
    listed = sides.map(lambda side: ("BUYS" if side[0] else "SELLS", [str(side[1])]))
    cents = orders.map(lambda o: (o.client_id, o.amount * round(o.price * 100)))
    totals = cents.updateStateByKey(lambda news, total: sum(news) + (total or 0))
    volumes = orders.map(lambda o: (o.symbol, o.amount)).reduceByKeyAndWindow(
        lambda a, b: a + b, lambda a, b: a - b, WINDOW_S
    )
    report = listed.union(_top("TOP5CLIENTS", totals)).union(_top("TOP5STOCKS", volumes))
    rejects.foreachRDD(lambda rdd: file.writelines(f"{text}\n" for text in rdd.collect()))
    report.transform(lambda rdd: rdd.sortByKey(numPartitions=1)).saveAsTextFiles(
        str(output / "output"), "txt"
    )


def _read(text: str) -> Order | str:
    try:
        return parse_order(text)
    except MalformedOrder:
        return text


def _top(name: str, figures: Any) -> Any:
    ranked = figures.transform(
        lambda rdd: (
            rdd.sortBy(lambda pair: (-pair[1], pair[0]))
            .zipWithIndex()
            .filter(lambda ranked: ranked[1] < 5)
            .map(lambda ranked: str(ranked[0][0]))
        )
    )
    return ranked.repartition(1).glom().map(lambda found: (name, found))
