"""What a traced function finds under the names it reads: twins that understand symbols.

A twin of a function is a copy of it with the same code and with twins for its globals, builtins and closure.
What a name stands for is looked at once, here: plain data is itself, what is known to be pure is itself or
its twin, and all else makes the function untraceable. What was read is noted down as :class:`Guards`, to be
compared before the traced function is used again.
"""

from __future__ import annotations

import functools
import inspect
import math
import operator
import sys
import types
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

from penstock.chunk import isolated
from penstock.chunk.records import record_fields
from penstock.errors import RowTypeError
from penstock.vectorize.class_twins import PLAIN, HolderTwin, ModuleTwin, RecordTwin, TypeTwin
from penstock.vectorize.expressions import Constant
from penstock.vectorize.guards import Guards
from penstock.vectorize.instances import Instance, LazyTuple
from penstock.vectorize.members import MemberSet, MemberTuple, Table
from penstock.vectorize.paths import Path, Untraceable
from penstock.vectorize.purity import global_names, impurity
from penstock.vectorize.rewriting import rewritten
from penstock.vectorize.symbols import SplitText, Symbol, built, holds_symbols, lifted, truth_of
from penstock.vectorize.values import Values

__all__ = ["HOLDERS", "Twins"]

_WRITING = ("mod", "matmul", "concat", "setitem", "delitem", "is_", "is_not", "length_hint", "call")
_OPERATORS: dict[int, Any] = {
    id(function): function
    for name, function in vars(operator).items()
    if not name.startswith("_") and callable(function) and name not in _WRITING
    and not (name.startswith("i") and name not in ("index", "inv", "invert", "itemgetter", "indexOf"))
}  # fmt: skip
"""Functions of ``operator`` that only use the operators of what they are given."""
_GETTERS = (operator.itemgetter, operator.attrgetter)
_ITSELF: tuple[Any, ...] = (
    abs, all, any, dict, divmod, enumerate, filter, list, map, max, min, pow, range, reversed, round, set,
    sorted, tuple, zip, slice, frozenset, timedelta, math.floor, math.ceil, math.trunc,
)  # fmt: skip
"""Builtins that reach symbols only through operators, so that they are right as they are."""
_NAMED = {id(function): function for function in _ITSELF}
_MATH = {
    id(function): name
    for name, function in vars(math).items()
    if callable(function) and id(function) not in _NAMED
}
"""The names of the functions of ``math``, whose kernels are named after them."""


HOLDERS: dict[type, str] = {}
"""Classes of objects that do nothing but hold a value, and the attribute under which they do."""


class Twins:
    """The twins of one run, on one path."""

    def __init__(self, path: Path, guards: Guards) -> None:
        self.path = path
        self.guards = guards
        self._functions: dict[int, Any] = {}
        self._special: dict[int, Any] = {
            id(len): self._len, id(sum): self._sum, id(bool): self._bool, id(ord): self._ord,
            id(isinstance): self._isinstance, id(str): TypeTwin(self._str, str, self),
            id(int): TypeTwin(self._int, int, self), id(float): TypeTwin(self._float, float, self),
            id(max): self._extreme("max", max), id(min): self._extreme("min", min),
            id(isolated): self._isolated, id(operator.mod): _modulo,
        }  # fmt: skip

    # ------------------------------------------------------------------ what a name stands for

    def of(self, value: Any, what: str, *, outermost: bool = False) -> Any:
        """The twin of a value that a function reads as ``what``.

        Raises: :class:`Untraceable` if it is neither plain data nor known to be pure.
        """
        kind = type(value)
        if kind in PLAIN:
            return value
        special = self._special.get(id(value))
        if special is not None:
            return special
        if id(value) in _MATH:
            return self._math(_MATH[id(value)], value)
        if id(value) in _OPERATORS or id(value) in _NAMED:
            return value
        if kind is tuple:
            return MemberTuple(self.of(item, what) for item in value)
        if kind is frozenset or kind is set:
            self._must_be_plain(value, what)
            return MemberSet(value)
        if kind is dict:
            self._must_be_plain(value.keys(), what)
            self._must_be_plain(value.values(), what)
            return Table(value, self.path)
        if kind is types.FunctionType:
            return self._function(value, what, outermost=outermost)
        if kind is functools.partial:
            return self._partial(value, what)
        if kind in _GETTERS:
            if kind is operator.attrgetter and any("__" in name for name in value.__reduce__()[1]):
                raise Untraceable("a special name")
            return value
        if kind is operator.methodcaller:
            return self._method_caller(value)
        if kind is types.MethodDescriptorType and value.__objclass__ is str:
            return lambda text, *arguments, **named: getattr(text, value.__name__)(*arguments, **named)
        if kind is types.ModuleType:
            return ModuleTwin(value, self)
        if isinstance(value, type):
            return self._class(value, what)
        if kind in HOLDERS:
            return HolderTwin(value, HOLDERS[kind], self)
        raise Untraceable(f"{what} is a {kind.__name__}, which is neither plain data nor known to be pure")

    def _must_be_plain(self, values: Any, what: str) -> None:
        for value in values:
            kind = type(value)
            if kind is tuple:
                self._must_be_plain(value, what)
            elif kind not in PLAIN:
                raise Untraceable(f"{what} holds a {kind.__name__}, which may change")

    def _function(self, function: types.FunctionType, what: str, *, outermost: bool) -> Any:
        known = self._functions.get(id(function))
        if known is not None:
            return known
        reason = impurity(function.__code__, outermost)
        if reason is not None:
            raise Untraceable(reason if outermost else f"{what}: {reason}")
        scope: dict[str, Any] = {"__builtins__": {"__build_class__": None, "__import__": None}}
        twin = types.FunctionType(
            rewritten(function.__code__), scope, function.__name__, None, _empty_cells(function)
        )
        self._functions[id(function)] = twin
        for name in global_names(function.__code__):
            scope[name] = self.of(_global(function, name), name)
        for name, cell, given in zip(
            function.__code__.co_freevars, twin.__closure__ or (), function.__closure__ or (), strict=True
        ):
            try:
                cell.cell_contents = self.of(given.cell_contents, name)
            except ValueError:  # an empty cell: reading it fails in the twin, too
                continue
        defaults = function.__defaults__
        if defaults is not None:
            twin.__defaults__ = tuple(self.of(value, "a default") for value in defaults)
        if function.__kwdefaults__ is not None:
            twin.__kwdefaults__ = {
                name: self.of(value, name) for name, value in function.__kwdefaults__.items()
            }
        return twin

    def _partial(self, given: Any, what: str) -> Any:
        arguments = [self.of(value, what) for value in given.args]
        named = {name: self.of(value, name) for name, value in given.keywords.items()}
        return functools.partial(self.of(given.func, what), *arguments, **named)

    def _method_caller(self, given: Any) -> Any:
        _, (name, *arguments) = given.__reduce__()[:2] if len(given.__reduce__()) == 2 else (None, (None,))
        if name is None or name.startswith("_") or not all(type(each) in PLAIN for each in arguments):
            raise Untraceable("this methodcaller is not followed")
        return lambda target: getattr(target, name)(*arguments)

    def _class(self, cls: type, what: str) -> Any:
        if issubclass(cls, BaseException):
            if cls.__module__ == "builtins":
                return cls
        elif cls in (datetime, date):
            return TypeTwin(self.unsymbolic(cls), cls, self)
        else:
            try:
                names = record_fields(cls)
            except RowTypeError:
                pass
            else:
                return RecordTwin(cls, names, self)
        raise Untraceable(f"{what} is a class that is not followed")

    def attribute(self, name: str, record: Instance) -> Any:
        """What an attribute of a record's class gives for the record."""
        cls = record._cls
        found = inspect.getattr_static(cls, name)
        self.guards.note(lambda: inspect.getattr_static(cls, name), found)
        if isinstance(found, types.FunctionType):
            return functools.partial(self._function(found, f"{cls.__name__}.{name}", outermost=False), record)
        if isinstance(found, property) and isinstance(found.fget, types.FunctionType):
            return self._function(found.fget, f"{cls.__name__}.{name}", outermost=False)(record)
        if isinstance(found, staticmethod):
            return self.of(found.__func__, f"{cls.__name__}.{name}")
        return self.of(found, f"{cls.__name__}.{name}")

    # ------------------------------------------------------------------ twins of builtins

    def unsymbolic(self, function: Any) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if holds_symbols(arguments) or holds_symbols(named):
                raise Untraceable(f"{function.__name__}() of a value of a column has no column form")
            return function(*arguments, **named)

        return call

    def parsing(self, function: Any, kernel: str) -> Callable[..., Any]:
        """A class method that makes a value of a text."""

        def parse(*arguments: Any) -> Any:
            if arguments and type(arguments[0]) is Symbol and not holds_symbols(arguments[1:]):
                return built(self.path, kernel, arguments[0].expression, parameters=arguments[1:])
            return self.unsymbolic(function)(*arguments)

        return parse

    def _len(self, value: Any) -> Any:
        if type(value) is Symbol:
            return built(self.path, "len", value.expression)
        if type(value) is Values:
            return value.length()
        if type(value) is SplitText:
            return value.length()
        return len(value)

    def _sum(self, values: Any, start: Any = 0) -> Any:
        if type(values) is Values:
            if values.element is not None and sys.version_info >= (3, 12):
                _no_floats(values.element)
            return values.sum(start)
        items = list(values)
        if sys.version_info >= (3, 12):  # where sum() carries what rounding has cut off
            for item in items:
                _no_floats(item)
        return sum(items, start)

    def _extreme(self, name: str, function: Any) -> Callable[..., Any]:
        def extreme(*arguments: Any, **named: Any) -> Any:
            if len(arguments) == 1 and type(arguments[0]) is Values and not named:
                return arguments[0].extreme(name)
            return function(*arguments, **named)

        return extreme

    def _bool(self, value: Any = False) -> Any:
        return truth_of(value) if type(value) is Symbol else bool(value)

    def _ord(self, value: Any) -> Any:
        return built(self.path, "ord", value.expression) if type(value) is Symbol else ord(value)

    def _isolated(self, value: Any) -> Any:
        if holds_symbols(value) or type(value) in PLAIN or isinstance(value, tuple):
            return value
        raise Untraceable(f"a {type(value).__name__} that may be changed")

    def _isinstance(self, value: Any, kinds: Any) -> bool:
        given = kinds if isinstance(kinds, tuple) else (kinds,)
        classes = tuple(each.cls if isinstance(each, (TypeTwin, RecordTwin)) else each for each in given)
        if not all(isinstance(each, type) for each in classes):
            raise Untraceable("isinstance() of what is no class")
        if type(value) is Symbol:
            return issubclass(value.expression.kind, classes)
        if type(value) is Instance:
            return issubclass(value._cls, classes)
        if isinstance(value, LazyTuple):
            return issubclass(tuple, classes)
        if isinstance(value, (SplitText, Values)):
            return issubclass(list, classes)
        if isinstance(value, (MemberTuple, MemberSet, Table, TypeTwin, RecordTwin)) or callable(value):
            raise Untraceable("isinstance() of a captured value")
        return isinstance(value, classes)

    def _str(self, *arguments: Any) -> Any:
        if len(arguments) == 1 and type(arguments[0]) is Symbol:
            symbol = arguments[0]
            return symbol if symbol.expression.kind is str else built(self.path, "str", symbol.expression)
        return self.unsymbolic(str)(*arguments)

    def _int(self, *arguments: Any) -> Any:
        if len(arguments) == 1 and type(arguments[0]) is Symbol:
            return built(self.path, "int", arguments[0].expression)
        return self.unsymbolic(int)(*arguments)

    def _float(self, *arguments: Any) -> Any:
        if len(arguments) == 1 and type(arguments[0]) is Symbol:
            symbol = arguments[0]  # of a float it is the very same object, which matters to NaN
            return symbol if symbol.expression.kind is float else built(self.path, "float", symbol.expression)
        return self.unsymbolic(float)(*arguments)

    def _math(self, name: str, function: Any) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            if len(arguments) == 1 and type(arguments[0]) is Symbol:
                operand = arguments[0]
                if operand.expression.kind in (int, bool):
                    operand = built(
                        self.path, "float", built(self.path, "int", operand.expression).expression
                    )
                return built(self.path, f"math.{name}", operand.expression)
            return self.unsymbolic(function)(*arguments)

        return call


def _modulo(one: Any, other: Any) -> Any:
    if type(one) in (str, bytes) and holds_symbols(other):
        raise Untraceable("% of a text")
    return one % other


def _no_floats(value: Any) -> None:
    expression = lifted(value)
    if expression is not None and expression.kind is float and not isinstance(expression, Constant):
        raise Untraceable("sum() of floats, which carries what rounding has cut off since Python 3.12")


def _global(function: types.FunctionType, name: str) -> Any:
    if name in function.__globals__:
        return function.__globals__[name]
    untyped: Any = function  # which checkers do not all know to have builtins of its own
    builtin = untyped.__builtins__
    found = builtin.get(name, _MISSING) if isinstance(builtin, dict) else getattr(builtin, name, _MISSING)
    if found is _MISSING:
        raise Untraceable(f"the name {name} is not defined")
    return found


_MISSING = object()


def _empty_cells(function: types.FunctionType) -> tuple[types.CellType, ...] | None:
    return tuple(types.CellType() for _ in function.__closure__) if function.__closure__ else None
