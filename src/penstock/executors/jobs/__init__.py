"""How a job is computed, wherever that is: what comes first, what is kept, what can be cut out."""

from penstock.executors.jobs.ahead import ReadAhead, partitions_stand_alone
from penstock.executors.jobs.cut import Cut, GatherLink, Given, Inputs, Link, NarrowLink, put_together
from penstock.executors.jobs.job import LISTED, Job, Stage
from penstock.executors.jobs.kept import Kept
from penstock.executors.jobs.lying import Lying
from penstock.executors.jobs.passes import Branch, OnePass, branches_of, pass_over, put, readers_in

__all__ = [
    "LISTED",
    "Branch",
    "Cut",
    "GatherLink",
    "Given",
    "Inputs",
    "Job",
    "Kept",
    "Link",
    "Lying",
    "NarrowLink",
    "OnePass",
    "ReadAhead",
    "Stage",
    "branches_of",
    "partitions_stand_alone",
    "pass_over",
    "put",
    "put_together",
    "readers_in",
]
