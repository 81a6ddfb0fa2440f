"""The command line: what it writes, what it says, and how it ends."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from penstock.brokerage.commands import brokerage
from penstock.brokerage.exits import ExitCodeGroup, stop_request
from penstock.brokerage.generate import order_blocks
from penstock.cli import main
from penstock.clock import SystemClock
from penstock.errors import PenstockError, UsageError


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="penstock")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "orders.txt"
    path.write_bytes(b"".join(order_blocks(25, seed=1)))
    return path


# Help and version


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--help"], ["brokerage", "penstock brokerage generate --orders 500000"]),
        (
            ["brokerage", "--help"],
            ["generate", "feed", "--seed 1 --out orders.txt", "--lines 10000 --every 3"],
        ),
        (["brokerage", "generate", "--help"], ["Examples:\n", "2016-03-22 20:25:28,1,80,EPE,710,51.00,B"]),
        (["brokerage", "feed", "--help"], ["Examples:\n", "FILE [DIR]", "default: 10000", "--every 0"]),
    ],
)
def test_help_has_examples(arguments: list[str], expected: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 0
    for text in expected:
        assert text in result.output


def test_version() -> None:
    result = run("--version")
    assert result.exit_code == 0
    assert result.output.startswith("penstock, version ")


def test_version_of_a_tree_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert run("--version").output == "penstock, version unknown\n"


def test_help_loads_neither_numpy_nor_rich_on_its_own_account() -> None:
    code = """
import sys, penstock
before = set(sys.modules)
import penstock.cli
news = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(news & {"numpy", "rich", "pyarrow"}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# generate


def test_generate(tmp_path: Path) -> None:
    out = tmp_path / "orders.txt"
    result = run("brokerage", "generate", "--orders", "1000", "--seed", "7", "--out", out)
    assert result.exit_code == 0
    assert result.output == f"1,000 lines (0.0 MB) written to {out}\n"
    assert out.read_bytes() == b"".join(order_blocks(1000, seed=7))


def test_generate_malformed(tmp_path: Path) -> None:
    out = tmp_path / "rough.txt"
    assert run("brokerage", "generate", "--orders", "500", "--malformed", "0.1", "--out", out).exit_code == 0
    assert out.read_bytes() == b"".join(order_blocks(500, seed=1, malformed=0.1))


@pytest.mark.parametrize("wrong", [["--orders", "-1"], ["--seed", "x"], ["--malformed", "2"], ["extra"]])
def test_wrong_usage_of_generate(wrong: list[str], tmp_path: Path) -> None:
    assert run("brokerage", "generate", "--out", tmp_path / "orders.txt", *wrong).exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_generate_into_a_missing_directory(tmp_path: Path) -> None:
    result = run("brokerage", "generate", "--orders", "1", "--out", tmp_path / "no" / "orders.txt")
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert result.output.count("\n") == 1


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_during_generate_leaves_nothing(
    number: int, exit_code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(os, "fsync", lambda descriptor: os.kill(os.getpid(), number))
    result = run("brokerage", "generate", "--orders", "10", "--out", tmp_path / "orders.txt")
    assert result.exit_code == exit_code
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) is before


# feed


def test_feed(source: Path, tmp_path: Path) -> None:
    directory = tmp_path / "in"
    result = run("brokerage", "feed", source, directory, "--lines", "10", "--every", "0")
    assert result.exit_code == 0
    assert result.output == f"3 parts, 25 lines, moved into {directory}\n"
    parts = sorted(directory.iterdir())
    assert [part.name for part in parts] == ["orders-00000.txt", "orders-00001.txt", "orders-00002.txt"]
    assert b"".join(part.read_bytes() for part in parts) == source.read_bytes()


@pytest.mark.parametrize("wrong", [["--lines", "0"], ["--every", "-1"], ["--every", "nan"], ["extra"]])
def test_wrong_usage_of_feed(wrong: list[str], source: Path, tmp_path: Path) -> None:
    assert run("brokerage", "feed", source, tmp_path / "in", *wrong).exit_code == 2
    assert not (tmp_path / "in").exists()


def test_failures_of_feed_are_one_line(source: Path, tmp_path: Path) -> None:
    missing = run("brokerage", "feed", tmp_path / "missing.txt", tmp_path / "in")
    assert (missing.exit_code, missing.output) == (
        1,
        f"Error: {tmp_path / 'missing.txt'}: No such file or directory\n",
    )
    directory = run("brokerage", "feed", tmp_path, tmp_path / "in")
    assert (directory.exit_code, directory.output) == (1, f"Error: {tmp_path}: Is a directory\n")
    no_directory = run("brokerage", "feed", source, source)
    assert (no_directory.exit_code, no_directory.output) == (1, f"Error: {source} is not a directory\n")
    assert not (tmp_path / "in").exists()


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_feed_waits_stops_it_between_two_parts(
    number: int, exit_code: int, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait_until(self: SystemClock, time_ms: int, woken: threading.Event) -> bool:
        os.kill(os.getpid(), number)
        assert woken.wait(30)
        return False

    before = [signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)]
    monkeypatch.setattr(SystemClock, "wait_until", wait_until)
    result = run("brokerage", "feed", source, tmp_path / "in", "--lines", "10", "--every", "3")
    assert result.exit_code == exit_code
    assert result.output == f"Stopped before the end: 1 part, 10 lines, moved into {tmp_path / 'in'}\n"
    assert [part.name for part in (tmp_path / "in").iterdir()] == ["orders-00000.txt"]
    assert [signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)] == before


# What any command's failure becomes


@pytest.mark.parametrize(
    ("error", "exit_code", "message"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "/data/x"),
            1,
            "Error: /data/x: No space left on device\n",
        ),
        (OSError("only words"), 1, "Error: only words\n"),
        (PenstockError("two\nlines"), 1, "Error: two lines\n"),
        (KeyboardInterrupt(), 130, "Stopped.\n"),
    ],
)
def test_failures_become_a_line_and_a_code(error: BaseException, exit_code: int, message: str) -> None:
    group = ExitCodeGroup("tools")

    @group.command()
    def fail() -> None:
        raise error

    result = CliRunner().invoke(group, ["fail"])
    assert (result.exit_code, result.output) == (exit_code, message)


def test_wrong_arguments_found_late_are_wrong_usage_too() -> None:
    group = ExitCodeGroup("tools")

    @group.command()
    def fail() -> None:
        raise UsageError("window must be a multiple")

    result = CliRunner().invoke(group, ["fail"])
    assert result.exit_code == 2
    assert "window must be a multiple" in result.output


def test_a_programming_error_keeps_its_traceback() -> None:
    group = ExitCodeGroup("tools")

    @group.command()
    def fail() -> None:
        raise ZeroDivisionError

    assert isinstance(CliRunner().invoke(group, ["fail"]).exception, ZeroDivisionError)


def test_a_second_signal_acts_as_without_us() -> None:
    with stop_request() as request:
        os.kill(os.getpid(), signal.SIGINT)
        assert request.event.wait(30)
        assert request.exit_code == 130
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_no_stop_request_reaches_another_thread_than_the_main_one() -> None:
    entered: list[bool] = []

    def enter() -> None:
        with stop_request() as request:
            entered.append(request.event.is_set())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join(30)
    assert entered == [False]


def test_the_commands_of_the_group() -> None:
    assert sorted(brokerage.commands) == ["demo", "feed", "generate", "run"]
