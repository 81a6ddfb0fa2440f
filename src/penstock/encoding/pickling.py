"""Python objects as bytes, by name where they have one."""

from __future__ import annotations

import pickle

import cloudpickle

__all__ = ["pickled"]


def pickled(what: object) -> bytes:
    """Classes and functions by name where they have one that can be imported, else whole."""
    try:
        return pickle.dumps(what, protocol=5)
    except (pickle.PicklingError, AttributeError, TypeError):
        data: bytes = cloudpickle.dumps(what, protocol=5)
        return data
