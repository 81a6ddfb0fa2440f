"""The batch log: what is in it can be read again, it stays small, and it never fails anything."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from penstock.clock import ManualClock
from penstock.errors import StateError
from penstock.monitor.ended import LogPage, ended_in, summary
from penstock.monitor.history import History
from penstock.monitor.log import BatchLog, LogReader, read_log
from tests.monitor.conftest import until
from tests.monitor.test_history import batch

APPLICATION = {
    "kind": "application",
    "run": "1",
    "name": "it",
    "interval": 1000,
    "started": 0,
    "stalledAfter": 10,
}


def written(directory: Path, records: list[dict[str, Any]], limit_bytes: int = 1 << 20) -> History:
    history = History(1000)
    log = BatchLog(str(directory), history, limit_bytes)
    for record in [APPLICATION, *records]:
        history.apply(record)
        log.put(record)
    log.close()
    return history


def test_what_was_written_is_what_is_read(tmp_path: Path) -> None:
    records = [
        batch(1),
        batch(2, "failed", error="ValueError: ü", story="a\nb"),
        {"kind": "end", "time": 3, "error": None},
    ]
    history = written(tmp_path, records)
    again = ended_in(str(tmp_path), ManualClock()).history
    assert [each["time"] for each in again.over()] == [1, 2]
    assert again.batch(2) == {**again.batch(2), **records[1]}  # type: ignore[dict-item]
    assert again.totals() == history.totals()
    assert again.end == records[2]


def test_batches_that_are_not_over_are_not_written(tmp_path: Path) -> None:
    written(tmp_path, [batch(1, "waiting"), batch(1, "running"), batch(1)])
    assert [r["status"] for r in read_log(str(tmp_path)) if r["kind"] == "batch"] == ["completed"]


def test_a_run_without_a_batch_leaves_no_file(tmp_path: Path) -> None:
    written(tmp_path, [])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StateError, match="there is no batch log in"):
        list(read_log(str(tmp_path)))


def test_the_log_stays_small_and_its_totals_go_on(tmp_path: Path) -> None:
    records = [batch(time, story="x" * 500) for time in range(2000)]
    history = written(tmp_path, records, limit_bytes=128 * 1024)
    size = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert size <= 160 * 1024
    assert len(list(tmp_path.iterdir())) <= 17
    again = ended_in(str(tmp_path), ManualClock()).history
    assert again.totals() == history.totals()
    assert again.totals()["batches"] == 2000
    assert again.over()[-1]["time"] == 1999
    assert again.over()[0]["time"] > 1000


def test_a_second_run_goes_on_in_the_next_file(tmp_path: Path) -> None:
    written(tmp_path, [batch(1)])
    history = History(1000)
    log = BatchLog(str(tmp_path), history, 1 << 20)
    for record in [{**APPLICATION, "run": "2"}, batch(2), batch(3)]:
        history.apply(record)
        log.put(record)
    log.close()
    again = ended_in(str(tmp_path), ManualClock()).history
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "batches.0000000001.jsonl", "batches.0000000002.jsonl",
    ]  # fmt: skip
    assert [each["time"] for each in again.over()] == [1, 2, 3]
    assert again.totals()["batches"] == 2  # of the last run


@pytest.mark.parametrize(
    "damage",
    [b"", b"\x00\xff\xfe", b"{", b"[]\n{}\n", b'{"kind":"batch","time":"x"}\n', b'{"kind":"application"'],
)
def test_a_damaged_log_is_read_as_far_as_it_goes(tmp_path: Path, damage: bytes) -> None:
    written(tmp_path, [batch(1), batch(2)])
    [file] = tmp_path.iterdir()
    file.write_bytes(file.read_bytes() + damage)
    (tmp_path / "batches.0000000009.jsonl").write_bytes(damage)
    assert [each["time"] for each in ended_in(str(tmp_path), ManualClock()).history.over()] == [1, 2]


def test_each_line_is_json_and_the_first_says_what_the_application_is(tmp_path: Path) -> None:
    written(tmp_path, [batch(time, story="x" * 900) for time in range(50)], limit_bytes=64 * 1024)
    files = sorted(tmp_path.iterdir())
    assert len(files) > 1
    for file in files:
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        assert [line["kind"] for line in lines[:2]] == ["application", "totals"]


def test_a_store_that_fails_is_said_once_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History(10)
    log = BatchLog(str(tmp_path), history, 1 << 20)
    written_down = threading.Event()

    def fails(*arguments: Any, **more: Any) -> None:
        written_down.set()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(log._storage), "write_atomic", fails)
    with caplog.at_level(logging.WARNING):
        for record in [APPLICATION, batch(1)]:
            history.apply(record)
            log.put(record)
        assert written_down.wait(10)
        log.put(batch(2))
        log.close()
    assert caplog.text.count("the batch log in") == 1
    assert "No space left" in caplog.text


def test_the_summary_says_how_it_went(tmp_path: Path) -> None:
    cause = {"what": "ValueError: 13", "where": "in map (app.py:7)"}
    state = {"operator": "sums", "keys": 12_345, "touched": 1, "expired": 0, "bytes": 9_999}
    records = [batch(time, records=1000, processingTime=20.0, state=[state]) for time in (1000, 2000)]
    records += [batch(3000, "failed", cause=cause), {"kind": "end", "time": 4000, "error": "ValueError: 13"}]
    written(tmp_path, records)
    text = "\n".join(summary(ended_in(str(tmp_path), ManualClock())))
    assert "it, every 1 s" in text or "it, every 1000 ms" in text
    assert "3, 1 of them failed" in text
    assert "2,001" in text
    assert "median 20 ms" in text
    assert "sums: 12,345 keys, 9,999 bytes" in text
    assert "1 x ValueError: 13, in map (app.py:7)" in text
    assert ": ValueError: 13" in text


def test_an_application_that_has_not_said_that_it_has_ended(tmp_path: Path) -> None:
    written(tmp_path, [batch(1000, ended=1500)])
    text = "\n".join(summary(ended_in(str(tmp_path), ManualClock(11_500))))
    assert "as far as its log tells it still runs; the last news is 10 s old" in text
    text = "\n".join(summary(ended_in(str(tmp_path), ManualClock(11_501))))
    assert "has not grown for 10 s: it is dead, or hangs" in text


class Writer:
    """A run that writes its log, as far as it is told to."""

    def __init__(self, directory: Path, run: str = "1", limit_bytes: int = 1 << 20) -> None:
        self.history = History(1000)
        self._log = BatchLog(str(directory), self.history, limit_bytes)
        self.application = {**APPLICATION, "run": run}
        self.write(self.application)

    def write(self, *records: dict[str, Any]) -> None:
        for record in records:
            self.history.apply(record)
        self._log._append(list(records))


def test_what_is_written_later_is_read_once(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    log = LogReader(str(tmp_path))
    assert [each["kind"] for each in log.news()] == ["application", "totals", "application"]
    assert list(log.news()) == []
    writer.write(batch(1), batch(2, error="ü"))
    assert [each["time"] for each in log.news()] == [1, 2]
    writer.write(batch(3))
    again = Writer(tmp_path, run="2")
    again.write(batch(4))
    news = list(log.news())
    assert [each["time"] for each in news if each["kind"] == "batch"] == [3, 4]
    assert list(log.news()) == []


def test_a_log_that_is_divided_is_followed_from_file_to_file(tmp_path: Path) -> None:
    writer = Writer(tmp_path, limit_bytes=64 * 1024)
    log, history = LogReader(str(tmp_path)), History(10_000)
    for time in range(1, 600):
        writer.write(batch(time, story="x" * 300))
        if time % 7 == 0:
            for record in log.news():
                history.apply_from_log(record)
    for record in log.news():
        history.apply_from_log(record)
    assert [each["time"] for each in history.over()] == list(range(1, 600))
    assert history.totals() == writer.history.totals()
    assert (tmp_path / "batches.0000000001.jsonl").exists() is False


def test_a_log_that_was_taken_away_is_waited_for(tmp_path: Path) -> None:
    Writer(tmp_path).write(batch(1), batch(2))
    log = LogReader(str(tmp_path))
    assert sum(each["kind"] == "batch" for each in log.news()) == 2
    for file in tmp_path.iterdir():
        file.unlink()
    assert list(log.news()) == []
    Writer(tmp_path).write(batch(9))  # a shorter file of the same name
    assert [each["time"] for each in log.news() if each["kind"] == "batch"] == [9]


def test_the_page_of_a_log_follows_it(tmp_path: Path) -> None:
    writer, clock = Writer(tmp_path), ManualClock(5_000)
    writer.write(batch(1000, ended=1100))
    page = LogPage(str(tmp_path), clock, 0, every_s=0.02)
    url = page.start()

    def told(path: str = "application") -> Any:
        with urllib.request.urlopen(f"{url}api/v1/{path}", timeout=10) as answer:
            return json.load(answer)

    try:
        with urllib.request.urlopen(f"{url}api/v1/events", timeout=10) as feed:
            begun = told()
            assert (begun["status"], begun["fromLog"], begun["totals"]["batches"]) == ("running", True, 1)
            until(lambda: page._pusher._feed.readers == 1)
            writer.write(batch(2000, ended=2100))
            while b'"time":2000' not in (line := feed.readline()):
                assert line, "the feed has ended"
        assert told()["totals"]["batches"] == 2
        clock.set(15_001)  # ten seconds after the log has become longer
        assert told()["status"] == "dead"
        assert "has not grown for 10.0 s" in told()["words"]
        writer.write(batch(3000, ended=3100))
        until(lambda: told()["status"] == "running")
        writer.write({"kind": "end", "time": 15_100, "error": None})
        until(lambda: told()["status"] == "ended")
        Writer(tmp_path, run="2").write(batch(16_000, ended=16_100))
        until(lambda: told()["run"] == "2")
        assert told()["status"] == "running"
        assert [each["time"] for each in told("batches")["batches"]] == [16_000, 3000, 2000, 1000]
    finally:
        page.stop()


def test_a_store_that_does_not_answer_for_a_while_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(tmp_path)
    page = LogPage(str(tmp_path), ManualClock(), 0, every_s=0.01)
    tried = threading.Event()

    def fails(self: LogReader) -> Any:
        tried.set()
        raise OSError(5, "Input/output error")

    with caplog.at_level(logging.WARNING), monkeypatch.context() as patched:
        patched.setattr(LogReader, "news", fails)
        page.start()
        assert tried.wait(10)
        tried.clear()
        assert tried.wait(10)
    writer.write(batch(1))
    until(lambda: page.application.history.totals()["batches"] == 1)
    page.stop()
    assert caplog.text.count("the batch log cannot be read") == 1


def test_the_command_serves_the_page_until_it_is_told_to_end(tmp_path: Path) -> None:
    written(tmp_path, [batch(1000), batch(2000), {"kind": "end", "time": 3000, "error": None}])
    command = [sys.executable, "-m", "penstock.cli", "monitor", str(tmp_path), "--port", "0", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            url = line.split(" are at ")[1].split()[0]
            with urllib.request.urlopen(f"{url}api/v1/application", timeout=10) as answer:
                told = json.load(answer)
            assert (told["status"], told["totals"]["batches"]) == ("ended", 2)
            with urllib.request.urlopen(f"{url}api/v1/batches/2000", timeout=10) as answer:
                assert json.load(answer)["status"] == "completed"
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
