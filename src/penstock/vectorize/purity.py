"""Whether a function can be traced, read off its bytecode.

The bytecode is scanned, not interpreted: each instruction must be on the list of its interpreter version,
which has none that writes outside of the function (to a global, an attribute, an item, somebody else's cell),
imports, yields, awaits, or catches an exception. Whatever else a function does it does by calling, and what
it may call is decided where names become values (:mod:`penstock.vectorize.twins`). An interpreter whose
instructions have not been tested here traces nothing.
"""

from __future__ import annotations

import dis
import sys
from functools import lru_cache
from types import CodeType

__all__ = ["global_names", "impurity"]

_PURE: dict[tuple[int, int], frozenset[str]] = {
    (3, 11): frozenset(
        [
            "BINARY_OP",
            "BINARY_SUBSCR",
            "BUILD_CONST_KEY_MAP",
            "BUILD_LIST",
            "BUILD_MAP",
            "BUILD_SET",
            "BUILD_SLICE",
            "BUILD_STRING",
            "BUILD_TUPLE",
            "CACHE",
            "CALL",
            "CALL_FUNCTION_EX",
            "COMPARE_OP",
            "CONTAINS_OP",
            "COPY",
            "COPY_FREE_VARS",
            "DICT_MERGE",
            "DICT_UPDATE",
            "EXTENDED_ARG",
            "FORMAT_VALUE",
            "FOR_ITER",
            "GET_ITER",
            "IS_OP",
            "JUMP_BACKWARD",
            "JUMP_FORWARD",
            "JUMP_IF_FALSE_OR_POP",
            "JUMP_IF_TRUE_OR_POP",
            "KW_NAMES",
            "LIST_APPEND",
            "LIST_EXTEND",
            "LIST_TO_TUPLE",
            "LOAD_ASSERTION_ERROR",
            "LOAD_ATTR",
            "LOAD_CLOSURE",
            "LOAD_CONST",
            "LOAD_DEREF",
            "LOAD_FAST",
            "LOAD_GLOBAL",
            "LOAD_METHOD",
            "MAKE_CELL",
            "MAKE_FUNCTION",
            "MAP_ADD",
            "NOP",
            "POP_JUMP_BACKWARD_IF_FALSE",
            "POP_JUMP_BACKWARD_IF_NONE",
            "POP_JUMP_BACKWARD_IF_NOT_NONE",
            "POP_JUMP_BACKWARD_IF_TRUE",
            "POP_JUMP_FORWARD_IF_FALSE",
            "POP_JUMP_FORWARD_IF_NONE",
            "POP_JUMP_FORWARD_IF_NOT_NONE",
            "POP_JUMP_FORWARD_IF_TRUE",
            "POP_TOP",
            "PRECALL",
            "PUSH_NULL",
            "RAISE_VARARGS",
            "RESUME",
            "RETURN_VALUE",
            "SET_ADD",
            "SET_UPDATE",
            "STORE_DEREF",
            "STORE_FAST",
            "SWAP",
            "UNARY_INVERT",
            "UNARY_NEGATIVE",
            "UNARY_NOT",
            "UNARY_POSITIVE",
            "UNPACK_EX",
            "UNPACK_SEQUENCE",
        ]
    ),
}
"""The instructions of each interpreter version that write nowhere but to the function's own variables."""

_WHAT: dict[str, str] = {
    "STORE_GLOBAL": "it writes to a global variable",
    "STORE_ATTR": "it writes to an attribute",
    "STORE_SUBSCR": "it writes to an item",
    "IMPORT_NAME": "it imports",
    "YIELD_VALUE": "it is a generator",
    "RETURN_GENERATOR": "it is a generator",
    "PUSH_EXC_INFO": "it catches exceptions",
    "BEFORE_WITH": "it has a with statement",
    "GET_AWAITABLE": "it awaits",
}
_ESCAPING_NAMES = frozenset({"format", "format_map"})
"""Names of attributes through which a text could be made unseen. So it is with all special names: what
``"a".__mod__(value)`` or ``(1).__eq__(value)`` give for a symbol is not what they give for a value."""


@lru_cache(maxsize=4096)
def impurity(code: CodeType, outermost: bool) -> str | None:
    """Why a function of this code is not traced, or ``None`` if it may be.

    ``outermost``: it is the user's function itself, and not one that it calls; only there f-strings are
    followed, whose text must go straight to what is returned.
    """
    pure = _PURE.get(sys.version_info[:2])
    if pure is None:
        return f"Python {sys.version_info[0]}.{sys.version_info[1]} has instructions that were not tested"
    for name in code.co_names:
        if name in _ESCAPING_NAMES or name.startswith("__"):
            return f"it uses {name}"
    instructions = list(dis.get_instructions(code))
    before: dis.Instruction | None = None
    for instruction in instructions:
        name = instruction.opname
        if name not in pure:
            return _WHAT.get(name, f"it does {name}")
        if name == "STORE_DEREF" and instruction.argval in code.co_freevars:
            return "it writes to a variable of the function around it"
        if name == "BINARY_OP" and instruction.argrepr in ("@", "@="):
            return "it multiplies matrices"
        if name == "IS_OP" and not (before and before.opname == "LOAD_CONST" and before.argval is None):
            return "it asks with is for something else than None"
        if name == "FORMAT_VALUE" and not outermost:
            return "it formats a text that is not simply returned"
        if name not in ("CACHE", "EXTENDED_ARG", "PRECALL"):
            before = instruction
    if not _formats_flow_to_the_return(instructions):
        return "it formats a text that is not simply returned"
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner = impurity(constant, False)
            if inner is not None:
                return inner
    return None


@lru_cache(maxsize=4096)
def global_names(code: CodeType) -> tuple[str, ...]:
    """The global names that a function and those inside it read, each once."""
    found: dict[str, None] = {}
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            found[instruction.argval] = None
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found.update(dict.fromkeys(global_names(constant)))
    return tuple(found)


def _formats_flow_to_the_return(instructions: list[dis.Instruction]) -> bool:
    """Whether what is formatted is only put into texts and tuples that are returned.

    Follows each such value along the straight line of instructions behind it; a jump ends the line, and with
    it the certainty.
    """
    steps = [each for each in instructions if each.opname not in ("CACHE", "EXTENDED_ARG", "PRECALL", "NOP")]
    return all(_flows(steps[index:]) for index, step in enumerate(steps) if step.opname == "FORMAT_VALUE")


def _flows(steps: list[dis.Instruction]) -> bool:
    above = 0  # how many values lie above the formatted one
    for step in steps[1:]:
        name, argument = step.opname, step.arg or 0
        if name in ("BUILD_STRING", "BUILD_TUPLE"):
            if argument > above:  # takes ours in: what it makes is ours now
                above = 0
                continue
            above += 1 - argument
        elif name == "RETURN_VALUE":
            return above == 0
        elif name in ("LOAD_FAST", "LOAD_CONST", "LOAD_DEREF"):
            above += 1
        elif name == "LOAD_GLOBAL":
            above += 1 + (argument & 1)
        elif name in ("LOAD_ATTR", "UNARY_NEGATIVE", "UNARY_NOT"):
            if above < 1:
                return False
        elif name == "FORMAT_VALUE":
            above -= bool(argument & 4)  # with a specification
            if above < 1:
                return False
        elif name in ("BINARY_OP", "BINARY_SUBSCR", "COMPARE_OP"):
            if above < 2:
                return False
            above -= 1
        elif name == "LOAD_METHOD":
            if above < 1:
                return False
            above += 1
        elif name == "CALL":
            if above < argument + 2:
                return False
            above -= argument + 1
        else:
            return False
    return False
