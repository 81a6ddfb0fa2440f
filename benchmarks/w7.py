"""W7: the chapter's program line by line, as a PySpark user would write it: parsing in Python, records as
dicts, ``strptime``. One file a batch; counts by side, clients so far, securities of the last hour, text
output every batch.

PySpark's first files are not counted, and the rest is scaled to all (see ``benchmarks.spark``)."""

from __future__ import annotations

from collections import Counter, deque
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.dashboard import timed
from benchmarks.data import LINES_PER_FILE, ORDERS, emptied, order_files
from benchmarks.measure import Figures
from benchmarks.workload import Workload

__all__ = ["workloads"]

INTERVAL_S = 5
WINDOW_BATCHES = 720
SPARK_FILES = 14
SPARK_WARM_UP = 4


def parse(line: str) -> list[dict[str, Any]]:
    """The chapter's parser, in Python."""
    s = line.split(",")
    try:
        assert s[6] == "B" or s[6] == "S"
        return [
            {
                "time": datetime.strptime(s[0], "%Y-%m-%d %H:%M:%S"),
                "orderId": int(s[1]),
                "clientId": int(s[2]),
                "symbol": s[3],
                "amount": int(s[4]),
                "price": float(s[5]),
                "buy": s[6] == "B",
            }
        ]
    except Exception as problem:
        print(f"Wrong line format ({problem}): {line}")
        return []


def chapter(ssc: Any, sc: Any, lines: Any, output: str, checkpoint: str) -> None:
    """The program, for Penstock and PySpark alike."""
    sc.setCheckpointDir(checkpoint)
    orders = lines.flatMap(parse)
    per_type = orders.map(lambda o: (o["buy"], 1)).reduceByKey(lambda c1, c2: c1 + c2)
    buy_sell = per_type.map(lambda t: ("BUYS", [str(t[1])]) if t[0] else ("SELLS", [str(t[1])]))
    amounts = orders.map(lambda o: (o["clientId"], o["amount"] * o["price"]))
    state = amounts.updateStateByKey(lambda values, total: sum(values) + total if total else sum(values))
    clients = state.transform(
        lambda rdd: (
            rdd.sortBy(lambda x: x[1], False).zipWithIndex().filter(lambda x: x[1] < 5).map(lambda x: x[0])
        )
    )
    top_clients = (
        clients.repartition(1).map(lambda x: str(x[0])).glom().map(lambda found: ("TOP5CLIENTS", found))
    )
    stocks = orders.map(lambda o: (o["symbol"], o["amount"])).reduceByKeyAndWindow(
        lambda a1, a2: a1 + a2, None, WINDOW_BATCHES * INTERVAL_S
    )
    top_stocks = (
        stocks.transform(
            lambda rdd: (
                rdd.sortBy(lambda x: x[1], False)
                .map(lambda x: x[0])
                .zipWithIndex()
                .filter(lambda x: x[1] < 5)
                .map(lambda x: x[0])
            )
        )
        .repartition(1)
        .map(lambda symbol: str(symbol))
        .glom()
        .map(lambda found: ("TOP5STOCKS", found))
    )
    final = buy_sell.union(top_clients).union(top_stocks)
    final.repartition(1).saveAsTextFiles(output, "txt")


def penstock(folder: Path) -> Figures:
    """One file a batch, as fast as it goes."""
    from penstock import Context, StreamingContext

    def run(directory: Path, output: Path) -> None:
        with Context("local[*]", "W7") as sc:
            ssc = StreamingContext(sc, INTERVAL_S)
            lines = ssc.textFileStream(str(directory), newFilesOnly=False, maxFilesPerBatch=1)
            chapter(ssc, sc, lines, str(output / "output"), str(folder / "w7-checkpoint"))
            ssc.start(availableNow=True)
            ssc.awaitTermination()

    return timed(order_files(folder), folder / "w7-penstock", ORDERS, run)


def python_loop(folder: Path) -> Figures:
    """What one would write by hand: the same parsing, the same figures, the same files."""
    return timed(order_files(folder), folder / "w7-loop", ORDERS, _loop)


def _loop(directory: Path, output: Path) -> None:
    totals: dict[int, float] = {}
    window: deque[dict[str, int]] = deque(maxlen=WINDOW_BATCHES)
    for number, file in enumerate(sorted(directory.iterdir())):
        sides: Counter[bool] = Counter()
        amounts: dict[int, float] = {}
        volumes: dict[str, int] = {}
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                for order in parse(line.rstrip("\n")):
                    sides[order["buy"]] += 1
                    client = order["clientId"]
                    amounts[client] = amounts.get(client, 0) + order["amount"] * order["price"]
                    symbol = order["symbol"]
                    volumes[symbol] = volumes.get(symbol, 0) + order["amount"]
        for client, amount in amounts.items():
            totals[client] = totals.get(client, 0) + amount
        window.append(volumes)
        in_window: dict[str, int] = {}
        for part in window:
            for symbol, volume in part.items():
                in_window[symbol] = in_window.get(symbol, 0) + volume
        clients = sorted(totals.items(), key=lambda pair: pair[1], reverse=True)[:5]
        stocks = sorted(in_window.items(), key=lambda pair: pair[1], reverse=True)[:5]
        report = [("BUYS" if buy else "SELLS", [str(count)]) for buy, count in sides.items()]
        report.append(("TOP5CLIENTS", [str(client) for client, _ in clients]))
        report.append(("TOP5STOCKS", [symbol for symbol, _ in stocks]))
        making, final = output / f".{number}.tmp", output / f"output-{number}.txt"
        making.mkdir()
        (making / "part-00000").write_text("".join(f"{line}\n" for line in report))
        (making / "_SUCCESS").touch()
        making.rename(final)


def pyspark(folder: Path) -> Figures:
    """The same program on PySpark's DStreams."""
    from benchmarks.spark import file_by_file, stream

    files = sorted(order_files(folder).iterdir())
    output, inbox = emptied(folder / "w7-pyspark"), emptied(folder / "w7-inbox")
    with stream("W7", INTERVAL_S) as (ssc, batches):
        lines = ssc.textFileStream(str(inbox))
        chapter(ssc, ssc.sparkContext, lines, str(output / "output"), str(folder / "w7-pyspark-checkpoint"))
        figures = file_by_file(
            ssc, batches, INTERVAL_S, files[:SPARK_FILES], inbox, SPARK_WARM_UP, ORDERS // LINES_PER_FILE
        )
    return {**figures, "records": ORDERS}


def workloads(*, quick: bool) -> dict[str, Workload]:
    engines = {"penstock": penstock, "python-loop": python_loop, "pyspark": pyspark}
    return {"W7": Workload("wall time for 500,000 orders in 50 files", "python-loop", engines, order_files)}
