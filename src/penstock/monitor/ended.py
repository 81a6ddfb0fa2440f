"""An application from its batch log: its page, which follows the log, and a summary in words."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

from penstock.clock import Clock
from penstock.monitor.application import Logged
from penstock.monitor.history import AnyRecord, History
from penstock.monitor.log import LogReader
from penstock.times import BatchTime, local_datetime, shown_ms

__all__ = ["LogPage", "ended_in", "summary"]

_log = logging.getLogger(__name__)
_RETAINED = 10_000
_EVERY_S = 1.0  # as often as a log is written
_CAUSES = 5


def ended_in(directory: str, clock: Clock) -> Logged:
    """The application whose batch log lies in a directory, as it is now. ``StateError`` if there is none."""
    application = Logged(History(_RETAINED), clock, directory)
    for record in LogReader(directory).news():
        application.history.apply_from_log(record)
    return application


class LogPage:
    """The page of the application whose batch log lies in a directory. It follows the log: what the program
    writes to it is on the page a second or two later, and so is a run that goes on after a crash.

    ``StateError`` if there is no log, ``UnsupportedError`` without the ``ui`` extra.
    """

    def __init__(self, directory: str, clock: Clock, port: int, *, every_s: float = _EVERY_S) -> None:
        from penstock.monitor.api import monitor_routes
        from penstock.monitor.feed import Feed
        from penstock.monitor.monitor import Pusher
        from penstock.monitor.server import PageServer, must_be_installed

        must_be_installed()
        self._log = LogReader(directory)
        self.application = Logged(History(_RETAINED), clock, directory)
        self._feed = Feed(1)
        self._pusher = Pusher(self.application, self._feed)
        self.server = PageServer(monitor_routes(self.application, self._feed), port=port)
        self._every_s = every_s
        self._over = threading.Event()
        self._complained = False
        self._thread = threading.Thread(target=self._follow, name="penstock-log-follower", daemon=True)
        self._read()

    def start(self) -> str:
        """Begin to serve and to follow; the address."""
        url = self.server.start()
        self._thread.start()
        return url

    def stop(self) -> None:
        """End both."""
        self._over.set()
        self._thread.join()
        self._feed.close()
        self.server.stop()

    def _follow(self) -> None:
        while not self._over.wait(self._every_s):
            try:
                if self._read():
                    self.application.heard()
                self._complained = False
            except Exception as error:  # the store does not answer; it may again
                if not self._complained:
                    self._complained = True
                    _log.warning("the batch log cannot be read at the moment: %s", error)
            self._pusher.push()
        self._pusher.push(last=True)

    def _read(self) -> bool:
        """Take in what is new; whether anything is."""
        any_new = False
        for record in self._log.news():
            self.application.history.apply_from_log(record)
            any_new = True
        return any_new


def summary(application: Logged) -> Iterator[str]:
    """What has happened, line by line."""
    history = application.history
    facts, totals, end = history.application, history.totals(), history.end
    yield f"{facts.get('name', 'An application')}, every {shown_ms(facts.get('interval', 0))}"
    yield f"  started   {_moment(facts.get('started'))}"
    if end is None:
        silent = f"{application.silent_ms / 1000:,.0f} s"
        if application.running:
            yield f"  ended     no: as far as its log tells it still runs; the last news is {silent} old"
        else:
            yield f"  ended     the log does not say so, and has not grown for {silent}: it is dead, or hangs"
    else:
        yield f"  ended     {_moment(end.get('time'))}" + (f": {end['error']}" if end.get("error") else "")
    yield f"  batches   {totals['batches']:,}, {totals['failed']:,} of them failed"
    yield f"  records   {totals['records']:,}"
    figures = history.statistics()
    for name, word in (("processingTime", "work"), ("totalDelay", "delay")):
        found = figures[name]
        if found is not None:
            yield f"  {word:<10}median {found['median']:,.0f} ms, most {found['most']:,.0f} ms"
    for state in _last_states(application):
        yield f"  state     {state['operator']}: {state['keys']:,} keys, {state['bytes']:,} bytes"
    failed = [batch for batch in history.over() if batch["status"] == "failed"]
    causes = Counter(_cause(batch) for batch in failed)
    if causes:
        yield "What failed, among the batches that are kept"
    for cause, count in causes.most_common(_CAUSES):
        yield f"  {count:,} x {cause}"
    if failed:
        yield f"The last one: {_moment(failed[-1]['time'])} ({failed[-1]['time']} ms)"


def _last_states(application: Logged) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for batch in application.history.over(100):
        found.update({each["operator"]: each for each in batch["state"]})
    return list(found.values())


def _cause(batch: AnyRecord) -> str:
    cause = batch.get("cause") or {}
    return ", ".join(str(part) for part in (cause.get("what"), cause.get("where")) if part) or "not known"


def _moment(time_ms: int | None) -> str:
    return "not known" if time_ms is None else str(local_datetime(BatchTime(time_ms)))
