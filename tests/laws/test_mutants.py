"""The laws catch an engine that is wrong: each mutant breaks one rule, and some random graph must show it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from penstock.chunk import Rows
from penstock.dstream import waves
from penstock.errors import PenstockError
from penstock.plan import Narrow
from penstock.plan.records import Map
from penstock.rdd import aggregation, grouping, indexing, ordering, pair
from penstock.state.arrays import KeyArrays
from penstock.testing import Graph
from penstock.testing.strategies import rdd_graphs
from penstock.vectorize import mapping as vectorize_mapping
from penstock.vectorize import tracing
from tests.dstream.test_mapping_on_columns import graphs as mapped_graphs
from tests.dstream.test_mapping_on_columns import law as law_of_columns
from tests.laws.engine import CHUNKS
from tests.laws.test_rdd_graphs import check

Mutate = Callable[[pytest.MonkeyPatch], None]

pytestmark = pytest.mark.long


def no_copies_for_several_readers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Rows, "isolated", lambda self: Rows(list(self.rows())))


def lent_to_functions_that_change_it(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Map, "on_lent", lambda self: self)


def lent_whatever_is_in_it(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Rows, "lent", lambda self: self)


def joined_values_are_shared(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(grouping, "isolated", lambda value: value)


def records_of_a_product_are_shared(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(indexing, "isolated", lambda value: value)


def equal_nans_are_one_key(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(pair, "distinct_nans", lambda keys: keys)


def partials_are_merged_from_the_last(patch: pytest.MonkeyPatch) -> None:
    def merge(self: Any, groups: dict[Any, Any], pairs: list[Any]) -> None:
        for key, value in pairs:
            groups[key] = self.merge_combiners(value, groups[key]) if key in groups else value

    patch.setattr(aggregation.Aggregator, "merge", merge)


def the_last_key_is_kept(patch: pytest.MonkeyPatch) -> None:
    def fold(groups: dict[Any, Any], pairs: list[Any], function: Any, by: Any) -> None:
        for key, value in pairs:
            groups[key] = function(groups.pop(key), value) if key in groups else value

    patch.setattr(aggregation, "_fold", fold)


def equal_keys_are_sorted_unstably(patch: pytest.MonkeyPatch) -> None:
    plain = ordering.sort_keys
    patch.setattr(
        ordering, "sort_keys", lambda pairs, f, site: [(k, -i) for i, k in enumerate(plain(pairs, f, site))]
    )


def each_partition_begins_at_the_first_target(patch: pytest.MonkeyPatch) -> None:
    plain = indexing.coalesced
    patch.setattr(
        "penstock.rdd.transformations.coalesced", lambda plan, count, site: plain(plan, count + 1, site)
    )


def indexes_begin_afresh_in_each_partition(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(indexing.ZipWithIndex, "needs_summary", lambda self, partitions: False)


def shared_nodes_are_computed_in_the_wrong_order(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Narrow, "parents", property(lambda self: ()))


def _one_wave(codes: Any, sizes: Any, large: Any) -> list[Any]:
    return [np.arange(len(codes)), np.zeros(0, np.int64)]


def all_records_of_a_key_are_in_one_wave(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(waves, "_waves", _one_wave)


def what_is_returned_comes_wave_by_wave(patch: pytest.MonkeyPatch) -> None:
    plain = waves.concatenated_columns

    class InPlace:
        def __init__(self, parts: Any) -> None:
            self.whole = plain(parts)

        def take(self, places: Any) -> Any:
            return self.whole

    patch.setattr(waves, "concatenated_columns", InPlace)


def a_key_that_comes_back_has_its_old_place(patch: pytest.MonkeyPatch) -> None:
    plain = waves.Keys.take

    def take(self: Any, which: Any, rows: Any, made: Any, *, keeps_time: bool) -> None:
        plain(self, which, rows, made, keeps_time=keeps_time)
        self.gone &= ~self.there

    patch.setattr(waves.Keys, "take", take)


def new_keys_are_put_by_their_first_record(patch: pytest.MonkeyPatch) -> None:
    """And not by the one that has set their state."""
    plain = waves.Keys.take

    def take(self: Any, which: Any, rows: Any, made: Any, *, keeps_time: bool) -> None:
        plain(self, which, rows, made, keeps_time=keeps_time)
        self.born[:] = 0

    patch.setattr(waves.Keys, "take", take)


def what_is_computed_in_vain_raises_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tracing, "_known", {})  # nothing that was traced before
    patch.setattr(vectorize_mapping, "dropped", lambda made, kept: ())


def a_record_that_leaves_the_state_alone_is_no_news(patch: pytest.MonkeyPatch) -> None:
    plain = waves.Keys.take

    def take(self: Any, which: Any, rows: Any, made: Any, *, keeps_time: bool) -> None:
        plain(self, which, rows, made, keeps_time=False)

    patch.setattr(waves.Keys, "take", take)


def keys_of_equal_hashes_are_one(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(KeyArrays, "hashes", lambda self, leaves: np.full(len(leaves[0]), 7, np.uint32))
    patch.setattr(KeyArrays, "same", lambda self, leaves, keys, slots: np.ones(len(keys), np.bool_))


STATE_MUTANTS: list[Mutate] = [
    all_records_of_a_key_are_in_one_wave,
    what_is_returned_comes_wave_by_wave,
    a_key_that_comes_back_has_its_old_place,
    new_keys_are_put_by_their_first_record,
    what_is_computed_in_vain_raises_nothing,
    a_record_that_leaves_the_state_alone_is_no_news,
    keys_of_equal_hashes_are_one,
]

MUTANTS: list[Mutate] = [
    no_copies_for_several_readers,
    lent_to_functions_that_change_it,
    lent_whatever_is_in_it,
    joined_values_are_shared,
    records_of_a_product_are_shared,
    equal_nans_are_one_key,
    partials_are_merged_from_the_last,
    the_last_key_is_kept,
    equal_keys_are_sorted_unstably,
    each_partition_begins_at_the_first_target,
    indexes_begin_afresh_in_each_partition,
    shared_nodes_are_computed_in_the_wrong_order,
]


@pytest.mark.parametrize("mutate", MUTANTS)
def test_a_wrong_engine_is_found_out(monkeypatch: pytest.MonkeyPatch, mutate: Mutate) -> None:
    @settings(
        max_examples=1_500,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(graph=rdd_graphs(), chunk_rows=st.sampled_from(CHUNKS))
    def law(graph: Graph, chunk_rows: int) -> None:
        check(graph, "local[2]", chunk_rows)

    mutate(monkeypatch)
    with pytest.raises((AssertionError, PenstockError, KeyError, TypeError)):
        law()


@pytest.mark.parametrize("mutate", STATE_MUTANTS)
def test_states_in_columns_that_are_wrong_are_found_out(
    monkeypatch: pytest.MonkeyPatch, mutate: Mutate
) -> None:
    @settings(
        max_examples=1_500,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(graph=mapped_graphs())
    def wrong(graph: Graph) -> None:
        law_of_columns(graph)

    mutate(monkeypatch)
    with pytest.raises((AssertionError, PenstockError, KeyError, TypeError)):
        wrong()
