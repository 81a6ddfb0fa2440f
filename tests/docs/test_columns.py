"""``docs/columns.md``: its code runs, and what its table says of functions is what ``explain()`` says."""

from __future__ import annotations

import re
from typing import Any

import pytest

from penstock.chunk import Columns
from penstock.vectorize import Untraced, trace
from penstock.vectorize.paths import PATHS_MAX
from penstock.vectorize.programs import WORTH_ROWS
from tests.docs.pages import ROOT, Page

PATH = ROOT / "docs" / "columns.md"
ROWS = re.findall(
    r"^\| `((?:lambda|size)[^|]*)` \| `([^|]*)` \| ?([^|]*?) ?\|$", PATH.read_text(), re.MULTILINE
)


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    page = Page(PATH)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("columns"))
        assert page.run() == 5
    return page.names


def reason(function: Any, names: dict[str, Any]) -> str | None:
    order = names["Order"](names["opening"], 7, "123", 500, 1.5, True)
    traced = trace(function, Columns.from_rows([order]).row_type)
    return traced.reason if isinstance(traced, Untraced) else None


@pytest.mark.parametrize(("function", "said", "instead"), ROWS)
def test_what_makes_rows_and_the_way_out(
    function: str, said: str, instead: str, names: dict[str, Any]
) -> None:
    assert said in (reason(eval(function, names), names) or "columns")
    if instead.startswith("`lambda"):
        assert reason(eval(instead.strip("`"), names), names) is None


def test_the_table_is_read_and_the_numbers_are_true() -> None:
    assert len(ROWS) >= 16
    text = PATH.read_text()
    assert f"fewer than {WORTH_ROWS} records" in text
    assert f"up to {PATHS_MAX} ways" in text
    assert f"more than {PATHS_MAX} ways" in text
