"""The demonstration: what it checks, what it says, and what it never deletes."""

from __future__ import annotations

import io
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from penstock.brokerage import demo as module
from penstock.brokerage import ways
from penstock.brokerage.demo import DemoFailed, demo
from penstock.brokerage.feed import Fed
from penstock.cli import main

SMALL = ["--orders", "2500", "--parts", "4", "--every", "0.05", "--interval", "0.1", "--no-ui"]


def command(folder: Path, *arguments: str) -> Result:
    line = ["brokerage", "demo", "--folder", str(folder), *SMALL, *arguments]
    return CliRunner().invoke(main, line, prog_name="penstock", catch_exceptions=False)


def test_it_ends_by_itself_with_checked_figures(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    result = command(folder)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[0] == (
        f"2,500 orders in {folder / 'orders.txt'}; 4 files of them go into {folder / 'input'}, "
        f"one every 0.05 s."
    )
    assert lines[1].startswith("batch  ")
    report = lines[lines.index("") + 1 :]
    assert re.fullmatch(r"2,500 orders in \d+ batch(es)? of 0\.1 s, 0 lines rejected\.", report[0])
    assert report[1].startswith("Top clients, amount so far:         ")
    assert report[2].startswith("Top securities, volume, last hour:  ")
    assert report[3:] == [
        f"Figures of every batch: {folder / 'output' / 'figures'}-<ms>.txt/part-00000",
        "Checked: every figure of every batch equals a direct computation over the whole file.",
    ]
    assert len(list((folder / "input").iterdir())) == 4


def test_a_second_demonstration_takes_the_place_of_the_first(tmp_path: Path) -> None:
    assert command(tmp_path).exit_code == 0
    (tmp_path / "input" / "stray").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "input")
    assert command(tmp_path, "--orders", "10", "--parts", "2").exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".penstock-demo",
        "input",
        "orders.txt",
        "output",
    ]
    assert len((tmp_path / "orders.txt").read_text().splitlines()) == 10


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("ten years of work")
    result = command(tmp_path)
    assert result.exit_code == 1
    assert result.output == (
        f"Error: {tmp_path} holds something else than a demonstration. Hint: name another --folder.\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_what_a_link_leads_to_is_not_deleted(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "thesis.txt").write_text("ten years of work")
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / ".penstock-demo").touch()
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    assert command(folder, "--orders", "10").exit_code == 0
    assert (tmp_path / "elsewhere" / "thesis.txt").exists()


@pytest.mark.parametrize(
    "wrong", [["--interval", "0"], ["--interval", "nan"], ["--every", "-1"], ["--orders", "0"]]
)
def test_wrong_usage_touches_nothing(wrong: list[str], tmp_path: Path) -> None:
    result = command(tmp_path / "demo", *wrong)
    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: penstock brokerage demo")
    assert not (tmp_path / "demo").exists()


def test_an_interval_that_does_not_divide_an_hour(tmp_path: Path) -> None:
    assert command(tmp_path, "--interval", "0.07").exit_code == 0


def run_demo(folder: Path, stop: threading.Event | None = None) -> bool:
    return demo(
        folder,
        Console(file=io.StringIO(), width=200),
        stop or threading.Event(),
        orders=100,
        parts=2,
        every_s=0,
        interval_s=0.05,
        ui=False,
    )


def test_a_figure_that_differs_is_a_failure_that_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = module.figures

    def wrong(*arguments: Any) -> list[Any]:
        batches = figures(*arguments)
        batches[-1]["buys"] += 1
        return batches

    monkeypatch.setattr(module, "figures", wrong)
    result = command(tmp_path, "--orders", "100", "--parts", "1")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: the batch of ")
    assert result.stderr.count("\n") == 1
    assert " wrote (" in result.stderr  # perhaps no BUYS: an empty batch may have followed the orders
    assert "but the direct computation says ('BUYS', ['" in result.stderr


def test_an_amount_that_differs_is_a_failure_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = module.figures

    def wrong(*arguments: Any) -> list[Any]:
        batches = figures(*arguments)
        client, cents = batches[-1]["top_clients"][0]
        batches[-1]["top_clients"][0] = (client, cents + 1)
        return batches

    monkeypatch.setattr(module, "figures", wrong)
    with pytest.raises(DemoFailed, match=r"^top clients: the stream says \[.*\], the direct computation \["):
        run_demo(tmp_path)


def test_a_line_that_no_batch_took_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Forgetful(ways.WAYS["files"]):  # type: ignore[misc]
        def batches(self, whole: Any, shares: Any) -> Iterator[Any]:
            kept = list(whole)
            yield from super().batches(iter(kept), shares)
            whole.seek(0)

    monkeypatch.setitem(ways.WAYS, "files", Forgetful)
    with pytest.raises(DemoFailed, match=r"not all lines of .* came into a batch"):
        run_demo(tmp_path)


def test_a_feed_that_fails_ends_the_demonstration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **options: Any) -> Fed:
        raise OSError("the disk is full")

    monkeypatch.setattr(ways, "feed_files", full)
    with pytest.raises(OSError, match="the disk is full"):
        run_demo(tmp_path)


def test_a_stop_ends_it_without_a_check(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    assert run_demo(tmp_path, stop) is False


@pytest.mark.parametrize(("over", "leasts"), [("files", (1, 4)), ("acked", (1, 3))])
def test_one_that_was_interrupted_goes_on_to_the_same_end(
    tmp_path: Path, over: str, leasts: tuple[int, ...]
) -> None:
    """It is killed while it runs, twice, and started again with the same command."""
    folder = tmp_path / "demo"
    line = [sys.executable, "-m", "penstock.cli", "brokerage", "demo", "--folder", str(folder)]
    line += ["--orders", "6000", "--parts", "12", "--every", "0.2", "--interval", "0.1", "--over", over]
    for least in leasts:
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while len(list((folder / "output").glob("figures-*.txt"))) < 5 * least:
            assert process.poll() is None, "it has ended by itself"
            time.sleep(0.02)
        process.kill()
        process.wait()
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "Going on with the demonstration that was interrupted."
    assert any(line.startswith("6,000 orders in ") for line in lines)
    assert lines[-1].startswith("Checked: every figure of every batch equals a direct computation")
    if over != "files":
        return
    assert lines[-1].endswith(" over the whole file.")
    again = subprocess.run([*line, "--orders", "100"], capture_output=True, text=True, check=False)
    assert again.stdout.startswith("100 orders in ")


# Over other things than files


@pytest.mark.parametrize("over", ["tcp", "acked", "kafka", "s3"])
def test_over_each_source_the_figures_are_those_of_the_file(over: str, tmp_path: Path) -> None:
    if over == "kafka":
        pytest.importorskip("confluent_kafka", reason="Hint: pip install 'penstock[kafka]'")
    if over == "s3":
        pytest.importorskip("s3fs", reason="Hint: pip install 'penstock[s3]'")
        pytest.importorskip("moto.server", reason="Hint: pip install 'moto[server]'")
    result = command(tmp_path / "demo", "--over", over)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"2,500 orders in {tmp_path / 'demo' / 'orders.txt'}; 4 ")
    assert any(line.startswith("2,500 orders in ") and line.endswith(" 0 lines rejected.") for line in lines)
    assert lines[-1].startswith("Checked: every figure of every batch equals a direct computation")
    assert "Hint: --" not in result.stderr, "a hint at an option that this command has not"
    again = command(tmp_path / "demo", "--over", over, "--orders", "100")
    assert again.stdout.startswith("100 orders in "), "it begins anew"


SERVED = """
import sys
from pathlib import Path
from penstock.brokerage.servers import s3_server
import fsspec
with s3_server(Path(sys.argv[1])):
    print(fsspec.config.conf["s3"]["endpoint_url"].rpartition(":")[2], flush=True)
    sys.stdin.read()
"""


def test_the_server_of_a_demonstration_that_was_killed_ends_too(tmp_path: Path) -> None:
    pytest.importorskip("s3fs", reason="Hint: pip install 'penstock[s3]'")
    pytest.importorskip("moto.server", reason="Hint: pip install 'moto[server]'")
    line = [sys.executable, "-c", SERVED, str(tmp_path)]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        socket.create_connection(("127.0.0.1", port), 5).close()
        process.kill()
        process.wait()
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), 5).close()
            except ConnectionError:
                return
            time.sleep(0.05)
    pytest.fail(f"a server is left behind at port {port}")


def test_a_batch_that_had_other_lines_is_found_out_over_a_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Damaging(ways.Unacknowledged):
        def send(self) -> Fed:
            after = self._blocks.after
            damaged = (block.replace(b",S\n", b",B\n", 1) for block in after(0))
            monkeypatch.setattr(self._blocks, "after", lambda first: damaged)
            return super().send()

    monkeypatch.setattr(ways, "Unacknowledged", Damaging)
    result = command(tmp_path / "demo", "--over", "tcp")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("Error: the batch of ")


def test_a_server_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = command(tmp_path / "demo", "--over", "kafka")
    assert result.exit_code == 2
    assert "needs confluent_kafka. Hint: pip install 'penstock[kafka]'." in result.output
