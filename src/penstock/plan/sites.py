"""Which line of the user's program asked for an operation.

Found once, when a handle's method is called, by walking out of this package. What a stream does in
its batches was asked for when the stream was built: the stream's node says so with :func:`asked_at`.
"""

from __future__ import annotations

import os
import sys
from contextvars import ContextVar, Token

from penstock.errors import CallSite

__all__ = ["asked_at", "call_site"]

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_APPLICATION = os.path.join(_PACKAGE, "brokerage") + os.sep  # shipped with us, yet a user of us
_given: ContextVar[CallSite | None] = ContextVar("penstock_call_site", default=None)


def call_site(operation: str) -> CallSite:
    """The nearest frame outside this package that led here, or what :func:`asked_at` gave."""
    given = _given.get()
    if given is not None:
        return given
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_PACKAGE) or file.startswith(_APPLICATION):
            return CallSite(operation, file, frame.f_lineno)
        frame = frame.f_back  # type: ignore[assignment]
    return CallSite(operation)


class asked_at:  # noqa: N801  it is used as a function; made for each node in each batch, so it is no generator
    """Within this block all operations count as asked for at ``site`` (``None``: look again)."""

    __slots__ = ("_site", "_token")

    def __init__(self, site: CallSite | None) -> None:
        self._site = site
        self._token: Token[CallSite | None] | None = None

    def __enter__(self) -> None:
        self._token = _given.set(self._site)

    def __exit__(self, *error: object) -> None:
        assert self._token is not None
        _given.reset(self._token)
