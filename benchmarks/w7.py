"""W7: the chapter's program line by line, as a PySpark user would write it: parsing in Python, records as
dicts, ``strptime``. One file a batch; counts by side, clients so far, securities of the last hour, text
output every batch."""

from __future__ import annotations

import shutil
import time
from collections import Counter, deque
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.data import ORDERS, order_files

WINDOW_BATCHES = 720
PYSPARK_FILES = 10


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
        lambda a1, a2: a1 + a2, None, WINDOW_BATCHES * 5
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


def penstock(folder: Path) -> dict[str, float]:
    """One file a batch, as fast as it goes."""
    from penstock import Context, StreamingContext

    directory, output = order_files(folder), folder / "w7-penstock"
    shutil.rmtree(output, ignore_errors=True)
    begun = time.perf_counter()
    with Context("local[*]", "W7") as sc:
        ssc = StreamingContext(sc, 5)
        lines = ssc.textFileStream(str(directory), newFilesOnly=False, maxFilesPerBatch=1)
        chapter(ssc, sc, lines, str(output / "output"), str(folder / "w7-checkpoint"))
        ssc.start(availableNow=True)
        ssc.awaitTermination()
    return {"seconds": time.perf_counter() - begun, "records": ORDERS}


def python_loop(folder: Path) -> dict[str, float]:
    """What one would write by hand: the same parsing, the same figures, the same files."""
    directory, output = order_files(folder), folder / "w7-loop"
    shutil.rmtree(output, ignore_errors=True)
    begun = time.perf_counter()
    output.mkdir()
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
    return {"seconds": time.perf_counter() - begun, "records": ORDERS}


def pyspark(folder: Path) -> dict[str, float]:
    """The same program on PySpark's DStreams; the first files only, each linked in as its batch comes up.

    The figure is the sum of the batches' processing times, scaled to all files: waiting is not counted.
    """
    import os
    import warnings

    warnings.simplefilter("ignore")
    from pyspark import SparkConf, SparkContext
    from pyspark.streaming import StreamingContext, StreamingListener

    directory, output, inbox = order_files(folder), folder / "w7-pyspark", folder / "w7-inbox"
    for used in (output, inbox):
        shutil.rmtree(used, ignore_errors=True)
    inbox.mkdir()
    delays: list[float] = []

    class Delays(StreamingListener):
        def onBatchCompleted(self, batchCompleted: Any) -> None:
            delays.append(float(batchCompleted.batchInfo().processingDelay()))

    conf = SparkConf().setMaster("local[*]").setAppName("W7").set("spark.ui.enabled", "false")
    sc = SparkContext(conf=conf)
    sc.setLogLevel("OFF")
    ssc = StreamingContext(sc, 5)
    ssc.addStreamingListener(Delays())
    lines = ssc.textFileStream(str(inbox))
    chapter(ssc, sc, lines, str(output / "output"), str(folder / "w7-pyspark-checkpoint"))
    ssc.start()
    busy = []
    for file in sorted(directory.iterdir())[:PYSPARK_FILES]:
        done = len(delays)
        making = inbox / f".{file.name}"
        shutil.copyfile(file, making)
        os.replace(making, inbox / file.name)
        while len(delays) == done:
            ssc.awaitTerminationOrTimeout(0.05)
        busy.append(delays[-1])
    ssc.stop()
    warm = busy[2:]
    return {"seconds": sum(warm) / len(warm) / 1000 * ORDERS / 10_000, "records": ORDERS}


ENGINES = {"penstock": penstock, "python-loop": python_loop, "pyspark": pyspark}
BASE = "python-loop"
UNIT = "wall time for 500,000 orders in 50 files"
