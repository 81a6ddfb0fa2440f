"""The dashboard's stream: short, and on columns from the parse to the top five."""

from __future__ import annotations

import ast
import inspect
import textwrap
from pathlib import Path

import pytest

from penstock import Context, DStream, StreamingContext
from penstock.brokerage import pipeline
from penstock.brokerage.orders import Order, is_plausible
from penstock.brokerage.pipeline import Figures, figures_of
from penstock.chunk import row_type_of_class
from penstock.vectorize import Untraced, trace_filter


@pytest.fixture
def figures(tmp_path: Path) -> Figures:
    with Context("local[2]", "pipeline") as sc:
        sc.setCheckpointDir(str(tmp_path / "checkpoint"))
        return figures_of(StreamingContext(sc, 5).textFileStream(str(tmp_path)), 3600)


def steps(stream: DStream) -> list[tuple[str, str]]:
    """Each step and how it runs: ``columns`` or ``rows``."""
    found = []
    for line in stream.explain().splitlines():
        operation, _, how = line[4:].partition(" at ")
        found.append((operation, how.partition(": ")[2].partition(":")[0]))
    return found


def test_the_rule_runs_on_columns() -> None:
    assert not isinstance(trace_filter(is_plausible, row_type_of_class(Order)), Untraced)


@pytest.mark.parametrize("name", ["top_clients", "top_stocks"])
def test_columns_from_the_parse_to_the_top_five(figures: Figures, name: str) -> None:
    found = steps(getattr(figures, name))
    assert [how for _, how in found] == ["columns"] * len(found)
    operations = [operation for operation, _ in found]
    wanted = ["parseCsv", "map", "sortBy", "zipWithIndex", "filter", "map"]
    assert [operation for operation in operations if operation in wanted and operation != "sortBy"] == [
        *wanted[:2],
        *wanted[3:],
    ]
    assert operations[-1] == "map"


def test_columns_from_the_parse_to_the_orders_by_side(figures: Figures) -> None:
    assert {how for _, how in steps(figures.sides)} == {"columns"}


def test_only_the_words_of_the_report_are_python_objects(figures: Figures) -> None:
    rows = [operation for operation, how in steps(figures.report) if how == "rows"]
    assert all("union" in each or "glom" in each or "sort" in each or each == "map" for each in rows)


def test_the_whole_definition_is_short() -> None:
    lines = 0
    for function in (pipeline.figures_of, pipeline.top, pipeline.listed):
        source = textwrap.dedent(inspect.getsource(function))
        body = ast.parse(source).body[0]
        assert isinstance(body, ast.FunctionDef)
        first = body.body[1]  # behind the docstring
        lines += sum(bool(line.strip()) for line in source.splitlines()[first.lineno - 1 :])
    assert lines < 40
