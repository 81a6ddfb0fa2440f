"""Twins of classes, modules and holders of values: what is read of them is looked at when it is read."""

from __future__ import annotations

import datetime as datetime_module
import inspect
import math
import operator
import types
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any, Protocol

from penstock.vectorize.guards import Guards
from penstock.vectorize.instances import Instance
from penstock.vectorize.paths import Untraceable

__all__ = ["PLAIN", "HolderTwin", "ModuleTwin", "RecordTwin", "TypeTwin"]


PLAIN: frozenset[type] = frozenset(
    {
        int, float, str, bool, bytes, complex, type(None), type(Ellipsis), date, datetime, time, timedelta,
        timezone, Decimal, Fraction, range,
    }
)  # fmt: skip
"""Classes of values that are themselves, whoever reads them."""


class Maker(Protocol):
    """Who makes twins; see :class:`~penstock.vectorize.twins.Twins`."""

    guards: Guards

    def of(self, value: Any, what: str, *, outermost: bool = False) -> Any:
        """The twin of a value that is read as ``what``."""

    def attribute(self, name: str, record: Instance) -> Any:
        """What an attribute of a record's class gives for the record."""

    def unsymbolic(self, function: Any) -> Callable[..., Any]:
        """The function, for plain arguments only."""

    def parsing(self, function: Any, kernel: str) -> Callable[..., Any]:
        """A class method that makes a value of a text."""


class TypeTwin:
    """A class that is called, asked with isinstance, or whose methods are called as functions."""

    def __init__(self, call: Callable[..., Any], cls: type, twins: Maker) -> None:
        self._call = call
        self.cls = cls
        self._twins = twins

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._call(*arguments, **named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise Untraceable(f"{self.cls.__name__}.{name}")
        found = getattr(self.cls, name)
        if type(found) in PLAIN:
            return found
        if isinstance(inspect.getattr_static(self.cls, name), types.MethodDescriptorType):
            return lambda target, *arguments, **named: getattr(target, name)(*arguments, **named)
        if name in ("fromisoformat", "strptime"):
            return self._twins.parsing(found, f"{self.cls.__name__}.{name}")
        if name in ("fromordinal", "combine", "maketrans", "fromhex"):
            return self._twins.unsymbolic(found)
        raise Untraceable(f"{self.cls.__name__}.{name} is not followed")


class RecordTwin:
    """A record's class: makes records of symbols."""

    def __init__(self, cls: type, names: tuple[str, ...], twins: Maker) -> None:
        self.cls = cls
        self._names = names
        self._twins = twins

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        bound = inspect.signature(self.cls).bind(*arguments, **named)
        for name, parameter in inspect.signature(self.cls).parameters.items():
            if name not in bound.arguments:
                default = parameter.default
                if type(default) not in PLAIN:
                    raise Untraceable(f"the default of {self.cls.__name__}.{name} is no plain data")
                bound.arguments[name] = default
        parts = [bound.arguments[name] for name in self._names]
        return Instance(self.cls, self._names, parts, self._twins.attribute)

    def __getattr__(self, name: str) -> Any:
        if name == "_make":
            return lambda items: self(*items)
        if name == "_fields":
            return self._names
        found = inspect.getattr_static(self.cls, name)
        self._twins.guards.note(lambda: inspect.getattr_static(self.cls, name), found)
        if isinstance(found, staticmethod):
            found = found.__func__
        return self._twins.of(found, f"{self.cls.__name__}.{name}")


class HolderTwin:
    """An object that holds a value."""

    def __init__(self, holder: Any, attribute: str, twins: Maker) -> None:
        self._held = (holder, attribute, twins)

    def __getattr__(self, name: str) -> Any:
        holder, attribute, twins = self._held
        if name != attribute:
            raise Untraceable(f"{type(holder).__name__}.{name} is not followed")
        twins.guards.note(lambda: getattr(holder, attribute), getattr(holder, attribute))
        return twins.of(getattr(holder, attribute), f"{type(holder).__name__}.{name}")


class ModuleTwin:
    """A module: its attributes are looked at as they are read."""

    def __init__(self, module: types.ModuleType, twins: Maker) -> None:
        self._module = module
        self._twins = twins

    def __getattr__(self, name: str) -> Any:
        module = self._module
        found = getattr(module, name)
        if module not in (math, operator, datetime_module):
            self._twins.guards.note(lambda: getattr(module, name), found)
        return self._twins.of(found, f"{module.__name__}.{name}")
