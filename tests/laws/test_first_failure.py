"""A chain of steps as Python's own generators would run it, record by record.

Chunks must not show: the first failing record in row order raises, whichever step it fails in, and
``take`` gets what lies before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock import RDD, Context
from penstock.errors import failure_of
from penstock.testing.reference import cut
from tests.laws.engine import CHUNKS, MASTERS, engine

Step = tuple[str, int]
"""The operator, and the number it fails at."""


def strict(number: int, failing: int) -> int:
    if number == failing:
        raise KeyError(number)
    if number == -failing:
        raise StopIteration
    return number


def lazily(number: int, failing: int) -> Iterator[int]:
    """Two items; fails before, between or behind them."""
    for part in (0, 1):
        yield number + strict(part + 2 * number, failing) % 2
    strict(number + 2, failing)


def on_engine(rdd: RDD, step: Step) -> RDD:
    operator, failing = step
    match operator:
        case "map":
            return rdd.map(lambda n: strict(n, failing) + 1)
        case "filter":
            return rdd.filter(lambda n: strict(n, failing) % 3)
        case "flatMap":
            return rdd.flatMap(lambda n: lazily(n, failing))
        case "mapValues":
            return rdd.map(lambda n: (None, n)).mapValues(lambda n: strict(n, failing)).values()
        case "flatMapValues":
            return rdd.map(lambda n: (None, n)).flatMapValues(lambda n: lazily(n, failing)).values()
        case "mapPartitions":
            return rdd.mapPartitions(lambda rows: (strict(n, failing) for n in rows))
    raise AssertionError(operator)


def in_python(rows: Iterator[int], step: Step) -> Iterator[int]:
    operator, failing = step
    for n in rows:
        if operator == "map":
            yield located(n, lambda n: strict(n, failing) + 1)
        elif operator == "filter":
            if located(n, lambda n: strict(n, failing) % 3):
                yield n
        elif operator in ("flatMap", "flatMapValues"):
            items = lazily(n, failing)
            while (item := located(n, lambda n, items=items: next(items, None))) is not None:
                yield item
        else:
            yield located(n, lambda n: strict(n, failing))


class Failed(Exception):
    """A function failed: the kind of its exception, and the record."""

    def __init__(self, kind: type[Exception], record: int) -> None:
        self.what = (kind, record)


def located(record: int, function: Callable[..., Any]) -> Any:
    try:
        return function(record)
    except StopIteration:
        raise Failed(RuntimeError, record) from None
    except RuntimeError as error:  # a StopIteration inside a generator
        raise Failed(RuntimeError, record) from error
    except KeyError as error:
        raise Failed(KeyError, record) from error


def wanted(numbers: list[int], slices: int, steps: list[Step]) -> tuple[list[int], tuple[Any, Any] | None]:
    """What comes out before the first failure, and the failure."""
    out: list[int] = []
    try:
        for part in cut(numbers, slices):
            rows = iter(part)
            for step in steps:
                rows = in_python(rows, step)
            out.extend(rows)
    except Failed as failed:
        return out, failed.what
    return out, None


STEPS = st.tuples(
    st.sampled_from(("map", "filter", "flatMap", "mapValues", "flatMapValues", "mapPartitions")),
    st.integers(-9, 9) | st.just(99),
)


def record_of(error: BaseException) -> Any:
    failure = failure_of(error)
    assert failure is not None
    assert failure.record is not None
    record = eval(failure.record)
    return record[1] if isinstance(record, tuple) else record


def chains(test: Callable[..., None]) -> Callable[..., None]:
    """Random numbers, steps and engines, and two that were once wrong."""
    test = given(
        numbers=st.lists(st.integers(0, 9), max_size=9),
        slices=st.integers(1, 3),
        steps=st.lists(STEPS, min_size=1, max_size=4),
        master=st.sampled_from(MASTERS),
        chunk_rows=st.sampled_from(CHUNKS),
    )(test)
    two_maps: list[Step] = [("map", 2), ("map", 1)]
    test = example(numbers=[0, 1, 2], slices=1, steps=two_maps, master="local[1]", chunk_rows=65536)(test)
    behind: list[Step] = [("flatMapValues", 7)]
    return example(numbers=[3], slices=1, steps=behind, master="local[1]", chunk_rows=65536)(test)


def chain_of(context: Context, numbers: list[int], slices: int, steps: list[Step]) -> RDD:
    rdd = context.parallelize(numbers, slices)
    for step in steps:
        rdd = on_engine(rdd, step)
    return rdd


@chains
def test_the_first_failing_record_in_row_order_raises(
    numbers: list[int], slices: int, steps: list[Step], master: str, chunk_rows: int
) -> None:
    before, failure = wanted(numbers, slices, steps)
    with engine(master, chunk_rows) as context:
        rdd = chain_of(context, numbers, slices, steps)
        assert rdd.take(len(before)) == before
        if failure is None:
            assert rdd.collect() == list(rdd.toLocalIterator()) == before
            return
        kind, record = failure
        for act in (
            rdd.collect,
            rdd.count,
            lambda: rdd.take(len(before) + 1),
            lambda: list(rdd.toLocalIterator()),
        ):
            with pytest.raises(Exception) as caught:  # noqa: PT011
                act()
            assert (type(caught.value), record_of(caught.value)) == (kind, record)


@pytest.mark.in_process("reads records of a partition in which a later one fails")
@chains
def test_an_iterator_gives_what_lies_before_the_first_failing_record(
    numbers: list[int], slices: int, steps: list[Step], master: str, chunk_rows: int
) -> None:
    before, _ = wanted(numbers, slices, steps)
    with engine(master, chunk_rows) as context:
        rdd = chain_of(context, numbers, slices, steps)
        found = list(zip(range(len(before)), rdd.toLocalIterator(), strict=False))
        assert found == list(enumerate(before))
