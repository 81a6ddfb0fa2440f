"""``ssc.state``: looking at state by key, between batches and while they run, whatever form it has."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import Context, StateSpec, StreamingContext
from penstock.chunk import Columns, Rows
from penstock.clock import ManualClock
from penstock.dstream import DStream, StateView
from penstock.dstream.looking import HeldPairs
from penstock.errors import ArgumentError, KeyTypeError, SignatureError, StateError
from penstock.state import ColumnVersion, RowVersion
from penstock.testing import Stepper

ABSENT = object()


@pytest.fixture
def sc(tmp_path: Path) -> Iterator[Context]:
    with Context("local[2]", "looking") as sc:
        sc.setCheckpointDir(str(tmp_path))
        yield sc


def summed(values: list[int], state: int | None) -> int | None:
    total = sum(values) + (state or 0)
    return None if total < 0 else total


def counted(key: Any, value: int, state: Any) -> None:
    if value < 0:
        state.remove()
    else:
        state.update((state.getOption() or 0) + value)


def by_update(pairs: DStream, parts: int) -> DStream:
    return pairs.updateStateByKey(summed, parts)


def by_map(pairs: DStream, parts: int) -> DStream:
    return pairs.mapWithState(StateSpec.function(counted).numPartitions(parts)).name("sums").stateSnapshots()


KINDS = {"updateStateByKey": by_update, "mapWithState": by_map}


def started(
    sc: Context, batches: list[list[Any]], build: Callable[[DStream, int], DStream], parts: int
) -> tuple[Stepper, StreamingContext]:
    clock = ManualClock()
    ssc = StreamingContext(sc, 1, clock=clock)
    build(ssc.queueStream(batches), parts).name("sums").foreachRDD(lambda rdd: rdd.count())
    return Stepper(ssc, clock), ssc


def names(ssc: StreamingContext) -> StateView:
    return ssc.state("sums" if _has(ssc, "sums") else "mapWithState-1")


def _has(ssc: StreamingContext, name: str) -> bool:
    try:
        ssc.state(name)
    except ArgumentError:
        return False
    return True


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize(
    "keys",
    [
        ["a", "b", "é"],
        [1, -7, 2**62],
        [("a", 1), ("a", 2), ("b", 1)],
        [1, "1", (1,), None],  # of several kinds: rows
    ],
)
def test_each_key_is_found_where_its_partition_is(
    sc: Context, kind: str, parts: int, keys: list[Any]
) -> None:
    many = [(number + 1000, 1) for number in range(3_000)] if type(keys[0]) is int else []
    first = [(key, place + 1) for place, key in enumerate(keys)]
    stepper, ssc = started(sc, [first + many, [(keys[0], 10), *many]], KINDS[kind], parts)
    with stepper:
        view = names(ssc)
        assert (view.time, view.get(keys[0]), view.count(), view.items()) == (None, None, 0, [])
        stepper.step()
        assert view.time == 1000
        assert [view.get(key) for key in keys] == [place + 1 for place in range(len(keys))]
        stepper.step()
        assert view.get(keys[0]) == 11
        assert view.get("not there", "default") == "default"
        assert (keys[1] in view, "not there" in view) == (True, False)
        assert view.count() == len(keys) + len(many)
        assert dict(view.items(10**6)) == {
            **{key: place + 1 for place, key in enumerate(keys)}, keys[0]: 11, **{k: 2 for k, _ in many},
        }  # fmt: skip
        assert len(view.items(2)) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_that_was_removed_is_not_there(sc: Context, kind: str) -> None:
    stepper, ssc = started(sc, [[("a", 1), ("b", 1)], [("a", -9)]], KINDS[kind], 2)
    with stepper:
        stepper.step()
        stepper.step()
        assert names(ssc).get("a") is None
        assert names(ssc).count() == 1


def test_equal_keys_of_other_classes_are_the_same_key(sc: Context) -> None:
    stepper, ssc = started(sc, [[(n, n) for n in range(2000)]], by_update, 1)
    with stepper:
        stepper.step()
        view = ssc.state("sums")
        assert (view.get(7.0), view.get(True), view.get(7.5), view.get("7")) == (7, 1, None, None)


def test_a_batch_that_fails_shows_nothing_of_itself(sc: Context) -> None:
    def fails(values: list[int], state: int | None) -> int:
        if 13 in values:
            raise ValueError("13")
        return sum(values) + (state or 0)

    stepper, ssc = started(sc, [[("a", 1)], [("a", 13)], []], lambda s, n: s.updateStateByKey(fails, n), 1)
    with stepper:
        stepper.step()
        with pytest.raises(ValueError, match="13"):
            stepper.step()
        assert (ssc.state("sums").get("a"), ssc.state("sums").time) == (1, 1000)


def test_what_is_looked_at_is_a_copy(sc: Context) -> None:
    build: Any = lambda s, n: s.updateStateByKey(lambda values, state: [*(state or []), *values], n)  # noqa: E731
    stepper, ssc = started(sc, [[("a", 1)], []], build, 1)
    with stepper:
        stepper.step()
        view = ssc.state("sums")
        view.get("a").append("mine")
        view.items()[0][1].append("mine")
        assert view.get("a") == [1]


def test_a_running_batch_is_not_waited_for_and_not_seen(sc: Context) -> None:
    """While an output of batch 2 waits for us, what is read is batch 1."""
    clock = ManualClock()
    ssc = StreamingContext(sc, 1, clock=clock)
    seen: list[tuple[Any, Any]] = []
    sums = ssc.queueStream([[("a", 1)], [("a", 2)]]).updateStateByKey(summed, 2).name("sums")

    def look(rdd: Any) -> None:
        rdd.collect()
        thread = threading.Thread(
            target=lambda: seen.append((ssc.state("sums").time, ssc.state("sums").get("a")))
        )
        thread.start()
        thread.join(10)

    sums.foreachRDD(look)
    with Stepper(ssc, clock) as stepper:
        stepper.step()
        stepper.step()
    assert seen == [(None, None), (1000, 1)]
    assert ssc.state("sums").get("a") == 3  # after the end, too


def test_who_looks_while_batches_run_sees_whole_batches_only(sc: Context) -> None:
    """Each batch adds 1 to every key; a reader on another thread never sees a number go back."""
    keys = list(range(500))
    stepper, ssc = started(sc, [[(key, 1) for key in keys] for _ in range(40)], by_map, 2)
    over = threading.Event()
    wrong: list[Any] = []

    def look() -> None:
        view, last = names(ssc), 0
        while not over.is_set():
            now = view.get(250) or 0
            if now < last:
                wrong.append((last, now))
            last = now

    with stepper:
        reader = threading.Thread(target=look)
        reader.start()
        for _ in range(40):
            stepper.step()
        over.set()
        reader.join(10)
        assert not reader.is_alive()
        assert wrong == []
        assert names(ssc).get(250) == 40


def test_errors_say_what_would_do(sc: Context) -> None:
    stepper, ssc = started(sc, [[("a", 1)]], by_update, 2)
    with pytest.raises(StateError, match="before the start"):
        ssc.state("sums")
    with stepper:
        stepper.step()
        with pytest.raises(ArgumentError, match=r"no operator with state is named 'sum'.*there is sums"):
            ssc.state("sum")
        view = ssc.state("sums")
        with pytest.raises(KeyTypeError):
            view.get(["a"])
        with pytest.raises(SignatureError):
            view.items("all")  # type: ignore[arg-type]
        with pytest.raises(ArgumentError):
            view.items(-1)


Step = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(["put", "remove"]), st.integers(0, 99)), max_size=6
)


@given(st.lists(Step, min_size=1, max_size=6), st.booleans())
def test_every_version_goes_on_saying_what_it_was(steps: list[Any], columns: bool) -> None:
    """Older versions, too, while newer ones lie in the same table."""
    version: Any = (
        ColumnVersion.of_pairs(Columns.from_rows([(99, 0)]), 0) if columns else RowVersion.of([(99, 0)], 0)
    )
    model = {99: 0}
    versions = [(version, dict(model))]
    for time, step in enumerate(steps, 1):
        with version.update(time * 1000) as update:
            for key, what, value in step:
                if what == "put":
                    update.put(key, value)
                    model[key] = value
                else:
                    update.remove(key)
                    model.pop(key, None)
        version = update.version
        versions.append((version, dict(model)))
    for held, expected in [*versions, *reversed(versions)]:
        assert {key: held.get(key, ABSENT) for key in (*range(6), 99, 7)} == {
            key: expected.get(key, ABSENT) for key in (*range(6), 99, 7)
        }
        assert dict(held.first(100).rows()) == expected
        assert len(held.first(1)) == min(1, len(expected))
    with pytest.raises(TypeError):
        version.get([], None)


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 99)), min_size=1, max_size=8), st.integers(-3, 3)
)
def test_pairs_in_columns_and_in_rows_are_looked_up_alike(pairs: list[Any], key: int) -> None:
    expected = dict(pairs)
    unique = list(expected.items())
    for chunks in (
        [Columns.from_rows(unique)],
        [Rows(unique)],
        [Columns.from_rows([("x", 1)]), Rows(unique)],
    ):
        table = HeldPairs(chunks)
        assert table.get(key, ABSENT) == expected.get(key, ABSENT)
        assert table.get(float(key), ABSENT) == expected.get(key, ABSENT)
        assert table.get(None, ABSENT) is ABSENT
    nothing = HeldPairs([Columns.from_rows([(None, 1)])])
    assert (nothing.get(None, ABSENT), nothing.get(key, ABSENT)) == (1, ABSENT)
