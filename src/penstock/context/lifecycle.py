"""The life of a streaming context: it starts once, runs, and stops; one in a process at a time."""

from __future__ import annotations

import atexit
import gc
import importlib
import logging
import sys
import threading
import uuid
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from penstock.checkpoint import Checkpoint, Image, Journal
from penstock.clock import Clock
from penstock.conf import (
    BACKPRESSURE,
    COMPACT_BYTES,
    EXTRA_LISTENERS,
    FREEZE,
    GRACEFUL_STOP_TIMEOUT,
    INITIAL_RATE,
    ON_FAILURE,
    PID_DERIVED,
    PID_INTEGRAL,
    PID_LOWEST,
    PID_PROPORTIONAL,
    PREFETCH_BYTES,
    RETRIES,
    RETRY_DELAY,
    STOP_CONTEXT_BY_DEFAULT,
    STOP_GRACEFULLY_ON_SHUTDOWN,
    SYNC_OUTPUTS,
    TRUST_STORE,
    UNPERSIST,
    WRITE_AHEAD,
)
from penstock.context.context import Context
from penstock.context.program import program_bytes
from penstock.dstream import Generation, StateView, StreamGraph, name_problems, report, state_views
from penstock.errors import ArgumentError, CallSite, SignatureError, StateError, joined
from penstock.plan import call_site
from penstock.scheduler import BatchDriver, ListenerBus, PidSettings, Recovery, StreamingListener
from penstock.storage import storage_for
from penstock.times import BatchTime, floor_to, shown_ms

if TYPE_CHECKING:
    from penstock.monitor.dashboard import Dashboard
    from penstock.monitor.monitor import Monitor

__all__ = ["Lifecycle", "has_checkpoint"]

_log = logging.getLogger(__name__)

_HURRIED_STOP_S = 2.0  # what Spark gives the running batch of a stop that is not graceful
_LISTENERS_S = 10.0  # what a slow listener gets, at the end, for what it has not heard yet
_MONITOR_S = 5.0  # and the monitor, for what it has not written yet
_one_at_a_time = threading.Lock()  # held to look at and to change Lifecycle._active


class Lifecycle:
    """What of a StreamingContext is about time: start, wait, stop, and who is told.

    ::

        made --start--> running --stop, or the input is used up--> stopped
          \\--stop, or a start that fails-------------------------/
    """

    _active: ClassVar[Any] = None  # the one that runs

    def __init__(self, sc: Context, graph: StreamGraph, clock: Clock, *, threaded: bool) -> None:
        self._sc = sc
        self._graph = graph
        self._clock = clock
        self._threaded = threaded
        self._bus = ListenerBus(threaded=threaded)
        self._driver: BatchDriver | None = None
        self._generation: Generation | None = None
        self._stopped = False
        self._begun = threading.Event()  # started, or stopped without a start
        self._awaited = False
        self._stop_sc = False  # what a stop() from within a batch wants at the end
        self._start_site: CallSite | None = None
        self._checkpoint_directory: str | None = None  # turns recovery on
        self._anew = True  # whatever the checkpoint holds
        self._must_store_program = False
        self._monitor: Monitor | None = None
        self._frozen = False  # what was there at the start, for the garbage collector

    @classmethod
    def getActive(cls) -> Self | None:
        """The context of this process that has started and not stopped, or ``None``."""
        active: Self | None = Lifecycle._active
        return active

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def must_be_open(self) -> None:
        """``StateError`` once the context has started or stopped."""
        if self._stopped or self._driver is not None:
            when = "stopping" if self._stopped else "starting"
            raise StateError(
                f"Adding new inputs, transformations, and output operations after {when} a context "
                f"is not supported"
            )

    def must_not_have_started(self, what: str) -> None:
        """``StateError`` once the context has started."""
        if self._driver is not None:
            raise StateError(f"{what} after streaming context has started")

    def addStreamingListener(self, streamingListener: StreamingListener) -> None:
        """Tell a listener what happens from now on."""
        if not isinstance(streamingListener, StreamingListener):
            raise SignatureError(
                f"addStreamingListener needs a StreamingListener, not {type(streamingListener).__name__}"
            )
        self._bus.add(streamingListener)

    def removeStreamingListener(self, streamingListener: StreamingListener) -> None:
        """Tell a listener no more."""
        self._bus.remove(streamingListener)

    def start(self, availableNow: bool = False) -> None:
        """Begin to run batches, the first at the next multiple of the interval; returns at once.

        ``availableNow`` runs what the inputs have at this moment, batch after batch without waiting, and
        then stops; batch times still are multiples of the interval, and may run ahead of the clock. All that
        is wrong with the program is told in one ``ArgumentError``; a context that could not start is stopped.
        Again on a running context: nothing happens.
        """
        if self._stopped:
            raise StateError("StreamingContext has already been stopped")
        if self._driver is not None:
            return
        self._refuse_a_second()
        self._sc._must_run()
        problems = self._graph.problems(self._sc.getCheckpointDir() is not None)
        listeners: list[StreamingListener] = []
        for name in self._sc.conf.value(EXTRA_LISTENERS):
            try:
                listeners.append(_listener_named(name))
            except ArgumentError as error:
                problems.append(str(error))
        problems += self._recovery_problems()
        if problems:
            self._give_up()
            raise ArgumentError(joined(problems))
        for listener in listeners:
            self._bus.add(listener)
        try:
            opened = self._open_checkpoint()
        except BaseException:
            self._give_up()
            raise
        interval = self._graph.interval_ms
        on_grid = floor_to(self._clock.now_ms(), interval) + interval
        first, zero = BatchTime(on_grid), None
        image = None if opened is None else opened.image
        if image is not None:
            zero = image.zero_ms
            if image.last_ms is not None:
                first = BatchTime(max(on_grid, image.last_ms + interval))
        self._generation = Generation(
            self._graph,
            self._sc,
            first,
            zero=zero,
            unpersist=self._sc.conf.value(UNPERSIST),
            ahead_bytes=self._sc.conf.value(PREFETCH_BYTES),
        )
        recovery = None
        if opened is not None:
            try:
                recovery = Recovery(
                    opened.checkpoint,
                    self._graph,
                    self._generation,
                    image,
                    owner=opened.owner,
                    anew=self._anew,
                    program=opened.program,
                )
            except BaseException:
                opened.checkpoint.close()
                self._give_up()
                raise
        policy = self._sc.conf.value(ON_FAILURE)
        driver = BatchDriver(
            self._graph,
            self._generation,
            self._clock,
            self._bus,
            first,
            available_now=availableNow,
            stop_on_failure=policy == "stop",
            recovery=recovery,
            retries=self._sc.conf.value(RETRIES),
            retry_delay_ms=self._sc.conf.value(RETRY_DELAY),
            skip=policy == "skip",
            offset_ms=first - on_grid,
            pressure=self._pressure(),
            threaded=self._threaded,
            at_end=self._at_end,
        )
        self._start_site = call_site("start")
        with _one_at_a_time:
            self._refuse_a_second()
            Lifecycle._active = self
        if self._threaded and self._sc.conf.value(FREEZE) and not gc.get_freeze_count():
            gc.freeze()
            self._frozen = True
        self._driver = driver  # before any batch runs: one may call stop()
        self._sc._stop_stream = self.stop
        self._begin_monitor(driver, availableNow)
        try:
            driver.start()
        except BaseException:
            self._driver = None
            self._give_up()
            raise
        self._begun.set()
        _stop_when_the_script_ends()

    def _freeze_again(self) -> None:
        """What has been loaded since the start is no garbage either."""
        if self._frozen:
            gc.collect()
            gc.freeze()
            if not self._frozen:  # it has ended meanwhile
                gc.unfreeze()

    def _begin_dashboards(self, driver: BatchDriver, available_now: bool) -> list[Dashboard]:
        """Have the graph's dashboards listen; those that there are."""
        dashboards = _dashboards_of(self._graph)
        if not dashboards:
            return []
        from penstock.monitor.board import Facts

        for dashboard in dashboards:
            dashboard.board.begin(
                Facts(
                    self._graph.interval_ms,
                    self._clock,
                    self._sc.appName,
                    tuple(node.source.name for node in self._graph.inputs),
                    self._checkpoint_directory,
                    available_now,
                    driver.is_followed,
                )
            )
            self._bus.add(dashboard.board, glances=True)
        return dashboards

    def _begin_monitor(self, driver: BatchDriver, available_now: bool) -> None:
        """Listen for who looks, if anybody would; see :mod:`penstock.monitor`."""
        dashboards = self._begin_dashboards(driver, available_now)
        if not self._threaded:
            return
        from penstock.monitor.application import Running
        from penstock.monitor.history import Recorder, application_of
        from penstock.monitor.monitor import Monitor, MonitorOptions

        assert self._generation is not None
        graph, generation = self._graph, self._generation
        options = MonitorOptions.of(self._sc.conf)
        monitor = Monitor(options, self._checkpoint_directory, dashboards)
        if not monitor.wanted:
            return
        run = uuid.uuid4().hex

        def application_at(started_ms: int) -> dict[str, Any]:
            return application_of(
                graph,
                {
                    "name": self._sc.appName,
                    "master": self._sc.master,
                    "version": self._sc.version,
                    "run": run,
                    "started": started_ms,
                    "availableNow": available_now,
                    "stalledAfter": options.stalled_after,
                },
            )

        application = Running(
            monitor.history, graph, generation, driver, self._clock,
            directory=self._checkpoint_directory, stalled_after=options.stalled_after,
        )  # fmt: skip
        listener = monitor.begin(
            application,
            lambda write: Recorder(graph, application_at, write, driver.told, generation.take_plans),
            self._bus.drain,
            self._freeze_again,
        )
        self._bus.add(listener, glances=True)
        self._monitor = monitor
        self._sc._page_of_stream = lambda: self.uiWebUrl

    @property
    def uiWebUrl(self) -> str | None:
        """Where the page of this stream is, once it is there: after the first batch and about a second.
        ``None`` before, after the end, and where there is none."""
        return None if self._monitor is None else self._monitor.url

    def _pressure(self) -> PidSettings | None:
        """How inputs are held back, if at all; those that can be paced are told the first rate."""
        conf = self._sc.conf
        if not conf.value(BACKPRESSURE):
            return None
        initial = conf.value(INITIAL_RATE)
        for node in self._graph.inputs:
            if node.source.paced and initial is not None:
                node.source.pace(initial)
        return PidSettings(
            conf.value(PID_PROPORTIONAL),
            conf.value(PID_INTEGRAL),
            conf.value(PID_DERIVED),
            conf.value(PID_LOWEST),
        )

    @property
    def _named(self) -> dict[str, Any]:
        """What a stored graph names instead of holding it."""
        return {"streaming context": self, "context": self._sc, "clock": self._clock}

    def _recovery_problems(self) -> list[str]:
        """What keeps the program from being recorded."""
        if self._checkpoint_directory is None:
            problems = [
                f"the input {node.source.name} is to keep what it receives in a log, which lies beside a "
                f"checkpoint, and there is none. Hint: ssc.checkpoint(directory), or {WRITE_AHEAD.key}=false."
                for node in self._graph.inputs
                if node.source.logs
            ]
            if self._sc.conf.value(ON_FAILURE) == "skip":
                problems.append(
                    f"{ON_FAILURE.key} is skip, which records what is lost, and nothing is recorded. "
                    f"Hint: ssc.checkpoint(directory), or {ON_FAILURE.key}=continue."
                )
            return problems
        return [
            *name_problems(self._graph),
            *(
                f"the input {node.source.name} cannot go on after a restart, which ssc.checkpoint promises. "
                f"Hint: sc.setCheckpointDir(directory) is enough for operators with state."
                for node in self._graph.inputs
                if not node.source.recoverable
            ),
        ]

    def _open_checkpoint(self) -> _Opened | None:
        """The checkpoint to write, and what there is to go on from. It is claimed once all else is well."""
        if self._checkpoint_directory is None:
            return None
        conf, run = self._sc.conf, self._graph.run
        checkpoint = Checkpoint(
            self._checkpoint_directory,
            compact_bytes=conf.value(COMPACT_BYTES),
            trust_store=conf.value(TRUST_STORE),
            threaded=self._threaded,
        )
        run.sync_outputs = conf.value(SYNC_OUTPUTS)
        image = None
        if not self._anew:
            image = checkpoint.load()
            if image is not None and self._must_store_program:
                raise StateError(
                    f"another run has begun in {checkpoint.url} since this program was made. "
                    f"Hint: getOrCreate again, which goes on from there."
                )
        if image is not None:
            run.id = image.run
            if image.interval_ms != self._graph.interval_ms:
                raise ArgumentError(
                    f"the checkpoint in {checkpoint.url} is of batches of {shown_ms(image.interval_ms)}, not "
                    f"{shown_ms(self._graph.interval_ms)}. Hint: the batch interval cannot change with it."
                )
            for line in report(self._graph, image):
                _log.log(logging.INFO if line.startswith("kept") else logging.WARNING, "checkpoint: %s", line)
        program, owner = None, uuid.uuid4().hex
        try:
            program = program_bytes(conf, self._graph, self._named)
        except Exception as error:
            if self._must_store_program:
                raise ArgumentError(
                    f"getOrCreate stores the program's graph, and it cannot be pickled: "
                    f"{type(error).__name__}: {error}. Hint: functions must not hold files, locks or "
                    f"threads, and hold connections in a penstock.Shared; or give upgrade=True."
                ) from error
        if image is not None:
            checkpoint.claim(owner)
            image = checkpoint.load()
        return _Opened(checkpoint, image, owner, program)

    def _refuse_a_second(self) -> None:
        active = Lifecycle._active
        if active is not None:
            raise StateError(
                f"Only one StreamingContext may be started in this process. "
                f"Currently running StreamingContext was started at {active._start_site}."
            )

    def _give_up(self) -> None:
        """The start has failed: a context is started once, well or not."""
        self._stopped = True
        self._release()
        self._begun.set()

    @property
    def driver(self) -> BatchDriver:
        """What runs the batches, for test kits and monitors; ``StateError`` before the start."""
        if self._driver is None:
            raise StateError("the context has not been started")
        return self._driver

    def state(self, name: str) -> StateView:
        """The state of the operator with that name, to be looked at by key while batches run: see
        :class:`StateView`. The name is that of ``DStream.name``, or the operation and a count, such as
        ``updateStateByKey-1``. ``StateError`` before the start, ``ArgumentError`` if no operator with state
        has that name; the message lists those that have one."""
        if self._generation is None:
            raise StateError("there is no state before the start. Hint: ssc.start() first.")
        return _view(self._graph, self._generation, name)

    def awaitTermination(self, timeout: float | None = None) -> None:
        """Wait until the context stops, or for ``timeout`` seconds; raises the first error of a batch."""
        self.awaitTerminationOrTimeout(timeout)

    def awaitTerminationOrTimeout(self, timeout: float | None) -> bool:
        """As ``awaitTermination``; true if the context has stopped, false if the time was up before. Before
        the start it waits for that too."""
        self._awaited = True
        begun_ns = self._clock.elapsed_ns()
        if not self._begun.wait(timeout):
            return False
        if self._driver is None:
            return True
        left = None
        if timeout is not None:
            left = max(0.0, timeout - (self._clock.elapsed_ns() - begun_ns) / 1e9)
        over = self._driver.wait(left)
        if over:
            self._bus.close(_LISTENERS_S)
            self._end_monitor()
        return over

    def stop(
        self,
        stopSparkContext: bool | None = True,
        stopGraceFully: bool = False,
        *,
        stopGracefully: bool | None = None,
    ) -> None:
        """Stop, and the ``Context`` too unless ``stopSparkContext`` is false (``None``: as
        ``spark.streaming.stopSparkContextByDefault`` says).

        Gracefully, all batches whose time has come are completed first; once
        ``spark.streaming.gracefulStopTimeout`` is over, if that is set, it goes on as if not graceful. Not
        gracefully, the running output operation is given 2 s, and waiting batches are dropped. Again: nothing
        happens, but a ``Context`` that was spared can be stopped. Called from within a batch it returns at
        once; the context stops when that batch is over, or gracefully after those that wait.
        """
        if self._bus.on_bus_thread():
            raise StateError("Cannot stop StreamingContext within listener bus thread.")
        graceful = stopGraceFully if stopGracefully is None else stopGracefully
        if stopSparkContext is None:
            stopSparkContext = self._sc.conf.value(STOP_CONTEXT_BY_DEFAULT)
        self._stopped = True
        self._begun.set()
        driver = self._driver
        if driver is not None and not driver.halted:
            if driver.within():
                self._stop_sc = self._stop_sc or stopSparkContext
                driver.stop(graceful=graceful, timeout_s=0)
                return
            self._stop_driver(driver, graceful)
        self._release()
        self._bus.close(_LISTENERS_S)
        self._end_monitor()
        if stopSparkContext:
            self._sc.stop()

    def _stop_driver(self, driver: BatchDriver, graceful: bool) -> None:
        if graceful:
            limit_ms = self._sc.conf.value(GRACEFUL_STOP_TIMEOUT)
            if driver.stop(graceful=True, timeout_s=None if limit_ms is None else limit_ms / 1000):
                return
        driver.stop(graceful=False, timeout_s=_HURRIED_STOP_S)

    def _at_end(self) -> None:
        """The last batch is over; called on the thread that ran it."""
        self._stopped = True
        self._release()
        for dashboard in _dashboards_of(self._graph):
            dashboard.board.end()
        if self._monitor is not None and self._driver is not None:
            self._monitor.end(self._clock.now_ms(), self._driver.error)
        if self._stop_sc:
            self._sc.stop()

    def _end_monitor(self) -> None:
        """Wait a little for what the monitor has left to write."""
        if self._monitor is not None and self._driver is not None and self._driver.halted:
            self._monitor.finished.wait(_MONITOR_S)

    def _release(self) -> None:
        """Let another context start."""
        self._sc._stop_stream = None
        if self._frozen:
            self._frozen = False
            gc.unfreeze()
        with _one_at_a_time:
            if Lifecycle._active is self:
                Lifecycle._active = None

    def _script_has_ended(self) -> None:
        driver = self._driver
        if driver is None or driver.halted:
            return
        self.stop(stopSparkContext=True, stopGraceFully=self._sc.conf.value(STOP_GRACEFULLY_ON_SHUTDOWN))
        if not self._awaited and getattr(sys, "last_value", None) is None:  # it did not end by an exception
            sys.stderr.write(
                f"penstock: the script ended without awaitTermination(), so the streaming context was "
                f"stopped after {driver.finished_batches} batches\n"
            )


def _view(graph: StreamGraph, generation: Generation, name: str) -> StateView:
    found = state_views(graph, generation)
    if name not in found:
        known = ", ".join(found) or "none: no operator with state is read by an output"
        raise ArgumentError(f"no operator with state is named {name!r}. Hint: there is {known}.")
    return found[name]


class _Opened(NamedTuple):
    checkpoint: Checkpoint
    image: Image | None
    owner: str
    program: bytes | None


def _dashboards_of(graph: StreamGraph) -> list[Dashboard]:
    """Those that show streams of the graph. Where their module is not loaded, nobody has made any."""
    if "penstock.monitor.dashboard" not in sys.modules:
        return []
    from penstock.monitor.dashboard import dashboards_of

    return dashboards_of(graph)


def has_checkpoint(location: str) -> bool:
    """Whether a directory holds a checkpoint to go on from."""
    storage, path = storage_for(location)
    return Journal(storage, path).has_begun


_registered = threading.Event()


def _stop_when_the_script_ends() -> None:
    """Have the active context stopped at the end of the process, while its threads can still work.

    ``atexit`` is too late: before its functions run, thread pools are told to take no more tasks, so a batch
    that is running would fail. Python's own pools use the hook that comes before.
    """
    if not _registered.is_set():
        _registered.set()
        getattr(threading, "_register_atexit", atexit.register)(_stop_active)


def _stop_active() -> None:
    active = Lifecycle._active
    if active is not None:
        active._script_has_ended()


def _listener_named(name: str) -> StreamingListener:
    """An instance of the class that ``spark.streaming.extraListeners`` names."""
    module, _, attribute = name.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), attribute)
        if not (isinstance(kind, type) and issubclass(kind, StreamingListener)):
            raise TypeError("it is not a StreamingListener")
        return kind()
    except Exception as error:
        raise ArgumentError(
            f"{EXTRA_LISTENERS.key} names {name}, which cannot be made: {type(error).__name__}: {error}"
        ) from error
