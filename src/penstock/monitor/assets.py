"""Files that pages are made of: scripts, styles and pictures that lie in the package."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.resources import files

from penstock.monitor.web import Reply, Request, Route

__all__ = ["asset", "page", "static_files"]

_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


def asset(path: str, body: bytes | Callable[[], bytes], kind: str) -> Route:
    """One file under ``path``; ``kind`` is its ending, such as ``js``. A function is called for the body when
    it is first asked for. A browser that has it asks whether it is still the same."""
    made: list[tuple[bytes, str]] = []

    def answer(request: Request) -> Reply:
        if not made:
            content = body if isinstance(body, bytes) else body()
            made.append((content, f'"{hashlib.sha256(content).hexdigest()[:32]}"'))
        content, tag = made[0]
        headers = {"etag": tag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Reply(b"", _TYPES[kind], 304, headers)
        return Reply(content, _TYPES[kind], headers=headers)

    return Route(path, answer, quick=isinstance(body, bytes))


def static_files(prefix: str = "/static") -> list[Route]:
    """A route for each script, style and picture of the package, and for nothing else: what is asked for is
    never made into the name of a file."""
    folder = files("penstock.monitor") / "static"
    found = [(entry.name, entry.name.rpartition(".")[2]) for entry in folder.iterdir() if entry.is_file()]
    return [
        asset(f"{prefix}/{name}", (folder / name).read_bytes(), kind)
        for name, kind in sorted(found)
        if kind in _TYPES and kind != "html"
    ]


def page(path: str, name: str) -> Route:
    """A page of the package under ``path``."""
    return asset(path, (files("penstock.monitor") / "static" / name).read_bytes(), "html")
