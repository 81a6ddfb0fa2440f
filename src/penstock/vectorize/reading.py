"""What a function does to its argument, read off its bytecode.

The functions of a stream mostly look like ``lambda order: (order["client"], order["amount"] * 2)``: they
take items of a record and leave the record itself alone. Such a function may be lent a record that others
keep, instead of a copy of its own.
"""

from __future__ import annotations

import dis
import sys
from functools import lru_cache
from operator import itemgetter
from types import CodeType, FunctionType

__all__ = ["fields_read", "item_read", "only_reads_items"]

_TESTED = ((3, 11), (3, 12), (3, 13))
_LOOKING_AROUND = frozenset({"locals", "vars", "eval", "exec", "dir", "_getframe", "currentframe"})


def only_reads_items(function: object) -> bool:
    """Whether all that the function does with its first argument is ``argument[constant]``.

    What it makes of those items is its own business. False for anything but a plain function, and on
    interpreters whose bytecode this has not been tested on.

    >>> only_reads_items(lambda order: (order["client"], order["amount"] + 1))
    True
    >>> only_reads_items(lambda order: order), only_reads_items(lambda order: order.update(a=1))
    (False, False)
    """
    if type(function) is not FunctionType or sys.version_info[:2] not in _TESTED:
        return False
    return _only_reads_items(function.__code__)


def item_read(function: object) -> int | None:
    """The index, if all that the function does is to give back ``argument[index]``.

    >>> item_read(lambda pair: pair[0]), item_read(lambda pair: pair[0] + 1)
    (0, None)
    """
    if type(function) is itemgetter:
        indexes = function.__reduce__()[1]
        return indexes[0] if len(indexes) == 1 and type(indexes[0]) is int else None
    if type(function) is not FunctionType or sys.version_info[:2] not in _TESTED:
        return None
    return _item_read(function.__code__)


def fields_read(function: object) -> frozenset[str] | None:
    """The names, if all that the function does with its first argument is ``argument.name``; else ``None``.

    >>> sorted(fields_read(lambda order: print(order.symbol, order.amount + 1)))
    ['amount', 'symbol']
    >>> fields_read(lambda order: print(order)), fields_read(lambda order: order.total())
    (None, None)
    """
    if type(function) is not FunctionType or sys.version_info[:2] != (3, 11):
        return None
    return _fields_read(function.__code__)


@lru_cache(maxsize=1024)
def _fields_read(code: CodeType) -> frozenset[str] | None:
    if code.co_argcount < 1 or _LOOKING_AROUND.intersection(code.co_names):
        return None
    argument = code.co_varnames[0]
    if argument in code.co_cellvars:
        return None
    steps = [step for step in dis.get_instructions(code) if step.opname not in ("CACHE", "PRECALL")]
    names = set()
    for step, after in zip(steps, [*steps[1:], None], strict=True):
        if step.argval != argument or step.opname == "LOAD_CONST":
            continue
        if step.opname != "LOAD_FAST" or after is None or after.opname != "LOAD_ATTR":
            return None
        names.add(after.argval)
    return frozenset(names)


_RETURNS_AN_ITEM = ["LOAD_FAST", "LOAD_CONST", "BINARY_SUBSCR", "RETURN_VALUE"]


@lru_cache(maxsize=1024)
def _item_read(code: CodeType) -> int | None:
    steps = [step for step in dis.get_instructions(code) if step.opname not in ("CACHE", "RESUME")]
    if code.co_argcount < 1 or [step.opname for step in steps] != _RETURNS_AN_ITEM:
        return None
    if steps[0].argval != code.co_varnames[0] or type(steps[1].argval) is not int:
        return None
    return steps[1].argval


@lru_cache(maxsize=1024)
def _only_reads_items(code: CodeType) -> bool:
    if code.co_argcount < 1 or _LOOKING_AROUND.intersection(code.co_names):
        return False
    argument = code.co_varnames[0]
    if argument in code.co_cellvars:  # a function inside it uses the argument too
        return False
    steps = [step for step in dis.get_instructions(code) if step.opname not in ("CACHE", "PRECALL")]
    for index, step in enumerate(steps):
        mentioned = step.argval == argument or (isinstance(step.argval, tuple) and argument in step.argval)
        if not mentioned or step.opname == "LOAD_CONST":
            continue
        following = [after.opname for after in steps[index + 1 : index + 3]]
        if step.opname != "LOAD_FAST" or following != ["LOAD_CONST", "BINARY_SUBSCR"]:
            return False
    return True
