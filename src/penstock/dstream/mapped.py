"""``mapWithState``: each record with the state of its key, which costs what a batch touches.

::

    records --by key--.
                       mapping node -- version t of the states, and what the function has returned
    version t-1 ------'       |                     |
                        stateSnapshots          the stream itself
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from penstock.chunk import CHUNK_ROWS, Chunk, Rows, isolated
from penstock.dstream.node import Batch, StreamNode, Transformed
from penstock.dstream.statistics import note_state
from penstock.errors import CallSite
from penstock.plan import Gather, Narrow, Node, Shuffle, Source, Step, Task
from penstock.rdd import RDD, KeyRouter, Partitioner, checked_pairs, raise_for_key, with_distinct_nans
from penstock.state import RowUpdate, RowVersion, State
from penstock.times import BatchTime, local_datetime

__all__ = ["MapWithState", "emitted_by", "snapshots_of"]

Mapped = Callable[..., Any]
"""A function of key, value and state, maybe with the batch time in front."""


class MapWithState(StreamNode):
    """One chunk a partition: a version of its states, and what the function returned on the way there.

    Only keys with records in a batch, and those that time out in it, are looked at. A batch that fails leaves
    the version before it whole; what a function changes in a state without ``update`` is lost.
    """

    stateful = True

    def __init__(
        self,
        site: CallSite,
        parent: StreamNode,
        function: Mapped,
        partitioner: Partitioner,
        initial: RDD | None,
        *,
        with_time: bool,
        timeout_ms: int | None,
    ) -> None:
        super().__init__(site, (parent,), parent.slide_duration)
        self.parent = parent
        self.function = function
        self.partitioner = partitioner
        self.initial = initial
        self.with_time = with_time
        self.timeout_ms = timeout_ms

    def problems(self, has_checkpoint_directory: bool) -> list[str]:
        if has_checkpoint_directory:
            return []
        return [f"{self.site} needs a checkpoint directory. Hint: sc.setCheckpointDir(directory)."]

    def compute(self, time: BatchTime, batch: Batch) -> RDD | None:
        data = batch.rdd(self.parent, time)
        plan: Node = Source(self.site, ()) if data is None else data.plan
        count = self.partitioner.numPartitions
        if data is None or data.partitioner != self.partitioner:
            plan = self._by_key(plan)
        found = batch.committed(self, time - self.slide_duration)
        before = self._first() if found is None else found[1].plan
        reads = [[(0, index), (1, index)] for index in range(count)]
        mapped = _Mapped(self, time, None if found is None else found[0])
        return batch.new_rdd(Gather(self.site, (before, plan), reads, mapped))

    def _first(self) -> Node:
        """The pairs before the first batch."""
        if self.initial is None:
            nothing: list[list[tuple[int, int]]] = [[] for _ in range(self.partitioner.numPartitions)]
            return Gather(self.site, (Source(self.site, ()),), nothing)
        if self.initial.partitioner == self.partitioner:
            return self.initial.plan
        return self._by_key(self.initial.plan)

    def _by_key(self, plan: Node) -> Node:
        router = KeyRouter(self.partitioner, self.site)
        return Shuffle(self.site, plan, router, self.partitioner.numPartitions)


class _Result(Chunk):
    """A version of the states of a partition, and what the function has returned. No reader changes it."""

    __slots__ = ("emitted", "version")

    def __init__(self, version: RowVersion, emitted: list[Rows]) -> None:
        self.version = version
        self.emitted = emitted

    def __len__(self) -> int:
        return 1

    def rows(self) -> list[Any]:
        raise AssertionError("a version of states is no list of records")

    def slice(self, start: int, stop: int) -> Chunk:
        raise AssertionError("a version of states has no parts")

    def isolated(self) -> Chunk:
        return self

    def lent(self) -> Chunk:
        return self

    @property
    def nbytes(self) -> int:
        return sum(chunk.nbytes for chunk in self.emitted)


class _Mapped:
    """The function over a partition's records beside the states of their keys, then over those that time
    out."""

    __slots__ = ("__name__", "before_ms", "node", "time")

    def __init__(self, node: MapWithState, time: BatchTime, before_ms: int | None) -> None:
        self.__name__ = "mapWithState"
        self.node = node
        self.time = time
        self.before_ms = before_ms  # the batch time of the version to go on from

    def __call__(self, task: Task, inputs: list[Iterator[Chunk]]) -> Iterator[Chunk]:
        before, records = inputs
        calls = _Calls(self.node, self.time)
        with self._version(before).update(self.time) as update:
            if self.before_ms is not None and self.node.timeout_ms is not None:
                update.forget_times(self.before_ms - self.node.timeout_ms)
            for chunk in records:
                for pairs in checked_pairs(chunk, self.node.site):
                    calls.records(update, pairs)
            calls.timeouts(update)
        note_state(task, self.node, keys=len(update.version), touched=len(calls.keys), expired=update.expired)
        made = calls.made
        emitted = [Rows(made[at : at + CHUNK_ROWS]) for at in range(0, len(made), CHUNK_ROWS)]
        yield _Result(update.version, emitted)

    def _version(self, before: Iterator[Chunk]) -> RowVersion:
        held = list(before)
        if held and isinstance(held[0], _Result):
            return held[0].version
        first = (pair for chunk in held for pairs in checked_pairs(chunk, self.node.site) for pair in pairs)
        expires = self.node.timeout_ms is not None
        return RowVersion.of(with_distinct_nans(list(first)), self.time, expires=expires)


class _Calls:
    """The calls of the function in one partition, and what came of them."""

    __slots__ = ("_function", "_keeps_time", "_site", "_state", "_threshold", "keys", "made")

    def __init__(self, node: MapWithState, time: BatchTime) -> None:
        function, moment = node.function, local_datetime(time)
        if node.with_time:
            self._function: Mapped = lambda key, value, state: function(moment, key, value, state)
        else:
            self._function = function
        self._site = node.site
        self._keeps_time = node.timeout_ms is not None
        self._threshold = time - (node.timeout_ms or 0)
        self._state = State()
        self.keys: set[Any] = set()  # those with records
        self.made: list[Any] = []

    def records(self, update: RowUpdate, pairs: list[Any]) -> None:
        """One call a record, each with the state that the one before has left."""
        function, state, absent = self._function, self._state, State.absent()
        seen, made = self.keys.add, self.made
        pair: Any = None
        try:
            for pair in with_distinct_nans(pairs):
                key, value = pair
                held = update.get(key, absent)
                seen(key)
                state.open(held)
                result = function(key, value, state)
                if state.removed:
                    update.remove(key)
                else:
                    news = state.news()
                    if news is not absent:
                        update.put(key, news)
                    elif self._keeps_time and held is not absent:
                        update.touch(key)
                if result is not None:
                    made.append(result)
        except Exception as error:
            raise_for_key(error, pair, self._site)

    def timeouts(self, update: RowUpdate) -> None:
        """One call for each key that has had no news for too long."""
        if not self._keeps_time:
            return
        key: Any = None
        try:
            for key, held in update.expiring(self._threshold):
                self._state.open(held, timing_out=True)
                result = self._function(isolated(key), None, self._state)
                update.expire(key)
                if result is not None:
                    self.made.append(result)
        except Exception as error:
            raise_for_key(error, (key, None), self._site)


class _Emitted(Step):
    """What the function has returned."""

    name = "mapWithState"

    def run(self, task: Task, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            assert isinstance(chunk, _Result)
            yield from (rows.isolated() for rows in chunk.emitted)


class _Snapshot(Step):
    """All keys with their states."""

    name = "stateSnapshots"

    def run(self, task: Task, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            assert isinstance(chunk, _Result)
            pairs = chunk.version.pairs()
            for at in range(0, len(pairs), CHUNK_ROWS):
                yield pairs.slice(at, at + CHUNK_ROWS).isolated()


def emitted_by(node: MapWithState) -> StreamNode:
    """What the function returns, batch by batch."""
    return Transformed(
        node.site,
        (node,),
        lambda time, rdds: RDD(Narrow(node.site, rdds[0].plan, _Emitted()), rdds[0].context),
    )


def snapshots_of(node: MapWithState, site: CallSite) -> StreamNode:
    """All keys with their states, batch by batch."""
    return Transformed(
        site,
        (node,),
        lambda time, rdds: RDD(Narrow(site, rdds[0].plan, _Snapshot()), rdds[0].context, node.partitioner),
    )
