"""Every method of an RDD or a stream that computes: a small call of each, for whichever executor runs the tests.

``test_everywhere.py`` runs them, and with ``--executor=processes`` or ``--executor=spark`` sees to it that what
stands before the method ran in other processes and nowhere else. What that proves is a column of
``docs/features.md``, which this writes::

    python -m tests.executors.everywhere
"""

# ruff: noqa: E501 (a row of a table stays on its line)
from __future__ import annotations

import gzip
import io
import os
import re
import sqlite3
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from operator import add, sub
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from penstock import RDD, Context, StateSpec, StorageLevel, StreamingContext
from penstock.clock import ManualClock
from penstock.dstream import DStream
from penstock.testing import Stepper, run_batches

__all__ = ["COMPUTE_NOTHING", "NAMES", "ROWS", "Call", "Place", "Row", "Witness", "with_column"]

NAMES = {"threads": "threads", "processes": "processes", "spark": "Spark"}
"""The executors, and what they are called in the column."""


class Witness:
    """Gives each record back, and notes the process in which it saw it."""

    def __init__(self, folder: Path) -> None:
        self._file = str(folder / "witness")

    def __call__(self, record: Any) -> Any:
        with open(self._file, "a") as file:
            file.write(f"{os.getpid()}\n")
        return record

    @property
    def processes(self) -> set[int]:
        """Where it was called."""
        try:
            with open(self._file) as file:
                return {int(line) for line in file}
        except FileNotFoundError:
            return set()


@dataclass(frozen=True)
class Place:
    """What a call has: a context, an empty folder, who sees the records on their way to the method, and a
    Kafka cluster, if it asks for one."""

    sc: Context
    folder: Path
    witness: Witness
    broker: Callable[[], Any]

    def rdd(self, records: list[Any]) -> RDD:
        return self.sc.parallelize(records, 2).map(self.witness)

    @property
    def numbers(self) -> RDD:
        return self.rdd([3, 1, 2])

    @property
    def pairs(self) -> RDD:
        return self.rdd([("a", 1), ("b", 2), ("a", 3)])

    @property
    def others(self) -> RDD:
        return self.rdd([("b", "x"), ("c", "y")])

    @property
    def orders(self) -> RDD:
        return self.rdd([Order(1, 5.5), Order(2, 2.5)])

    @property
    def path(self) -> str:
        return str(self.folder / "out")


class Order(NamedTuple):
    """A record whose fields are columns."""

    id: int
    price: float


Call = Callable[[Place], Any]


@dataclass(frozen=True)
class Row:
    """A method, a call of it, and what comes of it; ``gaps``: executors on which it fails, and why."""

    owner: str
    method: str
    call: Call
    expected: Any
    gaps: dict[str, str] = field(default_factory=dict)

    @property
    def cell(self) -> str:
        """What it proves."""
        proven = ", ".join(name for executor, name in NAMES.items() if executor not in self.gaps)
        return "; ".join([proven, *(f"not {NAMES[executor]}: {why}" for executor, why in self.gaps.items())])


# ------------------------------------------------------------------------------------------ helpers


def lists(pairs: list[Any]) -> list[Any]:
    """Pairs of a key and iterables, as lists, by key."""
    return sorted((key, list(values)) for key, values in pairs)


def groups(pairs: list[Any]) -> list[Any]:
    """The same of several iterables."""
    return sorted((key, [list(values) for values in several]) for key, several in pairs)


def files(place: Place, read: Callable[[Path], Any] = Path.read_text) -> list[Any]:
    """What the files hold that were written, in their order."""
    found = sorted(path for path in place.folder.rglob("*") if path.name.startswith("part-"))
    return [read(path) for path in found]


def parquet(path: Path) -> Any:
    return pq.read_table(path).to_pylist()


def effects(place: Place, run: Callable[[Witness], Any]) -> int:
    """How many records a function saw, wherever it ran."""
    seen = place.folder / "effects"
    seen.mkdir()
    run(Witness(seen))
    return len((seen / "witness").read_text().splitlines())


def checkpointed(place: Place) -> Any:
    rdd = place.numbers
    rdd.checkpoint()
    return rdd.collect(), rdd.isCheckpointed(), rdd.collect()


def kept(rdd: RDD) -> Any:
    try:
        return rdd.sum(), rdd.count()
    finally:
        rdd.unpersist()


def sent(place: Place, run: Callable[[str, dict[str, Any]], Any], count: int) -> Any:
    """The messages that reach a topic."""
    from tests.kafka.broker import messages_of

    broker, topic = place.broker(), "everywhere"
    run(topic, {"bootstrap.servers": broker.address, "linger.ms": 0})
    return sorted(message.value() for message in messages_of(broker, topic, count))


NUMBERS = [[3, 1, 2], [7]]
PAIRS = [[("a", 1), ("b", 2), ("a", 3)], [("a", 4)]]
OTHERS = [[("b", "x"), ("c", "y")], [("a", "z")]]
LINES = [["1,5.5", "x"], ["2,2.5"]]

Build = Callable[[DStream], Any]


def stream(
    build: Build, batches: list[list[Any]] = NUMBERS, read: Callable[[list[Any]], Any] = sorted
) -> Call:
    """What each batch of a stream holds."""

    def call(place: Place) -> Any:
        out = run_batches(batches, lambda s: build(s.map(place.witness)), numPartitions=2, context=place.sc)
        return [None if batch is None else read(batch) for batch in out]

    return call


def streams(build: Callable[[DStream, DStream], DStream], read: Callable[[list[Any]], Any] = sorted) -> Call:
    """The same of two."""

    def call(place: Place) -> Any:
        out = run_batches(
            (PAIRS, OTHERS),
            lambda a, b: build(a.map(place.witness), b.map(place.witness)),
            numPartitions=2,
            context=place.sc,
        )
        return [read(batch) for batch in out]

    return call


def output(
    write: Callable[[DStream, Place], Any], found: Callable[[Place], Any], batches: list[list[Any]] = NUMBERS
) -> Call:
    """What an output left behind."""

    def call(place: Place) -> Any:
        def build(s: DStream) -> None:
            write(s.map(place.witness), place)

        run_batches(batches, build, numPartitions=2, context=place.sc)
        return found(place)

    return call


def orders(s: DStream) -> DStream:
    return s.map(lambda n: Order(n, n / 2))


def file_set(place: Place) -> Any:
    return sorted(row["id"] for path in place.folder.rglob("*.parquet") for row in parquet(path))


def collected(place: Place) -> Any:
    """What foreachRDD gets."""
    found: list[Any] = []

    def build(s: DStream) -> None:
        s.map(place.witness).foreachRDD(
            lambda time, rdd: found.append((int(time.timestamp()), rdd.collect()))
        )

    run_batches(NUMBERS, build, numPartitions=2, context=place.sc)
    return found


def printed(place: Place) -> Any:
    with redirect_stdout(io.StringIO()) as out:
        output(lambda s, _: s.pprint(2), lambda _: None)(place)
    return [line for line in out.getvalue().splitlines() if line.isdigit() or line == "..."]


def sliced(place: Place) -> Any:
    clock = ManualClock()
    ssc = StreamingContext(place.sc, 1, clock=clock)
    ssc.remember(60)
    numbers = ssc.queueStream([place.sc.parallelize(batch, 2) for batch in NUMBERS]).map(place.witness)
    numbers.foreachRDD(lambda rdd: None)
    with Stepper(ssc, clock) as stepper:
        stepper.step()
        stepper.step()
        return [rdd.collect() for rdd in numbers.slice(1, 2)]


def running(new: list[int], old: int | None) -> int:
    return (old or 0) + sum(new)


def counted(key: str, value: Any, state: Any) -> Any:
    state.update((state.getOption() or 0) + value)
    return key, state.get()


def in_sql(place: Place, query: str) -> Any:
    connection = sqlite3.connect(place.folder / "test.db")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def url(place: Place) -> str:
    return f"sqlite:///{place.folder}/test.db"


def sum_into(connection: Any, time: Any, records: list[int]) -> None:
    import sqlalchemy as sa

    connection.execute(sa.text("create table if not exists sums (n integer)"))
    connection.execute(sa.text("insert into sums values (:n)"), {"n": sum(records)})


# -------------------------------------------------------------------------------------------- the table

COMPUTE_NOTHING = {
    "RDD": {
        "context",
        "ctx",
        "explain",
        "getCheckpointFile",
        "getNumPartitions",
        "getStorageLevel",
        "id",
        "isCheckpointed",
        "is_cached",
        "name",
        "offsetRanges",
        "partitioner",
        "plan",
        "setName",
        "toDebugString",
        "unpersist",
    },
    "DStream": {"context", "explain", "name"},
}
"""Methods that tell of an RDD or a stream, or change what is known of it."""

_RDD: dict[str, tuple[Call, Any]] = {
    "aggregate": (lambda at: at.numbers.aggregate((0, 0), lambda t, n: (t[0] + n, t[1] + 1), lambda a, b: (a[0] + b[0], a[1] + b[1])), (6, 3)),
    "aggregateByKey": (lambda at: sorted(at.pairs.aggregateByKey([], lambda c, v: [*c, v], add).collect()), [("a", [1, 3]), ("b", [2])]),
    "cache": (lambda at: kept(at.numbers.cache()), (6, 3)),
    "cartesian": (lambda at: sorted(at.numbers.cartesian(at.numbers).collect()), [(a, b) for a in (1, 2, 3) for b in (1, 2, 3)]),
    "checkpoint": (checkpointed, ([3, 1, 2], True, [3, 1, 2])),
    "coalesce": (lambda at: at.numbers.coalesce(1).glom().collect(), [[3, 1, 2]]),
    "cogroup": (lambda at: groups(at.pairs.cogroup(at.others).collect()), [("a", [[1, 3], []]), ("b", [[2], ["x"]]), ("c", [[], ["y"]])]),
    "collect": (lambda at: at.numbers.collect(), [3, 1, 2]),
    "collectAsMap": (lambda at: at.pairs.collectAsMap(), {"a": 3, "b": 2}),
    "combineByKey": (lambda at: sorted(at.pairs.combineByKey(lambda v: [v], lambda c, v: [*c, v], add).collect()), [("a", [1, 3]), ("b", [2])]),
    "count": (lambda at: at.numbers.count(), 3),
    "countByKey": (lambda at: dict(at.pairs.countByKey()), {"a": 2, "b": 1}),
    "countByValue": (lambda at: dict(at.rdd(["x", "y", "x"]).countByValue()), {"x": 2, "y": 1}),
    "distinct": (lambda at: sorted(at.rdd([2, 1, 2]).distinct().collect()), [1, 2]),
    "filter": (lambda at: at.numbers.filter(lambda n: n > 1).collect(), [3, 2]),
    "first": (lambda at: at.numbers.first(), 3),
    "flatMap": (lambda at: at.numbers.flatMap(range).collect(), [0, 1, 2, 0, 0, 1]),
    "flatMapValues": (lambda at: at.pairs.flatMapValues(range).collect(), [("a", 0), ("b", 0), ("b", 1), ("a", 0), ("a", 1), ("a", 2)]),
    "fold": (lambda at: at.numbers.fold(0, add), 6),
    "foldByKey": (lambda at: sorted(at.pairs.foldByKey(0, add).collect()), [("a", 4), ("b", 2)]),
    "foreach": (lambda at: effects(at, lambda seen: at.numbers.foreach(seen)), 3),
    "foreachPartition": (lambda at: effects(at, lambda seen: at.numbers.foreachPartition(lambda rows: [seen(row) for row in rows] and None)), 3),
    "fullOuterJoin": (lambda at: sorted(at.pairs.fullOuterJoin(at.others).collect()), [("a", (1, None)), ("a", (3, None)), ("b", (2, "x")), ("c", (None, "y"))]),
    "glom": (lambda at: at.numbers.glom().collect(), [[3], [1, 2]]),
    "groupBy": (lambda at: lists(at.numbers.groupBy(lambda n: n % 2).collect()), [(0, [2]), (1, [3, 1])]),
    "groupByKey": (lambda at: lists(at.pairs.groupByKey().collect()), [("a", [1, 3]), ("b", [2])]),
    "groupWith": (lambda at: groups(at.pairs.groupWith(at.others, at.others).collect()), [("a", [[1, 3], [], []]), ("b", [[2], ["x"], ["x"]]), ("c", [[], ["y"], ["y"]])]),
    "intersection": (lambda at: sorted(at.numbers.intersection(at.rdd([3, 4, 1])).collect()), [1, 3]),
    "isEmpty": (lambda at: at.numbers.isEmpty(), False),
    "join": (lambda at: at.pairs.join(at.others).collect(), [("b", (2, "x"))]),
    "keyBy": (lambda at: at.numbers.keyBy(lambda n: -n).collect(), [(-3, 3), (-1, 1), (-2, 2)]),
    "keys": (lambda at: at.pairs.keys().collect(), ["a", "b", "a"]),
    "leftOuterJoin": (lambda at: sorted(at.pairs.leftOuterJoin(at.others).collect()), [("a", (1, None)), ("a", (3, None)), ("b", (2, "x"))]),
    "lookup": (lambda at: at.pairs.lookup("a"), [1, 3]),
    "map": (lambda at: at.numbers.map(lambda n: n * 10).collect(), [30, 10, 20]),
    "mapPartitions": (lambda at: at.numbers.mapPartitions(lambda rows: [sum(rows)]).collect(), [3, 3]),
    "mapPartitionsWithIndex": (lambda at: at.numbers.mapPartitionsWithIndex(lambda i, rows: [(i, sum(rows))]).collect(), [(0, 3), (1, 3)]),
    "mapValues": (lambda at: at.pairs.mapValues(str).collect(), [("a", "1"), ("b", "2"), ("a", "3")]),
    "max": (lambda at: at.numbers.max(key=lambda n: -n), 1),
    "mean": (lambda at: at.numbers.mean(), 2.0),
    "min": (lambda at: at.numbers.min(), 1),
    "parseCsv": (lambda at: at.rdd(["1,5.5", "x", "2,2.5"]).parseCsv(Order).collect(), [(1, 5.5), (2, 2.5)]),
    "parseJson": (lambda at: at.rdd(['{"id": 1, "price": 5.5}', "x"]).parseJson(Order).collect(), [(1, 5.5)]),
    "partitionBy": (lambda at: at.rdd([(3, "c"), (1, "a"), (2, "b")]).partitionBy(2, lambda key: key).glom().collect(), [[(2, "b")], [(3, "c"), (1, "a")]]),
    "persist": (lambda at: kept(at.numbers.persist(StorageLevel.DISK_ONLY)), (6, 3)),
    "reduce": (lambda at: at.numbers.reduce(add), 6),
    "reduceByKey": (lambda at: sorted(at.pairs.reduceByKey(add).collect()), [("a", 4), ("b", 2)]),
    "rejects": (lambda at: at.rdd(["1,5.5", "x"]).parseCsv(Order).rejects.map(lambda reject: reject.text).collect(), ["x"]),
    "repartition": (lambda at: at.numbers.repartition(1).glom().collect(), [[3, 1, 2]]),
    "rightOuterJoin": (lambda at: sorted(at.pairs.rightOuterJoin(at.others).collect()), [("b", (2, "x")), ("c", (None, "y"))]),
    "sample": (lambda at: at.numbers.sample(False, 1.0, 1).collect(), [3, 1, 2]),
    "saveAsCsvFile": (lambda at: (at.orders.saveAsCsvFile(at.path), files(at))[1], ["1,5.5\n", "2,2.5\n"]),
    "saveAsJsonFile": (lambda at: (at.orders.saveAsJsonFile(at.path), files(at))[1], ['{"id":1,"price":5.5}\n', '{"id":2,"price":2.5}\n']),
    "saveAsParquetFile": (lambda at: (at.orders.saveAsParquetFile(at.path), files(at, parquet))[1], [[{"id": 1, "price": 5.5}], [{"id": 2, "price": 2.5}]]),
    "saveAsPickleFile": (lambda at: (at.numbers.saveAsPickleFile(at.path), at.sc.pickleFile(at.path).collect())[1], [3, 1, 2]),
    "saveAsTextFile": (lambda at: (at.numbers.saveAsTextFile(at.path, "gzip"), files(at, lambda path: gzip.decompress(path.read_bytes())))[1], [b"3\n", b"1\n2\n"]),
    "saveToKafka": (lambda at: sent(at, lambda topic, params: at.numbers.saveToKafka(topic, params), 3), [b"1", b"2", b"3"]),
    "sortBy": (lambda at: at.numbers.sortBy(lambda n: -n).collect(), [3, 2, 1]),
    "sortByKey": (lambda at: at.rdd([(2, "b"), (3, "c"), (1, "a")]).sortByKey().collect(), [(1, "a"), (2, "b"), (3, "c")]),
    "stats": (lambda at: (lambda found: (found.count(), found.sum(), found.min(), found.max()))(at.numbers.stats()), (3, 6.0, 1.0, 3.0)),
    "stdev": (lambda at: round(at.numbers.stdev(), 6), 0.816497),
    "subtract": (lambda at: sorted(at.numbers.subtract(at.rdd([1, 9])).collect()), [2, 3]),
    "subtractByKey": (lambda at: sorted(at.pairs.subtractByKey(at.others).collect()), [("a", 1), ("a", 3)]),
    "sum": (lambda at: at.numbers.sum(), 6),
    "take": (lambda at: at.numbers.take(2), [3, 1]),
    "takeOrdered": (lambda at: at.numbers.takeOrdered(2), [1, 2]),
    "toArrow": (lambda at: at.orders.toArrow().to_pylist(), [{"id": 1, "price": 5.5}, {"id": 2, "price": 2.5}]),
    "toLocalIterator": (lambda at: list(at.numbers.toLocalIterator()), [3, 1, 2]),
    "toPandas": (lambda at: at.orders.toPandas()["price"].tolist(), [5.5, 2.5]),
    "top": (lambda at: at.numbers.top(2), [3, 2]),
    "union": (lambda at: at.numbers.union(at.rdd([9])).collect(), [3, 1, 2, 9]),
    "values": (lambda at: at.pairs.values().collect(), [1, 2, 3]),
    "variance": (lambda at: round(at.numbers.variance(), 6), 0.666667),
    "zip": (lambda at: at.numbers.zip(at.rdd([7, 8, 9])).collect(), [(3, 7), (1, 8), (2, 9)]),
    "zipWithIndex": (lambda at: at.numbers.zipWithIndex().collect(), [(3, 0), (1, 1), (2, 2)]),
    "zipWithUniqueId": (lambda at: at.numbers.zipWithUniqueId().collect(), [(3, 0), (1, 1), (2, 3)]),
}  # fmt: skip

_DSTREAM: dict[str, tuple[Call, Any]] = {
    "cache": (stream(lambda s: s.cache()), [[1, 2, 3], [7]]),
    "checkpoint": (stream(lambda s: s.checkpoint(1)), [[1, 2, 3], [7]]),
    "cogroup": (streams(lambda a, b: a.cogroup(b), groups), [[("a", [[1, 3], []]), ("b", [[2], ["x"]]), ("c", [[], ["y"]])], [("a", [[4], ["z"]])]]),
    "combineByKey": (stream(lambda s: s.combineByKey(lambda v: [v], lambda c, v: [*c, v], add), PAIRS), [[("a", [1, 3]), ("b", [2])], [("a", [4])]]),
    "count": (stream(lambda s: s.count()), [[3], [1]]),
    "countByValue": (stream(lambda s: s.countByValue(), [["x", "y", "x"], ["x"]]), [[("x", 2), ("y", 1)], [("x", 1)]]),
    "countByValueAndWindow": (stream(lambda s: s.countByValueAndWindow(2, 1), [["x", "y", "x"], ["x"]]), [[("x", 2), ("y", 1)], [("x", 3), ("y", 1)]]),
    "countByWindow": (stream(lambda s: s.countByWindow(2, 1)), [[3], [4]]),
    "filter": (stream(lambda s: s.filter(lambda n: n > 1)), [[2, 3], [7]]),
    "flatMap": (stream(lambda s: s.flatMap(lambda n: [n] * (n % 3))), [[1, 2, 2], [7]]),
    "flatMapValues": (stream(lambda s: s.flatMapValues(lambda v: [v] * (v - 1)), PAIRS), [[("a", 3), ("a", 3), ("b", 2)], [("a", 4)] * 3]),
    "foreachRDD": (collected, [(1, [3, 1, 2]), (2, [7])]),
    "fullOuterJoin": (streams(lambda a, b: a.fullOuterJoin(b)), [[("a", (1, None)), ("a", (3, None)), ("b", (2, "x")), ("c", (None, "y"))], [("a", (4, "z"))]]),
    "glom": (stream(lambda s: s.glom(), read=list), [[[3], [1, 2]], [[], [7]]]),
    "groupByKey": (stream(lambda s: s.groupByKey(), PAIRS, lists), [[("a", [1, 3]), ("b", [2])], [("a", [4])]]),
    "groupByKeyAndWindow": (stream(lambda s: s.groupByKeyAndWindow(2, 1), PAIRS, lists), [[("a", [1, 3]), ("b", [2])], [("a", [1, 3, 4]), ("b", [2])]]),
    "join": (streams(lambda a, b: a.join(b)), [[("b", (2, "x"))], [("a", (4, "z"))]]),
    "leftOuterJoin": (streams(lambda a, b: a.leftOuterJoin(b)), [[("a", (1, None)), ("a", (3, None)), ("b", (2, "x"))], [("a", (4, "z"))]]),
    "map": (stream(lambda s: s.map(lambda n: n * 10), read=list), [[30, 10, 20], [70]]),
    "mapPartitions": (stream(lambda s: s.mapPartitions(lambda rows: [sum(rows)]), read=list), [[3, 3], [0, 7]]),
    "mapPartitionsWithIndex": (stream(lambda s: s.mapPartitionsWithIndex(lambda i, rows: [(i, sum(rows))]), read=list), [[(0, 3), (1, 3)], [(0, 0), (1, 7)]]),
    "mapValues": (stream(lambda s: s.mapValues(str), PAIRS), [[("a", "1"), ("a", "3"), ("b", "2")], [("a", "4")]]),
    "mapWithState": (stream(lambda s: s.mapWithState(StateSpec.function(counted)), PAIRS), [[("a", 1), ("a", 4), ("b", 2)], [("a", 8)]]),
    "parseCsv": (stream(lambda s: s.parseCsv(Order), LINES), [[(1, 5.5)], [(2, 2.5)]]),
    "parseJson": (stream(lambda s: s.parseJson(Order), [['{"id": 1, "price": 5.5}'], ["x"]]), [[(1, 5.5)], []]),
    "partitionBy": (stream(lambda s: s.partitionBy(2, lambda key: key).glom(), [[(3, "c"), (1, "a")], [(2, "b")]], list), [[[], [(3, "c"), (1, "a")]], [[(2, "b")], []]]),
    "persist": (stream(lambda s: s.persist(StorageLevel.DISK_ONLY)), [[1, 2, 3], [7]]),
    "pprint": (printed, ["3", "1", "...", "7"]),
    "reduce": (stream(lambda s: s.reduce(add)), [[6], [7]]),
    "reduceByKey": (stream(lambda s: s.reduceByKey(add), PAIRS), [[("a", 4), ("b", 2)], [("a", 4)]]),
    "reduceByKeyAndWindow": (stream(lambda s: s.reduceByKeyAndWindow(add, sub, 2, 1), PAIRS), [[("a", 4), ("b", 2)], [("a", 8), ("b", 2)]]),
    "reduceByWindow": (stream(lambda s: s.reduceByWindow(add, sub, 2, 1)), [[6], [13]]),
    "rejects": (stream(lambda s: s.parseCsv(Order).rejects.map(lambda reject: reject.text), LINES), [["x"], []]),
    "repartition": (stream(lambda s: s.repartition(1).glom(), read=list), [[[3, 1, 2]], [[7]]]),
    "rightOuterJoin": (streams(lambda a, b: a.rightOuterJoin(b)), [[("b", (2, "x")), ("c", (None, "y"))], [("a", (4, "z"))]]),
    "saveAsCsvFiles": (output(lambda s, at: orders(s).saveAsCsvFiles(at.path), files), ["3,1.5\n", "1,0.5\n2,1.0\n", "7,3.5\n"]),
    "saveAsFileSet": (output(lambda s, at: orders(s).saveAsFileSet(at.path), file_set), [1, 2, 3, 7]),
    "saveAsJsonFiles": (output(lambda s, at: orders(s).saveAsJsonFiles(at.path, skipEmpty=True), files), ['{"id":3,"price":1.5}\n', '{"id":1,"price":0.5}\n{"id":2,"price":1.0}\n', '{"id":7,"price":3.5}\n']),
    "saveAsObjectFiles": (output(lambda s, at: s.saveAsObjectFiles(at.path), lambda at: at.sc.pickleFile(at.path + "-1000").collect()), [3, 1, 2]),
    "saveAsParquetFiles": (output(lambda s, at: orders(s).saveAsParquetFiles(at.path, "p"), lambda at: [row["id"] for rows in files(at, parquet) for row in rows]), [3, 1, 2, 7]),
    "saveAsPickleFiles": (output(lambda s, at: s.saveAsPickleFiles(at.path), lambda at: at.sc.pickleFile(at.path + "-2000").collect()), [7]),
    "saveAsTextFiles": (output(lambda s, at: s.saveAsTextFiles(at.path), files), ["3\n", "1\n2\n", "", "7\n"]),
    "saveToKafka": (lambda at: sent(at, lambda topic, params: output(lambda s, _: s.saveToKafka(topic, params), lambda _: None)(at), 4), [b"1", b"2", b"3", b"7"]),
    "saveToSql": (output(lambda s, at: orders(s).saveToSql(url(at), "orders"), lambda at: in_sql(at, "select id, price from orders order by id")), [(1, 0.5), (2, 1.0), (3, 1.5), (7, 3.5)]),
    "saveToSqlWith": (output(lambda s, at: s.saveToSqlWith(url(at), sum_into, name="sums"), lambda at: in_sql(at, "select sum(n) from sums")), [(13,)]),
    "slice": (sliced, [[3, 1, 2], [7]]),
    "transform": (stream(lambda s: s.transform(lambda rdd: rdd.sortBy(lambda n: n)), read=list), [[1, 2, 3], [7]]),
    "transformWith": (streams(lambda a, b: a.transformWith(lambda x, y: x.keys().union(y.keys()), b)), [["a", "a", "b", "b", "c"], ["a", "a"]]),
    "union": (streams(lambda a, b: a.union(b.mapValues(len))), [[("a", 1), ("a", 3), ("b", 1), ("b", 2), ("c", 1)], [("a", 1), ("a", 4)]]),
    "updateStateByKey": (stream(lambda s: s.updateStateByKey(running), PAIRS), [[("a", 4), ("b", 2)], [("a", 8), ("b", 2)]]),
    "window": (stream(lambda s: s.window(2)), [[1, 2, 3], [1, 2, 3, 7]]),
}  # fmt: skip

_GAPS: dict[tuple[str, str], dict[str, str]] = {}
"""Where a row fails, and why: ``("RDD", "pipe"): {"spark": "..."}``."""

ROWS = [
    Row(owner, method, call, expected, _GAPS.get((owner, method), {}))
    for owner, table in (("RDD", _RDD), ("DStream", _DSTREAM))
    for method, (call, expected) in table.items()
]


# ------------------------------------------------------------------------------------------- the column

_HEADERS = (
    re.compile(r"^\| method \| status \|(?: proven on \|)? note \|$"),
    re.compile(r"^\|---\|---\|(?:---\|)?---\|$"),
)
_LINE = re.compile(r"^\| `(\w+)` \| ([a-z ]+) \| (?:([^|]*) \| )?([^|]*)\|$")


def with_column(text: str) -> str:
    """The page with the column as the table here has it, in the sections of both classes."""
    cells = {(row.owner, row.method): row.cell for row in ROWS}
    owner, lines = "", []
    for line in text.splitlines():
        if line.startswith("## "):
            owner = line.removeprefix("## ")
        if owner in COMPUTE_NOTHING:
            if _HEADERS[0].match(line):
                line = "| method | status | proven on | note |"
            elif _HEADERS[1].match(line):
                line = "|---|---|---|---|"
            elif found := _LINE.match(line):
                method, status, _, note = found.groups()
                line = f"| `{method}` | {status} | {cells.get((owner, method), '')} | {note}|"
        lines.append(line)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    page = Path(__file__).parents[2] / "docs" / "features.md"
    page.write_text(with_column(page.read_text(encoding="utf-8")), encoding="utf-8")
