"""A plan computed ahead shows in nothing: not in records, figures or failures, whoever is faster."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from penstock.chunk import Chunk, Rows, rows_of
from penstock.executors import LocalExecutor
from penstock.plan import (
    Metrics,
    Narrow,
    PartitionReader,
    Shuffle,
    SliceReader,
    Source,
    Step,
    StorageLevel,
    Task,
    call_site,
)
from penstock.rdd import KeyRouter, Partitioner

WAIT_S = 60.0


class Noted(PartitionReader):
    """Records, one a chunk, that count how often they were read; ``before`` is called before each record."""

    def __init__(self, *records: Any, before: Callable[[Any], None] = lambda record: None) -> None:
        self.records = records
        self.before = before
        self.threads: list[str] = []

    def read(self, task: Task) -> Iterator[Chunk]:
        self.threads.append(threading.current_thread().name)
        for record in self.records:
            self.before(record)
            yield Rows([record])
        task.metrics.note("records", (0, id(self)), len(self.records))


def plan_of(*readers: PartitionReader) -> Source:
    return Source(call_site("source"), readers)


def rows(task: Task, chunks: Iterator[Chunk]) -> list[Any]:
    return list(rows_of(chunks))


@pytest.fixture(params=[1, 4])
def executor(request: pytest.FixtureRequest) -> Iterator[LocalExecutor]:
    made = LocalExecutor(threads=request.param, inline_rows=0)
    yield made
    made.close()


def test_what_is_there_is_not_computed_again(executor: LocalExecutor) -> None:
    one, two = Noted([1], [2]), Noted([3])
    plan = plan_of(one, two)
    ahead = executor.prefetch(plan)
    assert one.threads == []
    ahead.run()
    ahead.run()
    for _ in range(2):
        metrics = Metrics()
        found = executor.run(plan, rows, None, metrics)
        assert found == [[[1], [2]], [[3]]]
        found[0][0].append("changed")  # what a job gets is its own
        assert metrics.total("records") == 3
    assert [len(one.threads), len(two.threads)] == [1, 1]
    assert list(rows_of(executor.iterate(plan, None, Metrics()))) == [[1], [2], [3]]
    ahead.release()
    ahead.release()
    assert executor.run(plan, rows, [1], Metrics()) == [[[3]]]
    assert [len(one.threads), len(two.threads)] == [1, 2]
    assert len(executor._aheads) == 0


def test_it_runs_on_the_calling_thread_alone(executor: LocalExecutor) -> None:
    readers = [Noted(number) for number in range(8)]
    executor.prefetch(plan_of(*readers)).run()
    assert {name for reader in readers for name in reader.threads} == {threading.current_thread().name}


def test_a_job_that_does_not_read_to_the_end_counts_nothing(executor: LocalExecutor) -> None:
    """As if it had read the source itself."""
    plan, metrics = plan_of(Noted(1, 2, 3)), Metrics()
    executor.prefetch(plan).run()
    assert next(iter(executor.iterate(plan, None, metrics))).rows() == [1]
    assert metrics.total("records") == 0


def test_a_job_waits_for_the_partition_that_is_being_computed(executor: LocalExecutor) -> None:
    begun, go = threading.Event(), threading.Event()

    def before(record: Any) -> None:
        begun.set()
        assert go.wait(WAIT_S)

    reader = Noted(1, before=before)
    plan = plan_of(reader)
    ahead = executor.prefetch(plan)
    computing = threading.Thread(target=ahead.run)
    computing.start()
    assert begun.wait(WAIT_S)
    ahead.end()  # its batch begins: what is under way still counts
    found: list[Any] = []
    asking = threading.Thread(target=lambda: found.extend(executor.run(plan, rows, None, Metrics())))
    asking.start()
    go.set()
    computing.join(WAIT_S)
    asking.join(WAIT_S)
    assert found == [[1]]
    assert len(reader.threads) == 1


def test_what_a_job_has_begun_is_left_to_it(executor: LocalExecutor) -> None:
    one, two = Noted(1), Noted(2)
    plan = plan_of(one, two)
    ahead = executor.prefetch(plan)
    assert executor.run(plan, rows, [0], Metrics()) == [[1]]
    ahead.run()
    assert [len(one.threads), len(two.threads)] == [1, 1]
    assert executor.run(plan, rows, None, Metrics()) == [[1], [2]]
    assert [len(one.threads), len(two.threads)] == [2, 1]


def test_after_the_end_nothing_more_begins(executor: LocalExecutor) -> None:
    reader = Noted(1)
    ahead = executor.prefetch(plan_of(reader))
    ahead.end()
    ahead.run()
    assert reader.threads == []


def test_a_release_stops_it_at_the_next_chunk(executor: LocalExecutor) -> None:
    read: list[Any] = []

    def before(record: Any) -> None:
        read.append(record)
        if record == 2:
            ahead.release()

    plan = plan_of(Noted(1, 2, 3, 4, before=before), Noted(5, before=before))
    ahead = executor.prefetch(plan)
    ahead.run()
    assert read == [1, 2]
    assert executor.run(plan, rows, None, Metrics()) == [[1, 2, 3, 4], [5]]


def test_what_fails_ahead_is_dropped_and_fails_as_it_would_have(executor: LocalExecutor) -> None:
    failures = iter([True, False])

    def before(record: Any) -> None:
        if record == 2 and next(failures, True):
            raise OSError("no answer")

    plan = plan_of(Noted(0), Noted(1, 2, before=before), Noted(3))
    executor.prefetch(plan).run()  # raises nothing
    metrics = Metrics()
    assert executor.run(plan, rows, None, metrics) == [[0], [1, 2], [3]]  # this attempt went well
    assert metrics.total("records") == 4
    with pytest.raises(OSError, match="no answer"):
        executor.run(plan, rows, None, Metrics())
    # one that does not read as far as the failure does not meet it
    assert next(iter(executor.iterate(plan, [1], Metrics()))).rows() == [1]


def test_a_plan_that_is_kept_as_well_takes_over_what_is_there(executor: LocalExecutor) -> None:
    reader = Noted([1])
    plan = plan_of(reader)
    ahead = executor.prefetch(plan)
    ahead.run()
    assert executor.level_of(plan) == StorageLevel.NONE
    executor.keep(plan, StorageLevel.MEMORY_ONLY)
    metrics = Metrics()
    assert executor.run(plan, rows, None, metrics) == [[[1]]]
    ahead.release()
    executor.run(plan, rows, None, Metrics())[0][0].append("changed")
    assert executor.run(plan, rows, None, Metrics()) == [[[1]]]
    assert metrics.total("records") == 1
    assert len(reader.threads) == 1


class Doubled(Step):
    name = "doubled"

    def run(self, task: Task, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            yield Rows([2 * row for row in chunk.rows()])


def test_steps_above_and_below(executor: LocalExecutor) -> None:
    reader = Noted(1, 2)
    site = call_site("steps")
    parsed = Narrow(site, plan_of(reader), Doubled())
    below = Narrow(site, parsed, Doubled())
    executor.prefetch(parsed).run()
    assert executor.run(below, rows, None, Metrics()) == [[4, 8]]
    assert executor.run(parsed, rows, None, Metrics()) == [[2, 4]]
    assert len(reader.threads) == 1


def test_partitions_that_need_all_others_are_not_computed_ahead(executor: LocalExecutor) -> None:
    site = call_site("shuffle")
    plan = Shuffle(site, plan_of(SliceReader.of([(0, 1), (1, 2)])), KeyRouter(Partitioner(2), site), 2)
    executor.prefetch(plan).run()
    assert len(executor._aheads) == 0
    assert executor.run(plan, rows, None, Metrics()) == [[(0, 1)], [(1, 2)]]


def test_eight_jobs_and_a_prefetch_at_once() -> None:
    executor = LocalExecutor(threads=2, inline_rows=0)
    try:
        for _ in range(20):
            plan = plan_of(*[Noted([number]) for number in range(6)])
            start = threading.Barrier(9, timeout=WAIT_S)
            ahead = executor.prefetch(plan)
            found: list[Any] = []

            def compute(ahead: Any = ahead, start: threading.Barrier = start) -> None:
                start.wait()
                ahead.run()

            def ask(plan: Any = plan, start: threading.Barrier = start, found: list[Any] = found) -> None:
                start.wait()
                metrics = Metrics()
                found.append((executor.run(plan, rows, None, metrics), metrics.total("records")))

            threads = [threading.Thread(target=target) for target in [compute, *[ask] * 8]]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(WAIT_S)
            ahead.release()
            assert found == [([[[number]] for number in range(6)], 6)] * 8
    finally:
        executor.close()
