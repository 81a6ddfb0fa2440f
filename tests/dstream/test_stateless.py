"""What each operation does to every batch: batches in, batches out."""

from __future__ import annotations

from collections.abc import Callable
from operator import add
from typing import Any

import pytest

from penstock import RDD, Context, Partitioner, StreamingContext
from penstock.clock import ManualClock
from penstock.dstream import DStream
from penstock.errors import ArgumentError, KeyTypeError, NotAPairError, SignatureError, failure_of
from penstock.testing import CollectingSink, Stepper, assert_batches_equal, run_batches

pytestmark = pytest.mark.usefixtures("sc")

Build = Callable[..., Any]

TYPICAL = [[3, 1, 2], [], [7]]
PAIRS = [[("a", 1), ("b", 2), ("a", 3)], [], [("a", 4)]]
MANY = [[(i % 100, i) for i in range(1000)]]


def as_lists(stream: DStream) -> DStream:
    return stream.mapValues(lambda groups: tuple(map(list, groups)))


@pytest.mark.parametrize(
    ("batches", "build", "expected"),
    [
        pytest.param(TYPICAL, lambda s: s.map(lambda x: x + 1), [[4, 2, 3], [], [8]], id="map"),
        pytest.param(
            TYPICAL,
            lambda s: s.flatMap(lambda x: range(x)),
            [[0, 1, 2, 0, 0, 1], [], [*range(7)]],
            id="flatMap",
        ),
        pytest.param(TYPICAL, lambda s: s.filter(lambda x: x > 1), [[3, 2], [], [7]], id="filter"),
        pytest.param(
            TYPICAL,
            lambda s: s.mapPartitions(lambda rows: [list(rows)]),
            [[[3, 1, 2]], [[]], [[7]]],
            id="mapPartitions",
        ),
        pytest.param(
            TYPICAL,
            lambda s: s.mapPartitionsWithIndex(lambda i, rows: ((i, row) for row in rows)),
            [[(0, 3), (0, 1), (0, 2)], [], [(0, 7)]],
            id="mapPartitionsWithIndex",
        ),
        pytest.param(TYPICAL, lambda s: s.glom(), [[[3, 1, 2]], [[]], [[7]]], id="glom"),
        pytest.param(
            PAIRS,
            lambda s: s.mapValues(str),
            [[("a", "1"), ("b", "2"), ("a", "3")], [], [("a", "4")]],
            id="mapValues",
        ),
        pytest.param(
            PAIRS,
            lambda s: s.flatMapValues(lambda v: [v] * (v - 1)),
            [[("b", 2), ("a", 3), ("a", 3)], [], [("a", 4)] * 3],
            id="flatMapValues",
        ),
        pytest.param(TYPICAL, lambda s: s.count(), [[3], [0], [1]], id="count"),
        pytest.param(TYPICAL, lambda s: s.reduce(add), [[6], [], [7]], id="reduce"),
        pytest.param(
            [["b", "a", "b"], [], ["a"]],
            lambda s: s.countByValue(1),
            [[("b", 2), ("a", 1)], [], [("a", 1)]],
            id="countByValue",
        ),
        pytest.param(
            PAIRS, lambda s: s.reduceByKey(add, 1), [[("a", 4), ("b", 2)], [], [("a", 4)]], id="reduceByKey"
        ),
        pytest.param(
            PAIRS,
            lambda s: s.groupByKey(1).mapValues(list),
            [[("a", [1, 3]), ("b", [2])], [], [("a", [4])]],
            id="groupByKey",
        ),
        pytest.param(
            PAIRS,
            lambda s: s.combineByKey(lambda v: [v], lambda c, v: [*c, v], lambda c, d: c + d, 1),
            [[("a", [1, 3]), ("b", [2])], [], [("a", [4])]],
            id="combineByKey",
        ),
        pytest.param(
            [[(0, "x"), (1, "y"), (3, "z")], []],
            lambda s: s.partitionBy(2, lambda key: key).glom(),
            [[[(0, "x")], [(1, "y"), (3, "z")]], [[], []]],
            id="partitionBy",
        ),
        pytest.param(
            TYPICAL, lambda s: s.repartition(1).glom(), [[[3, 1, 2]], [[]], [[7]]], id="repartition"
        ),
        pytest.param(
            TYPICAL,
            lambda s: s.transform(lambda rdd: rdd.sortBy(lambda x: x)),
            [[1, 2, 3], [], [7]],
            id="transform",
        ),
        pytest.param(TYPICAL, lambda s: s.cache(), TYPICAL, id="cache"),
    ],
)
def test_an_operation_on_one_stream(batches: Any, build: Build, expected: Any) -> None:
    assert_batches_equal(run_batches(batches, build, numPartitions=1), expected)


LEFT = [[("a", 1), ("a", 2), ("b", 3)], [("a", 1)], []]
RIGHT = [[("a", 10), ("c", 30)], [], [("z", 5)]]


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        pytest.param(
            lambda one, two: one.join(two, 1), [[("a", (1, 10)), ("a", (2, 10))], [], []], id="join"
        ),
        pytest.param(
            lambda one, two: one.leftOuterJoin(two, 1),
            [[("a", (1, 10)), ("a", (2, 10)), ("b", (3, None))], [("a", (1, None))], []],
            id="leftOuterJoin",
        ),
        pytest.param(
            lambda one, two: one.rightOuterJoin(two, 1),
            [[("a", (1, 10)), ("a", (2, 10)), ("c", (None, 30))], [], [("z", (None, 5))]],
            id="rightOuterJoin",
        ),
        pytest.param(
            lambda one, two: one.fullOuterJoin(two, 1),
            [
                [("a", (1, 10)), ("a", (2, 10)), ("b", (3, None)), ("c", (None, 30))],
                [("a", (1, None))],
                [("z", (None, 5))],
            ],
            id="fullOuterJoin",
        ),
        pytest.param(
            lambda one, two: as_lists(one.cogroup(two, 1)),
            [
                [("a", ([1, 2], [10])), ("b", ([3], [])), ("c", ([], [30]))],
                [("a", ([1], []))],
                [("z", ([], [5]))],
            ],
            id="cogroup",
        ),
        pytest.param(
            lambda one, two: one.union(two), [a + b for a, b in zip(LEFT, RIGHT, strict=True)], id="union"
        ),
        pytest.param(
            lambda one, two: one.transformWith(lambda a, b: b.union(a), two),
            [b + a for a, b in zip(LEFT, RIGHT, strict=True)],
            id="transformWith",
        ),
    ],
)
def test_an_operation_on_two_streams(build: Build, expected: Any) -> None:
    assert_batches_equal(run_batches((LEFT, RIGHT), build, numPartitions=1), expected)


@pytest.mark.parametrize("numPartitions", [1, 2, 7])
@pytest.mark.parametrize("to", [None, 1, 5, Partitioner(3), Partitioner(2, lambda key: key)])
def test_many_keys_wherever_they_are_put(numPartitions: int, to: Any) -> None:
    [out] = run_batches(MANY, lambda s: s.reduceByKey(add, to), numPartitions=numPartitions)
    assert sorted(out) == [(k, sum(range(k, 1000, 100))) for k in range(100)]
    [groups] = run_batches(MANY, lambda s: s.groupByKey(to).mapValues(list), numPartitions=numPartitions)
    assert sorted(groups) == [(k, [*range(k, 1000, 100)]) for k in range(100)]


def test_a_partitioner_decides_where_keys_lie() -> None:
    by_parity = Partitioner(2, lambda key: key)
    [parts] = run_batches(
        [[(1, "a"), (2, "b"), (3, "c")]],
        lambda s: s.groupByKey(by_parity).map(lambda pair: pair[0]).glom(),
        numPartitions=1,
    )
    assert parts == [[2], [1, 3]]


def test_union_of_many_and_of_one() -> None:
    three = ([[1], [2]], [[10], []], [[], [200]])
    assert run_batches(three, lambda *s: s[0].context().union(*s)) == [[1, 10], [2, 200]]
    with pytest.raises(ArgumentError, match="at least one DStream"):
        run_batches([[1]], lambda s: s.context().union())

    def alone(stream: DStream) -> DStream:
        assert stream.context().union(stream) is stream
        return stream

    assert run_batches([[1]], alone) == [[1]]


def test_union_of_hundreds_needs_no_deep_stack(sc: Context) -> None:
    streams = tuple([[i]] for i in range(400))
    assert run_batches(streams, lambda *s: s[0].context().union(*s)) == [[*range(400)]]


def test_a_chain_of_hundreds_needs_no_deep_stack() -> None:
    def build(stream: DStream) -> DStream:
        for _ in range(600):
            stream = stream.map(lambda x: x + 1)
        return stream

    assert run_batches([[0], [1]], build) == [[600], [601]]


def test_transform_of_several_streams_gets_a_tuple() -> None:
    kinds: list[type] = []

    def merge(rdds: tuple[RDD, ...]) -> RDD:
        kinds.append(type(rdds))
        return rdds[1].union(rdds[0])

    out = run_batches(([[1]], [[2]]), lambda one, two: one.context().transform([one, two], merge))
    assert out == [[2, 1]]
    assert kinds == [tuple]


def test_transform_of_several_streams_may_ask_for_the_time() -> None:
    out = run_batches(
        ([[1]], [[2]]),
        lambda one, two: one.context().transform([one, two], lambda time, rdds: rdds[0].map(lambda x: time)),
    )
    assert out[0][0].timestamp() == 1.0


def only_odd() -> Callable[[RDD], RDD | None]:
    seen: list[int] = []

    def function(rdd: RDD) -> RDD | None:
        seen.append(1)
        return rdd if len(seen) % 2 else None

    return function


def test_no_rdd_means_that_what_reads_it_does_nothing(sc: Context) -> None:
    batches = [[1], [2], [3]]
    assert run_batches(batches, lambda s: s.transform(only_odd()).map(lambda x: x * 2)) == [[2], None, [6]]
    sink = CollectingSink()
    run_batches(batches, lambda s: s.transform(only_odd()).foreachRDD(sink))
    assert sink.batches == [[1], [3]]


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        pytest.param(lambda a, b: a.union(b), [[1, 10], [20], [3, 30]], id="union"),
        pytest.param(lambda a, b: b.union(a), [[10, 1], [20], [30, 3]], id="other way round"),
        pytest.param(lambda a, b: a.transformWith(lambda x, y: y, b), [[10], [20], [30]], id="transformWith"),
        pytest.param(lambda a, b: a.context().union(a, b, a), [[1, 10, 1], [20], [3, 30, 3]], id="ssc.union"),
        pytest.param(lambda a, b: a.union(a), [[1, 1], None, [3, 3]], id="none at all"),
    ],
)
def test_where_one_of_several_has_no_rdd_it_counts_as_empty(build: Build, expected: Any) -> None:
    out = run_batches(([[1], [2], [3]], [[10], [20], [30]]), lambda a, b: build(a.transform(only_odd()), b))
    assert out == expected


def test_a_stream_joined_with_itself() -> None:
    assert run_batches([[("a", 1)]], lambda s: s.join(s)) == [[("a", (1, 1))]]


@pytest.mark.parametrize(
    "operation", ["join", "leftOuterJoin", "rightOuterJoin", "fullOuterJoin", "cogroup", "union"]
)
def test_streams_of_different_slides_are_refused(operation: str) -> None:
    with pytest.raises(ArgumentError, match=r"(?s)same slide duration, not 1000 ms and 2000 ms") as caught:
        run_batches([[("a", 1)]], lambda s: getattr(s, operation)(s.window(2, 2)))
    assert __file__ in str(caught.value)
    with pytest.raises(ArgumentError, match="same slide duration"):
        run_batches([[1]], lambda s: s.transformWith(lambda a, b: a, s.window(2, 2)))
    with pytest.raises(ArgumentError, match="same slide duration"):
        run_batches([[1]], lambda s: s.context().union(s, s.window(2, 2)))


def test_streams_of_two_contexts_are_refused(sc: Context) -> None:
    one, two = (StreamingContext(sc, 1, clock=ManualClock()) for _ in range(2))
    left, right = one.queueStream([]), two.queueStream([])
    for combine in (lambda: left.union(right), lambda: one.union(left, right), lambda: one.union(right)):
        with pytest.raises(ArgumentError, match="StreamingContext"):
            combine()
    with pytest.raises(SignatureError, match="another DStream"):
        left.join("no stream")  # type: ignore[arg-type]
    with pytest.raises(SignatureError, match="needs DStreams, not list"):
        one.union([left, left])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "build",
    [
        lambda s: s.map(None),
        lambda s: s.flatMap(1),
        lambda s: s.filter("f"),
        lambda s: s.mapPartitions([]),
        lambda s: s.mapPartitionsWithIndex(0),
        lambda s: s.mapValues(None),
        lambda s: s.flatMapValues(None),
        lambda s: s.reduce(None),
        lambda s: s.reduceByKey(2),
        lambda s: s.combineByKey(list, None, list),
        lambda s: s.transform(None),
        lambda s: s.foreachRDD(None),
        lambda s: s.repartition("2"),
        lambda s: s.partitionBy(True),
        lambda s: s.persist("MEMORY_ONLY"),
        lambda s: s.pprint("10"),
        lambda s: s.reduceByKeyAndWindow(None, 2),
        lambda s: s.updateStateByKey(None),
    ],
)
def test_what_is_no_function_or_number_is_refused_when_the_stream_is_built(build: Build) -> None:
    with pytest.raises(SignatureError):
        run_batches([[("a", 1)]], build)


@pytest.mark.parametrize(
    "build",
    [
        lambda s: s.repartition(0),
        lambda s: s.partitionBy(-1),
        lambda s: s.reduceByKey(add, 0),
        lambda s: s.groupByKey(0),
    ],
)
def test_numbers_of_partitions_are_checked_when_the_stream_is_built(build: Build) -> None:
    with pytest.raises(ArgumentError, match="at least 1"):
        run_batches([[("a", 1)]], build)


@pytest.mark.parametrize(
    "build",
    [
        lambda s: s.reduceByKey(add),
        lambda s: s.groupByKey(),
        lambda s: s.mapValues(abs),
        lambda s: s.join(s),
        lambda s: s.updateStateByKey(lambda values, state: 1),
        lambda s: s.reduceByKeyAndWindow(add, 2),
        lambda s: s.groupByKeyAndWindow(2),
        lambda s: s.partitionBy(2),
    ],
)
def test_records_that_are_no_pairs_are_named_with_the_users_line(build: Build) -> None:
    with pytest.raises(NotAPairError, match=r"needs pairs.*but met 'ab'") as caught:
        run_batches([["ab"]], build)
    failure = failure_of(caught.value)
    assert failure is not None
    assert failure.site is not None
    assert failure.site.file == __file__
    assert failure.batch_time_ms == 1000


def test_keys_without_a_hash_are_named() -> None:
    with pytest.raises(KeyTypeError, match=r"cannot use \[1\] as a key"):
        run_batches([[([1], 1)]], lambda s: s.reduceByKey(add))


def test_equal_keys_are_one_key_and_the_first_seen_is_kept() -> None:
    nan = float("nan")
    out = run_batches([[(1, 1), (1.0, 1), (True, 1)], [(0.0, 1), (-0.0, 1)]], lambda s: s.reduceByKey(add, 1))
    assert_batches_equal(out, [[(1, 3)], [(0.0, 2)]])
    [alone] = run_batches([[(nan, 1), (nan, 1)]], lambda s: s.reduceByKey(add, 1))
    assert [value for _, value in alone] == [1, 1]


def test_a_queue_one_at_a_time_all_at_once_with_a_default_and_empty(sc: Context) -> None:
    def out_of(count: int, *arguments: Any, **named: Any) -> list[list[Any]]:
        clock = ManualClock()
        ssc = StreamingContext(sc, 1, clock=clock)
        sink = CollectingSink()
        ssc.queueStream(*arguments, **named).foreachRDD(sink)
        with Stepper(ssc, clock) as stepper:
            for _ in range(count):
                stepper.step()
        return sink.batches

    assert out_of(3, [[1], sc.parallelize([2])]) == [[1], [2], []]
    assert out_of(2, [[1], [2], [3]], oneAtATime=False) == [[1, 2, 3], []]
    assert out_of(2, [[1], [2], [3]], False, [9]) == [[1, 2, 3], [9]]
    assert out_of(3, [[1]], default=sc.parallelize([7, 8])) == [[1], [7, 8], [7, 8]]
    assert out_of(2, []) == [[], []]
    assert out_of(2, ([i] for i in range(2))) == [[0], [1]]
    assert out_of(1, [range(3)]) == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda ssc, s: ssc.queueStream(None), "needs a list of RDDs or of lists, or a queue, not NoneType"),
        (lambda ssc, s: ssc.queueStream("ab"), "needs a list of RDDs or of lists, or a queue, not str"),
        (lambda ssc, s: ssc.queueStream([1, 2]), "needs RDDs or lists of records, not int"),
        (lambda ssc, s: ssc.queueStream([[1]], default=5), "needs RDDs or lists of records, not int"),
        (lambda ssc, s: ssc.transform(s, lambda rdds: rdds[0]), "needs a list of DStreams, not DStream"),
        (lambda ssc, s: ssc.transform(5, lambda rdds: rdds[0]), "needs a list of DStreams, not int"),
        (lambda ssc, s: ssc.textFileStream(None), "needs a directory, not NoneType"),
        (
            lambda ssc, s: ssc.textFileStream("d", maxFilesPerBatch="3"),
            "maxFilesPerBatch must be an int",
        ),
        (
            lambda ssc, s: ssc.textFileStream("d", maxFilesPerBatch=True),
            "maxFilesPerBatch must be an int",
        ),
        (lambda ssc, s: ssc.binaryRecordsStream("d", None), "binary records need a recordLength, or a dtype"),
        (lambda ssc, s: ssc.binaryRecordsStream(7, 1), "binaryRecordsStream needs a directory, not int"),
        (lambda ssc, s: s.saveAsTextFiles(None), "needs a prefix and a suffix of text"),
        (lambda ssc, s: s.saveAsTextFiles("p", 5), "needs a prefix and a suffix of text"),
        (lambda ssc, s: StreamingContext(ssc.sparkContext, 1, object()), "means nothing here"),
    ],
)
def test_what_makes_a_stream_is_checked(sc: Context, build: Build, message: str) -> None:
    ssc = StreamingContext(sc, 1, clock=ManualClock())
    with pytest.raises(SignatureError, match=message):
        build(ssc, ssc.queueStream([[1]]))


def test_no_batch_without_a_file(sc: Context) -> None:
    ssc = StreamingContext(sc, 1, clock=ManualClock())
    with pytest.raises(ArgumentError, match="maxFilesPerBatch must be at least 1, not 0"):
        ssc.textFileStream("d", maxFilesPerBatch=0)
    with pytest.raises(ArgumentError, match="recordLength must be at least 1, not 0"):
        ssc.binaryRecordsStream("d", 0)


def test_a_stream_says_where_it_was_made(sc: Context) -> None:
    stream = StreamingContext(sc, 0.5, clock=ManualClock()).queueStream([[1]]).map(abs).window(2, 1)
    assert repr(stream).startswith(f"<DStream window ({__file__}:")
    assert repr(stream).endswith(", every 1 s>")
    assert stream._slideDuration == 1.0


def test_later_changes_of_the_list_are_not_seen(sc: Context) -> None:
    clock, given = ManualClock(), [[1]]
    ssc = StreamingContext(sc, 1, clock=clock)
    sink = CollectingSink()
    ssc.queueStream(given).foreachRDD(sink)
    given.append([2])
    with Stepper(ssc, clock) as stepper:
        stepper.step()
        stepper.step()
    assert sink.batches == [[1], []]


def test_reduce_tells_of_the_record_it_failed_at_and_of_no_key() -> None:
    with pytest.raises(TypeError) as failed:
        run_batches([[1, "a"]], lambda stream: stream.reduce(lambda a, b: a + b), numPartitions=1)
    failure = failure_of(failed.value)
    assert failure is not None
    assert failure.record == "'a'"
