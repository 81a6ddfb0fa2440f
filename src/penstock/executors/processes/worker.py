"""A worker process: ``python -m penstock.executors.processes.worker FD``, started by a ``ProcessCrew``.

It answers messages on a socket until the other end is closed, which happens at the latest when the program
ends, however it ends. Messages are tuples:

==================================  ==================================================================
``("paths", sys.path)``             where to find the program's modules; once, at the beginning
``("broadcast", number, bytes)``    a value that functions read
``("forget", numbers)``             nobody reads these any more
``("program", digest, bytes)``      what is done with partitions of a stage
``("task", digest, partition, bytes)``  do it; the only message with an answer: ``("done", bytes)``, or
                                    ``("unknown", b"")`` for a program that has been forgotten
==================================  ==================================================================
"""

from __future__ import annotations

import pickle
import signal
import sys
from multiprocessing.connection import Connection
from typing import Any

from penstock.executors.remote import Programs, perform, refused
from penstock.rdd import forget_broadcasts, receive_broadcast

__all__ = ["main"]


def main(descriptor: int) -> None:
    """Answer until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the program's, which then ends this
    programs = Programs()
    waiting: dict[bytes, bytes] = {}
    with Connection(descriptor) as channel:
        while True:
            try:
                message: tuple[Any, ...] = pickle.loads(channel.recv_bytes())
            except (EOFError, OSError):
                return
            match message:
                case ("task", digest, partition, inputs):
                    answer = _answer(programs, waiting, digest, partition, inputs)
                    sys.stdout.flush()
                    try:
                        channel.send_bytes(answer[0])
                        channel.send_bytes(answer[1])
                    except OSError:
                        return
                case ("program", digest, data):
                    waiting[digest] = data
                case ("broadcast", number, data):
                    receive_broadcast(number, pickle.loads(data))
                case ("forget", numbers):
                    forget_broadcasts(numbers)
                case ("paths", paths):
                    sys.path[:] = paths


def _answer(
    programs: Programs, waiting: dict[bytes, bytes], digest: bytes, partition: int, inputs: bytes
) -> tuple[bytes, bytes]:
    program = programs.get(digest)
    if program is None:
        data = waiting.pop(digest, None)
        if data is None:
            return b"unknown", b""
        try:
            program = programs.put(digest, data)
        except Exception as error:
            return b"done", refused(error, partition)
    return b"done", perform(program, partition, inputs)


if __name__ == "__main__":
    main(int(sys.argv[1]))
