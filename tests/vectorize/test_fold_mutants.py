"""Folds, groups, sorts and states with a trap left open: each must be noticed by a comparison with rows.

The traps are those in which Arrow's, or numpy's, idea of equality, order and size is not Python's.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import add, mul
from typing import Any

import numpy as np
import pytest

from penstock import Context
from penstock.chunk import Columns, exact_row_type
from penstock.errors import CallSite
from penstock.plan import Source
from penstock.plan.slices import SliceReader
from penstock.rdd import RDD
from penstock.testing import same
from penstock.vectorize import accumulators, encoding, programs, sorting, states
from tests.laws.engine import engine

SITE = CallSite("test")
NAN = float("nan")
BIG = 2**62
Rows = list[Any]

INTS = [("a", 5), ("b", BIG), ("a", 7), ("b", BIG), ("c", -1), ("b", BIG)]
FLOATS = [("a", 0.1), ("a", 0.2), ("b", 1e16), ("a", 0.3), ("b", 1.0), ("b", -1e16), ("a", -0.0)]
MANY = [("a", 1 / (n + 1) * (-1) ** (n // 3)) for n in range(40)]
LONE = [("a", -0.0), ("b", 1.0), ("c", -0.0)]
ZEROS = [("a", 0.0), ("a", -0.0), ("b", -0.0), ("b", 0.0)]
NANS = [("a", 1.0), ("a", NAN), ("a", 2.0), ("b", NAN), ("b", 1.0)]
ZERO_KEYS = [(0.0, 1), (-0.0, 2), (1.5, 3), (0.0, 4)]
NAN_KEYS = [(NAN, 1), (NAN, 2), (1.5, 3)]
LATE_KEYS = [("b", 1), ("a", 2), ("c", 3), ("a", 4), ("b", 5)]
TEXTS = [("é", 1), ("z", 2), ("Z", 3), ("e", 4), ("z", 5)]


def larger(one: Any, other: Any) -> Any:
    return one if one > other else other


SUMMED = (INTS, FLOATS, MANY, LONE, ZEROS, ZERO_KEYS, NAN_KEYS)
GROUPED = (LATE_KEYS, ZERO_KEYS, NAN_KEYS)
SORTED = (LATE_KEYS, TEXTS, ZERO_KEYS, NAN_KEYS)
Work = Callable[[RDD], Any]
CASES: list[tuple[Rows, Work]] = [
    *((rows, lambda rdd: rdd.reduceByKey(add, 1).collect()) for rows in SUMMED),
    *((rows, lambda rdd: rdd.reduceByKey(larger, 1).collect()) for rows in (INTS, ZEROS, NANS)),
    *((rows, lambda rdd: rdd.reduceByKey(min, 1).collect()) for rows in (ZEROS, NANS)),
    *((rows, lambda rdd: rdd.groupByKey(1).mapValues(list).collect()) for rows in GROUPED),
    (INTS, lambda rdd: rdd.reduceByKey(mul, 1).collect()),
    (LATE_KEYS, lambda rdd: rdd.reduceByKey(lambda a, b: b, 1).collect()),
    (LATE_KEYS, lambda rdd: rdd.reduceByKey(lambda a, b: a, 1).collect()),
    *((rows, lambda rdd: rdd.sortByKey(True, 1).collect()) for rows in SORTED),
    *((rows, lambda rdd: rdd.sortByKey(False, 1).collect()) for rows in (LATE_KEYS, TEXTS, ZERO_KEYS)),
    (FLOATS, lambda rdd: rdd.values().sum()),
    (ZEROS, lambda rdd: [rdd.values().sum(), rdd.filter(lambda p: p[0] == "b").values().sum()]),
]  # fmt: skip


def on(rows: Rows, work: Work, context: Context, *, columns: bool) -> Any:
    """In chunks of two, so that folds go on from chunk to chunk."""
    row_type = exact_row_type(rows)
    pieces = [rows[at : at + 2] for at in range(0, len(rows), 2)]
    chunks = [Columns.from_rows(piece, row_type) for piece in pieces] if columns else None
    reader = SliceReader(chunks) if chunks is not None else SliceReader.of(list(rows))
    try:
        return work(RDD(Source(SITE, [reader]), context))
    except Exception as error:
        return type(error)


def differences() -> int:
    """In how many cases columns are not what rows are."""
    found = 0
    with pytest.MonkeyPatch.context() as patch, engine("local[1]") as context:
        patch.setattr(programs, "WORTH_ROWS", 0)
        for rows, work in CASES:
            wanted = on(rows, work, context, columns=False)
            got = on(rows, work, context, columns=True)
            found += not same(got, wanted)
    return found


def test_without_a_mutant_all_is_the_same() -> None:
    assert differences() == 0


def sums_wrap(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(accumulators._Sum, "_check", lambda self, values: None)


def products_wrap(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(accumulators._Product, "prepared", accumulators._Numbers.prepared)


def extremes_by_numpy(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(accumulators._Extreme, "_check", lambda self, values: None)


def sums_begin_at_zero(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(accumulators._Sum, "_start", lambda self: 0)


def floats_are_added_pairwise(patch: pytest.MonkeyPatch) -> None:
    def fold(self: Any, slots: Any, values: Any) -> None:
        for slot in np.unique(slots):
            self.partials[slot] = values[slots == slot][::-1].sum() + self.partials[slot]

    patch.setattr(accumulators._Sum, "_fold", fold)


def keys_as_arrow_tells_them_apart(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(encoding.np, "signbit", lambda values: np.zeros(len(values), np.bool_))


def nans_are_one_key(patch: pytest.MonkeyPatch) -> None:
    plain = encoding._of_leaf

    def of_leaf(array: Any) -> Any:
        try:
            return plain(array)
        except encoding.Refused:
            return encoding._of_ints(
                np.frombuffer(array.buffers()[1], np.int64, len(array), array.offset * 8)
            )

    patch.setattr(encoding, "_of_leaf", of_leaf)


def the_first_value_is_the_last(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(accumulators, "_First", accumulators._Last)
    patch.setitem(accumulators._BY_FOLD, "first", accumulators._Last)


def keys_come_in_their_order(patch: pytest.MonkeyPatch) -> None:
    plain = encoding.encoded

    def encoded(leaves: Any, length: int) -> Any:
        codes, count = plain(leaves, length)
        return (count - 1 - codes if count > 1 else codes), count

    patch.setattr(encoding, "encoded", encoded)
    patch.setattr("penstock.vectorize.folds.encoded", encoded)


def values_of_a_key_are_not_in_order(patch: pytest.MonkeyPatch) -> None:
    plain = np.argsort
    patch.setattr(
        "penstock.chunk.grouped.np.argsort",
        lambda a, kind=None: len(a) - 1 - plain(a[::-1], kind="stable"),
    )


def equal_keys_are_turned_round(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sorting.SortKeys, "order", lambda self, *, ascending: _backwards(self, ascending))


def _backwards(keys: Any, ascending: bool) -> Any:
    order = np.lexsort([sorting._numbers(part)[::-1] for part in keys.parts][::-1])
    order = keys.length - 1 - order
    return order if ascending else order[::-1]


def texts_sort_without_accents(patch: pytest.MonkeyPatch) -> None:
    plain = sorting._comparable

    def comparable(kind: type, array: Any) -> Any:
        if kind is str:
            lowered = [text.lower().replace("é", "e") for text in array.to_pylist()]
            return Columns.from_rows(lowered).leaves[0]
        return plain(kind, array)

    patch.setattr(sorting, "_comparable", comparable)


def nans_sort_last(patch: pytest.MonkeyPatch) -> None:
    plain = sorting._comparable

    def comparable(kind: type, array: Any) -> Any:
        if kind is float:
            return np.frombuffer(array.buffers()[1], np.float64, len(array), array.offset * 8)
        return plain(kind, array)

    patch.setattr(sorting, "_comparable", comparable)


MUTANTS = [
    sums_wrap, products_wrap, extremes_by_numpy, sums_begin_at_zero, floats_are_added_pairwise,
    keys_as_arrow_tells_them_apart, nans_are_one_key, the_first_value_is_the_last, keys_come_in_their_order,
    values_of_a_key_are_not_in_order, equal_keys_are_turned_round, texts_sort_without_accents, nans_sort_last,
]  # fmt: skip


@pytest.mark.parametrize("mutate", MUTANTS)
def test_a_trap_left_open_is_noticed(mutate: Callable[[pytest.MonkeyPatch], None]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        mutate(patch)
        assert differences() > 0


def test_a_state_that_wraps_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    news = Columns.from_rows([1, 2])
    grouped = states.Grouped(Columns.from_rows(["a"]), np.array([0, 2]), Columns.from_rows([BIG, BIG]))
    plan = states.state_plan(lambda values, total: sum(values) + (total or 0), news.row_type, None)
    assert isinstance(plan, states.StatePlan)
    assert plan.attempt(None, grouped, grouped.keys.row_type) is None
