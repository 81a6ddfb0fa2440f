"""Versions of state as columns: they are what versions of Python objects are."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.chunk import Columns, Scalar, Tuple
from penstock.errors import RowTypeError
from penstock.state import ColumnVersion, RowVersion, Version
from penstock.state import columns as module
from penstock.state.counterparts import NONE_EQUAL, counterpart
from tests.state.model import Versions

TEXTS = st.sampled_from(["", "a", "b", "ab", "ba", "\u00e9", "e\u0301", "\U0001f600", "a\0", "x" * 300])
INTS = st.sampled_from([0, 1, -1, 7, 2**63 - 1, -(2**63), 2**32, 5, 6, 8])
FLOATS = st.sampled_from([0.0, 1.0, -1.5, float("inf"), 2.0**53, 5e-324, 3.0])


class _Columns(Versions):
    module = module

    def made_of(self, pairs: list[tuple[Any, Any]], time: int) -> Version:
        try:
            return ColumnVersion.of_pairs(Columns.from_rows(pairs), time)
        except RowTypeError:
            return self.otherwise(pairs, time)

    def otherwise(self, pairs: list[tuple[Any, Any]], time: int) -> Version:
        key_type, state_type = self.types
        if not pairs:
            return ColumnVersion.empty(key_type, state_type)
        return RowVersion.of(pairs, time)

    types: Any = (Scalar(int), Scalar(float))


class Ints(_Columns):
    """What fits."""

    keys = INTS
    states = FLOATS


class Texts(_Columns):
    keys = TEXTS
    states = st.tuples(INTS, TEXTS)
    types = (Scalar(str), Tuple((Scalar(int), Scalar(str))))


class Pairs(_Columns):
    keys = st.tuples(TEXTS, st.booleans(), FLOATS)
    states = st.booleans()
    types = (Tuple((Scalar(str), Scalar(bool), Scalar(float))), Scalar(bool))


class Misfits(_Columns):
    """What fits mostly, and keys that are equal to such as fit."""

    keys = st.one_of(INTS, INTS, INTS, st.sampled_from([True, 1.0, 0.0, -0.0, None, "a", 2**64]))
    states = st.one_of(FLOATS, FLOATS, FLOATS, st.sampled_from([1, None, "a", [1]]))


TestInts, TestTexts, TestPairs, TestMisfits = (m.TestCase for m in (Ints, Texts, Pairs, Misfits))
for case in (TestInts, TestTexts, TestPairs, TestMisfits):
    case.settings = settings(stateful_step_count=20)


def numbered(count: int, *, expires: bool = True) -> ColumnVersion:
    """So many ints with a float each."""
    numbers = np.arange(count)
    pairs = Columns.from_rows(list(zip(numbers.tolist(), (numbers / 4).tolist(), strict=True)))
    return ColumnVersion.of_pairs(pairs, 0, expires=expires)


def test_what_fits_stays_in_columns_whatever_is_done() -> None:
    version: Any = numbered(100)
    for time in range(1, 200):
        with version.update(time) as update:
            for key in range(time, time + 30):
                update.put(key, time / 2)
                update.remove(key // 2)
        version = update.version
        assert type(version) is ColumnVersion
    assert version._table.length < 400, "tables of holes are made anew"


@pytest.mark.parametrize("key", [1.0, True, -0.0, 7.0, float("nan"), None, "\ud800", 2**63, (1,)])
def test_a_key_that_does_not_fit_makes_rows_of_the_version_in_its_batch(key: Any) -> None:
    first = numbered(3)
    with first.update(5) as update:
        update.put(key, 7.5)
    equal = key in range(3)  # then the first-seen key is kept, which fits
    assert type(update.version) is (ColumnVersion if equal else RowVersion)
    rows = RowVersion.of(first.pairs().rows(), 0)
    with rows.update(5) as same:
        same.put(key, 7.5)
    assert repr(update.version.pairs().rows()) == repr(same.version.pairs().rows())
    assert update.version.image().times.tolist() == same.version.image().times.tolist()
    assert first.pairs().rows() == [(0, 0.0), (1, 0.25), (2, 0.5)], "the version before it stays"


def test_a_key_that_does_not_fit_and_is_only_asked_for_changes_nothing() -> None:
    first = numbered(3)
    with first.update(5) as update:
        assert update.get(1.0, None) == 0.25
        assert update.get("a", None) is None
        update.put(2, 9.0)
    assert type(update.version) is ColumnVersion
    assert update.version.pairs().rows() == [(0, 0.0), (1, 0.25), (2, 9.0)]


def test_an_int_with_a_float_takes_at_most_64_bytes() -> None:
    for count in (100_000, 300_000):
        assert numbered(count).nbytes <= 64 * count
    grown: Any = numbered(10_000, expires=False)
    most = 0.0
    for time in range(1, 60):
        with grown.update(time) as update:
            keys = Columns.from_rows(list(range(10_000 * time, 10_000 * time + 10_000)))
            none = np.zeros(0, np.int64)
            update.write(none, none, [np.zeros(0)], keys, [np.ones(10_000)])
        grown = update.version
        most = max(most, grown.nbytes / len(grown))
    assert most <= 64, "never, as it grows"


def test_a_batch_costs_what_it_touches() -> None:
    version = numbered(100_000)
    with version.update(1) as update:
        update.prepare(range(5))
        for key in range(5):
            update.put(key, 1.0)
    assert sum(len(slots) for slots, _, _ in version._note.pieces) == 5  # type: ignore[union-attr]
    changes = update.version.changes(version)
    assert changes is not None
    assert changes.slots.tolist() == [0, 1, 2, 3, 4]


def test_keys_whose_hashes_are_equal_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "penstock.state.arrays.KeyArrays.hashes",
        lambda self, leaves: np.zeros(len(leaves[0]), np.uint32) + np.uint32(7),
    )
    version = numbered(50)
    with version.update(1) as update:
        update.put(49, 1.0)
        update.remove(20)
        update.put(100, 2.0)
    pairs = update.version.pairs().rows()
    assert len(pairs) == 50
    assert pairs[-2:] == [(49, 1.0), (100, 2.0)]
    assert len(version.pairs()) == 50


def test_a_first_version_keeps_the_first_of_equal_keys() -> None:
    pairs = Columns.from_rows([(1, 1.0), (2, 2.0), (1, 3.0)])
    assert ColumnVersion.of_pairs(pairs, 0).pairs().rows() == [(1, 1.0), (2, 2.0)]


def test_keys_that_are_zeros_with_a_sign_or_no_numbers_are_no_columns() -> None:
    for key in (-0.0, float("nan")):
        with pytest.raises(RowTypeError):
            ColumnVersion.of_pairs(Columns.from_rows([(key, 1)]), 0)


class Odd:
    """Equal to 1, as only it knows."""

    def __eq__(self, other: object) -> bool:
        return other == 1

    def __hash__(self) -> int:
        return hash(1)


def test_a_key_of_a_class_of_its_own_may_be_equal_to_one_in_columns() -> None:
    with numbered(3).update(5) as update:
        assert update.get(Odd(), None) == 0.25
        update.put(Odd(), 9.5)
    assert update.version.pairs().rows() == [(0, 0.0), (1, 9.5), (2, 0.5)]


def test_keys_of_such_a_class_in_a_second_batch_make_rows() -> None:
    """All the keys are looked at twice, not in every batch."""
    version: Any = numbered(3)
    for time in range(5, 9):
        with version.update(time) as update:
            assert update.get(Odd(), None) == time - 5 + 0.25
            update.put(Odd(), time - 4 + 0.25)
        version = update.version
        assert type(version) is (ColumnVersion if time == 5 else RowVersion)
    assert version.pairs().rows() == [(0, 0.0), (1, 4.25), (2, 0.5)]
    assert not version.may_be_columns


class Level(IntEnum):
    """An int like any other."""

    LOW = 1


class Text(str):
    """A text like any other."""

    __slots__ = ()

    def __str__(self) -> str:
        return "another"


@pytest.mark.parametrize("key", [np.int64(1), np.uint8(1), np.float64(1), np.bool_(True), Level.LOW])
def test_keys_of_numpy_and_of_derived_classes_cost_what_they_are(key: Any) -> None:
    version: Any = numbered(1000)
    for time in range(5, 8):
        with version.update(time) as update:
            assert update.get(key, None) == (0.25 if time == 5 else time - 1)
            update.put(key, float(time))
        assert len(update._states) == 1
        version = update.version
        assert type(version) is ColumnVersion
    assert repr(counterpart((Text("a"), np.str_("b")), Tuple((Scalar(str), Scalar(str))))) == "('a', 'b')"


def test_keys_that_do_not_fit_and_are_not_kept_cost_what_they_are() -> None:
    """Not all the keys that are there."""
    with numbered(1000).update(5) as update:
        update.prepare([None, "a", 2.5, 1.0, (1,), -(2**70), "\ud800", float("nan")])
        assert update.get(1.0, None) == 0.25
        for key in (None, "a", 2.5, (1,), -(2**70), "\ud800", float("nan"), True):
            assert update.get(key, "none") == (0.25 if key == 1 else "none")
    assert len(update._states) == 1


@given(
    key=st.one_of(INTS, FLOATS, TEXTS, st.sampled_from([True, False, -0.0, 2**63, 0.1, None, float("nan")])),
    table=st.sampled_from([int, float, bool, str]),
)
def test_a_counterpart_is_the_equal_key(key: Any, table: type) -> None:
    found = counterpart(key, Scalar(table))
    nested = counterpart((key, 1), Tuple((Scalar(table), Scalar(int))))
    all_of_them = [0, 1, -1, 7, 2**63 - 1, -(2**63), 2**32, 5, 6, 8, 3, 0.0, 1.0, -1.5, float("inf"), 2.0**53,
                   5e-324, 3.0, 0.1, True, False, 2.0**63, "", "a", "b", "ab", "ba"]  # fmt: skip
    equal = [each for each in all_of_them if type(each) is table and each == key]
    if equal:
        assert (found, type(found), repr(found)) == (equal[0], table, repr(equal[0]))
        assert nested == (equal[0], 1)
    elif type(key) is not table:
        assert found is NONE_EQUAL or found == key


class Name(NamedTuple):
    """A key that is the same in capitals."""

    text: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Name) and self.text.lower() == other.text.lower()

    def __hash__(self) -> int:
        return hash(self.text.lower())


class Place(NamedTuple):
    """A key like any other tuple."""

    row: int
    column: int


def test_keys_that_say_themselves_what_is_equal_are_no_columns() -> None:
    with pytest.raises(RowTypeError, match="stay rows"):
        ColumnVersion.of_pairs(Columns.from_rows([(Name("a"), 1)]), 0)
    version = ColumnVersion.of_pairs(Columns.from_rows([(Place(1, 2), 1)]), 0)
    with version.update(1) as update:
        assert update.get((1, 2), None) == 1, "a plain tuple is equal"
        assert update.get((1, 2, 3), None) is None
        update.put((1, 2), 5)
    assert update.version.pairs().rows() == [(Place(1, 2), 5)]
    assert type(update.version.pairs().rows()[0][0]) is Place, "the first-seen key"
