"""Windows of many slides, put together of pieces that are kept: to the last bit what their brackets say."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import add, sub
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import Context, StreamingContext
from penstock.clock import ManualClock
from penstock.dstream import DStream
from penstock.dstream.bracketing import bracketing
from penstock.dstream.windows import KeyedWindow
from penstock.testing import CollectingSink, Stepper, run_batches, same
from penstock.testing import functions as fn
from penstock.vectorize import programs

pytestmark = pytest.mark.usefixtures("sc")

Pairs = list[tuple[Any, Any]]
Function = Callable[[Any, Any], Any]


class Failure(Exception):
    """What the failing batches raise."""


class Program:
    """A window that is read in every batch; ``start`` is the number of the batch before the first."""

    def __init__(
        self, batches: Sequence[Any], build: Callable[[DStream], DStream], start: int = 0, failing: Any = ()
    ) -> None:
        sc = Context._active
        assert sc is not None
        self.clock = ManualClock(start * 1000)
        self.ssc = StreamingContext(sc, 1, clock=self.clock)
        self.count = len(batches)
        self.failing = {number + start for number in failing}
        self.sink = CollectingSink()
        stream = self.ssc.queueStream(
            [b if not isinstance(b, list) else sc.parallelize(b, 1) for b in batches]
        )
        build(stream).foreachRDD(self.sink)
        stream.foreachRDD(self._fail)

    def _fail(self, time: Any, rdd: Any) -> None:
        if round(time.timestamp()) in self.failing:
            raise Failure

    def steps(self) -> Iterator[int]:
        """Yields after each batch, whether it has failed or not."""
        with Stepper(self.ssc, self.clock) as stepper:
            for number in range(1, self.count + 1):
                try:
                    stepper.step()
                except Failure:
                    self.ssc.driver.error = None
                yield number

    def forget_pieces(self) -> None:
        """As after a restart."""
        self.ssc.driver._generation._pieces.clear()

    def found(self) -> dict[int, Pairs]:
        """What the window held, by the number of the batch."""
        for _ in self.steps():
            pass
        return self.results()

    def results(self) -> dict[int, Pairs]:
        times = (round(time.timestamp()) for time in self.sink.times)
        return dict(zip(times, self.sink.batches, strict=True))


def folded(function: Function, pairs: Pairs) -> Pairs:
    values: dict[Any, Any] = {}
    for key, value in pairs:
        values[key] = function(values[key], value) if key in values else value
    return list(values.items())


def specified(
    function: Function, batches: Sequence[Pairs], now: int, length: int, failing: Any, start: int = 0
) -> Pairs:
    """The window at batch ``now``; nothing is left of batches that failed before."""

    def pairs(brackets: Any) -> Pairs:
        if isinstance(brackets, int):
            at = brackets - start
            there = 0 < at <= len(batches) and (at == now or at not in failing)
            return folded(function, batches[at - 1]) if there else []
        return folded(function, [pair for each in brackets for pair in pairs(each)])

    return pairs(bracketing(now + start, length))


def nested(one: Any, other: Any) -> Any:
    """Shows the brackets themselves."""
    return (one, other)


def extended(one: Any, other: Any) -> Any:
    """Changes what it is given, both of it."""
    one.extend(other)
    other.clear()
    return one


FUNCTIONS: list[tuple[Function, Callable[[int], Any]]] = [
    (nested, int),
    (add, lambda seed: (seed * 0.1) ** 3),
    (sub, lambda seed: seed * 0.7),
    (add, str),
    (max, int),
    (min, lambda seed: -(seed % 7)),
    (fn.longer_of, lambda seed: "x" * (seed % 4) + str(seed)),
]
CHANGING: list[tuple[Function, Callable[[int], Any]]] = [
    (extended, lambda seed: [seed]),
    (fn.joined_in_place, lambda seed: [seed, [seed]]),
]


def made(seeds: list[list[tuple[str, int]]], value_of: Callable[[int], Any]) -> list[Pairs]:
    return [[(key, value_of(seed)) for key, seed in batch] for batch in seeds]


def drawn(seed: int, count: int) -> list[list[tuple[str, int]]]:
    """As many batches, some of them empty."""
    chance = random.Random(seed)
    return [
        [(chance.choice("abc"), chance.randrange(100)) for _ in range(chance.choice((0, 1, 1, 2, 4)))]
        for _ in range(count)
    ]


@pytest.mark.many_jobs
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 110),
    which=st.integers(0, len(FUNCTIONS) + len(CHANGING) - 1),
    length=st.integers(1, 50),
    slide=st.sampled_from((1, 1, 1, 2, 3, 7, 50)),
    start=st.integers(0, 200),
    failing=st.sets(st.integers(1, 110), max_size=9),
    lost=st.sets(st.integers(1, 110), max_size=3),
)
def test_a_window_is_what_its_brackets_say(
    seed: int, count: int, which: int, length: int, slide: int, start: int, failing: Any, lost: Any
) -> None:
    """Whatever the function, when the program started, which batches failed, and when pieces were lost."""
    function, value_of = (FUNCTIONS + CHANGING)[which]
    seeds = drawn(seed, count)
    program = Program(
        made(seeds, value_of),
        lambda stream: stream.reduceByKeyAndWindow(function, None, length, slide, 1),
        start,
        failing,
    )
    for number in program.steps():
        if number in lost:
            program.forget_pieces()
    found = program.results()
    assert sorted(found) == [n + start for n in range(1, count + 1) if n % slide == 0]
    for at, pairs in found.items():
        batches = made(seeds, value_of)  # anew: the function may change it
        wanted = specified(function, batches, at - start, length, failing, start)
        assert same(pairs, wanted), f"batch {at}"


@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 60),
    length=st.integers(1, 30),
    kind=st.sampled_from(("int", "float", "max")),
    failing=st.sets(st.integers(1, 40), max_size=4),
    in_order=st.booleans(),
)
def test_columns_are_combined_as_rows_are(
    seed: int, count: int, length: int, kind: str, failing: set[int], in_order: bool
) -> None:
    """With the same keys in each slide, and with others."""
    chance = random.Random(seed)
    seeds = [[chance.randrange(-5, 40) for _ in range(chance.randrange(1, 7))] for _ in range(count)]
    function: Function = max if kind == "max" else add
    batches: list[Pairs] = []
    for number, values in enumerate(seeds):
        keys = range(len(values)) if in_order else sorted({value % 5 + number % 2 for value in values})
        batches.append(
            [
                (key, value * 0.1 if kind == "float" else value)
                for key, value in zip(keys, values, strict=False)
            ]
        )
    sc = Context._active
    assert sc is not None
    results = []
    for worth in (0, 10**9):
        with worth_of(worth):
            tables = [
                sc.fromArrow(pa.table(dict(zip("kv", zip(*b, strict=True), strict=True))), 1) for b in batches
            ]
            program = Program(
                tables,
                lambda stream: stream.map(lambda row: (row.k, row.v)).reduceByKeyAndWindow(
                    function, length, 1, 1
                ),
                7,
                failing,
            )
            results.append(program.found())
    assert same(results[0], results[1])
    for at, pairs in results[0].items():
        assert same(pairs, specified(function, batches, at - 7, length, failing, 7))


@contextmanager
def worth_of(rows: int) -> Iterator[None]:
    before = programs.WORTH_ROWS
    programs.WORTH_ROWS = rows
    try:
        yield
    finally:
        programs.WORTH_ROWS = before


def test_dense_columns_are_combined_without_looking_keys_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock.vectorize import folds

    looked_up: list[int] = []
    plain = folds.KeyIndex.slots_of

    def slots_of(self: Any, leaves: Any, length: int) -> Any:
        looked_up.append(length)
        return plain(self, leaves, length)

    monkeypatch.setattr(folds.KeyIndex, "slots_of", slots_of)
    sc = Context._active
    assert sc is not None
    tables = [sc.fromArrow(pa.table({"k": range(500), "v": range(n, n + 500)}), 1) for n in range(30)]
    build = lambda s: s.map(lambda row: (row.k, row.v)).reduceByKeyAndWindow(max, 20, 1, 1)  # noqa: E731
    found = Program(tables, build).found()
    assert found[30] == [(key, key + 29) for key in range(500)]
    assert len(looked_up) == 30  # by the slides alone


def never(value: Any, gone: Any) -> Any:
    raise AssertionError(f"the inverse was used on {value!r}")


@pytest.mark.many_jobs
@pytest.mark.parametrize("inverse", [None, never])
@pytest.mark.parametrize(
    ("length", "slide"), [(9, 1), (10, 1), (60, 1), (60, 4), (97, 1), (720, 1), (720, 60)]
)
def test_no_slide_takes_more_than_eight_combinations(length: int, slide: int, inverse: Any) -> None:
    """With an inverse function and floats, too."""
    calls = 0

    def largest(one: float, other: float) -> float:
        nonlocal calls
        calls += 1
        return max(one, other)

    count = length + min(2 * length, 120)
    program = Program(
        [[("a", n / 2)] for n in range(count)],
        lambda stream: stream.reduceByKeyAndWindow(largest, inverse, length, slide, 1),
    )
    before = 0
    for number in program.steps():
        assert calls - before <= 8, f"in batch {number}"
        before = calls
    assert calls <= count * 7
    held = program.ssc.driver._generation._pieces
    assert all(len(pieces) < 4 * length**0.5 + 20 for pieces in held.values())


def test_a_failed_batch_makes_the_next_one_no_dearer_than_twice() -> None:
    calls = 0

    def counted(one: str, other: str) -> str:
        nonlocal calls
        calls += 1
        return one + other

    failing = {70, 71, 90, 101}
    program = Program(
        [[("a", str(n))] for n in range(140)],
        lambda stream: stream.reduceByKeyAndWindow(counted, None, 60, 1, 1),
        failing=failing,
    )
    before, worst = 0, 0
    for number in program.steps():
        if number > 60:
            worst = max(worst, calls - before)
        before = calls
    assert worst <= 16


def test_pieces_that_cannot_be_made_are_told_and_make_no_batch_fail(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failing = {25, 30, 31}
    pieces = KeyedWindow.pieces

    def put_by(self: KeyedWindow, time: Any, batch: Any) -> Any:
        if time // 1000 in failing:
            raise MemoryError
        return pieces(self, time, batch)

    monkeypatch.setattr(KeyedWindow, "pieces", put_by)
    batches = [[("a", n)] for n in range(1, 61)]
    program = Program(batches, lambda stream: stream.reduceByKeyAndWindow(nested, None, 12, 1, 1))
    found = program.found()
    assert len(found) == len(batches)
    for at, pairs in found.items():
        assert pairs == specified(nested, batches, at, 12, set())
    assert sum("has put nothing by" in message for message in caplog.messages) == len(failing)


@pytest.mark.many_jobs
def test_when_a_program_started_does_not_show() -> None:
    """Floats to the last bit, once the windows hold the same slides."""
    values = [[("a", (n * 0.1) ** 3), ("b", 1 / (n + 1))] for n in range(300)]

    def run(start: int) -> dict[int, Pairs]:
        build = lambda s: s.reduceByKeyAndWindow(add, None, 60, 1, 1)  # noqa: E731
        return Program(values[start:], build, start).found()

    first, later = run(0), run(37)
    assert all(same(first[at], later[at]) for at in range(97, 300))
    assert not all(
        same(first[at], [(k, sum(v for b in values[at - 60 : at] for key, v in b if key == k)) for k in "ab"])
        for at in range(97, 300)
    )


def test_slides_of_several_batches_are_numbered_by_their_own_length() -> None:
    """Slides of two batches that end at odd times; the window has twelve of them and moves by two."""

    def build(stream: DStream) -> DStream:
        return stream.window(2, 2).reduceByKeyAndWindow(nested, None, 24, 4, 1)

    found = Program([[("a", n)] if n % 2 else [] for n in range(1, 101)], build, start=101).found()
    slides = [[("a", n)] for n in range(1, 101, 2)]  # the first ends at 103, which makes it number 51
    assert sorted(found) == list(range(105, 202, 4))
    for at, pairs in found.items():
        assert pairs == specified(nested, slides, at // 2 - 50, 12, (), start=50)


def test_a_function_that_raises_before_its_time_fails_no_batch_but_its_own() -> None:
    """Slides 18 and 19 are first combined by themselves in the window of batch 25."""

    def picky(one: Any, other: Any) -> Any:
        if (one, other) == (18, 19):
            raise Failure
        return (one, other)

    program = Program(
        [[("a", n)] for n in range(1, 36)], lambda s: s.reduceByKeyAndWindow(picky, None, 10, 1, 1)
    )
    found = program.found()
    assert sorted(set(range(1, 36)) - set(found)) == [25, 26, 27]
    batches = [[("a", n)] for n in range(1, 36)]
    for at, pairs in found.items():
        assert pairs == specified(nested, batches, at, 10, {25, 26, 27})


VALUES = (1, 2, -3, 7, True, False, 0.1, 0.2, 1e17)


@pytest.mark.many_jobs
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 80),
    kinds=st.sampled_from(((int,), (int, bool), (int, bool, float))),
    length=st.integers(1, 30),
    slide=st.integers(1, 3),
    failing=st.sets(st.integers(1, 80), max_size=3),
)
def test_an_inverse_never_shows(
    seed: int, count: int, kinds: tuple[type, ...], length: int, slide: int, failing: set[int]
) -> None:
    """Not where it is used, and not where values come and go on which it cannot be used."""
    values = [value for value in VALUES if type(value) in kinds]
    chance = random.Random(seed)
    few = [value for value in values if type(value) is int] * 40 + values  # so that the others come and go
    batches = [[(key, chance.choice(few)) for key, _ in pairs] for pairs in drawn(seed, count)]
    found = [
        Program(
            batches,
            lambda s, inverse=inverse: s.reduceByKeyAndWindow(add, inverse, length, slide, 1),
            5,
            failing,
        ).found()
        for inverse in (None, sub)
    ]
    assert same(found[0], found[1])


@pytest.mark.in_process("looks at what a function leaves in the memory of the program")
def test_windows_of_one_stream_share_what_each_slide_is_folded_to() -> None:
    folds = 0

    def counted(one: int, other: int) -> int:
        nonlocal folds
        folds += 1
        return one + other

    def build(s: DStream) -> tuple[DStream, ...]:
        return (
            s.reduceByKeyAndWindow(counted, None, 2, 1, 1),
            s.reduceByKeyAndWindow(counted, sub, 3, 1, 1),
            s.reduceByKeyAndWindow(counted, 4, 2, 1),
        )

    batches = [[("a", 1)] * 101 for _ in range(4)]
    found = run_batches(batches, build, numPartitions=1)
    assert [[dict(pairs)["a"] // 101 for pairs in one if pairs] for one in found] == [
        [1, 2, 2, 2],
        [1, 2, 3, 3],
        [2, 4],
    ]
    assert 400 <= folds < 430


@pytest.mark.parametrize(
    ("build", "shared"),
    [
        (lambda s: (s.countByWindow(2, 1), s.countByWindow(5, 1)), True),
        (lambda s: (s.countByValueAndWindow(2, 1), s.countByValueAndWindow(5, 1)), True),
        (lambda s: (s.groupByKeyAndWindow(2), s.groupByKeyAndWindow(3)), True),
        (lambda s: (s.reduceByWindow(add, 2, 1), s.reduceByWindow(add, 3, 1)), True),
        (lambda s: (s.reduceByKeyAndWindow(add, 2), s.reduceByKeyAndWindow(max, 2)), False),
        (lambda s: (s.reduceByKeyAndWindow(add, 2, 1, 1), s.reduceByKeyAndWindow(add, 3, 1, 2)), False),
        (lambda s: (s.reduceByKeyAndWindow(add, 2), s.map(abs).reduceByKeyAndWindow(add, 2)), False),
        (lambda s: (s.reduceByWindow(add, 2), s.reduceByKeyAndWindow(add, 2, 1, 1)), False),
    ],
)
def test_what_windows_share(sc: Context, build: Any, shared: bool) -> None:
    ssc = StreamingContext(sc, 1, clock=ManualClock())
    windows = []
    for stream in build(ssc.queueStream([])):
        node = stream._node
        while not hasattr(node, "partials"):
            node = node.dependencies[0]
        windows.append(node.partials)
    assert (windows[0] is windows[1]) is shared
