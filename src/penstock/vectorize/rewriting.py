"""A function's code as symbols need it: constants that can be asked for one, and no formatting of texts."""

from __future__ import annotations

import dis
import functools
import opcode
import types
from typing import Any

from penstock.vectorize.members import MemberSet, MemberTuple

__all__ = ["rewritten"]


@functools.lru_cache(maxsize=4096)
def rewritten(code: types.CodeType) -> types.CodeType:
    """The code with constant tuples and sets that can be asked whether a symbol is in them."""
    constants: list[Any] = []
    names = _names_among_constants(code)
    for index, constant in enumerate(code.co_consts):
        if index in names:
            pass
        elif type(constant) is tuple:
            constant = MemberTuple(constant)
        elif type(constant) is frozenset:
            constant = MemberSet(constant)
        elif type(constant) is types.CodeType:
            constant = rewritten(constant)
        constants.append(constant)
    return code.replace(co_consts=tuple(constants), co_code=_without_text_formatting(code.co_code))


def _names_among_constants(code: types.CodeType) -> set[int]:
    """Tuples of names, of a call or of a dict: the interpreter wants plain ones."""
    steps = [step for step in dis.get_instructions(code) if step.opname not in ("CACHE", "EXTENDED_ARG")]
    return {
        step.arg
        for step, after in zip(steps, [*steps[1:], None], strict=True)
        if step.arg is not None
        and (step.opname == "KW_NAMES" or (after is not None and after.opname == "BUILD_CONST_KEY_MAP"))
    }


def _without_text_formatting(code: bytes) -> bytes:
    """The code with ``@`` for ``%``: of ``"text" % symbol`` Python would take the symbol for a mapping, and
    not complain that the text has no place for it. Symbols and members know that ``@`` is ``%``; of two plain
    values it raises, and so it is a way without a column form."""
    instead = {_MODULO: _MATRIX, _MODULO_IN_PLACE: _MATRIX_IN_PLACE}
    changed = bytearray(code)
    for at in range(0, len(code), 2):
        if code[at] == dis.opmap["BINARY_OP"] and code[at + 1] in instead:
            changed[at + 1] = instead[code[at + 1]]
    return bytes(changed)


_BINARY: dict[str, int] = {sign: number for number, (_, sign) in enumerate(opcode._nb_ops)}  # type: ignore[attr-defined]
_MODULO, _MODULO_IN_PLACE = _BINARY["%"], _BINARY["%="]
_MATRIX, _MATRIX_IN_PLACE = _BINARY["@"], _BINARY["@="]
