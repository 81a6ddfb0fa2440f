"""The test kit: run a stream on a manual clock, compare what comes out, know what should come out.

:mod:`penstock.testing.strategies`, for Hypothesis, is not loaded here: import it by name.
"""

from penstock.clock import ManualClock
from penstock.testing.assertions import assert_batches_equal, same
from penstock.testing.crashes import Crashes, CrashPoint, crash_everywhere
from penstock.testing.graphs import Apply, Batches, Graph, Hole, Records, Template, as_rdd, as_stream
from penstock.testing.reference import Partitions, Raised, evaluate
from penstock.testing.reference_streams import evaluate_batches
from penstock.testing.runs import CollectingSink, Stepper, run_batches

__all__ = [
    "Apply",
    "Batches",
    "CollectingSink",
    "CrashPoint",
    "Crashes",
    "Graph",
    "Hole",
    "ManualClock",
    "Partitions",
    "Raised",
    "Records",
    "Stepper",
    "Template",
    "as_rdd",
    "as_stream",
    "assert_batches_equal",
    "crash_everywhere",
    "evaluate",
    "evaluate_batches",
    "run_batches",
    "same",
]
