"""State by key: every batch makes version t of version t-1 and the batch's data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from penstock.chunk import (
    CHUNK_ROWS,
    Chunk,
    Columns,
    Grouped,
    Rows,
    Scalar,
    Tuple,
    concatenated_columns,
    rows_of,
)
from penstock.dstream.home import (
    Operator,
    Shown,
    Stored,
    StoredTable,
    Taken,
    moment_of,
    operator_of,
    stored_change,
    stored_in,
)
from penstock.dstream.looking import HeldPairs
from penstock.dstream.node import Batch, StreamNode, Table, Transformed, chunks_of
from penstock.dstream.statistics import StateLimits, StateMeter
from penstock.errors import CallSite, RowTypeError, SignatureError
from penstock.plan import (
    Form,
    Gather,
    Lists,
    Narrow,
    Node,
    Shuffle,
    SliceReader,
    Source,
    Task,
    raise_located,
)
from penstock.rdd import RDD, Grouping, KeyRouter, Partitioner, aggregated, checked_pairs, keys_of
from penstock.state import Listed, Steps, TableChange, TableFiles, difference, objects_bytes, whole
from penstock.times import BatchTime, local_datetime
from penstock.values import dataclass
from penstock.vectorize import Untraced, halves_of, programs, state_plan

__all__ = ["NO_STATE", "KeyUpdate", "StateByKey", "States", "Update", "by_arity"]

NO_STATE = Scalar(type(None))
"""The row type of states where there are none yet."""

NO_LIMITS = StateLimits()

_PLAIN = {int, float, str, bool}

Update = Callable[[BatchTime, Iterator[tuple[Any, list[Any], Any]]], Iterable[tuple[Any, Any]]]
"""What becomes of the keys of a partition: (key, new values, state or None), to (key, state)."""


class StateByKey(StreamNode):
    """The state of all keys, every batch. ``updateStateByKey`` in each of its forms.

    Every key that has a state or new values is looked at in every batch: those with a state in their
    order, then new ones as they appear. A key whose state becomes ``None`` is gone; if it comes again it
    is a new one. Version t is materialised at the commit of t: a batch that fails leaves version t-1.
    """

    stateful = True
    keeps_table = True
    yields_records = False

    def __init__(
        self,
        site: CallSite,
        parent: StreamNode,
        update: Update,
        partitioner: Partitioner,
        initial: RDD | None,
        *,
        changes_keys: bool,
        limits: StateLimits = NO_LIMITS,
    ) -> None:
        super().__init__(site, (parent,), parent.slide_duration)
        self.parent = parent
        self.update = update
        self.partitioner = partitioner
        self.initial = initial
        self.changes_keys = changes_keys
        self.limits = limits

    @property
    def placing(self) -> Partitioner | None:
        return self.partitioner

    def changes(self, before: list[list[Chunk]] | None, after: list[list[Chunk]]) -> list[TableChange]:
        olds: list[list[Chunk]] | list[None] = [None] * len(after) if before is None else before
        return [_change(old, new) for old, new in zip(olds, after, strict=True)]

    def restored(self, tables: list[TableChange]) -> list[list[Chunk]]:
        return [list(table.entries) for table in tables]

    def table_in(self, chunks: list[Chunk]) -> Table:
        stored = stored_in(chunks)
        return HeldPairs(chunks) if stored is None else StoredTable(stored)

    def problems(self, has_checkpoint_directory: bool) -> list[str]:
        if has_checkpoint_directory:
            return []
        return [f"{self.site} needs a checkpoint directory. Hint: sc.setCheckpointDir(directory)."]

    def compute(self, time: BatchTime, batch: Batch) -> RDD | None:
        data = batch.rdd(self.parent, time)
        if data is None:
            data = batch.new_rdd(Source(self.site, ()))
        grouped = aggregated(data.plan, Grouping(self.site), data.partitioner, self.partitioner)
        count = self.partitioner.numPartitions
        there = self._elsewhere(time, batch)
        if there is not None:
            return batch.new_rdd(self._made_there(time, batch, grouped, *there), self.partitioner)
        state = self._state(time, batch)
        reads = [[(0, index), (1, index)] for index in range(count)]
        updated = Gather(self.site, (state.plan, grouped), reads, _Updated(self, time))
        if not self.changes_keys:
            return batch.new_rdd(updated, self.partitioner)
        return batch.new_rdd(
            Shuffle(self.site, updated, KeyRouter(self.partitioner, self.site), count), self.partitioner
        )

    def _elsewhere(self, time: BatchTime, batch: Batch) -> tuple[Operator, list[Stored] | None] | None:
        """The operator on the workers, if its state is there or is to be from now on; and what there is."""
        if batch.home is None:
            return None
        found = batch.committed(self, time - self.slide_duration)
        if found is None:
            return (batch.home.operator(self, Listed(), HeldPairs), None) if batch.home.takes(0) else None
        parts = chunks_of(found[1])
        stored = [each for chunks in parts if (each := stored_in(chunks)) is not None]
        if len(stored) == len(parts):
            return batch.home.operator(self, Listed(), HeldPairs), stored
        if not batch.home.takes(sum(map(_nbytes_of, parts))):
            return None
        operator: Operator = batch.home.operator(self, Listed(), HeldPairs)
        tables = [(each, whole(each), sum(map(len, each))) for each in parts]
        return operator, operator.moved(tables, found[0])

    def _made_there(
        self, time: BatchTime, batch: Batch, grouped: Node, operator: Operator, held: list[Stored] | None
    ) -> Node:
        """The plan of the new state, on the workers."""
        if held is None:
            before = self._state(time, batch).plan
        else:
            before = Source(self.site, [SliceReader([each]) for each in held])
        count, moment = self.partitioner.numPartitions, moment_of(self.site, int(time))
        reads = [[(0, index), (1, index), (2, 0)] for index in range(count)]
        files, updating = operator.files, self.updating
        place = StateMeter(self, self.limits).place if self.changes_keys else None
        made = Gather(self.site, (before, grouped, moment), reads, _UpdatedThere(updating, files, place))
        if self.changes_keys:
            moved = Shuffle(self.site, made, KeyRouter(self.partitioner, self.site), count)
            made = Gather(self.site, (before, moved, moment), reads, _StoredThere(files))
        return Narrow(self.site, made, Taken(operator, StateMeter(self, self.limits), None))

    @property
    def updating(self) -> Updating:
        """What becomes of a partition."""
        return Updating(self.site, self.update)

    def _state(self, time: BatchTime, batch: Batch) -> RDD:
        """The version to go on from."""
        found = batch.committed(self, time - self.slide_duration)
        if found is not None:
            return found[1]
        count = self.partitioner.numPartitions
        if self.initial is None:
            nothing = Gather(self.site, (Source(self.site, (), NO_STATE),), [[] for _ in range(count)])
            return batch.new_rdd(nothing, self.partitioner)
        if self.initial.partitioner == self.partitioner:
            return self.initial
        plan = Shuffle(self.site, self.initial.plan, KeyRouter(self.partitioner, self.site), count)
        return batch.new_rdd(plan, self.partitioner)


def _change(before: list[Chunk] | None, after: list[Chunk]) -> TableChange:
    stored = stored_in(after)
    if stored is not None:
        return stored_change(before, stored)
    return whole(after) if before is None else difference(before, after)


def _nbytes_of(chunks: Sequence[Chunk]) -> int:
    """About how much memory states take; exactly where they are columns."""
    columns = sum(chunk.nbytes for chunk in chunks if isinstance(chunk, Columns))
    rows = [row for chunk in chunks if not isinstance(chunk, Columns) for row in chunk.rows()]
    return columns + objects_bytes(rows, None)


@dataclass(frozen=True)
class Updating:
    """A partition's state beside its grouped data, through the update function. It knows nothing of the
    graph, so that it can be sent elsewhere."""

    site: CallSite
    update: Update

    def made_of(self, before: list[Chunk], grouped: list[Chunk], time: BatchTime) -> Columns | list[Any]:
        """The new states, as columns or as pairs."""
        in_columns = self._in_columns(before, grouped)
        if in_columns is not None:
            return in_columns
        state: dict[Any, Any] = {}
        for pair in _pairs(iter(before), self.site):
            state.setdefault(pair[0], pair[1])
        rows = self._of_sums(state, grouped, time)
        if rows is None:
            rows = list(self.update(time, _beside(state, dict(rows_of(grouped)))))
        return rows

    def _of_sums(self, state: dict[Any, Any], grouped: list[Chunk], time: BatchTime) -> list[Any] | None:
        """The new states, if the function makes of a list of a key's sum what it makes of all its values:
        then nobody needs them as Python objects. ``None``: it may not, or it fails, and is to fail with the
        values."""
        news = grouped[0] if len(grouped) == 1 else None
        function = self.update.on_columns if isinstance(self.update, KeyUpdate) else None
        kinds = set(map(type, state.values()))
        if not isinstance(news, Grouped) or function is None or len(kinds) > 1 or not kinds <= _PLAIN:
            return None
        plan = state_plan(function, news.value_type, Scalar(kinds.pop()) if kinds else None)
        sums = None if isinstance(plan, Untraced) else plan.sums_of(news)
        if sums is None:
            return None
        alone = dict(zip(news.keys.rows(), ([total] for total in sums), strict=True))
        try:
            return list(self.update(time, _beside(state, alone)))
        except Exception:
            return None

    def form(self, state: Form, grouped: Form) -> Form:
        """What the states are before there are any; see :mod:`penstock.plan.forms`."""
        function = self.update.on_columns if isinstance(self.update, KeyUpdate) else None
        if function is None:
            return Untraced("its function is given more than the values and the state of a key")
        if not isinstance(grouped, Lists):
            return Untraced("the new values of a key are no columns")
        held = state.parts[1] if isinstance(state, Tuple) else None
        plan = state_plan(function, grouped.value_type, held)
        return plan if isinstance(plan, Untraced) else Tuple((grouped.key_type, plan.state_type))

    def _in_columns(self, before: list[Chunk], grouped: list[Chunk]) -> Columns | None:
        """The new states, if all is columns and the function has a column form."""
        function = self.update.on_columns if isinstance(self.update, KeyUpdate) else None
        size = sum(map(len, before)) + sum(map(len, grouped))
        if function is None or size < programs.WORTH_ROWS or len(grouped) > 1:
            return None
        news = grouped[0] if grouped else None
        if news is not None and not isinstance(news, Grouped):
            return None
        state = _whole(before)
        if (before and state is None) or (news is None and state is None):
            return None
        if state is None:
            assert news is not None
            key_type, state_type = news.keys.row_type, None
        else:
            key_type, state_type = state.row_type.parts
            if news is not None and news.keys.row_type != key_type:
                return None
        value_type = state_type if news is None else news.value_type
        assert value_type is not None
        plan = state_plan(function, value_type, state_type)
        if isinstance(plan, Untraced):
            return None
        return plan.attempt(state, news, key_type)


def _chunks_of_states(made: Columns | list[Any]) -> list[Chunk]:
    if isinstance(made, Columns):
        return [made.slice(at, at + CHUNK_ROWS) for at in range(0, len(made), CHUNK_ROWS)]
    return [Rows(made)] if made else []


def _size_of_states(made: Columns | list[Any]) -> int:
    return made.nbytes if isinstance(made, Columns) else objects_bytes(made, None)


class _Updated:
    """The states of a partition in the driver."""

    stays_here = True  # it makes figures of its node known, and what it reads is all state there is

    __slots__ = ("__name__", "meter", "time", "updating")

    def __init__(self, node: StateByKey, time: BatchTime) -> None:
        self.__name__ = "updateStateByKey"
        self.meter = StateMeter(node, node.limits)
        self.updating = node.updating
        self.time = time

    def __call__(self, task: Task, inputs: list[Iterator[Chunk]]) -> Iterator[Chunk]:
        before, grouped = list(inputs[0]), list(inputs[1])
        touched = sum(map(len, grouped))
        made = self.updating.made_of(before, grouped, self.time)
        self.meter.note(task, keys=len(made), touched=touched, nbytes=_size_of_states(made))
        yield from _chunks_of_states(made)

    def form(self, state: Form, grouped: Form) -> Form:
        """See :meth:`Updating.form`."""
        return self.updating.form(state, grouped)


class _UpdatedThere:
    """On a worker: the states of a partition, which lie in files. ``place``: they go on to others, which is
    where they are stored; what is counted here belongs there."""

    belongs_elsewhere = True

    def __init__(self, updating: Updating, files: TableFiles[Any], place: tuple[Any, ...] | None) -> None:
        self.__name__ = "updateStateByKey"
        self._updating = updating
        self._files = files
        self._place = place

    def __call__(self, task: Task, inputs: list[Iterator[Chunk]]) -> Iterator[Chunk]:
        before, grouped, ((moment,),) = list(inputs[0]), list(inputs[1]), next(inputs[2]).rows()
        touched = sum(map(len, grouped))
        held, steps = _loaded(self._files, before)
        state = [chunk.isolated() for chunk in held]
        made = self._updating.made_of(state, grouped, BatchTime(moment))
        if self._place is not None:
            task.metrics.note("state_touched", (*self._place, task.partition), touched)
            yield from _chunks_of_states(made)
            return
        nbytes = _size_of_states(made)
        yield _stored(
            self._files, task.partition, held, steps, _chunks_of_states(made), moment, nbytes, touched
        )

    def form(self, state: Form, grouped: Form, moment: Form) -> Form:
        """See :meth:`Updating.form`."""
        return self._updating.form(state, grouped)


class _StoredThere:
    """On a worker: the states that have come to a partition."""

    belongs_elsewhere = True

    def __init__(self, files: TableFiles[Any]) -> None:
        self.__name__ = "updateStateByKey"
        self._files = files

    def __call__(self, task: Task, inputs: list[Iterator[Chunk]]) -> Iterator[Chunk]:
        before, made, ((moment,),) = list(inputs[0]), list(inputs[1]), next(inputs[2]).rows()
        held, steps = _loaded(self._files, before)
        yield _stored(self._files, task.partition, held, steps, made, moment, _nbytes_of(made), None)

    def form(self, state: Form, made: Form, moment: Form) -> Form:
        """See :mod:`penstock.plan.forms`."""
        return made


def _loaded(files: TableFiles[Any], before: list[Chunk]) -> tuple[Sequence[Chunk], Steps]:
    """The states to go on from, which are not to be changed; and the way there."""
    stored = stored_in(before)
    return (before, ()) if stored is None else (files.load(stored.partition, stored.steps), stored.steps)


def _stored(
    files: TableFiles[Any],
    partition: int,
    before: Sequence[Chunk],
    steps: Steps,
    made: list[Chunk],
    moment: int,
    nbytes: int,
    touched: int | None,
) -> Stored:
    change = difference(before, made) if steps else None
    steps = files.save(partition, steps, moment, made, change, lambda: whole(made))
    return Stored(partition, steps, sum(map(len, made)), nbytes, touched, 0, None)


class _States(Shown):
    """On a worker: all keys with their states."""

    name = "updateStateByKey"

    def chunks_of(self, table: Sequence[Chunk]) -> Iterator[Chunk]:
        return iter(table)

    def form(self, states: Form) -> Form:
        """See :mod:`penstock.plan.forms`."""
        return states


class States(Transformed):
    """The states of :class:`StateByKey` as its readers want them, wherever they are."""

    def __init__(self, state: StateByKey) -> None:
        super().__init__(state.site, (state,), self._shown)
        self.state = state

    @property
    def named(self) -> StreamNode:
        return self.state

    def _shown(self, time: BatchTime, rdds: list[RDD]) -> RDD:
        operator = operator_of(rdds[0])
        if operator is None:
            return rdds[0]
        plan = Narrow(self.site, rdds[0].plan, _States(operator.files))
        return RDD(plan, rdds[0].context, self.state.partitioner)


def _whole(chunks: list[Chunk]) -> Columns | None:
    """States that lie in columns, or few enough to be put there once, as one chunk; ``None``: they do not."""
    columns = [chunk for chunk in chunks if isinstance(chunk, Columns)]
    if not chunks or len(columns) < len(chunks):
        size = sum(map(len, chunks))
        if not 0 < size < 8 * programs.WORTH_ROWS:
            return None
        try:
            columns = [Columns.from_rows(list(rows_of(chunks)))]
        except RowTypeError:
            return None
    if halves_of(columns[0].row_type) is None or len({part.row_type for part in columns}) > 1:
        return None
    return columns[0] if len(columns) == 1 else concatenated_columns(columns)


def _pairs(chunks: Iterator[Chunk], site: CallSite) -> Iterator[tuple[Any, Any]]:
    for chunk in chunks:
        for pairs in checked_pairs(chunk, site):
            for key, pair in zip(keys_of(pairs), pairs, strict=True):
                yield key, pair[1]


def _beside(state: dict[Any, Any], news: dict[Any, list[Any]]) -> Iterator[tuple[Any, list[Any], Any]]:
    for key, value in state.items():
        yield key, news.pop(key, []), value
    for key, values in news.items():
        yield key, values, None


class KeyUpdate:
    """The update of single keys: ``f(values, state)``, or ``f(time, key, values, state)``.

    An empty list of values means that the key got none in this batch; a state of ``None``, that it has
    none. ``None`` as the result removes the key, or does not store it.
    """

    __slots__ = ("function", "site", "with_key")

    def __init__(self, function: Callable[..., Any], site: CallSite, *, with_key: bool) -> None:
        self.function = function
        self.site = site
        self.with_key = with_key

    @property
    def on_columns(self) -> Callable[[Any, Any], Any] | None:
        """The function of values and state alone, if it is one."""
        return None if self.with_key else self.function

    def __call__(
        self, time: BatchTime, keys: Iterator[tuple[Any, list[Any], Any]]
    ) -> Iterator[tuple[Any, Any]]:
        function, moment = self.function, local_datetime(time)
        for key, values, state in keys:
            try:
                new = function(moment, key, values, state) if self.with_key else function(values, state)
            except Exception as error:
                raise_located(error, self.site, (key, values))
            if new is not None:
                yield key, new


def by_arity(function: Callable[..., Any], count: int, site: CallSite) -> tuple[Update, bool]:
    """The update for a user's function of 1, 2 or 4 arguments, and whether it may change keys."""
    if count != 1:
        return KeyUpdate(function, site, with_key=count == 4), False

    def over_all(time: BatchTime, keys: Iterator[tuple[Any, list[Any], Any]]) -> Iterator[tuple[Any, Any]]:
        last = None
        try:
            for last in function(keys):
                if not isinstance(last, (tuple, list)) or len(last) != 2:
                    raise SignatureError(
                        f"the function given to {site} must yield pairs (key, state), not {last!r}"
                    )
                yield last[0], last[1]
        except Exception as error:
            raise_located(error, site, last)

    return over_all, True
