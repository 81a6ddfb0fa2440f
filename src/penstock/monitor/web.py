"""What pages are made of: questions, answers, and the paths under which they stand. Knows no web server."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import field
from typing import Any

from penstock.errors import ArgumentError
from penstock.values import dataclass

__all__ = ["NotFound", "Reply", "Request", "Route", "StreamRoute", "json_text"]


class NotFound(ArgumentError):
    """What is asked for is not there; the message says what is. Answered with 404."""


@dataclass(frozen=True)
class Request:
    """A question: ``path`` holds what stood in the braces of the route, ``query`` the first value of each
    name, ``headers`` have names in small letters."""

    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def whole(self, name: str, default: int, *, lowest: int = 0, highest: int = 1_000_000) -> int:
        """A whole number of the query. ``ArgumentError`` if it is none, or out of bounds.

        >>> Request(query={"limit": "20"}).whole("limit", 100)
        20
        """
        text = self.query.get(name)
        if text is None:
            return default
        if not text.isascii() or not text.isdigit() or not lowest <= int(text[:20]) <= highest:
            raise ArgumentError(
                f"{name} must be a whole number from {lowest} to {highest}, not {text[:50]!r}"
            )
        return int(text)


@dataclass(frozen=True)
class Reply:
    """An answer. ``headers`` come on top of those that every answer has."""

    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, data: Any, status: int = 200) -> Reply:
        """An answer in JSON.

        >>> Reply.json({"rate": float("nan")}).body
        b'{"rate":null}'
        """
        return cls(json_text(data).encode(), "application/json", status)

    @classmethod
    def text(cls, text: str, status: int = 200) -> Reply:
        """An answer in plain words."""
        return cls(text.encode(), status=status)


@dataclass(frozen=True)
class Route:
    """``answer`` is called for each question to ``path``, which may hold names in braces:
    ``/api/v1/batches/{time}``; ``{name:path}`` takes slashes too.

    It is called on one of a few threads of the server's, or with ``quick`` on the thread that serves all: for
    answers that lie ready. A ``UsageError`` becomes 400 with its message, :class:`NotFound` 404, anything
    else is logged and becomes 500 without a word of it.
    """

    path: str
    answer: Callable[[Request], Reply]
    quick: bool = False


@dataclass(frozen=True)
class StreamRoute:
    """An answer without an end: ``open`` gives its pieces, or ``None`` where there is no room for one more
    reader, which is 503. It runs on the loop of the server, and is closed when the reader is gone."""

    path: str
    open: Callable[[Request], AsyncIterator[bytes] | None]
    content_type: str = "text/event-stream"


def json_text(data: Any) -> str:
    """JSON without spaces, on one line. Numbers that JSON does not have are ``null``; what it cannot say is
    written with ``str``."""
    try:
        return _dumped(data)
    except ValueError:
        return _dumped(_finite(data))


def _dumped(data: Any) -> str:
    return json.dumps(data, default=str, allow_nan=False, separators=(",", ":"))


def _finite(data: Any) -> Any:
    match data:
        case float() if not math.isfinite(data):
            return None
        case dict():
            return {name: _finite(value) for name, value in data.items()}
        case list() | tuple():
            return [_finite(value) for value in data]
        case _:
            return data
