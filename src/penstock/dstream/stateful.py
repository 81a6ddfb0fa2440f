"""State by key: every batch makes version t of version t-1 and the batch's data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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
from penstock.dstream.looking import HeldPairs
from penstock.dstream.node import Batch, StreamNode, Table
from penstock.dstream.statistics import StateLimits, StateMeter
from penstock.errors import CallSite, RowTypeError, SignatureError
from penstock.plan import (
    Form,
    Gather,
    Lists,
    Shuffle,
    Source,
    Task,
    raise_located,
)
from penstock.rdd import RDD, Grouping, KeyRouter, Partitioner, aggregated, checked_pairs, keys_of
from penstock.state import TableChange, difference, objects_bytes, whole
from penstock.times import BatchTime, local_datetime
from penstock.vectorize import Untraced, halves_of, programs, state_plan

__all__ = ["NO_STATE", "KeyUpdate", "StateByKey", "Update", "by_arity"]

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
        if before is None:
            return list(map(whole, after))
        return list(map(difference, before, after))

    def restored(self, tables: list[TableChange]) -> list[list[Chunk]]:
        return [list(table.entries) for table in tables]

    def table_in(self, chunks: list[Chunk]) -> Table:
        return HeldPairs(chunks)

    def problems(self, has_checkpoint_directory: bool) -> list[str]:
        if has_checkpoint_directory:
            return []
        return [f"{self.site} needs a checkpoint directory. Hint: sc.setCheckpointDir(directory)."]

    def compute(self, time: BatchTime, batch: Batch) -> RDD | None:
        state = self._state(time, batch)
        data = batch.rdd(self.parent, time)
        if data is None:
            data = batch.new_rdd(Source(self.site, ()))
        grouped = aggregated(data.plan, Grouping(self.site), data.partitioner, self.partitioner)
        count = self.partitioner.numPartitions
        reads = [[(0, index), (1, index)] for index in range(count)]
        updated = Gather(self.site, (state.plan, grouped), reads, _Updated(self, time))
        if not self.changes_keys:
            return batch.new_rdd(updated, self.partitioner)
        return batch.new_rdd(
            Shuffle(self.site, updated, KeyRouter(self.partitioner, self.site), count), self.partitioner
        )

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


class _Updated:
    """A partition's state beside its grouped data, through the update function."""

    stays_here = True  # it makes figures of its node known, and what it reads is all state there is

    __slots__ = ("__name__", "meter", "site", "time", "update")

    def __init__(self, node: StateByKey, time: BatchTime) -> None:
        self.__name__ = "updateStateByKey"
        self.meter = StateMeter(node, node.limits)
        self.update = node.update
        self.time = time
        self.site = node.site

    def __call__(self, task: Task, inputs: list[Iterator[Chunk]]) -> Iterator[Chunk]:
        before, grouped = list(inputs[0]), list(inputs[1])
        touched = sum(map(len, grouped))
        in_columns = self._in_columns(before, grouped)
        if in_columns is not None:
            self.meter.note(task, keys=len(in_columns), touched=touched, nbytes=in_columns.nbytes)
            yield from (in_columns.slice(at, at + CHUNK_ROWS) for at in range(0, len(in_columns), CHUNK_ROWS))
            return
        state: dict[Any, Any] = {}
        for pair in _pairs(iter(before), self.site):
            state.setdefault(pair[0], pair[1])
        rows = self._of_sums(state, grouped)
        if rows is None:
            rows = list(self.update(self.time, _beside(state, dict(rows_of(grouped)))))
        self.meter.note(task, keys=len(rows), touched=touched, nbytes=objects_bytes(rows, None))
        if rows:
            yield Rows(rows)

    def _of_sums(self, state: dict[Any, Any], grouped: list[Chunk]) -> list[Any] | None:
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
            return list(self.update(self.time, _beside(state, alone)))
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
