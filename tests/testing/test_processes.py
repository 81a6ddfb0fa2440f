"""Which processes belong to one, and that they end with us."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from penstock.testing import processes
from penstock.testing.processes import Guard, Process, kill_all, processes_of

# A shell with a child, and a grandchild in a process group of its own.
FAMILY = """
import os, subprocess, sys
grandchild = "import os, sys; os.setpgid(0, 0); print(os.getpid(), flush=True); sys.stdin.read()"
child = "import os, subprocess, sys; print(os.getpid(), flush=True); subprocess.call([sys.executable, '-c', "
print(os.getpid(), flush=True)
subprocess.call([sys.executable, "-c", child + repr(grandchild) + "])"])
"""


@pytest.fixture
def family() -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A process that leads a session, and the pids of it, its child and its grandchild."""
    with subprocess.Popen(
        [sys.executable, "-c", FAMILY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        pids = [int(process.stdout.readline()) for _ in range(3)]
        yield process, pids
        kill_all(process.pid)


def pids_of(found: list[Process]) -> set[int]:
    return {process.pid for process in found}


def test_a_leader_stands_for_all_that_it_started(family: tuple[subprocess.Popen[str], list[int]]) -> None:
    process, pids = family
    assert pids_of(processes_of(process.pid)) == set(pids)
    assert all("setpgid" in each.command for each in processes_of(process.pid))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows sessions in /proc")
def test_what_lost_its_parent_still_belongs_to_its_session(
    family: tuple[subprocess.Popen[str], list[int]],
) -> None:
    process, (first, second, third) = family
    os.kill(second, signal.SIGKILL)
    process.wait(30)  # its only child has ended, so it ends
    assert pids_of(processes_of(first)) == {third}
    kill_all(first)
    assert processes_of(first) == []


def test_kill_all_leaves_nobody(family: tuple[subprocess.Popen[str], list[int]]) -> None:
    process, _ = family
    kill_all(process.pid)
    assert processes_of(process.pid) == []
    assert process.wait(30) == -signal.SIGKILL


@pytest.mark.skipif(not shutil.which("ps"), reason="needs ps: apt install procps")
def test_ps_tells_the_same_as_proc(
    family: tuple[subprocess.Popen[str], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    process, pids = family
    monkeypatch.setattr(processes._PROC.__class__, "is_dir", lambda path: False)
    found = processes_of(process.pid)
    assert pids_of(found) == set(pids)
    assert {each.session for each in found} == {0}
    assert all("setpgid" in each.command for each in found)


GUARDED = """
import subprocess, sys
from penstock.testing.processes import Guard
guard = Guard()
sleeper = subprocess.Popen([sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"],
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
guard.watch(sleeper.pid)
sleeper.stdout.readline()
print(sleeper.pid, flush=True)
END
"""


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "os._exit(3)", "raise SystemExit", "1 / 0"])
def test_what_is_guarded_ends_with_us_however_that_comes(end: str) -> None:
    text = "import os\n" + GUARDED.replace("END", end)
    with subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        sleeper = int(process.stdout.readline())
        process.stdout.read()  # ends when the guard has ended too, which has inherited it
    assert processes_of(sleeper) == []


def test_a_guard_that_is_ended_has_done_its_work(family: tuple[subprocess.Popen[str], list[int]]) -> None:
    process, _ = family
    guard = Guard()
    guard.watch(process.pid)
    guard.end()
    assert processes_of(process.pid) == []
