"""The command: which engines run, what it writes, and figures that are carried on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import runner
from benchmarks.engines import ROOT, Peer
from benchmarks.measure import Figures
from benchmarks.report import table
from benchmarks.runner import EngineMissing, chosen_engines
from benchmarks.workload import Workload, workloads

PEERS = {
    "absent": Peer(lambda: None, "install it"),
    "slow": Peer(lambda: sys.executable, "", slow=True),
    "slow-absent": Peer(lambda: None, "install that", slow=True),
}
HERE = Peer(lambda: sys.executable, "")


def nothing(folder: Path) -> Figures:
    return {}


WORKLOADS = {
    "W1": Workload("time", "loop", dict.fromkeys(["penstock", "loop", "absent", "slow"], nothing)),
    "W2": Workload("time", "absent", dict.fromkeys(["absent", "slow-absent"], nothing)),
}


@pytest.fixture(autouse=True)
def peers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "peer_of", lambda engine: PEERS.get(engine, HERE))


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "benchmarks", *map(str, arguments)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)


def test_an_engine_that_is_not_there_is_left_out_with_a_hint() -> None:
    chosen, lines = chosen_engines(WORKLOADS, None, peers=False)
    assert chosen == {"W1": ["penstock", "loop"]}
    assert lines == [
        "left out: absent is not installed. Hint: install it",
        "left out: slow, slow-absent, which take minutes. Hint: --peers, or --engines",
    ]


def test_slow_engines_run_when_peers_are_asked_for() -> None:
    chosen, lines = chosen_engines(WORKLOADS, None, peers=True)
    assert chosen == {"W1": ["penstock", "loop", "slow"]}
    assert lines == [
        "left out: absent is not installed. Hint: install it",
        "left out: slow-absent is not installed. Hint: install that",
    ]


def test_engines_that_are_named_run_alone_and_slow_ones_among_them() -> None:
    assert chosen_engines(WORKLOADS, ["slow"], peers=False) == ({"W1": ["slow"]}, [])


def test_a_named_engine_that_is_not_there_is_an_error_with_its_hint() -> None:
    with pytest.raises(EngineMissing, match=r"^absent is not installed\. Hint: install it$"):
        chosen_engines(WORKLOADS, ["penstock", "absent"], peers=False)


def test_an_engine_of_no_workload_is_an_error_that_names_those_there_are() -> None:
    with pytest.raises(EngineMissing, match="no engine flink in W1, W2; there are absent, loop, penstock"):
        chosen_engines(WORKLOADS, ["flink"], peers=False)


@pytest.mark.parametrize("quick", [False, True])
def test_every_workload_has_its_base_and_penstock_among_its_engines(quick: bool) -> None:
    for name, workload in workloads(quick=quick).items():
        assert {workload.base, "penstock"} <= set(workload.engines), name


def test_the_table_has_a_row_an_engine_with_its_ratio_to_the_base() -> None:
    figures = {"seconds": 3.0, "cpu_seconds": 0.5, "peak_rss_mib": 99.6}
    rows = table({"W1": {"penstock": figures, "loop": {"seconds": 1.5}}}, WORKLOADS, 3, "make bench")
    assert rows.splitlines()[-2:] == [
        "| W1 | penstock | time: 3.00 s | 2.00 | 500.00 ms | 100 MiB |",
        "| W1 | loop | time: 1.50 s | 1.00 |  |  |",
    ]


def test_the_figures_of_a_run_as_json(tmp_path: Path) -> None:
    written = tmp_path / "made" / "results.json"
    done = command("W1", "--engines", "penstock,pyarrow-loop", "--runs", "1", "--json", written)
    assert done.returncode == 0, done.stderr
    results = json.loads(written.read_text())
    assert list(results) == ["W1"]
    assert set(results["W1"]) == {"penstock", "pyarrow-loop"}
    for figures in results["W1"].values():
        assert set(figures) == {"seconds", "records", "records_per_second", "peak_rss_mib", "cpu_seconds"}
        assert figures["records_per_second"] == figures["records"] / figures["seconds"]
        assert all(figure > 0 for figure in figures.values())
    assert "| W1 | pyarrow-loop | wall time for 500,000 orders in 50 files: " in done.stdout


def test_figures_that_are_given_are_shown_again_and_a_workload_that_is_named_takes_their_place(
    tmp_path: Path,
) -> None:
    given, written = tmp_path / "given.json", tmp_path / "written.json"
    page, drawn = tmp_path / "RESULTS.md", tmp_path / "results.svg"
    before = {
        "W3": {"penstock": {"seconds": 0.25}, "pyspark": {"seconds": 0.5}},
        "W8": {"imports": {"seconds": 4000.0}, "pyspark": {"seconds": 8000.0}},
    }
    given.write_text(json.dumps(before))
    out = ("--from", given, "--json", written, "--table", page, "--picture", drawn)

    done = command(*out)
    assert done.returncode == 0, done.stderr
    assert json.loads(written.read_text()) == before
    assert "| W3 | pyspark | median processing time of a batch: 500.00 ms | 2.00 |  |  |" in page.read_text()
    assert "](results.svg)" in page.read_text()
    assert drawn.read_text().startswith("<svg ")

    done = command("W8", "--engines", "imports", "--runs", "1", *out)
    assert done.returncode == 0, done.stderr
    after = json.loads(written.read_text())
    assert after["W3"] == before["W3"]
    assert after["W8"]["pyspark"] == before["W8"]["pyspark"]
    assert after["W8"]["imports"]["seconds"] < 4000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["W0"], "no workload W0; there are W1, W2"),
        (["W3", "--runs", "0"], "--runs 0: 1 or more"),
        (["W3", "--engines", "flink"], "no engine flink in W3; there are penstock, pyspark"),
    ],
)
def test_what_cannot_be_run_is_refused_in_a_line(arguments: list[str], said: str) -> None:
    done = command(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
