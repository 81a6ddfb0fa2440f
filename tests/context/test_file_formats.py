"""``fileStream``, and binary records: what is in files of every format, as records."""

from __future__ import annotations

import gzip
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from penstock import Conf, Context, FilePath, InputFormat, Reject, Split, StreamingContext, StreamingListener
from penstock.cli.explained import Question, explained
from penstock.clock import ManualClock
from penstock.errors import (
    ArgumentError,
    CorruptInput,
    DataError,
    InputChanged,
    RowTypeError,
    SignatureError,
    StateError,
)
from penstock.plan import Metrics, Task
from penstock.sources.files.numbered import NumberedTables, row_options
from penstock.storage import FileInfo, LocalStorage
from penstock.testing import CollectingSink, Stepper

Read = Callable[..., list[Any]]


class Order(NamedTuple):
    id: int
    price: float


@dataclass
class Trade:
    id: int
    name: str | None


@pytest.fixture
def ssc(sc: Context) -> Iterator[StreamingContext]:
    made = StreamingContext(sc, 1, clock=ManualClock())
    yield made
    made.stop(stopSparkContext=False)


class Program:
    """One batch of all that is in a folder: its records, rejects, and what listeners are told."""

    def __init__(
        self, sc: Context, folder: Path, method: str = "fileStream", *args: Any, **options: Any
    ) -> None:
        clock = ManualClock()
        ssc = StreamingContext(sc, 1, clock=clock)
        self.sink, self.rejected, self.metadata = CollectingSink(), CollectingSink(), {}
        program = self

        class Notes(StreamingListener):
            def onBatchCompleted(self, batchCompleted: Any) -> None:
                [info] = batchCompleted.batchInfo.streamIdToInputInfo.values()
                program.metadata = {**info.metadata, "records": info.numRecords}

        ssc.addStreamingListener(Notes())
        self.stream = getattr(ssc, method)(folder, *args, newFilesOnly=False, **options)
        self.stream.foreachRDD(self.sink)
        try:
            self.stream.rejects.foreachRDD(self.rejected)
        except StateError:
            self.rejected = None  # type: ignore[assignment]
        try:
            with Stepper(ssc, clock) as stepper:
                stepper.step()
        finally:
            ssc.stop(stopSparkContext=False)

    @property
    def records(self) -> list[Any]:
        return self.sink.batches[0]

    @property
    def rejects(self) -> list[Reject]:
        return self.rejected.batches[0]


# ------------------------------------------------------------------------------------------- text


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"a\nbb\n\nc", [(0, "a"), (2, "bb"), (5, ""), (6, "c")]),
        (b"a\r\nb\rc\n\r\nd\r", [(0, "a"), (3, "b"), (5, "c"), (7, ""), (9, "d")]),
        ("ä\né\n".encode(), [(0, "ä"), (3, "é")]),
        (b"\xef\xbb\xbfa\nb\n", [(0, "a"), (5, "b")]),
        (b"\xff\xfe\nb\n", [(0, "\ufffd\ufffd"), (3, "b")]),
    ],
)
def test_lines_with_their_offsets(
    sc: Context, tmp_path: Path, content: bytes, expected: list[tuple[int, str]]
) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    found = Program(sc, tmp_path)
    assert found.records == expected
    assert found.metadata["records"] == len(expected)
    (tmp_path / "a.txt").unlink()
    (tmp_path / "a.gz").write_bytes(gzip.compress(content))
    assert Program(sc, tmp_path).records == expected


@given(
    content=st.lists(
        st.sampled_from([b"x", b"yy", "ä".encode(), b"\n", b"\r", b"\r\n", b"\xff"]), max_size=40
    ),
    split=st.integers(1, 9),
)
def test_offsets_of_a_file_that_is_split_are_those_of_the_whole(
    content: list[bytes], split: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from penstock.plan import Task
    from penstock.plan.metrics import Metrics
    from penstock.sources import text_readers

    path = tmp_path_factory.mktemp("split") / "a"
    data = b"".join(content)
    path.write_bytes(data)
    storage, info = LocalStorage(), LocalStorage().stat(str(path))
    found = [
        pair
        for reader in text_readers(storage, info, split_bytes=split, offsets=True)
        for chunk in reader.read(Task(0, 1, Metrics()))
        for pair in chunk.rows()
    ]
    expected, at = [], 0
    for line in data.replace(b"\r\n", b"\0\n").splitlines(keepends=True):
        text = line.rstrip(b"\r\n\0") if line[-2:] == b"\0\n" else line.rstrip(b"\r\n")
        expected.append((at, text.decode("utf-8", "replace")))
        at += len(line)
    assert found == expected


@pytest.mark.parametrize(("format", "content"), [("wholetext", "Ä\r\n"), ("wholebytes", "Ä\r\n".encode())])
def test_whole_files(sc: Context, tmp_path: Path, format: str, content: str | bytes) -> None:
    (tmp_path / "a").write_bytes("Ä\r\n".encode())
    (tmp_path / "b").write_bytes(b"")
    found = Program(sc, tmp_path, "fileStream", format)
    assert found.records == [(str(tmp_path / "a"), content), (str(tmp_path / "b"), type(content)())]
    assert found.metadata["records"] == 2


# ------------------------------------------------------------------------------------------- csv, json


def test_csv_as_dicts_of_texts(sc: Context, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('id,a price\n1,51.0\n"2","x,y"\n3\n\n4,\n')
    (tmp_path / "b.csv").write_text("id,a price\n")
    found = Program(sc, tmp_path, "fileStream", "csv")
    assert found.records == [
        (0, {"id": "1", "a price": "51.0"}),
        (1, {"id": "2", "a price": "x,y"}),
        (4, {"id": "4", "a price": ""}),
    ]
    assert [(each.number, each.text) for each in found.rejects] == [(4, "3"), (5, "")]
    assert found.metadata["records"] == 3
    assert all(each.source == str(tmp_path / "a.csv") for each in found.rejects)


@pytest.mark.parametrize(
    ("conf", "content", "expected"),
    [
        ({"names": ["a", "b"]}, "1,2\n", [(0, {"a": "1", "b": "2"})]),
        ({"names": ["a", "b"], "header": True}, "x,y\n1,2\n", [(0, {"a": "1", "b": "2"})]),
        ({"sep": ";"}, "a;b\n1;2\n", [(0, {"a": "1", "b": "2"})]),
        ({"class": Order}, "1,51\n2,x\n3,1.5\n", [(0, Order(1, 51.0)), (2, Order(3, 1.5))]),
        ({"class": Order, "header": True}, "id,price\n1,51\n", [(0, Order(1, 51.0))]),
        ({"class": Order, "onError": "drop"}, "x\n1,51\n", [(1, Order(1, 51.0))]),
    ],
)
def test_csv_by_its_options(
    sc: Context, tmp_path: Path, conf: dict[str, Any], content: str, expected: list[Any]
) -> None:
    (tmp_path / "a.csv").write_text(content)
    assert Program(sc, tmp_path, "fileStream", "csv", conf=conf).records == expected


@pytest.mark.parametrize("with_class", [False, True])
def test_row_numbers_of_a_long_file(sc: Context, tmp_path: Path, with_class: bool) -> None:
    lines = [f"{number},{number}.5" if number % 1000 else "x" for number in range(150_000)]
    (tmp_path / "a.csv").write_text("id,price\n" + "".join(f"{line}\n" for line in lines))
    conf = {"class": Order, "header": True} if with_class else {}
    found = Program(sc, tmp_path, "fileStream", "csv", conf=conf)
    assert len(found.rejects) == 150
    assert [each.number for each in found.rejects[:3]] == [2, 1002, 2002]
    for at, record in found.records[::997]:
        expected: Any = {"id": f"{at}", "price": f"{at}.5"}
        assert record == (Order(at, at + 0.5) if with_class else expected)
    assert len(found.records) == 149_850


def test_json_lines(sc: Context, tmp_path: Path) -> None:
    lines = ['{"id": 1, "price": 51}', "[1, 1.0]", "oops", "", "NaN", '"x"']
    (tmp_path / "a").write_text("\n".join(lines) + "\n")
    found = Program(sc, tmp_path, "fileStream", "jsonl")
    assert json.dumps(found.records) == '[[0, {"id": 1, "price": 51}], [1, [1, 1.0]], [5, "x"]]'
    assert [(each.number, each.text) for each in found.rejects] == [(3, "oops"), (4, ""), (5, "NaN")]
    found = Program(sc, tmp_path, "fileStream", "jsonl", conf={"class": Order})
    assert found.records == [(0, Order(1, 51.0))]
    assert type(found.records[0][1].price) is float
    assert len(found.rejects) == 5


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_a_line_may_fail_its_batch(sc: Context, tmp_path: Path, format: str) -> None:
    (tmp_path / "a").write_text("1,51\nx\n" if format == "csv" else '{"id":1,"price":1}\nx\n')
    with pytest.raises(DataError, match=r"line 2 of .*/a is no record"):
        Program(sc, tmp_path, "fileStream", format, conf={"class": Order, "onError": "fail"})


# ------------------------------------------------------------------------------------------- tables

TABLE = pa.table(
    {
        "id": pa.array([1, None, 3], pa.int32()),
        "name": ["a", "ä", None],
        "price": [1.0, float("nan"), 3.0],
        "at": pa.array([datetime(2016, 3, 22), None, None], pa.timestamp("us")),
    }
)


def written(path: Path, table: pa.Table, format: str) -> None:
    if format == "parquet":
        parquet.write_table(table, path, row_group_size=2)
    else:
        new = pa.ipc.new_file if format == "file" else pa.ipc.new_stream
        with new(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=2)


FORMATS = [("parquet", "parquet"), ("arrow", "file"), ("arrow", "stream")]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a system that has named pipes")
def test_nobody_waits_for_a_pipe(sc: Context, tmp_path: Path) -> None:
    """A test that does hangs, and the time limit of the suite shows where."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "rest").write_bytes(b"abc")
    assert Program(sc, tmp_path, "binaryRecordsStream", 3).records == [b"abc"]
    assert explained(Question(str(tmp_path), all_files=True)).counts == {"next": 2}
    found = Program(sc, tmp_path, "fileStream", "wholebytes").records
    assert found == [(f"{tmp_path}/pipe", b""), (f"{tmp_path}/rest", b"abc")]


@pytest.mark.parametrize(("format", "kind"), FORMATS)
def test_tables(sc: Context, tmp_path: Path, format: str, kind: str) -> None:
    written(tmp_path / "a", TABLE, kind)
    written(tmp_path / "b", TABLE.slice(0, 0), kind)
    (tmp_path / "empty").write_bytes(b"")
    found = Program(sc, tmp_path, "fileStream", format)
    assert [key for key, _ in found.records] == [0, 1, 2]
    first = found.records[0][1]
    assert (first.id, first.name, first.price, first.at) == (1, "a", 1.0, datetime(2016, 3, 22))
    assert [type(each.id) for _, each in found.records] == [int, type(None), int]
    assert [type(each.price) for _, each in found.records] == [float] * 3
    some = Program(sc, tmp_path, "fileStream", format, conf={"columns": ["name"]})
    assert [tuple(record) for _, record in some.records] == [("a",), ("ä",), (None,)]


@pytest.mark.parametrize(("format", "kind"), FORMATS)
def test_tables_as_a_class(sc: Context, tmp_path: Path, format: str, kind: str) -> None:
    written(tmp_path / "a", pa.table({"name": ["a", None], "id": [1, 2], "more": [1, 2]}), kind)
    found = Program(sc, tmp_path, "fileStream", format, conf={"class": Trade})
    assert found.records == [(0, Trade(1, "a")), (1, Trade(2, None))]
    with pytest.raises(CorruptInput, match="has no column price"):
        Program(sc, tmp_path, "fileStream", format, conf={"class": Order})


def test_more_rows_than_a_chunk_has(sc: Context, tmp_path: Path) -> None:
    written(tmp_path / "a", pa.table({"n": range(150_000)}), "parquet")
    found = Program(sc, tmp_path, "fileStream", "parquet")
    assert all(key == record.n for key, record in found.records)
    assert found.metadata["records"] == 150_000


@pytest.mark.parametrize(("format", "kind"), FORMATS)
def test_damaged_tables_are_named(sc: Context, tmp_path: Path, format: str, kind: str) -> None:
    written(tmp_path / "a", TABLE, kind)
    data = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(data[: len(data) // 2])
    with pytest.raises(CorruptInput, match=rf"/a is no whole {format} file"):
        Program(sc, tmp_path, "fileStream", format)


@pytest.mark.parametrize(("format", "kind"), FORMATS)
def test_a_table_with_any_byte_wrong_is_read_or_named(tmp_path: Path, format: str, kind: str) -> None:
    """Never does it end the process: what says that values lie outside of the file is not believed."""
    table = pa.table(
        {
            "text": ["abc", "d", None] * 20,
            "number": range(60),
            "code": pa.array(["u", "v", "w"] * 20).dictionary_encode(),
            "record": [{"x": 1}] * 60,
        }
    )
    written(tmp_path / "whole", table, kind)
    data = (tmp_path / "whole").read_bytes()
    storage, path = LocalStorage(), tmp_path / "a"
    chance = np.random.default_rng(5)
    named = 0
    for _ in range(150):
        damaged = bytearray(data)
        for at in chance.integers(0, len(data), chance.integers(1, 9)):
            damaged[at] = chance.integers(0, 256)
        path.write_bytes(damaged)
        reader = NumberedTables(storage, storage.stat(str(path)), row_options(format, {}), 0)
        try:
            for chunk in reader.read(Task(0, 1, Metrics())):
                assert all(len(row) == 2 for row in chunk.rows())
        except (CorruptInput, RowTypeError):
            named += 1
    assert named > 40


def test_of_two_columns_of_one_name_none_is_meant(sc: Context, tmp_path: Path) -> None:
    table = pa.table([[1], [2], [3]], names=["a", "a", "b"])
    written(tmp_path / "a", table, "file")
    with pytest.raises(CorruptInput, match="2 columns a, and one is asked for"):
        Program(sc, tmp_path, "fileStream", "arrow", conf={"columns": ["a"]})
    found = Program(sc, tmp_path, "fileStream", "arrow", conf={"columns": ["b"]})
    assert found.records == [(0, (3,))]


def test_a_column_without_an_exact_class_is_named(sc: Context, tmp_path: Path) -> None:
    written(tmp_path / "a", pa.table({"n": [1], "d": [Decimal("1.0")]}), "parquet")
    with pytest.raises(RowTypeError, match="the column d") as caught:
        Program(sc, tmp_path, "fileStream", "parquet")
    assert any("columns" in note for note in caught.value.__notes__)
    assert Program(sc, tmp_path, "fileStream", "parquet", conf={"columns": ["n"]}).records[0][0] == 0


# ------------------------------------------------------------------------------------------- one's own


class Blocks(InputFormat):
    """Blocks of ``size`` bytes, a split each two of them."""

    def splits(self, file: FileInfo) -> list[Split]:
        return [Split(file, at, min(at + 4, file.size), extra=at) for at in range(0, file.size, 4)]

    def read(self, file: BinaryIO, split: Split, conf: Mapping[str, Any]) -> Iterable[tuple[Any, Any]]:
        file.seek(split.start)
        while file.tell() < split.stop:
            at = file.tell()
            yield (split.file.path, at, split.extra), file.read(min(conf["size"], split.stop - at))


def test_a_format_of_ones_own(sc: Context, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abcdefghi")
    (tmp_path / "empty").write_bytes(b"")
    found = Program(sc, tmp_path, "fileStream", Blocks, conf={"size": 2})
    name = str(tmp_path / "a")
    assert found.records == [
        ((name, 0, 0), b"ab"), ((name, 2, 0), b"cd"), ((name, 4, 4), b"ef"), ((name, 6, 4), b"gh"),
        ((name, 8, 8), b"i"),
    ]  # fmt: skip
    assert found.metadata["records"] == 5
    (tmp_path / "a").unlink()
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"abc"))

    class Whole(InputFormat):
        def read(self, file: BinaryIO, split: Split, conf: Mapping[str, Any]) -> Iterable[tuple[Any, Any]]:
            yield split.file.path.rpartition("/")[2], file.read()

    assert Program(sc, tmp_path, "fileStream", Whole()).records == [("b.gz", b"abc")]


def test_what_a_format_raises_names_the_file(sc: Context, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")

    class Bad(InputFormat):
        def read(self, file: BinaryIO, split: Split, conf: Mapping[str, Any]) -> Iterable[tuple[Any, Any]]:
            yield 1, 2
            if conf:
                yield "no pair"  # type: ignore[misc]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        Program(sc, tmp_path, "fileStream", Bad)
    assert any(f"while Bad read {tmp_path}/a" in note for note in caught.value.__notes__)
    with pytest.raises(SignatureError, match="must yield"):
        Program(sc, tmp_path, "fileStream", Bad, conf={"x": 1})


def test_a_file_that_shrinks_while_it_is_sought_in(tmp_path: Path) -> None:
    from penstock.sources.files.planned import open_content

    (tmp_path / "a").write_bytes(b"0123456789")
    with open_content(LocalStorage(), str(tmp_path / "a"), 8) as content:
        assert [content.seek(-2, 2), content.read(), content.read()] == [6, b"67", b""]
        assert [content.seek(3), content.read(2), content.tell()] == [3, b"34", 5]
        (tmp_path / "a").write_bytes(b"01")
        with pytest.raises(InputChanged):
            content.seek(1)
            content.read(7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "avro"}, "knows no format 'avro'"),
        ({"format": "text", "conf": {"x": 1}}, "takes nothing in conf"),
        ({"format": "csv", "conf": {"klass": Order}}, "knows no 'klass' in conf"),
        ({"format": "csv", "conf": {"class": 7}}, "should be a NamedTuple"),
        ({"format": "csv", "conf": {"header": False}}, "have no names"),
        ({"format": "csv", "conf": {"names": ["a", "a"]}}, "has 'a' twice"),
        ({"format": "csv", "conf": {"names": "ab"}}, "a list of names"),
        ({"format": "csv", "conf": {"class": Order, "names": ["a"]}}, "leave one of them out"),
        ({"format": "csv", "conf": {"words": {}}}, "with a class only"),
        ({"format": "csv", "conf": {"onError": "x"}}, "onError in conf"),
        ({"format": "csv", "conf": {"sep": ";;"}}, "separator"),
        ({"format": "parquet", "conf": {"class": dict}}, "dict"),
        ({"conf": 7}, "conf should be a dict"),
        ({"filter": "*.csv"}, "filter should be a function"),
        ({"maxBytesPerBatch": 0}, "maxBytesPerBatch must be at least 1"),
        ({"maxFilesPerBatch": "x"}, "maxFilesPerBatch must be an int"),
        ({"stableFor": -1}, "stableFor"),
        ({"afterCommit": "archive"}, "should be 'delete' or"),
        ({"afterCommit": 1}, "should be 'delete' or"),
        ({"afterCommit": "archive:memory://x"}, "in another store"),
        ({"afterCommit": "archive:in"}, "is, or holds"),
        ({"afterCommit": "archive:."}, "is, or holds"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(
    ssc: StreamingContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ArgumentError, SignatureError, RowTypeError), match=message):
        ssc.fileStream("in", **arguments)


# ------------------------------------------------------------------------------------------- binary


def test_what_is_left_of_a_file_is_a_reject(
    sc: Context, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, content in {"a": b"abcdefg", "b": b"xyz", "c": b"\x01\x02"}.items():
        (tmp_path / name).write_bytes(content)
    with caplog.at_level(logging.WARNING):
        found = Program(sc, tmp_path, "binaryRecordsStream", 3)
    assert found.records == [b"abc", b"def", b"xyz"]
    assert [(each.source, each.number, bytes.fromhex(each.text)) for each in found.rejects] == [
        (str(tmp_path / "a"), 3, b"g"),
        (str(tmp_path / "c"), 1, b"\x01\x02"),
    ]
    assert found.metadata["partial_records"] == 2
    assert found.metadata["partial_bytes"] == 3
    assert found.metadata["records"] == 3
    assert f"{tmp_path}/a ends with 1 bytes that are no record" in caplog.text
    (tmp_path / "c").unlink()
    with pytest.raises(CorruptInput, match="no whole number of records"):
        Program(sc, tmp_path, "binaryRecordsStream", 3, partial="fail")


LAYOUT = np.dtype(
    [("i", "<i4"), ("u", ">u2"), ("f", "<f4"), ("d", ">f8"), ("b", "?"), ("s", "S3"), ("v", "V2")]
)


def test_records_by_a_numpy_type(sc: Context, tmp_path: Path) -> None:
    values = np.array(
        [(-1, 65535, 1.5, -0.0, True, b"a", b"x\0"), (2, 0, float("inf"), 1e300, False, b"abc", b"\0\0")],
        LAYOUT,
    )
    (tmp_path / "a").write_bytes(values.tobytes() + b"1234567")
    found = Program(sc, tmp_path, "binaryRecordsStream", dtype=LAYOUT)
    assert [tuple(record) for record in found.records] == [
        (-1, 65535, 1.5, -0.0, True, b"a", b"x\0"),
        (2, 0, float("inf"), 1e300, False, b"abc", b"\0\0"),
    ]
    assert [type(each) for each in found.records[0]] == [int, int, float, float, bool, bytes, bytes]
    assert str(found.records[0].d) == "-0.0"
    assert len(found.rejects) == 1
    assert sc.binaryRecords(str(tmp_path), dtype=LAYOUT, partial="reject").count() == 2


def test_records_of_a_class_and_plain_values(sc: Context, tmp_path: Path) -> None:
    layout = np.dtype([("id", "<i8"), ("price", "<f8")])
    (tmp_path / "a").write_bytes(np.array([(1, 51.0), (2, 0.5)], layout).tobytes())
    found = Program(sc, tmp_path, "binaryRecordsStream", 16, dtype=layout, cls=Order)
    assert found.records == [Order(1, 51.0), Order(2, 0.5)]
    assert type(found.records[0]) is Order
    assert Program(sc, tmp_path, "binaryRecordsStream", dtype="<i8").records[::2] == [1, 2]
    assert sc.binaryRecords(str(tmp_path), dtype=layout).map(lambda row: row.id).collect() == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "need a recordLength, or a dtype"),
        ({"recordLength": 0}, "at least 1"),
        ({"recordLength": "3"}, "must be an int"),
        ({"recordLength": 3, "partial": "drop"}, "partial should be"),
        ({"recordLength": 3, "cls": Order}, "give both"),
        ({"recordLength": 3, "dtype": "<i8"}, "have 8 bytes"),
        ({"dtype": "<u8"}, "no exact Python class"),
        ({"dtype": "O"}, "no exact Python class"),
        ({"dtype": "M8[us]"}, "NaT"),
        ({"dtype": [("a", "U3")]}, "the field a"),
        ({"dtype": [("a", "<i8", (2,))]}, "the field a"),
        ({"dtype": [("a", [("b", "<i8")])]}, "the field a"),
        ({"dtype": "<c8"}, "no exact Python class"),
        ({"dtype": "nonsense"}, "NumPy record type"),
        ({"dtype": []}, "one byte or more"),
        ({"dtype": [("id", "<i8")], "cls": Order}, "not those of"),
        ({"dtype": [("id", "<i8"), ("price", "<i8")], "cls": Order}, "not those of"),
        ({"dtype": "<i8", "cls": Order}, "with fields"),
    ],
)
def test_binary_records_that_cannot_be_meant(
    ssc: StreamingContext, tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises((ArgumentError, SignatureError, RowTypeError), match=message):
        ssc.binaryRecordsStream(tmp_path, **arguments)


def test_an_input_with_rejects_has_the_name_it_is_given(ssc: StreamingContext, tmp_path: Path) -> None:
    stream = ssc.binaryRecordsStream(tmp_path, 3).name("orders")
    assert stream._node.dependencies[0].given_name == "orders"
    with pytest.raises(StateError, match="right behind"):
        _ = ssc.binaryRecordsStream(tmp_path, 3, partial="fail").rejects


def test_a_program_with_options_can_be_stored(tmp_path: Path) -> None:
    """The graph is pickled with its filter, its format and what is to become of files."""
    (tmp_path / "in").mkdir()
    where = str(tmp_path / "in")

    def setup() -> StreamingContext:
        ssc = StreamingContext(Context._active or Context(conf=Conf().setMaster("local[2]")), 1)
        keep: Callable[[FilePath], bool] = lambda path: path.name != "no"  # noqa: E731
        stream = ssc.fileStream(
            where, Blocks, keep, conf={"size": 4}, recursive=True, stableFor=1, afterCommit="delete"
        )
        stream.foreachRDD(lambda rdd: None)
        return ssc

    for _ in range(2):
        ssc = StreamingContext.getOrCreate(str(tmp_path / "checkpoint"), setup)
        ssc.start(availableNow=True)
        ssc.awaitTermination()
        ssc.stop()
