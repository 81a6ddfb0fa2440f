"""Stages of jobs that are computed in other processes, on this machine or another."""

from penstock.executors.remote.crew import Crew, Ready, Shipment, runs_python
from penstock.executors.remote.stages import RemoteStages
from penstock.executors.remote.tasks import (
    Outcome,
    Pickle,
    Programs,
    must_be_sendable,
    perform,
    pickled_value,
    program_of,
    refused,
)
from penstock.executors.remote.together import Batch, TooLarge, groves_of

__all__ = [
    "Batch",
    "Crew",
    "Outcome",
    "Pickle",
    "Programs",
    "Ready",
    "RemoteStages",
    "Shipment",
    "TooLarge",
    "groves_of",
    "must_be_sendable",
    "perform",
    "pickled_value",
    "program_of",
    "refused",
    "runs_python",
]
