"""Temporary names, and the removal of those that dead runs left behind.

A temporary lies beside what it will become, hidden from readers, and says who made it::

    .orders-1000.txt.3f9c01-4711-9d24c0aa-7.tmp
     |               |      |    |        count
     |               |      |    this process and no other that had its number before
     |               |      number of the process
     |               the machine
     what it will become (its beginning, if the name is long)
"""

from __future__ import annotations

import itertools
import os
import platform
import re
from functools import cache

from penstock.storage.base import Storage, join, name_of, parent_of

__all__ = ["clean_leftovers", "temporary_path"]

_FORM = re.compile(
    r"\..+\.(?P<machine>[0-9a-f]{6})-(?P<process>\d+)-(?P<instance>[0-9a-f]{8})-\d+\.tmp", re.DOTALL
)
_LONGEST_NAME_BYTES = 180  # of the 255 that file systems allow
_counts = itertools.count(1)


@cache
def _machine() -> str:
    import hashlib

    return hashlib.blake2b(platform.node().encode(), digest_size=3).hexdigest()


@cache
def _instance(process: int) -> str:
    return os.urandom(4).hex()  # by process: a fork is another instance


def temporary_path(path: str) -> str:
    """A path beside ``path`` that nobody else uses, hidden from readers."""
    name = name_of(path).encode("utf-8", "surrogateescape")[:_LONGEST_NAME_BYTES].decode("utf-8", "ignore")
    process = os.getpid()
    maker = f"{_machine()}-{process}-{_instance(process)}"
    return join(parent_of(path), f".{name}.{maker}-{next(_counts)}.tmp")


def clean_leftovers(storage: Storage, directory: str, *, sole_owner: bool = False) -> list[str]:
    """Remove the temporaries of dead runs from a directory, not below it; return their paths, sorted.

    A run counts as dead if it was on this machine and its process is gone. Temporaries of other
    machines stay, unless the caller is the ``sole_owner`` of the directory: then only those of the
    caller's own process stay. What is not one of our temporary names is never touched. A directory
    that does not exist is clean.
    """
    try:
        names = storage.list_names(directory)
    except FileNotFoundError:
        return []
    files = [join(directory, name) for name in names.files if _is_leftover(name, sole_owner)]
    directories = [join(directory, name) for name in names.directories if _is_leftover(name, sole_owner)]
    for path in files:
        try:
            storage.remove(path)
        except FileNotFoundError:  # somebody else cleans too
            continue
    for path in directories:
        storage.remove_tree(path)
    return sorted(files + directories)


def _is_leftover(name: str, sole_owner: bool) -> bool:
    form = _FORM.fullmatch(name)
    if form is None:
        return False
    process, here = int(form["process"]), form["machine"] == _machine()
    if here and process == os.getpid():
        return form["instance"] != _instance(process)
    return sole_owner or (here and not _is_alive(process))


def _is_alive(process: int) -> bool:
    if os.name != "posix":  # elsewhere signal 0 is no question but an order
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
