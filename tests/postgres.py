"""A PostgreSQL server of the tests' own: in a folder of its own, on a socket that nobody else sees."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))  # Debian's place, the newest last


class Server:
    """A running server; ``url`` is SQLAlchemy's."""

    def __init__(self, folder: Path, programs: Path, user: str | None) -> None:
        self._folder = folder
        self._programs = programs
        self._user = user
        self.url = f"postgresql+psycopg://tester:secret-word@/postgres?host={folder}"

    def make(self) -> None:
        self._run("initdb", "-D", "data", "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.start()

    def start(self) -> None:
        options = f"-k {self._folder} -c listen_addresses= -c fsync=off"
        self._run("pg_ctl", "-D", "data", "-l", "log", "-w", "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """``immediate`` is as if it were killed."""
        self._run("pg_ctl", "-D", "data", "-w", "-m", mode, "stop")

    def _run(self, program: str, *arguments: str) -> None:
        identity = {} if self._user is None else {"user": self._user, "group": _group_of(self._user)}
        done = subprocess.run(
            [self._programs / program, *arguments],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            extra_groups=None if self._user is None else [],
            check=False,
            **identity,  # type: ignore[arg-type]
        )
        if done.returncode:
            log = self._folder / "log"
            told = log.read_text() if log.exists() else ""
            raise AssertionError(f"{program} ended with {done.returncode}\n{told}")


def _group_of(user: str) -> int:
    return pwd.getpwnam(user).pw_gid


def _somebody() -> str | None:
    """Who runs the server: it refuses to be run by root."""
    if os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


@contextmanager
def postgres_server() -> Iterator[Server]:
    """A new server with an empty database; a skipped test where none is installed."""
    if not _PROGRAMS:
        pytest.skip("needs a PostgreSQL server: apt install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # a short path: sockets allow no long ones
    user = _somebody()
    if user is not None:
        os.chown(folder, pwd.getpwnam(user).pw_uid, _group_of(user))
    server = Server(folder, _PROGRAMS[-1].parent, user)
    try:
        server.make()
        yield server
    finally:
        if (folder / "data/postmaster.pid").exists():
            server.stop("immediate")
        shutil.rmtree(folder)
