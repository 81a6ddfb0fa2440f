"""Running a stream batch by batch, on a clock that is turned by hand."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from penstock.clock import ManualClock
from penstock.context import Context, StreamingContext
from penstock.dstream import DStream
from penstock.errors import SignatureError
from penstock.rdd import RDD
from penstock.times import BatchTime, DurationLike

__all__ = ["CollectingSink", "Stepper", "run_batches"]

Batches = Sequence[Iterable[Any]]
Build = Callable[..., "DStream | tuple[DStream, ...] | None"]


class CollectingSink:
    """A function for ``foreachRDD`` that keeps what each batch held.

    >>> sink = CollectingSink()
    >>> _ = run_batches([[1], [2, 3]], lambda numbers: numbers.foreachRDD(sink))
    >>> sink.batches
    [[1], [2, 3]]
    """

    def __init__(self) -> None:
        self.times: list[Any] = []
        self.batches: list[list[Any]] = []

    def __call__(self, time: Any, rdd: RDD) -> None:
        self.batches.append(rdd.collect())
        self.times.append(time)


class Stepper:
    """Runs a context that was made with a ``ManualClock``, a batch at a time, on the calling thread.

    >>> clock = ManualClock()
    >>> ssc = StreamingContext(sc, 1, clock=clock)
    >>> sink = CollectingSink()
    >>> ssc.queueStream([[1], [2]]).foreachRDD(sink)
    >>> with Stepper(ssc, clock) as stepper:
    ...     stepper.step()
    ...     sink.batches
    1000
    [[1]]
    """

    def __init__(self, ssc: StreamingContext, clock: ManualClock) -> None:
        self.ssc = ssc
        self._clock = clock
        self._interval_ms = ssc.graph.interval_ms

    def __enter__(self) -> Stepper:
        self.ssc.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.ssc.stop(stopSparkContext=False)

    def step(self) -> BatchTime:
        """Turn the clock to the next batch time and run that batch; its time. Raises what it raised."""
        now = self._clock.now_ms()
        time = BatchTime(now - now % self._interval_ms + self._interval_ms)
        self._clock.set(time)
        driver = self.ssc.driver
        driver.tick(time)
        driver.work()
        if driver.error is not None:
            raise driver.error
        return time


def _note(found: dict[int, list[Any]], time: BatchTime, rdd: RDD) -> None:
    found[time] = rdd.collect()


def run_batches(
    batches_in: Batches | tuple[Batches, ...],
    build: Build,
    *,
    batchDuration: DurationLike = 1,
    numPartitions: int | None = None,
    batches: int | None = None,
    context: Context | None = None,
) -> Any:
    """What comes out, batch by batch, when ``batches_in`` goes in.

    ``build(stream)`` returns the stream to look at; with a *tuple* of inputs it gets that many streams, and
    it may return a tuple of streams, for a tuple of results. A result has a list of records for each batch,
    or ``None`` for a batch in which the stream has no RDD. Batches are ``batchDuration`` apart, beginning one
    after the epoch; their records are cut into ``numPartitions`` (default: as many as the context has
    threads). ``batches`` runs more batches than came in, with nothing in them.

    Uses the active context, or one of its own with two threads; no time passes and no thread is started. What
    a batch raises is raised.

    >>> run_batches([[1, 2], [3]], lambda numbers: numbers.map(lambda x: x + 1))
    [[2, 3], [4]]
    """
    inputs = batches_in if isinstance(batches_in, tuple) else (batches_in,)
    count = batches if batches is not None else max(map(len, inputs))
    clock = ManualClock()
    with ExitStack() as stack:
        sc = context or Context._active or stack.enter_context(Context("local[2]", "run_batches"))
        if sc.getCheckpointDir() is None:
            sc.setCheckpointDir(stack.enter_context(tempfile.TemporaryDirectory()))
            stack.callback(setattr, sc, "_checkpoint_directory", None)
        ssc = StreamingContext(sc, batchDuration, clock=clock)
        streams = [
            ssc.queueStream([sc.parallelize(batch, numPartitions) for batch in one] or [sc.emptyRDD()])
            for one in inputs
        ]
        built = build(*streams)
        wanted = built if isinstance(built, tuple) else () if built is None else (built,)
        results: list[dict[int, list[Any]]] = []
        for stream in wanted:
            if not isinstance(stream, DStream):
                raise SignatureError(f"build must return DStreams, not {type(stream).__name__}")
            found: dict[int, list[Any]] = {}
            results.append(found)
            stream._output("run_batches", partial(_note, found))
        with Stepper(ssc, clock) as stepper:
            times = [stepper.step() for _ in range(count)]
    outcome = tuple([found.get(time) for time in times] for found in results)
    return outcome if isinstance(built, tuple) else outcome[0] if outcome else []
