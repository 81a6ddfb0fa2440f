"""What has happened to the batches of an application: a bounded record, as plain data that JSON can say.

::

    listener events --> Recorder --> records --> History      of an application that runs
    a batch log     ---------------> records --> History      of one that has ended

A record is a dict with a ``kind``: ``application`` (what the program is made of), ``batch`` (a batch, whole,
each time anything of it changes), ``receiver``, ``explained`` (what an output's plan is on), ``end``. Times
are ms since the epoch, durations ms; what is not known is ``None``.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from statistics import fmean, median
from typing import Any, NamedTuple

from penstock.dstream import Input, StreamGraph, StreamNode, input_names, saved_of
from penstock.plan import Node, explained
from penstock.scheduler import BatchInfo, OutputOperationInfo, RateInfo, StreamingListener, StreamInputInfo

__all__ = [
    "AnyRecord",
    "BatchRecord",
    "History",
    "Newest",
    "Record",
    "Recorder",
    "application_of",
    "cause_of",
    "output_record",
]

Record = dict[str, Any]
AnyRecord = Mapping[str, Any]

_ERROR_MAX = 16_000  # characters of an error that are kept
_STORY_MAX = 8_000
_RECEIVERS_MAX = 1_000


class BatchRecord(Mapping[str, Any]):
    """The record of a batch, of which the most is made when somebody looks, and each time anew: of a stream
    that makes a hundred batches a second few are looked at, and of a thousand that are kept Python's garbage
    collector has to look through next to nothing. ``more(values)`` has all further fields but the ``story``,
    and ``in_short(values)`` what a row of a table shows of them; ``counts`` are the records of the batch by
    the numbers of its inputs. ``facts`` are those that need not be made, ``operators`` among them only where
    there are none.

    >>> record = BatchRecord(
    ...     {"time": 1000}, ((0, 3),), (5, 6), lambda values: {"outputs": [*values]}, lambda: "short"
    ... )
    >>> record["time"], record["outputs"], dict(record)
    (1000, [5, 6], {'time': 1000, 'outputs': [5, 6], 'story': 'short'})
    """

    __slots__ = ("_in_short", "_more", "_story", "_values", "counts", "facts")

    def __init__(
        self,
        facts: Record,
        counts: tuple[tuple[int, int], ...],
        values: Any,
        more: Callable[[Any], Record],
        story: Callable[[], str] | None = None,
        in_short: Callable[[Any], Record] | None = None,
    ) -> None:
        self.facts = facts
        self._in_short = more if in_short is None else in_short
        self._values = values
        self._more = more
        self._story = story
        self.counts = counts

    @property
    def counted(self) -> bool:
        """Whether it is known what each operator made."""
        return "operators" not in self.facts

    def __getitem__(self, name: str) -> Any:
        if name in self.facts:
            return self.facts[name]
        if name == "story" and self._story is not None:
            return _cut(self._story(), _STORY_MAX)
        return self._more(self._values)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.without_story() if self._story is None else [*self.without_story(), "story"])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def without_story(self) -> Record:
        """All other fields, made once."""
        return {**self.facts, **self._more(self._values)}

    def in_short(self) -> Record:
        """What a row of a table shows of it, and whatever else costs nothing."""
        return {**self.facts, **self._in_short(self._values)}


class History:
    """The newest ``retained`` batches that are over, those that are not, and what they come to.

    Any thread may call. What is returned is not changed afterwards, and is not to be changed.

    >>> history = History(10)
    >>> history.apply({"kind": "batch", "time": 1000, "status": "completed", "records": 3,
    ...                "processingTime": 20.0, "inputs": [{"id": 0, "records": 3}]})
    >>> history.totals()["records"], history.batch(1000)["status"], history.batch(2000)
    (3, 'completed', None)
    """

    def __init__(self, retained: int) -> None:
        self._retained = retained
        self._lock = threading.Lock()  # of all that follows
        self._application: AnyRecord = {}
        self._over: dict[int, AnyRecord] = {}
        self._active: dict[int, AnyRecord] = {}
        self._receivers: dict[tuple[int, str], Record] = {}
        self._explained: dict[int, str] = {}
        self._totals: Record = _no_totals()
        self._end: AnyRecord | None = None
        self._last_over: AnyRecord | None = None
        self._last_counted: AnyRecord | None = None
        self.changes = 0  # how many records there were

    def apply(self, record: AnyRecord) -> None:
        """One more record."""
        with self._lock:
            self.changes += 1
            match record["kind"]:
                case "batch":
                    self._batch(record)
                case "receiver":
                    key = record["stream"], record["name"]
                    self._receivers[key] = {**self._receivers.get(key, {}), **record}
                    if len(self._receivers) > _RECEIVERS_MAX:
                        del self._receivers[next(iter(self._receivers))]
                case "explained":
                    self._explained[record["output"]] = record["text"]
                case "application":
                    # Receivers start before the program says what it is.
                    if self._application and self._application.get("run") != record.get("run"):
                        self._totals = _no_totals()
                        self._active, self._receivers, self._explained = {}, {}, {}
                        self._end = self._last_over = self._last_counted = None
                    self._application = record
                case "totals":
                    self._totals = {**_no_totals(), **record["totals"]}
                    self._totals["inputs"] = dict(self._totals["inputs"])
                case "end":
                    self._end = record

    def apply_from_log(self, record: AnyRecord) -> None:
        """One more record that was read from somewhere: a field that is missing is as if it was not known,
        and what cannot be a record is left out."""
        known = _FIELDS.get(str(record.get("kind")))
        if known is None or any(type(record.get(name)) is not kind for name, kind in known.items()):
            return
        self.apply({**_NOTHING, **record} if record["kind"] == "batch" else record)

    def _batch(self, record: AnyRecord) -> None:
        facts = record.facts if isinstance(record, BatchRecord) else record
        time = facts["time"]
        if facts["status"] in ("waiting", "running"):
            self._active[time] = record
            return
        self._active.pop(time, None)
        if time not in self._over:
            totals = self._totals
            totals["batches"] += 1
            totals["failed"] += facts["status"] == "failed"
            totals["records"] += facts["records"]
            totals["processingTime"] += facts.get("processingTime") or 0
            inputs = totals["inputs"]
            for id, records in _counts_of(record):
                name = str(id)
                inputs[name] = inputs.get(name, 0) + records
        self._over[time] = self._last_over = record
        if record.counted if isinstance(record, BatchRecord) else record.get("operators"):
            self._last_counted = record
        while len(self._over) > self._retained:
            del self._over[next(iter(self._over))]

    @property
    def application(self) -> AnyRecord:
        """What the program is made of, as it was told at the start; empty before."""
        return self._application

    @property
    def end(self) -> AnyRecord | None:
        """How it has ended; ``None`` if it has not, or has not said so."""
        return self._end

    @property
    def last(self) -> AnyRecord | None:
        """The batch that was over last."""
        return self._last_over

    @property
    def last_counted(self) -> AnyRecord | None:
        """The newest of those of which it is known what each operator made: where batches come fast, not each
        is one."""
        return self._last_counted

    def totals(self) -> Record:
        """Batches, failed ones, records and processing time since the start, and records by input."""
        with self._lock:
            return {**self._totals, "inputs": dict(self._totals["inputs"])}

    def batch(self, time: int) -> AnyRecord | None:
        """One batch, or ``None`` if it is not known, or not any more."""
        with self._lock:
            return self._active.get(time) or self._over.get(time)

    def over(self, limit: int | None = None, after: int | None = None) -> list[AnyRecord]:
        """The newest batches that are over, the oldest first; with ``after`` those of later times."""
        found: list[AnyRecord] = []
        with self._lock:
            for record in reversed(self._over.values()):
                if len(found) == limit or (after is not None and record["time"] <= after):
                    break
                found.append(record)
        found.reverse()
        return found

    def active(self) -> list[AnyRecord]:
        """The batches that run or wait, the oldest first."""
        with self._lock:
            return [self._active[time] for time in sorted(self._active)]

    def receivers(self) -> list[Record]:
        """What was last heard of each receiver."""
        with self._lock:
            return list(self._receivers.values())

    def explained(self) -> dict[int, str]:
        """What the plan of each output is on, by the number of the output, as far as it is known."""
        with self._lock:
            return dict(self._explained)

    def statistics(self) -> Record:
        """Averages, medians and extremes over the batches that are retained."""
        found = self.over()
        figures: Record = {"batches": len(found), "failed": sum(r["status"] == "failed" for r in found)}
        for name in ("records", "schedulingDelay", "processingTime", "totalDelay"):
            values = [record[name] for record in found if record.get(name) is not None]
            figures[name] = (
                {
                    "average": fmean(values),
                    "median": median(values),
                    "least": min(values),
                    "most": max(values),
                }
                if values
                else None
            )
        taken = sum(record.get("processingTime") or 0 for record in found)
        records = sum(record["records"] for record in found)
        figures["recordsPerSecondOfProcessing"] = records * 1000 / taken if taken else None
        return figures


def _counts_of(record: AnyRecord) -> Iterable[tuple[int, int]]:
    """The records of a batch by the numbers of its inputs."""
    if isinstance(record, BatchRecord):
        return record.counts
    return [(each["id"], each["records"]) for each in record.get("inputs", ())]


_FIELDS: Mapping[str, Mapping[str, type]] = {  # that a record of each kind must have
    "application": {},
    "batch": {"time": int, "status": str, "records": int},
    "receiver": {"stream": int, "name": str},
    "explained": {"output": int, "text": str},
    "totals": {"totals": dict},
    "end": {"time": int},
}
_NOTHING: Record = {
    "submitted": 0, "started": None, "ended": None, "schedulingDelay": None, "processingTime": None,
    "totalDelay": None, "inputs": [], "outputs": [], "state": [], "operators": [], "windows": [],
    "limits": [], "error": None, "cause": None,
}  # fmt: skip


def _no_totals() -> Record:
    return {"batches": 0, "failed": 0, "records": 0, "processingTime": 0.0, "inputs": {}}


# ------------------------------------------------------------------------------ from a run's events


_NONE = ()  # of what a record need not be asked for
_Values = tuple[Any, ...]


class _Compact(NamedTuple):
    """What a record will be made of, in tuples of numbers and texts: these are nothing to Python's garbage
    collector."""

    inputs: tuple[_Values, ...]
    outputs: tuple[_Values, ...]
    states: tuple[_Values, ...]
    limits: tuple[_Values, ...]
    operators: tuple[_Values, ...]
    failure: str | None

    @classmethod
    def of(cls, info: BatchInfo) -> _Compact:
        inputs, outputs = info.streamIdToInputInfo.values(), info.outputOperationInfos.values()
        states, rates, operators = info.stateOperatorInfos, info.streamIdToRateInfo, info.operatorInfos
        return cls(
            tuple(map(_input_values, inputs)),
            tuple(map(tuple, outputs)),
            tuple([tuple(vars(each).values()) for each in states]) if states else (),
            tuple(map(_rate_values, rates.values())) if rates else (),
            tuple([(each.numRecords, each.numSlides, each.numHeld) for each in operators])
            if operators
            else (),
            info.failureReason,
        )


def _rate_values(info: RateInfo) -> _Values:
    return info.inputStreamId, info.limit, info.processingRate, info.backlog


def _input_values(info: StreamInputInfo) -> _Values:
    files, waiting = info.metadata.get("files"), info.metadata.get("waiting")
    return (
        info.inputStreamId,
        info.numRecords,
        info.metadataDescription,
        len(files) if isinstance(files, list) else None,
        waiting if isinstance(waiting, int) else None,
    )


class Recorder(StreamingListener):
    """Makes records of listener events, and gives each to ``write``. Runs on the listeners' thread.

    It hears of no single output: that would be two events for each, in every batch, for what is in the
    batch's own event once it is over. Who looks at a batch that runs asks the driver.

    ``application`` makes the first record, of when the run began. ``story`` gives what tells, later, what
    happened to a batch.
    ``plans`` are those of the batch that was generated last, if they were asked for: see
    ``Generation.take_plans``.
    """

    def __init__(
        self,
        graph: StreamGraph,
        application: Callable[[int], Record],
        write: Callable[[AnyRecord], None],
        story: Callable[[int], Callable[[], str]],
        plans: Callable[[bool], dict[int, Node] | None],
    ) -> None:
        self._application = application
        self._names = {node.id: name for node, name in input_names(graph).items()}
        self._outputs = len(graph.outputs)
        self._write = write
        self._story = story
        self._plans = plans
        self._explained: set[int] = set()
        self._more = self._more_of  # one method for all records

    def onStreamingStarted(self, streamingStarted: Any) -> None:
        self._write(self._application(streamingStarted.time))

    def onReceiverStarted(self, receiverStarted: Any) -> None:
        self._receiver("started", receiverStarted.receiverInfo)

    def onReceiverError(self, receiverError: Any) -> None:
        self._receiver("error", receiverError.receiverInfo)

    def onReceiverStopped(self, receiverStopped: Any) -> None:
        self._receiver("stopped", receiverStopped.receiverInfo)

    def onBatchSubmitted(self, batchSubmitted: Any) -> None:
        self._batch(batchSubmitted.batchInfo, "waiting")

    def onBatchStarted(self, batchStarted: Any) -> None:
        self._batch(batchStarted.batchInfo, "running")

    def onBatchCompleted(self, batchCompleted: Any) -> None:
        info = batchCompleted.batchInfo
        self._batch(info, "completed" if info.failureReason is None else "failed")
        if len(self._explained) < self._outputs:
            self._explain(had_records=info.numRecords > 0)

    def _receiver(self, status: str, info: Any) -> None:
        record = {
            "kind": "receiver",
            "stream": info.streamId,
            "input": self._names.get(info.streamId),
            "name": info.name,
            "status": status,
            "active": info.active,
            "location": info.location,
        }
        if info.lastErrorTime >= 0:
            record |= {
                "lastError": _cut(info.lastError, _ERROR_MAX),
                "lastErrorMessage": _cut(info.lastErrorMessage, 1000),
                "lastErrorTime": info.lastErrorTime,
            }
        self._write(record)

    def _batch(self, info: BatchInfo, status: str) -> None:
        facts: Record = {
            "kind": "batch",
            "time": info.batchTime,
            "status": status,
            "submitted": info.submissionTime,
            "started": info.processingStartTime if info.processingStartTime >= 0 else None,
            "ended": info.processingEndTime if info.processingEndTime >= 0 else None,
            "schedulingDelay": _known(info.schedulingDelay),
            "processingTime": _known(info.processingDelay),
            "totalDelay": _known(info.totalDelay),
            "records": info.numRecords,
        }
        if not info.operatorInfos:
            facts["operators"] = facts["windows"] = _NONE
        if not info.streamIdToRateInfo:
            facts["limits"] = _NONE
        inputs = info.streamIdToInputInfo.values()
        counts = tuple([(each.inputStreamId, each.numRecords) for each in inputs])
        story = None
        if status == "failed" or (status == "completed" and info.operatorInfos):
            story = self._story(info.batchTime)  # of others the newest are known to the driver
        self._write(BatchRecord(facts, counts, _Compact.of(info), self._more, story, _in_short_of))

    def _more_of(self, info: _Compact) -> Record:
        names = self._names
        facts: Record = {
            "inputs": [
                {
                    "id": id,
                    "name": names.get(id, str(id)),
                    "records": records,
                    "description": _cut(description, 2000),
                    "units": units,
                    "left": left,
                }
                for id, records, description, units, left in info.inputs
            ],
            "outputs": [_output_record(*each) for each in info.outputs],
            "state": [
                {"operator": operator, "keys": keys, "touched": touched, "expired": expired, "bytes": size}
                for operator, keys, touched, expired, size in info.states
            ],
            "limits": [
                {
                    "input": id,
                    "name": names.get(id, str(id)),
                    "recordsPerSecond": limit,
                    "processingRate": rate,
                    "backlog": backlog,
                }
                for id, limit, rate, backlog in info.limits
            ],
            "error": None if info.failure is None else _cut(info.failure, _ERROR_MAX),
            "cause": None if info.failure is None else cause_of(info.failure),
        }
        if info.operators:
            facts["operators"] = [None if records < 0 else records for records, _, _ in info.operators]
            facts["windows"] = [
                {"operator": number, "slides": slides, "records": _known(held)}
                for number, (_, slides, held) in enumerate(info.operators)
                if slides >= 0
            ]
        return facts

    def _explain(self, *, had_records: bool) -> None:
        """What the plans of a batch with records are on; asks for those of the next batch, if need be."""
        plans = self._plans(True)
        if plans is None or not had_records:
            return
        for output, plan in plans.items():
            if output not in self._explained:
                self._explained.add(output)
                self._write({"kind": "explained", "output": output, "text": explained(plan)})
        if len(self._explained) == self._outputs:
            self._plans(False)


def _in_short_of(info: _Compact) -> Record:
    return {
        "outputs": [{"status": _status_of(ended, failure)} for *_, ended, _, failure in info.outputs],
        "cause": None if info.failure is None else cause_of(info.failure),
    }


def _status_of(ended: int, failure: str | None) -> str:
    return "failed" if failure is not None else "completed" if ended >= 0 else "running"


def output_record(info: OutputOperationInfo) -> Record:
    """An output operation as a record has it."""
    return _output_record(*info)


def _output_record(
    time: int, id: int, name: str, line: str, started: int, ended: int, duration: float, failure: str | None
) -> Record:
    return {
        "id": id,
        "name": name,
        "line": line,
        "status": _status_of(ended, failure),
        "started": _known(started),
        "duration": _known(duration),
        "error": None if failure is None else _cut(failure, _ERROR_MAX),
        "cause": None if failure is None else cause_of(failure),
    }


def cause_of(error: str) -> Record:
    """What an exception's text with its traceback comes to: ``what`` it was, and ``where`` in the user's
    program.

    >>> cause_of('Traceback ...\\n  File "x.py", line 3\\nValueError: 13\\nin map (app.py:7) of partition 0')
    {'what': 'ValueError: 13', 'where': 'in map (app.py:7) of partition 0'}
    """
    lines = error.splitlines()
    notes = [line for line in lines if _NOTE.match(line)]
    notes = [note for note in notes if not note.startswith("in the batch ")] or notes
    names = [line for line in lines if _EXCEPTION.match(line)]
    what = names[-1] if names else next((line for line in reversed(lines) if line.strip()), "")
    return {"what": _cut(what, 500), "where": _cut(notes[-1], 300) if notes else None}


_NOTE = re.compile(r"in \S.* \(.+:\d+\)")
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Warning|Exit|Interrupt|[A-Z]\w*)(:|$)")


def _cut(text: str, limit: int) -> str:
    """The end of a text that is too long: there an error says what it was."""
    return text if len(text) <= limit else f"... {text[len(text) - limit + 4 :]}"


def _known(value: float) -> Any:
    return None if value < 0 else round(value, 3)


# ------------------------------------------------------------------------------- what a program is


def application_of(graph: StreamGraph, facts: Mapping[str, Any]) -> Record:
    """What a program is made of: inputs, operators and outputs with their lines."""
    nodes = graph.nodes()
    numbers = {node: number for number, node in enumerate(nodes)}
    names = input_names(graph)
    saved = {each.node: each.name for each in saved_of(graph) if each.kind == "table"}
    return {
        "kind": "application",
        **facts,
        "interval": graph.interval_ms,
        "inputs": [
            {"id": node.id, "name": names[node], "source": node.source.name, "line": _line(node),
             "paced": node.source.paced}
            for node in graph.inputs
        ],
        "operators": [
            {
                "id": numbers[node],
                "operation": node.site.operation,
                "line": _line(node),
                "kind": _kind(node),
                "name": saved.get(node) or (names.get(node) if isinstance(node, Input) else node.given_name),
                "every": node.slide_duration,
                "window": node.length_ms,
                "reads": [numbers[dependency] for dependency in node.dependencies],
            }
            for node in nodes
        ],
        "outputs": [
            {"id": number, "name": output.site.operation, "line": _line(output), "writes": output.writes,
             "reads": numbers[output.node]}
            for number, output in enumerate(graph.outputs)
        ],
    }  # fmt: skip


def _kind(node: StreamNode) -> str:
    if isinstance(node, Input):
        return "input"
    if node.keeps_table:
        return "state"
    return "step" if node.length_ms is None else "window"


def _line(what: Any) -> str:
    return f"{what.site.file}:{what.site.line}" if what.site.file else ""


class Newest:
    """The newest records for who looks now and then, each once, and how many were missed."""

    def __init__(self, capacity: int) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[AnyRecord] = deque(maxlen=capacity)
        self._lost = 0

    def put(self, record: AnyRecord) -> None:
        """One more."""
        with self._lock:
            self._lost += len(self._waiting) == self._waiting.maxlen
            self._waiting.append(record)

    def taken(self) -> tuple[list[AnyRecord], int]:
        """All that wait, and how many were lost before them."""
        with self._lock:
            found, lost = list(self._waiting), self._lost
            self._waiting.clear()
            self._lost = 0
            return found, lost
