"""An application as those who look at it see it: one that runs, or one whose batch log was read."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping
from typing import Any, Protocol

from penstock.checkpoint import Journal
from penstock.clock import Clock
from penstock.dstream import Generation, StateView, StreamGraph, state_views
from penstock.errors import ArgumentError, shown
from penstock.monitor.history import AnyRecord, History, Record, output_record
from penstock.monitor.web import NotFound
from penstock.scheduler import BatchDriver
from penstock.storage import join, storage_for

__all__ = ["Application", "Logged", "Running", "Verdict", "as_json", "health", "key_of"]

_log = logging.getLogger(__name__)
_SIZES_NS = 2_000_000_000  # how long the sizes of a checkpoint's files are believed
_PATIENCE_MS = 10_000  # what a log that does not grow is given at least
_NESTED_MAX = 8
_ITEMS_MAX = 1_000


class Application(Protocol):
    """What pages, figures and the terminal ask for. On any thread."""

    history: History
    from_log: bool
    """Whether all that is known of it stands in its log."""

    @property
    def stalled_after(self) -> int:
        """After how many intervals without a batch it is said to be stalled."""

    @property
    def running(self) -> bool:
        """Whether its batches go on."""

    def now_ms(self) -> int:
        """The time, as the application has it."""

    def story(self, time: int) -> str:
        """What happened to a batch, event by event."""

    def active(self) -> list[AnyRecord]:
        """The batches that run or wait, with the outputs that have begun."""

    def states(self) -> Mapping[str, StateView]:
        """The operators with state, by name; none that can be asked once it has ended."""

    def checkpoint(self) -> Record | None:
        """Where the checkpoint is, and how large; ``None`` without one."""

    def waiting_bytes(self) -> Mapping[int, int]:
        """What each input holds for batches that are not over, in bytes, by its number."""


class Running:
    """An application of this process."""

    from_log = False

    def __init__(
        self,
        history: History,
        graph: StreamGraph,
        generation: Generation,
        driver: BatchDriver,
        clock: Clock,
        *,
        directory: str | None,
        stalled_after: int,
    ) -> None:
        self.history = history
        self._stalled_after = stalled_after
        self._graph = graph
        self._driver = driver
        self._clock = clock
        self._states = state_views(graph, generation)
        self._directory = directory
        self._sizes: tuple[int, Record] | None = None

    @property
    def stalled_after(self) -> int:
        return self._stalled_after

    @property
    def running(self) -> bool:
        return not self._driver.halted

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def story(self, time: int) -> str:
        return self._driver.story(time)

    def active(self) -> list[AnyRecord]:
        return [
            {**batch, "outputs": [output_record(info) for info in self._driver.outputs_of(batch["time"])]}
            if batch["status"] == "running"
            else batch
            for batch in self.history.active()
        ]

    def states(self) -> Mapping[str, StateView]:
        return self._states

    def checkpoint(self) -> Record | None:
        if self._directory is None:
            return None
        now = self._clock.elapsed_ns()
        if self._sizes is None or now - self._sizes[0] > _SIZES_NS:
            self._sizes = now, _sizes_of(self._directory)
        return self._sizes[1]

    def waiting_bytes(self) -> Mapping[int, int]:
        found = {}
        for node in self._graph.inputs:
            try:
                found[node.id] = node.source.waiting_bytes
            except Exception:
                _log.debug("the input %s does not say what it holds", node.source.name, exc_info=True)
        return found


class Logged:
    """An application that is known from its batch log in a directory: it has ended, or is another process.

    Whether it still runs nobody knows for sure. It is taken to run while its log tells of no end, and not
    longer than ``stalled_after`` intervals ago of a batch, or of anything else.
    """

    from_log = True

    def __init__(self, history: History, clock: Clock, directory: str) -> None:
        self.history = history
        self._clock = clock
        self._directory = directory
        self._heard_ms: int | None = None

    @property
    def stalled_after(self) -> int:
        """As the application had it set."""
        found = self.history.application.get("stalledAfter")
        return found if isinstance(found, int) and found > 0 else 10

    def heard(self) -> None:
        """The log has become longer just now."""
        self._heard_ms = self._clock.now_ms()

    @property
    def running(self) -> bool:
        return self.history.end is None and self.silent_ms <= self._patience_ms

    @property
    def silent_ms(self) -> int:
        """How long ago the log has told of anything."""
        last, started = self.history.last or {}, self.history.application.get("started")
        moments = [each for each in (last.get("ended"), started, self._heard_ms) if isinstance(each, int)]
        return max(0, self._clock.now_ms() - max(moments, default=0))

    @property
    def _patience_ms(self) -> int:
        interval = self.history.application.get("interval")
        return max(_PATIENCE_MS, interval * self.stalled_after if isinstance(interval, int) else 0)

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def story(self, time: int) -> str:
        batch = self.history.batch(time)
        return "" if batch is None else str(batch.get("story") or "")

    def active(self) -> list[AnyRecord]:
        return self.history.active()

    def states(self) -> Mapping[str, StateView]:
        return {}

    def checkpoint(self) -> Record | None:
        return _sizes_of(self._directory)

    def waiting_bytes(self) -> Mapping[int, int]:
        return {}


def _sizes_of(directory: str) -> Record:
    """What is in a checkpoint, as far as its files tell."""
    record: Record = {"directory": directory, "journalBytes": None, "snapshotBytes": None, "files": None}
    try:
        storage, path = storage_for(directory)
        journal = Journal(storage, path)
        sizes = journal.sizes()
        folder = join(path, "snapshots")
        snapshots = [entry.size for entry in storage.list_directory(folder)] if storage.exists(folder) else []
        record |= {
            "journalBytes": sum(sizes),
            "snapshotBytes": sum(snapshots),
            "files": len(sizes) + len(snapshots),
        }
    except Exception:  # it is being moved, or its store does not answer
        _log.debug("the sizes of the checkpoint in %s are not known", directory, exc_info=True)
    return record


# ------------------------------------------------------------------------------------------ health


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an application is well, and in words why, or why not."""

    well: bool
    words: str


def health(application: Application) -> Verdict:
    """Whether batches are completed as they should be.

    Not: where the application has ended, where the last batch failed, and where no batch was over for
    ``stalled_after`` intervals.
    """
    history = application.history
    if not application.running:
        end = history.end
        if end is None and isinstance(application, Logged) and application.from_log:
            silent = _for(application.silent_ms)
            return Verdict(False, f"the log tells of no end, and has not grown for {silent}")
        if end is None:
            return Verdict(False, "the application has ended without saying so")
        return Verdict(
            False, "the application has failed" if end.get("error") else "the application has ended"
        )
    interval = history.application.get("interval") or 1
    limit_ms = interval * application.stalled_after
    last, active = history.last, history.active()
    moments = ((last or {}).get("ended"), history.application.get("started"), application.now_ms())
    since = next(moment for moment in moments if moment is not None)
    silent_ms = application.now_ms() - since
    if silent_ms > limit_ms:
        what = f"no batch was over for {_for(silent_ms)}: more than {application.stalled_after} intervals"
        running = [batch for batch in active if batch["status"] == "running" and batch["started"]]
        if running:
            what += f"; the batch {running[0]['time']} has been running for "
            what += _for(application.now_ms() - running[0]["started"])
        return Verdict(False, what)
    if last is not None and last["status"] == "failed":
        cause = (last.get("cause") or {}).get("what") or "it is not known why"
        return Verdict(False, f"the batch {last['time']} has failed: {cause}")
    if last is None:
        return Verdict(True, "no batch was over yet")
    waiting = sum(batch["status"] == "waiting" for batch in active)
    return Verdict(True, "batches are completed as they come" + (f", {waiting:,} wait" if waiting else ""))


def _for(duration_ms: float) -> str:
    return f"{duration_ms / 1000:,.1f} s" if duration_ms < 120_000 else f"{duration_ms / 60_000:,.1f} min"


# ------------------------------------------------------------------------------------------- state


def key_of(text: str) -> Any:
    """The key that a query means: JSON, with a list for a tuple. ``ArgumentError`` for what is no JSON.

    >>> key_of('["a", 1]'), key_of("7"), key_of('"7"')
    (('a', 1), 7, '7')
    """
    try:
        return _hashable(json.loads(text))
    except ArgumentError:  # it is JSON, and no key
        raise
    except (ValueError, RecursionError) as error:
        raise ArgumentError(
            f'a key is given as JSON, and {text[:80]!r} is none. Hint: key=7, key="text" or key=["a",1].'
        ) from error


def _hashable(value: Any) -> Any:
    match value:
        case list():
            return tuple(map(_hashable, value))
        case dict():
            raise ArgumentError('a dict is no key. Hint: key=7, key="text" or key=["a",1].')
        case _:
            return value


def as_json(value: Any, depth: int = 0) -> Any:
    """A key or a state as JSON can say it: records of a class as objects with their fields, tuples and sets
    as lists, what is left as text. Cut where it is very long or deep."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case _ if depth >= _NESTED_MAX:
            return shown(value)
        case dict():
            return {str(k): as_json(v, depth + 1) for k, v in list(value.items())[:_ITEMS_MAX]}
        case tuple() if hasattr(value, "_fields"):
            return {name: as_json(each, depth + 1) for name, each in zip(value._fields, value, strict=True)}
        case list() | tuple() | set() | frozenset():
            return [as_json(each, depth + 1) for each in list(value)[:_ITEMS_MAX]]
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {
                field.name: as_json(getattr(value, field.name, None), depth + 1)
                for field in dataclasses.fields(value)
            }
        case _:
            return shown(value)


def looked_up(application: Application, name: str, key: str | None, limit: int) -> Record:
    """What is asked of the state of an operator: a key's, or the first keys with theirs."""
    views = application.states()
    if name not in views:
        if application.from_log:
            raise NotFound("a log holds no state. Hint: ask the program itself, while it runs.")
        if not application.running:
            raise NotFound("the application has ended, and its state cannot be asked any more")
        known = ", ".join(views) or "none: no operator with state is read by an output"
        raise NotFound(f"no operator with state is named {name[:80]!r}. There is {known}.")
    view = views[name]
    record: Record = {"operator": name, "time": view.time, "keys": view.count()}
    if key is None:
        pairs = view.items(limit)
        return {**record, "items": [{"key": as_json(k), "value": as_json(v)} for k, v in pairs]}
    wanted = key_of(key)
    if wanted not in view:
        raise NotFound(f"{name} has no key {json.dumps(as_json(wanted))}")
    return {**record, "key": as_json(wanted), "value": as_json(view.get(wanted))}
