"""``docs/features.md`` says of every method, PySpark's or ours, what is true of it."""

from __future__ import annotations

import re
from typing import Any

import pytest

import penstock
from penstock.monitor.dashboard import Dashboard
from tests.docs.pages import ROOT
from tests.executors.everywhere import COMPUTE_NOTHING, ROWS, with_column

TEXT = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
CLASSES = ("StreamingContext", "DStream", "StreamingListener", "Dashboard", "Context", "RDD")
STATUSES = {"works", "planned", "not planned"}

# The public names of PySpark 4.3.0's classes, as dir() lists them.
PYSPARK = {
    "StreamingContext": """
        addStreamingListener awaitTermination awaitTerminationOrTimeout binaryRecordsStream
        checkpoint getActive getActiveOrCreate getOrCreate queueStream remember socketTextStream
        sparkContext start stop textFileStream transform union
    """,
    "Dashboard": "",
    "DStream": """
        cache checkpoint cogroup combineByKey context count countByValue countByValueAndWindow
        countByWindow filter flatMap flatMapValues foreachRDD fullOuterJoin glom groupByKey
        groupByKeyAndWindow join leftOuterJoin map mapPartitions mapPartitionsWithIndex mapValues
        partitionBy persist pprint reduce reduceByKey reduceByKeyAndWindow reduceByWindow
        repartition rightOuterJoin saveAsTextFiles slice transform transformWith union
        updateStateByKey window
    """,
    "StreamingListener": """
        onBatchCompleted onBatchStarted onBatchSubmitted onOutputOperationCompleted
        onOutputOperationStarted onReceiverError onReceiverStarted onReceiverStopped
        onStreamingStarted
    """,
    "Context": """
        PACKAGE_EXTENSIONS accumulator addArchive addFile addJobTag addPyFile applicationId
        binaryFiles binaryRecords broadcast cancelAllJobs cancelJobGroup cancelJobsWithTag
        clearJobTags defaultMinPartitions defaultParallelism dump_profiles emptyRDD getCheckpointDir
        getConf getJobTags getLocalProperty getOrCreate getSystemProperty hadoopFile hadoopRDD
        listArchives listFiles newAPIHadoopFile newAPIHadoopRDD parallelize pickleFile range
        removeJobTag resources runJob sequenceFile setCheckpointDir setInterruptOnCancel
        setJobDescription setJobGroup setLocalProperty setLogLevel setSystemProperty show_profiles
        sparkUser startTime statusTracker stop textFile uiWebUrl union version wholeTextFiles
    """,
    "RDD": """
        aggregate aggregateByKey barrier cache cartesian checkpoint cleanShuffleDependencies
        coalesce cogroup collect collectAsMap collectWithJobGroup combineByKey context count
        countApprox countApproxDistinct countByKey countByValue distinct filter first flatMap
        flatMapValues fold foldByKey foreach foreachPartition fullOuterJoin getCheckpointFile
        getNumPartitions getResourceProfile getStorageLevel glom groupBy groupByKey groupWith
        histogram id intersection isCheckpointed isEmpty isLocallyCheckpointed join keyBy keys
        leftOuterJoin localCheckpoint lookup map mapPartitions mapPartitionsWithIndex
        mapPartitionsWithSplit mapValues max mean meanApprox min name partitionBy persist pipe
        randomSplit reduce reduceByKey reduceByKeyLocally repartition
        repartitionAndSortWithinPartitions rightOuterJoin sample sampleByKey sampleStdev
        sampleVariance saveAsHadoopDataset saveAsHadoopFile saveAsNewAPIHadoopDataset
        saveAsNewAPIHadoopFile saveAsPickleFile saveAsSequenceFile saveAsTextFile setName sortBy
        sortByKey stats stdev subtract subtractByKey sum sumApprox take takeOrdered takeSample toDF
        toDebugString toLocalIterator top treeAggregate treeReduce union unpersist values variance
        withResources zip zipWithIndex zipWithUniqueId
    """,
}


def class_named(name: str) -> Any:
    """A public class, which need not be loaded with ``import penstock``."""
    return Dashboard if name == "Dashboard" else getattr(penstock, name)


def section(name: str) -> str:
    """What stands under one heading."""
    [found] = re.findall(rf"^## {name}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    return str(found)


def rows(name: str) -> list[tuple[str, str]]:
    """The methods of a class and their status, as its tables have them."""
    return re.findall(r"^\| `(\w+)` \| ([a-z ]+) \|", section(name), re.MULTILINE)


@pytest.mark.parametrize("name", CLASSES)
def test_the_rows_say_what_is_true(name: str) -> None:
    wrong = []
    for method, status in rows(name):
        assert status in STATUSES
        there = hasattr(class_named(name), method)
        if there != (status == "works"):
            wrong.append(f"{method}: {status}, but it is {'there' if there else 'not there'}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", CLASSES)
def test_every_method_has_one_row(name: str) -> None:
    listed = [method for method, _ in rows(name)]
    ours = {method for method in dir(class_named(name)) if not method.startswith("_")}
    assert len(listed) == len(set(listed)), "a method is listed twice"
    assert (ours | set(PYSPARK[name].split())) - set(listed) == set()


@pytest.mark.parametrize("name", CLASSES)
def test_the_first_table_is_in_order(name: str) -> None:
    listed = [method for method, _ in rows(name)]
    if name == "StreamingContext":  # a second table follows
        listed = listed[: listed.index("union") + 1]
    assert listed == sorted(listed)


def test_the_column_of_executors_is_what_is_proven() -> None:
    assert with_column(TEXT) == TEXT, "run python -m tests.executors.everywhere"


def test_whatever_computes_is_proven_somewhere() -> None:
    proven = {(row.owner, row.method) for row in ROWS}
    for owner, nothing in COMPUTE_NOTHING.items():
        works = {method for method, status in rows(owner) if status == "works"}
        assert works - nothing == {method for name, method in proven if name == owner}
        cells = re.findall(r"^\| `(\w+)` \| [a-z ]+ \| (.*?) \|", section(owner), re.MULTILINE)
        assert {method for method, cell in cells if cell} == works - nothing


def test_sources_and_sinks_that_work_are_there() -> None:
    holders = {
        "ssc": penstock.StreamingContext,
        "sc": penstock.Context,
        "DStream": penstock.DStream,
        "RDD": penstock.RDD,
    }
    named = re.findall(r"`(ssc|sc|DStream|RDD)\.(\w+)`", section("Sources") + section("Sinks"))
    assert len(named) >= 15
    assert [f"{holder}.{name}" for holder, name in named if not hasattr(holders[holder], name)] == []


def test_the_tests_that_prove_a_guarantee_are_there() -> None:
    shown = section("Sources") + section("Sinks")
    files = [ROOT / path for path in re.findall(r"tests/[\w/]+\.py", shown)]
    # "`tests/stores/test_streams.py`, `test_crashes.py`": a name by itself is in the folder before it.
    for folder, name in re.findall(r"`(tests/[\w/]+)/\w+\.py`, `(\w+\.py)`", shown):
        files.append(ROOT / folder / name)
    assert len(files) >= 25
    assert [str(file) for file in files if not file.is_file()] == []
    functions = re.findall(r"`(test_\w+)`", shown)
    assert len(functions) >= 5
    written = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name in functions if f"def {name}(" not in written] == []


WITHOUT_GUARANTEE = {"pickle files", "Arrow tables", "Arrow, pandas", "the terminal"}


def test_every_source_and_sink_of_streams_names_its_proof() -> None:
    unproven = []
    for kind in ("Sources", "Sinks"):
        for row in re.findall(r"^\| (?!source|sink|option|---)(.*) \|$", section(kind), re.MULTILINE):
            name, streams, *_, proof = row.split(" | ")
            if streams.startswith("works") and ".py" not in proof and name not in WITHOUT_GUARANTEE:
                unproven.append(name)
    assert unproven == []
