"""How many arguments a function wants, counted as its caller would count them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import datetime
from typing import Any
from unittest.mock import Mock

import pytest

from penstock import RDD
from penstock.dstream.arity import arity
from penstock.errors import SignatureError
from penstock.testing import run_batches

pytestmark = pytest.mark.usefixtures("sc")


class Methods:
    def one(self, rdd: RDD) -> RDD:
        return rdd

    def two(self, time: datetime, rdd: RDD) -> RDD:
        return rdd

    @staticmethod
    def static(rdd: RDD) -> RDD:
        return rdd

    @classmethod
    def of_class(cls, time: datetime, rdd: RDD) -> RDD:
        return rdd

    def __call__(self, rdd: RDD) -> RDD:
        return rdd


def three(time: Any, rdd: Any, more: Any) -> Any:
    return rdd


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*arguments: Any, **named: Any) -> Any:
        return function(*arguments, **named)

    return wrapper


@pytest.mark.parametrize(
    ("function", "count"),
    [
        (lambda rdd: rdd, 1),
        (lambda rdd, x=1: rdd, 1),
        (lambda rdd, *, x=1: rdd, 1),
        (lambda time, rdd: rdd, 2),
        (lambda time, rdd, x=1: rdd, 2),
        (lambda *rdds: rdds, 1),
        (Methods().one, 1),
        (Methods().two, 2),
        (Methods.static, 1),
        (Methods.of_class, 2),
        (Methods(), 1),
        (functools.partial(three, 1), 2),
        (functools.partial(three, 1, 2), 1),
        (functools.partial(three, 1, more=2), 1),
        (functools.partial(three, more=2), 2),
        (logged(Methods().two), 2),
        (print, 1),
        (list, 1),
        (len, 1),
        (max, 1),
        (Mock(), 1),
    ],
)
def test_the_number_that_fits(function: Callable[..., Any], count: int) -> None:
    assert arity(function, (1, 2), "foreachRDD") == count


@pytest.mark.parametrize("function", [lambda: 1, three, lambda a, *, b: a, Methods])
def test_what_does_not_fit_is_refused(function: Callable[..., Any]) -> None:
    with pytest.raises(SignatureError, match=r"given to transform should take 1 or 2 arguments, not \("):
        arity(function, (1, 2), "transform")
    for build in (lambda s: s.transform(function), lambda s: s.foreachRDD(function)):
        with pytest.raises(SignatureError, match="should take 1 or 2 arguments"):
            run_batches([[1]], build)


@pytest.mark.parametrize("function", [lambda a: a, lambda a, b, c, d: a])
def test_transform_with_wants_two_or_three(function: Callable[..., Any]) -> None:
    with pytest.raises(SignatureError, match="should take 2 or 3 arguments"):
        run_batches([[1]], lambda s: s.transformWith(function, s))


@pytest.mark.parametrize("function", [lambda: 1, lambda a, b, c: a, lambda a, b, c, d, e: a])
def test_update_state_wants_one_two_or_four(function: Callable[..., Any]) -> None:
    with pytest.raises(SignatureError, match="should take 2 or 1 or 4 arguments"):
        run_batches([[1]], lambda s: s.updateStateByKey(function))


def test_the_time_is_a_naive_local_datetime() -> None:
    times: list[datetime] = []
    run_batches([[1], [2]], lambda s: s.foreachRDD(lambda time, rdd: times.append(time)), batchDuration=0.5)
    assert times == [datetime.fromtimestamp(0.5), datetime.fromtimestamp(1)]
    assert all(time.tzinfo is None for time in times)


@pytest.mark.parametrize(
    "function",
    [
        Methods().one,
        Methods().two,
        Methods.static,
        Methods.of_class,
        Methods(),
        functools.partial(three, more=0),
        lambda rdd, x=1: rdd,
        logged(lambda time, rdd: rdd),
    ],
)
def test_all_of_them_work_in_transform_and_foreach(function: Callable[..., Any]) -> None:
    assert run_batches([[1, 2]], lambda s: s.transform(function)) == [[1, 2]]
    run_batches([[1]], lambda s: s.foreachRDD(function))


def test_transform_with_may_ask_for_the_time() -> None:
    out = run_batches(
        ([[1]], [[2]]),
        lambda a, b: a.transformWith(lambda time, x, y: x.union(y).map(lambda n: (time, n)), b),
    )
    start = datetime.fromtimestamp(1)
    assert out == [[(start, 1), (start, 2)]]


@pytest.mark.parametrize(
    "build",
    [
        lambda s: s.transform(lambda rdd: [1]),
        lambda s: s.transformWith(lambda a, b: 7, s),
        lambda s: s.context().transform([s], lambda rdds: rdds),
    ],
)
def test_what_is_no_rdd_is_refused(build: Any) -> None:
    with pytest.raises(SignatureError, match=r"should return an RDD, not .*\. Hint: .* foreachRDD"):
        run_batches([[1]], build)


def test_what_foreach_returns_is_ignored() -> None:
    run_batches([[1, 2]], lambda s: s.foreachRDD(lambda rdd: rdd.count()))
    run_batches([[1, 2]], lambda s: s.foreachRDD(print))
