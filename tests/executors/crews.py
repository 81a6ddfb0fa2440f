"""Contexts with worker processes, for tests."""

from __future__ import annotations

from typing import Any

from penstock import Conf, Context
from penstock.executors.processes import ProcessCrew

__all__ = ["crew_of", "with_workers"]


def with_workers(count: int, *, inline_rows: int = 0, max_failures: int = 4) -> Context:
    """A context whose Python runs in so many processes, however little there is to do."""
    conf = Conf().setMaster(f"local[{count}]").set("penstock.python.workers", "processes")
    conf.set("penstock.local.inlineRows", inline_rows).set("spark.task.maxFailures", max_failures)
    return Context(conf=conf)


def crew_of(sc: Context) -> ProcessCrew:
    """Who works for a context."""
    executor: Any = sc._executor
    crew: ProcessCrew = executor._crew
    return crew
