"""What a running graph has computed: the RDDs of each node by batch time, kept as long as needed."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any, NamedTuple, Protocol, TypeVar

from penstock.checkpoint import Commit, Image, Plain
from penstock.chunk import Chunk, rows_of
from penstock.dstream.ahead import Ahead, Prefetcher
from penstock.dstream.graph import StreamGraph
from penstock.dstream.home import StateHome
from penstock.dstream.inputs import Input
from penstock.dstream.node import StreamNode, Table, chunks_of
from penstock.dstream.outputs import Output
from penstock.dstream.saving import Saved, must_be_stable, rerouted, rerouted_table, saved_of
from penstock.errors import StateError, locate
from penstock.plan import (
    ROWS,
    Metrics,
    Narrow,
    Node,
    SliceReader,
    Source,
    StorageLevel,
    Task,
    asked_at,
    records_in,
)
from penstock.rdd import RDD, Partitioner
from penstock.sources import Intent
from penstock.times import BatchTime, ceil_to, times_between

__all__ = ["Carried", "Generation", "Host", "OperatorFigures"]


Carried = dict[StreamNode, RDD]
"""What a batch carries over to later ones."""

T = TypeVar("T")
_log = logging.getLogger(__name__)
_EXTENTS_MAX = 32
_NO_PIECES: Mapping[Any, RDD] = {}


class Shared(Protocol):
    """What the jobs of a batch share."""

    def release(self) -> None:
        """They are over."""


class _Extent(NamedTuple):
    """What is computed in a batch: of the whole graph, or without some outputs and what only those read.
    ``nodes`` are in their order, ``ends`` what is asked for, ``shared`` what more than one reads, ``fanned``
    those of them of which that is known beforehand."""

    nodes: list[StreamNode]
    ends: list[StreamNode]
    shared: set[StreamNode]
    fanned: list[StreamNode]


class OperatorFigures(NamedTuple):
    """What is known of an operator in a batch: how many records it made, and how many slides with how many
    records its window held; -1 for what is not known, or is none."""

    operator: str
    records: int
    slides: int = -1
    held: int = -1


class Host(Prefetcher, Protocol):
    """What a running graph asks of the context, besides running plans."""

    def share(self, plans: Sequence[Node], roots: Sequence[Node]) -> None:
        """Compute each of some plans once for all that ``roots`` make of it."""

    def together(self, plans: Sequence[Node]) -> Shared:
        """Jobs on these plans are about to come."""

    def forget_checkpoint(self, plan: Node) -> None:
        """Delete what was written of a plan."""

    @property
    def state_home(self) -> StateHome | None:
        """Where state may live outside of the driver."""


class Generation:
    """The RDDs of a started graph.

    ``first`` is the first batch time: all slides are counted from one interval before it, or from ``zero`` of
    a run before. An RDD that several readers or several batches need is kept from its first use until nothing
    reads it any more.

    One thread runs the batches: it calls :meth:`jobs`, then :meth:`commit` or :meth:`abandon`, then
    :meth:`forget`. :meth:`slice` may be called on any thread. ``ahead`` computes at most ``ahead_bytes`` of
    input of later batches meanwhile, on the thread that runs it.
    """

    def __init__(
        self,
        graph: StreamGraph,
        context: Host,
        first: BatchTime,
        *,
        zero: int | None = None,
        unpersist: bool = True,
        ahead_bytes: int = 0,
    ) -> None:
        self._graph = graph
        self._context = context
        self._zero = first - graph.interval_ms if zero is None else zero
        self._newest = first - graph.interval_ms  # the newest batch time that has been generated
        self._unpersist = unpersist
        self._nodes = graph.nodes()
        self._remember = graph.remembered_ms()
        self._reach = graph.remember_ms or 0
        windowed = {d for node in self._nodes for d in node.dependencies if node.keeps(d)}
        self._carried = [node for node in self._nodes if node.stateful or node in windowed]
        self._putting_by = [node for node in self._nodes if type(node).pieces is not StreamNode.pieces]
        self._extents: dict[frozenset[int], _Extent] = {}  # by the outputs that rest
        self._extent = self._extent_without(frozenset())
        self._saved = saved_of(graph)
        self._save_whole: set[str] = set()  # whose table is not divided as it was saved
        self._saved_whole: set[str] = set()  # those of which the newest changes hold tables
        self.ahead = Ahead(graph, context, ahead_bytes)
        self._lock = threading.RLock()  # of all that follows
        # By time, the oldest first, as what follows: the next batch of a long window forgets one of hundreds.
        self._rdds: dict[StreamNode, dict[int, RDD | None]] = {node: {} for node in self._nodes}
        self._inputs: dict[int, Mapping[int, Intent]] = {}
        self._committed: dict[StreamNode, tuple[int, RDD]] = {}
        self._pieces: dict[StreamNode, Mapping[Any, RDD]] = {}
        self._held: dict[StreamNode, dict[int, Node]] = {node: {} for node in self._nodes}
        self._forgetting = [(self._rdds[n], self._held[n], self._remember[n]) for n in self._nodes]
        self._holders: Counter[Node] = Counter()  # by how many (node, time) a plan is held
        self._persisted: set[Node] = set()
        self._written: set[Node] = set()
        self._windows = {n: _Slides(n.length_ms) for n in self._nodes if n.length_ms is not None}
        self._names = [str(node.site) for node in self._nodes]
        # The plans of the running batch, as they were computed; without those of nodes that yield nothing.
        self._made: dict[StreamNode, Node] | None = None
        self._plans: dict[int, Node] | None = None  # of the outputs, for who wants to see them
        self._plans_wanted = False
        self._expected: Shared | None = None

    # What nodes ask for

    def rdd(self, node: StreamNode, time: int) -> RDD | None:
        if not self._slides_at(node, time):
            return None
        with self._lock:
            known = self._rdds[node]
            if time not in known:
                late = time < self._newest
                if late and time not in self._inputs:
                    return None  # it has failed, or nothing came while nobody ran
                self._known(node, time, self._computed(node, BatchTime(time)))
                if late:
                    _put_in_order(known)
                    _put_in_order(self._held[node])
            return known[time]

    def rdds(self, node: StreamNode, after: int, last: int) -> dict[int, RDD]:
        step, first = node.slide_duration, after + node.slide_duration
        with self._lock:
            times = range(first + max(0, (self._zero - after) // step) * step, last + 1, step)
            known = self._rdds[node]  # asked directly: a window may be of thousands
            found = [(time, known[time] if time in known else self.rdd(node, time)) for time in times]
        return {time: rdd for time, rdd in found if rdd is not None}

    def _known(self, node: StreamNode, time: int, rdd: RDD | None) -> None:
        if rdd is not None:
            self._hold(node, time, rdd)
        self._rdds[node][time] = rdd

    def _computed(self, node: StreamNode, time: BatchTime) -> RDD | None:
        try:
            with asked_at(None if node.user_sites else node.site):
                return node.compute(time, self)
        except Exception as error:
            locate(error, site=node.site)
            raise

    def _slides_at(self, node: StreamNode, time: int) -> bool:
        return time > self._zero and (time - self._zero) % node.slide_duration == 0

    def _hold(self, node: StreamNode, time: int, rdd: RDD) -> None:
        """Persist and checkpoint an RDD as its node wants it. Two nodes, or two batches, may have the same
        plan: it is given up when the last of them is forgotten."""
        plan = rdd.plan
        wanted = node in self._extent.shared and node not in self._extent.fanned
        level = node.level or (StorageLevel.MEMORY_ONLY if wanted else None)
        if level is not None and self._context.level_of(plan) == StorageLevel.NONE:
            self._context.keep(plan, level)
            self._persisted.add(plan)
        interval = node.checkpoint_interval
        if interval is not None and (time - self._zero) % interval == 0:
            rdd.checkpoint()
            self._written.add(plan)
        if plan in self._persisted or plan in self._written:
            self._holders[plan] += 1
            self._held[node][time] = plan

    def _release(self, plan: Node) -> None:
        self._holders[plan] -= 1
        if self._holders[plan]:
            return
        del self._holders[plan]
        if plan in self._persisted:
            self._persisted.discard(plan)
            if self._unpersist:
                self._context.drop(plan)
        if plan in self._written:
            self._written.discard(plan)
            self._context.forget_checkpoint(plan)

    def committed(self, node: StreamNode, time: int) -> tuple[int, RDD] | None:
        found = self._committed.get(node)
        return found if found is not None and found[0] <= time else None

    def pieces(self, node: StreamNode) -> Mapping[Any, RDD]:
        return self._pieces.get(node, _NO_PIECES)

    def next_time(self, node: StreamNode, after: int) -> int:
        step = node.slide_duration
        return self._zero + ((after - self._zero) // step + 1) * step

    def run(self, plan: Node, action: Callable[[Task, Iterator[Chunk]], T]) -> list[T]:
        return self._context.run(plan, action)

    def input(self, node: StreamNode, time: int) -> Node:
        assert isinstance(node, Input)
        intents = self._inputs.get(time)
        if intents is None or node.id not in intents:
            return Source(node.site, ())
        return node.source.node(intents[node.id], node.site)

    def new_rdd(self, plan: Node, partitioner: Partitioner | None = None) -> RDD:
        return RDD(plan, self._context, partitioner)

    @property
    def home(self) -> StateHome | None:
        return self._context.state_home

    # What the scheduler asks for

    def jobs(
        self, time: BatchTime, intents: Mapping[int, Intent]
    ) -> list[tuple[int, Output, Callable[[], None] | None]]:
        """The output operations of the batch by their number, without those that rest; ``None`` for one that
        has no RDD in this batch.

        Nodes are computed in the order in which they read each other, each at its own batch time: a long
        chain needs no deep stack, and a user's function never runs late, for a window that comes later.
        """
        made_ahead = self.ahead.begin(time)
        resting = frozenset(
            index
            for index, output in enumerate(self._graph.outputs)
            if output.rests is not None and output.rests(time)
        )
        with self._lock:
            self._extent = self._extent_without(resting)
            self._newest = time
            self._inputs[time] = intents
            for node, rdd in made_ahead.items():
                self._known(node, time, rdd)
            found = {node: self.rdd(node, time) for node in self._extent.nodes}
            made = self._made = {node: rdd.plan for node, rdd in found.items() if rdd is not None}
            self._share(time, made)
            self._expect(made)
            active = [(index, each) for index, each in enumerate(self._graph.outputs) if index not in resting]
            if self._plans_wanted:
                self._plans_wanted = False
                self._plans = {index: made[each.node] for index, each in active if each.node in made}
            return [(index, output, _job(output, time, found[output.node])) for index, output in active]

    def _extent_without(self, resting: frozenset[int]) -> _Extent:
        """What is computed while some outputs rest. What later batches go on from always is."""
        found = self._extents.get(resting)
        if found is None:
            if len(self._extents) >= _EXTENTS_MAX:
                return self._extents[frozenset()]
            graph = self._graph.without(resting, self._carried) if resting else self._graph
            nodes, readers = graph.nodes(), graph.readers()
            shared = {node for node in nodes if readers[node] > 1}.union(self._carried)
            ends = list(dict.fromkeys([*self._carried, *(output.node for output in graph.outputs)]))
            found = _Extent(nodes, ends, shared, graph.fans(self._carried))
            self._extents[resting] = found
        return found

    def _expect(self, made: Mapping[StreamNode, Node]) -> None:
        """Make known which jobs are about to come."""
        self._expected_no_more()
        self._expected = self._context.together(self._asked_for(made))

    def _asked_for(self, made: Mapping[StreamNode, Node]) -> list[Node]:
        """The plans that outputs and later batches ask for."""
        return list({made[node]: None for node in self._extent.ends if node in made})

    def _expected_no_more(self) -> None:
        if self._expected is not None:
            self._expected.release()
            self._expected = None

    def _share(self, time: BatchTime, made: Mapping[StreamNode, Node]) -> None:
        """What several nodes of this batch read, and no function of the user's: computed once for all."""
        fanned = {node: made[node] for node in self._extent.fanned if node in made}
        if not fanned:
            return
        plans = [plan for plan in fanned.values() if plan not in self._holders]
        self._context.share(plans, self._asked_for(made))
        for node, plan in fanned.items():
            self._persisted.add(plan)
            self._holders[plan] += 1
            self._held[node][time] = plan

    def carry(self, time: BatchTime, *, as_far_as_possible: bool = False) -> Carried:
        """What the batch carries over to later ones: its state, and what windows will read of it.

        These RDDs are computed now, if no output has done so, and become plain data: what they were made
        of can be forgotten, and no plan grows from batch to batch. It counts once it is given to
        :meth:`commit`. With ``as_far_as_possible`` what cannot be computed is left out.
        """
        news: Carried = {}
        for node in self._carried:
            try:
                rdd = self.rdd(node, time)
                if rdd is not None:
                    with asked_at(node.site):
                        news[node] = self._materialised(rdd, node)
            except Exception:
                if not as_far_as_possible:
                    raise
        return news

    def commit(self, time: BatchTime, news: Carried) -> None:
        """Later batches go on from what this one has carried over, and from the pieces that nodes put by. The
        batch is over: what keeps pieces from being made only makes later batches slower.
        """
        with self._lock:
            for node, rdd in news.items():
                self._rdds[node][time] = rdd
                if node.stateful:
                    self._committed[node] = (time, rdd)
        for node in self._putting_by:
            try:
                with asked_at(node.site):
                    self._pieces[node] = node.pieces(time, self)
            except Exception:
                self._pieces.pop(node, None)
                _log.exception("%s has put nothing by for later batches", node.site)

    # What a checkpoint asks for

    def changes(self, time: BatchTime, news: Carried) -> Commit:
        """What a batch is about to commit, as a checkpoint holds it."""
        found = Commit(time)
        self._saved_whole.clear()
        for saved in self._saved:
            rdd = news.get(saved.node)
            if rdd is None:
                continue
            chunks = chunks_of(rdd)
            if saved.kind == "slides":
                if saved.placing is not None:
                    must_be_stable(chunk for part in chunks for chunk in part)
                found.slides[saved.name] = chunks
                continue
            before = self._committed.get(saved.node)
            held = None if before is None or saved.name in self._save_whole else chunks_of(before[1])
            self._saved_whole.add(saved.name)
            changes = found.tables[saved.name] = saved.node.changes(held, chunks)
            must_be_stable(chunk for change in changes for chunk in change.entries)
        return found

    def was_saved(self) -> None:
        """What :meth:`changes` gave is durable."""
        self._save_whole -= self._saved_whole

    def restore(self, image: Image, trust: Callable[[], None]) -> None:
        """Go on from what a checkpoint holds. Before the first batch."""
        committed = image.committed_ms
        if committed is None:
            return
        self._newest = committed
        for saved in self._saved:
            if saved.kind == "slides":
                for time, slide in image.slides(saved.name).items():
                    self._rdds[saved.node][time] = self._restored(saved, slide.decoded(trust))
                continue
            tables = image.tables(saved.name, trust)
            if not tables:
                continue
            placing = saved.placing
            if placing is not None and len(tables) != placing.numPartitions:
                tables = rerouted_table(tables, placing)
                self._save_whole.add(saved.name)
            rdd = self._source(saved.node, saved.node.restored(tables), placing)
            at = image.tables_at(saved.name)
            self._rdds[saved.node][at] = rdd
            self._committed[saved.node] = at, rdd
        for known in self._rdds.values():
            _put_in_order(known)

    def _restored(self, saved: Saved, chunks: list[list[Chunk]]) -> RDD:
        placing = saved.placing
        if placing is not None and len(chunks) != placing.numPartitions:
            chunks = rerouted(chunks, placing)
        return self._source(saved.node, chunks, placing)

    def _source(self, node: StreamNode, chunks: list[list[Chunk]], placing: Partitioner | None) -> RDD:
        return RDD(Source(node.site, [SliceReader(part) for part in chunks]), self._context, placing)

    def next_due(self, after: int) -> int | None:
        """The first batch time after one at which a batch without input has anything to yield: a window that
        still holds something, or a key that times out. ``None``: nothing will come of itself."""
        due: list[int] = []
        with self._lock:
            for node in self._nodes:
                for dependency in node.dependencies:
                    if not node.keeps(dependency):
                        continue
                    held = [
                        time
                        for time, rdd in self._rdds[dependency].items()
                        if rdd is not None and _holds(rdd)
                    ]
                    step = node.slide_duration
                    at = ceil_to(after + 1, step, self._zero)
                    if held and at < max(held) + node.shows(dependency):
                        due.append(at)
                found = self._committed.get(node)
                if node.keeps_table and found is not None:
                    moment = node.due_after(chunks_of(found[1]), after)
                    if moment is not None:
                        due.append(ceil_to(moment, node.slide_duration, self._zero))
        return min(due, default=None)

    def undo(self, time: BatchTime) -> None:
        """Forget what the batch has made, so that :meth:`jobs` makes it again."""
        with self._lock:
            for node in self._nodes:
                self._rdds[node].pop(time, None)
                held = self._held[node].pop(time, None)
                if held is not None:
                    self._release(held)
            self._inputs.pop(time, None)
            self._expected_no_more()
            self._made = None

    def kept_for_replay(self, output: Output, time: BatchTime) -> dict[str, Any]:
        """The records of an output that is given up, by partition; without them if they cannot be
        computed."""
        try:
            rdd = self.rdd(output.node, time)
            parts = None if rdd is None else self._context.run(rdd.plan, _owned)
            return {"records": Plain.write([list(rows_of(part)) for part in parts or ()])}
        except Exception:
            return {"records": None}

    def abandon(self, time: BatchTime) -> None:
        """The batch has failed, before or after it was generated: no later state and no later window holds
        anything of it."""
        with self._lock:
            self._inputs.setdefault(time, {})
            for node in self._carried:
                if self._slides_at(node, time):
                    self._rdds[node][time] = None

    def _materialised(self, rdd: RDD, node: StreamNode) -> RDD:
        if _is_plain(rdd.plan):
            return rdd
        parts = self._context.run(rdd.plan, _owned)
        source = Source(node.site, [SliceReader(chunks) for chunks in parts])
        return RDD(source, self._context, rdd.partitioner)

    @property
    def zero_ms(self) -> int:
        """From when slides are counted."""
        return self._zero

    def forget(self, time: BatchTime) -> dict[BatchTime, Mapping[int, Intent]]:
        """Drop what no batch after ``time`` reads; the batch times whose input nobody needs any more, with
        the intents of these batches.

        Later batches read what was carried over. What a batch had kept or written for itself, and its input,
        lives on only as long as the user wants its RDDs remembered. What was computed ahead is released.
        """
        self.ahead.release(time)
        self._made = None
        with self._lock:
            self._expected_no_more()
            reach = time - self._reach
            for known, held, remembered in self._forgetting:
                for old in _upto(known, time - remembered):
                    del known[old]
                for old in _upto(held, reach):
                    self._release(held.pop(old))
            over = [t for t in self._inputs if t <= reach]
            return {BatchTime(old): self._inputs.pop(old) for old in sorted(over)}

    # What users ask for

    def tables(self, node: StreamNode) -> tuple[int, list[Table]] | None:
        """The newest committed version of what a node remembers, partition by partition, and of when it is;
        ``None`` before the first commit. On any thread: a version never changes."""
        found = self._committed.get(node)
        if found is None:
            return None
        return found[0], [node.table_in(chunks) for chunks in chunks_of(found[1])]

    def take_plans(self, more: bool = True) -> dict[int, Node] | None:
        """The plans of the batch that was generated last, by the number of the output, if they were asked
        for by the last call; asks for those of the next batch, unless no ``more`` are wanted: plans hold what
        their batch has read, and the state before it. On any thread."""
        with self._lock:
            taken, self._plans = self._plans, None
            self._plans_wanted = more
            return taken

    def figures(self, time: BatchTime, metrics: Metrics) -> list[OperatorFigures]:
        """What is known of each node in the batch that is over, but not forgotten yet; nodes in the order of
        the graph. On the thread that runs the batches.

        Records are counted where they go by: at the end of each run of steps that is one pass. Where a step
        makes one record of each, what is before it has as many.
        """
        known: dict[Node, int] = {}
        parts: dict[Node, int] = {}
        for place, count in metrics.places(ROWS).items():
            assert isinstance(place, tuple)
            counted: Node = place[0]
            if counted in known:
                known[counted] += count
                parts[counted] += 1
            else:
                known[counted], parts[counted] = count, 1
        for counted, partitions in parts.items():
            if partitions < counted.partitions:
                del known[counted]
        made, nodes = self._made, self._nodes
        if made is None:  # the batch has failed before it could be asked
            records = [-1] * len(nodes)
        else:
            for node in reversed(nodes):
                plan = made.get(node)
                while isinstance(plan, Narrow) and plan.step.one_to_one and plan in known:
                    known.setdefault(plan.parent, known[plan])
                    plan = plan.parent
            records = [self._records_of(node, made.get(node), known, time) for node in nodes]
        with self._lock:
            windows = {
                n: slides.at(time, self._rdds[n.dependencies[0]]) for n, slides in self._windows.items()
            }
        return [
            OperatorFigures(name, count, *windows.get(node, ()))
            for node, name, count in zip(nodes, self._names, records, strict=True)
        ]

    def _records_of(self, node: StreamNode, plan: Node | None, known: Mapping[Node, int], time: int) -> int:
        if plan is not None and plan in known:
            return known[plan] if node.yields_records else -1
        if not node.yields_records:
            return -1
        if plan is not None:
            return _records_in(plan, known)
        # It had its turn and yields nothing, or had none, or was not asked for.
        return 0 if self._slides_at(node, time) and node in self._extent.nodes else -1

    def slice(self, node: StreamNode, begin_ms: int, end_ms: int) -> list[RDD]:
        """The RDDs of ``node`` from ``begin_ms`` to ``end_ms``, both floored to its slides, as far as they
        are remembered. A batch that has not come yet has none, and asking does not make one."""
        with self._lock:
            if node not in self._rdds:
                raise StateError(f"{node.site} is read by no output operation, so it has no batches to slice")
            step = node.slide_duration
            oldest = min(self._rdds[node], default=self._newest)
            first = ceil_to(max(begin_ms - step + 1, oldest), step, self._zero)
            found = [
                self.rdd(node, time) if time in self._inputs else self._rdds[node].get(time)
                for time in times_between(first, min(end_ms, self._newest), step)
            ]
            return [rdd for rdd in found if rdd is not None]


def _job(output: Output, time: BatchTime, rdd: RDD | None) -> Callable[[], None] | None:
    if rdd is None:
        return None

    def run() -> None:
        with asked_at(None):
            output.action(time, rdd)

    return run


def _put_in_order(known: dict[int, Any]) -> None:
    """One that is older than others has come after them."""
    found = sorted(known.items())
    known.clear()
    known.update(found)


def _upto(known: Mapping[int, Any], last: int) -> list[int]:
    """The times up to the last one, of those that lie in their order."""
    return list(takewhile(last.__ge__, known)) if known else []


def _is_plain(plan: Node) -> bool:
    """Whether all its data lies in memory already."""
    return isinstance(plan, Source) and all(isinstance(reader, SliceReader) for reader in plan.readers)


def _records_in(plan: Node, known: Mapping[Node, int]) -> int:
    while plan not in known and isinstance(plan, Narrow) and plan.step.one_to_one:
        plan = plan.parent
    if plan in known or not plan.partitions:
        return known.get(plan, 0)
    if isinstance(plan, Source) and _is_plain(plan):
        return _plain_records(plan)
    return -1


def _plain_records(plan: Source) -> int:
    return sum(records_in(reader.chunks) for reader in plan.readers if isinstance(reader, SliceReader))


class _Slides:
    """The slides in a window of ``length_ms``, each counted once, when it is new."""

    def __init__(self, length_ms: int) -> None:
        self._length_ms = length_ms
        self._held: deque[tuple[int, int]] = deque()
        self._records = 0
        self._newest: int | None = None

    def at(self, time: int, rdds: dict[int, RDD | None]) -> tuple[int, int]:
        """How many slides the window that ends at ``time`` holds, and how many records in them."""
        newest, news = self._newest, []
        for at in reversed(rdds):  # they have come in their order
            if newest is not None and at <= newest:
                break
            if at <= time:
                news.append(at)
        for at in sorted(news):
            rdd = rdds[at]
            if rdd is not None and _is_plain(rdd.plan):
                assert isinstance(rdd.plan, Source)
                records = _plain_records(rdd.plan)
                self._held.append((at, records))
                self._records += records
        self._newest = time
        while self._held and self._held[0][0] <= time - self._length_ms:
            self._records -= self._held.popleft()[1]
        return len(self._held), self._records


def _holds(rdd: RDD) -> bool:
    """Whether an RDD that lies in memory has any record."""
    return any(len(chunk) for chunks in chunks_of(rdd) for chunk in chunks)


def _owned(task: Task, chunks: Iterator[Chunk]) -> list[Chunk]:
    return list(chunks)
