"""The habits of ``tests/conftest.py``, ``pyproject.toml`` and the ``Makefile``, in a project of their own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with this project's habits, and neither tests nor code."""
    for name in ("pyproject.toml", "tests/conftest.py", "Makefile"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "src").mkdir()
    return tmp_path


@pytest.fixture
def run(project: Path) -> Run:
    """Write ``tests/test_it.py`` and run pytest over the project."""

    def run(text: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        (project / "tests" / "test_it.py").write_text(text)
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("PENSTOCK", "PYTEST"))
        }
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
        return subprocess.run(
            command,
            cwd=project,
            env=kept | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


SKIPS = """
import pytest

@pytest.fixture
def kafka(): pytest.skip("no Kafka here")

def test_in_a_test(): pytest.skip("no Kafka here")
def test_in_a_fixture(kafka): pass
@pytest.mark.skip(reason="no Kafka here")
def test_by_a_mark(): pass
@pytest.mark.skipif(True, reason="no Kafka here")
def test_by_a_condition(): pass
"""


@pytest.mark.parametrize("processes", ["0", "1"])
def test_a_skip_is_a_failure_when_skips_are_not_allowed(run: Run, processes: str) -> None:
    strict = run(SKIPS, "-n", processes, PENSTOCK_NO_SKIP="1")
    assert strict.returncode == 1
    assert "1 failed, 3 errors" in strict.stdout  # pytest calls what fails before a test an error
    assert strict.stdout.count("PENSTOCK_NO_SKIP=1 allows no skips. Skipped: no Kafka here") >= 2


def test_a_skip_is_a_skip_otherwise(run: Run) -> None:
    done = run(SKIPS)
    assert done.returncode == 0
    assert "4 skipped" in done.stdout


@pytest.mark.parametrize(
    "statement",
    ["pytest.skip('no Kafka here', allow_module_level=True)", "pytest.importorskip('no_such_module')"],
)
def test_a_skipped_module_is_a_failure_too(run: Run, statement: str) -> None:
    strict = run(f"import pytest\n{statement}\n", PENSTOCK_NO_SKIP="1")
    assert strict.returncode == 2
    assert "PENSTOCK_NO_SKIP=1 allows no skips" in strict.stdout


def test_a_skipped_doctest_of_the_source_is_a_failure_too(run: Run, project: Path) -> None:
    (project / "src" / "module.py").write_text('"""\n>>> 1  # doctest: +SKIP\n2\n"""\n')
    text = "def test(): pass"
    assert run(text).returncode == 0
    assert run(text, PENSTOCK_NO_SKIP="1").returncode == 1


def test_an_expected_failure_is_no_skip(run: Run) -> None:
    text = "import pytest\n@pytest.mark.xfail(reason='a known gap')\ndef test(): assert False"
    assert run(text, PENSTOCK_NO_SKIP="1").returncode == 0


def test_an_expected_failure_that_passes_fails(run: Run) -> None:
    assert run("import pytest\n@pytest.mark.xfail\ndef test(): pass").returncode == 1


def test_a_run_without_tests_is_no_success(run: Run) -> None:
    assert run("def test(): pass", "-m", "long").returncode == 5
    assert run("def test(): pass", "-m", "long", "-n", "1").returncode == 5


def test_long_proofs_run_only_when_asked_for(run: Run) -> None:
    text = "import pytest\n@pytest.mark.long\ndef test_proof(): pass\ndef test_quick(): pass"
    assert "1 passed, 1 deselected" in run(text, "-n", "0").stdout
    asked = run(text, "-m", "long", "-v")
    assert "test_proof PASSED" in asked.stdout
    assert "test_quick" not in asked.stdout


def test_a_warning_is_an_error(run: Run) -> None:
    assert run("import warnings\ndef test(): warnings.warn('old', stacklevel=1)").returncode == 1


def test_an_unknown_mark_is_an_error(run: Run) -> None:
    assert run("import pytest\n@pytest.mark.lnog\ndef test(): pass").returncode != 0


SEEDED = "def test(seed):\n    assert seed < 0\n"


def test_a_random_test_prints_its_seed_and_can_be_repeated(run: Run) -> None:
    def seed_of(**environment: str) -> tuple[str, str]:
        [found] = re.findall(r"seed (\d+) of the run PENSTOCK_SEED=(\d+)", run(SEEDED, **environment).stdout)
        return found

    number, session = seed_of()
    assert seed_of(PENSTOCK_SEED=session) == (number, session)
    assert seed_of() != (number, session)


def test_a_failing_property_says_how_to_repeat_it(run: Run) -> None:
    text = (
        "from hypothesis import given, strategies as st\n"
        "@given(st.integers())\ndef test(x):\n    assert x < 1000\n"
    )
    for profile in ("default", "long"):
        shown = run(text, HYPOTHESIS_PROFILE=profile, CI="true").stdout
        assert "x=1000" in shown
        assert "@reproduce_failure(" in shown


TURNS = """
import os, pathlib, pytest, time
LOG = pathlib.Path(os.environ["TURNS_LOG"])

def log(word, name):
    with LOG.open("a") as file:
        file.write(f"{word} {name}\\n")

@pytest.mark.parametrize("name", [
    pytest.param(f"{'alone' if n % 5 == 2 else 'any'}{n}", marks=[pytest.mark.timing] if n % 5 == 2 else [])
    for n in range(20)
])
def test(name):
    log("in", name)
    time.sleep(0.02)
    log("out", name)
"""


def test_a_test_that_measures_time_has_the_machine_to_itself(run: Run, tmp_path: Path) -> None:
    log = tmp_path / "turns.log"
    done = run(TURNS, "-n", "3", TURNS_LOG=str(log))
    assert "20 passed" in done.stdout, done.stdout
    words = [line.split() for line in log.read_text().splitlines()]
    inside: set[str] = set()
    together = 0
    for _, name in words:
        inside ^= {name}
        if any(other.startswith("alone") for other in inside):
            assert len(inside) == 1, words
        together = max(together, len(inside))
    assert together > 1  # the others do run side by side


ORDER = """
import pytest

def test_quick(): pass
@pytest.mark.long(minutes=2)
def test_long(): pass
@pytest.mark.long
def test_some_seconds(): pass
@pytest.mark.long(minutes=10)
def test_longest(): pass
@pytest.mark.timing
def test_alone(): pass
"""


def test_who_wants_the_machine_comes_first_and_then_the_longest(run: Run) -> None:
    shown = run(ORDER, "-v", "-m", "").stdout
    assert re.findall(r"::test_(\w+) PASSED", shown) == ["alone", "longest", "long", "quick", "some_seconds"]


# ------------------------------------------------------------------------------------------- make


def make(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # A make around this one (`make test`) must not hand down its flags.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *arguments], cwd=project, env=kept, capture_output=True, text=True, check=False, timeout=60
    )


def test_help_lists_the_five_commands(project: Path) -> None:
    shown = make(project).stdout
    for command in ("setup", "demo", "test", "test-long", "check", "bench"):
        assert f"  make {command} " in shown


def test_an_old_python_is_refused_in_one_line(project: Path) -> None:
    old = project / "old python"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.9.2 && exit\nexit 1\n')
    old.chmod(0o755)
    done = make(project, "setup", f"PYTHON={old}")
    assert done.returncode != 0
    assert f"Python 3.11 or newer is needed, and {old} is Python 3.9.2." in done.stderr
    assert not (project / ".venv").exists()


def test_a_missing_python_is_named(project: Path) -> None:
    done = make(project, "setup", "PYTHON=no-such-python")
    assert done.returncode != 0
    assert "there is no 'no-such-python' here" in done.stderr


def test_the_environment_is_made_again_only_when_pyproject_changed(project: Path) -> None:
    commands = project / ".venv" / "bin"
    commands.mkdir(parents=True)
    python = commands / "python"
    python.write_text('#!/bin/sh\ncase "$*" in *"pip install"*) echo "$@" >> installed;; esac\n')
    python.chmod(0o755)
    assert make(project, "setup").returncode == 0
    first = (project / "installed").read_text()
    assert "--editable ." in first
    assert "[test,check]" in first
    assert make(project, "setup").returncode == 0
    assert (project / "installed").read_text() == first
    later = (project / ".venv" / ".installed-dev").stat().st_mtime + 10
    os.utime(project / "pyproject.toml", (later, later))
    assert make(project, "setup").returncode == 0
    assert (project / "installed").read_text() == first * 2
