"""Columns == rows: random functions on random records give what Python gives, or are refused."""

from __future__ import annotations

import collections
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import chain as chained
from typing import Any

import pytest

from penstock.chunk import Columns, exact_row_type
from penstock.errors import RowTypeError
from penstock.testing import same
from penstock.vectorize import REFUSALS, Chain, Untraced, trace, trace_filter
from penstock.vectorize.flattening import flattening
from tests.vectorize.generated import KINDS, filter_body, items_body, map_body, records, written

Step = tuple[str, Callable[[Any], Any]]
"""What is done with a function, ``"map"``, ``"filter"`` or ``"flatMap"``, and the function."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Generated source has comparisons and calls of which the compiler thinks little."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        yield


def in_python(steps: Sequence[Step], rows: Sequence[Any]) -> list[Any] | Exception:
    """What Python makes of the records, one step after the other, or what it raises first."""
    found = list(rows)
    try:
        for what, function in steps:
            if what == "map":
                found = list(map(function, found))
            elif what == "filter":
                found = list(filter(function, found))
            else:
                found = list(chained.from_iterable(map(function, found)))
    except Exception as error:
        return error
    return found


def in_columns(steps: Sequence[Step], chunk: Columns) -> list[Any] | str:
    """What the columns give, or why they are not asked."""
    chain = Chain.of(chunk.row_type)
    for index, (what, function) in enumerate(steps):
        if what == "flatMap":
            assert index == len(steps) - 1 == 0
            found = flattening(function, chunk.row_type)
            if isinstance(found, Untraced):
                return f"untraced: {found.reason}"
            made = found.attempt(chunk)
            return "refused" if made is None else made.rows()
        traced = (trace if what == "map" else trace_filter)(function, chain.row_type)
        if isinstance(traced, Untraced):
            return f"untraced: {traced.reason}"
        chain = chain.mapped(traced) if what == "map" else chain.filtered(traced)
    try:
        return chain.run(chunk).rows()
    except REFUSALS as refusal:
        return f"refused: {refusal}"


def check(steps: Sequence[Step], rows: Sequence[Any], shown: str) -> str:
    """What happened: ``ran``, ``refused`` or ``untraced``, or ``raises`` where Python does."""
    chunk = Columns.from_rows(rows, exact_row_type(rows))
    got, wanted = in_columns(steps, chunk), in_python(steps, chunk.rows())  # as the row engine has them
    if isinstance(got, str):
        return "raises" if isinstance(wanted, Exception) else got
    if isinstance(wanted, Exception):
        raise AssertionError(f"columns give {got}, Python raises {wanted!r}, of\n{shown}\non {rows}")
    assert same(got, wanted), f"columns give\n  {got}\nPython gives\n  {wanted}\nof\n{shown}\non {rows}"
    return "ran"


def draw(rng: random.Random, what: str) -> tuple[list[Step], list[Any], str]:
    """A random function, records for it, and its text."""
    kind = rng.choice(KINDS)
    body = {"map": map_body(kind), "filter": filter_body, "flatMap": items_body}[what]
    text = written(rng, kind, body)
    return (
        [(what, text.compiled())],
        records(rng, kind, rng.choice((2, 5, 9))),
        f"{text.definitions}\n{text.expression}",
    )


def draw_chain(rng: random.Random) -> tuple[list[Step], list[Any], str]:
    """Filters and maps; what comes behind a map is for what it gives, as far as that is known."""
    kind = rng.choice(KINDS)
    steps: list[Step] = []
    texts = []
    rows = records(rng, kind, rng.choice((2, 5, 9)))
    for what in rng.choice(
        (("filter", "map"), ("filter", "filter", "map"), ("map", "filter"), ("map", "map"))
    ):
        body = map_body(kind) if what == "map" else filter_body
        text = written(rng, kind, body)
        steps.append((what, text.compiled()))
        texts.append(f"{what}: {text.definitions} {text.expression}")
        if what == "map":
            kind = rng.choice([each for each in KINDS if each.cls is None])
    return steps, rows, "\n".join(texts)


def prove(seed: int, count: int, draw: Callable[[random.Random], tuple[list[Step], list[Any], str]]) -> float:
    """Check so many, and give the share of those that ran in columns, where Python raises nothing."""
    outcomes: collections.Counter[str] = collections.Counter()
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        steps, rows, shown = draw(rng)
        try:
            outcomes[check(steps, rows, shown).partition(":")[0]] += 1
        except RowTypeError:  # mutable records that are there twice
            outcomes["raises"] += 1
        except Exception as problem:
            raise AssertionError(f"pair {seed} {number}: {problem!r}, of\n{shown}\non {rows}") from problem
    return outcomes["ran"] / max(1, count - outcomes["raises"])


def prove_all(seed: int, count: int) -> None:
    shares = {
        "map": prove(seed, count, lambda rng: draw(rng, "map")),
        "filter": prove(seed + 1, count // 2, lambda rng: draw(rng, "filter")),
        "flatMap": prove(seed + 2, count // 4, lambda rng: draw(rng, "flatMap")),
        "chains": prove(seed + 3, count // 4, draw_chain),
    }
    print(shares)
    least = {"map": 0.6, "filter": 0.6, "flatMap": 0.3, "chains": 0.4}
    assert all(shares[what] > least[what] for what in shares), shares


def test_random_functions_give_in_columns_what_python_gives(seed: int) -> None:
    prove_all(seed, 600)


@pytest.mark.long
@pytest.mark.parametrize("part", range(10))
def test_very_many_random_functions_give_in_columns_what_python_gives(seed: int, part: int) -> None:
    prove_all(seed + 10 * part, 1_500)
