"""What a function reads from outside may change between batches, and then it means something else."""

from __future__ import annotations

import types
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from penstock.chunk import Columns, Scalar
from penstock.vectorize import Chain, Untraced, programs, trace

FACTOR = 2
TABLE = {1: 10, 2: 20}
ALLOWED = {1, 2}
settings = types.ModuleType("settings")
settings.LIMIT = 5  # type: ignore[attr-defined]


def doubled(n: int) -> int:
    return n * 2


def results(function: Callable[[Any], Any], rows: list[int]) -> list[Any]:
    """As the engine would: on columns if that is possible, and it is here."""
    traced = trace(function, Scalar(int))
    assert not isinstance(traced, Untraced), traced.reason
    return Chain.of(Scalar(int)).mapped(traced).run(Columns.from_rows(rows)).rows()


def test_a_global_that_is_rebound(monkeypatch: pytest.MonkeyPatch) -> None:
    function = lambda n: n * FACTOR  # noqa: E731
    assert results(function, [1, 2]) == [2, 4]
    monkeypatch.setitem(globals(), "FACTOR", 3)
    assert results(function, [1, 2]) == [3, 6]
    monkeypatch.setitem(globals(), "FACTOR", 3.0)
    assert str(results(function, [1, 2])) == "[3.0, 6.0]"


def test_a_dict_that_is_changed_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    function = lambda n: TABLE.get(n, 0)  # noqa: E731
    assert results(function, [1, 2, 3]) == [10, 20, 0]
    monkeypatch.setitem(TABLE, 3, 30)
    assert results(function, [1, 2, 3]) == [10, 20, 30]
    monkeypatch.setitem(TABLE, 3, 31)
    assert results(function, [1, 2, 3]) == [10, 20, 31]


def test_a_set_that_is_changed_in_place() -> None:
    function = lambda n: n in ALLOWED  # noqa: E731
    assert results(function, [1, 3]) == [True, False]
    ALLOWED.add(3)
    try:
        assert results(function, [1, 3]) == [True, True]
    finally:
        ALLOWED.discard(3)


def test_a_variable_of_the_function_around() -> None:
    factor = 2

    def times(n: int) -> int:
        return n * factor

    assert results(times, [1, 2]) == [2, 4]
    factor = 5
    assert results(times, [1, 2]) == [5, 10]


def test_the_same_code_with_other_closures() -> None:
    def times(factor: Any) -> Callable[[int], Any]:
        return lambda n: n * factor

    assert results(times(2), [3]) == [6]
    assert results(times(7), [3]) == [21]
    assert str(results(times(-0.0), [3])) == "[-0.0]"
    assert str(results(times(0.0), [3])) == "[0.0]"


def test_a_default_that_is_changed() -> None:
    def plus(n: int, more: int = 1) -> int:
        return n + more

    assert results(plus, [1]) == [2]
    plus.__defaults__ = (10,)
    assert results(plus, [1]) == [11]


def test_a_function_that_it_calls_is_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    function = lambda n: doubled(n) + 1  # noqa: E731
    assert results(function, [1]) == [3]
    monkeypatch.setitem(globals(), "doubled", lambda n: n * 100)
    assert results(function, [1]) == [101]
    monkeypatch.setitem(globals(), "doubled", print)
    assert isinstance(trace(function, Scalar(int)), Untraced)


def test_an_attribute_of_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    function = lambda n: n > settings.LIMIT  # noqa: E731
    assert results(function, [4, 6]) == [False, True]
    monkeypatch.setattr(settings, "LIMIT", 3)
    assert results(function, [4, 6]) == [True, True]


def test_a_builtin_that_a_global_hides(monkeypatch: pytest.MonkeyPatch) -> None:
    function = lambda n: abs(n)  # noqa: E731
    assert results(function, [-1]) == [1]
    monkeypatch.setitem(globals(), "abs", lambda n: 7)
    assert results(function, [-1]) == [7]


def test_a_refusal_is_no_result_of_anything() -> None:
    function = lambda n: TABLE[n]  # noqa: E731
    assert results(function, [1, 2]) == [10, 20]
    with pytest.raises(programs.REFUSALS):
        results(function, [1, 5])


def itself(n: int) -> int:
    return n + len(AROUND)


AROUND: tuple[Any, ...] = (itself, 1)


def test_what_cannot_be_looked_at_stays_rows_and_breaks_nothing() -> None:
    around: dict[str, Any] = {}
    around["again"] = around
    nothing = Decimal("sNaN")
    for function in (itself, lambda n: len(around) + n, lambda n: (n, nothing)[0]):
        for _ in range(2):
            trace(function, Scalar(int))
