"""What a function does to its argument, read off its bytecode.

The functions of a stream mostly look like ``lambda order: (order["client"], order["amount"] * 2)``: they
take items of a record and leave the record itself alone. Such a function may be lent a record that others
keep, instead of a copy of its own.
"""

from __future__ import annotations

import dis
import sys
from functools import lru_cache
from types import CodeType, FunctionType

__all__ = ["only_reads_items"]

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
