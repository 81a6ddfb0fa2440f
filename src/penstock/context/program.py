"""The program beside its checkpoint: settings, batch interval and graph, pickled, for ``getOrCreate``.

What a graph's functions hold of the running program, its contexts and its clock, is not stored but named, and
is that of the new run when it is loaded. It is a file of its own: state never depends on it.
"""

from __future__ import annotations

import io
import pickle
import platform
from typing import Any, NamedTuple

from penstock.checkpoint import must_trust
from penstock.conf import Conf
from penstock.dstream import StreamGraph
from penstock.encoding import PREAMBLE, Frames, framed
from penstock.errors import CorruptCheckpoint, StateError
from penstock.scheduler import PROGRAM
from penstock.storage import Storage, join, storage_for

__all__ = ["Program", "load_program", "program_bytes"]


class Program(NamedTuple):
    """A program that was stored, not loaded yet: its graph needs a streaming context to belong to."""

    conf: Conf
    interval_ms: int
    graph: bytes

    def graph_for(self, named: dict[str, Any]) -> StreamGraph:
        """The graph, with these in place of what was named."""
        graph: StreamGraph = _Unpickler(io.BytesIO(self.graph), named).load()
        return graph


def program_bytes(conf: Conf, graph: StreamGraph, named: dict[str, Any]) -> bytes:
    """The file. Raises what keeps a function, or what it holds, from being pickled."""
    import cloudpickle  # slow to import, and needed by programs that are recorded only

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def persistent_id(self, obj: Any) -> str | None:
            return names.get(id(obj))

    names = {id(value): name for name, value in named.items()}
    buffer = io.BytesIO()
    Pickler(buffer, protocol=5).dump(graph)
    head = {"kind": "program", "python": platform.python_version(), "interval": graph.interval_ms,
            "conf": dict(conf.getAll())}  # fmt: skip
    return PREAMBLE + framed(head, [buffer.getvalue()])


def load_program(location: str, *, trust_store: bool = False) -> Program:
    """The program beside the checkpoint in a directory.

    ``StateError`` if none could be stored; ``CorruptCheckpoint`` if it cannot be read, or somebody else may
    have written it.
    """
    storage, path = storage_for(location)
    file = join(path, PROGRAM)
    if not storage.exists(file):
        raise StateError(
            f"{storage.url(path)} holds a checkpoint, but not the program's graph, which could not "
            f"be pickled. Hint: getOrCreate(path, setup, upgrade=True) makes the graph from the program."
        )
    for each in (path, file):
        must_trust(storage, each, trust_store)
    return _read(storage, file)


def _read(storage: Storage, file: str) -> Program:
    frames = Frames(storage.read(file), storage.url(file))
    for frame in frames:
        conf = Conf()
        for key, value in frame.head["conf"].items():
            conf.set(key, value)
        return Program(conf, frame.head["interval"], bytes(frame.parts[0]))
    raise CorruptCheckpoint(
        f"{frames.damage or storage.url(file) + ' holds no program'}. "
        f"Hint: getOrCreate(path, setup, upgrade=True) makes the graph from the program."
    )


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, named: dict[str, Any]) -> None:
        super().__init__(file)
        self._named = named

    def persistent_load(self, name: Any) -> Any:
        return self._named[name]
