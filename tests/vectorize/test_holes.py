"""Functions through which a difference slipped, or could: one line for each hole that is closed."""

from __future__ import annotations

import functools
import math
import operator
import warnings
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from penstock.chunk import Columns, exact_row_type
from penstock.errors import CallSite
from penstock.plan import Map, run_fused
from penstock.vectorize import Untraced, trace
from tests.vectorize.generated import Spot, namespace
from tests.vectorize.test_sameness import check

INTS: list[Any] = [(1, 2), (0, 5), (3, -4), (10, 7)]
POSITIVE: list[Any] = [(1, 2), (3, 4)]
FLOATS: list[Any] = [(1.5, 2.0), (-0.0, 0.5), (math.nan, 1.0)]
TEXTS: list[Any] = [("a", "b"), ("ab", "c"), ("", "x")]
SOME: list[Any] = [(1, None), (0, "x"), (None, "")]
TIMES: list[Any] = [(datetime(2016, 3, 22), 1), (datetime(1970, 1, 1), 2)]

CASES: dict[str, tuple[str, list[Any]]] = {
    # what Python raises shows, whether somebody reads the value or not
    "a value that nobody reads cannot be computed": ("lambda r: (1 // r[0], 5)[1]", INTS),
    "a condition that does not matter cannot be computed": ("lambda r: 5 if 1 // r[0] > 0 else 5", INTS),
    "an unused argument": ("lambda r: (lambda a, b: a)(r[1], b=1 // r[0])", INTS),
    "only the class of a value is asked": ("lambda r: isinstance(1 // r[0], int)", INTS),
    "compared with another class": ("lambda r: (1 // r[0]) == 'a'", INTS),
    "compared with None": ("lambda r: (1 // r[0]) is None", INTS),
    "only the length of a tuple is asked": ("lambda r: len((1 // r[0], 2))", INTS),
    "an unused key that is not there": ("lambda r: (PRICES[r[0]], 1)[1]", TEXTS),
    "an unused item that is not there": ("lambda r: (r[0][0], 1)[1]", TEXTS),
    "behind another field": ("lambda r: Spot(1, 2.0)._replace(row=1 // r[0]).weight", INTS),
    # branches
    "a branch that is not taken raises": ("lambda r: 1 // r[0] if r[0] else 0", INTS),
    "or ends before what raises": ("lambda r: r[0] == 0 or 1 // r[0] > 0", INTS),
    "and within a condition": ("lambda r: 1 // r[0] if r[0] and r[1] // r[0] > 0 else 0", INTS),
    "branches of several classes": ("lambda r: r[0] if r[0] > 1 else 0.5", INTS),
    "equal constants of several classes": ("lambda r: 1 if r[0] > 1 else True", INTS),
    "equal floats with several signs": ("lambda r: 0.0 if r[0] > 1 else -0.0", INTS),
    "an equal constant of another class": ("lambda r: r[0] if r[0] == 1 else 1.0", INTS),
    "None and classes": ("lambda r: r[0] if r[0] else r[1]", SOME),
    "None as a member": ("lambda r: r[0] in (None, 3)", SOME),
    "a loop with an end that depends on a value": (
        "def f(r):\n    n = r[0]\n    while n > 0:\n        n -= 1\n    return n", INTS,
    ),
    "a function that calls itself": ("def f(r):\n    return 0 if r[0] <= 0 else 1 + f((r[0] - 1, r[1]))", INTS),  # noqa: E501
    "a variable that is not set": ("def f(r):\n    if r[0] > 1:\n        x = 1\n    return x", INTS),
    # texts and symbols
    "a text without a place for what is formatted": ("lambda r: 'a' % r[0]", INTS),
    "the same with a function": ("lambda r: operator.mod('a', r[0])", INTS),
    "the same with a part of a function": ("partial(operator.mod, 'a')", [1, 2]),
    "the same in place": ("def f(r):\n    x = 'a'\n    x %= r[0]\n    return x", INTS),
    "the special method of a constant": ("lambda r: (5).__lt__(r[0])", INTS),
    "a special method that is looked up": ("lambda r: attrgetter('__lt__')(5)(r[0])", INTS),
    "a matrix product": ("lambda r: r[0] @ r[1]", INTS),
    "a formatted text is measured": ("lambda r: len(f'{r[0]}')", INTS),
    "a formatted text decides": ("lambda r: 'x' if f'{r[0]}' else 'y'", TEXTS),
    "names of arguments": ("lambda r: dict(a=r[0], b=1)['a']", INTS),
    "names of a dict": ("lambda r: (lambda **k: k['a'] + k['b'])(**{'a': r[0], 'b': r[1]})", INTS),
    # surrogates and large ints
    "half a surrogate to be found": ("lambda r: r[0].find('\\ud800')", TEXTS),
    "half a surrogate to be put in": ("lambda r: r[0].replace('a', '\\ud800')", TEXTS),
    "half a surrogate to be stripped": ("lambda r: r[0].strip('\\ud800')", TEXTS),
    "half a surrogate among others": ("lambda r: r[0].startswith(('x', '\\ud800'))", TEXTS),
    "half a surrogate as a member": ("lambda r: r[0] in ('\\ud800', 'a')", TEXTS),
    "half a surrogate as a key": ("lambda r: {'\\ud800': 1, 'a': 2}.get(r[0], 0)", TEXTS),
    "a large int": ("lambda r: r[0] < 2**70", INTS),
    "an int that grows beyond 64 bits": ("lambda r: r[0] * 2**62 + r[1]", INTS),
    # NaN and zeros
    "NaN in a tuple of itself": ("lambda r: r[0] in (r[0],)", FLOATS),
    "NaN in a tuple of a copy": ("lambda r: r[0] in (r[0] * 1.0,)", FLOATS),
    "NaN in a tuple of float() of itself": ("lambda r: r[0] in (float(r[0]),)", FLOATS),
    "NaN in a tuple of + itself": ("lambda r: r[0] in (+r[0],)", FLOATS),
    "NaN in a tuple of abs() of itself": ("lambda r: r[0] in (abs(r[0]),)", FLOATS),
    "NaN in equal tuples": ("lambda r: (r[0], 1) == (r[0], 1)", FLOATS),
    "NaN is not itself": ("lambda r: (r[0] == r[0], r[0] != r[0])", FLOATS),
    "max with NaN first or last": ("lambda r: (max(r[0], r[1]), max(r[1], r[0]))", FLOATS),
    "zero times constants": ("lambda r: (r[0] * 0.0, r[0] * -0.0, -r[0] * 0.0)", INTS),
    # where Arrow is not Python
    "an int that is no float": ("lambda r: r[0] < r[1]", [(2**53 + 1, 2.0**53), (2**53 + 3, 2.0**53 + 4)]),
    "ties that are none": (
        "lambda r: round(r[0], 2)", [(2.675,), (1.005,), (0.285,), (-2.675,), (1.115,), (0.015,), (8.345,)],
    ),
    "white space of Python's": ("lambda r: (r[0].strip(), r[0].isspace())", [("\x1cx\u2003",), (" \x1f",)]),
    # bools are ints
    "sums of bools": ("lambda r: (r[0] > 1) + (r[1] > 1)", INTS),
    "a bool and an int": ("lambda r: ((r[0] > 1) & r[1], (r[0] > 1) == 1, -(r[0] > 1), ~(r[0] > 1))", INTS),
    "a bool as a key": ("lambda r: {1: 'a', 0.0: 'b'}.get(r[0] > 1, 'z')", INTS),
    "a bool among ints": ("lambda r: (r[0] > 1) in (1, 'a')", INTS),
    "an int that Python makes a bool": ("lambda r: (r[0] + 1, r[0] + True, r[0] + 1.0)", INTS),
    "keys that are equal": ("lambda r: RATES.get(r[0], 9.5)", INTS),
    "keys that are tuples": ("lambda r: {(1, 2): 3}.get((r[0], r[1]), 0)", INTS),
    # all the rest
    "a difference that is nothing": ("lambda r: 1 if r[0] - r[0] else 2", TIMES),
    "ints and records": ("lambda r: Spot(r[0], 2.0) == Spot(r[1], 2.0)", INTS),
    "a record as a key": ("lambda r: {Spot(1, 2.0): 3}.get(Spot(r[0], 2.0), 0)", INTS),
    "identity": ("lambda r: r[0] is r[0]", INTS),
    "a walrus": ("lambda r: (y := r[0] + 1) * y", INTS),
    "a negative exponent": ("lambda r: r[0] ** -1", POSITIVE),
    "hash, id, type": ("lambda r: (hash(r[0]), type(r[0]) is int, id(r) > 0)", INTS),
    "a default that shadows": ("lambda r, max=min: max(r)", INTS),
    "a global that shadows a builtin": ("lambda r: abs(r[0])", INTS),
}  # fmt: skip
FILTERS: dict[str, tuple[str, list[Any]]] = {
    "an empty formatted text is false": ("lambda r: f'{r[0]}'", TEXTS),
    "an empty text": ("lambda r: r[0]", TEXTS),
    "NaN and zeros": ("lambda r: r[0]", FLOATS),
    "a tuple": ("lambda r: r", INTS),
    "an empty list": ("lambda r: []", INTS),
    "None": ("lambda r: None", INTS),
    "a class": ("lambda r: Spot", INTS),
    "a dict": ("lambda r: PRICES", INTS),
    "a record": ("lambda r: Spot(0, 0.0)", INTS),
    "a value that may be None": ("lambda r: r[0]", SOME),
    "always the same, if it can be computed": ("lambda r: True if 1 // r[0] else True", INTS),
}
ITEMS: dict[str, tuple[str, list[Any]]] = {
    "split behind what raises": ("def f(r):\n    x = 1 // len(r)\n    return r.split('a')", ["bab", ""]),
    "split at white space of Python's": ("lambda r: r.split()", ["a b", "", " x\x1cy", "\u2003a"]),
    "items in one of several branches": ("lambda r: [r[0]] if r[0] else []", INTS),
}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        yield


def function_of(source: str) -> Any:
    scope = {**namespace(), "abs": lambda value: value + 1000} if "abs(r[0])" == source[10:] else namespace()  # noqa: SIM300
    if not source.startswith("def"):
        return eval(source, scope)
    exec(source, scope)
    return scope["f"]


@pytest.mark.parametrize(
    ("what", "source", "rows"),
    [
        pytest.param(what, *case, id=f"{what} {name}")
        for what, cases in (("map", CASES), ("filter", FILTERS), ("flatMap", ITEMS))
        for name, case in cases.items()
    ],
)
def test_columns_give_what_python_gives_or_are_refused(what: str, source: str, rows: list[Any]) -> None:
    check([(what, function_of(source))], rows, source)


STEPS: list[Any] = [
    [("map", lambda r: (r[0], 1 // r[0])), ("map", lambda p: p[0])],
    [("map", lambda r: (r[0], 1 // r[0])), ("filter", lambda p: p[0] > 5), ("map", lambda p: p[0])],
    [("filter", lambda r: 1 // r[0] > -5), ("map", lambda p: 3)],
    [("filter", lambda r: r[0] > 5), ("map", lambda r: 1 // r[0])],
    [("map", lambda r: (r[0], r[0] > 0)), ("filter", lambda p: p[1]), ("map", lambda p: 100 // p[0])],
]


@pytest.mark.parametrize("steps", STEPS)
def test_a_step_that_raises_shows_though_a_later_one_drops_its_value(steps: Any) -> None:
    check(steps, INTS, "steps")


def test_a_nan_that_was_copied_by_the_step_before_is_one_object_to_python() -> None:
    check([("map", lambda r: (r[0], r[0])), ("map", lambda p: p[0] in (p[1],))], FLOATS, "steps")
    check([("map", lambda r: (r[0], r[0])), ("map", lambda p: (p[0],) == (p[1],))], FLOATS, "steps")


def test_special_methods_and_texts_with_percent_are_no_hole_either_where_they_give_something() -> None:
    assert check([("map", lambda r: r[0] % r[1])], POSITIVE, "%") == "ran"
    assert check([("map", lambda r: operator.mod(r[0], 3))], POSITIVE, "mod") == "ran"
    assert check([("map", functools.partial(operator.mod, 7))], [1, 2], "partial") == "ran"


def test_tracing_runs_nothing_of_the_users() -> None:
    seen: list[Any] = []

    class Loud:
        def __mul__(self, other: Any) -> Any:
            seen.append(other)
            return 1

    loud = Loud()
    found = trace(lambda r: loud * r[0], _row_type_of(INTS))
    assert isinstance(found, Untraced)
    assert seen == []


def test_equal_conditions_on_a_long_way_are_found_equal_at_once() -> None:
    """Each condition holds all those before it, as often as it is mentioned."""

    def counting(r: Any) -> int:
        n, steps = r[0], 0
        while n > 0:
            n -= 1
            steps += 1
        return steps

    assert check([("map", counting)], POSITIVE, "while") != "raises"


def _row_type_of(rows: list[Any]) -> Any:
    return exact_row_type(rows)


def test_a_records_class_is_made_with_all_its_fields() -> None:
    assert check([("map", lambda r: Spot(r[0]))], INTS, "Spot(x)") == "raises"  # type: ignore[call-arg]
    assert check([("map", lambda r: Spot(row=r[0], weight=2.5))], INTS, "Spot(x, y)") == "ran"


def test_a_value_computed_before_a_branch_that_no_row_takes() -> None:
    """Python computes it for every row, so it may raise for every row."""

    def early(r: Any) -> Any:
        share = 100 // r[0]
        return share if r[1] else 0

    assert check([("map", early)], [(0, False), (1, False)], "100 // x, then a branch") == "raises"
    assert check([("map", early)], [(4, False), (5, True)], "100 // x, then a branch") == "ran"


@pytest.mark.parametrize("flag", [lambda p: 1 if p[1] > 1000 else 0, lambda p: p[1] if p[1] > 1000 else None])
@pytest.mark.parametrize(
    "function",
    [
        lambda q: 7 // q[0] if q[1] else 0.0,
        lambda q: 7 % q[0] if q[1] else 0.0,
        lambda q: q[0] // 0 if q[1] else 0.0,
        lambda q: q[0] ** -1 if q[1] else 0.0,
    ],
)
def test_a_condition_that_becomes_the_same_in_all_rows(flag: Any, function: Any) -> None:
    """What it keeps from being computed is masked by it, though it is one value then and no column."""
    rows = [(float(i % 3), i % 7) for i in range(2000)]
    chunk = Columns.from_rows(rows)
    steps = [Map(each, CallSite("map")) for each in (lambda p: (p[0], flag(p)), function)]
    found = [row for made in run_fused(steps, iter([chunk])) for row in made.rows()]
    assert found == [function((p[0], flag(p))) for p in rows]
