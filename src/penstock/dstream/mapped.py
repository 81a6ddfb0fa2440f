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
from penstock.dstream.home import (
    Operator,
    Shown,
    Stored,
    StoredTable,
    TableChunk,
    Taken,
    moment_of,
    operator_of,
    stored_change,
    stored_in,
)
from penstock.dstream.mapping import first_version, form_of, kept_small, on_columns, over_on_columns
from penstock.dstream.node import Batch, StreamNode, Table, Transformed, chunks_of
from penstock.dstream.stateful import NO_STATE
from penstock.dstream.statistics import ExpiryReport, StateLimits, StateMeter
from penstock.errors import CallSite
from penstock.plan import Form, Gather, Narrow, Node, Shuffle, SliceReader, Source, States, Step, Task
from penstock.rdd import RDD, KeyRouter, Partitioner, checked_pairs, raise_for_key, with_distinct_nans
from penstock.state import (
    RowVersion,
    State,
    Steps,
    TableChange,
    TableFiles,
    Update,
    Version,
    Versioned,
    version_of,
    whole,
)
from penstock.times import BatchTime, local_datetime
from penstock.values import dataclass
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

    @property
    def mapping(self) -> Mapping:
        """What becomes of a partition."""
        return Mapping(self.site, self.function, self.with_time, self.timeout_ms, self.lasts_ms)

    def changes(self, before: list[list[Chunk]] | None, after: list[list[Chunk]]) -> list[TableChange]:
        olds: list[list[Chunk]] | list[None] = [None] * len(after) if before is None else before
        return [_change(old, chunks) for old, chunks in zip(olds, after, strict=True)]

    def restored(self, tables: list[TableChange]) -> list[list[Chunk]]:
        expires = self.lasts_ms is not None
        return [[_Result(version_of(table, expires=expires), [])] for table in tables]

    def table_in(self, chunks: list[Chunk]) -> Table:
        stored = stored_in(chunks)
        return StoredTable(stored) if stored is not None else _version_in(chunks) or RowVersion.of([], 0)

    def due_after(self, chunks: list[list[Chunk]], time: int) -> int | None:
        if self.lasts_ms is None:
            return None
        oldest = [news for held in chunks if (news := _oldest_news(held)) is not None]
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
        before_ms = None if found is None else found[0]
        there = self._elsewhere(batch, found)
        if there is None:
            before = self._first() if found is None else found[1].plan
            reads = [[(0, index), (1, index)] for index in range(count)]
            return batch.new_rdd(Gather(self.site, (before, plan), reads, _Mapped(self, time, before_ms)))
        operator, held = there
        before = self._first() if held is None else _source_of(self.site, held)
        reads = [[(0, index), (1, index), (2, 0)] for index in range(count)]
        mapped = _MappedThere(self.mapping, operator.files)
        made = Gather(self.site, (before, plan, moment_of(self.site, int(time), before_ms)), reads, mapped)
        report = self.report if self.timeout_ms is None else None
        return batch.new_rdd(Narrow(self.site, made, Taken(operator, StateMeter(self, self.limits), report)))

    def _elsewhere(
        self, batch: Batch, found: tuple[int, RDD] | None
    ) -> tuple[Operator, list[Stored] | None] | None:
        """The operator on the workers, if its state is there or is to be from now on; and what there is."""
        if batch.home is None:
            return None
        form = Versioned(expires=self.lasts_ms is not None)
        if found is None:
            return (batch.home.operator(self, form, _as_it_is), None) if batch.home.takes(0) else None
        parts = chunks_of(found[1])
        stored = [each for chunks in parts if (each := stored_in(chunks)) is not None]
        if len(stored) == len(parts):
            return batch.home.operator(self, form, _as_it_is), stored
        versions = [_version_in(chunks) or RowVersion.of([], 0) for chunks in parts]
        if not batch.home.takes(sum(version.nbytes for version in versions)):
            return None
        operator: Operator = batch.home.operator(self, form, _as_it_is)
        return operator, operator.moved([(each, each.image(), len(each)) for each in versions], found[0])

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
    """The version that is in the driver, if one is."""
    found = next((chunk.version for chunk in chunks if isinstance(chunk, _Result)), None)
    return None if isinstance(found, Stored) else found


def _oldest_news(chunks: list[Chunk]) -> int | None:
    stored, version = stored_in(chunks), _version_in(chunks)
    if stored is not None:
        return stored.oldest
    return None if version is None else version.oldest_news()


def _change(before: list[Chunk] | None, after: list[Chunk]) -> TableChange:
    stored = stored_in(after)
    if stored is not None:
        return stored_change(before, stored)
    new, old = _version_in(after), None if before is None else _version_in(before)
    if new is None:
        return whole([])
    found = None if old is None else new.changes(old)
    return new.image() if found is None else found


def _as_it_is(version: Version) -> Table:
    return version


def _source_of(site: CallSite, held: list[Stored]) -> Source:
    return Source(site, [SliceReader([each]) for each in held])


class _Result(TableChunk):
    """A version of the states of a partition, or what stands for it; and what the function has returned. No
    reader changes it."""

    __slots__ = ("emitted", "version")

    beside = True

    def __init__(self, version: Version | Stored, emitted: list[Chunk]) -> None:
        self.version = version
        self.emitted = emitted

    @property
    def stored(self) -> Stored | None:
        """See :func:`~penstock.dstream.home.stored_in`."""
        return self.version if isinstance(self.version, Stored) else None

    @property
    def nbytes(self) -> int:
        return sum(chunk.nbytes for chunk in self.emitted)


@dataclass(frozen=True)
class Made:
    """A version, what the function has returned on the way there, how many keys had records, and how many
    were forgotten for want of any."""

    version: Any
    emitted: list[Chunk]
    touched: int
    expired: int


@dataclass(frozen=True)
class Mapping:
    """The function over a partition's records beside the states of their keys, then over those that time
    out. It knows nothing of the graph, so that it can be sent elsewhere."""

    site: CallSite
    function: Mapped
    with_time: bool
    timeout_ms: int | None
    lasts_ms: int | None

    def made_of(self, version: Any, chunks: Iterator[Chunk], time: BatchTime, before_ms: int | None) -> Made:
        """The version after ``version``, which is of ``before_ms``."""
        expires, columns = self.lasts_ms is not None, None
        records, failure = _all_of(chunks)
        if not self.with_time and failure is None:
            columns = on_columns(self.function, version, records, expires=expires)
        version = kept_small(version, expires=expires) if columns is None else columns.version
        emitted: list[Chunk] = []
        with version.update(time) as update:
            if before_ms is not None and self.lasts_ms is not None:
                update.forget_times(before_ms - self.lasts_ms)
            done = None if columns is None else columns.run(update, keeps_time=expires)
            if done is None:
                calls = _Calls(self, time)
                for chunk in records:
                    for pairs in checked_pairs(chunk, self.site):
                        calls.records(update, pairs)
                if failure is not None:
                    raise failure
                touched = len(calls.keys)
                emitted.append(Rows(calls.made))
            else:
                touched = done[1]
                emitted.extend(() if done[0] is None else (done[0],))
            if self.lasts_ms is not None:
                emitted.extend(self._over(update, time, time - self.lasts_ms))
        parts = [part for chunk in emitted for part in _bounded(chunk)]
        return Made(update.version, parts, touched, update.expired)

    def _over(self, update: Any, time: BatchTime, before: int) -> Iterator[Chunk]:
        """What becomes of keys that had their last news before that time."""
        if self.timeout_ms is None:  # the function has not asked for it
            update.expire_before(before)
            return
        done = None if self.with_time else over_on_columns(self.function, update, before)
        if done is None:
            calls = _Calls(self, time)
            calls.timeouts(update, before)
            yield Rows(calls.made)
        elif done[0] is not None:
            yield done[0]

    def first(self, held: list[Chunk], time: int) -> Any:
        """The version of the pairs before the first batch."""
        expires = self.lasts_ms is not None
        in_columns = first_version(held, time, expires=expires)
        if in_columns is not None:
            return in_columns
        first = (pair for chunk in held for pairs in checked_pairs(chunk, self.site) for pair in pairs)
        return RowVersion.of(with_distinct_nans(list(first)), time, expires=expires)

    def form(self, before: Form, records: Form) -> Form:
        """States in columns, if the function can be traced; see :mod:`penstock.plan.forms`."""
        return form_of(self.function, self.with_time, before, records)


class _Mapped:
    """A version of the driver's, and what comes of it."""

    __slots__ = ("__name__", "before_ms", "mapping", "meter", "report", "time")

    stays_here = True  # versions of state are of this process
    begins_columns = True  # whatever the states are before the first batch

    def __init__(self, node: MapWithState, time: BatchTime, before_ms: int | None) -> None:
        self.__name__ = "mapWithState"
        self.mapping = node.mapping
        self.meter = StateMeter(node, node.limits)
        self.report = node.report if node.timeout_ms is None else None
        self.time = time
        self.before_ms = before_ms  # the batch time of the version to go on from

    def __call__(self, task: Task, inputs: list[Iterator[Chunk]]) -> Iterator[Chunk]:
        held = list(inputs[0])
        before = held[0] if held else None
        version = before.version if isinstance(before, _Result) else self.mapping.first(held, self.time)
        made = self.mapping.made_of(version, inputs[1], self.time, self.before_ms)
        if self.report is not None:
            self.report.forgotten(made.expired)
        self.meter.note(
            task,
            keys=len(made.version),
            touched=made.touched,
            nbytes=made.version.nbytes,
            expired=made.expired,
        )
        yield _Result(made.version, made.emitted)

    def form(self, before: Form, records: Form) -> Form:
        """See :meth:`Mapping.form`."""
        return self.mapping.form(before, records)


class _MappedThere:
    """On a worker: a version that lies in files, and what comes of it."""

    belongs_elsewhere = True
    begins_columns = True

    def __init__(self, mapping: Mapping, files: TableFiles[Any]) -> None:
        self.__name__ = "mapWithState"
        self._mapping = mapping
        self._files = files

    def __call__(self, task: Task, inputs: list[Iterator[Chunk]]) -> Iterator[Chunk]:
        held, ((moment, before_ms),) = list(inputs[0]), next(inputs[2]).rows()
        files, time, stored = self._files, BatchTime(moment), stored_in(held)
        steps: Steps = () if stored is None else stored.steps
        before = files.load(task.partition, steps) if steps else self._mapping.first(held, time)
        made = self._mapping.made_of(before, inputs[1], time, before_ms)
        version = made.version
        change = None if stored is None else version.changes(before)
        steps = files.save(task.partition, steps, time, version, change, version.image)
        oldest = None if self._mapping.lasts_ms is None else version.oldest_news()
        figures = (len(version), version.nbytes, made.touched, made.expired, oldest)
        yield _Result(Stored(task.partition, steps, *figures), made.emitted)

    def form(self, before: Form, records: Form, moment: Form) -> Form:
        """See :meth:`Mapping.form`."""
        return self._mapping.form(before, records)


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

    def __init__(self, mapping: Mapping, time: BatchTime) -> None:
        function, moment = mapping.function, local_datetime(time)
        if mapping.with_time:
            self._function: Mapped = lambda key, value, state: function(moment, key, value, state)
        else:
            self._function = function
        self._site = mapping.site
        self._keeps_time = mapping.lasts_ms is not None
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
            assert not isinstance(chunk.version, Stored)
            yield from (part.isolated() for part in _bounded(chunk.version.pairs()))

    def form(self, states: Form) -> Form:
        """See :mod:`penstock.plan.forms`."""
        assert isinstance(states, States)
        return Tuple((states.key_type, states.state_type))


class _Version(Step):
    """What stands for a version, without what the function has returned."""

    name = "mapWithState"
    stays_here = True

    def run(self, task: Task, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            stored = stored_in([chunk])
            assert stored is not None
            yield stored

    def form(self, states: Form) -> Form:
        """See :mod:`penstock.plan.forms`."""
        return states


class _SnapshotThere(Shown):
    """On a worker: all keys with their states."""

    name = "stateSnapshots"

    def chunks_of(self, table: Version) -> Iterator[Chunk]:
        return _bounded(table.pairs())

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

    def snapshot(time: BatchTime, rdds: list[RDD]) -> RDD:
        plan, operator = rdds[0].plan, operator_of(rdds[0])
        if operator is None:
            plan = Narrow(site, plan, _Snapshot())
        else:
            plan = Narrow(site, Narrow(node.site, plan, _Version()), _SnapshotThere(operator.files))
        return RDD(plan, rdds[0].context, node.partitioner)

    return Transformed(site, (node,), snapshot)
