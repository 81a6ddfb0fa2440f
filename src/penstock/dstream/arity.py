"""How many arguments a user's function wants, where the number decides what it is given."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from penstock.errors import SignatureError

__all__ = ["arity"]


def arity(function: Callable[..., Any], allowed: Sequence[int], operation: str) -> int:
    """The first of ``allowed`` numbers of positional arguments that ``function`` can be called with.

    Found with :func:`inspect.signature`, so bound methods, partials, callable objects and arguments
    with defaults count as a caller would count them. A callable without a signature (some builtins)
    gets the first. ``SignatureError`` if none fits.

    >>> arity(lambda rdd, limit=10: rdd, (1, 2), "transform")
    1
    >>> arity(lambda time, rdd: rdd, (1, 2), "transform")
    2
    """
    if not callable(function):
        raise SignatureError(f"{operation} needs a function, not {type(function).__name__}")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return allowed[0]
    for count in allowed:
        try:
            signature.bind(*[None] * count)
        except TypeError:
            continue
        return count
    numbers = " or ".join(map(str, allowed))
    raise SignatureError(
        f"the function given to {operation} should take {numbers} arguments, not {signature}"
    )
