"""The executor of one process: threads, kept plans, and what does not show."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from penstock import Conf, Context
from penstock.chunk import Chunk, Rows, rows_of
from penstock.clock import SystemClock
from penstock.errors import CallSite, failure_of
from penstock.executors import LocalExecutor
from penstock.plan import Metrics, Narrow, Shuffle, SliceReader, Source, Step, StorageLevel, Task, call_site
from penstock.rdd import KeyRouter, Partitioner


def source(*parts: list[Any]) -> Source:
    return Source(call_site("source"), [SliceReader.of(part) for part in parts])


def rows(task: Task, chunks: Iterator[Chunk]) -> list[Any]:
    return list(rows_of(chunks))


@pytest.fixture
def executor() -> Iterator[LocalExecutor]:
    made = LocalExecutor(threads=4, inline_rows=0)
    yield made
    made.close()


class Thread(Step):
    """Each partition as the name of the thread that it runs on."""

    name = "thread"

    def run(self, task: Task, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        list(chunks)
        yield Rows([threading.current_thread().name])


def test_results_come_in_the_order_of_the_partitions(executor: LocalExecutor) -> None:
    plan = source(*([number] for number in range(40)))
    assert executor.run(plan, rows, None, Metrics()) == [[number] for number in range(40)]
    assert executor.run(plan, rows, [7, 3], Metrics()) == [[7], [3]]
    assert executor.run(plan, rows, [], Metrics()) == []
    assert executor.run(source(), rows, None, Metrics()) == []


def test_partitions_really_run_at_the_same_time(executor: LocalExecutor) -> None:
    """Four tasks that each wait for the others."""
    together = threading.Barrier(4, timeout=60)

    def meet(task: Task, chunks: Iterator[Chunk]) -> int:
        together.wait()
        return task.partition

    assert executor.run(source([1], [2], [3], [4]), meet, None, Metrics()) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("threads", "inline_rows", "parts", "inline"),
    [(4, 3, 2, True), (4, 2, 2, False), (4, 0, 2, False), (1, 0, 2, True), (4, 0, 1, True)],
)
def test_small_work_stays_on_the_calling_thread(
    threads: int, inline_rows: int, parts: int, inline: bool
) -> None:
    executor = LocalExecutor(threads, inline_rows)
    try:
        plan = Narrow(call_site("thread"), source(*[[1]] * parts), Thread())
        names = {name for part in executor.run(plan, rows, None, Metrics()) for name in part}
        assert (names == {threading.current_thread().name}) is inline
    finally:
        executor.close()


class Paced:
    """An action that takes its time, on a clock of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.takes_ns = 0
        self.now_ns = 0
        self.threads: set[str] = set()
        monkeypatch.setattr("penstock.executors.local.executor._clock.elapsed_ns", lambda: self.now_ns)

    def __call__(self, task: Task, chunks: Iterator[Chunk]) -> None:
        self.threads.add(threading.current_thread().name)
        self.now_ns += self.takes_ns

    def runs_here(self, executor: LocalExecutor, *counts: int, line: int = 1) -> bool:
        """Whether a job of partitions with so many records, asked for in that line, needs no other thread."""
        self.threads.clear()
        readers = [SliceReader.of([0] * count) for count in counts]
        executor.run(Source(CallSite("work", "app.py", line), readers), self, None, Metrics())
        return self.threads == {threading.current_thread().name}


@pytest.fixture
def paced(monkeypatch: pytest.MonkeyPatch) -> Paced:
    monkeypatch.setattr("penstock.executors.local.executor._clock", SystemClock())
    return Paced(monkeypatch)


def test_what_took_long_goes_to_threads_however_few_records_it_has(paced: Paced) -> None:
    executor = LocalExecutor(2, inline_rows=1000)
    try:
        paced.takes_ns = 5_000_000
        assert paced.runs_here(executor, 3, 3), "nothing is known yet but that there are few"
        assert not paced.runs_here(executor, 3, 3)
        assert not paced.runs_here(executor, 2, 2)
        assert paced.runs_here(executor, 3, 3, line=2), "of another line nothing is known"
    finally:
        executor.close()


def test_what_takes_little_stays_however_many_records_it_has(paced: Paced) -> None:
    executor = LocalExecutor(2, inline_rows=1000)
    try:
        paced.takes_ns = 10_000
        assert not paced.runs_here(executor, 800, 800), "nothing is known yet but that there are many"
        assert paced.runs_here(executor, 800, 800)
        paced.takes_ns = 2_000_000
        assert paced.runs_here(executor, 800, 800)
        assert paced.runs_here(executor, 800, 800), "once may be by chance"
        assert not paced.runs_here(executor, 800, 800), "it has become slower"
    finally:
        executor.close()


def test_one_that_was_slow_by_chance_stays(paced: Paced) -> None:
    executor = LocalExecutor(2, inline_rows=1000)
    try:
        for _ in range(5):
            for paced.takes_ns in (10_000, 10_000, 5_000_000):
                assert paced.runs_here(executor, 100, 100)
    finally:
        executor.close()


@pytest.mark.parametrize(("together_ns", "tried"), [(1_500_000, True), (5_000_000, False)])
def test_what_several_threads_do_is_tried_alone_now_and_then_if_it_cannot_take_long(
    paced: Paced, together_ns: int, tried: bool
) -> None:
    executor = LocalExecutor(2, inline_rows=1000)
    try:
        paced.takes_ns = 5_000_000
        assert paced.runs_here(executor, 100, 100)
        paced.takes_ns = together_ns
        assert not any(paced.runs_here(executor, 100, 100) for _ in range(16))
        assert paced.runs_here(executor, 100, 100) is tried
    finally:
        executor.close()


def test_steps_of_one_line_are_told_apart(paced: Paced) -> None:
    executor = LocalExecutor(2, inline_rows=1000)
    try:
        plan = Source(CallSite("work", "app.py", 1), [SliceReader.of([0] * 100) for _ in range(2)])
        for _ in range(3):
            paced.takes_ns = 5_000_000
            executor.run(plan, paced, None, Metrics())
            on_threads = len(paced.threads) > 1 or threading.current_thread().name not in paced.threads
            paced.threads.clear()
            names: list[str] = executor.run(plan, thread_name, None, Metrics())
            assert set(names) == {threading.current_thread().name}
        assert on_threads
    finally:
        executor.close()


def thread_name(task: Task, chunks: Iterator[Chunk]) -> str:
    return threading.current_thread().name


def test_where_all_goes_to_threads_it_does(paced: Paced, executor: LocalExecutor) -> None:
    assert not paced.runs_here(executor, 1, 1)
    assert not paced.runs_here(executor, 1, 1)


def test_the_lines_it_remembers_are_bounded(paced: Paced, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.executors.local.executor._PACES_MAX", 3)
    executor = LocalExecutor(2, inline_rows=1000)
    try:
        for line in range(10):
            assert paced.runs_here(executor, 1, 1, line=line)
            assert len(executor._paces) <= 3
    finally:
        executor.close()


def test_no_task_outlives_a_job_that_failed(executor: LocalExecutor) -> None:
    running = [0]
    lock = threading.Lock()

    def act(task: Task, chunks: Iterator[Chunk]) -> None:
        with lock:
            running[0] += 1
        try:
            if task.partition == 1:
                raise KeyError(task.partition)
            list(chunks)
        finally:
            with lock:
                running[0] -= 1

    for _ in range(20):
        with pytest.raises(KeyError):
            executor.run(source(*([number] for number in range(32))), act, None, Metrics())
        assert running == [0]


def test_of_several_failures_the_first_partition_s_is_raised(executor: LocalExecutor) -> None:
    """Even if a later one has failed long before."""
    later = threading.Event()

    def act(task: Task, chunks: Iterator[Chunk]) -> None:
        if task.partition == 0:
            assert later.wait(60)
            raise KeyError(0)
        if task.partition == 1:
            later.set()
            raise KeyError(1)

    with pytest.raises(KeyError) as found:
        executor.run(source([1], [2], [3]), act, None, Metrics())
    assert found.value.args == (0,)
    assert failure_of(found.value).partition == 0


def test_a_kept_plan_is_computed_by_one_of_those_who_ask(executor: LocalExecutor) -> None:
    """Jobs on eight threads want the same partition at once."""
    computed: list[int] = []

    class Count(Step):
        name = "count"

        def run(self, task: Task, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
            computed.append(task.partition)
            yield from chunks

    plan = Narrow(call_site("count"), source([[1]], [[2]]), Count())
    executor.keep(plan, StorageLevel.MEMORY_ONLY)
    start = threading.Barrier(8, timeout=60)
    found: list[Any] = []

    def ask() -> None:
        start.wait()
        for _ in range(10):
            part = executor.run(plan, rows, None, Metrics())
            part[0][0].append("changed")
            found.append(part[1])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(computed) == [0, 1]
    assert found == [[[2]]] * 80
    assert executor.run(plan, rows, [0], Metrics()) == [[[1]]]


def test_what_nobody_holds_any_more_is_not_kept(executor: LocalExecutor) -> None:
    plan = Narrow(call_site("thread"), source([1]), Thread())
    executor.keep(plan, StorageLevel.MEMORY_ONLY)
    executor.run(plan, rows, None, Metrics())
    gone = weakref.ref(plan)
    del plan
    gc.collect()
    assert gone() is None


def test_contexts_leave_no_threads_behind() -> None:
    before = set(threading.enumerate())
    for _ in range(3):
        with Context(conf=Conf().setMaster("local[4]").set("penstock.local.inlineRows", 0)) as sc:
            assert sc.parallelize(range(100), 8).map(str).count() == 100
    assert {thread for thread in threading.enumerate() if "penstock" in thread.name} <= before


def test_a_job_within_a_job(executor: LocalExecutor) -> None:
    """A task may run a job of its own; it does not wait for ever."""

    def nested(task: Task, chunks: Iterator[Chunk]) -> Any:
        return LocalExecutor(2, 0).run(source([task.partition], [9]), rows, None, Metrics())

    assert executor.run(source([1], [2]), nested, None, Metrics()) == [[[0], [9]], [[1], [9]]]


def test_only_what_the_wanted_partitions_need_is_prepared(executor: LocalExecutor) -> None:
    """A kept partition needs nothing of what lies above it."""

    class Once(Step):
        name = "once"

        def __init__(self) -> None:
            self.runs = 0

        def run(self, task: Task, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
            self.runs += 1
            yield from chunks

    step = Once()
    site = call_site("shuffle")
    above = Narrow(site, source([(0, "a"), (1, "b")]), step)
    first = Shuffle(site, above, KeyRouter(Partitioner(2), site), 2)
    plan = Shuffle(site, first, KeyRouter(Partitioner(3), site), 3)
    executor.keep(plan, StorageLevel.MEMORY_ONLY)
    for _ in range(3):
        assert executor.run(plan, rows, [1], Metrics()) == [[(1, "b")]]
    assert step.runs == 1
