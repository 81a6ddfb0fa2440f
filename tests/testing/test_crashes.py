"""A program crashed at every point there is yields the same, and the kit notices one that does not."""

from __future__ import annotations

import errno
import logging
import shutil
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from operator import add, sub
from pathlib import Path
from typing import Any

import pytest

from penstock import Conf, Context, StateSpec
from penstock.brokerage.generate import write_orders
from penstock.brokerage.pipeline import figures_of
from penstock.dstream import DStream
from penstock.errors import CorruptCheckpoint
from penstock.storage.faulty import Fault, seeded_faults
from penstock.testing import crash_everywhere
from penstock.testing.crashes import _compare, _Program

pytestmark = pytest.mark.many_jobs

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


def with_pieces(pairs: DStream, folder: str) -> Any:
    """Floats in windows long enough to be put together of pieces, which no checkpoint holds."""
    tenths = pairs.mapValues(lambda value: value * 0.1)
    return tenths.reduceByKeyAndWindow(add, None, 11, 1, 2), tenths.reduceByKeyAndWindow(max, None, 12, 2, 1)


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


def test_some_points_with_pieces() -> None:
    values = [[("a", n), ("bc"[n % 2], n * n)] for n in range(1, 16)]
    assert crash_everywhere(with_pieces, values, batches=20, every=23, twice=5).points


@pytest.mark.long
def test_every_point_with_pieces() -> None:
    values = [[("a", n), ("bc"[n % 2], n * n)] for n in range(1, 16)]
    assert crash_everywhere(with_pieces, values, batches=18, twice=50).points


def test_some_points_of_the_dashboard(tmp_path: Path) -> None:
    assert crash_everywhere(brokerage, orders(tmp_path), files=True, batches=7, every=17, twice=3).points


@pytest.mark.long
@pytest.mark.parametrize("program", [with_state, with_windows])
def test_every_point(program: Any) -> None:
    assert len(crash_everywhere(program, PAIRS, batches=7, twice=200).points) > 500


@pytest.mark.long(minutes=2)
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


@pytest.fixture
def synced(sc: Context) -> None:
    sc.conf.set("penstock.checkpoint.syncOutputs", "true")


@pytest.mark.usefixtures("synced")
@pytest.mark.parametrize("program", [with_state, with_windows])
def test_some_losses_of_power(program: Any) -> None:
    assert crash_everywhere(program, PAIRS, batches=6, every=13, twice=3, power=True).points


@pytest.mark.long(minutes=3)
@pytest.mark.usefixtures("synced")
def test_a_loss_of_power_at_every_point(tmp_path: Path) -> None:
    assert crash_everywhere(with_state, PAIRS, batches=6, twice=100, power=True).points
    assert crash_everywhere(brokerage, orders(tmp_path), files=True, batches=7, twice=100, power=True).points


def test_without_that_setting_a_loss_of_power_is_noticed() -> None:
    with pytest.raises(AssertionError, match=r"crashed .*: out/totals"):
        crash_everywhere(with_state, PAIRS, batches=6, twice=0, power=True)


@pytest.mark.parametrize(
    ("seeds", "lose_syncs"),
    [
        (range(12), False),
        pytest.param(range(12, 400), False, marks=pytest.mark.long),
        # Which records such a disk has lost nobody can tell; these are refused, or of no consequence.
        (range(12), True),
    ],
)
def test_a_storage_that_fails_now_and_then(
    seeds: range, lose_syncs: bool, sc: Context, tmp_path: Path
) -> None:
    """Calls fail, some of them half way, and what is said to be durable may not be: the program tries again,
    stops with an error, or refuses to begin; what it writes is right."""
    sc.conf.set("penstock.streaming.retries", 2).set("penstock.checkpoint.syncOutputs", "true")
    for program in (with_state, with_windows):
        made = _Program(program, PAIRS, False, 1, 6)
        expected = made.run(tmp_path / "run", [])
        for seed in seeds:
            shutil.rmtree(tmp_path / "run")
            faults = seeded_faults(seed, expected.calls, count=1 + seed % 4)
            refused = suppress(CorruptCheckpoint) if lose_syncs else nullcontext()
            with refused:
                found = made.run(tmp_path / "run", [], faults=faults, lose_syncs=lose_syncs)
                _compare(found, expected, f"with {faults}")
        shutil.rmtree(tmp_path / "run")


def test_a_disk_that_is_full_for_a_while(sc: Context, tmp_path: Path) -> None:
    """Nothing can be written in the third batch, until there is room: what is there stays, and all goes
    on."""
    made = _Program(with_state, PAIRS, False, 1, 6)
    expected = made.run(tmp_path / "run", [])
    shutil.rmtree(tmp_path / "run")
    full = [Fault(call, errno=errno.ENOSPC) for call in range(expected.calls // 2, expected.calls // 2 + 30)]
    found = made.run(tmp_path / "run", [], faults=full)
    assert found.lives > 1
    _compare(found, expected, "when the disk was full")
