"""Dashboard: panels made of streams, for a page of their own and for notebooks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from penstock.dstream import DStream, StreamGraph, StreamNode
from penstock.errors import ArgumentError, SignatureError, UnsupportedError
from penstock.monitor.board import Board
from penstock.monitor.panels import (
    SERIES_MAX,
    BarPanel,
    BatchesPanel,
    LinePanel,
    LogPanel,
    NumberPanel,
    Panel,
    TablePanel,
)
from penstock.rdd import RDD
from penstock.times import BatchTime, DurationLike, milliseconds_of

if TYPE_CHECKING:
    from penstock.monitor.notebook import LiveFigures

__all__ = ["Dashboard", "dashboards_of"]

_ROWS_MAX = 1_000
_POINTS_MAX = 10_000
_TAKES_MAX = 32

Series = DStream | tuple[str, DStream]


class Dashboard:
    """A page of panels, each made of a stream in one line. Made by :meth:`StreamingContext.dashboard`.

    A panel is an output operation: of each batch it takes a few records, at most as many as it shows, and a
    record that does not fit fails the batch. What it shows is of batches that are over. The page is told up
    to twice a second; what a slow reader misses is missing on that page and nowhere else. Where batches
    come faster than that, a panel that shows only the newest one (a bar, a table, a number that is no total)
    reads about two a second, and always one behind which no other waits.

    ``noun`` says what the records are, in sentences such as "no orders for 40 s"; ``width`` is in twelfths of
    a wide page. Numbers are ``int``, ``float``, ``Decimal``, ``Fraction`` or numpy's.

    >>> ssc = StreamingContext(sc, 1)
    >>> orders = ssc.queueStream([[("EPE", 5), ("T", 3)], [("EPE", 4)]])
    >>> board = (
    ...     ssc.dashboard("Orders", noun="orders")
    ...     .number("Orders so far", orders.count(), total=True)
    ...     .line("Orders per second", orders.count(), per_second=True)
    ...     .table("Newest", orders, columns=["Security", "Shares"], key="Security")
    ... )
    >>> ssc.start(availableNow=True)
    >>> ssc.awaitTermination()
    >>> print(board.text())
    Orders
    Orders so far: 3 (1 in the newest batch)
    Orders per second: 1/s
    Newest: Security, Shares
      EPE  4  =
    """

    def __init__(self, ssc: Any, title: str, slug: str, noun: str = "records") -> None:
        for what, text in (("a title", title), ("a noun", noun)):
            if not isinstance(text, str) or not text.strip():
                raise SignatureError(f"dashboard needs {what} of text, not {text!r}")
        self.title = title
        self.slug = slug
        self.noun = noun
        self._ssc = ssc
        self._panels: list[Panel] = []
        self._readers: dict[StreamNode, _Reader] = {}
        self._board: Board | None = None
        self._live: LiveFigures | None = None
        self.url: str | None = None  # where its page is served, while it is

    def __repr__(self) -> str:
        return f"<Dashboard {self.title!r}, {len(self._panels)} panels>"

    def __getstate__(self) -> dict[str, Any]:
        return {
            **self.__dict__,
            "_board": None,
            "_live": None,
            "url": None,
        }  # a stored program has its panels, not what they showed

    # Panels

    def line(
        self,
        title: str,
        *streams: Series,
        labels: Mapping[Any, str] | None = None,
        per_second: bool = False,
        unit: str = "",
        points: int = 300,
        noun: str | None = None,
        width: int = 6,
    ) -> Self:
        """Numbers over time, of the newest ``points`` batches. A record is a number, at most one a batch, or
        a pair of a name and a number, one a name: then each name is a series. Several streams, or pairs of a
        name and a stream, are several series, and names in their records stand behind theirs; at most 8 in
        all are shown. ``labels`` say what a name in a record is shown as, such as
        ``{True: "buys", False: "sells"}``.

        ``per_second`` divides by the time that a batch of the stream is of: its window, or else its slide.
        Then a name that is missing in a batch counts 0 in it; otherwise it leaves a gap.
        """
        self._check("line", title, width, noun)
        if not streams:
            raise ArgumentError("line needs at least one DStream")
        if len(streams) > SERIES_MAX:
            raise ArgumentError(f"line shows at most {SERIES_MAX} series, not {len(streams)}")
        named = [each if isinstance(each, tuple) else (None, each) for each in streams]
        names = []
        for number, pair in enumerate(named, 1):
            if len(pair) != 2 or not isinstance(pair[0], (str, type(None))):
                raise SignatureError(f"line needs DStreams, or pairs of a name and a DStream, not {pair!r}")
            names.append(pair[0] or (title if len(named) == 1 else f"series {number}"))
        if len(set(names)) < len(names):
            raise ArgumentError(f"line {title!r} has two series of one name: {', '.join(names)}")
        self._text("line", "unit", unit)
        self._labels("line", labels)
        return self._add(
            LinePanel,
            [stream for _, stream in named],
            title=title,
            names=tuple(names),
            labels=labels,
            per_second=per_second,
            unit=unit,
            points=_whole(points, "line", "points", _POINTS_MAX),
            noun=noun,
            width=width,
        )

    def bar(
        self,
        title: str,
        stream: DStream,
        *,
        labels: Mapping[Any, str] | None = None,
        unit: str = "",
        rows: int = 10,
        noun: str | None = None,
        width: int = 6,
    ) -> Self:
        """Pairs of a name and a number of the newest batch, as bars, in the order of the stream; the first
        ``rows`` of them. ``labels`` say what a name is shown as."""
        self._check("bar", title, width, noun)
        self._text("bar", "unit", unit)
        self._labels("bar", labels)
        return self._add(
            BarPanel,
            [stream],
            title=title,
            labels=labels,
            unit=unit,
            rows=_whole(rows, "bar", "rows", 100),
            noun=noun,
            width=width,
        )

    def table(
        self,
        title: str,
        stream: DStream,
        *,
        columns: Sequence[str | tuple[str, str]] = (),
        key: str | int | None = None,
        rows: int = 10,
        compared: DurationLike | None = None,
        noun: str | None = None,
        width: int = 6,
    ) -> Self:
        """The first ``rows`` records of the newest batch. A record is a tuple, a NamedTuple, a list, a dict
        or a single value.

        ``columns`` are the headings, or pairs of a heading and a unit such as ``("Amount", "$")``; of dicts
        they are the keys to show. Without them the records' own names are taken. With ``key``, a column or
        its number from 0, an arrow shows how a row's rank has changed within ``compared``: by default ten
        batches, and at least 10 s, or since the last batch that was read if that is longer ago.
        """
        self._check("table", title, width, noun)
        if isinstance(columns, str):
            raise SignatureError(f"table needs a list of columns, not {columns!r}")
        headings = [each if isinstance(each, tuple) else (each, "") for each in columns]
        if not all(len(each) == 2 and all(isinstance(text, str) for text in each) for each in headings):
            raise SignatureError(f"table needs columns of text, or pairs of text and unit, not {columns!r}")
        names = [heading for heading, _ in headings]
        if names and isinstance(key, str) and key not in names:
            raise ArgumentError(f"table has no column {key!r}. Hint: {' or '.join(map(repr, names))}.")
        if isinstance(key, bool) or not isinstance(key, (str, int, type(None))):
            raise SignatureError(f"table needs a column or its number as key, not {key!r}")
        if isinstance(key, int) and not 0 <= key < (len(names) or 100):
            raise ArgumentError(f"table has no column number {key}. Hint: the first is 0.")
        return self._add(
            TablePanel,
            [stream],
            title=title,
            columns=tuple(names),
            units=tuple(unit for _, unit in headings),
            key=key,
            rows=_whole(rows, "table", "rows", _ROWS_MAX),
            compared_ms=max(10_000, 10 * self._ssc.graph.interval_ms)
            if compared is None
            else milliseconds_of(compared, "compared"),
            noun=noun,
            width=width,
        )

    def number(
        self,
        title: str,
        stream: DStream,
        *,
        count: bool = False,
        per_second: bool = False,
        total: bool = False,
        unit: str = "",
        decimals: int | None = None,
        warn_above: float | None = None,
        noun: str | None = None,
        width: int = 3,
    ) -> Self:
        """One number, large: the sum of the newest batch's records, which are at most 8 numbers, or pairs of
        a name and a number; with ``count``, how many records it has, whatever they are. ``total`` adds up
        since the start, ``per_second`` divides as in :meth:`line`; a number above ``warn_above`` is shown
        as a warning."""
        self._check("number", title, width, noun)
        self._text("number", "unit", unit)
        if per_second and total:
            raise ArgumentError("number shows a total, or per second, not both")
        if decimals is not None:
            decimals = _whole(decimals, "number", "decimals", 20, least=0)
        return self._add(
            NumberPanel,
            [stream],
            title=title,
            count=count,
            per_second=per_second,
            total=total,
            unit=unit,
            decimals=decimals,
            warn_above=warn_above,
            noun=noun,
            width=width,
        )

    def log(
        self,
        title: str,
        stream: DStream,
        *,
        text: Callable[[Any], str] | None = None,
        rows: int = 50,
        noun: str | None = None,
        width: int = 12,
    ) -> Self:
        """Records as lines, of all batches, the newest ``rows``; of each batch the first so many. A record is
        text or anything with a text; values of tuples and dicts stand beside each other. ``text(record)``
        gives the line instead, of those that are shown."""
        self._check("log", title, width, noun)
        if text is not None and not callable(text):
            raise SignatureError(f"log needs a function as text, not {text!r}")
        rows = _whole(rows, "log", "rows", _ROWS_MAX)
        return self._add(LogPanel, [stream], title=title, text=text, rows=rows, noun=noun, width=width)

    def batches(self, title: str = "Processing time", *, points: int = 300, width: int = 6) -> Self:
        """How long batches took and waited, against the batch interval. Reads no stream."""
        self._check("batches", title, width, "batches")
        self._ssc.must_be_open()
        self._panels.append(
            BatchesPanel(
                id=f"panel-{len(self._panels) + 1}",
                title=title,
                noun="batches",
                width=width,
                interval_ms=self._ssc.graph.interval_ms,
                points=_whole(points, "batches", "points", _POINTS_MAX),
            )
        )
        return self

    def _add(
        self, kind: type[Panel], streams: Sequence[DStream], *, noun: str | None, width: int, **said: Any
    ) -> Self:
        operation = f"dashboard.{kind.kind}"
        for stream in streams:
            if not isinstance(stream, DStream):
                raise SignatureError(f"{operation} needs a DStream, not {type(stream).__name__}")
            if stream.context() is not self._ssc:
                raise ArgumentError(f"{operation} needs a DStream of the dashboard's StreamingContext")
        self._ssc.must_be_open()
        panel = kind(
            id=f"panel-{len(self._panels) + 1}",
            noun=noun or self.noun,
            width=width,
            spans_ms=tuple(_span_ms(stream._node) for stream in streams),
            **said,
        )
        self._panels.append(panel)
        for part, stream in enumerate(streams):
            place = (len(self._panels) - 1, part)
            reader = self._readers.get(stream._node)
            if reader is None:
                self._readers[stream._node] = reader = _Reader(self)
                stream._output(operation, reader, rests=reader.rests)
            reader.places.append(place)
        return self

    def _check(self, operation: str, title: str, width: int, noun: str | None) -> None:
        if not isinstance(title, str) or not title.strip():
            raise SignatureError(f"{operation} needs a title of text, not {title!r}")
        if noun is not None:
            self._text(operation, "noun", noun)
        _whole(width, operation, "width", 12)
        if any(panel.title == title for panel in self._panels):
            raise ArgumentError(f"the dashboard {self.title!r} has a panel {title!r} already")
        if self._board is not None:
            self._ssc.must_be_open()

    def _labels(self, operation: str, labels: object) -> None:
        if labels is None:
            return
        if not isinstance(labels, Mapping) or not all(isinstance(label, str) for label in labels.values()):
            raise SignatureError(f"{operation} needs labels as a dict of names and texts, not {labels!r}")

    def _text(self, operation: str, what: str, value: object) -> None:
        if not isinstance(value, str):
            raise SignatureError(f"{operation} needs {what} of text, not {value!r}")

    # What is shown

    @property
    def board(self) -> Board:
        """What the panels show, for pages."""
        board = self._board
        if board is None or len(board.panels) != len(self._panels):
            board = self._board = Board(tuple(self._panels))
        return board

    @property
    def panels(self) -> tuple[Panel, ...]:
        """The panels in their order, for pages."""
        return tuple(self._panels)

    def figures(self) -> dict[str, Any]:
        """A Plotly figure of each panel by its title, as the page shows it at the moment. Needs the ``ui``
        extra: ``UnsupportedError`` without.

        >>> ssc = StreamingContext(sc, 1)
        >>> board = ssc.dashboard("Orders").line("Orders", ssc.queueStream([[4], [5]]))
        >>> ssc.start(availableNow=True)
        >>> ssc.awaitTermination()
        >>> list(board.figures()["Orders"].data[0].y)
        [4.0, 5.0]
        """
        from penstock.monitor.charts import figure_of

        return {
            panel.title: figure_of(panel.described(), self.board.view(index))
            for index, panel in enumerate(self._panels)
        }

    @property
    def entrance(self) -> str | None:
        """Where its page is served, with the token if one is needed: for the eyes of who started the program,
        and for no log. ``None`` where there is no page, or none yet."""
        monitor = getattr(self._ssc, "_monitor", None)
        server = None if monitor is None else monitor.server
        token = None if server is None else server.token
        return self.url if self.url is None or token is None else f"{self.url}?token={token}"

    def show(self) -> None:
        """Show the figures. In a Jupyter notebook they are kept up to date, once a second, while the stream
        runs; where they are shown again, they go on there. Elsewhere Plotly shows them as they are now.
        Needs the ``ui`` extra: ``UnsupportedError`` without."""
        from penstock.monitor.notebook import LiveFigures, in_a_notebook

        if not in_a_notebook():
            for figure in self.figures().values():
                figure.show()
            return
        live = LiveFigures(self.title, self.board)
        live.show()
        before, self._live = self._live, live
        if before is not None:
            before.stop()

    def text(self) -> str:
        """What the page says at the moment, in lines."""
        from penstock.monitor.words import lines_of

        views = [(panel.described(), self.board.view(index)) for index, panel in enumerate(self._panels)]
        return "\n".join([self.title, *(line for panel, view in views for line in lines_of(panel, view))])

    def _repr_html_(self) -> str:
        """The figures as HTML that needs nothing from elsewhere."""
        from penstock.monitor.charts import html_of

        return html_of(self.title, self.figures())

    def _ipython_display_(self) -> None:
        """A dashboard at the end of a cell is shown; where there is no page to show it on, in words."""
        from penstock.monitor.notebook import in_a_notebook

        try:
            if in_a_notebook():
                self.show()
                return
        except UnsupportedError as error:
            print(error)
        print(self.text())


class _Taken(NamedTuple):
    """What is taken of a batch for some panels: ``(panel, its number, number of its stream)`` with the bound
    of each, or ``None`` if it only counts. ``most`` is the largest bound, ``None`` if all only count."""

    panels: list[tuple[Panel, int, int, int | None]]
    most: int | None
    counts: bool

    @classmethod
    def of(cls, panels: Sequence[Panel], places: Iterable[tuple[int, int]]) -> _Taken:
        """At these places: panel, and number of the stream in it."""
        found: list[tuple[Panel, int, int, int | None]] = []
        for index, part in places:
            panel = panels[index]
            counts = isinstance(panel, NumberPanel) and panel.count
            found.append((panel, index, part, None if counts else panel.bound))
        bounds = [bound for _, _, _, bound in found if bound is not None]
        return cls(found, max(bounds, default=None), len(bounds) < len(found))


class _Reader:
    """The output of a stream to panels, at one place each: takes a bounded number of records once for all of
    them, and leaves what they keep."""

    _wanted: _Taken | None = None  # in the batch that runs
    _takes: Mapping[frozenset[int], _Taken | None] = {}  # of what was due before

    def __init__(self, dashboard: Dashboard) -> None:
        self.dashboard = dashboard
        self.places: list[tuple[int, int]] = []  # panel, and number of the stream in it

    def __getstate__(self) -> dict[str, Any]:
        return {"dashboard": self.dashboard, "places": self.places}

    def rests(self, time: BatchTime) -> bool:
        """Whether nobody would see what the batch that is about to begin brings."""
        dashboard = self.dashboard
        due = (dashboard._board or dashboard.board).due(time)
        try:
            wanted = self._wanted = self._takes[due]
        except KeyError:
            places = [place for place in self.places if place[0] in due]
            wanted = self._wanted = _Taken.of(dashboard._panels, places) if places else None
            known = self._takes if len(self._takes) < _TAKES_MAX else {}
            self._takes = {**known, due: wanted}  # a graph that runs gets no more panels
        return wanted is None

    def __call__(self, time: BatchTime, rdd: RDD) -> None:
        wanted = self._wanted
        if wanted is None:  # nobody asked: what was lost is done again, in a process that shows nothing
            return
        records: list[Any] = []
        if wanted.most is None:
            count = rdd.count()
        else:
            records = rdd.take(wanted.most + 1)
            count = len(records)
            if wanted.counts and count > wanted.most:
                count = rdd.count()
        readings = [
            (index, part, count if bound is None else panel.read(records[: bound + 1], part))
            for panel, index, part, bound in wanted.panels
        ]
        (self.dashboard._board or self.dashboard.board).leave(time, readings)


def dashboards_of(graph: StreamGraph) -> list[Dashboard]:
    """The dashboards of a graph that have panels, in their order, also of one that was stored."""
    return [dashboard for dashboard in graph.shown if dashboard._panels]


def _span_ms(stream: StreamNode) -> int:
    """What time the records of one batch are of: a window's length, or else the slide."""
    spans: dict[StreamNode, int] = {}
    pending = [stream]
    while pending:  # no recursion: a chain may be long
        node = pending[-1]
        missing = [parent for parent in node.dependencies if parent not in spans]
        pending += missing
        if not missing:
            pending.pop()
            spans[node] = max(
                (
                    spans[parent] + (node.shows(parent) - parent.slide_duration if node.shows(parent) else 0)
                    for parent in node.dependencies
                ),
                default=node.slide_duration,
            )
    return spans[stream]


def slug_of(title: str, taken: Sequence[str] = ()) -> str:
    """The end of a page's address.

    >>> slug_of("Brokerage, today"), slug_of("주문"), slug_of("Orders!", ["orders"])
    ('brokerage-today', 'dashboard', 'orders-2')
    """
    base = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:60] or "dashboard"
    slug, number = base, 1
    while slug in taken:
        number += 1
        slug = f"{base}-{number}"
    return slug


def _whole(value: object, operation: str, what: str, most: int, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise SignatureError(f"{operation} needs {what} as a whole number, not {value!r}")
    if not least <= value <= most:
        raise ArgumentError(f"{operation} needs {what} from {least} to {most:,}, not {value:,}")
    return value
