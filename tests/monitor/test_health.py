"""Health, figures and questions of an application, on a clock that is turned by hand."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from penstock.clock import ManualClock
from penstock.errors import ArgumentError
from penstock.monitor.api import monitor_routes, overview
from penstock.monitor.application import Logged, as_json, health, key_of
from penstock.monitor.feed import Feed
from penstock.monitor.figures import exposition
from penstock.monitor.history import History
from penstock.monitor.progress import progress_of
from penstock.monitor.web import NotFound, Reply, Request, Route
from tests.monitor.test_history import batch

HOSTILE = '<img src=x onerror=alert(1)>"\n\\'


class Alive(Logged):
    """An application whose batches go on, made of records alone."""

    alive = True
    from_log = False

    @property
    def running(self) -> bool:
        return self.alive

    def checkpoint(self) -> Any:
        return {"directory": "cp", "journalBytes": 1000, "snapshotBytes": 24, "files": 2}

    def waiting_bytes(self) -> Any:
        return {0: 77}


def alive(*records: dict[str, Any], now: int = 0, **facts: Any) -> Alive:
    history = History(1000)
    application = {
        "kind": "application", "run": "1", "name": HOSTILE, "version": "1", "interval": 1000, "started": 0,
        "inputs": [{"id": 0, "name": HOSTILE, "source": "files", "line": "a.py:1", "paced": True}],
        "operators": [], "outputs": [], **facts,
    }  # fmt: skip
    for record in [application, *records]:
        history.apply(record)
    return Alive(history, ManualClock(now), "cp")


def over(time: int, status: str = "completed", **more: Any) -> dict[str, Any]:
    return batch(
        time, status, submitted=time, started=time, ended=time + 100, schedulingDelay=1.0,
        processingTime=99.0, totalDelay=100.0, **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("records", "now", "well", "words"),
    [
        ([], 10_000, True, "no batch was over yet"),
        ([], 10_001, False, "no batch was over for 10.0 s: more than 10 intervals"),
        ([over(1000)], 11_100, True, "batches are completed as they come"),
        ([over(1000)], 11_101, False, "no batch was over for 10.0 s"),
        ([over(1000), batch(2000, "waiting", submitted=2000)], 3000, True, "1 wait"),
        ([over(1000), batch(2000, "running", submitted=2000, started=2500)], 200_000, False,
         "over for 3.3 min: more than 10 intervals; the batch 2000 has been running for 3.3 min"),
        ([over(1000, "failed", cause={"what": "ValueError: 13", "where": None})], 2000, False,
         "the batch 1000 has failed: ValueError: 13"),
        ([over(1000, "failed"), over(2000)], 2200, True, "batches are completed as they come"),
    ],
)  # fmt: skip
def test_health_in_words(records: list[Any], now: int, well: bool, words: str) -> None:
    verdict = health(alive(*records, now=now))
    assert verdict.well is well
    assert words in verdict.words


@pytest.mark.parametrize(
    ("end", "words", "status"),
    [
        (None, "the application has ended without saying so", "dead"),
        ({"kind": "end", "time": 5, "error": None}, "the application has ended", "ended"),
        ({"kind": "end", "time": 5, "error": "ValueError: 13"}, "the application has failed", "failed"),
    ],
)
def test_an_application_that_has_ended_is_not_well(end: Any, words: str, status: str) -> None:
    application = alive(over(1000), *([] if end is None else [end]))
    application.alive = False
    assert health(application).words == words
    found = overview(application)
    assert (found["status"], found["well"], found["lag"]) == (status, False, 0)


def reply(application: Alive, path: str, **query: str) -> Reply:
    for route in monitor_routes(application, Feed()):
        pattern = re.sub(r"\{(\w+)(:path)?\}", r"(?P<\1>.+)", route.path)
        match = re.fullmatch(pattern, path)
        if match and isinstance(route, Route):
            return route.answer(Request(match.groupdict(), query))
    raise AssertionError(f"no route {path}")


def data(application: Alive, path: str, **query: str) -> Any:
    return json.loads(reply(application, f"/api/v1/{path}", **query).body)


def test_supervisors_get_words_and_a_status() -> None:
    assert reply(alive(over(1000), now=1200), "/health/ready").status == 200
    stalled = alive(over(1000), now=60_000)
    assert reply(stalled, "/health/ready").status == 503
    assert reply(stalled, "/health/live").status == 200  # it may still come
    stalled.alive = False
    assert reply(stalled, "/health/live").status == 503


def test_batches_and_one_batch() -> None:
    application = alive(
        *(over(time * 1000, story=f"story {time}") for time in range(1, 6)), batch(6000, "waiting")
    )
    assert [each["time"] for each in data(application, "batches")["batches"]] == [
        6000,
        5000,
        4000,
        3000,
        2000,
        1000,
    ]
    assert [each["time"] for each in data(application, "batches", limit="2")["batches"]] == [6000, 5000]
    assert data(application, "batches", status="waiting")["batches"][0]["time"] == 6000
    assert "story" not in data(application, "batches")["batches"][1]
    assert data(application, "batches/3000")["story"] == "story 3"
    with pytest.raises(NotFound, match="no batch 77"):
        data(application, "batches/77")
    for text in ("x", "-1", "²", "1" * 10_000):
        with pytest.raises(ArgumentError):
            data(application, f"batches/{text}")


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "x"}, {"limit": "9" * 99}, {"status": "lost"}])
def test_a_query_that_cannot_be_meant_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(ArgumentError):
        data(alive(), "batches", **query)


def test_inputs_with_what_is_known_of_each() -> None:
    limit = {"input": 0, "name": "n", "recordsPerSecond": 500.0, "processingRate": 1.0, "backlog": 0.0}
    given = [{"id": 0, "name": "n", "records": 5, "description": "", "units": 1, "left": 3}]
    [found] = data(alive(over(1000, inputs=given, limits=[limit])), "inputs")
    assert (found["records"], found["lastRecords"], found["left"], found["heldBytes"]) == (5, 5, 3, 77)
    assert found["limit"]["recordsPerSecond"] == 500


def test_the_checkpoint_is_as_old_as_the_last_batch_that_went_well() -> None:
    found = overview(alive(over(1000), over(2000, "failed"), now=5_000))["checkpoint"]
    assert (found["batch"], found["age"], found["journalBytes"]) == (1000, 3_900, 1000)


SAMPLE = re.compile(
    r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (-?\d+(?:\.\d+)?(?:e-?\d+)?)'
)


def samples(text: str) -> dict[str, list[tuple[str, float]]]:
    """What Prometheus would read; fails on a line that it would not."""
    found: dict[str, list[tuple[str, float]]] = {}
    typed = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            assert line.split()[2] not in typed, "a family comes once"
            typed.add(line.split()[2])
        elif not line.startswith("# HELP "):
            match = SAMPLE.fullmatch(line)
            assert match, line
            assert match[1] in typed
            found.setdefault(match[1], []).append((match[2] or "", float(match[3])))
    return found


def test_figures_are_what_the_history_says_and_can_be_read() -> None:
    state = {"operator": HOSTILE, "keys": 12, "touched": 1, "expired": 0, "bytes": 640}
    given = [{"id": 0, "name": HOSTILE, "records": 5}]
    application = alive(
        over(1000, records=5, inputs=given, state=[state]), over(2000, "failed"),
        {"kind": "receiver", "stream": 0, "name": HOSTILE, "input": HOSTILE, "active": True}, now=2_500,
    )  # fmt: skip
    found = samples(exposition(application))
    assert dict(found["penstock_batches_total"]) == {'status="completed"': 1, 'status="failed"': 1}
    assert found["penstock_last_batch_processing_seconds"] == [("", 0.099)]
    assert found["penstock_batch_interval_seconds"] == [("", 1)]
    assert found["penstock_records_total"][0][1] == 5
    assert found["penstock_state_keys"][0][1] == 12
    assert found["penstock_checkpoint_bytes"] == [("", 1024)]
    assert found["penstock_receiver_active"][0][1] == 1
    assert found["penstock_up"] == [("", 1)]
    assert found["penstock_ready"] == [("", 0)]
    escaped = HOSTILE.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    assert found["penstock_state_keys"][0][0] == f'operator="{escaped}"'


def test_figures_of_an_application_without_a_batch() -> None:
    found = samples(exposition(alive()))
    assert "penstock_last_batch_records" not in found
    assert dict(found["penstock_batches_total"]) == {'status="completed"': 0, 'status="failed"': 0}


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("7", 7),
        ('"7"', "7"),
        ('["a",[1,null]]', ("a", (1, None))),
        ("true", True),
        ("1.5", 1.5),
        ("null", None),
    ],
)
def test_keys_are_json(text: str, key: Any) -> None:
    assert key_of(text) == key
    assert type(key_of(text)) is type(key)


@pytest.mark.parametrize("text", ["AAPL", "", "{", '{"a":1}', "[" * 100_000, "'a'"])
def test_what_is_no_json_key_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ArgumentError, match=r"Hint: key=7"):
        key_of(text)


def test_json_that_is_no_key_is_not_said_to_be_no_json() -> None:
    with pytest.raises(ArgumentError, match=r"^a dict is no key\. Hint: key=7"):
        key_of('["a",{"b":1}]')


def test_states_are_shown_as_json() -> None:
    from collections import namedtuple
    from dataclasses import dataclass

    @dataclass
    class Order:
        amount: int
        parts: tuple[int, ...]

    class Odd:
        def __repr__(self) -> str:
            raise ValueError("no")

    Point = namedtuple("Point", "x y")
    found = as_json({1: Order(5, (1, 2)), "p": Point(1, {2}), "o": Odd(), "deep": [[[[[[[[[[1]]]]]]]]]]})
    assert found["1"] == {"amount": 5, "parts": [1, 2]}
    assert found["p"] == {"x": 1, "y": [2]}
    assert "Odd" in found["o"]
    json.dumps(found)
    assert len(as_json(list(range(5000)))) == 1000


def test_the_progress_line() -> None:
    given = [{"id": 0, "name": "n", "records": 1000, "units": 2, "left": 30}]
    application = alive(
        *(over(time * 1000, records=1000, inputs=given) for time in (1, 2)),
        over(3000, "failed", inputs=given), batch(4000, "waiting", submitted=4000),
        now=6_500, availableNow=True,
    )  # fmt: skip
    assert (
        progress_of(application) == "3 batches, 2,001 records, 6,737/s, lag 2.5 s, 1 failed, about 1 s left"
    )
    assert progress_of(alive()) == "0 batches, 0 records, lag 0.0 s"
    assert progress_of(alive(over(1000), now=1100)) == "1 batch, 1 record, 1/s, lag 0.0 s"
