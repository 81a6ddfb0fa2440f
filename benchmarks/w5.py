"""W5: ``reduceByKeyAndWindow`` of max and of add, without an inverse: 10,000 keys, all in every slide.

10, 60 and 720 slides are in the window (quick: 10 and 60). Two loops by hand keep what each slide summed up
to and fold all of that in every slide: one with dicts, one with Arrow tables. Penstock's pairs come from
Arrow tables as well.

The window is read from the slide on that fills it; the slides after a warm-up count, as many as the window
holds and at least 60, or fewer if they would take more than a minute: so a structure that works most of the
time and pauses now and then is seen pausing, in p99. ``seconds`` is the median, the mean stands beside it.
Python's garbage collector pauses now and then, too, whatever runs, and for longer than many slides take: what
is there when the window is full is kept from it (``gc.freeze``), for all engines alike.

Combines of a slide are calls of the function for each key, beyond those that make the slide's own sums: the
mean, and the most of any slide. They are counted in a run of its own with 100 keys: a function that counts is
no longer the one that is timed, and runs row by row.
"""

from __future__ import annotations

import gc
import itertools
import operator
import random
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from benchmarks.measure import Figures, batch_figures, measured
from benchmarks.workload import Workload

__all__ = ["workloads"]

KEYS = 10_000
COUNTED_KEYS = 100
KINDS = 8  # of slides, in turn
WARM_UP = 3
LEAST_SLIDES = 60
BUDGET_S = 60.0

Function = Callable[[int, int], int]
Slide = list[tuple[int, int]]
Partial = TypeVar("Partial")
FUNCTIONS: dict[str, Function] = {"max": max, "add": operator.add}
ARROW_KERNELS: dict[Function, str] = {max: "max", operator.add: "sum"}


def penstock(function: Function, slides: int, folder: Path) -> Figures:
    """A queue of Arrow tables, one a slide."""
    figures = _penstock(function, slides, KEYS, _Reads(slides, max(LEAST_SLIDES, slides)))
    calls = 0

    def counting(a: int, b: int) -> int:
        nonlocal calls
        calls += 1
        return function(a, b)

    counted: list[
        int
    ] = []  # calls so far, as each slide is read: what is made ahead counts for the one after
    _penstock(counting, slides, COUNTED_KEYS, _Reads(slides, LEAST_SLIDES, lambda: counted.append(calls)))
    combines = [(after - before) / COUNTED_KEYS for before, after in itertools.pairwise(counted)]
    return {
        **figures,
        "combines_per_slide": statistics.fmean(combines),
        "most_combines_per_slide": max(combines),
    }


def _penstock(function: Function, slides: int, keys: int, reads: _Reads) -> Figures:
    from benchmarks.streams import pairs_of_table, run_to_end
    from penstock import RDD, Context, StreamingContext

    with Context("local[*]", "W5") as sc:
        ssc = StreamingContext(sc, 1)
        kinds = [pairs_of_table(sc, slide) for slide in _kinds(keys)]
        queue = ssc.queueStream([kinds[index % KINDS] for index in range(slides - 1 + WARM_UP + reads.count)])

        def read(rdd: RDD) -> None:
            if reads.wanted():
                reads.last = rdd.collect()

        queue.reduceByKeyAndWindow(function, None, slides, 1).foreachRDD(read)
        with measured() as whole:
            seconds = run_to_end(ssc)
    assert len(reads.last) == keys
    taken = seconds[slides - 1 :][: reads.taken]
    return {**whole, **batch_figures(taken[WARM_UP:]), "cpu_seconds": reads.cpu_seconds}


def recompute(function: Function, slides: int, folder: Path) -> Figures:
    """By hand: all kept slides folded anew, as dicts."""

    def fold(window: Iterable[dict[int, int]]) -> Slide:
        values: dict[int, int] = {}
        for slide in window:
            for key, value in slide.items():
                values[key] = function(values[key], value) if key in values else value
        return list(values.items())

    figures = _by_hand(slides, [dict(slide) for slide in _kinds(KEYS)], fold)
    return {**figures, "combines_per_slide": slides - 1, "most_combines_per_slide": slides - 1}


def recompute_arrow(function: Function, slides: int, folder: Path) -> Figures:
    """By hand: all kept slides folded anew, as Arrow tables, on all cores."""
    import pyarrow as pa

    kernel = ARROW_KERNELS[function]

    def fold(window: Iterable[pa.Table]) -> Slide:
        grouped = pa.concat_tables(window).group_by("key").aggregate([("value", kernel)])
        return list(zip(*(grouped[name].to_pylist() for name in ("key", f"value_{kernel}")), strict=True))

    columns = [zip(*slide, strict=True) for slide in _kinds(KEYS)]
    return _by_hand(slides, [pa.table(list(map(pa.array, two)), ["key", "value"]) for two in columns], fold)


def _by_hand(slides: int, kinds: list[Partial], fold: Callable[[Iterable[Partial]], Slide]) -> Figures:
    """A window that keeps what each slide summed up to."""
    reads = _Reads(slides, max(LEAST_SLIDES, slides))
    window: deque[Partial] = deque(maxlen=slides)
    seconds: list[float] = []
    with measured() as whole:
        for index in range(slides - 1 + WARM_UP + reads.count):
            begun = time.perf_counter()
            window.append(kinds[index % KINDS])
            if reads.wanted():
                reads.last = fold(window)
                seconds.append(time.perf_counter() - begun)
    assert len(reads.last) == KEYS
    return {**whole, **batch_figures(seconds[WARM_UP:]), "cpu_seconds": reads.cpu_seconds}


class _Reads:
    """Says for each slide whether the window is read: from the first that fills it, while there is time; then
    ``note`` is called.

    ``cpu_seconds`` is the mean CPU time of the slides that were read, as far as one has come after it.
    """

    def __init__(self, slides: int, count: int, note: Callable[[], object] = lambda: None) -> None:
        self.count = count
        self._note = note
        self.taken = 0
        self.last: Slide = []
        self.cpu_seconds = 0.0
        self._passing = slides - 1
        self._begun: tuple[float, float] | None = None
        self._over = False

    def wanted(self) -> bool:
        """Asked once a slide."""
        if self._passing:
            self._passing -= 1
            return False
        if self._over:
            return False
        now = time.monotonic(), time.process_time()
        self._note()
        if self._begun is None:
            gc.collect()
            gc.freeze()
            self._begun = time.monotonic(), time.process_time()
        else:
            self.cpu_seconds = (now[1] - self._begun[1]) / self.taken
        self._over = self.taken > WARM_UP and now[0] - self._begun[0] > BUDGET_S
        self.taken += not self._over
        return not self._over


def _kinds(keys: int) -> Iterator[Slide]:
    drawn = random.Random(1)
    for _ in range(KINDS):
        yield [(key, drawn.randrange(1_000_000)) for key in range(keys)]


def workloads(*, quick: bool) -> dict[str, Workload]:
    engines = {"penstock": penstock, "recompute": recompute, "recompute-arrow": recompute_arrow}
    return {
        f"W5-{name}-{slides}": Workload(
            f"median time of a slide, {name} of 10,000 keys, {slides} slides in the window",
            "recompute",
            {engine: partial(run, function, slides) for engine, run in engines.items()},
        )
        for name, function in FUNCTIONS.items()
        for slides in ((10, 60) if quick else (10, 60, 720))
    }
