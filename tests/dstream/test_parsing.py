"""Typed input of streams: batches of lines in, batches of records and rejects out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from penstock import Context, StreamingContext
from penstock.errors import StateError
from penstock.formats import CsvFormat
from penstock.testing import run_batches

pytestmark = pytest.mark.usefixtures("sc")


class Pair(NamedTuple):
    a: int
    b: str


BATCHES = [["1,x", "bad", "2,y"], [], ["3,z"]]


def test_records_and_rejects() -> None:
    assert run_batches(BATCHES, lambda s: s.parseCsv(Pair)) == [[(1, "x"), (2, "y")], [], [(3, "z")]]
    rejected = run_batches(BATCHES, lambda s: s.parseCsv(Pair).rejects.map(lambda each: each.text))
    assert rejected == [["bad"], [], []]
    assert run_batches([['{"a": 1, "b": "x"}', ""]], lambda s: s.parseJson(Pair)) == [[(1, "x")]]


def test_one_parse_for_all_that_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []
    parse = CsvFormat.parse_block
    monkeypatch.setattr(
        CsvFormat, "parse_block", lambda self, data, count: parsed.append(data) or parse(self, data, count)
    )

    def build(lines: Any) -> Any:
        pairs = lines.parseCsv(Pair)
        return pairs.count().union(pairs.map(lambda pair: pair.a)).union(pairs.rejects.count())

    assert run_batches(BATCHES, build, numPartitions=1) == [[2, 1, 2, 1], [0, 0], [1, 3, 0]]
    assert len(parsed) == 2  # an empty batch has no lines


def test_rejects_are_only_where_there_are_any() -> None:
    for build in (lambda s: s.rejects, lambda s: s.parseCsv(Pair, onError="drop").rejects):
        with pytest.raises(StateError, match="right behind parseCsv"):
            run_batches(BATCHES, build)


def test_a_parse_may_run_ahead_unless_its_rule_could_have_an_effect(sc: Context) -> None:
    lines = StreamingContext(sc, 1).queueStream([])
    assert lines.parseCsv(Pair)._node.dependencies[0].eager is True
    assert lines.parseCsv(Pair, onError="drop")._node.eager is True
    assert lines.parseCsv(Pair, check=lambda pair: pair[0] > 0)._node.dependencies[0].eager is True
    assert lines.parseCsv(Pair, check=lambda pair: print(pair))._node.dependencies[0].eager is False


def test_rejects_of_files_know_where_they_are_from(sc: Context, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text(f"1,{name}\n{name}\n")
    ssc = StreamingContext(sc, 1)
    pairs = ssc.textFileStream(str(tmp_path), newFilesOnly=False).parseCsv(Pair)
    seen: list[Any] = []
    pairs.rejects.foreachRDD(lambda rdd: seen.extend(rdd.collect()))
    ssc.start(availableNow=True)
    ssc.awaitTermination()
    assert [(Path(each.source).name, each.number, each.text) for each in seen] == [
        ("a.csv", 2, "a"),
        ("b.csv", 2, "b"),
    ]
