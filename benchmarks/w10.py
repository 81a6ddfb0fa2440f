"""W10: the brokerage dashboard on 2,000,000 orders that come through a connection on this machine.

Another process sends them, from memory, as fast as they are taken. Beside it stands the same number of orders
in files, as W1 has them. Engines are timed from the start of the stream to the end of the batch that has the
last order; so they wait up to an interval, as one does with what comes by itself. PySpark is timed by the
processing times of its batches, once it is warm. Quick: 500,000 orders.
"""

from __future__ import annotations

import importlib
import threading
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.dashboard import WINDOW_S, application, rejects_file, timed
from benchmarks.data import emptied, order_files
from benchmarks.measure import Figures, measured
from benchmarks.sending import sender
from benchmarks.workload import Workload

__all__ = ["received", "workloads"]

INTERVAL_S = 0.25
_PATIENCE_S = 120


def _order_file(orders: int, folder: Path) -> Path:
    """All orders in one file; made once."""
    from penstock.brokerage.generate import write_orders

    file = folder / f"orders-{orders}.txt"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_orders(file, orders, seed=1)
    return file


def _prepare(orders: int, folder: Path) -> None:
    _order_file(orders, folder)
    order_files(folder, orders)


def _import_all() -> None:
    for module in ("penstock", "penstock.brokerage.pipeline", "pyarrow.compute", "pyarrow.csv"):
        importlib.import_module(module)


def files(orders: int, folder: Path) -> Figures:
    """The application's stream over files of 10,000, one a batch, without waiting."""
    _import_all()
    return timed(order_files(folder, orders), folder / "w10-files", orders, application)


def penstock(orders: int, folder: Path) -> Figures:
    """The application's stream over ``socketTextStream``."""
    _import_all()
    output = emptied(folder / "w10-penstock")
    with sender(_order_file(orders, folder)) as (port, _), measured(records=orders) as figures:
        received(port, output, orders)
    return figures


def penstock_acked(orders: int, folder: Path) -> Figures:
    """The same over ``reliableSocketTextStream``: every line is durable before it is acknowledged, and every
    batch is recorded."""
    _import_all()
    output = emptied(folder / "w10-penstock-acked")
    with sender(_order_file(orders, folder), "--acked") as (port, _), measured(records=orders) as figures:
        received(port, output, orders, acked=True)
    return figures


def pyspark(orders: int, folder: Path) -> Figures:
    """DStreams over ``socketTextStream``, lines parsed in Python."""
    from benchmarks.peers.spark_dstreams import over_socket

    return over_socket(_order_file(orders, folder), orders, emptied(folder / "w10-pyspark"))


def received(port: int, output: Path, orders: int, *, acked: bool = False) -> None:
    """The application's own stream, without its screen, until it has had so many lines."""
    from penstock import Conf, Context, StreamingContext, StreamingListener
    from penstock.brokerage.pipeline import figures_of

    done = threading.Event()

    class Counting(StreamingListener):
        count = 0

        def onBatchCompleted(self, batchCompleted: Any) -> None:
            info = batchCompleted.batchInfo
            assert info.failureReason is None, info.failureReason
            self.count += info.numRecords
            if self.count >= orders:
                done.set()

    conf = Conf().setMaster("local[*]").setAppName("dashboard")
    conf.set("spark.streaming.receiver.writeAheadLog.enable", acked)
    with Context(conf=conf) as sc, rejects_file(output) as file:
        ssc = StreamingContext(sc, INTERVAL_S)
        if acked:
            ssc.checkpoint(str(output / "checkpoint"))
        else:
            sc.setCheckpointDir(str(output / "checkpoint"))
        connect = ssc.reliableSocketTextStream if acked else ssc.socketTextStream
        figures = figures_of(connect("127.0.0.1", port), WINDOW_S)
        figures.rejects.foreachRDD(
            lambda rdd: file.writelines(f"{r.source}\t{r.number}\t{r.text}\n" for r in rdd.collect())
        )
        figures.report.saveAsTextFiles(str(output / "output"), "txt")
        ssc.addStreamingListener(Counting())
        ssc.start()
        assert done.wait(_PATIENCE_S), f"there are orders that no batch had within {_PATIENCE_S} s"
        ssc.stop(stopSparkContext=False)


def workloads(*, quick: bool) -> dict[str, Workload]:
    orders = 500_000 if quick else 2_000_000
    engines = {
        "files": files,
        "penstock": penstock,
        "penstock-acked": penstock_acked,
        "pyspark": pyspark,
    }
    return {
        "W10": Workload(
            f"wall time for {orders:,} orders through a connection",
            "files",
            {name: partial(engine, orders) for name, engine in engines.items()},
            partial(_prepare, orders),
        )
    }
