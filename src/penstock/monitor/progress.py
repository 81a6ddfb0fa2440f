"""A line at the foot of the terminal that says how far a run is: batches, rate, lag, and what is left.

::

    12 batches, 5,996 records, 24,310/s, lag 0.2 s, 3 failed, about 14 s left

What the program prints meanwhile stands above it: standard output and standard error clear the line before
they write. Nothing is drawn where standard error is no terminal.
"""

from __future__ import annotations

import shutil
import sys
import threading
from typing import Any

from penstock.monitor.application import Application
from penstock.monitor.history import AnyRecord

__all__ = ["ProgressLine", "on_a_terminal", "progress_of"]

_CLEAR = "\r\x1b[2K"
_RATE_BATCHES = 10  # over which the rate and what is left are estimated


def on_a_terminal() -> bool:
    """Whether standard error is one that can clear a line."""
    import os

    stream = sys.stderr
    return stream is not None and stream.isatty() and os.environ.get("TERM", "") != "dumb"


class ProgressLine:
    """The line of one run. ``draw`` from one thread; others may write meanwhile."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._lock = threading.RLock()
        self._drawn = False
        self._terminal: Any = None
        self._wrapped: list[tuple[str, _Above, Any]] = []

    def begin(self) -> None:
        """What is printed stands above the line from now on."""
        self._terminal = sys.stderr
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not None and stream.isatty():
                above = _Above(stream, self)
                self._wrapped.append((name, above, stream))
                setattr(sys, name, above)

    def draw(self) -> None:
        """The line as it is now."""
        width = shutil.get_terminal_size().columns - 1
        text = progress_of(self._application)[:width]
        with self._lock:
            self._terminal.write(f"{_CLEAR}{text}")
            self._terminal.flush()
            self._drawn = True

    def clear(self) -> None:
        """Take the line away, until it is drawn again."""
        with self._lock:
            if self._drawn:
                self._terminal.write(_CLEAR)
                self._terminal.flush()
                self._drawn = False

    def end(self) -> None:
        """Leave the last state of it in place, and give the streams back."""
        self.draw()
        with self._lock:
            self._terminal.write("\n")
            self._terminal.flush()
            self._drawn = False
        for name, above, stream in self._wrapped:
            if getattr(sys, name) is above:  # else somebody has put another one in place
                setattr(sys, name, stream)

    @property
    def lock(self) -> threading.RLock:
        """Held while anybody writes."""
        return self._lock


class _Above:
    """A stream that clears the line before it writes; for all else the stream itself."""

    def __init__(self, stream: Any, line: ProgressLine) -> None:
        self._stream = stream
        self._line = line

    def write(self, text: str) -> Any:
        with self._line.lock:
            self._line.clear()
            return self._stream.write(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __iter__(self) -> Any:
        return iter(self._stream)


def progress_of(application: Application) -> str:
    """The line as text."""
    history = application.history
    totals, recent, active = history.totals(), history.over(_RATE_BATCHES), history.active()
    now = application.now_ms()
    parts = [f"{_count(totals['batches'], 'batch', 'batches')}", f"{_count(totals['records'], 'record')}"]
    rate = _rate(application, recent)
    if rate:
        parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s")
    oldest = min((batch["submitted"] for batch in active), default=now)
    parts.append(f"lag {max(0, now - oldest) / 1000:,.1f} s")
    if totals["failed"]:
        parts.append(f"{totals['failed']:,} failed")
    left_s = _left_s(recent)
    if history.application.get("availableNow") and left_s is not None:
        parts.append(f"about {_for(left_s)} left")
    return ", ".join(parts)


def _rate(application: Application, recent: list[AnyRecord]) -> float:
    """Records a second in the last batches: as they come, or where all is there from the start as they are
    worked off."""
    facts = application.history.application
    records = sum(batch["records"] for batch in recent)
    if facts.get("availableNow") or not facts.get("interval"):
        taken_ms = sum(batch["processingTime"] or 0 for batch in recent)
    else:
        taken_ms = len(recent) * facts["interval"]
    return records * 1000 / taken_ms if taken_ms else 0.0


def _left_s(recent: list[AnyRecord]) -> float | None:
    """How long what is left would take at the pace of the last batches; ``None`` if nobody can tell."""
    units = left = 0
    for batch in recent:
        for each in batch["inputs"]:
            units += each.get("units") or 0
    for each in recent[-1]["inputs"] if recent else ():
        if each.get("left") is None:
            return None
        left += each["left"]
    if not recent or not units:
        return None
    taken_ms = sum(batch["processingTime"] or 0 for batch in recent)
    return taken_ms / units * left / 1000


def _for(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds < 120 else f"{seconds / 60:,.0f} min"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
