"""Which engines need what, how to get it, and which Python runs them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ALWAYS_THERE", "ROOT", "Peer", "peer_of"]

ROOT = Path(__file__).resolve().parent.parent
_BENCH_HINT = "pip install '.[bench]', or make bench"


@dataclass(frozen=True)
class Peer:
    """What an engine stands on.

    ``python`` finds the interpreter that has it, or says ``None``; ``hint`` how it is installed. One that is
    ``slow`` takes minutes, so it runs once and only if it is asked for.
    """

    python: Callable[[], str | None]
    hint: str
    slow: bool = False


def peer_of(engine: str) -> Peer:
    """What ``engine`` needs; nothing for Penstock and for loops on what Penstock stands on itself."""
    return _PEERS.get(engine, ALWAYS_THERE)


def _here(module: str) -> Callable[[], str | None]:
    return lambda: sys.executable if importlib.util.find_spec(module) else None


def _pathway_python() -> str | None:
    """This interpreter if it has Pathway, else the one of the environment that make builds for it."""
    folder = ROOT / ".venv-pathway"
    apart = any(folder.glob("lib/python*/site-packages/pathway/__init__.py"))
    return _here("pathway")() or (str(folder / "bin" / "python") if apart else None)


def _spark_python() -> str | None:
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java") or (home and shutil.which("java", path=f"{home}/bin"))
    return _here("pyspark")() if java else None


def _cluster_python() -> str | None:
    """As PySpark's, if this Penstock has what runs it on Spark."""
    return _spark_python() if importlib.util.find_spec("penstock.executors.spark") else None


ALWAYS_THERE = Peer(lambda: sys.executable, "")
_SPARK = Peer(_spark_python, f"{_BENCH_HINT}; and Java 17 or newer, on the PATH or in JAVA_HOME", slow=True)
_CLUSTER = Peer(
    _cluster_python, "a Penstock that runs on spark:// masters; and what pyspark needs", slow=True
)
_PEERS = {
    "polars": Peer(_here("polars"), _BENCH_HINT),
    "duckdb": Peer(_here("duckdb"), _BENCH_HINT),
    "bytewax": Peer(_here("bytewax"), f"{_BENCH_HINT}; it has no wheels for Python 3.13 and newer"),
    "pathway": Peer(
        _pathway_python, "make bench-peers, which makes .venv-pathway: it holds pyarrow below the newest"
    ),
    "penstock-on-cluster": _CLUSTER,
    "pyspark": _SPARK,
    "pyspark-structured": _SPARK,
}
