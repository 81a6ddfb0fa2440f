"""What a dataset is: plan nodes, the steps on records, and where they were asked for."""

from penstock.plan.actions import Calling, Deciding, OnDriver, Undone
from penstock.plan.explain import debug_string
from penstock.plan.forms import Form, Lists, States, explained, forms_of
from penstock.plan.fusing import as_columns, row_type_of
from penstock.plan.metrics import ROWS, Metrics, counted, counting_in, current_metrics, records_in
from penstock.plan.nodes import (
    ChunkStep,
    Fold,
    FoldStep,
    Gather,
    Narrow,
    Node,
    PartitionReader,
    Router,
    Shuffle,
    Source,
    Step,
    Task,
    concatenated,
    run_fused,
)
from penstock.plan.records import (
    Filter,
    FlatMap,
    Map,
    MapPartitions,
    chunked,
    must_be_callable,
    raise_located,
)
from penstock.plan.sites import asked_at, call_site
from penstock.plan.slices import RangeReader, SliceReader, slices
from penstock.plan.storage_level import StorageLevel

__all__ = [
    "ROWS",
    "Calling",
    "ChunkStep",
    "Deciding",
    "Filter",
    "FlatMap",
    "Fold",
    "FoldStep",
    "Form",
    "Gather",
    "Lists",
    "Map",
    "MapPartitions",
    "Metrics",
    "Narrow",
    "Node",
    "OnDriver",
    "PartitionReader",
    "RangeReader",
    "Router",
    "Shuffle",
    "SliceReader",
    "Source",
    "States",
    "Step",
    "StorageLevel",
    "Task",
    "Undone",
    "as_columns",
    "asked_at",
    "call_site",
    "chunked",
    "concatenated",
    "counted",
    "counting_in",
    "current_metrics",
    "debug_string",
    "explained",
    "forms_of",
    "must_be_callable",
    "raise_located",
    "records_in",
    "row_type_of",
    "run_fused",
    "slices",
]
