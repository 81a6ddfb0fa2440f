"""DStream: the user's handle on a stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from penstock.dstream.handle import Streaming, callback
from penstock.dstream.ledger import Once
from penstock.dstream.mapped import MapWithState, emitted_by, snapshots_of
from penstock.dstream.node import StreamNode
from penstock.dstream.outputs import print_batch
from penstock.dstream.rehearsal import rehearsed
from penstock.dstream.spec import StateSpec
from penstock.dstream.statistics import StateLimits
from penstock.dstream.topics import Topics
from penstock.errors import SignatureError
from penstock.plan import StorageLevel, call_site
from penstock.rdd import RDD
from penstock.times import DurationLike, TimeLike, milliseconds_of, moment_ms

__all__ = ["DStream", "MapWithStateDStream"]


class DStream(Topics):
    """The lazy sequence of a stream's mini-batches, with PySpark's methods.

    Made by a :class:`~penstock.StreamingContext` (``ssc.textFileStream``, ...) and by other DStreams.
    Nothing happens before ``ssc.start()``, and nothing without an output operation: ``pprint``,
    ``foreachRDD`` or one of the ``save...``.
    """

    __slots__ = ()

    # Outputs

    def foreachRDD(self, func: Callable[..., Any]) -> None:
        """``func(rdd)`` or ``func(time, rdd)`` once a batch, in the driver. What it returns is ignored.

        ``time`` is a naive local ``datetime``. If it raises, the batch fails; its other outputs still run.

        >>> seen = []
        >>> add_sum = lambda rdd: seen.append(rdd.sum())
        >>> _ = run_batches([[1, 2], [3]], lambda numbers: numbers.foreachRDD(add_sum))
        >>> seen
        [3, 3]
        """
        run = callback(func, (1, 2), "foreachRDD")
        self._output("foreachRDD", run, writes=func.place if isinstance(func, Once) else None)

    def pprint(self, num: int = 10) -> None:
        """Print the first ``num`` records of each batch under its time.

        >>> _ = run_batches([[1, 2, 3]], lambda numbers: numbers.pprint(2))  # doctest: +ELLIPSIS
        -------------------------------------------
        Time: ...
        -------------------------------------------
        1
        2
        ...
        """
        if isinstance(num, bool) or not isinstance(num, int) or num < 0:
            raise SignatureError(f"pprint needs a number of records of at least 0, not {num!r}")
        self._output("pprint", print_batch(num))

    def explain(self) -> str:
        """What a batch of this stream would do, a line a step: on columns and on which, or on rows and why
        not on columns, with the line of your program that asked for it. Nothing is read or written; functions
        given to ``transform`` are called, with RDDs of an empty batch.

        A step on columns still computes small chunks, and those that no kernel can promise to compute as
        Python does, by Python: the results are the same.

        >>> from penstock import StreamingContext
        >>> words = StreamingContext(sc, 1).textFileStream("inbox").flatMap(str.split)
        >>> print(words.map(lambda word: (word, 1)).explain())  # doctest: +ELLIPSIS
          1 textFileStream at ...: columns: str
          2 flatMap at ... of 1: columns: str
          3 map at ... of 2: columns: tuple[str, int]
        """
        rdd = rehearsed(self._node, self._ssc.sparkContext)
        return "no batch of this stream has an RDD" if rdd is None else rdd.explain()

    # State

    def mapWithState(self, spec: StateSpec) -> MapWithStateDStream:
        """What the function of ``spec`` returns for each record, beside the state of its key. Needs
        ``sc.setCheckpointDir`` or ``ssc.checkpoint``.

        Unlike ``updateStateByKey`` it looks at keys with records in the batch alone, and at those that time
        out. Records of a key see what those before them have done.

        >>> def count(key, value, state):
        ...     state.update((state.getOption() or 0) + 1)
        ...     return (key, state.get())
        >>> batches = [[("a", 1), ("a", 2)], [("b", 3), ("a", 4)]]
        >>> run_batches(batches, lambda pairs: pairs.mapWithState(StateSpec.function(count)))
        [[('a', 1), ('a', 2)], [('b', 1), ('a', 3)]]
        """
        site = call_site("mapWithState")
        if not isinstance(spec, StateSpec):
            hint = " Hint: StateSpec.function(f)." if callable(spec) else ""
            raise SignatureError(f"mapWithState needs a StateSpec, not {type(spec).__name__}.{hint}")
        node = MapWithState(
            site,
            self._node,
            spec._function,
            self._partitioner(spec._partitioner),
            self._initial(spec._initial, "initialState", site),
            with_time=spec._with_time,
            timeout_ms=spec._timeout_ms,
            limits=StateLimits.of(self._ssc.sparkContext.conf),
        )
        self._ssc.must_be_open()
        return MapWithStateDStream(node, self._ssc)

    # Keeping

    def cache(self) -> Self:
        """``persist(StorageLevel.MEMORY_ONLY)``. What several readers of a batch share is computed once
        without it; it matters for RDDs that ``remember`` and ``slice`` bring back.
        """
        return self.persist(StorageLevel.MEMORY_ONLY)

    def persist(self, storageLevel: StorageLevel) -> Self:
        """Keep the RDD of each batch at this level; returns this stream. ``StateError`` after the start."""
        if not isinstance(storageLevel, StorageLevel):
            raise SignatureError(f"persist needs a StorageLevel, not {type(storageLevel).__name__}")
        self._ssc.must_not_have_started("Cannot change storage level of a DStream")
        self._node.level = storageLevel
        return self

    def checkpoint(self, interval: DurationLike) -> Self:
        """Write every RDD whose batch time is a multiple of ``interval`` to the checkpoint directory;
        returns this stream. ``StateError`` after the start; that the interval is a multiple of the slide
        is checked at the start.
        """
        interval_ms = milliseconds_of(interval, "interval")
        self._ssc.must_not_have_started("Cannot change checkpoint interval of a DStream")
        self._node.checkpoint_interval = interval_ms
        if self._node.level is None:
            self._node.level = StorageLevel.MEMORY_ONLY
        return self

    def slice(self, begin: TimeLike, end: TimeLike) -> list[RDD]:
        """The RDDs of the batches from ``begin`` to ``end``, both included and floored to this stream's
        slides; a ``datetime`` (naive means local) or seconds since the epoch. How far back RDDs are kept
        is what ``ssc.remember`` says; of batches that are forgotten, failed or yet to come there is none.
        ``StateError`` before the start.
        """
        return self._ssc.slice_of(self._node, moment_ms(begin, "begin"), moment_ms(end, "end"))


class MapWithStateDStream(DStream):
    """What the function of a ``mapWithState`` returns; :meth:`stateSnapshots` is what it remembers."""

    __slots__ = ("_mapping",)

    def __init__(self, mapping: MapWithState, ssc: Streaming) -> None:
        super().__init__(emitted_by(mapping), ssc)
        self._mapping = mapping

    def _derive(self, node: StreamNode) -> Any:
        self._ssc.must_be_open()
        return DStream(node, self._ssc)

    @property
    def _named_node(self) -> StreamNode:
        return self._mapping

    def stateSnapshots(self) -> DStream:
        """``(key, state)`` of all keys, every batch, in order of their first appearance. It costs what it
        holds, where it is read.

        >>> def total(key, value, state):
        ...     state.update((state.getOption() or 0) + value)
        >>> spec = StateSpec.function(total).numPartitions(1)
        >>> batches = [[("a", 1)], [("b", 2), ("a", 3)]]
        >>> run_batches(batches, lambda pairs: pairs.mapWithState(spec).stateSnapshots())
        [[('a', 1)], [('a', 4), ('b', 2)]]
        """
        site = call_site("stateSnapshots")
        snapshots: DStream = self._derive(snapshots_of(self._mapping, site))
        return snapshots
