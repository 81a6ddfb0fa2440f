"""The dashboard while it runs: a live table, or a line a batch where there is no terminal.

The outputs of a batch bring its figures while it runs (batch thread); once it is over they become the
newest :class:`Totals`, which are what is drawn (listener thread, and whoever refreshes). So a table never
mixes two batches, however far the next one has come.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import field
from datetime import datetime
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from penstock.brokerage.drawing import Shown, Totals, header, line, table
from penstock.brokerage.options import Options
from penstock.clock import Clock, SystemClock
from penstock.rdd import RDD
from penstock.scheduler import BatchInfo, StreamingListener
from penstock.times import local_datetime
from penstock.values import dataclass

__all__ = ["View"]

_REFRESH_NS = 1_000_000_000


@dataclass
class _News:
    """What the outputs of a batch that is not over have brought."""

    rejected: int = 0
    sides: dict[bool, int] = field(default_factory=dict)
    clients: list[tuple[int, int]] = field(default_factory=list)
    stocks: list[tuple[str, int]] = field(default_factory=list)


class View(StreamingListener):
    """Shows the figures after each batch on ``console``; messages above the table or, where there is no
    terminal, on ``messages`` (standard error by default). To be entered before the first batch.

    ``abandoned`` is true once the console takes nothing any more: nobody reads it (a closed pipe), or it
    cannot be written, and then ``error`` says why.
    """

    def __init__(
        self,
        console: Console,
        options: Options,
        *,
        clock: Clock | None = None,
        messages: Console | None = None,
        title: str = "Brokerage",
    ) -> None:
        self.totals = Totals()
        self.abandoned = False
        self.error: OSError | None = None
        self._console = console
        self._messages = messages or Console(stderr=True)
        self._options = options
        self.title = title
        self._clock: Clock = clock or SystemClock()
        self._news: dict[datetime, _News] = {}
        self._newest: BatchInfo | None = None
        self._running: BatchInfo | None = None
        self._submitted = 0
        self._drawn_ns = 0
        self._size = console.size
        self._ended = False
        self._live = Live(
            console=console,
            auto_refresh=False,
            get_renderable=self._table,
            redirect_stdout=False,  # nobody prints; what is logged comes as a note
            redirect_stderr=sys.stderr.isatty(),
        )

    @property
    def is_live(self) -> bool:
        """Whether it draws a table in place, and not a line a batch."""
        return self._console.is_terminal and not self._console.is_dumb_terminal

    def __enter__(self) -> View:
        if self.is_live:
            self._drawn_ns = self._clock.elapsed_ns()
            self._guarded(lambda: self._live.start(refresh=True))
        return self

    def __exit__(self, *error: object) -> None:
        self._ended = True
        if self.is_live:
            self._guarded(self._live.stop)

    # What the outputs of a batch bring

    def rejected(self, time: datetime, count: int) -> None:
        """So many lines of the batch were refused."""
        self._of(time).rejected = count

    def take_sides(self, time: datetime, rdd: RDD) -> None:
        """The batch's orders by side: ``(is it a buy, count)``."""
        self._of(time).sides = dict(rdd.collect())

    def take_clients(self, time: datetime, rdd: RDD) -> None:
        """The top clients, with cents."""
        self._of(time).clients = rdd.collect()

    def take_stocks(self, time: datetime, rdd: RDD) -> None:
        """The top securities, with shares."""
        self._of(time).stocks = rdd.collect()

    def _of(self, time: datetime) -> _News:
        return self._news.setdefault(time, _News())

    # What the scheduler tells

    def onBatchSubmitted(self, batchSubmitted: Any) -> None:
        self._submitted += 1

    def onBatchStarted(self, batchStarted: Any) -> None:
        self._running = batchStarted.batchInfo

    def onBatchCompleted(self, batchCompleted: Any) -> None:
        info: BatchInfo = batchCompleted.batchInfo
        news = self._news.pop(local_datetime(info.batchTime), _News())
        before, failed = self.totals, info.failureReason is not None
        # Lines that were too long never came as far as the outputs.
        news.rejected += sum(found.metadata.get("too_long", 0) for found in info.streamIdToInputInfo.values())
        buys, sells = news.sides.get(True, 0), news.sides.get(False, 0)
        self.totals = Totals(
            batches=before.batches + 1,
            failed=before.failed + failed,
            orders=before.orders + (0 if failed else buys + sells),
            rejected=before.rejected + news.rejected,
            buys=buys,
            sells=sells,
            refused=news.rejected,
            clients=before.clients if failed else news.clients,
            stocks=before.stocks if failed else news.stocks,
        )
        self._newest, self._running = info, None
        if self.is_live:
            self._draw()
            return
        if self.totals.batches == 1:
            self._print(self._console, header(self._shown()))
        self._print(self._console, line(self._shown()))

    # Showing

    def refresh(self) -> None:
        """Draw the live table again, at most once a second."""
        if self.is_live and self._clock.elapsed_ns() - self._drawn_ns >= _REFRESH_NS:
            self._draw()

    def tell(self, message: str) -> None:
        """A line of the output itself."""
        self._print(self._console, Text(message))

    def note(self, message: str) -> None:
        """A message for the person who looks, which is no part of the output."""
        if self._console.is_terminal:
            self._print(self._console, Text(message, style="yellow"))
        else:
            self._print(self._messages, Text(message))

    def _shown(self) -> Shown:
        waiting = self._submitted - self.totals.batches - (self._running is not None)
        now_ms = None if self._ended else self._clock.now_ms()
        return Shown(self._options, self.totals, self.title, self._newest, self._running, waiting, now_ms)

    def _table(self) -> Group:
        return table(self._shown(), self._console.width)

    def _draw(self) -> None:
        self._drawn_ns = self._clock.elapsed_ns()
        size = self._console.size
        if size != self._size:  # the old table was broken to fit: where it begins now, nobody knows
            self._size = size
            self._guarded(self._console.clear)
        self._guarded(self._live.refresh)

    def _print(self, console: Console, text: Text) -> None:
        self._guarded(lambda: console.print(text, soft_wrap=not self.is_live, highlight=False))

    def _guarded(self, show: Callable[[], object]) -> None:
        """Show something, unless nobody reads it any more, which the console tells with ``SystemExit``."""
        if self.abandoned:
            return
        try:
            show()
        except SystemExit:
            self.abandoned = True
        except OSError as error:
            self.abandoned, self.error = True, error
