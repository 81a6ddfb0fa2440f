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
from penstock.monitor.ended import ended_in, summary
from penstock.monitor.history import History
from penstock.monitor.log import BatchLog, read_log
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
    written(tmp_path, [batch(1)])
    text = "\n".join(summary(ended_in(str(tmp_path), ManualClock())))
    assert "it is dead, or still runs" in text


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
