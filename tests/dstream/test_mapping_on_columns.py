"""mapWithState on columns: what it returns and remembers is what the reference interpreter says, whatever the
function does, and whichever records do not fit."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock import Context, StateSpec
from penstock.chunk import CHUNK_ROWS, Columns, Scalar, Tuple
from penstock.dstream import mapping, waves
from penstock.state import ColumnVersion, RowVersion, changed
from penstock.state import columns as columns_module
from penstock.testing import Apply, Batches, Graph, run_batches
from penstock.vectorize import MappingPlan, Untraced, programs
from tests.laws.test_stream_graphs import check
from tests.state.model import contents
from tests.vectorize.test_laws_in_columns import records_in_columns

# ------------------------------------------------------------------------------------- functions


def total(key: Any, value: Any, state: Any) -> Any:
    if state.isTimingOut():
        return (key, state.get())
    state.update((state.getOption() or 0) + value)
    return (key, state.get())


def as_it_was(key: Any, value: Any, state: Any) -> Any:
    """What it returns is the state before, which is set afterwards."""
    before = state.getOption()
    if not state.isTimingOut():
        state.update(value)
    return before


def mean(key: Any, value: Any, state: Any) -> Any:
    if state.isTimingOut():
        return None
    count, sum_ = state.getOption() or (0, 0.0)
    state.update((count + 1, sum_ + value))
    return (key, sum_ / count) if count > 1 else None


def gone_above_ten(key: Any, value: Any, state: Any) -> Any:
    """Keys go, and come back in the same batch."""
    if state.isTimingOut():
        return key
    now = (state.getOption() or 0) + value
    if now > 10:
        state.remove()
        return (key, now)
    state.update(now)
    return None


def set_by_the_second(key: Any, value: Any, state: Any) -> Any:
    """Some records leave the state alone, whether there is one or not."""
    if state.isTimingOut():
        return (key, state.get())
    if value > 3:
        state.update(value)
    elif value < 0:
        state.remove()
    return state.exists()


def of_another_type(key: Any, value: Any, state: Any) -> Any:
    """An int, but sometimes a float, ``None`` or a list."""
    if state.isTimingOut():
        return state.get()
    state.update(value / 2 if value == 4 else None if value == 5 else [value] if value == 6 else value)
    return state.get()


def changed_in_place(key: Any, value: Any, state: Any) -> Any:
    held = state.getOption() or []
    if not state.isTimingOut():
        held.append(value)
        state.update(held)
    held.append("not kept")
    return held


def divided(key: Any, value: Any, state: Any) -> Any:
    """Raises for 0, whether anybody wants what it has computed or not."""
    if state.isTimingOut():
        return None
    share = 12 / value
    if state.exists() and state.get() > 5:
        state.update(share)
    elif not state.exists():
        state.update(value * 1.0)
    return None


def divided_in_vain(key: Any, value: Any, state: Any) -> Any:
    """Nobody reads what it has computed, and it raises for 0 all the same."""
    if not state.isTimingOut():
        12 / value
        state.update(value)
    return key


def refusing_seven(key: Any, value: Any, state: Any) -> Any:
    if value == 7:
        raise ValueError("seven")
    if not state.isTimingOut():
        state.update(value)
    return (key, value)


def growing(key: Any, value: Any, state: Any) -> Any:
    """Beyond 64 bits soon."""
    if state.isTimingOut():
        return state.get()
    state.update(((state.getOption() or 1) + value) * 2**40)
    return state.get()


def returning_much(key: Any, value: Any, state: Any) -> Any:
    if not state.isTimingOut():
        state.update(value)
    return (key, state.get() * 2**61)


def removed_and_set(key: Any, value: Any, state: Any) -> Any:
    """Raises where it sets what it has removed."""
    if state.isTimingOut():
        return None
    state.update(value)
    if value > 4:
        state.remove()
        state.update(0)
    return value


def largest(key: Any, value: Any, state: Any) -> Any:
    if state.isTimingOut():
        return ("over", key)
    best = state.getOption()
    if best is None or value > best:
        state.update(value)
        return (key, value)
    return None


def of_all_sorts(key: Any, value: Any, state: Any) -> Any:
    """Results with constants, with what is ``None`` sometimes or always, and in depth."""
    if state.isTimingOut():
        return (key, None, "over")
    before = state.getOption()
    if value != 2:
        state.update((value, value > 2, "text"))
    return (key, None, None if before is None else before[1], (1.5, before[2:] if before else ("",)))


def of_keys_alone(key: Any, value: Any, state: Any) -> Any:
    """What it computes of is the same for all, or nothing."""
    if not state.exists():
        state.update(1)
    elif not state.isTimingOut() and state.get() == 1:
        state.update(2)
    return 7 if state.get() == 1 else None


def joined(key: Any, value: Any, state: Any) -> Any:
    """Texts."""
    if state.isTimingOut():
        return state.get()
    state.update((state.getOption() or "") + value)
    return f"{key}: {value}"


NUMERIC: list[Callable[..., Any]] = [
    total, as_it_was, mean, gone_above_ten, set_by_the_second, of_another_type, changed_in_place, divided,
    divided_in_vain, refusing_seven, growing, returning_much, of_all_sorts, of_keys_alone,
    removed_and_set, largest,
]  # fmt: skip


class Sale(NamedTuple):
    """A value and a state."""

    client: int
    price: float


def latest(key: Any, value: Any, state: Any) -> Any:
    before = state.getOption()
    if not state.isTimingOut() and (before is None or value.price > before.price):
        state.update(value._replace(client=key))
    return before


# ------------------------------------------------------------------------------------- records

ints = st.integers(-3, 8)
floats = st.sampled_from([0.5, 1.0, 2.0, -1.5, 4.0, 7.0])
odd_floats = st.sampled_from([0.5, 1.0, 0.0, -0.0, math.nan, math.inf, 2.0**60])
huge = st.sampled_from([1, 5, 2**62, 2**63 - 1, -(2**63), 2**63])
mixed = st.one_of(ints, floats, st.booleans())
texts = st.sampled_from(["", "a", "b", "ab", "\u00e9\u00df", "\U0001f600", "x" * 40])
odd_texts = st.one_of(texts, st.just("\ud800"))
keys = st.sampled_from(
    [
        ints, floats, st.booleans(), texts, st.tuples(ints, texts), st.tuples(st.booleans(), floats),
        odd_floats, st.tuples(odd_floats, ints), st.one_of(ints, st.sampled_from([True, 1.0, 2.0, None])),
        odd_texts,
    ]
)  # fmt: skip
values = st.sampled_from([ints, ints, floats, odd_floats, huge, mixed])


@st.composite
def graphs(draw: Any) -> Graph:
    key, of_text = draw(keys), draw(st.integers(0, 5)) == 0
    value = draw(st.sampled_from([texts, odd_texts])) if of_text else draw(values)
    function = joined if of_text else draw(st.sampled_from(NUMERIC))
    pairs = st.tuples(key, value)
    batches = draw(st.lists(st.lists(pairs, max_size=12), min_size=1, max_size=5))
    initial = draw(st.none() | st.lists(pairs, min_size=1, max_size=4))
    timeout = draw(st.none() | st.integers(1, 2))
    return graph_of(batches, function, draw(st.integers(1, 2)), initial, timeout)


def graph_of(batches: Any, function: Any, count: int = 1, initial: Any = None, timeout: Any = None) -> Graph:
    mapped = Apply("mapWithState", (Batches(batches, 1),), (function, count, initial, timeout))
    return Apply("union", (mapped, Apply("stateSnapshots", (mapped,), ())))


@contextmanager
def waves_of_any_size(worth: int = 0) -> Iterator[list[int]]:
    """Whatever can be on columns is; the sizes of what was."""
    found: list[int] = []
    plain = MappingPlan.run

    def run(self: MappingPlan, leaves: Any, length: int) -> Any:
        made = plain(self, leaves, length)
        found.append(length)
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(waves, "WORTH_WAVE", worth)
        patch.setattr(MappingPlan, "worth_trying", lambda self: True)
        patch.setattr(MappingPlan, "run", run)
        yield found


def law(graph: Graph, chunk_rows: int = 100, worth: int = 0) -> list[int]:
    with records_in_columns(chunk_rows, lambda: None), waves_of_any_size(worth) as found:
        check(graph, "local[1]", CHUNK_ROWS)
    return found


@example(graph=graph_of([[(1, 2), (2, 0)]], divided), chunk_rows=100, worth=0)
@example(graph=graph_of([[(1, 2), (1, 5)], [(1, 0)]], divided), chunk_rows=100, worth=0)
@example(graph=graph_of([[("a", 11), ("b", 1), ("a", 2)], [("b", 12), ("b", 1), ("c", 1)]], gone_above_ten),
         chunk_rows=100, worth=0)  # fmt: skip
@example(graph=graph_of([[(1, 3)], [(1, 5)]], as_it_was), chunk_rows=100, worth=0)
@given(graph=graphs(), chunk_rows=st.sampled_from([1, 3, 100]), worth=st.sampled_from([0, 0, 2]))
def test_columns_are_rows(graph: Graph, chunk_rows: int, worth: int) -> None:
    law(graph, chunk_rows, worth)


@given(graph=graphs(), chunk_rows=st.sampled_from([1, 3, 100]))
def test_states_in_columns_with_functions_on_rows_are_the_same(graph: Graph, chunk_rows: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mapping, "MANY_KEYS", 1)
        check(graph, "local[1]", chunk_rows)


@pytest.mark.long(minutes=2)
@given(graph=graphs(), chunk_rows=st.sampled_from([1, 2, 3, 100]), worth=st.sampled_from([0, 0, 1, 2, 3]))
def test_columns_are_rows_at_length(graph: Graph, chunk_rows: int, worth: int) -> None:
    law(graph, chunk_rows, worth)


@pytest.mark.parametrize(
    "function",
    [
        total,
        as_it_was,
        mean,
        gone_above_ten,
        set_by_the_second,
        divided,
        largest,
        of_all_sorts,
        of_keys_alone,
    ],
)
def test_these_functions_are_on_columns(function: Callable[..., Any]) -> None:
    batches = [[(key, 1.5) for key in range(10)] * 2, [], [(3, 2.5)], [], [], [(4, 2.5)]]
    found = law(graph_of(batches, function, timeout=1))
    assert found[:2] == [10, 10], "a wave for each record of a key"
    assert len(found) >= 4


@pytest.mark.parametrize("function", [changed_in_place])
def test_these_are_not(function: Callable[..., Any]) -> None:
    assert law(graph_of([[(key, 1) for key in range(10)]], function)) == []


def test_few_keys_with_many_records_are_left_to_python() -> None:
    batches = [[(key % 2, 1) for key in range(100)], [(key, 1) for key in range(100)]]
    assert law(graph_of(batches, total), worth=10) == [100]


@pytest.mark.parametrize(
    "function", [total, mean, gone_above_ten, set_by_the_second, of_another_type, largest]
)
@pytest.mark.parametrize("timeout", [None, 1])
def test_of_a_few_keys_with_many_records_the_rest_is_left_to_python(
    function: Callable[..., Any], timeout: int | None
) -> None:
    batch = [(key, key % 5) for key in range(50)]
    batch[20:20] = [(3, at % 4 - 1) for at in range(15)] + [(7, 3)] * 10
    found = law(graph_of([batch, batch[::-1]], function, timeout=timeout), worth=10)
    assert found[:2] == [50, 50] or function is of_another_type


def test_a_batch_that_does_not_fit_is_python_s_alone() -> None:
    """The next one is on columns again."""
    whole = [(key, 1) for key in range(10)]
    assert law(graph_of([whole, [(1, 4)], whole], returning_much)) == [10, 10]


def test_a_state_that_does_not_fit_makes_rows_of_all_that_follows() -> None:
    whole = [(key, 1) for key in range(10)]
    assert law(graph_of([whole, [(1, 4)], whole], growing)) == [10]


INT, TEXT = Scalar(int), Scalar(str)


@pytest.mark.parametrize(
    ("before", "records", "says"),
    [
        (Untraced("no matter"), Tuple((TEXT, INT)), "states of int by str"),
        (Tuple((TEXT, INT)), Tuple((TEXT, INT)), "states of int by str"),
        (Tuple((INT, INT)), Tuple((TEXT, INT)), "keys are int at first, and str then"),
        (Tuple((TEXT, Scalar(float))), Tuple((TEXT, INT)), "states of float by str"),
        (Untraced("no matter"), Untraced("why"), "what it reads are Python objects"),
        (Untraced("no matter"), INT, "int is no pair"),
        (
            Untraced("no matter"),
            Tuple((Scalar(bytes), INT)),
            "keys that are bytes are kept as Python objects",
        ),
    ],
)
def test_what_explain_says(before: Any, records: Any, says: str) -> None:
    found = mapping.form_of(total, False, before, records)
    assert (found.reason if isinstance(found, Untraced) else str(found)) == says


def test_a_record_is_a_state_too() -> None:
    """Its class is that of the states that come back."""
    batches = [[(key, Sale(key, 1.5)) for key in range(10)], [(3, Sale(4, 2.0))]]
    assert law(graph_of(batches, latest)) == [10, 1]


def test_columns_come_out_of_it() -> None:
    """What is returned goes on as columns, and so do the snapshots."""
    kinds: list[type] = []

    def look(rdd: Any) -> None:
        kinds.extend(rdd.context.run(rdd.plan, lambda task, chunks: type(next(chunks))))

    def build(stream: Any) -> Any:
        mapped = stream.mapWithState(StateSpec.function(total).numPartitions(1))
        mapped.foreachRDD(look)
        mapped.stateSnapshots().foreachRDD(look)
        return mapped

    with records_in_columns(1000, lambda: None), Context("local[1]", "columns") as sc:
        run_batches([[(key, 1) for key in range(10)]], build, context=sc)
    assert kinds == [Columns, Columns]


def test_what_waves_have_changed_can_be_saved(request: pytest.FixtureRequest) -> None:
    """An image with the changes of each batch is the image of the newest version: over many batches, failed
    ones and new tables included; and restored it goes on like it."""
    draw = random.Random(request.node.name)
    version: Any = RowVersion.of([], 0)
    saved, restored, whole = version.image(), version, 0
    with waves_of_any_size(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "WORTH_ROWS", 1)
        patch.setattr(columns_module, "_HOLES_MIN", 4)
        for time in range(1, 150):
            pairs = [(draw.randrange(time + 20), draw.randrange(12)) for _ in range(draw.randrange(1, 30))]
            records = Columns.from_rows(pairs)
            found = mapping.on_columns(gone_above_ten, version, [records], expires=True)
            assert found is not None
            with suppress(ZeroDivisionError), found.version.update(time) as update:
                update.expire_before(time - 9)
                assert found.run(update, keeps_time=True)
                if draw.random() < 0.3:
                    raise ZeroDivisionError
                again = mapping.on_columns(gone_above_ten, restored, [records], expires=True)
                assert again is not None
                with again.version.update(time) as same:
                    same.expire_before(time - 9)
                    assert again.run(same, keeps_time=True)
                changes, version = update.version.changes(version), update.version
                whole += changes is None
                saved = version.image() if changes is None else changed([saved, changes], close=False)
                assert contents(saved) == contents(version.image()) == contents(same.version.image())
                restored = ColumnVersion.of_image(saved)
    assert 1 < whole < 40, "the first one, and new tables"
