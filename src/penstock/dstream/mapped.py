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

from penstock.chunk import CHUNK_ROWS, Chunk, Rows, Tuple, isolated
from penstock.dstream.mapping import first_version, form_of, kept_small, on_columns, over_on_columns, restored
from penstock.dstream.node import Batch, StreamNode, Table, Transformed
from penstock.dstream.stateful import NO_STATE
from penstock.dstream.statistics import ExpiryReport, StateLimits, StateMeter
from penstock.errors import CallSite
from penstock.plan import Form, Gather, Narrow, Node, Shuffle, Source, States, Step, Task
from penstock.rdd import RDD, KeyRouter, Partitioner, checked_pairs, raise_for_key, with_distinct_nans
from penstock.state import RowVersion, State, TableChange, Update, Version, whole
from penstock.times import BatchTime, local_datetime
from penstock.vectorize import Untraced

__all__ = ["MapWithState", "emitted_by", "snapshots_of"]

Mapped = Callable[..., Any]
"""A function of key, value and state, maybe with the batch time in front."""


class MapWithState(StreamNode):
    """One chunk a partition: a version of its states, and what the function returned on the way there.

    Only keys with records in a batch, and those that time out in it, are looked at. A batch that fails leaves
    the version before it whole; what a function changes in a state without ``update`` is lost.
    """

    stateful = True
    keeps_table = True
    yields_records = False

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
        limits: StateLimits,
    ) -> None:
        super().__init__(site, (parent,), parent.slide_duration)
        self.parent = parent
        self.function = function
        self.partitioner = partitioner
        self.initial = initial
        self.with_time = with_time
        self.timeout_ms = timeout_ms
        self.limits = limits
        # How long a key lasts without news; where that is not the function's business, this says so.
        self.lasts_ms = limits.ttl_ms if timeout_ms is None else timeout_ms
        self.report = ExpiryReport(site, self.lasts_ms or 0)

    @property
    def placing(self) -> Partitioner | None:
        return self.partitioner

    def changes(self, before: list[list[Chunk]] | None, after: list[list[Chunk]]) -> list[TableChange]:
        olds = [None] * len(after) if before is None else [_version_in(chunks) for chunks in before]
        return [_change(old, _version_in(chunks)) for old, chunks in zip(olds, after, strict=True)]

    def restored(self, tables: list[TableChange]) -> list[list[Chunk]]:
        expires = self.lasts_ms is not None
        return [[_Result(restored(table, expires=expires), [])] for table in tables]

    def table_in(self, chunks: list[Chunk]) -> Table:
        return _version_in(chunks) or RowVersion.of([], 0)

    def due_after(self, chunks: list[list[Chunk]], time: int) -> int | None:
        if self.lasts_ms is None:
            return None
        versions = [_version_in(held) for held in chunks]
        oldest = [news for each in versions if each is not None and (news := each.oldest_news()) is not None]
        return max(time, min(oldest) + self.lasts_ms) + 1 if oldest else None

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
            return Gather(self.site, (Source(self.site, (), NO_STATE),), nothing)
        if self.initial.partitioner == self.partitioner:
            return self.initial.plan
        return self._by_key(self.initial.plan)

    def _by_key(self, plan: Node) -> Node:
        router = KeyRouter(self.partitioner, self.site)
        return Shuffle(self.site, plan, router, self.partitioner.numPartitions)


def _version_in(chunks: list[Chunk]) -> Version | None:
    return next((chunk.version for chunk in chunks if isinstance(chunk, _Result)), None)


def _change(before: Version | None, after: Version | None) -> TableChange:
    if after is None:
        return whole([])
    found = None if before is None else after.changes(before)
    return after.image() if found is None else found


class _Result(Chunk):
    """A version of the states of a partition, and what the function has returned. No reader changes it."""

    __slots__ = ("emitted", "version")

    beside = True

    def __init__(self, version: Version, emitted: list[Chunk]) -> None:
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

    __slots__ = ("__name__", "before_ms", "meter", "node", "time")

    stays_here = True  # versions of state are of this process
    begins_columns = True  # whatever the states are before the first batch

    def __init__(self, node: MapWithState, time: BatchTime, before_ms: int | None) -> None:
        self.__name__ = "mapWithState"
        self.node = node
        self.meter = StateMeter(node, node.limits)
        self.time = time
        self.before_ms = before_ms  # the batch time of the version to go on from

    def __call__(self, task: Task, inputs: list[Iterator[Chunk]]) -> Iterator[Chunk]:
        node = self.node
        expires = node.lasts_ms is not None
        version, columns = self._version(inputs[0]), None
        records, failure = _all_of(inputs[1])
        if not node.with_time and failure is None:
            columns = on_columns(node.function, version, records, expires=expires)
        version = kept_small(version, expires=expires) if columns is None else columns.version
        emitted: list[Chunk] = []
        with version.update(self.time) as update:
            if self.before_ms is not None and node.lasts_ms is not None:
                update.forget_times(self.before_ms - node.lasts_ms)
            done = None if columns is None else columns.run(update, keeps_time=expires)
            if done is None:
                calls = _Calls(node, self.time)
                for chunk in records:
                    for pairs in checked_pairs(chunk, node.site):
                        calls.records(update, pairs)
                if failure is not None:
                    raise failure
                touched = len(calls.keys)
                emitted.append(Rows(calls.made))
            else:
                touched = done[1]
                emitted.extend(() if done[0] is None else (done[0],))
            if node.lasts_ms is not None:
                emitted.extend(self._over(update, self.time - node.lasts_ms))
        held = update.version
        self.meter.note(task, keys=len(held), touched=touched, nbytes=held.nbytes, expired=update.expired)
        yield _Result(held, [part for chunk in emitted for part in _bounded(chunk)])

    def _over(self, update: Any, before: int) -> Iterator[Chunk]:
        """What becomes of keys that had their last news before that time."""
        node = self.node
        if node.timeout_ms is None:  # the function has not asked for it
            update.expire_before(before)
            node.report.forgotten(update.expired)
            return
        done = None if node.with_time else over_on_columns(node.function, update, before)
        if done is None:
            calls = _Calls(node, self.time)
            calls.timeouts(update, before)
            yield Rows(calls.made)
        elif done[0] is not None:
            yield done[0]

    def _version(self, before: Iterator[Chunk]) -> Any:
        held = list(before)
        if held and isinstance(held[0], _Result):
            return held[0].version
        expires = self.node.lasts_ms is not None
        in_columns = first_version(held, self.time, expires=expires)
        if in_columns is not None:
            return in_columns
        first = (pair for chunk in held for pairs in checked_pairs(chunk, self.node.site) for pair in pairs)
        return RowVersion.of(with_distinct_nans(list(first)), self.time, expires=expires)

    def form(self, before: Form, records: Form) -> Form:
        """States in columns, if the function can be traced; see :mod:`penstock.plan.forms`."""
        return form_of(self.node.function, self.node.with_time, before, records)


def _all_of(chunks: Iterator[Chunk]) -> tuple[list[Chunk], Exception | None]:
    """The chunks, as many as could be made; and what came instead of the next, to be raised where it would
    have been if they were read one by one."""
    found: list[Chunk] = []
    try:
        for chunk in chunks:
            found.append(chunk)
    except Exception as failure:
        return found, failure
    return found, None


def _bounded(chunk: Chunk) -> Iterator[Chunk]:
    return (chunk.slice(at, at + CHUNK_ROWS) for at in range(0, len(chunk), CHUNK_ROWS))


class _Calls:
    """The calls of the function in one partition, and what came of them."""

    __slots__ = ("_function", "_keeps_time", "_site", "_state", "keys", "made")

    def __init__(self, node: MapWithState, time: BatchTime) -> None:
        function, moment = node.function, local_datetime(time)
        if node.with_time:
            self._function: Mapped = lambda key, value, state: function(moment, key, value, state)
        else:
            self._function = function
        self._site = node.site
        self._keeps_time = node.lasts_ms is not None
        self._state = State()
        self.keys: set[Any] = set()  # those with records
        self.made: list[Any] = []

    def records(self, update: Update, pairs: list[Any]) -> None:
        """One call a record, each with the state that the one before has left."""
        function, state, absent = self._function, self._state, State.absent()
        seen, made = self.keys.add, self.made
        pair: Any = None
        try:
            update.prepare(pair[0] for pair in pairs)
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

    def timeouts(self, update: Update, before: int) -> None:
        """One call for each key whose last news is of a time before that one."""
        key: Any = None
        try:
            for key, held in update.expiring(before):
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
    stays_here = True

    def run(self, task: Task, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            assert isinstance(chunk, _Result)
            yield from (part.isolated() for part in chunk.emitted)

    def form(self, states: Form) -> Form:
        """See :mod:`penstock.plan.forms`."""
        assert isinstance(states, States)
        return states.emitted_type or Untraced("its function returns nothing")


class _Snapshot(Step):
    """All keys with their states."""

    name = "stateSnapshots"
    stays_here = True

    def run(self, task: Task, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            assert isinstance(chunk, _Result)
            yield from (part.isolated() for part in _bounded(chunk.version.pairs()))

    def form(self, states: Form) -> Form:
        """See :mod:`penstock.plan.forms`."""
        assert isinstance(states, States)
        return Tuple((states.key_type, states.state_type))


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
