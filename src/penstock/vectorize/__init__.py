"""What user functions mean on whole columns, found by running them once on symbols.

::

    purity      may this function be traced at all: its bytecode
    twins       what it finds under the names it reads (class_twins, members); guards: whether it is the same
    paths       the ways it can go; symbols, instances, members: what it is given
    tracing     all ways put together: expressions
    programs    expressions on the columns of a chunk; kernels: each operation, proven against Python
    folds       folds by key on columns; states, mapping: functions with the state of a key
    limits      which indexes a function of (record, index) lets through at most
    sorting     the order of keys; joining: which rows of two sides have the same key
    reading     does a function do nothing but take items of its argument
"""

from penstock.vectorize.encoding import codes_of_keys
from penstock.vectorize.flattening import Flattening, flattening
from penstock.vectorize.folding import FoldPlan, fold_plan, halves_of, takes_back
from penstock.vectorize.folds import KeyedFold, KeyIndex, folded_row_by_row
from penstock.vectorize.grouping import KeyedGrouping
from penstock.vectorize.joining import TwoSides, combined_type
from penstock.vectorize.limits import index_limit
from penstock.vectorize.mapping import MappingPlan, mapping_plan
from penstock.vectorize.programs import REFUSALS, Chain, holding
from penstock.vectorize.reading import fields_read, item_read, only_reads_items
from penstock.vectorize.sorting import SortKeys, alike, joined, must_compare
from penstock.vectorize.states import StatePlan, state_plan
from penstock.vectorize.tracing import Traced, Untraced, trace, trace_filter, trace_items
from penstock.vectorize.twins import HOLDERS

__all__ = [
    "HOLDERS",
    "REFUSALS",
    "Chain",
    "Flattening",
    "FoldPlan",
    "KeyIndex",
    "KeyedFold",
    "KeyedGrouping",
    "MappingPlan",
    "SortKeys",
    "StatePlan",
    "Traced",
    "TwoSides",
    "Untraced",
    "alike",
    "codes_of_keys",
    "combined_type",
    "fields_read",
    "flattening",
    "fold_plan",
    "folded_row_by_row",
    "halves_of",
    "holding",
    "index_limit",
    "item_read",
    "joined",
    "mapping_plan",
    "must_compare",
    "only_reads_items",
    "state_plan",
    "takes_back",
    "trace",
    "trace_filter",
    "trace_items",
]
