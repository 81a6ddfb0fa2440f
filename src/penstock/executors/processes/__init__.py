"""Worker processes of this machine."""

from penstock.executors.processes.crew import ProcessCrew

__all__ = ["ProcessCrew"]
