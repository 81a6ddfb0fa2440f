"""Crash a program at every point there is, start it again, and compare.

::

    uncrashed run   t1 ---- t2 ---- t3 ---- t4                       what each batch yields, all files
    crash point k   t1 ---- t2 --x       every call of the storage: before, half way, after; every
                               '--> t2 ---- t3 ---- t4   step of the batch machine: before, after
                             restart from the checkpoint

A crash is simulated: from that point on nothing reaches the disk any more, and the next life begins with what
is there. What real processes leave when they are killed is another test's business.
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import field
from functools import partial
from pathlib import Path
from typing import Any, get_args

from penstock.clock import ManualClock
from penstock.context import Context, StreamingContext
from penstock.context.lifecycle import Lifecycle
from penstock.dstream import DStream
from penstock.errors import SignatureError
from penstock.rdd import RDD
from penstock.storage import Storage
from penstock.storage.faulty import Fault, FaultyStorage, Moment
from penstock.storage.resolve import wrapping
from penstock.testing.assertions import same
from penstock.testing.runs import Stepper
from penstock.times import BatchTime, DurationLike, milliseconds_of
from penstock.values import dataclass

__all__ = ["CrashPoint", "Crashes", "crash_everywhere"]

Build = Callable[..., Any]


class _Crashed(BaseException):
    """The process is gone."""


@dataclass(frozen=True)
class CrashPoint:
    """Where a life ends: at the ``number``-th (from 1) call of a storage, or step of the batch machine."""

    of: str
    number: int
    moment: Moment

    def __str__(self) -> str:
        return f"{self.moment} {self.of} {self.number}"


@dataclass
class Crashes:
    """What :func:`crash_everywhere` has tried: the points, and how many lives that took."""

    points: list[tuple[CrashPoint, ...]] = field(default_factory=list)
    lives: int = 0


def crash_everywhere(
    build: Build,
    inputs: Sequence[Iterable[Any]],
    *,
    files: bool = False,
    batchDuration: DurationLike = 1,
    batches: int | None = None,
    twice: int = 20,
    seed: int = 0,
    every: int = 1,
    power: bool = False,
) -> Crashes:
    """Prove that a program yields the same whenever it crashes; what was tried.

    ``build(stream, folder)`` makes the program on an input stream. What it writes, it writes below ``folder``
    (a path); it may return streams, whose records are compared too. It is called anew for each life.
    ``inputs`` are the records of the batches; with ``files`` they are lines, and each batch's come as a file.
    ``batches`` runs more batches, without input. Besides all single crashes, ``twice`` pairs of them are
    tried, the second in the life after the first, picked by ``seed``. ``every`` n: each
    n-th point only. With ``power`` it is the power that is lost: of every file that was not forced to the
    disk one half is gone, too. A program stands that with ``penstock.checkpoint.syncOutputs``.

    What is compared with a run that does not crash: for every batch the records of the streams, also when a
    batch is run again, and every file below ``folder`` byte by byte; of ``_SUCCESS`` its parts.

    Raises ``AssertionError`` that names the point.

    >>> from operator import add
    >>> def totals(pairs, folder):
    ...     found = pairs.updateStateByKey(lambda values, state: sum(values) + (state or 0), 1)
    ...     found.saveAsTextFiles(folder + "/totals")
    ...     return found
    >>> crashes = crash_everywhere(totals, [[("a", 1)], [("a", 2), ("b", 3)]], every=9, twice=1)
    >>> len(crashes.points) > 10
    True
    """
    program = _Program(build, [list(batch) for batch in inputs], files, batchDuration, batches, power)
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "run"  # always the same: paths may show in what is compared
        expected = program.run(folder, [])
        crashes = Crashes(lives=1)
        points = [
            CrashPoint(of, number, moment)
            for of, count, moments in (
                ("call", expected.calls, get_args(Moment)),
                ("step", expected.steps, ("before", "after")),
            )
            for number in range(1, count + 1)
            for moment in moments
        ]
        chance = random.Random(seed)
        tried = [(point,) for point in points[::every]]
        pairs = [(chance.choice(points), chance.choice(points)) for _ in range(twice)]
        for attempt in [*tried, *pairs]:
            shutil.rmtree(folder)
            found = program.run(folder, list(attempt))
            crashes.points.append(attempt)
            crashes.lives += found.lives
            _compare(found, expected, " and then ".join(map(str, attempt)))
    return crashes


@dataclass
class _Outcome:
    records: dict[tuple[int, int], list[Any]] = field(default_factory=dict)  # by stream and batch time
    files: dict[str, bytes] = field(default_factory=dict)
    calls: int = 0
    steps: int = 0
    lives: int = 0
    changed: list[str] = field(default_factory=list)


class _Program:
    def __init__(
        self,
        build: Build,
        inputs: list[list[Any]],
        files: bool,
        interval: DurationLike,
        batches: int | None,
        power: bool = False,
    ) -> None:
        self.power = power
        self.build = build
        self.inputs = inputs
        self.files = files
        self.interval = interval
        self.interval_ms = milliseconds_of(interval, "batchDuration")
        self.batches = len(inputs) if batches is None else batches

    def run(
        self,
        folder: Path,
        points: list[CrashPoint],
        *,
        faults: Sequence[Fault] = (),
        lose_syncs: bool = False,
    ) -> _Outcome:
        """All batches, in as many lives as it takes; the first ends at the first point, and so on.

        With ``faults`` the storage of the first life fails so, and what ends that life is no failure of the
        program's; with ``lose_syncs`` what of the checkpoint it says to be durable is cut in half when that
        life is over.
        """
        outcome = _Outcome()
        (folder / "out").mkdir(parents=True)
        (folder / "in").mkdir()
        done = 0
        while done < self.batches:
            crash = _Crash(points.pop(0) if points else None, faults, lose_syncs)
            before, faults, lose_syncs = done, (), False
            done = self._live(folder, done, crash, outcome)
            outcome.lives += 1
            assert crash.awaited or done > before, "a life without a crash has done nothing"
        for path in sorted((folder / "out").rglob("*")):
            if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
                outcome.files[str(path.relative_to(folder))] = _content(path)
        return outcome

    def _live(self, folder: Path, done: int, crash: _Crash, outcome: _Outcome) -> int:
        """One life from the batch after the ``done`` first; how many are done for certain afterwards."""
        clock = ManualClock()
        clock.set(done * self.interval_ms + self.interval_ms // 2)
        active = Context._active
        sc = active or Context("local[2]", "crash_everywhere")
        directory = sc.getCheckpointDir()
        try:
            with crash.arranged():
                ssc = StreamingContext.getOrCreate(
                    str(folder / "checkpoint"), partial(self._made, sc, clock, folder, outcome), upgrade=True
                )
                with suppress(_Crashed, OSError):
                    self._step(ssc, clock, crash, folder, done)
                crash.die()
                with suppress(_Crashed, OSError):
                    ssc.stop(stopSparkContext=False)
                done = crash.done or done
        except (_Crashed, OSError):  # before there was anything to stop
            if not crash.awaited:
                raise
        finally:
            if crash.loses_syncs:
                crash.lose_power(str(folder / "checkpoint"))
            elif self.power and crash.point is not None:
                crash.lose_power("")
            Lifecycle._active = sc._stop_stream = None  # the dead release nothing
            sc._checkpoint_directory = directory
            if active is None:
                sc.stop()
        if not crash.awaited:
            outcome.calls, outcome.steps = crash.calls, crash.steps
            if crash.error is not None:
                raise crash.error
        return done

    def _made(self, sc: Context, clock: ManualClock, folder: Path, outcome: _Outcome) -> StreamingContext:
        ssc = StreamingContext(sc, self.interval, clock=clock)
        if self.files:
            stream = ssc.textFileStream(str(folder / "in"))
        else:
            stream = ssc.queueStream([sc.parallelize(batch) for batch in self.inputs] or [sc.emptyRDD()])
        built = self.build(stream, str(folder / "out"))
        for index, each in enumerate(
            built if isinstance(built, tuple) else () if built is None else (built,)
        ):
            if not isinstance(each, DStream):
                raise SignatureError(f"build must return DStreams, not {type(each).__name__}")
            each._output("crash_everywhere", partial(_note, outcome, index))
        return ssc

    def _step(
        self, ssc: StreamingContext, clock: ManualClock, crash: _Crash, folder: Path, done: int
    ) -> None:
        stepper = Stepper(ssc, clock)
        try:
            crash.watch(ssc, lambda: ssc.start())
            for number in range(done, self.batches):
                if self.files and number < len(self.inputs):
                    file = folder / "in" / f"{number:05d}.txt"
                    if not file.exists():
                        file.write_text("".join(f"{line}\n" for line in self.inputs[number]), "utf-8")
                due = (number + 1) * self.interval_ms
                if (ssc.driver.last_time or 0) < due:
                    stepper.step()
                if ssc.driver.error is not None:  # of a batch that was run again at the start
                    raise ssc.driver.error
                clock.set(due)
                crash.done = number + 1
        except (OSError, _Crashed) as error:
            crash.error = error
            raise


class _Crash:
    """Ends a life at a point, or counts the points of a life."""

    def __init__(
        self, point: CrashPoint | None, faults: Sequence[Fault] = (), lose_syncs: bool = False
    ) -> None:
        self.point = point
        self.loses_syncs = lose_syncs
        self._faults = list(faults)
        self.done = 0
        self.steps = 0
        self.error: BaseException | None = None
        self._storages: dict[Storage, FaultyStorage] = {}

    @property
    def calls(self) -> int:
        return sum(len(storage.calls) for storage in self._storages.values())

    @contextmanager
    def arranged(self) -> Iterator[None]:
        with wrapping(self._wrap):
            yield

    def _wrap(self, storage: Storage) -> Storage:
        point = self.point
        if storage not in self._storages:
            faults = self._faults
            if point is not None and point.of == "call":
                faults = [Fault(point.number, moment=point.moment, lasting=True)]
            self._storages[storage] = FaultyStorage(storage, faults, lose_syncs=self.loses_syncs)
        return self._storages[storage]

    @property
    def awaited(self) -> bool:
        """Whether this life may end before its time."""
        return self.point is not None or bool(self._faults) or self.loses_syncs

    def die(self) -> None:
        """Nothing reaches the disk any more."""
        for storage in self._storages.values():
            storage.die()

    def lose_power(self, below: str) -> None:
        """What was not forced to the disk is cut in half."""
        for storage in self._storages.values():
            storage.lose_power(below)

    def watch(self, ssc: StreamingContext, start: Callable[[], None]) -> None:
        """Start, and count the steps of the batch machine from its first on; one of them may be the last."""
        perform = BatchDriverSteps(self)
        with perform.installed():
            start()
        perform.install_on(ssc)


class BatchDriverSteps:
    """Counts what a driver performs."""

    def __init__(self, crash: _Crash) -> None:
        self._crash = crash

    @contextmanager
    def installed(self) -> Iterator[None]:
        """On every driver that is made meanwhile: the first steps are taken within the start."""
        from penstock.scheduler import BatchDriver

        original = BatchDriver._perform
        steps = self

        def perform(driver: BatchDriver, instruction: Any) -> None:
            steps.count("before")
            original(driver, instruction)
            steps.count("after")

        BatchDriver._perform = perform  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            BatchDriver._perform = original  # type: ignore[method-assign]

    def install_on(self, ssc: StreamingContext) -> None:
        """On the driver of a context."""
        driver = ssc.driver
        original = driver._perform

        def perform(instruction: Any) -> None:
            self.count("before")
            original(instruction)
            self.count("after")

        driver._perform = perform  # type: ignore[method-assign]

    def count(self, moment: str) -> None:
        """A step begins or is over."""
        crash = self._crash
        crash.steps += moment == "before"
        point = crash.point
        if point is not None and point.of == "step" and (point.number, point.moment) == (crash.steps, moment):
            crash.die()
            raise _Crashed


def _note(outcome: _Outcome, stream: int, time: BatchTime, rdd: RDD) -> None:
    records = rdd.collect()
    known = outcome.records.setdefault((stream, time), records)
    if not same(known, records):
        outcome.changed.append(f"the batch {time} ms was {known!r}, and {records!r} when it was run again")


def _content(path: Path) -> bytes:
    data = path.read_bytes()
    if path.name != "_SUCCESS":
        return data
    try:
        return json.dumps(json.loads(data)["parts"]).encode()
    except ValueError:
        return data


def _compare(found: _Outcome, expected: _Outcome, where: str) -> None:
    assert not found.changed, f"crashed {where}: {found.changed[0]}"
    for key in sorted(expected.records.keys() | found.records.keys()):
        stream, time = key
        now, then = found.records.get(key), expected.records.get(key)
        assert same(now, then), (
            f"crashed {where}: stream {stream} in the batch {time} ms yields {now!r}, not {then!r}"
        )
    for name in sorted(expected.files.keys() | found.files.keys()):
        now_bytes, then_bytes = found.files.get(name), expected.files.get(name)
        assert now_bytes == then_bytes, f"crashed {where}: {name} holds {now_bytes!r}, not {then_bytes!r}"
