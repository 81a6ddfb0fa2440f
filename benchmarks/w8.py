"""W8: from the start of the process to the first batch on disk, beside importing what Penstock stands on."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

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
    print("written", flush=True)
"""
IMPORTS = """
import click, cloudpickle, fsspec, numpy, rich
import pyarrow, pyarrow.compute, pyarrow.csv
print("written", flush=True)
"""


def penstock(folder: Path) -> dict[str, float]:
    """One small file, words counted, one directory written."""
    directory, output = folder / "w8-input", folder / "w8-output"
    shutil.rmtree(output, ignore_errors=True)
    directory.mkdir(exist_ok=True)
    (directory / "a.txt").write_text("to be or not to be\n")
    seconds = _until_written(PROGRAM, str(directory), str(output / "counts"))
    assert len(list(output.glob("counts-*.txt/_SUCCESS"))) == 1, "no batch was written"
    return {"seconds": seconds}


def imports(folder: Path) -> dict[str, float]:
    """Nothing but the hard dependencies."""
    return {"seconds": _until_written(IMPORTS)}


def _until_written(program: str, *arguments: str) -> float:
    """Seconds from the start of a process until it says so."""
    begun = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        seconds = time.perf_counter() - begun
    assert process.returncode == 0, "the program failed"
    assert said == "written\n", said
    return seconds


ENGINES = {"penstock": penstock, "imports": imports}
BASE = "imports"
UNIT = "from the start of the process to the first batch written"
