"""State and windows on columns: the same as on rows, batch by batch, however the chunks fall."""

from __future__ import annotations

import random
from collections.abc import Callable
from operator import add, sub
from typing import Any

import pyarrow as pa
import pytest

from penstock import Context, DStream, StreamingContext
from penstock.chunk import Columns, Grouped
from penstock.testing import same
from penstock.vectorize import StatePlan, programs
from tests.laws.engine import engine

Build = Callable[[DStream], DStream]


def table(seed: int, rows: int = 400) -> pa.Table:
    drawn = random.Random(seed)
    return pa.table(
        {
            "key": [drawn.randrange(120) for _ in range(rows)],
            "name": [f"n{drawn.randrange(30)}" for _ in range(rows)],
            "amount": [drawn.randrange(-50, 1000) for _ in range(rows)],
            "price": [drawn.uniform(-5, 5) for _ in range(rows)],
        }
    )


def batches(build: Build, context: Context, inputs: list[Any]) -> list[Any]:
    """The partitions of each batch."""
    context.setCheckpointDir("memory://columns")
    ssc = StreamingContext(context, 1)
    found: list[Any] = []
    build(ssc.queueStream(inputs)).glom().foreachRDD(lambda rdd: found.append(rdd.collect()))
    ssc.start(availableNow=True)
    ssc.awaitTermination()
    ssc.stop(stopSparkContext=False)
    return found


def keyed(stream: DStream) -> DStream:
    return stream.map(lambda row: (row.key, row.amount))


def priced(stream: DStream) -> DStream:
    return stream.map(lambda row: (row.name, row.price))


def average(values: Any, state: Any) -> Any:
    if state is None:
        return (len(values), sum(values))
    return (state[0] + len(values), state[1] + sum(values))


STATES: dict[str, Build] = {
    "sums": lambda s: keyed(s).updateStateByKey(lambda news, total: sum(news) + (total or 0), 2),
    "sums of floats": lambda s: priced(s).updateStateByKey(lambda news, total: sum(news) + (total or 0.0), 2),
    "several parts": lambda s: keyed(s).updateStateByKey(average, 2),
    "keys that go": lambda s: keyed(s).updateStateByKey(lambda news, last: news[-1] if news else None, 3),
    "the largest": lambda s: keyed(s).updateStateByKey(
        lambda news, best: max(max(news), best or 0) if news else best, 2
    ),
    "the first of all": lambda s: keyed(s).updateStateByKey(
        lambda news, first: news[0] if first is None else first, 2
    ),
    "how often": lambda s: keyed(s).updateStateByKey(lambda news, count: (count or 0) + len(news), 2),
    "no column form": lambda s: keyed(s).updateStateByKey(lambda news, seen: [*(seen or []), *news][-3:], 2),
}
WINDOWS: dict[str, Build] = {
    "with an inverse": lambda s: keyed(s).reduceByKeyAndWindow(add, sub, 3, 1, 2),
    "without": lambda s: keyed(s).reduceByKeyAndWindow(lambda a, b: a + b, None, 3, 1, 2),
    "floats": lambda s: priced(s).reduceByKeyAndWindow(add, sub, 3, 1, 2),
    "extremes": lambda s: priced(s).reduceByKeyAndWindow(max, 2, 2),
    "an inverse that is none": lambda s: keyed(s).reduceByKeyAndWindow(add, lambda a, b: a - 2 * b, 3, 1, 2),
    "lists": lambda s: keyed(s).groupByKeyAndWindow(2, 1, 2).mapValues(list),
    "counts": lambda s: s.map(lambda row: row.name).countByValueAndWindow(3, 1, 2),
    "records": lambda s: s.filter(lambda row: row.amount > 900).window(2, 1),
}


@pytest.mark.many_jobs
@pytest.mark.parametrize("master", ["local[1]", "local[3]"])
@pytest.mark.parametrize("name", [*STATES, *WINDOWS])
def test_the_same_as_on_rows(name: str, master: str, monkeypatch: pytest.MonkeyPatch) -> None:
    build = (STATES | WINDOWS)[name]
    found = []
    for worth in (0, 10**9):
        monkeypatch.setattr(programs, "WORTH_ROWS", worth)
        with engine(master) as context:
            inputs = [context.fromArrow(table(seed), 3) for seed in range(5)]
            found.append(batches(build, context, [*inputs, [], []]))
    assert same(found[0], found[1])
    assert any(part for part in found[0][0]), "nothing came out"


@pytest.mark.parametrize("name", [name for name in STATES if name != "no column form"])
def test_states_are_computed_on_columns(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "WORTH_ROWS", 0)
    attempts = []
    plain = StatePlan.attempt

    def attempt(self: StatePlan, *arguments: Any) -> Columns | None:
        made = plain(self, *arguments)
        attempts.append(made)
        return made

    monkeypatch.setattr(StatePlan, "attempt", attempt)
    with engine("local[1]") as context:
        batches(STATES[name], context, [context.fromArrow(table(seed), 1) for seed in range(3)])
    assert attempts
    assert all(made is not None for made in attempts)


FEW_KEYS: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {  # for which values sums will do, the function
    "a sum": ("int", lambda news, total: sum(news) + (total or 0)),  # of no floats it is an int
    "a sum with a start": ("", lambda news, total: sum(news, total or 0)),
    "a sum if any": ("int float", lambda news, total: (total or 0) + sum(news) if news else total),
    "a sum that may go": ("", lambda news, total: None if sum(news) % 2 else sum(news)),
    "another state": ("int float", lambda news, total: f"{sum(news)}"),
    "how many": ("", lambda news, total: len(news) + (total or 0)),
    "a sum and how many": ("", lambda news, total: sum(news) * len(news)),
    "a sum of squares": ("", lambda news, total: sum(each * each for each in news)),
    "the last": ("", lambda news, total: news[-1] if news else total),
    "a sum that fails": ("", lambda news, total: 100 // (sum(news) - sum(news)) if total else 1),
    "a sum that is printed": ("", lambda news, total: print(end="") or sum(news)),
}


@pytest.mark.many_jobs
@pytest.mark.parametrize("kind", ["int", "float", "bool"])
@pytest.mark.parametrize("master", ["local[1]", "local[2]"])
@pytest.mark.parametrize("name", FEW_KEYS)
def test_of_few_keys_with_many_values_only_sums_are_made_objects(
    name: str, master: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sums_alone, function = FEW_KEYS[name]
    drawn = random.Random(5)
    amounts = {
        "int": lambda: drawn.randrange(-50, 1000),
        "float": lambda: drawn.choice([-0.0, 0.1, 1e300, -1e300, drawn.uniform(-5, 5)]),
        "bool": lambda: drawn.random() < 0.5,
    }[kind]
    tables = [
        pa.table({"key": [drawn.randrange(9) for _ in range(900)], "amount": [amounts() for _ in range(900)]})
        for _ in range(3)
    ]
    listed: list[int] = []
    plain = Grouped.rows
    monkeypatch.setattr(Grouped, "rows", lambda self: listed.append(len(self)) or plain(self))

    def build(stream: DStream) -> DStream:
        return stream.map(lambda row: (row.key, row.amount)).updateStateByKey(function, 2)

    def run() -> Any:
        listed.clear()
        with engine(master) as context:
            try:
                return batches(build, context, [*(context.fromArrow(each, 2) for each in tables), []])
            except Exception as error:
                return type(error), str(error), [note for note in error.__notes__ if " ms of " not in note]

    found = run()
    assert bool(listed) is (kind not in sums_alone), "lists of values were made, or were not"
    monkeypatch.setattr(programs, "WORTH_ROWS", 10**9)
    assert same(found, run())


@pytest.mark.parametrize("worth", [0, 300, 10**9])
def test_of_values_that_are_none_python_makes_the_states(worth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "WORTH_ROWS", worth)
    numbers = pa.table({"n": list(range(1000))})
    for function in (
        lambda news, last: news[-1] if news else last,
        lambda news, last: min(news) if news and len(news) < 2 else None,
    ):
        with engine("local[1]") as context:
            found = batches(
                lambda s, f=function: s.map(lambda row: (row.n % 3, None)).updateStateByKey(f, 1),
                context,
                [context.fromArrow(numbers, 1), []],
            )
        assert found == [[[]], [[]]]


def test_a_sum_beyond_64_bits_is_pythons(monkeypatch: pytest.MonkeyPatch) -> None:
    with engine("local[1]") as context:
        big = pa.table({"key": [1] * 500, "amount": [2**62] * 500})
        found = batches(
            lambda s: keyed(s).updateStateByKey(lambda news, total: sum(news) + (total or 0), 2),
            context,
            [context.fromArrow(big, 1)] * 2,
        )
    pairs = [pair for batch in found for part in batch for pair in part]
    assert pairs == [(1, 500 * 2**62), (1, 1000 * 2**62)]


def test_a_state_that_grows_beyond_64_bits_goes_on_as_python_ints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "WORTH_ROWS", 0)
    with engine("local[1]") as context:
        one = context.fromArrow(pa.table({"key": [1], "amount": [2**62]}), 1)
        build = lambda s: keyed(s).updateStateByKey(lambda news, total: sum(news) + (total or 0), 1)  # noqa: E731
        found = batches(build, context, [one, one, one])
    assert found == [[[(1, 2**62)]], [[(1, 2**63)]], [[(1, 3 * 2**62)]]]


def test_a_small_state_becomes_a_large_one() -> None:
    with engine("local[1]") as context:
        few = context.fromArrow(pa.table({"key": [3, 1], "amount": [5, 6]}), 1)
        many = context.fromArrow(pa.table({"key": list(range(1000)), "amount": [1] * 1000}), 1)
        build = lambda s: keyed(s).updateStateByKey(lambda news, total: sum(news) + (total or 0), 1)  # noqa: E731
        found = batches(build, context, [few, many, few])
    others = [(key, 1) for key in range(1000) if key not in (1, 3)]
    assert found[1] == [[(3, 6), (1, 7), *others]]
    assert found[2] == [[(3, 11), (1, 13), *others]]
