"""RDD: a dataset one can call methods on, and what belongs to it."""

from penstock.rdd.aggregation import (
    Aggregator,
    CombineValues,
    Distinct,
    Grouping,
    Reducing,
    ReducingAll,
    aggregated,
)
from penstock.rdd.pair import PairStep, checked_pairs, keys_of, raise_for_key, with_distinct_nans
from penstock.rdd.parsing import Accepted, Parse, Rejected, accepted, no_rejects
from penstock.rdd.partitioner import KeyRouter, Partitioner, Partitioning, partition_count, partitioner_of
from penstock.rdd.rdd import RDD
from penstock.rdd.result_iterable import ResultIterable
from penstock.rdd.runner import Runner
from penstock.rdd.statistics import StatCounter
from penstock.rdd.variables import (
    Accumulator,
    AccumulatorParam,
    Broadcast,
    Variables,
    adding_up,
    forget_broadcasts,
    noting_variables,
    receive_broadcast,
)

__all__ = [
    "RDD",
    "Accepted",
    "Accumulator",
    "AccumulatorParam",
    "Aggregator",
    "Broadcast",
    "CombineValues",
    "Distinct",
    "Grouping",
    "KeyRouter",
    "PairStep",
    "Parse",
    "Partitioner",
    "Partitioning",
    "Reducing",
    "ReducingAll",
    "Rejected",
    "ResultIterable",
    "Runner",
    "StatCounter",
    "Variables",
    "accepted",
    "adding_up",
    "aggregated",
    "checked_pairs",
    "forget_broadcasts",
    "keys_of",
    "no_rejects",
    "noting_variables",
    "partition_count",
    "partitioner_of",
    "raise_for_key",
    "receive_broadcast",
    "with_distinct_nans",
]
