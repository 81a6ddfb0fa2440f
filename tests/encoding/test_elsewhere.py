"""What is pickled for another machine: the program's own modules travel whole, and nothing here notices."""

from __future__ import annotations

import importlib
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import cloudpickle
import pytest

from penstock.encoding import cloudpickled, travelling

TEXT = """
from dataclasses import dataclass

FEE = 3

@dataclass(frozen=True)
class Trade:
    volume: int

def fee_of(trade):
    return Trade(trade.volume * FEE)
"""

LOADS = "import pickle, sys; function, trade = pickle.load(sys.stdin.buffer); print(function(trade).volume)"


@pytest.fixture
def trades(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A module that only this process finds."""
    (tmp_path / "trades_of_a_test.py").write_text(TEXT)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("trades_of_a_test")
    del sys.modules["trades_of_a_test"]


def loaded_elsewhere(data: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-c", LOADS], input=data, capture_output=True, check=False)


def test_the_programs_own_modules_travel_whole(trades: ModuleType) -> None:
    found = loaded_elsewhere(travelling((trades.fee_of, trades.Trade(5))))
    assert (found.returncode, found.stdout) == (0, b"15\n"), found.stderr
    by_name = loaded_elsewhere(cloudpickled((trades.fee_of, trades.Trade(5))))
    assert b"No module named 'trades_of_a_test'" in by_name.stderr


def test_afterwards_pickles_for_this_machine_are_as_before(trades: ModuleType) -> None:
    before = cloudpickle.dumps(trades.fee_of)
    travelling(trades.fee_of)
    assert "trades_of_a_test" not in cloudpickle.list_registry_pickle_by_value()
    assert cloudpickle.dumps(trades.fee_of) == before
    with pytest.raises(TypeError, match="lock"):
        travelling((trades.fee_of, threading.Lock()))
    assert cloudpickle.dumps(trades.fee_of) == before


def test_what_the_program_has_registered_stays_registered(trades: ModuleType) -> None:
    cloudpickle.register_pickle_by_value(trades)
    try:
        travelling(trades.fee_of)
        assert "trades_of_a_test" in cloudpickle.list_registry_pickle_by_value()
    finally:
        cloudpickle.unregister_pickle_by_value(trades)


def test_a_class_that_comes_back_is_the_programs_own(trades: ModuleType) -> None:
    found = pickle.loads(travelling(trades.Trade(5)))
    assert type(found) is trades.Trade
