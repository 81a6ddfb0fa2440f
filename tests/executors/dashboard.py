"""The brokerage dashboard over files, one a batch: what it writes is the same on every executor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from penstock import Context, StreamingContext
from penstock.brokerage.pipeline import figures_of
from penstock.clock import ManualClock
from penstock.testing import Stepper

__all__ = ["figures"]


def figures(sc: Context, orders: Path, out: Path, batches: int) -> dict[str, Any]:
    """The report of each batch, by the name of its directory, and the rejected lines."""
    clock = ManualClock()
    sc.setCheckpointDir(str(out / "rdds"))
    ssc = StreamingContext(sc, 1, clock=clock)
    lines = ssc.textFileStream(str(orders), newFilesOnly=False, maxFilesPerBatch=1)
    found = figures_of(lines, 3.0)
    rejects: list[Any] = []
    found.rejects.foreachRDD(lambda rdd: rejects.extend(rdd.collect()))
    found.report.saveAsTextFiles(str(out / "figures"), "txt")
    with Stepper(ssc, clock) as stepper:
        for _ in range(batches):
            stepper.step()
    report: dict[str, Any] = {
        path.name: b"".join(part.read_bytes() for part in sorted(path.glob("part-*")))
        for path in sorted(out.glob("figures-*.txt"))
    }
    report["rejects"] = [(Path(reject.source).name, reject.number, reject.text) for reject in rejects]
    return report
