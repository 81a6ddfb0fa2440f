"""Python objects as bytes, by name where they have one."""

from __future__ import annotations

import io
import pickle

__all__ = ["cloudpickled", "pickled", "travelling"]

# cloudpickle is slow to import, and few programs need it.


def pickled(what: object) -> bytes:
    """Classes and functions by name where they have one that can be imported, else whole."""
    try:
        return pickle.dumps(what, protocol=5)
    except (pickle.PicklingError, AttributeError, TypeError):
        import cloudpickle

        data: bytes = cloudpickle.dumps(what, protocol=5)
        return data


def cloudpickled(what: object) -> bytes:
    """For another process of this machine, which finds the same modules."""
    from penstock.encoding.elsewhere import Pickler

    out = io.BytesIO()
    Pickler(out, protocol=5).dump(what)
    return out.getvalue()


def travelling(what: object) -> bytes:
    """For a process of another machine: functions and classes of the program's own modules travel whole,
    those of installed packages by name.

    >>> pickle.loads(travelling(len)) is len
    True
    """
    from penstock.encoding.elsewhere import FarPickler

    out = io.BytesIO()
    FarPickler(out).dump(what)
    return out.getvalue()
