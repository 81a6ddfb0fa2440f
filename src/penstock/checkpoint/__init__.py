"""Checkpoints: what a program needs to go on after a crash, and how it is found again.

``frames`` is the form of the files, ``codec`` how chunks lie in them, ``image`` what their records mean,
``journal`` which files there are and who may write them, ``checkpoint`` the life of one that is in use.
"""

from penstock.checkpoint.checkpoint import (
    Checkpoint,
    Planned,
    RecordedBatch,
    intent_in,
    must_trust,
    recorded_batches,
)
from penstock.checkpoint.frames import FORMAT
from penstock.checkpoint.image import Commit, Image, InputRecord, OperatorRecord, Plain, begin_record
from penstock.checkpoint.journal import Journal, Loaded

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
