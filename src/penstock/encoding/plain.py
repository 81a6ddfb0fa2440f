"""Plain data as JSON: what positions and intents of inputs are."""

from __future__ import annotations

import base64
import pickle
from typing import Any

from penstock.encoding.codec import Trust
from penstock.encoding.pickling import pickled

__all__ = ["Plain"]


class Plain:
    """Plain data as JSON and back: tuples of it stay tuples, and what JSON has no form for is pickled.

    >>> import json
    >>> Plain.read(json.loads(json.dumps(Plain.write(("a", [1, (2.5, None)], b"c")))), lambda: None)
    ('a', [1, (2.5, None)], b'c')
    """

    @staticmethod
    def write(value: Any) -> Any:
        """As JSON has it."""
        kind = type(value)
        if kind in (str, int, bool, float, type(None)):
            return value
        if kind is list:
            return [Plain.write(each) for each in value]
        if kind is tuple:
            return {"tuple": [Plain.write(each) for each in value]}
        if kind is dict and all(type(key) is str for key in value):
            return {"dict": {key: Plain.write(each) for key, each in value.items()}}
        return {"pickle": base64.b64encode(pickled(value)).decode()}

    @staticmethod
    def read(value: Any, trust: Trust) -> Any:
        """What was written."""
        if isinstance(value, list):
            return [Plain.read(each, trust) for each in value]
        if not isinstance(value, dict):
            return value
        if "tuple" in value:
            return tuple(Plain.read(each, trust) for each in value["tuple"])
        if "dict" in value:
            return {key: Plain.read(each, trust) for key, each in value["dict"].items()}
        trust()
        return pickle.loads(base64.b64decode(value["pickle"]))
