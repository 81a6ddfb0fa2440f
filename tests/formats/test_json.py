"""JSON lines: what is a record and what is not."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple

import pytest

from penstock.chunk import Columns
from penstock.errors import ArgumentError
from penstock.formats import JsonFormat, MalformedLine, Words


def one(kind: Any) -> type:
    return NamedTuple("Made", [("x", kind)])


GOOD: list[tuple[Any, str, Any]] = [
    (int, '{"x": 5}', 5),
    (int, '{"x": -9223372036854775808}', -(2**63)),
    (int | None, "{}", None),
    (int | None, '{"x": null}', None),
    (float, '{"x": 1.5}', 1.5),
    (float, '{"x": 9007199254740992}', float(2**53)),
    (float, '{"x": 1e-999}', 0.0),
    (float, '{"x": 9007199254740993.0}', 9007199254740992.0),
    (str, '{"x": "\\u00e4\\n\\ud83d\\ude00"}', "ä\n😀"),
    (bool, '{"x": true}', True),
    (Annotated[bool, Words("B", "S")], '{"x": "S"}', False),
    (datetime, '{"x": "2016-03-22T20:25:28.5"}', datetime(2016, 3, 22, 20, 25, 28, 500_000)),
    (date, ' {"x" : "2016-02-29"} ', date(2016, 2, 29)),
    (Decimal, '{"x": 1.50}', Decimal("1.50")),
    (Literal["a", "b"], '{"x": "b"}', "b"),
    (Literal[1, 2], '{"x": 2}', 2),
]


@pytest.mark.parametrize(("kind", "line", "value"), GOOD)
def test_good(kind: Any, line: str, value: Any) -> None:
    [found] = JsonFormat(one(kind)).parse_line(line)
    assert (found, type(found), repr(found)) == (value, type(value), repr(value))


BAD: list[tuple[Any, str, str]] = [
    (int, "", "an empty line"),
    (int, "x", "no JSON: 'x'"),
    (int, '{"x": 1', "no JSON: '{\"x\": 1'"),
    (int, "[1]", "JSON that is no object: '[1]'"),
    (int, "1", "JSON that is no object: '1'"),
    (int, "[" * 100_000, "JSON that is nested too deeply"),
    (int, '{"x": 1, "x": 1}', "the name 'x' is there twice"),
    (int, '{"x": 1, "y": 1}', "the name 'y' is no field"),
    (int, "{}", "the field x is missing"),
    (int, '{"x": null}', "the field x is null: must be a number"),
    (int, '{"x": 1.0}', "the field x is 1.0: must be a whole number, without decimals and exponent"),
    (int, '{"x": 1e2}', "the field x is 1e2: must be a whole number, without decimals and exponent"),
    (int, '{"x": true}', "the field x is true: must be a number"),
    (int, '{"x": "1"}', "the field x is '1': must be a number"),
    (int, '{"x": 9223372036854775808}',
     "the field x is 9223372036854775808: must fit into 64 bits: from -2**63 to 2**63-1"),
    (int, '{"x": {}}', "the field x is an object: must be a number"),
    (int, '{"x": []}', "the field x is a list: must be a number"),
    (float, '{"x": 9007199254740993}', "the field x is 9007199254740993: a whole number beyond "
     "2**53 is no exact float: write it with a decimal point"),
    (float, '{"x": 1e999}', "the field x is 1e999: must be a finite number: it is too large"),
    (float, '{"x": NaN}', "NaN is no JSON"),
    (float, '{"x": -Infinity}', "-Infinity is no JSON"),
    (str, '{"x": 1}', "the field x is 1: must be a string"),
    (str, '{"x": "\\ud800"}',
     "the field x is '\\ud800': holds half of a surrogate pair, which is no text"),
    (bool, '{"x": "true"}', "the field x is 'true': must be true or false"),
    (bool, '{"x": 1}', "the field x is 1: must be true or false"),
    (Annotated[bool, Words("B", "S")], '{"x": true}', "the field x is true: must be a string"),
    (date, '{"x": "2016-02-30"}', "the field x is '2016-02-30': there is no such day"),
    (Literal[1, 2], '{"x": 3}', "the field x is 3: must be '1' or '2'"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "line", "reason"), BAD)
def test_bad(kind: Any, line: str, reason: str) -> None:
    with pytest.raises(MalformedLine) as caught:
        JsonFormat(one(kind)).parse_line(line)
    assert str(caught.value) == reason


def test_a_block_is_its_lines() -> None:
    kind = one(int | None)
    format = JsonFormat(kind)
    lines = [f'{{"x": {n}}}' for n in range(1000)]
    lines[10], lines[20], lines[30] = "{}", "", '{"x": 1.5}'
    block = format.parse_block("\n".join(lines).encode())
    assert isinstance(block.good, Columns)
    assert block.good.rows() == [format.parse_line(each) for n, each in enumerate(lines) if n not in (20, 30)]
    assert [each.place for each in block.refused] == [20, 30]
    assert block.places().tolist() == [n for n in range(1000) if n not in (20, 30)]


def test_unknown_names_can_be_ignored() -> None:
    assert JsonFormat(one(int), unknown="ignore").parse_line('{"y": {"z": [1]}, "x": 1}') == (1,)
    with pytest.raises(ArgumentError, match="should be 'refuse' or 'ignore'"):
        JsonFormat(one(int), unknown="drop")
