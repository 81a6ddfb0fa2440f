"""Running the dashboard: files in, files and a live table out."""

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
from penstock.brokerage.pipeline import figures_of
from penstock.brokerage.preflight import notes_before
from penstock.brokerage.view import View
from penstock.conf import ON_FAILURE, Conf
from penstock.context import Context, StreamingContext, has_checkpoint
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
) -> None:
    """Run until ``stop`` is set, until ``enough`` of the view's totals says so, until nobody looks at the
    view any more, or until the input is used up with ``available_now``; the batch that is running completes.

    Calls ``started`` once files that appear are seen. Raises what fails a batch, with no batch after it.
    What Penstock logs goes to the view, whole if ``verbose``, else a line each.
    """
    with ExitStack() as stack:
        conf = Conf().setMaster(options.master).setAppName("brokerage")
        conf.set(ON_FAILURE.key, "stop")  # batches behind a failed one would be without its orders
        sc = stack.enter_context(Context(conf=conf))
        goes_on = not options.fresh and has_checkpoint(options.checkpoint_directory)
        for note in notes_before(options, goes_on=goes_on):
            view.note(note)
        program = partial(_program, sc, options, view, goes_on)
        if options.fresh:
            ssc = program()
            ssc.checkpoint(options.checkpoint_directory)
        else:
            ssc = StreamingContext.getOrCreate(options.checkpoint_directory, program, upgrade=True)
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
                if stop.is_set():
                    view.note("Stopping once the batches in line are complete. Ctrl-C again ends at once.")
                    break
                if view.abandoned or (enough is not None and enough(view.totals)):
                    break
        finally:
            ssc.stop(stopSparkContext=False, stopGraceFully=True)
        ssc.awaitTerminationOrTimeout(0)  # raises what failed on the way to the stop


def _program(sc: Context, options: Options, view: View, goes_on: bool) -> StreamingContext:
    """The stream, and what is done with it."""
    ssc = StreamingContext(sc, options.interval_s)
    lines = ssc.textFileStream(
        options.input,
        newFilesOnly=not options.available_now,
        maxFilesPerBatch=options.max_files_per_batch,
    )
    figures = figures_of(lines, options.window_s)
    rejects = _RejectsFile(options.rejects_file, goes_on=goes_on)

    def write_rejects(time: datetime, rdd: RDD) -> None:
        view.rejected(time, rejects.append(rdd.collect()))

    figures.rejects.foreachRDD(write_rejects)
    figures.report.saveAsTextFiles(options.output, "txt")
    figures.sides.foreachRDD(view.take_sides)
    figures.top_clients.foreachRDD(view.take_clients)
    figures.top_stocks.foreachRDD(view.take_stocks)
    return ssc


class _RejectsFile:
    """The file of rejected lines: source, line number, reason and the line itself, between tabs.

    Each is there once, also if the batch that wrote some of them is run again: a line is known by its source
    and number. So the first batch of a run that goes on, and one that is run again, leave out what is there.
    """

    def __init__(self, path: Path, *, goes_on: bool) -> None:
        self._path = path
        # The lines that a batch which is run again may have written; None: they have to be read.
        self._known = None if goes_on else set[str]()

    def append(self, rejects: list[Reject]) -> int:
        """Append them in one go; how many of the batch there are."""
        if not rejects:
            return 0
        if self._known is None:
            self._known = self._read()
        known, self._known = self._known, None  # if writing fails, some of it may be there
        lines = [f"{_plain(r.source)}\t{r.number}\t{_plain(r.reason)}\t{_plain(r.text)}\n" for r in rejects]
        with self._path.open("a", encoding="utf-8") as file:
            file.write("".join(line for line in lines if line not in known))
        self._known = set(lines)
        return len(rejects)

    def _read(self) -> set[str]:
        """The lines of earlier runs; one that was not written to its end is cut off."""
        try:
            with self._path.open("r+b") as file:
                content = file.read()
                whole = content.rfind(b"\n") + 1
                if whole < len(content):
                    file.truncate(whole)
        except FileNotFoundError:
            return set()
        return set(content[:whole].decode("utf-8", "replace").splitlines(keepends=True))


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
