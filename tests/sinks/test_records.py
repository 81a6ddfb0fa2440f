"""CSV, JSON and Parquet: what a record becomes, that columns and rows give the same bytes, and what readers
make of them."""

from __future__ import annotations

import base64
import csv
import enum
import io
import json
import math
import os
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock import Context
from penstock.chunk import Columns, Rows
from penstock.dstream import DStream
from penstock.errors import ArgumentError, OutputExists, RowTypeError, SignatureError, failure_of
from penstock.plan import SliceReader, Source, call_site
from penstock.sinks import CsvFormat, JsonFormat, ParquetFormat, PartFormat
from penstock.storage import storage_for
from penstock.testing import run_batches
from tests.chunk.samples import EDGES, SCALAR_STRATEGIES, same, uniform_rows


class Order(NamedTuple):
    id: int
    symbol: str
    price: float | None = None


@dataclass
class Fill:
    at: datetime
    day: date
    raw: bytes
    done: bool


class Odd:
    def __repr__(self) -> str:
        return "Odd()"


class Side(str, enum.Enum):  # noqa: UP042 - its str() is another text
    BUY = "B"


class Level(enum.IntEnum):
    HIGH = 3


def written(format: PartFormat, *chunks: Any) -> bytes:
    pieces: list[bytes] = []
    format.write(pieces.append, iter(chunks))
    return b"".join(pieces)


def csv_format(**options: Any) -> CsvFormat:
    return CsvFormat("saveAsCsvFile", **{"header": False, "sep": ",", "codec": None, **options})


def json_format() -> JsonFormat:
    return JsonFormat("saveAsJsonFile", codec=None)


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir()) if path.name != "_SUCCESS"}


# ------------------------------------------------------------------------------------- what is written

CSV = [
    (1, "1"),
    (-0.0, "-0.0"),
    (1e16, "1e+16"),
    (100.0, "100.0"),
    (1e15, "1000000000000000.0"),
    (1e-5, "1e-05"),
    (float("nan"), "nan"),
    (float("-inf"), "-inf"),
    (None, '""'),
    ("", '""'),
    (True, "true"),
    ("a", "a"),
    (" a ", " a "),
    ("a,b", '"a,b"'),
    ('say "a"', '"say ""a"""'),
    ("two\nlines", '"two\nlines"'),
    ("re\rturn", '"re\rturn"'),
    ("ä€😀", "ä€😀"),
    ("\ufeffa", '"\ufeffa"'),  # else it would be taken for a mark of the file
    (b"\xff\x00", "/wA="),
    (datetime(2016, 3, 22, 20, 25, 28), "2016-03-22 20:25:28"),
    (datetime(2016, 3, 22, 20, 25, 28, 1), "2016-03-22 20:25:28.000001"),
    (datetime(2016, 3, 22, tzinfo=UTC), "2016-03-22 00:00:00+00:00"),
    (date(1, 2, 3), "0001-02-03"),
    (time(1, 2, 3), "01:02:03"),
    (Decimal("1.10"), "1.10"),
    (Decimal("NaN"), "nan"),
    (Decimal("-Infinity"), "-inf"),
    (1 << 70, str(1 << 70)),
    (Side.BUY, "B"),
    (Level.HIGH, "3"),
    ((1, None, "", "x"), '1,,"",x'),
    ((None, None), ","),
    (Order(1, "EPE"), "1,EPE,"),
    (
        Fill(datetime(2016, 1, 1), date(2016, 1, 1), b"", False),
        "2016-01-01 00:00:00,2016-01-01,,false",
    ),
]


@pytest.mark.parametrize(("record", "line"), CSV, ids=[repr(record)[:40] for record, _ in CSV])
def test_csv(record: Any, line: str) -> None:
    assert written(csv_format(), Rows([record])).decode() == line + "\n"


JSON = [
    (1, '{"value":1}'),
    (None, '{"value":null}'),
    (float("nan"), '{"value":"NaN"}'),
    (float("-inf"), '{"value":"-Infinity"}'),
    (1e16, '{"value":1e+16}'),
    (True, '{"value":true}'),
    ('"\\\n\x00\x7f\u2028ä😀', '{"value":"\\"\\\\\\n\\u0000\x7f\u2028ä😀"}'),
    (b"\xff", '{"value":"/w=="}'),
    (datetime(2016, 3, 22, 20, 25, 28), '{"value":"2016-03-22T20:25:28"}'),
    (date(2016, 3, 22), '{"value":"2016-03-22"}'),
    (time(1, 2), '{"value":"01:02:00"}'),
    (Decimal("1.10"), '{"value":1.10}'),
    (Decimal("Infinity"), '{"value":"Infinity"}'),
    (1 << 70, f'{{"value":{1 << 70}}}'),
    (Side.BUY, '{"value":"B"}'),
    ([1, ["a"]], '{"value":[1,["a"]]}'),
    ({"a": [1], "b": {"c": None}}, '{"a":[1],"b":{"c":null}}'),
    ((1, "a"), '{"_1":1,"_2":"a"}'),
    ((), "{}"),
    ((1, (2, None)), '{"_1":1,"_2":{"_1":2,"_2":null}}'),
    (Order(1, "EPE", 2.5), '{"id":1,"symbol":"EPE","price":2.5}'),
]


@pytest.mark.parametrize(("record", "line"), JSON, ids=[repr(record)[:40] for record, _ in JSON])
def test_json(record: Any, line: str) -> None:
    assert written(json_format(), Rows([record])).decode() == line + "\n"


@pytest.mark.parametrize("record", [[1], {"a": 1}, {1}, Odd(), ((1, 2), 3), (Order(1, "a"),), ()])
def test_what_csv_has_no_field_for_is_named(sc: Context, tmp_path: Path, record: Any) -> None:
    with pytest.raises(RowTypeError) as caught:
        sc.parallelize([record], 1).saveAsCsvFile(str(tmp_path / "out"))
    failure = failure_of(caught.value)
    assert failure is not None
    assert failure.record == repr(record)
    assert failure.site is not None
    assert (failure.site.operation, failure.site.file) == ("saveAsCsvFile", __file__)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("record", [{1}, Odd(), {1: 2}, [Odd()], (1, {2})])
def test_what_json_has_no_form_for_is_named(sc: Context, tmp_path: Path, record: Any) -> None:
    with pytest.raises(RowTypeError) as caught:
        sc.parallelize([record], 1).saveAsJsonFile(str(tmp_path / "out"))
    failure = failure_of(caught.value)
    assert failure is not None
    assert failure.record == repr(record)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("partitions", [1, 2])
def test_records_with_other_fields_are_no_csv(sc: Context, tmp_path: Path, partitions: int) -> None:
    with pytest.raises(
        RowTypeError, match=r"fields \['_1', '_2', '_3'\] is in no file .* \['_1', '_2'\]"
    ) as caught:
        sc.parallelize([(1, 2), (1, 2, 3)], partitions).saveAsCsvFile(str(tmp_path / "out"))
    failure = failure_of(caught.value)
    assert failure is not None
    assert failure.record == "(1, 2, 3)"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("save", ["saveAsCsvFile", "saveAsJsonFile"])
def test_a_surrogate_that_stands_alone_is_named(sc: Context, tmp_path: Path, save: str) -> None:
    with pytest.raises(UnicodeEncodeError) as caught:
        getattr(sc.parallelize(["ok", "\ud800"], 1), save)(str(tmp_path / "out"))
    failure = failure_of(caught.value)
    assert failure is not None
    assert failure.record == repr("\ud800")


@pytest.mark.parametrize("sep", ["", ",,", "a", "1", '"', "\n", ".", "-", ":", " ", "é", None, "/"])
def test_separators_that_will_not_do(sc: Context, sep: Any) -> None:
    with pytest.raises(ArgumentError, match="Hint"):
        sc.parallelize([1]).saveAsCsvFile("nowhere", sep=sep)


# ------------------------------------------------------------------------------------- columns are rows


def in_columns(rows: list[Any]) -> Columns | None:
    try:
        return Columns.from_rows(rows)
    except RowTypeError:
        return None


@given(uniform_rows())
def test_json_of_columns_is_json_of_rows(rows: list[Any]) -> None:
    columns = in_columns(rows)
    if columns is not None:
        assert written(json_format(), columns) == written(json_format(), Rows(rows))


_FLAT = [st.one_of(strategy, st.sampled_from(EDGES[kind])) for kind, strategy in SCALAR_STRATEGIES.items()]
_FIELDS = st.sampled_from([*_FLAT, *(st.one_of(st.none(), each) for each in _FLAT), st.none()])
_TEXTS = st.text(st.sampled_from('a",;\n\r\\ ä\x00'))
_SHAPES = st.lists(st.one_of(_FIELDS, st.just(_TEXTS)), min_size=1, max_size=4)
FLAT_ROWS = st.one_of(
    _SHAPES.flatmap(lambda fields: st.lists(st.tuples(*fields), min_size=1, max_size=20)),
    _FIELDS.flatmap(lambda one: st.lists(one, min_size=1, max_size=20)),
)


@given(FLAT_ROWS, st.sampled_from(",;\t|\\$^~"), st.booleans())
def test_csv_of_columns_is_csv_of_rows(rows: list[Any], sep: str, header: bool) -> None:
    columns = in_columns(rows)
    if columns is not None:
        format = csv_format(sep=sep, header=header)
        assert written(format, columns) == written(format, Rows(rows))
        half = len(rows) // 2
        assert written(format, columns.slice(half, len(rows))) == written(format, Rows(rows[half:]))


def test_csv_of_columns_that_may_lack_records(sc: Context) -> None:
    columns = Columns.from_rows([Order(1, "a"), Order(2, "b"), None, None])
    assert written(csv_format(), columns.slice(0, 2)) == b"1,a,\n2,b,\n"
    assert written(csv_format(), columns.slice(2, 4)) == written(csv_format(), Rows([None, None]))
    with pytest.raises(RowTypeError, match=r"fields \['value'\] is in no file") as caught:
        written(csv_format(), columns)
    failure = failure_of(caught.value)
    assert failure is not None
    assert failure.record == "None"


@given(st.lists(st.floats(), min_size=1))
@example([1e14, 99999999999999.98, 1e-4, 9.999999999999999e-05, 123456.0, -1e13, 2.0**53, 1e22, 5e-324])
def test_floats_are_written_as_python_writes_them(numbers: list[float]) -> None:
    expected = "".join(f"{number!r}\n" for number in numbers)
    assert written(csv_format(), Columns.from_rows(numbers)).decode() == expected


def test_many_columns_go_out_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(number, f"text {number}", None if number % 3 else 0.5) for number in range(1000)]
    whole = written(csv_format(), Columns.from_rows(rows))
    monkeypatch.setattr("penstock.sinks.text_columns._SLICE_BYTES", 100)
    assert written(csv_format(header=False), Columns.from_rows(rows)) == whole
    assert whole == written(csv_format(), Rows(rows))


# ------------------------------------------------------------------------------------------- read back


def value_of(kind: type, text: str) -> Any:
    if kind is bool:
        return {"true": True, "false": False}[text]
    if kind in (datetime, date):
        return kind.fromisoformat(text)  # type: ignore[attr-defined]
    return base64.b64decode(text) if kind is bytes else kind(text)


@given(FLAT_ROWS)
def test_csv_comes_back_by_pythons_reader(rows: list[Any]) -> None:
    data = written(csv_format(), Rows(rows)).decode()
    if "\x00" in data:  # which Python 3.11's reader takes, and 3.10's did not
        return
    lines = list(csv.reader(io.StringIO(data, newline="")))
    assert len(lines) == len(rows)
    for texts, row in zip(lines, rows, strict=True):
        fields = row if isinstance(row, tuple) else (row,)
        for text, value in zip(texts, fields, strict=True):
            if value is None:
                assert text == ""
            elif isinstance(value, float) and math.isnan(value):
                assert text == "nan"
            else:
                assert same(value_of(type(value), text), value)


@given(FLAT_ROWS)
def test_json_comes_back_by_pythons_reader(rows: list[Any]) -> None:
    data = written(json_format(), Rows(rows)).decode()
    for line, row in zip(data.split("\n"), [*rows, None], strict=True):
        if not line:
            continue
        fields = row if isinstance(row, tuple) else (row,)
        for found, value in zip(json.loads(line).values(), fields, strict=True):
            if isinstance(value, float) and not math.isfinite(value):
                assert same(float(found), math.nan) if math.isnan(value) else float(found) == value
            elif isinstance(value, (datetime, date)):
                assert type(value).fromisoformat(found) == value
            elif isinstance(value, bytes):
                assert base64.b64decode(found) == value
            else:
                assert same(found, value)


@given(uniform_rows())
def test_parquet_comes_back_bit_by_bit(rows: list[Any]) -> None:
    columns = in_columns(rows)
    if columns is None or not len(columns.to_arrow().schema) or has_empty_struct(columns.to_arrow().schema):
        return
    data = parquet_of(Rows(rows))
    assert data == parquet_of(columns)
    table = pq.read_table(io.BytesIO(data))
    expected = columns.to_arrow()
    for name, column in zip(table.schema.names, table.columns, strict=True):
        assert column.combine_chunks().to_pylist().__repr__() == expected.column(name).to_pylist().__repr__()


def has_empty_struct(schema: Any) -> bool:
    return any(
        pa.types.is_struct(field.type) and (not len(field.type) or has_empty_struct(field.type))
        for field in schema
    )


class Jobs:
    """Runs a plan of lists."""

    def run(self, plan: Any, action: Any, partitions: Any = None) -> list[Any]:
        return [action(None, reader.read(None)) for reader in plan.readers]


def parquet_of(*chunks: Any, **options: Any) -> bytes:
    source = Source(call_site("test"), [SliceReader(chunks)])
    format, plan = ParquetFormat("saveAsParquetFile", **options).prepared(Jobs(), source)
    return written(format, *plan.readers[0].read(None))


ROWS_TO_READ = [
    Order(1, "EPE", 0.1),
    Order(2, 'a,"b"\nc', None),
    Order(3, "", 1e16),
    Order(-4, "ä 😀", -0.0),
]


def test_other_readers(sc: Context, tmp_path: Path) -> None:
    rdd = sc.parallelize(ROWS_TO_READ, 2)
    rdd.saveAsCsvFile(str(tmp_path / "csv"), header=True)
    rdd.saveAsJsonFile(str(tmp_path / "json"))
    rdd.saveAsParquetFile(str(tmp_path / "parquet"))
    expected = [row._asdict() for row in ROWS_TO_READ]
    assert pl.read_parquet(f"{tmp_path}/parquet/*.parquet").to_dicts() == expected
    assert pq.read_table(tmp_path / "parquet").to_pylist() == expected
    assert pl.read_ndjson(f"{tmp_path}/json/part-00000.json").to_dicts() == expected[:2]
    polars = pl.read_csv(f"{tmp_path}/csv/*.csv").to_dicts()
    assert polars == expected
    rows = duckdb.sql(f"select * from read_json('{tmp_path}/json/*.json') order by abs(id)").fetchall()
    assert [tuple(row) for row in rows] == [tuple(row) for row in ROWS_TO_READ]
    options = pyarrow.csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False)
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
    first = pyarrow.csv.read_csv(
        tmp_path / "csv/part-00000.csv", convert_options=options, parse_options=parse
    )
    assert first.to_pylist() == expected[:2]


def test_our_own_readers(sc: Context, tmp_path: Path) -> None:
    rows = [row for row in ROWS_TO_READ if "\n" not in row.symbol]
    sc.parallelize(rows, 2).saveAsCsvFile(str(tmp_path / "csv"), header=True)
    sc.parallelize(rows, 2).saveAsJsonFile(str(tmp_path / "json"))
    assert same(sc.textFile(str(tmp_path / "csv")).parseCsv(Order, header=True).collect(), rows)
    assert same(sc.textFile(str(tmp_path / "json")).parseJson(Order).collect(), rows)
    sc.parallelize(rows, 2).saveAsParquetFile(str(tmp_path / "parquet"))
    table = pq.read_table(tmp_path / "parquet")
    assert same([Order(*row) for row in sc.fromArrow(table).collect()], rows)


# ----------------------------------------------------------------------------------- parquet's schema


def schema_of(directory: Path) -> pa.Schema:
    [schema] = {pq.read_schema(path) for path in sorted(directory.glob("*.parquet"))}
    return schema


def test_partitions_of_several_types_have_one_schema(sc: Context, tmp_path: Path) -> None:
    sc.parallelize([(1, None), (None, "a"), (3, "b")], 3).saveAsParquetFile(str(tmp_path / "out"))
    assert schema_of(tmp_path / "out").names == ["_1", "_2"]
    assert pq.read_table(tmp_path / "out").to_pydict() == {"_1": [1, None, 3], "_2": [None, "a", "b"]}


def test_nested_nothing_in_one_partition(sc: Context, tmp_path: Path) -> None:
    rows = [(1, None), (2, (1, None)), (3, (None, "x"))]
    sc.parallelize(rows, 3).saveAsParquetFile(str(tmp_path / "out"))
    assert pq.read_table(tmp_path / "out").column("_2").to_pylist() == [
        None,
        {"_1": 1, "_2": None},
        {"_1": None, "_2": "x"},
    ]


@pytest.mark.parametrize("partitions", [1, 2])
def test_types_without_anything_in_common_name_the_record(
    sc: Context, tmp_path: Path, partitions: int
) -> None:
    with pytest.raises(RowTypeError, match=r"record 1 .* is a str, others are int"):
        sc.parallelize([1, "a"], partitions).saveAsParquetFile(str(tmp_path / "out"))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("record", [Decimal(1), [1], {"a": 1}, 1 << 64, datetime(2016, 1, 1, tzinfo=UTC), ()])
def test_what_arrow_has_no_type_for_is_refused(sc: Context, tmp_path: Path, record: Any) -> None:
    with pytest.raises(RowTypeError):
        sc.parallelize([record], 1).saveAsParquetFile(str(tmp_path / "out"))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("rows", [[], [Order(1, "a")], [Order(1, "a", 2.5)]])
def test_a_schema_of_a_class_holds_for_every_batch(sc: Context, tmp_path: Path, rows: list[Any]) -> None:
    sc.parallelize(rows, 2).saveAsParquetFile(str(tmp_path / "out"), schema=Order)
    expected = pa.schema([("id", pa.int64()), ("symbol", pa.string()), ("price", pa.float64())])
    assert schema_of(tmp_path / "out") == expected
    assert len(list((tmp_path / "out").glob("*.parquet"))) == 2


def test_known_columns_are_a_schema_too(sc: Context, tmp_path: Path) -> None:
    none = sc.parallelize([""], 1).filter(bool)
    none.parseCsv(Order).saveAsParquetFile(str(tmp_path / "out"))
    assert schema_of(tmp_path / "out").names == ["id", "symbol", "price"]
    none.parseCsv(Order).saveAsCsvFile(str(tmp_path / "csv"), header=True)
    assert content(tmp_path / "csv") == {"part-00000.csv": b"id,symbol,price\n"}


def test_without_records_and_without_a_schema_there_is_only_the_marker(sc: Context, tmp_path: Path) -> None:
    for save in ("saveAsParquetFile", "saveAsCsvFile", "saveAsJsonFile"):
        getattr(sc.parallelize([], 2), save)(str(tmp_path / save))
        assert os.listdir(tmp_path / save) == ["_SUCCESS"]


def test_a_record_that_does_not_fit_the_schema_is_named(sc: Context, tmp_path: Path) -> None:
    with pytest.raises(RowTypeError, match=r"record 1 is not exactly .*Order") as caught:
        sc.parallelize([Order(1, "a"), Order(2, 3)], 1).saveAsParquetFile(  # type: ignore[arg-type]
            str(tmp_path / "out"), schema=Order
        )
    failure = failure_of(caught.value)
    assert failure is not None
    assert failure.site is not None
    assert failure.site.operation == "saveAsParquetFile"


def test_an_arrow_schema(sc: Context, tmp_path: Path) -> None:
    schema = pa.schema([("symbol", pa.large_string()), ("id", pa.int16()), ("price", pa.float32())])
    rdd = sc.parallelize([Order(1, "a", 0.5), Order(2, "b", None)], 2)
    rdd.saveAsParquetFile(str(tmp_path / "out"), schema=schema)
    assert schema_of(tmp_path / "out") == schema
    assert pq.read_table(tmp_path / "out").to_pydict()["id"] == [1, 2]
    with pytest.raises(RowTypeError, match="does not fit the schema") as caught:
        sc.parallelize([Order(1, "a", 1.0), Order(70_000, "b", 1.0)], 1).saveAsParquetFile(
            str(tmp_path / "2"), schema=schema
        )
    failure = failure_of(caught.value)
    assert failure is not None
    assert failure.record is not None
    assert "70000" in failure.record
    with pytest.raises(RowTypeError, match="the schema has the columns"):
        sc.parallelize([(1, 2)], 1).saveAsParquetFile(str(tmp_path / "3"), schema=schema)
    strict = pa.schema([pa.field("value", pa.int64(), nullable=False)])
    with pytest.raises(RowTypeError, match="may hold no nulls"):
        sc.parallelize([1, None], 1).saveAsParquetFile(str(tmp_path / "4"), schema=strict)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"compression": "zip"}, ArgumentError),
        ({"rowGroupSize": 0}, ArgumentError),
        ({"rowGroupSize": True}, ArgumentError),
        ({"schema": list}, SignatureError),
        ({"schema": "Order"}, SignatureError),
    ],
)
def test_arguments_that_will_not_do(sc: Context, options: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        sc.parallelize([1]).saveAsParquetFile("nowhere", **options)


@pytest.mark.parametrize("compression", ["snappy", "zstd", "gzip", "lz4", "brotli", "none"])
def test_compressions_and_row_groups(sc: Context, tmp_path: Path, compression: str) -> None:
    sc.parallelize(list(range(1000)), 1).saveAsParquetFile(
        str(tmp_path / "out"), compression=compression, rowGroupSize=300
    )
    found = pq.ParquetFile(tmp_path / "out/part-00000.parquet").metadata
    assert [found.row_group(group).num_rows for group in range(found.num_row_groups)] == [300, 300, 300, 100]
    wanted = {"none": "UNCOMPRESSED", "lz4": "LZ4"}.get(compression, compression.upper())
    assert found.row_group(0).column(0).compression == wanted


def test_what_is_there_is_not_overwritten(sc: Context, tmp_path: Path) -> None:
    for save in ("saveAsParquetFile", "saveAsCsvFile", "saveAsJsonFile"):
        getattr(sc.parallelize([1], 1), save)(str(tmp_path / save))
        before = content(tmp_path / save)
        with pytest.raises(OutputExists):
            getattr(sc.parallelize([2], 1), save)(str(tmp_path / save))
        assert content(tmp_path / save) == before


@pytest.mark.parametrize("codec", ["gzip", "bz2", "xz", "zstd"])
def test_compressed_lines(sc: Context, tmp_path: Path, codec: str) -> None:
    rdd = sc.parallelize([Order(1, "a"), Order(2, "b")], 2)
    rdd.saveAsCsvFile(str(tmp_path / "csv"), header=True, codec=codec)
    rdd.saveAsJsonFile(str(tmp_path / "json"), codec=codec)
    assert sc.textFile(str(tmp_path / "csv")).collect() == [
        "id,symbol,price",
        "1,a,",
        "id,symbol,price",
        "2,b,",
    ]
    assert len(sc.textFile(str(tmp_path / "json")).parseJson(Order).collect()) == 2


# --------------------------------------------------------------------------------------------- streams

SAVES: list[tuple[str, dict[str, Any]]] = [
    ("saveAsTextFiles", {}),
    ("saveAsTextFiles", {"codec": "gzip"}),
    ("saveAsPickleFiles", {}),
    ("saveAsObjectFiles", {}),
    ("saveAsJsonFiles", {}),
    ("saveAsJsonFiles", {"codec": "zstd"}),
    ("saveAsCsvFiles", {"header": True}),
    ("saveAsCsvFiles", {"sep": ";", "codec": "xz"}),
    ("saveAsParquetFiles", {}),
    ("saveAsParquetFiles", {"schema": Order, "compression": "zstd"}),
]
BATCHES: list[list[Order]] = [[Order(1, "a"), Order(2, "b", 0.5)], [], [Order(3, "c")]]


def read(sc: Context, save: str, options: dict[str, Any], directory: str) -> list[Any]:
    if save == "saveAsParquetFiles":
        files = sorted(Path(directory).glob("*.parquet"))
        return [Order(**row) for file in files for row in pq.read_table(file).to_pylist()]
    if save in ("saveAsPickleFiles", "saveAsObjectFiles"):
        return sc.pickleFile(directory).collect()
    lines = sc.textFile(directory)
    if save == "saveAsTextFiles":
        return [eval(line) for line in lines.collect()]
    if save == "saveAsJsonFiles":
        return lines.parseJson(Order).collect()
    return lines.parseCsv(Order, header=options.get("header", False), sep=options.get("sep", ",")).collect()


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize(("save", "options"), SAVES)
def test_a_directory_a_batch(
    sc: Context, tmp_path: Path, save: str, options: dict[str, Any], skip: bool
) -> None:
    prefix = str(tmp_path / "out/orders")
    run_batches(BATCHES, lambda s: getattr(s, save)(prefix, "x", skipEmpty=skip, **options), numPartitions=2)
    names = [f"orders-{ms}.x" for ms in (1000, 2000, 3000) if not (skip and ms == 2000)]
    assert sorted(os.listdir(tmp_path / "out")) == names
    for name in names:
        index = int(name[7:11]) // 1000 - 1
        found = read(sc, save, options, str(tmp_path / "out" / name))
        assert same(found, BATCHES[index])
        marker = json.loads((tmp_path / "out" / name / "_SUCCESS").read_text())
        assert sorted(marker["parts"]) == sorted(content(tmp_path / "out" / name))


@pytest.mark.parametrize("root", ["", "memory://"], ids=["local", "memory"])
@pytest.mark.usefixtures("sc")
def test_of_an_earlier_run_nothing_stays_in_the_place_of_an_empty_batch(tmp_path: Path, root: str) -> None:
    def save(stream: DStream) -> None:
        stream.saveAsJsonFiles(f"{root}{tmp_path}/out/orders", skipEmpty=True)

    storage, folder = storage_for(f"{root}{tmp_path}/out")
    for batches in ([[1], [2]], [[3], []]):
        run_batches(batches, save, numPartitions=1)
    names = storage.list_names(folder).directories
    assert [name for name in names if not name.startswith(".")] == ["orders-1000"]
    found = storage.glob(f"{folder}/.orders-2000.replaced-1/part-*")
    assert [storage.read(info.path) for info in found] == [b'{"value":2}\n'], "it was moved, not deleted"
    storage.remove_tree(folder)


@pytest.mark.parametrize(("save", "options"), SAVES)
def test_arguments_of_the_wrong_kind(sc: Context, save: str, options: dict[str, Any]) -> None:
    for wrong in ({"prefix": 7}, {"prefix": "p", "suffix": 7}, {"prefix": "p", "skipEmpty": "yes"}):
        with pytest.raises(SignatureError, match=save):
            run_batches([[1]], lambda s, wrong=wrong: getattr(s, save)(**wrong, **options))


def test_a_codec_that_is_not_known_is_refused_when_the_stream_is_built(sc: Context) -> None:
    with pytest.raises(ArgumentError, match="no codec"):
        run_batches([[1]], lambda s: s.saveAsTextFiles("p", codec="rar"))


def test_text_files_take_pysparks_codec_names(sc: Context, tmp_path: Path) -> None:
    name = "org.apache.hadoop.io.compress.GzipCodec"
    run_batches([["a"]], lambda s: s.saveAsTextFiles(str(tmp_path / "p"), None, name), numPartitions=1)
    assert sorted(os.listdir(tmp_path / "p-1000")) == ["_SUCCESS", "part-00000.gz"]
