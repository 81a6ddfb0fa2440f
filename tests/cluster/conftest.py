"""A SparkContext on the cluster of the tests, for all tests of a file that run a program on it."""

from __future__ import annotations

import os
import random
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock import Conf, Context
from penstock.testing.cluster import LocalCluster


@pytest.fixture(scope="module")  # it has all cores of the cluster, for which other modules' programs wait
def spark(spark_cluster: LocalCluster) -> Iterator[Any]:
    """A SparkContext that PySpark made, as a program has that moves over step by step."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pyspark import SparkConf, SparkContext

        conf = SparkConf().setMaster(spark_cluster.url).setAppName("tests")
        conf.set("spark.ui.enabled", "false").set("spark.ui.showConsoleProgress", "false")
        context = SparkContext(conf=conf)
    yield context
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context.stop()


@pytest.fixture
def sc(spark: Any) -> Iterator[Context]:
    """A context on it, which sends everything that it may send."""
    with Context(spark, conf=Conf().set("penstock.local.inlineRows", 0)) as context:
        yield context


@pytest.fixture
def words(tmp_path: Path, seed: int) -> list[str]:
    """Of four files, in their order."""
    draw = random.Random(seed)
    lines = [f"{draw.choice('abc')}{draw.randrange(40)}" for _ in range(4_000)]
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(4):
        part = lines[number * 1_000 : (number + 1) * 1_000]
        (folder / f"{number}.txt").write_text("".join(f"{line}\n" for line in part))
    return lines
