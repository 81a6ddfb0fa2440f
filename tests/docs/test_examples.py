"""The examples run, and say what they promise."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

from penstock import StreamingContext
from penstock.testing import run_batches
from tests.docs.pages import ROOT

EXAMPLES = ROOT / "examples"


def records(printed: str) -> list[list[str]]:
    """What ``pprint`` has shown, batch by batch, without the headings."""
    shown = re.split(r"-{43}\nTime: [^\n]*\n-{43}\n", printed)[1:]
    return [batch.split("\n\n")[0].strip().splitlines() for batch in shown]


def test_every_example_is_tested() -> None:
    here = Path(__file__).read_text()
    assert all(f'"{path.name}"' in here for path in EXAMPLES.glob("*.py"))


def test_wordcount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one.txt").write_text("To be, or not to be.\n")
    (tmp_path / "two.txt").write_text("Let it be!\n")
    monkeypatch.setattr(sys, "argv", ["wordcount.py", str(tmp_path), "--once"])
    runpy.run_path(str(EXAMPLES / "wordcount.py"), run_name="__main__")
    distinct, most_frequent = records(capsys.readouterr().out)
    assert distinct == ["6"]
    assert most_frequent[:2] == ["('be', 3)", "('to', 2)"]


def test_wordcount_over_several_batches() -> None:
    word_counts = runpy.run_path(str(EXAMPLES / "wordcount.py"))["word_counts"]
    now, total = run_batches([["a b a"], [], ["b"]], word_counts)
    assert [dict(batch) for batch in now] == [{"a": 2, "b": 1}, {}, {"b": 1}]
    assert [dict(batch) for batch in total] == [{"a": 2, "b": 1}, {"a": 2, "b": 1}, {"a": 2, "b": 2}]


def test_sliding_top(capsys: pytest.CaptureFixture[str]) -> None:
    names = runpy.run_path(str(EXAMPLES / "sliding_top.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"after {m} min" for m in range(10, 61, 10)]

    last_minute: dict[str, int] = {}
    for batch in list(names["orders_by_batch"](1.0))[-6:]:
        for line in batch:
            _, _, _, symbol, amount, _, _ = line.split(",")
            last_minute[symbol] = last_minute.get(symbol, 0) + int(amount)
    ranking = sorted(last_minute.items(), key=lambda pair: (-pair[1], pair[0]))[:3]
    assert lines[-1].endswith(", ".join(f"{symbol} {volume:,}" for symbol, volume in ranking))


def test_from_pyspark(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    start = StreamingContext.start
    monkeypatch.setattr(StreamingContext, "start", lambda self: start(self, availableNow=True))  # no waiting
    runpy.run_path(str(EXAMPLES / "from_pyspark.py"), run_name="__main__")
    shown = [sorted(batch) for batch in records(capsys.readouterr().out)]
    web1, web2, both = "('web1', 1)", "('web2', 1)", "('web1', 2)"
    assert shown == [
        *([web1], [web1], [web1]),
        *([web1, web2], [both, web2], [both, web2]),
        *([], [both, web2], [both, web2]),
        *([], [web1, web2], [both, web2]),
    ]
