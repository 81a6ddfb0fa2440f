"""Checkpoints: what a program needs to go on after a crash, and how it is found again.

``image`` is what the records of its files mean, ``journal`` which files there are and who may write them,
``checkpoint`` the life of one that is in use.
"""

from penstock.checkpoint.checkpoint import (
    Checkpoint,
    Planned,
    RecordedBatch,
    intent_in,
    must_trust,
    recorded_batches,
)
from penstock.checkpoint.image import Commit, Image, InputRecord, OperatorRecord, Plain, begin_record
from penstock.checkpoint.journal import Journal, Loaded
from penstock.encoding import FORMAT

__all__ = [
    "FORMAT",
    "Checkpoint",
    "Commit",
    "Image",
    "InputRecord",
    "Journal",
    "Loaded",
    "OperatorRecord",
    "Plain",
    "Planned",
    "RecordedBatch",
    "begin_record",
    "intent_in",
    "must_trust",
    "recorded_batches",
]
