"""``queueStream`` with a queue that is pushed to while the program runs."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock import Context, StreamingContext
from penstock.clock import ManualClock
from penstock.errors import ArgumentError, SignatureError
from penstock.testing import CollectingSink, Stepper


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def ssc(sc: Context, clock: ManualClock) -> Iterator[StreamingContext]:
    made = StreamingContext(sc, 1, clock=clock)
    yield made
    made.stop(stopSparkContext=False)


def push(live: Any, item: Any) -> None:
    (live.append if isinstance(live, deque) else live.put)(item)


KINDS = [deque, queue.Queue, queue.SimpleQueue]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_pushed_after_the_start_is_taken(
    sc: Context, ssc: StreamingContext, clock: ManualClock, kind: Callable[[], Any]
) -> None:
    live, sink = kind(), CollectingSink()
    push(live, [0])
    ssc.queueStream(live, default=[-1]).foreachRDD(sink)
    with Stepper(ssc, clock) as stepper:
        for item in (sc.parallelize([1, 2], 2), range(3), (4,)):
            push(live, item)
        for _ in range(5):
            stepper.step()
        push(live, [5])
        stepper.step()
    assert sink.batches == [[0], [1, 2], [0, 1, 2], [4], [-1], [5]]


@pytest.mark.parametrize("kind", KINDS)
def test_all_that_is_there_at_once(
    sc: Context, ssc: StreamingContext, clock: ManualClock, kind: Callable[[], Any]
) -> None:
    live, sink = kind(), CollectingSink()
    ssc.queueStream(live, oneAtATime=False).foreachRDD(sink)
    with Stepper(ssc, clock) as stepper:
        for numbers in ([[1], [2]], [], [[3]]):
            for item in numbers:
                push(live, item)
            stepper.step()
    assert sink.batches == [[1, 2], [], [3]]


def test_a_list_is_copied(ssc: StreamingContext, clock: ManualClock) -> None:
    plain, sink = [[1]], CollectingSink()
    ssc.queueStream(plain).foreachRDD(sink)
    with Stepper(ssc, clock) as stepper:
        plain.append([2])
        stepper.step()
        stepper.step()
    assert sink.batches == [[1], []]


def test_what_is_no_rdd_fails_its_batch_and_loses_no_other(ssc: StreamingContext, clock: ManualClock) -> None:
    live: deque[Any] = deque()
    sink = CollectingSink()
    ssc.queueStream(live, oneAtATime=False).foreachRDD(sink)
    with Stepper(ssc, clock) as stepper:
        live.extend([[1], 7, [2]])
        with pytest.raises(SignatureError, match="RDDs or lists of records, not int"):
            stepper.step()
        ssc.driver.error = None
        stepper.step()
    assert sink.batches == [[1, 2]]


def test_who_joins_a_queue_waits_for_its_batches(ssc: StreamingContext, clock: ManualClock) -> None:
    live: queue.Queue[Any] = queue.Queue()
    ssc.queueStream(live).foreachRDD(lambda rdd: None)
    with Stepper(ssc, clock) as stepper:
        for number in range(3):
            live.put([number])
        for left in (2, 1, 0):
            stepper.step()
            assert live.unfinished_tasks == left
    live.join()


def test_nothing_is_kept_of_what_is_over(ssc: StreamingContext, clock: ManualClock) -> None:
    live: deque[Any] = deque()
    stream = ssc.queueStream(live)
    stream.foreachRDD(lambda rdd: None)
    with Stepper(ssc, clock) as stepper:
        for number in range(20):
            live.append([number])
            stepper.step()
    source: Any = stream._node.source  # type: ignore[attr-defined]
    assert (len(source._plans), len(source._taken)) == (0, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_available_is_what_is_there_at_the_start(sc: Context, kind: Callable[[], Any]) -> None:
    live, seen = kind(), []
    for number in range(3):
        push(live, [number])
    ssc = StreamingContext(sc, 1)

    def see(rdd: Any) -> None:
        seen.append(rdd.collect())
        push(live, ["later"])

    ssc.queueStream(live).foreachRDD(see)
    ssc.start(availableNow=True)
    ssc.awaitTermination()
    ssc.stop(stopSparkContext=False)
    assert seen == [[0], [1], [2]]
    assert (live.pop() if isinstance(live, deque) else live.get_nowait()) == ["later"]


def test_many_threads_push(sc: Context, ssc: StreamingContext, clock: ManualClock) -> None:
    live, sink = queue.SimpleQueue[Any](), CollectingSink()
    ssc.queueStream(live, oneAtATime=False).foreachRDD(sink)

    def push_all(first: int) -> None:
        for number in range(first, first + 100):
            live.put([number])

    threads = [threading.Thread(target=push_all, args=(at * 100,)) for at in range(4)]
    with Stepper(ssc, clock) as stepper:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            stepper.step()
        stepper.step()
    assert sorted(number for batch in sink.batches for number in batch) == list(range(400))


def test_a_live_queue_cannot_go_on_after_a_restart(
    ssc: StreamingContext, clock: ManualClock, tmp_path: Path
) -> None:
    ssc.queueStream(deque([[1]])).foreachRDD(lambda rdd: None)
    ssc.checkpoint(str(tmp_path / "checkpoint"))
    with pytest.raises(ArgumentError, match="the input queue cannot go on after a restart"):
        ssc.start()


def test_a_queue_is_joined_whatever_was_in_it(sc: Context, ssc: StreamingContext, clock: ManualClock) -> None:
    """Also what is nothing to make an RDD of, and what was taken before another input failed."""
    live: queue.Queue[Any] = queue.Queue()
    other: queue.Queue[Any] = queue.Queue()
    sink = CollectingSink()
    ssc.queueStream(live).foreachRDD(sink)
    ssc.queueStream(other).foreachRDD(lambda rdd: None)
    with Stepper(ssc, clock) as stepper:
        live.put([1])
        other.put(5)
        for _ in range(2):  # what has failed is told for as long as somebody awaits the end
            with pytest.raises(SignatureError):
                stepper.step()
    assert sink.batches == [[1]]
    assert [live.unfinished_tasks, other.unfinished_tasks] == [0, 0]
