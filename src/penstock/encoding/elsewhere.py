"""Pickles for another process and back: cloudpickle's, with what must not be copied left where it is.

* A class that cannot be imported travels whole, under a name of its own: instances come back to the program
  as instances of its own class, and that stays as it is.
* The generators behind ``random.random`` and ``numpy.random.rand`` are those of the process where a function
  runs: copied, all workers would draw the same numbers.
* What has a method ``_must_not_travel`` is asked to say why. It may still be stored, with the program.
"""

from __future__ import annotations

import random
import sys
import sysconfig
import threading
import uuid
import weakref
from collections.abc import Callable
from functools import lru_cache
from types import FunctionType, ModuleType
from typing import IO, Any

import cloudpickle

__all__ = ["FarPickler", "Pickler"]

_own: weakref.WeakKeyDictionary[type, str] = weakref.WeakKeyDictionary()
_own_by_name: weakref.WeakValueDictionary[str, type] = weakref.WeakValueDictionary()
_received: weakref.WeakKeyDictionary[type, str] = weakref.WeakKeyDictionary()
_lock = threading.Lock()
_far = threading.RLock()


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """For a process that finds the same modules."""

    def reducer_override(self, obj: Any) -> Any:
        """Asked for all but the simplest objects, so records of a class of the user's are told at once."""
        if isinstance(obj, FunctionType):
            return super().reducer_override(obj)
        if isinstance(obj, type):
            if obj.__module__.startswith("penstock."):
                module = sys.modules.get(obj.__module__)
                if getattr(module, obj.__qualname__, None) is obj:
                    return NotImplemented  # by its name, without looking for it everywhere first
            return self._class(obj)
        kind = type(obj)
        refuse = getattr(kind, "_must_not_travel", None)
        if refuse is not None:
            refuse(obj)
        if kind is random.Random and obj is _generator_of_random():
            return _generator_of_random, ()
        if kind.__name__ == "RandomState" and obj is _generator_of_numpy():
            return _generator_of_numpy, ()
        return NotImplemented

    def _class(self, obj: type) -> Any:
        reduced = super().reducer_override(obj)
        if not isinstance(reduced, tuple) or len(reduced) < 6:
            return reduced  # one that can be imported
        make, arguments, state, *between, set_state = reduced
        return _class_of, (_name_of(obj), make, arguments), (set_state, state), *between, _complete


class FarPickler(Pickler):
    """For a process of another machine: functions and classes of the program's own modules travel whole."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, protocol=5)
        self._noted: dict[str, ModuleType] = {}

    def dump(self, obj: Any) -> None:
        """One at a time: cloudpickle has one list, of a process, of modules that travel whole. It is as it
        was afterwards, for all who pickle for this machine."""
        with _far:
            try:
                super().dump(obj)
            finally:
                for module in self._noted.values():
                    cloudpickle.unregister_pickle_by_value(module)

    def reducer_override(self, obj: Any) -> Any:
        """Notes modules that only this machine has before something of theirs is pickled."""
        if isinstance(obj, (FunctionType, type)) and _is_of_the_program(obj.__module__):
            self._note(obj.__module__)
        return super().reducer_override(obj)

    def _note(self, name: str) -> None:
        if name not in self._noted and name not in cloudpickle.list_registry_pickle_by_value():
            self._noted[name] = sys.modules[name]
            cloudpickle.register_pickle_by_value(sys.modules[name])


@lru_cache(maxsize=4096)
def _is_of_the_program(name: str | None) -> bool:
    """Whether a module is neither installed nor part of Python or of Penstock."""
    module = sys.modules.get(name or "")
    if module is None or name == "__main__" or not name or name.split(".")[0] == "penstock":
        return False
    file = getattr(module, "__file__", None)
    return file is not None and not file.startswith(_INSTALLED)


_INSTALLED = tuple({sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")})


def _name_of(obj: type) -> str:
    """The name of a class that cannot be imported, the same in all processes where it is."""
    with _lock:
        name = _received.get(obj) or _own.get(obj)
        if name is None:
            name = _own[obj] = uuid.uuid4().hex
            _own_by_name[name] = obj
        return name


def _class_of(name: str, make: Callable[..., type], arguments: tuple[Any, ...]) -> type:
    own = _own_by_name.get(name)
    if own is not None:
        return own
    made = make(*arguments)
    with _lock:
        _received[made] = name
    return made


def _complete(made: type, state: tuple[Callable[[type, Any], Any], Any]) -> type:
    if made not in _own:
        set_state, attributes = state
        set_state(made, attributes)
    return made


def _generator_of_random() -> Any:
    return random.random.__self__  # type: ignore[attr-defined]


def _generator_of_numpy() -> Any:
    numpy = sys.modules.get("numpy.random")
    if numpy is None:
        import numpy.random as numpy
    return numpy.rand.__self__  # type: ignore[union-attr]
