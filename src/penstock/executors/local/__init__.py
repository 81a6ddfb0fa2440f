"""The executor of one process."""

from penstock.executors.local.executor import LocalExecutor

__all__ = ["LocalExecutor"]
