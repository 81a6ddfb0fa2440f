"""Processes that must not outlive this one: who they are, and a guard that ends them when we have gone.

The guard is this file, run by itself: a process that is told of others on its standard input, and kills them
when that ends. The system ends it however this process came to its end, by ``kill -9`` too.

A process that leads a session stands for all that is in it. Where the system does not show sessions (it has
no ``/proc``), it stands for its descendants.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

__all__ = ["Guard", "Process", "kill_all", "processes_of"]

_PROC = Path("/proc")
_ROUNDS = 100


class Process(NamedTuple):
    """A process that has not ended. ``command`` is its command line, ``session`` the leader of its session,
    0 where that is not known."""

    pid: int
    parent: int
    session: int
    command: str


class Guard:
    """Kills what leads the sessions it is told of, and all that is in them, once this process has ended."""

    def __init__(self) -> None:
        # In a session of its own: Ctrl-C is for us, and it has work to do afterwards.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__], stdin=subprocess.PIPE, start_new_session=True
        )

    def watch(self, leader: int) -> None:
        """See to it that this one ends with us."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"%d\n" % leader)
        self._process.stdin.flush()

    def end(self) -> None:
        """Kill them now, and wait until that is done."""
        self._process.communicate()


def processes_of(*leaders: int) -> list[Process]:
    """What leads these sessions, what is in them and what it started; without what has ended."""
    table = _from_proc() if _PROC.is_dir() else _from_ps()
    found = {process.pid for process in table if process.pid in leaders or process.session in leaders}
    grown = True
    while grown:
        more = {process.pid for process in table if process.parent in found} - found
        found |= more
        grown = bool(more)
    return [process for process in table if process.pid in found]


def kill_all(*leaders: int) -> None:
    """``kill -9`` to all of :func:`processes_of`, again until there are none: one may have just been started.

    One that does not end within some rounds is left: the system holds it.
    """
    for _ in range(_ROUNDS):
        found = processes_of(*leaders)
        if not found:
            return
        for process in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process.pid, signal.SIGKILL)


def _from_proc() -> list[Process]:
    table = []
    for folder in _PROC.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended meanwhile
        if fields[0] not in "ZX":
            table.append(Process(int(folder.name), int(fields[1]), int(fields[3]), command.strip()))
    return table


def _from_ps() -> list[Process]:
    listed = subprocess.run(
        ["ps", "-ax", "-ww", "-o", "pid=,ppid=,stat=,command="], stdout=subprocess.PIPE, text=True, check=True
    )
    table = []
    for line in listed.stdout.splitlines():
        pid, parent, state, *command = line.split(None, 3)
        if state[0] != "Z":
            table.append(Process(int(pid), int(parent), 0, "".join(command)))
    return table


def _guard() -> None:
    leaders = [int(line) for line in sys.stdin]
    kill_all(*leaders)


if __name__ == "__main__":
    _guard()
