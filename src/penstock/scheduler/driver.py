"""Performs the batch machine's instructions: on threads of its own, or step by step in tests.

::

    intake thread   waits for the clock, plans inputs          (so lag does not shift what a batch reads)
    batch thread    generates, runs outputs, commits, finishes
    ahead thread    reads what is planned, while an earlier batch runs; there if there is such input

The first two report to the machine under one lock and put what it answers in one line; planning is done by
the intake thread, all else by the batch thread. The third reports nothing: it saves time, or it does not.
None dies in silence: what is not the failure of a batch ends the run, and whoever awaits the end is told.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from penstock.clock import Clock
from penstock.dstream import Carried, Generation, Output, StreamGraph
from penstock.errors import CheckpointTaken, locate
from penstock.plan import counting_in
from penstock.scheduler.backpressure import PidSettings, RateController
from penstock.scheduler.ledger import BatchRecord
from penstock.scheduler.listener import (
    ListenerBus,
    OperatorInfo,
    OutputOperationEvent,
    OutputOperationInfo,
    ReceiverEvent,
    ReceiverInfo,
    StreamingStarted,
)
from penstock.scheduler.machine import (
    Again,
    BatchMachine,
    Commit,
    Committed,
    Event,
    Finish,
    Generate,
    Generated,
    GiveUp,
    Halt,
    Instruction,
    IntentWritten,
    OutputDone,
    Plan,
    Planned,
    RunOutput,
    StopAsked,
    Tick,
    WriteIntent,
)
from penstock.scheduler.recovery import Recovery
from penstock.sources import Intent, SourceEvent
from penstock.times import BatchTime

__all__ = ["BatchDriver"]

_log = logging.getLogger(__name__)
_AHEAD = 2  # batches planned ahead of the running one when everything is available at once

_GLANCE_NS = 250_000_000
"""Of batches that come fast operators are counted so often, where nobody but people looks at it."""

_LAST_CHUNK_S = 2.0  # what reading ahead gets at the end, for the chunk that it is at

Job = Callable[[], None]


def _never() -> bool:
    """An event is not out of date, whenever it is told."""
    return False


class BatchDriver:
    """Runs the batches of a started graph, from ``first`` on, one every interval.

    ``available_now`` runs what the sources have at the start, without waiting, and then stops.
    ``stop_on_failure`` stops with the first batch that fails. With ``recovery`` every batch is recorded, what
    a run before has left is done first, and a batch that fails is run again ``retries`` times,
    ``retry_delay_ms`` and more later; then all stops, or with ``skip`` it is given up. ``offset_ms`` is by
    how much batch times run ahead of the clock. ``threaded=False`` starts no thread: :meth:`tick` and
    :meth:`work` are called by hand. ``at_end`` is called once, when nothing of this driver runs any more
    except the thread that calls.
    """

    def __init__(
        self,
        graph: StreamGraph,
        generation: Generation,
        clock: Clock,
        bus: ListenerBus,
        first: BatchTime,
        *,
        available_now: bool = False,
        stop_on_failure: bool = False,
        recovery: Recovery | None = None,
        retries: int = 0,
        retry_delay_ms: int = 0,
        skip: bool = False,
        offset_ms: int = 0,
        pressure: PidSettings | None = None,
        threaded: bool = True,
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._graph = graph
        self._generation = generation
        self._clock = clock
        self._bus = bus
        self._next = first
        self._available_now = available_now
        self._threaded = threaded
        self._at_end = at_end
        self._recovery = recovery
        self._offset_ms = offset_ms
        self._retry_delay_ms = retry_delay_ms
        self._machine = BatchMachine(
            stop_on_failure=stop_on_failure, recovery=recovery is not None, retries=retries, skip=skip
        )
        self._controllers = {
            node.id: RateController(node.id, graph.interval_ms, pressure)
            for node in graph.inputs
            if pressure is not None and node.source.paced
        }
        self._kept: dict[int, Intent] = {}  # of inputs that were planned when another could not be
        self._given_up: int | None = None  # the newest batch that was
        self._attempt_error: BaseException | None = None  # of a batch that may still be run again
        self._lock = threading.RLock()  # of all that follows; each thread is woken only by what concerns it
        self._work = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._changed = threading.Condition(self._lock)
        self._told = threading.Event()  # whoever awaits the end has something to hear
        self._line: deque[Instruction] = deque()
        self._records: dict[BatchTime, BatchRecord] = {}
        self._jobs: list[tuple[int, Output, Job | None]] = []
        sites = [output.site for output in graph.outputs]
        self._sites = [(str(site), f"{site.file}:{site.line}" if site.file else "") for site in sites]
        # Of the output that runs: batch time, number, name, line, since when.
        self._output_running: tuple[BatchTime, int, str, str, int] | None = None
        self._glanced_ns: int | None = None  # when operators were counted last
        self._stop_intake = threading.Event()
        self._drain = False  # before it ends, one more batch is planned
        self._hurried = threading.Event()  # somebody wants it to stop, and not to wait
        self._halted = threading.Event()
        self._threads: list[threading.Thread] = []
        self._working: int | None = None  # the thread that performs instructions right now
        self.error: BaseException | None = None
        self.finished_batches = 0
        self.failed_batches = 0

    # Life

    def start(self) -> None:
        """Open the sources and begin. What a source raises here keeps the context from starting."""
        opened = []
        try:
            for node in self._graph.inputs:
                node.source.tell_to(partial(self._source_tells, node.id))
                node.source.open()
                opened.append(node.source)
                if self._available_now:
                    node.source.only_available()
            if self._recovery is not None:
                self._recovery.begin()
            for node in self._graph.inputs:
                node.source.start_intake()
        except BaseException:
            for source in opened:
                source.close()
            if self._recovery is not None:
                self._recovery.close()
            raise
        self._bus.post("onStreamingStarted", lambda: StreamingStarted(self._clock.now_ms()))
        self._run_again()
        if not self._threaded and not self._available_now:
            self._catch_up()
        if self._threaded:
            intake = self._take_available if self._available_now else self._take_by_clock
            ahead = self._generation.ahead
            targets = [(ahead.run, "penstock-ahead")] if ahead.active else []
            targets.append((intake, "penstock-intake"))
            targets.append((self._run, "penstock-batches"))  # last: it waits for the others at the end
            for target, name in targets:
                thread = threading.Thread(target=self._guarded, args=(target,), name=name, daemon=True)
                self._threads.append(thread)
            for thread in self._threads:
                thread.start()

    def stop(self, *, graceful: bool, timeout_s: float | None) -> bool:
        """Stop; true if all is over. Within a batch it only asks: the batch goes on.

        Gracefully, what sources have taken in by themselves is processed first: they take in nothing more,
        and if anything is left one more batch gets it, without waiting for its time.
        """
        if not graceful:
            self._hurried.set()
        if graceful and not self._stop_intake.is_set() and self._stopped_intakes():
            self._drain = True
            self._stop_intake.set()
            if not self._threaded:
                self._drained()
        elif not graceful or not self._drain:  # else the last batch is under way, and the end comes with it
            self._stop_intake.set()
            self._post(StopAsked(graceful))
        if self.within():
            return False
        if not self._threaded:
            self.work()
            return self._halted.is_set()
        return self._halted.wait(timeout_s)

    def _stopped_intakes(self) -> bool:
        """Have the sources take in nothing more; whether any has something that is in no batch."""
        left = False
        for node in self._graph.inputs:
            try:
                left = node.source.stop_intake() or left
            except Exception:
                _log.exception("the input %s could not be stopped", node.source.name)
        return left or bool(self._kept)

    def _drained(self) -> None:
        """The last batch of a graceful stop, with what is left; on the thread that plans."""
        last = self._machine.last_time
        if last is not None and self._next <= last:  # a test has turned the clock by hand
            self._next = BatchTime(last + self._graph.interval_ms)
        self.tick(self._next)
        self._post(StopAsked(graceful=True))

    def within(self) -> bool:
        """Whether the caller is run by this driver: an output, a function of ``transform``, a source."""
        return self._working == threading.get_ident() or threading.current_thread() in self._threads

    @property
    def last_time(self) -> BatchTime | None:
        """The newest batch time that was reached, in this run or the one before."""
        recorded = None if self._recovery is None else self._recovery.last_ms
        return self._machine.last_time or (None if recorded is None else BatchTime(recorded))

    @property
    def halted(self) -> bool:
        """Whether all is over."""
        return self._halted.is_set()

    def wait(self, timeout_s: float | None) -> bool:
        """Wait until all is over (true), an output fails (raises it), or the time is up (false)."""
        self._told.wait(timeout_s)
        if self.error is not None:
            raise self.error
        return self._halted.is_set()

    def is_followed(self) -> bool:
        """Whether a further batch is planned and waits for the one that runs to be over."""
        with self._lock:
            return self._machine.is_followed

    def story(self, time: int) -> str:
        """What happened to a batch, event by event; empty if that is long ago."""
        with self._lock:
            return self._machine.story(time)

    def told(self, time: int) -> Callable[[], str]:
        """The same as it is now, put into words when it is called: on any thread."""
        with self._lock:
            return self._machine.told(time)

    def outputs_of(self, time: int) -> list[OutputOperationInfo]:
        """The outputs of a batch that is not over: those that are done, and the one that runs. On any
        thread."""
        record = self._records.get(BatchTime(time))
        running = self._output_running
        found = [] if record is None else list(record.outputs.values())
        if running is not None and running[0] == time and all(each.id != running[1] for each in found):
            found.append(OutputOperationInfo(*running))
        return found

    # Intake

    def tick(self, time: BatchTime) -> None:
        """The clock has reached ``time``: plan its input."""
        for instruction in self._post(Tick(time)):
            if isinstance(instruction, Plan):
                self._plan(instruction.time)

    def _run_again(self) -> None:
        """Put in line what a run before has planned and not completed: at the same times, with the same
        input."""
        for time, intents in () if self._recovery is None else self._recovery.again.items():
            _log.warning("the batch %d ms was not completed by the run before: it is run again", time)
            self._post(Tick(time))
            self._submit(time, intents)
            self._post(Planned(time))

    def _catch_up(self) -> None:
        """Run those batches whose time came while nobody ran, if they yield something without new input: a
        window that still holds records, a key that times out. All others have nothing to say."""
        if self._recovery is None or self._recovery.last_ms is None:
            return
        after = self._recovery.last_ms
        while self._wait_until_idle():
            due = self._generation.next_due(after)
            if due is None or due >= self._next:
                return
            after = due
            self._post(Tick(BatchTime(due)))
            self._submit(BatchTime(due), {})
            self._recovery.planned(BatchTime(due), {}, False)
            self._post(Planned(BatchTime(due)))

    def _wait_until_idle(self) -> bool:
        """Wait until no batch is left; false if the intake is to stop."""
        if not self._threaded:
            self.work()
            return not self._stop_intake.is_set()
        with self._lock:
            self._changed.wait_for(lambda: self._machine.idle or self._stop_intake.is_set())
        return not self._stop_intake.is_set()

    def _take_by_clock(self) -> None:
        self._catch_up()
        while self._clock.wait_until(self._next - self._offset_ms, self._stop_intake):
            self.tick(self._next)
            self._next = BatchTime(self._next + self._graph.interval_ms)
        if self._drain:
            self._drained()

    def _take_available(self) -> None:
        while self.take_next_available():
            with self._lock:
                self._room.wait_for(lambda: self._machine.waiting < _AHEAD or self._stop_intake.is_set())
            if self._stop_intake.is_set():
                return
        self._stop_intake.set()
        self._post(StopAsked(graceful=True))

    def take_next_available(self) -> bool:
        """Plan the next batch if a source has something left; whether one had."""
        if not self._kept and all(node.source.exhausted for node in self._graph.inputs):
            return False
        self.tick(self._next)
        self._next = BatchTime(self._next + self._graph.interval_ms)
        return True

    def _plan(self, time: BatchTime) -> None:
        with_positions = self._recovery is not None and self._recovery.wants_positions
        intents, self._kept = self._kept, {}
        failures: list[str] = []
        for node in self._graph.inputs:
            if node.id in intents:  # planned for a batch before, of which nothing came
                continue
            try:
                intents[node.id] = node.source.plan(time)
            except Exception as error:
                failures.append(self._failed(error, time, f"input {node.source.name}", ends=True))
        if failures:
            self._kept, intents = intents, {}
        self._submit(time, intents)
        if self._recovery is not None and not failures:
            self._recovery.planned(time, intents, with_positions)
        answers = self._post(Planned(time, "\n".join(failures) or None))
        if self._threaded and not failures and Generate(time) not in answers:
            self._generation.ahead.offer(time, intents)

    def _submit(self, time: BatchTime, intents: Mapping[int, Intent]) -> None:
        record = BatchRecord(time, intents, self._clock.now_ms(), self._clock.elapsed_ns())
        self._records[time] = record
        self._bus.post("onBatchSubmitted", record.event, record.has_started)

    def read_ahead(self) -> int:
        """Compute ahead what waits in line and fits, on this thread; how many batches were looked at. For
        tests of a driver without threads, which does not do it by itself."""
        for time, record in self._records.items():
            self._generation.ahead.offer(time, record.intents)
        looked_at = 0
        while self._generation.ahead.work():
            looked_at += 1
        return looked_at

    # Batches

    def work(self) -> int:
        """Perform what is in line on this thread; how many instructions that were. Within a batch: none."""
        if self._working == threading.get_ident():
            return 0
        done = 0
        while True:
            with self._lock:
                if not self._line:
                    break
                instruction = self._line.popleft()
                self._working = threading.get_ident()
            try:
                self._perform(instruction)
            except CheckpointTaken as error:
                self._tell(error)
                self._halt()
                raise
            finally:
                self._working = None
            done += 1
        if not self._threaded:
            self._bus.drain()
        return done

    def _guarded(self, target: Callable[[], None]) -> None:
        try:
            target()
        except BaseException as error:
            _log.exception("streaming ends: its %s thread failed", threading.current_thread().name)
            self._tell(error)
            if target == self._run:
                self._halt()
            else:
                self._stop_intake.set()
                self._post(StopAsked(graceful=False))

    def _run(self) -> None:
        while not self._halted.is_set():
            with self._lock:
                while not self._line:
                    self._work.wait()
            self.work()

    def _perform(self, instruction: Instruction) -> None:
        match instruction:
            case RunOutput():  # first, as there may be many in a batch
                self._run_output(instruction.time, instruction.index)
            case WriteIntent():
                self._write_intent(instruction.time)
            case Generate():
                self._generate(instruction.time)
            case Commit():
                self._commit(instruction.time, given_up=False)
            case GiveUp():
                self._commit(instruction.time, given_up=True)
            case Again():
                self._again(instruction.time, instruction.attempt)
            case Finish():
                self._finish(instruction.time, instruction.failures)
            case Halt():
                self._halt()
            case Plan():
                raise AssertionError("planning is the intake's")

    def _write_intent(self, time: BatchTime) -> None:
        assert self._recovery is not None
        failed = None
        try:
            self._recovery.write_intents()
        except CheckpointTaken:
            raise
        except Exception as error:
            failed = self._failed(error, time, None)
        self._post(IntentWritten(time, failed))

    def _again(self, time: BatchTime, attempt: int) -> None:
        """Run a batch that has failed once more, from the version that it began with."""
        _log.warning("the batch %d ms is run again (attempt %d)", time, attempt)
        self._attempt_error = None
        self._jobs = []
        self._records[time].begin_again()
        self._generation.undo(time)
        if self._threaded:  # who asks to stop does not wait for it
            self._hurried.wait(self._retry_delay_ms * 2 ** (attempt - 2) / 1000)

    def _generate(self, time: BatchTime) -> None:
        record = self._records[time]
        record.start(self._clock)
        self._bus.post("onBatchStarted", record.event, record.is_over)
        failed = None
        try:
            with counting_in(record.metrics):
                self._jobs = self._generation.jobs(time, record.intents)
        except BaseException as error:
            self._jobs = []
            failed = self._failed(error, time, None)
        self._post(Generated(time, len(self._jobs), failed))

    def _run_output(self, time: BatchTime, index: int) -> None:
        record = self._records[time]
        number, _, job = self._jobs[index]
        name, where = self._sites[number]
        clock = self._clock
        running = time, number, name, where, clock.now_ms()
        self._output_running = running
        self._bus.post(
            "onOutputOperationStarted", lambda: OutputOperationEvent(OutputOperationInfo(*running))
        )
        begun_ns, failed = clock.elapsed_ns(), None
        try:
            if job is not None:
                with counting_in(record.metrics):
                    job()
        except BaseException as error:
            failed = self._failed(error, time, name)
        duration = (clock.elapsed_ns() - begun_ns) / 1e6
        done = OutputOperationInfo(*running, clock.now_ms(), duration, failed)
        record.outputs[number] = done
        self._output_running = None
        self._bus.post("onOutputOperationCompleted", lambda: OutputOperationEvent(done))
        self._post(OutputDone(time, index, failed))

    def _commit(self, time: BatchTime, *, given_up: bool) -> None:
        failed = None
        try:
            with counting_in(self._records[time].metrics):
                lost = self._lost(time) if given_up else []
                news = self._carried(time, given_up)
                if self._recovery is not None:
                    changes = self._generation.changes(time, news)
                    changes.lost = lost
                    changes.given_up = given_up
                    self._recovery.commit(changes)
                    self._given_up = time if given_up else self._given_up
                self._generation.commit(time, news)
            if not given_up:
                for node in self._graph.inputs:
                    node.source.committed(time)
        except CheckpointTaken:
            raise
        except BaseException as error:
            failed = self._failed(error, time, None)
        self._post(Committed(time, failed))

    def _carried(self, time: BatchTime, given_up: bool) -> Carried:
        """What the batch hands to later ones; of one that is given up as much as can be computed."""
        if not given_up:
            return self._generation.carry(time)
        news = self._generation.carry(time, as_far_as_possible=True)
        self._generation.abandon(time)
        return news

    def _lost(self, time: BatchTime) -> list[dict[str, Any]]:
        """The outputs of a batch that is given up, for who wants to write them later."""
        record = self._records[time]
        error = self._attempt_error
        lost = []
        outputs = enumerate(self._graph.outputs)
        for index, output, _ in self._jobs or [(index, output, None) for index, output in outputs]:
            done = record.outputs.get(index)
            if done is not None and done.failureReason is None:
                continue
            entry = self._generation.kept_for_replay(output, time)
            why = f"{type(error).__name__}: {error}" if error is not None else ""
            inputs = {
                node.source.name: record.intents[node.id].description
                for node in self._graph.inputs
                if node.id in record.intents
            }
            lost.append(
                {
                    "time": time,
                    "output": index,
                    "site": str(output.site),
                    "writes": output.writes,
                    "error": why,
                    "inputs": inputs,
                    **entry,
                }
            )
        return lost

    def _finish(self, time: BatchTime, failures: tuple[str, ...]) -> None:
        record = self._records.pop(time)
        self._jobs = []
        record.end(self._clock)
        record.failure = failures[0] if failures else None
        self.finished_batches += 1
        self.failed_batches += bool(failures)
        self._tell_sources(record)
        self._tell_of(record)
        record.settle()
        error, self._attempt_error = self._attempt_error, None
        if failures:
            if error is not None and self._given_up != time:
                self._tell(error)
            self._generation.abandon(time)
        again = bool(failures) and self._recovery is not None and self._given_up != time
        for over, intents in self._generation.forget(time).items():
            if over == time and again:
                continue  # the next run needs its input
            for node in self._graph.inputs:
                if node.id in intents:
                    node.source.done(over)
        with self._lock:
            self._changed.notify_all()

    def _tell_of(self, record: BatchRecord) -> None:
        """Tell of a batch that is over, with what is known of each operator; what keeps that from being found
        out is logged. Without it, and when somebody hears it, where the next batch is in line already, and
        nobody asks for it of each."""
        bus, method = self._bus, "onBatchCompleted"
        if not bus.is_heard(method):
            return
        now, before = self._clock.elapsed_ns(), self._glanced_ns
        just_now = before is not None and now - before < _GLANCE_NS
        glances = record.failure is None and not bus.is_heard_always(method)
        if just_now and glances and self._is_next_in_line():
            record.settle()  # what is made later cannot hold what was computed
            bus.post(method, record.event, _never)
            return
        self._glanced_ns = now
        try:
            figures = self._generation.figures(record.time, record.metrics)
            record.operators = tuple([OperatorInfo(*each) for each in figures])
        except Exception:
            _log.exception("the records of the batch %d ms could not be counted by operator", record.time)
        bus.post(method, record.event)

    def _is_next_in_line(self) -> bool:
        """Whether the next batch is about to begin."""
        with self._lock:
            return any(isinstance(each, (Generate, WriteIntent)) for each in self._line)

    def _tell_sources(self, record: BatchRecord) -> None:
        """Tell each input how many records the batch had, and how fast to go on."""
        counted = record.counted()
        for node in self._graph.inputs:
            if node.id not in record.intents:
                continue
            records = counted[node.id]
            try:
                node.source.processed(record.time, records)
            except Exception:
                _log.exception("the input %s failed to note that a batch is over", node.source.name)
            controller = self._controllers.get(node.id)
            if controller is None or record.failure is not None:
                continue
            found = controller.after(
                record.ended_ns / 1e6,
                records=records,
                processing_ms=(record.ended_ns - record.started_ns) / 1e6,
                waited_ms=(record.started_ns - record.submitted_ns) / 1e6,
            )
            if found is not None:
                record.rates[node.id] = found
                node.source.pace(found.limit)

    def _source_tells(self, input_id: int, event: SourceEvent) -> None:
        """Something happened at a source by itself; on whatever thread."""
        method = {"started": "onReceiverStarted", "error": "onReceiverError", "stopped": "onReceiverStopped"}
        failed = bool(event.message or event.error)
        info = ReceiverInfo(
            streamId=input_id,
            name=event.name,
            active=event.kind != "stopped",
            lastErrorMessage=event.message,
            lastError=event.error,
            lastErrorTime=self._clock.now_ms() if failed else -1,
        )
        self._bus.post(method[event.kind], lambda: ReceiverEvent(info))

    def _halt(self) -> None:
        self._stop_intake.set()
        with self._lock:
            self._room.notify_all()
        for thread in self._threads:
            if thread.name == "penstock-intake" and thread is not threading.current_thread():
                thread.join()
        self._generation.ahead.close()
        for thread in self._threads:
            if thread.name == "penstock-ahead" and thread is not threading.current_thread():
                thread.join(_LAST_CHUNK_S)  # a store that does not answer must not keep the run from ending
        for node in self._graph.inputs:
            try:
                node.source.close()
            except Exception:
                _log.exception("closing the input %s failed", node.source.name)
        self._records.clear()
        if self._recovery is not None:
            self._recovery.close()
        try:
            self._at_end()
        finally:
            with self._lock:
                self._halted.set()
                self._told.set()
                self._changed.notify_all()

    def _post(self, event: Event) -> list[Instruction]:
        """Report to the machine; its answers. Those that are the batch thread's are in line already."""
        with self._lock:
            machine, kind = self._machine, type(event)
            waited = machine.waiting
            answers = machine.handle(event)
            if kind is OutputDone and answers and isinstance(answers[0], (RunOutput, Commit)):
                self._line.extend(answers)
                return answers  # the batch thread goes on with its batch: nobody else waits for that
            self._line.extend([answer for answer in answers if not isinstance(answer, Plan)])
            if self._line:
                self._work.notify()
            if machine.waiting < min(waited, _AHEAD) or kind is StopAsked:
                self._room.notify()
            self._changed.notify_all()
        return answers

    def _failed(
        self, error: BaseException, time: BatchTime, output: str | None, *, ends: bool = False
    ) -> str:
        """Make a failure known: to the log, and to whoever awaits the end if it is one."""
        locate(error, batch_time_ms=time, output=output)
        text = "".join(traceback.format_exception(error))
        _log.error("the batch %d ms failed%s\n%s", time, f" in {output}" if output else "", text)
        if self._recovery is None or ends:
            self._tell(error)
        elif self._attempt_error is None:
            self._attempt_error = error
        return text

    def _tell(self, error: BaseException) -> None:
        with self._lock:
            if self.error is None:
                self.error = error
            self._told.set()
            self._changed.notify_all()
