"""Running the dashboard: lines in, files and a live table out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Event

from penstock.brokerage.drawing import Totals
from penstock.brokerage.messages import shown_on
from penstock.brokerage.options import Options
from penstock.brokerage.page import add_page
from penstock.brokerage.pipeline import figures_of
from penstock.brokerage.places import Directory, Tcp
from penstock.brokerage.preflight import notes_before
from penstock.brokerage.view import View
from penstock.conf import ON_FAILURE, UI_ENABLED, UI_PORT, WRITE_AHEAD, Conf
from penstock.context import Context, KafkaUtils, StreamingContext, has_checkpoint
from penstock.dstream import DStream
from penstock.monitor.dashboard import Dashboard, dashboards_of
from penstock.rdd import RDD
from penstock.scheduler import StreamingListener
from penstock.sources import Reject

__all__ = ["run"]

_POLL_S = 0.1


def run(
    options: Options,
    view: View,
    stop: Event,
    *,
    enough: Callable[[Totals], bool] | None = None,
    started: Callable[[], None] | None = None,
    listeners: Iterable[StreamingListener] = (),
    verbose: bool = False,
    notes: bool = True,
) -> Dashboard | None:
    """Run until ``stop`` is set, until ``enough`` of the view's totals says so, until nobody looks at the
    view any more, or until the input is used up with ``available_now``; the batch that is running completes.

    Calls ``started`` once what comes is seen. Raises what fails a batch, with no batch after it.
    What Penstock logs goes to the view, whole if ``verbose``, else a line each; and first, with ``notes``,
    what one should know of the places. Returns the page, with what it showed last; without
    ``options.serves``, nothing.
    """
    with ExitStack() as stack:
        conf = Conf().setMaster(options.master).setAppName("brokerage")
        conf.set(ON_FAILURE.key, "stop")  # batches behind a failed one would be without its orders
        conf.set(WRITE_AHEAD.key, options.log and isinstance(options.place, Tcp))
        conf.set(UI_ENABLED.key, options.serves).set(UI_PORT.key, options.port)
        sc = stack.enter_context(Context(conf=conf))
        goes_on = not options.fresh and has_checkpoint(options.checkpoint_directory)
        for note in notes_before(options, goes_on=goes_on):
            if notes:
                view.note(note)
        program = partial(_program, sc, options, view, goes_on)
        if options.fresh:
            ssc = program()
            ssc.checkpoint(options.checkpoint_directory)
        else:
            ssc = StreamingContext.getOrCreate(options.checkpoint_directory, program, upgrade=True)
        page, told = next(iter(dashboards_of(ssc.graph)), None), False
        for listener in (view, *listeners):
            ssc.addStreamingListener(listener)

        stack.enter_context(shown_on(view.note, verbose=verbose))
        stack.enter_context(view)
        ssc.start(availableNow=options.available_now)
        try:
            if started is not None:
                started()
            while not ssc.awaitTerminationOrTimeout(_POLL_S):
                view.refresh()
                if page is not None and page.entrance is not None and not told:
                    told = True
                    view.note(f"The dashboard: {page.entrance}")
                if stop.is_set():
                    view.note("Stopping once the batches in line are complete. Ctrl-C again ends at once.")
                    break
                if view.abandoned or (enough is not None and enough(view.totals)):
                    break
        finally:
            ssc.stop(stopSparkContext=False, stopGraceFully=True)
        ssc.awaitTerminationOrTimeout(0)  # raises what failed on the way to the stop
        return page


def _program(sc: Context, options: Options, view: View, goes_on: bool) -> StreamingContext:
    """The stream, and what is done with it."""
    ssc = StreamingContext(sc, options.interval_s)
    figures = figures_of(_lines(ssc, options), options.window_s)
    rejects = _RejectsFile(options.rejects_file, options.input, goes_on=goes_on)

    def write_rejects(time: datetime, rdd: RDD) -> None:
        view.rejected(time, rejects.append(time, rdd.collect()))

    figures.rejects.foreachRDD(write_rejects)
    figures.report.saveAsTextFiles(options.output, "txt")
    figures.sides.foreachRDD(view.take_sides)
    figures.top_clients.foreachRDD(view.take_clients)
    figures.top_stocks.foreachRDD(view.take_stocks)
    if options.serves:
        add_page(ssc, figures, options.window_s, view.title)
    return ssc


def _lines(ssc: StreamingContext, options: Options) -> DStream:
    """The lines of the input, whatever it is."""
    place = options.place
    if isinstance(place, Directory):
        return ssc.textFileStream(
            place.location,
            newFilesOnly=not options.available_now,
            maxFilesPerBatch=options.max_files_per_batch,
        )
    if isinstance(place, Tcp):
        connect = ssc.reliableSocketTextStream if options.acked else ssc.socketTextStream
        return connect(place.host, place.port, listen=options.listen)
    params = {
        "bootstrap.servers": place.servers,
        "auto.offset.reset": "earliest" if options.available_now else "latest",
    }
    messages = KafkaUtils.createDirectStream(ssc, [place.topic], params)
    # One without a value is no order, and is rejected as an empty line is.
    return messages.map(lambda message: "" if message[1] is None else message[1])


class _RejectsFile:
    """The file of rejected lines: source, line number, reason and the line itself, between tabs. A line of
    which nobody knows the source is from ``source``.

    Each is there once, also if the batch that wrote some of them is run again. It writes the same lines in
    the same order, so those that the file ends with are not written again; that can be in the first batch of
    a run that goes on, and in one after which writing failed.
    """

    def __init__(self, path: Path, source: str, *, goes_on: bool) -> None:
        self._path = path
        self._source = source
        self._newest: datetime | None = None
        self._unsure = goes_on  # whether some lines of the next batch may be there

    def append(self, time: datetime, rejects: list[Reject]) -> int:
        """Append those of a batch in one go; how many there are."""
        if not rejects:
            return 0
        lines = [
            f"{_plain(r.source or self._source)}\t{r.number}\t{_plain(r.reason)}\t{_plain(r.text)}\n"
            for r in rejects
        ]
        there = self._written_of(lines) if self._unsure or time == self._newest else 0
        self._unsure = True  # if writing fails, some of it may be there
        with self._path.open("a", encoding="utf-8") as file:
            file.write("".join(lines[there:]))
        self._unsure, self._newest = False, time
        return len(rejects)

    def _written_of(self, lines: list[str]) -> int:
        """How many of the lines the file ends with."""
        written = self._read()
        longest = min(len(lines), len(written))
        return next(
            count for count in range(longest, -1, -1) if written[len(written) - count :] == lines[:count]
        )

    def _read(self) -> list[str]:
        """The lines of earlier batches; one that was not written to its end is cut off."""
        try:
            with self._path.open("r+b") as file:
                content = file.read()
                whole = content.rfind(b"\n") + 1
                if whole < len(content):
                    file.truncate(whole)
        except FileNotFoundError:
            return []
        return content[:whole].decode("utf-8", "replace").splitlines(keepends=True)


def _plain(text: str) -> str:
    r"""``text`` with what would break a line or a column of the file written as in a Python literal.

    >>> print(_plain("EPE\t710\u2028"), _plain(r"C:\new"), _plain("주문"))
    EPE\t710\u2028 C:\\new 주문
    """
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(
        c if c.isprintable() and c != "\\" else c.encode("unicode_escape").decode("ascii") for c in text
    )
