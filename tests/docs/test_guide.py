"""The pages that show code do what they say: each is run from top to bottom."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from penstock.cli import main
from tests.docs.pages import ROOT, Block, Page, as_printed, blocks_of


def test_the_guide_runs_and_prints_what_it_says() -> None:
    count = Page(ROOT / "docs" / "guide.md").run()
    assert count >= 25


def test_the_page_of_typed_input_runs_and_prints_what_it_says() -> None:
    assert Page(ROOT / "docs" / "formats.md").run() == 1


def test_the_page_of_dashboards_runs_and_prints_what_it_says() -> None:
    assert Page(ROOT / "docs" / "dashboards.md").run() == 3


def test_the_page_of_worker_processes_runs_and_prints_what_it_says() -> None:
    assert Page(ROOT / "docs" / "workers.md").run() == 1


def test_the_page_of_recovery_runs_and_prints_what_it_says() -> None:
    assert Page(ROOT / "docs" / "recovery.md").run() == 3


def test_the_page_on_the_monitor_runs_and_prints_what_it_says() -> None:
    import doctest

    failed, tried = doctest.testfile(str(ROOT / "docs" / "monitor.md"), module_relative=False)
    assert failed == 0
    assert tried > 0


def test_the_page_of_receivers_runs_and_prints_what_it_says() -> None:
    assert Page(ROOT / "docs" / "receivers.md").run() == 3


def test_the_page_of_overload_runs_and_prints_what_it_says() -> None:
    assert Page(ROOT / "docs" / "overload.md").run() == 3


def test_the_readme_runs_and_prints_what_it_says() -> None:
    assert Page(ROOT / "README.md").run() == 3


def test_the_program_of_the_readme_is_short() -> None:
    program, *_ = [block for block in blocks_of(ROOT / "README.md") if block.info == "python"]
    assert sum(bool(line.strip()) for line in program.text.splitlines()) <= 15


def test_the_demo_ends_as_the_readme_says() -> None:
    arguments = ["brokerage", "demo", "--orders", "50000", "--parts", "10", "--every", "0"]
    done = CliRunner().invoke(main, [*arguments, "--no-ui", "--interval", "0.2", "--folder", "build/demo"])
    assert done.exit_code == 0, done.output
    last = done.output.splitlines()[-4:]
    assert last[-1].startswith("Checked: ")
    readme = (ROOT / "README.md").read_text()
    assert [line for line in last if line not in readme] == []


@pytest.mark.parametrize(
    ("printed", "wanted", "same"),
    [
        ("1\n", "1", True),
        ("1\n", "2", False),
        ("1\n", "", False),
        ("", "1\n", False),
        ("a\nb\nc\n", "...\nc", True),
        ("a\nb\nc\n", "...\nb", False),
        ("batch-1795338340000.txt", "batch-1111111111111.txt", True),
        ("Time: 2026-11-22 09:12:40", "Time: 2000-01-01 00:00:05", True),
        ("at map (docs/guide.md:12)", "at map (dashboard.py:7)", True),
        ("at map (docs/guide.md:12)", "at filter (dashboard.py:7)", False),
    ],
)
def test_what_is_printed_is_compared(printed: str, wanted: str, same: bool) -> None:
    assert as_printed(printed, wanted) is same


def test_a_page_that_lies_is_found_with_its_line() -> None:
    page = Page(ROOT / "docs" / "guide.md")
    with pytest.raises(AssertionError, match=r"docs/guide\.md:7 printed\n1\n"):
        page._compare(Block("python", "print(1)\n", 7), "1\n", "2\n")
