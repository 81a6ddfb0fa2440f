"""Worker processes for Python that has no column form."""

from __future__ import annotations

import logging
import os
import pickle
import random
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from multiprocessing.connection import Connection
from typing import Any

from penstock.errors import StateError, WorkerLost, locate
from penstock.executors.processes.surroundings import Surroundings
from penstock.executors.processes.worker import flush_output
from penstock.executors.remote import (
    Crew,
    Outcome,
    Pickle,
    Programs,
    Ready,
    Shipment,
    pickled_value,
    runs_python,
)
from penstock.rdd import Broadcast

__all__ = ["ProcessCrew"]

_WORTH_MS = 2
"""Work that takes less is not sent: to send it and fetch the result may take one."""
_KNOWN_MAX = 64
"""Programs that a worker is believed to know; fewer than it keeps, and if it has forgotten one it says so."""

_PATIENCE_S = 1.0
"""How long a worker that was told to end may take."""


class ProcessCrew(Crew):
    """At most ``workers`` processes, started when they are first needed and kept. A partition of a stage is
    one task of one process. ``always``: also stages that take little time are sent."""

    place = "worker processes"

    def __init__(self, workers: int, *, max_failures: int, always: bool = False) -> None:
        self._count = workers
        self._max_failures = max_failures
        self._always = always
        self._team = _Team(workers)
        self._threads: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._process = os.getpid()
        weakref.finalize(self, self._team.close)  # at the latest when the program ends

    def wants(self, ready: Ready) -> bool:
        if ready.belongs_elsewhere:
            return True
        return (self._always or not ready.takes_less_than(_WORTH_MS)) and runs_python(ready)

    def run(self, shipment: Shipment) -> list[Outcome]:
        if os.getpid() != self._process:
            raise StateError(
                f"the workers are those of the process {self._process}, of which this is a fork. Hint: make "
                f"a Context in the process that uses it."
            )
        flush_output()
        stage = _Stage(shipment, self._team, self._max_failures, self.pickle)
        if len(shipment.partitions) == 1:
            return [stage.perform(shipment.partitions[0])]
        pool = self._pool()
        tasks = [pool.submit(copy_context().run, stage.perform, part) for part in shipment.partitions]
        try:
            return _up_to_failure(tasks)
        except BaseException:  # such as Ctrl-C: nobody wants what is still computed
            for task in tasks:
                task.cancel()
            stage.give_up()
            raise

    def _pool(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self._count, thread_name_prefix="penstock-worker")
            return self._threads

    @property
    def pids(self) -> list[int]:
        """The processes there are."""
        return self._team.pids

    def close(self) -> None:
        self._team.close()
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)


class _Stage:
    """A shipment under way."""

    def __init__(self, shipment: Shipment, team: _Team, max_failures: int, pickle: Pickle) -> None:
        self._shipment = shipment
        self._digest = Programs.digest(shipment.program)
        self._values = {each.number: each for each in shipment.broadcasts}
        self._bytes: dict[int, bytes] = {}
        self._surroundings = Surroundings.now()
        self._team = team
        self._max_failures = max_failures
        self._pickle = pickle
        self._working: set[_Worker] = set()
        self._given_up = False
        self._lock = threading.Lock()

    def perform(self, partition: int) -> Outcome:
        """One task, by whichever worker is free, and by another if that dies."""
        shipment = self._shipment
        inputs = shipment.inputs(partition)
        ends: list[str] = []
        while True:
            try:
                with self._team.one() as worker, self._watching(worker):
                    data = worker.perform(self, partition, inputs)
                return Outcome.read(data)
            except _Died:
                ends.append(worker.end())
                if self._given_up:
                    raise
                if len(ends) >= self._max_failures:
                    error = _lost(ends, self._max_failures)
                    raise locate(error, site=shipment.site, partition=partition) from None

    @contextmanager
    def _watching(self, worker: _Worker) -> Iterator[None]:
        with self._lock:
            self._working.add(worker)
            if self._given_up:
                worker.kill()
        try:
            yield
        finally:
            with self._lock:
                self._working.discard(worker)

    def give_up(self) -> None:
        """End the workers that are at it."""
        with self._lock:
            self._given_up = True
            for worker in self._working:
                worker.kill()

    # What a worker may lack

    @property
    def digest(self) -> bytes:
        """Of the program."""
        return self._digest

    @property
    def program(self) -> bytes:
        """What is to be done."""
        return self._shipment.program

    @property
    def surroundings(self) -> Surroundings:
        """What functions find around themselves."""
        return self._surroundings

    @property
    def values(self) -> dict[int, Broadcast]:
        """The broadcasts that functions read."""
        return self._values

    def value(self, number: int) -> bytes:
        """One of them as bytes, made once for all workers."""
        with self._lock:
            if number not in self._bytes:
                self._bytes[number] = pickled_value(self._values[number], self._shipment.site, self._pickle)
            return self._bytes[number]


class _Died(Exception):
    """A worker has, or was ended, before it had answered."""


class _Team:
    """The workers, those who work and those who are free."""

    def __init__(self, workers: int) -> None:
        self._turns = threading.Semaphore(workers)
        self._free: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._lock = threading.Lock()
        self._closed = False
        # Where hashes of text are random they are at least the same in all workers, and when a task is done
        # again: sets have one order.
        self._hash_seed = os.environ.get("PYTHONHASHSEED") or str(random.SystemRandom().randrange(2**32))

    @contextmanager
    def one(self) -> Iterator[_Worker]:
        """A worker that is free, once there is one. Whoever leaves by an exception has ended it."""
        with self._turns:
            worker = self._taken()
            try:
                yield worker
            except BaseException:
                with self._lock:
                    self._busy.discard(worker)
                worker.kill()  # it may be in the middle of a message
                worker.end()
                raise
            with self._lock:
                self._busy.discard(worker)
                if not self._closed:
                    self._free.append(worker)
                    return
            worker.end()

    def _taken(self) -> _Worker:
        while True:
            with self._lock:
                if self._closed:
                    raise StateError("this Context has been stopped. Hint: make a new one.")
                worker = self._free.pop() if self._free else _Worker(self._hash_seed)
                if worker.lives():
                    self._busy.add(worker)
                    return worker
            worker.end()  # it died while nobody needed it

    @property
    def pids(self) -> list[int]:
        """All processes."""
        with self._lock:
            return [worker.pid for worker in (*self._free, *self._busy)]

    def close(self) -> None:
        """End all of them, also those who work."""
        with self._lock:
            self._closed = True
            free, self._free = self._free, []
            for worker in self._busy:
                worker.kill()
        for worker in free:
            worker.hang_up()
        for worker in free:
            worker.end()


class _Worker:
    """One process, used by one thread at a time."""

    def __init__(self, hash_seed: str) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            # Ctrl-C at a terminal goes to a group of processes, and this one is to end with the program, not
            # beside it.
            self._process = subprocess.Popen(
                _command(theirs.fileno()),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONHASHSEED": hash_seed},
                process_group=0,
            )
        self._channel = Connection(ours.detach())
        self._programs: dict[bytes, None] = {}
        self._values: weakref.WeakValueDictionary[int, Broadcast] = weakref.WeakValueDictionary()
        self._numbers: set[int] = set()
        self._surroundings: Surroundings | None = None

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def lives(self) -> bool:
        """Whether the process does, as far as it is known."""
        return self._process.poll() is None

    def perform(self, stage: _Stage, partition: int, inputs: bytes) -> bytes:
        """One task; an ``Outcome`` as bytes."""
        self._forget()
        for number in stage.values.keys() - self._numbers:
            self._send(("broadcast", number), stage.value(number))
            self._values[number] = stage.values[number]
            self._numbers.add(number)
        if stage.surroundings != self._surroundings:
            self._send(("surroundings",), pickle.dumps(stage.surroundings))
            self._surroundings = stage.surroundings
        if stage.digest not in self._programs:
            self._send_program(stage)
        while True:
            self._send(("task", stage.digest, partition), inputs)
            said, data = self._answer()
            if said == b"done":
                return data
            self._send_program(stage)

    def _forget(self) -> None:
        gone = {number for number in self._numbers if not _is_alive(self._values.get(number))}
        if gone:
            self._send(("forget", list(gone)))
            self._numbers -= gone

    def _send_program(self, stage: _Stage) -> None:
        self._send(("program", stage.digest), stage.program)
        self._programs[stage.digest] = None
        if len(self._programs) > _KNOWN_MAX:
            del self._programs[next(iter(self._programs))]

    def _send(self, message: tuple[Any, ...], data: bytes = b"") -> None:
        try:
            self._channel.send_bytes(pickle.dumps(message))
            self._channel.send_bytes(data)
        except OSError:
            raise _Died from None

    def _answer(self) -> tuple[bytes, bytes]:
        while True:
            try:
                said, data = self._channel.recv_bytes(), self._channel.recv_bytes()
            except (EOFError, OSError):
                raise _Died from None
            if said != b"log":
                return said, data
            record: logging.LogRecord = pickle.loads(data)
            logging.getLogger(record.name).handle(record)

    def hang_up(self) -> None:
        """Have it end by itself."""
        self._channel.close()

    def kill(self) -> None:
        """Have it end at once; from any thread."""
        self._process.kill()

    def end(self) -> str:
        """See that the process has ended; how it did."""
        self._channel.close()
        try:
            code = self._process.wait(timeout=_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        return f"exit code {code}" if code >= 0 else _signal_name(-code)


def _command(descriptor: int) -> list[str]:
    """This Python as it runs here, with what it was told on its command line. Nothing is looked for in the
    current directory that the program would not look for there."""
    told = [option for name, value in sys._xoptions.items() for option in ("-X", _told(name, value))]
    told += [option for each in sys.warnoptions for option in ("-W", each)]
    told += ["-O"] * sys.flags.optimize
    code = (
        f"import sys; sys.path[:] = {list(sys.path)!r}; "
        f"from penstock.executors.processes.worker import main; main({descriptor}, {os.getpid()})"
    )
    return [sys.executable, *told, "-P", "-c", code]


def _told(name: str, value: str | bool) -> str:
    return name if value is True else f"{name}={value}"


def _is_alive(value: Broadcast | None) -> bool:
    return value is not None and value.is_alive


def _signal_name(number: int) -> str:
    try:
        return f"signal {signal.Signals(number).name}"
    except ValueError:
        return f"signal {number}"


def _lost(ends: list[str], count: int) -> WorkerLost:
    said = ", ".join(dict.fromkeys(ends))
    return WorkerLost(
        f"a worker process died {count} times while it ran one task ({said}). Hint: SIGKILL often means that "
        f"the machine has no memory left: use smaller partitions, or fewer workers; SIGSEGV that a library "
        f"crashed. spark.task.maxFailures says how often a task is tried."
    )


def _up_to_failure(tasks: list[Future[Outcome]]) -> list[Outcome]:
    """The outcomes up to the first that failed, once all before it are there; no task outlives its job."""

    def failed(task: Future[Outcome]) -> bool:
        if not task.done() or task.cancelled():
            return False
        return task.exception() is not None or task.result().error is not None

    pending = set(tasks)
    while pending and not any(map(failed, tasks)):
        _, pending = wait(pending, return_when=FIRST_COMPLETED)
    first = next((place for place, task in enumerate(tasks) if failed(task)), len(tasks))
    for task in tasks[first + 1 :]:
        task.cancel()
    wait(tasks)
    first = next((place for place, task in enumerate(tasks) if failed(task)), len(tasks))
    return [task.result() for task in tasks[: first + 1]]
