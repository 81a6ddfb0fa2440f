"""Where functions of the user's run: the table of ``docs/workers.md``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock import Context, StateSpec, StreamingContext
from penstock.testing import ManualClock, Stepper
from tests.executors.counting import Counting
from tests.executors.crews import with_workers


@pytest.fixture(scope="module")
def sc() -> Iterator[Context]:
    with with_workers(2) as context:
        yield context


class Where:
    """Notes in which process it is called; gives back what it is told to."""

    def __init__(self, give: Callable[..., Any]) -> None:
        self.counting = Counting()
        self._give = give

    def __call__(self, *given: Any) -> Any:
        self.counting(os.getpid())
        return self._give(*given)

    @property
    def places(self) -> set[str]:
        return {"program" if pid == str(os.getpid()) else "workers" for pid in self.counting.seen}


FIRST = lambda first, *others: first  # noqa: E731
PAIRS = [(x % 3, x) for x in range(12)]


def _save(rdd: Any) -> None:
    rdd.saveAsTextFile(f"{rdd.context.getCheckpointDir()}/saved")


RDDS: dict[str, tuple[Callable[..., Any], Callable[[Any, Any], Any], set[str]]] = {
    "map": (FIRST, lambda r, f: r.map(f).collect(), {"workers"}),
    "filter": (FIRST, lambda r, f: r.filter(f).collect(), {"workers"}),
    "flatMap": (FIRST, lambda r, f: r.flatMap(f).collect(), {"workers"}),
    "mapPartitions": (FIRST, lambda r, f: r.mapPartitions(f).collect(), {"workers"}),
    "mapValues": (FIRST, lambda r, f: r.mapValues(f).collect(), {"workers"}),
    "reduceByKey": (FIRST, lambda r, f: r.reduceByKey(f, 2).collect(), {"workers"}),
    "foldByKey": (FIRST, lambda r, f: r.foldByKey(0, f, 2).collect(), {"workers"}),
    "sortBy": (FIRST, lambda r, f: r.sortBy(f).collect(), {"workers"}),
    "keyBy": (FIRST, lambda r, f: r.keyBy(f).count(), {"workers"}),
    "foreach": (FIRST, lambda r, f: r.foreach(f), {"workers"}),
    "foreachPartition": (FIRST, lambda r, f: r.foreachPartition(f), {"workers"}),
    "reduce": (FIRST, lambda r, f: r.reduce(f), {"workers", "program"}),
    "max": (FIRST, lambda r, f: r.max(f), {"workers", "program"}),
    "saved": (FIRST, lambda r, f: _save(r.map(f)), {"workers"}),
    "take": (FIRST, lambda r, f: r.map(f).take(1), {"workers"}),
}  # fmt: skip


@pytest.mark.parametrize("name", RDDS)
def test_functions_of_rdds(sc: Context, name: str, tmp_path: Path) -> None:
    give, run, places = RDDS[name]
    sc.setCheckpointDir(str(tmp_path))
    where = Where(give)
    run(sc.parallelize(PAIRS, 3), where)
    assert where.places == places


def _counted(values: list[int], state: int | None) -> int:
    return len(values) + (state or 0)


def _stated(key: Any, value: Any, state: Any) -> Any:
    state.update(1)
    return key


SPEC = StateSpec.function(_stated)

STREAMS: dict[str, tuple[Callable[..., Any], Callable[[Any, Any], Any], set[str]]] = {
    "map": (FIRST, lambda s, f: s.map(f), {"workers"}),
    "below updateStateByKey": (FIRST, lambda s, f: s.map(f).updateStateByKey(_counted), {"workers"}),
    "updateStateByKey": (_counted, lambda s, f: s.updateStateByKey(f), {"program"}),
    "below mapWithState": (FIRST, lambda s, f: s.map(f).mapWithState(SPEC), {"workers"}),
    "behind mapWithState": (FIRST, lambda s, f: s.mapWithState(SPEC).map(f), {"workers"}),
    "reduceByKeyAndWindow": (FIRST, lambda s, f: s.reduceByKeyAndWindow(f, None, 4), {"workers", "program"}),
    "transform": (FIRST, lambda s, f: s.transform(f), {"program"}),
}  # fmt: skip


@pytest.mark.parametrize("name", STREAMS)
def test_functions_of_streams(sc: Context, name: str, tmp_path: Path) -> None:
    give, build, places = STREAMS[name]
    sc.setCheckpointDir(str(tmp_path))
    where, clock = Where(give), ManualClock()
    ssc = StreamingContext(sc, 2, clock=clock)
    found: list[Any] = []
    build(ssc.queueStream([PAIRS, PAIRS]), where).foreachRDD(lambda rdd: found.extend(rdd.collect()))
    with Stepper(ssc, clock) as stepper:
        stepper.step()
        stepper.step()
    assert found
    assert where.places == places
