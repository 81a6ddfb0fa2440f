"""Lines to records, whatever the lines come from, and what becomes of lines that are none."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import Context, Reject, SourceLine
from penstock.chunk import Columns, Optional, Rows, Scalar
from penstock.errors import ArgumentError, CallSite, DataError, SignatureError, StateError, failure_of
from penstock.formats import CsvFormat
from penstock.plan import Metrics, Task
from penstock.rdd import Parse


class Pair(NamedTuple):
    a: int
    b: str


LINES = [f"{n},x{n}" if n % 50 else f"bad{n}" for n in range(2000)]
GOOD = [Pair(n, f"x{n}") for n in range(2000) if n % 50]
BAD = [n for n in range(2000) if n % 50 == 0]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.csv"
    path.write_text("\ufeff" + "\r\n".join(LINES), newline="")
    return path


@pytest.mark.parametrize("parts", [1, 2, 7])
def test_a_file_in_parts(sc: Context, file: Path, parts: int) -> None:
    pairs = sc.textFile(str(file), parts).parseCsv(Pair)
    assert pairs.getNumPartitions() == parts
    assert pairs.collect() == GOOD
    reason = "1 field instead of 2: 'bad{}'"
    assert pairs.rejects.collect() == [Reject(str(file), n + 1, f"bad{n}", reason.format(n)) for n in BAD]


def test_compressed_and_with_their_source(sc: Context, file: Path, tmp_path: Path) -> None:
    packed = tmp_path / "pairs.csv.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    for path, numbered in ((packed, False), (packed, True), (file, True)):
        pairs = sc.textFile(str(path), withSource=numbered).parseCsv(Pair)
        assert pairs.collect() == GOOD
        assert [(each.source, each.number) for each in pairs.rejects.collect()] == [
            (str(path), n + 1) for n in BAD
        ]


@pytest.mark.parametrize("make", [str, str.encode], ids=["str", "bytes"])
@pytest.mark.parametrize("count", [10, 2000])
def test_records_from_elsewhere_count_in_their_partition(sc: Context, make: Any, count: int) -> None:
    pairs = sc.parallelize([make(each) for each in LINES[:count]], 2).parseCsv(Pair)
    assert pairs.collect() == [each for each in GOOD if each.a < count]
    half = count // 2
    assert [(each.source, each.number) for each in pairs.rejects.collect()] == [
        ("", n % half + 1) for n in BAD if n < count
    ]


def test_mixed_records_and_lines_that_hold_line_ends(sc: Context) -> None:
    mixed = ["1,a", b"2,b", SourceLine("s", 9, "3,c"), "4,d\n", "5,\ud800", SourceLine("s", 10, "x"), b"\xff"]
    pairs = sc.parallelize(mixed, 1).parseCsv(Pair)
    assert pairs.collect() == [(1, "a"), (2, "b"), (3, "c")]
    assert [(each.source, each.number, each.text) for each in pairs.rejects.collect()] == [
        ("", 4, "4,d\n"), ("", 5, "5,\ud800"), ("s", 10, "x"), ("", 7, "\ufffd"),
    ]  # fmt: skip


def test_what_is_no_line_is_said(sc: Context) -> None:
    with pytest.raises(SignatureError, match=r"needs lines of text .* not int: 5") as caught:
        sc.parallelize(["1,a", 5], 1).parseCsv(Pair).collect()
    failure = failure_of(caught.value)
    assert failure is not None
    assert failure.record == "5"
    assert sc.parallelize(["1,a", 5], 1).parseCsv(Pair).take(1) == [(1, "a")]


def test_columns_stay_columns(sc: Context, file: Path) -> None:
    file.write_text("\n".join([*LINES, ""]))
    pairs = sc.textFile(str(file)).parseCsv(Pair, onError="drop")
    [kinds] = pairs._run(lambda task, chunks: {type(chunk) for chunk in chunks})
    assert kinds == {Columns}
    assert pairs.collect() == GOOD


def test_fail_names_the_line_and_gives_what_is_before_it(sc: Context, file: Path) -> None:
    lines = sc.textFile(str(file)).zipWithIndex().filter(lambda pair: pair[1] > 0).map(lambda pair: pair[0])
    pairs = lines.parseCsv(Pair, onError="fail")
    with pytest.raises(DataError, match=r"line 50 is no Pair for parseCsv .*test_parsing.py.*'bad50'"):
        pairs.count()
    assert pairs.take(3) == GOOD[:3]
    with pytest.raises(DataError, match=r"line 1 of .*pairs.csv is no Pair"):
        sc.textFile(str(file)).parseCsv(Pair, onError="fail").count()


def small(pair: Pair) -> bool:
    return pair.a < 100


@pytest.mark.parametrize("count", [10, 2000])
def test_a_rule_refuses_and_is_named(sc: Context, count: int) -> None:
    pairs = sc.parallelize([*LINES[:count], "500,x", "7,y"], 1).parseCsv(Pair, check=small)
    assert pairs.collect() == [*(each for each in GOOD if each.a < min(100, count)), (7, "y")]
    rejects = pairs.rejects.collect()
    assert [each.number for each in rejects] == sorted(each.number for each in rejects)
    assert rejects[-1] == Reject("", count + 1, "500,x", "the rule small does not hold")
    [named] = sc.parallelize(["5,x"]).parseCsv(Pair, check=lambda pair: False).rejects.collect()
    assert named.reason.startswith("the rule test_parsing.py:")
    failing = sc.parallelize([*LINES[:count], "500,x", "bad"], 1).parseCsv(Pair, check=small, onError="fail")
    with pytest.raises(DataError, match="line 1 "):
        failing.count()


@pytest.mark.parametrize("count", [10, 2000])
def test_a_rule_that_raises_raises_after_what_is_before(sc: Context, count: int) -> None:
    pairs = sc.parallelize(LINES[1:count], 1).parseCsv(Pair, check=lambda pair: 1 / (pair.a - 7))
    with pytest.raises(ZeroDivisionError) as caught:
        pairs.collect()
    failure = failure_of(caught.value)
    assert failure is not None
    assert failure.record == "Pair(a=7, b='x7')"
    assert pairs.take(6) == GOOD[:6]


def test_rejects_are_only_where_there_are_any(sc: Context) -> None:
    lines = sc.parallelize(["1,a"])
    for rdd in (lines, lines.parseCsv(Pair, onError="drop"), lines.parseCsv(Pair).map(len)):
        with pytest.raises(StateError, match="right behind parseCsv"):
            rdd.rejects.count()
    with pytest.raises(ArgumentError, match=r"onError of parseCsv .* should be one of"):
        lines.parseCsv(Pair, onError="ignore")
    with pytest.raises(SignatureError, match="needs a function"):
        lines.parseCsv(Pair, check=3)  # type: ignore[arg-type]


def test_json(sc: Context) -> None:
    pairs = sc.parallelize(['{"b": "x", "a": 1}', "{}"], 1).parseJson(Pair)
    assert pairs.collect() == [(1, "x")]
    assert pairs.rejects.collect() == [("", 2, "{}", "the field a is missing")]


@given(texts=st.lists(st.text(alphabet='1,x\n\r"é', max_size=6), max_size=12), optional=st.booleans())
def test_texts_in_a_column_are_parsed_as_texts(texts: list[str], optional: bool) -> None:
    format, kind = CsvFormat(Pair), Optional(Scalar(str)) if optional else Scalar(str)
    step = Parse(format, "quarantine", None, CallSite("parseCsv"))
    task = Task(0, 1, Metrics())
    array = pa.array(["before", *texts, "behind"], pa.string()).slice(1, len(texts))
    results = [
        [row for part in step.run(task, iter([chunk])) for row in part.rows()]
        for chunk in (Columns(kind, [array], len(texts)), Rows(list(texts)))
    ]
    assert results[0] == results[1]


def test_a_missing_text_is_no_line(sc: Context) -> None:
    table = pa.table({"text": ["1,a", None]})
    with pytest.raises(SignatureError, match=r"needs lines of text .*, not NoneType"):
        sc.fromArrow(table, 1).map(lambda row: row.text).parseCsv(Pair).collect()
