"""What is handed out can be changed by whoever gets it, and nobody else notices."""

from __future__ import annotations

import enum
import math
import pickle
import threading
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.chunk import Columns, Rows, isolated, rows_of
from penstock.chunk.isolation import copier_of, share


class Pair(NamedTuple):
    a: Any
    b: Any


class WithDict(Pair):
    pass


class Bag(list):  # type: ignore[type-arg]
    pass


class Color(enum.Enum):
    RED = 1


@dataclass
class Box:
    content: Any


@dataclass(frozen=True)
class Frozen:
    content: Any


class Plain:
    def __init__(self, content: Any) -> None:
        self.content = content

    def __repr__(self) -> str:
        return f"Plain({self.content!r})"


IMMUTABLE: list[Any] = [
    None, True, 1, 2**100, 1.5, math.nan, 1j, "a", b"a", (), (1, "a"), ((1, (None,)), "a"), Pair(1, (2, "a")),
    frozenset({1, (2, 3)}), range(3), date(2020, 1, 1), datetime(2020, 1, 1, tzinfo=ZoneInfo("Asia/Seoul")),
    time(1),
    timedelta(1), UTC, Decimal(1), Fraction(1, 2), Color.RED, int, len, Ellipsis, math, lambda: None,
]  # fmt: skip
MUTABLE: list[Callable[[], Any]] = [
    lambda: [], lambda: [1], lambda: {}, lambda: {"a": 1}, lambda: set(), lambda: {1},
    lambda: bytearray(b"a"),
    lambda: [[1]], lambda: {"a": [1]}, lambda: {"a": ({"b": []},)}, lambda: ([],), lambda: (1, ("a", [2])),
    lambda: (1, [2]),
    lambda: Pair(1, []), lambda: Pair((), Pair(1, {})), lambda: WithDict(1, 2),
    lambda: frozenset({(1, Plain(1))}),
    lambda: Box(1), lambda: Box([1]), lambda: Frozen([1]), lambda: Plain(1), lambda: (1, Plain([1])),
    lambda: Bag([1]),
    lambda: defaultdict(list, {"a": [1]}), lambda: Counter("ab"), lambda: OrderedDict(a=1),
    lambda: deque([1]),
    lambda: {1: "a", 2: [3]}, lambda: [1, "a", None, [2]], lambda: np.array([1, 2]),
    lambda: (1, np.array([1, 2])),
]  # fmt: skip


def change(value: Any) -> None:
    """Change whatever can be changed, in depth."""
    if isinstance(value, (list, tuple, deque, frozenset)):
        for item in list(value):
            change(item)
    if isinstance(value, dict):
        for item in list(value.values()):
            change(item)
        value["changed"] = ["changed"]
    elif isinstance(value, (list, deque)):
        value.append("changed")
    elif isinstance(value, set):
        value.add("changed")
    elif isinstance(value, bytearray):
        value.append(33)
    elif isinstance(value, np.ndarray):
        value += 1
    elif hasattr(value, "__dict__") and not isinstance(value, type) and type(value).__module__ == __name__:
        if not isinstance(value, enum.Enum):
            for item in list(vars(value).values()):
                change(item)
        if is_dataclass(value) or isinstance(value, Plain):
            object.__setattr__(value, "content", "changed")
        elif isinstance(value, tuple):
            value.changed = True  # type: ignore[attr-defined]


def keyed(items: list[Any]) -> dict[Any, Any]:
    return {(index, "key"): item for index, item in enumerate(items)}


MAKERS: list[Callable[[list[Any]], Any]] = [
    list, tuple, Bag, deque, keyed, lambda items: OrderedDict(keyed(items)), Box, Frozen, Plain,
    lambda items: set(range(len(items))), lambda items: bytearray(len(items)),
    lambda items: Pair(items, items),
    lambda items: Pair(None, tuple(items)), lambda items: WithDict(1, items),
    lambda items: (1, tuple(items), {"a": items}),
]  # fmt: skip
LEAVES = [value for value in IMMUTABLE if value is not math and not callable(value)]


def nested() -> st.SearchStrategy[Any]:
    """Containers of all kinds in each other. (The choices are numbers: their description stays short.)"""
    return st.recursive(
        st.integers(0, len(LEAVES) - 1).map(LEAVES.__getitem__),
        lambda inner: st.tuples(st.integers(0, len(MAKERS) - 1), st.lists(inner, max_size=3)).map(
            lambda made: MAKERS[made[0]](made[1])
        ),
        max_leaves=8,
    )


class TestIsolated:
    @pytest.mark.parametrize("value", IMMUTABLE, ids=lambda value: type(value).__name__)
    def test_what_cannot_be_changed_is_shared(self, value: Any) -> None:
        assert isolated(value) is value
        assert copier_of([value, value]) is share
        kept = Rows([value])
        assert kept.isolated().rows()[0] is value
        assert kept.isolated().rows() is not kept.rows()

    @pytest.mark.parametrize("make", MUTABLE, ids=lambda make: type(make()).__name__)
    def test_what_can_be_changed_is_copied(self, make: Callable[[], Any]) -> None:
        value = make()
        before = repr(value)
        copied = isolated(value)
        assert type(copied) is type(value)
        assert repr(copied) == before or isinstance(value, frozenset)
        change(copied)
        assert repr(value) == before
        assert not hasattr(value, "changed")

    @pytest.mark.parametrize("make", MUTABLE, ids=lambda make: type(make()).__name__)
    def test_one_among_many_that_cannot(self, make: Callable[[], Any]) -> None:
        kept = Rows([1, "a", make(), (2, "b"), make(), None])
        before = repr(kept)
        for _ in range(2):
            change(kept.isolated().rows())
            assert repr(kept) == before

    @pytest.mark.parametrize("make", MUTABLE, ids=lambda make: type(make()).__name__)
    def test_all_alike(self, make: Callable[[], Any]) -> None:
        kept = Rows([make() for _ in range(3)])
        before = repr(kept)
        change(kept.isolated().rows())
        assert repr(kept) == before

    @given(st.lists(nested(), max_size=4))
    def test_changes_of_handed_out_copies_never_show(self, rows: list[Any]) -> None:
        kept = Rows(rows)
        before = repr(rows)
        first, second = kept.isolated(), kept.isolated()
        assert repr(first.rows()) == before
        change(first.rows())
        assert repr(rows) == before
        assert repr(second.rows()) == before
        change(isolated(rows))
        assert repr(rows) == before

    def test_flat_dicts_are_told_from_nested_ones_by_all_of_their_rows(self) -> None:
        kept = Rows([{"a": 1}, {"a": 2}, {"a": [3]}])
        kept.isolated().rows()[2]["a"].append(4)
        assert kept.rows() == [{"a": 1}, {"a": 2}, {"a": [3]}]
        sets = Rows([{1}, {Plain(1)}])
        next(iter(sets.isolated().rows()[1])).content = 2
        assert repr(sets.rows()) == "[{1}, {Plain(1)}]"

    def test_aliases_inside_a_record_are_kept(self) -> None:
        inner = [1]
        (first, second) = isolated((inner, inner))
        assert first is second
        assert first is not inner

    def test_record_that_holds_itself(self) -> None:
        loop: list[Any] = []
        loop.append(loop)
        copied = isolated(loop)
        assert copied is not loop
        assert copied[0] is copied

    def test_what_cannot_be_copied_at_all_is_shared(self) -> None:
        lock = threading.Lock()
        numbers = iter([1, 2])
        assert isolated(lock) is lock
        assert next(isolated(iter([1, 2]))) == 1
        assert isolated(number for number in numbers) is not None

    def test_most_common_reducer_does_no_harm(self) -> None:
        zero: list[int] = []
        extend = lambda a, b: a.extend(b) or a  # noqa: E731 - as users write it
        for _ in range(2):
            assert extend(isolated(zero), [1]) == [1]
        assert zero == []


class TestCorners:
    """What a copy made by one general rule would get wrong."""

    def test_deeply_nested_list_is_not_shared_in_silence(self) -> None:
        value: list[Any] = []
        for _ in range(900):
            value = [value]
        try:
            copied = isolated(value)
        except RecursionError:
            return
        assert copied is not value

    def test_list_beside_a_lock_is_copied(self) -> None:
        record = {"lock": threading.Lock(), "items": [1]}
        isolated(record)["items"].append(2)
        assert record["items"] == [1]

    def test_objects_that_are_keys_of_flat_dicts_are_copied(self) -> None:
        kept = Rows([{Plain(1): 1}])
        next(iter(kept.isolated().rows()[0])).content = 2
        assert repr(kept.rows()) == "[{Plain(1): 1}]"

    def test_empty_rows_survive_the_oldest_pickle_protocols(self) -> None:
        assert pickle.loads(pickle.dumps(Rows([]), 0)).rows() == []

    def test_bound_methods_of_containers_are_copied(self) -> None:
        items: list[int] = []
        isolated(items.append)(1)
        assert items == []


class TestRows:
    def test_is_a_list_with_a_length_and_slices(self) -> None:
        rows = Rows([1, 2, 3, 4])
        assert (len(rows), rows.slice(1, -1).rows(), rows.slice(3, 9).rows()) == (4, [2, 3], [4])
        assert rows.rows() is rows.rows()
        assert repr(rows) == "Rows([1, 2, 3, 4])"
        assert rows.nbytes >= 4 * 8

    def test_slice_has_a_list_of_its_own(self) -> None:
        rows = Rows([1, 2])
        rows.slice(0, 2).rows().append(3)
        assert rows.rows() == [1, 2]

    @pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
    @pytest.mark.parametrize("records", [[], [1], [[1], {"a": (2,)}]], ids=str)
    def test_is_picklable(self, records: list[Any], protocol: int) -> None:
        rows = Rows(records)
        rows.isolated()  # what it has found out about its records stays behind
        again = pickle.loads(pickle.dumps(rows, protocol))
        assert again.rows() == records
        assert again.isolated().rows() == records

    def test_rows_of_chunks_of_both_kinds(self) -> None:
        chunks = [Rows([1, "a"]), Rows([]), Columns.from_rows([2, 3]), Rows([None])]
        assert list(rows_of(chunks)) == [1, "a", 2, 3, None]
