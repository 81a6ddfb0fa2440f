"""Stages of jobs that are computed in other processes, on this machine or another."""

from penstock.executors.remote.crew import Crew, Ready, Shipment, runs_python
from penstock.executors.remote.stages import RemoteStages
from penstock.executors.remote.tasks import Outcome, Programs, perform, program_of, refused
from penstock.executors.remote.together import Batch, TooLarge, groves_of

__all__ = [
    "Batch",
    "Crew",
    "Outcome",
    "Programs",
    "Ready",
    "RemoteStages",
    "Shipment",
    "TooLarge",
    "groves_of",
    "perform",
    "program_of",
    "refused",
    "runs_python",
]
