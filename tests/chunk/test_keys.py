"""A dict of the keys that come out keeps each NaN alone, and keys without NaN are left as they are."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.chunk import distinct_nans
from tests.chunk.samples import NAN_WITH_PAYLOAD, NEGATIVE_NAN


class Pair(NamedTuple):
    a: Any
    b: Any


class WithDict(tuple):  # type: ignore[type-arg]
    pass


class Temperature(float):
    pass


@dataclass(frozen=True)
class Frozen:
    a: Any
    b: Any = None


@dataclass(frozen=True, slots=True)
class Slotted:
    a: Any


NAN = math.nan


def holds_nan(value: Any) -> bool:
    if isinstance(value, (tuple, frozenset)):
        return any(map(holds_nan, value))
    return isinstance(value, float) and value != value


class TestWithoutNan:
    @pytest.mark.parametrize(
        "keys",
        [
            [],
            ["a", "b"],
            [1, 2, None, True],
            [1.5, math.inf, -0.0],
            [1, 1.5, "a", None, b"a", (1, 2.5), ((), (1.5,)), datetime(2020, 1, 1)],
            [(1,), (1, 2), ()],
            [Decimal(1), 1j, np.float64(1), np.int64(1), np.str_("a"), frozenset({1.5})],
            [Pair(1, 2.5), Frozen(1.5), Slotted((1.5,))],
            [object(), len, int],
            [[1], {}, [NAN]],  # no keys at all: whoever hashes them says so
        ],
        ids=lambda keys: "-".join(type(key).__name__ for key in keys),
    )
    def test_the_same_list_comes_back(self, keys: list[Any]) -> None:
        before = list(keys)
        assert distinct_nans(keys) is keys
        assert list(map(id, keys)) == list(map(id, before))


class TestWithNan:
    @pytest.mark.parametrize(
        "key",
        [
            NAN, NAN_WITH_PAYLOAD, NEGATIVE_NAN, np.float64(NAN), np.float32(NAN), np.complex128(NAN),
            Temperature("nan"),
            Decimal("nan"), Decimal("-nan123"), complex(1, NAN), complex(NAN, -0.0),
            (NAN,), (1, (2, NAN)), (NAN, NAN), Pair(1, NAN), Pair(NAN, (1, Pair(1, NAN))), WithDict((NAN,)),
            frozenset({NAN, 1}), Frozen(NAN), Frozen(1, (NAN,)), Slotted(NAN), (Slotted((NAN, 1)),),
        ],
        ids=lambda key: type(key).__name__,
    )  # fmt: skip
    def test_same_key_twice_is_two_groups(self, key: Any) -> None:
        assert len({key, key}) == 1  # what would happen
        keys = distinct_nans([key, key, "a", "a"])
        assert len(dict.fromkeys(keys)) == 3
        assert list(map(type, keys[:2])) == [type(key)] * 2
        assert sorted(repr(keys[0])) == sorted(repr(keys[1])) == sorted(repr(key))  # a frozenset has no order

    def test_signalling_nan_does_no_harm(self) -> None:
        keys = distinct_nans([Decimal("snan"), 1])
        assert repr(keys) == "[Decimal('sNaN'), 1]"

    def test_keys_without_nan_keep_their_identity(self) -> None:
        plain = ("a", 1.5)
        keys = distinct_nans([plain, NAN, plain])
        assert keys[0] is plain
        assert keys[2] is plain

    def test_attributes_are_kept(self) -> None:
        key = WithDict((NAN,))
        key.note = "n"
        assert distinct_nans([key])[0].note == "n"

    def test_input_is_left_alone(self) -> None:
        keys = [NAN, (NAN,)]
        distinct_nans(keys)
        assert keys[0] is NAN
        assert keys[1][0] is NAN

    @pytest.mark.parametrize("nan", [NAN, NAN_WITH_PAYLOAD, NEGATIVE_NAN])
    def test_bits_are_kept(self, nan: float) -> None:
        first, (second,) = distinct_nans([nan, (nan,)])
        assert struct.pack("d", first) == struct.pack("d", second) == struct.pack("d", nan)
        assert first is not nan

    @given(
        st.lists(
            st.recursive(
                st.one_of(st.integers(), st.text(), st.floats(), st.just(NAN), st.none()),
                lambda inner: st.lists(inner, max_size=3).map(tuple) | st.builds(Pair, inner, inner),
            ),
            max_size=10,
        )
    )
    def test_groups_are_those_of_equality(self, keys: list[Any]) -> None:
        """The reference: a key with a NaN in it is alone, others are grouped by ``==``."""
        again = distinct_nans(keys)
        groups: list[list[int]] = []
        for index, key in enumerate(keys):
            group = next((g for g in groups if not holds_nan(key) and keys[g[0]] == key), None)
            if group is None:
                groups.append([index])
            else:
                group.append(index)
        found: dict[Any, list[int]] = {}
        for index, key in enumerate(again):
            found.setdefault(key, []).append(index)
        assert list(found.values()) == groups
        assert list(map(repr, again)) == list(map(repr, keys))
