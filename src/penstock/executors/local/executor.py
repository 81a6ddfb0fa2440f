"""Plans on the threads of this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from penstock.chunk import Chunk, Left
from penstock.clock import SystemClock
from penstock.errors import CallSite, locate
from penstock.executors.base import Executor
from penstock.executors.jobs import (
    Job,
    Kept,
    Lying,
    OnePass,
    ReadAhead,
    Stage,
    branches_of,
    partitions_stand_alone,
    readers_in,
)
from penstock.executors.remote import Batch, Crew, RemoteStages, must_be_sendable
from penstock.plan import Metrics, Narrow, Node, StorageLevel, Task

__all__ = ["LocalExecutor"]

T = TypeVar("T")

_WORTH_THREADS_NS = 2_000_000
"""Work that one thread does in less is not handed to others: where they wait for Python's lock, handing it
over may cost half a millisecond."""
_PACES_MAX = 10_000
_TRIED_AGAIN = 16
"""So often work runs on several threads before one alone tries it again, if that cannot take long."""

_clock = SystemClock()

Work = tuple[CallSite, CallSite, str]
"""Which line asks for it, which for what it is made of, since one line may work for several streams, and what
is done with each partition, since one line may take several steps: a sort looks at what another step of it
has computed."""

_NOTHING_AHEAD: Mapping[Node, ReadAhead] = {}


class LocalExecutor(Executor):
    """``threads`` threads; work that takes little time runs on the calling thread.

    Whether it will is told by how long a record took the last time that the same line of the program asked
    for the same, and before that by there being fewer than ``inline_rows`` records; with 0 all goes to
    threads.

    A ``crew`` is offered all stages of jobs first.
    """

    def __init__(self, threads: int, inline_rows: int, crew: Crew | None = None) -> None:
        self._threads = threads
        self._crew = crew
        self._inline_rows = inline_rows
        self._pool: ThreadPoolExecutor | None = None
        self._kept: WeakKeyDictionary[Node, Kept] = WeakKeyDictionary()
        self._replaced: WeakKeyDictionary[Node, Node] = WeakKeyDictionary()
        self._has_replaced = False  # asked far more often than it is true
        self._passed: WeakSet[Node] = WeakSet()
        self._aheads: WeakKeyDictionary[Node, ReadAhead] = WeakKeyDictionary()
        self._aheads_now: Mapping[Node, ReadAhead] | None = _NOTHING_AHEAD  # the same for jobs that begin now
        self._paces: dict[Work, _Pace] = {}
        self._lock = threading.Lock()

    @property
    def threads(self) -> int:
        """How many threads of this process work."""
        return self._threads

    @property
    def parallelism(self) -> int:
        return self._threads

    @property
    def elsewhere(self) -> str:
        return "" if self._crew is None else self._crew.place

    def run(
        self,
        plan: Node,
        action: Callable[[Task, Iterator[Chunk]], T],
        partitions: Sequence[int] | None,
        metrics: Metrics,
    ) -> list[T]:
        wanted = range(plan.partitions) if partitions is None else partitions
        self._must_be_sendable(plan)
        job = self._job(metrics)
        stage = self._stages(job, metrics)
        job.prepare(plan, wanted, stage)
        return stage(plan, action, wanted)

    def _lying(self, plan: Node, partitions: Sequence[int]) -> Lying | None:
        """What is asked for, if it lies in this process but for some steps: then there is no job to make. A
        stream has many small results that are looked at one after the other."""
        if self._has_replaced or self._crew is not None:
            return None
        return Lying.of(plan, partitions, self._kept.get)

    def _must_be_sendable(self, plan: Node) -> None:
        """Whatever is sent of it: a program is refused before any of it runs, and not only once it has much
        to do."""
        if self._crew is not None:
            must_be_sendable(plan, self._crew.pickle)

    def _stages(self, job: Job, metrics: Metrics) -> Stage:
        here = _Stages(self, job)
        if self._crew is None:
            return here
        return RemoteStages(job, self._crew, here, metrics, here.takes_less, self._batch_of, here.note)

    def iterate(
        self, plan: Node, partitions: Sequence[int] | None, metrics: Metrics, most: int | None = None
    ) -> Iterator[Chunk]:
        wanted = range(plan.partitions) if partitions is None else partitions
        lying = self._lying(plan, wanted)
        if lying is not None:
            return lying.read(wanted, metrics)
        return self._pulled(plan, wanted, metrics, most)

    def _pulled(
        self, plan: Node, wanted: Sequence[int], metrics: Metrics, most: int | None
    ) -> Iterator[Chunk]:
        """What is asked for, by a job that begins with the first chunk."""
        self._must_be_sendable(plan)
        job = self._job(metrics)
        stages = self._stages(job, metrics)
        job.prepare(plan, wanted, stages)
        left = most
        for partition in wanted:
            try:
                if not isinstance(stages, RemoteStages):
                    yield from job.chunks(plan, partition)
                    continue
                for chunk in stages.chunks(plan, partition, left):
                    yield chunk
                    if left is not None:
                        left -= len(chunk)
                        if left <= 0:
                            return
            except Exception as error:
                locate(error, partition=partition)
                raise

    def first_kept(self, plan: Node, most: int) -> list[Any] | None:
        kept = self._kept.get(plan)
        if kept is None or self._has_replaced or self._crew is not None:
            return None
        found: list[Any] = []
        for partition in range(plan.partitions):
            chunks = kept.in_memory(partition)
            if chunks is None:
                return None
            for chunk in chunks:
                left = most - len(found)
                if left <= 0:
                    return found
                if isinstance(chunk, Left):
                    return None
                found += (chunk if len(chunk) <= left else chunk.slice(0, left)).isolated().rows()
        return found

    def keep(self, plan: Node, level: StorageLevel) -> None:
        with self._lock:
            if plan not in self._kept:
                self._kept[plan] = Kept(plan.partitions, level)

    def share(self, plans: Sequence[Node], roots: Sequence[Node]) -> None:
        readers = readers_in(roots, self._instead)
        held = set(roots)
        for plan in plans:
            branches = branches_of(plan, readers, held, self._kept.__contains__)
            if branches is None:
                self.keep(plan, StorageLevel.MEMORY_ONLY)
                continue
            one_pass = OnePass(plan, branches)
            self._passed.add(plan)
            for branch in branches:
                assert branch.end is not None
                self.keep(branch.end, StorageLevel.MEMORY_ONLY)
                kept = self._kept[branch.end]
                kept.one_pass = one_pass
                branch.keep_in(kept)

    def prefetch(self, plan: Node) -> ReadAhead:
        def compute(partition: int, metrics: Metrics) -> Iterator[Chunk]:
            job = self._job(metrics)
            job.prepare(plan, [partition], _Stages(self, job, inline=True))
            return job.computed(plan, partition)

        def forget() -> None:
            with self._lock:
                if self._aheads.get(plan) is made:
                    del self._aheads[plan]
                    self._aheads_now = None

        alone = partitions_stand_alone(plan)
        made = ReadAhead(plan.partitions if alone else 0, compute, forget)
        if alone:
            with self._lock:
                self._aheads[plan] = made
                self._aheads_now = None
        return made

    def drop(self, plan: Node) -> None:
        with self._lock:
            self._kept.pop(plan, None)
            self._passed.discard(plan)

    def level_of(self, plan: Node) -> StorageLevel:
        kept = self._kept.get(plan)
        return StorageLevel.NONE if kept is None else kept.level

    def replace(self, plan: Node, source: Node) -> None:
        with self._lock:
            self._replaced[plan] = source
            self._has_replaced = True

    def _batch_of(self, node: Node) -> Batch | None:
        """What a kept node is computed together with."""
        return None

    def unsupported(self, plan: Node) -> list[str]:
        return []

    def close(self) -> None:
        if self._crew is not None:
            self._crew.close()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._kept.clear()
        self._replaced.clear()
        self._aheads.clear()
        self._aheads_now = _NOTHING_AHEAD

    def _job(self, metrics: Metrics) -> Job:
        with self._lock:  # held to the end of the job, whoever releases them meanwhile
            aheads = self._aheads_now
            if aheads is None:
                aheads = self._aheads_now = dict(self._aheads) if self._aheads else _NOTHING_AHEAD
        return Job(self._kept.get, aheads, self._passed, self._instead, metrics)

    def _instead(self, node: Node) -> Node:
        return self._replaced.get(node, node) if self._has_replaced else node

    def threads_for(self, work: Work, tasks: int, rows: int | None) -> ThreadPoolExecutor | None:
        """The pool if several tasks are worth a hop to another thread."""
        if tasks < 2 or self._threads < 2 or (rows is not None and self.takes_little(work, rows)):
            return None
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="penstock-task")
            return self._pool

    def takes_little(self, work: Work, rows: int, worth_ns: int = _WORTH_THREADS_NS) -> bool:
        """Whether work on so many records is not worth handing it over, which work of so long is."""
        if not self._inline_rows:
            return False
        pace = self._paces.get(work)
        return rows < self._inline_rows if pace is None else rows * pace.expected < worth_ns

    def note(self, work: Work, rows: int | None, nanoseconds: int, threads: int | None = None) -> None:
        """So long it took for so many records, all ``threads`` together; ``None``: in other processes."""
        if not rows:
            return
        pace = self._paces.get(work)
        if pace is None:
            if len(self._paces) >= _PACES_MAX:  # lines of programs that are made as they run
                self._paces.clear()
            pace = self._paces[work] = _Pace()
        pace.note(rows, nanoseconds, threads)


class _Pace:
    """How long a record took: ``expected`` nanoseconds.

    One thread that takes long once may have waited for others, so that counts if it does so twice. Several
    threads take long together where they wait for Python's lock, and do not know how long one alone would.
    """

    __slots__ = ("_alone", "_together", "expected")

    def __init__(self) -> None:
        self.expected = 0.0
        self._alone: float | None = None  # the last time on one thread
        self._together = 0  # how often since then not

    def note(self, rows: int, nanoseconds: int, threads: int | None) -> None:
        """So long it took once; see ``LocalExecutor.note``."""
        taken = nanoseconds / rows
        if threads == 1:
            self.expected = taken if self._alone is None else min(taken, self._alone)
            self._alone, self._together = taken, 0
            return
        self.expected = taken
        self._together += 1
        if threads is not None and self._together >= _TRIED_AGAIN and nanoseconds < 4 * _WORTH_THREADS_NS:
            self.expected = 0.0


class _Stages:
    """Runs a function over partitions of nodes of one job; ``inline`` keeps it off the pool."""

    __slots__ = ("_executor", "_inline", "_job")

    def __init__(self, executor: LocalExecutor, job: Job, *, inline: bool = False) -> None:
        self._executor = executor
        self._job = job
        self._inline = inline

    def takes_less(self, node: Node, action: Any, partitions: Sequence[int], worth_ns: int) -> bool:
        """Whether these partitions will take less time, as far as it is known."""
        rows = self._job.rows_hint(node, partitions)
        return rows is not None and self._executor.takes_little(_work_of(node, action), rows, worth_ns)

    def note(self, node: Node, action: Any, partitions: Sequence[int], nanoseconds: int) -> None:
        """So long it took to compute these partitions elsewhere."""
        self._executor.note(_work_of(node, action), self._job.rows_hint(node, partitions), nanoseconds)

    def __call__(
        self, node: Node, action: Callable[[Task, Iterator[Chunk]], Any], partitions: Sequence[int]
    ) -> list[Any]:
        job = self._job

        def one(partition: int) -> Any:
            try:
                return action(job.task(node, partition), job.chunks(node, partition))
            except Exception as error:
                locate(error, partition=partition)
                raise

        executor = self._executor
        if len(partitions) < 2 or executor.threads < 2 or self._inline:
            return [one(partition) for partition in partitions]
        rows, begun = job.rows_hint(node, partitions), _clock.elapsed_ns()
        work = _work_of(node, action)
        pool = executor.threads_for(work, len(partitions), rows)
        if pool is None:
            results, threads = [one(partition) for partition in partitions], 1
        else:
            results = _in_order([pool.submit(copy_context().run, one, part) for part in partitions])
            threads = min(len(partitions), executor.threads)
        executor.note(work, rows, (_clock.elapsed_ns() - begun) * threads, threads)
        return results


def _work_of(node: Node, action: Any) -> Work:
    below = node
    while isinstance(below, Narrow):
        below = below.parent
    what: str = getattr(action, "__qualname__", None) or type(action).__qualname__
    return node.site, below.site, what


def _in_order(tasks: list[Future[Any]]) -> list[Any]:
    """The results; after a failure, the error of the first failing partition, once all before it ended."""
    wait(tasks, return_when=FIRST_EXCEPTION)
    failed = next(
        (i for i, task in enumerate(tasks) if task.done() and not task.cancelled() and task.exception()), None
    )
    if failed is not None:
        for task in tasks[failed + 1 :]:
            task.cancel()
        wait(tasks)  # also those that could not be cancelled: no task outlives its job
    return [task.result() for task in tasks]
