"""An application that has ended, from its batch log: its page, and a summary in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from penstock.clock import Clock
from penstock.monitor.application import Ended
from penstock.monitor.history import History
from penstock.monitor.log import read_log
from penstock.times import BatchTime, local_datetime, shown_ms

__all__ = ["ended_in", "page_of", "summary"]

_RETAINED = 10_000
_CAUSES = 5


def ended_in(directory: str, clock: Clock) -> Ended:
    """The application whose batch log lies in a directory. ``StateError`` if there is none."""
    history = History(_RETAINED)
    for record in read_log(directory):
        history.apply_from_log(record)
    return Ended(history, clock, directory)


def page_of(application: Ended, port: int) -> Any:
    """The server of its page, not started. ``UnsupportedError`` without the ``ui`` extra."""
    from penstock.monitor.api import monitor_routes
    from penstock.monitor.feed import Feed
    from penstock.monitor.server import PageServer, must_be_installed

    must_be_installed()
    return PageServer(monitor_routes(application, Feed(1)), port=port)


def summary(application: Ended) -> Iterator[str]:
    """What has happened, line by line."""
    history = application.history
    facts, totals, end = history.application, history.totals(), history.end
    yield f"{facts.get('name', 'An application')}, every {shown_ms(facts.get('interval', 0))}"
    yield f"  started   {_moment(facts.get('started'))}"
    if end is None:
        yield "  ended     the log does not say so: it is dead, or still runs"
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


def _last_states(application: Ended) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for batch in application.history.over(100):
        found.update({each["operator"]: each for each in batch["state"]})
    return list(found.values())


def _cause(batch: dict[str, Any]) -> str:
    cause = batch.get("cause") or {}
    return ", ".join(str(part) for part in (cause.get("what"), cause.get("where")) if part) or "not known"


def _moment(time_ms: int | None) -> str:
    return "not known" if time_ms is None else str(local_datetime(BatchTime(time_ms)))
