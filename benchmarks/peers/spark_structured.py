"""The dashboard on Spark's Structured Streaming: three queries at a time, in the JVM, a file a trigger.

Its three figures need three queries, and each reads and parses the files by itself. Each writes a text file a
batch. The first also writes the malformed lines, with the file they are from; Spark does not say which line.
The window is counted in seconds of arrival, cut into slides of five, and the slides of the last hour are
summed in each batch. A session first takes some files as a warm-up, in queries of their own; then those that
count, in one go, and their wall time is scaled to all files.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from shutil import copy2
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f

from benchmarks.dashboard import FIELDS, INTERVAL_S, WINDOW_S
from benchmarks.data import LINES_PER_FILE, ORDERS, emptied
from benchmarks.measure import Figures, measured
from benchmarks.spark import context
from penstock.brokerage.orders import AMOUNT_MAX

__all__ = ["over_files", "run"]

FILES = 15
WARM_UP = 5
TYPES = ("timestamp", "bigint", "bigint", "string", "bigint", "decimal(12, 2)", "string")


def run(directory: Path, output: Path) -> Figures:
    """The first files of the directory, for all of them."""
    files = sorted(directory.iterdir())
    return {**over_files(files[:FILES], output, WARM_UP, ORDERS // LINES_PER_FILE), "records": ORDERS}


def over_files(files: list[Path], output: Path, warm_up: int, all_files: int) -> Figures:
    """The dashboard over these files but the first ``warm_up``, with its output in ``output / "counted"``."""
    with context("dashboard"):
        session = SparkSession.builder.config("spark.sql.shuffle.partitions", 2).getOrCreate()
        session.conf.set("spark.sql.session.timeZone", "UTC")
        if warm_up:
            _run(session, _copied(files[:warm_up], output / "warm-up-in"), output / "warm-up")
        counted = _copied(files[warm_up:], output / "in")
        with measured() as figures:
            _run(session, counted, output / "counted")
    scale = all_files / (len(files) - warm_up)
    figures["seconds"] *= scale
    figures["cpu_seconds"] *= scale
    figures["counted_batches"] = len(files) - warm_up
    return figures


def _copied(files: list[Path], directory: Path) -> Path:
    """With their dates, by which Spark orders them."""
    emptied(directory)
    for file in files:
        copy2(file, directory)
    return directory


def _run(session: SparkSession, directory: Path, output: Path) -> None:
    """All three queries over what is there."""
    lines = session.readStream.option("maxFilesPerTrigger", 1).text(str(directory))
    read = _read(lines)
    orders = read.filter("is_order")
    clients = orders.groupBy("client_id").agg(f.sum("cents").alias("figure"))
    slide = f.window(f.current_timestamp(), f"{INTERVAL_S} seconds")
    symbols = orders.groupBy(slide.alias("slide"), "symbol").agg(f.sum("amount").alias("figure"))
    queries = [
        _query("SIDES", read, "append", _sides(output), output),
        _query("TOP5CLIENTS", clients, "complete", _top("TOP5CLIENTS", "client_id", output), output),
        _query("TOP5STOCKS", symbols, "complete", _top("TOP5STOCKS", "symbol", output), output),
    ]
    for query in queries:
        query.awaitTermination()


def _read(lines: DataFrame) -> DataFrame:
    """The fields of each line, and whether it is an order."""
    parts = f.split("value", ",", -1)
    fields = [
        f.get(parts, f.lit(index)).try_cast(kind).alias(name)
        for index, (name, kind) in enumerate(zip(FIELDS, TYPES, strict=True))
    ]
    read = lines.select("value", "_metadata.file_name", f.size(parts).alias("fields"), *fields)
    known = " AND ".join(f"{name} IS NOT NULL" for name in FIELDS)
    rules = (
        f"fields = 7 AND {known} AND amount BETWEEN 1 AND {AMOUNT_MAX} AND price > 0 AND side IN ('B', 'S')"
    )
    return read.withColumn("is_order", f.expr(rules)).withColumn(
        "cents", f.expr("amount * CAST(price * 100 AS BIGINT)")
    )


def _query(
    name: str, frame: DataFrame, mode: str, write: Callable[[DataFrame, int], None], output: Path
) -> Any:
    writer = frame.writeStream.queryName(name).outputMode(mode).foreachBatch(write)
    return (
        writer.option("checkpointLocation", f"{output}-checkpoint-{name}").trigger(availableNow=True).start()
    )


def _sides(output: Path) -> Callable[[DataFrame, int], None]:
    def write(batch: DataFrame, number: int) -> None:
        batch.persist()
        sides = batch.filter("is_order").groupBy("side").count()
        shown = sides.selectExpr("CASE side WHEN 'B' THEN 'BUYS' ELSE 'SELLS' END AS name", "count").orderBy(
            "name"
        )
        _written(shown.selectExpr("concat(name, ' ', count)"), output / f"SIDES-{number:05d}")
        rejects = batch.filter("NOT coalesce(is_order, false)").selectExpr("concat(file_name, '\t', value)")
        _written(rejects, output / f"rejects-{number:05d}")
        batch.unpersist()

    return write


def _top(name: str, key: str, output: Path) -> Callable[[DataFrame, int], None]:
    def write(batch: DataFrame, number: int) -> None:
        if "slide" in batch.columns:
            batch = batch.filter(
                f.col("slide.end") > f.current_timestamp() - f.expr(f"INTERVAL {WINDOW_S} SECONDS")
            )
            batch = batch.groupBy(key).agg(f.sum("figure").alias("figure"))
        first = batch.orderBy(f.desc("figure"), key).limit(5)
        _written(first.select(f.col(key).cast("string")), output / f"{name}-{number:05d}")

    return write


def _written(frame: DataFrame, path: Path) -> None:
    frame.coalesce(1).write.text(str(path))
