"""Who runs plans."""

from penstock.executors.base import Executor, Prefetch, Together
from penstock.executors.local import LocalExecutor
from penstock.executors.processes import ProcessCrew

__all__ = ["Executor", "LocalExecutor", "Prefetch", "ProcessCrew", "Together"]
