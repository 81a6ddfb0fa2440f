"""Streams that look back: windows, and state by key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import add, sub
from typing import Any, Self

from penstock.dstream.arity import arity
from penstock.dstream.combining import Function
from penstock.dstream.graph import window_multiple
from penstock.dstream.node import StreamNode, Transformed
from penstock.dstream.stateful import StateByKey, States, by_arity
from penstock.dstream.stateless import Stateless, counted
from penstock.dstream.statistics import StateLimits
from penstock.dstream.windows import KeyedWindow, Window
from penstock.errors import CallSite, SignatureError, shown
from penstock.plan import SliceReader, Source, call_site, must_be_callable
from penstock.rdd import (
    RDD,
    Grouping,
    Partitioner,
    Partitioning,
    Reducing,
    ReducingAll,
    ResultIterable,
    aggregated,
)
from penstock.times import DurationLike, milliseconds_of

__all__ = ["Windowed"]


class Windowed(Stateless):
    """Windows and state.

    Lengths and slides are seconds, ``timedelta`` or ``Duration``, multiples of this stream's slide; a slide
    that is not given is this stream's. A window yields its first result one slide after the start, of what
    is there by then. What PySpark and Scala write differently is told apart: a second argument that is a
    function, or ``None``, is PySpark's inverse function, anything else Scala's window length.
    """

    __slots__ = ()

    def window(self, windowDuration: DurationLike, slideDuration: DurationLike | None = None) -> Self:
        """All records of the last ``windowDuration``, every ``slideDuration``.

        >>> run_batches([[1], [2], [3]], lambda numbers: numbers.window(2))
        [[1], [1, 2], [2, 3]]
        """
        site = call_site("window")
        length, slide = self._lengths(windowDuration, slideDuration, site)
        return self._derive(Window(site, self._node, length, slide))

    def countByWindow(self, windowDuration: DurationLike, slideDuration: DurationLike) -> Self:
        """One number: how many records the window holds; 0 of an empty one.

        >>> run_batches([["a"], ["b", "c"], []], lambda stream: stream.countByWindow(2, 1))
        [[1], [3], [2]]
        """
        site = call_site("countByWindow")
        to = Partitioner(1)

        def counts() -> StreamNode:
            return Transformed(site, (self._node,), lambda time, rdds: counted(rdds[0]).map(_keyless))

        partials = self._folded("count", None, to, counts)
        return self._combined(site, partials, add, sub, windowDuration, slideDuration, to)._values()

    def countByValueAndWindow(
        self, windowDuration: DurationLike, slideDuration: DurationLike, numPartitions: Partitioning = None
    ) -> Self:
        """``(record, how often)`` for each distinct record of the window.

        >>> run_batches([["a"], ["a", "b"], []], lambda stream: stream.countByValueAndWindow(2, 1, 1))
        [[('a', 1)], [('a', 2), ('b', 1)], [('a', 1), ('b', 1)]]
        """
        site = call_site("countByValueAndWindow")
        to = self._partitioner(numPartitions)

        def counts() -> StreamNode:
            ones = Transformed(site, (self._node,), lambda time, rdds: rdds[0].map(_once))
            return _partials(site, ones, add, to)

        partials = self._folded("count by value", None, to, counts)
        return self._combined(site, partials, add, sub, windowDuration, slideDuration, to)

    def reduceByWindow(self, reduceFunc: Function, *arguments: Any, **named: Any) -> Self:
        """The records of the window folded by an associative ``reduceFunc``: one record, none of nothing.

        ``reduceByWindow(reduceFunc, invReduceFunc, windowDuration, slideDuration)`` as in PySpark, or
        ``reduceByWindow(reduceFunc, windowDuration, slideDuration)`` as in Scala.

        >>> run_batches([[1], [2], [3]], lambda numbers: numbers.reduceByWindow(lambda a, b: a + b, 2, 1))
        [[1], [3], [5]]
        """
        site = call_site("reduceByWindow")
        names = ("invReduceFunc", "windowDuration", "slideDuration")
        given = _told_apart(site, names, arguments, named)
        inverse = given.get("invReduceFunc")
        must_be_callable(reduceFunc, "reduceByWindow")
        to = Partitioner(1)

        def reduced() -> StreamNode:
            keyed = Transformed(site, (self._node,), lambda time, rdds: rdds[0].map(_keyless))
            return _partials(site, keyed, reduceFunc, to, ReducingAll)

        partials = self._folded("reduce", reduceFunc, to, reduced)
        window, slide = given["windowDuration"], given.get("slideDuration")
        return self._combined(site, partials, reduceFunc, inverse, window, slide, to)._values()

    def groupByKeyAndWindow(
        self,
        windowDuration: DurationLike,
        slideDuration: DurationLike | None = None,
        numPartitions: Partitioning = None,
    ) -> Self:
        """``(key, iterable of its values in the window)``, values in arrival order.

        >>> run_batches([[("a", 1)], [("a", 2)]], lambda pairs: pairs.groupByKeyAndWindow(2).mapValues(list))
        [[('a', [1])], [('a', [1, 2])]]
        """
        site = call_site("groupByKeyAndWindow")
        to = self._partitioner(numPartitions)

        def grouped(rdd: RDD) -> RDD:
            return RDD(aggregated(rdd.plan, Grouping(site), rdd.partitioner, to), rdd.context, to)

        def lists_of() -> StreamNode:
            return Transformed(site, (self._node,), lambda time, rdds: grouped(rdds[0]))

        partials = self._folded("group by key", None, to, lists_of)
        lists = self._combined(site, partials, _joined, None, windowDuration, slideDuration, to, chains=True)
        return lists.mapValues(ResultIterable)

    def reduceByKeyAndWindow(self, func: Function, *arguments: Any, **named: Any) -> Self:
        """The values of each key in the window folded by an associative ``func``, oldest slide first.

        As in PySpark: ``reduceByKeyAndWindow(func, invFunc, windowDuration, slideDuration=None,
        numPartitions=None, filterFunc=None)``, where ``invFunc(value of the window, value that left)`` may be
        ``None``; or as in Scala: ``reduceByKeyAndWindow(func, windowDuration[, slideDuration[,
        numPartitions]])``. ``filterFunc((key, value))`` says which results are emitted. A key that is in no
        slide of the window any more is not emitted, with or without an inverse function.

        >>> batches = [[("a", 1)], [("a", 2), ("b", 5)], []]
        >>> run_batches(batches, lambda pairs: pairs.reduceByKeyAndWindow(lambda a, b: a + b, 2, 1, 1))
        [[('a', 1)], [('a', 3), ('b', 5)], [('a', 2), ('b', 5)]]
        """
        site = call_site("reduceByKeyAndWindow")
        names = ("invFunc", "windowDuration", "slideDuration", "numPartitions", "filterFunc")
        given = _told_apart(site, names, arguments, named)
        must_be_callable(func, "reduceByKeyAndWindow")
        to = self._partitioner(given.get("numPartitions"))
        partials = self._folded("reduce by key", func, to, lambda: _partials(site, self._node, func, to))
        window, slide = given["windowDuration"], given.get("slideDuration")
        result = self._combined(site, partials, func, given.get("invFunc"), window, slide, to)
        wanted = given.get("filterFunc")
        return result if wanted is None else result.filter(wanted)

    def updateStateByKey(
        self,
        updateFunc: Callable[..., Any],
        numPartitions: Partitioning = None,
        initialRDD: RDD | Iterable[tuple[Any, Any]] | None = None,
    ) -> Self:
        """``(key, state)`` of all keys, every batch. Needs ``sc.setCheckpointDir`` or ``ssc.checkpoint``.

        ``updateFunc`` is called for every key that has a state or new values, and is told apart by how many
        arguments it takes:

        - ``f(values, state)``: the new state; ``state`` is ``None`` for a new key, ``values`` is empty for a
          key without news; ``None`` removes the key.
        - ``f(iterator)`` of ``(key, values, state)``: yields ``(key, state)`` pairs; keys may change.
        - ``f(time, key, values, state)``: as the first.

        ``initialRDD`` (an RDD, any iterable of pairs, or a dict) is the state before the first batch; of a
        key that is there twice the first counts.

        >>> def total(values, state):
        ...     return sum(values) + (state or 0)
        >>> batches = [[("a", 1)], [("a", 2), ("b", 3)], []]
        >>> run_batches(batches, lambda pairs: pairs.updateStateByKey(total, 1))
        [[('a', 1)], [('a', 3), ('b', 3)], [('a', 3), ('b', 3)]]
        """
        site = call_site("updateStateByKey")
        update, changes_keys = by_arity(updateFunc, arity(updateFunc, (2, 1, 4), "updateStateByKey"), site)
        initial = self._initial(initialRDD, "initialRDD", site)
        to = self._partitioner(numPartitions)
        limits = StateLimits.of(self._ssc.sparkContext.conf)
        node = StateByKey(site, self._node, update, to, initial, changes_keys=changes_keys, limits=limits)
        return self._derive(States(node))

    def _initial(
        self, given: RDD | Iterable[tuple[Any, Any]] | None, name: str, site: CallSite
    ) -> RDD | None:
        """The states before the first batch, as an RDD."""
        if given is None or isinstance(given, RDD):
            return given
        reader = SliceReader.of(_pairs_given(given, name, site))
        return RDD(Source(site, (reader,)), self._ssc.sparkContext)

    def _folded(
        self, kind: str, function: Function | None, to: Partitioner, make: Callable[[], StreamNode]
    ) -> StreamNode:
        """What each slide of this stream is folded to, shared by all windows that fold it alike."""
        return self._ssc.graph.folded(self._node, kind, function, to, make)

    def _combined(
        self,
        site: CallSite,
        partials: StreamNode,
        function: Function,
        inverse: Function | None,
        window: DurationLike,
        slide: DurationLike | None,
        to: Partitioner,
        *,
        chains: bool = False,
    ) -> Self:
        length_ms, slide_ms = self._lengths(window, slide, site)
        made = KeyedWindow(site, partials, function, inverse, length_ms, slide_ms, to, chains=chains)
        return self._derive(made)

    def _lengths(self, window: DurationLike, slide: DurationLike | None, site: CallSite) -> tuple[int, int]:
        own = self._node.slide_duration
        length_ms = window_multiple("window length", milliseconds_of(window, "windowDuration"), own, site)
        if slide is None:
            return length_ms, own
        return length_ms, window_multiple("slide", milliseconds_of(slide, "slideDuration"), own, site)

    def _values(self) -> Self:
        return self._derive(
            Transformed(self._node.site, (self._node,), lambda time, rdds: rdds[0].map(_value))
        )


def _partials(
    site: CallSite, pairs: StreamNode, function: Function, to: Partitioner, by: type[Reducing] = Reducing
) -> StreamNode:
    """Each slide's pairs folded to one value a key."""

    def fold(rdd: RDD) -> RDD:
        return RDD(aggregated(rdd.plan, by(function, site), rdd.partitioner, to), rdd.context, to)

    return Transformed(site, (pairs,), lambda time, rdds: fold(rdds[0]))


def _told_apart(
    site: CallSite, names: tuple[str, ...], arguments: tuple[Any, ...], named: dict[str, Any]
) -> dict[str, Any]:
    """The arguments by PySpark's names, whichever of the two orders they came in.

    ``names[0]`` is the inverse function, which Scala's order leaves out.
    """
    scala = bool(arguments) and arguments[0] is not None and not callable(arguments[0])
    positional = names[1:] if scala else names
    if len(arguments) > len(positional):
        raise SignatureError(f"{site} takes at most {len(positional) + 1} positional arguments")
    given = dict(zip(positional, arguments, strict=False))
    for name, value in named.items():
        if name not in names:
            raise SignatureError(f"{site} has no argument {name!r}. Hint: it has {', '.join(names)}.")
        if name in given:
            raise SignatureError(f"{site} got {name} twice")
        given[name] = value
    if given.get("windowDuration") is None:
        raise SignatureError(f"{site} needs windowDuration")
    inverse = given.get(names[0])
    if inverse is not None:
        must_be_callable(inverse, str(site))
    return given


def _pairs_given(given: Any, name: str, site: CallSite) -> list[Any]:
    """The initial state that a user gave as an iterable; what is wrong with it is said at once."""
    if isinstance(given, Mapping):
        return list(given.items())
    if not isinstance(given, Iterable) or isinstance(given, (str, bytes)):
        raise SignatureError(
            f"{name} of {site} must be an RDD or an iterable of pairs (key, state), "
            f"not {type(given).__name__}"
        )
    pairs = list(given)
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise SignatureError(f"{name} of {site} must hold pairs (key, state), not {shown(pair)}")
    return pairs


def _joined(one: list[Any], other: list[Any]) -> list[Any]:
    one.extend(other)
    return one


def _once(record: Any) -> tuple[Any, int]:
    return (record, 1)


def _keyless(record: Any) -> tuple[None, Any]:
    return (None, record)


def _value(pair: tuple[Any, Any]) -> Any:
    return pair[1]
