"""``penstock brokerage run`` as one uses it: what it says, what it refuses, and how it ends."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import threading
from ast import literal_eval
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from penstock.brokerage.generate import order_blocks
from penstock.brokerage.options import Options
from penstock.brokerage.run import run
from penstock.brokerage.view import View
from penstock.cli import main
from penstock.conf import RETRY_DELAY
from penstock.errors import ArgumentError
from penstock.rdd import RDD
from penstock.sources import FileSource, Intent
from penstock.storage import LocalStorage

ORDER = b"2016-03-22 20:25:28,1,80,EPE,710,51.00,B\n"


def command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(
        main, ["brokerage", "run", *map(str, arguments)], prog_name="penstock", catch_exceptions=False
    )


def paths(tmp_path: Path) -> list[str | Path]:
    return ["--input", tmp_path / "in", "--output", tmp_path / "out" / "figures"]


def put(directory: Path, name: str, content: bytes = ORDER) -> Path:
    """A file that appears whole."""
    directory.mkdir(parents=True, exist_ok=True)
    hidden = directory / f".{name}"
    hidden.write_bytes(content)
    return hidden.rename(directory / name)


def written(out: Path) -> list[tuple[str, list[str]]]:
    """The records of all batches, in order; no batch is half there, and nothing else is."""
    records = []
    for directory in sorted(out.iterdir()):
        if directory.name.endswith(("-rejects.tsv", "-checkpoint")):
            continue
        assert {path.name for path in directory.iterdir()} == {"part-00000", "_SUCCESS"}, directory
        assert not directory.name.startswith("."), directory
        records += [literal_eval(line) for line in (directory / "part-00000").read_text().splitlines()]
    return records


def orders_written(out: Path) -> int:
    return sum(int(values[0]) for name, values in written(out) if name in ("BUYS", "SELLS"))


# What cannot be meant


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--window", "7"], "--window 7 s must be a multiple of --interval 5 s. Hint: use 5 s or 10 s."),
        (["--window", "2"], "--window 2 s must be a multiple of --interval 5 s. Hint: use 5 s."),
        (["--interval", "0"], "--interval must be at least 1 ms, not 0.0"),
        (["--interval", "-5"], "--interval must be at least 1 ms, not -5.0"),
        (["--interval", "nan"], "--interval must be at least 1 ms, not nan"),
        (["--window", "inf"], "--window must be at least 1 ms, not inf"),
        (["--interval", "x"], "'x' is not a valid float"),
        (["--max-files-per-batch", "0"], "0 is not in the range x>=1"),
        (["--master", "yard"], "master 'yard' is not understood. Hint: use local, local[N] or local[*];"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    result = command(*paths(tmp_path), *arguments)
    assert result.exit_code == 2
    usage, _, error = result.stderr.partition("\n\n")
    assert usage.startswith("Usage: penstock brokerage run [OPTIONS]\n")
    assert error.startswith("Error: ")
    assert error.count("\n") == 1
    assert message in error
    assert result.stdout == ""
    assert not (tmp_path / "out").exists()


def test_rejects_among_the_input_are_refused(tmp_path: Path) -> None:
    result = command("--input", tmp_path, "--output", tmp_path / "figures")
    assert result.exit_code == 2
    assert f"{tmp_path / 'figures-rejects.tsv'} is in the input directory" in result.stderr
    assert "Hint: --rejects FILE elsewhere" in result.stderr
    hidden = Options(str(tmp_path), "out/figures", rejects=str(tmp_path / "_rejects.tsv"))
    assert hidden.rejects_file == tmp_path / "_rejects.tsv"


def test_rejects_need_a_file_on_this_machine() -> None:
    with pytest.raises(ArgumentError, match=r"cannot be written to memory://b/f\. Hint: --rejects FILE"):
        Options("in", "memory://b/f")
    assert Options("in", "memory://b/f", rejects="r.tsv").rejects_file == Path("r.tsv")


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError) as caught:
        Options(str(tmp_path), str(tmp_path / "f"), interval_s=5, window_s=7)
    assert "2 problems" in str(caught.value)


# Places that are not as they should be


def test_an_input_that_is_a_file(tmp_path: Path) -> None:
    file = put(tmp_path, "orders.txt")
    result = command("--input", file, "--output", tmp_path / "out" / "f")
    assert result.exit_code == 1
    assert result.output == f"Error: the input {file} is a file. Hint: name the directory it is in.\n"


def test_available_now_without_the_directory(tmp_path: Path) -> None:
    result = command(*paths(tmp_path), "--available-now")
    assert result.exit_code == 1
    assert result.output == f"Error: there is no directory {tmp_path / 'in'} to take files from\n"


def test_available_now_with_an_empty_directory(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    result = command(*paths(tmp_path), "--available-now")
    assert result.exit_code == 0
    assert result.output == f"Done after 0 batches: there are no files in {tmp_path / 'in'}.\n"


@pytest.mark.parametrize("below", ["figures", "deep/down/figures"])
def test_an_output_below_a_file(below: str, tmp_path: Path) -> None:
    put(tmp_path / "in", "a.txt")
    file = put(tmp_path, "file")
    result = command("--input", tmp_path / "in", "--output", file / below, "--available-now")
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert f"{(file / below).parent}, where the figures should go, is not a directory" in result.output


def test_a_rejects_file_that_cannot_be_one(tmp_path: Path) -> None:
    put(tmp_path / "in", "a.txt")
    (tmp_path / "r").mkdir()
    result = command(*paths(tmp_path), "--available-now", "--rejects", tmp_path / "r")
    assert (result.exit_code, result.output) == (1, f"Error: {tmp_path / 'r'}: Is a directory\n")
    assert written(tmp_path / "out") == []


def test_an_output_directory_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: LocalStorage, path: str, data: bytes, **options: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "out"))

    put(tmp_path / "in", "a.txt")
    monkeypatch.setattr(LocalStorage, "write_atomic", refuse)
    result = command(*paths(tmp_path), "--available-now")
    assert (result.exit_code, result.output) == (1, f"Error: {tmp_path / 'out'}: Permission denied\n")


def test_missing_directories_of_outputs_are_made(tmp_path: Path) -> None:
    put(tmp_path / "in", "a.txt", ORDER + b"?\n")
    out, rejects, checkpoint = tmp_path / "a" / "b" / "figures", tmp_path / "c" / "r.tsv", tmp_path / "d"
    result = command(
        *["--input", tmp_path / "in", "--output", out, "--available-now"],
        *["--rejects", rejects, "--checkpoint", checkpoint],
    )
    assert result.exit_code == 0, result.output
    assert orders_written(out.parent) == 1
    assert rejects.read_text() == f"{tmp_path / 'in' / 'a.txt'}\t2\t1 field instead of 7: '?'\t?\n"
    assert checkpoint.is_dir()
    assert result.stdout.splitlines()[-1] == (
        f"Done after 1 batch: 1 order, 1 line rejected (see {rejects}); figures in {out}-<ms>.txt"
    )


def test_without_a_rejected_line_there_is_no_rejects_file(tmp_path: Path) -> None:
    put(tmp_path / "in", "a.txt")
    assert command(*paths(tmp_path), "--available-now").exit_code == 0
    assert not (tmp_path / "out" / "figures-rejects.tsv").exists()


def test_a_second_run_adds_rejects_and_says_that_there_was_a_first(tmp_path: Path) -> None:
    put(tmp_path / "in", "a.txt", ORDER + b"?\n")
    first = command(*paths(tmp_path), "--available-now")
    assert first.stderr == ""
    second = command(*paths(tmp_path), "--available-now", "--interval", "7", "--window", "70", "--fresh")
    assert second.exit_code == 0
    assert second.stderr.splitlines()[0] == (
        f"The figures of 1 batch of an earlier run are in {tmp_path / 'out' / 'figures'}-<ms>.txt; "
        f"this run begins afresh. Hint: another --output keeps them apart."
    )
    rejects = (tmp_path / "out" / "figures-rejects.tsv").read_text().splitlines()
    assert len(rejects) == 2
    assert rejects[0] == rejects[1]


def test_a_second_run_goes_on_and_says_so(tmp_path: Path) -> None:
    put(tmp_path / "in", "a.txt", ORDER + b"?\n")
    first = command(*paths(tmp_path), "--available-now")
    assert first.stderr == ""
    put(tmp_path / "in", "b.txt", ORDER + b"??\n")
    second = command(*paths(tmp_path), "--available-now")
    assert second.exit_code == 0
    assert second.stderr.splitlines()[0] == (
        f"Going on from the checkpoint in {tmp_path / 'out' / 'figures'}-checkpoint: files that came "
        f"meanwhile "
        f"are taken. Hint: --fresh begins anew."
    )
    assert orders_written(tmp_path / "out") == 2
    rejects = (tmp_path / "out" / "figures-rejects.tsv").read_text().splitlines()
    assert [line.rpartition("\t")[2] for line in rejects] == ["?", "??"]
    other = command(*paths(tmp_path), "--available-now", "--interval", "7", "--window", "70")
    assert other.exit_code == 2
    assert "is of batches of 5 s, not 7 s" in other.stderr


def test_bytes_that_are_not_utf_8_are_rejected_lines(tmp_path: Path) -> None:
    content = ORDER + ORDER.replace(b"EPE", b"\xff\xfeE") + b"\xc3\x28\t\\\n" + ORDER
    file = put(tmp_path / "in", "a.txt", content)
    result = command(*paths(tmp_path), "--available-now")
    assert result.exit_code == 0
    assert orders_written(tmp_path / "out") == 2
    rejects = (tmp_path / "out" / "figures-rejects.tsv").read_text(encoding="utf-8").splitlines()
    assert [line.split("\t")[:2] for line in rejects] == [[str(file), "2"], [str(file), "3"]]
    assert rejects[0].endswith(",\ufffd\ufffdE,710,51.00,B")
    assert rejects[1].endswith("\t\ufffd(\\t\\\\")


# Failures of a batch


@pytest.fixture
def vanishing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of three files the second goes away between listing and reading."""
    files = [put(tmp_path / "in", f"{number}.txt", ORDER * (number + 1)) for number in range(3)]
    node = FileSource.node

    def removing(self: FileSource, intent: Intent, site: Any) -> Any:
        if intent.items[0][0] == str(files[1]):
            files[1].unlink()
        return node(self, intent, site)

    monkeypatch.setattr(FileSource, "node", removing)
    monkeypatch.setattr("penstock.context.lifecycle.RETRY_DELAY", replace(RETRY_DELAY, default=0))
    return files[1]


def test_a_file_that_vanishes_is_one_line_and_exit_code_1(vanishing: Path, tmp_path: Path) -> None:
    result = command(*paths(tmp_path), "--available-now", "--max-files-per-batch", "1")
    assert result.exit_code == 1
    *attempts, error = result.stderr.splitlines()
    assert [line[-len("is run again (attempt 2)") :] for line in attempts] == [
        f"is run again (attempt {attempt})" for attempt in (2, 3, 4)
    ]
    assert error.startswith("Error: ")
    assert str(vanishing) in error
    *_, batch, last = result.stdout.splitlines()
    assert "FAILED: " in batch
    assert str(vanishing) in batch
    assert last.startswith("Failed after 2 batches (1 failed): 1 order, 0 lines rejected; figures in ")
    assert orders_written(tmp_path / "out") == 1, "no batch after the failed one, which was without its file"


def test_verbose_shows_the_traceback(vanishing: Path, tmp_path: Path) -> None:
    result = command(*paths(tmp_path), "--available-now", "--max-files-per-batch", "1", "--verbose")
    assert result.exit_code == 1
    assert "Traceback (most recent call last):" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("Error: ")


# Live runs, in this process


class Watched(View):
    """A view on texts; ``act`` is called while the outputs of a batch run."""

    def __init__(self, options: Options, act: Callable[[datetime], None] = lambda time: None) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()
        super().__init__(Console(file=self.out, width=200), options, messages=Console(file=self.err))
        self._act = act

    def take_sides(self, time: datetime, rdd: RDD) -> None:
        self._act(time)
        super().take_sides(time, rdd)


def live(tmp_path: Path, **changes: Any) -> Options:
    return Options(
        str(tmp_path / "in"),
        str(tmp_path / "out" / "f"),
        **{"interval_s": 0.05, "window_s": 1, "ui": False, **changes},
    )


def test_files_that_are_there_are_left_alone_and_one_is_told_so(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", ".hidden", "_private"):
        put(tmp_path / "in", name, ORDER * 1_000)
    view = Watched(live(tmp_path))
    run(
        live(tmp_path),
        view,
        threading.Event(),
        started=lambda: put(tmp_path / "in", "c.txt", ORDER * 2) and None,
        enough=lambda totals: totals.orders > 0,
    )
    assert view.totals.orders == orders_written(tmp_path / "out") == 2
    assert view.err.getvalue().splitlines() == [
        f"2 files are in {tmp_path / 'in'} already; they are left alone, as only files that appear from now "
        f"on are taken. Hint: --available-now takes what is there."
    ]


def test_files_of_a_glob_that_are_there_are_counted_too(tmp_path: Path) -> None:
    put(tmp_path / "in" / "1", "a.txt")
    put(tmp_path / "in" / "2", "a.txt")
    put(tmp_path / "in", "3.txt")
    options = Options(f"{tmp_path}/in/*", str(tmp_path / "out" / "f"), interval_s=0.05, window_s=1)
    view = Watched(options)
    run(
        options,
        view,
        threading.Event(),
        started=lambda: put(tmp_path / "in" / "2", "c.txt", ORDER * 2) and None,
        enough=lambda totals: totals.orders > 0,
    )
    assert view.err.getvalue().startswith("3 files are in ")
    assert view.totals.orders == 2


def test_an_input_directory_that_appears_later(tmp_path: Path) -> None:
    view = Watched(live(tmp_path))
    run(
        live(tmp_path),
        view,
        threading.Event(),
        started=lambda: put(tmp_path / "in", "a.txt") and None,
        enough=lambda totals: totals.orders > 0,
    )
    assert view.totals.orders == 1
    assert view.err.getvalue() == (
        f"There is no directory {tmp_path / 'in'} yet; its files are taken once it appears.\n"
    )


def test_a_stop_in_the_middle_of_a_batch_lets_it_complete(tmp_path: Path) -> None:
    stop, waiting = threading.Event(), threading.Event()

    def act(time: datetime) -> None:
        stop.set()
        assert waiting.wait(30), "nobody waits for the batch"

    class Noting(Watched):
        def note(self, message: str) -> None:
            super().note(message)
            waiting.set()

    view = Noting(live(tmp_path), act)
    (tmp_path / "in").mkdir()
    run(live(tmp_path), view, stop, started=lambda: put(tmp_path / "in", "a.txt", ORDER * 3) and None)
    assert "Stopping once the batches in line are complete" in view.err.getvalue()
    assert view.totals.orders == orders_written(tmp_path / "out")
    assert view.totals.batches >= 1
    assert len(view.out.getvalue().splitlines()) == 1 + view.totals.batches


def test_what_fails_on_the_way_to_the_stop_is_raised(tmp_path: Path) -> None:
    stop, waiting = threading.Event(), threading.Event()

    def act(time: datetime) -> None:
        stop.set()
        assert waiting.wait(30), "nobody waits for the batch"
        raise ZeroDivisionError

    class Noting(Watched):
        def note(self, message: str) -> None:
            super().note(message)
            waiting.set()

    (tmp_path / "in").mkdir()
    view = Noting(live(tmp_path), act)
    with pytest.raises(ZeroDivisionError):
        run(live(tmp_path), view, stop)
    assert view.totals.failed >= 1


# Real processes


@contextmanager
def process(*arguments: str | Path, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """``penstock brokerage ...``; killed after a minute, and whatever happens at the end."""
    started = subprocess.Popen(
        [sys.executable, "-m", "penstock.cli", "brokerage", *map(str, arguments)],
        stdout=options.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    guard = threading.Timer(60, started.kill)
    guard.start()
    try:
        yield started
    finally:
        guard.cancel()
        started.kill()
        started.wait()
        for stream in (started.stdout, started.stderr):
            if stream is not None:
                stream.close()


def batches(running: subprocess.Popen[str]) -> Iterator[tuple[int, int]]:
    """Orders and rejected lines of each batch, as the process prints them."""
    assert running.stdout is not None
    assert running.stdout.readline().startswith("batch  ")
    for line in running.stdout:
        _, _, _, buys, sells, refused, *_ = line.replace(",", "").split()
        yield int(buys) + int(sells), int(refused)


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_live_run_fed_by_another_process_takes_each_line_once(
    number: signal.Signals, exit_code: int, tmp_path: Path
) -> None:
    count = 20_000
    (tmp_path / "orders.txt").write_bytes(b"".join(order_blocks(count, seed=4, malformed=0.01)))
    (tmp_path / "temporary").mkdir()
    timing = ["--interval", "0.2", "--window", "1"]
    environment = os.environ | {"TMPDIR": str(tmp_path / "temporary")}
    with process("run", "--no-ui", *paths(tmp_path), *timing, env=environment) as running:
        seen = batches(running)
        next(seen)
        feed = ["feed", tmp_path / "orders.txt", tmp_path / "in", "--lines", "800", "--every", "0.02"]
        with process(*feed) as feeding:
            taken = 0
            while taken < count:
                taken += sum(next(seen))
            assert feeding.wait(30) == 0
        running.send_signal(number)
        rest, errors = running.communicate(timeout=60)
    assert running.returncode == exit_code
    assert rest.splitlines()[-1].startswith("Stopped after ")
    assert errors.splitlines() == [
        f"There is no directory {tmp_path / 'in'} yet; its files are taken once it appears.",
        "Stopping once the batches in line are complete. Ctrl-C again ends at once.",
    ]
    rejects = (tmp_path / "out" / "figures-rejects.tsv").read_text().split("\n")[:-1]
    assert len(rejects) == len(set(rejects)) > count * 0.005
    assert orders_written(tmp_path / "out") + len(rejects) == count
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_reader_that_has_gone_ends_the_run_quietly(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    timing = ["--interval", "0.1", "--window", "1"]
    with process("run", "--no-ui", *paths(tmp_path), *timing) as running:
        assert running.stdout is not None
        running.stdout.readline()
        running.stdout.close()
        running.stdout = None
        _, errors = running.communicate(timeout=60)
    assert running.returncode == 1
    assert errors == ""
    written(tmp_path / "out")
