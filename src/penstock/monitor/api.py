"""The monitor's addresses: JSON, figures for Prometheus, health for supervisors, and the page.

Documented in ``docs/monitor.md``. What stands under ``/api/v1`` keeps its meaning: fields may be added.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from penstock.errors import ArgumentError
from penstock.monitor.application import Application, health, looked_up
from penstock.monitor.assets import page, static_files
from penstock.monitor.feed import Feed
from penstock.monitor.figures import exposition
from penstock.monitor.history import AnyRecord, BatchRecord, Record
from penstock.monitor.web import NotFound, Reply, Request, Route, StreamRoute

__all__ = ["monitor_routes", "overview", "update_of"]

_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


def monitor_routes(
    application: Application, feed: Feed, dashboards: Sequence[tuple[str, str]] = ()
) -> list[Route | StreamRoute]:
    """All that the monitor answers, the page at ``/`` included; ``dashboards`` are titles and paths of pages
    that this one links to."""

    def json(path: str, answer: Callable[[Request], Any]) -> Route:
        return Route(f"/api/v1/{path}", lambda request: Reply.json(answer(request)))

    history = application.history
    return [
        json("application", lambda request: overview(application)),
        json("dashboards", lambda request: [{"title": title, "path": path} for title, path in dashboards]),
        json("batches", lambda request: _batches(application, request)),
        json("batches/{time}", lambda request: _batch(application, request.path["time"])),
        json("statistics", lambda request: history.statistics()),
        json("operators", lambda request: _operators(application)),
        json("outputs", lambda request: _outputs(application)),
        json("inputs", lambda request: _inputs(application)),
        json("receivers", lambda request: history.receivers()),
        json("state", lambda request: _states(application)),
        json(
            "state/{operator:path}",
            lambda request: looked_up(
                application,
                request.path["operator"],
                request.query.get("key"),
                request.whole("limit", 20, lowest=1, highest=1000),
            ),
        ),
        feed.route("/api/v1/events"),
        Route("/metrics", lambda request: Reply(exposition(application).encode(), _PROMETHEUS)),
        Route("/health/live", lambda request: _live(application)),
        Route("/health/ready", lambda request: _ready(application)),
        page("/", "monitor.html"),
        *static_files(),
    ]


def overview(application: Application) -> Record:
    """What the application is, and how it is doing."""
    history = application.history
    verdict = health(application)
    active = history.active()
    last, now = history.last, application.now_ms()
    facts = {
        k: v for k, v in history.application.items() if k not in ("kind", "operators", "outputs", "inputs")
    }
    end = history.end
    status = "running" if application.running else "ended" if end is not None else "dead"
    if end is not None and end.get("error"):
        status = "failed"
    waiting = [batch for batch in active if batch["status"] == "waiting"]
    return {
        **facts,
        "status": status,
        "fromLog": application.from_log,
        "well": verdict.well,
        "words": verdict.words,
        "now": now,
        "ended": None if end is None else end["time"],
        "error": None if end is None else end.get("error"),
        "waiting": len(waiting),
        "lag": max((now - batch["submitted"] for batch in active), default=0) if application.running else 0,
        "totals": history.totals(),
        "lastBatch": None if last is None else last["time"],
        "lastEnded": None if last is None else last["ended"],
        "checkpoint": _checkpoint(application, now),
    }


def update_of(application: Application, after: int | None) -> tuple[Record, int | None]:
    """What is pushed to the page: how it is doing, and the batches of later times than ``after``, as its
    table shows them; and the newest time of those."""
    batches = [_in_short(batch) for batch in application.history.over(200, after)]
    newest = batches[-1]["time"] if batches else after
    return {
        "application": overview(application),
        "batches": batches,
        "active": [_without_story(batch) for batch in application.active()],
        "states": _states(application),
        "operators": _rows(application),
        "inputs": _inputs(application),
        "receivers": application.history.receivers(),
    }, newest


def _checkpoint(application: Application, now: int) -> Record | None:
    found = application.checkpoint()
    if found is None:
        return None
    good = [batch for batch in application.history.over(50) if batch["status"] == "completed"]
    at = good[-1]["ended"] if good else None
    return {**found, "batch": good[-1]["time"] if good else None, "age": None if at is None else now - at}


_LISTED = (
    "time", "status", "submitted", "started", "ended", "schedulingDelay", "processingTime", "totalDelay",
    "records", "inputs", "outputs", "state", "limits", "cause",
)  # fmt: skip


_IN_SHORT = (
    "time", "status", "submitted", "started", "ended", "schedulingDelay", "processingTime", "totalDelay",
    "records", "cause",
)  # fmt: skip


def _in_short(batch: AnyRecord) -> Record:
    """A batch as a row of a table."""
    if isinstance(batch, BatchRecord):
        batch = batch.in_short()
    outputs = [{"status": each["status"]} for each in batch["outputs"]]
    return {**{name: batch.get(name) for name in _IN_SHORT}, "outputs": outputs}


def _without_story(batch: AnyRecord) -> Record:
    """A batch as a list shows it: an error in one line."""
    if isinstance(batch, BatchRecord):
        batch = batch.without_story()
    return {
        **{name: batch.get(name) for name in _LISTED},
        "outputs": [{k: v for k, v in each.items() if k != "error"} for each in batch["outputs"]],
    }


def _batches(application: Application, request: Request) -> Record:
    history = application.history
    status = request.query.get("status")
    if status not in (None, "waiting", "running", "completed", "failed"):
        raise ArgumentError("status is waiting, running, completed or failed")
    limit = request.whole("limit", 1000, lowest=1)
    found = [*history.over(), *application.active()]
    wanted = [batch for batch in found if status is None or batch["status"] == status]
    return {"batches": [_without_story(batch) for batch in reversed(wanted[-limit:])]}


def _batch(application: Application, text: str) -> Record:
    if not text.isascii() or not text.isdigit():
        raise ArgumentError(f"a batch is named by its time in ms since the epoch, not {text[:40]!r}")
    batch = application.history.batch(int(text[:20]))
    if batch is None:
        raise NotFound(f"no batch {text[:20]} is known, or it is too long ago")
    story = batch.get("story") or application.story(batch["time"])
    return {**{k: v for k, v in batch.items() if k != "kind"}, "story": story}


def _outputs(application: Application) -> list[Record]:
    explained = application.history.explained()
    return [
        {**output, "explain": explained.get(output["id"])}
        for output in application.history.application.get("outputs", [])
    ]


def _inputs(application: Application) -> list[Record]:
    history = application.history
    totals, held = history.totals()["inputs"], application.waiting_bytes()
    of_last = {each["id"]: each for each in (history.last or {}).get("inputs", [])}
    limits: dict[int, Record] = {}
    for batch in reversed(history.over(100)):
        if found := batch["limits"]:
            limits = {**{each["input"]: each for each in found}, **limits}
            if len(limits) == len(of_last):
                break
    return [
        {
            **each,
            "records": totals.get(str(each["id"]), 0),
            "lastRecords": of_last.get(each["id"], {}).get("records"),
            "left": of_last.get(each["id"], {}).get("left"),
            "heldBytes": held.get(each["id"]),
            "limit": limits.get(each["id"]),
        }
        for each in history.application.get("inputs", [])
    ]


def _operators(application: Application) -> list[Record]:
    """What the program is made of, with what the last batch says of each."""
    made = application.history.application.get("operators", [])
    return [{**operator, **row} for operator, row in zip(made, _rows(application), strict=True)]


def _rows(application: Application) -> list[Record]:
    """For each operator how many records it made in the last batch that was over and looked at so closely,
    and what its window held then."""
    history = application.history
    newest = history.last_counted or {}
    records = newest.get("operators") or []
    windows: dict[int, Record] = {each["operator"]: each for each in newest.get("windows") or ()}
    return [
        {
            "records": records[number] if number < len(records) else None,
            "heldSlides": windows.get(number, {}).get("slides"),
            "heldRecords": windows.get(number, {}).get("records"),
        }
        for number in range(len(history.application.get("operators", [])))
    ]


def _states(application: Application) -> list[Record]:
    """Each operator with state: what the last batch that ran it says of it."""
    history = application.history
    figures: dict[str, Record] = {}
    views = application.states()
    stateful = sum(operator["kind"] == "state" for operator in history.application.get("operators", []))
    for batch in reversed(history.over(100)):
        if len(figures) >= stateful:
            break
        figures = {
            **{each["operator"]: {**each, "time": batch["time"]} for each in batch["state"]},
            **figures,
        }
    found = []
    for operator in history.application.get("operators", []):
        if operator["kind"] != "state":
            continue
        site = f"{operator['operation']} ({operator['line']})" if operator["line"] else operator["operation"]
        known = figures.get(site, {})
        found.append(
            {
                "name": operator["name"],
                "operation": operator["operation"],
                "line": operator["line"],
                "canBeAsked": operator["name"] in views,
                **{name: known.get(name) for name in ("time", "keys", "touched", "expired", "bytes")},
            }
        )
    return found


def _live(application: Application) -> Reply:
    """Whether the process is worth keeping: 503 once its stream is over."""
    if application.running:
        return Reply.text("alive\n")
    return Reply.text(f"{health(application).words}\n", 503)


def _ready(application: Application) -> Reply:
    verdict = health(application)
    return Reply.text(f"{verdict.words}\n", 200 if verdict.well else 503)
