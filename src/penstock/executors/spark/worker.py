"""What runs in the Python workers of a cluster. Whatever is kept here outlives a task: a worker does many."""

from __future__ import annotations

import pickle
import socket
import sys
from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from penstock.executors.remote import Programs, perform, refused
from penstock.executors.spark.session import stored
from penstock.rdd import forget_broadcasts, receive_broadcast

__all__ = ["Found", "RunTask", "looked_around"]

_BROADCASTS_MAX = 64

_programs = Programs()
_broadcasts: OrderedDict[int, None] = OrderedDict()


class RunTask:
    """The function of a job's tasks: its input is which program, a partition, and what that reads."""

    __slots__ = ("_broadcasts", "_programs")

    def __init__(self, programs: Mapping[bytes, bytes], broadcasts: Mapping[int, Any]) -> None:
        self._programs = programs
        self._broadcasts = broadcasts

    def __call__(self, given: tuple[bytes, int, bytes]) -> bytes:
        digest, partition, inputs = given
        try:
            self._fetch()
            program = _programs.get(digest) or _programs.put(digest, self._programs[digest])
        except Exception as error:
            error.add_note(f"on the host {socket.gethostname()}")
            return refused(error, partition)
        return perform(program, partition, inputs, host=socket.gethostname())

    def _fetch(self) -> None:
        for number, held in self._broadcasts.items():
            if number not in _broadcasts:
                receive_broadcast(number, pickle.loads(stored(held)))
            _broadcasts[number] = None
            _broadcasts.move_to_end(number)
        while len(_broadcasts) > max(_BROADCASTS_MAX, len(self._broadcasts)):
            forget_broadcasts([_broadcasts.popitem(last=False)[0]])


Found = tuple[str, str, dict[str, str]]
"""Host, version of Python, and of each package its version, or where it is, or why it cannot be imported."""


def looked_around(names: list[str]) -> Found:
    """What is there on the host where this runs."""
    return socket.gethostname(), sys.version.split()[0], {name: _version_of(name) for name in names}


@lru_cache
def _version_of(name: str) -> str:
    from importlib import import_module

    try:
        module = import_module(name)
    except ImportError as error:
        return f"ImportError: {error}"
    return str(module.__file__ if name == "penstock" else getattr(module, "__version__", "there"))
