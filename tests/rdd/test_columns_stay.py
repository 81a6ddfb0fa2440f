"""Operators that only move or number records in columns leave them in columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from penstock import RDD, Context
from penstock.chunk import portable_hash
from penstock.plan import forms_of
from penstock.rdd.partitioner import _hashes_of_ints
from penstock.vectorize import Untraced, programs

ROWS = 1_000


@pytest.fixture(autouse=True)
def _worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "WORTH_ROWS", 10)


@pytest.fixture
def table(sc: Context) -> RDD:
    numbers = np.arange(ROWS) * 7919 % 101
    return sc.fromArrow(pa.table({"key": numbers, "value": numbers * 0.5}), 2).map(lambda r: (r.key, r.value))


def forms(rdd: RDD) -> set[str]:
    found: list[list[Any]] = rdd._run(lambda task, chunks: [type(chunk).__name__ for chunk in chunks])
    return {name for names in found for name in names}


@pytest.mark.parametrize(
    "operation",
    [
        lambda rdd: rdd,
        lambda rdd: rdd.sortBy(lambda p: (p[1], p[0])),
        lambda rdd: rdd.sortByKey(ascending=False),
        lambda rdd: rdd.sortByKey(keyfunc=lambda key: key % 10),
        lambda rdd: rdd.zipWithIndex(),
        lambda rdd: rdd.zipWithUniqueId(),
        lambda rdd: rdd.sample(False, 0.9, seed=1),
        lambda rdd: rdd.union(rdd),
        lambda rdd: rdd.coalesce(1),
        lambda rdd: rdd.repartition(1),
        lambda rdd: rdd.join(rdd),
        lambda rdd: rdd.leftOuterJoin(rdd.filter(lambda p: p[0] > 50)),
        lambda rdd: rdd.rightOuterJoin(rdd.filter(lambda p: p[0] > 5)),
        lambda rdd: rdd.fullOuterJoin(rdd.mapValues(lambda v: (v, 1))),
        lambda rdd: rdd.subtractByKey(rdd.filter(lambda p: p[0] > 90)),
        lambda rdd: rdd.subtract(rdd.filter(lambda p: p[0] > 90)),
        lambda rdd: rdd.intersection(rdd),
        lambda rdd: rdd.join(rdd.mapValues(lambda v: 1).reduceByKey(lambda a, b: a + b)),
    ],
)
def test_columns_stay_columns(table: RDD, operation: Callable[[RDD], RDD]) -> None:
    made = operation(table)
    assert forms(made) == {"Columns"}
    assert not isinstance(forms_of(made.plan)[made.plan], Untraced)


def test_hashes_of_ints_are_pythons() -> None:
    prime = 2**61 - 1
    near = [sign * (base + off) for base in (0, prime, 2 * prime) for off in range(-3, 4) for sign in (1, -1)]
    numbers = [*near, 2**63 - 1, -(2**63), -(2**63) + 1, 710]
    found = _hashes_of_ints(np.array(numbers, np.int64))
    assert found.tolist() == [portable_hash(number) for number in numbers]
    assert (found % 7).tolist() == [portable_hash(number) % 7 for number in numbers]
