"""A worker process, started by a ``ProcessCrew``.

It answers messages on a socket until the other end is closed, which happens at the latest when the program
ends, however it ends; and if it is in the middle of a task then, it ends all the same. Messages are two: a
pickled tuple, and the bytes that some go with.

=====================================  ==================================================================
``("surroundings",)``, pickled         what functions find around themselves
``("broadcast", number)``, pickled     a value that functions read
``("forget", numbers)``                nobody reads these any more
``("program", digest)``, pickled       what is done with partitions of a stage
``("task", digest, partition)``, pickled  do it; what is answered is ``done``, or ``unknown`` for a program
                                       that has been forgotten, and before that any number of ``log``
=====================================  ==================================================================
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import pickle
import select
import signal
import sys
import threading
from multiprocessing.connection import Connection
from queue import SimpleQueue

from penstock.executors.processes.surroundings import Surroundings
from penstock.executors.remote import Programs, perform, refused
from penstock.rdd import forget_broadcasts, receive_broadcast

__all__ = ["main"]

_LOOKS_EVERY_MS = 1000
_GRACE_S = 0.5


def main(descriptor: int, program: int) -> None:
    """Answer the process ``program`` until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the program's, which then ends this
    threading.Thread(target=_end_with, args=(descriptor, program), daemon=True).start()
    with Connection(descriptor) as channel:
        try:
            _Worker(channel).answer()
        except (EOFError, ConnectionError):
            return


def _end_with(descriptor: int, program: int) -> None:
    """End this process with the program, also in the middle of a task that lasts."""
    poll = select.poll()
    poll.register(descriptor, 0)  # says only that the other end is closed
    # Copies of that end may live on in processes that the program has forked.
    while not poll.poll(_LOOKS_EVERY_MS) and os.getppid() == program:
        pass
    threading.Event().wait(_GRACE_S)  # if it is not in the middle of anything, it ends by itself
    os._exit(1)


class _Worker:
    def __init__(self, channel: Connection) -> None:
        self._channel = channel
        self._programs = Programs()
        self._waiting: dict[bytes, bytes] = {}
        self._speaking = threading.Lock()
        logging.root.handlers = [_ToProgram(self)]

    def answer(self) -> None:
        """Answer one message after the other."""
        while True:
            message, data = pickle.loads(self._channel.recv_bytes()), self._channel.recv_bytes()
            match message:
                case ("task", digest, partition):
                    self._perform(digest, partition, data)
                case ("program", digest):
                    self._waiting[digest] = data
                case ("broadcast", number):
                    receive_broadcast(number, pickle.loads(data))
                case ("forget", numbers):
                    forget_broadcasts(numbers)
                case ("surroundings",):
                    surroundings: Surroundings = pickle.loads(data)
                    surroundings.take_over()
            del message, data  # or they are held until the next has come

    def _perform(self, digest: bytes, partition: int, inputs: bytes) -> None:
        said, data = self._outcome(digest, partition, inputs)
        flush_output()
        self.say(said, data)

    def _outcome(self, digest: bytes, partition: int, inputs: bytes) -> tuple[bytes, bytes]:
        program = self._programs.get(digest)
        if program is None:
            data = self._waiting.pop(digest, None)
            if data is None:
                return b"unknown", b""
            try:
                program = self._programs.put(digest, data)
            except Exception as error:
                return b"done", refused(error, partition)
        return b"done", perform(program, partition, inputs)

    def say(self, said: bytes, data: bytes) -> None:
        """Tell the program, from any thread."""
        with self._speaking:
            self._channel.send_bytes(said)
            self._channel.send_bytes(data)


class _ToProgram(logging.handlers.QueueHandler):
    """What is logged here is the program's to format, to filter and to write."""

    def __init__(self, worker: _Worker) -> None:
        super().__init__(SimpleQueue())  # which stays empty: enqueue() is all that knows of it
        self._worker = worker

    def enqueue(self, record: logging.LogRecord) -> None:
        self._worker.say(b"log", pickle.dumps(record))


def flush_output() -> None:
    """Let what was printed be seen in the order in which it was, whichever process has printed it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):  # there is none, or nobody reads it any more
            continue
