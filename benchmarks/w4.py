"""W4: state by key: 10,000 of the resident keys get a value in each batch, which is added to their sum.

10,000 to 10,000,000 keys are resident (quick: up to 100,000). Penstock and PySpark do it with
``updateStateByKey`` and an ``initialRDD``: every batch makes a new version of the whole state, and ends by
counting its keys. ``mapWithState``, which PySpark has not, touches only the keys that got a value, as does
the loop by hand on a dict; it ends by counting what the function returned. Penstock's pairs come from Arrow
tables; those of the others are Python tuples. ``penstock-mapped-rows`` is the same function on Python
objects, as it is for a function that cannot be traced. With ten million keys these two and PySpark
are left out.

``seconds`` is the median of the batches after a warm-up; bytes per key are what the process holds more at the
end than before it had state, where it is a single process, and the size that Spark reports of the state's
newest version for PySpark. What is loaded on first use is in it, which counts where keys are few; ``of
state`` is what the operator says itself (``memoryUsedBytes``).
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.measure import Figures, batch_figures, measured, resident_bytes
from benchmarks.workload import Workload

__all__ = ["TOUCHED", "by_pyspark", "mapped", "workloads"]

TOUCHED = 10_000
WARM_UP = 3
BATCHES = 20
SPARK_BATCHES = 10  # each takes seconds where a million keys are resident
SPARK_INTERVAL_S = 0.5

Pairs = list[tuple[int, int]]


def news_of(keys: int, batch: int) -> Pairs:
    """A value for each of 10,000 distinct keys, spread over all of them, others in each batch.

    >>> news_of(20_000, 0)[:2], news_of(20_000, 1)[:2], len({key for key, _ in news_of(20_000, 1)})
    ([(0, 1), (2, 1)], [(1, 1), (3, 1)], 10000)
    """
    step = keys // TOUCHED
    return [((index * step + batch) % keys, 1) for index in range(TOUCHED)]


def penstock(keys: int, folder: Path) -> Figures:
    """``updateStateByKey`` on a queue of Arrow tables, one a batch."""
    return _by_penstock(_program, keys, keys, folder)


def penstock_mapped(keys: int, folder: Path) -> Figures:
    """``mapWithState`` on the same."""
    return mapped(keys, folder)


def mapped(keys: int, folder: Path, master: str = "local[*]", batches: int = BATCHES) -> Figures:
    """``mapWithState`` on this master; so many batches count."""
    return _by_penstock(_mapped, keys, TOUCHED, folder, master, batches)


def _by_penstock(
    program: Callable[[Any, Any, list[int]], None],
    keys: int,
    expected: int,
    folder: Path,
    master: str = "local[*]",
    batches: int = BATCHES,
) -> Figures:
    from benchmarks.streams import Processing, pairs_of_columns, pairs_of_table, run_to_end
    from penstock import Context, StreamingContext

    with Context(master, "W4") as sc:
        sc.setCheckpointDir(str(folder / "w4-checkpoint"))
        ssc = StreamingContext(sc, 0.1)
        news = [pairs_of_table(sc, news_of(keys, batch)) for batch in range(WARM_UP + batches)]
        initial = pairs_of_columns(sc, np.arange(keys), np.ones(keys, np.int64))
        counted: list[int] = []
        processing = Processing()
        program(ssc.queueStream(news), initial, counted)
        before = _resident()
        with measured() as whole:
            seconds = run_to_end(ssc, processing)
        held = _resident() - before
    assert counted == [expected] * (WARM_UP + batches), counted
    return {
        **_figures(whole, seconds, keys, held),
        "state_bytes_per_key": processing.state_bytes / keys,
    }


def penstock_mapped_rows(keys: int, folder: Path) -> Figures:
    """``mapWithState`` on Python objects."""
    return _by_penstock(_mapped_rows, keys, TOUCHED, folder)


def python_dict(keys: int, folder: Path) -> Figures:
    """By hand: a dict, and a loop over what is new."""
    news = [news_of(keys, batch) for batch in range(WARM_UP + BATCHES)]
    before = _resident()
    seconds: list[float] = []
    with measured() as whole:
        state = dict.fromkeys(range(keys), 1)
        for pairs in news:
            begun = time.perf_counter()
            for key, value in pairs:
                state[key] = state.get(key, 0) + value
            assert len(state) == keys
            seconds.append(time.perf_counter() - begun)
    held = _resident() - before
    assert sum(state.values()) == keys + len(news) * TOUCHED
    return _figures(whole, seconds, keys, held)


def pyspark(keys: int, folder: Path) -> Figures:
    """The same program on PySpark's DStreams; its state is checkpointed every ten seconds, as Spark does."""
    return by_pyspark(keys, folder)


def by_pyspark(
    keys: int, folder: Path, master: str = "local[*]", counted_batches: int = SPARK_BATCHES
) -> Figures:
    """The same on this master; so many batches count."""
    from benchmarks.spark import stream, timed_batches

    with stream("W4", SPARK_INTERVAL_S, master) as (ssc, batches):
        sc, more = ssc.sparkContext, 5
        sc.setCheckpointDir(str(folder / "w4-pyspark-checkpoint"))
        queue = ssc.queueStream([news_of(keys, batch) for batch in range(WARM_UP + counted_batches + more)])
        counted: list[int] = []
        _program(queue, sc.range(keys).map(lambda key: (key, 1)), counted)
        figures = timed_batches(ssc, batches, WARM_UP, counted_batches)
        kept = [info.memSize() + info.diskSize() for info in sc._jsc.sc().getRDDStorageInfo()]
    assert set(counted) == {keys}, counted
    return {**figures, "bytes_per_key": max(kept) / keys} if kept else figures


def _program(news: Any, initial: Any, counted: list[int]) -> None:
    state = news.updateStateByKey(lambda values, total: sum(values) + (total or 0), initialRDD=initial)
    state.foreachRDD(lambda rdd: counted.append(rdd.count()))


def _mapped(news: Any, initial: Any, counted: list[int]) -> None:
    from penstock import State, StateSpec

    def add(key: int, value: int, state: State) -> int:
        total: int = (state.getOption() or 0) + value
        state.update(total)
        return total

    totals = news.mapWithState(StateSpec.function(add).initialState(initial))
    totals.foreachRDD(lambda rdd: counted.append(rdd.count()))


def _mapped_rows(news: Any, initial: Any, counted: list[int]) -> None:
    from penstock import State, StateSpec

    seen: list[int] = [0]

    def add(key: int, value: int, state: State) -> int:
        seen[0] = value  # which keeps it from being traced
        total: int = (state.getOption() or 0) + value
        state.update(total)
        return total

    totals = news.mapWithState(StateSpec.function(add).initialState(initial.map(_as_it_is)))
    totals.foreachRDD(lambda rdd: counted.append(rdd.count()))


def _as_it_is(pair: Any) -> Any:
    try:  # nor is this
        return pair
    finally:
        pass


def _resident() -> int:
    gc.collect()
    pa.default_memory_pool().release_unused()
    return resident_bytes()


def _figures(whole: Figures, seconds: list[float], keys: int, held: int) -> Figures:
    counted = batch_figures(seconds[WARM_UP:])
    cpu = whole["cpu_seconds"] / len(seconds)
    return {**whole, **counted, "cpu_seconds": cpu, "bytes_per_key": max(held, 0) / keys}


def workloads(*, quick: bool) -> dict[str, Workload]:
    engines = {
        "penstock": penstock,
        "penstock-mapped": penstock_mapped,
        "penstock-mapped-rows": penstock_mapped_rows,
        "python-dict": python_dict,
        "pyspark": pyspark,
    }
    most = ("penstock", "penstock-mapped", "python-dict")
    sizes = (10_000, 100_000) if quick else (10_000, 100_000, 1_000_000, 10_000_000)
    return {
        f"W4-{keys}": Workload(
            f"median time of a batch of 10,000 keys, {keys:,} resident",
            "python-dict",
            {
                name: partial(engine, keys)
                for name, engine in engines.items()
                if keys <= 1_000_000 or name in most
            },
        )
        for keys in sizes
    }
