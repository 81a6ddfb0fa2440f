"""Windows against plain lists: every form, every ratio of length and slide, with an inverse and without."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from operator import add, sub
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import Context, DStream, Milliseconds, Partitioner, Seconds, StorageLevel, StreamingContext
from penstock.chunk import Chunk, Rows
from penstock.clock import ManualClock
from penstock.dstream.bracketing import bracketing
from penstock.dstream.correcting import Corrected
from penstock.errors import ArgumentError, SignatureError, failure_of
from penstock.plan import Metrics, Task, call_site
from penstock.testing import Stepper, assert_batches_equal, run_batches

pytestmark = pytest.mark.usefixtures("sc")

Pairs = list[tuple[Any, Any]]


def held(batches: list[list[Any]], length: int, slide: int) -> list[list[list[Any]] | None]:
    """The batches that the window holds after each batch; ``None`` where there is no window."""
    return [
        batches[max(0, now - length) : now] if now % slide == 0 else None
        for now in range(1, len(batches) + 1)
    ]


def folded(function: Callable[[Any, Any], Any], slides: list[Pairs] | None) -> Pairs | None:
    """Each slide folded by key, then the slides from the oldest to the newest."""
    if slides is None:
        return None
    total: dict[Any, Any] = {}
    for slide in slides:
        one: dict[Any, Any] = {}
        for key, value in slide:
            one[key] = function(one[key], value) if key in one else value
        for key, value in one.items():
            total[key] = function(total[key], value) if key in total else value
    return list(total.items())


def put_together(function: Callable[[Any, Any], Any], batches: list[Pairs], now: int, length: int) -> Pairs:
    """The window after so many batches, of one value a key and batch, in its brackets."""

    def pairs(brackets: Any) -> Pairs:
        if isinstance(brackets, int):
            return batches[brackets - 1] if 0 < brackets <= len(batches) else []
        return folded(function, [pairs(each) for each in brackets]) or []

    return pairs(bracketing(now, length))


RATIOS = [
    (1, 1),
    (2, 1),
    (3, 1),
    (5, 1),
    (7, 1),
    (2, 2),
    (4, 2),
    (6, 3),
    (3, 2),
    (5, 2),
    (1, 2),
    (1, 3),
    (2, 5),
    (30, 1),
]
BATCHES: list[Pairs] = [
    [("a", 1), ("b", 2), ("a", 3)],
    [],
    [("c", 5)],
    [("a", 7), ("c", 1), ("b", 4)],
    [],
    [],
    [("b", 1)],
    [("a", 2), ("a", 2)],
    [],
    [("d", 0)],
    [],
    [("a", -5)],
]


@pytest.mark.parametrize(("length", "slide"), RATIOS)
def test_window_holds_the_last_records(length: int, slide: int) -> None:
    expected = [
        None if slides is None else [record for one in slides for record in one]
        for slides in held(BATCHES, length, slide)
    ]
    assert_batches_equal(run_batches(BATCHES, lambda s: s.window(length, slide), numPartitions=1), expected)


@pytest.mark.parametrize("inverse", [None, sub])
@pytest.mark.parametrize(("length", "slide"), RATIOS)
def test_reduce_by_key_and_window(length: int, slide: int, inverse: Any) -> None:
    expected = [folded(add, slides) for slides in held(BATCHES, length, slide)]
    out = run_batches(
        BATCHES, lambda s: s.reduceByKeyAndWindow(add, inverse, length, slide, 1), numPartitions=1
    )
    assert_batches_equal(out, expected)


@pytest.mark.many_jobs
@pytest.mark.parametrize(("length", "slide"), RATIOS)
def test_what_does_not_commute_is_folded_in_order(length: int, slide: int) -> None:
    letters = [[(key, f"{key}{value}") for key, value in batch] for batch in BATCHES]
    expected = [folded(add, slides) for slides in held(letters, length, slide)]
    out = run_batches(letters, lambda s: s.reduceByKeyAndWindow(add, length, slide, 1), numPartitions=1)
    assert_batches_equal(out, expected)
    strip = lambda text, gone: text.removeprefix(gone)  # noqa: E731
    out = run_batches(
        letters, lambda s: s.reduceByKeyAndWindow(add, strip, length, slide, 1), numPartitions=1
    )
    assert_batches_equal(out, expected)


@pytest.mark.many_jobs
@pytest.mark.parametrize(("length", "slide"), RATIOS)
def test_the_other_windows(length: int, slide: int) -> None:
    windows = held(BATCHES, length, slide)
    flat = [None if one is None else [record for batch in one for record in batch] for one in windows]
    out = run_batches(
        BATCHES,
        lambda s: (
            s.countByWindow(length, slide),
            s.countByValueAndWindow(length, slide, 1),
            s.groupByKeyAndWindow(length, slide, 1).mapValues(list),
            s.map(lambda pair: pair[1]).reduceByWindow(add, length, slide),
            s.map(lambda pair: pair[1]).reduceByWindow(add, sub, length, slide),
        ),
        numPartitions=1,
    )
    sums = [None if one is None else [sum(v for _, v in one)] if one else [] for one in flat]
    groups = [
        None if one is None else list({k: [v for key, v in one if key == k] for k, _ in one}.items())
        for one in flat
    ]
    assert_batches_equal(out[0], [None if one is None else [len(one)] for one in flat])
    assert_batches_equal(out[1], [None if one is None else list(Counter(one).items()) for one in flat])
    assert_batches_equal(out[2], groups)
    assert_batches_equal(out[3], sums)
    assert_batches_equal(out[4], sums)


@given(
    batches=st.lists(
        st.lists(st.tuples(st.sampled_from("abc"), st.integers(-3, 3)), max_size=5), max_size=14
    ),
    length=st.integers(1, 8),
    slide=st.integers(1, 4),
    partitions=st.integers(1, 3),
)
def test_an_inverse_never_shows(batches: list[Pairs], length: int, slide: int, partitions: int) -> None:
    build = lambda s: tuple(  # noqa: E731
        s.reduceByKeyAndWindow(add, inverse, length, slide, 2) for inverse in (None, sub)
    )
    plain, corrected = run_batches(batches, build, numPartitions=partitions)
    assert_batches_equal(corrected, plain)
    expected = [folded(add, slides) for slides in held(batches, length, slide)]
    assert_batches_equal(plain, expected, ordered=False)


def never(value: Any, gone: Any) -> Any:
    raise AssertionError(f"the inverse was used on {value!r}")


@dataclass(frozen=True)
class Money:
    amount: float

    def __add__(self, other: Money) -> Money:
        return Money(self.amount + other.amount)


INEXACT = [
    pytest.param([0.1, 0.2, 0.3, 1e16], id="float"),
    pytest.param([(1, 0.1), (1, 0.2), (1, 0.3)], id="float in a tuple"),
    pytest.param([[0.5], [0.25], [0.125]], id="float in a list"),
    pytest.param([Decimal("0.1"), Decimal(1) / 3, Decimal("1e30")], id="Decimal"),
    pytest.param([True, True, False, True], id="bool"),
    pytest.param([Money(0.1), Money(0.2), Money(0.3)], id="object"),
    pytest.param([1j, 2j, 3j], id="complex"),
]


@pytest.mark.parametrize("values", INEXACT)
def test_what_an_inverse_would_not_give_back_exactly_is_folded_anew(values: list[Any]) -> None:
    batches = [[("k", value)] for value in [*values, *values, *values]]
    out = run_batches(batches, lambda s: s.reduceByKeyAndWindow(add, never, 5, 1, 1))
    assert_batches_equal(out, [put_together(add, batches, now, 5) for now in range(1, len(batches) + 1)])


def test_floats_do_not_depend_on_the_past() -> None:
    """1e17 comes and goes; with an inverse its rounding would stay for ever."""
    batches = [[("k", value)] for value in (0.1, 1e17, 0.2, 0.3, 0.4, 0.5)]
    out = run_batches(batches, lambda s: s.reduceByKeyAndWindow(add, sub, 2, 1, 1))
    assert out[-1] == [("k", 0.4 + 0.5)]


@pytest.mark.parametrize("values", [[1, 2, 3], [Fraction(1, 3)] * 3, [timedelta(seconds=1)] * 3])
def test_exact_values_are_corrected_by_the_inverse(values: list[Any]) -> None:
    calls: list[Any] = []

    def inverse(value: Any, gone: Any) -> Any:
        calls.append(gone)
        return value - gone

    batches = [[("k", value)] for value in values * 3]
    out = run_batches(batches, lambda s: s.reduceByKeyAndWindow(add, inverse, 4, 1, 1))
    assert_batches_equal(out, [folded(add, slides) for slides in held(batches, 4, 1)])
    assert calls == (values * 3)[: len(calls)]
    assert len(calls) == len(batches) - 4


@pytest.mark.parametrize("length", [2, 3])
@pytest.mark.parametrize("persisted", [False, True])
@pytest.mark.parametrize(
    ("function", "inverse", "values"),
    [
        (add, sub, [1, True, 2, None, 3, True, None, False, None, None]),
        (add, sub, [True, 1, 1, True, True, None, 5, 5, 5]),
        (lambda a, b: int(a + b), lambda a, b: int(a - b), [1, 0.6, 0.6, 1, 2, 0.5, None, 3, 4, 5]),
    ],
)
def test_what_is_not_exact_may_stay_behind_values_that_are(
    function: Any, inverse: Any, values: list[Any], length: int, persisted: bool
) -> None:
    """The value of a window may be an int, and that of the one after it no int, as a bool has stayed."""
    batches = [[] if value is None else [("a", value), ("b", 1)] for value in values]

    def build(stream: DStream) -> DStream:
        made = stream.reduceByKeyAndWindow(function, inverse, length, 1, 1)
        return made.persist(StorageLevel.DISK_ONLY) if persisted else made

    found = run_batches(batches, build, numPartitions=1)
    assert_batches_equal(found, [folded(function, slides) for slides in held(batches, length, 1)])


def test_a_key_that_vanishes_is_gone_and_comes_back_as_new() -> None:
    batches = [[("a", 1), ("b", 1)], [("b", 1)], [("b", 1)], [("a", 5)], []]
    for inverse in (None, sub):
        out = run_batches(batches, lambda s, inverse=inverse: s.reduceByKeyAndWindow(add, inverse, 2, 1, 1))
        assert out == [
            [("a", 1), ("b", 1)],
            [("a", 1), ("b", 2)],
            [("b", 2)],
            [("b", 1), ("a", 5)],
            [("a", 5)],
        ]


def test_a_key_whose_sum_is_zero_is_still_there() -> None:
    out = run_batches([[("a", 1)], [("a", -1)], []], lambda s: s.reduceByKeyAndWindow(add, sub, 2, 1, 1))
    assert out == [[("a", 1)], [("a", 0)], [("a", -1)]]


def test_the_filter_function_hides_results_and_forgets_nothing() -> None:
    batches = [[("a", 5)], [("a", 10)], [("a", -9)], []]
    for inverse in (None, sub):
        out = run_batches(
            batches,
            lambda s, inverse=inverse: s.reduceByKeyAndWindow(
                add, inverse, 2, 1, 1, lambda pair: pair[1] < 12
            ),
        )
        assert out == [[("a", 5)], [], [("a", 1)], [("a", -9)]]


FORMS = [
    pytest.param(lambda s: s.reduceByKeyAndWindow(add, None, 2, 1, 1), id="PySpark without inverse"),
    pytest.param(lambda s: s.reduceByKeyAndWindow(add, sub, 2, 1, 1, None), id="PySpark with inverse"),
    pytest.param(lambda s: s.reduceByKeyAndWindow(add, None, 2), id="PySpark, short"),
    pytest.param(
        lambda s: s.reduceByKeyAndWindow(add, sub, 2, None, Partitioner(1)), id="PySpark, partitioner"
    ),
    pytest.param(lambda s: s.reduceByKeyAndWindow(add, 2), id="Scala, short"),
    pytest.param(lambda s: s.reduceByKeyAndWindow(add, Seconds(2), Seconds(1)), id="Scala, slide"),
    pytest.param(lambda s: s.reduceByKeyAndWindow(add, Seconds(2), Seconds(1), 1), id="Scala, partitions"),
    pytest.param(
        lambda s: s.reduceByKeyAndWindow(add, Seconds(2), Seconds(1), Partitioner(1)), id="Scala, partitioner"
    ),
    pytest.param(
        lambda s: s.reduceByKeyAndWindow(func=add, invFunc=sub, windowDuration=2, slideDuration=1),
        id="keywords",
    ),
    pytest.param(lambda s: s.reduceByKeyAndWindow(add, windowDuration=Milliseconds(2000)), id="mixed"),
    pytest.param(
        lambda s: s.reduceByKeyAndWindow(add, timedelta(seconds=2), numPartitions=1), id="timedelta"
    ),
    pytest.param(lambda s: s.reduceByKeyAndWindow(add, None, windowDuration=2.0), id="None, then keywords"),
    pytest.param(
        lambda s: s.reduceByKeyAndWindow(add, sub, 2, filterFunc=lambda pair: True), id="filterFunc"
    ),
]


@pytest.mark.parametrize("build", FORMS)
def test_the_forms_of_both_languages(build: Any) -> None:
    out = run_batches([[("a", 1)], [("a", 2)], [("a", 4)]], build)
    assert out == [[("a", 1)], [("a", 3)], [("a", 6)]]


@pytest.mark.parametrize(
    "build",
    [
        lambda s: s.reduceByWindow(add, sub, 2, 1),
        lambda s: s.reduceByWindow(add, None, 2, 1),
        lambda s: s.reduceByWindow(add, 2, 1),
        lambda s: s.reduceByWindow(add, Seconds(2)),
        lambda s: s.reduceByWindow(reduceFunc=add, invReduceFunc=sub, windowDuration=2, slideDuration=1),
        lambda s: s.reduceByWindow(add, windowDuration=2),
    ],
)
def test_the_forms_of_reduce_by_window(build: Any) -> None:
    assert run_batches([[1], [2], [4]], build) == [[1], [3], [6]]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda s: s.reduceByKeyAndWindow(add), "needs windowDuration"),
        (lambda s: s.reduceByKeyAndWindow(add, None), "needs windowDuration"),
        (lambda s: s.reduceByKeyAndWindow(add, 2, 1, 1, 1, 1), "at most 5 positional"),
        (lambda s: s.reduceByKeyAndWindow(add, None, 2, 1, 1, None, 7), "at most 6 positional"),
        (lambda s: s.reduceByKeyAndWindow(add, 2, window=3), "has no argument 'window'"),
        (lambda s: s.reduceByKeyAndWindow(add, 2, windowDuration=3), "got windowDuration twice"),
        (lambda s: s.reduceByKeyAndWindow(add, invFunc=3, windowDuration=3), "needs a function"),
        (lambda s: s.reduceByKeyAndWindow(add, 2, filterFunc=3), "needs a function"),
        (lambda s: s.reduceByKeyAndWindow(add, "2"), "windowDuration must be a number"),
        (lambda s: s.window(None), "windowDuration must be a number"),
        (lambda s: s.reduceByKeyAndWindow(add, 2, 1, "1"), "must be an int or a Partitioner"),
    ],
)
def test_wrong_forms_are_refused(build: Any, message: str) -> None:
    with pytest.raises(SignatureError, match=message):
        run_batches([[("a", 1)]], build)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda s: s.window(0), "at least 1 ms"),
        (lambda s: s.window(-1), "at least 1 ms"),
        (lambda s: s.window(2, 0), "at least 1 ms"),
        (
            lambda s: s.window(1.5),
            r"window length 1\.5 s of window \(.*\) must be a multiple .* 1 s\. Hint: use 1 s or 2 s",
        ),
        (lambda s: s.window(0.5), r"Hint: use 1 s\."),
        (lambda s: s.window(2, 1.5), r"slide 1\.5 s of window"),
        (
            lambda s: s.window(4, 2).window(3),
            r"slide duration of the stream it is taken of, 2 s\. Hint: use 2 s or 4 s",
        ),
        (
            lambda s: s.reduceByKeyAndWindow(add, None, 7.5, 5),
            r"of reduceByKeyAndWindow \(.*test_windows.py:\d+\)",
        ),
        (lambda s: s.countByWindow(float("nan"), 1), "at least 1 ms"),
    ],
)
def test_lengths_must_be_multiples_of_the_slide(build: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        run_batches([[1]], build)


def test_windows_of_windows() -> None:
    batches = [[("a", 1)] for _ in range(8)]
    out = run_batches(
        batches, lambda s: s.reduceByKeyAndWindow(add, 2, 2, 1).reduceByKeyAndWindow(add, 4, 4, 1)
    )
    assert out == [None, None, None, [("a", 4)], None, None, None, [("a", 4)]]
    out = run_batches(batches, lambda s: s.reduceByKeyAndWindow(add, sub, 3, 1, 1).window(2))
    assert out[:3] == [[("a", 1)], [("a", 1), ("a", 2)], [("a", 2), ("a", 3)]]


def test_a_window_over_state() -> None:
    def total(values: list[int], state: int | None) -> int:
        return sum(values) + (state or 0)

    out = run_batches([[("a", 1)], [("a", 2)], []], lambda s: s.updateStateByKey(total, 1).window(2))
    assert out == [[("a", 1)], [("a", 1), ("a", 3)], [("a", 3), ("a", 3)]]


def test_state_over_a_window() -> None:
    out = run_batches(
        [[("a", 1)], [("a", 2)], [("a", 4)], [("a", 8)]],
        lambda s: s.window(2, 2).updateStateByKey(lambda values, state: sum(values) + (state or 0), 1),
    )
    assert out == [None, [("a", 3)], None, [("a", 15)]]


def test_a_window_where_some_batches_have_no_rdd() -> None:
    def odd(time: Any, rdd: Any) -> Any:
        return rdd if time.timestamp() % 2 else None

    build = lambda s: (  # noqa: E731
        s.transform(odd).window(2),
        s.transform(odd).reduceByKeyAndWindow(add, sub, 3, 1, 1),
    )
    plain, keyed = run_batches([[("a", 1)], [("a", 2)], [("a", 4)], [("a", 8)]], build)
    assert plain == [[("a", 1)], [("a", 1)], [("a", 4)], [("a", 4)]]
    assert keyed == [[("a", 1)], [("a", 1)], [("a", 5)], [("a", 4)]]


@pytest.mark.parametrize("inverse", [None, lambda value, gone: value[len(gone) :]])
def test_functions_that_change_what_they_are_given(inverse: Any) -> None:
    def extend(one: list[int], other: list[int]) -> list[int]:
        one.extend(other)
        return one

    batches = [[("k", [i])] for i in range(6)]
    windows, originals = run_batches(
        batches, lambda s: (s.reduceByKeyAndWindow(extend, inverse, 3, 1, 1), s.window(2))
    )
    assert windows == [[("k", [*range(max(0, i - 2), i + 1)])] for i in range(6)]
    assert originals[-1] == [("k", [4]), ("k", [5])]


def test_many_keys_over_several_partitions() -> None:
    batches = [[(i % 500, i) for i in range(start, start + 2000)] for start in range(0, 10_000, 1000)]
    for inverse in (None, sub):
        out = run_batches(
            batches,
            lambda s, inverse=inverse: s.reduceByKeyAndWindow(add, inverse, 4, 1, 3),
            numPartitions=2,
        )
        for got, slides in zip(out, held(batches, 4, 1), strict=True):
            assert sorted(got) == sorted(folded(add, slides) or [])


def test_each_slide_is_folded_once() -> None:
    """A record meets the function once in its own slide; later windows meet the partial."""
    folds: list[int] = []

    def count(one: int, other: int) -> int:
        folds.append(1)
        return one + other

    batches = [[("a", 1)] * 100 for _ in range(10)]
    run_batches(batches, lambda s: s.reduceByKeyAndWindow(count, 5, 1, 1), numPartitions=1)
    assert len(folds) <= 10 * 99 + 10 * 4


def test_an_error_in_a_window_function_names_the_record_and_the_line() -> None:
    def fail(one: int, other: int) -> int:
        return one // (other - 2)

    with pytest.raises(ZeroDivisionError) as caught:
        run_batches([[("a", 1)], [("a", 2)]], lambda s: s.reduceByKeyAndWindow(fail, 2, 1, 1))
    failure = failure_of(caught.value)
    assert failure is not None
    assert failure.site is not None
    assert failure.site.operation == "reduceByKeyAndWindow"
    assert failure.site.file == __file__
    assert failure.record == "('a', 2)"
    assert failure.batch_time_ms == 2000


def test_an_inverse_needs_a_checkpoint_directory(sc: Context) -> None:
    sc._checkpoint_directory = None
    clock = ManualClock()
    ssc = StreamingContext(sc, 1, clock=clock)
    pairs = ssc.queueStream([[("a", 1)]])
    pairs.reduceByKeyAndWindow(add, sub, 2, 1).pprint()
    pairs.reduceByKeyAndWindow(add, None, 2, 1).pprint()
    pairs.countByWindow(2, 1).pprint()
    with pytest.raises(ArgumentError) as caught:
        ssc.start()
    assert str(caught.value).count("needs a checkpoint directory") == 2
    assert "Hint: sc.setCheckpointDir(directory)" in str(caught.value)


def test_slides_are_counted_from_the_first_batch(sc: Context) -> None:
    clock = ManualClock(12_345)
    ssc = StreamingContext(sc, 1, clock=clock)
    times: list[float] = []
    ssc.queueStream([[i] for i in range(6)]).window(3, 3).foreachRDD(
        lambda time, rdd: times.append((time.timestamp(), rdd.collect()))
    )
    with Stepper(ssc, clock) as stepper:
        assert [stepper.step() for _ in range(6)] == [13_000 + 1000 * i for i in range(6)]
    assert times == [(15.0, [0, 1, 2]), (18.0, [3, 4, 5])]


def test_a_window_of_slides_longer_than_the_interval_has_its_first_slides() -> None:
    batches = [[number] for number in range(1, 9)]
    pairs = run_batches(batches, lambda numbers: numbers.window(2, 2).window(4, 2))
    assert pairs == [None, [1, 2], None, [1, 2, 3, 4], None, [3, 4, 5, 6], None, [5, 6, 7, 8]]
    sums = run_batches(batches, lambda numbers: numbers.window(2, 2).reduceByWindow(add, 6, 2))
    assert sums == [None, [3], None, [10], None, [21], None, [33]]


@pytest.mark.parametrize(
    ("left", "looked_at"),
    [
        ([], 1),  # nothing left: of what shape the slides are, the oldest tells
        ([[("a", 1)]], 2),  # a is in the oldest, c in the second
        ([[("c", 1), ("a", 1)], [("b", 2)]], 2),
        ([[("d", 1)]], 3),  # d might be in each
    ],
)
def test_of_the_slides_that_stay_no_more_is_read_than_it_takes(left: list[Pairs], looked_at: int) -> None:
    stayed = [[("b", 2), ("a", 2)], [("c", 3), ("a", 3)], [("b", 4)]]
    entered = [("e", 9), ("a", 9)]
    before = folded(add, [*left, *stayed])
    read: list[Pairs] = []

    def slides() -> Iterator[Chunk]:
        for slide in stayed:
            read.append(slide)
            yield Rows(list(slide))

    lists = [iter([Rows(list(rows))]) for rows in (before or [], *left)]
    corrected = Corrected(add, sub, len(left), 1, lambda: [], call_site("window"))
    made = list(corrected(Task(0, 1, Metrics()), [*lists, slides(), iter([Rows(list(entered))])]))
    assert [pair for chunk in made for pair in chunk.rows()] == folded(add, [*stayed, entered])
    assert len(read) == looked_at
