"""Which files a path means, for the batch readers of a context."""

from __future__ import annotations

import os

from penstock.errors import ArgumentError, InputVanished, SignatureError
from penstock.sources.files.looking import COPYING, is_visible
from penstock.storage import FileInfo, Storage, storage_for

__all__ = ["files_of"]


def files_of(paths: str | os.PathLike[str]) -> tuple[Storage, list[FileInfo]]:
    """The files that ``paths`` means: a file, a directory (the visible files in it), a glob of either, or
    several of these with commas between. In the order given, and sorted by path where one means several.

    Hidden files and files still being copied count only if they are named outright. ``InputVanished`` (a
    ``FileNotFoundError``) if one of several means nothing; all must be in the same store.
    """
    try:
        text = os.fspath(paths)
    except TypeError:
        raise SignatureError(f"a path must be text, not {paths!r}") from None
    storage, whole = storage_for(text)
    parts = [text] if "," not in text or storage.exists(whole) else _split(text)
    if not parts:
        raise ArgumentError(f"there is no path in {text!r}")
    storage = storage_for(parts[0])[0]
    found: list[FileInfo] = []
    for part in parts:
        own, path = storage_for(part)
        if own != storage:
            raise ArgumentError(f"{parts[0]} and {part} are in different stores. Hint: use sc.union([...]).")
        matches = [match for match in storage.glob(path) if match.path == path or _is_whole(match.name)]
        if not matches:
            raise InputVanished(f"there is no file or directory {part}")
        for match in matches:
            found.extend(_visible_files(storage, match.path) if match.is_directory else [match])
    return storage, found


def _is_whole(name: str) -> bool:
    return not name.endswith(COPYING)


def _visible_files(storage: Storage, directory: str) -> list[FileInfo]:
    listed = storage.list_directory(directory)
    return [info for info in listed if not info.is_directory and is_visible(info.name)]


def _split(paths: str) -> list[str]:
    """Cut at commas, but not inside the braces of a glob."""
    parts, depth = [""], 0
    for character in paths:
        depth += (character == "{") - (character == "}")
        if character == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]
