"""Exceptions on their way from another process: as what they are, and with the lines where they happened."""

from __future__ import annotations

import pickle
import traceback
from typing import Any

from penstock.encoding import cloudpickled

__all__ = ["portable"]


def portable(error: BaseException) -> BaseException:
    """An exception that can be pickled, and that arrives with its causes, the last of which is the traceback
    as text. Where the exception cannot be pickled, it arrives as one of the same class that knows only what
    can be; where not even the class can, as a ``RuntimeError`` that names it."""
    lines = "".join(traceback.format_exception(error))
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__
    cause: BaseException = _Elsewhere(lines)
    for link in reversed(chain):
        cause = _With(_packed(link), cause)
    return cause


def _packed(error: BaseException) -> BaseException:
    for attempt in (_as_it_is, _rebuilt, _rebuilt_in_part):
        try:
            packed = attempt(error)
            found = pickle.loads(cloudpickled(packed))
            if type(found) is type(error):
                return packed
        except Exception:
            continue
    made = RuntimeError(f"{type(error).__qualname__}: {_text_of(error)}")
    made.__dict__.update(_sendable(vars(error)))
    return made


def _as_it_is(error: BaseException) -> BaseException:
    return error


def _rebuilt(error: BaseException) -> BaseException:
    return _Whole(type(error), error.args, vars(error))


def _rebuilt_in_part(error: BaseException) -> BaseException:
    arguments = tuple(each if _is_sendable(each) else repr(each) for each in error.args)
    return _Whole(type(error), arguments, _sendable(vars(error)))


def _sendable(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if _is_sendable(value)}


def _is_sendable(value: object) -> bool:
    try:
        pickle.loads(cloudpickled(value))
    except Exception:
        return False
    return True


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "it cannot be shown"


class _Elsewhere(Exception):
    """The traceback of another process, as text."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


class _Whole(Exception):
    """An exception whose class is not asked to make it: what it would be given nobody knows any more."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, self.args


class _With(Exception):
    """An exception with its cause: pickles hold no causes."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _caused, self.args


def _made(kind: type[BaseException], arguments: tuple[Any, ...], attributes: dict[str, Any]) -> BaseException:
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    error.__dict__.update(attributes)
    return error


def _caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error
