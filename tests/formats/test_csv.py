"""CSV: what is a record and what is not, read alone and in blocks."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, Optional

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.chunk import Columns
from penstock.chunk.leaves import array_of
from penstock.errors import ArgumentError, SignatureError
from penstock.formats import CsvFormat, Format, MalformedLine, Words, csv
from penstock.formats.text_column import TextColumn


class Order(NamedTuple):
    time: datetime
    id: int
    symbol: str
    price: float
    buy: Annotated[bool, Words("B", "S")]


@dataclass(frozen=True, slots=True)
class Everything:
    moment: datetime | None
    day: Annotated[date, Format("%d.%m.%Y")]
    plain_day: Optional[date]  # noqa: UP045 - the other spelling
    number: int | None
    amount: float | None
    text: str | None
    yes: bool | None
    kind: Literal["new", "old", "ä"]
    level: Literal[1, 2, 30] | None
    stamp: Annotated[datetime, Format("%d/%m/%Y %H:%M:%S.%f")] | None


class Exact(NamedTuple):
    price: Decimal
    left: Decimal | None


class Number(NamedTuple):
    value: int | None


class Text(NamedTuple):
    value: str


class Name(NamedTuple):
    value: str | None


def alone(format: CsvFormat, lines: list[str]) -> tuple[list[Any], list[tuple[int, str, str]], list[int]]:
    """The reference: one line after the other."""
    good, refused, skipped = [], [], []
    for index, line in enumerate(lines):
        try:
            record = format.parse_line(line)
        except MalformedLine as problem:
            reason = str(problem)
            assert reason.isascii()
            assert len(reason) < 300
            assert "\n" not in reason
            refused.append((index, line, reason))
            continue
        if record is None:
            skipped.append(index)
        else:
            good.append(record)
    return good, refused, skipped


def check(format: CsvFormat, lines: list[str], end: bool = True) -> Any:
    """A block gives what its lines give, down to classes and signs of zero."""
    data = "\n".join(lines).encode()
    if lines and (end or not lines[-1]):
        data += b"\n"
    good, refused, skipped = alone(format, lines)
    block = format.parse_block(data)
    rows = block.good.rows()
    assert rows == good
    assert repr(rows) == repr(good)
    assert [tuple(each) for each in block.refused] == refused
    assert list(block.skipped) == skipped
    assert block.lines == len(lines)
    assert block.places().tolist() == [
        i for i in range(len(lines)) if i not in {each[0] for each in refused} and i not in skipped
    ]
    return block


@pytest.fixture
def columnar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv, "COLUMNS_FROM", 1)


NASTY = [
    "", " ", "NA", "null", "NULL", "N/A", "nan", "NaN", "inf", "-inf", "Infinity", "0x10", "0X1f", "-0x1",
    " 5", "5 ", "\t5", "1_000", "+5", "-5", "--5", "-", "5-", "007", "-0", "00000000000000000000005",
    "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
    "99999999999999999999", "1e999", "-1e999", "1e-999", "1.", ".5", ".", "-.5", "1.e5", "1e5", "1E+05",
    "e5", "1e", "1.5.2", "1,5", "1e400", "4.9e-324", "1e22", "0.1", "123456789012345678901234567890",
    "2016-03-22 20:25:28", "2016-03-22T20:25:28", "2016-03-22 20:25", "2016-03-22", "2016-03-22 24:00:00",
    "2016-03-22 23:59:60", "2016-02-30 00:00:00", "2016-02-29 00:00:00", "2015-02-29 00:00:00",
    "1900-02-29", "2000-02-29", "2016-02-30", "0000-01-01", "0001-01-01", "0000-01-01 00:00:00",
    "0001-01-01 00:00:00", "9999-12-31 23:59:59.999999", "2016-03-22 20:25:28.5", "2016-03-22 20:25:28.",
    "2016-03-22 20:25:28.1234567", "2016-03-22 20:25:28Z", "2016-03-22 20:25:28+01",
    "2016-03-22 20:25+0100", "2016-03-22 20:25+01", "2016-03-22 20:25:28.5Z", "2016-03-22x20:25:28",
    "20160322", "2016-3-22", "22.03.2016", "30.02.2016", "2.3.2016", "22.03.0000",
    "22/03/2016 20:25:28.000001", "22/03/2016 20:25:28.1", "22/03/2016 25:25:28.100000",
    "31/04/2016 20:25:28.000001", "true", "false", "True", "TRUE", "1", "0", "2", "30", "03", "B", "S", "b",
    "BS", "new", "old", "ä", "\u00e4x", '"', '""', '"x"', '"5"', '"a,b"', '"a""b"', '"a"b', 'a"b', '"a',
    '"B"', '"2016-03-22 20:25:28"', "a\x00b", "\x00", "\x0b", "\x0c5", "x\x85y", "x\u2028y", "\u0661\u0662",
    "\uff15", "\ufeff", "\ufeff5", "\ufffd", "😀", "é" * 100,
]  # fmt: skip

GOOD: dict[type, list[list[str]]] = {
    Order: [["2016-03-22 20:25:28", "2016-03-22T00:00:00", "2016-02-29 01:02:03.25"], ["1", "-5", "007"],
            ["EPE", "", "BRK.B", "0x", "ä, b".replace(",", "")], ["51.00", "-0", "1e-3", "7"], ["B", "S"]],
    Everything: [["2016-03-22 20:25:28", ""], ["22.03.2016"], ["2016-03-22", ""], ["12", ""], ["1.5", ""],
                 ["x", ""], ["true", "false", ""], ["new", "old", "ä"], ["1", "30", ""],
                 ["22/03/2016 20:25:28.000001", ""]],
    Exact: [["1.50", "-0", "007.0", "9" * 40], ["", ".5"]],
    Number: [["1", "-5"]],
    Text: [["a", "0x1", "b c"]],
    Name: [["a", "b c"]],
}  # fmt: skip


@st.composite
def lines_of(draw: st.DrawFn, cls: type, sep: str = ",") -> list[str]:
    good = st.tuples(*map(st.sampled_from, GOOD[cls])).map(list)
    damage = st.one_of(
        st.sampled_from(NASTY), st.text('0123456789.-+eE:T xX"/_naif', max_size=8), st.text(max_size=5)
    )

    @st.composite
    def line(draw: st.DrawFn) -> str:
        fields = draw(good)
        how = draw(st.integers(0, 9))
        at = draw(st.integers(0, len(fields) - 1))
        if how == 1:
            del fields[at]
        elif how == 2:
            fields.insert(at, draw(damage))
        elif how in (3, 4, 5):
            fields[at] = draw(damage)
        elif how == 6:
            fields[at] = f'"{fields[at]}"'
        elif how == 7:
            fields = [f'"{each}"' for each in fields]
        elif how == 8:
            return draw(damage)
        return sep.join(fields)

    found = draw(st.lists(line(), max_size=12))
    return [each.replace("\n", "").replace("\r", "").encode("utf-8", "replace").decode() for each in found]


@pytest.mark.parametrize("cls", GOOD)
@given(data=st.data())
def test_a_block_is_its_lines(cls: type, data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv, "COLUMNS_FROM", 1)
        sep = data.draw(st.sampled_from(",;\t| "))
        share = data.draw(st.sampled_from([0, 1, 16, 1_000_000]))
        patch.setattr(csv, "_QUOTED_SHARE", share)
        header = data.draw(st.booleans())
        format = CsvFormat(cls, sep=sep, header=header)
        lines = data.draw(lines_of(cls, sep))
        if header:
            names = sep.join(field.name for field in format.fields)
            for at in data.draw(st.lists(st.integers(0, len(lines)), max_size=2)):
                lines.insert(at, names)
        check(format, lines, data.draw(st.booleans()))


@pytest.mark.parametrize("cls", GOOD)
@pytest.mark.parametrize("at_once", [True, False])
def test_every_nasty_text_in_every_field(columnar: None, cls: type, at_once: bool) -> None:
    format = CsvFormat(cls)
    plain = [texts[0] for texts in GOOD[cls]]
    lines = [",".join([*plain[:at], text, *plain[at + 1 :]]) for at in range(len(plain)) for text in NASTY]
    if at_once:
        check(format, lines)
    else:
        for line in lines:
            check(format, [line])


class OneFloat(NamedTuple):
    value: float


class OneInt(NamedTuple):
    value: int


class OneMoment(NamedTuple):
    value: datetime


class OneDay(NamedTuple):
    value: date


@pytest.mark.parametrize(
    ("cls", "alphabet", "longest"),
    [(OneFloat, "0.e+-1", 6), (OneFloat, "infa\t xX_", 4), (OneInt, "01-+ xX_.e\t", 4)],
)
def test_every_short_text_of_a_number(cls: type, alphabet: str, longest: int) -> None:
    """One by one: a block is read as columns only if nothing in it is wrong, so this asks Arrow each time."""
    format = CsvFormat(cls)
    kind = format.fields[0].kind
    for size in range(1, longest + 1):
        for letters in itertools.product(alphabet, repeat=size):
            text = "".join(letters)
            found = kind.read(TextColumn(array_of(str, [text]), False))
            if isinstance(found, pa.Array):
                assert repr(kind.values_of(found)) == repr([kind.value(text)]), text


@given(st.data())
def test_every_damaged_time(data: st.DataObject) -> None:
    base = data.draw(st.sampled_from([each for each in NASTY if "2016" in each]))
    text = list(base)
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, max(0, len(text) - 1)))
        letter = data.draw(st.sampled_from("0123456789-:T Z+.x,"))
        text[at : at + data.draw(st.integers(0, 1))] = letter.replace(",", "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv, "COLUMNS_FROM", 1)
        for cls in (OneMoment, OneDay):
            check(CsvFormat(cls), ["".join(text)])
            check(CsvFormat(cls), ["".join(text), "2016-03-22 20:25:28", "2016-03-22"])


def test_a_clean_block_becomes_columns_and_a_damaged_one_too() -> None:
    lines = [f"2016-03-22 20:25:28,{n},EPE,51.00,B" for n in range(1000)]
    assert isinstance(check(CsvFormat(Order), lines).good, Columns)
    lines[500] += ",x"
    lines[600] = "9" + lines[600]
    lines[700] = '2016-03-22 20:25:28,700,"E,""PE",51.00,B'
    block = check(CsvFormat(Order), lines)
    assert isinstance(block.good, Columns)
    assert len(block.good) == 998
    assert block.good.rows()[698].symbol == 'E,"PE'


def test_a_quoted_file_is_read_as_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f'"2016-03-22 20:25:28","{n}","E, {n} ""x""","51.00","B"' for n in range(1000)]
    format = CsvFormat(Order)
    expected = alone(format, lines)
    asked: list[int] = []
    monkeypatch.setattr(CsvFormat, "_values", lambda self, text: asked.append(1))
    block = format.parse_block("\n".join(lines).encode())
    assert block.good.rows() == expected[0]
    assert not asked


def test_a_quote_that_never_ends_costs_one_line() -> None:
    lines = [f'2016-03-22 20:25:28,{n},"E{n}",51.00,B' for n in range(1000)]
    lines[10] = '2016-03-22 20:25:28,10,"E,51.00,B'
    assert [each.place for each in check(CsvFormat(Order), lines).refused] == [10]


REASONS: list[tuple[type, str, str]] = [
    (Order, "", "an empty line"),
    (Order, "x", "1 field instead of 5: 'x'"),
    (Order, "a,b,c,d,e,f", "6 fields instead of 5"),
    (Order, "2016-02-30 00:00:00,1,A,1,B",
     "field 1 (time) is '2016-02-30 00:00:00': there is no such day or time of day"),
    (Order, "2016-02-29 00:00:00,+1,A,1,B",
     "field 2 (id) is '+1': must be a whole number, such as 710 or -5"),
    (Order, "2016-02-29 00:00:00,9223372036854775808,A,1,B",
     "field 2 (id) is '9223372036854775808': must fit into 64 bits: from -2**63 to 2**63-1"),
    (Order, "2016-02-29 00:00:00,1,A,1e999,B",
     "field 4 (price) is '1e999': must be a finite number: it is too large"),
    (Order, "2016-02-29 00:00:00,1,A,1,X", "field 5 (buy) is 'X': must be 'B' or 'S'"),
    (Order, '2016-02-29 00:00:00,1,"A,1,B', "the quote that begins field 3 does not end"),
    (Order, '2016-02-29 00:00:00,1,A"A,1,B', "a quote within field 3: only a whole field is quoted"),
    (Order, '2016-02-29 00:00:00,1,"A"A,1,B', "text behind the quotes of field 3"),
    (Order, "2016-02-29 00:00:00,1,A\n,1,B", "a line end within the line"),
    (Number, "\uff15", "field 1 (value) is '\\uff15': must be a whole number, such as 710 or -5"),
    (Text, "\ud800", "half of a surrogate pair, which is no text"),
    (Number, "x" * 1000,
     f"field 1 (value) is '{'x' * 40}'... (1000 characters): must be a whole number, such as 710 or -5"),
]  # fmt: skip


@pytest.mark.parametrize(("cls", "line", "reason"), REASONS)
def test_reasons(cls: type, line: str, reason: str) -> None:
    with pytest.raises(MalformedLine) as caught:
        CsvFormat(cls).parse_line(line)
    assert str(caught.value) == reason


class TwoFlags(NamedTuple):
    a: int | str


class NoColumn(NamedTuple):
    a: list[int]


class Ordinary:
    pass


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: CsvFormat(TwoFlags), SignatureError, "only one class, or one and None"),
        (lambda: CsvFormat(NoColumn), SignatureError, "which no text becomes"),
        (lambda: CsvFormat(Ordinary), SignatureError, "neither a dataclass nor a NamedTuple"),
        (lambda: CsvFormat(3), SignatureError, "needs a record class"),  # type: ignore[arg-type]
        (lambda: CsvFormat(Order, sep=",,"), ArgumentError, "one ASCII character"),
        (lambda: CsvFormat(Order, words={"nope": ("a", "b")}), ArgumentError, "no field of Order"),
        (lambda: CsvFormat(Order, words={"buy": ("a", "b")}), ArgumentError, "told twice"),
        (lambda: CsvFormat(Order, words={"id": ("a", "b")}), SignatureError, "is no bool"),
        (lambda: CsvFormat(Order, formats={"time": "%Y"}), ArgumentError, "%m and %d are missing"),
        (lambda: CsvFormat(Order, formats={"time": "%y-%m-%d"}), ArgumentError, "%y is none of"),
    ],
)
def test_what_cannot_be_meant_is_said_at_once(make: Callable[[], Any], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("slices", [0, 5, 100])
def test_accepted_lines_come_back_to_their_places(monkeypatch: pytest.MonkeyPatch, slices: int) -> None:
    monkeypatch.setattr(csv, "_SLICES_MAX", slices)
    lines = [f"2016-03-22 20:25:28,{n},x,51.00,B" for n in range(1000)]
    for place in (0, 1, 500, 998, 999):
        lines[place] = f'2016-03-22 20:25:28,{place},"x",51.00,B'
    lines[700] = "no"
    assert isinstance(check(CsvFormat(Order), lines).good, Columns)
