"""A program crashed at every point there is yields the same, and the kit notices one that does not."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from operator import add, sub
from pathlib import Path
from typing import Any

import pytest

from penstock import Conf, Context, StateSpec
from penstock.brokerage.generate import write_orders
from penstock.brokerage.pipeline import figures_of
from penstock.dstream import DStream
from penstock.testing import crash_everywhere
from penstock.testing.crashes import _Program

PAIRS: list[list[Any]] = [[("a", 1)], [("b", 2), ("a", 3)], [("a", 4)], [("c", 1)]]


@pytest.fixture(autouse=True)
def sc(caplog: pytest.LogCaptureFixture) -> Iterator[Context]:
    caplog.set_level(logging.CRITICAL, "penstock")  # crashes are told at length
    settings = {"penstock.streaming.retries": 0, "penstock.checkpoint.compactBytes": "2k"}
    with Context(conf=Conf().setMaster("local[2]").setAll(settings.items())) as context:
        yield context


def last(key: str, value: int | None, state: Any) -> Any:
    if state.isTimingOut():
        return ("gone", key, state.get())
    state.update(value)
    return (key, value)


def with_state(pairs: DStream, folder: str) -> Any:
    totals = pairs.updateStateByKey(lambda values, state: sum(values) + (state or 0), 2)
    totals.saveAsTextFiles(f"{folder}/totals", "txt")
    latest = pairs.mapWithState(StateSpec.function(last).timeout(2))
    return totals, latest, latest.stateSnapshots()


def with_windows(pairs: DStream, folder: str) -> Any:
    sums = pairs.reduceByKeyAndWindow(add, sub, 3, 1, 2)
    sums.saveAsTextFiles(f"{folder}/sums")
    return sums, pairs.window(2), pairs.countByWindow(4, 2)


def brokerage(lines: DStream, folder: str) -> Any:
    figures = figures_of(lines, 3)
    figures.report.saveAsTextFiles(f"{folder}/figures", "txt")
    return figures.rejects, figures.top_clients, figures.top_stocks


def orders(path: Path) -> list[list[str]]:
    file = path / "orders.txt"
    write_orders(file, 120, seed=1, malformed=0.02)
    lines = file.read_text("utf-8").splitlines()
    return [lines[at : at + 20] for at in range(0, 120, 20)]


@pytest.mark.parametrize("program", [with_state, with_windows])
def test_some_points(program: Any) -> None:
    crashes = crash_everywhere(program, PAIRS, batches=7, every=11, twice=5)
    assert len(crashes.points) > 20
    assert crashes.lives > 2 * len(crashes.points) - 5


def test_some_points_of_the_dashboard(tmp_path: Path) -> None:
    assert crash_everywhere(brokerage, orders(tmp_path), files=True, batches=7, every=17, twice=3).points


@pytest.mark.long
@pytest.mark.parametrize("program", [with_state, with_windows])
def test_every_point(program: Any) -> None:
    assert len(crash_everywhere(program, PAIRS, batches=7, twice=200).points) > 500


@pytest.mark.long
def test_every_point_of_the_dashboard(tmp_path: Path) -> None:
    crashes = crash_everywhere(brokerage, orders(tmp_path), files=True, batches=8, twice=200)
    assert len(crashes.points) > 500


def test_a_program_that_writes_where_it_must_not_is_found() -> None:
    """It appends, so a batch that is run again is there twice."""

    def appends(pairs: DStream, folder: str) -> None:
        def append(rdd: Any) -> None:
            with open(f"{folder}/all.txt", "a", encoding="utf-8") as file:
                file.write(f"{rdd.collect()}\n")

        pairs.foreachRDD(append)

    with pytest.raises(AssertionError, match=r"crashed \w+ \w+ \d+: out/all.txt holds"):
        crash_everywhere(appends, PAIRS, twice=0)


def test_a_program_whose_batches_depend_on_its_life_is_found() -> None:
    def counts(pairs: DStream, folder: str) -> DStream:
        lives.append(1)
        life = len(lives)
        return pairs.map(lambda pair: (pair, life))

    lives: list[int] = []
    with pytest.raises(AssertionError, match=r"crashed .*(yields|run again)"):
        crash_everywhere(counts, PAIRS, twice=0)


def test_the_lives_of_a_program(tmp_path: Path) -> None:
    """What the kit itself relies on: a life without a crash does all batches, once."""
    program = _Program(with_state, PAIRS, False, 1, 6)
    outcome = program.run(tmp_path / "run", [])
    assert (outcome.lives, outcome.changed) == (1, [])
    assert {time for _, time in outcome.records} == {1000 * n for n in range(1, 7)}
    assert outcome.calls > 6
    assert outcome.steps > 6 * 4
