"""State on the workers of a real cluster, which lose their processes meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from penstock.testing.cluster import LocalCluster

PROGRAM = """
    import json, sys
    from pathlib import Path
    from penstock import Conf, Context, StateSpec, StreamingContext
    from penstock.clock import ManualClock
    from penstock.testing import Stepper

    master, directory = sys.argv[1:]
    local = master.startswith("local")

    def counted(key, value, state):
        if state.isTimingOut():
            return (key, "over", state.get())
        state.update([*(state.getOption() or []), value][-5:])
        return (key, sum(state.get()))

    def summed(key, value, state):
        state.update(value + (state.get() if state.exists() else 0))

    def appended(values, state):
        return [*(state or []), *values][-5:]

    def dropped(pairs):
        for key, values, state in pairs:
            total = (state or 0) + sum(values)
            if total % 7:
                yield (key, total)

    conf = Conf().setMaster(master).set("penstock.state.home", "cluster")
    with Context(conf=conf) as sc:
        sc.setCheckpointDir(directory)
        clock, found = ManualClock(), []
        ssc = StreamingContext(sc, 1, clock=clock)
        batches = [[((key * at) % 40, key) for key in range(400)] for at in (1, 2, 3, 0, 4, 5, 6)]
        pairs = ssc.queueStream([sc.parallelize(batch, 2) for batch in batches])
        mapped = pairs.mapWithState(StateSpec.function(counted).numPartitions(2).timeout(2))
        sums = pairs.mapWithState(StateSpec.function(summed).numPartitions(2)).name("sums").stateSnapshots()
        streams = [mapped, sums, pairs.updateStateByKey(appended, 2), pairs.updateStateByKey(dropped, 2)]
        for stream in streams:
            stream.foreachRDD(lambda rdd: found.append(rdd.collect()))
        with Stepper(ssc, clock) as stepper:
            for at in range(len(batches)):
                stepper.step()
                found.append(ssc.state("sums").get(3))
                if not local:
                    print("batch", at, flush=True)
                    sys.stdin.readline()
        files = list(Path(directory).rglob("*.image"))
    print(json.dumps([found, bool(files)]), flush=True)
"""


def started(master: str, directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(PROGRAM), master, str(directory)],
        env={**os.environ, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


@pytest.mark.long
def test_it_is_the_same_as_in_one_process_whatever_dies(spark_cluster: LocalCluster, tmp_path: Path) -> None:
    here, _ = started("local[2]", tmp_path / "here").communicate(timeout=120)
    program = started(spark_cluster.url, tmp_path / "there")
    assert program.stdin is not None
    assert program.stdout is not None
    for line in program.stdout:
        if not line.startswith("batch"):
            there = line
            break
        if line.split()[1] in ("1", "4"):
            spark_cluster.kill_python_workers()
        if line.split()[1] == "2":
            spark_cluster.kill_executors()
        program.stdin.write("\n")
        program.stdin.flush()
    program.communicate(timeout=60)
    (wanted, no_files), (found, files) = json.loads(here), json.loads(there)
    assert found == wanted
    assert files
    assert not no_files
