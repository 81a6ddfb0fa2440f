"""The application's page without a browser: where it is printed, what it says at the end, when there is none.

What it looks like, and that it says what the files say, is in ``tests/browser/test_dashboards.py``.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from penstock.brokerage.options import Options
from penstock.cli import main
from penstock.errors import UnsupportedError
from penstock.monitor import monitor

DEMO = ["brokerage", "demo", "--orders", "2500", "--parts", "4", "--every", "0.05", "--interval", "0.1"]


@pytest.fixture(autouse=True)
def _pages_can_be_served() -> None:
    pytest.importorskip("starlette", reason="Hint: pip install 'penstock[ui]'")
    pytest.importorskip("plotly", reason="Hint: pip install 'penstock[ui]'")


def test_the_demo_serves_its_page_and_keeps_it_until_it_is_stopped(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "penstock.cli", *DEMO, "--folder", str(tmp_path / "demo"), "--port", "0"]
    with subprocess.Popen(
        [*line, "--keep"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as program:
        assert program.stdout is not None
        said, kept = [], None
        for text in program.stdout:
            said.append(text)
            kept = re.search(r"The dashboard stays at (http://127.0.0.1:\d+)/ until Ctrl-C.", text)
            if kept is not None:
                break
        try:
            assert kept is not None, "".join(said)
            with urllib.request.urlopen(f"{kept[1]}/dashboards/brokerage-demo/state", timeout=10) as answer:
                state = json.load(answer)
        finally:
            program.send_signal(signal.SIGINT)
        program.communicate(timeout=30)
    output = "".join(said)
    assert re.search(r"The dashboard: http://127.0.0.1:\d+/dashboards/brokerage-demo", output)
    assert program.returncode == 0
    assert state["status"]["phase"] == "over"
    assert state["panels"]["panel-2"]["text"] == "2,500"
    clients = [row["cells"] for row in state["panels"]["panel-6"]["rows"]]
    shown = ", ".join(f"{client} ({amount[1:]})" for client, amount in clients)
    assert f"Top clients, amount so far:         {shown}\n" in output
    stocks = [row["cells"] for row in state["panels"]["panel-7"]["rows"]]
    assert ", ".join(f"{symbol} ({volume})" for symbol, volume in stocks) in output


def test_without_the_extra_there_is_a_note_and_all_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise UnsupportedError(
            "pages need starlette, which is not installed. Hint: pip install 'penstock[ui]'."
        )

    monkeypatch.setattr(monitor, "must_have_pages", missing)
    monkeypatch.setattr(monitor, "_said", False)
    done = CliRunner().invoke(main, [*DEMO, "--folder", str(tmp_path / "demo")], catch_exceptions=False)
    assert done.exit_code == 0
    assert "Hint: pip install 'penstock[ui]'." in done.stderr
    assert done.stdout.splitlines()[-1].startswith("Checked: ")


@pytest.mark.parametrize(
    ("changes", "serves"), [({}, True), ({"ui": False}, False), ({"available_now": True}, False)]
)
def test_when_there_is_a_page(changes: dict[str, bool], serves: bool) -> None:
    assert Options("in", "out/f", **changes).serves is serves  # type: ignore[arg-type]
