"""Worker processes that die, and programs that do."""

from __future__ import annotations

import ctypes
import os
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock import Conf, Context
from penstock.errors import UnsupportedError, WorkerLost, failure_of
from penstock.executors.processes import ProcessCrew
from tests.executors.crews import crew_of, with_workers

NUMBERS = list(range(8))


def pid_of(record: Any) -> int:
    """Where it is called: it has no column form."""
    return os.getpid()


# Workers that die


@pytest.mark.parametrize(
    ("die", "how"),
    [
        (lambda: os._exit(3), "exit code 3"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "signal SIGKILL"),
        (lambda: ctypes.string_at(0), "signal SIGSEGV"),
    ],
)
def test_a_task_that_always_kills_its_worker_fails_with_a_hint(die: Callable[[], Any], how: str) -> None:
    with with_workers(2, max_failures=2) as sc:
        with pytest.raises(WorkerLost, match=f"died 2 times while it ran one task .{how}.. Hint: ") as caught:
            sc.parallelize(NUMBERS, 2).map(lambda x: die() if x == 5 else x).collect()
        failure = failure_of(caught.value)
        assert failure is not None
        assert failure.partition == 1
        assert sc.parallelize(NUMBERS, 2).map(str).collect() == list(map(str, NUMBERS))


def test_workers_that_died_while_nobody_needed_them_do_not_count() -> None:
    with with_workers(2, max_failures=1) as sc:
        before = set(sc.parallelize(NUMBERS, 4).map(pid_of).collect())
        for pid in crew_of(sc).pids:
            os.kill(pid, signal.SIGKILL)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        after = set(sc.parallelize(NUMBERS, 4).map(pid_of).collect())
        assert not before & after


def test_closing_ends_workers_in_the_middle_of_a_task(tmp_path: Path) -> None:
    begun, failed = tmp_path / "begun", []
    os.mkfifo(begun)

    def forever(x: int) -> None:
        begun.open("w").close()
        threading.Event().wait()

    sc = with_workers(2)

    def job() -> None:
        try:
            sc.parallelize([1, 2], 2).foreach(forever)
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=job)
    thread.start()
    begun.open().close()
    pids = crew_of(sc).pids
    sc.stop()
    thread.join(timeout=30)
    assert not thread.is_alive()
    assert len(failed) == 1
    assert pids
    assert not any(map(_is_there, pids))


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "(" in (Path(f"/proc/{pid}/stat").read_text() if Path(f"/proc/{pid}").exists() else "")


def test_a_fork_of_the_program_may_not_use_its_workers(tmp_path: Path) -> None:
    text = f"""{BEGIN}
numbers = sc.parallelize(range(4), 4).map(str)
assert numbers.count() == 4
if os.fork() == 0:
    try:
        numbers.count()
    except Exception as error:
        print(type(error).__name__, error, flush=True)
    os._exit(0)
os.wait()
assert numbers.count() == 4
"""
    with program(text, tmp_path) as done:
        out, err = done.communicate(timeout=60)
    assert re.fullmatch(r"StateError the workers are those of the process \d+, .* Hint: .*\n", out)
    assert err == ""


# Programs


def program(text: str, tmp_path: Path, *options: str) -> subprocess.Popen[str]:
    script = tmp_path / "scripts" / "program.py"
    script.parent.mkdir()
    script.write_text(text)
    command = [sys.executable, *options, str(script)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, process_group=0
    )


BEGIN = """
import os, sys, threading, time
from penstock import Conf, Context
conf = Conf().setMaster("local[2]").set("penstock.python.workers", "processes")
sc = Context(conf=conf.set("penstock.local.inlineRows", 0))
"""


def test_a_script_gets_instances_of_its_own_classes(tmp_path: Path) -> None:
    (tmp_path / "signal.py").write_text("raise SystemExit('a module beside the program shadows another')")
    text = f"""{BEGIN}
import enum
sys.path.pop(0)
class Side(enum.Enum):
    BUY = 1
class Order:
    made = 0
    def __init__(self, n): self.n, self.side = n, Side.BUY
    def __eq__(self, other): return type(other) is Order and other.n == self.n
    def double(self): return Order(2 * self.n)
class Bad(Exception): pass
def check(order):
    if order.n == 3: raise Bad(order)
    return order
double, Order.made = Order.double, 7
orders = sc.parallelize([Order(n) for n in range(4)], 2).map(lambda order: order.double())
assert orders.collect() == [Order(2 * n) for n in range(4)]
assert all(order.side is Side.BUY for order in orders.collect())
assert Order.double is double and Order.made == 7
try:
    sc.parallelize([Order(3)]).map(check).collect()
except Bad as error:
    assert error.args[0] == Order(3)
print("before")
sc.parallelize(["in between"], 1).foreach(print)
print("after")
"""
    with program(text, tmp_path) as done:
        out, err = done.communicate(timeout=60)
    assert (out, err) == ("before\nin between\nafter\n", "")


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("busy", [True, False])
def test_no_worker_outlives_its_program(tmp_path: Path, busy: bool, end: signal.Signals) -> None:
    text = f"""{BEGIN}
print(*sc.parallelize(range(8), 4).map(lambda x: (time.sleep(0.01), os.getpid())[1]).collect(), flush=True)
if os.fork() == 0:  # holds what the program held
    time.sleep(5)
    os._exit(0)
if {busy}:
    def forever(x):
        os.write(1, b"busy\\n")
        while True: pass
    sc.parallelize(range(2), 2).foreach(forever)
print("busy\\nbusy", flush=True)
threading.Event().wait()
"""
    with program(text, tmp_path) as running:
        assert running.stdout is not None
        pids = set(map(int, running.stdout.readline().split()))
        assert {running.stdout.readline() for _ in range(2)} == {"busy\n"}
        os.kill(running.pid, end)
        watched = [os.pidfd_open(pid) for pid in pids if _is_there(pid)]
        for descriptor in watched:
            assert select.select([descriptor], [], [], 10)[0], "a worker lives on"
            os.close(descriptor)


def test_ctrl_c_ends_a_job_and_its_workers_and_the_program_goes_on(tmp_path: Path) -> None:
    text = f"""{BEGIN}
def forever(x):
    os.write(1, b"busy\\n")
    threading.Event().wait()
try:
    sc.parallelize(range(4), 4).foreach(forever)
except KeyboardInterrupt:
    print("interrupted", sc.parallelize(range(4), 4).map(str).collect(), flush=True)
"""
    with program(text, tmp_path) as running:
        assert running.stdout is not None
        assert {running.stdout.readline() for _ in range(2)} == {"busy\n"}
        os.killpg(running.pid, signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert (out, err) == ("interrupted ['0', '1', '2', '3']\n", "")


def test_options_of_the_command_line_hold_in_workers(tmp_path: Path) -> None:
    text = f"""{BEGIN}
import warnings
def warn(x):
    assert False, "not with -O"
    warnings.warn("careful")
try:
    sc.parallelize([1]).map(warn).collect()
except UserWarning as error:
    print(error)
"""
    with program(text, tmp_path, "-O", "-W", "error::UserWarning") as done:
        out, err = done.communicate(timeout=60)
    assert (out, err) == ("careful\n", "")


@pytest.mark.long
def test_messages_of_more_than_two_gigabytes(tmp_path: Path) -> None:
    size = (2 << 30) + 100
    with with_workers(1) as sc:
        (found,) = sc.parallelize([1], 1).map(lambda x: bytes(size) if os.getpid() else b"").collect()
        assert len(found) == size


def test_settings_choose_workers() -> None:
    conf = Conf().setMaster("local[3]").set("penstock.python.workers", "processes")
    with Context(conf=conf.set("spark.task.maxFailures", 2)) as sc:
        assert isinstance(crew_of(sc), ProcessCrew)
        many = sc.parallelize(range(10_000), 3).map(pid_of)
        assert os.getpid() not in many.collect()
        assert set(sc.parallelize(range(10), 3).map(pid_of).collect()) == {os.getpid()}
    assert re.fullmatch(r"local\[3\]", conf.get("spark.master") or "")


def test_it_is_refused_however_little_there_is_to_do() -> None:
    lock = threading.Lock()
    with with_workers(2, inline_rows=1000) as sc:
        with pytest.raises(UnsupportedError, match=r"what map \(.*py:\d+\) works with .*'_thread.lock'"):
            sc.parallelize([1]).map(lambda x: (lock, pid_of(x))).collect()
        assert sc.parallelize([1]).map(pid_of).collect() == [os.getpid()]
