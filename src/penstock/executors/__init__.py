"""Who runs plans."""

from penstock.executors.base import Executor, Prefetch, Together
from penstock.executors.local import LocalExecutor

__all__ = ["Executor", "LocalExecutor", "Prefetch", "Together"]
