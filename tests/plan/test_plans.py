"""Plans as text, whose line asked for what, and figures."""

from __future__ import annotations

import threading

import pytest

from penstock import Context
from penstock.errors import CallSite
from penstock.plan import Metrics, asked_at, call_site, counting_in, current_metrics
from penstock.testing import same


def test_a_plan_as_text(sc: Context) -> None:
    pairs = sc.parallelize([("a", 1)], 2).mapValues(str)
    text = (
        pairs.reduceByKey(lambda a, b: a + b, 3)
        .union(pairs.cache())
        .sortBy(str, numPartitions=1)
        .toDebugString()
    )
    shape = [line.split(" at ")[0].rstrip() for line in text.splitlines()]
    assert shape == [
        "(1) Narrow sortBy",
        "(1) Narrow sort of sortBy",
        "(1) Shuffle by range for sortBy",
        "  (5) Narrow sortBy",
        "  (5) Gather concatenated",
        "    (3) Narrow merge of reduceByKey",
        "    (3) Shuffle by key to Partitioner(3)",
        "      (2) Narrow combine of reduceByKey",
        "      (2) Narrow mapValues",
        "      (2) Source SliceReader",
        "    (2) Narrow mapValues",
    ]
    assert text.splitlines()[-1].endswith("[Memory Serialized 1x Replicated] (again, see above)")
    assert all(__file__ in line for line in text.splitlines())


def test_a_plan_with_a_long_chain(sc: Context) -> None:
    rdd = sc.parallelize([0], 1)
    for _ in range(3000):
        rdd = rdd.map(lambda x: x + 1)
    assert rdd.collect() == [3000]
    assert len(rdd.toDebugString().splitlines()) == 3001


def test_a_plan_that_doubles_with_each_step(sc: Context) -> None:
    """A node is written, and computed, once; not as often as there are ways to it."""
    rdd = sc.parallelize([1], 1).map(lambda x: x)
    for _ in range(40):
        rdd = rdd.zip(rdd).map(lambda pair: pair[0])
    assert rdd.collect() == [1]
    assert len(rdd.toDebugString().splitlines()) < 200


def test_whose_line_asked() -> None:
    site = call_site("map")
    assert (site.operation, site.file) == ("map", __file__)
    given = CallSite("stream", "app.py", 3)
    with asked_at(given):
        assert call_site("map") is given
        with asked_at(None):
            assert call_site("map").file == __file__
    assert call_site("map").file == __file__


def test_figures_are_set_and_not_added() -> None:
    metrics = Metrics()
    metrics.note("records", 1, 5)
    metrics.note("records", 1, 7)
    metrics.note("records", 2, 1)
    assert (metrics.total("records"), metrics.total("bytes")) == (8, 0)
    assert metrics.places("records") == {1: 7, 2: 1}


def test_figures_belong_to_who_counts() -> None:
    metrics = Metrics()
    elsewhere: list[bool] = []
    with counting_in(metrics):
        assert current_metrics() is metrics
        thread = threading.Thread(target=lambda: elsewhere.append(current_metrics() is metrics))
        thread.start()
        thread.join()
    assert elsewhere == [False]
    assert current_metrics() is not metrics


@pytest.mark.parametrize("rows", [65_535, 65_536, 65_537, 200_000])
def test_more_records_than_a_chunk_holds(sc: Context, rows: int) -> None:
    numbers = sc.parallelize(list(range(rows)), 1)
    assert same(numbers.map(lambda n: n + 1).collect(), list(range(1, rows + 1)))
    assert numbers.flatMap(lambda n: (n, n)).count() == 2 * rows
    assert numbers.zipWithIndex().filter(lambda pair: pair[0] != pair[1]).count() == 0
    assert numbers.map(lambda n: (n, 1)).reduceByKey(max, 2).count() == rows
    assert numbers.zip(numbers).map(lambda pair: pair[0] - pair[1]).filter(bool).count() == 0
    assert max(len(chunk) for chunk in sc.iterate(numbers.zip(numbers).plan)) <= 65_536
    assert max(len(chunk) for chunk in sc.iterate(sc.range(rows, numSlices=1).plan)) <= 65_536
