"""Python objects as bytes, by name where they have one."""

from __future__ import annotations

import io
import pickle
import sys
import sysconfig
from functools import lru_cache
from types import FunctionType
from typing import Any

import cloudpickle

__all__ = ["cloudpickled", "pickled", "travelling"]


def pickled(what: object) -> bytes:
    """Classes and functions by name where they have one that can be imported, else whole."""
    try:
        return pickle.dumps(what, protocol=5)
    except (pickle.PicklingError, AttributeError, TypeError):
        data: bytes = cloudpickle.dumps(what, protocol=5)
        return data


def cloudpickled(what: object) -> bytes:
    """For another process of this machine, which finds the same modules."""
    data: bytes = cloudpickle.dumps(what, protocol=5)
    return data


def travelling(what: object) -> bytes:
    """For a process of another machine: functions and classes of the program's own modules travel whole,
    those of installed packages by name.

    >>> pickle.loads(travelling(len)) is len
    True
    """
    out = io.BytesIO()
    _Travelling(out, protocol=5).dump(what)
    return out.getvalue()


class _Travelling(cloudpickle.Pickler):  # type: ignore[misc]
    """Notes modules that only this machine has before something of theirs is pickled."""

    def reducer_override(self, what: Any) -> Any:
        if isinstance(what, (FunctionType, type)) and _is_of_the_program(what.__module__):
            cloudpickle.register_pickle_by_value(sys.modules[what.__module__])
        return super().reducer_override(what)


@lru_cache(maxsize=4096)
def _is_of_the_program(name: str | None) -> bool:
    """Whether a module is neither installed nor part of Python or of Penstock."""
    module = sys.modules.get(name or "")
    if module is None or name == "__main__" or not name or name.split(".")[0] == "penstock":
        return False
    file = getattr(module, "__file__", None)
    return file is not None and not file.startswith(_INSTALLED)


_INSTALLED = tuple({sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")})
