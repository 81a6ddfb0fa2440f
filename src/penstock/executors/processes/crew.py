"""Worker processes for Python that has no column form: each thread of the executor has one for a while."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import weakref
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle

from penstock.errors import WorkerLost, locate
from penstock.executors.remote import Crew, Outcome, Programs, Ready, Shipment, runs_python
from penstock.rdd import Broadcast

__all__ = ["ProcessCrew"]

_WORTH_MS = 2
"""Work that takes less is not sent: to send it and fetch the result may take one."""
_KNOWN_MAX = 64
"""Programs that a worker is believed to know; fewer than it keeps, and if it has forgotten one it says so."""


class ProcessCrew(Crew):
    """At most ``workers`` processes, started when they are first needed and kept. A partition of a stage is
    one task of one process. ``always``: also stages that take little time are sent."""

    def __init__(self, workers: int, *, max_failures: int, always: bool = False) -> None:
        self._count = workers
        self._max_failures = max_failures
        self._always = always
        self._free: list[_Worker] = []
        self._threads: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._closed = False

    def wants(self, ready: Ready) -> bool:
        return (self._always or not ready.takes_less_than(_WORTH_MS)) and runs_python(ready)

    def run(self, shipment: Shipment) -> list[Outcome]:
        digest = Programs.digest(shipment.program)
        values = {each.number: each for each in shipment.broadcasts}

        def one(partition: int) -> Outcome:
            return self._performed(shipment, digest, values, partition)

        if len(shipment.partitions) == 1:
            return [one(shipment.partitions[0])]
        pool = self._pool()
        tasks = [pool.submit(copy_context().run, one, partition) for partition in shipment.partitions]
        return _up_to_failure(tasks)

    def _pool(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self._count, thread_name_prefix="penstock-worker")
            return self._threads

    def _performed(
        self, shipment: Shipment, digest: bytes, values: dict[int, Broadcast], partition: int
    ) -> Outcome:
        inputs = shipment.inputs(partition)
        ends: list[str] = []
        while True:
            worker = self._taken()
            try:
                outcome = worker.perform(shipment.program, digest, values, partition, inputs)
            except (EOFError, OSError):
                ends.append(worker.end())
                if len(ends) >= self._max_failures:
                    raise locate(
                        _lost(ends, self._max_failures), site=shipment.site, partition=partition
                    ) from None
                continue
            except BaseException:
                worker.end()  # it may be in the middle of a message
                raise
            self._give_back(worker)
            return outcome

    def _taken(self) -> _Worker:
        with self._lock:
            if self._free:
                return self._free.pop()
        return _Worker()

    def _give_back(self, worker: _Worker) -> None:
        with self._lock:
            if not self._closed:
                self._free.append(worker)
                return
        worker.end()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            workers, self._free = self._free, []
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)
        for worker in workers:
            worker.end()


class _Worker:
    """One process, used by one thread at a time."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "penstock.executors.processes.worker", str(theirs.fileno())]
            self._process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=_environment()
            )
        self._channel = Connection(ours.detach())
        self._programs: dict[bytes, None] = {}
        self._values: weakref.WeakValueDictionary[int, Broadcast] = weakref.WeakValueDictionary()
        self._numbers: set[int] = set()
        self._send("paths", sys.path)

    @property
    def pid(self) -> int:
        return self._process.pid

    def perform(
        self,
        program: bytes,
        digest: bytes,
        values: dict[int, Broadcast],
        partition: int,
        inputs: bytes,
    ) -> Outcome:
        """One task. ``EOFError`` or ``OSError`` if the process has died."""
        gone = self._numbers - set(self._values)
        if gone:
            self._send("forget", list(gone))
            self._numbers -= gone
        for number, value in values.items():
            if number not in self._numbers:
                self._send("broadcast", number, cloudpickle.dumps(value.value, protocol=5))
                self._values[number] = value
                self._numbers.add(number)
        if digest not in self._programs:
            self._send_program(digest, program)
        self._send("task", digest, partition, inputs)
        said, data = self._channel.recv_bytes(), self._channel.recv_bytes()
        if said == b"unknown":
            self._send_program(digest, program)
            self._send("task", digest, partition, inputs)
            said, data = self._channel.recv_bytes(), self._channel.recv_bytes()
        return Outcome.read(data)

    def _send_program(self, digest: bytes, program: bytes) -> None:
        self._send("program", digest, program)
        self._programs[digest] = None
        if len(self._programs) > _KNOWN_MAX:
            del self._programs[next(iter(self._programs))]

    def _send(self, *message: Any) -> None:
        self._channel.send_bytes(pickle.dumps(message, protocol=5))

    def end(self) -> str:
        """See that the process has ended; how it did."""
        self._channel.close()
        try:
            code = self._process.wait(timeout=_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


_PATIENCE_S = 1.0
"""How long a worker that was told to end may take: what it computes nobody wants any more."""


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


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
