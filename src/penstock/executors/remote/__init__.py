"""Stages of jobs that are computed in other processes, on this machine or another."""

from penstock.executors.remote.crew import Crew, Ready, Shipment, runs_python
from penstock.executors.remote.leaving import AtHand, Leaving, Piece, left_in
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
from penstock.executors.remote.together import Batch, groves_of

__all__ = [
    "AtHand",
    "Batch",
    "Crew",
    "Leaving",
    "Outcome",
    "Pickle",
    "Piece",
    "Programs",
    "Ready",
    "RemoteStages",
    "Shipment",
    "groves_of",
    "left_in",
    "must_be_sendable",
    "perform",
    "pickled_value",
    "program_of",
    "refused",
    "runs_python",
]
