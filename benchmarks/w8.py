"""W8: from the start of the process to the first batch on disk, beside importing what Penstock stands on.

The process that is timed says when its batch is there; what it used until then it says as well.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from benchmarks.data import emptied
from benchmarks.engines import ROOT
from benchmarks.measure import Figures
from benchmarks.workload import Engine, Workload

__all__ = ["workloads"]

PROGRAM = """
import sys
from penstock import Context, StreamingContext
directory, output = sys.argv[1:]
with Context("local[*]", "W8") as sc:
    ssc = StreamingContext(sc, 1)
    words = ssc.textFileStream(directory, newFilesOnly=False).flatMap(lambda line: line.split())
    words.map(lambda word: (word, 1)).reduceByKey(lambda a, b: a + b).saveAsTextFiles(output, "txt")
    ssc.start(availableNow=True)
    ssc.awaitTermination()
"""
IMPORTS = """
import click, cloudpickle, fsspec, numpy, rich
import pyarrow, pyarrow.compute, pyarrow.csv
"""
# A file counts for it if it comes after the start, and batches before that are empty.
SPARK = """
import os, sys, time, warnings
from pathlib import Path
warnings.simplefilter("ignore")
os.environ["PYSPARK_PYTHON"] = sys.executable
from pyspark import SparkConf, SparkContext
from pyspark.streaming import StreamingContext
directory, output = sys.argv[1:]
sc = SparkContext("local[*]", "W8", conf=SparkConf().set("spark.ui.enabled", "false"))
sc.setLogLevel("OFF")
ssc = StreamingContext(sc, 1)
words = ssc.textFileStream(directory).flatMap(lambda line: line.split())
words.map(lambda word: (word, 1)).reduceByKey(lambda a, b: a + b).saveAsTextFiles(output, "txt")
ssc.start()
Path(directory, ".b").write_text("to be or not to be\\n")
os.replace(Path(directory, ".b"), Path(directory, "b.txt"))
folder = Path(output).parent
def written():
    return [d for d in folder.glob("*/_SUCCESS") if any(p.stat().st_size for p in d.parent.glob("part-*"))]
while not written():
    time.sleep(0.01)
"""
SAID = """
print("written", flush=True)
import json
from benchmarks.measure import cpu_seconds, peak_rss_mib
print(json.dumps({"cpu_seconds": cpu_seconds(), "peak_rss_mib": peak_rss_mib()}), flush=True)
"""
STOP = "ssc.stop()\n"


def streamed(program: str, name: str, folder: Path) -> Figures:
    """One small file, words counted, one directory written."""
    directory, output = emptied(folder / f"w8-{name}-input"), emptied(folder / f"w8-{name}-output")
    (directory / "a.txt").write_text("to be or not to be\n")
    figures = _until_written(program, str(directory), str(output / "counts"))
    written = "".join(part.read_text() for part in output.glob("counts-*.txt/part-*"))
    assert sorted(written.splitlines()) == ["('be', 2)", "('not', 1)", "('or', 1)", "('to', 2)"], written
    return figures


def imports(folder: Path) -> Figures:
    """Nothing but the hard dependencies."""
    return _until_written(IMPORTS + SAID)


def _until_written(program: str, *arguments: str) -> Figures:
    """Seconds from the start of a process until it says so, and what it used."""
    begun = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        seconds = time.perf_counter() - begun
        used: Figures = json.loads(process.stdout.readline() or "{}")
    assert process.returncode == 0, "the program failed"
    assert said == "written\n", said
    return {"seconds": seconds, **used}


def workloads(*, quick: bool) -> dict[str, Workload]:
    engines: dict[str, Engine] = {
        "penstock": partial(streamed, PROGRAM + SAID, "penstock"),
        "imports": imports,
        "pyspark": partial(streamed, SPARK + SAID + STOP, "pyspark"),
    }
    return {"W8": Workload("from the start of the process to the first batch written", "imports", engines)}
