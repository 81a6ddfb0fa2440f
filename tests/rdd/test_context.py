"""The rules of a context: one at a time, what it may be told, what it makes."""

from __future__ import annotations

import logging
import os
from typing import Any

import pytest

import penstock
from penstock import Accumulator, Conf, Context
from penstock.errors import ArgumentError, SettingError, SignatureError, StateError


def test_one_context_is_active_at_a_time() -> None:
    with Context("local[1]", "first") as first:
        with pytest.raises(StateError, match=r"first.*local\[1\].*test_context.py:\d+.*getOrCreate"):
            Context("local[2]")
        assert Context.getOrCreate() is first
        assert Context.getOrCreate(Conf().setAppName("other")) is first
    with Context("local[2]", "second") as second:
        assert (second.appName, second.master) == ("second", "local[2]")


def test_a_refused_context_is_not_active() -> None:
    for master in ("mesos://a:1", "local[0]", "local[x]"):
        with pytest.raises(ArgumentError):
            Context(master)
    with Context("local[1]") as sc:
        assert Context.getOrCreate() is sc


def test_get_or_create_makes_one_if_there_is_none() -> None:
    sc = Context.getOrCreate(Conf().setMaster("local[3]").setAppName("made"))
    try:
        assert (sc.master, sc.appName, sc.defaultParallelism) == ("local[3]", "made", 3)
        assert Context.getOrCreate() is sc
    finally:
        sc.stop()


def test_stopping_twice_is_stopping_once() -> None:
    sc = Context("local[1]")
    sc.stop()
    sc.stop()
    with Context("local[1]") as other:
        sc.stop()
        assert Context.getOrCreate() is other


@pytest.mark.parametrize(
    "ask",
    [
        lambda sc: sc.parallelize([1]),
        lambda sc: sc.range(3),
        lambda sc: sc.emptyRDD(),
        lambda sc: sc.textFile(__file__),
        lambda sc: sc.union([]),
    ],
)
def test_a_stopped_context_makes_nothing(ask: Any) -> None:
    sc = Context("local[1]")
    sc.stop()
    with pytest.raises(StateError, match="stopped"):
        ask(sc)


CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@pytest.mark.parametrize(
    ("master", "threads"),
    [
        ("local", 1),
        ("local[1]", 1),
        ("local[7]", 7),
        ("local[*]", CPUS),
        ("local[2,3]", 2),
        ("local[*, 4]", CPUS),
    ],
)
def test_masters(master: str, threads: int) -> None:
    with Context(master) as sc:
        assert (sc.master, sc.defaultParallelism) == (master, threads)
        assert sc.defaultMinPartitions == min(threads, 2)
        assert sc.parallelize(range(100)).getNumPartitions() == threads


@pytest.mark.parametrize(
    "master", ["", "Local[2]", "local[]", "local[0]", "local[-1]", "local[2", "local[1.5]", "mesos://a:1", 4]
)
def test_masters_that_are_not_understood(master: Any) -> None:
    with pytest.raises((ArgumentError, SettingError), match="local"):
        Context(master)


def test_settings_come_from_the_conf_and_arguments_go_first() -> None:
    conf = Conf().setMaster("local[2]").setAppName("conf").set("spark.default.parallelism", "5")
    with Context("local[3]", conf=conf) as sc:
        assert (sc.master, sc.appName, sc.defaultParallelism) == ("local[3]", "conf", 5)
        assert sc.parallelize([1]).getNumPartitions() == 5
        assert sc.getConf() is not sc.conf
    assert conf.get("spark.master") == "local[2]"
    with Context(conf) as sc:
        assert sc.master == "local[2]"


def test_spark_s_names() -> None:
    assert penstock.SparkContext is Context
    assert penstock.SparkConf is Conf


def test_ranges(sc: Context) -> None:
    assert sc.range(5).collect() == [0, 1, 2, 3, 4]
    assert sc.range(1, 10, 3).collect() == [1, 4, 7]
    assert sc.range(10, 0, -3).collect() == [10, 7, 4, 1]
    assert sc.range(5, 1).collect() == []
    assert sc.range(0, 10, numSlices=3).glom().collect() == [[0, 1, 2], [3, 4, 5], [6, 7, 8, 9]]
    assert sc.range(10**9, numSlices=1).take(2) == [0, 1]


@pytest.mark.parametrize(
    ("slices", "error"),
    [
        (0, ArgumentError),
        (-2, ArgumentError),
        ("2", SignatureError),
        (1.0, SignatureError),
        (True, SignatureError),
    ],
)
def test_numbers_of_slices(sc: Context, slices: Any, error: type[Exception]) -> None:
    for make in (lambda: sc.parallelize([1], slices), lambda: sc.range(3, numSlices=slices)):
        with pytest.raises(error, match="numSlices"):
            make()


def test_unions(sc: Context) -> None:
    parts = [sc.parallelize([1, 2], 2), sc.emptyRDD(), sc.parallelize([3], 1)]
    assert sc.union(parts).glom().collect() == [[1], [2], [3]]
    assert sc.union([parts[0]]).collect() == [1, 2]
    assert sc.union([]).collect() == []
    assert sc.union([parts[0], parts[0]]).collect() == [1, 2, 1, 2]
    with pytest.raises(SignatureError):
        sc.union([parts[0], [1]])


def test_the_empty_rdd(sc: Context) -> None:
    empty = sc.emptyRDD()
    assert empty.getNumPartitions() == 0
    assert empty.glom().collect() == []
    assert empty.fold(5, lambda a, b: a + b) == 5
    assert sc.parallelize([], 2).fold(5, lambda a, b: a + b) == 15


def test_broadcasts(sc: Context) -> None:
    names = sc.broadcast({1: "one"})
    assert sc.parallelize([1, 1], 2).map(lambda n: names.value[n]).collect() == ["one", "one"]
    names.unpersist()
    assert names.value == {1: "one"}
    names.destroy()
    with pytest.raises(StateError, match="destroyed"):
        sc.parallelize([1]).map(lambda n: names.value[n]).collect()


class SetParam:
    """Adds sets."""

    def zero(self, value: set[Any]) -> set[Any]:
        return set()

    def addInPlace(self, value1: set[Any], value2: set[Any]) -> set[Any]:
        value1 |= value2
        return value1


def test_accumulators(sc: Context) -> None:
    total: Accumulator = sc.accumulator(1)
    sc.parallelize(range(1000), 8).foreach(total.add)
    assert total.value == 499_501
    total += 5
    assert total.value == 499_506
    total.value = 0.5
    assert str(total) == "0.5"
    begin: set[Any] = set()
    seen = sc.accumulator(begin, SetParam())
    sc.parallelize("abca", 3).foreach(lambda letter: seen.add({letter}))
    assert seen.value == {"a", "b", "c"}
    assert begin == set()


@pytest.mark.parametrize("value", [[1], "a", True, None, {1}])
def test_accumulators_of_what_plus_does_not_add(sc: Context, value: Any) -> None:
    with pytest.raises(SignatureError, match="AccumulatorParam"):
        sc.accumulator(value)


def test_effects_happen_once_for_each_record(sc: Context) -> None:
    count = sc.accumulator(0)
    numbers = sc.parallelize(range(20), 4).map(lambda n: count.add(1) or n)
    numbers.union(numbers).sortBy(lambda n: -n).zipWithIndex().collect()
    assert count.value == 20


@pytest.mark.parametrize("level", ["ALL", "DEBUG", "info", "WARN", "ERROR", "FATAL", "OFF"])
def test_log_levels(sc: Context, level: str) -> None:
    logger = logging.getLogger("penstock")
    before = logger.level
    try:
        sc.setLogLevel(level)
        assert logger.level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)
    finally:
        logger.setLevel(before)


def test_no_such_log_level(sc: Context) -> None:
    with pytest.raises(ArgumentError, match="LOUD"):
        sc.setLogLevel("LOUD")


def test_what_it_says_of_itself(sc: Context) -> None:
    assert repr(sc) == "<Context master=local[4] appName=tests>"
    assert sc.version == penstock.__version__
